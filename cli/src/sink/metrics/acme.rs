//! Certificates that an authority issues, in figures.

use super::Maker;
use prometheus::{GaugeVec, IntCounterVec};
use sbc_core::id::TlsContextName;
use sbc_core::time::UnixTime;

/// Every end of an order.
const RESULTS: [&str; 10] = [
    "issued",
    "refused",
    "unproven",
    "unreachable",
    "broken",
    "slow",
    "local",
    "unusable",
    "refused_by_teams",
    "gone",
];

/// Orders and when the next one is.
pub struct AcmeMetrics {
    orders: IntCounterVec,
    next: GaugeVec,
}

impl AcmeMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            orders: maker.counters(
                "sbc_acme_orders_total",
                "Orders of certificates that have ended, by how.",
                &["context", "result"],
            )?,
            next: maker.float_gauges(
                "sbc_acme_next_order_timestamp_seconds",
                "When the authority is asked for the next certificate; 0 while it is asked.",
                &["context"],
            )?,
        })
    }

    /// An order has ended like this.
    pub fn ended(&self, context: &TlsContextName, result: &str) {
        let of = [context.as_str(), result];
        self.orders.with_label_values(&of).inc();
    }

    /// When the next ones are, of every identity that has any.
    pub fn set_next<'n>(&self, due: impl Iterator<Item = (&'n TlsContextName, Option<UnixTime>)>) {
        self.next.reset();
        for (context, at) in due {
            let seconds = at.map_or(0.0, |at| at.as_micros() as f64 / 1e6);
            let context = context.as_str();
            self.next.with_label_values(&[context]).set(seconds);
            // A counter that appears with its first failure hides that failure from rate().
            for result in RESULTS {
                self.orders.with_label_values(&[context, result]);
            }
        }
    }
}
