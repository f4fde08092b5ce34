//! Calls of a carrier trunk with DTLS-SRTP: what the relay is told as descriptions come and go, and what becomes of a
//! call whose handshake fails (MED-130, MED-133, MED-134).

use crate::world;

use media_api::{
    Command, DtlsRole, DtlsTerms, EndpointId, EndpointStats, Event, HandshakeFault, HashFunction,
    Protection, ProtectionWanted, SessionId, SessionStats, StreamIndex, StreamStats, Suite,
};
use sbc_core::cause::{CauseCode, EndedBy};
use sbc_core::input::Input;
use sbc_core::report::explain;
use sbc_core::sip::{Message, Method};
use world::call::*;
use world::*;

pub(crate) const CALLER: EndpointId = EndpointId(0);
const CALLEE: EndpointId = EndpointId(1);
const SDP: &str = "Contact: <sip:gw@198.51.100.20:5060>\nContent-Type: application/sdp\n";

/// What the carrier says, under a certificate of this mark.
pub(crate) fn carrier(setup: &str, mark: &str, tls_id: &str) -> String {
    let print = [mark; 32].join(":");
    let lines = format!(
        "a=setup:{setup}\na=fingerprint:sha-256 {print}\na=tls-id:{tls_id}\na=rtcp-mux\na=sendrecv"
    );
    CARRIER_SDP
        .replace("RTP/AVP", "UDP/TLS/RTP/SAVP")
        .replace("a=sendrecv", &lines)
}

pub(crate) const ONE: &str = "association-number-one";
const TWO: &str = "association-number-two";

pub(crate) fn shard() -> Shard {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]";
    assert!(CONFIG.contains(codecs));
    Shard::with(config_of(
        &CONFIG.replace(codecs, &format!("srtp = \"dtls\"\n{codecs}")),
    ))
}

/// A call whose caller has a certificate that only SHA-1 tells of, as its trunk allows it or not.
#[test]
fn a_fingerprint_of_sha1_alone_does_where_the_operator_says_so() {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]";
    let weak = format!("sha-1 {}", ["AB"; 20].join(":"));
    let strong = format!("sha-256 {}", ["AA"; 32].join(":"));
    let both = format!("{weak}\na=fingerprint:{strong}");
    for (line, fingerprints, wanted) in [
        ("", &weak, None),
        ("allow_sha1 = true\n", &weak, Some(HashFunction::Sha1)),
        ("allow_sha1 = true\n", &both, Some(HashFunction::Sha256)),
        ("", &both, Some(HashFunction::Sha256)),
    ] {
        let lines = format!("srtp = \"dtls\"\n{line}{codecs}");
        let mut shard = Shard::with(config_of(&CONFIG.replace(codecs, &lines)));
        let sdp = carrier("actpass", "AA", ONE).replace(&strong, fingerprints);
        let Some(function) = wanted else {
            shard.carrier_says(&carrier_invite("weak", &sdp));
            shard.next_response(100);
            shard.next_response(488);
            continue;
        };
        let call = Call::offered(shard, &sdp);
        let [only] = &terms(&call.shard).fingerprints[..] else {
            panic!("one of {fingerprints}")
        };
        assert_eq!(only.function(), function, "{line}{fingerprints}");
    }
}

fn answered() -> Call {
    Call::offered(shard(), &carrier("actpass", "AA", ONE))
}

fn reoffers(call: &mut Call, sdp: &str) -> Message {
    call.says("INVITE", SDP, sdp);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    let via = format!("{VIA}ack{}", call.cseq);
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &via);
    call.shard.carrier_says(&ack);
    ok
}

/// What the relay was told last of the caller's handshake.
fn terms(shard: &Shard) -> DtlsTerms {
    let told = shard.media.iter().rev().find_map(|command| match command {
        Command::Answer {
            endpoint: CALLER,
            negotiated,
            ..
        } => negotiated.streams[0].clone(),
        _ => None,
    });
    match told.expect("an agreement").protection {
        Protection::Dtls(terms) => terms,
        other => panic!("{other:?}"),
    }
}

fn line(message: &Message, name: &str) -> String {
    let text = body(message);
    let found = text.lines().find(|line| line.starts_with(name));
    found
        .unwrap_or_else(|| panic!("{name} in {text}"))
        .to_owned()
}

fn session(shard: &Shard) -> SessionId {
    match shard.media[..] {
        [Command::Allocate { session, .. }, ..] => session,
        _ => panic!("{:?}", shard.media),
    }
}

pub(crate) fn fails(shard: &mut Shard, endpoint: EndpointId, why: HandshakeFault) {
    let session = session(shard);
    shard.apply(Input::Media(Event::HandshakeFailed {
        session,
        endpoint,
        stream: StreamIndex(0),
        why,
    }));
}

#[test]
fn each_leg_has_the_protection_of_its_trunk_and_we_begin_where_we_may() {
    let call = answered();
    let Command::Allocate { endpoints, .. } = &call.shard.media[0] else {
        panic!("{:?}", call.shard.media);
    };
    let wanted: Vec<_> = endpoints
        .iter()
        .map(|spec| spec.streams[0].protection.clone())
        .collect();
    assert_eq!(wanted[0], ProtectionWanted::Dtls);
    assert!(matches!(wanted[1], ProtectionWanted::Sdes(_)));
    assert!(body(&call.invite).contains("RTP/SAVP") && !body(&call.invite).contains("a=setup"));
    assert!(line(&call.ok, "m=audio").contains(" UDP/TLS/RTP/SAVP "));
    assert_eq!(line(&call.ok, "a=setup"), "a=setup:active");
    assert!(!body(&call.ok).contains("a=crypto"));
    let terms = terms(&call.shard);
    assert_eq!((terms.role, &terms.tls_id[..]), (DtlsRole::Active, ONE));
    assert_eq!(terms.fingerprints[0].digest(), [0xaa; 32]);
}

/// OPS-060: the relay alone knows what a handshake chose.
#[test]
fn the_record_has_the_suite_of_each_leg_whichever_way_its_keys_come() {
    let mut call = answered();
    let endpoint = |endpoint, suite| EndpointStats {
        endpoint,
        streams: vec![StreamStats {
            suite,
            ..StreamStats::default()
        }],
    };
    let agreed = Some(Suite::AesCm128HmacSha1_80);
    call.shard.stats = Some(SessionStats {
        endpoints: vec![
            endpoint(CALLER, Some(Suite::AeadAes128Gcm)),
            endpoint(CALLEE, agreed),
        ],
    });
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    call.shard.settles();
    let media = &call.shard.records[0].media;
    let suites: Vec<_> = media.iter().map(|own| own.srtp_suite).collect();
    assert_eq!(
        suites,
        [Some("AEAD_AES_128_GCM"), agreed.map(Suite::name)],
        "{media:#?}"
    );
}

#[test]
fn an_offer_within_the_call_keeps_the_association_of_the_same_peer_alone() {
    let mut call = answered();
    let first = terms(&call.shard);
    let own = line(&call.ok, "a=tls-id");
    let held = carrier("actpass", "AA", ONE).replace("a=sendrecv", "a=sendonly");
    let ok = reoffers(&mut call, &held);
    call.shard.sent.clear();
    assert_eq!(line(&ok, "a=setup"), "a=setup:active");
    assert_eq!(line(&ok, "a=tls-id"), own);
    assert_eq!(terms(&call.shard), first, "nothing that makes new keys");

    let ok = reoffers(&mut call, &carrier("active", "BB", ONE));
    call.shard.sent.clear();
    assert_eq!(line(&ok, "a=setup"), "a=setup:passive");
    let second = line(&ok, "a=tls-id");
    assert_ne!(second, own, "another certificate");
    let now = terms(&call.shard);
    assert_eq!(now.role, DtlsRole::Passive);
    assert_eq!(now.fingerprints[0].digest(), [0xbb; 32]);

    let ok = reoffers(&mut call, &carrier("actpass", "BB", TWO));
    assert_eq!(line(&ok, "a=setup"), "a=setup:active");
    assert_ne!(line(&ok, "a=tls-id"), second, "another tls-id");
    assert_eq!(terms(&call.shard).tls_id, TWO);
}

#[test]
fn a_call_whose_handshake_fails_is_ended_and_told_who_where_why_and_what_to_change() {
    let mut call = answered();
    fails(&mut call.shard, CALLER, HandshakeFault::Fingerprint);
    let ends = [
        call.shard.next_request(Method::Bye),
        call.shard.next_request(Method::Bye),
    ];
    for bye in &ends {
        let answer = response(&bye.message, "200 OK", "", "", "");
        match bye.hop.remote.to_string() == TEAMS {
            true => call.shard.teams_says(&answer),
            false => call.shard.carrier_says(&answer),
        }
    }
    let [record] = &call.shard.records[..] else {
        panic!("{:?}", call.shard.records);
    };
    let cause = &record.cause;
    assert_eq!(cause.code, CauseCode::HandshakeFailed);
    assert_eq!(cause.by, EndedBy::Us);
    let told = explain(record).to_string();
    for part in [
        "this SBC",
        "trunk \"carrier-a\"",
        "the DTLS handshake with the calling side failed",
        "the certificate is not the one whose fingerprint the description has",
        "compare a=fingerprint",
        "must leave it alone",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    call.shard.settles();
}

#[test]
fn a_caller_that_waits_is_refused_when_the_handshake_fails() {
    let mut shard = shard();
    shard.carrier_says(&carrier_invite("early", &carrier("actpass", "AA", ONE)));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.next_response(180);
    fails(&mut shard, CALLER, HandshakeFault::Timeout);
    let mut seen = Vec::new();
    while let Some(sent) = shard.sent.pop_front() {
        seen.push(String::from_utf8_lossy(&sent.message.bytes()[..20]).into_owned());
    }
    assert!(
        seen.iter().any(|start| start.starts_with("CANCEL ")),
        "{seen:?}"
    );
    assert!(
        seen.iter().any(|start| start.starts_with("SIP/2.0 488 ")),
        "{seen:?}"
    );
}

#[test]
fn a_leg_without_a_part_in_the_call_ends_nothing() {
    let mut call = answered();
    fails(&mut call.shard, EndpointId(7), HandshakeFault::Closed);
    assert!(call.shard.sent.is_empty() && call.shard.records.is_empty());
    fails(&mut call.shard, CALLEE, HandshakeFault::Timeout);
    call.shard.next_request(Method::Bye);
}
