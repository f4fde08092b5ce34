//! Signatures of callers: JSON and JWS of a stranger, and what is made of them before any key is
//! looked at.

use bytes::Bytes;
use sbc_core::sip::{Limits, Message};
use sbc_core::stir::{
    CredentialUrl, Json, Judged, LONGEST_IDENTITY, MOST_IDENTITIES, Numbers, Signatures, Tn,
    Verstat, Vouched, judge,
};
use sbc_core::time::UnixTime;
use std::time::Duration;

/// One Identity header for each line.
pub(crate) fn check(data: &[u8]) {
    json(data);
    if let Ok(text) = std::str::from_utf8(data) {
        if let Some(url) = CredentialUrl::parse(text) {
            let spelled = format!("https://{}:{}{}", url.host(), url.port(), url.path());
            assert_eq!(CredentialUrl::parse(&spelled), Some(url));
        }
        if let Some(tn) = Tn::parse(text) {
            assert_eq!(Tn::parse(tn.as_str()), Some(tn));
        }
        if let Some(verstat) = Verstat::parse(text) {
            assert_eq!(Verstat::parse(&verstat.text(true)), Some(verstat));
        }
    }
    let mut invite = b"INVITE sip:+12155550131@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
        From: <sip:+12155550121@example.com>;tag=1\r\nTo: <sip:+12155550131@example.com>\r\nCall-ID: 1\r\n\
        CSeq: 1 INVITE\r\nMax-Forwards: 70\r\n".to_vec();
    for line in data
        .split(|octet| *octet == b'\n')
        .take(MOST_IDENTITIES + 2)
    {
        invite.extend_from_slice(b"Identity: ");
        invite.extend(line.iter().filter(|octet| !matches!(octet, b'\r' | 0)));
        invite.extend_from_slice(b"\r\n");
    }
    invite.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    let roomy = Limits {
        header_line: 1 << 20,
        header_section: 1 << 21,
        ..Limits::default()
    };
    if let Ok(message) = Message::parse(Bytes::from(invite), &roomy) {
        judged(&message);
    }
}

fn judged(message: &Message) {
    let signatures = Signatures::of(message);
    assert!(signatures.lines().len() <= MOST_IDENTITIES);
    assert!(
        signatures
            .lines()
            .iter()
            .all(|line| line.len() <= LONGEST_IDENTITY)
    );
    let numbers = Numbers::of(message, false, Tn::parse("12155550131"));
    let now = UnixTime::from_micros(1_443_208_345_000_000);
    match judge(&signatures, message, &numbers, now, Duration::from_secs(60)) {
        Judged::Done(verdict) => {
            let fault = verdict.fault.expect("without a key nothing is good");
            assert!(fault.status().code() >= 400);
            assert!(!fault.label().is_empty() && !fault.to_string().is_empty());
        }
        Judged::Ask(checks, verdict) => {
            assert!((1..=MOST_IDENTITIES).contains(&checks.len()));
            assert!(verdict.attest.is_some() && verdict.origid.is_some());
            for check in checks {
                let is_in = |line: &Bytes| {
                    line.windows(check.input.len())
                        .any(|part| part == check.input)
                };
                assert!(
                    signatures.lines().iter().any(is_in),
                    "what is signed has come"
                );
            }
        }
    }
    let vouched = Vouched::of(&signatures, numbers, None);
    assert_eq!(vouched.is_none(), signatures.lines().is_empty());
}

/// Whatever we read, another reader reads, and the same in it.
fn json(data: &[u8]) {
    let Ok(own) = Json::parse(data) else {
        return;
    };
    match serde_json::from_slice::<serde_json::Value>(data) {
        Ok(other) => same(&own, &other),
        // The one thing that we have no opinion of.
        Err(fault) => assert!(fault.to_string().contains("out of range"), "{fault}"),
    }
}

fn same(own: &Json, other: &serde_json::Value) {
    match (own, other) {
        (Json::Null, serde_json::Value::Null) | (Json::Number(_), serde_json::Value::Number(_)) => {
        }
        (Json::Flag(own), serde_json::Value::Bool(other)) => assert_eq!(own, other),
        (Json::Text(own), serde_json::Value::String(other)) => assert_eq!(own, other),
        (Json::List(own), serde_json::Value::Array(other)) => {
            assert_eq!(own.len(), other.len());
            own.iter()
                .zip(other)
                .for_each(|(own, other)| same(own, other));
        }
        (Json::Object(own), serde_json::Value::Object(other)) => {
            assert_eq!(own.len(), other.len(), "a name is there once");
            own.iter()
                .for_each(|(name, value)| same(value, &other[name]));
        }
        _ => panic!("{own:?} is not {other:?}"),
    }
}
