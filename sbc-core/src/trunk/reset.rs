//! Peers of which an operator knows better: what speaks against one is forgotten, and it is asked as soon as may be.

use super::health::TargetState;
use super::probe::Probes;
use crate::config::TargetAddress;
use crate::id::TrunkName;
use crate::plane::Cx;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// A peer as an operator names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerName {
    /// A host as it stands in the configuration.
    Host(String),
    /// An address, whatever its port.
    Address(IpAddr),
    /// An address with its port.
    Place(SocketAddr),
}

impl PeerName {
    /// Reads one; what is no address is a host.
    pub fn parse(text: &str) -> Self {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        match (text.parse(), bare.unwrap_or(text).parse()) {
            (Ok(place), _) => Self::Place(place),
            (Err(_), Ok(address)) => Self::Address(address),
            (Err(_), Err(_)) => Self::Host(text.to_owned()),
        }
    }

    /// Whether a target is called so.
    pub fn names(&self, target: &TargetAddress) -> bool {
        match self {
            Self::Host(host) => target.host.eq_ignore_ascii_case(host),
            Self::Address(_) | Self::Place(_) => false,
        }
    }

    /// Whether it is the peer at this place.
    pub fn is_at(&self, remote: SocketAddr) -> bool {
        match self {
            Self::Host(_) => false,
            Self::Address(address) => *address == remote.ip(),
            Self::Place(place) => *place == remote,
        }
    }
}

impl Probes {
    /// Forgets what speaks against a peer; says of how many addresses something was known. One of Teams is not asked
    /// sooner than it may be (TDR-OPT-006).
    pub(crate) fn reset(&mut self, cx: &mut Cx<'_>, peer: &PeerName) -> usize {
        let places = self.begin_anew(cx, peer);
        let named = |trunk: &TrunkName| {
            let trunk = cx.plane.config.trunks.get(trunk);
            trunk.filter(|trunk| trunk.targets.iter().any(|target| peer.names(target)))
        };
        let mut all: BTreeSet<SocketAddr> = places.into_iter().collect();
        let is_it = |trunk: &TrunkName, remote: SocketAddr| match peer {
            // Of a host that is not probed nobody knows which addresses are its own.
            PeerName::Host(_) => named(trunk).is_some_and(|trunk| {
                all.contains(&remote) || all.is_empty() || trunk.options.is_none()
            }),
            PeerName::Address(_) | PeerName::Place(_) => peer.is_at(remote),
        };
        let quarantined = cx.plane.quarantine.forget(is_it);
        let found = cx.plane.health.found.forget(is_it);
        all.extend(quarantined);
        all.extend(found);
        all.len()
    }
}

/// What is told of an address whose state was forgotten.
pub(super) const FORGOTTEN: (TargetState, &str) = (
    TargetState::Gone,
    "an operator has it forgotten; it is asked anew",
);
