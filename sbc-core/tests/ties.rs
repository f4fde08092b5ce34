//! Several trunks of one peer: by what a call is told to be one of them (SIP-1600).

use crate::world;

use sbc_core::config::{Assumed, Source, load};
use world::*;

/// A second and a third trunk of the carrier, each for calls that fit.
fn three(of_first: &str, of_second: &str, of_third: &str) -> String {
    let more = |name: &str, keys: &str| {
        format!(
            "[[trunk]]\nname = \"{name}\"\ntenant = \"*\"\nrealm = \"carrier\"\n\
             targets = [\"198.51.100.20:5060;udp\"]\naccept_from = [\"198.51.100.16/28\"]\n\
             codecs = [\"PCMA\"]\n{keys}\n\n"
        )
    };
    let text = CONFIG.replace(
        "codecs = [\"PCMA\", \"PCMU\"]",
        &format!("codecs = [\"PCMA\", \"PCMU\"]\n{of_first}"),
    );
    let text = text.replace(", from_trunk = \"carrier-a\"", "");
    let (before, routes) = text.split_once("[[route]]").expect("routes");
    let (second, third) = (more("second", of_second), more("third", of_third));
    format!("{before}{second}{third}[[route]]{routes}")
}

/// The trunk that a call from the carrier to this user belongs to, or the status that it gets.
fn trunk_of(config: &str, user: &str) -> Result<String, u16> {
    let mut shard = Shard::with(config_of(config));
    let invite = carrier_invite("tie", CARRIER_SDP);
    shard.carrier_says(&invite.replacen("sip:+493023125456", &format!("sip:{user}"), 1));
    let admitted = shard.happened.iter().find_map(|what| match what {
        sbc_core::event::Happened::Admitted { trunk, .. } => Some(trunk.to_string()),
        _ => None,
    });
    let status = || shard.sent.back().and_then(|sent| sent.message.status());
    admitted.ok_or_else(|| status().map_or(0, |status| status.code()))
}

fn findings(text: &str) -> String {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let loaded = load(&[Source::new("test.toml", text)], &facts, None);
    loaded
        .err()
        .map(|findings| findings.to_text())
        .unwrap_or_default()
}

const FIRST_HALF: &str = "tie_break = { called = [\"+493023125000-+493023125499\"] }";
const SECOND_HALF: &str = "tie_break = { called = [\"+493023125500-+493023125999\"] }";

const OTHERS: &str = "tie_break = { called = [\"+15550900-+15550999\"] }";

#[test]
fn numbers_that_are_called_tell_trunks_of_one_peer_apart() {
    let config = three(FIRST_HALF, SECOND_HALF, "");
    let of = |user: &str| trunk_of(&config, user);
    assert_eq!(of("+493023125001"), Ok("carrier-a".to_owned()));
    assert_eq!(of("+493023125777"), Ok("second".to_owned()));
    assert_eq!(
        of("+49-30-23125.777"),
        Ok("second".to_owned()),
        "as any reader reads it"
    );
    // What fits none is a call of the one that asks for nothing.
    assert_eq!(of("+15550100"), Ok("third".to_owned()));
    // Without such a one it is nobody's.
    let config = three(FIRST_HALF, SECOND_HALF, OTHERS);
    assert_eq!(trunk_of(&config, "+15550100"), Err(404));
}

#[test]
fn calls_for_help_fit_nobodys_numbers_and_are_taken_all_the_same() {
    let numbers = "numbers = [\"+493023125000-+493023125999\"]";
    let config = three(FIRST_HALF, SECOND_HALF, OTHERS)
        .replace(numbers, &format!("{numbers}\nemergency = [\"112\"]"));
    assert_eq!(trunk_of(&config, "112"), Ok("carrier-a".to_owned()));
    assert_eq!(trunk_of(&config, "113"), Err(404));
    let mut shard = Shard::with(config_of(&config));
    let invite = carrier_invite("help", CARRIER_SDP);
    let urn = invite.replacen("sip:+493023125456@192.0.2.11:5060", "urn:service:sos", 1);
    shard.carrier_says(&urn);
    shard.next_response(100);
    // Its refusal is acknowledged where its transaction is.
    let number = "sip:112@192.0.2.11:5060";
    let mut shard = Shard::with(config_of(&config));
    let dialled = invite.replacen("sip:+493023125456@192.0.2.11:5060", number, 1);
    shard.carrier_says(&dialled);
    shard.next_response(100);
    let cancel = carrier_cancel("help");
    shard.carrier_says(&cancel.replacen("sip:+493023125456@192.0.2.11:5060", number, 1));
    let is_200_to_cancel =
        |sent: &Sent| text(sent).starts_with("SIP/2.0 200") && text(sent).contains("10 CANCEL");
    assert!(shard.sent.iter().any(is_200_to_cancel));
}

#[test]
fn what_is_no_call_needs_to_fit_none_of_the_trunks() {
    let config = three(FIRST_HALF, SECOND_HALF, OTHERS);
    let mut shard = Shard::with(config_of(&config));
    let options = carrier_invite("alive", "")
        .replace(
            "INVITE sip:+493023125456@192.0.2.11:5060",
            "OPTIONS sip:192.0.2.11",
        )
        .replace("10 INVITE", "10 OPTIONS");
    shard.carrier_says(&options);
    shard.next_response(200);
}

#[test]
fn the_name_of_a_trunk_group_tells_them_apart() {
    let group = |name: &str| format!("tie_break = {{ tgrp = \"{name}\" }}");
    let config = three(&group("TG-1"), &group("TG-2"), "");
    let of = |user: &str| trunk_of(&config, user);
    let tail = "trunk-context=telco.example";
    assert_eq!(
        of(&format!("+493023125001;tgrp=TG-1;{tail}")),
        Ok("carrier-a".to_owned())
    );
    assert_eq!(
        of(&format!("+493023125001;{tail};tgrp=tg-2")),
        Ok("second".to_owned())
    );
    assert_eq!(of("+493023125001;tgrp=TG-3"), Ok("third".to_owned()));
    assert_eq!(of("+493023125001"), Ok("third".to_owned()));
}

#[test]
fn a_tie_is_broken_only_among_peers_that_are_who_they_seem() {
    let config = three(FIRST_HALF, SECOND_HALF, "");
    let mut shard = Shard::with(config_of(&config));
    let mut flow = carrier_flow();
    flow.remote = "198.51.100.99:5060".parse().unwrap();
    shard.receive(flow, &carrier_invite("tie", CARRIER_SDP));
    assert!(shard.sent.is_empty(), "a number makes nobody a peer");
}

#[test]
fn requests_within_a_call_belong_to_it_whatever_their_uri_says() {
    let config = three(FIRST_HALF, SECOND_HALF, OTHERS);
    let mut call = call::Call::with(&config);
    let bare = in_dialog(&call.ok, "OPTIONS", 11, &format!("{}in", call::VIA));
    // A contact that no trunk is for.
    let (line, rest) = bare.split_once(" SIP/2.0\n").expect("a start line");
    assert!(line.starts_with("OPTIONS sip:"));
    call.shard.carrier_says(&format!(
        "OPTIONS sip:nobody@192.0.2.11:5060 SIP/2.0\n{rest}"
    ));
    call.shard.next_response(200);
}

#[test]
fn ties_that_are_left_are_findings() {
    let is_told = |first: &str, second: &str, third: &str| {
        findings(&three(first, second, third)).contains("could also be those of trunk")
    };
    let group = "tie_break = { tgrp = \"TG-1\" }";
    assert!(!is_told(FIRST_HALF, SECOND_HALF, ""));
    assert!(is_told(FIRST_HALF, "", ""));
    assert!(is_told(FIRST_HALF, FIRST_HALF, ""));
    assert!(is_told(group, group, ""));
    assert!(is_told(FIRST_HALF, group, ""), "a call may fit both");
    let both = "tie_break = { called = [\"+493023125000-+493023125099\"], tgrp = \"TG-2\" }";
    assert!(!is_told(both, group, ""));
    let told = findings(&three(
        "tie_break = { }",
        "",
        "tie_break = { tgrp = \"a b\" }",
    ));
    assert!(told.contains("\"called\" is missing"), "{told}");
    assert!(told.contains("is no name of a trunk group"), "{told}");
}
