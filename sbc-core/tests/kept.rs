//! What is kept of a dialog and for how long: the ACK of its answer, where its peer is found, and requests
//! of ours that nobody has answered yet.

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::transport::{FlowFault, Protocol};
use std::time::Duration;
use world::call::*;
use world::two::Two;
use world::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A call from one carrier to another, over UDP, that is up; with these lines in the caller's INVITE.
fn up(lines: &str) -> (Two, Message) {
    let mut two = Two::new(lines);
    let ok = two.answered("b1", CARRIER_SDP);
    two.ack(&ok);
    assert!(two.shard.sent.is_empty());
    (two, ok)
}

/// The caller holds; it has its answer.
fn holds(two: &mut Two, ok: &Message) {
    let held = CARRIER_SDP.replace("sendrecv", "sendonly");
    let lines = "Contact: <sip:gw@198.51.100.20:5060>\n";
    two.caller_says(ok, "INVITE", 11, lines, &held);
    two.shard.next_response(100);
    two.shard.next_response(200);
}

#[test]
fn an_answer_that_is_repeated_gets_its_ack_for_as_long_as_it_may_be() {
    let mut two = Two::new("");
    two.says("200 OK", "b1", "", CARRIER_SDP);
    let ack = two.shard.next_request(Method::Ack).message;
    let ok = two.shard.next_response(200).message;
    two.ack(&ok);
    // 64*T1: the last repetition is due 31.5 s after the first.
    for wait in [
        500, 1_000, 2_000, 4_000, 4_000, 4_000, 4_000, 4_000, 4_000, 4_000, 400,
    ] {
        two.shard.pass(ms(wait));
        two.says("200 OK", "b1", "", CARRIER_SDP);
        let again = two.shard.next_request(Method::Ack).message;
        assert_eq!(again.bytes(), ack.bytes(), "SIP-212");
        assert!(two.shard.sent.is_empty());
    }
}

#[test]
fn an_offer_of_ours_that_is_lost_is_sent_again_until_it_is_answered() {
    let (mut two, ok) = up("");
    holds(&mut two, &ok);
    let offer = two.shard.next_request(Method::Invite).message;
    let ack = in_dialog(&ok, "ACK", 11, &format!("{VIA}ack11"));
    two.shard.carrier_says(&ack);
    for wait in [500, 1_000, 2_000] {
        two.shard.pass(ms(wait));
        let again = two.shard.next_request(Method::Invite).message;
        assert_eq!(again.bytes(), offer.bytes(), "SIP-214");
        assert!(two.shard.sent.is_empty());
    }
    let held = CARRIER_SDP.replace("sendrecv", "recvonly");
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    two.hear(&response(&offer, "200 OK", "", contact, &held));
    let ack = two.shard.next_request(Method::Ack).message;
    // Its answer was not lost, but the ACK was.
    two.shard.pass(ms(500));
    two.hear(&response(&offer, "200 OK", "", contact, &held));
    let again = two.shard.next_request(Method::Ack).message;
    assert_eq!(again.bytes(), ack.bytes());
    two.shard.pass(ms(60_000));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
}

#[test]
fn a_bye_that_is_lost_is_sent_again_until_it_is_answered() {
    let (mut two, ok) = up("");
    let bye = in_dialog(&ok, "BYE", 11, &format!("{VIA}bye"));
    two.shard.carrier_says(&bye);
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye).message;
    for wait in [500, 1_000, 2_000, 4_000, 4_000] {
        two.shard.pass(ms(wait));
        let again = two.shard.next_request(Method::Bye).message;
        assert_eq!(again.bytes(), bye.bytes());
    }
    two.hear(&response(&bye, "200 OK", "", "", ""));
    assert_eq!(two.shard.records.len(), 1);
    two.shard.settles();
}

#[test]
fn new_payload_types_are_told_to_the_relay_which_keeps_the_old_ones_for_their_time() {
    use media_api::{Command, EndpointId};
    let (mut two, ok) = up("");
    let changed = CARRIER_SDP
        .replace("AVP 8 0 101", "AVP 8 0 97")
        .replace(":101 ", ":97 ");
    let lines = "Contact: <sip:gw@198.51.100.20:5060>\n";
    two.caller_says(&ok, "INVITE", 11, lines, &changed);
    two.shard.next_response(100);
    two.shard.next_response(200);
    let mut commands = two.shard.media.iter().rev();
    let last = commands.find_map(|command| match command {
        Command::Answer {
            endpoint: EndpointId(0),
            negotiated,
            ..
        } => negotiated.streams[0].as_ref(),
        _ => None,
    });
    let payloads = &last.expect("an agreement").payloads;
    let events: Vec<_> = payloads
        .iter()
        .filter(|own| own.format.name == "telephone-event")
        .map(|own| (own.receive, own.id))
        .collect();
    // SIP-506: how long the old one is understood, whoever knows the time sees to.
    assert_eq!(events.len(), 1, "{payloads:?}");
    assert_eq!(events[0].0, 97);
}

/// The ports of an audio line and of its RTCP, as we write them.
fn ports(message: &Message) -> Vec<String> {
    let body = String::from_utf8_lossy(&message.body()).into_owned();
    let lines = body.lines().filter(|line| {
        ["m=audio", "a=rtcp:", "c="]
            .iter()
            .any(|name| line.starts_with(name))
    });
    lines
        .map(|line| line.split("RTP").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn our_ports_are_the_same_for_as_long_as_a_leg_lives() {
    let (mut two, ok) = up("");
    let (of_a, of_b) = (ports(&ok), ports(&two.invite));
    assert!(of_a.len() >= 2 && of_b.len() >= 2 && of_a != of_b);
    let lines = "Contact: <sip:gw@198.51.100.20:5060>\n";
    let contact = "Contact: <sip:gw@198.51.100.40:5060>\n";
    // A hold, another codec, another place, and all of it back.
    let changes = [
        ("sendrecv", "sendonly"),
        ("AVP 8 0 101", "AVP 0 101"),
        ("198.51.100.30", "198.51.100.31"),
        ("m=audio 6000", "m=audio 6100"),
        ("", ""),
    ];
    for (at, (from, to)) in (11..).zip(changes) {
        let sdp = match from {
            "" => CARRIER_SDP.to_owned(),
            from => CARRIER_SDP.replace(from, to),
        };
        two.caller_says(&ok, "INVITE", at, lines, &sdp);
        let mut is_answered = false;
        while let Some(told) = two.shard.sent.pop_front() {
            let told = told.message;
            if told.is_request() && *told.method() == Method::Invite {
                assert_eq!(ports(&told), of_b, "{from}");
                let answer = CARRIER_SDP.replace("198.51.100.30", "198.51.100.50");
                two.hear(&response(&told, "200 OK", "", contact, &answer));
            } else if told.status().is_some_and(|status| status.code() == 200) {
                assert_eq!(ports(&told), of_a, "{from}");
                is_answered = true;
                let ack = in_dialog(&ok, "ACK", at, &format!("{VIA}ack{at}"));
                two.shard.carrier_says(&ack);
            }
        }
        assert!(is_answered, "{from}");
    }
    let asked = two.shard.asked();
    assert_eq!(asked.len(), 1, "ports are asked for once: {asked:?}");
}

const REFRESHED: &str =
    "Supported: timer\nSession-Expires: 200;refresher=uas\nAllow: INVITE, UPDATE\n";

#[test]
fn whoever_answers_an_update_from_elsewhere_is_found_there() {
    let (mut two, ok) = up(REFRESHED);
    two.shard.pass(ms(100_000));
    let update = two.shard.next_request(Method::Update).message;
    assert_eq!(update.request_uri(), "sip:gw@198.51.100.20:5060");
    let moved = "Contact: <sip:elsewhere@198.51.100.21:5060>\n";
    two.shard
        .carrier_says(&response(&update, "200 OK", "", moved, ""));
    let request = callee_request(&two.invite, "b1", "BYE", 2, "");
    let bye = request.replace(
        "SIP/2.0/TLS 203.0.113.1:5061",
        "SIP/2.0/UDP 198.51.100.40:5060",
    );
    two.hear(&bye);
    two.shard.next_response(200);
    let bye = two.shard.next_request(Method::Bye);
    assert_eq!(
        bye.message.request_uri(),
        "sip:elsewhere@198.51.100.21:5060",
        "SIP-303"
    );
    assert_eq!(bye.hop.remote.to_string(), "198.51.100.21:5060");
    assert_eq!(
        header(&bye.message, HeaderName::CallId),
        header(&ok, HeaderName::CallId)
    );
}

#[test]
fn a_refresh_whose_connection_is_lost_is_made_again_and_the_call_lives() {
    let (mut two, ok) = up(REFRESHED);
    two.shard.pass(ms(100_000));
    let lost = two.shard.next_request(Method::Update);
    two.shard.apply(Input::SendFailed {
        transaction: lost.transaction.expect("a transaction"),
        why: FlowFault::Closed,
    });
    two.shard.pass(ms(9_900));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
    two.shard.pass(ms(200));
    let again = two.shard.next_request(Method::Update).message;
    let answer = "Session-Expires: 200;refresher=uac\nRequire: timer\n";
    two.shard
        .carrier_says(&response(&again, "200 OK", "", answer, ""));
    // From then on as usual (SIP-708).
    two.shard.pass(ms(99_900));
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
    two.shard.pass(ms(200));
    two.shard.next_request(Method::Update);
    let bye = in_dialog(&ok, "BYE", 11, &format!("{VIA}bye"));
    two.shard.carrier_says(&bye);
    two.shard.next_response(200);
}

#[test]
fn an_answer_of_ours_is_repeated_over_streams_too_until_nobody_can_want_it() {
    let mut shard = Shard::with(config());
    shard.teams_says(&teams_invite("answer"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.carrier_says(&response(
        &invite,
        "200 OK",
        "c1",
        CARRIER_CONTACT,
        CARRIER_SDP,
    ));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200);
    assert_eq!(ok.hop.protocol, Protocol::Tls);
    for wait in [
        500, 1_000, 2_000, 4_000, 4_000, 4_000, 4_000, 4_000, 4_000, 4_000,
    ] {
        shard.pass(ms(wait));
        let again = shard.next_response(200);
        assert_eq!(again.message.bytes(), ok.message.bytes(), "SIP-211");
        assert!(shard.sent.is_empty(), "T1, doubling to T2");
    }
    // 64*T1: it is ended on both sides.
    shard.pass(ms(500));
    let to: Vec<_> = (0..2).map(|_| shard.next_request(Method::Bye)).collect();
    let mut to: Vec<String> = to.iter().map(|bye| bye.hop.remote.to_string()).collect();
    to.sort();
    assert_eq!(to, [CARRIER, TEAMS]);
    shard.pass(ms(40_000));
    assert_eq!(shard.records[0].cause.code, CauseCode::NoAck);
}
