//! Ways to peers: whether that of a registration lives, where a redirected registration goes, and what
//! connections may be used for (SIP-107, SIP-122, SIP-133, SIP-1622 to SIP-1625).

use crate::register::{
    contact_of, grants, next_register, register_within, registering, says, standing, started,
};
use crate::world;

use sbc_core::effect::KeepAlive;
use sbc_core::id::FlowId;
use sbc_core::input::Input;
use sbc_core::locate::{Server, Service};
use sbc_core::query::{Outcome, Query, ResolveFault, Runner};
use sbc_core::sip::{HeaderName, Method};
use sbc_core::transport::stun::{self, Stun, StunId};
use sbc_core::transport::{Flow, Protocol};
use sbc_core::trunk::RegistrationState;
use std::net::SocketAddr;
use std::time::Duration;
use world::call::header;
use world::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Registered over UDP with a registrar that said this beside.
fn over_udp(register: &str, lines: &str) -> Shard {
    let mut shard = started(&registering(register));
    let register = next_register(&mut shard).message;
    grants(&mut shard, &register, 3_000, lines);
    assert_eq!(standing(&shard).state, RegistrationState::Registered);
    shard
}

/// The next question of ours within a time, where it goes, and when it came in milliseconds.
fn asked_within(shard: &mut Shard, limit: Duration) -> Option<(StunId, SocketAddr, u64)> {
    let begin = shard.now.mono;
    loop {
        let took = shard.now.mono.since(begin);
        if let Some(KeepAlive::Datagram { hop, bytes }) = shard.keep_alives.pop_front() {
            assert_eq!(hop.protocol, Protocol::Udp);
            let Some(Stun::Request(id)) = Stun::parse(&bytes) else {
                panic!("{bytes:?}");
            };
            return Some((id, hop.remote, took.as_millis() as u64));
        }
        if took >= limit {
            return None;
        }
        shard.pass(Duration::from_millis(10));
    }
}

fn answers(shard: &mut Shard, id: StunId, seen: &str) {
    shard.apply(Input::Stun {
        flow: carrier_flow(),
        bytes: stun::answer(id, seen.parse().unwrap()),
    });
}

const SEEN: &str = "192.0.2.11:5060";

#[test]
fn a_registration_over_udp_is_kept_alive_at_the_pace_of_the_registrar() {
    for (lines, least, most) in [
        ("Flow-Timer: 100\n", 80_000, 100_000),
        ("Require: outbound\n", 24_000, 29_000),
    ] {
        let mut shard = over_udp("expires = \"1h\", outbound = true", lines);
        let mut ids = Vec::new();
        for _ in 0..3 {
            let (id, to, ms) = asked_within(&mut shard, secs(200)).expect("a question");
            assert_eq!(to.to_string(), CARRIER);
            assert!((least..=most + 20).contains(&ms), "{lines}: {ms} ms");
            answers(&mut shard, id, SEEN);
            ids.push(id);
        }
        ids.dedup();
        assert_eq!(ids.len(), 3, "nobody can answer beforehand");
        assert!(shard.sent.is_empty(), "there is nothing to register anew");
    }
}

#[test]
fn who_does_not_say_that_it_answers_is_not_asked_unless_the_operator_knows_better() {
    let asked = |register: &str, lines: &str| {
        let mut shard = over_udp(register, lines);
        asked_within(&mut shard, secs(200)).is_some()
    };
    assert!(!asked("expires = \"1h\"", ""));
    assert!(asked("expires = \"1h\", keep_alive = true", ""));
    assert!(!asked(
        "expires = \"1h\", keep_alive = false",
        "Flow-Timer: 30\n"
    ));
}

#[test]
fn a_way_over_udp_that_answers_no_more_is_registered_anew() {
    let mut shard = over_udp("expires = \"1h\", keep_alive = true", "");
    let (id, ..) = asked_within(&mut shard, secs(60)).expect("a question");
    // The same question again and again, later and later.
    let mut pauses = Vec::new();
    let begin = shard.now.mono;
    let register = loop {
        if let Some((again, _, ms)) = asked_within(&mut shard, Duration::from_millis(10)) {
            assert_eq!(again, id);
            pauses.push(ms);
        }
        if !shard.sent.is_empty() {
            break shard.next_request(Method::Register).message;
        }
        assert!(shard.now.mono.since(begin) < secs(15));
    };
    let took = shard.now.mono.since(begin).as_millis();
    assert!((11_000..=12_100).contains(&took), "{took} ms");
    assert_eq!(pauses.len(), 4, "after 0.5, 1.5, 3.5 and 7.5 s");
    // An answer that comes now says nothing any more.
    answers(&mut shard, id, SEEN);
    grants(&mut shard, &register, 3_000, "");
    let (next, ..) = asked_within(&mut shard, secs(60)).expect("it goes on");
    assert_ne!(next, id);
}

#[test]
fn a_registrar_that_never_answers_stun_is_asked_less_and_less() {
    // The second one is not asked for longer than an accident would take to come.
    for lines in ["", "Flow-Timer: 100\n"] {
        let mut shard = over_udp("expires = \"1h\", keep_alive = true", lines);
        let mut waits = Vec::new();
        for _ in 0..9 {
            let (register, ms) = register_within(&mut shard, secs(3_000)).expect("a REGISTER");
            waits.push(ms / 1_000);
            grants(&mut shard, &register.message, 3_000, lines);
        }
        assert!(waits[0] < 120, "{waits:?}");
        assert!(waits[8] >= 256, "{waits:?}");
        assert_eq!(standing(&shard).state, RegistrationState::Registered);
    }
}

#[test]
fn another_binding_of_a_nat_is_registered_anew_and_a_forged_answer_moves_nothing() {
    let mut shard = over_udp("expires = \"1h\", keep_alive = true", "");
    let (id, ..) = asked_within(&mut shard, secs(60)).expect("a question");
    answers(&mut shard, id, "203.0.113.7:1024");
    let (id, ..) = asked_within(&mut shard, secs(60)).expect("a question");
    answers(&mut shard, *b"what is this", "203.0.113.7:4096");
    let stranger = Flow {
        remote: "198.51.100.66:5060".parse().unwrap(),
        ..carrier_flow()
    };
    shard.apply(Input::Stun {
        flow: stranger,
        bytes: stun::answer(id, "203.0.113.7:4096".parse().unwrap()),
    });
    answers(&mut shard, id, "203.0.113.7:1024");
    shard.pass(secs(3));
    assert!(shard.sent.is_empty(), "it is where it was");
    let (id, ..) = asked_within(&mut shard, secs(60)).expect("a question");
    answers(&mut shard, id, "203.0.113.7:2048");
    let (_, ms) = register_within(&mut shard, secs(3)).expect("it is somewhere else");
    assert!((1_000..=2_010).contains(&ms), "{ms} ms");
}

#[test]
fn keep_alives_of_a_peer_are_answered_with_where_it_is_seen() {
    let mut shard = Shard::new();
    let ask = |shard: &mut Shard, bytes| {
        shard.apply(Input::Stun {
            flow: carrier_flow(),
            bytes,
        });
        shard.keep_alives.pop_front()
    };
    let id = *b"twelve bytes";
    let answer = ask(&mut shard, stun::request(id));
    let Some(KeepAlive::Datagram { hop, bytes }) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(hop.remote, carrier_flow().remote);
    assert_eq!(
        Stun::parse(&bytes),
        Some(Stun::Answer(id, Some(hop.remote)))
    );
    // An answer that nobody asked for has none.
    assert_eq!(ask(&mut shard, bytes), None);
}

/// The trunk's registrar over TCP.
fn over_tcp(register: &str) -> String {
    registering(register)
        .replace("20:5060;udp\", \"198.51.100.21:5060;udp", "20:5060;tcp")
        .replace(
            "[[tenant]]",
            "[[listen]]\nrealm = \"carrier\"\ntransport = \"tcp\"\nport = 5060\n\n[[tenant]]",
        )
}

#[test]
fn pings_of_a_registrations_connection_follow_the_flow_timer() {
    for (lines, between) in [
        ("Flow-Timer: 50\n", Some((secs(40), secs(50)))),
        ("Require: outbound\n", Some((secs(95), secs(120)))),
        ("", None),
    ] {
        let mut shard = started(&over_tcp("expires = \"10m\", outbound = true"));
        let sent = next_register(&mut shard);
        let flow = Flow {
            id: FlowId(9),
            protocol: Protocol::Tcp,
            listener: sent.hop.listener,
            ..carrier_flow()
        };
        let contact = contact_of(&sent.message);
        let lines = format!("Contact: <{contact}>;expires=600\n{lines}");
        shard.receive(flow, &response(&sent.message, "200 OK", "r1", &lines, ""));
        let wanted = between.map(|between| KeepAlive::Pings {
            flow: FlowId(9),
            between,
            is_answered: true,
        });
        assert_eq!(shard.keep_alives.pop_front(), wanted);
    }
}

/// The question to DNS that waits, and its answer.
fn asks(shard: &mut Shard, domain: &str, outcome: Outcome) {
    let (id, query) = shard.queries.pop_front().expect("a question");
    match query {
        Query::Locate(spec) => assert_eq!(spec.domain, domain),
        Query::Resolve(spec) => assert_eq!(spec.host, domain),
        Query::Race(hops) => panic!("{hops:?}"),
        Query::Verify(spec) => panic!("{spec:?}"),
    }
    shard.apply(Input::Outcome(id, outcome));
}

fn located(addresses: &[(u16, &str)]) -> Outcome {
    let server = |(priority, address): &(u16, &str)| {
        let address: SocketAddr = address.parse().unwrap();
        Server {
            priority: *priority,
            weight: 1,
            port: address.port(),
            addresses: vec![address.ip()],
        }
    };
    Outcome::Located(vec![Service {
        protocol: Protocol::Udp,
        servers: addresses.iter().map(server).collect(),
    }])
}

#[test]
fn a_redirection_to_a_name_of_the_provider_is_followed_wherever_that_is() {
    let mut shard = started(&registering("expires = \"10m\""));
    let first = next_register(&mut shard).message;
    let lines = "Contact: <sip:edge7.telco.example:5070>\n";
    says(&mut shard, &first, "302 Moved", lines);
    let found = Outcome::Resolved(vec!["203.0.113.66:5070".parse().unwrap()]);
    asks(&mut shard, "edge7.telco.example", found);
    let second = next_register(&mut shard);
    assert_eq!(second.hop.remote.to_string(), "203.0.113.66:5070");
    // Whoever holds the registration may call.
    let sources = &standing(&shard).sources;
    assert!(
        sources.contains(&"203.0.113.66".parse().unwrap()),
        "{sources:?}"
    );
}

#[test]
fn a_redirection_to_another_name_is_followed_to_addresses_of_the_peer_only() {
    let mut shard = started(&registering("expires = \"10m\""));
    let first = next_register(&mut shard).message;
    let lines = "Contact: <sip:elsewhere.example>, <sip:eviltelco.example>\n";
    says(&mut shard, &first, "302 Moved", lines);
    let found = located(&[(1, "203.0.113.66:5060"), (2, "198.51.100.25:5062")]);
    asks(&mut shard, "elsewhere.example", found);
    let second = next_register(&mut shard);
    assert_eq!(second.hop.remote.to_string(), "198.51.100.25:5062");
    let sources = &standing(&shard).sources;
    assert!(
        !sources.contains(&"203.0.113.66".parse().unwrap()),
        "{sources:?}"
    );
    says(&mut shard, &second.message, "503 No", "");
    let nothing = Outcome::ResolveFailed(ResolveFault::NotFound);
    asks(&mut shard, "eviltelco.example", nothing);
    // Then the servers of the trunk that are left.
    let third = next_register(&mut shard);
    assert_eq!(third.hop.remote.to_string(), "198.51.100.21:5060");
}

#[test]
fn registrars_are_found_by_their_services_and_all_of_them_may_call() {
    let text = registering("expires = \"10m\"")
        .replace(
            "targets = [\"198.51.100.20:5060;udp\", \"198.51.100.21:5060;udp\"]",
            "targets = [\"telco.example\"]",
        )
        .replace("accept_from = [\"198.51.100.16/28\"]\n", "");
    let mut shard = started(&text);
    shard.pass(secs(2));
    let (id, query) = shard.queries.pop_front().expect("a question");
    let Query::Locate(spec) = query else {
        panic!("{query:?}");
    };
    // Neither port nor protocol is written: NAPTR and SRV say both.
    assert!(spec.is_open && spec.port.is_none(), "{spec:?}");
    let found = located(&[(2, "198.51.100.21:5080"), (1, "198.51.100.20:5070")]);
    shard.apply(Input::Outcome(id, found));
    let first = next_register(&mut shard);
    assert_eq!(first.hop.remote.to_string(), "198.51.100.20:5070");
    says(&mut shard, &first.message, "503 No", "");
    let second = next_register(&mut shard);
    assert_eq!(second.hop.remote.to_string(), "198.51.100.21:5080");
    grants(&mut shard, &second.message, 600, "");
    // A call from the server that does not hold the registration.
    let user = contact_of(&second.message);
    let invite =
        carrier_invite("srv", CARRIER_SDP).replacen("sip:+493023125456@192.0.2.11:5060", &user, 1);
    shard.carrier_says(&invite);
    shard.next_response(100);
    let stranger = Flow {
        remote: "198.51.100.22:5060".parse().unwrap(),
        ..carrier_flow()
    };
    shard.sent.clear();
    shard.receive(stranger, &invite.replace("srv", "other"));
    assert!(shard.sent.is_empty());
}

fn reusing() -> String {
    CONFIG.replace(
        "preset = \"teams\"\n",
        "preset = \"teams\"\noptions = false\nconnection_reuse = true\n",
    )
}

#[test]
fn connections_over_tls_are_offered_for_both_directions_where_the_operator_says_so() {
    let via = |config: &str, says: fn(&mut Shard)| -> String {
        let mut shard = Shard::with(config_of(config));
        says(&mut shard);
        shard.next_response(100);
        header(&shard.next_request(Method::Invite).message, HeaderName::Via)
    };
    let to_teams = |shard: &mut Shard| shard.carrier_says(&carrier_invite("r", CARRIER_SDP));
    assert!(via(&reusing(), to_teams).ends_with(";alias"));
    // Microsoft's examples offer it, and nothing follows from that (TDR-TCP-001).
    assert!(via(CONFIG, to_teams).ends_with(";alias"));
    // Of a plain connection nobody knows who is at its other end.
    let everywhere = CONFIG.replace("codecs = [", "connection_reuse = true\ncodecs = [");
    let to_carrier = |shard: &mut Shard| shard.teams_says(&teams_invite("r"));
    assert!(!via(&everywhere, to_carrier).contains("alias"));
    assert!(!via(CONFIG, to_carrier).contains("alias"));
}

#[test]
fn a_connection_is_an_alias_only_for_a_peer_that_has_proven_who_it_is() {
    let aliases = |config: &str, flow: Flow, via: &str| {
        let mut shard = Shard::with(config_of(config));
        let invite = teams_invite("r").replace("203.0.113.1:5061;branch", via);
        shard.receive(flow, &invite);
        shard.aliases.clone()
    };
    let asks = "203.0.113.9:5066;alias;branch";
    // The address that it comes from counts, not the one that it claims.
    let expected: SocketAddr = "203.0.113.1:5066".parse().unwrap();
    assert_eq!(aliases(&reusing(), teams_flow(), asks), [expected]);
    assert!(aliases(CONFIG, teams_flow(), asks).is_empty());
    assert!(aliases(&reusing(), teams_flow(), "203.0.113.9:5066;branch").is_empty());
    let unverified = Flow {
        identity: None,
        ..teams_flow()
    };
    assert!(aliases(&reusing(), unverified, asks).is_empty());
}

/// A call of the carrier whose trunk lets texts cross, with a listener for connections beside.
fn talking(keys: &str) -> call::Call {
    let crossing = "info = \"relay\"\nmessage = \"relay\"\n";
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]\n";
    let config = CONFIG
        .replace(codecs, &format!("{codecs}{crossing}{keys}"))
        .replace(
            "preset = \"teams\"\n",
            &format!("preset = \"teams\"\n{crossing}"),
        )
        .replacen(
            "[[tenant]]",
            "[[listen]]\nrealm = \"carrier\"\ntransport = \"tcp\"\nport = 5060\n\n[[tenant]]",
            1,
        );
    call::Call::with(&config)
}

/// Teams says so many letters; what the carrier gets.
fn told(call: &mut call::Call, cseq: u32, letters: usize) -> Sent {
    let text = "x".repeat(letters);
    let request = call::callee_request(&call.invite, "x1", "MESSAGE", cseq, "");
    let lines = format!("Content-Type: text/plain\nContent-Length: {letters}\n\n{text}");
    call.shard
        .teams_says(&request.replace("Content-Length: 0\n\n", &lines));
    call.shard.next_request(Method::Message)
}

#[test]
fn a_request_within_a_call_that_is_too_large_for_a_datagram_goes_over_tcp() {
    let mut call = talking("");
    let small = told(&mut call, 2, 10);
    assert_eq!(small.hop.protocol, Protocol::Udp);
    let octets = 1300 - small.message.bytes().len() + 10 - "0".len();
    call.shard
        .carrier_says(&response(&small.message, "200 OK", "", "", ""));
    call.shard.next_response(200);
    // The length has one digit more.
    let fits = told(&mut call, 3, octets);
    assert_eq!(
        (fits.hop.protocol, fits.message.bytes().len()),
        (Protocol::Udp, 1300)
    );
    call.shard
        .carrier_says(&response(&fits.message, "200 OK", "", "", ""));
    call.shard.next_response(200);
    let large = told(&mut call, 4, octets + 1);
    assert_eq!(large.hop.protocol, Protocol::Tcp);
    assert_eq!(large.hop.remote.to_string(), CARRIER);
    assert!(
        text(&large).contains("Via: SIP/2.0/TCP 192.0.2.11:5060;"),
        "{}",
        text(&large)
    );
    // Nobody takes connections there: then it goes as it can, and so do all that come after it.
    call.shard.apply(Input::SendFailed {
        transaction: large.transaction.unwrap(),
        why: sbc_core::transport::FlowFault::Connect("connection refused".to_owned()),
    });
    let again = call.shard.next_request(Method::Message);
    assert_eq!(again.hop.protocol, Protocol::Udp);
    assert_eq!(again.message.body(), large.message.body());
    call.shard
        .carrier_says(&response(&again.message, "200 OK", "", "", ""));
    call.shard.next_response(200);
    let next = told(&mut call, 5, octets + 1);
    assert_eq!(next.hop.protocol, Protocol::Udp);
    call.shard
        .carrier_says(&response(&next.message, "200 OK", "", "", ""));
    call.shard.next_response(200);
    call.lives();
}

fn refused_connection(sent: &Sent) -> Input {
    Input::SendFailed {
        transaction: sent.transaction.expect("a transaction"),
        why: sbc_core::transport::FlowFault::Connect("connection refused".to_owned()),
    }
}

#[test]
fn a_request_that_could_not_be_sent_is_not_tried_in_another_way_once_the_call_ends() {
    let mut call = talking("");
    let large = told(&mut call, 2, 1_000);
    assert_eq!(large.hop.protocol, Protocol::Tcp);
    call.teams_says("BYE", 3, "");
    let sent: Vec<Sent> = call.shard.sent.drain(..).collect();
    let bye = sent
        .iter()
        .find(|sent| *sent.message.method() == Method::Bye);
    let bye = bye.expect("the carrier is told").message.clone();
    call.shard.apply(refused_connection(&large));
    assert!(call.shard.sent.is_empty(), "{}", text(&call.shard.next()));
    call.shard
        .carrier_says(&response(&bye, "200 OK", "", "", ""));
    call.shard.settles();
}

#[test]
fn how_a_transfer_ends_is_told_by_datagram_to_who_has_left_and_takes_no_connection() {
    let config = CONFIG.replacen(
        "[[tenant]]",
        "[[listen]]\nrealm = \"carrier\"\ntransport = \"tcp\"\nport = 5060\n\n[[tenant]]",
        1,
    );
    // A way that makes everything large.
    let far = format!(
        "Record-Route: <sip:198.51.100.20;lr;x={}>\nMax-Forwards",
        "y".repeat(1_300)
    );
    let mut shard = Shard::with(config_of(&config));
    shard.carrier_says(&carrier_invite("far", CARRIER_SDP).replace("Max-Forwards", &far));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    shard.teams_says(&response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    shard.carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{}ack", call::VIA)));
    let refer = in_dialog(&ok, "REFER", 11, &format!("{}refer", call::VIA));
    let lines = "Refer-To: <sip:+493023125999@192.0.2.11>\n\
                 Contact: <sip:gw@198.51.100.20:5060>\nMax-Forwards";
    shard.carrier_says(&refer.replace("Max-Forwards", lines));
    shard.next_response(202);
    let notify = shard.next_request(Method::Notify);
    assert_eq!(notify.hop.protocol, Protocol::Tcp);
    shard.carrier_says(&response(&notify.message, "200 OK", "", "", ""));
    let target = shard.next_request(Method::Invite).message;
    shard.carrier_says(&in_dialog(&ok, "BYE", 12, &format!("{}bye", call::VIA)));
    shard.next_response(200);
    shard.teams_says(&response(&target, "200 OK", "z1", TEAMS_CONTACT, TEAMS_SDP));
    shard.next_request(Method::Ack);
    let last = shard.next_request(Method::Notify);
    assert_eq!(last.hop.protocol, Protocol::Tcp);
    shard.sent.clear();
    shard.apply(refused_connection(&last));
    let again = shard.next_request(Method::Notify);
    assert_eq!(again.hop.protocol, Protocol::Udp);
    assert_eq!(again.message.body(), last.message.body());
}

#[test]
fn a_request_within_a_call_stays_on_udp_where_the_operator_says_so() {
    for keys in [
        "udp_oversize = \"fragment\"\n",
        "symmetric_signalling = true\n",
    ] {
        let mut call = talking(keys);
        assert_eq!(
            told(&mut call, 2, 1000).hop.protocol,
            Protocol::Udp,
            "{keys}"
        );
    }
}

/// A carrier that is reached over TCP by a name with addresses of both families.
fn dual(protocol: &str) -> Shard {
    let mut shard = Shard::with(config_of(&dual_config(protocol)));
    calls_dual(&mut shard, "dual", protocol);
    shard
}

fn dual_config(protocol: &str) -> String {
    CONFIG
        .replace(
            "addresses = [\"192.0.2.11\"]",
            "addresses = [\"192.0.2.11\", \"2001:db8::11\"]",
        )
        .replace(
            "targets = [\"198.51.100.20:5060;udp\", \"198.51.100.21:5060;udp\"]",
            &format!("targets = [\"sip.carrier.example;{protocol}\"]\noptions = false"),
        )
        .replacen(
            "[[tenant]]",
            "[[listen]]\nrealm = \"carrier\"\ntransport = \"tcp\"\nport = 5060\n\n[[tenant]]",
            1,
        )
}

/// A call of Teams there, which has learned of all addresses.
fn calls_dual(shard: &mut Shard, call: &str, protocol: &str) {
    shard.teams_says(&teams_invite(call));
    shard.next_response(100);
    let (id, _) = shard.queries.pop_front().expect("a question");
    let server = |priority: u16, addresses: &[&str]| Server {
        priority,
        weight: 1,
        port: 5060,
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
    };
    let servers = vec![
        server(1, &["198.51.100.20", "198.51.100.21", "2001:db8::20"]),
        server(2, &["198.51.100.22"]),
    ];
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        _ => Protocol::Udp,
    };
    let found = Outcome::Located(vec![Service { protocol, servers }]);
    shard.apply(Input::Outcome(id, found));
}

/// The race that is asked for, and its outcome.
fn won(shard: &mut Shard, runner: Runner) -> [SocketAddr; 2] {
    let (id, query) = shard.queries.pop_front().expect("a question");
    let Query::Race(hops) = query else {
        panic!("{query:?}");
    };
    assert!(shard.sent.is_empty(), "nobody is called before");
    shard.apply(Input::Outcome(id, Outcome::Won(runner)));
    hops.map(|hop| hop.remote)
}

#[test]
fn the_families_of_a_server_race_and_the_call_takes_the_quicker_one() {
    let invite = |shard: &mut Shard| {
        let sent = shard.next_request(Method::Invite);
        (sent.hop.remote.to_string(), sent)
    };
    let mut shard = dual("tcp");
    let raced = won(&mut shard, Runner::First);
    assert_eq!(
        raced.map(|at| at.to_string()),
        ["[2001:db8::20]:5060", "198.51.100.20:5060"]
    );
    let (first, sent) = invite(&mut shard);
    assert_eq!(first, "[2001:db8::20]:5060");
    // All that we say of ourselves is of that family.
    assert!(
        header(&sent.message, HeaderName::Via).contains("[2001:db8::11]"),
        "{}",
        text(&sent)
    );
    assert!(header(&sent.message, HeaderName::Contact).contains("[2001:db8::11]"));

    let mut shard = dual("tcp");
    won(&mut shard, Runner::Second);
    let mut tried = Vec::new();
    for _ in 0..4 {
        let (remote, sent) = invite(&mut shard);
        tried.push(remote);
        shard.apply(Input::SendFailed {
            transaction: sent.transaction.unwrap(),
            why: sbc_core::transport::FlowFault::ConnectTimeout,
        });
        assert!(shard.queries.is_empty(), "one race is enough");
    }
    assert_eq!(
        tried,
        [
            "198.51.100.20:5060",
            "[2001:db8::20]:5060",
            "198.51.100.21:5060",
            "198.51.100.22:5060"
        ]
    );
    shard.sent.clear();
    shard.settles();
}

#[test]
fn datagrams_do_not_race_and_a_call_that_is_over_waits_for_no_winner() {
    let mut shard = dual("udp");
    assert!(shard.queries.is_empty());
    let sent = shard.next_request(Method::Invite);
    assert_eq!(sent.hop.remote.to_string(), "[2001:db8::20]:5060");

    let mut shard = dual("tcp");
    let (id, _) = shard.queries.pop_front().expect("a question");
    let cancel = teams_invite("dual")
        .replace("INVITE sip", "CANCEL sip")
        .replace("1 INVITE", "1 CANCEL");
    let (head, _) = cancel.split_once("Content-Type").expect("a body");
    shard.teams_says(&format!("{head}Content-Length: 0\n\n"));
    shard.next_response(200);
    shard.next_response(487);
    shard.apply(Input::Outcome(id, Outcome::Won(Runner::Second)));
    assert!(shard.sent.iter().all(|sent| !sent.message.is_request()));
    shard.settles();
}

#[test]
fn a_race_does_not_use_up_the_call_that_finds_out_whether_a_peer_is_back() {
    for runner in [Runner::First, Runner::Second] {
        let config =
            dual_config("tcp").replace("options = false", "options = false\nall_down = \"fail\"");
        let mut shard = Shard::with(config_of(&config));
        // Every address fails so often that none is called any more.
        for call in 0..5 {
            calls_dual(&mut shard, &format!("fails{call}"), "tcp");
            won(&mut shard, Runner::First);
            for _ in 0..4 {
                let sent = shard.next_request(Method::Invite);
                shard.apply(Input::SendFailed {
                    transaction: sent.transaction.unwrap(),
                    why: sbc_core::transport::FlowFault::ConnectTimeout,
                });
            }
            shard.sent.clear();
        }
        calls_dual(&mut shard, "down", "tcp");
        assert!(shard.queries.is_empty());
        assert!(shard.sent.iter().all(|sent| sent.message.is_response()));
        // Half a minute later one call finds out, whichever family is the quicker one.
        shard.pass(Duration::from_secs(31));
        shard.sent.clear();
        shard.queries.clear();
        calls_dual(&mut shard, "back", "tcp");
        let raced = won(&mut shard, runner);
        let sent = shard.next_request(Method::Invite);
        let winner = match runner {
            Runner::First => raced[0],
            Runner::Second => raced[1],
        };
        assert_eq!(sent.hop.remote, winner);
    }
}
