//! Via on arrival and for the way back: `received`, `rport`, where a response goes (SIP-102,
//! SIP-103; RFC 3261 §18.2, RFC 3581).

use std::net::{IpAddr, SocketAddr};

use crate::sip::header::Via;
use crate::sip::{Host, Message, ParseFault};

/// Where a response goes when the way is not the connection of its request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResponseTarget {
    /// To this address.
    Address(SocketAddr),
    /// To what RFC 3263 §5 finds for this name. Without a port, SRV records count.
    Resolve {
        /// Host of `maddr` or `sent-by`.
        host: Host,
        /// Port that was written.
        port: Option<u16>,
    },
}

/// Notes in the topmost Via where the request came from (SIP-102).
///
/// `received` is added if `sent-by` is a name or another address than the source, and always with
/// `rport`. What the sender wrote there itself is overwritten or removed: it would decide where our
/// answer goes.
pub fn note_source(via: &mut Via, source: SocketAddr) {
    let address = plain(source.ip());
    if via.has_rport() {
        via.set_rport(source.port());
        via.set_received(address);
    } else if via.host.ip().map(plain) == Some(address) {
        via.params.remove("received");
    } else {
        via.set_received(address);
    }
}

/// The request with [`note_source`] applied to its topmost Via. A copy is made only if something
/// changes.
pub fn with_source(request: &Message, source: SocketAddr) -> Result<Message, ParseFault> {
    let via = request.top_via()?;
    let mut noted = via.clone();
    note_source(&mut noted, source);
    match noted == via {
        true => Ok(request.clone()),
        false => Ok(request.with_top_via(&noted)),
    }
}

/// Where a response goes over UDP: `maddr`, else `received` with `rport`, else `received` with the
/// port of `sent-by`, else `sent-by` (SIP-103). `via` is the topmost of the request, after
/// [`note_source`].
///
/// An `maddr` that is multicast, broadcast or unspecified is passed over: we are nobody's amplifier.
pub fn datagram_target(via: &Via) -> ResponseTarget {
    match via.maddr() {
        Some(Host::Name(name)) => {
            return ResponseTarget::Resolve {
                host: Host::Name(name),
                port: via.port,
            };
        }
        Some(host) => {
            if let Some(address) = host.ip().filter(|address| is_unicast(*address)) {
                return ResponseTarget::Address(SocketAddr::new(address, via.sent_by_port()));
            }
        }
        None => {}
    }
    match (via.received(), via.rport()) {
        (Some(address), Some(port)) => ResponseTarget::Address(SocketAddr::new(address, port)),
        (Some(address), None) => {
            ResponseTarget::Address(SocketAddr::new(address, via.sent_by_port()))
        }
        (None, _) => sent_by(via),
    }
}

/// Where a new connection is opened for a response whose request came over a connection that is
/// gone: `received`, else `sent-by`, always at the port of `sent-by` (SIP-103).
pub fn reconnect_target(via: &Via) -> ResponseTarget {
    match via.received() {
        Some(address) => ResponseTarget::Address(SocketAddr::new(address, via.sent_by_port())),
        None => sent_by(via),
    }
}

fn sent_by(via: &Via) -> ResponseTarget {
    match via.host.ip() {
        Some(address) => ResponseTarget::Address(SocketAddr::new(address, via.sent_by_port())),
        None => ResponseTarget::Resolve {
            host: via.host.clone(),
            port: via.port,
        },
    }
}

/// An IPv4 address that a dual-stack socket shows as IPv6 is the IPv4 address.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn is_unicast(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !address.is_multicast() && !address.is_unspecified() && !is_broadcast
}
