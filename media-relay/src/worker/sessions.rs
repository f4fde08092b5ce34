//! The sessions of one worker: ports and sockets for them, packets to them, what they want done.
//!
//! A panic inside one session's packet, command or tick ends that session and nothing else.

use crate::control::EventSink;
use crate::control::realm::RealmPorts;
use crate::control::totals::{Published, RealmCounters};
use crate::entropy::Entropy;
use crate::io::Batch;
use crate::session::{
    Handed, Made, MediaSession, Outcome, Output, SocketId, Worn, fresh_key, local_endpoints,
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
    AllocateError, Command, EndpointSpec, Event, Family, LocalEndpoint, RealmId, SessionId,
    SessionStats,
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
    entries: Vec<Option<Entry>>,
    vacant: Vec<usize>,
    by_id: HashMap<SessionId, usize>,
    /// Where packets of a socket go, by socket number.
    bindings: Vec<Option<Binding>>,
    /// When sessions want to tick. Entries that a session no longer wants are skipped.
    deadlines: BinaryHeap<Reverse<(Timestamp, usize)>>,
    realms: Arc<[RealmPorts]>,
    resting: Resting,
    counters: Vec<RealmCounters>,
    panics: u64,
    entropy: Entropy,
    sink: Arc<EventSink>,
    wall: WallOffset,
    neighbours: Arc<Neighbours>,
    recoders: Recoders,
    recordings: Arc<Recordings>,
    out: Output,
    failed: Vec<usize>,
    /// What was queued in the present batch, to take back what the kernel refuses.
    forwards: Vec<(usize, crate::session::Forward)>,
}

struct Entry {
    session: MediaSession,
    leases: Vec<Lease>,
    deadline: Option<Timestamp>,
}

#[derive(Clone, Copy)]
struct Binding {
    entry: usize,
    realm: usize,
}

impl Sessions {
    pub(super) fn new(
        realms: Arc<[RealmPorts]>,
        entropy: Entropy,
        sink: Arc<EventSink>,
        wall: WallOffset,
        resting: Resting,
        neighbours: Arc<Neighbours>,
        recoders: Recoders,
    ) -> Self {
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
            recoders,
            recordings: Arc::default(),
            out: Output::new(),
            failed: Vec::new(),
            forwards: Vec::new(),
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
                    counters.received_packets += 1;
                    counters.received_bytes += recode.payload.end as u64;
                    let worker = self.recoders.worker();
                    let job = Job::new(worker, session.id(), &recode, slot, now);
                    if !job.is_some_and(|job| self.recoders.give(job)) {
                        counters.dropped[media_api::DropReason::Rate as usize] += 1;
                    }
                }
                Ok(Outcome::Report | Outcome::Taken | Outcome::Checked) => {
                    counters.received_packets += 1
                }
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
        self.account();
        if !self.out.is_empty() {
            self.carry_out(binding.entry, now, batch);
        }
    }

    /// A packet of a party that another session has handed over to one of these.
    pub(super) fn handed(&mut self, handed: &mut Handed, now: Timestamp, batch: &mut impl Batch) {
        let Some(at) = self.by_id.get(&handed.to).copied() else {
            return;
        };
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
                // Who cannot keep up misses it.
                let _ = job.is_some_and(|job| self.recoders.give(job));
            }
            // Where it arrived it was counted.
            Ok(
                Outcome::Handed(_)
                | Outcome::Report
                | Outcome::Taken
                | Outcome::Checked
                | Outcome::Kept
                | Outcome::Dropped(_),
            ) => {}
            Err(_) => return self.bury(at, now, batch),
        }
        if !self.out.is_empty() {
            self.carry_out(at, now, batch);
        }
    }

    /// Audio that comes back from those who transcode.
    pub(super) fn recoded(
        &mut self,
        recoded: &mut Recoded,
        now: Timestamp,
        batch: &mut impl Batch,
    ) {
        if let Some(at) = self.by_id.get(&recoded.session).copied() {
            self.within(at, now, batch, |session, out| {
                session.recoded(recoded, now, out)
            });
        }
    }

    /// Applies one command.
    pub(super) fn command(&mut self, command: Command, now: Timestamp, batch: &mut impl Batch) {
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
            | Command::Update { session, .. }
            | Command::HandOver { session, .. }
            | Command::Follow { session, .. }
            | Command::Take { session, .. }
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
            }
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

    pub(super) fn publish(&self, published: &Published) {
        published.store(&self.counters, self.by_id.len() as u64, self.panics);
    }

    /// Runs `work` on a session and does what it wants done.
    fn within(
        &mut self,
        at: usize,
        now: Timestamp,
        batch: &mut impl Batch,
        work: impl FnOnce(&mut MediaSession, &mut Output),
    ) {
        let Some(Some(entry)) = self.entries.get_mut(at) else {
            return;
        };
        let (session, out) = (&mut entry.session, &mut self.out);
        match catch_unwind(AssertUnwindSafe(|| work(session, out))) {
            Ok(()) => self.carry_out(at, now, batch),
            Err(_) => self.bury(at, now, batch),
        }
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
        for (realm, bytes) in &out.received {
            if let Some(realm) = self.realm_index(*realm) {
                let counters = &mut self.counters[realm];
                counters.received_packets += 1;
                counters.received_bytes += *bytes as u64;
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
            } else if deadline.is_some_and(|due| due <= now) {
                // A deadline that a tick did not move would be popped for ever; ask again later.
                let later = now + IDLE_TICK;
                entry.deadline = Some(later);
                self.deadlines.push(Reverse((later, at)));
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
    fn bury(&mut self, at: usize, now: Timestamp, batch: &mut impl Batch) {
        self.panics += 1;
        self.out = Output::new();
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
                counters.dropped[media_api::DropReason::Send as usize] += 1;
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
                counters.dropped[media_api::DropReason::Send as usize] += 1;
                if let Some(Some(entry)) = self.entries.get_mut(at) {
                    entry.session.generated_failed(generated);
                }
            }
            (None, true) => counters.sent_packets += 1,
            // A report is followed by another one soon.
            (None, false) => {}
        }
    }

    fn realm_index(&self, realm: RealmId) -> Option<usize> {
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
        let local = made.and_then(|()| local_endpoints(specs, sockets, &mut self.entropy));
        match local {
            Ok(_) => self.add(session, specs, leases),
            Err(_) => self.return_leases(leases, now, batch),
        }
        local
    }

    /// Adds endpoints whose ports come from the stock; who asked for them has them already.
    pub(super) fn adopt(
        &mut self,
        session: SessionId,
        specs: &[EndpointSpec],
        leases: Vec<Lease>,
        now: Timestamp,
        batch: &mut impl Batch,
    ) {
        if self.are_new(session, specs) {
            self.add(session, specs, leases);
        } else {
            self.return_leases(leases, now, batch);
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

    /// Adds endpoints that are [new](Self::are_new), with a lease for each stream in order.
    fn add(&mut self, session: SessionId, specs: &[EndpointSpec], leases: Vec<Lease>) {
        let known = self.by_id.get(&session).copied();
        let mut added = match known.and_then(|at| self.entries.get_mut(at)?.take()) {
            Some(entry) => entry,
            None => Entry {
                session: MediaSession::new(session, self.wall),
                leases: Vec::new(),
                deadline: None,
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
        stock.fill(most, |realm, family| {
            self.bind(realm, family, false, now, batch).ok()
        });
    }

    /// Closes some of what need not rest with its sockets bound, or of `any` that does.
    pub(super) fn trim(&mut self, any: bool, now: Timestamp, batch: &mut impl Batch) {
        let realms = &self.realms;
        self.resting.trim(any, realms, now, |lease, rest| {
            batch.close(lease.sockets.rtp);
            batch.close(lease.sockets.rtcp);
            if let Some(ports) = realms.get(lease.realm) {
                ports.give_back_resting(lease.family, lease.port, now, rest);
            }
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
        let ports = &self.realms[at];
        let entropy = &mut self.entropy;
        if let Some(lease) = self.resting.take(at, family, ports, entropy, now) {
            return Ok(lease);
        }
        let wanted = Wanted {
            realm: at,
            family,
            takes_last,
        };
        let mut bound = wanted.bind(&self.realms[at], &mut self.entropy, now, batch);
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
            self.realms[lease.realm].give_back(lease.family, lease.port, now);
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
        let ports = &self.realms[lease.realm];
        if let Err(lease) = self.resting.begin(lease, ports, now) {
            self.return_leases(vec![lease], now, batch);
            self.trim(false, now, batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::realm::{LocalAddress, Realm};
    use crate::io::{Backend, Received};
    use media_api::{EndpointId, ProtectionWanted, StreamKind, StreamSpec};
    use std::collections::BTreeSet;
    use std::io;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::ops::Range;
    use std::sync::Mutex;

    /// A machine on which some ports are taken by others.
    #[derive(Default)]
    struct FakeSockets {
        taken: BTreeSet<u16>,
        open: BTreeSet<u32>,
        next: u32,
        /// Descriptors that there are; all, where it is zero.
        most: usize,
    }

    impl Batch for FakeSockets {
        fn open(&mut self, local: SocketAddr, _: u8) -> io::Result<SocketId> {
            if self.taken.contains(&local.port()) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            if self.most > 0 && self.open.len() >= self.most {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            self.next += 1;
            self.open.insert(self.next);
            Ok(SocketId(self.next))
        }

        fn close(&mut self, socket: SocketId) {
            assert!(self.open.remove(&socket.0), "closed twice");
        }

        fn wait(&mut self, _: Duration, _: &mut Vec<SocketId>) -> io::Result<()> {
            Ok(())
        }

        fn receive(&mut self, _: SocketId) -> usize {
            0
        }

        fn slot(&mut self, _: usize) -> Option<Received<'_>> {
            None
        }

        fn queue(&mut self, _: usize, _: Range<usize>, _: SocketId, _: SocketAddr) {}

        fn flush(&mut self, _: &mut Vec<usize>) {}

        fn send(&mut self, _: SocketId, _: SocketAddr, _: &[u8]) -> bool {
            true
        }

        fn wake(&self) {}
    }

    fn sessions(last_port: u16) -> (Sessions, Arc<Mutex<Vec<Event>>>) {
        let realm = Realm {
            id: RealmId(0),
            v4: Some(LocalAddress::direct(IpAddr::V4(Ipv4Addr::LOCALHOST))),
            v6: None,
            first_port: 10_000,
            last_port,
            dscp: 46,
            backend: Backend::Sockets,
        };
        let heard = Arc::new(Mutex::new(Vec::new()));
        let events = Arc::clone(&heard);
        let sink: EventSink = Box::new(move |event| events.lock().unwrap().push(event));
        let sessions = Sessions::new(
            Arc::new([RealmPorts::new(realm, Duration::from_secs(10))]),
            Entropy::from_seed([1; 32]),
            Arc::new(sink),
            WallOffset::default(),
            Resting::with_room(1000),
            Arc::default(),
            crate::transcode::class::prepare(1, 0).0.remove(0).recoders,
        );
        (sessions, heard)
    }

    fn allocate(sessions: &mut Sessions, sockets: &mut FakeSockets, number: u64, endpoints: u8) {
        let endpoints = (0..endpoints)
            .map(|endpoint| EndpointSpec {
                takes_last: true,
                endpoint: EndpointId(endpoint),
                realm: RealmId(0),
                family: Family::V4,
                streams: vec![StreamSpec {
                    kind: StreamKind::Audio,
                    protection: ProtectionWanted::None,
                    ice: None,
                }],
            })
            .collect();
        let command = Command::Allocate {
            session: SessionId(number),
            endpoints,
        };
        sessions.command(command, Timestamp(0), sockets);
    }

    #[test]
    fn a_panic_ends_its_session_and_no_other() {
        let (mut sessions, events) = sessions(10_099);
        let mut sockets = FakeSockets::default();
        allocate(&mut sessions, &mut sockets, 1, 2);
        allocate(&mut sessions, &mut sockets, 2, 2);
        let at = sessions.by_id[&SessionId(1)];
        sessions.within(at, Timestamp(1), &mut sockets, |_, _| {
            panic!("as a bug would")
        });
        let last = events.lock().unwrap().pop();
        assert!(matches!(
            last,
            Some(Event::Released {
                session: SessionId(1),
                ..
            })
        ));
        assert_eq!((sessions.panics, sockets.open.len()), (1, 4));
        assert_eq!(sessions.realms[0].usage().0, 2);
        let stats = Command::Stats {
            session: SessionId(2),
        };
        sessions.command(stats, Timestamp(2), &mut sockets);
        let last = events.lock().unwrap().pop();
        assert!(matches!(
            last,
            Some(Event::Stats {
                session: SessionId(2),
                ..
            })
        ));
    }

    fn release(sessions: &mut Sessions, sockets: &mut FakeSockets, number: u64, now: Timestamp) {
        let command = Command::Release {
            session: SessionId(number),
            endpoint: None,
            drain_ms: 0,
        };
        sessions.command(command, now, sockets);
    }

    #[test]
    fn sockets_stay_bound_while_their_ports_rest_and_serve_a_later_call() {
        let (mut sessions, _events) = sessions(12_047);
        let mut sockets = FakeSockets::default();
        for number in 0..10 {
            allocate(&mut sessions, &mut sockets, number, 10);
        }
        assert_eq!(sockets.open.len(), 200);
        for number in 0..10 {
            release(&mut sessions, &mut sockets, number, Timestamp(0));
        }
        assert_eq!((sockets.open.len(), sessions.realms[0].usage().0), (200, 0));

        // Nothing has rested yet: another call gets sockets of its own.
        let rested = Timestamp(10_000_000);
        let mut bind = |sessions: &mut Sessions, now| {
            let lease = sessions.bind(0, Family::V4, false, now, &mut sockets);
            (lease.unwrap(), sockets.open.len())
        };
        let (fresh, open) = bind(&mut sessions, Timestamp(rested.0 - 1));
        assert_eq!(open, 202);
        let mut again = BTreeSet::new();
        for _ in 0..20 {
            let (lease, open) = bind(&mut sessions, rested);
            assert_eq!(open, 202);
            assert_ne!(lease.port, fresh.port);
            again.insert(lease.port);
        }
        assert_eq!((again.len(), sessions.realms[0].usage().0), (20, 21));

        // What nobody wants is not kept for ever, and its ports are as free as any. No call waits for all of
        // it to be closed.
        for number in 10..13 {
            allocate(&mut sessions, &mut sockets, number, 10);
        }
        for number in 10..13 {
            release(&mut sessions, &mut sockets, number, Timestamp(0));
        }
        sessions.trim(false, rested, &mut sockets);
        assert_eq!(sockets.open.len(), 2 * (21 + 80 + 30 - 16));
        for _ in 0..2 {
            sessions.trim(false, rested, &mut sockets);
        }
        sessions.trim(false, rested, &mut sockets);
        assert_eq!(sockets.open.len(), 2 * (21 + 64));
        assert_eq!(sessions.realms[0].usage().0, 21);
    }

    #[test]
    fn where_descriptors_are_lacking_those_that_rest_give_theirs() {
        let (mut sessions, events) = sessions(12_047);
        let mut sockets = FakeSockets {
            most: 9,
            ..FakeSockets::default()
        };
        allocate(&mut sessions, &mut sockets, 1, 4);
        release(&mut sessions, &mut sockets, 1, Timestamp(0));
        assert_eq!(sockets.open.len(), 8);
        allocate(&mut sessions, &mut sockets, 2, 4);
        let last = events.lock().unwrap().pop();
        assert!(matches!(last, Some(Event::Allocated { .. })), "{last:?}");
        assert_eq!((sockets.open.len(), sessions.realms[0].usage().0), (8, 4));
        allocate(&mut sessions, &mut sockets, 3, 1);
        let last = events.lock().unwrap().pop();
        assert!(matches!(last, Some(Event::Refused { .. })), "{last:?}");
        assert_eq!((sockets.open.len(), sessions.realms[0].usage().0), (8, 4));
    }

    #[test]
    fn ports_that_others_have_cost_those_that_rest_nothing() {
        let (mut sessions, events) = sessions(12_047);
        let mut sockets = FakeSockets::default();
        allocate(&mut sessions, &mut sockets, 1, 4);
        release(&mut sessions, &mut sockets, 1, Timestamp(0));
        sockets.taken = (10_000..=12_047).collect();
        allocate(&mut sessions, &mut sockets, 2, 1);
        let last = events.lock().unwrap().pop();
        let refused = AllocateError::Socket;
        assert!(
            matches!(last, Some(Event::Refused { why, .. }) if why == refused),
            "{last:?}"
        );
        assert_eq!(sockets.open.len(), 8);
    }

    #[test]
    fn no_more_stay_bound_than_there_is_room_for() {
        let (mut sessions, _events) = sessions(14_047);
        sessions.resting = Resting::with_room(3);
        let mut sockets = FakeSockets::default();
        allocate(&mut sessions, &mut sockets, 1, 5);
        release(&mut sessions, &mut sockets, 1, Timestamp(0));
        assert_eq!((sockets.open.len(), sessions.realms[0].usage().0), (6, 0));
    }

    #[test]
    fn where_ports_are_scarce_none_stays_bound_for_nobody() {
        // Four hundred pairs, of which a hundred are free when the others are in use.
        let (mut sessions, _events) = sessions(10_799);
        let mut sockets = FakeSockets::default();
        for number in 0..150 {
            allocate(&mut sessions, &mut sockets, number, 2);
        }
        release(&mut sessions, &mut sockets, 0, Timestamp(0));
        assert_eq!(sockets.open.len(), 600, "kept while they rest");
        allocate(&mut sessions, &mut sockets, 150, 2);
        release(&mut sessions, &mut sockets, 1, Timestamp(1));
        assert_eq!(sockets.open.len(), 596, "all are closed");

        // Closed or not, they have to rest, and whoever calls for help need not wait for that.
        let free = |sessions: &mut Sessions, sockets: &mut FakeSockets, now| {
            let mut leases = Vec::new();
            while let Ok(lease) = sessions.bind(0, Family::V4, true, now, sockets) {
                leases.push(lease);
            }
            leases.len()
        };
        assert_eq!(free(&mut sessions, &mut sockets, Timestamp(149_999)), 98);
        assert_eq!(free(&mut sessions, &mut sockets, Timestamp(150_001)), 4);
    }

    #[test]
    fn ports_taken_by_others_are_passed_over_and_nothing_leaks() {
        let (mut sessions, events) = sessions(10_007);
        let mut sockets = FakeSockets {
            taken: BTreeSet::from([10_000, 10_003]),
            ..FakeSockets::default()
        };
        allocate(&mut sessions, &mut sockets, 1, 2);
        let last = events.lock().unwrap().pop();
        let Some(Event::Allocated { endpoints, .. }) = last else {
            panic!("{last:?}")
        };
        let ports: BTreeSet<_> = endpoints
            .iter()
            .map(|endpoint| endpoint.streams[0].rtp.port())
            .collect();
        assert_eq!(ports, BTreeSet::from([10_004, 10_006]));
        assert_eq!(sockets.open.len(), 4);
        // Nothing is left for a second session, and trying leaves nothing behind.
        allocate(&mut sessions, &mut sockets, 2, 1);
        assert!(matches!(
            events.lock().unwrap().pop(),
            Some(Event::Refused { .. })
        ));
        sessions.release_all(Timestamp(3), &mut sockets);
        assert_eq!((sockets.open.len(), sessions.realms[0].usage().0), (0, 0));
        assert!(sessions.by_id.is_empty());
    }
}
