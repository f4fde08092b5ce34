//! Whose numbers are whose: ranges that do not overlap, and the first that another one meets.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Numbers of one length.
pub(super) type Key = (usize, u64);

/// A range that is somebody's, by its first number.
pub(super) struct Range {
    pub(super) last: u64,
    pub(super) owner: usize,
    /// First and last row that it was made of.
    pub(super) lines: (usize, usize),
    pub(super) comment: String,
}

/// Ranges in order.
#[derive(Default)]
pub(super) struct Claims {
    ranges: BTreeMap<Key, Range>,
    /// Those whose neighbour before is another's: what a row with thousands of ranges in it is told
    /// without a walk over all of them.
    turns: BTreeSet<Key>,
}

impl Claims {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(super) fn into_ranges(self) -> BTreeMap<Key, Range> {
        self.ranges
    }

    /// Where the first range begins that has numbers of these.
    fn begin(&self, (length, first): Key) -> Key {
        // At most the one before reaches into this one.
        let before = self.ranges.range(..(length, first)).next_back();
        let before = before.filter(|((other, _), have)| *other == length && have.last >= first);
        before.map_or((length, first), |(key, _)| *key)
    }

    /// The first range with numbers of these that is somebody else's.
    pub(super) fn rival(&self, key: Key, last: u64, owner: usize) -> Option<&Range> {
        let end = (key.0, last);
        let (first, have) = self.ranges.range(self.begin(key)..=end).next()?;
        if have.owner != owner {
            return Some(have);
        }
        let after = (Bound::Excluded(*first), Bound::Included(end));
        let turn = self.turns.range(after).next()?;
        self.ranges.get(turn)
    }

    /// All ranges with numbers of these.
    pub(super) fn touched(&self, key: Key, last: u64) -> impl Iterator<Item = (&Key, &Range)> {
        self.ranges.range(self.begin(key)..=(key.0, last))
    }

    /// Takes a range in that overlaps none.
    pub(super) fn insert(&mut self, key: Key, range: Range) {
        self.ranges.insert(key, range);
        self.look(key);
        self.look_after(key);
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Range> {
        let range = self.ranges.remove(&key)?;
        self.turns.remove(&key);
        self.look_after(key);
        Some(range)
    }

    fn look_after(&mut self, key: Key) {
        let after = (Bound::Excluded(key), Bound::Unbounded);
        if let Some((next, _)) = self.ranges.range(after).next() {
            self.look(*next);
        }
    }

    fn look(&mut self, key: Key) {
        let before = self.ranges.range(..key).next_back();
        let owner = self.ranges.get(&key).map(|own| own.owner);
        match before.map(|(_, before)| before.owner) == owner {
            true => self.turns.remove(&key),
            false => self.turns.insert(key),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a walk over all, for every order of a few rows.
    #[test]
    fn the_first_rival_is_that_of_a_walk() {
        let mut seed = 7_u64;
        let mut next = |most: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % most
        };
        for _ in 0..500 {
            let mut claims = Claims::default();
            for row in 0..40 {
                let (first, owner) = (next(60), next(2) as usize);
                let (key, last) = ((5, first), first + next(20));
                let walk = claims.ranges.iter().find(|((_, begin), have)| {
                    *begin <= last && have.last >= first && have.owner != owner
                });
                let walk = walk.map(|(_, have)| have.lines);
                assert_eq!(claims.rival(key, last, owner).map(|own| own.lines), walk);
                let overlaps = claims.touched(key, last).next().is_some();
                let old: Vec<Key> = claims.touched(key, last).map(|(key, _)| *key).collect();
                if walk.is_some() {
                    continue;
                }
                if overlaps && row % 2 == 0 {
                    old.into_iter().for_each(|key| drop(claims.remove(key)));
                } else if overlaps {
                    continue;
                }
                let lines = (row, row);
                let comment = String::new();
                claims.insert(
                    key,
                    Range {
                        last,
                        owner,
                        lines,
                        comment,
                    },
                );
            }
        }
    }
}
