//! Notices of Microsoft and the subscriptions by which they come, in figures.

use super::Maker;
use prometheus::{IntCounterVec, IntGaugeVec};
use sbc_core::id::TenantName;

/// What became of a notice, or of a request with some.
const RESULTS: [&str; 12] = [
    "taken",
    "asked_for",
    "event",
    "handshake",
    "unreadable",
    "unknown",
    "too_many",
    "no_room",
    "token",
    "seal",
    "content",
    "nobody",
];

/// Notices by what became of them, and subscriptions.
pub struct NoticeMetrics {
    notices: IntCounterVec,
    held: IntGaugeVec,
    requests: IntCounterVec,
}

impl NoticeMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        let notices = maker.counters(
            "sbc_graph_notices_total",
            "What came to the address for notices of Microsoft, by what became of it. taken: the presence in it is known \
             now; asked_for: it had none, and the user is asked for; event: of a subscription; handshake: a proof of the \
             address; refused are unreadable, unknown (no subscription of ours, or not its secret), too_many, no_room, \
             token (not proven to be Microsoft's), seal (forged or for another key), content, nobody (no user of ours).",
            &["result"],
        )?;
        // A counter that appears with its first notice hides that notice from rate().
        for result in RESULTS {
            notices.with_label_values(&[result]);
        }
        Ok(Self {
            notices,
            held: maker.gauges(
                "sbc_graph_subscriptions",
                "Subscriptions that Microsoft holds for us; 0 while presence is only asked for.",
                &["tenant"],
            )?,
            requests: maker.counters(
                "sbc_graph_subscription_requests_total",
                "Requests about subscriptions that have ended, by what was asked (subscribe, renew, end) and how \
                 (ok, gone, refused, failed).",
                &["tenant", "request", "result"],
            )?,
        })
    }

    /// Something has come, and this became of it.
    pub fn came(&self, result: &str) {
        self.notices.with_label_values(&[result]).inc();
    }

    /// So much has come that became this, since the start.
    pub fn count(&self, result: &str) -> u64 {
        self.notices.with_label_values(&[result]).get()
    }

    /// Microsoft was asked about a subscription.
    pub fn asked(&self, tenant: &TenantName, request: &str, result: &str) {
        let of = [tenant.as_str(), request, result];
        self.requests.with_label_values(&of).inc();
    }

    /// A tenant has so many.
    pub fn held(&self, tenant: &TenantName, count: usize) {
        let gauge = self.held.with_label_values(&[tenant.as_str()]);
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A tenant has none any more, and wants none.
    pub fn forget(&self, tenant: &TenantName) {
        let _ = self.held.remove_label_values(&[tenant.as_str()]);
    }
}
