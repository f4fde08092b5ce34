//! What holds for all inputs: no panic, nothing lost, nothing that depends on segmentation.

#![allow(clippy::disallowed_methods, reason = "tests read files")]

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use proptest::prelude::*;
use sbc_core::sip::explain::explain;
use sbc_core::sip::header::*;
use sbc_core::sip::{
    Capabilities, HeaderLine, HeaderName, Host, Limits, Message, Method, ParseFault, Reaction,
    RequestBuilder, RequestHead, ResponseBuilder, Status, Token, Uri, body,
};
use sbc_core::transport::framer::{Frame, Framer};

fn corpus() -> Vec<Bytes> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpora");
    let mut files: Vec<PathBuf> = ["rfc4475", "rfc-examples"]
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sip"))
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| Bytes::from(fs::read(path).unwrap()))
        .collect()
}

/// Everything that can be asked of a message.
fn exercise(bytes: Bytes) {
    let limits = Limits::default();
    let tag = Token::parse("t").unwrap();
    let can = Capabilities::default();
    let _ = explain(bytes.clone(), &limits).to_string();
    match Message::parse(bytes, &limits) {
        Err(rejected) => {
            if let Reaction::Answer { status, head } = rejected.reaction {
                let answer = ResponseBuilder::to_head(&head, status, Some(&tag)).build();
                assert!(answer.starts_with(b"SIP/2.0 "));
            }
        }
        Ok(message) => {
            let outcome = can.check(&message);
            let _ = body::parts(&message);
            let _ = message.uri();
            for line in message.headers() {
                assert!(!line.value().contains(&b'\r') && !line.value().contains(&b'\n'));
            }
            if let (Err(rejection), Some(head)) = (outcome, RequestHead::of(&message)) {
                can.refuse(&head, &rejection, Some(&tag)).build();
            }
            if message.validate().is_ok() && message.is_request() {
                let source = "192.0.2.99:4711".parse().unwrap();
                let noted = sbc_core::transport::via::with_source(message.clone(), source);
                let alone = Message::parse(message.bytes().clone(), &limits).unwrap();
                let alone = sbc_core::transport::via::with_source(alone, source);
                only_the_topmost_via_differs(&message, &noted);
                only_the_topmost_via_differs(&message, &alone);
                let via = noted.top_via().unwrap();
                assert!(via.host.ip().is_some() || via.received().is_some());
                let answer = ResponseBuilder::to(&noted, Status::OK, Some(&tag)).build();
                let answer = Message::parse(answer, &limits).unwrap();
                assert_eq!(answer.method(), message.method());
            }
        }
    }
}

fn only_the_topmost_via_differs(message: &Message, changed: &Message) {
    let vias = |message: &Message| message.list::<Via>().unwrap();
    assert_eq!(changed.top_via(), Ok(&vias(changed)[0]));
    assert_eq!(vias(changed)[1..], vias(message)[1..]);
    let lines = |message: &Message| -> Vec<(Bytes, Option<Bytes>)> {
        let mut has_via = false;
        let mut line = |line: HeaderLine<'_>| {
            let is_topmost =
                line.name() == HeaderName::Via && !std::mem::replace(&mut has_via, true);
            let name = Bytes::copy_from_slice(line.raw_name());
            (name, (!is_topmost).then(|| line.value()))
        };
        message.headers().map(&mut line).collect()
    };
    assert_eq!(lines(changed), lines(message));
    assert_eq!(changed.body(), message.body());
    assert_eq!(changed.bytes(), message.bytes());
}

fn frames(stream: &[u8], cuts: &[usize]) -> Vec<Frame> {
    let mut framer = Framer::new(Limits::default());
    let mut frames = Vec::new();
    let mut begin = 0;
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.push(stream.len());
    cuts.sort_unstable();
    for cut in cuts {
        framer.push(&stream[begin..cut]);
        begin = cut;
        frames.extend(std::iter::from_fn(|| framer.next_frame()));
        assert!(framer.buffered_bytes() <= stream.len());
    }
    frames
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        exercise(bytes.into());
    }

    #[test]
    fn mutated_messages_never_panic(
        which in any::<prop::sample::Index>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..6),
    ) {
        let corpus = corpus();
        let mut bytes = which.get(&corpus).to_vec();
        for (place, octet, kind) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = octet,
                1 => bytes.insert(at, b"\r\n;,<>\"\\ :@%=?"[usize::from(octet) % 14]),
                _ => bytes.truncate(at),
            }
        }
        exercise(bytes.into());
    }

    #[test]
    fn frames_do_not_depend_on_segmentation(
        messages in proptest::collection::vec(any::<prop::sample::Index>(), 1..5),
        pings in proptest::collection::vec(0..4_usize, 5),
        garbage in proptest::collection::vec(any::<u8>(), 0..8),
        cuts in proptest::collection::vec(any::<usize>(), 0..40),
    ) {
        let corpus = corpus();
        let mut stream = Vec::new();
        for (message, pings) in messages.iter().zip(pings) {
            stream.extend(b"\r\n".repeat(pings));
            stream.extend_from_slice(&corpus[message.index(corpus.len())]);
        }
        stream.extend(garbage);
        let whole = frames(&stream, &[]);
        let octet_by_octet: Vec<usize> = (0..stream.len()).collect();
        prop_assert_eq!(&frames(&stream, &cuts), &whole);
        prop_assert_eq!(&frames(&stream, &octet_by_octet), &whole);
    }

    #[test]
    fn typed_values_that_are_read_are_written_so_that_they_read_the_same(
        text in "[ -~]{0,60}",
        params in "(;[a-z-]{1,6}(=([A-Za-z0-9.]{1,8}|\"[ -!#-\\[\\]-~]{0,8}\"))?){0,3}",
        name in "(\"[ -!#-\\[\\]-~]{0,12}\" ?|[A-Za-z ]{0,10})",
        user in "[A-Za-z0-9+;,?/%]{0,8}",
        host in "([a-z]{1,8}\\.example|192\\.0\\.2\\.[1-9]|\\[2001:db8::[1-9]\\])",
    ) {
        let uri = match user.is_empty() {
            true => format!("sip:{host}"),
            false => format!("sip:{user}@{host}"),
        };
        for value in [
            text.clone(),
            format!("{name}<{uri}>{params}"),
            format!("{uri}{params}"),
            format!("SIP/2.0/UDP {host}:5070{params}"),
            format!("SIP / 2.0 / TLS  {host}{params}"),
            format!("17 {text}"),
            format!("token{params}"),
            format!("application/sdp{params}"),
            format!("90{params}"),
            format!("call@id;to-tag=a;from-tag=b{params}"),
            format!("370 {host} {}", format_args!("\"{}\"", text.replace(['"', '\\'], ""))),
            format!("Digest realm=\"{}\", nonce=abc", text.replace(['"', '\\'], "")),
        ] {
            every_header(&Bytes::from(value));
        }
    }
}

/// Reads the value as every header there is; what is read must survive being written.
fn every_header(value: &Bytes) {
    fn stable<H: Header + PartialEq + std::fmt::Debug>(value: &Bytes) {
        let Ok(header) = H::parse(value) else {
            return;
        };
        let written = header.to_bytes();
        assert!(
            !written
                .iter()
                .any(|octet| matches!(octet, b'\r' | b'\n' | 0))
        );
        assert_eq!(
            H::parse(&written),
            Ok::<H, ParseFault>(header),
            "{value:?} → {written:?}"
        );
    }
    stable::<Accept>(value);
    stable::<Allow>(value);
    stable::<Authorization>(value);
    stable::<CSeq>(value);
    stable::<CallId>(value);
    stable::<Contact>(value);
    stable::<ContentDisposition>(value);
    stable::<ContentEncoding>(value);
    stable::<ContentType>(value);
    stable::<Diversion>(value);
    stable::<Event>(value);
    stable::<Expires>(value);
    stable::<From>(value);
    stable::<HistoryInfo>(value);
    stable::<MaxForwards>(value);
    stable::<MinSe>(value);
    stable::<PAssertedIdentity>(value);
    stable::<Privacy>(value);
    stable::<RAck>(value);
    stable::<RSeq>(value);
    stable::<Reason>(value);
    stable::<ReferTo>(value);
    stable::<ReferredBy>(value);
    stable::<Replaces>(value);
    stable::<Require>(value);
    stable::<RetryAfter>(value);
    stable::<Route>(value);
    stable::<SessionExpires>(value);
    stable::<SubscriptionState>(value);
    stable::<Supported>(value);
    stable::<Via>(value);
    stable::<Warning>(value);
    stable::<WwwAuthenticate>(value);
    if let Ok(uri) = Uri::parse(value.clone()) {
        let written = uri.to_bytes();
        assert_eq!(Uri::parse(written), Ok(uri.clone()));
        assert!(uri.is_equivalent(&uri));
    }
}

#[test]
fn every_truncation_of_every_corpus_message_is_survived() {
    for bytes in corpus() {
        for end in (0..bytes.len().min(700)).step_by(3) {
            exercise(bytes.slice(..end));
        }
    }
}

#[test]
fn rfc_examples_are_valid_and_survive_being_written_again() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpora/rfc-examples");
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(root.join("manifest.json")).unwrap()).unwrap();
    let items = manifest["items"].as_array().unwrap();
    assert!(items.len() >= 50, "{}", items.len());
    let mut faults = Vec::new();
    for item in items {
        let file = item["file"].as_str().unwrap();
        let bytes = Bytes::from(fs::read(root.join(file)).unwrap());
        let message = match Message::parse(bytes, &Limits::default()) {
            Ok(message) => message,
            Err(rejected) => {
                faults.push(format!("{file}: {}", rejected.fault));
                continue;
            }
        };
        if let Err(rejection) = message.validate() {
            faults.push(format!("{file}: {}", rejection.why));
            continue;
        }
        assert_eq!(
            message.headers().count() as u64,
            item["headers"].as_u64().unwrap(),
            "{file}"
        );
        let explained = explain(message.bytes().clone(), &Limits::default());
        for header in &explained.headers {
            if let Some(fault) = &header.fault {
                faults.push(format!(
                    "{file}: {}: {}: {fault:?}",
                    header.name, header.raw
                ));
            }
        }
        let again = Message::parse(rewrite(&message), &Limits::default()).unwrap();
        assert_eq!(values(&again), values(&message), "{file}");
        assert_eq!(again.body(), message.body(), "{file}");
        rsip_agrees(&again, file);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Writes a message from what was read: start line typed, lines copied.
fn rewrite(message: &Message) -> Bytes {
    let mut names: Vec<HeaderName> = message.headers().map(|line| line.name()).collect();
    names.sort();
    names.dedup();
    names.retain(|name| *name != HeaderName::ContentLength);
    match message.status() {
        Some(status) => names
            .iter()
            .fold(
                ResponseBuilder::with_phrase(status, &message.reason()).unwrap(),
                |builder, name| builder.copy(message, name),
            )
            .raw_body(message.body())
            .build(),
        None => names
            .iter()
            .fold(
                RequestBuilder::new(message.method().clone(), message.uri().unwrap()),
                |builder, name| builder.copy(message, name),
            )
            .raw_body(message.body())
            .build(),
    }
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

/// A second parser reads the same out of what we wrote.
fn rsip_agrees(message: &Message, file: &str) {
    use rsip::prelude::*;

    let theirs = rsip::SipMessage::try_from(&message.bytes()[..])
        .unwrap_or_else(|fault| panic!("{file}: rsip refuses what we wrote: {fault}"));
    assert_eq!(theirs.body().as_slice(), &message.body()[..], "{file}");
    let call_id = theirs.call_id_header().unwrap().value().to_owned();
    assert_eq!(
        call_id.as_bytes(),
        &message.raw(HeaderName::CallId).unwrap()[..],
        "{file}"
    );
    let cseq = theirs.cseq_header().unwrap().typed().unwrap();
    assert_eq!(
        cseq.seq,
        message.get::<CSeq>().unwrap().unwrap().number,
        "{file}"
    );
    assert_eq!(cseq.method.to_string(), message.method().as_str(), "{file}");
    let tag = theirs
        .from_header()
        .unwrap()
        .tag()
        .unwrap()
        .map(|tag| tag.value().to_owned());
    let own = message.get::<From>().unwrap().unwrap();
    assert_eq!(
        tag.as_deref().map(str::as_bytes),
        own.tag().map(|tag| &tag[..]),
        "{file}"
    );
    match &theirs {
        rsip::SipMessage::Request(request) => {
            assert_eq!(
                request.method.to_string(),
                message.method().as_str(),
                "{file}"
            );
        }
        rsip::SipMessage::Response(response) => {
            let code: u16 = response.status_code.code();
            assert_eq!(Some(code), message.status().map(Status::code), "{file}");
        }
    }
}

#[test]
fn rsip_reads_what_the_builder_writes() {
    let token = |text: &'static str| Token::parse(text).unwrap();
    let uri = Uri::parse("sip:+493023125456@sbc.example.com:5061;transport=tls").unwrap();
    let bytes = RequestBuilder::new(Method::Invite, &uri)
        .header(&CSeq {
            number: 7,
            method: Method::Invite,
        })
        .header(&To::from(uri.clone()))
        .header(&From::from(Uri::parse("sip:a@example.com").unwrap()).with_tag(token("x")))
        .header(&CallId::new("1@example.com").unwrap())
        .header(&MaxForwards(70))
        .header(&Via::new(
            Transport::Tls,
            Host::parse("sbc.example.com").unwrap(),
            Some(5061),
            token("z9hG4bKabc"),
        ))
        .body(&ContentType::sdp(), "v=0\r\n".into())
        .build();
    let message = Message::parse(bytes, &Limits::default()).unwrap();
    message.validate().unwrap();
    let order: Vec<_> = message
        .headers()
        .map(|line| line.name().as_str().to_owned())
        .collect();
    let wanted = "Via Max-Forwards From To Call-ID CSeq Content-Type Content-Length";
    assert_eq!(order.join(" "), wanted);
    rsip_agrees(&message, "built");
}

#[test]
fn time_to_frame_and_parse_grows_with_the_input_and_not_with_its_square() {
    // A header section at its limit, fed octet by octet: with a rescan per segment this would look
    // at two billion octets.
    let mut stream =
        b"OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1\r\n".to_vec();
    while stream.len() < 60_000 {
        stream.extend_from_slice(b"X-Filler: ");
        stream.extend(std::iter::repeat_n(b'x', 500));
        stream.extend_from_slice(b"\r\n");
    }
    stream.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    let cuts: Vec<usize> = (0..stream.len()).collect();
    let frames = frames(&stream, &cuts);
    assert_eq!(frames.len(), 1);
    assert!(matches!(&frames[0], Frame::Message(message) if message.len() == stream.len()));
}
