//! Requests and answers of an odd form: what is refused with which status, and what becomes of the rest.

use crate::world;

use crate::crossing::{BY_INFO, FIVE, RELAY, config as crossing};
use sbc_core::sip::{HeaderName, Message, Method};
use world::call::*;
use world::*;

const TEXT: &str = "Content-Type: text/plain\n";

/// An INVITE whose description is of this disposition.
fn described_as(disposition: &str) -> String {
    let kind = "Content-Type: application/sdp\n";
    let line = format!("{kind}Content-Disposition: {disposition}\n");
    carrier_invite("form", CARRIER_SDP).replace(kind, &line)
}

#[test]
fn a_description_of_something_else_than_the_session_is_refused_unless_it_may_be_ignored() {
    for disposition in [
        "foo",
        "render",
        "early-session",
        "early-session;handling=required",
    ] {
        let mut shard = Shard::new();
        shard.carrier_says(&described_as(disposition));
        let refused = shard.next_response(415).message;
        let accepted = header(&refused, HeaderName::Accept);
        assert!(accepted.contains("application/sdp"), "{accepted}");
        assert!(shard.sent.is_empty(), "{disposition}");
    }
    for disposition in [
        "session",
        "session;handling=required",
        "foo;handling=optional",
    ] {
        let mut shard = Shard::new();
        shard.carrier_says(&described_as(disposition));
        shard.next_response(100);
        shard.next_request(Method::Invite);
    }
}

#[test]
fn what_a_request_within_a_call_demands_of_its_receiver_is_refused_by_name() {
    let demand = "Require: nobody-has-this\n";
    let mut call = Call::of(Shard::with(crossing(BY_INFO)));
    for (method, kind, words) in [("INFO", RELAY, FIVE), ("MESSAGE", TEXT, "hello\n")] {
        call.says(method, &format!("{demand}{kind}"), words);
        let refused = call.refused(420);
        let unsupported = header(&refused, HeaderName::Unsupported);
        assert_eq!(unsupported, "nobody-has-this", "{method}");
        assert!(call.shard.sent.is_empty(), "nothing crosses");
    }
    call.lives();
    let mut call = early();
    call.says("INFO", &format!("{demand}{RELAY}"), FIVE);
    call.refused(420);
}

/// A call whose called side is heard before it answers, without events; `ok` is our 183.
fn early() -> Call {
    let mut shard = Shard::with(crossing(BY_INFO));
    shard.carrier_says(&carrier_invite("early", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let without: Vec<&str> = TEAMS_SDP
        .split_inclusive('\n')
        .filter(|line| !line.contains("telephone-event") && !line.contains("fmtp:101"))
        .collect();
    let sdp = without.concat().replace(" 101", "");
    let early = response(&invite, "183 Session Progress", "x1", TEAMS_CONTACT, &sdp);
    shard.teams_says(&early);
    let ok = shard.next_response(183).message;
    Call {
        shard,
        invite,
        ok,
        cseq: 10,
    }
}

#[test]
fn a_key_that_nobody_can_be_told_before_the_answer_is_not_acceptable() {
    let mut call = early();
    call.says("INFO", RELAY, FIVE);
    call.refused(488);
    assert!(call.shard.sent.is_empty());
}

#[test]
fn what_is_allowed_only_in_a_call_may_be_said_again_once_there_is_one() {
    let mut call = early();
    for (method, cseq) in [("INFO", 1), ("MESSAGE", 2)] {
        call.teams_says(method, cseq, "");
        let refused = call.refused(500);
        assert!(refused.has(HeaderName::RetryAfter), "{method}");
    }
    call.says("MESSAGE", TEXT, "hello\n");
    assert!(call.refused(500).has(HeaderName::RetryAfter));
    assert!(call.shard.sent.is_empty());
}

#[test]
fn a_message_outside_a_call_is_refused_with_what_is_allowed_there() {
    let mut shard = Shard::with(crossing(BY_INFO));
    let page = carrier_invite("page", "")
        .replace("INVITE sip", "MESSAGE sip")
        .replace("10 INVITE", "10 MESSAGE");
    shard.carrier_says(&page);
    let refused = shard.next_response(405).message;
    let allow = header(&refused, HeaderName::Allow);
    let methods: Vec<&str> = allow.split(", ").collect();
    assert!(methods.contains(&"INVITE") && methods.contains(&"INFO"));
    assert!(!methods.contains(&"MESSAGE"), "{allow}");
    shard.settles();
}

#[test]
fn a_dialog_is_called_what_its_invite_calls_it() {
    let (mut shard, invite) = called_out("named");
    let own = header(&invite.message, HeaderName::CallId);
    let renamed = |status: &str, sdp: &str| {
        let text = response(&invite.message, status, "x1", TEAMS_CONTACT, sdp);
        text.replace(&format!("Call-ID: {own}\n"), "Call-ID: another\n")
    };
    shard.teams_says(&renamed("180 Ringing", ""));
    shard.next_response(180);
    shard.teams_says(&renamed("200 OK", TEAMS_SDP));
    let ack = shard.next_request(Method::Ack).message;
    assert_eq!(header(&ack, HeaderName::CallId), own);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    shard.carrier_says(&in_dialog(&ok, "BYE", 11, &format!("{VIA}bye")));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye).message;
    assert_eq!(header(&bye, HeaderName::CallId), own);
}

#[test]
fn the_answer_to_a_cancel_has_the_tag_of_the_answers_to_its_invite() {
    let (mut shard, invite) = called_out("tagged");
    let ringing = response(&invite.message, "180 Ringing", "x1", TEAMS_CONTACT, "");
    shard.teams_says(&ringing);
    let to = |message: &Message| header(message, HeaderName::To);
    let ringing = to(&shard.next_response(180).message);
    assert!(ringing.contains(";tag="), "{ringing}");
    shard.carrier_says(&carrier_cancel("tagged"));
    assert_eq!(to(&shard.next_response(200).message), ringing);
    assert_eq!(to(&shard.next_response(487).message), ringing);
}
