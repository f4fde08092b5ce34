//! Whether media is alive at all: silence (section 14 of the media requirements).

use crate::time::Timestamp;
use std::time::Duration;

/// What is watched about one endpoint.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// Since when this endpoint should be heard; `None` while nothing is expected of it.
    pub(super) expected_since: Option<Timestamp>,
    /// Silence has been reported and not been broken since.
    pub(super) silent: bool,
}

impl Liveness {
    /// The agreement or the bridge changed. `expected` says whether the endpoint should be heard.
    pub(super) fn restart(&mut self, expected: bool, now: Timestamp) {
        match (expected, self.expected_since) {
            (true, Some(_)) => {}
            (true, None) => {
                self.expected_since = Some(now);
                self.silent = false;
            }
            (false, _) => {
                self.expected_since = None;
                self.silent = false;
            }
        }
    }

    /// When silence has lasted for `limit`, given the last sign of life.
    pub(super) fn silence_deadline(
        &self,
        heard_at: Option<Timestamp>,
        limit: Duration,
    ) -> Option<Timestamp> {
        let since = self.expected_since?;
        (!limit.is_zero()).then(|| heard_at.map_or(since, |heard| heard.max(since)) + limit)
    }
}
