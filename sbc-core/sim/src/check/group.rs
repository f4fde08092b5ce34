//! Those that a call rings, one after the other or all at once (SIP-314): when the caller has its final
//! answer nobody is called any more, and whoever still rings is cancelled.
//!
//! Calls whose parties are exchanged (REFER, Replaces) are left to the rules that are theirs.

use super::{Checker, End, Rules, Seen, Violation, call_of};
use crate::fault::ActorIndex;
use crate::topology;
use crate::wire::Wire;
use sbc_core::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long after the caller's answer somebody may ring on: our CANCEL leaves in the same step.
const GRACE: Duration = Duration::from_millis(1);

pub(super) struct Groups {
    rules: Rules,
    calls: BTreeMap<usize, Call>,
}

/// One call of the scenario.
#[derive(Default)]
struct Call {
    /// Branch of the caller's INVITE. One that comes twice is refused and changes nothing (RFC 3261 §8.2.2.2).
    asked: Option<String>,
    /// When the caller got its final answer.
    answered: Option<Timestamp>,
    /// INVITEs to called parties, by branch.
    tries: BTreeMap<String, Try>,
    is_exchanged: bool,
}

struct Try {
    actor: Option<ActorIndex>,
    /// When it showed that it is there: from then on it can be cancelled (RFC 3261 §9.1).
    shown: Option<Timestamp>,
    ended: Option<Timestamp>,
    cancelled: Option<Timestamp>,
}

impl Groups {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            calls: BTreeMap::new(),
        }
    }

    fn sent(&mut self, at: Timestamp, wire: &Wire, actor: Option<ActorIndex>) -> Option<String> {
        let number = call_of(wire)?;
        let call = self.calls.entry(number).or_default();
        let (_, method) = wire.cseq()?;
        match (wire.status(), method) {
            (None, "INVITE") if wire.tag("To").is_none() => {
                let branch = wire.branch().to_owned();
                let is_new = !call.tries.contains_key(&branch);
                let fresh = Try {
                    actor,
                    shown: None,
                    ended: None,
                    cancelled: None,
                };
                call.tries.entry(branch).or_insert(fresh);
                let is_late = is_new && call.answered.is_some() && !call.is_exchanged;
                is_late.then(|| format!("call {number} rings somebody after its end"))
            }
            (None, "CANCEL") => {
                let tried = call.tries.get_mut(wire.branch())?;
                tried.cancelled.get_or_insert(at);
                None
            }
            (Some(200..), "INVITE") if call.asked.as_deref() == Some(wire.branch()) => {
                call.answered.get_or_insert(at);
                None
            }
            _ => None,
        }
    }

    fn heard(&mut self, at: Timestamp, wire: &Wire) {
        let (Some(number), Some((_, method))) = (call_of(wire), wire.cseq()) else {
            return;
        };
        let call = self.calls.entry(number).or_default();
        let is_call = wire.status().is_none() && method == "INVITE" && wire.tag("To").is_none();
        if is_call {
            call.asked.get_or_insert_with(|| wire.branch().to_owned());
        }
        call.is_exchanged |= method == "REFER" || wire.get("Replaces").is_some();
        let (Some(status), "INVITE") = (wire.status(), method) else {
            return;
        };
        if let Some(tried) = call.tries.get_mut(wire.branch()) {
            match status {
                200.. => tried.ended.get_or_insert(at),
                _ => tried.shown.get_or_insert(at),
            };
        }
    }

    /// What is wrong with somebody that a call rang.
    fn judged(&self, call: &Call, tried: &Try) -> Option<&'static str> {
        let (answered, shown) = (call.answered?, tried.shown?);
        let actor = tried.actor?;
        if self.rules.unreliable.contains(&actor) || call.is_exchanged {
            return None;
        }
        let due = answered.max(shown) + GRACE;
        let is_over = |at: Option<Timestamp>| at.is_some_and(|at| at <= due);
        if is_over(tried.ended) || is_over(tried.cancelled) {
            return None;
        }
        Some(match tried.cancelled {
            Some(_) => "was cancelled late",
            None => "was never cancelled",
        })
    }
}

impl Checker for Groups {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        match seen {
            Seen::Sent {
                wire: Some(wire),
                actor,
                ..
            } => {
                let text = self.sent(at, wire, *actor);
                let rule = "group-late";
                out.extend(text.map(|text| Violation { at, rule, text }));
            }
            Seen::Heard {
                wire: Some(wire),
                is_garbage: false,
                ..
            } => self.heard(at, wire),
            _ => {}
        }
    }

    fn finish(&mut self, end: &End<'_>, out: &mut Vec<Violation>) {
        for (number, call) in &self.calls {
            for tried in call.tries.values() {
                if let Some(wrong) = self.judged(call, tried) {
                    let who = tried.actor.map_or("nobody", topology::name);
                    out.push(Violation {
                        at: end.at,
                        rule: "group-cancel",
                        text: format!("call {number}: {who} rang, and {wrong}"),
                    });
                }
            }
        }
    }
}
