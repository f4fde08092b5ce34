//! How late packets come against each other, and how long they are therefore held (MED-240).

use std::time::Duration;

/// Width of a step of lateness, and how many there are: up to 200 ms.
const STEP_US: u64 = 5_000;
const STEPS: usize = 40;
/// What is left of the weight of a packet with each later one: most of it is gone after 10 s.
const KEPT: f32 = 0.995;
/// Share of the packets that are to come in time.
const IN_TIME: f32 = 0.95;
/// Bounds of the holding time.
const LEAST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_millis(200);
/// By how much the earliest arrival may move with each packet: clocks differ by 100 ppm at most, which is
/// 2 µs per 20 ms, and paths change.
const CREEP_US: i64 = 10;

/// What is known of a stream's lateness.
#[derive(Clone, Debug)]
pub(super) struct Jitter {
    /// Arrival minus timestamp of the packet that came soonest.
    soonest_us: Option<i64>,
    /// Weight of packets that came so many steps later than that one.
    late: [f32; STEPS],
}

impl Default for Jitter {
    fn default() -> Self {
        Self {
            soonest_us: None,
            late: [0.0; STEPS],
        }
    }
}

impl Jitter {
    /// A packet with a timestamp, both in microseconds of a beginning of their own.
    pub(super) fn observe(&mut self, arrived_us: i64, timestamp_us: i64) {
        let transit = arrived_us - timestamp_us;
        let soonest = self
            .soonest_us
            .map_or(transit, |soonest| soonest + CREEP_US);
        let soonest = soonest.min(transit);
        self.soonest_us = Some(soonest);
        let late = u64::try_from(transit - soonest).unwrap_or(0) / STEP_US;
        for weight in &mut self.late {
            *weight *= KEPT;
        }
        self.late[usize::try_from(late).unwrap_or(STEPS).min(STEPS - 1)] += 1.0;
    }

    /// How long a packet is held: twice what all but a few are late, and a frame at least.
    pub(super) fn target(&self, frame: Duration) -> Duration {
        let all: f32 = self.late.iter().sum();
        let mut too_late = all * (1.0 - IN_TIME);
        let mut steps = STEPS;
        while steps > 1 {
            too_late -= self.late[steps - 1];
            if too_late < 0.0 {
                break;
            }
            steps -= 1;
        }
        // What falls into the first step is not late.
        let late = Duration::from_micros(2 * STEP_US * (steps as u64 - 1));
        late.max(frame).clamp(LEAST, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(lateness_ms: impl Fn(i64) -> i64) -> u128 {
        let mut jitter = Jitter::default();
        for at in 0..500 {
            jitter.observe(20_000 * at + 1_000 * lateness_ms(at), 20_000 * at);
        }
        jitter.target(Duration::from_millis(20)).as_millis()
    }

    #[test]
    fn who_is_punctual_is_held_for_a_frame_and_who_is_not_for_twice_the_lateness() {
        assert_eq!(target(|_| 3), 20);
        assert_eq!(target(|at| if at % 50 == 0 { 150 } else { 0 }), 20);
        assert_eq!(target(|at| 42 * (at % 2)), 80);
        assert_eq!(target(|at| 180 * (at % 2)), 200);
    }

    #[test]
    fn a_drifting_clock_is_no_lateness() {
        let mut jitter = Jitter::default();
        for at in 0..50_000 {
            // 100 ppm.
            jitter.observe(20_002 * at, 20_000 * at);
        }
        assert_eq!(jitter.target(Duration::ZERO), LEAST);
    }
}
