//! What a response of the called side says beyond status and description, for the caller: listed
//! headers, and who answered.

use super::super::{A_LEG, Call};
use super::Setup;
use super::vouch::told;
use crate::id::LegId;
use crate::policy::diversion::told_back;
use crate::policy::identity::Towards;
use crate::policy::{connected, header};
use crate::sip::{HeaderName, Message};
use bytes::Bytes;
use std::sync::Arc;

impl Setup {
    /// Has the next responses to the caller carry what policy lets through of this one.
    pub(super) fn carry(
        &self,
        call: &mut Call,
        leg: LegId,
        said: &Message,
        authority: Option<(HeaderName, Bytes)>,
    ) {
        let Some(own) = call.legs.get(&leg) else {
            return;
        };
        let from = Arc::clone(&own.session.style().trunk);
        // Whoever registers with us has no target but where it was reached.
        let target = from.targets.first().cloned();
        let target = target.or_else(|| own.session.facts().reached());
        let mut lines = header::passed_back(said, &from, &self.trunk);
        lines.retain(|(name, _)| *name != HeaderName::PEarlyMedia);
        lines.extend(authority);
        let config = Arc::clone(&call.config);
        let listener = self.trunk.listeners.first();
        let listener = listener.and_then(|name| config.listeners.get(name));
        if let (Some(listener), Some(target)) = (listener, target) {
            let towards = Towards {
                from: &from,
                to: &self.trunk,
                target: &target,
                listener,
                is_emergency: self.is_emergency,
            };
            lines.extend(connected::carried(said, &config, towards));
            lines.extend(told_back(&self.request, said, &config, towards));
        }
        lines.extend(call.unvouched.map(told));
        call.note_identity(leg, said);
        call.ends.heard(said);
        let (to_caller, to_called) = (call.ends.to_caller(&self.trunk), call.ends.to_called(&from));
        if let Some(b) = call.leg(leg) {
            b.session.name_ends(to_called);
        }
        if let Some(a) = call.leg(A_LEG) {
            a.session.carry(lines);
            a.session.name_ends(to_caller);
        }
    }
}
