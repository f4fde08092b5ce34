//! What the relay says of the media of a call, and what follows of it.

use super::{Call, Operation, TEMPORARY_FAILURE, Timer};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::event::Happened;
use crate::id::LegId;
use crate::plane::Cx;
use crate::policy::crossing::Pressed;
use crate::sip::header::Reason;
use crate::trouble::Trouble;
use media_api::{Event as MediaEvent, HandshakeFault};

impl Call {
    /// A report of the relay.
    pub(crate) fn media_event(&mut self, cx: &mut Cx<'_>, mut event: MediaEvent) {
        if let MediaEvent::Lost { .. } = event {
            return self.media_is_lost(cx, event);
        }
        if let MediaEvent::Refused { endpoints, .. } = &event {
            self.media.not_held(endpoints);
        }
        if let Some(endpoint) = event.endpoint_mut() {
            *endpoint = self.media.leg_of(*endpoint);
        }
        if let MediaEvent::Reported { endpoint, .. } = event {
            // Nothing of the call depends on it.
            let leg = LegId(endpoint.0);
            return cx
                .out
                .emit(Some(self.id), Some(leg), Happened::Media(event));
        }
        if self.is_moved(cx, &event) {
            cx.out.emit(Some(self.id), None, Happened::Media(event));
            return self.settle(cx);
        }
        if let MediaEvent::Digit {
            endpoint,
            digit,
            duration_ms,
            ..
        } = event
        {
            // Which it was is nothing for logs (MED-226).
            self.digit_heard(cx, LegId(endpoint.0), Pressed { digit, duration_ms });
            return self.settle(cx);
        }
        if let MediaEvent::DigitBegun {
            endpoint, digit, ..
        } = event
        {
            self.digit_begins(cx, LegId(endpoint.0), digit);
            return self.settle(cx);
        }
        if self.waits_for_media(cx, &event) {
            return self.settle(cx);
        }
        match &event {
            MediaEvent::Allocated { .. } => self.media.reserved(),
            MediaEvent::KeyWorn {
                endpoint, fresh, ..
            } => self.key_worn(cx.now.mono, LegId(endpoint.0), fresh),
            MediaEvent::OneWay { endpoint, kind, .. } => {
                self.one_way_begins(cx.now, *endpoint, *kind);
            }
            MediaEvent::OneWayOver {
                endpoint,
                lasted_ms,
                ..
            } => self.one_way_ends(*endpoint, *lasted_ms),
            MediaEvent::Played {
                endpoint, heard, ..
            } => self.media.played(*endpoint, *heard),
            // Something else may still be reserved where this is no answer to what was asked last.
            MediaEvent::Refused { endpoints, .. }
                if endpoints.is_empty() || self.media.is_last_answer(&event) =>
            {
                self.media.refused();
                if self.media.is_gone() {
                    self.timers.stop(Timer::Relay as usize);
                }
            }
            _ => {}
        }
        match &event {
            MediaEvent::Released { stats, .. } => {
                self.timers.stop(Timer::Relay as usize);
                self.tell_figures(cx, stats);
                self.media.released(stats.clone());
            }
            MediaEvent::Stats { stats, .. } => self.tell_figures(cx, stats),
            other => cx
                .out
                .emit(Some(self.id), None, Happened::Media(other.clone())),
        }
        if let MediaEvent::HandshakeFailed { endpoint, why, .. } = event {
            self.handshake_failed(cx, LegId(endpoint.0), why);
            return self.settle(cx);
        }
        if !self.media.is_last_answer(&event) {
            return self.settle(cx);
        }
        match self.operation.take() {
            Some(Operation::Setup(setup)) => {
                self.operation = setup.media_event(self, cx, event);
            }
            Some(Operation::Transfer(transfer)) => {
                self.operation = transfer.media_event(self, cx, event);
            }
            Some(Operation::Replace(replace)) => {
                self.operation = replace.media_event(self, cx, event);
            }
            None => self.heard_nothing(cx, &event),
            teardown @ Some(Operation::Teardown(_)) => self.operation = teardown,
        }
        self.settle(cx);
    }

    /// The process of the relay has ended, and with it the ports that the parties know: the call cannot go on.
    fn media_is_lost(&mut self, cx: &mut Cx<'_>, event: MediaEvent) {
        self.timers.stop(Timer::Relay as usize);
        cx.out.emit(Some(self.id), None, Happened::Media(event));
        self.media.released(media_api::SessionStats::default());
        let because = Because::of("media relay ended").named(Trouble::RelayLost);
        let (who, code) = (EndedBy::Us, CauseCode::MediaUnavailable);
        let reason = Reason::q850(TEMPORARY_FAILURE, None);
        self.end(cx, who, code, because, &[reason]);
        self.settle(cx);
    }

    /// Ends the call if the media of one of its parties have no keys and will have none (MED-133): nobody would
    /// hear anything, and nothing goes out in the clear instead. A caller that waits is refused.
    fn handshake_failed(&mut self, cx: &mut Cx<'_>, leg: LegId, why: HandshakeFault) {
        if self.is_apart(leg) || self.is_theirs_to_end() {
            return;
        }
        let side = match self.side(leg) {
            EndedBy::A => "the calling side",
            EndedBy::B | EndedBy::Us => "the called side",
        };
        let because =
            Because::of(format!("the DTLS handshake with {side} failed: {why}")).named(why);
        let code = CauseCode::HandshakeFailed;
        self.end(cx, EndedBy::Us, code, because, &[]);
    }
}
