//! How large a request of Teams may be (TDR-SEC-005): within what is taken of anybody (SIP-001), but far
//! above what Teams has ever sent. Calls for help pass, because a location may be long, and so does what ends a
//! call. Of responses nobody can be told that they are too large: they have the bounds of every message.

use crate::cause::{Because, CauseCode};
use crate::config::{Preset, Trunk};
use crate::policy::Refusal;
use crate::sip::{HeaderName, Message, Method, Status};
use crate::trouble::Trouble;

/// Octets of one header value.
const HEADER: usize = 8 << 10;
/// Header lines.
const HEADERS: usize = 100;
/// Octets of the message.
const MESSAGE: usize = 128 << 10;

/// Whether a request is looked at before it is known what it is for. An INVITE that begins a call is not: it may
/// be one for help; one that takes a place in a call is. Nor is what ends something, or cannot be answered.
pub fn is_for_any(request: &Message, is_within: bool) -> bool {
    match request.method() {
        Method::Ack | Method::Bye | Method::Cancel => false,
        Method::Invite => is_within || request.has(HeaderName::Replaces),
        _ => true,
    }
}

/// The refusal of a request of Teams that is larger.
pub fn refusal(request: &Message, from: &Trunk) -> Option<Refusal> {
    if from.preset != Preset::Teams {
        return None;
    }
    let refusal = |status, why: String| {
        Some(Refusal {
            status,
            cause: CauseCode::BadRequest,
            because: Because::of(why).named(Trouble::RequestTooLarge),
        })
    };
    let octets = request.bytes().len();
    if octets > MESSAGE {
        let why = format!("it has {octets} octets, and Teams may send {MESSAGE}");
        return refusal(Status::MESSAGE_TOO_LARGE, why);
    }
    let is_refer = *request.method() == Method::Refer;
    let (mut lines, mut longest) = (0, 0);
    for line in request.headers() {
        lines += 1;
        // What a REFER is about has bounds of its own, and a refusal that names them (TDR-XFR-013).
        if is_refer && matches!(line.name(), HeaderName::ReferTo | HeaderName::ReferredBy) {
            continue;
        }
        longest = longest.max(line.value().len());
    }
    if lines > HEADERS {
        let why = format!("it has {lines} header lines, and Teams may send {HEADERS}");
        return refusal(Status::BAD_REQUEST, why);
    }
    if longest > HEADER {
        let why = format!("a header has {longest} octets, and Teams may send {HEADER}");
        return refusal(Status::BAD_REQUEST, why);
    }
    None
}
