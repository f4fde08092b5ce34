//! SIP messages as datagrams: parse, judge, answer, explain, write again.

use bytes::Bytes;
use sbc_core::demux::shard_of_message;
use sbc_core::sip::explain::{Treatment, Verdict, explain};
use sbc_core::sip::header::Header;
use sbc_core::sip::header::{CSeq, From, Via};
use sbc_core::sip::{
    Capabilities, HeaderName, Limits, Message, Reaction, RequestBuilder, RequestHead,
    ResponseBuilder, Status, Token, body,
};
use sbc_core::transport::via::{datagram_target, reconnect_target, with_source};

/// Limits that short inputs reach.
pub(crate) const TIGHT: Limits = Limits {
    start_line: 64,
    header_line: 96,
    header_section: 400,
    header_lines: 12,
    via_values: 3,
    list_values: 3,
    body: 100,
};

pub(crate) fn check(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    for limits in [Limits::default(), TIGHT] {
        under(&bytes, &limits);
    }
}

fn under(bytes: &Bytes, limits: &Limits) {
    let explained = explain(bytes.clone(), limits);
    let text = explained.to_string();
    // Every octet may be shown as name, value and again in parts, escaped up to ten letters wide.
    assert!(text.len() <= 64 * bytes.len() + 4096, "bounded explanation");
    assert!(
        text.chars()
            .all(|letter| letter == '\n' || !letter.is_control()),
        "nothing that steers a terminal"
    );
    serde_json::to_string(&explained).expect("an explanation is JSON");
    match Message::parse(bytes.clone(), limits) {
        Err(rejected) => {
            // Explaining skips leading line ends, which a datagram may not have.
            if !matches!(bytes.first(), Some(b'\r' | b'\n')) {
                assert_eq!(explained.verdict, Verdict::Invalid);
            }
            if let Reaction::Answer { status, head } = rejected.reaction {
                assert!([400, 505, 513].contains(&status.code()));
                let answer = ResponseBuilder::to_head(&head, status, Some(&tag())).build();
                only_answers(&answer, &[]);
                assert!(answer.len() <= 3 * bytes.len() + 256, "bounded answer");
            }
        }
        Ok(message) => {
            judged(&message, &explained.reaction);
            rewritten(&message);
        }
    }
}

/// Everything that is asked of a message that could be indexed.
fn judged(message: &Message, explained: &Treatment) {
    for line in message.headers() {
        let value = line.value();
        assert!(!value.iter().any(|octet| matches!(octet, b'\r' | b'\n')));
        // White space is SP and HTAB (RFC 3261 §25.1), nothing else that looks like it.
        let is_space = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
        assert!(!is_space(value.first()) && !is_space(value.last()));
    }
    for shards in [1, 2, 4] {
        assert!(shard_of_message(message, shards).0 < shards);
    }
    if let Ok(parts) = body::parts(message) {
        assert!(parts.len() <= sbc_core::sip::MAX_BODY_PARTS);
        let total: usize = parts.iter().map(|part| part.content.len()).sum();
        assert!(total <= message.body().len(), "parts do not overlap");
    }
    let outcome = Capabilities::default().check(message);
    let head = RequestHead::of(message);
    match explained {
        Treatment::Accepts => assert!(outcome.is_ok()),
        Treatment::Answers { .. } | Treatment::Drops { .. } => assert!(outcome.is_err()),
    }
    if let (Err(rejection), Some(head)) = (&outcome, head) {
        let answer = Capabilities::default()
            .refuse(&head, rejection, Some(&tag()))
            .build();
        only_answers(&answer, &[]);
    }
    if message.validate().is_ok() && message.is_request() {
        answered(message);
    }
}

/// A valid request can be answered, and the answer finds its way back.
fn answered(request: &Message) {
    request.uri().expect("a valid request has a URI");
    let source = "192.0.2.99:4711".parse().expect("an address");
    let noted = with_source(request.clone(), source);
    let via = noted.top_via().expect("a valid request has a Via");
    assert!(via.host.ip().is_some() || via.received().is_some());
    let _ = (datagram_target(via), reconnect_target(via));
    let bytes = ResponseBuilder::to(&noted, Status::OK, Some(&tag())).build();
    let answer = Message::parse(bytes, &Limits::default()).expect("our answer is SIP");
    answer.validate().expect("our answer is valid");
    assert_eq!(answer.method(), request.method());
    assert_eq!(
        answer.raw(HeaderName::CallId),
        request.raw(HeaderName::CallId)
    );
    let vias = |message: &Message| message.list::<Via>().expect("valid").len();
    assert_eq!(vias(&answer), vias(request), "every hop is still there");
}

/// Copying all lines into a new message loses nothing and adds nothing.
fn rewritten(message: &Message) {
    let mut names: Vec<HeaderName> = message.headers().map(|line| line.name()).collect();
    names.sort();
    names.dedup();
    names.retain(|name| *name != HeaderName::ContentLength);
    let bytes = match message.status() {
        Some(status) => {
            let Ok(begun) = ResponseBuilder::with_phrase(status, &message.reason()) else {
                assert!(message.reason().contains(&0));
                return;
            };
            names
                .iter()
                .fold(begun, |builder, name| builder.copy(message, name))
                .raw_body(message.body())
                .build()
        }
        None => {
            let Ok(uri) = message.uri() else { return };
            names
                .iter()
                .fold(
                    RequestBuilder::new(message.method().clone(), uri),
                    |builder, name| builder.copy(message, name),
                )
                .raw_body(message.body())
                .build()
        }
    };
    // Canonical names are longer than compact ones; the limits hold for what comes from outside.
    let roomy = Limits {
        start_line: 1 << 20,
        header_line: 1 << 20,
        header_section: 1 << 24,
        ..Limits::default()
    };
    let again = Message::parse(bytes, &roomy).expect("what we write can be read");
    assert_eq!(values(&again), values(message));
    assert_eq!(again.body(), message.body());
    assert_eq!(again.method(), message.method());
    assert_eq!(again.status(), message.status());
}

/// Names and values without regard to the order of different headers.
fn values(message: &Message) -> Vec<(HeaderName, Bytes)> {
    let mut values: Vec<(HeaderName, Bytes)> = message
        .headers()
        .filter(|line| line.name() != HeaderName::ContentLength)
        .map(|line| (line.name(), line.value()))
        .collect();
    values.sort_by(|one, two| one.0.cmp(&two.0));
    values
}

/// A stateless answer holds the lines of RFC 3261 §8.2.6, those that our configuration adds, and no other, whatever
/// the request was.
pub(crate) fn only_answers(answer: &Bytes, ours: &[&str]) {
    assert!(answer.starts_with(b"SIP/2.0 "));
    let text = &answer[..];
    let end = text
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("an empty line");
    assert_eq!(end + 4, text.len(), "no body");
    for line in text[..end].split(|octet| *octet == b'\n').skip(1) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.contains(&b'\r'));
        let name = line
            .split(|octet| *octet == b':')
            .next()
            .unwrap_or_default();
        let name = std::str::from_utf8(name).expect("a name is text");
        let is_ours = ANSWERED.contains(&name) || ours.contains(&name);
        assert!(is_ours, "{name} was smuggled in");
    }
    if let Ok(message) = Message::parse(answer.clone(), &Limits::default()) {
        let _ = (message.get::<CSeq>(), message.get::<From>());
        assert!(message.top_via().is_ok(), "{}", Via::NAME);
    }
}

fn tag() -> Token {
    Token::parse("t").expect("a token")
}

/// What a refusal may say beside Via, From, To, Call-ID and CSeq.
const ANSWERED: [&str; 13] = [
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Content-Length",
    "Allow",
    "Accept",
    "Accept-Encoding",
    "Supported",
    "Unsupported",
    "Timestamp",
    "Server",
];
