//! What becomes of frames for collectors of HEP3.

use super::{Maker, Metrics};
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

/// Counters of frames.
#[derive(Clone)]
pub struct HepMetrics {
    sent: IntCounterVec,
    up: IntGaugeVec,
    dropped: Option<IntCounter>,
}

impl HepMetrics {
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            sent: maker.counters(
                "sbc_hep_sent_total",
                "Frames that were given to a collector of [hep].",
                &["collector"],
            )?,
            up: maker.gauges(
                "sbc_hep_up",
                "Whether a collector of [hep] can be written to (1), as far as its protocol tells.",
                &["collector"],
            )?,
            dropped: None,
        })
    }

    /// The same, which counts what is lost among the queues of all.
    pub fn counting(metrics: &Metrics) -> Self {
        Self {
            dropped: Some(metrics.queue_dropped.with_label_values(&["hep"])),
            ..metrics.hep.clone()
        }
    }

    /// Frames that a collector got.
    pub fn sent(&self, collector: &str) -> IntCounter {
        self.sent.with_label_values(&[collector])
    }

    /// Whether it can be written to.
    pub fn set_up(&self, collector: &str, is_up: bool) {
        let up = self.up.with_label_values(&[collector]);
        up.set(i64::from(is_up));
    }

    /// So many entries are lost.
    pub fn lost(&self, entries: u64) {
        if let Some(dropped) = &self.dropped {
            dropped.inc_by(entries);
        }
    }

    /// A collector is not configured any more.
    pub fn forget(&self, collector: &str) {
        // It may never have had any.
        let _ = self.up.remove_label_values(&[collector]);
        let _ = self.sent.remove_label_values(&[collector]);
    }
}
