//! What is wrong with bytes that should have been SIP.

use std::fmt;

/// A place where bytes break a rule of the grammar, or a limit of ours (SIP-001).
///
/// Displayed as `CSeq: not a number at octet 3`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParseFault {
    /// The element that was being read: a header's canonical name, or a part such as `start line`.
    pub what: &'static str,
    /// The rule that was broken.
    pub rule: Rule,
    /// Octets from the beginning of the text that was parsed: the message for faults of
    /// [`Message::parse`](super::Message::parse), the header value for faults of typed headers.
    pub at: usize,
}

/// The rules whose breach a [`ParseFault`] reports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Rule {
    /// Something is required here and nothing is there.
    Empty,
    /// An octet that a `token` may not contain (RFC 3261 §25.1).
    Token,
    /// A quoted string that does not end, or an escape that is not allowed in one.
    QuotedString,
    /// Decimal digits are required.
    Number,
    /// The number does not fit the range of this element.
    Range,
    /// Not a URI, or an octet that this part of a URI may not contain.
    Uri,
    /// Neither a host name nor an IP address.
    Host,
    /// A port outside 1–65535.
    Port,
    /// A `%` that two hexadecimal digits do not follow.
    Escape,
    /// Not `SIP/` followed by a version.
    Version,
    /// A status code outside 100–699 or not three digits.
    Status,
    /// A separator is missing, doubled or out of place.
    Separator,
    /// `<` without `>`, or an address that needs them and has none (SIP-009).
    Brackets,
    /// Text is left over after a complete value.
    Trailing,
    /// Something that may be there once is there more often.
    Repeated,
    /// A required header is absent.
    Missing,
    /// Two places that must agree do not.
    Mismatch,
    /// CR or LF on its own, or a line that never ends.
    LineEnd,
    /// A control octet that may not be there.
    Control,
    /// Longer than a limit allows.
    TooLong,
    /// More elements than a limit allows.
    TooMany,
    /// Fewer octets of body than Content-Length says.
    Truncated,
    /// A multipart body without its boundary, or without the final one (RFC 2046 §5.1.1).
    Boundary,
    /// The scheme is not one that is allowed here.
    Scheme,
    /// The first line is not SIP at all, for example HTTP (SIP-014).
    NotSip,
}

impl ParseFault {
    /// A fault in `what`, `at` octets from the beginning of the parsed text.
    pub const fn new(what: &'static str, rule: Rule, at: usize) -> Self {
        Self { what, rule, at }
    }
}

impl Rule {
    /// The rule in words, lower-case, without a full stop.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Empty => "nothing where a value is required",
            Self::Token => "octet not allowed in a token",
            Self::QuotedString => "broken quoted string",
            Self::Number => "not a number",
            Self::Range => "number out of range",
            Self::Uri => "octet not allowed in this part of a URI",
            Self::Host => "neither a host name nor an IP address",
            Self::Port => "not a port between 1 and 65535",
            Self::Escape => "% without two hexadecimal digits",
            Self::Version => "not a SIP version",
            Self::Status => "not a status code between 100 and 699",
            Self::Separator => "separator missing or out of place",
            Self::Brackets => "angle brackets missing or unbalanced",
            Self::Trailing => "text left over after the value",
            Self::Repeated => "may be present only once",
            Self::Missing => "missing",
            Self::Mismatch => "does not agree with its counterpart",
            Self::LineEnd => "line does not end with CR LF",
            Self::Control => "control octet not allowed",
            Self::TooLong => "longer than the limit",
            Self::TooMany => "more elements than the limit",
            Self::Truncated => "fewer octets than announced",
            Self::Boundary => "multipart boundary missing",
            Self::Scheme => "scheme not allowed here",
            Self::NotSip => "not SIP",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Display for ParseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} at octet {}", self.what, self.rule, self.at)
    }
}

impl std::error::Error for ParseFault {}
