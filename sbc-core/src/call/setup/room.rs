//! A call that finds no media ports: for a call for help others give way, and it asks again (SIP-1401). Then
//! trunks in other realms may have some.

use super::{Prepared, Setup, Step, refuse};
use crate::call::{A_LEG, Call, Operation, Room, Timer, room};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::event::MediaRefusal;
use crate::plane::Cx;
use crate::policy::response;
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

    /// There are no ports for whoever would be called now: the next ones may be in another realm. Several that
    /// were to be called at once are called one after the other, because one of them may have none.
    pub(super) fn has_no_ports(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        group: Vec<Prepared>,
        why: AllocateError,
    ) -> Option<Operation> {
        let mapped = response::own(CauseCode::MediaUnavailable, &self.trunk);
        let because = Because::of(format!("the media relay refused: {why:?}")).named(why);
        for own in &group {
            call.leave_places(cx, own.leg);
        }
        let is_alone = group.len() == 1;
        if is_alone && self.attempts.is_empty() && self.failure.is_none() {
            call.media_refused(cx, A_LEG, MediaRefusal::Relay(why));
            // Before any INVITE went out: the caller may try another node (MED-011).
            return refuse(call, cx, mapped, EndedBy::Us, because, None);
        }
        if is_alone {
            let trunk = &group[0].attempt.trunk;
            call.media_refused_on(cx, None, trunk, MediaRefusal::Relay(why));
            let next = self.attempts.front();
            if next.is_some_and(|next| next.trunk.realm != trunk.realm) {
                self.made_room = 0;
            }
            self.failed_here(mapped, because);
        } else {
            self.at_once = false;
            for own in group.into_iter().rev() {
                self.attempts.push_front(own.attempt);
            }
        }
        self.next_attempt(call, cx)
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
