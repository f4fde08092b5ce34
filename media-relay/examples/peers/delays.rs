//! How long packets took: a histogram from which percentiles are read.

/// Microseconds up to which each has a class of its own; above, it has its share.
const FINE: usize = 2_000;
const COARSE_US: usize = 100;
const CLASSES: usize = FINE + 2_000;

/// A histogram of times.
pub(crate) struct Delays {
    classes: Vec<u32>,
    count: u64,
    largest_ns: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            classes: vec![0; CLASSES],
            count: 0,
            largest_ns: 0,
        }
    }
}

impl Delays {
    pub(crate) fn note(&mut self, ns: u64) {
        let us = (ns / 1000) as usize;
        let class = match us < FINE {
            true => us,
            false => (FINE + (us - FINE) / COARSE_US).min(CLASSES - 1),
        };
        self.classes[class] += 1;
        self.count += 1;
        self.largest_ns = self.largest_ns.max(ns);
    }

    /// Microseconds that a share of the packets did not exceed.
    fn percentile(&self, share: f64) -> usize {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut passed = 0;
        for (class, count) in self.classes.iter().enumerate() {
            passed += u64::from(*count);
            if passed >= wanted.max(1) {
                return match class < FINE {
                    true => class + 1,
                    false => FINE + (class - FINE + 1) * COARSE_US,
                };
            }
        }
        0
    }

    pub(crate) fn json(&self) -> String {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| self.percentile(share));
        let most = self.largest_ns / 1000;
        format!("{{\"p50\": {p50}, \"p99\": {p99}, \"p999\": {p999}, \"most\": {most}}}")
    }
}
