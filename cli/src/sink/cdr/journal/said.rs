//! What a call's lines say of it that does not change, or not with each line, as numbers: who writes the next one knows
//! what it can leave out, and keeps no record for that.

use sbc_core::record::Record;
use std::hash::{BuildHasher, Hasher, RandomState};

/// As [`Record::beginning`] and [`Record::legs`] tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub(super) beginning: u64,
    pub(super) legs: u64,
}

/// Makes these numbers, others in each run. They are made of a thousand octets for each line, with a sixth of what the
/// library's hasher takes for them; who finds two records of one number makes a line of his own call wrong, for the case
/// that we are killed.
pub(super) struct Teller(u64);

impl Teller {
    pub(super) fn new() -> Self {
        Self(RandomState::new().hash_one(0))
    }

    pub(super) fn of(&self, record: &Record) -> Said {
        Said {
            beginning: record.beginning(self),
            legs: record.legs(self),
        }
    }
}

impl BuildHasher for Teller {
    type Hasher = Mixed;

    fn build_hasher(&self) -> Mixed {
        Mixed(self.0)
    }
}

/// Eight octets at once, by a product that is folded.
pub(super) struct Mixed(u64);

impl Mixed {
    fn mix(&mut self, word: u64) {
        const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.0.rotate_left(23) ^ word) * FACTOR;
        // Both halves are meant to lose the rest.
        #[allow(clippy::cast_possible_truncation)]
        let (low, high) = (product as u64, (product >> 64) as u64);
        self.0 = low ^ high;
    }
}

impl Hasher for Mixed {
    fn write(&mut self, octets: &[u8]) {
        let (words, rest) = octets.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_ne_bytes(*word));
        }
        if !rest.is_empty() {
            // With their number: zeros behind them are others.
            let mut last = [0, 0, 0, 0, 0, 0, 0, u8::try_from(rest.len()).unwrap_or(0)];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            self.mix(u64::from_ne_bytes(last));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.mix(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.mix(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixture;
    use std::collections::HashSet;

    #[test]
    fn whatever_changes_in_a_record_changes_its_number_and_nothing_else_does() {
        let teller = Teller::new();
        let first = teller.of(&fixture::record(7));
        assert_eq!(teller.of(&fixture::record(7)), first);
        let of = |change: fn(&mut Record)| {
            let mut record = fixture::record(7);
            change(&mut record);
            teller.of(&record)
        };
        let beginnings = [
            of(|own| own.called.push('1')),
            of(|own| own.calling.push('1')),
            of(|own| own.emergency = true),
            of(|own| own.asserted = Some(String::new())),
            of(|own| own.diversions = 1),
            of(|own| own.route.0.push(String::new())),
            of(|own| own.calling_name = Some("\0".to_owned())),
            of(|own| own.calling_name = Some("\0\0".to_owned())),
        ];
        let numbers: HashSet<u64> = beginnings.iter().map(|own| own.beginning).collect();
        assert!(numbers.len() == beginnings.len() && !numbers.contains(&first.beginning));
        assert!(beginnings.iter().all(|own| own.legs == first.legs));
        let legs = [
            of(|own| own.ingress.to_tag.push('1')),
            of(|own| own.egress[0].status = Some(603)),
            of(|own| own.egress[0].ended_ms = Some(99_999)),
            of(|own| own.egress.clear()),
        ];
        let numbers: HashSet<u64> = legs.iter().map(|own| own.legs).collect();
        assert!(numbers.len() == legs.len() && !numbers.contains(&first.legs));
        assert!(legs.iter().all(|own| own.beginning == first.beginning));
        assert_eq!(of(|own| own.end = None), first);
        assert_ne!(Teller::new().of(&fixture::record(7)), first);
    }

    #[test]
    fn texts_that_are_cut_elsewhere_have_another_number() {
        let teller = Teller::new();
        let number = |texts: &[&str]| teller.hash_one(texts);
        let all = [
            number(&["ab", "c"]),
            number(&["a", "bc"]),
            number(&["abc"]),
            number(&["abc", ""]),
            number(&["12345678", "9"]),
            number(&["123456789", ""]),
        ];
        let different: HashSet<u64> = all.into_iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
