//! Refreshing a session and its end without refresh (RFC 4028 §10): the part that acts.

use super::link::{Errand, Wanted};
use super::{Ending, Phase, Session, SessionEvent, TIMER_EXPIRED, Timer};
use crate::config::Preset;
use crate::id::TransactionId;
use crate::plane::Cx;
use crate::sip::header::{Header, MaxForwards, MinSe, Reason};
use crate::sip::{HeaderName, Message, Method, Status};
use crate::tally::{RefreshResult, RefreshRole};
use bytes::Bytes;
use std::time::Duration;

/// Pause after a refresh that failed without ending the session (SIP-708).
const AGAIN: Duration = Duration::from_secs(10);

impl Session {
    /// Counts the interval from now: an INVITE or UPDATE has its 2xx.
    pub(super) fn restart_session_timer(&mut self, cx: &mut Cx<'_>) {
        let is_again = self.refreshed.replace(cx.now.mono).is_some();
        if is_again && self.timer.interval_s().is_some() {
            self.count_refresh(cx, RefreshResult::Refreshed);
        }
        self.is_heard();
        self.stop_session_timer();
        self.pings_later(cx);
        self.keeps_way_open(cx);
        let wanted = self.timer.deadlines();
        if let Some(after) = wanted.refresh {
            let at = cx.now.mono + after;
            self.timers.set(Timer::Refreshing as usize, at);
        }
        if let Some(after) = wanted.give_up {
            self.timers.set(Timer::Expiry as usize, cx.now.mono + after);
        }
    }

    pub(super) fn stop_session_timer(&mut self) {
        self.timers.stop(Timer::Refreshing as usize);
        self.timers.stop(Timer::Expiry as usize);
    }

    /// The session is to be refreshed though no timer says so: whoever has lost the call answers that, or not at all.
    pub(crate) fn refreshes_soon(&mut self) {
        if self.is_confirmed() {
            self.timer.set_due(true);
        }
    }

    /// Whether our refresh waits to be sent.
    pub(crate) fn refresh_is_due(&self) -> bool {
        self.timer.is_due()
    }

    /// Whether the refresh is an UPDATE without description; else it is a re-INVITE with the last
    /// one. Teams wants nothing but the latter (TDR-TMR-003).
    pub(crate) fn refreshes_by_update(&self) -> bool {
        let trunk = &self.style.trunk;
        // A peer that should not use it is not asked to.
        let is_used = trunk.preset != Preset::Teams && trunk.allow.contains(&Method::Update);
        is_used && self.takes(&Method::Update)
    }

    /// Refreshes by UPDATE, which also says `lines`.
    pub(crate) fn refresh(&mut self, cx: &mut Cx<'_>, lines: Vec<(HeaderName, Bytes)>) {
        if !self.is_confirmed() {
            return;
        }
        self.timer.set_due(false);
        self.news.says(Method::Update, &lines);
        let lines = self.renamed(lines);
        let update = Errand {
            method: Method::Update,
            hops: MaxForwards::DEFAULT,
            headers: self
                .timer
                .request_lines()
                .into_iter()
                .chain(lines)
                .collect(),
            body: None,
        };
        let wanted = Wanted::Request(Box::new(update));
        if let Phase::Confirmed(confirmed) = &mut self.phase {
            confirmed.link.send(cx, &self.style, wanted);
        }
    }

    /// An UPDATE of ours has its final response.
    pub(super) fn update_ended(
        &mut self,
        cx: &mut Cx<'_>,
        status: Status,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let method = &Method::Update;
        if status.is_success() {
            if let Phase::Confirmed(confirmed) = &mut self.phase {
                confirmed.ours.settled();
            }
            return self.news.accepted(method);
        }
        if matches!(status.code(), 405 | 501) {
            // It is in the peer's Allow all the same, and not believed any more.
            return self.update_goes_again();
        }
        if status == Status::REQUEST_PENDING && self.pauses(cx, Duration::ZERO) {
            return self.update_goes_again();
        }
        let is_longer =
            status == Status::SESSION_INTERVAL_TOO_SMALL && self.timer.lengthens(message);
        self.news.refused(method, is_longer);
        if self.survives(cx, Method::Update, status, up) {
            self.refresh_failed(cx, is_longer);
        }
    }

    /// What an UPDATE was for is asked for again, as soon as there is room: where it was no refresh, by
    /// what it said alone.
    fn update_goes_again(&mut self) {
        let is_refresh = self.timer.is_ours() || !self.news.is_saying(&Method::Update);
        self.news.refused(&Method::Update, true);
        if is_refresh {
            self.timer.set_due(true);
        }
    }

    /// An INVITE or UPDATE of ours failed, and the session goes on. If it was a refresh, it is made
    /// again: `soon` where nothing but a longer interval or the end of a glare is needed.
    pub(super) fn refresh_failed(&mut self, cx: &mut Cx<'_>, soon: bool) {
        if !self.timer.is_ours() || self.timers.is_set(Timer::Refreshing as usize) {
            return;
        }
        self.count_refresh(cx, RefreshResult::Failed);
        if soon {
            self.timer.set_due(true);
        } else {
            self.timers
                .set(Timer::Refreshing as usize, cx.now.mono + AGAIN);
        }
    }

    fn count_refresh(&self, cx: &mut Cx<'_>, result: RefreshResult) {
        let role = match self.timer.is_ours() {
            true => RefreshRole::Local,
            false => RefreshRole::Peer,
        };
        let tally = cx.plane.tally.of(&self.style.trunk.name);
        tally.refresh(role, result);
    }

    /// Nobody refreshed in time: BYE.
    pub(super) fn expired(&mut self, cx: &mut Cx<'_>, up: &mut Vec<SessionEvent>) {
        let Some(interval_s) = self.timer.interval_s().filter(|_| self.is_confirmed()) else {
            return;
        };
        if let Some(until) = self.spared_until.filter(|until| *until > cx.now.mono) {
            // Whoever calls for help is not hung up on because his equipment keeps no time.
            self.timers.set(Timer::Expiry as usize, until);
            return;
        }
        if self.spared_until.is_some() {
            return self.asks_whether_there(cx);
        }
        self.count_refresh(cx, RefreshResult::Expired);
        let reason = Reason::q850(TIMER_EXPIRED, None).to_bytes();
        self.hang_up(cx, Status::REQUEST_TIMEOUT, Some(reason));
        up.push(SessionEvent::Ended(Ending::Expired { interval_s }));
    }

    /// Whether a request asks for a shorter interval than this trunk accepts.
    pub(super) fn is_too_short(&self, request: &Message) -> bool {
        self.least_interval(request).is_some()
    }

    /// The Min-SE for a request that asks for a shorter interval than this trunk accepts (SIP-704). A call for
    /// help takes any interval: its caller may not know what to make of a refusal (SIP-1401).
    pub(crate) fn least_interval(&self, request: &Message) -> Option<MinSe> {
        let least = self.style.least_interval(request);
        least.filter(|_| self.spared_until.is_none())
    }

    /// 422 with Min-SE.
    pub(super) fn reply_too_short(&self, cx: &mut Cx<'_>, id: TransactionId, request: &Message) {
        let least = self.least_interval(request);
        let status = Status::SESSION_INTERVAL_TOO_SMALL;
        self.reply(cx, id, request, status, |response| match least {
            Some(least) => response.header(&least),
            None => response,
        });
    }
}
