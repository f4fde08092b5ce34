//! How large an INVITE of Teams may be (TDR-SEC-005): within what is taken of anybody (SIP-001), but far
//! above what Teams has ever sent. Calls for help pass, because a location may be long.

use crate::cause::{Because, CauseCode};
use crate::config::{Preset, Trunk};
use crate::policy::Refusal;
use crate::sip::{Message, Status};

/// Octets of one header line.
const HEADER: usize = 8 << 10;
/// Header lines.
const HEADERS: usize = 100;
/// Octets of the message.
const MESSAGE: usize = 128 << 10;

/// The refusal of an INVITE of Teams that is larger.
pub fn refusal(invite: &Message, from: &Trunk) -> Option<Refusal> {
    if from.preset != Preset::Teams {
        return None;
    }
    let refusal = |status, why: String| {
        Some(Refusal {
            status,
            cause: CauseCode::BadRequest,
            because: Because::of(why),
        })
    };
    let octets = invite.bytes().len();
    if octets > MESSAGE {
        let why = format!("it has {octets} octets, and Teams may send {MESSAGE}");
        return refusal(Status::MESSAGE_TOO_LARGE, why);
    }
    let (mut lines, mut longest) = (0, 0);
    for line in invite.headers() {
        lines += 1;
        longest = longest.max(line.raw_name().len() + line.value().len());
    }
    if lines > HEADERS {
        let why = format!("it has {lines} header lines, and Teams may send {HEADERS}");
        return refusal(Status::BAD_REQUEST, why);
    }
    if longest > HEADER {
        let why = format!("a header line has {longest} octets, and Teams may send {HEADER}");
        return refusal(Status::BAD_REQUEST, why);
    }
    None
}
