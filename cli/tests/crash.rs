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

/// The calls of a file, by the Call-IDs of their callers, with what was written of each last.
fn by_call_id(path: &Path) -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let values = text.lines().filter_map(|line| {
        let record: Value = serde_json::from_str(line).ok()?;
        let id = record["ingress"]["call_id"].as_str()?.to_owned();
        Some((id, record))
    });
    values.collect()
}

/// Two telephones, and a daemon between them that can be killed.
pub(crate) struct Scene {
    pub(crate) caller: Phone,
    pub(crate) callee: Phone,
    directory: tempfile::TempDir,
    pub(crate) to: SocketAddr,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|text| text).await
    }

    /// As [`Self::new`], with a changed configuration.
    pub(crate) async fn with(change: impl Fn(String) -> String) -> Self {
        let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
        let (directory, config) = configured(|text| change(text + &exit_to(callee.address)));
        let text = std::fs::read_to_string(config).unwrap();
        let port = text.split("name = \"udp\"").nth(1).unwrap();
        let port = port.split("\nport = ").nth(1).unwrap();
        let port = port.lines().next().unwrap().parse::<u16>().unwrap();
        Self {
            caller,
            callee,
            directory,
            to: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// What the journal says of each call, by its Call-ID: what has changed laid over what was known before.
    pub(crate) fn journal(&self) -> BTreeMap<String, Value> {
        let path = self.folder().join("cdr/open.journal");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut calls: BTreeMap<String, Value> = BTreeMap::new();
        for line in text.lines() {
            let Ok(mut line) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            if let Some(call) = line["open"]["call"].as_str().map(str::to_owned) {
                calls.insert(call, line["open"].take());
            } else if let Some(call) = line["change"]["call"].as_str()
                && let Some(known) = calls.get_mut(call)
            {
                let fields = line["change"].as_object().unwrap().clone();
                known.as_object_mut().unwrap().extend(fields);
            }
        }
        let named = calls.into_values().map(|record| {
            let id = record["ingress"]["call_id"].as_str().unwrap().to_owned();
            (id, record)
        });
        named.collect()
    }

    /// Their records, by the Call-IDs.
    pub(crate) fn spool(&self) -> BTreeMap<String, Value> {
        by_call_id(&self.folder().join("cdr/current.jsonl"))
    }

    pub(crate) async fn rings(&self, id: &str) -> (String, SocketAddr) {
        let (caller, callee, to) = (&self.caller, &self.callee, self.to);
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
    }

    pub(crate) async fn talks(&self, id: &str) -> String {
        let (caller, callee) = (&self.caller, &self.callee);
        let (request, ours) = self.rings(id).await;
        let description = callee.description();
        callee.answers("200 OK", &request, ours, &description).await;
        let (answer, _) = caller.hears("SIP/2.0 200").await;
        let ack = within(&answer, "ACK", 1, caller.address);
        caller.send(&ack, self.to).await;
        callee.hears("ACK ").await;
        answer
    }

    /// The caller hangs up a call that was answered so.
    pub(crate) async fn hangs_up(&self, answer: &str) {
        let (caller, callee) = (&self.caller, &self.callee);
        let bye = within(answer, "BYE", 2, caller.address);
        caller.send(&bye, self.to).await;
        let (bye, ours) = callee.hears("BYE ").await;
        callee.answers("200 OK", &bye, ours, "").await;
        caller.hears("SIP/2.0 200").await;
    }

    /// Waits until the disk shows it.
    pub(crate) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{:?}", self.journal());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What a daemon that is started now tells of all calls, once there are so many: those that a crash has ended are
    /// written a moment after it serves.
    async fn records(&self, least: usize) -> Vec<Value> {
        let daemon = started(self.folder()).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = told(self.folder().join("run/api.sock"), "/records?limit=1000").await;
            let found: Value = serde_json::from_str(&found.unwrap()).unwrap();
            let found = found["records"].as_array().unwrap();
            if found.len() >= least {
                drop(daemon);
                return found.clone();
            }
            assert!(Instant::now() < deadline, "{found:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_that_was_up_has_one_record_after_kill_9() {
    let scene = Scene::new().await;
    let daemon = started(scene.folder()).await;
    let over = scene.talks("over").await;
    scene.hangs_up(&over).await;
    for call in 0..5 {
        scene.talks(&format!("talk{call}")).await;
    }
    for call in 0..2 {
        scene.rings(&format!("ring{call}")).await;
    }
    // All of them are on the disk.
    let is_there = |scene: &Scene| {
        let open = scene.journal();
        let is_open = |id: String, answered: bool| {
            let call = open.get(&id);
            call.is_some_and(|call| call["setup_ms"].is_u64() == answered)
        };
        (0..5).all(|call| is_open(format!("talk{call}"), true))
            && (0..2).all(|call| is_open(format!("ring{call}"), false))
            && scene.spool().len() == 1
    };
    scene.until(is_there).await;
    drop(daemon);

    // However often it ends so.
    for _ in 0..2 {
        let records = scene.records(8).await;
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
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_ended_just_before_kill_9_has_its_own_end_and_cause() {
    let scene = Scene::new().await;
    // Media drain for half a second: on a machine that is slower than that it is tried again.
    for round in 0..20 {
        let id = format!("over{round}");
        let daemon = started(scene.folder()).await;
        let answer = scene.talks(&id).await;
        scene.hangs_up(&answer).await;
        let has_ended = |scene: &Scene| {
            let told = scene
                .journal()
                .get(&id)
                .is_some_and(|own| own["end"].is_string());
            told || scene.spool().contains_key(&id)
        };
        scene.until(has_ended).await;
        drop(daemon);
        let journal = scene.journal();
        if scene.spool().contains_key(&id) {
            continue;
        }
        let records = scene.records(round + 1).await;
        let mut own = records.iter().filter(|one| one["ingress"]["call_id"] == id);
        let record = own.next().unwrap();
        assert_eq!(own.next(), None);
        assert_eq!(record["cause"]["code"], "normal_clearing", "{record:#}");
        assert_eq!(record["cause"]["by"], "a");
        assert_eq!(record["disposition"], "answered");
        for what in ["start", "end", "setup_ms", "duration_ms", "billsec"] {
            assert_eq!(record[what], journal[&id][what], "{what}");
        }
        assert_eq!(record["egress"][0]["status"], 200);
        return;
    }
    panic!("every record was written before the daemon could be killed");
}
