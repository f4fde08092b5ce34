//! What of the B leg's failure goes back to the A leg: status, cause, Reason; and when the next
//! attempt is worth while (§5.2, §12 of our requirements).

use crate::cause::{Because, CauseCode, Decision};
use crate::config::{Preset, ReasonForm, Trunk};
use crate::policy::emergency::Parts;
use crate::sip::header::Reason;
use crate::sip::{HeaderName, QuotedText, Status, Token};
use bytes::Bytes;

/// A final failure as the A leg is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// Status of our response.
    pub status: Status,
    /// Reason headers of our response.
    pub reasons: Vec<Reason>,
    /// Name of the cause for record and metrics.
    pub cause: CauseCode,
    /// Q.850 cause value for the record.
    pub q850: Option<u8>,
    /// Headers of the peer's response that pass unchanged.
    pub headers: Vec<(HeaderName, Bytes)>,
    /// Parts of its body that do.
    pub parts: Parts,
}

/// Whose doing a failure of the B leg was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Failure {
    /// The peer answered with this status.
    Status(Status),
    /// We cancelled the attempt, and 487 came back.
    Cancelled,
    /// No response at all came from any target.
    NoResponse,
    /// It rang, and nobody answered within our limit.
    NoAnswer,
    /// No target could be reached: DNS, connection or TLS.
    Unreachable,
    /// The peer registers with us, and has nothing registered.
    Unregistered,
}

/// Translates a failure of the B leg for the A leg's trunk.
///
/// `reasons` are the Reason values of the B leg's response. Towards Teams the Q.850 value decides,
/// because the status decides there whether the call is tried elsewhere (TDR-ERR-010, Annex B).
pub fn mapped(failure: Failure, reasons: &[Reason], to: &Trunk) -> Decision<Mapped> {
    mapped_warned(failure, reasons, None, true, to)
}

/// As [`mapped`], of a response whose Warning has this code: of 488 and 606 it says whether the media
/// did not fit (RFC 3398 §8.2.6.1). Of 408 it counts whether anybody was reached before: then it is a
/// user who did not answer, else a peer that reaches nobody.
pub fn mapped_warned(
    failure: Failure,
    reasons: &[Reason],
    warning: Option<u16>,
    has_progress: bool,
    to: &Trunk,
) -> Decision<Mapped> {
    let given = q850_of_reasons(reasons);
    let of_nobody = of_nobody(failure, to.preset).unwrap_or(Status::REQUEST_TERMINATED);
    let (status, cause, fact) = match failure {
        Failure::Status(status) => (
            match (status, given, to.preset) {
                (Status::REQUEST_TIMEOUT, None, Preset::Teams) if !has_progress => status,
                _ => from_peer(status, given, to.preset),
            },
            cause_of(status, given),
            format!("the called side answered {status}"),
        ),
        Failure::Cancelled => (
            of_nobody,
            CauseCode::CallerCancelled,
            "we cancelled the attempt".to_owned(),
        ),
        Failure::NoResponse => (
            of_nobody,
            CauseCode::PeerTimeout,
            "no target answered".to_owned(),
        ),
        Failure::NoAnswer => (
            of_nobody,
            CauseCode::NoAnswer,
            "nobody answered in time".to_owned(),
        ),
        Failure::Unreachable => (
            of_nobody,
            CauseCode::PeerUnreachable,
            "no target could be reached".to_owned(),
        ),
        Failure::Unregistered => (
            of_nobody,
            CauseCode::PeerUnreachable,
            "there is nobody to be called".to_owned(),
        ),
    };
    // The operator knows the peer better than any table (§5.2).
    let came = match failure {
        Failure::Status(got) => got,
        _ => status,
    };
    let told_instead = instead_of(came, to).filter(|_| failure != Failure::Cancelled);
    let status = told_instead.as_ref().map_or(status, |(told, _)| *told);
    let q850 = given.or(match failure {
        Failure::Status(status) if status.code() == 488 || status.code() == 606 => match warning {
            // 3xx but 370, which is about bandwidth, are about network, address and media types.
            None | Some(300..=369) => q850_of(status),
            Some(_) => Some(31),
        },
        // Every refusal towards Teams has a cause (TDR-ERR-010).
        Failure::Status(Status::REQUEST_TERMINATED) if to.preset == Preset::Teams => Some(31),
        // Temporary failure: the trunk's, not the caller's.
        Failure::Status(Status::UNAUTHORIZED | Status::PROXY_AUTHENTICATION_REQUIRED)
            if to.preset == Preset::Teams =>
        {
            Some(41)
        }
        Failure::Status(status) => q850_of(status),
        Failure::Cancelled => None,
        Failure::NoResponse => Some(102),
        Failure::NoAnswer => Some(19),
        Failure::Unreachable => Some(38),
        // The subscriber is absent.
        Failure::Unregistered => Some(20),
    });
    let mut because = Because::of(fact);
    if let Some(cause) = given {
        because = because.and(format!("its Reason says Q.850 cause {cause}"));
    }
    let is_other = matches!(failure, Failure::Status(got) if got != status);
    if let Some((_, fact)) = told_instead {
        because = because.and(fact);
    } else if is_other {
        because = because.and(format!("trunk \"{}\" is told {status} instead", to.name));
    }
    Decision {
        value: Mapped {
            status,
            reasons: told(reasons, q850, to),
            cause,
            q850,
            headers: Vec::new(),
            parts: Parts::default(),
        },
        because,
    }
}

/// What the operator has a trunk told in place of a status, and that it is so.
fn instead_of(came: Status, to: &Trunk) -> Option<(Status, String)> {
    let told = *to.habits.responses.get(&came.code())?;
    let name = &to.name;
    let fact = format!("trunk \"{name}\" is told {told} instead of {came}, as its responses say");
    Some((told, fact))
}

/// Why the status of [`own`] is another than usual, where the operator says so.
pub fn own_instead(cause: CauseCode, to: &Trunk) -> Option<String> {
    let came = of_nobody(failure_of(cause)?, to.preset)?;
    instead_of(came, to).map(|(_, fact)| fact)
}

/// Status of what no peer has said.
fn of_nobody(failure: Failure, to: Preset) -> Option<Status> {
    Some(match failure {
        Failure::Status(_) | Failure::Cancelled => return None,
        Failure::NoResponse if to == Preset::Teams => Status::REQUEST_TIMEOUT,
        Failure::NoResponse => Status::SERVER_TIMEOUT,
        // Makes Teams try its next SBC; a carrier would quarantine us for it (SIP-1721).
        Failure::Unreachable if to == Preset::Teams => Status::SERVICE_UNAVAILABLE,
        Failure::Unreachable => Status::BAD_GATEWAY,
        Failure::NoAnswer | Failure::Unregistered => Status::TEMPORARILY_UNAVAILABLE,
    })
}

/// What a cause of ours is to a caller that still waits, where that is a failure of the called side.
const fn failure_of(cause: CauseCode) -> Option<Failure> {
    match cause {
        CauseCode::PeerUnreachable => Some(Failure::Unreachable),
        CauseCode::PeerTimeout => Some(Failure::NoResponse),
        CauseCode::NoAnswer => Some(Failure::NoAnswer),
        _ => None,
    }
}

/// Status for a call that we end ourselves before it is answered.
pub fn own(cause: CauseCode, to: &Trunk) -> Mapped {
    let status = match cause {
        CauseCode::NormalClearing
        | CauseCode::PeerRejected
        | CauseCode::Presence
        | CauseCode::Operator
        | CauseCode::RestartLost => Status::TEMPORARILY_UNAVAILABLE,
        CauseCode::CallerCancelled => Status::REQUEST_TERMINATED,
        CauseCode::PeerBusy => Status::BUSY_HERE,
        CauseCode::NumberUnknown | CauseCode::NoRoute => Status::NOT_FOUND,
        CauseCode::CallerNotAllowed | CauseCode::SpendReached => Status::FORBIDDEN,
        CauseCode::LoopDetected => Status::LOOP_DETECTED,
        CauseCode::BadRequest => Status::BAD_REQUEST,
        CauseCode::MediaIncompatible | CauseCode::HandshakeFailed => Status::NOT_ACCEPTABLE_HERE,
        CauseCode::MediaUnavailable
        | CauseCode::LimitReached
        | CauseCode::TrunkClosed
        | CauseCode::Preempted => Status::SERVICE_UNAVAILABLE,
        CauseCode::NoAnswer => return mapped(Failure::NoAnswer, &[], to).value,
        CauseCode::PeerUnreachable => return mapped(Failure::Unreachable, &[], to).value,
        CauseCode::PeerTimeout => return mapped(Failure::NoResponse, &[], to).value,
        CauseCode::MediaTimeout
        | CauseCode::NoAck
        | CauseCode::InCallFailure
        | CauseCode::TransferFailed
        | CauseCode::InternalError => match to.preset {
            // No other 5xx is documented there.
            Preset::Teams => Status::SERVICE_UNAVAILABLE,
            Preset::Carrier => Status::SERVER_INTERNAL_ERROR,
        },
    };
    let q850 = match cause {
        // No circuit: what a switch says when it is full.
        CauseCode::MediaUnavailable | CauseCode::LimitReached => Some(34),
        CauseCode::MediaIncompatible | CauseCode::HandshakeFailed => Some(65),
        CauseCode::Preempted => Some(8),
        _ => q850_of(status),
    };
    Mapped {
        status,
        reasons: told(&[], q850, to),
        cause,
        q850,
        headers: Vec::new(),
        parts: Parts::default(),
    }
}

/// As [`own`], with the status that was decided on.
pub fn own_as(cause: CauseCode, status: Status, to: &Trunk) -> Mapped {
    let mapped = own(cause, to);
    let status = match status {
        // A number that cannot exist is a wrong one there, as its own reports have it (TDR-ERR-011).
        Status::DOES_NOT_EXIST_ANYWHERE if to.preset == Preset::Teams => Status::ADDRESS_INCOMPLETE,
        other => other,
    };
    let q850 = match (cause, status) {
        (CauseCode::NumberUnknown, Status::ADDRESS_INCOMPLETE) => q850_of(status),
        // An operator who wants callers to hear that somebody is busy wants all of them to.
        (CauseCode::LimitReached, Status::BUSY_HERE | Status::FORBIDDEN) => q850_of(status),
        (CauseCode::SpendReached | CauseCode::Presence, _) => q850_of(status),
        _ => mapped.q850,
    };
    Mapped {
        status,
        reasons: told(&[], q850, to),
        q850,
        ..mapped
    }
}

/// How much a failed attempt has to say to the caller when several have failed; the lowest is told
/// (RFC 3261 §16.7 step 6, SIP-314). What a peer said counts more than what we concluded, and its
/// 503 speaks of its own trouble only. Of the 4xx, those go first that tell the caller what to do
/// differently; that a number is too short only tells one who `overlaps`.
pub fn rank(failure: Failure, overlaps: bool) -> u16 {
    match failure {
        // Who has dialled everything has nothing to add.
        Failure::Status(Status::ADDRESS_INCOMPLETE) if !overlaps => 401,
        Failure::Status(status) => match status.code() {
            600.. => 0,
            503 => 599,
            401 | 407 | 415 | 420 | 484 => 400,
            400..500 => 401,
            // One that was not followed says less than that somebody is busy.
            300..400 => 402,
            code => code - code % 100,
        },
        Failure::Cancelled | Failure::NoAnswer => 900,
        Failure::NoResponse | Failure::Unreachable | Failure::Unregistered => UNHEARD,
    }
}

/// The [`rank`] of what no peer said.
pub const UNHEARD: u16 = 1_000;

/// Whether a final failure of an attempt leads to the next attempt of the plan (SIP-1201): the
/// trunk's list decides, but never against what the user at the far end has decided.
pub fn tries_next(status: Status, reasons: &[Reason], trunk: &Trunk) -> bool {
    // A 6xx speaks for all of the callee's places, and 603 for the callee himself (TDR-DNS-004).
    if status.code() >= 600 || !status.is_final() || status.is_success() {
        return false;
    }
    let listed = &trunk.reroute_on;
    let lists_causes = listed.iter().any(|code| *code < 128);
    // The causes of Teams are about what it has made of a call, not about the trunk: its status alone says
    // whether another data centre may do better, and no 4xx but a time-out does (TDR-DNS-004).
    if trunk.preset == Preset::Teams {
        let is_definitive = matches!(status.code(), 400..=407 | 409..=499);
        return !is_definitive && listed.contains(&status.code());
    }
    match q850_of_reasons(reasons) {
        Some(1 | 16 | 17 | 18 | 19 | 21 | 22 | 28) => false,
        Some(cause) if lists_causes && listed.contains(&u16::from(cause)) => true,
        Some(34 | 38 | 41 | 42 | 44 | 47) if !lists_causes => true,
        Some(_) | None => listed.contains(&status.code()),
    }
}

/// A final status of a peer as it counts: a 6xx speaks for all of the callee's places, unless the trunk
/// says that its peer does not mean it so (SIP-314).
pub fn softened(status: Status, trunk: &Trunk) -> Status {
    match status.code() {
        0..600 => status,
        _ if trunk.progress.six_xx_stops => status,
        600 => Status::BUSY_HERE,
        604 => Status::NOT_FOUND,
        606 => Status::NOT_ACCEPTABLE_HERE,
        _ => Status::TEMPORARILY_UNAVAILABLE,
    }
}

/// Reason headers for the other leg's BYE or CANCEL: what the first leg gave, else why we end it.
pub fn reasons_for_teardown(reasons: &[Reason], why: CauseCode, to: &Trunk) -> Vec<Reason> {
    let cause = q850_of_reasons(reasons).or(Some(ended_by_us(why)));
    let mut list = told(reasons, cause, to);
    // Teams looks for this one, which its own documents show alone: a missed call would be shown to who has
    // answered elsewhere (TDR-SIP-022).
    if to.preset == Preset::Teams && list.iter().any(is_answered_elsewhere) {
        list.retain(is_answered_elsewhere);
        return list;
    }
    // A CANCEL may say that another branch was refused for good, with the status of that (RFC 3326 §2).
    let is_silent = to.habits.reason == ReasonForm::None;
    if !is_silent && !list.iter().any(|reason| reason.is("SIP")) {
        let said = reasons.iter().find(|reason| reason.is("SIP"));
        let status = said.and_then(Reason::cause);
        let status = status.filter(|status| (300..700).contains(status));
        list.extend(status.map(|status| Reason::sip(status, None)));
    }
    list
}

/// Q.850 value of a call that ends with this cause and without a peer's reason: only who hangs up clears
/// normally (OPS-130).
pub const fn ended_by_us(why: CauseCode) -> u8 {
    match why {
        // Normal, unspecified: nobody hung up.
        CauseCode::Operator | CauseCode::LimitReached | CauseCode::SpendReached => 31,
        // Temporary failure.
        CauseCode::InternalError => 41,
        // The bearer is not possible.
        CauseCode::HandshakeFailed => 65,
        // Recovery on timer expiry.
        CauseCode::MediaTimeout | CauseCode::NoAck => 102,
        _ => 16,
    }
}

/// The Reason of a CANCEL for who need not be told of a missed call (TDR-SIP-022).
pub fn answered_elsewhere() -> Reason {
    let text = QuotedText::new(Bytes::from_static(b"Call completed elsewhere")).ok();
    Reason::sip(200, text)
}

fn is_answered_elsewhere(reason: &Reason) -> bool {
    reason.is("SIP") && reason.cause() == Some(200)
}

/// The first usable Q.850 value of Reason headers.
pub fn q850_of_reasons(reasons: &[Reason]) -> Option<u8> {
    reasons
        .iter()
        .filter(|reason| reason.is("Q.850"))
        .find_map(|reason| {
            u8::try_from(reason.cause()?)
                .ok()
                .filter(|cause| *cause < 128)
        })
}

/// Where the Q.850 cause of these reasons arose (RFC 8606 §3), if it is a location of Q.850.
pub fn location_of_reasons(reasons: &[Reason]) -> Option<String> {
    let mut own = reasons.iter().filter(|reason| reason.is("Q.850"));
    let told = own.find_map(|reason| reason.params.value("location"))?;
    let is_it = |one: &&str| told.eq_ignore_ascii_case(one.as_bytes());
    let found = LOCATIONS.into_iter().find(is_it);
    found.map(str::to_owned)
}

/// Q.850 value for a status, RFC 3398 §8.2.6.1; `None` for what is no failure.
pub fn q850_of(status: Status) -> Option<u8> {
    Some(match status.code() {
        // Who gives up has his reason elsewhere, in CANCEL.
        ..=399 | 487 => return None,
        400 | 481 | 500 | 503 => 41,
        401 | 402 | 403 | 407 | 603 | 607 | 608 => 21,
        404 | 485 | 604 => 1,
        405 => 63,
        406 | 415 | 501 => 79,
        408 | 504 => 102,
        410 => 22,
        413 | 414 | 416 | 420 | 421 | 423 | 505 | 513 => 127,
        480 => 18,
        482 | 483 => 25,
        484 => 28,
        486 | 600 => 17,
        488 | 606 => 65,
        502 => 38,
        _ => 31,
    })
}

/// Status for a Q.850 value of a call that failed before answer, RFC 3398 §7.2.4.1.
pub fn status_of(q850: u8) -> Status {
    match q850 {
        1..=3 | 26 => Status::NOT_FOUND,
        17 => Status::BUSY_HERE,
        18 => Status::REQUEST_TIMEOUT,
        16 | 19 | 20 | 31 => Status::TEMPORARILY_UNAVAILABLE,
        21 | 55 | 57 | 87 => Status::FORBIDDEN,
        22 | 23 => Status::GONE,
        27 => Status::BAD_GATEWAY,
        28 => Status::ADDRESS_INCOMPLETE,
        29 | 79 => Status::NOT_IMPLEMENTED,
        34 | 38 | 41 | 42 | 47 | 58 | 88 => Status::SERVICE_UNAVAILABLE,
        65 | 70 => Status::NOT_ACCEPTABLE_HERE,
        102 => Status::SERVER_TIMEOUT,
        _ => Status::SERVER_INTERNAL_ERROR,
    }
}

/// Status for a call that somebody here ends with this Q.850 value before it is answered.
pub fn of_cause(q850: u8, to: &Trunk) -> Status {
    from_peer(status_of(q850), Some(q850), to.preset)
}

/// Cause for record and metrics of a final status from the called side.
pub fn cause_of(status: Status, q850: Option<u8>) -> CauseCode {
    match (status.code(), q850) {
        (_, Some(17)) | (486 | 600, _) => CauseCode::PeerBusy,
        (_, Some(1 | 22 | 28)) | (404 | 410 | 484 | 604, _) => CauseCode::NumberUnknown,
        (_, Some(18 | 19)) | (408 | 480 | 487, _) => CauseCode::NoAnswer,
        (482 | 483, _) => CauseCode::LoopDetected,
        (406 | 415 | 488 | 606, _) => CauseCode::MediaIncompatible,
        (504, _) => CauseCode::PeerTimeout,
        _ => CauseCode::PeerRejected,
    }
}

fn from_peer(status: Status, q850: Option<u8>, to: Preset) -> Status {
    let status = match status.code() {
        // We follow no redirections, and passing them would show the B side's addresses.
        300..=399 => Status::TEMPORARILY_UNAVAILABLE,
        // Nobody on the A side could answer a challenge that was meant for us, and it says nothing of the
        // caller: another SBC of the customer may be let in (TDR-ERR-011).
        401 | 407 if to == Preset::Teams => Status::SERVICE_UNAVAILABLE,
        401 | 407 => Status::FORBIDDEN,
        406 | 415 => Status::NOT_ACCEPTABLE_HERE,
        // Without a CANCEL of ours the call was not terminated by its caller.
        487 => Status::TEMPORARILY_UNAVAILABLE,
        403 | 404 | 408 | 410 | 413 | 414 | 416 | 423 | 424 | 480 | 482..=486 | 488 | 493 => status,
        // Whatever it is about, it is the number.
        400..=499 if q850 == Some(1) => Status::NOT_FOUND,
        400..=499 if q850 == Some(28) => Status::ADDRESS_INCOMPLETE,
        // Teams says so of a number of a wrong form, and nobody else says it of a call (TDR-SIP-023).
        412 if to == Preset::Carrier => Status::ADDRESS_INCOMPLETE,
        // The peer refuses the form of our request; the caller's was another one. So do 420, 421 and 494: they are
        // about extensions of one leg, and say nothing without the header that names these (RFC 3261 §21.4.15).
        400..=499 => Status::SERVER_INTERNAL_ERROR,
        // About one carrier; the A side must not take it as a word about us (RFC 3261 §16.7).
        503 if to == Preset::Carrier => Status::SERVER_INTERNAL_ERROR,
        // What is not known of them says nothing of whether anybody is busy.
        600.. if to == Preset::Teams && !Status::is_registered(status) => {
            Status::TEMPORARILY_UNAVAILABLE
        }
        _ => status.or_class_default(Status::is_registered),
    };
    match to {
        Preset::Carrier => status,
        Preset::Teams => for_teams(status, q850),
    }
}

/// Annex B of our Teams requirements: 408, 503 and 504 make Teams try its next SBC, all others end
/// the call. Trunk trouble must therefore be one of those, and user trouble none of them.
fn for_teams(status: Status, q850: Option<u8>) -> Status {
    // Of the 6xx only 603 and what is like it are documented there (TDR-ERR-011): what the others say of the user,
    // the number and the media, a 4xx says as finally.
    let status = match status.code() {
        600 => Status::BUSY_HERE,
        604 => Status::NOT_FOUND,
        606 => Status::NOT_ACCEPTABLE_HERE,
        _ => status,
    };
    match (q850, status.code()) {
        (_, 607..) => status,
        (Some(1), _) => Status::NOT_FOUND,
        (Some(16 | 18..=20 | 31), _) => Status::TEMPORARILY_UNAVAILABLE,
        (Some(17), _) => Status::BUSY_HERE,
        (Some(21), _) => match status.code() {
            403 => Status::FORBIDDEN,
            _ => Status::DECLINE,
        },
        (Some(22), _) => Status::GONE,
        (Some(27), _) => Status::BAD_GATEWAY,
        (Some(28), _) => Status::ADDRESS_INCOMPLETE,
        (Some(29), _) => Status::NOT_IMPLEMENTED,
        (Some(34 | 38 | 41 | 42 | 44 | 47 | 58), _) => Status::SERVICE_UNAVAILABLE,
        (Some(57), _) => Status::FORBIDDEN,
        (Some(102), _) => Status::SERVER_TIMEOUT,
        // Ringing that ended with 408 at the carrier is a user who did not answer.
        (None, 408) => Status::TEMPORARILY_UNAVAILABLE,
        // Undocumented there; 503 is what Microsoft understands as trouble of the trunk.
        (Some(_) | None, 503 | 504) => status,
        (Some(_) | None, 500..=599) => Status::SERVICE_UNAVAILABLE,
        (Some(_) | None, _) => status,
    }
}

/// What a new INVITE says of why it is made, where somebody else had a reason for it (SIP-808).
pub fn reasons_for_call(reasons: &[Reason], to: &Trunk) -> Vec<Reason> {
    let mut list = told(reasons, q850_of_reasons(reasons), to);
    let said = reasons.iter().find(|reason| reason.is("SIP"));
    let status = said.and_then(Reason::cause);
    let is_told = to.habits.reason == ReasonForm::None || list.iter().any(|own| own.is("SIP"));
    if let Some(status) = status.filter(|status| !is_told && (300..700).contains(status)) {
        list.push(Reason::sip(status, None));
    }
    list
}

/// At most one value per protocol crosses: the Q.850 value, that a call was answered elsewhere
/// or its media did not fit, and what protocols say that are about the call and not about machines.
/// Texts stay behind, they name machines and calls of the other side (TDR-ERR-001). What nobody said is
/// made of the status only for trunks that want it.
fn told(reasons: &[Reason], q850: Option<u8>, to: &Trunk) -> Vec<Reason> {
    let mut list = Vec::new();
    let q850 = match to.habits.reason {
        ReasonForm::Q850 => q850,
        ReasonForm::Pass => q850_of_reasons(reasons),
        ReasonForm::None => return list,
    };
    if let Some(cause) = q850 {
        let mut reason = Reason::q850(cause, None);
        let location = reasons
            .iter()
            .find(|given| given.is("Q.850"))
            .and_then(|given| given.params.get("location"))
            .filter(|value| is_location(value.content()));
        if let (Some(location), Ok(name)) =
            (location, Token::parse(Bytes::from_static(b"location")))
        {
            reason.params.set(name, Some(location.clone()));
        }
        list.push(reason);
    }
    let sip = reasons
        .iter()
        .find(|reason| reason.is("SIP"))
        .and_then(Reason::cause);
    match sip {
        Some(200) => list.push(answered_elsewhere()),
        Some(488) => list.push(Reason::sip(488, None)),
        Some(_) | None => {}
    }
    for protocol in OTHER_PROTOCOLS {
        let said = reasons.iter().find(|reason| reason.is(protocol));
        let cause = said.and_then(Reason::cause);
        list.extend(cause.map(|cause| Reason::of(protocol, cause, None)));
    }
    list
}

/// Protocols of Reason that say something of the call: who it is (RFC 8224), that another was more
/// important (RFC 4411), why it was released (RFC 8606's registry).
const OTHER_PROTOCOLS: [&str; 3] = ["STIR", "Preemption", "RELEASE_CAUSE"];

/// The places of Q.850 where a cause can arise, by number (RFC 8606 §3).
const LOCATIONS: [&str; 16] = [
    "U", "LPN", "LN", "TN", "RLN", "RPN", "LOC-6", "INTL", "LOC-8", "LOC-9", "BI", "LOC-11",
    "LOC-12", "LOC-13", "LOC-14", "LOC-15",
];

fn is_location(text: &[u8]) -> bool {
    let mut known = LOCATIONS.iter();
    // By number too where there is a name for it: nobody is misled by that.
    known.any(|known| text.eq_ignore_ascii_case(known.as_bytes()))
        || (0..16).any(|number| text.eq_ignore_ascii_case(format!("LOC-{number}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_the_caller_most_is_told() {
        let with = |code, overlaps| {
            let status = Status::new(code).expect("a status");
            rank(Failure::Status(status), overlaps)
        };
        let of = |code| with(code, true);
        assert_eq!(with(484, false), with(486, false));
        let best_first = [
            of(603),
            of(484),
            of(486),
            of(302),
            of(500),
            of(503),
            rank(Failure::NoAnswer, true),
            rank(Failure::NoResponse, true),
        ];
        assert!(best_first.is_sorted_by(|a, b| a < b), "{best_first:?}");
        for alike in [401, 407, 415, 420] {
            assert_eq!(of(alike), of(484));
        }
        for alike in [404, 408, 480, 488] {
            assert_eq!(of(alike), of(486));
        }
    }

    #[test]
    fn a_wrong_form_of_the_number_is_told_as_such() {
        let of = |code: u16, q850| {
            let status = Status::new(code).expect("a status");
            from_peer(status, q850, Preset::Carrier).code()
        };
        assert_eq!(of(412, Some(28)), 484);
        assert_eq!(of(412, Some(1)), 404);
        assert_eq!(of(412, None), 484);
        assert_eq!(of(405, None), 500);
        for of_one_leg in [420, 421, 494] {
            assert_eq!(of(of_one_leg, None), 500);
        }
        assert_eq!(of(486, Some(28)), 486);
    }
}
