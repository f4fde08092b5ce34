//! Who the other party is, told within an established call (SIP-1005): by UPDATE, with an offer, or not
//! at all.

use crate::world::call::*;
use crate::world::two::Two;
use crate::world::*;
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;

const TRUSTED: &str = "trusted = true\nidentity = { egress = \"pai+from\" }";
const BEA: &str = "P-Asserted-Identity: \"Bea\" <sip:+498999998222@peer.example>\n";
const UPDATES: &str = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE\n";

/// A call between two carriers that is up; our answer to the caller.
fn up(of_a: &str, of_b: &str, allow: &str) -> (Two, Message) {
    let mut two = Two::with(of_a, of_b, allow, CARRIER_SDP);
    two.says("200 OK", "b1", allow, CARRIER_SDP);
    two.shard.next_request(Method::Ack);
    let ok = two.shard.next_response(200).message;
    two.ack(&ok);
    assert!(two.shard.sent.is_empty());
    (two, ok)
}

fn asserted(message: &Message) -> String {
    header(message, HeaderName::PAssertedIdentity)
}

#[test]
fn somebody_else_who_takes_over_at_one_side_is_told_at_the_other_by_update() {
    let (mut two, ok) = up(TRUSTED, TRUSTED, UPDATES);
    two.caller_says(&ok, "UPDATE", 11, BEA, "");
    two.shard.next_response(200);
    let told = two.shard.next_request(Method::Update).message;
    assert_eq!(asserted(&told), "Bea <sip:+498999998222@192.0.2.11>");
    assert!(told.body().is_empty());
    two.hear(&response(&told, "200 OK", "", "", ""));
    // The same again is no news, and who says nothing changes nothing.
    two.caller_says(&ok, "UPDATE", 12, BEA, "");
    two.shard.next_response(200);
    two.caller_says(&ok, "UPDATE", 13, "", "");
    two.shard.next_response(200);
    assert!(two.shard.sent.is_empty());
    // The other direction, with a wish to be hidden from strangers.
    let hidden = format!("{CARRIER_CONTACT}{BEA}Privacy: id\n");
    let request = callee_request(&two.invite, "b1", "UPDATE", 1, &hidden).replace(
        "SIP/2.0/TLS 203.0.113.1:5061",
        "SIP/2.0/UDP 198.51.100.40:5060",
    );
    two.hear(&request);
    two.shard.next_response(200);
    let told = two.shard.next_request(Method::Update).message;
    assert_eq!(asserted(&told), "Bea <sip:+498999998222@192.0.2.11>");
    assert_eq!(header(&told, HeaderName::Privacy), "id");
    two.shard
        .carrier_says(&response(&told, "200 OK", "", "", ""));
    assert!(two.shard.sent.is_empty());
}

#[test]
fn a_peer_without_update_is_told_by_an_invite_that_changes_nothing() {
    let (mut two, ok) = up(TRUSTED, TRUSTED, "Allow: INVITE, ACK, BYE, CANCEL\n");
    two.caller_says(
        &ok,
        "INVITE",
        11,
        &format!("{CARRIER_CONTACT}{BEA}"),
        CARRIER_SDP,
    );
    two.shard.next_response(100);
    let answer = two.shard.next_response(200).message;
    let told = two.shard.next_request(Method::Invite).message;
    assert_eq!(asserted(&told), "Bea <sip:+498999998222@192.0.2.11>");
    assert_eq!(told.body(), two.invite.body());
    assert!(answer.has(HeaderName::Contact));
}

#[test]
fn outside_the_trust_domain_nobody_is_told_and_strangers_tell_nothing() {
    let untrusted = "identity = { egress = \"pai+from\" }";
    let mute = "trusted = true\nidentity = { egress = \"from\" }";
    for (of_a, of_b) in [(untrusted, TRUSTED), (TRUSTED, untrusted), (TRUSTED, mute)] {
        let (mut two, ok) = up(of_a, of_b, UPDATES);
        two.caller_says(&ok, "UPDATE", 11, BEA, "");
        two.shard.next_response(200);
        assert!(two.shard.sent.is_empty(), "{of_a:?} to {of_b:?}");
    }
    // A request that only names our tag is nobody's word.
    let (mut two, ok) = up(TRUSTED, TRUSTED, UPDATES);
    let forged = in_dialog(&ok, "UPDATE", 11, &format!("{VIA}forged"));
    let forged = forged.replace(";tag=c1", ";tag=guessed");
    two.shard
        .carrier_says(&forged.replace("Content-Length", &format!("{BEA}Content-Length")));
    two.shard.next_response(481);
    assert!(two.shard.sent.is_empty());
}

#[test]
fn the_target_of_a_transfer_is_told_to_who_is_transferred() {
    let (mut two, ok) = up(TRUSTED, TRUSTED, UPDATES);
    let refer = "Contact: <sip:gw@198.51.100.20:5060>\nRefer-To: <sip:+493023125999@192.0.2.11>\n";
    two.caller_says(&ok, "REFER", 11, refer, "");
    let answer = two.shard.next().message;
    assert_eq!(answer.status().map(|status| status.code()), Some(202));
    let notify = two.shard.next_request(Method::Notify).message;
    two.shard
        .carrier_says(&response(&notify, "200 OK", "", "", ""));
    let invite = two.shard.next_request(Method::Invite);
    let said = response(
        &invite.message,
        "200 OK",
        "z1",
        &format!("{UPDATES}{BEA}Contact: <sip:gw@{}>\n", invite.hop.remote),
        CARRIER_SDP,
    );
    let mut flow = carrier_flow();
    flow.remote = invite.hop.remote;
    two.shard.receive(flow, &said);
    two.shard.next_request(Method::Ack);
    let told: Vec<Message> = two
        .shard
        .sent
        .drain(..)
        .map(|sent| sent.message)
        .filter(|message| *message.method() == Method::Update)
        .collect();
    assert_eq!(told.len(), 1);
    let id = |message: &Message| header(message, HeaderName::CallId);
    assert_eq!(id(&told[0]), id(&two.invite), "the transferee is told");
    assert_eq!(asserted(&told[0]), "Bea <sip:+498999998222@192.0.2.11>");
}

#[test]
fn news_that_find_the_peer_busy_are_told_when_it_is_not() {
    // By UPDATE, and by a re-INVITE where there is none.
    for (allow, method) in [
        (UPDATES, Method::Update),
        ("Allow: INVITE, ACK, BYE, CANCEL\n", Method::Invite),
    ] {
        let (mut two, ok) = up(TRUSTED, TRUSTED, allow);
        two.caller_says(&ok, "UPDATE", 11, BEA, "");
        two.shard.next_response(200);
        for _ in 0..2 {
            let told = two.shard.next_request(method.clone()).message;
            two.shard.sent.clear();
            assert_eq!(asserted(&told), "Bea <sip:+498999998222@192.0.2.11>");
            two.hear(&response(&told, "491 Request Pending", "", "", ""));
            if method == Method::Invite {
                two.shard.next_request(Method::Ack);
            }
            assert!(two.shard.sent.is_empty(), "it needs a moment");
            two.shard.pass(Duration::from_secs(5));
        }
        let told = two.shard.next_request(method.clone()).message;
        two.shard.sent.clear();
        assert_eq!(asserted(&told), "Bea <sip:+498999998222@192.0.2.11>");
        let sdp = match method {
            Method::Invite => CARRIER_SDP,
            _ => "",
        };
        two.hear(&response(&told, "200 OK", "", CARRIER_CONTACT, sdp));
        if method == Method::Invite {
            two.shard.next_request(Method::Ack);
        }
        two.shard.pass(Duration::from_secs(60));
        assert!(two.shard.sent.is_empty(), "it is told once");
    }
}

#[test]
fn news_go_by_invite_where_update_is_listed_and_not_taken() {
    for status in ["405 Method Not Allowed", "501 Not Implemented"] {
        let (mut two, ok) = up(TRUSTED, TRUSTED, UPDATES);
        two.caller_says(&ok, "UPDATE", 11, BEA, "");
        two.shard.next_response(200);
        let told = two.shard.next_request(Method::Update).message;
        two.hear(&response(&told, status, "", "", ""));
        let told = two.shard.next_request(Method::Invite).message;
        assert_eq!(asserted(&told), "Bea <sip:+498999998222@192.0.2.11>");
    }
}

#[test]
fn news_that_are_not_wanted_are_not_told_again_by_themselves() {
    let (mut two, ok) = up(TRUSTED, TRUSTED, UPDATES);
    two.caller_says(&ok, "UPDATE", 11, BEA, "");
    two.shard.next_response(200);
    let told = two.shard.next_request(Method::Update).message;
    two.hear(&response(&told, "488 Not Acceptable Here", "", "", ""));
    two.shard.pass(Duration::from_secs(30));
    assert!(two.shard.sent.is_empty());
    // With what is said anyway they go along.
    let hold = CARRIER_SDP
        .replace("sendrecv", "sendonly")
        .replace("1 1 IN", "1 2 IN");
    two.caller_says(&ok, "INVITE", 12, CARRIER_CONTACT, &hold);
    two.shard.next_response(100);
    let sent: Vec<Message> = two.shard.sent.drain(..).map(|sent| sent.message).collect();
    let offer = sent
        .iter()
        .find(|message| message.is_request() && *message.method() == Method::Invite);
    let offer = offer.expect("the other side is told to hold");
    assert_eq!(asserted(offer), "Bea <sip:+498999998222@192.0.2.11>");
}

#[test]
fn what_a_refused_request_says_is_not_believed() {
    let (mut two, ok) = up(TRUSTED, TRUSTED, UPDATES);
    let lines = format!("{BEA}Supported: timer\nSession-Expires: 30\n");
    two.caller_says(&ok, "UPDATE", 11, &lines, "");
    two.shard.next_response(422);
    let stream = "m=audio 6000 RTP/AVP 8 0 101";
    let useless = CARRIER_SDP.replace(stream, "m=audio 6000 RTP/AVP 118");
    let useless = useless.replace(
        "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n",
        "a=rtpmap:118 x-none/8000\n",
    );
    two.caller_says(
        &ok,
        "INVITE",
        12,
        &format!("{CARRIER_CONTACT}{BEA}"),
        &useless,
    );
    two.shard.next_response(100);
    two.shard.next_response(488);
    assert!(two.shard.sent.is_empty());
}
