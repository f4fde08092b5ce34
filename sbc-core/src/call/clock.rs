//! What the time ends or begins in a call.

use super::{Call, Operation, Timer};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::event::Happened;
use crate::id::LegId;
use crate::plane::Cx;
use crate::policy::emergency;
use crate::policy::number::Number;
use crate::trouble::Trouble;
use media_api::Event as MediaEvent;
use std::time::Duration;

impl Call {
    /// Whether nobody has answered it yet.
    pub(crate) fn is_set_up(&self) -> bool {
        matches!(self.operation, Some(Operation::Setup(_)))
    }

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
        // Whoever calls for help may wait in a queue (SIP-1404), and can hang up.
        if self.answered.is_none() && !self.record.emergency {
            let because = Because::of("the caller's invitation has expired")
                .named(Trouble::InvitationExpired);
            let status = crate::sip::Status::REQUEST_TERMINATED;
            let (by, code) = (EndedBy::A, CauseCode::NoAnswer);
            self.end_with(cx, by, code, status, because, &[]);
        }
    }

    /// Nobody has answered while the caller heard early media for as long as it may.
    pub(super) fn set_up_with_media_is_over(&mut self, cx: &mut Cx<'_>) {
        if self.answered.is_none() {
            let because = Because::of("the longest time of media before the answer is over")
                .named(Trouble::EarlyMediaTooLong);
            let status = crate::sip::Status::REQUEST_TERMINATED;
            let (by, code) = (EndedBy::Us, CauseCode::NoAnswer);
            self.end_with(cx, by, code, status, because, &[]);
        }
    }

    /// Ends the call if the relay says that one of the two parties has fallen silent.
    pub(super) fn heard_nothing(&mut self, cx: &mut Cx<'_>, event: &MediaEvent) {
        let MediaEvent::Silent {
            endpoint,
            silent_ms,
            ..
        } = event
        else {
            return;
        };
        let leg = LegId(endpoint.0);
        if self.is_apart(leg) || self.is_theirs_to_end() {
            return;
        }
        if self.record.emergency {
            // It may hold a receiver that sends nothing: it is asked each minute of that.
            if let Some(silent) = self.leg(leg) {
                silent.session.asks_whether_there(cx);
            }
            return;
        }
        let side = match self.side(leg) {
            EndedBy::A => "the calling side",
            EndedBy::B | EndedBy::Us => "the called side",
        };
        let because = Because::of(format!("no media from {side} for {silent_ms} ms"));
        self.end(cx, EndedBy::Us, CauseCode::MediaTimeout, because, &[]);
    }

    /// How long it may take until somebody answers. Those who help may be busy for long.
    pub(super) fn longest_setup(&self) -> Duration {
        let usual = self.config.limits.max_setup;
        match self.record.emergency {
            true => usual.max(emergency::LONGEST_SETUP),
            false => usual,
        }
    }

    /// Who comes into a call for help is spared as those that it began with (SIP-1405).
    pub(super) fn spare(&mut self, cx: &Cx<'_>, leg: LegId) {
        let until = cx.now.mono + emergency::SPARED;
        let is_emergency = self.record.emergency;
        if let Some(leg) = self.legs.get_mut(&leg).filter(|_| is_emergency) {
            leg.session.spare_until(until);
        }
    }

    /// As [`Self::spare`], for all that are here.
    pub(super) fn spare_all(&mut self, cx: &Cx<'_>) {
        let until = cx.now.mono + emergency::SPARED;
        for leg in self.legs.values_mut() {
            leg.session.spare_until(until);
        }
    }

    /// A party of a call for help is here now, on this side or called by it: what holds for that call holds for this
    /// one (SIP-1405).
    pub(super) fn becomes_help(&mut self, cx: &Cx<'_>, seeks: EndedBy) {
        if !self.record.emergency {
            self.seeks_help = seeks;
        }
        self.record.emergency = true;
        self.places.become_help();
        self.spare_all(cx);
        if self.answered.is_none() {
            let limit = cx.now.mono + self.longest_setup();
            self.timers.set(Timer::Limit as usize, limit);
        }
    }

    /// Somebody of a trunk has it that help is called.
    pub(super) fn tells_of_help(&self, cx: &mut Cx<'_>, by: LegId, called: &Number) {
        if let Some(trunk) = self.trunk_of(by) {
            let what = Happened::Emergency {
                tenant: self.tenant.clone(),
                trunk: trunk.name.clone(),
                called: called.number.clone(),
            };
            cx.out.emit(Some(self.id), Some(by), what);
        }
    }

    /// Of a call for help the parties are asked whether they are there: no time of ours ends it.
    fn is_examined(&mut self, cx: &mut Cx<'_>) {
        let talking: Vec<LegId> = self
            .bridge
            .into_iter()
            .flat_map(<[LegId; 2]>::from)
            .collect();
        for leg in talking {
            if let Some(leg) = self.leg(leg) {
                leg.session.asks_whether_there(cx);
            }
        }
    }

    fn limit_reached(&mut self, cx: &mut Cx<'_>) {
        if self.answered.is_some() && self.record.emergency {
            return self.is_examined(cx);
        }
        let (code, what, own) = match self.answered {
            Some(_) => {
                let own = Trouble::CallTooLong;
                (CauseCode::LimitReached, "longest call duration", own)
            }
            None => {
                let own = Trouble::SetupTooLong;
                (CauseCode::NoAnswer, "longest set-up time", own)
            }
        };
        self.end(
            cx,
            EndedBy::Us,
            code,
            Because::of(format!("{what} is over")).named(own),
            &[],
        );
    }
}
