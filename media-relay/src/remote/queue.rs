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
    /// Octets of `out` that [`MOST`] does not count: a bound of their own does.
    aside: usize,
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
        if waiting.is_over || waiting.out.octets().len() - waiting.aside >= most {
            return Pushed::Full;
        }
        waiting.out.frame(value);
        if std::mem::take(&mut waiting.is_idle) {
            self.came.notify_one();
        }
        Pushed::Taken
    }

    /// Appends a value if fewer octets than `most` wait of those that came in this way. What else waits is bounded as if
    /// they were not there.
    pub(super) fn push_aside(&self, value: &impl Wire, most: usize) -> Pushed {
        let mut waiting = self.lock();
        if waiting.is_over || waiting.aside >= most {
            return Pushed::Full;
        }
        let before = waiting.out.octets().len();
        waiting.out.frame(value);
        waiting.aside += waiting.out.octets().len() - before;
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
                waiting.aside = 0;
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
            // So much comes once, and its room is not kept for ever.
            match batch.octets().len() > MOST {
                true => batch = Writer::default(),
                false => batch.clear(),
            }
            if is_over {
                return Ok(());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_aside_takes_no_room_from_the_rest_and_is_written_in_order() {
        let queue = Queue::default();
        let kept = "k".repeat(1_000);
        assert_eq!(queue.push_aside(&kept, 500), Pushed::Taken);
        assert_eq!(queue.push_aside(&kept, 500), Pushed::Full);
        assert_eq!(queue.push(&"a".to_owned(), 8), Pushed::Taken);
        assert_eq!(queue.push(&"b".to_owned(), 8), Pushed::Full);
        queue.close();
        let mut written = Vec::new();
        let every = Duration::from_secs(1);
        queue.write_to(&mut written, every, |_| ()).unwrap();
        let mut expected = Writer::default();
        expected.frame(&kept);
        expected.frame(&"a".to_owned());
        assert_eq!(written, expected.octets());
        assert_eq!(queue.push_aside(&kept, 500), Pushed::Full, "it is over");
    }
}
