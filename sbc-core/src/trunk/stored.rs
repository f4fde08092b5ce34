//! What is registered, written down in words, so that a restart does not make phones unreachable until
//! they register anew.
//!
//! What is read again is believed as far as a REGISTER would be: the contact must be allowed, its peer
//! may come from where it came, the account is the one that it was registered with, and its time is
//! not over, whatever the clock did meanwhile. What hangs on a connection is not written down: the
//! connection does not survive either.

use super::binding::Binding;
use super::registrar::{callable, may_be_called_back};
use crate::auth::Seal;
use crate::config::{Config, Trunk};
use crate::id::{FlowId, ListenerName, TrunkName};
use crate::policy::ingress;
use crate::sip::header::{CallId, Contact, Header, Route};
use crate::time::{Now, UnixTime};
use crate::transport::{Flow, Protocol};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One registered contact in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Trunk.
    pub trunk: String,
    /// User of the address of record.
    pub user: String,
    /// Its domain.
    pub domain: String,
    /// With which account it was registered: a seal of its password in hexadecimal digits. It makes the
    /// whole as secret as the passwords are.
    pub account: String,
    /// The contact with its parameters, as in a header.
    pub contact: String,
    /// When it ends, in seconds since 1970.
    pub until: u64,
    /// Call-ID of its last REGISTER.
    pub call_id: String,
    /// Sequence number of that.
    pub cseq: u32,
    /// Hops between us and the contact, as in a header each.
    pub path: Vec<String>,
    /// What it came over: `udp` or `tcp`.
    pub protocol: String,
    /// Our listener.
    pub listener: String,
    /// Our address.
    pub local: SocketAddr,
    /// Where it came from.
    pub remote: SocketAddr,
    /// Instance and flow number of RFC 5626, where the peer uses that.
    pub instance: Option<(String, String)>,
    /// Whether it stands for all numbers of the trunk.
    pub all_numbers: bool,
}

impl Stored {
    /// Writes a binding down, if it can be reached without the connection that it came on.
    pub fn of(trunk: &TrunkName, binding: &Binding) -> Option<Self> {
        let flow = &binding.flow;
        let is_reachable = match flow.protocol {
            Protocol::Udp => true,
            Protocol::Tcp => may_be_called_back(binding),
            Protocol::Tls => false,
        };
        let text = |octets: Bytes| String::from_utf8(octets.to_vec()).ok();
        if !is_reachable {
            return None;
        }
        let path = binding.path.iter().map(|hop| text(hop.to_bytes()));
        let instance = match &binding.instance {
            None => None,
            Some((instance, flow)) => Some((text(instance.clone())?, text(flow.clone())?)),
        };
        Some(Self {
            trunk: trunk.as_str().to_owned(),
            user: binding.account.user.clone(),
            domain: binding.account.domain.clone(),
            account: binding.account.seal.to_string(),
            contact: text(Contact::from(binding.contact.clone()).to_bytes())?,
            until: binding.until_wall.as_micros() / 1_000_000,
            call_id: binding.call_id.as_str().to_owned(),
            cseq: binding.cseq,
            path: path.collect::<Option<_>>()?,
            protocol: flow.protocol.uri_name().to_owned(),
            listener: flow.listener.as_str().to_owned(),
            local: flow.local,
            remote: flow.remote,
            instance,
            all_numbers: binding.is_bulk,
        })
    }

    /// The binding, if it is one that stands under this configuration now.
    pub(super) fn binding(
        &self,
        config: &Config,
        now: Now,
        id: u64,
    ) -> Option<(Arc<Trunk>, Binding)> {
        let mut trunks = config.trunks.values();
        let trunk = trunks.find(|trunk| trunk.name.as_str() == self.trunk)?;
        let own = trunk.registrar.as_ref()?;
        let call_id = CallId::new(self.call_id.clone()).ok()?;
        let account = Arc::new(Registered::by(trunk, &call_id)?);
        let is_its_own = account.user == self.user
            && account.domain == self.domain
            && account.seal.is(&self.account);
        let protocol = match self.protocol.as_str() {
            "udp" => Protocol::Udp,
            "tcp" => Protocol::Tcp,
            _ => return None,
        };
        let mut listeners = config.listeners.keys();
        let listener = listeners.find(|name| name.as_str() == self.listener)?;
        let flow = Flow {
            id: NO_FLOW,
            protocol,
            listener: ListenerName::clone(listener),
            local: self.local,
            remote: self.remote,
            identity: None,
            tls: None,
        };
        if !is_its_own || !ingress::admits_flow(config, trunk, &flow) {
            return None;
        }
        let contact = Contact::parse(&Bytes::from(self.contact.clone())).ok()?;
        let contact = contact.address()?.clone();
        let is_bulk = callable(config, own, protocol, &contact).ok()?;
        let instance = self.instance.clone();
        let path = self.path.iter();
        let path = path.map(|hop| Route::parse(&Bytes::from(hop.clone())));
        let longest = Duration::from_secs(u64::from(own.longest_s));
        let left_us = self.until.saturating_mul(1_000_000);
        let left_us = left_us.checked_sub(now.wall.as_micros())?;
        let left = Duration::from_micros(left_us).min(longest);
        let wall = now.wall.as_micros() + left.as_micros() as u64;
        let binding = Binding {
            id,
            q_milli: Contact::from(contact.clone()).q_milli(),
            contact,
            until: now.mono + left,
            until_wall: UnixTime::from_micros(wall),
            call_id,
            cseq: self.cseq,
            path: path.collect::<Result<_, _>>().ok()?,
            flow,
            // Datagrams need none.
            is_flow_alive: protocol == Protocol::Udp,
            instance: instance.map(|(name, flow)| (Bytes::from(name), Bytes::from(flow))),
            is_bulk,
            account,
        };
        let is_same = is_bulk == self.all_numbers && left > Duration::ZERO;
        let is_reachable = protocol == Protocol::Udp || may_be_called_back(&binding);
        (is_same && is_reachable).then(|| (Arc::clone(trunk), binding))
    }
}

/// No flow of the shell has this name.
const NO_FLOW: FlowId = FlowId(u64::MAX);

/// By whom a contact was registered, for what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    /// User of the address of record.
    pub user: String,
    /// Its domain.
    pub domain: String,
    /// What the account was like.
    pub seal: Seal,
}

impl Registered {
    /// The peer of a trunk, in a REGISTER with this Call-ID.
    pub(crate) fn by(trunk: &Trunk, call_id: &CallId) -> Option<Self> {
        let (own, proof) = trunk.registrar.as_ref().zip(trunk.authenticate.as_ref())?;
        Some(Self {
            user: own.user.clone(),
            domain: own.domain.clone(),
            seal: proof.account.seal(call_id.as_bytes()),
        })
    }
}
