//! How calls end that have to: after a drain with a time, after SIGTERM, and with a trunk that is gone (OPS-121, OPS-130).

use crate::daemon::{Node, Phone, configured, exit_to, header, request, types, within};
use crate::support::PATIENCE;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Sets a call up; both sides talk. The answer to the caller, and what the other one was called by.
pub(crate) async fn talks(caller: &Phone, callee: &Phone, to: SocketAddr) -> (String, String) {
    let uri = format!("sip:+15550100@{to}");
    let invite = request("INVITE", &uri, caller.address, &caller.description());
    caller.send(&invite, to).await;
    let (invite, ours) = callee.hears("INVITE ").await;
    let description = callee.description();
    callee.answers("200 OK", &invite, ours, &description).await;
    let (answer, _) = caller.hears("SIP/2.0 200").await;
    let ack = within(&answer, "ACK", 1, caller.address);
    caller.send(&ack, to).await;
    callee.hears("ACK ").await;
    (answer, invite)
}

/// We end the call at both sides.
async fn both_hear_bye(caller: &Phone, callee: &Phone) {
    for phone in [caller, callee] {
        let (bye, ours) = phone.hears("BYE ").await;
        phone.answers("200 OK", &bye, ours, "").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_calls_when_its_time_is_over_unless_it_is_taken_back() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.address)).await;
    talks(&caller, &callee, node.udp()).await;
    let left = async || {
        let status = node.ask("GET", "/status").await.body;
        let status: Value = serde_json::from_str(&status).unwrap();
        status["calls_end_seconds"].as_u64()
    };
    let (code, _, errors) = types(&node, &["drain", "--timeout", "1h"]).await;
    assert!(code == Some(5) && errors.contains("--yes"), "{errors}");
    let (code, told, errors) = types(&node, &["drain", "--timeout", "1h", "--yes"]).await;
    assert_eq!(code, Some(0), "{errors}");
    assert!(told.contains("calls that are left end in 1 h"), "{told}");
    assert!(left().await.is_some_and(|seconds| seconds > 3_500));
    let (_, told, _) = types(&node, &["status"]).await;
    assert!(told.contains("but those for help"), "{told}");
    types(&node, &["drain", "--off"]).await;
    assert_eq!(left().await, None);
    for wrong in ["0", "86401", "x"] {
        let answer = node.ask("POST", &format!("/drain?timeout={wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
    assert_eq!(node.daemon.live_calls().await, Some(1));
    types(&node, &["drain", "--timeout", "1s", "--yes"]).await;
    both_hear_bye(&caller, &callee).await;
    assert!(node.daemon.wait_until_idle(PATIENCE).await);
    node.logged("drained: the time that the drain gave calls is over")
        .await;
    assert!(node.daemon.is_drained().await);
    node.daemon.shutdown().await;
    let spool = std::fs::read_to_string(node.directory.path().join("cdr/current.jsonl")).unwrap();
    assert!(spool.contains("the time that the drain gave it"), "{spool}");
}

/// Takes the trunk to the callee out of the file.
fn without_exit(node: &Node) {
    let path = node.directory.path().join("causeway.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (without, _) = text.split_once("\n[[trunk]]\nname = \"exit\"").unwrap();
    std::fs::write(&path, without).unwrap();
}

async fn reload_without_exit(node: &Node) {
    without_exit(node);
    let done = node.ask("POST", "/reload").await;
    assert_eq!(done.status, 200, "{}", done.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peer_of_a_trunk_that_is_removed_ends_its_call_and_begins_none() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.address)).await;
    let to = node.udp();
    let (_, invite) = talks(&caller, &callee, to).await;
    reload_without_exit(&node).await;
    let options = request("OPTIONS", &format!("sip:{to}"), callee.address, "");
    callee.send(&options, to).await;
    let of = |name: &str| header(&invite, name);
    let target = of("Contact").trim_matches(['<', '>']);
    let bye = format!(
        "BYE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKcallee;rport\r\n\
         From: {};tag=callee\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n",
        callee.address,
        of("To"),
        of("From"),
        of("Call-ID"),
    );
    callee.send(&bye, to).await;
    let (answer, _) = callee.hears("SIP/2.0 ").await;
    assert!(
        answer.starts_with("SIP/2.0 200") && answer.contains("1 BYE"),
        "{answer}"
    );
    let (bye, ours) = caller.hears("BYE ").await;
    caller.answers("200 OK", &bye, ours, "").await;
    assert!(node.daemon.wait_until_idle(PATIENCE).await);
    callee.hears_nothing();
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_is_removed_takes_its_calls_along_if_it_says_so() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let exit = exit_to(callee.address);
    let node = Node::start_with(|text| {
        text + &exit.replace("name = \"exit\"", "name = \"exit\"\non_remove = \"kill\"")
    })
    .await;
    talks(&caller, &callee, node.udp()).await;
    without_exit(&node);
    let (code, _, errors) = types(&node, &["reload"]).await;
    let asked =
        "this ends 1 call of trunk \"exit\", removed with on_remove = \"kill\"; repeat with --yes";
    assert!(code == Some(5) && errors.contains(asked), "{errors}");
    let answer = node.ask("POST", "/reload?spare_calls=true").await;
    assert_eq!(answer.status, 428, "{}", answer.body);
    callee.hears_nothing();
    let (code, told, errors) = types(&node, &["reload", "--yes"]).await;
    assert!(code == Some(0) && told.contains("is in use"), "{errors}");
    both_hear_bye(&caller, &callee).await;
    assert!(node.daemon.wait_until_idle(PATIENCE).await);
    // Nothing is left to end.
    let (code, _, errors) = types(&node, &["reload"]).await;
    assert_eq!(code, Some(0), "{errors}");
    node.daemon.shutdown().await;
}

/// A daemon in a process of its own, with a service manager that listens.
struct Service {
    process: Child,
    manager: UnixDatagram,
    told: String,
}

impl Service {
    /// Starts it and waits until it serves. Another program may have one of its ports for a moment.
    fn start(folder: &Path) -> Self {
        let place = folder.join("notify");
        let manager = UnixDatagram::bind(&place).unwrap();
        let moment = Duration::from_millis(20);
        manager.set_read_timeout(Some(moment)).unwrap();
        let mut service = Self {
            process: Self::process(folder),
            manager,
            told: String::new(),
        };
        service.serves(folder);
        service
    }

    fn process(folder: &Path) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(["run", "--config"]);
        command.arg(folder.join("causeway.toml"));
        command.env("NOTIFY_SOCKET", folder.join("notify"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Waits until it serves, and starts it again while it cannot.
    fn serves(&mut self, folder: &Path) {
        let deadline = Instant::now() + 3 * PATIENCE;
        while !self.tells("READY=1") {
            assert!(Instant::now() < deadline, "{}", self.told);
            if self.process.try_wait().unwrap().is_some() {
                self.process = Self::process(folder);
            }
        }
    }

    /// Starts it again, as the unit has the manager do.
    fn again(&mut self, folder: &Path) {
        self.told.clear();
        self.process = Self::process(folder);
        self.serves(folder);
    }

    /// Whether the manager is told this, before the process ends or patience does.
    fn tells(&mut self, wanted: &str) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 4_096];
        while !self.told.contains(wanted) {
            let has_ended = self.process.try_wait().unwrap().is_some();
            match self.manager.recv(&mut buffer) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&buffer[..length]);
                    self.told.push_str(&text);
                }
                Err(_) if has_ended || Instant::now() > deadline => return false,
                Err(_) => {}
            }
        }
        true
    }

    fn terminate(&self) {
        let process = i32::try_from(self.process.id()).unwrap();
        kill_process(Pid::from_raw(process).unwrap(), Signal::TERM).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The port of the listener for datagrams.
fn udp_port(text: &str) -> SocketAddr {
    let rest = text.split("name = \"udp\"").nth(1).unwrap();
    let port = rest.split("\nport = ").nth(1).unwrap();
    let port = port.lines().next().unwrap().parse().unwrap();
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_gives_calls_the_time_that_is_written_and_has_the_manager_wait() {
    // A second one, or no time at all, ends them at once.
    for (written, signals) in [("1s", 1), ("30m", 2), ("0s", 1)] {
        let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
        let (directory, config) = configured(|text| {
            format!(
                "{text}\n[drain]\non_sigterm = \"{written}\"\n{}",
                exit_to(callee.address)
            )
        });
        let to = udp_port(&std::fs::read_to_string(config).unwrap());
        let folder = directory.path().to_owned();
        let started = tokio::task::spawn_blocking(move || Service::start(&folder));
        let mut service = started.await.unwrap();
        talks(&caller, &callee, to).await;
        let begun = Instant::now();
        for _ in 0..signals {
            service.terminate();
            let told = tokio::task::spawn_blocking(move || {
                // Who waits for nobody needs no more time.
                let wanted = match written {
                    "0s" => "STOPPING=1",
                    _ => "EXTEND_TIMEOUT_USEC=60000000",
                };
                let is_told = service.tells(wanted);
                (service, is_told)
            });
            let is_told;
            (service, is_told) = told.await.unwrap();
            assert!(is_told, "{}", service.told);
        }
        both_hear_bye(&caller, &callee).await;
        let took = begun.elapsed();
        assert!(written != "1s" || took.as_secs() >= 1, "{took:?}");
        let ended = tokio::task::spawn_blocking(move || service.exit_code());
        assert_eq!(ended.await.unwrap(), Some(0), "{written}");
        let spool = std::fs::read_to_string(directory.path().join("cdr/current.jsonl")).unwrap();
        assert_eq!(spool.lines().count(), 1, "{spool}");
        assert!(spool.contains("the node is stopping"), "{spool}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_restart_ends_calls_in_time_and_has_the_manager_start_the_daemon_anew() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let (directory, config) = configured(|text| text + &exit_to(callee.address));
    let to = udp_port(&std::fs::read_to_string(config).unwrap());
    let folder = directory.path().to_owned();
    let started = tokio::task::spawn_blocking(move || Service::start(&folder));
    let mut service = started.await.unwrap();
    talks(&caller, &callee, to).await;
    let socket = directory.path().join("run/api.sock");
    let restart = move |more: &'static [&'static str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command
            .arg("restart")
            .args(more)
            .arg("--socket")
            .arg(&socket);
        tokio::task::spawn_blocking(move || {
            let done = command.output().unwrap();
            let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
            (done.status.code(), text(done.stdout), text(done.stderr))
        })
    };
    let (code, _, errors) = restart(&["--yes"]).await.unwrap();
    assert!(code == Some(2) && errors.contains("--graceful"), "{errors}");
    let (code, _, errors) = restart(&["--graceful"]).await.unwrap();
    assert!(
        code == Some(5) && errors.contains("repeat with --yes"),
        "{errors}"
    );
    let restarted = restart(&["--graceful", "--now", "--timeout", "2s", "--yes"]);
    both_hear_bye(&caller, &callee).await;
    let folder = directory.path().to_owned();
    let started = tokio::task::spawn_blocking(move || {
        assert_eq!(service.exit_code(), Some(75));
        service.again(&folder);
        service
    });
    let _service = started.await.unwrap();
    let (code, told, errors) = restarted.await.unwrap();
    assert_eq!(code, Some(0), "{errors}");
    assert!(told.starts_with("started anew: version "), "{told}");
    assert!(errors.contains("draining, 1 calls left"), "{errors}");
    let unit = include_str!("../../systemd/causeway.service");
    for line in ["\nSuccessExitStatus=75\n", "\nRestartForceExitStatus=75\n"] {
        assert!(unit.contains(line), "{line}");
    }
    let spool = std::fs::read_to_string(directory.path().join("cdr/current.jsonl")).unwrap();
    assert!(spool.contains("the time that the drain gave it"), "{spool}");
}

/// A configuration without the trunks of Teams.
fn without_teams(text: &str) -> String {
    let (before, rest) = text
        .split_once("[[trunk]]\nname = \"teams-contoso\"")
        .unwrap();
    let (_, carrier) = rest.split_once("[[trunk]]\nname = \"carrier\"").unwrap();
    format!("{before}[[trunk]]\nname = \"carrier\"{carrier}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_restart_without_teams_and_calls_waits_for_nothing() {
    let (directory, _) = configured(|text| without_teams(&text));
    let folder = directory.path().to_owned();
    let started = tokio::task::spawn_blocking(move || Service::start(&folder));
    let mut service = started.await.unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
    command.args(["restart", "--graceful", "--no-wait", "--yes", "--socket"]);
    command.arg(directory.path().join("run/api.sock"));
    let ended = tokio::task::spawn_blocking(move || {
        let done = command.output().unwrap();
        // Its patience is far shorter than the time that Teams would be given.
        (done, service.exit_code())
    });
    let (done, code) = ended.await.unwrap();
    assert!(done.status.success(), "{done:?}");
    assert_eq!(code, Some(75));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_nobody_would_start_again_is_not_restarted() {
    let node = Node::start().await;
    let (code, _, errors) = types(&node, &["restart", "--graceful", "--yes"]).await;
    assert!(
        code == Some(5) && errors.contains("no service manager"),
        "{errors}"
    );
    assert!(!node.daemon.is_draining());
    let path = node.directory.path().join("causeway.toml");
    std::fs::write(&path, "[node]\nid = 3\n").unwrap();
    let (code, _, errors) = types(&node, &["restart", "--graceful", "--yes"]).await;
    assert_eq!(code, Some(3), "{errors}");
    node.daemon.shutdown().await;
}
