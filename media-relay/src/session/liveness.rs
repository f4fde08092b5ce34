//! Whether media is alive at all: silence (section 14 of the media requirements).

use crate::time::Timestamp;
use std::time::Duration;

/// What is watched about one endpoint.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// Since when this endpoint should be heard; `None` while nothing is expected of it.
    pub(super) expected_since: Option<Timestamp>,
    /// For how many times the limit the silence that lasts has been reported.
    pub(super) told: u32,
}

impl Liveness {
    /// The agreement or the bridge changed. `expected` says whether the endpoint should be heard.
    pub(super) fn restart(&mut self, expected: bool, now: Timestamp) {
        match (expected, self.expected_since) {
            (true, Some(_)) => {}
            (true, None) => {
                self.expected_since = Some(now);
                self.told = 0;
            }
            (false, _) => {
                self.expected_since = None;
                self.told = 0;
            }
        }
    }

    /// Since when the endpoint is silent, given the last sign of life.
    fn silent_since(&self, heard_at: Option<Timestamp>) -> Option<Timestamp> {
        let since = self.expected_since?;
        Some(heard_at.map_or(since, |heard| heard.max(since)))
    }

    /// When silence has lasted for `limit` more than it was reported for.
    pub(super) fn silence_deadline(
        &self,
        heard_at: Option<Timestamp>,
        limit: Duration,
    ) -> Option<Timestamp> {
        let since = self.silent_since(heard_at)?;
        let times = self.told.saturating_add(1);
        (!limit.is_zero()).then(|| since + limit.saturating_mul(times))
    }

    /// How long silence has lasted, in milliseconds, if that is to be reported now.
    pub(super) fn silence_ms(
        &mut self,
        heard_at: Option<Timestamp>,
        limit: Duration,
        now: Timestamp,
    ) -> Option<u32> {
        let silent_us = now.since_us(self.silent_since(heard_at)?);
        let times = silent_us.checked_div(limit.as_micros() as u64)?;
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        let is_news = times > self.told;
        self.told = times;
        is_news.then(|| u32::try_from(silent_us / 1000).unwrap_or(u32::MAX))
    }
}
