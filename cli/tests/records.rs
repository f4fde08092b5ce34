//! `causeway teams records`, as somebody types it, against a login and a Graph over real sockets.

use causeway::command::exit;
use conformance::ca::Authority;
use conformance::lab::names::{Names, Place};
use conformance::microsoft::{
    APPLICATION, DIRECTORY, GRAPH, LOGIN, Microsoft, Refusal, SECRET, Script, clock,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TRUNK: &str = "sbc1.contoso.example";
const DAY: &str = "2026-01-15";
/// Ten o'clock on that day.
const TEN: u64 = 1_768_471_200_000;

/// A node with a spool of records, and Microsoft.
struct Bench {
    folder: TempDir,
    microsoft: Microsoft,
}

/// What the command gave.
struct Told {
    code: i32,
    out: String,
    errors: String,
}

impl Told {
    /// The only tenant of the output.
    fn tenant(&self) -> Value {
        assert_eq!(self.code, i32::from(exit::OK), "{}", self.errors);
        let told: Value = serde_json::from_str(&self.out).unwrap();
        told["tenants"][0].clone()
    }
}

impl Bench {
    async fn new(script: Script) -> Self {
        Self::proving("secret = { file = \"DIR/graph.secret\" }", script).await
    }

    /// The application proves itself so.
    async fn proving(proof: &str, mut script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("Causeway test").unwrap();
        let ours = authority.issue(&[TRUNK]).unwrap();
        if proof.contains("certificate") {
            let (chain, _) = ours.parts().unwrap();
            script.certificate = Some(chain[0].to_vec());
        }
        let microsoft = Microsoft::start(&authority, script).await.unwrap();
        let bench = Self { folder, microsoft };
        bench.write("sbc.pem", &ours.chain_pem);
        bench.write("sbc.key", &ours.key_pem);
        bench.write("ca.pem", authority.root_pem());
        bench.write("graph.secret", &format!("{SECRET}\n"));
        let access = format!(
            "graph = {{ tenant_id = \"{DIRECTORY}\", client_id = \"{APPLICATION}\", {proof} }}"
        );
        let text = CONFIG.replace("ACCESS", &access);
        let at = bench.folder.path().display().to_string();
        bench.write("causeway.toml", &text.replace("DIR", &at));
        std::fs::create_dir(bench.folder.path().join("cdr")).unwrap();
        bench
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn spool(&self, records: &[Value]) {
        let lines: Vec<String> = records.iter().map(|record| format!("{record}\n")).collect();
        self.write("cdr/current.jsonl", &lines.concat());
    }

    /// Runs the command; it waits for the server, which lives in this runtime.
    async fn records(&self, arguments: &[&str]) -> Told {
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        let at = |name: &str| self.folder.path().join(name);
        command
            .args(["teams", "records", "--config"])
            .arg(at("causeway.toml"))
            .arg("--roots")
            .arg(at("ca.pem"))
            .args(self.microsoft.arguments())
            .args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        Told {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn nothing_was_wrong(&self) {
        assert_eq!(self.microsoft.breaches(), []);
    }
}

/// A row at so many milliseconds after ten.
fn row(id: &str, ms: u64) -> Value {
    json!({
        "id": id, "correlationId": format!("{id:0>8}-a937-4b81-b8a8-3992afde64e0"),
        "userPrincipalName": "user@contoso.example", "inviteDateTime": clock::text(TEN + ms),
        "startDateTime": clock::text(TEN + ms), "failureDateTime": "0001-01-01T00:00:00Z",
        "endDateTime": clock::text(TEN + ms + 41_000), "duration": 41, "callType": "ByotIn",
        "successfulCall": true, "callerNumber": "+441632960***", "calleeNumber": "+441632961***",
        "mediaPathLocation": "USWE", "signalingLocation": "EUNO", "finalSipCode": 0,
        "callEndSubReason": 540_000, "finalSipCodePhrase": "BYE",
        "trunkFullyQualifiedDomainName": TRUNK, "mediaBypassEnabled": false,
    })
}

/// A record of ours at so many milliseconds after ten.
fn record(call: &str, ms: u64, calling: &str, called: &str) -> Value {
    json!({
        "version": 1, "call": call, "node": "test", "tenant": "contoso",
        "start": clock::text(TEN + ms), "setup_ms": 900, "duration_ms": 41_300,
        "calling_raw": calling, "calling": calling, "called_raw": called, "called": called,
        "disposition": "answered",
        "cause": { "by": "a", "code": "normal_clearing", "status": null, "because": ["BYE"] },
        "ingress": { "trunk": "carrier-a" },
        "egress": [{ "trunk": "teams", "called": called, "status": 200, "reason": null }],
    })
}

fn reported(rows: Vec<Value>) -> Script {
    Script {
        rows: [(DAY.to_owned(), rows)].into(),
        ..Script::default()
    }
}

fn ids(all: &Value, pointer: &str) -> Vec<String> {
    let all = all.as_array().unwrap().iter();
    all.map(|one| one.pointer(pointer).unwrap().as_str().unwrap().to_owned())
        .collect()
}

/// TDG-CDR-001.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_three_pages_are_read_once_each_with_one_token() {
    let rows = (0..2_501).map(|index| row(&format!("row-{index}"), index));
    let bench = Bench::new(reported(rows.collect())).await;
    let told = bench.records(&["--from", DAY, "--json"]).await.tenant();
    let found = ids(&told["only_microsoft"], "/row/id");
    let different: BTreeSet<&String> = found.iter().collect();
    assert_eq!((found.len(), different.len()), (2_501, 2_501));
    let asked = [GRAPH, LOGIN].map(|host| bench.microsoft.asked_at(host));
    assert_eq!(asked, [3, 1]);
    bench.nothing_was_wrong();

    // A page that names one that was read already.
    let in_circles = Some(("$skip=2000", "$skip=1000"));
    bench
        .microsoft
        .change(|script| script.answered = in_circles);
    let told = bench.records(&["--from", DAY]).await;
    assert_eq!(told.code, i32::from(exit::REFUSED));
    assert!(
        told.errors.contains("do not come to an end"),
        "{}",
        told.errors
    );
}

/// TDG-CDR-001.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_are_asked_for_one_by_one() {
    let bench = Bench::new(reported(vec![row("one", 0)])).await;
    let days = ["--from", "2026-01-14", "--to", "2026-01-16", "--json"];
    let told = bench.records(&days).await.tenant();
    assert_eq!(ids(&told["only_microsoft"], "/row/id"), ["one"]);
    let heard = bench.microsoft.heard().into_iter();
    let ranges: Vec<String> = heard
        .filter(|request| request.host == GRAPH)
        .map(|request| request.path.split('(').nth(1).unwrap().to_owned())
        .collect();
    let range = |from: u8| {
        format!(
            "fromDateTime=2026-01-{from},toDateTime=2026-01-{})",
            from + 1
        )
    };
    assert_eq!(ranges, [14, 15, 16].map(range));
    bench.nothing_was_wrong();

    for (days, why) in [
        (["--from", "2026-01-02", "--to", "2026-01-01"], "is before"),
        (["--from", "2025-01-01", "--to", "2025-06-01"], "90 at most"),
        (
            ["--from", "9999-01-01", "--to", "9999-01-01"],
            "has not begun",
        ),
        (
            ["--from", "yesterday", "--to", "2025-06-01"],
            "write 2026-08-01",
        ),
    ] {
        let told = bench.records(&days).await;
        assert_eq!(told.code, i32::from(exit::USAGE));
        assert!(told.errors.contains(why), "{}", told.errors);
    }
}

/// TDG-CDR-003.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_asked_to_wait_waits_but_not_for_ever() {
    let refused = |status, retry_after_s| Refusal {
        status,
        retry_after_s,
    };
    let mut script = reported(vec![row("one", 0)]);
    script.refusals = [refused(429, Some(2)), refused(503, Some(1))].into();
    let bench = Bench::new(script).await;
    let began = Instant::now();
    let told = bench.records(&["--from", DAY, "--json"]).await;
    assert!(began.elapsed() >= Duration::from_secs(3));
    assert!(
        told.errors.contains("asks us to wait 2 s"),
        "{}",
        told.errors
    );
    assert_eq!(ids(&told.tenant()["only_microsoft"], "/row/id"), ["one"]);
    bench.nothing_was_wrong();

    let long = refused(429, Some(3_600));
    bench
        .microsoft
        .change(|script| script.refusals.push_back(long));
    let told = bench.records(&["--from", DAY]).await;
    assert_eq!(told.code, i32::from(exit::UNREACHABLE));
    assert!(
        told.errors.contains("left alone for 3600 s"),
        "{}",
        told.errors
    );
}

/// TDG-ENT-001: a token that has ended while we waited is replaced, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_on_the_way_is_replaced() {
    let mut script = reported(vec![row("one", 0)]);
    script.token_s = 1;
    script.refusals.push_back(Refusal {
        status: 429,
        retry_after_s: Some(2),
    });
    let bench = Bench::new(script).await;
    let told = bench.records(&["--from", DAY, "--json"]).await.tenant();
    assert_eq!(ids(&told["only_microsoft"], "/row/id"), ["one"]);
    assert_eq!(bench.microsoft.asked_at(LOGIN), 2);
    bench.nothing_was_wrong();
}

/// TDG-CDR-001: a token is shown to nobody but Graph.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_somebody_else_is_not_followed() {
    let rows = (0..1_001).map(|index| row(&format!("row-{index}"), index));
    let bench = Bench::new(reported(rows.collect())).await;
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let at = stranger.local_addr().unwrap();
    let there = format!("--connect-to=stranger.example={at}");
    for begin in [
        "https://stranger.example",
        "https://graph.microsoft.com@stranger.example",
        "https://graph.microsoft.com.stranger.example",
        "https://graph.microsoft.com:8443",
        "http://graph.microsoft.com",
        "//graph.microsoft.com",
        "",
    ] {
        bench
            .microsoft
            .change(|script| script.links_to = begin.to_owned());
        let asked = bench.microsoft.asked_at(GRAPH);
        let told = bench.records(&["--from", DAY, &there]).await;
        assert_eq!(told.code, i32::from(exit::REFUSED), "{begin}");
        assert!(
            told.errors.contains("token was not sent"),
            "{}",
            told.errors
        );
        assert_eq!(told.out, "", "half a report is none");
        assert_eq!(bench.microsoft.asked_at(GRAPH), asked + 1, "{begin}");
    }
    assert!(stranger.accept().is_err(), "somebody has connected");
}

/// TDG-CDR-002.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_rows_are_told_as_they_are() {
    let mut odd = row("odd", 0);
    odd["callType"] = json!("ByotQuantum");
    odd["callEndSubReason"] = json!(424_242);
    odd["newMember"] = json!({ "of": ["later", "versions"] });
    let mut failed = row("failed", 1);
    failed["failureDateTime"] = json!(clock::text(TEN + 5));
    let mut elsewhere = row("elsewhere", 2);
    elsewhere["trunkFullyQualifiedDomainName"] = json!("sbc2.contoso.example");
    let rows = vec![odd, failed, elsewhere, json!({ "id": "no time" }), json!(7)];
    let bench = Bench::new(reported(rows)).await;
    let told = bench.records(&["--from", DAY, "--json"]).await.tenant();
    let rows = &told["only_microsoft"];
    assert_eq!(ids(rows, "/row/id"), ["odd", "failed"]);
    assert_eq!(rows[0]["row"]["failed"], Value::Null);
    assert_eq!(rows[0]["row"]["call_type"], "ByotQuantum");
    assert_eq!(rows[1]["row"]["failed"], clock::text(TEN + 5));
    let words = rows[0]["in_words"].as_str().unwrap();
    assert!(words.contains("424242: not a published code"), "{words}");
    assert_eq!(told["unreadable_rows"], 2);
    assert_eq!(told["elsewhere"], json!({ "sbc2.contoso.example": 1 }));
    // Who the user is nobody needs to know here.
    assert!(!told.to_string().contains("user@contoso.example"));
}

/// TDG-CDR-004.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_calls_of_both_sides_are_matched_and_what_differs_is_said_in_words() {
    let second = 1_000;
    let mut rows: Vec<Value> = (0..10)
        .map(|index| row(&index.to_string(), (index + 1) * second))
        .collect();
    rows[3]["successfulCall"] = json!(false);
    rows[3]["finalSipCode"] = json!(408);
    rows[3]["callEndSubReason"] = json!(1_106);
    let mut lost = row("lost", 300 * second);
    lost["callType"] = json!("ByotOut");
    lost["successfulCall"] = json!(false);
    lost["finalSipCode"] = json!(504);
    lost["callEndSubReason"] = json!(569_008);
    rows.push(lost);
    let bench = Bench::new(reported(rows)).await;
    let number = |index: u64| format!("+4416329600{index:02}");
    let mut records: Vec<Value> = (0..10)
        .map(|index| {
            record(
                &format!("c{index}"),
                index * second,
                &number(index),
                "+441632961100",
            )
        })
        .collect();
    records.push(record(
        "alone",
        600 * second,
        "+441632960077",
        "+441632961100",
    ));
    bench.spool(&records);

    let told = bench.records(&["--from", DAY, "--json"]).await.tenant();
    let matched = told["matched"].as_array().unwrap();
    let pairs: Vec<(&str, &str)> = matched
        .iter()
        .map(|one| {
            let row = one.pointer("/microsoft/0/row/id").unwrap();
            (one["ours"]["call"].as_str().unwrap(), row.as_str().unwrap())
        })
        .collect();
    assert_eq!(pairs.len(), 10, "{told}");
    for (call, row) in pairs {
        assert_eq!(call.strip_prefix('c'), Some(row));
    }
    assert_eq!(told["clock_difference_ms"], 1_000);
    assert_eq!(ids(&told["only_microsoft"], "/row/id"), ["lost"]);
    assert_eq!(ids(&told["only_ours"], "/ours/call"), ["alone"]);
    bench.nothing_was_wrong();

    let text = bench.records(&["--from", DAY]).await.out;
    for words in [
        "tenant contoso: 10 calls matched, 1 only Microsoft knows, 1 only we know",
        "1.0 s later than ours; is the clock of this host set?",
        "both:      answered, 41 s, ended by the caller's side: normal_clearing (BYE)",
        "differs:   we say it was answered, Microsoft that it was not",
        "1106: our 200 got no ACK that Teams saw",
        "look at:   see in the ladder where our ACK went",
        "its name for support: 00000003-a937-4b81-b8a8-3992afde64e0",
        "look at:   it never reached us: renew it",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

/// TDG-ENT-001.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_proves_itself_by_its_certificate() {
    let proof = "certificate = \"DIR/sbc.pem\", key = { file = \"DIR/sbc.key\" }";
    let bench = Bench::proving(proof, reported(vec![row("one", 0)])).await;
    let told = bench.records(&["--from", DAY, "--json"]).await.tenant();
    assert_eq!(ids(&told["only_microsoft"], "/row/id"), ["one"]);
    bench.nothing_was_wrong();
    let heard = bench.microsoft.heard();
    let body = &heard[0].body;
    assert!(body.contains("client_assertion=") && !body.contains("client_secret"));

    // That of another application.
    bench.microsoft.change(|script| {
        let other = Authority::new("Other").unwrap().issue(&[TRUNK]).unwrap();
        script.certificate = Some(other.parts().unwrap().0[0].to_vec());
    });
    let told = bench.records(&["--from", DAY]).await;
    assert_eq!(told.code, i32::from(exit::REFUSED));
    for words in ["AADSTS700027", "upload it under Certificates & secrets"] {
        assert!(told.errors.contains(words), "{}", told.errors);
    }
}

/// TDG-ENT-001: what a platform writes for a workload is read anew each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_proves_itself_by_what_its_platform_writes_at_the_time() {
    let bench = Bench::proving(
        "assertion = { file = \"DIR/token\" }",
        Script {
            federated: Some("e30.e30.one".to_owned()),
            ..reported(vec![row("one", 0)])
        },
    )
    .await;
    for token in ["e30.e30.one", "e30.e30.two"] {
        bench.write("token", &format!("{token}\n"));
        let known = Some(token.to_owned());
        bench.microsoft.change(|script| script.federated = known);
        let told = bench.records(&["--from", DAY, "--json"]).await.tenant();
        assert_eq!(ids(&told["only_microsoft"], "/row/id"), ["one"]);
    }
    bench.nothing_was_wrong();
    bench.write("token", "e30.e30.three");
    let told = bench.records(&["--from", DAY]).await;
    assert_eq!(told.code, i32::from(exit::REFUSED));
    for words in ["AADSTS70021", "compare its issuer, subject and audience"] {
        assert!(told.errors.contains(words), "{}", told.errors);
    }
    assert!(!told.errors.contains("e30"), "{}", told.errors);
    bench.write("token", "opensesame");
    let told = bench.records(&["--from", DAY]).await;
    assert!(
        told.errors.contains("this is no signed token"),
        "{}",
        told.errors
    );
    assert!(!told.errors.contains("opensesame"), "{}", told.errors);
}

/// TDG-ENT-005, TDG-ENT-006.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_what_to_change_and_not_the_secret() {
    let bench = Bench::new(Script {
        is_forbidden: true,
        ..reported(Vec::new())
    })
    .await;
    let told = bench.records(&["--from", DAY]).await;
    assert_eq!(
        (told.code, told.out.as_str()),
        (i32::from(exit::REFUSED), "")
    );
    for words in [
        "graph.microsoft.com refuses (403, Authorization_RequestDenied)",
        "CallRecord-PstnCalls.Read.All",
        "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/adminconsent?client_id=66666666",
        APPLICATION,
        "its request-id is r-1",
    ] {
        assert!(told.errors.contains(words), "{words}\n{}", told.errors);
    }

    bench.write("graph.secret", "open sesame");
    let told = bench.records(&["--from", DAY]).await;
    assert_eq!(told.code, i32::from(exit::REFUSED));
    for words in [
        "AADSTS7000215",
        "the value of the client secret, not its ID",
    ] {
        assert!(told.errors.contains(words), "{words}\n{}", told.errors);
    }
    assert!(!told.errors.contains("sesame") && !told.errors.contains("Trace ID"));

    // Who does not prove to be Microsoft is told nothing.
    let asked = bench.microsoft.heard().len();
    let stranger = Authority::new("Stranger").unwrap();
    bench.write("ca.pem", stranger.root_pem());
    let told = bench.records(&["--from", DAY]).await;
    assert_eq!(told.code, i32::from(exit::REFUSED));
    assert!(told.errors.contains("is not believed"), "{}", told.errors);
    assert_eq!(bench.microsoft.heard().len(), asked);

    // And where nobody listens.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = format!("--connect-to={LOGIN}={}", free.local_addr().unwrap());
    drop(free);
    let told = bench.records(&["--from", DAY, &there]).await;
    assert_eq!(told.code, i32::from(exit::UNREACHABLE), "{}", told.errors);
    assert!(told.errors.contains("TCP port 443"), "{}", told.errors);
}

/// TDG-ENT-006: each customer's application is asked for itself, and what fails for one hides no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_two_customers_never_meet() {
    let bench = Bench::new(reported(vec![row("one", 0)])).await;
    let text = std::fs::read_to_string(bench.folder.path().join("causeway.toml")).unwrap();
    let own = text
        .lines()
        .find(|line| line.starts_with("graph = "))
        .unwrap();
    let (begin, rest) = text.split_once("name = \"fabrikam\"\n").unwrap();
    let second = format!(
        "{begin}name = \"fabrikam\"\n{}\n{rest}\n[[trunk]]\nname = \"teams-fabrikam\"\n\
         preset = \"teams\"\ntenant = \"fabrikam\"\nrealm = \"both\"\n\
         fqdn = \"{TRUNK}\"\ntargets = [\"sip.example.com:5061;tls\"]\n\
         accept_from = [\"192.0.2.0/28\"]\n",
        own.replace(DIRECTORY, "99999999-2222-3333-4444-555555555555"),
    );
    bench.write("causeway.toml", &second);
    let told = bench.records(&["--from", DAY, "--json"]).await;
    assert_eq!(told.code, i32::from(exit::REFUSED), "{}", told.errors);
    let tenants: Value = serde_json::from_str(&told.out).unwrap();
    let tenants = &tenants["tenants"];
    assert_eq!(ids(&tenants[0]["only_microsoft"], "/row/id"), ["one"]);
    let error = tenants[1]["error"].as_str().unwrap();
    assert!(
        error.contains("AADSTS90002") && error.contains("tenant_id"),
        "{error}"
    );
    let paths: Vec<String> = bench
        .microsoft
        .heard()
        .into_iter()
        .filter(|request| request.host == LOGIN)
        .map(|request| request.path.split('/').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(paths, [DIRECTORY, "99999999-2222-3333-4444-555555555555"]);
    assert_eq!(bench.microsoft.asked_at(GRAPH), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_access_is_told_what_to_write() {
    let bench = Bench::new(Script::default()).await;
    for (tenant, code, why) in [
        (
            "nobody",
            exit::REFUSED,
            "there is no tenant \"nobody\"; there are contoso, fabrikam",
        ),
        (
            "fabrikam",
            exit::USAGE,
            "tenant \"fabrikam\" has no access to Microsoft Graph: write graph = {",
        ),
    ] {
        let told = bench.records(&["--from", DAY, "--tenant", tenant]).await;
        assert_eq!(told.code, i32::from(code));
        assert!(told.errors.contains(why), "{}", told.errors);
    }
    // A secret that is not there is missed when the configuration is read.
    std::fs::remove_file(bench.folder.path().join("graph.secret")).unwrap();
    let told = bench.records(&["--from", DAY]).await;
    assert_eq!(told.code, i32::from(exit::USAGE), "{}", told.errors);
    assert!(told.errors.contains("graph.secret"), "{}", told.errors);
    bench.write("graph.secret", SECRET);

    let text = std::fs::read_to_string(bench.folder.path().join("causeway.toml")).unwrap();
    let without = text.replace("[cdr]\nspool", "[[tenant]]\nname = \"x\"\n#");
    bench.write("causeway.toml", &without);
    let told = bench.records(&["--from", DAY]).await;
    assert_eq!(told.code, i32::from(exit::USAGE));
    assert!(told.errors.contains("write [cdr]"), "{}", told.errors);
    assert!(bench.microsoft.heard().is_empty());
}

const CONFIG: &str = r#"
[node]
id = "test"

[cdr]
spool = "DIR/cdr"

[[realm]]
name = "both"
addresses = ["127.0.0.1"]
ports = "21000-21999"

[[tls]]
name = "teams"
cert = "DIR/sbc.pem"
key = { file = "DIR/sbc.key" }
client_ca = "DIR/ca.pem"

[[listen]]
realm = "both"
transport = "tls"
port = 5061
tls = "teams"

[[listen]]
realm = "both"
transport = "udp"

[[tenant]]
name = "contoso"
numbers = ["+441632961100-+441632961199"]
ACCESS

[[tenant]]
name = "fabrikam"

[[trunk]]
name = "teams"
preset = "teams"
tenant = "contoso"
realm = "both"
fqdn = "sbc1.contoso.example"

[[trunk]]
name = "carrier-a"
tenant = "*"
realm = "both"
targets = ["127.0.0.2:5062;udp"]

[[route]]
name = "to-teams"
match = { from_trunk = "carrier-a" }
to = [{ trunk = "teams" }]

[[route]]
name = "to-carrier"
match = { from_trunk = "teams" }
to = [{ trunk = "carrier-a" }]
"#;

/// The name servers of the configuration are asked, as the daemon asks them, and nobody else is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_of_microsoft_are_looked_for_where_the_configuration_says() {
    let bench = Bench::new(Script::default()).await;
    let place = Place::take([127, 0, 0, 1].into()).await.unwrap();
    let path = bench.folder.path().join("causeway.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let dns = format!("\n[dns]\nservers = [\"{}\"]\n", place.address);
    bench.write("causeway.toml", &(text + &dns));
    let names = Names::start(place);
    let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
    command
        .args(["teams", "records", "--from", DAY, "--config"])
        .arg(path)
        .arg("--roots")
        .arg(bench.folder.path().join("ca.pem"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(names.was_asked(LOGIN), "{errors}");
    assert_eq!(output.status.code(), Some(i32::from(exit::UNREACHABLE)));
    assert!(
        errors.contains("has no address here; look at [dns]"),
        "{errors}"
    );
}
