//! What Teams shows of its authorities, in figures: chains that were presented, and names at which coming ones can
//! be tried (TDR-TLS-010, TDR-TLS-014).

use super::{Direction, Maker};
use prometheus::{GaugeVec, IntGaugeVec};

/// Chains and test names.
pub struct ChainMetrics {
    ends: GaugeVec,
    troubles: IntGaugeVec,
    ready: IntGaugeVec,
}

/// One chain, as figures have it.
pub struct Shown<'s> {
    /// Who began the connection.
    pub direction: Direction,
    /// Who has shown it.
    pub peer: &'s str,
    /// Its root.
    pub root: &'s str,
    /// Kind and end of validity, in seconds since 1970, of its certificates.
    pub ends: Vec<(&'static str, i64)>,
    /// What may be wrong with it, and whether it is.
    pub troubles: Vec<(&'static str, bool)>,
}

impl ChainMetrics {
    pub(super) fn new(maker: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            ends: maker.float_gauges(
                "sbc_teams_chain_not_after_timestamp_seconds",
                "End of validity of what Teams has shown: leaf, intermediate (the first to end) and root.",
                &["dir", "peer", "root", "kind"],
            )?,
            troubles: maker.gauges(
                "sbc_teams_chain_trouble",
                "1 for what is wrong with a chain that Teams has shown: root, expiry or use.",
                &["dir", "peer", "root", "why"],
            )?,
            ready: maker.gauges(
                "sbc_teams_test_name_ready",
                "1 if a test name of Microsoft's answered 200 at the last daily OPTIONS; none without an address.",
                &["trunk", "name"],
            )?,
        })
    }

    /// All chains that are known.
    pub fn set<'s>(&self, all: impl Iterator<Item = Shown<'s>>) {
        self.ends.reset();
        self.troubles.reset();
        for shown in all {
            let (dir, peer, root) = (shown.direction.as_str(), shown.peer, shown.root);
            for (kind, until) in shown.ends {
                let of = [dir, peer, root, kind];
                self.ends.with_label_values(&of).set(until as f64);
            }
            for (why, is_so) in shown.troubles {
                let of = [dir, peer, root, why];
                self.troubles.with_label_values(&of).set(is_so.into());
            }
        }
    }

    /// All test names that have an address, by trunk.
    pub fn set_ready<'n>(&self, all: impl Iterator<Item = (&'n str, &'n str, bool)>) {
        self.ready.reset();
        for (trunk, name, is_ready) in all {
            let of = [trunk, name];
            self.ready.with_label_values(&of).set(is_ready.into());
        }
    }
}
