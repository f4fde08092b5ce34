//! The set-up of a leg that called us: provisionals and the final answer to its INVITE.

use super::confirmed::{Confirmed, PeerOffer, RepeatedOk};
use super::fork::{Seat, Source};
use super::link::patience;
use super::offering::Offering;
use super::reliable::{Provisional, Sending};
use super::{Link, Phase, Refusal, Session, SessionEvent, Timer, fork, reasons_of};
use crate::config::PROVISIONALS;
use crate::dialog::Dialog;
use crate::id::TransactionId;
use crate::plane::Cx;
use crate::policy::emergency::Parts;
use crate::session::LegStyle;
use crate::sip::header::{CSeq, From, Replaces, To};
use crate::sip::{HeaderName, Message, Method, ResponseBuilder, Status, Token};
use crate::time::Timestamp;
use crate::transport::{Flow, Hop, TlsHop};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Several phones may ring at once; the caller is not told of each (SIP-315).
const SAME_AGAIN: Duration = Duration::from_secs(1);

/// How long a caller is left without any provisional but 100.
pub(super) fn first_progress(style: &LegStyle) -> Duration {
    style.trunk.progress.within_of(style.trunk.preset)
}

/// An INVITE of the peer that has no final answer yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(super) id: TransactionId,
    pub(super) flow: Flow,
    pub(super) request: Message,
    last: Option<Provisional>,
    /// When it was sent.
    told: Timestamp,
    /// Headers of the called side's responses that policy lets through.
    passed: Vec<(HeaderName, Bytes)>,
    /// Parts of the body of the called side's last response that go with our next one, and no other.
    pub(super) attached: Parts,
    /// The caller's last UPDATE: where it wants to be found from now on (SIP-303).
    moved: Option<Message>,
    /// Provisional responses and their PRACKs.
    pub(super) sending: Sending,
    /// Highest sequence number seen from the caller.
    seen: u32,
    /// The caller's PRACK or UPDATE with an offer that waits for our answer.
    asked: Option<PeerOffer>,
}

impl Incoming {
    pub(super) fn new(id: TransactionId, flow: Flow, request: Message) -> Self {
        let seen = request.essential::<CSeq>().ok().flatten();
        let seen = seen.map_or(0, |cseq| cseq.number);
        Self {
            sending: Sending::new(&request),
            seen,
            asked: None,
            id,
            flow,
            request,
            last: None,
            told: Timestamp::ZERO,
            passed: Vec::new(),
            attached: Parts::default(),
            moved: None,
        }
    }

    /// Sequence number of the INVITE.
    pub(super) fn cseq(&self) -> u32 {
        let cseq = self.request.essential::<CSeq>().ok().flatten();
        cseq.map_or(0, |cseq| cseq.number)
    }

    /// Whether the offer is ours, because the INVITE has none.
    pub(super) fn offers(&self) -> bool {
        super::description(&self.request).is_none()
    }

    /// Keeps a request with an offer until it is answered.
    pub(super) fn ask(&mut self, id: TransactionId, flow: &Flow, request: &Message) {
        self.asked = Some(PeerOffer::new(id, flow, request));
    }

    /// The caller wants to be found elsewhere from now on.
    pub(super) fn moves(&mut self, request: &Message) {
        self.moved = Some(request.clone());
    }

    /// The offer that waits for our answer, to be answered.
    pub(super) fn take_asked(&mut self) -> Option<PeerOffer> {
        self.asked.take()
    }

    /// The offer that waits for our answer.
    pub(super) fn asked(&self) -> Option<&PeerOffer> {
        self.asked.as_ref()
    }

    /// Whether an offer of the caller waits for our answer.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether the caller has heard of anything in the session's own dialog.
    pub(super) fn has_told(&self) -> bool {
        self.last.is_some()
    }

    /// Checks and notes the sequence number of a request of the caller (RFC 3261 §12.2.2).
    pub(super) fn admits(&mut self, request: &Message) -> bool {
        let cseq = request.essential::<CSeq>().ok().flatten();
        let number = cseq.map_or(0, |cseq| cseq.number);
        let is_new = number > self.seen;
        self.seen = self.seen.max(number);
        is_new
    }

    /// The dialog that goes on is another one, in which the caller counts anew.
    pub(super) fn swap_seen(&mut self, seen: &mut u32) {
        std::mem::swap(&mut self.seen, seen);
    }

    /// Whether Replaces names this dialog by its Call-ID and the caller's tag.
    pub(super) fn is_named(&self, replaces: &Replaces) -> bool {
        let call_id = self.request.raw(HeaderName::CallId);
        call_id.is_some_and(|call_id| call_id == *replaces.call_id.as_bytes())
            && super::confirmed::from_tag(&self.request)
                .is_some_and(|tag| super::standing::names(&replaces.from_tag, &tag))
    }

    pub(super) fn begin(&self, style: &LegStyle, tag: &Token, status: Status) -> ResponseBuilder {
        self.begin_saying(style, tag, status, status.default_phrase())
    }

    fn begin_saying(
        &self,
        style: &LegStyle,
        tag: &Token,
        status: Status,
        phrase: &'static str,
    ) -> ResponseBuilder {
        let mut response = ResponseBuilder::to_saying(&self.request, status, phrase, Some(tag));
        if status.code() < 300 {
            // Responses that create a dialog mirror Record-Route (RFC 3261 §12.1.1).
            response = response.copy(&self.request, HeaderName::RecordRoute);
            if let Some(listener) = style.listener_of(&self.flow) {
                response = response.header(&style.contact(listener));
            }
            response = response.raw_if_valid(HeaderName::Allow, style.allow());
            for (name, value) in &self.passed {
                response = response.raw_if_valid(name, value);
            }
        }
        style.sign_response(response)
    }

    pub(super) fn respond(&self, cx: &mut Cx<'_>, status: Status, bytes: Bytes) {
        cx.plane
            .transactions
            .respond(cx.now.mono, self.id, status, bytes, cx.out);
    }

    pub(super) fn refuse(&self, cx: &mut Cx<'_>, style: &LegStyle, tag: &Token, refusal: &Refusal) {
        if let Some(asked) = &self.asked {
            asked.refuse(cx, style, Status::REQUEST_TERMINATED);
        }
        let phrase = refusal.phrase.unwrap_or(refusal.status.default_phrase());
        let mut response = self.begin_saying(style, tag, refusal.status, phrase);
        if let Some(reason) = &refusal.reason {
            response = response.raw_if_valid(HeaderName::Reason, reason);
        }
        if let Some(warning) = &refusal.warning {
            response = response.raw_if_valid(HeaderName::Warning, warning);
        }
        if let Some(seconds) = refusal.retry_after_s {
            response = response.raw_if_valid(HeaderName::RetryAfter, seconds.to_string());
        }
        if let Some(min_se) = &refusal.min_se {
            response = response.raw_if_valid(HeaderName::MinSe, min_se);
        }
        if let Some(body) = refusal.parts.with(None, &boundary(cx, &refusal.parts)) {
            response = response
                .lines_if_valid(&body.lines)
                .body(&body.kind, body.octets);
        }
        response = response.headers(&refusal.contacts);
        for (name, value) in &refusal.passed {
            response = response.raw_if_valid(name, value);
        }
        let cause = refusal.cause;
        let cause = cause.filter(|_| style.trunk.habits.tells_cause);
        if let (Some(cause), Ok(name)) = (cause, HeaderName::parse("X-SBC-Cause")) {
            response = response.raw_if_valid(name, cause.as_str());
        }
        self.respond(cx, refusal.status, response.build());
    }
}

/// A response with this description, if there is one, and these parts of another leg's.
pub(super) fn with_body(
    cx: &mut Cx<'_>,
    response: ResponseBuilder,
    description: Option<Bytes>,
    parts: &Parts,
) -> Bytes {
    match parts.with(description, &boundary(cx, parts)) {
        Some(body) => response
            .lines_if_valid(&body.lines)
            .body(&body.kind, body.octets)
            .build(),
        None => response.build(),
    }
}

/// What parts are told apart by: random, and no word of any body. Where there are none nothing is minted.
fn boundary(cx: &mut Cx<'_>, parts: &Parts) -> String {
    match parts.is_empty() {
        true => String::new(),
        false => cx.plane.mint.tag(),
    }
}

impl Session {
    /// What the called side's responses say that our next ones are to say too.
    pub(crate) fn carry(&mut self, lines: Vec<(HeaderName, Bytes)>) {
        if let Phase::Incoming(incoming) = &mut self.phase {
            incoming.passed = lines;
        }
    }

    /// What of the body of the called side's response goes with our next one.
    pub(crate) fn attach(&mut self, parts: Parts) {
        if let Phase::Incoming(incoming) = &mut self.phase {
            incoming.attached = parts;
        }
    }

    /// Tells the caller of progress; ignored after a final answer.
    pub(crate) fn progress(&mut self, cx: &mut Cx<'_>, told: Provisional) {
        let Phase::Incoming(incoming) = &mut self.phase else {
            return;
        };
        if incoming.sending.held.is_some() {
            // The answer waits, with what belongs to it.
            return;
        }
        // It belongs to this response, and to none that is told later, of whichever phone.
        let attached = std::mem::take(&mut incoming.attached);
        let says_more = !attached.is_empty();
        let seat = match &told.of {
            Some(of) => self.fork(cx, of),
            None => Seat::Shared,
        };
        if let Seat::Over = seat {
            return;
        }
        if let Seat::Fork(fork) = seat {
            let is_soon = cx.now.mono.since(fork.told) < SAME_AGAIN;
            if again(fork.last.as_ref(), &told) && is_soon && !says_more {
                return;
            }
            fork.last = Some(told.clone());
            fork.told = cx.now.mono;
            let tag = fork.tag().clone();
            if let Phase::Incoming(incoming) = &mut self.phase {
                incoming.tell(cx, &self.style, &tag, (told, attached));
            }
        } else {
            let Phase::Incoming(incoming) = &mut self.phase else {
                return;
            };
            let last = incoming.last.as_ref();
            let is_soon = cx.now.mono.since(incoming.told) < SAME_AGAIN;
            if again(last, &told) && is_soon && !says_more {
                return;
            }
            let said = (told.clone(), attached);
            incoming.tell(cx, &self.style, &self.local_tag, said);
            incoming.last = Some(told);
            incoming.told = cx.now.mono;
        }
        self.timers
            .set(Timer::Refresh as usize, cx.now.mono + PROVISIONALS);
        if !self.timers.is_set(Timer::AwaitPrack as usize) {
            self.await_prack(cx);
        }
    }

    /// The INVITE of a caller that waits for its answer.
    pub(crate) fn invite(&self) -> Option<&Message> {
        let Phase::Incoming(incoming) = &self.phase else {
            return None;
        };
        Some(&incoming.request)
    }

    /// Whether another INVITE is of the same caller, who goes on dialling (RFC 3578 §3.2).
    pub(crate) fn is_dialled_by(&self, invite: &Message) -> bool {
        let Some(own) = self.invite() else {
            return false;
        };
        let caller = |message: &Message| {
            let from = message.essential::<From>().ok().flatten()?;
            Some((message.raw(HeaderName::CallId)?, from.tag()?.clone()))
        };
        let number = |message: &Message| {
            let cseq = message.essential::<CSeq>().ok().flatten();
            cseq.map(|cseq| cseq.number)
        };
        caller(own).is_some() && caller(own) == caller(invite) && number(own) < number(invite)
    }

    /// Answers the caller with 200 and this description. Says whether that was possible: a caller
    /// whose INVITE lacks a usable Contact cannot have a dialog. The 200 waits for the PRACK of a
    /// reliable provisional with a description (SIP-522).
    pub(crate) fn answer(&mut self, cx: &mut Cx<'_>, description: Bytes) -> bool {
        let Phase::Incoming(incoming) = &mut self.phase else {
            return false;
        };
        let Ok(Some(to)) = incoming.request.essential::<To>() else {
            return false;
        };
        let local = to.clone().with_tag(self.local_tag.clone()).0;
        let Ok(mut dialog) = Dialog::from_request(local, &incoming.request) else {
            return false;
        };
        if let Some(moved) = &incoming.moved {
            dialog.refresh_target(moved);
        }
        if incoming.sending.owes_prack() || incoming.is_asked() {
            incoming.sending.held = Some(description);
            self.timers.stop(Timer::Refresh as usize);
            return true;
        }
        let cseq = incoming.cseq();
        dialog.remote_cseq = Some(incoming.seen);
        let is_described = incoming.sending.is_described();
        let mut response = incoming.begin(&self.style, &self.local_tag, Status::OK);
        let lines = self.timer.answers(&incoming.request);
        for (name, value) in self.style.with_supported(lines) {
            response = response.raw_if_valid(name, value);
        }
        // The exchange may have been made in a reliable provisional (RFC 6337 §2.1).
        let description = (!is_described).then_some(description);
        let attached = std::mem::take(&mut incoming.attached);
        let bytes = with_body(cx, response, description, &attached);
        incoming.respond(cx, Status::OK, bytes.clone());
        let fallback = hop_back(&self.style, &incoming.flow);
        let link = Link::new(dialog, self.owner, fallback);
        let ok = RepeatedOk {
            invite: incoming.id,
            cseq,
            bytes,
            offers: incoming.offers() && !is_described,
            until: cx.now.mono + patience(&self.style),
            before: None,
        };
        let unconfirmed = incoming.sending.unconfirmed(cseq);
        self.end_forks(cx);
        self.forks.clear();
        self.timers.clear();
        let mut confirmed = Confirmed::new(link, Offering::of_guest());
        confirmed.unconfirmed = unconfirmed.map(Box::new);
        self.phase = Phase::Confirmed(Box::new(confirmed));
        self.await_ack(cx, ok);
        self.restart_session_timer(cx);
        true
    }

    /// Refuses the caller; the session is over then.
    pub(crate) fn refuse(&mut self, cx: &mut Cx<'_>, refusal: &Refusal) {
        let Phase::Incoming(incoming) = &self.phase else {
            return;
        };
        incoming.refuse(cx, &self.style, &self.local_tag, refusal);
        self.finish(cx);
    }

    /// The caller's CANCEL found its INVITE unanswered.
    pub(crate) fn cancelled(
        &mut self,
        cx: &mut Cx<'_>,
        cancel: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        if let Phase::Confirmed(confirmed) = &mut self.phase {
            // A change that waits for the other leg is not wanted any more.
            if confirmed.cancel_offer(cx, &self.style) {
                let reasons = reasons_of(cancel);
                up.push(SessionEvent::Cancelled { reasons });
            }
            return;
        }
        let Phase::Incoming(_) = &self.phase else {
            return;
        };
        let refusal = Refusal {
            status: Status::REQUEST_TERMINATED,
            ..Refusal::default()
        };
        self.refuse(cx, &refusal);
        up.push(SessionEvent::Cancelled {
            reasons: reasons_of(cancel),
        });
    }

    /// A request on the early dialog of an INVITE that we have not answered.
    pub(super) fn early_request(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Incoming(incoming) = &mut self.phase else {
            return;
        };
        let names = |message: &Message| {
            let call_id = message.raw(HeaderName::CallId);
            (call_id, super::confirmed::from_tag(message))
        };
        let is_of_caller = names(message) == names(&incoming.request);
        match message.method() {
            _ if !is_of_caller => {
                let status = Status::CALL_DOES_NOT_EXIST;
                self.reply(cx, id, message, status, |response| response);
            }
            _ if !fork::admits(&mut self.forks, incoming, message) => {
                let status = Status::SERVER_INTERNAL_ERROR;
                self.reply(cx, id, message, status, |response| response);
            }
            // A caller may end an early dialog with BYE (RFC 3261 §15): the only one instead of CANCEL.
            Method::Bye => {
                self.reply(cx, id, message, Status::OK, |response| response);
                match self.ends_fork(cx, message) {
                    Some(Source { leg, tag: early }) => up.push(SessionEvent::Left {
                        leg,
                        early,
                        reasons: reasons_of(message),
                    }),
                    None => self.cancelled(cx, message, up),
                }
            }
            Method::Invite => self.reply_retry_after(cx, id, message),
            Method::Prack => self.pracked(cx, id, flow, message, up),
            Method::Update if !self.style.trunk.allow.contains(&Method::Update) => {
                self.serve(cx, id, flow, message);
            }
            Method::Update if super::description(message).is_some() => {
                self.early_update(cx, id, flow, message, up);
            }
            Method::Update => {
                incoming.moved = Some(message.clone());
                self.serve(cx, id, flow, message);
            }
            // Keys for a mailbox that has not answered yet (TDR-MED-024).
            Method::Info if self.style.trunk.allow.contains(&Method::Info) => {
                self.peer_words(cx, id, flow, message, up);
            }
            _ => self.serve(cx, id, flow, message),
        }
    }

    /// Repeats the last provisional so that proxies keep waiting.
    pub(super) fn refresh_progress(&mut self, cx: &mut Cx<'_>) {
        let Phase::Incoming(incoming) = &mut self.phase else {
            return;
        };
        // What came with a response that was not worth telling is no event of now.
        incoming.attached = Parts::default();
        let bare = || Provisional::bare(Status::SESSION_PROGRESS);
        let own = incoming.last.clone();
        let again = self.last_of_forks().or(own);
        self.progress(cx, again.unwrap_or_else(bare));
    }
}

/// Whether a provisional says nothing that the last one did not.
fn again(last: Option<&Provisional>, told: &Provisional) -> bool {
    last.is_some_and(|last| {
        last.status == told.status
            && last.prefers_reliable == told.prefers_reliable
            && (told.description.is_none() || last.description == told.description)
    })
}

/// The hop back to where a flow came from.
pub(crate) fn hop_back(style: &LegStyle, flow: &Flow) -> Hop {
    let tls = match (&flow.identity, style.trunk.tls.clone()) {
        (_, Some(context)) if flow.protocol == crate::transport::Protocol::Tls => {
            Some(Arc::new(TlsHop {
                context,
                server_name: style
                    .trunk
                    .targets
                    .first()
                    .map(|target| target.host.clone())
                    .unwrap_or_else(|| flow.remote.ip().to_string()),
                accept_names: style.trunk.accept_names.clone(),
                takes_alias: style.trunk.habits.connection_reuse,
            }))
        }
        _ => None,
    };
    Hop {
        listener: flow.listener.clone(),
        protocol: flow.protocol,
        remote: flow.remote,
        tls,
        flow: Some(flow.id),
    }
}
