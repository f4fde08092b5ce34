//! The end of a call as the shard sees it: its record, and what it had of the tables.

use super::{Core, Entry};
use crate::call::Call;
use crate::effect::{Effect, Effects};
use crate::event::Happened;
use crate::id::CallId;
use crate::record::Record;
use crate::time::Now;
use std::sync::Arc;

impl Core {
    /// After a step of a call: takes it out if it is over, and looks at it again when it wants that.
    pub(super) fn look_after(&mut self, now: Now, id: CallId, out: &mut Effects) {
        let Some(entry) = self.calls.get_mut(&id) else {
            return;
        };
        if entry.call.is_over() {
            if let Some(entry) = self.calls.remove(&id) {
                self.count_no_more(id, &entry);
                Self::keep_no_more(&entry, out);
                self.sessions.remove(&entry.call.media_session());
                self.ended(now, id, entry.call, out);
            }
            return;
        }
        let phase = entry.call.phase();
        if phase != entry.phase {
            entry.phase = phase;
            match phase {
                Some(phase) => self.phases.insert(id, phase),
                None => self.phases.remove(&id),
            };
        }
        let next = entry.call.next_deadline();
        if let Some(at) = next.filter(|at| entry.queued.is_none_or(|queued| *at < queued)) {
            entry.queued = Some(at);
            self.deadlines.push(at, id);
        }
        // Peers that cannot be reached are tried again, and nobody else waits for them.
        if let Some(record) = entry.call.parts(now, &mut self.plane) {
            let session = entry.call.media_session();
            self.sessions.remove(&session);
            self.live.leave();
            self.tell(now, id, record, out);
        }
        self.keep(now, id, out);
    }

    /// Takes a call out that may not have come to its end.
    pub(super) fn drop_call(&mut self, now: Now, id: CallId, out: &mut Effects) {
        let Some(entry) = self.calls.remove(&id) else {
            return;
        };
        let session = entry.call.media_session();
        self.count_no_more(id, &entry);
        Self::keep_no_more(&entry, out);
        self.sessions.remove(&session);
        out.push(Effect::Media(media_api::Command::Release {
            session,
            endpoint: None,
            drain_ms: 0,
        }));
        self.ended(now, id, entry.call, out);
    }

    /// Calls that count as such: not those of which nothing but what a peer has to be told is left.
    pub(super) fn unrecorded(&self) -> usize {
        let calls = self.calls.values();
        calls.filter(|entry| !entry.call.is_recorded()).count()
    }

    /// A call that is gone is in no phase.
    fn count_no_more(&mut self, id: CallId, entry: &Entry) {
        if entry.phase.is_some() {
            self.phases.remove(&id);
        }
    }

    fn ended(&mut self, now: Now, id: CallId, call: Call, out: &mut Effects) {
        if let Some(record) = call.into_record(now, &mut self.plane) {
            self.live.leave();
            self.tell(now, id, record, out);
        }
    }

    /// Tells the record of a call, and what it makes unusual.
    pub(super) fn tell(&mut self, now: Now, id: CallId, record: Arc<Record>, out: &mut Effects) {
        let least = self.plane.config.limits.unusual_calls;
        let told = self.plane.watch.note(now.mono, &record, least);
        let record = record.kept(&self.plane.config);
        out.emit(Some(id), None, Happened::Ended(record));
        for unusual in told {
            out.emit(None, None, Happened::Unusual(Box::new(unusual)));
        }
    }
}
