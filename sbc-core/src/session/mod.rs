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
mod challenge;
mod confirmed;
mod crossing;
mod fork;
mod kept;
mod link;
mod news;
mod offering;
pub(crate) mod orphan;
mod pace;
mod parcel;
mod ping;
mod referring;
mod refresh;
mod refusal;
pub(crate) mod reliable;
mod renaming;
mod resting;
mod said;
mod standing;
mod style;
mod subscription;
mod timer;
mod uac;
mod uas;
mod within;

pub(crate) use ack::AckStore;
use confirmed::Confirmed;
pub(crate) use crossing::Conveyed;
pub(crate) use fork::Source;
pub(crate) use kept::KeptSession;
use link::Link;
pub(crate) use link::Parting;
use news::News;
pub(crate) use news::Unsaid;
pub(crate) use offering::{TIMER_EXPIRED, is_gone};
use pace::Paces;
pub(crate) use parcel::Parcel;
pub use refusal::Refusal;
pub use said::Said;
pub(crate) use standing::Standing;
pub use style::LegStyle;
pub use subscription::Asked;
use subscription::Referral;
use timer::SessionTimer;
pub use uac::Outset;
use uac::{Outgoing, Try};
use uas::Incoming;
pub(crate) use uas::hop_back;

use crate::cause::CauseCode;
use crate::config::{Lookup, Preset, TargetAddress, UriScheme};
use crate::event::TargetFault;
use crate::id::{CallId, LegId, QueryId, TransactionId};
use crate::octets::address_text;
use crate::plane::Cx;
use crate::policy::identity::our_host;
use crate::query::Outcome;
use crate::record::GivenUp;
use crate::seldom::Seldom;
use crate::sip::header::{Reason, SessionId};
use crate::sip::{HeaderName, Message, Method, ResponseBuilder, SipUri, Status, Token};
use crate::time::Timestamp;
use crate::transaction::Owner;
use crate::transport::{Flow, FlowFault, Protocol, TlsSuite};
use crate::trouble::Trouble;
use bytes::Bytes;
use link::Wanted;
use std::collections::BTreeMap;
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
        /// Whether it came reliably: a description is then the last word on our offer.
        is_reliable: bool,
        /// The response.
        said: Said,
    },
    /// The peer answered our INVITE; its ACK is out.
    Answered {
        /// Peer's tag: names the dialog that won.
        early: Bytes,
        /// SDP of the 2xx.
        description: Option<Bytes>,
        /// The 2xx.
        said: Said,
    },
    /// Our INVITE ended without an answer, on every target.
    Rejected(Rejection),
    /// The peer gave up on its INVITE, which now has its 487.
    Cancelled {
        /// Reason values of its CANCEL.
        reasons: Vec<Reason>,
    },
    /// The caller has left one of several early dialogs of the called side, and waits for the others.
    Left {
        /// The leg that rings.
        leg: LegId,
        /// The called party's tag: names the early dialog.
        early: Bytes,
        /// Reason values of its BYE.
        reasons: Vec<Reason>,
    },
    /// The peer acknowledged our answer.
    Acknowledged {
        /// SDP of the ACK.
        description: Option<Bytes>,
        /// Whether our answer was an offer, so that the ACK has to bring the answer.
        is_answer: bool,
    },
    /// The called party offers a change before it answers.
    EarlyOffer {
        /// Its tag: names the early dialog.
        early: Bytes,
        /// Its offer.
        description: Bytes,
    },
    /// The called party has answered a change that we offered before its answer, or refuses it.
    EarlyAnswered {
        /// Its tag: names the early dialog.
        early: Bytes,
        /// SDP of its 2xx; nothing if it refuses.
        description: Option<Bytes>,
    },
    /// The peer offers a change; `None` asks us for an offer.
    Offer(Option<Bytes>),
    /// The peer accepted an offer of ours within the call; its ACK is out.
    OfferAnswered {
        /// SDP of the 2xx.
        description: Option<Bytes>,
    },
    /// An offer of ours within the call was refused; the session goes on as it was.
    OfferRefused {
        /// The peer's status.
        status: Status,
        /// Whether the peer only has to be asked again later, because both offered at once.
        again: bool,
    },
    /// The peer says something to the other party; answered by `answer_crossing`.
    Crossing {
        /// Its transaction, by which `kept` knows it.
        id: TransactionId,
    },
    /// The peer has answered what `bring` brought it, or will not.
    Carried {
        /// What the other party is told.
        status: Status,
    },
    /// The peer asks for a transfer.
    Refer(Box<Asked>),
    /// The peer tells how it fares with a REFER that we passed on to it.
    Notified {
        /// The status that it has got, if it says.
        status: Option<Status>,
        /// Nothing more follows, for this reason.
        ended: Option<Bytes>,
    },
    /// A peer that is asked whether it is there has left that unanswered, of a call for help.
    Unheard {
        /// It has done so often enough to be gone, if it is not heard either.
        is_proven: bool,
    },
    /// The session is over although we did not end it.
    Ended(Ending),
}

/// How a session ended that was confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The peer sent BYE.
    Bye {
        /// Its Reason values.
        reasons: Vec<Reason>,
        /// What it says beside.
        said: Said,
    },
    /// The peer never acknowledged our 2xx (SIP-211).
    NoAck,
    /// The caller never acknowledged a reliable provisional; its INVITE has its refusal (SIP-520).
    NoPrack,
    /// A request of ours within the dialog failed in a way that ends it, or got no answer at all.
    Lost {
        /// Method of the request.
        method: Method,
        /// Final status, if there was any.
        status: Option<Status>,
    },
    /// Nobody refreshed the session (RFC 4028 §10).
    Expired {
        /// Agreed interval.
        interval_s: u32,
    },
}

/// Why an INVITE of ours was not answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// The status: the peer's, or 408 and 503 for time-out and transport failure (SIP-210).
    pub status: Status,
    /// Whether a peer sent that status.
    pub is_from_peer: bool,
    /// Values of the peer's Reason headers.
    pub reasons: Vec<Reason>,
    /// Text of its Reason header or its reason phrase, for people.
    pub text: Option<String>,
    /// Whether the called party was alerted or progress was seen.
    pub was_heard: bool,
    /// What happened to the last target, when no peer refused.
    pub fault: Option<TargetFault>,
    /// What a person should be told, where the status does not say that.
    pub told: Option<Trouble>,
    /// The peer's response, if a peer refused.
    pub said: Option<Said>,
    /// Addresses of a call for help that were left for later.
    pub untried: Vec<(TargetAddress, SocketAddr)>,
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
    /// End of patience for the answer to an offer of ours within the call.
    Offer = 5,
    /// End of the pause after both sides offered at once.
    Glare = 6,
    /// Our next refresh of the session.
    Refreshing = 7,
    /// End of the session without refresh.
    Expiry = 8,
    /// Next repetition of a reliable provisional.
    RepeatProvisional = 9,
    /// End of patience for its PRACK.
    AwaitPrack = 10,
    /// What the peer is to be told of a transfer next.
    Referral = 11,
    /// End of what the peer tells of a REFER of ours.
    Referring = 12,
    /// A NAT before the peer is to be shown that its way is in use.
    Way = 13,
    /// Whether the peer is there is asked again.
    Examine = 14,
}

type Timers = crate::deadline::Timers<15>;

/// The INVITE usage of one leg.
#[derive(Debug)]
pub struct Session {
    owner: (CallId, LegId),
    style: LegStyle,
    local_tag: Token,
    /// The early dialog on which an offer of ours has no answer yet.
    asking: Option<Bytes>,
    /// Early dialogs of a caller that sees those of the called side one by one.
    forks: Seldom<fork::Fork>,
    facts: PeerFacts,
    phase: Phase,
    timers: Timers,
    timer: SessionTimer,
    /// When an INVITE or UPDATE of either side last had its 2xx.
    refreshed: Option<Timestamp>,
    /// Tries that were given up but whose transactions may still bring an answer.
    unfinished: BTreeMap<TransactionId, Try>,
    /// Dialogs that are not the call's and have to be ended: late and second answers.
    strays: Seldom<Link>,
    /// Requests of the peer that the other party is to answer.
    crossing: crossing::Waiting,
    referral: Referral,
    /// Our OPTIONS within the dialog that found nobody, in a row.
    unheard: u8,
    /// What is known of a peer that nothing but its own absence parts from the call.
    examined: Option<ping::Examined>,
    /// Until when a session that nobody refreshes is not ended (SIP-1405).
    spared_until: Option<Timestamp>,
    /// The peer's BYE is refused: those who help have not hung up yet (SIP-1405).
    refuses_bye: bool,
    /// A REFER of ours.
    referring: Option<Box<referring::Referring>>,
    news: News,
    paces: Paces,
    /// Whether our INVITE has left the offer to whoever answers it.
    leaves_offer: bool,
    /// What the peer has answered that another party may have to know.
    reply_heard: Option<Box<Said>>,
}

#[derive(Debug)]
enum Phase {
    Incoming(Box<Incoming>),
    Outgoing(Box<Outgoing>),
    Confirmed(Box<Confirmed>),
    /// Our BYE is out, or held until the ACK is there.
    Closing(Box<Confirmed>),
    Over,
}

/// What a leg can tell about its peer, for records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerFacts {
    /// Host as configured, for legs that we call; the peer's address otherwise.
    pub host: String,
    /// Call-ID of the leg.
    pub call_id: String,
    /// Transport.
    pub protocol: Protocol,
    /// Address.
    pub remote: Option<SocketAddr>,
    /// What the handshake of the connection agreed on that its INVITE came on, or the responses to ours.
    pub tls: Option<TlsSuite>,
    /// From INVITE to the first response in milliseconds.
    pub first_response_ms: Option<u64>,
    /// From INVITE to the first 101–199 in milliseconds.
    pub first_progress_ms: Option<u64>,
    /// Targets that were given up before this one, in order.
    pub given_up: Vec<GivenUp>,
    /// The peer's product token, from its responses, for legs that we call.
    pub user_agent: Option<String>,
    /// What Teams calls the call, on its trunks, for legs that we call.
    pub teams_call: Option<String>,
    /// It and its trunk understand `from-change` (RFC 4916).
    pub changes_from: bool,
    /// Statuses with which its addresses were left that were tried, or what stands for silence.
    pub ways: Vec<u16>,
}

impl PeerFacts {
    /// Where the peer was reached, as a target.
    pub(crate) fn reached(&self) -> Option<TargetAddress> {
        Some(TargetAddress {
            host: self.host.clone(),
            port: self.remote?.port(),
            protocol: self.protocol,
            lookup: Lookup::Addresses,
            connect_to: Vec::new(),
        })
    }

    /// Of a peer that sent the first request.
    fn of_flow(flow: &Flow, request: &Message) -> Self {
        let call_id = request.raw(HeaderName::CallId).unwrap_or_default();
        Self {
            host: address_text(flow.remote.ip()),
            call_id: printable(&call_id),
            protocol: flow.protocol,
            remote: Some(flow.remote),
            tls: flow.tls,
            first_response_ms: None,
            first_progress_ms: None,
            given_up: Vec::new(),
            user_agent: None,
            teams_call: None,
            changes_from: false,
            ways: Vec::new(),
        }
    }
}

impl Session {
    /// A session for an INVITE that arrived. It gets its 100.
    pub(crate) fn incoming(
        cx: &mut Cx<'_>,
        owner: (CallId, LegId),
        style: LegStyle,
        id: TransactionId,
        flow: Flow,
        request: Message,
    ) -> Self {
        let local_tag = Token::from_minted(cx.plane.mint.tag());
        cx.plane
            .dialogs
            .insert(local_tag.as_bytes().clone(), owner.0, owner.1);
        cx.plane
            .transactions
            .set_owner(id, Owner::Leg(owner.0, owner.1), cx.out);
        let mut timers = Timers::default();
        timers.set(
            Timer::Refresh as usize,
            cx.now.mono + uas::first_progress(&style),
        );
        let policy = style.trunk.session_timer;
        let mut facts = PeerFacts::of_flow(&flow, &request);
        facts.note_support(&style.trunk, &request);
        Self {
            owner,
            style,
            local_tag,
            asking: None,
            forks: Seldom::default(),
            facts,
            phase: Phase::Incoming(Box::new(Incoming::new(id, flow, request))),
            timers,
            timer: SessionTimer::new(policy),
            refreshed: None,
            unfinished: BTreeMap::new(),
            strays: Seldom::default(),
            spared_until: None,
            examined: None,
            refuses_bye: false,
            crossing: crossing::Waiting::default(),
            referral: Referral::default(),
            unheard: 0,
            referring: None,
            news: News::default(),
            paces: Paces::default(),
            leaves_offer: false,
            reply_heard: None,
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
        cx.plane
            .dialogs
            .insert(local_tag.as_bytes().clone(), owner.0, owner.1);
        let leaves_offer = outset.offer.is_none();
        let outgoing = Outgoing::new(cx, &style, outset);
        let facts = outgoing.first_facts(&style);
        let mut timer = SessionTimer::new(style.trunk.session_timer);
        let known = cx.plane.intervals.get(&style.trunk.name);
        if let Some((least_s, _)) = known.filter(|(_, until)| *until > cx.now.mono) {
            timer.lasts_at_least(*least_s);
        }
        let mut session = Self {
            owner,
            style,
            local_tag,
            asking: None,
            forks: Seldom::default(),
            facts,
            phase: Phase::Outgoing(Box::new(outgoing)),
            timers: Timers::default(),
            timer,
            refreshed: None,
            unfinished: BTreeMap::new(),
            strays: Seldom::default(),
            spared_until: None,
            examined: None,
            refuses_bye: false,
            crossing: crossing::Waiting::default(),
            referral: Referral::default(),
            unheard: 0,
            referring: None,
            news: News::default(),
            paces: Paces::default(),
            leaves_offer,
            reply_heard: None,
        };
        session.next_target(cx, None, up);
        session
    }

    /// Whether nothing of this session is left to do.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
            && self.unfinished.is_empty()
            && self.strays.iter().all(Link::is_done)
            && self.referral.is_over()
    }

    /// A session that nobody refreshes is not ended before this time.
    pub(crate) fn spare_until(&mut self, until: Timestamp) {
        self.spared_until = Some(until);
    }

    /// Whether the peer's BYE does not end the dialog any more, only ours does.
    pub(crate) fn refuse_bye(&mut self, is_refused: bool) {
        self.refuses_bye = is_refused;
    }

    /// Whether the dialog is confirmed and nobody is ending it.
    pub fn is_confirmed(&self) -> bool {
        matches!(self.phase, Phase::Confirmed(_))
    }

    /// Whether the peer takes requests of this method within the dialog.
    pub(crate) fn takes(&self, method: &Method) -> bool {
        // Whatever it says or leaves unsaid (TDR-SIP-001).
        if *method == Method::Refer && self.style.trunk.preset == Preset::Teams {
            return false;
        }
        match &self.phase {
            Phase::Confirmed(confirmed) | Phase::Closing(confirmed) => {
                confirmed.link.dialog.takes.takes(method)
            }
            Phase::Incoming(_) | Phase::Outgoing(_) | Phase::Over => true,
        }
    }

    /// When the session wants to be looked at again.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.next().into_iter().chain(self.next_try()).min()
    }

    /// Whether our offer has lost its keys, which the peer has refused.
    pub(crate) fn is_keyless(&self) -> bool {
        matches!(&self.phase, Phase::Outgoing(outgoing) if outgoing.is_keyless())
    }

    /// What is known about the peer.
    pub fn facts(&self) -> &PeerFacts {
        &self.facts
    }

    /// Our tag of the dialog with the peer.
    pub(crate) fn local_tag(&self) -> &Token {
        &self.local_tag
    }

    /// The trunk and how this leg writes.
    pub fn style(&self) -> &LegStyle {
        &self.style
    }

    /// A URI by which the peer calls somebody through us.
    pub(crate) fn own_uri(&self, user: &str) -> Option<SipUri> {
        let remote = self.facts.remote?.ip();
        let listener = self.style.listener(self.facts.protocol, remote)?;
        let mut uri = SipUri::new(our_host(&self.style.trunk, listener));
        uri.is_sips = self.style.trunk.habits.uri_scheme == UriScheme::Sips;
        uri.port = Some(listener.advertised.port());
        uri.set_user_text(user.as_bytes()).ok()?;
        self.style.write_transport(&mut uri, listener.protocol);
        Some(uri)
    }

    /// What we are called on this leg, for a Warning.
    pub(crate) fn own_name(&self) -> Option<String> {
        let remote = self.facts.remote?.ip();
        let listener = self.style.listener(self.facts.protocol, remote)?;
        Some(our_host(&self.style.trunk, listener).to_string())
    }

    /// Names both ends in every message from now on.
    pub(crate) fn name_ends(&mut self, ends: Option<SessionId>) {
        self.style.session_id = ends;
    }

    /// Ends the session in whatever way its phase needs: refusal, CANCEL or BYE (SIP-407).
    /// `status` is used where an INVITE is still to be answered.
    pub(crate) fn hang_up(&mut self, cx: &mut Cx<'_>, status: Status, reason: Option<Bytes>) {
        self.hang_up_with(cx, status, reason, Parting::default(), None);
    }

    /// As [`Self::hang_up`], with what a BYE says beside its reason, and why a refusal is one.
    pub(crate) fn hang_up_with(
        &mut self,
        cx: &mut Cx<'_>,
        status: Status,
        reason: Option<Bytes>,
        said: Parting,
        cause: Option<CauseCode>,
    ) {
        self.end_crossings(cx);
        self.refer_dropped(cx);
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Incoming(incoming) => {
                self.timers.clear();
                let refusal = Refusal {
                    status,
                    reason,
                    cause,
                    ..Refusal::default()
                };
                incoming.refuse(cx, &self.style, &self.local_tag, &refusal);
                self.end_dialog(cx, None);
            }
            Phase::Outgoing(mut outgoing) => {
                if let Some(current) = outgoing.take_current() {
                    self.abandon(cx, current, reason);
                }
                self.finish(cx);
            }
            Phase::Confirmed(mut confirmed) => {
                let reason = reason.map(|reason| (HeaderName::Reason, reason));
                let lines = reason.into_iter().chain(said.lines).collect();
                let said = Parting { lines, ..said };
                confirmed.hang_up(cx, &self.style, said);
                self.phase = Phase::Closing(confirmed);
            }
            closing @ (Phase::Closing(_) | Phase::Over) => self.phase = closing,
        }
    }

    /// Acknowledges the 2xx of a called party that has made the offer, with our answer.
    pub(crate) fn acknowledge(&mut self, cx: &mut Cx<'_>, answer: Option<Bytes>) {
        if let Phase::Confirmed(confirmed) = &mut self.phase {
            confirmed.link.release_ack(cx, &self.style, answer);
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
        if self.request_challenged(cx, id, message) || self.own_response(cx, id, message, up) {
            return;
        }
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
        if why.is_some() && self.goes_without_detour(cx, id) {
            return;
        }
        let is_movable = |link: &Link| link.is_movable(id);
        let link = link_where(&mut self.phase, &mut self.strays, is_movable);
        if link.is_some_and(|link| link.another_way(cx, &self.style, id, why.is_none())) {
            return;
        }
        if why.is_some() && self.rests(cx, id) {
            return;
        }
        if self.unfinished.remove(&id).is_some() || self.own_failed(cx, id, why.as_ref(), up) {
            return;
        }
        if matches!(&self.phase, Phase::Outgoing(outgoing) if outgoing.owns(id)) {
            let fault = why.map_or(TargetFault::Timeout, TargetFault::Flow);
            return self.target_failed(cx, id, fault, up);
        }
        self.request_ended(cx, id);
    }

    /// Sends what could not be sent over TCP, where it went for its size alone, over UDP (SIP-110). Once
    /// the session ends, that is worth it only for what the peer waits to be told. Says whether it was.
    fn goes_without_detour(&mut self, cx: &mut Cx<'_>, id: TransactionId) -> bool {
        let is_ending = !matches!(self.phase, Phase::Confirmed(_) | Phase::Outgoing(_));
        let is_worth = |link: &Link| {
            let method = link.detour_of(id);
            method.is_some_and(|method| !is_ending || *method == Method::Notify)
        };
        let after = self
            .referral
            .after
            .as_deref_mut()
            .filter(|link| is_worth(link));
        let link = after.or_else(|| link_where(&mut self.phase, &mut [], is_worth));
        link.is_some_and(|link| link.without_detour(cx, &self.style, id))
    }

    /// One of our BYEs is through, one way or another (SIP-408).
    fn request_ended(&mut self, cx: &mut Cx<'_>, id: TransactionId) {
        for stray in &mut self.strays {
            if stray.bye == Some(id) {
                stray.bye = None;
            }
        }
        self.strays.retain(|stray| !stray.is_done());
        if let Phase::Closing(closing) = &mut self.phase
            && closing.link.bye == Some(id)
        {
            closing.link.bye = None;
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
        cx.plane
            .transactions
            .set_owner(id, Owner::Leg(self.owner.0, self.owner.1), cx.out);
        if let Err(rejection) = message.validate() {
            return self.reject(cx, id, message, &rejection);
        }
        if let Err(after) = self.paced(cx.now.mono, message) {
            return self.reply_after(cx, id, message, after);
        }
        // It belongs to an INVITE that begins a dialog (RFC 3891 §3). A BYE ends one all the same.
        if message.has(HeaderName::Replaces) && *message.method() != Method::Bye {
            return self.reply(cx, id, message, Status::BAD_REQUEST, |response| response);
        }
        if matches!(self.phase, Phase::Over) && self.late_request(cx, id, flow, message, up) {
            return;
        }
        match &mut self.phase {
            Phase::Incoming(_) => self.early_request(cx, id, flow, message, up),
            Phase::Outgoing(_) => self.callee_request(cx, id, flow, message, up),
            Phase::Confirmed(confirmed) | Phase::Closing(confirmed)
                if confirmed.is_with(message) =>
            {
                self.is_heard();
                self.confirmed_request(cx, id, flow, message, up);
            }
            Phase::Confirmed(_) | Phase::Closing(_) | Phase::Over => {
                self.stray_request(cx, id, flow, message);
            }
        }
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
        cx.plane
            .transactions
            .respond(cx.now.mono, id, status, bytes, cx.out);
    }

    /// The answer to a query of this session.
    pub(crate) fn outcome(
        &mut self,
        cx: &mut Cx<'_>,
        query: QueryId,
        outcome: &Outcome,
        up: &mut Vec<SessionEvent>,
    ) {
        let asked = |link: &Link| link.asked(query);
        if let Some(link) = link_where(&mut self.phase, &mut self.strays, asked) {
            return link.resolved(cx, &self.style, outcome);
        }
        if let Some(after) = self
            .referral
            .after
            .as_deref_mut()
            .filter(|own| own.asked(query))
        {
            after.resolved(cx, &self.style, outcome);
            return self.tidy_referral(cx);
        }
        match &mut self.phase {
            Phase::Outgoing(_) => self.target_resolved(cx, query, outcome, up),
            Phase::Incoming(_) | Phase::Confirmed(_) | Phase::Closing(_) | Phase::Over => {}
        }
    }

    /// Expired timers.
    pub(crate) fn tick(&mut self, cx: &mut Cx<'_>, up: &mut Vec<SessionEvent>) {
        self.try_again(cx);
        while let Some(timer) = self.timers.expired(cx.now.mono) {
            match timer {
                t if t == Timer::Response as usize => self.response_timeout(cx, up),
                t if t == Timer::Ring as usize => self.ring_timeout(cx, up),
                t if t == Timer::RepeatOk as usize => self.repeat_ok(cx),
                t if t == Timer::AwaitAck as usize => self.no_ack(cx, up),
                t if t == Timer::Offer as usize => self.take_offer_back(cx),
                t if t == Timer::Glare as usize => self.glare_is_over(),
                t if t == Timer::Refreshing as usize => self.shows_life(cx),
                t if t == Timer::Expiry as usize => self.expired(cx, up),
                t if t == Timer::AwaitPrack as usize => self.no_prack(cx, up),
                t if t == Timer::RepeatProvisional as usize => self.repeat_provisional(cx),
                t if t == Timer::Referral as usize => self.referral_is_due(cx),
                t if t == Timer::Way as usize => self.way_is_due(cx),
                t if t == Timer::Examine as usize => self.asks_whether_there(cx),
                t if t == Timer::Referring as usize => self.referring_is_due(cx, up),
                _ => self.refresh_progress(cx),
            }
        }
    }

    /// The dialog is gone: nothing more to do for it.
    fn finish(&mut self, cx: &mut Cx<'_>) {
        self.end_crossings(cx);
        self.timers.clear();
        let ended = std::mem::replace(&mut self.phase, Phase::Over);
        let names = match &ended {
            Phase::Confirmed(own) | Phase::Closing(own) => Some(own.link.dialog.names()),
            Phase::Incoming(_) | Phase::Outgoing(_) | Phase::Over => None,
        };
        if let Phase::Confirmed(ended) | Phase::Closing(ended) = ended {
            if self.referring_outlives(cx) {
                // What the peer still has to tell must find its way.
                return self.outlive(cx, ended.link);
            }
            // A usage of its own (RFC 5057 §4.1): what was to be told in it is told, also where it only
            // waits for the way to the peer.
            if self.referral.is_running() || ended.link.has_news() {
                self.outlive(cx, ended.link);
            } else if ended.link.open_invite().is_some() {
                // It may still be accepted, and then needs its ACK.
                self.strays.push(ended.link);
            }
        }
        self.end_dialog(cx, names);
    }

    /// It has no use any more; a digest of its other names, where it has had a peer.
    fn end_dialog(&self, cx: &mut Cx<'_>, names: Option<u64>) {
        self.end_forks(cx);
        let tag = self.local_tag.as_bytes();
        cx.plane.dialog_ended(cx.now.mono, tag, names);
    }

    /// Nobody owns this session any more.
    pub(crate) fn forget(&self, cx: &mut Cx<'_>) {
        self.end_dialog(cx, None);
    }

    /// Ends a dialog that is not the call's: ACK for its 2xx, then BYE (SIP-220, SIP-221).
    fn discard(
        &mut self,
        cx: &mut Cx<'_>,
        mut link: Link,
        (cseq, invite): (u32, TransactionId),
        answer: Option<Bytes>,
        why: Reason,
    ) {
        let ack = Wanted::Ack {
            cseq,
            invite,
            answer,
        };
        link.send(cx, &self.style, ack);
        let reason = crate::sip::header::Header::to_bytes(&why);
        link.send(
            cx,
            &self.style,
            Wanted::Bye(Parting {
                lines: vec![(HeaderName::Reason, reason)],
                ..Parting::default()
            }),
        );
        self.strays.push(link);
    }
}

impl Rejection {
    /// Nobody refused: this is what happened to us (SIP-210).
    fn local(fault: TargetFault) -> Self {
        let status = match &fault {
            TargetFault::Timeout => Status::REQUEST_TIMEOUT,
            TargetFault::NoBinding => Status::TEMPORARILY_UNAVAILABLE,
            TargetFault::NumberForm => Status::NOT_FOUND,
            TargetFault::Unwritable => Status::SERVER_INTERNAL_ERROR,
            TargetFault::Flow(_)
            | TargetFault::Resolve(_)
            | TargetFault::Status(_)
            | TargetFault::Quarantined
            | TargetFault::Relieved
            | TargetFault::Down
            | TargetFault::NotRegistered => Status::SERVICE_UNAVAILABLE,
        };
        Self {
            status,
            is_from_peer: false,
            reasons: Vec::new(),
            text: None,
            was_heard: false,
            fault: Some(fault),
            told: None,
            said: None,
            untried: Vec::new(),
        }
    }

    /// A peer's final response.
    fn from_peer(status: Status, message: &Message) -> Self {
        let reasons = message.list::<Reason>().unwrap_or_default();
        let text = reasons.iter().find_map(|reason| reason.text().cloned());
        let text = text.unwrap_or_else(|| message.reason());
        Self {
            status,
            is_from_peer: true,
            reasons,
            text: (!text.is_empty()).then(|| printable(&text)),
            was_heard: true,
            fault: None,
            told: (status == Status::SERVICE_UNAVAILABLE && message.has(HeaderName::RetryAfter))
                .then_some(Trouble::PeerPause),
            said: Some(Said::new(message)),
            untried: Vec::new(),
        }
    }
}

/// Text of a peer for people: at most 120 characters, control characters replaced (OPS-082).
pub(crate) fn printable(text: &[u8]) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    String::from_utf8_lossy(text)
        .chars()
        .take(120)
        .map(clean)
        .collect()
}

/// The dialog of a session for which this holds: its own, an early one, or one that is being ended.
fn link_where<'a>(
    phase: &'a mut Phase,
    strays: &'a mut [Link],
    holds: impl Fn(&Link) -> bool,
) -> Option<&'a mut Link> {
    let found = match phase {
        Phase::Confirmed(confirmed) | Phase::Closing(confirmed) => {
            Some(&mut confirmed.link).filter(|link| holds(link))
        }
        Phase::Outgoing(outgoing) => {
            let mut early = outgoing.early.values_mut().map(|early| &mut early.link);
            early.find(|link| holds(link))
        }
        Phase::Incoming(_) | Phase::Over => None,
    };
    found.or_else(|| strays.iter_mut().find(|link| holds(link)))
}

/// The SDP in a message's body, also as a part of a multipart body.
fn description(message: &Message) -> Option<Bytes> {
    crate::sip::body::session_description(message)
        .ok()
        .flatten()
}

/// Reason values of a message; unreadable ones are nothing.
fn reasons_of(message: &Message) -> Vec<Reason> {
    message.list::<Reason>().unwrap_or_default()
}
