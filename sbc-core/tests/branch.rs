//! A branch with an appliance that stands for Teams while that cannot be reached (TDR-SBA-002), and sites
//! whose calls must not leave their country another way (TDR-LBR-002).

use crate::emergency::uri;
use crate::world;

use sbc_core::config::{Assumed, Preset, Source, load};
use sbc_core::id::{FlowId, TlsContextName, TrunkName};
use sbc_core::input::Input;
use sbc_core::sip::{HeaderName, Method};
use sbc_core::transport::{Flow, FlowFault, PeerIdentity};
use std::sync::Arc;
use std::time::Duration;
use world::call::{body, header};
use world::*;

const APPLIANCE: &str = "192.0.2.200:5061";

/// The usual world with an appliance of the branch, which has the number of every user there.
fn branch() -> String {
    let route = "to = [{ trunk = \"teams-contoso\" }]";
    assert!(CONFIG.contains(route));
    CONFIG.replace(
        route,
        "to = [{ trunk = \"teams-contoso\" }, { trunk = \"branch\" }]",
    ) + r#"
[[tls]]
name = "branch"
cert = "/etc/causeway/tls/branch.pem"
key = { file = "/etc/causeway/tls/branch.key" }
client_ca = "/etc/causeway/tls/branch-ca.pem"
verify_client = "require"
[[listen]]
name = "branch"
realm = "teams"
transport = "tls"
port = 5062
tls = "branch"
[[trunk]]
name = "branch"
preset = "sba"
tenant = "contoso"
realm = "teams"
tls = "branch"
fqdn = "sbc1.contoso.example"
targets = [{ address = "sba1.branch.example:5061;tls", connect_to = ["192.0.2.200:5061"] }]
[[route]]
name = "from-branch"
match = { from_trunk = "branch" }
to = [{ trunk = "carrier-a" }]
"#
}

/// What the appliance sends.
fn appliance_flow(config: &sbc_core::config::Config) -> Flow {
    let mut listeners = config.listeners.values();
    let listener = listeners.find(|own| own.name.as_str() == "branch");
    Flow {
        id: FlowId(5),
        listener: listener.expect("its listener").name.clone(),
        local: "192.0.2.10:5062".parse().expect("address"),
        remote: "192.0.2.200:40100".parse().expect("address"),
        identity: Some(Arc::new(PeerIdentity {
            context: TlsContextName::new("branch"),
            names: vec!["sba1.branch.example".to_owned()],
            server_name: Some("sbc1.contoso.example".to_owned()),
        })),
        ..teams_flow()
    }
}

#[test]
fn an_appliance_is_spoken_to_as_teams_is_at_an_address_of_the_branch() {
    let config = config_of(&branch());
    let trunk = &config.trunks[&TrunkName::new("branch")];
    let teams = &config.trunks[&TrunkName::new("teams-contoso")];
    assert_eq!(trunk.preset, Preset::Teams);
    assert_eq!(trunk.targets.len(), 1, "and none of Microsoft's");
    assert!(
        trunk.accept_from.is_empty(),
        "only from where its targets are"
    );
    assert_eq!(trunk.accept_names, ["sba1.branch.example"]);
    assert_eq!(trunk.media.profile.srtp, teams.media.profile.srtp);
    assert_eq!((trunk.trusted, &trunk.allow), (teams.trusted, &teams.allow));
    // It is told where it is; without a name of its own and without TLS it is no such trunk.
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    for (from, to, cause) in [
        (
            "sba1.branch.example:5061;tls",
            "sba1.branch.example:5060;tcp",
            "Teams speaks TLS only",
        ),
        (
            "targets = [{ address = \"sba1.branch.example:5061;tls\", connect_to = [\"192.0.2.200:5061\"] }]",
            "",
            "\"targets\" is missing",
        ),
        (
            "client_ca = \"/etc/causeway/tls/branch-ca.pem\"\nverify_client = \"require\"",
            "verify_client = \"off\"",
            "lets peers in without certificate",
        ),
    ] {
        let text = branch().replace(from, to);
        assert_ne!(text, branch());
        let findings = load(&[Source::new("test.toml", &*text)], &facts, None).expect_err(cause);
        assert!(findings.to_text().contains(cause), "{}", findings.to_text());
    }
}

#[test]
fn a_call_reaches_the_appliance_when_no_proxy_of_teams_can_be_reached() {
    // Refused at once, or silent.
    for is_silent in [false, true] {
        let mut shard = Shard::with(config_of(&branch()));
        shard.carrier_says(&carrier_invite("call", CARRIER_SDP));
        shard.next_response(100);
        let mut tried = Vec::new();
        let invite = loop {
            let Some(sent) = shard.sent.pop_front() else {
                assert!(tried.len() < 9, "{tried:?}");
                shard.pass(Duration::from_millis(500));
                continue;
            };
            if *sent.message.method() != Method::Invite || !sent.message.is_request() {
                continue;
            }
            tried.push(sent.hop.remote.to_string());
            if sent.hop.remote.to_string() == APPLIANCE {
                break sent;
            }
            if !is_silent {
                shard.apply(Input::SendFailed {
                    transaction: sent.transaction.expect("of a transaction"),
                    why: FlowFault::Connect("network is unreachable".to_owned()),
                });
            }
        };
        assert_eq!(tried, [TEAMS, "203.0.113.2:5061", APPLIANCE], "{is_silent}");
        assert_eq!(
            invite.hop.tls.as_ref().map(|tls| tls.context.as_str()),
            Some("branch")
        );
        assert_eq!(
            uri(&invite).split(['@', ';', ':']).nth(1),
            Some("+493023125456")
        );
        let contact = header(&invite.message, HeaderName::Contact);
        assert!(contact.contains("sbc1.contoso.example"), "{contact}");
        assert!(body(&invite.message).contains("RTP/SAVP"));
    }
}

#[test]
fn a_call_of_the_branch_needs_nothing_but_the_local_carrier() {
    let config = config_of(&branch());
    let mut shard = Shard::with(Arc::clone(&config));
    let invite = teams_invite("local").replace("203.0.113.1", "192.0.2.200");
    shard.receive(appliance_flow(&config), &invite);
    shard.next_response(100);
    let sent = shard.next_request(Method::Invite);
    assert_eq!(sent.hop.remote.to_string(), CARRIER);
    assert!(shard.queries.is_empty(), "nothing is asked of DNS");
    // Another machine of the branch is nobody, whatever it calls itself, and so is one without its name.
    let stranger = Flow {
        remote: "192.0.2.201:40100".parse().expect("address"),
        ..appliance_flow(&config)
    };
    let mut nameless = appliance_flow(&config);
    nameless.identity = Some(Arc::new(PeerIdentity {
        context: TlsContextName::new("branch"),
        names: vec!["printer.branch.example".to_owned()],
        server_name: None,
    }));
    for flow in [stranger, nameless] {
        let mut shard = Shard::with(Arc::clone(&config));
        shard.receive(flow, &invite);
        assert!(shard.sent.is_empty());
    }
}

/// Two sites of a customer in a country that forbids toll bypass: each has its own name at Teams, its own
/// carrier and its own route.
fn sites() -> String {
    let teams = CONFIG
        .find("[[trunk]]\nname = \"carrier-a\"")
        .expect("a carrier");
    let routes = CONFIG.find("[[route]]").expect("a route");
    let trunk = CONFIG.find("[[trunk]]").expect("a trunk");
    let (head, of_teams) = (&CONFIG[..trunk], &CONFIG[trunk..teams]);
    let of_carrier = &CONFIG[teams..routes];
    let other_teams = of_teams
        .replace("teams-contoso", "teams-south")
        .replace("sbc1.contoso.example", "south.contoso.example");
    let other_carrier = of_carrier
        .replace("carrier-a", "carrier-south")
        .replace("198.51.100.20", "198.51.100.60")
        .replace("198.51.100.21", "198.51.100.61")
        .replace("198.51.100.16/28", "198.51.100.60/31");
    let mut text = [head, of_teams, &other_teams, of_carrier, &other_carrier].concat();
    for (from, to) in [
        ("teams-contoso", "carrier-a"),
        ("carrier-a", "teams-contoso"),
        ("teams-south", "carrier-south"),
        ("carrier-south", "teams-south"),
    ] {
        text += &format!(
            "[[route]]\nname = \"{from}\"\nmatch = {{ from_trunk = \"{from}\" }}\nto = [{{ trunk = \"{to}\" }}]\n"
        );
    }
    text
}

#[test]
fn calls_of_a_site_take_its_own_carrier_or_none() {
    let facts = Assumed::with_names(["sbc1.contoso.example", "south.contoso.example"]);
    let loaded = load(&[Source::new("test.toml", &*sites())], &facts, None);
    let config = match loaded {
        Ok(loaded) => Arc::new(loaded.config),
        Err(findings) => panic!("{}", findings.to_text()),
    };
    for (name, ways) in [
        (
            "sbc1.contoso.example",
            ["198.51.100.20:5060", "198.51.100.21:5060"],
        ),
        (
            "south.contoso.example",
            ["198.51.100.60:5060", "198.51.100.61:5060"],
        ),
    ] {
        let mut shard = Shard::with(Arc::clone(&config));
        let invite = teams_invite("site").replace("sbc1.contoso.example", name);
        shard.teams_says(&invite);
        shard.next_response(100);
        // Even when the whole carrier of the site fails.
        for way in ways {
            let sent = shard.next_request(Method::Invite);
            assert_eq!(sent.hop.remote.to_string(), way, "{name}");
            let flow = Flow {
                remote: sent.hop.remote,
                ..carrier_flow()
            };
            shard.receive(
                flow,
                &response(&sent.message, "503 Unavailable", "x", "", ""),
            );
            shard.next_request(Method::Ack);
        }
        shard.next_response(503);
        assert!(shard.sent.is_empty(), "{name}");
    }
    // What the carrier of a site brings goes to Teams under the name of that site.
    for (carrier, name) in [
        (CARRIER, "sbc1.contoso.example"),
        ("198.51.100.60:5060", "south.contoso.example"),
    ] {
        let mut shard = Shard::with(Arc::clone(&config));
        let flow = Flow {
            remote: carrier.parse().expect("address"),
            ..carrier_flow()
        };
        let ip = flow.remote.ip().to_string();
        shard.receive(
            flow,
            &carrier_invite("in", CARRIER_SDP).replace("198.51.100.20", &ip),
        );
        shard.next_response(100);
        let invite = shard.next_request(Method::Invite).message;
        let contact = header(&invite, HeaderName::Contact);
        assert!(contact.contains(name), "{contact}");
    }
}
