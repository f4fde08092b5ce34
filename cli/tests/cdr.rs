//! Call records of a whole daemon: sent to whom its configuration names, until a reload names somebody else; and what
//! becomes of calls whose records could not be written.

use crate::authority::wire::{Answer, Request};
use crate::daemon::{Node, Phone, configured, exit_to, request, within};
use crate::support::{Authority, PATIENCE, server, write};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Somebody who keeps records, and answers as it is told.
struct Keeper {
    address: SocketAddr,
    folder: TempDir,
    status: Arc<AtomicU16>,
    /// Paths, and what was sent there.
    heard: UnboundedReceiver<(String, String)>,
}

impl Keeper {
    async fn start() -> Self {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "roots.pem", &authority.pem());
        let acceptor = server(&authority.leaf(&["127.0.0.1"]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let status = Arc::new(AtomicU16::new(200));
        let (tell, heard) = unbounded_channel();
        let answer = Arc::clone(&status);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let Some(request) = Request::read(&mut stream).await else {
                    continue;
                };
                let status = answer.load(Ordering::Relaxed);
                let body = String::from_utf8(request.body).unwrap();
                let _ = tell.send((request.path, body));
                Answer::empty(status).write(&mut stream).await;
            }
        });
        Self {
            address,
            folder,
            status,
            heard,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// The table of the configuration that names it.
    fn ship(&self, path: &str) -> String {
        let roots = self.folder.path().join("roots.pem");
        let (url, roots) = (self.url(path), roots.display());
        format!("\n[cdr.ship]\nurl = \"{url}\"\nroots = \"{roots}\"\n")
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// What is sent next: where, and the calls.
    async fn hears(&mut self) -> (String, Vec<String>) {
        let heard = tokio::time::timeout(PATIENCE, self.heard.recv()).await;
        let (path, body) = heard.expect("nothing is sent").unwrap();
        let call = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["call"].as_str().unwrap().to_owned()
        };
        (path, body.lines().map(call).collect())
    }
}

impl Node {
    /// Takes this into use in place of what was there of it.
    async fn ships(&self, change: impl Fn(&str) -> String) {
        let path = self.directory.path().join("causeway.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split("\n[cdr.ship]").next().unwrap();
        std::fs::write(&path, change(text)).unwrap();
        let done = self.ask("POST", "/reload").await;
        assert_eq!(done.status, 200, "{}", done.body);
    }

    /// A call that no route is for; says what is answered.
    async fn calls(&self, name: &str) -> String {
        let body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                    m=audio 40000 RTP/AVP 8\r\n";
        let invite = |from| request("INVITE", "sip:+15550100@sbc.example.com", from, body);
        let answer = self.carrier(|from| invite(from).replace("test1", name));
        answer.await
    }

    /// Such a call, and its record.
    async fn failed_call(&self, name: &str) -> String {
        let answer = self.calls(name).await;
        assert!(answer.starts_with("SIP/2.0 404"), "{answer}");
        let path = format!("/records?call_id={name}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found: Value = serde_json::from_str(&self.ask("GET", &path).await.body).unwrap();
            if let Some(call) = found["records"][0]["call"].as_str() {
                return call.to_owned();
            }
            assert!(Instant::now() < deadline, "{found}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A call that is answered and ends.
    async fn carries(&self, id: &str, caller: &Phone, callee: &Phone) {
        let to = self.udp();
        let uri = format!("sip:+15550100@{to}");
        let invite = request("INVITE", &uri, caller.address, &caller.description());
        caller.send(&invite.replace("test1", id), to).await;
        let (request, ours) = callee.hears("INVITE ").await;
        callee.accepts(&request, ours, &callee.description()).await;
        let (answer, _) = caller.hears("SIP/2.0 200").await;
        let ack = within(&answer, "ACK", 1, caller.address);
        caller.send(&ack, to).await;
        callee.hears("ACK ").await;
        let bye = within(&answer, "BYE", 2, caller.address);
        caller.send(&bye, to).await;
        let (bye, ours) = callee.hears("BYE ").await;
        callee.accepts(&bye, ours, "").await;
        caller.hears("SIP/2.0 200").await;
        assert!(self.daemon.wait_until_idle(PATIENCE).await);
    }

    /// Waits until it is written down that everything is there.
    async fn has_sent_all(&self, url: &str) {
        self.shows(&format!("sbc_cdr_ship_waiting_bytes{{url=\"{url}\"}} 0\n"))
            .await;
    }

    fn figures(&self) -> String {
        self.daemon.sinks().metrics.text()
    }

    async fn shows(&self, series: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.figures().contains(series) {
            let shown = self.figures();
            assert!(Instant::now() < deadline, "no {series} in\n{shown}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_go_to_whom_a_reload_names_and_to_nobody_once_it_names_nobody() {
    let mut keeper = Keeper::start().await;
    let node = Node::start().await;
    let first = node.failed_call("first").await;
    assert!(!node.figures().contains("sbc_cdr_ship_up{"));
    // It is named: what is there already goes as well.
    let ship = keeper.ship("/a");
    node.ships(|text| format!("{text}{ship}")).await;
    assert_eq!(keeper.hears().await, ("/a".to_owned(), vec![first]));
    node.has_sent_all(&keeper.url("/a")).await;
    // Another one goes on where that was.
    let ship = keeper.ship("/b");
    node.ships(|text| format!("{text}{ship}")).await;
    let second = node.failed_call("second").await;
    assert_eq!(keeper.hears().await, ("/b".to_owned(), vec![second]));
    node.has_sent_all(&keeper.url("/b")).await;
    assert!(!node.figures().contains(&keeper.url("/a")));
    // Nobody, for a while.
    node.ships(str::to_owned).await;
    let third = node.failed_call("third").await;
    assert!(!node.figures().contains("sbc_cdr_ship_up{"));
    let ship = keeper.ship("/c");
    node.ships(|text| format!("{text}{ship}")).await;
    assert_eq!(keeper.hears().await, ("/c".to_owned(), vec![third]));
    node.daemon.shutdown().await;
    assert!(keeper.heard.try_recv().is_err(), "nothing is sent twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_spool_keeps_unsent_when_records_go_to_another_is_told() {
    let mut keeper = Keeper::start().await;
    keeper.answers(503);
    let ship = keeper.ship("/");
    let node = Node::start_with(|text| text + &ship).await;
    let first = node.failed_call("first").await;
    assert_eq!(keeper.hears().await.1, [first]);
    node.shows(&format!("sbc_cdr_ship_up{{url=\"{}\"}} 0", keeper.url("/")))
        .await;
    let status: Value = serde_json::from_str(&node.ask("GET", "/status").await.body).unwrap();
    let told = status["degraded"].to_string();
    assert!(
        told.contains("503") && told.contains("wait in the spool"),
        "{told}"
    );
    let old = node.directory.path().join("cdr");
    let unsent = std::fs::metadata(old.join("current.jsonl")).unwrap().len();
    node.ships(|text| format!("{}{ship}", text.replace("/cdr\"", "/cdr2\"")))
        .await;
    node.logged("cdr_ship_left").await;
    keeper.answers(200);
    let lines = node.lines.text();
    let left = lines.lines().find(|line| line.contains("cdr_ship_left"));
    let left = left.unwrap();
    assert!(left.contains(&format!("octets={unsent}")), "{left}");
    assert!(left.contains(&old.display().to_string()), "{left}");
    let second = node.failed_call("second").await;
    // What was under way for the old one may come before.
    while keeper.hears().await.1 != [second.as_str()] {}
    // Back again, what has waited there goes on its way.
    node.ships(|text| format!("{}{ship}", text.replace("/cdr2\"", "/cdr\"")))
        .await;
    let third = node.failed_call("third").await;
    let mut heard = Vec::new();
    while !heard.contains(&third) {
        heard.extend(keeper.hears().await.1);
    }
    assert_eq!(heard.len(), 2, "{heard:?}");
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_refused_is_kept_aside_and_found_once() {
    let mut keeper = Keeper::start().await;
    keeper.answers(422);
    let ship = keeper.ship("/");
    let node = Node::start_with(|text| text + &ship).await;
    let call = node.failed_call("first").await;
    assert_eq!(keeper.hears().await.1, [call.as_str()]);
    node.shows(&format!(
        "sbc_cdr_ship_refused_total{{url=\"{}\"}} 1",
        keeper.url("/")
    ))
    .await;
    node.logged("cdr_ship_refused").await;
    let refused = node.directory.path().join("cdr/refused.jsonl");
    assert!(std::fs::read_to_string(refused).unwrap().contains(&call));
    let found: Value = serde_json::from_str(&node.ask("GET", "/records").await.body).unwrap();
    assert_eq!(found["records"].as_array().unwrap().len(), 1, "{found}");
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_records_that_must_be_written_cannot_be_each_new_call_is_refused() {
    // A file on a disk that is always full.
    let node = Node::start_with(|text| {
        let spool = text.split("spool = \"").nth(1).unwrap();
        let spool = Path::new(spool.split('"').next().unwrap());
        std::fs::create_dir_all(spool).unwrap();
        std::os::unix::fs::symlink("/dev/full", spool.join("current.jsonl")).unwrap();
        text.replace("[cdr]\n", "[cdr]\nmandatory = true\n")
    })
    .await;
    // Nobody knows yet.
    let answer = node.calls("first").await;
    assert!(answer.starts_with("SIP/2.0 404"), "{answer}");
    node.logged("calls_unrecorded").await;
    let until = async |wanted: &str| {
        let deadline = Instant::now() + PATIENCE;
        for number in 0.. {
            let answer = node.calls(&format!("{wanted}-{number}")).await;
            if answer.starts_with(&format!("SIP/2.0 {wanted}")) {
                return;
            }
            assert!(Instant::now() < deadline, "{answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    until("503").await;
    node.shows("sbc_sip_dropped_total{reason=\"unrecorded\"}")
        .await;
    let ready = node.ask("GET", "/readyz").await;
    assert!(
        ready.status == 503 && ready.body.contains("records could not"),
        "{}",
        ready.body
    );
    let status = node.ask("GET", "/status").await.body;
    assert!(status.contains("new calls are refused"), "{status}");
    let ours = node.udp();
    let asked = node.carrier(|from| request("OPTIONS", &format!("sip:{ours}"), from, ""));
    let asked = asked.await;
    assert!(asked.starts_with("SIP/2.0 503"), "{asked}");
    // There is room again: what has waited is written, and calls are taken.
    let spool = node.directory.path().join("cdr");
    std::fs::remove_file(spool.join("current.jsonl")).unwrap();
    node.logged("calls_recorded").await;
    until("404").await;
    node.daemon.shutdown().await;
    let text = std::fs::read_to_string(spool.join("current.jsonl")).unwrap();
    assert!(text.contains("first") && !text.contains("503-"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_of_legs_have_records_of_their_own_from_when_that_is_asked_for() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.address)).await;
    node.carries("first", &caller, &callee).await;
    let path = node.directory.path().join("causeway.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("[cdr]\n", "[cdr]\npairs = true\n")).unwrap();
    let done = node.ask("POST", "/reload").await;
    assert_eq!(done.status, 200, "{}", done.body);
    node.carries("second", &caller, &callee).await;
    let spool = node.directory.path().join("cdr/current.jsonl");
    node.daemon.shutdown().await;
    let text = std::fs::read_to_string(spool).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let [first, second, pair] = &lines[..] else {
        panic!("{text}");
    };
    assert!(first["pair"].is_null() && second["pair"].is_null());
    assert_eq!(pair["call"], second["call"]);
    let name = format!("{}-0", second["call"].as_str().unwrap());
    assert_eq!(pair["pair"], name);
    assert_eq!(pair["billed_to"], second["ingress"]["trunk"]);
    assert_eq!(pair["b"]["trunk"], second["egress"][0]["trunk"]);
    assert_eq!(pair["a"]["number"], second["calling"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_beginning_of_a_call_has_a_record_when_that_is_asked_for() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let exit = exit_to(callee.address);
    let node =
        Node::start_with(|text| text.replace("[cdr]\n", "[cdr]\nstart = \"invite\"\n") + &exit);
    let node = node.await;
    node.carries("first", &caller, &callee).await;
    let path = node.directory.path().join("causeway.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"invite\"", "\"answer\"")).unwrap();
    let done = node.ask("POST", "/reload").await;
    assert_eq!(done.status, 200, "{}", done.body);
    node.carries("second", &caller, &callee).await;
    // Whoever lists records sees each call once, and its beginning where that is asked for.
    let listed = async |path: &str| {
        let found: Value = serde_json::from_str(&node.ask("GET", path).await.body).unwrap();
        found["records"].as_array().unwrap().len()
    };
    let deadline = Instant::now() + PATIENCE;
    while listed("/records?interim=true").await < 4 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(listed("/records").await, 2);
    let spool = node.directory.path().join("cdr/current.jsonl");
    node.daemon.shutdown().await;
    let text = std::fs::read_to_string(spool).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    let [invite, first, answer, second] = &lines[..] else {
        panic!("{text}");
    };
    for (begun, whole) in [(invite, first), (answer, second)] {
        assert_eq!(
            (&begun["call"], &begun["start"]),
            (&whole["call"], &whole["start"])
        );
        assert_eq!(
            (&begun["interim"], &begun["cause"]),
            (&0.into(), &Value::Null)
        );
        assert!(whole["interim"].is_null() && whole["cause"].is_object());
        assert_eq!(begun["country_to"], "+1");
    }
    assert!(invite["setup_ms"].is_null() && invite["disposition"].is_null());
    assert_eq!(
        (&answer["setup_ms"], &answer["disposition"]),
        (&second["setup_ms"], &"answered".into())
    );
}

#[test]
fn the_table_that_records_go_to_is_printed_as_the_sql_that_makes_it() {
    let printed = |ship: &str| {
        let (_folder, config) = configured(|text| format!("{text}\n[cdr.ship]\n{ship}\n"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(["config", "table", "--config"]).arg(&config);
        let output = command.output().unwrap();
        let text = |octets| String::from_utf8(octets).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let url = "url = \"postgresql://writer@127.0.0.1/billing\"";
    let (code, sql, errors) = printed(&format!("{url}\ntable = \"calls.records\""));
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        sql.starts_with("CREATE TABLE \"calls\".\"records\" ("),
        "{sql}"
    );
    assert!(
        sql.contains("id text PRIMARY KEY") && sql.contains(" TO \"writer\";"),
        "{sql}"
    );
    let (code, sql, errors) = printed(&format!("{url}\ntable = \"calls; records\""));
    assert_eq!((code, sql.as_str()), (Some(3), ""), "{errors}");
    assert!(errors.contains("no name of a table"), "{errors}");
    let folder = tempfile::tempdir().unwrap();
    let roots = write(folder.path(), "roots.pem", &Authority::new().pem());
    let https = "url = \"https://records.example.com/\"";
    let (code, _, errors) = printed(&format!("{https}\nroots = \"{}\"", roots.display()));
    assert_eq!(code, Some(5), "{errors}");
    assert!(errors.contains("go to no table"), "{errors}");
}
