//! Reliable provisional responses (RFC 3262) from outside. Ours: numbers rise by one, one at a time
//! waits for its PRACK, none goes to a caller that did not say that it can confirm them, and no 2xx
//! overtakes a description that waits (SIP-520, SIP-522, SIP-525). The peers': each gets one PRACK in
//! its own dialog, in order (SIP-521).

use super::{Checker, End, Seen, Violation};
use crate::wire::Wire;
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A PRACK may wait for a name to be resolved.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Provisionals {
    /// INVITEs of callers, by Call-ID and sequence number.
    callers: BTreeMap<(String, u32), Caller>,
    /// Early dialogs of INVITEs of ours, by Call-ID and the peer's tag.
    callees: BTreeMap<(String, String), Callee>,
    /// When INVITEs of ours got their final response or were cancelled, by branch.
    ended: BTreeMap<String, Timestamp>,
}

#[derive(Default)]
struct Caller {
    can_confirm: bool,
    is_within: bool,
    last: Option<u32>,
    open: Option<(u32, bool)>,
}

#[derive(Default)]
struct Callee {
    branch: String,
    /// Numbers in order as they came, and when.
    heard: Vec<(u32, Timestamp)>,
    /// Our PRACKs: number and branch.
    confirmed: BTreeMap<u32, BTreeSet<String>>,
}

impl Checker for Provisionals {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        let mut fail = |text| {
            out.push(Violation {
                at,
                rule: "provisional",
                text,
            });
        };
        match seen {
            Seen::Heard {
                wire: Some(wire),
                is_garbage: false,
                ..
            } => match wire.status() {
                None => self.request_heard(wire),
                Some(status) => self.response_heard(at, wire, status),
            },
            Seen::Sent {
                wire: Some(wire),
                answers_garbage: false,
                ..
            } => match wire.status() {
                None => self.request_sent(at, wire, &mut fail),
                Some(status) => self.response_sent(wire, status, &mut fail),
            },
            _ => {}
        }
    }

    fn finish(&mut self, end: &End<'_>, out: &mut Vec<Violation>) {
        for ((call_id, tag), callee) in &self.callees {
            let ended = self.ended.get(&callee.branch).unwrap_or(&end.at);
            for (rseq, heard) in &callee.heard {
                // What ends at once needs none any more.
                let is_due = *heard + PATIENCE < *ended;
                if is_due && !callee.confirmed.contains_key(rseq) {
                    out.push(Violation {
                        at: end.at,
                        rule: "provisional",
                        text: format!("{call_id} {tag}: {rseq} has no PRACK (SIP-521)"),
                    });
                }
            }
        }
    }
}

impl Provisionals {
    fn request_heard(&mut self, wire: &Wire) {
        let number = wire.cseq().map_or(0, |(number, _)| number);
        match wire.method() {
            Some("INVITE") => {
                let mut tags = wire.values("Supported");
                tags.extend(wire.values("Require"));
                let key = (wire.call_id().to_owned(), number);
                self.callers.entry(key).or_insert_with(|| Caller {
                    can_confirm: tags.iter().any(|tag| tag == "100rel"),
                    is_within: wire.tag("To").is_some(),
                    ..Caller::default()
                });
            }
            Some("PRACK") => {
                let Some((rseq, cseq)) = rack(wire) else {
                    return;
                };
                let key = (wire.call_id().to_owned(), cseq);
                if let Some(caller) = self.callers.get_mut(&key) {
                    caller.open.take_if(|(open, _)| *open == rseq);
                }
            }
            _ => {}
        }
    }

    fn response_sent(&mut self, wire: &Wire, status: u16, fail: &mut impl FnMut(String)) {
        let Some((number, "INVITE")) = wire.cseq() else {
            return;
        };
        let key = (wire.call_id().to_owned(), number);
        let Some(caller) = self.callers.get_mut(&key) else {
            return;
        };
        if (200..300).contains(&status) && matches!(caller.open, Some((_, true))) {
            fail(format!(
                "{}: a description waits for its PRACK (SIP-522)",
                wire.first
            ));
        }
        let is_reliable = wire.values("Require").iter().any(|tag| tag == "100rel");
        let rseq = wire.get("RSeq").and_then(|value| value.parse::<u32>().ok());
        let Some(rseq) = rseq.filter(|_| is_reliable) else {
            if rseq.is_some() != is_reliable {
                fail(format!("{}: Require and RSeq come together", wire.first));
            }
            return;
        };
        let is_misplaced = status <= 100 || status >= 200 || caller.is_within;
        if !caller.can_confirm || is_misplaced {
            fail(format!("{}: must not be reliable (SIP-525)", wire.first));
        }
        if caller.last == Some(rseq) {
            return;
        }
        let is_next = match caller.last {
            None => (1..1 << 31).contains(&rseq),
            Some(last) => rseq == last + 1,
        };
        if !is_next {
            let last = caller.last;
            fail(format!("{}: RSeq {rseq} after {last:?}", wire.first));
        }
        if let Some((open, _)) = caller.open {
            fail(format!("{}: {open} has no PRACK yet", wire.first));
        }
        caller.last = Some(rseq);
        caller.open = Some((rseq, wire.has_sdp()));
    }

    fn response_heard(&mut self, at: Timestamp, wire: &Wire, status: u16) {
        if wire.cseq().is_none_or(|(_, method)| method != "INVITE") {
            return;
        }
        if status >= 200 {
            self.ended.entry(wire.branch().to_owned()).or_insert(at);
            return;
        }
        let rseq = wire.get("RSeq").and_then(|value| value.parse::<u32>().ok());
        let (Some(rseq), Some(tag)) = (rseq, wire.tag("To")) else {
            return;
        };
        if self.ended.contains_key(wire.branch()) {
            return;
        }
        let key = (wire.call_id().to_owned(), tag.to_owned());
        let callee = self.callees.entry(key).or_default();
        callee.branch = wire.branch().to_owned();
        if callee.heard.last().is_none_or(|(last, _)| rseq == last + 1) {
            callee.heard.push((rseq, at));
        }
    }

    fn request_sent(&mut self, at: Timestamp, wire: &Wire, fail: &mut impl FnMut(String)) {
        if wire.method() == Some("CANCEL") {
            self.ended.entry(wire.branch().to_owned()).or_insert(at);
            return;
        }
        if wire.method() != Some("PRACK") {
            return;
        }
        let tag = wire.tag("To").unwrap_or_default();
        let key = (wire.call_id().to_owned(), tag.to_owned());
        let Some((callee, (rseq, _))) = self.callees.get_mut(&key).zip(rack(wire)) else {
            return fail(format!("{}: confirms nothing of {tag:?}", wire.first));
        };
        if !callee.heard.iter().any(|(heard, _)| *heard == rseq) {
            fail(format!("{}: {rseq} was not heard in order", wire.first));
        }
        let branches = callee.confirmed.entry(rseq).or_default();
        branches.insert(wire.branch().to_owned());
        if branches.len() > 1 {
            fail(format!("{}: a second PRACK of {rseq}", wire.first));
        }
    }
}

/// RSeq and CSeq of a RAck.
fn rack(wire: &Wire) -> Option<(u32, u32)> {
    let mut words = wire.get("RAck")?.split(' ');
    let (rseq, cseq) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (words.next() == Some("INVITE")).then_some((rseq, cseq))
}
