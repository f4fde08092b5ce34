//! Time as the relay counts it: given, never read, so that a session can be simulated.

use std::ops::{Add, AddAssign};
use std::time::Duration;

/// Microseconds since the relay started, monotonic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Microseconds from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since_us(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.since_us(earlier))
    }

    /// The first of the times that lie `step` apart which is not before this one.
    pub(crate) fn rounded_up(self, step: Duration) -> Self {
        let step = u64::try_from(step.as_micros()).unwrap_or(u64::MAX).max(1);
        Self(self.0.checked_next_multiple_of(step).unwrap_or(u64::MAX))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(later.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, later: Duration) {
        *self = *self + later;
    }
}

/// Wall clock of a relay: what has to be added to a [`Timestamp`] to get time since 1970.
///
/// Sender reports need wall time (RFC 3550 §6.4.1); a fixed offset keeps them free of clock steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WallOffset {
    /// Microseconds from 1970-01-01 UTC to `Timestamp(0)`.
    pub unix_us: u64,
}

impl WallOffset {
    /// Seconds between the NTP epoch (1900) and the Unix epoch.
    const NTP_TO_UNIX_S: u64 = 2_208_988_800;

    /// A time in milliseconds since 1970.
    pub(crate) const fn unix_ms(self, at: Timestamp) -> u64 {
        self.unix_us.wrapping_add(at.0) / 1_000
    }

    /// `now` as a 64-bit NTP timestamp: seconds since 1900, binary fraction below.
    pub const fn ntp(self, now: Timestamp) -> u64 {
        let us = self.unix_us.wrapping_add(now.0);
        let seconds = (us / 1_000_000).wrapping_add(Self::NTP_TO_UNIX_S);
        (seconds << 32) | (((us % 1_000_000) << 32) / 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rounded_up_to_the_next_step_and_no_further() {
        let step = Duration::from_millis(20);
        let rounded = [0, 1, 19_999, 20_000, 20_001].map(|us| Timestamp(us).rounded_up(step).0);
        assert_eq!(rounded, [0, 20_000, 20_000, 20_000, 40_000]);
        assert_eq!(Timestamp(u64::MAX).rounded_up(step), Timestamp(u64::MAX));
    }

    #[test]
    fn ntp_time_counts_from_1900_with_a_binary_fraction() {
        let wall = WallOffset { unix_us: 1_000_000 };
        assert_eq!(
            wall.ntp(Timestamp(500_000)),
            (2_208_988_801 << 32) | (1 << 31)
        );
    }
}
