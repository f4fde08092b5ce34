//! What is observed of the media of calls in progress, each minute: how the end of a long call is not the first that is
//! heard of it.

use super::CallMetrics;
use sbc_core::id::{CallId, LegId};
use sbc_core::record::MediaRecord;

/// Packets and losses of a leg so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SoFar {
    /// Packets from its peer.
    pub packets: u64,
    /// Packets that were lost on the way; late ones are subtracted again.
    pub lost: i64,
}

impl SoFar {
    /// Of a leg.
    pub fn of(media: &MediaRecord) -> Self {
        Self {
            packets: media.packets_in,
            lost: media.lost,
        }
    }

    /// The share that was lost since an earlier moment; nothing if nothing came since.
    fn loss_since(self, before: Self) -> Option<f64> {
        // A stream that was replaced counts anew.
        let packets = self.packets.checked_sub(before.packets)?;
        let lost = (self.lost - before.lost).max(0) as f64;
        (packets > 0).then(|| lost / (lost + packets as f64))
    }
}

impl CallMetrics {
    /// Observes what a leg's peer has sent since an earlier moment. A leg that was held, or whose peer is silent, has
    /// nothing to be judged by.
    pub fn minute(&self, call: CallId, media: &MediaRecord, before: SoFar) {
        let Some(loss) = SoFar::of(media).loss_since(before) else {
            return;
        };
        let trunk = self.with(call, |open| open.trunk_of(media.leg).clone());
        let Some(trunk) = trunk else {
            return;
        };
        let dir = match media.leg {
            LegId(0) => "in",
            _ => "out",
        };
        let labels = [trunk.as_str(), dir];
        self.media_loss.with_label_values(&labels).observe(loss);
        self.media_jitter
            .with_label_values(&labels)
            .observe(media.jitter_ms / 1_000.0);
        if let Some(ms) = media.rtt_ms {
            self.media_round_trip
                .with_label_values(&labels)
                .observe(ms / 1_000.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_of_a_minute_is_that_of_its_own_packets() {
        let so_far = |packets, lost| SoFar { packets, lost };
        let first = so_far(1_000, 100);
        assert_eq!(so_far(1_090, 110).loss_since(first), Some(0.1));
        // Late packets of before have come.
        assert_eq!(so_far(1_010, 90).loss_since(first), Some(0.0));
        assert_eq!(so_far(1_000, 100).loss_since(first), None);
        assert_eq!(so_far(10, 0).loss_since(first), None);
    }
}
