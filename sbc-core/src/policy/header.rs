//! Which headers of one leg's message the other leg's may carry (§5.4 of our requirements).
//!
//! The B leg's request is built, not edited: everything that is not in a row here with `Pass`, or
//! listed by the operator, stays behind. The same table polices responses (SIP-430).

use crate::cause::Because;
use crate::config::{Preset, Trunk};
use crate::policy::identity::Wishes;
use crate::policy::{alert, emergency, relayed_auth, uui};
use crate::sip::{HeaderName, Message, Status};
use bytes::Bytes;

pub use crate::config::{Action, action, is_configurable, may_be_stripped};

/// Whether a header goes unchanged from a leg of one trunk to a leg of another.
pub fn passes(name: &HeaderName, from: &Trunk, to: &Trunk) -> bool {
    let is_listed = |list: &[String]| {
        list.iter()
            .any(|own| own.eq_ignore_ascii_case(name.as_str()))
    };
    if !may_be_stripped(name) || is_listed(&to.strip_headers) {
        return false;
    }
    if is_configurable(name) && is_listed(&to.pass_headers) {
        return true;
    }
    match action(name) {
        Action::Own | Action::Map | Action::Strip => false,
        Action::Pass => true,
        Action::PassToCore => to.preset == Preset::Teams,
        Action::Trust => from.trusted && to.trusted,
        Action::TrustOut | Action::Guarded => {
            from.trusted && to.trusted && to.preset != Preset::Teams
        }
    }
}

/// Whether a header that somebody wants in a call goes there from a peer whose word for it counts for nothing: only where
/// the trunk of the call lists it by name.
pub fn is_listed(name: &HeaderName, from: &Trunk, to: &Trunk) -> bool {
    let mut listed = to.pass_headers.iter();
    listed.any(|own| own.eq_ignore_ascii_case(name.as_str())) && passes(name, from, to)
}

/// Whether a header that a peer wants in a call to itself goes there: all but what makes up calls, what the operator
/// strips and what is ours to say.
pub fn goes_back(name: &HeaderName, to: &Trunk) -> bool {
    let is_own = |own: &String| own.eq_ignore_ascii_case(name.as_str());
    is_configurable(name)
        && !to.strip_headers.iter().any(is_own)
        && !to.set_headers.iter().any(|(own, _)| is_own(own))
}

/// The header lines of a message that go unchanged to a leg of another trunk, in order. Lines that
/// are longer than [`LONGEST`], or than people are shown, or hold control octets stay behind.
pub fn passed(message: &Message, from: &Trunk, to: &Trunk) -> Vec<(HeaderName, Bytes)> {
    let hides = Wishes::of(message);
    let hides = hides.hides_caller() && !hides.none && !(from.trusted && to.trusted);
    let mut lines: Vec<(HeaderName, Bytes)> = message
        .headers()
        .filter_map(|line| {
            let name = line.name();
            let goes = passes(&name, from, to)
                && name != HeaderName::UserToUser
                && (name != HeaderName::AlertInfo || to.habits.alerts.is_empty())
                && !(hides && reveals(&name));
            let value = |name: &HeaderName| match name {
                HeaderName::PChargingVector => without_origin(&line.value()),
                _ => line.value(),
            };
            goes.then(|| (value(&name), name))
        })
        .map(|(value, name)| (name, value))
        .filter(|(name, value)| is_passable_as(name, value))
        .take(MOST)
        .collect();
    if passes(&HeaderName::UserToUser, from, to) {
        lines.extend(uui::passed(message, to));
    }
    lines.extend(alert::passed(message, to));
    lines
}

/// A charging vector without where it was made, an address of the other side (SIP-420).
fn without_origin(vector: &[u8]) -> Bytes {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = vector.split(|octet| {
        let is_mark = !std::mem::replace(&mut is_escaped, is_quoted && *octet == b'\\');
        is_quoted ^= is_mark && *octet == b'"';
        *octet == b';' && !is_quoted
    });
    let is_origin = |part: &&[u8]| {
        let name = part.split(|octet| *octet == b'=').next();
        let name = name.unwrap_or_default().trim_ascii();
        name.eq_ignore_ascii_case(b"icid-generated-at")
    };
    let stays: Vec<&[u8]> = parts.filter(|part| !is_origin(part)).collect();
    stays.join(&b';').into()
}

/// What becomes of every header that a message brings, in a call for help or another one, for whoever asks.
pub fn told(message: &Message, from: &Trunk, to: &Trunk, is_help: bool) -> Because {
    let passed = passed(message, from, to);
    let of_help = match is_help {
        true => emergency::passed(message, to),
        false => Vec::new(),
    };
    let mut told: Vec<String> = Vec::new();
    for line in message.headers() {
        let name = line.name();
        let is_listed = |list: &[String]| {
            let mut own = list.iter();
            own.any(|own| own.eq_ignore_ascii_case(name.as_str()))
        };
        let text = match action(&name) {
            _ if of_help.iter().any(|(own, _)| *own == name) => {
                format!("{} passes: it is a call for help", name.as_str())
            }
            // Nobody wonders about those.
            Action::Own => continue,
            Action::Map => format!("{} is written anew by its policy", name.as_str()),
            _ if is_listed(&to.strip_headers) => {
                format!(
                    "{} stays behind: \"strip\" of trunk \"{}\" lists it",
                    name.as_str(),
                    to.name
                )
            }
            _ if passed.iter().any(|(own, _)| *own == name) => match is_listed(&to.pass_headers) {
                true => format!(
                    "{} passes: \"pass\" of trunk \"{}\" lists it",
                    name.as_str(),
                    to.name
                ),
                false => format!("{} passes by the built-in table", name.as_str()),
            },
            Action::Trust | Action::TrustOut | Action::Guarded if !(from.trusted && to.trusted) => {
                format!(
                    "{} stays behind: not both trunks are trusted",
                    name.as_str()
                )
            }
            Action::Guarded => format!("{} stays behind: it is for carriers", name.as_str()),
            Action::Pass
            | Action::PassToCore
            | Action::Trust
            | Action::TrustOut
            | Action::Strip => {
                format!(
                    "{} stays behind: it is not in \"pass\" of trunk \"{}\"",
                    name.as_str(),
                    to.name
                )
            }
        };
        if !told.contains(&text) {
            told.push(text);
        }
    }
    let set = fixed(to).map(|(name, value)| format!("{} is set to {value}", name.as_str()));
    told.extend(set);
    Because(told, None)
}

/// Header lines of a response that the other leg's response carries unchanged (SIP-430).
pub fn passed_back(message: &Message, from: &Trunk, to: &Trunk) -> Vec<(HeaderName, Bytes)> {
    let mut lines = passed(message, from, to);
    if message.status() == Some(Status::BAD_LOCATION_INFORMATION) {
        // Without its reason the status tells nobody what to do about it (RFC 6442 §4.3).
        let reasons = message
            .headers()
            .filter(|line| line.name().as_str().eq_ignore_ascii_case(GEOLOCATION_ERROR))
            .map(|line| (line.name(), line.value()))
            .filter(|(_, value)| is_passable(value));
        lines.extend(reasons.take(MOST));
    }
    lines
}

/// Header lines of a BYE that the BYE to another leg carries (SIP-1300), with what its sender shows to that peer.
pub fn parting(message: &Message, from: &Trunk, to: &Trunk) -> Vec<(HeaderName, Bytes)> {
    let mut lines = relayed_auth::proofs(message, from, to);
    if passes(&HeaderName::UserToUser, from, to) {
        lines.extend(uui::passed(message, to));
    }
    lines
}

const GEOLOCATION_ERROR: &str = "Geolocation-Error";

/// Headers that a caller who wants its headers hidden does not want shown (RFC 3323 §4.1).
fn reveals(name: &HeaderName) -> bool {
    matches!(
        name,
        HeaderName::CallInfo
            | HeaderName::Organization
            | HeaderName::ReplyTo
            | HeaderName::Server
            | HeaderName::Subject
            | HeaderName::UserAgent
    )
}

/// Whether a value may go to another leg at all: of bounded length and without control octets.
pub fn is_passable(value: &[u8]) -> bool {
    value.len() <= LONGEST && has_no_controls(value)
}

/// As [`is_passable`], of this header: a line that is shown to people is bounded further.
pub fn is_passable_as(name: &HeaderName, value: &[u8]) -> bool {
    let is_shown = matches!(name, HeaderName::Priority | HeaderName::Subject);
    is_passable(value) && (!is_shown || value.len() <= LONGEST_SHOWN)
}

/// Whether a value has no control octets.
pub(super) fn has_no_controls(value: &[u8]) -> bool {
    let is_control = |octet: &u8| octet.is_ascii_control() && *octet != b'\t';
    !value.iter().any(is_control)
}

/// The fixed headers of a trunk (`X-MS-SBC`), for requests that form dialogs and OPTIONS.
pub fn fixed(trunk: &Trunk) -> impl Iterator<Item = (HeaderName, &str)> {
    trunk.set_headers.iter().filter_map(|(name, value)| {
        let name = HeaderName::parse(name.clone()).ok()?;
        is_configurable(&name).then_some((name, value.as_str()))
    })
}

/// Longest header value that is passed on, octets.
pub const LONGEST: usize = 1024;

/// Longest Subject and Priority that are passed on, octets.
const LONGEST_SHOWN: usize = 256;

/// Most header lines that are passed on.
pub const MOST: usize = 32;
