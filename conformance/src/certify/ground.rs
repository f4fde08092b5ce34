//! Where everybody on a stage is: sockets of the peers, taken before the subject is configured.

use super::setting::Peers;
use crate::lab::fault::LabFault;
use crate::lab::place::Addresses;
use crate::peer::{carrier, teams};
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Places of the peers, and who the subject is.
pub(super) struct Ground {
    pub(super) addresses: Addresses,
    pub(super) proxies: Vec<teams::Place>,
    pub(super) carriers: Vec<carrier::Place>,
    pub(super) branch: Option<(TcpListener, SocketAddr)>,
    /// Whether nothing of the one side may show on the other.
    pub(super) hides: bool,
    pub(super) peers: Peers,
}

impl Ground {
    /// Takes sockets for everybody.
    pub(super) async fn take(
        addresses: Addresses,
        proxies: [SocketAddr; 3],
        elsewhere: SocketAddr,
        carriers: [SocketAddr; 2],
    ) -> Result<Self, LabFault> {
        let system = |why| LabFault::System {
            what: "open a socket for a peer",
            why,
        };
        let mut places = Vec::new();
        for at in proxies {
            places.push(teams::Place::take_at(at).await.map_err(system)?);
        }
        let elsewhere = teams::Place::take_at(elsewhere).await;
        places.push(elsewhere.map_err(system)?);
        let one = carrier::Place::take_at(carriers[0]).map_err(system)?;
        let two = carrier::Place::take_at(carriers[1]).map_err(system)?;
        let peers = Peers {
            names: None,
            carriers: [one.address, two.address],
            proxies: [places[0].address, places[1].address, places[2].address],
            branch: None,
        };
        Ok(Self {
            addresses,
            proxies: places,
            carriers: vec![one, two],
            branch: None,
            hides: true,
            peers,
        })
    }

    /// Takes a socket for the SBC of a branch, where the carriers are.
    pub(super) async fn takes_branch(&mut self) -> Result<(), LabFault> {
        let system = |why| LabFault::System {
            what: "open a socket for a peer",
            why,
        };
        let at = SocketAddr::new(self.addresses.carrier, 0);
        let listener = TcpListener::bind(at).await.map_err(system)?;
        let address = listener.local_addr().map_err(system)?;
        self.branch = Some((listener, address));
        self.peers.branch = Some(address);
        Ok(())
    }
}
