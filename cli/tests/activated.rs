//! Listeners whose sockets the service manager has opened (sd_listen_fds(3)).

use crate::crash::told;
use crate::daemon::{configured, request};
use crate::support::PATIENCE;

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A daemon that was handed two sockets under these names.
struct Activated(Child);

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As a service manager starts it: the sockets have the numbers from 3 on.
fn activated(folder: &Path, tcp: &TcpListener, udp: &UdpSocket, names: &str) -> Activated {
    let hand =
        "exec 3<&0 4>&1 </dev/null >/dev/null; LISTEN_PID=$$ exec \"$0\" run --config \"$1\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", hand, env!("CARGO_BIN_EXE_causeway")]);
    command.arg(folder.join("causeway.toml"));
    command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", names);
    command.stdin(OwnedFd::from(tcp.try_clone().unwrap()));
    command.stdout(OwnedFd::from(udp.try_clone().unwrap()));
    command.stderr(Stdio::from(
        std::fs::File::create(folder.join("told")).unwrap(),
    ));
    Activated(command.spawn().unwrap())
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("told")).unwrap()
}

async fn serves(folder: &Path, daemon: &mut Activated) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = told(folder.join("run/api.sock"), "/status").await;
        if let Some(status) = status {
            let status: Value = serde_json::from_str(&status).unwrap();
            if status["listeners"][0]["address"].is_string() {
                return status;
            }
        }
        let has_ended = daemon.0.try_wait().unwrap().is_some();
        assert!(!has_ended && Instant::now() < deadline, "{}", log(folder));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A configuration whose listeners "tcp" and "udp" are at these addresses.
fn at(text: &str, tcp: SocketAddr, udp: SocketAddr) -> String {
    let mut text = text.to_owned();
    for (name, address) in [("tcp", tcp), ("udp", udp)] {
        let begin = text
            .find(&format!("[[listen]]\nname = \"{name}\""))
            .unwrap();
        let port = begin + text[begin..].find("\nport = ").unwrap() + "\nport = ".len();
        let end = port + text[port..].find('\n').unwrap();
        text.replace_range(port..end, &address.port().to_string());
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_the_service_manager_are_those_of_their_listeners_by_name_or_by_address() {
    for names in ["tcp:udp", "causeway.socket:causeway.socket"] {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (at_tcp, at_udp) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
        // Whoever connects before there is a daemon waits, and is answered.
        let mut early = TcpStream::connect(at_tcp).unwrap();
        let options = request(
            "OPTIONS",
            &format!("sip:{at_tcp}"),
            early.local_addr().unwrap(),
            "",
        );
        early
            .write_all(options.replace("/UDP ", "/TCP ").as_bytes())
            .unwrap();
        let (directory, _) = configured(|text| at(&text, at_tcp, at_udp));
        let folder = directory.path();
        let mut daemon = activated(folder, &tcp, &udp, names);
        let status = serves(folder, &mut daemon).await;
        for (name, wanted) in [("tcp", at_tcp), ("udp", at_udp)] {
            let listeners = status["listeners"].as_array().unwrap();
            let own = listeners.iter().find(|own| own["name"] == name).unwrap();
            assert_eq!(own["address"], wanted.to_string());
        }
        // Nobody else could have bound them: the sockets are ours.
        early.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = [0; 512];
        let length = early.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with("SIP/2.0 "), "{answer}");
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let options = request(
            "OPTIONS",
            &format!("sip:{at_udp}"),
            peer.local_addr().unwrap(),
            "",
        );
        peer.send_to(options.as_bytes(), at_udp).unwrap();
        let mut answer = [0; 2_048];
        let (length, from) = peer.recv_from(&mut answer).unwrap();
        assert!(from == at_udp && answer[..length].starts_with(b"SIP/2.0 "));
        assert!(!log(folder).contains("no [[listen]]"), "{}", log(folder));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_bound_elsewhere_is_refused_and_one_that_is_nobodys_is_told() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (directory, _) = configured(|text| text);
    let folder = directory.path();
    let mut daemon = activated(folder, &tcp, &udp, "tcp:udp");
    let deadline = Instant::now() + PATIENCE;
    let code = loop {
        if let Some(status) = daemon.0.try_wait().unwrap() {
            break status.code();
        }
        assert!(Instant::now() < deadline, "{}", log(folder));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let told = log(folder);
    assert_eq!(code, Some(1), "{told}");
    let bound = format!("a stream socket at {}", tcp.local_addr().unwrap());
    for wanted in [
        "listener \"tcp\"",
        &bound,
        "listener \"udp\"",
        ".socket unit",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }

    let mut daemon = activated(folder, &tcp, &udp, "else:other");
    serves(folder, &mut daemon).await;
    while !log(folder).contains("no [[listen]] has the name") {
        assert!(Instant::now() < deadline, "{}", log(folder));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
