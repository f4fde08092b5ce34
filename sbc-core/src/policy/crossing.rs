//! Requests within a call that say something to the other party: INFO and MESSAGE. Which of them
//! cross to the other leg, and how those are answered that do not (SIP-1310 to SIP-1312).
//!
//! Digits are told once. Where both parties have agreed on telephone events, digits travel in their
//! media already, and INFO that repeats them ends here (SIP-1312).

use crate::config::Trunk;
use crate::sip::header::ContentType;
use crate::sip::{HeaderName, Message, Method, Status};

/// What becomes of such a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The other party gets it, and its answer counts.
    Crosses,
    /// It is answered here.
    Answered(Status),
    /// 469: it belongs to an Info Package, and we know none (RFC 6086 §4.2.2).
    UnknownPackage,
    /// 415: its body is nothing that may cross.
    UnknownBody,
}

/// Bodies that INFO may carry to the other party.
pub const INFO_BODIES: [&str; 2] = ["application/dtmf-relay", "application/dtmf"];

/// Bodies that MESSAGE may carry to the other party.
pub const MESSAGE_BODIES: [&str; 1] = ["text/plain"];

/// Longest body that crosses, in octets.
const LONGEST: usize = 1024;

/// Decides about a request for a leg of trunk `to`. `is_in_media` says that digits of either party
/// reach the other in their media.
pub fn fate(request: &Message, to: &Trunk, is_in_media: bool) -> Fate {
    let crosses = match to.allow.contains(request.method()) {
        true => Fate::Crosses,
        // The other party would refuse it, and says so in its Allow.
        false => Fate::Answered(Status::NOT_ACCEPTABLE_HERE),
    };
    let kind = request.get::<ContentType>().ok().flatten();
    let body = request.body();
    if *request.method() == Method::Message {
        let is_text = kind.is_some_and(|kind| is_one_of(&kind, &MESSAGE_BODIES));
        return match is_text && body.len() <= LONGEST {
            true => crosses,
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
    if !is_one_of(&kind, &INFO_BODIES) || body.len() > LONGEST {
        return Fate::UnknownBody;
    }
    if digit(&kind, &body).is_none() {
        return Fate::Answered(Status::BAD_REQUEST);
    }
    match is_in_media {
        true => Fate::Answered(Status::OK),
        false => crosses,
    }
}

fn is_one_of(kind: &ContentType, known: &[&str]) -> bool {
    known.iter().any(|name| {
        let (kind_name, subtype) = name.split_once('/').unwrap_or_default();
        kind.is(kind_name, subtype)
    })
}

/// The digit that a body names, in either of the two forms that are in use.
pub fn digit(kind: &ContentType, body: &[u8]) -> Option<char> {
    let text = std::str::from_utf8(body).ok()?;
    if !kind.is("application", "dtmf-relay") {
        return one_digit(text.trim());
    }
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        let is_signal = name.trim().eq_ignore_ascii_case("signal");
        is_signal.then(|| one_digit(value.trim())).flatten()
    })
}

fn one_digit(text: &str) -> Option<char> {
    let mut characters = text.chars();
    match (characters.next()?.to_ascii_uppercase(), characters.next()) {
        (digit @ ('0'..='9' | '*' | '#' | 'A'..='D'), None) => Some(digit),
        _ => match text {
            "10" => Some('*'),
            "11" => Some('#'),
            "12" => Some('A'),
            "13" => Some('B'),
            "14" => Some('C'),
            "15" => Some('D'),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::header::Header;

    fn read(kind: &'static str, body: &str) -> Option<char> {
        digit(&ContentType::parse(&kind.into()).unwrap(), body.as_bytes())
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
