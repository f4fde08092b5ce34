//! Certificates from an authority: issued, renewed, refused, interrupted, with a real daemon and a real server
//! (TDR-TLS-015).

use crate::authority::Acme;
use crate::daemon::{Node, configured, free_port, private};
use crate::support::{
    Authority, PATIENCE, believing, client, options, read_until, write, write_text,
};
use crate::trial::{Outage, Proxy};

use causeway::command::cert::{self, Certs};
use causeway::command::node::Connection;
use causeway::sink::news::Kind;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use sbc_core::event::{Event, Happened};
use sbc_core::sip::Status;
use sbc_core::time::UnixTime;
use serde_json::Value;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

const SBC: &str = "sbc.contoso.example";
const PEER: &str = "sip.peer.example";

/// An authority, and a folder with a configuration that has it.
struct Bench {
    authority: Acme,
    peers: Authority,
    page: SocketAddr,
    directory: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::with(&format!("names = [\"{SBC}\"]"), "listen = \"PAGE\"").await
    }

    /// With these keys of the identity, and these of the account.
    async fn with(of_identity: &str, of_account: &str) -> Self {
        Self::changed(of_identity, of_account, |text| text).await
    }

    async fn changed(
        of_identity: &str,
        of_account: &str,
        change: impl Fn(String) -> String,
    ) -> Self {
        let (authority, peers) = (Acme::start().await, Authority::new());
        let page = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (directory, config) = configured(|text| {
            let lines = text.lines().map(|line| match line {
                line if line.ends_with("contoso.pem\"") => "acme = true",
                line if line.ends_with("contoso.key\" }") => of_identity,
                line => line,
            });
            let text = change(lines.collect::<Vec<_>>().join("\n"));
            format!(
                "{text}\n\n[acme]\ndirectory = \"{}\"\nhttps_roots = \"DIR/web.pem\"\nfolder = \"DIR/acme\"\n\
                 contact = [\"noc@example.com\"]\n{of_account}\n",
                authority.directory
            )
        });
        let folder = directory.path();
        write(folder, "web.pem", &authority.web.pem());
        write(folder, "ca.pem", &peers.pem());
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text.replace("DIR", &folder.display().to_string());
        write(
            folder,
            "causeway.toml",
            &text.replace("PAGE", &page.to_string()),
        );
        private(&config);
        authority.behaves(|manner| {
            manner.page = of_account.contains("listen").then_some(page);
        });
        Self {
            authority,
            peers,
            page,
            directory,
        }
    }

    /// Starts a daemon in the folder, which it keeps.
    async fn start(self) -> (Running, Acme) {
        let (node, peers, page) = (Node::again(self.directory).await, self.peers, self.page);
        (Running { node, peers, page }, self.authority)
    }
}

struct Running {
    node: Node,
    peers: Authority,
    page: SocketAddr,
}

impl Running {
    async fn again(self) -> Self {
        self.node.daemon.shutdown().await;
        let Node {
            daemon, directory, ..
        } = self.node;
        drop(daemon);
        Self {
            node: Node::again(directory).await,
            ..self
        }
    }

    fn folder(&self) -> PathBuf {
        self.node.directory.path().join("acme")
    }

    async fn certificate(&self) -> Value {
        let rows: Value = serde_json::from_str(&self.node.ask("GET", "/certs").await.body).unwrap();
        let mut rows = rows.as_array().unwrap().iter();
        rows.find(|row| row["context"] == "contoso")
            .unwrap()
            .clone()
    }

    /// Waits until so many orders have ended like this.
    async fn ended(&self, result: &str, times: u32) {
        let wanted =
            format!("sbc_acme_orders_total{{context=\"contoso\",result=\"{result}\"}} {times}\n");
        let deadline = std::time::Instant::now() + PATIENCE;
        while !self
            .node
            .ask("GET", "/metrics")
            .await
            .body
            .contains(&wanted)
        {
            let log = self.node.lines.text();
            assert!(
                std::time::Instant::now() < deadline,
                "no {wanted} in time; log:\n{log}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn renew(&self) -> (u16, String) {
        let answer = self.node.ask("POST", "/certs/contoso/renew").await;
        (answer.status, answer.body)
    }

    /// A connection that proves who we are by what the authority issues.
    async fn connected(&self, authority: &Acme) -> std::io::Result<TlsStream<TcpStream>> {
        self.connected_with(roots(&authority.root_pem())).await
    }

    async fn connected_with(&self, roots: RootCertStore) -> std::io::Result<TlsStream<TcpStream>> {
        let leaf = self.peers.leaf(&[PEER]);
        let at = self.node.daemon.net().address(&"tls".into()).unwrap();
        let stream = TcpStream::connect(at).await?;
        let name = ServerName::try_from(SBC).unwrap();
        client(roots, Some(&leaf)).connect(name, stream).await
    }
}

fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    roots.add(root).unwrap();
    roots
}

/// What a server has shown: its own certificate, and how many in all.
fn shown(stream: &TlsStream<TcpStream>) -> (Vec<u8>, usize) {
    let all = stream.get_ref().1.peer_certificates().unwrap();
    (all[0].to_vec(), all.len())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "not in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_issues_the_first_certificate_and_peers_see_it_at_once() {
    let bench = Bench::new().await;
    bench.authority.behaves(|manner| {
        manner.bad_nonces = 1;
        manner.is_slow = true;
    });
    let (running, authority) = bench.start().await;
    running.ended("issued", 1).await;
    let stream = running.connected(&authority).await.unwrap();
    let (own, count) = shown(&stream);
    assert_eq!(count, 2, "with its chain");
    let (_, leaf) = x509_parser::parse_x509_certificate(&own).unwrap();
    match leaf.public_key().parsed().unwrap() {
        x509_parser::public_key::PublicKey::RSA(key) => assert_eq!(key.key_size(), 2048),
        other => panic!("{other:?}"),
    }
    let seen = authority.seen();
    assert_eq!(seen.forged, Vec::<String>::new());
    assert_eq!((seen.accounts, seen.orders), (1, 1));
    assert_eq!(seen.contacts, ["mailto:noc@example.com"]);
    assert_eq!(
        (seen.identifiers, seen.hosts),
        (vec![SBC.to_owned()], vec![SBC.to_owned()])
    );
    // The page was there for the authority, and for as long as it looked.
    assert!(TcpStream::connect(running.page).await.is_err());

    let folder = running.folder();
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|own| own.unwrap().path())
        .collect();
    assert_eq!(
        files.len(),
        3,
        "certificate, account, when the next one is: {files:?}"
    );
    assert!(files.iter().all(|path| mode(path) == 0o600), "{files:?}");

    let row = running.certificate().await;
    assert_eq!(
        (&row["state"], &row["issued_by"]),
        (&"in use".into(), &"acme".into())
    );
    assert_eq!(
        (&row["days_left"], &row["failures"]),
        (&90.into(), &0.into())
    );
    // When a third is left, or up to a twentieth of the whole earlier.
    let next = sbc_core::time::UnixTime::of_rfc3339(row["next_order"].as_str().unwrap()).unwrap();
    let until = sbc_core::time::UnixTime::of_rfc3339(row["until"].as_str().unwrap()).unwrap();
    let before = until.since(next).as_secs() / 86_400;
    assert!((30..=34).contains(&before), "{before} days before its end");
    let metrics = running.node.ask("GET", "/metrics").await.body;
    for wanted in [
        "sbc_tls_certificate_not_after_timestamp_seconds{context=\"contoso\",kind=\"own\"",
        "sbc_acme_next_order_timestamp_seconds{context=\"contoso\"} 1",
        "sbc_acme_orders_total{context=\"contoso\",result=\"unproven\"} 0",
    ] {
        assert!(metrics.contains(wanted), "{wanted}\n{metrics}");
    }
    let socket = running.node.directory.path().join("run/api.sock");
    let told = tokio::task::spawn_blocking(move || {
        let mut out = Vec::new();
        let to = Connection {
            socket,
            reason: None,
            output: Default::default(),
        };
        assert_eq!(cert::run(&Certs::Status, &to, &mut out).unwrap(), 0);
        String::from_utf8(out).unwrap()
    });
    let told = told.await.unwrap();
    assert!(
        told.contains("contoso   acme       in use") && told.contains("fabrikam  file"),
        "{told}"
    );
    running.node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_by_itself_with_the_same_account_and_connections_go_on() {
    let bench = Bench::new().await;
    // Two seconds after it was issued a third of it is left.
    bench.authority.behaves(|manner| manner.lifetime = (2, 4));
    let (running, authority) = bench.start().await;
    running.ended("issued", 1).await;
    let mut before = running.connected(&authority).await.unwrap();
    let account = |running: &Running| {
        let files = std::fs::read_dir(running.folder()).unwrap();
        let mut files = files.map(|own| own.unwrap().path());
        let path = files.find(|path| path.extension().is_some_and(|end| end == "account"));
        std::fs::read_to_string(path.unwrap()).unwrap()
    };
    let key = account(&running);
    authority.behaves(|manner| manner.lifetime = (3_600, 90 * 86_400));
    running.ended("issued", 2).await;
    let after = running.connected(&authority).await.unwrap();
    assert_ne!(shown(&before).0, shown(&after).0);
    write_text(&mut before, &options("still")).await;
    read_until(&mut before, "SIP/2.0 200").await;
    assert_eq!(account(&running), key);
    let seen = authority.seen();
    assert_eq!((seen.accounts, seen.orders), (1, 2));
    running.node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_wants_to_be_left_alone_is_left_alone_after_a_restart_too() {
    let bench = Bench::new().await;
    bench
        .authority
        .behaves(|manner| manner.limited = Some(7_200));
    let (running, authority) = bench.start().await;
    running.ended("refused", 1).await;
    running.node.logged("rateLimited").await;
    let (status, body) = running.renew().await;
    assert_eq!(status, 409, "{body}");
    assert!(
        body.contains("left alone") && body.contains("too many orders"),
        "{body}"
    );
    let running = running.again().await;
    assert_eq!(running.renew().await.0, 409);
    let row = running.certificate().await;
    assert_eq!(
        (&row["state"], &row["failures"]),
        (&"none yet".into(), &1.into())
    );
    assert_eq!(authority.seen().orders, 0);
    // Who asks for less may be asked again by hand.
    let unknown = running.node.ask("POST", "/certs/fabrikam/renew").await;
    assert_eq!(unknown.status, 404);
    assert!(
        unknown.body.contains("those with acme = true are contoso"),
        "{}",
        unknown.body
    );
    running.node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_the_authority_does_not_see_is_told_and_mended() {
    let bench = Bench::new().await;
    let page = bench.page;
    let elsewhere = SocketAddr::from(([127, 0, 0, 1], free_port()));
    bench
        .authority
        .behaves(|manner| manner.page = Some(elsewhere));
    let (running, authority) = bench.start().await;
    running.ended("unproven", 1).await;
    running.node.logged("certificate_failed").await;
    let log = running.node.lines.text();
    for wanted in [
        "does not see by http-01 that sbc.contoso.example is ours",
        &format!("nobody has asked for the page at {page}"),
        "let port 80 of the name lead to listen",
        "no peer can be talked to with TLS",
    ] {
        assert!(log.contains(wanted), "{wanted}\n{log}");
    }
    assert!(running.connected(&authority).await.is_err());
    authority.behaves(|manner| manner.page = Some(page));
    assert_eq!(running.renew().await.0, 200);
    running.ended("issued", 1).await;
    assert_eq!(authority.seen().orders, 2);
    running.connected(&authority).await.unwrap();
    running.node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_gone_takes_no_certificate_away() {
    let (running, mut authority) = Bench::new().await.start().await;
    running.ended("issued", 1).await;
    let before = shown(&running.connected(&authority).await.unwrap());
    authority.closes().await;
    assert_eq!(running.renew().await.0, 200);
    running.ended("unreachable", 1).await;
    running.node.logged("the one before stays in use").await;
    let log = running.node.lines.text();
    assert!(
        log.contains("days_left=90") && log.contains("is not reached"),
        "{log}"
    );
    assert_eq!(shown(&running.connected(&authority).await.unwrap()), before);
    // Not even a restart needs the authority.
    let running = running.again().await;
    assert_eq!(shown(&running.connected(&authority).await.unwrap()), before);
    authority.opens().await;
    assert_eq!(running.renew().await.0, 200);
    running.ended("issued", 1).await;
    assert_ne!(shown(&running.connected(&authority).await.unwrap()), before);
    assert_eq!(authority.seen().accounts, 1);
    running.node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_a_restart_interrupts_goes_on() {
    let bench = Bench::new().await;
    bench.authority.behaves(|manner| manner.looks = false);
    let (running, authority) = bench.start().await;
    until(|| authority.seen().orders == 1).await;
    let page = running.page;
    until(|| std::net::TcpStream::connect(page).is_ok()).await;
    let row = running.certificate().await;
    assert_eq!(
        (&row["state"], &row["next_order"]),
        (&"being ordered".into(), &Value::Null)
    );
    // Nothing is shown instead of a certificate that is not there.
    assert!(running.connected(&authority).await.is_err());
    let running = running.again().await;
    // The page is there again although the authority was told of it before.
    until(|| std::net::TcpStream::connect(page).is_ok()).await;
    authority.behaves(|manner| manner.looks = true);
    running.ended("issued", 1).await;
    running.connected(&authority).await.unwrap();
    let seen = authority.seen();
    let log = running.node.lines.text();
    assert_eq!((seen.orders, seen.accounts), (1, 1), "{log}");
    running.node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lacks_a_name_is_not_put_into_use() {
    let names = format!("names = [\"{SBC}\", \"media.contoso.example\"]");
    let bench = Bench::with(&names, "listen = \"PAGE\"").await;
    bench
        .authority
        .behaves(|manner| manner.forgets = Some("media.contoso.example"));
    let (running, authority) = bench.start().await;
    running.ended("unusable", 1).await;
    running.node.logged("it lacks a name").await;
    assert!(!running.folder().join("contoso.pem").exists());
    authority.behaves(|manner| manner.forgets = None);
    assert_eq!(running.renew().await.0, 200);
    running.ended("issued", 1).await;
    // Another name in the configuration is another certificate.
    let config = running.node.directory.path().join("causeway.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("media.contoso.example", "voice.contoso.example");
    write(running.node.directory.path(), "causeway.toml", &text);
    assert_eq!(running.node.ask("POST", "/reload").await.status, 200);
    running.ended("issued", 2).await;
    let named = authority.seen().identifiers;
    assert!(
        named.contains(&"voice.contoso.example".to_owned()),
        "{named:?}"
    );
    running.node.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_the_authority_knows_already_is_told_with_a_key_of_theirs() {
    let external = "external_account = { key_id = \"kid-1\", key = { file = \"DIR/hmac\" } }\nlisten = \"PAGE\"";
    let bench = Bench::with(&format!("names = [\"{SBC}\"]"), external).await;
    let key = b"0123456789abcdef0123456789abcdef";
    bench
        .authority
        .behaves(|manner| manner.external = Some(("kid-1", key.to_vec())));
    write(bench.directory.path(), "hmac", "bm90LXRoZS1rZXk\n");
    private(&bench.directory.path().join("hmac"));
    let (running, authority) = bench.start().await;
    running.ended("refused", 1).await;
    running
        .node
        .logged("look at external_account in [acme]")
        .await;
    let good = sbc_core::sdp::base64_encode(key);
    write(running.node.directory.path(), "hmac", &format!("{good}\n"));
    assert_eq!(running.renew().await.0, 200);
    running.ended("issued", 1).await;
    assert_eq!(authority.seen().forged, Vec::<String>::new());
    running.node.daemon.shutdown().await;
}

/// The configuration with a proxy of Teams at this address.
fn of_teams(text: &str, at: SocketAddr) -> String {
    let (own, others) = text.split_once("name = \"teams-fabrikam\"").unwrap();
    let own = own.replace(
        "name = \"teams-contoso\"",
        "name = \"teams-contoso\"\npreset = \"teams\"",
    );
    let plain = "targets = [\"sip.peer.example:5061;tls\"]";
    assert!(own.contains(plain));
    let pinned = format!(
        "targets = [{{ address = \"sip.peer.example:5061;tls\", connect_to = [\"{at}\"] }}]"
    );
    format!(
        "{}name = \"teams-fabrikam\"{others}",
        own.replace(plain, &pinned)
    )
}

/// A renewal in an outage of Teams is not lost, and not ordered twice: authorities count orders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_issued_while_teams_is_out_of_order_waits_for_its_next_200() {
    let at_proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = at_proxy.local_addr().unwrap();
    let names = format!("names = [\"{SBC}\"]");
    let (running, authority) =
        Bench::changed(&names, "listen = \"PAGE\"", |text| of_teams(&text, at))
            .await
            .start()
            .await;
    running.ended("issued", 1).await;
    let before = shown(&running.connected(&authority).await.unwrap());
    let proxies = &running.node.daemon.sinks().proxies;
    let says_200 = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        proxies.apply(&Event {
            at: UnixTime::from_micros(since.unwrap().as_micros() as u64),
            call: None,
            leg: None,
            what: Happened::Options {
                trunk: "teams-contoso".into(),
                by_peer: false,
                host: PEER.to_owned(),
                remote: None,
                status: Some(Status::OK),
                took: None,
                because: "answered 200 OK".to_owned(),
            },
        });
    };
    says_200();
    let proxy = Proxy::default();
    *proxy.outage.lock().unwrap() = Some(Outage::Unavailable);
    let believes = believing(roots(&authority.root_pem()), &running.peers.leaf(&[PEER]));
    let served = proxy.serve_with(believes, at_proxy);
    let mut news = running.node.daemon.sinks().news.listen();
    for times in 1..=2 {
        assert_eq!(running.renew().await.0, 200);
        running.ended("unanswered", times).await;
    }
    // That it waits is told once, and what is only shown again is no order.
    let mut waits = 0;
    while let Ok(item) = news.try_recv() {
        waits += usize::from(item.kind == Kind::CertificateWaits);
    }
    assert_eq!(waits, 1);
    let orders = running.node.lines.text();
    assert_eq!(orders.matches("certificate_order").count(), 2);
    let of_daemon = shown(&running.connected(&authority).await.unwrap());
    assert_eq!(of_daemon, before);
    assert!(running.folder().join("contoso.candidate").exists());
    let told = running.certificate().await;
    assert_eq!(told["state"], "in use, a new one waits");
    assert_eq!(told["failures"], 0);
    assert!(told["waits_for"].as_str().unwrap().contains("tried again"));
    let rows = running.node.ask("GET", "/teams").await.body;
    assert!(
        rows.contains("certificate of \\\"contoso\\\" waits"),
        "{rows}"
    );
    // A reload tries what is on file, and what is issued goes on waiting.
    assert_eq!(running.node.ask("POST", "/reload").await.status, 200);
    assert_ne!(running.certificate().await["waits_for"], Value::Null);
    *proxy.outage.lock().unwrap() = None;
    says_200();
    running.ended("issued", 2).await;
    let after = shown(&running.connected(&authority).await.unwrap());
    assert_ne!(after, before);
    assert_eq!(authority.seen().orders, 2);
    assert_eq!(running.certificate().await["waits_for"], Value::Null);
    running.node.daemon.shutdown().await;
    served.abort();
}

/// Teams believes its programme's authorities alone: what is issued by another one must not replace what works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_teams_refuses_is_not_put_into_use_and_not_found_there_after_a_restart() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = proxy.local_addr().unwrap();
    let names = format!("names = [\"{SBC}\"]");
    let (running, authority) =
        Bench::changed(&names, "listen = \"PAGE\"", |text| of_teams(&text, at))
            .await
            .start()
            .await;
    running.ended("issued", 1).await;
    let known = authority.root_pem();
    let acceptor = believing(roots(&known), &running.peers.leaf(&[PEER]));
    let (told, mut shaken) = tokio::sync::mpsc::unbounded_channel();
    let proxies = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = proxy.accept().await {
            let stream = acceptor.accept(stream).await;
            let _ = told.send(stream.is_ok());
            held.extend(stream);
        }
    });
    // After a restart the proxy is asked at once.
    let running = running.again().await;
    let is_shaken = async { while shaken.recv().await != Some(true) {} };
    tokio::time::timeout(PATIENCE, is_shaken).await.unwrap();
    let before = shown(&running.connected(&authority).await.unwrap());
    authority.moves();
    assert_eq!(running.renew().await.0, 200);
    running.ended("refused_by_teams", 1).await;
    running
        .node
        .logged("choose an authority of Microsoft's root programme")
        .await;
    assert_eq!(
        shown(&running.connected_with(roots(&known)).await.unwrap()),
        before
    );
    assert!(running.folder().join("contoso.refused").exists());
    let running = running.again().await;
    assert_eq!(
        shown(&running.connected_with(roots(&known)).await.unwrap()),
        before
    );
    running.node.daemon.shutdown().await;
    proxies.abort();
}

/// A program, made by another process: one that this one has open for writing cannot be run by any of its threads.
fn program(path: &Path, text: &str) {
    let script = format!(
        "cat > '{0}' <<'END'\n{text}\nEND\nchmod 755 '{0}'",
        path.display()
    );
    let done = Command::new("sh").args(["-c", &script]).status().unwrap();
    assert!(done.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wildcard_is_proven_by_records_that_a_program_makes_and_removes() {
    let keys = "challenge = \"dns-01\"\nhook = \"DIR/hook\"";
    let names = format!("names = [\"*.contoso.example\", \"{SBC}\"]\nallow_wildcard_san = true");
    let bench = Bench::with(&names, keys).await;
    let folder = bench.directory.path().to_owned();
    let records = folder.join("records");
    program(
        &folder.join("hook"),
        &format!(
            "#!/bin/sh\nenv > '{0}/env'\necho \"$1\" >> '{0}/calls'\n[ -e '{0}/allowed' ] || {{ echo no key for the zone >&2; exit 3; }}\n\
             [ \"$1\" = add ] && echo \"$2 $3\" >> '{0}/records'\nexit 0",
            folder.display()
        ),
    );
    bench.authority.behaves(|manner| {
        manner.records = Box::new(move || {
            let text = std::fs::read_to_string(&records).unwrap_or_default();
            let lines = text.lines().filter_map(|line| line.split_once(' '));
            lines
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        });
    });
    let (running, authority) = bench.start().await;
    running.ended("local", 1).await;
    running.node.logged("no key for the zone").await;
    write(&folder, "allowed", "");
    assert_eq!(running.renew().await.0, 200);
    running.ended("issued", 1).await;
    running.connected(&authority).await.unwrap();
    let calls = std::fs::read_to_string(folder.join("calls")).unwrap();
    let calls: Vec<&str> = calls.lines().collect();
    assert_eq!(calls, ["add", "add", "add", "remove", "remove"]);
    let made = std::fs::read_to_string(folder.join("records")).unwrap();
    assert!(
        made.lines()
            .any(|line| line.starts_with("_acme-challenge.contoso.example ")),
        "{made}"
    );
    // What else is in our environment is not for it: secrets may be.
    let environment = std::fs::read_to_string(folder.join("env")).unwrap();
    assert!(
        std::env::var_os("CARGO_MANIFEST_DIR").is_some() && !environment.contains("CARGO"),
        "{environment}"
    );
    running.node.daemon.shutdown().await;
}
