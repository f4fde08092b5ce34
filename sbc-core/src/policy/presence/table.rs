//! What a shard knows of users: the last that was heard of each, which counts while it is not old.

use super::{Presence, Standing};
use crate::config::{Config, UserId};
use crate::id::TenantName;
use crate::input::Heard;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// For how long a change must last before it counts (TDG-PRS-006): clients that start, and meetings that
/// follow each other, tell of several states within a second.
const HOLD_DOWN: Duration = Duration::from_millis(2_500);

/// The users of all tenants: at most those that the configuration names.
#[derive(Default, Debug)]
pub struct Presences {
    tenants: BTreeMap<TenantName, BTreeMap<UserId, Known>>,
    /// What every user is taken to be, where a call is rehearsed.
    assumed: Option<Arc<Presence>>,
}

/// What is known of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// What was heard last.
    pub presence: Arc<Presence>,
    /// What counts of it now.
    pub standing: Standing,
    /// How long ago it was heard.
    pub age: Duration,
    /// Whether that is too long ago to say anything.
    pub is_old: bool,
    /// When it was heard.
    pub at: Timestamp,
}

#[derive(Debug)]
struct Known {
    presence: Arc<Presence>,
    /// When it was heard last.
    at: Timestamp,
    /// When it became what it is.
    since: Timestamp,
    /// What counted until then.
    before: Option<Standing>,
}

impl Known {
    fn settled(&self, now: Timestamp) -> Standing {
        match self.before {
            Some(before) if now.since(self.since) < HOLD_DOWN => before,
            _ => self.presence.standing(),
        }
    }
}

impl Presences {
    /// Something was heard.
    pub fn note(&mut self, now: Timestamp, config: &Config, heard: &Heard) {
        let Some(tenant) = config.tenants.get(&heard.tenant) else {
            return;
        };
        let known = self.tenants.entry(heard.tenant.clone()).or_default();
        let users = heard.users.iter();
        for (user, presence) in users.filter(|(user, _)| tenant.users.has(*user)) {
            let earlier = known.get(user);
            let earlier = earlier.filter(|own| now.since(own.at) <= tenant.users.good_for());
            let (since, before) = match earlier {
                Some(own) if own.presence.standing() == presence.standing() => {
                    (own.since, own.before)
                }
                Some(own) => {
                    let settled = own.settled(now);
                    (now, Some(settled).filter(|own| *own != Standing::Unknown))
                }
                None => (now, None),
            };
            let presence = Arc::clone(presence);
            known.insert(
                *user,
                Known {
                    presence,
                    at: now,
                    since,
                    before,
                },
            );
        }
    }

    /// What is known of a user.
    pub fn of(
        &self,
        now: Timestamp,
        config: &Config,
        tenant: &TenantName,
        user: UserId,
    ) -> Option<Seen> {
        let good_for = config.tenants.get(tenant)?.users.good_for();
        if let Some(presence) = &self.assumed {
            return Some(Seen {
                standing: presence.standing(),
                presence: Arc::clone(presence),
                age: Duration::ZERO,
                is_old: false,
                at: now,
            });
        }
        let known = self.tenants.get(tenant)?.get(&user)?;
        let age = now.since(known.at);
        let is_old = age > good_for;
        Some(Seen {
            presence: Arc::clone(&known.presence),
            standing: match is_old {
                true => Standing::Unknown,
                false => known.settled(now),
            },
            age,
            is_old,
            at: known.at,
        })
    }

    /// Takes every user for this from now on.
    pub(crate) fn assume(&mut self, presence: Presence) {
        self.assumed = Some(Arc::new(presence));
    }

    /// Forgets users whom the configuration does not name any more.
    pub fn keep(&mut self, config: &Config) {
        self.tenants.retain(|name, users| {
            let tenant = config.tenants.get(name);
            users.retain(|user, _| tenant.is_some_and(|own| own.users.has(*user)));
            !users.is_empty()
        });
    }
}
