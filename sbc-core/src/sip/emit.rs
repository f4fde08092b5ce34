//! From values to bytes: canonical order and long names (SIP-016), nothing that could break a line
//! (SIP-017).
//!
//! ```
//! use sbc_core::sip::emit::RequestBuilder;
//! use sbc_core::sip::header::{CSeq, MaxForwards};
//! use sbc_core::sip::{Method, Uri};
//!
//! let uri = Uri::parse("sip:sip.example.com").unwrap();
//! let bytes = RequestBuilder::new(Method::Options, &uri)
//!     .header(&CSeq { number: 1, method: Method::Options })
//!     .header(&MaxForwards(70))
//!     .build();
//! assert!(bytes.starts_with(b"OPTIONS sip:sip.example.com SIP/2.0\r\nMax-Forwards: 70\r\nCSeq: 1 "));
//! assert!(bytes.ends_with(b"Content-Length: 0\r\n\r\n"));
//! ```

use std::borrow::Borrow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::grammar::push_number;
use super::head::RequestHead;
use super::header::{ContentType, Header, HeaderName};
use super::{Message, Method, Status, Token, Uri};

/// Why a text cannot stand in a header (SIP-017). Nothing was added.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EmitFault {
    /// CR, LF or NUL in the value.
    Control {
        /// The header.
        name: HeaderName,
        /// Octets from the beginning of the value.
        at: usize,
    },
    /// Content-Length is computed, and cannot be given.
    Computed,
}

impl fmt::Display for EmitFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control { name, at } => {
                write!(f, "{name}: CR, LF or NUL at octet {at}")
            }
            Self::Computed => f.write_str("Content-Length is computed"),
        }
    }
}

impl std::error::Error for EmitFault {}

/// Builds a request.
pub struct RequestBuilder(Lines);

/// Builds a response.
pub struct ResponseBuilder(Lines);

/// Start line and header lines, in the order in which they were given.
struct Lines {
    out: Vec<u8>,
    start_end: usize,
    lines: Vec<(u8, Range<usize>)>,
    body: Bytes,
}

macro_rules! builder_methods {
    () => {
        /// Adds a line with a typed header. Lines of the same header keep their order.
        pub fn header<H: Header>(mut self, header: &H) -> Self {
            self.0.typed(header);
            self
        }

        /// Adds one line for each typed header.
        pub fn headers<'a, H: Header + 'a>(
            mut self,
            headers: impl IntoIterator<Item = &'a H>,
        ) -> Self {
            for header in headers {
                self.0.typed(header);
            }
            self
        }

        /// Adds a line with text from elsewhere; refuses CR, LF and NUL (SIP-017).
        pub fn raw(
            mut self,
            name: impl Borrow<HeaderName>,
            value: impl AsRef<[u8]>,
        ) -> Result<Self, EmitFault> {
            self.0.raw(name.borrow(), value.as_ref())?;
            Ok(self)
        }

        /// Adds a line, or leaves it out if its text could break the message (SIP-017). For values
        /// that were checked where they were configured, or may be lost without harm.
        pub fn raw_if_valid(
            mut self,
            name: impl Borrow<HeaderName>,
            value: impl AsRef<[u8]>,
        ) -> Self {
            // What is refused is left out; nothing was added then.
            let _ = self.0.raw(name.borrow(), value.as_ref());
            self
        }

        /// Adds every line of this name that `message` has, as it stands. Values that no line may
        /// carry are left out; only NUL can be the reason.
        pub fn copy(mut self, message: &Message, name: impl Borrow<HeaderName>) -> Self {
            let name = name.borrow();
            for value in message.raw_all(name) {
                self.0.copied(name, &value);
            }
            self
        }

        /// Sets the body and its type.
        pub fn body(mut self, content_type: &ContentType, body: Bytes) -> Self {
            self.0.typed(content_type);
            self.0.body = body;
            self
        }

        /// The message. Content-Length is always there and always last (SIP-016).
        pub fn build(self) -> Bytes {
            self.0.build()
        }
    };
}

impl RequestBuilder {
    /// Begins a request. A headers part of the URI is left out (RFC 3261 §19.1.1).
    pub fn new(method: Method, uri: &Uri) -> Self {
        let mut lines = Lines::new();
        lines.out.extend_from_slice(method.as_str().as_bytes());
        lines.out.push(b' ');
        match uri {
            Uri::Sip(sip) if !sip.headers().is_empty() => {
                let mut sip = sip.clone();
                sip.clear_headers();
                sip.emit(&mut lines.out);
            }
            uri => uri.emit(&mut lines.out),
        }
        lines.out.extend_from_slice(b" SIP/2.0\r\n");
        lines.start_end = lines.out.len();
        Self(lines)
    }

    builder_methods!();
}

impl ResponseBuilder {
    /// Begins a response with the default phrase.
    pub fn new(status: Status) -> Self {
        Self::begin(status, status.default_phrase().as_bytes())
    }

    /// Begins a response with a phrase of its own; refuses CR, LF and NUL.
    pub fn with_phrase(status: Status, phrase: &[u8]) -> Result<Self, EmitFault> {
        match memchr::memchr3(b'\r', b'\n', 0, phrase) {
            Some(at) => Err(EmitFault::Control {
                name: HeaderName::Reason,
                at,
            }),
            None => Ok(Self::begin(status, phrase)),
        }
    }

    /// Begins the response to a request: Via, From, To, Call-ID and CSeq as RFC 3261 §8.2.6.2 says,
    /// Timestamp in a 100. `to_tag` is added if the request's To has no tag; leave it out for 100
    /// and for a To that is to stay as it is.
    pub fn to(request: &Message, status: Status, to_tag: Option<&Token>) -> Self {
        let mut response = Self::new(status).copy(request, HeaderName::Via);
        response = response.copy(request, HeaderName::From);
        if let Some(to) = request.raw(HeaderName::To) {
            response.0.tagged_to(&to, to_tag);
        }
        response = response
            .copy(request, HeaderName::CallId)
            .copy(request, HeaderName::CSeq);
        if status == Status::TRYING {
            response = response.copy(request, HeaderName::Timestamp);
        }
        response
    }

    /// Begins the response to a request that could not be parsed.
    pub fn to_head(head: &RequestHead, status: Status, to_tag: Option<&Token>) -> Self {
        let mut response = Self::new(status)
            .headers(&head.via)
            .headers(&head.further_vias);
        if let Some(from) = &head.from {
            response.0.copied(&HeaderName::From, from);
        }
        if let Some(to) = &head.to {
            response.0.tagged_to(to, to_tag);
        }
        if let Some(call_id) = &head.call_id {
            response.0.copied(&HeaderName::CallId, call_id);
        }
        if let Some(cseq) = &head.cseq {
            response.0.copied(&HeaderName::CSeq, cseq);
        }
        response
    }

    fn begin(status: Status, phrase: &[u8]) -> Self {
        let mut lines = Lines::new();
        lines.out.extend_from_slice(b"SIP/2.0 ");
        push_number(&mut lines.out, u64::from(status.code()));
        lines.out.push(b' ');
        lines.out.extend_from_slice(phrase);
        lines.out.extend_from_slice(b"\r\n");
        lines.start_end = lines.out.len();
        Self(lines)
    }

    builder_methods!();
}

impl Lines {
    fn new() -> Self {
        Self {
            out: Vec::with_capacity(1024),
            start_end: 0,
            lines: Vec::with_capacity(24),
            body: Bytes::new(),
        }
    }

    fn typed<H: Header>(&mut self, header: &H) {
        let begin = self.out.len();
        self.name(&H::NAME);
        let value = self.out.len();
        header.emit(&mut self.out);
        debug_assert!(
            memchr::memchr3(b'\r', b'\n', 0, &self.out[value..]).is_none(),
            "a typed header emits only what may stand in a line"
        );
        self.end(rank(&H::NAME), begin);
    }

    fn raw(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), EmitFault> {
        if *name == HeaderName::ContentLength {
            return Err(EmitFault::Computed);
        }
        if let Some(at) = memchr::memchr3(b'\r', b'\n', 0, value) {
            return Err(EmitFault::Control {
                name: name.clone(),
                at,
            });
        }
        let begin = self.out.len();
        self.name(name);
        self.out.extend_from_slice(value);
        self.end(rank(name), begin);
        Ok(())
    }

    /// A value of a received line: no CR or LF can be in it, and a line with NUL is left out.
    fn copied(&mut self, name: &HeaderName, value: &[u8]) {
        // The refusal is the wanted outcome here, see `copy`.
        let _ = self.raw(name, value);
    }

    /// To of a response: as it came, with a tag if there is none yet. A To that cannot be read gets
    /// no tag, because nobody could say to which part of it the tag would belong.
    fn tagged_to(&mut self, to: &Bytes, tag: Option<&Token>) {
        let begin = self.out.len();
        self.copied(&HeaderName::To, to);
        let has_room = super::header::To::parse(to).is_ok_and(|to| to.tag().is_none());
        if let (Some(tag), true) = (tag, has_room && self.out.len() > begin) {
            self.out.truncate(self.out.len() - 2);
            self.out.extend_from_slice(b";tag=");
            self.out.extend_from_slice(tag.as_bytes());
            self.out.extend_from_slice(b"\r\n");
            if let Some((_, line)) = self.lines.last_mut() {
                line.end = self.out.len();
            }
        }
    }

    fn name(&mut self, name: &HeaderName) {
        self.out.extend_from_slice(name.as_str().as_bytes());
        self.out.extend_from_slice(b": ");
    }

    fn end(&mut self, rank: u8, begin: usize) {
        self.out.extend_from_slice(b"\r\n");
        self.lines.push((rank, begin..self.out.len()));
    }

    fn build(mut self) -> Bytes {
        if !self.lines.is_sorted_by_key(|(rank, _)| *rank) {
            let mut order: Vec<_> = std::mem::take(&mut self.lines);
            order.sort_by_key(|(rank, _)| *rank);
            let mut sorted = Vec::with_capacity(self.out.len() + self.body.len() + 32);
            sorted.extend_from_slice(&self.out[..self.start_end]);
            for (_, line) in order {
                sorted.extend_from_slice(&self.out[line]);
            }
            self.out = sorted;
        }
        self.out.extend_from_slice(b"Content-Length: ");
        push_number(&mut self.out, self.body.len() as u64);
        self.out.extend_from_slice(b"\r\n\r\n");
        self.out.extend_from_slice(&self.body);
        Bytes::from(self.out)
    }
}

/// Place of a header in a message (SIP-016).
fn rank(name: &HeaderName) -> u8 {
    match name {
        HeaderName::Via => 0,
        HeaderName::Route => 1,
        HeaderName::RecordRoute => 2,
        HeaderName::MaxForwards => 3,
        HeaderName::From => 4,
        HeaderName::To => 5,
        HeaderName::CallId => 6,
        HeaderName::CSeq => 7,
        HeaderName::Contact => 8,
        HeaderName::ContentType => 10,
        HeaderName::ContentLength => 11,
        _ => 9,
    }
}
