//! Whom an operator keeps out and lets in for a while, over real sockets; and taking a token away.

use crate::daemon::configured;
use crate::network::{Desk, write_hash};
use crate::restart::started;
use crate::support::{PATIENCE, options};

use causeway::client::{Answer, ask};
use causeway::command::exit;
use causeway::command::form::Output;
use causeway::command::node::Connection;
use causeway::command::protection::{self, Acl, Bans, How};
use causeway::command::trunk::{self, Trunks};
use causeway::daemon::Daemon;
use causeway::sink::audit;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::time::timeout;

struct Node {
    folder: TempDir,
    daemon: Arc<Daemon>,
}

/// Somebody who asks with OPTIONS from an address.
struct Peer(UdpSocket);

impl Node {
    async fn start() -> Self {
        Self::in_folder(configured(|text| text).0).await
    }

    async fn in_folder(folder: TempDir) -> Self {
        let daemon = started(folder.path()).await;
        Self { folder, daemon }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("run/api.sock")
    }

    async fn send(&self, method: &'static str, path: &str) -> Answer {
        let (socket, path) = (self.socket(), path.to_owned());
        tokio::task::spawn_blocking(move || ask(&socket, method, &path))
            .await
            .unwrap()
            .unwrap()
    }

    async fn does(&self, method: &'static str, path: &str) -> Value {
        let answer = self.send(method, path).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Looks until this holds of what is let in and kept out.
    async fn shows(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.does("GET", "/security").await;
            if holds(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "{what}: {shown}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What a command prints, and its exit code.
    async fn types(
        &self,
        command: impl FnOnce(&Connection, &mut Vec<u8>) -> u8 + Send + 'static,
    ) -> (u8, String) {
        let to = Connection {
            socket: self.socket(),
            reason: Some("night shift".to_owned()),
            output: Output::default(),
        };
        tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            let code = command(&to, &mut out);
            (code, String::from_utf8(out).unwrap())
        })
        .await
        .unwrap()
    }
}

impl Peer {
    async fn at(address: &str) -> Self {
        Self(UdpSocket::bind((address, 0)).await.unwrap())
    }

    async fn asks(&self, node: &Node, call_id: &str) {
        let to = node.daemon.net().address(&"udp".into()).unwrap();
        let text = options(call_id)
            .replace("SIP/2.0/TCP", "SIP/2.0/UDP")
            .replace(";branch", ";rport;branch");
        self.0.send_to(text.as_bytes(), to).await.unwrap();
    }

    async fn is_answered(&self, node: &Node, call_id: &str) {
        self.asks(node, call_id).await;
        let mut answer = vec![0; 4_096];
        let heard = timeout(PATIENCE, self.0.recv(&mut answer)).await;
        let length = heard.expect("an answer").unwrap();
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(text.contains(call_id), "{text}");
    }

    fn has_heard_nothing(&self) {
        let heard = self.0.try_recv(&mut [0; 64]);
        assert!(heard.is_err(), "{heard:?}");
    }
}

fn dropped(shown: &Value) -> u64 {
    shown["bans"][0]["dropped"].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_keeps_even_a_peer_out_over_reloads_and_restarts_until_it_ends() {
    let node = Node::start().await;
    let peer = Peer::at("127.0.0.1").await;
    peer.is_answered(&node, "before").await;
    for wrong in [
        "?address=x",
        "?address=192.0.2.7/28",
        "?address=0.0.0.0/0",
        "?address=192.0.2.7&seconds=0",
        "?address=192.0.2.7&seconds=2592001",
        "?address=192.0.2.7&reason=a%0Ab",
        "?addres=192.0.2.7",
        "",
    ] {
        let answer = node.send("POST", &format!("/security/bans{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
    // A peer is banned by nobody who does not say that it is meant.
    let path = "/security/bans?address=127.0.0.1&seconds=600&reason=floods";
    let refused = node.send("POST", path).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body.contains("carrier"), "{}", refused.body);
    peer.is_answered(&node, "still").await;
    let banned = node.does("POST", &format!("{path}&force=true")).await;
    assert_eq!(banned["kept"], true);
    assert!(
        banned["warning"].as_str().unwrap().contains("carrier"),
        "{banned}"
    );

    peer.asks(&node, "dropped").await;
    let shown = node.shows("a drop", |shown| dropped(shown) == 1).await;
    peer.has_heard_nothing();
    let ban = &shown["bans"][0];
    assert_eq!(
        (&ban["address"], &ban["reason"]),
        (&json!("127.0.0.1"), &json!("floods"))
    );
    assert!(
        ban["trunks"]
            .as_array()
            .unwrap()
            .contains(&json!("carrier"))
    );
    assert!(ban["seconds_left"].as_u64().unwrap() > 500);
    let metrics = node.daemon.sinks().metrics.text();
    assert!(
        metrics.contains("sbc_sip_dropped_total{reason=\"banned\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("sbc_security_entries{kind=\"ban\"} 1"),
        "{metrics}"
    );

    node.does("POST", "/reload").await;
    peer.asks(&node, "reloaded").await;
    node.shows("a drop after a reload", |shown| dropped(shown) == 2)
        .await;
    node.daemon.shutdown().await;
    let node = Node::in_folder(node.folder).await;
    peer.asks(&node, "restarted").await;
    node.shows("a drop after a restart", |shown| dropped(shown) == 1)
        .await;
    peer.has_heard_nothing();

    node.does("DELETE", "/security/bans?address=127.0.0.1")
        .await;
    peer.is_answered(&node, "again").await;
    let gone = node
        .send("DELETE", "/security/bans?address=127.0.0.1")
        .await;
    assert_eq!(gone.status, 404);
    // One that ends by itself.
    node.does(
        "POST",
        "/security/bans?address=127.0.0.1&seconds=1&force=true",
    )
    .await;
    node.shows("the end", |shown| shown["bans"] == json!([]))
        .await;
    peer.is_answered(&node, "over").await;
    // What nobody waits for is written, too.
    node.daemon.sinks().audit.finish().await;
    let read = audit::read(&node.folder.path().join("state").join(audit::FILE), 1_000).unwrap();
    let what: Vec<&str> = read.entries.iter().map(|own| own.what.as_str()).collect();
    let is_told = |text: &str| what.iter().any(|own| own.contains(text));
    assert!(is_told("POST /security/bans 127.0.0.1 until"), "{what:?}");
    assert!(is_told("DELETE /security/bans 127.0.0.1"), "{what:?}");
    // One that ends by itself is told, too; what for is told with each.
    let over = read
        .entries
        .iter()
        .find(|own| own.what == "the time of this is over");
    assert_eq!(over.unwrap().object.as_deref(), Some("ban 127.0.0.1"));
    let mut reasons = read.entries.iter().filter_map(|own| own.reason.as_deref());
    assert!(reasons.any(|reason| reason == "floods"), "{what:?}");
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_is_a_trunks_peer_until_its_time_is_over_and_a_ban_outranks_it() {
    let node = Node::start().await;
    let guest = Peer::at("127.0.0.2").await;
    guest.asks(&node, "stranger").await;
    let is_known = |shown: &Value| shown["strangers"][0]["source"] == "127.0.0.2";
    let shown = node.shows("a stranger", is_known).await;
    assert_eq!(shown["strangers"][0]["listener"], "udp");
    guest.has_heard_nothing();

    let path = "/security/allowed?trunk=carrier&address=127.0.0.2";
    let allowed = node.does("POST", &format!("{path}&seconds=600")).await;
    assert_eq!(
        (&allowed["trunk"], &allowed["kept"], &allowed["warning"]),
        (&json!("carrier"), &json!(true), &Value::Null)
    );
    guest.is_answered(&node, "guest").await;
    let (code, told) = node
        .types(|to, out| {
            let show = Trunks::Show {
                name: "carrier".to_owned(),
            };
            trunk::trunks(&show, to, out).unwrap()
        })
        .await;
    assert_eq!(code, exit::OK);
    assert!(
        told.contains("127.0.0.2") && told.contains("the configuration"),
        "{told}"
    );
    node.does("POST", "/reload").await;
    guest.is_answered(&node, "reloaded").await;

    node.does(
        "POST",
        "/security/bans?address=127.0.0.2&seconds=60&force=true",
    )
    .await;
    guest.asks(&node, "banned").await;
    node.shows("a drop", |shown| dropped(shown) == 1).await;
    let again = node.send("POST", &format!("{path}&seconds=600")).await;
    assert_eq!(again.status, 409, "{}", again.body);
    assert!(again.body.contains("outranks"), "{}", again.body);
    node.does("DELETE", "/security/bans?address=127.0.0.2")
        .await;
    guest.is_answered(&node, "unbanned").await;

    // A shorter time for the same addresses, which ends.
    node.does("POST", &format!("{path}&seconds=1")).await;
    let has_guest = |shown: &Value| {
        let all = shown["allowed"].as_array().unwrap();
        all.iter().any(|own| own["address"] == "127.0.0.2")
    };
    node.shows("the end", |shown| !has_guest(shown)).await;
    // By whom it is dropped depends on whether calls of it could go on.
    let dropped = || {
        let metrics = node.daemon.sinks().metrics.text();
        let name = "sbc_sip_dropped_total{reason=\"stranger\"} ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse::<u64>().unwrap()
    };
    let before = dropped();
    guest.asks(&node, "over").await;
    node.shows("a stranger again", |_| dropped() > before).await;
    guest.has_heard_nothing();
    for (wrong, status) in [
        ("?trunk=nobody&address=127.0.0.2", 404),
        ("?trunk=carrier&address=127.0.0.1", 400),
        ("?trunk=carrier&address=0.0.0.0/0", 400),
        ("?address=127.0.0.2", 400),
    ] {
        let answer = node
            .send("POST", &format!("/security/allowed{wrong}"))
            .await;
        assert_eq!(answer.status, status, "{wrong}: {}", answer.body);
    }
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_ban_and_let_in_and_a_script_has_to_say_that_it_means_a_peer() {
    let node = Node::start().await;
    let how = |yes| How { ttl: 600, yes };
    let add = move |address: &str, yes| {
        let command = Bans::Add {
            address: address.to_owned(),
            how: how(yes),
        };
        move |to: &Connection, out: &mut Vec<u8>| protection::bans(&command, to, out).unwrap()
    };
    assert_eq!(node.types(add("127.0.0.1", false)).await.0, exit::REFUSED);
    let (code, told) = node.types(add("198.51.100.0/24", false)).await;
    assert_eq!(code, exit::OK);
    assert!(told.starts_with("198.51.100.0/24 until 2"), "{told}");
    assert_eq!(node.types(add("127.0.0.3", true)).await.0, exit::OK);
    assert_eq!(node.types(add("x", true)).await.0, exit::USAGE);
    let list = |to: &Connection, out: &mut Vec<u8>| protection::bans(&Bans::List, to, out).unwrap();
    let (_, told) = node.types(list).await;
    for text in [
        "198.51.100.0/24",
        "127.0.0.3",
        "night shift",
        "no stranger has come",
    ] {
        assert!(told.contains(text), "{text}: {told}");
    }
    let del = |to: &Connection, out: &mut Vec<u8>| {
        let address = "127.0.0.3".to_owned();
        protection::bans(&Bans::Del { address }, to, out).unwrap()
    };
    assert_eq!(
        node.types(del).await,
        (exit::OK, "127.0.0.3 ended\n".to_owned())
    );
    assert_eq!(node.types(del).await.0, exit::REFUSED);

    let allow = move |to: &Connection, out: &mut Vec<u8>| {
        let command = Acl::Add {
            trunk: "carrier".to_owned(),
            address: "203.0.113.8/29".to_owned(),
            how: how(false),
        };
        protection::acl(&command, to, out).unwrap()
    };
    assert_eq!(node.types(allow).await.0, exit::OK);
    let list = |to: &Connection, out: &mut Vec<u8>| protection::acl(&Acl::List, to, out).unwrap();
    let (_, told) = node.types(list).await;
    assert!(
        told.contains("203.0.113.8/29") && told.contains("127.0.0.0/8"),
        "{told}"
    );
    let disallow = |to: &Connection, out: &mut Vec<u8>| {
        let command = Acl::Del {
            trunk: "carrier".to_owned(),
            address: "203.0.113.8/29".to_owned(),
        };
        protection::acl(&command, to, out).unwrap()
    };
    assert_eq!(node.types(disallow).await.0, exit::OK);
    assert_eq!(node.types(disallow).await.0, exit::REFUSED);
    node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_revoked_is_nobodys_from_then_on_and_a_new_one_is_good() {
    let desk = Desk::start().await;
    let me = async |token: &str| desk.ask("GET", "/api/v1/me", Some(token), "").await;
    assert_eq!(me("token-operator").await.status, 200);
    let revoke = "/api/v1/tokens/operator/revoke";
    let refused = desk.ask("POST", revoke, Some("token-engineer"), "").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let done = desk.ask("POST", revoke, Some("token-admin"), "").await;
    assert_eq!(done.status, 200, "{done:?}");
    let done: Value = serde_json::from_str(&done.body).unwrap();
    assert_eq!(
        done,
        json!({ "name": "operator", "revoked": true, "kept": true })
    );
    let page = me("token-operator").await;
    assert_eq!(page.status, 401);
    assert!(page.body.contains("was revoked"), "{page:?}");
    assert_eq!(me("token-viewer").await.status, 200);
    let listed = desk
        .ask("GET", "/api/v1/tokens", Some("token-auditor"), "")
        .await;
    let listed: Value = serde_json::from_str(&listed.body).unwrap();
    let state = |name: &str| {
        let all = listed.as_array().unwrap();
        let found = all.iter().find(|own| own["name"] == name).unwrap();
        found["state"].clone()
    };
    assert_eq!(state("operator"), "revoked");
    assert_eq!(
        (state("viewer"), state("gone")),
        (json!("good"), json!("expired"))
    );
    let unknown = desk.ask(
        "POST",
        "/api/v1/tokens/nobody/revoke",
        Some("token-admin"),
        "",
    );
    let unknown = unknown.await;
    assert!(
        unknown.status == 404
            && unknown
                .body
                .contains("no [[api.user]] \\\"nobody\\\"; there are "),
        "{}",
        unknown.body
    );

    // A reload brings the old one back for nobody, and a new one.
    let reload = async || desk.local("POST", "/reload", false).await.status;
    assert_eq!(reload().await, 200);
    assert_eq!(me("token-operator").await.status, 401);
    write_hash(desk.directory.path(), "operator", "another-operator");
    assert_eq!(reload().await, 200);
    assert_eq!(me("another-operator").await.status, 200);
    assert_eq!(me("token-operator").await.status, 401);
    desk.daemon.shutdown().await;
}
