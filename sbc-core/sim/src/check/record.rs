//! One admitted INVITE gives exactly one record, and the record tells the truth (I6).

use super::{Checker, End, Seen, Violation};
use sbc_core::effect::Effect;
use sbc_core::event::Happened;
use sbc_core::id::{CallId, ShardId};
use sbc_core::record::Disposition;
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Records {
    admitted: BTreeMap<CallId, bool>,
    /// Call-IDs of INVITEs of peers that we answered with 2xx.
    answered: BTreeSet<String>,
    /// Call-IDs of the INVITEs that we sent.
    attempted: BTreeSet<String>,
}

impl Checker for Records {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        let Seen::Sent {
            wire: Some(wire),
            call,
            ..
        } = seen
        else {
            return;
        };
        let is_invite = wire.cseq().is_some_and(|(_, method)| method == "INVITE");
        if is_invite && wire.status().is_some_and(|s| (200..300).contains(&s)) {
            self.answered.insert(wire.call_id().to_owned());
        }
        if wire.method() == Some("INVITE") && wire.tag("To").is_none() {
            self.attempted.insert(wire.call_id().to_owned());
            if !call.is_some_and(|(id, _)| self.admitted.contains_key(&id)) {
                let text = format!("{} belongs to no admitted call", wire.first);
                out.push(Violation {
                    at,
                    rule: "record",
                    text,
                });
            }
        }
    }

    fn effect(&mut self, at: Timestamp, _: ShardId, effect: &Effect, out: &mut Vec<Violation>) {
        let Effect::Emit(event) = effect else { return };
        let mut fail = |text| {
            out.push(Violation {
                at,
                rule: "record",
                text,
            })
        };
        match (&event.what, event.call) {
            (Happened::Admitted { .. }, Some(call)) => {
                let before = self.admitted.insert(call, false);
                if before.is_some() {
                    fail(format!("{call} is admitted twice"));
                }
            }
            (Happened::Ended(record), call) => {
                if call != Some(record.call) {
                    fail(format!("record of {} is told about {call:?}", record.call));
                }
                match self.admitted.get_mut(&record.call) {
                    None => fail(format!("{} ends without admission", record.call)),
                    Some(true) => fail(format!("{} has a second record", record.call)),
                    Some(ended) => *ended = true,
                }
                if (record.disposition == Disposition::Answered) != record.setup_ms.is_some() {
                    fail(format!(
                        "{}: {:?} with set-up time {:?}",
                        record.call, record.disposition, record.setup_ms
                    ));
                }
            }
            (Happened::Admitted { .. }, None) => fail("admission without call".to_owned()),
            (what @ Happened::Orphans { .. }, _) => fail(format!("{what:?}")),
            (Happened::Bug { invariant }, _) => fail(format!("broken invariant {invariant}")),
            _ => {}
        }
    }

    fn finish(&mut self, end: &End<'_>, out: &mut Vec<Violation>) {
        let mut fail = |text| {
            out.push(Violation {
                at: end.at,
                rule: "record",
                text,
            })
        };
        for (call, _) in self.admitted.iter().filter(|(_, ended)| !**ended) {
            fail(format!("{call} has no record"));
        }
        let mut told = BTreeMap::new();
        for record in end.records {
            let is_answered = self.answered.contains(&record.ingress.call_id);
            if (record.disposition == Disposition::Answered) != is_answered {
                fail(format!(
                    "{}: {:?}, but answered is {is_answered}",
                    record.call, record.disposition
                ));
            }
            for attempt in &record.egress {
                *told.entry(attempt.call_id.as_str()).or_insert(0) += 1;
            }
        }
        for call_id in &self.attempted {
            if !told.contains_key(call_id.as_str()) {
                fail(format!("INVITE with Call-ID {call_id} is in no record"));
            }
        }
    }
}
