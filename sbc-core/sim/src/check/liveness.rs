//! When faults stop everything settles: a call is up on both sides or gone on both.

use super::{Checker, End, Rules, Violation};
use crate::actor::{Act, Ending, Oddity, PartyView, Wanted};
use crate::fault::ActorIndex;
use crate::topology;
use std::collections::BTreeMap;

pub(super) struct Liveness(Rules);

impl Liveness {
    pub(super) fn new(rules: Rules) -> Self {
        Self(rules)
    }

    /// Whether a party's connections broke: messages that only a connection carries are then lost
    /// for good, and a party may never learn of its call's end.
    fn is_excused(&self, view: &PartyView) -> bool {
        let mut unreliable = self.0.unreliable.iter();
        unreliable.any(|actor| topology::name(*actor) == view.actor)
    }
}

impl Checker for Liveness {
    fn finish(&mut self, end: &End<'_>, out: &mut Vec<Violation>) {
        let mut fail = |rule, text: String| {
            out.push(Violation {
                at: end.at,
                rule,
                text,
            })
        };
        for text in &end.complaints {
            fail("peer-complaint", text.clone());
        }
        let mut up: BTreeMap<usize, (usize, usize, bool)> = BTreeMap::new();
        for view in end.inspected.iter().filter(|view| view.was_up) {
            let sides = up.entry(view.call).or_default();
            sides.2 |= self.is_excused(view);
            if view.ending.is_none() {
                if view.is_caller {
                    sides.0 += 1
                } else {
                    sides.1 += 1
                }
            }
        }
        // Two parties of different calls that talk with each other are one of two callees each.
        let mut joined: BTreeMap<ActorIndex, usize> = BTreeMap::new();
        for (call, (callers, callees, is_excused)) in up {
            if let Some(party) = who_joins(end, call) {
                *joined.entry(party).or_default() += callers + callees;
                continue;
            }
            if !is_excused && !contradicts_itself(end, call) && callers != callees {
                let text = format!("call {call} is up for {callers} callers and {callees} callees");
                fail("liveness-half-call", text);
            }
        }
        let excused = |view: &&PartyView| self.is_excused(view);
        if !end.inspected.iter().any(|view| excused(&view)) {
            for (party, sides) in joined.iter().filter(|(_, sides)| *sides % 2 > 0) {
                let who = topology::name(*party);
                let text = format!("calls that {who} has joined are up for {sides} parties");
                fail("liveness-half-call", text);
            }
        }
        for view in end.views.iter().filter(|view| view.call != usize::MAX) {
            if self.is_excused(view) || view.ending.is_some() {
                continue;
            }
            if view.is_caller || has_shown_itself(end, view) {
                let text = format!(
                    "call {} never ended for {}: {view:?}",
                    view.call, view.actor
                );
                fail("liveness-stuck", text);
            }
        }
        for view in end
            .views
            .iter()
            .filter(|view| view.is_caller && view.was_up)
        {
            let answered = end
                .views
                .iter()
                .any(|v| v.call == view.call && !v.is_caller && v.final_status == Some(200));
            // Who takes a party's place is answered by us, and may be who a caller is answered by.
            let is_there = |call: usize| {
                let mut views = end.views.iter();
                views.any(|v| v.is_caller && v.call == call && v.was_up)
            };
            let mut plans = end.scenario.calls.iter();
            let replaces = plans.any(|plan| plan.dial.replaces && is_there(plan.dial.call));
            if !answered && !replaces && !contradicts_itself(end, view.call) {
                fail(
                    "answer-without-callee",
                    format!("call {} was answered by nobody", view.call),
                );
            }
            let gave_up = view.ending == Some(Ending::GaveUp);
            if gave_up
                && view.final_status == Some(200)
                && !view.cancelled
                && !self.is_excused(view)
            {
                fail(
                    "late-answer",
                    format!("call {} was answered after its caller gave up", view.call),
                );
            }
        }
    }
}

/// Who may join a party of this call with that of another one of its own, be it the caller or called.
fn who_joins(end: &End<'_>, call: usize) -> Option<ActorIndex> {
    let calls = &end.scenario.calls;
    let own = calls.iter().find(|own| own.dial.call == call)?;
    let joins = |actor: &ActorIndex| {
        let theirs = calls.iter().filter(|plan| plan.caller == *actor);
        let mut changes = theirs.flat_map(|plan| &plan.dial.changes);
        changes.any(|change| matches!(change.wanted, Wanted::Attended(_)))
    };
    let called = own.scripts.iter().chain(&own.targets).chain(&own.moved);
    let mut parties = std::iter::once(own.caller).chain(called.map(|(actor, _)| *actor));
    parties.find(joins)
}

/// Whether a callee gives two final answers: where the first is lost, the second one counts, and the
/// callee itself believes the first.
fn contradicts_itself(end: &End<'_>, call: usize) -> bool {
    let mut calls = end.scenario.calls.iter();
    calls.any(|planned| planned.dial.call == call && planned.has_oddity(Oddity::TwoFinals))
}

/// Whether a callee sent anything provisional, after which the SBC must cancel what it gives up.
fn has_shown_itself(end: &End<'_>, view: &PartyView) -> bool {
    let Some(call) = end
        .scenario
        .calls
        .iter()
        .find(|call| call.dial.call == view.call)
    else {
        return false;
    };
    let lossy = !end.scenario.faults.is_empty();
    let shown = |script: &crate::actor::Script| {
        script
            .acts
            .iter()
            .any(|(_, act)| matches!(act, Act::Trying | Act::Progress { .. }))
    };
    // Which of its scripts it has played, as a callee or as the target of a transfer, its view does not say.
    let all = call.scripts.iter().chain(&call.targets).chain(&call.moved);
    let own = all.filter(|(actor, _)| topology::name(*actor) == view.actor);
    let mut own = own.peekable();
    !lossy && own.peek().is_some() && own.all(|(_, script)| shown(script))
}
