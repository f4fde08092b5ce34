//! How a leg writes: the names, ports and parameters its peer expects of us.
//!
//! Every address and name that a message of ours carries comes from here, and here they come from
//! the leg's own trunk and listener; nothing of the other leg can slip in (SIP-105, SIP-420).

use crate::config::{Config, Listener, Trunk};
use crate::mint::Mint;
use crate::sip::header::{Allow, Contact, Transport, Via};
use crate::sip::{
    Address, Host, HeaderName, NameAddr, RequestBuilder, ResponseBuilder, SipUri, Token, Uri,
};
use crate::transport::{Flow, Hop, Protocol, TlsHop};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How one leg writes.
#[derive(Clone, Debug)]
pub struct LegStyle {
    /// Configuration that the call was admitted with.
    pub config: Arc<Config>,
    /// The leg's trunk.
    pub trunk: Arc<Trunk>,
    /// User part of our Contact; the number that we stand for on this leg.
    pub contact_user: Option<Bytes>,
}

impl LegStyle {
    /// The listener of this trunk for a protocol and address family, the first configured one.
    pub fn listener(&self, protocol: Protocol, remote: IpAddr) -> Option<&Arc<Listener>> {
        self.trunk
            .listeners
            .iter()
            .filter_map(|name| self.config.listeners.get(name))
            .find(|at| at.protocol == protocol && at.bind.is_ipv4() == remote.is_ipv4())
    }

    /// The listener that a flow arrived on.
    pub fn listener_of(&self, flow: &Flow) -> Option<&Arc<Listener>> {
        self.config.listeners.get(&flow.listener)
    }

    /// A hop of this trunk to `remote`; `server_name` is the name asked for and checked in TLS.
    pub fn hop(&self, protocol: Protocol, remote: SocketAddr, server_name: &str) -> Option<Hop> {
        let listener = self.listener(protocol, remote.ip())?;
        let tls = match protocol {
            Protocol::Udp | Protocol::Tcp => None,
            Protocol::Tls => Some(TlsHop {
                context: self.trunk.tls.clone().or_else(|| listener.tls.clone())?,
                server_name: server_name.to_owned(),
                accept_names: self.trunk.accept_names.clone(),
            }),
        };
        Some(Hop { listener: listener.name.clone(), protocol, remote, tls, flow: None })
    }

    /// Our host on this leg: the trunk's name, else the listener's advertised address.
    pub fn host(&self, listener: &Listener) -> Host {
        match self.trunk.fqdn.as_deref().map(|name| Host::parse(Bytes::from(name.to_owned()))) {
            Some(Ok(host)) => host,
            Some(Err(_)) | None => Host::from(listener.advertised.ip()),
        }
    }

    /// The top Via of a request that leaves by `listener` (SIP-101).
    pub fn via(&self, listener: &Listener, branch: &str) -> Option<Via> {
        let transport = match listener.protocol {
            Protocol::Udp => Transport::Udp,
            Protocol::Tcp => Transport::Tcp,
            Protocol::Tls => Transport::Tls,
        };
        let branch = Token::parse(Bytes::from(branch.to_owned())).ok()?;
        let port = Some(listener.advertised.port());
        let mut via = Via::new(transport, self.host(listener), port, branch);
        if listener.protocol == Protocol::Udp {
            via.ask_rport();
        }
        Some(via)
    }

    /// Our Contact on this leg (SIP-401, TDR-SIP-013).
    pub fn contact(&self, listener: &Listener) -> Contact {
        let mut uri = SipUri::new(self.host(listener));
        uri.port = Some(listener.advertised.port());
        if let Some(user) = &self.contact_user {
            // A user that cannot stand in a URI is left out: Contact needs none.
            let _ = uri.set_user_text(user);
        }
        self.write_transport(&mut uri, listener.protocol);
        Contact::from(Uri::from(uri))
    }

    /// The Request-URI or To of the called party at a target.
    pub fn called_uri(&self, user: &[u8], host: &str, port: Option<u16>) -> Option<SipUri> {
        let mut uri = SipUri::new(Host::parse(Bytes::from(host.to_owned())).ok()?);
        uri.set_user_text(user).ok()?;
        uri.port = port;
        if self.trunk.uri.user_phone && is_telephone_number(user) {
            uri.params.set("user", Some(Bytes::from_static(b"phone"))).ok()?;
        }
        Some(uri)
    }

    /// Adds `transport` where this trunk wants it.
    pub fn write_transport(&self, uri: &mut SipUri, protocol: Protocol) {
        if self.trunk.uri.transport_param && protocol != Protocol::Udp {
            let name = Bytes::from_static(protocol.uri_name().as_bytes());
            // The names of protocols are tokens, which is all that can be refused here.
            let _ = uri.params.set("transport", Some(name));
        }
    }

    /// Adds what every request of ours carries: product token and fixed headers.
    pub fn sign_request(&self, mut request: RequestBuilder) -> RequestBuilder {
        for (name, value) in self.fixed_headers(HeaderName::UserAgent) {
            request = match request.raw(&name, &value) {
                Ok(request) => request,
                Err((request, _)) => request,
            };
        }
        request
    }

    /// Adds what every response of ours carries.
    pub fn sign_response(&self, mut response: ResponseBuilder) -> ResponseBuilder {
        for (name, value) in self.fixed_headers(HeaderName::Server) {
            response = match response.raw(&name, &value) {
                Ok(response) => response,
                Err((response, _)) => response,
            };
        }
        response
    }

    fn fixed_headers(&self, product: HeaderName) -> Vec<(HeaderName, Bytes)> {
        let token = self.config.node.user_agent.as_ref();
        let product = token.map(|token| (product, Bytes::from(token.clone())));
        let fixed = self.trunk.set_headers.iter().filter_map(|(name, value)| {
            let name = HeaderName::parse(Bytes::from(name.clone())).ok()?;
            Some((name, Bytes::from(value.clone())))
        });
        product.into_iter().chain(fixed).collect()
    }

    /// Our Allow on this leg.
    pub fn allow(&self) -> Allow {
        Allow::from(self.trunk.allow.clone())
    }
}

/// Whether a user part is a telephone number: digits, visual separators, an optional leading `+`.
fn is_telephone_number(user: &[u8]) -> bool {
    let digits = user.strip_prefix(b"+").unwrap_or(user);
    !digits.is_empty() && digits.iter().all(|c| c.is_ascii_digit() || b"-.()*#".contains(c))
}

/// A fresh tag as a token.
pub fn tag(mint: &mut Mint) -> Token {
    Token::from_minted(mint.tag())
}

/// An address without display name and parameters.
pub fn plain_address(uri: SipUri) -> Address {
    Address { addr: NameAddr { display: None, uri: Uri::from(uri) }, params: Default::default() }
}
