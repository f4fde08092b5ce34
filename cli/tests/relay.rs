//! The daemon with its media relay in a process of its own: calls, the death of either, words.

use crate::daemon::{Node, Phone, exit_to, request, within};
use crate::support::PATIENCE;

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

/// A relay that dies with the test.
pub(crate) struct RelayProcess {
    child: Child,
    said: Receiver<String>,
}

impl RelayProcess {
    pub(crate) fn start(path: &PathBuf) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_causeway"))
            .args(["media", "--workers", "1", "--socket"])
            .arg(path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        let relay = Self { child, said };
        relay.says("a daemon is awaited");
        relay
    }

    /// Reads until it has said this.
    pub(crate) fn says(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.said.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("the relay never said: {words}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn socket_in(config: &str) -> PathBuf {
    let line = config
        .lines()
        .find_map(|line| line.strip_prefix("unix = \""));
    let api = PathBuf::from(line.unwrap().trim_end_matches('"'));
    api.parent().unwrap().with_file_name("media.sock")
}

/// A node whose media are relayed by a process that is started with it.
async fn node(callee: &Phone) -> (Node, RelayProcess, PathBuf) {
    let started: RefCell<Option<(RelayProcess, PathBuf)>> = RefCell::new(None);
    let node = Node::start_with(|text| {
        let path = socket_in(&text);
        *started.borrow_mut() = Some((RelayProcess::start(&path), path.clone()));
        format!(
            "{text}{}\n[media]\nrelay = \"{}\"\n",
            exit_to(callee.address),
            path.display()
        )
    })
    .await;
    let (relay, path) = started.into_inner().unwrap();
    (node, relay, path)
}

/// A call that both sides have accepted: the answer that the caller has got.
async fn call(node: &Node, caller: &Phone, callee: &Phone, id: &str) -> String {
    let uri = format!("sip:+15550100@{}", node.udp());
    let invite = request("INVITE", &uri, caller.address, &caller.description());
    caller.send(&invite.replace("test1", id), node.udp()).await;
    let (request, ours) = callee.hears("INVITE ").await;
    callee
        .answers("200 OK", &request, ours, &callee.description())
        .await;
    let (answer, _) = caller.hears("SIP/2.0 200").await;
    let ack = within(&answer, "ACK", 1, caller.address);
    caller.send(&ack, node.udp()).await;
    callee.hears("ACK ").await;
    answer
}

/// Waits until the interface says so.
async fn becomes(node: &Node, path: &str, wanted: impl Fn(u16, &str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = node.ask("GET", path).await;
        if wanted(answer.status, &answer.body) {
            return answer.body;
        }
        let now = Instant::now();
        assert!(now < deadline, "{path}: {} {}", answer.status, answer.body);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Waits for a line of the metrics.
async fn metric(node: &Node, wanted: &str) {
    becomes(node, "/metrics", |_, body| {
        body.lines().any(|line| line == wanted)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_with_the_relay_that_was_killed_and_the_next_relay_carries_the_next_call() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let (node, relay, path) = node(&callee).await;
    relay.says("media of");
    // OPS-190: it has the bound of descriptors of whoever has started it.
    let bound = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let calls = bound.map_or_else(
        || "any".to_owned(),
        |most| (most.saturating_sub(1_024) / 4).to_string(),
    );
    node.logged(&format!(" by_descriptors={calls} ")).await;
    let served = node.ask("GET", "/media").await.body;
    assert!(served.contains("\"socket\""), "{served}");
    let answer = call(&node, &caller, &callee, "first").await;
    // The ports are those of the other process.
    let line = answer
        .lines()
        .find(|line| line.starts_with("m=audio "))
        .unwrap();
    let port: u16 = line.split(' ').nth(1).unwrap().parse().unwrap();
    std::net::UdpSocket::bind(("127.0.0.1", port)).expect_err("it is open");
    metric(&node, "sbc_media_sessions 1").await;
    metric(&node, "sbc_media_relay_up 1").await;

    relay.kill();
    for phone in [&caller, &callee] {
        let (bye, ours) = phone.hears("BYE ").await;
        assert!(bye.contains("Reason: Q.850;cause=41"), "{bye}");
        phone.answers("200 OK", &bye, ours, "").await;
    }
    let record = becomes(&node, "/calls/recent", |_, body| body.contains("\"cause\"")).await;
    assert!(record.contains("media relay ended"), "{record}");
    assert!(record.contains("media_unavailable"), "{record}");
    // First that its process has ended, and what to look at once nobody has answered there.
    becomes(&node, "/readyz", |status, body| {
        status == 503
            && body.contains("is not there")
            && body.contains("is causeway-media running?")
    })
    .await;
    assert_eq!(
        node.ask("GET", "/healthz").await.status,
        200,
        "it need not be restarted"
    );
    let served = node.ask("GET", "/media").await.body;
    assert!(
        served.contains("\"none\"") && served.contains("is not there"),
        "{served}"
    );
    metric(&node, "sbc_media_relay_up 0").await;
    metric(&node, "sbc_media_relays_lost_total 1").await;
    metric(&node, "sbc_media_sessions 0").await;
    // Without a relay a call is refused at once, with words, and nobody else hears of it.
    let uri = format!("sip:+15550100@{}", node.udp());
    let invite = request("INVITE", &uri, caller.address, &caller.description());
    caller
        .send(&invite.replace("test1", "second"), node.udp())
        .await;
    caller.hears("SIP/2.0 503").await;
    callee.hears_nothing();
    let refused = becomes(&node, "/calls/recent", |_, body| {
        body.matches("\"cause\"").count() == 2
    });
    assert!(refused.await.contains("unavailable"));

    let relay = RelayProcess::start(&path);
    relay.says("media of");
    becomes(&node, "/readyz", |_, body| !body.contains("is not there")).await;
    let answer = call(&node, &caller, &callee, "third").await;
    let bye = within(&answer, "BYE", 2, caller.address);
    caller.send(&bye, node.udp()).await;
    let (bye, ours) = callee.hears("BYE ").await;
    callee.answers("200 OK", &bye, ours, "").await;
    caller.hears("SIP/2.0 200").await;
    // A recording of a reload reaches it as well, and a stopped daemon leaves it for the next one.
    assert_eq!(node.ask("POST", "/reload").await.status, 200);
    node.daemon.shutdown().await;
    relay.says("its sessions have ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_killed_leaves_the_relay_without_sessions() {
    let callee = Phone::new("127.0.0.2").await;
    let (node, relay, path) = node(&callee).await;
    relay.says("media of");
    // Whoever has it still, as its metrics do, does not keep the relay.
    node.daemon.shutdown().await;
    relay.says("its sessions have ended");
    // The daemon as a process that gets no chance to say goodbye.
    let config = node.directory.path().join("causeway.toml");
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(["run", "--config"])
        .arg(&config)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    relay.says("media of");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let said = relay.says("its sessions have ended");
    assert!(
        said.contains(&format!("daemon, process {}", daemon.id())),
        "{said}"
    );
    assert!(path.exists());
}

#[test]
fn what_does_not_go_together_is_told() {
    let run = |arguments: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_causeway"))
            .arg("media")
            .args(arguments)
            .output()
            .unwrap();
        (
            done.status.code(),
            String::from_utf8_lossy(&done.stderr).into_owned(),
        )
    };
    let (code, why) = run(&["--socket", "/tmp/x.sock", "--ng", "127.0.0.1:0"]);
    assert!(
        code == Some(2) && why.contains("cannot be used with"),
        "{code:?} {why}"
    );
    let (code, why) = run(&["--socket", "/nonexistent/media.sock"]);
    assert!(
        code == Some(1) && why.contains("its directory must exist"),
        "{code:?} {why}"
    );
    let (code, why) = run(&["--ng", "127.0.0.1:0"]);
    assert!(
        code == Some(2) && why.contains("--address"),
        "{code:?} {why}"
    );
}
