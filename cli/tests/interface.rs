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
