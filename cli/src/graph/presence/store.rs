//! The last presence of each user whom the configuration names, whoever has heard it. Shards are told at
//! once, operators read it here.

use crate::daemon::inbox::Inboxes;
use sbc_core::config::{Config, UserId, Users};
use sbc_core::id::TenantName;
use sbc_core::input::{Heard, Input};
use sbc_core::policy::presence::Presence;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Most users that one input of a shard tells of, as many as an answer of Microsoft does.
pub const BATCH: usize = 650;

/// What was heard of all users. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Presences {
    shared: Arc<Shared>,
}

struct Shared {
    inboxes: Inboxes,
    state: Mutex<BTreeMap<TenantName, Tenant>>,
    /// Rung when somebody wants users to be asked for before their time.
    bell: Notify,
}

#[derive(Default)]
struct Tenant {
    users: Users,
    known: BTreeMap<UserId, Known>,
    /// Who is to be asked for next: at most the users there are.
    wanted: BTreeSet<UserId>,
}

/// What is known of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// What was heard last.
    pub presence: Arc<Presence>,
    /// When.
    pub at: Instant,
    /// By what way.
    pub by: Way,
}

/// How presence is heard of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// We asked.
    Poll,
    /// Microsoft told.
    Notice,
}

impl Presences {
    /// An empty store that tells these shards.
    pub fn new(inboxes: Inboxes) -> Self {
        Self {
            shared: Arc::new(Shared {
                inboxes,
                state: Mutex::default(),
                bell: Notify::new(),
            }),
        }
    }

    /// Takes the users of a configuration; what is known of others is forgotten.
    pub fn configure(&self, config: &Config) {
        let mut state = self.lock();
        let tenants = config.tenants.values();
        let tenants = tenants.filter(|tenant| !tenant.users.is_empty());
        *state = tenants
            .map(|tenant| {
                let mut own = state.remove(&tenant.name).unwrap_or_default();
                let users = &tenant.users;
                own.known.retain(|user, _| users.has(*user));
                own.wanted.retain(|user| users.has(*user));
                own.users = users.clone();
                (tenant.name.clone(), own)
            })
            .collect();
    }

    /// The users of a tenant that the configuration names, in one order.
    pub fn users(&self, tenant: &TenantName) -> Vec<UserId> {
        let state = self.lock();
        let own = state.get(tenant);
        own.map(|own| own.users.ids().collect()).unwrap_or_default()
    }

    /// An answer of Microsoft about users of a tenant. Users whom the configuration does not name are passed
    /// over.
    pub fn polled(&self, tenant: &TenantName, batch: Vec<(UserId, Presence)>) {
        self.hear(tenant, Way::Poll, batch);
    }

    /// A notice of Microsoft that tells the presence of one user. Gives whether the configuration names the
    /// user.
    pub fn noticed(&self, tenant: &TenantName, user: UserId, presence: Presence) -> bool {
        self.hear(tenant, Way::Notice, vec![(user, presence)]) > 0
    }

    /// These users are to be asked for soon, because a notice without data, or none where there should
    /// have been one, says that something has changed. Without any, all of the tenant.
    pub fn want(&self, tenant: &TenantName, users: &[UserId]) {
        if let Some(own) = self.lock().get_mut(tenant) {
            let ids = own.users.ids();
            let is_wanted = |user: &UserId| users.is_empty() || users.contains(user);
            let wanted: Vec<UserId> = ids.filter(is_wanted).collect();
            own.wanted.extend(wanted);
        }
        self.shared.bell.notify_waiters();
    }

    /// Who is wanted, who is not any more then.
    pub fn take_wanted(&self, tenant: &TenantName) -> Vec<UserId> {
        let mut state = self.lock();
        let own = state.get_mut(tenant);
        let wanted = own.map(|own| std::mem::take(&mut own.wanted));
        wanted.unwrap_or_default().into_iter().collect()
    }

    /// Ends when [`Self::want`] is called after this.
    pub fn rung(&self) -> tokio::sync::futures::Notified<'_> {
        self.shared.bell.notified()
    }

    /// What is known of each user of a tenant, with the numbers that lead there.
    pub fn of(&self, tenant: &TenantName) -> Vec<(String, UserId, Option<Known>)> {
        let state = self.lock();
        let Some(own) = state.get(tenant) else {
            return Vec::new();
        };
        let numbers = own.users.numbers();
        numbers
            .map(|(number, user)| (number.to_owned(), user, own.known.get(&user).cloned()))
            .collect()
    }

    /// How old the oldest presence of a tenant's users is; `None` while there is a user of whom nothing is
    /// known.
    pub fn oldest(&self, tenant: &TenantName) -> Option<Duration> {
        let state = self.lock();
        let own = state.get(tenant)?;
        if own.known.len() < own.users.ids().len() {
            return None;
        }
        own.known.values().map(|known| known.at.elapsed()).max()
    }

    fn hear(&self, tenant: &TenantName, by: Way, batch: Vec<(UserId, Presence)>) -> usize {
        let mut heard: Vec<(UserId, Arc<Presence>)> = Vec::with_capacity(batch.len());
        {
            let mut state = self.lock();
            let Some(own) = state.get_mut(tenant) else {
                return 0;
            };
            let at = Instant::now();
            for (user, presence) in batch {
                if !own.users.has(user) {
                    continue;
                }
                // What did not change is not kept twice.
                let earlier = own.known.get(&user).map(|known| &known.presence);
                let presence = match earlier.filter(|earlier| ***earlier == presence) {
                    Some(earlier) => Arc::clone(earlier),
                    None => Arc::new(presence),
                };
                let known = Known {
                    presence: Arc::clone(&presence),
                    at,
                    by,
                };
                own.known.insert(user, known);
                heard.push((user, presence));
            }
        }
        for users in heard.chunks(BATCH) {
            let told = Arc::new(Heard {
                tenant: tenant.clone(),
                users: users.to_vec(),
            });
            for inbox in self.shared.inboxes.all() {
                // Reports of our own side are always taken.
                let _ = inbox.push(Input::Presence(Arc::clone(&told)));
            }
        }
        heard.len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantName, Tenant>> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::inbox::{Inbox, Next};
    use sbc_core::config::{Assumed, Source, load};
    use sbc_core::id::ShardId;

    fn user(last: u8) -> UserId {
        UserId::parse(&format!("0b2f3c4d-1111-2222-3333-4444555566{last:02x}")).unwrap()
    }

    fn config(users: &[u8]) -> Config {
        let users: Vec<String> = users
            .iter()
            .map(|last| format!("\"+49301{last:03}\" = \"{}\"", user(*last)))
            .collect();
        let text = format!(
            "node = {{ id = \"sbc1.example.com\" }}\n\
             [[tenant]]\nname = \"contoso\"\nemergency = []\nusers = {{ {} }}\n",
            users.join(", ")
        );
        match load(
            &[Source::new("test.toml", &*text)],
            &Assumed::with_names([]),
            None,
        ) {
            Ok(loaded) => loaded.config,
            Err(findings) => panic!("{}", findings.to_text()),
        }
    }

    fn heard(inbox: &Inbox) -> Vec<usize> {
        let mut all = Vec::new();
        while let Next::Input(input, _) = inbox.next(Duration::ZERO) {
            match *input {
                Input::Presence(heard) => all.push(heard.users.len()),
                other => panic!("{other:?}"),
            }
        }
        all
    }

    #[test]
    fn every_shard_hears_of_users_that_are_configured_and_of_nobody_else() {
        let inboxes = [0, 1].map(|shard| Inbox::new(ShardId(shard)).unwrap());
        let all = Inboxes::new(inboxes.to_vec(), sbc_core::demux::shard_of_message);
        let store = Presences::new(all);
        store.configure(&config(&[1, 2]));
        let tenant = TenantName::new("contoso");
        let busy = || Presence::new("Busy", "InACall");
        assert_eq!(store.users(&tenant), [user(1), user(2)]);
        store.polled(&tenant, vec![(user(1), busy()), (user(3), busy())]);
        assert_eq!(store.oldest(&tenant), None, "nothing is known of one");
        assert!(store.noticed(&tenant, user(2), busy()));
        assert!(!store.noticed(&tenant, user(3), busy()));
        assert!(!store.noticed(&TenantName::new("fabrikam"), user(1), busy()));
        for inbox in &inboxes {
            assert_eq!(heard(inbox), [1, 1]);
        }
        assert!(store.oldest(&tenant).is_some());
        let known = |store: &Presences| {
            let all = store.of(&tenant).into_iter();
            all.map(|(_, user, known)| (user, known.map(|known| known.by)))
                .collect::<Vec<_>>()
        };
        let both = [(user(1), Some(Way::Poll)), (user(2), Some(Way::Notice))];
        assert_eq!(known(&store), both);
        // A reload that takes a user away forgets it.
        store.want(&tenant, &[user(1), user(3)]);
        store.configure(&config(&[2, 4]));
        assert_eq!(store.take_wanted(&tenant), []);
        assert_eq!(
            known(&store),
            [(user(2), Some(Way::Notice)), (user(4), None)]
        );
        store.want(&tenant, &[]);
        assert_eq!(store.take_wanted(&tenant), [user(2), user(4)]);
        assert_eq!(store.take_wanted(&tenant), []);
    }
}
