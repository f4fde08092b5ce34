//! Numbers that are lent to those who call for help, so that who helps can call back (TDR-EMG-005,
//! SIP-1402).
//!
//! A place has a few numbers of its own. A call for help gets one that nobody has, and keeps it for a
//! while after its end: whoever dials it meanwhile reaches who called for help. A second call of the same
//! caller gets the same number again. Where all are lent, the one goes whose call is over for the longest
//! time, or, if none is over, the oldest: the last who calls is who needs to be found.
//!
//! A number is that of one customer: another may have the same as a local one, and its calls know nothing of
//! who called for help elsewhere (TDR-MT-011).
//!
//! All shards have one table, behind a lock that is taken once or twice a call. It outlives reloads,
//! because no configuration is in it, and restarts, because it is written down ([`stored`]).

pub mod stored;

use crate::id::TenantName;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most numbers that are lent at a time: those of a peer that invents places must not fill the memory.
const MOST: usize = 4_096;

/// Who has which number, over all shards.
#[derive(Clone, Debug, Default)]
pub struct Elins(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    leases: BTreeMap<Elin, Lease>,
    /// How often it has changed.
    changes: u64,
}

/// A number of a customer.
type Elin = (TenantName, String);

#[derive(Debug)]
struct Lease {
    /// The number that calls back are led to.
    user: String,
    /// Calls that are going on under it.
    calls: u32,
    /// When it was lent, or the last of them ended.
    since: Timestamp,
    /// For how long after that it is not lent to others.
    keep: Duration,
}

impl Lease {
    fn is_over(&self, now: Timestamp) -> bool {
        self.calls == 0 && now >= self.since + self.keep
    }
}

/// A number that was lent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lent {
    /// The number.
    pub number: String,
    /// Who had it, and is not found by it any more.
    pub from: Option<String>,
}

impl Elins {
    /// Lends one of these numbers to a caller; `None` if there are none. It must be given back once by
    /// [`Self::give_back`].
    pub(crate) fn lend(
        &self,
        now: Timestamp,
        tenant: &TenantName,
        pool: &[String],
        user: &str,
        keep: Duration,
    ) -> Option<Lent> {
        let of = |number: &String| (tenant.clone(), number.clone());
        let mut table = self.lock();
        let Table { leases, changes } = &mut *table;
        leases.retain(|_, lease| !lease.is_over(now));
        let has = |number: &&String| {
            leases
                .get(&of(number))
                .is_some_and(|lease| lease.user == user)
        };
        let is_free = |number: &&String| !leases.contains_key(&of(number));
        let oldest = || {
            let lent = pool.iter().filter_map(|number| {
                let lease = leases.get(&of(number))?;
                Some((lease.calls > 0, lease.since, number))
            });
            lent.min().map(|(_, _, number)| number)
        };
        let mut numbers = pool.iter();
        let own = numbers.find(has).or_else(|| pool.iter().find(is_free));
        let number = own.or_else(oldest)?.clone();
        let before = leases.remove(&of(&number));
        let (calls, from) = match before {
            Some(lease) if lease.user == user => (lease.calls, None),
            Some(lease) => (0, Some(lease.user)),
            None => (0, None),
        };
        if leases.len() >= MOST {
            // Those whose call goes on are the last to lose theirs.
            let worth = |lease: &Lease| (lease.calls > 0, lease.since);
            let oldest = leases.iter().min_by_key(|(_, lease)| worth(lease));
            let oldest = oldest.map(|(number, _)| number.clone());
            oldest.and_then(|number| leases.remove(&number));
        }
        let lease = Lease {
            user: user.to_owned(),
            calls: calls + 1,
            since: now,
            keep,
        };
        leases.insert(of(&number), lease);
        *changes += 1;
        Some(Lent { number, from })
    }

    /// A call under this number has ended. Its caller is found by it for a while longer.
    pub(crate) fn give_back(&self, now: Timestamp, tenant: &TenantName, number: &str, user: &str) {
        let mut table = self.lock();
        let Table { leases, changes } = &mut *table;
        let elin = (tenant.clone(), number.to_owned());
        let lease = leases.get_mut(&elin).filter(|lease| lease.user == user);
        if let Some(lease) = lease {
            lease.calls = lease.calls.saturating_sub(1);
            lease.since = now;
            *changes += 1;
        }
    }

    /// Whether nobody has any number, so that there is no need to ask whose one is.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().leases.is_empty()
    }

    /// Who called for help under this number of a customer.
    pub(crate) fn caller_of(
        &self,
        now: Timestamp,
        tenant: &TenantName,
        number: &str,
    ) -> Option<String> {
        let table = self.lock();
        let lease = table.leases.get(&(tenant.clone(), number.to_owned()))?;
        let is_known = !lease.is_over(now) && !lease.user.is_empty();
        is_known.then(|| lease.user.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // A point in time is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(2_700);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    fn tenant() -> TenantName {
        TenantName::new("contoso")
    }

    fn pool() -> Vec<String> {
        ["+1001", "+1002"].map(str::to_owned).to_vec()
    }

    fn lend(elins: &Elins, seconds: u64, user: &str) -> (String, Option<String>) {
        let lent = elins
            .lend(at(seconds), &tenant(), &pool(), user, KEEP)
            .unwrap();
        (lent.number, lent.from)
    }

    #[test]
    fn everybody_has_a_number_of_his_own_until_there_are_none() {
        let elins = Elins::default();
        let other = elins.clone();
        assert_eq!(lend(&elins, 0, "a"), ("+1001".to_owned(), None));
        assert_eq!(lend(&other, 1, "b"), ("+1002".to_owned(), None));
        assert_eq!(lend(&elins, 2, "a"), ("+1001".to_owned(), None));
        assert_eq!(
            elins.caller_of(at(3), &tenant(), "+1002").as_deref(),
            Some("b")
        );
        // Both of a's calls go on, and b's is over: b's number goes, although it was lent later.
        elins.give_back(at(4), &tenant(), "+1001", "a");
        elins.give_back(at(5), &tenant(), "+1002", "b");
        let reused = ("+1002".to_owned(), Some("b".to_owned()));
        assert_eq!(lend(&elins, 6, "c"), reused);
        assert_eq!(
            other.caller_of(at(6), &tenant(), "+1002").as_deref(),
            Some("c")
        );
        // A late end of b's call is none of c's.
        elins.give_back(at(7), &tenant(), "+1002", "b");
        // Now all calls go on, and the oldest goes.
        let reused = ("+1001".to_owned(), Some("a".to_owned()));
        assert_eq!(lend(&elins, 8, "d"), reused);
        assert_eq!(elins.lend(at(9), &tenant(), &[], "e", KEEP), None);
    }

    #[test]
    fn a_caller_is_found_for_a_while_after_the_end_of_the_call() {
        let elins = Elins::default();
        lend(&elins, 0, "a");
        let found = |seconds| elins.caller_of(at(seconds), &tenant(), "+1001");
        assert_eq!(found(9_000).as_deref(), Some("a"), "it goes on");
        elins.give_back(at(9_000), &tenant(), "+1001", "a");
        assert_eq!(found(11_699).as_deref(), Some("a"));
        assert_eq!(found(11_700), None);
        assert_eq!(lend(&elins, 11_700, "b"), ("+1001".to_owned(), None));
        // Nobody is found behind a number whose caller has none.
        lend(&elins, 11_700, "");
        assert_eq!(elins.caller_of(at(11_701), &tenant(), "+1002"), None);
    }

    #[test]
    fn another_customers_number_is_another_one_though_it_reads_the_same() {
        let (elins, other) = (Elins::default(), TenantName::new("fabrikam"));
        lend(&elins, 0, "a");
        assert_eq!(elins.caller_of(at(1), &other, "+1001"), None);
        let lent = elins.lend(at(1), &other, &pool(), "b", KEEP).unwrap();
        let wanted = Lent {
            number: "+1001".to_owned(),
            from: None,
        };
        assert_eq!(lent, wanted);
        let own = elins.caller_of(at(2), &tenant(), "+1001");
        assert_eq!(own.as_deref(), Some("a"));
    }

    #[test]
    fn places_that_a_peer_invents_do_not_fill_the_memory() {
        let elins = Elins::default();
        for number in 0..MOST + 100 {
            let pool = [format!("+{number}")];
            elins.lend(
                at(number as u64),
                &tenant(),
                &pool,
                "a",
                Duration::from_secs(1 << 20),
            );
        }
        assert_eq!(elins.lock().leases.len(), MOST);
        assert_eq!(elins.caller_of(at(9_999), &tenant(), "+0"), None);
        assert!(
            elins
                .caller_of(at(9_999), &tenant(), &format!("+{MOST}"))
                .is_some()
        );
    }
}
