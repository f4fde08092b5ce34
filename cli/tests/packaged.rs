//! The scripts of the Debian package: what they do to calls on an upgrade and a removal, with the programs they start played
//! by others (OPS-151). The suite `package` of conformance/interop installs the package for real.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// How the machine is found.
#[derive(Clone, Copy)]
struct Found {
    /// Whether the relay has a process of its own.
    has_relay: bool,
    /// Whether `causeway media keeps` says that calls go on.
    keeps: bool,
    /// Whether the version is older than the one before.
    is_older: bool,
    /// Whether the new version accepts the configuration.
    is_valid: bool,
}

const FINE: Found = Found {
    has_relay: true,
    keeps: true,
    is_older: false,
    is_valid: true,
};

/// Runs a script of the package; says what it has started that changes something, in order, and what it printed.
fn run(script: &str, arguments: &[&str], found: Found) -> (Vec<String>, String) {
    let folder = tempfile::tempdir().unwrap();
    let (bin, done) = (folder.path().join("bin"), folder.path().join("done"));
    fs::create_dir(&bin).unwrap();
    let code = |is_so: bool| u8::from(!is_so);
    let play = |name: &str, body: &str| {
        let path = bin.join(name);
        let text = format!("#!/bin/sh\ndone={}\n{body}\n", done.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    play("systemd-sysusers", ":");
    play("systemd-tmpfiles", ":");
    play("dpkg-query", "printf 1.0.0-1");
    play("dpkg", &format!("exit {}", code(found.is_older)));
    play("deb-systemd-invoke", "echo \"$*\" >>$done");
    play(
        "systemctl",
        &format!(
            "case \"$*\" in *is-active*causeway-media*) exit {};; *is-active*) ! grep -qx 'stop causeway.service' $done 2>/dev/null;; \
             daemon-reload) ;; *) echo \"$*\" >>$done;; esac",
            code(found.has_relay)
        ),
    );
    play(
        "causeway",
        &format!(
            "case \"$1 $2\" in 'check --config') echo error; exit {};; 'media keeps') echo 'calls end: for a reason'; exit {};; \
             *) echo \"causeway $*\" >>$done;; esac",
            if found.is_valid { 0 } else { 3 },
            if found.keeps { 0 } else { 5 }
        ),
    );
    let text = fs::read_to_string(Path::new("../systemd/debian").join(script)).unwrap();
    let there = folder.path().join("there");
    fs::create_dir(&there).unwrap();
    let text = text.replace("/run/systemd/system", &there.display().to_string());
    let path = folder.path().join("script");
    fs::write(&path, text).unwrap();
    let search = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .arg(&path)
        .args(arguments)
        .env("PATH", search)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{output:?}");
    let did = fs::read_to_string(&done).unwrap_or_default();
    (did.lines().map(str::to_owned).collect(), told)
}

fn upgraded(found: Found) -> (Vec<String>, String) {
    run("postinst", &["configure", "0.9.0-1"], found)
}

const ENDS_FIRST: [&str; 4] = [
    "causeway drain --yes",
    "stop causeway.service",
    "restart causeway-media.service",
    "start causeway.service",
];

#[test]
fn an_upgrade_leaves_the_relay_alone_where_calls_go_on_under_it() {
    let (did, told) = upgraded(FINE);
    assert_eq!(did, ["restart causeway.service"], "{told}");
    assert!(told.contains("calls that talk go on"), "{told}");
    assert!(
        told.contains("media relay is still that of the former version"),
        "{told}"
    );
}

#[test]
fn an_upgrade_ends_calls_with_bye_before_it_restarts_the_relay_they_need() {
    let (did, told) = upgraded(Found {
        keeps: false,
        ..FINE
    });
    assert_eq!(did, ENDS_FIRST, "{told}");
    assert!(told.contains("for a reason"), "{told}");
    // Nobody who is older reads what a newer one has kept.
    let (did, told) = upgraded(Found {
        is_older: true,
        ..FINE
    });
    assert_eq!(did, ENDS_FIRST, "{told}");
    assert!(
        told.contains("older than the one before it, 0.9.0-1"),
        "{told}"
    );
}

#[test]
fn an_upgrade_without_a_relay_restarts_the_daemon_and_one_that_is_refused_nothing() {
    let (did, told) = upgraded(Found {
        has_relay: false,
        ..FINE
    });
    assert_eq!(did, ["restart causeway.service"], "{told}");
    assert!(!told.contains("go on"), "{told}");
    let (did, told) = upgraded(Found {
        is_valid: false,
        ..FINE
    });
    assert!(
        did.is_empty() && told.contains("NOT restarted"),
        "{did:?} {told}"
    );
}

#[test]
fn whoever_removes_the_package_leaves_no_call_to_nobody() {
    let (did, _) = run("prerm", &["remove"], FINE);
    let wanted = [
        "causeway drain --yes",
        "stop causeway.service causeway-media.service",
    ];
    assert_eq!(did, wanted);
    let (did, _) = run("prerm", &["upgrade", "1.0.0-1"], FINE);
    assert!(did.is_empty(), "{did:?}");
}

/// Runs postrm with the folders of the package below this one; what it has started, and what it said.
fn purged(root: &Path) -> (String, String) {
    let (bin, done) = (root.join("bin"), root.join("done"));
    fs::create_dir_all(&bin).unwrap();
    for name in ["getent", "userdel", "groupdel", "systemctl"] {
        let path = bin.join(name);
        let text = format!("#!/bin/sh\necho \"{name} $*\" >>{}\n", done.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let text = fs::read_to_string("../systemd/debian/postrm").unwrap();
    let mut text = text.replace("#!/bin/sh", "#");
    for folder in ["/etc/", "/var/", "/run/"] {
        text = text.replace(folder, &format!("{}{folder}", root.display()));
    }
    let path = root.join("script");
    fs::write(&path, text).unwrap();
    let search = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .arg(&path)
        .arg("purge")
        .env("PATH", search)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    (fs::read_to_string(&done).unwrap_or_default(), told)
}

#[test]
fn a_purge_keeps_records_and_who_they_belong_to_and_says_how_they_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    for place in ["etc/causeway", "var/lib/causeway/cdr", "var/log/causeway"] {
        fs::create_dir_all(at(place)).unwrap();
    }
    fs::write(at("etc/causeway/causeway.toml"), "").unwrap();
    fs::write(at("var/lib/causeway/cdr/current.jsonl"), "{}\n").unwrap();
    let (did, told) = purged(folder.path());
    assert!(at("var/lib/causeway/cdr/current.jsonl").exists());
    assert!(!at("etc/causeway").exists() && !at("var/log/causeway").exists());
    assert!(!did.contains("userdel"), "{did}");
    let kept = at("var/lib/causeway").display().to_string();
    assert!(told.contains(&format!("are kept in {kept};")), "{told}");
    assert!(
        told.contains(&format!("rm -r {kept} && userdel causeway")),
        "{told}"
    );
    // Nothing is kept where there is nothing.
    fs::remove_file(at("var/lib/causeway/cdr/current.jsonl")).unwrap();
    let (did, told) = purged(folder.path());
    assert!(
        !at("var/lib/causeway").exists() && told.is_empty(),
        "{told}"
    );
    assert!(
        did.contains("userdel causeway") && did.contains("groupdel causeway-admin"),
        "{did}"
    );
}
