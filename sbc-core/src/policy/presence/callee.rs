//! What is known of the user whom somebody calls.

use super::{Presences, Standing, Talking};
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

/// What is known of the user of a number, if the tenant says whose it is. Our own calls go before what
/// Microsoft says: who talks is busy, and "in a call" that was said while a call of ours was on, or a moment later, says nothing
/// once that has ended.
pub fn callee(
    now: Timestamp,
    config: &Config,
    (presences, talking): (&Presences, &Talking),
    tenant: &TenantName,
    number: &str,
) -> Option<Callee> {
    let user = config.tenants.get(tenant)?.users.of(number)?;
    let talk = talking.of(tenant, user);
    let known = |standing, what: String| Callee {
        standing,
        because: format!("{number} is user {user}, {what}"),
    };
    if talk.calls > 0 {
        let what = "who talks over our trunks: busy".to_owned();
        return Some(known(Standing::Busy, what));
    }
    let Some(seen) = presences.of(now, config, tenant, user) else {
        let what = "of whose presence nothing is known: the call tells".to_owned();
        return Some(known(Standing::Unknown, what));
    };
    let (presence, age) = (&seen.presence, seen.age.as_secs());
    let is_of_ours =
        presence.is_in_call() && talk.ended.is_some_and(|ended| ended + NOTICED >= seen.at);
    let (standing, what) = match (seen.is_old, is_of_ours) {
        (true, _) => (Standing::Unknown, ", which is too old: the call tells"),
        (false, true) => (
            Standing::Unknown,
            ", when a call of ours was on that has ended: the call tells",
        ),
        (false, false) => match seen.standing {
            Standing::Ready => (Standing::Ready, ": ready"),
            Standing::Busy => (Standing::Busy, ": busy"),
            Standing::Absent => (Standing::Absent, ": absent"),
            Standing::Unknown => (Standing::Unknown, ": the call tells"),
        },
    };
    let held = match standing != presence.standing() && standing != Standing::Unknown {
        true => "; what is new counts once it has lasted",
        false => "",
    };
    Some(known(
        standing,
        format!("who was {presence} {age} s ago{what}{held}"),
    ))
}
