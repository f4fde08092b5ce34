//! The daemon: start and stop order on one screen.
//!
//! ```text
//! start: configuration ─► confinement ─► identities ─► inboxes ─► sockets open ─► sinks ─► relay ─► shards ─►
//!        sockets serve ─► admin ─► ready
//! stop:  drain ─► BYE ─► sockets ─► shards ─► relay ─► records ─► log
//! ```

pub mod acme;
pub mod anew;
pub mod awaited;
mod capacity;
pub mod chains;
pub mod closed;
pub mod confine;
pub mod dispatch;
pub mod expiry;
mod fixed;
pub mod found;
pub mod generations;
pub mod health;
pub mod heard;
pub mod inbox;
mod keys;
mod live;
pub mod media;
pub mod net;
pub mod notify;
pub mod poller;
pub mod protection;
pub mod reach;
mod relisted;
pub mod reload;
pub mod renewed;
pub mod resolver;
pub mod run;
pub mod secrecy;
pub mod shard;
pub mod stir;
pub mod stop;
mod strain;
pub mod test_names;
mod unrecorded;

use crate::admin::certificate::Authorities;
use crate::admin::revoked::AllLists;
use crate::admin::{Admin, AdminFault, Doors};
use crate::graph::presence;
use crate::notices::{Notices, Served};
use crate::sink::Sinks;
use crate::sink::asked::AskedWriter;
use crate::sink::audit::Audit;
use crate::sink::bindings::{Keeper, KeeperWriter};
use crate::sink::capture::Captures;
use crate::sink::cdr::Cdr;
use crate::sink::cdr::ship::Shipper;
use crate::sink::cdr::switch::Records;
use crate::sink::hep::Hep;
use crate::sink::lent::{Bell, LentWriter};
use crate::sink::log::Log;
use crate::sink::metrics::{MediaCollector, Metrics, SignallingCollector, SpendCollector, UpState};
use crate::sink::news::News;
use crate::sink::spending::{Ledger, SpendWriter};
use crate::sink::trace::Traces;
use acme::Acme;
use arc_swap::ArcSwap;
use awaited::Awaited;
use closed::ClosedTrunks;
use dispatch::{Dispatch, Replies};
use generations::{By, Generations, Origin, Start, Taken};
use health::Health;
use inbox::{Inbox, Inboxes};
use media::{AddressFault, MediaFault};
use net::{BindFault, Net, Opened};
use protection::Protection;
use reload::ReloadFault;
use resolver::Resolver;
use rustls::server::danger::ClientCertVerifier;
use sbc_core::config::Loaded;
use sbc_core::core::{Core, Together};
use sbc_core::effect::Effects;
use sbc_core::id::ShardId;
use sbc_core::input::Input;
use sbc_core::mint::Mint;
use sbc_core::time::Now;
use shard::{Shard, Turn};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use stir::{Reach, Signers};
use test_names::TestNames;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// What the daemon is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Main configuration file.
    pub config: PathBuf,
    /// Signalling threads, 1–32.
    pub shards: u8,
    /// Directory for what is to outlive a restart; `None` keeps nothing.
    pub state: Option<PathBuf>,
}

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// Configuration or identities.
    #[error("{0}")]
    Config(ReloadFault),
    /// Addresses, sockets and directories that cannot be used: all of them.
    #[error("{}", lines(.0))]
    Places(Vec<PlaceFault>),
    /// The media relay.
    #[error("media: {0}")]
    Media(MediaFault),
    /// Threads or random numbers.
    #[error("{0}")]
    System(String),
}

/// Something outside of this process that it cannot have.
#[derive(Debug, thiserror::Error)]
pub enum PlaceFault {
    /// A signalling socket.
    #[error("{0}")]
    Listener(BindFault),
    /// An address for media.
    #[error("{0}")]
    Media(AddressFault),
    /// The operator interface.
    #[error("{0}")]
    Admin(AdminFault),
    /// The address for notices of Microsoft.
    #[error(
        "notices listener {address}: {why}{}; or choose another address in [notices]",
        net::bind_advice(why)
    )]
    Notices {
        /// The configured address.
        address: SocketAddr,
        /// What the operating system said.
        why: io::Error,
    },
    /// Directory of call records.
    #[error(
        "call records cannot be written to {}: {why}; make the directory and give it to the user \
         of the daemon",
        directory.display()
    )]
    Records {
        /// The configured directory.
        directory: PathBuf,
        /// What the operating system said.
        why: io::Error,
    },
    /// Call records, as who wrote them before has not ended, and two would write the same files.
    #[error(
        "call records cannot begin again yet: who wrote them until [cdr] was taken out waits for a disk that does not \
         answer, and two would write the same files; see to that disk and reload again, or restart"
    )]
    RecordsStillWritten,
    /// The threads that write call records.
    #[error(
        "call records cannot be written: no thread can be made for them: {0}; see TasksMax and ulimit -u"
    )]
    RecordsThread(io::Error),
}

fn lines(faults: &[PlaceFault]) -> String {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// A running daemon.
pub struct Daemon {
    config_path: PathBuf,
    started: Instant,
    /// When Teams was asked last, and what it said.
    turns: net::Turns,
    /// The configuration in use. Whoever only looks never waits for a reload.
    loaded: ArcSwap<Loaded>,
    /// Those that were in use, and the one that is.
    generations: Arc<Generations>,
    /// Held by whoever changes it, or what follows from it.
    turn: tokio::sync::Mutex<()>,
    sinks: Sinks,
    inboxes: Inboxes,
    replies: Arc<Replies>,
    net: Net,
    signers: Signers,
    notices: Arc<Notices>,
    acme: Arc<Acme>,
    awaited: Awaited,
    protection: Arc<Protection>,
    keys: keys::Noted,
    authorities: Authorities,
    client_lists: AllLists,
    unread_lists: relisted::Unread,
    presence: presence::Watch,
    test_names: Arc<TestNames>,
    closed: ClosedTrunks,
    resolver: Resolver,
    health: Health,
    relay: Weak<media::Plane>,
    media_names: Arc<media::Names>,
    is_draining: AtomicBool,
    is_stopping: AtomicBool,
    /// Until then Teams may call although the node drains.
    fades_until: Mutex<Option<tokio::time::Instant>>,
    /// When a drain ends the calls that are left.
    ends_calls_at: Mutex<Option<tokio::time::Instant>>,
    /// Whether it is to be started anew.
    anew: anew::Anew,
    ledger: Ledger,
    parts: Mutex<Option<Parts>>,
    /// What cannot be kept over a restart, and why.
    without: Vec<String>,
}

/// How long it may take at the end to tell Microsoft that nobody talks over our trunks any more.
const SHOWN_NO_MORE: Duration = Duration::from_secs(3);

/// What is taken apart when the daemon stops.
struct Parts {
    shards: Vec<Shard>,
    relay: Arc<media::Plane>,
    keeper: Option<KeeperWriter>,
    spending: Option<SpendWriter>,
    lent: Option<(LentWriter, Bell)>,
    asked: Option<AskedWriter>,
    admin: Admin,
    notices: Option<Served>,
    media: JoinHandle<()>,
    strain: JoinHandle<()>,
    heard: JoinHandle<()>,
    unrecorded: JoinHandle<()>,
    expiry: JoinHandle<()>,
    renewed: JoinHandle<()>,
    protection: JoinHandle<()>,
    acme: JoinHandle<()>,
    test_names: JoinHandle<()>,
}

impl Daemon {
    /// Starts everything. Call within a tokio runtime of several threads.
    ///
    /// # Errors
    /// [`StartFault`]; nothing runs then.
    pub async fn start(options: Options, log: Log) -> Result<Arc<Self>, StartFault> {
        let (state, path) = (options.state.clone(), options.config.clone());
        let told = log.clone();
        let begun = tokio::task::spawn_blocking(move || {
            Generations::open(state.as_deref(), told).begin(&path)
        });
        let begun = begun
            .await
            .map_err(|fault| StartFault::System(fault.to_string()))?;
        let start = begun.map_err(StartFault::Config)?;
        Self::start_from(options, start, log).await
    }

    /// Starts everything with a configuration that was loaded elsewhere.
    ///
    /// # Errors
    /// [`StartFault`]; nothing runs then.
    pub async fn start_with(
        options: Options,
        loaded: Loaded,
        log: Log,
    ) -> Result<Arc<Self>, StartFault> {
        let generations = Generations::open(options.state.as_deref(), log.clone());
        let start = generations.starts(loaded, Vec::new(), Origin::Files);
        Self::start_from(options, start, log).await
    }

    /// The same with what a start begins with.
    ///
    /// # Errors
    /// [`StartFault`]; nothing runs then.
    pub async fn start_from(
        options: Options,
        start: Start,
        log: Log,
    ) -> Result<Arc<Self>, StartFault> {
        let loaded = start.loaded;
        let tls = Arc::new(reload::identities(&loaded).map_err(StartFault::Config)?);
        let of_state = log.clone();
        let mut state = State {
            directory: options.state.as_deref(),
            log: &of_state,
            without: Vec::new(),
        };
        let what = "whom operators ban and let in, and whose tokens they revoke";
        let protection = state.keeping(what, |directory, log| Protection::open(directory, &log));
        let protection = Arc::new(protection.unwrap_or_default());
        let config = Arc::new(protection.over(&loaded.config));
        let metrics = Metrics::new().map_err(|fault| StartFault::System(fault.to_string()))?;
        let metrics = Arc::new(metrics);
        let count = options.shards.clamp(1, 32);
        let inboxes = Inboxes::new(
            (0..count)
                .map(|shard| Inbox::new(ShardId(shard)))
                .collect::<io::Result<_>>()
                .map_err(|fault| StartFault::System(format!("cannot make a shard: {fault}")))?,
            sbc_core::demux::shard_of_message,
        );
        let net = Net::new(
            Arc::clone(&config),
            Arc::clone(&tls),
            inboxes.clone(),
            Arc::clone(&metrics),
            log.clone(),
        );
        // Everything is tried before anything is told: one start shows all that is to be mended.
        let places = open(&net, &loaded, &log).await;
        let (opened, doors, door) = places.map_err(StartFault::Places)?;
        let cdr = records(&loaded, &metrics, &log)?;
        let kept = state.keeping("what peers have registered", Keeper::start);
        let kept = kept.unwrap_or_default();
        let together = Together::default();
        let lent = state.keeping("numbers that are lent to places", |directory, log| {
            LentWriter::start(directory, together.elins(), Instant::now(), log)
        });
        let asked = state.keeping("when Teams was asked last", |directory, log| {
            AskedWriter::start(directory, together.asked(), Instant::now(), log)
        });
        let test_names = state.keeping("when test names were asked last", |directory, log| {
            TestNames::open(directory, &log)
        });
        let closed = together.closed();
        let closed_file = state.keeping("which trunks are disabled or drain", |directory, log| {
            closed::restore(directory, &closed, &log)
        });
        for (trunk, closing) in closed.all() {
            metrics.calls.trunk_closed(&trunk, Some(closing));
        }
        let (ledger, spending) = state.spending(&together, &metrics)?;
        let sinks = Sinks {
            audit: audited(&mut state, &loaded, &log)?,
            news: News::default(),
            captures: Captures::default(),
            hep: Hep::new(Arc::clone(&metrics), log.clone()),
            ship: Shipper::new(metrics.ship.clone(), log.clone(), cdr.owed()),
            log,
            metrics: Arc::clone(&metrics),
            proxies: Arc::default(),
            traces: Traces::default(),
            cdr,
            keeper: kept.keeper,
            lent: lent.as_ref().map(|(_, bell)| bell.clone()),
        };
        let relay = {
            let (config, log) = (Arc::clone(&config), sinks.log.clone());
            let (inboxes, path) = (inboxes.clone(), loaded.shell.relay.clone());
            let is_pinned = loaded.shell.pins_workers;
            let takers = (sinks.hep.clone(), sinks.captures.clone());
            let started =
                move || media::start(&config, path.as_deref(), is_pinned, inboxes, takers, log);
            let started = tokio::task::spawn_blocking(started).await;
            started
                .map_err(|fault| StartFault::System(fault.to_string()))?
                .map_err(StartFault::Media)?
        };
        let relay = Arc::new(relay);
        capacity::tell(&sinks.log, &loaded, &relay);
        let to = Arc::downgrade(&relay);
        sinks.captures.set_relay(Box::new(move |order| {
            if let Some(relay) = to.upgrade() {
                relay.command(order);
            }
        }));
        let media_names = Arc::new(media::Names::from_pointee(media::names(&config)));
        let collector = MediaCollector::new(
            Box::new(media::figures(
                Arc::clone(&media_names),
                Arc::downgrade(&relay),
            )),
            metrics.panics.with_label_values(&["media"]),
            metrics.queue_dropped.with_label_values(&["media_reports"]),
        );
        collector
            .and_then(|collector| metrics.add_collector(Box::new(collector)))
            .map_err(|fault| StartFault::System(fault.to_string()))?;
        let replies = Arc::new(Replies::default());
        let resolver = Resolver::configured(&loaded.shell.dns, Arc::clone(&metrics));
        let signers = Signers::new(resolver.clone(), Reach::PUBLIC);
        signers.trust(reload::trust(&loaded).map_err(StartFault::Config)?);
        let presences = presence::Presences::new(inboxes.clone());
        let notices = Notices::new(presences.clone(), resolver.clone(), &sinks);
        let mut shards = Vec::new();
        for inbox in inboxes.all() {
            let dispatch = Dispatch {
                inbox: Arc::clone(inbox),
                inboxes: inboxes.clone(),
                runtime: Handle::current(),
                net: net.clone(),
                order: net::Order::default(),
                resolver: resolver.clone(),
                signers: signers.clone(),
                relay: Arc::clone(&relay),
                sinks: sinks.clone(),
                replies: Arc::clone(&replies),
                told: Vec::new(),
            };
            let core = Core::new(inbox.shard(), Arc::clone(&config), mint(inbox.shard())?);
            let core = core.among(inboxes.count()).counting(&together);
            let core = match loaded.shell.cdr.is_some() {
                true => core.for_journal(),
                false => core,
            };
            let core = match relay.keeps() {
                true => core.for_restart(),
                false => core,
            };
            shards.push(start_shard(inbox, &sinks, core, dispatch)?);
        }
        // Before anything can arrive for them; and whom there is no call with any more must hear that.
        net.send_through(&opened);
        let goes_on = found::take_up(&relay, &inboxes, &sinks);
        if let Some(cdr) = &*sinks.cdr.get() {
            cdr.goes_on(goes_on);
        }
        let presence = presence::Watch::new(
            presences,
            together.talking(),
            sinks.clone(),
            resolver.clone(),
        );
        let started = Instant::now();
        let turns = net::Turns {
            asked: together.asked(),
            started,
            proxies: Arc::clone(&sinks.proxies),
        };
        let daemon = Arc::new(Self {
            presence,
            test_names: Arc::new(test_names.unwrap_or_default()),
            closed: ClosedTrunks::new(closed, closed_file),
            config_path: options.config,
            started,
            turns,
            sinks,
            inboxes,
            replies,
            net,
            signers,
            notices,
            acme: Arc::default(),
            awaited: Awaited::default(),
            protection,
            keys: keys::Noted::default(),
            authorities: Authorities::default(),
            client_lists: AllLists::default(),
            unread_lists: relisted::Unread::default(),
            resolver,
            health: Health::new(
                shards
                    .iter()
                    .map(|shard| Arc::clone(shard.heartbeat()))
                    .collect(),
                &relay,
            ),
            relay: Arc::downgrade(&relay),
            media_names,
            is_draining: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            fades_until: Mutex::default(),
            ends_calls_at: Mutex::default(),
            ledger,
            anew: anew::Anew::default(),
            parts: Mutex::new(None),
            without: state.without,
            loaded: ArcSwap::from_pointee(loaded),
            generations: Arc::new(start.generations),
            turn: tokio::sync::Mutex::default(),
        });
        daemon.begin_protection();
        daemon.configure_clients(&daemon.loaded());
        let admin = Admin::start(&daemon, doors);
        let door = door.map(|tcp| daemon.notices.serve(tcp, Arc::downgrade(&daemon)));
        daemon
            .net
            .apply(Arc::clone(&config), Arc::clone(&tls), opened);
        if let Some(registrar) = daemon.inboxes.all().first() {
            let _ = registrar.push(Input::Restored(kept.before));
        }
        for inbox in daemon.inboxes.all() {
            // The shards know the configuration; this starts what needs open sockets: the probes.
            let _ = inbox.push(Input::Config(Arc::clone(&config)));
        }
        daemon.publish(&daemon.loaded(), &tls);
        *daemon.parts() = Some(Parts {
            shards,
            relay,
            keeper: kept.writer,
            spending,
            lent,
            asked,
            admin,
            notices: door,
            media: tokio::spawn(media::tell(
                Arc::downgrade(&daemon),
                daemon.sinks.log.clone(),
            )),
            strain: tokio::spawn(strain::watch(daemon.inboxes.clone())),
            heard: tokio::spawn(heard::watch(Arc::downgrade(&daemon))),
            unrecorded: tokio::spawn(unrecorded::watch(
                daemon.sinks.cdr.refuses(),
                daemon.inboxes.clone(),
                daemon.sinks.log.clone(),
            )),
            expiry: {
                let log = &daemon.sinks.log;
                let own = expiry::watch(daemon.net.clone(), log.clone(), expiry::AGAIN);
                let lists = daemon.client_lists.clone();
                let clients = expiry::watch_clients(lists, log.clone(), expiry::AGAIN);
                tokio::spawn(async move {
                    tokio::join!(own, clients);
                })
            },
            renewed: tokio::spawn(renewed::watch(Arc::downgrade(&daemon), renewed::EVERY)),
            protection: tokio::spawn(protection::watch(Arc::downgrade(&daemon))),
            acme: tokio::spawn(Arc::clone(&daemon.acme).run(Arc::downgrade(&daemon))),
            test_names: tokio::spawn(test_names::watch(
                Arc::downgrade(&daemon),
                test_names::FIRST,
            )),
        });
        if let Origin::Fallback(_) = start.origin {
            metrics.config_refused();
            metrics.config_fallback(true);
        }
        daemon.generations.take(Taken {
            number: daemon.loaded().config.generation,
            sources: &start.sources,
            by: match start.origin {
                Origin::Earlier(by) => by,
                Origin::Files | Origin::Fallback(_) => By::Start,
            },
            origin: start.origin,
            instead_of: start.instead_of,
        });
        metrics.set_state(UpState::Active);
        Ok(daemon)
    }

    /// Ends everything that is left. Calls in progress should have been ended before.
    pub async fn shutdown(&self) {
        self.set_draining(true);
        let Some(parts) = self.parts().take() else {
            return;
        };
        parts.media.abort();
        parts.strain.abort();
        parts.heard.abort();
        parts.unrecorded.abort();
        parts.expiry.abort();
        parts.renewed.abort();
        parts.protection.abort();
        parts.acme.abort();
        parts.test_names.abort();
        // While somebody answers: Microsoft may tell of the end.
        tokio::join!(self.notices.end(), self.presence.finish(SHOWN_NO_MORE));
        if let Some(door) = parts.notices {
            door.stop().await;
        }
        self.net.shutdown(Duration::from_secs(2)).await;
        parts.admin.stop().await;
        self.sinks.ship.finish();
        // These wait for threads, which must not hold up the runtime's own.
        let hep = self.sinks.hep.clone();
        let records = self.sinks.cdr.clone();
        let ending = tokio::task::spawn_blocking(move || {
            for shard in parts.shards {
                shard.stop();
            }
            drop(parts.relay);
            hep.finish();
            records.finish();
            if let Some(keeper) = parts.keeper {
                keeper.finish();
            }
            if let Some(spending) = parts.spending {
                spending.finish();
            }
            if let Some((lent, bell)) = parts.lent {
                lent.finish(Some(&bell));
            }
            if let Some(asked) = parts.asked {
                asked.finish();
            }
        });
        let _ = ending.await;
        self.sinks.cdr.ended().await;
        self.sinks.audit.finish().await;
    }

    /// Presence of users.
    pub fn presence(&self) -> &presence::Watch {
        &self.presence
    }

    /// Calls in progress over all shards.
    pub fn calls_in_progress(&self) -> usize {
        self.sinks.metrics.calls.in_progress()
    }

    /// Whether new calls are refused.
    pub fn is_draining(&self) -> bool {
        // Ordering: the flag stands for itself.
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Whether the process is about to end: then a drain is not taken back.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Whether the sockets are served: not yet while the daemon starts, no more once it stops. The
    /// operator interface answers longer than that at both ends.
    pub fn is_serving(&self) -> bool {
        self.parts().is_some()
    }

    /// Who looks names up.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Where facts go.
    pub fn sinks(&self) -> &Sinks {
        &self.sinks
    }

    /// What is wrong although calls go on: records wait, the last reload was refused, something will not outlive a
    /// restart, or lists of revoked certificates are too old.
    pub fn degraded(&self) -> Vec<String> {
        let records = self.sinks.cdr.get().as_ref().and_then(|cdr| cdr.trouble());
        let all = records.into_iter().chain(self.generations.refusal());
        let all = all.chain(self.without.clone());
        let all = all.chain(self.sinks.ship.trouble());
        let all = all.chain(self.sinks.hep.troubles());
        let lists = expiry::old_lists(&self.net.identities());
        // It may be over.
        let _ = self.verifier_of_clients();
        all.chain(lists)
            .chain(self.unread_lists.troubles())
            .chain(self.client_lists.troubles())
            .collect()
    }

    fn unread_lists(&self) -> &relisted::Unread {
        &self.unread_lists
    }

    /// Reads whom certificates of clients are believed of, and what they have revoked.
    fn configure_clients(&self, loaded: &Loaded) {
        let clients = &loaded.shell.api_clients;
        self.authorities
            .configure(clients, &self.client_lists, &self.sinks.log);
    }

    /// Who verifies certificates of clients, if they are asked for any.
    pub(crate) fn verifier_of_clients(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        self.authorities
            .verifier(&self.client_lists, &self.sinks.log)
    }

    /// Lists of revoked certificates of those who use our interface.
    pub(crate) fn client_lists(&self) -> &AllLists {
        &self.client_lists
    }

    /// What Microsoft tells without being asked.
    pub fn notices(&self) -> &Arc<Notices> {
        &self.notices
    }

    /// Certificates that an authority issues.
    pub fn acme(&self) -> &Acme {
        &self.acme
    }

    /// Names at which Microsoft shows certificates of coming authorities.
    pub fn test_names(&self) -> &TestNames {
        &self.test_names
    }

    /// Trunks that an operator keeps new calls away from.
    pub fn closed_trunks(&self) -> &ClosedTrunks {
        &self.closed
    }

    /// Signatures of callers.
    fn signers(&self) -> &Signers {
        &self.signers
    }

    /// How media is served at the moment; nothing once the relay has stopped.
    pub fn media_served(&self) -> Vec<media::Served> {
        let loaded = self.loaded();
        let relay = self.relay.upgrade();
        relay.map_or_else(Vec::new, |relay| media::served(&loaded.config, &relay))
    }

    /// Signalling sockets.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// What a trial of a certificate may say to Teams.
    pub(in crate::daemon) fn words(&self) -> net::Words {
        net::Words::Options(self.turns.clone())
    }

    /// The same where nothing may be said to it.
    pub(in crate::daemon) fn no_words(&self) -> net::Words {
        net::Words::None(self.turns.clone())
    }

    /// Certificates that wait for a word of Teams.
    pub fn awaited(&self) -> &Awaited {
        &self.awaited
    }

    /// Whom operators ban and let in, and whose tokens they have revoked.
    pub fn protection(&self) -> &Arc<Protection> {
        &self.protection
    }

    /// Which keys are written down as loaded.
    fn keys_noted(&self) -> &keys::Noted {
        &self.keys
    }

    /// Signs of life.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Time since the start.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The configuration in use.
    pub fn loaded(&self) -> Arc<Loaded> {
        self.loaded.load_full()
    }

    /// What was spent.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Configurations that were in use, and the one that is.
    pub fn generations(&self) -> &Arc<Generations> {
        &self.generations
    }

    /// Whoever changes the configuration or what follows from it, holds this.
    fn turn(&self) -> &tokio::sync::Mutex<()> {
        &self.turn
    }

    pub(crate) fn inboxes(&self) -> &Inboxes {
        &self.inboxes
    }

    pub(crate) fn replies(&self) -> &Replies {
        &self.replies
    }

    pub(crate) fn config_path(&self) -> &Path {
        &self.config_path
    }

    fn set_draining(&self, is_draining: bool) {
        self.is_draining.store(is_draining, Ordering::Relaxed);
    }

    fn ends_calls_at(&self) -> std::sync::MutexGuard<'_, Option<tokio::time::Instant>> {
        let at = self.ends_calls_at.lock();
        at.unwrap_or_else(PoisonError::into_inner)
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Option<Parts>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start_shard(
    inbox: &Arc<Inbox>,
    sinks: &Sinks,
    mut core: Core,
    mut dispatch: Dispatch,
) -> Result<Shard, StartFault> {
    let step = move |now: Now, turn: Turn, out: &mut Effects| {
        match turn {
            Turn::Apply(input) => core.apply(now, input, out),
            Turn::Recover => core.recover(now, out),
            Turn::Abandon => core.abandon(now, out),
        }
        core.deadline()
    };
    Shard::start(
        Arc::clone(inbox),
        Arc::clone(&sinks.metrics),
        sinks.log.clone(),
        step,
        move |effects| dispatch.run(effects),
    )
    .map_err(|fault| StartFault::System(format!("cannot start a shard: {fault}")))
}

/// Opens every socket and tries every other place.
async fn open(
    net: &Net,
    loaded: &Loaded,
    log: &Log,
) -> Result<(Opened, Doors, Option<TcpListener>), Vec<PlaceFault>> {
    let listeners = net.open(&loaded.config);
    let doors = Doors::open(
        Path::new(&loaded.shell.api),
        loaded.shell.metrics.as_ref(),
        loaded.shell.api_listen.as_ref(),
        log,
    )
    .await;
    let mut faults: Vec<PlaceFault> = media::unusable(loaded)
        .into_iter()
        .map(PlaceFault::Media)
        .collect();
    if let Some(spool) = loaded.shell.cdr.as_ref().filter(|own| own.is_mandatory) {
        let directory = PathBuf::from(&spool.directory);
        if let Err(why) = Cdr::try_directory(&directory) {
            faults.push(PlaceFault::Records { directory, why });
        }
    }
    let mut door = None;
    if let Some(address) = loaded.shell.notices.as_ref().map(|own| own.address) {
        match TcpListener::bind(address).await {
            Ok(tcp) => door = Some(tcp),
            Err(why) => faults.push(PlaceFault::Notices { address, why }),
        }
    }
    match (listeners, doors) {
        (Ok(listeners), Ok(doors)) if faults.is_empty() => return Ok((listeners, doors, door)),
        (listeners, doors) => {
            let listeners = listeners.err().into_iter().flatten();
            faults.extend(listeners.map(PlaceFault::Listener));
            faults.extend(doors.err().into_iter().flatten().map(PlaceFault::Admin));
        }
    }
    Err(faults)
}

fn records(loaded: &Loaded, metrics: &Arc<Metrics>, log: &Log) -> Result<Records, StartFault> {
    let records = Records::default();
    if let Some(spool) = &loaded.shell.cdr {
        let directory = PathBuf::from(&spool.directory);
        let begun = records.begin(spool, Arc::clone(metrics), log.clone());
        begun.map_err(|why| StartFault::Places(vec![PlaceFault::Records { directory, why }]))?;
    }
    Ok(records)
}

/// What is to outlive a restart: where it is kept, and what of it cannot be.
///
/// A disk that refuses is no reason to carry no calls (OPS-001): the node begins without what was kept, and
/// says so.
struct State<'a> {
    directory: Option<&'a Path>,
    log: &'a Log,
    without: Vec<String>,
}

impl State<'_> {
    /// Takes over what is kept and keeps it from now on; nothing without a directory, or with one that cannot
    /// be used.
    fn keeping<T>(
        &mut self,
        what: &str,
        start: impl FnOnce(&Path, Log) -> io::Result<T>,
    ) -> Option<T> {
        let directory = self.directory?;
        match start(directory, self.log.clone()) {
            Ok(kept) => Some(kept),
            Err(why) => {
                let told = format!(
                    "{what}: cannot be kept in {}: {why}; give the directory to the user of the daemon, or name \
                     another one with --state, and restart",
                    directory.display()
                );
                self.log.error("state", &told).send();
                self.without.push(told);
                None
            }
        }
    }

    /// Takes over what was spent before a restart, and keeps and shows what is from now on.
    fn spending(
        &mut self,
        together: &Together,
        metrics: &Metrics,
    ) -> Result<(Ledger, Option<SpendWriter>), StartFault> {
        // The shards' clocks begin within a moment from now.
        let (books, started) = (together.books(), Instant::now());
        let collector = SpendCollector::new(books.clone(), started);
        let signalling = SignallingCollector::new(together.tally());
        collector
            .and_then(|collector| metrics.add_collector(Box::new(collector)))
            .and(signalling)
            .and_then(|signalling| metrics.add_collector(Box::new(signalling)))
            .map_err(|fault| StartFault::System(fault.to_string()))?;
        let ledger = Ledger::new(books.clone(), started);
        let writer = self.keeping("what was spent", |directory, log| {
            SpendWriter::start(directory, books, started, log)
        });
        Ok((ledger, writer))
    }
}

/// Who changes what is written down where there is a directory for it, else told to the log alone.
fn audited(state: &mut State<'_>, loaded: &Loaded, log: &Log) -> Result<Audit, StartFault> {
    if state.directory.is_none() && loaded.shell.api_listen.is_some() {
        let text =
            "only this log tells who does what over the network: run with --state to keep it";
        log.warn("audit", text).send();
    }
    let kept = state.keeping("the audit log", |directory, log| {
        Audit::open(Some(directory), log)
    });
    match kept {
        Some(audit) => Ok(audit),
        None => Audit::open(None, log.clone()).map_err(|why| StartFault::System(why.to_string())),
    }
}

/// Every shard has a seed of its own from the operating system.
fn mint(shard: ShardId) -> Result<Mint, StartFault> {
    let mut seed = [0; 32];
    net::tls::random(&mut seed)
        .map_err(|()| StartFault::System("the system has no random numbers".to_owned()))?;
    Ok(Mint::new(shard, seed))
}
