//! Rate police of one received stream (MED-056).

use crate::time::Timestamp;

/// Most packets per second that any audio stream may have.
const MAX_RATE: u64 = 200;
/// Least limit: a peer may use shorter packets than we do without asking.
const MIN_RATE: u64 = 100;
/// A second's worth of packets may come at once, as after a stall of the network.
pub(crate) const BURST_US: u64 = 1_000_000;

/// A bucket that holds time: each packet costs its share of a second.
#[derive(Debug)]
pub(super) struct RateLimit {
    cost_us: u64,
    credit_us: u64,
    at: Timestamp,
}

/// What is left of a rate, and what a packet costs of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Credit {
    pub(crate) cost_us: u64,
    pub(crate) left_us: u64,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            cost_us: 1_000_000 / MIN_RATE,
            credit_us: BURST_US,
            at: Timestamp(0),
        }
    }
}

impl RateLimit {
    /// The limit becomes twice the packet rate of `packet_time_ms`.
    pub(super) fn set_packet_time(&mut self, packet_time_ms: u8) {
        let rate = 2 * 1000 / u64::from(packet_time_ms.max(1));
        self.cost_us = 1_000_000 / rate.clamp(MIN_RATE, MAX_RATE);
    }

    /// What was left at a time before the last packet that was judged; `None` if it cannot be said.
    pub(super) fn left_at(&self, then: Timestamp) -> Option<Credit> {
        let left_us = self.credit_us.checked_sub(self.at.since_us(then))?;
        (then <= self.at).then_some(Credit {
            cost_us: self.cost_us,
            left_us,
        })
    }

    /// What somebody else has left of it, after the last packet that was judged there.
    pub(super) fn spend(&mut self, at: Timestamp, left_us: u64) {
        (self.at, self.credit_us) = (at, left_us);
    }

    /// Whether one more packet is within the limit.
    pub(super) fn admits(&mut self, now: Timestamp) -> bool {
        self.credit_us = (self.credit_us + now.since_us(self.at)).min(BURST_US);
        self.at = now;
        match self.credit_us.checked_sub(self.cost_us) {
            Some(rest) => {
                self.credit_us = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_agreed_rate_passes_and_more_does_not() {
        for (pps, wanted) in [(50, 0), (100, 0), (1000, 8_000)] {
            let mut limit = RateLimit::default();
            limit.set_packet_time(20);
            let refused = (0..pps * 10)
                .filter(|packet| !limit.admits(Timestamp(packet * 1_000_000 / pps)))
                .count();
            assert!(refused.abs_diff(wanted) <= 1000, "{pps}: {refused}");
            assert_eq!(refused == 0, wanted == 0);
        }
    }
}
