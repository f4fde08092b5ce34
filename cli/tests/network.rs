//! The operator's interface over the network: who comes in, what they may do, and what becomes of everybody else.

use crate::daemon::{configured, free_port, private};
use crate::restart::started;
use crate::support::{Authority, Leaf, PATIENCE, client};

use causeway::client::{Answer, send};
use causeway::daemon::Daemon;
use causeway::sink::audit;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

const ROLES: [&str; 6] = [
    "viewer", "operator", "engineer", "security", "auditor", "admin",
];

pub(crate) struct Desk {
    pub(crate) directory: TempDir,
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) address: SocketAddr,
}

/// An answer as a browser sees it.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Desk {
    /// A node that knows one user of each role, whose token is `token-ROLE`, and one whose token has expired.
    pub(crate) async fn start() -> Self {
        Self::with(|_, _| String::new()).await
    }

    /// The same with further tables, which are made of the folder and the address; files are written before the start.
    pub(crate) async fn with(more: impl Fn(&str, u16) -> String) -> Self {
        let port = AtomicU16::new(0);
        let (directory, _) = configured(|mut text| {
            let own = free_port();
            // Ordering: one thread.
            port.store(own, Ordering::Relaxed);
            let listen = format!("[api]\nlisten = \"127.0.0.1:{own}\"\ntls = \"contoso\"\n");
            text = text.replace("[api]\n", &listen);
            let folder = folder_of(&text);
            for role in ROLES {
                text.push_str(&format!(
                    "[[api.user]]\nname = \"{role}\"\nrole = \"{role}\"\ntoken = {{ file = \"{folder}/{role}.hash\" }}\n"
                ));
            }
            text.push_str(&format!(
                "[[api.user]]\nname = \"ear\"\nrole = \"operator\"\nmedia = true\ntoken = {{ file = \"{folder}/ear.hash\" }}\n"
            ));
            text.push_str(&format!(
                "[[api.user]]\nname = \"gone\"\nrole = \"admin\"\nexpires = \"2020-01-01\"\ntoken = {{ file = \"{folder}/gone.hash\" }}\n"
            ));
            let more = more(&folder, own);
            // Keys of [api] itself.
            for key in more.lines().filter_map(|line| line.strip_prefix("#api ")) {
                text = text.replace("[api]\n", &format!("[api]\n{key}\n"));
            }
            // Which no role implies.
            if more.contains("#admin hears\n") {
                let (bare, hears) = ("role = \"admin\"\n", "role = \"admin\"\nmedia = true\n");
                text = text.replace(bare, hears);
            }
            text.push_str(&more);
            text
        });
        for name in ROLES.iter().chain(&["gone", "ear"]) {
            write_hash(directory.path(), name, &format!("token-{name}"));
        }
        let daemon = started(directory.path()).await;
        let address = SocketAddr::from(([127, 0, 0, 1], port.into_inner()));
        Self {
            directory,
            daemon,
            address,
        }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        let pem = self.directory.path().join("ca.pem");
        roots
            .add(CertificateDer::from_pem_file(pem).unwrap())
            .unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("sbc.contoso.example").unwrap();
        client(roots, None).connect(name, stream).await.unwrap()
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> Page {
        let line = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        self.ask_by(method, path, &line.unwrap_or_default(), body)
            .await
    }

    /// With these lines in the head.
    pub(crate) async fn ask_by(&self, method: &str, path: &str, lines: &str, body: &str) -> Page {
        let mut stream = self.connect().await;
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}");
        if !body.is_empty() {
            head.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            ));
        }
        let request = format!("{head}\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut octets = Vec::new();
        let reading = stream.read_to_end(&mut octets);
        let _ = timeout(PATIENCE, reading).await.expect("an answer");
        let text = String::from_utf8_lossy(&octets).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        Page {
            status: head[9..12].parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    pub(crate) async fn local(
        &self,
        method: &'static str,
        path: &'static str,
        if_match: bool,
    ) -> Answer {
        let socket = self.directory.path().join("run/api.sock");
        let asking = tokio::task::spawn_blocking(move || {
            let headers: &[(&str, &str)] = match if_match {
                true => &[("If-Match", "\"1\"")],
                false => &[],
            };
            send(&socket, method, path, headers, "")
        });
        asking.await.unwrap().unwrap()
    }

    pub(crate) fn entries(&self) -> Vec<audit::Entry> {
        let read = audit::read(
            &self.directory.path().join("state").join(audit::FILE),
            1_000,
        )
        .unwrap();
        assert_eq!(read.fault, None);
        read.entries.into()
    }
}

/// A file of the configuration that a reload reads for as long as the test wants.
fn slow_file(node: &Path) -> PathBuf {
    let folder = node.join("conf.d");
    std::fs::create_dir(&folder).unwrap();
    let slow = folder.join("slow.toml");
    let made = std::process::Command::new("mkfifo").arg(&slow).status();
    assert!(made.unwrap().success());
    slow
}

/// Waits until a reload reads such a file; it goes on once what this says is closed.
async fn begun(slow: PathBuf) -> File {
    let opening = move || std::fs::OpenOptions::new().write(true).open(slow);
    let opened = timeout(PATIENCE, tokio::task::spawn_blocking(opening)).await;
    opened.expect("a reload").unwrap().unwrap()
}

pub(crate) fn write_hash(folder: &Path, name: &str, token: &str) {
    let hash = Sha256::digest(token);
    let digits: String = hash.iter().map(|octet| format!("{octet:02x}")).collect();
    let path = folder.join(format!("{name}.hash"));
    std::fs::write(&path, format!("sha256:{digits}\n")).unwrap();
    private(&path);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_for_those_roles_that_have_its_right() {
    let desk = Desk::start().await;
    let document = causeway::admin::document();
    let rights = [
        ("viewer", vec!["read"]),
        ("operator", vec!["read", "numbers", "calls"]),
        (
            "engineer",
            vec!["read", "numbers", "calls", "configure", "protect"],
        ),
        ("security", vec!["read", "numbers", "protect"]),
        ("auditor", vec!["read", "numbers", "audit"]),
        (
            "admin",
            vec![
                "read",
                "numbers",
                "calls",
                "configure",
                "audit",
                "protect",
                "users",
            ],
        ),
    ];
    // Whose calls somebody looks at is not for everybody, either (SEC-151).
    let look = "/api/v1/log?level=trace&number=%2B15550100";
    let begun = desk.ask("POST", look, Some("token-admin"), "").await;
    assert!(begun.body.contains("15550100"), "{begun:?}");
    for (role, rights) in rights {
        let token = format!("token-{role}");
        let me = desk.ask("GET", "/api/v1/me", Some(&token), "").await;
        let me: Value = serde_json::from_str(&me.body).unwrap();
        assert_eq!((&me["role"], &me["rights"]), (&json!(role), &json!(rights)));
        for (path, operations) in document["paths"].as_object().unwrap() {
            if path.starts_with("/sign-in/") {
                continue;
            }
            let path = path.replace("{id}", "ffff").replace("{context}", "x");
            let path = path.replace("{user}", "x").replace("{approval}", "x");
            for (method, operation) in operations.as_object().unwrap() {
                let needs = operation["description"].as_str().unwrap();
                let may = rights
                    .iter()
                    .any(|right| needs.contains(&format!("`{right}`")));
                // Those do something, or do not end.
                if may && (method != "get" || path.ends_with("/events")) {
                    continue;
                }
                let method = method.to_ascii_uppercase();
                let page = desk.ask(&method, &path, Some(&token), "").await;
                assert_eq!(
                    page.status == 403,
                    !may,
                    "{role}: {method} {path}: {page:?}"
                );
                assert!(page.status != 401 && page.status != 429, "{page:?}");
                // Numbers of the tenant.
                assert!(role != "viewer" || !page.body.contains("15550"), "{page:?}");
                assert!(
                    may || page.head.contains("application/problem+json"),
                    "{page:?}"
                );
            }
        }
    }
    // MED-364: what callers say is for fewer still.
    let captures = |query: &str, token: &str, wanted: u16| {
        let (desk, path) = (&desk, format!("/api/v1/capture{query}"));
        let token = format!("token-{token}");
        async move {
            let page = desk.ask("POST", &path, Some(&token), "").await;
            assert_eq!(page.status, wanted, "{token} {path}: {page:?}");
        }
    };
    captures("?rtp=full", "engineer", 403).await;
    captures("?rtp=headers", "operator", 200).await;
    captures("/fetch", "operator", 200).await;
    captures("/stop", "operator", 200).await;
    // SEC-151: not the highest role either, but whoever is told to.
    captures("?rtp=full", "admin", 403).await;
    captures("?rtp=full", "ear", 200).await;
    captures("/fetch", "engineer", 403).await;
    captures("/fetch", "admin", 403).await;
    captures("/fetch", "ear", 200).await;
    let me = desk.ask("GET", "/api/v1/me", Some("token-ear"), "").await;
    let me: Value = serde_json::from_str(&me.body).unwrap();
    assert_eq!(me["rights"], json!(["read", "numbers", "calls", "media"]));
    let refused = desk.ask("POST", "/api/v1/capture?rtp=full", Some("token-admin"), "");
    assert!(refused.await.body.contains("media = true"));
    let entries = desk.entries();
    let is_known = |what: &str, status| {
        let mut all = entries.iter();
        all.any(|one| one.what == what && one.status == status)
    };
    assert!(is_known("POST /capture rtp=full", 200), "{entries:?}");
    assert!(is_known("POST /capture/fetch rtp=full", 200), "{entries:?}");
    assert!(is_known("POST /capture", 403), "{entries:?}");
    let done = desk
        .ask("POST", "/api/v1/drain/now", Some("token-operator"), "")
        .await;
    assert_eq!(done.status, 200, "{done:?}");
    let entries = desk.entries();
    let last = entries.last().unwrap();
    assert_eq!((last.what.as_str(), last.status), ("POST /drain/now", 200));
    assert_eq!(last.who, "operator (operator)");
    assert!(last.source.starts_with("127.0.0.1:"), "{last:?}");
    assert!(
        entries
            .iter()
            .any(|one| one.status == 403 && one.who.starts_with("viewer"))
    );
    desk.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_token_learns_nothing_and_is_written_down() {
    let desk = Desk::start().await;
    for path in ["/api/v1/status", "/api/v1/nothing", "/api/v1/openapi.json"] {
        let page = desk.ask("GET", path, None, "").await;
        assert_eq!(page.status, 401, "{path}: {page:?}");
        assert!(page.head.contains("www-authenticate: bearer"), "{page:?}");
        let problem: Value = serde_json::from_str(&page.body).unwrap();
        assert_eq!(problem["status"], 401);
    }
    let expired = desk
        .ask("GET", "/api/v1/status", Some("token-gone"), "")
        .await;
    assert!(
        expired.status == 401 && expired.body.contains("expired"),
        "{expired:?}"
    );
    for _ in 0..5 {
        assert_eq!(
            desk.ask("GET", "/api/v1/status", Some("x"), "")
                .await
                .status,
            401
        );
    }
    let page = desk.ask("GET", "/api/v1/status", Some("x"), "").await;
    assert!(
        page.status == 429 && page.head.contains("retry-after: 60"),
        "{page:?}"
    );
    // Whoever has a token is not kept out by whoever has none.
    let page = desk
        .ask("GET", "/api/v1/status", Some("token-viewer"), "")
        .await;
    assert_eq!(page.status, 200, "{page:?}");
    for header in [
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "content-security-policy: default-src 'none'",
        "strict-transport-security:",
    ] {
        assert!(page.head.contains(header), "{header}: {page:?}");
    }
    assert!(!page.head.contains("access-control") && !page.head.contains("set-cookie"));
    let admin = Some("token-admin");
    let absent = desk.ask("GET", "/api/v1/nothing", admin, "").await;
    let wrong = desk.ask("DELETE", "/api/v1/status", admin, "").await;
    let outside = desk.ask("GET", "/../etc/passwd", admin, "").await;
    for (page, status) in [(&absent, 404), (&wrong, 405), (&outside, 404)] {
        assert_eq!(page.status, status, "{page:?}");
        assert!(page.head.contains("application/problem+json"), "{page:?}");
    }
    assert!(wrong.head.contains("allow: get"), "{wrong:?}");
    desk.daemon.shutdown().await;
    // Who is known is named; all others are one entry, which is there after a stop at the latest.
    let told: Vec<_> = desk
        .entries()
        .into_iter()
        .filter(|one| one.who != "causeway")
        .map(|one| (one.who, one.what))
        .collect();
    assert_eq!(told[0], ("gone".to_owned(), "GET /status".to_owned()));
    let (who, what) = told.last().unwrap();
    assert_eq!(who, "nobody known");
    assert!(
        what.ends_with("requests without a good token were refused: 9 from 127.0.0.1"),
        "{told:?}"
    );
    assert_eq!(told.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_counts_where_its_user_may_be_and_its_showing_elsewhere_is_written_down() {
    let desk = Desk::with(|folder, _| {
        write_hash(Path::new(folder), "far", "token-far");
        format!(
            "[[api.user]]\nname = \"far\"\nrole = \"admin\"\ntoken = {{ file = \"{folder}/far.hash\" }}\n\
             accept_from = [\"192.0.2.0/24\"]\n"
        )
    })
    .await;
    let page = desk
        .ask("POST", "/api/v1/drain", Some("token-far"), "")
        .await;
    assert!(
        page.status == 403 && page.body.contains("accept_from"),
        "{page:?}"
    );
    desk.daemon.shutdown().await;
    let far = desk.entries().into_iter().find(|entry| entry.who == "far");
    assert_eq!(far.unwrap().status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_changed_that_cannot_be_written_down_where_it_has_to_be() {
    let desk = Desk::with(|_, _| "#api audit_mandatory = true\n".to_owned()).await;
    let state = desk.directory.path().join("state");
    let aside = desk.directory.path().join("aside");
    let change = async || {
        let path = "/api/v1/undrain";
        desk.ask("POST", path, Some("token-operator"), "").await
    };
    assert_eq!(change().await.status, 200);
    // Nobody can know before the first entry that is lost.
    std::fs::rename(&state, &aside).unwrap();
    assert_eq!(change().await.status, 200);
    let refused = change().await;
    assert!(
        refused.status == 503 && refused.body.contains("audit_mandatory"),
        "{refused:?}"
    );
    assert_eq!(
        desk.ask("GET", "/api/v1/status", Some("token-operator"), "")
            .await
            .status,
        200
    );
    std::fs::rename(&aside, &state).unwrap();
    // The entry of a refusal shows that it can be written again.
    let until = Instant::now() + PATIENCE;
    while change().await.status != 200 {
        assert!(Instant::now() < until, "changes are still refused");
        tokio::task::yield_now().await;
    }
    desk.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_replaced_by_a_reload_and_a_body_is_bounded() {
    let desk = Desk::start().await;
    let candidate = json!({ "text": "[node]\nidd = \"x\"\n" }).to_string();
    let ask = |token: &'static str, body: String| {
        let desk = &desk;
        async move {
            desk.ask("POST", "/api/v1/config/candidate", Some(token), &body)
                .await
        }
    };
    let judged = ask("token-engineer", candidate.clone()).await;
    assert_eq!(judged.status, 200, "{judged:?}");
    let judged: Value = serde_json::from_str(&judged.body).unwrap();
    assert_eq!(judged["valid"], false);
    assert_eq!(
        judged["findings"][0]["place"]["file"], "candidate",
        "{judged}"
    );
    // Far more than buffers hold: whoever writes all of it before reading learns why it was refused.
    let long = json!({ "text": "x".repeat(12 << 20) }).to_string();
    assert_eq!(ask("token-engineer", long).await.status, 413);
    write_hash(desk.directory.path(), "engineer", "another");
    let in_use = async || {
        let shown = desk.local("GET", "/config", false).await;
        let shown: Value = serde_json::from_str(&shown.body).unwrap();
        shown["is_in_use"] == true
    };
    assert!(!in_use().await, "the old token opens still");
    let reloaded = desk.local("POST", "/reload", false).await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.body);
    assert!(in_use().await);
    assert_eq!(ask("token-engineer", candidate.clone()).await.status, 401);
    assert_eq!(ask("another", candidate).await.status, 200);
    desk.daemon.shutdown().await;
}

/// SEC-151. As root this tells little: it hears callers in any case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_socket_of_the_host_whoever_is_named_hears_callers() {
    let uid = std::fs::metadata("/proc/self").unwrap().uid();
    for (named, wanted) in [(uid, true), (uid ^ 1, uid == 0)] {
        let desk = Desk::with(|_, _| format!("#api media_users = [\"{named}\"]\n")).await;
        let me = desk.local("GET", "/me", false).await;
        let me: Value = serde_json::from_str(&me.body).unwrap();
        let rights = me["rights"].as_array().unwrap();
        assert_eq!(rights.contains(&json!("media")), wanted, "{me}");
        desk.daemon.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_opens_connections_and_says_nothing_holds_up_nobody() {
    let desk = Desk::start().await;
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(TcpStream::connect(desk.address).await.unwrap());
    }
    // One more of the same source is closed before it has said anything; a handshake takes 5 s at most.
    let mut surplus = TcpStream::connect(desk.address).await.unwrap();
    for stream in std::iter::once(&mut surplus).chain(&mut silent) {
        let read = timeout(PATIENCE, stream.read_u8()).await;
        assert!(matches!(read, Ok(Err(_))), "{read:?}");
        let _ = stream.flush().await;
    }
    let page = desk
        .ask("GET", "/api/v1/me", Some("token-viewer"), "")
        .await;
    assert_eq!(page.status, 200, "{page:?}");
    desk.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_for_is_done_and_written_down_though_nobody_waits_for_the_answer() {
    let desk = Desk::start().await;
    let slow = slow_file(desk.directory.path());
    let socket = desk.directory.path().join("run/api.sock");
    let mut line = UnixStream::connect(&socket).unwrap();
    line.write_all(b"POST /api/v1/reload HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    // It has begun, and nobody waits any more when it goes on.
    let file = begun(slow).await;
    drop(line);
    drop(file);
    let deadline = std::time::Instant::now() + PATIENCE;
    let status = loop {
        let entries = desk.entries();
        let mut reloads = entries.iter().filter(|one| one.what == "POST /reload");
        if let Some(reload) = reloads.next() {
            break reload.status;
        }
        assert!(std::time::Instant::now() < deadline, "not written down");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    assert_eq!(status, 200);
    assert_eq!(desk.daemon.loaded().config.generation, 2);
    desk.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_takes_long_holds_up_no_other_question_and_the_next_one_is_judged_by_it() {
    let desk = Desk::start().await;
    let slow = slow_file(desk.directory.path());
    let both = async {
        tokio::join!(
            desk.local("POST", "/reload", true),
            desk.local("POST", "/reload", true),
        )
    };
    let meanwhile = async {
        let file = begun(slow).await;
        let status = desk.local("GET", "/status", false).await;
        let ready = desk.local("GET", "/readyz", false).await;
        let token = Some("token-viewer");
        let over_there = desk.ask("GET", "/api/v1/status", token, "").await;
        drop(file);
        (status, ready, over_there)
    };
    let all = timeout(PATIENCE, async { tokio::join!(both, meanwhile) });
    let ((one, other), (status, ready, over_there)) = all.await.expect("nobody waits for nobody");
    let status: Value = serde_json::from_str(&status.body).unwrap();
    assert_eq!(status["config_generation"], 1);
    assert!([200, 503].contains(&ready.status), "{}", ready.body);
    assert_eq!(over_there.status, 200);
    let mut told = [one.status, other.status];
    told.sort_unstable();
    assert_eq!(told, [200, 412], "{one:?} {other:?}");
    let done = if one.status == 200 { one } else { other };
    let done: Value = serde_json::from_str(&done.body).unwrap();
    assert_eq!(
        done,
        json!({
            "config_generation": 2, "kept": [], "not_read_anew": [], "confirm_within": null,
            "same_as": null,
        })
    );
    desk.daemon.shutdown().await;
}

/// Asks for figures over TLS, as a client that shows this certificate; nothing if it is not served.
async fn figures(
    port: u16,
    roots: RootCertStore,
    leaf: Option<&Leaf>,
    accept: &str,
) -> Option<String> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("sbc.contoso.example").unwrap();
    let mut tls = client(roots, leaf).connect(name, tcp).await.ok()?;
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    tls.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    timeout(PATIENCE, tls.read_to_end(&mut answer))
        .await
        .unwrap()
        .ok()?;
    Some(String::from_utf8(answer).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_over_tls_are_for_those_who_show_a_certificate_of_theirs() {
    let port = AtomicU16::new(0);
    let (directory, path) = configured(|text| {
        let own = free_port();
        // Ordering: one thread.
        port.store(own, Ordering::Relaxed);
        let folder = folder_of(&text);
        format!(
            "{text}\n[metrics]\nlisten = \"127.0.0.1:{own}\"\ntls = \"contoso\"\n\
             client_ca = \"{folder}/ca.pem\"\nmax_series = 1000\n"
        )
    });
    let (folder, port) = (directory.path(), port.into_inner());
    let daemon = started(folder).await;
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let roots = || {
        let mut roots = RootCertStore::empty();
        let pem = read("ca.pem");
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap();
        roots
    };
    let known = Leaf {
        chain_pem: read("fabrikam.pem"),
        key_pem: read("fabrikam.key"),
    };
    let stranger = Authority::new().leaf(&["monitoring.example"]);
    assert_eq!(figures(port, roots(), None, "*/*").await, None);
    assert_eq!(figures(port, roots(), Some(&stranger), "*/*").await, None);
    let plain = figures(port, roots(), Some(&known), "*/*").await.unwrap();
    assert!(
        plain.starts_with("HTTP/1.1 200") && plain.contains("text/plain; version=0.0.4"),
        "{plain}"
    );
    assert!(plain.contains("# TYPE sbc_panics_total counter") && !plain.contains("# EOF"));
    let asked = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let open = figures(port, roots(), Some(&known), asked).await.unwrap();
    assert!(
        open.contains("application/openmetrics-text; version=1.0.0") && open.ends_with("# EOF\n"),
        "{open}"
    );
    assert!(open.contains("# TYPE sbc_panics counter"), "{open}");

    // How many there may be, and who may ask, is a matter of a reload.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("max_series = 1000", "max_series = 2000"),
    )
    .unwrap();
    daemon.reload().await.unwrap();
    let open = text.replace(
        &format!("client_ca = \"{}/ca.pem\"\nmax_", folder.display()),
        "max_",
    );
    assert_ne!(open, text);
    std::fs::write(&path, open).unwrap();
    daemon.reload().await.unwrap();
    let open = figures(port, roots(), None, "*/*").await.unwrap();
    assert!(open.starts_with("HTTP/1.1 200"), "{open}");
    daemon.shutdown().await;
}

/// Where this configuration is.
fn folder_of(text: &str) -> String {
    let socket = |line: &str| {
        let path = line.strip_prefix("unix = \"")?;
        Some(path.strip_suffix("/run/api.sock\"")?.to_owned())
    };
    text.lines().find_map(socket).unwrap()
}
