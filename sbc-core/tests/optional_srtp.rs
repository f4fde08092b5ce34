//! SRTP where a peer may have it or not, and keys where they do not belong (MED-021).

use crate::world;

use media_api::{Command, Protection, Suite};
use sbc_core::config::Config;
use sbc_core::id::TrunkName;
use sbc_core::media::Srtp;
use sbc_core::sip::{HeaderName, Message, Method};
use std::sync::Arc;
use world::call::*;
use world::*;

const KEY: &str =
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw\n";

/// The carrier may have SRTP. Its signalling is not TLS here, which the loader would refuse.
fn optional(keys_on_plain: bool) -> Shard {
    let mut config = Config::clone(&config());
    let name = TrunkName::new("carrier-a");
    let trunk = Arc::make_mut(config.trunks.get_mut(&name).expect("a trunk"));
    let profile = Arc::make_mut(&mut trunk.media.profile);
    profile.srtp = Srtp::Optional;
    profile.suites = vec![Suite::AesCm128HmacSha1_80];
    profile.keys_on_plain = keys_on_plain;
    Shard::with(Arc::new(config))
}

/// The carrier's description with keys, over this transport.
fn keyed(transport: &str) -> String {
    let line = CARRIER_SDP.replace("RTP/AVP", transport);
    format!("{line}{KEY}")
}

fn offers_keys(message: &Message) -> bool {
    let body = body(message);
    let (secure, keys) = (body.contains("RTP/SAVP "), body.contains("a=crypto"));
    assert_eq!(secure, keys, "{body}");
    keys
}

/// Whether the relay was told of keys for the carrier's leg last.
fn has_keys(shard: &Shard) -> bool {
    let carrier = "198.51.100.30:6000".parse().expect("an address");
    let told = shard.media.iter().rev().find_map(|command| match command {
        Command::Answer { negotiated, .. } => {
            let stream = negotiated.streams[0].as_ref()?;
            (stream.remote_rtp == carrier).then(|| stream.protection.clone())
        }
        _ => None,
    });
    matches!(told.expect("an agreement"), Protection::Sdes { .. })
}

/// A call of Teams, and our first INVITE to the carrier.
fn called(keys_on_plain: bool) -> (Shard, Message) {
    let mut shard = optional(keys_on_plain);
    shard.teams_says(&teams_invite("opt"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

fn refuses(shard: &mut Shard, invite: &Message, status: &str) {
    shard.carrier_says(&response(invite, status, "r", "", ""));
    shard.next_request(Method::Ack);
}

fn answers(shard: &mut Shard, invite: &Message, sdp: &str) {
    shard.carrier_says(&response(invite, "200 OK", "b1", CARRIER_CONTACT, sdp));
}

#[test]
fn a_peer_that_refuses_keys_is_asked_once_more_without_them() {
    for status in [
        "488 Not Acceptable Here",
        "606 Not Acceptable",
        "415 Unsupported Media Type",
    ] {
        let (mut shard, first) = called(false);
        assert!(offers_keys(&first));
        refuses(&mut shard, &first, status);
        let second = shard.next_request(Method::Invite).message;
        assert!(!offers_keys(&second), "{status}");
        let value = |name: HeaderName| (header(&first, name.clone()), header(&second, name));
        let (one, other) = value(HeaderName::CallId);
        assert_eq!(one, other, "to the same address, as the same call");
        let (one, other) = value(HeaderName::CSeq);
        assert_ne!(one, other);
        answers(&mut shard, &second, CARRIER_SDP);
        shard.next_request(Method::Ack);
        shard.next_response(200);
        assert!(!has_keys(&shard));
    }
}

#[test]
fn who_refuses_both_is_asked_no_third_time() {
    let (mut shard, first) = called(false);
    refuses(&mut shard, &first, "488 Not Acceptable Here");
    let second = shard.next_request(Method::Invite).message;
    refuses(&mut shard, &second, "488 Not Acceptable Here");
    shard.next_response(488);
    assert!(shard.sent.is_empty());
}

#[test]
fn another_refusal_is_no_matter_of_keys() {
    let (mut shard, first) = called(false);
    refuses(&mut shard, &first, "486 Busy Here");
    shard.next_response(486);
    assert!(shard.sent.is_empty());
}

#[test]
fn keys_that_are_taken_stay_and_an_answer_has_the_transport_of_the_offer() {
    let (mut shard, first) = called(false);
    answers(&mut shard, &first, &keyed("RTP/SAVP"));
    shard.next_request(Method::Ack);
    shard.next_response(200);
    assert!(has_keys(&shard));
    // What the carrier says later may change much, but not that.
    let head = callee_of_carrier(&first, 5);
    shard.carrier_says(&with_body(&head, CARRIER_SDP));
    shard.next_response(100);
    shard.next_response(488);
    assert!(has_keys(&shard));

    let (mut shard, first) = called(false);
    answers(&mut shard, &first, CARRIER_SDP);
    shard.next_request(Method::Ack);
    shard.next_response(488);
    shard.next_request(Method::Bye);
}

/// The head of an offer of the carrier within the call that it was called for.
fn callee_of_carrier(invite: &Message, cseq: u32) -> String {
    let bare = callee_request(invite, "b1", "INVITE", cseq, CARRIER_CONTACT);
    let own = "Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK";
    let other = "Via: SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK";
    let uri = header(invite, HeaderName::Contact);
    let uri = uri.trim_start_matches('<').split('>').next();
    let line = bare.split_once(" SIP/2.0\n").expect("a request").1;
    let head = line.split("Content-Length").next().expect("a head");
    format!(
        "INVITE {} SIP/2.0\n{}",
        uri.expect("a URI"),
        head.replace(other, own)
    )
}

#[test]
fn a_caller_is_answered_as_it_offers() {
    for (sdp, keys_on_plain, transport, has) in [
        (CARRIER_SDP.to_owned(), false, "RTP/AVP ", false),
        (keyed("RTP/SAVP"), false, "RTP/SAVP ", true),
        // Keys on a line of plain RTP mean nothing, unless the operator says so.
        (keyed("RTP/AVP"), false, "RTP/AVP ", false),
        (keyed("RTP/AVP"), true, "RTP/AVP ", true),
        (CARRIER_SDP.to_owned(), true, "RTP/AVP ", false),
    ] {
        let mut shard = optional(keys_on_plain);
        shard.carrier_says(&carrier_invite("opt", &sdp));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200).message;
        let text = body(&ok);
        assert!(text.contains(transport), "{text}");
        assert_eq!(text.contains("a=crypto:1 "), has, "{text}");
        assert_eq!(has_keys(&shard), has, "{text}");
    }
}

#[test]
fn a_suite_that_stands_behind_many_others_is_found() {
    let key = "inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw";
    let many: String = (2..=12)
        .map(|tag| format!("a=crypto:{tag} X_OTHER_{tag} {key}\n"))
        .collect();
    let sdp = TEAMS_SDP.replace("a=crypto:1", &format!("{many}a=crypto:1"));
    let invite = teams_invite("many");
    let (head, _) = invite.split_once("Content-Type").expect("a body");
    let mut shard = Shard::new();
    shard.teams_says(&with_body(head, &sdp));
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

#[test]
fn a_flood_of_tiny_packets_is_no_wish_that_is_told_on() {
    for (ms, is_told) in [(1, false), (4, false), (40, true), (400, false)] {
        let (mut shard, invite) = called_out("tiny");
        let sdp = format!("{TEAMS_SDP}a=ptime:{ms}\n");
        shard.teams_says(&response(
            &invite.message,
            "200 OK",
            "x1",
            TEAMS_CONTACT,
            &sdp,
        ));
        shard.next_request(Method::Ack);
        let ok = shard.next_response(200).message;
        let told = format!("a=ptime:{ms}\r\n");
        assert_eq!(body(&ok).contains(&told), is_told, "{}", body(&ok));
    }
}

#[test]
fn teams_is_told_our_packet_time_whatever_the_carrier_wants() {
    let sdp = CARRIER_SDP.replace("a=sendrecv", "a=ptime:60\na=maxptime:60");
    let mut shard = Shard::new();
    shard.carrier_says(&carrier_invite("long", &sdp));
    shard.next_response(100);
    let offer = body(&shard.next_request(Method::Invite).message);
    assert!(
        offer.contains("a=ptime:20\r\n") && !offer.contains("maxptime"),
        "{offer}"
    );
    // And in an answer.
    let (mut shard, invite) = called_in(CONFIG, "long-too");
    let answer = response(&invite.message, "200 OK", "b1", CARRIER_CONTACT, &sdp);
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let answer = body(&shard.next_response(200).message);
    assert!(
        answer.contains("a=ptime:20\r\n") && !answer.contains("maxptime"),
        "{answer}"
    );
}
