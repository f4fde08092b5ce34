//! How many addresses operators ban and let in.

use super::Maker;
use prometheus::{IntGauge, IntGaugeVec};

/// Figures of what operators have said.
pub struct ProtectionMetrics {
    bans: IntGauge,
    guests: IntGauge,
}

impl ProtectionMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        let entries: IntGaugeVec = maker.gauges(
            "sbc_security_entries",
            "Addresses and ranges that operators ban (ban) or let in as a trunk's for a while (guest).",
            &["kind"],
        )?;
        Ok(Self {
            bans: entries.with_label_values(&["ban"]),
            guests: entries.with_label_values(&["guest"]),
        })
    }

    /// So many are there.
    pub fn set(&self, bans: usize, guests: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.bans.set(number(bans));
        self.guests.set(number(guests));
    }
}
