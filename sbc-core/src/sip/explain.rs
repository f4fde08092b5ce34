//! Explains a message to people and programs: verdict, the answer it would get, every header.
//!
//! A pure function of the bytes, for `causeway sip parse`. It uses the same parser as the product,
//! and reads on leniently only to show what a broken message contains.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;

use super::grammar::{split_commas, trim};
use super::head::Reaction;
use super::header::{
    Accept, Allow, Authorization, CSeq, CallId, Contact, ContentDisposition, ContentEncoding,
    ContentType, Diversion, Event, Expires, From, Handling, Header, HeaderName, HistoryInfo,
    MaxForwards, MinSe, PAssertedIdentity, PPreferredIdentity, Path, Privacy, ProxyAuthenticate,
    ProxyAuthorization, ProxyRequire, RAck, RSeq, Reason, RecordRoute, ReferTo, ReferredBy,
    Replaces, Require, RetryAfter, Route, ServiceRoute, SessionExpires, Shape, SubscriptionState,
    Supported, To, Unsupported, Via, Warning, WwwAuthenticate,
};
use super::{
    Address, Capabilities, Limits, Message, Objection, ParseFault, Rule, Status, Uri, body,
};

/// Everything that can be said about some bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explanation {
    /// Whether this is a well-formed message.
    pub verdict: Verdict,
    /// What it is.
    pub kind: Kind,
    /// The first line, octets that are no text escaped.
    pub start_line: String,
    /// What the product does with it.
    pub reaction: Treatment,
    /// Header lines in order.
    pub headers: Vec<ExplainedHeader>,
    /// Parts of the body, nested multiparts taken apart.
    pub body: Vec<ExplainedPart>,
    /// What is wrong with the body, if its parts cannot be found.
    pub body_fault: Option<Fault>,
}

/// Whether a message obeys the grammar and the rules of SIP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does. It may still ask for something that is refused.
    Valid,
    /// It does not.
    Invalid,
}

/// What some bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A request, judging by its first line.
    Request,
    /// A response, judging by its first line.
    Response,
    /// Something else.
    Unknown,
}

/// What the product does with a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "does", rename_all = "lowercase")]
pub enum Treatment {
    /// Hands it on: a request to whoever serves it, a response to its transaction.
    Accepts,
    /// Answers it.
    Answers {
        /// Status code of the answer.
        status: u16,
        /// Phrase of the answer.
        phrase: String,
        /// Why.
        because: String,
        /// Where, if the reason is a fault at a place.
        fault: Option<Fault>,
    },
    /// Sends nothing.
    Drops {
        /// Why.
        because: String,
        /// Where, if the reason is a fault at a place.
        fault: Option<Fault>,
    },
}

/// A fault and its place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Fault {
    /// The element, such as `CSeq`.
    pub what: String,
    /// The rule that is broken, in words.
    pub rule: String,
    /// Octets from the beginning of what was parsed.
    pub at: usize,
}

/// One header line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ExplainedHeader {
    /// The name as written.
    pub name: String,
    /// The canonical name.
    pub canonical: String,
    /// The value, unfolded; octets that are no text escaped.
    pub raw: String,
    /// Whether the value was spread over several lines.
    pub folded: bool,
    /// Whether this header has a typed reading here.
    pub understood: bool,
    /// The values of the line, read.
    pub values: Vec<ExplainedValue>,
    /// What is wrong with the line, if it cannot be read.
    pub fault: Option<Fault>,
}

/// One value of a header line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ExplainedValue {
    /// The value as we would write it.
    pub canonical: String,
    /// Its parts by name.
    pub fields: Vec<Field>,
}

/// One part of a value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Field {
    /// What it is.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

/// One part of a body.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ExplainedPart {
    /// Media type with parameters; empty if the body does not say.
    pub content_type: String,
    /// Disposition with parameters, if there is one.
    pub disposition: Option<String>,
    /// Whether a receiver that does not understand the part must refuse the message.
    pub required: bool,
    /// Whether this is the description of the session.
    pub is_session_description: bool,
    /// Length.
    pub octets: usize,
}

/// Explains bytes as one datagram.
pub fn explain(bytes: Bytes, limits: &Limits) -> Explanation {
    let skipped = bytes
        .iter()
        .take_while(|octet| matches!(octet, b'\r' | b'\n'))
        .count();
    let bytes = bytes.slice(skipped..);
    let first = bytes
        .split(|octet| *octet == b'\n')
        .next()
        .unwrap_or_default();
    let first = first.strip_suffix(b"\r").unwrap_or(first);
    let kind = match first {
        [b'S' | b's', b'I' | b'i', b'P' | b'p', b'/', ..] => Kind::Response,
        _ if super::parse::is_sip_start(first) => Kind::Request,
        _ => Kind::Unknown,
    };
    let mut explanation = Explanation {
        verdict: Verdict::Valid,
        kind,
        start_line: printable(first.get(..MAX_SHOWN).unwrap_or(first)),
        reaction: Treatment::Accepts,
        headers: Vec::new(),
        body: Vec::new(),
        body_fault: None,
    };
    match Message::parse(bytes.clone(), limits) {
        Err(rejected) => {
            explanation.verdict = Verdict::Invalid;
            explanation.reaction = match rejected.reaction {
                Reaction::Answer { status, .. } => {
                    Treatment::answers(status, rejected.fault.to_string(), Some(rejected.fault))
                }
                Reaction::Drop => {
                    Treatment::drops(rejected.fault.to_string(), Some(rejected.fault))
                }
            };
            if kind != Kind::Unknown {
                explanation.headers = lenient_headers(&bytes, limits);
            }
        }
        Ok(message) => explanation.explain_message(&message),
    }
    explanation
}

impl Explanation {
    fn explain_message(&mut self, message: &Message) {
        if let Err(rejection) = Capabilities::default().check(message) {
            let fault = match &rejection.why {
                Objection::Malformed(fault) => Some(*fault),
                _ => None,
            };
            if matches!(rejection.why, Objection::Malformed(_) | Objection::Version) {
                self.verdict = Verdict::Invalid;
            }
            let because = rejection.why.to_string();
            self.reaction = match super::RequestHead::of(message) {
                Some(_) => Treatment::answers(rejection.status, because, fault),
                None => Treatment::drops(because, fault),
            };
        }
        self.headers = message
            .headers()
            .map(|line| {
                let name = line.name();
                explain_header(line.raw_name(), &name, &line.value(), line.is_folded())
            })
            .collect();
        match body::parts(message) {
            Ok(parts) => self.body = parts.iter().map(explain_part).collect(),
            Err(fault) => self.body_fault = Some(Fault::of(fault)),
        }
    }
}

impl Treatment {
    fn answers(status: Status, because: String, fault: Option<ParseFault>) -> Self {
        Self::Answers {
            status: status.code(),
            phrase: status.default_phrase().to_owned(),
            because,
            fault: fault.map(Fault::of),
        }
    }

    fn drops(because: String, fault: Option<ParseFault>) -> Self {
        Self::Drops {
            because,
            fault: fault.map(Fault::of),
        }
    }
}

impl Fault {
    fn of(fault: ParseFault) -> Self {
        Self {
            what: fault.what.to_owned(),
            rule: fault.rule.to_string(),
            at: fault.at,
        }
    }
}

fn explain_part(part: &body::Part) -> ExplainedPart {
    ExplainedPart {
        content_type: part
            .content_type
            .as_ref()
            .map(canonical)
            .unwrap_or_default(),
        disposition: part.disposition.as_ref().map(canonical),
        required: part.handling() == Handling::Required,
        is_session_description: part.is_session_description(),
        octets: part.content.len(),
    }
}

fn explain_header(
    raw_name: &[u8],
    name: &HeaderName,
    value: &Bytes,
    folded: bool,
) -> ExplainedHeader {
    let read = read_header(name, value);
    let understood = read.is_some();
    let (values, fault) = match read {
        None => (Vec::new(), None),
        Some(Ok(values)) => (values, None),
        Some(Err(fault)) => (Vec::new(), Some(Fault::of(fault))),
    };
    ExplainedHeader {
        name: printable(raw_name),
        canonical: name.as_str().to_owned(),
        raw: printable(value),
        folded,
        understood,
        values,
        fault,
    }
}

/// The typed reading of a line; nothing for headers without one.
fn read_header(
    name: &HeaderName,
    value: &Bytes,
) -> Option<Result<Vec<ExplainedValue>, ParseFault>> {
    macro_rules! by_name {
        ($($header:ident => $fields:expr,)+) => {
            match name {
                $(HeaderName::$header => Some(read_values::<$header>(value, $fields)),)+
                HeaderName::ContentLength => Some(read_length(value)),
                _ => None,
            }
        };
    }
    by_name! {
        Accept => |_| vec![],
        Allow => |allow| vec![
            field("known", if allow.0.is_known() { "yes" } else { "no" }),
        ],
        Authorization => |auth| vec![field("scheme", auth.scheme.as_str())],
        CallId => |_| vec![],
        Contact => |contact| contact.address().map(address_fields).unwrap_or_default(),
        ContentDisposition => |_| vec![],
        ContentEncoding => |_| vec![],
        ContentType => |_| vec![],
        CSeq => |cseq| vec![
            field("number", cseq.number),
            field("method", cseq.method.as_str()),
        ],
        Diversion => |diversion| address_fields(diversion),
        Event => |_| vec![],
        Expires => |expires| vec![field("seconds", expires.0)],
        From => |from| address_fields(from),
        HistoryInfo => |entry| address_fields(entry),
        MaxForwards => |hops| vec![field("hops", hops.0)],
        MinSe => |min| vec![field("seconds", min.seconds)],
        PAssertedIdentity => |identity| address_fields(identity),
        Path => |path| address_fields(path),
        PPreferredIdentity => |identity| address_fields(identity),
        Privacy => |_| vec![],
        ProxyAuthenticate => |auth| vec![field("scheme", auth.scheme.as_str())],
        ProxyAuthorization => |auth| vec![field("scheme", auth.scheme.as_str())],
        ProxyRequire => |_| vec![],
        RAck => |rack| vec![
            field("rseq", rack.rseq),
            field("number", rack.cseq.number),
            field("method", rack.cseq.method.as_str()),
        ],
        Reason => |reason| vec![field("protocol", reason.protocol.as_str())],
        RecordRoute => |route| address_fields(route),
        ReferTo => |refer| address_fields(refer),
        ReferredBy => |referrer| address_fields(referrer),
        Replaces => |replaces| vec![
            field("call-id", replaces.call_id.as_str()),
            field("to-tag", replaces.to_tag.as_str()),
            field("from-tag", replaces.from_tag.as_str()),
        ],
        Require => |_| vec![],
        RetryAfter => |after| vec![field("seconds", after.seconds)],
        Route => |route| address_fields(route),
        RSeq => |_| vec![],
        ServiceRoute => |route| address_fields(route),
        SessionExpires => |expires| vec![field("seconds", expires.seconds)],
        SubscriptionState => |_| vec![],
        Supported => |_| vec![],
        To => |to| address_fields(to),
        Unsupported => |_| vec![],
        Via => via_fields,
        Warning => |warning| vec![field("code", warning.code())],
        WwwAuthenticate => |auth| vec![field("scheme", auth.scheme.as_str())],
    }
}

fn read_values<H: Header>(
    value: &Bytes,
    fields: impl Fn(&H) -> Vec<Field>,
) -> Result<Vec<ExplainedValue>, ParseFault> {
    let read = |text: &Bytes| {
        H::parse(text).map(|header| ExplainedValue {
            canonical: canonical(&header),
            fields: fields(&header),
        })
    };
    match H::SHAPE {
        Shape::Single => read(value).map(|value| vec![value]),
        shape => split_commas(value)
            .filter(|part| shape == Shape::List || !part.is_empty())
            .map(|part| read(&value.slice_ref(part)))
            .collect(),
    }
}

fn read_length(value: &Bytes) -> Result<Vec<ExplainedValue>, ParseFault> {
    match value.iter().all(u8::is_ascii_digit) && !value.is_empty() {
        true => Ok(vec![ExplainedValue {
            canonical: printable(value),
            fields: vec![],
        }]),
        false => Err(ParseFault::new("Content-Length", Rule::Number, 0)),
    }
}

fn via_fields(via: &Via) -> Vec<Field> {
    let mut fields = vec![
        field("transport", via.transport.as_str()),
        field("host", &via.host),
        field("port", via.sent_by_port()),
    ];
    fields.extend(
        via.branch()
            .map(|branch| field("branch", printable(branch))),
    );
    fields.extend(via.received().map(|received| field("received", received)));
    fields.extend(via.rport().map(|port| field("rport", port)));
    fields
}

fn address_fields(address: &Address) -> Vec<Field> {
    let mut fields = Vec::new();
    fields.extend(
        address
            .display()
            .map(|display| field("display", printable(display.as_bytes()))),
    );
    fields.push(field("uri", address.uri()));
    fields.extend(
        address
            .uri()
            .user()
            .map(|user| field("user", printable(user))),
    );
    fields.extend(address.uri().host().map(|host| field("host", host)));
    fields.extend(address.uri().port().map(|port| field("port", port)));
    if let Uri::Other(_) = address.uri() {
        fields.push(field("scheme", address.uri().scheme()));
    }
    fields.extend(
        address
            .params
            .value("tag")
            .map(|tag| field("tag", printable(tag))),
    );
    fields
}

fn field(name: &'static str, value: impl ToString) -> Field {
    Field {
        name,
        value: value.to_string(),
    }
}

fn canonical<H: Header>(header: &H) -> String {
    printable(&header.to_bytes())
}

/// What can be recognised as header lines in bytes that are no message.
fn lenient_headers(bytes: &Bytes, limits: &Limits) -> Vec<ExplainedHeader> {
    let mut headers = Vec::new();
    let mut lines = bytes.split(|octet| *octet == b'\n').skip(1).peekable();
    while let Some(line) = lines.next() {
        if matches!(line, b"" | b"\r") || headers.len() == limits.header_lines {
            break;
        }
        let mut text = line.to_vec();
        let mut folded = false;
        while let Some(next) = lines.next_if(|next| matches!(next.first(), Some(b' ' | b'\t'))) {
            folded = true;
            text.push(b'\n');
            text.extend_from_slice(next);
        }
        let colon = memchr::memchr(b':', &text).unwrap_or(text.len());
        let raw_name = trim(text.get(..colon).unwrap_or_default());
        let value = super::message::unfold(text.get(colon + 1..).unwrap_or_default());
        let value = value.slice_ref(trim(&value));
        match HeaderName::parse(Bytes::copy_from_slice(raw_name)) {
            Ok(name) if colon < text.len() => {
                headers.push(explain_header(raw_name, &name, &value, folded));
            }
            _ => headers.push(ExplainedHeader {
                name: printable(trim(&text)),
                canonical: String::new(),
                raw: String::new(),
                folded,
                understood: false,
                values: Vec::new(),
                fault: Some(Fault::of(ParseFault::new(
                    "header line",
                    Rule::Separator,
                    0,
                ))),
            }),
        }
    }
    headers
}

/// Octets of the first line that are shown; a longer one is no SIP anyway.
const MAX_SHOWN: usize = 8 * 1024;

/// Text for a terminal: UTF-8 as it is, control octets and everything else escaped.
fn printable(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        for character in chunk.valid().chars() {
            match crate::display::is_steering(character) {
                true => text.extend(character.escape_default()),
                false => text.push(character),
            }
        }
        for octet in chunk.invalid() {
            text.push_str(&format!("\\x{octet:02x}"));
        }
    }
    text
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Request => "request",
            Kind::Response => "response",
            Kind::Unknown => "not SIP",
        };
        let verdict = match self.verdict {
            Verdict::Valid => "valid",
            Verdict::Invalid => "invalid",
        };
        writeln!(f, "{verdict} ({kind})")?;
        match &self.reaction {
            Treatment::Accepts => writeln!(f, "accepted")?,
            Treatment::Answers {
                status,
                phrase,
                because,
                ..
            } => {
                writeln!(f, "answered with {status} {phrase}: {because}")?;
            }
            Treatment::Drops { because, .. } => writeln!(f, "dropped: {because}")?,
        }
        writeln!(f, "\n{}", self.start_line)?;
        for header in &self.headers {
            fmt::Display::fmt(header, f)?;
        }
        if let Some(fault) = &self.body_fault {
            writeln!(f, "\nbody: {} at octet {}", fault.rule, fault.at)?;
        }
        for (index, part) in self.body.iter().enumerate() {
            let separator = if index == 0 { "\n" } else { "" };
            let handling = if part.required {
                "required"
            } else {
                "optional"
            };
            let kind = match part.content_type.as_str() {
                "" => "no Content-Type",
                kind => kind,
            };
            write!(
                f,
                "{separator}body part {}: {kind}, {} octets",
                index + 1,
                part.octets
            )?;
            writeln!(f, ", {handling}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ExplainedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.raw)?;
        if !self.canonical.is_empty() && self.canonical != self.name {
            writeln!(f, "    is {}", self.canonical)?;
        }
        if self.folded {
            writeln!(f, "    was folded over several lines")?;
        }
        for value in &self.values {
            if value.canonical != self.raw {
                writeln!(f, "    {}", value.canonical)?;
            }
            if !value.fields.is_empty() {
                let fields: Vec<String> = value
                    .fields
                    .iter()
                    .map(|field| format!("{}={}", field.name, field.value))
                    .collect();
                writeln!(f, "      {}", fields.join("  "))?;
            }
        }
        match &self.fault {
            Some(fault) => {
                writeln!(
                    f,
                    "    ! {}: {} at octet {}",
                    fault.what, fault.rule, fault.at
                )
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: &str = "OPTIONS sip:sbc.example.com SIP/2.0\r\n\
        v: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1;rport\r\n\
        f: \"Probe\" <sip:probe@example.com>;tag=1\r\n\
        To: <sip:sbc.example.com>\r\nCall-ID: 1@192.0.2.1\r\nCSeq: 1 OPTIONS\r\n\
        X-Note: caf\u{e9}\r\nAllow: INVITE,\r\n ACK\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn a_valid_request_is_accepted_and_every_header_is_shown() {
        let explained = explain(PROBE.into(), &Limits::default());
        assert_eq!(explained.verdict, Verdict::Valid);
        assert_eq!(explained.kind, Kind::Request);
        assert_eq!(explained.reaction, Treatment::Accepts);
        assert_eq!(explained.headers.len(), 8);
        let via = &explained.headers[0];
        assert_eq!((via.name.as_str(), via.canonical.as_str()), ("v", "Via"));
        assert!(via.values[0].fields.contains(&field("port", 5062)));
        let allow = &explained.headers[6];
        assert!(allow.folded);
        assert_eq!(allow.values.len(), 2);
        let text = explained.to_string();
        assert!(text.starts_with("valid (request)\naccepted\n"), "{text}");
        assert!(text.contains("X-Note: café"), "{text}");
    }

    #[test]
    fn a_broken_request_is_shown_as_far_as_it_goes() {
        let broken = PROBE.replace("Content-Length: 0", "Content-Length: -1\r\nnonsense");
        let explained = explain(broken.into(), &Limits::default());
        assert_eq!(explained.verdict, Verdict::Invalid);
        assert!(
            matches!(explained.reaction, Treatment::Answers { status: 400, .. }),
            "{explained}"
        );
        assert_eq!(explained.headers.len(), 9);
        assert!(explained.headers[7].fault.is_some());
        assert!(explained.headers[8].fault.is_some());
    }

    #[test]
    fn other_protocols_are_named_as_such() {
        let explained = explain("GET / HTTP/1.1\r\n\r\n".into(), &Limits::default());
        assert_eq!(explained.kind, Kind::Unknown);
        assert_eq!(explained.verdict, Verdict::Invalid);
        assert!(matches!(explained.reaction, Treatment::Drops { .. }));
        assert!(explained.headers.is_empty());
    }
}
