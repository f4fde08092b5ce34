//! What is measured: a daemon of our own with a configuration for it, or whatever is at an address.

use super::engine::Lane;
use super::process;
use super::stream::ClientSide;
use super::{External, LoadFault, Options, Over};
use crate::ca::{Authority, Identity};
use crate::lab::daemon::Daemon;
use crate::lab::folder::Folder;
use crate::random;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fmt::Write;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Who is called, of our own daemon.
const CALLED: &str = "+493023125456";
/// Names in the certificates of our own daemon and of the caller.
const NAME: &str = "sbc.example.com";
const CALLER_NAME: &str = "caller.example.com";
/// Where everybody listens; the addresses tell them apart.
const PORT: u16 = 5060;
const TLS_PORT: u16 = 5061;
/// Calls a second, and calls at once, that one pair of media addresses has ports for: a port rests
/// ten seconds after a call.
const RATE_PER_LANE: u32 = 2_000;
const CALLS_PER_LANE: u32 = 25_000;
const MOST_LANES: u32 = 30;

/// A subject that takes calls.
pub(super) struct Subject {
    daemon: Option<Own>,
    pid: Option<u32>,
    pub(super) lanes: Vec<Lane>,
    /// Addresses that connections come from.
    pub(super) sources: Vec<IpAddr>,
    pub(super) called: String,
    pub(super) client: Option<ClientSide>,
}

struct Own {
    daemon: Daemon,
    runtime: Runtime,
    _folder: Folder,
}

/// Certificates of a run: of our own daemon, and of the generator when it calls itself.
pub(super) struct Trust {
    authority: Authority,
}

impl Trust {
    /// A new authority.
    pub(super) fn new() -> Result<Self, LoadFault> {
        let authority = Authority::new("Causeway load").map_err(LoadFault::certificate)?;
        Ok(Self { authority })
    }

    /// What a client trusts. Every handshake is a full one.
    pub(super) fn client(&self) -> Result<ClientSide, LoadFault> {
        let roots = self.authority.roots().map_err(LoadFault::certificate)?;
        let identity = self.authority.issue_ecdsa(&[CALLER_NAME]);
        client(roots, NAME, Some(identity.map_err(LoadFault::certificate)?))
    }

    /// What the generator shows when it calls itself.
    pub(super) fn server(&self) -> Result<Arc<ServerConfig>, LoadFault> {
        let identity = self.authority.issue_ecdsa(&[NAME]);
        let (chain, key) = identity
            .and_then(|identity| identity.parts())
            .map_err(LoadFault::certificate)?;
        let roots = self.authority.roots().map_err(LoadFault::certificate)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(LoadFault::certificate)?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(LoadFault::certificate)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(LoadFault::certificate)?;
        Ok(Arc::new(config))
    }
}

fn client(
    roots: RootCertStore,
    name: &str,
    identity: Option<Identity>,
) -> Result<ClientSide, LoadFault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(LoadFault::certificate)?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => {
            let (chain, key) = identity.parts().map_err(LoadFault::certificate)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(LoadFault::certificate)?
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    let name = ServerName::try_from(name.to_owned()).map_err(LoadFault::certificate)?;
    Ok(ClientSide {
        config: Arc::new(config),
        name,
    })
}

/// Addresses of the lanes of a run on loopback: a block that nobody else is likely to use.
struct Block([u8; 2]);

impl Block {
    fn choose() -> Self {
        let [b, c] = random::bytes::<2>();
        Self([b.clamp(2, 252), c.clamp(1, 250)])
    }

    /// An address for what is before the subject (`false`) or behind it.
    fn address(&self, is_peer: bool, last: u32) -> IpAddr {
        let [b, c] = self.0;
        let last = u8::try_from(last).unwrap_or(u8::MAX);
        Ipv4Addr::new(127, b, c + u8::from(is_peer), last).into()
    }

    /// A lane without subject: the caller calls the answerer.
    fn direct(&self, lane: u32, entry_port: u16) -> Lane {
        let answerer = SocketAddr::new(self.address(true, 201 + lane), PORT);
        Lane {
            caller: SocketAddr::new(self.address(true, 1 + lane), PORT),
            entry: SocketAddr::new(answerer.ip(), entry_port),
            answerer,
        }
    }
}

/// The generator alone, looped to itself.
pub(super) struct Loop {
    pub(super) lane: Lane,
    pub(super) sources: Vec<IpAddr>,
    pub(super) door: TcpListener,
}

/// Addresses for the generator alone.
pub(super) fn looped(over: Over) -> Result<Loop, LoadFault> {
    let block = Block::choose();
    let door =
        TcpListener::bind((block.address(true, 201), 0)).map_err(LoadFault::system("listen"))?;
    let port = door
        .local_addr()
        .map_err(LoadFault::system("listen"))?
        .port();
    let port = if over == Over::Udp { PORT } else { port };
    Ok(Loop {
        lane: block.direct(0, port),
        sources: sources(&block),
        door,
    })
}

fn sources(block: &Block) -> Vec<IpAddr> {
    // Enough that no port has to be used again while it rests.
    (1..=100).map(|last| block.address(true, last)).collect()
}

impl Subject {
    /// Starts our own daemon, or looks at the one that is there.
    pub(super) fn start(
        options: &Options,
        over: Over,
        most_rate: u32,
        trust: &Trust,
    ) -> Result<Self, LoadFault> {
        match &options.external {
            Some(external) => Self::external(external, over),
            None => Self::own(options, over, most_rate, trust),
        }
    }

    fn external(external: &External, over: Over) -> Result<Self, LoadFault> {
        let client = match (over, &external.trust) {
            (Over::Udp | Over::Tcp, _) => None,
            (Over::Tls | Over::TlsEach, Some((file, name))) => {
                let mut roots = RootCertStore::empty();
                let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
                let certificates: Vec<_> = read.map_err(|why| LoadFault::Trust {
                    file: file.clone(),
                    why: why.to_string(),
                })?;
                roots.add_parsable_certificates(certificates);
                Some(client(roots, name, None)?)
            }
            (Over::Tls | Over::TlsEach, None) => return Err(LoadFault::NoTrust),
        };
        Ok(Self {
            daemon: None,
            pid: external.pid,
            lanes: vec![Lane {
                caller: external.caller,
                entry: external.to,
                answerer: external.answerer,
            }],
            sources: vec![external.caller.ip()],
            called: external.called.clone(),
            client,
        })
    }

    fn own(
        options: &Options,
        over: Over,
        most_rate: u32,
        trust: &Trust,
    ) -> Result<Self, LoadFault> {
        let held = options.held.unwrap_or(0);
        let lanes = (1 + most_rate / RATE_PER_LANE).max(1 + held / CALLS_PER_LANE);
        let lanes = lanes.min(MOST_LANES);
        let block = Block::choose();
        let folder = Folder::make(false).map_err(LoadFault::lab)?;
        let identity = trust
            .authority
            .issue_ecdsa(&[NAME])
            .map_err(LoadFault::certificate)?;
        let metrics = TcpListener::bind((block.address(false, 1), 0))
            .and_then(|socket| socket.local_addr())
            .map_err(LoadFault::system("find a free port"))?;
        let at = folder.path();
        for (name, text) in [
            ("load.pem", &identity.chain_pem),
            ("load.key", &identity.key_pem),
            ("ca.pem", &trust.authority.root_pem().to_owned()),
            (
                "causeway.toml",
                &configuration(at, &block, lanes, metrics, over),
            ),
        ] {
            write(&at.join(name), text)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(LoadFault::system("make a runtime"))?;
        let everywhere = process::cores().map_err(LoadFault::system("ask for cores"))?;
        if let Some(core) = options.core {
            process::confine(&[core]).map_err(|why| LoadFault::Core { core, why })?;
        }
        let started = runtime.block_on(Daemon::start(&options.program, at, metrics, false));
        // Back to where we were, but leave the subject its core.
        let rest: Vec<usize> = everywhere
            .iter()
            .copied()
            .filter(|core| Some(*core) != options.core)
            .collect();
        let ours = if rest.is_empty() { &everywhere } else { &rest };
        process::confine(ours).map_err(LoadFault::system("choose cores"))?;
        let daemon = started.map_err(LoadFault::lab)?;
        let port = match over {
            Over::Udp | Over::Tcp => PORT,
            Over::Tls | Over::TlsEach => TLS_PORT,
        };
        let lane = |n| Lane {
            caller: SocketAddr::new(block.address(true, 1 + n), PORT),
            entry: SocketAddr::new(block.address(false, 1 + n), port),
            answerer: SocketAddr::new(block.address(true, 201 + n), PORT),
        };
        let client = match over {
            Over::Udp | Over::Tcp => None,
            Over::Tls | Over::TlsEach => Some(trust.client()?),
        };
        Ok(Self {
            pid: Some(daemon.pid()),
            daemon: Some(Own {
                daemon,
                runtime,
                _folder: folder,
            }),
            lanes: (0..lanes).map(lane).collect(),
            sources: sources(&block),
            called: CALLED.to_owned(),
            client,
        })
    }

    /// Its process, if it is known.
    pub(super) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Whether it is a child of ours.
    pub(super) fn is_ours(&self) -> bool {
        self.daemon.is_some()
    }

    /// The end of the log of our own daemon.
    pub(super) fn log_tail(&self) -> String {
        let own = self.daemon.as_ref();
        own.map(|own| own.daemon.log_tail()).unwrap_or_default()
    }

    /// Ends our own daemon; any other is left alone.
    pub(super) fn stop(self) {
        if let Some(own) = self.daemon {
            own.runtime.block_on(own.daemon.stop());
        }
    }
}

/// A new file that only this user can read: one of them is a key.
fn write(path: &Path, text: &str) -> Result<(), LoadFault> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|why| LoadFault::File {
        path: path.to_owned(),
        why,
    })
}

/// Two carriers of one tenant on every lane; what comes from one goes to the other.
fn configuration(
    folder: &Path,
    block: &Block,
    lanes: u32,
    metrics: SocketAddr,
    over: Over,
) -> String {
    let at = folder.display();
    // Its parties send no media, also while they are held.
    let mut text = format!(
        r#"[node]
id = "load"

[limits]
media_timeout = "0s"

[cdr]
spool = "{at}/cdr"

[metrics]
listen = "{metrics}"

[api]
unix = "{at}/api.sock"

[[tls]]
name = "load"
cert = "{at}/load.pem"
key = {{ file = "{at}/load.key" }}
client_ca = "{at}/ca.pem"
verify_client = "require"

[[tenant]]
name = "contoso"
numbers = ["+493023125000-+493023125999"]
"#
    );
    for lane in 0..lanes {
        for (side, at, peer) in [("caller", 1, 1), ("answerer", 101, 201)] {
            let address = block.address(false, at + lane);
            let target = block.address(true, peer + lane);
            // Connections of callers come from many addresses.
            let accepted = match side {
                "caller" => format!("{}/24", block.address(true, 0)),
                _ => format!("{target}/32"),
            };
            let targets = match (side, over) {
                ("caller", Over::Tls | Over::TlsEach) => format!(
                    "tls = \"load\"\ntargets = [{{ address = \"{CALLER_NAME}:5061;tls\", \
                     connect_to = [\"{target}:{PORT}\"] }}]"
                ),
                _ => format!("targets = [\"{target}:{PORT};udp\"]"),
            };
            let _ = write!(
                text,
                r#"
[[realm]]
name = "{side}-{lane}"
addresses = ["{address}"]
ports = "10000-65534"

[[listen]]
realm = "{side}-{lane}"
transport = "udp"
port = {PORT}

[[listen]]
realm = "{side}-{lane}"
transport = "tcp"
port = {PORT}

[[listen]]
realm = "{side}-{lane}"
transport = "tls"
port = {TLS_PORT}
tls = "load"

[[trunk]]
name = "{side}-{lane}"
preset = "carrier"
tenant = "contoso"
realm = "{side}-{lane}"
{targets}
accept_from = ["{accepted}"]
codecs = ["PCMA"]
options = false
"#
            );
        }
        let _ = write!(
            text,
            r#"
[[route]]
name = "lane-{lane}"
match = {{ from_trunk = "caller-{lane}" }}
to = [{{ trunk = "answerer-{lane}" }}]
"#
        );
    }
    text
}
