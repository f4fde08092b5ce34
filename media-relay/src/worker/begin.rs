//! What a worker begins with, and its beginning.

use super::cores;
use super::neighbours::Neighbours;
use super::priority;
use super::resting::Resting;
use super::stock::Stock;
use super::{Clock, Order, Worker};
use crate::control::EventSink;
use crate::control::realm::RealmPorts;
use crate::control::totals::Published;
use crate::dtls::Identities;
use crate::entropy::Entropy;
use crate::io::{Batch, Waker};
use crate::time::WallOffset;
use crate::transcode::class::Door;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};

/// All that a worker has from outside but its sockets.
pub(crate) struct Beginning {
    pub(crate) number: usize,
    /// Where it stays, if it has to.
    pub(crate) core: Option<usize>,
    pub(crate) orders: Receiver<Order>,
    pub(crate) waiting: Arc<AtomicUsize>,
    pub(crate) realms: Arc<[RealmPorts]>,
    pub(crate) entropy: Entropy,
    pub(crate) sink: Arc<EventSink>,
    pub(crate) stock: Arc<Stock>,
    pub(crate) published: Arc<Published>,
    pub(crate) clock: Clock,
    pub(crate) wall: WallOffset,
    pub(crate) resting: Resting,
    pub(crate) neighbours: Arc<Neighbours>,
    pub(crate) identities: Arc<Identities>,
    pub(crate) door: Door,
}

impl Beginning {
    /// Starts the thread with sockets of any kind.
    pub(crate) fn begin<B: Batch + Send + 'static>(
        self,
        (batch, waker): (B, Waker),
    ) -> io::Result<(JoinHandle<()>, Waker)> {
        let name = format!("media-{}", self.number);
        let core = self.core;
        let mut worker = Worker::new(batch, self);
        // The first calls find it full.
        worker.restock(usize::MAX);
        let thread = thread::Builder::new().name(name).spawn(move || {
            priority::forward();
            if let Some(core) = core {
                cores::stay_on(core);
            }
            worker.run();
        })?;
        Ok((thread, waker))
    }
}
