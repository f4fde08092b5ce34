//! The workers as each other sees them: a party may change to a session of another one.

use super::Order;
use crate::io::Waker;
use crate::session::Handed;
use media_api::SessionId;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};

/// Packets and commands that may wait at a worker before packets of others are dropped.
const MOST_WAITING: usize = 1_000;

/// All workers; known once the last one has started.
#[derive(Default)]
pub(crate) struct Neighbours(OnceLock<Vec<Neighbour>>);

/// One worker, from outside.
pub(crate) struct Neighbour {
    pub(crate) inbox: Sender<Order>,
    pub(crate) waiting: Arc<AtomicUsize>,
    pub(crate) waker: Waker,
}

impl Neighbours {
    /// Introduces all of them, in order; only the first time counts.
    pub(crate) fn introduce(&self, all: Vec<Neighbour>) {
        let _ = self.0.set(all);
    }

    /// Gives a packet to the worker of its session. One that cannot keep up does not get it.
    pub(crate) fn hand(&self, handed: Box<Handed>) {
        let all = self.0.get().map_or(&[][..], Vec::as_slice);
        let Some(worker) = all.get(place(handed.to, all.len())) else {
            return;
        };
        // Ordering: a bound on a queue, exact enough when a few are in flight.
        if worker.waiting.load(Ordering::Relaxed) >= MOST_WAITING {
            return;
        }
        worker.waiting.fetch_add(1, Ordering::Relaxed);
        if worker.inbox.send(Order::Handed(handed)).is_ok() {
            worker.waker.wake();
        }
    }
}

impl fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Neighbours")
    }
}

/// Which of so many workers owns a session. Sessions of one shard come one after the other, so their
/// numbers spread them evenly.
pub(crate) fn place(session: SessionId, workers: usize) -> usize {
    let number = session.0 ^ (session.0 >> 48);
    (number % (workers as u64).max(1)) as usize
}
