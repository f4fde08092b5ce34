//! One TCP or TLS connection: cut into messages, answered when it pings, written to without ever
//! waiting for anybody else (SIP-120 to SIP-128).

use super::Shared;
use super::pool::{self, Line, Outgoing, Pings, Queue};
use crate::sink::metrics::{Direction, ListenerMetrics};
use bytes::Bytes;
use sbc_core::input::Input;
use sbc_core::sip::{Limits, Message, Reaction};
use sbc_core::transport::framer::{Frame, Framer};
use sbc_core::transport::{Flow, FlowFault};
use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// Messages that are read before the other end of the connection gets its turn.
const MESSAGES_PER_TURN: u32 = 8;
/// Messages that are written together.
const BATCH: usize = 64;
/// How often a queue is looked at that keeps us from reading on.
const ROOM: Duration = Duration::from_millis(1);
/// Time for the answer to a message that broke the stream.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Pongs that a peer may make us send per second, and as many by what stands behind its messages (SEC-026).
const PONGS_PER_SECOND: u32 = 2;
/// Broken messages per minute after which the connection is closed.
const BROKEN_PER_MINUTE: u32 = 10;

// Ordering: flags of one task, never read by two threads at a time.
const ORDER: Ordering = Ordering::Relaxed;

/// What the two ends of a connection share. Both run in one task; the locks only satisfy the type
/// system and are never contended.
pub(super) struct Connection<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) flow: &'a Flow,
    pub(super) line: &'a Arc<Line>,
    pub(super) direction: Direction,
    pub(super) metrics: &'a ListenerMetrics,
    /// Whether a message of the peer was understood.
    has_history: AtomicBool,
    /// When our last ping was sent, while its answer is outstanding.
    pinged: Mutex<Option<Instant>>,
    /// Whether the peer has said, or its trunk says, that it answers pings.
    peer_pongs: AtomicBool,
    /// Whether we have said goodbye.
    is_leaving: AtomicBool,
    /// Whether the peer is pinged. Who connects to us is not: that is its own business.
    is_pinged: bool,
}

impl<'a> Connection<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        flow: &'a Flow,
        line: &'a Arc<Line>,
        direction: Direction,
        metrics: &'a ListenerMetrics,
    ) -> Self {
        Self {
            shared,
            flow,
            line,
            direction,
            metrics,
            has_history: AtomicBool::new(false),
            pinged: Mutex::new(None),
            peer_pongs: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            is_pinged: direction == Direction::Out,
        }
    }

    /// The same with a peer that expects no pings, whose line ends answer none either.
    pub(super) fn without_pings(self, is_without: bool) -> Self {
        Self {
            is_pinged: self.is_pinged && !is_without,
            ..self
        }
    }

    /// Serves the connection until it ends; tells every owner of an unfinished message.
    pub(super) async fn run(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin,
        queue: &mut Queue,
    ) -> FlowFault {
        let (reader, writer) = tokio::io::split(io);
        let mut reading = pin!(self.read(reader));
        let fault = tokio::select! {
            fault = &mut reading => fault,
            fault = self.write(writer, queue) => {
                if fault == FlowFault::Closed && !self.shared.pool.is_closed() {
                    self.is_leaving.store(true, ORDER);
                    let _ = timeout(self.shared.patience.goodbye, reading).await;
                }
                fault
            }
        };
        for (shard, transaction) in self.line.unanswered.take() {
            self.shared.send_failed(shard, transaction, fault.clone());
        }
        fault
    }

    /// Whether a message of the peer was understood.
    pub(super) fn has_history(&self) -> bool {
        self.has_history.load(ORDER)
    }

    fn pinged(&self) -> Option<Instant> {
        *lock(&self.pinged)
    }

    async fn read(&self, mut reader: impl AsyncRead + Unpin) -> FlowFault {
        let mut framer = Framer::new(Limits::default());
        let mut buffer = vec![0; 16 * 1024];
        let begun = Instant::now();
        let mut last_octet = begun;
        let mut message_begun = None;
        let (mut pings, mut trailing) = (Rate::default(), Rate::default());
        let mut was_message = false;
        let mut broken = Rate::default();
        let mut messages: u32 = 0;
        loop {
            let deadline = || self.read_deadline(begun, last_octet, message_begun);
            // A ping that is sent while we wait may bring the end nearer.
            let look = Instant::now() + self.shared.patience.pong;
            let length = match timeout_at(look.min(deadline()), reader.read(&mut buffer)).await {
                Err(_) if Instant::now() < deadline() => continue,
                Err(_) => return FlowFault::Idle,
                Ok(Ok(0)) => return FlowFault::Closed,
                Ok(Ok(length)) => length,
                Ok(Err(error)) => return read_fault(&error, self.has_history()),
            };
            last_octet = Instant::now();
            framer.push(buffer.get(..length).unwrap_or_default());
            let mut maybe_pong = false;
            let mut was_completed = false;
            while let Some(frame) = framer.next_frame() {
                match frame {
                    Frame::Message(bytes) => {
                        (was_completed, was_message) = (true, true);
                        // Both ends of a connection are one task: a peer that always has something
                        // to say must not keep our answers from leaving, or they would fill the
                        // queue that it does empty.
                        messages = messages.wrapping_add(1);
                        if messages.is_multiple_of(MESSAGES_PER_TURN) {
                            tokio::task::yield_now().await;
                        }
                        if self.message(bytes) {
                            self.has_history.store(true, ORDER);
                        } else if broken.count(Duration::from_secs(60)) > BROKEN_PER_MINUTE {
                            return FlowFault::NotSip;
                        }
                    }
                    // The first half of a ping looks like a pong; only what stays alone is one.
                    Frame::Pong => maybe_pong = true,
                    Frame::Ping => {
                        maybe_pong = false;
                        // Some write empty lines behind each message, and mean nothing by them (SIP-120).
                        let is_trailing = std::mem::take(&mut was_message);
                        let rate = match is_trailing {
                            true => &mut trailing,
                            false => &mut pings,
                        };
                        match rate.count(Duration::from_secs(1)) > PONGS_PER_SECOND {
                            true if is_trailing => continue,
                            true => return FlowFault::NotSip,
                            false => {}
                        }
                        let pong = Outgoing::new(Bytes::from_static(b"\r\n"), None);
                        if let Err((_, fault)) = self.line.offer(pong) {
                            return fault;
                        }
                    }
                    Frame::Fault(rejected) => {
                        let has_answer = matches!(rejected.reaction, Reaction::Answer { .. });
                        self.shared.malformed(self.flow, rejected);
                        if has_answer {
                            tokio::time::sleep(LAST_WORDS).await;
                        }
                        return FlowFault::NotSip;
                    }
                }
            }
            // From who is not known to answer pings it is a stray line end, as some write behind each message: nobody is
            // held to more because of it (SIP-122).
            if maybe_pong {
                lock(&self.pinged).take();
            }
            message_begun = framer
                .is_mid_message()
                .then(|| begun_at(message_begun, was_completed, last_octet));
            // A stream repeats nothing, so what a shard has no room for must not be read yet.
            while self.line.is_half_full() || self.shared.inboxes.are_crowded() {
                tokio::time::sleep(ROOM).await;
            }
        }
    }

    /// Hands one message over; `false` if it was none. After the goodbye nothing begins: its answers would have no way
    /// that its sender is sure to have.
    fn message(&self, bytes: Bytes) -> bool {
        if self.is_leaving.load(ORDER) {
            self.shared
                .message_of_retired(self.flow, self.metrics, bytes);
            return true;
        }
        let heard = |message: &Message| self.line.unanswered.heard(message, Instant::now());
        self.shared.message(self.flow, self.metrics, bytes, heard)
    }

    fn read_deadline(
        &self,
        begun: Instant,
        last_octet: Instant,
        message_begun: Option<Instant>,
    ) -> Instant {
        let patience = &self.shared.patience;
        let mut deadline = last_octet + patience.idle;
        if let Some(since) = message_begun {
            deadline = deadline.min(since + patience.message);
        }
        if self.direction == Direction::In && !self.has_history() {
            deadline = deadline.min(begun + patience.first_message);
        }
        // Who is not known to answer pings need not (SIP-122).
        if let (Some(pinged), true) = (self.pinged(), self.peer_pongs.load(ORDER)) {
            deadline = deadline.min(pinged + patience.pong);
        }
        deadline
    }

    async fn write(&self, mut writer: impl AsyncWrite + Unpin, queue: &mut Queue) -> FlowFault {
        let mut pings = *queue.pings.borrow_and_update();
        self.knows(pings);
        let mut next_ping = Instant::now() + self.ping_pause(pings);
        let mut batch = Vec::new();
        loop {
            let fault = tokio::select! {
                biased;
                // Leaves when somebody wants the connection to end.
                why = pool::wanted_end(&mut queue.closing) => why,
                count = queue.messages.recv_many(&mut batch, BATCH) => match count {
                    0 => FlowFault::Closed,
                    _ => match self.send(&mut writer, &mut batch).await {
                        Ok(()) => continue,
                        Err(fault) => return fault,
                    },
                },
                Ok(()) = queue.pings.changed(), if self.is_pinged => {
                    pings = *queue.pings.borrow_and_update();
                    self.knows(pings);
                    next_ping = Instant::now() + self.ping_pause(pings);
                    continue;
                }
                () = sleep_until(next_ping), if self.is_pinged => {
                    next_ping = Instant::now() + self.ping_pause(pings);
                    if let Err(fault) = self.write_all(&mut writer, b"\r\n\r\n").await {
                        return fault;
                    }
                    // The first of several that are not answered counts.
                    lock(&self.pinged).get_or_insert_with(Instant::now);
                    continue;
                }
            };
            if fault == FlowFault::Closed {
                self.finish(&mut writer, queue).await;
            }
            return fault;
        }
    }

    /// Writes messages together, so that the queue empties faster than a shard can fill it.
    async fn send(
        &self,
        writer: &mut (impl AsyncWrite + Unpin),
        batch: &mut Vec<Outgoing>,
    ) -> Result<(), FlowFault> {
        // Before they are written: whatever ends the connection meanwhile, their owners hear of it.
        for outgoing in batch.iter_mut() {
            self.line.taken(outgoing.bytes.len());
            let is_wanted = |owner| !outgoing.has_waited || self.line.waits_no_more(owner);
            if !outgoing.owner.is_none_or(is_wanted) {
                // Taken back; it only has its place here.
                *outgoing = Outgoing::new(Bytes::new(), None);
            }
            self.line.unanswered.note(outgoing, Instant::now());
        }
        match batch.as_slice() {
            [single] => self.write_all(writer, &single.bytes).await?,
            several => {
                let whole: Vec<&[u8]> = several.iter().map(|each| each.bytes.as_ref()).collect();
                self.write_all(writer, &whole.concat()).await?;
            }
        }
        self.line.behind.done(batch.len() as u64);
        for outgoing in batch.drain(..) {
            if let Some((shard, transaction)) = outgoing.owner.filter(|_| outgoing.has_waited) {
                self.shared.leaves(shard, transaction, Duration::ZERO);
            }
            if outgoing.bytes.len() > pool::PONG_BYTES {
                self.metrics.sent(&outgoing.bytes);
            }
        }
        Ok(())
    }

    /// Writes what is still queued, then says goodbye properly.
    async fn finish(&self, writer: &mut (impl AsyncWrite + Unpin), queue: &mut Queue) {
        queue.messages.close();
        let mut batch = Vec::new();
        while queue.messages.recv_many(&mut batch, BATCH).await > 0 {
            if self.send(writer, &mut batch).await.is_err() {
                return;
            }
        }
        // The peer may be gone already; there is nobody to tell.
        let _ = timeout(self.shared.patience.write, writer.shutdown()).await;
    }

    /// Whether the peer is known to answer pings.
    fn knows(&self, pings: Pings) {
        if pings.is_answered {
            self.peer_pongs.store(true, ORDER);
        }
    }

    /// A pause within the range, different for every connection and ping.
    fn ping_pause(&self, pings: Pings) -> Duration {
        let random = RandomState::new().hash_one(self.flow.id.0);
        let (least, most) = pings.between;
        let spread = most.saturating_sub(least).as_millis();
        let extra = u128::from(random) % spread.max(1);
        least + Duration::from_millis(u64::try_from(extra).unwrap_or(0))
    }

    /// Writes everything as long as there is progress.
    async fn write_all(
        &self,
        writer: &mut (impl AsyncWrite + Unpin),
        mut bytes: &[u8],
    ) -> Result<(), FlowFault> {
        let limit = self.shared.patience.write;
        while !bytes.is_empty() {
            match timeout(limit, writer.write(bytes)).await {
                Err(_) => return Err(FlowFault::QueueFull),
                Ok(Ok(0)) => return Err(FlowFault::Closed),
                Ok(Ok(length)) => bytes = bytes.get(length..).unwrap_or_default(),
                Ok(Err(error)) => return Err(FlowFault::Broken(error.to_string())),
            }
        }
        match timeout(limit, writer.flush()).await {
            Err(_) => Err(FlowFault::QueueFull),
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(FlowFault::Broken(error.to_string())),
        }
    }
}

/// When the message that is incomplete now began: on a busy connection nearly every read ends in the
/// middle of one, but of another one each time.
fn begun_at(before: Option<Instant>, was_completed: bool, last_octet: Instant) -> Instant {
    match before {
        Some(before) if !was_completed => before,
        Some(_) | None => last_octet,
    }
}

/// With TLS 1.3 a server's verdict on our certificate arrives after our handshake is complete, as
/// the first thing that is read.
fn read_fault(error: &std::io::Error, has_history: bool) -> FlowFault {
    let alert = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .filter(|inner| matches!(inner, rustls::Error::AlertReceived(_)));
    match alert {
        Some(alert) if !has_history => {
            FlowFault::TlsAlert(super::tls::Refusal::of(alert).to_string())
        }
        _ if error.kind() == std::io::ErrorKind::UnexpectedEof => FlowFault::Closed,
        _ => FlowFault::Broken(error.to_string()),
    }
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts within a window of time.
struct Rate {
    since: Instant,
    count: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            count: 0,
        }
    }
}

impl Rate {
    /// One more; how many in the present window.
    fn count(&mut self, window: Duration) -> u32 {
        let now = Instant::now();
        if now.duration_since(self.since) >= window {
            self.since = now;
            self.count = 0;
        }
        self.count += 1;
        self.count
    }
}

/// Tells the owners of everything that is still queued, after the connection is no longer found.
pub(super) async fn refuse_rest(
    shared: &Shared,
    line: &Line,
    queue: &mut Queue,
    fault: &FlowFault,
) {
    queue.messages.close();
    while let Some(outgoing) = queue.messages.recv().await {
        line.taken(outgoing.bytes.len());
        if let Some((shard, transaction)) = outgoing.owner {
            shared.send_failed(shard, transaction, fault.clone());
        }
    }
    line.behind.ends();
}

/// What every shard hears when a flow is gone: any of them may hold calls on it.
pub(super) fn lost(flow: &Flow, why: &FlowFault) -> Input {
    Input::FlowLost {
        flow: flow.id,
        why: why.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_one_and_the_same_incomplete_message_grows_old() {
        let first = Instant::now();
        let later = first + Duration::from_secs(9);
        assert_eq!(begun_at(None, false, first), first);
        assert_eq!(begun_at(Some(first), false, later), first, "still the same");
        assert_eq!(begun_at(Some(first), true, later), later, "the next one");
    }
}
