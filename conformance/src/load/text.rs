//! As much of a SIP message as a load generator reads: lines, by name, in one pass and without copies.

/// The header lines that both sides of a call look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
    Via,
    From,
    To,
    CallId,
    CSeq,
    RecordRoute,
    Contact,
    ContentLength,
    Other,
}

/// A message whose head is complete.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    start: &'a [u8],
    head: &'a [u8],
}

impl<'a> Text<'a> {
    /// The head of a message; `None` if it is none.
    pub(super) fn of(message: &'a [u8]) -> Option<Self> {
        let end = memchr::memmem::find(message, b"\r\n\r\n")? + 2;
        let (start, head) = split_line(message.get(..end)?)?;
        Some(Self { start, head })
    }

    /// Its status, if it is a response.
    pub(super) fn status(&self) -> Option<u16> {
        let digits = self.start.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Its method, if it is a request.
    pub(super) fn method(&self) -> &'a [u8] {
        let end = memchr::memchr(b' ', self.start).unwrap_or(0);
        self.start.get(..end).unwrap_or_default()
    }

    /// Every header line with its name and value.
    pub(super) fn lines(&self) -> impl Iterator<Item = (Name, &'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.head;
        std::iter::from_fn(move || {
            let (line, after) = split_line(rest)?;
            rest = after;
            let colon = memchr::memchr(b':', line).unwrap_or(line.len());
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default();
            Some((name_of(name.trim_ascii_end()), line, value.trim_ascii()))
        })
    }

    /// The value of the first header line of this name.
    pub(super) fn value(&self, wanted: Name) -> Option<&'a [u8]> {
        self.lines()
            .find(|(name, ..)| *name == wanted)
            .map(|(.., value)| value)
    }
}

/// Octets of the first whole message of a stream, and of empty lines before it.
pub(super) fn frame(stream: &[u8]) -> Option<usize> {
    let skipped = stream
        .iter()
        .take_while(|octet| matches!(octet, b'\r' | b'\n'))
        .count();
    let message = stream.get(skipped..)?;
    let head = memchr::memmem::find(message, b"\r\n\r\n")? + 4;
    let length = Text::of(message)?
        .value(Name::ContentLength)
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    (message.len() >= head + length).then_some(skipped + head + length)
}

/// What stands between `<` and `>`, or before the first parameter.
pub(super) fn uri_of(value: &[u8]) -> &[u8] {
    match memchr::memchr(b'<', value) {
        Some(at) => {
            let inner = value.get(at + 1..).unwrap_or_default();
            let end = memchr::memchr(b'>', inner).unwrap_or(inner.len());
            inner.get(..end).unwrap_or_default()
        }
        None => {
            let end = memchr::memchr(b';', value).unwrap_or(value.len());
            value.get(..end).unwrap_or_default()
        }
    }
}

/// Whether a To header has a tag.
pub(super) fn has_tag(value: &[u8]) -> bool {
    memchr::memmem::find(value, b";tag=").is_some()
}

fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', text)?;
    let line = text.get(..end)?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Some((line, text.get(end + 1..)?))
}

fn name_of(name: &[u8]) -> Name {
    let is = |long: &[u8]| name.eq_ignore_ascii_case(long);
    match name.len() {
        1 if is(b"v") => Name::Via,
        1 if is(b"f") => Name::From,
        1 if is(b"t") => Name::To,
        1 if is(b"i") => Name::CallId,
        1 if is(b"m") => Name::Contact,
        1 if is(b"l") => Name::ContentLength,
        2 if is(b"to") => Name::To,
        3 if is(b"via") => Name::Via,
        4 if is(b"from") => Name::From,
        4 if is(b"cseq") => Name::CSeq,
        7 if is(b"call-id") => Name::CallId,
        7 if is(b"contact") => Name::Contact,
        12 if is(b"record-route") => Name::RecordRoute,
        14 if is(b"content-length") => Name::ContentLength,
        _ => Name::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] =
        b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP a\r\nTO : <sip:b@c>;tag=1\r\nCall-ID: 7-8\r\n\
        Content-Length: 2\r\n\r\nhi";

    #[test]
    fn a_message_is_read_by_the_names_of_its_lines_in_either_form() {
        let text = Text::of(OK).unwrap();
        assert_eq!(text.status(), Some(200));
        assert_eq!(text.value(Name::Via), Some(&b"SIP/2.0/UDP a"[..]));
        assert_eq!(text.value(Name::To), Some(&b"<sip:b@c>;tag=1"[..]));
        assert_eq!(text.value(Name::CallId), Some(&b"7-8"[..]));
        assert_eq!(text.value(Name::Contact), None);
        let bye = Text::of(b"BYE sip:a SIP/2.0\r\n\r\n").unwrap();
        assert_eq!((bye.status(), bye.method()), (None, &b"BYE"[..]));
        assert!(Text::of(b"BYE sip:a SIP/2.0\r\n").is_none());
    }

    #[test]
    fn a_stream_is_cut_where_the_length_says_so() {
        let stream = [b"\r\n\r\n", OK, b"SIP/2.0 180"].concat();
        let first = frame(&stream).unwrap();
        assert_eq!(first, 4 + OK.len());
        assert_eq!(frame(&stream[..first - 1]), None);
        assert_eq!(frame(&stream[first..]), None);
    }

    #[test]
    fn a_uri_is_found_with_and_without_brackets() {
        assert_eq!(
            uri_of(b"\"A\" <sip:a@b;transport=tcp>;x=1"),
            b"sip:a@b;transport=tcp"
        );
        assert_eq!(uri_of(b"sip:a@b;x=1"), b"sip:a@b");
        assert!(has_tag(b"<sip:a>;tag=1") && !has_tag(b"<sip:a>"));
    }
}
