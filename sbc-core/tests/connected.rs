//! Who the other party is, told within an established call (SIP-1005): by UPDATE, with an offer, or not
//! at all.

use crate::world::call::*;
use crate::world::two::Two;
use crate::world::*;
use sbc_core::sip::header::Supported;
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
    assert_eq!(asserted(&told), "\"Bea\" <sip:+498999998222@192.0.2.11>");
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
    assert_eq!(asserted(&told), "\"Bea\" <sip:+498999998222@192.0.2.11>");
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
    assert_eq!(asserted(&told), "\"Bea\" <sip:+498999998222@192.0.2.11>");
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
    assert_eq!(asserted(&told[0]), "\"Bea\" <sip:+498999998222@192.0.2.11>");
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
            assert_eq!(asserted(&told), "\"Bea\" <sip:+498999998222@192.0.2.11>");
            two.hear(&response(&told, "491 Request Pending", "", "", ""));
            if method == Method::Invite {
                two.shard.next_request(Method::Ack);
            }
            assert!(two.shard.sent.is_empty(), "it needs a moment");
            two.shard.pass(Duration::from_secs(5));
        }
        let told = two.shard.next_request(method.clone()).message;
        two.shard.sent.clear();
        assert_eq!(asserted(&told), "\"Bea\" <sip:+498999998222@192.0.2.11>");
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
        assert_eq!(asserted(&told), "\"Bea\" <sip:+498999998222@192.0.2.11>");
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
    assert_eq!(asserted(offer), "\"Bea\" <sip:+498999998222@192.0.2.11>");
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

/// A trunk whose peer is told by From.
const RENAMES: &str = "trusted = true\nidentity = { from_change = true, egress = \"from\" }";
const BOTH: &str = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE\nSupported: from-change\n";

/// A request of the caller whose From names somebody else.
fn renamed(two: &mut Two, ok: &Message, method: &str, cseq: u32, lines: &str, sdp: &str) {
    let bare = in_dialog(ok, method, cseq, &format!("{VIA}{method}{cseq}"));
    let from = header(ok, HeaderName::From);
    let bea = "Bea <sip:+498999998222@192.0.2.11>;tag=c1";
    let head = bare
        .replace(&from, bea)
        .replace("Content-Length: 0\n\n", lines);
    assert!(head.contains(bea), "{head}");
    two.shard.carrier_says(&with_body(&head, sdp));
}

/// Whether a message says that we understand another From.
fn offers(message: &Message) -> bool {
    let tags = message.list::<Supported>().expect("tags");
    tags.iter().any(|tag| tag.is("from-change"))
}

fn from(message: &Message) -> String {
    let from = header(message, HeaderName::From);
    from.split(";tag=").next().unwrap_or_default().to_owned()
}

#[test]
fn another_from_within_the_dialog_is_told_by_from_where_both_sides_understand_that() {
    let (mut two, ok) = up(RENAMES, RENAMES, BOTH);
    for message in [&two.invite, &ok] {
        assert!(offers(message));
    }
    let before = header(&two.invite, HeaderName::From);
    renamed(&mut two, &ok, "UPDATE", 11, "", "");
    two.shard.next_response(200);
    let told = two.shard.next_request(Method::Update).message;
    assert_eq!(from(&told), "\"Bea\" <sip:+498999998222@192.0.2.11>");
    let tag = |from: &str| from.split(";tag=").nth(1).map(str::to_owned);
    assert_eq!(tag(&header(&told, HeaderName::From)), tag(&before));
    assert!(!told.has(HeaderName::PAssertedIdentity));
    two.hear(&response(&told, "200 OK", "", "", ""));
    // The same again is no news.
    renamed(&mut two, &ok, "UPDATE", 12, "", "");
    two.shard.next_response(200);
    assert!(two.shard.sent.is_empty());
    // What we send to who has another name now is to that name, and it may end the call under it.
    renamed(&mut two, &ok, "BYE", 13, "", "");
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    assert_eq!(from(&bye), from(&told));
}

#[test]
fn the_new_name_of_a_peer_stands_in_to_of_what_we_send_it() {
    let (mut two, ok) = up(RENAMES, RENAMES, BOTH);
    renamed(&mut two, &ok, "UPDATE", 11, "", "");
    two.shard.next_response(200);
    two.shard.next_request(Method::Update);
    two.callee_says("b1", "BYE", 1, "");
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    let to = header(&bye, HeaderName::To);
    assert_eq!(to, "\"Bea\" <sip:+498999998222@192.0.2.11>;tag=c1");
}

#[test]
fn a_peer_without_update_hears_the_new_from_in_an_invite() {
    let lines = "Allow: INVITE, ACK, BYE, CANCEL\nSupported: from-change\n";
    let (mut two, ok) = up(RENAMES, RENAMES, lines);
    renamed(&mut two, &ok, "INVITE", 11, CARRIER_CONTACT, CARRIER_SDP);
    two.shard.next_response(100);
    two.shard.next_response(200);
    let told = two.shard.next_request(Method::Invite).message;
    assert_eq!(from(&told), "\"Bea\" <sip:+498999998222@192.0.2.11>");
}

#[test]
fn who_answers_in_the_place_of_the_called_party_is_told_by_from_after_the_answer() {
    let mut two = Two::with(RENAMES, TRUSTED, BOTH, CARRIER_SDP);
    two.says("200 OK", "b1", &format!("{UPDATES}{BEA}"), CARRIER_SDP);
    two.shard.next_request(Method::Ack);
    let ok = two.shard.next_response(200).message;
    assert!(two.shard.sent.is_empty(), "not before the ACK");
    two.ack(&ok);
    let told = two.shard.next_request(Method::Update).message;
    assert_eq!(from(&told), "\"Bea\" <sip:+498999998222@192.0.2.11>");
    // Whoever was called and answers needs no second name.
    let mut two = Two::with(RENAMES, TRUSTED, BOTH, CARRIER_SDP);
    let called = "P-Asserted-Identity: <sip:+493023125456@peer.example>\n";
    two.says("200 OK", "b1", &format!("{UPDATES}{called}"), CARRIER_SDP);
    two.shard.next_request(Method::Ack);
    let ok = two.shard.next_response(200).message;
    two.ack(&ok);
    assert!(two.shard.sent.is_empty(), "{:?}", two.shard.sent);
}

#[test]
fn a_new_from_is_taken_and_not_told_where_it_is_not_negotiated_or_not_trusted() {
    let strange = "identity = { from_change = true, egress = \"from\" }";
    let plain = "trusted = true\nidentity = { egress = \"from\" }";
    for (of_a, of_b, lines) in [
        // One of the peers does not say that it understands.
        (RENAMES, RENAMES, UPDATES),
        // One of the trunks does not want it.
        (plain, RENAMES, BOTH),
        (RENAMES, plain, BOTH),
        // One of the peers is no party to the trust domain.
        (strange, RENAMES, BOTH),
        (RENAMES, strange, BOTH),
    ] {
        let (mut two, ok) = up(of_a, of_b, lines);
        assert_eq!(offers(&ok), of_a.contains("from_change"), "{of_a}");
        assert_eq!(offers(&two.invite), of_b.contains("from_change"));
        renamed(&mut two, &ok, "UPDATE", 11, "", "");
        two.shard.next_response(200);
        assert!(two.shard.sent.is_empty(), "{of_a} {of_b} {lines}");
        let invite = two.invite.clone();
        renamed(&mut two, &ok, "BYE", 12, "", "");
        two.shard.next_response(200);
        let bye = two.shard.next_request(Method::Bye).message;
        assert_eq!(from(&bye), from(&invite));
    }
}

#[test]
fn who_wants_to_be_hidden_has_no_new_name() {
    for wish in ["id", "user", "header"] {
        let (mut two, ok) = up(RENAMES, RENAMES, BOTH);
        let lines = format!("Privacy: {wish}\n");
        renamed(&mut two, &ok, "UPDATE", 11, &lines, "");
        two.shard.next_response(200);
        assert!(two.shard.sent.is_empty(), "{wish}");
    }
}
