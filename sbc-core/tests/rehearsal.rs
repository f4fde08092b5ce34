//! Tests that travel in the configuration: what is played, what is found, what is told.

use crate::emergency::helping;
use crate::world;

use sbc_core::config::{Assumed, CallIn, Code, Findings, Loaded, Source, load};
use sbc_core::id::TrunkName;
use sbc_core::rehearsal::{Played, gate, play};
use std::sync::Arc;
use world::CONFIG;

/// The usual configuration with these tests at its end.
fn gated(tests: &str) -> Result<Loaded, Findings> {
    let text = format!("{CONFIG}{tests}");
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    load(&[Source::new("causeway.toml", text)], &facts, None).and_then(gate)
}

#[track_caller]
fn passes(tests: &str) {
    if let Err(findings) = gated(tests) {
        panic!("{}", findings.to_text());
    }
}

/// The text of the findings; all of them errors.
#[track_caller]
fn fails(tests: &str) -> String {
    match gated(tests) {
        Ok(_) => panic!("the configuration is accepted"),
        Err(findings) => findings.to_text(),
    }
}

fn played(config: &str, call: &CallIn) -> Played {
    let config: Arc<_> = world::config_of(config);
    play(&config, call).unwrap()
}

fn call(trunk: &str, from: &str, to: &str) -> CallIn {
    CallIn {
        trunk: Some(TrunkName::new(trunk)),
        from: from.to_owned(),
        to: to.to_owned(),
        ..CallIn::default()
    }
}

#[test]
fn tests_that_hold_let_the_configuration_pass() {
    passes(
        r#"
[[test]]
name = "a call of the carrier reaches Teams"
call = { trunk = "carrier-a", from = "+498999998001", to = "+493023125456", headers = [
    "X-Probe: 1", "Subject: hello" ], codecs = ["PCMU"] }
expect = { tenant = "contoso", trunk = "teams-contoso", trunks = ["teams-*"], targets = 2, request_uri = "sip:+493023125456@sip.pstnhub.microsoft.com:5061*", from = "+498999998001", to = "+493023125456", headers = [
    "Subject: hello", "From: *+498999998001@sbc1.contoso.example*" ], absent = ["X-Probe"] }

[[test]]
name = "a call of Teams reaches the carrier"
call = { trunk = "teams-contoso", from = "+493023125456", to = "+498999998001" }
expect = { trunk = "carrier-a", targets = 2, to = "sip:+498999998001@198.51.100.20*" }

[[test]]
name = "a number of nobody"
call = { trunk = "carrier-a", from = "+498999998001", to = "+33140000000" }
expect = { status = 404, cause = "number_unknown" }

[[test]]
name = "a stranger"
call = { source = "203.0.113.250", listener = "carrier/udp/v4:5060", from = "+1", to = "+493023125456" }
expect = { dropped = "stranger" }

[[test]]
name = "an address of the carrier"
call = { source = "198.51.100.17", from = "+498999998001", to = "+493023125456" }
expect = { trunk = "teams-contoso" }

[[test]]
name = "no hops left"
call = { trunk = "carrier-a", from = "+498999998001", to = "+493023125456", headers = ["Max-Forwards: 0"] }
expect = { status = 483 }
"#,
    );
}

#[test]
fn a_test_that_fails_refuses_the_load_with_line_expectation_and_what_came() {
    let text = fails(
        r#"
[[test]]
name = "wrong"
call = { trunk = "carrier-a", from = "+498999998001", to = "+493023125456" }
expect = { trunk = "carrier-a", from = "+1", absent = ["User-Agent"] }
"#,
    );
    let line = CONFIG.lines().count() + 5;
    assert!(text.contains(&format!("causeway.toml:{line}:")), "{text}");
    assert!(text.contains("error[E0080]: test \"wrong\""), "{text}");
    assert!(
        text.contains("expected a call to trunk \"carrier-a\", but it is \"teams-contoso\""),
        "{text}"
    );
    assert!(
        text.contains("expected From +1, but it is sip:+498999998001@"),
        "{text}"
    );
    assert!(
        text.contains("expected an INVITE without User-Agent, but it says User-Agent: Causeway"),
        "{text}"
    );
    assert!(
        text.contains("route \"to-teams\" leads to teams-contoso"),
        "{text}"
    );
    assert!(text.contains("3 errors"), "{text}");
}

#[test]
fn a_refusal_that_was_not_expected_tells_its_reason() {
    let text = fails(
        r#"
[[test]]
name = "unknown"
call = { trunk = "carrier-a", from = "+498999998001", to = "+33140000000" }
expect = { trunk = "teams-contoso" }

[[test]]
name = "reached"
call = { trunk = "carrier-a", from = "+498999998001", to = "+493023125456" }
expect = { status = 403 }
"#,
    );
    assert!(
        text.contains(
            "but the call is refused with 404 (number_unknown): trunk \"carrier-a\" is shared"
        ),
        "{text}"
    );
    assert!(
        text.contains("but the call goes to trunk \"teams-contoso\""),
        "{text}"
    );
}

#[test]
fn a_description_that_cannot_be_a_call_is_a_finding_too() {
    let text = fails(
        r#"
[[test]]
name = "foreign"
call = { trunk = "carrier-a", source = "192.0.2.99", from = "+1", to = "+493023125456" }
expect = { trunk = "teams-contoso" }

[[test]]
name = "broken"
call = { trunk = "carrier-a", from = "<sip:a b@example.com>", to = "+493023125456" }
expect = { trunk = "teams-contoso" }
"#,
    );
    assert!(
        text.contains("trunk \"carrier-a\" takes no calls from 192.0.2.99"),
        "{text}"
    );
    assert!(text.contains("the call is no valid INVITE"), "{text}");
}

#[test]
fn tests_are_read_as_strictly_as_everything_else() {
    let faults = |tests: &str| -> Vec<Code> {
        let findings = gated(tests).unwrap_err();
        findings.errors.iter().map(|finding| finding.code).collect()
    };
    let case = |call: &str, expect: &str| {
        format!("\n[[test]]\nname = \"t\"\ncall = {{ {call} }}\nexpect = {{ {expect} }}\n")
    };
    let good = "trunk = \"carrier-a\", from = \"1\", to = \"2\"";
    assert_eq!(
        faults(&case("from = \"1\", to = \"2\"", "status = 404")),
        [Code::MissingKey]
    );
    assert_eq!(
        faults(&case(
            "trunk = \"carrier\", from = \"1\", to = \"2\"",
            "status = 404"
        )),
        [Code::UnknownName]
    );
    assert_eq!(faults(&case(good, "")), [Code::MissingKey]);
    assert_eq!(faults(&case(good, "status = 200")), [Code::OutOfRange]);
    assert_eq!(
        faults(&case(good, "cause = \"no_rout\"")),
        [Code::UnknownValue]
    );
    assert_eq!(
        faults(&case(good, "dropped = \"me\"")),
        [Code::UnknownValue]
    );
    assert_eq!(
        faults(&case(good, "status = 404, trunk = \"carrier-a\"")),
        [Code::Contradiction]
    );
    assert_eq!(faults(&case(good, "headers = [\"X\"]")), [Code::BadForm]);
    assert_eq!(
        faults(&case(good, "hedaers = [\"X: y\"], status = 404")),
        [Code::UnknownKey]
    );
    let line_end = format!("{good}, headers = [\"X: a\\r\\nY: b\"]");
    assert!(faults(&case(&line_end, "status = 404")).contains(&Code::BadForm));
    let codec = format!("{good}, codecs = [\"PCMX\"]");
    assert_eq!(faults(&case(&codec, "status = 404")), [Code::UnknownValue]);
    let listener = format!("{good}, listener = \"x\"");
    assert_eq!(
        faults(&case(&listener, "status = 404")),
        [Code::UnknownName]
    );
    let twice = format!("{0}{0}", case(good, "status = 404"));
    assert_eq!(faults(&twice), [Code::DuplicateName]);
    let many: String = (0..501)
        .map(|at| case(good, "status = 404").replace("\"t\"", &format!("\"t{at}\"")))
        .collect();
    assert_eq!(faults(&many), [Code::OutOfRange]);
}

#[test]
fn every_route_that_was_passed_by_is_named_with_its_reason() {
    let config = CONFIG.replace(
        "[[route]]\nname = \"to-teams\"",
        "[[route]]\nname = \"premium\"\nmatch = { called = '^\\+49900' }\nto = [{ trunk = \"carrier-a\" }]\n\n\
         [[route]]\nname = \"to-teams\"",
    );
    let played = played(
        &config,
        &call("teams-contoso", "+493023125456", "+498999998001"),
    );
    let rules = played.rules.join("\n");
    assert!(
        rules.contains(r#"route "premium" does not match: the called number is not like ^\+49900"#),
        "{rules}"
    );
    assert!(
        rules.contains(
            "route \"to-teams\" does not match: it is for calls from trunk \"carrier-a\""
        ),
        "{rules}"
    );
    assert!(
        rules.contains("route \"to-carrier\" leads to carrier-a"),
        "{rules}"
    );
    assert!(
        rules.contains("trunk \"teams-contoso\" has no limits"),
        "{rules}"
    );
    let first = &played.tries[0];
    let rules = first.rules.join("\n");
    assert!(rules.contains("From shows the caller"), "{rules}");
    assert!(rules.contains("no identity is asserted"), "{rules}");
    assert_eq!(played.tries.len(), 2);
    assert_eq!(played.tries[1].host, "198.51.100.21");
}

#[test]
fn every_number_rule_and_every_header_is_told() {
    let config = format!(
        "{}\n[[transform]]\nname = \"in\"\nwhen = {{ trunk = \"carrier-a\", dir = \"in\" }}\n\
         called = [{{ match = '^0(\\d+)$', set = '+49$1' }}]\n\n\
         [[transform]]\nname = \"out\"\nwhen = {{ trunk = \"teams-contoso\", dir = \"out\" }}\n\
         called = [{{ match = '^\\+49(\\d+)$', set = '+49$1' }}, {{ match = '^x', set = 'y' }}]\n",
        CONFIG.replace(
            "fqdn = \"sbc1.contoso.example\"",
            "fqdn = \"sbc1.contoso.example\"\nheaders = { pass = [\"X-Kept\"], strip = [\"Subject\"], set = { X-Set = \"1\" } }"
        )
    );
    let mut described = call("carrier-a", "+498999998001", "03023125456");
    for (name, value) in [
        ("X-Kept", "1"),
        ("X-Gone", "2"),
        ("Subject", "3"),
        ("Organization", "4"),
    ] {
        described.headers.push((name.to_owned(), value.to_owned()));
    }
    let played = played(&config, &described);
    let rules = played.rules.join("\n");
    assert!(
        rules.contains("transform \"in\" changed the called number 03023125456 to +493023125456"),
        "{rules}"
    );
    let rules = played.tries[0].rules.join("\n");
    for expected in [
        "X-Kept passes: \"pass\" of trunk \"teams-contoso\" lists it",
        "X-Gone stays behind: it is not in \"pass\" of trunk \"teams-contoso\"",
        "Subject stays behind: \"strip\" of trunk \"teams-contoso\" lists it",
        "Organization passes by the built-in table",
        "X-Set is set to 1",
    ] {
        assert!(rules.contains(expected), "{expected}\n{rules}");
    }
}

#[test]
fn what_a_call_for_help_brings_is_told_to_pass_as_it_does() {
    let told = |to: &str, priority: &str| {
        let mut described = call("teams-contoso", "+493023125456", to);
        for (name, value) in [
            ("Priority", priority),
            ("Geolocation", "<https://lis.example.com/1>"),
            ("X-Gone", "1"),
        ] {
            described.headers.push((name.to_owned(), value.to_owned()));
        }
        played(&helping(), &described).tries[0].rules.join("\n")
    };
    let rules = told("112", "emergency");
    for expected in [
        "Priority passes: it is a call for help",
        "Geolocation passes: it is a call for help",
        "X-Gone stays behind",
    ] {
        assert!(rules.contains(expected), "{expected}\n{rules}");
    }
    let rules = told("+498999998001", "normal");
    for expected in ["Geolocation stays behind", "Priority stays behind"] {
        assert!(rules.contains(expected), "{expected}\n{rules}");
    }
    assert!(!rules.contains("call for help"), "{rules}");
}

#[test]
fn a_trunk_that_registers_counts_as_registered_and_names_have_addresses() {
    let config = CONFIG.replace(
        "targets = [\"198.51.100.20:5060;udp\", \"198.51.100.21:5060;udp\"]\naccept_from = [\"198.51.100.16/28\"]",
        "targets = [\"sip.telco.example:5060;udp\"]\nmode = \"register\"\n\
         register = { aor = \"sip:4930123@telco.example\", require_registered = true }\n\
         digest = { username = \"4930123\", password = { env = \"X\" }, realms = [\"telco.example\"] }",
    );
    let out = played(
        &config,
        &call("teams-contoso", "+493023125456", "+498999998001"),
    );
    assert_eq!(out.tries.len(), 1, "{:?}", out.refusal);
    assert_eq!(out.tries[0].host, "sip.telco.example");
    let back = played(
        &config,
        &call("carrier-a", "+498999998001", "+493023125456"),
    );
    assert_eq!(back.tries.len(), 2, "{:?} {:?}", back.refusal, back.dropped);
}

#[test]
fn the_same_description_gives_the_same_octets() {
    let call = call("carrier-a", "+498999998001", "+493023125456");
    let (one, two) = (played(CONFIG, &call), played(CONFIG, &call));
    assert_eq!(one.tries[0].message.bytes(), two.tries[0].message.bytes());
    assert_eq!(one.tries.len(), 2);
}

#[test]
fn the_starter_configuration_has_tests_and_they_hold() {
    let sources = [Source::new("causeway.toml", sbc_core::config::starter())];
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let loaded = load(&sources, &facts, None).and_then(gate);
    let loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings.to_text()));
    assert_eq!(loaded.cases.len(), 2);
}

#[test]
fn numbers_that_lead_nowhere_are_told_apart() {
    passes(
        r#"
[[test]]
name = "too short"
call = { trunk = "carrier-a", from = "+498999998001", to = "+49302312545" }
expect = { status = 484, cause = "number_unknown" }

[[test]]
name = "too long"
call = { trunk = "carrier-a", from = "+498999998001", to = "+4930231254560001" }
expect = { status = 604, cause = "number_unknown" }

[[test]]
name = "too long, from the customer"
call = { trunk = "teams-contoso", from = "+493023125456", to = "+4989999980010001" }
expect = { status = 484, cause = "number_unknown" }

[[test]]
name = "nobody's"
call = { trunk = "carrier-a", from = "+498999998001", to = "+493023126" }
expect = { status = 404 }

[[test]]
name = "a country"
call = { trunk = "carrier-a", from = "+498999998001", to = "+49" }
expect = { status = 404 }
"#,
    );
}

#[test]
fn a_call_from_too_far_away_is_refused_where_the_trunk_says_so() {
    let config = CONFIG.replace(
        "codecs = [\"PCMA\", \"PCMU\"]\n",
        "codecs = [\"PCMA\", \"PCMU\"]\nmax_forwards_min = 40\n",
    );
    for (hops, status) in [("39", Some(483)), ("40", None)] {
        let mut described = call("carrier-a", "+498999998001", "+493023125456");
        described
            .headers
            .push(("Max-Forwards".to_owned(), hops.to_owned()));
        let played = played(&config, &described);
        assert_eq!(played.refusal.and_then(|refusal| refusal.status), status);
    }
}

#[test]
fn names_of_alerts_cross_and_addresses_of_sounds_do_not() {
    passes(
        r#"
[[test]]
name = "alerts"
call = { trunk = "carrier-a", from = "+498999998001", to = "+493023125456", headers = [
    "Alert-Info: <http://sounds.example.com/a.wav>, <urn:alert:source:external>;info=x", "Call-Info: <http://pictures.example.com/a.png>;purpose=icon" ] }
expect = { headers = ["Alert-Info: <urn:alert:source:external>;info=x"], absent = ["Call-Info"] }
"#,
    );
    let text = fails(
        r#"
[[test]]
name = "sounds"
call = { trunk = "carrier-a", from = "+498999998001", to = "+493023125456", headers = [
    "Alert-Info: <http://sounds.example.com/a.wav>" ] }
expect = { headers = ["Alert-Info: *"] }
"#,
    );
    assert!(text.contains("the INVITE has no Alert-Info"), "{text}");
}

#[test]
fn routes_may_ask_who_forwarded_a_call_and_to_whom_a_number_was_ported() {
    let routes = r#"
[[route]]
name = "forwarded"
match = { from_trunk = "teams-contoso", diverting = '^\+49302312540' }
to = [{ trunk = "carrier-b" }]

[[route]]
name = "ported"
match = { from_trunk = "teams-contoso", routing_number = '^\+49199' }
to = [{ trunk = "carrier-b" }]

[[route]]
name = "to-teams"
"#;
    let trunk = r#"
[[trunk]]
name = "carrier-b"
tenant = "contoso"
realm = "carrier"
targets = ["198.51.100.60:5060;udp"]

[[tenant]]
"#;
    let config = CONFIG.replacen("[[tenant]]\n", trunk, 1).replacen(
        "[[route]]\nname = \"to-teams\"\n",
        routes,
        1,
    );
    let goes = |to: &str, header: Option<(&str, &str)>| {
        let mut described = call("teams-contoso", "+493023125456", to);
        let headers = header.into_iter();
        described
            .headers
            .extend(headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let played = played(&config, &described);
        (
            played.tries[0].trunk.as_str().to_owned(),
            played.rules.join("\n"),
        )
    };
    let at = "sbc1.contoso.example:5061;user=phone";
    let plain = goes("+498999998001", None);
    assert_eq!(plain.0, "carrier-a");
    assert!(
        plain
            .1
            .contains("no number like ^\\+49302312540 has forwarded the call"),
        "{}",
        plain.1
    );
    assert!(
        plain.1.contains("not ported to one like ^\\+49199"),
        "{}",
        plain.1
    );
    let diversion = "<sip:+493023125401@sip.example.com>;reason=unconditional";
    assert_eq!(
        goes("+498999998001", Some(("Diversion", diversion))).0,
        "carrier-b"
    );
    let other = diversion.replace("5401", "5999");
    assert_eq!(
        goes("+498999998001", Some(("Diversion", &other))).0,
        "carrier-a"
    );
    for (params, trunk) in [
        (";npdi;rn=+49-199-1", "carrier-b"),
        // Nobody has asked the data base: the number may be old.
        (";rn=+491991", "carrier-a"),
        (";npdi;rn=+492991", "carrier-a"),
        (";npdi", "carrier-a"),
    ] {
        let to = format!("<sip:+498999998001{params}@{at}>");
        assert_eq!(goes(&to, None).0, trunk, "{params}");
    }
}
