//! Where everybody on a stage is: sockets of the peers, taken before the subject is configured.

use super::setting::Peers;
use crate::lab::fault::LabFault;
use crate::lab::place::Addresses;
use crate::peer::{carrier, teams};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

/// How long peers of a case before may take to leave their places.
const LEAVING: Duration = Duration::from_secs(5);

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
        let mut places = Vec::new();
        for at in proxies.into_iter().chain([elsewhere]) {
            places.push(taken(at, teams::Place::take_at).await?);
        }
        let carrier = |at| std::future::ready(carrier::Place::take_at(at));
        let one = taken(carriers[0], carrier).await?;
        let two = taken(carriers[1], carrier).await?;
        let peers = Peers {
            names: None,
            carriers: [one.address, two.address],
            proxies: [places[0].address, places[1].address, places[2].address],
            branch: None,
            microsoft: None,
            elsewhere: places[3].address,
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
        let at = SocketAddr::new(self.addresses.carrier, 0);
        self.takes_branch_at(at).await
    }

    /// The same, at this place.
    pub(super) async fn takes_branch_at(&mut self, at: SocketAddr) -> Result<(), LabFault> {
        let system = |why| LabFault::System {
            what: "open a socket for a peer",
            why,
        };
        let listener = taken(at, TcpListener::bind::<SocketAddr>).await?;
        let address = listener.local_addr().map_err(system)?;
        self.branch = Some((listener, address));
        self.peers.branch = Some(address);
        Ok(())
    }
}

/// A place at an address. Where the subject is somebody else's, the peers of the case before had the same.
async fn taken<P, F>(at: SocketAddr, take: impl Fn(SocketAddr) -> F) -> Result<P, LabFault>
where
    F: Future<Output = io::Result<P>>,
{
    let deadline = Instant::now() + LEAVING;
    loop {
        match take(at).await {
            Ok(place) => return Ok(place),
            Err(why) if why.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await;
            }
            Err(why) => return Err(LabFault::Place { at, why }),
        }
    }
}
