//! UPDATE before the answer (RFC 3311) by hand: allowed once the first exchange is made reliably.

use crate::world;

use sbc_core::sip::{HeaderName, Method};
use std::time::Duration;
use world::call::header;
use world::two::{Two, version};
use world::*;

const RELIABLE: &str = "Supported: 100rel\n";
const CONTACT: &str = "Contact: <sip:gw@198.51.100.20:5060>\n";

fn only(codec: &str) -> String {
    CARRIER_SDP.replace("RTP/AVP 8 0 101", &format!("RTP/AVP {codec} 101"))
}

fn moved(host: &str) -> String {
    CARRIER_SDP.replace("198.51.100.30", host)
}

#[test]
fn a_caller_may_offer_again_once_it_has_confirmed_the_answer() {
    let mut two = Two::new(RELIABLE);
    two.reliably("183 Session Progress", "b1", 1, CARRIER_SDP);
    two.pracks(1);
    let early = two.shard.next_response(183).message;
    two.caller_says(&early, "UPDATE", 11, CONTACT, &moved("198.51.100.31"));
    let refused = two.shard.next_response(500).message;
    assert!(refused.has(HeaderName::RetryAfter), "not confirmed yet");
    two.confirms(&early, 12);
    let media = two.shard.media.len();
    two.caller_says(&early, "UPDATE", 13, CONTACT, &moved("198.51.100.32"));
    let ok = two.shard.next_response(200).message;
    assert!(ok.body().starts_with(b"v=0") && ok.has(HeaderName::Contact));
    let agreed = format!("{:?}", two.shard.media.split_off(media));
    assert!(agreed.contains("198.51.100.32"), "{agreed}");
    assert!(
        two.shard.sent.is_empty(),
        "the other side does not hear of it"
    );
    // What the answer commits is what is in force, not what was offered first.
    let media = two.shard.media.len();
    let ok = two.answered("b1", "");
    let agreed = format!("{:?}", two.shard.media.split_off(media));
    assert!(agreed.contains("198.51.100.32"), "{agreed}");
    two.ack(&ok);
    two.shard.pass(Duration::from_secs(2));
    assert!(two.shard.sent.is_empty());
}

#[test]
fn an_early_offer_that_needs_another_codec_is_refused_and_changes_nothing() {
    let fqdn = "fqdn = \"sbc2.contoso.example\"";
    let mut two = Two::with(fqdn, "", RELIABLE, CARRIER_SDP);
    two.reliably("183 Session Progress", "b1", 1, &only("8"));
    two.pracks(1);
    let early = two.shard.next_response(183).message;
    two.confirms(&early, 11);
    let media = two.shard.media.len();
    two.caller_says(&early, "UPDATE", 12, CONTACT, &only("0"));
    let refused = two.shard.next_response(488).message;
    assert!(refused.has(HeaderName::Warning), "SIP-532");
    two.callee_says("b1", "UPDATE", 1, &only("0"));
    two.shard.next_response(488);
    assert_eq!(two.shard.media.len(), media);
    let ok = two.answered("b1", "");
    two.ack(&ok);
    two.shard.pass(Duration::from_secs(2));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
}

#[test]
fn a_called_party_may_offer_once_its_answer_was_reliable() {
    let mut two = Two::new("");
    two.says("180 Ringing", "b1", "", CARRIER_SDP);
    two.shard.next_response(180);
    two.callee_says("b1", "UPDATE", 1, &moved("198.51.100.43"));
    two.shard.next_response(491);
    let mut two = Two::new("");
    two.reliably("183 Session Progress", "b1", 1, CARRIER_SDP);
    two.pracks(1);
    two.shard.next_response(183);
    let media = two.shard.media.len();
    two.callee_says("b1", "UPDATE", 1, &moved("198.51.100.43"));
    let answer = two.shard.next_response(200).message;
    assert_eq!(version(&answer), version(&two.invite) + 1, "{answer:?}");
    let agreed = format!("{:?}", two.shard.media.split_off(media));
    assert!(agreed.contains("198.51.100.43"), "{agreed}");
    let media = two.shard.media.len();
    let ok = two.answered("b1", CARRIER_SDP);
    let agreed = format!("{:?}", two.shard.media.split_off(media));
    assert!(agreed.contains("198.51.100.43"), "{agreed}");
    two.ack(&ok);
    two.shard.pass(Duration::from_secs(2));
    assert!(two.shard.sent.is_empty());
}

#[test]
fn an_update_of_one_phone_does_not_touch_the_other() {
    let mut two = Two::new("");
    for (tag, host) in [("b1", "198.51.100.41"), ("b2", "198.51.100.42")] {
        two.reliably("183 Session Progress", tag, 1, &moved(host));
        two.pracks(1);
        two.shard.pass(Duration::from_millis(1_100));
        two.shard.sent.clear();
    }
    two.callee_says("b1", "UPDATE", 1, &moved("198.51.100.46"));
    two.shard.next_response(200);
    let media = two.shard.media.len();
    two.says("200 OK", "b2", "", "");
    two.shard.next_request(Method::Ack);
    let agreed = format!("{:?}", two.shard.media.split_off(media));
    assert!(
        agreed.contains("198.51.100.42") && !agreed.contains("198.51.100.46"),
        "{agreed}"
    );
}

/// A caller that has confirmed the early answer, PCMA, of a called side that takes UPDATE.
fn settled() -> (Two, sbc_core::sip::Message) {
    let mut two = Two::new(RELIABLE);
    let lines = "Require: 100rel\nRSeq: 1\nAllow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE\n";
    two.says("183 Session Progress", "b1", lines, &only("8"));
    two.pracks(1);
    let early = two.shard.next_response(183).message;
    (two, early)
}

/// The called side is asked for PCMU; its answer.
fn asked(two: &mut Two, status: &str, sdp: &str) {
    let update = two.shard.next_request(Method::Update).message;
    let body = String::from_utf8_lossy(&update.body()).into_owned();
    assert!(body.contains("RTP/AVP 0 101"), "{body}");
    assert!(two.shard.sent.is_empty(), "the caller waits");
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    two.hear(&response(&update, status, "", contact, sdp));
}

fn rack(early: &sbc_core::sip::Message) -> String {
    let rseq = early.get::<sbc_core::sip::header::RSeq>().unwrap();
    format!("RAck: {} 10 INVITE\n", rseq.expect("a reliable one").0)
}

#[test]
fn a_codec_that_the_called_side_must_agree_to_is_asked_of_it() {
    for by_prack in [true, false] {
        let (mut two, early) = settled();
        if by_prack {
            two.caller_says(&early, "PRACK", 11, &rack(&early), &only("0"));
        } else {
            two.confirms(&early, 11);
            two.caller_says(&early, "UPDATE", 12, CONTACT, &only("0"));
        }
        let media = two.shard.media.len();
        asked(&mut two, "200 OK", &only("0"));
        let ok = two.shard.next_response(200).message;
        let body = String::from_utf8_lossy(&ok.body()).into_owned();
        assert!(body.contains("RTP/AVP 0 101"), "{body}");
        let agreed = format!("{:?}", two.shard.media.split_off(media));
        assert_eq!(agreed.matches("PCMU").count(), 2, "both sides: {agreed}");
        let media = two.shard.media.len();
        let ok = two.answered("b1", "");
        let agreed = format!("{:?}", two.shard.media.split_off(media));
        assert!(agreed.contains("PCMU"), "{agreed}");
        two.ack(&ok);
        two.shard.pass(Duration::from_secs(2));
        assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
    }
}

#[test]
fn what_the_called_side_does_not_want_is_refused_and_nothing_has_changed() {
    let (mut two, early) = settled();
    two.confirms(&early, 11);
    let media = two.shard.media.len();
    two.caller_says(&early, "UPDATE", 12, CONTACT, &only("0"));
    asked(&mut two, "488 Not Acceptable Here", "");
    two.shard.next_response(488);
    // One that is never answered is refused after ten seconds.
    two.caller_says(&early, "UPDATE", 13, CONTACT, &only("0"));
    two.shard.next_request(Method::Update);
    two.shard.pass(Duration::from_millis(9_900));
    let is_final = |sent: &Sent| sent.message.status().is_some_and(|s| s.is_final());
    assert!(!two.shard.sent.iter().any(is_final));
    two.shard.pass(Duration::from_millis(200));
    assert!(two.shard.sent.iter().any(is_final));
    two.shard.sent.clear();
    assert_eq!(two.shard.media.len(), media);
    let ok = two.answered("b1", "");
    two.ack(&ok);
    assert!(two.shard.records.is_empty());
}

#[test]
fn a_prack_that_the_called_side_does_not_follow_has_its_200_and_takes_nothing() {
    let (mut two, early) = settled();
    two.caller_says(&early, "PRACK", 11, &rack(&early), &only("0"));
    asked(&mut two, "488 Not Acceptable Here", "");
    let ok = two.shard.next_response(200).message;
    let body = String::from_utf8_lossy(&ok.body()).into_owned();
    assert!(body.contains("m=audio 0 "), "{body}");
    two.shard.next_response(488);
    two.shard.next_request(Method::Cancel);
}

#[test]
fn an_answer_to_the_call_waits_for_the_answer_to_the_change() {
    let (mut two, early) = settled();
    two.confirms(&early, 11);
    two.caller_says(&early, "UPDATE", 12, CONTACT, &only("0"));
    let update = two.shard.next_request(Method::Update).message;
    two.says("200 OK", "b1", "", "");
    two.shard.next_request(Method::Ack);
    assert!(two.shard.sent.is_empty());
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    two.hear(&response(&update, "200 OK", "", contact, &only("0")));
    let changed = two.shard.next_response(200).message;
    assert!(header(&changed, HeaderName::CSeq).contains("UPDATE"));
    let ok = two.shard.next_response(200).message;
    assert!(header(&ok, HeaderName::CSeq).contains("INVITE"));
    two.ack(&ok);
    two.shard.pass(Duration::from_secs(2));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
}

#[test]
fn a_called_side_that_refuses_the_call_while_it_is_asked_refuses_the_change_too() {
    let (mut two, early) = settled();
    two.confirms(&early, 11);
    two.caller_says(&early, "UPDATE", 12, CONTACT, &only("0"));
    two.shard.next_request(Method::Update);
    two.says("486 Busy Here", "b1", "", "");
    two.shard.next_request(Method::Ack);
    let refused = two.shard.next_response(488).message;
    assert!(header(&refused, HeaderName::CSeq).contains("UPDATE"));
    two.shard.next_response(486);
}

#[test]
fn a_called_side_that_agrees_too_late_is_told_what_is_in_force() {
    let (mut two, early) = settled();
    two.confirms(&early, 11);
    two.caller_says(&early, "UPDATE", 12, CONTACT, &only("0"));
    let update = two.shard.next_request(Method::Update).message;
    two.shard.pass(Duration::from_millis(10_100));
    let is_refused = |sent: &Sent| sent.message.status().is_some_and(|s| s.code() == 488);
    assert!(two.shard.sent.iter().any(is_refused));
    two.shard.sent.clear();
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    two.hear(&response(&update, "200 OK", "", contact, &only("0")));
    assert!(two.shard.sent.is_empty());
    let ok = two.answered("b1", "");
    two.ack(&ok);
    // It would speak PCMU otherwise, and the caller PCMA.
    let offer = two.shard.next_request(Method::Invite).message;
    assert!(header(&offer, HeaderName::To).contains("tag=b1"));
    let body = String::from_utf8_lossy(&offer.body()).into_owned();
    assert!(body.contains("RTP/AVP 8 "), "{body}");
    two.hear(&response(&offer, "200 OK", "", contact, &only("8")));
    two.shard.next_request(Method::Ack);
    two.shard.pass(Duration::from_secs(2));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
}

#[test]
fn it_may_agree_even_after_the_answer() {
    let (mut two, early) = settled();
    two.confirms(&early, 11);
    two.caller_says(&early, "UPDATE", 12, CONTACT, &only("0"));
    let update = two.shard.next_request(Method::Update).message;
    two.shard.pass(Duration::from_millis(10_100));
    two.shard.sent.clear();
    let ok = two.answered("b1", "");
    two.ack(&ok);
    two.shard.pass(Duration::from_secs(1));
    two.shard.sent.clear();
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    two.hear(&response(&update, "200 OK", "", contact, &only("0")));
    let offer = two.shard.next_request(Method::Invite).message;
    let body = String::from_utf8_lossy(&offer.body()).into_owned();
    assert!(body.contains("RTP/AVP 8 "), "{body}");
    two.hear(&response(&offer, "200 OK", "", contact, &only("8")));
    two.shard.next_request(Method::Ack);
    assert!(two.shard.records.is_empty());
}

/// Where the relay is told last that the called side is.
fn place_of_b(two: &Two) -> Option<String> {
    let mut commands = two.shard.media.iter().rev();
    commands.find_map(|command| match command {
        media_api::Command::Answer {
            endpoint: media_api::EndpointId(1),
            negotiated,
            ..
        } => Some(negotiated.streams[0].as_ref()?.remote_rtp.ip().to_string()),
        _ => None,
    })
}

/// How often a description was told that came after the answer, and whether it was taken.
fn later_answers(two: &Two) -> Vec<bool> {
    let told = two.shard.happened.iter().filter_map(|what| match what {
        sbc_core::event::Happened::LaterAnswer { is_taken, .. } => Some(*is_taken),
        _ => None,
    });
    told.collect()
}

#[test]
fn an_answer_that_says_what_was_agreed_last_or_moves_goes_on_with_that_dialog() {
    let first = moved("198.51.100.41");
    let second = moved("198.51.100.43");
    let third = moved("198.51.100.44");
    let relaxed = "sdp_relax = true";
    for (relax, answer, place, told) in [
        ("", second.as_str(), "198.51.100.43", &[][..]),
        ("", third.as_str(), "198.51.100.43", &[false]),
        (relaxed, first.as_str(), "198.51.100.43", &[]),
        (relaxed, second.as_str(), "198.51.100.43", &[]),
        (relaxed, third.as_str(), "198.51.100.44", &[true]),
    ] {
        let mut two = Two::with("", relax, "", CARRIER_SDP);
        two.reliably("183 Session Progress", "b1", 1, &first);
        two.pracks(1);
        two.shard.next_response(183);
        two.callee_says("b1", "UPDATE", 1, &second);
        let changed = two.shard.next_response(200).message;
        assert_eq!(version(&changed), version(&two.invite) + 1);
        let ok = two.answered("b1", answer);
        assert_eq!(place_of_b(&two).as_deref(), Some(place));
        assert_eq!(later_answers(&two), told, "{relax} {place}");
        two.ack(&ok);
        assert!(two.shard.sent.is_empty());
        // A hold of the caller: what B is told follows what it was told in its UPDATE.
        let hold = CARRIER_SDP.replace("sendrecv", "sendonly");
        two.caller_says(&ok, "INVITE", 11, CONTACT, &hold);
        two.shard.next_response(100);
        two.shard.next_response(200);
        let told = two.shard.next_request(Method::Invite).message;
        assert_eq!(version(&told), version(&changed) + 1);
        let lines = |message: &sbc_core::sip::Message| {
            let body = String::from_utf8_lossy(&message.body()).into_owned();
            let kept = body.lines().filter(|line| !line.starts_with("o="));
            let kept = kept.map(|line| line.replace("sendonly", "sendrecv"));
            kept.collect::<Vec<_>>()
        };
        assert_eq!(lines(&told), lines(&changed), "place, numbers and all");
    }
}

#[test]
fn what_the_called_side_agrees_to_in_an_update_of_ours_may_be_said_again_in_its_answer() {
    for relax in ["", "sdp_relax = true"] {
        let mut two = Two::with("", relax, RELIABLE, CARRIER_SDP);
        let lines = "Require: 100rel\nRSeq: 1\nAllow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE\n";
        two.says("183 Session Progress", "b1", lines, &only("8"));
        two.pracks(1);
        let early = two.shard.next_response(183).message;
        two.confirms(&early, 11);
        two.caller_says(&early, "UPDATE", 12, CONTACT, &only("0"));
        asked(&mut two, "200 OK", &only("0"));
        two.shard.next_response(200);
        let media = two.shard.media.len();
        let ok = two.answered("b1", &only("0"));
        assert_eq!(later_answers(&two), [] as [bool; 0], "{relax}");
        let agreed = format!("{:?}", two.shard.media.split_off(media));
        assert!(agreed.contains("PCMU"), "{agreed}");
        two.ack(&ok);
        two.shard.pass(Duration::from_secs(2));
        assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
    }
}
