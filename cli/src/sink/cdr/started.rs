//! Records of the beginning of calls, for whoever bills or watches while they go on (OPS-060): as an interim record, with
//! the number 0, before all others of the call.

use sbc_core::config::{CdrSpool, CdrStart};
use sbc_core::record::Record;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// Which calls have one. Cheap to clone.
#[derive(Clone)]
pub(super) struct Starts(Arc<Mutex<Option<CdrStart>>>);

impl Starts {
    /// As a configuration wants it.
    pub(super) fn of(spool: &CdrSpool) -> Self {
        Self(Arc::new(Mutex::new(spool.start)))
    }

    /// As another one wants it.
    pub(super) fn become_those_of(&self, spool: &CdrSpool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = spool.start;
    }

    /// Whether what is known of a call is its beginning: the core tells of each call once when it is taken and once when
    /// it is answered, and then of what a transfer or its end has changed.
    pub(super) fn begins(&self, record: &Record) -> bool {
        let wanted = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_answered = record.setup_ms.is_some();
        let is_it = match wanted {
            None => false,
            Some(CdrStart::Invite) => !is_answered,
            Some(CdrStart::Answer) => is_answered && record.conversations.is_empty(),
        };
        is_it && record.end.is_none()
    }
}

/// The record of a call's beginning.
pub(super) fn line(record: &Record) -> Option<Box<str>> {
    let mut told = serde_json::to_value(record).ok()?;
    // What it has there is what would be said if nobody said anything else.
    told["disposition"] = match record.setup_ms {
        Some(_) => "answered".into(),
        None => Value::Null,
    };
    told["cause"] = Value::Null;
    told["interim"] = 0.into();
    Some(told.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::super::{CURRENT, Cdr, OPEN_QUEUE};
    use super::*;
    use crate::sink::fixture;
    use crate::sink::log::{Form, Level, Log};
    use crate::sink::metrics::Metrics;
    use sbc_core::id::{CallId, LegId};
    use sbc_core::record::ConversationRecord;
    use std::collections::HashSet;
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};
    use std::{fs, io, thread};

    /// A call that goes on, and whether somebody has answered.
    fn up(is_answered: bool) -> Record {
        let mut record = fixture::record(1);
        record.end = None;
        record.duration_ms = 0;
        record.setup_ms.take_if(|_| !is_answered);
        record
    }

    fn starts(start: Option<CdrStart>) -> Starts {
        Starts::of(&CdrSpool {
            start,
            ..CdrSpool::at("/cdr")
        })
    }

    fn told(record: &Record, at: CdrStart) -> Option<Value> {
        let begins = starts(Some(at)).begins(record);
        begins.then(|| serde_json::from_str(&line(record).unwrap()).unwrap())
    }

    #[test]
    fn a_call_has_one_record_of_its_beginning_and_it_is_no_whole_one() {
        let (invite, answer) = (CdrStart::Invite, CdrStart::Answer);
        let line = told(&up(false), invite).unwrap();
        assert_eq!(
            (&line["interim"], &line["cause"]),
            (&0.into(), &Value::Null)
        );
        assert_eq!(
            (&line["disposition"], &line["end"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(line["call"], CallId(1).to_string());
        assert_eq!(told(&up(true), invite), None);
        assert_eq!(told(&up(false), answer), None);
        let line = told(&up(true), answer).unwrap();
        assert_eq!(
            (&line["interim"], &line["disposition"]),
            (&0.into(), &"answered".into())
        );
        assert_eq!(line["setup_ms"], 2_000);
    }

    #[test]
    fn what_is_told_of_a_call_later_is_no_beginning() {
        let mut transferred = up(true);
        transferred.conversations.push(ConversationRecord {
            a: LegId(0),
            b: LegId(1),
            from_ms: 0,
            duration_ms: 0,
            transfer_of: None,
            transfer_type: None,
            billed_to: transferred.ingress.trunk.clone(),
        });
        let mut refused = up(false);
        refused.end = fixture::record(1).end;
        for at in [CdrStart::Invite, CdrStart::Answer] {
            assert_eq!(told(&transferred, at), None);
            assert_eq!(told(&refused, at), None);
            assert_eq!(told(&fixture::record(1), at), None);
            assert!(!starts(None).begins(&up(at == CdrStart::Answer)));
        }
    }

    /// A disk that refuses has room in memory for whole records alone; what it misses is counted.
    #[test]
    fn beginnings_take_no_place_of_records_while_the_disk_refuses_and_are_counted() {
        let full = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", full.path().join(CURRENT)).unwrap();
        let spool = CdrSpool {
            start: Some(CdrStart::Invite),
            ..CdrSpool::at(full.path().to_str().unwrap())
        };
        let metrics = Arc::new(Metrics::new().unwrap());
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let (cdr, writer) = Cdr::start(&spool, Arc::clone(&metrics), log).unwrap();
        cdr.goes_on(HashSet::new());
        let lost = || {
            metrics
                .queue_dropped
                .with_label_values(&["cdr_start"])
                .get()
        };
        let wait = |what: &dyn Fn() -> bool| {
            let deadline = Instant::now() + Duration::from_secs(30);
            while !what() {
                assert!(Instant::now() < deadline);
                thread::yield_now();
            }
        };
        cdr.record(&Arc::new(fixture::record(1)));
        wait(&|| cdr.trouble().is_some());
        for call in 2..5 {
            cdr.open(&Arc::new(Record {
                call: CallId(call),
                ..up(false)
            }));
        }
        wait(&|| lost() == 3);
        fs::remove_file(full.path().join(CURRENT)).unwrap();
        wait(&|| cdr.trouble().is_none());
        writer.finish();
        let text = fs::read_to_string(full.path().join(CURRENT)).unwrap();
        assert_eq!(text.matches("\"interim\":0").count(), 0, "{text}");
        assert!(text.contains(&CallId(1).to_string()), "{text}");
        assert_eq!(lost(), 3);
    }

    #[test]
    fn beginnings_that_the_writer_cannot_take_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let spool = CdrSpool {
            start: Some(CdrStart::Invite),
            ..CdrSpool::at(folder.path().to_str().unwrap())
        };
        let metrics = Arc::new(Metrics::new().unwrap());
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let (cdr, writer) = Cdr::start(&spool, Arc::clone(&metrics), log).unwrap();
        let lost = || {
            metrics
                .queue_dropped
                .with_label_values(&["cdr_start"])
                .get()
        };
        cdr.shared.opening.fetch_add(OPEN_QUEUE, Ordering::Relaxed);
        cdr.open(&Arc::new(up(false)));
        assert_eq!(lost(), 1);
        // The journal alone would have had it.
        cdr.open(&Arc::new(up(true)));
        assert_eq!(lost(), 1);
        cdr.shared.opening.fetch_sub(OPEN_QUEUE, Ordering::Relaxed);
        writer.finish();
    }
}
