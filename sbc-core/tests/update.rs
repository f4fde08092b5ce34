//! UPDATE (RFC 3311) by hand: what is answered, what has to wait, and what it changes.

use crate::world;

use sbc_core::sip::{HeaderName, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const CONTACT: &str = "Contact: <sip:moved@198.51.100.22:5070>\n";
const SDP: &str = "Content-Type: application/sdp\n";

#[test]
fn an_update_without_an_offer_is_answered_here_and_moves_the_target() {
    let mut call = Call::new();
    call.says("UPDATE", CONTACT, "");
    let ok = call.shard.next_response(200);
    assert!(ok.message.has(HeaderName::Contact) && ok.message.body().is_empty());
    assert!(
        call.shard.sent.is_empty(),
        "nothing of it reaches the other side (SIP-531)"
    );
    call.teams_says("BYE", 1, "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye);
    assert_eq!(bye.message.request_uri(), "sip:moved@198.51.100.22:5070");
}

#[test]
fn an_offer_in_an_update_is_answered_in_its_200_and_needs_no_ack() {
    let mut call = Call::new();
    let media = call.shard.media.len();
    let moved = CARRIER_SDP.replace("198.51.100.30", "198.51.100.23");
    call.says("UPDATE", &format!("{CONTACT}{SDP}"), &moved);
    let ok = call.shard.next_response(200).message;
    assert!(
        ok.body().starts_with(b"v=0"),
        "SIP-530: the answer is immediate"
    );
    let agreed = format!("{:?}", call.shard.media.split_off(media));
    assert!(
        agreed.contains("198.51.100.23"),
        "the relay sends there now: {agreed}"
    );
    call.shard.pass(std::time::Duration::from_secs(60));
    assert!(call.shard.sent.is_empty(), "nothing waits for an ACK");
    call.lives();
}

#[test]
fn an_offer_that_cannot_be_used_is_refused_and_changes_nothing() {
    let mut call = Call::new();
    call.says("UPDATE", SDP, "v=0\nnonsense\n");
    call.shard.next_response(488);
    call.says("UPDATE", "Content-Type: text/plain\n", "hello");
    call.shard.next_response(415);
    call.lives();
}

#[test]
fn an_offer_while_ours_waits_for_its_answer_gets_491() {
    let mut call = Call::new();
    call.says("INVITE", "Contact: <sip:gw@198.51.100.20:5060>\n", "");
    call.shard.next_response(100);
    call.shard.next_response(200);
    let reinvite = call.cseq;
    call.says("UPDATE", SDP, CARRIER_SDP);
    call.shard.next_response(491);
    call.says("UPDATE", "", "");
    call.shard.next_response(200);
    let head = in_dialog(&call.ok, "ACK", reinvite, &format!("{VIA}ack6"));
    let ack = head.replace("Content-Length: 0\n\n", "");
    call.shard.carrier_says(&with_body(&ack, CARRIER_SDP));
    call.lives();
}

#[test]
fn a_caller_that_is_not_answered_may_move_but_not_offer_again() {
    let (mut shard, invite) = called_out("early");
    let invite = invite.message;
    shard.teams_says(&response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, ""));
    let ringing = shard.next_response(180).message;
    let update = in_dialog(&ringing, "UPDATE", 11, &format!("{VIA}u1"));
    let offer = update.replace("Content-Length: 0\n\n", SDP);
    shard.carrier_says(&with_body(&offer.replace(SDP, ""), CARRIER_SDP));
    let refused = shard.next_response(500).message;
    assert!(
        refused.has(HeaderName::RetryAfter),
        "its first offer is unanswered"
    );
    let update = in_dialog(&ringing, "UPDATE", 12, &format!("{VIA}u2"));
    shard.carrier_says(&update.replace("Content-Length", &format!("{CONTACT}Content-Length")));
    shard.next_response(200);
    let answer = response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    shard.teams_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    shard.teams_says(&callee_request(&invite, "x1", "BYE", 1, ""));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye);
    assert_eq!(bye.message.request_uri(), "sip:moved@198.51.100.22:5070");
}

#[test]
fn a_trunk_may_do_without() {
    let config = CONFIG.replace(
        "codecs = [\"PCMA\", \"PCMU\"]\n",
        "codecs = [\"PCMA\", \"PCMU\"]\nupdate = false\nsession_timer = { refresher = \"self\" }\n",
    );
    let mut shard = Shard::with(config_of(&config));
    let invite = carrier_invite("none", CARRIER_SDP);
    let asks = "Supported: timer\nSession-Expires: 200\nAllow: INVITE, UPDATE\n";
    shard.carrier_says(&invite.replace("Max-Forwards", &format!("{asks}Max-Forwards")));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let ringing = response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, "");
    shard.teams_says(&ringing);
    let ringing = shard.next_response(180).message;
    let update = in_dialog(&ringing, "UPDATE", 11, &format!("{VIA}u1"));
    shard.carrier_says(&update);
    let refusal = shard.next_response(405).message;
    assert!(!header(&refusal, HeaderName::Allow).contains("UPDATE"));
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    assert!(!header(&ok, HeaderName::Allow).contains("UPDATE"));
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    shard.sent.clear();
    shard.pass(Duration::from_secs(100));
    // The peer would take UPDATE, but the operator knows better.
    let refresh = shard.next();
    assert_eq!(refresh.hop.remote.to_string(), CARRIER);
    assert_eq!(*refresh.message.method(), Method::Invite);
}

#[test]
fn teams_is_not_told_that_we_serve_update() {
    let call = Call::new();
    let allow = header(&call.invite, HeaderName::Allow);
    assert!(!allow.contains("UPDATE"), "{allow} (TDR-SIP-001)");
    let mut call = call;
    call.teams_says("UPDATE", 1, "");
    call.shard.next_response(405);
    call.lives();
}
