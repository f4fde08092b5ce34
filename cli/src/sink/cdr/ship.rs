//! Sends records to whoever keeps them until they are acknowledged (OPS-060): over HTTPS, or into a table.
//!
//! A task reads the files of the spool behind the writer, the oldest first: it takes nothing from calls and
//! nothing from the disk that is not there anyway. What was acknowledged is written down in `shipped.json`
//! beside them after the answer, and where a batch ends before it is sent: what is not acknowledged, as in a
//! crash, is sent once more in the same cut. What a server refuses is halved
//! until it is one record, which is kept in `refused.jsonl` and passed over; who refuses three in a row and takes none is
//! told of, and no more are passed over.

mod postgres;
mod size;
pub mod sql;
mod web;

use super::shipped::{Owed, State, Writer, digest};
use crate::config;
use crate::daemon::resolver::Resolver;
use crate::sink::log::Log;
use crate::sink::metrics::ShipMetrics;
use hyper::body::Bytes;
use postgres::Postgres;
use rustls::RootCertStore;
use sbc_core::config::{CdrShip, CdrTarget, FileFault, Loaded};
use size::Size;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use web::Web;

/// How often it is looked for new records while there are none.
const LOOK: Duration = Duration::from_secs(1);
/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Octets of a file of roots that are looked at for a change.
const MOST_ROOTS: u64 = 16 << 20;

/// Sends records, if somebody is to have them. Cheap to clone.
#[derive(Clone)]
pub struct Shipper {
    shared: Arc<Shared>,
}

struct Shared {
    running: Mutex<Option<Running>>,
    metrics: ShipMetrics,
    log: Log,
    owed: Owed,
}

struct Running {
    settings: Settings,
    /// None as long as nothing can be sent.
    task: Option<JoinHandle<()>>,
    trouble: Arc<Mutex<Option<String>>>,
}

/// Everything that the task depends on.
#[derive(Clone, PartialEq)]
struct Settings {
    directory: PathBuf,
    wanted: CdrShip,
    /// What its secret says, if it can be read.
    secret: Option<Vec<u8>>,
    /// What the file of roots says, if it can be read.
    roots: Option<String>,
}

impl Shipper {
    /// Sends to nobody.
    pub fn new(metrics: ShipMetrics, log: Log, owed: Owed) -> Self {
        let running = Mutex::default();
        let shared = Shared {
            running,
            metrics,
            log,
            owed,
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
            secret: self.secret(&wanted),
            roots: content(&wanted.roots),
            wanted,
        });
        self.begin(settings, resolver);
    }

    fn begin(&self, settings: Option<Settings>, resolver: &Resolver) {
        let mut running = self.running();
        // What could not begin is tried again: a file may be there by now.
        let begun = running.as_ref().filter(|own| own.task.is_some());
        if begun.map(|own| &own.settings) == settings.as_ref() && begun.is_some() {
            return;
        }
        if let Some(before) = running.take() {
            if let Some(task) = before.task {
                task.abort();
            }
            let place = settings.as_ref().map(|own| &own.directory);
            if place.is_some_and(|place| *place != before.settings.directory) {
                self.leave(&before.settings.directory);
            }
            self.shared.metrics.forget(&before.settings.wanted.url);
        }
        let Some(settings) = settings else {
            return;
        };
        let trouble = Arc::default();
        let task = match self.carrier(&settings, resolver, Arc::clone(&trouble)) {
            Ok(carrier) => Some(tokio::spawn(carrier.run())),
            Err(why) => {
                let log = &self.shared.log;
                let line = log.error("cdr_ship", "records are sent to nobody");
                line.with("why", &why).send();
                self.shared.metrics.up(&settings.wanted.url, false);
                *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(waits(&why));
                None
            }
        };
        *running = Some(Running {
            settings,
            task,
            trouble,
        });
    }

    /// Records go elsewhere: tells what of the files there was not sent.
    fn leave(&self, directory: &Path) {
        let state = self.shared.owed.read(directory);
        let line = match state.and_then(|state| state.waiting(directory)) {
            Ok(0) => return,
            Ok(octets) => {
                let text = "the spool is another one now, and what was not sent of the old one stays there";
                let line = self.shared.log.warn("cdr_ship_left", text);
                line.with("octets", octets)
            }
            Err(why) => {
                let text = "the spool is another one now, and whether all of the old one was sent is not known";
                let line = self.shared.log.warn("cdr_ship_left", text);
                line.with("why", why)
            }
        };
        line.with("directory", directory.display()).send();
    }

    fn secret(&self, wanted: &CdrShip) -> Option<Vec<u8>> {
        let (word, secret) = wanted.secret()?;
        match config::read_secret(secret) {
            Ok(octets) => Some(octets.trim_ascii_end().to_vec()),
            Err(FileFault::Unreadable(why) | FileFault::Unusable(why)) => {
                let line = self.shared.log.error("cdr_ship_secret", why);
                line.with(word, secret).send();
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
        let CdrShip { url, batch, .. } = &settings.wanted;
        if let (Some((word, secret)), None) = (settings.wanted.secret(), &settings.secret) {
            return Err(format!("the {word} in {secret} cannot be read"));
        }
        Ok(Carrier {
            directory: settings.directory.clone(),
            url: url.clone(),
            target: Target::of(settings, resolver)?,
            most: *batch,
            size: Mutex::new(Size::new(*batch)),
            writer: self.shared.owed.writer(&settings.directory),
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
        if let Some(task) = self.running().take().and_then(|own| own.task) {
            task.abort();
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        let running = &self.shared.running;
        running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever keeps records.
enum Target {
    Web(Web),
    Postgres(Box<Postgres>),
}

/// What a target says of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Reply {
    /// It has all of it.
    Taken,
    /// It will not have it as it is, and has nothing of it.
    Unwanted {
        /// The status of HTTP or SQL.
        status: String,
        /// What it says about that.
        answer: String,
    },
}

/// Why a target says nothing of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Fault {
    /// It was reached, and took longer than it may.
    Late(String),
    /// It was reached, and broke, or says that something is wrong with it.
    Broken(String),
    /// All else.
    Failed(String),
}

impl Target {
    fn of(settings: &Settings, resolver: &Resolver) -> Result<Self, String> {
        let Settings { wanted, secret, .. } = settings;
        let resolver = resolver.clone();
        Ok(match &wanted.target {
            CdrTarget::Https { .. } => {
                let roots = roots(&wanted.roots)?;
                Self::Web(Web::new(&wanted.url, secret.as_deref(), roots, resolver)?)
            }
            CdrTarget::Postgres(table) => {
                let roots = match table.is_plain {
                    true => None,
                    false => Some(roots(&wanted.roots)?),
                };
                let postgres = Postgres::new(table, secret.as_deref(), roots, resolver)?;
                Self::Postgres(Box::new(postgres))
            }
        })
    }

    async fn deliver(&self, records: Bytes) -> Result<Reply, Fault> {
        match self {
            Self::Web(web) => web.deliver(records).await,
            Self::Postgres(table) => table.deliver(&records).await,
        }
    }

    /// There is nothing to send at the moment.
    fn rest(&self) {
        match self {
            Self::Web(_) => {}
            Self::Postgres(table) => table.rest(),
        }
    }
}

fn roots(file: &str) -> Result<RootCertStore, String> {
    let told = |fault| match fault {
        FileFault::Unreadable(why) | FileFault::Unusable(why) => format!("{file}: {why}"),
    };
    let (believed, _) = config::read_roots(file).map_err(told)?;
    Ok(believed)
}

/// The task that sends.
struct Carrier {
    directory: PathBuf,
    url: String,
    target: Target,
    most: usize,
    /// How many it takes at once, as far as is known.
    size: Mutex<Size>,
    writer: Writer,
    metrics: ShipMetrics,
    log: Log,
    trouble: Arc<Mutex<Option<String>>>,
}

/// What came of a try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// There was nothing to send.
    Nothing,
    Sent,
    /// It was too much, or something in it is not wanted.
    Halved,
    /// One record is not wanted.
    Refused,
}

impl Carrier {
    async fn run(self) {
        let mut pause = PAUSES.0;
        loop {
            match self.once().await {
                // What it says of the halves decides.
                Ok(Step::Halved) => {}
                Ok(step) => {
                    self.told(None);
                    pause = PAUSES.0;
                    // Whoever refuses everything does so once a second.
                    if step != Step::Sent {
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

    /// Sends what comes next; says what comes of it.
    async fn once(&self) -> Result<Step, String> {
        let (directory, most, writer) = (
            self.directory.clone(),
            self.size().now().clamp(1, self.most),
            self.writer.clone(),
        );
        let found = self.on_disk(move || {
            let mut state = writer.read()?;
            let found = state.next(&directory, most)?;
            let why = match found.is_news || writer.owes() {
                true => writer.write(&state),
                false => None,
            };
            Ok((state, found, why))
        });
        let (mut state, found, why) = found.await?;
        self.owes(why);
        self.metrics.waiting(&self.url, found.waiting);
        let Some(batch) = found.batch else {
            self.target.rest();
            return Ok(Step::Nothing);
        };
        let body = Bytes::from(batch.body);
        let half = usize::try_from(batch.records / 2).unwrap_or(usize::MAX);
        let step = match self.target.deliver(body.clone()).await {
            Ok(Reply::Taken) => {
                self.metrics.sent(&self.url, batch.records);
                self.size().taken();
                Step::Sent
            }
            Ok(Reply::Unwanted { .. }) if half > 0 => {
                self.size().unwanted(half);
                self.cut_anew(state).await?;
                return Ok(Step::Halved);
            }
            Ok(Reply::Unwanted { status, answer }) if self.size().refuses_all() => {
                // Whatever is wrong is not wrong with one record, and none is given up for it.
                return Err(format!(
                    "every record is refused, three are in refused.jsonl of the spool, and no more are put there: {} \
                     {answer}",
                    status
                ));
            }
            Ok(Reply::Unwanted { status, answer }) => {
                let writer = self.writer.clone();
                let why = self.on_disk(move || writer.refuse(&body)).await?;
                if let Some(why) = why {
                    let text = "refused.jsonl cannot be written: a refused record is in memory until it can";
                    let line = self.log.warn("cdr_ship_unwritten", text);
                    line.with("why", why).send();
                }
                self.size().refused();
                self.metrics.refused(&self.url);
                let text =
                    "a record is refused, kept in refused.jsonl of the spool, and passed over";
                let line = self.log.warn("cdr_ship_refused", text);
                line.with("status", status).with("answer", answer).send();
                Step::Refused
            }
            Err(Fault::Late(why)) => {
                if half > 0 {
                    self.size().late(half);
                    self.cut_anew(state).await?;
                }
                return Err(why);
            }
            Err(Fault::Broken(why)) => {
                let is_halved = self.size().broke(half);
                if is_halved {
                    self.cut_anew(state).await?;
                }
                return Err(why);
            }
            Err(Fault::Failed(why)) => return Err(why),
        };
        state.acknowledge(batch.end);
        self.write(state).await?;
        Ok(step)
    }

    fn size(&self) -> MutexGuard<'_, Size> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends as many as go by now the next time, in a cut of its own.
    async fn cut_anew(&self, mut state: State) -> Result<(), String> {
        state.forget_cut();
        self.write(state).await
    }

    async fn write(&self, state: State) -> Result<(), String> {
        let writer = self.writer.clone();
        let why = self.on_disk(move || Ok(writer.write(&state)));
        self.owes(why.await?);
        Ok(())
    }

    /// Does what may wait for the disk.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let disk = |why: &dyn std::fmt::Display| format!("{}: {why}", self.directory.display());
        let done = spawn_blocking(work).await.map_err(|why| disk(&why))?;
        done.map_err(|why| disk(&why))
    }

    /// What was acknowledged is in memory alone.
    fn owes(&self, why: Option<io::Error>) {
        if let Some(why) = why {
            let text =
                "shipped.json cannot be written: until it can, a restart sends some records twice";
            let line = self.log.warn("cdr_ship_unwritten", text);
            line.with("why", why)
                .with("directory", self.directory.display())
                .send();
        }
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
        *trouble = why.map(|why| waits(&why));
    }
}

/// What is told while records wait.
fn waits(why: &str) -> String {
    format!("call records are not sent on and wait in the spool, which keeps them: {why}")
}

/// A sum of what a file says, as far as it can be read: what it is trusted with may change behind its name.
fn content(path: &str) -> Option<String> {
    let mut octets = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MOST_ROOTS).read_to_end(&mut octets).ok()?;
    Some(digest(&octets))
}

#[cfg(test)]
mod tests {
    use super::super::spool::{CURRENT, REFUSED};
    use super::*;
    use crate::https::fixture;
    use crate::sink::log::{Form, Level};
    use crate::sink::metrics::Metrics;
    use sbc_core::config::Secret;
    use std::collections::BTreeSet;
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    /// A server that answers with these statuses and tells what it was sent.
    async fn server(
        statuses: Vec<u16>,
    ) -> (
        SocketAddr,
        RootCertStore,
        mpsc::UnboundedReceiver<(String, String)>,
    ) {
        let (listener, acceptor, roots) = fixture::server().await;
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

    fn carrier(
        directory: &Path,
        url: &str,
        roots: &RootCertStore,
        metrics: &Arc<Metrics>,
        log: &Log,
    ) -> Carrier {
        Carrier {
            directory: directory.to_owned(),
            url: url.to_owned(),
            target: Target::Web(
                Web::new(
                    url,
                    Some(b"t0ken".as_slice()),
                    roots.clone(),
                    Resolver::new(Arc::clone(metrics)),
                )
                .unwrap(),
            ),
            most: 10,
            size: Mutex::new(Size::new(10)),
            writer: Owed::default().writer(directory),
            metrics: metrics.ship.clone(),
            log: log.clone(),
            trouble: Arc::default(),
        }
    }

    #[tokio::test]
    async fn what_is_refused_is_halved_until_one_record_is_kept_aside_and_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CURRENT), "1\n2\n3\n4\n").unwrap();
        // Four, two, and the first; the second and the others are taken.
        let (address, roots, mut told) = server(vec![413, 422, 400, 200, 200]).await;
        let metrics = Arc::new(Metrics::new().unwrap());
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let url = format!("https://{address}/");
        let own = carrier(folder.path(), &url, &roots, &metrics, &log);
        for (step, sent) in [
            (Step::Halved, "1\n2\n3\n4\n"),
            (Step::Halved, "1\n2\n"),
            (Step::Refused, "1\n"),
            (Step::Sent, "2\n"),
            (Step::Sent, "3\n4\n"),
        ] {
            assert_eq!(own.once().await, Ok(step));
            assert_eq!(told.recv().await.unwrap().1, sent);
        }
        assert_eq!(own.once().await, Ok(Step::Nothing));
        let refused = fs::read_to_string(folder.path().join(REFUSED)).unwrap();
        assert_eq!(refused, "1\n");
        let shown = metrics.text();
        assert!(shown.contains(&format!("sbc_cdr_ship_refused_total{{url=\"{url}\"}} 1")));
        assert!(shown.contains(&format!("sbc_cdr_shipped_total{{url=\"{url}\"}} 3")));
    }

    #[tokio::test]
    async fn without_its_token_nothing_is_sent_and_that_is_told() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let own = Shipper::new(metrics.ship.clone(), log, Owed::default());
        let folder = tempfile::tempdir().unwrap();
        let (url, absent) = ("https://records.example.com/", folder.path().join("none"));
        let roots = folder.path().join("roots.pem");
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(&roots, made.cert.pem()).unwrap();
        let settings = |token: Option<Secret>| {
            let wanted = CdrShip {
                url: url.to_owned(),
                target: CdrTarget::Https { token },
                roots: roots.display().to_string(),
                batch: 1,
            };
            Settings {
                directory: folder.path().to_owned(),
                secret: own.secret(&wanted),
                roots: content(&wanted.roots),
                wanted,
            }
        };
        let resolver = Resolver::new(Arc::clone(&metrics));
        let absent = Secret::File(absent.display().to_string());
        own.begin(Some(settings(Some(absent))), &resolver);
        let trouble = own.trouble().unwrap();
        assert!(trouble.contains("the token in"), "{trouble}");
        let down = format!("sbc_cdr_ship_up{{url=\"{url}\"}} 0");
        assert!(metrics.text().contains(&down));
        own.begin(Some(settings(None)), &resolver);
        assert_eq!(own.trouble(), None);
        // Other authorities behind the same name are another matter to begin anew for.
        let before = settings(None);
        assert!(before == settings(None));
        let made = rcgen::generate_simple_self_signed(["127.0.0.2".to_owned()]).unwrap();
        fs::write(&roots, made.cert.pem()).unwrap();
        assert!(before != settings(None));
        own.finish();
    }

    #[tokio::test]
    async fn who_refuses_everything_gets_three_aside_and_the_rest_waits() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CURRENT), "1\n2\n3\n4\n5\n").unwrap();
        let (address, roots, mut told) = server(vec![400, 400, 400, 400, 400, 200, 422]).await;
        let metrics = Arc::new(Metrics::new().unwrap());
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let url = format!("https://{address}/");
        let own = Carrier {
            size: Mutex::new(Size::new(1)),
            ..carrier(folder.path(), &url, &roots, &metrics, &log)
        };
        for _ in 0..3 {
            assert_eq!(own.once().await, Ok(Step::Refused));
        }
        for _ in 0..2 {
            let why = own.once().await.unwrap_err();
            assert!(why.contains("every record is refused"), "{why}");
        }
        let refused = || fs::read_to_string(folder.path().join(REFUSED)).unwrap();
        assert_eq!(refused(), "1\n2\n3\n");
        // It was mended, and one of its own is wrong.
        assert_eq!(own.once().await, Ok(Step::Sent));
        assert_eq!(own.once().await, Ok(Step::Refused));
        assert_eq!(refused(), "1\n2\n3\n5\n");
        let mut sent = String::new();
        for _ in 0..7 {
            sent.push_str(told.recv().await.unwrap().1.trim_end());
        }
        assert_eq!(sent, "1234445");
    }

    #[tokio::test]
    async fn a_server_that_breaks_three_times_is_tried_with_half() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CURRENT), "1\n2\n3\n4\n").unwrap();
        let (address, roots, mut told) = server(vec![500, 502, 503, 200]).await;
        let metrics = Arc::new(Metrics::new().unwrap());
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let url = format!("https://{address}/");
        let own = carrier(folder.path(), &url, &roots, &metrics, &log);
        for _ in 0..3 {
            own.once().await.unwrap_err();
            assert_eq!(told.recv().await.unwrap().1, "1\n2\n3\n4\n");
        }
        assert_eq!(own.once().await, Ok(Step::Sent));
        assert_eq!(told.recv().await.unwrap().1, "1\n2\n");
    }

    #[tokio::test]
    async fn a_disk_that_takes_no_refused_record_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CURRENT), "1\n2\n").unwrap();
        // Nothing can be written there.
        fs::create_dir(folder.path().join(REFUSED)).unwrap();
        let (address, roots, mut told) = server(vec![422, 422, 200]).await;
        let metrics = Arc::new(Metrics::new().unwrap());
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let url = format!("https://{address}/");
        let own = carrier(folder.path(), &url, &roots, &metrics, &log);
        assert_eq!(own.once().await, Ok(Step::Halved));
        assert_eq!(own.once().await, Ok(Step::Refused));
        assert_eq!(own.once().await, Ok(Step::Sent));
        for sent in ["1\n2\n", "1\n", "2\n"] {
            assert_eq!(told.recv().await.unwrap().1, sent);
        }
        fs::remove_dir(folder.path().join(REFUSED)).unwrap();
        assert_eq!(own.once().await, Ok(Step::Nothing));
        let refused = fs::read_to_string(folder.path().join(REFUSED)).unwrap();
        assert_eq!(refused, "1\n");
        assert!(!own.writer.owes());
    }

    #[tokio::test]
    async fn records_are_sent_again_under_the_same_key_until_they_are_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join(CURRENT);
        fs::write(&current, "{\"a\":1}\n{\"b\":2}\n").unwrap();
        let (address, roots, mut told) = server(vec![503, 401, 204]).await;
        let metrics = Arc::new(Metrics::new().unwrap());
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let url = format!("https://{address}/cdr?node=1");
        let carrier = || carrier(folder.path(), &url, &roots, &metrics, &log);
        let own = carrier();
        for status in ["503", "401"] {
            let why = own.once().await.unwrap_err();
            assert!(why.contains(status), "{why}");
            // Calls end meanwhile.
            let mut file = OpenOptions::new().append(true).open(&current).unwrap();
            file.write_all(b"{\"c\":3}\n").unwrap();
        }
        // A restart knows what is missing, and what is not.
        let own = carrier();
        assert_eq!(own.once().await, Ok(Step::Sent));
        fs::write(&current, "{\"a\":1}\n{\"b\":2}\n").unwrap();
        assert_eq!(carrier().once().await, Ok(Step::Nothing));
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
