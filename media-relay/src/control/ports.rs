//! Port pairs of one realm and address: random choice, quarantine, longest unused first (MED-010,
//! MED-011).

use crate::entropy::Entropy;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Even ports whose odd neighbour belongs to them.
#[derive(Debug)]
pub(crate) struct PortPool {
    /// Free pairs, longest unused in front.
    free: VecDeque<u16>,
    /// Freed pairs and when they may be used again; later ones behind.
    quarantine: VecDeque<(Timestamp, u16)>,
    rest: Duration,
    /// The range, as it is written.
    first: u16,
    last: u16,
    total: usize,
    /// Pairs that stay free for what goes before usual calls.
    kept: usize,
    /// Pairs of an earlier range that are not of this one: in use, or resting until then.
    outside: BTreeMap<u16, Option<Timestamp>>,
}

/// One of so many pairs is kept free of usual calls (SIP-1730).
const KEPT: usize = 20;

/// Pairs are scarce when less than one of so many is free, or
const PLENTY: usize = 4;
/// fewer than these, which all workers share.
const FEW: usize = 64;

/// The least that a pair rests, whoever asks for it: what was under way when its call ended has arrived.
const BRIEF: Duration = Duration::from_millis(150);

impl PortPool {
    /// The pairs that lie within `first..=last` as a whole.
    pub(crate) fn new(first: u16, last: u16, rest: Duration) -> Self {
        let free: VecDeque<u16> = pairs(first, last).collect();
        let total = free.len();
        Self {
            free,
            quarantine: VecDeque::new(),
            rest,
            first,
            last,
            total,
            kept: total / KEPT,
            outside: BTreeMap::new(),
        }
    }

    /// Takes another range. Who has a pair of the old one keeps it, and what rests goes on resting, whichever of them it
    /// is of (OPS-121).
    pub(crate) fn take_range(&mut self, first: u16, last: u16, now: Timestamp) {
        let idle: BTreeSet<u16> = self.free.iter().copied().collect();
        let resting = self.quarantine.drain(..).map(|(ends, port)| (port, ends));
        let mut resting: BTreeMap<u16, Timestamp> = resting.collect();
        let own = pairs(self.first, self.last);
        let mut in_use: BTreeSet<u16> = own
            .filter(|port| !idle.contains(port) && !resting.contains_key(port))
            .collect();
        for (port, ends) in std::mem::take(&mut self.outside) {
            match ends {
                None => drop(in_use.insert(port)),
                Some(ends) if ends > now => drop(resting.insert(port, ends)),
                Some(_) => {}
            }
        }
        (self.first, self.last) = (first, last);
        let wanted: BTreeSet<u16> = pairs(first, last).collect();
        self.total = wanted.len();
        self.kept = self.total / KEPT;
        self.free.retain(|port| wanted.contains(port));
        let is_taken =
            |port: &u16| idle.contains(port) || in_use.contains(port) || resting.contains_key(port);
        self.free
            .extend(wanted.iter().filter(|port| !is_taken(port)));
        let (within, beyond): (BTreeMap<_, _>, BTreeMap<_, _>) = resting
            .into_iter()
            .partition(|(port, _)| wanted.contains(port));
        let mut within: Vec<_> = within
            .into_iter()
            .map(|(port, ends)| (ends, port))
            .collect();
        within.sort();
        self.quarantine = within.into();
        let in_use = in_use.into_iter().filter(|port| !wanted.contains(port));
        self.outside = in_use.map(|port| (port, None)).collect();
        self.outside
            .extend(beyond.into_iter().map(|(port, ends)| (port, Some(ends))));
    }

    /// Whether any pair of this range is of the pool's, or was and is not free yet.
    pub(crate) fn reaches(&self, first: u16, last: u16) -> bool {
        first <= self.last && self.first <= last
            || self.outside.range(first..=last).next().is_some()
    }

    /// Whether a pair is of the range.
    pub(crate) fn holds(&self, port: u16) -> bool {
        (self.first..self.last).contains(&port)
    }

    /// A pair to use, by its even port; `None` if all are in use or in quarantine, or if only those are
    /// left that are kept and it may not take the last.
    ///
    /// Whoever may take the last may, where nothing else is left, also take of those that rest the one
    /// that has done so for longest, if that is [`BRIEF`]: late packets of an earlier call harm a call
    /// less than no ports do (SIP-1401).
    ///
    /// One at random of the half that has been unused for longest: not predictable, and not soon
    /// after its last call.
    pub(crate) fn take(
        &mut self,
        entropy: &mut Entropy,
        now: Timestamp,
        takes_last: bool,
    ) -> Option<u16> {
        while let Some((ends, port)) = self.quarantine.front().copied()
            && ends <= now
        {
            self.quarantine.pop_front();
            self.free.push_back(port);
        }
        // What rests will be free again, but not for whoever calls for help now.
        if !takes_last && self.free.len() <= self.kept {
            return None;
        }
        if self.free.is_empty() {
            let rested = self.rest.saturating_sub(BRIEF);
            let (ends, _) = self.quarantine.front()?;
            return match *ends <= now + rested {
                true => self.quarantine.pop_front().map(|(_, port)| port),
                false => None,
            };
        }
        let at = entropy.below(self.free.len().div_ceil(2));
        self.free.swap_remove_front(at)
    }

    /// Gives a pair back; it rests before it is used again.
    pub(crate) fn give_back(&mut self, port: u16, now: Timestamp) {
        self.give_back_resting(port, now, self.rest);
    }

    /// Gives a pair back that still has to rest for a while, at most as long as any.
    pub(crate) fn give_back_resting(&mut self, port: u16, now: Timestamp, rest: Duration) {
        let ends = now + rest.min(self.rest);
        if !self.holds(port) {
            self.outside.insert(port, Some(ends));
            return;
        }
        if rest.is_zero() {
            return self.free.push_back(port);
        }
        let behind = |other: &&(Timestamp, u16)| other.0 > ends;
        let later = self.quarantine.iter().rev().take_while(behind).count();
        let at = self.quarantine.len() - later;
        self.quarantine.insert(at, (ends, port));
    }

    /// Whether so few are free that none should be bound for nobody.
    pub(crate) fn is_scarce(&self) -> bool {
        self.free.len() < (self.total / PLENTY).max(FEW)
    }

    /// How long a pair rests.
    pub(crate) fn rest(&self) -> Duration {
        self.rest
    }

    /// Pairs of the range that are in use.
    pub(crate) fn used(&self) -> usize {
        self.total - self.free.len() - self.quarantine.len()
    }

    /// Pairs that the range holds.
    pub(crate) fn total(&self) -> usize {
        self.total
    }
}

/// Even ports of a range whose odd neighbour is of it, too.
fn pairs(first: u16, last: u16) -> impl Iterator<Item = u16> {
    (first..=last).filter(move |port| port % 2 == 0 && *port < last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entropy() -> Entropy {
        Entropy::from_seed([5; 32])
    }

    #[test]
    fn pairs_are_even_whole_and_unique() {
        let mut pool = PortPool::new(10_001, 10_010, Duration::from_secs(10));
        let mut entropy = entropy();
        let taken: BTreeSet<_> =
            std::iter::from_fn(|| pool.take(&mut entropy, Timestamp(0), true)).collect();
        assert_eq!(taken, BTreeSet::from([10_002, 10_004, 10_006, 10_008]));
        assert_eq!((pool.used(), pool.total()), (4, 4));
    }

    #[test]
    fn freed_pairs_rest_before_they_are_used_again() {
        let mut pool = PortPool::new(10_000, 10_001, Duration::from_secs(10));
        let mut entropy = entropy();
        assert_eq!(pool.take(&mut entropy, Timestamp(0), true), Some(10_000));
        pool.give_back(10_000, Timestamp(0));
        assert_eq!(pool.used(), 0);
        assert_eq!(pool.take(&mut entropy, Timestamp(9_999_999), false), None);
        assert_eq!(
            pool.take(&mut entropy, Timestamp(10_000_000), false),
            Some(10_000)
        );
    }

    #[test]
    fn who_may_take_the_last_need_not_wait_until_a_pair_has_rested() {
        let mut pool = PortPool::new(10_000, 10_003, Duration::from_secs(10));
        let mut entropy = entropy();
        let first = pool.take(&mut entropy, Timestamp(0), true).unwrap();
        let second = pool.take(&mut entropy, Timestamp(0), true).unwrap();
        pool.give_back(second, Timestamp(0));
        pool.give_back(first, Timestamp(1_000));
        assert_eq!(pool.take(&mut entropy, Timestamp(149_999), true), None);
        assert_eq!(pool.take(&mut entropy, Timestamp(150_000), false), None);
        assert_eq!(
            pool.take(&mut entropy, Timestamp(150_000), true),
            Some(second)
        );
        assert_eq!(pool.take(&mut entropy, Timestamp(150_000), true), None);
        assert_eq!((pool.used(), pool.total()), (1, 2));
    }

    #[test]
    fn the_order_is_not_sequential_and_never_repeats_early() {
        let mut pool = PortPool::new(10_000, 11_999, Duration::ZERO);
        let mut entropy = entropy();
        let mut steps = BTreeSet::new();
        let mut recent = VecDeque::new();
        let mut last = 0;
        for round in 0..5000u64 {
            let port = pool.take(&mut entropy, Timestamp(round), true).unwrap();
            pool.give_back(port, Timestamp(round));
            steps.insert(i32::from(port) - last);
            last = port.into();
            assert!(!recent.contains(&port), "round {round}");
            recent.push_back(port);
            if recent.len() > 300 {
                recent.pop_front();
            }
        }
        assert!(steps.len() > 500);
    }

    #[test]
    fn a_hundred_thousand_calls_lose_no_pair() {
        let mut pool = PortPool::new(10_000, 10_499, Duration::from_millis(10));
        let mut entropy = entropy();
        let mut in_use: Vec<u16> = Vec::new();
        let mut refused = 0;
        for call in 0..100_000u64 {
            let now = Timestamp(call * 100);
            match pool.take(&mut entropy, now, true) {
                Some(port) => {
                    assert!(!in_use.contains(&port), "{port} is in use");
                    in_use.push(port);
                }
                None => refused += 1,
            }
            // Never the same order, sometimes none for a while and then many.
            let ended = match entropy.below(40) {
                0 => in_use.len(),
                1..20 => 1,
                _ => 0,
            };
            for _ in 0..ended.min(in_use.len()) {
                let at = entropy.below(in_use.len());
                pool.give_back(in_use.swap_remove(at), now);
            }
            assert_eq!(pool.used(), in_use.len());
        }
        assert!(refused < 50_000);
        let later = Timestamp(u64::MAX / 2);
        in_use
            .drain(..)
            .for_each(|port| pool.give_back(port, later));
        let rest = later + Duration::from_secs(1);
        let again: BTreeSet<_> =
            std::iter::from_fn(|| pool.take(&mut entropy, rest, true)).collect();
        assert_eq!(again.len(), pool.total());
    }

    #[test]
    fn the_last_twentieth_is_not_for_usual_calls() {
        let mut pool = PortPool::new(10_000, 10_199, Duration::from_secs(10));
        let mut entropy = entropy();
        let mut usual = 0;
        while pool.take(&mut entropy, Timestamp(0), false).is_some() {
            usual += 1;
        }
        assert_eq!((usual, pool.total()), (95, 100));
        let last = (0..10).filter(|_| pool.take(&mut entropy, Timestamp(0), true).is_some());
        assert_eq!(last.count(), 5);
        pool.give_back(10_000, Timestamp(0));
        let rested = Timestamp(10_000_000);
        assert_eq!(pool.take(&mut entropy, rested, false), None);
        assert_eq!(pool.take(&mut entropy, rested, true), Some(10_000));
    }

    #[test]
    fn another_range_takes_no_pair_from_its_call_and_none_from_its_rest() {
        let mut pool = PortPool::new(10_000, 10_007, Duration::from_secs(10));
        let mut entropy = entropy();
        while pool.take(&mut entropy, Timestamp(0), true).is_some() {}
        pool.give_back(10_000, Timestamp(0));
        pool.give_back(10_006, Timestamp(1));
        // In use: 10,002 beyond the new range, 10,004 within it. Resting: 10,000 beyond, 10,006 within.
        pool.take_range(10_004, 10_011, Timestamp(2));
        assert_eq!((pool.used(), pool.total()), (1, 4));
        let mut taken: Vec<_> =
            std::iter::from_fn(|| pool.take(&mut entropy, Timestamp(3), false)).collect();
        taken.sort_unstable();
        assert_eq!(taken, [10_008, 10_010]);
        let rested = Timestamp(10_000_001);
        assert_eq!(pool.take(&mut entropy, rested, false), Some(10_006));
        pool.give_back(10_002, rested);
        assert_eq!(
            pool.take(&mut entropy, Timestamp(u64::MAX / 2), false),
            None
        );
        // Back again: what rests of the first range has not rested yet, all else is as it was.
        pool.take_range(10_000, 10_007, rested + Duration::from_secs(1));
        assert_eq!((pool.used(), pool.total()), (2, 4));
        let soon = rested + Duration::from_secs(2);
        assert_eq!(pool.take(&mut entropy, soon, true), Some(10_000));
        assert_eq!(pool.take(&mut entropy, soon, false), None);
        let later = rested + Duration::from_secs(10);
        assert_eq!(pool.take(&mut entropy, later, false), Some(10_002));
        assert_eq!(pool.used(), 4);
    }

    #[test]
    fn an_empty_range_has_no_pairs() {
        let mut pool = PortPool::new(10_001, 10_001, Duration::ZERO);
        assert_eq!(pool.take(&mut entropy(), Timestamp(0), true), None);
        assert_eq!(PortPool::new(u16::MAX, u16::MAX, Duration::ZERO).total(), 0);
    }
}
