//! Presence of users: a daemon that asks a login and a Graph over real sockets, and tells them who talks.

use crate::daemon::Node;
use crate::support::PATIENCE;

use causeway::command::node::Connection;
use causeway::command::teams::{self, Presence, Teams};
use conformance::ca::Authority;
use conformance::microsoft::{
    APPLICATION, DIRECTORY, GRAPH, LOGIN, Microsoft, Refusal, SECRET, Script,
};
use sbc_core::config::UserId;
use sbc_core::id::TenantName;
use sbc_core::time::Timestamp;
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ADA: &str = "0b2f3c4d-1111-2222-3333-444455556601";
const BOB: &str = "0b2f3c4d-1111-2222-3333-444455556602";
const EVE: &str = "0b2f3c4d-1111-2222-3333-444455556603";

/// A node, and the Microsoft of its first tenant.
struct Bench {
    node: Node,
    microsoft: Microsoft,
    _folder: TempDir,
    /// Takes connections for the second tenant and never says a word.
    _mute: TcpListener,
}

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

fn contoso() -> TenantName {
    TenantName::new("contoso")
}

impl Bench {
    async fn new(script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let authority = Authority::new("Causeway test").unwrap();
        std::fs::write(at("roots.pem"), authority.root_pem()).unwrap();
        std::fs::write(at("secret"), SECRET).unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(at("secret"), mode).unwrap();
        let microsoft = Microsoft::start(&authority, script).await.unwrap();
        let mute = TcpListener::bind("127.0.0.1:0").unwrap();
        let access = |place: SocketAddr| {
            format!(
                "graph = {{ tenant_id = \"{DIRECTORY}\", client_id = \"{APPLICATION}\", secret = {{ file = \"{}\" }}, \
                 roots = \"{}\", connect_to = {{ \"{LOGIN}\" = \"{place}\", \"{GRAPH}\" = \"{place}\" }}, \
                 presence = {{ every = \"1h\", set_busy = true }} }}",
                at("secret").display(),
                at("roots.pem").display(),
            )
        };
        let places = [microsoft.address, mute.local_addr().unwrap()];
        let node = Node::start_with(|text| {
            let mut text = text;
            for (tenant, place, users) in [
                (
                    "contoso",
                    places[0],
                    format!("\"+15550100\" = \"{ADA}\", \"+15550101\" = \"{BOB}\""),
                ),
                ("fabrikam", places[1], format!("\"+15550200\" = \"{EVE}\"")),
            ] {
                text = text
                    .replace(
                        &format!("name = \"{tenant}\"\nnumbers"),
                        &format!(
                            "name = \"{tenant}\"\n{}\nusers = {{ {users} }}\nnumbers",
                            access(place)
                        ),
                    )
                    .replace(
                        &format!("name = \"teams-{tenant}\"\n"),
                        &format!("name = \"teams-{tenant}\"\npreset = \"teams\"\n"),
                    );
            }
            text
        })
        .await;
        Self {
            node,
            microsoft,
            _folder: folder,
            _mute: mute,
        }
    }

    async fn presence(&self) -> Value {
        let answer = self.node.ask("GET", "/presence").await;
        serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{}", answer.body))
    }

    /// Waits until what is told of presence is so.
    async fn until(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.presence().await;
            if is_so(&told) {
                return told;
            }
            assert!(
                Instant::now() < deadline,
                "{told:#}\n{}",
                self.node.lines.text()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until Microsoft was told so many times of users; whose, and what.
    async fn shown(&self, changes: usize) -> Vec<(String, Option<String>)> {
        let deadline = Instant::now() + PATIENCE;
        while self.microsoft.shown().len() < changes {
            assert!(Instant::now() < deadline, "{:?}", self.microsoft.shown());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let shown = self.microsoft.shown().into_iter();
        shown.map(|one| (one.user, one.presence)).collect()
    }

    /// Waits until the daemon knows of so many users that they are shown no more.
    async fn has_cleared(&self, users: usize) {
        let line = format!(
            "sbc_presence_requests_total{{kind=\"clear\",result=\"ok\",tenant=\"contoso\"}} {users}\n"
        );
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = self.node.ask("GET", "/metrics").await.body;
            if metrics.contains(&line) {
                return;
            }
            assert!(Instant::now() < deadline, "{line}{metrics}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn of<'t>(told: &'t Value, id: &str) -> &'t Value {
    let users = told["users"].as_array().unwrap();
    users.iter().find(|one| one["user"] == id).unwrap()
}

fn states(states: &[(&str, &str)]) -> Script {
    let states = states.iter();
    Script {
        presences: states
            .map(|(id, presence)| ((*id).to_owned(), (*presence).to_owned()))
            .collect(),
        ..Script::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_of_a_tenant_is_heard_whatever_another_one_does() {
    let mut script = states(&[(ADA, "Busy/InAMeeting"), (BOB, "Available/Available")]);
    // A token lives for as long as it takes to be asked to wait.
    script.token_s = 2;
    script.refusals = [Refusal {
        status: 429,
        retry_after_s: Some(2),
    }]
    .into();
    let bench = Bench::new(script).await;
    let told = bench
        .until(|told| told["tenants"][0]["state"] == "heard")
        .await;
    let ada = of(&told, ADA);
    assert_eq!(
        (&ada["availability"], &ada["activity"]),
        (&"Busy".into(), &"InAMeeting".into())
    );
    assert_eq!(
        (&ada["counts_as"], &ada["number"]),
        (&"busy".into(), &"+15550100".into())
    );
    assert_eq!(of(&told, BOB)["counts_as"], "ready");
    assert_eq!(told["tenants"][1]["state"], "asked for");
    assert_eq!(of(&told, EVE)["counts_as"], "unknown");
    // Microsoft notes who comes back too early, and with which token.
    assert_eq!(bench.microsoft.breaches(), []);
    assert!(bench.microsoft.asked_at(LOGIN) >= 2);
    // A notice without data: that one user is asked for at once.
    bench.microsoft.change(|script| {
        script
            .presences
            .insert(ADA.to_owned(), "Away/Away".to_owned());
    });
    let store = bench.node.daemon.presence().store();
    store.want(&contoso(), &[user(ADA), user(EVE)]);
    bench
        .until(|told| of(told, ADA)["availability"] == "Away")
        .await;
    let last = bench.microsoft.heard().pop().unwrap();
    assert_eq!(last.body, format!("{{\"ids\":[\"{ADA}\"]}}"));
    let metrics = bench.node.ask("GET", "/metrics").await.body;
    for line in [
        "sbc_presence_requests_total{kind=\"read\",result=\"busy\",tenant=\"contoso\"} 1",
        "sbc_presence_requests_total{kind=\"read\",result=\"ok\",tenant=\"contoso\"} 2",
        "sbc_presence_users{standing=\"busy\",tenant=\"contoso\"} 1",
        "sbc_presence_heard_timestamp_seconds{tenant=\"fabrikam\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    // The command.
    let socket = bench.node.directory.path().join("run/api.sock");
    let shown = tokio::task::spawn_blocking(move || {
        let to = Connection {
            socket,
            reason: None,
            output: Default::default(),
        };
        let wanted = Teams::Presence(Presence {
            tenant: Some("contoso".to_owned()),
        });
        let mut out = Vec::new();
        teams::run(&wanted, &to, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    });
    let shown = shown.await.unwrap();
    for words in ["tenant contoso: heard", "Away/Away", "absent", "+15550101"] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    assert!(!shown.contains("fabrikam"), "{shown}");
    bench.node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_talks_is_shown_as_busy_and_nobody_is_once_the_daemon_stops() {
    let bench = Bench::new(states(&[])).await;
    let talking = bench.node.daemon.presence().talking();
    let busy = |id: &str| (id.to_owned(), Some("Busy/InACall".to_owned()));
    let free = |id: &str| (id.to_owned(), None);
    talking.begin(&contoso(), user(ADA));
    assert_eq!(bench.shown(1).await, [busy(ADA)]);
    talking.begin(&contoso(), user(BOB));
    assert_eq!(bench.shown(2).await, [busy(ADA), busy(BOB)]);
    talking.end(Timestamp::from_micros(1), &contoso(), user(ADA));
    assert_eq!(bench.shown(3).await, [busy(ADA), busy(BOB), free(ADA)]);
    // Whoever stops before it has the answer takes it back once more.
    bench.has_cleared(1).await;
    bench.node.daemon.shutdown().await;
    let all = [busy(ADA), busy(BOB), free(ADA), free(BOB)];
    assert_eq!(bench.shown(4).await, all);
    assert_eq!(bench.microsoft.breaches(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_read_presence_is_told_which_permission_lacks() {
    let mut script = states(&[]);
    script.is_forbidden = true;
    let bench = Bench::new(script).await;
    let told = bench
        .until(|told| told["tenants"][0]["state"] == "not heard")
        .await;
    let because = told["tenants"][0]["because"].as_str().unwrap();
    assert!(
        because.contains("permission Presence.Read.All of Microsoft Graph"),
        "{because}"
    );
    bench.node.logged("presence_unheard").await;
    // Whoever may again is heard of again.
    bench.microsoft.change(|script| script.is_forbidden = false);
    bench
        .node
        .daemon
        .presence()
        .talking()
        .begin(&contoso(), user(ADA));
    assert_eq!(bench.shown(1).await.len(), 1);
    bench.node.daemon.shutdown().await;
}
