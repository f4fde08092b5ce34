//! A whole session description: the bytes, and an index of their lines.

use super::attribute::Attributes;
use super::connection::{Bandwidth, Connection, Origin};
use super::fault::{Fault, Offence};
use super::limits::Limits;
use super::redact::redact;
use super::stream::Media;
use super::text;
use crate::octets::position_of;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;

/// A parsed SDP body. Cheap to clone; what was read is written back octet by octet.
///
/// Equality is equality of bytes.
#[derive(Clone)]
pub struct Description {
    raw: Bytes,
    lines: Vec<Line>,
    /// Lines before the first `m=`.
    session_lines: usize,
    sections: Vec<Section>,
    limits: Limits,
}

#[derive(Clone)]
struct Line {
    letter: u8,
    value: Range<usize>,
    /// Where the name of an attribute ends: at its colon, or with the line.
    name_end: usize,
}

/// Index of one media section.
#[derive(Clone)]
pub(super) struct Section {
    /// Lines of the section without the `m=` line itself.
    pub(super) lines: Range<usize>,
    pub(super) kind: Range<usize>,
    pub(super) port: u16,
    pub(super) port_count: u32,
    pub(super) transport: Range<usize>,
    pub(super) formats: Range<usize>,
}

impl Description {
    /// Reads a body. Tolerated are LF line ends, empty lines, a missing last line end, and missing
    /// `v=`, `o=`, `s=` and `t=` lines; unknown line types are kept. The memory used is in
    /// proportion to the body.
    pub fn parse(raw: Bytes, limits: &Limits) -> Result<Self, Fault> {
        let mut lines = Vec::with_capacity(USUAL_LINES);
        let mut sections: Vec<Section> = Vec::new();
        let mut session_lines = None;
        // Of the section that is being read.
        let (mut attributes, mut connections) = (0, 0);
        let mut seen_version = false;

        if raw.len() > limits.bytes {
            return Err(Fault {
                what: Offence::TooLong,
                at: 0,
                line: 1,
            });
        }
        let mut start = 0;
        let mut number = 0;
        while start < raw.len() {
            number += 1;
            let at = start;
            let fault = |what| Fault {
                what,
                at,
                line: number,
            };
            let rest = &raw[start..];
            let length = memchr::memchr(b'\n', rest);
            start += length.map_or(rest.len(), |length| length + 1);
            let line = &rest[..length.unwrap_or(rest.len())];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            if lines.len() >= limits.lines {
                return Err(fault(Offence::TooManyLines));
            }
            if line.len() > limits.line_bytes {
                return Err(fault(Offence::LongLine));
            }
            if memchr::memchr2(0, b'\r', line).is_some() {
                return Err(fault(Offence::ForbiddenByte));
            }
            let [letter, b'=', value @ ..] = line else {
                return Err(fault(Offence::NotALine));
            };
            if !letter.is_ascii_alphabetic() {
                return Err(fault(Offence::NotALine));
            }
            let value_at = at + 2..at + 2 + value.len();
            let mut name_end = value_at.end;
            match letter {
                b'v' if value.trim_ascii() != b"0" => return Err(fault(Offence::Version)),
                b'v' => seen_version = true,
                b'o' if Origin::parse(value).is_none() => return Err(fault(Offence::Origin)),
                b'c' if text::fields(value).count() < 3 => {
                    return Err(fault(Offence::Connection));
                }
                b'c' => {
                    connections += 1;
                    if connections > limits.connections {
                        return Err(fault(Offence::TooManyConnections));
                    }
                }
                b'a' => {
                    attributes += 1;
                    if attributes > limits.attributes {
                        return Err(fault(Offence::TooManyAttributes));
                    }
                    if let Some(colon) = position_of(b':', value) {
                        name_end = value_at.start + colon;
                    }
                }
                b'm' => {
                    (attributes, connections) = (0, 0);
                    session_lines.get_or_insert(lines.len());
                    if let Some(last) = sections.last_mut() {
                        last.lines.end = lines.len();
                    }
                    let section = read_media_line(value, value_at.start, lines.len() + 1)
                        .ok_or(fault(Offence::MediaLine))?;
                    if text::fields(&raw[section.formats.clone()]).count() > limits.formats {
                        return Err(fault(Offence::TooManyFormats));
                    }
                    sections.push(section);
                }
                _ => {}
            }
            lines.push(Line {
                letter: *letter,
                value: value_at,
                name_end,
            });
        }
        if let Some(last) = sections.last_mut() {
            last.lines.end = lines.len();
        }
        let fault = |what| Fault {
            what,
            at: 0,
            line: 1,
        };
        if lines.is_empty() {
            return Err(fault(Offence::Empty));
        }
        if !seen_version && sections.is_empty() {
            return Err(fault(Offence::NotADescription));
        }
        Ok(Self {
            session_lines: session_lines.unwrap_or(lines.len()),
            raw,
            lines,
            sections,
            limits: *limits,
        })
    }

    /// The body as it is on the wire.
    pub fn as_bytes(&self) -> &Bytes {
        &self.raw
    }

    /// The limits it was read with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Every line in order: type letter and value.
    pub fn lines(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.lines
            .iter()
            .map(|line| (line.letter, &self.raw[line.value.clone()]))
    }

    /// The origin, if there is one.
    pub fn origin(&self) -> Option<Origin<'_>> {
        self.values(self.session(), b'o')
            .next()
            .and_then(Origin::parse)
    }

    /// Value of the session-level line of this type, `s=` for instance.
    pub fn session_value(&self, letter: u8) -> Option<&[u8]> {
        self.values(self.session(), letter).next()
    }

    /// Connection line of the session; `None` where it is missing or cannot be read.
    pub fn connection(&self) -> Option<Connection<'_>> {
        self.values(self.session(), b'c')
            .next()
            .and_then(Connection::parse)
    }

    /// Bandwidth lines of the session.
    pub fn bandwidths(&self) -> impl Iterator<Item = Bandwidth<'_>> {
        self.values(self.session(), b'b')
            .filter_map(Bandwidth::parse)
    }

    /// Attributes of the session.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes::new(self, self.session())
    }

    /// Whether the peer is an ICE-lite agent (RFC 8839 §5.3).
    pub fn ice_lite(&self) -> bool {
        self.attributes().has(b"ice-lite")
    }

    /// `a=group` lines: semantics and the identifications they join (RFC 5888 §5).
    pub fn groups(&self) -> impl Iterator<Item = (&[u8], Vec<&[u8]>)> {
        self.attributes().named(b"group").filter_map(|attribute| {
            let mut fields = text::fields(attribute.value?);
            let semantics = fields.next()?;
            Some((semantics, fields.collect()))
        })
    }

    /// The media sections in order, those beyond the limit included.
    pub fn media(&self) -> impl ExactSizeIterator<Item = Media<'_>> {
        self.sections
            .iter()
            .enumerate()
            .map(|(index, section)| Media {
                owner: self,
                section,
                index,
            })
    }

    /// The body with every key hidden, for logs and ladders (MED-103).
    pub fn redacted(&self) -> String {
        redact(&self.raw).into_owned()
    }

    fn session(&self) -> Range<usize> {
        0..self.session_lines
    }

    pub(super) fn slice(&self, range: &Range<usize>) -> &[u8] {
        &self.raw[range.clone()]
    }

    /// The attributes among these lines: the octets of their names, and of their values.
    pub(super) fn attribute_lines(
        &self,
        lines: Range<usize>,
    ) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> + use<'_> {
        let attributes = self.lines[lines].iter().filter(|line| line.letter == b'a');
        attributes.map(|line| {
            let name = &self.raw[line.value.start..line.name_end];
            (name, self.raw.get(line.name_end + 1..line.value.end))
        })
    }

    pub(super) fn values(
        &self,
        lines: Range<usize>,
        letter: u8,
    ) -> impl Iterator<Item = &[u8]> + use<'_> {
        self.lines[lines]
            .iter()
            .filter(move |line| line.letter == letter)
            .map(|line| &self.raw[line.value.clone()])
    }
}

/// Most descriptions have no more.
const USUAL_LINES: usize = 16;

impl PartialEq for Description {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Description {}

impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Description")
            .field(&self.redacted())
            .finish()
    }
}

/// Reads `audio 49170/2 RTP/AVP 0 8`. A line without formats is kept: it can still be refused.
fn read_media_line(value: &[u8], offset: usize, next_line: usize) -> Option<Section> {
    let mut at = 0;
    let mut field = || {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        at += value[at..].iter().take_while(|byte| blank(byte)).count();
        let start = at;
        at += value[at..].iter().take_while(|byte| !blank(byte)).count();
        (start < at).then_some(start..at)
    };
    let kind = field()?;
    let port = field()?;
    let transport = field()?;
    let (port, port_count) = match text::split_at_mark(&value[port.clone()], b'/') {
        Some((port, count)) => (text::number(port)?, text::number(count)?),
        None => (text::number(&value[port])?, 1),
    };
    let shift = |range: Range<usize>| range.start + offset..range.end + offset;
    Some(Section {
        lines: next_line..next_line,
        kind: shift(kind),
        port,
        port_count,
        formats: shift(transport.end..value.len()),
        transport: shift(transport),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Direction, MediaKind, Transport};
    use super::*;

    fn parse(text: &str) -> Result<Description, Fault> {
        Description::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
    }

    fn offence(text: &str) -> Offence {
        parse(text).expect_err("a fault").what
    }

    #[test]
    fn lf_only_bodies_without_optional_lines_are_read() {
        let seen = parse("v=0\nc=IN IP4 192.0.2.1\n\nm=audio 4000 RTP/AVP 0\na=recvonly").unwrap();
        let media = seen.media().next().unwrap();
        assert_eq!(media.kind(), MediaKind::Audio);
        assert_eq!(media.transport(), Transport::RtpAvp);
        assert_eq!(media.port(), 4000);
        assert_eq!(media.direction(), Direction::RecvOnly);
        assert!(seen.origin().is_none());
    }

    #[test]
    fn media_lines_override_what_the_session_says() {
        let seen = parse(
            "v=0\r\nc=IN IP4 192.0.2.1\r\na=sendonly\r\na=ice-ufrag:abcd\r\n\
             m=audio 4000 RTP/AVP 0\r\n\
             m=audio 4002/2 RTP/AVP 8\r\nc=IN IP4 192.0.2.2\r\na=sendrecv\r\na=ice-ufrag:efgh\r\n",
        )
        .unwrap();
        let media: Vec<_> = seen.media().collect();
        assert_eq!(media[0].direction(), Direction::SendOnly);
        assert_eq!(media[1].direction(), Direction::SendRecv);
        assert_eq!(media[0].ice_ufrag(), Some(&b"abcd"[..]));
        assert_eq!(media[1].ice_ufrag(), Some(&b"efgh"[..]));
        assert_eq!(media[1].port_count(), 2);
        let ip = |index: usize| media[index].connection().unwrap().address.ip().unwrap();
        assert_eq!(ip(0).to_string(), "192.0.2.1");
        assert_eq!(ip(1).to_string(), "192.0.2.2");
    }

    #[test]
    fn what_is_not_a_description_is_named() {
        assert_eq!(offence(""), Offence::Empty);
        assert_eq!(offence("\r\n\r\n"), Offence::Empty);
        assert_eq!(offence("hello"), Offence::NotALine);
        assert_eq!(offence("v=1\r\n"), Offence::Version);
        assert_eq!(offence("s=-\r\n"), Offence::NotADescription);
        assert_eq!(
            offence("v=0\r\nm=audio x RTP/AVP 0\r\n"),
            Offence::MediaLine
        );
        assert_eq!(
            offence("v=0\r\nm=audio 70000 RTP/AVP 0\r\n"),
            Offence::MediaLine
        );
        assert_eq!(offence("v=0\r\nm=audio 1\r\n"), Offence::MediaLine);
        assert_eq!(offence("v=0\r\no=- 1\r\n"), Offence::Origin);
        assert_eq!(offence("v=0\r\nc=IN IP4\r\n"), Offence::Connection);
        assert_eq!(offence("v=0\r\ns=a\rb\r\n"), Offence::ForbiddenByte);
        assert_eq!(offence("v=0\r\ns=a\0b\r\n"), Offence::ForbiddenByte);
        let fault = parse("v=0\r\ns=-\r\nm=audio\r\n").unwrap_err();
        assert_eq!((fault.line, fault.at), (3, 10));
    }

    #[test]
    fn limits_hold() {
        let formats = " 0".repeat(65);
        assert_eq!(
            offence(&format!("v=0\r\nm=audio 1 RTP/AVP{formats}\r\n")),
            Offence::TooManyFormats
        );
        let attributes = "a=x\r\n".repeat(129);
        assert_eq!(
            offence(&format!("v=0\r\n{attributes}")),
            Offence::TooManyAttributes
        );
        assert_eq!(offence(&"a".repeat(65_537)), Offence::TooLong);
        let lines = |count| format!("v=0\r\n{}", "b=AS:64\r\n".repeat(count));
        assert!(parse(&lines(511)).is_ok());
        assert_eq!(offence(&lines(512)), Offence::TooManyLines);
        let line = |length| format!("v=0\r\ni={}\r\n", "x".repeat(length));
        assert!(parse(&line(2_046)).is_ok());
        assert_eq!(offence(&line(2_047)), Offence::LongLine);
        let connections = "c=IN IP4 192.0.2.1\r\n".repeat(4);
        let media = format!("m=audio 4000 RTP/AVP 0\r\n{connections}");
        assert!(parse(&format!("v=0\r\n{connections}{media}")).is_ok());
        let more = format!("v=0\r\n{media}c=IN IP4 192.0.2.1\r\n");
        assert_eq!(offence(&more), Offence::TooManyConnections);
        let seen = parse(&format!("v=0\r\n{}", "m=audio 1 RTP/AVP 0\r\n".repeat(17))).unwrap();
        assert_eq!(seen.media().len(), 17);
        assert_eq!(seen.media().filter(Media::is_over_limit).count(), 1);
        let audio = |lines: String| parse(&format!("v=0\r\nm=audio 1 RTP/SAVP 0\r\n{lines}"));
        let crypto = |tag| {
            format!(
                "a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{}\r\n",
                "A".repeat(40)
            )
        };
        let seen = audio((1..=33).map(crypto).collect()).unwrap();
        let cryptos = seen.media().next().unwrap().cryptos();
        assert_eq!(cryptos.len(), 32);
        assert!(cryptos.iter().all(Result::is_ok));
        let candidate = |n| format!("a=candidate:{n} 1 UDP 2130706431 192.0.2.1 4000 typ host\r\n");
        let seen = audio((1..=65).map(candidate).collect()).unwrap();
        assert_eq!(seen.media().next().unwrap().candidates().count(), 64);
    }

    #[test]
    fn voip_metrics_are_wanted_where_a_line_or_the_session_says_so() {
        let wants = |session: &str, line: &str| {
            let text = format!("v=0\r\n{session}m=audio 1 RTP/AVP 0\r\n{line}");
            let seen = parse(&text).unwrap();
            seen.media().next().unwrap().wants_voip_metrics()
        };
        let asks = "a=rtcp-xr:pkt-loss-rle=40 voip-metrics\r\n";
        assert!(wants("", asks) && wants(asks, ""));
        for line in ["", "a=rtcp-xr\r\n", "a=rtcp-xr:voip-metrics-x\r\n"] {
            assert!(!wants("", line), "{line}");
        }
    }
}
