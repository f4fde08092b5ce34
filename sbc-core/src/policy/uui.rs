//! User-to-User on its way to another leg: the values that are well formed, and not too long for
//! the peer (RFC 7433, RFC 7434 §8).

use crate::config::Trunk;
use crate::sip::header::{Header, UserToUser};
use crate::sip::{HeaderName, Message};
use bytes::Bytes;

/// The values that pass, as they came: hexadecimal text keeps its case. A message with several
/// values for ISDN has none, because there can be only one.
pub fn passed(message: &Message, to: &Trunk) -> Vec<(HeaderName, Bytes)> {
    of_values(&message.list().unwrap_or_default(), to)
}

/// As [`passed`], for values from elsewhere.
pub fn of_values(values: &[UserToUser], to: &Trunk) -> Vec<(HeaderName, Bytes)> {
    let is_isdn = |value: &UserToUser| value.purpose().eq_ignore_ascii_case(b"isdn-uui");
    let has_one = values.iter().filter(|value| is_isdn(value)).count() <= 1;
    values
        .iter()
        .filter(|value| has_one || !is_isdn(value))
        .filter(|value| {
            value
                .octets()
                .is_some_and(|octets| octets <= usize::from(to.uui_max))
        })
        .take(MOST)
        .map(|value| (HeaderName::UserToUser, value.to_bytes()))
        .collect()
}

/// Most values of one message.
const MOST: usize = 4;
