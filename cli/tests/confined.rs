//! What a daemon has taken from itself (SEC-141): each in a process of its own, as nothing of it can be given back.

use crate::crash::{started, told};
use crate::daemon::configured;
use crate::relay::RelayProcess;
use crate::support::{Authority, Lines, write};

use causeway::client::ask;
use causeway::config;
use causeway::daemon::Options;
use causeway::daemon::confine::{self, Held, Plan};
use causeway::sink::log::{Form, Level, Log};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use sbc_core::config::Confinement;
use serde_json::Value;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

/// The word of `[security] confinement` that the process of [`inside`] is to have.
const WORD: &str = "CAUSEWAY_TEST_CONFINEMENT";

/// Whether this kernel can keep files from a process.
fn has_landlock() -> bool {
    let all = fs::read_to_string("/sys/kernel/security/lsm");
    // Where that is not mounted, every newer kernel of a distribution has it.
    all.map_or(true, |all| all.contains("landlock"))
}

/// This file's test [`inside`] with that word, alone in a process of its own.
fn alone(word: &str) {
    alone_in("confined::inside", word);
}

fn alone_in(test: &str, word: &str) {
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(WORD, word)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_confined_process_neither_reads_nor_writes_what_it_does_not_need_nor_runs_programs() {
    alone("on");
}

#[test]
fn a_relay_of_its_own_has_its_socket_and_nothing_of_the_daemon() {
    alone_in("confined::inside_relay", "on");
}

#[test]
fn confinement_that_only_logs_lets_everything_through() {
    alone("log");
}

#[test]
fn confinement_that_is_off_takes_nothing() {
    alone("off");
}

fn runs_a_program() -> io::Result<bool> {
    Command::new("/bin/true").status().map(|how| how.success())
}

fn enters_a_namespace() -> Result<(), Errno> {
    let own = File::open("/proc/self/ns/uts").unwrap();
    // SAFETY is no matter here: it is the one that this process is in.
    move_into_link_name_space(
        own.as_fd(),
        Some(LinkNameSpaceType::HostNameAndNISDomainName),
    )
}

fn is_filtered() -> bool {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    status.contains("Seccomp:\t2")
}

#[test]
#[ignore = "takes from its process what other tests need; those above start it"]
fn inside() {
    let Ok(word) = std::env::var(WORD) else {
        return;
    };
    let (directory, path) =
        configured(|text| format!("{text}\n[security]\nconfinement = \"{word}\"\n"));
    let folder = directory.path();
    let elsewhere = tempfile::tempdir().unwrap();
    write(elsewhere.path(), "other", "x");
    let options = Options {
        config: path.clone(),
        shards: 1,
        state: Some(folder.join("state")),
    };
    let sources = config::read_sources(&path).unwrap();
    let (loaded, noted) = confine::noting(|| config::load(&sources, None).unwrap());
    let was_allowed = enters_a_namespace();
    assert!(runs_a_program().unwrap() && !is_filtered());

    let (log, _) = Log::start(Level::Info, Form::Text, Lines::default()).unwrap();
    Plan::of(&options, &loaded, noted, None).apply(&log);
    let in_force = confine::in_force().unwrap();
    let is_on = word == "on";
    assert_eq!(is_filtered(), word != "off");
    let calls = match word.as_str() {
        "on" => Held::Whole,
        "log" => Held::Logged,
        _ => Held::Open,
    };
    assert_eq!(in_force.calls, calls, "{:?}", in_force.because);
    // Threads that begin from here on are no better off.
    let (program, namespace) = std::thread::spawn(|| (runs_a_program(), enters_a_namespace()))
        .join()
        .unwrap();
    match is_on {
        true => {
            assert_eq!(program.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(namespace, Err(Errno::PERM));
        }
        false => {
            assert!(program.unwrap());
            assert_eq!(namespace, was_allowed);
        }
    }

    let is_confined = matches!(in_force.files, Held::Whole | Held::Partly);
    assert_eq!(
        is_confined,
        is_on && has_landlock(),
        "{:?}",
        in_force.because
    );
    let other = elsewhere.path().join("other");
    let refused = |done: io::Result<()>, is_refused: bool| match done {
        Ok(()) => assert!(!is_refused, "it is not refused"),
        Err(why) => {
            assert_eq!(why.kind(), io::ErrorKind::PermissionDenied);
            assert!(is_refused, "{why}");
        }
    };
    // What it needs.
    let state = folder.join("state");
    fs::create_dir_all(state.join("config")).unwrap();
    fs::write(state.join("config/new"), "x").unwrap();
    fs::rename(state.join("config/new"), state.join("kept")).unwrap();
    fs::remove_file(state.join("kept")).unwrap();
    fs::create_dir_all(folder.join("cdr")).unwrap();
    fs::write(folder.join("cdr/current.jsonl"), "{}").unwrap();
    fs::read(&path).unwrap();
    fs::read_dir(folder).unwrap();
    for system in ["/etc/hosts", "/etc/passwd", "/proc/self/status"] {
        fs::read(system).unwrap();
    }
    // What it does not.
    refused(fs::read(&other).map(drop), is_confined);
    refused(fs::write(&other, "y"), is_confined);
    refused(fs::write(folder.join("causeway.toml"), "y"), is_confined);
    refused(fs::write(folder.join("conf.new"), "y"), is_confined);
    assert_eq!(in_force.hides(&other).is_some(), is_confined);
    assert_eq!(in_force.hides(&folder.join("new.pem")), None);
    assert_eq!(in_force.protects(elsewhere.path()).is_some(), is_confined);
    assert_eq!(in_force.protects(&folder.join("cdr/2")), None);
}

#[test]
#[ignore = "takes from its process what other tests need; one above starts it"]
fn inside_relay() {
    if std::env::var_os(WORD).is_none() {
        return;
    }
    let (own, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(elsewhere.path(), "causeway.toml", "x");
    let socket = own.path().join("media.sock");
    let in_force = Plan::of_relay(Confinement::On, Some(&socket), false).hold();
    assert_eq!(in_force.calls, Held::Whole, "{:?}", in_force.because);
    assert_eq!(
        runs_a_program().unwrap_err().kind(),
        io::ErrorKind::PermissionDenied
    );
    assert_eq!(enters_a_namespace(), Err(Errno::PERM));
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    fs::remove_file(&socket).unwrap();
    drop(listener);
    fs::read("/proc/self/status").unwrap();
    let others = [elsewhere.path().join("causeway.toml"), "/etc/passwd".into()];
    for path in others {
        assert_eq!(fs::read(path).is_err(), has_landlock());
    }
    assert_eq!(
        fs::write(elsewhere.path().join("new"), "x").is_err(),
        has_landlock()
    );
}

#[test]
fn every_thread_of_a_relay_of_its_own_is_confined() {
    let folder = tempfile::tempdir().unwrap();
    let relay = RelayProcess::start(&folder.path().join("media.sock"));
    let threads = fs::read_dir(format!("/proc/{}/task", relay.id())).unwrap();
    for thread in threads {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        assert!(status.contains("Seccomp:\t2"), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_thread_of_a_daemon_is_confined_and_status_says_so() {
    let (directory, _) = configured(|text| text);
    let daemon = started(directory.path()).await;
    let socket = directory.path().join("run/api.sock");
    let status = told(socket, "/status").await.unwrap();
    let status: Value = serde_json::from_str(&status).unwrap();
    let own = &status["confinement"];
    assert_eq!(own["calls"], "confined", "{own}");
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{}/task", daemon.id())).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        assert!(
            status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"),
            "{status}"
        );
        threads += 1;
    }
    assert!(threads > 3, "{threads}");
    if has_landlock() {
        assert_eq!(own["files"], "confined", "{own}");
        assert_eq!(own["because"], serde_json::json!([]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_new_files_beside_old_ones_and_says_to_restart_for_others() {
    let (directory, path) = configured(|text| text);
    let folder = directory.path();
    let elsewhere = tempfile::tempdir().unwrap();
    let authority = Authority::new().pem();
    write(elsewhere.path(), "ca.pem", &authority);
    write(folder, "new.pem", &authority);
    let _daemon = started(folder).await;
    let text = fs::read_to_string(&path).unwrap();
    let socket = folder.join("run/api.sock");
    let reload = async |text: &str| {
        fs::write(&path, text).unwrap();
        let socket = socket.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&socket, "POST", "/reload"));
        asked.await.unwrap().unwrap()
    };
    let before = folder.join("ca.pem").display().to_string();
    assert!(text.contains(&before), "{text}");
    let beside = text.replace(&before, &folder.join("new.pem").display().to_string());
    let done = reload(&beside).await;
    assert_eq!(done.status, 200, "{}", done.body);

    let off = reload(&format!("{text}\n[security]\nconfinement = \"off\"\n")).await;
    assert!(
        off.status >= 400 && off.body.contains("[security]"),
        "{}",
        off.body
    );

    if !has_landlock() {
        return;
    }
    let at = |folder: &Path, name: &str| folder.join(name).display().to_string();
    let outside = text.replace(&before, &at(elsewhere.path(), "ca.pem"));
    let spool = text.replace(&at(folder, "cdr"), &at(elsewhere.path(), "cdr"));
    for wrong in [outside, spool] {
        assert_ne!(wrong, text);
        let refused = reload(&wrong).await;
        assert!(
            refused.status >= 400
                && refused.body.contains("confined itself at its start")
                && refused.body.contains("restart it"),
            "{}",
            refused.body
        );
    }
    let again = reload(&text).await;
    assert_eq!(again.status, 200, "{}", again.body);
}

#[test]
fn units_and_image_run_as_a_user_without_rights() {
    for unit in [
        include_str!("../../systemd/causeway.service"),
        include_str!("../../systemd/causeway-media.service"),
    ] {
        let has = |line: &str| unit.lines().any(|own| own == line);
        for line in [
            "User=causeway",
            "NoNewPrivileges=yes",
            "CapabilityBoundingSet=",
            "AmbientCapabilities=",
            "ProtectSystem=strict",
            "MemoryDenyWriteExecute=yes",
            "SystemCallFilter=@system-service",
            "SystemCallArchitectures=native",
        ] {
            assert!(has(line), "{line}");
        }
        assert!(unit.contains("\nRestrictAddressFamilies="));
    }
    let image = include_str!("../../systemd/Containerfile");
    let last = image.rsplit("\nFROM ").next().unwrap();
    assert!(last.lines().next().unwrap().ends_with(":nonroot"), "{last}");
    assert!(!last.contains("\nUSER "), "{last}");
}

/// Every file of Rust below a folder.
fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn unsafe_code_is_in_the_sockets_of_the_relay_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = Vec::new();
    sources(&root, &mut all);
    let allowing: Vec<String> = all
        .iter()
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            let mut lines = text.lines().map(str::trim_start);
            // In two parts, or this file would be one of them.
            lines.any(|line| {
                line.starts_with(concat!("#![", "allow(unsafe_code"))
                    || line.starts_with(concat!("#[", "allow(unsafe_code"))
            })
        })
        .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    assert!(!allowing.is_empty());
    for path in &allowing {
        assert!(path.starts_with("media-relay/src/io/"), "{path}");
    }
    for crate_root in [
        "sbc-core/src/lib.rs",
        "cli/src/lib.rs",
        "cli/src/main.rs",
        "cli/import/src/lib.rs",
        "cli/notice/src/lib.rs",
        "media-relay/api/src/lib.rs",
        "media-relay/ng/src/lib.rs",
    ] {
        let text = fs::read_to_string(root.join(crate_root)).unwrap();
        assert!(text.contains("\n#![forbid(unsafe_code)]\n"), "{crate_root}");
    }
    let relay = fs::read_to_string(root.join("media-relay/src/lib.rs")).unwrap();
    assert!(relay.contains("\n#![deny(unsafe_code)]\n"));
}

/// SEC-164
#[test]
fn whoever_parses_what_strangers_send_counts_with_checks_in_what_is_shipped() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for crate_name in [
        "causeway",
        "causeway-import",
        "causeway-notice",
        "media-api",
        "media-ng",
        "media-relay",
        "dimpl",
        "hickory-proto",
        "httparse",
        "x509-parser",
        "asn1-rs",
        "der-parser",
    ] {
        let wanted = format!("\n[profile.release.package.{crate_name}]\noverflow-checks = true\n");
        assert!(text.contains(&wanted), "{crate_name}");
    }
    // And nothing of what is shipped takes that back.
    assert!(!text.contains("overflow-checks = false"));
}
