//! A message: one buffer and an index of where its header lines are.
//!
//! Nothing is copied and nothing is interpreted until somebody asks. Raw bytes stay reachable, so
//! what must survive untouched never has to be written again.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::essential::Essentials;
use super::grammar::{split_commas, trim};
use super::header::{
    CSeq, Header, HeaderName, KNOWN, Names, Shape, UNKNOWN, Via, known_name, lookup,
};
use super::{Limits, Method, ParseFault, Rule, Status, Uri};

/// Lists of responses that decide about something. Via has a limit of its own.
const ACTED_ON: [HeaderName; 7] = [
    HeaderName::Allow,
    HeaderName::Contact,
    HeaderName::HistoryInfo,
    HeaderName::RecordRoute,
    HeaderName::Require,
    HeaderName::Supported,
    HeaderName::Unsupported,
];

/// A request or a response. Immutable; a clone shares buffer and index.
#[derive(Clone)]
pub struct Message(Arc<Index>);

/// What [`Message::parse`](super::Message::parse) builds.
pub(super) struct Index {
    pub(super) bytes: Bytes,
    pub(super) start: StartLine,
    pub(super) lines: Vec<Line>,
    /// Names of the lines, and those of more than one: most headers that are asked for are not there.
    pub(super) names: Names,
    pub(super) repeated: Names,
    pub(super) body: Range<usize>,
    pub(super) limits: Limits,
    pub(super) essentials: Essentials,
    /// What stands for the value of one line: where that begins, and the other value.
    pub(super) changed: Option<(u32, Bytes)>,
}

/// The first line, taken apart.
#[derive(Clone)]
pub(super) enum StartLine {
    Request {
        method: Method,
        uri: Range<usize>,
        is_sip_2: bool,
    },
    Response {
        status: Status,
        reason: Range<usize>,
        cseq: CSeq,
    },
}

/// One header line: where its name and its trimmed value are.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) id: u8,
    pub(super) is_folded: bool,
    pub(super) name: Range<u32>,
    pub(super) value: Range<u32>,
}

/// One header line of a message, borrowed.
#[derive(Clone, Copy)]
pub struct HeaderLine<'a> {
    index: &'a Index,
    line: &'a Line,
}

impl Message {
    pub(super) fn from_index(index: Index) -> Self {
        Self(Arc::new(index))
    }

    /// Whether this is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.0.start, StartLine::Request { .. })
    }

    /// Whether this is a response.
    pub fn is_response(&self) -> bool {
        !self.is_request()
    }

    /// The method of the request line; of a response, the method in its CSeq.
    pub fn method(&self) -> &Method {
        match &self.0.start {
            StartLine::Request { method, .. } => method,
            StartLine::Response { cseq, .. } => &cseq.method,
        }
    }

    /// The Request-URI as it stands; empty for a response.
    pub fn request_uri(&self) -> Bytes {
        match &self.0.start {
            StartLine::Request { uri, .. } => self.0.bytes.slice(uri.clone()),
            StartLine::Response { .. } => Bytes::new(),
        }
    }

    pub(super) fn read_uri(&self) -> Result<Uri, ParseFault> {
        match &self.0.start {
            StartLine::Request { uri, .. } => Uri::parse(self.0.bytes.slice(uri.clone())),
            StartLine::Response { .. } => Err(ParseFault::new("Request-URI", Rule::Missing, 0)),
        }
    }

    /// Status of a response.
    pub fn status(&self) -> Option<Status> {
        match &self.0.start {
            StartLine::Request { .. } => None,
            StartLine::Response { status, .. } => Some(*status),
        }
    }

    /// Reason phrase of a response as it stands, possibly empty, any octets (SIP-008).
    pub fn reason(&self) -> Bytes {
        match &self.0.start {
            StartLine::Request { .. } => Bytes::new(),
            StartLine::Response { reason, .. } => self.0.bytes.slice(reason.clone()),
        }
    }

    /// Whether the request line says `SIP/2.0`; responses of other versions are not parsed.
    pub(super) fn is_sip_2(&self) -> bool {
        !matches!(
            self.0.start,
            StartLine::Request {
                is_sip_2: false,
                ..
            }
        )
    }

    /// Every header line in order.
    pub fn headers(&self) -> impl Iterator<Item = HeaderLine<'_>> {
        self.0.lines.iter().map(|line| HeaderLine {
            index: &self.0,
            line,
        })
    }

    /// The lines of the name with this id.
    fn named(&self, id: u8) -> impl DoubleEndedIterator<Item = &Line> {
        let lines = match self.0.names.has(id) {
            true => &self.0.lines[..],
            false => &[],
        };
        lines.iter().filter(move |line| line.id == id)
    }

    /// Names that more than one line has.
    pub(super) fn repeated(&self) -> Names {
        self.0.repeated
    }

    /// Header lines of one name, in any of its spellings (SIP-002, SIP-003).
    pub fn lines(&self, name: impl Borrow<HeaderName>) -> impl Iterator<Item = HeaderLine<'_>> {
        let name = name.borrow();
        let id = name.id();
        let other = match name {
            HeaderName::Other(_) => Some(name.as_str().to_owned()),
            _ => None,
        };
        let index = &*self.0;
        let lines = self.named(id).map(move |line| HeaderLine { index, line });
        lines.filter(move |header| match &other {
            None => true,
            Some(text) => header.raw_name().eq_ignore_ascii_case(text.as_bytes()),
        })
    }

    /// The first value of this header: the whole line, unfolded, without white space around it.
    pub fn raw(&self, name: impl Borrow<HeaderName>) -> Option<Bytes> {
        let name = name.borrow();
        match name {
            HeaderName::Other(_) => self.raw_named(name.as_str()),
            known => {
                let line = self.named(known.id()).next()?;
                Some(line.value(&self.0))
            }
        }
    }

    /// The values of all lines of this header, in order.
    pub fn raw_all(&self, name: impl Borrow<HeaderName>) -> impl Iterator<Item = Bytes> {
        self.lines(name).map(|header| header.value())
    }

    /// Calls `each` with the value of every line of this name: as [`Message::raw_all`], but without
    /// making a handle for each.
    pub(super) fn each_value(&self, name: &HeaderName, mut each: impl FnMut(&[u8])) {
        let id = name.id();
        for line in self.named(id) {
            let header = HeaderLine {
                index: &self.0,
                line,
            };
            let is_other_name = id == UNKNOWN
                && !header
                    .raw_name()
                    .eq_ignore_ascii_case(name.as_str().as_bytes());
            if is_other_name {
                continue;
            }
            let value = line.value.start as usize..line.value.end as usize;
            match line.is_folded || self.0.changed.is_some() {
                false => each(self.0.bytes.get(value).unwrap_or_default()),
                true => each(&header.value()),
            }
        }
    }

    /// The first value of a header given by text, known or not, in any spelling.
    pub fn raw_named(&self, name: &str) -> Option<Bytes> {
        let id = lookup(name.as_bytes());
        let index = &*self.0;
        self.named(id)
            .map(|line| HeaderLine { index, line })
            .find(|header| id != UNKNOWN || header.raw_name().eq_ignore_ascii_case(name.as_bytes()))
            .map(|header| header.value())
    }

    /// Whether there is a line of this name.
    pub fn has(&self, name: impl Borrow<HeaderName>) -> bool {
        match name.borrow() {
            other @ HeaderName::Other(_) => self.lines(other).next().is_some(),
            known => self.0.names.has(known.id()),
        }
    }

    /// The first value of a header, interpreted. `Ok(None)` if the header is absent.
    pub fn get<H: Header>(&self) -> Result<Option<H>, ParseFault> {
        let Some(line) = self.named(H::NAME.id()).next() else {
            return Ok(None);
        };
        let value = line.value(&self.0);
        match H::SHAPE {
            Shape::Single => H::parse(&value).map(Some),
            Shape::List => {
                let first = split_commas(&value).next().unwrap_or_default();
                H::parse(&value.slice_ref(first)).map(Some)
            }
            Shape::Words => match split_commas(&value).find(|word| !word.is_empty()) {
                Some(word) => H::parse(&value.slice_ref(word)).map(Some),
                None => Ok(None),
            },
        }
    }

    /// All values of a header over all its lines, in order (SIP-004). The limits of SIP-001 hold.
    pub fn list<H: Header>(&self) -> Result<Vec<H>, ParseFault> {
        let most = match H::NAME {
            HeaderName::Via => self.0.limits.via_values,
            _ => self.0.limits.list_values,
        };
        let id = H::NAME.id();
        let mut values = Vec::new();
        for line in self.named(id) {
            let text = line.value(&self.0);
            if H::SHAPE == Shape::Single {
                values.push(H::parse(&text)?);
                continue;
            }
            for part in split_commas(&text) {
                if part.is_empty() && H::SHAPE == Shape::Words {
                    continue;
                }
                if values.len() == most {
                    return Err(ParseFault::new(known_name(&H::NAME), Rule::TooMany, 0));
                }
                values.push(H::parse(&text.slice_ref(part))?);
            }
        }
        Ok(values)
    }

    /// As [`Self::list`], of a header of which a part is better than nothing: values that cannot be read are
    /// left out, and so are those beyond the limit.
    pub fn list_of_readable<H: Header>(&self) -> Vec<H> {
        let mut values = Vec::new();
        let id = H::NAME.id();
        for line in self.named(id) {
            let text = line.value(&self.0);
            let parts = split_commas(&text);
            let readable = parts.filter_map(|part| H::parse(&text.slice_ref(part)).ok());
            values.extend(readable.take(self.0.limits.list_values - values.len()));
        }
        values
    }

    /// As [`Self::list_of_readable`], but of what is beyond the limit the last values stay: of a list that begins
    /// with the oldest.
    pub fn last_of_readable<H: Header>(&self) -> Vec<H> {
        let mut values = Vec::new();
        let id = H::NAME.id();
        for line in self.named(id).rev() {
            let text = line.value(&self.0);
            let parts: Vec<&[u8]> = split_commas(&text).collect();
            let parts = parts.into_iter().rev();
            let readable = parts.filter_map(|part| H::parse(&text.slice_ref(part)).ok());
            values.extend(readable.take(self.0.limits.list_values - values.len()));
        }
        values.reverse();
        values
    }

    /// Whether one of the lists that we act on in responses has more values than are read: what it
    /// says is then not what its sender means (SIP-001).
    pub fn has_endless_list(&self) -> bool {
        let most = self.0.limits.list_values;
        // Every value stands at the beginning of a line or behind a comma, and nearly every message
        // has fewer of both than one list may have values.
        let head = self.0.bytes.get(..self.0.body.start).unwrap_or_default();
        let commas = memchr::memchr_iter(b',', head).count();
        self.0.lines.len() + commas > most
            && ACTED_ON.iter().any(|name| {
                let mut count = 0;
                self.each_value(name, |value| count += split_commas(value).count());
                count > most
            })
    }

    /// The body: exactly Content-Length octets; without that header, the rest of the datagram.
    pub fn body(&self) -> Bytes {
        self.0.bytes.slice(self.0.body.clone())
    }

    /// The message as it was received, without surplus octets after the body; also of one whose
    /// topmost Via was replaced since.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The message whose first Via line has this value now, `via` its first.
    pub(super) fn with_first_via_line(mut self, value: Bytes, via: Via) -> Message {
        let Some(line) = self.named(HeaderName::Via.id()).next() else {
            return self;
        };
        let changed = Some((line.value.start, value));
        if let Some(index) = Arc::get_mut(&mut self.0) {
            index.changed = changed;
            index.essentials.set_via(via);
            return self;
        }
        let old = &self.0;
        let mut essentials = old.essentials.clone();
        essentials.set_via(via);
        Message::from_index(Index {
            bytes: old.bytes.clone(),
            start: old.start.clone(),
            lines: old.lines.clone(),
            names: old.names,
            repeated: old.repeated,
            body: old.body.clone(),
            limits: old.limits,
            essentials,
            changed,
        })
    }

    pub(super) fn essentials(&self) -> &Essentials {
        &self.0.essentials
    }

    /// The limits under which the message was parsed.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }
}

impl Line {
    /// The value, unfolded: each fold and the white space around it becomes one space.
    fn value(&self, index: &Index) -> Bytes {
        if let Some((start, other)) = &index.changed
            && *start == self.value.start
        {
            return other.clone();
        }
        let value = index
            .bytes
            .slice(self.value.start as usize..self.value.end as usize);
        match self.is_folded {
            false => value,
            true => unfold(&value),
        }
    }
}

impl<'a> HeaderLine<'a> {
    /// The name; known ones in canonical form.
    pub fn name(&self) -> HeaderName {
        match KNOWN.get(usize::from(self.line.id)) {
            Some(name) => name.clone(),
            None => HeaderName::parse(
                self.index
                    .bytes
                    .slice(self.line.name.start as usize..self.line.name.end as usize),
            )
            .unwrap_or(HeaderName::Subject),
        }
    }

    /// The name as it stands.
    pub fn raw_name(&self) -> &'a [u8] {
        self.index
            .bytes
            .get(self.line.name.start as usize..self.line.name.end as usize)
            .unwrap_or_default()
    }

    /// The value: unfolded, without white space around it.
    pub fn value(&self) -> Bytes {
        self.line.value(self.index)
    }

    /// Whether the value was spread over several lines.
    pub fn is_folded(&self) -> bool {
        self.line.is_folded
    }

    /// Where the value ends in [`Message::bytes`].
    pub(super) fn end(&self) -> usize {
        self.line.value.end as usize
    }

    /// Where the value begins in [`Message::bytes`].
    pub fn offset(&self) -> usize {
        self.line.value.start as usize
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.start {
            StartLine::Request { method, .. } => {
                write!(f, "{method} {:?}", self.request_uri())
            }
            StartLine::Response { status, cseq, .. } => {
                write!(f, "{status:?} to {}", cseq.method)
            }
        }
    }
}

/// Replaces every line end and the white space around it by one space.
pub(super) fn unfold(value: &[u8]) -> Bytes {
    let mut flat = Vec::with_capacity(value.len());
    let mut octets = value.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        if !matches!(octet, b'\r' | b'\n') {
            flat.push(octet);
            continue;
        }
        while flat.last().is_some_and(|last| matches!(last, b' ' | b'\t')) {
            flat.pop();
        }
        while octets
            .next_if(|next| matches!(next, b' ' | b'\t' | b'\r' | b'\n'))
            .is_some()
        {}
        flat.push(b' ');
    }
    Bytes::from(flat)
}

/// Where in a folded value without white space around it the octet stands that has the offset
/// `unfolded` once it is unfolded.
pub(super) fn folded_offset(value: &[u8], unfolded: usize) -> usize {
    let mut before = 0;
    let lines = value.split(|octet| matches!(octet, b'\r' | b'\n'));
    for line in lines.map(trim).filter(|line| !line.is_empty()) {
        if unfolded <= before + line.len() {
            let begin = line.as_ptr() as usize - value.as_ptr() as usize;
            return begin + (unfolded - before);
        }
        before += line.len() + 1;
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::header::{
        Allow, AuthParams, Authorization, ProxyAuthenticate, ProxyAuthorization, Require,
        Supported, WwwAuthenticate,
    };

    fn message(headers: &str) -> Message {
        let text = format!("OPTIONS sip:a@example.com SIP/2.0\r\n{headers}\r\n");
        Message::parse(text.into(), &Limits::default()).unwrap()
    }

    #[test]
    fn every_spelling_of_a_header_is_the_same_header() {
        let spellings = message(
            "X-Internal: 1\r\nx-internal\t: 2\r\nX-INTERNAL :\r\n 3\r\nx-Internal:\t4 \r\n\t5\r\n",
        );
        let name = HeaderName::parse("x-iNternal").unwrap();
        let values: Vec<_> = spellings.raw_all(&name).collect();
        assert_eq!(values, ["1", "2", "3", "4 5"]);
        assert_eq!(spellings.raw_named("X-INTERNAL").unwrap(), "1");
        let compact = message("i: 1\r\nM: <sip:a@example.com>\r\n");
        assert_eq!(compact.raw(HeaderName::CallId).unwrap(), "1");
        assert!(compact.has(HeaderName::Contact));
    }

    #[test]
    fn comma_lists_equal_repeated_lines() {
        let list = message("Supported: timer, ,replaces\r\nk:\r\nSUPPORTED: 100rel,\r\n");
        let tags = list.list::<Supported>().unwrap();
        let tags: Vec<_> = tags.iter().map(|tag| tag.0.as_str().to_owned()).collect();
        assert_eq!(tags, ["timer", "replaces", "100rel"]);
        assert_eq!(list.get::<Require>(), Ok(None));
        let many = message(&format!("Allow: {}\r\n", vec!["INVITE"; 33].join(",")));
        assert_eq!(
            many.list::<Allow>().map_err(|fault| fault.rule),
            Err(Rule::TooMany)
        );
    }

    #[test]
    fn commas_of_challenges_credentials_dates_and_subjects_are_no_ends_of_values() {
        let challenge = "Digest realm=\"a, b\", nonce=\"n\", qop=\"auth,auth-int\"";
        let credentials =
            "Digest username=\"u\", realm=\"a, b\", nonce=\"n\", uri=\"sip:x\", response=\"r\"";
        let date = "Thu, 26 Nov 2026 12:00:00 GMT";
        let text = format!(
            "WWW-Authenticate: {challenge}\r\nWWW-Authenticate: {challenge}\r\n\
             Proxy-Authenticate: {challenge}\r\nAuthorization: {credentials}\r\n\
             Proxy-Authorization: {credentials}\r\nDate: {date}\r\nSubject: tea, now\r\n\
             Call-Info: <http://www.example.com/a,b>;purpose=info\r\n"
        );
        let all = message(&text);
        let realms = |params: Vec<AuthParams>| -> Vec<Bytes> {
            let realm = |one: &AuthParams| one.value("realm").cloned().unwrap();
            params.iter().map(realm).collect()
        };
        let read = all.list::<WwwAuthenticate>().unwrap();
        assert_eq!(
            realms(read.into_iter().map(|one| one.0).collect()),
            ["a, b"; 2]
        );
        let read = all.list::<ProxyAuthenticate>().unwrap();
        assert_eq!(
            realms(read.into_iter().map(|one| one.0).collect()),
            ["a, b"]
        );
        let read = all.list::<Authorization>().unwrap();
        assert_eq!(
            realms(read.into_iter().map(|one| one.0).collect()),
            ["a, b"]
        );
        let read = all.list::<ProxyAuthorization>().unwrap();
        assert_eq!(
            realms(read.into_iter().map(|one| one.0).collect()),
            ["a, b"]
        );
        for (name, value) in [
            ("Date", date),
            ("Subject", "tea, now"),
            ("Call-Info", "<http://www.example.com/a,b>;purpose=info"),
        ] {
            let name = HeaderName::parse(name).unwrap();
            let values: Vec<_> = all.raw_all(&name).collect();
            assert_eq!(values, [value]);
        }
        let parts: Vec<_> =
            split_commas(b"<http://www.example.com/a,b>, \"c, d\" <sip:e>").collect();
        assert_eq!(
            parts,
            [&b"<http://www.example.com/a,b>"[..], b"\"c, d\" <sip:e>"]
        );
    }

    #[test]
    fn limits_and_line_ends_are_kept() {
        let refused = |text: String| match Message::parse(text.into(), &Limits::default()) {
            Err(rejected) => (rejected.fault.rule, rejected.status().map(Status::code)),
            Ok(message) => panic!("{message:?}"),
        };
        let start = "OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n";
        let long = format!("{start}X: {}\r\n\r\n", "x".repeat(17_000));
        assert_eq!(refused(long), (Rule::TooLong, Some(400)));
        let many = format!("{start}{}\r\n", "X: 1\r\n".repeat(256));
        assert_eq!(refused(many), (Rule::TooMany, Some(400)));
        let line = format!("X: {}\r\n", "x".repeat(10_000));
        assert_eq!(
            refused(format!("{start}{}\r\n", line.repeat(7))),
            (Rule::TooLong, Some(513))
        );
        assert_eq!(
            refused(format!("{start}X: a\nY: b\r\n\r\n")),
            (Rule::LineEnd, Some(400))
        );
        assert_eq!(
            refused(format!("{start}X: a\rb\r\n\r\n")),
            (Rule::LineEnd, Some(400))
        );
        assert_eq!(
            refused(format!("{start}l: 4294967300\r\n\r\n")),
            (Rule::Range, Some(400))
        );
        assert_eq!(
            refused(format!("{start}l: +1\r\n\r\n")),
            (Rule::Number, Some(400))
        );
        let ack = start.replace("OPTIONS", "ACK") + "l: x\r\n\r\n";
        assert_eq!(refused(ack), (Rule::Number, None));
    }
}
