//! Binding the two sockets of a port pair of a realm.

use crate::control::realm::RealmPorts;
use crate::entropy::Entropy;
use crate::io::Batch;
use crate::session::{SocketId, StreamSockets};
use crate::time::Timestamp;
use crate::worker::stock::Lease;
use media_api::{AllocateError, Family};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Pairs tried when the operating system says that one is taken.
const ATTEMPTS: usize = 8;

/// A pair that is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Index of the realm.
    pub(super) realm: usize,
    pub(super) family: Family,
    /// Whether it may be one of the last that are free.
    pub(super) takes_last: bool,
}

/// Why no pair was bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unbound {
    /// The realm has no address of the family.
    NoAddress,
    /// None of its pairs is free.
    NoPorts,
    /// Others on this machine have those that were tried.
    Taken,
    /// The operating system gives no socket, as for lack of descriptors.
    NoSocket,
}

impl From<Unbound> for AllocateError {
    fn from(why: Unbound) -> Self {
        match why {
            Unbound::NoAddress => Self::NoAddress,
            Unbound::NoPorts => Self::PortsExhausted,
            Unbound::Taken | Unbound::NoSocket => Self::Socket,
        }
    }
}

impl Wanted {
    /// Takes a free pair of the realm and binds both of its ports.
    pub(super) fn bind(
        self,
        realm_ports: &RealmPorts,
        entropy: &mut Entropy,
        now: Timestamp,
        batch: &mut impl Batch,
    ) -> Result<Lease, Unbound> {
        let Self {
            realm,
            family,
            takes_last,
        } = self;
        let address = realm_ports.address(family).ok_or(Unbound::NoAddress)?;
        let ports = realm_ports.ports(family).ok_or(Unbound::NoAddress)?;
        let dscp = realm_ports.realm.dscp;
        for _ in 0..ATTEMPTS {
            let port = ports
                .take(entropy, now, takes_last)
                .ok_or(Unbound::NoPorts)?;
            match open_pair(address.bind, port, dscp, batch) {
                Ok((rtp, rtcp)) => {
                    return Ok(Lease {
                        realm,
                        family,
                        port,
                        ports: Arc::clone(ports),
                        dscp,
                        sockets: StreamSockets {
                            realm: realm_ports.realm.id,
                            rtp,
                            rtcp,
                            advertised_rtp: SocketAddr::new(address.advertised, port),
                            advertised_rtcp: SocketAddr::new(address.advertised, port + 1),
                        },
                    });
                }
                Err(why) => {
                    // One that somebody else has may be free after a rest.
                    ports.give_back(port, now);
                    if why.kind() != io::ErrorKind::AddrInUse {
                        return Err(Unbound::NoSocket);
                    }
                }
            }
        }
        Err(Unbound::Taken)
    }
}

/// Binds a port and the next one, or neither.
fn open_pair(
    address: IpAddr,
    port: u16,
    dscp: u8,
    batch: &mut impl Batch,
) -> io::Result<(SocketId, SocketId)> {
    let rtp = batch.open(SocketAddr::new(address, port), dscp)?;
    match batch.open(SocketAddr::new(address, port + 1), dscp) {
        Ok(rtcp) => Ok((rtp, rtcp)),
        Err(why) => {
            batch.close(rtp);
            Err(why)
        }
    }
}
