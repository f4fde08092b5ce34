//! A new customer, step by step, against proxies of Teams and a name server over real sockets.

use crate::nameserver::{Nameserver, a};

use causeway::command::exit;
use causeway::command::form::Output;
use causeway::command::teams::{self, Gateways, Probe, Teams};
use causeway::command::tenant::{self, Add, LocalMedia, Rules, Tenants};
use causeway::onboarding::customer::BypassMode;
use causeway::onboarding::powershell::Media;
use conformance::ca::Authority;
use conformance::peer::carrier::tagged;
use conformance::peer::leg::{Leg, Manner, PATIENCE, reply};
use conformance::peer::rules::{TeamsRules, TeamsTrunk};
use conformance::peer::teams::{Place, Setup, TeamsProxy};
use sbc_core::config::Cloud;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const BASE: &str = "customers.adatum.example";
const FABRIKAM: &str = "fabrikam.customers.adatum.example";

/// A node that hosts customers, a proxy of Teams that knows some names, and DNS.
struct Bench {
    folder: TempDir,
    proxy: TeamsProxy,
    dns: Nameserver,
    authority: Authority,
}

impl Bench {
    /// Teams knows the trunks of these names; our certificate carries those.
    async fn new(known: &[&str], carried: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("Causeway test").unwrap();
        let place = Place::take(HERE).await.unwrap();
        let ours = authority.issue(carried).unwrap();
        write(folder.path(), "sbc.pem", &ours.chain_pem);
        write(folder.path(), "sbc.key", &ours.key_pem);
        write(folder.path(), "ca.pem", authority.root_pem());
        let text = CONFIG
            .replace("DIR", &folder.path().display().to_string())
            .replace("PROXY", &place.address.to_string());
        write(folder.path(), "causeway.toml", &text);
        let setup = Setup {
            host: "sip.pstnhub.example".to_owned(),
            identity: authority.issue(&["sip.pstnhub.example"]).unwrap(),
            roots: authority.roots().unwrap(),
            rules: TeamsRules {
                trunks: known
                    .iter()
                    .map(|fqdn| TeamsTrunk {
                        fqdn: (*fqdn).to_owned(),
                        port: 5061,
                    })
                    .collect(),
                hidden: Vec::new(),
                proxy: None,
            },
            sbc: HERE,
            echoes: BTreeSet::new(),
            wire: None,
        };
        let proxy = TeamsProxy::start(place, setup).unwrap();
        let dns = Nameserver::start().await;
        dns.set("fabrikam.customers.adatum.example", vec![a("127.0.0.1")]);
        Self {
            folder,
            proxy,
            dns,
            authority,
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("causeway.toml")
    }

    fn wish(&self) -> Add {
        Add {
            name: "fabrikam".to_owned(),
            fqdn: FABRIKAM.to_owned(),
            numbers: vec!["+441632960100-+441632960199".to_owned()],
            emergency: vec!["112".to_owned(), "999".to_owned()],
            no_emergency: false,
            calls: None,
            carrier: None,
            own: false,
            pstn: None,
            realm: None,
            tls: None,
            media: Media::Processed,
            local: LocalMedia::default(),
            call: None,
            dns: vec![self.dns.address],
            offline: false,
            write: false,
            state: self.folder.path().to_owned(),
            config: self.config(),
        }
    }

    /// What the command says; it waits for others, who live in this runtime.
    async fn add(&self, wish: Add) -> (u8, String) {
        tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            let code = tenant::run(&Tenants::Add(Box::new(wish)), &mut out).unwrap();
            (code, String::from_utf8(out).unwrap())
        })
        .await
        .unwrap()
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The line of a step.
fn step<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name:<14} ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

const CONFIG: &str = r#"
[node]
id = "test"

[[realm]]
name = "teams"
addresses = ["127.0.0.1"]
ports = "21000-21999"

[[realm]]
name = "carrier"
addresses = ["127.0.0.1"]
ports = "22000-22999"

[[tls]]
name = "teams"
cert = "DIR/sbc.pem"
key = { file = "DIR/sbc.key" }
client_ca = "DIR/ca.pem"
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

[[tenant]]
name = "adatum"

[[trunk]]
name = "teams"
preset = "teams"
tenant = "adatum"
realm = "teams"
fqdn = "customers.adatum.example"
targets = [{ address = "sip.pstnhub.example:5061;tls", connect_to = ["PROXY"] }]
accept_from = ["127.0.0.0/8"]

[[trunk]]
name = "carrier-a"
tenant = "*"
realm = "carrier"
targets = ["127.0.0.1:5062;udp"]

[[route]]
name = "to-teams"
match = { from_trunk = "carrier-a" }
to = [{ trunk = "teams" }]

[[route]]
name = "to-carrier"
match = { from_trunk = "teams" }
to = [{ trunk = "carrier-a" }]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_who_will_be_served_passes_every_step_and_is_written_when_asked() {
    let wildcard = format!("*.{BASE}");
    let bench = Bench::new(&[BASE, FABRIKAM], &[BASE, &wildcard]).await;
    let wish = Add {
        call: Some("+441632960101".to_owned()),
        ..bench.wish()
    };
    let mut called = bench.proxy.claim("+441632960101");
    let ringing = async {
        let request = called.recv().await.unwrap();
        let contact = request.message.line("Contact").unwrap().to_owned();
        let to = tagged(&request);
        for (status, phrase) in [(180, "Ringing"), (487, "Request Terminated")] {
            let draft = reply(&request.message, status, phrase, Some(&to));
            bench.proxy.agent().answer(&request, draft).unwrap();
        }
        contact
    };
    let ((code, text), contact) = tokio::join!(bench.add(wish), ringing);
    assert_eq!(code, exit::OK, "{text}");
    for name in ["configuration", "name", "routes", "options", "call"] {
        assert!(step(&text, name).contains(" ok "), "{text}");
    }
    assert!(contact.contains(FABRIKAM), "{contact}");
    // The carrier trunk alone asks.
    let heard = [BASE.to_owned()];
    let patience = std::time::Duration::ZERO;
    bench.proxy.heard_from(&heard, patience).await.unwrap();
    let own = [FABRIKAM.to_owned()];
    assert!(bench.proxy.heard_from(&own, patience).await.is_err());
    assert_eq!(
        bench.proxy.agent().findings().len(),
        0,
        "{:?}",
        bench.proxy.agent().findings()
    );
    for words in [
        "inherits = \"teams\"",
        "New-CsOnlinePSTNGateway -Fqdn customers.adatum.example -SipSignalingPort 5061",
        "-OnlinePstnGatewayList \"fabrikam.customers.adatum.example\"",
        "-PhoneNumber \"+441632960100\"",
        "nothing was written",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    let file = bench.folder.path().join("conf.d/tenant-fabrikam.toml");
    assert!(!file.exists());

    let write = Add {
        offline: true,
        write: true,
        ..bench.wish()
    };
    let (code, text) = bench.add(write.clone()).await;
    assert_eq!(code, exit::OK, "{text}");
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(&written), "it is the file that was shown");
    // It is there now, and nobody is taken in twice.
    assert_eq!(bench.add(write).await.0, exit::INVALID);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_customer_of_a_configuration_for_one_has_a_route_of_its_own() {
    let wildcard = format!("*.{BASE}");
    let bench = Bench::new(&[], &[BASE, &wildcard]).await;
    let main = std::fs::read_to_string(bench.config()).unwrap();
    let for_all = "match = { from_trunk = \"carrier-a\" }";
    let for_one = "match = { from_trunk = \"carrier-a\", called_in = \"tenant:adatum\" }";
    assert!(main.contains(for_all));
    write(
        bench.folder.path(),
        "causeway.toml",
        &main.replace(for_all, for_one),
    );
    let wish = Add {
        offline: true,
        write: true,
        ..bench.wish()
    };
    let (code, text) = bench.add(wish).await;
    assert_eq!(code, exit::OK, "{text}");
    assert!(step(&text, "routes").contains(" ok "), "{text}");
    let file = bench.folder.path().join("conf.d/tenant-fabrikam.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    let route = "name = \"to-fabrikam\"\nmatch = { called_in = \"tenant:fabrikam\" }\nto = [{ trunk = \"teams\" }]\n";
    assert!(
        written.ends_with(route) && text.contains(&written),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_picks_up_as_the_test_call_is_given_up_is_not_left_on_the_line() {
    let wildcard = format!("*.{BASE}");
    let bench = Bench::new(&[BASE, FABRIKAM], &[BASE, &wildcard]).await;
    let wish = Add {
        call: Some("+441632960101".to_owned()),
        ..bench.wish()
    };
    let mut called = bench.proxy.claim("+441632960101");
    let picked_up = async {
        let invite = called.recv().await.unwrap();
        let manner = Manner {
            transport: "TLS",
            sent_by: "127.0.0.1:5061".to_owned(),
            product: "Test".to_owned(),
            allow: "INVITE, ACK, CANCEL, BYE",
            contact: "<sip:user.pstnhub.example:443>".to_owned(),
            record_route: None,
            invite: Vec::new(),
            bye: Vec::new(),
        };
        let mut leg = Leg::invited(bench.proxy.agent(), Arc::new(manner), invite);
        leg.respond(180, "Ringing", None, &[]).unwrap();
        let answer = leg.offer();
        leg.respond(200, "OK", Some(answer), &[]).unwrap();
        leg.acknowledged().await.unwrap();
        leg.hung_up(PATIENCE).await.unwrap();
    };
    let ((code, text), ()) = tokio::join!(bench.add(wish), picked_up);
    assert_eq!(code, exit::OK, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_step_that_fails_is_named_with_what_to_do() {
    let wildcard = format!("*.{BASE}");
    let bench = Bench::new(&[], &[BASE, &wildcard]).await;
    // A name that leads elsewhere, and a trunk that Teams does not know.
    bench.dns.set(FABRIKAM, vec![a("192.0.2.77")]);
    let (code, text) = bench.add(bench.wish()).await;
    assert_eq!(code, exit::REFUSED, "{text}");
    let named = step(&text, "name");
    assert!(
        named.contains("failed") && named.contains("192.0.2.77, which is not this SBC"),
        "{text}"
    );
    let asked = step(&text, "options");
    assert!(asked.contains("answers 403"), "{text}");
    assert!(text.contains("domain verified and activated"), "{text}");
    assert!(step(&text, "call").contains("skipped"), "{text}");

    // A certificate that ends one label too high.
    let bench = Bench::new(&[], &[BASE, "*.adatum.example"]).await;
    let (code, text) = bench.add(bench.wish()).await;
    assert_eq!(code, exit::INVALID, "{text}");
    assert!(step(&text, "certificate").contains("failed"), "{text}");
    assert!(
        text.contains("request one for *.customers.adatum.example"),
        "{text}"
    );

    // Numbers of somebody else.
    let bench = Bench::new(&[], &[BASE, &wildcard]).await;
    let wish = Add {
        numbers: vec!["0163296".to_owned()],
        ..bench.wish()
    };
    let (code, text) = bench.add(wish).await;
    assert_eq!(code, exit::INVALID, "{text}");
    assert!(step(&text, "configuration").contains("failed"), "{text}");

    // Nothing leads to the customer.
    let main = std::fs::read_to_string(bench.config()).unwrap();
    write(
        bench.folder.path(),
        "causeway.toml",
        &main.replace(
            "to = [{ trunk = \"teams\" }]",
            "to = [{ trunk = \"carrier-a\" }]",
        ),
    );
    let (code, text) = bench
        .add(Add {
            offline: true,
            ..bench.wish()
        })
        .await;
    assert_eq!(code, exit::REFUSED, "{text}");
    assert!(step(&text, "routes").contains("failed"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_derived_trunk_may_show_a_certificate_of_its_own() {
    let bench = Bench::new(&[BASE], &[BASE]).await;
    let folder = bench.folder.path();
    let other = bench.authority.issue(&[FABRIKAM]).unwrap();
    write(folder, "other.pem", &other.chain_pem);
    write(folder, "other.key", &other.key_pem);
    let main = std::fs::read_to_string(bench.config()).unwrap();
    let identity = "[[tls]]\nname = \"other\"\ncert = \"DIR/other.pem\"\nkey = { file = \"DIR/other.key\" }\n\
                    client_ca = \"DIR/ca.pem\"\nverify_client = \"require\"\n";
    let identity = identity.replace("DIR", &folder.display().to_string());
    write(folder, "causeway.toml", &format!("{main}\n{identity}"));
    let wish = Add {
        tls: Some("other".to_owned()),
        ..bench.wish()
    };
    let (code, text) = bench.add(wish.clone()).await;
    assert_eq!(code, exit::OK, "{text}");
    assert!(
        text.contains("inherits = \"teams\"") && text.contains("tls = \"other\""),
        "{text}"
    );
    assert!(
        step(&text, "handshake").contains("takes the certificate"),
        "{text}"
    );
    assert!(step(&text, "options").contains(" ok "), "{text}");
    assert!(
        text.contains("[[tls]] \"other\", which is renewed with the name"),
        "{text}"
    );

    // One of an authority that Teams does not take.
    let foreign = Authority::new("Other").unwrap().issue(&[FABRIKAM]).unwrap();
    write(folder, "other.pem", &foreign.chain_pem);
    write(folder, "other.key", &foreign.key_pem);
    let (code, text) = bench.add(wish).await;
    assert_eq!(code, exit::REFUSED, "{text}");
    assert!(step(&text, "handshake").contains("failed"), "{text}");

    // What a derived trunk has of its carrier trunk is not dropped without a word.
    for wish in [
        Add {
            realm: Some("teams".to_owned()),
            ..bench.wish()
        },
        Add {
            pstn: Some("carrier-a".to_owned()),
            ..bench.wish()
        },
    ] {
        assert_eq!(bench.add(wish).await.0, exit::USAGE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_of_teams_is_asked_twice_within_a_minute_whoever_asks() {
    let wildcard = format!("*.{BASE}");
    let bench = Bench::new(&[BASE], &[BASE, &wildcard]).await;
    let (code, text) = bench.add(bench.wish()).await;
    assert!(step(&text, "options").contains(" ok "), "{text}");
    assert_eq!(code, exit::OK, "{text}");
    let next = Add {
        name: "northwind".to_owned(),
        ..bench.wish()
    };
    let (code, text) = bench.add(next).await;
    let asked = step(&text, "options");
    assert!(
        asked.contains("skipped") && asked.contains("within the last minute"),
        "{text}"
    );
    assert_eq!(code, exit::OK, "{text}");

    // A daemon that asks by itself is believed instead.
    for (status, words) in [
        (200, "has asked sip.pstnhub.example 20 s ago: 200"),
        (403, "answers 403"),
    ] {
        let bench = Bench::new(&[BASE], &[BASE, &wildcard]).await;
        let socket = bench.folder.path().join("api.sock");
        let main = std::fs::read_to_string(bench.config()).unwrap();
        let api = format!("[api]\nunix = \"{}\"\n", socket.display());
        write(
            bench.folder.path(),
            "causeway.toml",
            &format!("{main}\n{api}"),
        );
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let daemon = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut octet = [0];
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut octet).unwrap();
                head.push(octet[0]);
            }
            let rows = serde_json::json!([{
                "trunk": "teams", "fqdn": BASE, "direction": "to", "proxy": "sip.pstnhub.example",
                "status": status, "age_seconds": 20, "result": "", "verdict": "",
            }]);
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{rows}");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let (_, text) = bench.add(bench.wish()).await;
        daemon.join().unwrap();
        assert!(step(&text, "options").contains(words), "{text}");
        let own = [BASE.to_owned()];
        let patience = std::time::Duration::ZERO;
        assert!(bench.proxy.heard_from(&own, patience).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_call_for_help_are_asked_for_and_have_a_way_from_teams() {
    let bench = Bench::new(&[BASE], &[BASE, FABRIKAM]).await;
    let hosted = Add {
        offline: true,
        ..bench.wish()
    };
    let own = Add {
        own: true,
        pstn: Some("carrier-a".to_owned()),
        ..hosted.clone()
    };
    for wish in [hosted, own] {
        let (_, text) = bench.add(wish.clone()).await;
        assert!(step(&text, "configuration").contains(" ok "), "{text}");
        assert!(
            text.contains("\nemergency = [\"112\", \"999\"]\n"),
            "{text}"
        );
        // Before the route of all others, which 112 does not match.
        let at = |words: &str| {
            text.find(words)
                .unwrap_or_else(|| panic!("{words} is not in\n{text}"))
        };
        let first = at(
            "-NumberPattern \"^\\+?(112|999)$\" `\n   -OnlinePstnGatewayList \"fabrikam.customers.adatum.example\" -Priority 1 ",
        );
        let second = at(
            "-NumberPattern \"^\\+\\d+$\" `\n   -OnlinePstnGatewayList \"fabrikam.customers.adatum.example\" -Priority 2 ",
        );
        assert!(first < second, "{text}");

        let silent = Add {
            emergency: Vec::new(),
            ..wish
        };
        let (code, text) = bench.add(silent.clone()).await;
        assert_eq!(code, exit::USAGE, "{text}");
        let nobody = Add {
            no_emergency: true,
            ..silent
        };
        let (_, text) = bench.add(nobody).await;
        assert!(text.contains("\nemergency = []\n"), "{text}");
        assert!(step(&text, "configuration").contains(" ok "), "{text}");
        assert!(!text.contains("-emergency\""), "{text}");
    }
    let wrong = Add {
        emergency: vec!["one".to_owned()],
        offline: true,
        ..bench.wish()
    };
    let (code, text) = bench.add(wrong).await;
    assert_eq!(code, exit::INVALID, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_may_have_a_trunk_of_its_own_and_media_that_pass_by() {
    let bench = Bench::new(&["sbc1.fabrikam.example"], &[BASE, "sbc1.fabrikam.example"]).await;
    let own = Add {
        fqdn: "sbc1.fabrikam.example".to_owned(),
        own: true,
        pstn: Some("carrier-a".to_owned()),
        calls: Some(30),
        offline: true,
        ..bench.wish()
    };
    for (media, words) in [
        (Media::Processed, "-MediaBypass $false"),
        (Media::Bypass, "-MediaBypass $true"),
    ] {
        let (_, text) = bench
            .add(Add {
                media,
                ..own.clone()
            })
            .await;
        assert!(step(&text, "configuration").contains(" ok "), "{text}");
        for words in [
            words,
            "New-CsOnlinePSTNGateway -Fqdn sbc1.fabrikam.example",
            "-MaxConcurrentSessions 30",
        ] {
            assert!(text.contains(words), "{words}\n{text}");
        }
        let bypasses = media == Media::Bypass;
        assert_eq!(text.contains("\nmedia_bypass = true\n"), bypasses, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_that_stay_in_the_sites_of_a_customer_are_drafted_and_told_to_its_tenant() {
    let carried = [BASE, "sbc1.fabrikam.example", "proxy.fabrikam.example"];
    let bench = Bench::new(&["sbc1.fabrikam.example"], &carried).await;
    let central = Add {
        fqdn: "sbc1.fabrikam.example".to_owned(),
        own: true,
        pstn: Some("carrier-a".to_owned()),
        offline: true,
        media: Media::Lmo,
        local: LocalMedia {
            internal: Some("carrier".to_owned()),
            site: Some("Vietnam".to_owned()),
            ..LocalMedia::default()
        },
        ..bench.wish()
    };
    let has = |text: &str, words: &str| assert!(text.contains(words), "{words}\n{text}");
    let (_, text) = bench.add(central.clone()).await;
    has(step(&text, "configuration"), " ok ");
    has(
        &text,
        "media_bypass = true\nlocal_media = { internal = \"carrier\", site = \"Vietnam\" }\n",
    );
    has(&text, "New-CsTenantNetworkSite -NetworkSiteID \"Vietnam\"");
    has(
        &text,
        "Set-CsOnlinePSTNGateway -Identity \"sbc1.fabrikam.example\" -GatewaySiteID \"Vietnam\" \
         -MediaBypass $true `\n   -BypassMode \"Always\"\n",
    );

    let behind = Add {
        local: LocalMedia {
            proxy: Some("Proxy.fabrikam.example".to_owned()),
            bypass_mode: BypassMode::Local,
            ..central.local.clone()
        },
        ..central.clone()
    };
    let (_, text) = bench.add(behind.clone()).await;
    // What the loader says of the draft is shown.
    has(step(&text, "configuration"), " warning ");
    has(
        step(&text, "configuration"),
        "see that the branch can reach",
    );
    has(&text, ", proxy = \"proxy.fabrikam.example\", site = ");
    has(
        &text,
        "New-CsOnlinePSTNGateway -Fqdn proxy.fabrikam.example ",
    );
    has(
        &text,
        "-BypassMode \"OnlyForLocalUsers\" -ProxySBC \"proxy.fabrikam.example\"\n",
    );

    // A trunk behind us without SRTP: the loader says why media cannot go past us.
    let local = LocalMedia {
        downstream: Some("carrier-a".to_owned()),
        ..behind.local.clone()
    };
    let (code, text) = bench.add(Add { local, ..behind }).await;
    assert_eq!(code, exit::INVALID, "{text}");
    has(&text, "downstream = \"carrier-a\"");
    has(step(&text, "configuration"), "cannot go past us");

    // What does not fit is refused before anything is drafted.
    let without = Add {
        local: LocalMedia::default(),
        ..central.clone()
    };
    let hosted = Add {
        own: false,
        pstn: None,
        ..central.clone()
    };
    let processed = Add {
        media: Media::Processed,
        ..central
    };
    for wish in [without, hosted, processed] {
        let (code, text) = bench.add(wish).await;
        assert_eq!((code, text.as_str()), (exit::USAGE, ""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_names_of_microsoft_are_asked_with_our_certificate() {
    let bench = Bench::new(&[BASE], &[BASE]).await;
    bench.dns.set("sip.pstnhub.example", vec![a("127.0.0.1")]);
    let asked = |hosts: &[&str], port| Probe {
        trunk: None,
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        port,
        dns: vec![bench.dns.address],
        config: bench.config(),
    };
    let probe = |arguments: Probe| async {
        tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            let nobody = causeway::command::node::Connection {
                socket: PathBuf::new(),
                reason: None,
                output: Default::default(),
            };
            let code = teams::run(&Teams::Probe(arguments), &nobody, &mut out).unwrap();
            (code, String::from_utf8(out).unwrap())
        })
        .await
        .unwrap()
    };
    let port = bench.proxy.address().port();
    let (code, text) = probe(asked(&["sip.pstnhub.example"], port)).await;
    assert_eq!(code, exit::OK, "{text}");
    assert!(
        text.contains("knows customers.adatum.example: 200"),
        "{text}"
    );
    let (code, text) = probe(asked(&["nobody.example"], port)).await;
    assert_eq!(code, exit::REFUSED, "{text}");
    assert!(text.contains("has no address"), "{text}");
    // One that is good does not hide one that is not.
    bench
        .dns
        .set("sip.g1.pstnhub.example", vec![a("127.0.0.9")]);
    let both = asked(&["sip.pstnhub.example", "sip.g1.pstnhub.example"], port);
    let (code, text) = probe(both).await;
    assert_eq!(code, exit::REFUSED, "{text}");
    assert!(
        text.contains(": 200") && text.contains("no connection"),
        "{text}"
    );
    // Of configured names one without an address says nothing, as long as another one is there.
    let names = |names: &str| {
        let text = std::fs::read_to_string(bench.config()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("test_names"));
        let text = lines.collect::<Vec<_>>().join("\n");
        let text = text.replacen("fqdn =", &format!("test_names = [{names}]\nfqdn ="), 1);
        write(bench.folder.path(), "causeway.toml", &text);
    };
    let usual = Cloud::PORT;
    names(&format!(
        "\"sip.pstnhub.example:{port};tls\", \"nobody.example\""
    ));
    let (code, text) = probe(asked(&[], usual)).await;
    assert_eq!(code, exit::OK, "{text}");
    assert!(text.contains("skipped"), "{text}");
    names("\"nobody.example\"");
    let (code, text) = probe(asked(&[], usual)).await;
    assert_eq!(code, exit::REFUSED, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_tenant_exports_is_compared_with_the_configuration() {
    let bench = Bench::new(&[BASE], &[BASE]).await;
    let export = bench.folder.path().join("gateways.json");
    let compared = |text: &str, json: bool| {
        std::fs::write(&export, text).unwrap();
        let arguments = Gateways {
            export: export.clone(),
            tenant: None,
            config: bench.config(),
        };
        let nobody = causeway::command::node::Connection {
            socket: PathBuf::new(),
            reason: None,
            output: match json {
                true => Output::JSON,
                false => Output::default(),
            },
        };
        let mut out = Vec::new();
        let code = teams::run(&Teams::Gateways(arguments), &nobody, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    };
    let same = format!("{{ \"Fqdn\": \"{BASE}\", \"SipSignalingPort\": 5061, \"Enabled\": true }}");
    let (code, text) = compared(&same, false);
    assert_eq!(code, exit::OK, "{text}");
    assert_eq!(text, "gateways 1, errors 0, warnings 0\n");
    let other = same.replace("5061", "5067");
    let (code, text) = compared(&other, false);
    assert_eq!(code, exit::INVALID, "{text}");
    assert!(
        text.starts_with(&format!(
            "error: gateway {BASE}, SipSignalingPort: Teams calls port 5067"
        )),
        "{text}"
    );
    assert!(
        text.contains("\n  help: Set-CsOnlinePSTNGateway -Identity"),
        "{text}"
    );
    let (code, text) = compared(&other, true);
    assert_eq!(code, exit::INVALID);
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all[0]["parameter"], "SipSignalingPort");
    assert_eq!(compared("nothing", false).0, exit::USAGE);
}

#[tokio::test]
async fn number_rules_are_told_as_translation_rules_of_the_tenant() {
    let bench = Bench::new(&[BASE], &[BASE]).await;
    let transforms = "\n[[transform]]\nname = \"national\"\nwhen = { trunk = \"teams\", dir = \"in\" }\n\
         called = [{ match = '^0(\\d+)$', set = '+44$1' }, { prefix = \"00\", set = \"+\" }]\n\
         calling = [{ number = \"100\", set = \"+441632960100\" }]\n\
         [[transform]]\nname = \"second\"\nwhen = { trunk = \"teams\", dir = \"in\" }\n\
         called = [{ number = \"1\", set = \"2\" }]\n\
         [[transform]]\nname = \"inward\"\nwhen = { trunk = \"teams\", dir = \"out\" }\n\
         called = [{ prefix = \"1\", length = \"4\", set = \"+4416329601\" }]\n";
    let text = std::fs::read_to_string(bench.config()).unwrap() + transforms;
    write(bench.folder.path(), "causeway.toml", &text);
    let rules = |trunk: Option<&str>| {
        let rules = Rules {
            trunk: trunk.map(str::to_owned),
            config: bench.config(),
        };
        let mut out = Vec::new();
        let code = tenant::run(&Tenants::Rules(rules), &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    };
    let (code, text) = rules(None);
    assert_eq!(code, exit::OK, "{text}");
    for line in [
        "New-CsTeamsTranslationRule -Identity 'national-called-1' -Pattern '^0(\\d+)$' -Translation '+44$1'",
        "New-CsTeamsTranslationRule -Identity 'national-calling-1' -Pattern '^100$' \
         -Translation '+441632960100'",
        "New-CsTeamsTranslationRule -Identity 'inward-called-1' -Pattern '^1(.{3})$' \
         -Translation '+4416329601${1}'",
        "Set-CsOnlinePSTNGateway -Identity customers.adatum.example `",
        "   -OutboundPstnNumberTranslationRules 'national-called-1','national-called-2' `",
        "   -OutboundTeamsNumberTranslationRules 'national-calling-1' `",
        "   -InboundTeamsNumberTranslationRules 'inward-called-1'",
    ] {
        assert!(
            text.lines().any(|own| own == line),
            "{line} is not in\n{text}"
        );
    }
    assert!(
        text.contains("# Left out: the called rules of \"second\""),
        "{text}"
    );
    assert_eq!(rules(Some("nobody")).0, exit::REFUSED);
}
