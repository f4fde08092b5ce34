//! Which targets answer: what the probes found out, for every call of the shard to see (SIP-1710).

use crate::config::TargetAddress;
use crate::id::TrunkName;
use crate::transport::Protocol;
use std::collections::BTreeSet;

/// One target of one trunk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TargetId {
    /// Trunk.
    pub trunk: TrunkName,
    /// Host as configured.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

impl TargetId {
    /// The name of a configured target.
    pub fn of(trunk: &TrunkName, target: &TargetAddress) -> Self {
        Self {
            trunk: trunk.clone(),
            host: target.host.clone(),
            port: target.port,
            protocol: target.protocol,
        }
    }
}

/// The targets that are down. One that is not probed, or not yet, is not among them.
#[derive(Default, Debug)]
pub(crate) struct Health {
    down: BTreeSet<TargetId>,
}

impl Health {
    /// Takes note of a change.
    pub(crate) fn note(&mut self, target: &TargetId, is_up: bool) {
        match is_up {
            true => self.down.remove(target),
            false => self.down.insert(target.clone()),
        };
    }

    /// Forgets the targets that are not wanted.
    pub(crate) fn keep(&mut self, is_wanted: impl Fn(&TargetId) -> bool) {
        self.down.retain(is_wanted);
    }

    /// The targets of a trunk in the order in which they should be tried: those that are down last,
    /// else as configured. None is left out: when all are down, a call is one more way to find out
    /// (SIP-1711).
    pub(crate) fn in_order(
        &self,
        trunk: &TrunkName,
        targets: &[TargetAddress],
    ) -> Vec<TargetAddress> {
        let mut ordered = targets.to_vec();
        if !self.down.is_empty() {
            ordered.sort_by_key(|target| self.down.contains(&TargetId::of(trunk, target)));
        }
        ordered
    }
}
