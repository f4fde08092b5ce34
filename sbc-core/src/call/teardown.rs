//! Teardown: releasing legs → draining media → closing the record (SIP-407).
//!
//! It may pre-empt anything, and nothing pre-empts it. Every leg is ended in the way its own phase
//! needs; the call is over when each has its end and the relay has given its figures.

use super::{A_LEG, Call, RELAY_PATIENCE, Timer, teardown_reason};
use crate::cause::Cause;
use crate::plane::Cx;
use crate::sip::Status;
use crate::sip::header::{Header, Reason};

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
        call.timers.clear();
        for (id, leg) in &mut call.legs {
            let reason = match *id == A_LEG && !leg.session.is_confirmed() {
                // A refusal carries the reason only if somebody gave one.
                true => reasons.first().map(Header::to_bytes),
                false => teardown_reason(reasons),
            };
            leg.session.hang_up(cx, status, reason);
        }
        call.media.release(cx);
        if !call.media.is_gone() {
            call.timers
                .set(Timer::Relay as usize, cx.now.mono + RELAY_PATIENCE);
        }
        Self(())
    }
}
