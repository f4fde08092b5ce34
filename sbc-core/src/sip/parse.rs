//! From bytes to [`Message`]: start line and header section under limits (SIP-001, SIP-014).
//!
//! One pass that finds line ends, names and value ranges. It asks only for what an index needs;
//! [`Message::validate`](super::Message::validate) decides whether the content makes sense.

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr2;

use super::grammar::{is_token_octet, is_white, octets_as_str, trim};
use super::head::{Reaction, Rejected, RequestHead};
use super::header::{CSeq, Header, HeaderName, KNOWN, Names, UNKNOWN, lookup};
use super::message::{Index, Line, StartLine};
use super::{Limits, Message, Method, ParseFault, Rule, Status, Token};
use crate::octets::position_of;

impl Message {
    /// Reads one message: a datagram, or what the framer cut from a stream.
    ///
    /// Line ends before the start line are skipped (RFC 3261 §7.5); octets after Content-Length are
    /// ignored (§18.3). Without Content-Length, the body is the rest; on a stream the framer has
    /// refused that already.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Self, Rejected> {
        let skipped = bytes
            .iter()
            .take_while(|octet| matches!(octet, b'\r' | b'\n'))
            .count();
        let bytes = match skipped {
            0 => bytes,
            _ => bytes.slice(skipped..),
        };
        match index(&bytes, limits) {
            Ok(index) => Ok(Self::from_index(index)),
            Err(fault) => Err(reject(&bytes, limits, fault)),
        }
    }
}

fn index(bytes: &Bytes, limits: &Limits) -> Result<Index, ParseFault> {
    let start_end = line_end(bytes, 0, limits.start_line, "start line")?;
    let mut start = start_line(bytes, start_end)?;

    let mut lines = Vec::with_capacity(32);
    let (mut names, mut repeated) = (Names::default(), Names::default());
    let mut content_length = None;
    let mut at = start_end + 2;
    loop {
        if at > limits.header_section {
            return Err(ParseFault::new("header section", Rule::TooLong, at));
        }
        if bytes.get(at..at + 2) == Some(b"\r\n") {
            at += 2;
            break;
        }
        if lines.len() == limits.header_lines {
            return Err(ParseFault::new("header section", Rule::TooMany, at));
        }
        let (line, next) = header_line(bytes, at, limits)?;
        if line.id == CONTENT_LENGTH.id() {
            if content_length.is_some() {
                return Err(ParseFault::new("Content-Length", Rule::Repeated, at));
            }
            content_length = Some(content_length_of(bytes, &line)?);
        }
        if let (StartLine::Response { cseq, .. }, true) = (&mut start, line.id == CSEQ.id()) {
            *cseq = CSeq::parse(&line_value(bytes, &line)).map_err(|fault| ParseFault {
                at: line.value.start as usize,
                ..fault
            })?;
        }
        if names.add(line.id) {
            repeated.add(line.id);
        }
        lines.push(line);
        at = next;
    }

    if let StartLine::Response { cseq, .. } = &start
        && cseq.method == no_method()
    {
        return Err(ParseFault::new("CSeq", Rule::Missing, at));
    }
    let left = bytes.len() - at;
    let length = match content_length {
        None => left,
        Some(length) if length > limits.body as u64 => {
            return Err(ParseFault::new("body", Rule::TooLong, at));
        }
        Some(length) if length > left as u64 => {
            return Err(ParseFault::new("body", Rule::Truncated, bytes.len()));
        }
        Some(length) => length as usize,
    };
    if length > limits.body {
        return Err(ParseFault::new("body", Rule::TooLong, at));
    }
    Ok(Index {
        bytes: bytes.slice(..at + length),
        start,
        lines,
        names,
        repeated,
        body: at..at + length,
        limits: *limits,
        essentials: Default::default(),
        changed: None,
    })
}

/// Reads header lines up to and including the empty line; returns where the content begins. For
/// the parts of a multipart body, whose header section may be empty.
pub(super) fn header_lines(
    bytes: &Bytes,
    limits: &Limits,
    mut each: impl FnMut(HeaderName, Bytes) -> Result<(), ParseFault>,
) -> Result<usize, ParseFault> {
    let mut at = 0;
    for _ in 0..=limits.header_lines {
        if bytes.get(at..at + 2) == Some(b"\r\n") {
            return Ok(at + 2);
        }
        if at == bytes.len() {
            return Ok(at);
        }
        let (line, next) = header_line(bytes, at, limits)?;
        if let Some(name) = KNOWN.get(usize::from(line.id)) {
            each(name.clone(), line_value(bytes, &line))?;
        }
        at = next;
    }
    Err(ParseFault::new("header section", Rule::TooMany, at))
}

/// How many octets of body follow the header section in `head`, which ends with its empty line.
/// On a stream, no Content-Length is a fault (SIP-120).
pub(crate) fn announced_body(head: &[u8], limits: &Limits) -> Result<usize, ParseFault> {
    let start_end = line_end(head, 0, limits.start_line, "start line")?;
    let mut at = start_end + 2;
    let mut length = None;
    for _ in 0..=limits.header_lines {
        if head.get(at..at + 2) == Some(b"\r\n") {
            return match length {
                None => Err(ParseFault::new("Content-Length", Rule::Missing, at)),
                Some(length) if length > limits.body as u64 => {
                    Err(ParseFault::new("body", Rule::TooLong, at))
                }
                Some(length) => Ok(length as usize),
            };
        }
        let (line, next) = header_line(head, at, limits)?;
        if line.id == CONTENT_LENGTH.id() {
            if length.is_some() {
                return Err(ParseFault::new("Content-Length", Rule::Repeated, at));
            }
            length = Some(content_length_of(head, &line)?);
        }
        at = next;
    }
    Err(ParseFault::new("header section", Rule::TooMany, at))
}

/// Whether a complete first line can begin a SIP message.
pub(crate) fn is_sip_start(line: &[u8]) -> bool {
    let is_response = line
        .get(..4)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"SIP/"));
    is_response || request_version(line).is_some()
}

/// The status in a status line without its line end.
pub(super) fn status_of(line: &[u8]) -> Result<Status, ParseFault> {
    match status_line(line)? {
        StartLine::Response { status, .. } => Ok(status),
        StartLine::Request { .. } => Err(ParseFault::new("status line", Rule::Status, 0)),
    }
}

/// Where the line that begins at `begin` ends: the position of its CR LF. CR or LF alone is a
/// fault wherever it stands, because elements that disagree on line ends can be played against
/// each other.
fn line_end(
    bytes: &[u8],
    begin: usize,
    limit: usize,
    what: &'static str,
) -> Result<usize, ParseFault> {
    let rest = bytes.get(begin..).unwrap_or_default();
    let window = rest.get(..limit + 1).unwrap_or(rest);
    match memchr2(b'\r', b'\n', window) {
        Some(end) if rest.get(end..end + 2) == Some(b"\r\n") => Ok(begin + end),
        Some(end) => Err(ParseFault::new(what, Rule::LineEnd, begin + end)),
        None if rest.len() > limit => Err(ParseFault::new(what, Rule::TooLong, begin + limit)),
        None => Err(ParseFault::new(what, Rule::LineEnd, bytes.len())),
    }
}

fn header_line(bytes: &[u8], begin: usize, limits: &Limits) -> Result<(Line, usize), ParseFault> {
    let rest = bytes.get(begin..).unwrap_or_default();
    let (name_len, id, colon) = header_name(rest)
        .map_err(|at| ParseFault::new("header line", Rule::Separator, begin + at))?;
    let colon = begin + colon;
    let mut is_folded = false;
    let mut end = line_end(bytes, colon + 1, limits.header_line, "header line")?;
    while bytes.get(end + 2).is_some_and(|&octet| is_white(octet)) {
        is_folded = true;
        end = line_end(bytes, end + 2, limits.header_line, "header line")?;
        if end - begin > limits.header_line {
            return Err(ParseFault::new("header line", Rule::TooLong, begin));
        }
    }
    if end - begin > limits.header_line {
        return Err(ParseFault::new("header line", Rule::TooLong, begin));
    }
    let mut value = bytes.get(colon + 1..end).unwrap_or_default();
    while let [first, rest @ ..] = value {
        match is_space(*first) {
            true => value = rest,
            false => break,
        }
    }
    let value_end = end - trailing_space(value);
    let value_begin = end - value.len();
    let line = Line {
        id,
        is_folded,
        name: narrow(begin)..narrow(begin + name_len),
        value: narrow(value_begin)..narrow(value_end),
    };
    Ok((line, end + 2))
}

/// Length and id of the name that a header line begins with, and where its colon is; or where a colon
/// should be.
fn header_name(line: &[u8]) -> Result<(usize, u8, usize), usize> {
    let window = line.get(..LONGEST_NAME + 1).unwrap_or(line);
    if let Some(colon) = position_of(b':', window) {
        let id = lookup(line.get(..colon).unwrap_or_default());
        // Known names are tokens, so nothing needs to be looked at octet by octet.
        if id != UNKNOWN {
            return Ok((colon, id, colon));
        }
    }
    let length = line
        .iter()
        .position(|&octet| !is_token_octet(octet))
        .unwrap_or(line.len());
    let (name, rest) = line.split_at_checked(length).unwrap_or_default();
    let gap = rest.iter().take_while(|&&octet| is_white(octet)).count();
    let colon = length + gap;
    match length > 0 && line.get(colon) == Some(&b':') {
        true => Ok((length, lookup(name), colon)),
        false => Err(colon),
    }
}

fn start_line(bytes: &Bytes, end: usize) -> Result<StartLine, ParseFault> {
    let line = bytes.get(..end).unwrap_or_default();
    match line.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case(b"SIP/") => status_line(line),
        _ => request_line(bytes, line),
    }
}

/// `Method SP Request-URI SP SIP-Version`, single spaces (RFC 3261 §7.1).
fn request_line(bytes: &Bytes, line: &[u8]) -> Result<StartLine, ParseFault> {
    let fault = |what, rule, at| Err(ParseFault::new(what, rule, at));
    // What does not end in a SIP version is another protocol: nobody there to answer (SIP-014).
    let Some(version) = request_version(line) else {
        return fault("start line", Rule::NotSip, 0);
    };
    let method_end = line
        .iter()
        .position(|&octet| !is_token_octet(octet))
        .unwrap_or(line.len());
    if method_end == 0 || line.get(method_end) != Some(&b' ') {
        return fault("method", Rule::Token, method_end);
    }
    let uri = method_end + 1..version.start.saturating_sub(1);
    let text = line.get(uri.clone()).unwrap_or_default();
    if text.is_empty() {
        return fault("Request-URI", Rule::Empty, method_end);
    }
    if let Some(at) = memchr2(b' ', b'\t', text) {
        return fault("Request-URI", Rule::Separator, uri.start + at);
    }
    if version.end != line.len() {
        return fault("start line", Rule::Trailing, version.end);
    }
    let name = line.get(..method_end).unwrap_or_default();
    let method = Method::known(name)
        .unwrap_or_else(|| Method::Other(Token::recognised(bytes.slice_ref(name))));
    let version = line.get(version).unwrap_or_default();
    let Some(is_sip_2) = version_is_2(version) else {
        return fault("start line", Rule::Version, line.len() - version.len());
    };
    Ok(StartLine::Request {
        method,
        uri,
        is_sip_2,
    })
}

/// Where the last word of the line is, if it begins with `SIP/`.
fn request_version(line: &[u8]) -> Option<Range<usize>> {
    let end = line.len()
        - line
            .iter()
            .rev()
            .take_while(|&&octet| is_white(octet))
            .count();
    let text = line.get(..end)?;
    let start = memchr::memrchr(b' ', text)? + 1;
    let word = text.get(start..)?;
    word.get(..4)?
        .eq_ignore_ascii_case(b"SIP/")
        .then_some(start..end)
}

/// Whether `SIP/x.y` is `SIP/2.0`; nothing if it is not even a version.
fn version_is_2(version: &[u8]) -> Option<bool> {
    let (major, minor) = octets_as_str(version.get(4..)?).split_once('.')?;
    let is_number =
        |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    (is_number(major) && is_number(minor)).then(|| (major, minor) == ("2", "0"))
}

/// `SIP-Version SP Status-Code SP Reason-Phrase`; the last SP may be missing with the phrase.
fn status_line(line: &[u8]) -> Result<StartLine, ParseFault> {
    let fault = |rule, at| ParseFault::new("status line", rule, at);
    let version_end = memchr::memchr(b' ', line).ok_or(fault(Rule::Separator, line.len()))?;
    if version_is_2(line.get(..version_end).unwrap_or_default()) != Some(true) {
        return Err(fault(Rule::Version, 0));
    }
    let rest = line.get(version_end + 1..).unwrap_or_default();
    let digits = rest
        .iter()
        .take_while(|octet| octet.is_ascii_digit())
        .count();
    let code = rest.get(..digits).unwrap_or_default();
    let status = (digits == 3)
        .then(|| octets_as_str(code).parse().ok().and_then(Status::new))
        .flatten()
        .ok_or(fault(Rule::Status, version_end + 1))?;
    let reason = match rest.get(digits) {
        None => line.len()..line.len(),
        Some(b' ') => version_end + 1 + digits + 1..line.len(),
        Some(_) => return Err(fault(Rule::Separator, version_end + 1 + digits)),
    };
    let cseq = CSeq {
        number: 0,
        method: no_method(),
    };
    Ok(StartLine::Response {
        status,
        reason,
        cseq,
    })
}

/// Digits only, at most 2^31−1, computed in 64 bits (SIP-007).
fn content_length_of(bytes: &[u8], line: &Line) -> Result<u64, ParseFault> {
    let value = bytes
        .get(line.value.start as usize..line.value.end as usize)
        .unwrap_or_default();
    let fault = |rule| {
        Err(ParseFault::new(
            "Content-Length",
            rule,
            line.value.start as usize,
        ))
    };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return fault(Rule::Number);
    }
    let length = value.iter().fold(0_u64, |length, digit| {
        length
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    match length <= MAX_CONTENT_LENGTH {
        true => Ok(length),
        false => fault(Rule::Range),
    }
}

fn line_value(bytes: &Bytes, line: &Line) -> Bytes {
    let value = bytes.slice(line.value.start as usize..line.value.end as usize);
    match line.is_folded {
        true => super::message::unfold(&value),
        false => value,
    }
}

/// Decides what to do with bytes that are no message: answer a request as far as an answer can be
/// addressed, drop everything else.
pub(crate) fn reject(bytes: &Bytes, limits: &Limits, fault: ParseFault) -> Rejected {
    let section = bytes.get(..limits.header_section).unwrap_or(bytes);
    let first = broken_lines(section).next().unwrap_or_default();
    let Some(version) = request_version(first) else {
        return Rejected {
            fault,
            reaction: Reaction::Drop,
        };
    };
    let is_response = first
        .get(..4)
        .is_some_and(|text| text.eq_ignore_ascii_case(b"SIP/"));
    let status = match (version_is_2(first.get(version).unwrap_or_default()), fault) {
        (Some(false), _) => Status::VERSION_NOT_SUPPORTED,
        (
            _,
            ParseFault {
                what: "header section" | "body",
                rule: Rule::TooLong,
                ..
            },
        ) => Status::MESSAGE_TOO_LARGE,
        _ => Status::BAD_REQUEST,
    };
    let head = match is_response {
        true => None,
        false => RequestHead::salvage(&bytes.slice_ref(section)),
    };
    let reaction = match head {
        Some(head) => Reaction::Answer {
            status,
            head: Box::new(head),
        },
        None => Reaction::Drop,
    };
    Rejected { fault, reaction }
}

impl RequestHead {
    /// Collects what an answer needs from the lines of a broken request, however broken the other
    /// lines are. Nothing without a topmost Via that says where to send it, and nothing for ACK.
    fn salvage(section: &Bytes) -> Option<Self> {
        let mut head = Self::default();
        let mut vias = Vec::new();
        let mut lines = broken_lines(section).peekable();
        let first = lines.next()?;
        let method = first.split(|&octet| octet == b' ').next()?;
        head.method = Method::parse(section.slice_ref(method)).ok();
        if head.method == Some(Method::Ack) {
            return None;
        }
        while let Some(line) = lines.next() {
            let mut end = line;
            while let Some(fold) =
                lines.next_if(|next| next.first().is_some_and(|&octet| is_white(octet)))
            {
                end = fold;
            }
            if line.is_empty() {
                break;
            }
            let Some(colon) = memchr::memchr(b':', line) else {
                continue;
            };
            let slot = match HeaderName::known(trim(line.get(..colon).unwrap_or_default())) {
                Some(HeaderName::Via) if vias.len() < MAX_SALVAGED_VIAS => None,
                Some(HeaderName::From) if head.from.is_none() => Some(&mut head.from),
                Some(HeaderName::To) if head.to.is_none() => Some(&mut head.to),
                Some(HeaderName::CallId) if head.call_id.is_none() => Some(&mut head.call_id),
                Some(HeaderName::CSeq) if head.cseq.is_none() => Some(&mut head.cseq),
                _ => continue,
            };
            let begin = line.as_ptr() as usize - section.as_ptr() as usize;
            let stop = end.as_ptr() as usize - section.as_ptr() as usize + end.len();
            let value =
                super::message::unfold(section.get(begin + colon + 1..stop).unwrap_or_default());
            let value = value.slice_ref(trim(&value));
            if value.contains(&0) {
                continue;
            }
            match slot {
                Some(slot) => *slot = Some(value),
                None => vias.push(value),
            }
        }
        head.take_vias(vias).then_some(head)
    }
}

/// The lines of a broken message, whatever ends them: CR LF, or one of both alone.
fn broken_lines(section: &[u8]) -> impl Iterator<Item = &[u8]> {
    section.split(|&octet| octet == b'\n').flat_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.split(|&octet| octet == b'\r')
    })
}

/// Stands in the index of a response until its CSeq line is reached; no token is empty.
fn no_method() -> Method {
    Method::Other(Token::recognised(Bytes::from_static(b"-")))
}

/// How much white space is at the end.
fn trailing_space(value: &[u8]) -> usize {
    value
        .iter()
        .rev()
        .take_while(|&&octet| is_space(octet))
        .count()
}

fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// Offsets are below the limits of SIP-001, far below 4 GiB; saturation is never reached.
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

const CONTENT_LENGTH: HeaderName = HeaderName::ContentLength;
const CSEQ: HeaderName = HeaderName::CSeq;
const MAX_CONTENT_LENGTH: u64 = (1 << 31) - 1;
const MAX_SALVAGED_VIAS: usize = 70;
/// No known name is longer; the colon of a longer one is looked for octet by octet.
const LONGEST_NAME: usize = 31;
