//! Numbers on their way, by hand: rules of every kind, dialling plans, parameters of numbers, who is
//! named where, and what transforms make that nobody can write (SIP-017, SIP-1004, SIP-1020 to
//! SIP-1023).

use crate::world;

use sbc_core::config::{Assumed, Source, load};
use sbc_core::event::TargetFault;
use sbc_core::sip::{HeaderName, Message, Method};
use world::call::header;
use world::*;

const CODECS: &str = "codecs = [\"PCMA\", \"PCMU\"]";

/// The usual world with another line for the carrier's trunk, and more after it.
pub(crate) fn world(line: &str, more: &str) -> String {
    CONFIG.replace(CODECS, &format!("{CODECS}\n{line}")) + more
}

/// A call of Teams to this number, as the carrier gets it.
fn outward(config: &str, uri: &str, lines: &str) -> Message {
    let mut shard = Shard::with(config_of(config));
    shard.teams_says(&dialled(uri, lines));
    shard.next_response(100);
    shard.next_request(Method::Invite).message
}

fn dialled(uri: &str, lines: &str) -> String {
    let invite = teams_invite("call");
    let (first, rest) = invite.split_once('\n').expect("lines");
    assert!(first.starts_with("INVITE "));
    format!("INVITE {uri} SIP/2.0\n{lines}{rest}")
}

fn plain(number: &str) -> String {
    format!("sip:{number}@sbc1.contoso.example:5061;user=phone;transport=tls")
}

fn uri(message: &Message) -> String {
    String::from_utf8_lossy(&message.request_uri()).into_owned()
}

pub(crate) fn out_rules(rules: &str) -> String {
    format!(
        "\n[[transform]]\nname = \"out\"\nwhen = {{ trunk = \"carrier-a\", dir = \"out\" }}\n{rules}\n"
    )
}

#[test]
fn rules_are_expressions_beginnings_lengths_and_single_numbers() {
    let rules = out_rules(
        "called = [
    { number = \"+4989\", set = \"0800\" },
    { prefix = \"+4930\", length = \"9-14\", replace = \"030\" },
    { match = '^\\+49(\\d+)$', set = \"0$1\" },
    { prefix = \"+\", replace = \"00\" },
    { length = \"3\", replace = \"9\" },
]",
    );
    let config = world("", &rules);
    for (dialled, becomes) in [
        ("+4989", "0800"),
        ("+49301234567", "0301234567"),
        ("+49301", "0301"),
        ("+498999998001", "08999998001"),
        ("+15550100", "0015550100"),
        ("115", "9115"),
        ("1155", "1155"),
    ] {
        let invite = outward(&config, &plain(dialled), "");
        assert_eq!(
            uri(&invite),
            format!("sip:{becomes}@198.51.100.20"),
            "{dialled}"
        );
    }
}

#[test]
fn users_who_share_a_number_are_reached_by_the_extension_that_a_rule_writes() {
    for rule in [
        "match = '^\\+4930231254(\\d\\d)$', set = '+493023125000;ext=1$1'",
        "prefix = \"+4930231254\", set = \"+493023125000;ext=1\"",
        "number = \"+493023125456\", set = \"+493023125000;ext=156\"",
    ] {
        let rules = format!(
            "\n[[transform]]\nname = \"shared\"\nwhen = {{ trunk = \"teams-contoso\", dir = \"out\" }}\n\
             called = [{{ {rule} }}]\n"
        );
        let mut shard = Shard::with(config_of(&(CONFIG.to_owned() + &rules)));
        shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let user = "sip:+493023125000;ext=156@sip.pstnhub.microsoft.com:5061;user=phone";
        assert!(uri(&invite).starts_with(user), "{}", uri(&invite));
        let to = header(&invite, HeaderName::To);
        assert!(
            to.starts_with("<sip:+493023125000;ext=156@sip.pstn"),
            "{to}"
        );
        // Nothing else of a user part may be written, and no extension where none is sent.
        for (from, to) in [
            (";ext=1", ";isub=1"),
            (";ext=1", ";ext=1;x=1"),
            ("dir = \"out\"", "dir = \"in\""),
            ("called", "calling"),
        ] {
            let text = CONFIG.to_owned() + &rules.replace(from, to);
            let facts = Assumed::default();
            let findings = load(&[Source::new("test.toml", text)], &facts, None).expect_err(to);
            let mut causes = findings.errors.iter().map(|finding| &finding.cause);
            assert!(
                causes.any(|cause| cause.ends_with("cannot stand in a number")),
                "{to}: {findings:?}"
            );
        }
    }
}

#[test]
fn a_dialling_plan_works_in_both_directions() {
    let plan = "plan = { country = \"49\", international = \"00\", national = \"0\", area = \"30\", \
                base = \"+493023125\", extension = 3 }";
    let rules = format!(
        "\n[[transform]]\nname = \"in\"\nwhen = {{ trunk = \"teams-contoso\", dir = \"in\" }}\n{plan}\n{}",
        out_rules(plan)
    );
    let config = world("", &rules);
    let inward = CONFIG.to_owned()
        + "\n[[transform]]\nname = \"in\"\nwhen = { trunk = \"teams-contoso\", dir = \"in\" }\n"
        + plan;
    for (dialled, inside, outside) in [
        ("0015550100", "+15550100", "0015550100"),
        ("08999998001", "+498999998001", "08999998001"),
        ("9999800", "+49309999800", "0309999800"),
        ("456", "+493023125456", "456"),
        ("11", "11", "11"),
        ("+15550100", "+15550100", "0015550100"),
    ] {
        let invite = outward(&inward, &plain(dialled), "");
        assert_eq!(
            uri(&invite),
            format!("sip:{inside}@198.51.100.20"),
            "{dialled}"
        );
        let invite = outward(&config, &plain(dialled), "");
        assert_eq!(
            uri(&invite),
            format!("sip:{outside}@198.51.100.20"),
            "{dialled}"
        );
        // The calling number is in the plan too.
        let from = header(&invite, HeaderName::From);
        assert!(from.contains("<sip:456@"), "{from}");
    }
}

const HISTORY: &str = "History-Info: <sip:+493023125900@sip.pstnhub.microsoft.com>;index=1, \
<sip:+498999998001@sbc1.contoso.example;cause=302>;index=1.1;mp=1\n";

#[test]
fn numbers_that_forwarded_the_call_have_rules_of_their_own_or_those_of_callers() {
    let rules = |redirecting: &str| {
        out_rules(&format!(
            "calling = [{{ prefix = \"+49\", replace = \"0\" }}]\n{redirecting}"
        ))
    };
    let line = "identity = { diversion = \"diversion\" }";
    let told = |redirecting: &str| {
        let invite = outward(
            &world(line, &rules(redirecting)),
            &plain("+498999998001"),
            HISTORY,
        );
        header(&invite, HeaderName::Diversion)
    };
    let own = told("redirecting = [{ prefix = \"+\", replace = \"00\" }]");
    assert!(own.starts_with("<sip:00493023125900@192.0.2.11>"), "{own}");
    let same = told("");
    assert!(same.starts_with("<sip:03023125900@192.0.2.11>"), "{same}");
    // Routes ask for the number as the transforms of the way in make it.
    let routed = CONFIG.replace(
        "match = { from_trunk = \"teams-contoso\" }",
        "match = { from_trunk = \"teams-contoso\", diverting = '^900$' }",
    ) + "\n[[transform]]\nname = \"in\"\nwhen = { trunk = \"teams-contoso\", dir = \"in\" }\n\
          redirecting = [{ prefix = \"+493023125\", replace = \"\" }]\n";
    outward(&routed, &plain("+498999998001"), HISTORY);
}

#[test]
fn the_context_of_a_local_number_is_kept_while_it_is_the_same_number() {
    let local = "sip:911;phone-context=%2b1@sbc1.contoso.example;user=phone";
    let invite = outward(CONFIG, local, "");
    assert_eq!(uri(&invite), "sip:911;phone-context=+1@198.51.100.20");
    assert!(header(&invite, HeaderName::To).contains("<sip:911;phone-context=+1@198.51.100.20>"));
    let domain = "sip:7042;phone-context=example.com@sbc1.contoso.example";
    let invite = outward(CONFIG, domain, "");
    assert_eq!(
        uri(&invite),
        "sip:7042;phone-context=example.com@198.51.100.20"
    );
    // As E.164 it has none, and neither does another number.
    let rules = out_rules("called = [{ prefix = \"7\", replace = \"+49307\" }]");
    let invite = outward(&world("", &rules), domain, "");
    assert_eq!(uri(&invite), "sip:+49307042@198.51.100.20");
    // What could begin a header or another part of the URI is no context.
    let invite = outward(
        CONFIG,
        "sip:7042;phone-context=a%0d%0ab@sbc1.contoso.example",
        "",
    );
    assert!(!uri(&invite).contains('\r') && !uri(&invite).contains('\n'));
}

#[test]
fn parameters_of_numbers_pass_where_they_are_listed_and_in_their_order() {
    let asked = "sip:+498999998001;tgrp=tg1;trunk-context=example.com;npdi;rn=+498999;cic=+1-234;\
                 ext=77@sbc1.contoso.example;user=phone";
    let invite = outward(CONFIG, asked, "");
    assert_eq!(uri(&invite), "sip:+498999998001;ext=77@198.51.100.20");
    let groups = world(
        "identity = { number_params = [\"tgrp\", \"trunk-context\"] }",
        "",
    );
    let invite = outward(&groups, asked, "");
    let expected = "sip:+498999998001;ext=77;tgrp=tg1;trunk-context=example.com@198.51.100.20";
    assert_eq!(uri(&invite), expected);
    let ported = world(
        "identity = { number_params = [\"rn\", \"npdi\", \"cic\"] }",
        "",
    );
    let invite = outward(&ported, asked, "");
    let expected = "sip:+498999998001;ext=77;cic=+1-234;npdi;rn=+498999@198.51.100.20";
    assert_eq!(uri(&invite), expected);
}

#[test]
fn user_phone_is_added_removed_or_left_as_it_came() {
    let asked = |form: &str, phone: &str| {
        let config = world(&format!("identity = {{ user_phone = \"{form}\" }}"), "");
        let invite = outward(
            &config,
            &format!("sip:+498999998001@sbc1.contoso.example{phone}"),
            "",
        );
        uri(&invite).ends_with(";user=phone")
    };
    assert!(asked("always", ";user=phone") && asked("always", ""));
    assert!(!asked("never", ";user=phone") && !asked("never", ""));
    assert!(asked("pass", ";user=phone") && !asked("pass", ""));
}

#[test]
fn the_host_of_from_and_the_user_of_contact_are_the_operators_choice() {
    let said = |identity: &str| {
        let config = world(&format!("identity = {{ {identity} }}"), "");
        let invite = outward(&config, &plain("+498999998001"), "");
        (
            header(&invite, HeaderName::From),
            header(&invite, HeaderName::Contact),
        )
    };
    let (from, contact) = said("");
    assert!(from.contains("<sip:+493023125456@192.0.2.11>"), "{from}");
    assert!(
        contact.starts_with("<sip:+493023125456@192.0.2.11:5060"),
        "{contact}"
    );
    let (from, contact) = said("from_host = \"peer\", contact_user = \"none\"");
    assert!(from.contains("<sip:+493023125456@198.51.100.20>"), "{from}");
    assert!(contact.starts_with("<sip:192.0.2.11:5060"), "{contact}");
    let (from, contact) = said(
        "from_host = \"ims.example.com\", contact_user = \"pilot\", number = \"+493023125000\"",
    );
    assert!(
        from.contains("<sip:+493023125456@ims.example.com>"),
        "{from}"
    );
    assert!(
        contact.starts_with("<sip:+493023125000@192.0.2.11:5060"),
        "{contact}"
    );
    let (_, contact) = said("contact_user = \"trunk-17\"");
    assert!(
        contact.starts_with("<sip:trunk-17@192.0.2.11:5060"),
        "{contact}"
    );
}

#[test]
fn a_called_number_that_nothing_is_left_of_fails_the_call_and_says_why() {
    let rules = out_rules("called = [{ prefix = \"+498999998001\", replace = \"\" }]");
    let mut shard = Shard::with(config_of(&world("", &rules)));
    shard.teams_says(&teams_invite("call"));
    shard.next_response(100);
    // What a carrier would be told is 500; Teams is told what makes it try elsewhere.
    shard.next_response(503);
    assert!(shard.sent.is_empty(), "no INVITE leaves");
    let record = &shard.records[0];
    assert_eq!(record.egress[0].fault, Some(TargetFault::Unwritable));
    let because = record.cause.because.0.join("; ");
    assert!(
        because.contains("a transform left a number that cannot be written"),
        "{because}"
    );
}

#[test]
fn a_calling_number_that_cannot_be_written_fails_the_call_or_stays_out() {
    let rules = out_rules(
        "calling = [{ match = '^\\+493023125456$', set = \"\" }]
redirecting = [{ match = '^\\+493023125900$', set = \"\" }]",
    );
    let asserted = "P-Asserted-Identity: <sip:+493023125456@sip.pstnhub.microsoft.com>\n";
    let lines = format!("{HISTORY}{asserted}");
    let trunk = |on_error: &str| {
        format!("trusted = true\nidentity = {{ diversion = \"diversion\"{on_error} }}")
    };
    let mut shard = Shard::with(config_of(&world(&trunk(""), &rules)));
    shard.teams_says(&dialled(&plain("+498999998001"), &lines));
    shard.next_response(100);
    shard.next_response(503);
    let config = world(&trunk(", on_error = \"drop\""), &rules);
    let invite = outward(&config, &plain("+498999998001"), &lines);
    let from = header(&invite, HeaderName::From);
    assert!(from.contains("<sip:anonymous@anonymous.invalid>"), "{from}");
    assert!(!invite.has(HeaderName::PAssertedIdentity) && !invite.has(HeaderName::Diversion));
}

#[test]
fn mistakes_in_rules_plans_and_templates_are_told() {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let told = |text: &str, cause: &str| {
        let findings = load(&[Source::new("test.toml", text)], &facts, None).expect_err(cause);
        assert!(findings.to_text().contains(cause), "{}", findings.to_text());
    };
    for (rules, cause) in [
        (
            "called = [{ set = \"1\" }]",
            "nothing says which numbers the rule is about",
        ),
        (
            "called = [{ match = '1', prefix = \"1\", set = \"1\" }]",
            "in several ways",
        ),
        (
            "called = [{ prefix = \"00x\", set = \"+\" }]",
            "is no part of a number",
        ),
        (
            "called = [{ prefix = \"00\", length = \"9-3\", set = \"+\" }]",
            "is no range",
        ),
        (
            "called = [{ prefix = \"00\", set = \"+ 1\" }]",
            "cannot stand in a number",
        ),
        (
            "called = [{ length = \"3\", set = \"\" }]",
            "the rule changes nothing",
        ),
        ("plan = { country = \"+49\" }", "are no digits"),
        (
            "plan = { country = \"49\", base = \"+4930\" }",
            "base and extension go together",
        ),
    ] {
        told(&world("", &out_rules(rules)), cause);
    }
    for (identity, cause) in [
        ("from_host = \"not a host\"", "is no host"),
        ("contact_user = \"pilot\"", "\"number\" is missing"),
        ("contact_user = \"a b\"", "is no user"),
        ("number_params = [\"verstat\"]", "never passes"),
    ] {
        told(&world(&format!("identity = {{ {identity} }}"), ""), cause);
    }
}

#[test]
fn a_local_number_in_a_tel_uri_needs_its_context() {
    for (uri, wanted) in [
        ("tel:25456", 400),
        ("tel:25456;ext=5", 400),
        ("tel:25456;phone-context=+493023125", 404),
        ("tel:25456;phone-context=example.com", 404),
        ("sip:25456@192.0.2.11", 404),
    ] {
        let mut shard = Shard::new();
        let invite = carrier_invite("local", CARRIER_SDP);
        let (first, _) = invite.split_once('\n').expect("lines");
        shard.carrier_says(&invite.replace(first, &format!("INVITE {uri} SIP/2.0")));
        shard.next_response(100);
        let answer = shard.next().message.status().map(|status| status.code());
        assert_eq!(answer, Some(wanted), "{uri}");
        shard.settles();
    }
    let mut shard = Shard::new();
    let invite = carrier_invite("global", CARRIER_SDP);
    let (first, _) = invite.split_once('\n').expect("lines");
    shard.carrier_says(&invite.replace(first, "INVITE tel:+49-30-23125456 SIP/2.0"));
    shard.next_response(100);
    shard.next_request(Method::Invite);
}

/// The usual world whose carrier serves one customer, so that any number leads to Teams.
pub(crate) fn towards_teams(line: &str, more: &str) -> String {
    let fqdn = "fqdn = \"sbc1.contoso.example\"";
    CONFIG
        .replace("tenant = \"*\"", "tenant = \"contoso\"")
        .replace("called_in = \"tenant:contoso\", ", "")
        .replace(fqdn, &format!("{fqdn}\n{line}"))
        + more
}

pub(crate) fn invite_from(caller: &str, called: &str) -> String {
    carrier_invite("form", CARRIER_SDP)
        .replace("sip:+493023125456@", &format!("sip:{called}@"))
        .replace("sip:+498999998001@", &format!("sip:{caller}@"))
}

#[test]
fn a_number_without_plus_reaches_teams_where_a_transform_adds_it_and_is_refused_elsewhere() {
    let rule = "\n[[transform]]\nname = \"plus\"\nwhen = { trunk = \"teams-contoso\", dir = \"out\" }\n\
                called = [{ match = '^0([1-9]\\d+)$', set = '+49$1' }]\n";
    let mut shard = Shard::with(config_of(&towards_teams("", rule)));
    shard.carrier_says(&invite_from("+498999998001", "03023125456"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert!(
        uri(&invite).starts_with("sip:+493023125456@"),
        "{}",
        uri(&invite)
    );

    for called in ["3023125456", "%2b49abc", "reception", "*21#"] {
        let mut shard = Shard::with(config_of(&towards_teams("", rule)));
        shard.carrier_says(&invite_from("+498999998001", called));
        shard.next_response(100);
        shard.next_response(404);
        assert!(shard.sent.is_empty(), "{called}: no INVITE leaves");
        let record = &shard.records[0];
        let fault = record.egress[0].fault.clone();
        assert_eq!(fault, Some(TargetFault::NumberForm), "{called}");
        let told = sbc_core::report::explain(record).to_string();
        for words in [
            "teams-contoso",
            "with + only",
            "[[transform]]",
            "number_format",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
    }
}

#[test]
fn a_number_without_plus_passes_where_rules_of_teams_are_said_to_add_it() {
    let digits = towards_teams("identity = { number_format = \"digits\" }", "");
    let mut shard = Shard::with(config_of(&digits));
    shard.carrier_says(&invite_from("+498999998001", "1001"));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite).message;
    assert!(uri(&invite).starts_with("sip:1001@"), "{}", uri(&invite));
    // What is no number at all goes nowhere.
    shard.sent.clear();
    shard.carrier_says(&invite_from("+498999998001", "reception").replace("form", "name"));
    shard.next_response(100);
    shard.next_response(404);
}

#[test]
fn a_caller_without_plus_is_shown_to_teams_as_it_is_and_a_name_is_not() {
    let caller = |caller: &str| {
        let mut shard = Shard::with(config_of(&towards_teams("", "")));
        shard.carrier_says(&invite_from(caller, "+493023125456"));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        header(&invite, HeaderName::From)
    };
    assert!(caller("089123456").contains("<sip:089123456@sbc1.contoso.example"));
    let named = caller("reception");
    assert!(
        named.contains("<sip:anonymous@anonymous.invalid>"),
        "{named}"
    );
}
