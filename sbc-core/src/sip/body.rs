//! Bodies: multipart taken apart, the description found, sipfrag (RFC 2046 §5.1, RFC 5621,
//! RFC 3420).

use bytes::Bytes;
use memchr::memmem;

use super::grammar::push_number;
use super::header::{ContentDisposition, ContentType, Handling, Header, HeaderName};
use super::limits::{MAX_BODY_PARTS, MAX_MULTIPART_DEPTH};
use super::{Limits, Message, ParseFault, Rule, Status, parse};

/// One part of a body that is not itself a multipart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Media type; nothing if the body does not say.
    pub content_type: Option<ContentType>,
    /// What the part is for, if it says so.
    pub disposition: Option<ContentDisposition>,
    /// Number of the `multipart/alternative` in which the part stands, if it does.
    pub alternatives: Option<usize>,
    /// The octets, sharing the message's buffer.
    pub content: Bytes,
}

impl Part {
    /// Whether a receiver that does not understand the part must refuse the message.
    pub fn handling(&self) -> Handling {
        self.disposition
            .as_ref()
            .map_or(Handling::Required, ContentDisposition::handling)
    }

    /// Whether this is the description of a session: `application/sdp` whose disposition is
    /// `session`, which is also the default.
    pub fn is_session_description(&self) -> bool {
        self.content_type.as_ref().is_some_and(ContentType::is_sdp)
            && self
                .disposition
                .as_ref()
                .is_none_or(|own| own.kind.is("session"))
    }
}

/// All parts of the body in order, nested multiparts taken apart; a body that is no multipart is
/// its only part, an empty one has none.
pub fn parts(message: &Message) -> Result<Vec<Part>, ParseFault> {
    let content = message.body();
    if content.is_empty() {
        return Ok(Vec::new());
    }
    let whole = Part {
        content_type: message.get::<ContentType>()?,
        disposition: message.get::<ContentDisposition>()?,
        alternatives: None,
        content,
    };
    let mut walk = Walk {
        parts: Vec::new(),
        multiparts: 0,
        limits: *message.limits(),
    };
    walk.visit(whole, 0)?;
    Ok(walk.parts)
}

/// The octets of the session description, wherever it stands in the body.
pub fn session_description(message: &Message) -> Result<Option<Bytes>, ParseFault> {
    let found = parts(message)?
        .into_iter()
        .find(Part::is_session_description);
    Ok(found.map(|part| part.content))
}

/// A `message/sipfrag` that reports a status, as NOTIFY carries during a transfer (RFC 3515
/// §2.4.5).
pub fn sipfrag(status: Status) -> Bytes {
    let mut out = Vec::with_capacity(48);
    out.extend_from_slice(b"SIP/2.0 ");
    push_number(&mut out, u64::from(status.code()));
    out.push(b' ');
    out.extend_from_slice(status.default_phrase().as_bytes());
    out.extend_from_slice(b"\r\n");
    Bytes::from(out)
}

/// The status in a `message/sipfrag`; headers after the status line are not looked at, and its line
/// end may be missing.
pub fn sipfrag_status(fragment: &[u8]) -> Result<Status, ParseFault> {
    let end = memchr::memchr2(b'\r', b'\n', fragment).unwrap_or(fragment.len());
    parse::status_of(fragment.get(..end).unwrap_or_default())
}

struct Walk {
    parts: Vec<Part>,
    multiparts: usize,
    limits: Limits,
}

impl Walk {
    fn visit(&mut self, part: Part, depth: usize) -> Result<(), ParseFault> {
        let Some(kind) = part
            .content_type
            .as_ref()
            .filter(|kind| kind.is_multipart())
        else {
            if self.parts.len() == MAX_BODY_PARTS {
                return Err(fault(Rule::TooMany));
            }
            self.parts.push(part);
            return Ok(());
        };
        if depth == MAX_MULTIPART_DEPTH || self.multiparts == MAX_BODY_PARTS {
            return Err(fault(Rule::TooMany));
        }
        self.multiparts += 1;
        let alternatives = match kind.subtype.is("alternative") {
            true => Some(self.multiparts),
            false => part.alternatives,
        };
        let boundary = kind.params.value("boundary").ok_or(fault(Rule::Boundary))?;
        if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
            return Err(fault(Rule::Boundary));
        }
        for section in split(&part.content, boundary)? {
            let inner = self.section(&section, alternatives)?;
            self.visit(inner, depth + 1)?;
        }
        Ok(())
    }

    /// Headers and content of one part. Without Content-Type it is `text/plain` (RFC 2046 §5.1).
    fn section(&self, section: &Bytes, alternatives: Option<usize>) -> Result<Part, ParseFault> {
        let mut part = Part {
            content_type: None,
            disposition: None,
            alternatives,
            content: Bytes::new(),
        };
        let begin = parse::header_lines(section, &self.limits, |name, value| {
            match name {
                HeaderName::ContentType => {
                    part.content_type = Some(ContentType::parse(&value)?);
                }
                HeaderName::ContentDisposition => {
                    part.disposition = Some(ContentDisposition::parse(&value)?);
                }
                _ => {}
            }
            Ok(())
        })?;
        part.content = section.slice(begin..);
        if part.content_type.is_none() {
            part.content_type = ContentType::parse(&Bytes::from_static(b"text/plain")).ok();
        }
        Ok(part)
    }
}

/// The sections between the delimiter lines. Linear: one search that never goes back.
fn split(content: &Bytes, boundary: &[u8]) -> Result<Vec<Bytes>, ParseFault> {
    let delimiter = [b"--", boundary].concat();
    let mut sections = Vec::new();
    let mut open = None;
    for at in memmem::find_iter(content, &delimiter) {
        let is_line_start = at == 0 || content.get(at.wrapping_sub(2)..at) == Some(b"\r\n");
        if !is_line_start {
            continue;
        }
        let after = content.get(at + delimiter.len()..).unwrap_or_default();
        let is_last = after.starts_with(b"--");
        let rest = if is_last {
            after.get(2..).unwrap_or_default()
        } else {
            after
        };
        let padding = rest
            .iter()
            .take_while(|octet| matches!(octet, b' ' | b'\t'))
            .count();
        let tail = rest.get(padding..).unwrap_or_default();
        let ends_line = tail.starts_with(b"\r\n") || (is_last && tail.is_empty());
        if !ends_line {
            // A longer boundary that begins like ours.
            continue;
        }
        if let Some(begin) = open {
            // An empty section has its delimiter right after the one before.
            let end = usize::max(begin, at.saturating_sub(2));
            if sections.len() == MAX_BODY_PARTS {
                return Err(fault(Rule::TooMany));
            }
            sections.push(content.slice(begin..end));
        }
        if is_last {
            return Ok(sections);
        }
        open = Some(content.len() - tail.len() + 2);
    }
    Err(fault(Rule::Boundary))
}

const fn fault(rule: Rule) -> ParseFault {
    ParseFault::new("multipart body", rule, 0)
}

/// RFC 2046 §5.1.1.
const MAX_BOUNDARY: usize = 70;
