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
    /// Whether the daemon was told to drain before.
    is_drained: bool,
    /// What is done instead where services are to end or to begin.
    invoke: &'static str,
    /// What is done instead where the daemon is told to drain, or the other way round.
    told: &'static str,
    /// What is done instead where something is given a time.
    timed: &'static str,
}

const FINE: Found = Found {
    has_relay: true,
    keeps: true,
    is_older: false,
    is_valid: true,
    is_drained: false,
    invoke: "echo \"$*\" >>$done",
    told: "echo \"causeway $*\" >>$done",
    timed: "shift; exec \"$@\"",
};

/// As policy-rc.d has it: nothing is done, and that is no failure.
const FORBIDDEN: &str = "echo 'policy-rc.d returned 101, not running'";

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
    play("deb-systemd-invoke", found.invoke);
    play("timeout", found.timed);
    play(
        "systemctl",
        &format!(
            "case \"$*\" in *is-active*causeway-media*) exit {};; *is-active*) ! grep -q '^stop causeway.service' $done 2>/dev/null;; \
             daemon-reload) ;; show*MainPID*) grep -c '^restart causeway.service' $done 2>/dev/null;; *) echo \"$*\" >>$done;; esac",
            code(found.has_relay)
        ),
    );
    play(
        "causeway",
        &format!(
            "case \"$1 $2\" in 'check --config') echo error; exit {};; 'media keeps') echo 'calls end: for a reason'; exit {};; \
             'config show') printf '%s\\n' '# unix = \"/no.sock\"' '[api]' 'unix = \"/srv/api.sock\" # here';; \
             'status --socket') echo 'state    {}';; *) {};; esac",
            if found.is_valid { 0 } else { 3 },
            if found.keeps { 0 } else { 5 },
            if found.is_drained {
                "draining"
            } else {
                "active"
            },
            found.told
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

const DRAIN: &str = "causeway drain --yes --socket /srv/api.sock";
const UNDRAIN: &str = "causeway undrain --socket /srv/api.sock";

const ENDS_FIRST: [&str; 4] = [
    DRAIN,
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
    assert_eq!(did, [DRAIN, "stop causeway.service causeway-media.service"]);
    let (did, _) = run("prerm", &["upgrade", "1.0.0-1"], FINE);
    assert!(did.is_empty(), "{did:?}");
    let deaf = Found {
        told: "exit 4",
        ..FINE
    };
    let (did, told) = run("prerm", &["remove"], deaf);
    assert_eq!(did, ["stop causeway.service causeway-media.service"]);
    assert!(
        told.contains("could not be told to drain, at /srv/api.sock"),
        "{told}"
    );
}

#[test]
fn a_daemon_that_must_not_be_ended_takes_calls_as_before() {
    let forbidden = Found {
        keeps: false,
        invoke: FORBIDDEN,
        ..FINE
    };
    let both = |found: Found| [upgraded(found), run("prerm", &["remove"], found)];
    for ((did, told), words) in both(forbidden).into_iter().zip(["restarted", "stopped"]) {
        assert_eq!(did, [DRAIN, UNDRAIN], "{told}");
        let words = format!("NOT {words}: policy-rc.d forbids it");
        assert!(told.contains(&words), "{told}");
    }
    // Whoever had it drain goes on with that.
    for (did, told) in both(Found {
        is_drained: true,
        ..forbidden
    }) {
        assert_eq!(did, [DRAIN], "{told}");
    }
}

#[test]
fn a_daemon_that_must_not_be_restarted_is_told_to_be_the_former_one() {
    let (did, told) = upgraded(Found {
        invoke: FORBIDDEN,
        ..FINE
    });
    assert!(did.is_empty(), "{did:?}");
    assert!(
        told.contains("NOT restarted: policy-rc.d forbids it"),
        "{told}"
    );
    assert!(!told.contains("of the former version"), "{told}");
}

#[test]
fn an_upgrade_whose_restart_fails_says_so_and_nothing_of_the_relay() {
    let (_, told) = upgraded(Found {
        invoke: "exit 1",
        ..FINE
    });
    assert!(told.contains("did not start again"), "{told}");
    assert!(!told.contains("of the former version"), "{told}");
}

#[test]
fn an_upgrade_that_does_not_hear_in_time_whether_calls_go_on_ends_them_with_bye() {
    let (did, told) = upgraded(Found {
        timed: "exit 124",
        ..FINE
    });
    assert_eq!(did, ENDS_FIRST, "{told}");
    assert!(told.contains("was not told within 15 s"), "{told}");
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
    let write = |path: &str, text: &str| {
        fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        fs::write(at(path), text).unwrap();
    };
    fs::create_dir_all(at("etc/causeway/conf.d")).unwrap();
    fs::create_dir_all(at("var/log/causeway")).unwrap();
    let other = at("var/lib/causeway/billing/of-calls");
    let spool = format!("[cdr]\nspool = \"{}/\" # Ours.\n", other.display());
    write("etc/causeway/causeway.toml", &spool);
    let records = [
        "var/lib/causeway/cdr/current.jsonl",
        "var/lib/causeway/cdr/open.journal",
        "var/lib/causeway/billing/of-calls/current.jsonl",
        "var/lib/causeway/audit.jsonl",
        "var/lib/causeway/audit-000000000100.jsonl",
    ];
    // What another installation would come back to, and what is secret.
    let gone = [
        "var/lib/causeway/config/1.toml",
        "var/lib/causeway/acme/account.key",
        "var/lib/causeway/sounds/hold.wav",
        "var/lib/causeway/protection.json",
        "var/lib/causeway/.hidden",
        "var/log/causeway/log",
    ];
    for path in records.iter().chain(&gone) {
        write(path, "{}\n");
    }
    let (did, told) = purged(folder.path());
    for path in records {
        assert!(at(path).exists(), "{path}");
    }
    for path in gone {
        assert!(!at(path).exists(), "{path}");
    }
    for path in ["etc/causeway", "var/lib/causeway/acme", "var/log/causeway"] {
        assert!(!at(path).exists(), "{path}");
    }
    assert!(!did.contains("userdel"), "{did}");
    let kept = at("var/lib/causeway").display().to_string();
    let words = format!("call records and audit log are kept in {kept};");
    assert!(told.contains(&words), "{told}");
    assert!(
        told.contains(&format!("rm -r {kept} && userdel causeway")),
        "{told}"
    );
    // Nothing is kept where there is nothing.
    for path in records {
        fs::remove_file(at(path)).unwrap();
    }
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
