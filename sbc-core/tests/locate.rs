//! Targets that are names: what is asked of DNS, in which order the answers are tried, and what the
//! health of each address does to the next call.

use crate::world;

use sbc_core::cause::CauseCode;
use sbc_core::config::{AllDown, Lookup};
use sbc_core::event::{Happened, TargetFault};
use sbc_core::input::Input;
use sbc_core::locate::{Families, FamilyOrder, LocateSpec, Server, Service};
use sbc_core::query::{Outcome, Query, ResolveFault};
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::transport::{FlowFault, Protocol};
use sbc_core::trunk::TargetState;
use std::collections::BTreeSet;
use std::time::Duration;
use world::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The usual configuration with other targets of the carrier, and other settings of its trunk.
pub(crate) fn carrier_at(targets: &str, settings: &str) -> String {
    CONFIG.replace(
        "targets = [\"198.51.100.20:5060;udp\", \"198.51.100.21:5060;udp\"]",
        &format!("targets = [{targets}]\n{settings}"),
    )
}

pub(crate) const DOMAIN: &str = "\"sip.carrier.example;udp\"";

/// One server with these addresses.
fn server(priority: u16, weight: u16, lasts: &[u8]) -> Server {
    let address = |last: &u8| [198, 51, 100, *last].into();
    Server {
        priority,
        weight,
        port: 5062,
        addresses: lasts.iter().map(address).collect(),
    }
}

fn located(servers: Vec<Server>) -> Outcome {
    Outcome::Located(vec![Service {
        protocol: Protocol::Udp,
        servers,
    }])
}

impl Shard {
    /// What is asked of DNS.
    fn asks(&self) -> LocateSpec {
        match self.queries.front() {
            Some((_, Query::Locate(spec))) => spec.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// DNS answers whatever was asked.
    pub(crate) fn dns_says(&mut self, outcome: &Outcome) {
        while let Some((id, _)) = self.queries.pop_front() {
            self.apply(Input::Outcome(id, outcome.clone()));
        }
    }

    /// A new call of Teams, and its INVITE to the carrier if there is one.
    fn dials(&mut self, call_id: &str, dns: &Outcome) -> Option<Sent> {
        self.sent.clear();
        self.teams_says(&teams_invite(call_id));
        self.dns_says(dns);
        self.invite()
    }

    /// The next INVITE.
    fn invite(&mut self) -> Option<Sent> {
        let is_invite =
            |sent: &Sent| sent.message.is_request() && *sent.message.method() == Method::Invite;
        let at = self.sent.iter().position(is_invite)?;
        self.sent.drain(..=at).next_back()
    }

    /// The next INVITE that repeats none of these.
    fn invite_after(&mut self, tried: &[Sent]) -> Option<Sent> {
        loop {
            let invite = self.invite()?;
            let bytes = invite.message.bytes();
            if !tried.iter().any(|sent| sent.message.bytes() == bytes) {
                return Some(invite);
            }
        }
    }

    fn refuses(&mut self, invite: &Sent, status: &str) {
        self.carrier_says(&response(&invite.message, status, "b1", "", ""));
    }
}

fn last_octet(sent: &Sent) -> u8 {
    let remote = sent.hop.remote.to_string();
    let ip = remote.split(':').next().unwrap();
    ip.rsplit('.').next().unwrap().parse().unwrap()
}

fn header(message: &Message, name: HeaderName) -> String {
    String::from_utf8_lossy(&message.raw(name).unwrap()).into_owned()
}

#[test]
fn a_target_asks_as_much_as_was_left_open() {
    let config = |targets: &str| config_of(&carrier_at(targets, ""));
    let lookup = |targets: &str| {
        let config = config(targets);
        let trunk = config
            .trunks
            .values()
            .find(|t| t.targets.len() == 1 && t.tls.is_none());
        let target = trunk.unwrap().targets[0].clone();
        (target.lookup, target.port)
    };
    assert_eq!(lookup("\"sip.carrier.example\""), (Lookup::Domain, 5060));
    assert_eq!(lookup(DOMAIN), (Lookup::Servers, 5060));
    assert_eq!(
        lookup("\"sip.carrier.example:5080\""),
        (Lookup::Addresses, 5080)
    );
    assert_eq!(lookup("\"198.51.100.20\""), (Lookup::Addresses, 5060));
    let prefers = |setting: &str| {
        let config = config_of(&carrier_at(DOMAIN, setting));
        let trunk = config.trunks.values().find(|trunk| trunk.tls.is_none());
        trunk.unwrap().prefer
    };
    assert_eq!(prefers(""), FamilyOrder::V6);
    assert_eq!(prefers("prefer = \"v4\""), FamilyOrder::V4);
    assert_eq!(prefers("prefer = \"dns\""), FamilyOrder::Dns);
    let asks = |targets: &str| {
        let mut shard = Shard::with(config(targets));
        shard.teams_says(&teams_invite("c"));
        shard.asks()
    };
    let v4 = Families {
        v4: true,
        v6: false,
    };
    // A listener for datagrams brings one for connections with it.
    let open = asks("\"sip.carrier.example\"");
    assert_eq!(
        open,
        LocateSpec {
            domain: "sip.carrier.example".to_owned(),
            port: None,
            protocols: vec![Protocol::Tcp, Protocol::Udp],
            is_open: true,
            families: v4,
            is_foreign: false,
        },
        "only what our listeners can use"
    );
    assert!(!asks(DOMAIN).is_open);
    assert_eq!(asks("\"sip.carrier.example:5080\"").port, Some(5080));
}

#[test]
fn every_address_of_a_server_is_tried_before_the_next_server() {
    let mut shard = Shard::with(config_of(&carrier_at(DOMAIN, "")));
    let dns = located(vec![server(20, 0, &[19]), server(10, 0, &[20, 21])]);
    let first = shard.dials("c", &dns).unwrap();
    let (call_id, cseq) = (
        header(&first.message, HeaderName::CallId),
        header(&first.message, HeaderName::CSeq),
    );
    let (mut tried, mut branches) = (Vec::new(), BTreeSet::new());
    let mut next = Some(first);
    while let Some(invite) = next {
        branches.insert(header(&invite.message, HeaderName::Via));
        // The same request in a transaction of its own (SIP-1703).
        assert_eq!(header(&invite.message, HeaderName::CallId), call_id);
        assert_eq!(header(&invite.message, HeaderName::CSeq), cseq);
        let uri = invite.message.uri().unwrap().to_string();
        assert!(uri.ends_with("@sip.carrier.example"), "{uri}");
        tried.push(invite.clone());
        match tried.len() {
            // A refusal of this server, silence, and an error of the transport.
            1 => shard.refuses(&invite, "503 Service Unavailable"),
            2 => shard.pass(secs(3)),
            _ => shard.apply(Input::SendFailed {
                transaction: invite.transaction.unwrap(),
                why: FlowFault::Connect("refused".to_owned()),
            }),
        }
        next = shard.invite_after(&tried);
    }
    let remotes: Vec<String> = tried
        .iter()
        .map(|sent| sent.hop.remote.to_string())
        .collect();
    assert_eq!(
        remotes,
        [
            "198.51.100.20:5062",
            "198.51.100.21:5062",
            "198.51.100.19:5062"
        ]
    );
    assert_eq!(branches.len(), 3);
    shard.settles();
    assert_eq!(shard.records[0].egress[0].given_up.len(), 2);
}

#[test]
fn what_a_user_says_is_not_asked_elsewhere() {
    let mut shard = Shard::with(config_of(&carrier_at(DOMAIN, "")));
    let invite = shard
        .dials("c", &located(vec![server(1, 0, &[20, 21])]))
        .unwrap();
    shard.refuses(&invite, "486 Busy Here");
    assert!(shard.invite().is_none());
}

#[test]
fn a_failure_after_ringing_goes_elsewhere_only_where_the_trunk_says_so() {
    for (settings, goes_on) in [("", true), ("reroute_on = [408]", false)] {
        let config = config_of(&carrier_at(DOMAIN, settings));
        let dns = located(vec![server(1, 0, &[20, 21])]);
        let mut shard = Shard::with(config);
        let invite = shard.dials("rang", &dns).unwrap();
        shard.refuses(&invite, "180 Ringing");
        shard.refuses(&invite, "503 Service Unavailable");
        assert_eq!(shard.invite().is_some(), goes_on, "{settings}");
        // What only its proxy said is no such thing.
        let invite = shard.dials("trying", &dns).unwrap();
        shard.refuses(&invite, "100 Trying");
        shard.refuses(&invite, "503 Service Unavailable");
        assert!(shard.invite().is_some(), "{settings}");
    }
}

#[test]
fn weights_spread_calls_over_servers() {
    let mut shard = Shard::with(config_of(&carrier_at(DOMAIN, "")));
    let dns = located(vec![server(1, 90, &[20]), server(1, 10, &[21])]);
    let mut first = [0; 256];
    for call in 0..200 {
        let invite = shard.dials(&format!("c{call}"), &dns).unwrap();
        first[usize::from(last_octet(&invite))] += 1;
        shard.refuses(&invite, "486 Busy Here");
    }
    assert!((160..196).contains(&first[20]), "{}", first[20]);
    assert_eq!(first[20] + first[21], 200);
}

#[test]
fn a_domain_may_choose_the_protocol_and_its_name_is_what_the_certificate_must_carry() {
    let tcp = "[[listen]]\nrealm = \"carrier\"\ntransport = \"tcp\"\nport = 5060\n\n[[tenant]]";
    let config = carrier_at("\"sip.carrier.example\"", "").replacen("[[tenant]]", tcp, 1);
    let mut shard = Shard::with(config_of(&config));
    let invite = |protocol| {
        Outcome::Located(vec![Service {
            protocol,
            servers: vec![server(1, 0, &[20])],
        }])
    };
    shard.teams_says(&teams_invite("c"));
    assert_eq!(shard.asks().protocols, [Protocol::Tcp, Protocol::Udp]);
    shard.dns_says(&invite(Protocol::Tcp));
    let sent = shard.invite().unwrap();
    assert_eq!(sent.hop.protocol, Protocol::Tcp);
    assert!(text(&sent).contains("\r\nVia: SIP/2.0/TCP "));
    // Over TLS: another host answers for the domain, and must prove to be the domain.
    let pinned =
        "{ address = \"sip.pstnhub.microsoft.com:5061;tls\", connect_to = [\"203.0.113.1:5061\"] }";
    let config = CONFIG.replace(pinned, "\"Teams.Fabrikam.example;tls\"");
    let mut shard = Shard::with(config_of(&config));
    shard.carrier_says(&carrier_invite("c", CARRIER_SDP));
    assert_eq!(shard.asks().protocols, [Protocol::Tls]);
    shard.dns_says(&invite(Protocol::Tls));
    let sent = shard.invite().unwrap();
    let tls = sent.hop.tls.as_ref().expect("TLS");
    assert_eq!(tls.server_name, "teams.fabrikam.example");
    assert!(
        tls.accept_names
            .contains(&"teams.fabrikam.example".to_owned())
    );
    let uri = sent.message.uri().unwrap().to_string();
    assert!(uri.contains("@teams.fabrikam.example;"), "no port: {uri}");
}

#[test]
fn a_name_that_leads_nowhere_leaves_the_next_target() {
    let targets = format!("{DOMAIN}, \"198.51.100.21:5060;udp\"");
    let mut shard = Shard::with(config_of(&carrier_at(&targets, "")));
    let invite = shard
        .dials("c", &Outcome::ResolveFailed(ResolveFault::Timeout))
        .unwrap();
    assert_eq!(last_octet(&invite), 21);
    shard.refuses(&invite, "503 Service Unavailable");
    shard.settles();
    let given_up = &shard.records[0].egress[0].given_up;
    assert_eq!(given_up[0].why, TargetFault::Resolve(ResolveFault::Timeout));
}

#[test]
fn a_call_tries_six_addresses_and_no_more() {
    let mut shard = Shard::with(config_of(&carrier_at(DOMAIN, "")));
    let dns = located(vec![server(1, 0, &[16, 17, 18, 19, 20, 21, 22, 23])]);
    let mut tried = Vec::new();
    let mut next = shard.dials("c", &dns);
    while let Some(invite) = next {
        tried.push(invite);
        shard.pass(secs(3));
        next = shard.invite_after(&tried);
    }
    assert_eq!(tried.len(), 6);
}

#[test]
fn whoever_answers_after_he_was_given_up_is_ended() {
    let mut shard = Shard::with(config_of(&carrier_at(DOMAIN, "")));
    let dns = located(vec![server(1, 0, &[20, 21])]);
    let first = shard.dials("c", &dns).unwrap();
    shard.pass(secs(3));
    let second = shard.invite_after(std::slice::from_ref(&first)).unwrap();
    // It rings at last: now it can be cancelled (RFC 3261 §9.1).
    shard.refuses(&first, "180 Ringing");
    let cancel = shard.next_request(Method::Cancel);
    assert_eq!(cancel.hop.remote, first.hop.remote);
    // The answer crossed the CANCEL.
    let answer = response(
        &first.message,
        "200 OK",
        "late",
        CARRIER_CONTACT,
        CARRIER_SDP,
    );
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    shard.next_request(Method::Bye);
    assert!(shard.invite().is_none());
    // The call goes on where it is now.
    let answer = response(
        &second.message,
        "200 OK",
        "b2",
        CARRIER_CONTACT,
        CARRIER_SDP,
    );
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    shard.next_response(200);
}

#[test]
fn a_dialog_keeps_its_peer_when_the_name_leads_elsewhere() {
    let mut shard = Shard::with(config_of(&carrier_at(DOMAIN, "")));
    let invite = shard
        .dials("c", &located(vec![server(1, 0, &[20])]))
        .unwrap();
    let answer = response(
        &invite.message,
        "200 OK",
        "b1",
        CARRIER_CONTACT,
        CARRIER_SDP,
    );
    shard.carrier_says(&answer);
    shard.next_request(Method::Ack);
    let ok = shard.next_response(200).message;
    // New calls go to the new address.
    let moved = located(vec![server(1, 0, &[21])]);
    let other = shard.dials("d", &moved).unwrap();
    assert_eq!(last_octet(&other), 21);
    shard.sent.clear();
    let via = "SIP/2.0/TLS 203.0.113.1:5061;branch=z9hG4bKbye";
    shard.teams_says(&in_dialog(&ok, "BYE", 2, via));
    let bye = shard
        .sent
        .iter()
        .find(|sent| sent.message.is_request())
        .unwrap();
    assert_eq!(*bye.message.method(), Method::Bye);
    assert_eq!(bye.hop.remote.to_string(), "198.51.100.20:5060");
    assert!(shard.queries.is_empty());
}

/// A shard that probes, and the addresses of the carrier that were probed.
fn watched(dns: &Outcome) -> (Shard, Vec<Sent>) {
    let config = config_of(&carrier_at(DOMAIN, ""));
    let mut shard = Shard::with(config.clone());
    shard.apply(Input::Config(config));
    let probes = probes(&mut shard, secs(6), dns);
    (shard, probes)
}

/// Lets time pass; the first copies of probes of the carrier.
fn probes(shard: &mut Shard, time: Duration, dns: &Outcome) -> Vec<Sent> {
    let (mut seen, mut probes) = (BTreeSet::new(), Vec::new());
    for _ in 0..time.as_millis() / 100 {
        shard.pass(Duration::from_millis(100));
        shard.dns_says(dns);
        for sent in shard.sent.drain(..) {
            let is_new = sent.message.is_request() && seen.insert(sent.message.bytes().clone());
            let is_probe = *sent.message.method() == Method::Options;
            if is_new && is_probe && sent.hop.protocol == Protocol::Udp {
                probes.push(sent);
            }
        }
    }
    probes
}

fn told(shard: &mut Shard) -> Vec<(String, TargetState)> {
    let told = shard.happened.drain(..).filter_map(|what| match what {
        Happened::TargetHealth { target, state, .. } if target.protocol == Protocol::Udp => {
            let remote = target.remote.map(|remote| remote.ip().to_string());
            Some((remote.unwrap_or_default(), state))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn every_address_of_a_name_is_probed_and_one_that_dns_removes_is_forgotten() {
    let both = located(vec![server(1, 0, &[20]), server(2, 0, &[21])]);
    let (mut shard, sent) = watched(&both);
    let mut remotes: Vec<String> = sent.iter().map(|s| s.hop.remote.to_string()).collect();
    remotes.sort();
    assert_eq!(remotes, ["198.51.100.20:5062", "198.51.100.21:5062"]);
    assert!(text(&sent[0]).starts_with("OPTIONS sip:sip.carrier.example SIP/2.0\r\n"));
    for probe in &sent {
        shard.refuses(probe, "200 OK");
    }
    let up = |last: &str| (format!("198.51.100.{last}"), TargetState::Up);
    let mut states = told(&mut shard);
    states.sort();
    assert_eq!(states, [up("20"), up("21")]);
    // A resolver that fails takes nothing away.
    let failed = Outcome::ResolveFailed(ResolveFault::ServerFailure);
    for probe in probes(&mut shard, secs(66), &failed) {
        shard.refuses(&probe, "200 OK");
    }
    assert_eq!(told(&mut shard), []);
    let one = located(vec![server(1, 0, &[20])]);
    let sent = probes(&mut shard, secs(66), &one);
    assert_eq!(
        told(&mut shard),
        [("198.51.100.21".to_owned(), TargetState::Gone)]
    );
    let last = sent.last().expect("it goes on with the other");
    assert_eq!(last_octet(last), 20);
    // A name without addresses is down itself, until it has some.
    for probe in &sent {
        shard.refuses(probe, "200 OK");
    }
    probes(
        &mut shard,
        secs(66),
        &Outcome::ResolveFailed(ResolveFault::NotFound),
    );
    let mut states = told(&mut shard);
    states.sort();
    let none = (String::new(), TargetState::Down);
    assert_eq!(
        states,
        [none, ("198.51.100.20".to_owned(), TargetState::Gone)]
    );
    probes(&mut shard, secs(15), &one);
    assert!(told(&mut shard).contains(&(String::new(), TargetState::Gone)));
}

#[test]
fn a_peer_in_maintenance_gets_no_new_call_and_is_not_down() {
    let both = located(vec![server(1, 0, &[20]), server(2, 0, &[21])]);
    let (mut shard, sent) = watched(&both);
    for probe in &sent {
        let status = match last_octet(probe) {
            20 => "503 Service Unavailable",
            _ => "200 OK",
        };
        shard.refuses(probe, status);
    }
    let mut states = told(&mut shard);
    states.sort();
    let state = |last: u8, state| (format!("198.51.100.{last}"), state);
    assert_eq!(
        states,
        [state(20, TargetState::Busy), state(21, TargetState::Up)]
    );
    let invite = shard.dials("c", &both).unwrap();
    assert_eq!(last_octet(&invite), 21);
    shard.refuses(&invite, "503 Service Unavailable");
    assert!(
        shard.invite().is_none(),
        "not even when nothing else is left"
    );
    // It is over with the next answer.
    for probe in probes(&mut shard, secs(66), &both) {
        shard.refuses(&probe, "200 OK");
    }
    assert_eq!(told(&mut shard), [state(20, TargetState::Up)]);
    let invite = shard.dials("d", &both).unwrap();
    assert_eq!(last_octet(&invite), 20);
}

#[test]
fn an_address_that_fails_five_calls_in_a_row_gets_one_in_half_a_minute() {
    let mut shard = Shard::with(config_of(&carrier_at(DOMAIN, "")));
    let dns = located(vec![server(1, 0, &[20]), server(2, 0, &[21])]);
    let first_of_call = |shard: &mut Shard, call: &str, first_answers: bool| {
        let invite = shard.dials(call, &dns).unwrap();
        let first = last_octet(&invite);
        if first == 20 && !first_answers {
            shard.refuses(&invite, "503 Service Unavailable");
            let next = shard.invite().unwrap();
            shard.refuses(&next, "486 Busy Here");
        } else {
            shard.refuses(&invite, "486 Busy Here");
        }
        first
    };
    for call in 0..4 {
        assert_eq!(first_of_call(&mut shard, &format!("a{call}"), false), 20);
    }
    // Any answer of a user closes the matter.
    assert_eq!(first_of_call(&mut shard, "user", true), 20);
    for call in 0..5 {
        assert_eq!(first_of_call(&mut shard, &format!("b{call}"), false), 20);
    }
    assert_eq!(first_of_call(&mut shard, "open", false), 21);
    shard.pass(secs(29));
    assert_eq!(first_of_call(&mut shard, "still-open", false), 21);
    shard.pass(secs(2));
    assert_eq!(first_of_call(&mut shard, "half-open", false), 20);
    assert_eq!(first_of_call(&mut shard, "open-again", false), 21);
    shard.pass(secs(31));
    assert_eq!(first_of_call(&mut shard, "half-open-again", true), 20);
    assert_eq!(first_of_call(&mut shard, "closed", true), 20);
}

#[test]
fn while_all_targets_are_down_one_call_a_second_finds_out_whether_they_are_back() {
    for (settings, policy) in [
        ("", AllDown::Try),
        ("all_down = \"try\"", AllDown::Try),
        ("all_down = \"fail\"", AllDown::Fail),
    ] {
        let config = config_of(&carrier_at(DOMAIN, settings));
        assert!(config.trunks.values().any(|trunk| trunk.all_down == policy));
        let dns = located(vec![server(1, 0, &[20])]);
        let mut shard = Shard::with(config);
        for call in 0..5 {
            let invite = shard.dials(&format!("c{call}"), &dns).unwrap();
            shard.refuses(&invite, "503 Service Unavailable");
        }
        let mut tried = 0;
        for call in 0..20 {
            tried += usize::from(shard.dials(&format!("d{call}"), &dns).is_some());
            shard.pass(Duration::from_millis(250));
        }
        match policy {
            AllDown::Try => assert_eq!(tried, 5, "20 calls in 5 seconds"),
            AllDown::Fail => assert_eq!(tried, 0),
        }
        let record = shard.records.last().unwrap();
        assert_eq!(record.cause.code, CauseCode::PeerUnreachable);
        assert_eq!(record.egress[0].fault, Some(TargetFault::Down));
    }
}

#[test]
fn an_answer_to_a_call_counts_more_than_silence_to_probes() {
    let one = located(vec![server(1, 0, &[20])]);
    let (mut shard, _) = watched(&one);
    probes(&mut shard, secs(33), &one);
    assert_eq!(
        told(&mut shard),
        [("198.51.100.20".to_owned(), TargetState::Down)]
    );
    let dials = |shard: &mut Shard, call: &str| {
        let invite = shard.dials(call, &one);
        if let Some(invite) = &invite {
            shard.refuses(invite, "486 Busy Here");
        }
        invite.is_some()
    };
    // The first one is let through, and it is answered: so there is no limit of one in a second.
    for call in 0..10 {
        assert!(dials(&mut shard, &format!("c{call}")), "{call}");
    }
    shard.pass(secs(61));
    assert!(dials(&mut shard, "later"));
}
