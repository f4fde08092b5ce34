//! The transactions of a shard: matching, dispatch, deadlines, bounds.

mod counting;
mod way_back;

pub use counting::TableSizes;
pub use way_back::Unreturned;

use super::client::{self, Client};
use super::invite_client::{self, InviteClient};
use super::invite_server::{self, InviteServer};
use super::key::{
    ClientKey, SentBy, ServerKey, client_key, has_one_via, merge_key, own_key, own_sent_by,
    server_key,
};
use super::server::{self, Server, Trying};
use super::{Counted, Indication, Manners, Owner, Sender, TimerSet, Verdict};
use crate::config::Merged;
use crate::deadline::DeadlineQueue;
use crate::effect::{Effect, Effects};
use crate::event::{DropCode, Happened};
use crate::hashed::{Digested, Minted, Secret};
use crate::id::{FlowId, TransactionId};
use crate::mint::Mint;
use crate::sip::header::{CSeq, CallId, From, Reason, To};
use crate::sip::{Class, HeaderName, Message, Method, ResponseBuilder, Status, Token};
use crate::tally::{Direction, Repeated};
use crate::time::Timestamp;
use crate::transport::via::{ResponseTarget, datagram_target, reconnect_target, with_source};
use crate::transport::{Flow, FlowFault, Hop, Protocol, TlsHop};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use way_back::OtherWays;

/// Server transactions at the same time. A peer at 1,000 calls per second over UDP keeps about
/// 64,000 alive; beyond the bound new requests are dropped, and their senders repeat them.
pub const MAX_SERVER_TRANSACTIONS: usize = 400_000;

/// Of those, how many one source address may hold (SIP-216).
const MAX_PER_SOURCE: u32 = 200_000;

/// How many transactions of peers a table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Of all peers together.
    pub all: usize,
    /// Of one source address.
    pub per_source: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            all: MAX_SERVER_TRANSACTIONS,
            per_source: MAX_PER_SOURCE,
        }
    }
}

/// Q.850: the routing is in error, which is what a circle is.
const LOOP_CAUSE: u8 = 25;

/// All transactions of one shard.
#[derive(Debug, Default)]
pub struct Table {
    bounds: Bounds,
    secret: Secret,
    entries: Minted<TransactionId, Box<Entry>>,
    clients: Minted<ClientKey, TransactionId>,
    servers: Digested<TransactionId>,
    merges: Digested<TransactionId>,
    sources: BTreeMap<IpAddr, u32>,
    deadlines: DeadlineQueue<TransactionId>,
    /// Other ways for responses that could not be sent.
    ways: BTreeMap<TransactionId, OtherWays>,
    next: u64,
    sizes: TableSizes,
}

#[derive(Debug)]
struct Entry {
    machine: Machine,
    owner: Owner,
    hop: Hop,
    counted: Counted,
    keys: Keys,
    /// Earliest entry of this transaction in the deadline queue.
    queued: Option<Timestamp>,
}

#[derive(Debug)]
enum Keys {
    Client {
        key: ClientKey,
        /// What our Via says; a response that says otherwise is not for us (SIP-104).
        sent_by: Option<SentBy>,
    },
    Server {
        key: ServerKey,
        merge: Option<ServerKey>,
        source: IpAddr,
    },
}

#[derive(Debug)]
enum Machine {
    InviteClient(Box<InviteClient>),
    Client(Box<Client>),
    InviteServer(Box<InviteServer>),
    Server(Box<Server>),
}

impl Machine {
    fn next_deadline(&self) -> Option<Timestamp> {
        match self {
            Self::InviteClient(machine) => machine.timers.next(),
            Self::Client(machine) => machine.timers.next(),
            Self::InviteServer(machine) => machine.timers.next(),
            Self::Server(machine) => machine.timers.next(),
        }
    }

    fn is_terminated(&self) -> bool {
        match self {
            Self::InviteClient(machine) => machine.state == invite_client::State::Terminated,
            Self::Client(machine) => machine.state == client::State::Terminated,
            Self::InviteServer(machine) => machine.state == invite_server::State::Terminated,
            Self::Server(machine) => machine.state == server::State::Terminated,
        }
    }
}

impl Table {
    /// No transactions.
    pub fn new() -> Self {
        Self::default()
    }

    /// No transactions; digests of what peers write are under this secret.
    pub(crate) fn under(secret: Secret) -> Self {
        Self {
            secret,
            ..Self::default()
        }
    }

    /// No transactions, within other bounds than the usual.
    pub fn bounded(bounds: Bounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    /// Transactions at present.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whose transaction a message belongs to before it is applied: a response to a request of
    /// ours; an ACK or CANCEL to an INVITE; the repetition of a request.
    pub fn owner_of(&self, message: &Message) -> Owner {
        self.known_owner_of(message).unwrap_or(Owner::Nobody)
    }

    /// The same; nothing of a message that belongs to no transaction.
    pub fn known_owner_of(&self, message: &Message) -> Option<Owner> {
        let id = if message.is_response() {
            client_key(message).and_then(|key| self.clients.get(&key))
        } else {
            let method = match message.method() {
                Method::Ack | Method::Cancel => &Method::Invite,
                method => method,
            };
            server_key(self.secret, message, method).and_then(|key| self.servers.get(&key))
        };
        let entry = self.entries.get(id?)?;
        Some(entry.owner)
    }

    /// Whether a request is a repetition of one that has a transaction, or the CANCEL of one.
    pub fn knows(&self, request: &Message) -> bool {
        let knows = |method: &Method| {
            let key = server_key(self.secret, request, method);
            key.is_some_and(|key| self.servers.contains_key(&key))
        };
        knows(request.method()) || *request.method() == Method::Cancel && knows(&Method::Invite)
    }

    /// Whether a request repeats one that has a transaction and came from the same address, or is the ACK of its
    /// refusal.
    pub fn repeats(&self, request: &Message, source: IpAddr) -> bool {
        let method = match request.method() {
            Method::Ack => &Method::Invite,
            method => method,
        };
        let key = server_key(self.secret, request, method);
        let id = key.and_then(|key| self.servers.get(&key));
        let entry = id.and_then(|id| self.entries.get(id));
        entry.is_some_and(|entry| entry.hop.remote.ip() == source)
    }

    /// When [`Self::tick`] is next wanted.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.next()
    }

    /// Sends a request (not ACK) in a new client transaction. `bytes` carries our Via with
    /// `branch` on top.
    #[allow(clippy::too_many_arguments, reason = "the values have no common type")]
    pub fn request(
        &mut self,
        now: Timestamp,
        method: &Method,
        branch: &str,
        bytes: Bytes,
        hop: Hop,
        timers: TimerSet,
        owner: Owner,
        out: &mut Effects,
    ) -> TransactionId {
        let key = (Bytes::copy_from_slice(branch.as_bytes()), method.clone());
        let id = self.new_id();
        let is_reliable = hop.protocol.is_reliable();
        let sent_by = own_sent_by(&bytes);
        let counted = Counted {
            method: method.into(),
            tally: None,
        };
        let mut to = Sender {
            id,
            owner,
            hop: &hop,
            counted: &counted,
            out,
        };
        let machine = match method {
            Method::Invite => Machine::InviteClient(Box::new(InviteClient::start(
                now,
                timers,
                is_reliable,
                bytes,
                &mut to,
            ))),
            _ => Machine::Client(Box::new(Client::start(
                now,
                timers,
                is_reliable,
                bytes,
                &mut to,
            ))),
        };
        self.clients.insert(key.clone(), id);
        let keys = Keys::Client { key, sent_by };
        let entry = Entry {
            machine,
            owner,
            hop,
            counted,
            keys,
            queued: None,
        };
        self.held(&entry.machine, 1);
        self.entries.insert(id, Box::new(entry));
        self.look_after(id);
        id
    }

    /// Cancels an INVITE of ours, now or as soon as a provisional has come (SIP-218). `reason` is
    /// the value of the CANCEL's Reason header. Ignored when the INVITE is answered or gone.
    pub fn cancel(
        &mut self,
        now: Timestamp,
        invite: TransactionId,
        reason: Option<&[u8]>,
        out: &mut Effects,
    ) {
        let Some(entry) = self.entries.get_mut(&invite) else {
            return;
        };
        let Machine::InviteClient(machine) = &mut entry.machine else {
            return;
        };
        let cancel = machine.cancel(now, reason);
        if machine.state == invite_client::State::Calling && entry.hop.protocol.is_reliable() {
            let hop = entry.hop.clone();
            out.push(Effect::Withdraw {
                hop,
                transaction: invite,
            });
        }
        self.look_after(invite);
        if let Some(bytes) = cancel {
            self.send_cancel(now, invite, bytes, out);
        }
    }

    /// Who a transaction belongs to.
    pub fn owner(&self, id: TransactionId) -> Option<Owner> {
        self.entries.get(&id).map(|entry| entry.owner)
    }

    fn send_cancel(
        &mut self,
        now: Timestamp,
        invite: TransactionId,
        bytes: Bytes,
        out: &mut Effects,
    ) {
        let Some(entry) = self.entries.get(&invite) else {
            return;
        };
        let Keys::Client {
            key: (branch, _), ..
        } = &entry.keys
        else {
            return;
        };
        let branch = String::from_utf8_lossy(branch).into_owned();
        let Machine::InviteClient(machine) = &entry.machine else {
            return;
        };
        let timers = machine.set;
        let (hop, owner) = (entry.hop.clone(), entry.owner);
        let tally = entry.counted.tally.clone();
        let protocol = hop.protocol;
        let id = self.request(
            now,
            &Method::Cancel,
            &branch,
            bytes,
            hop,
            timers,
            owner,
            out,
        );
        if let Some(tally) = tally {
            tally.request(Direction::Out, (&Method::Cancel).into(), protocol);
            self.count_with(id, tally);
        }
    }

    /// Says how a new connection for the responses of a request is opened, should the one it came
    /// on be gone (SIP-103, TDR-TCP-002).
    pub fn set_way_back(&mut self, id: TransactionId, tls: Arc<TlsHop>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.hop.tls = Some(tls);
        }
    }

    /// Gives a request that just arrived the timers of the trunk it belongs to (SIP-217).
    pub fn set_timers(&mut self, now: Timestamp, id: TransactionId, timers: TimerSet) {
        if let Some(entry) = self.entries.get_mut(&id) {
            match &mut entry.machine {
                Machine::InviteServer(machine) => machine.set_timers(timers),
                Machine::Server(machine) => machine.set_timers(now, timers),
                Machine::InviteClient(_) | Machine::Client(_) => {}
            }
            self.look_after(id);
        }
    }

    /// Says whose transaction it is. To a new INVITE this is what sends its 100: not earlier,
    /// because the 100 is one of its owner's messages; and one that is refused in the same breath
    /// needs none.
    pub fn set_owner(&mut self, id: TransactionId, owner: Owner, out: &mut Effects) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let is_new = entry.owner == Owner::Nobody;
        entry.owner = owner;
        if let Machine::InviteServer(machine) = &entry.machine
            && is_new
        {
            let mut to = Sender {
                id,
                owner,
                hop: &entry.hop,
                counted: &entry.counted,
                out,
            };
            machine.accepted(&mut to);
        }
    }

    /// Sends a response on a server transaction. A second final response is ignored, except a
    /// repeated 2xx to INVITE.
    pub fn respond(
        &mut self,
        now: Timestamp,
        id: TransactionId,
        status: Status,
        bytes: Bytes,
        out: &mut Effects,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let mut to = Sender {
            id,
            owner: entry.owner,
            hop: &entry.hop,
            counted: &entry.counted,
            out,
        };
        match &mut entry.machine {
            Machine::InviteServer(machine) => machine.respond(now, status, bytes, &mut to),
            Machine::Server(machine) => machine.respond(now, status, bytes, &mut to),
            Machine::InviteClient(_) | Machine::Client(_) => {}
        }
        self.look_after(id);
    }

    /// The peer has acknowledged the 2xx to its INVITE, by an ACK that is of no transaction (RFC 3261 §13.2.2.4): what is kept of
    /// it until its end is only what repetitions are known by.
    pub(crate) fn acknowledged(&mut self, invite: TransactionId) {
        let entry = self.entries.get_mut(&invite);
        if let Some(Machine::InviteServer(machine)) = entry.map(|entry| &mut entry.machine) {
            machine.acknowledged();
        }
    }

    /// A message from the network.
    pub fn received(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        message: Message,
        mint: &mut Mint,
        out: &mut Effects,
        up: &mut Vec<Indication>,
    ) {
        self.received_under(now, flow, message, &Manners::default(), mint, out, up);
    }

    /// As [`Self::received`], from a peer that is dealt with like this (SIP-203).
    #[allow(clippy::too_many_arguments, reason = "the values have no common type")]
    pub fn received_under(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        message: Message,
        manners: &Manners,
        mint: &mut Mint,
        out: &mut Effects,
        up: &mut Vec<Indication>,
    ) {
        if message.is_response() {
            return self.response(now, flow, message, out, up);
        }
        let key = server_key(self.secret, &message, message.method());
        let known = key.and_then(|key| self.servers.get(&key).copied());
        match (message.method(), known) {
            (Method::Ack, Some(id)) => self.ack(now, id, flow, message, up),
            (Method::Ack, None) => up.push(Indication::Ack {
                flow: flow.clone(),
                message,
            }),
            (_, Some(id)) => self.repeated(id, flow, &message, out),
            (_, None) => {
                let message = with_source(message, flow.remote);
                self.new_request(now, flow, key, message, manners, mint, out, up);
            }
        }
    }

    fn response(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        message: Message,
        out: &mut Effects,
        up: &mut Vec<Indication>,
    ) {
        let found = client_key(&message).and_then(|key| self.clients.get(&key).copied());
        let Some((id, entry)) = found.and_then(|id| Some((id, self.entries.get_mut(&id)?))) else {
            return dropped(DropCode::StrayResponse, flow, out);
        };
        if !has_one_via(&message) {
            return dropped(DropCode::ForeignVia, flow, out);
        }
        if let Keys::Client {
            sent_by: Some(ours),
            ..
        } = &entry.keys
            && !message.top_via().is_ok_and(|via| ours.is_of(via))
        {
            return dropped(DropCode::ForeignVia, flow, out);
        }
        if let (Some(tally), Some(status)) = (&entry.counted.tally, message.status()) {
            let code = status.code();
            tally.response(Direction::In, entry.counted.method, code);
            if entry.machine.has_final() && status.is_final() {
                tally.repeated(Direction::In, Repeated::Response);
            }
            if let Machine::Client(machine) = &entry.machine
                && status.class() == Class::Success
                && let Some(took) = machine.waits_since(now)
            {
                tally.succeeded(entry.counted.method, took);
            }
        }
        let mut to = Sender {
            id,
            owner: entry.owner,
            hop: &entry.hop,
            counted: &entry.counted,
            out,
        };
        let (verdict, cancel) = match &mut entry.machine {
            Machine::InviteClient(machine) => machine.response(now, &message, &mut to),
            Machine::Client(machine) => (machine.response(now, &message), None),
            Machine::InviteServer(_) | Machine::Server(_) => (Verdict::Quiet, None),
        };
        if verdict == Verdict::Tell {
            let (owner, tls, flow) = (entry.owner, flow.tls, flow.id);
            up.push(Indication::Response {
                id,
                owner,
                message,
                flow,
                tls,
            });
        }
        if let Some(cancel) = cancel {
            self.send_cancel(now, id, cancel, out);
        }
        self.look_after(id);
    }

    fn ack(
        &mut self,
        now: Timestamp,
        id: TransactionId,
        flow: &Flow,
        message: Message,
        up: &mut Vec<Indication>,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if let Machine::InviteServer(machine) = &mut entry.machine
            && machine.ack(now) == Verdict::Tell
        {
            up.push(Indication::Ack {
                flow: flow.clone(),
                message,
            });
        }
        self.look_after(id);
    }

    fn repeated(&mut self, id: TransactionId, flow: &Flow, message: &Message, out: &mut Effects) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if let Some(tally) = &entry.counted.tally {
            tally.repeated(Direction::In, Repeated::Request);
        }
        let before = out.as_slice().len();
        // Whoever repeats it over another connection waits there, and may have lost the first one.
        let has_moved = flow.protocol.is_reliable() && entry.hop.flow != Some(flow.id);
        if let Some(hop) = has_moved.then(|| way_back(flow, message)).flatten() {
            let tls = entry.hop.tls.take();
            entry.hop = Hop { tls, ..hop };
        }
        let mut to = Sender {
            id,
            owner: entry.owner,
            hop: &entry.hop,
            counted: &entry.counted,
            out,
        };
        match &entry.machine {
            Machine::InviteServer(machine) => machine.repeated(&mut to),
            Machine::Server(machine) => machine.repeated(&mut to),
            Machine::InviteClient(_) | Machine::Client(_) => {}
        }
        if out.as_slice().len() > before
            && let Some(tally) = &entry.counted.tally
        {
            tally.repeated(Direction::Out, Repeated::Response);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the values have no common type")]
    fn new_request(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        key: Option<ServerKey>,
        message: Message,
        manners: &Manners,
        mint: &mut Mint,
        out: &mut Effects,
        up: &mut Vec<Indication>,
    ) {
        let source = flow.remote.ip();
        let of_source = self.sources.get(&source).copied().unwrap_or(0);
        let total: usize = self.servers.len();
        if total >= self.bounds.all || of_source >= self.bounds.per_source {
            return dropped(DropCode::Overload, flow, out);
        }
        let key = key.filter(|_| can_be_answered(&message));
        let (Some(key), Some(hop)) = (key, way_back(flow, &message)) else {
            let flow = flow.clone();
            return up.push(Indication::Unmatched { flow, message });
        };
        let merge = merge_key(self.secret, &message).filter(|_| manners.merged == Merged::Refuse);
        let first = merge.as_ref().and_then(|merge| self.merges.get(merge));
        let is_merged = first.is_some_and(|first| self.lives(*first));
        let id = self.open(now, key, merge, source, hop, (&message, manners));
        if let Some(merge) = merge.filter(|_| !is_merged) {
            self.merges.insert(merge, id);
        }
        match message.method() {
            _ if is_merged => {
                let tag = Token::from_minted(mint.tag());
                let status = Status::LOOP_DETECTED;
                let mut response = ResponseBuilder::to(&message, status, Some(&tag));
                if manners.says_why {
                    response = response.header(&Reason::q850(LOOP_CAUSE, None));
                }
                let bytes = response.lines_if_valid(&manners.lines).build();
                self.respond(now, id, status, bytes, out);
            }
            Method::Cancel => self.cancelled(now, id, message, &manners.lines, mint, out, up),
            _ => up.push(Indication::Request {
                id,
                flow: flow.clone(),
                message,
            }),
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one call site; the values have no common type"
    )]
    fn open(
        &mut self,
        now: Timestamp,
        key: ServerKey,
        merge: Option<ServerKey>,
        source: IpAddr,
        hop: Hop,
        (message, manners): (&Message, &Manners),
    ) -> TransactionId {
        let id = self.new_id();
        let timers = TimerSet::default();
        let is_reliable = hop.protocol.is_reliable();
        let trying = Trying {
            request: message.clone(),
            lines: manners.lines.clone(),
        };
        let machine = match message.method() {
            Method::Invite => {
                let machine = InviteServer::start(now, timers, is_reliable, trying.written());
                Machine::InviteServer(Box::new(machine))
            }
            _ => Machine::Server(Box::new(Server::start(now, timers, is_reliable, trying))),
        };
        self.servers.insert(key, id);
        *self.sources.entry(source).or_insert(0) += 1;
        let keys = Keys::Server { key, merge, source };
        let entry = Entry {
            machine,
            owner: Owner::Nobody,
            hop,
            counted: Counted {
                method: message.method().into(),
                tally: manners.tally.clone(),
            },
            keys,
            queued: None,
        };
        self.held(&entry.machine, 1);
        self.entries.insert(id, Box::new(entry));
        self.look_after(id);
        id
    }

    /// Whether a request is still of consequence: not an INVITE that we have refused, whose sender may not have
    /// heard it and may try once more by another way (TDR-ERR-012).
    fn lives(&self, id: TransactionId) -> bool {
        let entry = self.entries.get(&id);
        entry.is_some_and(|entry| match &entry.machine {
            Machine::InviteServer(machine) => machine.lives(),
            Machine::Server(_) | Machine::InviteClient(_) | Machine::Client(_) => true,
        })
    }

    /// A CANCEL in its own transaction `id` (SIP-219).
    #[allow(clippy::too_many_arguments, reason = "the values have no common type")]
    fn cancelled(
        &mut self,
        now: Timestamp,
        id: TransactionId,
        message: Message,
        lines: &[(HeaderName, Bytes)],
        mint: &mut Mint,
        out: &mut Effects,
        up: &mut Vec<Indication>,
    ) {
        let is_valid = message.validate().is_ok();
        let invite = server_key(self.secret, &message, &Method::Invite)
            .filter(|_| is_valid)
            .and_then(|key| self.servers.get(&key).copied())
            .and_then(|invite| Some((invite, self.entries.get(&invite)?)));
        let status = match invite {
            _ if !is_valid => Status::BAD_REQUEST,
            Some(_) => Status::OK,
            // Anything else answers too soon to be cancelled, but it is there (RFC 3261 §9.2).
            None if self.has_another(&message) => Status::OK,
            None => Status::CALL_DOES_NOT_EXIST,
        };
        // The same as in what answers the INVITE (RFC 3261 §9.2).
        let said = invite.and_then(|(_, entry)| match &entry.machine {
            Machine::InviteServer(machine) => machine.to_tag(),
            _ => None,
        });
        let tag = said.unwrap_or_else(|| Token::from_minted(mint.tag()));
        let response = ResponseBuilder::to(&message, status, Some(&tag));
        let bytes = response.lines_if_valid(lines).build();
        let told = match invite {
            Some((invite, entry)) => match &entry.machine {
                Machine::InviteServer(machine) if machine.is_open() => Some((invite, entry.owner)),
                _ => None,
            },
            None => None,
        };
        if let Some((_, owner)) = told {
            self.set_owner(id, owner, out);
        }
        self.respond(now, id, status, bytes, out);
        if let Some((invite, owner)) = told {
            up.push(Indication::Cancelled {
                invite,
                owner,
                message,
            });
        }
    }

    /// Whether a CANCEL names a transaction of a request other than INVITE.
    fn has_another(&self, cancel: &Message) -> bool {
        let mut others = Method::KNOWN
            .iter()
            .filter(|own| !matches!(own, Method::Invite | Method::Ack | Method::Cancel));
        others.any(|method| {
            let key = server_key(self.secret, cancel, method);
            key.is_some_and(|key| self.servers.contains_key(&key))
        })
    }

    /// A message of a transaction could not be sent.
    pub fn send_failed(
        &mut self,
        now: Timestamp,
        id: TransactionId,
        why: FlowFault,
        out: &mut Effects,
        up: &mut Vec<Indication>,
    ) {
        let _ = now;
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let verdict = match &mut entry.machine {
            Machine::InviteClient(machine) => machine.transport_failed(),
            Machine::Client(machine) => machine.transport_failed(),
            // Unless there is another way it is lost; the timers end the transaction (RFC 6026 §7.1).
            Machine::InviteServer(_) | Machine::Server(_) => {
                return self.response_failed(id, out, up);
            }
        };
        if verdict == Verdict::Tell {
            up.push(Indication::TransportFailed {
                id,
                owner: entry.owner,
                why,
            });
        }
        self.look_after(id);
    }

    /// The transaction of a request that we have sent, of which this is the start.
    pub fn request_of_ours(&self, start: &Bytes) -> Option<TransactionId> {
        self.clients.get(&own_key(start)?).copied()
    }

    /// Where its messages go.
    pub fn remote(&self, id: TransactionId) -> Option<SocketAddr> {
        self.entries.get(&id).map(|entry| entry.hop.remote)
    }

    /// A connection is gone: requests that were to use exactly this one fail at once (SIP-126), and
    /// responses need another one.
    pub fn flow_lost(
        &mut self,
        now: Timestamp,
        flow: FlowId,
        why: FlowFault,
        out: &mut Effects,
        up: &mut Vec<Indication>,
    ) {
        let mut lost: Vec<TransactionId> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.hop.flow == Some(flow))
            .map(|(id, _)| *id)
            .collect();
        lost.sort_unstable();
        for id in lost {
            match self.entries.get_mut(&id).map(|entry| &mut entry.machine) {
                Some(Machine::Server(machine)) => machine.has_lost_its_way(),
                Some(Machine::InviteServer(_)) => self.way_lost(id, &why, up),
                Some(Machine::InviteClient(_) | Machine::Client(_)) | None => {
                    self.send_failed(now, id, why.clone(), out, up);
                }
            }
        }
    }

    /// The connection of an INVITE is gone. Until it is answered that matters to whoever called.
    fn way_lost(&mut self, id: TransactionId, why: &FlowFault, up: &mut Vec<Indication>) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        if !matches!(&entry.machine, Machine::InviteServer(machine) if machine.is_open()) {
            return;
        }
        up.push(Indication::WayLost {
            owner: entry.owner,
            why: why.clone(),
        });
        if let Keys::Server {
            merge: Some(merge), ..
        } = entry.keys
            && self.merges.get(&merge) == Some(&id)
        {
            self.merges.remove(&merge);
        }
    }

    /// Expired timers.
    pub fn tick(&mut self, now: Timestamp, out: &mut Effects, up: &mut Vec<Indication>) {
        while let Some(id) = self.deadlines.pop_due(now) {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            entry.queued = None;
            let (before, told) = (out.as_slice().len(), up.len());
            let mut to = Sender {
                id,
                owner: entry.owner,
                hop: &entry.hop,
                counted: &entry.counted,
                out,
            };
            let owner = entry.owner;
            match &mut entry.machine {
                Machine::InviteClient(machine) => {
                    while let Some(timer) = machine.timers.expired(now) {
                        if machine.expired(now, timer, &mut to) == Verdict::Tell {
                            up.push(Indication::TimedOut { id, owner });
                        }
                    }
                }
                Machine::Client(machine) => {
                    while let Some(timer) = machine.timers.expired(now) {
                        if machine.expired(now, timer, &mut to) == Verdict::Tell {
                            up.push(Indication::TimedOut { id, owner });
                        }
                    }
                }
                Machine::InviteServer(machine) => {
                    while let Some(timer) = machine.timers.expired(now) {
                        if machine.expired(now, timer, &mut to) == Verdict::Tell {
                            up.push(Indication::NoAck { id, owner });
                        }
                    }
                }
                Machine::Server(machine) => {
                    while let Some(timer) = machine.timers.expired(now) {
                        machine.expired(timer, &mut to);
                    }
                }
            }
            if let Some(tally) = &entry.counted.tally {
                let is_sent = out.as_slice().len() > before;
                entry.machine.count_expiry(tally, is_sent, up.len() > told);
            }
            self.look_after(id);
        }
    }

    fn new_id(&mut self) -> TransactionId {
        self.next += 1;
        TransactionId(self.next)
    }

    /// Removes a transaction that has ended, or sees to its deadline.
    fn look_after(&mut self, id: TransactionId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if !entry.machine.is_terminated() {
            let next = entry.machine.next_deadline();
            if let Some(at) = next.filter(|at| entry.queued.is_none_or(|queued| *at < queued)) {
                entry.queued = Some(at);
                self.deadlines.push(at, id);
            }
            return;
        }
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        self.held(&entry.machine, -1);
        if !self.ways.is_empty() {
            self.ways.remove(&id);
        }
        match entry.keys {
            Keys::Client { key, .. } => {
                self.clients.remove(&key);
            }
            Keys::Server { key, merge, source } => {
                self.servers.remove(&key);
                if let Some(merge) = merge.filter(|merge| self.merges.get(merge) == Some(&id)) {
                    self.merges.remove(&merge);
                }
                if let Some(count) = self.sources.get_mut(&source) {
                    *count -= 1;
                    if *count == 0 {
                        self.sources.remove(&source);
                    }
                }
            }
        }
    }
}

/// Whether the headers that every answer repeats are there and can be read: with others an answer
/// is no message, and not worth repeating.
fn can_be_answered(request: &Message) -> bool {
    request.essential::<From>().is_ok_and(|from| from.is_some())
        && request.essential::<To>().is_ok_and(|to| to.is_some())
        && request.essential::<CallId>().is_ok_and(|id| id.is_some())
        && request.essential::<CSeq>().is_ok_and(|cseq| cseq.is_some())
}

/// Where responses to a request go (SIP-103): back on its connection, or over UDP where the top
/// Via says. `remote` of a stream is where a new connection would be opened.
fn way_back(flow: &Flow, message: &Message) -> Option<Hop> {
    let via = message.top_via().ok()?;
    let target = match flow.protocol {
        Protocol::Udp => datagram_target(via),
        Protocol::Tcp | Protocol::Tls => reconnect_target(via),
    };
    let remote = match target {
        ResponseTarget::Address(remote) => remote,
        // A name in sent-by without received: nobody that we talk to writes that.
        ResponseTarget::Resolve { .. } => flow.remote,
    };
    let (listener, protocol) = (flow.listener.clone(), flow.protocol);
    Some(Hop {
        listener,
        protocol,
        remote,
        tls: None,
        flow: Some(flow.id),
    })
}

fn dropped(why: DropCode, flow: &Flow, out: &mut Effects) {
    let what = Happened::Dropped {
        why,
        protocol: flow.protocol,
        remote: flow.remote,
        listener: flow.listener.clone(),
    };
    out.emit(None, None, what);
}
