//! The whole daemon in this process: start, serve, reload, drain, stop.

use crate::support;

use causeway::client::{Answer, ask};
use causeway::daemon::{Daemon, Options};
use causeway::sink::log::{Form, Level, Log};
use std::net::{SocketAddr, TcpListener, UdpSocket as FreePort};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use support::{Authority, CONFIG, Lines, PATIENCE, write, write_leaf};
use tempfile::TempDir;
use tokio::net::UdpSocket;

pub(crate) struct Node {
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) directory: TempDir,
    pub(crate) lines: Lines,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::start_with(|text| text).await
    }

    /// A port that was free when the configuration was written may be another program's by now:
    /// then there is another try with other ports.
    pub(crate) async fn start_with(change: impl Fn(String) -> String) -> Self {
        for tries_left in (0..5).rev() {
            let (directory, _) = configured(&change);
            match Self::start_in(directory).await {
                Ok(node) => return node,
                Err((_, fault)) => {
                    let is_taken = fault.contains("Address already in use");
                    assert!(is_taken && tries_left > 0, "{fault}");
                }
            }
        }
        unreachable!("the last try panics");
    }

    /// Starts with the configuration of a node that was stopped. Another program may have one of its ports for a moment.
    pub(crate) async fn again(mut directory: TempDir) -> Self {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            directory = match Self::start_in(directory).await {
                Ok(node) => return node,
                Err((directory, fault)) => {
                    let is_taken = fault.contains("Address already in use");
                    let now = std::time::Instant::now();
                    assert!(is_taken && now < deadline, "{fault}");
                    directory
                }
            };
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn start_in(directory: TempDir) -> Result<Self, (TempDir, String)> {
        let lines = Lines::default();
        let (log, _) = Log::start(Level::Debug, Form::Text, lines.clone()).unwrap();
        let options = Options {
            config: directory.path().join("causeway.toml"),
            shards: 2,
            state: None,
        };
        match Daemon::start(options, log).await {
            Ok(daemon) => Ok(Self {
                daemon,
                directory,
                lines,
            }),
            Err(fault) => Err((directory, fault.to_string())),
        }
    }

    pub(crate) async fn ask(&self, method: &'static str, path: &str) -> Answer {
        let socket: PathBuf = self.directory.path().join("run/api.sock");
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || ask(&socket, method, &path))
            .await
            .unwrap()
            .unwrap()
    }

    /// Waits for a line with this text: the log has a thread of its own.
    pub(crate) async fn logged(&self, text: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !self.lines.text().contains(text) {
            let now = std::time::Instant::now();
            assert!(now < deadline, "no {text} in\n{}", self.lines.text());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn udp(&self) -> SocketAddr {
        self.daemon.net().address(&"udp".into()).unwrap()
    }

    /// Sends one message from the carrier's address and waits for a final answer.
    pub(crate) async fn carrier(&self, text: impl Fn(SocketAddr) -> String) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let text = text(socket.local_addr().unwrap());
        socket.send_to(text.as_bytes(), self.udp()).await.unwrap();
        let mut buffer = vec![0; 65_536];
        loop {
            let got = tokio::time::timeout(PATIENCE, socket.recv_from(&mut buffer)).await;
            let Ok(Ok((length, _))) = got else {
                panic!("no answer; log:\n{}", self.lines.text());
            };
            let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if !answer.starts_with("SIP/2.0 1") {
                return answer;
            }
        }
    }
}

/// A folder with certificates and a configuration on free ports, which `change` may change.
pub(crate) fn configured(change: impl Fn(String) -> String) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    write(directory.path(), "ca.pem", &authority.pem());
    for name in ["contoso", "fabrikam"] {
        write_leaf(
            directory.path(),
            name,
            &authority.leaf(&[&format!("sbc.{name}.example")]),
        );
    }
    let path = directory.path().display().to_string();
    let mut text = CONFIG.replace("DIR", &path);
    text.push_str(&format!(
        "\n[cdr]\nspool = \"{path}/cdr\"\n\n[api]\nunix = \"{path}/run/api.sock\"\n"
    ));
    let text = change(with_free_ports(&text));
    let config = write(directory.path(), "causeway.toml", &text);
    for name in ["contoso.key", "fabrikam.key", "causeway.toml"] {
        private(&directory.path().join(name));
    }
    (directory, config)
}

pub(crate) fn private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A port that nobody uses at the moment, neither for datagrams nor for connections, and that no other test of
/// this process gets. It is below those that the kernel gives away: a connection of somebody could have one of
/// them by the time it is wanted.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        // Ordering: only uniqueness matters.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port =
            10_000 + (std::process::id().wrapping_mul(911).wrapping_add(number) % 10_000) as u16;
        let here = ("127.0.0.1", port);
        if FreePort::bind(here).is_ok() && TcpListener::bind(here).is_ok() {
            return port;
        }
    }
}

/// Ports that nobody uses at the moment.
fn with_free_ports(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with("port = ") {
            out.push_str(&format!("port = {}\n", free_port()));
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

pub(crate) fn request(method: &str, uri: &str, from: SocketAddr, body: &str) -> String {
    let kind = if body.is_empty() {
        String::new()
    } else {
        "Content-Type: application/sdp\r\n".to_owned()
    };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKtest1;rport\r\n\
         From: <sip:+15550001@{from}>;tag=1\r\nTo: <{uri}>\r\nCall-ID: test1\r\n\
         CSeq: 1 {method}\r\nContact: <sip:{from}>\r\nMax-Forwards: 70\r\n{kind}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_starts_answers_and_stops_without_residue() {
    let node = Node::start().await;
    assert_eq!(node.ask("GET", "/startupz").await.status, 200);
    assert_eq!(node.ask("GET", "/healthz").await.status, 200);
    let ours = node.udp();
    let answer = node
        .carrier(|from| request("OPTIONS", &format!("sip:{ours}"), from, ""))
        .await;
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    let metrics = node.ask("GET", "/metrics").await.body;
    for wanted in [
        "sbc_up_state{state=\"active\"} 1",
        "sbc_sip_requests_total{dir=\"in\",method=\"OPTIONS\",transport=\"udp\",trunk=\"carrier\"} 1",
        "sbc_config_generation 1",
        "sbc_media_ports_limit{realm=\"core\"}",
        "subject_cn=\"",
    ] {
        assert!(metrics.contains(wanted), "{wanted}\n{metrics}");
    }
    let status: serde_json::Value =
        serde_json::from_str(&node.ask("GET", "/status").await.body).unwrap();
    assert_eq!(status["shards"], 2);
    let media: serde_json::Value =
        serde_json::from_str(&node.ask("GET", "/media").await.body).unwrap();
    assert_eq!(media[0]["realm"], "core");
    assert_eq!(media[0]["backend"], "socket");
    assert_eq!(media[0]["because"], "AF_XDP is not asked for");
    node.daemon.shutdown().await;
    assert!(!node.directory.path().join("run/api.sock").exists());
    assert!(
        UdpSocket::bind(ours).await.is_ok(),
        "the port is free again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_requests_on_one_connection_is_answered_to_the_last() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    const REQUESTS: usize = 3000;
    let node = Node::start().await;
    let ours = node.daemon.net().address(&"tcp".into()).unwrap();
    let stream = tokio::net::TcpStream::connect(ours).await.unwrap();
    let from = stream.local_addr().unwrap();
    let burst: String = (0..REQUESTS)
        .map(|number| {
            request("OPTIONS", &format!("sip:{ours}"), from, "")
                .replace("test1", &format!("test{number}"))
                .replace("SIP/2.0/UDP", "SIP/2.0/TCP")
        })
        .collect();
    let (mut reader, mut writer) = stream.into_split();
    let sending =
        tokio::spawn(async move { writer.write_all(burst.as_bytes()).await.map(|()| writer) });
    let mut answers = String::new();
    let mut buffer = vec![0; 65_536];
    // On a busy machine it is more than the node takes at once, and it says so.
    let is_all = |answers: &str| {
        let counts = ["SIP/2.0 200", "SIP/2.0 503"].map(|start| answers.matches(start).count());
        counts.iter().sum::<usize>() == REQUESTS
    };
    while !is_all(&answers) {
        let got = tokio::time::timeout(PATIENCE, reader.read(&mut buffer)).await;
        let length = got.unwrap().unwrap_or(0);
        assert!(length > 0, "closed; log:\n{}", node.lines.text());
        answers.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    sending.await.unwrap().unwrap();
    node.daemon.shutdown().await;
}

/// Why a daemon with this configuration does not start.
async fn refused(config: PathBuf) -> String {
    let (log, _) = Log::start(Level::Debug, Form::Text, Lines::default()).unwrap();
    let started = Daemon::start(
        Options {
            config,
            shards: 1,
            state: None,
        },
        log,
    )
    .await;
    match started {
        Ok(_) => panic!("it started"),
        Err(fault) => fault.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_start_leaves_nothing_behind() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (directory, config) =
        configured(|text| format!("{text}\n[metrics]\nlisten = \"{address}\"\n"));
    let names = || {
        let entries = std::fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let told = refused(config.clone()).await;
    assert!(
        told.contains(&address.to_string()) && told.contains("[metrics]"),
        "{told}"
    );
    assert_eq!(
        names(),
        before,
        "no socket, no records, none of their folders"
    );

    drop(taken);
    let (log, _) = Log::start(Level::Debug, Form::Text, Lines::default()).unwrap();
    let daemon = Daemon::start(
        Options {
            config,
            shards: 1,
            state: None,
        },
        log,
    )
    .await;
    daemon
        .unwrap_or_else(|fault| panic!("{fault}"))
        .shutdown()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_cannot_be_bound_is_told_at_once_with_what_to_do() {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = FreePort::bind("127.0.0.1:0").unwrap();
    let metrics = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = tempfile::tempdir().unwrap();
    let socket = other.path().join("api.sock");
    let _living = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let port_of = |name: &str, text: &str| {
        let at = text.find(&format!("name = \"{name}\"\nrealm")).unwrap();
        let at = at + text[at..].find("\nport = ").unwrap() + 1;
        at..at + text[at..].find('\n').unwrap()
    };
    let line_of = |begin: &str, text: &str| {
        let at = text.find(begin).unwrap();
        at..at + text[at..].find('\n').unwrap()
    };
    let (directory, config) = configured(|mut text| {
        for (name, address) in [
            ("udp", udp.local_addr().unwrap()),
            ("tcp", tcp.local_addr().unwrap()),
        ] {
            text.replace_range(port_of(name, &text), &format!("port = {}", address.port()));
        }
        let unix = format!("unix = \"{}\"", socket.display());
        text.replace_range(line_of("unix = ", &text), &unix);
        // A place where nobody can make a folder.
        text.replace_range(
            line_of("spool = ", &text),
            "mandatory = true\nspool = \"/proc/causeway-cdr\"",
        );
        text + &format!(
            "\n[metrics]\nlisten = \"{}\"\n\n[[realm]]\nname = \"far\"\n\
             addresses = [\"192.0.2.77\"]\nports = \"30000-30999\"\n",
            metrics.local_addr().unwrap()
        )
    });
    let told = refused(config).await;
    for (place, advice) in [
        ("listener \"udp\"", "ss -lnp"),
        ("listener \"tcp\"", "ss -lnp"),
        ("realm \"far\": 192.0.2.77", "does not have the address"),
        ("metrics listener", "[metrics]"),
        ("operator socket", "another daemon"),
        ("call records", "make the directory"),
    ] {
        let line = told.lines().find(|line| line.contains(place));
        let line = line.unwrap_or_else(|| panic!("{place} is not in\n{told}"));
        assert!(line.contains(advice), "{line}");
    }
    assert!(socket.exists(), "the socket of the other daemon is its own");
    assert!(!directory.path().join("cdr").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_fails_leaves_a_record_a_ladder_and_an_explanation() {
    let node = Node::start().await;
    let answer = node
        .carrier(|from| {
            let body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                        m=audio 40000 RTP/AVP 8\r\n";
            request("INVITE", "sip:+15550100@sbc.example.com", from, body)
        })
        .await;
    // The configuration has no route.
    assert!(!answer.starts_with("SIP/2.0 2"), "{answer}");
    // The answer leaves before the record is written.
    let deadline = std::time::Instant::now() + PATIENCE;
    let recent = loop {
        let recent = node.ask("GET", "/calls/recent").await.body;
        let recent: serde_json::Value = serde_json::from_str(&recent).unwrap();
        if recent != serde_json::json!([]) {
            break recent;
        }
        assert!(std::time::Instant::now() < deadline, "no record");
    };
    let record = &recent[0];
    assert_eq!(record["cause"]["code"], "no_route", "{recent}");
    let id = record["call"].as_str().unwrap();
    let ladder = node
        .ask("GET", &format!("/calls/{}/trace", &id[..31]))
        .await
        .body;
    assert!(
        ladder.contains("INVITE ─") && ladder.contains("change: "),
        "{ladder}"
    );
    assert!(ladder.contains("[[route]]"), "{ladder}");
    assert_eq!(node.ask("GET", "/calls/ffff").await.status, 404);
    assert_eq!(node.ask("GET", "/calls/x-y").await.status, 400);
    node.daemon.shutdown().await;
    let spool = std::fs::read_to_string(node.directory.path().join("cdr/current.jsonl")).unwrap();
    assert_eq!(spool.lines().count(), 1, "one record per call");
    assert!(spool.contains(id));
    // The next process has no ladder of it, and knows why it failed all the same.
    let node = Node::again(node.directory).await;
    let shown = node.ask("GET", &format!("/calls/{id}")).await.body;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let told = &shown["explanation"];
    assert_eq!(told["name"], "no_matching_route", "{shown}");
    let has = |text: &serde_json::Value, words: &str| text.to_string().contains(words);
    assert!(has(&told["change"], "[[route]]") && !told["why"].as_str().unwrap().is_empty());
    assert_eq!(told["attempts"], serde_json::json!([]));
    let words = node.ask("GET", &format!("/calls/{id}/trace")).await.body;
    assert!(
        words.contains("called: no_matching_route") && words.contains("change: "),
        "{words}"
    );
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_configuration_changes_nothing_and_a_good_one_is_used_at_once() {
    let node = Node::start().await;
    let path = node.directory.path().join("causeway.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        good.replace("tenant = \"contoso\"", "tenant = \"nobody\""),
    )
    .unwrap();
    let refused = node.ask("POST", "/reload").await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("nobody"), "{}", refused.body);
    let metrics = node.ask("GET", "/metrics").await.body;
    for told in [
        "config: trunk \"teams-contoso\": there is no tenant \"nobody\" finding=E0020 place=",
        "reload_refused: nothing has changed",
    ] {
        node.logged(told).await;
    }
    assert!(metrics.contains("sbc_config_last_reload_success 0"));
    assert!(metrics.contains("sbc_config_generation 1"));

    std::fs::write(&path, &good).unwrap();
    let done = node.ask("POST", "/reload").await;
    assert_eq!(done.status, 200, "{}", done.body);
    let metrics = node.ask("GET", "/metrics").await.body;
    assert!(metrics.contains("sbc_config_last_reload_success 1"));
    assert!(metrics.contains("sbc_config_generation 2"));
    node.daemon.shutdown().await;
}

/// What an operator types: exit code, output, errors.
pub(crate) async fn types(node: &Node, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_causeway"));
    command
        .args(arguments)
        .arg("--socket")
        .arg(node.directory.path().join("run/api.sock"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_did_wrong_is_told_in_whole_sentences() {
    let node = Node::start().await;
    let path = node.directory.path().join("causeway.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        good.replace("tenant = \"contoso\"", "tenant = \"nobody\"")
            .replace("tenant = \"fabrikam\"", "tenant = \"noone\""),
    )
    .unwrap();
    let (code, _, errors) = types(&node, &["reload"]).await;
    assert_eq!(code, Some(3), "{errors}");
    let first = errors.lines().next().unwrap();
    assert_eq!(first, "causeway: refused, nothing has changed:");
    let place = path.display().to_string();
    let findings = errors.lines().filter(|line| line.starts_with(&place));
    assert!(findings.count() >= 2, "{errors}");

    for name in ["tcp", "udp"] {
        let renamed = good.replace(
            &format!("name = \"{name}\"\nrealm"),
            "name = \"renamed\"\nrealm",
        );
        std::fs::write(&path, renamed).unwrap();
        let (code, _, errors) = types(&node, &["reload"]).await;
        assert_eq!(code, Some(3), "{errors}");
        let wanted = format!("listener \"{name}\" of this daemon has it");
        assert!(errors.contains(&wanted), "{errors}");
    }

    std::fs::write(&path, good.replacen("[node]", "[node", 1)).unwrap();
    types(&node, &["reload"]).await;
    node.logged("finding=E0001").await;
    let log = node.lines.text();
    let line = log.lines().find(|line| line.contains("E0001")).unwrap();
    assert!(line.contains("help=\"write [name]\""), "{line}");

    for yes in [
        &["call", "hangup", "ffff"][..],
        &["call", "hangup", "ffff", "--yes"],
    ] {
        let (code, _, errors) = types(&node, yes).await;
        assert_eq!(code, Some(5), "{errors}");
        assert!(errors.contains("no call ffff"), "{errors}");
    }
    let (_, told, _) = types(&node, &["call", "list"]).await;
    assert_eq!(told, "no calls in progress\n");
    let (_, told, _) = types(&node, &["call", "recent"]).await;
    assert!(told.starts_with("since the start "), "{told}");
    types(&node, &["drain"]).await;
    let (_, told, _) = types(&node, &["status"]).await;
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[0].starts_with("node ") && lines[0].ends_with(" test"),
        "{told}"
    );
    for wanted in [
        "state              drained: nobody calls it any more and no call is left; stop it, or take new calls again with \
         \"causeway drain --off\"",
        "ready              no: draining: no new calls are taken",
        "                   no: no target of any carrier trunk answers",
    ] {
        assert!(lines.contains(&wanted), "{wanted} is not in\n{told}");
    }
    let (code, _, errors) = types(&node, &["call", "hangup", "nope"]).await;
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("hexadecimal"), "{errors}");
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_node_is_not_ready_and_takes_calls_again_afterwards() {
    let node =
        Node::start_with(|text| text.replace("[[trunk]]\n", "[[trunk]]\noptions = false\n")).await;
    assert_eq!(node.ask("GET", "/readyz").await.status, 200);
    assert_eq!(node.ask("POST", "/drain").await.status, 200);
    let told = node.ask("GET", "/readyz").await;
    assert_eq!(told.status, 503);
    let told: serde_json::Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!(
        told["reasons"][0], "draining: no new calls are taken",
        "{told}"
    );
    assert_eq!(node.ask("GET", "/startupz").await.status, 200);
    // No trunk is one of Teams that is asked by OPTIONS, so nobody has to notice first.
    let state = async || {
        let told = node.ask("GET", "/status").await.body;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told["state"].clone()
    };
    assert_eq!(state().await, "drained");
    assert_eq!(node.ask("POST", "/drain/now").await.status, 200);
    assert_eq!(state().await, "drained");
    // A wish for more time comes too late.
    assert_eq!(node.ask("POST", "/drain").await.status, 200);
    assert_eq!(state().await, "drained");
    assert_eq!(node.ask("POST", "/undrain").await.status, 200);
    assert_eq!(state().await, "active");
    assert_eq!(node.ask("GET", "/readyz").await.status, 200);
    // Who stops does not take that back.
    node.daemon.begin_stop().await;
    let (code, _, told) = types(&node, &["drain", "--off"]).await;
    assert!(code == Some(5) && told.contains("is stopping"), "{told}");
    assert_eq!(node.ask("GET", "/readyz").await.status, 503);
    let status = node.ask("GET", "/status").await.body;
    assert!(status.contains("\"state\":\"stopping\""), "{status}");
    assert_eq!(node.daemon.hang_up_all().await, 0);
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_ready_once_a_peer_of_each_side_has_answered() {
    let peer = Phone::new("127.0.0.2").await;
    let quiet = Phone::new("127.0.0.3").await;
    let node = Node::start_with(|text| {
        let (before, _) = text.split_once("[[trunk]]").unwrap();
        let rest = &text[text.find("[cdr]").unwrap()..];
        let trunk = |name: &str, more: String| {
            format!("[[trunk]]\nname = \"{name}\"\ntenant = \"*\"\nrealm = \"core\"\n{more}\n")
        };
        let targets = |targets: String, from: &str| {
            format!("targets = [{targets}]\naccept_from = [\"{from}\"]\n")
        };
        let answering = targets(
            format!("\"{};udp\", \"{};udp\"", quiet.address, peer.address),
            "127.0.0.2/31",
        );
        let silent = targets(format!("\"{};udp\"", "127.0.0.4:5060"), "127.0.0.4");
        format!(
            "{before}{}{}{rest}",
            trunk("answering", answering),
            trunk("silent", format!("{silent}options = false\n"))
        )
    })
    .await;
    let states = async || {
        let status = node.ask("GET", "/status").await.body;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let peers = status["peers"].as_array().unwrap().clone();
        let text = |peer: &serde_json::Value, key: &str| peer[key].as_str().unwrap().to_owned();
        peers
            .iter()
            .map(|peer| (text(peer, "peer"), text(peer, "state")))
            .collect::<Vec<_>>()
    };
    let row = |peer: &str, state: &str| (peer.to_owned(), state.to_owned());
    assert_eq!(
        states().await,
        [
            row("127.0.0.3", "no answer yet"),
            row("127.0.0.2", "no answer yet"),
            row("127.0.0.4", "not probed"),
        ]
    );
    assert_eq!(node.ask("GET", "/startupz").await.status, 200);
    let (options, ours) = peer.hears("OPTIONS ").await;
    peer.accepts(&options, ours, "").await;
    let deadline = std::time::Instant::now() + PATIENCE;
    while states().await[1].1 != "up" {
        assert!(std::time::Instant::now() < deadline, "{:?}", states().await);
    }
    assert_eq!(node.ask("GET", "/readyz").await.status, 200);
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_which_no_peer_has_answered_yet_is_not_ready() {
    let node = Node::start().await;
    let told = node.ask("GET", "/readyz").await;
    assert_eq!(told.status, 503, "{}", told.body);
    let told: serde_json::Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!(
        told["reasons"],
        serde_json::json!(["no target of any carrier trunk answers"])
    );
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_is_seen_lets_its_registrar_in_and_ends_with_the_node() {
    let registrar = Phone::new("127.0.0.1").await;
    let port = registrar.address.port();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "canary-password\n").unwrap();
    let node = Node::start_with(|text| {
        let (before, _) = text.split_once("[[trunk]]").unwrap();
        let rest = &text[text.find("[cdr]").unwrap()..];
        // No address is written: the resolver says where the registrar is.
        format!(
            "{before}[[trunk]]\nname = \"provider\"\ntenant = \"*\"\nrealm = \"core\"\n\
             options = false\nmode = \"register\"\ntargets = [\"localhost:{port};udp\"]\n\
             digest = {{ username = \"u\", password = {{ file = \"{}\" }}, realms = [\"r\"] }}\n\
             register = {{ aor = \"sip:me@telco.example\" }}\n{rest}",
            secret.path().display()
        )
    })
    .await;
    let stands = async || {
        let status = node.ask("GET", "/status").await.body;
        assert!(!status.contains("canary"), "{status}");
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["registrations"][0]["state"]
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(stands().await.as_deref(), Some("trying"));
    let answers = async |request: &str, to: SocketAddr, start: &str, line: &str| {
        let mut answer = format!("SIP/2.0 {start}\r\n");
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            answer.push_str(&format!("{name}: {}\r\n", header(request, name)));
        }
        answer.push_str(&format!("{line}\r\nContent-Length: 0\r\n\r\n"));
        registrar.send(&answer, to).await;
    };
    let (first, to) = registrar.hears("REGISTER sip:telco.example ").await;
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256";
    answers(&first, to, "401 Unauthorized", challenge).await;
    let second = loop {
        let (next, _) = registrar.hears("REGISTER ").await;
        if next.contains("Authorization: Digest ") {
            break next;
        }
    };
    let contact = format!("Contact: {}", header(&second, "Contact"));
    answers(&second, to, "200 OK", &contact).await;
    let deadline = std::time::Instant::now() + PATIENCE;
    while stands().await.as_deref() != Some("registered") {
        assert!(
            std::time::Instant::now() < deadline,
            "{}",
            node.lines.text()
        );
    }
    node.logged("registered (127.0.0.1:").await;
    let metrics = node.daemon.sinks().metrics.text();
    assert!(metrics.contains("sbc_registration_state{trunk=\"provider\"} 1"));
    let options = format!(
        "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKo\r\n\
         From: <sip:telco.example>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: o\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        registrar.address
    );
    registrar.send(&options, to).await;
    registrar.hears("SIP/2.0 200 ").await;
    node.daemon.begin_stop().await;
    let (last, _) = registrar.hears("REGISTER ").await;
    assert_eq!(header(&last, "Expires"), "0");
    answers(&last, to, "200 OK", "Expires: 0").await;
    node.daemon.wait_for_registrars().await;
    node.daemon.shutdown().await;
    assert!(!node.lines.text().contains("canary"));
}

/// A telephone on the test's side: one socket, and what it says in its one call.
pub(crate) struct Phone {
    socket: UdpSocket,
    pub(crate) address: SocketAddr,
}

impl Phone {
    pub(crate) async fn new(ip: &str) -> Self {
        let socket = UdpSocket::bind((ip, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }

    pub(crate) fn description(&self) -> String {
        let ip = self.address.ip();
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n"
        )
    }

    pub(crate) async fn send(&self, text: &str, to: SocketAddr) {
        self.socket.send_to(text.as_bytes(), to).await.unwrap();
    }

    /// The next message that begins so; others are skipped.
    pub(crate) async fn hears(&self, begin: &str) -> (String, SocketAddr) {
        self.hears_within(begin, PATIENCE).await
    }

    /// As [`Self::hears`], with another patience.
    pub(crate) async fn hears_within(
        &self,
        begin: &str,
        patience: std::time::Duration,
    ) -> (String, SocketAddr) {
        let mut buffer = vec![0; 65_536];
        loop {
            let got = tokio::time::timeout(patience, self.socket.recv_from(&mut buffer)).await;
            let (length, from) = got
                .unwrap_or_else(|_| panic!("no {begin} at {}", self.address))
                .unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with(begin) {
                return (text, from);
            }
        }
    }

    /// Nothing that was sent before waits to be heard.
    pub(crate) fn hears_nothing(&self) {
        let mut buffer = vec![0; 65_536];
        if let Ok(length) = self.socket.try_recv(&mut buffer) {
            panic!("{}", String::from_utf8_lossy(&buffer[..length]));
        }
    }

    /// Answers a request with 200 and, if given, a body.
    pub(crate) async fn accepts(&self, request: &str, to: SocketAddr, body: &str) {
        self.answers("200 OK", request, to, body).await;
    }

    /// Answers a request.
    pub(crate) async fn answers(&self, status: &str, request: &str, to: SocketAddr, body: &str) {
        let mut answer = format!("SIP/2.0 {status}\r\n");
        for line in request.lines().take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or("");
            if matches!(name, "Via" | "From" | "Call-ID" | "CSeq") {
                answer.push_str(&format!("{line}\r\n"));
            } else if name == "To" {
                let tag = if line.contains(";tag=") {
                    ""
                } else {
                    ";tag=callee"
                };
                answer.push_str(&format!("{line}{tag}\r\n"));
            }
        }
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        answer.push_str(&format!(
            "Contact: <sip:{}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        ));
        self.send(&answer, to).await;
    }
}

/// A trunk to somebody else, and all calls of the carrier lead there.
pub(crate) fn exit_to(address: SocketAddr) -> String {
    let ip = address.ip();
    format!(
        "\n[[trunk]]\nname = \"exit\"\ntenant = \"*\"\nrealm = \"core\"\n\
         targets = [\"{address};udp\"]\naccept_from = [\"{ip}\"]\noptions = false\n\n\
         [[route]]\nname = \"out\"\nmatch = {{ from_trunk = \"carrier\" }}\n\
         to = [{{ trunk = \"exit\" }}]\n"
    )
}

pub(crate) fn header<'m>(message: &'m str, name: &str) -> &'m str {
    let begin = format!("{name}: ");
    message
        .lines()
        .find_map(|line| line.strip_prefix(begin.as_str()))
        .unwrap_or_else(|| panic!("no {name} in\n{message}"))
}

/// What the caller says within its dialog, after this answer to its INVITE.
pub(crate) fn within(answer: &str, method: &str, number: u32, from: SocketAddr) -> String {
    let call = header(answer, "Call-ID");
    let target = header(answer, "Contact")
        .trim_start_matches('<')
        .split('>')
        .next()
        .unwrap();
    format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{call}{method};rport\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: {call}\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n",
        header(answer, "From"),
        header(answer, "To"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_a_reload_removed_can_come_back_while_its_calls_go_on() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let port = FreePort::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let late = format!(
        "\n[[listen]]\nname = \"late\"\nrealm = \"core\"\ntransport = \"udp\"\nport = {}\n",
        port.port()
    );
    let node = Node::start_with(|text| text + &exit_to(callee.address) + &late).await;
    let path = node.directory.path().join("causeway.toml");
    let with = std::fs::read_to_string(&path).unwrap();
    let without = with.replace(&late, "");
    let reload = async |text: &str| {
        std::fs::write(&path, text).unwrap();
        let begun = std::time::Instant::now();
        loop {
            let done = node.ask("POST", "/reload").await;
            // While the listener was away, a connection of another program may have got its port.
            let is_taken = done.body.contains("another program uses this port");
            if !is_taken || begun.elapsed() > PATIENCE {
                break assert_eq!(done.status, 200, "{}", done.body);
            }
        }
    };
    let uri = format!("sip:+15550100@{port}");
    let call = async |id: &str| {
        let invite = request("INVITE", &uri, caller.address, &caller.description());
        let invite = invite.replace("test1", id);
        caller.send(&invite, port).await;
        let (request, ours) = callee.hears("INVITE ").await;
        callee.accepts(&request, ours, &callee.description()).await;
        let (answer, from) = caller.hears("SIP/2.0 200").await;
        assert_eq!(from, port, "answered from where it was asked");
        caller
            .send(&within(&answer, "ACK", 1, caller.address), port)
            .await;
        callee.hears("ACK ").await;
        answer
    };
    let hang_up = async |answer: &str| {
        caller
            .send(&within(answer, "BYE", 2, caller.address), port)
            .await;
        let (bye, ours) = callee.hears("BYE ").await;
        callee.accepts(&bye, ours, "").await;
        caller.hears("SIP/2.0 200").await;
    };
    let (first, second) = (call("first").await, call("second").await);
    reload(&without).await;
    hang_up(&first).await;
    reload(&with).await;
    let third = call("third").await;
    hang_up(&second).await;
    hang_up(&third).await;
    reload(&without).await;
    reload(&with).await;
    hang_up(&call("fourth").await).await;
    assert!(
        node.daemon.wait_until_idle(PATIENCE).await,
        "{}",
        node.lines.text()
    );
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_for_live_calls_only_and_no_record_is_lost() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.address)).await;
    let to = node.udp();
    let uri = format!("sip:+15550100@{to}");
    let invite = request("INVITE", &uri, caller.address, &caller.description());
    caller.send(&invite, to).await;
    // Whoever is called says nothing at all, and the caller does not wait for it.
    callee.hears("INVITE ").await;
    assert_eq!(node.daemon.drain(true).await, Some(1));
    let (_, list, _) = types(&node, &["call", "list"]).await;
    let id = list.lines().nth(1).unwrap().split(' ').next().unwrap();
    assert!(list.lines().next().unwrap().ends_with("FOR"), "{list}");
    assert!(list.contains("setup") && list.contains(" s\n"), "{list}");
    // Identifiers of one hour begin alike; their last digits tell them apart.
    let (code, ladder, errors) = types(&node, &["call", "show", &id[26..]]).await;
    assert_eq!(code, Some(0), "{errors}");
    assert!(ladder.contains(id), "{ladder}");
    let (code, _, errors) = types(&node, &["call", "hangup", id]).await;
    assert_eq!(code, Some(5));
    assert!(
        errors.contains("to +15550100") && errors.contains("--yes"),
        "{errors}"
    );
    let cancel = request("CANCEL", &uri, caller.address, "");
    caller.send(&cancel, to).await;
    caller.hears("SIP/2.0 487").await;
    // What was called may still answer and must then be told that it is over: until its INVITE has
    // timed out the call is not forgotten. Nobody has to wait for that.
    assert_eq!(node.daemon.calls_in_progress(), 1);
    assert_eq!(node.daemon.drain(true).await, Some(0));
    let (code, _, errors) = types(&node, &["call", "hangup", id, "--yes"]).await;
    assert_eq!(code, Some(5));
    assert!(errors.contains("has ended"), "{errors}");
    let soon = std::time::Duration::from_secs(10);
    assert!(node.daemon.wait_for_calls(soon).await);
    node.daemon.hang_up_all().await;
    assert_eq!(node.daemon.calls_in_progress(), 0);
    node.daemon.shutdown().await;
    let spool = std::fs::read_to_string(node.directory.path().join("cdr/current.jsonl")).unwrap();
    assert_eq!(spool.lines().count(), 1, "{spool}");
    assert!(spool.contains("cancel"), "{spool}");
}
