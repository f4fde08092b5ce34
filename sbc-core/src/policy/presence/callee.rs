//! What is known of the user whom somebody calls.

use super::{Presences, Seen, Standing, Talk, Talking};
use crate::config::Config;
use crate::id::TenantName;
use crate::time::Timestamp;
use std::time::Duration;

/// A called user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Callee {
    /// What counts.
    pub standing: Standing,
    /// Why, as a sentence.
    pub because: String,
}

/// How long Microsoft may take to notice that a call of ours has ended.
const NOTICED: Duration = Duration::from_secs(10);

/// Why a user counts as what they do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ground {
    /// They talk over our trunks.
    Talks,
    /// Nothing was heard of them.
    Unheard,
    /// What was heard is too old.
    Old,
    /// What was heard is of a call of ours that has ended.
    Ended,
    /// So it was heard.
    Heard,
}

/// What a user counts as. Our own calls go before what Microsoft says: who talks is busy, and "in a call" that was said
/// while a call of ours was on, or a moment later, says nothing once that has ended.
pub fn weighed(talk: Talk, seen: Option<&Seen>) -> (Standing, Ground) {
    let Some(seen) = seen.filter(|_| talk.calls == 0) else {
        return match talk.calls {
            0 => (Standing::Unknown, Ground::Unheard),
            1.. => (Standing::Busy, Ground::Talks),
        };
    };
    let is_of_ours =
        seen.presence.is_in_call() && talk.ended.is_some_and(|ended| ended + NOTICED >= seen.at);
    match (seen.is_old, is_of_ours) {
        (true, _) => (Standing::Unknown, Ground::Old),
        (false, true) => (Standing::Unknown, Ground::Ended),
        (false, false) => (seen.standing, Ground::Heard),
    }
}

/// What is known of the user of a number, if the tenant says whose it is.
pub fn callee(
    now: Timestamp,
    config: &Config,
    (presences, talking): (&Presences, &Talking),
    tenant: &TenantName,
    number: &str,
) -> Option<Callee> {
    let user = config.tenants.get(tenant)?.users.of(number)?;
    let seen = presences.of(now, config, tenant, user);
    let (standing, ground) = weighed(talking.of(tenant, user), seen.as_ref());
    let what = match ground {
        Ground::Talks => "who talks over our trunks: busy".to_owned(),
        Ground::Unheard => "of whose presence nothing is known: the call tells".to_owned(),
        Ground::Old => heard(seen.as_ref(), ", which is too old: the call tells"),
        Ground::Ended => heard(
            seen.as_ref(),
            ", when a call of ours was on that has ended: the call tells",
        ),
        Ground::Heard => {
            let held = seen.as_ref().is_some_and(|seen| {
                standing != seen.presence.standing() && standing != Standing::Unknown
            });
            let what = match standing {
                Standing::Ready => ": ready",
                Standing::Busy => ": busy",
                Standing::Absent => ": absent",
                Standing::Unknown => ": the call tells",
            };
            let held = match held {
                true => "; what is new counts once it has lasted",
                false => "",
            };
            heard(seen.as_ref(), &format!("{what}{held}"))
        }
    };
    Some(Callee {
        standing,
        because: format!("{number} is user {user}, {what}"),
    })
}

fn heard(seen: Option<&Seen>, what: &str) -> String {
    seen.map_or_else(String::new, |seen| {
        format!(
            "who was {} {} s ago{what}",
            seen.presence,
            seen.age.as_secs()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::presence::Presence;
    use std::sync::Arc;

    #[test]
    fn our_own_calls_count_more_than_what_was_heard_of_them() {
        let at = |seconds| Timestamp::ZERO + Duration::from_secs(seconds);
        let seen = |availability, activity, is_old| {
            let presence = Presence::new(availability, activity);
            Seen {
                standing: presence.standing(),
                presence: Arc::new(presence),
                age: Duration::from_secs(1),
                is_old,
                at: at(100),
            }
        };
        let talk = |calls, ended: Option<u64>| Talk {
            calls,
            ended: ended.map(at),
        };
        let (ready, in_call) = ("Available", "InACall");
        for (talk, seen, wanted) in [
            (
                talk(1, None),
                Some(seen(ready, ready, false)),
                Ground::Talks,
            ),
            (talk(0, None), None, Ground::Unheard),
            (talk(0, None), Some(seen(ready, ready, true)), Ground::Old),
            (
                talk(0, Some(95)),
                Some(seen("Busy", in_call, false)),
                Ground::Ended,
            ),
            (
                talk(0, Some(80)),
                Some(seen("Busy", in_call, false)),
                Ground::Heard,
            ),
            (
                talk(0, Some(95)),
                Some(seen("Busy", "Busy", false)),
                Ground::Heard,
            ),
        ] {
            let (standing, ground) = weighed(talk, seen.as_ref());
            assert_eq!(ground, wanted, "{talk:?} {seen:?}");
            let counts = match ground {
                Ground::Talks | Ground::Heard => Standing::Busy,
                Ground::Unheard | Ground::Old | Ground::Ended => Standing::Unknown,
            };
            assert_eq!(standing, counts, "{talk:?} {seen:?}");
        }
    }
}
