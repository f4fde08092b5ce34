//! Recent calls: their messages and events, bounded in bytes and in time (OPS-084).

use crate::sink::log::wall_clock;
use bytes::Bytes;
use foldhash::fast::RandomState;
use sbc_core::cause::{CauseCode, EndedBy};
use sbc_core::event::{Event, Happened};
use sbc_core::id::{CallId, LegId, TrunkName};
use sbc_core::record::{Disposition, Record};
use sbc_core::report::{Entry, Ours, Seen, note};
use sbc_core::transport::Hop;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of messages kept in all, unless `[limits] ladders` says something else.
const USUAL_BYTES: usize = 64 * 1024 * 1024;
/// The first entries of a call that are kept (SEC-030): they tell the set-up.
const FIRST_ENTRIES: usize = 120;
/// The last ones: they tell the end.
const LAST_ENTRIES: usize = 80;
/// Entries of a call without incidents.
const USUAL_ENTRIES: usize = 24;
/// Bytes of the first messages of a call, and of its last ones (SEC-030).
const FIRST_BYTES: usize = 384 * 1024;
const LAST_BYTES: usize = 128 * 1024;
/// What an entry takes besides its text.
const ENTRY_BYTES: usize = 160;
/// What the record of a call takes, on the large side.
const RECORD_BYTES: usize = 6144;
/// How long a call is kept after its end.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// Calls of each trunk that failed last and are kept whatever their age (OPS-085), as long as all of them
/// take no more than half of the room.
const FAILURES: usize = 50;

/// What is kept of one call.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    first: Vec<Entry>,
    last: VecDeque<Entry>,
    /// Entries left out between the first and the last ones.
    between: usize,
    /// Entries left out while there were more important things to do.
    pub omitted: usize,
    /// Its record, once it has ended.
    pub record: Option<Arc<Record>>,
    bytes: usize,
    last_bytes: usize,
    /// Whether it is among the calls that ended lately.
    is_listed: bool,
    /// Its place among the failures that are kept.
    failure: Option<u64>,
}

impl Trace {
    /// Messages and events in order, with a note where some were left out.
    pub fn entries(&self) -> Vec<Entry> {
        let mut all = self.first.clone();
        if let Some(next) = self.last.front().filter(|_| self.between > 0) {
            all.push(Entry {
                at: next.at,
                leg: None,
                what: Seen::Note(format!("… {} entries were not kept …", self.between)),
            });
        }
        all.extend(self.last.iter().cloned());
        all
    }

    /// Adds an entry that takes so many bytes; says how many more are taken and how many less.
    fn push(&mut self, entry: Entry, size: usize) -> (usize, usize) {
        self.bytes += size;
        let is_first = self.last.is_empty() && self.between == 0;
        if is_first && self.first.len() < FIRST_ENTRIES && self.bytes <= FIRST_BYTES {
            if self.first.is_empty() {
                self.first.reserve(USUAL_ENTRIES);
            }
            self.first.push(entry);
            return (size, 0);
        }
        self.last_bytes += size;
        self.last.push_back(entry);
        let mut less = 0;
        // One stays, whatever its size: a call of which nothing is kept would take no room at all.
        while self.last.len() > LAST_ENTRIES
            || (self.last_bytes > LAST_BYTES && self.last.len() > 1)
        {
            let Some(oldest) = self.last.pop_front() else {
                break;
            };
            let freed = size_of(&oldest.what);
            self.last_bytes = self.last_bytes.saturating_sub(freed);
            self.between += 1;
            less += freed;
        }
        self.bytes = self.bytes.saturating_sub(less);
        (size, less)
    }
}

fn size_of(seen: &Seen) -> usize {
    let text = match seen {
        Seen::Message { bytes, .. } => bytes.len(),
        Seen::Note(text) => text.len(),
    };
    text + ENTRY_BYTES
}

/// The trunk at which a call failed; nothing if it went as calls go.
fn failed_at(record: &Record) -> Option<&TrunkName> {
    let has_failed = match record.disposition {
        Disposition::Failed | Disposition::Rejected => true,
        Disposition::Answered => {
            record.cause.by == EndedBy::Us && record.cause.code != CauseCode::Operator
        }
        Disposition::Busy | Disposition::NoAnswer | Disposition::Cancelled => false,
    };
    let last = record.egress.last().map(|attempt| &attempt.trunk);
    has_failed.then(|| last.unwrap_or(&record.ingress.trunk))
}

/// The first or last hexadecimal digits of calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digits {
    value: u128,
    bits: u32,
}

impl Digits {
    /// One to 32 hexadecimal digits.
    pub fn of(text: &str) -> Option<Self> {
        let is_some = matches!(text.len(), 1..=32) && text.bytes().all(|b| b.is_ascii_hexdigit());
        let value = u128::from_str_radix(text, 16).ok().filter(|_| is_some)?;
        let bits = 4 * u32::try_from(text.len()).ok()?;
        Some(Self { value, bits })
    }

    /// Whether a call's identifier begins or ends with them.
    pub fn mean(self, call: CallId) -> bool {
        let rest = u128::BITS - self.bits;
        call.0 >> rest == self.value || call.0 & (u128::MAX >> rest) == self.value
    }
}

/// The ring of recent calls. Cheap to clone.
#[derive(Clone, Default)]
pub struct Traces {
    ring: Arc<Mutex<Ring>>,
    is_paused: Arc<AtomicBool>,
}

struct Ring {
    calls: HashMap<CallId, Trace, RandomState>,
    /// Calls in the order they began; some of them are forgotten already.
    begun: VecDeque<CallId>,
    /// Calls in the order they ended.
    ended: VecDeque<(Instant, CallId)>,
    /// Calls that failed, in the order they ended, and where each trunk's are.
    failures: BTreeMap<u64, (CallId, TrunkName)>,
    failures_of: HashMap<TrunkName, VecDeque<u64>>,
    failed: u64,
    failed_bytes: usize,
    bytes: usize,
    most_bytes: usize,
    /// When a call was forgotten before its time, and how old it was.
    crowded: Option<(Instant, Duration)>,
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            calls: HashMap::default(),
            begun: VecDeque::new(),
            ended: VecDeque::new(),
            failures: BTreeMap::new(),
            failures_of: HashMap::new(),
            failed: 0,
            failed_bytes: 0,
            bytes: 0,
            most_bytes: USUAL_BYTES,
            crowded: None,
        }
    }
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
                local,
                bytes,
            } => Seen::Message {
                is_received: true,
                protocol: *protocol,
                remote: *remote,
                ours: Ours::At(*local),
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
            ours: Ours::By(hop.listener.clone()),
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

    /// Calls whose identifier begins or ends with these digits, at most ten.
    pub fn find(&self, digits: Digits) -> Vec<CallId> {
        let ring = self.lock();
        let meant = ring.calls.keys().filter(|call| digits.mean(**call));
        meant.copied().take(10).collect()
    }

    /// How many bytes may be kept from now on.
    pub fn set_room(&self, bytes: usize) {
        let mut ring = self.lock();
        ring.most_bytes = bytes;
        ring.make_room();
    }

    /// How long calls are kept after their end at the moment: less than 15 minutes if there was no room for
    /// so many within the last of these.
    pub fn kept(&self) -> Duration {
        let crowded = self.lock().crowded;
        let crowded = crowded.filter(|(at, _)| at.elapsed() < KEPT);
        crowded.map_or(KEPT, |(_, age)| age)
    }

    /// Records of calls that ended, latest first.
    pub fn recent(&self, most: usize) -> Vec<Arc<Record>> {
        self.recent_before(most, None)
    }

    /// The same, of those that ended before this call: none once it is forgotten, as those are then, too.
    pub fn recent_before(&self, most: usize, before: Option<CallId>) -> Vec<Arc<Record>> {
        let ring = self.lock();
        let mut latest = ring.ended.iter().rev();
        if let Some(before) = before {
            // It and what ended later are passed over.
            latest.by_ref().find(|(_, call)| *call == before);
        }
        latest
            .filter_map(|(_, call)| ring.calls.get(call)?.record.clone())
            .take(most)
            .collect()
    }

    /// Calls that failed and are kept for that, latest first, with their records.
    pub fn failed(&self, most: usize) -> Vec<Arc<Record>> {
        let found = self.failed_before(most, u64::MAX);
        found.into_iter().map(|(_, record)| record).collect()
    }

    /// The same with their numbers, of those whose number is less than this one.
    pub fn failed_before(&self, most: usize, before: u64) -> Vec<(u64, Arc<Record>)> {
        let ring = self.lock();
        let latest = ring.failures.range(..before).rev();
        latest
            .filter_map(|(number, (call, _))| {
                Some((*number, ring.calls.get(call)?.record.clone()?))
            })
            .take(most)
            .collect()
    }

    fn add(&self, call: CallId, at: sbc_core::time::UnixTime, leg: Option<LegId>, seen: Seen) {
        let size = size_of(&seen);
        let mut ring = self.lock();
        let ring = &mut *ring;
        let trace = ring.trace(call);
        let is_failure = trace.failure.is_some();
        let entry = Entry {
            at,
            leg,
            what: seen,
        };
        let (more, less) = trace.push(entry, size);
        let sum = |before: usize| (before + more).saturating_sub(less);
        ring.bytes = sum(ring.bytes);
        if is_failure {
            ring.failed_bytes = sum(ring.failed_bytes);
        }
        ring.make_room();
    }

    fn ended(&self, call: CallId, record: &Arc<Record>) {
        let mut ring = self.lock();
        let ring = &mut *ring;
        let trace = ring.trace(call);
        trace.record = Some(Arc::clone(record));
        trace.bytes += RECORD_BYTES;
        trace.is_listed = true;
        ring.bytes += RECORD_BYTES;
        let now = Instant::now();
        ring.ended.push_back((now, call));
        if let Some(trunk) = failed_at(record) {
            ring.fails(call, trunk);
        }
        ring.forget_old(now);
        ring.make_room();
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn trace(&mut self, call: CallId) -> &mut Trace {
        if !self.calls.contains_key(&call) {
            self.begun.push_back(call);
            // Behind one long call those that are forgotten would gather.
            if self.begun.len() > 2 * (self.calls.len() + 1) {
                let calls = &self.calls;
                self.begun
                    .retain(|begun| *begun == call || calls.contains_key(begun));
            }
        }
        self.calls.entry(call).or_default()
    }

    /// Keeps a call that failed, and lets go of those that failed there long before.
    fn fails(&mut self, call: CallId, trunk: &TrunkName) {
        let Some(trace) = self.calls.get_mut(&call).filter(|t| t.failure.is_none()) else {
            return;
        };
        self.failed += 1;
        trace.failure = Some(self.failed);
        self.failed_bytes += trace.bytes;
        self.failures.insert(self.failed, (call, trunk.clone()));
        let own = self.failures_of.entry(trunk.clone()).or_default();
        own.push_back(self.failed);
        if own.len() > FAILURES
            && let Some(oldest) = own.front().copied()
        {
            self.release(oldest);
        }
        while self.failed_bytes > self.most_bytes / 2
            && let Some((oldest, _)) = self.failures.first_key_value()
        {
            self.release(*oldest);
        }
    }

    /// A failure is kept no longer than other calls.
    fn release(&mut self, failure: u64) {
        let Some((call, trunk)) = self.failures.remove(&failure) else {
            return;
        };
        if let Some(own) = self.failures_of.get_mut(&trunk) {
            own.retain(|one| *one != failure);
            if own.is_empty() {
                self.failures_of.remove(&trunk);
            }
        }
        let Some(trace) = self.calls.get_mut(&call) else {
            return;
        };
        trace.failure = None;
        self.failed_bytes = self.failed_bytes.saturating_sub(trace.bytes);
        if !trace.is_listed {
            self.forget(call);
        }
    }

    /// Forgets what ended too long ago.
    fn forget_old(&mut self, now: Instant) {
        while let Some((at, call)) = self.ended.front().copied()
            && now - at > KEPT
        {
            self.ended.pop_front();
            self.unlist(call);
        }
    }

    /// Forgets what is too much: ended calls first, then the oldest.
    fn make_room(&mut self) {
        while self.bytes > self.most_bytes {
            if let Some((at, call)) = self.ended.pop_front() {
                self.crowded = Some((Instant::now(), at.elapsed()));
                self.unlist(call);
            } else if let Some(call) = self.begun.pop_front() {
                self.forget(call);
            } else {
                return;
            }
        }
    }

    /// Forgets a call that has ended, unless it failed and is kept for that.
    fn unlist(&mut self, call: CallId) {
        if let Some(trace) = self.calls.get_mut(&call) {
            trace.is_listed = false;
            if trace.failure.is_none() {
                self.forget(call);
            }
        }
    }

    fn forget(&mut self, call: CallId) {
        if let Some(failure) = self.calls.get(&call).and_then(|trace| trace.failure) {
            // It comes back here, unless it is listed.
            self.release(failure);
        }
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
        assert_eq!(traces.get(CallId(1)).unwrap().entries().len(), 1);
        let long = traces.get(CallId(2)).unwrap();
        assert!(long.entries().len() <= FIRST_ENTRIES + LAST_ENTRIES + 1 && long.between > 0);
        assert!(long.bytes <= FIRST_BYTES + LAST_BYTES);
    }

    #[test]
    fn the_ladder_of_a_long_call_has_its_end_and_says_where_something_is_missing() {
        let traces = Traces::default();
        for number in 0..1_000 {
            note_of(&traces, 1, format!("n{number}"));
        }
        let trace = traces.get(CallId(1)).unwrap();
        let told: Vec<String> = trace
            .entries()
            .into_iter()
            .map(|entry| match entry.what {
                Seen::Note(text) => text,
                Seen::Message { .. } => unreachable!(),
            })
            .collect();
        assert_eq!(told.len(), FIRST_ENTRIES + 1 + LAST_ENTRIES);
        assert_eq!((told[0].as_str(), told[119].as_str()), ("n0", "n119"));
        assert_eq!(told[120], "… 800 entries were not kept …");
        assert_eq!((told[121].as_str(), told[200].as_str()), ("n920", "n999"));
        let ring = traces.lock();
        let kept: usize = trace.entries().iter().map(|own| size_of(&own.what)).sum();
        let gap = size_of(&Seen::Note(told[120].clone()));
        assert_eq!((ring.bytes, ring.bytes), (kept - gap, trace.bytes));
    }

    /// A call that somebody refused at the last trunk, or that was answered.
    fn ends(traces: &Traces, call: u128, trunk: &str, disposition: Disposition) {
        let mut record = crate::sink::fixture::record(call);
        record.ingress.trunk = TrunkName::new(trunk);
        record.disposition = disposition;
        record.cause.by = EndedBy::A;
        record.egress.clear();
        traces.ended(CallId(call), &Arc::new(record));
    }

    #[test]
    fn calls_that_ended_do_not_gather_behind_one_that_goes_on() {
        let traces = Traces::default();
        traces.set_room(10 * RECORD_BYTES);
        note_of(&traces, 1 << 124, "alive".to_owned());
        for call in 0..100_000 {
            ends(&traces, call, "a", Disposition::Answered);
        }
        let ring = traces.lock();
        assert!(ring.calls.len() <= 11, "{}", ring.calls.len());
        assert!(ring.begun.len() <= 2 * (ring.calls.len() + 1));
        drop(ring);
        assert!(traces.get(CallId(1 << 124)).is_some());
        assert_eq!(traces.find(Digits::of("1").unwrap()), [CallId(1 << 124)]);
        let gone = Digits::of(&CallId(7).to_string()).unwrap();
        assert_eq!(traces.find(gone), [], "what is forgotten is not found");
        assert!(traces.kept() < KEPT);
    }

    #[test]
    fn the_last_failures_of_each_trunk_outlive_a_flood_of_good_calls() {
        let traces = Traces::default();
        traces.set_room(400 * RECORD_BYTES);
        for call in 0..60 {
            ends(&traces, call, "a", Disposition::Failed);
        }
        ends(&traces, 900, "b", Disposition::Rejected);
        for call in 1_000..10_000 {
            ends(&traces, call, "a", Disposition::Answered);
        }
        let is_kept = |call| traces.get(CallId(call)).is_some();
        assert!((10..60).all(is_kept) && is_kept(900) && is_kept(9_999));
        assert!(!(0..10).any(is_kept) && !is_kept(1_000));
        // Those of one trunk alone take no more than half of the room.
        for call in 20_000..30_000 {
            ends(&traces, call, &format!("t{call}"), Disposition::Failed);
        }
        let ring = traces.lock();
        assert!(ring.failed_bytes <= 200 * RECORD_BYTES && ring.bytes <= 400 * RECORD_BYTES);
        assert_eq!(ring.failures.len(), ring.failures_of.len());
        let sum: usize = ring.calls.values().map(|trace| trace.bytes).sum();
        assert_eq!(ring.bytes, sum);
    }

    #[test]
    fn records_go_on_behind_a_call_or_a_failure_whatever_ends_meanwhile() {
        let traces = Traces::default();
        for call in 0..5 {
            ends(&traces, call, "a", Disposition::Failed);
        }
        let ids = |records: Vec<Arc<Record>>| -> Vec<u128> {
            records.iter().map(|record| record.call.0).collect()
        };
        assert_eq!(ids(traces.recent_before(2, None)), [4, 3]);
        let failed = traces.failed_before(2, u64::MAX);
        let (last, record) = failed.last().unwrap();
        assert_eq!(record.call, CallId(3));
        ends(&traces, 9, "a", Disposition::Failed);
        assert_eq!(ids(traces.recent_before(2, Some(CallId(3)))), [2, 1]);
        assert_eq!(ids(traces.recent_before(9, Some(CallId(1)))), [0]);
        assert_eq!(ids(traces.recent_before(9, Some(CallId(7)))), [0_u128; 0]);
        let behind = traces.failed_before(9, *last);
        let behind = behind.into_iter().map(|(_, record)| record);
        assert_eq!(ids(behind.collect()), [2, 1, 0]);
    }

    #[test]
    fn the_ring_is_bounded_in_bytes_and_keeps_the_latest() {
        let traces = Traces::default();
        let each = 400 * 1024;
        for call in 0..300 {
            note_of(&traces, call, "x".repeat(each));
        }
        assert!(traces.lock().bytes <= USUAL_BYTES);
        assert!(traces.get(CallId(0)).is_none());
        assert!(traces.get(CallId(299)).is_some());
        assert!(traces.lock().begun.len() <= 2 * (USUAL_BYTES / each + 1));
    }

    #[test]
    fn calls_of_few_words_are_bounded_too() {
        let traces = Traces::default();
        for call in 0..450_000 {
            note_of(&traces, call, String::new());
        }
        let ring = traces.lock();
        assert!(ring.calls.len() * ENTRY_BYTES <= USUAL_BYTES);
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
        assert_eq!((first.entries().len(), first.omitted), (1, 1));
        assert!(traces.get(CallId(2)).is_none());
        traces.pause(false);
        told(2);
        assert_eq!(traces.get(CallId(2)).unwrap().entries().len(), 1);
    }

    #[test]
    fn a_call_is_found_by_the_beginning_of_its_identifier() {
        let traces = Traces::default();
        note_of(&traces, 0xabc << 116, "x".to_owned());
        let find = |digits: &str| traces.find(Digits::of(digits).unwrap());
        assert_eq!(find("abc"), [CallId(0xabc << 116)]);
        assert_eq!(find("ABC0"), [CallId(0xabc << 116)]);
        assert_eq!(find("0000"), [CallId(0xabc << 116)]);
        assert_eq!(find(&CallId(0xabc << 116).to_string()).len(), 1);
        assert!(find("abd").is_empty() && find("bc").is_empty());
        for none in ["", "+1", "x", &"0".repeat(33)] {
            assert_eq!(Digits::of(none), None, "{none}");
        }
    }
}
