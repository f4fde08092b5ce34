//! Decisions of policy on configurations and messages as they occur: who calls, where it goes,
//! what the other leg may see.

use sbc_core::cause::CauseCode;
use sbc_core::config::{Assumed, Config, Preset, Source, TransformScope, load};
use sbc_core::event::DropCode;
use sbc_core::id::{FlowId, ShardId, TenantName};
use sbc_core::mint::Mint;
use sbc_core::policy::header::{fixed, passed};
use sbc_core::policy::identity::{self, Outgoing, Towards};
use sbc_core::policy::ingress::{Ingress, KnownBy, admits_source, identify};
use sbc_core::policy::number::{self, Number};
use sbc_core::policy::response::{self, Failure, mapped, own, q850_of, status_of, tries_next};
use sbc_core::policy::route::plan;
use sbc_core::sip::header::{Header, Reason};
use sbc_core::sip::{Host, Limits, Message, Status, Uri};
use sbc_core::time::UnixTime;
use sbc_core::transport::{Flow, PeerIdentity, Protocol};
use std::collections::BTreeSet;
use std::sync::Arc;

const TEXT: &str = r#"
[node]
id = "sbc1"
[[realm]]
name = "outside"
addresses = ["192.0.2.10"]
ports = "49152-53247"
[[realm]]
name = "inside"
addresses = ["198.51.100.9"]
ports = "20000-29999"
[[tls]]
name = "teams"
cert = "/c"
key = { file = "/k" }
client_ca = "/r"
allow_wildcard_san = true
[[listen]]
name = "teams"
realm = "outside"
transport = "tls"
tls = "teams"
[[listen]]
name = "carrier"
realm = "inside"
transport = "udp"
[[tenant]]
name = "contoso"
numbers = ["+493023125000-+493023125999"]
[[tenant]]
name = "fabrikam"
numbers = ["+498999998000-+498999998999"]
[[trunk]]
name = "teams-contoso"
preset = "teams"
tenant = "contoso"
realm = "outside"
fqdn = "contoso.sbc.example.com"
headers = { pass = ["X-Ticket"] }
[[trunk]]
name = "teams-fabrikam"
preset = "teams"
tenant = "fabrikam"
realm = "outside"
fqdn = "fabrikam.sbc.example.com"
[[trunk]]
name = "carrier-a"
tenant = "*"
realm = "inside"
targets = ["198.51.100.20"]
identity = { diversion = "pass" }
[[trunk]]
name = "carrier-b"
tenant = "*"
realm = "inside"
targets = [{ address = "sip.carrier-b.example:5080", connect_to = ["198.51.100.30:5080"] }]
trusted = true
identity = { diversion = "pass", user_phone = "always" }
[[transform]]
name = "from-a"
when = { trunk = "carrier-a", dir = "in" }
calling = [{ match = '^0([1-9]\d+)$', set = '+49$1' }]
called = [{ match = '^0([1-9]\d+)$', set = '+49$1' }]
[[transform]]
name = "to-b"
when = { trunk = "carrier-b", dir = "out" }
called = [{ match = '^\+(\d+)$', set = '00$1' }]
[[route]]
name = "contoso"
match = { called_in = "tenant:contoso" }
to = [{ trunk = "teams-contoso" }]
[[route]]
name = "fabrikam"
match = { called_in = "tenant:fabrikam" }
to = [{ trunk = "teams-fabrikam" }]
[[route]]
name = "world"
match = { called = '^\+' }
to = [{ trunk = "carrier-a", weight = 75 }, { trunk = "carrier-b", weight = 25 }]
[[route]]
name = "short"
match = { called = '^11' }
to = [{ trunk = "carrier-b" }, { trunk = "carrier-a" }]
hunt = { max = 1 }
"#;

fn config() -> Config {
    let facts = Assumed::with_names(["*.sbc.example.com"]);
    load(&[Source::new("c", TEXT)], &facts, None)
        .unwrap_or_else(|findings| panic!("{}", findings.to_text()))
        .config
}

fn flow(listener: &str, remote: &str, names: &[&str]) -> Flow {
    let protocol = match listener {
        "teams" => Protocol::Tls,
        _ => Protocol::Udp,
    };
    Flow {
        id: FlowId(1),
        protocol,
        listener: listener.into(),
        local: "192.0.2.10:5061".parse().unwrap(),
        remote: remote.parse().unwrap(),
        identity: (!names.is_empty()).then(|| {
            Arc::new(PeerIdentity {
                context: "teams".into(),
                names: names.iter().map(|name| (*name).to_owned()).collect(),
                server_name: None,
            })
        }),
        tls: None,
    }
}

fn host(name: &str) -> Host {
    Host::parse(name.to_owned()).unwrap()
}

fn ingress(config: &Config, trunk: &str) -> Ingress {
    Ingress::of(&config.trunks[&trunk.into()], KnownBy::Source)
}

fn mint() -> Mint {
    Mint::new(ShardId(0), [3; 32])
}

const MICROSOFT: &str = "52.114.76.76:31000";
const PROVEN: &[&str] = &["sip.pstnhub.microsoft.com"];

/// No route here asks what time it is.
const NOW: UnixTime = UnixTime::from_micros(0);

#[test]
fn a_teams_call_belongs_to_the_customer_whose_name_the_request_uri_carries() {
    let config = config();
    for tenant in ["contoso", "fabrikam"] {
        let name = host(&format!("{tenant}.SBC.example.com"));
        let found = identify(&config, &flow("teams", MICROSOFT, PROVEN), Some(&name)).unwrap();
        assert_eq!(found.value.tenant, Some(TenantName::new(tenant)));
        assert_eq!(found.value.trunk.name.as_str(), format!("teams-{tenant}"));
        assert!(
            found
                .because
                .0
                .iter()
                .any(|fact| fact.contains("microsoft"))
        );
    }
}

/// TDR-MT-012: Teams may call two customers with certificates of their own over one connection.
#[test]
fn a_connection_of_teams_serves_customers_whose_identities_believe_alike() {
    let with = |keys: &str, of_trunk: &str| {
        let own = format!(
            "[[tls]]\nname = \"own\"\ncert = \"/c2\"\nkey = {{ file = \"/k2\" }}\n{keys}\n[[listen]]\nname = \"teams\""
        );
        let text = TEXT.replacen("[[listen]]\nname = \"teams\"", &own, 1);
        let trunk = format!("fqdn = \"fabrikam.sbc.example.com\"\ntls = \"own\"\n{of_trunk}");
        let text = text.replacen("fqdn = \"fabrikam.sbc.example.com\"", &trunk, 1);
        let facts = Assumed::with_names(["*.sbc.example.com", "fabrikam.sbc.example.com"]);
        let loaded = load(&[Source::new("c", text)], &facts, None);
        let config = loaded
            .unwrap_or_else(|findings| panic!("{}", findings.to_text()))
            .config;
        let name = host("fabrikam.sbc.example.com");
        let found = identify(&config, &flow("teams", MICROSOFT, PROVEN), Some(&name));
        found.map(|found| found.value.trunk.name.as_str().to_owned())
    };
    let alike = "client_ca = \"/r\"\nallow_wildcard_san = true";
    assert_eq!(with(alike, "").as_deref(), Ok("teams-fabrikam"));
    for (keys, of_trunk) in [
        ("client_ca = \"/other\"\nallow_wildcard_san = true", ""),
        ("client_ca = \"/r\"\nallow_wildcard_san = false", ""),
        (
            "client_ca = \"/r\"\nallow_wildcard_san = true\ncrl = \"/l\"",
            "",
        ),
        (alike, "accept_names = [\"sip.other.example\"]"),
    ] {
        let found = with(keys, of_trunk);
        assert_eq!(found, Err(DropCode::UnknownHost), "{keys} {of_trunk}");
    }
}

#[test]
fn a_name_that_nobody_hosts_falls_to_nobody() {
    let config = config();
    let flow = flow("teams", MICROSOFT, PROVEN);
    for name in [
        Some(host("other.sbc.example.com")),
        Some(host("192.0.2.10")),
        None,
    ] {
        let found = identify(&config, &flow, name.as_ref());
        assert_eq!(found.unwrap_err(), DropCode::UnknownHost);
    }
}

#[test]
fn nobody_is_teams_without_address_certificate_and_name_together() {
    let config = config();
    let name = host("contoso.sbc.example.com");
    let check = |flow: &Flow| identify(&config, flow, Some(&name)).unwrap_err();
    // Right certificate, wrong address.
    assert_eq!(
        check(&flow("teams", "203.0.113.66:5061", PROVEN)),
        DropCode::Stranger
    );
    // Right address, no certificate.
    assert_eq!(
        check(&flow("teams", MICROSOFT, &[])),
        DropCode::WrongIdentity
    );
    // Right address, somebody else's certificate of a trusted authority.
    assert_eq!(
        check(&flow("teams", MICROSOFT, &["evil.example"])),
        DropCode::WrongIdentity
    );
    // Verified against the roots of another context.
    let mut other = flow("teams", MICROSOFT, PROVEN);
    other.identity = Some(Arc::new(PeerIdentity {
        context: "other".into(),
        names: vec![PROVEN[0].to_owned()],
        server_name: None,
    }));
    assert_eq!(check(&other), DropCode::WrongIdentity);
    // Right in everything, on a listener that is not for Teams.
    assert_eq!(
        check(&flow("carrier", MICROSOFT, PROVEN)),
        DropCode::Stranger
    );
}

#[test]
fn carriers_are_known_by_their_address_and_strangers_by_nothing() {
    let config = config();
    let found = identify(&config, &flow("carrier", "198.51.100.30:5060", &[]), None).unwrap();
    assert_eq!(found.value.trunk.name.as_str(), "carrier-b");
    assert_eq!(found.value.tenant, None);
    let name = host("198.51.100.9");
    let stranger = identify(
        &config,
        &flow("carrier", "198.51.100.31:5060", &[]),
        Some(&name),
    );
    assert_eq!(stranger.unwrap_err(), DropCode::Stranger);
    let listener = "carrier".into();
    assert!(admits_source(
        &config,
        &listener,
        "::ffff:198.51.100.20".parse().unwrap()
    ));
    assert!(!admits_source(
        &config,
        &listener,
        "198.51.100.21".parse().unwrap()
    ));
}

#[test]
fn a_call_from_a_shared_trunk_belongs_to_the_owner_of_the_called_number() {
    let config = config();
    let from = ingress(&config, "carrier-a");
    let made = plan(&config, &from, ("+498999998111", "+491"), NOW, &mut mint()).unwrap();
    assert_eq!(made.value.tenant, TenantName::new("fabrikam"));
    assert_eq!(made.value.attempts[0].name.as_str(), "teams-fabrikam");
    let refused = plan(&config, &from, ("+15550100", "+491"), NOW, &mut mint()).unwrap_err();
    assert_eq!(
        (refused.status, refused.cause),
        (Status::NOT_FOUND, CauseCode::NumberUnknown)
    );
}

#[test]
fn a_call_of_one_tenant_never_takes_a_trunk_of_another() {
    let config = config();
    // The number is fabrikam's and the first matching route leads there, but the call is contoso's:
    // it goes out through a carrier like any other call to the world.
    let from = ingress(&config, "teams-contoso");
    let made = plan(
        &config,
        &from,
        ("+498999998111", "+493023125001"),
        NOW,
        &mut mint(),
    )
    .unwrap();
    assert_eq!(made.value.tenant, TenantName::new("contoso"));
    assert_eq!(made.value.route.as_str(), "world");
    assert!(
        made.value
            .attempts
            .iter()
            .all(|trunk| trunk.tenant.is_none())
    );
    assert!(
        made.because
            .0
            .iter()
            .any(|fact| fact.contains("no trunk for tenant \"contoso\""))
    );
}

#[test]
fn weights_share_calls_and_equal_weights_keep_the_order() {
    let config = config();
    let from = ingress(&config, "teams-contoso");
    let mut mint = mint();
    let first = |mint: &mut Mint| {
        let made = plan(&config, &from, ("+15550100", "x"), NOW, mint)
            .unwrap()
            .value;
        assert_eq!(made.attempts.len(), 2);
        made.attempts[0].name.as_str() == "carrier-a"
    };
    let share = (0..2_000).filter(|_| first(&mut mint)).count();
    assert!((1_400..1_600).contains(&share), "{share}");
    let made = plan(&config, &from, ("112", "x"), NOW, &mut mint)
        .unwrap()
        .value;
    let names: Vec<&str> = made
        .attempts
        .iter()
        .map(|trunk| trunk.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["carrier-b"],
        "written order, and no more than hunt.max"
    );
    let refused = plan(&config, &from, ("999", "x"), NOW, &mut mint).unwrap_err();
    assert_eq!(refused.cause, CauseCode::NoRoute);
    assert!(!refused.because.0.is_empty());
}

#[test]
fn transforms_apply_on_their_trunk_and_side_only() {
    let config = config();
    let inbound = TransformScope::In("carrier-a".into());
    let changed = number::transform_called(&config, &inbound, "03023125001");
    assert_eq!(changed.value, "+493023125001");
    assert!(changed.because.0[0].contains("from-a"));
    let other = TransformScope::Out("carrier-a".into());
    assert_eq!(
        number::transform_called(&config, &other, "03023125001").value,
        "03023125001"
    );
    let outbound = TransformScope::Out("carrier-b".into());
    assert_eq!(
        number::transform_called(&config, &outbound, "+15550100").value,
        "0015550100"
    );
}

/// An INVITE with these header lines.
fn invite(lines: &str) -> Message {
    let text = format!(
        "INVITE sip:+493023125001@198.51.100.9 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.9.8.7:5060;branch=z9hG4bKa\r\n\
         To: <sip:+493023125001@198.51.100.9>\r\n\
         Call-ID: secret-call@10.9.8.7\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
         Contact: <sip:x@10.9.8.7>\r\n{lines}Content-Length: 0\r\n\r\n"
    );
    Message::parse(text.into(), &Limits::default()).unwrap()
}

fn leave(config: &Config, message: &Message, from: &str, to: &str, called: &str) -> Outgoing {
    let (from, to) = (&config.trunks[&from.into()], &config.trunks[&to.into()]);
    let caller = identity::caller(message, from);
    let called = Number::of(&Uri::parse(format!("sip:{called}@x.example")).unwrap()).unwrap();
    let listener = to.listeners.first().unwrap();
    let towards = Towards {
        from,
        to,
        target: &to.targets[0],
        listener: &config.listeners[listener],
        is_emergency: false,
    };
    let calling =
        |number: &str| number::transform_calling_through(config, &from.name, &to.name, number);
    let redirecting =
        |number: &str| number::transform_redirecting_through(config, &from.name, &to.name, number);
    let rewrites = identity::Rewrites {
        calling: &calling,
        redirecting: &redirecting,
    };
    identity::outgoing(&caller, &called, towards, rewrites)
        .unwrap()
        .value
}

/// Every identity header of an attempt as one text.
fn written(out: &Outgoing) -> String {
    let mut text = format!("{} {:?} {:?}", out.request_uri, out.from, out.to);
    let lossy = |bytes: bytes::Bytes| String::from_utf8_lossy(&bytes).into_owned();
    let mut add = |value: String| text.push_str(&format!(" {value}"));
    out.asserted
        .iter()
        .for_each(|value| add(lossy(value.to_bytes())));
    out.history
        .iter()
        .for_each(|value| add(lossy(value.to_bytes())));
    out.diversion
        .iter()
        .for_each(|value| add(lossy(value.to_bytes())));
    text
}

#[test]
fn a_call_to_teams_carries_numbers_at_the_names_that_microsoft_inspects() {
    let config = config();
    let message = invite("From: \"Bob\" <sip:017139200@10.9.8.7:5060>;tag=1\r\n");
    let out = leave(
        &config,
        &message,
        "carrier-a",
        "teams-contoso",
        "+493023125001",
    );
    assert_eq!(
        out.request_uri.to_string(),
        "sip:+493023125001@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls"
    );
    assert_eq!(
        out.from.uri.to_string(),
        "sip:+4917139200@contoso.sbc.example.com;user=phone"
    );
    assert_eq!(out.from.display.unwrap().as_bytes(), "Bob");
    assert_eq!(
        out.to.uri.to_string(),
        "sip:+493023125001@sip.pstnhub.microsoft.com;user=phone"
    );
    assert_eq!(out.contact_user.unwrap(), "+4917139200");
    assert!(out.asserted.is_empty() && out.privacy.is_none());
}

#[test]
fn extensions_survive_in_the_called_number() {
    let config = config();
    let message = invite("From: <sip:017139200@h.example>;tag=1\r\n");
    let out = leave(
        &config,
        &message,
        "carrier-a",
        "teams-contoso",
        "+493023125001;ext=12",
    );
    assert!(
        out.request_uri
            .to_string()
            .starts_with("sip:+493023125001;ext=12@sip.")
    );
    // And in To, where users share the number (TDR-SIP-011).
    let to = out.to.uri.to_string();
    assert!(to.starts_with("sip:+493023125001;ext=12@sip."), "{to}");
}

#[test]
fn an_untrusted_peer_cannot_assert_an_identity() {
    let config = config();
    let message = invite(
        "From: <sip:017139200@h.example>;tag=1\r\nP-Asserted-Identity: <sip:+4911@victim.example>\r\n",
    );
    let caller = identity::caller(&message, &config.trunks[&"carrier-a".into()]);
    assert!(caller.asserted.is_empty());
    let out = leave(&config, &message, "carrier-a", "carrier-b", "+1");
    assert!(out.asserted.is_empty());
}

#[test]
fn an_asserted_identity_stays_within_the_trust_domain() {
    let config = config();
    let message = invite(
        "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1\r\nPrivacy: id\r\n\
         P-Asserted-Identity: <tel:+493023125777>,<sip:john@contoso.example>\r\n\
         P-Asserted-Identity: <tel:+493023125778>\r\n",
    );
    let trusted = leave(&config, &message, "teams-contoso", "carrier-b", "+1");
    let text = written(&trusted);
    assert_eq!(trusted.asserted.len(), 2, "at most one of a kind");
    assert!(
        text.contains("<tel:+493023125777>") && text.contains("<sip:john@198.51.100.9>"),
        "{text}"
    );
    assert!(trusted.privacy.unwrap().has("id"));
    assert!(trusted.contact_user.is_none());

    let untrusted = leave(&config, &message, "teams-contoso", "carrier-a", "+1");
    let text = written(&untrusted);
    assert!(untrusted.asserted.is_empty() && !text.contains("777") && !text.contains("john"));
    assert!(text.contains("anonymous@anonymous.invalid"));
    assert!(untrusted.privacy.is_none());
}

#[test]
fn a_caller_who_wants_to_be_hidden_is_anonymous() {
    let config = config();
    let hidden = "From: \"Bob\" <sip:017139200@h.example>;tag=1\r\nPrivacy: user;id\r\n";
    let out = leave(
        &config,
        &invite(hidden),
        "carrier-a",
        "teams-contoso",
        "+493023125001",
    );
    let text = written(&out);
    assert!(
        !text.contains("17139200") && !text.contains("Bob"),
        "{text}"
    );
    let anonymous = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
    let from = |out: &identity::Outgoing| {
        sbc_core::sip::header::From(sbc_core::sip::Address {
            addr: out.from.clone(),
            params: Default::default(),
        })
    };
    assert_eq!(from(&out).to_bytes(), anonymous, "TDR-SIP-015");
    assert_eq!(out.privacy.as_ref().unwrap().to_bytes(), "id");
    let broken = "From: <sip:017139200@h.example>;tag=1\r\nPrivacy: ;;\r\n";
    let out = leave(
        &config,
        &invite(broken),
        "carrier-a",
        "teams-contoso",
        "+493023125001",
    );
    let text = written(&out);
    assert!(
        !text.contains("17139200"),
        "an unreadable wish is the strictest wish: {text}"
    );
    assert_eq!(from(&out).to_bytes(), anonymous);
}

#[test]
fn earlier_targets_are_told_in_our_name_and_private_ones_not_to_strangers() {
    let config = config();
    let message = invite(
        "From: <sip:+1555@sip.pstnhub.microsoft.com>;tag=1\r\n\
         History-Info: <sip:+493023125888@sip.pstnhub.microsoft.com:5061;user=phone?Reason=SIP%3Bcause%3D302%3Btext%3D%22x%22>;index=1,\
         <sip:+493023125889@sip.pstnhub.microsoft.com?Privacy=history&Reason=SIP%3Bcause%3D486>;index=1.1\r\n",
    );
    let untrusted = leave(&config, &message, "teams-contoso", "carrier-a", "+1");
    let text = written(&untrusted);
    assert_eq!(untrusted.history.len(), 2);
    assert!(
        text.contains("<sip:+493023125888@198.51.100.9?Reason=SIP%3Bcause%3D302>;index=1"),
        "{text}"
    );
    assert!(
        !text.contains("493023125889") && !text.contains("microsoft"),
        "{text}"
    );
    let trusted = leave(&config, &message, "teams-contoso", "carrier-b", "+1");
    assert!(written(&trusted).contains("493023125889"));
}

#[test]
fn diversions_with_tel_uris_work() {
    let config = config();
    let message = invite(
        "From: <sip:+1555@h.example>;tag=1\r\n\
         Diversion: <tel:+493023125888;ext=1>;reason=user-busy;counter=1,<sip:x@10.9.8.7>;reason=unknown\r\n",
    );
    let out = leave(&config, &message, "carrier-a", "carrier-b", "+1");
    let text = written(&out);
    assert!(
        text.contains("<tel:+493023125888>;reason=user-busy;counter=1"),
        "{text}"
    );
    assert!(!text.contains("10.9.8.7"), "{text}");
}

#[test]
fn nothing_of_the_a_leg_but_listed_headers_reaches_the_b_leg() {
    let config = config();
    let message = invite(
        "From: <sip:+1555@h.example>;tag=1\r\nX-Ticket: 4711\r\nX-Other: 10.9.8.7\r\n\
         Subject: hello\r\nDate: Tue, 24 Nov 2026 03:00:00 GMT\r\nUser-Agent: pbx/10.9.8.7\r\n\
         Record-Route: <sip:10.9.8.7;lr>\r\nv: SIP/2.0/UDP 10.9.8.7;branch=z9hG4bKb\r\n\
         Identity: x\r\nCall-Info: <http://10.9.8.7/>\r\n",
    );
    let trunk = |name: &str| &config.trunks[&name.into()];
    let names = |from: &str, to: &str| -> BTreeSet<String> {
        passed(&message, trunk(from), trunk(to))
            .into_iter()
            .map(|(name, _)| name.as_str().to_owned())
            .collect()
    };
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|n| (*n).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        names("carrier-a", "teams-contoso"),
        set(&["X-Ticket", "Subject", "Date"])
    );
    assert_eq!(names("carrier-a", "carrier-b"), set(&["Date"]));
    assert_eq!(
        names("carrier-b", "teams-fabrikam"),
        set(&["Subject", "Date", "Call-Info"])
    );
    let own: Vec<_> = fixed(trunk("teams-contoso")).collect();
    assert!(own.len() == 1 && own[0].0.as_str() == "X-MS-SBC");
}

#[test]
fn what_is_shown_to_people_is_bounded_and_what_names_the_other_side_stays_there() {
    let config = config();
    let trunk = |name: &str| &config.trunks[&name.into()];
    let names = |length: usize| {
        let message = invite(&format!(
            "Subject: {0}\r\nPriority: {0}\r\nOrganization: {0}\r\n\
             Reply-To: <sip:a@10.9.8.7>\r\nIn-Reply-To: 1@10.9.8.7\r\n",
            "x".repeat(length)
        ));
        let passed = passed(&message, trunk("carrier-a"), trunk("teams-contoso"));
        let names = passed.into_iter().map(|(name, _)| name.as_str().to_owned());
        names.collect::<BTreeSet<_>>()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(names(256), set(&["Organization", "Priority", "Subject"]));
    assert_eq!(names(257), set(&["Organization"]));
    assert_eq!(names(1_025), BTreeSet::new());
}

fn reason(text: &'static str) -> Vec<Reason> {
    vec![Reason::parse(&text.into()).unwrap()]
}

#[test]
fn status_mapping_between_legs_is_the_one_of_the_table() {
    let config = config();
    let (carrier, teams) = (
        &config.trunks[&"carrier-a".into()],
        &config.trunks[&"teams-contoso".into()],
    );
    // From the B leg; to a carrier; to Teams.
    for (got, to_carrier, to_teams) in [
        (302, 480, 480),
        (401, 403, 503),
        (407, 403, 503),
        (403, 403, 403),
        (404, 404, 404),
        (408, 408, 480),
        (410, 410, 410),
        (415, 488, 488),
        (480, 480, 480),
        (481, 500, 503),
        (484, 484, 484),
        (486, 486, 486),
        (487, 480, 480),
        (488, 488, 488),
        (500, 500, 503),
        (502, 502, 503),
        (503, 500, 503),
        (504, 504, 504),
        // Busy, unallocated, media: 4xx there, and 603 for a person (TDR-ERR-011).
        (600, 600, 486),
        (603, 603, 603),
        (604, 604, 404),
        (606, 606, 488),
        (607, 607, 607),
        (699, 600, 480),
    ] {
        let status = Status::new(got).unwrap();
        let told = |trunk| {
            mapped(Failure::Status(status), &[], trunk)
                .value
                .status
                .code()
        };
        assert_eq!(
            (told(carrier), told(teams)),
            (to_carrier, to_teams),
            "{got}"
        );
    }
}

#[test]
fn towards_teams_the_cause_of_the_telephone_network_decides() {
    let config = config();
    let teams = &config.trunks[&"teams-contoso".into()];
    for (cause, wanted) in [
        ("Q.850;cause=1", 404),
        ("Q.850;cause=16", 480),
        ("Q.850;cause=17", 486),
        ("Q.850;cause=19", 480),
        ("Q.850;cause=21", 603),
        ("Q.850;cause=28", 484),
        ("Q.850;cause=34", 503),
        ("Q.850;cause=42", 503),
        ("Q.850;cause=102", 504),
    ] {
        for status in [Status::SERVER_INTERNAL_ERROR, Status::DECLINE] {
            let told = mapped(Failure::Status(status), &reason(cause), teams);
            assert_eq!(told.value.status.code(), wanted, "{cause}");
        }
    }
    let unwanted = Failure::Status(Status::new(607).unwrap());
    let told = mapped(unwanted, &reason("Q.850;cause=34"), teams);
    assert_eq!(told.value.status.code(), 607, "a person's word");
    let told = |failure| mapped(failure, &[], teams).value.status.code();
    assert_eq!(told(Failure::NoResponse), 408);
    assert_eq!(told(Failure::Unreachable), 503);
    assert_eq!(told(Failure::NoAnswer), 480);
    assert_eq!(told(Failure::Cancelled), 487);
}

#[test]
fn reason_keeps_value_and_place_and_loses_its_text() {
    let config = config();
    let carrier = &config.trunks[&"carrier-a".into()];
    let given = reason("Q.850;cause=17;location=LN;text=\"guid;10.9.8.7\"");
    let told = mapped(Failure::Status(Status::BUSY_HERE), &given, carrier).value;
    assert_eq!(told.reasons.len(), 1);
    assert_eq!(told.reasons[0].to_bytes(), "Q.850;cause=17;location=LN");
    assert_eq!((told.cause, told.q850), (CauseCode::PeerBusy, Some(17)));
    let elsewhere = response::reasons_for_teardown(
        &reason("SIP;cause=200;text=\"x\""),
        CauseCode::NormalClearing,
        carrier,
    );
    assert_eq!(
        elsewhere[1].to_bytes(),
        "SIP;cause=200;text=\"Call completed elsewhere\""
    );
}

#[test]
fn the_next_attempt_is_made_for_trouble_of_trunks_and_never_against_a_user() {
    let config = config();
    let (carrier, teams) = (
        &config.trunks[&"carrier-a".into()],
        &config.trunks[&"teams-contoso".into()],
    );
    let next = |code: u16, reasons: &[Reason], trunk| {
        tries_next(Status::new(code).unwrap(), reasons, trunk)
    };
    assert!(next(503, &[], carrier) && next(500, &[], carrier) && next(503, &[], teams));
    assert!(!next(486, &[], carrier) && !next(404, &[], carrier) && !next(500, &[], teams));
    assert!(!next(603, &[], teams) && !next(600, &reason("Q.850;cause=34"), carrier));
    // What Teams says is about the call (TDR-DNS-004).
    for cause in 0..=127 {
        let given = [Reason::q850(cause, None)];
        for code in (400..500).chain(600..700).filter(|code| *code != 408) {
            assert!(!next(code, &given, teams), "{code}, cause {cause}");
        }
        assert!(next(503, &given, teams), "{cause}");
    }
    assert!(
        !next(503, &reason("Q.850;cause=17"), carrier),
        "the user is busy, whatever the status"
    );
    assert!(
        next(480, &reason("Q.850;cause=34"), carrier),
        "no circuit, whatever the status"
    );
}

/// RFC 3398 §8.2.6.1, row by row; every other failure is 31.
const Q850_OF_STATUS: &[(u8, &[u16])] = &[
    (1, &[404, 485, 604]),
    (17, &[486, 600]),
    (18, &[480]),
    (21, &[401, 402, 403, 407, 603, 607, 608]),
    (22, &[410]),
    (25, &[482, 483]),
    (28, &[484]),
    (38, &[502]),
    (41, &[400, 481, 500, 503]),
    (63, &[405]),
    (65, &[488, 606]),
    (79, &[406, 415, 501]),
    (102, &[408, 504]),
    (127, &[413, 414, 416, 420, 421, 423, 505, 513]),
];

/// RFC 3398 §7.2.4.1, row by row; every other cause is 500.
const STATUS_OF_Q850: &[(u16, &[u8])] = &[
    (403, &[21, 55, 57, 87]),
    (404, &[1, 2, 3, 26]),
    (408, &[18]),
    (410, &[22, 23]),
    (480, &[16, 19, 20, 31]),
    (484, &[28]),
    (486, &[17]),
    (488, &[65, 70]),
    (501, &[29, 79]),
    (502, &[27]),
    (503, &[34, 38, 41, 42, 47, 58, 88]),
    (504, &[102]),
];

#[test]
fn every_status_has_the_cause_of_its_row() {
    for code in 100..700 {
        let row = Q850_OF_STATUS
            .iter()
            .find(|(_, codes)| codes.contains(&code));
        let wanted = match (code, row) {
            // 487 says that somebody gave up, and he has a reason of his own.
            (..400 | 487, _) => None,
            (_, Some((cause, _))) => Some(*cause),
            (_, None) => Some(31),
        };
        assert_eq!(q850_of(Status::new(code).unwrap()), wanted, "{code}");
    }
}

#[test]
fn every_cause_has_the_status_of_its_row() {
    for cause in 0..=255 {
        let row = STATUS_OF_Q850
            .iter()
            .find(|(_, causes)| causes.contains(&cause));
        let wanted = row.map_or(500, |(code, _)| *code);
        assert_eq!(status_of(cause).code(), wanted, "{cause}");
    }
}

#[test]
fn of_several_reasons_the_first_of_each_protocol_counts() {
    let config = config();
    let carrier = &config.trunks[&"carrier-a".into()];
    let several = [
        "SIP;cause=200",
        "Q.850;cause=34;location=RLN",
        "q.850;cause=17",
        "STIR;cause=436",
        "SIP;cause=488",
    ];
    let given: Vec<Reason> = several.iter().flat_map(|text| reason(text)).collect();
    let told = response::reasons_for_teardown(&given, CauseCode::NormalClearing, carrier);
    let told: Vec<_> = told.iter().map(Header::to_bytes).collect();
    assert_eq!(
        told,
        [
            "Q.850;cause=34;location=RLN",
            "SIP;cause=200;text=\"Call completed elsewhere\"",
            "STIR;cause=436"
        ]
    );
    // What is no cause is passed over, and every place of RFC 8606 may be named.
    assert_eq!(response::q850_of_reasons(&reason("Q.850;cause=999")), None);
    for place in [
        "U", "LPN", "LN", "TN", "RLN", "RPN", "INTL", "BI", "LOC-0", "LOC-9",
    ] {
        let text = format!("Q.850;cause=16;location={place}");
        let given = vec![Reason::parse(&text.clone().into()).unwrap()];
        assert_eq!(
            response::reasons_for_teardown(&given, CauseCode::NormalClearing, carrier)[0]
                .to_bytes(),
            text
        );
    }
    let own = |why| response::reasons_for_teardown(&[], why, carrier)[0].to_bytes();
    assert_eq!(own(CauseCode::NormalClearing), "Q.850;cause=16");
    assert_eq!(own(CauseCode::Operator), "Q.850;cause=31");
    assert_eq!(own(CauseCode::MediaTimeout), "Q.850;cause=102");
    assert_eq!(own(CauseCode::HandshakeFailed), "Q.850;cause=65");
    let odd = reason("Q.850;cause=16;location=192.0.2.1");
    let told = response::reasons_for_teardown(&odd, CauseCode::NormalClearing, carrier);
    assert_eq!(told[0].to_bytes(), "Q.850;cause=16");
}

#[test]
fn causes_lead_on_as_the_standard_or_the_trunk_says() {
    let config = config();
    let carrier = &config.trunks[&"carrier-a".into()];
    let own = {
        let list = "targets = [\"198.51.100.20\"]\nreroute_on = [503, 27, 38]";
        let text = TEXT.replace("targets = [\"198.51.100.20\"]", list);
        let facts = Assumed::with_names(["*.sbc.example.com"]);
        load(&[Source::new("c", text)], &facts, None)
            .unwrap()
            .config
    };
    let own = &own.trunks[&"carrier-a".into()];
    for cause in 0..=127_u8 {
        let given = vec![Reason::q850(cause, None)];
        let next = |code: u16, trunk| tries_next(Status::new(code).unwrap(), &given, trunk);
        let is_users = matches!(cause, 1 | 16 | 17 | 18 | 19 | 21 | 22 | 28);
        // What the status says counts only where the cause says nothing.
        let usual = matches!(cause, 34 | 38 | 41 | 42 | 44 | 47);
        assert_eq!(next(480, carrier), usual, "{cause}");
        assert_eq!(next(503, carrier), !is_users, "{cause}");
        assert_eq!(next(480, own), matches!(cause, 27 | 38), "{cause}");
        assert_eq!(next(503, own), !is_users, "{cause}");
    }
}

#[test]
fn tables_of_causes_are_total_and_agree_where_they_can() {
    for code in 300..=699 {
        assert!(
            q850_of(Status::new(code).unwrap()).is_some() == (code >= 400 && code != 487),
            "{code}"
        );
    }
    for cause in 0..=127 {
        assert!((400..700).contains(&status_of(cause).code()), "{cause}");
    }
    for code in [404, 410, 484, 486] {
        let status = Status::new(code).unwrap();
        assert_eq!(status_of(q850_of(status).unwrap()), status);
    }
    let config = config();
    for trunk in config.trunks.values() {
        for cause in CauseCode::ALL {
            let told = own(cause, trunk).status.code();
            assert!((400..700).contains(&told), "{cause}");
            // What is wrong with us, another SBC may do well (TDR-ERR-011).
            let is_right = trunk.preset != Preset::Teams || !matches!(told, 500..=502 | 505..=599);
            assert!(is_right, "{cause} is told to Teams as {told}");
        }
    }
}
