//! Sends records to whoever keeps them, over HTTPS, until they are acknowledged (OPS-060).
//!
//! A task reads the files of the spool behind the writer, the oldest first: it takes nothing from calls and
//! nothing from the disk that is not there anyway. What was acknowledged is written down in `shipped.json`
//! beside them, after the answer: a crash in between sends the same once more, with the same `Idempotency-Key`
//! where it is cut in the same place. A file is known by its inode as long as it is in progress, because it
//! gets another name when it is closed.

use super::spool::{CURRENT, closed_at, closed_files};
use crate::config;
use crate::daemon::resolver::Resolver;
use crate::jwt::fetch::{Address, Fetch, Parcel};
use crate::sink::log::Log;
use crate::sink::metrics::ShipMetrics;
use crate::sink::whole;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use sbc_core::config::{CdrShip, FileFault, Loaded, Secret};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

/// Most octets of one request, unless a single record has more.
const MOST_BYTES: usize = 1 << 20;
/// How often it is looked for new records while there are none.
const LOOK: Duration = Duration::from_secs(1);
/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// What was acknowledged.
const STATE: &str = "shipped.json";
/// Version of that file.
const VERSION: u32 = 1;

/// Sends records, if somebody is to have them. Cheap to clone.
#[derive(Clone)]
pub struct Shipper {
    shared: Arc<Shared>,
}

struct Shared {
    running: Mutex<Option<Running>>,
    metrics: ShipMetrics,
    log: Log,
}

struct Running {
    settings: Settings,
    task: JoinHandle<()>,
    trouble: Arc<Mutex<Option<String>>>,
}

/// Everything that the task depends on.
#[derive(Clone, PartialEq)]
struct Settings {
    directory: PathBuf,
    wanted: CdrShip,
    token: Option<Vec<u8>>,
}

impl Shipper {
    /// Sends to nobody.
    pub fn new(metrics: ShipMetrics, log: Log) -> Self {
        let running = Mutex::default();
        let shared = Shared {
            running,
            metrics,
            log,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Sends from now on to whom this configuration names. Call within the runtime.
    pub fn configure(&self, loaded: &Loaded, resolver: &Resolver) {
        let spool = loaded.shell.cdr.as_ref();
        let wanted = spool.and_then(|spool| Some((spool, spool.ship.clone()?)));
        let settings = wanted.map(|(spool, wanted)| Settings {
            directory: PathBuf::from(&spool.directory),
            token: wanted.token.as_ref().and_then(|token| self.token(token)),
            wanted,
        });
        let mut running = self.running();
        if running.as_ref().map(|own| &own.settings) == settings.as_ref() {
            return;
        }
        if let Some(before) = running.take() {
            before.task.abort();
            self.shared.metrics.forget(&before.settings.wanted.url);
        }
        let Some(settings) = settings else {
            return;
        };
        let trouble = Arc::default();
        match self.carrier(&settings, resolver, Arc::clone(&trouble)) {
            Ok(carrier) => {
                let task = tokio::spawn(carrier.run());
                *running = Some(Running {
                    settings,
                    task,
                    trouble,
                });
            }
            Err(why) => {
                let log = &self.shared.log;
                let line = log.error("cdr_ship", "records are sent to nobody");
                line.with("why", why).send();
            }
        }
    }

    fn token(&self, token: &Secret) -> Option<Vec<u8>> {
        match config::read_secret(token) {
            Ok(octets) => Some(octets.trim_ascii().to_vec()),
            Err(FileFault::Unreadable(why) | FileFault::Unusable(why)) => {
                let line = self.shared.log.error("cdr_ship_token", why);
                line.with("token", token).send();
                None
            }
        }
    }

    fn carrier(
        &self,
        settings: &Settings,
        resolver: &Resolver,
        trouble: Arc<Mutex<Option<String>>>,
    ) -> Result<Carrier, String> {
        let CdrShip {
            url, roots, batch, ..
        } = &settings.wanted;
        let told = |fault| match fault {
            FileFault::Unreadable(why) | FileFault::Unusable(why) => format!("{roots}: {why}"),
        };
        let (believed, _) = config::read_roots(roots).map_err(told)?;
        let address = Address::parse(url).ok_or_else(|| format!("{url} is no address"))?;
        let authorization = match &settings.token {
            None => None,
            Some(token) => {
                let value = [b"Bearer ", token.as_slice()].concat();
                let value = HeaderValue::from_bytes(&value);
                let mut value =
                    value.map_err(|_| "the token has octets that no header may have")?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Carrier {
            directory: settings.directory.clone(),
            url: url.clone(),
            address,
            fetch: Fetch::new(believed, resolver.clone()),
            authorization,
            most: *batch,
            metrics: self.shared.metrics.clone(),
            log: self.shared.log.clone(),
            trouble,
        })
    }

    /// Why records wait at the moment, if they do.
    pub fn trouble(&self) -> Option<String> {
        let running = self.running();
        let own = running.as_ref()?;
        let trouble = own.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone()
    }

    /// Ends. What is not acknowledged is sent by the next start.
    pub fn finish(&self) {
        if let Some(own) = self.running().take() {
            own.task.abort();
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        let running = &self.shared.running;
        running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that sends.
struct Carrier {
    directory: PathBuf,
    url: String,
    address: Address,
    fetch: Fetch,
    authorization: Option<HeaderValue>,
    most: usize,
    metrics: ShipMetrics,
    log: Log,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Carrier {
    async fn run(self) {
        let mut pause = PAUSES.0;
        loop {
            match self.once().await {
                Ok(is_more) => {
                    self.told(None);
                    pause = PAUSES.0;
                    if !is_more {
                        sleep(LOOK).await;
                    }
                }
                Err(why) => {
                    self.told(Some(why));
                    sleep(pause).await;
                    pause = (2 * pause).min(PAUSES.1);
                }
            }
        }
    }

    /// Sends what comes next; says whether there was anything.
    async fn once(&self) -> Result<bool, String> {
        let (directory, most) = (self.directory.clone(), self.most);
        let found = spawn_blocking(move || {
            let mut state = State::read(&directory)?;
            let found = state.next(&directory, most)?;
            if found.batch.is_none() && found.is_news {
                state.write(&directory)?;
            }
            Ok::<_, io::Error>((state, found))
        });
        let disk = |why: &dyn std::fmt::Display| format!("{}: {why}", self.directory.display());
        let found = found.await.map_err(|why| disk(&why))?;
        let (mut state, found) = found.map_err(|why| disk(&why))?;
        self.metrics.waiting(&self.url, found.waiting);
        let Some(batch) = found.batch else {
            return Ok(false);
        };
        let parcel = Parcel {
            kind: "application/x-ndjson",
            key: key(&batch.body),
            authorization: self.authorization.clone(),
            body: Bytes::from(batch.body),
        };
        let answer = self.fetch.deliver(&self.address, parcel).await;
        let status = answer.map_err(|fault| fault.to_string())?;
        if !status.is_success() {
            return Err(format!("{} answers {status}", self.url));
        }
        state.acknowledge(batch.end);
        let directory = self.directory.clone();
        let written = spawn_blocking(move || state.write(&directory)).await;
        written
            .map_err(|why| disk(&why))?
            .map_err(|why| disk(&why))?;
        self.metrics.sent(&self.url, batch.records);
        Ok(true)
    }

    /// Tells how it goes, once whenever that changes.
    fn told(&self, why: Option<String>) {
        self.metrics.up(&self.url, why.is_none());
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*trouble, &why) {
            (None, Some(why)) => {
                let line = self.log.warn("cdr_ship_down", "records wait in the spool");
                line.with("why", why).send();
            }
            (Some(_), None) => {
                let line = self.log.info("cdr_ship_up", "records are taken again");
                line.with("url", &self.url).send();
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        *trouble = why.map(|why| {
            format!("call records are not sent on and wait in the spool, which keeps them: {why}")
        });
    }
}

/// The name of a batch: the same for the same records.
fn key(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// What was acknowledged.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
struct State {
    version: u32,
    /// Closed files of which all was, by name.
    files: BTreeSet<String>,
    /// The file of which a part was, and how many octets.
    inode: u64,
    octets: u64,
}

/// Where a batch ends.
struct End {
    /// The file, if the batch is its last part and it is closed.
    closed: Option<String>,
    inode: u64,
    octets: u64,
}

struct Batch {
    body: Vec<u8>,
    records: u64,
    end: End,
}

/// What is in the spool.
struct Found {
    batch: Option<Batch>,
    /// Octets that were not acknowledged.
    waiting: u64,
    /// Whether what was acknowledged is to be written down anew.
    is_news: bool,
}

/// Closed files of which everything was acknowledged.
///
/// # Errors
/// If that cannot be read.
pub(super) fn shipped(directory: &Path) -> io::Result<BTreeSet<String>> {
    Ok(State::read(directory)?.files)
}

impl State {
    fn read(directory: &Path) -> io::Result<Self> {
        let kept = whole::read(&directory.join(STATE), VERSION, |own: &Self| own.version)?;
        Ok(kept.unwrap_or(Self {
            version: VERSION,
            files: BTreeSet::new(),
            inode: 0,
            octets: 0,
        }))
    }

    fn write(&self, directory: &Path) -> io::Result<()> {
        whole::write(&directory.join(STATE), self)
    }

    fn acknowledge(&mut self, end: End) {
        match end.closed {
            Some(name) => {
                self.files.insert(name);
                (self.inode, self.octets) = (0, 0);
            }
            None => (self.inode, self.octets) = (end.inode, end.octets),
        }
    }

    /// Where reading of a file goes on.
    fn begin(&self, inode: u64, length: u64) -> u64 {
        match self.inode == inode && self.octets <= length {
            true => self.octets,
            false => 0,
        }
    }

    /// The next records, at most so many. Files that have no more are noted as done.
    fn next(&mut self, directory: &Path, most: usize) -> io::Result<Found> {
        // Opened before names are read: if it is closed meanwhile, it is among those, and the same.
        let current = match File::open(directory.join(CURRENT)) {
            Ok(file) => Some(file),
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(why) => return Err(why),
        };
        let mut closed = Vec::new();
        for path in closed_files(directory)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if let Some(at) = closed_at(&name) {
                closed.push((at, name.len(), name.into_owned()));
            }
        }
        let there: BTreeSet<&String> = closed.iter().map(|(_, _, name)| name).collect();
        let known = self.files.len();
        self.files.retain(|name| there.contains(name));
        let mut is_news = self.files.len() != known;
        closed.sort();
        let mut files = Vec::new();
        for (.., name) in closed {
            if self.files.contains(&name) {
                continue;
            }
            match File::open(directory.join(&name)) {
                Ok(file) => files.push((Some(name), file)),
                // Somebody took it away.
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => return Err(why),
            }
        }
        files.extend(current.map(|file| (None, file)));
        // The one that was begun is the first, even if the clock was set back meanwhile.
        let mut ordered = Vec::new();
        let mut waiting = 0;
        for (name, file) in files {
            let found = file.metadata()?;
            let begin = self.begin(found.ino(), found.len());
            waiting += found.len() - begin;
            ordered.push((found.ino() != self.inode, name, file, found.ino(), begin));
        }
        ordered.sort_by_key(|(is_new, ..)| *is_new);
        for (_, name, file, inode, begin) in ordered {
            let (body, records, is_end) = lines(file, begin, most)?;
            if records > 0 {
                let end = End {
                    closed: name.filter(|_| is_end),
                    inode,
                    octets: begin + body.len() as u64,
                };
                let batch = Some(Batch { body, records, end });
                return Ok(Found {
                    batch,
                    waiting,
                    is_news,
                });
            }
            if let Some(name) = name {
                self.acknowledge(End {
                    closed: Some(name),
                    inode,
                    octets: begin,
                });
                is_news = true;
            }
        }
        Ok(Found {
            batch: None,
            waiting,
            is_news,
        })
    }
}

/// Whole lines from there on, at most so many, and whether there are no more.
fn lines(mut file: File, begin: u64, most: usize) -> io::Result<(Vec<u8>, u64, bool)> {
    file.seek(SeekFrom::Start(begin))?;
    let mut file = BufReader::new(file);
    let (mut body, mut records) = (Vec::new(), 0);
    loop {
        let before = body.len();
        if records as usize >= most || before >= MOST_BYTES {
            // Whether anything follows.
            return Ok((body, records, file.fill_buf()?.is_empty()));
        }
        file.read_until(b'\n', &mut body)?;
        if body.len() == before {
            return Ok((body, records, true));
        }
        if body.last() != Some(&b'\n') {
            // It is being written.
            body.truncate(before);
            return Ok((body, records, true));
        }
        if records > 0 && body.len() > MOST_BYTES {
            body.truncate(before);
            return Ok((body, records, false));
        }
        records += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::net::tls::provider;
    use crate::sink::log::{Form, Level};
    use crate::sink::metrics::Metrics;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{RootCertStore, ServerConfig};
    use std::fs;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio_rustls::TlsAcceptor;

    const CLOSED: &str = "2026-01-15T10-00-00-000Z.jsonl";
    const EARLIER: &str = "2026-01-15T09-00-00-000Z.jsonl";

    fn text(found: &Found) -> &str {
        let batch = found.batch.as_ref().unwrap();
        std::str::from_utf8(&batch.body).unwrap()
    }

    fn taken(state: &mut State, directory: &Path, most: usize) -> Option<String> {
        let found = state.next(directory, most).unwrap();
        let told = found.batch.is_some().then(|| text(&found).to_owned());
        if let Some(batch) = found.batch {
            assert_eq!(batch.records, told.as_ref().unwrap().lines().count() as u64);
            state.acknowledge(batch.end);
        }
        state.write(directory).unwrap();
        *state = State::read(directory).unwrap();
        told
    }

    #[test]
    fn every_record_comes_once_while_files_are_closed_and_the_clock_is_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, current) = (folder.path(), folder.path().join(CURRENT));
        let mut state = State::read(directory).unwrap();
        assert_eq!(taken(&mut state, directory, 10), None);
        fs::write(&current, "1\n2\n3\nhal").unwrap();
        assert_eq!(taken(&mut state, directory, 2).as_deref(), Some("1\n2\n"));
        // Closed with a part that was not sent, and the next has begun.
        fs::write(&current, "1\n2\n3\nhalf\n").unwrap();
        fs::rename(&current, directory.join(CLOSED)).unwrap();
        fs::write(&current, "5\n").unwrap();
        // Closed after it, by a clock that was set back.
        fs::write(directory.join(EARLIER), "4\n").unwrap();
        fs::write(directory.join("notes.jsonl"), "not ours\n").unwrap();
        assert_eq!(
            taken(&mut state, directory, 10).as_deref(),
            Some("3\nhalf\n")
        );
        assert!(shipped(directory).unwrap().contains(CLOSED));
        assert_eq!(state.next(directory, 10).unwrap().waiting, 4);
        assert_eq!(taken(&mut state, directory, 10).as_deref(), Some("4\n"));
        assert_eq!(taken(&mut state, directory, 10).as_deref(), Some("5\n"));
        assert_eq!(taken(&mut state, directory, 10), None);
        // Closed when everything was sent.
        fs::rename(&current, directory.join("2026-01-15T11-00-00-000Z.jsonl")).unwrap();
        assert_eq!(taken(&mut state, directory, 10), None);
        assert_eq!(shipped(directory).unwrap().len(), 3);
        // What is removed is not remembered for ever.
        fs::remove_file(directory.join(CLOSED)).unwrap();
        assert_eq!(taken(&mut state, directory, 10), None);
        assert_eq!(shipped(directory).unwrap().len(), 2);
    }

    #[test]
    fn a_batch_has_a_mebibyte_at_most_unless_it_is_one_record() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(MOST_BYTES + 10);
        fs::write(folder.path().join(CURRENT), format!("{long}\n1\n{long}\n")).unwrap();
        let mut state = State::read(folder.path()).unwrap();
        let mut next = || taken(&mut state, folder.path(), 10).unwrap().len();
        assert_eq!(
            [next(), next(), next()],
            [MOST_BYTES + 11, 2, MOST_BYTES + 11]
        );
    }

    /// A server that answers with these statuses and tells what it was sent.
    async fn server(
        statuses: Vec<u16>,
    ) -> (
        SocketAddr,
        RootCertStore,
        mpsc::UnboundedReceiver<(String, String)>,
    ) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for status in statuses {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = acceptor.accept(stream).await.unwrap();
                let mut request = Vec::new();
                let (head, body) = loop {
                    assert!(stream.read_buf(&mut request).await.unwrap() > 0);
                    let text = String::from_utf8_lossy(&request);
                    let Some((head, body)) = text.split_once("\r\n\r\n") else {
                        continue;
                    };
                    let head = head.to_ascii_lowercase();
                    let length = head.split("content-length: ").nth(1).unwrap();
                    let length = length.lines().next().unwrap().parse::<usize>().unwrap();
                    if body.len() == length {
                        break (head, body.to_owned());
                    }
                };
                tell.send((head, body)).unwrap();
                let answer = format!("HTTP/1.1 {status} so\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        (address, roots, told)
    }

    #[tokio::test]
    async fn records_are_sent_again_under_the_same_key_until_they_are_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CURRENT), "{\"a\":1}\n{\"b\":2}\n").unwrap();
        let (address, roots, mut told) = server(vec![503, 400, 204]).await;
        let metrics = Arc::new(Metrics::new().unwrap());
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let url = format!("https://{address}/cdr?node=1");
        let carrier = || Carrier {
            directory: folder.path().to_owned(),
            address: Address::parse(&url).unwrap(),
            url: url.clone(),
            fetch: Fetch::new(roots.clone(), Resolver::new(Arc::clone(&metrics))),
            authorization: Some(HeaderValue::from_static("Bearer t0ken")),
            most: 10,
            metrics: metrics.ship.clone(),
            log: log.clone(),
            trouble: Arc::default(),
        };
        let own = carrier();
        for status in ["503", "400"] {
            let why = own.once().await.unwrap_err();
            assert!(why.contains(status), "{why}");
        }
        // A restart knows what is missing, and what is not.
        let own = carrier();
        assert_eq!(own.once().await, Ok(true));
        assert_eq!(carrier().once().await, Ok(false));
        let mut keys = BTreeSet::new();
        for _ in 0..3 {
            let (head, body) = told.recv().await.unwrap();
            assert_eq!(body, "{\"a\":1}\n{\"b\":2}\n");
            assert!(head.starts_with("post /cdr?node=1 "), "{head}");
            assert!(head.contains("authorization: bearer t0ken"), "{head}");
            assert!(
                head.contains("content-type: application/x-ndjson"),
                "{head}"
            );
            keys.insert(head.split("idempotency-key: ").nth(1).unwrap()[..64].to_owned());
        }
        assert_eq!(keys.len(), 1);
        let shown = metrics.text();
        assert!(shown.contains(&format!("sbc_cdr_shipped_total{{url=\"{url}\"}} 2")));
        // Nobody listens any more.
        fs::write(
            folder.path().join(CURRENT),
            "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n",
        )
        .unwrap();
        let why = own.once().await.unwrap_err();
        own.told(Some(why));
        let trouble = own.trouble.lock().unwrap().clone().unwrap();
        assert!(trouble.contains("wait in the spool"), "{trouble}");
        let shown = metrics.text();
        assert!(shown.contains(&format!("sbc_cdr_ship_up{{url=\"{url}\"}} 0")));
        assert!(shown.contains(&format!("sbc_cdr_ship_waiting_bytes{{url=\"{url}\"}} 8")));
    }
}
