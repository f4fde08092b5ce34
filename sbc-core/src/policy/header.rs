//! Which headers of one leg's message the other leg's may carry (§5.4 of our requirements).
//!
//! The B leg's request is built, not edited: everything that is not in a row here with `Pass`, or
//! listed by the operator, stays behind. The same table polices responses (SIP-430).

use crate::config::{Preset, Trunk};
use crate::sip::{HeaderName, Message};
use bytes::Bytes;

pub use crate::config::{Action, action, is_configurable};

/// Whether a header goes unchanged from a leg of one trunk to a leg of another.
pub fn passes(name: &HeaderName, from: &Trunk, to: &Trunk) -> bool {
    let is_listed = |list: &[String]| {
        list.iter()
            .any(|own| own.eq_ignore_ascii_case(name.as_str()))
    };
    if !is_configurable(name) || is_listed(&to.strip_headers) {
        return false;
    }
    if is_listed(&to.pass_headers) {
        return true;
    }
    match action(name) {
        Action::Own | Action::Map | Action::Strip => false,
        Action::Pass => true,
        Action::PassToCore => to.preset == Preset::Teams,
        Action::Trust => from.trusted && to.trusted,
    }
}

/// The header lines of a message that go unchanged to a leg of another trunk, in order. Lines that
/// are longer than [`LONGEST`] or hold control octets stay behind.
pub fn passed(message: &Message, from: &Trunk, to: &Trunk) -> Vec<(HeaderName, Bytes)> {
    message
        .headers()
        .map(|line| (line.name(), line.value()))
        .filter(|(name, value)| {
            passes(name, from, to)
                && value.len() <= LONGEST
                && !value
                    .iter()
                    .any(|octet| octet.is_ascii_control() && *octet != b'\t')
        })
        .take(MOST)
        .collect()
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

/// Most header lines that are passed on.
pub const MOST: usize = 32;
