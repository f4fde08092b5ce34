//! `causeway certify run` and `self-test`, with this very binary as the subject.

use serde_json::Value;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Exit code, output, errors.
fn certify(arguments: &[&str]) -> (Option<i32>, String, String) {
    let temporary = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .arg("certify")
        .args(arguments)
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let left = std::fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!(left, 0, "something is left behind");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_short_run_passes_and_is_written_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (junit, html) = (file("report.xml"), file("report.html"));
    let (code, out, errors) = certify(&[
        "run", "INB-003", "OPT-006", "SYS-008", "--json", "--junit", &junit, "--html", &html,
    ]);
    assert_eq!(code, Some(0), "{out}\n{errors}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let cases = report["cases"].as_array().unwrap();
    let verdicts: Vec<&str> = cases
        .iter()
        .map(|case| case["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, ["passed", "passed", "passed"]);
    let note = cases[2]["notes"][0].as_str().unwrap();
    assert!(
        note.contains("that calls survive is asked of pairs"),
        "{note}"
    );
    let given_up = &cases[1];
    assert_eq!(given_up["id"], "TC-INB-003");
    let ladder = given_up["ladder"].as_array().unwrap();
    let has_cancel = |step: &Value| step["title"].as_str().unwrap().starts_with("CANCEL ");
    assert!(ladder.iter().any(has_cancel), "{ladder:?}");
    // A hidden key begins with no letter of base64.
    let mut keys = out.split("inline:").skip(1);
    let is_shown = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric());
    assert!(!keys.any(is_shown) && !errors.is_empty());
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(
        junit.contains("tests=\"3\" failures=\"0\" errors=\"0\" skipped=\"0\""),
        "{junit}"
    );
    let html = std::fs::read_to_string(html).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.contains("TC-INB-003"));
    assert!(!html.contains("src=\"http") && !html.contains("<link"));
}

#[test]
fn what_is_played_twice_goes_the_same_way() {
    let (code, out, errors) = certify(&["run", "INB-003", "OPT-006", "OUT-002", "--repeat", "2"]);
    assert_eq!(code, Some(0), "{out}\n{errors}");
    let said = "played 2 times, each case with the same verdict";
    assert!(out.contains(said), "{out}");
    // Each was played each time.
    assert_eq!(errors.matches("TC-OUT-002").count(), 2, "{errors}");
}

/// Every case runs so by hand: `causeway certify run --impair loss=2,jitter=30,reorder=1`.
#[test]
fn calls_hold_over_a_network_that_loses_delays_and_reorders() {
    let bad = [
        "--json",
        "--impair",
        "loss=2,jitter=30,reorder=1",
        "--seed",
        "1",
    ];
    let cases = [
        "INB-003", "INB-007", "INB-024", "OUT-002", "OUT-013", "MID-002", "MID-005", "XFR-002",
        "MED-001", "MED-010", "MED-002", "MED-003", "ICE-003", "CON-025", "EMG-004",
    ];
    let (code, out, errors) = certify(&[&["run"], &cases[..], &bad[..]].concat());
    assert_eq!(code, Some(0), "{errors}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["mandatory"]["failed"], 0);
    assert_eq!(report["all"]["passed"], cases.len());
    assert_eq!(report["network"]["seed"], 1);
    let heard = report["cases"].as_array().unwrap().iter();
    let heard = heard.flat_map(|case| case["media"].as_array().unwrap());
    let lost: u64 = heard.map(|one| one["lost"].as_u64().unwrap()).sum();
    assert!(lost > 0, "nothing was lost, so nothing is shown");
}

#[test]
fn what_no_network_is_like_is_named() {
    let (code, _, errors) = certify(&["run", "OPT-006", "--impair", "loss=50"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("0 to 20 percent"), "{errors}");
}

#[test]
fn customers_trunks_nodes_and_branches_live_beside_each_other() {
    let (code, out, errors) = certify(&[
        "run", "SYS-001", "SYS-002", "SYS-003", "SYS-011", "SYS-012", "OPT-013", "NUM-002",
        "--json",
    ]);
    assert_eq!(code, Some(0), "{out}\n{errors}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["all"]["passed"], 7, "{errors}");
}

#[test]
fn attacks_and_fraud_are_held_off_and_figures_follow_their_definition() {
    let (code, out, errors) = certify(&[
        "run", "SYS-005", "SYS-009", "SYS-010", "SYS-013", "OUT-019", "--json",
    ]);
    assert_eq!(code, Some(0), "{out}\n{errors}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["all"]["passed"], 5, "{errors}");
    // Which form of a long case was played is said.
    let cases = report["cases"].as_array().unwrap();
    let figures = cases.iter().find(|case| case["id"] == "TC-SYS-013");
    let note = figures.unwrap()["notes"][0].as_str().unwrap();
    assert_eq!(note, "short form: 20 calls; with --soak it is 100");
}

/// Each with its reaction, and the figure that counts it.
#[test]
fn who_and_what_must_not_be_believed_is_refused_and_counted() {
    let cases = [
        "TC-CON-002",
        "TC-CON-004",
        "TC-CON-007",
        "TC-CON-008",
        "TC-CON-009",
        "TC-CON-010",
        "TC-CON-012",
        "TC-OUT-013",
        "TC-XFR-004",
        "TC-MED-005",
        "TC-ICE-004",
        "TC-EMG-002",
    ];
    let (code, out, errors) = certify(&[&["run"], &cases[..], &["--json"]].concat());
    assert_eq!(code, Some(0), "{out}\n{errors}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["all"]["passed"], cases.len(), "{errors}");
}

#[test]
fn each_codec_alone_is_heard_both_ways_or_refused() {
    let (code, out, errors) = certify(&["run", "TC-MED-006", "--json"]);
    assert_eq!(code, Some(0), "{out}\n{errors}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["all"]["passed"], 1, "{errors}");
}

#[test]
fn a_broken_subject_is_noticed_by_the_rule_that_it_breaks() {
    let (code, out, errors) = certify(&["self-test", "INB-003", "OPT-006"]);
    assert_eq!(code, Some(0), "{out}\n{errors}");
    assert!(out.contains("13 of 13 trials went as they must"), "{out}");
}

/// All of them take minutes: `causeway certify self-test`. These are every twelfth.
#[test]
fn some_of_all_broken_subjects_are_noticed() {
    let (code, out, errors) = certify(&["self-test", "CON", "INB", "OUT", "--shard", "7/24"]);
    assert_eq!(code, Some(0), "{out}\n{errors}");
}

#[test]
fn words_that_mean_no_case_are_named() {
    let (code, _, errors) = certify(&["run", "INB-999"]);
    assert_eq!(code, Some(2));
    assert!(
        errors.contains("\"INB-999\"") && errors.contains("OPT"),
        "{errors}"
    );
    let (code, out, _) = certify(&["run", "--list"]);
    assert_eq!((code, out.lines().count()), (Some(0), 235));
}

/// A TCP port of loopback that was free a moment ago.
fn free() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// A daemon that somebody configured, and that ends with this value.
struct Sbc(Child);

impl Drop for Sbc {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn the_emulator_alone_serves_an_sbc_that_somebody_else_configured() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display().to_string();
    let (sbc, proxies) = (free(), [free(), free(), free()]);
    let listen: Vec<String> = proxies.iter().map(ToString::to_string).collect();
    let emulator = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(["lab", "teams", "--once", "--fqdn", "sbc.contoso.example"])
        .args(["--fqdn", "sbc.fabrikam.example"])
        .args(["--sbc", &sbc.to_string(), "--certificates", &at, "--listen"])
        .args(&listen)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It is written last.
    let deadline = Instant::now() + Duration::from_secs(20);
    while !folder.path().join("ca.pem").exists() {
        assert!(Instant::now() < deadline, "no certificates");
        std::thread::sleep(Duration::from_millis(20));
    }
    let targets: Vec<String> = ["sip", "sip2", "sip3"]
        .iter()
        .zip(&listen)
        .map(|(name, at)| {
            format!("{{ address = \"{name}.pstnhub.example:5061;tls\", connect_to = [\"{at}\"] }}")
        })
        .collect();
    let trunk = |tenant: &str| {
        let targets = targets.join(", ");
        format!(
            r#"
[[trunk]]
name = "{tenant}"
preset = "teams"
tenant = "{tenant}"
realm = "teams"
tls = "teams"
fqdn = "sbc.{tenant}.example"
targets = [{targets}]
accept_from = ["127.0.0.1/32"]
accept_names = ["sip.pstnhub.example"]
"#
        )
    };
    let trunks = ["contoso", "fabrikam"].map(trunk).concat();
    let configuration = format!(
        r#"
[node]
id = "somebody"
[[realm]]
name = "teams"
addresses = ["127.0.0.1"]
ports = "20000-20099"
[[tls]]
name = "teams"
cert = "{at}/sbc.pem"
key = {{ file = "{at}/sbc.key" }}
client_ca = "{at}/ca.pem"
verify_client = "require"
[[listen]]
name = "teams"
realm = "teams"
transport = "tls"
port = {}
tls = "teams"
[[tenant]]
name = "contoso"
numbers = ["+441632960100-+441632960199"]
[[tenant]]
name = "fabrikam"
numbers = ["+441632960200-+441632960299"]
{trunks}
[cdr]
spool = "{at}/cdr"
[metrics]
listen = "{}"
[api]
unix = "{at}/api.sock"
"#,
        sbc.port(),
        free()
    );
    let path = folder.path().join("causeway.toml");
    std::fs::write(&path, configuration).unwrap();
    let _sbc = Sbc(Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(["run", "--config"])
        .arg(&path)
        .stderr(Stdio::null())
        .spawn()
        .unwrap());
    let output = emulator.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for name in ["sip", "sip2", "sip3"] {
        let asked = format!("OPTIONS sip:{name}.pstnhub.example:5061;transport=tls");
        assert!(text.contains(&asked), "{text}");
    }
    assert!(
        text.contains("the SBC is sbc.contoso.example and sbc.fabrikam.example"),
        "{text}"
    );
}
