//! A table whose entries are forgotten after a while, and of which there are never too many.

use crate::hashed::Minted;
use crate::time::Timestamp;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// Entries by a text, each for the same time.
#[derive(Debug)]
pub(crate) struct Expiring<V> {
    life: Duration,
    most: usize,
    known: Minted<Bytes, V>,
    /// When each is forgotten, the oldest first.
    ends: VecDeque<(Timestamp, Bytes)>,
}

impl<V> Expiring<V> {
    /// Entries that last for `life`; one more than `most` replaces the oldest.
    pub(crate) fn new(life: Duration, most: usize) -> Self {
        Self {
            life,
            most,
            known: Minted::default(),
            ends: VecDeque::new(),
        }
    }

    /// Enters a value under a key that is not in use.
    pub(crate) fn insert(&mut self, now: Timestamp, key: Bytes, value: V) {
        if self.ends.len() >= self.most
            && let Some((_, oldest)) = self.ends.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.ends.push_back((now + self.life, key.clone()));
        self.known.insert(key, value);
    }

    /// The value under a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        self.known.get(key)
    }

    /// Forgets one entry.
    pub(crate) fn remove(&mut self, key: &[u8]) {
        if self.known.remove(key).is_some() {
            // Its time must not end that of another value under the same key.
            self.ends.retain(|(_, own)| own != key);
        }
    }

    /// Forgets what is old enough.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        while self.ends.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.ends.pop_front() {
                self.known.remove(&key);
            }
        }
    }

    /// When [`Self::tick`] is next wanted.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.ends.front().map(|(at, _)| *at)
    }

    /// Entries that are known.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_forgotten_in_time_and_the_oldest_where_there_are_too_many() {
        let mut table = Expiring::new(Duration::from_secs(10), 2);
        let start = Timestamp::from_micros(0);
        let key = |n: u8| Bytes::from(vec![n]);
        for n in 0..3_u8 {
            table.insert(start + Duration::from_secs(u64::from(n)), key(n), n);
        }
        assert_eq!(
            (table.len(), table.get(&[0]), table.get(&[2])),
            (2, None, Some(&2))
        );
        table.tick(start + Duration::from_secs(11));
        assert_eq!((table.get(&[1]), table.get(&[2])), (None, Some(&2)));
        assert_eq!(table.next_deadline(), Some(start + Duration::from_secs(12)));
        table.remove(&[2]);
        table.insert(start + Duration::from_secs(12), key(2), 7);
        table.tick(start + Duration::from_secs(12));
        assert_eq!((table.get(&[2]), table.ends.len()), (Some(&7), 1));
        table.tick(start + Duration::from_secs(22));
        assert_eq!((table.len(), table.next_deadline()), (0, None));
    }
}
