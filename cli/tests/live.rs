//! What a reload changes while calls run, and what was in use before goes on: ports and addresses of media, call records,
//! the listener of metrics, the servers of DNS (OPS-121).

use crate::daemon::{Node, Phone, exit_to, free_port, request, within};
use crate::nameserver::{Nameserver, a};
use crate::relay::{RelayProcess, socket_in};
use crate::support::{PATIENCE, events};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// A party with a socket for its voice.
struct Party {
    phone: Phone,
    ear: UdpSocket,
}

impl Party {
    async fn new(ip: &str) -> Self {
        Self {
            phone: Phone::new(ip).await,
            ear: UdpSocket::bind((ip, 0)).await.unwrap(),
        }
    }

    fn description(&self) -> String {
        let port = self.ear.local_addr().unwrap().port().to_string();
        self.phone.description().replace("40000", &port)
    }

    /// Says something to this place until the other one hears it.
    async fn is_heard(&self, at: SocketAddr, by: &Self) {
        static SEQUENCE: AtomicU16 = AtomicU16::new(1);
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 2_048];
        let word = format!("word {:?}", Instant::now());
        loop {
            // Ordering: only uniqueness matters.
            let number = SEQUENCE.fetch_add(1, Ordering::Relaxed);
            let mut packet = vec![0x80, 8];
            packet.extend(number.to_be_bytes());
            packet.extend((u32::from(number) * 160).to_be_bytes());
            packet.extend([0, 0, 0, 9]);
            packet.extend(word.as_bytes());
            self.ear.send_to(&packet, at).await.unwrap();
            let heard = by.ear.recv(&mut buffer);
            let pause = std::time::Duration::from_millis(20);
            if let Ok(Ok(length)) = tokio::time::timeout(pause, heard).await
                && buffer[..length].ends_with(word.as_bytes())
            {
                return;
            }
            assert!(Instant::now() < deadline, "{at} is not heard");
        }
    }
}

/// Where a description has its sender's media.
fn media(message: &str) -> SocketAddr {
    let of = |begin: &str| {
        let line = message.lines().find_map(|line| line.strip_prefix(begin));
        line.unwrap_or_else(|| panic!("no {begin} in\n{message}"))
    };
    let port = of("m=audio ").split(' ').next().unwrap();
    format!("{}:{port}", of("c=IN IP4 ")).parse().unwrap()
}

/// A call in progress: answer to the caller, and where each party's media go.
struct Call {
    answer: String,
    to_caller: SocketAddr,
    to_callee: SocketAddr,
}

async fn call(node: &Node, caller: &Party, callee: &Party, id: &str) -> Call {
    let uri = format!("sip:+15550100@{}", node.udp());
    let invite = request("INVITE", &uri, caller.phone.address, &caller.description());
    let (a, b) = (&caller.phone, &callee.phone);
    a.send(&invite.replace("test1", id), node.udp()).await;
    let (offer, ours) = tokio::select! {
        offer = b.hears("INVITE ") => offer,
        (refusal, _) = a.hears("SIP/2.0 5") => {
            panic!("{refusal}; log:\n{}", node.lines.text())
        }
    };
    b.answers("200 OK", &offer, ours, &callee.description())
        .await;
    let (answer, _) = a.hears("SIP/2.0 200").await;
    a.send(&within(&answer, "ACK", 1, a.address), node.udp())
        .await;
    b.hears("ACK ").await;
    let call = Call {
        to_caller: media(&answer),
        to_callee: media(&offer),
        answer,
    };
    call.talks(caller, callee).await;
    call
}

impl Call {
    async fn talks(&self, caller: &Party, callee: &Party) {
        caller.is_heard(self.to_caller, callee).await;
        callee.is_heard(self.to_callee, caller).await;
    }

    async fn ends(&self, node: &Node, caller: &Party, callee: &Party) {
        let bye = within(&self.answer, "BYE", 2, caller.phone.address);
        caller.phone.send(&bye, node.udp()).await;
        let (bye, ours) = callee.phone.hears("BYE ").await;
        callee.phone.answers("200 OK", &bye, ours, "").await;
        caller.phone.hears("SIP/2.0 200").await;
    }
}

impl Node {
    /// Takes another text into use.
    async fn takes(&self, change: impl Fn(String) -> String) {
        let done = self.asks_for(change).await;
        assert_eq!(done.0, 200, "{}", done.1);
    }

    async fn asks_for(&self, change: impl Fn(String) -> String) -> (u16, String) {
        let path = self.directory.path().join("causeway.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, change(text)).unwrap();
        let done = self.ask("POST", "/reload").await;
        (done.status, done.body)
    }

    async fn has_series(&self, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.daemon.sinks().metrics.text().contains(line) {
            let shown = self.daemon.sinks().metrics.text();
            assert!(Instant::now() < deadline, "no {line} in\n{shown}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

const BEFORE: &str = "ports = \"20000-31999\"";
const AFTER: &str = "ports = \"32000-32199\"";

/// A realm of its own for the way out, at this address.
fn inside(address: &str, port: u16) -> String {
    format!(
        "\n[[realm]]\nname = \"inside\"\naddresses = [\"{address}\"]\nports = \"32000-32099\"\n\
         [[listen]]\nname = \"inside\"\nrealm = \"inside\"\ntransport = \"udp\"\nport = {port}\n"
    )
}

async fn realms_change(node: &Node, caller: &Party, callee: &Party) {
    let is_new = |at: SocketAddr| (32_000..32_200).contains(&at.port());
    let first = call(node, caller, callee, "first").await;
    assert!(!is_new(first.to_caller) && !is_new(first.to_callee));
    node.takes(|text| text.replace(BEFORE, AFTER)).await;
    node.has_series("sbc_media_ports_limit{realm=\"core\"} 100\n")
        .await;
    first.talks(caller, callee).await;
    let second = call(node, caller, callee, "second").await;
    assert!(is_new(second.to_caller) && is_new(second.to_callee));
    // A realm that comes, for the way out.
    let port = free_port();
    node.takes(|text| {
        let (head, exit) = text.split_once("name = \"exit\"").unwrap();
        let exit = exit.replacen("realm = \"core\"", "realm = \"inside\"", 1);
        format!("{head}name = \"exit\"{exit}{}", inside("127.0.0.3", port))
    })
    .await;
    let third = call(node, caller, callee, "third").await;
    assert_eq!(third.to_callee.ip().to_string(), "127.0.0.3");
    assert_eq!(third.to_caller.ip().to_string(), "127.0.0.1");
    // It moves, and the call that has it goes on where it is.
    node.takes(|text| text.replace("127.0.0.3", "127.0.0.4"))
        .await;
    let fourth = call(node, caller, callee, "fourth").await;
    assert_eq!(fourth.to_callee.ip().to_string(), "127.0.0.4");
    for call in [&first, &second, &third, &fourth] {
        call.talks(caller, callee).await;
    }
    // A relay of its own tells twice a second how it serves.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let served = node.ask("GET", "/media").await.body;
        if served.contains("127.0.0.4") && !served.contains("127.0.0.3") {
            break;
        }
        assert!(Instant::now() < deadline, "{served}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // One that cannot be bound changes nothing.
    let (status, why) = node
        .asks_for(|text| text.replace("127.0.0.4", "192.0.2.4"))
        .await;
    assert!(status == 422 && why.contains("192.0.2.4"), "{status} {why}");
    node.takes(|text| text.replace("192.0.2.4", "127.0.0.4"))
        .await;
    // The realm goes; its calls go on, and no port is left behind.
    node.takes(|text| {
        let text = text.split("\n[[realm]]\nname = \"inside\"").next().unwrap();
        text.replace("realm = \"inside\"", "realm = \"core\"")
    })
    .await;
    for call in [&first, &second, &third, &fourth] {
        call.talks(caller, callee).await;
        call.ends(node, caller, callee).await;
    }
    assert!(node.daemon.wait_until_idle(PATIENCE).await);
    node.has_series("sbc_media_ports_used{realm=\"core\"} 0\n")
        .await;
    assert!(
        !node
            .daemon
            .sinks()
            .metrics
            .text()
            .contains("realm=\"inside\"")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn realms_come_move_and_go_while_calls_keep_the_ports_that_they_have() {
    let (caller, callee) = (Party::new("127.0.0.1").await, Party::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.phone.address)).await;
    realms_change(&node, &caller, &callee).await;
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_they_do_where_the_relay_is_a_process_of_its_own() {
    let (caller, callee) = (Party::new("127.0.0.1").await, Party::new("127.0.0.2").await);
    let relay = std::cell::RefCell::new(None);
    let node = Node::start_with(|text| {
        let path = socket_in(&text);
        *relay.borrow_mut() = Some(RelayProcess::start(&path));
        let media = format!("\n[media]\nrelay = \"{}\"\n", path.display());
        format!("{text}{media}{}", exit_to(callee.phone.address))
    })
    .await;
    realms_change(&node, &caller, &callee).await;
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_end_and_begin_with_a_reload() {
    let (caller, callee) = (Party::new("127.0.0.1").await, Party::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.phone.address)).await;
    let spool = node.directory.path().join("cdr");
    let records = || {
        // What was written before it ended is a file that was closed when it began again.
        let files = std::fs::read_dir(&spool).unwrap();
        let files = files.map(|own| own.unwrap().path());
        let mut files: Vec<_> = files
            .filter(|own| own.extension().is_some_and(|end| end == "jsonl"))
            .collect();
        // The one that is written last has a name that comes behind digits.
        files.sort();
        let text = files
            .iter()
            .map(|own| std::fs::read_to_string(own).unwrap());
        let text: String = text.collect();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let id = |line: Value| line["ingress"]["call_id"].as_str().unwrap().to_owned();
        lines.map(id).collect::<Vec<_>>()
    };
    call(&node, &caller, &callee, "first")
        .await
        .ends(&node, &caller, &callee)
        .await;
    // A call is over once its media have drained.
    assert!(node.daemon.wait_until_idle(PATIENCE).await);
    let across = call(&node, &caller, &callee, "across").await;
    let path = node.directory.path().join("causeway.toml");
    let with = std::fs::read_to_string(&path).unwrap();
    let table = with
        .lines()
        .find(|line| line.starts_with("spool = "))
        .unwrap();
    let without = with.replace(&format!("[cdr]\n{table}\n"), "");
    assert_ne!(with, without);
    node.takes(|_| without.clone()).await;
    node.logged("cdr_ended").await;
    across.ends(&node, &caller, &callee).await;
    call(&node, &caller, &callee, "second")
        .await
        .ends(&node, &caller, &callee)
        .await;
    assert!(node.daemon.wait_until_idle(PATIENCE).await);
    assert_eq!(node.ask("GET", "/records").await.status, 404);
    // It begins again where calls are up.
    let up = call(&node, &caller, &callee, "up").await;
    node.takes(|_| with.clone()).await;
    node.logged("cdr_begun").await;
    // Who is killed now leaves something of it.
    let journal = spool.join("open.journal");
    let deadline = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"up\"")) {
        assert!(Instant::now() < deadline, "{}", node.lines.text());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    up.ends(&node, &caller, &callee).await;
    call(&node, &caller, &callee, "third")
        .await
        .ends(&node, &caller, &callee)
        .await;
    assert!(node.daemon.wait_until_idle(PATIENCE).await);
    node.daemon.shutdown().await;
    // Nobody was lost, and what was there is there.
    assert_eq!(records(), ["first", "up", "third"], "{}", node.lines.text());
    assert!(!node.lines.text().contains("call_lost"));
}

/// The status of the answer there, if anybody answers.
async fn scraped(at: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(at).await.ok()?;
    let ask = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(ask).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text.lines().next()?.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listener_of_metrics_moves_with_a_reload() {
    let places = [0, 1, 2].map(|_| SocketAddr::from(([127, 0, 0, 1], free_port())));
    let listen = |at: SocketAddr| format!("\n[metrics]\nlisten = \"{at}\"\n");
    let node = Node::start_with(|text| text + &listen(places[0])).await;
    let served = async |at| scraped(at).await.is_some_and(|line| line.contains(" 200 "));
    assert!(served(places[0]).await);
    let moves =
        |to: String| move |text: String| text.split("\n[metrics]").next().unwrap().to_owned() + &to;
    node.takes(moves(listen(places[1]))).await;
    let gone = async |at| {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(at).await.is_ok() {
            assert!(Instant::now() < deadline, "{at} is still there");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    assert!(served(places[1]).await);
    gone(places[0]).await;
    // Somebody else has the third: nothing changes.
    let other = std::net::TcpListener::bind(places[2]).unwrap();
    let (status, why) = node.asks_for(moves(listen(places[2]))).await;
    assert!(
        status == 422 && why.contains("metrics listener"),
        "{status} {why}"
    );
    assert!(served(places[1]).await);
    drop(other);
    // The same address with a certificate: who speaks plainly is not served there any more.
    let tls = listen(places[1]) + "tls = \"contoso\"\n";
    node.takes(moves(tls)).await;
    let deadline = Instant::now() + PATIENCE;
    while served(places[1]).await {
        assert!(Instant::now() < deadline, "it is still served in plain");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    node.takes(moves(listen(places[1]))).await;
    while !served(places[1]).await {
        assert!(Instant::now() < deadline, "it is not served in plain");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // All addresses have the port of each: our own listener is not in the way.
    let [everywhere, beside] =
        [[0_u8, 0, 0, 0], [127, 0, 0, 2]].map(|ip| SocketAddr::from((ip, places[1].port())));
    let deadline = Instant::now() + PATIENCE;
    for (to, at) in [(everywhere, beside), (places[1], places[1])] {
        node.takes(moves(listen(to))).await;
        while !served(at).await {
            assert!(Instant::now() < deadline, "{at} is not served");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    gone(beside).await;
    node.takes(moves(String::new())).await;
    gone(places[1]).await;
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_servers_of_names_are_asked_from_the_next_call_on() {
    let caller = Party::new("127.0.0.1").await;
    let first = Party::new("127.0.0.2").await;
    let port = first.phone.address.port();
    // The same port at another address.
    let second = UdpSocket::bind(("127.0.0.3", port)).await.unwrap();
    let names = [Nameserver::start().await, Nameserver::start().await];
    names[0].set("peer.example.com", vec![a("127.0.0.2")]);
    names[1].set("peer.example.com", vec![a("127.0.0.3")]);
    let ask = |at: SocketAddr| format!("\n[dns]\nservers = [\"{at}\"]\n");
    let exit = exit_to(first.phone.address)
        .replace("targets = [\"127.0.0.2:", "targets = [\"peer.example.com:")
        .replace("[\"127.0.0.2\"]", "[\"127.0.0.2\", \"127.0.0.3\"]");
    let node = Node::start_with(|text| text + &exit + &ask(names[0].address)).await;
    call(&node, &caller, &first, "first")
        .await
        .ends(&node, &caller, &first)
        .await;
    node.takes(|text| text.split("\n[dns]").next().unwrap().to_owned() + &ask(names[1].address))
        .await;
    let uri = format!("sip:+15550100@{}", node.udp());
    let invite = request("INVITE", &uri, caller.phone.address, &caller.description());
    caller
        .phone
        .send(&invite.replace("test1", "second"), node.udp())
        .await;
    let mut buffer = vec![0; 65_536];
    let heard = tokio::time::timeout(PATIENCE, second.recv_from(&mut buffer)).await;
    let (length, _) = heard.expect("nothing comes").unwrap();
    assert!(buffer[..length].starts_with(b"INVITE "));
    first.phone.hears_nothing();
    assert!(names[1].queries("peer.example.com") > 0);
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_what_happens_hears_of_refused_reloads_and_of_alarms() {
    let node = Node::start().await;
    let socket = node.directory.path().join("run/api.sock");
    let (say, mut said) = tokio::sync::mpsc::unbounded_channel();
    let listening = tokio::task::spawn_blocking(move || events(&socket));
    let reader = listening.await.unwrap();
    std::thread::spawn(move || {
        let lines = std::io::BufRead::lines(reader);
        lines
            .map_while(Result::ok)
            .all(|line| say.send(line).is_ok())
    });
    // The data of the next event of this kind about this, if it comes within this time. Others come by themselves, such as
    // of a peer that is not there.
    let mut hears = async |kind: &str, about: &str, patience| {
        let begin = format!("event: {kind}");
        let next = async {
            loop {
                while said.recv().await? != begin {}
                let data = said.recv().await?;
                if data.contains(about) {
                    return Some(data);
                }
            }
        };
        let line: Option<String> = tokio::time::timeout(patience, next).await.ok().flatten();
        let line = line?;
        let data = line.strip_prefix("data: ").unwrap();
        Some(serde_json::from_str::<Value>(data).unwrap())
    };
    const REFUSED: &str = "the last reload";
    let path = node.directory.path().join("causeway.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let raised = loop {
        // What was wrong when the daemon looked first is nothing new.
        let (status, _) = node.asks_for(|_| good.clone() + "\nnonsense = 1\n").await;
        assert_eq!(status, 422);
        let refused = hears("config.refused", "", PATIENCE).await.unwrap();
        assert_eq!(
            (&refused["by"], &refused["errors"]),
            (&"reload".into(), &1.into())
        );
        assert!(
            refused["why"].as_str().unwrap().contains("nonsense"),
            "{refused}"
        );
        let soon = std::time::Duration::from_secs(3);
        if let Some(raised) = hears("alarm.raised", REFUSED, soon).await {
            break raised;
        }
        assert!(Instant::now() < deadline, "no alarm is raised");
        node.takes(|_| good.clone()).await;
        hears("alarm.cleared", REFUSED, PATIENCE)
            .await
            .expect("it is over");
    };
    let text = raised["alarm"].as_str().unwrap();
    assert!(
        text.starts_with(REFUSED) && text.contains("was refused"),
        "{text}"
    );
    node.takes(|_| good.clone()).await;
    assert!(hears("config.reload", "", PATIENCE).await.is_some());
    let cleared = hears("alarm.cleared", REFUSED, PATIENCE).await.unwrap();
    assert_eq!(cleared["alarm"], raised["alarm"]);
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_records_are_exported_once_by_who_comes_back() {
    let (caller, callee) = (Party::new("127.0.0.1").await, Party::new("127.0.0.2").await);
    let node = Node::start_with(|text| text + &exit_to(callee.phone.address)).await;
    let folder = node.directory.path().to_owned();
    let export = async |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(["cdr", "export"]).args(more);
        command.arg("--socket").arg(folder.join("run/api.sock"));
        let done = tokio::task::spawn_blocking(move || command.output().unwrap());
        let done = done.await.unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        (
            done.status.code(),
            String::from_utf8(done.stdout).unwrap(),
            told,
        )
    };
    let resume = folder.join("exported");
    let resume = ["--resume", resume.to_str().unwrap()];
    let mut seen = Vec::new();
    for id in ["first", "second", "third"] {
        call(&node, &caller, &callee, id)
            .await
            .ends(&node, &caller, &callee)
            .await;
        assert!(node.daemon.wait_until_idle(PATIENCE).await);
        let deadline = Instant::now() + PATIENCE;
        let had = seen.len();
        // The writer takes a moment.
        while seen.len() == had {
            let (code, text, told) = export(&resume).await;
            assert_eq!((code, told.as_str()), (Some(0), ""));
            let lines = text
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            seen.extend(lines.map(|own| own["ingress"]["call_id"].as_str().unwrap().to_owned()));
            assert!(Instant::now() < deadline, "no record of {id}");
        }
    }
    assert_eq!(seen, ["first", "second", "third"]);
    let (_, text, _) = export(&["--csv", "--trunk", "carrier", "--direction", "in"]).await;
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.len() == 4 && lines[0].starts_with("\"call\",\"node\""),
        "{text}"
    );
    let (_, text, _) = export(&["--trunk", "carrier", "--direction", "out"]).await;
    assert_eq!(text, "");
    // Trunks that are gone have records; so nobody knows that this is none.
    let (code, text, told) = export(&["--trunk", "carier"]).await;
    assert_eq!((code, text.as_str()), (Some(0), ""));
    assert!(told.contains("a trunk \"carier\"?"), "{told}");
    let (code, _, told) = export(&["--cause", "nonsense"]).await;
    assert!(
        code != Some(0) && told.contains("there is no cause"),
        "{told}"
    );
    // As an answer of the interface: what it says of the rest.
    let answer = node.ask("GET", "/records/export?limit=2&form=csv").await;
    assert_eq!(answer.header("Causeway-More"), Some("true"));
    assert_eq!(answer.body.lines().count(), 3);
    let next = answer.header("Causeway-Next").unwrap().to_owned();
    let rest = node
        .ask("GET", &format!("/records/export?form=csv&cursor={next}"))
        .await;
    assert_eq!(
        (rest.body.lines().count(), rest.header("Causeway-More")),
        (1, Some("false"))
    );
    assert_eq!(
        node.ask("GET", "/records/export?cursor=x").await.status,
        400
    );
    assert_eq!(
        node.ask("GET", "/records/export?cursor=1-1-1").await.status,
        410
    );
    node.daemon.shutdown().await;
}
