//! The sessions of one worker: ports and sockets for them, packets to them, what they want done.
//!
//! A panic inside one session's packet, command or tick ends that session and nothing else.

use crate::control::EventSink;
use crate::control::realm::{RealmPorts, reached_at};
use crate::control::totals::{Published, RealmCounters};
use crate::dtls::{Identities, Identity, show};
use crate::entropy::Entropy;
use crate::io::Batch;
use crate::io::fetch;
use crate::session::{
    Depth, Handed, Made, MediaSession, Outcome, Output, SocketId, Worn, fresh_key, local_endpoints,
};
use crate::sound::Recordings;
use crate::time::{Timestamp, WallOffset};
use crate::transcode::class::Recoders;
use crate::transcode::{Job, Recoded};
use crate::worker::neighbours::Neighbours;
use crate::worker::pair::{Unbound, Wanted};
use crate::worker::resting::Resting;
use crate::worker::stock::{Lease, Stock};
use media_api::{
    AllocateError, Command, DropReason, EndpointSpec, Event, Family, LocalEndpoint, RealmId,
    SessionId, SessionStats,
};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Pause before a session is ticked again that did not move its deadline.
const IDLE_TICK: Duration = Duration::from_millis(20);

/// All sessions of one worker.
pub(super) struct Sessions {
    pub(super) entries: Vec<Option<Entry>>,
    vacant: Vec<usize>,
    by_id: HashMap<SessionId, usize>,
    /// Where packets of a socket go, by socket number.
    pub(super) bindings: Vec<Option<Binding>>,
    /// When sessions want to tick. Entries that a session no longer wants are skipped.
    deadlines: BinaryHeap<Reverse<(Timestamp, usize)>>,
    pub(super) realms: Arc<[RealmPorts]>,
    resting: Resting,
    pub(super) counters: Vec<RealmCounters>,
    panics: u64,
    entropy: Entropy,
    sink: Arc<EventSink>,
    wall: WallOffset,
    neighbours: Arc<Neighbours>,
    identities: Arc<Identities>,
    recoders: Recoders,
    recordings: Arc<Recordings>,
    out: Output,
    failed: Vec<usize>,
    /// What was queued in the present batch, to take back what the kernel refuses.
    forwards: Vec<(usize, crate::session::Forward)>,
}

pub(super) struct Entry {
    pub(super) session: MediaSession,
    leases: Vec<Lease>,
    deadline: Option<Timestamp>,
    /// Sockets whose packets the interface forwards by itself, or may.
    pub(super) express: Vec<SocketId>,
}

#[derive(Clone, Copy)]
pub(super) struct Binding {
    entry: usize,
    pub(super) realm: usize,
}

/// What a worker shares with others.
pub(super) struct Shared {
    pub(super) realms: Arc<[RealmPorts]>,
    pub(super) sink: Arc<EventSink>,
    pub(super) neighbours: Arc<Neighbours>,
    pub(super) identities: Arc<Identities>,
    pub(super) recoders: Recoders,
}

/// Endpoints and what was reserved for them: a lease for each stream in order, and certificates.
pub(super) struct Adopted<'s> {
    pub(super) specs: &'s [EndpointSpec],
    pub(super) leases: Vec<Lease>,
    pub(super) identities: Vec<Option<Identity>>,
}

impl Sessions {
    pub(super) fn new(
        shared: Shared,
        entropy: Entropy,
        wall: WallOffset,
        resting: Resting,
    ) -> Self {
        let Shared {
            realms,
            sink,
            neighbours,
            identities,
            recoders,
        } = shared;
        Self {
            entries: Vec::new(),
            vacant: Vec::new(),
            by_id: HashMap::new(),
            bindings: Vec::new(),
            deadlines: BinaryHeap::new(),
            counters: vec![RealmCounters::default(); realms.len()],
            realms,
            resting,
            panics: 0,
            entropy,
            sink,
            wall,
            neighbours,
            identities,
            recoders,
            recordings: Arc::default(),
            out: Output::new(),
            failed: Vec::new(),
            forwards: Vec::new(),
        }
    }

    /// Has the processor fetch what the packets of some sockets will be judged with.
    pub(super) fn fetch(&self, sockets: &[SocketId]) {
        let of = |socket: &SocketId| self.entries.get(self.binding(*socket)?.entry);
        sockets.iter().filter_map(of).for_each(fetch::whole);
        for depth in Depth::ALL {
            for entry in sockets.iter().filter_map(of).flatten() {
                entry.session.fetch(depth);
            }
        }
    }

    /// Judges the `filled` datagrams of a batch that was received from `socket`, and sends on what
    /// is to be sent on.
    pub(super) fn deliver(
        &mut self,
        socket: SocketId,
        filled: usize,
        now: Timestamp,
        batch: &mut impl Batch,
    ) {
        let Some(binding) = self.binding(socket) else {
            return;
        };
        self.end_express(binding.entry, now, batch);
        for at in 0..filled {
            let Some(Some(entry)) = self.entries.get_mut(binding.entry) else {
                return;
            };
            let counters = &mut self.counters[binding.realm];
            let Some(received) = batch.slot(at) else {
                break;
            };
            let (Some(from), length) = (received.from, received.length) else {
                continue;
            };
            let slot = received.slot;
            let session = &mut entry.session;
            let out = &mut self.out;
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                session.packet(socket, from, slot, length, now, out)
            }));
            match outcome {
                // What was made of a packet before it leaves before it.
                Ok(Outcome::Forward(forward)) if out.has_packets() => {
                    let realm = self.realms[binding.realm].realm.id;
                    let packet = slot.get(forward.range.clone()).unwrap_or_default();
                    out.push_forward(&forward, realm, packet);
                }
                Ok(Outcome::Forward(forward)) => {
                    counters.received_packets += 1;
                    counters.received_bytes += forward.received_bytes as u64;
                    batch.queue(at, forward.range.clone(), forward.socket, forward.to);
                    self.forwards.push((binding.entry, forward));
                }
                Ok(Outcome::Handed(handed)) => {
                    counters.received_packets += 1;
                    self.neighbours.hand(handed);
                }
                Ok(Outcome::Recode(recode)) => {
                    let worker = self.recoders.worker();
                    let job = Job::new(worker, session.id(), &recode, slot, now);
                    let is_given = job.is_some_and(|job| self.recoders.give(job));
                    counters.count(is_given, recode.payload.end);
                }
                Ok(Outcome::Taken(bytes)) => counters.count(true, bytes),
                Ok(Outcome::Report | Outcome::Checked) => counters.received_packets += 1,
                // Counted when it is judged.
                Ok(Outcome::Kept) => {}
                Ok(Outcome::Dropped(reason)) => counters.dropped[reason as usize] += 1,
                Err(_) => {
                    batch.flush(&mut self.failed);
                    self.account();
                    self.bury(binding.entry, now, batch);
                    return;
                }
            }
        }
        batch.flush(&mut self.failed);
        let was_forwarded = !self.forwards.is_empty() && self.failed.is_empty();
        self.account();
        if !self.out.is_empty() {
            self.carry_out(binding.entry, now, batch);
        }
        let next = Some(socket).filter(|_| was_forwarded);
        self.begin_express(binding.entry, next, now, batch);
    }

    /// A packet of a party that another session has handed over to one of these.
    pub(super) fn handed(&mut self, handed: &mut Handed, now: Timestamp, batch: &mut impl Batch) {
        let Some(at) = self.by_id.get(&handed.to).copied() else {
            return;
        };
        self.end_express(at, now, batch);
        let Some(Some(entry)) = self.entries.get_mut(at) else {
            return;
        };
        let (session, out) = (&mut entry.session, &mut self.out);
        let outcome = catch_unwind(AssertUnwindSafe(|| session.handed(handed, now, out)));
        match outcome {
            Ok(Outcome::Forward(forward)) => {
                let packet = handed.slot().get(forward.range.clone()).unwrap_or_default();
                let is_sent = batch.send(forward.socket, forward.to, packet);
                self.failed.extend((!is_sent).then_some(0));
                self.forwards.push((at, forward));
                self.account();
            }
            Ok(Outcome::Recode(recode)) => {
                let worker = self.recoders.worker();
                let job = Job::new(worker, session.id(), &recode, handed.slot(), now);
                // Where it arrived it was counted as received.
                let is_given = job.is_some_and(|job| self.recoders.give(job));
                let realm = session.realm_of(&recode).filter(|_| !is_given);
                if let Some(realm) = realm.and_then(|realm| self.realm_index(realm)) {
                    self.counters[realm].dropped[DropReason::Rate as usize] += 1;
                }
            }
            // Where it arrived it was counted.
            Ok(
                Outcome::Handed(_)
                | Outcome::Report
                | Outcome::Taken(_)
                | Outcome::Checked
                | Outcome::Kept
                | Outcome::Dropped(_),
            ) => {}
            Err(_) => return self.bury(at, now, batch),
        }
        if !self.out.is_empty() {
            self.carry_out(at, now, batch);
        }
        self.begin_express(at, None, now, batch);
    }

    /// Audio that comes back from those who transcode.
    pub(super) fn recoded(
        &mut self,
        recoded: &mut Recoded,
        now: Timestamp,
        batch: &mut impl Batch,
    ) {
        let mut is_heard = false;
        if let Some(at) = self.by_id.get(&recoded.session).copied() {
            self.within(at, now, batch, |session, out| {
                is_heard = session.recoded(recoded, now, out);
            });
        }
        if !is_heard {
            self.recoders.end(recoded);
        }
    }

    /// Applies one command.
    pub(super) fn command(&mut self, mut command: Command, now: Timestamp, batch: &mut impl Batch) {
        if let Command::Answer { negotiated, .. } = &mut command {
            for terms in negotiated.streams.iter_mut().flatten() {
                terms.remote_rtp = reached_at(&self.realms, terms.remote_rtp);
                terms.remote_rtcp = reached_at(&self.realms, terms.remote_rtcp);
            }
        }
        let (session, is_answered) = match &command {
            Command::Allocate { session, endpoints } => {
                let event = match self.allocate(*session, endpoints, now, batch) {
                    Ok(endpoints) => Event::Allocated {
                        session: *session,
                        endpoints,
                    },
                    Err(why) => Event::Refused {
                        session: *session,
                        endpoints: endpoints.iter().map(|spec| spec.endpoint).collect(),
                        why,
                    },
                };
                (self.sink)(event);
                return;
            }
            Command::Stats { session }
            | Command::Release {
                session,
                endpoint: None,
                ..
            } => (*session, true),
            Command::Answer { session, .. }
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
            | Command::Release {
                session,
                endpoint: Some(_),
                ..
            } => (*session, false),
        };
        match self.by_id.get(&session).copied() {
            Some(at) => {
                let recordings = Arc::clone(&self.recordings);
                self.within(at, now, batch, |session, out| match command {
                    Command::Play {
                        endpoint, playing, ..
                    } => session.play(endpoint, playing, &recordings, now, out),
                    command => session.command(command, now, out),
                });
            }
            None if is_answered => {
                (self.sink)(Event::Refused {
                    session,
                    endpoints: Vec::new(),
                    why: AllocateError::Conflict,
                });
            }
            None => {}
        }
    }

    /// Takes the recordings that orders to play mean from now on.
    pub(super) fn take_recordings(&mut self, recordings: Arc<Recordings>) {
        self.recordings = recordings;
    }

    /// Reports of RTCP are told from now on, or no more.
    pub(super) fn want_reports(&mut self, wanted: bool) {
        self.out.wants_reports = wanted;
    }

    /// When [`Self::tick`] is next wanted.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.peek().map(|Reverse((due, _))| *due)
    }

    /// Ticks every session that is due.
    pub(super) fn tick(&mut self, now: Timestamp, batch: &mut impl Batch) {
        while let Some(&Reverse((due, at))) = self.deadlines.peek()
            && due <= now
        {
            self.deadlines.pop();
            let wants = self
                .entries
                .get(at)
                .and_then(|entry| entry.as_ref()?.deadline);
            if wants == Some(due) {
                self.within(at, now, batch, |session, out| session.tick(now, out));
                self.put_off(at, due, now);
            }
        }
    }

    /// A deadline that a tick did not move would be popped for ever, or be forgotten: it is asked for again
    /// later.
    fn put_off(&mut self, at: usize, due: Timestamp, now: Timestamp) {
        if let Some(Some(entry)) = self.entries.get_mut(at)
            && entry
                .deadline
                .is_some_and(|next| next == due || next <= now)
        {
            let later = now + IDLE_TICK;
            entry.deadline = Some(later);
            self.deadlines.push(Reverse((later, at)));
        }
    }

    /// Ends every session.
    pub(super) fn release_all(&mut self, now: Timestamp, batch: &mut impl Batch) {
        for at in 0..self.entries.len() {
            let Some(Some(entry)) = self.entries.get(at) else {
                continue;
            };
            let command = Command::Release {
                session: entry.session.id(),
                endpoint: None,
                drain_ms: 0,
            };
            self.within(at, now, batch, |session, out| {
                session.command(command, now, out)
            });
        }
    }

    /// Publishes what was counted; the `last` time it is waited for whoever copies what was published before.
    pub(super) fn publish(&self, published: &Published, batch: &impl Batch, last: bool) {
        let sessions = self.by_id.len() as u64;
        match batch.has_express() {
            true => published.store(&self.with_express(batch), sessions, self.panics, last),
            false => published.store(&self.counters, sessions, self.panics, last),
        }
        published.set_up(self.out.handshakes, self.out.nominated);
        published.resynchronised(self.out.resynchronised);
    }

    /// Runs `work` on a session and does what it wants done.
    fn within(
        &mut self,
        at: usize,
        now: Timestamp,
        batch: &mut impl Batch,
        work: impl FnOnce(&mut MediaSession, &mut Output),
    ) {
        self.end_express(at, now, batch);
        let Some(Some(entry)) = self.entries.get_mut(at) else {
            return;
        };
        let (session, out) = (&mut entry.session, &mut self.out);
        match catch_unwind(AssertUnwindSafe(|| work(session, out))) {
            Ok(()) => self.carry_out(at, now, batch),
            Err(_) => return self.bury(at, now, batch),
        }
        self.begin_express(at, None, now, batch);
    }

    /// Sends what a session made, closes what it freed, tells what it reported, notes when it wants
    /// to tick.
    fn carry_out(&mut self, at: usize, now: Timestamp, batch: &mut impl Batch) {
        let mut out = std::mem::take(&mut self.out);
        for made in out.packets() {
            let is_sent = batch.send(made.socket, made.to, made.bytes);
            self.count_made(at, &made, is_sent);
        }
        for sample in &out.samples {
            if let Some(realm) = self.realm_index(sample.realm) {
                let counters = &mut self.counters[realm];
                counters.lost_packets += sample.lost;
                counters.jitter_us_sum += u64::from(sample.jitter_us);
                counters.jitter_samples += 1;
            }
        }
        if let Some(Some(entry)) = self.entries.get(at) {
            let (worker, session) = (self.recoders.worker(), entry.session.id());
            for (recode, realm, bytes, buffer) in out.recodes() {
                let job = Job::new(worker, session, recode, buffer, now);
                let is_given = job.is_some_and(|job| self.recoders.give(job));
                if let Some(realm) = realm.and_then(|realm| self.realm_index(realm)) {
                    self.counters[realm].count(is_given, bytes);
                }
            }
        }
        for (realm, bytes) in &out.received {
            if let Some(realm) = self.realm_index(*realm) {
                let counters = &mut self.counters[realm];
                counters.count(true, *bytes);
            }
        }
        for Worn {
            endpoint,
            stream,
            suite,
        } in out.worn.drain(..)
        {
            let session = self.entries.get(at).and_then(Option::as_ref);
            // Without random numbers it is told again later.
            if let (Some(entry), Ok(fresh)) = (session, fresh_key(suite, &mut self.entropy)) {
                out.events.push(Event::KeyWorn {
                    session: entry.session.id(),
                    endpoint,
                    stream,
                    fresh,
                });
            }
        }
        for socket in &out.freed {
            self.free(at, *socket, now, batch);
        }
        let mut is_over = false;
        if let Some(Some(entry)) = self.entries.get_mut(at) {
            is_over = entry.session.is_over();
            let deadline = entry.session.wakes_at();
            if deadline != entry.deadline {
                entry.deadline = deadline;
                self.deadlines
                    .extend(deadline.map(|due| Reverse((due, at))));
            }
        }
        // Ports are free and the session forgotten before anybody hears of it.
        if is_over {
            self.forget(at);
        }
        for event in out.events.drain(..) {
            (self.sink)(event);
        }
        out.clear();
        self.out = out;
    }

    /// Ends a session whose code panicked. Its state cannot be trusted, so its figures are asked
    /// for with the same care.
    pub(super) fn bury(&mut self, at: usize, now: Timestamp, batch: &mut impl Batch) {
        self.panics += 1;
        let (handshakes, nominated) = (self.out.handshakes, self.out.nominated);
        let resynchronised = self.out.resynchronised;
        let wants_reports = self.out.wants_reports;
        self.out = Output::new();
        self.out.wants_reports = wants_reports;
        (self.out.handshakes, self.out.nominated) = (handshakes, nominated);
        self.out.resynchronised = resynchronised;
        let Some(Some(entry)) = self.entries.get(at) else {
            return;
        };
        let session = entry.session.id();
        let was_told = entry.session.is_released();
        let stats = catch_unwind(AssertUnwindSafe(|| entry.session.stats()))
            .unwrap_or_else(|_| SessionStats::default());
        let sockets: Vec<_> = entry
            .leases
            .iter()
            .flat_map(|lease| [lease.sockets.rtp, lease.sockets.rtcp])
            .collect();
        for socket in sockets {
            self.free(at, socket, now, batch);
        }
        self.forget(at);
        if !was_told {
            (self.sink)(Event::Released { session, stats });
        }
    }

    fn forget(&mut self, at: usize) {
        if let Some(entry) = self.entries.get_mut(at).and_then(Option::take) {
            self.by_id.remove(&entry.session.id());
            self.vacant.push(at);
        }
    }

    /// Counts what was sent and takes back what the kernel refused.
    fn account(&mut self) {
        for (position, (entry, forward)) in self.forwards.drain(..).enumerate() {
            let realm = self
                .realms
                .iter()
                .position(|ports| ports.realm.id == forward.realm);
            let Some(counters) = realm.and_then(|at| self.counters.get_mut(at)) else {
                continue;
            };
            if self.failed.contains(&position) {
                counters.dropped[DropReason::Send as usize] += 1;
                if let Some(Some(entry)) = self.entries.get_mut(entry) {
                    entry.session.send_failed(&forward);
                }
            } else {
                counters.sent_packets += 1;
                counters.sent_bytes += forward.plain_bytes as u64;
            }
        }
        self.failed.clear();
    }

    /// Counts a packet that a session made, or takes one back that the kernel refused.
    fn count_made(&mut self, at: usize, made: &Made<'_>, is_sent: bool) {
        let realm = self.realm_index(made.realm);
        let Some(counters) = realm.and_then(|realm| self.counters.get_mut(realm)) else {
            return;
        };
        match (made.generated, is_sent) {
            (Some(generated), true) => {
                counters.sent_packets += 1;
                counters.sent_bytes += generated.plain_bytes as u64;
            }
            (Some(generated), false) => {
                counters.dropped[DropReason::Send as usize] += 1;
                if let Some(Some(entry)) = self.entries.get_mut(at) {
                    entry.session.generated_failed(generated);
                }
            }
            (None, true) => counters.sent_packets += 1,
            // A report is followed by another one soon.
            (None, false) => {}
        }
    }

    pub(super) fn realm_index(&self, realm: RealmId) -> Option<usize> {
        self.realms.iter().position(|ports| ports.realm.id == realm)
    }

    fn binding(&self, socket: SocketId) -> Option<Binding> {
        *self.bindings.get(socket.0 as usize)?
    }

    /// Reserves everything for all endpoints, or nothing.
    fn allocate(
        &mut self,
        session: SessionId,
        specs: &[EndpointSpec],
        now: Timestamp,
        batch: &mut impl Batch,
    ) -> Result<Vec<LocalEndpoint>, AllocateError> {
        let mut leases = Vec::new();
        let mut made = match self.are_new(session, specs) {
            true => Ok(()),
            false => Err(AllocateError::Conflict),
        };
        for spec in specs {
            for _ in &spec.streams {
                made = made.and_then(|()| {
                    let at = self
                        .realm_index(spec.realm)
                        .ok_or(AllocateError::NoAddress)?;
                    leases.push(self.bind(at, spec.family, spec.takes_last, now, batch)?);
                    Ok(())
                });
            }
        }
        let sockets = leases.iter().map(|lease| lease.sockets);
        let local = made.and_then(|()| {
            let identities = self.identities.of(specs, now)?;
            let mut local = local_endpoints(specs, sockets, &mut self.entropy)?;
            show(&mut local, specs, &identities);
            Ok((local, identities))
        });
        match local {
            Ok((local, identities)) => {
                let adopted = Adopted {
                    specs,
                    leases,
                    identities,
                };
                self.add(session, adopted);
                Ok(local)
            }
            Err(why) => {
                self.return_leases(leases, now, batch);
                Err(why)
            }
        }
    }

    /// Adds endpoints whose ports come from the stock; who asked for them has them already.
    pub(super) fn adopt(
        &mut self,
        session: SessionId,
        adopted: Adopted<'_>,
        now: Timestamp,
        batch: &mut impl Batch,
    ) {
        let specs = adopted.specs;
        if self.are_new(session, specs) {
            self.add(session, adopted);
        } else {
            self.return_leases(adopted.leases, now, batch);
            (self.sink)(Event::Refused {
                session,
                endpoints: specs.iter().map(|spec| spec.endpoint).collect(),
                why: AllocateError::Conflict,
            });
        }
    }

    /// Whether these may be added to a session.
    fn are_new(&self, session: SessionId, specs: &[EndpointSpec]) -> bool {
        let known = self.by_id.get(&session).copied();
        let existing = known.and_then(|at| self.entries.get(at)?.as_ref());
        let is_taken = |spec: &EndpointSpec| {
            existing.is_some_and(|entry| entry.session.has_endpoint(spec.endpoint))
        };
        !specs.iter().any(is_taken)
    }

    /// Adds endpoints that are [new](Self::are_new).
    fn add(&mut self, session: SessionId, adopted: Adopted<'_>) {
        let Adopted {
            specs,
            leases,
            identities,
        } = adopted;
        let known = self.by_id.get(&session).copied();
        let mut added = match known.and_then(|at| self.entries.get_mut(at)?.take()) {
            Some(entry) => entry,
            None => Entry {
                session: MediaSession::new(session, self.wall),
                leases: Vec::new(),
                deadline: None,
                express: Vec::new(),
            },
        };
        let mut rest = leases.iter().map(|lease| lease.sockets);
        for spec in specs {
            let sockets: Vec<_> = rest.by_ref().take(spec.streams.len()).collect();
            added
                .session
                .add_endpoint(spec.endpoint, &sockets, &mut self.entropy);
            added.session.prepare(spec.endpoint, &spec.streams);
        }
        for (spec, identity) in specs.iter().zip(&identities) {
            if let Some(identity) = identity {
                added.session.identify(spec.endpoint, identity);
            }
        }
        let at = known.unwrap_or_else(|| {
            self.vacant.pop().unwrap_or_else(|| {
                self.entries.push(None);
                self.entries.len() - 1
            })
        });
        self.by_id.insert(session, at);
        for lease in leases {
            for socket in [lease.sockets.rtp, lease.sockets.rtcp] {
                let number = socket.0 as usize;
                if self.bindings.len() <= number {
                    self.bindings.resize(number + 1, None);
                }
                self.bindings[number] = Some(Binding {
                    entry: at,
                    realm: lease.realm,
                });
            }
            added.leases.push(lease);
        }
        self.entries[at] = Some(added);
    }

    /// Binds pairs ahead, so many at most.
    pub(super) fn restock(
        &mut self,
        stock: &Stock,
        most: usize,
        now: Timestamp,
        batch: &mut impl Batch,
    ) {
        let left = stock.fill(most, |realm, family| {
            self.bind(realm, family, false, now, batch).ok()
        });
        self.return_leases(left, now, batch);
    }

    /// Serves these realms from now on: each session goes on with the ports that it has (OPS-121). Pairs that were bound
    /// ahead and would be bound otherwise now are closed by and by, as those that rest.
    pub(super) fn take_realms(
        &mut self,
        realms: Arc<[RealmPorts]>,
        ahead: Vec<Lease>,
        now: Timestamp,
    ) {
        self.counters.resize(realms.len(), RealmCounters::default());
        self.resting.outgrow(&realms, ahead, now);
        self.realms = realms;
    }

    /// The same of pairs that nobody has taken.
    pub(super) fn want_no_more(&mut self, leases: Vec<Lease>, now: Timestamp) {
        self.resting.outgrow(&self.realms, leases, now);
    }

    /// Whether there are such pairs still.
    pub(super) fn has_outgrown(&self) -> bool {
        self.resting.has_outgrown()
    }

    /// Closes some of what need not rest with its sockets bound, or of `any` that does.
    pub(super) fn trim(&mut self, any: bool, now: Timestamp, batch: &mut impl Batch) {
        self.resting.trim(any, now, |lease, rest| {
            batch.close(lease.sockets.rtp);
            batch.close(lease.sockets.rtcp);
            lease.ports.give_back_resting(lease.port, now, rest);
        });
    }

    /// A port pair of a realm that has rested with its sockets bound, or one that is bound now. Where the
    /// operating system has no socket for one, those that rest give theirs.
    fn bind(
        &mut self,
        at: usize,
        family: Family,
        takes_last: bool,
        now: Timestamp,
        batch: &mut impl Batch,
    ) -> Result<Lease, AllocateError> {
        let realm = self.realms.get(at).ok_or(AllocateError::NoAddress)?;
        let entropy = &mut self.entropy;
        if let Some(lease) = self.resting.take(at, family, entropy, now) {
            return Ok(lease);
        }
        let wanted = Wanted {
            realm: at,
            family,
            takes_last,
        };
        let mut bound = wanted.bind(realm, entropy, now, batch);
        if matches!(bound, Err(Unbound::NoSocket)) && !self.resting.is_empty() {
            self.trim(true, now, batch);
            bound = wanted.bind(&self.realms[at], &mut self.entropy, now, batch);
        }
        bound.map_err(AllocateError::from)
    }

    fn return_leases(&self, leases: Vec<Lease>, now: Timestamp, batch: &mut impl Batch) {
        for lease in leases {
            batch.close(lease.sockets.rtp);
            batch.close(lease.sockets.rtcp);
            lease.ports.give_back(lease.port, now);
        }
    }

    /// Takes a socket from its session. When both of a pair are taken, the pair rests.
    fn free(&mut self, at: usize, socket: SocketId, now: Timestamp, batch: &mut impl Batch) {
        if let Some(binding) = self.bindings.get_mut(socket.0 as usize) {
            *binding = None;
        }
        let Some(Some(entry)) = self.entries.get_mut(at) else {
            return;
        };
        let over = entry
            .leases
            .iter()
            .position(|lease| lease.sockets.rtcp == socket);
        let Some(over) = over else {
            return;
        };
        let lease = entry.leases.swap_remove(over);
        let (realm, sockets) = (&self.realms[lease.realm], lease.sockets);
        if let Err(lease) = self.resting.begin(lease, realm, now) {
            self.return_leases(vec![lease], now, batch);
            self.trim(false, now, batch);
        } else {
            batch.rest(sockets.rtp);
            batch.rest(sockets.rtcp);
        }
    }
}

#[cfg(test)]
mod tests;
