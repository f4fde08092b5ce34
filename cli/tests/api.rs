//! The operations of the interface: that each answers as its document says, and what is written down of changes.

use crate::daemon::configured;
use crate::restart::started;
use crate::support::{events, heard};

use causeway::client::{Answer, send};
use causeway::daemon::Daemon;
use causeway::sink::audit;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

struct Bench {
    directory: TempDir,
    daemon: Arc<Daemon>,
}

impl Bench {
    async fn start() -> Self {
        let (directory, _) = configured(|text| text);
        let daemon = started(directory.path()).await;
        Self { directory, daemon }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("run/api.sock")
    }

    async fn send(
        &self,
        method: &'static str,
        path: &str,
        headers: &'static [(&'static str, &'static str)],
        body: &str,
    ) -> Answer {
        let (socket, path, body) = (self.socket(), path.to_owned(), body.to_owned());
        tokio::task::spawn_blocking(move || send(&socket, method, &path, headers, &body))
            .await
            .unwrap()
            .unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.send("GET", path, &[], "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    async fn plays(&self, call: Value) -> Answer {
        const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];
        self.send("POST", "/route/test", JSON, &call.to_string())
            .await
    }
}

/// Whether a value is what a schema of the document says; where not.
pub(crate) fn misfit(value: &Value, schema: &Value, at: &str) -> Option<String> {
    if let Some(either) = schema.get("anyOf") {
        let either = either.as_array().unwrap();
        let fits = either.iter().any(|one| misfit(value, one, at).is_none());
        return (!fits).then(|| format!("{at}: {value}"));
    }
    let kind = schema.get("type").and_then(Value::as_str);
    let is_right = match kind {
        None => true,
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some(other) => panic!("{other}"),
    };
    if !is_right {
        return Some(format!("{at} is {value}, not {schema}"));
    }
    if let (Some(items), Some(all)) = (schema.get("items"), value.as_array()) {
        let mut all = all.iter().enumerate();
        return all.find_map(|(number, one)| misfit(one, items, &format!("{at}[{number}]")));
    }
    let fields = schema.get("properties")?.as_object()?;
    let required = schema["required"].as_array().unwrap();
    fields.iter().find_map(|(name, schema)| {
        let at = format!("{at}.{name}");
        match value.get(name) {
            Some(field) => misfit(field, schema, &at),
            None if required.contains(&json!(name)) => Some(format!("{at} is not there")),
            None => None,
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_answers_as_the_document_says() {
    let bench = Bench::start().await;
    let document = bench.get("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        // What signs operators in is there over the network alone.
        let Some(path) = path.strip_prefix("/api/v1") else {
            assert!(path.starts_with("/sign-in/"), "{path}");
            continue;
        };
        let Some(operation) = operations.get("get") else {
            continue;
        };
        let answers = &operation["responses"];
        // One call is not there, and events do not end.
        if path.contains("{id}") {
            let gone = path.replace("{id}", "ffff");
            assert_eq!(
                bench.send("GET", &gone, &[], "").await.status,
                404,
                "{path}"
            );
            let broken = path.replace("{id}", "x-y");
            let answer = bench.send("GET", &broken, &[], "").await;
            assert_eq!(answer.status, 400, "{path}");
            let problem: Value = serde_json::from_str(&answer.body).unwrap();
            let schema = &document["components"]["schemas"]["Problem"];
            assert_eq!(misfit(&problem, schema, path), None);
            assert!(answers["404"].is_object() && answers["400"].is_object());
            continue;
        }
        if answers["200"]["content"]["text/event-stream"].is_object() {
            continue;
        }
        let is_text = ["text/plain", "application/jsonl"]
            .iter()
            .any(|kind| answers["200"]["content"][*kind].is_object());
        match is_text {
            true => assert_eq!(bench.send("GET", path, &[], "").await.status, 200, "{path}"),
            false => {
                let value = bench.get(path).await;
                let schema = &answers["200"]["content"]["application/json"]["schema"];
                assert_eq!(misfit(&value, schema, path), None);
            }
        }
        for parameter in operation["parameters"].as_array().unwrap() {
            if parameter["schema"]["type"] == "integer" {
                let name = parameter["name"].as_str().unwrap();
                let wrong = bench
                    .send("GET", &format!("{path}?{name}=x"), &[], "")
                    .await;
                assert_eq!(wrong.status, 400, "{path}?{name}=x");
                assert!(wrong.body.contains("\"detail\""), "{}", wrong.body);
            }
        }
        asked += 1;
    }
    assert!(asked >= 9, "{asked}");
    // Every part of a path that stands for something is told, and what is none of it is refused as a problem.
    for (path, operations) in document["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            let parameters = operation["parameters"].as_array();
            let told = parameters.into_iter().flatten();
            let told = told.filter(|one| one["in"] == "path").count();
            assert_eq!(told, path.matches('{').count(), "{path}");
            let has_body = operation["requestBody"].is_object() && path.starts_with("/api");
            assert!(
                !has_body || operation["responses"]["422"].is_object(),
                "{path}"
            );
        }
    }
    for (method, path) in [
        ("POST", "/config/history/x/rollback"),
        ("GET", "/calls/%FF"),
    ] {
        let answer = bench.send(method, path, &[], "").await;
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        let schema = &document["components"]["schemas"]["Problem"];
        assert_eq!((answer.status, misfit(&problem, schema, path)), (400, None));
    }
    assert_eq!(bench.send("GET", "/nothing", &[], "").await.status, 404);
    assert_eq!(bench.send("POST", "/status", &[], "").await.status, 405);
    bench.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_can_be_tried_and_a_body_that_is_none_is_refused() {
    let bench = Bench::start().await;
    let call = json!({ "trunk": "carrier", "from": "+441632960001", "to": "+15550100" });
    let trunks = bench.get("/status").await["trunks"].clone();
    let trunk = trunks
        .as_array()
        .unwrap()
        .iter()
        .find(|name| !name.as_str().unwrap().starts_with("teams"));
    let mut known = call.clone();
    known["trunk"] = trunk.unwrap().clone();
    let played = bench.plays(known).await;
    assert_eq!(played.status, 200, "{}", played.body);
    let played: Value = serde_json::from_str(&played.body).unwrap();
    // The configuration has no route.
    assert_eq!(played["refused"], true);
    assert!(played["received"].as_str().unwrap().starts_with("INVITE "));
    let mut unknown = call.clone();
    unknown["trunk"] = json!("nobody");
    assert_eq!(bench.plays(unknown).await.status, 422);
    assert_eq!(bench.plays(json!({ "from": "+1" })).await.status, 422);
    let mut more = call.clone();
    more["surprise"] = json!(1);
    assert_eq!(bench.plays(more).await.status, 422);
    assert_eq!(
        bench.send("POST", "/route/test", &[], "{}").await.status,
        415
    );
    const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];
    assert_eq!(
        bench.send("POST", "/route/test", JSON, "{").await.status,
        400
    );
    let deep = format!("{{\"from\":{}", "[".repeat(100_000));
    let refused = bench.send("POST", "/route/test", JSON, &deep).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("32 deep"), "{}", refused.body);
    let long = format!("\"{}\"", "x".repeat(2 << 20));
    assert_eq!(
        bench.send("POST", "/route/test", JSON, &long).await.status,
        413
    );
    bench.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_judged_without_being_used_and_a_reload_may_be_bound_to_what_was_seen() {
    let bench = Bench::start().await;
    let file = bench.directory.path().join("causeway.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    assert_eq!(bench.get("/config").await["is_in_use"], true);
    let seen: Value =
        serde_json::from_str(&bench.send("POST", "/config/validate", &[], "").await.body).unwrap();
    assert_eq!(seen["valid"], true);

    std::fs::write(
        &file,
        good.replace("tenant = \"contoso\"", "tenant = \"nobody\""),
    )
    .unwrap();
    let seen = bench.send("POST", "/config/validate", &[], "").await.body;
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["valid"], false);
    assert_eq!(seen["findings"][0]["code"], "E0020", "{seen}");
    assert_eq!(bench.send("GET", "/config", &[], "").await.status, 422);
    assert_eq!(bench.get("/status").await["config_generation"], 1);

    let other = good.replace("+15550199", "+15550198");
    assert_ne!(other, good);
    std::fs::write(&file, other).unwrap();
    assert_eq!(bench.get("/config").await["is_in_use"], false);
    let stale = bench
        .send("POST", "/reload", &[("If-Match", "\"7\"")], "")
        .await;
    assert_eq!(stale.status, 412, "{}", stale.body);
    let done = bench
        .send("POST", "/reload", &[("If-Match", "\"1\"")], "")
        .await;
    assert_eq!(done.status, 200, "{}", done.body);
    let now = bench.get("/config").await;
    assert_eq!(
        (&now["is_in_use"], &now["generation"]),
        (&json!(true), &json!(2))
    );
    bench.daemon.shutdown().await;
}

/// As the spool has it, of a call that went from a trunk to another.
fn record(call: &str, calling: &str, called: &str, egress: &str) -> String {
    json!({
        "call": call, "start": "2026-01-02T03:04:05.678Z", "disposition": "rejected", "duration_ms": 0,
        "calling": calling, "called": called, "cause": { "code": "no_route" },
        "ingress": { "trunk": "carrier" }, "egress": [{ "trunk": egress }],
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_found_by_number_and_trunk_latest_first() {
    let bench = Bench::start().await;
    let spool = bench.directory.path().join("cdr");
    let one = record("01", "+441632960001", "+15550100", "teams");
    let two = record("02", "+441632960002", "+15550100", "exit");
    let three = record("03", "+441632960003", "+15550101", "teams");
    // An end that is torn is passed over.
    std::fs::write(
        spool.join("20260102T030405Z.jsonl"),
        format!("{one}\n{two}\n{{\"call\""),
    )
    .unwrap();
    std::fs::write(spool.join("current.jsonl"), format!("{three}\n")).unwrap();
    for (query, wanted, is_whole) in [
        ("", vec!["03", "02", "01"], true),
        ("?number=15550100", vec!["02", "01"], true),
        ("?number=960003", vec!["03"], true),
        ("?trunk=teams", vec!["03", "01"], true),
        ("?trunk=carrier&number=960002", vec!["02"], true),
        ("?call=01", vec!["01"], true),
        ("?limit=2", vec!["03", "02"], false),
        ("?limit=3", vec!["03", "02", "01"], true),
        ("?number=nobody", vec![], true),
    ] {
        let found = bench.get(&format!("/records{query}")).await;
        let calls = found["records"].as_array().unwrap().iter();
        let calls: Vec<&str> = calls.map(|one| one["call"].as_str().unwrap()).collect();
        assert_eq!(calls, wanted, "{query}");
        assert_eq!(found["is_whole"], is_whole, "{query}");
    }
    // The ladder is gone, or never was: the record is shown in its place.
    let shown = bench.get("/calls/02").await;
    assert_eq!(shown["record"]["calling"], "+441632960002");
    assert_eq!(shown["summary"], Value::Null);
    let text = bench.send("GET", "/calls/02/trace", &[], "").await.body;
    for told in ["record in the spool", "+441632960002 (carrier", "at exit"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    for (name, wanted) in [("0", 409), ("77", 404)] {
        let answer = bench.send("GET", &format!("/calls/{name}"), &[], "").await;
        assert_eq!(answer.status, wanted, "{}", answer.body);
    }
    let typed = async |more: &'static [&'static str]| {
        let socket = bench.socket();
        let typed = move || {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_causeway"));
            command.args([
                "call", "search", "--number", "5550100", "--limit", "1", "--socket",
            ]);
            command.arg(socket).args(more).output().unwrap()
        };
        let output = tokio::task::spawn_blocking(typed).await.unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), told, errors)
    };
    let (code, told, _) = typed(&[]).await;
    assert!(code == Some(0) && told.contains("+441632960002"), "{told}");
    assert!(
        !told.contains("+441632960001") && told.contains("there are more"),
        "{told}"
    );
    // The same as CSV: lines of records alone, in which no number is a formula.
    let (code, told, errors) = typed(&["--csv"]).await;
    let lines: Vec<&str> = told.split_terminator("\r\n").collect();
    assert_eq!((code, lines.len()), (Some(0), 2), "{told}");
    assert!(lines[0].starts_with("\"call\",\"node\","), "{told}");
    assert!(lines[1].contains(",\"'+441632960002\","), "{told}");
    assert!(errors.contains("there are more"), "{errors}");
    let (code, told, _) = typed(&["--csv=asterisk"]).await;
    assert_eq!((code, told.lines().count()), (Some(0), 1), "{told}");
    assert_eq!(typed(&["--csv", "--json"]).await.0, Some(2));
    bench.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operation_would_pass_over_is_refused() {
    let bench = Bench::start().await;
    const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];
    let body = "{\"confirm_within\":300}";
    let refused = bench.send("POST", "/reload", JSON, body).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(
        refused
            .body
            .contains("in the query, such as ?confirm_within=300"),
        "{}",
        refused.body
    );
    let refused = bench.send("GET", "/status", JSON, body).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    for (method, path, why) in [
        ("GET", "/status?verbose=true", "there is no parameter"),
        ("GET", "/audit?limits=3", "this operation knows limit"),
        ("POST", "/reload?confirm_within=5m", "is a whole number"),
        ("POST", "/security/bans", "the query lacks ?address=..."),
    ] {
        let refused = bench.send(method, path, &[], "").await;
        assert_eq!(refused.status, 400, "{path}: {}", refused.body);
        assert!(refused.body.contains(why), "{path}: {}", refused.body);
    }
    const REASON: &[(&str, &str)] = &[("Causeway-Reason", "a%0Ab")];
    let refused = bench.send("POST", "/undrain", REASON, "").await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert_eq!(bench.get("/status").await["config_generation"], 1);
    let folder = bench.directory.path().to_owned();
    bench.daemon.shutdown().await;
    // Whoever tried is written down, whatever it was refused for; who only looks is not.
    let told: Vec<_> = written(&folder).0;
    let told: Vec<_> = told
        .iter()
        .map(|one| (one.what.as_str(), one.status, one.change.as_deref()))
        .filter(|(what, ..)| what.starts_with("POST") || what.starts_with("GET"))
        .collect();
    assert_eq!(
        told,
        [
            ("POST /reload", 400, None),
            ("POST /reload", 400, Some("confirm_within=5m")),
            ("POST /security/bans", 400, None),
            ("POST /undrain", 400, None)
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_hears_what_happens_in_order() {
    let bench = Bench::start().await;
    let socket = bench.socket();
    let mut reader = tokio::task::spawn_blocking(move || events(&socket))
        .await
        .unwrap();
    assert_eq!(bench.send("POST", "/drain", &[], "").await.status, 200);
    assert_eq!(bench.send("POST", "/undrain", &[], "").await.status, 200);
    assert_eq!(bench.send("POST", "/reload", &[], "").await.status, 200);
    let all = tokio::task::spawn_blocking(move || heard(&mut reader, "\"generation\":2"));
    let all = all.await.unwrap();
    let places = [
        "\"state\":\"draining\"",
        "\"state\":\"active\"",
        "event: config.reload",
    ]
    .map(|text| all.find(text).unwrap_or_else(|| panic!("{text}: {all}")));
    assert!(places.is_sorted(), "{all}");
    bench.daemon.shutdown().await;
}

fn written(folder: &Path) -> (Vec<audit::Entry>, Option<String>) {
    let read = audit::read(&folder.join("state").join(audit::FILE), 1_000).unwrap();
    (read.entries.into(), read.fault)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_is_written_down_with_who_did_it_and_shows_when_it_was_tampered_with() {
    let bench = Bench::start().await;
    bench.get("/status").await;
    bench.send("POST", "/reload", &[], "").await;
    bench.send("POST", "/calls/ffff/hangup", &[], "").await;
    bench.plays(json!({ "from": "+1", "to": "+2" })).await;
    let folder = bench.directory.path().to_owned();
    bench.daemon.shutdown().await;
    drop(bench.daemon);

    // What only looks is not written down; what was refused is.
    let (entries, fault) = written(&folder);
    assert_eq!(fault, None);
    let told: Vec<_> = entries
        .iter()
        .map(|one| (one.what.as_str(), one.status))
        .collect();
    assert_eq!(
        told,
        [
            ("loaded keys", 0),
            ("POST /reload", 200),
            ("POST /calls/ffff/hangup", 404)
        ]
    );
    assert!(entries[1].who.contains("uid"), "{entries:?}");
    assert!(entries[1].source.contains("process"), "{entries:?}");

    // The chain goes on after a restart, and after an end that was torn.
    let file = folder.join("state").join(audit::FILE);
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str("{\"number\":4,\"at\"");
    std::fs::write(&file, &text).unwrap();
    let daemon = started(&folder).await;
    let socket = folder.join("run/api.sock");
    let asked = move || send(&socket, "POST", "/undrain", &[], "").unwrap();
    assert_eq!(
        tokio::task::spawn_blocking(asked).await.unwrap().status,
        200
    );
    daemon.shutdown().await;
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");

    let judged = |lines: &[&str]| {
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        written(&folder).1.unwrap_or_default()
    };
    // What was torn is gone, and it is told.
    assert!(lines[3].contains("took 16 octets off the end"), "{text}");
    assert_eq!(judged(&lines), "");
    let lines = &lines[1..];
    let changed = lines[1].replace("\"status\":404", "\"status\":200");
    let first = text.lines().next().unwrap();
    let judged = |lines: &[&str]| judged(&[&[first][..], lines].concat());
    assert!(judged(&[lines[0], &changed, lines[2], lines[3]]).contains("entry 3 was changed"));
    assert!(judged(&[lines[0], lines[2], lines[3]]).contains("taken out"));
    assert!(judged(&[lines[1], lines[0], lines[2], lines[3]]).contains("taken out or added"));
    assert!(
        judged(&[lines[0], "rubbish", lines[1], lines[2], lines[3]]).contains("line 3 is no entry")
    );
}
