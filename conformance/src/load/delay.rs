//! How long things took: percentiles of microseconds.

/// Microseconds of many events.
#[derive(Clone, Default, Debug)]
pub(super) struct Delays(Vec<u32>);

impl Delays {
    /// One more.
    pub(super) fn add(&mut self, us: u64) {
        self.0.push(u32::try_from(us).unwrap_or(u32::MAX));
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The value that a share of them, 0.0–1.0, does not exceed; `None` without any.
    pub(super) fn percentile(&mut self, share: f64) -> Option<u32> {
        let last = self.0.len().checked_sub(1)?;
        // Lossless: a run has fewer than 2^52 calls, and the share is not negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let at = (share * last as f64).ceil() as usize;
        let (_, value, _) = self.0.select_nth_unstable(at.min(last));
        Some(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let mut delays = Delays::default();
        assert_eq!(delays.percentile(0.5), None);
        for us in [5, 1, 4, 2, 3] {
            delays.add(us);
        }
        assert_eq!(delays.percentile(0.5), Some(3));
        assert_eq!(delays.percentile(0.99), Some(5));
        assert_eq!(delays.percentile(0.0), Some(1));
        delays.add(u64::MAX);
        assert_eq!(delays.percentile(1.0), Some(u32::MAX));
    }
}
