//! A REFER that is passed on (SIP-810): the other party gets it once, its answer is the transferor's, and no
//! success is told that the other party has not told.

use super::{Checker, Seen, Violation, call_of};
use crate::wire::Wire;
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Relays {
    calls: BTreeMap<usize, Call>,
}

/// What one call has of transfers.
#[derive(Default)]
struct Call {
    /// REFERs that came, by branch, and what was answered.
    asked: BTreeMap<String, Option<u16>>,
    /// REFERs of ours, by branch, and what was answered.
    passed_on: BTreeMap<String, Option<u16>>,
    /// Dialogs that our REFERs went to, by Call-ID.
    transferees: BTreeSet<String>,
    /// Whether a transferee has said that it talks to the target.
    is_done: bool,
}

impl Relays {
    fn sent(&mut self, wire: &Wire) -> Option<String> {
        let number = call_of(wire)?;
        let call = self.calls.entry(number).or_default();
        let (_, method) = wire.cseq()?;
        match (wire.status(), method) {
            (None, "REFER") => {
                call.passed_on.entry(wire.branch().to_owned()).or_default();
                call.transferees.insert(wire.call_id().to_owned());
                let too_many = call.passed_on.len() > call.asked.len();
                too_many.then(|| format!("call {number}: a REFER that nobody asked for"))
            }
            (Some(status @ 200..), "REFER") => {
                let told = call.asked.get_mut(wire.branch())?;
                *told = Some(status);
                let is_accepted = |status: &Option<u16>| matches!(status, Some(200..=299));
                let owed = call
                    .asked
                    .values()
                    .filter(|status| is_accepted(status))
                    .count();
                let had = call
                    .passed_on
                    .values()
                    .filter(|status| is_accepted(status))
                    .count();
                let is_early = !call.passed_on.is_empty() && owed > had;
                is_early.then(|| format!("call {number}: accepted before the transferee did"))
            }
            (None, "NOTIFY") => {
                let is_success = wire.body.starts_with("SIP/2.0 200");
                let is_ours = !call.passed_on.is_empty() && !call.is_done;
                (is_success && is_ours)
                    .then(|| format!("call {number}: a success that nobody has told"))
            }
            _ => None,
        }
    }

    fn heard(&mut self, wire: &Wire) {
        let (Some(number), Some((_, method))) = (call_of(wire), wire.cseq()) else {
            return;
        };
        let call = self.calls.entry(number).or_default();
        match (wire.status(), method) {
            (None, "REFER") => {
                call.asked.entry(wire.branch().to_owned()).or_default();
            }
            (Some(status @ 200..), "REFER") => {
                if let Some(answer) = call.passed_on.get_mut(wire.branch()) {
                    *answer = Some(status);
                }
            }
            (None, "NOTIFY") if call.transferees.contains(wire.call_id()) => {
                call.is_done |= wire.body.starts_with("SIP/2.0 200");
            }
            _ => {}
        }
    }
}

impl Checker for Relays {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        match seen {
            Seen::Sent {
                wire: Some(wire), ..
            } => {
                let text = self.sent(wire);
                let rule = "relay";
                out.extend(text.map(|text| Violation { at, rule, text }));
            }
            Seen::Heard {
                wire: Some(wire),
                is_garbage: false,
                ..
            } => self.heard(wire),
            _ => {}
        }
    }
}
