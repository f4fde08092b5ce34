//! Requests within a call that say something to the other party: INFO and MESSAGE. Which of them
//! cross to the other leg, and how those are answered that do not (SIP-1310 to SIP-1312).
//!
//! What becomes of digits depends on how the two parties are told them, which the call knows.

use crate::config::Trunk;
use crate::policy::isup;
use crate::sip::header::ContentType;
use crate::sip::{HeaderName, Message, Method, Status};
use bytes::Bytes;
use media_api::Digit;

/// What becomes of such a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The other party gets it, and its answer counts.
    Crosses,
    /// It says that a key was pressed.
    Digit(Pressed),
    /// It is answered here.
    Answered(Status),
    /// 469: it belongs to an Info Package, and we know none (RFC 6086 §4.2.2).
    UnknownPackage,
    /// 415: its body is nothing that may cross.
    UnknownBody,
}

/// A key that a party has pressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pressed {
    /// Which.
    pub digit: Digit,
    /// For how long, in milliseconds.
    pub duration_ms: u16,
}

/// Bodies that INFO may carry to the other party.
pub const INFO_BODIES: [&str; 2] = ["application/dtmf-relay", "application/dtmf"];

/// Bodies that MESSAGE may carry to the other party.
pub const MESSAGE_BODIES: [&str; 1] = ["text/plain"];

/// Longest body that crosses, in octets.
const LONGEST: usize = 1024;

/// How long a key was pressed of which that is not said, in milliseconds.
const USUAL_MS: u16 = 100;

/// Decides about a request of a leg of trunk `from`, whose party is this one, for a leg of trunk
/// `to`.
pub fn fate(request: &Message, speaker: isup::Speaker, from: &Trunk, to: &Trunk) -> Fate {
    let kind = request.get::<ContentType>().ok().flatten();
    let body = request.body();
    if *request.method() == Method::Message {
        let is_text = kind.is_some_and(|kind| is_one_of(&kind, &MESSAGE_BODIES));
        return match is_text && body.len() <= LONGEST {
            true => crosses(request, to),
            false => Fate::UnknownBody,
        };
    }
    if request.has(HeaderName::InfoPackage) {
        return Fate::UnknownPackage;
    }
    let Some(kind) = kind.filter(|_| !body.is_empty()) else {
        // Says nothing but that its sender lives.
        return Fate::Answered(Status::OK);
    };
    if isup::passes(from, to) && isup::is_isup(&kind) && body.len() <= LONGEST {
        return match isup::stays(request, speaker, from, to) {
            true => Fate::UnknownBody,
            false => crosses(request, to),
        };
    }
    if !is_one_of(&kind, &INFO_BODIES) || body.len() > LONGEST {
        return Fate::UnknownBody;
    }
    match pressed(&kind, &body) {
        Some(pressed) => Fate::Digit(pressed),
        None => Fate::Answered(Status::BAD_REQUEST),
    }
}

/// What becomes of a request that may cross, as far as the other leg's trunk says.
pub fn crosses(request: &Message, to: &Trunk) -> Fate {
    match to.allow.contains(request.method()) {
        true => Fate::Crosses,
        // The other party would refuse it, and says so in its Allow.
        false => Fate::Answered(Status::NOT_ACCEPTABLE_HERE),
    }
}

fn is_one_of(kind: &ContentType, known: &[&str]) -> bool {
    known.iter().any(|name| {
        let (kind_name, subtype) = name.split_once('/').unwrap_or_default();
        kind.is(kind_name, subtype)
    })
}

/// The key that a body names, in either of the two forms that are in use.
pub fn pressed(kind: &ContentType, body: &[u8]) -> Option<Pressed> {
    let text = std::str::from_utf8(body).ok()?;
    if !kind.is("application", "dtmf-relay") {
        return Some(Pressed {
            digit: one_digit(text.trim())?,
            duration_ms: USUAL_MS,
        });
    }
    let value_of = |wanted: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
        Some(value.trim())
    };
    let duration_ms = value_of("duration").and_then(|value| value.parse().ok());
    Some(Pressed {
        digit: one_digit(value_of("signal")?)?,
        duration_ms: duration_ms.unwrap_or(USUAL_MS),
    })
}

/// The body that tells a peer of a key, with its type.
pub fn body_of(pressed: Pressed) -> (ContentType, Bytes) {
    let Pressed { digit, duration_ms } = pressed;
    let text = format!("Signal={}\r\nDuration={duration_ms}\r\n", digit.symbol());
    (ContentType::dtmf_relay(), Bytes::from(text))
}

fn one_digit(text: &str) -> Option<Digit> {
    let mut characters = text.chars();
    match (characters.next()?, characters.next()) {
        (symbol, None) => Digit::from_char(symbol),
        // Some say the event's number.
        _ => Digit::from_event(text.parse().ok().filter(|event| (10..16).contains(event))?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::header::Header;

    fn whole(kind: &'static str, body: &str) -> Option<Pressed> {
        pressed(&ContentType::parse(&kind.into()).unwrap(), body.as_bytes())
    }

    fn read(kind: &'static str, body: &str) -> Option<char> {
        whole(kind, body).map(|pressed| pressed.digit.symbol())
    }

    #[test]
    fn what_is_written_is_read_back_with_its_duration() {
        for event in 0..16 {
            let pressed = Pressed {
                digit: Digit::from_event(event).unwrap(),
                duration_ms: 160,
            };
            let (kind, body) = body_of(pressed);
            assert_eq!(super::pressed(&kind, &body), Some(pressed));
        }
        let relay = "application/dtmf-relay";
        assert_eq!(
            whole(relay, "Signal=1\nDuration=250\n")
                .unwrap()
                .duration_ms,
            250
        );
        for unsaid in [
            "Signal=1\n",
            "Signal=1\nDuration=long",
            "Signal=1\nDuration=99999",
        ] {
            assert_eq!(whole(relay, unsaid).unwrap().duration_ms, USUAL_MS);
        }
    }

    #[test]
    fn digits_are_read_in_every_customary_form() {
        let relay = "application/dtmf-relay";
        assert_eq!(read(relay, "Signal=5\r\nDuration=160\r\n"), Some('5'));
        assert_eq!(read(relay, "Signal= *\nDuration= 100"), Some('*'));
        assert_eq!(read(relay, "Duration=100\r\nsignal=d\r\n"), Some('D'));
        assert_eq!(read(relay, "Signal=10\r\n"), Some('*'));
        assert_eq!(read(relay, "Signal=11\r\n"), Some('#'));
        assert_eq!(read("application/dtmf", "7"), Some('7'));
        assert_eq!(read("application/dtmf", " # \r\n"), Some('#'));
        for broken in ["", "55", "x", "Signal=", "Signal=16"] {
            assert_eq!(read(relay, broken), None, "{broken}");
        }
        assert_eq!(read("application/dtmf", "12x"), None);
    }
}
