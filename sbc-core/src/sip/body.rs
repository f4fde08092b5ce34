//! Bodies: multipart taken apart, the description found, sipfrag (RFC 2046 §5.1, RFC 5621,
//! RFC 3420).

mod named;

pub use named::section_named;

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
    /// The part of a multipart with its headers, as it came.
    pub section: Option<Bytes>,
}

impl Part {
    /// Whether a receiver that does not understand the part must refuse the message.
    pub fn handling(&self) -> Handling {
        self.disposition
            .as_ref()
            .map_or(Handling::Required, ContentDisposition::handling)
    }

    fn is_multipart(&self) -> bool {
        let kind = self.content_type.as_ref();
        kind.is_some_and(ContentType::is_multipart)
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
    let Some(whole) = whole(message)? else {
        return Ok(Vec::new());
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
    let Some(whole) = whole(message)? else {
        return Ok(None);
    };
    if !whole.is_multipart() {
        let found = Some(whole).filter(Part::is_session_description);
        return Ok(found.map(|part| part.content));
    }
    let found = parts(message)?
        .into_iter()
        .find(Part::is_session_description);
    Ok(found.map(|part| part.content))
}

/// What stands in a body beside its session description, in order, each part with its headers octet by octet,
/// and how many of them stand before the description. A multipart within it stays whole, unless the
/// description is in it, or something that stays behind.
pub fn beside_description(
    message: &Message,
    stays: fn(&ContentType) -> bool,
) -> Result<(Vec<Bytes>, usize), ParseFault> {
    let Some(whole) = whole(message)? else {
        return Ok((Vec::new(), 0));
    };
    // Its limits hold for what is found below as well.
    let all = parts(message)?;
    if !whole.is_multipart() {
        let kind = whole.content_type.as_ref();
        let is_other = kind.is_some_and(|kind| !kind.is_sdp() && !stays(kind));
        let sections = is_other.then(|| alone(message, &whole.content));
        return Ok((sections.into_iter().collect(), 0));
    }
    let mut beside = Beside {
        limits: *message.limits(),
        sections: Vec::new(),
        before: None,
        stays,
        is_mixed: all.iter().any(|part| is_split(part, stays)),
    };
    beside.visit(&whole)?;
    Ok((beside.sections, beside.before.unwrap_or_default()))
}

/// The parts of a body that are of a kind, in order, each with its headers octet by octet, and how many of them stand
/// before the session description.
pub fn sections_of(
    message: &Message,
    is_wanted: fn(&ContentType) -> bool,
) -> Result<(Vec<Bytes>, usize), ParseFault> {
    let (mut sections, mut before) = (Vec::new(), None);
    for part in parts(message)? {
        if part.is_session_description() {
            before.get_or_insert(sections.len());
        } else if part.content_type.as_ref().is_some_and(is_wanted) {
            let section = part.section.clone();
            sections.push(section.unwrap_or_else(|| alone(message, &part.content)));
        }
    }
    let before = before.unwrap_or(sections.len());
    Ok((sections, before))
}

/// A body as it is written: its type, other headers that it needs, and its octets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Body {
    /// Content-Type.
    pub kind: ContentType,
    /// What else is said of it.
    pub lines: Vec<(HeaderName, Bytes)>,
    /// The octets.
    pub octets: Bytes,
}

impl Body {
    /// A description alone.
    pub fn described(description: Bytes) -> Self {
        Self {
            kind: ContentType::sdp(),
            lines: Vec::new(),
            octets: description,
        }
    }

    /// A description, if there is one, and parts with their headers, so many of them before it. Parts that cannot be
    /// written beside it are left out. Nothing if there is nothing to be said.
    pub fn of(
        description: Option<Bytes>,
        sections: &[Bytes],
        before: usize,
        boundary: &str,
    ) -> Option<Self> {
        let described = description.clone().map(Self::described);
        if let (None, [section]) = (&description, sections) {
            return bare(section);
        }
        if sections.is_empty() {
            return described;
        }
        let mut all = sections.to_vec();
        if let Some(description) = description {
            let head = b"Content-Type: application/sdp\r\n\r\n".as_slice();
            let own = Bytes::from([head, &description].concat());
            all.insert(before.min(all.len()), own);
        }
        match mixed(&all, boundary) {
            Some((kind, octets)) => Some(Self {
                kind,
                lines: Vec::new(),
                octets,
            }),
            None => described,
        }
    }
}

/// A part as a body of its own.
fn bare(section: &Bytes) -> Option<Body> {
    let (mut kind, mut lines) = (None, Vec::new());
    let begin = parse::header_lines(section, &Limits::default(), |name, value| {
        match name {
            HeaderName::ContentType => kind = Some(ContentType::parse(&value)?),
            _ if SAID_OF_IT.contains(&name) => lines.push((name, value)),
            _ => {}
        }
        Ok(())
    });
    let octets = section.slice(begin.ok()?..);
    Some(Body {
        kind: kind?,
        lines,
        octets,
    })
}

/// What is said of a body or a part of one beside its type, and goes where it goes.
static SAID_OF_IT: [HeaderName; 5] = [
    HeaderName::ContentId,
    HeaderName::ContentDisposition,
    HeaderName::ContentEncoding,
    HeaderName::ContentTransferEncoding,
    HeaderName::ContentLanguage,
];

/// What a message says of its body beside the type.
pub fn said_of(message: &Message) -> Vec<(HeaderName, Bytes)> {
    let lines = SAID_OF_IT.iter();
    lines
        .filter_map(|name| Some((name.clone(), message.raw(name)?)))
        .collect()
}

/// A body that is no multipart, as a part of one.
fn alone(message: &Message, content: &Bytes) -> Bytes {
    let mut section = Vec::with_capacity(content.len() + 128);
    for name in [HeaderName::ContentType].iter().chain(&SAID_OF_IT) {
        if let Some(value) = message.raw(name) {
            section.extend_from_slice(name.as_str().as_bytes());
            section.extend_from_slice(b": ");
            section.extend_from_slice(&value);
            section.extend_from_slice(b"\r\n");
        }
    }
    section.extend_from_slice(b"\r\n");
    section.extend_from_slice(content);
    Bytes::from(section)
}

/// What is found beside a description.
struct Beside {
    limits: Limits,
    sections: Vec<Bytes>,
    before: Option<usize>,
    stays: fn(&ContentType) -> bool,
    /// Whether a multipart within may have to be taken apart.
    is_mixed: bool,
}

/// Whether a part is none of those that stand beside a description and go along.
fn is_split(part: &Part, stays: fn(&ContentType) -> bool) -> bool {
    part.is_session_description() || part.content_type.as_ref().is_some_and(stays)
}

impl Beside {
    fn visit(&mut self, multipart: &Part) -> Result<(), ParseFault> {
        let limits = self.limits;
        let walk = || Walk {
            parts: Vec::new(),
            multiparts: 0,
            limits,
        };
        let kind = multipart.content_type.as_ref();
        let boundary = kind.and_then(|kind| kind.params.value("boundary"));
        let sections = split(&multipart.content, boundary.ok_or(fault(Rule::Boundary))?)?;
        for section in sections {
            let part = walk().section(&section, None)?;
            if part.is_multipart() && self.is_mixed {
                let mut inside = walk();
                inside.visit(part.clone(), 1)?;
                let mut inside = inside.parts.iter();
                if inside.any(|part| is_split(part, self.stays)) {
                    self.visit(&part)?;
                    continue;
                }
            }
            if part.is_session_description() {
                self.before.get_or_insert(self.sections.len());
                continue;
            }
            let kind = part.content_type.as_ref();
            if !kind.is_some_and(|kind| kind.is_sdp() || (self.stays)(kind)) {
                self.sections.push(section);
            }
        }
        Ok(())
    }
}

/// The body as one part; nothing if it is empty.
fn whole(message: &Message) -> Result<Option<Part>, ParseFault> {
    let content = message.body();
    if content.is_empty() {
        return Ok(None);
    }
    Ok(Some(Part {
        content_type: message.essential::<ContentType>()?.cloned(),
        disposition: message.get::<ContentDisposition>()?,
        alternatives: None,
        content,
        section: None,
    }))
}

/// A `multipart/mixed` of these parts, which have their headers; nothing if there are none, or the
/// boundary cannot be one.
pub fn mixed(sections: &[Bytes], boundary: &str) -> Option<(ContentType, Bytes)> {
    let kind = ContentType::multipart(boundary).filter(|_| !sections.is_empty())?;
    let octets = sections.iter().map(Bytes::len).sum::<usize>();
    let mut out = Vec::with_capacity(octets + 128);
    let open = format!("--{boundary}\r\n");
    for section in sections {
        out.extend_from_slice(open.as_bytes());
        out.extend_from_slice(section);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Some((kind, Bytes::from(out)))
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
            section: Some(section.clone()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Capabilities;

    fn message(headers: &str, body: &str) -> Message {
        let text = format!(
            "INVITE sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n\
             From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: 1\r\n\
             CSeq: 1 INVITE\r\n{headers}\r\n{body}"
        );
        Message::parse(text.into(), &Limits::default()).unwrap()
    }

    fn status(message: &Message) -> Option<u16> {
        Capabilities::default()
            .check(message)
            .err()
            .map(|own| own.status.code())
    }

    const MIXED: &str = "Content-Type: multipart/mixed;boundary=\"a b\"\r\n";

    #[test]
    fn the_description_is_found_in_nested_parts() {
        let body = "preamble\r\n--a b\r\n\
            Content-Type: application/isup\r\nContent-Disposition: signal;handling=optional\r\n\r\n\
            x\0y\r\n--a b \r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n\
            --in\r\nContent-Type: text/plain\r\n\r\nhello\r\n--in\r\n\
            c: application/sdp\r\n\r\nv=0\r\n\r\n--in--\r\n--a b--\r\nepilogue";
        let message = message(MIXED, body);
        assert_eq!(parts(&message).unwrap().len(), 3);
        assert_eq!(session_description(&message).unwrap().unwrap(), "v=0\r\n");
        assert_eq!(status(&message), None);
    }

    #[test]
    fn what_stands_beside_the_description_keeps_its_order_and_its_octets() {
        let multipart = "Content-Type: multipart/alternative;boundary=in\r\n\r\n--in\r\n\
            Content-Type: text/plain\r\n\r\nx\r\n--in--";
        let body = format!(
            "--a b\r\nContent-ID: <1@h>\r\n\r\none\r\n--a b\r\n{multipart}\r\n--a b\r\n\
             Content-Type: application/sdp\r\n\r\nv=0\r\n\r\n--a b\r\n\
             Content-Type: application/x\r\n\r\n\0\r\n--a b--"
        );
        let (sections, before) = beside_description(&message(MIXED, &body), |_| false).unwrap();
        let last = "Content-Type: application/x\r\n\r\n\0";
        assert_eq!(sections, ["Content-ID: <1@h>\r\n\r\none", multipart, last]);
        assert_eq!(before, 2);
        let alone = message(
            "Content-Type: application/pidf+xml\r\nContent-ID: <2@h>\r\n",
            "<a/>",
        );
        let (sections, before) = beside_description(&alone, |_| false).unwrap();
        let section = "Content-Type: application/pidf+xml\r\nContent-ID: <2@h>\r\n\r\n<a/>";
        assert_eq!((sections, before), (vec![Bytes::from(section)], 0));
        let sdp = message("Content-Type: application/sdp\r\n", "v=0\r\n");
        assert_eq!(beside_description(&sdp, |_| false), Ok((Vec::new(), 0)));
    }

    #[test]
    fn what_stays_behind_is_left_out_wherever_it_stands() {
        let isup: fn(&ContentType) -> bool = |kind| kind.is("application", "isup");
        let place = "Content-Type: application/pidf+xml\r\n\r\n<a/>";
        let other = "Content-Type: application/ISUP\r\n\r\nx";
        let body = format!(
            "--a b\r\n{other}\r\n--a b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--a b\r\n\
             Content-Type: multipart/mixed;boundary=in\r\n\r\n--in\r\n{other}\r\n--in\r\n{place}\r\n--in--\r\n\
             --a b--"
        );
        let (sections, before) = beside_description(&message(MIXED, &body), isup).unwrap();
        assert_eq!((sections, before), (vec![Bytes::from(place)], 0));
        let alone = message("Content-Type: application/isup\r\n", "x");
        assert_eq!(beside_description(&alone, isup), Ok((Vec::new(), 0)));
    }

    #[test]
    fn what_is_said_of_a_body_goes_along_as_a_part_and_back() {
        let said = "Content-Type: application/isup\r\nContent-Disposition: signal\r\n\
            Content-Encoding: gzip\r\nContent-Transfer-Encoding: binary\r\nContent-Language: de\r\n";
        let message = message(said, "x");
        let (sections, _) = sections_of(&message, |_| true).unwrap();
        assert_eq!(sections, [Bytes::from(format!("{said}\r\nx"))]);
        let again = Body::of(None, &sections, 0, "b").unwrap();
        assert_eq!(again.lines, said_of(&message));
        assert_eq!(again.lines.len(), 4);
    }

    #[test]
    fn parts_of_a_kind_are_taken_out_and_written_again() {
        let isup = "Content-Type: application/ISUP;version=itu-t92+\r\n\
            Content-Disposition: signal;handling=required\r\n\r\nx\0y";
        let body = format!(
            "--a b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--a b\r\n{isup}\r\n--a b\r\n\
             Content-Type: application/sdp\r\n\r\nv=0\r\n\r\n--a b--"
        );
        let wanted: fn(&ContentType) -> bool = |kind| kind.is("application", "isup");
        let (sections, before) = sections_of(&message(MIXED, &body), wanted).unwrap();
        assert_eq!(
            (sections.as_slice(), before),
            ([Bytes::from(isup)].as_slice(), 1)
        );
        let alone = Body::of(None, &sections, before, "b").unwrap();
        assert_eq!(alone.octets, "x\0y");
        assert!(
            alone.kind.is("application", "isup") && alone.kind.params.value("version").is_some()
        );
        let said = Bytes::from("signal;handling=required");
        assert_eq!(alone.lines, [(HeaderName::ContentDisposition, said)]);
        let description = Some(Bytes::from("v=0\r\n"));
        let both = Body::of(description.clone(), &sections, before, "b").unwrap();
        let sdp = "Content-Type: application/sdp\r\n\r\nv=0\r\n";
        let expected = format!("--b\r\n{isup}\r\n--b\r\n{sdp}\r\n--b--\r\n");
        assert_eq!(both.octets, expected);
        let only = Body::of(description, &[], 0, "b").unwrap();
        assert_eq!(only, Body::described("v=0\r\n".into()));
        assert_eq!(Body::of(None, &[], 0, "b"), None);
    }

    #[test]
    fn a_part_that_must_be_understood_and_is_not_is_refused() {
        let body = "--a b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--a b\r\n\
            Content-Type: application/isup\r\n\r\nx\r\n--a b--\r\n";
        assert_eq!(status(&message(MIXED, body)), Some(415));
    }

    #[test]
    fn broken_multiparts_are_malformed() {
        let rule =
            |headers: &str, body: &str| parts(&message(headers, body)).map_err(|own| own.rule);
        let open = "--a b\r\n\r\nx\r\n";
        assert_eq!(rule(MIXED, open), Err(Rule::Boundary));
        assert_eq!(status(&message(MIXED, open)), Some(400));
        let no_boundary = "Content-Type: multipart/mixed\r\n";
        assert_eq!(rule(no_boundary, "--a--"), Err(Rule::Boundary));
        let many = format!("{}--a b--", "--a b\r\n\r\nx\r\n".repeat(17));
        assert_eq!(rule(MIXED, &many), Err(Rule::TooMany));
        let mut deep = String::from("x");
        for _ in 0..6 {
            deep = format!(
                "--a b\r\nContent-Type: multipart/mixed;boundary=\"a b\"\r\n\r\n{deep}\r\n--a b--"
            );
        }
        assert!(parts(&message(MIXED, &deep)).is_err());
    }

    #[test]
    fn sipfrag_carries_a_status() {
        assert_eq!(sipfrag(Status::OK), "SIP/2.0 200 OK\r\n");
        assert_eq!(
            sipfrag_status(b"SIP/2.0 486 Busy Here"),
            Ok(Status::BUSY_HERE)
        );
        assert_eq!(
            sipfrag_status(b"SIP/2.0 100\r\nX: 1\r\n"),
            Ok(Status::TRYING)
        );
        assert!(sipfrag_status(b"INVITE sip:a@b SIP/2.0\r\n").is_err());
        assert!(sipfrag_status(b"").is_err());
    }
}
