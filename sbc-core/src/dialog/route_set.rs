//! Loose and strict routing (RFC 3261 §12.2.1.1), and where the next hop of a URI is.

use crate::octets::address_text;
use crate::sip::header::Route;
use crate::sip::{Address, Host, Uri};
use crate::transport::Protocol;
use std::net::{IpAddr, SocketAddr};

/// Request-URI and Route values of a request along `route_set` to `target`.
///
/// A strict router on top becomes the Request-URI itself, and the target moves to the end of the
/// Route list.
pub(super) fn apply<'a>(route_set: &'a [Address], target: &'a Uri) -> (&'a Uri, Vec<Route>) {
    let as_route = |address: &Address| Route(address.clone());
    match route_set.split_first() {
        Some((first, rest)) if !is_loose(first.uri()) => {
            let mut routes: Vec<Route> = rest.iter().map(as_route).collect();
            routes.push(Route(Address::new(target.clone())));
            (first.uri(), routes)
        }
        _ => (target, route_set.iter().map(as_route).collect()),
    }
}

fn is_loose(uri: &Uri) -> bool {
    uri.params().is_some_and(|params| params.has("lr"))
}

/// What a URI says about the next hop, before RFC 3263.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NextHop {
    /// Host name or literal address, without brackets.
    pub host: String,
    /// Port, if written.
    pub port: Option<u16>,
    /// Protocol, if written in a `transport` parameter.
    pub protocol: Option<Protocol>,
}

impl NextHop {
    /// Reads a URI; a URI without host (tel:) gives an empty host, which no resolver knows.
    pub fn of(uri: &Uri) -> Self {
        let host = match uri.params().and_then(|params| params.value("maddr")) {
            Some(maddr) => String::from_utf8_lossy(maddr)
                .trim_matches(['[', ']'])
                .to_owned(),
            None => uri.host().map(host_text).unwrap_or_default(),
        };
        let protocol = uri
            .params()
            .and_then(|params| params.value("transport"))
            .and_then(|name| {
                [Protocol::Udp, Protocol::Tcp, Protocol::Tls]
                    .into_iter()
                    .find(|protocol| name.eq_ignore_ascii_case(protocol.uri_name().as_bytes()))
            });
        Self {
            host,
            port: uri.port(),
            protocol,
        }
    }

    /// The address that a URI names, without reading anything else of it.
    pub fn address_of(uri: &Uri) -> Option<IpAddr> {
        match uri.params().is_some_and(|params| params.has("maddr")) {
            true => Self::of(uri)
                .literal(Protocol::Udp)
                .map(|address| address.ip()),
            false => uri.host()?.ip(),
        }
    }

    /// The address, when the host is a literal one.
    pub fn literal(&self, default: Protocol) -> Option<SocketAddr> {
        let address: IpAddr = self.host.trim_matches(['[', ']']).parse().ok()?;
        Some(SocketAddr::new(address, self.port_for(default)))
    }

    /// The port to use with `protocol`.
    pub fn port_for(&self, protocol: Protocol) -> u16 {
        self.port.unwrap_or(protocol.default_port())
    }
}

fn host_text(host: &Host) -> String {
    match host.ip() {
        Some(address) => address_text(address),
        None => host.to_string(),
    }
}
