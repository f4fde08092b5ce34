//! Sessions: the INVITE usage of one leg.
//!
//! A session hides from its call everything that only concerns the peer: which resolved target was
//! tried, provisional responses repeated, ACKs, retransmitted answers, CANCEL races, several early
//! dialogs, in-dialog sequence numbers. Upwards it emits a few semantic events; downwards it takes
//! a few verbs.
//!
//! ```text
//! Incoming ──answer──► Confirmed ──hang up──► Closing ──► Over
//! Outgoing ──2xx─────►     │                               ▲
//!     └─────── refused, cancelled ── peer's BYE ───────────┘
//! ```

mod ack;
mod confirmed;
mod link;
mod style;
mod uac;
mod uas;

pub(crate) use ack::AckStore;
pub(crate) use confirmed::Confirmed;
pub(crate) use link::Link;
pub use style::LegStyle;
pub(crate) use uac::Outgoing;
pub use uac::Outset;
pub(crate) use uas::Incoming;

use crate::event::TargetFault;
use crate::id::{CallId, LegId, QueryId, TransactionId};
use crate::plane::Cx;
use crate::query::Outcome;
use crate::sip::header::Reason;
use crate::sip::{HeaderName, Message, Method, ResponseBuilder, Status, Token};
use crate::time::Timestamp;
use crate::transaction::Owner;
use crate::transport::{Flow, FlowFault, Protocol};
use bytes::Bytes;
use link::Wanted;
use std::net::SocketAddr;

/// What a session tells its call.
#[derive(Clone, PartialEq, Debug)]
pub enum SessionEvent {
    /// A provisional response above 100 (UAC role).
    Progress {
        /// 101–199.
        status: Status,
        /// Peer's tag: names the early dialog.
        early: Bytes,
        /// SDP of the response.
        description: Option<Bytes>,
    },
    /// The peer answered our INVITE; its ACK is out.
    Answered {
        /// Peer's tag: names the dialog that won.
        early: Bytes,
        /// SDP of the 2xx.
        description: Option<Bytes>,
    },
    /// Our INVITE ended without an answer, on every target.
    Rejected(Rejection),
    /// The peer gave up on its INVITE, which now has its 487.
    Cancelled {
        /// Value of the Reason header of its CANCEL.
        reason: Option<Bytes>,
    },
    /// The peer acknowledged our answer.
    Acknowledged {
        /// SDP of the ACK.
        description: Option<Bytes>,
    },
    /// The peer offers a change; `None` asks us for an offer.
    Offer(Option<Bytes>),
    /// The session is over although we did not end it.
    Ended(Ending),
}

/// How a session ended that was confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The peer sent BYE.
    Bye {
        /// Value of its Reason header.
        reason: Option<Bytes>,
    },
    /// The peer never acknowledged our 2xx (SIP-211).
    NoAck,
}

/// Why an INVITE of ours was not answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// The status: the peer's, or 408 and 503 for time-out and transport failure (SIP-210).
    pub status: Status,
    /// Whether a peer sent that status.
    pub is_from_peer: bool,
    /// Q.850 cause of the peer's Reason header.
    pub q850: Option<u8>,
    /// Text of its Reason header or reason phrase.
    pub text: Option<String>,
    /// What happened to the last target, when no peer refused.
    pub fault: Option<TargetFault>,
}

/// Names of a session's timers.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// First response to our INVITE.
    Response = 0,
    /// Ringing limit of our INVITE.
    Ring = 1,
    /// Next repetition of our 2xx.
    RepeatOk = 2,
    /// End of patience for the ACK to our 2xx.
    AwaitAck = 3,
    /// Next repetition of a provisional to keep proxies patient.
    Refresh = 4,
}

type Timers = crate::deadline::Timers<5>;

/// The INVITE usage of one leg.
#[derive(Debug)]
pub struct Session {
    owner: (CallId, LegId),
    style: LegStyle,
    local_tag: Token,
    phase: Phase,
    timers: Timers,
    /// Dialogs that are not the call's and have to be ended: late and second answers.
    strays: Vec<Link>,
}

#[derive(Debug)]
enum Phase {
    Incoming(Incoming),
    Outgoing(Box<Outgoing>),
    Confirmed(Box<Confirmed>),
    /// Our BYE is out, or held until the ACK is there.
    Closing(Box<Confirmed>),
    Over,
}

/// What a leg can tell about its peer, for records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerFacts {
    /// Host as configured, for legs of ours.
    pub host: String,
    /// Transport.
    pub protocol: Protocol,
    /// Address.
    pub remote: Option<SocketAddr>,
    /// From INVITE to the first response in milliseconds.
    pub first_response_ms: Option<u64>,
}

impl Session {
    /// A session for an INVITE that arrived. The transaction layer has answered 100.
    pub(crate) fn incoming(
        cx: &mut Cx<'_>,
        owner: (CallId, LegId),
        style: LegStyle,
        id: TransactionId,
        flow: Flow,
        request: Message,
    ) -> Self {
        let local_tag = Token::from_minted(cx.plane.mint.tag());
        cx.plane.dialogs.insert(local_tag.as_bytes().clone(), owner.0, owner.1);
        cx.plane.transactions.set_owner(id, Owner::Leg(owner.0, owner.1));
        let mut timers = Timers::default();
        timers.set(Timer::Refresh as usize, cx.now.mono + uas::REFRESH);
        Self {
            owner,
            style,
            local_tag,
            phase: Phase::Incoming(Incoming::new(id, flow, request)),
            timers,
            strays: Vec::new(),
        }
    }

    /// A session that sends an INVITE; events follow.
    pub(crate) fn outgoing(
        cx: &mut Cx<'_>,
        owner: (CallId, LegId),
        style: LegStyle,
        outset: Outset,
        up: &mut Vec<SessionEvent>,
    ) -> Self {
        let local_tag = Token::from_minted(cx.plane.mint.tag());
        cx.plane.dialogs.insert(local_tag.as_bytes().clone(), owner.0, owner.1);
        let outgoing = Outgoing::new(cx, &style, outset);
        let mut session = Self {
            owner,
            style,
            local_tag,
            phase: Phase::Outgoing(Box::new(outgoing)),
            timers: Timers::default(),
            strays: Vec::new(),
        };
        session.next_target(cx, None, up);
        session
    }

    /// Whether nothing of this session is left to do.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over) && self.strays.iter().all(Link::is_idle)
    }

    /// Whether the dialog is confirmed and nobody is ending it.
    pub fn is_confirmed(&self) -> bool {
        matches!(self.phase, Phase::Confirmed(_))
    }

    /// When [`Self::tick`] is next wanted.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// The trunk and how this leg writes.
    pub fn style(&self) -> &LegStyle {
        &self.style
    }

    /// Ends the session in whatever way its phase needs: refusal, CANCEL or BYE (SIP-407).
    /// `status` is used where an INVITE is still to be answered.
    pub(crate) fn hang_up(&mut self, cx: &mut Cx<'_>, status: Status, reason: Option<Bytes>) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Incoming(incoming) => {
                self.timers.clear();
                let refusal = Refusal { status, reason, ..Refusal::default() };
                incoming.refuse(cx, &self.style, &self.local_tag, &refusal);
                self.end_dialog(cx);
            }
            Phase::Outgoing(mut outgoing) => {
                self.timers.clear();
                let is_done = outgoing.cancel(cx, reason);
                if is_done {
                    self.end_dialog(cx);
                } else {
                    self.phase = Phase::Outgoing(outgoing);
                }
            }
            Phase::Confirmed(mut confirmed) => {
                confirmed.hang_up(cx, &self.style, reason);
                self.phase = Phase::Closing(confirmed);
            }
            closing @ (Phase::Closing(_) | Phase::Over) => self.phase = closing,
        }
    }

    /// A response to a request of ours.
    pub(crate) fn response(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        if *message.method() == Method::Invite {
            return self.invite_response(cx, id, message, up);
        }
        if message.status().is_some_and(Status::is_final) {
            self.request_ended(cx, id);
        }
    }

    /// A request of ours got no answer, or could not be sent.
    pub(crate) fn request_failed(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        why: Option<FlowFault>,
        up: &mut Vec<SessionEvent>,
    ) {
        if matches!(&self.phase, Phase::Outgoing(outgoing) if outgoing.owns(id)) {
            let fault = why.map_or(TargetFault::Timeout, TargetFault::Flow);
            return self.target_failed(cx, id, fault, up);
        }
        self.request_ended(cx, id);
    }

    /// One of our BYEs is through, one way or another (SIP-408).
    fn request_ended(&mut self, cx: &mut Cx<'_>, id: TransactionId) {
        for stray in &mut self.strays {
            if stray.bye == Some(id) {
                stray.bye = None;
            }
        }
        self.strays.retain(|stray| !stray.is_idle());
        let is_ours =
            matches!(&self.phase, Phase::Closing(closing) if closing.link.bye == Some(id));
        if is_ours {
            self.finish(cx);
        }
    }

    /// A request of the peer within one of our dialogs.
    pub(crate) fn request(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        cx.plane.transactions.set_owner(id, Owner::Leg(self.owner.0, self.owner.1));
        match &mut self.phase {
            Phase::Incoming(_) => self.early_request(cx, id, message, up),
            Phase::Confirmed(confirmed) | Phase::Closing(confirmed)
                if confirmed.is_with(message) =>
            {
                self.confirmed_request(cx, id, flow, message, up);
            }
            Phase::Confirmed(_) | Phase::Closing(_) | Phase::Outgoing(_) | Phase::Over => {
                self.stray_request(cx, id, message);
            }
        }
    }

    /// A request in a dialog that is not the call's: one we are ending, or one we never had.
    fn stray_request(&mut self, cx: &mut Cx<'_>, id: TransactionId, message: &Message) {
        let is_bye = *message.method() == Method::Bye;
        let is_known = self.strays.iter().any(|stray| stray.is_with(message));
        let status = match is_bye && (is_known || matches!(self.phase, Phase::Over)) {
            true => Status::OK,
            false => Status::CALL_DOES_NOT_EXIST,
        };
        self.reply(cx, id, message, status, |response| response);
    }

    /// Answers a request of the peer.
    fn reply(
        &self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        request: &Message,
        status: Status,
        finish: impl FnOnce(ResponseBuilder) -> ResponseBuilder,
    ) {
        let response = ResponseBuilder::to(request, status, Some(&self.local_tag));
        let bytes = self.style.sign_response(finish(response)).build();
        cx.plane.transactions.respond(cx.now.mono, id, status, bytes, cx.out);
    }

    /// The answer to a query of this session.
    pub(crate) fn outcome(
        &mut self,
        cx: &mut Cx<'_>,
        query: QueryId,
        outcome: &Outcome,
        up: &mut Vec<SessionEvent>,
    ) {
        if let Some(stray) = self.strays.iter_mut().find(|stray| stray.asked(query)) {
            return stray.resolved(cx, &self.style, outcome);
        }
        match &mut self.phase {
            Phase::Confirmed(confirmed) | Phase::Closing(confirmed)
                if confirmed.link.asked(query) =>
            {
                confirmed.link.resolved(cx, &self.style, outcome);
            }
            Phase::Outgoing(_) => self.target_resolved(cx, query, outcome, up),
            Phase::Incoming(_) | Phase::Confirmed(_) | Phase::Closing(_) | Phase::Over => {}
        }
    }

    /// Expired timers.
    pub(crate) fn tick(&mut self, cx: &mut Cx<'_>, up: &mut Vec<SessionEvent>) {
        while let Some(timer) = self.timers.expired(cx.now.mono) {
            match timer {
                t if t == Timer::Response as usize => self.response_timeout(cx, up),
                t if t == Timer::Ring as usize => self.ring_timeout(cx),
                t if t == Timer::RepeatOk as usize => self.repeat_ok(cx),
                t if t == Timer::AwaitAck as usize => self.no_ack(cx, up),
                _ => self.refresh_progress(cx),
            }
        }
    }

    /// The dialog is gone: nothing more to do for it.
    fn finish(&mut self, cx: &mut Cx<'_>) {
        self.timers.clear();
        self.phase = Phase::Over;
        self.end_dialog(cx);
    }

    fn end_dialog(&self, cx: &mut Cx<'_>) {
        cx.plane.dialogs.end(cx.now.mono, self.local_tag.as_bytes());
    }

    /// Ends a dialog that is not the call's: ACK for its 2xx, then BYE (SIP-220, SIP-221).
    fn discard(
        &mut self,
        cx: &mut Cx<'_>,
        mut link: Link,
        cseq: u32,
        invite: TransactionId,
        why: Reason,
    ) {
        link.send(cx, &self.style, Wanted::Ack { cseq, invite });
        let reason = crate::sip::header::Header::to_bytes(&why);
        link.send(cx, &self.style, Wanted::Bye { reason: Some(reason) });
        self.strays.push(link);
    }
}

/// A refusal that we send to an INVITE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// 300–699.
    pub status: Status,
    /// Value of a Reason header.
    pub reason: Option<Bytes>,
    /// Value of a Warning header.
    pub warning: Option<Bytes>,
    /// Seconds of a Retry-After header.
    pub retry_after_s: Option<u32>,
}

impl Default for Refusal {
    fn default() -> Self {
        Self {
            status: Status::SERVER_INTERNAL_ERROR,
            reason: None,
            warning: None,
            retry_after_s: None,
        }
    }
}

/// Value of the first Reason header line.
fn reason_of(message: &Message) -> Option<Bytes> {
    message.raw(HeaderName::Reason)
}
