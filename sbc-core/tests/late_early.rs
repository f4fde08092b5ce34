//! Calls without an offer whose called side offers in a reliable provisional (SIP-510, SIP-523).

use crate::world;

use sbc_core::sip::header::{RAck, RSeq};
use sbc_core::sip::{HeaderName, Message, Method};
use world::call::*;
use world::two::*;
use world::*;

/// A caller that makes no offer and has these lines in its INVITE.
fn late(of_b: &str, lines: &str) -> Two {
    let keys = format!("late_offer = \"pass\"\n{of_b}");
    let two = Two::with("", &keys, lines, "");
    assert!(two.invite.body().is_empty());
    two
}

/// The caller confirms an offer of ours with this answer.
fn answers(two: &mut Two, early: &Message, sdp: &str) {
    let rseq = early.get::<RSeq>().unwrap().expect("a reliable one").0;
    let rack = format!("RAck: {rseq} 10 INVITE\n");
    two.caller_says(early, "PRACK", 11, &rack, sdp);
    two.shard.next_response(200);
}

#[test]
fn the_called_sides_early_offer_is_the_callers_and_each_prack_brings_an_answer() {
    let mut two = late("", "Supported: 100rel\n");
    two.reliably("183 Session Progress", "b1", 1, B_OFFER);
    // Nothing is confirmed before there is an answer, however often it is said.
    let early = two.shard.next_response(183).message;
    assert!(is_reliable(&early));
    assert_eq!(formats(&early), "8 0 101");
    assert!(!body(&early).contains("198.51.100.50"), "our own address");
    two.reliably("183 Session Progress", "b1", 1, B_OFFER);
    assert!(two.shard.sent.is_empty());
    let pcmu = CARRIER_SDP.replace("AVP 8 0 101", "AVP 0 101");
    answers(&mut two, &early, &pcmu);
    let prack = two.pracks(1);
    assert_eq!(formats(&prack), "0 101", "what the caller has chosen");
    assert!(!body(&prack).contains("198.51.100.30"));
    let said = format!("{:?}", two.shard.media);
    assert!(said.contains("198.51.100.30:6000") && said.contains("198.51.100.50:7000"));
    // It goes on as with any other exchange that is made early.
    two.reliably("180 Ringing", "b1", 2, "");
    two.pracks(2);
    let ringing = two.shard.next_response(180).message;
    assert!(ringing.body().is_empty());
    if is_reliable(&ringing) {
        two.confirms(&ringing, 12);
    }
    two.says("200 OK", "b1", "", "");
    let ack = two.shard.next_request(Method::Ack).message;
    assert!(ack.body().is_empty(), "it has had its answer");
    let ok = two.shard.next_response(200).message;
    assert!(ok.body().is_empty(), "the exchange is made");
    two.ack(&ok);
    let bye = in_dialog(&ok, "BYE", 20, &format!("{VIA}bye"));
    two.shard.carrier_says(&bye);
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    two.hear(&response(&bye, "200 OK", "", "", ""));
    assert_eq!(two.shard.records[0].transfers.len(), 0);
    two.shard.settles();
}

#[test]
fn a_caller_that_confirms_nothing_is_offered_it_in_the_answer() {
    let mut two = late("", "");
    two.reliably("183 Session Progress", "b1", 1, B_OFFER);
    let prack = two.pracks(1);
    assert!(formats(&prack).starts_with('8'), "an answer of ours");
    let early = two.shard.next_response(183).message;
    assert!(early.body().is_empty() && !is_reliable(&early));
    two.says("200 OK", "b1", "", "");
    let ack = two.shard.next_request(Method::Ack).message;
    assert!(ack.body().is_empty());
    let ok = two.shard.next_response(200).message;
    assert_eq!(formats(&ok), formats(&prack));
    let bare = in_dialog(&ok, "ACK", 10, &format!("{VIA}ack"));
    let head = bare.replace("Content-Length: 0\n\n", "");
    two.shard.carrier_says(&with_body(&head, CARRIER_SDP));
    let said = format!("{:?}", two.shard.media);
    assert!(said.contains("198.51.100.30:6000") && said.contains("198.51.100.50:7000"));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
}

#[test]
fn media_that_may_not_flow_early_are_not_offered_early() {
    let mut two = late("early_media = \"block\"", "Supported: 100rel\n");
    two.reliably("183 Session Progress", "b1", 1, B_OFFER);
    two.pracks(1);
    let early = two.shard.next_response(180).message;
    assert!(early.body().is_empty());
    if is_reliable(&early) {
        two.confirms(&early, 11);
    }
    two.says("200 OK", "b1", "", "");
    two.shard.next_request(Method::Ack);
    let ok = two.shard.next_response(200).message;
    assert!(!ok.body().is_empty());
}

#[test]
fn a_prack_without_a_usable_answer_ends_the_set_up_but_is_answered_itself() {
    let foreign = CARRIER_SDP.replace("AVP 8 0 101", "AVP 18 101");
    for sdp in ["", foreign.as_str()] {
        let mut two = late("", "Supported: 100rel\n");
        two.reliably("183 Session Progress", "b1", 1, B_OFFER);
        let early = two.shard.next_response(183).message;
        answers(&mut two, &early, sdp);
        let prack = two.shard.next_request(Method::Prack).message;
        assert_eq!(prack.get::<RAck>().unwrap().unwrap().rseq, 1);
        assert!(body(&prack).contains("m=audio 0 "), "{}", body(&prack));
        two.shard.next_response(488);
        two.shard.next_request(Method::Cancel);
    }
}

#[test]
fn another_phone_that_offers_too_is_answered_here() {
    let mut two = late("", "Supported: 100rel\n");
    two.reliably("183 Session Progress", "b1", 1, B_OFFER);
    let early = two.shard.next_response(183).message;
    let other = B_OFFER.replace("198.51.100.50", "198.51.100.60");
    two.reliably("183 Session Progress", "b2", 7, &other);
    let prack = two.pracks(7);
    assert!(!prack.body().is_empty(), "it cannot wait for the caller");
    let told: Vec<bool> = two
        .shard
        .sent
        .drain(..)
        .map(|sent| sent.message.body().is_empty())
        .collect();
    assert!(told.iter().all(|bare| *bare), "one offer at a time");
    answers(&mut two, &early, CARRIER_SDP);
    two.pracks(1);
    two.shard.sent.clear();
    // It is the one that answers.
    two.says("200 OK", "b2", "", "");
    two.shard.next_request(Method::Ack);
    let ok = two.shard.next_response(200).message;
    assert!(ok.body().is_empty());
    let said = format!(
        "{:?}",
        two.shard.media.iter().rev().take(4).collect::<Vec<_>>()
    );
    assert!(said.contains("198.51.100.60"), "{said}");
}

#[test]
fn a_phone_that_offers_only_in_its_answer_is_answered_from_what_the_caller_has() {
    let mut two = late("", "Supported: 100rel\n");
    two.reliably("183 Session Progress", "b1", 1, B_OFFER);
    let early = two.shard.next_response(183).message;
    answers(&mut two, &early, CARRIER_SDP);
    two.pracks(1);
    let other = B_OFFER.replace("198.51.100.50", "198.51.100.60");
    two.says("200 OK", "b2", "", &other);
    let ack = two.shard.next_request(Method::Ack).message;
    assert_eq!(formats(&ack), "8 101");
    let ok = two.shard.next_response(200).message;
    assert!(ok.body().is_empty());
    assert!(header(&ok, HeaderName::To).contains("tag="));
}

#[test]
fn another_phone_that_answers_before_the_callers_prack_is_answered_here() {
    let mut two = late("", "Supported: 100rel\n");
    two.reliably("183 Session Progress", "b1", 1, B_OFFER);
    let early = two.shard.next_response(183).message;
    let other = B_OFFER.replace("198.51.100.50", "198.51.100.60");
    two.says("200 OK", "b2", "", &other);
    let ack = two.shard.next_request(Method::Ack).message;
    assert!(formats(&ack).starts_with('8'), "{}", body(&ack));
    assert!(two.shard.sent.is_empty(), "the answer waits for the PRACK");
    answers(&mut two, &early, CARRIER_SDP);
    let ok = two.shard.next_response(200).message;
    assert!(ok.body().is_empty(), "the exchange is made");
    two.ack(&ok);
    let said = format!("{:?}", two.shard.media);
    assert!(said.contains("198.51.100.30:6000") && said.contains("198.51.100.60:7000"));
    two.shard.pass(std::time::Duration::from_secs(2));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
}
