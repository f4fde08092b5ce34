//! A peer that vanishes without a word while something is on its way to it: its connection is given up, and
//! the call goes elsewhere (SIP-128).
//!
//! Only a network can take a peer away, so the test makes one: it runs itself twice more, as the daemon's
//! side in a network namespace of its own and as the peer in another, with a link between the two. Nothing
//! of the host's network is touched. Where the host allows no namespaces it says so.

use crate::daemon::{Node, Phone, exit_to, request};

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

const NAME: &str = "vanished::a_peer_that_vanishes_with_data_in_flight_is_given_up_within_20_s";

/// As what this program was run again.
const ROLE: &str = "CAUSEWAY_TEST_VANISHED";

/// The peer's address.
const FAR: &str = "10.9.0.2";
/// The daemon's.
const NEAR: &str = "10.9.0.1";

/// What the namespaces are made with: as any user, who is root in a namespace of his own.
const UNSHARE: [&str; 2] = ["--map-root-user", "--net"];

#[test]
fn a_peer_that_vanishes_with_data_in_flight_is_given_up_within_20_s() {
    match std::env::var(ROLE).as_deref() {
        Ok("near") => return near(),
        Ok("far") => return far(),
        _ => {}
    }
    if let Err(why) = tried() {
        // Not through the test's own output, which nobody sees of a test that passes.
        let _ = writeln!(
            std::io::stderr(),
            "{NAME}: not tried, this host makes no network namespaces: {why}"
        );
        return;
    }
    let output = again(&UNSHARE, "near").output().expect("unshare");
    let told = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let (text, errors) = (told(&output.stdout), told(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(
        text.contains("1 passed") && text.contains("gave up after"),
        "{text}"
    );
}

/// Whether a namespace and a link in it can be made.
fn tried() -> Result<(), String> {
    let link = "ip link add name near type veth peer name far";
    let tried = Command::new("unshare")
        .args(UNSHARE)
        .args(["sh", "-c", link])
        .output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(why) => Err(format!("unshare: {why}")),
    }
}

/// This test again, in a new namespace and another role.
fn again(unshare: &[&str], role: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(unshare)
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", NAME, "--nocapture"])
        .env(ROLE, role);
    command
}

fn ip(arguments: &str) {
    let words = arguments.split(' ');
    let done = Command::new("ip").args(words).status().expect("ip");
    assert!(done.success(), "ip {arguments}");
}

/// The peer's process, which ends with the test whatever becomes of it.
struct Peer {
    process: Child,
    commands: ChildStdin,
    lines: BufReader<std::process::ChildStdout>,
}

impl Peer {
    fn start() -> Self {
        let mut process = again(&["--net"], "far")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let commands = process.stdin.take().expect("its input");
        let lines = BufReader::new(process.stdout.take().expect("its output"));
        Self {
            process,
            commands,
            lines,
        }
    }

    fn says(&mut self, wanted: &str) {
        let mut line = String::new();
        while !line.contains(wanted) {
            line.clear();
            let read = self.lines.read_line(&mut line).expect("its output");
            assert!(read > 0, "the peer ended before it said {wanted}");
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The peer: refuses the first call, and hears nothing of the next.
fn far() {
    println!("\nin its namespace");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a link");
    ip("link set lo up");
    ip(&format!("addr add {FAR}/24 dev far"));
    ip("link set far up");
    let listener = TcpListener::bind((FAR, 5060)).expect("an address");
    println!("\nlistening");
    let (mut stream, _) = listener.accept().expect("a connection");
    let invite = message(&mut stream);
    let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
    let mut busy = "SIP/2.0 486 Busy Here\r\n".to_owned();
    for line in invite.lines() {
        let name = line.split(':').next().unwrap_or_default();
        if copied.contains(&name) {
            busy.push_str(line);
            busy.push_str(if name == "To" { ";tag=far\r\n" } else { "\r\n" });
        }
    }
    busy.push_str("Content-Length: 0\r\n\r\n");
    stream.write_all(busy.as_bytes()).expect("a connection");
    // Its kernel would go on to acknowledge, if anything came.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    std::thread::sleep(Duration::from_secs(60));
}

/// The head of the first message on a connection.
fn message(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet).expect("a message");
        head.push(octet[0]);
    }
    String::from_utf8(head).expect("text")
}

/// The daemon's side.
fn near() {
    ip("link set lo up");
    ip("link add name near type veth peer name far");
    ip(&format!("addr add {NEAR}/24 dev near"));
    ip("link set near up");
    let mut peer = Peer::start();
    peer.says("in its namespace");
    ip(&format!("link set far netns {}", peer.process.id()));
    peer.commands.write_all(b"go\n").expect("its input");
    peer.says("listening");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let waited = runtime.block_on(calls());
    println!("gave up after {} ms", waited.as_millis());
    // Nothing else would have made it go on so early: the target itself may be silent for 30 s.
    let expected = Duration::from_secs(17)..Duration::from_secs(25);
    assert!(expected.contains(&waited), "{waited:?}");
}

/// RFC 3261 §18.4, FM-52: what ICMP says of a request is as good as a response, and comes much sooner than none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_listens_is_left_for_the_next_target_at_once() {
    let (caller, other) = (Phone::new("127.0.0.1").await, Phone::new("127.0.0.1").await);
    let gone = UdpSocket::bind("127.0.0.77:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let node = Node::start_with(|text| {
        let exit = exit_to(gone).replace(
            "options = false",
            "options = false\ntimers = { response_timeout = \"30s\" }",
        );
        let both = format!("{gone};udp\", \"{};udp\"", other.address);
        format!("{text}{}", exit.replace(&format!("{gone};udp\""), &both))
    })
    .await;
    let to = node.udp();
    let uri = format!("sip:+15550100@{to}");
    let invite = request("INVITE", &uri, caller.address, &caller.description());
    caller.send(&invite, to).await;
    other.hears("INVITE").await;
    node.daemon.hang_up_all().await;
    node.daemon.shutdown().await;
    let records = node.lines.text();
    assert!(records.contains(&gone.to_string()), "{records}");
}

/// Two calls, with the link cut between them: how long the second one took to go elsewhere.
async fn calls() -> Duration {
    let (caller, other) = (Phone::new("127.0.0.1").await, Phone::new(NEAR).await);
    let node = Node::start_with(|text| {
        format!(
            "{text}
[[realm]]
name = \"wide\"
addresses = [\"{NEAR}\"]
ports = \"30000-30999\"

[[listen]]
name = \"wide-tcp\"
realm = \"wide\"
transport = \"tcp\"
port = 5070

[[listen]]
name = \"wide-udp\"
realm = \"wide\"
transport = \"udp\"
port = 5070

[[trunk]]
name = \"exit\"
tenant = \"*\"
realm = \"wide\"
targets = [\"{FAR}:5060;tcp\", \"{};udp\"]
accept_from = [\"10.9.0.0/24\"]
options = false
timers = {{ response_timeout = \"30s\" }}

[[route]]
name = \"out\"
match = {{ from_trunk = \"carrier\" }}
to = [{{ trunk = \"exit\" }}]
",
            other.address
        )
    })
    .await;
    let to = node.udp();
    let uri = format!("sip:+15550100@{to}");
    let invite = request("INVITE", &uri, caller.address, &caller.description());
    caller.send(&invite, to).await;
    caller.hears("SIP/2.0 486").await;
    // From now on what is sent to the peer reaches a machine that is not there.
    ip(&format!(
        "neigh replace {FAR} lladdr 02:00:00:00:00:99 dev near nud permanent"
    ));
    let began = Instant::now();
    caller.send(&invite.replace("test1", "test2"), to).await;
    let (text, _) = other.hears_within("INVITE", Duration::from_secs(40)).await;
    let waited = began.elapsed();
    assert!(text.contains("+15550100"), "{text}");
    node.daemon.hang_up_all().await;
    node.daemon.shutdown().await;
    let log = node.lines.text();
    assert!(log.contains(FAR), "{log}");
    waited
}
