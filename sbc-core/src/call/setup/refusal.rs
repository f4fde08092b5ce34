//! How the caller is refused: the response, and the cause with which the call ends.

use super::vouch;
use crate::call::teardown::Teardown;
use crate::call::{A_LEG, Call, Operation};
use crate::cause::{Because, Cause, CauseCode, EndedBy};
use crate::config::Trunk;
use crate::media::Incompatible;
use crate::plane::Cx;
use crate::policy::response::{self, Mapped};
use crate::session::Refusal;
use crate::sip::Status;
use crate::sip::header::{Header, MinSe, Reason};
use crate::trouble::Trouble;
use bytes::Bytes;

/// Refuses the A leg and ends the call.
pub(super) fn refuse(
    call: &mut Call,
    cx: &mut Cx<'_>,
    mapped: Mapped,
    by: EndedBy,
    because: Because,
    warning: Option<Bytes>,
) -> Option<Operation> {
    let refusal = Refusal {
        warning,
        ..Refusal::default()
    };
    refuse_with(call, cx, mapped, by, because, refusal)
}

/// Refuses an INVITE whose session interval is too short (SIP-704).
pub(super) fn refuse_interval(
    call: &mut Call,
    cx: &mut Cx<'_>,
    trunk: &Trunk,
    least: &MinSe,
) -> Option<Operation> {
    let mapped = Mapped {
        status: Status::SESSION_INTERVAL_TOO_SMALL,
        ..response::own(CauseCode::BadRequest, trunk)
    };
    let because = Because::of(format!(
        "the caller wants a session interval below {} s",
        least.seconds
    ))
    .named(Trouble::IntervalTooShort);
    let refusal = Refusal {
        min_se: Some(least.to_bytes()),
        ..Refusal::default()
    };
    refuse_with(call, cx, mapped, EndedBy::Us, because, refusal)
}

/// As [`refuse`], with the other lines of the refusal.
pub(super) fn refuse_with(
    call: &mut Call,
    cx: &mut Cx<'_>,
    mapped: Mapped,
    by: EndedBy,
    because: Because,
    refusal: Refusal,
) -> Option<Operation> {
    let mut passed = mapped.headers;
    passed.extend(call.unvouched.map(vouch::told));
    let refusal = Refusal {
        status: mapped.status,
        reason: joined(&mapped.reasons),
        passed,
        parts: mapped.parts,
        cause: Some(mapped.cause),
        ..refusal
    };
    if let Some(a) = call.leg(A_LEG) {
        a.session.refuse(cx, &refusal);
    }
    let cause = Cause {
        by,
        code: mapped.cause,
        status: Some(mapped.status.code()),
        q850: mapped.q850,
        because,
    };
    let teardown = Teardown::begin(call, cx, cause, mapped.status, &mapped.reasons);
    Some(Operation::Teardown(teardown))
}

/// Refuses A's own offer.
pub(super) fn refuse_offer(
    call: &mut Call,
    cx: &mut Cx<'_>,
    incompatible: &Incompatible,
) -> Option<Operation> {
    call.media_refused(cx, A_LEG, incompatible);
    let a = &call.legs.get(&A_LEG)?.session;
    let mapped = response::own(CauseCode::MediaIncompatible, &a.style().trunk);
    let because = Because::of(incompatible.because.text()).named(incompatible.because);
    let warning = a.own_name().map(|agent| warning(&agent, incompatible));
    refuse(call, cx, mapped, EndedBy::Us, because, warning)
}

/// Value of a Warning header.
fn warning(agent: &str, incompatible: &Incompatible) -> Bytes {
    let said = &incompatible.warning;
    Bytes::from(format!("{} {agent} \"{}\"", said.code, said.text))
}

/// Reason headers as one value.
fn joined(reasons: &[Reason]) -> Option<Bytes> {
    let values: Vec<String> = reasons
        .iter()
        .map(|r| String::from_utf8_lossy(&r.to_bytes()).into_owned())
        .collect();
    (!values.is_empty()).then(|| Bytes::from(values.join(", ")))
}
