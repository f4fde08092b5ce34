//! Requests within dialogs, by hand: which are served, which are refused, and how.

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::sip::{HeaderName, Method};
use std::time::Duration;
use world::call::*;
use world::*;

#[test]
fn methods_that_a_call_does_not_serve_are_refused_with_what_it_does() {
    for (method, code) in [
        ("INFO", 405),
        ("MESSAGE", 405),
        ("SUBSCRIBE", 489),
        ("PRACK", 481),
        ("PUBLISH", 405),
        ("NOTIFY", 481),
        ("FROBNICATE", 501),
    ] {
        let mut call = Call::new();
        let lines = match method {
            "NOTIFY" => "Event: refer\nSubscription-State: active\n",
            "PRACK" => "RAck: 1 10 INVITE\n",
            _ => "",
        };
        call.says(method, lines, "");
        let refused = call.refused(code);
        if !matches!(code, 481 | 489) {
            let allow = header(&refused, HeaderName::Allow);
            assert_eq!(
                allow, "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, NOTIFY, REFER, PRACK",
                "{method}"
            );
        }
        call.lives();
    }
}

#[test]
fn options_within_a_call_say_what_we_are_and_where() {
    let mut call = Call::new();
    call.says("OPTIONS", "", "");
    let ok = call.refused(200);
    assert_eq!(
        header(&ok, HeaderName::Allow),
        "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, NOTIFY, REFER, PRACK"
    );
    let accepted = header(&ok, HeaderName::Accept);
    assert_eq!(accepted, "application/sdp, multipart/mixed", "RFC 5621 §7");
    assert!(header(&ok, HeaderName::Supported).contains("replaces"));
    assert!(ok.has(HeaderName::Contact), "every answer names us");
    // Teams checks the name in every message (TDR-SIP-013).
    call.teams_says("OPTIONS", 1, "");
    let ok = call.refused(200);
    let contact = header(&ok, HeaderName::Contact);
    assert!(
        contact.contains("sbc1.contoso.example:5061;transport=tls"),
        "{contact}"
    );
    call.lives();
}

#[test]
fn an_extension_that_a_reinvite_demands_is_refused_by_name() {
    let mut call = Call::new();
    call.says(
        "INVITE",
        "Contact: <sip:gw@198.51.100.20:5060>\nRequire: 100rel, nobody-has-this\n",
        "",
    );
    call.shard.next_response(100);
    let refused = call.refused(420);
    assert_eq!(header(&refused, HeaderName::Unsupported), "nobody-has-this");
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}{}", call.cseq));
    call.shard.carrier_says(&ack);
    call.lives();
}

#[test]
fn a_bye_ends_the_call_whatever_it_demands() {
    let mut call = Call::new();
    call.says("BYE", "Require: nobody-has-this\n", "");
    call.refused(200);
    call.shard.next_request(Method::Bye);
}

#[test]
fn a_body_that_a_reinvite_must_not_carry_is_refused_and_the_call_lives() {
    let contact = "Contact: <sip:gw@198.51.100.20:5060>\n";
    for (lines, code, told) in [
        ("Content-Type: text/plain\n", 415, HeaderName::Accept),
        (
            "Content-Type: application/sdp\nContent-Encoding: gzip\n",
            415,
            HeaderName::AcceptEncoding,
        ),
        (
            "Content-Type: multipart/mixed;boundary=x\n",
            400,
            HeaderName::Via,
        ),
        ("Content-Type: application/sdp\n", 488, HeaderName::Via),
    ] {
        let mut call = Call::new();
        call.says("INVITE", &format!("{contact}{lines}"), "v=0\nnonsense\n");
        call.shard.next_response(100);
        let refused = call.refused(code);
        assert!(refused.has(&told), "{lines}: {refused:?} without {told}");
        let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}{}", call.cseq));
        call.shard.carrier_says(&ack);
        call.lives();
    }
}

#[test]
fn a_request_in_a_call_that_is_malformed_gets_400_and_the_call_lives() {
    for (from, to) in [
        ("CSeq: 11 INFO", "CSeq: 11 BYE"),
        ("Max-Forwards: 70", "Max-Forwards: many"),
        ("Max-Forwards: 70", "Max-Forwards: 70\nMax-Forwards: 70"),
        (
            "Max-Forwards: 70",
            "Max-Forwards: 70\nContent-Type: a/b\nContent-Type: a/b",
        ),
    ] {
        let mut call = Call::new();
        call.cseq += 1;
        let info = in_dialog(&call.ok, "INFO", call.cseq, &format!("{VIA}odd"));
        call.shard.carrier_says(&info.replace(from, to));
        call.refused(400);
        call.lives();
    }
}

#[test]
fn an_offerless_reinvite_gets_an_offer_and_its_ack_the_answer() {
    let mut call = Call::new();
    call.says("INVITE", "Contact: <sip:gw@198.51.100.20:5060>\n", "");
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    assert!(!ok.body().is_empty());
    let head = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}ack3"));
    let ack = head.replace("Content-Length: 0\n\n", "");
    call.shard.carrier_says(&with_body(&ack, CARRIER_SDP));
    assert!(call.shard.sent.is_empty());
    call.lives();
}

#[test]
fn an_offer_of_ours_that_gets_no_answer_in_the_ack_ends_the_call() {
    let mut call = Call::new();
    call.says("INVITE", "Contact: <sip:gw@198.51.100.20:5060>\n", "");
    call.shard.next_response(100);
    call.shard.next_response(200);
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}ack4"));
    call.shard.carrier_says(&ack);
    let bye = call.shard.next_request(Method::Bye).message;
    assert_eq!(
        header(&bye, HeaderName::Reason),
        "Q.850;cause=65, SIP;cause=488"
    );
    call.shard.next_request(Method::Bye);
    assert!(call.shard.records.is_empty());
}

#[test]
fn a_reinvite_whose_answer_is_never_acknowledged_ends_the_call() {
    let mut call = Call::new();
    let lines = "Contact: <sip:gw@198.51.100.20:5060>\nContent-Type: application/sdp\n";
    call.says("INVITE", lines, CARRIER_SDP);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    call.shard.pass(Duration::from_millis(31_900));
    let repeats: Vec<_> = call.shard.sent.drain(..).collect();
    assert!(
        repeats
            .iter()
            .all(|sent| sent.message.bytes() == ok.bytes())
    );
    // T1 doubling up to T2: 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5 s.
    assert_eq!(repeats.len(), 10);
    call.shard.pass(Duration::from_millis(200));
    for _ in 0..2 {
        let bye = call.shard.next_request(Method::Bye).message;
        let reason = header(&bye, HeaderName::Reason);
        assert!(reason.contains("Q.850;cause=102"), "{reason}");
    }
    call.shard.pass(Duration::from_secs(40));
    assert_eq!(call.shard.records[0].cause.code, CauseCode::NoAck);
}

#[test]
fn a_target_refresh_moves_what_we_send_and_a_bye_does_not() {
    let mut call = Call::new();
    call.says(
        "INVITE",
        "Contact: <sip:moved@198.51.100.22:5070>\nContent-Type: application/sdp\n",
        CARRIER_SDP,
    );
    call.shard.next_response(100);
    call.shard.next_response(200);
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &format!("{VIA}ack5"));
    call.shard.carrier_says(&ack);
    call.teams_says("BYE", 1, "Contact: <sip:elsewhere@203.0.113.200>\n");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye);
    assert_eq!(
        bye.message.request_uri(),
        "sip:moved@198.51.100.22:5070",
        "{bye:?}"
    );
    assert_eq!(bye.hop.remote.to_string(), "198.51.100.22:5070");
}

#[test]
fn requests_in_the_early_dialog_of_a_called_party_do_not_lose_the_dialog() {
    let mut shard = Shard::new();
    shard.carrier_says(&carrier_invite("early", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    shard.next_response(180);
    // 481 would tell the peer that its early dialog is gone (RFC 5057 §5.1).
    shard.teams_says(&callee_request(&invite, "x1", "UPDATE", 1, ""));
    shard.next_response(405);
    shard.teams_says(&callee_request(&invite, "x1", "OPTIONS", 2, ""));
    shard.next_response(200);
    shard.teams_says(&callee_request(&invite, "x1", "OPTIONS", 1, ""));
    shard.next_response(500);
    shard.teams_says(&callee_request(&invite, "stranger", "OPTIONS", 1, ""));
    shard.next_response(481);
}

#[test]
fn requests_in_the_early_dialog_of_a_caller_are_judged_by_their_method() {
    for (method, code) in [("OPTIONS", 200), ("INFO", 405), ("FROB", 501)] {
        let (mut shard, invite) = called_out("early2");
        let invite = invite.message;
        shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
        let ringing = shard.next_response(180).message;
        shard.carrier_says(&in_dialog(&ringing, method, 11, &format!("{VIA}e")));
        shard.next_response(code);
    }
}

/// A dialog is Call-ID and both tags (RFC 3261 §12): who knows one of them less is not in it.
#[test]
fn a_request_in_the_early_dialog_of_a_caller_names_its_call() {
    let (mut shard, invite) = called_out("early4");
    let ringing = response(&invite.message, "180 Ringing", "x1", TEAMS_CONTACT, "");
    shard.teams_says(&ringing);
    let ringing = shard.next_response(180).message;
    for (n, (from, into)) in [
        ("Call-ID: early4", "Call-ID: another"),
        ("tag=c1", "tag=c9"),
    ]
    .into_iter()
    .enumerate()
    {
        let bye = in_dialog(&ringing, "BYE", 11, &format!("{VIA}not{n}"));
        assert!(bye.contains(from));
        shard.carrier_says(&bye.replace(from, into));
        shard.next_response(481);
        assert!(shard.sent.is_empty(), "{into}");
    }
    shard.carrier_says(&in_dialog(&ringing, "BYE", 11, &format!("{VIA}its")));
    shard.next_response(200);
    shard.next_response(487);
    shard.next_request(Method::Cancel);
}

#[test]
fn a_bye_in_the_early_dialog_ends_the_attempt() {
    let mut shard = Shard::new();
    shard.carrier_says(&carrier_invite("early3", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    let ringing = shard.next_response(180).message;
    shard.carrier_says(&in_dialog(&ringing, "BYE", 11, &format!("{VIA}b")));
    assert_eq!(*shard.next_response(200).message.method(), Method::Bye);
    shard.next_response(487);
    shard.next_request(Method::Cancel);
    shard.pass(Duration::from_secs(40));
    assert_eq!(shard.records[0].cause.code, CauseCode::CallerCancelled);
}

#[test]
fn a_request_on_a_new_connection_finds_its_call() {
    let mut call = Call::new();
    let mut flow = teams_flow();
    flow.id = sbc_core::id::FlowId(77);
    flow.remote = "203.0.113.99:50123".parse().expect("address");
    let bye = callee_request(&call.invite, "x1", "BYE", 5, "");
    call.shard.receive(flow, &bye);
    let ok = call.shard.next_response(200);
    assert_eq!(ok.hop.flow, Some(sbc_core::id::FlowId(77)));
    call.shard.next_request(Method::Bye);
}

#[test]
fn a_peer_of_another_trunk_cannot_end_a_call_it_knows_of() {
    let mut call = Call::new();
    // The carrier knows Teams' dialog, and sends BYE in it.
    let bye = callee_request(&call.invite, "x1", "BYE", 5, "").replace(
        "SIP/2.0/TLS 203.0.113.1:5061",
        "SIP/2.0/UDP 198.51.100.20:5060",
    );
    call.shard.carrier_says(&bye);
    call.shard.next_response(481);
    call.lives();
}

#[test]
fn a_bye_that_nobody_answers_frees_the_media_at_once_and_the_leg_after_timer_f() {
    let mut call = Call::new();
    call.says("BYE", "", "");
    call.shard.next_response(200);
    call.shard.next_request(Method::Bye);
    let released = format!("{:?}", call.shard.media.last());
    assert!(
        released.contains("Release"),
        "with the BYE (SIP-408): {released}"
    );
    call.shard.pass(Duration::from_millis(31_900));
    assert_ne!(call.shard.core.census().calls, 0);
    call.shard.pass(Duration::from_millis(200));
    assert_eq!(call.shard.core.census().calls, 0, "64·T1");
    assert_eq!(call.shard.records.len(), 1);
}
