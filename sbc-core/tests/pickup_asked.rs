//! Pickup of a call whose caller has offered a change that the called side is asked about (SIP-523,
//! SIP-806).

use crate::world;

use media_api::{Command, EndpointId, Event, LocalEndpoint, LocalStream};
use sbc_core::input::Input;
use sbc_core::sip::header::RSeq;
use sbc_core::sip::{HeaderName, Message, Method};
use world::call::{VIA, header};
use world::two::Two;
use world::*;

const ALLOW: &str = "Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE\n";
const OF_CALLER: &str = "Contact: <sip:gw@198.51.100.20:5060>\n";
const OF_CALLED: &str = "Contact: <sip:gw@198.51.100.40:5060>\n";

fn only(codec: &str) -> String {
    CARRIER_SDP.replace("RTP/AVP 8 0 101", &format!("RTP/AVP {codec} 101"))
}

/// A call whose first exchange is made; our reliable 183 for the caller.
fn settled() -> (Two, Message) {
    let mut two = Two::new("Supported: 100rel\n");
    let lines = format!("Require: 100rel\nRSeq: 1\n{ALLOW}");
    two.says("183 Session Progress", "b1", &lines, &only("8"));
    two.pracks(1);
    let early = two.shard.next_response(183).message;
    (two, early)
}

/// The caller wants PCMU by UPDATE, and the called side is asked: its UPDATE.
fn asks(two: &mut Two, early: &Message) -> Message {
    two.confirms(early, 11);
    two.caller_says(early, "UPDATE", 12, OF_CALLER, &only("0"));
    two.shard.next_request(Method::Update).message
}

/// Another phone of the called side wants the call.
fn newcomer(two: &mut Two) {
    let from = header(&two.invite, HeaderName::From);
    let tag = from.split(";tag=").nth(1).expect("a tag").to_owned();
    let call_id = header(&two.invite, HeaderName::CallId);
    let replaces = format!("Replaces: {call_id};to-tag={tag};from-tag=b1\nMax-Forwards");
    let invite = carrier_invite("newcomer", &CARRIER_SDP.replace("100.30", "100.47"));
    let invite = invite.replace("198.51.100.20:5060", "198.51.100.40:5060");
    two.hear(&invite.replace("Max-Forwards", &replaces));
}

/// The relay gives the newcomer its port after all.
fn port(two: &mut Two) {
    let mut commands = two.shard.media.iter();
    let session = commands.find_map(|command| match command {
        Command::Allocate { session, .. } => Some(*session),
        _ => None,
    });
    let local = LocalEndpoint {
        endpoint: EndpointId(2),
        streams: vec![LocalStream {
            rtp: "192.0.2.10:41000".parse().expect("address"),
            rtcp: "192.0.2.10:41001".parse().expect("address"),
            keys: Vec::new(),
            fingerprint: None,
        }],
    };
    two.shard.hold_media = false;
    two.shard.apply(Input::Media(Event::Allocated {
        session: session.expect("ports were asked for"),
        endpoints: vec![local],
    }));
}

fn is_of(message: &Message, method: &str, call_id: &str) -> bool {
    header(message, HeaderName::CSeq).ends_with(method)
        && header(message, HeaderName::CallId) == call_id
}

#[test]
fn nobody_picks_a_call_up_whose_called_side_is_asked() {
    let (mut two, early) = settled();
    let update = asks(&mut two, &early);
    newcomer(&mut two);
    two.shard.next_response(500);
    two.hear(&response(&update, "200 OK", "", OF_CALLED, &only("0")));
    let changed = two.shard.next_response(200).message;
    assert!(is_of(&changed, "UPDATE", "two"));
    let ok = two.answered("b1", "");
    two.ack(&ok);
    assert!(two.shard.sent.is_empty() && two.shard.records.is_empty());
}

/// A newcomer that waits for its port in a call that is [`settled`].
fn waiting() -> (Two, Message) {
    let (mut two, early) = settled();
    two.shard.hold_media = true;
    newcomer(&mut two);
    two.shard.next_response(100);
    (two, early)
}

#[test]
fn whoever_picks_a_call_up_ends_what_its_caller_waits_for() {
    let (mut two, early) = waiting();
    asks(&mut two, &early);
    port(&mut two);
    let refused = two.shard.next_response(488).message;
    assert!(is_of(&refused, "UPDATE", "two"));
    let ok = two.shard.next_response(200).message;
    assert!(is_of(&ok, "INVITE", "newcomer"));
    let ok = two.shard.next_response(200).message;
    assert!(is_of(&ok, "INVITE", "two"));
    two.shard.next_request(Method::Cancel);
    two.ack(&ok);
    assert!(two.shard.records.is_empty());
}

#[test]
fn a_prack_whose_offer_came_to_nothing_is_put_right_after_the_pickup() {
    let (mut two, early) = waiting();
    let rseq = early.get::<RSeq>().unwrap().expect("a reliable one").0;
    let rack = format!("RAck: {rseq} 10 INVITE\n");
    two.caller_says(&early, "PRACK", 11, &rack, &only("0"));
    two.shard.next_request(Method::Update);
    port(&mut two);
    let declined = two.shard.next_response(200).message;
    assert!(is_of(&declined, "PRACK", "two"));
    assert!(String::from_utf8_lossy(&declined.body()).contains("m=audio 0 "));
    two.shard.next_response(200);
    let ok = two.shard.next_response(200).message;
    assert!(is_of(&ok, "INVITE", "two"));
    two.shard.next_request(Method::Cancel);
    two.ack(&ok);
    // The caller believes that there is no audio at all.
    let again = two.shard.next_request(Method::Invite).message;
    assert!(is_of(&again, "INVITE", "two"));
    let body = String::from_utf8_lossy(&again.body()).into_owned();
    assert!(
        body.contains("m=audio ") && !body.contains("m=audio 0 "),
        "{body}"
    );
}

#[test]
fn a_called_side_that_has_answered_while_it_is_asked_was_faster() {
    let (mut two, early) = waiting();
    let update = asks(&mut two, &early);
    two.says("200 OK", "b1", "", "");
    two.shard.next_request(Method::Ack);
    port(&mut two);
    let late = two.shard.next_response(486).message;
    assert!(is_of(&late, "INVITE", "newcomer"));
    two.hear(&response(&update, "200 OK", "", OF_CALLED, &only("0")));
    let changed = two.shard.next_response(200).message;
    assert!(is_of(&changed, "UPDATE", "two"));
    let ok = two.shard.next_response(200).message;
    assert!(is_of(&ok, "INVITE", "two"));
    two.ack(&ok);
    let bye = in_dialog(&ok, "BYE", 20, &format!("{VIA}bye"));
    two.shard.carrier_says(&bye);
    two.shard.next_response(200);
    two.shard.next_request(Method::Bye);
}
