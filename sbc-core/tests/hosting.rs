//! Hosting: one carrier trunk towards Teams, and customers that are a name, numbers and a tenant.

use crate::world::call::header;
use crate::world::*;

use sbc_core::config::{Assumed, Code, Config, Findings, Source, effective, load};
use sbc_core::event::Happened;
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Message, Method};
use sbc_core::transport::Protocol;
use sbc_core::trunk::{TargetId, TargetState};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A carrier trunk below which customers are hosted, and two of them.
const HOSTING: &str = r#"
[node]
id = "sbc1"
user_agent = "Causeway"

[[realm]]
name = "teams"
addresses = ["192.0.2.10"]
ports = "40000-44999"

[[realm]]
name = "carrier"
addresses = ["192.0.2.11"]
ports = "20000-29999"

[[tls]]
name = "teams"
cert = "/etc/causeway/tls/sbc.pem"
key = { file = "/etc/causeway/tls/sbc.key" }
client_ca = "/etc/causeway/tls/roots.pem"
verify_client = "require"
allow_wildcard_san = true

[[listen]]
realm = "teams"
transport = "tls"
port = 5061
tls = "teams"

[[listen]]
realm = "carrier"
transport = "udp"
port = 5060

[[tenant]]
name = "adatum"

[[tenant]]
name = "contoso"
numbers = ["+493023125000-+493023125999"]

[[tenant]]
name = "fabrikam"
numbers = ["+493023126000-+493023126999"]

[[trunk]]
name = "teams"
preset = "teams"
tenant = "adatum"
realm = "teams"
fqdn = "customers.adatum.example"
targets = [
    { address = "sip.pstnhub.microsoft.com:5061;tls", connect_to = ["203.0.113.1:5061"] },
    { address = "sip2.pstnhub.microsoft.com:5061;tls", connect_to = ["203.0.113.2:5061"] },
    { address = "sip3.pstnhub.microsoft.com:5061;tls", connect_to = ["203.0.113.3:5061"] },
]
accept_from = ["203.0.113.0/24"]
codecs = ["PCMU"]
timers = { response_timeout = "3s", ring_timeout = "90s" }

[[trunk]]
name = "teams-contoso"
inherits = "teams"
tenant = "contoso"
fqdn = "contoso.customers.adatum.example"

[[trunk]]
name = "teams-fabrikam"
inherits = "teams"
tenant = "fabrikam"
fqdn = "fabrikam.customers.adatum.example"
timers = { ring_timeout = "60s" }

[[trunk]]
name = "carrier-a"
tenant = "*"
realm = "carrier"
targets = ["198.51.100.20:5060;udp"]
options = false

[[route]]
name = "to-teams"
match = { from_trunk = "carrier-a" }
to = [{ trunk = "teams" }]

[[route]]
name = "to-carrier"
match = { from_trunk = "teams" }
to = [{ trunk = "carrier-a" }]
"#;

/// The names that a certificate for hosting carries.
const NAMES: [&str; 3] = [
    "customers.adatum.example",
    "*.customers.adatum.example",
    "contoso.elsewhere.example",
];

fn hosting(text: &str) -> Arc<Config> {
    let facts = Assumed::with_names(NAMES);
    match load(&[Source::new("hosting.toml", text)], &facts, None) {
        Ok(loaded) => {
            let warnings = unexpected(&loaded.findings);
            assert_eq!(warnings, []);
            Arc::new(loaded.config)
        }
        Err(findings) => panic!("{}", findings.to_text()),
    }
}

/// The codes and causes of what is found.
fn found(text: &str) -> Vec<(Code, String)> {
    let result = load(
        &[Source::new("hosting.toml", text)],
        &Assumed::with_names(NAMES),
        None,
    );
    unexpected(&match result {
        Ok(loaded) => loaded.findings,
        Err(findings) => findings,
    })
}

/// What is found beside the addresses of Teams, which are ours here, and customers that call nobody for help.
fn unexpected(findings: &Findings) -> Vec<(Code, String)> {
    let found = findings.errors.iter().chain(&findings.warnings);
    found
        .filter(|finding| !matches!(finding.code, Code::PinnedAddress | Code::NoEmergency))
        .map(|finding| (finding.code, finding.cause.clone()))
        .collect()
}

#[test]
fn a_customer_is_a_name_a_tenant_and_numbers_and_has_the_rest_of_the_carrier_trunk() {
    let config = hosting(HOSTING);
    let carrier = &config.trunks[&"teams".into()];
    let contoso = &config.trunks[&"teams-contoso".into()];
    let fabrikam = &config.trunks[&"teams-fabrikam".into()];
    assert_eq!(contoso.carrier.as_ref(), Some(&carrier.name));
    assert_eq!(
        (
            &contoso.targets,
            &contoso.accept_from,
            &contoso.realm,
            &contoso.tls
        ),
        (
            &carrier.targets,
            &carrier.accept_from,
            &carrier.realm,
            &carrier.tls
        )
    );
    assert_eq!(contoso.media.profile.codecs, carrier.media.profile.codecs);
    assert_eq!(contoso.media.profile.codecs.len(), 1);
    assert_eq!(contoso.timers, carrier.timers);
    // A table is inherited key by key.
    assert_eq!(fabrikam.timers.response_timeout, Duration::from_secs(3));
    assert_eq!(fabrikam.timers.ring_timeout, Duration::from_secs(60));
    assert_eq!(
        contoso.fqdn.as_deref(),
        Some("contoso.customers.adatum.example")
    );
}

#[test]
fn number_rules_of_the_carrier_trunk_are_not_those_of_derived_ones() {
    let rule = "\n[[transform]]\nname = \"local\"\nwhen = { trunk = \"teams\", dir = \"in\" }\n\
                called = [{ match = '^(\\d{4})$', set = '+49$1' }]\n";
    let config = hosting(&format!("{HOSTING}{rule}"));
    let changed = |trunk: &str| {
        let scope = sbc_core::config::TransformScope::In(trunk.into());
        sbc_core::policy::number::transform_called(&config, &scope, "1234").value
    };
    assert_eq!(changed("teams"), "+491234");
    assert_eq!(changed("teams-contoso"), "1234");
}

#[test]
fn fifty_customers_cost_three_options_a_minute() {
    let mut written = HOSTING.to_owned();
    for customer in 0..50 {
        written += &format!(
            "[[tenant]]\nname = \"c{customer}\"\n[[trunk]]\nname = \"c{customer}\"\n\
             inherits = \"teams\"\ntenant = \"c{customer}\"\n\
             fqdn = \"c{customer}.customers.adatum.example\"\n"
        );
    }
    let mut shard = Shard::with(hosting(&written));
    let config = hosting(&written);
    shard.apply(Input::Config(config));
    let mut asked = Vec::new();
    for _ in 0..3 {
        shard.pass(Duration::from_secs(60));
        let options: Vec<Sent> = shard.sent.drain(..).collect();
        for sent in options {
            assert_eq!(*sent.message.method(), Method::Options);
            let said = text(&sent);
            assert!(
                said.contains("Contact: <sip:customers.adatum.example:5061;transport=tls>"),
                "{said}"
            );
            asked.push(sent.hop.remote);
            let answer = response(&sent.message, "200 OK", "x", "", "");
            let mut flow = teams_flow();
            flow.remote = sent.hop.remote;
            shard.receive(flow, &answer);
        }
    }
    // The first leave within five seconds, later ones 60 to 65 seconds after the one before.
    assert!((6..=9).contains(&asked.len()), "{asked:?}");
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn what_options_of_the_carrier_trunk_find_out_counts_for_every_customer() {
    let mut shard = Shard::with(hosting(HOSTING));
    shard.apply(Input::TargetHealth {
        target: TargetId {
            trunk: "teams".into(),
            host: "sip.pstnhub.microsoft.com".to_owned(),
            protocol: Protocol::Tls,
            remote: TEAMS.parse().ok(),
        },
        state: TargetState::Down,
    });
    shard.carrier_says(&carrier_invite("down", CARRIER_SDP));
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert_eq!(invite.hop.remote.to_string(), "203.0.113.2:5061");
}

#[test]
fn what_becomes_of_calls_of_one_customer_says_nothing_about_another() {
    let mut shard = Shard::with(hosting(HOSTING));
    for call in 0..5 {
        shard.carrier_says(&carrier_invite(&format!("bad{call}"), CARRIER_SDP));
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite);
        assert_eq!(invite.hop.remote.to_string(), TEAMS);
        let busy = response(&invite.message, "503 Service Unavailable", "x", "", "");
        shard.teams_says(&busy);
        shard.sent.clear();
    }
    let other = carrier_invite("good", CARRIER_SDP).replace("+493023125456", "+493023126456");
    shard.carrier_says(&other);
    shard.next_response(100);
    let invite = shard.next_request(Method::Invite);
    assert_eq!(invite.hop.remote.to_string(), TEAMS);
}

#[test]
fn a_route_to_the_carrier_trunk_leads_to_the_customers_own_and_back() {
    let mut shard = Shard::with(hosting(HOSTING));
    for (number, name) in [("+493023125456", "contoso"), ("+493023126456", "fabrikam")] {
        let invite = carrier_invite(name, CARRIER_SDP).replace("+493023125456", number);
        shard.carrier_says(&invite);
        shard.next_response(100);
        let sent = text(&shard.next_request(Method::Invite));
        let contact = format!("Contact: <sip:+498999998001@{name}.customers.adatum.example:5061");
        assert!(sent.contains(&contact), "{sent}");
    }
    let mut shard = Shard::with(hosting(HOSTING));
    let invite =
        teams_invite("out").replace("sbc1.contoso.example", "fabrikam.customers.adatum.example");
    shard.teams_says(&invite.replace("+493023125456", "+493023126456"));
    shard.next_response(100);
    let sent = shard.next_request(Method::Invite);
    assert_eq!(sent.hop.remote.to_string(), CARRIER);
    let admitted = shard.happened.iter().any(|what| {
        matches!(what, Happened::Admitted { tenant: Some(tenant), trunk, .. }
            if tenant.as_str() == "fabrikam" && trunk.as_str() == "teams-fabrikam")
    });
    assert!(admitted, "{:?}", shard.happened);
}

#[test]
fn a_customer_may_not_replace_a_leg_of_another_one() {
    for is_answered in [false, true] {
        let mut shard = Shard::with(hosting(HOSTING));
        let call = carrier_invite("call", CARRIER_SDP).replace("+493023125456", "+493023126456");
        shard.carrier_says(&call);
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        assert!(text_of(&invite).contains("fabrikam.customers.adatum.example"));
        let status = match is_answered {
            true => "200 OK",
            false => "180 Ringing",
        };
        let sdp = if is_answered { TEAMS_SDP } else { "" };
        shard.teams_says(&response(&invite, status, "x1", TEAMS_CONTACT, sdp));
        if is_answered {
            shard.next_request(Method::Ack);
        }
        shard.next_response(if is_answered { 200 } else { 180 });
        // The same machines of Microsoft speak for both.
        let from = header(&invite, HeaderName::From);
        let ours = from.split(";tag=").nth(1).expect("a tag");
        let id = header(&invite, HeaderName::CallId);
        let line = format!("Replaces: {id};to-tag={ours};from-tag=x1\n");
        let newcomer = |customer: &str| {
            let host = format!("{customer}.customers.adatum.example");
            let plain = teams_invite(customer).replace("sbc1.contoso.example", &host);
            let (head, _) = plain.split_once("Content-Type").expect("a body");
            with_body(&format!("{head}{line}"), TEAMS_SDP)
        };
        shard.teams_says(&newcomer("contoso"));
        shard.next_response(403);
        assert!(shard.sent.is_empty(), "{}", text(&shard.sent[0]));
        // Its own may.
        shard.teams_says(&newcomer("fabrikam"));
        shard.next_response(100);
    }
}

fn text_of(message: &Message) -> String {
    String::from_utf8_lossy(message.bytes()).into_owned()
}

/// RFC 1034 §3.1: the dot is that of the root.
#[test]
fn a_host_with_a_dot_at_its_end_is_the_same_host() {
    let called = |host: &str| {
        let mut shard = Shard::new();
        shard.teams_says(&teams_invite("dot").replace("sbc1.contoso.example", host));
        shard
    };
    let mut shard = called("SBC1.contoso.example.");
    shard.next_response(100);
    shard.next_request(Method::Invite);
    called("sbc2.contoso.example.").next_response(404);
}

#[test]
fn a_customer_without_a_derived_trunk_does_not_fall_to_the_carrier_trunk() {
    let text = HOSTING
        .replace("numbers = [\"+493023126000-+493023126999\"]", "")
        .replace(
            "[[tenant]]\nname = \"contoso\"",
            "[[tenant]]\nname = \"nobody\"\nnumbers = [\"+493023126000-+493023126999\"]\n\n\
             [[tenant]]\nname = \"contoso\"",
        );
    let mut shard = Shard::with(hosting(&text));
    let invite = carrier_invite("nobody", CARRIER_SDP).replace("+493023125456", "+493023126456");
    shard.carrier_says(&invite);
    shard.next_response(100);
    shard.next_response(404);
}

#[test]
fn what_cannot_be_derived_is_a_finding_with_its_remedy() {
    let derived = "tenant = \"contoso\"\nfqdn = \"contoso.customers.adatum.example\"";
    for (from, to, code, words) in [
        (
            "inherits = \"teams\"\ntenant = \"contoso\"",
            "inherits = \"carrier-a\"\ntenant = \"contoso\"",
            Code::Contradiction,
            "does not lead to Teams",
        ),
        (
            "inherits = \"teams\"\ntenant = \"contoso\"",
            "inherits = \"teams-fabrikam\"\ntenant = \"contoso\"",
            Code::Contradiction,
            "is derived from another trunk itself",
        ),
        (
            "inherits = \"teams\"\ntenant = \"contoso\"",
            "inherits = \"teems\"\ntenant = \"contoso\"",
            Code::UnknownName,
            "there is no trunk \"teems\"",
        ),
        (
            derived,
            "tenant = \"*\"\nfqdn = \"contoso.customers.adatum.example\"",
            Code::Contradiction,
            "is that of one customer",
        ),
        (
            "tenant = \"adatum\"",
            "tenant = \"*\"",
            Code::Contradiction,
            "cannot be everybody's",
        ),
        (
            derived,
            "tenant = \"contoso\"\nfqdn = \"contoso.elsewhere.example\"",
            Code::TeamsRule,
            "one label below customers.adatum.example",
        ),
        (
            derived,
            "tenant = \"contoso\"\nfqdn = \"contoso.customers.adatum.example\"\noptions = false",
            Code::Contradiction,
            "\"options\" is that of \"teams\"",
        ),
    ] {
        let text = HOSTING.replace(from, to);
        assert_ne!(text, HOSTING, "{from}");
        let mut found = found(&text);
        found.retain(|(code, _)| *code != Code::UnusedTrunk);
        let [(own, cause)] = &found[..] else {
            panic!("one mistake is one finding: {found:?}");
        };
        assert!(*own == code && cause.contains(words), "{words}: {found:?}");
    }
}

#[test]
fn a_mistake_that_is_inherited_is_told_once() {
    let text = HOSTING.replace("codecs = [\"PCMU\"]", "codecs = [\"PCMV\"]\ntypo = 1");
    let found = found(&text);
    let causes: Vec<&str> = found.iter().map(|(_, cause)| cause.as_str()).collect();
    assert_eq!(causes.len(), 2, "{causes:?}");
    assert!(
        causes
            .iter()
            .all(|cause| cause.starts_with("trunk \"teams\""))
    );
    // A mistake of the derived trunk is told of it.
    let text = HOSTING.replace("ring_timeout = \"60s\"", "ring_timeout = \"1s\"");
    let own = self::found(&text);
    assert!(own[0].1.starts_with("trunk \"teams-fabrikam\""), "{own:?}");
    assert_eq!(own.len(), 1);
}

#[test]
fn every_inherited_or_preset_setting_is_shown_with_its_reason() {
    let rule = "\n[[transform]]\nname = \"local\"\nwhen = { trunk = \"teams\", dir = \"in\" }\n\
                called = [{ match = '^(\\d{4})$', set = '+49$1' }]\n";
    let sources = [Source::new("hosting.toml", format!("{HOSTING}{rule}"))];
    let loaded = load(&sources, &Assumed::with_names(NAMES), None).expect("valid");
    let all = effective(&sources, &loaded);
    let object = |name: &str| {
        let found = all.iter().find(|one| one.name.as_deref() == Some(name));
        found.unwrap_or_else(|| panic!("no {name}"))
    };
    let told = |name: &str, key: &str| {
        let settings = &object(name).settings;
        let found: Vec<_> = settings.iter().filter(|one| one.key == key).collect();
        let [only] = found[..] else {
            panic!("{name} {key}: {found:?}");
        };
        (only.value.clone(), only.because.clone())
    };
    let line = |text: &str| {
        let lines = HOSTING.lines().take_while(|line| *line != text);
        format!("hosting.toml:{}", lines.count() + 1)
    };
    let tenant = ("\"contoso\"".to_owned(), line("tenant = \"contoso\""));
    assert_eq!(told("teams-contoso", "tenant"), tenant);
    let (codecs, because) = told("teams-contoso", "codecs");
    assert_eq!(codecs, "[\"PCMU\"]");
    let place = line("codecs = [\"PCMU\"]");
    assert_eq!(because, format!("inherited from trunk \"teams\", {place}"));
    let (ring, because) = told("teams-fabrikam", "timers.ring_timeout");
    assert_eq!(ring, "\"60s\"");
    assert!(!because.contains("inherited"), "{because}");
    let (_, because) = told("teams-fabrikam", "timers.response_timeout");
    assert!(because.contains("inherited"), "{because}");
    let (srtp, because) = told("teams-contoso", "srtp");
    assert_eq!(
        (srtp.as_str(), because.as_str()),
        ("required", "preset teams: Teams speaks SRTP only")
    );
    let (rules, because) = told("teams-contoso", "transform");
    assert_eq!(rules, "none");
    assert!(because.contains("not inherited"), "{because}");
    // A switched off table hides what the preset has in it.
    let keys: Vec<&str> = object("carrier-a")
        .settings
        .iter()
        .map(|one| one.key.as_str())
        .collect();
    assert!(
        keys.contains(&"options") && !keys.contains(&"options.interval"),
        "{keys:?}"
    );
}

/// Two customers with the same short numbers, each with a carrier trunk of its own beside a shared one.
fn with_local_numbers() -> String {
    let mut text = HOSTING.to_owned();
    for (name, address) in [("contoso", "198.51.100.40"), ("fabrikam", "198.51.100.41")] {
        let own = format!("[[tenant]]\nname = \"{name}\"\n");
        text = text.replace(&own, &format!("{own}local_numbers = [\"+1001-+1099\"]\n"));
        text += &format!(
            "[[trunk]]\nname = \"pbx-{name}\"\ntenant = \"{name}\"\nrealm = \"carrier\"\n\
             targets = [\"{address}:5060;udp\"]\noptions = false\n\
             [[route]]\nname = \"from-{name}\"\n\
             match = {{ from_trunk = \"pbx-{name}\", called_in = \"tenant:{name}\" }}\n\
             to = [{{ trunk = \"teams\" }}]\n\
             [[route]]\nname = \"to-{name}\"\nmatch = {{ from_trunk = \"teams-{name}\", called = '^1' }}\n\
             to = [{{ trunk = \"pbx-{name}\" }}]\n"
        );
    }
    // The narrower routes first.
    let general = "[[route]]\nname = \"to-carrier\"\nmatch = { from_trunk = \"teams\" }\n\
                   to = [{ trunk = \"carrier-a\" }]\n";
    assert!(text.contains(general));
    format!("{}{general}", text.replace(general, ""))
}

#[test]
fn a_number_that_several_customers_have_is_that_of_the_trunk_it_comes_in_on() {
    let mut shard = Shard::with(hosting(&with_local_numbers()));
    for (name, address) in [("contoso", "198.51.100.40"), ("fabrikam", "198.51.100.41")] {
        let invite = carrier_invite(name, CARRIER_SDP)
            .replace("+493023125456", "+1001")
            .replace("198.51.100.20", address);
        let mut flow = carrier_flow();
        flow.remote.set_ip(address.parse().expect("an address"));
        shard.receive(flow, &invite);
        shard.next_response(100);
        let sent = text(&shard.next_request(Method::Invite));
        let contact = format!("Contact: <sip:+498999998001@{name}.customers.adatum.example:5061");
        assert!(sent.contains(&contact), "{sent}");
        assert!(sent.starts_with("INVITE sip:+1001@"), "{sent}");
    }
}

#[test]
fn a_number_that_several_customers_have_is_refused_where_nothing_tells_them_apart() {
    let mut shard = Shard::with(hosting(&with_local_numbers()));
    let invite = carrier_invite("shared", CARRIER_SDP).replace("+493023125456", "+1001");
    shard.carrier_says(&invite);
    shard.next_response(100);
    shard.next_response(404);
    let record = shard.records.first().expect("a record");
    let because = record.cause.because.0.join("; ");
    assert!(
        because.contains("+1001 is a local number of \"contoso\", \"fabrikam\""),
        "{because}"
    );
}

#[test]
fn a_local_number_may_not_be_somebodys_whom_a_shared_trunk_reaches() {
    let both = with_local_numbers();
    assert_eq!(found(&both), []);
    let text = both.replace(
        "numbers = [\"+493023126000-+493023126999\"]",
        "numbers = [\"+493023126000-+493023126999\", \"+1050\"]",
    );
    let found = found(&text);
    let [(Code::NumberOverlap, cause)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(
        cause.contains("+1001-+1099 of tenant \"contoso\""),
        "{cause}"
    );
}
