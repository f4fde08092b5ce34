//! `token` and quoted text: the two kinds of words that header values are made of.

use crate::octets::is_same_word;
use std::fmt;

use bytes::Bytes;

use super::grammar::{is_token_octet, octets_as_str};
use super::{ParseFault, Rule};

/// A `token` of RFC 3261 §25.1: never empty, no separators, no CR or LF.
///
/// Emitting code takes `&Token`, so a value that could smuggle in a header line cannot reach the
/// wire, whether it came from a peer, the configuration or the admin interface (SIP-017).
/// Compared octet by octet; use [`Token::is`] where the RFC says that case does not matter.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(Bytes);

impl Token {
    /// The only way in: checks every octet.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, ParseFault> {
        let text = text.into();
        if text.is_empty() {
            return Err(ParseFault::new("token", Rule::Empty, 0));
        }
        match text.iter().position(|&octet| !is_token_octet(octet)) {
            Some(at) => Err(ParseFault::new("token", Rule::Token, at)),
            None => Ok(Self(text)),
        }
    }

    /// An identifier of [`crate::mint::Mint`]: letters and digits only.
    pub(crate) fn from_minted(text: String) -> Self {
        Self(Bytes::from(text))
    }

    /// For text that the grammar has just recognised as a token.
    pub(super) fn recognised(text: Bytes) -> Self {
        debug_assert!(!text.is_empty() && text.iter().copied().all(is_token_octet));
        Self(text)
    }

    /// The octets themselves.
    pub(super) fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The octets, all of them ASCII.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The token as text.
    pub fn as_str(&self) -> &str {
        octets_as_str(&self.0)
    }

    /// Whether this is `other`, in any mixture of upper and lower case.
    pub fn is(&self, other: &str) -> bool {
        is_same_word(&self.0, other.as_bytes())
    }

    /// As [`Self::is`], of two tokens.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        is_same_word(&self.0, &other.0)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The content of a `quoted-string`, escapes resolved: any octets but CR, LF and NUL.
///
/// Emitted between quotation marks with `"` and `\` escaped.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuotedText(Bytes);

impl QuotedText {
    /// Takes text that is to stand between quotation marks.
    pub fn new(text: impl Into<Bytes>) -> Result<Self, ParseFault> {
        let text = text.into();
        match memchr::memchr3(b'\r', b'\n', 0, &text) {
            Some(at) => Err(ParseFault::new("quoted string", Rule::Control, at)),
            None => Ok(Self(text)),
        }
    }

    /// The text without quotation marks and escapes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The text for people: octets that are not UTF-8 are replaced.
    pub fn to_string_lossy(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// Writes the quoted form.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        for &octet in &self.0 {
            if matches!(octet, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(octet);
        }
        out.push(b'"');
    }
}

impl fmt::Debug for QuotedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
