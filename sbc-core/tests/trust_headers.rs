//! Headers of a trust domain: who pays, where somebody is, which service it is (RFC 7315, RFC 5502, RFC 6050). They go on
//! to trusted carriers from trusted peers, and to nobody else (§5.4 of our requirements).

use crate::world;

use sbc_core::config::{Assumed, Source, load};
use sbc_core::sip::{Message, Method};
use world::*;

/// Another carrier, for calls to satellites.
const ONWARD: &str = r#"
[[trunk]]
name = "carrier-b"
preset = "carrier"
tenant = "contoso"
realm = "carrier"
targets = ["198.51.100.40:5060;udp"]
accept_from = ["198.51.100.40/32"]
codecs = ["PCMA", "PCMU"]
KEYS

[[route]]
name = "onward"
match = { called = "^\\+882", from_trunk = "carrier-a" }
to = [{ trunk = "carrier-b" }]
"#;

/// One of each row, whose values tell where they come from.
const LINES: [(&str, &str); 11] = [
    (
        "P-Access-Network-Info",
        "3GPP-UTRAN-TDD;utran-cell-id-3gpp=23415",
    ),
    ("P-Visited-Network-ID", "\"visited.example\""),
    (
        "P-Charging-Vector",
        "icid-value=\"12;34\";orig-ioi=telco.example",
    ),
    ("P-Called-Party-ID", "<sip:+88216123456@telco.example>"),
    ("P-Associated-URI", "<sip:+498999998777@telco.example>"),
    (
        "P-Asserted-Service",
        "urn:urn-7:3gpp-service.ims.icsi.mmtel",
    ),
    (
        "P-Served-User",
        "<sip:+498999998777@telco.example>;sescase=orig",
    ),
    ("P-Profile-Key", "<sip:chatroom@telco.example>"),
    ("Feature-Caps", "*;+g.3gpp.srvcc"),
    ("P-NokiaSiemens.Session-Info", "a"),
    ("P-Com.Session-Info", "b"),
];

/// A call of the carrier to the other one.
fn onward(of_a: &str, of_b: &str) -> (Shard, Message) {
    let own = format!("tenant = \"contoso\"\n{of_a}");
    let config = CONFIG.replace("tenant = \"*\"", &own) + &ONWARD.replace("KEYS", of_b);
    let mut shard = Shard::with(config_of(&config));
    let invite = carrier_invite("out", CARRIER_SDP).replace("+493023125456", "+88216123456");
    shard.carrier_says(&telling(&invite));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    (shard, invite)
}

/// A message with all of them.
fn telling(message: &str) -> String {
    let lines = LINES.map(|(name, value)| format!("{name}: {value}\n"));
    message.replacen("Call-ID:", &format!("{}Call-ID:", lines.concat()), 1)
}

/// Why a configuration is refused.
fn fault_of(config: &str) -> String {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    match load(&[Source::new("test.toml", config)], &facts, None) {
        Ok(_) => String::new(),
        Err(findings) => findings.to_text(),
    }
}

/// Names of those that a message has, with their values as they were sent.
fn found(message: &Message) -> Vec<&'static str> {
    let has = |(name, value): &(&str, &str)| {
        let own = message.raw_named(name);
        own.is_some_and(|own| {
            assert_eq!(own, *value, "{name}");
            true
        })
    };
    let own = LINES.iter().filter(|line| has(line));
    own.map(|(name, _)| *name).collect()
}

#[test]
fn what_a_trust_domain_tells_stays_within_it_and_goes_on_there() {
    let trusted = "trusted = true";
    for (of_a, of_b) in [("", ""), (trusted, ""), ("", trusted)] {
        let (_, invite) = onward(of_a, of_b);
        assert_eq!(found(&invite), [""; 0], "{of_a}, {of_b}");
    }
    let (mut shard, invite) = onward(trusted, trusted);
    assert_eq!(found(&invite), LINES.map(|(name, _)| name));
    // The responses have the same rule.
    let ringing = response(&invite, "180 Ringing", "b1", CARRIER_CONTACT, "");
    shard.carrier_says(&telling(&ringing));
    let told = shard.next_response(180).message;
    assert_eq!(found(&told), LINES.map(|(name, _)| name));
    let (mut shard, invite) = onward("", trusted);
    let ringing = response(&invite, "180 Ringing", "b1", CARRIER_CONTACT, "");
    shard.carrier_says(&telling(&ringing));
    assert_eq!(found(&shard.next_response(180).message), [""; 0]);
}

/// SIP-420.
#[test]
fn addresses_of_the_other_side_stay_there_also_within_a_trust_domain() {
    let trusted = "trusted = true";
    let own = format!("tenant = \"contoso\"\n{trusted}");
    let config = CONFIG.replace("tenant = \"*\"", &own) + &ONWARD.replace("KEYS", trusted);
    let mut shard = Shard::with(config_of(&config));
    let lines = "P-Charging-Vector: icid-value=\"a\\\";b\"; ICID-generated-at =198.51.100.7;term-ioi=x\n\
                 P-Charging-Function-Addresses: ccf=198.51.100.8\nP-User-Database: <aaa://hss.telco.example>\n";
    let invite = carrier_invite("out", CARRIER_SDP).replace("+493023125456", "+88216123456");
    let invite = invite.replacen("Call-ID:", &format!("{lines}Call-ID:"), 1);
    shard.carrier_says(&invite);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    let vector = invite.raw_named("P-Charging-Vector");
    assert_eq!(
        vector.as_deref(),
        Some(&b"icid-value=\"a\\\";b\";term-ioi=x"[..])
    );
    for name in ["P-Charging-Function-Addresses", "P-User-Database"] {
        assert!(invite.raw_named(name).is_none(), "{name}");
    }
}

#[test]
fn the_core_hears_nothing_of_it_even_where_all_are_trusted() {
    let config = CONFIG.replace("tenant = \"*\"", "tenant = \"contoso\"\ntrusted = true");
    let mut shard = Shard::with(config_of(&config));
    shard.carrier_says(&telling(&carrier_invite("in", CARRIER_SDP)));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert_eq!(found(&invite), [""; 0]);
}

#[test]
fn a_trunk_may_keep_them_back_and_can_list_only_what_is_nobodys_word() {
    let trusted = "trusted = true";
    let strip = "headers = { strip = [\"P-Asserted-Service\", \"p-charging-vector\"] }";
    let (_, invite) = onward(trusted, &format!("{trusted}\n{strip}"));
    let kept: Vec<&str> = LINES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !["P-Asserted-Service", "P-Charging-Vector"].contains(name))
        .collect();
    assert_eq!(found(&invite), kept);
    let (_, invite) = onward("", "headers = { pass = [\"P-Access-Network-Info\"] }");
    assert_eq!(found(&invite), ["P-Access-Network-Info"]);
    for key in [
        "pass = [\"P-Asserted-Service\"]",
        "set = { \"P-Asserted-Service\" = \"x\" }",
    ] {
        let keys = format!("headers = {{ {key} }}");
        let config = CONFIG.to_owned() + &ONWARD.replace("KEYS", &keys);
        let fault = fault_of(&config);
        assert!(
            fault.contains("belongs to us or to the call"),
            "{key}: {fault}"
        );
    }
}
