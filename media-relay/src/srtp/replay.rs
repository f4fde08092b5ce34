//! Replay protection: RFC 3711 §3.3.2, a window per SSRC and per protocol (MED-111, SEC-112).

/// A sliding window over the last `64 · WORDS` indices.
#[derive(Clone, Debug)]
pub(super) struct ReplayWindow<const WORDS: usize> {
    /// Highest index accepted, or `None` before the first.
    highest: Option<u64>,
    /// Bit `index % size` is set if that index has been accepted; valid within the window only.
    seen: [u64; WORDS],
}

impl<const WORDS: usize> ReplayWindow<WORDS> {
    const SIZE: u64 = 64 * WORDS as u64;

    pub(super) const fn new() -> Self {
        Self {
            highest: None,
            seen: [0; WORDS],
        }
    }

    /// Whether a packet with this index may still be new.
    pub(super) fn admits(&self, index: u64) -> bool {
        match self.highest {
            None => true,
            Some(highest) if index > highest => true,
            Some(highest) if highest - index >= Self::SIZE => false,
            Some(_) => {
                let bit = index % Self::SIZE;
                self.seen[(bit / 64) as usize] & (1 << (bit % 64)) == 0
            }
        }
    }

    /// Highest index that was used.
    pub(super) const fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Marks an index as used. Only for authenticated packets that [`Self::admits`] let through.
    pub(super) fn accept(&mut self, index: u64) {
        match self.highest {
            None => self.highest = Some(index),
            Some(highest) if index > highest => {
                if index - highest >= Self::SIZE {
                    self.seen = [0; WORDS];
                } else {
                    for skipped in highest + 1..index {
                        self.clear(skipped);
                    }
                }
                self.highest = Some(index);
            }
            Some(_) => {}
        }
        let bit = index % Self::SIZE;
        self.seen[(bit / 64) as usize] |= 1 << (bit % 64);
    }

    fn clear(&mut self, index: u64) {
        let bit = index % Self::SIZE;
        self.seen[(bit / 64) as usize] &= !(1 << (bit % 64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn nothing_is_accepted_twice_and_nothing_new_within_the_window_is_refused() {
        let mut window = ReplayWindow::<2>::new();
        let mut accepted = BTreeSet::new();
        let mut highest = 0u64;
        let mut state = 9u64;
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let index = (highest + 40).saturating_sub(state >> 57);
            let wanted = index > highest || (highest - index < 128 && !accepted.contains(&index));
            let wanted = wanted && !accepted.contains(&index);
            assert_eq!(
                window.admits(index),
                wanted,
                "index {index} highest {highest}"
            );
            if wanted {
                window.accept(index);
                accepted.insert(index);
                highest = highest.max(index);
            }
        }
    }

    #[test]
    fn a_long_jump_forgets_everything_before() {
        let mut window = ReplayWindow::<2>::new();
        window.accept(5);
        window.accept(1_000_000);
        assert!(!window.admits(5));
        assert!(!window.admits(1_000_000));
        assert!(window.admits(1_000_000 - 127));
        assert!(!window.admits(1_000_000 - 128));
    }
}
