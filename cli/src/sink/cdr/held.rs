//! Calls whose records are written and may not be on the disk yet. The journal hears that they are over once they are:
//! a disk that keeps the one and not the other when power is lost would leave neither the call nor its record.

use super::force::{Batch, Forcer};
use super::told::LOOKED_AT;
use sbc_core::id::CallId;

/// Octets of records behind which calls are told to be over whatever the disk says: the next start has to find the
/// records of those that are not, and looks no further than twice as far.
const MOST: u64 = LOOKED_AT / 2;

/// The calls.
#[derive(Default)]
pub(super) struct Held {
    /// Written since the last batch was given.
    written: Part,
    /// Written before this batch was given.
    forcing: Option<(Batch, Part)>,
}

#[derive(Default)]
struct Part {
    calls: Vec<CallId>,
    octets: u64,
}

impl Part {
    fn append(&mut self, mut other: Self) {
        self.calls.append(&mut other.calls);
        self.octets += other.octets;
    }
}

impl Held {
    /// So many octets have been written.
    pub(super) fn grows(&mut self, octets: u64) {
        self.written.octets += octets;
    }

    /// The records of these calls have been written.
    pub(super) fn add(&mut self, calls: impl IntoIterator<Item = CallId>) {
        self.written.calls.extend(calls);
    }

    /// Whether a batch is needed for some.
    pub(super) fn waits(&self) -> bool {
        !self.written.calls.is_empty()
    }

    /// All that was written is in this batch, or in one before it.
    pub(super) fn given(&mut self, batch: Batch) {
        let mut part = std::mem::take(&mut self.written);
        if let Some((_, before)) = self.forcing.take() {
            part.append(before);
        }
        self.forcing = Some((batch, part));
    }

    /// Those that may be told to be over, which are then told of no more.
    pub(super) fn over(&mut self, forcer: &Forcer) -> Vec<CallId> {
        match self
            .forcing
            .take_if(|(batch, _)| forcer.has_all(*batch).is_some())
        {
            Some((batch, part)) if forcer.has_all(batch) == Some(true) => return part.calls,
            // It is tried again, with the next batch.
            Some((_, part)) => self.written.append(part),
            None => {}
        }
        let octets = self.forcing.as_ref().map_or(0, |(_, part)| part.octets);
        match self.written.octets + octets > MOST {
            true => self.all(),
            false => Vec::new(),
        }
    }

    /// All of them, whatever the disk says.
    pub(super) fn all(&mut self) -> Vec<CallId> {
        let mut part = std::mem::take(&mut self.written);
        if let Some((_, before)) = self.forcing.take() {
            part.append(before);
        }
        part.calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::log::{Form, Level, Log};
    use std::fs::File;
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// OPS-060
    #[test]
    fn a_call_is_over_once_a_batch_behind_its_record_is_on_the_disk() {
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let times = AtomicUsize::new(0);
        let fails_at_first = move |_: &File| match times.fetch_add(1, Ordering::Relaxed) {
            0 => Err(io::Error::other("no")),
            _ => Ok(()),
        };
        let mut forcer = Forcer::start(log, fails_at_first).unwrap();
        let mut held = Held::default();
        held.add([CallId(1)]);
        assert!(held.waits() && held.over(&forcer).is_empty());
        let give = |held: &mut Held, forcer: &mut Forcer, files| {
            held.given(forcer.give(files));
            assert!(!held.waits());
            held.add([CallId(2)]);
            forcer.wait();
        };
        give(
            &mut held,
            &mut forcer,
            vec![File::open("/dev/null").unwrap()],
        );
        assert!(held.over(&forcer).is_empty() && held.waits());
        give(&mut held, &mut forcer, Vec::new());
        // The last was written behind it.
        assert_eq!(held.over(&forcer), [CallId(2), CallId(1)]);
        assert!(held.over(&forcer).is_empty());
        // What the next start would not find is held no longer.
        held.grows(MOST);
        assert!(held.over(&forcer).is_empty());
        held.grows(1);
        assert_eq!(held.over(&forcer), [CallId(2)]);
        assert!(held.over(&forcer).is_empty());
        forcer.finish();
    }
}
