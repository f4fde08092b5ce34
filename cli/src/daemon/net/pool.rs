//! Connections by flow and by key, the write queue of each, and how many there may be.

use super::admission::Rooms;
use super::behind::Behind;
use super::tls::Shown;
use super::unanswered::Unanswered;
use bytes::Bytes;
use sbc_core::config::is_same_name;
use sbc_core::id::{FlowId, ListenerName, ShardId, TlsContextName, TransactionId};
use sbc_core::transport::{Flow, FlowFault, FlowKey, Hop, PeerIdentity, TlsHop};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Messages that may wait on one connection (SIP-124). So many that the octets below are what bounds
/// them: a shard can answer hundreds of requests while the thread that writes has no processor.
const QUEUE_MESSAGES: usize = 4096;
/// Bytes that may wait on one connection (SIP-124).
const QUEUE_BYTES: usize = 1024 * 1024;
/// Octets of the answer to a ping.
pub(super) const PONG_BYTES: usize = 2;
/// Pause after the first failed attempt to connect; doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause before a peer is tried again: a peer that is back must be found within two
/// seconds (FM-54).
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// Peers whose failures are remembered.
const MAX_REMEMBERED: usize = 4096;

/// Something to write, and who wants to know when it cannot be written.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) bytes: Bytes,
    pub(super) owner: Option<(ShardId, TransactionId)>,
    /// Whether its owner was told that it waits for the connection.
    pub(super) has_waited: bool,
}

impl Outgoing {
    /// A message that nobody need be told of but for its failure.
    pub(super) fn new(bytes: Bytes, owner: Option<(ShardId, TransactionId)>) -> Self {
        Self {
            bytes,
            owner,
            has_waited: false,
        }
    }
}

/// How a connection that we opened is pinged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pings {
    /// Shortest and longest time between two pings.
    pub(super) between: (Duration, Duration),
    /// Whether the peer is known to answer.
    pub(super) is_answered: bool,
}

/// The writing end of one connection, open or being opened.
pub(super) struct Line {
    pub(super) flow: FlowId,
    pings: watch::Sender<Pings>,
    /// Whether it is there: nothing while it is being opened.
    is_up: watch::Sender<Option<bool>>,
    queue: mpsc::Sender<Outgoing>,
    queued_bytes: AtomicUsize,
    /// INVITEs that were queued while it was being opened, and that are still wanted. At most what the queue
    /// holds.
    waiting: Mutex<HashSet<(ShardId, TransactionId)>>,
    /// Whether a message was ever to be written.
    is_used: AtomicBool,
    /// The certificates of the peer.
    shown: OnceLock<Shown>,
    closing: watch::Sender<Option<FlowFault>>,
    /// What waits for messages here.
    pub(super) behind: Behind,
    /// Requests of ours that wait for their response.
    pub(super) unanswered: Unanswered,
}

/// The reading end of a write queue.
pub(super) struct Queue {
    pub(super) messages: mpsc::Receiver<Outgoing>,
    pub(super) closing: watch::Receiver<Option<FlowFault>>,
    pub(super) pings: watch::Receiver<Pings>,
}

impl Line {
    /// A line for a new connection, and the queue that its task reads.
    pub(super) fn new(flow: FlowId, pings: Pings) -> (Arc<Self>, Queue) {
        let (queue, messages) = mpsc::channel(QUEUE_MESSAGES);
        let (closing, is_closing) = watch::channel(None);
        let (pings, told_pings) = watch::channel(pings);
        let line = Self {
            flow,
            pings,
            is_up: watch::channel(None).0,
            queue,
            queued_bytes: AtomicUsize::new(0),
            waiting: Mutex::default(),
            is_used: AtomicBool::new(false),
            shown: OnceLock::new(),
            closing,
            behind: Behind::default(),
            unanswered: Unanswered::default(),
        };
        let queue = Queue {
            messages,
            closing: is_closing,
            pings: told_pings,
        };
        (Arc::new(line), queue)
    }

    /// The peer has shown these certificates.
    pub(super) fn has_seen(&self, shown: Shown) {
        // A connection has one handshake.
        let _ = self.shown.set(shown);
    }

    /// The certificates that the peer has shown.
    pub(super) fn shown(&self) -> Option<&Shown> {
        self.shown.get()
    }

    /// Queues a message. A peer that lets its queue fill does not read: its connection is failed,
    /// and nobody waits for it.
    pub(super) fn offer(&self, outgoing: Outgoing) -> Result<(), (Outgoing, FlowFault)> {
        let length = outgoing.bytes.len();
        if length > PONG_BYTES {
            // Ordering: a fact that stays, and nothing else is published through it.
            self.is_used.store(true, Ordering::Relaxed);
        }
        self.behind.given();
        // Ordering: only the sum matters; nothing else is published through it.
        let before = self.queued_bytes.fetch_add(length, Ordering::Relaxed);
        let refused = if before + length > QUEUE_BYTES {
            Some((outgoing, FlowFault::QueueFull))
        } else {
            match self.queue.try_send(outgoing) {
                Ok(()) => None,
                Err(mpsc::error::TrySendError::Full(outgoing)) => {
                    Some((outgoing, FlowFault::QueueFull))
                }
                Err(mpsc::error::TrySendError::Closed(outgoing)) => {
                    Some((outgoing, FlowFault::Closed))
                }
            }
        };
        let Some((outgoing, fault)) = refused else {
            return Ok(());
        };
        self.queued_bytes.fetch_sub(length, Ordering::Relaxed);
        self.behind.done(1);
        if fault == FlowFault::QueueFull {
            self.close(FlowFault::QueueFull);
        }
        Err((outgoing, fault))
    }

    /// Whether a message was ever to be written, answers to pings aside.
    pub(super) fn is_used(&self) -> bool {
        // Ordering: as where it is set.
        self.is_used.load(Ordering::Relaxed)
    }

    /// Whether so much waits that the peer should not be asked for more.
    pub(super) fn is_half_full(&self) -> bool {
        self.queue.capacity() < QUEUE_MESSAGES / 2
            // Ordering: an estimate.
            || self.queued_bytes.load(Ordering::Relaxed) > QUEUE_BYTES / 2
    }

    /// Notes that an INVITE will wait for the connection; says whether it will.
    pub(super) fn will_wait(&self, outgoing: &mut Outgoing) -> bool {
        let Some(owner) = outgoing.owner else {
            return false;
        };
        let waits = self.is_up.borrow().is_none() && outgoing.bytes.starts_with(b"INVITE ");
        if waits {
            outgoing.has_waited = true;
            self.waiting().insert(owner);
        }
        waits
    }

    /// What has waited for the connection is to be written, or is not wanted any more; says whether that is
    /// still open. Whoever asks first decides.
    pub(super) fn waits_no_more(&self, owner: (ShardId, TransactionId)) -> bool {
        self.waiting().remove(&owner)
    }

    fn waiting(&self) -> MutexGuard<'_, HashSet<(ShardId, TransactionId)>> {
        // A set is whole between any two statements.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the connection is there, or will never be; says which.
    pub(super) async fn comes_up(&self) -> bool {
        let mut told = self.is_up.subscribe();
        let is_up = told.wait_for(Option::is_some).await;
        is_up.is_ok_and(|is_up| *is_up == Some(true))
    }

    /// How the connection is pinged from now on.
    pub(super) fn ping(&self, pings: Pings) {
        self.pings.send_if_modified(|present| {
            let is_new = *present != pings;
            *present = pings;
            is_new
        });
    }

    /// A message left the queue.
    pub(super) fn taken(&self, length: usize) {
        self.queued_bytes.fetch_sub(length, Ordering::Relaxed);
    }

    /// Ends the connection: what is queued is still written unless the queue is the reason.
    pub(super) fn close(&self, why: FlowFault) {
        self.closing.send_if_modified(|closing| {
            let is_first = closing.is_none();
            if is_first {
                *closing = Some(why);
            }
            is_first
        });
    }
}

/// Waits until somebody wants the connection to end.
pub(super) async fn wanted_end(closing: &mut watch::Receiver<Option<FlowFault>>) -> FlowFault {
    match closing.wait_for(Option::is_some).await {
        Ok(why) => why.clone().unwrap_or(FlowFault::Closed),
        Err(_) => FlowFault::Closed,
    }
}

/// What is known about failed attempts to reach a peer.
struct Failures {
    count: u32,
    until: Instant,
    fault: FlowFault,
}

/// A connection that its peer has opened and that requests to an address may use (RFC 5923 §8).
struct Alias {
    flow: FlowId,
    context: TlsContextName,
    /// What the peer has proven to be.
    names: Vec<String>,
    allow_wildcard: bool,
}

impl Alias {
    /// Whether a connection that was opened for this would accept the same peer.
    fn serves(&self, wanted: &TlsHop) -> bool {
        let is_named = |wanted: &String| {
            let mut names = self.names.iter();
            names.any(|shown| is_same_name(wanted, shown, self.allow_wildcard))
        };
        wanted.takes_alias
            && self.context == wanted.context
            && match wanted.accept_names.is_empty() {
                true => is_named(&wanted.server_name),
                false => wanted.accept_names.iter().any(is_named),
            }
    }
}

/// Most connections that are shown.
const MOST_SHOWN: usize = 1_000;

/// A connection in a TLS context, as operators see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Secured {
    /// The identity that we show.
    pub context: TlsContextName,
    /// Whether we have opened it.
    pub is_ours: bool,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

/// A connection that is up.
pub(super) struct Held {
    pub(super) line: Arc<Line>,
    /// The TLS context that it was made in.
    pub(super) context: Option<TlsContextName>,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// When it was made.
    pub(super) since: Instant,
    /// It was taken out of use for its age.
    is_aged: bool,
}

/// All connections.
#[derive(Default)]
pub(super) struct Pool {
    tables: Mutex<Tables>,
    /// On their own: to count the trunks of a source takes a while.
    rooms: Mutex<Rooms>,
}

#[derive(Default)]
struct Tables {
    by_flow: HashMap<FlowId, Held>,
    by_key: HashMap<FlowKey, Arc<Line>>,
    failures: HashMap<FlowKey, Failures>,
    aliases: HashMap<(ListenerName, SocketAddr), Alias>,
    is_closed: bool,
}

/// What [`Pool::line_for`] found.
pub(super) enum Found {
    /// A connection that lives or is being opened.
    Line(Arc<Line>),
    /// Nothing: the caller has reserved the key and must open a connection.
    Open(Arc<Line>, Queue),
    /// The peer failed a moment ago.
    Failed(FlowFault),
}

impl Pool {
    /// The connection with this flow id.
    pub(super) fn by_flow(&self, flow: FlowId) -> Option<Arc<Line>> {
        let tables = self.lock();
        tables.by_flow.get(&flow).map(|held| Arc::clone(&held.line))
    }

    /// Our end of the connection that a message to a hop takes, if it is there.
    pub(super) fn local_of(&self, hop: &Hop) -> Option<SocketAddr> {
        let tables = self.lock();
        let came_on = hop.flow.and_then(|flow| tables.by_flow.get(&flow));
        let shared = || {
            let key = hop.key();
            let line = tables.by_key.get(&key).or_else(|| tables.alias_of(&key))?;
            tables.by_flow.get(&line.flow)
        };
        came_on.or_else(shared).map(|held| held.local)
    }

    /// The connection for a key. Whoever asks first opens it; all others share the attempt
    /// (SIP-125).
    pub(super) fn line_for(
        &self,
        key: &FlowKey,
        new_line: impl FnOnce() -> (Arc<Line>, Queue),
    ) -> Found {
        let mut tables = self.lock();
        let known = tables.by_key.get(key).or_else(|| tables.alias_of(key));
        if let Some(line) = known {
            return Found::Line(Arc::clone(line));
        }
        if tables.is_closed {
            return Found::Failed(FlowFault::Closed);
        }
        if let Some(failures) = tables.failures.get(key)
            && Instant::now() < failures.until
        {
            return Found::Failed(failures.fault.clone());
        }
        let (line, queue) = new_line();
        tables.by_key.insert(key.clone(), Arc::clone(&line));
        Found::Open(line, queue)
    }

    /// A connection that was opened or accepted can now be found by its flow.
    pub(super) fn established(&self, line: &Arc<Line>, key: Option<&FlowKey>, flow: &Flow) {
        let mut tables = self.lock();
        let identity = flow.identity.as_ref();
        let held = Held {
            line: Arc::clone(line),
            context: identity.map(|identity| identity.context.clone()),
            local: flow.local,
            remote: flow.remote,
            since: Instant::now(),
            is_aged: false,
        };
        tables.by_flow.insert(line.flow, held);
        line.is_up.send_replace(Some(true));
        if let Some(key) = key {
            tables.failures.remove(key);
        }
        if tables.is_closed {
            line.close(FlowFault::Closed);
        }
    }

    /// As [`Self::retire`], for those that are too old: each once.
    pub(super) fn retire_aged(&self, is_meant: impl Fn(&Held) -> bool) -> Vec<Arc<Line>> {
        let mut all: HashSet<FlowId> = HashSet::new();
        for (flow, held) in &mut self.lock().by_flow {
            if !held.is_aged && is_meant(held) {
                held.is_aged = true;
                all.insert(*flow);
            }
        }
        match all.is_empty() {
            true => Vec::new(),
            false => self.retire(|held| all.contains(&held.line.flow)),
        }
    }

    /// Lets nothing new use the connections for which this holds, and gives them.
    pub(super) fn retire(&self, is_meant: impl Fn(&Held) -> bool) -> Vec<Arc<Line>> {
        let mut tables = self.lock();
        let meant = tables.by_flow.values().filter(|held| is_meant(held));
        let meant: Vec<_> = meant.map(|held| Arc::clone(&held.line)).collect();
        let is_one = |flow: FlowId| meant.iter().any(|line| line.flow == flow);
        if !meant.is_empty() {
            tables.by_key.retain(|_, line| !is_one(line.flow));
            tables.aliases.retain(|_, alias| !is_one(alias.flow));
        }
        meant
    }

    /// Connections that are open in a TLS context, by their peers.
    pub(super) fn secured(&self) -> Vec<Secured> {
        let tables = self.lock();
        let ours: HashSet<FlowId> = tables.by_key.values().map(|line| line.flow).collect();
        let held = tables.by_flow.iter();
        let mut all: Vec<Secured> = held
            .filter_map(|(flow, held)| {
                Some(Secured {
                    context: held.context.clone()?,
                    is_ours: ours.contains(flow),
                    local: held.local,
                    remote: held.remote,
                })
            })
            .collect();
        all.sort_by(|a, b| (&a.context, a.remote).cmp(&(&b.context, b.remote)));
        all.truncate(MOST_SHOWN);
        all
    }

    /// Forgets that connections to these could not be made: the next message tries again.
    pub(super) fn forgive(&self, is_meant: impl Fn(&FlowKey) -> bool) {
        self.lock().failures.retain(|key, _| !is_meant(key));
    }

    /// What leads to the connections of ours that have this identity.
    pub(super) fn keys_of(&self, context: &TlsContextName) -> Vec<FlowKey> {
        let tables = self.lock();
        let keys = tables.by_key.keys();
        let is_its = |key: &&FlowKey| key.tls.as_ref().is_some_and(|tls| tls.context == *context);
        keys.filter(is_its).cloned().collect()
    }

    /// A connection is gone.
    pub(super) fn remove(&self, line: &Line, key: Option<&FlowKey>) {
        let mut tables = self.lock();
        tables.by_flow.remove(&line.flow);
        line.is_up.send_replace(Some(false));
        tables.aliases.retain(|_, alias| alias.flow != line.flow);
        if let Some(key) = key {
            let is_ours = tables
                .by_key
                .get(key)
                .is_some_and(|present| present.flow == line.flow);
            if is_ours {
                tables.by_key.remove(key);
            }
        }
    }

    /// Why the last attempt to connect failed, if it did.
    pub(super) fn last_fault(&self, key: &FlowKey) -> Option<FlowFault> {
        let tables = self.lock();
        tables.failures.get(key).map(|last| last.fault.clone())
    }

    /// An attempt to connect failed: the next ones fail at once until a pause is over.
    pub(super) fn failed(&self, key: &FlowKey, fault: FlowFault) {
        let now = Instant::now();
        let mut tables = self.lock();
        if tables.failures.len() >= MAX_REMEMBERED {
            tables
                .failures
                .retain(|_, failures| now < failures.until + MAX_PAUSE);
        }
        let failures = tables.failures.entry(key.clone()).or_insert(Failures {
            count: 0,
            until: now,
            fault: fault.clone(),
        });
        let pause = FIRST_PAUSE
            .saturating_mul(1 << failures.count.min(8))
            .min(MAX_PAUSE);
        failures.count += 1;
        failures.until = now + pause;
        failures.fault = fault;
    }

    /// Lets requests to `remote` use a connection that the peer has opened.
    pub(super) fn alias(
        &self,
        flow: FlowId,
        listener: ListenerName,
        remote: SocketAddr,
        identity: &PeerIdentity,
        allow_wildcard: bool,
    ) {
        let mut tables = self.lock();
        let is_live = tables.by_flow.contains_key(&flow);
        let has_room = tables.aliases.len() < MAX_REMEMBERED;
        if !is_live || !has_room {
            return;
        }
        let alias = Alias {
            flow,
            context: identity.context.clone(),
            names: identity.names.clone(),
            allow_wildcard,
        };
        tables.aliases.insert((listener, remote), alias);
    }

    /// The connection with this key, if it lives or is being opened.
    pub(super) fn by_key(&self, key: &FlowKey) -> Option<Arc<Line>> {
        self.lock().by_key.get(key).map(Arc::clone)
    }

    /// Whether a connection with this key lives or is being opened.
    pub(super) fn has(&self, key: &FlowKey) -> bool {
        self.lock().by_key.contains_key(key)
    }

    /// Whether the pool takes no new connections any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Seats of accepted connections and of their handshakes.
    pub(super) fn with_rooms<T>(&self, work: impl FnOnce(&mut Rooms) -> T) -> T {
        // Seats are counted in one statement each.
        work(&mut self.rooms.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends every connection and opens none any more.
    pub(super) fn close(&self) {
        let mut tables = self.lock();
        tables.is_closed = true;
        let held = tables.by_flow.values().map(|held| &held.line);
        for line in held.chain(tables.by_key.values()) {
            line.close(FlowFault::Closed);
        }
    }

    /// Connections that live.
    pub(super) fn len(&self) -> usize {
        self.lock().by_flow.len()
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // The tables are consistent between any two statements above.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn alias_of(&self, key: &FlowKey) -> Option<&Arc<Line>> {
        // Of a plain connection nobody knows who is at its other end.
        let wanted = key.tls.as_ref()?;
        if self.aliases.is_empty() {
            return None;
        }
        let alias = self.aliases.get(&(key.listener.clone(), key.remote))?;
        self.by_flow
            .get(&alias.flow)
            .filter(|_| alias.serves(wanted))
            .map(|held| &held.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::transport::Protocol;

    fn new_line(flow: u64) -> (Arc<Line>, Queue) {
        let pings = Pings {
            between: (Duration::from_secs(95), Duration::from_secs(120)),
            is_answered: false,
        };
        Line::new(FlowId(flow), pings)
    }

    fn key(context: &str) -> FlowKey {
        FlowKey {
            listener: ListenerName::new("l"),
            protocol: Protocol::Tls,
            remote: "192.0.2.1:5061".parse().unwrap(),
            tls: Some(Arc::new(TlsHop {
                context: TlsContextName::new(context),
                server_name: "sip.example.com".to_owned(),
                accept_names: Vec::new(),
                takes_alias: true,
            })),
        }
    }

    #[test]
    fn one_attempt_is_shared_and_contexts_do_not_share() {
        let pool = Pool::default();
        let Found::Open(line, _queue) = pool.line_for(&key("a"), || new_line(1)) else {
            panic!("first must open");
        };
        match pool.line_for(&key("a"), || new_line(2)) {
            Found::Line(shared) => assert_eq!(shared.flow, line.flow),
            _ => panic!("second must share"),
        }
        assert!(matches!(
            pool.line_for(&key("b"), || new_line(3)),
            Found::Open(..)
        ));
    }

    #[test]
    fn an_alias_serves_the_names_that_its_peer_has_proven_and_ends_with_its_connection() {
        let pool = Pool::default();
        let (accepted, _queue) = new_line(7);
        let flow = Flow {
            id: FlowId(7),
            protocol: Protocol::Tls,
            listener: ListenerName::new("l"),
            local: "192.0.2.9:5061".parse().unwrap(),
            remote: "192.0.2.1:40000".parse().unwrap(),
            identity: None,
            tls: None,
        };
        pool.established(&accepted, None, &flow);
        let identity = |context: &str, name: &str| PeerIdentity {
            context: TlsContextName::new(context),
            names: vec![name.to_owned()],
            server_name: None,
        };
        let (listener, remote) = (ListenerName::new("l"), key("a").remote);
        let proves = |context: &str, name: &str| {
            let identity = identity(context, name);
            pool.alias(FlowId(7), listener.clone(), remote, &identity, false);
        };
        let serves = |wanted: &FlowKey| match pool.line_for(wanted, || new_line(1)) {
            Found::Line(found) => found.flow == FlowId(7),
            Found::Open(opened, _) => {
                pool.remove(&opened, Some(wanted));
                false
            }
            Found::Failed(_) => false,
        };
        let plain = FlowKey {
            protocol: Protocol::Tcp,
            tls: None,
            ..key("a")
        };
        proves("a", "sip.example.com");
        assert!(serves(&key("a")));
        assert!(!serves(&key("b")), "another identity of ours");
        assert!(!serves(&plain), "nobody knows who that is");
        let mut of_other_trunk = key("a");
        if let Some(tls) = &mut of_other_trunk.tls {
            Arc::make_mut(tls).takes_alias = false;
        }
        assert!(!serves(&of_other_trunk), "its operator wants none");
        proves("a", "sip.evil.example");
        assert!(!serves(&key("a")), "another peer at the same address");
        proves("b", "sip.example.com");
        assert!(!serves(&key("a")), "verified for somebody else of us");
        proves("a", "sip.example.com");
        pool.remove(&accepted, None);
        assert!(!serves(&key("a")), "its connection is gone");
        proves("a", "sip.example.com");
        assert!(!serves(&key("a")), "too late");
    }

    #[test]
    fn a_peer_that_failed_is_left_alone_for_a_moment() {
        let pool = Pool::default();
        let Found::Open(line, _queue) = pool.line_for(&key("a"), || new_line(1)) else {
            panic!("first must open");
        };
        pool.remove(&line, Some(&key("a")));
        pool.failed(&key("a"), FlowFault::ConnectTimeout);
        assert!(matches!(
            pool.line_for(&key("a"), || new_line(2)),
            Found::Failed(FlowFault::ConnectTimeout)
        ));
    }

    #[test]
    fn a_full_queue_fails_the_connection() {
        let (line, queue) = new_line(1);
        let message = || Outgoing::new(Bytes::from_static(b"x"), None);
        for _ in 0..QUEUE_MESSAGES {
            line.offer(message()).unwrap();
        }
        let (_, fault) = line.offer(message()).unwrap_err();
        assert_eq!(fault, FlowFault::QueueFull);
        assert_eq!(*queue.closing.borrow(), Some(FlowFault::QueueFull));
    }

    #[test]
    fn queued_bytes_are_bounded_too() {
        let (line, _queue) = new_line(1);
        let big = Outgoing::new(Bytes::from(vec![0; QUEUE_BYTES + 1]), None);
        assert!(line.offer(big).is_err());
    }
}
