//! Listeners, and what our requests say of the one that they leave by (SIP-100, SIP-101), by hand.

use crate::world;

use sbc_core::config::{Assumed, Source, Trunk, load};
use sbc_core::locate::{Server, Service};
use sbc_core::query::{Outcome, Query};
use sbc_core::sip::header::{Transport, Via};
use sbc_core::sip::{Message, Method};
use sbc_core::transport::Protocol;
use std::sync::Arc;
use world::*;

#[test]
fn a_listener_for_datagrams_brings_one_for_connections_with_it() {
    let listeners = |config: &str| -> Vec<String> {
        let facts = Assumed::with_names(["sbc1.contoso.example"]);
        let loaded = load(&[Source::new("test.toml", config)], &facts, None);
        let loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings.to_text()));
        let listeners = loaded.config.listeners.values();
        let of_carrier = listeners.filter(|own| own.realm.as_str() == "carrier");
        of_carrier
            .map(|own| format!("{} {} {}", own.name, own.protocol, own.bind))
            .collect()
    };
    let base = CONFIG;
    let udp = "transport = \"udp\"";
    assert_eq!(
        listeners(base),
        [
            "carrier/tcp/v4:5060 tcp 192.0.2.11:5060",
            "carrier/udp/v4:5060 udp 192.0.2.11:5060"
        ]
    );
    let named = base.replace(udp, "transport = \"udp\"\nname = \"out\"");
    assert_eq!(
        listeners(&named),
        ["out udp 192.0.2.11:5060", "out/tcp tcp 192.0.2.11:5060"]
    );
    let alone = base.replace(udp, "transport = \"udp\"\ntcp = false");
    assert_eq!(
        listeners(&alone),
        ["carrier/udp/v4:5060 udp 192.0.2.11:5060"]
    );
    // Something else may have the port.
    let own = "[[listen]]\nname = \"streams\"\nrealm = \"carrier\"\ntransport = \"tcp\"\nport = 5060\n\n[[tenant]]";
    assert_eq!(
        listeners(&base.replacen("[[tenant]]", own, 1)),
        [
            "carrier/udp/v4:5060 udp 192.0.2.11:5060",
            "streams tcp 192.0.2.11:5060"
        ]
    );
    // Both families of a realm have theirs.
    let both = base.replace("[\"192.0.2.11\"]", "[\"192.0.2.11\", \"2001:db8::11\"]");
    assert_eq!(listeners(&both).len(), 4);
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let wrong = base.replace(
        "tls = \"teams\"\n\n[[listen]]",
        "tls = \"teams\"\ntcp = true\n\n[[listen]]",
    );
    let findings = load(&[Source::new("test.toml", &*wrong)], &facts, None).expect_err("no udp");
    assert!(
        findings.to_text().contains("beside one for udp"),
        "{}",
        findings.to_text()
    );
}

/// The Via of our INVITE to a carrier at this target.
fn via_towards(target: &str) -> Via {
    let targets = "targets = [\"198.51.100.20:5060;udp\", \"198.51.100.21:5060;udp\"]";
    let config = CONFIG.replace(targets, &format!("targets = [\"{target}\"]"));
    let (_, invite) = called_in(&config, "via");
    own_via(&invite.message)
}

fn own_via(message: &Message) -> Via {
    let vias = message.list::<Via>().expect("Via");
    assert_eq!(vias.len(), 1, "only ours");
    vias[0].clone()
}

#[test]
fn our_requests_name_their_transport_and_ask_for_the_port_over_udp_only() {
    for (target, transport) in [
        ("198.51.100.20:5060;udp", Transport::Udp),
        ("198.51.100.20:5060;tcp", Transport::Tcp),
    ] {
        let via = via_towards(target);
        assert_eq!(via.transport, transport);
        assert_eq!(via.host.to_string(), "192.0.2.11");
        assert_eq!(via.port, Some(5060));
        assert_eq!(via.has_rport(), transport == Transport::Udp, "{target}");
        assert_eq!(via.rport(), None);
        assert!(
            via.transaction_branch()
                .is_some_and(|branch| branch.len() >= 7 + 21)
        );
    }
    let (mut shard, invite) = called_out("tls");
    let via = own_via(&invite.message);
    assert_eq!(via.transport, Transport::Tls);
    assert_eq!(via.host.to_string(), "sbc1.contoso.example");
    assert_eq!((via.port, via.has_rport()), (Some(5061), false));
    let first = via.transaction_branch().cloned();
    // The ACK of an answer is a transaction of its own.
    shard.teams_says(&response(
        &invite.message,
        "200 OK",
        "x",
        TEAMS_CONTACT,
        TEAMS_SDP,
    ));
    let ack = own_via(&shard.next_request(Method::Ack).message);
    assert_eq!(
        (ack.transport.clone(), ack.has_rport()),
        (Transport::Tls, false)
    );
    assert!(ack.transaction_branch().is_some());
    assert_ne!(ack.transaction_branch().cloned(), first, "each has its own");
}

/// A call of Teams that the carrier has answered: the carrier calls itself by this Contact.
fn answered(config: &str, contact: &str) -> (Shard, Message) {
    let (mut shard, invite) = called_in(config, "answered");
    let contact = format!("Contact: <{contact}>\n");
    shard.carrier_says(&response(
        &invite.message,
        "200 OK",
        "x1",
        &contact,
        CARRIER_SDP,
    ));
    (shard, invite.message)
}

fn symmetric(is_wanted: bool) -> String {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]";
    let keys = format!("{codecs}\nsymmetric_signalling = {is_wanted}");
    CONFIG.replace(codecs, &keys)
}

#[test]
fn a_peer_behind_a_nat_is_reached_where_it_comes_from() {
    let inside = "sip:gw@10.0.0.5:5070";
    let (mut shard, _) = answered(&symmetric(false), inside);
    let ack = shard.next_request(Method::Ack);
    assert_eq!(
        ack.hop.remote.to_string(),
        "10.0.0.5:5070",
        "its word counts"
    );
    is_reached_where_it_comes_from(&symmetric(true), inside);
}

#[test]
fn a_private_contact_of_a_peer_from_outside_is_not_believed_without_a_word() {
    let inside = "sip:gw@10.0.0.5:5070";
    is_reached_where_it_comes_from(CONFIG, inside);
    // What can be reached is believed: another machine of the peer.
    let (mut shard, _) = answered(CONFIG, "sip:gw@198.51.100.29:5070");
    let ack = shard.next_request(Method::Ack);
    assert_eq!(ack.hop.remote.to_string(), "198.51.100.29:5070");
}

/// The carrier answers with such a Contact, and all that we say in the call goes to where it is heard.
fn is_reached_where_it_comes_from(config: &str, inside: &str) {
    let (mut shard, invite) = answered(config, inside);
    let ack = shard.next_request(Method::Ack);
    assert_eq!(ack.hop.remote.to_string(), CARRIER);
    // It is still called by its own name.
    assert!(text(&ack).starts_with("ACK sip:gw@10.0.0.5:5070 SIP/2.0\r\n"));
    shard.next_response(200);
    // The NAT forgets, and gives it another port.
    let info = call::callee_request(&invite, "x1", "OPTIONS", 2, "")
        .replace("SIP/2.0/TLS 203.0.113.1:5061", "SIP/2.0/UDP 10.0.0.5:5070");
    let flow = sbc_core::transport::Flow {
        remote: "198.51.100.20:61234".parse().expect("address"),
        ..carrier_flow()
    };
    shard.receive(flow, &info);
    shard.next_response(200);
    shard.apply(sbc_core::input::Input::Command(
        sbc_core::id::CommandId(1),
        sbc_core::input::Command::HangUpAll,
    ));
    let byes: Vec<String> = shard
        .sent
        .iter()
        .filter(|sent| *sent.message.method() == Method::Bye)
        .map(|sent| sent.hop.remote.to_string())
        .collect();
    assert!(byes.contains(&"198.51.100.20:61234".to_owned()), "{byes:?}");
}

#[test]
fn a_contact_without_a_port_may_be_a_domain_with_servers_of_its_own() {
    let (mut shard, _) = answered(CONFIG, "sip:gw@pbx.example.com");
    let (query, asked) = shard.queries.pop_front().expect("a question");
    let Query::Locate(spec) = asked else {
        panic!("{asked:?}");
    };
    assert_eq!(spec.domain, "pbx.example.com");
    assert_eq!((spec.port, spec.is_open), (None, true));
    assert_eq!(spec.protocols, [Protocol::Tcp, Protocol::Udp]);
    let server = |priority, last: u8, port| Server {
        priority,
        weight: 1,
        port,
        addresses: vec![[198, 51, 100, last].into()],
    };
    let services = vec![Service {
        protocol: Protocol::Udp,
        servers: vec![server(2, 71, 5072), server(1, 70, 5071)],
    }];
    shard.apply(sbc_core::input::Input::Outcome(
        query,
        Outcome::Located(services),
    ));
    shard.next_response(200);
    let ack = shard.next_request(Method::Ack);
    assert_eq!(ack.hop.remote.to_string(), "198.51.100.70:5071");
    // What a port or a protocol was written with leaves less to ask.
    let (mut shard, _) = answered(CONFIG, "sip:gw@pbx.example.com:5070");
    let (_, asked) = shard.queries.pop_front().expect("a question");
    assert!(matches!(asked, Query::Resolve(spec) if spec.port == 5070));
    let (mut shard, _) = answered(CONFIG, "sip:gw@pbx.example.com;transport=tcp");
    let (_, asked) = shard.queries.pop_front().expect("a question");
    assert!(matches!(asked, Query::Locate(spec) if spec.protocols == [Protocol::Tcp]));
}

/// Two sides with addresses of both families each, and a carrier on either.
fn four_ways(first: &str, second: &str) -> String {
    let trunk = |name: &str, target: &str| {
        format!(
            "[[trunk]]\nname = \"{name}\"\ntenant = \"contoso\"\nrealm = \"{name}\"\n\
             targets = [\"{target}:5060;udp\"]\noptions = false\ncodecs = [\"PCMA\", \"PCMU\"]\n\n"
        )
    };
    let side = |name: &str, addresses: &str, ports: &str| {
        format!(
            "[[realm]]\nname = \"{name}\"\naddresses = [{addresses}]\nports = \"{ports}\"\n\n\
             [[listen]]\nrealm = \"{name}\"\ntransport = \"udp\"\nport = 5060\n\n"
        )
    };
    let sides = [
        side("one", "\"192.0.2.10\", \"2001:db8:1::10\"", "20000-20999"),
        side("two", "\"192.0.2.11\", \"2001:db8:2::11\"", "30000-30999"),
    ];
    format!(
        "[node]\nid = \"sbc1\"\n\n{}[[tenant]]\nname = \"contoso\"\n\
         numbers = [\"+493023125000-+493023125999\"]\n\n{}{}\
         [[route]]\nname = \"all\"\nmatch = {{ from_trunk = \"one\" }}\nto = [{{ trunk = \"two\" }}]\n",
        sides.concat(),
        trunk("one", first),
        trunk("two", second),
    )
}

#[test]
fn every_address_is_that_of_its_side_and_family_whichever_families_meet() {
    let callers = [
        ("198.51.100.20", "192.0.2.10"),
        ("[2001:db8:a::20]", "[2001:db8:1::10]"),
    ];
    let callees = [
        ("198.51.100.40", "192.0.2.11"),
        ("[2001:db8:b::40]", "[2001:db8:2::11]"),
    ];
    for (caller, ours) in callers {
        for (callee, towards) in callees {
            let config = config_of(&four_ways(caller, callee));
            let realm = |name: &str| config.realms[&name.into()].id;
            let mut shard = Shard::with(std::sync::Arc::clone(&config));
            let flow = |remote: &str, local: &str| {
                let local: std::net::SocketAddr = format!("{local}:5060").parse().unwrap();
                let mut listeners = config.listeners.values();
                let is_it = |own: &&std::sync::Arc<sbc_core::config::Listener>| {
                    own.bind == local && own.protocol == Protocol::Udp
                };
                sbc_core::transport::Flow {
                    listener: listeners.find(is_it).expect("a listener").name.clone(),
                    local,
                    remote: format!("{remote}:5060").parse().unwrap(),
                    ..carrier_flow()
                }
            };
            let there = |text: String, peer: &str, own: &str| {
                text.replace("192.0.2.11", own)
                    .replace("198.51.100.20", peer)
            };
            let invite = there(carrier_invite("four", CARRIER_SDP), caller, ours);
            shard.receive(flow(caller, ours), &invite);
            let out = shard.sent.iter().find(|sent| sent.message.is_request());
            let out = out.expect("an INVITE").message.clone();
            let contact = format!("Contact: <sip:gw@{callee}:5060>\n");
            let answer = response(&out, "200 OK", "b1", &contact, CARRIER_SDP);
            shard.receive(flow(callee, towards), &answer);
            let ok = shard.sent.iter().find(|sent| {
                sent.message
                    .status()
                    .is_some_and(|status| status.code() == 200)
            });
            let ok = ok.expect("an answer").message.clone();
            let via = format!("SIP/2.0/UDP {caller}:5060;branch=z9hG4bK");
            let within = |method: &str, number: u32| {
                in_dialog(&ok, method, number, &format!("{via}{method}"))
            };
            shard.receive(flow(caller, ours), &within("ACK", 10));
            shard.receive(flow(caller, ours), &within("BYE", 11));
            let all = [
                "192.0.2.10",
                "[2001:db8:1::10]",
                "192.0.2.11",
                "[2001:db8:2::11]",
            ];
            let (mut to_caller, mut to_callee) = (0, 0);
            for sent in &shard.sent {
                let is_back = sent.hop.remote.to_string() == format!("{caller}:5060");
                let own = match is_back {
                    true => ours,
                    false => towards,
                };
                let count = if is_back {
                    &mut to_caller
                } else {
                    &mut to_callee
                };
                *count += 1;
                let text = text(sent);
                // The relay of these tests has one address; what it is asked for is looked at below.
                let (head, _) = text.split_once("\r\n\r\n").expect("a head");
                for other in all.iter().filter(|other| **other != own) {
                    assert!(!head.contains(other), "{other} towards {own}:\n{head}");
                }
                let is_own_word = sent.message.is_request();
                assert!(
                    !is_own_word || head.contains(&format!("SIP/2.0/UDP {own}:5060;")),
                    "{head}"
                );
            }
            // 100, 200 and 200 to BYE; INVITE, ACK and BYE.
            assert_eq!((to_caller, to_callee), (3, 3));
            let specs = shard.media.iter().find_map(|command| match command {
                media_api::Command::Allocate { endpoints, .. } => Some(endpoints.clone()),
                _ => None,
            });
            let specs = specs.expect("ports are asked for");
            let places: Vec<_> = specs.iter().map(|spec| spec.realm).collect();
            assert_eq!(places, [realm("one"), realm("two")]);
        }
    }
}

#[test]
fn two_trunks_of_a_realm_have_the_port_of_their_own_identity() {
    let own = |name: &str, tls: &str| {
        format!(
            "[[trunk]]\nname = \"{name}\"\npreset = \"teams\"\ntenant = \"contoso\"\n\
             realm = \"teams\"\ntls = \"{tls}\"\nfqdn = \"sbc2.contoso.example\"\n"
        )
    };
    let second = "[[tls]]\nname = \"second\"\ncert = \"/etc/causeway/tls/second.pem\"\n\
                  key = { file = \"/etc/causeway/tls/second.key\" }\n\
                  client_ca = \"/etc/causeway/tls/ca.pem\"\nverify_client = \"require\"\n\
                  [[listen]]\nname = \"second\"\nrealm = \"teams\"\ntransport = \"tls\"\nport = 5067\n\
                  tls = \"second\"\n";
    let listeners = |text: &str| {
        let facts = Assumed::with_names(["sbc1.contoso.example", "sbc2.contoso.example"]);
        let loaded = load(&[Source::new("test.toml", text)], &facts, None);
        let loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings.to_text()));
        let trunks = loaded.config.trunks.values();
        let teams = trunks.filter(|trunk| trunk.realm.as_str() == "teams");
        let of = |trunk: &Arc<Trunk>| {
            let ports = trunk.listeners.iter();
            let ports = ports.map(|name| loaded.config.listeners[name].bind.port());
            (trunk.name.to_string(), ports.collect::<Vec<u16>>())
        };
        teams.map(of).collect::<Vec<_>>()
    };
    let text = format!("{CONFIG}{second}{}", own("teams-2", "second"));
    let wanted = [
        ("teams-2".to_owned(), vec![5067]),
        ("teams-contoso".to_owned(), vec![5061]),
    ];
    assert_eq!(listeners(&text), wanted);
}
