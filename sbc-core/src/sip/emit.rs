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
use super::header::{ContentType, Header, HeaderName, To};
use super::{Message, Method, Status, Token, Uri, WrittenUri};

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

        /// Adds all values in one line, separated by commas; nothing if there are none. For lists of
        /// words such as Allow and Supported.
        pub fn list<'a, H: Header + 'a>(
            mut self,
            headers: impl IntoIterator<Item = &'a H>,
        ) -> Self {
            self.0.list(headers);
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

        /// The same for each of these lines.
        pub fn lines_if_valid(self, lines: &[(HeaderName, Bytes)]) -> Self {
            let lines = lines.iter();
            lines.fold(self, |built, (name, value)| built.raw_if_valid(name, value))
        }

        /// Adds every line of this name that `message` has, as it stands. For answers to the peer
        /// that sent them, and what repeats a request of ours: nothing else may be added unread.
        pub fn copy(mut self, message: &Message, name: impl Borrow<HeaderName>) -> Self {
            let name = name.borrow();
            message.each_value(name, |value| self.0.copied(name, value));
            self
        }

        /// Sets the body and its type.
        pub fn body(mut self, content_type: &ContentType, body: Bytes) -> Self {
            self.0.typed(content_type);
            self.0.body = body;
            self
        }

        /// Sets the body without saying what it is; for a Content-Type that was copied.
        pub fn raw_body(mut self, body: Bytes) -> Self {
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

    /// As [`Self::new`], with a Request-URI octet by octet as a peer wrote it.
    pub fn written(method: Method, uri: &WrittenUri) -> Self {
        let mut lines = Lines::new();
        for part in [
            method.as_str().as_bytes(),
            b" ",
            uri.as_bytes(),
            b" SIP/2.0\r\n",
        ] {
            lines.out.extend_from_slice(part);
        }
        lines.start_end = lines.out.len();
        Self(lines)
    }

    /// The Request-URI as it is sent, for digests.
    pub fn request_uri(&self) -> &[u8] {
        let line = &self.0.out[..self.0.start_end];
        line.split(|octet| *octet == b' ').nth(1).unwrap_or(&[])
    }

    /// The body, for digests.
    pub fn request_body(&self) -> &[u8] {
        &self.0.body
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
        Self::to_saying(request, status, status.default_phrase(), to_tag)
    }

    /// As [`Self::to`], with a phrase of ours that says more than the status does.
    pub fn to_saying(
        request: &Message,
        status: Status,
        phrase: &'static str,
        to_tag: Option<&Token>,
    ) -> Self {
        let mut response = Self::begin(status, phrase.as_bytes()).copy(request, HeaderName::Via);
        response = response.copy(request, HeaderName::From);
        if let Some(to) = request.raw(HeaderName::To) {
            let has_room = matches!(request.essential::<To>(), Ok(Some(to)) if to.tag().is_none());
            response.0.tagged_to(&to, to_tag.filter(|_| has_room));
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
            let has_room = To::parse(to).is_ok_and(|to| to.tag().is_none());
            response.0.tagged_to(to, to_tag.filter(|_| has_room));
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
        H::NAME.begin_line(&mut self.out);
        let value = self.out.len();
        header.emit(&mut self.out);
        debug_assert!(
            memchr::memchr3(b'\r', b'\n', 0, &self.out[value..]).is_none(),
            "a typed header emits only what may stand in a line"
        );
        self.end(rank(&H::NAME), begin);
    }

    fn list<'a, H: Header + 'a>(&mut self, headers: impl IntoIterator<Item = &'a H>) {
        let begin = self.out.len();
        for (index, header) in headers.into_iter().enumerate() {
            match index {
                0 => H::NAME.begin_line(&mut self.out),
                _ => self.out.extend_from_slice(b", "),
            }
            header.emit(&mut self.out);
        }
        if self.out.len() > begin {
            self.end(rank(&H::NAME), begin);
        }
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
        self.push(name, value);
        Ok(())
    }

    /// A value of a received line: no CR or LF can be in it. An escaped NUL may be, in a quoted
    /// string (RFC 3261 §25.1), and whoever wrote it needs it back to know its request.
    fn copied(&mut self, name: &HeaderName, value: &[u8]) {
        debug_assert!(
            memchr::memchr2(b'\r', b'\n', value).is_none(),
            "a received line has one line end"
        );
        if *name != HeaderName::ContentLength {
            self.push(name, value);
        }
    }

    fn push(&mut self, name: &HeaderName, value: &[u8]) {
        let begin = self.out.len();
        name.begin_line(&mut self.out);
        self.out.extend_from_slice(value);
        self.end(rank(name), begin);
    }

    /// To of a response: as it came, and this tag. A To that has one, or cannot be read, gets none:
    /// nobody could say to which part of it the tag would belong.
    fn tagged_to(&mut self, to: &[u8], tag: Option<&Token>) {
        self.copied(&HeaderName::To, to);
        if let Some(tag) = tag {
            self.out.truncate(self.out.len() - 2);
            self.out.extend_from_slice(b";tag=");
            self.out.extend_from_slice(tag.as_bytes());
            self.out.extend_from_slice(b"\r\n");
            if let Some((_, line)) = self.lines.last_mut() {
                line.end = self.out.len();
            }
        }
    }

    fn end(&mut self, rank: u8, begin: usize) {
        self.out.extend_from_slice(b"\r\n");
        self.lines.push((rank, begin..self.out.len()));
    }

    /// One buffer of exactly the size of the message: transactions keep it for retransmission.
    fn build(mut self) -> Bytes {
        let lines_end = self.out.len();
        self.out.extend_from_slice(b"Content-Length: ");
        push_number(&mut self.out, self.body.len() as u64);
        self.out.extend_from_slice(b"\r\n\r\n");
        let mut message = Vec::with_capacity(self.out.len() + self.body.len());
        if self.lines.is_sorted_by_key(|(rank, _)| *rank) {
            message.extend_from_slice(&self.out);
        } else {
            self.lines.sort_by_key(|(rank, _)| *rank);
            message.extend_from_slice(self.out.get(..self.start_end).unwrap_or_default());
            for (_, line) in self.lines {
                message.extend_from_slice(self.out.get(line).unwrap_or_default());
            }
            message.extend_from_slice(self.out.get(lines_end..).unwrap_or_default());
        }
        message.extend_from_slice(&self.body);
        Bytes::from(message)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::header::{CSeq, CallId};
    use crate::sip::{Limits, Rule};

    const INVITE: &str = "INVITE sip:b@example.com SIP/2.0\r\n\
        t: <sip:b@example.com>\r\nf: \"A\" <sip:a@example.com>;tag=1\r\n\
        CSeq: 1 INVITE\r\nv: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK2\r\n\
        v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\ni: 7\r\nTimestamp: 5\r\n\r\n";

    fn invite() -> Message {
        Message::parse(INVITE.into(), &Limits::default()).unwrap()
    }

    #[test]
    fn a_response_repeats_what_the_rfc_says_and_adds_the_tag() {
        let tag = Token::parse("9").unwrap();
        let ringing = ResponseBuilder::to(&invite(), Status::RINGING, Some(&tag)).build();
        assert_eq!(
            ringing,
            "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK2\r\n\
             Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             From: \"A\" <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag=9\r\n\
             Call-ID: 7\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        let trying = ResponseBuilder::to(&invite(), Status::TRYING, None).build();
        let trying = Message::parse(trying, &Limits::default()).unwrap();
        assert_eq!(trying.raw(HeaderName::Timestamp).unwrap(), "5");
        assert_eq!(trying.raw(HeaderName::To).unwrap(), "<sip:b@example.com>");
    }

    #[test]
    fn an_answer_gives_back_a_name_with_an_escaped_nul() {
        let to = "\"NUL:\\\0\" <sip:b@example.com>";
        let request = INVITE.replace("<sip:b@example.com>", to);
        let request = Message::parse(request.into(), &Limits::default()).unwrap();
        request.validate().unwrap();
        let tag = Token::parse("9").unwrap();
        let answer = ResponseBuilder::to(&request, Status::OK, Some(&tag)).build();
        let answer = Message::parse(answer, &Limits::default()).unwrap();
        let wanted = format!("{to};tag=9");
        assert_eq!(answer.raw(HeaderName::To).unwrap(), wanted);
        answer.validate().unwrap();
    }

    #[test]
    fn no_value_can_begin_a_line_of_its_own() {
        let uri = Uri::parse("sip:b@example.com").unwrap();
        for bad in ["a\r\nX-Evil: 1", "a\nb", "a\0b", "\r"] {
            let builder = RequestBuilder::new(Method::Bye, &uri);
            assert!(builder.raw(HeaderName::Subject, bad).is_err(), "{bad:?}");
            assert!(ResponseBuilder::with_phrase(Status::OK, bad.as_bytes()).is_err());
            assert!(Token::parse(bad).is_err());
            assert!(CallId::new(bad).is_err());
            assert!(Method::parse(bad).is_err());
            assert!(crate::sip::QuotedText::new(bad).is_err());
            assert!(crate::sip::DisplayName::new(bad).is_err());
        }
        let builder = RequestBuilder::new(Method::Bye, &uri);
        let refused = builder.raw(HeaderName::ContentLength, "7").err();
        assert_eq!(refused, Some(EmitFault::Computed));
    }

    #[test]
    fn escaped_headers_of_a_uri_do_not_become_part_of_a_request_line() {
        let uri = Uri::parse("sip:b@example.com;lr?Route=%3Csip:x%3E").unwrap();
        let bytes = RequestBuilder::new(Method::Ack, &uri)
            .header(&CSeq {
                number: 1,
                method: Method::Ack,
            })
            .build();
        assert!(bytes.starts_with(b"ACK sip:b@example.com;lr SIP/2.0\r\nCSeq: 1 ACK\r\n"));
        assert_eq!(
            Message::parse(bytes, &Limits::default())
                .unwrap()
                .top_via()
                .map_err(|own| own.rule),
            Err(Rule::Missing)
        );
    }
}
