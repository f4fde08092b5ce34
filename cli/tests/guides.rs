//! The guides as somebody follows them: every command typed in order, every line of configuration written where the guide
//! says, on addresses of this machine that nobody else has.

use crate::relay::RelayProcess;
use crate::support::{Authority, PATIENCE};
use causeway::command::documents::{Document, GUIDES};
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Machines of this process so far: each looks for a net where no other one does.
static MACHINES: AtomicU32 = AtomicU32::new(0);

/// Where the relay is told to listen for the daemon.
const RELAY: &str = "/run/causeway-media/media.sock";

/// A machine as the guide assumes it: a folder in place of /, and a program `causeway` that looks there.
struct Machine {
    folder: TempDir,
    /// In place of `127.0.0`.
    net: String,
    daemon: Option<Child>,
    relay: Option<RelayProcess>,
    /// The file that was opened last, whose lines follow.
    open: Option<PathBuf>,
    _carrier: Carrier,
}

/// Answers OPTIONS at the address of the guide's carrier.
struct Carrier {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Carrier {
    fn start(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let moment = Duration::from_millis(50);
        socket.set_read_timeout(Some(moment)).unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !told.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let text = String::from_utf8_lossy(&buffer[..length]);
                if !text.starts_with("OPTIONS ") {
                    continue;
                }
                let names = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
                let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
                for line in text
                    .lines()
                    .filter(|line| names.iter().any(|own| line.starts_with(own)))
                {
                    let tag = if line.starts_with("To:") {
                        ";tag=c"
                    } else {
                        ""
                    };
                    answer.push_str(&format!("{line}{tag}\r\n"));
                }
                answer.push_str("Content-Length: 0\r\n\r\n");
                let _ = socket.send_to(answer.as_bytes(), from);
            }
        });
        Self {
            ends,
            thread: Some(thread),
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

impl Machine {
    fn new() -> Self {
        // Nobody else is there, so that ports can be those of the guide; a net in use is left for another one.
        let process = std::process::id();
        let first = 200 * MACHINES.fetch_add(1, Ordering::Relaxed);
        let nets = (first..first + 200).map(|n| {
            let number = process.wrapping_mul(7).wrapping_add(n * 11);
            format!("127.{}.{}", 1 + number % 250, number / 250 % 250)
        });
        let mut found = nets.filter(|net| {
            let there =
                ["1:5070", "10:5061", "11:5060", "20:5060"].map(|own| format!("{net}.{own}"));
            there.iter().all(|address| UdpSocket::bind(address).is_ok())
        });
        let net = found.next().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in [
            "bin",
            "home",
            "etc/causeway/tls",
            "etc/causeway/conf.d",
            "var/cdr",
            "var/state",
            "run",
        ] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        let authority = Authority::new();
        let leaf = authority.leaf(&["sbc1.contoso.example", "*.sbc1.contoso.example"]);
        fs::write(root.join("home/sbc.pem"), &leaf.chain_pem).unwrap();
        fs::write(root.join("home/sbc.key"), &leaf.key_pem).unwrap();
        // Nothing of this test asks anybody outside: names are asked for where nobody answers.
        let dns = format!("[dns]\nservers = [\"{net}.53:53\"]\n");
        fs::write(root.join("etc/causeway/conf.d/names.toml"), dns).unwrap();
        let (program, at) = (env!("CARGO_BIN_EXE_causeway"), root.display());
        let shim = format!(
            "#!/bin/sh\n\
             case $1 in\n\
             init) exec '{program}' init '{at}/etc/causeway/causeway.toml' ;;\n\
             tenant) exec '{program}' \"$@\" --config '{at}/etc/causeway/causeway.toml' --state '{at}/var/state' ;;\n\
             check|sim|route|media|number) exec '{program}' \"$@\" --config '{at}/etc/causeway/causeway.toml' ;;\n\
             audit) [ \"$2\" != verify ] || exec '{program}' audit verify '{at}/var/state'\n\
             exec '{program}' \"$@\" --socket '{at}/run/api.sock' ;;\n\
             token) [ \"$2\" = list ] || exec '{program}' \"$@\"\n\
             exec '{program}' \"$@\" --socket '{at}/run/api.sock' ;;\n\
             status|trunk|call|teams|reload|config|acl|ban|approvals|log|drain|undrain)\n\
             exec '{program}' \"$@\" --socket '{at}/run/api.sock' ;;\n\
             *) exec '{program}' \"$@\" ;;\n\
             esac\n"
        );
        fs::write(root.join("bin/causeway"), shim).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(root.join("bin/causeway"), mode).unwrap();
        Self {
            _carrier: Carrier::start(&format!("{net}.20:5060")),
            folder,
            net,
            daemon: None,
            relay: None,
            open: None,
        }
    }

    /// What the guide says, with the addresses and folders of this machine.
    fn here(&self, text: &str) -> String {
        let root = self.folder.path().display();
        let text = text
            .replace("/etc/causeway", &format!("{root}/etc/causeway"))
            .replace("/var/lib/causeway/cdr", &format!("{root}/var/cdr"))
            .replace("/run/causeway/api.sock", &format!("{root}/run/api.sock"))
            .replace(RELAY, &format!("{root}/run/media.sock"))
            .replace("-o root -g causeway ", "");
        [
            ("203.0.113.10", "10"),
            ("198.51.100.10", "11"),
            ("198.51.100.20", "20"),
            ("198.51.100.16/28", "16/28"),
            ("127.0.0.1", "1"),
            ("127.0.0.2", "2"),
            ("127.0.0.3", "3"),
        ]
        .iter()
        .fold(text, |text, (theirs, ours)| {
            text.replace(theirs, &format!("{}.{ours}", self.net))
        })
    }

    /// Goes through a guide from its first line to its last.
    fn follow(&mut self, guide: &Document) -> Vec<String> {
        let mut typed = Vec::new();
        for (language, block) in blocks(guide.text) {
            match language {
                "sh" => {
                    for command in block
                        .replace("\\\n", " ")
                        .lines()
                        .filter(|line| !line.is_empty())
                    {
                        self.types(command);
                        typed.push(command.to_owned());
                    }
                }
                "toml" => self.writes(&self.here(&block)),
                // What is printed, and what is typed elsewhere.
                "text" | "powershell" => {}
                other => panic!("a block of {other}"),
            }
        }
        typed
    }

    /// Types the commands of a guide alone, where its lines of configuration are examples of several ways.
    fn types_all(&mut self, guide: &Document) -> usize {
        let (mut typed, all) = (0, blocks(guide.text).into_iter());
        for (_, block) in all.filter(|(language, _)| *language == "sh") {
            let own = block.lines().filter(|line| line.starts_with("causeway "));
            for command in own.filter(|line| !ELSEWHERE.contains(line)) {
                self.types(command);
                typed += 1;
            }
        }
        typed
    }

    fn types(&mut self, command: &str) {
        let mut words = command.split_whitespace();
        match (words.next(), words.next()) {
            // The package has tests of its own, in a machine of their own.
            (Some("apt"), Some("install")) => {}
            (Some("sudoedit"), Some(file)) => self.open = Some(self.here(file).into()),
            (Some("systemctl"), Some("enable")) => match command.ends_with(" causeway-media") {
                true => self.relay = Some(RelayProcess::start(&self.here(RELAY).into())),
                false => self.starts(),
            },
            (Some("causeway" | "install" | "rm"), _) => {
                let done = self.run(command);
                let told = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
                let (out, errors) = (told(&done.stdout), told(&done.stderr));
                assert_eq!(done.status.code(), Some(0), "{command}\n{out}\n{errors}");
                self.keeps(command, &out);
            }
            _ => panic!("nobody has said what becomes of {command:?} in this test"),
        }
    }

    fn run(&self, command: &str) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        Command::new("sh")
            .args(["-c", &self.here(command)])
            .current_dir(self.folder.path().join("home"))
            .env(
                "PATH",
                format!("{}/bin:{path}", self.folder.path().display()),
            )
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What the guide says of a command beyond that it succeeds.
    fn keeps(&self, command: &str, out: &str) {
        let has =
            |wanted: &str| assert!(out.contains(wanted), "{command}: no {wanted:?} in\n{out}");
        match command {
            _ if command.starts_with("causeway init") => {
                let file = self.folder.path().join("etc/causeway/causeway.toml");
                let text = fs::read_to_string(&file).unwrap();
                fs::write(&file, self.here(&text)).unwrap();
            }
            _ if command.starts_with("causeway lab") => has("PASS: 15 of 15"),
            _ if command.starts_with("causeway check") => has("0 errors"),
            _ if command.starts_with("causeway sim call") => has("all is well"),
            _ if command.starts_with("causeway trunk test") => has("200"),
            _ if command.starts_with("causeway route test") => {
                has("goes out (1) on trunk \"teams-")
            }
            "causeway media keeps" => has("calls go on: "),
            _ if command.starts_with("causeway monitoring alerts") => has("runbook: "),
            _ if command.starts_with("causeway tenant add") => has("routes         ok"),
            "causeway status" => has("loop-out"),
            "causeway teams status" => has("sip.pstnhub.microsoft.com"),
            _ => {}
        }
    }

    /// The service, as far as this is one.
    fn starts(&mut self) {
        let root = self.folder.path();
        let child = Command::new(env!("CARGO_BIN_EXE_causeway"))
            .arg("run")
            .arg("--config")
            .arg(root.join("etc/causeway/causeway.toml"))
            .arg("--state")
            .arg(root.join("var/state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(root.join("log")).unwrap())
            .spawn()
            .unwrap();
        self.daemon = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while self.run("causeway status").status.code() != Some(0) {
            let log = fs::read_to_string(root.join("log")).unwrap();
            assert!(Instant::now() < deadline, "it does not serve:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Lines for the file that was opened last: all of one that is new; else each in the place of that of the same table.
    fn writes(&self, block: &str) {
        let file = self.open.as_ref().expect("a file was opened before");
        match fs::read_to_string(file) {
            Ok(text) => fs::write(file, edited(&text, block)).unwrap(),
            Err(_) => fs::write(file, block).unwrap(),
        }
    }

    fn configuration(&self) -> String {
        let file = self.folder.path().join("etc/causeway/causeway.toml");
        fs::read_to_string(file).unwrap()
    }
}

/// What needs more than there is: a token that the configuration has, and somebody who starts the daemon anew.
const ELSEWHERE: [&str; 2] = [
    "causeway token revoke noc",
    "causeway restart --graceful --timeout 1h --yes",
];

/// Language and text of each block of a document.
fn blocks(text: &str) -> Vec<(&str, String)> {
    text.split("\n```")
        .skip(1)
        .step_by(2)
        .map(|part| {
            let (language, block) = part.split_once('\n').unwrap();
            (language, block.to_owned() + "\n")
        })
        .collect()
}

/// Each line of a text that has a key, with its table, the name in it and the key.
fn keys(text: &str) -> Vec<(usize, String, String)> {
    let (mut table, mut name, mut found) = (String::new(), String::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_start_matches("# ");
        if line.starts_with('[') {
            table = line.split_whitespace().next().unwrap().to_owned();
            name.clear();
        }
        let Some((key, value)) = line
            .split_once(" = ")
            .filter(|(key, _)| !key.contains([' ', '{']))
        else {
            continue;
        };
        if key == "name" {
            value
                .split('"')
                .nth(1)
                .unwrap_or_default()
                .clone_into(&mut name);
        }
        found.push((at, format!("{table} {name}"), key.to_owned()));
    }
    found
}

/// A configuration with some of its lines as somebody has changed them. A line that is a comment becomes one that counts.
fn edited(text: &str, block: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let places = keys(text);
    for (at, table, key) in keys(block).iter().filter(|(_, _, key)| key != "name") {
        let place = places
            .iter()
            .find(|(_, own, name)| own == table && name == key);
        let (place, ..) = place.unwrap_or_else(|| panic!("{table} has no {key} to change"));
        block
            .lines()
            .nth(*at)
            .unwrap()
            .clone_into(&mut lines[*place]);
    }
    lines.join("\n") + "\n"
}

fn guide(name: &str) -> &'static Document {
    GUIDES.iter().find(|own| own.name == name).unwrap()
}

#[test]
fn whoever_follows_getting_started_and_tenants_has_calls_and_a_configuration_that_is_valid() {
    let mut machine = Machine::new();
    let began = Instant::now();
    let typed = machine.follow(guide("getting-started"));
    assert!(
        began.elapsed() < Duration::from_secs(120),
        "{:?}",
        began.elapsed()
    );
    for wanted in ["init", "check", "lab", "sim", "status"] {
        let command = format!("causeway {wanted}");
        assert!(
            typed.iter().any(|own| own.starts_with(&command)),
            "{command}"
        );
    }
    let left: Vec<String> = machine
        .configuration()
        .lines()
        .filter(|line| line.contains("CHANGE") && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        left, [""; 0],
        "the guide gives a value to each line that is to be changed"
    );

    let typed = machine.follow(guide("tenants"));
    assert!(
        typed
            .iter()
            .any(|own| own.starts_with("causeway tenant add") && own.contains("--write"))
    );
    machine.types("causeway check");
}

#[test]
fn commands_of_the_guides_to_routing_security_and_upgrades_do_what_they_say() {
    let mut machine = Machine::new();
    machine.follow(guide("getting-started"));
    for (name, least) in [("routing", 7), ("security", 9), ("upgrade", 13)] {
        let typed = machine.types_all(guide(name));
        assert!(typed >= least, "{name}: {typed}");
        // Whoever goes on takes calls again.
        machine.types("causeway undrain");
    }
}

#[test]
fn a_line_is_changed_in_its_own_table_alone() {
    let text = "[[realm]]\nname = \"a\"\nports = \"1\"     # CHANGE\n\n[[realm]]\nname = \"b\"\n# ports = \"2\"\n";
    assert_eq!(
        edited(text, "[[realm]]\nname = \"b\"\nports = \"3\"\n"),
        "[[realm]]\nname = \"a\"\nports = \"1\"     # CHANGE\n\n[[realm]]\nname = \"b\"\nports = \"3\"\n"
    );
    let (language, block) = &blocks("A\n\n```sh\nls\n```\n\nB\n\n```text\nc\n```\n")[1];
    assert_eq!((*language, block.as_str()), ("text", "c\n"));
}
