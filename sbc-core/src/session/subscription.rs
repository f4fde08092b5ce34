//! REFER within a dialog and the subscription that it implies: how a transfer goes, told to who asked
//! for it (RFC 3515, RFC 4488).
//!
//! The subscription is a usage of the dialog of its own. It outlives the peer's BYE, so that a
//! transferor that leaves at once still hears how the transfer ends, and its end is always told
//! before a BYE of ours. A NOTIFY that fails ends the subscription and nothing else (SIP-306).
//!
//! One NOTIFY at a time: the next waits for the answer to the last, because datagrams that overtake each
//! other would tell the end before its beginning, which is then refused as out of order. Only where our BYE
//! leaves at once the end does so too.

use super::link::{Errand, Link, Wanted};
use super::news::News;
use super::timer::SessionTimer;
use super::uas::hop_back;
use super::{LegStyle, PeerFacts, Phase, Session, SessionEvent, Timer, Timers, crossing};
use crate::config::{Preset, Refer};
use crate::dialog::Dialog;
use crate::id::{CallId, LegId, TransactionId};
use crate::plane::Cx;
use crate::policy::transfer::Wish;
use crate::seldom::Seldom;
use crate::sip::header::{CSeq, ContentType, Event, Expires, Header, MaxForwards, To};
use crate::sip::{HeaderName, Message, Method, Status, Token, body};
use crate::time::Timestamp;
use crate::transaction::Owner;
use crate::transport::Flow;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a subscription lasts as we tell it; it is told again in time.
const EXPIRES_S: u32 = 60;

/// When a subscription is told again although nothing has happened.
const RENEWAL: Duration = Duration::from_secs(45);

/// Progress is not told more often than this (SIP-802).
const PACE: Duration = Duration::from_secs(1);

/// The same to Teams, whose user waits to see that the target rings (TDR-XFR-014).
const PACE_OF_TEAMS: Duration = Duration::from_millis(100);

/// A REFER that waits for our answer.
#[derive(Clone, Debug)]
pub struct Asked {
    id: TransactionId,
    flow: Flow,
    /// The request.
    pub request: Message,
}

impl Asked {
    pub(crate) fn new(id: TransactionId, flow: &Flow, request: &Message) -> Self {
        Self {
            id,
            flow: flow.clone(),
            request: request.clone(),
        }
    }

    pub(super) fn id(&self) -> TransactionId {
        self.id
    }
}

/// The same request, that is.
impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// What a session knows of its REFERs.
#[derive(Debug, Default)]
pub(super) struct Referral {
    /// Whether a REFER was accepted before: later ones are told apart by a number.
    is_later: bool,
    running: Option<Running>,
    /// The dialog after its INVITE usage has ended, for as long as something is to be told.
    pub(super) after: Option<Box<Link>>,
    /// The dialog never had an INVITE usage.
    is_alone: bool,
}

#[derive(Debug)]
struct Running {
    /// Number of the REFER, unless it is the first of its dialog.
    id: Option<u32>,
    status: Status,
    told: Timestamp,
    /// The other party carries it out, so that it does not end with our side of the call.
    is_relayed: bool,
    /// A NOTIFY has no answer yet.
    is_unanswered: bool,
    /// What is told when it has.
    owed: Option<Owed>,
}

/// What a NOTIFY is to say.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Owed {
    /// Where the transfer stands.
    Progress,
    /// That it has ended, and why nothing more follows.
    End(String),
}

impl Running {
    /// Whether the end is decided, and only waits to be told.
    fn is_ending(&self) -> bool {
        matches!(self.owed, Some(Owed::End(_)))
    }
}

impl Referral {
    /// Of a dialog that may have had REFERs elsewhere.
    pub(super) fn later() -> Self {
        Self {
            is_later: true,
            ..Self::default()
        }
    }

    /// Whether the peer waits to hear of a transfer.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether nothing is left to be told.
    pub(super) fn is_over(&self) -> bool {
        self.after.is_none()
    }

    fn event(&self) -> Option<Bytes> {
        let running = self.running.as_ref()?;
        Some(match running.id {
            Some(id) => Bytes::from(format!("refer;id={id}")),
            None => Bytes::from_static(b"refer"),
        })
    }
}

impl Session {
    /// A session for a REFER outside of the dialog that it is about: nothing but the subscription,
    /// in a dialog of its own. The REFER waits for its answer.
    pub(crate) fn observer(
        cx: &mut Cx<'_>,
        owner: (CallId, LegId),
        style: LegStyle,
        asked: &Asked,
    ) -> Option<Self> {
        let (flow, request) = (&asked.flow, &asked.request);
        let local_tag = Token::from_minted(cx.plane.mint.tag());
        let to = request.essential::<To>().ok().flatten()?;
        let local = to.clone().with_tag(local_tag.clone()).0;
        let dialog = Dialog::from_request(local, request).ok()?;
        let (tag, id) = (local_tag.as_bytes().clone(), asked.id);
        cx.plane.dialogs.insert(tag, owner.0, owner.1);
        let owning = Owner::Leg(owner.0, owner.1);
        cx.plane.transactions.set_owner(id, owning, cx.out);
        let link = Link::new(dialog, owner, hop_back(&style, flow));
        let facts = PeerFacts::of_flow(flow, request);
        let policy = style.trunk.session_timer;
        Some(Self {
            owner,
            style,
            local_tag,
            asking: None,
            forks: Seldom::default(),
            facts,
            phase: Phase::Over,
            timers: Timers::default(),
            timer: SessionTimer::new(policy),
            refreshed: None,
            unfinished: BTreeMap::new(),
            strays: Seldom::default(),
            spared_until: None,
            examined: None,
            refuses_bye: false,
            unheard: 0,
            crossing: crossing::Waiting::default(),
            referral: Referral {
                after: Some(Box::new(link)),
                is_alone: true,
                ..Referral::default()
            },
            referring: None,
            news: News::default(),
            paces: super::Paces::default(),
            leaves_offer: false,
            reply_heard: None,
        })
    }

    /// The peer asks for a transfer; its request is answered by [`Self::accept_refer`] or
    /// [`Self::refuse_refer`].
    pub(super) fn peer_refer(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        if let Err(rejection) = self.style.capabilities().check(message) {
            return self.reject(cx, id, message, &rejection);
        }
        if self.referral.is_running() {
            // One at a time (SIP-809).
            return self.reply_retry_after(cx, id, message);
        }
        if self.style.trunk.transfers.refer == Refer::Relay {
            return match self.keep_crossing(id, flow, message) {
                true => up.push(SessionEvent::Crossing { id }),
                false => self.reply_retry_after(cx, id, message),
            };
        }
        let asked = Asked::new(id, flow, message);
        up.push(SessionEvent::Refer(Box::new(asked)));
    }

    /// Accepts a REFER; the subscription begins, unless the peer wants none.
    pub(crate) fn accept_refer(&mut self, cx: &mut Cx<'_>, asked: &Asked) {
        self.accept(cx, asked, false);
    }

    /// As [`Self::accept_refer`], where the other party has accepted it.
    pub(super) fn accept_relayed(&mut self, cx: &mut Cx<'_>, asked: &Asked) {
        self.accept(cx, asked, true);
    }

    fn accept(&mut self, cx: &mut Cx<'_>, asked: &Asked, is_relayed: bool) {
        if let Some(link) = self.referring_link() {
            link.dialog.refresh_target(&asked.request);
        }
        let is_silent = Wish::declines_notify(&asked.request);
        let status = self.style.trunk.transfers.accepted;
        self.reply(cx, asked.id, &asked.request, status, |response| {
            let response = match self.style.listener_of(&asked.flow) {
                Some(listener) => response.header(&self.style.contact(listener)),
                None => response,
            };
            match is_silent {
                true => response.raw_if_valid(HeaderName::ReferSub, "false"),
                false => response,
            }
        });
        let number = asked.request.essential::<CSeq>().ok().flatten();
        let id = number
            .map(|cseq| cseq.number)
            .filter(|_| self.referral.is_later);
        self.referral.is_later = true;
        if !is_silent {
            self.referral.running = Some(Running {
                id,
                status: Status::TRYING,
                told: cx.now.mono,
                is_relayed,
                is_unanswered: false,
                owed: None,
            });
            self.notify(cx);
        }
        // A dialog of its own has nothing to live for where nothing is told in it.
        self.tidy_referral(cx);
    }

    /// Refuses a REFER; the dialog goes on.
    pub(crate) fn refuse_refer(&mut self, cx: &mut Cx<'_>, asked: &Asked, status: Status) {
        self.tidy_referral(cx);
        match status {
            Status::SERVER_INTERNAL_ERROR => self.reply_retry_after(cx, asked.id, &asked.request),
            _ => self.reply(cx, asked.id, &asked.request, status, |response| response),
        }
    }

    /// The transfer makes progress.
    pub(crate) fn refer_progress(&mut self, cx: &mut Cx<'_>, status: Status) {
        let Some(running) = &mut self.referral.running else {
            return;
        };
        if running.status == status || running.is_ending() {
            return;
        }
        running.status = status;
        self.progress_is_due(cx);
    }

    /// The transfer has ended like this; nothing more is told.
    pub(crate) fn refer_ended(&mut self, cx: &mut Cx<'_>, status: Status) {
        let running = self.referral.running.as_mut();
        if let Some(running) = running.filter(|running| !running.is_ending()) {
            running.status = status;
            self.last_notify(cx, "noresource");
        }
    }

    /// Our side of the call ends, and with it what we do ourselves. The end is told before our BYE, whatever has
    /// its answer (SIP-802).
    pub(super) fn refer_dropped(&mut self, cx: &mut Cx<'_>) {
        let running = self.referral.running.as_ref();
        if running.is_some_and(|running| !running.is_relayed) {
            self.refer_ended(cx, Status::REQUEST_TERMINATED);
        }
        if !matches!(self.phase, Phase::Confirmed(_)) {
            // No BYE of ours follows: what is to be told has its time.
            return;
        }
        let running = self.referral.running.as_mut();
        if let Some(Owed::End(reason)) = running.and_then(|running| running.owed.take()) {
            self.end_notify(cx, &reason);
        }
    }

    /// The party that carries it out says where it stands, and why nothing more follows.
    pub(crate) fn refer_relayed(
        &mut self,
        cx: &mut Cx<'_>,
        status: Option<Status>,
        ended: Option<&str>,
    ) {
        let Some(reason) = ended else {
            if let Some(status) = status {
                self.refer_progress(cx, status);
            }
            return;
        };
        let running = self.referral.running.as_mut();
        if let Some(running) = running.filter(|running| !running.is_ending()) {
            running.status = status.unwrap_or(running.status);
            self.last_notify(cx, reason);
        }
    }

    /// What was held back is told now, or what lasts is told again.
    pub(super) fn referral_is_due(&mut self, cx: &mut Cx<'_>) {
        self.notify(cx);
    }

    /// SUBSCRIBE within the dialog: the peer wants to hear longer, or no more.
    pub(super) fn peer_subscribe(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
    ) {
        let event = message.get::<Event>().ok().flatten();
        let running = self.referral.running.as_ref().filter(|running| {
            event.is_some_and(|event| {
                let wanted = running.id.map(|id| Bytes::from(id.to_string()));
                event.package.is("refer") && event.id() == wanted.as_ref()
            })
        });
        if running.is_none() {
            return self.serve(cx, id, flow, message);
        }
        if let Some(link) = self.referring_link() {
            link.dialog.refresh_target(message);
        }
        let ends = matches!(message.get::<Expires>(), Ok(Some(Expires(0))));
        let expires = if ends { 0 } else { EXPIRES_S };
        self.reply(cx, id, message, Status::OK, |response| {
            let response = response.raw_if_valid(HeaderName::Expires, expires.to_string());
            match self.style.listener_of(flow) {
                Some(listener) => response.header(&self.style.contact(listener)),
                None => response,
            }
        });
        match ends {
            true => self.last_notify(cx, "timeout"),
            false => self.notify(cx),
        }
    }

    /// Tells where the transfer stands.
    fn notify(&mut self, cx: &mut Cx<'_>) {
        let Some(running) = &mut self.referral.running else {
            return;
        };
        if running.is_unanswered {
            running.owed.get_or_insert(Owed::Progress);
            return self.timers.stop(Timer::Referral as usize);
        }
        running.told = cx.now.mono;
        running.is_unanswered = true;
        let until = cx.now.mono + RENEWAL;
        self.timers.set(Timer::Referral as usize, until);
        self.send_notify(cx, format!("active;expires={EXPIRES_S}"));
    }

    /// Tells where the transfer stands, and that nothing more follows.
    fn last_notify(&mut self, cx: &mut Cx<'_>, reason: &str) {
        if let Some(running) = &mut self.referral.running
            && running.is_unanswered
        {
            running.owed = Some(Owed::End(reason.to_owned()));
            return self.timers.stop(Timer::Referral as usize);
        }
        self.end_notify(cx, reason);
    }

    /// As [`Self::last_notify`], whatever has its answer.
    fn end_notify(&mut self, cx: &mut Cx<'_>, reason: &str) {
        self.send_notify(cx, format!("terminated;reason={reason}"));
        self.unsubscribed(cx);
    }

    fn send_notify(&mut self, cx: &mut Cx<'_>, state: String) {
        let (Some(event), Some(running)) = (self.referral.event(), &self.referral.running) else {
            return;
        };
        let kind = Bytes::from_static(b"message/sipfrag;version=2.0");
        let Ok(kind) = ContentType::parse(&kind) else {
            return;
        };
        let errand = Errand {
            method: Method::Notify,
            hops: MaxForwards::DEFAULT,
            headers: vec![
                (HeaderName::Event, event),
                (HeaderName::SubscriptionState, Bytes::from(state)),
            ],
            body: Some((kind, body::sipfrag(running.status))),
        };
        let link = match &mut self.phase {
            Phase::Confirmed(confirmed) | Phase::Closing(confirmed) => Some(&mut confirmed.link),
            Phase::Incoming(_) | Phase::Outgoing(_) | Phase::Over => {
                self.referral.after.as_deref_mut()
            }
        };
        if let Some(link) = link {
            link.send(cx, &self.style, Wanted::Request(Box::new(errand)));
        }
    }

    /// The peer has left, but still waits to hear how the transfer ends.
    pub(super) fn outlive(&mut self, cx: &mut Cx<'_>, link: Link) {
        self.referral.after = Some(Box::new(link));
        self.timers
            .set(Timer::Referral as usize, cx.now.mono + RENEWAL);
    }

    /// A NOTIFY of this subscription has its answer, or will never get one (`None`).
    pub(super) fn notify_ended(
        &mut self,
        cx: &mut Cx<'_>,
        event: Option<&Bytes>,
        status: Option<Status>,
    ) {
        if event.is_some() && event != self.referral.event().as_ref() {
            // Of one that is over, whatever has begun since, and whichever is answered first.
            return self.tidy_referral(cx);
        }
        let running = self.referral.running.as_mut();
        let owed = running.and_then(|running| {
            running.is_unanswered = false;
            running.owed.take()
        });
        match (status.is_some_and(Status::is_success), owed) {
            (false, _) => self.unsubscribed(cx),
            (true, Some(Owed::Progress)) => self.progress_is_due(cx),
            (true, Some(Owed::End(reason))) => self.end_notify(cx, &reason),
            (true, None) => {}
        }
        self.tidy_referral(cx);
    }

    /// Tells where the transfer stands as soon as the pace allows.
    fn progress_is_due(&mut self, cx: &mut Cx<'_>) {
        let Some(running) = &self.referral.running else {
            return;
        };
        let pace = match self.style.trunk.preset {
            Preset::Teams => PACE_OF_TEAMS,
            Preset::Carrier => PACE,
        };
        let due = running.told + pace;
        match due <= cx.now.mono {
            true => self.notify(cx),
            false => self.timers.set(Timer::Referral as usize, due),
        }
    }

    fn unsubscribed(&mut self, cx: &mut Cx<'_>) {
        self.referral.running = None;
        self.timers.stop(Timer::Referral as usize);
        self.tidy_referral(cx);
    }

    /// Forgets the dialog once nothing is to be told in it any more.
    pub(super) fn tidy_referral(&mut self, cx: &mut Cx<'_>) {
        let is_done = |link: &mut Box<Link>| link.is_done() && !link.has_open();
        if !self.referral.is_running()
            && self.referring.is_none()
            && let Some(ended) = self.referral.after.take_if(is_done)
            && self.referral.is_alone
        {
            self.end_dialog(cx, Some(ended.dialog.names()));
        }
    }

    /// Whether the peer waits to hear of a transfer.
    pub(crate) fn is_observing(&self) -> bool {
        self.referral.is_running()
    }

    /// A request in a dialog that has no INVITE usage any more, or never had one: what belongs to its
    /// subscriptions. Says whether it was such a request.
    pub(super) fn late_request(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) -> bool {
        let after = self.referral.after.as_deref_mut();
        let Some(link) = after.filter(|link| link.is_with(message)) else {
            return false;
        };
        let is_news = *message.method() == Method::Notify && self.referring.is_some();
        let is_renewal = *message.method() == Method::Subscribe && self.referral.running.is_some();
        if !is_news && !is_renewal {
            return false;
        }
        if link.dialog.admit_request(message).is_err() {
            self.reply(cx, id, message, Status::SERVER_INTERNAL_ERROR, |r| r);
        } else if is_news {
            self.peer_notify(cx, id, flow, message, up);
        } else {
            self.peer_subscribe(cx, id, flow, message);
        }
        true
    }
}
