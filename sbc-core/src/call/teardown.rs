//! Teardown: releasing legs → draining media → closing the record (SIP-407).
//!
//! It may pre-empt anything, and nothing pre-empts it. Every leg is ended in the way its own phase
//! needs; the call is over when each has its end and the relay has given its figures.

use super::{A_LEG, Call, RELAY_PATIENCE, Timer, teardown_reason};
use crate::cause::{Cause, CauseCode};
use crate::config::ReasonForm;
use crate::plane::Cx;
use crate::policy::{header, isup};
use crate::session::Parting;
use crate::sip::Status;
use crate::sip::header::{Header, Reason};
use std::sync::Arc;

/// The end of a call.
#[derive(Debug)]
pub(super) struct Teardown(());

impl Teardown {
    /// Ends every leg and the media. `status` answers an INVITE of the A leg that still waits.
    pub(super) fn begin(
        call: &mut Call,
        cx: &mut Cx<'_>,
        cause: Cause,
        status: Status,
        reasons: &[Reason],
    ) -> Self {
        call.record.cause = cause;
        if !call.is_answer_told && !call.caller_has_answer() {
            // The called side's answer waited for a PRACK, and the caller never heard of it.
            call.answered = None;
            call.record.setup_ms = None;
        }
        super::record::ended(call, cx.now);
        super::record::tell_end(call, cx);
        call.timers.clear();
        let parting = call.parting.take().and_then(|(by, said)| {
            let trunk = &call.legs.get(&by)?.session.style().trunk;
            Some((by, said, Arc::clone(trunk), call.speaker(by)))
        });
        for (id, leg) in call.legs.iter_mut() {
            let trunk = Arc::clone(&leg.session.style().trunk);
            let reason = match *id == A_LEG && !leg.session.is_confirmed() {
                // A refusal carries the reason only if somebody gave one.
                true if trunk.habits.reason == ReasonForm::None => None,
                true => reasons.first().map(Header::to_bytes),
                false => teardown_reason(reasons, call.record.cause.code, &trunk),
            };
            let said = match &parting {
                Some((by, said, from, speaker)) if by != id => Parting {
                    lines: header::parting(said, from, &trunk),
                    parts: isup::parts(said, *speaker, from, &trunk),
                },
                Some(_) | None => Parting::default(),
            };
            let code = call.record.cause.code;
            leg.session
                .hang_up_with(cx, status, reason, said, Some(code));
        }
        // Whoever needs its ports needs them now.
        let drains = call.answered.is_some() && call.record.cause.code != CauseCode::Preempted;
        call.media.release(cx, drains);
        if !call.media.is_gone() {
            call.timers
                .set(Timer::Relay as usize, cx.now.mono + RELAY_PATIENCE);
        }
        Self(())
    }
}
