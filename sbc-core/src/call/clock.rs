//! What the time ends or begins in a call.

use super::{Call, Operation, Timer};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::event::Happened;
use crate::plane::Cx;

impl Call {
    /// Expired timers of the call and its legs.
    pub(crate) fn tick(&mut self, cx: &mut Cx<'_>) {
        for (id, leg) in self.legs.iter_mut() {
            let mut up = Vec::new();
            leg.session.tick(cx, &mut up);
            self.events.extend(up.into_iter().map(|event| (*id, event)));
        }
        self.settle(cx);
        while let Some(timer) = self.timers.expired(cx.now.mono) {
            if timer == Timer::Relay as usize {
                self.media.released(media_api::SessionStats::default());
                let invariant = "the relay reports the end of every session";
                cx.out
                    .emit(Some(self.id), None, Happened::Bug { invariant });
            } else if timer == Timer::Ask as usize {
                match self.operation.take_if(|o| o.is_setup()) {
                    Some(Operation::Setup(setup)) => self.operation = setup.ask_timeout(self, cx),
                    _ => self.ask_timeout(cx),
                }
            } else if timer == Timer::EarlyMedia as usize {
                self.early_media_is_over(cx);
            } else if timer == Timer::Ringback as usize {
                if let Some(Operation::Setup(mut setup)) = self.operation.take_if(|o| o.is_setup())
                {
                    setup.ringback_is_due(self, cx);
                    self.operation = Some(Operation::Setup(setup));
                }
            } else if timer == Timer::Announce as usize {
                if let Some(Operation::Setup(setup)) = self.operation.take_if(|o| o.is_setup()) {
                    self.operation = setup.is_announced(self, cx);
                }
            } else if timer == Timer::Room as usize {
                if let Some(Operation::Setup(setup)) = self.operation.take_if(|o| o.is_setup()) {
                    self.operation = setup.room_is_due(self, cx);
                }
            } else if timer == Timer::Cross as usize {
                self.uncarried(cx);
            } else if timer == Timer::Expires as usize {
                self.expired(cx);
            } else if timer == Timer::Transfer as usize {
                self.transfer_timeout(cx);
            } else if timer == Timer::Fetch as usize {
                self.fetch_timeout(cx);
            } else if timer == Timer::Verify as usize {
                self.verified(cx, None);
            } else if timer == Timer::Held as usize {
                self.held_too_long(cx);
            } else if timer == Timer::Keys as usize {
                self.tell_waiting(cx);
            } else if timer == Timer::Leave as usize {
                self.release_others(cx);
            } else {
                self.limit_reached(cx);
            }
        }
        self.settle(cx);
    }

    /// The caller's invitation holds no longer: 487 if it has no answer yet (RFC 3261 §13.3.1).
    fn expired(&mut self, cx: &mut Cx<'_>) {
        if self.answered.is_none() {
            let because = Because::of("the caller's invitation has expired");
            let status = crate::sip::Status::REQUEST_TERMINATED;
            let (by, code) = (EndedBy::A, CauseCode::NoAnswer);
            self.end_with(cx, by, code, status, because, &[]);
        }
    }

    /// Early media are free of charge, so they must not last for ever (SIP-562).
    fn early_media_is_over(&mut self, cx: &mut Cx<'_>) {
        if self.answered.is_none() {
            let because = Because::of("the longest time of media before the answer is over");
            let status = crate::sip::Status::REQUEST_TERMINATED;
            let (by, code) = (EndedBy::Us, CauseCode::NoAnswer);
            self.end_with(cx, by, code, status, because, &[]);
        }
    }

    fn limit_reached(&mut self, cx: &mut Cx<'_>) {
        let (code, what) = match self.answered {
            Some(_) => (CauseCode::LimitReached, "longest call duration"),
            None => (CauseCode::NoAnswer, "longest set-up time"),
        };
        self.end(
            cx,
            EndedBy::Us,
            code,
            Because::of(format!("{what} is over")),
            &[],
        );
    }
}
