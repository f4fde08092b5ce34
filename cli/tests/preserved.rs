//! Calls go on although the daemon is killed and started again, where the media relay is a process of its own (OPS-150).

use crate::crash::{Scene, started, told};
use crate::daemon::{header, request, within};
use crate::relay::{RelayProcess, socket_in};
use crate::support::PATIENCE;

use causeway::client::ask;
use serde_json::Value;
use std::cell::RefCell;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A daemon that can be killed, and the relay that it leaves.
async fn scene() -> (Scene, RelayProcess) {
    let relay: RefCell<Option<RelayProcess>> = RefCell::new(None);
    let scene = Scene::with(|text| {
        let path = socket_in(&text);
        *relay.borrow_mut() = Some(RelayProcess::start(&path));
        format!("{text}\n[media]\nrelay = \"{}\"\n", path.display())
    })
    .await;
    (scene, relay.into_inner().unwrap())
}

async fn metric(scene: &Scene, wanted: &str) {
    let socket = scene.folder().join("run/api.sock");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = told(socket.clone(), "/metrics").await.unwrap_or_default();
        if text.lines().any(|line| line == wanted) {
            return;
        }
        let same = wanted.split('{').next().unwrap();
        let near: Vec<_> = text.lines().filter(|line| line.starts_with(same)).collect();
        assert!(Instant::now() < deadline, "{wanted}: {near:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the relay has what is to be kept of a call: its figures are asked for behind that.
async fn is_kept(scene: &Scene, id: &str) {
    scene.until(|scene| scene.journal().contains_key(id)).await;
    let call = scene.journal()[id]["call"].as_str().unwrap().to_owned();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (socket, path) = (
            scene.folder().join("run/api.sock"),
            format!("/calls/{call}"),
        );
        let asked = tokio::task::spawn_blocking(move || ask(&socket, "GET", &path));
        let answer = asked.await.unwrap().unwrap();
        let shown: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if shown["live"].is_object() {
            return;
        }
        assert!(Instant::now() < deadline, "{}", answer.body);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Where a description wants media.
fn media_of(message: &str) -> SocketAddr {
    let line = message
        .lines()
        .find(|line| line.starts_with("m=audio "))
        .unwrap();
    let port = line.split(' ').nth(1).unwrap().parse().unwrap();
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A telephone's media: speaks every 20 ms, and notes the longest time in which nothing was heard.
struct Voice {
    stops: Arc<AtomicBool>,
    longest_us: Arc<AtomicU64>,
    heard: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Voice {
    fn start(from: UdpSocket, to: SocketAddr, ear: UdpSocket) -> Self {
        let stops = Arc::new(AtomicBool::new(false));
        let longest_us = Arc::new(AtomicU64::new(0));
        let heard = Arc::new(AtomicU64::new(0));
        let ends = Arc::clone(&stops);
        let speaks = move || {
            let mut number = 0_u16;
            let mut due = Instant::now();
            while !ends.load(Ordering::Relaxed) {
                let mut packet = vec![0x80, 8];
                packet.extend_from_slice(&number.to_be_bytes());
                packet.extend_from_slice(&(u32::from(number) * 160).to_be_bytes());
                packet.extend_from_slice(&7_u32.to_be_bytes());
                packet.extend_from_slice(&[0xd5; 160]);
                let _ = from.send_to(&packet, to);
                number = number.wrapping_add(1);
                due += Duration::from_millis(20);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        };
        let (ends, longest, count) = (
            Arc::clone(&stops),
            Arc::clone(&longest_us),
            Arc::clone(&heard),
        );
        let listens = move || {
            let patience = Some(Duration::from_millis(100));
            ear.set_read_timeout(patience).unwrap();
            let (mut buffer, mut last) = ([0; 2_000], None);
            while !ends.load(Ordering::Relaxed) {
                let came = ear.recv(&mut buffer).is_ok();
                let now = Instant::now();
                if let Some(last) = last {
                    let gap = now.duration_since(last);
                    let gap = u64::try_from(gap.as_micros()).unwrap();
                    longest.fetch_max(gap, Ordering::Relaxed);
                }
                if came {
                    last = Some(now);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let threads = vec![std::thread::spawn(speaks), std::thread::spawn(listens)];
        Self {
            stops,
            longest_us,
            heard,
            threads,
        }
    }

    /// Waits until so much more was heard.
    async fn is_heard(&self) {
        let wanted = self.heard.load(Ordering::Relaxed) + 10;
        let deadline = Instant::now() + PATIENCE;
        while self.heard.load(Ordering::Relaxed) < wanted {
            assert!(Instant::now() < deadline, "nothing is heard");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn longest_gap(self) -> Duration {
        self.stops.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        Duration::from_micros(self.longest_us.load(Ordering::Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn established_calls_go_on_although_the_daemon_is_killed() {
    let (scene, relay) = scene().await;
    let daemon = started(scene.folder()).await;
    let (caller, callee, to) = (&scene.caller, &scene.callee, scene.to);
    let first = scene.talks("first").await;
    let second = scene.talks("second").await;
    // A third one rings, and is nobody's who could go on with it.
    scene.rings("third").await;
    metric(&scene, "sbc_media_sessions 3").await;

    is_kept(&scene, "first").await;
    is_kept(&scene, "second").await;
    drop(daemon);
    relay.says("2 sessions wait");
    let daemon = started(scene.folder()).await;
    metric(&scene, "sbc_media_sessions 2").await;
    let active = |dir: &str, trunk: &str, calls: u8| {
        format!(
            "sbc_calls_active{{dir=\"{dir}\",state=\"connected\",tenant=\"contoso\",trunk=\"{trunk}\"}} {calls}"
        )
    };
    metric(&scene, &active("in", "carrier", 2)).await;
    metric(&scene, &active("out", "exit", 2)).await;
    callee.hears_nothing();
    caller.hears_nothing();

    // The caller of the first ends it, and who is called in the second offers again and ends that.
    scene.hangs_up(&first).await;
    metric(&scene, &active("in", "carrier", 1)).await;
    let offer = within(&second, "INVITE", 2, caller.address);
    let body = caller.description();
    let offer = offer.replace(
        "Content-Length: 0\r\n\r\n",
        &format!(
            "Contact: <sip:{}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            caller.address,
            body.len()
        ),
    );
    caller.send(&offer, to).await;
    let (ok, _) = caller.hears("SIP/2.0 200").await;
    assert_eq!(
        media_of(&ok),
        media_of(&second),
        "its media are where they were"
    );
    let ack = within(&second, "ACK", 2, caller.address);
    caller.send(&ack, to).await;
    // Again, from where it was then.
    drop(daemon);
    relay.says("1 sessions wait");
    let daemon = started(scene.folder()).await;
    let bye = within(&second, "BYE", 3, caller.address);
    caller.send(&bye, to).await;
    let (bye, ours) = callee.hears("BYE ").await;
    assert_eq!(header(&bye, "CSeq").split(' ').nth(1), Some("BYE"));
    callee.answers("200 OK", &bye, ours, "").await;
    caller.hears("SIP/2.0 200").await;
    scene.until(|scene| scene.spool().len() == 3).await;
    drop(daemon);
    let spool = scene.spool();
    let code = |id: &str| spool[id]["cause"]["code"].as_str().unwrap().to_owned();
    assert_eq!(code("first"), "normal_clearing");
    assert_eq!(code("second"), "normal_clearing");
    assert_eq!(code("third"), "restart_lost", "nobody could go on with it");
    for id in ["first", "second"] {
        let record = &spool[id];
        assert_eq!(record["disposition"], "answered");
        assert_eq!(record["egress"][0]["status"], 200);
        assert!(record["duration_ms"].as_u64() > Some(0), "{record:#}");
        // The figures of its media are those of all of it.
        assert_eq!(
            record["media"].as_array().map(Vec::len),
            Some(2),
            "{record:#}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_misses_a_word_while_the_daemon_is_gone() {
    let (scene, relay) = scene().await;
    let daemon = started(scene.folder()).await;
    let (caller, callee, to) = (&scene.caller, &scene.callee, scene.to);
    let ear = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mouth = UdpSocket::bind("127.0.0.2:0").unwrap();
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port().to_string();
    let described = |text: String, socket: &UdpSocket| text.replace("40000", &port(socket));
    let description = described(caller.description(), &ear);
    let invite = request(
        "INVITE",
        &format!("sip:+15550100@{to}"),
        caller.address,
        &description,
    );
    caller.send(&invite, to).await;
    let (request, ours) = callee.hears("INVITE ").await;
    let description = described(callee.description(), &mouth);
    callee.answers("200 OK", &request, ours, &description).await;
    let (answer, _) = caller.hears("SIP/2.0 200").await;
    caller
        .send(&within(&answer, "ACK", 1, caller.address), to)
        .await;
    callee.hears("ACK ").await;
    let voice = Voice::start(mouth, media_of(&request), ear);
    voice.is_heard().await;
    is_kept(&scene, "test1").await;
    let mut daemon = Some(daemon);
    for _ in 0..2 {
        drop(daemon.take());
        relay.says("1 sessions wait");
        voice.is_heard().await;
        daemon = Some(started(scene.folder()).await);
        voice.is_heard().await;
    }
    let gap = voice.longest_gap();
    assert!(gap < Duration::from_millis(500), "{gap:?}");
    let bye = within(&answer, "BYE", 2, caller.address);
    caller.send(&bye, to).await;
    let (bye, ours) = callee.hears("BYE ").await;
    callee.answers("200 OK", &bye, ours, "").await;
    caller.hears("SIP/2.0 200").await;
    scene.until(|scene| scene.spool().len() == 1).await;
    let spool = scene.spool();
    let record = &spool["test1"];
    let packets = |own: &Value| own["packets_out"].as_u64().unwrap_or_default();
    let sent: u64 = record["media"]
        .as_array()
        .unwrap()
        .iter()
        .map(packets)
        .sum();
    assert!(sent >= 50, "{record:#}");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_relay_has_gone_as_well_has_its_record_and_no_other() {
    let (scene, relay) = scene().await;
    let daemon = started(scene.folder()).await;
    scene.talks("lost").await;
    is_kept(&scene, "lost").await;
    drop(daemon);
    relay.says("1 sessions wait");
    relay.kill();
    let path = scene.folder().join("media.sock");
    let _next = RelayProcess::start(&path);
    let daemon = started(scene.folder()).await;
    scene.until(|scene| scene.spool().len() == 1).await;
    assert_eq!(scene.spool()["lost"]["cause"]["code"], "restart_lost");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_told_to_end_leaves_its_calls_where_that_is_wanted() {
    let (scene, relay) = scene().await;
    let config = scene.folder().join("causeway.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("\n[media]\n", "\n[media]\nrestart = \"preserve\"\n");
    std::fs::write(&config, text).unwrap();
    let daemon = started(scene.folder()).await;
    let answer = scene.talks("left").await;
    // Nobody could go on with one that rings.
    scene.rings("cut").await;
    let told = std::process::Command::new("kill")
        .args(["-TERM", &daemon.id().to_string()])
        .status();
    assert!(told.unwrap().success());
    let (caller, callee, to) = (&scene.caller, &scene.callee, scene.to);
    let uri = format!("sip:+15550100@{to}");
    let asked =
        |method: &str, id: &str| request(method, &uri, caller.address, "").replace("test1", id);
    let (refused, _) = caller.hears("SIP/2.0 ").await;
    assert_eq!(header(&refused, "Call-ID"), "cut");
    assert!(!refused.starts_with("SIP/2.0 1") && !refused.starts_with("SIP/2.0 2"));
    let ack = asked("ACK", "cut");
    let ack = ack.replace(header(&ack, "To"), header(&refused, "To"));
    caller.send(&ack, to).await;
    let (cancel, ours) = callee.hears("CANCEL ").await;
    // It waits for the answer to that, and takes no new call meanwhile.
    let invite = asked("INVITE", "late");
    caller.send(&invite, to).await;
    let (late, _) = caller.hears("SIP/2.0 503").await;
    assert_eq!(header(&late, "Call-ID"), "late");
    callee.answers("200 OK", &cancel, ours, "").await;
    let cancelled = cancel.replace("CANCEL", "INVITE");
    callee
        .answers("487 Request Terminated", &cancelled, ours, "")
        .await;
    callee.hears("ACK ").await;
    relay.says("1 sessions wait");
    drop(daemon);
    let daemon = started(scene.folder()).await;
    scene.callee.hears_nothing();
    scene.hangs_up(&answer).await;
    scene
        .until(|scene| scene.spool().contains_key("left"))
        .await;
    drop(daemon);
    assert!(scene.spool()["cut"]["end"].is_string());
    assert_eq!(scene.spool()["left"]["cause"]["code"], "normal_clearing");
}

/// OPS-060: it is killed between what it tells the disk of the end of a call and what it tells the relay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_over_on_the_disk_and_not_yet_at_the_relay_has_one_record() {
    let (scene, relay) = scene().await;
    let daemon = started(scene.folder()).await;
    let ids = ["ends", "written", "over"];
    for id in ids {
        scene.talks(id).await;
        is_kept(&scene, id).await;
    }
    drop(daemon);
    relay.says("3 sessions wait");
    let open = scene.journal();
    let ended = |id: &str| {
        let mut record = open[id].clone();
        record["end"] = record["start"].clone();
        record["disposition"] = "answered".into();
        record["cause"] = serde_json::json!({
            "by": "a", "code": "normal_clearing", "status": null, "q850": null, "because": [],
        });
        record
    };
    // One whose media drained, one whose record is written, and one of which the journal says so.
    let append = |name: &str, line: String| {
        let path = scene.folder().join("cdr").join(name);
        let mut text = std::fs::read_to_string(&path).unwrap_or_default();
        text.push_str(&line);
        text.push('\n');
        std::fs::write(path, text).unwrap();
    };
    let drains = serde_json::json!({ "run": 1, "up_ms": 1, "open": ended("ends") });
    append("open.journal", drains.to_string());
    append("current.jsonl", ended("written").to_string());
    append("current.jsonl", ended("over").to_string());
    let over = serde_json::json!({ "end": ended("over")["call"] });
    append("open.journal", over.to_string());

    for round in 0..2 {
        let daemon = started(scene.folder()).await;
        // Who may not have heard it hears it now.
        for phone in [&scene.caller, &scene.callee] {
            for _ in ids.iter().filter(|_| round == 0) {
                let (bye, ours) = phone.hears("BYE ").await;
                phone.answers("200 OK", &bye, ours, "").await;
            }
        }
        metric(&scene, "sbc_media_sessions 0").await;
        scene.until(|scene| scene.spool().len() == 3).await;
        drop(daemon);
    }
    let path = scene.folder().join("cdr/current.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    for id in ids {
        let codes: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|record| record["ingress"]["call_id"] == id)
            .map(|record| record["cause"]["code"].clone())
            .collect();
        assert_eq!(codes, ["normal_clearing"], "{id}");
    }
}

/// OPS-151: what a package asks before it restarts the daemon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_hears_whether_calls_go_on_under_the_relay_that_runs_and_ends_none_by_asking() {
    let (scene, relay) = scene().await;
    let config = scene.folder().join("causeway.toml");
    let keeps = || {
        let asked = std::process::Command::new(env!("CARGO_BIN_EXE_causeway"))
            .args(["media", "keeps", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&asked.stdout).into_owned();
        (asked.status.code(), told)
    };
    let (code, told) = keeps();
    assert_eq!(code, Some(5), "{told}");
    assert!(told.contains("[media] restart is \"end\""), "{told}");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("\n[media]\n", "\n[media]\nrestart = \"preserve\"\n");
    std::fs::write(&config, &text).unwrap();
    // Where no daemon is served there is none to restart, or the file names another relay than it uses.
    let (code, told) = keeps();
    assert_eq!(code, Some(5), "{told}");
    assert!(told.contains("serves no daemon"), "{told}");
    let daemon = started(scene.folder()).await;
    let answer = scene.talks("asked").await;
    // A daemon that starts with these would not get what the relay has.
    let other = text.replace("20000-31999", "20000-31997");
    assert_ne!(other, text);
    std::fs::write(&config, other).unwrap();
    let (code, told) = keeps();
    assert_eq!(code, Some(5), "{told}");
    assert!(told.contains("serves other realms"), "{told}");
    std::fs::write(&config, &text).unwrap();
    let (code, told) = keeps();
    assert_eq!(code, Some(0), "{told}");
    // Whoever does not tell in which form calls are kept may keep them in any.
    let silent = text.replace("/run/api.sock", "/run/other.sock");
    assert_ne!(silent, text);
    std::fs::write(&config, silent).unwrap();
    let (code, told) = keeps();
    assert_eq!(code, Some(5), "{told}");
    assert!(
        told.contains("in which form it keeps them") && told.contains("/run/other.sock"),
        "{told}"
    );
    scene.hangs_up(&answer).await;
    drop(daemon);
    relay.kill();
    let (code, told) = keeps();
    assert_eq!(code, Some(5), "{told}");
    assert!(told.contains("media.sock"), "{told}");
}
