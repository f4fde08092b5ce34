//! What is left of calls when the daemon ends without a word (OPS-060, OPS-151).

use crate::daemon::{Phone, configured, exit_to, request, within};
use crate::support::PATIENCE;

use causeway::client::ask;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A daemon in a process of its own, so that it can be killed.
pub(crate) struct Killed(Child);

impl Killed {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Killed {
    /// As `kill -9`.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn told(socket: PathBuf, path: &'static str) -> Option<String> {
    let asked = tokio::task::spawn_blocking(move || ask(&socket, "GET", path));
    let answer = asked.await.unwrap().ok()?;
    (answer.status == 200).then_some(answer.body)
}

/// Starts it and waits until it serves. Another program may have one of its ports for a moment.
pub(crate) async fn started(folder: &Path) -> Killed {
    let deadline = Instant::now() + 3 * PATIENCE;
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(["run", "--config"]);
        command.arg(folder.join("causeway.toml"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Killed(command.spawn().unwrap())
    };
    let mut daemon = start();
    loop {
        if told(folder.join("run/api.sock"), "/startupz")
            .await
            .is_some()
        {
            return daemon;
        }
        assert!(Instant::now() < deadline, "it does not start");
        if daemon.0.try_wait().unwrap().is_some() {
            daemon = start();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The calls of a file, by their identifiers, with what was written of each last.
fn lines(path: &Path, at: &str) -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let values = text.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let record = line.pointer(at)?.clone();
        Some((record["call"].as_str()?.to_owned(), record))
    });
    values.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_that_was_up_has_one_record_after_kill_9() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let (directory, config) = configured(|text| text + &exit_to(callee.address));
    let folder = directory.path();
    let text = std::fs::read_to_string(config).unwrap();
    let port = text.split("name = \"udp\"").nth(1).unwrap();
    let port = port.split("\nport = ").nth(1).unwrap();
    let port = port.lines().next().unwrap().parse::<u16>().unwrap();
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let daemon = started(folder).await;

    let rings = async |id: &str| {
        let invite = request(
            "INVITE",
            &format!("sip:+15550100@{to}"),
            caller.address,
            &caller.description(),
        );
        caller.send(&invite.replace("test1", id), to).await;
        let (request, ours) = callee.hears("INVITE ").await;
        callee.answers("180 Ringing", &request, ours, "").await;
        caller.hears("SIP/2.0 180").await;
        (request, ours)
    };
    let talks = async |id: &str| {
        let (request, ours) = rings(id).await;
        let description = callee.description();
        callee.answers("200 OK", &request, ours, &description).await;
        let (answer, _) = caller.hears("SIP/2.0 200").await;
        let ack = within(&answer, "ACK", 1, caller.address);
        caller.send(&ack, to).await;
        callee.hears("ACK ").await;
        answer
    };
    let over = talks("over").await;
    caller
        .send(&within(&over, "BYE", 2, caller.address), to)
        .await;
    let (bye, ours) = callee.hears("BYE ").await;
    callee.answers("200 OK", &bye, ours, "").await;
    caller.hears("SIP/2.0 200").await;
    for call in 0..5 {
        talks(&format!("talk{call}")).await;
    }
    for call in 0..2 {
        rings(&format!("ring{call}")).await;
    }
    // All of them are on the disk.
    let (journal, spool) = (
        folder.join("cdr/open.journal"),
        folder.join("cdr/current.jsonl"),
    );
    let deadline = Instant::now() + PATIENCE;
    loop {
        let open = lines(&journal, "/open");
        let answered = open.values().filter(|record| record["setup_ms"].is_u64());
        let ids: Vec<&str> = open
            .values()
            .map(|record| record["ingress"]["call_id"].as_str().unwrap())
            .collect();
        let is_there = (0..5).all(|call| ids.contains(&format!("talk{call}").as_str()))
            && (0..2).all(|call| ids.contains(&format!("ring{call}").as_str()));
        if is_there && answered.count() >= 5 && lines(&spool, "").len() == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "{open:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(daemon);

    // However often it ends so.
    for _ in 0..2 {
        let daemon = started(folder).await;
        let found = told(folder.join("run/api.sock"), "/records?limit=1000").await;
        let found: Value = serde_json::from_str(&found.unwrap()).unwrap();
        let records = found["records"].as_array().unwrap();
        let calls: BTreeSet<&str> = records
            .iter()
            .map(|record| record["call"].as_str().unwrap())
            .collect();
        assert_eq!((records.len(), calls.len()), (8, 8), "{records:#?}");
        let count = |code: &str, disposition: &str| {
            let is_so = |record: &&Value| {
                record["cause"]["code"] == code && record["disposition"] == disposition
            };
            records.iter().filter(is_so).count()
        };
        assert_eq!(count("normal_clearing", "answered"), 1);
        assert_eq!(count("restart_lost", "answered"), 5);
        assert_eq!(count("restart_lost", "failed"), 2);
        drop(daemon);
    }
}
