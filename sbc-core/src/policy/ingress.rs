//! Which trunk a request belongs to, or that it comes from a stranger (SIP-1600).
//!
//! The listener, the source address and the verified TLS identity decide; of peers that may come from
//! anywhere, the password that they know ([`crate::auth`]). The host of the
//! Request-URI only chooses between trunks that those three have left over, and it must name a
//! hosting trunk exactly. From, Contact and User-Agent are never looked at: whoever believes them
//! gives toll-free calls to anybody who writes a famous name there (TDR-TLS-012).

use crate::cause::{Because, Decision};
use crate::config::{
    Config, Preset, TlsContext, TransformScope, Trunk, VerifyClient, is_same_name,
};
use crate::event::DropCode;
use crate::id::TenantName;
use crate::octets::address_text;
use crate::policy::{emergency, number};
use crate::sip::{Host, Message, Method, Uri};
use crate::transport::{Flow, PeerIdentity, Protocol};
use crate::trunk::Standings;
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;

/// Whose request it is.
#[derive(Clone, PartialEq, Debug)]
pub struct Ingress {
    /// The trunk it came in on.
    pub trunk: Arc<Trunk>,
    /// The customer, unless the trunk is shared: then the owner of the called number (see
    /// [`super::route`]).
    pub tenant: Option<TenantName>,
    /// What tells that it is of this trunk.
    pub known_by: KnownBy,
}

/// What tells the trunk of a request from others that it could have come in on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KnownBy {
    /// Nothing is needed but where it came from.
    Source,
    /// The user of the Request-URI is that of its registration.
    Registration,
    /// The host of the Request-URI.
    Host,
    /// The number that is called, or the trunk group that the Request-URI names.
    TieBreak,
    /// Nothing tells, and any trunk of the peer will do.
    Any,
    /// Its dialog, or the call that it would be.
    Dialog,
    /// Its transaction.
    Transaction,
    /// The password of this user.
    Password(String),
    /// A rehearsal says so.
    Rehearsal,
}

impl Ingress {
    /// A request of a trunk, and what tells that.
    pub fn of(trunk: &Arc<Trunk>, known_by: KnownBy) -> Self {
        Self {
            trunk: Arc::clone(trunk),
            tenant: trunk.tenant.clone(),
            known_by,
        }
    }
}

/// What of a request tells trunks of one peer apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addressed<'m> {
    /// Host of the Request-URI.
    pub host: Option<&'m Host>,
    /// Its user.
    pub user: Option<&'m Bytes>,
    /// It asks for help, whoever helps.
    pub is_sos: bool,
    /// It neither begins a call nor belongs to one.
    pub is_aside: bool,
}

impl<'m> Addressed<'m> {
    /// What a request shows.
    pub fn of(message: &'m Message) -> Self {
        let uri = message.uri().ok();
        Self {
            host: uri.and_then(Uri::host),
            user: uri.and_then(Uri::user),
            is_sos: uri.is_some_and(Uri::is_sos),
            is_aside: *message.method() != Method::Invite && message.to_tag().is_none(),
        }
    }
}

/// Finds the trunk of a request from what it arrived on and the host of its Request-URI.
///
/// `Err` says how to drop it: [`DropCode::Stranger`] and [`DropCode::WrongIdentity`] get no answer,
/// [`DropCode::UnknownHost`] comes from a known peer and is answered with 404.
pub fn identify(
    config: &Config,
    flow: &Flow,
    host: Option<&Host>,
) -> Result<Decision<Ingress>, DropCode> {
    let addressed = Addressed {
        host,
        ..Addressed::default()
    };
    let value = identify_among(config, &Standings::default(), flow, addressed)?;
    let because = because(&value, flow);
    Ok(Decision { value, because })
}

/// Why a request is taken to be of this trunk. Told of new calls alone, so not found out with the
/// trunk itself.
pub fn because(found: &Ingress, flow: &Flow) -> Because {
    let because = match &found.known_by {
        KnownBy::Dialog => Because::of("peer is known within a dialog"),
        KnownBy::Transaction => Because::of("peer is known within a transaction"),
        KnownBy::Rehearsal => {
            Because::of("peer is known with a password that is not asked for here")
        }
        KnownBy::Password(user) => {
            Because::of(format!("peer is known with the password of \"{user}\""))
        }
        KnownBy::Source => arrived(flow),
        KnownBy::TieBreak => arrived(flow).and("of the trunks of this peer the call fits it alone"),
        KnownBy::Any => arrived(flow).and("any trunk of this peer may take it"),
        KnownBy::Registration => arrived(flow).and("the Request-URI is that of its registration"),
        KnownBy::Host => match &found.trunk.fqdn {
            Some(fqdn) => arrived(flow).and(format!("the Request-URI names {fqdn}")),
            None => arrived(flow),
        },
    };
    let because = because.and(["trunk \"", found.trunk.name.as_str(), "\""].concat());
    match &found.tenant {
        Some(tenant) => because.and(["tenant \"", tenant.as_str(), "\""].concat()),
        None => because,
    }
}

fn arrived(flow: &Flow) -> Because {
    let source = address_text(flow.remote.ip().to_canonical());
    let listener = flow.listener.as_str();
    let because = Because::of(["arrived on listener \"", listener, "\" from ", &source].concat());
    match &flow.identity {
        None => because,
        Some(identity) => because.and(format!(
            "peer proved to be {} in TLS context \"{}\"",
            identity.names.join(", "),
            identity.context
        )),
    }
}

/// As [`identify`] without reasons, where registrations stand: the addresses of their registrars
/// belong to the peer, too, and the user of the Request-URI chooses between trunks of one provider
/// (SIP-1624).
///
/// What tells trunks of one peer apart is for its calls alone. What is no call, and a call for help, which
/// fits nobody's numbers, is taken by the first of them.
pub fn identify_among(
    config: &Config,
    standings: &Standings,
    flow: &Flow,
    addressed: Addressed<'_>,
) -> Result<Ingress, DropCode> {
    let source = flow.remote.ip().to_canonical();
    let mut proven = config.peers_at(&flow.listener, source);
    for name in standings.at(source) {
        let trunk = config.trunks.get(name);
        let trunk = trunk.filter(|trunk| trunk.listeners.contains(&flow.listener));
        if let Some(trunk) = trunk.filter(|trunk| !proven.contains(trunk)) {
            proven.push(trunk);
        }
    }
    // Where it comes from proves nothing for a peer that has to show a password.
    proven.retain(|trunk| trunk.authenticate.is_none());
    if proven.is_empty() {
        return Err(DropCode::Stranger);
    }
    proven.retain(|trunk| accepts_identity(config, trunk, flow));
    if proven.is_empty() {
        return Err(DropCode::WrongIdentity);
    }
    let Addressed { host, user, .. } = addressed;
    let count = proven.len();
    let registered = choose_by_user(config, standings, &proven, user);
    if registered.is_none() {
        proven = of_host(&proven, host);
    }
    let Some(trunk) = registered.or_else(|| choose_by_tie(config, &proven, user)) else {
        let any = first_of_any(config, &proven, addressed);
        let any = any.map(|trunk| Ingress::of(trunk, KnownBy::Any));
        return any.ok_or(DropCode::UnknownHost);
    };
    let is_tie = !trunk.habits.tie_break.is_empty();
    let known_by = match (registered, count) {
        (Some(_), 2..) => KnownBy::Registration,
        (None, 2..) if is_tie => KnownBy::TieBreak,
        (None, 2..) => KnownBy::Host,
        _ if trunk.preset == Preset::Teams => KnownBy::Host,
        _ => KnownBy::Source,
    };
    Ok(Ingress::of(trunk, known_by))
}

/// The trunks whose peer a request could come from, if its sender proves that with a password.
pub fn provable<'c>(config: &'c Config, flow: &Flow) -> Vec<&'c Arc<Trunk>> {
    let trunks = config.trunks.values();
    trunks
        .filter(|trunk| trunk.authenticate.is_some() && admits_flow(config, trunk, flow))
        .collect()
}

/// Whether any trunk of this listener accepts packets or connections from `source`: what the
/// shell asks before it reads a byte.
pub fn admits_source(config: &Config, listener: &crate::id::ListenerName, source: IpAddr) -> bool {
    config.has_peer(listener, source.to_canonical())
}

/// Whether any trunk of this listener has a registrar at `source`.
pub fn admits_registrar(
    config: &Config,
    standings: &Standings,
    listener: &crate::id::ListenerName,
    source: IpAddr,
) -> bool {
    let source = source.to_canonical();
    let mut trunks = config.trunks.values();
    trunks.any(|trunk| {
        trunk.listeners.contains(listener) && standings.has_source(&trunk.name, source)
    })
}

/// Whether a flow is one of this trunk's peer: listener, source and verified identity. Requests
/// within a dialog must come that way too; from which connection does not matter (SIP-127).
pub fn admits_flow(config: &Config, trunk: &Trunk, flow: &Flow) -> bool {
    trunk.listeners.contains(&flow.listener)
        && accepts_source(trunk, flow.remote.ip().to_canonical())
        && accepts_identity(config, trunk, flow)
}

/// Whether an address belongs to the peer of a trunk.
pub fn accepts_source(trunk: &Trunk, source: IpAddr) -> bool {
    trunk.peer_ranges().any(|range| range.contains(source))
}

fn accepts_identity(config: &Config, trunk: &Trunk, flow: &Flow) -> bool {
    let Some(context) = trunk
        .tls
        .as_ref()
        .filter(|_| flow.protocol == Protocol::Tls)
    else {
        return flow.protocol != Protocol::Tls;
    };
    let Some(facts) = config.tls.get(context) else {
        return false;
    };
    match (&flow.identity, facts.verify_client) {
        (None, VerifyClient::Require) => false,
        // The operator chose to know this peer by its address alone.
        (None, VerifyClient::Off) => trunk.accept_names.is_empty(),
        // What was verified against another context's roots proves nothing here. Teams is the same for all of its
        // customers, and the Request-URI tells whom it calls, not the connection (TDR-MT-012): there, a context
        // that believes the same roots in the same way will do.
        (Some(identity), _) => {
            (identity.context == *context || is_alike(config, trunk, facts, identity))
                && (trunk.accept_names.is_empty()
                    || trunk.accept_names.iter().any(|accepted| {
                        identity
                            .names
                            .iter()
                            .any(|shown| is_same_name(accepted, shown, facts.allow_wildcard))
                    }))
        }
    }
}

/// Whether a peer of Teams that was verified in another context is as good as verified in that of this trunk, whose names
/// it has to carry all the same.
fn is_alike(config: &Config, trunk: &Trunk, own: &TlsContext, identity: &PeerIdentity) -> bool {
    trunk.preset == Preset::Teams
        && !trunk.accept_names.is_empty()
        && config
            .tls
            .get(&identity.context)
            .is_some_and(|other| own.verifies_as(other))
}

/// Among trunks that register: that whose contact the Request-URI is, else the only one whose
/// address of record or customer's number it names.
fn choose_by_user<'t>(
    config: &Config,
    standings: &Standings,
    trunks: &[&'t Arc<Trunk>],
    user: Option<&Bytes>,
) -> Option<&'t Arc<Trunk>> {
    let user = std::str::from_utf8(user?).ok()?;
    let is_contact = |trunk: &Trunk| {
        let standing = standings.get(&trunk.name);
        standing.is_some_and(|standing| standing.contact_user.as_deref() == Some(user))
    };
    if let Some(own) = trunks.iter().find(|trunk| is_contact(trunk)) {
        return Some(own);
    }
    let is_its_number = |trunk: &Trunk| {
        let tenant = trunk
            .tenant
            .as_ref()
            .and_then(|name| config.tenants.get(name));
        let is_number = tenant.is_some_and(|tenant| tenant.has(user));
        let register = trunk.register.as_ref();
        register.is_some_and(|own| own.user == user || is_number)
    };
    let mut named = trunks.iter().filter(|trunk| is_its_number(trunk));
    match (named.next(), named.next()) {
        (Some(only), None) => Some(only),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

/// The trunks that a request for this host may belong to.
fn of_host<'t>(trunks: &[&'t Arc<Trunk>], host: Option<&Host>) -> Vec<&'t Arc<Trunk>> {
    let is_named = |trunk: &Trunk| match (&trunk.fqdn, host) {
        (Some(fqdn), Some(host)) => host.is_name(fqdn),
        (Some(_), None) | (None, _) => false,
    };
    let of = |is_meant: &dyn Fn(&Trunk) -> bool| -> Vec<&'t Arc<Trunk>> {
        let meant = trunks.iter().filter(|trunk| is_meant(trunk));
        meant.copied().collect()
    };
    let named = of(&is_named);
    if !named.is_empty() {
        return named;
    }
    // Customers behind one hosting peer differ in nothing but this name: a call for a name that we
    // do not host must not fall to somebody by default (TDR-MT-015).
    let rest = of(&|trunk| trunk.preset != Preset::Teams);
    if rest.len() == 1 {
        return rest;
    }
    of(&|trunk| trunk.preset != Preset::Teams && trunk.fqdn.is_none())
}

/// Of several trunks that a request may belong to, the first that may take what is no call that could fit
/// one of them.
fn first_of_any<'t>(
    config: &Config,
    trunks: &[&'t Arc<Trunk>],
    addressed: Addressed<'_>,
) -> Option<&'t Arc<Trunk>> {
    let dialled = addressed.user.map(|user| number::of_user(user).0);
    let may_take = |trunk: &Trunk| {
        let tenant = trunk.tenant.as_ref();
        let is_help = |dialled: &String| emergency::is_number(config, tenant, dialled);
        addressed.is_aside || addressed.is_sos || dialled.as_ref().is_some_and(is_help)
    };
    let all = trunks.iter().filter(|trunk| may_take(trunk));
    all.min_by_key(|trunk| &trunk.name).copied()
}

/// Of several trunks that a request may belong to, the only one that the call fits, else the only one
/// that asks for nothing.
fn choose_by_tie<'t>(
    config: &Config,
    trunks: &[&'t Arc<Trunk>],
    user: Option<&Bytes>,
) -> Option<&'t Arc<Trunk>> {
    if let [only] = trunks {
        return Some(only);
    }
    let only = |is_meant: &dyn Fn(&Trunk) -> bool| {
        let mut meant = trunks.iter().filter(|trunk| is_meant(trunk));
        match (meant.next(), meant.next()) {
            (Some(only), None) => Some(*only),
            (Some(_), Some(_)) | (None, _) => None,
        }
    };
    let (dialled, params) = number::of_user(user.map_or(&[], |user| user));
    let trunk_group = params.split(';').find_map(|param| {
        let (name, value) = param.split_once('=')?;
        name.eq_ignore_ascii_case("tgrp").then_some(value)
    });
    let fits = |trunk: &Trunk| {
        let scope = TransformScope::In(trunk.name.clone());
        let number = number::transform_called(config, &scope, &dialled).value;
        let tie_break = &trunk.habits.tie_break;
        !tie_break.is_empty() && tie_break.fits(&number, trunk_group)
    };
    only(&fits).or_else(|| only(&|trunk| trunk.habits.tie_break.is_empty()))
}
