//! Answers to our INVITE that are not what they should be: without Contact, with another description
//! than before, and challenges whose sender turns out to be busy.

use crate::world;

use sbc_core::event::{DropCode, Happened};
use sbc_core::id::TrunkName;
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::trunk::{TargetId, TargetState};
use std::time::Duration;
use world::call::*;
use world::two::*;
use world::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What was told of later answers: whether they were taken.
fn told(shard: &Shard) -> Vec<bool> {
    let all = shard.happened.iter().filter_map(|what| match what {
        Happened::LaterAnswer { is_taken, .. } => Some(*is_taken),
        _ => None,
    });
    all.collect()
}

#[test]
fn an_answer_without_contact_is_ended_in_the_name_that_was_called() {
    for contact in ["", "Contact: *\n", "Contact: <mailto:a@example.com>\n"] {
        let (mut shard, invite) = called_in(CONFIG, "nameless");
        let ok = response(&invite.message, "200 OK", "n1", contact, CARRIER_SDP);
        shard.carrier_says(&ok);
        let ack = shard.next_request(Method::Ack);
        assert_eq!(ack.hop, invite.hop);
        assert_eq!(header(&ack.message, HeaderName::CSeq), "1 ACK");
        assert!(header(&ack.message, HeaderName::To).ends_with("tag=n1"));
        let bye = shard.next_request(Method::Bye).message;
        assert!(header(&bye, HeaderName::To).ends_with("tag=n1"));
        shard.carrier_says(&response(&bye, "200 OK", "", "", ""));
        // The next server gets its chance, and a repeated answer its ACK.
        let next = shard.next_request(Method::Invite);
        assert_ne!(next.hop, invite.hop);
        shard.carrier_says(&ok);
        shard.next_request(Method::Ack);
        let busy = response(&next.message, "486 Busy Here", "m1", "", "");
        shard.carrier_says(&busy);
        shard.next_request(Method::Ack);
        shard.next_response(486);
        shard.teams_says(&teams_ack("nameless"));
        shard.settles();
    }
}

/// SIP-221: a response is told by the branch that we gave its request, and what else it says need not be ours.
#[test]
fn a_second_phone_that_answers_late_in_another_name_is_let_go_in_ours() {
    let mut two = Two::new("");
    let ok = two.answered("b1", CARRIER_SDP);
    two.ack(&ok);
    let bye = in_dialog(&ok, "BYE", 11, &format!("{VIA}bye"));
    two.shard.carrier_says(&bye);
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    two.hear(&response(&bye, "200 OK", "", "", ""));
    two.shard.pass(Duration::from_secs(6));
    assert_eq!(two.shard.records.len(), 1, "the call is over");
    let ours = |name| header(&two.invite, name);
    let (call_id, from) = (ours(HeaderName::CallId), ours(HeaderName::From));
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    let late = response(&two.invite, "200 OK", "b2", contact, CARRIER_SDP)
        .replace(&call_id, "another@198.51.100.40")
        .replace(&from, "<sip:another@198.51.100.40>;tag=another");
    assert!(late.contains("Call-ID: another@") && late.contains("From: <sip:another@"));
    two.hear(&late);
    for method in [Method::Ack, Method::Bye] {
        let sent = two.shard.next_request(method.clone()).message;
        assert_eq!(header(&sent, HeaderName::CallId), call_id, "{method:?}");
        assert_eq!(header(&sent, HeaderName::From), from, "{method:?}");
        assert!(header(&sent, HeaderName::To).ends_with("tag=b2"));
        if method == Method::Bye {
            two.hear(&response(&sent, "200 OK", "", "", ""));
        }
    }
    two.shard.settles();
}

/// The ACK of Teams for a refusal.
fn teams_ack(call_id: &str) -> String {
    let invite = teams_invite(call_id);
    let head = invite.split("\n\n").next().expect("a head");
    let lines = head.lines().filter(|line| !line.starts_with("Content"));
    let head: String = lines.map(|line| format!("{line}\n")).collect();
    let head = head
        .replace("INVITE sip", "ACK sip")
        .replace("1 INVITE", "1 ACK");
    format!("{head}Content-Length: 0\n\n")
}

#[test]
fn a_later_description_that_differs_is_told_and_counts_only_for_its_place() {
    let moved = CARRIER_SDP.replace("198.51.100.30", "198.51.100.44");
    let other = CARRIER_SDP.replace("AVP 8 0 101", "AVP 0 101");
    let cases = [
        ("", CARRIER_SDP, &[][..], "198.51.100.30"),
        ("", &moved, &[false], "198.51.100.30"),
        ("sdp_relax = true", &moved, &[true], "198.51.100.44"),
        ("sdp_relax = true", &other, &[false], "198.51.100.30"),
    ];
    for (relax, later, expected, place) in cases {
        let mut two = Two::with("", relax, "", CARRIER_SDP);
        two.reliably("183 Session Progress", "b1", 1, CARRIER_SDP);
        two.pracks(1);
        let early = two.shard.next_response(183).message;
        let media = two.shard.media.len();
        let ok = two.answered("b1", later);
        assert_eq!(ok.body(), early.body(), "SIP-312");
        assert_eq!(told(&two.shard), expected, "{relax}");
        let said = format!("{:?}", two.shard.media.split_off(media));
        assert!(said.contains(place), "{relax}: {said}");
        assert!(!said.contains("198.51.100.4") || place == "198.51.100.44");
    }
}

#[test]
fn a_later_provisional_that_says_something_else_is_told_as_well() {
    let mut two = Two::new("");
    two.reliably("183 Session Progress", "b1", 1, CARRIER_SDP);
    two.pracks(1);
    two.shard.next_response(183);
    let other = CARRIER_SDP.replace("AVP 8 0 101", "AVP 0 101");
    two.says("183 Session Progress", "b1", "", &other);
    assert_eq!(told(&two.shard), [false]);
}

#[test]
fn a_refused_offer_within_a_call_says_why() {
    let mut call = Call::new();
    let video = CARRIER_SDP.replace("AVP 8 0 101", "AVP 97").replace(
        "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15",
        "a=rtpmap:97 iLBC/8000",
    );
    let lines = "Contact: <sip:gw@198.51.100.20:5060>\nContent-Type: application/sdp\n";
    call.says("INVITE", lines, &video);
    call.shard.next_response(100);
    let refusal = call.refused(488);
    assert_eq!(
        header(&refusal, HeaderName::Warning),
        "305 192.0.2.11 \"Incompatible media format\""
    );
}

#[test]
fn a_refused_call_says_why_to_a_carrier_too() {
    let mut shard = Shard::new();
    let video = CARRIER_SDP.replace("audio 6000", "video 6000");
    shard.carrier_says(&carrier_invite("video", &video));
    shard.next_response(100);
    let refusal = shard.next_response(488).message;
    let warning = header(&refusal, HeaderName::Warning);
    assert!(warning.contains(" 192.0.2.11 \""), "{warning}");
}

/// A call to a carrier that knows us by name and password and sits behind a name.
fn named() -> String {
    CONFIG
        .replace(
            "codecs = [\"PCMA\", \"PCMU\"]\n",
            "codecs = [\"PCMA\", \"PCMU\"]\ndigest = { username = \"contoso\", password = \
             { credential = \"carrier-a\" }, realms = [\"carrier.example\"] }\n\
             session_timer = { expires = \"200s\", refresher = \"self\" }\n",
        )
        .to_owned()
}

const ASKS: &str = "Proxy-Authenticate: Digest realm=\"carrier.example\", nonce=\"n1\", \
                    qop=\"auth\", algorithm=SHA-256\n";

#[test]
fn what_one_request_went_through_is_not_counted_against_the_next() {
    // The way to a name is not known while the challenge is answered, and then nobody wants it.
    let (mut shard, invite) = called_in(&named(), "proofs");
    let contact = "Contact: <sip:gw@198.51.100.20:5060>\n";
    let ok = response(&invite.message, "200 OK", "p1", contact, CARRIER_SDP);
    shard.carrier_says(&ok);
    shard.next_request(Method::Ack);
    let told = shard.next_response(200).message;
    shard.teams_says(&teams_in_dialog(&told, "ACK", 1));
    shard.pass(Duration::from_secs(100));
    let refresh = shard.next_request(Method::Invite).message;
    // The peer moves behind a name, then challenges.
    let moved = "Contact: <sip:gw@gw.carrier.example>\n";
    let options = callee_request(&invite.message, "p1", "UPDATE", 1, moved);
    shard.carrier_says(&options.replace(
        "SIP/2.0/TLS 203.0.113.1:5061",
        "SIP/2.0/UDP 198.51.100.20:5060",
    ));
    shard.next_response(200);
    let start = "407 Proxy Authentication Required";
    shard.carrier_says(&response(&refresh, start, "", ASKS, ""));
    shard.next_request(Method::Ack);
    assert!(shard.sent.is_empty(), "the name is asked for");
    let (query, _) = shard.queries.pop_front().expect("a question");
    // Teams hangs up before the answer: the refresh is not wanted any more.
    shard.teams_says(&teams_in_dialog(&told, "BYE", 2));
    shard.next_response(200);
    let found = sbc_core::query::Outcome::Resolved(vec![CARRIER.parse().unwrap()]);
    shard.apply(Input::Outcome(query, found));
    // Its BYE may be challenged as often as any other request.
    for round in 0..3 {
        let bye = shard.next_request(Method::Bye).message;
        let asks = ASKS.replace("n1", &format!("m{round}"));
        shard.carrier_says(&response(&bye, start, "", &asks, ""));
    }
    shard.settles();
}

/// A request of Teams in the dialog that it began.
fn teams_in_dialog(ok: &Message, method: &str, cseq: u32) -> String {
    in_dialog(
        ok,
        method,
        cseq,
        &format!("SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK{method}{cseq}"),
    )
}

#[test]
fn whoever_answers_something_later_need_not_answer_an_update() {
    let asks = "Supported: timer\nSession-Expires: 100;refresher=uas\nAllow: INVITE, UPDATE\n";
    let mut shard = Shard::new();
    let invite = carrier_invite("timer", CARRIER_SDP);
    shard.carrier_says(&invite.replace("Max-Forwards", &format!("{asks}Max-Forwards")));
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
    call.shard.pass(Duration::from_secs(50));
    call.shard.next_request(Method::Update);
    call.shard.pass(ms(200));
    // Its own re-INVITE refreshes the session; the UPDATE was lost.
    let lines = "Contact: <sip:gw@198.51.100.20:5060>\nContent-Type: application/sdp\n\
                 Supported: timer\nSession-Expires: 100;refresher=uas\n";
    call.says("INVITE", lines, CARRIER_SDP);
    call.shard.next_response(100);
    call.shard.next_response(200);
    let via = format!("{VIA}ack2");
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &via);
    call.shard.carrier_says(&ack);
    call.shard.pass(Duration::from_secs(33));
    call.shard
        .sent
        .retain(|sent| *sent.message.method() != Method::Update);
    assert!(call.shard.sent.is_empty() && call.shard.records.is_empty());
}

#[test]
fn the_next_address_begins_anew_where_the_challenged_one_is_busy_by_then() {
    let (mut shard, invite) = called_in(&named(), "busy");
    let target = TargetId {
        trunk: TrunkName::new("carrier-a"),
        host: "198.51.100.20".to_owned(),
        protocol: sbc_core::transport::Protocol::Udp,
        remote: Some(CARRIER.parse().unwrap()),
    };
    let state = TargetState::Busy;
    shard.apply(Input::TargetHealth { target, state });
    let start = "407 Proxy Authentication Required";
    let challenge = response(&invite.message, start, "p1", ASKS, "");
    let tries = |shard: &Shard| {
        let is_try = |what: &&Happened| matches!(what, Happened::AttemptStarted { .. });
        shard.happened.iter().filter(is_try).count()
    };
    assert_eq!(tries(&shard), 1);
    shard.carrier_says(&challenge);
    shard.next_request(Method::Ack);
    let next = shard.next_request(Method::Invite);
    assert_ne!(next.hop, invite.hop);
    assert_eq!(tries(&shard), 2, "it is another attempt");
}

#[test]
fn a_response_with_more_values_than_are_read_is_as_if_it_had_not_come() {
    let (mut shard, sent) = called_out("long");
    let invite = &sent.message;
    let routes = |count: usize| {
        let route = "<sip:203.0.113.1;lr>";
        let all = vec![route; count].join(", ");
        format!("Record-Route: {all}\nContact: <sip:203.0.113.1:443>\n")
    };
    let dropped = |shard: &Shard| {
        let is_malformed = |what: &&Happened| {
            let why = DropCode::Malformed;
            matches!(what, Happened::Dropped { why: own, .. } if *own == why)
        };
        shard.happened.iter().filter(is_malformed).count()
    };
    shard.teams_says(&response(invite, "180 Ringing", "x1", &routes(33), ""));
    assert!(shard.sent.is_empty());
    assert_eq!(dropped(&shard), 1);
    let tags: Vec<String> = (0..40).map(|tag| format!("tag{tag}")).collect();
    let supported = format!("Supported: {}\n{TEAMS_CONTACT}", tags.join(","));
    shard.teams_says(&response(invite, "180 Ringing", "x1", &supported, ""));
    assert!(shard.sent.is_empty());
    assert_eq!(dropped(&shard), 2);
    // Many values in several lists are none too many.
    let several = format!("{}Allow: {}\n", routes(32), "INVITE, ".repeat(20) + "BYE");
    shard.teams_says(&response(invite, "180 Ringing", "x1", &several, ""));
    shard.next_response(180);
}
