//! What a response of the called side says beyond status and description, for the caller: listed
//! headers, and who answered.

use super::super::{A_LEG, Call};
use super::Setup;
use crate::id::LegId;
use crate::policy::identity::Towards;
use crate::policy::{connected, header};
use crate::sip::Message;
use std::sync::Arc;

impl Setup {
    /// Has the next responses to the caller carry what policy lets through of this one.
    pub(super) fn carry(&self, call: &mut Call, leg: LegId, said: &Message) {
        let from = call.legs.get(&leg).map(|leg| &leg.session.style().trunk);
        let Some(from) = from.map(Arc::clone) else {
            return;
        };
        let mut lines = header::passed_back(said, &from, &self.trunk);
        let config = Arc::clone(&call.config);
        let listener = self.trunk.listeners.first();
        let listener = listener.and_then(|name| config.listeners.get(name));
        if let (Some(listener), Some(target)) = (listener, from.targets.first()) {
            let towards = Towards {
                from: &from,
                to: &self.trunk,
                target,
                listener,
                is_emergency: self.is_emergency,
            };
            lines.extend(connected::carried(said, &config, towards));
        }
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
