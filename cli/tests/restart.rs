//! What outlives a restart of the daemon: what peers have registered, and what was spent.

use crate::daemon::configured;
use crate::support::{Lines, PATIENCE, write};

use bytes::Bytes;
use causeway::client::ask;
use causeway::daemon::{Daemon, Options};
use causeway::sink::log::{Form, Level, Log};
use sbc_core::auth::{Account, Algorithm, Challenge, Password, Proof, Qop};
use sbc_core::sip::{Limits, Message, Method};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UdpSocket;

const EXCHANGE: &str = r#"
[[trunk]]
name = "pbx"
tenant = "contoso"
realm = "core"
mode = "registrar"
accept_from = ["127.0.0.2"]
authenticate = { username = "pbx1", password = { file = "DIR/pbx" }, realm = "sip.example.com" }
registrar = { aor = "sip:pbx1@sip.example.com" }
"#;

fn register(cseq: u32, credentials: &str) -> String {
    format!(
        "REGISTER sip:sip.example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bK{cseq};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:pbx1@sip.example.com>;tag=p1\r\nTo: <sip:pbx1@sip.example.com>\r\n\
         Call-ID: r1\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:line7@10.0.0.7:5060>\r\n\
         {credentials}Content-Length: 0\r\n\r\n"
    )
}

/// Sends and waits for the answer.
async fn answered(exchange: &UdpSocket, daemon: &Daemon, text: String) -> Message {
    let to = daemon.net().address(&"udp".into()).unwrap();
    exchange.send_to(text.as_bytes(), to).await.unwrap();
    let mut buffer = vec![0; 65_536];
    let answer = tokio::time::timeout(PATIENCE, exchange.recv(&mut buffer));
    let length = answer.await.expect("an answer").unwrap();
    buffer.truncate(length);
    Message::parse(Bytes::from(buffer), &Limits::default()).unwrap()
}

fn proven(challenge: &Challenge) -> String {
    let account = Account {
        username: "pbx1".to_owned(),
        password: Password::new(b"correct".to_vec()),
        realms: Vec::new(),
        allows_md5: false,
    };
    let proof = Proof {
        algorithm: Algorithm::named(b"SHA-256").unwrap(),
        account: &account,
        realm: &challenge.realm,
        nonce: &challenge.nonce,
        qop: Some(Qop::Auth),
        count: 1,
        cnonce: "c0ffee",
        method: &Method::Register,
        uri: &Bytes::from_static(b"sip:sip.example.com"),
        body: &Bytes::new(),
    };
    let nonce = String::from_utf8_lossy(&challenge.nonce);
    format!(
        "Authorization: Digest username=\"pbx1\", realm=\"sip.example.com\", nonce=\"{nonce}\", \
         uri=\"sip:sip.example.com\", response=\"{}\", cnonce=\"c0ffee\", qop=auth, nc=00000001, \
         algorithm=SHA-256\r\n",
        proof.response()
    )
}

pub(crate) async fn started(folder: &Path) -> Arc<Daemon> {
    let (log, _) = Log::start(Level::Debug, Form::Text, Lines::default()).unwrap();
    let options = Options {
        config: folder.join("causeway.toml"),
        shards: 2,
        state: Some(folder.join("state")),
    };
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        match Daemon::start(options.clone(), log.clone()).await {
            Ok(daemon) => return daemon,
            // The ports are chosen once; another program may have one of them for a moment.
            Err(fault) => {
                let fault = fault.to_string();
                let is_taken = fault.contains("Address already in use");
                let now = std::time::Instant::now();
                assert!(is_taken && now < deadline, "{fault}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

/// What the operator sees of the exchange's contact, as soon as there is one.
async fn contact(folder: &Path) -> Value {
    let socket = folder.join("run/api.sock");
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let socket = socket.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&socket, "GET", "/status"));
        let answer = asked.await.unwrap().unwrap();
        let status: Value = serde_json::from_str(&answer.body).unwrap();
        let contact = status["bindings"][0].clone();
        if !contact["contact"].is_null() {
            return contact;
        }
        assert!(std::time::Instant::now() < deadline, "{status}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_has_registered_is_reached_after_a_restart() {
    let (directory, _) = configured(|text| text + EXCHANGE);
    let folder = directory.path();
    let own = folder.join("causeway.toml");
    let text = std::fs::read_to_string(&own).unwrap();
    std::fs::write(&own, text.replace("DIR", &folder.display().to_string())).unwrap();
    crate::daemon::private(&write(folder, "pbx", "correct"));

    let daemon = started(folder).await;
    let exchange = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let refusal = answered(&exchange, &daemon, register(1, "")).await;
    let challenge = Challenge::all_of(&refusal).remove(0);
    let ok = answered(&exchange, &daemon, register(2, &proven(&challenge))).await;
    assert_eq!(ok.status().map(|status| status.code()), Some(200));
    let before = contact(folder).await;
    daemon.shutdown().await;

    let daemon = started(folder).await;
    let after = contact(folder).await;
    for key in ["contact", "reached_at", "protocol"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    let second = |contact: &Value| contact["until"].as_str().map(|at| at[..19].to_owned());
    assert_eq!(second(&before), second(&after));
    let here = exchange.local_addr().unwrap().to_string();
    assert_eq!(after["reached_at"], here.as_str());
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_was_spent_before_a_restart_is_spent_and_shows() {
    let (directory, _) = configured(|text| {
        let limits = "name = \"contoso\"\nnumbers = [\"+15550100-+15550199\"]\nlimits = { spend_per_day = 5 }\n";
        let rates = "\n[[rate]]\nprefix = \"+\"\nper_minute = 1\n\
                     [[route]]\nname = \"in\"\nmatch = { from_trunk = \"carrier\" }\n\
                     to = [{ trunk = \"teams-contoso\" }]\n";
        let tenant = "name = \"contoso\"\nnumbers = [\"+15550100-+15550199\"]\n";
        text.replacen(tenant, limits, 1) + rates
    });
    let folder = directory.path();
    std::fs::create_dir_all(folder.join("state")).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let wall = now.unwrap().as_micros();
    let text = format!(
        "{{\"version\":1,\"spending\":{{\"wall\":{wall},\"clock\":0,\"accounts\":[{{\
         \"of\":\"tenant\",\"name\":\"contoso\",\"number\":null,\"hour\":[],\
         \"day\":[[0,5500000]]}}],\"left_out\":0}}}}"
    );
    write(&folder.join("state"), "spending.json", &text);
    for restart in 0..2 {
        let daemon = started(folder).await;
        let shown = || daemon.sinks().metrics.text();
        let spent =
            "sbc_spend{direction=\"both\",name=\"contoso\",of=\"tenant\",period=\"day\"} 5.5\n";
        assert!(shown().contains(spent), "{restart}: {}", shown());
        let carrier = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let status = called(&carrier, &daemon, restart).await;
        assert_eq!(status, 403, "{restart}");
        let limit =
            "sbc_spend_limit{direction=\"both\",name=\"contoso\",of=\"tenant\",period=\"day\"} 5\n";
        assert!(shown().contains(limit), "{restart}: {}", shown());
        if restart == 1 {
            forgiven(folder).await;
            // Nobody has an answer for it, but money is not why.
            let status = called(&carrier, &daemon, 2).await;
            assert_ne!(status, 403);
        }
        daemon.shutdown().await;
    }
}

/// An operator looks at what was spent, and forgives it.
async fn forgiven(folder: &Path) {
    let socket = folder.join("run/api.sock");
    let types = async |arguments: &'static [&'static str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(arguments).arg("--socket").arg(&socket);
        let done = tokio::task::spawn_blocking(move || command.output().unwrap());
        let done = done.await.unwrap();
        let text = |octets| String::from_utf8(octets).unwrap();
        (done.status.code(), text(done.stdout), text(done.stderr))
    };
    let (code, told, _) = types(&["fraud"]).await;
    let row = told.lines().nth(1).unwrap_or_default();
    let row: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(code, Some(0));
    assert_eq!(row[..3], ["tenant", "contoso", "both"], "{told}");
    for cell in ["5.50", "5.00", "day", "block"] {
        assert!(row.contains(&cell), "{cell} is not in {told}");
    }
    let (code, _, why) = types(&["fraud", "reset", "contoso"]).await;
    assert_eq!(code, Some(5), "{why}");
    assert!(why.contains("repeat with --yes"), "{why}");
    let (code, _, why) = types(&["fraud", "reset", "contosso", "--yes"]).await;
    assert_eq!(code, Some(5), "{why}");
    assert!(why.contains("\"contoso\""), "{why}");
    let (code, told, why) = types(&["fraud", "reset", "contoso", "--yes"]).await;
    assert_eq!((code, why.as_str()), (Some(0), ""), "{told}");
    assert!(told.ends_with("them: 1\n"), "{told}");
    let (_, told, _) = types(&["fraud", "status"]).await;
    assert!(told.starts_with("nothing was spent"), "{told}");
}

/// A call of the carrier to a number of the customer, and the status that it ends with.
async fn called(carrier: &UdpSocket, daemon: &Daemon, restart: u8) -> u16 {
    let local = carrier.local_addr().unwrap();
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
               m=audio 40000 RTP/AVP 8\r\n";
    let invite = format!(
        "INVITE sip:+15550100@127.0.0.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {local};branch=z9hG4bKr{restart}\r\nMax-Forwards: 70\r\n\
         From: <sip:+15550300@127.0.0.1>;tag=c1\r\nTo: <sip:+15550100@127.0.0.1>\r\n\
         Call-ID: m{restart}\r\nCSeq: 1 INVITE\r\nContact: <sip:{local}>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    let to = daemon.net().address(&"udp".into()).unwrap();
    carrier.send_to(invite.as_bytes(), to).await.unwrap();
    let mut buffer = vec![0; 65_536];
    loop {
        let answer = tokio::time::timeout(PATIENCE, carrier.recv(&mut buffer));
        let length = answer.await.expect("an answer").unwrap();
        let octets = Bytes::copy_from_slice(&buffer[..length]);
        let told = String::from_utf8_lossy(&octets).into_owned();
        let answer = Message::parse(octets, &Limits::default()).unwrap();
        let status = answer.status().map_or(0, |status| status.code());
        // The one before may be repeated, as nobody acknowledges it.
        let is_own = told.contains(&format!("Call-ID: m{restart}\r\n"));
        if is_own && status >= 200 {
            return status;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_refuses_keeps_no_node_from_starting_and_status_says_what_is_missing() {
    let (directory, _) = configured(|text| text);
    let folder = directory.path();
    // Neither can be a directory: as after the disk has become one that can only be read.
    write(folder, "state", "in the way");
    let config = folder.join("causeway.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let spool = format!("spool = \"{}/cdr\"", folder.display());
    assert!(text.contains(&spool));
    let elsewhere = "spool = \"/proc/causeway-cdr\"";
    std::fs::write(&config, text.replace(&spool, elsewhere)).unwrap();
    let daemon = started(folder).await;
    let status = || {
        let socket = folder.join("run/api.sock");
        tokio::task::spawn_blocking(move || ask(&socket, "GET", "/status"))
    };
    let answer = status().await.unwrap().unwrap();
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    let degraded: Vec<&str> = told["degraded"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    for wanted in [
        "call records wait in memory",
        "what peers have registered",
        "numbers that are lent",
        "when Teams was asked",
        "what was spent",
        "the audit log",
    ] {
        let is_told = degraded.iter().any(|one| one.starts_with(wanted));
        assert!(is_told, "{wanted}: {degraded:?}");
    }
    daemon.shutdown().await;
}
