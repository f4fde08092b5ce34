//! Deadlines as data: timer sets of one machine, and the queue over all machines of a shard.

use crate::time::Timestamp;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The timers of one machine, indexed by its timer enum. Arming is assignment, stopping is
/// clearing; there are no handles to lose.
///
/// A timer that does not run has a deadline that never comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers<const N: usize>([Timestamp; N]);

const NEVER: Timestamp = Timestamp::from_micros(u64::MAX);

impl<const N: usize> Default for Timers<N> {
    fn default() -> Self {
        Self([NEVER; N])
    }
}

impl<const N: usize> Timers<N> {
    /// Arms timer `timer` (the discriminant of the machine's timer enum), replacing what it had.
    pub fn set(&mut self, timer: usize, at: Timestamp) {
        self.0[timer] = at;
    }

    /// Stops one timer.
    pub fn stop(&mut self, timer: usize) {
        self.0[timer] = NEVER;
    }

    /// Stops all timers.
    pub fn clear(&mut self) {
        self.0 = [NEVER; N];
    }

    /// Whether a timer runs.
    pub fn is_set(&self, timer: usize) -> bool {
        self.0[timer] < NEVER
    }

    /// When a timer is due, if it runs.
    pub fn at(&self, timer: usize) -> Option<Timestamp> {
        Some(self.0[timer]).filter(|at| *at < NEVER)
    }

    /// Arms a timer that does not run, or is due later than this.
    pub fn set_by(&mut self, timer: usize, at: Timestamp) {
        self.0[timer] = self.0[timer].min(at);
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Timestamp> {
        self.0.iter().min().copied().filter(|at| *at < NEVER)
    }

    /// Takes one expired timer, lowest index first, and stops it.
    pub fn expired(&mut self, now: Timestamp) -> Option<usize> {
        let timer = self.0.iter().position(|at| *at <= now && *at < NEVER)?;
        self.0[timer] = NEVER;
        Some(timer)
    }
}

/// Deadlines of all objects of a shard, with lazy invalidation: an object that moves its deadline
/// pushes a new entry, and the owner ignores popped entries that its object no longer has.
#[derive(Clone, Debug)]
pub struct DeadlineQueue<K: Ord>(BinaryHeap<Reverse<(Timestamp, K)>>);

impl<K: Ord> Default for DeadlineQueue<K> {
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

impl<K: Ord + Copy> DeadlineQueue<K> {
    /// Notes that `key` wants to be looked at when `at` has come.
    pub fn push(&mut self, at: Timestamp, key: K) {
        self.0.push(Reverse((at, key)));
    }

    /// The earliest entry, possibly stale.
    pub fn next(&self) -> Option<Timestamp> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes one entry that is due at `now`.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, key))| key)
    }

    /// Number of entries, stale ones included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_timers_come_out_once_and_in_index_order() {
        let mut timers = Timers::<3>::default();
        timers.set(2, Timestamp::from_micros(5));
        timers.set(0, Timestamp::from_micros(7));
        timers.set(1, Timestamp::from_micros(20));
        let now = Timestamp::from_micros(10);
        assert_eq!(timers.expired(now), Some(0));
        assert_eq!(timers.expired(now), Some(2));
        assert_eq!(timers.expired(now), None);
        assert_eq!(timers.next(), Some(Timestamp::from_micros(20)));
    }

    #[test]
    fn queue_gives_entries_in_time_order_and_never_early() {
        let mut queue = DeadlineQueue::default();
        queue.push(Timestamp::from_micros(9), 'b');
        queue.push(Timestamp::from_micros(3), 'a');
        assert_eq!(queue.pop_due(Timestamp::from_micros(2)), None);
        assert_eq!(queue.pop_due(Timestamp::from_micros(9)), Some('a'));
        assert_eq!(queue.pop_due(Timestamp::from_micros(9)), Some('b'));
        assert!(queue.is_empty());
    }
}
