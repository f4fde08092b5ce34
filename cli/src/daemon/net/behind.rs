//! Messages that must not overtake another one that leaves on another connection: the NOTIFYs of a transfer, and the BYE
//! behind them, wait until the answer to its REFER is written (TDR-XFR-014, SIP-802). Both are queued at once, and each connection is written
//! by a task of its own.
//!
//! Where the answer's connection ends before it is written, nothing is waited for any more.

use super::Net;
use super::pool::Line;
use bytes::Bytes;
use sbc_core::id::{CallId, LegId, ShardId, TransactionId};
use sbc_core::transport::Hop;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

/// Answers to REFER that a shard remembers: those before them have long been written.
const MOST_ANSWERS: usize = 64;
/// Messages that wait at most behind those of one connection.
const MOST_WAITING: usize = 1_024;

/// Sends a message that has waited.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// How far a connection has come with what it was given, and what waits for that.
#[derive(Default)]
pub(super) struct Behind {
    given: AtomicU64,
    done: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    is_over: bool,
    /// Somebody sends, and looks again before the end.
    is_sending: bool,
    jobs: VecDeque<(u64, Job)>,
}

impl Behind {
    /// A message is about to be queued. What does not come to that is [`Self::done`].
    pub(super) fn given(&self) {
        // Ordering: whoever asks for a mark has given its own message before, in the same thread.
        self.given.fetch_add(1, Ordering::Relaxed);
    }

    /// So many messages are written, or will never be: what waited for them goes.
    pub(super) fn done(&self, count: u64) {
        // Ordering: the lock orders this with those who are about to wait, and with whoever sends.
        self.done.fetch_add(count, Ordering::Relaxed);
        self.send_due();
    }

    /// What has been given until now.
    pub(super) fn mark(&self) -> u64 {
        // Ordering: as where it is counted.
        self.given.load(Ordering::Relaxed)
    }

    /// Sends something as soon as all is done up to a mark, which may be at once.
    pub(super) fn follow(&self, mark: u64, job: Job) {
        let mut waiting = self.lock();
        if waiting.jobs.len() >= MOST_WAITING {
            drop(waiting);
            return job();
        }
        waiting.jobs.push_back((mark, job));
        drop(waiting);
        self.send_due();
    }

    /// Nothing is written any more.
    pub(super) fn ends(&self) {
        self.lock().is_over = true;
        self.send_due();
    }

    /// Sends what need not wait any more. One thread does, or a later message could be first; and without the lock,
    /// because a message that is refused counts as done, perhaps on this very connection.
    fn send_due(&self) {
        let mut waiting = self.lock();
        if std::mem::replace(&mut waiting.is_sending, true) {
            return;
        }
        loop {
            // Ordering: as where it is counted.
            let done = self.done.load(Ordering::Relaxed);
            let is_over = waiting.is_over;
            let first = waiting.jobs.front();
            if !first.is_some_and(|(mark, _)| is_over || *mark <= done) {
                break;
            }
            let Some((_, job)) = waiting.jobs.pop_front() else {
                break;
            };
            drop(waiting);
            job();
            waiting = self.lock();
        }
        waiting.is_sending = false;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a shard knows of the order of what it has sent.
#[derive(Default)]
pub struct Order {
    answers: VecDeque<((CallId, LegId), Weak<Line>, u64)>,
}

impl Order {
    fn note(&mut self, leg: (CallId, LegId), line: Weak<Line>, mark: u64) {
        self.answers.retain(|(own, ..)| *own != leg);
        if self.answers.len() >= MOST_ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back((leg, line, mark));
    }

    fn of(&self, leg: (CallId, LegId)) -> Option<(Weak<Line>, u64)> {
        let found = self.answers.iter().find(|(own, ..)| *own == leg)?;
        Some((found.1.clone(), found.2))
    }
}

impl Net {
    /// As [`Net::send`], for a message of a call that may have to wait for another one.
    pub fn send_in_order(
        &self,
        order: &mut Order,
        (shard, call): (ShardId, Option<(CallId, LegId)>),
        hop: &Hop,
        bytes: Bytes,
        transaction: Option<TransactionId>,
    ) {
        let Some(leg) = call else {
            return self.send(shard, hop, bytes, transaction);
        };
        if waits_for_acceptance(&bytes)
            && let Some((line, mark)) = order.of(leg)
            && let Some(line) = line.upgrade()
        {
            let (net, hop) = (self.clone(), hop.clone());
            let job = Box::new(move || net.send(shard, &hop, bytes, transaction));
            return line.behind.follow(mark, job);
        }
        let accepts = accepts_refer(&bytes);
        self.send(shard, hop, bytes, transaction);
        if accepts && let Some(line) = hop.flow.and_then(|flow| self.shared.pool.by_flow(flow)) {
            let mark = line.behind.mark();
            order.note(leg, std::sync::Arc::downgrade(&line), mark);
        }
    }
}

/// Whether who referred is to have our 2xx before this: what the transfer comes to, and BYE, before which it hears of the
/// end of it (SIP-802).
fn waits_for_acceptance(bytes: &[u8]) -> bool {
    bytes.starts_with(b"NOTIFY ") || bytes.starts_with(b"BYE ")
}

/// Whether this is a 2xx to a REFER, as we write it.
fn accepts_refer(bytes: &[u8]) -> bool {
    const NUMBER: &[u8] = b"\r\nCSeq: ";
    if !bytes.starts_with(b"SIP/2.0 20") {
        return false;
    }
    let at = bytes.windows(NUMBER.len()).position(|own| own == NUMBER);
    let line = at.and_then(|at| bytes.get(at + NUMBER.len()..));
    let line = line.and_then(|rest| rest.split(|octet| *octet == b'\r').next());
    line.is_some_and(|line| line.ends_with(b" REFER"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn noted(behind: &Behind, mark: u64, name: u8, log: &Arc<Mutex<Vec<u8>>>) {
        let log = Arc::clone(log);
        behind.follow(mark, Box::new(move || log.lock().unwrap().push(name)));
    }

    #[test]
    fn what_follows_waits_until_all_before_it_is_written_and_keeps_its_order() {
        let (behind, log) = (Behind::default(), Arc::default());
        let told = |log: &Arc<Mutex<Vec<u8>>>| log.lock().unwrap().clone();
        noted(&behind, behind.mark(), 0, &log);
        assert_eq!(told(&log), [0], "there is nothing to wait for");
        behind.given();
        behind.given();
        let mark = behind.mark();
        behind.given();
        noted(&behind, mark, 1, &log);
        noted(&behind, mark, 2, &log);
        behind.done(1);
        assert_eq!(told(&log), [0], "the answer is not written yet");
        behind.done(1);
        assert_eq!(told(&log), [0, 1, 2]);
        noted(&behind, mark, 3, &log);
        assert_eq!(told(&log), [0, 1, 2, 3]);
    }

    #[test]
    fn a_connection_that_ends_keeps_nobody_waiting() {
        let (behind, log) = (Behind::default(), Arc::default());
        behind.given();
        noted(&behind, behind.mark(), 1, &log);
        behind.ends();
        noted(&behind, behind.mark(), 2, &log);
        assert_eq!(*log.lock().unwrap(), [1, 2]);
    }

    #[test]
    fn what_follows_may_be_refused_by_the_connection_that_it_followed() {
        let (behind, log) = (Arc::new(Behind::default()), Arc::default());
        let refused = |mark: u64, name: u8| {
            let (own, log): (_, Arc<Mutex<Vec<u8>>>) = (Arc::clone(&behind), Arc::clone(&log));
            let job = move || {
                own.given();
                own.done(1);
                log.lock().unwrap().push(name);
            };
            behind.follow(mark, Box::new(job));
        };
        refused(0, 1);
        behind.given();
        let mark = behind.mark();
        refused(mark, 2);
        refused(mark, 3);
        assert_eq!(*log.lock().unwrap(), [1]);
        behind.done(1);
        assert_eq!(*log.lock().unwrap(), [1, 2, 3]);
        behind.given();
        refused(behind.mark(), 4);
        behind.ends();
        assert_eq!(*log.lock().unwrap(), [1, 2, 3, 4]);
    }

    #[test]
    fn the_answer_to_a_refer_and_what_waits_for_it_are_known_by_how_they_begin() {
        let answer = |status: &str, cseq: &str| {
            format!(
                "SIP/2.0 {status}\r\nVia: x\r\nCSeq: {cseq}\r\nAllow: INVITE, REFER\r\n\
                 Content-Length: 0\r\n\r\n"
            )
        };
        assert!(accepts_refer(answer("202 Accepted", "7 REFER").as_bytes()));
        assert!(accepts_refer(answer("200 OK", "7 REFER").as_bytes()));
        assert!(!accepts_refer(answer("200 OK", "7 INVITE").as_bytes()));
        assert!(!accepts_refer(answer("603 Decline", "7 REFER").as_bytes()));
        let waits =
            |method: &str| waits_for_acceptance(format!("{method} sip:a SIP/2.0\r\n").as_bytes());
        assert_eq!(
            ["NOTIFY", "BYE", "INVITE", "ACK"].map(waits),
            [true, true, false, false]
        );
    }
}
