//! What is registered with us: contacts, and the flows on which they are reached (RFC 3261 §10,
//! RFC 5626, RFC 6140).
//!
//! Shard 0 is the registrar; every shard has what it has told, as with health.

use super::stored::Registered;
use crate::config::{CalledAs, Lookup, TargetAddress};
use crate::id::TrunkName;
use crate::session::{LegStyle, hop_back};
use crate::sip::header::{CallId, Route};
use crate::sip::{Address, SipUri, Uri};
use crate::time::{Timestamp, UnixTime};
use crate::transport::{Flow, Hop};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// One registered contact.
#[derive(Clone, PartialEq, Debug)]
pub struct Binding {
    /// Never used for another binding; it stays the same as long as the contact is refreshed.
    pub id: u64,
    /// The contact as it was registered, without its life.
    pub contact: Address,
    /// Preference in thousandths.
    pub q_milli: u16,
    /// When it ends.
    pub until: Timestamp,
    /// The same for people.
    pub until_wall: UnixTime,
    /// Call-ID of the REGISTER that made or refreshed it.
    pub call_id: CallId,
    /// Its sequence number.
    pub cseq: u32,
    /// Hops between us and the contact (RFC 3327).
    pub path: Vec<Route>,
    /// What the REGISTER came on: calls go back there, whatever the contact says, because an address
    /// behind NAT cannot be reached in any other way.
    pub flow: Flow,
    /// Whether `flow` is a connection that still lives, or datagrams.
    pub is_flow_alive: bool,
    /// Instance and flow number of RFC 5626, where the peer uses that.
    pub instance: Option<(Bytes, Bytes)>,
    /// Whether it stands for all numbers of the trunk (RFC 6140).
    pub is_bulk: bool,
    /// Who registered it, with which account.
    pub account: Arc<Registered>,
}

/// Everything that is registered for one trunk.
#[derive(Clone, PartialEq, Debug)]
pub struct Bound {
    /// Trunk.
    pub trunk: TrunkName,
    /// Its contacts, the preferred ones first.
    pub bindings: Vec<Arc<Binding>>,
}

impl Binding {
    /// The contact's URI.
    pub fn uri(&self) -> Option<&SipUri> {
        self.contact.uri().as_sip()
    }

    /// Where requests for the contact go.
    pub fn remote(&self) -> SocketAddr {
        let contact = self.uri().filter(|_| !self.is_flow_alive);
        let named = contact.and_then(|uri| {
            let port = uri.port.unwrap_or(self.flow.protocol.default_port());
            Some(SocketAddr::new(uri.host.ip()?, port))
        });
        named.unwrap_or(self.flow.remote)
    }

    /// The binding as a target of a leg.
    pub(crate) fn target(&self) -> TargetAddress {
        let remote = self.remote();
        TargetAddress {
            host: self
                .uri()
                .map_or_else(|| remote.ip().to_string(), |uri| uri.host.to_string()),
            port: remote.port(),
            protocol: self.flow.protocol,
            lookup: Lookup::Binding(self.id),
            connect_to: Vec::new(),
        }
    }

    /// The way to the contact.
    pub(crate) fn hop(&self, style: &LegStyle) -> Hop {
        Hop {
            remote: self.remote(),
            flow: self.is_flow_alive.then_some(self.flow.id),
            ..hop_back(style, &self.flow)
        }
    }

    /// The Request-URI of a call for a number: the contact, or the number there. `called` is the
    /// number at our domain.
    pub(crate) fn request_uri(&self, called: &Uri, form: CalledAs) -> Option<Uri> {
        let mut uri = self.uri()?.clone();
        uri.clear_headers();
        uri.params.remove("bnc");
        if self.is_bulk || form == CalledAs::Number {
            uri.set_user(called.user().cloned()).ok()?;
        }
        Some(Uri::from(uri))
    }
}

/// What is registered, by trunk.
#[derive(Default)]
pub(crate) struct Bindings(BTreeMap<TrunkName, Arc<Bound>>);

impl Bindings {
    /// Takes note of a change.
    pub(crate) fn note(&mut self, bound: &Arc<Bound>) {
        match bound.bindings.is_empty() {
            true => self.0.remove(&bound.trunk),
            false => self.0.insert(bound.trunk.clone(), Arc::clone(bound)),
        };
    }

    /// The contacts of a trunk that are valid now, the preferred ones first.
    pub(crate) fn of(&self, now: Timestamp, trunk: &TrunkName) -> Vec<Arc<Binding>> {
        let bound = self.0.get(trunk);
        let all = bound.map(|bound| bound.bindings.as_slice());
        let all = all.unwrap_or_default().iter();
        all.filter(|one| now < one.until).cloned().collect()
    }

    /// A binding as it stands now, if it does.
    pub(crate) fn get(&self, now: Timestamp, trunk: &TrunkName, id: u64) -> Option<&Arc<Binding>> {
        let mut all = self.0.get(trunk)?.bindings.iter();
        all.find(|one| one.id == id && now < one.until)
    }

    /// The way to a peer within a dialog: that on which it was last heard, unless it has registered
    /// from elsewhere since.
    pub(crate) fn way(
        &self,
        now: Timestamp,
        style: &LegStyle,
        heard: &Hop,
        target: &Uri,
    ) -> Option<Hop> {
        let all = self.of(now, &style.trunk.name);
        if all.iter().any(|one| {
            one.is_flow_alive
                && (Some(one.flow.id) == heard.flow || one.flow.remote == heard.remote)
        }) {
            return None;
        }
        let is_same = |one: &&Arc<Binding>| {
            let (own, asked) = (one.uri(), target.as_sip());
            own.zip(asked)
                .is_some_and(|(own, asked)| own.host.is(&asked.host) && own.port == asked.port)
        };
        let only = || all.first().filter(|_| all.len() == 1);
        let found = all.iter().find(is_same).or_else(only)?;
        Some(found.hop(style))
    }

    /// Forgets the trunks that are not wanted any more.
    pub(crate) fn keep(&mut self, is_wanted: impl Fn(&TrunkName) -> bool) {
        self.0.retain(|trunk, _| is_wanted(trunk));
    }
}
