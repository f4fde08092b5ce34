//! `causeway certify run --subject`: our own daemon stands for an SBC that somebody else configures, as
//! `--subject-example` says.

use conformance::ca::{Authority, Identity};
use conformance::certify::word::{PROXY_OF_GCC_HIGH, Word};
use conformance::lab::place::Addresses;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_causeway");

/// An SBC and the file that describes it; what runs of it ends with this value.
struct Foreign {
    folder: tempfile::TempDir,
}

/// A port that was free a moment ago, for both transports.
fn free(ip: IpAddr) -> SocketAddr {
    let socket = TcpListener::bind((ip, 0)).unwrap();
    let at = socket.local_addr().unwrap();
    drop(UdpSocket::bind(at).unwrap());
    at
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    // Keys that everybody can read are refused.
    let mut file = OpenOptions::new();
    file.write(true).create(true).truncate(true).mode(0o600);
    file.open(&path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    path
}

impl Foreign {
    /// One that is configured as each case wants it.
    fn new() -> Self {
        Self::at_place(Addresses::choose())
    }

    /// The same where everybody is here.
    fn at_place(place: Addresses) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let authority = Authority::new("Somebody").unwrap();
        write(at, "ca.pem", authority.root_pem());
        let keep = |name: &str, own: &Identity| {
            write(at, &format!("{name}.pem"), &own.chain_pem);
            write(at, &format!("{name}.key"), &own.key_pem);
        };
        let names = [
            "sbc1", "proxy", "c1.cust", "c2.cust", "c1.sbc1", "*.sbc1", "sbc2",
        ];
        let names = names.map(|name| format!("{name}.test.example"));
        let own = authority.issue(&names.each_ref().map(String::as_str));
        let own = own.unwrap();
        keep("sbc", &own);
        keep("own", &own);
        let renewed = authority.issue(&["sbc1.test.example", "renewed.test.example"]);
        keep("renewed", &renewed.unwrap());
        keep("cloud", &authority.issue(&[PROXY_OF_GCC_HIGH]).unwrap());
        let wildcard = authority.issue(&["sbc1.test.example", "*.cust.test.example"]);
        keep("wildcard", &wildcard.unwrap());
        let with_key = |name: &str, own: &Authority| {
            write(at, &format!("{name}.pem"), own.root_pem());
            write(at, &format!("{name}.key"), own.root_key_pem());
        };
        with_key("authority", &authority);
        let mut roots = authority.root_pem().to_owned();
        for number in 1..=7 {
            let anchor = match number {
                ..=3 => Authority::p384(&format!("Root {number}")),
                _ => Authority::new(&format!("Root {number}")),
            };
            let anchor = anchor.unwrap();
            with_key(&format!("anchor{number}"), &anchor);
            roots += anchor.root_pem();
        }
        write(at, "roots.pem", &roots);
        let proxies = ["sip", "sip2", "sip3"].map(|name| format!("{name}.pstnhub.example"));
        let proxies = authority.issue(&proxies.each_ref().map(String::as_str));
        keep("proxy", &proxies.unwrap());
        keep(
            "branch",
            &authority.issue(&["branch.test.example"]).unwrap(),
        );
        let usable = authority.issue_for_servers(&["sip.pstnhub.example"]);
        keep("servers", &usable.unwrap());
        keep("other", &authority.issue(&["other.example"]).unwrap());
        let servers = authority.issue_for_servers(&["sbc1.test.example"]);
        keep("for-servers", &servers.unwrap());
        let words: Vec<String> = Word::all()
            .iter()
            .map(|word| format!("\"{}\"", word.name))
            .collect();
        // Of names that are asked for, and in other clouds, all are at the usual port.
        let usual = |ip| match ip {
            IpAddr::V4(_) => SocketAddr::new(ip, 5061),
            IpAddr::V6(_) => free(ip),
        };
        let proxies = place.proxies.map(|ip| format!("\"{}\"", usual(ip)));
        let mut text = format!(
            "name = \"somebody's\"\nfqdn = \"sbc1.test.example\"\nproxies = [{}]\ncertificates = \"{}\"\n\
             has = [\"transfers\", {}]\nconfigure = [\"/bin/sh\", \"{}/configure\"]\n\
             outside = \"{}\"\nstranger = \"{}\"\n",
            proxies.join(", "),
            at.display(),
            words.join(", "),
            at.display(),
            place.outside,
            place.stranger,
        );
        for (name, script) in SCRIPTS {
            let path = write(at, name, &with_place(script, at));
            let _ = writeln!(text, "{name} = [\"/bin/sh\", \"{}\"]", path.display());
        }
        let _ = writeln!(text, "elsewhere = \"{}\"", usual(place.elsewhere));
        let _ = writeln!(text, "teams_side = \"{}\"", usual(place.teams_side));
        for (key, ip) in [
            ("second_side", place.teams_side),
            ("carrier_side", place.carrier_side),
            ("carrier", place.carrier),
            ("carrier_2", place.carrier_2),
            ("branch", place.carrier),
            ("names", place.stranger),
        ] {
            let _ = writeln!(text, "{key} = \"{}\"", free(ip));
        }
        write(at, "subject.toml", &text);
        write(at, "configure", &configure(at));
        Self { folder }
    }

    fn at(&self) -> &Path {
        self.folder.path()
    }

    /// All of these cases are played, and pass.
    fn passes(&self, cases: &[&str]) {
        let (code, report, errors) = self.runs(cases);
        let log = std::fs::read_to_string(self.at().join("log")).unwrap_or_default();
        assert_eq!(code, Some(0), "{errors}\n{report:#}\n{log}");
        let passed = &report["all"]["passed"];
        assert_eq!(*passed, cases.len(), "{errors}\n{report:#}\n{log}");
    }

    fn runs(&self, arguments: &[&str]) -> (Option<i32>, Value, String) {
        let output = Command::new(PROGRAM)
            .args(["certify", "run", "--json", "--subject"])
            .arg(self.at().join("subject.toml"))
            .args(arguments)
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        let report = serde_json::from_slice(&output.stdout);
        (
            output.status.code(),
            report.unwrap_or_else(|why| panic!("{why}: {errors}")),
            errors,
        )
    }
}

/// What whoever runs the SBC does to configure it: the keys that the program prints for these words, and a new start.
fn configure(at: &Path) -> String {
    let at = at.display();
    format!(
        r#"set -e
cd '{at}'
if [ -e pid ]; then
    kill -9 "$(cat pid)" || true
    while kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.05; done
fi
rm -rf cdr api.sock
cp own.pem sbc.pem
cp own.key sbc.key
words=$(IFS=,; echo "$*")
'{PROGRAM}' certify run --subject subject.toml --configuration "$words" >causeway.toml
'{PROGRAM}' run --config causeway.toml </dev/null >>log 2>&1 &
echo $! >pid
until '{PROGRAM}' status --socket api.sock; do
    kill -0 "$(cat pid)"
    sleep 0.1
done
"#
    )
}

/// What whoever runs the SBC does besides, by the key of the subject's file.
const SCRIPTS: [(&str, &str); 5] = [
    (
        "renew",
        r#"cp "$1.key" sbc.key
cp "$1.pem" sbc.pem
"$PROGRAM" reload --socket api.sock
"#,
    ),
    (
        "maintenance",
        r#"case "$1" in
begin) "$PROGRAM" drain --socket api.sock ;;
end) "$PROGRAM" drain --off --socket api.sock ;;
esac
"#,
    ),
    (
        "customer",
        r#"mkdir -p conf.d
case "$1" in
add)
    cat >conf.d/c1.toml <<END
[[tenant]]
name = "c1"
numbers = ["+441632960200-+441632960299"]
[[trunk]]
name = "teams-c1"
inherits = "teams"
tenant = "c1"
fqdn = "c1.sbc1.test.example"
[[route]]
name = "to-c1"
match = { called_in = "tenant:c1" }
to = [{ trunk = "teams" }]
END
    ;;
remove) rm conf.d/c1.toml ;;
esac
"$PROGRAM" reload --socket api.sock
"#,
    ),
    // What it says without what is tried, it says of something else; and no authority of a lab is one of Microsoft's.
    (
        "tries",
        r#"case "$1" in
certificate) change="s|/sbc\.|/$2.|" ;;
proxy) change="s|sip\.pstnhub\.example:5061|$2|" ;;
name) change="s|sbc1\.test\.example|$2|" ;;
ice) change='s|^media_bypass = true|&\nice = "off"|' ;;
*) exit 3 ;;
esac
sed "$change" causeway.toml >tried.toml
! cmp -s causeway.toml tried.toml || exit 3
"$PROGRAM" check -f causeway.toml | grep -o 'warning\[.*' | sort >usual || true
"$PROGRAM" check -f tried.toml >said 2>&1 || { cat said; exit 2; }
cat said
grep -o 'warning\[.*' said | grep -v "W0110.*is of Certification intermediate" | sort >tried || true
[ -z "$(comm -13 usual tried)" ] || exit 1
"#,
    ),
    (
        "logs",
        r#"cat log cdr/* 2>/dev/null || true
"$PROGRAM" teams status --socket api.sock || true
for call in $("$PROGRAM" call recent --json --socket api.sock | grep -o '"call": *"[^"]*"' | cut -d'"' -f4); do
    "$PROGRAM" call show "$call" --socket api.sock || true
done
"#,
    ),
];

fn with_place(script: &str, at: &Path) -> String {
    format!(
        "set -e\nPROGRAM='{PROGRAM}'\ncd '{}'\n{script}",
        at.display()
    )
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let Ok(pid) = std::fs::read_to_string(self.at().join("pid")) else {
            return;
        };
        let _ = Command::new("kill").args(["-9", pid.trim()]).status();
    }
}

/// All of them take minutes. These want most words between them.
#[test]
fn an_sbc_of_others_is_asked_what_it_is_configured_for() {
    let cases = [
        "TC-INB-019",
        "TC-SYS-011",
        "TC-ICE-001",
        "TC-ICE-017",
        "TC-EMG-001",
        "TC-EMG-005",
        "TC-EMG-008",
        "TC-LMO-001",
        "TC-LMO-005",
        "TC-NUM-002",
        "TC-NUM-003",
        "TC-OUT-013",
        "TC-OUT-014",
        "TC-XFR-006",
        "TC-XFR-010",
        "TC-OPT-013",
        "TC-CON-005",
        "TC-CON-006",
        "TC-CON-008",
        "TC-CON-010",
    ];
    Foreign::new().passes(&cases);
}

/// Alone, because it waits until OPTIONS are due: others are played meanwhile.
#[test]
fn an_sbc_of_others_is_renewed() {
    Foreign::new().passes(&["TC-CON-014"]);
}

/// The same: no OPTIONS come.
#[test]
fn an_sbc_of_others_is_taken_out_of_service() {
    Foreign::new().passes(&["TC-OPT-010"]);
}

/// Certificates under its authority and seven roots, wrong configurations, and what its operators see.
#[test]
fn an_sbc_of_others_is_asked_whom_it_believes_and_what_it_is_told_to_try() {
    let cases = [
        "TC-CON-007",
        "TC-CON-009",
        "TC-CON-012",
        "TC-CON-013",
        "TC-CON-015",
        "TC-CON-031",
        "TC-CON-035",
        "TC-ICE-015",
        "TC-SYS-009",
    ];
    Foreign::new().passes(&cases);
}

/// Its customers come and go, calls are limited, it is in another cloud, and what Teams refuses is told.
#[test]
fn an_sbc_of_others_is_operated_while_calls_go_on() {
    Foreign::new().passes(&[
        "TC-CON-029",
        "TC-CON-034",
        "TC-OPT-005",
        "TC-SYS-002",
        "TC-SYS-010",
    ]);
}

/// What its operators see is not what they must be told.
#[test]
fn an_sbc_of_others_that_tells_its_operators_nothing_is_found_out() {
    let foreign = Foreign::new();
    let logs = r#"for call in $("$PROGRAM" call recent --json --socket api.sock | grep -o '"call": *"[^"]*"' | cut -d'"' -f4 | head -1); do
    "$PROGRAM" call show "$call" --socket api.sock || true
done
"#;
    write(foreign.at(), "logs", &with_place(logs, foreign.at()));
    let (_, report, _) = foreign.runs(&["TC-SYS-009"]);
    let told = reasons(&report, "TC-SYS-009", "failed");
    assert!(told.contains("does not name the"), "{told}");
}

/// What a case has begun is taken back where it fails in the midst of it.
#[test]
fn an_sbc_of_others_is_put_back_after_a_case_that_failed() {
    let foreign = Foreign::new();
    let script = "case \"$1\" in\nadd) : >there; exit 1 ;;\nremove) rm there ;;\nesac\n";
    write(foreign.at(), "customer", &with_place(script, foreign.at()));
    let script = "case \"$1\" in\nbegin) : >away; exit 1 ;;\nend) rm away ;;\nesac\n";
    write(
        foreign.at(),
        "maintenance",
        &with_place(script, foreign.at()),
    );
    let (code, report, errors) = foreign.runs(&["TC-SYS-002", "TC-OPT-010"]);
    assert_eq!(code, Some(1), "{errors}\n{report:#}");
    let told = reasons(&report, "TC-SYS-002", "failed");
    assert!(told.contains("customer: "), "{told}");
    let told = reasons(&report, "TC-OPT-010", "failed");
    assert!(told.contains("maintenance: "), "{told}");
    let is_there = |name: &str| foreign.at().join(name).exists();
    assert!(!is_there("there"), "the customer is there still");
    assert!(!is_there("away"), "it is out of service still");
}

/// The same where the run is ended from outside in the midst of a case.
#[test]
fn an_sbc_of_others_is_put_back_after_a_run_that_was_ended() {
    let foreign = Foreign::new();
    let script = "case \"$1\" in\nbegin) : >away ;;\nend) rm away ;;\nesac\n";
    write(
        foreign.at(),
        "maintenance",
        &with_place(script, foreign.at()),
    );
    let mut run = Command::new(PROGRAM)
        .args(["certify", "run", "TC-OPT-010", "--subject"])
        .arg(foreign.at().join("subject.toml"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let away = foreign.at().join("away");
    let deadline = Instant::now() + Duration::from_secs(200);
    while !away.exists() && Instant::now() < deadline {
        sleep(Duration::from_millis(50));
    }
    assert!(away.exists(), "it was never out of service");
    let pid = run.id().to_string();
    let kill = Command::new("kill").args(["-INT", &pid]).status();
    assert!(kill.unwrap().success());
    let mut errors = String::new();
    let said = run.stderr.take().unwrap().read_to_string(&mut errors);
    said.unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(1), "{errors}");
    assert!(errors.contains("ended by SIGINT"), "{errors}");
    assert!(!away.exists(), "it is out of service still: {errors}");
}

/// Why a case has this verdict.
fn reasons(report: &Value, id: &str, verdict: &str) -> String {
    let cases = report["cases"].as_array().unwrap();
    let case = cases.iter().find(|case| case["id"] == id).unwrap();
    assert_eq!(case["verdict"], verdict, "{case:#}");
    case["reasons"].to_string()
}

#[test]
fn an_sbc_of_others_may_have_ipv6_towards_teams() {
    Foreign::at_place(Addresses::choose().with_v6()).passes(&["TC-CON-030"]);
}

#[test]
fn what_it_is_not_configured_for_is_said_with_what_that_is() {
    let foreign = Foreign::new();
    let file = foreign.at().join("subject.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let has = text
        .lines()
        .filter(|line| !line.starts_with("has =") && !line.starts_with("configure"));
    let has: Vec<&str> = has.chain(["has = [\"bypass\"]"]).collect();
    std::fs::write(&file, has.join("\n")).unwrap();
    let (code, report, errors) = foreign.runs(&["EMG-001", "INB-001", "CON-007", "GRA-001"]);
    assert_eq!(code, Some(1), "nothing was played: {errors}");
    let why = |id: &str| {
        let cases = report["cases"].as_array().unwrap();
        let case = cases.iter().find(|case| case["id"] == id).unwrap();
        assert_eq!(case["verdict"], "not applicable");
        case["reasons"][0].as_str().unwrap().to_owned()
    };
    let told = why("TC-EMG-001");
    assert!(
        told.contains("needs \"emergency\"") && told.contains("112"),
        "{told}"
    );
    let told = why("TC-INB-001");
    assert!(told.contains("without \"bypass\""), "{told}");
    let told = why("TC-CON-007");
    assert!(told.contains("needs \"anchors\""), "{told}");
    let told = why("TC-GRA-001");
    assert!(told.contains("Microsoft"), "{told}");
}

#[test]
fn words_that_mean_no_configuration_are_named() {
    let foreign = Foreign::new();
    let run = |words: &str| {
        let file = foreign.at().join("subject.toml");
        Command::new(PROGRAM)
            .args(["certify", "run", "--configuration", words, "--subject"])
            .arg(file)
            .output()
            .unwrap()
    };
    let output = run("bypas");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors.contains("\"bypas\" is unknown; write some of bypass, nat"),
        "{errors}"
    );
    // What is printed is a configuration without a mistake.
    let output = run("bypass,emergency,location");
    let path = write(
        foreign.at(),
        "printed.toml",
        &String::from_utf8(output.stdout).unwrap(),
    );
    let check = Command::new(PROGRAM)
        .args(["check", "--config"])
        .arg(path)
        .output()
        .unwrap();
    let told = String::from_utf8(check.stdout).unwrap() + &String::from_utf8_lossy(&check.stderr);
    assert_eq!(check.status.code(), Some(0), "{told}");
}

/// The command that configures it fails once, and does nothing from then on.
#[test]
fn what_goes_differently_the_second_time_is_told_and_fails() {
    let foreign = Foreign::new();
    let at = foreign.at().display().to_string();
    let once = format!("if [ -e '{at}/was' ]; then exit 0; fi\n: >'{at}/was'\nexit 1\n");
    write(foreign.at(), "configure", &once);
    let (code, report, errors) = foreign.runs(&["OUT-001", "--repeat", "2"]);
    assert_eq!(code, Some(1), "{errors}");
    assert_eq!(report["times"], 2);
    let unlike = &report["unlike"][0];
    assert_eq!(unlike["id"], "TC-OUT-001");
    assert_eq!(unlike["went"][0], "could not be played");
    let second = unlike["went"][1].as_str().unwrap();
    assert!(second.starts_with("failed ("), "{second}");
}
