//! Whether media is alive: silence and one-way audio (section 14 of the media requirements).

use super::stream::Stream;
use crate::time::Timestamp;
use media_api::{DropReason, OneWayKind};
use std::time::Duration;

/// Time after both sides are answered before one-way media is looked for, and between looks.
pub(super) const ONE_WAY_CHECK: Duration = Duration::from_secs(5);

/// What is watched about one endpoint.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// Since when this endpoint should be heard; `None` while nothing is expected of it.
    pub(super) expected_since: Option<Timestamp>,
    /// Silence has been reported and not been broken since.
    pub(super) silent: bool,
    /// One-way media has been reported for the present agreement.
    pub(super) one_way_reported: bool,
    /// Drops of all streams when the present agreement began.
    dropped_before: [u64; DropReason::ALL.len()],
}

impl Liveness {
    /// The agreement or the bridge changed. `expected` says whether the endpoint should be heard.
    pub(super) fn restart(&mut self, expected: bool, streams: &[Stream], now: Timestamp) {
        match (expected, self.expected_since) {
            (true, Some(_)) => {}
            (true, None) => {
                self.expected_since = Some(now);
                self.silent = false;
                self.dropped_before = dropped(streams);
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

    /// What was dropped most since the agreement, as the likely reason that nothing gets through.
    pub(super) fn likely_reason(&self, streams: &[Stream]) -> OneWayKind {
        let now = dropped(streams);
        let since =
            |reason: DropReason| now[reason as usize] - self.dropped_before[reason as usize];
        // Checks that come where nobody speaks ICE are noise.
        let refused_checks = match streams.iter().any(Stream::has_checks) {
            true => since(DropReason::CheckName) + since(DropReason::CheckIntegrity),
            false => 0,
        };
        let suspects = [
            (
                since(DropReason::Authentication) + since(DropReason::Replay),
                OneWayKind::DecryptFailures,
            ),
            (since(DropReason::PayloadType), OneWayKind::WrongPayloadType),
            (since(DropReason::Source), OneWayKind::WrongSource),
            (refused_checks, OneWayKind::RefusedChecks),
        ];
        let none = match streams.iter().any(Stream::lacks_checks) {
            true => OneWayKind::NoChecks,
            false => OneWayKind::NoPackets,
        };
        suspects
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .max_by_key(|(count, _)| *count)
            .map_or(none, |(_, kind)| kind)
    }
}

fn dropped(streams: &[Stream]) -> [u64; DropReason::ALL.len()] {
    let mut sum = [0; DropReason::ALL.len()];
    for stream in streams {
        sum.iter_mut()
            .zip(stream.dropped)
            .for_each(|(sum, count)| *sum += count);
    }
    sum
}
