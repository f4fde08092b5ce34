//! The loop of one worker thread: wait, obey, receive, send, tick, publish.

mod sessions;

use crate::control::EventSink;
use crate::control::realm::RealmPorts;
use crate::control::totals::Published;
use crate::entropy::Entropy;
use crate::io::{Batch, Mmsg};
use crate::session::SocketId;
use crate::time::{Timestamp, WallOffset};
use media_api::Command;
use sessions::Sessions;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// Longest time between two publications of the totals.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(250);
/// Commands applied before packets get their turn again.
const COMMANDS_AT_ONCE: usize = 256;

/// What reaches a worker.
#[derive(Debug)]
pub(crate) enum Order {
    Command(Command),
    Stop,
}

/// Reads the monotonic clock as the sessions count it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new(start: Instant) -> Self {
        Self(start)
    }

    fn now(self) -> Timestamp {
        Timestamp(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// One worker thread and everything it owns.
pub(crate) struct Worker {
    batch: Mmsg,
    orders: Receiver<Order>,
    waiting: Arc<AtomicUsize>,
    sessions: Sessions,
    published: Arc<Published>,
    clock: Clock,
}

impl Worker {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a worker, put together once"
    )]
    pub(crate) fn new(
        batch: Mmsg,
        orders: Receiver<Order>,
        waiting: Arc<AtomicUsize>,
        realms: Arc<[RealmPorts]>,
        entropy: Entropy,
        sink: Arc<EventSink>,
        published: Arc<Published>,
        clock: Clock,
        wall: WallOffset,
    ) -> Self {
        let sessions = Sessions::new(realms, entropy, sink, wall);
        Self {
            batch,
            orders,
            waiting,
            sessions,
            published,
            clock,
        }
    }

    pub(crate) fn run(mut self) {
        let mut ready: Vec<SocketId> = Vec::new();
        let mut publish_at = self.clock.now();
        loop {
            let now = self.clock.now();
            let until_tick = self.sessions.next_deadline().map(|due| due.since(now));
            let timeout = until_tick.unwrap_or(PUBLISH_INTERVAL).min(PUBLISH_INTERVAL);
            ready.clear();
            if self.batch.wait(timeout, &mut ready).is_err() {
                // Only a broken epoll descriptor ends here; do not spin on it.
                std::thread::sleep(timeout);
            }
            // Commands first: whoever answers a call tells us before it tells the caller, so media
            // that follows the answer finds its path, however late this thread was woken.
            if self.obey().is_break() {
                return;
            }
            for socket in &ready {
                self.sessions
                    .receive(*socket, self.clock.now(), &mut self.batch);
            }
            let now = self.clock.now();
            self.sessions.tick(now, &mut self.batch);
            if now >= publish_at {
                publish_at = now + PUBLISH_INTERVAL;
                self.sessions.publish(&self.published);
            }
        }
    }

    fn obey(&mut self) -> std::ops::ControlFlow<()> {
        for _ in 0..COMMANDS_AT_ONCE {
            let now = self.clock.now();
            match self.orders.try_recv() {
                Ok(Order::Command(command)) => {
                    // Ordering: see `Relay::command`.
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    self.sessions.command(command, now, &mut self.batch);
                }
                Err(TryRecvError::Empty) => return std::ops::ControlFlow::Continue(()),
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => {
                    self.sessions.release_all(now, &mut self.batch);
                    self.sessions.publish(&self.published);
                    return std::ops::ControlFlow::Break(());
                }
            }
        }
        // More may wait; the next turn must not sleep on it.
        self.batch.wake();
        std::ops::ControlFlow::Continue(())
    }
}
