//! Peers behind a NAT that come by another connection while a call lasts: requests of ours follow them (SIP-107, SIP-126,
//! SIP-127).

use crate::world;

use sbc_core::id::FlowId;
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::transport::{Flow, FlowFault, Protocol};
use std::time::Duration;
use world::call::{callee_request, header};
use world::*;

/// What the peer calls itself: nobody outside can reach it.
const INSIDE: &str = "Contact: <sip:gw@10.0.0.5:5070;transport=tcp>\n";
const VIA: &str = "SIP/2.0/TCP 10.0.0.5:5070;branch=z9hG4bK";

/// The carrier is reached over TCP.
fn over_tcp() -> String {
    CONFIG.replace(
        "targets = [\"198.51.100.20:5060;udp\", \"198.51.100.21:5060;udp\"]",
        "targets = [\"198.51.100.20:5060;tcp\", \"198.51.100.21:5060;tcp\"]",
    )
}

/// One of the connections that the carrier opens.
fn connection(number: u16) -> Flow {
    let config = config_of(&over_tcp());
    let mut listeners = config.listeners.values();
    let listener = listeners.find(|own| own.protocol == Protocol::Tcp);
    Flow {
        id: FlowId(number.into()),
        protocol: Protocol::Tcp,
        listener: listener.expect("a listener").name.clone(),
        local: "192.0.2.11:5060".parse().expect("address"),
        remote: format!("198.51.100.20:{}", 40_000 + number)
            .parse()
            .expect("address"),
        identity: None,
        tls: None,
    }
}

/// A call of the carrier to Teams on its connection 9: our INVITE, and our 200.
fn calls() -> (Shard, Message, Message) {
    calls_with("")
}

/// The same, with these lines in the INVITE of the carrier.
fn calls_with(lines: &str) -> (Shard, Message, Message) {
    let mut shard = Shard::with(config_of(&over_tcp()));
    let invite = carrier_invite("call", CARRIER_SDP)
        .replace("Max-Forwards", &format!("{lines}Max-Forwards"))
        .replace(
            "SIP/2.0/UDP 198.51.100.20:5060",
            "SIP/2.0/TCP 10.0.0.5:5070",
        )
        .replace(CARRIER_CONTACT, INSIDE);
    shard.receive(connection(9), &invite);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let answer = response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
    shard.teams_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    let ack = in_dialog(&ok, "ACK", 10, &format!("{VIA}ack"));
    shard.receive(connection(9), &ack);
    assert!(shard.sent.is_empty());
    (shard, invite, ok)
}

/// The carrier offers anew on this connection.
fn offers(shard: &mut Shard, ok: &Message, on: u16) {
    let head = in_dialog(ok, "INVITE", 11, &format!("{VIA}11"));
    let head = head.replace("Content-Length: 0\n\n", INSIDE);
    shard.receive(connection(on), &with_body(&head, CARRIER_SDP));
    let trying = shard.next_response(100);
    assert_eq!(trying.hop.flow, Some(FlowId(on.into())));
    shard.next_response(200);
    let ack = in_dialog(ok, "ACK", 11, &format!("{VIA}ack11"));
    shard.receive(connection(on), &ack);
    assert!(shard.sent.is_empty());
}

/// Teams hangs up: our BYE to the carrier.
fn ends(shard: &mut Shard, invite: &Message, cseq: u32) -> Sent {
    shard.teams_says(&callee_request(invite, "x1", "BYE", cseq, ""));
    shard.next_response(200);
    shard.next_request(Method::Bye)
}

fn not_sent(shard: &mut Shard, sent: &Sent) {
    shard.apply(Input::SendFailed {
        transaction: sent.transaction.expect("of a transaction"),
        why: FlowFault::Connect("refused".to_owned()),
    });
}

#[test]
fn a_caller_that_has_connected_anew_is_reached_on_its_new_connection() {
    let (mut shard, invite, ok) = calls();
    shard.apply(Input::FlowLost {
        flow: FlowId(9),
        why: FlowFault::Closed,
    });
    offers(&mut shard, &ok, 10);
    let bye = ends(&mut shard, &invite, 1);
    assert_eq!(bye.hop.flow, Some(FlowId(10)));
    assert_eq!(bye.hop.remote, connection(10).remote);
    assert!(text(&bye).starts_with("BYE sip:gw@10.0.0.5:5070;transport=tcp SIP/2.0\r\n"));
    let answer = response(&bye.message, "200 OK", "", "", "");
    shard.receive(connection(10), &answer);
    shard.settles();
}

#[test]
fn a_caller_whose_connection_is_gone_is_dialled_where_its_trunk_listens() {
    let (mut shard, invite, _) = calls();
    let bye = ends(&mut shard, &invite, 1);
    assert_eq!(bye.hop.flow, Some(FlowId(9)));
    not_sent(&mut shard, &bye);
    let again = shard.next_request(Method::Bye);
    assert_eq!(again.hop.remote.to_string(), CARRIER);
    assert_eq!((again.hop.protocol, again.hop.flow), (Protocol::Tcp, None));
    // The other host of the trunk does not have the call.
    not_sent(&mut shard, &again);
    assert!(shard.sent.is_empty());
}

#[test]
fn a_refresh_whose_connection_is_gone_follows_a_caller_that_was_heard_on_another_since() {
    let asks = "Supported: timer\nSession-Expires: 200;refresher=uas\nAllow: INVITE, UPDATE\n";
    for is_silent in [true, false] {
        let (mut shard, invite, ok) = calls_with(asks);
        shard.pass(Duration::from_secs(100));
        let update = shard.next_request(Method::Update);
        assert_eq!(update.hop.flow, Some(FlowId(9)));
        shard.receive(
            connection(10),
            &in_dialog(&ok, "OPTIONS", 11, &format!("{VIA}11")),
        );
        shard.next_response(200);
        match is_silent {
            true => shard.pass(Duration::from_millis(32_050)),
            false => not_sent(&mut shard, &update),
        }
        let again = shard.next_request(Method::Update);
        assert_eq!(again.hop.flow, Some(FlowId(10)), "{is_silent}");
        let refreshed = "Session-Expires: 200;refresher=uac\nRequire: timer\n";
        let answer = response(&again.message, "200 OK", "", refreshed, "");
        shard.receive(connection(10), &answer);
        assert!(shard.sent.is_empty() && shard.records.is_empty());
        // What is heard where it is reached changes nothing of the way.
        shard.receive(
            connection(10),
            &in_dialog(&ok, "OPTIONS", 12, &format!("{VIA}12")),
        );
        shard.next_response(200);
        let bye = ends(&mut shard, &invite, 1);
        assert_eq!(bye.hop.flow, Some(FlowId(10)));
    }
}

#[test]
fn a_called_party_that_has_connected_is_reached_there_and_dialled_once_that_is_gone() {
    let (mut shard, invite) = called_in(&over_tcp(), "called");
    let dialled = invite.hop.clone();
    let answer = response(&invite.message, "200 OK", "b1", INSIDE, CARRIER_SDP);
    shard.receive(connection(9), &answer);
    let ack = shard.next_request(Method::Ack);
    assert_eq!(ack.hop, dialled);
    let ok = shard.next_response(200).message;
    let via = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bK";
    shard.teams_says(&in_dialog(&ok, "ACK", 1, &format!("{via}ack")));
    let asks = callee_request(&invite.message, "b1", "OPTIONS", 1, "")
        .replace("SIP/2.0/TLS 203.0.113.1:5061", "SIP/2.0/TCP 10.0.0.5:5070");
    shard.receive(connection(10), &asks);
    shard.next_response(200);
    shard.teams_says(&in_dialog(&ok, "BYE", 2, &format!("{via}bye")));
    shard.next_response(200);
    let bye = shard.next_request(Method::Bye);
    assert_eq!(bye.hop.flow, Some(FlowId(10)));
    not_sent(&mut shard, &bye);
    let again = shard.next_request(Method::Bye);
    assert_eq!(again.hop, dialled);
}

#[test]
fn behind_a_restart_a_caller_is_dialled_where_it_listens_until_it_is_heard() {
    let gone = Duration::from_millis(700);
    for is_heard in [false, true] {
        let (mut shard, invite, ok) = calls();
        shard.restart(config_of(&over_tcp()), gone, true);
        if is_heard {
            offers(&mut shard, &ok, 11);
        }
        let bye = ends(&mut shard, &invite, 1);
        let (remote, flow) = match is_heard {
            true => (connection(11).remote.to_string(), Some(FlowId(11))),
            false => (CARRIER.to_owned(), None),
        };
        assert_eq!((bye.hop.remote.to_string(), bye.hop.flow), (remote, flow));
        assert_eq!(
            header(&bye.message, HeaderName::CallId),
            header(&ok, HeaderName::CallId)
        );
    }
}
