//! Early and held calls among those in progress, as the shards know them when somebody scrapes.
//!
//! No event tells of either: a call that rings or is put on hold costs nothing here.

use super::CallMetrics;
use sbc_core::id::CallId;
use sbc_core::record::CallPhase;
use std::collections::HashMap;
use std::sync::PoisonError;

/// The label of a call or leg. What was known at the last scrape and does not fit any more is not shown.
pub(super) fn word(is_answered: bool, phase: Option<CallPhase>) -> &'static str {
    match (is_answered, phase) {
        (false, Some(phase @ CallPhase::Early)) | (true, Some(phase @ CallPhase::Held)) => {
            phase.as_str()
        }
        (false, None | Some(CallPhase::Held)) => "setup",
        (true, None | Some(CallPhase::Early)) => "connected",
    }
}

impl CallMetrics {
    /// These calls are in a phase, and no others are. Shards wait for the lock: nobody else is looked at but those that
    /// were in one before.
    pub fn in_phases(&self, phases: &HashMap<CallId, CallPhase>) {
        let mut known = self
            .in_phases
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *known, phases.keys().copied().collect());
        let mut calls = self.lock();
        for call in before.union(&known) {
            let phase = phases.get(call).copied();
            let open = calls.get_mut(call);
            let Some(open) = open.filter(|own| own.phase != phase) else {
                continue;
            };
            self.gauge(open).dec();
            for called in &open.called {
                self.out_gauge(open, called).dec();
            }
            open.phase = phase;
            self.gauge(open).inc();
            for called in &open.called {
                self.out_gauge(open, called).inc();
            }
        }
    }
}
