//! Offers of ours within a confirmed dialog: re-INVITE, its answer or refusal, and glare.
//!
//! Only one INVITE transaction runs in a dialog, whoever began it (SIP-540): [`Session::may_offer`]
//! says when there is room for ours. A refusal leaves the session as it was, unless its status
//! means that the peer has no such dialog any more (SIP-305, SIP-545).

use super::confirmed::Confirmed;
use super::link::{Errand, Open, Wanted, is_target_refresh, patience};
use super::timer::Lines;
use super::{Ending, Link, Phase, Said, Session, SessionEvent, Timer, link_where};
use crate::dialog::Damage;
use crate::id::TransactionId;
use crate::mint::MAGIC_COOKIE;
use crate::plane::Cx;
use crate::policy::emergency::Parts;
use crate::sip::header::{ContentType, Header, MaxForwards, Reason, RetryAfter};
use crate::sip::{HeaderName, Message, Method, Status};
use crate::transport::FlowFault;
use bytes::Bytes;
use std::time::Duration;

/// How often an offer is made again that crossed one of the peer.
const MOST_TRIES: u8 = 5;

/// Longest pause that a peer can ask for with 500 and Retry-After.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Q.850: recovery on timer expiry, the reason of a BYE after silence.
pub(crate) const TIMER_EXPIRED: u8 = 102;

/// Whether the end of a request of ours says that nobody has the dialog any more, which is told as Q.850 102
/// (SIP-708): silence, what a proxy says of silence, and 481.
pub(crate) fn is_gone(status: Option<Status>) -> bool {
    status.is_none_or(|status| {
        matches!(
            status,
            Status::REQUEST_TIMEOUT | Status::CALL_DOES_NOT_EXIST
        )
    })
}

/// What becomes of offers of ours.
#[derive(Debug)]
pub(super) struct Offering {
    /// Who owns the Call-ID waits longer after a glare (SIP-542).
    owns_call_id: bool,
    is_open: bool,
    is_pausing: bool,
    /// The open one where it is another party's wish, who waits by itself before it tries again; after its refusal
    /// only as long as nothing but a longer session interval is needed.
    onward: Option<Box<Onward>>,
    /// When another party may wish the same again, if the last refusal was for the moment only.
    may_ask_after: Option<Duration>,
    /// Refusals in a row that only asked for another try.
    tries: u8,
}

/// What another party offers by a request of ours.
#[derive(Debug)]
struct Onward {
    body: Option<(ContentType, Bytes)>,
    lines: Lines,
    hops: MaxForwards,
}

impl Offering {
    /// In a dialog that our INVITE began.
    pub(super) fn of_owner() -> Self {
        Self {
            owns_call_id: true,
            is_open: false,
            is_pausing: false,
            onward: None,
            may_ask_after: None,
            tries: 0,
        }
    }

    /// In a dialog that the peer's INVITE began.
    pub(super) fn of_guest() -> Self {
        Self {
            owns_call_id: false,
            ..Self::of_owner()
        }
    }

    /// Whether our INVITE began the dialog.
    pub(super) fn owns_call_id(&self) -> bool {
        self.owns_call_id
    }

    /// Whether an offer of ours has no answer yet.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// An exchange of either side is complete.
    pub(super) fn settled(&mut self) {
        self.tries = 0;
    }

    /// The pause before the next try, or `None` after too many.
    pub(super) fn pause(&mut self, cx: &mut Cx<'_>) -> Option<Duration> {
        self.tries += 1;
        if self.tries > MOST_TRIES {
            self.tries = 0;
            return None;
        }
        let (low, high) = match self.owns_call_id {
            true => (2_100, 4_000),
            false => (0, 2_000),
        };
        let (low, high) = (Duration::from_millis(low), Duration::from_millis(high));
        Some(cx.plane.mint.delay(low, high))
    }
}

impl Confirmed {
    /// Gives up an offer of ours because the session ends.
    pub(super) fn drop_offer(&mut self, cx: &mut Cx<'_>) {
        self.link.drop_errands();
        if let Some(invite) = self.link.open_invite() {
            cx.plane
                .transactions
                .cancel(cx.now.mono, invite, None, cx.out);
        }
    }
}

impl Session {
    /// Whether an offer of ours can be made now: nothing of either side is under way, and no pause
    /// after a glare lasts.
    pub(crate) fn may_offer(&self) -> bool {
        match &self.phase {
            Phase::Confirmed(confirmed) => {
                let ours = &confirmed.ours;
                !confirmed.is_busy() && !ours.is_open && !ours.is_pausing
            }
            Phase::Incoming(_) | Phase::Outgoing(_) | Phase::Closing(_) | Phase::Over => false,
        }
    }

    /// Offers a change by re-INVITE; the outcome is an event. Only if [`Self::may_offer`].
    pub(crate) fn offer(&mut self, cx: &mut Cx<'_>, description: Bytes) {
        self.offer_with(cx, description, Vec::new());
    }

    /// As [`Self::offer`], on behalf of another party, whose own request has so many hops left and brings these lines and
    /// parts along.
    pub(crate) fn offer_onward(
        &mut self,
        cx: &mut Cx<'_>,
        description: Bytes,
        hops: MaxForwards,
        (lines, parts): (Lines, &Parts),
    ) {
        let boundary = match parts.is_empty() {
            true => String::new(),
            false => cx.plane.mint.branch(),
        };
        let boundary = boundary.trim_start_matches(MAGIC_COOKIE);
        let body = parts.with(Some(description), boundary);
        let body = body.map(|body| (body.kind, body.octets));
        self.offer_for(cx, Onward { body, lines, hops });
    }

    /// Offers for another party once more what was refused for the length of the session interval alone (SIP-706). Says
    /// whether the request is on its way.
    pub(crate) fn offer_anew(&mut self, cx: &mut Cx<'_>) -> bool {
        if !self.may_offer() {
            return false;
        }
        let onward = match &mut self.phase {
            Phase::Confirmed(confirmed) => confirmed.ours.onward.take(),
            Phase::Incoming(_) | Phase::Outgoing(_) | Phase::Closing(_) | Phase::Over => None,
        };
        let is_wanted = onward.is_some();
        if let Some(onward) = onward {
            self.offer_for(cx, *onward);
        }
        is_wanted
    }

    fn offer_for(&mut self, cx: &mut Cx<'_>, onward: Onward) {
        let (body, lines) = (onward.body.clone(), onward.lines.clone());
        self.offer_as(cx, body, lines, onward.hops);
        if let Phase::Confirmed(confirmed) = &mut self.phase {
            confirmed.ours.onward = Some(Box::new(onward));
        }
    }

    /// When another party may wish again what the peer has just refused; nothing if that was its last word.
    pub(crate) fn may_ask_after(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Confirmed(confirmed) => confirmed.ours.may_ask_after,
            Phase::Incoming(_) | Phase::Outgoing(_) | Phase::Closing(_) | Phase::Over => None,
        }
    }

    /// As [`Self::offer`]; the re-INVITE also says `lines`.
    pub(crate) fn offer_with(
        &mut self,
        cx: &mut Cx<'_>,
        description: Bytes,
        lines: Vec<(HeaderName, Bytes)>,
    ) {
        let body = Some((ContentType::sdp(), description));
        if self.is_confirmed() {
            self.news.says(Method::Invite, &lines);
        }
        self.offer_as(cx, body, lines, MaxForwards::DEFAULT);
    }

    fn offer_as(
        &mut self,
        cx: &mut Cx<'_>,
        body: Option<(ContentType, Bytes)>,
        lines: Lines,
        hops: MaxForwards,
    ) {
        let Phase::Confirmed(confirmed) = &mut self.phase else {
            return;
        };
        confirmed.ours.is_open = true;
        confirmed.ours.onward = None;
        confirmed.ours.may_ask_after = None;
        // What was said to something else is no answer to this.
        self.reply_heard = None;
        self.timer.set_due(false);
        let lines = self.renamed(lines);
        let invite = Errand {
            method: Method::Invite,
            hops,
            headers: self
                .timer
                .request_lines()
                .into_iter()
                .chain(lines)
                .collect(),
            body,
        };
        let wanted = Wanted::Request(Box::new(invite));
        if let Phase::Confirmed(confirmed) = &mut self.phase {
            confirmed.link.send(cx, &self.style, wanted);
        }
        let limit = cx.now.mono + patience(&self.style);
        self.timers.set(Timer::Offer as usize, limit);
    }

    /// Takes a response to a request of ours within the dialog. Says whether it was one.
    pub(super) fn own_response(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) -> bool {
        let is_of = |link: &Link| link.open(id).is_some();
        let after = self
            .referral
            .after
            .as_deref_mut()
            .filter(|link| is_of(link));
        let link = after.or_else(|| link_where(&mut self.phase, &mut self.strays, is_of));
        let (Some(status), Some(link)) = (message.status(), link) else {
            return false;
        };
        if !status.is_final() {
            return true;
        }
        let event = link.event_of(id);
        let Some(Open { method, cseq, .. }) = link.close(id) else {
            return false;
        };
        if matches!(status.code(), 405 | 501) {
            link.dialog.takes.refuses(&method);
        }
        if status.is_success() && method == Method::Invite {
            link.dialog.refresh_target(message);
            let ack = Wanted::Ack {
                cseq,
                invite: id,
                answer: None,
            };
            link.send(cx, &self.style, ack);
        } else if status.is_success() && is_target_refresh(&method) {
            link.dialog.refresh_target(message);
        }
        if method == Method::Update && self.early_offer_ended(Some((status, message)), up) {
            return true;
        }
        let news = match method {
            Method::Refer => self.refer_answered(cx, cseq, Some(status), Some(message)),
            _ => None,
        };
        if method == Method::Notify {
            self.notify_ended(cx, event.as_ref(), Some(status));
            return true;
        }
        if !self.is_confirmed() {
            self.strays.retain(|stray| !stray.is_done());
            self.tidy_referral(cx);
            return true;
        }
        self.hears(status, message);
        if status.is_success() && matches!(method, Method::Invite | Method::Update) {
            self.timer.answered(message);
            self.restart_session_timer(cx);
        }
        match method {
            Method::Invite => self.offer_ended(cx, status, message, up),
            Method::Update => self.update_ended(cx, status, message, up),
            Method::Options => self.ping_ended(cx, Some(status), true, up),
            Method::Info | Method::Message | Method::Refer => {
                let status = super::crossing::told(&method, Some(status));
                up.push(SessionEvent::Carried { status });
                up.extend(news);
            }
            _ => {}
        }
        true
    }

    /// Keeps a final response that may concern another party, for as long as it takes to tell that.
    fn hears(&mut self, status: Status, message: &Message) {
        let Phase::Confirmed(confirmed) = &self.phase else {
            return;
        };
        let may_say = confirmed.ours.onward.is_some() && !message.body().is_empty();
        let concerns = may_say || status.is_challenge();
        self.reply_heard = concerns.then(|| Box::new(Said::new(message)));
    }

    /// The last response to what another party has asked of the peer, if it may say something to that one.
    pub(crate) fn take_reply(&mut self) -> Option<Box<Said>> {
        self.reply_heard.take()
    }

    fn offer_ended(
        &mut self,
        cx: &mut Cx<'_>,
        status: Status,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Confirmed(confirmed) = &mut self.phase else {
            return;
        };
        self.timers.stop(Timer::Offer as usize);
        confirmed.ours.is_open = false;
        // Who wanted it is told, and a pause of ours beside its own would only refuse its next try.
        let is_onward = confirmed.ours.onward.is_some();
        if status.is_success() {
            confirmed.ours.settled();
            confirmed.ours.onward = None;
            self.news.accepted(&Method::Invite);
            let description = super::description(message);
            return up.push(SessionEvent::OfferAnswered { description });
        }
        // 500 with Retry-After says that the peer's own INVITE is open, as 491 does (SIP-541).
        let asked_for = match message.get::<RetryAfter>() {
            Ok(Some(after)) if status == Status::SERVER_INTERNAL_ERROR => {
                Some(Duration::from_secs(u64::from(after.seconds)).min(LONGEST_PAUSE))
            }
            _ => None,
        };
        // What the peer cannot do now it may do later; what it does not want is its last word.
        if is_onward && status == Status::SERVICE_UNAVAILABLE {
            confirmed.ours.may_ask_after = Some(LONGEST_PAUSE);
        } else if is_onward {
            confirmed.ours.may_ask_after = asked_for;
        }
        let passes = status == Status::REQUEST_TERMINATED || (500..600).contains(&status.code());
        let asked_for = asked_for.or(passes.then_some(LONGEST_PAUSE));
        let mut again = false;
        if !is_onward && (status == Status::REQUEST_PENDING || asked_for.is_some()) {
            again = self.pauses(cx, asked_for.unwrap_or_default());
        }
        let is_longer =
            status == Status::SESSION_INTERVAL_TOO_SMALL && self.timer.lengthens(message);
        if let (false, Phase::Confirmed(confirmed)) = (is_longer, &mut self.phase) {
            confirmed.ours.onward = None;
        }
        if self.survives(cx, Method::Invite, status, up) {
            let again = again || is_longer;
            self.news.refused(&Method::Invite, again);
            self.refresh_failed(cx, again);
            up.push(SessionEvent::OfferRefused { status, again });
        }
    }

    /// Waits before the next offer of ours, at least so long. Says whether there is one.
    pub(super) fn pauses(&mut self, cx: &mut Cx<'_>, least: Duration) -> bool {
        let Phase::Confirmed(confirmed) = &mut self.phase else {
            return false;
        };
        let Some(pause) = confirmed.ours.pause(cx) else {
            return false;
        };
        confirmed.ours.is_pausing = true;
        let until = cx.now.mono + pause.max(least);
        self.timers.set(Timer::Glare as usize, until);
        true
    }

    /// Whether the session outlives this final status of a request of ours within it. If not, it is
    /// ended, with BYE (SIP-545).
    pub(super) fn survives(
        &mut self,
        cx: &mut Cx<'_>,
        method: Method,
        status: Status,
        up: &mut Vec<SessionEvent>,
    ) -> bool {
        // 408 is what a proxy says for silence (RFC 3261 §12.2.1.2).
        let is_lost =
            status == Status::REQUEST_TIMEOUT || Damage::of(status) != Damage::Transaction;
        let is_lost = is_lost && matches!(method, Method::Invite | Method::Update);
        if is_lost && !status.is_success() {
            let status = Some(status);
            let reason = is_gone(status).then(|| Reason::q850(TIMER_EXPIRED, None).to_bytes());
            self.hang_up(cx, Status::REQUEST_TIMEOUT, reason);
            up.push(SessionEvent::Ended(Ending::Lost { method, status }));
            return false;
        }
        true
    }

    /// Takes the end without response of a request of ours within the dialog. Says whether it was
    /// one.
    pub(super) fn own_failed(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        why: Option<&FlowFault>,
        up: &mut Vec<SessionEvent>,
    ) -> bool {
        let is_of = |link: &Link| link.open(id).is_some();
        let after = self
            .referral
            .after
            .as_deref_mut()
            .filter(|link| is_of(link));
        let link = after.or_else(|| link_where(&mut self.phase, &mut self.strays, is_of));
        let Some(link) = link else {
            return false;
        };
        let event = link.event_of(id);
        let Some(open) = link.close(id) else {
            return false;
        };
        if open.method == Method::Update && self.early_offer_ended(None, up) {
            return true;
        }
        if open.method == Method::Notify {
            self.notify_ended(cx, event.as_ref(), None);
            return true;
        }
        if open.method == Method::Refer {
            self.refer_answered(cx, open.cseq, None, None);
        }
        if !self.is_confirmed() {
            self.strays.retain(|stray| !stray.is_done());
            self.tidy_referral(cx);
            return true;
        }
        // Nothing was said to this one.
        self.reply_heard = None;
        let is_silence = why.is_none();
        let mut is_onward = false;
        if let (Phase::Confirmed(confirmed), Method::Invite) = (&mut self.phase, &open.method) {
            self.timers.stop(Timer::Offer as usize);
            confirmed.ours.is_open = false;
            is_onward = confirmed.ours.onward.take().is_some();
            confirmed.ours.may_ask_after = (is_onward && !is_silence).then_some(LONGEST_PAUSE);
        }
        match (is_silence, open.method) {
            // Something later has its answer, so the peer is there and has the dialog.
            (true, Method::Update) if self.refreshed.is_some_and(|at| at > open.since) => {
                self.news.refused(&Method::Update, false);
            }
            // Of a call for help the silence to one request is no proof (SIP-1405).
            (true, method @ (Method::Invite | Method::Update)) if self.spared_until.is_some() => {
                self.refresh_failed(cx, false);
                self.news.refused(&method, false);
                if method == Method::Invite {
                    let status = Status::REQUEST_TIMEOUT;
                    up.push(SessionEvent::OfferRefused {
                        status,
                        again: false,
                    });
                }
                self.asks_whether_there(cx);
            }
            (true, method @ (Method::Invite | Method::Update)) => {
                let reason = Reason::q850(TIMER_EXPIRED, None).to_bytes();
                self.hang_up(cx, Status::REQUEST_TIMEOUT, Some(reason));
                let status = None;
                up.push(SessionEvent::Ended(Ending::Lost { method, status }));
            }
            // A connection that is lost is no call that is lost (SIP-708).
            (false, Method::Invite) => {
                self.refresh_failed(cx, false);
                let again = !is_onward && self.pauses(cx, LONGEST_PAUSE);
                self.news.refused(&Method::Invite, again);
                up.push(SessionEvent::OfferRefused {
                    status: Status::SERVICE_UNAVAILABLE,
                    again,
                });
            }
            (false, Method::Update) => {
                self.refresh_failed(cx, false);
                let again = self.news.is_saying(&Method::Update) && self.pauses(cx, LONGEST_PAUSE);
                self.news.refused(&Method::Update, again);
            }
            (_, Method::Options) => self.ping_ended(cx, None, is_silence, up),
            (_, method @ (Method::Info | Method::Message | Method::Refer)) => {
                let status = super::crossing::told(&method, None);
                up.push(SessionEvent::Carried { status });
            }
            _ => {}
        }
        true
    }

    /// The peer takes too long with its answer, or whoever wanted the change does so no more: it is asked
    /// to stop, and its 487 is awaited.
    pub(crate) fn take_offer_back(&mut self, cx: &mut Cx<'_>) {
        if let Phase::Confirmed(confirmed) = &mut self.phase
            && let Some(invite) = confirmed.link.open_invite()
        {
            confirmed.link.stays(invite);
            let now = cx.now.mono;
            cx.plane.transactions.cancel(now, invite, None, cx.out);
            // A challenge that crosses the CANCEL begins another transaction.
            let limit = now + patience(&self.style);
            self.timers.set(Timer::Offer as usize, limit);
        }
    }

    /// Both sides have waited long enough; whoever still wants to offer may.
    pub(super) fn glare_is_over(&mut self) {
        if let Phase::Confirmed(confirmed) = &mut self.phase {
            confirmed.ours.is_pausing = false;
        }
    }
}
