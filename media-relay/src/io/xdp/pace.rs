//! How long packets are gathered before they are worked off together.
//!
//! To be woken, to look at everything and to call the kernel costs more than a packet does. So where packets come
//! close together, a worker rests a fifth of a millisecond from the beginning of a turn to that of the next one,
//! which nobody hears; where they do not, it takes each as it comes. A queue that is not empty is not rested on.

use rustix::thread::set_current_timer_slack;
use std::num::NonZeroU64;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// From the beginning of a turn to that of the next.
const TURN: Duration = Duration::from_micros(200);
/// Packets that have to come meanwhile to make that worthwhile.
const FEWEST: u32 = 4;

/// The turns of one worker.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the present turn began.
    began: Instant,
    rests: bool,
    /// Whether its sleeps end when they are to end, and not some fifty microseconds later.
    is_exact: bool,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            rests: false,
            is_exact: false,
        }
    }

    /// Rests until the next turn is to begin, at most so long.
    pub(super) fn rest(&mut self, most: Duration) {
        if !self.rests {
            return;
        }
        if !self.is_exact {
            self.is_exact = true;
            // Without it turns are longer.
            let _ = set_current_timer_slack(NonZeroU64::new(1));
        }
        let left = TURN.saturating_sub(self.began.elapsed()).min(most);
        if !left.is_zero() {
            sleep(left);
        }
    }

    /// A turn begins with so many packets of at most so many that are taken at once.
    pub(super) fn took(&mut self, packets: usize, most: usize, now: Instant) {
        let passed = now.saturating_duration_since(self.began);
        self.began = now;
        let packets = u32::try_from(packets).unwrap_or(u32::MAX);
        self.rests = (packets as usize) < most && TURN * packets >= passed * FEWEST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it rests after a turn that began so long after the one before, with so many packets.
    fn rests(passed_us: u64, packets: usize) -> bool {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.took(packets, 64, start + Duration::from_micros(passed_us));
        pace.rests
    }

    #[test]
    fn it_rests_where_packets_come_close_together_and_the_queue_was_emptied() {
        assert!(rests(50, 1));
        assert!(!rests(51, 1));
        assert!(rests(200, 4) && !rests(200, 3));
        assert!(rests(1, 63));
        assert!(!rests(1, 64), "more may wait");
        assert!(!rests(250_000, 0));
    }

    #[test]
    fn a_rest_ends_with_the_turn_and_with_what_is_due() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.took(10, 64, start);
        let now = Instant::now();
        pace.rest(Duration::ZERO);
        pace.took(10, 64, Instant::now());
        pace.rest(Duration::from_secs(1));
        assert!(now.elapsed() >= TURN);
        // A turn that took longer is followed by the next at once.
        pace.began = start - TURN;
        pace.rest(Duration::MAX);
    }
}
