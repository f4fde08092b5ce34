//! Reliable provisional responses towards a caller: RFC 3262 §3.
//!
//! One at a time waits for its PRACK and is repeated until then; what comes meanwhile stands in a
//! queue. An answer of the call waits too, if the response that is not acknowledged has a
//! description: the caller must not see two exchanges at once.

use super::{requires, supports};
use crate::config::Rel100;
use crate::dialog::Takes;
use crate::id::TransactionId;
use crate::plane::Cx;
use crate::policy::emergency::Parts;
use crate::session::fork::Source;
use crate::session::link::patience;
use crate::session::uas::{Incoming, with_body};
use crate::session::{Ending, LegStyle, Phase, Refusal, Session, SessionEvent, Timer, description};
use crate::sip::header::{CSeq, Header, OptionTag, RAck, RSeq};
use crate::sip::{HeaderName, Message, Method, Status};
use crate::tally::{Direction, Missed, Repeated};
use crate::transport::Flow;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// First numbers are below 2^31 (RFC 3262 §3), so no call ever counts beyond the largest.
const LARGEST_FIRST: u64 = (1 << 31) - 1;

/// Most provisionals that wait for the PRACK of an earlier one. More than a phone that rings and
/// then plays something can rightfully cause; of others the latest count.
const MOST_WAITING: usize = 8;

/// What a caller's INVITE says about reliable provisionals, noted before anything changes it
/// (SIP-524).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Support {
    None,
    Supported,
    Required,
}

impl Support {
    pub(crate) fn of(invite: &Message) -> Self {
        match (requires(invite), supports(invite)) {
            (true, _) => Self::Required,
            // What it could not confirm is not to be confirmed.
            (false, true) if Takes::of(invite).takes(&Method::Prack) => Self::Supported,
            (false, _) => Self::None,
        }
    }
}

/// A provisional response for the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Provisional {
    /// The early dialog of the called side that the caller sees as one of its own.
    pub(crate) of: Option<Source>,
    pub(crate) status: Status,
    /// Our answer to the caller's offer, or our offer.
    pub(crate) description: Option<Bytes>,
    /// Whether it should be reliable if the caller can do that.
    pub(crate) prefers_reliable: bool,
}

impl Provisional {
    /// Without description, and as reliable as it must be.
    pub(crate) fn bare(status: Status) -> Self {
        Self {
            of: None,
            status,
            description: None,
            prefers_reliable: false,
        }
    }
}

/// Provisional responses to one INVITE.
#[derive(Debug)]
pub(crate) struct Sending {
    support: Support,
    /// Number of the last reliable one; 0 if there was none.
    last: u32,
    open: Option<Open>,
    waiting: VecDeque<(Provisional, bool, Parts)>,
    /// A reliable one with a description was sent: the first exchange is made there.
    is_described: bool,
    /// The description of our answer to the INVITE, which waits for a PRACK.
    pub(in crate::session) held: Option<Bytes>,
}

/// A response without PRACK.
#[derive(Debug)]
struct Open {
    rseq: u32,
    status: Status,
    bytes: Bytes,
    interval: Duration,
    is_described: bool,
}

impl Sending {
    pub(in crate::session) fn new(invite: &Message) -> Self {
        Self {
            support: Support::of(invite),
            last: 0,
            open: None,
            waiting: VecDeque::new(),
            is_described: false,
            held: None,
        }
    }

    /// Whether the first exchange is made in a reliable provisional.
    pub(in crate::session) fn is_described(&self) -> bool {
        self.is_described
    }

    /// Whether the first exchange is made and the caller has confirmed it: from then on either side
    /// may offer again.
    pub(in crate::session) fn is_settled(&self) -> bool {
        self.is_described && !self.owes_prack()
    }

    /// Whether a description waits for its PRACK, so that nothing final but a refusal may be said
    /// (SIP-522).
    pub(in crate::session) fn owes_prack(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.is_described)
    }

    /// What a PRACK that comes after the 2xx may still confirm.
    pub(in crate::session) fn unconfirmed(&self, cseq: u32) -> Option<RAck> {
        let rseq = self.open.as_ref()?.rseq;
        Some(rack(rseq, cseq))
    }

    fn is_reliable(&self, style: &LegStyle, told: &Provisional) -> bool {
        let progress = &style.trunk.progress;
        match (progress.rel100, self.support) {
            _ if told.of.is_some() => false,
            (Rel100::Never, _) | (_, Support::None) => false,
            (_, Support::Required) | (Rel100::Required, _) => true,
            (Rel100::Auto, Support::Supported) => {
                let has_description = told.description.is_some();
                told.prefers_reliable || (has_description && progress.reliable_sdp)
            }
        }
    }
}

fn rack(rseq: u32, cseq: u32) -> RAck {
    let method = Method::Invite;
    let cseq = CSeq {
        number: cseq,
        method,
    };
    RAck { rseq, cseq }
}

impl Incoming {
    /// Takes a provisional to be sent as soon as no other waits for its PRACK.
    pub(in crate::session) fn tell(
        &mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        tag: &crate::sip::Token,
        (mut told, attached): (Provisional, Parts),
    ) {
        if self.sending.held.is_some() {
            return;
        }
        if self.sending.is_described {
            told.description = None;
        }
        let is_reliable = self.sending.is_reliable(style, &told);
        if self.sending.open.is_none() {
            self.send(cx, style, tag, (told, attached), is_reliable);
        } else {
            let waiting = &mut self.sending.waiting;
            let last = waiting.back();
            if attached != Parts::default() || last.is_none_or(|(known, ..)| *known != told) {
                waiting.push_back((told, is_reliable, attached));
            }
            if waiting.len() > MOST_WAITING {
                // One with a description is kept: nothing else says it.
                let bare = waiting.iter().position(|(w, ..)| w.description.is_none());
                waiting.remove(bare.unwrap_or_default());
            }
        }
    }

    fn send(
        &mut self,
        cx: &mut Cx<'_>,
        style: &LegStyle,
        tag: &crate::sip::Token,
        (told, attached): (Provisional, Parts),
        is_reliable: bool,
    ) {
        let mut response = self.begin(style, tag, told.status);
        if is_reliable {
            self.sending.last = match self.sending.last {
                // Between 1 and 2^31−1.
                0 => u32::try_from(cx.plane.mint.between(1, LARGEST_FIRST)).unwrap_or(1),
                last => last + 1,
            };
            response = response
                .raw_if_valid(HeaderName::Require, OptionTag::REL100)
                .header(&RSeq(self.sending.last));
        }
        let is_described = told.description.is_some();
        let bytes = with_body(cx, response, told.description, &attached);
        self.respond(cx, told.status, bytes.clone());
        if is_reliable {
            self.sending.is_described |= is_described;
            self.sending.open = Some(Open {
                rseq: self.sending.last,
                status: told.status,
                bytes,
                interval: style.trunk.timers.t1,
                is_described,
            });
        }
    }
}

impl Session {
    /// Whether the caller can do without reliable provisionals.
    pub(in crate::session) fn takes_unreliable(&self) -> bool {
        let is_required = self.style.trunk.progress.rel100 == Rel100::Required;
        matches!(&self.phase, Phase::Incoming(incoming)
            if incoming.sending.support != Support::Required && !is_required)
    }

    /// Whether the caller confirms provisionals.
    pub(crate) fn has_support(&self) -> bool {
        match &self.phase {
            Phase::Incoming(incoming) => incoming.sending.support != Support::None,
            Phase::Outgoing(_) | Phase::Confirmed(_) | Phase::Closing(_) | Phase::Over => false,
        }
    }

    /// Whether the description in this provisional is the last word of the first exchange, because it
    /// will be told reliably.
    pub(crate) fn settles(&self, told: &Provisional) -> bool {
        let Phase::Incoming(incoming) = &self.phase else {
            return false;
        };
        let is_new = told.description.is_some() && !incoming.sending.is_described;
        is_new && incoming.sending.is_reliable(&self.style, told)
    }

    /// Whether an offer of ours can be made to the caller before the answer: its INVITE has none, and
    /// it confirms provisionals.
    pub(crate) fn takes_early_offer(&self) -> bool {
        let Phase::Incoming(incoming) = &self.phase else {
            return false;
        };
        let told = Provisional {
            of: None,
            status: Status::SESSION_PROGRESS,
            description: Some(Bytes::new()),
            prefers_reliable: true,
        };
        incoming.offers() && incoming.sending.is_reliable(&self.style, &told)
    }

    /// Starts the clocks of the response that waits for its PRACK, if there is one.
    pub(in crate::session) fn await_prack(&mut self, cx: &Cx<'_>) {
        self.stop_awaiting_prack();
        let Phase::Incoming(incoming) = &self.phase else {
            return;
        };
        if let Some(open) = &incoming.sending.open {
            let now = cx.now.mono;
            self.timers
                .set(Timer::RepeatProvisional as usize, now + open.interval);
            self.timers
                .set(Timer::AwaitPrack as usize, now + patience(&self.style));
        }
    }

    fn stop_awaiting_prack(&mut self) {
        self.timers.stop(Timer::RepeatProvisional as usize);
        self.timers.stop(Timer::AwaitPrack as usize);
    }

    /// The response again: T1, doubling without limit (RFC 3262 §3).
    pub(in crate::session) fn repeat_provisional(&mut self, cx: &mut Cx<'_>) {
        let Phase::Incoming(incoming) = &mut self.phase else {
            return;
        };
        let Some(open) = &mut incoming.sending.open else {
            return;
        };
        open.interval *= 2;
        let next = cx.now.mono + open.interval;
        let (status, bytes) = (open.status, open.bytes.clone());
        incoming.respond(cx, status, bytes);
        let tally = cx.plane.tally.of(&self.style.trunk.name);
        tally.repeated(Direction::Out, Repeated::Response);
        self.timers.set(Timer::RepeatProvisional as usize, next);
    }

    /// The PRACK never came: the INVITE is refused (SIP-520).
    pub(in crate::session) fn no_prack(&mut self, cx: &mut Cx<'_>, up: &mut Vec<SessionEvent>) {
        let Phase::Incoming(_) = &self.phase else {
            return;
        };
        let tally = cx.plane.tally.of(&self.style.trunk.name);
        tally.missed(Missed::Prack);
        let refusal = Refusal {
            status: Status::SERVER_TIMEOUT,
            ..Refusal::default()
        };
        self.refuse(cx, &refusal);
        up.push(SessionEvent::Ended(Ending::NoPrack));
    }

    /// PRACK before the answer.
    pub(in crate::session) fn pracked(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Some(given) = self.rack_of(cx, id, message) else {
            return;
        };
        let Phase::Incoming(incoming) = &mut self.phase else {
            return;
        };
        let invite = incoming.cseq();
        let confirms = |open: &mut Open| rack(open.rseq, invite) == given;
        let Some(open) = incoming.sending.open.take_if(confirms) else {
            // One that we never sent, or that has had its PRACK (RFC 3262 §3).
            return self.reply(cx, id, message, Status::CALL_DOES_NOT_EXIST, |r| r);
        };
        let offer_is_ours = incoming.offers();
        let described = description(message);
        match (open.is_described && offer_is_ours, described) {
            // Our offer; its answer comes here or nowhere (SIP-511).
            (true, description) => {
                self.reply(cx, id, message, Status::OK, |response| response);
                up.push(SessionEvent::Acknowledged {
                    description,
                    is_answer: true,
                });
            }
            (false, None) => self.reply(cx, id, message, Status::OK, |response| response),
            (false, Some(offer)) if incoming.sending.is_described => {
                incoming.ask(id, flow, message);
                up.push(SessionEvent::Offer(Some(offer)));
            }
            // An offer while the one in the INVITE has no answer (RFC 3261 §13.2.1).
            (false, Some(_)) => {
                self.reply(cx, id, message, Status::NOT_ACCEPTABLE_HERE, |r| r);
            }
        }
        self.stop_awaiting_prack();
        self.go_on(cx);
    }

    /// UPDATE with an offer before the answer (RFC 3311 §5.2).
    pub(in crate::session) fn early_update(
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
        if incoming.is_asked() || !incoming.sending.is_settled() {
            // Its own offer is unanswered until our 2xx, or an earlier UPDATE is.
            return self.reply_retry_after(cx, id, message);
        }
        if let Err(rejection) = self.style.capabilities().check(message) {
            return self.reject(cx, id, message, &rejection);
        }
        incoming.moves(message);
        incoming.ask(id, flow, message);
        up.extend(description(message).map(|offer| SessionEvent::Offer(Some(offer))));
    }

    /// What waited for a PRACK, or for our answer to what came in it.
    pub(in crate::session) fn go_on(&mut self, cx: &mut Cx<'_>) {
        let Phase::Incoming(incoming) = &mut self.phase else {
            return;
        };
        if incoming.sending.open.is_some() || incoming.is_asked() {
            return;
        }
        if let Some(description) = incoming.sending.held.take() {
            self.answer(cx, description);
            return;
        }
        while let Some((mut told, is_reliable, attached)) = incoming.sending.waiting.pop_front() {
            if incoming.sending.is_described {
                told.description = None;
            }
            let told = (told, attached);
            incoming.send(cx, &self.style, &self.local_tag, told, is_reliable);
            if is_reliable {
                break;
            }
        }
        self.await_prack(cx);
    }

    /// PRACK after the answer: of a provisional without description, which did not hold it back.
    /// What it offers is answered from what is in force, as in any request (RFC 3262 §5).
    pub(in crate::session) fn late_prack(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Some(given) = self.rack_of(cx, id, message) else {
            return;
        };
        let is_closing = matches!(self.phase, Phase::Closing(_));
        let (Phase::Confirmed(confirmed) | Phase::Closing(confirmed)) = &mut self.phase else {
            return;
        };
        let is_expected = confirmed
            .unconfirmed
            .take_if(|own| **own == given)
            .is_some();
        let offer = description(message).filter(|_| is_expected && !is_closing);
        let status = match (is_expected, &offer) {
            (false, _) => Status::CALL_DOES_NOT_EXIST,
            (true, None) => Status::OK,
            (true, Some(_)) if confirmed.takes(id, flow, message) => {
                return up.push(SessionEvent::Offer(offer));
            }
            (true, Some(_)) => Status::NOT_ACCEPTABLE_HERE,
        };
        self.reply(cx, id, message, status, |response| response);
    }

    /// The RAck of a PRACK; one without is refused.
    fn rack_of(&self, cx: &mut Cx<'_>, id: TransactionId, message: &Message) -> Option<RAck> {
        if let Err(rejection) = self.style.capabilities().check(message) {
            self.reject(cx, id, message, &rejection);
            return None;
        }
        let given = message.get::<RAck>().ok().flatten();
        if given.is_none() {
            self.reply(cx, id, message, Status::BAD_REQUEST, |response| response);
        }
        given
    }
}

/// Value of a RAck header.
pub(in crate::session) fn rack_value(rseq: u32, cseq: u32) -> Bytes {
    rack(rseq, cseq).to_bytes()
}
