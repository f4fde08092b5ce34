//! What outlives a restart of the daemon: what peers have registered.

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
