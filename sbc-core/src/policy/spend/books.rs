//! What was spent, read from outside: written down in words for after a restart, and in figures for
//! metrics.
//!
//! What is written down has the cost of running calls up to that moment, so a call that goes on is in it
//! once. The table's clock is written down too: after a restart it goes on from there, by the time that
//! passed meanwhile as the wall clock tells it, and so parts of hours and days stay what they were.

use super::{Account, MILLIONTH, PARTS, Period, Spending, Sum, Table, locked, money};
use crate::config::Money;
use crate::policy::admission::Counted;
use crate::time::{Timestamp, UnixTime};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Most accounts that are written down: those on which most was spent. With the longest name and the
/// parts of a period it bounds what is written to some 50 MB; usual accounts need 100 bytes.
pub const MOST_ACCOUNTS: usize = 20_000;

/// Longest name or number of an account that is written down, in bytes.
const LONGEST_NAME: usize = 128;

/// Latest time that is believed, in microseconds: some 140,000 years.
const LATEST: u64 = 1 << 62;

/// The table of what was spent, from outside of the shards. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Books(Arc<Mutex<Table>>);

/// The table as it was at a moment. Shards take what is behind its lock with every call that is answered, so
/// that is copied at once, and read at leisure.
struct Snapshot {
    accounts: Vec<(Counted, Account)>,
    /// The moment on the table's clock.
    clock: Timestamp,
}

impl Snapshot {
    /// What was spent on each account within a day of those on which anything was, with all that was
    /// spent until the moment.
    fn settled(&mut self) -> impl Iterator<Item = (u128, &Counted, &Account)> {
        let clock = self.clock;
        let all = self.accounts.iter_mut().map(move |(counted, account)| {
            account.settle(clock);
            (account.spent(clock, Period::Day), &*counted, &*account)
        });
        all.filter(|(spent, ..)| *spent > 0)
    }

    /// It in words, if the wall clock says this.
    fn written(mut self, wall: UnixTime) -> Written {
        let clock = self.clock;
        let mut spent: Vec<_> = self.settled().collect();
        let left_out = spent.len().saturating_sub(MOST_ACCOUNTS);
        if left_out > 0 {
            spent.sort_by_key(|(spent, ..)| Reverse(*spent));
            spent.truncate(MOST_ACCOUNTS);
            spent.sort_by_key(|(_, counted, _)| *counted);
        }
        let accounts = spent.into_iter();
        let accounts =
            accounts.map(|(_, counted, account)| WrittenAccount::of(counted, account, clock));
        let accounts = accounts.filter(WrittenAccount::is_short);
        Written {
            wall: wall.as_micros(),
            clock: clock.as_micros(),
            accounts: accounts.collect(),
            left_out,
        }
    }

    fn figures(mut self) -> Vec<Figure> {
        let clock = self.clock;
        let mut figures: BTreeMap<(Counted, Period), (u128, Option<Money>)> = BTreeMap::new();
        for (_, counted, account) in self.settled() {
            let counted = match counted {
                Counted::Numbers(limit, _) => Counted::Numbers(limit.clone(), None),
                other => other.clone(),
            };
            for period in Period::ALL {
                let spent = account.spent(clock, period);
                let figure = figures.entry((counted.clone(), period)).or_default();
                figure.0 = figure.0.max(spent);
                figure.1 = figure.1.or(period.limit(&account.limits));
            }
        }
        let figures = figures.into_iter();
        let figures = figures.map(|((counted, period), (spent, limit))| Figure {
            counted,
            period,
            spent: money(spent),
            limit,
        });
        figures.collect()
    }
}

/// What was spent until a moment, in words.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// What the wall clock said, in microseconds since 1970.
    pub wall: u64,
    /// What the table's clock said, in microseconds.
    pub clock: u64,
    /// Accounts on which anything was spent that still counts, at most [`MOST_ACCOUNTS`].
    pub accounts: Vec<WrittenAccount>,
    /// Accounts with less spent on them that had no room.
    pub left_out: usize,
}

/// One account in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenAccount {
    /// What it is of: `node`, `trunk`, `inbound`, `outbound`, `tenant`, `route` or `limit`.
    pub of: String,
    /// The configured name; empty for the node.
    pub name: String,
    /// The number, where a limit counts each by itself.
    pub number: Option<String>,
    /// Parts of the last hour: number on the table's clock, and millionths of the currency's unit.
    pub hour: Vec<(u64, u64)>,
    /// Parts of the last day, alike.
    pub day: Vec<(u64, u64)>,
}

/// Why what was written down is not taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unbelievable {
    /// More accounts than are ever written.
    TooMany,
    /// A time of no clock.
    Clock,
    /// An account of nothing that is known, or whose name is too long.
    Account,
    /// Parts that are out of order, too many, or of another time.
    Parts,
}

impl fmt::Display for Unbelievable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "there are more accounts than are ever written",
            Self::Clock => "its time is that of no clock",
            Self::Account => "an account is of nothing that is known",
            Self::Parts => "parts of an hour or a day are out of order",
        })
    }
}

/// What was made of what was written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restored {
    /// Accounts that are known again.
    pub accounts: usize,
    /// Whether it was written later than now: the wall clock was set back, and nothing is forgotten for
    /// the time meanwhile, because nobody knows how long that was.
    pub is_from_the_future: bool,
}

/// What was spent on what is configured, for metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figure {
    /// Whose; where a limit counts each number by itself, the limit without any number.
    pub counted: Counted,
    /// In which time.
    pub period: Period,
    /// How much, until now; of numbers the one on which most was.
    pub spent: Money,
    /// What may be, as when a call was last let in or refused; `None` if nothing limits it, or nobody
    /// has called since the restart.
    pub limit: Option<Money>,
}

impl Spending {
    /// The same table, from outside.
    pub fn books(&self) -> Books {
        Books(Arc::clone(&self.table))
    }
}

impl Books {
    /// Writes down what was spent until now, on the clock of the shards and on the wall clock.
    pub fn write(&self, now: Timestamp, wall: UnixTime) -> Written {
        self.snapshot(now).written(wall)
    }

    pub(super) fn table(&self) -> &Mutex<Table> {
        &self.0
    }

    fn snapshot(&self, now: Timestamp) -> Snapshot {
        let table = locked(&self.0);
        // The clock of a shard may be a little ahead.
        let settled = table.accounts.values().map(|account| account.settled);
        let clock = settled.fold(table.clock(now), Timestamp::max);
        let accounts = table.accounts.iter();
        let accounts = accounts.map(|(counted, account)| (counted.clone(), account.clone()));
        Snapshot {
            accounts: accounts.collect(),
            clock,
        }
    }

    /// Takes over what was written down before a restart, in place of all that is known: before the first
    /// shard starts, when the clock of the shards begins.
    ///
    /// # Errors
    /// [`Unbelievable`]; nothing is changed then.
    pub fn restore(&self, written: &Written, wall: UnixTime) -> Result<Restored, Unbelievable> {
        if written.accounts.len() > MOST_ACCOUNTS {
            return Err(Unbelievable::TooMany);
        }
        if written.clock > LATEST || written.wall > LATEST {
            return Err(Unbelievable::Clock);
        }
        let clock = Timestamp::from_micros(written.clock);
        let accounts = written.accounts.iter();
        let accounts = accounts.map(|one| one.account(clock));
        let accounts: BTreeMap<Counted, Account> = accounts.collect::<Result<_, _>>()?;
        let gone = wall.as_micros().checked_sub(written.wall);
        let restored = Restored {
            accounts: accounts.len(),
            is_from_the_future: gone.is_none(),
        };
        let mut table = locked(&self.0);
        table.origin = written.clock.saturating_add(gone.unwrap_or(0));
        table.accounts = accounts;
        Ok(restored)
    }

    /// What was spent on everything that is configured, if it was anything within a day. There are never
    /// more figures than the configuration has limits on money, twice.
    pub fn figures(&self, now: Timestamp) -> Vec<Figure> {
        self.snapshot(now).figures()
    }
}

impl WrittenAccount {
    fn of(counted: &Counted, account: &Account, clock: Timestamp) -> Self {
        let (of, number) = match counted {
            Counted::Node => ("node", None),
            Counted::Trunk(_) => ("trunk", None),
            Counted::Inbound(_) => ("inbound", None),
            Counted::Outbound(_) => ("outbound", None),
            Counted::Tenant(_) => ("tenant", None),
            Counted::Route(_) => ("route", None),
            Counted::Announced(_) => ("announced", None),
            Counted::Transcoding => ("transcoding", None),
            Counted::Numbers(_, number) => ("limit", number.clone()),
        };
        Self {
            of: of.to_owned(),
            name: counted.name().to_owned(),
            number,
            hour: account.hour.words(clock, Period::Hour),
            day: account.day.words(clock, Period::Day),
        }
    }

    fn is_short(&self) -> bool {
        let number = self.number.as_ref().map_or(0, String::len);
        self.name.len().max(number) <= LONGEST_NAME
    }

    fn counted(&self) -> Option<Counted> {
        let name = self.name.as_str();
        let counted = match (self.of.as_str(), &self.number) {
            ("limit", number) => Counted::Numbers(name.to_owned(), number.clone()),
            (_, Some(_)) => return None,
            ("node", None) => Counted::Node,
            ("trunk", None) => Counted::Trunk(name.into()),
            ("inbound", None) => Counted::Inbound(name.into()),
            ("outbound", None) => Counted::Outbound(name.into()),
            ("tenant", None) => Counted::Tenant(name.into()),
            ("route", None) => Counted::Route(name.into()),
            ("announced", None) => Counted::Announced(name.into()),
            ("transcoding", None) => Counted::Transcoding,
            _ => return None,
        };
        Some(counted)
    }

    fn account(&self, clock: Timestamp) -> Result<(Counted, Account), Unbelievable> {
        let counted = self.counted().filter(|_| self.is_short());
        let sum = |words, period| Sum::read(words, clock, period).ok_or(Unbelievable::Parts);
        let account = Account {
            settled: clock,
            hour: sum(&self.hour, Period::Hour)?,
            day: sum(&self.day, Period::Day)?,
            ..Account::default()
        };
        Ok((counted.ok_or(Unbelievable::Account)?, account))
    }
}

impl Sum {
    /// The parts that still count. What is less than a millionth is written as one: in doubt more was
    /// spent.
    fn words(&self, clock: Timestamp, period: Period) -> Vec<(u64, u64)> {
        let oldest = super::oldest(clock, period);
        let parts = self.0.iter().filter(|(part, _)| *part >= oldest);
        let parts = parts.map(|(part, amount)| {
            let amount = u64::try_from(amount.div_ceil(MILLIONTH)).unwrap_or(u64::MAX);
            (*part, amount)
        });
        parts.collect()
    }

    /// What [`Self::words`] has written at this time.
    fn read(words: &[(u64, u64)], clock: Timestamp, period: Period) -> Option<Self> {
        let last = clock.as_micros() / period.part();
        let is_in_order = words.is_sorted_by(|(one, _), (next, _)| one < next);
        let is_of_the_time = words
            .iter()
            .all(|(part, _)| *part <= last && part.saturating_add(PARTS) >= last);
        let parts = words.iter();
        let parts = parts.map(|(part, amount)| (*part, u128::from(*amount) * MILLIONTH));
        (is_in_order && is_of_the_time).then(|| Self(parts.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Price, SpendLimits};
    use crate::policy::spend::Payer;

    const MINUTE: u64 = 60_000_000;
    const WALL: u64 = 1_800_000_000_000_000;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_micros(minutes * MINUTE)
    }

    fn wall(minutes: u64) -> UnixTime {
        UnixTime::from_micros(WALL + minutes * MINUTE)
    }

    fn payers(counted: Counted, per_hour: u64) -> Vec<Payer> {
        let limits = SpendLimits {
            per_hour: Some(Money(per_hour)),
            ..SpendLimits::default()
        };
        vec![(counted, limits)]
    }

    const UNIT: Price = Price {
        per_minute: Money(1_000_000),
        per_call: Money(0),
    };

    /// A node on which a call of a unit per minute goes on since it started, and what it writes.
    fn running(minutes: u64) -> (Spending, Written) {
        let mut spending = Spending::default();
        spending.begin(at(0), &payers(Counted::Node, 1), UNIT, true);
        let written = spending.books().write(at(minutes), wall(minutes));
        (spending, written)
    }

    fn restarted(written: &Written, at: UnixTime) -> Spending {
        let spending = Spending::default();
        spending.books().restore(written, at).expect("believable");
        spending
    }

    fn spent(spending: &Spending, now: Timestamp) -> [u64; 2] {
        let figures = spending.books().figures(now);
        let of = |period| figures.iter().find(|figure| figure.period == period);
        [Period::Hour, Period::Day].map(|period| of(period).map_or(0, |figure| figure.spent.0))
    }

    #[test]
    fn a_restart_forgets_nothing_and_a_call_that_went_on_costs_once() {
        let (mut before, written) = running(30);
        assert_eq!(spent(&before, at(30)), [30_000_000; 2]);
        let again = before.books().write(at(30), wall(30));
        assert_eq!(again, written, "writing changes nothing");
        let mut after = restarted(&written, wall(31));
        assert_eq!(spent(&after, at(0)), [30_000_000; 2]);
        let payers = payers(Counted::Node, 30_000_000);
        assert!(after.check(at(0), &payers).is_err());
        // Read twice, as after a crash before anything was written.
        let books = after.books();
        assert!(books.restore(&written, wall(31)).is_ok());
        assert_eq!(spent(&after, at(0)), [30_000_000; 2]);
        // Its own money goes on top.
        after.begin(at(1), &payers, UNIT, true);
        assert_eq!(spent(&after, at(2)), [31_000_000; 2]);
        before.end(at(30), &payers, UNIT);
    }

    #[test]
    fn an_hour_passes_while_nothing_runs_and_restarts_do_not_make_it_longer() {
        let (_, mut written) = running(10);
        assert_eq!(spent(&restarted(&written, wall(59)), at(0))[0], 10_000_000);
        let later = restarted(&written, wall(73));
        assert_eq!(spent(&later, at(0)), [0, 10_000_000]);
        // It is restarted every other minute: what was spent in an hour is still forgotten after one.
        for minute in (12..=72).step_by(2) {
            let spending = restarted(&written, wall(minute - 1));
            written = spending.books().write(at(1), wall(minute));
        }
        assert_eq!(spent(&restarted(&written, wall(73)), at(0))[0], 0);
    }

    #[test]
    fn a_clock_that_was_set_back_forgets_nothing_and_is_told() {
        let (_, written) = running(10);
        let spending = Spending::default();
        let restored = spending.books().restore(&written, wall(0)).unwrap();
        let expected = Restored {
            accounts: 1,
            is_from_the_future: true,
        };
        assert_eq!(restored, expected);
        assert_eq!(spent(&spending, at(0)), [10_000_000; 2]);
    }

    #[test]
    fn every_account_is_itself_again() {
        let mut spending = Spending::default();
        let all = [
            Counted::Node,
            Counted::Trunk("a".into()),
            Counted::Inbound("a".into()),
            Counted::Outbound("a".into()),
            Counted::Tenant("a".into()),
            Counted::Route("a".into()),
            Counted::Announced("a".into()),
            Counted::Transcoding,
            Counted::Numbers("a".to_owned(), None),
            Counted::Numbers("a".to_owned(), Some("+4930".to_owned())),
        ];
        for (number, counted) in all.iter().enumerate() {
            let price = Price {
                per_call: Money(number as u64 + 1),
                ..UNIT
            };
            let payers = payers(counted.clone(), 1);
            spending.begin(at(0), &payers, price, true);
            spending.end(at(0), &payers, price);
        }
        let written = spending.books().write(at(1), wall(1));
        let after = restarted(&written, wall(1));
        let table = locked(&after.table);
        let known: Vec<_> = table.accounts.keys().cloned().collect();
        assert_eq!(known.len(), all.len());
        for (number, counted) in all.iter().enumerate() {
            let spent = table.accounts[counted].spent(at(1), Period::Hour);
            assert_eq!(money(spent), Money(number as u64 + 1), "{counted}");
        }
    }

    #[test]
    fn what_cannot_be_is_not_believed_and_changes_nothing() {
        let (_, written) = running(10);
        let changed = |change: fn(&mut Written)| {
            let mut written = written.clone();
            change(&mut written);
            written
        };
        let cases = [
            (changed(|one| one.clock = u64::MAX), Unbelievable::Clock),
            (changed(|one| one.wall = u64::MAX), Unbelievable::Clock),
            (changed(|one| one.clock = 0), Unbelievable::Parts),
            (
                changed(|one| one.accounts[0].hour.reverse()),
                Unbelievable::Parts,
            ),
            (
                changed(|one| one.accounts[0].day = vec![(0, 1), (0, 1)]),
                Unbelievable::Parts,
            ),
            (
                changed(|one| one.accounts[0].of = "purse".to_owned()),
                Unbelievable::Account,
            ),
            (
                changed(|one| one.accounts[0].name = "a".repeat(LONGEST_NAME + 1)),
                Unbelievable::Account,
            ),
            (
                changed(|one| one.accounts = vec![one.accounts[0].clone(); MOST_ACCOUNTS + 1]),
                Unbelievable::TooMany,
            ),
        ];
        for (written, why) in cases {
            let spending = Spending::default();
            assert_eq!(spending.books().restore(&written, wall(10)), Err(why));
            assert!(locked(&spending.table).accounts.is_empty());
        }
        let most = changed(|one| {
            one.accounts[0].hour = vec![(4, u64::MAX)];
            one.accounts[0].day = vec![(0, u64::MAX)];
        });
        assert_eq!(
            spent(&restarted(&most, wall(10)), at(0)),
            [u64::MAX, u64::MAX]
        );
    }

    #[test]
    fn no_shard_waits_until_what_was_spent_is_in_words_or_figures() {
        let (spending, expected) = running(30);
        let (one, other) = (
            spending.books().snapshot(at(30)),
            spending.books().snapshot(at(30)),
        );
        // As a shard does that answers a call meanwhile: whoever wants the lock waits for ever here.
        let held = locked(&spending.table);
        assert_eq!(one.written(wall(30)), expected);
        let figures = other.figures();
        drop(held);
        assert_eq!(figures, spending.books().figures(at(30)));
    }

    #[test]
    fn accounts_with_the_least_spent_are_left_out_where_there_are_too_many() {
        let mut spending = Spending::default();
        for number in 0..=MOST_ACCOUNTS as u64 {
            let counted = Counted::Numbers("each".to_owned(), Some(number.to_string()));
            let payers = payers(counted, 1);
            let price = Price {
                per_call: Money(1 + number),
                ..UNIT
            };
            spending.begin(at(0), &payers, price, true);
            spending.end(at(0), &payers, price);
        }
        let written = spending.books().write(at(0), wall(0));
        assert_eq!(written.accounts.len(), MOST_ACCOUNTS);
        assert_eq!(written.left_out, 1);
        let first = |one: &WrittenAccount| one.number.as_deref() == Some("0");
        assert!(!written.accounts.iter().any(first));
        // All numbers of a limit are one figure.
        assert_eq!(
            spent(&spending, at(0)),
            [MOST_ACCOUNTS as u64 + 1, MOST_ACCOUNTS as u64 + 1]
        );
        assert_eq!(spending.books().figures(at(0)).len(), 2);
    }
}
