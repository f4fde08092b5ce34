//! Registrations that are kept up (RFC 3261 §10.2, RFC 5626 §4.5). Lives on shard 0 only.
//!
//! One REGISTER per trunk is under way at a time. A round tries the servers of the trunk in order,
//! that which holds the registration first; a server that does not serve leads to the next one at
//! once, and a round without success to a pause that doubles. All rounds of a node begin at least
//! [`SPACING`] apart, so that neither a start nor the end of a failure becomes a storm (SIP-1627).

mod alive;
mod by_hand;
mod redirect;
mod sources;

use super::keep_alive::{self, Wanted};
use super::request::{self, Form};
use super::standing::{self, RegistrationState, Standing};
use crate::auth::Tries;
use crate::config::{Config, Gin, Registration, TargetAddress};
use crate::deadline::DeadlineQueue;
use crate::event::Happened;
use crate::id::{FlowId, QueryId, TransactionId, TrunkName};
use crate::locate::in_order;
use crate::plane::{Asker, Cx};
use crate::policy::ingress::accepts_source;
use crate::query::Outcome;
use crate::session::LegStyle;
use crate::sip::header::{CallId, Contact, RetryAfter};
use crate::sip::{HeaderName, Message, Method, Status, Token};
use crate::time::Timestamp;
use crate::transaction::Owner;
use crate::transport::stun::StunId;
use crate::transport::{FlowFault, Protocol};
use sources::Siblings;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Longest life of a registration that is believed or asked for: a day.
const LONGEST_LIFE_S: u32 = 86_400;

/// Shortest time between the beginnings of two rounds: 20 in a second (SIP-1622).
const SPACING: Duration = Duration::from_millis(50);
/// Longest random delay of the first round of a trunk.
const START: Duration = Duration::from_secs(1);
/// First pause after a round in which no server served, and the longest of all.
const PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(1_800);
/// First pause after a refusal that the same question will get again.
const REFUSED_PAUSE: Duration = Duration::from_secs(300);
/// How long a way must have lasted for its loss to be an accident.
const LASTING: Duration = Duration::from_secs(60);
/// Longest Retry-After that is honoured.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3_600);
/// How long an address belongs to a name that had it once (SIP-1624).
const SOURCE_KEPT: Duration = Duration::from_secs(86_400);
/// Most addresses that are kept of one trunk's registrars.
const MAX_SOURCES: usize = 256;

/// All registrations of a node.
#[derive(Default)]
pub(crate) struct Registrations {
    all: BTreeMap<u32, Registering>,
    due: DeadlineQueue<u32>,
    next: u32,
    /// When the next round may begin.
    free: Timestamp,
    is_draining: bool,
}

/// The registration of one trunk.
struct Registering {
    style: LegStyle,
    wanted: Registration,
    call_id: CallId,
    tag: Token,
    cseq: u32,
    contact_user: String,
    is_bulk: bool,
    expires_s: u32,
    /// What the REGISTER that is under way asks for; 0 takes the registration back.
    asked_s: u32,
    step: Step,
    names: VecDeque<TargetAddress>,
    addresses: VecDeque<(TargetAddress, SocketAddr)>,
    /// Servers of the present round that need not be asked again in it.
    asked: Vec<(Protocol, SocketAddr)>,
    tries: Tries,
    /// How the present round was corrected: once in each way, because nobody may do that for ever.
    corrected: Vec<Correction>,
    /// Rounds without success since the last one with.
    failures: u32,
    /// Ways in a row that were lost soon after the registrar had answered.
    losses: u32,
    /// Hosts that a redirection of the present round names, whose addresses must be the peer's.
    strangers: Vec<String>,
    /// Longest Retry-After of the present round.
    retry_after: Duration,
    last_fault: (Option<u16>, String),
    held: Option<Held>,
    /// Keep-alives over UDP, while it stands.
    keep_alive: Option<keep_alive::KeepAlive>,
    is_leaving: bool,
    /// An operator has taken it back.
    is_off: bool,
    /// The configuration knows it no more: it is there until it is taken back, and tells nobody.
    is_gone: bool,
    sources: BTreeMap<IpAddr, Timestamp>,
    siblings: Siblings,
    /// When something is to be done next; earlier entries of the queue are void.
    due: Timestamp,
    has_slot: bool,
    /// The one before it is being taken back, which it follows: a registrar removes by contact or for the whole
    /// address of record (RFC 3261 §10.3), whoever asked for it.
    is_behind: bool,
    standing: Arc<Standing>,
}

/// What a registrar may correct once in a round, beside that it knows no bulk contact.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Correction {
    /// It wants to be asked for a longer life.
    Life,
    /// Another server is to be asked.
    Server,
}

/// A registration that stands.
struct Held {
    since: Timestamp,
    until: Timestamp,
    target: TargetAddress,
    remote: SocketAddr,
    flow: FlowId,
    /// The network has said that there is no way to it.
    is_unreachable: bool,
}

enum Step {
    Idle,
    Name(QueryId, TargetAddress),
    Answer(TransactionId, TargetAddress, SocketAddr),
}

impl Registrations {
    /// Takes over a configuration. A registration whose trunk is the same in what the registrar
    /// sees goes on; others begin anew, and those that are gone are taken back.
    pub(crate) fn configure(&mut self, cx: &mut Cx<'_>, config: &Arc<Config>) {
        let mut before = std::mem::take(&mut self.all);
        let mut begun = Vec::new();
        for trunk in config.trunks.values() {
            let Some(wanted) = &trunk.register else {
                continue;
            };
            let style = LegStyle {
                session_id: None,
                config: Arc::clone(config),
                trunk: Arc::clone(trunk),
                contact_user: None,
            };
            let is_same = |one: &Registering| {
                let own = &one.style.trunk;
                !one.is_gone
                    && own.name == trunk.name
                    && one.wanted == *wanted
                    && own.targets == trunk.targets
                    && own.listeners == trunk.listeners
                    && own.fqdn == trunk.fqdn
            };
            let known = before.iter().find(|(_, one)| is_same(one));
            let known = known.map(|(id, _)| *id);
            if let Some((id, mut one)) = known.and_then(|id| before.remove_entry(&id)) {
                let has_new_account = one.style.trunk.digest != trunk.digest;
                one.style = style;
                let is_waiting = one.held.is_none() && matches!(one.step, Step::Idle);
                if has_new_account && is_waiting && !one.is_behind {
                    one.failures = 0;
                    one.due = cx.now.mono;
                    self.due.push(one.due, id);
                }
                self.all.insert(id, one);
                continue;
            }
            self.next = self.next.wrapping_add(1);
            let one = Registering::new(cx, style, wanted.clone(), self.is_draining);
            self.due.push(one.due, self.next);
            self.all.insert(self.next, one);
            begun.push(self.next);
        }
        for (id, mut gone) in before {
            if gone.is_gone {
                self.all.insert(id, gone);
                continue;
            }
            let is_replaced = config
                .trunks
                .get(&gone.style.trunk.name)
                .is_some_and(|trunk| trunk.register.is_some());
            if !is_replaced {
                gone.sources.clear();
                gone.tell(
                    cx,
                    RegistrationState::Off,
                    None,
                    "the trunk registers no more",
                );
            }
            if gone.leaves(cx, id) {
                self.all.insert(id, gone);
            }
        }
        for id in begun {
            self.queue_up(cx.now.mono, id);
        }
    }

    /// Puts a new one behind those of its trunk that are being taken back, for as long as one request may take.
    fn queue_up(&mut self, now: Timestamp, id: u32) {
        let trunk = self.all.get(&id).map(|one| Arc::clone(&one.style.trunk));
        let Some(trunk) = trunk.filter(|trunk| self.takes_back(&trunk.name)) else {
            return;
        };
        if let Some(one) = self.all.get_mut(&id) {
            one.is_behind = true;
            one.due = now + 64 * trunk.timers.t1;
            self.due.push(one.due, id);
        }
    }

    /// One has been taken back: the one behind it, if no other is left of its trunk, begins.
    fn follow(&mut self, now: Timestamp, trunk: &TrunkName) {
        if self.takes_back(trunk) {
            return;
        }
        let is_its = |one: &Registering| one.is_behind && one.style.trunk.name == *trunk;
        let next = self.all.iter_mut().find(|(_, one)| is_its(one));
        if let Some((id, one)) = next {
            one.is_behind = false;
            one.due = now;
            self.due.push(now, *id);
        }
    }

    /// Whether a registration of this trunk is being taken back, which the configuration knows no more.
    pub(crate) fn takes_back(&self, trunk: &TrunkName) -> bool {
        let is_its = |one: &Registering| one.is_gone && one.style.trunk.name == *trunk;
        self.all.values().any(is_its)
    }

    /// When [`Self::tick`] is next wanted.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.due.next()
    }

    /// Registrations that are being taken back.
    pub(crate) fn leaving(&self) -> usize {
        let leaving = |one: &&Registering| one.is_leaving && !matches!(one.step, Step::Idle);
        self.all.values().filter(leaving).count()
    }

    /// Takes back what stands while the node drains, and registers again when it does no more.
    pub(crate) fn drain(&mut self, cx: &mut Cx<'_>, is_draining: bool) {
        self.is_draining = is_draining;
        for (id, one) in &mut self.all {
            let is_settled = one.is_leaving == is_draining || one.is_off || one.is_gone;
            if !one.wanted.unregisters || is_settled {
                continue;
            }
            one.is_leaving = is_draining;
            if is_draining {
                // One that is under way gets its answer first: there is one at a time.
                if matches!(one.step, Step::Idle) {
                    one.take_back(cx, *id);
                }
                one.tell(cx, RegistrationState::Off, None, "the node drains");
            } else {
                one.due = cx.now.mono;
                self.due.push(one.due, *id);
                one.tell(
                    cx,
                    RegistrationState::Trying,
                    None,
                    "the node drains no more",
                );
            }
        }
    }

    /// Starts what is due, and notes what has run out.
    pub(crate) fn tick(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        while let Some(id) = self.due.pop_due(now) {
            let Some(one) = self.all.get_mut(&id) else {
                continue;
            };
            if one.held.as_ref().is_some_and(|held| held.until <= now) {
                one.held = None;
                if !one.is_leaving {
                    let (code, why) = one.last_fault.clone();
                    let because = format!("it ran out: {why}");
                    one.tell(cx, RegistrationState::Failed, code, &because);
                }
            }
            let wanted = one.keep_alive(cx);
            if wanted != Wanted::Nothing {
                one.see_to_way(wanted, &mut self.due, id);
            }
            if one.due > now || one.is_leaving || !matches!(one.step, Step::Idle) {
                continue;
            }
            if !one.has_slot {
                let slot = now.max(self.free);
                self.free = slot + SPACING;
                if slot > now {
                    one.has_slot = true;
                    one.due = slot;
                    self.due.push(slot, id);
                    continue;
                }
            }
            one.has_slot = false;
            one.begin_round(cx, id);
            self.look_after(cx.now.mono, id);
        }
    }

    /// The answer to a name query.
    pub(crate) fn outcome(&mut self, cx: &mut Cx<'_>, id: u32, query: QueryId, outcome: &Outcome) {
        let Some(one) = self.all.get_mut(&id) else {
            return;
        };
        if one.is_looked_for(cx, id, query, outcome) {
            return;
        }
        let Step::Name(asked, target) = &one.step else {
            return;
        };
        if *asked != query {
            return;
        }
        let target = target.clone();
        one.step = Step::Idle;
        let found = match outcome {
            Outcome::Resolved(addresses) => {
                let at = |remote: &SocketAddr| (target.protocol, *remote);
                Ok(addresses.iter().map(at).collect())
            }
            Outcome::Located(services) => {
                let prefer = one.style.trunk.prefer;
                Ok(in_order(services, prefer, &mut cx.plane.mint))
            }
            Outcome::Won(_) | Outcome::Verified(_) => Ok(Vec::new()),
            Outcome::ResolveFailed(fault) => Err(fault),
        };
        match found {
            Ok(mut found) => {
                if one.strangers.contains(&target.host) {
                    found.retain(|(_, remote)| one.is_peer(remote.ip()));
                }
                let places = found.iter().map(|(_, remote)| remote.ip());
                one.found(cx, &target.host, places.collect());
                one.addresses
                    .extend(found.into_iter().map(|(protocol, remote)| {
                        let target = TargetAddress {
                            protocol,
                            ..target.clone()
                        };
                        (target, remote)
                    }));
            }
            Err(fault) => {
                let why = format!("{}: {fault}", target.host);
                one.last_fault = (None, why);
            }
        }
        one.next_server(cx, id);
        self.look_after(cx.now.mono, id);
    }

    /// A response to a REGISTER.
    pub(crate) fn response(
        &mut self,
        cx: &mut Cx<'_>,
        id: u32,
        transaction: TransactionId,
        flow: FlowId,
        message: &Message,
    ) {
        let Some(status) = message.status().filter(|status| status.is_final()) else {
            return;
        };
        if let Some((one, target, remote)) = self.waiting(id, transaction) {
            one.answered(cx, id, status, (target, remote), flow, message);
            self.look_after(cx.now.mono, id);
        }
    }

    /// A REGISTER got no answer, or could not be sent.
    pub(crate) fn failed(
        &mut self,
        cx: &mut Cx<'_>,
        id: u32,
        transaction: TransactionId,
        why: Option<FlowFault>,
    ) {
        if let Some((one, target, _)) = self.waiting(id, transaction) {
            let why = why.map_or_else(|| "no answer".to_owned(), |why| why.to_string());
            one.last_fault = (Some(408), format!("{}: {why}", target.host));
            if one.is_leaving {
                one.held = None;
            } else {
                one.next_server(cx, id);
            }
            self.look_after(cx.now.mono, id);
        }
    }

    /// A connection is gone: what was registered over it cannot be reached any more (SIP-1625). A
    /// registrar that closes each one as soon as it has answered is asked later and later, and at last
    /// only when the registration is due anyway: it does not want to be reached that way.
    pub(crate) fn flow_lost(&mut self, cx: &mut Cx<'_>, flow: FlowId) {
        for (id, one) in &mut self.all {
            let is_over_it = one
                .held
                .as_ref()
                .is_some_and(|held| held.flow == flow && held.target.protocol.is_reliable());
            if is_over_it && one.way_lost(cx) {
                self.due.push(one.due, *id);
            }
        }
    }

    /// An answer to a keep-alive.
    pub(crate) fn stun_answered(
        &mut self,
        cx: &mut Cx<'_>,
        from: SocketAddr,
        stun: StunId,
        seen: Option<SocketAddr>,
    ) {
        for (id, one) in &mut self.all {
            let is_its = one.held.as_ref().is_some_and(|held| held.remote == from);
            let keep_alive = one.keep_alive.as_mut().filter(|_| is_its);
            let Some(wanted) = keep_alive.and_then(|own| own.answered(cx, stun, seen)) else {
                continue;
            };
            if wanted == Wanted::Register {
                one.way_lost(cx);
            }
            one.see_to_way(wanted, &mut self.due, *id);
            return;
        }
    }

    fn waiting(
        &mut self,
        id: u32,
        transaction: TransactionId,
    ) -> Option<(&mut Registering, TargetAddress, SocketAddr)> {
        let one = self.all.get_mut(&id)?;
        match &one.step {
            Step::Answer(own, target, remote) if *own == transaction => {
                let (target, remote) = (target.clone(), *remote);
                one.step = Step::Idle;
                Some((one, target, remote))
            }
            Step::Answer(..) | Step::Name(..) | Step::Idle => None,
        }
    }

    /// Sees to it that the next thing to do is in the queue, and forgets what is gone for good.
    fn look_after(&mut self, now: Timestamp, id: u32) {
        let is_over = |one: &Registering| one.is_gone && matches!(one.step, Step::Idle);
        if self.all.get(&id).is_some_and(is_over)
            && let Some(gone) = self.all.remove(&id)
        {
            self.follow(now, &gone.style.trunk.name);
        }
        if let Some(one) = self.all.get(&id) {
            self.due.push(one.due, id);
            if let Some(held) = &one.held {
                self.due.push(held.until, id);
            }
            if let Some(keep_alive) = &one.keep_alive {
                self.due.push(keep_alive.due(), id);
            }
        }
    }
}

impl Registering {
    fn new(cx: &mut Cx<'_>, style: LegStyle, wanted: Registration, is_draining: bool) -> Self {
        let standing = Standing::new(&style.trunk.name);
        let mut one = Self {
            call_id: CallId::from_minted(cx.plane.mint.call_id()),
            tag: Token::from_minted(cx.plane.mint.tag()),
            cseq: 0,
            contact_user: cx.plane.mint.tag(),
            is_bulk: wanted.gin != Gin::Off,
            expires_s: u32::try_from(wanted.expires.as_secs()).unwrap_or(u32::MAX),
            asked_s: 0,
            step: Step::Idle,
            siblings: Siblings::default(),
            names: VecDeque::new(),
            addresses: VecDeque::new(),
            asked: Vec::new(),
            tries: Tries::default(),
            corrected: Vec::new(),
            strangers: Vec::new(),
            failures: 0,
            losses: 0,
            retry_after: Duration::ZERO,
            last_fault: (None, "no server could be asked".to_owned()),
            held: None,
            keep_alive: None,
            is_leaving: is_draining && wanted.unregisters,
            is_off: false,
            is_gone: false,
            sources: BTreeMap::new(),
            due: cx.now.mono + cx.plane.mint.delay(Duration::ZERO, START),
            has_slot: false,
            is_behind: false,
            standing: Arc::new(standing),
            style,
            wanted,
        };
        match one.is_leaving {
            true => one.tell(cx, RegistrationState::Off, None, "the node drains"),
            false => one.tell(cx, RegistrationState::Trying, None, "registering"),
        }
        one
    }

    /// The way of the registrar to us is gone: registers anew soon, and less and less soon where that
    /// happens again and again. Says whether that has changed anything. Nothing keeps alive what is lost:
    /// each loss would be found again and again while the registrar is left alone.
    fn way_lost(&mut self, cx: &mut Cx<'_>) -> bool {
        let keep_alive = self.keep_alive.take();
        let Some(held) = &self.held else {
            return false;
        };
        // Of a connection it is known when it ended; over UDP, up to when there was one.
        let lasted = match &keep_alive {
            None => cx.now.mono.since(held.since),
            Some(own) => own
                .heard()
                .map_or(Duration::ZERO, |at| at.since(held.since)),
        };
        if self.is_leaving || !matches!(self.step, Step::Idle) {
            return false;
        }
        self.losses = match lasted >= LASTING {
            true => 0,
            false => self.losses + 1,
        };
        let soon = Duration::from_secs(1 << self.losses.saturating_sub(1).min(12));
        let due = cx.now.mono + cx.plane.mint.delay(soon, 2 * soon);
        let is_sooner = due < self.due;
        self.due = self.due.min(due);
        is_sooner
    }

    /// Asks the servers in order, that which holds the registration first.
    fn begin_round(&mut self, cx: &mut Cx<'_>, id: u32) {
        let trunk = Arc::clone(&self.style.trunk);
        self.is_behind = false;
        self.addresses.clear();
        self.asked.clear();
        self.names = trunk.targets.iter().cloned().collect();
        self.siblings = Siblings::default();
        self.corrected.clear();
        self.strangers.clear();
        self.retry_after = Duration::ZERO;
        if let Some(held) = &self.held {
            self.addresses.push_back((held.target.clone(), held.remote));
        }
        self.next_server(cx, id);
    }

    fn next_server(&mut self, cx: &mut Cx<'_>, id: u32) {
        self.tries = Tries::default();
        loop {
            if let Some((target, remote)) = self.addresses.pop_front() {
                let server = (target.protocol, remote);
                if self.asked.contains(&server) {
                    continue;
                }
                self.asked.push(server);
                if self.send(cx, id, target, remote) {
                    return;
                }
                continue;
            }
            let Some(target) = self.names.pop_front() else {
                return self.pause(cx, PAUSE);
            };
            let fixed = self.style.fixed_addresses(&target);
            if fixed.is_empty() {
                let query = cx.locate(Asker::Registration(id), self.style.locate(&target));
                self.step = Step::Name(query, target);
                return;
            }
            let fixed = fixed.into_iter().map(|remote| (target.clone(), remote));
            self.addresses.extend(fixed);
        }
    }

    /// Sends a REGISTER; says whether that was possible.
    fn send(
        &mut self,
        cx: &mut Cx<'_>,
        id: u32,
        target: TargetAddress,
        remote: SocketAddr,
    ) -> bool {
        self.asked_s = match self.is_leaving {
            true => 0,
            false => self.expires_s,
        };
        let expires_s = self.asked_s;
        match self.register(cx, id, &target, remote, expires_s) {
            Some(sent) => {
                self.step = Step::Answer(sent, target, remote);
                true
            }
            None => {
                let fault = FlowFault::NoListener;
                self.last_fault = (None, format!("{}: {fault}", target.host));
                false
            }
        }
    }

    fn register(
        &mut self,
        cx: &mut Cx<'_>,
        id: u32,
        target: &TargetAddress,
        remote: SocketAddr,
        expires_s: u32,
    ) -> Option<TransactionId> {
        let hop = self.style.hop(target.protocol, remote, &target.host)?;
        let config = Arc::clone(&self.style.config);
        let listener = config.listeners.get(&hop.listener)?;
        let branch = cx.plane.mint.branch();
        self.cseq += 1;
        let form = Form {
            wanted: &self.wanted,
            node: &config.node.id,
            contact_user: (!self.is_bulk).then_some(self.contact_user.as_str()),
            tag: &self.tag,
            call_id: &self.call_id,
            cseq: self.cseq,
            expires_s,
        };
        let request = request::register(&self.style, listener, &branch, &form)?;
        let trunk = Arc::clone(&self.style.trunk);
        let method = &Method::Register;
        let (request, _) = cx.sign(&trunk, remote, method, request, &mut self.tries);
        let (now, bytes) = (cx.now.mono, request.build());
        let owner = Owner::Registration(id);
        let plane = &mut *cx.plane;
        Some(plane.request(now, &trunk, method, &branch, bytes, hop, owner, cx.out))
    }

    /// The configuration knows it no more. Says whether it still waits for an answer: that of a REGISTER under
    /// way, or to its own removal.
    fn leaves(&mut self, cx: &mut Cx<'_>, id: u32) -> bool {
        if !self.wanted.unregisters {
            return false;
        }
        self.is_gone = true;
        match self.step {
            // There is one at a time, and what it brings is taken back.
            Step::Answer(..) => self.is_leaving = true,
            Step::Name(..) | Step::Idle => self.take_back(cx, id),
        }
        matches!(self.step, Step::Answer(..))
    }

    /// Removes the registration that stands.
    fn take_back(&mut self, cx: &mut Cx<'_>, id: u32) {
        if self.wanted.unregisters {
            self.remove(cx, id);
        }
    }

    fn remove(&mut self, cx: &mut Cx<'_>, id: u32) {
        let Some(held) = self.held.take() else {
            return;
        };
        self.tries = Tries::default();
        self.is_leaving = true;
        self.send(cx, id, held.target, held.remote);
    }

    fn answered(
        &mut self,
        cx: &mut Cx<'_>,
        id: u32,
        status: Status,
        server: (TargetAddress, SocketAddr),
        flow: FlowId,
        message: &Message,
    ) {
        let (target, remote) = server;
        if matches!(status.code(), 401 | 407) {
            let trunk = Arc::clone(&self.style.trunk);
            match cx.challenged(&trunk, remote, message, &self.tries) {
                Ok(()) if self.send(cx, id, target, remote) => {}
                Ok(()) => self.pause(cx, PAUSE),
                Err(why) if !self.is_leaving => {
                    self.last_fault = (Some(status.code()), why.to_string());
                    self.held = None;
                    self.pause(cx, REFUSED_PAUSE);
                }
                Err(_) => self.held = None,
            }
            return;
        }
        if status.is_success() {
            cx.authenticated(&self.style.trunk, remote, message);
            match (self.asked_s, self.is_leaving) {
                (0, true) => self.held = None,
                // Wanted again in the meantime.
                (0, false) => {
                    self.held = None;
                    self.due = cx.now.mono;
                }
                // It was under way when it was to be taken back.
                (_, true) => {
                    self.held = None;
                    self.tries = Tries::default();
                    self.send(cx, id, target, remote);
                }
                (_, false) => self.registered(cx, id, (target, remote), flow, message),
            }
            return;
        }
        if self.is_leaving {
            self.held = None;
            return;
        }
        self.last_fault = (
            Some(status.code()),
            format!("{} answered {status}", target.host),
        );
        match status.code() {
            423 if self.may_correct(Correction::Life) => {
                let least = message.raw(HeaderName::MinExpires);
                let least =
                    least.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok());
                match least
                    .filter(|least: &u32| *least > self.expires_s && *least <= LONGEST_LIFE_S)
                {
                    Some(least) => {
                        self.corrected.push(Correction::Life);
                        self.expires_s = least;
                        self.tries = Tries::default();
                        if !self.send(cx, id, target, remote) {
                            self.next_server(cx, id);
                        }
                    }
                    None => self.pause(cx, REFUSED_PAUSE),
                }
            }
            420 if self.is_bulk && self.wanted.gin == Gin::Prefer => {
                // Another request, whose predecessor's challenges do not count.
                self.is_bulk = false;
                self.tries = Tries::default();
                if !self.send(cx, id, target, remote) {
                    self.next_server(cx, id);
                }
            }
            301 | 302 if self.may_correct(Correction::Server) => {
                self.corrected.push(Correction::Server);
                self.redirected(&target, message);
                self.next_server(cx, id);
            }
            408 | 500..=599 => {
                if let Ok(Some(wait)) = message.get::<RetryAfter>() {
                    let wait = Duration::from_secs(u64::from(wait.seconds));
                    self.retry_after = self.retry_after.max(wait.min(LONGEST_RETRY_AFTER));
                }
                self.next_server(cx, id);
            }
            _ => {
                if let Ok(Some(wait)) = message.get::<RetryAfter>() {
                    let wait = Duration::from_secs(u64::from(wait.seconds));
                    self.retry_after = wait.min(LONGEST_RETRY_AFTER);
                }
                self.held = None;
                self.pause(cx, REFUSED_PAUSE);
            }
        }
    }

    fn may_correct(&self, how: Correction) -> bool {
        !self.corrected.contains(&how)
    }

    /// Whether an address is one of the peer.
    fn is_peer(&self, address: IpAddr) -> bool {
        accepts_source(&self.style.trunk, address) || self.sources.contains_key(&address)
    }

    fn is_ours(&self, contact: &Contact) -> bool {
        let Some(uri) = contact.uri().and_then(|uri| uri.as_sip()) else {
            return false;
        };
        match self.is_bulk {
            true => uri.user().is_none() && uri.params.has("bnc"),
            false => uri
                .user()
                .is_some_and(|user| user == self.contact_user.as_bytes()),
        }
    }

    fn registered(
        &mut self,
        cx: &mut Cx<'_>,
        id: u32,
        server: (TargetAddress, SocketAddr),
        flow: FlowId,
        message: &Message,
    ) {
        let granted = standing::granted(message, |contact| self.is_ours(contact));
        let Some(granted) = granted.filter(|granted| *granted > 0) else {
            self.last_fault = (Some(200), "the 200 does not name our contact".to_owned());
            return self.pause(cx, PAUSE);
        };
        // Nobody has to be believed that we are known to it for years.
        let granted = granted.min(self.expires_s.max(LONGEST_LIFE_S));
        let life = Duration::from_secs(u64::from(granted));
        self.failures = 0;
        self.addresses.clear();
        self.due = cx.now.mono + refresh_after(cx, life, self.style.trunk.timers.t1);
        let (target, remote) = server;
        self.note_sources(cx, [remote.ip()]);
        if self.held.as_ref().is_none_or(|held| held.remote != remote) {
            // What is known of another way says nothing of this one.
            self.keep_alive = None;
        }
        let micros = u64::try_from(life.as_micros()).unwrap_or(u64::MAX);
        let until = cx.now.wall.as_micros().saturating_add(micros);
        self.held = Some(Held {
            since: cx.now.mono,
            until: cx.now.mono + life,
            target: target.clone(),
            remote,
            flow,
            is_unreachable: false,
        });
        self.agree_on_keep_alives(cx, flow, message);
        let mut standing = Standing::clone(&self.standing);
        standing.contact_user = (!self.is_bulk).then(|| self.contact_user.clone());
        standing.server = Some((target, remote));
        standing.service_route = standing::service_route(message);
        standing.identities = standing::identities(message);
        standing.until = Some(crate::time::UnixTime::from_micros(until));
        self.standing = Arc::new(standing);
        let because = format!("{remote} grants {granted} s");
        self.tell(cx, RegistrationState::Registered, None, &because);
        self.look_around(cx, id);
    }

    /// No server is left in this round.
    fn pause(&mut self, cx: &mut Cx<'_>, first: Duration) {
        self.names.clear();
        self.addresses.clear();
        let doubled = first.saturating_mul(1 << self.failures.min(10));
        let longest = doubled.min(LONGEST_PAUSE);
        self.failures += 1;
        // Random, so that those who failed together do not come back together: a refusal that will
        // be repeated is not asked for early.
        let pause = match first == REFUSED_PAUSE {
            true => cx.plane.mint.delay(longest, longest + longest / 10),
            false => cx.plane.mint.delay(longest / 2, longest),
        };
        self.due = cx.now.mono + pause.max(self.retry_after);
        self.has_slot = false;
        let (code, why) = self.last_fault.clone();
        let seconds = (self.due.since(cx.now.mono)).as_secs();
        let because = format!("{why}; again in {seconds} s");
        let state = match &self.held {
            // It stands until it runs out, whoever does not answer meanwhile.
            Some(_) => RegistrationState::Registered,
            None => RegistrationState::Failed,
        };
        self.tell(cx, state, code.or(Some(0)), &because);
    }

    fn note_sources(&mut self, cx: &Cx<'_>, found: impl IntoIterator<Item = IpAddr>) {
        let now = cx.now.mono;
        self.sources.retain(|_, until| *until > now);
        for source in found {
            if self.sources.len() < MAX_SOURCES || self.sources.contains_key(&source) {
                self.sources
                    .insert(source.to_canonical(), now + SOURCE_KEPT);
            }
        }
    }

    /// Tells everybody how it stands. A failure has a code: of the response, or 0.
    fn tell(
        &mut self,
        cx: &mut Cx<'_>,
        state: RegistrationState,
        failure: Option<u16>,
        because: &str,
    ) {
        if self.is_gone {
            return;
        }
        let is_news = self.standing.state != state;
        let mut standing = Standing::clone(&self.standing);
        standing.state = state;
        standing.sources = self.sources.keys().copied().collect();
        if state != RegistrationState::Registered {
            standing.server = None;
            standing.until = None;
        }
        self.standing = Arc::new(standing);
        cx.plane.standings.note(&self.standing);
        let what = Happened::Registration {
            standing: Arc::clone(&self.standing),
            is_news,
            failure,
            because: because.to_owned(),
        };
        cx.out.emit(None, None, what);
    }
}

/// When a registration of this life is renewed (SIP-1621): at a random point of its last fifth, but so long before
/// the end that a silent server is given up and the next one asked in time (`t1`); a short one after half of it.
fn refresh_after(cx: &mut Cx<'_>, life: Duration, t1: Duration) -> Duration {
    // Timer F, and time for the next server to answer.
    let lead = 64 * t1 + Duration::from_secs(10);
    let late = cx.plane.mint.delay(life * 8 / 10, life * 9 / 10);
    let after = late.min(life.saturating_sub(lead).max(life / 2));
    // A registrar that grants moments must not keep us busy.
    after.max(Duration::from_secs(5))
}
