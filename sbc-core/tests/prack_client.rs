//! Reliable provisional responses (RFC 3262) by hand: of called parties, which we confirm.

use crate::world;

use sbc_core::sip::header::RSeq;
use sbc_core::sip::{HeaderName, Method};
use std::time::Duration;
use world::call::{VIA, header};
use world::two::Two;
use world::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_reliable_provisional_gets_its_prack_along_its_own_route() {
    let mut two = Two::new("");
    assert!(header(&two.invite, HeaderName::Supported).contains("100rel"));
    assert!(header(&two.invite, HeaderName::Allow).contains("PRACK"));
    let lines = "Require: 100rel\nRSeq: 77\nContact: <sip:deep@10.1.1.1:5099>\n\
                 Record-Route: <sip:198.51.100.40;lr>\nRecord-Route: <sip:198.51.100.41;lr>\n";
    two.says("183 Session Progress", "b1", lines, CARRIER_SDP);
    let prack = two.shard.next_request(Method::Prack);
    // The caller cannot confirm anything, so it is not asked to (SIP-523).
    let early = two.shard.next_response(183).message;
    assert!(!early.has(HeaderName::RSeq) && !early.has(HeaderName::Require));
    let text = text(&prack);
    assert!(
        text.starts_with("PRACK sip:deep@10.1.1.1:5099 SIP/2.0\r\n"),
        "{text}"
    );
    let routes: Vec<&str> = text.lines().filter(|l| l.starts_with("Route:")).collect();
    assert_eq!(routes.len(), 2, "{text}");
    assert!(routes[0].contains("198.51.100.41") && routes[1].contains("198.51.100.40"));
    assert!(header(&prack.message, HeaderName::To).contains("tag=b1"));
    assert!(text.contains("RAck: 77 1 INVITE\r\n") && text.contains("CSeq: 2 PRACK\r\n"));
    assert_eq!(prack.hop.remote.to_string(), "198.51.100.41:5060");
}

#[test]
fn numbers_are_taken_in_order_once_and_per_early_dialog() {
    let mut two = Two::new("");
    two.reliably("180 Ringing", "b1", 5, "");
    two.pracks(5);
    two.shard.next_response(180);
    // Repeated: its PRACK is on its way.
    two.reliably("180 Ringing", "b1", 5, "");
    assert!(two.shard.sent.is_empty());
    // Six is missing; until it comes, seven was not heard.
    two.reliably("183 Session Progress", "b1", 7, CARRIER_SDP);
    assert!(two.shard.sent.is_empty());
    two.shard.pass(ms(1_200));
    two.reliably("181 Call Is Being Forwarded", "b1", 6, "");
    two.pracks(6);
    two.shard.next_response(181);
    two.reliably("183 Session Progress", "b1", 7, CARRIER_SDP);
    two.pracks(7);
    two.shard.next_response(183);
    // Another phone counts on its own.
    two.reliably("180 Ringing", "b2", 5, "");
    let prack = two.pracks(5);
    assert!(header(&prack, HeaderName::To).contains("tag=b2"));
    assert!(header(&prack, HeaderName::CSeq).starts_with("2 "));
}

#[test]
fn a_lost_prack_is_repeated_and_one_that_is_never_answered_does_no_harm() {
    let mut two = Two::new("");
    two.reliably("180 Ringing", "b1", 5, "");
    let prack = two.shard.next_request(Method::Prack).message;
    two.shard.next_response(180);
    two.reliably("180 Ringing", "b1", 5, "");
    two.shard.pass(ms(600));
    let again = two.shard.next_request(Method::Prack).message;
    assert_eq!(again.bytes(), prack.bytes());
    two.shard.pass(Duration::from_secs(40));
    two.shard.sent.clear();
    let ok = two.answered("b1", CARRIER_SDP);
    two.ack(&ok);
    two.shard.pass(ms(500));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
}

#[test]
fn what_the_first_reliable_answer_says_is_the_last_word() {
    let moved = CARRIER_SDP.replace("198.51.100.30", "198.51.100.44");
    for (relax, expected) in [("", "198.51.100.30"), ("sdp_relax = true", "198.51.100.44")] {
        let mut two = Two::with("", relax, "", CARRIER_SDP);
        two.reliably("183 Session Progress", "b1", 1, CARRIER_SDP);
        two.pracks(1);
        let early = two.shard.next_response(183).message;
        let media = two.shard.media.len();
        let ok = two.answered("b1", &moved);
        assert_eq!(ok.body(), early.body(), "SIP-312");
        let said = format!("{:?}", two.shard.media.split_off(media));
        assert!(said.contains(expected), "{relax}: {said}");
    }
}

#[test]
fn an_answer_needs_no_description_after_a_reliable_one() {
    let mut two = Two::new("");
    two.reliably("183 Session Progress", "b1", 1, CARRIER_SDP);
    two.pracks(1);
    let early = two.shard.next_response(183).message;
    let ok = two.answered("b1", "");
    assert_eq!(ok.body(), early.body());
}

#[test]
fn both_sides_speak_it_each_on_its_own() {
    let mut two = Two::new("Supported: 100rel\n");
    two.reliably("183 Session Progress", "b1", 90, CARRIER_SDP);
    two.pracks(90);
    let early = two.shard.next_response(183).message;
    let number = early
        .get::<RSeq>()
        .unwrap()
        .expect("as reliable as it came")
        .0;
    let rack = format!("RAck: {number} 10 INVITE\n");
    let prack = in_dialog(&early, "PRACK", 11, &format!("{VIA}p"));
    let prack = prack.replace("Content-Length", &format!("{rack}Content-Length"));
    two.shard.carrier_says(&prack);
    two.shard.next_response(200);
    assert!(two.shard.sent.is_empty(), "a PRACK stays on its leg");
    let ok = two.answered("b1", "");
    assert!(ok.body().is_empty());
    two.ack(&ok);
    two.shard.pass(ms(500));
    assert!(two.shard.sent.is_empty());
}

#[test]
fn a_peer_that_refuses_to_be_required_is_asked_again_without() {
    let mut two = Two::with(
        "",
        "rel100 = \"required\"",
        "Require: 100rel\n",
        CARRIER_SDP,
    );
    assert_eq!(header(&two.invite, HeaderName::Require), "100rel");
    two.says("420 Bad Extension", "b0", "Unsupported: 100rel\n", "");
    two.shard.next_request(Method::Ack);
    two.invite = two.shard.next_request(Method::Invite).message;
    assert!(!two.invite.has(HeaderName::Require));
    assert!(header(&two.invite, HeaderName::CSeq).starts_with("2 "));
    // The caller gets everything reliably all the same.
    two.says("180 Ringing", "b1", "", "");
    assert!(two.shard.next_response(180).message.has(HeaderName::RSeq));
    // A second refusal is the peer's answer, and nothing that the caller could change.
    two.says("420 Bad Extension", "b1", "Unsupported: 100rel\n", "");
    two.shard.next_request(Method::Ack);
    two.shard.next_response(500);
}

#[test]
fn a_prack_that_is_challenged_is_sent_again_with_credentials_and_its_tag() {
    let digest = "digest = { username = \"u\", password = { file = \"/etc/secret\" }, realms = [\"b.example\"] }";
    let mut two = Two::with("", digest, "", CARRIER_SDP);
    two.reliably("180 Ringing", "b1", 5, "");
    let prack = two.shard.next_request(Method::Prack).message;
    two.shard.next_response(180);
    let challenge =
        "WWW-Authenticate: Digest realm=\"b.example\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\n";
    two.hear(&response(&prack, "401 Unauthorized", "", challenge, ""));
    let again = two.shard.next_request(Method::Prack).message;
    assert!(again.has(HeaderName::Authorization));
    assert!(header(&again, HeaderName::To).contains("tag=b1"));
    assert_eq!(header(&again, HeaderName::RAck), "5 1 INVITE");
    assert!(header(&again, HeaderName::CSeq).starts_with("3 "));
}

#[test]
fn a_prack_goes_where_the_provisional_says_that_it_confirms() {
    let mut two = Two::new("");
    two.reliably("180 Ringing", "b1", 5, "");
    two.pracks(5);
    two.shard.next_response(180);
    let lines = "Require: 100rel\nRSeq: 6\nContact: <sip:gw@198.51.100.43:5070>\n";
    two.says("183 Session Progress", "b1", lines, CARRIER_SDP);
    let prack = two.shard.next_request(Method::Prack);
    assert_eq!(prack.hop.remote.to_string(), "198.51.100.43:5070");
    assert!(text(&prack).starts_with("PRACK sip:gw@198.51.100.43:5070 "));
}

#[test]
fn a_name_in_the_contact_is_asked_for_before_the_prack_goes_out() {
    use sbc_core::input::Input;
    use sbc_core::query::Outcome;
    let mut two = Two::new("");
    let lines = "Require: 100rel\nRSeq: 3\nContact: <sip:gw@gw.b.example:5070>\n";
    two.says("180 Ringing", "b1", lines, "");
    two.shard.next_response(180);
    assert!(two.shard.sent.is_empty());
    let (query, _) = two.shard.queries.pop_front().expect("a question to DNS");
    let found = Outcome::Resolved(vec!["198.51.100.40:5070".parse().expect("address")]);
    two.shard.apply(Input::Outcome(query, found));
    let prack = two.shard.next_request(Method::Prack);
    assert_eq!(prack.hop.remote.to_string(), "198.51.100.40:5070");
}
