//! The registrar: REGISTER of peers that have proven who they are (RFC 3261 §10.3, RFC 3327,
//! RFC 5626 §6, RFC 6140 §5). Lives on shard 0 only.
//!
//! A REGISTER is done completely or not at all. What stands afterwards is told to all shards.

use super::binding::{Binding, Bound};
use super::stored::{Registered, Stored};
use crate::config::{Config, Registrar, Trunk};
use crate::event::Happened;
use crate::id::{FlowId, TrunkName};
use crate::plane::Cx;
use crate::policy::ingress;
use crate::sip::header::{
    CSeq, CallId, Contact, Expires, From, Header, OptionTag, Path, Require, Route, Supported, To,
};
use crate::sip::{Address, HeaderName, Host, Message, PlainValue, Status, Token, Uri, Value};
use crate::time::Timestamp;
use crate::transport::{Flow, Protocol};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Most hops of a Path: every request to the contact carries them all.
const MOST_HOPS: usize = 10;
/// Most octets of a contact: it is kept, told to every shard, and repeated in every answer.
const LONGEST_CONTACT: usize = 1_024;
/// What a life that cannot be read means (RFC 3261 §20.10).
const UNREADABLE_LIFE_S: u32 = 3_600;

/// Registrars of all trunks.
#[derive(Default)]
pub(crate) struct Registrars {
    all: BTreeMap<TrunkName, Vec<Arc<Binding>>>,
    last_id: u64,
    next: Option<Timestamp>,
}

/// Why a REGISTER is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RegisterFault {
    /// The Request-URI names none of our domains.
    ForeignDomain,
    /// The address of record is not one of ours.
    UnknownUser,
    /// It is registered in the name of somebody else.
    ThirdParty,
    /// `*` among others, or without `Expires: 0`.
    Star,
    /// A contact that cannot be called: no SIP URI, too long, or of a lesser security.
    Contact,
    /// A contact that names ourselves, or a port that no SIP phone has.
    ForbiddenContact,
    /// A contact for all numbers with a user, or where that is not served.
    Bulk,
    /// A contact for all numbers, and no `Require: gin`.
    BulkNotRequired,
    /// A Path that cannot be read, or is too long.
    Path,
    /// A flow that does not begin at the peer (RFC 5626 §6).
    FirstHop,
    /// A life that is too short; how long it must be, in seconds.
    TooBrief(u32),
    /// An older REGISTER came after a newer one.
    OutOfOrder,
    /// More contacts than the trunk may have.
    TooMany(usize),
}

impl RegisterFault {
    /// What the peer is told.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::ForeignDomain | Self::UnknownUser => Status::NOT_FOUND,
            Self::ThirdParty | Self::ForbiddenContact | Self::TooMany(_) => Status::FORBIDDEN,
            Self::Star | Self::Contact | Self::Bulk | Self::Path => Status::BAD_REQUEST,
            Self::BulkNotRequired => Status::EXTENSION_REQUIRED,
            Self::FirstHop => Status::FIRST_HOP_LACKS_OUTBOUND,
            Self::TooBrief(_) => Status::INTERVAL_TOO_BRIEF,
            Self::OutOfOrder => Status::SERVER_INTERNAL_ERROR,
        }
    }

    /// The header line that goes with it.
    pub(crate) fn line(self) -> Option<(HeaderName, String)> {
        match self {
            Self::TooBrief(least_s) => Some((HeaderName::MinExpires, least_s.to_string())),
            Self::BulkNotRequired => Some((HeaderName::Require, "gin".to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for RegisterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignDomain => f.write_str("the Request-URI names a domain that is not ours"),
            Self::UnknownUser => {
                f.write_str("the address of record in To is not the one that is configured")
            }
            Self::ThirdParty => f.write_str("From names somebody else than To"),
            Self::Star => f.write_str("\"Contact: *\" stands alone and with Expires: 0 only"),
            Self::Contact => f.write_str("a contact is no SIP URI that could be called"),
            Self::ForbiddenContact => {
                f.write_str("a contact names ourselves, or a port below 1024")
            }
            Self::Bulk => f.write_str(
                "a contact for all numbers has a user or \"user=\", or \"gin\" is off for the trunk",
            ),
            Self::BulkNotRequired => {
                f.write_str("a contact for all numbers comes without \"Require: gin\"")
            }
            Self::Path => write!(f, "Path cannot be read, or has more than {MOST_HOPS} hops"),
            Self::FirstHop => {
                f.write_str("a proxy stands between us and the peer that does not keep flows")
            }
            Self::TooBrief(least_s) => write!(f, "less than {least_s} s were asked for"),
            Self::OutOfOrder => f.write_str("an older REGISTER came after a newer one"),
            Self::TooMany(most) => write!(f, "more than {most} contacts"),
        }
    }
}

/// What one REGISTER wants of one contact.
struct Change {
    contact: Address,
    uri: Uri,
    life_s: u32,
    q_milli: u16,
    instance: Option<(Bytes, Bytes)>,
    is_bulk: bool,
}

impl Change {
    /// Whether a binding is the one that is meant (RFC 3261 §10.3 step 7, RFC 5626 §6).
    fn is_of(&self, binding: &Binding) -> bool {
        match (&self.instance, &binding.instance) {
            (Some(own), Some(other)) => own == other,
            (Some(_), None) | (None, Some(_)) | (None, None) => {
                self.uri.is_equivalent(binding.contact.uri())
            }
        }
    }
}

impl Registrars {
    /// Applies a REGISTER; the answer's lines beside those that every answer has.
    pub(crate) fn register(
        &mut self,
        cx: &mut Cx<'_>,
        trunk: &Trunk,
        own: &Registrar,
        flow: &Flow,
        message: &Message,
    ) -> Result<Vec<(HeaderName, Bytes)>, RegisterFault> {
        let now = cx.now.mono;
        let config = Arc::clone(&cx.plane.config);
        is_addressed(&config, trunk, own, flow, message)?;
        let path = path(message)?;
        let contacts = message.list::<Contact>();
        let contacts = contacts.map_err(|_| RegisterFault::Contact)?;
        let expires = written_life(message);
        let (call_id, cseq) = order(message).ok_or(RegisterFault::Contact)?;
        let account = Registered::by(trunk, &call_id).ok_or(RegisterFault::UnknownUser)?;
        let account = Arc::new(account);
        let mut next: Vec<Arc<Binding>> = self.all.get(&trunk.name).cloned().unwrap_or_default();
        next.retain(|one| now < one.until);
        let before = next.clone();
        let is_older = |one: &Binding| one.call_id == call_id && cseq <= one.cseq;
        let uses_outbound = supports(message, OptionTag::OUTBOUND);
        let mut has_flow = false;
        if contacts.iter().any(|contact| contact.address().is_none()) {
            if contacts.len() != 1 || expires != Some(0) {
                return Err(RegisterFault::Star);
            }
            if next.iter().any(|one| is_older(one)) {
                return Err(RegisterFault::OutOfOrder);
            }
            next.clear();
        }
        for address in contacts.iter().filter_map(Contact::address) {
            let change = change(&config, own, flow, message, address, expires, uses_outbound)?;
            has_flow |= change.instance.is_some();
            let known = next.iter().position(|one| change.is_of(one));
            let known = known.map(|at| next.remove(at));
            if known.as_ref().is_some_and(|one| is_older(one)) {
                return Err(RegisterFault::OutOfOrder);
            }
            if change.life_s == 0 {
                continue;
            }
            // A refresh does not make another binding of it: calls on their way know it by this.
            let id = known.map_or(self.last_id + 1, |one| one.id);
            self.last_id = self.last_id.max(id);
            let life = Duration::from_secs(u64::from(change.life_s));
            let wall = cx.now.wall.as_micros() + life.as_micros() as u64;
            next.push(Arc::new(Binding {
                id,
                contact: change.contact,
                q_milli: change.q_milli,
                until: now + life,
                until_wall: crate::time::UnixTime::from_micros(wall),
                call_id: call_id.clone(),
                cseq,
                path: path.clone(),
                flow: flow.clone(),
                is_flow_alive: true,
                instance: change.instance,
                is_bulk: change.is_bulk,
                account: Arc::clone(&account),
            }));
        }
        // What stands in the end counts: a new contact may be written before the one that it replaces.
        if next.len() > own.contacts.max(before.len()) {
            return Err(RegisterFault::TooMany(own.contacts));
        }
        if !contacts.is_empty() {
            // The newest first among those that are preferred alike.
            next.sort_by_key(|one| (std::cmp::Reverse(one.q_milli), std::cmp::Reverse(one.id)));
            let moved = |one: &Arc<Binding>, all: &[Arc<Binding>]| {
                !all.iter().any(|other| {
                    other.contact.uri() == one.contact.uri()
                        && other.flow.id == one.flow.id
                        && other.flow.remote == one.flow.remote
                })
            };
            let is_news = next.iter().any(|one| moved(one, &before))
                || before.iter().any(|one| moved(one, &next));
            let because = match (next.is_empty(), is_news) {
                (true, _) => format!("taken back from {}", flow.remote),
                (false, true) => format!("registered from {}", flow.remote),
                (false, false) => format!("refreshed from {}", flow.remote),
            };
            self.stands(cx, &trunk.name, next.clone(), is_news, because);
        }
        Ok(answer(now, own, message, &next, has_flow))
    }

    /// When [`Self::tick`] is next wanted.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.next
    }

    /// Contacts of all trunks.
    pub(crate) fn len(&self) -> usize {
        self.all.values().map(Vec::len).sum()
    }

    /// Takes away what has run out.
    pub(crate) fn tick(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.retain(
            cx,
            |one| now < one.until,
            |one| format!("{} ran out", one.contact.uri().shown()),
        );
    }

    /// A connection is gone, and with it what could be reached over it alone (RFC 5626 §6). A
    /// contact at the address that it came from can be connected to.
    pub(crate) fn flow_lost(&mut self, cx: &mut Cx<'_>, flow: FlowId) {
        let is_over = |one: &Binding| one.flow.id == flow && one.flow.protocol.is_reliable();
        let all = self.all.iter();
        let hit: Vec<TrunkName> = all
            .filter(|(_, all)| all.iter().any(|one| is_over(one)))
            .map(|(trunk, _)| trunk.clone())
            .collect();
        for trunk in hit {
            let Some(all) = self.all.get(&trunk) else {
                continue;
            };
            let mut left = Vec::with_capacity(all.len());
            for one in all {
                if !is_over(one) {
                    left.push(Arc::clone(one));
                } else if may_be_called_back(one) {
                    left.push(Arc::new(Binding {
                        is_flow_alive: false,
                        ..one.as_ref().clone()
                    }));
                }
            }
            let because = match left.len() < all.len() {
                true => "its connection is gone".to_owned(),
                false => "its connection is gone; calls open a new one".to_owned(),
            };
            self.stands(cx, &trunk, left, true, because);
        }
    }

    /// Takes over a configuration: what is registered stays, unless its trunk or address of record is
    /// gone, or its peer could not register it any more: its account has changed, perhaps because the
    /// password was stolen, or it may not come from where it came.
    pub(crate) fn configure(&mut self, cx: &mut Cx<'_>, before: &Config, config: &Config) {
        let registrar = |config: &Config, trunk: &TrunkName| {
            let own = config.trunks.get(trunk)?.registrar.clone()?;
            Some((own.user, own.domain))
        };
        let account = |config: &Config, trunk: &TrunkName| {
            let own = config.trunks.get(trunk)?.authenticate.as_ref()?;
            Some(own.account.clone())
        };
        let all: Vec<TrunkName> = self.all.keys().cloned().collect();
        for trunk in all {
            let now = registrar(config, &trunk);
            if now.is_none() || now != registrar(before, &trunk) {
                let because = "the trunk does not serve this address any more".to_owned();
                self.stands(cx, &trunk, Vec::new(), true, because);
            } else if account(config, &trunk) != account(before, &trunk) {
                let because = "the trunk has another account: its peer has to register anew";
                self.stands(cx, &trunk, Vec::new(), true, because.to_owned());
            } else if let Some(own) = config.trunks.get(&trunk) {
                let may_come = |one: &Binding| ingress::admits_flow(config, own, &one.flow);
                let all = self.all.get(&trunk).into_iter().flatten();
                let left: Vec<_> = all.filter(|one| may_come(one)).cloned().collect();
                if self.all.get(&trunk).map(Vec::len) != Some(left.len()) {
                    let because = "the trunk does not accept where it came from any more";
                    self.stands(cx, &trunk, left, true, because.to_owned());
                }
            }
        }
    }

    /// Takes back what was registered before a restart, as far as it stands. What has registered anew
    /// meanwhile knows better.
    pub(crate) fn restore(&mut self, cx: &mut Cx<'_>, all: &[Stored]) {
        let config = Arc::clone(&cx.plane.config);
        let mut found: BTreeMap<TrunkName, Vec<Arc<Binding>>> = BTreeMap::new();
        for stored in all {
            let Some((trunk, binding)) = stored.binding(&config, cx.now, self.last_id + 1) else {
                continue;
            };
            let most = trunk.registrar.as_ref().map_or(0, |own| own.contacts);
            let own = found.entry(trunk.name.clone()).or_default();
            let is_known = own
                .iter()
                .any(|one| one.contact.uri().is_equivalent(binding.contact.uri()));
            if own.len() < most && !is_known && !self.all.contains_key(&trunk.name) {
                self.last_id += 1;
                own.push(Arc::new(binding));
            }
        }
        for (trunk, mut own) in found.into_iter().filter(|(_, own)| !own.is_empty()) {
            own.sort_by_key(|one| (std::cmp::Reverse(one.q_milli), one.id));
            let because = "known from before the restart".to_owned();
            self.stands(cx, &trunk, own, true, because);
        }
    }

    fn retain(
        &mut self,
        cx: &mut Cx<'_>,
        stays: impl Fn(&Binding) -> bool,
        because: impl Fn(&Binding) -> String,
    ) {
        let all: Vec<TrunkName> = self.all.keys().cloned().collect();
        for trunk in all {
            let Some(all) = self.all.get(&trunk) else {
                continue;
            };
            let Some(gone) = all.iter().find(|one| !stays(one)).cloned() else {
                continue;
            };
            let left = all.iter().filter(|one| stays(one)).cloned().collect();
            self.stands(cx, &trunk, left, true, because(&gone));
        }
    }

    /// From now on these are the contacts of a trunk.
    fn stands(
        &mut self,
        cx: &mut Cx<'_>,
        trunk: &TrunkName,
        bindings: Vec<Arc<Binding>>,
        is_news: bool,
        because: String,
    ) {
        let bound = Arc::new(Bound {
            trunk: trunk.clone(),
            bindings: bindings.clone(),
        });
        match bindings.is_empty() {
            true => self.all.remove(trunk),
            false => self.all.insert(trunk.clone(), bindings),
        };
        let all = self.all.values().flatten();
        self.next = all.map(|one| one.until).min();
        cx.plane.bindings.note(&bound);
        let what = Happened::Bindings {
            bound,
            is_news,
            because,
        };
        cx.out.emit(None, None, what);
    }
}

/// Whether a REGISTER is meant for us and for its sender's own address of record: a peer that knows
/// one password must not move the calls of another (SEC-054).
fn is_addressed(
    config: &Config,
    trunk: &Trunk,
    own: &Registrar,
    flow: &Flow,
    message: &Message,
) -> Result<(), RegisterFault> {
    let is_ours = |host: &Host| {
        let listener = config.listeners.get(&flow.listener);
        let advertised = listener.map(|listener| listener.advertised.ip());
        let ip = host.ip();
        let common = listener.and_then(|listener| listener.host.as_ref());
        host.is_name(&own.domain)
            || common.is_some_and(|name| host.is_name(name))
            || trunk.fqdn.as_ref().is_some_and(|fqdn| host.is_name(fqdn))
            || ip.is_some() && (ip == advertised || ip == Some(flow.local.ip()))
    };
    let uri = message.uri().map_err(|_| RegisterFault::ForeignDomain)?;
    if !uri.host().is_some_and(is_ours) {
        return Err(RegisterFault::ForeignDomain);
    }
    let is_own = |uri: &Uri| {
        uri.user().is_some_and(|user| user == own.user.as_bytes())
            && uri.host().is_some_and(is_ours)
    };
    let to = message.essential::<To>().ok().flatten();
    if !to.is_some_and(|to| is_own(to.uri())) {
        return Err(RegisterFault::UnknownUser);
    }
    let from = message.essential::<From>().ok().flatten();
    match from.is_some_and(|from| is_own(from.uri())) {
        true => Ok(()),
        false => Err(RegisterFault::ThirdParty),
    }
}

fn order(message: &Message) -> Option<(CallId, u32)> {
    let call_id = message.essential::<CallId>().ok().flatten()?;
    let cseq = message.essential::<CSeq>().ok().flatten()?;
    Some((call_id.clone(), cseq.number))
}

/// The life of all contacts that name none, as it is written.
fn written_life(message: &Message) -> Option<u32> {
    let expires = message.get::<Expires>();
    expires.ok().flatten().map(|expires| expires.0)
}

fn path(message: &Message) -> Result<Vec<Route>, RegisterFault> {
    let path = message.list::<Path>().map_err(|_| RegisterFault::Path)?;
    match path.len() {
        ..=MOST_HOPS => Ok(path.into_iter().map(|hop| Route(hop.0)).collect()),
        _ => Err(RegisterFault::Path),
    }
}

fn supports(message: &Message, tag: &str) -> bool {
    let all = message.list::<Supported>().unwrap_or_default();
    all.iter().any(|own| own.is(tag))
}

/// What a REGISTER wants of one contact, once that is found to be allowed.
fn change(
    config: &Config,
    own: &Registrar,
    flow: &Flow,
    message: &Message,
    address: &Address,
    expires: Option<u32>,
    uses_outbound: bool,
) -> Result<Change, RegisterFault> {
    let is_bulk = callable(config, own, flow.protocol, address)?;
    if is_bulk {
        let required = message.list::<Require>().unwrap_or_default();
        if !required.iter().any(|tag| tag.is("gin")) {
            return Err(RegisterFault::BulkNotRequired);
        }
    }
    let life_s = match address.params.get("expires") {
        Some(value) => life(value.content()),
        None => match expires {
            Some(expires) => expires,
            // There and not readable.
            None if message.has(HeaderName::Expires) => UNREADABLE_LIFE_S,
            None => own.usual_s,
        },
    };
    // Who asks for an hour or more is given what we have (RFC 3261 §10.3 step 7).
    if life_s > 0 && life_s < own.shortest_s.min(3_600) {
        return Err(RegisterFault::TooBrief(own.shortest_s));
    }
    let life_s = match life_s {
        0 => 0,
        life_s => life_s.clamp(own.shortest_s, own.longest_s),
    };
    let params = &address.params;
    let instance = params.value("+sip.instance").zip(params.value("reg-id"));
    let instance = instance.filter(|_| uses_outbound);
    if instance.is_some() && !begins_at_peer(message) {
        return Err(RegisterFault::FirstHop);
    }
    let instance = instance.map(|(instance, flow)| (instance.clone(), flow.clone()));
    let mut contact = address.clone();
    contact.params.remove("expires");
    // A display name is of no use to anybody and could be long.
    contact.addr.display = None;
    Ok(Change {
        q_milli: Contact::from(contact.clone()).q_milli(),
        uri: contact.uri().clone(),
        contact,
        life_s,
        instance,
        is_bulk,
    })
}

/// Whether a contact may be called at all; says whether it stands for all numbers.
pub(super) fn callable(
    config: &Config,
    own: &Registrar,
    protocol: Protocol,
    contact: &Address,
) -> Result<bool, RegisterFault> {
    let uri = contact.uri();
    let sip = uri.as_sip().ok_or(RegisterFault::Contact)?;
    let params = contact.params.iter();
    let params = params.filter(|(name, _)| !name.is("expires"));
    let is_long = uri.to_bytes().len() > LONGEST_CONTACT
        || params.map(length).sum::<usize>() > LONGEST_CONTACT;
    if is_long || sip.is_sips && protocol != Protocol::Tls {
        return Err(RegisterFault::Contact);
    }
    let port = sip.port.unwrap_or(protocol.default_port());
    let is_us = config.listeners.values().any(|at| {
        let is_at =
            |own: &std::net::SocketAddr| sip.host.ip() == Some(own.ip()) && own.port() == port;
        let is_named = at.host.as_ref().is_some_and(|own| sip.host.is_name(own));
        is_at(&at.advertised) || is_at(&at.bind) || is_named && at.advertised.port() == port
    });
    if is_us || port < 1_024 {
        return Err(RegisterFault::ForbiddenContact);
    }
    let is_bulk = sip.params.has("bnc");
    if is_bulk && (!own.gin || sip.user().is_some() || sip.params.has("user")) {
        return Err(RegisterFault::Bulk);
    }
    Ok(is_bulk)
}

fn length((name, value): (&Token, Option<&Value>)) -> usize {
    name.as_bytes().len() + value.map_or(0, |value| value.content().len())
}

/// The life that a contact asks for; digits without end are for ever.
fn life(text: &[u8]) -> u32 {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return UNREADABLE_LIFE_S;
    }
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.parse().unwrap_or(u32::MAX)
}

/// Whether the flow of a REGISTER is that of the peer, or of a proxy that keeps it (RFC 5626 §6).
fn begins_at_peer(message: &Message) -> bool {
    let vias = message
        .list::<crate::sip::header::Via>()
        .map_or(0, |all| all.len());
    let path = message.list::<Path>().unwrap_or_default();
    let keeps = path
        .last()
        .and_then(|hop| hop.0.uri().params())
        .is_some_and(|params| params.has("ob"));
    vias <= 1 || keeps
}

/// Whether a contact whose connection is gone can be connected to: it is where the REGISTER came
/// from, so no NAT stands before it, and no certificate is needed.
pub(super) fn may_be_called_back(one: &Binding) -> bool {
    let address = one.uri().and_then(|uri| uri.host.ip());
    one.flow.protocol == Protocol::Tcp
        && one.instance.is_none()
        && address == Some(one.flow.remote.ip())
}

/// The lines of a 200: what stands now, and what the peer has to know (RFC 3261 §10.3 step 8).
fn answer(
    now: Timestamp,
    own: &Registrar,
    message: &Message,
    bindings: &[Arc<Binding>],
    has_flow: bool,
) -> Vec<(HeaderName, Bytes)> {
    let mut lines = Vec::with_capacity(bindings.len() + 4);
    for one in bindings {
        let left = one.until.since(now);
        let left = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let mut contact = one.contact.clone();
        let name = Token::parse("expires").ok();
        let value = PlainValue::parse(left.to_string()).ok();
        if let (Some(name), Some(value)) = (name, value) {
            contact.params.set(name, Some(Value::Plain(value)));
        }
        lines.push((HeaderName::Contact, Contact::from(contact).to_bytes()));
    }
    for hop in message.raw_all(HeaderName::Path) {
        lines.push((HeaderName::Path, hop));
    }
    for hop in &own.service_route {
        lines.push((HeaderName::ServiceRoute, hop.to_bytes()));
    }
    let identity = format!("<sip:{}@{}>", own.user, own.domain);
    lines.push((HeaderName::PAssociatedUri, Bytes::from(identity)));
    let mut supported = vec![OptionTag::PATH, OptionTag::OUTBOUND];
    if own.gin {
        supported.push("gin");
    }
    lines.push((HeaderName::Supported, Bytes::from(supported.join(", "))));
    if has_flow {
        lines.push((HeaderName::Require, Bytes::from(OptionTag::OUTBOUND)));
    }
    lines
}
