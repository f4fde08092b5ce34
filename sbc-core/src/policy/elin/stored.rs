//! Numbers that are lent, in words, so that who called for help is called back after a restart as well
//! (TDR-EMG-005).
//!
//! Calls that go on are over with a restart, so their time begins with it. What is read is believed only
//! within bounds, and a caller is led to only if the configuration still says that it is the customer's.

use super::{Elins, Lease, MOST};
use crate::id::TenantName;
use crate::time::{Timestamp, UnixTime};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Longest name or number, in bytes.
const LONGEST: usize = 128;
/// Longest time that a number is kept: a day, as in the configuration.
const LONGEST_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// What is lent at a moment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// What the wall clock said, in microseconds since 1970.
    pub wall: u64,
    /// Each number.
    pub numbers: Vec<WrittenNumber>,
}

/// One number that is lent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenNumber {
    /// Customer.
    pub tenant: String,
    /// The number.
    pub number: String,
    /// Who called for help.
    pub user: String,
    /// For how many milliseconds after the call it is kept.
    pub keep_ms: u64,
    /// How many milliseconds ago the last call under it ended; nothing while one goes on.
    pub over_ms: Option<u64>,
}

/// Why what was written is not taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unbelievable {
    /// More numbers than are ever lent.
    TooMany,
    /// A name or number that is empty or too long.
    Name,
    /// A number that is kept for longer than any is.
    Time,
}

impl fmt::Display for Unbelievable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "it has more numbers than are ever lent",
            Self::Name => "a name or number in it is empty or too long",
            Self::Time => "a number in it is kept for longer than a day",
        })
    }
}

impl std::error::Error for Unbelievable {}

impl Elins {
    /// What is lent, if that has changed since it had this state, with the state that it has now.
    pub fn written(&self, before: u64, now: Timestamp, wall: UnixTime) -> Option<(u64, Written)> {
        let table = self.lock();
        if table.changes == before {
            return None;
        }
        let lent = table.leases.iter().filter(|(_, lease)| !lease.is_over(now));
        let numbers = lent.map(|((tenant, number), lease)| WrittenNumber {
            tenant: tenant.to_string(),
            number: number.clone(),
            user: lease.user.clone(),
            keep_ms: ms(lease.keep),
            over_ms: (lease.calls == 0).then(|| ms(now.max(lease.since).since(lease.since))),
        });
        let fits = |one: &WrittenNumber| is_name(&one.number) && one.user.len() <= LONGEST;
        let written = Written {
            wall: wall.as_micros(),
            numbers: numbers.filter(fits).collect(),
        };
        Some((table.changes, written))
    }

    /// Takes over what was written by whoever ran before; gives how many numbers are lent still.
    ///
    /// # Errors
    /// [`Unbelievable`]; then nothing has changed.
    pub fn restore(
        &self,
        written: &Written,
        now: Timestamp,
        wall: UnixTime,
    ) -> Result<usize, Unbelievable> {
        if written.numbers.len() > MOST {
            return Err(Unbelievable::TooMany);
        }
        // A clock that went back makes nothing older.
        let passed = wall.as_micros().saturating_sub(written.wall) / 1_000;
        let mut lent = Vec::new();
        for one in &written.numbers {
            if !is_name(&one.tenant) || !is_name(&one.number) || one.user.len() > LONGEST {
                return Err(Unbelievable::Name);
            }
            let keep = Duration::from_millis(one.keep_ms);
            if keep > LONGEST_KEPT {
                return Err(Unbelievable::Time);
            }
            let over = one.over_ms.map_or(0, |ms| ms.saturating_add(passed));
            let left = keep.saturating_sub(Duration::from_millis(over));
            if !left.is_zero() {
                lent.push((over, one, left));
            }
        }
        // Those that are over for the longest time are lent first again.
        lent.sort_by_key(|(over, ..)| std::cmp::Reverse(*over));
        let mut table = self.lock();
        for (rank, (_, one, keep)) in (0..).zip(&lent) {
            let lease = Lease {
                user: one.user.clone(),
                calls: 0,
                since: now + Duration::from_micros(rank),
                keep: *keep,
            };
            let elin = (TenantName::new(&one.tenant), one.number.clone());
            table.leases.entry(elin).or_insert(lease);
        }
        Ok(lent.len())
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(2_700);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    fn wall(seconds: u64) -> UnixTime {
        UnixTime::from_micros((1_800_000_000 + seconds) * 1_000_000)
    }

    fn lend(elins: &Elins, seconds: u64, user: &str) -> String {
        let pool = ["+1001", "+1002"].map(str::to_owned);
        let tenant = TenantName::new("contoso");
        let lent = elins.lend(at(seconds), &tenant, &pool, user, KEEP);
        lent.expect("a number").number
    }

    #[test]
    fn who_called_for_help_is_found_after_a_restart_for_as_long_as_without_one() {
        let (before, tenant) = (Elins::default(), TenantName::new("contoso"));
        assert_eq!(before.written(0, at(0), wall(0)), None, "nothing was lent");
        lend(&before, 0, "a");
        lend(&before, 0, "b");
        before.give_back(at(100), &tenant, "+1001", "a");
        let (state, written) = before.written(0, at(200), wall(200)).expect("a change");
        assert_eq!(before.written(state, at(300), wall(300)), None);
        assert_eq!(written.numbers[0].over_ms, Some(100_000));
        assert_eq!(written.numbers[1].over_ms, None, "b's call goes on");
        // Read 300 s later.
        let after = Elins::default();
        assert_eq!(after.restore(&written, at(0), wall(500)), Ok(2));
        let found = |seconds, number| after.caller_of(at(seconds), &tenant, number);
        // 400 s of a's time are over; b's begins now.
        assert_eq!(found(2_299, "+1001").as_deref(), Some("a"));
        assert_eq!(found(2_301, "+1001"), None);
        assert_eq!(found(2_699, "+1002").as_deref(), Some("b"));
        assert_eq!(found(2_701, "+1002"), None);
        // The one that is over for longer is lent first.
        assert_eq!(lend(&after, 10, "c"), "+1001");
        assert_eq!(after.restore(&written, at(0), wall(9_000)), Ok(1));
    }

    #[test]
    fn what_nobody_can_have_written_is_not_believed() {
        let good = WrittenNumber {
            tenant: "contoso".to_owned(),
            number: "+1001".to_owned(),
            user: "+1100".to_owned(),
            keep_ms: 60_000,
            over_ms: Some(u64::MAX),
        };
        let long = "9".repeat(LONGEST + 1);
        let with = |change: &dyn Fn(&mut WrittenNumber)| {
            let mut one = good.clone();
            change(&mut one);
            vec![good.clone(), one]
        };
        for (numbers, wanted) in [
            (vec![good.clone(); MOST + 1], Err(Unbelievable::TooMany)),
            (with(&|one| one.tenant.clear()), Err(Unbelievable::Name)),
            (
                with(&|one| one.number = long.clone()),
                Err(Unbelievable::Name),
            ),
            (
                with(&|one| one.user = long.clone()),
                Err(Unbelievable::Name),
            ),
            (with(&|one| one.keep_ms = u64::MAX), Err(Unbelievable::Time)),
            (vec![good.clone()], Ok(0)),
        ] {
            let written = Written { wall: 0, numbers };
            let elins = Elins::default();
            assert_eq!(elins.restore(&written, at(0), wall(0)), wanted);
            assert!(elins.is_empty());
        }
    }
}
