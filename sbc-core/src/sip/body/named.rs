//! The part of a body that a Content-ID names (RFC 2392), with its headers and octet by octet: it may be
//! signed, so nothing in it is taken apart.

use super::{MAX_BODY_PARTS, MAX_BOUNDARY, MAX_MULTIPART_DEPTH, split};
use crate::sip::header::{ContentType, Header, HeaderName};
use crate::sip::{Limits, Message, parse};
use bytes::Bytes;

/// The part with this Content-ID, without its angle brackets: one of a multipart, also a multipart
/// itself, or the whole body. Nothing if there is none, or the body is broken.
pub fn section_named(message: &Message, id: &[u8]) -> Option<Bytes> {
    let body = message.body();
    if id.is_empty() || body.is_empty() {
        return None;
    }
    let own = message.raw(HeaderName::ContentId);
    if own.is_some_and(|own| is_named(&own, id)) {
        return Some(whole(message, &body));
    }
    let kind = message.get::<ContentType>().ok().flatten()?;
    find(&body, &kind, id, message.limits(), 0)
}

/// The whole body as a part: with the headers of the message that are about it.
fn whole(message: &Message, body: &Bytes) -> Bytes {
    let about = message
        .headers()
        .map(|line| (line.name(), line.value()))
        .filter(|(name, _)| {
            let is_about = name.as_str().get(..8);
            is_about.is_some_and(|prefix| prefix.eq_ignore_ascii_case("Content-"))
                && *name != HeaderName::ContentLength
        });
    let mut out = Vec::with_capacity(body.len() + 128);
    for (name, value) in about {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(&value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    Bytes::from(out)
}

fn find(
    content: &Bytes,
    kind: &ContentType,
    id: &[u8],
    limits: &Limits,
    depth: usize,
) -> Option<Bytes> {
    let boundary = kind.params.value("boundary")?;
    let is_sound = !boundary.is_empty() && boundary.len() <= MAX_BOUNDARY;
    if !kind.is_multipart() || !is_sound || depth == MAX_MULTIPART_DEPTH {
        return None;
    }
    let sections = split(content, boundary).ok()?;
    sections
        .into_iter()
        .take(MAX_BODY_PARTS)
        .find_map(|section| {
            let (mut inner, mut is_it) = (None, false);
            let begin = parse::header_lines(&section, limits, |name, value| {
                match name {
                    HeaderName::ContentType => inner = ContentType::parse(&value).ok(),
                    HeaderName::ContentId => is_it = is_named(&value, id),
                    _ => {}
                }
                Ok(())
            });
            let begin = begin.ok()?;
            match is_it {
                true => Some(section),
                false => find(&section.slice(begin..), &inner?, id, limits, depth + 1),
            }
        })
}

/// Whether a Content-ID is this one.
fn is_named(value: &[u8], id: &[u8]) -> bool {
    let value = value.trim_ascii();
    let inner = value.strip_prefix(b"<");
    inner.and_then(|inner| inner.strip_suffix(b">")) == Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &str, body: &str) -> Message {
        let text = format!(
            "REFER sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n\
             From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag=2\r\nCall-ID: 1\r\n\
             CSeq: 1 REFER\r\n{headers}\r\n{body}"
        );
        Message::parse(text.into(), &Limits::default()).unwrap()
    }

    const MIXED: &str = "Content-Type: multipart/mixed;boundary=b\r\n";

    #[test]
    fn a_part_is_found_with_everything_in_it() {
        let signed = "Content-Type: multipart/signed;boundary=s\r\nContent-ID: <1@example.com>\r\n\r\n\
            --s\r\n\r\nx\r\n--s\r\n\r\ny\r\n--s--";
        let body = format!("--b\r\n\r\nother\r\n--b\r\n{signed}\r\n--b--\r\n");
        let found = section_named(&message(MIXED, &body), b"1@example.com");
        assert_eq!(found.unwrap(), signed);
        assert_eq!(
            section_named(&message(MIXED, &body), b"2@example.com"),
            None
        );
        let inner = body.replace(
            "--s\r\n\r\ny",
            "--s\r\nContent-ID: <2@example.com>\r\n\r\ny",
        );
        let found = section_named(&message(MIXED, &inner), b"2@example.com");
        assert_eq!(found.unwrap(), "Content-ID: <2@example.com>\r\n\r\ny");
    }

    #[test]
    fn a_body_that_is_named_as_a_whole_keeps_what_the_message_says_of_it() {
        let lines = "Content-Type: message/sipfrag\r\nContent-ID: <1@example.com>\r\n\
            Subject: x\r\nContent-Length: 4\r\n";
        let found = section_named(&message(lines, "From"), b"1@example.com").unwrap();
        let expected = "Content-Type: message/sipfrag\r\nContent-ID: <1@example.com>\r\n\r\nFrom";
        assert_eq!(found, expected);
    }

    #[test]
    fn a_broken_body_and_an_empty_name_name_nothing() {
        assert_eq!(section_named(&message(MIXED, "--b\r\n\r\nx"), b"1"), None);
        let lines = "Content-Type: text/plain\r\nContent-ID: <>\r\n";
        assert_eq!(section_named(&message(lines, "x"), b""), None);
        assert_eq!(section_named(&message(lines, "x"), b"1"), None);
    }
}
