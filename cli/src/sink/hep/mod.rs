//! Every message, every report of RTCP, and how good each call was, for collectors that speak HEP3, such as Homer (OPS-070).
//!
//! ```text
//! shard ─► queue ─► thread: hides secrets, writes frames ─► queue and task of each collector
//! ```
//!
//! A shard hands over octets that are there already, and nothing where there is no `[hep]`. What finds no room is counted
//! as lost (`sbc_queue_dropped_total{queue="hep"}`), and nobody waits (OPS-001). While any shard is loaded nothing is
//! taken at all: this is the first that goes (SIP-1722, REL-011).

mod batch;
mod chosen;
mod collector;
mod frame;
mod quality;
mod rtcp;

use super::log::{Aside, Level, Log, wall_clock};
use super::metrics::{HepMetrics, Metrics};
use super::shown::shown;
use crate::daemon::resolver::Resolver;
use crate::{config, https};
use arc_swap::ArcSwapOption;
use batch::Growing;
use bytes::Bytes;
use chosen::Chosen;
use collector::{Post, Reach, Waiting};
use frame::{Frame, Kind};
use media_api::{RtcpReport, Teller};
use sbc_core::config::{FileFault, Hep as Wanted, HepCollector, HepLogs, Loaded};
use sbc_core::event::{Event, Happened};
use sbc_core::id::{CallId, TrunkName};
use sbc_core::record::Record;
use sbc_core::time::UnixTime;
use sbc_core::transport::{Hop, Protocol};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Entries that may wait for the thread.
const QUEUE: usize = 8_192;
/// Octets of their messages in all.
const QUEUE_BYTES: usize = 32 << 20;
/// Time in which entries gather: to wake the thread for each would cost the shard more than the entry does.
const PAUSE: Duration = Duration::from_millis(20);
/// How often depths are told while nothing comes.
const SECOND: Duration = Duration::from_secs(1);
/// How long the end of the program waits for collectors.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// Where a message that goes to `hop` leaves from.
pub type Places = Arc<dyn Fn(&Hop) -> Option<SocketAddr> + Send + Sync>;

/// Sends to collectors, if there are any. Cheap to clone.
#[derive(Clone)]
pub struct Hep {
    shared: Arc<Shared>,
}

struct Shared {
    feed: ArcSwapOption<Feed>,
    is_paused: AtomicBool,
    running: Mutex<Option<Running>>,
    metrics: HepMetrics,
    metrics_of_node: Arc<Metrics>,
    log: Log,
}

/// Where shards put what happens.
struct Feed {
    queue: SyncSender<Entry>,
    load: Arc<Load>,
    include_tls: bool,
    quality: bool,
    rtcp: bool,
    sample: u8,
    by_trunk: bool,
}

/// What waits for the thread.
#[derive(Default)]
struct Load {
    entries: AtomicUsize,
    bytes: AtomicUsize,
}

/// What runs, and what for.
struct Running {
    settings: Settings,
    thread: JoinHandle<()>,
    waiting: Vec<Arc<Waiting>>,
}

/// Everything that frames and their way depend on.
#[derive(Clone, PartialEq)]
struct Settings {
    wanted: Wanted,
    node: String,
    key: Option<Vec<u8>>,
    /// An address of ours, where lines of the log come from.
    own: SocketAddr,
}

enum Entry {
    Message {
        at: UnixTime,
        call: Option<CallId>,
        way: Way,
        protocol: Protocol,
        remote: SocketAddr,
        bytes: Bytes,
    },
    Ended(UnixTime, Arc<Record>),
    Report(UnixTime, CallId, Box<RtcpReport>),
    /// A call comes from a trunk or goes to it.
    Trunk(CallId, TrunkName),
    Line {
        at: UnixTime,
        call: Option<String>,
        text: String,
    },
}

enum Way {
    In(SocketAddr),
    Out(Box<Hop>),
}

impl Entry {
    fn len(&self) -> usize {
        match self {
            Self::Message { bytes, .. } => bytes.len(),
            Self::Line { text, .. } => text.len(),
            Self::Ended(..) | Self::Report(..) | Self::Trunk(..) => 0,
        }
    }

    /// Whose messages it is among. Lines of the log go out whatever they are about.
    fn call(&self) -> Option<CallId> {
        match self {
            Self::Message { call, .. } => *call,
            Self::Ended(_, record) => Some(record.call),
            Self::Report(_, call, _) | Self::Trunk(call, _) => Some(*call),
            Self::Line { .. } => None,
        }
    }
}

impl Hep {
    /// Without collectors.
    pub fn new(metrics: Arc<Metrics>, log: Log) -> Self {
        let shared = Shared {
            feed: ArcSwapOption::empty(),
            is_paused: AtomicBool::new(false),
            running: Mutex::default(),
            metrics: HepMetrics::counting(&metrics),
            metrics_of_node: metrics,
            log,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Takes what an event shows.
    pub fn event(&self, event: &Event) {
        let feed = self.shared.feed.load();
        let Some(feed) = feed.as_ref().filter(|own| own.samples(event.call)) else {
            return;
        };
        match &event.what {
            Happened::Received {
                protocol,
                local,
                remote,
                bytes,
            } if feed.shows(*protocol) => {
                let message = Entry::Message {
                    at: event.at,
                    call: event.call,
                    way: Way::In(*local),
                    protocol: *protocol,
                    remote: *remote,
                    bytes: bytes.clone(),
                };
                self.give(feed, message);
            }
            Happened::Ended(record) if feed.quality || feed.by_trunk => {
                self.give(feed, Entry::Ended(event.at, Arc::clone(record)));
            }
            Happened::Media(media_api::Event::Reported { report, .. }) if feed.rtcp => {
                if let Some(call) = event.call {
                    self.give(feed, Entry::Report(event.at, call, Box::new(*report)));
                }
            }
            Happened::Admitted { trunk, .. } | Happened::AttemptStarted { trunk, .. }
                if feed.by_trunk =>
            {
                if let Some(call) = event.call {
                    self.give(feed, Entry::Trunk(call, trunk.clone()));
                }
            }
            _ => {}
        }
    }

    /// Takes a message that leaves.
    pub fn sent(&self, call: Option<CallId>, hop: &Hop, bytes: &Bytes) {
        let feed = self.shared.feed.load();
        let is_meant = |feed: &&Arc<Feed>| feed.shows(hop.protocol) && feed.samples(call);
        let Some(feed) = feed.as_ref().filter(is_meant) else {
            return;
        };
        self.give(
            feed,
            Entry::Message {
                at: wall_clock(),
                call,
                way: Way::Out(Box::new(hop.clone())),
                protocol: hop.protocol,
                remote: hop.remote,
                bytes: bytes.clone(),
            },
        );
    }

    /// Whether reports of RTCP are wanted, so that the relay has to tell them.
    pub fn wants_reports(&self) -> bool {
        self.shared.feed.load().as_ref().is_some_and(|own| own.rtcp)
    }

    /// Whether a report is worth the way through a shard; one that is wanted and is not counts as lost.
    pub fn takes_report(&self) -> bool {
        let is_wanted = self.wants_reports();
        // Ordering: an entry more or less.
        let is_taken = is_wanted && !self.shared.is_paused.load(Ordering::Relaxed);
        if is_wanted && !is_taken {
            self.lost_report();
        }
        is_taken
    }

    /// A report found no room on its way here.
    pub fn lost_report(&self) {
        self.shared.metrics.lost(1);
    }

    fn give(&self, feed: &Feed, entry: Entry) {
        // Ordering: an entry more or less.
        let is_taken = !self.shared.is_paused.load(Ordering::Relaxed) && feed.take(entry);
        if !is_taken {
            self.shared.metrics.lost(1);
        }
    }

    /// Takes nothing while there are more important things to do, or takes everything again.
    pub fn pause(&self, is_paused: bool) {
        // Ordering: an entry more or less.
        self.shared.is_paused.store(is_paused, Ordering::Relaxed);
    }

    /// Sends from now on where this configuration says. Call within the runtime.
    pub fn configure(&self, loaded: &Loaded, resolver: &Resolver, places: Places) {
        let wanted = loaded.shell.hep.clone();
        let settings = wanted.map(|wanted| Settings {
            key: wanted.key.as_ref().and_then(|key| self.key(key)),
            node: loaded.config.node.id.clone(),
            own: own_address(loaded),
            wanted,
        });
        let mut running = self.running();
        if running.as_ref().map(|own| &own.settings) == settings.as_ref() {
            return;
        }
        // What runs writes what it has, and ends.
        self.shared.feed.store(None);
        self.shared.log.set_aside(None);
        if let Some(before) = running.take() {
            for collector in &before.settings.wanted.collectors {
                self.shared.metrics.forget(&collector.to_string());
            }
        }
        let Some(settings) = settings else {
            return;
        };
        let logs = settings.wanted.logs;
        match self.start(settings, resolver, places) {
            Ok((feed, own)) => {
                *running = Some(own);
                self.shared.feed.store(Some(Arc::new(feed)));
                self.shared.log.set_aside(logs.map(|logs| self.aside(logs)));
            }
            Err(why) => {
                let log = &self.shared.log;
                let line = log.error("hep_down", "nothing is sent to the collectors of [hep]");
                line.with("why", why).send();
            }
        }
    }

    /// Takes lines of the log.
    fn aside(&self, logs: HepLogs) -> Aside {
        // Not a whole one, which would keep the log, and the log it.
        let shared = Arc::downgrade(&self.shared);
        Aside {
            level: match logs {
                HepLogs::Error => Level::Error,
                HepLogs::Warn => Level::Warn,
                HepLogs::Info => Level::Info,
            },
            take: Box::new(move |call, text| {
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                let hep = Self { shared };
                let feed = hep.shared.feed.load();
                if let Some(feed) = &*feed {
                    let at = wall_clock();
                    hep.give(feed, Entry::Line { at, call, text });
                }
            }),
        }
    }

    fn key(&self, key: &sbc_core::config::Secret) -> Option<Vec<u8>> {
        match config::read_secret(key) {
            Ok(mut octets) => {
                // An editor ends the last line; no password does.
                while let Some(b'\n' | b'\r') = octets.last() {
                    octets.pop();
                }
                Some(octets)
            }
            Err(FileFault::Unreadable(why) | FileFault::Unusable(why)) => {
                let line = self.shared.log.error("hep_key", why);
                line.with("key", key).send();
                None
            }
        }
    }

    fn start(
        &self,
        settings: Settings,
        resolver: &Resolver,
        places: Places,
    ) -> std::io::Result<(Feed, Running)> {
        let collectors = &settings.wanted.collectors;
        let is_tls = |own: &HepCollector| own.protocol == Protocol::Tls;
        let tls = match collectors.iter().any(is_tls) {
            false => Err("no collector has TLS".to_owned()),
            true => config::read_roots(&settings.wanted.roots)
                .map(|(roots, _)| https::believing(roots))
                .map_err(|(FileFault::Unreadable(why) | FileFault::Unusable(why))| {
                    format!("roots {}: {why}", settings.wanted.roots)
                }),
        };
        let reach = Reach {
            runtime: Handle::current(),
            resolver: resolver.clone(),
            tls,
            metrics: self.shared.metrics.clone(),
            log: self.shared.log.clone(),
        };
        let posts: Vec<Post> = collectors
            .iter()
            .map(|own| Post::start(own.clone(), &reach))
            .collect();
        let waiting = posts.iter().map(|own| Arc::clone(own.waiting())).collect();
        let (queue, entries) = mpsc::sync_channel(QUEUE);
        let load = Arc::new(Load::default());
        let writer = Writer {
            settings: settings.clone(),
            chosen: match settings.wanted.trunks.is_empty() {
                true => None,
                false => Some(Chosen::new(settings.wanted.trunks.clone())),
            },
            places,
            posts,
            frames: Growing::default(),
            load: Arc::clone(&load),
            metrics: self.shared.metrics.clone(),
            node: Arc::clone(&self.shared.metrics_of_node),
        };
        let thread = thread::Builder::new().name("hep".to_owned());
        let thread = thread.spawn(move || writer.run(&entries))?;
        let feed = Feed {
            queue,
            load,
            include_tls: settings.wanted.include_tls,
            quality: settings.wanted.quality,
            rtcp: settings.wanted.rtcp,
            sample: settings.wanted.sample,
            by_trunk: !settings.wanted.trunks.is_empty(),
        };
        let running = Running {
            settings,
            thread,
            waiting,
        };
        Ok((feed, running))
    }

    /// What keeps collectors from being written to.
    pub fn troubles(&self) -> Vec<String> {
        let running = self.running();
        let waiting = running.iter().flat_map(|own| &own.waiting);
        waiting.filter_map(|own| own.trouble()).collect()
    }

    /// Gives collectors what waits, and ends; gives up after two seconds if one of them does not take it.
    pub fn finish(&self) {
        self.shared.feed.store(None);
        self.shared.log.set_aside(None);
        let Some(own) = self.running().take() else {
            return;
        };
        let deadline = Instant::now() + 2 * LAST_WRITES;
        while !own.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(PAUSE / 4);
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        let running = &self.shared.running;
        running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    fn shows(&self, protocol: Protocol) -> bool {
        protocol != Protocol::Tls || self.include_tls
    }

    /// Whether a call is of the share that is wanted. What belongs to no call is not shared out.
    fn samples(&self, call: Option<CallId>) -> bool {
        // Identifiers are random.
        call.is_none_or(|call| call.0 % 100 < u128::from(self.sample))
    }

    /// Queues an entry; `false` if there is no room.
    fn take(&self, entry: Entry) -> bool {
        let length = entry.len();
        // Ordering: only the sums matter.
        let before = self.load.bytes.fetch_add(length, Ordering::Relaxed);
        self.load.entries.fetch_add(1, Ordering::Relaxed);
        let is_taken = before + length <= QUEUE_BYTES && self.queue.try_send(entry).is_ok();
        if !is_taken {
            self.load.taken(length);
        }
        is_taken
    }
}

impl Load {
    fn taken(&self, length: usize) {
        // Ordering: only the sums matter.
        self.entries.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(length, Ordering::Relaxed);
    }
}

/// The thread that makes frames.
struct Writer {
    settings: Settings,
    chosen: Option<Chosen>,
    places: Places,
    posts: Vec<Post>,
    /// Made, and not queued for collectors yet.
    frames: Growing,
    load: Arc<Load>,
    metrics: HepMetrics,
    node: Arc<Metrics>,
}

impl Writer {
    fn run(mut self, entries: &Receiver<Entry>) {
        let depth = self.node.queue_depth.with_label_values(&["hep"]);
        loop {
            let first = entries.try_recv().or_else(|_| {
                thread::sleep(PAUSE);
                entries.recv_timeout(SECOND)
            });
            match first {
                Ok(first) => {
                    for entry in std::iter::once(first).chain(entries.try_iter()) {
                        self.load.taken(entry.len());
                        match &mut self.chosen {
                            None => self.take(entry),
                            Some(chosen) => {
                                for entry in chosen.pass(entry) {
                                    self.take(entry);
                                }
                            }
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.hand_over();
            let waiting = self.load.entries.load(Ordering::Relaxed);
            let most = self.posts.iter().map(Post::depth).max();
            let all = waiting + most.unwrap_or(0);
            depth.set(i64::try_from(all).unwrap_or(i64::MAX));
        }
        depth.set(0);
        let tasks: Vec<_> = self.posts.drain(..).map(Post::close).collect();
        let deadline = Instant::now() + LAST_WRITES;
        while tasks.iter().any(|task| !task.is_finished()) && Instant::now() < deadline {
            thread::sleep(PAUSE / 4);
        }
        for task in tasks {
            task.abort();
        }
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Message {
                at,
                call,
                way,
                protocol,
                remote,
                bytes,
            } => {
                let (source, target) = match way {
                    Way::In(local) => (remote, local),
                    Way::Out(hop) => match (self.places)(&hop) {
                        Some(local) => (local, remote),
                        // Its listener is gone, and nothing leaves from there.
                        None => return,
                    },
                };
                let correlation = call.map(|call| call.to_string());
                let text = shown(&bytes);
                let frame = Frame {
                    source,
                    target,
                    protocol,
                    at,
                    kind: Kind::Sip,
                    correlation: correlation.as_deref(),
                    score: None,
                    payload: text.as_bytes(),
                    ..frame(&self.settings)
                };
                self.frames.add(&frame);
                self.hand_over_many();
            }
            Entry::Trunk(..) => {}
            Entry::Ended(..) if !self.settings.wanted.quality => {}
            Entry::Ended(at, record) => {
                let correlation = record.call.to_string();
                for report in quality::reports(&record) {
                    let payload = report.text.to_string();
                    let frame = Frame {
                        source: report.remote,
                        target: report.local,
                        protocol: Protocol::Udp,
                        at,
                        kind: Kind::Quality,
                        correlation: Some(&correlation),
                        score: report.score,
                        payload: payload.as_bytes(),
                        ..frame(&self.settings)
                    };
                    self.frames.add(&frame);
                    self.hand_over_many();
                }
            }
            Entry::Line { at, call, text } => {
                let frame = Frame {
                    source: self.settings.own,
                    target: self.settings.own,
                    at,
                    kind: Kind::Log,
                    correlation: call.as_deref(),
                    payload: text.as_bytes(),
                    ..frame(&self.settings)
                };
                self.frames.add(&frame);
                self.hand_over_many();
            }
            Entry::Report(at, call, report) => {
                let (source, target) = match report.teller {
                    Teller::Peer => (report.remote, report.local),
                    Teller::Us => (report.local, report.remote),
                };
                let (correlation, payload) = (call.to_string(), rtcp::text(&report).to_string());
                let frame = Frame {
                    source,
                    target,
                    at,
                    kind: Kind::Rtcp,
                    correlation: Some(&correlation),
                    payload: payload.as_bytes(),
                    ..frame(&self.settings)
                };
                self.frames.add(&frame);
                self.hand_over_many();
            }
        }
    }

    fn hand_over_many(&mut self) {
        if self.frames.is_full() {
            self.hand_over();
        }
    }

    /// Queues what was made for every collector.
    fn hand_over(&mut self) {
        let Some(frames) = self.frames.take() else {
            return;
        };
        for post in &self.posts {
            if !post.offer(&frames) {
                let lost = u64::try_from(frames.len()).unwrap_or(u64::MAX);
                self.metrics.lost(lost);
            }
        }
    }
}

/// What all frames say.
fn frame(settings: &Settings) -> Frame<'_> {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    Frame {
        source: nowhere,
        target: nowhere,
        protocol: Protocol::Udp,
        at: UnixTime::default(),
        kind: Kind::Sip,
        agent: settings.wanted.agent,
        key: settings.key.as_deref(),
        correlation: None,
        node: &settings.node,
        score: None,
        payload: &[],
    }
}

/// An address that is ours, and never a wildcard: that of a listener.
fn own_address(loaded: &Loaded) -> SocketAddr {
    let mut all = loaded.config.listeners.values().map(|own| own.bind);
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    all.next().unwrap_or(nobody)
}

#[cfg(test)]
mod tests;
