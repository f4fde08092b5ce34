//! How often something may happen: the generic cell rate algorithm (ITU-T I.371).

use crate::time::Timestamp;
use std::time::Duration;

/// Once in so long, and so many times at once after a rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) every: Duration,
    /// At least 1.
    pub(crate) burst: u32,
}

impl Rate {
    /// So many in a minute, all of them at once after a rest.
    pub(crate) fn per_minute(count: u32) -> Self {
        Self {
            every: Duration::from_secs(60) / count.max(1),
            burst: count,
        }
    }

    /// So many times as often.
    pub(crate) fn times(self, times: u32) -> Self {
        Self {
            every: self.every / times.max(1),
            burst: self.burst.saturating_mul(times),
        }
    }
}

/// What has happened of one thing: one point in time is all that is remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    /// When all that was admitted would be served at the usual rate.
    served: Timestamp,
}

impl Meter {
    /// Counts one more. `Err` says after how long the next one is admitted; nothing is counted then.
    pub(crate) fn admit(&mut self, now: Timestamp, rate: Rate) -> Result<(), Duration> {
        let begun = self.served.max(now);
        let owed = begun.since(now);
        let most = rate.every * rate.burst.saturating_sub(1);
        if owed > most {
            return Err(owed - most);
        }
        self.served = begun + rate.every;
        Ok(())
    }

    /// Whether it admits as much as one that is new.
    pub(crate) fn has_rested(&self, now: Timestamp) -> bool {
        self.served <= now
    }
}
