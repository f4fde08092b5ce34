//! Why bytes are not a description.

use std::fmt;

/// What is wrong with a body, and where.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fault {
    /// What is wrong.
    pub what: Offence,
    /// Byte offset of the start of the offending line.
    pub at: usize,
    /// Line number, counted from 1.
    pub line: usize,
}

/// The rules of RFC 8866 and SIP-507 that a body can break.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Offence {
    /// No line at all.
    Empty,
    /// Longer than [`super::Limits::bytes`].
    TooLong,
    /// A line that is not one letter, `=` and a value (RFC 8866 §5).
    NotALine,
    /// A NUL or a bare CR inside a line (RFC 8866 §9, `byte-string`).
    ForbiddenByte,
    /// `v=` is there and is not 0 (RFC 8866 §5.1).
    Version,
    /// An `m=` line without media type, port and protocol, or with a port above 65535
    /// (RFC 8866 §5.14).
    MediaLine,
    /// More lines than [`super::Limits::lines`].
    TooManyLines,
    /// A line longer than [`super::Limits::line_bytes`].
    LongLine,
    /// More `c=` lines in one section than [`super::Limits::connections`].
    TooManyConnections,
    /// More formats on one `m=` line than [`super::Limits::formats`].
    TooManyFormats,
    /// More attributes in one section than [`super::Limits::attributes`].
    TooManyAttributes,
    /// Neither `v=` nor any `m=` line: something else than SDP.
    NotADescription,
    /// An `o=` line without its six fields (RFC 8866 §5.2).
    Origin,
    /// A `c=` line without network type, address type and address (RFC 8866 §5.7).
    Connection,
}

impl Offence {
    /// The broken rule in words, without a full stop.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Empty => "the body is empty",
            Self::TooLong => "the body is longer than allowed",
            Self::NotALine => "a line is not a letter, '=' and a value",
            Self::ForbiddenByte => "a line contains NUL or a bare carriage return",
            Self::Version => "the protocol version is not 0",
            Self::MediaLine => "an m= line lacks media type, port or protocol",
            Self::TooManyLines => "there are more lines than allowed",
            Self::LongLine => "a line is longer than allowed",
            Self::TooManyConnections => "a section has more c= lines than allowed",
            Self::TooManyFormats => "an m= line lists more formats than allowed",
            Self::TooManyAttributes => "a section has more attributes than allowed",
            Self::NotADescription => "there is neither a v= nor an m= line",
            Self::Origin => "the o= line does not have its six fields",
            Self::Connection => "a c= line lacks network type, address type or address",
        }
    }

    /// Document and section that states the rule, or that it is a limit of ours (SIP-507).
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Empty | Self::NotALine | Self::NotADescription => "RFC 8866 §5",
            Self::TooLong
            | Self::TooManyLines
            | Self::LongLine
            | Self::TooManyConnections
            | Self::TooManyFormats
            | Self::TooManyAttributes => OWN_LIMIT,
            Self::ForbiddenByte => "RFC 8866 §9",
            Self::Version => "RFC 8866 §5.1",
            Self::MediaLine => "RFC 8866 §5.14",
            Self::Origin => "RFC 8866 §5.2",
            Self::Connection => "RFC 8866 §5.7",
        }
    }
}

/// What is said in place of a document where no RFC draws the line.
pub(super) const OWN_LIMIT: &str = "limit of this SBC";

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}: {} ({})",
            self.line,
            self.what,
            self.what.rule()
        )
    }
}

impl std::error::Error for Fault {}
