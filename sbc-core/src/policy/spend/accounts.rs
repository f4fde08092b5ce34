//! What stands on each account, for an operator who looks at it and forgives it (SIP-406).

use super::books::Books;
use super::{Account, Period, locked, money};
use crate::config::{Money, SpendLimits};
use crate::policy::admission::Counted;
use crate::time::Timestamp;
use std::cmp::Reverse;
use std::ops::Bound;

/// Accounts that are looked at before shards, which want them for each call, may look again: callers choose numbers, so
/// that there may be very many.
const AT_ONCE: usize = 500;

/// One account on which anything was spent within a day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Whose.
    pub counted: Counted,
    /// What was spent in the last hour.
    pub hour: Money,
    /// In the last day.
    pub day: Money,
    /// What may be, as when a call was last let in or refused; nothing if nobody has called since the restart.
    pub limits: SpendLimits,
    /// The limits that are reached.
    pub reached: Vec<Period>,
}

impl Books {
    /// The accounts whose limits are reached, then those on which most was spent: so many at most, as callers choose
    /// numbers.
    pub fn standings(&self, now: Timestamp, most: usize) -> Vec<Standing> {
        let mut all: Vec<Standing> = Vec::new();
        let mut from = Bound::Unbounded;
        loop {
            let (accounts, clock) = self.copied(now, &from);
            let Some((last, _)) = accounts.last() else {
                return all;
            };
            from = Bound::Excluded(last.clone());
            all.extend(accounts.into_iter().filter_map(|own| standing(own, clock)));
            all.sort_by_key(|own| (own.reached.is_empty(), Reverse(own.day)));
            all.truncate(most);
        }
    }

    /// The next accounts as they are now, and the clock that all of them are behind.
    fn copied(
        &self,
        now: Timestamp,
        from: &Bound<Counted>,
    ) -> (Vec<(Counted, Account)>, Timestamp) {
        let table = locked(self.table());
        let next = table.accounts.range((from.as_ref(), Bound::Unbounded));
        let next = next.map(|(counted, account)| (counted.clone(), account.clone()));
        let accounts: Vec<_> = next.take(AT_ONCE).collect();
        // The clock of a shard may be a little ahead.
        let settled = accounts.iter().map(|(_, account)| account.settled);
        let clock = settled.fold(table.clock(now), Timestamp::max);
        (accounts, clock)
    }

    /// Forgets what was spent on these accounts: their limits begin anew, and calls that go on cost from now on. Says on
    /// how many of them anything was.
    pub fn forgive(&self, now: Timestamp, is_meant: impl Fn(&Counted) -> bool) -> usize {
        let mut count = 0;
        let mut from = Bound::Unbounded;
        loop {
            let mut table = locked(self.table());
            let clock = table.clock(now);
            let next = table.accounts.range_mut((from.as_ref(), Bound::Unbounded));
            let mut last = None;
            for (counted, account) in next.take(AT_ONCE) {
                last = Some(counted);
                if !is_meant(counted) {
                    continue;
                }
                account.settle(clock);
                count += usize::from(account.spent(clock, Period::Day) > 0);
                (account.hour, account.day) = Default::default();
                account.told.clear();
            }
            let Some(last) = last else {
                return count;
            };
            from = Bound::Excluded(last.clone());
        }
    }
}

/// How an account stands, if anything was spent on it.
fn standing((counted, mut account): (Counted, Account), clock: Timestamp) -> Option<Standing> {
    account.settle(clock);
    let [hour, day] = Period::ALL.map(|period| money(account.spent(clock, period)));
    let reached = account.reached(clock, &counted).map(|own| own.period);
    let reached: Vec<Period> = reached.collect();
    let is_of_interest = day > Money(0) || !reached.is_empty();
    is_of_interest.then_some(Standing {
        hour,
        day,
        limits: account.limits,
        reached,
        counted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Price;
    use crate::policy::spend::{Payer, Spending};

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_micros(minutes * 60_000_000)
    }

    fn payer(tenant: &str, per_day: u64) -> Payer {
        let limits = SpendLimits {
            per_day: Some(Money(per_day)),
            ..SpendLimits::default()
        };
        (Counted::Tenant(tenant.into()), limits)
    }

    #[test]
    fn who_is_forgiven_may_spend_again_and_a_call_that_goes_on_costs_from_then_on() {
        let price = Price {
            per_minute: Money(1_000_000),
            per_call: Money(0),
        };
        let mut spending = Spending::default();
        let (contoso, fabrikam) = (
            [payer("contoso", 5_000_000)],
            [payer("fabrikam", 9_000_000)],
        );
        spending.begin(at(0), &contoso, price, true);
        spending.begin(at(0), &fabrikam, price, true);
        assert!(spending.check(at(6), &contoso).is_err());
        assert_eq!(spending.news(at(6), None).len(), 1);
        let books = spending.books();
        let all = books.standings(at(6), 10);
        let told = all.iter();
        let told = told.map(|own| (own.counted.name(), own.day.0, &own.reached[..]));
        let told: Vec<_> = told.collect();
        assert_eq!(
            told,
            [
                ("contoso", 6_000_000, &[Period::Day][..]),
                ("fabrikam", 6_000_000, &[])
            ]
        );
        assert_eq!(books.standings(at(6), 1).len(), 1);

        let is_contoso = |counted: &Counted| counted.name() == "contoso";
        assert_eq!(books.forgive(at(6), is_contoso), 1);
        assert_eq!(books.forgive(at(6), is_contoso), 0, "nothing is left");
        assert!(spending.check(at(6), &contoso).is_ok());
        let of = |minutes| {
            let all = books.standings(at(minutes), 10);
            all.into_iter()
                .map(|own| (own.counted.name().to_owned(), own.day.0))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(6), [("fabrikam".to_owned(), 6_000_000)]);
        assert_eq!(of(8)[1], ("contoso".to_owned(), 2_000_000));
        assert!(spending.check(at(11), &contoso).is_err());
        assert_eq!(
            spending.news(at(11), None).len(),
            2,
            "it is told again, and of the other"
        );
    }
}
