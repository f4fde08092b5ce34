//! How a leg writes: the names, ports and parameters its peer expects of us.
//!
//! Every address and name that a message of ours carries comes from here, and here they come from
//! the leg's own trunk and listener; nothing of the other leg can slip in (SIP-105, SIP-420).

use crate::config::{Config, Listener, Lookup, Preset, TargetAddress, Trunk, UriScheme};
use crate::locate::{Families, LocateSpec};
use crate::policy::header::fixed;
use crate::policy::identity::our_host;
use crate::session::timer::SessionTimer;
use crate::sip::header::{Contact, MinSe, OptionTag, RecordRoute, SessionId, Transport, Via};
use crate::sip::{
    Capabilities, HeaderName, Host, Message, Method, RequestBuilder, ResponseBuilder, SipUri,
    Token, Uri,
};
use crate::transport::{Flow, Hop, Protocol, TlsHop, overload};
use bytes::Bytes;
use media_api::Family;
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
    /// Names of both ends, for every message of the leg.
    pub session_id: Option<SessionId>,
}

/// A parameter of Via: requests may come back on the connection of this one (RFC 5923 §7.1).
const ALIAS: &str = "alias";

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

    /// What we are called where a flow arrived, for a Warning.
    pub fn name_on(&self, flow: &Flow) -> Option<String> {
        let listener = self.listener_of(flow)?;
        Some(our_host(&self.trunk, listener).to_string())
    }

    /// A hop of this trunk to `remote`; `server_name` is the name asked for and checked in TLS.
    pub fn hop(&self, protocol: Protocol, remote: SocketAddr, server_name: &str) -> Option<Hop> {
        let listener = self.listener(protocol, remote.ip())?;
        let tls = match protocol {
            Protocol::Udp | Protocol::Tcp => None,
            Protocol::Tls => Some(Arc::new(TlsHop {
                context: self.trunk.tls.clone().or_else(|| listener.tls.clone())?,
                server_name: server_name.to_owned(),
                accept_names: self.trunk.accept_names.clone(),
                takes_alias: self.trunk.habits.connection_reuse,
            })),
        };
        Some(Hop {
            listener: listener.name.clone(),
            protocol,
            remote,
            tls,
            flow: None,
        })
    }

    /// The addresses of a target for which no name need be asked.
    pub fn fixed_addresses(&self, target: &TargetAddress) -> Vec<SocketAddr> {
        if !target.connect_to.is_empty() {
            return target.connect_to.clone();
        }
        let literal = target.host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let literal = literal.map(|address| SocketAddr::new(address, target.port));
        literal.into_iter().collect()
    }

    /// What to ask about a target that is a name: only for what our listeners can use.
    pub fn locate(&self, target: &TargetAddress) -> LocateSpec {
        let is_open = target.lookup == Lookup::Domain;
        let spec = self.locate_host(&target.host, target.protocol, is_open);
        LocateSpec {
            port: (target.lookup == Lookup::Addresses).then_some(target.port),
            is_foreign: false,
            ..spec
        }
    }

    /// What to ask about the servers of a host that a peer has named: for this protocol, or for every one that we speak.
    pub fn locate_host(&self, host: &str, usual: Protocol, is_open: bool) -> LocateSpec {
        let listeners = || {
            let names = self.trunk.listeners.iter();
            names.filter_map(|name| self.config.listeners.get(name))
        };
        let protocols: Vec<Protocol> = [Protocol::Tls, Protocol::Tcp, Protocol::Udp]
            .into_iter()
            .filter(|protocol| match is_open {
                true => listeners().any(|listener| listener.protocol == *protocol),
                false => usual == *protocol,
            })
            .collect();
        LocateSpec {
            domain: host.to_owned(),
            port: None,
            is_open,
            families: self.families(&protocols),
            protocols,
            is_foreign: true,
        }
    }

    /// Families of addresses that are reached over one of these protocols (TDR-DNS-001).
    pub(super) fn families(&self, protocols: &[Protocol]) -> Families {
        let has = |is_v4: bool| {
            let names = self.trunk.listeners.iter();
            let mut listeners = names.filter_map(|name| self.config.listeners.get(name));
            self.wants_family(is_v4)
                && listeners.any(|listener| {
                    protocols.contains(&listener.protocol) && listener.bind.is_ipv4() == is_v4
                })
        };
        Families {
            v4: has(true),
            v6: has(false),
        }
    }

    /// Teams is reached over the family that the trunk has there, signalling as media (TDR-CON-010).
    fn wants_family(&self, is_v4: bool) -> bool {
        let own = self.trunk.media.profile.family;
        self.trunk.preset != Preset::Teams || (own == Family::V4) == is_v4
    }

    /// Whether the peer is reached over the family of this address.
    pub(super) fn has_family(&self, remote: &SocketAddr) -> bool {
        self.wants_family(remote.is_ipv4())
    }

    /// The top Via of a request that leaves by `listener` (SIP-101).
    pub fn via(&self, listener: &Listener, branch: &str) -> Option<Via> {
        let transport = match listener.protocol {
            Protocol::Udp => Transport::Udp,
            Protocol::Tcp => Transport::Tcp,
            Protocol::Tls => Transport::Tls,
        };
        let branch = Token::from_minted(branch.to_owned());
        let port = Some(listener.advertised.port());
        let mut via = Via::new(transport, our_host(&self.trunk, listener), port, branch);
        if listener.protocol == Protocol::Udp {
            via.ask_rport();
        }
        if self.trunk.habits.overload_control {
            overload::ask(&mut via);
        }
        // Microsoft's own examples offer it; connections of Teams are used for requests of ours only where
        // the operator wants that (TDR-TCP-001).
        let offers = self.trunk.habits.connection_reuse || self.trunk.preset == Preset::Teams;
        if offers && listener.protocol == Protocol::Tls {
            via.params.set(Token::parse(ALIAS).ok()?, None);
        }
        Some(via)
    }

    /// Our Contact on this leg (SIP-401, TDR-SIP-013).
    pub fn contact(&self, listener: &Listener) -> Contact {
        let mut uri = SipUri::new(our_host(&self.trunk, listener));
        uri.is_sips = self.trunk.habits.uri_scheme == UriScheme::Sips;
        uri.port = Some(listener.advertised.port());
        if let Some(user) = &self.contact_user {
            // A user that cannot stand in a URI is left out: Contact needs none.
            let _ = uri.set_user(Some(user.clone()));
        }
        self.write_transport(&mut uri, listener.protocol);
        Contact::from(Uri::from(uri))
    }

    /// That a call came through us as the proxy of the SBC in whose name it is made: the only Record-Route
    /// that we ever write (TDR-LMO-020, TDR-LMO-021).
    pub fn record_route(&self, listener: &Listener) -> Option<RecordRoute> {
        let host = Host::parse(self.trunk.proxy()?.to_owned()).ok()?;
        let mut uri = SipUri::new(host);
        uri.port = Some(listener.advertised.port());
        self.write_transport(&mut uri, listener.protocol);
        uri.params.set("lr", None).ok()?;
        Some(RecordRoute::from(Uri::from(uri)))
    }

    /// Adds `transport` where this trunk wants it.
    pub fn write_transport(&self, uri: &mut SipUri, protocol: Protocol) {
        // `sips` says it already, and `transport=tls` beside it is against RFC 5630 §5.1.1.1.
        if self.trunk.uri.transport_param && protocol != Protocol::Udp && !uri.is_sips {
            let name = Bytes::from_static(protocol.uri_name().as_bytes());
            // The names of protocols are tokens, which is all that can be refused here.
            let _ = uri.params.set("transport", Some(name));
        }
    }

    /// Adds what every request of ours carries: product token and fixed headers.
    pub fn sign_request(&self, request: RequestBuilder) -> RequestBuilder {
        self.sign_briefly(match self.config.node.product(&self.trunk) {
            Some(token) => request.raw_if_valid(HeaderName::UserAgent, token),
            None => request,
        })
    }

    /// As [`Self::sign_request`], without what nobody needs.
    pub fn sign_briefly(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.headers(&self.session_id);
        fixed(&self.trunk).fold(request, |request, (name, value)| {
            request.raw_if_valid(name, value)
        })
    }

    /// Adds what every response of ours carries.
    pub fn sign_response(&self, response: ResponseBuilder) -> ResponseBuilder {
        let response = match self.config.node.product(&self.trunk) {
            Some(token) => response.raw_if_valid(HeaderName::Server, token),
            None => response,
        };
        let response = response.headers(&self.session_id);
        fixed(&self.trunk).fold(response, |response, (name, value)| {
            response.raw_if_valid(name, value)
        })
    }

    /// The Min-SE for a request that asks for a shorter interval than this trunk accepts (SIP-704).
    pub(crate) fn least_interval(&self, request: &Message) -> Option<MinSe> {
        SessionTimer::refuses(self.trunk.session_timer, request)
    }

    /// What requests of this leg's peer may ask of us.
    pub fn capabilities(&self) -> &Capabilities {
        &self.trunk.able().capabilities
    }

    /// What a request of its peer may that makes a call, or changes one. ISUP goes on with an offer; what changes nothing
    /// that the other party hears of has to be understood here.
    pub fn capabilities_inviting(&self, request: &Message) -> &Capabilities {
        let invites = *request.method() == Method::Invite && request.to_tag().is_none();
        let offers = || super::description(request).is_some();
        match invites || offers() {
            true => &self.trunk.able().inviting,
            false => self.capabilities(),
        }
    }

    /// Value of our Supported header where somebody asks what we can do (RFC 3261 §11.2).
    pub fn supported(&self) -> &str {
        &self.trunk.able().supported
    }

    /// Lines of an INVITE or its 2xx, with what we support beside what they say (TDR-XFR-030).
    pub(super) fn with_supported(
        &self,
        mut lines: Vec<(HeaderName, Bytes)>,
    ) -> Vec<(HeaderName, Bytes)> {
        let own = match self.trunk.identity.from_change {
            true => "replaces, from-change",
            false => OptionTag::REPLACES,
        };
        let said = lines
            .iter_mut()
            .find(|(name, _)| *name == HeaderName::Supported);
        match said {
            Some((_, value)) => {
                *value = Bytes::from([value.as_ref(), b", ", own.as_bytes()].concat());
            }
            None => lines.push((HeaderName::Supported, Bytes::from_static(own.as_bytes()))),
        }
        if self.trunk.allow.contains(&Method::Info) {
            // INFO is taken, and there is no package that we know (RFC 6086 §5.2.3).
            lines.push((HeaderName::RecvInfo, Bytes::new()));
        }
        lines
    }

    /// Value of our Allow header on this leg.
    pub fn allow(&self) -> &str {
        &self.trunk.able().allow
    }
}
