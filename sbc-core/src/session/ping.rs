//! Whether the peer still has the call, asked by OPTIONS within the dialog where there are no session
//! timers (SIP-710).

use super::link::{Errand, Wanted};
use super::{Ending, Phase, Session, SessionEvent, TIMER_EXPIRED, Timer};
use crate::plane::Cx;
use crate::sip::header::{Header, MaxForwards, Reason};
use crate::sip::{Method, Status};
use std::time::Duration;

/// Questions without answer in a row that end the call.
const ENOUGH: u8 = 2;

/// Longest pause before a question is repeated that found nobody.
const AGAIN: Duration = Duration::from_secs(30);

impl Session {
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

    /// A question has its answer; `None` if there was none.
    pub(super) fn ping_ended(
        &mut self,
        cx: &mut Cx<'_>,
        status: Option<Status>,
        up: &mut Vec<SessionEvent>,
    ) {
        // Any other refusal comes from somebody who is there, and does not answer such questions.
        let is_lost = status.is_none_or(|status| {
            matches!(
                status,
                Status::REQUEST_TIMEOUT | Status::CALL_DOES_NOT_EXIST
            )
        });
        if !is_lost {
            return self.pings_later(cx);
        }
        self.unheard = self.unheard.saturating_add(1);
        if self.unheard < ENOUGH {
            let pause = self.style.trunk.dialog_ping.unwrap_or(AGAIN).min(AGAIN);
            let at = cx.now.mono + pause;
            return self.timers.set(Timer::Refreshing as usize, at);
        }
        let reason = Reason::q850(TIMER_EXPIRED, None).to_bytes();
        self.hang_up(cx, Status::REQUEST_TIMEOUT, Some(reason));
        up.push(SessionEvent::Ended(Ending::Lost {
            method: Method::Options,
            status,
        }));
    }
}
