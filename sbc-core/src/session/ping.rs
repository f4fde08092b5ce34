//! OPTIONS within the dialog: whether the peer still has the call, where there are no session timers
//! (SIP-710), and a sign of life for the NAT before it (SIP-107).
//!
//! A NAT need not count what comes from outside (RFC 4787 REQ-6), so the peer is asked something that every
//! peer answers.

use super::link::{Errand, Wanted};
use super::{Ending, Phase, Session, SessionEvent, TIMER_EXPIRED, Timer};
use crate::plane::Cx;
use crate::sip::header::{Header, MaxForwards, Reason};
use crate::sip::{Method, Status};
use crate::time::Timestamp;
use std::time::Duration;

/// Questions without answer in a row that end the call.
const ENOUGH: u8 = 2;

/// How often a NAT is shown that a way is in use: it may forget it after half a minute (RFC 5626 §4.4.2 has
/// the same bounds for datagrams).
const WAY_PAUSE: (Duration, Duration) = (Duration::from_secs(24), Duration::from_secs(29));

/// Longest pause before a question is repeated that found nobody.
const AGAIN: Duration = Duration::from_secs(30);

/// What unanswered questions count of whoever is on the line for help: silence and 481 more than a way that fails,
/// which may be mended.
const SILENCE: u8 = 5;
const NO_WAY: u8 = 1;
/// When they prove that nobody is there.
const PROVEN: u8 = 10;

/// How often a peer is asked that was in doubt and has answered.
const WATCH: Duration = Duration::from_secs(300);

/// What is known of a peer that is asked whether it is there, because no time alone ends a call for help.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Examined {
    /// What questions without answer count.
    against: u8,
    /// When one counted last: a NAT and `dialog_ping` have theirs asked as well, and one silence is one.
    counted: Option<Timestamp>,
}

impl Session {
    /// Something of ours would end the call because nothing is heard of the peer, or because it takes long: of
    /// a call for help the peer itself is asked, and only silence ends it (TDR-EMG-006).
    pub(crate) fn asks_whether_there(&mut self, cx: &mut Cx<'_>) {
        self.examined.get_or_insert_default();
        self.asks(cx);
    }

    /// A question of these has its answer.
    fn is_examined(
        &mut self,
        cx: &mut Cx<'_>,
        is_lost: bool,
        is_silence: bool,
        up: &mut Vec<SessionEvent>,
    ) {
        let Some(examined) = &mut self.examined else {
            return;
        };
        let again = match is_lost {
            true => AGAIN,
            false => WATCH,
        };
        let now = cx.now.mono;
        let is_same = examined.counted.is_some_and(|at| at + AGAIN > now);
        if is_lost && is_same {
            if !self.timers.is_set(Timer::Examine as usize) {
                self.timers.set(Timer::Examine as usize, now + again);
            }
            return;
        }
        examined.counted = is_lost.then_some(now);
        examined.against = match (is_lost, is_silence) {
            (false, _) => 0,
            (true, true) => examined.against.saturating_add(SILENCE),
            (true, false) => examined.against.saturating_add(NO_WAY),
        };
        let is_proven = examined.against >= PROVEN;
        self.timers.set(Timer::Examine as usize, now + again);
        if is_lost {
            up.push(SessionEvent::Unheard { is_proven });
        }
    }

    /// A peer that is asked whether it is there does not answer, and is not heard.
    pub(crate) fn is_given_up(&mut self, cx: &mut Cx<'_>, up: &mut Vec<SessionEvent>) {
        if self.is_confirmed() {
            self.is_gone(cx, None, up);
        }
    }

    /// The peer is heard, so it is there.
    pub(crate) fn is_heard(&mut self) {
        if let Some(examined) = &mut self.examined {
            *examined = Examined::default();
        }
    }

    /// Nobody is there any more.
    fn is_gone(&mut self, cx: &mut Cx<'_>, status: Option<Status>, up: &mut Vec<SessionEvent>) {
        self.timers.stop(Timer::Examine as usize);
        let reason = Reason::q850(TIMER_EXPIRED, None).to_bytes();
        self.hang_up(cx, Status::REQUEST_TIMEOUT, Some(reason));
        up.push(SessionEvent::Ended(Ending::Lost {
            method: Method::Options,
            status,
        }));
    }

    /// Asks again after the trunk's pause: something of the peer has just been heard.
    pub(super) fn pings_later(&mut self, cx: &Cx<'_>) {
        if let Some(pause) = self.style.trunk.dialog_ping {
            self.unheard = 0;
            let at = cx.now.mono + pause;
            self.timers.set(Timer::Refreshing as usize, at);
        }
    }

    /// It is time to refresh the session, or to ask the peer whether it is there.
    pub(super) fn shows_life(&mut self, cx: &mut Cx<'_>) {
        if self.style.trunk.dialog_ping.is_none() {
            return self.timer.set_due(true);
        }
        self.asks(cx);
    }

    /// Shows the NAT before a peer, if there is one, that the call goes on, from now on.
    pub(super) fn keeps_way_open(&mut self, cx: &mut Cx<'_>) {
        let Phase::Confirmed(confirmed) = &self.phase else {
            return;
        };
        let trunk = &self.style.trunk;
        // Whoever registers keeps its way open with that, in either direction.
        let registers = trunk.registrar.is_some() || trunk.register.is_some();
        if registers || !confirmed.link.is_behind_nat(&self.style) {
            return;
        }
        let at = cx.now.mono + cx.plane.mint.delay(WAY_PAUSE.0, WAY_PAUSE.1);
        self.timers.set(Timer::Way as usize, at);
    }

    /// The NAT would forget the way.
    pub(super) fn way_is_due(&mut self, cx: &mut Cx<'_>) {
        self.asks(cx);
        self.keeps_way_open(cx);
    }

    fn asks(&mut self, cx: &mut Cx<'_>) {
        let Phase::Confirmed(confirmed) = &mut self.phase else {
            return;
        };
        let question = Errand {
            method: Method::Options,
            hops: MaxForwards::DEFAULT,
            headers: Vec::new(),
            body: None,
        };
        let wanted = Wanted::Request(Box::new(question));
        confirmed.link.send(cx, &self.style, wanted);
    }

    /// A question has its answer; `None` if there was none, because the peer is silent or there is no way to it.
    pub(super) fn ping_ended(
        &mut self,
        cx: &mut Cx<'_>,
        status: Option<Status>,
        is_silence: bool,
        up: &mut Vec<SessionEvent>,
    ) {
        // Any other refusal comes from somebody who is there, and does not answer such questions.
        let is_lost = status.is_none_or(|status| {
            matches!(
                status,
                Status::REQUEST_TIMEOUT | Status::CALL_DOES_NOT_EXIST
            )
        });
        if self.examined.is_some() {
            if !is_lost {
                self.pings_later(cx);
            }
            return self.is_examined(cx, is_lost, is_silence, up);
        }
        if !is_lost {
            self.unheard = 0;
            return self.pings_later(cx);
        }
        let pause = self.style.trunk.dialog_ping;
        if pause.is_none() && status != Some(Status::CALL_DOES_NOT_EXIST) {
            // It was asked for the sake of the NAT alone, and need not answer.
            return;
        }
        self.unheard = self.unheard.saturating_add(1);
        if self.unheard < ENOUGH {
            if let Some(pause) = pause {
                let at = cx.now.mono + pause.min(AGAIN);
                self.timers.set(Timer::Refreshing as usize, at);
            }
            return;
        }
        self.is_gone(cx, status, up);
    }
}
