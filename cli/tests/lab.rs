//! `causeway lab`: the whole product, with this very binary as the daemon.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Runs the lab with a folder of its own for temporary files.
fn lab(arguments: &[&str]) -> (Output, TempDir, Duration) {
    let temporary = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let output = lab_in(temporary.path(), arguments);
    (output, temporary, began.elapsed())
}

fn lab_in(temporary: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_causeway"))
        .arg("lab")
        .args(arguments)
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn left_behind(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The daemon's process as the lab printed it.
fn daemon(text: &str) -> u32 {
    let line = text.lines().find(|line| line.contains(", process "));
    let line = line.unwrap_or_else(|| panic!("no daemon in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn is_alive(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

#[test]
fn a_lab_calls_both_ways_for_both_tenants_and_leaves_nothing_behind() {
    let (output, temporary, took) = lab(&["--once"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}\n{errors}");
    let verdict = text
        .lines()
        .find(|line| line.starts_with("PASS: "))
        .unwrap();
    assert!(verdict.starts_with("PASS: 15 of 15 "), "{verdict}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    for wanted in [
        "contoso: carrier → Teams",
        "contoso: Teams → carrier",
        "fabrikam: carrier → Teams",
        "fabrikam: Teams → carrier",
        "fabrikam: carrier → Teams with media bypass, the client nominates",
        "fabrikam: Teams → carrier with media bypass, then to another client",
        "who:    the called side refused or failed",
        "the called party is busy (486 Busy Here",
        "INVITE ─",
        "refused in the handshake",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    let heard = |line: &&str| line.trim_end().ends_with("100 %") && line.contains(" ms ");
    assert_eq!(
        text.lines().filter(heard).count(),
        15,
        "four calls both ways, an echo, and three times a client with media bypass\n{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colours outside of a terminal");
    assert!(!is_alive(daemon(&text)), "the daemon has ended");
    assert_eq!(left_behind(temporary.path()), Vec::<PathBuf>::new());
}

#[test]
fn labs_run_side_by_side() {
    let others: Vec<_> = (0..2)
        .map(|_| std::thread::spawn(|| lab(&["--once"]).0))
        .collect();
    for other in others {
        let output = other.join().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{text}");
    }
}

#[test]
fn a_lab_stays_until_it_is_told_to_end_and_takes_calls_of_others() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(["lab", "--expose", "127.0.0.1"])
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut text = String::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        text.push_str(&line);
        text.push('\n');
        if line.starts_with("Ctrl-C") {
            break;
        }
    }
    let command = text.lines().find(|line| line.contains("sipp -sn uac"));
    let words: Vec<&str> = command.unwrap_or(&text).split_whitespace().collect();
    let (to, called) = (words.last().unwrap(), words[6]);

    // What SIPp would do, as far as the answer.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let from = socket.local_addr().unwrap();
    let body = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {} RTP/AVP 0\r\n",
        from.port()
    );
    let invite = format!(
        "INVITE sip:{called}@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKx\r\n\
         From: <sip:sipp@{from}>;tag=1\r\nTo: <sip:{called}@{to}>\r\nCall-ID: x@{from}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:sipp@{from}>\r\nMax-Forwards: 70\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.send_to(invite.as_bytes(), to).unwrap();
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).unwrap();
        let answer = String::from_utf8_lossy(&buffer[..length]);
        if answer.starts_with("SIP/2.0 200") {
            break;
        }
        assert!(answer.starts_with("SIP/2.0 1"), "{answer}");
    }

    // With a call in progress: that must not keep anything alive.
    let process = child.id().to_string();
    assert!(
        Command::new("kill")
            .arg(process)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}");
    assert!(!is_alive(daemon(&text)), "the daemon has ended");
    assert_eq!(left_behind(temporary.path()), Vec::<PathBuf>::new());
}

/// Waits for a condition that comes soon.
fn comes_true(what: &str, is_true: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_true() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running lab, and what it has printed so far. It could not print on without the reader.
struct Running {
    child: Child,
    text: String,
    _output: BufReader<ChildStdout>,
}

impl Running {
    /// As a signal does that nobody can catch.
    fn is_killed(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Starts a lab and reads its output up to the line that begins so.
fn started(temporary: &Path, arguments: &[&str], until: &str) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .arg("lab")
        .args(arguments)
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    while !text.lines().any(|line| line.starts_with(until)) {
        assert_ne!(output.read_line(&mut text).unwrap(), 0, "it ended:\n{text}");
    }
    Running {
        child,
        text,
        _output: output,
    }
}

#[test]
fn a_lab_that_is_killed_takes_its_daemon_and_its_folder_with_it() {
    let temporary = tempfile::tempdir().unwrap();
    let mut lab = started(temporary.path(), &[], "  OPTIONS ");
    let daemon = daemon(&lab.text);
    assert!(is_alive(daemon));
    lab.is_killed();
    comes_true("the daemon ends", || !is_alive(daemon));
    assert_eq!(left_behind(temporary.path()), Vec::<PathBuf>::new());
}

#[test]
fn the_folder_of_a_lab_that_was_killed_is_kept_if_that_was_wished() {
    let temporary = tempfile::tempdir().unwrap();
    let mut lab = started(temporary.path(), &["--keep"], "  OPTIONS ");
    let daemon = daemon(&lab.text);
    lab.is_killed();
    comes_true("the daemon ends", || !is_alive(daemon));
    let folders = left_behind(temporary.path());
    assert_eq!(folders.len(), 1, "{folders:?}");
    assert!(folders[0].join("causeway.log").exists());
    // A later lab cleans up after those that could not, which this one is none of.
    assert_eq!(lab_in(temporary.path(), &["--once"]).status.code(), Some(0));
    assert_eq!(left_behind(temporary.path()), folders);
}

#[test]
fn a_lab_cleans_up_after_one_that_was_killed_with_its_daemon() {
    let temporary = tempfile::tempdir().unwrap();
    let mut lab = started(temporary.path(), &[], "  OPTIONS ");
    let daemon = daemon(&lab.text);
    kill("-STOP", daemon);
    lab.is_killed();
    kill("-KILL", daemon);
    comes_true("the daemon ends", || !is_alive(daemon));
    assert_eq!(left_behind(temporary.path()).len(), 1);
    assert_eq!(lab_in(temporary.path(), &["--once"]).status.code(), Some(0));
    assert_eq!(left_behind(temporary.path()), Vec::<PathBuf>::new());
}

fn kill(signal: &str, process: u32) {
    let killed = Command::new("kill")
        .args([signal, &process.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
}

#[test]
fn a_temporary_folder_may_have_quotes_in_its_name_but_no_endless_one() {
    let temporary = tempfile::tempdir().unwrap();
    let quoted = temporary.path().join("a \"b\" 'c' \\d");
    std::fs::create_dir(&quoted).unwrap();
    let output = lab_in(&quoted, &["--once"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert_eq!(left_behind(&quoted), Vec::<PathBuf>::new());

    let long = temporary.path().join("x".repeat(90));
    std::fs::create_dir(&long).unwrap();
    let output = lab_in(&long, &["--once"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("too long for a socket") && errors.contains("TMPDIR"),
        "{errors}"
    );
    assert_eq!(left_behind(&long), Vec::<PathBuf>::new());
}

#[test]
fn an_address_that_this_machine_does_not_have_is_named() {
    let (output, temporary, _) = lab(&["--expose", "192.0.2.77"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("192.0.2.77:0") && errors.contains("--expose"),
        "{errors}"
    );
    assert_eq!(left_behind(temporary.path()), Vec::<PathBuf>::new());
}
