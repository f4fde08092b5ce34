//! An ACK for our 2xx that is lost or late, and what the peer asks for meanwhile (RFC 5407 §3.1.4 to §3.1.6).

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::sip::{Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const SDP: &str = "Content-Type: application/sdp\n";

/// A call whose caller has its 200 and has not acknowledged it.
fn unacknowledged() -> Call {
    let (mut shard, invite) = called_out("call");
    let invite = invite.message;
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    Call {
        shard,
        invite,
        ok,
        cseq: 10,
    }
}

/// The caller offers this, and has its 200.
fn reoffers(call: &mut Call, sdp: &str) -> Message {
    call.says("INVITE", &format!("{CARRIER_CONTACT}{SDP}"), sdp);
    call.shard.next_response(100);
    call.shard.next_response(200).message
}

/// The caller's ACK for the 2xx to its INVITE of this number.
fn acknowledges(call: &mut Call, cseq: u32) {
    let ack = in_dialog(&call.ok, "ACK", cseq, &format!("{VIA}acknowledged{cseq}"));
    call.shard.carrier_says(&ack);
}

/// What was sent meanwhile must be these answers, as they were.
fn repeated(call: &mut Call, answers: &[&Message]) {
    for answer in answers {
        let again = call.shard.next_response(200).message;
        assert_eq!(again.bytes(), answer.bytes());
    }
    assert!(call.shard.sent.is_empty());
}

#[test]
fn a_reinvite_that_overtakes_the_ack_of_our_answer_is_answered() {
    let mut call = unacknowledged();
    let first = call.ok.clone();
    // The answer is made, and the ACK brings none (RFC 5407 §3.1.4).
    let second = reoffers(&mut call, CARRIER_SDP);
    assert!(call.shard.sent.is_empty());
    call.shard.pass(Duration::from_millis(500));
    repeated(&mut call, &[&first, &second]);
    // Each waits for its own ACK.
    acknowledges(&mut call, 10);
    call.shard.pass(Duration::from_millis(1_000));
    repeated(&mut call, &[&second]);
    acknowledges(&mut call, 11);
    call.shard.pass(Duration::from_secs(40));
    assert!(call.shard.sent.is_empty());
    call.lives();
}

#[test]
fn a_second_reinvite_before_the_ack_of_the_first_is_answered() {
    let mut call = Call::new();
    let first = reoffers(&mut call, CARRIER_SDP);
    let second = reoffers(&mut call, CARRIER_SDP);
    call.shard.pass(Duration::from_millis(500));
    repeated(&mut call, &[&first, &second]);
    // The later ACK says that both have come.
    acknowledges(&mut call, 12);
    call.shard.pass(Duration::from_secs(40));
    assert!(call.shard.sent.is_empty());
    // The earlier one was only late.
    acknowledges(&mut call, 11);
    assert!(call.shard.sent.is_empty());
    call.lives();
}

#[test]
fn a_change_that_overtakes_the_ack_takes_effect() {
    let mut call = unacknowledged();
    let held = CARRIER_SDP.replace("sendrecv", "sendonly");
    let ok = reoffers(&mut call, &held);
    assert!(body(&ok).contains("a=recvonly"));
    let told = call.shard.next_request(Method::Invite).message;
    assert!(body(&told).contains("a=inactive"), "what Teams is told");
    let answer = TEAMS_SDP.replace("sendrecv", "inactive");
    let answer = response(&told, "200 OK", "", TEAMS_CONTACT, &answer);
    call.shard.teams_says(&answer);
    call.shard.next_request(Method::Ack);
    acknowledges(&mut call, 11);
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    assert_eq!(call.shard.records.len(), 1);
    call.shard.settles();
}

#[test]
fn of_many_answers_without_ack_the_last_two_are_repeated() {
    let mut call = unacknowledged();
    let second = reoffers(&mut call, CARRIER_SDP);
    let third = reoffers(&mut call, CARRIER_SDP);
    call.shard.pass(Duration::from_millis(500));
    repeated(&mut call, &[&second, &third]);
    acknowledges(&mut call, 12);
    call.lives();
}

#[test]
fn who_asks_again_and_acknowledges_nothing_loses_its_call_as_soon_as_others() {
    let mut call = unacknowledged();
    call.shard.pass(Duration::from_secs(10));
    call.shard.sent.clear();
    reoffers(&mut call, CARRIER_SDP);
    // 64·T1 after the first answer (SIP-211).
    call.shard.pass(Duration::from_millis(21_900));
    let sent: Vec<_> = call.shard.sent.drain(..).collect();
    assert!(sent.iter().all(|own| !own.message.is_request()));
    call.shard.pass(Duration::from_millis(200));
    for _ in 0..2 {
        let bye = call.shard.next_request(Method::Bye).message;
        let reason = header(&bye, sbc_core::sip::HeaderName::Reason);
        assert!(reason.contains("Q.850;cause=102"), "{reason}");
    }
    call.shard.pass(Duration::from_secs(40));
    assert_eq!(call.shard.records[0].cause.code, CauseCode::NoAck);
}

#[test]
fn an_offer_that_overtakes_the_answer_in_an_ack_gets_491() {
    for method in ["INVITE", "UPDATE"] {
        let mut call = Call::new();
        call.says("INVITE", CARRIER_CONTACT, "");
        call.shard.next_response(100);
        let ok = call.shard.next_response(200).message;
        let offer_of_ours = body(&ok);
        assert!(!offer_of_ours.is_empty());
        // Our offer has no answer yet (RFC 5407 §3.1.5).
        call.says(method, &format!("{CARRIER_CONTACT}{SDP}"), CARRIER_SDP);
        if method == "INVITE" {
            call.shard.next_response(100);
        }
        call.shard.next_response(491);
        if method == "INVITE" {
            let via = format!("{VIA}{}", call.cseq);
            let ack = in_dialog(&call.ok, "ACK", call.cseq, &via);
            call.shard.carrier_says(&ack);
        }
        let ack = in_dialog(&call.ok, "ACK", 11, &format!("{VIA}answer"));
        let ack = ack.replace("Content-Length: 0\n\n", "");
        call.shard.carrier_says(&with_body(&ack, CARRIER_SDP));
        assert!(call.shard.sent.is_empty());
        call.lives();
    }
}

#[test]
fn our_bye_waits_for_the_ack_of_the_last_answer() {
    let mut call = unacknowledged();
    reoffers(&mut call, CARRIER_SDP);
    call.teams_says("BYE", 1, "");
    call.shard.next_response(200);
    assert!(call.shard.sent.is_empty(), "RFC 3261 §15");
    acknowledges(&mut call, 10);
    assert!(call.shard.sent.is_empty(), "the later one may not be there");
    acknowledges(&mut call, 11);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard
        .carrier_says(&response(&bye, "200 OK", "", "", ""));
    assert_eq!(call.shard.records.len(), 1);
    call.shard.settles();
}

#[test]
fn a_bye_before_the_ack_ends_the_call_and_what_is_repeated() {
    let mut call = unacknowledged();
    reoffers(&mut call, CARRIER_SDP);
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    call.shard.pass(Duration::from_secs(5));
    assert!(call.shard.sent.is_empty(), "RFC 5407 §3.1.6");
    assert_eq!(call.shard.records.len(), 1);
    call.shard.settles();
}

#[test]
fn an_ack_that_matches_nothing_is_dropped_silently() {
    let mut call = Call::new();
    let ack = in_dialog(&call.ok, "ACK", 10, &format!("{VIA}stray"));
    let to = header(&call.ok, sbc_core::sip::HeaderName::To);
    let (_, ours) = to.split_once(";tag=").expect("our tag");
    for (from, into) in [
        ("CSeq: 10 ACK", "CSeq: 99 ACK"),
        ("tag=c1", "tag=c9"),
        (ours, "nobody"),
        ("Call-ID: call", "Call-ID: another"),
        // It has been acknowledged already.
        ("", ""),
    ] {
        assert!(ack.contains(from));
        let ack = match from.is_empty() {
            true => ack.clone(),
            false => ack.replace(from, into),
        };
        call.shard.carrier_says(&ack);
        assert!(call.shard.sent.is_empty(), "{from}");
    }
    call.says("BYE", "", "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    call.shard.teams_says(&response(&bye, "200 OK", "", "", ""));
    call.shard.carrier_says(&ack);
    assert!(call.shard.sent.is_empty(), "the call is over");
    call.shard.settles();
}
