//! Responses whose connection is gone and whose request came from where nobody takes another one: to what
//! the Via calls its sender (RFC 3261 §18.2.2, RFC 3263 §5, SIP-103).

use crate::world;

use sbc_core::id::FlowId;
use sbc_core::input::Input;
use sbc_core::locate::{Server, Service};
use sbc_core::query::{Outcome, Query, ResolveFault};
use sbc_core::sip::Method;
use sbc_core::transport::{Flow, FlowFault, Protocol};
use std::time::Duration;
use world::*;

const TCP: &str = "\n[[listen]]\nrealm = \"carrier\"\ntransport = \"tcp\"\nport = 5060\n";

/// A connection of the carrier.
fn connection(shard: &Shard, config: &sbc_core::config::Config) -> Flow {
    let mut listeners = config.listeners.values();
    let listener = listeners.find(|own| own.protocol == Protocol::Tcp);
    assert!(shard.sent.is_empty());
    Flow {
        id: FlowId(9),
        protocol: Protocol::Tcp,
        listener: listener.expect("a listener").name.clone(),
        local: "192.0.2.11:5060".parse().expect("address"),
        remote: "198.51.100.20:40001".parse().expect("address"),
        identity: None,
        tls: None,
    }
}

/// A call over TCP whose Via names its sender so, and whose connection is gone since it rings.
fn call_of(sent_by: &str) -> (Shard, sbc_core::sip::Message) {
    let text = format!("{CONFIG}{TCP}").replace(
        "targets = [\"198.51.100.20:5060;udp\"",
        "targets = [\"198.51.100.20:5060;tcp\"",
    );
    let config = config_of(&text);
    let mut shard = Shard::with(config.clone());
    let flow = connection(&shard, &config);
    let invite = carrier_invite("call", CARRIER_SDP).replace(
        "SIP/2.0/UDP 198.51.100.20:5060",
        &format!("SIP/2.0/TCP {sent_by}"),
    );
    shard.receive(flow.clone(), &invite);
    let trying = shard.next_response(100);
    assert_eq!(trying.hop.flow, Some(FlowId(9)));
    let invite = shard.next_request(Method::Invite).message;
    shard.apply(Input::FlowLost {
        flow: flow.id,
        why: FlowFault::Closed,
    });
    assert!(shard.sent.is_empty() && shard.queries.is_empty());
    (shard, invite)
}

fn refused(shard: &mut Shard, invite: &sbc_core::sip::Message) -> Sent {
    shard.teams_says(&response(invite, "486 Busy Here", "x1", "", ""));
    shard.next_request(Method::Ack);
    shard.next_response(486)
}

fn not_sent(shard: &mut Shard, sent: &Sent) {
    shard.apply(Input::SendFailed {
        transaction: sent.transaction.expect("of a transaction"),
        why: FlowFault::Connect("refused".to_owned()),
    });
}

fn servers(addresses: &[&str], port: u16) -> Outcome {
    let server = |(at, address): (usize, &&str)| Server {
        priority: u16::try_from(at).expect("few"),
        weight: 1,
        port,
        addresses: vec![address.parse().expect("address")],
    };
    Outcome::Located(vec![Service {
        protocol: Protocol::Tcp,
        servers: addresses.iter().enumerate().map(server).collect(),
    }])
}

#[test]
fn a_response_that_finds_no_way_back_goes_to_the_servers_of_the_name_in_its_via() {
    for (sent_by, port) in [
        ("pbx.example.com", None),
        ("pbx.example.com:5070", Some(5070)),
    ] {
        let (mut shard, invite) = call_of(sent_by);
        let busy = refused(&mut shard, &invite);
        // First to where the request came from.
        let first = format!("198.51.100.20:{}", port.unwrap_or(5060));
        assert_eq!(busy.hop.remote.to_string(), first);
        not_sent(&mut shard, &busy);
        let (id, query) = shard.queries.pop_front().expect("a question");
        let Query::Locate(spec) = query else {
            panic!("{query:?}");
        };
        assert_eq!((spec.domain.as_str(), spec.port), ("pbx.example.com", port));
        assert_eq!(spec.protocols, [Protocol::Tcp]);
        assert!(spec.families.v4 && !spec.families.v6);
        let found = servers(&["198.51.100.20", "203.0.113.70", "203.0.113.71"], 5071);
        let first_again = servers(&["203.0.113.70", "203.0.113.71"], 5071);
        let found = if port.is_some() { found } else { first_again };
        shard.apply(Input::Outcome(id, found));
        let mut seen = Vec::new();
        while let Some(sent) = shard.sent.pop_front() {
            assert_eq!(sent.message.status().map(|status| status.code()), Some(486));
            assert_eq!(sent.hop.flow, None);
            seen.push(sent.hop.remote.to_string());
            not_sent(&mut shard, &sent);
        }
        let mut wanted = vec!["203.0.113.70:5071", "203.0.113.71:5071"];
        if port.is_some() {
            wanted.insert(0, "198.51.100.20:5071");
        }
        assert_eq!(seen, wanted, "each once, and then it is lost");
        assert!(shard.queries.is_empty(), "asked once");
        shard.settles();
    }
}

#[test]
fn an_answer_is_repeated_where_its_caller_was_found() {
    let (mut shard, invite) = call_of("pbx.example.com");
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200);
    not_sent(&mut shard, &ok);
    let (id, _) = shard.queries.pop_front().expect("a question");
    shard.apply(Input::Outcome(id, servers(&["203.0.113.70"], 5060)));
    shard.pass(Duration::from_millis(600));
    let again = shard.next_response(200);
    assert_eq!(again.hop.remote.to_string(), "203.0.113.70:5060");
    assert_eq!(again.message.bytes(), ok.message.bytes());
}

#[test]
fn an_address_in_the_via_needs_no_question_and_the_one_that_failed_is_not_tried_again() {
    let (mut shard, invite) = call_of("203.0.113.80:5075");
    let busy = refused(&mut shard, &invite);
    assert_eq!(busy.hop.remote.to_string(), "198.51.100.20:5075");
    not_sent(&mut shard, &busy);
    let again = shard.next_response(486);
    assert_eq!(again.hop.remote.to_string(), "203.0.113.80:5075");
    not_sent(&mut shard, &again);
    assert!(shard.sent.is_empty() && shard.queries.is_empty());
    // Its own address is the one that failed.
    let (mut shard, invite) = call_of("198.51.100.20:5060");
    let busy = refused(&mut shard, &invite);
    not_sent(&mut shard, &busy);
    assert!(shard.sent.is_empty() && shard.queries.is_empty());
    shard.settles();
}

#[test]
fn a_name_that_leads_nowhere_loses_the_response_and_nothing_else() {
    let (mut shard, invite) = call_of("pbx.example.com");
    let busy = refused(&mut shard, &invite);
    not_sent(&mut shard, &busy);
    let (id, _) = shard.queries.pop_front().expect("a question");
    shard.apply(Input::Outcome(
        id,
        Outcome::ResolveFailed(ResolveFault::NotFound),
    ));
    assert!(shard.sent.is_empty());
    shard.settles();
}
