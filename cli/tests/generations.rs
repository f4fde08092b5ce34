//! Configurations that were in use: kept, compared, used again, by an operator, by time, or because the files are broken.

use crate::daemon::{configured, private};
use crate::support::{Authority, Lines, PATIENCE, revoking, write, write_leaf};

use causeway::client::{Answer, ask};
use causeway::daemon::{Daemon, Options, renewed};
use causeway::sink::log::{Form, Level, Log};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A node that keeps its state.
struct Site {
    directory: TempDir,
    daemon: Arc<Daemon>,
    lines: Lines,
}

async fn begin(folder: &Path) -> Result<(Arc<Daemon>, Lines), String> {
    let lines = Lines::default();
    let (log, _) = Log::start(Level::Debug, Form::Text, lines.clone()).unwrap();
    let options = Options {
        config: folder.join("causeway.toml"),
        shards: 1,
        state: Some(folder.join("state")),
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Daemon::start(options.clone(), log.clone()).await {
            Ok(daemon) => return Ok((daemon, lines)),
            // The ports are chosen once; another program may have one of them for a moment.
            Err(fault) if fault.to_string().contains("Address already in use") => {
                assert!(Instant::now() < deadline, "{fault}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(fault) => return Err(fault.to_string()),
        }
    }
}

impl Site {
    async fn start() -> Self {
        Self::with(|text| text).await
    }

    async fn with(change: impl Fn(String) -> String) -> Self {
        let (directory, _) = configured(change);
        let (daemon, lines) = begin(directory.path()).await.unwrap();
        Self {
            directory,
            daemon,
            lines,
        }
    }

    async fn again(self) -> Self {
        self.daemon.shutdown().await;
        drop(self.daemon);
        let (daemon, lines) = begin(self.directory.path()).await.unwrap();
        Self {
            directory: self.directory,
            daemon,
            lines,
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("causeway.toml")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    /// Another name of the node is a change that each reload takes.
    fn name(&self, name: &str) {
        let text = self.text();
        let (before, rest) = text.split_once("[node]\nid = \"").expect("the node's id");
        let (_, rest) = rest.split_once('"').unwrap();
        self.write(&format!("{before}[node]\nid = \"{name}\"{rest}"));
    }

    async fn ask(&self, method: &'static str, path: &str) -> Answer {
        let socket = self.directory.path().join("run/api.sock");
        let path = path.to_owned();
        let asked = tokio::task::spawn_blocking(move || ask(&socket, method, &path));
        asked.await.unwrap().unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    async fn done(&self, path: &str) -> Value {
        let answer = self.ask("POST", path).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Name of the node, number and origin of the configuration in use.
    async fn in_use(&self) -> (String, u64, String) {
        let status = self.get("/status").await;
        let text = |name: &str| status[name].as_str().unwrap().to_owned();
        let number = status["config_generation"].as_u64().unwrap();
        (text("node"), number, text("config_origin"))
    }

    /// Waits until this is in use.
    async fn comes_to(&self, wanted: (&str, u64, &str)) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (node, number, origin) = self.in_use().await;
            if (node.as_str(), number, origin.as_str()) == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{node} {number} {origin}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn logged(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.lines.text().contains(text) {
            assert!(
                Instant::now() < deadline,
                "no {text} in\n{}",
                self.lines.text()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn of(node: &str, number: u64, origin: &str) -> (String, u64, String) {
    (node.to_owned(), number, origin.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_whose_files_are_broken_uses_what_was_in_use_last_and_says_so() {
    let site = Site::start().await;
    site.name("good");
    site.done("/reload").await;
    let good = site.text();
    site.write(&good.replacen("[node]", "[node", 1));
    let site = site.again().await;
    assert_eq!(site.in_use().await, of("good", 3, "fallback"));
    let status = site.get("/status").await;
    let why = status["config_because"].as_str().unwrap();
    assert!(why.contains("causeway.toml"), "{why}");
    let metrics = site.ask("GET", "/metrics").await.body;
    assert!(metrics.contains("sbc_config_fallback 1"));
    assert!(metrics.contains("sbc_config_last_reload_success 0"));
    site.logged("config_fallback: the files on disk cannot be used")
        .await;
    site.logged("config: ").await;
    // Once more: it is still the last one that was good.
    let site = site.again().await;
    assert_eq!(site.in_use().await, of("good", 4, "fallback"));

    site.write(&good.replace("id = \"good\"", "id = \"better\""));
    site.done("/reload").await;
    assert_eq!(site.in_use().await, of("better", 5, "files"));
    let metrics = site.ask("GET", "/metrics").await.body;
    assert!(metrics.contains("sbc_config_fallback 0"));
    assert!(metrics.contains("sbc_config_last_reload_success 1"));
    site.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_files_lead_back_to_what_was_confirmed_and_not_to_what_nobody_has() {
    let site = Site::start().await;
    site.name("sure");
    site.done("/reload").await;
    let sure = site.text();
    site.name("maybe");
    site.done("/reload?confirm_within=600").await;
    site.write(&sure.replacen("[node]", "[node", 1));
    let site = site.again().await;
    let (node, _, origin) = site.in_use().await;
    assert_eq!((node.as_str(), origin.as_str()), ("sure", "fallback"));
    site.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_was_in_use_before_broken_files_keep_the_daemon_from_starting() {
    let (directory, config) = configured(|text| text);
    std::fs::write(config, "[node").unwrap();
    let fault = begin(directory.path()).await.err().expect("no start");
    assert!(fault.contains("causeway.toml:1"), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_configuration_is_used_again_until_the_files_are_reloaded_or_changed() {
    let site = Site::start().await;
    let first = site.in_use().await;
    assert_eq!((first.1, first.2.as_str()), (1, "files"));
    assert_eq!(site.ask("POST", "/config/rollback").await.status, 404);
    site.name("two");
    let shown = site.ask("GET", "/config/diff").await.body;
    assert!(shown.contains("\n+id = \"two\"\n"), "{shown}");
    site.done("/reload").await;
    assert_eq!(site.ask("GET", "/config/diff").await.body, "");
    // The same once more is another number of the same entry.
    site.done("/reload").await;
    site.name("three");
    site.done("/reload").await;
    let shown = site.ask("GET", "/config/diff?from=1&to=3").await.body;
    assert!(
        shown.contains("\tgeneration 1\n") && shown.contains("\n+id = \"two\"\n"),
        "{shown}"
    );
    let shown = site.ask("GET", "/config/diff?from=2").await.body;
    assert!(
        shown.contains("\n-id = \"two\"\n+id = \"three\"\n"),
        "{shown}"
    );

    let site = site.again().await;
    assert_eq!(site.in_use().await, of("three", 5, "files"));
    let history = site.get("/config/history").await;
    let rows = history.as_array().unwrap().iter();
    let rows: Vec<_> = rows
        .map(|row| json!([row["generation"], row["until"], row["is_in_use"]]))
        .collect();
    assert_eq!(
        json!(rows),
        json!([[4, 5, true], [2, 3, false], [1, 1, false]])
    );

    assert_eq!(
        site.ask("POST", "/config/history/77/rollback").await.status,
        404
    );
    site.done("/config/history/3/rollback").await;
    assert_eq!(site.in_use().await, of("two", 6, "rollback"));
    assert!(
        site.text().contains("id = \"three\""),
        "files are the operator's"
    );
    let site = site.again().await;
    assert_eq!(site.in_use().await, of("two", 7, "rollback"));
    site.logged("config_earlier: ").await;
    // One step more leads to an older one, and not to what was left behind; there is none before the first.
    let done = site.done("/config/rollback").await;
    assert_eq!(site.in_use().await, of(&first.0, 8, "rollback"));
    assert_eq!(done["same_as"]["generation"], 1);
    assert_eq!(site.ask("POST", "/config/rollback").await.status, 404);
    site.done("/config/history/3/rollback").await;
    assert_eq!(site.in_use().await, of("two", 9, "rollback"));
    assert_eq!(site.get("/config/history").await[0]["same_as"], 3);
    // The operator has looked at the files since.
    site.name("four");
    let site = site.again().await;
    assert_eq!(site.in_use().await, of("four", 10, "files"));
    site.done("/config/rollback").await;
    // A hook that reloads takes nothing that was left behind.
    let refused = site.ask("POST", "/reload").await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(site.daemon.reload().await.is_err(), "nor does SIGHUP");
    site.done("/reload?force=true").await;
    assert_eq!(site.in_use().await, of("four", 12, "files"));
    site.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_confirms_is_taken_back_by_time_or_by_a_restart() {
    let site = Site::start().await;
    let before = site.in_use().await.0;
    assert_eq!(
        site.ask("POST", "/reload?confirm_within=0").await.status,
        400
    );
    assert_eq!(site.ask("POST", "/config/confirm").await.status, 409);

    site.name("two");
    let done = site.done("/reload?confirm_within=1").await;
    assert_eq!(done["config_generation"], 2);
    site.comes_to((&before, 3, "unconfirmed")).await;
    site.logged(
        "config_reverted: nobody has confirmed the configuration: the one before is in use again",
    )
    .await;
    assert_eq!(site.ask("POST", "/config/confirm").await.status, 409);
    assert_eq!(site.ask("POST", "/reload").await.status, 409);

    // A reload in between confirms nothing.
    site.done("/reload?confirm_within=600").await;
    site.done("/reload").await;
    assert_eq!(site.in_use().await, of("two", 5, "files"));
    assert!(site.get("/status").await["config_confirm_seconds"].as_u64() > Some(500));
    let site = site.again().await;
    assert_eq!(site.in_use().await, of(&before, 6, "unconfirmed"));
    let site = site.again().await;
    assert_eq!(site.in_use().await, of(&before, 7, "unconfirmed"));

    // Where it cannot be written down it is not begun; and who confirms hears of it.
    let (place, aside) = (
        site.directory.path().join("state/config"),
        site.directory.path().join("aside"),
    );
    std::fs::rename(&place, &aside).unwrap();
    let refused = site.ask("POST", "/reload?confirm_within=600").await;
    assert_eq!(refused.status, 500, "{}", refused.body);
    std::fs::rename(&aside, &place).unwrap();
    site.done("/reload?confirm_within=600").await;
    std::fs::rename(&place, &aside).unwrap();
    let owed = site.ask("POST", "/config/confirm").await;
    assert_eq!(owed.status, 500, "{}", owed.body);
    assert!(
        owed.body.contains("a restart would take it back"),
        "{}",
        owed.body
    );
    std::fs::rename(&aside, &place).unwrap();
    site.done("/config/confirm").await;
    assert_eq!(
        site.get("/status").await["config_confirm_seconds"],
        Value::Null
    );
    let site = site.again().await;
    assert_eq!(site.in_use().await, of("two", 9, "files"));

    // What was refused waits for nothing.
    site.write("[node");
    assert_eq!(
        site.ask("POST", "/reload?confirm_within=1").await.status,
        422
    );
    assert_eq!(
        site.get("/status").await["config_confirm_seconds"],
        Value::Null
    );
    site.daemon.shutdown().await;
}

/// A proxy that holds the trial of a new certificate up takes nothing from the time to look at what is new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_to_confirm_counts_from_when_new_certificates_have_been_tried() {
    const HELD: Duration = Duration::from_secs(2);
    let at = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = at.local_addr().unwrap();
    let held = tokio::spawn(async move {
        while let Ok((stream, _)) = at.accept().await {
            tokio::spawn(async move {
                tokio::time::sleep(HELD).await;
                drop(stream);
            });
        }
    });
    let site = Site::with(|text| {
        let named = "name = \"teams-contoso\"";
        let text = text.replace(named, &format!("{named}\npreset = \"teams\""));
        let at = format!(
            "targets = [{{ address = \"sip.peer.example:5061;tls\", connect_to = [\"{proxy}\"] }}]"
        );
        text.replacen("targets = [\"sip.peer.example:5061;tls\"]", &at, 1)
    })
    .await;
    let folder = site.directory.path();
    write_leaf(
        folder,
        "contoso",
        &Authority::new().leaf(&["sbc.contoso.example"]),
    );
    private(&folder.join("contoso.key"));
    let begun = Instant::now();
    let done = site.done("/reload?confirm_within=600").await;
    // With the new one, and with the one before.
    assert!(begun.elapsed() >= 2 * HELD, "{:?}", begun.elapsed());
    assert!(done["confirm_within"].as_u64() >= Some(598), "{done}");
    site.daemon.shutdown().await;
    held.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_beforehand_hears_what_the_reload_would_say() {
    let site = Site::start().await;
    let good = site.text();
    let api = site
        .directory
        .path()
        .join("run/api.sock")
        .display()
        .to_string();
    // It is valid by itself, but not for a daemon that runs.
    let moved = good.replace(&api, &format!("{api}2"));
    assert_ne!(moved, good);
    site.write(&moved);
    let judged = site.done("/config/validate").await;
    assert_eq!(judged["valid"], false, "{judged}");
    let refusal = judged["refusal"].as_str().unwrap();
    let named = format!("[api]: unix \"{api}2\", was \"{api}\"");
    assert!(
        refusal.starts_with(&named) && refusal.contains("only be changed by a restart"),
        "{refusal}"
    );
    let dry = site.ask("POST", "/reload/dry-run").await;
    let wet = site.ask("POST", "/reload").await;
    assert_eq!((dry.status, &dry.body), (422, &wet.body));

    site.write(&good);
    site.name("two");
    let seen = site.done("/reload/dry-run").await;
    assert_eq!(seen["config_generation"], 1);
    assert_eq!(site.in_use().await.1, 1);
    assert_eq!(site.done("/config/validate").await["valid"], true);

    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_causeway"));
    command.args(["reload", "--dry-run", "--socket", &api]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && told.contains("a reload would succeed"),
        "{told}"
    );
    site.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_typed_goes_back_and_shows_what_was() {
    let site = Site::start().await;
    site.name("two");
    let types = async |words: &str, ends: i32| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_causeway"));
        let api = site.directory.path().join("run/api.sock");
        command.args(words.split(' ')).arg("--socket").arg(api);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        assert_eq!(output.status.code(), Some(ends), "{words}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let told = types("reload --confirm-timeout 5m", 0).await;
    assert!(told.starts_with("generation 2 is in use\n"), "{told}");
    assert!(
        told.contains("unless you type: causeway config confirm"),
        "{told}"
    );
    let told = types("status", 0).await;
    assert!(
        told.contains("2; the one before is used again in "),
        "{told}"
    );
    let told = types("config history", 0).await;
    assert!(told.contains("in use, to be confirmed"), "{told}");
    types("config confirm", 0).await;
    let told = types("config rollback", 0).await;
    assert!(
        told.starts_with("generation 3 is in use: the same as 1 (of "),
        "{told}"
    );
    let told = types("config history", 0).await;
    assert!(told.contains("SAME AS"), "{told}");
    let told = types("status", 0).await;
    assert!(told.contains("3: an earlier one; "), "{told}");
    let told = types("config diff", 0).await;
    assert!(told.contains("\n+id = \"two\"\n"), "{told}");
    types("config rollback 9", 5).await;
    types("reload --force --reason ticket-4711", 0).await;
    let audit = site.get("/audit").await;
    let mut entries = audit["entries"].as_array().unwrap().iter();
    let is_it = |entry: &&Value| entry["reason"] == "ticket-4711" && entry["status"] == 200;
    assert!(entries.any(|entry| is_it(&entry)), "{audit}");
    types("reload --confirm-timeout 3w", 2).await;
    site.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_not_moved_to_where_they_cannot_be_written() {
    let site = Site::start().await;
    let here = site.directory.path().join("cdr").display().to_string();
    // It is there as a directory, and nobody, root included, can make a file in it.
    let moved = site.text().replace(&here, "/proc/self/fdinfo");
    assert_ne!(moved, site.text());
    site.write(&moved);
    let refused = site.ask("POST", "/reload").await;
    assert_eq!(refused.status, 422);
    assert!(
        refused
            .body
            .contains("call records cannot be written to /proc/self/fdinfo"),
        "{}",
        refused.body
    );
    site.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_manager_shows_follows_the_interface() {
    let site = Site::start().await;
    assert_eq!(site.daemon.state_in_words(), "serving");
    let good = site.text();
    site.write("[node");
    site.ask("POST", "/reload").await;
    let words = site.daemon.state_in_words();
    assert!(words.contains("the new one was refused"), "{words}");
    let told = site.get("/status").await["degraded"].to_string();
    assert!(
        told.contains("the last reload, 20")
            && told.contains("Z, was refused (")
            && told.contains("): causeway check"),
        "{told}"
    );
    let alarms = site.get("/alarms").await["alarms"].to_string();
    assert!(alarms.contains("the last reload, "), "{alarms}");
    site.write(&good);
    site.done("/reload").await;
    assert_eq!(site.daemon.state_in_words(), "serving");
    let told = site.get("/status").await["degraded"].to_string();
    assert!(!told.contains("the last reload"), "{told}");
    site.done("/drain").await;
    assert_eq!(site.daemon.state_in_words(), "draining, 0 calls");
    site.done("/undrain").await;
    assert_eq!(site.daemon.state_in_words(), "serving");
    site.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_pair_is_in_use_by_itself_once_both_files_are_whole() {
    let site = Site::start().await;
    let folder = site.directory.path();
    let shown = || {
        let tls = site.daemon.net().identities();
        Arc::clone(tls.get(&"contoso".into()).unwrap())
    };
    let first = shown();
    let every = Duration::from_millis(50);
    let watch = tokio::spawn(renewed::watch(Arc::downgrade(&site.daemon), every));
    let authority = Authority::new();
    let other = authority.leaf(&["sbc.contoso.example"]);
    write(folder, "contoso.pem", &other.chain_pem);
    site.logged(
        "certificate_file: the certificate on disk is not taken into use, the one before stays",
    )
    .await;
    assert!(shown().shows_the_same(&first));
    write(folder, "contoso.key", &other.key_pem);
    site.logged(
        "certificate_file: a renewed certificate was found on disk and is in use context=contoso",
    )
    .await;
    let second = shown();
    assert!(!second.shows_the_same(&first));
    // One that could not stand in its place is none.
    write_leaf(
        folder,
        "contoso",
        &authority.leaf(&["sbc.fabrikam.example"]),
    );
    site.logged("it lacks the name sbc.contoso.example").await;
    assert!(shown().shows_the_same(&second));
    assert_eq!(site.in_use().await.1, 1);
    watch.abort();
    site.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_revoked_certificates_that_is_fetched_anew_counts_by_itself() {
    let authority = Authority::new();
    let list = |until| authority.revoking(revoking(&[0x81, 0x22], 2024, until));
    let site = Site::with(|text| {
        let cert = text.lines().find_map(|line| line.strip_prefix("cert = \""));
        let folder = Path::new(cert.unwrap()).parent().unwrap().to_owned();
        write(&folder, "issuers.pem", &authority.pem());
        write(&folder, "crl.pem", &list(4000));
        let folder = folder.display();
        let named = "[[tls]]\nname = \"contoso\"\n";
        assert!(text.contains(named), "{text}");
        let lines = format!("crl = \"{folder}/crl.pem\"\ncrl_issuers = \"{folder}/issuers.pem\"\n");
        text.replace(named, &format!("{named}{lines}"))
    })
    .await;
    let folder = site.directory.path();
    let until = || {
        let tls = site.daemon.net().identities();
        tls.get(&"contoso".into()).unwrap().lists_until().unwrap()
    };
    let first = until();
    let every = Duration::from_millis(50);
    let watch = tokio::spawn(renewed::watch(Arc::downgrade(&site.daemon), every));
    write(folder, "crl.pem", &list(4001));
    site.logged("crl_read").await;
    assert!(until() > first);
    // What nobody can believe leaves it where it is.
    let foreign = Authority::new().revoking(revoking(&[0x81, 0x22], 2024, 4002));
    write(folder, "crl.pem", &foreign);
    site.logged("crl_unreadable").await;
    assert!(until() > first);
    let deadline = Instant::now() + PATIENCE;
    let degraded = async || site.get("/status").await["degraded"].to_string();
    while !degraded().await.contains("its crl cannot be used") {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // And one whose time is over counts, and is an alarm.
    write(folder, "crl.pem", &list(2025));
    while !degraded().await.contains("should have been replaced") {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    watch.abort();
    site.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_gone_keeps_no_other_trunk_from_starting() {
    let site = Site::start().await;
    site.daemon.shutdown().await;
    std::fs::remove_file(site.directory.path().join("contoso.key")).unwrap();
    let site = site.again().await;
    assert_eq!(site.in_use().await.2, "files");
    site.logged("finding=W0119").await;
    assert!(
        site.daemon
            .net()
            .identities()
            .get(&"contoso".into())
            .is_none()
    );
    assert!(
        site.daemon
            .net()
            .identities()
            .get(&"fabrikam".into())
            .is_some()
    );
    assert_eq!(
        site.get("/status").await["out_of_service"],
        json!(["tls \"contoso\""])
    );
    // The rest of the files can be changed meanwhile.
    site.name("two");
    site.done("/reload").await;
    site.daemon.shutdown().await;
}
