//! The set-up of a leg that we call: targets in order, early dialogs, CANCEL, the winning answer.

use super::link::patience;
use super::{
    Confirmed, Link, Phase, Rejection, Session, SessionEvent, Timer, description, link::Wanted,
};
use crate::config::TargetAddress;
use crate::dialog::Dialog;
use crate::event::{Happened, TargetFault};
use crate::id::{QueryId, TransactionId};
use crate::plane::Cx;
use crate::query::{Outcome, ResolveFault, ResolveSpec};
use crate::session::LegStyle;
use crate::sip::header::{CSeq, CallId, ContentType, From, MaxForwards, Reason, To};
use crate::sip::{
    Address, Class, HeaderName, Message, Method, RequestBuilder, Status, Token, Uri,
};
use crate::time::Timestamp;
use crate::transaction::{Owner, TimerSet};
use crate::transport::Hop;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// Most early dialogs kept of one INVITE; Teams alone may ring 32 endpoints (TDR-SIP-016).
const MAX_EARLY_DIALOGS: usize = 64;

/// What a new leg says in its INVITE, apart from what depends on the target.
#[derive(Clone, PartialEq, Debug)]
pub struct Outset {
    /// User part of Request-URI and To.
    pub called: Bytes,
    /// From, without tag.
    pub from: Address,
    /// Further headers: identity, diversion, passed ones.
    pub headers: Vec<(HeaderName, Bytes)>,
    /// Already decremented.
    pub max_forwards: u8,
    /// Our offer.
    pub offer: Bytes,
}

/// An INVITE of ours on its way.
#[derive(Debug)]
pub(crate) struct Outgoing {
    outset: Outset,
    call_id: CallId,
    cseq: u32,
    targets: VecDeque<TargetAddress>,
    addresses: VecDeque<(TargetAddress, SocketAddr)>,
    asking: Option<(QueryId, TargetAddress)>,
    current: Option<Try>,
    /// Earlier tries whose transactions may still bring an answer, which then must be ended.
    given_up: BTreeMap<TransactionId, Try>,
    early: BTreeMap<Bytes, Dialog>,
    cancelled: bool,
    best: Option<Rejection>,
    started: Timestamp,
    facts: super::PeerFacts,
}

/// One INVITE transaction to one address.
#[derive(Clone, Debug)]
struct Try {
    id: TransactionId,
    target: TargetAddress,
    hop: Hop,
    cseq: u32,
    from: Address,
    is_heard: bool,
}

impl Outgoing {
    pub(super) fn new(cx: &mut Cx<'_>, style: &LegStyle, outset: Outset) -> Self {
        let targets: VecDeque<TargetAddress> = style.trunk.targets.iter().cloned().collect();
        let facts = super::PeerFacts {
            host: targets.front().map(|target| target.host.clone()).unwrap_or_default(),
            protocol: targets
                .front()
                .map_or(crate::transport::Protocol::Udp, |target| target.protocol),
            remote: None,
            first_response_ms: None,
        };
        Self {
            outset,
            call_id: CallId::from_minted(cx.plane.mint.call_id()),
            cseq: 0,
            targets,
            addresses: VecDeque::new(),
            asking: None,
            current: None,
            given_up: BTreeMap::new(),
            early: BTreeMap::new(),
            cancelled: false,
            best: None,
            started: cx.now.mono,
            facts,
        }
    }

    /// Whether an INVITE transaction is one of this leg's.
    pub(super) fn owns(&self, id: TransactionId) -> bool {
        self.given_up.contains_key(&id) || self.current.as_ref().is_some_and(|t| t.id == id)
    }

    /// Gives up. Says whether nothing remains to be waited for.
    pub(super) fn cancel(&mut self, cx: &mut Cx<'_>, reason: Option<Bytes>) -> bool {
        self.cancelled = true;
        self.targets.clear();
        self.addresses.clear();
        self.asking = None;
        if let Some(current) = self.current.take() {
            let now = cx.now.mono;
            cx.plane.transactions.cancel(now, current.id, reason.as_deref(), cx.out);
            self.given_up.insert(current.id, current);
        }
        self.given_up.is_empty()
    }

    fn rank(&mut self, rejection: Rejection) {
        // What a peer says counts more than what we think (SIP-314).
        let is_better = match &self.best {
            Some(best) => rejection.is_from_peer || !best.is_from_peer,
            None => true,
        };
        if is_better {
            self.best = Some(rejection);
        }
    }

    fn left(&self) -> usize {
        self.targets.len() + self.addresses.len()
    }

    /// The INVITE for one target.
    fn request(
        &self,
        style: &LegStyle,
        target: &TargetAddress,
        hop: &Hop,
        from: &Address,
        branch: &str,
    ) -> Option<Bytes> {
        let listener = style.config.listeners.get(&hop.listener)?;
        let to = style.called_uri(&self.outset.called, &target.host, None)?;
        let mut request_uri =
            style.called_uri(&self.outset.called, &target.host, Some(target.port))?;
        style.write_transport(&mut request_uri, hop.protocol);
        let mut request = RequestBuilder::new(Method::Invite, &Uri::from(request_uri))
            .header(&style.via(listener, branch)?)
            .header(&MaxForwards(self.outset.max_forwards))
            .header(&From(from.clone()))
            .header(&To(Address::new(Uri::from(to))))
            .header(&self.call_id)
            .header(&CSeq { number: self.cseq, method: Method::Invite })
            .header(&style.contact(listener))
            .raw_if_valid(HeaderName::Allow, style.allow());
        for (name, value) in &self.outset.headers {
            request = request.raw_if_valid(name, value);
        }
        let request = style.sign_request(request);
        Some(request.body(&ContentType::sdp(), self.outset.offer.clone()).build())
    }
}

impl Session {
    /// Call-ID of a leg that we call.
    pub(crate) fn own_call_id(&self) -> Option<String> {
        match &self.phase {
            Phase::Outgoing(outgoing) => Some(outgoing.call_id.as_str().to_owned()),
            Phase::Incoming(_) | Phase::Confirmed(_) | Phase::Closing(_) | Phase::Over => None,
        }
    }

    /// What is known about the peer of a leg that we call, while it is being set up.
    pub(crate) fn peer_facts(&self) -> Option<&super::PeerFacts> {
        match &self.phase {
            Phase::Outgoing(outgoing) => Some(&outgoing.facts),
            Phase::Incoming(_) | Phase::Confirmed(_) | Phase::Closing(_) | Phase::Over => None,
        }
    }

    /// Moves to the next target; without one the leg is refused with the best of what happened.
    pub(super) fn next_target(
        &mut self,
        cx: &mut Cx<'_>,
        failed: Option<(TargetAddress, TargetFault)>,
        up: &mut Vec<SessionEvent>,
    ) {
        if let (Some((target, why)), Phase::Outgoing(outgoing)) = (failed, &self.phase) {
            let what = Happened::TargetFailed {
                trunk: self.style.trunk.name.clone(),
                host: target.host,
                why,
                left: outgoing.left(),
            };
            cx.out.emit(Some(self.owner.0), Some(self.owner.1), what);
        }
        loop {
            let Phase::Outgoing(outgoing) = &mut self.phase else { return };
            if let Some((target, remote)) = outgoing.addresses.pop_front() {
                if self.try_address(cx, target, remote) {
                    return;
                }
                continue;
            }
            let Some(target) = outgoing.targets.pop_front() else {
                return self.give_up(cx, up);
            };
            let literal = target.host.trim_matches(['[', ']']).parse().ok();
            if !target.connect_to.is_empty() {
                let pinned = target.connect_to.iter().map(|at| (target.clone(), *at));
                outgoing.addresses.extend(pinned);
            } else if let Some(address) = literal {
                let remote = SocketAddr::new(address, target.port);
                outgoing.addresses.push_back((target, remote));
            } else {
                let spec = ResolveSpec {
                    host: target.host.clone(),
                    port: target.port,
                    protocol: target.protocol,
                };
                let query = cx.resolve(self.owner.0, self.owner.1, spec);
                outgoing.asking = Some((query, target));
                return;
            }
        }
    }

    /// Sends the INVITE to one address. Says whether that was possible.
    fn try_address(&mut self, cx: &mut Cx<'_>, target: TargetAddress, remote: SocketAddr) -> bool {
        let Phase::Outgoing(outgoing) = &mut self.phase else { return false };
        let no_listener = |outgoing: &mut Outgoing| {
            outgoing.rank(Rejection::local(TargetFault::Flow(
                crate::transport::FlowFault::NoListener,
            )));
            false
        };
        let Some(hop) = self.style.hop(target.protocol, remote, &target.host) else {
            return no_listener(outgoing);
        };
        outgoing.cseq += 1;
        let from = From(outgoing.outset.from.clone()).with_tag(self.local_tag.clone()).0;
        let branch = cx.plane.mint.branch();
        let request = outgoing.request(&self.style, &target, &hop, &from, &branch);
        let Some(bytes) = request else { return no_listener(outgoing) };
        outgoing.facts = super::PeerFacts {
            host: target.host.clone(),
            protocol: hop.protocol,
            remote: Some(remote),
            first_response_ms: None,
        };
        outgoing.started = cx.now.mono;
        let what = Happened::AttemptStarted {
            trunk: self.style.trunk.name.clone(),
            host: target.host.clone(),
            remote,
            protocol: hop.protocol,
        };
        cx.out.emit(Some(self.owner.0), Some(self.owner.1), what);
        let owner = Owner::Leg(self.owner.0, self.owner.1);
        let timers = TimerSet::from(&self.style.trunk.timers);
        let now = cx.now.mono;
        let table = &mut cx.plane.transactions;
        let invite = &Method::Invite;
        let id =
            table.request(now, invite, &branch, bytes, hop.clone(), timers, owner, cx.out);
        let cseq = outgoing.cseq;
        outgoing.current = Some(Try { id, target, hop, cseq, from, is_heard: false });
        self.timers.set(Timer::Response as usize, now + self.style.trunk.timers.response_timeout);
        true
    }

    /// The answer to a name query for a target.
    pub(super) fn target_resolved(
        &mut self,
        cx: &mut Cx<'_>,
        query: QueryId,
        outcome: &Outcome,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Outgoing(outgoing) = &mut self.phase else { return };
        let Some((_, target)) = outgoing.asking.take_if(|(id, _)| *id == query) else { return };
        match outcome {
            Outcome::Resolved(addresses) => {
                let found = addresses.iter().map(|remote| (target.clone(), *remote));
                outgoing.addresses.extend(found);
                self.next_target(cx, None, up);
            }
            Outcome::ResolveFailed(why) => {
                let fault = TargetFault::Resolve(*why);
                outgoing.rank(Rejection::local(fault.clone()));
                self.next_target(cx, Some((target, fault)), up);
            }
        }
    }

    /// The present target could not be reached or is silent: time-out and transport failure.
    pub(super) fn target_failed(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        fault: TargetFault,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Outgoing(outgoing) = &mut self.phase else { return };
        if outgoing.given_up.remove(&id).is_some() {
            return self.end_if_cancelled(cx);
        }
        let Some(current) = outgoing.current.take_if(|current| current.id == id) else { return };
        self.timers.clear();
        outgoing.early.clear();
        outgoing.rank(Rejection::local(fault.clone()));
        self.next_target(cx, Some((current.target, fault)), up);
    }

    /// No response at all within the trunk's limit: the next target gets its chance, and what this
    /// one may still answer is ended when it comes.
    pub(super) fn response_timeout(&mut self, cx: &mut Cx<'_>, up: &mut Vec<SessionEvent>) {
        let Phase::Outgoing(outgoing) = &mut self.phase else { return };
        let Some(current) = outgoing.current.take() else { return };
        cx.plane.transactions.cancel(cx.now.mono, current.id, None, cx.out);
        outgoing.rank(Rejection::local(TargetFault::Timeout));
        let target = current.target.clone();
        outgoing.given_up.insert(current.id, current);
        self.next_target(cx, Some((target, TargetFault::Timeout)), up);
    }

    /// It has been ringing for too long: CANCEL, and wait for its 487.
    pub(super) fn ring_timeout(&mut self, cx: &mut Cx<'_>) {
        let Phase::Outgoing(outgoing) = &mut self.phase else { return };
        let Some(current) = &outgoing.current else { return };
        outgoing.targets.clear();
        outgoing.addresses.clear();
        outgoing.best = Some(Rejection::local(TargetFault::Timeout));
        cx.plane.transactions.cancel(cx.now.mono, current.id, None, cx.out);
    }

    /// A response to an INVITE of ours.
    pub(super) fn invite_response(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Some(status) = message.status() else { return };
        if status.is_success() {
            return self.invite_answered(cx, id, message, up);
        }
        let Phase::Outgoing(outgoing) = &mut self.phase else { return };
        if outgoing.given_up.contains_key(&id) {
            if status.is_final() {
                outgoing.given_up.remove(&id);
                self.end_if_cancelled(cx);
            }
            return;
        }
        let Some(current) = outgoing.current.as_mut().filter(|current| current.id == id) else {
            return;
        };
        if !current.is_heard {
            current.is_heard = true;
            outgoing.facts.first_response_ms =
                u64::try_from(cx.now.mono.since(outgoing.started).as_millis()).ok();
            self.timers.stop(Timer::Response as usize);
            let limit = cx.now.mono + self.style.trunk.timers.ring_timeout;
            self.timers.set(Timer::Ring as usize, limit);
        }
        match status.class() {
            Class::Provisional if status == Status::TRYING => {}
            Class::Provisional => self.invite_progress(status, message, up),
            _ => self.invite_refused(cx, status, message, up),
        }
    }

    fn invite_progress(&mut self, status: Status, message: &Message, up: &mut Vec<SessionEvent>) {
        let Phase::Outgoing(outgoing) = &mut self.phase else { return };
        let Some(current) = &outgoing.current else { return };
        let tag = to_tag(message);
        if !tag.is_empty() && outgoing.early.len() < MAX_EARLY_DIALOGS {
            let (from, cseq) = (current.from.clone(), current.cseq);
            if let Ok(dialog) = Dialog::from_response(from, cseq, message) {
                outgoing.early.entry(tag.clone()).or_insert(dialog);
            }
        }
        let description = description(message);
        up.push(SessionEvent::Progress { status, early: tag, description });
    }

    fn invite_refused(
        &mut self,
        cx: &mut Cx<'_>,
        status: Status,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Outgoing(outgoing) = &mut self.phase else { return };
        let Some(current) = outgoing.current.take() else { return };
        self.timers.clear();
        outgoing.early.clear();
        let is_ring_limit = status == Status::REQUEST_TERMINATED
            && matches!(&outgoing.best, Some(best) if !best.is_from_peer);
        if !is_ring_limit {
            outgoing.rank(Rejection::from_peer(status, message));
        }
        // 503 means this server, not the number: the peer's next server may do better
        // (RFC 3263 §4.3, TDR-DNS-003). Every other status is the peer's answer.
        if status == Status::SERVICE_UNAVAILABLE && outgoing.left() > 0 {
            let fault = TargetFault::Status(status.code());
            return self.next_target(cx, Some((current.target, fault)), up);
        }
        self.give_up(cx, up);
    }

    /// A 2xx: the first on a living leg wins, every other one is ended at once.
    fn invite_answered(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let tag = to_tag(message);
        if cx.plane.acks.repeat(id, &tag, cx.out) {
            return;
        }
        // A second fork of an INVITE that has been answered already (SIP-221).
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return self.end_late_answer(cx, id, message);
        };
        if outgoing.given_up.contains_key(&id) || outgoing.cancelled {
            return self.end_cancelled_answer(cx, id, message);
        }
        let Some(current) = outgoing.current.as_ref().filter(|current| current.id == id) else {
            return;
        };
        let Some(dialog) = established(outgoing, current, &tag, message) else {
            // Without Contact there is no way to send ACK or BYE: nothing that we can keep.
            let fault = TargetFault::Status(Status::BAD_GATEWAY.code());
            return self.target_failed(cx, id, fault, up);
        };
        let (cseq, hop) = (current.cseq, current.hop.clone());
        let mut link = Link::new(dialog, self.owner, hop);
        link.send(cx, &self.style, Wanted::Ack { cseq, invite: id });
        let given_up = std::mem::take(&mut outgoing.given_up);
        self.timers.clear();
        self.phase = Phase::Confirmed(Box::new(Confirmed::new(link).after(given_up_hops(given_up))));
        up.push(SessionEvent::Answered { early: tag, description: description(message) });
    }

    /// 200 that crossed our CANCEL, or came after we went on to the next target: the called party
    /// is off hook and must be told (SIP-220).
    fn end_cancelled_answer(&mut self, cx: &mut Cx<'_>, id: TransactionId, message: &Message) {
        let Phase::Outgoing(outgoing) = &mut self.phase else { return };
        let Some(given_up) = outgoing.given_up.get(&id).cloned() else { return };
        let from = given_up.from.clone();
        if let Ok(dialog) = Dialog::from_response(from, given_up.cseq, message) {
            let link = Link::new(dialog, self.owner, given_up.hop.clone());
            self.discard(cx, link, given_up.cseq, id, Reason::sip(487, None));
        }
        self.end_if_cancelled(cx);
    }

    fn end_late_answer(&mut self, cx: &mut Cx<'_>, id: TransactionId, message: &Message) {
        let Some((from, hop)) = self.local_party() else { return };
        let cseq = message.get::<CSeq>().ok().flatten().map_or(1, |cseq| cseq.number);
        if let Ok(dialog) = Dialog::from_response(from, cseq, message) {
            let link = Link::new(dialog, self.owner, hop);
            self.discard(cx, link, cseq, id, Reason::sip(200, None));
        }
    }

    /// A cancelled leg is over when every INVITE of it has its end.
    fn end_if_cancelled(&mut self, cx: &mut Cx<'_>) {
        let Phase::Outgoing(outgoing) = &self.phase else { return };
        if outgoing.cancelled && outgoing.given_up.is_empty() {
            self.finish(cx);
        }
    }

    fn give_up(&mut self, cx: &mut Cx<'_>, up: &mut Vec<SessionEvent>) {
        let Phase::Outgoing(outgoing) = &mut self.phase else { return };
        self.timers.clear();
        let rejection = outgoing.best.take().unwrap_or_else(|| {
            Rejection::local(TargetFault::Resolve(ResolveFault::NotFound))
        });
        outgoing.cancelled = true;
        up.push(SessionEvent::Rejected(rejection));
        self.end_if_cancelled(cx);
    }
}
