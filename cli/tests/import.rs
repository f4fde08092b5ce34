//! `causeway import` on files as they come from other products.

use causeway::command::exit;
use causeway_import::dispatcher::Around;
use causeway_import::{Imported, Refused, audiocodes, dispatcher, numbers};
use sbc_core::config::{Assumed, Config, Source};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

const MEDIANT: &str = include_str!("import/mediant.ini");
const LIST: &str = include_str!("import/dispatcher.list");
const NUMBERS: &str = include_str!("import/numbers.csv");

fn sample(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/import")).join(name)
}

fn causeway(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
    command.arg("import").args(arguments).output().unwrap()
}

/// What the loader makes of it where every file that it names exists.
fn loaded(toml: &str, further: &str) -> Config {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    let sources = [
        Source::new("result.toml", toml),
        Source::new("further.toml", further),
    ];
    let loaded = sbc_core::config::load(&sources, &facts, None);
    let loaded = loaded.unwrap_or_else(|findings| panic!("{}\n{toml}", findings.to_text()));
    // Calls that are described in it are played.
    let played = sbc_core::rehearsal::gate(loaded);
    played
        .unwrap_or_else(|findings| panic!("{}\n{toml}", findings.to_text()))
        .config
}

/// Whether the line is noted with this in what it is or why.
fn notes(imported: &Imported, line: &str, text: &str) -> bool {
    let of_line = |note: &&causeway_import::Note| line.is_empty() || note.what.contains(line);
    let mut all = imported.notes.iter().filter(of_line);
    all.any(|note| note.what.contains(text) || note.why.contains(text))
}

fn line_of(text: &str, part: &str) -> usize {
    text.lines().position(|line| line.contains(part)).unwrap() + 1
}

#[test]
fn a_mediant_becomes_a_configuration_that_carries_its_calls() {
    let imported = audiocodes::import("mediant.ini", MEDIANT.as_bytes()).unwrap();
    let calls = r#"
[[test]]
name = "national numbers of the carrier reach Teams"
call = { trunk = "Carrier-A", from = "01632960999", to = "01632960001" }
expect = { trunk = "Teams", from = "+441632960999", to = "+441632960001" }

[[test]]
name = "Teams reaches the carrier"
call = { trunk = "Teams", from = "+441632960001", to = "+14255550100" }
expect = { trunk = "Carrier-A", to = "+14255550100", targets = 2 }
"#;
    let config = loaded(&imported.toml, calls);
    let realms: Vec<String> = config
        .realms
        .values()
        .map(|realm| {
            format!(
                "{} {:?} {:?} {:?}",
                realm.name, realm.v4, realm.advertise_v4, realm.ports
            )
        })
        .collect();
    assert_eq!(
        realms,
        [
            "MR-Teams Some(198.51.100.5) Some(203.0.113.5) 7000..=7999",
            "MR-carrier Some(192.0.2.11) None 6000..=6999",
        ]
    );
    let ports: Vec<String> = config
        .listeners
        .values()
        .map(|listener| format!("{:?} {}", listener.protocol, listener.bind))
        .collect();
    assert_eq!(ports, ["Tls 198.51.100.5:5061", "Udp 192.0.2.11:5060"]);
    let trunk = |name: &str| {
        let mut trunks = config.trunks.values();
        trunks.find(|trunk| trunk.name.as_str() == name).unwrap()
    };
    let carrier = trunk("Carrier-A");
    let targets: Vec<&str> = carrier
        .targets
        .iter()
        .map(|target| target.host.as_str())
        .collect();
    assert_eq!(targets, ["192.0.2.20", "192.0.2.21"], "by priority");
    assert_eq!(carrier.options.as_ref().unwrap().interval.as_secs(), 30);
    let teams = trunk("Teams");
    assert_eq!(teams.fqdn.as_deref(), Some("sbc1.contoso.example"));
    assert_eq!(teams.targets.len(), 3);
    assert_eq!(teams.preset, sbc_core::config::Preset::Teams);
}

#[test]
fn what_a_mediant_has_beyond_that_is_told_with_its_line() {
    let imported = audiocodes::import("mediant.ini", MEDIANT.as_bytes()).unwrap();
    for (line, text) in [
        ("SyslogServerIP", "3 settings of the device"),
        ("SIPInterface 1", "MessagePolicyName = Strict"),
        ("IPGroup 1", "OutboundManSet = 4"),
        ("IPGroup 3", "register one by one"),
        ("TLSContexts 0", "no SIP interface"),
        ("TLSContexts 1", "certificate, key"),
        ("IpProfile 1", "codecs, early media"),
        ("IPGroup 1", "shares among its proxies"),
        ("IP2IPRouting 0", "OPTIONS are answered"),
        ("IP2IPRouting 1", "transfers and redirections"),
        ("IPInboundManipulation 2", "a rule sees one number"),
        ("[ MessageManipulations ]", "MessageManipulations, rows: 1"),
    ] {
        let place = line_of(MEDIANT, line);
        let mut all = imported.notes.iter().filter(|note| note.line == place);
        let is_told = all.any(|note| note.what.contains(text) || note.why.contains(text));
        assert!(is_told, "{line}: {text}\n{:#?}", imported.notes);
    }
    let shown = format!("{imported:?}");
    assert!(!shown.contains("not-a-real-secret"), "a password is shown");
    // Each block says where it comes from.
    let line = line_of(MEDIANT, "IPGroup 1");
    let comment = format!("# from mediant.ini:{line}, IP group Carrier A");
    assert!(imported.toml.contains(&comment), "{}", imported.toml);
    let blocks = imported.toml.lines().filter(|line| line.starts_with("[["));
    let comments = imported
        .toml
        .lines()
        .filter(|line| line.starts_with("# from "));
    assert_eq!(blocks.count(), comments.count());
}

#[test]
fn a_condition_that_has_no_equivalent_never_widens_a_route() {
    let narrow = MEDIANT.replace(
        r#""Teams to carrier", "Default", "Teams", "*", "*", "*", "*""#,
        r#""Teams to carrier", "Default", "Teams", "*", "*", "*", "a.example.com""#,
    );
    assert_ne!(narrow, MEDIANT);
    let imported = audiocodes::import("x", narrow.as_bytes()).unwrap();
    assert!(!imported.toml.contains("name = \"Teams-to-carrier\""));
    assert!(notes(
        &imported,
        "Teams to carrier",
        "it would take more calls"
    ));
}

#[test]
fn alternatives_of_a_routing_rule_join_its_route() {
    let row = "IP2IPRouting 3 =";
    let more = "IP2IPRouting 4 = \"Again\", \"Default\", \"Teams\", \"*\", \"*\", \"*\", \"*\", 0, \"\", \
                \"Any\", 0, 0, \"Teams\", \"\", \"\", 1, 0;\n";
    let at = MEDIANT.find(row).unwrap();
    let end = at + MEDIANT[at..].find('\n').unwrap() + 1;
    let text = format!("{}{more}{}", &MEDIANT[..end], &MEDIANT[end..]);
    let imported = audiocodes::import("x", text.as_bytes()).unwrap();
    let both = "to = [{ trunk = \"Carrier-A\" }, { trunk = \"Teams\" }]";
    assert!(imported.toml.contains(both), "{}", imported.toml);
}

#[test]
fn a_dispatcher_list_becomes_trunks_with_targets_and_shared_routes() {
    let around = Around {
        realm: "core".to_owned(),
        tenant: "*".to_owned(),
        is_alone: true,
    };
    let imported = dispatcher::import("dispatcher.list", LIST.as_bytes(), &around).unwrap();
    // TCP and UDP come to the same port, TLS has a listener of its own.
    let config = loaded(&imported.toml, "");
    let of = |name: &str| -> Vec<String> {
        let mut trunks = config.trunks.values();
        let trunk = trunks.find(|trunk| trunk.name.as_str() == name).unwrap();
        let text =
            |target: &sbc_core::config::TargetAddress| format!("{}:{}", target.host, target.port);
        trunk.targets.iter().map(text).collect()
    };
    assert_eq!(
        of("set-1"),
        ["192.0.2.31:5060", "192.0.2.30:5060"],
        "the highest priority first"
    );
    assert_eq!(of("set-2-1"), ["192.0.2.40:5060"]);
    assert_eq!(of("set-3"), ["sbc.example.org:5061"]);
    let shared = config
        .routes
        .iter()
        .find(|route| route.to.len() == 2)
        .unwrap();
    let weights: Vec<u8> = shared.to.iter().map(|target| target.weight).collect();
    assert_eq!((shared.name.as_str(), weights), ("to-set-2", vec![70, 30]));
    for (what, why) in [
        ("192.0.2.32", "disabled"),
        ("192.0.2.42", "no weight"),
        ("sctp", "transport is not supported"),
        ("x sip:192.0.2.51", "number of a set"),
        ("gw.example.net", "nothing but addresses"),
        ("duid=a1", "no equivalent"),
    ] {
        assert!(
            notes(&imported, what, why),
            "{what}: {why}\n{:#?}",
            imported.notes
        );
    }
}

#[test]
fn numbers_become_tenants_with_merged_ranges_and_routes() {
    let imported = numbers::import("numbers.csv", NUMBERS.as_bytes(), None).unwrap();
    for text in [
        "    \"+441632960000-+441632960009\", # lines 2 to 4\n",
        "    \"+441632960100-+441632960199\", # line 5: machine hall; old PBX\n",
        "    \"+14255550100\", # line 10\n",
        "match = { called_in = \"tenant:contoso\", called = '^\\+(?:44163296000[0-9])$' }\nto = [{ trunk = \"teams-contoso\" }]",
        "called = '^\\+(?:4416329601[0-9]{2})$' }\nto = [{ trunk = \"pbx-contoso\" }]",
        "match = { called_in = \"tenant:fabrikam\" }\nto = [{ trunk = \"teams-fabrikam\" }]",
    ] {
        assert!(imported.toml.contains(text), "{text}\n{}", imported.toml);
    }
    let told: Vec<usize> = imported.notes.iter().map(|note| note.line).collect();
    assert_eq!(told, [6, 7, 8, 9], "{:#?}", imported.notes);
    assert!(notes(
        &imported,
        "+441632960150",
        "line 5 gives numbers of it"
    ));
    assert!(notes(&imported, "+441632960005", "line 4 has it already"));
}

#[test]
fn a_list_without_names_tenants_or_trunks_is_a_list_of_numbers() {
    let text = b"+441632960000\n+441632960001\n+441632960002\n";
    let imported = numbers::import("x", text, Some("contoso")).unwrap();
    assert!(imported.notes.is_empty());
    let config = loaded(&imported.toml, "[node]\nid = \"sbc1\"\n");
    let tenant = config.tenants.values().next().unwrap();
    assert_eq!(tenant.numbers.len(), 1);
    assert!(tenant.owns("+441632960002") && !tenant.owns("+441632960003"));
    // Nobody is guessed.
    let nobody = numbers::import("x", text, None);
    assert_eq!(nobody, Err(Refused::Nothing("a number with its tenant")));
}

#[test]
fn the_command_prints_the_result_and_says_what_is_left_to_do() {
    let file = sample("mediant.ini");
    let output = causeway(&["audiocodes", file.to_str().unwrap()]);
    let (out, told) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(out.contains("preset = \"teams\""), "{out}");
    // There are no certificates here, which the loader says and nothing else.
    assert_eq!(
        output.status.code(),
        Some(i32::from(exit::INVALID)),
        "{told}"
    );
    assert!(
        told.contains("mediant.ini:10: not carried over: 3 settings"),
        "{told}"
    );
    assert!(told.contains("/etc/causeway/tls/Teams.pem"), "{told}");
    let report = causeway(&["audiocodes", file.to_str().unwrap(), "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["toml"].as_str(), Some(out.as_str()));
    assert_eq!(report["check"]["valid"], false);
    for error in report["check"]["errors"].as_array().unwrap() {
        let cause = error["cause"].as_str().unwrap();
        assert!(cause.contains("/etc/causeway/tls/"), "{cause}");
    }
    assert!(report["not_carried_over"].as_array().unwrap().len() > 8);
}

#[test]
fn an_output_file_is_replaced_on_demand_only() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("numbers.toml");
    let (file, output) = (sample("numbers.csv"), target.to_str().unwrap().to_owned());
    let run = |more: &[&str]| {
        let mut arguments = vec!["numbers", file.to_str().unwrap(), "-o", &output];
        arguments.extend(more);
        causeway(&arguments)
    };
    fs::write(&target, "mine").unwrap();
    assert_eq!(run(&[]).status.code(), Some(i32::from(exit::REFUSED)));
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
    // Its trunks are in no configuration that was named: what is there is better than that.
    let refused = run(&["--force"]);
    assert_eq!(refused.status.code(), Some(i32::from(exit::INVALID)));
    assert!(refused.stdout.is_empty());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("left as it is"));
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
    fs::remove_file(&target).unwrap();
    assert_eq!(run(&[]).status.code(), Some(i32::from(exit::INVALID)));
    assert!(fs::read_to_string(&target).unwrap().contains("[[tenant]]"));
    let missing = causeway(&["numbers", "/nonexistent.csv"]);
    assert_eq!(missing.status.code(), Some(i32::from(exit::USAGE)));
}

#[test]
fn an_output_file_in_the_configuration_is_compared_with_itself_under_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let parts = folder.path().join("conf.d");
    fs::create_dir(&parts).unwrap();
    let config = folder.path().join("causeway.toml");
    fs::write(&config, "[node]\nid = \"sbc1\"\n").unwrap();
    let list = folder.path().join("list.csv");
    for numbers in ["+441632960000,contoso\n", "+441632960001,contoso\n"] {
        fs::write(&list, numbers).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        let command = command.args(["import", "numbers", "list.csv", "--force", "-f"]);
        let command = command.arg(&config).args(["-o", "conf.d/numbers.toml"]);
        let output = command.current_dir(folder.path()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(exit::OK)), "{told}");
        let written = fs::read_to_string(parts.join("numbers.toml")).unwrap();
        assert!(written.contains(&numbers[..13]), "{written}");
    }
}

#[test]
fn a_peer_over_tls_at_an_address_is_asked_for_its_name() {
    let around = Around {
        realm: "core".to_owned(),
        tenant: "*".to_owned(),
        is_alone: true,
    };
    let list = b"1 sips:192.0.2.60 0 0\n1 sip:[2001:db8::60]:5061;transport=tls 0 0\n";
    let imported = dispatcher::import("x", list, &around).unwrap();
    let config = loaded(&imported.toml, "");
    let trunk = config.trunks.values().next().unwrap();
    assert_eq!(trunk.accept_names, ["peer.example.com"]);
    assert!(notes(&imported, "certificate", "are addresses"));
}
