//! Frames that go together: their octets one behind the other, for every collector the same.

use super::frame::Frame;
use bytes::Bytes;
use std::sync::Arc;

/// Frames queued and written at once.
pub(super) const AT_ONCE: usize = 64;
/// Octets of so many are enough.
const ENOUGH_BYTES: usize = 1 << 20;
/// Octets of as many frames as usually go together.
const USUAL_BYTES: usize = 64 * 1024;

/// Octets of one or two frames.
const LEAST_BYTES: usize = 2 * 1024;

/// Frames that are being made.
#[derive(Default)]
pub(super) struct Growing {
    octets: Vec<u8>,
    ends: Vec<usize>,
}

impl Growing {
    /// Adds one.
    pub(super) fn add(&mut self, frame: &Frame<'_>) {
        frame.write(&mut self.octets);
        self.ends.push(self.octets.len());
    }

    /// Whether it is time to queue them.
    pub(super) fn is_full(&self) -> bool {
        self.ends.len() >= AT_ONCE || self.octets.len() >= ENOUGH_BYTES
    }

    /// All of them, if there are any.
    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.ends.is_empty() {
            return None;
        }
        // They may wait for long, and many of them: none keeps room that it does not need.
        let usual = self.octets.len().next_power_of_two();
        let octets = Vec::with_capacity(usual.clamp(LEAST_BYTES, USUAL_BYTES));
        if 2 * self.octets.len() < self.octets.capacity() {
            self.octets.shrink_to_fit();
        }
        let ends = Vec::with_capacity(AT_ONCE);
        Some(Batch {
            octets: std::mem::replace(&mut self.octets, octets).into(),
            ends: std::mem::replace(&mut self.ends, ends).into(),
            gone: 0,
        })
    }
}

/// Frames that were made, as far as they have not gone. Cheap to clone.
#[derive(Clone)]
pub(super) struct Batch {
    octets: Bytes,
    /// Where each of them ends.
    ends: Arc<[usize]>,
    gone: usize,
}

impl Batch {
    /// How many have not gone.
    pub(super) fn len(&self) -> usize {
        self.ends.len() - self.gone
    }

    /// Their octets, one behind the other.
    pub(super) fn octets(&self) -> &[u8] {
        self.octets.get(self.begin()..).unwrap_or_default()
    }

    /// Each by itself.
    pub(super) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let mut begin = self.begin();
        self.ends.iter().skip(self.gone).map(move |end| {
            let frame = self.octets.get(begin..*end).unwrap_or_default();
            begin = *end;
            frame
        })
    }

    /// The first so many have gone.
    pub(super) fn went(&mut self, count: usize) {
        self.gone = (self.gone + count).min(self.ends.len());
    }

    fn begin(&self) -> usize {
        let last = self.gone.checked_sub(1);
        last.and_then(|last| self.ends.get(last))
            .copied()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_gone_is_not_among_them_any_more() {
        let mut growing = Growing::default();
        assert!(growing.take().is_none());
        for payload in ["a", "bc", ""] {
            growing.add(&Frame::of(payload.as_bytes()));
        }
        let mut batch = growing.take().unwrap();
        assert!(growing.take().is_none() && !growing.is_full());
        let all: Vec<Vec<u8>> = batch.frames().map(Into::into).collect();
        assert_eq!(all.concat(), batch.octets());
        let lengths: Vec<_> = all.iter().map(Vec::len).collect();
        assert_eq!(lengths, [lengths[2] + 1, lengths[2] + 2, lengths[2]]);
        batch.went(1);
        assert_eq!((batch.len(), batch.octets()), (2, &all[1..].concat()[..]));
        assert!(batch.frames().eq(all[1..].iter().map(Vec::as_slice)));
        batch.went(5);
        assert_eq!((batch.len(), batch.octets()), (0, &[][..]));
    }

    #[test]
    fn what_waits_has_no_room_that_it_does_not_need() {
        let mut growing = Growing::default();
        for _ in 0..AT_ONCE {
            growing.add(&Frame::of(&[0; 1000]));
        }
        growing.take();
        growing.add(&Frame::of(b"alone"));
        growing.take();
        assert_eq!(growing.octets.capacity(), LEAST_BYTES);
    }

    #[test]
    fn many_and_long_ones_are_not_gathered_further() {
        let mut growing = Growing::default();
        for _ in 1..AT_ONCE {
            growing.add(&Frame::of(b""));
        }
        assert!(!growing.is_full());
        growing.add(&Frame::of(b""));
        assert!(growing.is_full());
        growing.take();
        let long = vec![0; 60_000];
        let count = (0..AT_ONCE).take_while(|_| {
            growing.add(&Frame::of(&long));
            !growing.is_full()
        });
        assert_eq!(count.count(), ENOUGH_BYTES / long.len());
    }
}
