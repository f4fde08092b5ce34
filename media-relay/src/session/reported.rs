//! What a peer reports of what it receives from us: plain reports (RFC 3550 §6.4.1) and VoIP metrics
//! (RFC 3611 §4.7, MED-065).

use super::rating::Sum;
use crate::e_model::{Codec, Loss};
use crate::packet::rtcp::ReportBlock;
use media_api::ReportedStats;

/// Reports of one peer about our stream.
#[derive(Debug, Default)]
pub(super) struct Reported {
    reports: u32,
    lost: i32,
    worst_fraction: u8,
    jitter_us: u32,
    max_jitter_us: u32,
    listening: Sum,
}

impl Reported {
    /// One more report, about packets of this clock and codec.
    pub(super) fn note(&mut self, block: &ReportBlock, clock_hz: u32, codec: Option<Codec>) {
        let jitter = u64::from(block.jitter) * 1_000_000;
        let jitter_us = jitter.checked_div(clock_hz.into()).unwrap_or(0);
        self.reports = self.reports.saturating_add(1);
        self.lost = block.cumulative_lost;
        self.worst_fraction = self.worst_fraction.max(block.fraction_lost);
        self.jitter_us = u32::try_from(jitter_us).unwrap_or(u32::MAX);
        self.max_jitter_us = self.max_jitter_us.max(self.jitter_us);
        if let Some(codec) = codec {
            let loss = Loss::of(block.fraction_lost.into(), 256, 0);
            self.listening.add(codec.rate(loss, 0.0));
        }
    }

    pub(super) fn stats(&self) -> Option<ReportedStats> {
        (self.reports > 0).then(|| ReportedStats {
            reports: self.reports,
            lost: self.lost,
            worst_loss_percent: media_api::percent(self.worst_fraction.into(), 256),
            jitter_us: self.jitter_us,
            max_jitter_us: self.max_jitter_us,
            listening: self.listening.rating(),
        })
    }
}
