//! What waits to be written to a socket: one thread writes, others never wait for it.

use media_api::wire::{Wire, Writer};
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Octets that may wait for the other side. More than a second of the busiest node.
pub(super) const MOST: usize = 16 << 20;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    out: Writer,
    /// What is large, and after how many octets of `out` its turn comes. No bound counts it.
    large: Vec<(usize, Writer)>,
    is_over: bool,
    /// The writer sleeps; otherwise it looks before it does.
    is_idle: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.out.octets().is_empty() && self.large.is_empty()
    }
}

/// How a value was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pushed {
    Taken,
    /// It was not: so much waits, or the queue is over.
    Full,
}

impl Queue {
    /// Appends a value if fewer octets than `most` wait.
    pub(super) fn push(&self, value: &impl Wire, most: usize) -> Pushed {
        let mut waiting = self.lock();
        if waiting.is_over || waiting.out.octets().len() >= most {
            return Pushed::Full;
        }
        waiting.out.frame(value);
        if std::mem::take(&mut waiting.is_idle) {
            self.came.notify_one();
        }
        Pushed::Taken
    }

    /// Appends what was written elsewhere already, since it is large. What else waits is bounded as if it
    /// were not there.
    pub(super) fn push_large(&self, written: Writer) {
        let mut waiting = self.lock();
        let at = waiting.out.octets().len();
        waiting.large.push((at, written));
        if std::mem::take(&mut waiting.is_idle) {
            self.came.notify_one();
        }
    }

    /// Nothing more is written, once what waits is.
    pub(super) fn close(&self) {
        self.lock().is_over = true;
        self.came.notify_all();
    }

    /// Writes what comes until the queue is closed. `round` is asked for more whenever so much time has passed.
    ///
    /// # Errors
    /// What the socket says.
    pub(super) fn write_to(
        &self,
        mut socket: impl Write,
        every: Duration,
        mut round: impl FnMut(&mut Writer),
    ) -> io::Result<()> {
        let mut batch = Writer::default();
        let mut last = std::time::Instant::now();
        round(&mut batch);
        socket.write_all(batch.octets())?;
        batch.clear();
        loop {
            let (is_over, large) = {
                let mut waiting = self.lock();
                while waiting.is_empty() && !waiting.is_over {
                    let left = every.saturating_sub(last.elapsed());
                    if left.is_zero() {
                        break;
                    }
                    waiting.is_idle = true;
                    let woken = self.came.wait_timeout(waiting, left);
                    waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
                    waiting.is_idle = false;
                }
                std::mem::swap(&mut waiting.out, &mut batch);
                (waiting.is_over, std::mem::take(&mut waiting.large))
            };
            if last.elapsed() >= every {
                last = std::time::Instant::now();
                round(&mut batch);
            }
            let mut written = 0;
            for (at, large) in large {
                socket.write_all(&batch.octets()[written..at])?;
                socket.write_all(large.octets())?;
                written = at;
            }
            socket.write_all(&batch.octets()[written..])?;
            batch.clear();
            if is_over {
                return Ok(());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
