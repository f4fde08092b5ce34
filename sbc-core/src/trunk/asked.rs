//! When Teams may be asked next, for each name of ours and each of its own: not more often than once a minute,
//! however many trunks, addresses, reloads and restarts there are (TDR-OPT-006, TDR-OPT-009).

use crate::time::{Timestamp, UnixTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shortest time between two OPTIONS of a pair of names.
pub(super) const SHORTEST: Duration = Duration::from_secs(60);
/// Longest time between them, however long Teams asks for a pause: it takes us for dead after three minutes.
pub(super) const LONGEST: Duration = Duration::from_secs(110);
/// Most pairs that are read from a file.
const MOST: usize = 4_096;
/// Longest name, in bytes.
const LONGEST_NAME: usize = 255;

/// Our name and the name of a proxy.
pub(super) type Pair = (String, String);

/// When each pair was asked, over all shards and as others may keep it. Cheap to clone.
#[derive(Clone, Default, Debug)]
pub struct Asked(Arc<Mutex<Table>>);

#[derive(Default, Debug)]
struct Table {
    pairs: BTreeMap<Pair, Times>,
    changes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    /// When it was asked, if that was in this run.
    at: Option<Timestamp>,
    free: Timestamp,
    /// When it was asked before that.
    before: Option<Timestamp>,
    /// Whether this was before its turn, which it has used up.
    is_early: bool,
}

/// When each pair was asked, in words.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// What the wall clock said, in microseconds since 1970.
    pub wall: u64,
    /// Each pair that has to wait.
    pub pairs: Vec<WrittenPair>,
}

/// One pair.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenPair {
    /// Our name.
    pub fqdn: String,
    /// The name that was asked.
    pub host: String,
    /// For how many milliseconds it is left alone, 0 to 120,000; a restart waits for a minute at most.
    pub wait_ms: u64,
}

impl Asked {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a pair may be asked, if that is later than now.
    pub(super) fn free(&self, now: Timestamp, pair: &Pair) -> Option<Timestamp> {
        let free = self.lock().pairs.get(pair)?.free;
        (free > now).then_some(free)
    }

    /// Whether a pair has been left alone for as long as it may be.
    pub(super) fn is_overdue(&self, now: Timestamp, pair: &Pair) -> bool {
        let at = self.lock().pairs.get(pair).and_then(|times| times.at);
        at.is_some_and(|at| at + LONGEST <= now)
    }

    /// A pair is asked.
    pub(super) fn note(&self, now: Timestamp, pair: Pair) {
        let mut table = self.lock();
        table.changes += 1;
        let before = table.pairs.get(&pair).and_then(|times| times.at);
        let times = Times {
            at: Some(now),
            free: now + SHORTEST,
            before,
            is_early: false,
        };
        table.pairs.insert(pair, times);
    }

    /// Takes the next turn of a pair now, for a question that cannot wait: who would have had it asks a minute later,
    /// so that there are no more in all. Whether it could be taken: nobody takes two in a row.
    pub fn take_turn(&self, now: Timestamp, fqdn: &str, host: &str) -> bool {
        let pair = (fqdn.to_ascii_lowercase(), host.to_ascii_lowercase());
        let mut table = self.lock();
        let last = table.pairs.get(&pair).filter(|times| times.free > now);
        if last.is_some_and(|times| times.is_early) {
            return false;
        }
        let times = Times {
            at: Some(now),
            free: last.map_or(now, |times| times.free) + SHORTEST,
            before: last.and_then(|times| times.at),
            is_early: true,
        };
        table.pairs.insert(pair, times);
        table.changes += 1;
        true
    }

    /// Nothing was sent of what was noted last: the pair may be asked.
    pub(super) fn give_back(&self, pair: &Pair) {
        let mut table = self.lock();
        let Some(times) = table.pairs.get_mut(pair) else {
            return;
        };
        if let Some(at) = times.at.filter(|_| !times.is_early) {
            (times.at, times.free) = (times.before, at);
            table.changes += 1;
        }
    }

    /// Forgets pairs that are not asked any more, once they need not be left alone.
    pub(super) fn keep(&self, now: Timestamp, is_wanted: impl Fn(&Pair) -> bool) {
        let mut table = self.lock();
        table
            .pairs
            .retain(|pair, times| times.free > now || is_wanted(pair));
    }

    /// Who has to wait, if anybody was asked since it had this state, with the state that it has now.
    pub fn written(&self, before: u64, now: Timestamp, wall: UnixTime) -> Option<(u64, Written)> {
        let table = self.lock();
        if table.changes == before {
            return None;
        }
        let waiting = table.pairs.iter().filter(|(_, times)| times.free > now);
        let pairs = waiting.map(|((fqdn, host), times)| WrittenPair {
            fqdn: fqdn.clone(),
            host: host.clone(),
            wait_ms: u64::try_from(times.free.since(now).as_millis()).unwrap_or(u64::MAX),
        });
        let written = Written {
            wall: wall.as_micros(),
            pairs: pairs.collect(),
        };
        Some((table.changes, written))
    }

    /// Takes over what was written by whoever ran before. Nobody waits for longer than a minute, whatever it
    /// says; gives how many wait.
    pub fn restore(&self, written: &Written, now: Timestamp, wall: UnixTime) -> usize {
        let passed = wall.as_micros().saturating_sub(written.wall) / 1_000;
        let mut table = self.lock();
        let mut waiting = 0;
        for one in written.pairs.iter().take(MOST) {
            let left = Duration::from_millis(one.wait_ms.saturating_sub(passed)).min(SHORTEST);
            let is_name = |name: &str| !name.is_empty() && name.len() <= LONGEST_NAME;
            if left.is_zero() || !is_name(&one.fqdn) || !is_name(&one.host) {
                continue;
            }
            let pair = (one.fqdn.clone(), one.host.clone());
            let free = now + left;
            let times = Times {
                at: None,
                free,
                before: None,
                is_early: false,
            };
            table.pairs.insert(pair, times);
            waiting += 1;
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    fn wall(seconds: u64) -> UnixTime {
        UnixTime::from_micros((1_800_000_000 + seconds) * 1_000_000)
    }

    #[test]
    fn a_restart_asks_nobody_again_within_the_minute() {
        let pair = (
            "sbc1.contoso.example".to_owned(),
            "sip.example.com".to_owned(),
        );
        let before = Asked::default();
        assert_eq!(before.written(0, at(0), wall(0)), None);
        before.note(at(100), pair.clone());
        let (state, written) = before.written(0, at(110), wall(110)).expect("a change");
        assert_eq!(before.written(state, at(120), wall(120)), None);
        let after = Asked::default();
        assert_eq!(after.restore(&written, at(0), wall(130)), 1);
        assert_eq!(after.free(at(29), &pair), Some(at(30)));
        assert_eq!(after.free(at(30), &pair), None);
        // A clock that went back, and a file that lies, cost a minute at most.
        let after = Asked::default();
        let lie = Written {
            pairs: vec![WrittenPair {
                wait_ms: u64::MAX,
                ..written.pairs[0].clone()
            }],
            ..written.clone()
        };
        assert_eq!(after.restore(&lie, at(0), wall(0)), 1);
        assert_eq!(after.free(at(1), &pair), Some(at(60)));
        assert_eq!(after.restore(&written_of(&lie), at(0), wall(900)), 0);
    }

    #[test]
    fn a_turn_in_which_nothing_was_sent_is_given_back() {
        let pair = (
            "sbc1.contoso.example".to_owned(),
            "sip.example.com".to_owned(),
        );
        let asked = Asked::default();
        asked.note(at(100), pair.clone());
        asked.note(at(160), pair.clone());
        assert_eq!(asked.free(at(162), &pair), Some(at(220)));
        asked.give_back(&pair);
        assert_eq!(asked.free(at(162), &pair), None);
        assert!(asked.is_overdue(at(210), &pair), "since 100");
        let (_, written) = asked.written(2, at(162), wall(162)).expect("a change");
        assert!(written.pairs.is_empty());
    }

    #[test]
    fn a_turn_that_is_taken_early_is_nobodys_any_more() {
        let (ours, host) = ("sbc1.contoso.example", "sip.example.com");
        let pair = (ours.to_owned(), host.to_owned());
        let asked = Asked::default();
        asked.note(at(100), pair.clone());
        assert!(asked.take_turn(at(110), "SBC1.contoso.example", host));
        assert_eq!(
            asked.free(at(111), &pair),
            Some(at(220)),
            "that of 160 is gone"
        );
        assert!(!asked.take_turn(at(120), ours, host));
        assert!(asked.take_turn(at(120), "sbc2.contoso.example", host));
        assert_eq!(asked.free(at(220), &pair), None);
        assert!(asked.take_turn(at(230), ours, host));
        assert_eq!(asked.free(at(231), &pair), Some(at(290)));
    }

    fn written_of(lie: &Written) -> Written {
        let mut own = lie.clone();
        own.pairs[0].wait_ms = 60_000;
        own
    }
}
