//! What a response of the called side says beyond status and description, for the caller: listed
//! headers, and who answered.

use super::super::{A_LEG, Call};
use super::Setup;
use super::vouch::told;
use crate::id::LegId;
use crate::plane::Cx;
use crate::policy::identity::Towards;
use crate::policy::isup::{self, Speaker};
use crate::policy::{connected, header};
use crate::sip::{HeaderName, Message};
use bytes::Bytes;

impl Setup {
    /// What is told to the caller of a leg, if both can be named to each other.
    pub(super) fn told_of(
        &self,
        call: &Call,
        leg: LegId,
        tell: impl FnOnce(Towards<'_>) -> Vec<(HeaderName, Bytes)>,
    ) -> Vec<(HeaderName, Bytes)> {
        let Some(own) = call.legs.get(&leg) else {
            return Vec::new();
        };
        let from = &own.session.style().trunk;
        // Whoever registers with us has no target but where it was reached.
        let target = from.targets.first().cloned();
        let target = target.or_else(|| own.session.facts().reached());
        let listener = self.trunk.listeners.first();
        let listener = listener.and_then(|name| call.config.listeners.get(name));
        let (Some(listener), Some(target)) = (listener, target) else {
            return Vec::new();
        };
        tell(Towards {
            from,
            to: &self.trunk,
            target: &target,
            listener,
            is_emergency: self.is_emergency,
        })
    }

    /// Has the next responses to the caller carry what policy lets through of this one.
    pub(super) fn carry(
        &self,
        call: &mut Call,
        leg: LegId,
        said: &Message,
        authority: Option<(HeaderName, Bytes)>,
    ) {
        let Some(from) = call.trunk_of(leg) else {
            return;
        };
        let mut lines = header::passed_back(said, &from, &self.trunk);
        lines.retain(|(name, _)| *name != HeaderName::PEarlyMedia);
        lines.extend(authority);
        let asked = self.as_asked(call, leg);
        lines.extend(self.told_of(call, leg, |towards| {
            let mut lines = connected::carried(said, &call.config, towards);
            lines.extend(self.history(call, Some(said), towards, asked.as_ref()));
            lines
        }));
        lines.extend(call.unvouched.map(told));
        call.note_identity(leg, said);
        call.ends.heard(said);
        let (to_caller, to_called) = (call.ends.to_caller(&self.trunk), call.ends.to_called(&from));
        if let Some(b) = call.leg(leg) {
            b.session.name_ends(to_called);
        }
        if let Some(a) = call.leg(A_LEG) {
            a.session.carry(lines);
            let parts = isup::parts(said, Speaker::default(), &from, &self.trunk);
            a.session.attach(parts);
            a.session.name_ends(to_caller);
        }
    }

    /// Tells which unknown headers of the called side's response stay behind.
    pub(super) fn tells_what_stays(
        &self,
        call: &Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        said: &Message,
    ) {
        if let Some(from) = call.trunk_of(leg) {
            call.tells_what_stays(cx, said, &from, &self.trunk, false);
        }
    }
}
