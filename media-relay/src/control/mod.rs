//! The running relay: starts the workers, places sessions on them, hands commands over.

pub(crate) mod ports;
pub(crate) mod realm;
pub(crate) mod totals;

use crate::dtls::{Identities, show};
use crate::entropy::Entropy;
use crate::io::{
    self as backends, AddressReport, Backend, BackendReport, Batch, Mmsg, Started, Waker, Watch,
    Xdp,
};
use crate::session::local_endpoints;
use crate::sound::Recordings;
use crate::time::WallOffset;
use crate::transcode::class::{self, Class};
use crate::worker::begin::Beginning;
use crate::worker::cores;
use crate::worker::neighbours::{Neighbour, Neighbours, place};
use crate::worker::resting::Resting;
use crate::worker::stock::Stock;
use crate::worker::{Clock, Order, Work};
use media_api::{AllocateError, Command, EndpointId, Event, RealmId, SessionId};
use realm::{Realm, RealmPorts};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use totals::{Published, RealmTotals, RelayTotals};

/// Commands that may wait at one worker before nothing is allocated any more. Everything else is always
/// taken, and so is what a session asks for that waits for an answer already, or it would hear of them in
/// the wrong order: there are only a few commands per session.
const MAX_WAITING: usize = 10_000;

/// Pairs that rest with their sockets bound: one for so many descriptors, which are half of them. What needs
/// one for media and finds none takes it from those that rest.
const RESTING_SHARE: usize = 4;
/// Enough of them for two thousand calls a second, which free twice as many pairs, to rest two seconds.
const MOST_RESTING: usize = 8_192;
/// More descriptors than the relay has use for.
const MANY_DESCRIPTORS: u64 = 1 << 20;

/// Where events go. Called on worker threads and on those that give commands: it must hand over and
/// return, never wait.
pub type EventSink = Box<dyn Fn(Event) + Send + Sync>;

/// What a relay is made of.
#[derive(Debug)]
pub struct RelayConfig {
    /// Network sides. Not empty, names unique.
    pub realms: Vec<Realm>,
    /// Worker threads; at least one is started.
    pub workers: usize,
    /// Whether each of them stays on one core of those that the process may run on, from the last one down (MED-014).
    pub is_pinned: bool,
    /// How long a freed port pair rests (MED-011); 10 s unless a test needs less.
    pub quarantine: Duration,
    /// Random numbers: [`Entropy::from_system`] except in tests.
    pub entropy: Entropy,
}

impl RelayConfig {
    /// MED-011: late packets of the last call must not reach the next one.
    pub const QUARANTINE: Duration = Duration::from_secs(10);
}

/// Why the relay did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Two realms of the same name, or none at all.
    Realms,
    /// A realm without any address, or with a wildcard address (MED-012).
    Address(RealmId),
    /// A realm whose port range holds no pair.
    Ports(RealmId),
    /// A DSCP above 63.
    Dscp(RealmId),
    /// One whose packets go past the kernel, or are to: its interface is only set up at the start.
    Backend(RealmId),
    /// One whose ports were those of another realm of the same address, which stays: calls may have them still.
    Moved(RealmId),
    /// An address that this machine cannot bind.
    Bind {
        /// The realm.
        realm: RealmId,
        /// The address.
        address: IpAddr,
        /// What the operating system said.
        error: io::Error,
    },
    /// The socket backend or a thread could not be made.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Realms => write!(f, "media realms must exist and have unique names"),
            Self::Address(realm) => {
                write!(f, "media realm {} needs an exact local address", realm.0)
            }
            Self::Ports(realm) => write!(f, "media realm {} has no whole port pair", realm.0),
            Self::Dscp(realm) => write!(f, "media realm {} has a DSCP above 63", realm.0),
            Self::Backend(realm) => write!(
                f,
                "media realm {} goes past the kernel, or is to: from a restart on",
                realm.0
            ),
            Self::Moved(realm) => write!(
                f,
                "media realm {} has ports that were those of another realm of this address: from a restart on",
                realm.0
            ),
            Self::Bind {
                realm,
                address,
                error,
            } => {
                write!(f, "media realm {} cannot bind {address}: {error}", realm.0)
            }
            Self::System(error) => write!(f, "cannot start media workers: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A running media relay.
pub struct Relay {
    workers: Vec<WorkerHandle>,
    realms: Mutex<Arc<[RealmPorts]>>,
    /// How long a freed port pair rests.
    quarantine: Duration,
    sink: Arc<EventSink>,
    report: BackendReport,
    /// Interfaces whose packets go past the kernel. It comes behind the workers, and so ends after them.
    watch: Option<Watch>,
    /// Those who transcode; known once all workers run.
    recoding: Option<Class>,
    clock: Clock,
    /// For keys of endpoints on pairs of the stock.
    entropy: Mutex<Entropy>,
    identities: Arc<Identities>,
}

struct WorkerHandle {
    inbox: Sender<Order>,
    stock: Arc<Stock>,
    waiting: Arc<AtomicUsize>,
    waker: Waker,
    published: Arc<Published>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Checks the realms by binding each address once, then starts the workers.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub fn start(config: RelayConfig, sink: EventSink) -> Result<Self, StartError> {
        let RelayConfig {
            realms,
            workers,
            is_pinned,
            quarantine,
            mut entropy,
        } = config;
        let mut report = check(&realms)?;
        let configured = realms;
        let realms: Arc<[RealmPorts]> = configured
            .iter()
            .map(|realm| RealmPorts::new(realm.clone(), quarantine))
            .collect();
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let wall = WallOffset {
            unix_us: u64::try_from(unix.as_micros()).unwrap_or(0),
        };
        let clock = Clock::new(Instant::now());
        let workers = workers.max(1);
        let cores = match is_pinned {
            true => cores::allowed().map_err(StartError::System)?,
            false => Vec::new(),
        };
        let resting = (descriptors() / RESTING_SHARE).min(MOST_RESTING) / workers;
        let Started { reports, running } = backends::start(&configured, workers);
        report.addresses = reports;
        let (watch, parts) = running.unzip();
        let mut parts = parts.unwrap_or_default().into_iter();
        let mut relay = Self {
            workers: Vec::with_capacity(workers),
            realms: Mutex::new(Arc::clone(&realms)),
            quarantine,
            sink: Arc::new(sink),
            report,
            watch: None,
            recoding: None,
            clock,
            entropy: Mutex::new(entropy.fork()),
            identities: Arc::default(),
        };
        let neighbours = Arc::new(Neighbours::default());
        // As many as there are workers: they sleep as long as nobody needs them.
        let (doors, ready) = class::prepare(workers, workers);
        for (number, door) in doors.into_iter().enumerate() {
            let (inbox, orders) = mpsc::channel();
            let waiting = Arc::new(AtomicUsize::new(0));
            let published = Arc::new(Published::new(realms.len()));
            let stock = Arc::new(Stock::new(Arc::clone(&realms), workers));
            let beginning = Beginning {
                number,
                core: cores::of_worker(&cores, number),
                orders,
                waiting: Arc::clone(&waiting),
                realms: Arc::clone(&realms),
                entropy: entropy.fork(),
                sink: Arc::clone(&relay.sink),
                stock: Arc::clone(&stock),
                published: Arc::clone(&published),
                clock,
                wall,
                resting: Resting::with_room(resting),
                neighbours: Arc::clone(&neighbours),
                identities: Arc::clone(&relay.identities),
                door,
            };
            let begun = match parts.next() {
                Some(parts) => Xdp::new(parts).and_then(|begun| beginning.begin(begun)),
                None => Mmsg::new().and_then(|begun| beginning.begin(begun)),
            };
            let (thread, waker) = begun.map_err(StartError::System)?;
            let thread = Some(thread);
            relay.workers.push(WorkerHandle {
                inbox,
                stock,
                waiting,
                waker,
                published,
                thread,
            });
        }
        let known = relay.workers.iter().map(|worker| Neighbour {
            inbox: worker.inbox.clone(),
            waiting: Arc::clone(&worker.waiting),
            waker: worker.waker.clone(),
        });
        neighbours.introduce(known.collect());
        let wakers = relay.workers.iter().map(|worker| worker.waker.clone());
        let recoding = ready.begin(wakers.collect(), clock);
        relay.recoding = Some(recoding.map_err(StartError::System)?);
        // Only now: it waits for all workers when it is dropped, also for those that have not begun.
        relay.watch = watch;
        Ok(relay)
    }

    /// Hands a command to the worker that owns its session. Never blocks; may be called from any
    /// thread, on which the events that answer it may be told, too. Commands of one session sent by one
    /// thread are applied and answered in that order, and before any packet that arrives after this
    /// returned, unless an interface forwards its stream by itself: that goes on as it did until the
    /// worker comes to the command, at its next turn.
    pub fn command(&self, command: Command) {
        let session = session_of(&command);
        let is_new = matches!(command, Command::Allocate { .. });
        let answered = is_new
            || matches!(
                command,
                Command::Stats { .. } | Command::Release { endpoint: None, .. }
            );
        let endpoints = endpoints_of(&command);
        let worker = self.placement(session);
        // Ordering: a bound on a queue, exact enough when a few commands are in flight.
        let is_full = worker.waiting.load(Ordering::Relaxed) >= MAX_WAITING;
        if !(is_new && is_full && !worker.stock.owes(session)) {
            let (work, allocated) = self.work_of(worker, command);
            worker.waiting.fetch_add(1, Ordering::Relaxed);
            // Waking costs both threads more than most commands do.
            let is_urgent = is_awaited(&work) || (is_new && worker.stock.is_wanted());
            if worker.inbox.send(Order::Work(work)).is_ok() {
                // Only now: what follows from it must find the worker informed.
                if let Some(event) = allocated {
                    (self.sink)(event);
                }
                if is_urgent {
                    worker.waker.wake();
                }
                return;
            }
        }
        if answered {
            (self.sink)(Event::Refused {
                session,
                endpoints,
                why: AllocateError::Unavailable,
            });
        }
    }

    /// What the worker has to do for a command. Ports that are asked for come from its stock if it has
    /// them, with what is to be told of them; otherwise the worker binds and tells.
    fn work_of(&self, worker: &WorkerHandle, command: Command) -> (Work, Option<Event>) {
        let Command::Allocate { session, endpoints } = command else {
            return (Work::Command(command), None);
        };
        if let Some(leases) = worker.stock.take(&endpoints) {
            let sockets = leases.iter().map(|lease| lease.sockets);
            let local = {
                // Numbers that nobody saw are as good as others.
                let entropy = self.entropy.lock();
                let mut entropy = entropy.unwrap_or_else(PoisonError::into_inner);
                local_endpoints(&endpoints, sockets, &mut entropy)
            };
            let identities = self.identities.of(&endpoints, self.clock.now());
            if let (Ok(mut local), Ok(identities)) = (local, identities) {
                show(&mut local, &endpoints, &identities);
                let work = Work::Adopt {
                    session,
                    endpoints,
                    leases,
                    identities,
                };
                let event = Event::Allocated {
                    session,
                    endpoints: local,
                };
                return (work, Some(event));
            }
            // The worker finds the fault again, and tells it.
            let left = leases.into_iter();
            let left: Vec<_> = left
                .filter_map(|lease| worker.stock.put(lease).err())
                .collect();
            if !left.is_empty() {
                // One that is gone has closed all.
                let _ = worker.inbox.send(Order::Unwanted(left));
            }
        }
        worker.stock.left_to_worker(session);
        (
            Work::Command(Command::Allocate { session, endpoints }),
            None,
        )
    }

    /// Hands over what can be played from now on, in place of what could before. Who hears a recording
    /// already goes on hearing it. Orders to play that one thread gives afterwards mean these.
    pub fn set_recordings(&self, recordings: Recordings) {
        let recordings = Arc::new(recordings);
        for worker in &self.workers {
            // One that is gone plays nothing.
            let _ = worker
                .inbox
                .send(Order::Recordings(Arc::clone(&recordings)));
        }
    }

    /// Tells every report of RTCP from now on ([`Event::Reported`]), or none any more, as at the start.
    pub fn set_reports(&self, wanted: bool) {
        for worker in &self.workers {
            // One that is gone hears no reports.
            let _ = worker.inbox.send(Order::Reports(wanted));
        }
    }

    /// Whether these realms could be served from now on, in place of those that are.
    ///
    /// # Errors
    /// As [`Self::start`], [`StartError::Backend`] if one is another whose packets go past the kernel, or are to, and
    /// [`StartError::Moved`] if ports would move from one realm to another.
    pub fn try_realms(&self, wanted: &[Realm]) -> Result<(), StartError> {
        check(wanted)?;
        let serves = self.realms();
        let is_past = |realm: &Realm| realm.backend != Backend::Sockets;
        let is_served = |realm: &Realm| serves.iter().any(|own| own.realm == *realm);
        let arrives = wanted
            .iter()
            .find(|realm| is_past(realm) && !is_served(realm));
        let leaves = || {
            let mut all = serves.iter().map(|own| &own.realm);
            all.find(|realm| is_past(realm) && realm.has_address() && !wanted.contains(realm))
        };
        match arrives.or_else(leaves) {
            Some(realm) => Err(StartError::Backend(realm.id)),
            None => realm::in_the_way(&serves, wanted)
                .map_or(Ok(()), |realm| Err(StartError::Moved(realm))),
        }
    }

    /// Serves these realms from now on (OPS-121): whoever asks for ports after this has returned gets those of these, and
    /// sessions go on with the ports that they have. What [`Self::try_realms`] would refuse is served as far as it goes.
    pub fn set_realms(&self, wanted: Vec<Realm>) {
        let mut realms = self.realms.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        *realms = realm::following(&realms, wanted, self.quarantine, now);
        for worker in &self.workers {
            let ahead = worker.stock.take_realms(Arc::clone(&realms));
            let order = Order::Realms(Arc::clone(&realms), ahead);
            if worker.inbox.send(order).is_ok() {
                worker.waker.wake();
            }
        }
    }

    fn realms(&self) -> Arc<[RealmPorts]> {
        let realms = self.realms.lock();
        Arc::clone(&realms.unwrap_or_else(PoisonError::into_inner))
    }

    /// Live totals; cheap enough for every scrape.
    pub fn totals(&self) -> RelayTotals {
        let mut totals = RelayTotals::default();
        totals.realms.extend(self.realms().iter().map(|ports| {
            let (ports_used, ports_total) = ports.usage();
            RealmTotals {
                realm: ports.realm.id,
                ports_used,
                ports_total,
                ..RealmTotals::default()
            }
        }));
        for worker in &self.workers {
            worker.published.add_to(&mut totals);
        }
        totals.transcodes = self.recoding.as_ref().map(Class::pipes).unwrap_or_default();
        totals.panics += self.recoding.as_ref().map_or(0, Class::panics);
        totals
    }

    /// For how long the worker or transcoding thread that is worst off has not come round. Each does so every second at
    /// least, with or without work; one that is stuck, or whose thread is gone, does not.
    pub fn longest_silence(&self) -> Duration {
        let now = self.clock.now();
        let silence = |worker: &WorkerHandle| now.since(worker.published.last_seen());
        let workers = self.workers.iter().map(silence).max().unwrap_or_default();
        let recoding = self.recoding.as_ref();
        workers.max(recoding.map_or(Duration::ZERO, |class| class.longest_silence(now)))
    }

    /// What runs now on each address and why nothing faster, and what the kernel granted the sockets.
    pub fn backend(&self) -> BackendReport {
        let mut report = self.report.clone();
        if let Some(watch) = &self.watch {
            report.addresses = watch.reports();
        }
        // What goes past the kernel is as it was at the start.
        let realms = self.realms();
        let is_past = |id: RealmId| {
            let own = realms.iter().find(|own| own.realm.id == id);
            own.is_some_and(|own| own.realm.backend != Backend::Sockets)
        };
        report.addresses.retain(|one| is_past(one.realm));
        let sockets = realms.iter().filter(|own| !own.is_gone());
        let sockets = sockets.filter(|own| !is_past(own.realm.id));
        let sockets = sockets.flat_map(|own| {
            let all = [own.realm.v4, own.realm.v6].into_iter().flatten();
            all.map(|local| AddressReport::of_sockets(own.realm.id, local.bind))
        });
        report.addresses.extend(sockets);
        report
            .addresses
            .sort_by_key(|address| (address.realm.0, address.address));
        report
    }

    /// Ends every session, with BYE and [`Event::Released`], then the workers. Returns when all
    /// events have been delivered.
    pub fn shutdown(mut self) {
        self.stop();
    }

    /// Takes the program away from every interface, as an administrator can.
    #[cfg(test)]
    pub(crate) fn detach(&self) {
        self.watch.iter().for_each(Watch::detach);
    }

    fn placement(&self, session: SessionId) -> &WorkerHandle {
        &self.workers[place(session, self.workers.len())]
    }

    fn stop(&mut self) {
        for worker in &self.workers {
            let _ = worker.inbox.send(Order::Stop);
            worker.waker.wake();
        }
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // A worker that panicked outside a session has nothing left to say.
                let _ = thread.join();
            }
        }
        self.recoding = None;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("workers", &self.workers.len())
            .field("backend", &self.report)
            .finish_non_exhaustive()
    }
}

pub(crate) fn session_of(command: &Command) -> SessionId {
    match command {
        Command::Allocate { session, .. }
        | Command::Answer { session, .. }
        | Command::Rollback { session, .. }
        | Command::Expect { session, .. }
        | Command::Update { session, .. }
        | Command::HandOver { session, .. }
        | Command::Follow { session, .. }
        | Command::Tap { session, .. }
        | Command::Take { session, .. }
        | Command::Block { session, .. }
        | Command::Dial { session, .. }
        | Command::Play { session, .. }
        | Command::Release { session, .. }
        | Command::Stats { session } => *session,
    }
}

/// The endpoints that a command asks for.
pub(crate) fn endpoints_of(command: &Command) -> Vec<EndpointId> {
    let Command::Allocate { endpoints, .. } = command else {
        return Vec::new();
    };
    endpoints.iter().map(|spec| spec.endpoint).collect()
}

/// Whether somebody waits for what a command brings about. The others matter to the next packet at the
/// earliest: it wakes the worker itself, which obeys before it judges it, and looks at its inbox several
/// times a second anyway.
fn is_awaited(work: &Work) -> bool {
    let Work::Command(command) = work else {
        return false;
    };
    match command {
        Command::Allocate { .. } | Command::Dial { .. } | Command::Stats { .. } => true,
        // The first packet of a sound is nobody's but ours.
        Command::Play { playing, .. } => playing.is_some(),
        // What is drained is over later anyway.
        Command::Release { drain_ms, .. } => *drain_ms == 0,
        Command::Answer { .. }
        | Command::Rollback { .. }
        | Command::Expect { .. }
        | Command::Update { .. }
        | Command::HandOver { .. }
        | Command::Follow { .. }
        | Command::Tap { .. }
        | Command::Take { .. }
        | Command::Block { .. } => false,
    }
}

/// Descriptors that the process may have.
fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limit.current.unwrap_or(MANY_DESCRIPTORS);
    usize::try_from(most.min(MANY_DESCRIPTORS)).unwrap_or(0)
}

/// Refuses what could only fail later, and finds out what the kernel grants.
fn check(realms: &[Realm]) -> Result<BackendReport, StartError> {
    let unique = |at: usize| realms[..at].iter().all(|other| other.id != realms[at].id);
    if realms.is_empty() || !(0..realms.len()).all(unique) {
        return Err(StartError::Realms);
    }
    let (mut probe, _waker) = Mmsg::new().map_err(StartError::System)?;
    for realm in realms {
        let fits = |address: &realm::LocalAddress, is_v4: bool| {
            address.bind.is_ipv4() == is_v4 && !address.bind.is_unspecified()
        };
        let exact = realm.v4.is_none_or(|address| fits(&address, true))
            && realm.v6.is_none_or(|address| fits(&address, false));
        if !exact || (realm.v4.is_none() && realm.v6.is_none()) {
            return Err(StartError::Address(realm.id));
        }
        if ports::PortPool::new(realm.first_port, realm.last_port, Duration::ZERO).total() == 0 {
            return Err(StartError::Ports(realm.id));
        }
        if realm.dscp > 63 {
            return Err(StartError::Dscp(realm.id));
        }
        for local in [realm.v4, realm.v6].into_iter().flatten() {
            let address = SocketAddr::new(local.bind, 0);
            let socket = probe
                .open(address, realm.dscp)
                .map_err(|error| StartError::Bind {
                    realm: realm.id,
                    address: local.bind,
                    error,
                })?;
            probe.close(socket);
        }
    }
    Ok(probe.report())
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::{EndpointSpec, Family, ProtectionWanted, StreamKind, StreamSpec};
    use realm::LocalAddress;
    use std::sync::mpsc::Receiver;

    /// A relay whose worker does nothing and has bound nothing ahead, and what is left to it.
    fn idle() -> (Relay, Receiver<Order>, Arc<Mutex<Vec<Event>>>) {
        let realm = Realm {
            id: RealmId(0),
            v4: Some(LocalAddress::direct([127, 0, 0, 1].into())),
            v6: None,
            first_port: 10_000,
            last_port: 10_999,
            dscp: 46,
            backend: Backend::Sockets,
        };
        let realms: Arc<[RealmPorts]> = Arc::new([RealmPorts::new(realm, Duration::ZERO)]);
        let (batch, waker) = Mmsg::new().unwrap();
        let (inbox, orders) = mpsc::channel();
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&events);
        let sink: EventSink = Box::new(move |event| heard.lock().unwrap().push(event));
        let worker = WorkerHandle {
            inbox,
            stock: Arc::new(Stock::new(Arc::clone(&realms), 1)),
            waiting: Arc::new(AtomicUsize::new(0)),
            waker,
            published: Arc::new(Published::new(1)),
            thread: None,
        };
        let relay = Relay {
            workers: vec![worker],
            realms: Mutex::new(realms),
            quarantine: Duration::ZERO,
            sink: Arc::new(sink),
            report: batch.report(),
            watch: None,
            recoding: None,
            clock: Clock::new(Instant::now()),
            entropy: Mutex::new(Entropy::from_seed([1; 32])),
            identities: Arc::default(),
        };
        (relay, orders, events)
    }

    fn allocate(session: u64, endpoint: u8) -> Command {
        let spec = EndpointSpec {
            takes_last: true,
            endpoint: EndpointId(endpoint),
            realm: RealmId(0),
            family: Family::V4,
            streams: vec![StreamSpec {
                kind: StreamKind::Audio,
                protection: ProtectionWanted::None,
                ice: None,
            }],
        };
        Command::Allocate {
            session: SessionId(session),
            endpoints: vec![spec],
        }
    }

    #[test]
    fn a_full_worker_refuses_at_once_but_no_session_before_what_it_waits_for() {
        let (relay, orders, events) = idle();
        relay.command(allocate(1, 0));
        let worker = &relay.workers[0];
        worker.waiting.store(MAX_WAITING, Ordering::Relaxed);
        relay.command(allocate(1, 1));
        assert!(events.lock().unwrap().is_empty(), "its answer has to wait");
        relay.command(allocate(2, 0));
        let refused = Event::Refused {
            session: SessionId(2),
            endpoints: vec![EndpointId(0)],
            why: AllocateError::Unavailable,
        };
        assert_eq!(*events.lock().unwrap(), [refused]);
        assert_eq!(orders.try_iter().count(), 2);
        // Once both are answered it is refused as any other.
        worker.stock.answered(SessionId(1));
        worker.stock.answered(SessionId(1));
        relay.command(allocate(1, 2));
        assert_eq!(events.lock().unwrap().len(), 2);
        assert_eq!(orders.try_iter().count(), 0);
    }
}
