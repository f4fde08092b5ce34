//! When the writer writes: what is urgent at once, as long as that is not asked for all the time; all else when enough
//! of it has gathered. Each time costs a change of threads and a call of the kernel, and the shard has to wake the writer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Time in which what is not urgent gathers.
const PAUSE: Duration = Duration::from_millis(20);
/// What is urgent is written so often, in the long run.
const EVERY: Duration = Duration::from_millis(4);
/// How far it may be ahead of that: a few at once.
const AHEAD: Duration = Duration::from_millis(32);

/// Whether something urgent waits.
#[derive(Default)]
pub(super) struct Urgent(AtomicBool);

impl Urgent {
    /// Wakes the writer, unless it has been woken and has not looked yet. Call when the order is in the queue.
    pub(super) fn tell(&self, writer: &Thread) {
        // Ordering: the order is in the queue before; whoever sees the mark finds it there.
        if !self.0.swap(true, Ordering::AcqRel) {
            writer.unpark();
        }
    }

    /// The writer is about to look into the queue.
    fn seen(&self) {
        self.0.store(false, Ordering::Release);
    }

    fn waits(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// How often has been written at once.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the next time would be if they were evenly spread.
    next: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now }
    }

    /// Lets orders gather; says whether it was cut short by something urgent. Call on the thread that is woken by
    /// [`Urgent::tell`], with an empty queue.
    pub(super) fn rest(&mut self, urgent: &Urgent) -> bool {
        let until = Instant::now() + PAUSE;
        loop {
            let now = Instant::now();
            let is_urgent = urgent.waits();
            let is_over = now >= until;
            if is_over || (is_urgent && self.takes(now)) {
                urgent.seen();
                return !is_over;
            }
            let next = if is_urgent {
                self.due().min(until)
            } else {
                until
            };
            thread::park_timeout(next.saturating_duration_since(now));
        }
    }

    /// When something urgent may be written.
    fn due(&self) -> Instant {
        self.next.checked_sub(AHEAD).unwrap_or(self.next)
    }

    /// Whether something urgent may be written now; then it counts.
    fn takes(&mut self, now: Instant) -> bool {
        let is_due = self.due() <= now;
        if is_due {
            self.next = self.next.max(now) + EVERY;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_urgent_goes_at_once_until_it_comes_too_often() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let at = |ms: u64| begin + Duration::from_millis(ms);
        // One each 5 ms never waits.
        assert!((0..100).all(|n| pace.takes(at(5 * n))));
        // Of a burst at one instant the first few.
        assert_eq!((0..100).filter(|_| pace.takes(at(1_000))).count(), 9);
        // And then one each 4 ms, however many come.
        let taken = (1_001..2_001).filter(|ms| pace.takes(at(*ms))).count();
        assert!((249..=251).contains(&taken), "{taken}");
        // When it waits, it is known until when.
        assert!(pace.due() > at(2_000) && pace.due() <= at(2_004));
    }

    #[test]
    fn the_writer_is_woken_by_what_is_urgent_and_once_for_all_of_it() {
        let urgent = std::sync::Arc::new(Urgent::default());
        let (mut pace, own) = (Pace::new(Instant::now()), thread::current());
        // What was told before the rest begins is not slept over.
        urgent.tell(&own);
        urgent.tell(&own);
        let next = pace.next;
        assert!(pace.rest(&urgent), "written at once");
        assert!(pace.next > next && !urgent.waits());
        // Nothing is: it gathers, and takes nothing of what may be written at once.
        let (next, begin) = (pace.next, Instant::now());
        assert!(!pace.rest(&urgent));
        assert!(begin.elapsed() >= PAUSE && pace.next == next);
    }
}
