//! A call for help that finds no media ports: others give way, and it asks again (SIP-1401).

use super::{Setup, Step};
use crate::call::{A_LEG, Call, Operation, Room, Timer, room};
use crate::plane::Cx;
use media_api::AllocateError;
use std::time::Duration;

/// After how long the relay is asked again: who gave way has heard of it by then, mostly, and sends
/// nothing more to ports that are another's now.
const PAUSE: Duration = Duration::from_millis(200);

/// How often others give way for one call.
const MOST: u8 = 5;

impl Setup {
    /// Lets an ordinary call give way, if that may help. Says whether the relay will be asked again.
    pub(super) fn asks_for_ports(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        why: AllocateError,
    ) -> bool {
        let Step::Allocating(group) = &self.step else {
            return false;
        };
        let is_full = matches!(why, AllocateError::PortsExhausted | AllocateError::Socket);
        let may_ask = call.places.are_for_help() && cx.plane.config.limits.preempt;
        if !is_full || !may_ask || self.made_room == MOST {
            return false;
        }
        self.made_room += 1;
        let own = call.legs.get(&A_LEG);
        let own = own.filter(|a| a.image.local().is_none());
        let own = own.map(|a| a.session.style().trunk.realm.clone());
        let others = group.iter().map(|own| own.attempt.trunk.realm.clone());
        let mut realms: Vec<_> = own.into_iter().chain(others).collect();
        realms.sort_unstable();
        realms.dedup();
        let by = (call.id, &call.record.ingress.trunk);
        room::ask_for(cx.plane, by, vec![Room::Ports(realms)]);
        call.timers.set(Timer::Room as usize, cx.now.mono + PAUSE);
        true
    }

    /// Who gave way is gone: the relay is asked again.
    pub(in crate::call) fn room_is_due(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
    ) -> Option<Operation> {
        match std::mem::replace(&mut self.step, Step::Waiting) {
            Step::Allocating(group) => self.reserve(call, cx, group),
            step => {
                self.step = step;
                Some(Operation::Setup(self))
            }
        }
    }
}
