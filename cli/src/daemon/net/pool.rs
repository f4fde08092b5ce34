//! Connections by flow and by key, the write queue of each, and how many there may be.

use super::admission::Rooms;
use bytes::Bytes;
use sbc_core::id::{FlowId, ShardId, TransactionId};
use sbc_core::transport::{FlowFault, FlowKey};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Messages that may wait on one connection (SIP-124). So many that the octets below are what bounds
/// them: a shard can answer hundreds of requests while the thread that writes has no processor.
const QUEUE_MESSAGES: usize = 4096;
/// Bytes that may wait on one connection (SIP-124).
const QUEUE_BYTES: usize = 1024 * 1024;
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
}

/// The writing end of one connection, open or being opened.
pub(super) struct Line {
    pub(super) flow: FlowId,
    queue: mpsc::Sender<Outgoing>,
    queued_bytes: AtomicUsize,
    closing: watch::Sender<Option<FlowFault>>,
}

/// The reading end of a write queue.
pub(super) struct Queue {
    pub(super) messages: mpsc::Receiver<Outgoing>,
    pub(super) closing: watch::Receiver<Option<FlowFault>>,
}

impl Line {
    /// A line for a new connection, and the queue that its task reads.
    pub(super) fn new(flow: FlowId) -> (Arc<Self>, Queue) {
        let (queue, messages) = mpsc::channel(QUEUE_MESSAGES);
        let (closing, is_closing) = watch::channel(None);
        let line = Self {
            flow,
            queue,
            queued_bytes: AtomicUsize::new(0),
            closing,
        };
        let queue = Queue {
            messages,
            closing: is_closing,
        };
        (Arc::new(line), queue)
    }

    /// Queues a message. A peer that lets its queue fill does not read: its connection is failed,
    /// and nobody waits for it.
    pub(super) fn offer(&self, outgoing: Outgoing) -> Result<(), (Outgoing, FlowFault)> {
        let length = outgoing.bytes.len();
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
        if fault == FlowFault::QueueFull {
            self.close(FlowFault::QueueFull);
        }
        Err((outgoing, fault))
    }

    /// Whether so much waits that the peer should not be asked for more.
    pub(super) fn is_half_full(&self) -> bool {
        self.queue.capacity() < QUEUE_MESSAGES / 2
            // Ordering: an estimate.
            || self.queued_bytes.load(Ordering::Relaxed) > QUEUE_BYTES / 2
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

/// All connections.
#[derive(Default)]
pub(super) struct Pool {
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    by_flow: HashMap<FlowId, Arc<Line>>,
    by_key: HashMap<FlowKey, Arc<Line>>,
    failures: HashMap<FlowKey, Failures>,
    rooms: Rooms,
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
        self.lock().by_flow.get(&flow).cloned()
    }

    /// The connection for a key. Whoever asks first opens it; all others share the attempt
    /// (SIP-125).
    pub(super) fn line_for(&self, key: &FlowKey, new_flow: impl FnOnce() -> FlowId) -> Found {
        let mut tables = self.lock();
        if let Some(line) = tables.by_key.get(key) {
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
        let (line, queue) = Line::new(new_flow());
        tables.by_key.insert(key.clone(), Arc::clone(&line));
        Found::Open(line, queue)
    }

    /// A connection that was opened or accepted can now be found by its flow.
    pub(super) fn established(&self, line: &Arc<Line>, key: Option<&FlowKey>) {
        let mut tables = self.lock();
        tables.by_flow.insert(line.flow, Arc::clone(line));
        if let Some(key) = key {
            tables.failures.remove(key);
        }
        if tables.is_closed {
            line.close(FlowFault::Closed);
        }
    }

    /// A connection is gone.
    pub(super) fn remove(&self, line: &Line, key: Option<&FlowKey>) {
        let mut tables = self.lock();
        tables.by_flow.remove(&line.flow);
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
        work(&mut self.lock().rooms)
    }

    /// Ends every connection and opens none any more.
    pub(super) fn close(&self) {
        let mut tables = self.lock();
        tables.is_closed = true;
        for line in tables.by_flow.values().chain(tables.by_key.values()) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::id::{ListenerName, TlsContextName};
    use sbc_core::transport::{Protocol, TlsHop};

    fn key(context: &str) -> FlowKey {
        FlowKey {
            listener: ListenerName::new("l"),
            protocol: Protocol::Tls,
            remote: "192.0.2.1:5061".parse().unwrap(),
            tls: Some(TlsHop {
                context: TlsContextName::new(context),
                server_name: "sip.example.com".to_owned(),
                accept_names: Vec::new(),
            }),
        }
    }

    #[test]
    fn one_attempt_is_shared_and_contexts_do_not_share() {
        let pool = Pool::default();
        let Found::Open(line, _queue) = pool.line_for(&key("a"), || FlowId(1)) else {
            panic!("first must open");
        };
        match pool.line_for(&key("a"), || FlowId(2)) {
            Found::Line(shared) => assert_eq!(shared.flow, line.flow),
            _ => panic!("second must share"),
        }
        assert!(matches!(
            pool.line_for(&key("b"), || FlowId(3)),
            Found::Open(..)
        ));
    }

    #[test]
    fn a_peer_that_failed_is_left_alone_for_a_moment() {
        let pool = Pool::default();
        let Found::Open(line, _queue) = pool.line_for(&key("a"), || FlowId(1)) else {
            panic!("first must open");
        };
        pool.remove(&line, Some(&key("a")));
        pool.failed(&key("a"), FlowFault::ConnectTimeout);
        assert!(matches!(
            pool.line_for(&key("a"), || FlowId(2)),
            Found::Failed(FlowFault::ConnectTimeout)
        ));
    }

    #[test]
    fn a_full_queue_fails_the_connection() {
        let (line, queue) = Line::new(FlowId(1));
        let message = || Outgoing {
            bytes: Bytes::from_static(b"x"),
            owner: None,
        };
        for _ in 0..QUEUE_MESSAGES {
            line.offer(message()).unwrap();
        }
        let (_, fault) = line.offer(message()).unwrap_err();
        assert_eq!(fault, FlowFault::QueueFull);
        assert_eq!(*queue.closing.borrow(), Some(FlowFault::QueueFull));
    }

    #[test]
    fn queued_bytes_are_bounded_too() {
        let (line, _queue) = Line::new(FlowId(1));
        let big = Outgoing {
            bytes: Bytes::from(vec![0; QUEUE_BYTES + 1]),
            owner: None,
        };
        assert!(line.offer(big).is_err());
    }
}
