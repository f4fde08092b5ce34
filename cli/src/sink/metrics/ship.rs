//! What becomes of records that are sent to whoever keeps them.

use super::Maker;
use prometheus::{IntCounterVec, IntGaugeVec};

/// Counters by the address that records go to.
#[derive(Clone)]
pub struct ShipMetrics {
    sent: IntCounterVec,
    refused: IntCounterVec,
    up: IntGaugeVec,
    waiting: IntGaugeVec,
}

impl ShipMetrics {
    pub(super) fn new(maker: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            sent: maker.counters(
                "sbc_cdr_shipped_total",
                "Records that the server of [cdr.ship] has acknowledged.",
                &["url"],
            )?,
            refused: maker.counters(
                "sbc_cdr_ship_refused_total",
                "Records that the server of [cdr.ship] refuses one by one; they are in refused.jsonl of the spool.",
                &["url"],
            )?,
            up: maker.gauges(
                "sbc_cdr_ship_up",
                "Whether the server of [cdr.ship] takes records (1), as far as is known.",
                &["url"],
            )?,
            waiting: maker.gauges(
                "sbc_cdr_ship_waiting_bytes",
                "Bytes of the spool that the server of [cdr.ship] has not acknowledged.",
                &["url"],
            )?,
        })
    }

    /// So many records more are there.
    pub fn sent(&self, url: &str, records: u64) {
        self.sent.with_label_values(&[url]).inc_by(records);
    }

    /// It will not have one of them.
    pub fn refused(&self, url: &str) {
        self.refused.with_label_values(&[url]).inc();
    }

    /// Whether it takes records.
    pub fn up(&self, url: &str, is_up: bool) {
        self.up.with_label_values(&[url]).set(is_up.into());
    }

    /// What it does not have yet.
    pub fn waiting(&self, url: &str, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.waiting.with_label_values(&[url]).set(bytes);
    }

    /// Nothing is sent there any more.
    pub fn forget(&self, url: &str) {
        // It may never have had any.
        let _ = self.up.remove_label_values(&[url]);
        let _ = self.waiting.remove_label_values(&[url]);
        let _ = self.refused.remove_label_values(&[url]);
        let _ = self.sent.remove_label_values(&[url]);
    }
}
