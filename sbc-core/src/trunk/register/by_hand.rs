//! Registrations that an operator renews or takes back.

use super::{Registering, Registrations, Step};
use crate::id::TrunkName;
use crate::plane::Cx;
use crate::trunk::RegistrationState;
use std::time::Duration;

impl Registrations {
    /// Registers a trunk anew as soon as the one that is under way has its answer, whatever pause was meant; also one
    /// that was taken off. Says whether the trunk registers.
    pub(crate) fn refresh(&mut self, cx: &mut Cx<'_>, trunk: &TrunkName) -> bool {
        let is_draining = self.is_draining;
        let Some((id, one)) = self.own(trunk) else {
            return false;
        };
        one.is_off = false;
        one.failures = 0;
        one.losses = 0;
        one.retry_after = Duration::ZERO;
        if is_draining && one.wanted.unregisters {
            // It comes back with the node.
            return true;
        }
        if std::mem::take(&mut one.is_leaving) {
            let because = "an operator wants it again";
            one.tell(cx, RegistrationState::Trying, None, because);
        }
        one.due = cx.now.mono;
        let due = one.due;
        self.due.push(due, id);
        true
    }

    /// Takes the registration of a trunk back, and registers it no more until it is refreshed, or the daemon starts
    /// anew. Says whether the trunk registers.
    pub(crate) fn take_off(&mut self, cx: &mut Cx<'_>, trunk: &TrunkName) -> bool {
        let Some((id, one)) = self.own(trunk) else {
            return false;
        };
        one.is_off = true;
        one.is_leaving = true;
        // One that is under way gets its answer first: there is one at a time.
        if matches!(one.step, Step::Idle) {
            one.remove(cx, id);
        }
        let because = "an operator has taken it back";
        one.tell(cx, RegistrationState::Off, None, because);
        true
    }

    fn own(&mut self, trunk: &TrunkName) -> Option<(u32, &mut Registering)> {
        let is_it = |one: &Registering| !one.is_gone && one.style.trunk.name == *trunk;
        let found = self.all.iter_mut().find(|(_, one)| is_it(one));
        found.map(|(id, one)| (*id, one))
    }
}
