//! Calls of the process before this one, and what is kept of those of this one for the next.

use super::{Core, Entry};
use crate::call::{Call, Keeping};
use crate::effect::{Effect, Effects};
use crate::event::Happened;
use crate::id::CallId;
use crate::kept::{Found, Snapshot};
use crate::plane::Cx;
use crate::record::Record;
use crate::time::Now;
use media_api::SessionId;
use std::sync::Arc;
use std::time::Duration;

/// By how much the clock on the wall may have been set before what is kept of calls goes by its new time.
const SET: Duration = Duration::from_secs(1);

/// A call that is being taken up and that no table has yet.
pub(super) struct Taking {
    id: CallId,
    session: SessionId,
    /// Its record if taking it up fails by a defect; none if it has one.
    record: Option<Box<Record>>,
}

impl Core {
    /// Tells what is to be kept of each call that talks, for the process after this one ([`Effect::Keep`]).
    #[must_use]
    pub fn for_restart(mut self) -> Self {
        self.plane.keeps_calls = true;
        self
    }

    /// Tells what is to be kept of a call, if that has changed.
    pub(super) fn keep(&mut self, now: Now, id: CallId, out: &mut Effects) {
        if !self.plane.keeps_calls {
            return;
        }
        let epoch = self.epoch(now);
        let mut digest = self.plane.secret.digest();
        let Some(entry) = self.calls.get_mut(&id) else {
            return;
        };
        match entry.call.keeping(epoch) {
            Keeping::As(kept) => {
                let snapshot = Snapshot::of(&kept);
                digest.part(snapshot.octets());
                let digest = digest.finish();
                if entry.kept != Some(digest) {
                    entry.kept = Some(digest);
                    let session = entry.call.media_session();
                    out.push(Effect::Keep(session, Some(snapshot)));
                }
            }
            Keeping::AsBefore => {}
            Keeping::Not => {
                Self::keep_no_more(entry, out);
                entry.kept = None;
            }
        }
    }

    /// A call is not to be kept any more.
    pub(super) fn keep_no_more(entry: &Entry, out: &mut Effects) {
        if entry.kept.is_some() {
            out.push(Effect::Keep(entry.call.media_session(), None));
        }
    }

    /// The two clocks as they were together once: what is kept must not change because one is read a moment after the
    /// other.
    fn epoch(&mut self, now: Now) -> Now {
        let epoch = self.epoch.get_or_insert(now);
        let expected = epoch.wall + now.mono.since(epoch.mono);
        let off = expected.since(now.wall).max(now.wall.since(expected));
        if off > SET {
            *epoch = now;
        }
        *epoch
    }

    /// Takes up a call of the process before this one.
    pub(super) fn take_up(&mut self, now: Now, found: Found, out: &mut Effects) {
        let (id, session) = (found.call(), found.session());
        if self.calls.contains_key(&id) || session.shard() != u16::from(self.plane.shard.0) {
            return;
        }
        self.plane.goes_on(session);
        self.current = Some(id);
        self.taking = Some(Taking {
            id,
            session,
            record: (!found.is_over).then(|| found.call.lost_by_defect(now)),
        });
        let mut cx = Cx {
            now,
            plane: &mut self.plane,
            out,
        };
        if found.is_over {
            found.call.part(&mut cx);
            self.taking = None;
            return self.lose(now, (id, session), None, out);
        }
        match Call::take_up(&mut cx, *found.call, found.has_media) {
            Ok(call) => {
                self.live.add();
                self.sessions.insert(session, id);
                let entry = Entry {
                    call,
                    phase: None,
                    // Whatever was kept of it, it is to be kept as it is now.
                    kept: Some(0),
                    queued: None,
                };
                self.calls.insert(id, Box::new(entry));
                self.taking = None;
                self.look_after(now, id, out);
            }
            Err(record) => {
                self.taking = None;
                self.lose(now, (id, session), Some(record), out);
            }
        }
    }

    /// After a panic: ends the call that was being taken up, if one was. Nothing of it can be trusted, so its parties
    /// hear nothing.
    pub(super) fn recover_taking(&mut self, now: Now, out: &mut Effects) {
        let Some(Taking {
            id,
            session,
            record,
        }) = self.taking.take()
        else {
            return;
        };
        if !self.calls.contains_key(&id) {
            self.sessions.remove(&session);
            self.lose(now, (id, session), record, out);
            self.forget_dialogs(now, out);
        }
    }

    /// Gives the media of a call back that nobody goes on with, and tells its record, if it has none yet.
    fn lose(
        &mut self,
        now: Now,
        (id, session): (CallId, SessionId),
        record: Option<Box<Record>>,
        out: &mut Effects,
    ) {
        out.push(Effect::Media(media_api::Command::Release {
            session,
            endpoint: None,
            drain_ms: 0,
        }));
        out.push(Effect::Keep(session, None));
        let Some(record) = record else {
            return;
        };
        let record: Arc<Record> = record.into();
        let restored = Arc::clone(&record).kept(&self.plane.config);
        out.emit(Some(id), None, Happened::Restored(restored));
        self.tell(now, id, record, out);
    }
}
