//! Trunks that a reload has removed, and what becomes of their calls (OPS-121).

use super::Core;
use crate::cause::Because;
use crate::config::{Config, OnRemove};
use crate::effect::Effects;
use crate::id::{CallId, TrunkName};
use crate::time::{Now, Timestamp};
use crate::trouble::Trouble;
use std::collections::BTreeMap;

/// Trunks that are gone and whose calls end at a time.
#[derive(Default)]
pub(super) struct Removed(BTreeMap<TrunkName, Timestamp>);

impl Removed {
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.0.values().min().copied()
    }
}

impl Core {
    /// Takes note of what the configuration in use has no more. A trunk that is back has its calls again.
    pub(super) fn note_removed(&mut self, now: Now, before: &Config, out: &mut Effects) {
        let config = &self.plane.config;
        let removed = &mut self.removed.0;
        removed.retain(|name, _| !config.trunks.contains_key(name));
        let gone = before.trunks.iter();
        for (name, trunk) in gone.filter(|(name, _)| !config.trunks.contains_key(*name)) {
            let may_go_on = match trunk.on_remove {
                OnRemove::Keep => continue,
                OnRemove::Drain => config.limits.last_calls,
                OnRemove::Kill => std::time::Duration::ZERO,
            };
            removed.insert(name.clone(), now.mono + may_go_on);
        }
        self.end_removed(now, out);
    }

    /// Ends the calls of trunks whose time has come.
    pub(super) fn end_removed(&mut self, now: Now, out: &mut Effects) {
        let is_due = |at: &Timestamp| *at <= now.mono;
        if !self.removed.next_deadline().is_some_and(|at| is_due(&at)) {
            return;
        }
        let removed = &mut self.removed.0;
        let due: Vec<TrunkName> = removed
            .iter()
            .filter(|(_, at)| is_due(at))
            .map(|(name, _)| name.clone())
            .collect();
        removed.retain(|_, at| !is_due(at));
        let mut calls: Vec<(CallId, Because)> = Vec::new();
        for (id, entry) in &self.calls {
            let Some(name) = entry.call.loses(&due) else {
                continue;
            };
            let why = Because::of(format!("trunk \"{name}\" was removed"));
            calls.push((*id, why.named(Trouble::TrunkRemoved)));
        }
        calls.sort_unstable_by_key(|(id, _)| *id);
        for (call, why) in calls {
            self.with_call(now, call, out, |call, cx| call.hang_up(cx, why, &[]));
        }
    }
}
