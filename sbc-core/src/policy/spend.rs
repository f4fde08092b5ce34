//! Money spent: what answered calls have cost in the last hour and day, those that go on included, and
//! the limits on it (SIP-406, SIP-1730).
//!
//! Time goes on for the sum of all running prices at once, so nothing is done for a call between its
//! answer and its end. Amounts are whole numbers: a millionth of the currency's unit per minute, times
//! microseconds. All shards of a node count in one table, whose clock goes on over a restart ([`books`]).

pub mod accounts;
pub mod books;

use super::Refusal;
use super::admission::{Counted, status_of};
use crate::cause::{Because, CauseCode};
use crate::config::{CallLimits, Money, Price, SpendAction, SpendLimits};
use crate::id::ShardId;
use crate::sip::Status;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// On whose account a call is, and what may be spent there.
pub type Payer = (Counted, SpendLimits);

/// Those of what a call counts on that limit money.
pub fn payers(claims: impl IntoIterator<Item = (Counted, CallLimits)>) -> Vec<Payer> {
    let claims = claims.into_iter();
    let payers = claims.map(|(counted, limits)| (counted, limits.spend));
    payers.filter(|(_, spend)| !spend.is_unlimited()).collect()
}

/// A limit that is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spent {
    /// Whose.
    pub counted: Counted,
    /// In which time.
    pub period: Period,
    /// What may be spent in it.
    pub limit: Money,
    /// What has been.
    pub spent: Money,
    /// What happens.
    pub action: SpendAction,
    refusal: Status,
}

impl Spent {
    /// What the caller is told.
    pub fn refused(&self) -> Refusal {
        Refusal {
            status: self.refusal,
            cause: CauseCode::SpendReached,
            because: Because::of(self.to_string()),
        }
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (counted, period) = (&self.counted, self.period.as_str());
        let (spent, limit) = (self.spent.as_fine_as(self.limit), self.limit);
        write!(f, "{counted} has spent {spent} of its {limit} per {period}")
    }
}

/// The time that a limit is for: the last hour or day, whenever it is looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Period {
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
}

impl Period {
    const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// The stable label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Microseconds of one of the parts that it is counted in.
    const fn part(self) -> u64 {
        let hour = 3_600_000_000;
        match self {
            Self::Hour => hour / PARTS,
            Self::Day => 24 * hour / PARTS,
        }
    }

    const fn limit(self, limits: &SpendLimits) -> Option<Money> {
        match self {
            Self::Hour => limits.per_hour,
            Self::Day => limits.per_day,
        }
    }
}

/// Parts of a period. The one that has begun counts besides, so that what was spent is forgotten a part
/// late and never early.
const PARTS: u64 = 24;

/// A millionth of the currency's unit, in the table's measure: a price per minute times microseconds.
const MILLIONTH: u128 = 60_000_000;

/// Fewest accounts that are worth a look at all of them.
const LEAST_SWEEP: usize = 256;

/// What has been spent, as one shard sees it.
#[derive(Default, Debug)]
pub struct Spending {
    shard: usize,
    table: Arc<Mutex<Table>>,
}

#[derive(Default, Debug)]
struct Table {
    accounts: BTreeMap<Counted, Account>,
    /// What the table's clock said when that of the shards began, in microseconds: not 0 if what was
    /// spent before a restart is known.
    origin: u64,
    /// Accounts from which on those without use are forgotten.
    sweep_at: usize,
}

#[derive(Clone, Default, Debug)]
struct Account {
    /// What calls of each shard cost now, in millionths per minute.
    running: Vec<u128>,
    /// Until when that is in the sums.
    settled: Timestamp,
    hour: Sum,
    day: Sum,
    /// As they were when a call was last let in or refused.
    limits: SpendLimits,
    /// The limits that are known to be reached: each is told once until there is money again.
    told: Vec<Period>,
}

/// What was spent in each part of a period that had any, oldest first.
#[derive(Clone, Default, Debug)]
struct Sum(Vec<(u64, u128)>);

impl Spending {
    /// The same table, as another shard sees it.
    #[must_use]
    pub fn of(&self, shard: ShardId) -> Self {
        Self {
            shard: usize::from(shard.0),
            table: Arc::clone(&self.table),
        }
    }

    /// Whether a call on these accounts may be made, or the first limit that blocks it.
    pub fn check(&mut self, now: Timestamp, payers: &[Payer]) -> Result<(), Spent> {
        let mut table = self.table();
        let now = table.clock(now);
        for (counted, limits) in payers {
            // Where nothing was spent yet only a limit of nothing is reached.
            let mut fresh = Account::default();
            let account = table.accounts.get_mut(counted).unwrap_or(&mut fresh);
            account.limits = *limits;
            account.settle(now);
            let mut reached = account.reached(now, counted);
            if let Some(spent) = reached.find(|spent| spent.action == SpendAction::Block) {
                return Err(spent);
            }
        }
        Ok(())
    }

    /// A call at this price is answered; with `is_new` it pays for that, and else only for its minutes:
    /// it was answered before.
    pub fn begin(&mut self, now: Timestamp, payers: &[Payer], price: Price, is_new: bool) {
        let shard = self.shard;
        let mut table = self.table();
        let now = table.clock(now);
        table.sweep(now);
        for (counted, limits) in payers {
            let account = table.accounts.entry(counted.clone()).or_default();
            account.limits = *limits;
            account.settle(now);
            if is_new {
                account.add(now, u128::from(price.per_call.0) * MILLIONTH);
            }
            let running = account.share(shard);
            *running = running.saturating_add(u128::from(price.per_minute.0));
        }
    }

    /// A call that has begun is over.
    pub fn end(&mut self, now: Timestamp, payers: &[Payer], price: Price) {
        let shard = self.shard;
        let mut table = self.table();
        let now = table.clock(now);
        for (counted, _) in payers {
            if let Some(account) = table.accounts.get_mut(counted) {
                account.settle(now);
                let running = account.share(shard);
                *running = running.saturating_sub(u128::from(price.per_minute.0));
            }
        }
    }

    /// The limits of these accounts, or with `None` of all, that are reached and that nobody was told of.
    pub fn news(&mut self, now: Timestamp, of: Option<&[Payer]>) -> Vec<Spent> {
        let mut news = Vec::new();
        let mut table = self.table();
        let now = table.clock(now);
        match of {
            Some(payers) => {
                for (counted, _) in payers {
                    if let Some(account) = table.accounts.get_mut(counted) {
                        account.news(now, counted, &mut news);
                    }
                }
            }
            None => {
                for (counted, account) in &mut table.accounts {
                    account.news(now, counted, &mut news);
                }
            }
        }
        news
    }

    /// Compares what this shard's calls cost with what it is held to be, and makes them agree: what a step
    /// that failed has left behind must not cost for ever. Says on how many accounts they did not.
    pub fn recount<'b>(
        &mut self,
        now: Timestamp,
        running: impl Iterator<Item = (&'b [Payer], Price)>,
    ) -> usize {
        let mut wanted: BTreeMap<&Counted, u128> = BTreeMap::new();
        for (payers, price) in running {
            for (counted, _) in payers {
                let sum = wanted.entry(counted).or_default();
                *sum = sum.saturating_add(u128::from(price.per_minute.0));
            }
        }
        let (shard, mut wrong) = (self.shard, 0);
        let mut table = self.table();
        let now = table.clock(now);
        for (counted, account) in &mut table.accounts {
            let wanted = wanted.get(counted).copied().unwrap_or_default();
            if *account.share(shard) != wanted {
                account.settle(now);
                *account.share(shard) = wanted;
                wrong += 1;
            }
        }
        wrong
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        locked(&self.table)
    }
}

fn locked(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    // It is consistent between any two statements that change it.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    /// The time of a shard on the table's clock.
    fn clock(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_micros(now.as_micros().saturating_add(self.origin))
    }

    /// Callers choose numbers, so what was spent long ago must not stay for ever.
    fn sweep(&mut self, now: Timestamp) {
        if self.accounts.len() < self.sweep_at.max(LEAST_SWEEP) {
            return;
        }
        self.accounts.retain(|_, account| {
            account.settle(now);
            account.rate() > 0 || account.spent(now, Period::Day) > 0
        });
        self.sweep_at = 2 * self.accounts.len();
    }
}

impl Account {
    fn share(&mut self, shard: usize) -> &mut u128 {
        if self.running.len() <= shard {
            self.running.resize(shard + 1, 0);
        }
        &mut self.running[shard]
    }

    fn rate(&self) -> u128 {
        let running = self.running.iter();
        running.fold(0, |sum: u128, own| sum.saturating_add(*own))
    }

    /// What the running calls have cost until now goes into the sums.
    fn settle(&mut self, now: Timestamp) {
        // The clock of another shard may be a little behind.
        let (from, to) = (self.settled, now.max(self.settled));
        self.settled = to;
        let rate = self.rate();
        if rate == 0 {
            return;
        }
        for period in Period::ALL {
            self.sum(period).run(from, to, rate, period.part());
        }
    }

    fn add(&mut self, now: Timestamp, amount: u128) {
        for period in Period::ALL {
            let part = now.max(self.settled).as_micros() / period.part();
            self.sum(period).add(part, amount);
        }
    }

    fn sum(&mut self, period: Period) -> &mut Sum {
        match period {
            Period::Hour => &mut self.hour,
            Period::Day => &mut self.day,
        }
    }

    fn spent(&self, now: Timestamp, period: Period) -> u128 {
        let sum = match period {
            Period::Hour => &self.hour,
            Period::Day => &self.day,
        };
        sum.since(oldest(now, period))
    }

    /// The limits that are reached, once it is settled.
    fn reached<'a>(
        &'a self,
        now: Timestamp,
        counted: &'a Counted,
    ) -> impl Iterator<Item = Spent> + 'a {
        let limits = Period::ALL.into_iter();
        let limits = limits.filter_map(|period| Some((period, period.limit(&self.limits)?)));
        limits.filter_map(move |(period, limit)| {
            let spent = money(self.spent(now, period));
            (spent >= limit).then(|| Spent {
                counted: counted.clone(),
                period,
                limit,
                spent,
                action: self.limits.action,
                refusal: status_of(self.limits.refusal),
            })
        })
    }

    fn news(&mut self, now: Timestamp, counted: &Counted, news: &mut Vec<Spent>) {
        self.settle(now);
        let reached: Vec<Spent> = self.reached(now, counted).collect();
        let is_new = |spent: &&Spent| !self.told.contains(&spent.period);
        news.extend(reached.iter().filter(is_new).cloned());
        self.told = reached.iter().map(|spent| spent.period).collect();
    }
}

/// What is counted in the table's measure, in whole millionths.
fn money(counted: u128) -> Money {
    Money(u64::try_from(counted / MILLIONTH).unwrap_or(u64::MAX))
}

/// The first part of a period that still counts.
fn oldest(now: Timestamp, period: Period) -> u64 {
    (now.as_micros() / period.part()).saturating_sub(PARTS)
}

impl Sum {
    /// Calls at this rate go on from one time to another.
    fn run(&mut self, from: Timestamp, to: Timestamp, rate: u128, part: u64) {
        let end = to.as_micros();
        let first = (end / part).saturating_sub(PARTS) * part;
        let mut at = from.as_micros().max(first);
        while at < end {
            let index = at / part;
            let until = ((index + 1) * part).min(end);
            self.add(index, rate.saturating_mul(u128::from(until - at)));
            at = until;
        }
    }

    fn add(&mut self, part: u64, amount: u128) {
        self.0.retain(|(own, _)| own.saturating_add(PARTS) >= part);
        match self.0.last_mut() {
            Some((own, sum)) if *own == part => *sum = sum.saturating_add(amount),
            _ => self.0.push((part, amount)),
        }
    }

    fn since(&self, oldest: u64) -> u128 {
        let counting = self.0.iter().filter(|(part, _)| *part >= oldest);
        counting.fold(0, |sum: u128, (_, amount)| sum.saturating_add(*amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LimitRefusal;

    const MINUTE: u64 = 60_000_000;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_micros(minutes * MINUTE)
    }

    fn payer(per_hour: u64, per_day: u64) -> Vec<Payer> {
        let limits = SpendLimits {
            per_hour: Some(Money(per_hour)),
            per_day: Some(Money(per_day)),
            refusal: LimitRefusal::Forbidden,
            ..SpendLimits::default()
        };
        vec![(Counted::Node, limits)]
    }

    fn price(per_minute: u64, per_call: u64) -> Price {
        Price {
            per_minute: Money(per_minute),
            per_call: Money(per_call),
        }
    }

    #[test]
    fn a_running_call_costs_to_the_microsecond_and_an_ended_one_no_more() {
        let payers = payer(10_000_000, u64::MAX);
        let mut spending = Spending::default();
        spending.begin(at(5), &payers, price(1_000_000, 500_000), true);
        // 9.5 units of minutes are left.
        let almost = Timestamp::from_micros(at(14).as_micros() + 29_999_999);
        assert_eq!(spending.check(almost, &payers), Ok(()));
        let reached = Timestamp::from_micros(at(14).as_micros() + 30_000_000);
        let spent = spending.check(reached, &payers).expect_err("spent");
        assert_eq!(
            spent.to_string(),
            "the node has spent 10.00 of its 10.00 per hour"
        );
        assert_eq!(spent.refused().cause, CauseCode::SpendReached);
        assert_eq!(spent.refused().status, Status::FORBIDDEN);
        spending.end(reached, &payers, price(1_000_000, 500_000));
        let spent = spending.check(at(40), &payers).expect_err("spent still");
        assert_eq!(spent.spent, Money(10_000_000));
    }

    #[test]
    fn an_hour_later_there_is_money_again_and_a_long_call_counts_with_its_last_hour() {
        let payers = payer(63_000_000, 180_000_000);
        let mut spending = Spending::default();
        spending.begin(at(0), &payers, price(1_000_000, 0), true);
        // Never less than an hour and never more than one and a 24th of it is remembered.
        for minutes in [59, 100, 119, 150] {
            assert_eq!(spending.check(at(minutes), &payers), Ok(()), "{minutes}");
        }
        let day = spending.check(at(180), &payers).expect_err("the day");
        assert_eq!((day.period, day.spent), (Period::Day, Money(180_000_000)));
        spending.end(at(180), &payers, price(1_000_000, 0));
        assert!(spending.check(at(24 * 60), &payers).is_err());
        assert_eq!(spending.check(at(28 * 60), &payers), Ok(()));
    }

    #[test]
    fn shards_spend_the_same_money_and_what_one_has_lost_it_finds() {
        let payers = payer(2_000_000, u64::MAX);
        let mut first = Spending::default();
        let mut second = first.of(ShardId(1));
        first.begin(at(0), &payers, price(1_000_000, 0), true);
        second.begin(at(0), &payers, price(1_000_000, 0), true);
        assert_eq!(second.check(at(0), &payers), Ok(()));
        assert!(second.check(at(1), &payers).is_err());
        // The second shard has lost its call in a step that failed.
        let nothing = std::iter::empty();
        assert_eq!(second.recount(at(1), nothing.clone()), 1);
        assert_eq!(second.recount(at(1), nothing), 0);
        let own = [(&payers[..], price(1_000_000, 0))];
        assert_eq!(first.recount(at(1), own.into_iter()), 0);
        let spent = first.check(at(2), &payers).expect_err("spent");
        assert_eq!(spent.spent, Money(3_000_000));
    }

    #[test]
    fn a_limit_is_told_once_until_there_is_money_again() {
        let payers = payer(1_000_000, u64::MAX);
        let mut spending = Spending::default();
        assert!(spending.news(at(0), Some(&payers)).is_empty());
        for (start, told) in [(0, 1), (1, 0), (90, 1)] {
            spending.begin(at(start), &payers, price(0, 1_000_000), true);
            assert_eq!(
                spending.news(at(start), Some(&payers)).len(),
                told,
                "{start}"
            );
            assert!(spending.news(at(start), None).is_empty());
            if start == 1 {
                assert!(spending.news(at(70), None).is_empty(), "money again");
            }
        }
    }

    #[test]
    fn what_was_spent_long_ago_is_forgotten() {
        let mut spending = Spending::default();
        for number in 0..LEAST_SWEEP as u64 + 1 {
            let counted = Counted::Numbers("each".to_owned(), Some(number.to_string()));
            let payers = [(counted, payer(1, 1)[0].1)];
            let now = at(number * 60);
            spending.begin(now, &payers, price(1, 1), true);
            spending.end(now, &payers, price(1, 1));
        }
        let left = spending.table().accounts.len();
        assert!((24..=27).contains(&left), "{left}");
        let mut long = Sum::default();
        long.run(at(0), at(60 * 24 * 365), 1, Period::Hour.part());
        assert!(long.0.len() <= 26, "{}", long.0.len());
    }
}
