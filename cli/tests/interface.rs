//! The operator's interface, as somebody meets it who means no good.

use crate::daemon::configured;
use crate::restart::started;
use crate::support::PATIENCE;

use causeway::client::ask;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// What is answered to octets on a connection of their own, until it is closed or silent.
fn answered(socket: &Path, octets: &[u8]) -> String {
    let mut line = UnixStream::connect(socket).unwrap();
    line.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    // Whoever is cut off in the middle has been answered, too.
    let _ = line.write_all(octets);
    let _ = line.shutdown(std::net::Shutdown::Write);
    let _ = line.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lengths_that_are_none_and_other_protocols_are_refused_and_the_next_request_is_served() {
    let (directory, _) = configured(|text| text);
    let daemon = started(directory.path()).await;
    let socket: PathBuf = directory.path().join("run/api.sock");
    let head = "POST /api/v1/reload HTTP/1.1\r\nHost: x\r\n";
    let mut bad: Vec<Vec<u8>> = ["-1", "+1", "0x1", "4294967296999999999999", "1, 2", "x"]
        .iter()
        .map(|length| format!("{head}Content-Length: {length}\r\n\r\n").into_bytes())
        .collect();
    bad.push(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec());
    bad.push(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec());
    bad.push(b"OPTIONS sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n".to_vec());
    let endless = format!("{head}X: {}\r\n\r\n", "y".repeat(1 << 20));
    bad.push(endless.into_bytes());
    let many = format!("{head}{}\r\n", "X: y\r\n".repeat(10_000));
    bad.push(many.into_bytes());
    let own = socket.clone();
    tokio::task::spawn_blocking(move || {
        for octets in &bad {
            let answer = answered(&own, octets);
            let shown = String::from_utf8_lossy(&octets[..octets.len().min(90)]).into_owned();
            assert!(!answer.contains(" 200 OK"), "{shown:?}: {answer}");
            let next = ask(&own, "GET", "/status").unwrap();
            assert_eq!(next.status, 200, "after {shown:?}");
        }
    })
    .await
    .unwrap();
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_of_the_operator_is_for_its_group_alone() {
    let (directory, _) = configured(|text| text);
    let daemon = started(directory.path()).await;
    let socket = directory.path().join("run/api.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "{mode:o}");
    daemon.shutdown().await;
}

/// Each thread of a process: its name, how much less its priority is than usual, and what it has computed so far, in ticks.
fn threads(process: u32) -> Vec<(String, i64, u64)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let read = tasks.filter_map(|task| {
        // It may have ended.
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (before, after) = stat.rsplit_once(')')?;
        let name = before.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = after.split_whitespace().collect();
        // Fields 14, 15 and 19 of proc(5), of which the third is the first here.
        let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
        let ticks = u64::try_from(number(14)? + number(15)?).ok()?;
        Some((name, number(19)?, ticks))
    });
    read.collect()
}

/// Whether the system lets a thread of this user come before others.
fn may_come_first() -> bool {
    use rustix::process::{getpriority_process, setpriority_process};
    let trying = std::thread::spawn(|| {
        let own = getpriority_process(None).unwrap();
        setpriority_process(None, own - 5).is_ok()
    });
    trying.join().unwrap()
}

/// SEC-153.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_requests_are_served_by_threads_that_give_way_to_those_of_calls() {
    let (directory, _) = configured(|text| text);
    let daemon = crate::crash::started(directory.path()).await;
    let socket: PathBuf = directory.path().join("run/api.sock");
    let deadline = std::time::Instant::now() + 3 * PATIENCE;
    let spent = |name: &str| -> u64 {
        let all = threads(daemon.id());
        all.iter()
            .filter(|(own, ..)| own == name)
            .map(|own| own.2)
            .sum()
    };
    let before = (spent("interface"), spent("io"));
    // The configuration with all its defaults is read and judged anew each time.
    while spent("interface") < before.0 + 30 {
        assert!(
            std::time::Instant::now() < deadline,
            "{:?}",
            threads(daemon.id())
        );
        let own = socket.clone();
        let asking = tokio::task::spawn_blocking(move || {
            for path in ["/config", "/metrics", "/status"] {
                assert_eq!(ask(&own, "GET", path).unwrap().status, 200);
            }
        });
        asking.await.unwrap();
    }
    let others = spent("io") - before.1;
    assert!(others < 15, "{others}: {:?}", threads(daemon.id()));
    let all = threads(daemon.id());
    let usual = all.iter().find(|own| own.0 == "shard-0").unwrap().1;
    for (name, nice, _) in threads(daemon.id()) {
        let lower = match name.as_str() {
            "interface" => 10,
            // Those that transcode give way to those that pass packets on, which come before all else where that is allowed.
            own if own.starts_with("transcode-") => 5,
            own if own.starts_with("media-") => {
                assert_eq!(nice, usual - if may_come_first() { 5 } else { 0 }, "{name}");
                continue;
            }
            _ => 0,
        };
        assert_eq!(nice, (usual + lower).min(19), "{name}");
    }
}
