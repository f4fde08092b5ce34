//! Who talks over our trunks: counted by all shards in one table, changed when two parties of a call begin or
//! cease to talk. What we see ourselves counts more than what Microsoft has heard of it (TDG-PRS-006).

use crate::config::{Config, UserId};
use crate::id::TenantName;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who talks. Cheap to clone; all clones are one.
#[derive(Clone, Default, Debug)]
pub struct Talking(Arc<Mutex<Table>>);

#[derive(Default, Debug)]
struct Table {
    /// Users who talk, and those who did since the configuration was loaded: at most those it names.
    users: BTreeMap<(TenantName, UserId), Talk>,
    changes: u64,
}

/// What a user does on our trunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Talk {
    /// Calls in which the user talks now.
    pub calls: u32,
    /// When the last one ended.
    pub ended: Option<Timestamp>,
}

impl Talking {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A user begins to talk in a call.
    pub fn begin(&self, tenant: &TenantName, user: UserId) {
        let mut table = self.lock();
        table.changes += 1;
        let talk = table.users.entry((tenant.clone(), user)).or_default();
        talk.calls = talk.calls.saturating_add(1);
    }

    /// A user talks in one call less.
    pub fn end(&self, now: Timestamp, tenant: &TenantName, user: UserId) {
        let mut table = self.lock();
        table.changes += 1;
        if let Some(talk) = table.users.get_mut(&(tenant.clone(), user)) {
            talk.calls = talk.calls.saturating_sub(1);
            talk.ended = Some(now);
        }
    }

    /// What a user does.
    pub fn of(&self, tenant: &TenantName, user: UserId) -> Talk {
        let table = self.lock();
        let talk = table.users.get(&(tenant.clone(), user));
        talk.copied().unwrap_or_default()
    }

    /// Who talks now, if that has changed since the table had this state, with the state that it has.
    pub fn changed(&self, before: Option<u64>) -> Option<(u64, Vec<(TenantName, UserId)>)> {
        let table = self.lock();
        if before == Some(table.changes) {
            return None;
        }
        let talking = table.users.iter().filter(|(_, talk)| talk.calls > 0);
        let who = talking.map(|(who, _)| who.clone()).collect();
        Some((table.changes, who))
    }

    /// Forgets users whom the configuration does not name any more, once they have hung up.
    pub(crate) fn keep(&self, config: &Config) {
        self.lock().users.retain(|(tenant, user), talk| {
            let tenant = config.tenants.get(tenant);
            talk.calls > 0 || tenant.is_some_and(|own| own.users.has(*user))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_talks_twice_talks_until_both_calls_are_over() {
        let (talking, tenant) = (Talking::default(), TenantName::new("contoso"));
        let user = UserId::parse("0b2f3c4d-1111-2222-3333-444455556666").unwrap();
        assert_eq!(talking.of(&tenant, user), Talk::default());
        talking.begin(&tenant, user);
        let other_shard = talking.clone();
        other_shard.begin(&tenant, user);
        let at = Timestamp::from_micros(7);
        talking.end(at, &tenant, user);
        assert_eq!(talking.of(&tenant, user).calls, 1);
        let (state, who) = talking.changed(None).unwrap();
        assert_eq!(who, [(tenant.clone(), user)]);
        assert_eq!(talking.changed(Some(state)), None);
        other_shard.end(at, &tenant, user);
        let over = Talk {
            calls: 0,
            ended: Some(at),
        };
        assert_eq!(talking.of(&tenant, user), over);
        assert_eq!(talking.changed(Some(state)).unwrap().1, []);
        // What was never begun is not ended below nothing.
        talking.end(at, &tenant, user);
        assert_eq!(talking.of(&tenant, user).calls, 0);
    }
}
