//! Streams that a peer switches off within a call: port 0 (SIP-550, RFC 3264 §8.2).

use crate::world;

use media_api::{Command, Direction, EndpointId, NegotiatedStream, ProtectionWanted};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::*;
use world::*;

const LINES: &str = "Contact: <sip:gw@198.51.100.20:5060>\nContent-Type: application/sdp\n";

fn body(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).into_owned()
}

/// The caller offers again; our 200, which it acknowledges.
fn reoffers(call: &mut Call, sdp: &str) -> Message {
    call.says("INVITE", LINES, sdp);
    call.shard.next_response(100);
    let ok = call.shard.next_response(200).message;
    let via = format!("{VIA}ack{}", call.cseq);
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &via);
    call.shard.carrier_says(&ack);
    ok
}

/// What the relay is told last for an endpoint; nothing of a stream that is closed.
fn stream(call: &Call, of: u8) -> Option<NegotiatedStream> {
    let mut commands = call.shard.media.iter().rev();
    let last = commands.find_map(|command| match command {
        Command::Answer {
            endpoint,
            negotiated,
            ..
        } if *endpoint == EndpointId(of) => Some(negotiated.streams[0].clone()),
        _ => None,
    });
    last.expect("an agreement")
}

fn direction(call: &Call, of: u8) -> Option<Direction> {
    stream(call, of).map(|stream| stream.direction)
}

/// Whether the relay has been told to give an endpoint back.
fn is_released(call: &Call, of: u8) -> bool {
    call.shard.media.iter().any(|command| {
        matches!(command, Command::Release { endpoint, .. } if *endpoint == Some(EndpointId(of)))
    })
}

fn port(message: &Message) -> String {
    let body = body(message);
    let line = body.lines().find_map(|line| line.strip_prefix("m=audio "));
    line.and_then(|line| line.split(' ').next())
        .unwrap()
        .to_owned()
}

/// Teams is told, and answers in the same way.
fn told(call: &mut Call, direction: &str) {
    let told = call.shard.next_request(Method::Invite).message;
    let line = format!("a={direction}");
    assert!(body(&told).contains(&line), "{}", body(&told));
    let answer = TEAMS_SDP.replace("sendrecv", direction);
    call.shard
        .teams_says(&response(&told, "200 OK", "", TEAMS_CONTACT, &answer));
    call.shard.next_request(Method::Ack);
}

#[test]
fn a_stream_that_is_switched_off_is_agreed_to_and_can_be_switched_on_again() {
    let mut call = Call::new();
    let off = CARRIER_SDP.replace("m=audio 6000", "m=audio 0");
    let ok = reoffers(&mut call, &off);
    assert!(body(&ok).contains("m=audio 0 RTP/AVP"), "{}", body(&ok));
    assert_eq!(direction(&call, 0), None, "closed");
    told(&mut call, "inactive");
    assert_eq!(direction(&call, 1), Some(Direction::Inactive));
    // Nobody is missed, and nothing is offered that it did not ask for.
    call.shard.pass(Duration::from_secs(300));
    assert!(call.shard.sent.is_empty() && call.shard.records.is_empty());
    let ok = reoffers(&mut call, CARRIER_SDP);
    assert!(!body(&ok).contains("m=audio 0") && body(&ok).contains("a=sendrecv"));
    // It is another stream, at another endpoint.
    assert_eq!(direction(&call, 2), Some(Direction::SendReceive));
    assert!(is_released(&call, 0));
    assert_ne!(port(&ok), port(&call.ok));
    told(&mut call, "sendrecv");
    assert_eq!(direction(&call, 1), Some(Direction::SendReceive));
    call.lives();
}

#[test]
fn the_other_side_may_hold_and_hang_up_while_a_stream_is_off() {
    let mut call = Call::new();
    let off = CARRIER_SDP.replace("m=audio 6000", "m=audio 0");
    reoffers(&mut call, &off);
    told(&mut call, "inactive");
    let held = TEAMS_SDP.replace("sendrecv", "inactive");
    let lines = format!("{TEAMS_CONTACT}Content-Type: application/sdp\n");
    let bare = callee_request(&call.invite, "x1", "INVITE", 2, &lines);
    let length = held.replace('\n', "\r\n").len();
    let text = bare.replace(
        "Content-Length: 0\n\n",
        &format!("Content-Length: {length}\n\n"),
    );
    call.shard.teams_says(&format!("{text}{held}"));
    call.shard.next_response(100);
    call.shard.next_response(200);
    call.teams_says("ACK", 2, "");
    assert!(call.shard.sent.is_empty(), "the caller wants nothing told");
    call.teams_says("BYE", 3, "");
    call.shard.next_response(200);
    let bye = call.shard.next_request(Method::Bye).message;
    assert_eq!(header(&bye, HeaderName::CallId), "call");
}

/// The caller takes its offer back, which has its 487.
fn cancels(call: &mut Call) {
    let via = format!("{VIA}{}", call.cseq);
    let cancel = in_dialog(&call.ok, "CANCEL", call.cseq, &via);
    call.shard.carrier_says(&cancel);
    call.shard.next_response(200);
    call.shard.next_response(487);
    let ack = in_dialog(&call.ok, "ACK", call.cseq, &via);
    call.shard.carrier_says(&ack);
}

/// A stream that is switched on again and again in one breath (MED-025).
#[test]
fn an_offer_that_is_taken_back_takes_no_port_and_is_not_made_by_us() {
    for is_offered_again in [true, false] {
        let mut call = Call::new();
        let off = CARRIER_SDP.replace("m=audio 6000", "m=audio 0");
        reoffers(&mut call, &off);
        told(&mut call, "inactive");
        call.shard.hold_media = true;
        let before = call.shard.asked().len();
        for _ in 0..5 {
            call.says("INVITE", LINES, CARRIER_SDP);
            call.shard.next_response(100);
            cancels(&mut call);
        }
        if is_offered_again {
            call.says("INVITE", LINES, CARRIER_SDP);
            call.shard.next_response(100);
        }
        let asked = call.shard.asked();
        assert_eq!(asked.len(), before + 1, "one port for all of them");
        call.shard.hold_media = false;
        let port = call.shard.relay(asked.last().expect("it was asked for"));
        call.shard
            .apply(sbc_core::input::Input::Media(port.expect("a port")));
        if is_offered_again {
            call.shard.next_response(200);
        } else {
            call.shard.pass(Duration::from_secs(30));
            assert!(call.shard.sent.is_empty(), "the stream stays off");
            assert!(is_released(&call, 2), "its port is given back");
        }
    }
}

/// The same for the carrier.
fn carrier_told(call: &mut Call, direction: &str) {
    let told = call.shard.next_request(Method::Invite).message;
    let line = format!("a={direction}");
    assert!(body(&told).contains(&line), "{}", body(&told));
    let answer = CARRIER_SDP.replace("a=rtpmap:101", &format!("{line}\na=rtpmap:101"));
    let text = response(&told, "200 OK", "", CARRIER_CONTACT, &answer);
    call.shard.carrier_says(&text);
    call.shard.next_request(Method::Ack);
}

#[test]
fn a_stream_of_teams_that_comes_back_has_new_keys() {
    let mut call = Call::new();
    let offers = |call: &mut Call, cseq: u32, sdp: &str| {
        let bare = callee_request(&call.invite, "x1", "INVITE", cseq, TEAMS_CONTACT);
        let text = with_body(&bare.replace("Content-Length: 0\n\n", ""), sdp);
        call.shard.teams_says(&text);
        call.shard.next_response(100);
        let ok = call.shard.next_response(200).message;
        call.teams_says("ACK", cseq, "");
        ok
    };
    let off = TEAMS_SDP.replace("m=audio 50000", "m=audio 0");
    assert_ne!(off, TEAMS_SDP);
    let ok = offers(&mut call, 1, &off);
    assert!(body(&ok).contains("m=audio 0 "), "{}", body(&ok));
    assert_eq!(direction(&call, 1), None);
    carrier_told(&mut call, "inactive");
    let ok = offers(&mut call, 2, TEAMS_SDP);
    let mut asked = call.shard.media.iter();
    let wanted = asked.find_map(|command| match command {
        Command::Allocate { endpoints, .. } if endpoints[0].endpoint == EndpointId(2) => {
            Some(&endpoints[0].streams[0].protection)
        }
        _ => None,
    });
    assert!(
        matches!(wanted, Some(ProtectionWanted::Sdes(_))),
        "{wanted:?}"
    );
    assert_ne!(port(&ok), port(&call.invite));
    assert!(is_released(&call, 1));
    carrier_told(&mut call, "sendrecv");
    call.lives();
}

#[test]
fn a_call_that_begins_without_a_stream_is_refused() {
    let mut shard = Shard::new();
    let off = CARRIER_SDP.replace("m=audio 6000", "m=audio 0");
    shard.carrier_says(&carrier_invite("off", &off));
    shard.next_response(100);
    shard.next_response(488);
}

#[test]
fn a_bandwidth_of_nothing_is_no_hold() {
    let mut call = Call::new();
    let none = CARRIER_SDP.replace("a=rtpmap:101", "b=AS:0\na=rtpmap:101");
    let ok = reoffers(&mut call, &none);
    assert!(body(&ok).contains("a=sendrecv"));
    assert_eq!(direction(&call, 0), Some(Direction::SendReceive));
    assert!(call.shard.sent.is_empty(), "nobody is told of a hold");
    call.lives();
}
