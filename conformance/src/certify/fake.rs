//! An SBC of others that does no more than a test needs: it asks the proxies all the time, and tells its operators what the
//! test has it say.

use super::group;
use super::kit::Kit;
use super::setting::FQDN;
use super::stage::Stage;
use super::subject::{Other, Subject};
use crate::ca::{Authority, Identity};
use crate::lab::place::{self, Addresses, DOMAIN, REGIONS};
use crate::peer::teams::connect_from;
use crate::peer::tls;
use crate::random;
use rustls::pki_types::ServerName;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// How often it asks, and how long it waits for an answer.
const PAUSE: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_millis(500);

/// The SBC, with the folder of its file.
pub(super) struct Fake {
    folder: TempDir,
    pub(super) subject: Subject,
    kit: Arc<Kit>,
    identity: Identity,
}

impl Fake {
    /// One with these commands beside `logs`, each with its script.
    pub(super) fn new(commands: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let authority = Authority::new("Somebody").unwrap();
        let names = REGIONS.map(|region| format!("{region}.{DOMAIN}"));
        let proxy = authority.issue(&names.each_ref().map(String::as_str));
        let proxy = proxy.unwrap();
        for (name, text) in [
            ("ca.pem", authority.root_pem()),
            ("authority.pem", authority.root_pem()),
            ("authority.key", authority.root_key_pem()),
            ("proxy.pem", &proxy.chain_pem),
            ("proxy.key", &proxy.key_pem),
            ("log", ""),
        ] {
            place::write(folder.path(), name, text).unwrap();
        }
        let here = Addresses::choose();
        let any = |ip| format!("\"{}\"", SocketAddr::new(ip, 0));
        let mut text = format!(
            "name = \"fake\"\nfqdn = \"{FQDN}\"\nteams_side = \"{}:5061\"\ncarrier_side = \"{}:5060\"\n\
             proxies = [{}]\ncarrier = {}\ncertificates = \"{at}\"\nhas = []\n",
            here.teams_side,
            here.carrier_side,
            here.proxies.map(any).join(", "),
            any(here.carrier),
        );
        // Whether the first proxy listens, for the scripts.
        let listens = match here.proxies[0] {
            IpAddr::V4(ip) => format!("{:08X}", u32::from(ip).swap_bytes()),
            IpAddr::V6(_) => String::new(),
        };
        let listens = format!("{listens}:[0-9A-F]* 00000000:0000 0A");
        for (key, script) in [("logs", "cat log")].iter().chain(commands) {
            let script = format!("cd {at}\nlistens='{listens}'\n{script}");
            let _ = writeln!(text, "{key} = [\"/bin/sh\", \"-c\", {script:?}, \"sh\"]");
        }
        let other = Other::parse(&text).unwrap();
        let subject = Subject::Other(Box::new(other));
        let kit = Arc::new(Kit::of(&subject, None).unwrap());
        Self {
            identity: authority.issue(&[FQDN]).unwrap(),
            folder,
            subject,
            kit,
        }
    }

    /// Whether there is a file with this name in its folder.
    pub(super) fn has(&self, name: &str) -> bool {
        self.folder.path().join(name).exists()
    }

    pub(super) async fn stage(&self, id: &str) -> Stage {
        let case = group::find(id).unwrap();
        let stage = Stage::set(&self.subject, &self.kit, case, None).await;
        stage.unwrap()
    }

    /// Writes into what its operators see.
    pub(super) fn tells(&self, text: &str) {
        tells(&self.folder.path().join("log"), text).unwrap();
    }

    /// From now on it asks every proxy again and again, and tells of each what this says, by the proxy's name and the status
    /// of its answer, if there is one. With a connector of its own it believes others.
    pub(super) fn asks(
        &self,
        stage: &Stage,
        connector: Option<TlsConnector>,
        says: fn(&str, Option<u16>) -> String,
    ) -> JoinSet<()> {
        let own = || tls::connector(Some(&self.identity), stage.roots.clone()).unwrap();
        let connector = connector.unwrap_or_else(own);
        let mut asking = JoinSet::new();
        for proxy in &stage.proxies[..REGIONS.len()] {
            let (connector, log) = (connector.clone(), self.folder.path().join("log"));
            let (from, to) = (stage.teams_side, proxy.address());
            let host = proxy.host().to_owned();
            asking.spawn(async move {
                loop {
                    let answer = timeout(ANSWER, ask(&connector, from, to, &host)).await;
                    let status = answer.ok().and_then(Result::ok);
                    tells(&log, &says(&host, status)).unwrap();
                    sleep(PAUSE).await;
                }
            });
        }
        asking
    }
}

fn tells(log: &PathBuf, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).open(log)?;
    file.write_all(text.as_bytes())
}

/// Asks a proxy on a connection of its own; gives the status of the answer.
async fn ask(
    connector: &TlsConnector,
    from: SocketAddr,
    to: SocketAddr,
    host: &str,
) -> io::Result<u16> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = connect_from(from.ip(), to).await?;
    let mut stream = connector.connect(name, stream).await?;
    let port = from.port();
    let (call, branch, tag) = (
        random::word::<8>(),
        random::word::<8>(),
        random::word::<4>(),
    );
    let request = format!(
        "OPTIONS sip:{host}:5061;transport=tls SIP/2.0\r\nVia: SIP/2.0/TLS {FQDN}:{port};branch=z9hG4bK{branch}\r\n\
         From: <sip:{FQDN}>;tag={tag}\r\nTo: <sip:{host}>\r\nCall-ID: {call}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\
         Contact: <sip:{FQDN}:{port};transport=tls>\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    status.ok_or_else(|| io::Error::other(answer))
}
