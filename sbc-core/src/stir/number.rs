//! Telephone numbers as signatures know them (RFC 8224 §8.3).

use crate::sip::Uri;
use std::fmt;

/// Longest number, characters.
const LONGEST: usize = 32;

/// A canonical telephone number: digits, `*` and `#`, neither `+` nor separators.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tn(String);

impl Tn {
    /// Reads a number as it is written; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let kept = text
            .chars()
            .filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' '));
        let number: String = kept.take(LONGEST + 1).collect();
        let is_number = (1..=LONGEST).contains(&number.len())
            && number
                .bytes()
                .all(|octet| octet.is_ascii_digit() || matches!(octet, b'*' | b'#'));
        is_number.then_some(Self(number))
    }

    /// The number of the user part of a URI, without what follows it (`;ext`, `;verstat`).
    pub fn of_user(user: &[u8]) -> Option<Self> {
        let user = crate::sip::unescape(user);
        let user = std::str::from_utf8(&user).ok()?;
        let (number, _) = user.split_once(';').unwrap_or((user, ""));
        Self::parse(number)
    }

    /// The number of a URI, without what follows it.
    pub fn of(uri: &Uri) -> Option<Self> {
        match uri {
            Uri::Sip(sip) => Self::of_user(sip.user()?),
            Uri::Tel(tel) => Self::parse(std::str::from_utf8(tel.number()).ok()?),
            Uri::Other(_) => None,
        }
    }

    /// The number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_number_is_the_same_number() {
        for uri in [
            "tel:+1-215-555-0121",
            "sip:+12155550121@example.com;user=phone",
            "sip:12155550121@example.com",
            "sip:+1(215)555.0121@example.com",
            "sip:%2B12155550121;ext=7;verstat=No-TN-Validation@example.com",
            "tel:+12155550121;verstat=TN-Validation-Passed",
        ] {
            let uri = Uri::parse(uri.to_owned()).expect("a URI");
            assert_eq!(Tn::of(&uri).expect("a number").as_str(), "12155550121");
        }
        assert_eq!(Tn::parse("*67#").expect("a code").as_str(), "*67#");
        for uri in [
            "sip:alice@example.com",
            "sip:example.com",
            "sip:++1@example.com",
            "mailto:1@example.com",
        ] {
            let uri = Uri::parse(uri.to_owned()).expect("a URI");
            assert_eq!(Tn::of(&uri), None, "{uri:?}");
        }
        assert_eq!(Tn::parse(&"1".repeat(LONGEST + 1)), None);
        assert_eq!(Tn::parse("+"), None);
    }
}
