//! The name that a pair of nodes has in common: wherever a message names us, it names both (SIP-401).

use crate::register::{contact_of, next_register, registering, started};
use crate::world;

use sbc_core::config::{Assumed, Source, load};
use sbc_core::input::Input;
use sbc_core::sip::header::{Contact, Via};
use sbc_core::sip::{HeaderName, Message, Method};
use std::time::Duration;
use world::call::{VIA, callee_request, header};
use world::*;

const NAME: &str = "sbc.example.com";
const OF_CARRIER: &str = "addresses = [\"192.0.2.11\"]";

/// A node of the pair: at this address of its own, with the common name.
fn node(id: &str, address: &str) -> String {
    let advertise = format!("advertise = {{ host = \"{NAME}\" }}");
    CONFIG
        .replace("id = \"sbc1\"", &format!("id = \"{id}\""))
        .replace(
            OF_CARRIER,
            &format!("addresses = [\"{address}\"]\n{advertise}"),
        )
}

/// Everything that a node sends to the carrier while calls go in both directions.
struct Seen {
    shard: Shard,
    all: Vec<Message>,
}

impl Seen {
    fn next(&mut self, what: impl Fn(&Message) -> bool) -> Message {
        loop {
            let sent = self.shard.next();
            if sent.hop.remote.to_string() == CARRIER {
                self.all.push(sent.message.clone());
            }
            if what(&sent.message) {
                return sent.message;
            }
        }
    }

    fn request(&mut self, method: Method) -> Message {
        self.next(|message| message.is_request() && *message.method() == method)
    }

    fn response(&mut self, code: u16) -> Message {
        self.next(|message| message.status().is_some_and(|own| own.code() == code))
    }

    fn carrier_calls(&mut self) {
        let shard = &mut self.shard;
        shard.carrier_says(&carrier_invite("in", CARRIER_SDP));
        let invite = self.request(Method::Invite);
        let ringing = response(&invite, "180 Ringing", "x1", TEAMS_CONTACT, "");
        self.shard.teams_says(&ringing);
        self.response(180);
        let answer = response(&invite, "200 OK", "x1", TEAMS_CONTACT, TEAMS_SDP);
        self.shard.teams_says(&answer);
        let ok = self.response(200);
        self.shard
            .carrier_says(&in_dialog(&ok, "ACK", 10, &format!("{VIA}ack")));
        for (method, cseq) in [("OPTIONS", 11), ("UPDATE", 12)] {
            let via = format!("{VIA}{method}");
            self.shard.carrier_says(&in_dialog(&ok, method, cseq, &via));
            self.response(200);
        }
        let again = in_dialog(&ok, "INVITE", 13, &format!("{VIA}again"));
        let again = again.replace("Content-Length: 0\n\n", CARRIER_CONTACT);
        self.shard.carrier_says(&with_body(&again, CARRIER_SDP));
        self.response(200);
        self.shard
            .carrier_says(&in_dialog(&ok, "ACK", 13, &format!("{VIA}ack3")));
        self.shard
            .teams_says(&callee_request(&invite, "x1", "BYE", 1, ""));
        self.request(Method::Bye);
    }

    fn teams_calls(&mut self) {
        self.shard.teams_says(&teams_invite("out"));
        let invite = self.request(Method::Invite);
        let from = header(&invite, HeaderName::From);
        assert!(from.contains(&format!("@{NAME}")), "{from}");
        let route = "Record-Route: <sip:198.51.100.20;lr>\n";
        let lines = format!("{CARRIER_CONTACT}{route}");
        let reliable = format!("{lines}Require: 100rel\nRSeq: 1\n");
        let early = response(&invite, "183 Progress", "y1", &reliable, CARRIER_SDP);
        self.shard.carrier_says(&early);
        let prack = self.request(Method::Prack);
        self.shard
            .carrier_says(&response(&prack, "200 OK", "", "", ""));
        let answer = response(&invite, "200 OK", "y1", &lines, CARRIER_SDP);
        self.shard.carrier_says(&answer);
        self.request(Method::Ack);
    }
}

fn hosts_of_contact(message: &Message) -> Vec<String> {
    let contacts = message.list::<Contact>().expect("contacts");
    let uris = contacts.iter().filter_map(Contact::uri);
    uris.map(|uri| format!("{}:{:?}", uri.host().expect("a host"), uri.port()))
        .collect()
}

#[test]
fn two_nodes_are_one_wherever_a_message_names_us() {
    for (id, address) in [("sbc1", "192.0.2.11"), ("sbc2", "192.0.2.12")] {
        let config = config_of(&node(id, address));
        let mut shard = Shard::with(std::sync::Arc::clone(&config));
        shard.apply(Input::Config(config));
        shard.pass(Duration::from_secs(5));
        let mut seen = Seen {
            shard,
            all: Vec::new(),
        };
        while seen.all.is_empty() {
            seen.request(Method::Options);
        }
        seen.shard.sent.clear();
        seen.carrier_calls();
        seen.shard.sent.clear();
        seen.teams_calls();
        let mut named = std::collections::BTreeSet::new();
        for message in &seen.all {
            let what = match message.status() {
                Some(status) => format!("{} to {}", status.code(), message.method().as_str()),
                None => message.method().as_str().to_owned(),
            };
            // We are no proxy: what stands there is the peer's own.
            let routes = header_or_none(message, HeaderName::RecordRoute);
            assert!(
                !routes.contains(NAME) && !routes.contains(address),
                "{what}: {routes}"
            );
            for host in hosts_of_contact(message) {
                assert_eq!(host, format!("{NAME}:Some(5060)"), "{id}: {what}");
                named.insert(format!("Contact of {what}"));
            }
            if message.is_request() {
                let via = &message.list::<Via>().expect("Via")[0];
                let sent_by = format!("{}:{:?}", via.host, via.port);
                assert_eq!(sent_by, format!("{NAME}:Some(5060)"), "{id}: {what}");
                let head = String::from_utf8_lossy(message.bytes()).into_owned();
                let head = head.split("\r\n\r\n").next().unwrap_or_default().to_owned();
                let own = head.lines().filter(|line| !line.starts_with("From:"));
                let own: Vec<&str> = own.filter(|line| line.contains(address)).collect();
                assert!(own.is_empty(), "{id}: {what}: {own:?}");
                named.insert(format!("Via of {what}"));
            }
        }
        for place in [
            "Contact of 180 to INVITE",
            "Contact of 200 to INVITE",
            "Contact of 200 to OPTIONS",
            "Contact of 200 to UPDATE",
            "Contact of INVITE",
            "Contact of OPTIONS",
            "Via of ACK",
            "Via of BYE",
            "Via of INVITE",
            "Via of OPTIONS",
            "Via of PRACK",
        ] {
            assert!(named.contains(place), "{place}: {named:?}");
        }
    }
}

fn header_or_none(message: &Message, name: HeaderName) -> String {
    match message.has(name.clone()) {
        true => header(message, name),
        false => String::new(),
    }
}

#[test]
fn a_registrar_knows_a_pair_by_its_name_and_a_caller_is_sent_back_to_it() {
    let text = registering("expires = \"10m\"");
    let advertise = format!("{OF_CARRIER}\nadvertise = {{ host = \"{NAME}\" }}");
    let mut shard = started(&text.replace(OF_CARRIER, &advertise));
    let register = next_register(&mut shard).message;
    let contact = contact_of(&register);
    assert!(contact.contains(&format!("@{NAME}:5060")), "{contact}");
    let via = &register.list::<Via>().expect("Via")[0];
    assert_eq!(via.host.to_string(), NAME);
    // A redirection that the caller is to follow leads back to the pair.
    let text = world::two::two_carriers("", "redirect = \"pass\"");
    let mut shard = Shard::with(config_of(&text.replace(OF_CARRIER, &advertise)));
    shard.carrier_says(&carrier_invite("moved", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let to = "Contact: <sip:+493023125777@198.51.100.40>\n";
    let mut flow = carrier_flow();
    flow.remote = "198.51.100.40:5060".parse().expect("an address");
    shard.receive(flow, &response(&invite, "302 Moved", "b1", to, ""));
    shard.next_request(Method::Ack);
    let moved = shard.next_response(302).message;
    let hosts = hosts_of_contact(&moved);
    assert!(hosts.iter().all(|host| host.starts_with(NAME)), "{hosts:?}");
    assert_eq!(hosts.len(), 1);
}

#[test]
fn a_trunk_may_still_have_a_name_of_its_own_and_an_address_is_no_name() {
    let own = node("sbc1", "192.0.2.11").replace(
        "name = \"carrier-a\"",
        "name = \"carrier-a\"\nfqdn = \"own.example.net\"",
    );
    let (_, invite) = called_in(&own, "own");
    assert_eq!(
        hosts_of_contact(&invite.message),
        ["own.example.net:Some(5060)"]
    );
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    for wrong in ["192.0.2.50", "sbc", "a b.example", "sbc_1.example.com"] {
        let text = node("sbc1", "192.0.2.11").replace(NAME, wrong);
        let findings = load(&[Source::new("test.toml", &*text)], &facts, None).expect_err(wrong);
        let said = findings.to_text();
        assert!(said.contains("is no fully qualified name"), "{said}");
    }
}
