//! Which trunk a request belongs to, or that it comes from a stranger (SIP-1600).
//!
//! The listener, the source address and the verified TLS identity decide. The host of the
//! Request-URI only chooses between trunks that those three have left over, and it must name a
//! hosting trunk exactly. From, Contact and User-Agent are never looked at: whoever believes them
//! gives toll-free calls to anybody who writes a famous name there (TDR-TLS-012).

use crate::cause::{Because, Decision};
use crate::config::{Config, Preset, Trunk, VerifyClient, is_same_name};
use crate::event::DropCode;
use crate::id::TenantName;
use crate::sip::Host;
use crate::transport::{Flow, Protocol};
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
    identify_among(config, &Standings::default(), flow, host, None)
}

/// As [`identify`], where registrations stand: the addresses of their registrars belong to the
/// peer, too, and the user of the Request-URI chooses between trunks of one provider (SIP-1624).
pub fn identify_among(
    config: &Config,
    standings: &Standings,
    flow: &Flow,
    host: Option<&Host>,
    user: Option<&Bytes>,
) -> Result<Decision<Ingress>, DropCode> {
    let source = flow.remote.ip().to_canonical();
    let mut because = Because::of(format!(
        "arrived on listener \"{}\" from {source}",
        flow.listener
    ));
    let mut from_source = config
        .trunks
        .values()
        .filter(|trunk| {
            trunk.listeners.contains(&flow.listener)
                && (accepts_source(trunk, source) || standings.has_source(&trunk.name, source))
        })
        .peekable();
    if from_source.peek().is_none() {
        return Err(DropCode::Stranger);
    }
    let proven: Vec<&Arc<Trunk>> = from_source
        .filter(|trunk| accepts_identity(config, trunk, flow))
        .collect();
    if proven.is_empty() {
        return Err(DropCode::WrongIdentity);
    }
    if let Some(identity) = &flow.identity {
        because = because.and(format!(
            "peer proved to be {} in TLS context \"{}\"",
            identity.names.join(", "),
            identity.context
        ));
    }
    let registered = choose_by_user(config, standings, &proven, user);
    if registered.is_some() && proven.len() > 1 {
        because = because.and("the Request-URI is that of its registration");
    }
    let trunk = registered
        .or_else(|| choose_by_host(&proven, host))
        .ok_or(DropCode::UnknownHost)?;
    if let (true, Some(fqdn)) = (
        proven.len() > 1 || trunk.preset == Preset::Teams,
        &trunk.fqdn,
    ) {
        because = because.and(format!("the Request-URI names {fqdn}"));
    }
    because = because.and(format!("trunk \"{}\"", trunk.name));
    if let Some(tenant) = &trunk.tenant {
        because = because.and(format!("tenant \"{tenant}\""));
    }
    Ok(Decision {
        value: Ingress {
            trunk: Arc::clone(trunk),
            tenant: trunk.tenant.clone(),
        },
        because,
    })
}

/// Whether any trunk of this listener accepts packets or connections from `source`: what the
/// shell asks before it reads a byte.
pub fn admits_source(config: &Config, listener: &crate::id::ListenerName, source: IpAddr) -> bool {
    let source = source.to_canonical();
    config
        .trunks
        .values()
        .any(|trunk| trunk.listeners.contains(listener) && accepts_source(trunk, source))
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
    if !trunk.accept_from.is_empty() {
        return trunk.accept_from.iter().any(|net| net.contains(source));
    }
    trunk.targets.iter().any(|target| {
        target.host.parse() == Ok(source)
            || target
                .connect_to
                .iter()
                .any(|address| address.ip() == source)
    })
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
        // What was verified against another context's roots proves nothing here.
        (Some(identity), _) => {
            identity.context == *context
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
        let mut numbers = tenant.iter().flat_map(|tenant| &tenant.numbers);
        let register = trunk.register.as_ref();
        register.is_some_and(|own| own.user == user || numbers.any(|all| all.contains(user)))
    };
    let mut named = trunks.iter().filter(|trunk| is_its_number(trunk));
    match (named.next(), named.next()) {
        (Some(only), None) => Some(only),
        (Some(_), Some(_)) | (None, _) => None,
    }
}

fn choose_by_host<'t>(trunks: &[&'t Arc<Trunk>], host: Option<&Host>) -> Option<&'t Arc<Trunk>> {
    let is_named = |trunk: &Trunk| match (&trunk.fqdn, host) {
        (Some(fqdn), Some(host)) => host.is_name(fqdn),
        (Some(_), None) | (None, _) => false,
    };
    if let Some(named) = trunks.iter().find(|trunk| is_named(trunk)) {
        return Some(named);
    }
    // Customers behind one hosting peer differ in nothing but this name: a call for a name that we
    // do not host must not fall to somebody by default (TDR-MT-015).
    let mut rest = trunks.iter().filter(|trunk| trunk.preset != Preset::Teams);
    match (rest.next(), rest.next()) {
        (Some(only), None) => Some(only),
        (Some(_), Some(_)) => {
            let mut nameless = trunks
                .iter()
                .filter(|trunk| trunk.preset != Preset::Teams && trunk.fqdn.is_none());
            match (nameless.next(), nameless.next()) {
                (Some(only), None) => Some(only),
                _ => None,
            }
        }
        (None, _) => None,
    }
}
