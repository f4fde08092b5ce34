//! A confirmed dialog: the peer's requests within it, our answer until its ACK, and its end.

use super::Said;
use super::link::{Parting, Wanted, patience};
use super::offering::{Offering, TIMER_EXPIRED};
use super::timer::Lines;
use super::within::is_of;
use super::{Ending, Link, Phase, Session, SessionEvent, Timer, reasons_of};
use crate::id::TransactionId;
use crate::mint::MAGIC_COOKIE;
use crate::plane::Cx;
use crate::policy::emergency::Parts;
use crate::session::LegStyle;
use crate::sip::header::{CSeq, From, Header, RAck, Reason};
use crate::sip::{HeaderName, Message, Method, ResponseBuilder, Status};
use crate::tally::{Direction, Missed, Repeated};
use crate::time::Timestamp;
use crate::transport::Flow;
use bytes::Bytes;
use std::time::Duration;

/// The confirmed dialog of a session.
#[derive(Debug)]
pub(crate) struct Confirmed {
    pub(super) link: Link,
    /// Our 2xx that waits for its ACK (RFC 3261 §13.3.1.4).
    ok: Option<RepeatedOk>,
    interval: Duration,
    /// The peer's re-INVITE or UPDATE that waits for our answer.
    offer: Option<Box<PeerOffer>>,
    /// A BYE that is held: a called party may send one only after the ACK (RFC 3261 §15).
    held_bye: Option<Box<Parting>>,
    /// What becomes of offers of ours.
    pub(super) ours: Offering,
    /// A reliable provisional of ours without PRACK, which the answer has overtaken.
    pub(super) unconfirmed: Option<Box<RAck>>,
}

/// A 2xx of ours, repeated until it is acknowledged.
#[derive(Debug)]
pub(super) struct RepeatedOk {
    pub(super) invite: TransactionId,
    pub(super) cseq: u32,
    pub(super) bytes: Bytes,
    /// It offers, because the INVITE did not: its ACK brings the answer.
    pub(super) offers: bool,
    /// When it is given up: 64·T1 after it was made.
    pub(super) until: Timestamp,
    /// The one before, whose ACK the peer's next INVITE has overtaken (RFC 5407 §3.1.4): its ACK may have been lost, so
    /// it is repeated, too. There is none before that one.
    pub(super) before: Option<Box<RepeatedOk>>,
}

/// A request of the peer with an offer, or that asks for one.
#[derive(Debug)]
pub(crate) struct PeerOffer {
    id: TransactionId,
    flow: Flow,
    request: Message,
    /// What the other party says beside: lines of a refusal, parts of any answer.
    lines: Lines,
    parts: Parts,
}

impl Confirmed {
    pub(super) fn new(link: Link, offering: Offering) -> Self {
        Self {
            link,
            ok: None,
            interval: Duration::ZERO,
            offer: None,
            held_bye: None,
            ours: offering,
            unconfirmed: None,
        }
    }

    /// Whether an exchange that the peer began, or the ACK for our 2xx, is awaited.
    pub(super) fn is_busy(&self) -> bool {
        self.offer.is_some() || self.ok.is_some() || self.link.holds_ack()
    }

    /// Whether an offer of ours has no answer yet: that of a request, or that of a 2xx, which its ACK answers. An ACK that
    /// answers nothing keeps nobody from the next offer (RFC 5407 §3.1.4 and §3.1.5).
    fn has_offered(&self) -> bool {
        self.ours.is_open() || self.ok.as_ref().is_some_and(|ok| ok.offers)
    }

    /// Keeps a PRACK that offers until it is answered. Says whether there is room for it.
    pub(super) fn takes(&mut self, id: TransactionId, flow: &Flow, prack: &Message) -> bool {
        let has_room = self.offer.is_none() && !self.has_offered();
        if has_room {
            self.offer = Some(Box::new(PeerOffer::new(id, flow, prack)));
        }
        has_room
    }

    /// Whether a request belongs to this dialog: Call-ID and peer's tag agree.
    pub(super) fn is_with(&self, message: &Message) -> bool {
        self.link.is_with(message)
    }

    /// The peer cancels its re-INVITE; says whether it was still unanswered.
    pub(super) fn cancel_offer(&mut self, cx: &mut Cx<'_>, style: &LegStyle) -> bool {
        let is_invite = |offer: &mut Box<PeerOffer>| *offer.request.method() == Method::Invite;
        let offer = self.offer.take_if(is_invite);
        if let Some(offer) = &offer {
            offer.refuse(cx, style, Status::REQUEST_TERMINATED);
        }
        offer.is_some()
    }

    /// Sends BYE, or remembers to when the ACK is there.
    pub(super) fn hang_up(&mut self, cx: &mut Cx<'_>, style: &LegStyle, said: Parting) {
        if let Some(offer) = self.offer.take() {
            // The request must not stay unanswered (RFC 3261 §15.1.2).
            offer.refuse(cx, style, Status::REQUEST_TERMINATED);
        }
        self.drop_offer(cx);
        self.link.release_ack(cx, style, None);
        if self.ok.is_some() {
            self.held_bye = Some(Box::new(said));
        } else {
            self.link.send(cx, style, Wanted::Bye(said));
        }
    }
}

impl PeerOffer {
    pub(super) fn new(id: TransactionId, flow: &Flow, request: &Message) -> Self {
        Self {
            id,
            flow: flow.clone(),
            request: request.clone(),
            lines: Lines::new(),
            parts: Parts::default(),
        }
    }

    pub(super) fn refuse(&self, cx: &mut Cx<'_>, style: &LegStyle, status: Status) {
        let mut response = ResponseBuilder::to(&self.request, status, None);
        if let (Status::NOT_ACCEPTABLE_HERE, Some(agent)) = (status, style.name_on(&self.flow)) {
            let warning = format!("305 {agent} \"Incompatible media format\"");
            response = response.raw_if_valid(HeaderName::Warning, warning);
        }
        let response = style.sign_response(response.lines_if_valid(&self.lines));
        let bytes = self.with_body(cx, response, None).build();
        cx.plane
            .transactions
            .respond(cx.now.mono, self.id, status, bytes, cx.out);
    }

    /// A response with our description, if there is one, and what goes along.
    fn with_body(
        &self,
        cx: &mut Cx<'_>,
        response: ResponseBuilder,
        description: Option<Bytes>,
    ) -> ResponseBuilder {
        let boundary = match self.parts.is_empty() {
            true => String::new(),
            false => cx.plane.mint.branch(),
        };
        let boundary = boundary.trim_start_matches(MAGIC_COOKIE);
        match self.parts.with(description, boundary) {
            Some(body) => response
                .lines_if_valid(&body.lines)
                .body(&body.kind, body.octets),
            None => response,
        }
    }
}

impl PeerOffer {
    /// 200 to an UPDATE or PRACK.
    fn accept(&self, cx: &mut Cx<'_>, style: &LegStyle, description: Bytes) {
        let mut response = ResponseBuilder::to(&self.request, Status::OK, None);
        if *self.request.method() == Method::Update {
            if let Some(listener) = style.listener_of(&self.flow) {
                response = response.header(&style.contact(listener));
            }
            response = response.raw_if_valid(HeaderName::Allow, style.allow());
        }
        let response = style.sign_response(response);
        let bytes = self.with_body(cx, response, Some(description)).build();
        cx.plane
            .transactions
            .respond(cx.now.mono, self.id, Status::OK, bytes, cx.out);
    }

    /// Whether it is a PRACK, which must not be refused (RFC 3262 §3).
    pub(super) fn is_prack(&self) -> bool {
        *self.request.method() == Method::Prack
    }
}

impl Link {
    /// Whether a request belongs to this dialog.
    pub(super) fn is_with(&self, message: &Message) -> bool {
        is_of(&self.dialog, message)
    }
}

/// The sequence number of a message.
fn cseq_of(message: &Message) -> Option<u32> {
    Some(message.essential::<CSeq>().ok().flatten()?.number)
}

/// The From tag of a message, empty for a peer without tags.
pub(super) fn from_tag(message: &Message) -> Option<Bytes> {
    let from = message.essential::<From>().ok().flatten()?;
    Some(from.tag().cloned().unwrap_or_default())
}

impl Session {
    /// Whether a 2xx of ours has no ACK yet.
    pub(crate) fn awaits_ack(&self) -> bool {
        matches!(&self.phase, Phase::Confirmed(confirmed) if confirmed.ok.is_some())
    }

    /// Repeats our 2xx until the ACK comes: T1, doubling up to T2, for 64·T1 (SIP-211).
    pub(super) fn await_ack(&mut self, cx: &mut Cx<'_>, mut ok: RepeatedOk) {
        let Phase::Confirmed(confirmed) = &mut self.phase else {
            return;
        };
        let mut until = ok.until;
        if let Some(mut before) = confirmed.ok.take() {
            // Two at most: whoever has gone on twice from an answer has it.
            if let Some(first) = before.before.take() {
                cx.plane.transactions.acknowledged(first.invite);
            }
            until = before.until;
            ok.before = Some(Box::new(before));
        }
        confirmed.ok = Some(ok);
        confirmed.interval = self.style.trunk.timers.t1;
        self.timers
            .set(Timer::RepeatOk as usize, cx.now.mono + confirmed.interval);
        self.timers.set(Timer::AwaitAck as usize, until);
    }

    fn stop_awaiting_ack(&mut self) {
        self.timers.stop(Timer::RepeatOk as usize);
        self.timers.stop(Timer::AwaitAck as usize);
    }

    pub(super) fn repeat_ok(&mut self, cx: &mut Cx<'_>) {
        let (Phase::Confirmed(confirmed) | Phase::Closing(confirmed)) = &mut self.phase else {
            return;
        };
        let Some(ok) = &confirmed.ok else { return };
        let now = cx.now.mono;
        for ok in ok.before.as_deref().into_iter().chain([ok]) {
            let bytes = ok.bytes.clone();
            cx.plane
                .transactions
                .respond(now, ok.invite, Status::OK, bytes, cx.out);
            let tally = cx.plane.tally.of(&self.style.trunk.name);
            tally.repeated(Direction::Out, Repeated::Response);
        }
        confirmed.interval = (confirmed.interval * 2).min(self.style.trunk.timers.t2);
        self.timers
            .set(Timer::RepeatOk as usize, now + confirmed.interval);
    }

    /// The ACK never came: the call is over, with BYE (SIP-211).
    pub(super) fn no_ack(&mut self, cx: &mut Cx<'_>, up: &mut Vec<SessionEvent>) {
        let tally = cx.plane.tally.of(&self.style.trunk.name);
        tally.missed(Missed::Ack);
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Confirmed(mut confirmed) => {
                confirmed.ok = None;
                self.stop_awaiting_ack();
                let reason = Reason::q850(TIMER_EXPIRED, None).to_bytes();
                let said = Parting {
                    lines: vec![(HeaderName::Reason, reason)],
                    ..Parting::default()
                };
                confirmed.hang_up(cx, &self.style, said);
                self.phase = Phase::Closing(confirmed);
                up.push(SessionEvent::Ended(Ending::NoAck));
            }
            Phase::Closing(mut closing) => {
                closing.ok = None;
                self.stop_awaiting_ack();
                if let Some(said) = closing.held_bye.take() {
                    closing.hang_up(cx, &self.style, *said);
                }
                self.phase = Phase::Closing(closing);
            }
            other => self.phase = other,
        }
    }

    /// An ACK of the peer for a 2xx of ours.
    pub(crate) fn acknowledged(
        &mut self,
        cx: &mut Cx<'_>,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let (Phase::Confirmed(confirmed) | Phase::Closing(confirmed)) = &mut self.phase else {
            return;
        };
        let number = cseq_of(message);
        if !confirmed.is_with(message) {
            return;
        }
        if let Some(ok) = &mut confirmed.ok
            && let Some(before) = ok.before.take_if(|own| Some(own.cseq) == number)
        {
            // Nobody waits for it any more: the later one is what counts.
            cx.plane.transactions.acknowledged(before.invite);
            return self.timers.set(Timer::AwaitAck as usize, ok.until);
        }
        let is_of = |ok: &mut RepeatedOk| Some(ok.cseq) == number;
        let Some(ok) = confirmed.ok.take_if(is_of) else {
            return;
        };
        cx.plane.transactions.acknowledged(ok.invite);
        if let Some(before) = &ok.before {
            cx.plane.transactions.acknowledged(before.invite);
        }
        let offers = ok.offers;
        if let Some(said) = confirmed.held_bye.take() {
            confirmed.hang_up(cx, &self.style, *said);
            self.stop_awaiting_ack();
        } else {
            confirmed.ours.settled();
            self.stop_awaiting_ack();
            up.push(SessionEvent::Acknowledged {
                description: super::description(message),
                is_answer: offers,
            });
        }
    }

    /// A request within the confirmed dialog.
    pub(super) fn confirmed_request(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let is_closing = matches!(self.phase, Phase::Closing(_));
        let (Phase::Confirmed(confirmed) | Phase::Closing(confirmed)) = &mut self.phase else {
            return;
        };
        if confirmed.link.dialog.admit_request(message).is_err() {
            return self.reply(cx, id, message, Status::SERVER_INTERNAL_ERROR, |r| r);
        }
        confirmed.link.heard_from(&self.style, flow);
        match message.method() {
            Method::Bye if self.refuses_bye && !is_closing => {
                self.reply(cx, id, message, Status::FORBIDDEN, |response| response);
            }
            Method::Bye => self.peer_bye(cx, id, message, up),
            Method::Prack if confirmed.unconfirmed.is_some() => {
                self.late_prack(cx, id, flow, message, up);
            }
            Method::Notify => self.peer_notify(cx, id, flow, message, up),
            _ if is_closing => {
                let status = Status::CALL_DOES_NOT_EXIST;
                self.reply(cx, id, message, status, |response| response);
            }
            Method::Invite | Method::Update if self.is_too_short(message) => {
                self.reply_too_short(cx, id, message);
            }
            Method::Invite => match self.style.capabilities_inviting(message).check(message) {
                Ok(()) => self.peer_offer(cx, id, flow, message, up),
                Err(rejection) => self.reject(cx, id, message, &rejection),
            },
            Method::Update => match self.style.capabilities_inviting(message).check(message) {
                Ok(()) => self.peer_update(cx, id, flow, message, up),
                Err(rejection) => self.reject(cx, id, message, &rejection),
            },
            Method::Info | Method::Message if self.style.trunk.allow.contains(message.method()) => {
                self.peer_words(cx, id, flow, message, up);
            }
            Method::Refer => self.peer_refer(cx, id, flow, message, up),
            Method::Subscribe => self.peer_subscribe(cx, id, flow, message),
            _ => self.serve(cx, id, flow, message),
        }
    }

    fn peer_bye(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        self.reply(cx, id, message, Status::OK, |response| response);
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Confirmed(mut confirmed) => {
                if let Some(offer) = &confirmed.offer {
                    offer.refuse(cx, &self.style, Status::REQUEST_TERMINATED);
                }
                confirmed.drop_offer(cx);
                self.phase = Phase::Confirmed(confirmed);
                self.finish(cx);
                up.push(SessionEvent::Ended(Ending::Bye {
                    reasons: reasons_of(message),
                    said: Said::new(message),
                }));
            }
            Phase::Closing(mut closing) => {
                closing.link.needs_no_bye();
                // Crossing BYEs: ours still gets its answer, unless it was never sent. What is still to be told of a
                // transfer outlives the call.
                let is_done = closing.link.has_said_all();
                self.phase = Phase::Closing(closing);
                if is_done {
                    self.finish(cx);
                }
            }
            other => self.phase = other,
        }
    }

    fn peer_offer(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Confirmed(confirmed) = &mut self.phase else {
            return;
        };
        if confirmed.offer.is_some() {
            // A second INVITE before the first is answered (RFC 3261 §14.2).
            return self.reply_retry_after(cx, id, message);
        }
        if confirmed.has_offered() {
            // Ours has no answer yet (SIP-541).
            return self.reply(cx, id, message, Status::REQUEST_PENDING, |r| r);
        }
        confirmed.link.dialog.refresh_target(message);
        confirmed.offer = Some(Box::new(PeerOffer::new(id, flow, message)));
        up.push(SessionEvent::Offer(super::description(message)));
    }

    /// UPDATE: a new target always, an offer if it has a description (RFC 3311 §5.2, SIP-530).
    fn peer_update(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Confirmed(confirmed) = &mut self.phase else {
            return;
        };
        let description = super::description(message);
        if description.is_some() {
            if confirmed.offer.is_some() {
                return self.reply_retry_after(cx, id, message);
            }
            if confirmed.has_offered() {
                return self.reply(cx, id, message, Status::REQUEST_PENDING, |r| r);
            }
        }
        confirmed.link.dialog.refresh_target(message);
        match description {
            None => {
                let lines = self.timer.answers(message);
                self.answer_update(cx, id, flow, message, lines);
                let is_renamed = self.peer_renamed(message);
                self.news.hears(message, is_renamed);
                self.restart_session_timer(cx);
            }
            Some(offer) => {
                confirmed.offer = Some(Box::new(PeerOffer::new(id, flow, message)));
                up.push(SessionEvent::Offer(Some(offer)));
            }
        }
    }

    /// The request with the peer's offer that has no answer yet.
    pub(crate) fn peer_offer_request(&self) -> Option<&Message> {
        match &self.phase {
            Phase::Confirmed(confirmed) => confirmed.offer.as_deref().map(|own| &own.request),
            Phase::Incoming(_) | Phase::Outgoing(_) | Phase::Closing(_) | Phase::Over => None,
        }
    }

    /// What the other party says to the peer's offer, which goes with our answer.
    pub(crate) fn attach_to_answer(&mut self, lines: Lines, parts: Parts) {
        if let Phase::Confirmed(confirmed) = &mut self.phase
            && let Some(offer) = &mut confirmed.offer
        {
            (offer.lines, offer.parts) = (lines, parts);
        }
    }

    /// The refusal of the peer's offer says when it may be made again.
    pub(crate) fn may_offer_after(&mut self, after: Duration) {
        if let Phase::Confirmed(confirmed) = &mut self.phase
            && let Some(offer) = &mut confirmed.offer
        {
            let seconds = after.as_secs().to_string();
            offer.lines.push((HeaderName::RetryAfter, seconds.into()));
        }
    }

    /// Answers the peer's re-INVITE, UPDATE or PRACK with this description.
    pub(crate) fn answer_offer(&mut self, cx: &mut Cx<'_>, description: Bytes) {
        if let Some(asked) = self.take_early_offer() {
            self.early_moved(&asked.request);
            asked.accept(cx, &self.style, description);
            return self.go_on(cx);
        }
        let Phase::Confirmed(confirmed) = &mut self.phase else {
            return;
        };
        let Some(offer) = confirmed.offer.take() else {
            return;
        };
        if offer.is_prack() {
            return offer.accept(cx, &self.style, description);
        }
        // Its own number: other requests may have come since.
        let cseq = cseq_of(&offer.request).unwrap_or_default();
        let mut response = ResponseBuilder::to(&offer.request, Status::OK, None);
        if let Some(listener) = self.style.listener_of(&offer.flow) {
            response = response.header(&self.style.contact(listener));
        }
        response = response.raw_if_valid(HeaderName::Allow, self.style.allow());
        for (name, value) in self.timer.answers(&offer.request) {
            response = response.raw_if_valid(name, value);
        }
        let response = self.style.sign_response(response);
        let bytes = offer.with_body(cx, response, Some(description)).build();
        let (now, invite) = (cx.now.mono, offer.id);
        cx.plane
            .transactions
            .respond(now, invite, Status::OK, bytes.clone(), cx.out);
        let is_renamed = self.peer_renamed(&offer.request);
        self.news.hears(&offer.request, is_renamed);
        if *offer.request.method() == Method::Invite {
            let offers = super::description(&offer.request).is_none();
            let until = now + patience(&self.style);
            self.await_ack(
                cx,
                RepeatedOk {
                    invite,
                    cseq,
                    bytes,
                    offers,
                    until,
                    before: None,
                },
            );
        }
        self.restart_session_timer(cx);
    }

    /// Refuses the peer's re-INVITE, UPDATE or PRACK; the session stays as it was (SIP-502).
    pub(crate) fn refuse_offer(&mut self, cx: &mut Cx<'_>, status: Status) {
        if let Some(asked) = self.take_early_offer() {
            asked.refuse(cx, &self.style, status);
            return self.go_on(cx);
        }
        let Phase::Confirmed(confirmed) = &mut self.phase else {
            return;
        };
        if let Some(offer) = confirmed.offer.take() {
            offer.refuse(cx, &self.style, status);
        }
    }
}
