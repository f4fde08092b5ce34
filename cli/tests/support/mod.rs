//! What tests over real sockets share: certificates, a configuration on free ports, a peer.
#![allow(unreachable_pub)]

use bytes::Bytes;
use causeway::daemon::inbox::{Inbox, Inboxes, Next};
use causeway::daemon::net::tls::TlsStore;
use causeway::daemon::net::{Net, Patience};
use causeway::sink::log::{Form, Level, Log};
use causeway::sink::metrics::{Direction, Metrics};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
    SigningKey, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sbc_core::config::{Assumed, Config, Loaded, Source};
use sbc_core::id::{ListenerName, ShardId, TlsContextName, TransactionId};
use sbc_core::input::Input;
use sbc_core::sip::Message;
use sbc_core::transport::{Flow, FlowFault, Hop, Protocol, TlsHop};
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// Long enough for a loaded machine; nothing waits this long when it works.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A certification authority that exists for one test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
pub struct Leaf {
    pub chain_pem: String,
    pub key_pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Test Root");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn leaf(&self, names: &[&str]) -> Leaf {
        self.leaf_with(names, |params| {
            params.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ];
        })
    }

    pub fn leaf_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &*self.issuer).unwrap();
        Leaf {
            chain_pem: signed.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    /// Its signature of these octets, as certificates have it.
    pub fn sign(&self, octets: &[u8]) -> Vec<u8> {
        self.issuer.key().sign(octets).unwrap()
    }

    /// A list of revoked certificates, in PEM.
    pub fn revoking(&self, list: rcgen::CertificateRevocationListParams) -> String {
        list.signed_by(&*self.issuer).unwrap().pem().unwrap()
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap())
            .unwrap();
        roots
    }
}

/// What a list says that revokes one certificate.
pub fn revoking(serial: &[u8], from: i32, until: i32) -> CertificateRevocationListParams {
    CertificateRevocationListParams {
        this_update: date_time_ymd(from, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from(serial.to_vec()),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    }
}

impl Leaf {
    pub fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.chain_pem.as_bytes())
            .collect::<Result<_, _>>()
            .unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).unwrap();
        (chain, key)
    }
}

fn builder_provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A TLS client of the test, with or without certificate.
pub fn client(roots: RootCertStore, leaf: Option<&Leaf>) -> TlsConnector {
    let builder = ClientConfig::builder_with_provider(builder_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match leaf {
        Some(leaf) => {
            let (chain, key) = leaf.parts();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    TlsConnector::from(Arc::new(config))
}

/// A TLS client of the test that shows this certificate, whatever is in it.
pub fn client_showing(
    roots: RootCertStore,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> TlsConnector {
    let provider = builder_provider();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let shown = Arc::new(CertifiedKey::new(vec![certificate], key));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    TlsConnector::from(Arc::new(config))
}

/// A TLS server of the test that asks nobody for a certificate.
pub fn server(leaf: &Leaf) -> TlsAcceptor {
    let (chain, key) = leaf.parts();
    let config = ServerConfig::builder_with_provider(builder_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A server that believes clients of these authorities alone, as Teams does.
pub fn believing(roots: RootCertStore, leaf: &Leaf) -> TlsAcceptor {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), builder_provider());
    let (chain, key) = leaf.parts();
    let config = ServerConfig::builder_with_provider(builder_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Lines that were logged.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// Two tenants with their TLS identities on one listener, and a carrier over TCP and UDP.
pub const CONFIG: &str = r#"
[node]
id = "test"

[[realm]]
name = "core"
addresses = ["127.0.0.1"]
ports = "20000-31999"

[[tls]]
name = "contoso"
cert = "DIR/contoso.pem"
key = { file = "DIR/contoso.key" }
client_ca = "DIR/ca.pem"
verify_client = "require"

[[tls]]
name = "fabrikam"
cert = "DIR/fabrikam.pem"
key = { file = "DIR/fabrikam.key" }
client_ca = "DIR/ca.pem"
verify_client = "require"

[[listen]]
name = "tls"
realm = "core"
transport = "tls"
port = 5061
tls = "contoso"

[[listen]]
name = "tcp"
realm = "core"
transport = "tcp"
port = 5060

[[listen]]
name = "udp"
realm = "core"
transport = "udp"
port = 5060

[[tenant]]
name = "contoso"
numbers = ["+15550100-+15550199"]

[[tenant]]
name = "fabrikam"
numbers = ["+15550200-+15550299"]

[[trunk]]
name = "teams-contoso"
tenant = "contoso"
realm = "core"
tls = "contoso"
fqdn = "sbc.contoso.example"
targets = ["sip.peer.example:5061;tls"]
accept_from = ["127.0.0.0/8"]
accept_names = ["sip.peer.example"]

[[trunk]]
name = "teams-fabrikam"
tenant = "fabrikam"
realm = "core"
tls = "fabrikam"
fqdn = "sbc.fabrikam.example"
targets = ["sip.peer.example:5061;tls"]
accept_from = ["127.0.0.0/8"]
accept_names = ["sip.peer.example"]

[[trunk]]
name = "carrier"
tenant = "*"
realm = "core"
targets = ["127.0.0.1:5060;udp", "127.0.0.1:5060;tcp"]
accept_from = ["127.0.0.1"]
"#;

/// A network over loopback whose shard is the test.
pub struct World {
    pub net: Net,
    pub inbox: Arc<Inbox>,
    pub metrics: Arc<Metrics>,
    pub lines: Lines,
    pub authority: Authority,
    pub directory: TempDir,
    pub config: Arc<Config>,
}

impl World {
    pub fn new() -> Self {
        Self::with(|text| text)
    }

    /// A network with a changed configuration.
    pub fn with(change: impl FnOnce(String) -> String) -> Self {
        Self::patient(Patience::default(), change)
    }

    /// As [`World::with`], where things take other times than usual.
    pub fn patient(patience: Patience, change: impl FnOnce(String) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        write(directory.path(), "ca.pem", &authority.pem());
        for name in ["contoso", "fabrikam"] {
            let leaf = authority.leaf(&[&format!("sbc.{name}.example")]);
            write_leaf(directory.path(), name, &leaf);
        }
        let text = CONFIG.replace("DIR", &directory.path().display().to_string());
        let loaded = load(&change(text));
        let config = Arc::new(loaded.config.clone());
        let tls = TlsStore::load(&loaded.shell.tls).unwrap();
        let inbox = Inbox::new(ShardId(0)).unwrap();
        let inboxes = Inboxes::new(vec![Arc::clone(&inbox)], |_, _| ShardId(0));
        let metrics = Arc::new(Metrics::new().unwrap());
        let lines = Lines::default();
        let (log, _) = Log::start(Level::Debug, Form::Text, lines.clone()).unwrap();
        let tls = Arc::new(tls);
        let net = Net::patient(
            Arc::clone(&config),
            Arc::clone(&tls),
            inboxes,
            Arc::clone(&metrics),
            log,
            patience,
        );
        let opened = net
            .open(&config)
            .unwrap_or_else(|faults| panic!("{faults:?}"));
        net.apply(Arc::clone(&config), tls, opened);
        Self {
            net,
            inbox,
            metrics,
            lines,
            authority,
            directory,
            config,
        }
    }

    /// What a reload would read.
    pub fn loaded(&self) -> Loaded {
        load(&CONFIG.replace("DIR", &self.directory.path().display().to_string()))
    }

    /// The identities of that.
    pub fn identities_on_disk(&self) -> TlsStore {
        TlsStore::load(&self.loaded().shell.tls).unwrap()
    }

    /// Loads the identities again, as a reload does.
    pub fn reload(&self) {
        self.uses(self.identities_on_disk());
    }

    /// Puts these identities into use.
    pub fn uses(&self, tls: TlsStore) {
        let opened = self.net.open(&self.config).unwrap();
        self.net
            .apply(Arc::clone(&self.config), Arc::new(tls), opened);
    }

    pub fn address(&self, listener: &str) -> SocketAddr {
        self.net.address(&ListenerName::new(listener)).unwrap()
    }

    /// The next input that `want` wants; others are skipped.
    pub async fn input<T: Send + 'static>(&self, want: fn(Input) -> Option<T>) -> T {
        let inbox = Arc::clone(&self.inbox);
        let found = tokio::task::spawn_blocking(move || {
            let deadline = std::time::Instant::now() + PATIENCE;
            while std::time::Instant::now() < deadline {
                let next = inbox.next(Duration::from_millis(100));
                if let Next::Input(input, _) = next
                    && let Some(found) = want(*input)
                {
                    return Some(found);
                }
            }
            None
        });
        match found.await.unwrap() {
            Some(found) => found,
            None => panic!("no such input came; log:\n{}", self.lines.text()),
        }
    }

    pub async fn received(&self) -> (Flow, Message) {
        self.input(|input| match input {
            Input::Received { flow, message } => Some((flow, message)),
            _ => None,
        })
        .await
    }

    pub async fn send_failed(&self) -> (TransactionId, FlowFault) {
        self.input(|input| match input {
            Input::SendFailed { transaction, why } => Some((transaction, why)),
            _ => None,
        })
        .await
    }

    pub async fn flow_lost(&self) -> FlowFault {
        self.input(|input| match input {
            Input::FlowLost { why, .. } => Some(why),
            _ => None,
        })
        .await
    }

    /// Sends a message, with a transaction of this number to hear of a failure.
    pub fn send(&self, hop: &Hop, text: &str, transaction: u64) {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        self.net
            .send(ShardId(0), hop, bytes, Some(TransactionId(transaction)));
    }

    /// Waits until a handshake with this result was counted.
    pub async fn handshake(&self, context: &str, direction: Direction, result: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let net = &self.metrics.net;
        while net.handshakes_so_far(context, direction, result) == 0 {
            if tokio::time::Instant::now() > deadline {
                panic!("no handshake {result}; log:\n{}", self.lines.text());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until a line with this text was logged.
    pub async fn logged(&self, text: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.lines.text().contains(text) {
            if tokio::time::Instant::now() > deadline {
                panic!("no line with {text}; log:\n{}", self.lines.text());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// A TCP connection of the test to a listener.
    pub async fn tcp(&self, listener: &str) -> TcpStream {
        TcpStream::connect(self.address(listener)).await.unwrap()
    }

    /// A TLS connection to the daemon that asks for `name`.
    pub async fn tls(
        &self,
        leaf: Option<&Leaf>,
        name: &str,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let stream = self.tcp("tls").await;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        client(self.authority.roots(), leaf)
            .connect(name, stream)
            .await
    }
}

pub fn load(text: &str) -> Loaded {
    let names = ["sbc.contoso.example", "sbc.fabrikam.example"];
    let facts = Assumed::with_names(names);
    let loaded = sbc_core::config::load(&[Source::new("test.toml", text)], &facts, None);
    let mut loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings.to_text()));
    for listener in loaded.config.listeners.values_mut() {
        Arc::make_mut(listener).bind.set_port(0);
    }
    loaded
}

pub fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

pub fn write_leaf(directory: &Path, name: &str, leaf: &Leaf) {
    write(directory, &format!("{name}.pem"), &leaf.chain_pem);
    write(directory, &format!("{name}.key"), &leaf.key_pem);
}

/// A peer that listens.
pub async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub async fn accept_tls(listener: &TcpListener, leaf: &Leaf) -> server::TlsStream<TcpStream> {
    let (stream, _) = listener.accept().await.unwrap();
    server(leaf).accept(stream).await.unwrap()
}

pub fn tls_hop(context: &str, remote: SocketAddr) -> Hop {
    Hop {
        listener: ListenerName::new("tls"),
        protocol: Protocol::Tls,
        remote,
        tls: Some(Arc::new(TlsHop {
            context: TlsContextName::new(context),
            server_name: "sip.peer.example".to_owned(),
            accept_names: Vec::new(),
            takes_alias: true,
        })),
        flow: None,
    }
}

pub fn tcp_hop(remote: SocketAddr) -> Hop {
    Hop {
        listener: ListenerName::new("tcp"),
        protocol: Protocol::Tcp,
        remote,
        tls: None,
        flow: None,
    }
}

/// An OPTIONS with this Call-ID.
pub fn options(call_id: &str) -> String {
    format!(
        "OPTIONS sip:sbc.contoso.example SIP/2.0\r\n\
         Via: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK{call_id}\r\nFrom: <sip:a@example.com>;tag=1\r\n\
         To: <sip:sbc.contoso.example>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\n\
         Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

pub fn call_id(message: &Message) -> String {
    let value = message.raw_named("Call-ID").unwrap();
    String::from_utf8(value.to_vec()).unwrap()
}

/// Reads until `text` has arrived; what came until then.
pub async fn read_until(stream: &mut (impl AsyncReadExt + Unpin), text: &str) -> String {
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    let work = async {
        loop {
            let now = String::from_utf8_lossy(&got).into_owned();
            if now.contains(text) {
                return now;
            }
            let length = stream.read(&mut buffer).await.unwrap();
            assert!(length > 0, "closed before {text:?}, after {now:?}");
            got.extend_from_slice(&buffer[..length]);
        }
    };
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

/// Waits for the end of a stream, however it comes.
pub async fn read_to_close(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut got = Vec::new();
    let work = async {
        let mut buffer = [0; 4096];
        while let Ok(length) = stream.read(&mut buffer).await {
            if length == 0 {
                break;
            }
            got.extend_from_slice(&buffer[..length]);
        }
    };
    tokio::time::timeout(PATIENCE, work).await.expect("in time");
    got
}

/// Writes text in whatever pieces the caller makes.
pub async fn write_text(stream: &mut (impl AsyncWriteExt + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

/// The stream of events of the interface at this socket, from now on. Blocks.
pub fn events(socket: &Path) -> BufReader<UnixStream> {
    let mut line = UnixStream::connect(socket).unwrap();
    line.set_read_timeout(Some(PATIENCE)).unwrap();
    line.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut reader = BufReader::new(line);
    let head = heard(&mut reader, ": listening");
    assert!(head.contains("text/event-stream"), "{head}");
    reader
}

/// Lines of a stream until one has this text.
pub fn heard(reader: &mut impl BufRead, text: &str) -> String {
    let mut all = String::new();
    while !all.contains(text) {
        assert_ne!(reader.read_line(&mut all).unwrap(), 0, "{all}");
    }
    all
}
