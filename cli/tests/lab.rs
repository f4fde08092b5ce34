//! `causeway lab`: the whole product, with this very binary as the daemon.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Runs the lab with a folder of its own for temporary files.
fn lab(arguments: &[&str]) -> (Output, TempDir, Duration) {
    let temporary = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .arg("lab")
        .args(arguments)
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output, temporary, began.elapsed())
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
    assert!(verdict.starts_with("PASS: 11 of 11 "), "{verdict}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    for wanted in [
        "contoso: carrier → Teams",
        "contoso: Teams → carrier",
        "fabrikam: carrier → Teams",
        "fabrikam: Teams → carrier",
        "who:    the called side refused or failed",
        "the called party is busy with 486",
        "INVITE ─",
        "refused in the handshake",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    let heard = |line: &&str| line.trim_end().ends_with("100 %") && line.contains(" ms ");
    assert_eq!(
        text.lines().filter(heard).count(),
        8,
        "four calls, both ways\n{text}"
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
