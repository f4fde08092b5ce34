//! Recent calls: their messages and events, bounded in bytes and in time (OPS-084).

use crate::sink::log::wall_clock;
use bytes::Bytes;
use sbc_core::event::{Event, Happened};
use sbc_core::id::{CallId, LegId};
use sbc_core::record::Record;
use sbc_core::report::{Entry, Seen, note};
use sbc_core::transport::Hop;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of messages kept in all.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Entries kept per call (SEC-030); the first ones, because they tell the set-up.
const MAX_ENTRIES: usize = 200;
/// Entries of a call without incidents.
const USUAL_ENTRIES: usize = 24;
/// Bytes of messages kept per call (SEC-030).
const MAX_CALL_BYTES: usize = 512 * 1024;
/// What an entry takes besides its text.
const ENTRY_BYTES: usize = 160;
/// What the record of a call takes, on the large side.
const RECORD_BYTES: usize = 6144;
/// How long a call is kept after its end.
const KEPT: Duration = Duration::from_secs(15 * 60);

/// What is kept of one call.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Messages and events in order.
    pub entries: Vec<Entry>,
    /// Entries left out because of the bound.
    pub omitted: usize,
    /// Its record, once it has ended.
    pub record: Option<Arc<Record>>,
    bytes: usize,
}

/// The ring of recent calls. Cheap to clone.
#[derive(Clone, Default)]
pub struct Traces {
    ring: Arc<Mutex<Ring>>,
    is_paused: Arc<AtomicBool>,
}

#[derive(Default)]
struct Ring {
    calls: HashMap<CallId, Trace>,
    /// Calls in the order they began.
    begun: VecDeque<CallId>,
    /// Calls in the order they ended.
    ended: VecDeque<(Instant, CallId)>,
    bytes: usize,
}

impl Traces {
    /// Keeps an event of a call.
    pub fn event(&self, event: &Event) {
        let Some(call) = event.call else {
            return;
        };
        if let Happened::Ended(record) = &event.what {
            self.ended(call, record);
        }
        if self.leaves_out(call) {
            return;
        }
        let seen = match &event.what {
            Happened::Received {
                protocol,
                remote,
                bytes,
                ..
            } => Seen::Message {
                is_received: true,
                protocol: *protocol,
                remote: *remote,
                bytes: bytes.clone(),
            },
            other => match note(other) {
                Some(text) => Seen::Note(text),
                None => return,
            },
        };
        self.add(call, event.at, event.leg, seen);
    }

    /// Keeps a message that was sent for a call.
    pub fn sent(&self, call: CallId, leg: LegId, hop: &Hop, bytes: &Bytes) {
        if self.leaves_out(call) {
            return;
        }
        let seen = Seen::Message {
            is_received: false,
            protocol: hop.protocol,
            remote: hop.remote,
            bytes: bytes.clone(),
        };
        self.add(call, wall_clock(), Some(leg), seen);
    }

    /// Keeps nothing more but records while there are more important things to do (SIP-1722), or keeps
    /// everything again.
    pub fn pause(&self, is_paused: bool) {
        // Ordering: an entry more or less.
        self.is_paused.store(is_paused, Ordering::Relaxed);
    }

    /// Whether an entry of a call is left out; a ladder that has begun says so.
    fn leaves_out(&self, call: CallId) -> bool {
        if !self.is_paused.load(Ordering::Relaxed) {
            return false;
        }
        if let Some(trace) = self.lock().calls.get_mut(&call) {
            trace.omitted += 1;
        }
        true
    }

    /// What is known of a call.
    pub fn get(&self, call: CallId) -> Option<Trace> {
        self.lock().calls.get(&call).cloned()
    }

    /// Calls whose identifier begins or ends with these hexadecimal digits, at most ten.
    pub fn find(&self, digits: &str) -> Vec<CallId> {
        let ring = self.lock();
        let mut found: Vec<CallId> = ring
            .begun
            .iter()
            .filter(|call| is_meant(**call, digits))
            .copied()
            .take(10)
            .collect();
        found.dedup();
        found
    }

    /// Records of calls that ended, latest first.
    pub fn recent(&self, most: usize) -> Vec<Arc<Record>> {
        let ring = self.lock();
        ring.ended
            .iter()
            .rev()
            .filter_map(|(_, call)| ring.calls.get(call)?.record.clone())
            .take(most)
            .collect()
    }

    fn add(&self, call: CallId, at: sbc_core::time::UnixTime, leg: Option<LegId>, seen: Seen) {
        let text = match &seen {
            Seen::Message { bytes, .. } => bytes.len(),
            Seen::Note(text) => text.len(),
        };
        let size = text + ENTRY_BYTES;
        let mut ring = self.lock();
        let ring = &mut *ring;
        let trace = ring.calls.entry(call).or_insert_with(|| {
            ring.begun.push_back(call);
            Trace::default()
        });
        if trace.entries.len() >= MAX_ENTRIES || trace.bytes + size > MAX_CALL_BYTES {
            trace.omitted += 1;
            return;
        }
        if trace.entries.is_empty() {
            trace.entries.reserve(USUAL_ENTRIES);
        }
        trace.bytes += size;
        trace.entries.push(Entry {
            at,
            leg,
            what: seen,
        });
        ring.bytes += size;
        ring.make_room();
    }

    fn ended(&self, call: CallId, record: &Arc<Record>) {
        let mut ring = self.lock();
        let ring = &mut *ring;
        let trace = ring.calls.entry(call).or_insert_with(|| {
            ring.begun.push_back(call);
            Trace::default()
        });
        trace.record = Some(Arc::clone(record));
        trace.bytes += RECORD_BYTES;
        ring.bytes += RECORD_BYTES;
        let now = Instant::now();
        ring.ended.push_back((now, call));
        ring.forget_old(now);
        ring.make_room();
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// Forgets what ended too long ago.
    fn forget_old(&mut self, now: Instant) {
        while let Some((at, call)) = self.ended.front().copied()
            && now - at > KEPT
        {
            self.ended.pop_front();
            self.forget(call);
        }
    }

    /// Forgets what is too much: ended calls first, then the oldest.
    fn make_room(&mut self) {
        while self.bytes > MAX_BYTES {
            let oldest = self.ended.pop_front().map(|(_, call)| call);
            match oldest.or_else(|| self.begun.pop_front()) {
                Some(call) => self.forget(call),
                None => return,
            }
        }
    }

    fn forget(&mut self, call: CallId) {
        if let Some(trace) = self.calls.remove(&call) {
            self.bytes = self.bytes.saturating_sub(trace.bytes);
        }
        while let Some(call) = self.begun.front()
            && !self.calls.contains_key(call)
        {
            self.begun.pop_front();
        }
    }
}

/// Whether these hexadecimal digits are the first or the last ones of a call.
pub fn is_meant(call: CallId, digits: &str) -> bool {
    let name = call.to_string();
    name.starts_with(digits) || name.ends_with(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::time::UnixTime;

    fn note_of(traces: &Traces, call: u128, text: String) {
        traces.add(CallId(call), UnixTime::default(), None, Seen::Note(text));
    }

    #[test]
    fn one_long_call_does_not_push_out_the_others() {
        let traces = Traces::default();
        note_of(&traces, 1, "first".to_owned());
        for _ in 0..1000 {
            note_of(&traces, 2, "x".repeat(10_000));
        }
        assert_eq!(traces.get(CallId(1)).unwrap().entries.len(), 1);
        let long = traces.get(CallId(2)).unwrap();
        assert!(long.entries.len() <= MAX_ENTRIES && long.omitted > 0);
    }

    #[test]
    fn the_ring_is_bounded_in_bytes_and_keeps_the_latest() {
        let traces = Traces::default();
        let each = 400 * 1024;
        for call in 0..300 {
            note_of(&traces, call, "x".repeat(each));
        }
        assert!(traces.lock().bytes <= MAX_BYTES);
        assert!(traces.get(CallId(0)).is_none());
        assert!(traces.get(CallId(299)).is_some());
        assert!(traces.lock().begun.len() <= MAX_BYTES / each + 1);
    }

    #[test]
    fn calls_of_few_words_are_bounded_too() {
        let traces = Traces::default();
        for call in 0..450_000 {
            note_of(&traces, call, String::new());
        }
        let ring = traces.lock();
        assert!(ring.calls.len() * ENTRY_BYTES <= MAX_BYTES);
        assert_eq!(ring.calls.len(), ring.begun.len());
    }

    #[test]
    fn while_it_pauses_only_records_are_kept_and_a_ladder_says_what_it_lacks() {
        let traces = Traces::default();
        let told = |call: u128| {
            traces.event(&Event {
                at: UnixTime::default(),
                call: Some(CallId(call)),
                leg: None,
                what: Happened::Emergency {
                    tenant: None,
                    trunk: sbc_core::id::TrunkName::new("a"),
                    called: "112".to_owned(),
                },
            });
        };
        told(1);
        traces.pause(true);
        told(1);
        told(2);
        let first = traces.get(CallId(1)).unwrap();
        assert_eq!((first.entries.len(), first.omitted), (1, 1));
        assert!(traces.get(CallId(2)).is_none());
        traces.pause(false);
        told(2);
        assert_eq!(traces.get(CallId(2)).unwrap().entries.len(), 1);
    }

    #[test]
    fn a_call_is_found_by_the_beginning_of_its_identifier() {
        let traces = Traces::default();
        note_of(&traces, 0xabc << 116, "x".to_owned());
        assert_eq!(traces.find("abc"), [CallId(0xabc << 116)]);
        assert!(traces.find("abd").is_empty());
    }
}
