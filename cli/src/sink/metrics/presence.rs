//! Presence of users, in figures: what Microsoft was asked, and how old its word is.

use super::Maker;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};
use sbc_core::id::TenantName;
use sbc_core::policy::presence::Standing;

/// Every end of a request.
const RESULTS: [&str; 5] = ["ok", "busy", "refused", "unreachable", "unusable"];
/// What is asked.
const KINDS: [&str; 3] = ["read", "set", "clear"];
const STANDINGS: [Standing; 4] = [
    Standing::Ready,
    Standing::Busy,
    Standing::Absent,
    Standing::Unknown,
];

/// Requests, users, and when all of them were heard of.
pub struct PresenceMetrics {
    requests: IntCounterVec,
    heard: GaugeVec,
    users: IntGaugeVec,
    shown: IntGaugeVec,
}

impl PresenceMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: maker.counters(
                "sbc_presence_requests_total",
                "Requests to Microsoft Graph about presence, by what was asked (read, set, clear) and how it ended.",
                &["tenant", "kind", "result"],
            )?,
            heard: maker.float_gauges(
                "sbc_presence_heard_timestamp_seconds",
                "When the presence of all users of the tenant was last heard; 0 until then. What is older than three \
                 times the interval, and than 60 s, says nothing any more.",
                &["tenant"],
            )?,
            users: maker.gauges(
                "sbc_presence_users",
                "Users of the tenant by what their presence says of a call: ready, busy, absent, unknown.",
                &["tenant", "standing"],
            )?,
            shown: maker.gauges(
                "sbc_presence_shown",
                "Users whom we show as busy in a call, because they talk over our trunks.",
                &["tenant"],
            )?,
        })
    }

    /// The tenants that have it from now on; series of others end.
    pub fn configure<'n>(&self, tenants: impl Iterator<Item = &'n TenantName>) {
        let before = self.heard.clone();
        let kept: Vec<(&TenantName, f64)> = tenants
            .map(|name| (name, before.with_label_values(&[name.as_str()]).get()))
            .collect();
        self.heard.reset();
        self.users.reset();
        self.shown.reset();
        for (name, at) in kept {
            let tenant = name.as_str();
            self.heard.with_label_values(&[tenant]).set(at);
            self.shown.with_label_values(&[tenant]).set(0);
            // A counter that appears with its first failure hides that failure from rate().
            for kind in KINDS {
                for result in RESULTS {
                    self.requests.with_label_values(&[tenant, kind, result]);
                }
            }
        }
    }

    /// A request has ended so.
    pub fn asked(&self, tenant: &TenantName, kind: &str, result: &str) {
        let of = [tenant.as_str(), kind, result];
        self.requests.with_label_values(&of).inc();
    }

    /// All users of a tenant were heard of, in seconds since 1970, and so many have each standing.
    pub fn heard(&self, tenant: &TenantName, at: f64, count: impl Fn(Standing) -> usize) {
        let tenant = tenant.as_str();
        self.heard.with_label_values(&[tenant]).set(at);
        for standing in STANDINGS {
            let users = i64::try_from(count(standing)).unwrap_or(i64::MAX);
            let of = [tenant, &standing.to_string()];
            self.users.with_label_values(&of).set(users);
        }
    }

    /// So many users are shown as busy.
    pub fn shown(&self, tenant: &TenantName, users: usize) {
        let users = i64::try_from(users).unwrap_or(i64::MAX);
        self.shown.with_label_values(&[tenant.as_str()]).set(users);
    }
}
