//! Content-Type and its relatives: what a body is and what to do with it (RFC 3261 §20.11–20.15).

use bytes::Bytes;
use nom::Parser;

use super::{Header, HeaderName, Shape};
use crate::sip::grammar::{self, separator, whole};
use crate::sip::param::PlainValue;
use crate::sip::{Params, ParseFault, Token, Value};

/// A media type with its parameters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ContentType {
    /// `application`, `multipart`, …
    pub kind: Token,
    /// `sdp`, `mixed`, …
    pub subtype: Token,
    /// Parameters such as `boundary`.
    pub params: Params,
}

/// What a body or a part is for (RFC 3204, RFC 5621).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ContentDisposition {
    /// `session`, `render`, `recording-session`, …
    pub kind: Token,
    /// Parameters such as `handling`.
    pub params: Params,
}

/// One coding that was applied to a body, such as `gzip`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ContentEncoding(pub Token);

/// Whether a receiver that does not understand a part must refuse the message (RFC 3204 §6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Handling {
    /// Refuse with 415. The default.
    Required,
    /// Ignore the part.
    Optional,
}

impl ContentType {
    /// A type without parameters, from words of our own.
    pub fn new(kind: Token, subtype: Token) -> Self {
        Self {
            kind,
            subtype,
            params: Params::new(),
        }
    }

    /// `application/sdp`.
    pub fn sdp() -> Self {
        Self::of("application", "sdp")
    }

    /// `message/sipfrag`, the body of a transfer's NOTIFY (RFC 3420).
    pub fn sipfrag() -> Self {
        let mut sipfrag = Self::of("message", "sipfrag");
        if let Ok(version) = PlainValue::parse("2.0") {
            let name = Token::recognised(Bytes::from_static(b"version"));
            sipfrag.params.set(name, Some(Value::Plain(version)));
        }
        sipfrag
    }

    /// `application/dtmf-relay`: a key that was pressed.
    pub fn dtmf_relay() -> Self {
        Self::of("application", "dtmf-relay")
    }

    /// `application/pidf+xml`: where somebody is (RFC 3863).
    pub fn pidf() -> Self {
        Self::of("application", "pidf+xml")
    }

    /// `multipart/mixed`, as what is understood; a body has a boundary besides.
    pub fn mixed() -> Self {
        Self::of("multipart", "mixed")
    }

    /// `multipart/mixed` with this boundary; nothing if it cannot be one (RFC 2046 §5.1.1).
    pub fn multipart(boundary: &str) -> Option<Self> {
        let mut mixed = Self::mixed();
        let value = PlainValue::parse(boundary.to_owned()).ok()?;
        let name = Token::recognised(Bytes::from_static(b"boundary"));
        mixed.params.set(name, Some(Value::Plain(value)));
        Some(mixed)
    }

    /// Whether this is the type `kind/subtype`, in any mixture of upper and lower case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.is(kind) && self.subtype.is(subtype)
    }

    /// Whether this is `application/sdp`.
    pub fn is_sdp(&self) -> bool {
        self.is("application", "sdp")
    }

    /// Whether this is any `multipart`.
    pub fn is_multipart(&self) -> bool {
        self.kind.is("multipart")
    }

    fn of(kind: &'static str, subtype: &'static str) -> Self {
        Self::new(
            Token::recognised(Bytes::from_static(kind.as_bytes())),
            Token::recognised(Bytes::from_static(subtype.as_bytes())),
        )
    }
}

impl Header for ContentType {
    const NAME: HeaderName = HeaderName::ContentType;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Content-Type", text, |input| {
            let (rest, kind) = grammar::token(text, input)?;
            let (rest, ()) = separator(b'/').parse(rest)?;
            let (rest, subtype) = grammar::token(text, rest)?;
            let (rest, params) = Params::parser(text, rest)?;
            Ok((
                rest,
                Self {
                    kind,
                    subtype,
                    params,
                },
            ))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.kind.as_bytes());
        out.push(b'/');
        out.extend_from_slice(self.subtype.as_bytes());
        self.params.emit(out);
    }
}

impl ContentDisposition {
    /// Whether a receiver that does not understand the part must refuse the message.
    pub fn handling(&self) -> Handling {
        match self.params.value("handling") {
            Some(handling) if handling.eq_ignore_ascii_case(b"optional") => Handling::Optional,
            _ => Handling::Required,
        }
    }
}

impl Header for ContentDisposition {
    const NAME: HeaderName = HeaderName::ContentDisposition;
    const SHAPE: Shape = Shape::Single;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Content-Disposition", text, |input| {
            let (rest, kind) = grammar::token(text, input)?;
            let (rest, params) = Params::parser(text, rest)?;
            Ok((rest, Self { kind, params }))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.kind.as_bytes());
        self.params.emit(out);
    }
}

impl Header for ContentEncoding {
    const NAME: HeaderName = HeaderName::ContentEncoding;
    const SHAPE: Shape = Shape::List;

    fn parse(text: &Bytes) -> Result<Self, ParseFault> {
        whole("Content-Encoding", text, |input| {
            let (rest, coding) = grammar::token(text, input)?;
            Ok((rest, Self(coding)))
        })
    }

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }
}
