//! Explains a message to people and programs: verdict, the answer it would get, every header.
//!
//! A pure function of the bytes, for `causeway sip parse`. It uses the same parser as the product,
//! and reads on leniently only to show what a broken message contains.

mod header;
mod show;

use bytes::Bytes;
use serde::Serialize;

use header::{canonical, explain_header, lenient_headers};
use show::printable;

use super::head::Reaction;
use super::header::Handling;
use super::{Capabilities, Limits, Message, Objection, ParseFault, Rule, Status, body};

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
    /// What is no fault of the message and may still be the reason of one.
    pub warnings: Vec<Warned>,
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
    /// Where; nothing for what is not there at all.
    #[serde(flatten)]
    pub place: Option<Place>,
}

/// A place in the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Place {
    /// Octets before it.
    pub at: usize,
    /// Its line, counted from 1.
    pub line: usize,
    /// Octets of the line up to and including it.
    pub column: usize,
}

/// Something about the input that deserves attention.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Warned {
    /// Stable name.
    pub code: &'static str,
    /// What it is and what follows from it.
    pub text: String,
    /// Where it begins.
    #[serde(flatten)]
    pub place: Place,
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
    explain_source(
        &Source {
            bytes,
            has_bare_line_feeds: false,
        },
        limits,
    )
}

/// Explains what somebody saved in a text file. Editors write LF where CR LF is on the wire, so
/// text without any CR is read as if it had them, with a warning; places are those in `text`.
pub fn explain_text(text: Bytes, limits: &Limits) -> Explanation {
    let Some(first) = memchr::memchr(b'\n', &text).filter(|_| !text.contains(&b'\r')) else {
        return explain(text, limits);
    };
    let mut wire = Vec::with_capacity(text.len() + text.len() / 32);
    for octet in &text {
        if *octet == b'\n' {
            wire.push(b'\r');
        }
        wire.push(*octet);
    }
    let source = Source {
        bytes: wire.into(),
        has_bare_line_feeds: true,
    };
    let mut explanation = explain_source(&source, limits);
    explanation.warnings.insert(
        0,
        Warned {
            code: "line_end",
            text: "lines end with LF alone; they are read as CR LF here, but sent like this the \
                   message would be refused"
                .to_owned(),
            place: source.place(first + 1),
        },
    );
    explanation
}

/// The input, and how places in it are told.
struct Source {
    bytes: Bytes,
    /// Whether each CR was put in by us, so that places must not count it.
    has_bare_line_feeds: bool,
}

impl Source {
    fn place(&self, at: usize) -> Place {
        let before = self.bytes.get(..at).unwrap_or(&self.bytes);
        let breaks = memchr::memchr_iter(b'\n', before).count();
        let line_begin = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        Place {
            at: match self.has_bare_line_feeds {
                true => before.len() - breaks,
                false => before.len(),
            },
            line: breaks + 1,
            column: before.len() - line_begin + 1,
        }
    }

    fn fault(&self, fault: ParseFault, at: Option<usize>) -> Fault {
        Fault {
            what: fault.what.to_owned(),
            rule: fault.rule.to_string(),
            place: at.map(|at| self.place(at)),
        }
    }
}

fn explain_source(source: &Source, limits: &Limits) -> Explanation {
    let skipped = source
        .bytes
        .iter()
        .take_while(|octet| matches!(octet, b'\r' | b'\n'))
        .count();
    let bytes = source.bytes.slice(skipped..);
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
        warnings: Vec::new(),
    };
    if bytes.is_empty() {
        explanation.verdict = Verdict::Invalid;
        explanation.reaction = Treatment::Drops {
            because: match skipped {
                0 => EMPTY.to_owned(),
                _ => ONLY_LINE_ENDS.to_owned(),
            },
            fault: None,
        };
        return explanation;
    }
    match Message::parse(bytes.clone(), limits) {
        Err(rejected) => {
            explanation.verdict = Verdict::Invalid;
            let why = rejected.fault;
            let fault = source.fault(why, Some(skipped + why.at));
            let because = words(why);
            explanation.reaction = match rejected.reaction {
                Reaction::Answer { status, .. } => Treatment::answers(status, because, Some(fault)),
                Reaction::Drop => Treatment::Drops {
                    because,
                    fault: Some(fault),
                },
            };
            if kind != Kind::Unknown {
                explanation.headers = lenient_headers(source, skipped, limits);
            }
        }
        Ok(message) => explanation.explain_message(&message, source, skipped),
    }
    explanation
}

/// What is said about a file without content.
const EMPTY: &str = "the input is empty, there is nothing at line 1; give one whole message, from \
                     its first line to the end of its body";

/// What is said about a keep-alive.
const ONLY_LINE_ENDS: &str = "the input has line ends and nothing else; on a stream that is a \
                              keep-alive, not a message";

/// A fault in words, without its place.
fn words(fault: ParseFault) -> String {
    format!("{}: {}", fault.what, fault.rule)
}

impl Explanation {
    fn explain_message(&mut self, message: &Message, source: &Source, skipped: usize) {
        self.headers = message
            .headers()
            .map(|line| {
                let raw = message.bytes().slice(line.offset()..line.end());
                let at = skipped + line.offset();
                explain_header(
                    source,
                    line.raw_name(),
                    &line.name(),
                    &raw,
                    at,
                    line.is_folded(),
                )
            })
            .collect();
        if let Err(rejection) = Capabilities::default().check(message) {
            if matches!(rejection.why, Objection::Malformed(_) | Objection::Version) {
                self.verdict = Verdict::Invalid;
            }
            let (because, fault) = match &rejection.why {
                Objection::Malformed(fault) => {
                    let place = self.place_of(*fault, message, source, skipped);
                    let told = Fault {
                        place,
                        ..source.fault(*fault, None)
                    };
                    (words(*fault), Some(told))
                }
                why => (why.to_string(), None),
            };
            self.reaction = match super::RequestHead::of(message) {
                Some(_) => Treatment::answers(rejection.status, because, fault),
                None => Treatment::Drops { because, fault },
            };
        }
        let body_at = skipped + message.bytes().len() - message.body().len();
        match body::parts(message) {
            Ok(parts) => self.body = parts.iter().map(explain_part).collect(),
            Err(fault) => self.body_fault = Some(source.fault(fault, Some(body_at))),
        }
        self.warn_of_surplus(message, source, skipped);
    }

    /// Where a fault is whose offset counts from the beginning of some part of the message.
    fn place_of(
        &self,
        fault: ParseFault,
        message: &Message,
        source: &Source,
        skipped: usize,
    ) -> Option<Place> {
        let mut lines = message
            .headers()
            .zip(&self.headers)
            .filter(|(_, told)| told.canonical == fault.what);
        match fault.rule {
            Rule::Missing => return None,
            Rule::Repeated => {
                return lines
                    .nth(1)
                    .or_else(|| lines.next())
                    .map(|(line, _)| source.place(skipped + line.offset()));
            }
            _ => {}
        }
        if fault.what == "Request-URI" {
            let uri = message.method().as_str().len() + 1;
            return Some(source.place(skipped + uri + fault.at));
        }
        let rule = fault.rule.to_string();
        // Each header was read already, and knows where.
        self.headers
            .iter()
            .filter_map(|told| told.fault.as_ref())
            .find(|told| told.what == fault.what && told.rule == rule)
            .and_then(|told| told.place)
            .or_else(|| {
                lines
                    .next()
                    .map(|(line, _)| source.place(skipped + line.offset()))
            })
            .or_else(|| {
                let body_at = message.bytes().len() - message.body().len();
                (fault.what == "multipart body").then(|| source.place(skipped + body_at))
            })
    }

    /// Says what becomes of octets that Content-Length does not cover (RFC 3261 §18.3).
    fn warn_of_surplus(&mut self, message: &Message, source: &Source, skipped: usize) {
        let end = skipped + message.bytes().len();
        let surplus = source.bytes.get(end..).unwrap_or_default();
        if surplus.is_empty() {
            return;
        }
        let count = match source.has_bare_line_feeds {
            true => surplus.iter().filter(|octet| **octet != b'\r').count(),
            false => surplus.len(),
        };
        let octets = match count {
            1 => "1 octet follows".to_owned(),
            count => format!("{count} octets follow"),
        };
        let is_blank = surplus.iter().all(|octet| matches!(octet, b'\r' | b'\n'));
        let on_a_stream = match is_blank {
            true => "on a stream, line ends between messages are skipped",
            false => "on a stream they are read as the beginning of the next message",
        };
        self.warnings.push(Warned {
            code: "surplus",
            text: format!("{octets} what Content-Length covers: ignored over UDP; {on_a_stream}"),
            place: source.place(end),
        });
    }
}

impl Treatment {
    fn answers(status: Status, because: String, fault: Option<Fault>) -> Self {
        Self::Answers {
            status: status.code(),
            phrase: status.default_phrase().to_owned(),
            because,
            fault,
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

/// Octets of the first line that are shown; a longer one is no SIP anyway.
const MAX_SHOWN: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::header::field;
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

    fn broken(from: &str, to: &str) -> Explanation {
        let text = PROBE.replace(from, to);
        assert_ne!(text, PROBE);
        explain(text.into(), &Limits::default())
    }

    fn place_in(text: &str, needle: &str) -> Option<Place> {
        let at = text.find(needle).unwrap();
        let line_begin = text[..at].rfind('\n').map_or(0, |end| end + 1);
        Some(Place {
            at,
            line: text[..at].matches('\n').count() + 1,
            column: at - line_begin + 1,
        })
    }

    fn reason(told: &Explanation) -> Option<&Fault> {
        match &told.reaction {
            Treatment::Accepts => None,
            Treatment::Answers { fault, .. } | Treatment::Drops { fault, .. } => fault.as_ref(),
        }
    }

    #[test]
    fn a_fault_is_placed_in_the_message_and_not_in_its_header() {
        let text = PROBE.replace("CSeq: 1 ", "CSeq: x ");
        let told = explain(text.clone().into(), &Limits::default());
        let wanted = place_in(&text, "x OPTIONS");
        assert_eq!(reason(&told).unwrap().place, wanted, "{told}");
        assert_eq!(told.headers[4].fault.as_ref().unwrap().place, wanted);

        // The second value of a folded list, and leading line ends.
        let list = "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK2,\r\n  SIP/2.0/UDP 192.0.2.8:x\r\n";
        let text = format!("\r\n{PROBE}").replace("X-Note:", &format!("{list}X-Note:"));
        let told = explain(text.clone().into(), &Limits::default());
        let place = reason(&told).unwrap().place.unwrap();
        let value = place_in(&text, "SIP/2.0/UDP 192.0.2.8").unwrap();
        assert_eq!(place.line, value.line, "{told}");
        assert!(
            place.column >= value.column && place.at < value.at + 23,
            "{told}"
        );

        let twice = broken("X-Note", "To: <sip:a@example.com>\r\nX-Note");
        assert_eq!(reason(&twice).unwrap().place.unwrap().line, 7, "{twice}");
        let missing = broken("CSeq: 1 OPTIONS\r\n", "");
        assert_eq!(reason(&missing).unwrap().place, None, "{missing}");
        let uri = broken("sip:sbc.example.com SIP", "sip:sbc.example.com:x SIP");
        let place = reason(&uri).unwrap().place.unwrap();
        assert_eq!(place.line, 1, "{uri}");
        assert!(place.column > "OPTIONS sip:".len(), "{uri}");
    }

    #[test]
    fn an_empty_input_is_told_as_such() {
        let told = explain(Bytes::new(), &Limits::default());
        assert_eq!((told.verdict, told.kind), (Verdict::Invalid, Kind::Unknown));
        assert!(told.to_string().contains("the input is empty"), "{told}");
        let told = explain("\r\n\r\n".into(), &Limits::default());
        assert!(told.to_string().contains("keep-alive"), "{told}");
    }

    #[test]
    fn octets_behind_the_body_are_counted() {
        let told = explain(format!("{PROBE}INVITE sip:").into(), &Limits::default());
        assert_eq!(told.verdict, Verdict::Valid);
        assert_eq!(told.warnings.len(), 1, "{told}");
        assert_eq!(told.warnings[0].place.at, PROBE.len());
        let text = &told.warnings[0].text;
        assert!(text.contains("11 octets follow"), "{text}");
        assert!(
            text.contains("over UDP") && text.contains("next message"),
            "{text}"
        );
        assert!(
            explain(PROBE.into(), &Limits::default())
                .warnings
                .is_empty()
        );
    }

    #[test]
    fn text_with_bare_line_feeds_is_read_with_a_warning() {
        let text = PROBE.replace('\r', "").replace("CSeq: 1 ", "CSeq: x ");
        let told = explain_text(text.clone().into(), &Limits::default());
        assert_eq!(reason(&told).unwrap().place, place_in(&text, "x OPTIONS"));
        assert_eq!(told.warnings[0].place.line, 1, "{told}");
        assert!(told.warnings[0].text.contains("LF alone"), "{told}");
        assert!(
            explain_text(PROBE.into(), &Limits::default())
                .warnings
                .is_empty()
        );
        // Of a mixture, the first line that is wrong is the fault.
        let mixed = PROBE.replacen("\r\nCSeq", "\nCSeq", 1);
        let told = explain_text(mixed.into(), &Limits::default());
        assert_eq!(told.verdict, Verdict::Invalid);
        assert_eq!(reason(&told).unwrap().place.unwrap().line, 5, "{told}");
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
