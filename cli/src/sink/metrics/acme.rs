//! Certificates that an authority issues, in figures.

use super::Maker;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};
use sbc_core::id::TlsContextName;
use sbc_core::time::UnixTime;

/// Every end of an order.
const RESULTS: [&str; 11] = [
    "issued",
    "refused",
    "unproven",
    "unreachable",
    "broken",
    "slow",
    "local",
    "unusable",
    "refused_by_teams",
    "unanswered",
    "gone",
];

/// Orders and when the next one is.
pub struct AcmeMetrics {
    orders: IntCounterVec,
    next: GaugeVec,
    failures: IntGaugeVec,
}

impl AcmeMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            orders: maker.counters(
                "sbc_acme_orders_total",
                "Orders of certificates that have ended, by how.",
                &["context", "result"],
            )?,
            failures: maker.gauges(
                "sbc_acme_failures",
                "Orders in a row that have come to nothing; 0 once a certificate is issued.",
                &["context"],
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

    /// How things stand with every identity that has its certificate from an authority: when the next order is,
    /// and failures in a row.
    pub fn set<'n>(
        &self,
        standing: impl Iterator<Item = (&'n TlsContextName, Option<UnixTime>, u32)>,
    ) {
        self.next.reset();
        self.failures.reset();
        for (context, at, failures) in standing {
            let seconds = at.map_or(0.0, |at| at.as_micros() as f64 / 1e6);
            let context = context.as_str();
            self.next.with_label_values(&[context]).set(seconds);
            let count = i64::from(failures);
            self.failures.with_label_values(&[context]).set(count);
            // A counter that appears with its first failure hides that failure from rate().
            for result in RESULTS {
                self.orders.with_label_values(&[context, result]);
            }
        }
    }
}
