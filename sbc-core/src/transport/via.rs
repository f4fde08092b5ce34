//! Via on arrival and for the way back: `received`, `rport`, where a response goes (SIP-102,
//! SIP-103; RFC 3261 §18.2, RFC 3581).

use std::net::{IpAddr, SocketAddr};

use crate::sip::header::Via;
use crate::sip::{Host, Message};

/// Where a response goes when the way is not the connection of its request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResponseTarget {
    /// To this address.
    Address(SocketAddr),
    /// To what RFC 3263 §5 finds for this name. Without a port, SRV records count.
    Resolve {
        /// Host of `sent-by`.
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

/// The request with [`note_source`] applied to its topmost Via, if that can be read.
pub fn with_source(request: Message, source: SocketAddr) -> Message {
    let Ok(via) = request.top_via() else {
        return request;
    };
    let mut noted = via.clone();
    note_source(&mut noted, source);
    match noted == *via {
        true => request,
        false => request.with_top_via(noted),
    }
}

/// Where a response goes over UDP: `received` with `rport`, else `received` with the port of
/// `sent-by`, else `sent-by` (SIP-103). `via` is the topmost of the request, after [`note_source`].
///
/// An `maddr` is for multicast, which nobody sends us, and passed over: who writes one would have our answers, and
/// their repetitions, sent to whomever he names (SEC-001).
pub fn datagram_target(via: &Via) -> ResponseTarget {
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

/// Where what the sender of a request calls itself is.
pub fn sent_by(via: &Via) -> ResponseTarget {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::header::Header;

    fn noted(text: &'static str, source: &str) -> Via {
        let mut via = Via::parse(&text.into()).unwrap();
        note_source(&mut via, source.parse().unwrap());
        via
    }

    fn target(via: &Via) -> String {
        match datagram_target(via) {
            ResponseTarget::Address(address) => address.to_string(),
            ResponseTarget::Resolve { host, port } => format!("{host} {port:?}"),
        }
    }

    #[test]
    fn received_is_added_for_names_and_other_addresses_only() {
        let same = noted(
            "SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1",
            "192.0.2.1:9999",
        );
        assert_eq!(
            same.to_bytes(),
            "SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1"
        );
        assert_eq!(target(&same), "192.0.2.1:5070");

        let name = noted(
            "SIP/2.0/UDP pbx.example.com;branch=z9hG4bK1",
            "192.0.2.1:9999",
        );
        assert_eq!(
            name.to_bytes(),
            "SIP/2.0/UDP pbx.example.com;branch=z9hG4bK1;received=192.0.2.1"
        );
        assert_eq!(target(&name), "192.0.2.1:5060");
    }

    #[test]
    fn rport_is_filled_and_always_brings_received() {
        let via = noted(
            "SIP/2.0/TCP 192.0.2.1:5070;rport;branch=z9hG4bK1",
            "192.0.2.1:9999",
        );
        assert_eq!(
            via.to_bytes(),
            "SIP/2.0/TCP 192.0.2.1:5070;rport=9999;branch=z9hG4bK1;received=192.0.2.1"
        );
        assert_eq!(target(&via), "192.0.2.1:9999");
        // A new connection goes to where the peer listens, not to the port it called from.
        let reopened = ResponseTarget::Address("192.0.2.1:5070".parse().unwrap());
        assert_eq!(reconnect_target(&via), reopened);
    }

    #[test]
    fn what_the_sender_claims_about_itself_is_not_believed() {
        let via = noted(
            "SIP/2.0/UDP 192.0.2.1;received=198.51.100.7;rport=53;branch=z9hG4bK1",
            "192.0.2.1:9999",
        );
        assert_eq!(target(&via), "192.0.2.1:9999");
        let via = noted(
            "SIP/2.0/UDP 192.0.2.1;received=198.51.100.7",
            "192.0.2.1:9999",
        );
        assert_eq!(via.received(), None);
        assert_eq!(target(&via), "192.0.2.1:5060");
    }

    #[test]
    fn an_answer_goes_to_where_its_request_came_from_whatever_maddr_says() {
        for other in [
            "192.0.2.8",
            "127.0.0.1",
            "224.0.1.75",
            "255.255.255.255",
            "0.0.0.0",
            "victim.example.com",
        ] {
            let text = format!("SIP/2.0/UDP 192.0.2.1:5070;maddr={other}");
            let mut via = Via::parse(&text.into()).unwrap();
            note_source(&mut via, "192.0.2.1:9999".parse().unwrap());
            assert_eq!(target(&via), "192.0.2.1:5070");
            let text = format!("SIP/2.0/UDP 192.0.2.7:53;rport;maddr={other}");
            let mut via = Via::parse(&text.into()).unwrap();
            note_source(&mut via, "192.0.2.1:9999".parse().unwrap());
            assert_eq!(target(&via), "192.0.2.1:9999");
        }
    }

    #[test]
    fn ipv6_is_compared_as_an_address() {
        let via = noted(
            "SIP/2.0/UDP [2001:0db8::1];branch=z9hG4bK1",
            "[2001:db8::1]:5060",
        );
        assert_eq!(via.received(), None);
        let via = noted(
            "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
            "[::ffff:192.0.2.1]:5060",
        );
        assert_eq!(via.received(), None);
        let via = noted("SIP/2.0/UDP [2001:db8::2];rport", "[2001:db8::1]:5061");
        assert_eq!(
            via.to_bytes(),
            "SIP/2.0/UDP [2001:db8::2];rport=5061;received=2001:db8::1"
        );
        assert_eq!(target(&via), "[2001:db8::1]:5061");
    }

    #[test]
    fn only_the_topmost_via_of_the_message_changes() {
        let text = "BYE sip:a@example.com SIP/2.0\r\nV: SIP/2.0/TCP a.example.com;branch=z9hG4bK1,\r\n \
                    SIP/2.0/UDP b.example.com\r\nvia: SIP/2.0/UDP c.example.com\r\nX: 1\r\n\r\nbody";
        let request = Message::parse(text.into(), &crate::sip::Limits::default());
        let request = request.unwrap();
        let shared = request.clone();
        for request in [request, shared] {
            let noted = with_source(request, "192.0.2.1:9999".parse().unwrap());
            let lines: Vec<_> = noted.headers().map(|line| line.value()).collect();
            let expected = [
                "SIP/2.0/TCP a.example.com;branch=z9hG4bK1;received=192.0.2.1, \
                 SIP/2.0/UDP b.example.com",
                "SIP/2.0/UDP c.example.com",
                "1",
            ];
            assert_eq!(lines, expected);
            assert_eq!(noted.list::<Via>().unwrap().len(), 3);
            assert!(noted.top_via().unwrap().received().is_some());
        }
    }
}
