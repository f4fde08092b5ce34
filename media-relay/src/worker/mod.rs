//! The loop of one worker thread: wait, receive, obey, send, open and close, tick, publish.

pub(crate) mod begin;
pub(crate) mod cores;
mod express;
pub(crate) mod neighbours;
mod pair;
pub(crate) mod priority;
pub(crate) mod resting;
mod sessions;
pub(crate) mod stock;

use crate::control::realm::RealmPorts;
use crate::control::session_of;
use crate::control::totals::Published;
use crate::dtls::Identity;
use crate::io::Batch;
use crate::session::{Handed, SocketId};
use crate::sound::Recordings;
use crate::time::Timestamp;
use crate::transcode::Recoded;
use crate::transcode::class::Door;
use begin::Beginning;
use media_api::{Command, EndpointSpec, SessionId};
use sessions::{Adopted, Sessions, Shared};
use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};
use stock::{Lease, Stock};

/// Longest time between two publications of the totals.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(250);
/// Orders that open or close sockets carried out before packets get their turn again: each takes
/// several system calls, and a burst of new calls must not delay the media of the others (MED-002).
const SOCKET_ORDERS_AT_ONCE: usize = 16;

/// Port pairs bound ahead before packets get their turn again.
const RESTOCK_AT_ONCE: usize = 8;

/// Sockets for whose packets all is fetched together: what that is has room in the processor's second cache.
const FETCHED_AT_ONCE: usize = 8;

/// What reaches a worker.
#[derive(Debug)]
pub(crate) enum Order {
    Work(Work),
    /// A packet of a party that has changed to a session of this worker.
    Handed(Box<Handed>),
    /// What can be played from now on.
    Recordings(Arc<Recordings>),
    /// Whether reports of RTCP are told from now on.
    Reports(bool),
    /// What is served from now on, and pairs that were bound ahead for what was before.
    Realms(Arc<[RealmPorts]>, Vec<Lease>),
    /// Pairs of the stock that nobody wants.
    Unwanted(Vec<Lease>),
    Stop,
}

/// What is done for one session.
#[derive(Debug)]
pub(crate) enum Work {
    Command(Command),
    /// Add endpoints on pairs of the stock.
    Adopt {
        session: SessionId,
        endpoints: Vec<EndpointSpec>,
        /// One per stream, in order.
        leases: Vec<Lease>,
        /// Of each endpoint, what its description says of it.
        identities: Vec<Option<Identity>>,
    },
}

impl Work {
    fn session(&self) -> SessionId {
        match self {
            Self::Command(command) => session_of(command),
            Self::Adopt { session, .. } => *session,
        }
    }
}

/// Reads the monotonic clock as the sessions count it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new(start: Instant) -> Self {
        Self(start)
    }

    pub(crate) fn start(self) -> Instant {
        self.0
    }

    pub(crate) fn now(self) -> Timestamp {
        Timestamp(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// One worker thread and everything it owns.
pub(crate) struct Worker<B> {
    batch: B,
    orders: Receiver<Order>,
    waiting: Arc<AtomicUsize>,
    /// Orders that open or close sockets, and what came behind them for the same session.
    postponed: VecDeque<Work>,
    /// How many orders of a session are postponed.
    postponed_of: HashMap<SessionId, usize>,
    sessions: Sessions,
    stock: Arc<Stock>,
    published: Arc<Published>,
    clock: Clock,
    /// What comes back from those who transcode.
    recoded: Receiver<Recoded>,
    /// Packets until it is measured again how long they take.
    until_measured: usize,
}

/// Of so many packets, those of one turn are measured.
const MEASURED_OF: usize = 1_000;

impl<B: Batch> Worker<B> {
    pub(crate) fn new(mut batch: B, beginning: Beginning) -> Self {
        let Beginning {
            number: _,
            core: _,
            orders,
            waiting,
            realms,
            entropy,
            sink,
            stock,
            published,
            clock,
            wall,
            resting,
            neighbours,
            identities,
            door: Door { recoders, recoded },
        } = beginning;
        batch.keep_time(clock.start());
        let shared = Shared {
            realms,
            sink,
            neighbours,
            identities,
            recoders,
        };
        let sessions = Sessions::new(shared, entropy, wall, resting);
        Self {
            batch,
            orders,
            waiting,
            postponed: VecDeque::new(),
            postponed_of: HashMap::new(),
            sessions,
            stock,
            published,
            clock,
            recoded,
            until_measured: 0,
        }
    }

    /// Binds so many pairs ahead at most.
    pub(crate) fn restock(&mut self, most: usize) {
        let now = self.clock.now();
        self.sessions
            .restock(&self.stock, most, now, &mut self.batch);
    }

    pub(crate) fn run(mut self) {
        let mut ready: Vec<SocketId> = Vec::new();
        let mut publish_at = self.clock.now();
        loop {
            let now = self.clock.now();
            self.published.seen(now);
            let until_tick = self.sessions.next_deadline().map(|due| due.since(now));
            let timeout = until_tick.unwrap_or(PUBLISH_INTERVAL).min(PUBLISH_INTERVAL);
            ready.clear();
            if self.batch.wait(timeout, &mut ready).is_err() {
                // Only a broken epoll descriptor ends here; do not spin on it.
                std::thread::sleep(timeout);
            }
            if self.turn(&ready).is_break() {
                return;
            }
            let now = self.clock.now();
            if now >= publish_at {
                publish_at = now + PUBLISH_INTERVAL;
                self.sessions.publish(&self.published, &self.batch, false);
                self.sessions.trim(false, now, &mut self.batch);
                // What could not be bound before may be free by now.
                self.restock(RESTOCK_AT_ONCE);
            }
        }
    }

    /// Does what waits: commands, packets, sockets to open and close, deadlines.
    fn turn(&mut self, ready: &[SocketId]) -> ControlFlow<()> {
        self.obey()?;
        for some in ready.chunks(FETCHED_AT_ONCE) {
            self.sessions.fetch(some);
            for socket in some {
                let taken = self.is_measured().then(|| self.clock.now());
                let filled = self.batch.receive(*socket);
                // Whoever answers a call tells us before it tells the caller. So what a packet depends
                // on was in our inbox before the packet was in its socket: obeying between taking
                // packets and judging them is what keeps the two in order, however late this thread
                // was woken and wherever it was interrupted. What an interface forwards by itself
                // never gets here: there an order holds once it has been obeyed, not before.
                self.obey()?;
                let now = self.clock.now();
                self.sessions.deliver(*socket, filled, now, &mut self.batch);
                self.until_measured = self.until_measured.saturating_sub(filled);
                if let Some(taken) = taken.filter(|_| filled > 0) {
                    let us = self.clock.now().since_us(taken);
                    self.published.delayed(us);
                    self.until_measured = MEASURED_OF;
                }
            }
        }
        // Here and nowhere above: a socket that is opened may get the number of one just closed,
        // whose packets could then be taken for its own.
        self.open_and_close(SOCKET_ORDERS_AT_ONCE);
        if self.stock.is_wanted() {
            self.restock(RESTOCK_AT_ONCE);
        }
        if self.sessions.has_outgrown() {
            let now = self.clock.now();
            self.sessions.trim(false, now, &mut self.batch);
        }
        let has_more = !self.postponed.is_empty() || self.sessions.has_outgrown();
        if self.stock.is_wanted() || has_more {
            // The next turn must not sleep on that.
            self.batch.wake();
        }
        let now = self.clock.now();
        self.sessions.tick(now, &mut self.batch);
        // Behind what was due: a session that has something to send looks at its deadline anew.
        while let Ok(mut recoded) = self.recoded.try_recv() {
            self.sessions.recoded(&mut recoded, now, &mut self.batch);
        }
        ControlFlow::Continue(())
    }

    /// Whether it is measured how long the next packets take.
    fn is_measured(&self) -> bool {
        self.until_measured == 0
    }

    /// Applies every command that waits, except those that open or close sockets: no packet can
    /// depend on ports that nobody has been told of, or on their return.
    fn obey(&mut self) -> ControlFlow<()> {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Work(work)) => {
                    let session = work.session();
                    let has_to_wait = match work {
                        Work::Command(Command::Allocate { .. } | Command::Release { .. }) => true,
                        // What is done for one session keeps its order.
                        Work::Command(
                            Command::Answer { .. }
                            | Command::Rollback { .. }
                            | Command::Expect { .. }
                            | Command::Update { .. }
                            | Command::HandOver { .. }
                            | Command::Follow { .. }
                            | Command::Tap { .. }
                            | Command::Take { .. }
                            | Command::Block { .. }
                            | Command::Dial { .. }
                            | Command::Play { .. }
                            | Command::Stats { .. },
                        )
                        | Work::Adopt { .. } => self.postponed_of.contains_key(&session),
                    };
                    if has_to_wait {
                        *self.postponed_of.entry(session).or_default() += 1;
                        self.postponed.push_back(work);
                    } else {
                        self.apply(work);
                    }
                }
                Ok(Order::Handed(mut handed)) => {
                    // Ordering: see `Neighbours::hand`.
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    let now = self.clock.now();
                    self.sessions.handed(&mut handed, now, &mut self.batch);
                }
                Ok(Order::Recordings(recordings)) => self.sessions.take_recordings(recordings),
                Ok(Order::Reports(wanted)) => self.sessions.want_reports(wanted),
                Ok(Order::Realms(realms, ahead)) => {
                    self.sessions.take_realms(realms, ahead, self.clock.now());
                }
                Ok(Order::Unwanted(leases)) => {
                    self.sessions.want_no_more(leases, self.clock.now());
                }
                Err(TryRecvError::Empty) => return ControlFlow::Continue(()),
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => {
                    self.open_and_close(usize::MAX);
                    let now = self.clock.now();
                    self.sessions.release_all(now, &mut self.batch);
                    self.sessions.publish(&self.published, &self.batch, true);
                    return ControlFlow::Break(());
                }
            }
        }
    }

    /// Applies up to `most` postponed commands.
    fn open_and_close(&mut self, most: usize) {
        for _ in 0..most {
            let Some(work) = self.postponed.pop_front() else {
                return;
            };
            let session = work.session();
            if let Some(count) = self.postponed_of.get_mut(&session) {
                *count -= 1;
                if *count == 0 {
                    self.postponed_of.remove(&session);
                }
            }
            self.apply(work);
        }
    }

    fn apply(&mut self, work: Work) {
        // Ordering: see `Relay::command`.
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let now = self.clock.now();
        match work {
            Work::Command(command) => {
                let asked = match &command {
                    Command::Allocate { session, .. } => Some(*session),
                    _ => None,
                };
                self.sessions.command(command, now, &mut self.batch);
                if let Some(session) = asked {
                    self.stock.answered(session);
                }
            }
            Work::Adopt {
                session,
                endpoints,
                leases,
                identities,
            } => {
                let adopted = Adopted {
                    specs: &endpoints,
                    leases,
                    identities,
                };
                self.sessions.adopt(session, adopted, now, &mut self.batch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::EventSink;
    use crate::control::realm::{LocalAddress, Realm};
    use crate::control::totals::Published;
    use crate::entropy::Entropy;
    use crate::io::{Backend, Received, SLOT_BYTES};
    use crate::time::WallOffset;
    use crate::worker::resting::Resting;
    use media_api::{
        AllocateError, Beside, BridgePlan, Content, Direction, DropReason, EndpointId,
        EndpointSpec, Event, Family, ForkId, Format, FormatId, FormatKind, Negotiated,
        NegotiatedStream, PayloadBinding, Playing, Protection, ProtectionWanted, RealmId, Sound,
        SourcePolicy, Stage, StreamKind, StreamSpec, Tone, TonePhase,
    };
    use std::io;
    use std::net::SocketAddr;
    use std::ops::Range;
    use std::sync::Mutex;
    use std::sync::mpsc::{self, Sender};

    const CALL: SessionId = SessionId(7);

    /// Sockets on which a packet arrives after the worker has begun its turn, and commands that were
    /// given just before that packet.
    struct Arriving {
        orders: Sender<Order>,
        before_packet: Vec<Command>,
        packet: Vec<u8>,
        slot: Vec<u8>,
        open: Vec<SocketId>,
        opened: u32,
        vacant: Vec<u32>,
        queued: usize,
        sent: usize,
        last: Vec<u8>,
        refuses: bool,
    }

    impl Batch for Arriving {
        fn open(&mut self, _: SocketAddr, _: u8) -> io::Result<SocketId> {
            let number = self.vacant.pop().unwrap_or_else(|| {
                self.opened += 1;
                self.opened
            });
            self.open.push(SocketId(number));
            Ok(SocketId(number))
        }

        fn close(&mut self, socket: SocketId) {
            self.open.retain(|open| *open != socket);
            self.vacant.push(socket.0);
        }

        fn wait(&mut self, _: Duration, _: &mut Vec<SocketId>) -> io::Result<()> {
            Ok(())
        }

        fn receive(&mut self, _: SocketId) -> usize {
            for command in self.before_packet.drain(..) {
                self.orders
                    .send(Order::Work(Work::Command(command)))
                    .unwrap();
            }
            self.slot = self.packet.clone();
            self.slot.resize(SLOT_BYTES, 0);
            1
        }

        fn slot(&mut self, _: usize) -> Option<Received<'_>> {
            Some(Received {
                from: Some(peer(0)),
                slot: &mut self.slot,
                length: self.packet.len(),
            })
        }

        fn queue(&mut self, _: usize, _: Range<usize>, _: SocketId, _: SocketAddr) {
            self.queued += 1;
        }

        fn flush(&mut self, _: &mut Vec<usize>) {}

        fn send(&mut self, _: SocketId, _: SocketAddr, packet: &[u8]) -> bool {
            self.last = packet.to_vec();
            self.sent += usize::from(!self.refuses);
            !self.refuses
        }

        fn wake(&self) {}
    }

    fn peer(endpoint: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, endpoint], 4000))
    }

    fn worker() -> (Worker<Arriving>, Arc<Mutex<Vec<Event>>>) {
        let (orders, received) = mpsc::channel();
        let realm = Realm {
            id: RealmId(0),
            v4: Some(LocalAddress::direct([127, 0, 0, 1].into())),
            v6: None,
            first_port: 10_000,
            last_port: 10_999,
            dscp: 46,
            backend: Backend::Sockets,
        };
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&events);
        let sink: EventSink = Box::new(move |event| heard.lock().unwrap().push(event));
        let arriving = Arriving {
            orders,
            before_packet: Vec::new(),
            packet: [&[0x80, 8, 0, 1, 0, 0, 0, 160, 0, 0, 0, 9][..], b"voice"].concat(),
            slot: Vec::new(),
            open: Vec::new(),
            opened: 0,
            vacant: Vec::new(),
            queued: 0,
            sent: 0,
            last: Vec::new(),
            refuses: false,
        };
        let realms: Arc<[RealmPorts]> = Arc::new([RealmPorts::new(realm, Duration::ZERO)]);
        let beginning = Beginning {
            number: 0,
            core: None,
            orders: received,
            waiting: Arc::new(AtomicUsize::new(usize::MAX / 2)),
            realms: Arc::clone(&realms),
            entropy: Entropy::from_seed([1; 32]),
            sink: Arc::new(sink),
            stock: Arc::new(Stock::new(realms, 1)),
            published: Arc::new(Published::new(1)),
            clock: Clock::new(Instant::now()),
            wall: WallOffset::default(),
            resting: Resting::default(),
            neighbours: Arc::default(),
            identities: Arc::default(),
            door: crate::transcode::class::prepare(1, 0).0.remove(0),
        };
        let worker = Worker::new(arriving, beginning);
        (worker, events)
    }

    fn allocate(session: SessionId) -> Command {
        let spec = |endpoint| EndpointSpec {
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
            session,
            endpoints: vec![spec(0), spec(1)],
        }
    }

    fn agreed(session: SessionId, endpoint: u8) -> Command {
        let stream = NegotiatedStream {
            content: Content::Rtp,
            remote_rtp: peer(endpoint),
            remote_rtcp: peer(endpoint),
            rtcp_mux: true,
            direction: Direction::SendReceive,
            protection: Protection::None,
            payloads: vec![PayloadBinding {
                receive: 8,
                send: 8,
                id: FormatId(0),
                format: Format {
                    name: "PCMA".into(),
                    clock_hz: 8000,
                    kind: FormatKind::Audio,
                },
            }],
            source: SourcePolicy::Signalled,
            ice: None,
            ptime_ms: 20,
            reports: None,
            voip_metrics: false,
        };
        Command::Answer {
            session,
            endpoint: EndpointId(endpoint),
            fork: ForkId(0),
            negotiated: Negotiated {
                streams: vec![Some(stream)],
            },
            stage: Stage::Final,
        }
    }

    fn join(session: SessionId) -> Command {
        Command::Update {
            session,
            plan: BridgePlan {
                joined: Some((EndpointId(0), EndpointId(1))),
                silence_ms: 0,
            },
        }
    }

    fn release(session: SessionId) -> Command {
        Command::Release {
            session,
            endpoint: None,
            drain_ms: 0,
        }
    }

    fn order(worker: &Worker<Arriving>, command: Command) {
        worker
            .batch
            .orders
            .send(Order::Work(Work::Command(command)))
            .unwrap();
    }

    #[test]
    fn commands_given_before_a_packet_was_sent_are_obeyed_before_it_is_judged() {
        let (mut worker, _) = worker();
        order(&worker, allocate(CALL));
        assert!(worker.turn(&[]).is_continue());
        let socket = worker.batch.open[0];
        // However many there are: none of them may be left for later.
        let idle = Command::Rollback {
            session: CALL,
            endpoint: EndpointId(5),
        };
        let mut before = vec![idle; 1000];
        before.extend([agreed(CALL, 0), agreed(CALL, 1), join(CALL)]);
        worker.batch.before_packet = before;
        assert!(worker.turn(&[socket]).is_continue());
        assert_eq!(worker.batch.queued, 1);
    }

    fn check() -> Vec<u8> {
        use rtc_stun::attributes::{ATTR_USERNAME, AttrType};
        use rtc_stun::fingerprint::FINGERPRINT;
        use rtc_stun::integrity::MessageIntegrity;
        use rtc_stun::message::{BINDING_REQUEST, Message, Setter};
        let mut message = Message::new();
        message.set_type(BINDING_REQUEST);
        message.write_header();
        message.add(ATTR_USERNAME, b"8hhY:theirs");
        message.add(AttrType(0x0024), &1u32.to_be_bytes());
        message.add(AttrType(0x802a), &[9; 8]);
        let provider = rtc_crypto::default_provider().unwrap();
        let password = "asd88fgpdd777uzjYhagZg".to_owned();
        MessageIntegrity::new_short_term_integrity_with_provider(password, provider.crypto())
            .add_to(&mut message)
            .unwrap();
        FINGERPRINT.add_to(&mut message).unwrap();
        message.raw
    }

    /// MED-158: by turns, as a clock of a busy machine proves nothing. Before an answer, in a call and on hold.
    #[test]
    fn checks_are_answered_in_the_turn_in_which_they_come() {
        let (mut worker, _) = worker();
        let calls = 40;
        for number in 0..calls {
            let Command::Allocate {
                session,
                mut endpoints,
            } = allocate(SessionId(number))
            else {
                unreachable!("made as one")
            };
            let own =
                media_api::IceCredentials::new("8hhY".into(), "asd88fgpdd777uzjYhagZg".into());
            endpoints.truncate(1);
            endpoints[0].streams[0].ice = own;
            order(&worker, Command::Allocate { session, endpoints });
        }
        while worker.batch.open.len() < 2 * calls as usize {
            assert!(worker.turn(&[]).is_continue());
        }
        worker.batch.packet = check();
        let ports: Vec<SocketId> = worker.batch.open.iter().copied().step_by(2).collect();
        let held = |session| {
            let Command::Answer {
                endpoint,
                fork,
                mut negotiated,
                stage,
                ..
            } = agreed(session, 0)
            else {
                unreachable!("made as one")
            };
            if let Some(Some(stream)) = negotiated.streams.first_mut() {
                stream.direction = Direction::Inactive;
            }
            Command::Answer {
                session,
                endpoint,
                fork,
                negotiated,
                stage,
            }
        };
        for round in 0..3 {
            for number in (0..calls).filter(|_| round > 0) {
                let session = SessionId(number);
                order(
                    &worker,
                    if round == 1 {
                        agreed(session, 0)
                    } else {
                        held(session)
                    },
                );
            }
            worker.batch.sent = 0;
            assert!(worker.turn(&ports).is_continue());
            assert_eq!(worker.batch.sent, calls as usize, "round {round}");
            assert_eq!(worker.batch.last[..2], [1, 1], "a success");
        }
    }

    #[test]
    fn a_packet_to_a_pair_of_the_stock_is_judged_by_what_was_said_before_it() {
        let (mut worker, events) = worker();
        worker.restock(usize::MAX);
        assert_eq!(worker.batch.open.len(), 2 * (500 / 32));
        let Command::Allocate { endpoints, .. } = allocate(CALL) else {
            unreachable!("made as one")
        };
        let leases = worker.stock.take(&endpoints).unwrap();
        let socket = leases[0].sockets.rtp;
        assert!(worker.turn(&[socket]).is_continue());
        assert_eq!(worker.batch.queued, 0, "it is nobody's yet");
        let adopt = Work::Adopt {
            session: CALL,
            endpoints: endpoints.clone(),
            leases,
            identities: vec![None, None],
        };
        worker.batch.orders.send(Order::Work(adopt)).unwrap();
        worker.batch.before_packet = vec![agreed(CALL, 0), agreed(CALL, 1), join(CALL)];
        assert!(worker.turn(&[socket]).is_continue());
        assert_eq!(worker.batch.queued, 1);
        // What was taken is bound again by and by, and what a session cannot have is returned.
        let open = worker.batch.open.len();
        let leases = worker.stock.take(&endpoints).unwrap();
        let adopt = Work::Adopt {
            session: CALL,
            endpoints,
            leases,
            identities: vec![None, None],
        };
        worker.batch.orders.send(Order::Work(adopt)).unwrap();
        assert!(worker.turn(&[]).is_continue());
        assert_eq!(worker.batch.open.len(), open - 4);
        let last = events.lock().unwrap().pop();
        let refused = Event::Refused {
            session: CALL,
            endpoints: vec![EndpointId(0), EndpointId(1)],
            why: AllocateError::Conflict,
        };
        assert_eq!(last, Some(refused));
        worker.restock(usize::MAX);
        assert_eq!(worker.batch.open.len(), 4 + 2 * (500 / 32));
    }

    #[test]
    fn a_packet_of_a_closed_socket_never_reaches_the_session_that_gets_its_number() {
        let (mut worker, events) = worker();
        for command in [allocate(CALL), agreed(CALL, 0), agreed(CALL, 1), join(CALL)] {
            order(&worker, command);
        }
        assert!(worker.turn(&[]).is_continue());
        let socket = worker.batch.open[0];
        let next = SessionId(8);
        worker.batch.before_packet = vec![
            release(CALL),
            allocate(next),
            agreed(next, 0),
            agreed(next, 1),
            join(next),
        ];
        assert!(worker.turn(&[socket]).is_continue());
        assert_eq!(worker.batch.open.len(), 4);
        assert!(worker.batch.open.contains(&socket));
        order(&worker, Command::Stats { session: next });
        assert!(worker.turn(&[]).is_continue());
        let last = events.lock().unwrap().pop();
        let Some(Event::Stats { session, stats }) = last else {
            panic!("{last:?}")
        };
        assert_eq!(session, next);
        for endpoint in &stats.endpoints {
            let stream = &endpoint.streams[0];
            assert_eq!((stream.received_packets, stream.dropped_total()), (0, 0));
        }
    }

    #[test]
    fn a_burst_of_new_calls_is_spread_over_turns_and_each_call_keeps_its_order() {
        let (mut worker, events) = worker();
        let calls = 3 * SOCKET_ORDERS_AT_ONCE as u64;
        for number in 0..calls {
            let session = SessionId(number);
            for command in [allocate(session), agreed(session, 0), release(session)] {
                order(&worker, command);
            }
        }
        let mut turns = 0;
        let mut opened = 0;
        loop {
            assert!(worker.turn(&[]).is_continue());
            turns += 1;
            opened = opened.max(worker.batch.open.len());
            if worker.postponed.is_empty() {
                break;
            }
        }
        assert_eq!(turns, 9);
        assert!(worker.postponed_of.is_empty());
        assert!(opened > 0 && worker.batch.open.is_empty());
        let events = events.lock().unwrap();
        let released = |event: &&Event| matches!(event, Event::Released { .. });
        assert_eq!(events.iter().filter(released).count() as u64, calls);
        assert_eq!(events.len() as u64, 2 * calls);
    }

    #[test]
    fn sounds_of_many_calls_are_due_in_the_same_turns_and_refused_packets_are_taken_back() {
        let (mut worker, events) = worker();
        let ringing = TonePhase {
            hz: [425, 0],
            ms: 1_000,
        };
        let playing = Playing {
            sound: Sound::Tone(Tone {
                phases: vec![ringing],
            }),
            times: None,
            beside: Beside::Muted,
        };
        for session in (0..200).map(SessionId) {
            let play = Command::Play {
                session,
                endpoint: EndpointId(0),
                playing: Some(playing.clone()),
            };
            for command in [allocate(session), agreed(session, 0), play] {
                order(&worker, command);
            }
            assert!(worker.turn(&[]).is_continue());
        }
        worker.open_and_close(usize::MAX);
        let end = worker.clock.now() + Duration::from_secs(1);
        let (mut ticks, before) = (0, worker.batch.sent);
        while let Some(due) = worker.sessions.next_deadline().filter(|due| *due < end) {
            worker.sessions.tick(due, &mut worker.batch);
            ticks += 1;
        }
        let sent = worker.batch.sent - before;
        // Each call has 50 packets a second; a few reports may be due as well.
        assert!(sent >= 200 * 49, "{sent}");
        assert!(ticks <= 600, "{ticks}");

        worker.batch.refuses = true;
        let later = end + Duration::from_millis(20);
        worker.sessions.tick(later, &mut worker.batch);
        order(&worker, Command::Stats { session: CALL });
        assert!(worker.obey().is_continue());
        let last = events.lock().unwrap().pop();
        let Some(Event::Stats { stats, .. }) = last else {
            panic!("{last:?}")
        };
        let stream = &stats.endpoints[0].streams[0];
        let refused = stream.dropped(DropReason::Send);
        assert!(refused > 0);
        assert_eq!(stream.sent_packets + refused, stream.generated_packets);
    }

    #[test]
    fn stopping_answers_what_was_postponed() {
        let (mut worker, events) = worker();
        for number in 0..100 {
            order(&worker, allocate(SessionId(number)));
        }
        worker.batch.orders.send(Order::Stop).unwrap();
        assert!(worker.turn(&[]).is_break());
        assert!(worker.batch.open.is_empty());
        let released = |event: &&Event| matches!(event, Event::Released { .. });
        assert_eq!(events.lock().unwrap().iter().filter(released).count(), 100);
    }
}
