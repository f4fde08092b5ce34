//! What registrations give to calls: whether they stand, where, and what the registrar prescribes.
//!
//! Shard 0 registers and tells the others, as with health.

use crate::config::TargetAddress;
use crate::id::TrunkName;
use crate::sip::header::{Contact, Expires, PAssociatedUri, Route, ServiceRoute};
use crate::sip::{HeaderName, Message};
use crate::time::UnixTime;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How it is with the registration of one trunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationState {
    /// Nothing is wanted: the node drains, or the trunk registers no more.
    Off,
    /// The registrar knows us.
    Registered,
    /// Tried without success.
    Failed,
    /// Not tried to the end yet.
    Trying,
}

/// The registration of one trunk as calls see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Trunk.
    pub trunk: TrunkName,
    /// State.
    pub state: RegistrationState,
    /// User part of our contact, which nobody else can know; none where all numbers are registered
    /// at once (RFC 6140).
    pub contact_user: Option<String>,
    /// The server that holds the registration.
    pub server: Option<(TargetAddress, SocketAddr)>,
    /// Addresses that the names of the registrars had within the last day.
    pub sources: Vec<IpAddr>,
    /// Hops that requests outside dialogs visit first (RFC 3608).
    pub service_route: Vec<Route>,
    /// Identities that the registrar has for us (RFC 3455).
    pub identities: Vec<String>,
    /// When it ends.
    pub until: Option<UnixTime>,
}

impl Standing {
    /// Nothing is known of it yet.
    pub(super) fn new(trunk: &TrunkName) -> Self {
        Self {
            trunk: trunk.clone(),
            state: RegistrationState::Trying,
            contact_user: None,
            server: None,
            sources: Vec::new(),
            service_route: Vec::new(),
            identities: Vec::new(),
            until: None,
        }
    }

    /// Whether the registrar knows us.
    pub fn is_registered(&self) -> bool {
        self.state == RegistrationState::Registered
    }
}

/// Every registration that is known, by trunk.
#[derive(Clone, Default, Debug)]
pub struct Standings(BTreeMap<TrunkName, Arc<Standing>>);

impl Standings {
    /// Takes note of a change.
    pub fn note(&mut self, standing: &Arc<Standing>) {
        self.0.insert(standing.trunk.clone(), Arc::clone(standing));
    }

    /// The registration of a trunk.
    pub fn get(&self, trunk: &TrunkName) -> Option<&Arc<Standing>> {
        self.0.get(trunk)
    }

    /// Whether an address is one of those that a trunk's registrars have.
    pub fn has_source(&self, trunk: &TrunkName, source: IpAddr) -> bool {
        let standing = self.0.get(trunk);
        standing.is_some_and(|standing| standing.sources.contains(&source))
    }

    /// The trunks that have a registrar at this address.
    pub fn at(&self, source: IpAddr) -> impl Iterator<Item = &TrunkName> {
        let standings = self.0.iter();
        let at = standings.filter(move |(_, standing)| standing.sources.contains(&source));
        at.map(|(trunk, _)| trunk)
    }

    /// Forgets the trunks that are not wanted any more.
    pub fn keep(&mut self, is_wanted: impl Fn(&TrunkName) -> bool) {
        self.0.retain(|trunk, _| is_wanted(trunk));
    }
}

/// Most hops of a Service-Route: every INVITE of the trunk carries them all.
const MOST_HOPS: usize = 10;

/// What a 200 to REGISTER prescribes. What cannot be read, or has more hops than any network, is as if
/// it were not there: calls fail then where they are sent to, which the peer can see.
pub(super) fn service_route(response: &Message) -> Vec<Route> {
    let routes = response.list::<ServiceRoute>();
    let routes = routes.unwrap_or_default();
    if routes.len() > MOST_HOPS {
        return Vec::new();
    }
    routes.into_iter().map(|route| Route(route.0)).collect()
}

/// The identities of P-Associated-URI, at most 64.
pub(super) fn identities(response: &Message) -> Vec<String> {
    let all = response.list::<PAssociatedUri>().unwrap_or_default();
    all.iter()
        .take(64)
        .map(|one| String::from_utf8_lossy(&one.uri().to_bytes()).into_owned())
        .collect()
}

/// The life that a 200 grants to our contact, in seconds: of the contact itself, else of all. A registrar that lists no
/// contact at all, against RFC 3261 §10.3, has taken what it was asked for; one that lists others alone has not.
pub(super) fn granted(response: &Message, is_ours: impl Fn(&Contact) -> bool) -> Option<u32> {
    let contacts = response.list::<Contact>().unwrap_or_default();
    let of_all = || {
        let expires = response.get::<Expires>();
        expires.ok().flatten().map(|expires| expires.0)
    };
    let own = match response.raw(HeaderName::Contact) {
        None => None,
        Some(_) => contacts
            .iter()
            .find(|contact| is_ours(contact))?
            .expires_s(),
    };
    Some(own.or_else(of_all).unwrap_or(3_600))
}
