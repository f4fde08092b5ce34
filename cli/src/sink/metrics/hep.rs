//! What becomes of frames for collectors of HEP3.

use super::{Maker, Metrics};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// Counters of frames.
#[derive(Clone)]
pub struct HepMetrics {
    sent: IntCounterVec,
    up: IntGaugeVec,
    dropped: Option<IntCounter>,
}

/// Of one collector.
pub struct CollectorMetrics {
    /// Frames that it got.
    pub sent: IntCounter,
    /// Whether it can be written to.
    pub up: IntGauge,
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

    /// Those of one collector. They are shown until it is forgotten, whoever still counts.
    pub fn of(&self, collector: &str) -> CollectorMetrics {
        CollectorMetrics {
            sent: self.sent.with_label_values(&[collector]),
            up: self.up.with_label_values(&[collector]),
        }
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
