//! What reading and writing one INVITE costs, beside rsip in the same run.
//!
//! `cargo bench -p sbc-core --bench parse` prints nanoseconds. Under `cargo test` it runs once, to keep
//! it working.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark takes the time and reads its command line"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sbc_core::sip::header::{
    Allow, CSeq, CallId, Contact, ContentType, From, MaxForwards, MinSe, RecordRoute,
    SessionExpires, Supported, To, Via,
};
use sbc_core::sip::{HeaderName, Limits, Message, Method, RequestBuilder, Uri};

/// An INVITE of 1,540 octets in the style of Teams: upper-case names, opaque Contact parameters,
/// SDP with SRTP and ICE.
fn invite() -> Bytes {
    let head = "INVITE sip:+493023125456@sbc1.contoso.example:5061;user=phone;transport=tls SIP/2.0\r\n\
        FROM: Alex Example<sip:+493023125321@sip.pstnhub.example.com:5061;user=phone>;tag=0c1e7a5d33f94b20\r\n\
        TO: <sip:+493023125456@sbc1.contoso.example:5061;user=phone>\r\n\
        CSEQ: 1 INVITE\r\n\
        CALL-ID: 9b0f5c2e7d5b5c0e8a1b2c3d4e5f6071\r\n\
        MAX-FORWARDS: 70\r\n\
        VIA: SIP/2.0/TLS 192.0.2.76:5061;branch=z9hG4bK58735f38\r\n\
        RECORD-ROUTE: <sip:sip-du-a-eu.pstnhub.example.com:5061;transport=tls;lr>\r\n\
        CONTACT: <sip:api-du-a-uswe2.pstnhub.example.com:443;x-i=11111111-2222-3333-4444-555555555555;x-c=9b0f5c2e7d5b5c0e8a1b2c3d4e5f6071/d/8/0f1e2d3c>\r\n";
    let tail = "MIN-SE: 300\r\n\
        SUPPORTED: timer\r\n\
        USER-AGENT: Example.PSTNHub.SIPProxy v.2024.2.12.3 i.EUNO.7\r\n\
        CONTENT-TYPE: application/sdp\r\n\
        ALLOW: INVITE,ACK,OPTIONS,CANCEL,BYE,NOTIFY\r\n\
        SESSION-EXPIRES: 3600\r\n\r\n";
    let mut sdp = String::from(
        "v=0\r\no=- 31847 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 192.0.2.10\r\nb=CT:10000000\r\n\
         t=0 0\r\nm=audio 52124 RTP/SAVP 104 9 103 111 18 0 8 97 101 13 118\r\n\
         c=IN IP4 192.0.2.10\r\na=rtcp:52125\r\na=ice-ufrag:aBcD\r\n\
         a=ice-pwd:0123456789abcdefghijklmn\r\n\
         a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA|2^31\r\n",
    );
    let length_line = "CONTENT-LENGTH: 000\r\n".len();
    let missing = TARGET - head.len() - tail.len() - length_line;
    while sdp.len() + 22 <= missing {
        sdp.push_str("a=rtpmap:8 PCMA/8000\r\n");
    }
    let padding = missing - sdp.len();
    if padding >= 2 {
        sdp.push_str(&"x".repeat(padding - 2));
        sdp.push_str("\r\n");
    } else {
        sdp.push_str(&" ".repeat(padding));
    }
    Bytes::from(format!(
        "{head}CONTENT-LENGTH: {}\r\n{tail}{sdp}",
        sdp.len()
    ))
}

const TARGET: usize = 1540;

fn main() {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let (rounds, per_round) = if is_measured { (101, 2_000) } else { (1, 1) };
    let bytes = invite();
    assert_eq!(bytes.len(), TARGET);
    let limits = Limits::default();

    let index = measure(rounds, per_round, || {
        black_box(Message::parse(black_box(bytes.clone()), &limits).unwrap());
    });
    let rsip_parse = measure(rounds, per_round, || {
        black_box(rsip::SipMessage::try_from(black_box(&bytes[..])).unwrap());
    });

    let message = Message::parse(bytes.clone(), &limits).unwrap();
    let parts = Parts::of(&message);
    let serialise = measure(rounds, per_round, || {
        black_box(parts.serialise());
    });
    let copy = measure(rounds, per_round, || {
        black_box(copy_through(&message, &parts.uri));
    });
    let theirs = rsip::SipMessage::try_from(&bytes[..]).unwrap();
    let rsip_serialise = measure(rounds, per_round, || {
        black_box(Bytes::from(black_box(&theirs).clone()));
    });
    let validate = measure(rounds, per_round, || {
        message.validate().unwrap();
    });

    println!(
        "INVITE of {} octets, fastest tenth of {rounds} rounds of {per_round}",
        bytes.len()
    );
    println!(
        "index             {index:>7.0} ns   rsip parse     {rsip_parse:>7.0} ns   ratio {:.1}",
        rsip_parse / index
    );
    println!(
        "serialise, typed  {serialise:>7.0} ns   rsip serialise {rsip_serialise:>7.0} ns   ratio {:.1}",
        rsip_serialise / serialise
    );
    println!(
        "serialise, raw    {copy:>7.0} ns   rsip serialise {rsip_serialise:>7.0} ns   ratio {:.1}",
        rsip_serialise / copy
    );
    println!("validate          {validate:>7.0} ns");
}

/// Everything the INVITE says, typed.
struct Parts {
    uri: Uri,
    via: Vec<Via>,
    record_route: Vec<RecordRoute>,
    hops: MaxForwards,
    from: From,
    to: To,
    call_id: CallId,
    cseq: CSeq,
    contact: Contact,
    allow: Vec<Allow>,
    supported: Vec<Supported>,
    min_se: MinSe,
    expires: SessionExpires,
    agent: Bytes,
    kind: ContentType,
    body: Bytes,
}

impl Parts {
    fn of(message: &Message) -> Self {
        Self {
            uri: message.uri().unwrap(),
            via: message.list().unwrap(),
            record_route: message.list().unwrap(),
            hops: message.get().unwrap().unwrap(),
            from: message.get().unwrap().unwrap(),
            to: message.get().unwrap().unwrap(),
            call_id: message.get().unwrap().unwrap(),
            cseq: message.get().unwrap().unwrap(),
            contact: message.get().unwrap().unwrap(),
            allow: message.list().unwrap(),
            supported: message.list().unwrap(),
            min_se: message.get().unwrap().unwrap(),
            expires: message.get().unwrap().unwrap(),
            agent: message.raw(HeaderName::UserAgent).unwrap(),
            kind: message.get().unwrap().unwrap(),
            body: message.body(),
        }
    }

    fn serialise(&self) -> Bytes {
        RequestBuilder::new(Method::Invite, &self.uri)
            .headers(&self.via)
            .headers(&self.record_route)
            .header(&self.hops)
            .header(&self.from)
            .header(&self.to)
            .header(&self.call_id)
            .header(&self.cseq)
            .header(&self.contact)
            .list(&self.allow)
            .list(&self.supported)
            .header(&self.min_se)
            .header(&self.expires)
            .raw(HeaderName::UserAgent, &self.agent)
            .unwrap()
            .body(&self.kind, self.body.clone())
            .build()
    }
}

/// The same message written from its raw values, as a B2BUA passes headers on.
fn copy_through(message: &Message, uri: &Uri) -> Bytes {
    let names = [
        HeaderName::Via,
        HeaderName::RecordRoute,
        HeaderName::MaxForwards,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
        HeaderName::Contact,
        HeaderName::Allow,
        HeaderName::Supported,
        HeaderName::MinSe,
        HeaderName::SessionExpires,
        HeaderName::UserAgent,
        HeaderName::ContentType,
    ];
    names
        .iter()
        .fold(RequestBuilder::new(Method::Invite, uri), |builder, name| {
            builder.copy(message, name)
        })
        .raw_body(message.body())
        .build()
}

/// Nanoseconds of one call in the fastest tenth of the rounds, which a busy machine disturbs least.
fn measure(rounds: usize, per_round: u32, mut work: impl FnMut()) -> f64 {
    let mut spent: Vec<Duration> = (0..rounds)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..per_round {
                work();
            }
            begin.elapsed() / per_round
        })
        .collect();
    spent.sort();
    spent[spent.len() / 10].as_nanos() as f64
}
