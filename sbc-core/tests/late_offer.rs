//! Calls without an offer, by hand: passed on to the called side, whose offer the caller answers
//! (SIP-510, SIP-511), and re-INVITEs without one (SIP-512).

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::two::*;
use world::*;

const PASS: &str = "late_offer = \"pass\"";
const CONVERT: &str = "late_offer = \"convert\"";

fn late() -> Two {
    // What a carrier gets unless its trunk says otherwise.
    let two = Two::with("", "", "", "");
    assert!(two.invite.body().is_empty(), "nobody offers");
    assert!(!two.invite.has(HeaderName::ContentType));
    let supported = header(&two.invite, HeaderName::Supported);
    assert!(supported.contains("100rel"), "{supported}");
    two
}

/// The caller's ACK with this answer.
fn acks(two: &mut Two, ok: &Message, sdp: &str) {
    let bare = in_dialog(ok, "ACK", 10, &format!("{VIA}ack"));
    let head = bare.replace("Content-Length: 0\n\n", "");
    two.shard.carrier_says(&with_body(&head, sdp));
}

#[test]
fn the_called_side_offers_and_the_caller_chooses() {
    let mut two = late();
    two.says("180 Ringing", "b1", "", "");
    assert!(two.shard.next_response(180).message.body().is_empty());
    two.says("200 OK", "b1", "", B_OFFER);
    // Nothing is acknowledged before there is an answer, however often it is said.
    let ok = two.shard.next_response(200).message;
    assert_eq!(formats(&ok), "8 0 101");
    assert!(!body(&ok).contains("198.51.100.50"), "our own address");
    two.says("200 OK", "b1", "", B_OFFER);
    assert!(two.shard.sent.is_empty());
    let pcmu = CARRIER_SDP.replace("AVP 8 0 101", "AVP 0 101");
    acks(&mut two, &ok, &pcmu);
    let ack = two.shard.next_request(Method::Ack).message;
    assert_eq!(formats(&ack), "0 101", "what the caller has chosen");
    assert!(!body(&ack).contains("198.51.100.30"));
    let said = format!("{:?}", two.shard.media);
    assert!(said.contains("198.51.100.30:6000") && said.contains("198.51.100.50:7000"));
    // The ACK is repeated with its answer.
    two.says("200 OK", "b1", "", B_OFFER);
    let again = two.shard.next_request(Method::Ack).message;
    assert_eq!(again.bytes(), ack.bytes());
    two.shard.pass(Duration::from_secs(60));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
    let bye = in_dialog(&ok, "BYE", 11, &format!("{VIA}bye"));
    two.shard.carrier_says(&bye);
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    two.hear(&response(&bye, "200 OK", "", "", ""));
    assert_eq!(two.shard.records[0].cause.code, CauseCode::NormalClearing);
    two.shard.settles();
}

#[test]
fn an_answer_that_is_missing_or_fits_nothing_ends_both_sides() {
    let foreign = CARRIER_SDP.replace("AVP 8 0 101", "AVP 18 101");
    for sdp in ["", foreign.as_str()] {
        let mut two = late();
        two.says("200 OK", "b1", "", B_OFFER);
        let ok = two.shard.next_response(200).message;
        acks(&mut two, &ok, sdp);
        // A valid answer that takes nothing, then the end.
        let ack = two.shard.next_request(Method::Ack).message;
        assert!(body(&ack).contains("m=audio 0 "), "{}", body(&ack));
        for _ in 0..2 {
            let bye = two.shard.next_request(Method::Bye);
            let reason = header(&bye.message, HeaderName::Reason);
            assert!(reason.contains("SIP;cause=488"), "{reason}");
            let ok = response(&bye.message, "200 OK", "", "", "");
            match bye.hop.remote.to_string() == CARRIER {
                true => two.shard.carrier_says(&ok),
                false => two.hear(&ok),
            }
        }
        let record = &two.shard.records[0];
        assert_eq!(record.cause.code, CauseCode::MediaIncompatible);
        two.shard.settles();
    }
}

#[test]
fn a_caller_that_never_acknowledges_leaves_nobody_off_hook() {
    let mut two = late();
    two.says("200 OK", "b1", "", B_OFFER);
    two.shard.pass(Duration::from_secs(33));
    two.shard.sent.retain(|sent| sent.message.is_request());
    let requests: Vec<String> = two
        .shard
        .sent
        .drain(..)
        .map(|sent| format!("{} {}", sent.message.method(), sent.hop.remote))
        .collect();
    assert!(
        requests.contains(&"ACK 198.51.100.40:5060".to_owned()),
        "{requests:?}"
    );
    assert!(
        requests.contains(&"BYE 198.51.100.40:5060".to_owned()),
        "{requests:?}"
    );
}

#[test]
fn an_answer_without_an_offer_is_none() {
    let mut two = late();
    two.says("200 OK", "b1", "", "");
    two.shard.next_request(Method::Ack);
    two.shard.next_response(488);
    let bye = two.shard.next_request(Method::Bye);
    assert_eq!(bye.hop.remote.to_string(), "198.51.100.40:5060");
}

#[test]
fn a_caller_that_gives_up_is_refused_and_a_late_offer_ended() {
    let mut two = late();
    two.says("180 Ringing", "b1", "", "");
    two.shard.next_response(180);
    two.shard.carrier_says(&carrier_cancel("two"));
    two.shard.next_response(200);
    two.shard.next_response(487);
    two.shard.next_request(Method::Cancel);
    // Its answer crosses the CANCEL.
    two.says("200 OK", "b1", "", B_OFFER);
    takes_nothing(&two.shard.next_request(Method::Ack).message);
    two.shard.next_request(Method::Bye);
}

/// It answers [`B_OFFER`], and refuses every line of it (RFC 3264 §6).
fn takes_nothing(ack: &Message) {
    let said = body(ack);
    assert!(said.contains("\r\nm=audio 0 RTP/AVP "), "{said}");
    assert_eq!(said.matches("\r\nm=").count(), 1, "{said}");
    assert!(!said.contains("198.51.100."), "an address of ours: {said}");
    assert_eq!(header(ack, HeaderName::ContentType), "application/sdp");
}

#[test]
fn an_offer_of_a_second_phone_is_refused_in_its_ack_and_the_phone_is_let_go() {
    let mut two = late();
    two.says("200 OK", "b1", "", B_OFFER);
    let ok = two.shard.next_response(200).message;
    // While the first one's answer is awaited, when the call is up, and when it is over.
    second_phone(&mut two, "b2");
    acks(&mut two, &ok, CARRIER_SDP);
    let ack = two.shard.next_request(Method::Ack).message;
    assert!(formats(&ack).starts_with('8'), "{}", body(&ack));
    second_phone(&mut two, "b3");
    two.shard
        .carrier_says(&in_dialog(&ok, "BYE", 11, &format!("{VIA}bye")));
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    two.hear(&response(&bye, "200 OK", "", "", ""));
    second_phone(&mut two, "b4");
    two.shard.settles();
}

#[test]
fn an_answer_of_a_second_phone_to_our_offer_is_not_answered() {
    let mut two = Two::with("", CONVERT, "", "");
    two.answered("b1", CARRIER_SDP);
    two.says("200 OK", "b2", "", CARRIER_SDP);
    let ack = two.shard.next_request(Method::Ack).message;
    assert!(ack.body().is_empty(), "{}", body(&ack));
    two.shard.next_request(Method::Bye);
}

#[test]
fn an_offer_of_who_cannot_be_called_back_is_refused_as_well() {
    let mut two = late();
    let text = response(&two.invite, "200 OK", "b1", "", B_OFFER);
    two.hear(&text);
    takes_nothing(&two.shard.next_request(Method::Ack).message);
    two.shard.next_request(Method::Bye);
}

#[test]
fn a_caller_that_hangs_up_without_an_answer_has_the_offer_refused() {
    let mut two = late();
    two.says("200 OK", "b1", "", B_OFFER);
    let ok = two.shard.next_response(200).message;
    two.shard
        .carrier_says(&in_dialog(&ok, "BYE", 11, &format!("{VIA}bye")));
    two.shard.next_response(200);
    takes_nothing(&two.shard.next_request(Method::Ack).message);
    two.shard.next_request(Method::Bye);
}

/// Another phone offers in its 200; it hears that nothing of that is taken, and BYE.
fn second_phone(two: &mut Two, tag: &str) {
    two.says("200 OK", tag, "", B_OFFER);
    let ack = two.shard.next_request(Method::Ack).message;
    takes_nothing(&ack);
    let bye = two.shard.next_request(Method::Bye).message;
    let ends = format!("tag={tag}");
    assert!(header(&ack, HeaderName::To).ends_with(&ends));
    assert!(header(&bye, HeaderName::To).ends_with(&ends));
    two.hear(&response(&bye, "200 OK", "", "", ""));
}

#[test]
fn teams_never_gets_a_call_without_an_offer() {
    let text = CONFIG.replace(
        "preset = \"teams\"\n",
        &format!("preset = \"teams\"\n{PASS}\n"),
    );
    let facts = sbc_core::config::Assumed::with_names(["sbc1.contoso.example"]);
    let source = sbc_core::config::Source::new("test.toml", &text);
    let findings = sbc_core::config::load(&[source], &facts, None).expect_err("refused");
    assert!(
        findings
            .to_text()
            .contains("Teams refuses calls without an offer")
    );
}

#[test]
fn a_caller_without_offer_reaches_teams_with_one_of_ours() {
    let mut shard = Shard::new();
    shard.carrier_says(&carrier_invite("call", ""));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert!(body(&invite).contains("m=audio"), "{}", body(&invite));
    assert!(body(&invite).contains("a=crypto"));
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    assert_eq!(formats(&ok), "8 0 101");
}

#[test]
fn a_call_of_teams_without_offer_reaches_a_carrier_with_one_of_ours() {
    let mut shard = Shard::new();
    let invite = teams_invite("call");
    let (head, _) = invite.split_once("Content-Type").expect("a body");
    shard.teams_says(&with_body(head, ""));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert!(body(&invite).contains("m=audio"), "{}", body(&invite));
}

#[test]
fn an_offer_of_ours_without_answer_in_the_ack_of_a_new_call_ends_it() {
    let mut two = Two::with("", CONVERT, "", "");
    assert!(!two.invite.body().is_empty(), "ours");
    let ok = two.answered("b1", CARRIER_SDP);
    assert!(!ok.body().is_empty());
    two.ack(&ok);
    for _ in 0..2 {
        let bye = two.shard.next_request(Method::Bye).message;
        let reason = header(&bye, HeaderName::Reason);
        assert!(reason.contains("SIP;cause=488"), "{reason}");
    }
    assert_eq!(two.shard.records.len(), 0, "both have to answer");
}

/// A caller without an offer that has been offered something early, by a trunk that fails then; the
/// INVITE to the next one, which would take a call without an offer.
#[test]
fn a_caller_that_was_offered_something_early_is_no_late_offer_for_the_next_trunk() {
    let config = two_carriers("", CONVERT).replace(
        "to = [{ trunk = \"b\" }]",
        "to = [{ trunk = \"b\" }, { trunk = \"c\" }]",
    );
    let config = format!(
        "{config}
[[trunk]]
name = \"c\"
tenant = \"*\"
realm = \"carrier\"
targets = [\"198.51.100.41:5060;udp\"]
accept_from = [\"198.51.100.41/32\"]
codecs = [\"PCMA\", \"PCMU\"]
{PASS}
"
    );
    let mut shard = Shard::with(config_of(&config));
    let invite = carrier_invite("two", "");
    shard.carrier_says(&invite.replace("Max-Forwards", "Supported: 100rel\nMax-Forwards"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let mut two = Two { shard, invite };
    two.reliably("183 Session Progress", "b1", 1, CARRIER_SDP);
    two.pracks(1);
    let early = two.shard.next_response(183).message;
    assert!(!body(&early).is_empty(), "our offer");
    let rseq = header(&early, HeaderName::RSeq);
    let rack = format!("RAck: {rseq} 10 INVITE\n");
    two.caller_says(&early, "PRACK", 11, &rack, CARRIER_SDP);
    two.shard.next_response(200);
    two.says("503 Service Unavailable", "b1", "", "");
    two.shard.next_request(Method::Ack);
    let next = two.shard.next_request(Method::Invite).message;
    assert!(!body(&next).is_empty(), "the caller has its offer already");
    let contact = "Contact: <sip:gw@198.51.100.41:5060>\n";
    let mut flow = carrier_flow();
    flow.remote = "198.51.100.41:5060".parse().expect("address");
    let answer = response(&next, "200 OK", "c1", contact, CARRIER_SDP);
    two.shard.receive(flow, &answer);
    two.shard.next_request(Method::Ack);
    two.shard.next_response(200);
}

/// Our offer to a re-INVITE of the caller that makes none.
fn asked_for_an_offer(call: &mut Call) -> Message {
    call.says("INVITE", "Contact: <sip:gw@198.51.100.20:5060>\n", "");
    call.shard.next_response(100);
    call.shard.next_response(200).message
}

#[test]
fn a_reinvite_without_offer_gets_all_codecs_in_the_order_of_lines_and_both_ways() {
    let mut call = Call::new();
    let offer = asked_for_an_offer(&mut call);
    // Teams has agreed on both, though one is in use.
    assert_eq!(formats(&offer), "8 0 101");
    let text = body(&offer);
    assert!(text.contains("a=sendrecv"), "{text}");
    assert_eq!(text.matches("m=").count(), 1);
    let version = |message: &Message| {
        let body = body(message);
        let origin = body.lines().nth(1).expect("o=").to_owned();
        let words: Vec<&str> = origin.split(' ').collect();
        (
            words[1].to_owned(),
            words[2].parse::<u64>().expect("a number"),
        )
    };
    let (before, after) = (version(&call.ok), version(&offer));
    assert_eq!(before.0, after.0, "one session");
    assert!(after.1 == before.1 || after.1 == before.1 + 1);
}

#[test]
fn a_line_that_was_refused_keeps_its_place_in_our_offer() {
    let video = "m=video 6002 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let mut shard = Shard::new();
    shard.carrier_says(&carrier_invite("call", &format!("{CARRIER_SDP}{video}")));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
    let mut call = Call {
        shard,
        invite,
        ok,
        cseq: 10,
    };
    let offer = asked_for_an_offer(&mut call);
    let text = body(&offer);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert!(
        lines[0].starts_with("m=audio ") && lines[1].starts_with("m=video 0 "),
        "{lines:?}"
    );
}

#[test]
fn a_reinvite_without_offer_is_offered_less_only_while_somebody_holds() {
    let mut call = Call::new();
    let contact = "CONTACT: <sip:203.0.113.1:443;x-i=1>\nContent-Type: application/sdp\n";
    let held = TEAMS_SDP.replace("sendrecv", "inactive");
    let text = callee_request(&call.invite, "x1", "INVITE", 1, contact);
    let head = text.replace("Content-Length: 0\n\n", "");
    let length = held.replace('\n', "\r\n").len();
    call.shard
        .teams_says(&format!("{head}Content-Length: {length}\n\n{held}"));
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    let ack = callee_request(&call.invite, "x1", "ACK", 1, "");
    assert!(body(&ok).contains("a=inactive"));
    call.shard.teams_says(&ack);
    // The caller is told of the hold, and accepts.
    let told = call.shard.next_request(Method::Invite).message;
    let answer = CARRIER_SDP.replace("sendrecv", "recvonly");
    call.shard
        .carrier_says(&response(&told, "200 OK", "", CARRIER_CONTACT, &answer));
    call.shard.next_request(Method::Ack);
    let offer = asked_for_an_offer(&mut call);
    assert!(!body(&offer).contains("a=sendrecv"), "{}", body(&offer));
}

#[test]
fn a_call_whose_called_side_offered_is_held_and_transferred_like_any_other() {
    let mut two = late();
    two.says("200 OK", "b1", "", B_OFFER);
    let ok = two.shard.next_response(200).message;
    acks(&mut two, &ok, CARRIER_SDP);
    two.shard.next_request(Method::Ack);
    let held = CARRIER_SDP.replace("a=sendrecv", "a=sendonly");
    let bare = in_dialog(&ok, "INVITE", 11, &format!("{VIA}hold"));
    let contact = "Contact: <sip:gw@198.51.100.20:5060>\n";
    let head = bare.replace("Content-Length: 0\n\n", contact);
    two.shard.carrier_says(&with_body(&head, &held));
    two.shard.next_response(100);
    let answer = two.shard.next_response(200).message;
    assert!(body(&answer).contains("a=recvonly"), "{}", body(&answer));
    two.shard
        .carrier_says(&in_dialog(&ok, "ACK", 11, &format!("{VIA}ackhold")));
    let told = two.shard.next_request(Method::Invite).message;
    assert!(body(&told).contains("a=sendonly"), "{}", body(&told));
    let quiet = B_OFFER
        .replace("sendrecv", "recvonly")
        .replace("5 1 IN", "5 2 IN");
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    two.hear(&response(&told, "200 OK", "", contact, &quiet));
    two.shard.next_request(Method::Ack);
    let bare = in_dialog(&ok, "REFER", 12, &format!("{VIA}refer"));
    let lines = "Refer-To: <sip:+493023125999@192.0.2.11>\n";
    let refer = bare.replace("Content-Length", &format!("{lines}Content-Length"));
    two.shard.carrier_says(&refer);
    two.shard.next_response(202);
    two.shard.next_request(Method::Notify);
    let invite = two.shard.next_request(Method::Invite).message;
    assert!(body(&invite).contains("a=sendrecv"), "{}", body(&invite));
}

/// An answer in an ACK may be long: it goes where long requests go (SIP-110), and when nobody takes that,
/// which no transaction says, over UDP.
#[test]
fn an_ack_that_is_too_large_for_a_datagram_goes_over_tcp_first() {
    use sbc_core::event::{Happened, OversizeAction};
    use sbc_core::transport::Protocol;
    for (key, action) in [
        ("", OversizeAction::Tcp),
        ("udp_oversize = \"fragment\"", OversizeAction::Fragment),
    ] {
        let mut two = Two::with("", key, "", "");
        let route = format!(
            "Record-Route: <sip:198.51.100.40:5060;lr;way={}>\n",
            "w".repeat(1_200)
        );
        two.says("200 OK", "b1", &route, B_OFFER);
        let ok = two.shard.next_response(200).message;
        acks(&mut two, &ok, CARRIER_SDP);
        let ack = two.shard.next_request(Method::Ack);
        let over_tcp = action == OversizeAction::Tcp;
        let protocol = |is_tcp| match is_tcp {
            true => Protocol::Tcp,
            false => Protocol::Udp,
        };
        let via = |sent: &Sent| header(&sent.message, HeaderName::Via);
        assert_eq!(ack.hop.protocol, protocol(over_tcp));
        assert_eq!(via(&ack).starts_with("SIP/2.0/TCP "), over_tcp);
        let is_counted = |what: &Happened| matches!(what, Happened::Oversize { action: own, .. } if *own == action);
        assert!(two.shard.happened.iter().any(is_counted));
        two.says("200 OK", "b1", &route, B_OFFER);
        let again = two.shard.next_request(Method::Ack);
        assert_eq!(again.hop.protocol, Protocol::Udp);
        assert!(via(&again).starts_with("SIP/2.0/UDP "));
    }
}
