//! Commands that look at a running node and follow it: forms of output, `top`, `stats`, `tail`, `cdr`, `number`.

use crate::daemon::{Node, Phone, configured, exit_to, types, within};
use crate::draining::talks;
use crate::logs::call;
use crate::support::PATIENCE;

use causeway::command::form::yaml;
use causeway::daemon::heard::Heard;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A command that goes on by itself, whose lines are read one by one.
struct Following {
    process: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Following {
    fn start(node: &Node, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(arguments).arg("--socket");
        command.arg(node.directory.path().join("run/api.sock"));
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// The next line; nothing once it has ended. A command that hangs fails the whole program by its time limit.
    async fn line(mut self) -> (Self, String) {
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            (self, line)
        });
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap()
    }

    /// The lines until one has this.
    async fn until(mut self, wanted: &str) -> (Self, Vec<String>) {
        let mut lines = Vec::new();
        loop {
            let line;
            (self, line) = self.line().await;
            assert!(!line.is_empty(), "{wanted} does not come: {lines:?}");
            lines.push(line);
            if lines.last().is_some_and(|line| line.contains(wanted)) {
                return (self, lines);
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until so many listen to what happens.
async fn listened_to(node: &Node, by: usize) {
    let deadline = Instant::now() + PATIENCE;
    while node.daemon.sinks().news.listeners() < by {
        assert!(Instant::now() < deadline, "nobody listens");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn hang_up(caller: &Phone, callee: &Phone, answer: &str, node: &Node) {
    let bye = within(answer, "BYE", 2, caller.address);
    caller.send(&bye, node.udp()).await;
    let (bye, ours) = callee.hears("BYE ").await;
    callee.answers("200 OK", &bye, ours, "").await;
    caller.hears("SIP/2.0 200").await;
    assert!(node.daemon.wait_until_idle(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_printed_of_a_daemon_is_there_as_json_and_as_yaml() {
    let node = Node::start().await;
    for command in [
        "trunks",
        "peers",
        "calls",
        "call recent",
        "call failed",
        "call search",
        "cdr search",
        "config history",
        "config diff",
        "media status",
        "teams figures",
        "teams presence",
        "log level",
        "capture status",
    ] {
        let words = |more: &[&'static str]| -> Vec<&str> {
            command.split(' ').chain(more.iter().copied()).collect()
        };
        // What the node tells may change in between.
        let (json, text, tables) = loop {
            let (code, json, errors) = types(&node, &words(&["-o", "json"])).await;
            assert_eq!(code, Some(0), "{command}: {errors}");
            let (code, text, errors) = types(&node, &words(&["--output=yaml"])).await;
            assert_eq!(code, Some(0), "{command}: {errors}");
            let mut tables = Vec::new();
            for more in [&["-o", "table"][..], &[]] {
                tables.push(types(&node, &words(more)).await.1);
            }
            if types(&node, &words(&["--json"])).await.1 == json {
                break (json, text, tables);
            }
        };
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(text, yaml(&value), "{command}");
        assert_eq!(tables[0], tables[1], "{command}");
        assert_ne!(tables[0], text, "{command}");
    }
    let (_, text, _) = types(&node, &["status", "-o", "yaml"]).await;
    assert!(text.contains("\nstate: \"active\"\n"), "{text}");
    assert!(
        text.contains("\nlisteners:\n  - address: \"127.0.0.1:"),
        "{text}"
    );
    let (_, text, _) = types(&node, &["log", "recent", "-o", "json"]).await;
    assert!(serde_json::from_str::<Value>(&text).unwrap()["lines"].is_array());
    let (code, _, errors) = types(&node, &["status", "--json", "-o", "yaml"]).await;
    assert!(
        code == Some(2) && errors.contains("cannot be used with"),
        "{errors}"
    );
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overview_is_printed_once_where_there_is_no_terminal() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.address)).await;
    talks(&caller, &callee, node.udp()).await;
    let (code, told, errors) = types(&node, &["top"]).await;
    assert_eq!(code, Some(0), "{errors}");
    assert!(!told.contains('\u{1b}'), "{told}");
    assert!(told.contains("  active  up "), "{told}");
    assert!(
        told.lines()
            .nth(1)
            .unwrap()
            .starts_with("calls 1  set-ups "),
        "{told}"
    );
    // Nobody answers OPTIONS here, which is told sooner or later.
    let mut alarms = told.lines().filter(|line| line.starts_with("! "));
    assert!(alarms.all(|line| line.starts_with("! trunk ")), "{told}");
    let exit = told.lines().find(|line| line.starts_with("exit ")).unwrap();
    let fields: Vec<&str> = exit.split_whitespace().collect();
    // Calls in and out, before five more columns.
    assert_eq!(fields[fields.len() - 7..][..2], ["0", "1"], "{told}");
    node.daemon.drain(true).await;
    let (_, told, _) = types(&node, &["top", "--once", "-o", "json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["now"]["calls"], 1);
    // The one call is found by all that is true of it, and not by what is not.
    for (wish, is_found) in [
        (&["--trunk", "exit", "--state", "established"][..], true),
        (&["--trunk", "carrier", "--number", "0"], true),
        (&["--trunk", "teams-contoso"], false),
        (&["--state", "setup"], false),
        (&["--longer", "3600"], false),
        (&["--number", "987654321987"], false),
    ] {
        let words = [&["call", "list"], wish].concat();
        let (code, list, errors) = types(&node, &words).await;
        assert_eq!(code, Some(0), "{errors}");
        let is_none = list == "no such call in progress\n";
        assert_eq!(
            (is_none, list.contains(" established ")),
            (!is_found, is_found),
            "{wish:?} {list}"
        );
    }
    // A slip of the pen finds nothing, which is no answer.
    for (wish, wanted, why) in [
        (["--trunk", "exitt"], 5, "did you mean \"exit\"?"),
        (["--state", "setups"], 2, "did you mean \"setup\"?"),
        (["--number", "030/1"], 2, "no number has"),
    ] {
        let words = [&["call", "list"][..], &wish].concat();
        let (code, _, errors) = types(&node, &words).await;
        assert!(
            code == Some(wanted) && errors.contains(why),
            "{wish:?} {errors}"
        );
    }
    let alarms = told["alarms"].as_array().unwrap();
    let alarm = alarms.first().and_then(Value::as_str).unwrap();
    assert!(alarm.starts_with("draining: no new calls"), "{alarm}");
    node.daemon.shutdown().await;
}

/// A terminal: our end of it, and that of a program.
fn terminal(columns: u16, rows: u16) -> (OwnedFd, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let name = name.into_string().unwrap();
    let theirs = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name)
        .unwrap();
    let size = Winsize {
        ws_col: columns,
        ws_row: rows,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&ours, size).unwrap();
    (ours, theirs)
}

/// What a terminal shows next.
fn shown_at(ours: &mut File) -> String {
    let mut octets = [0; 4_096];
    let mut ends = [PollFd::new(&*ours, PollFlags::IN)];
    let patience = Timespec::try_from(PATIENCE).unwrap();
    assert_eq!(
        poll(&mut ends, Some(&patience)).unwrap(),
        1,
        "it shows nothing"
    );
    let length = ours.read(&mut octets).unwrap();
    String::from_utf8_lossy(&octets[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_shows_it_live_and_is_as_before_afterwards() {
    let node = Node::start().await;
    for (key, signals) in [("q", false), ("\u{3}", false), ("", true)] {
        let (ours, theirs) = terminal(60, 8);
        let before = tcgetattr(&theirs).unwrap();
        let stdio = || Stdio::from(theirs.try_clone().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.arg("top").arg("--socket");
        command.arg(node.directory.path().join("run/api.sock"));
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        let mut process = command.spawn().unwrap();
        drop(command);
        let mut ours = File::from(ours);
        let played = tokio::task::spawn_blocking(move || {
            let mut shown = String::new();
            // Two pictures: the second is drawn over the first.
            while shown.matches("set-ups").count() < 2 {
                shown.push_str(&shown_at(&mut ours));
            }
            let during = tcgetattr(&ours).unwrap();
            match signals {
                true => {
                    let id = i32::try_from(process.id()).unwrap();
                    let id = rustix::process::Pid::from_raw(id).unwrap();
                    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
                }
                false => ours.write_all(key.as_bytes()).unwrap(),
            }
            while !shown.ends_with("\u{1b}[?25h\u{1b}[?1049l") {
                shown.push_str(&shown_at(&mut ours));
            }
            (process.wait().unwrap().code(), shown, during, ours)
        });
        let played = tokio::time::timeout(3 * PATIENCE, played).await;
        // Its other end goes with ours.
        let (code, shown, during, _ours) = played.unwrap().unwrap();
        assert_eq!(code, Some(0), "{shown}");
        assert!(shown.starts_with("\u{1b}[?1049h\u{1b}[?25l"), "{shown:?}");
        // It is cleared once, at its start: a picture never begins with nothing.
        assert_eq!(shown.matches("\u{1b}[2J").count(), 1, "{shown:?}");
        assert!(shown.contains("\u{1b}[8;1Hq ends"), "{shown:?}");
        let pictures = shown.split("\u{1b}[H").skip(1);
        for row in pictures.flat_map(|picture| picture.split("\u{1b}[K")) {
            let row = row.trim_start_matches(['\r', '\n']);
            let text = row.rsplit_once("1H").map_or(row, |(_, foot)| foot);
            let is_foot = text.contains('\u{1b}');
            assert!(is_foot || text.chars().count() <= 60, "{text:?}");
        }
        assert!(!during.local_modes.contains(LocalModes::ECHO));
        let after = tcgetattr(&theirs).unwrap();
        assert_eq!(after.local_modes, before.local_modes);
    }
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_interval_is_a_line_with_what_happened_in_it() {
    let node = Node::start().await;
    call(&node, "+4930999").await;
    let following = Following::start(
        &node,
        &["stats", "--interval", "1", "--count", "30", "--json"],
    );
    let (mut following, first) = following.line().await;
    // What was before is in no interval.
    let told: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        (&told["attempts"], &told["calls"]),
        (&0.into(), &0.into()),
        "{told}"
    );
    assert!(told["cpu_percent"].is_number(), "{told}");
    call(&node, "+14255550198").await;
    let told = loop {
        let line;
        (following, line) = following.line().await;
        let told: Value = serde_json::from_str(&line).unwrap();
        if told["attempts"] != 0 {
            break told;
        }
    };
    assert_eq!(told["attempts"], 1);
    let causes = told["causes"].as_object().unwrap();
    assert_eq!(
        causes.values().cloned().collect::<Vec<_>>(),
        [Value::from(1)],
        "{told}"
    );
    drop(following);
    let (code, text, errors) = types(&node, &["stats", "--interval", "1s", "--count", "1"]).await;
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        text.starts_with("TIME ") && text.lines().count() == 2,
        "{text}"
    );
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_followed_as_a_whole_by_trunk_by_call_and_by_record() {
    let (caller, callee) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.address)).await;
    let all = Following::start(&node, &["tail"]);
    let exit = Following::start(&node, &["tail", "--trunk", "exit", "-o", "json"]);
    let mut other = Following::start(&node, &["tail", "--trunk", "teams-contoso"]);
    let records = Following::start(&node, &["cdr", "tail", "-o", "json"]);
    listened_to(&node, 4).await;
    let (answer, _) = talks(&caller, &callee, node.udp()).await;
    let (all, lines) = all.until("call.answer").await;
    assert!(
        lines
            .iter()
            .any(|line| line.contains("call.start") && line.contains("trunk=")),
        "{lines:?}"
    );
    let (_, list, _) = types(&node, &["call", "list"]).await;
    let id = list
        .lines()
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    let ladder = Following::start(&node, &["tail", "--call", &id]);
    let (ladder, lines) = ladder.until("200 OK").await;
    assert!(lines[0].contains("leg 0 > us  INVITE  (SDP "), "{lines:?}");
    hang_up(&caller, &callee, &answer, &node).await;

    let (_, lines) = all.until("call.end").await;
    let end = lines.last().unwrap();
    assert!(
        end.contains("trunks=carrier, exit") && end.contains("disposition=answered"),
        "{end}"
    );
    // Who was called is known with the answer.
    let (_, lines) = exit.until("call.end").await;
    let told: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (&told["event"], &told["call"]),
        (&"call.answer".into(), &id.as_str().into()),
        "{lines:?}"
    );
    let (_, line) = records.line().await;
    let record: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&record["call"], &record["disposition"]),
        (&id.as_str().into(), &"answered".into())
    );
    let (mut ladder, lines) = ladder.until("who:").await;
    assert!(
        lines.iter().any(|line| line.contains("> us  BYE")),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("the call is over: answered")),
        "{lines:?}"
    );
    let ended = tokio::task::spawn_blocking(move || {
        let mut rest = String::new();
        ladder.lines.read_to_string(&mut rest).unwrap();
        ladder.process.wait().unwrap().code()
    });
    assert_eq!(ended.await.unwrap(), Some(0));

    let (code, _, errors) = types(&node, &["tail", "--trunk", "nobody"]).await;
    assert!(
        code == Some(5) && errors.contains("no trunk \"nobody\""),
        "{errors}"
    );
    let (code, _, errors) = types(&node, &["tail", "--call", "0123"]).await;
    assert!(code == Some(5) && errors.contains("no call"), "{errors}");
    other.process.kill().unwrap();
    let mut told = String::new();
    other.lines.read_to_string(&mut told).unwrap();
    assert!(!told.contains("call."), "no call was about it: {told}");
    let is_own = |line: &str| line.contains("trunk=teams-contoso");
    assert!(told.lines().all(is_own), "{told}");
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_is_taken_back_by_its_own_command() {
    let node = Node::start().await;
    types(&node, &["drain", "--now", "--yes"]).await;
    assert!(node.daemon.is_draining());
    let (code, told, errors) = types(&node, &["undrain"]).await;
    assert_eq!(code, Some(0), "{errors}");
    assert!(told.contains("state: active"), "{told}");
    assert!(!node.daemon.is_draining());
    node.daemon.shutdown().await;
}

#[test]
fn a_number_is_changed_as_on_calls_of_a_trunk_or_by_one_plan() {
    let plan = "\n[[transform]]\nname = \"from-carrier\"\nwhen = { trunk = \"carrier\", dir = \"in\" }\n\
                plan = { country = \"49\", area = \"30\", national = \"0\", international = \"00\" }\n\
                \n[[transform]]\nname = \"to-carrier\"\nwhen = { trunk = \"carrier\", dir = \"out\" }\n\
                called = [{ prefix = \"+\", set = \"00\" }]\n";
    let (_folder, config) = configured(|text| text + plan);
    let normalize = |arguments: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_causeway"))
            .args(["number", "normalize", "--config"])
            .arg(&config)
            .args(arguments)
            .output()
            .unwrap();
        let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
        (done.status.code(), text(done.stdout), text(done.stderr))
    };
    let (code, told, errors) = normalize(&["(089) 123-456", "--trunk", "carrier"]);
    assert_eq!(code, Some(0), "{told}{errors}");
    assert!(told.contains("read as   089123456\n"), "{told}");
    assert!(
        told.contains(
            "called    +4989123456  (E.164)\n  - transform \"from-carrier\" changed the called"
        ),
        "{told}"
    );
    let (code, told, _) = normalize(&["089123456", "--plan", "from-carrier", "-o", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (code, &told["called"]["number"]),
        (Some(0), &"+4989123456".into())
    );
    assert_eq!(told["calling"]["is_e164"], true);
    let (code, told, _) = normalize(&["+4989123456", "--trunk", "carrier", "--out"]);
    assert!(
        code == Some(5) && told.contains("called    004989123456  (not E.164"),
        "{told}"
    );
    assert!(told.contains("  - no transform changes it"), "{told}");
    let (code, _, errors) = normalize(&["1", "--trunk", "nobody"]);
    assert!(
        code == Some(5) && errors.contains("there is no trunk \"nobody\""),
        "{errors}"
    );
    let (code, _, errors) = normalize(&["1", "--plan", "nothing"]);
    assert!(
        code == Some(5) && errors.contains("there are from-carrier, to-carrier"),
        "{errors}"
    );
    let (code, _, errors) = normalize(&["1"]);
    assert!(code == Some(2) && errors.contains("--trunk"), "{errors}");
    let (code, _, errors) = normalize(&["", "--trunk", "carrier"]);
    assert!(
        code == Some(2) && errors.contains("nothing that could be dialled"),
        "{errors}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_simulated_call_goes_through_the_daemon_and_is_heard_at_both_ends() {
    // Nobody listens where the route leads to: it is answered from there.
    let free = std::net::UdpSocket::bind("127.0.0.2:0").unwrap();
    let target = free.local_addr().unwrap();
    let node = Node::start_with(|text| text + &exit_to(target)).await;
    drop(free);
    let config = node.directory.path().join("causeway.toml");
    let simulate = |more: &'static [&'static str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(["sim", "call", "--seconds", "1", "--config"]);
        command.arg(&config).args(more);
        tokio::task::spawn_blocking(move || {
            let done = command.output().unwrap();
            let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
            (done.status.code(), text(done.stdout), text(done.stderr))
        })
    };
    let (code, told, errors) =
        simulate(&["--from-trunk", "carrier", "--to", "+15550100", "-o", "json"])
            .await
            .unwrap();
    assert_eq!(code, Some(0), "{told}{errors}\n{}", node.lines.text());
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["answered_here"], &told["to_trunk"]),
        (&true.into(), &"exit".into())
    );
    assert_eq!(told["heard_by_called"]["sent"], 50, "{told}");
    assert!(node.daemon.wait_until_idle(PATIENCE).await);
    let spool = std::fs::read_to_string(node.directory.path().join("cdr/current.jsonl")).unwrap();
    let record: Value = serde_json::from_str(spool.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&record["disposition"], &record["ingress"]["call_id"]),
        (&"answered".into(), &told["call_id"])
    );
    let (code, told, _) = simulate(&["--from-trunk", "carrier", "--to", "+15550100"])
        .await
        .unwrap();
    assert!(
        code == Some(0) && told.ends_with("\nall is well\n"),
        "{told}"
    );

    let (code, _, errors) = simulate(&["--from-trunk", "nobody", "--to", "1"])
        .await
        .unwrap();
    assert!(
        code == Some(5) && errors.contains("there is no trunk \"nobody\""),
        "{errors}"
    );
    let (code, _, errors) = simulate(&[
        "--from-trunk",
        "carrier",
        "--to",
        "1",
        "--address",
        "192.0.2.1",
    ])
    .await
    .unwrap();
    assert!(
        code == Some(2) && errors.contains("takes no calls from 192.0.2.1"),
        "{errors}"
    );
    // A daemon that takes no calls is told as what it is.
    node.daemon.drain(true).await;
    let (code, told, _) = simulate(&["--from-trunk", "carrier", "--to", "+15550100"])
        .await
        .unwrap();
    assert!(
        code == Some(1) && told.contains("NOT well: ") && told.contains("503"),
        "{told}"
    );
    assert!(
        told.contains("this node drains: \"causeway undrain\""),
        "{told}"
    );
    let config = node.directory.path().join("causeway.toml");
    node.daemon.shutdown().await;
    let _ = std::fs::remove_file(node.directory.path().join("run/api.sock"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
    let typed = [
        "sim",
        "call",
        "--from-trunk",
        "carrier",
        "--to",
        "+15550100",
        "--config",
    ];
    let done = command.args(typed).arg(&config).output().unwrap();
    let errors = String::from_utf8(done.stderr).unwrap();
    assert!(
        done.status.code() == Some(4) && errors.contains("no daemon answers"),
        "{errors}"
    );
}

/// The number of observations of a histogram at a trunk.
fn observations(metrics: &str, name: &str, trunk: &str) -> u64 {
    let begin = format!("{name}_count{{");
    let own = metrics.lines().filter(|line| line.starts_with(&begin));
    let own = own.filter(|line| line.contains(&format!("trunk=\"{trunk}\"")));
    own.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_media_of_a_call_are_observed_while_it_goes_on() {
    let free = std::net::UdpSocket::bind("127.0.0.2:0").unwrap();
    let target = free.local_addr().unwrap();
    let node = Node::start_with(|text| text + &exit_to(target)).await;
    drop(free);
    let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
    command.args([
        "sim",
        "call",
        "--seconds",
        "4",
        "--from-trunk",
        "carrier",
        "--to",
        "+15550100",
    ]);
    command
        .arg("--config")
        .arg(node.directory.path().join("causeway.toml"));
    let call = tokio::task::spawn_blocking(move || command.output().unwrap());
    let mut heard = Heard::default();
    let deadline = Instant::now() + PATIENCE;
    loop {
        heard.look(&node.daemon, Duration::ZERO).await;
        let metrics = node.ask("GET", "/metrics").await.body;
        let [incoming, outgoing] =
            ["carrier", "exit"].map(|trunk| observations(&metrics, "sbc_rtp_loss_ratio", trunk));
        let jitter = observations(&metrics, "sbc_rtp_jitter_seconds", "exit");
        if incoming > 0 && outgoing > 0 && jitter > 0 {
            // The call goes on: this is none of its end.
            assert_eq!(node.daemon.live_calls().await, Some(1));
            break;
        }
        assert!(Instant::now() < deadline, "nothing is observed:\n{metrics}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let done = call.await.unwrap();
    assert_eq!(
        done.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
    node.daemon.shutdown().await;
}
