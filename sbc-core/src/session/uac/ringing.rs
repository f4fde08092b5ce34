//! How long it may ring.

use super::Try;
use crate::event::TargetFault;
use crate::plane::Cx;
use crate::session::{Phase, Rejection, Session, SessionEvent, Timer};
use crate::sip::Status;
use std::time::Duration;

/// The least Timer C of a proxy (RFC 3261 §16.6).
const LEAST_OF_PROXY: Duration = Duration::from_secs(180);

impl Session {
    /// A provisional response but 100 has come. Whoever says something is there, so Timer C begins anew (RFC 3261
    /// §16.7). A shorter time is the operator's own, and begins anew with what is new alone: gateways repeat 180 every
    /// few seconds, and one that is reliable until its PRACK.
    pub(super) fn rings(&mut self, cx: &Cx<'_>, status: Status) {
        let limit = self.style.trunk.timers.ring_timeout;
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        let current = outgoing.current.as_mut();
        let before = current.and_then(|current| current.said.replace(status));
        let is_new = limit >= LEAST_OF_PROXY || before != Some(status);
        if is_new && self.timers.is_set(Timer::Ring as usize) {
            self.timers.set(Timer::Ring as usize, cx.now.mono + limit);
        }
    }

    /// It has been ringing for too long: CANCEL, and wait for its 487.
    pub(in crate::session) fn ring_timeout(&mut self, cx: &mut Cx<'_>, up: &mut Vec<SessionEvent>) {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        if outgoing.outset.is_emergency {
            return self.rings_for_help(cx, up);
        }
        let Some(current) = &outgoing.current else {
            return;
        };
        outgoing.targets.clear();
        outgoing.addresses.clear();
        outgoing.later.clear();
        outgoing.doubtful.clear();
        let mut rejection = Rejection::local(TargetFault::Timeout);
        rejection.was_heard = true;
        outgoing.best = Some(rejection);
        cx.plane
            .transactions
            .cancel(cx.now.mono, current.id, None, cx.out);
    }

    /// Whoever calls for help stays in the queue of those who have taken the call, however long it is. Only who
    /// has said nothing but 100 makes way, and only for somebody else.
    fn rings_for_help(&mut self, cx: &mut Cx<'_>, up: &mut Vec<SessionEvent>) {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        let is_last_hope = outgoing.is_last_hope();
        let makes_way = |current: &mut Try| !current.has_progress && !is_last_hope;
        let Some(current) = outgoing.current.take_if(makes_way) else {
            return;
        };
        outgoing.rank(Rejection::local(TargetFault::Timeout));
        let target = current.target.clone();
        self.abandon(cx, current, None);
        self.next_target(cx, Some((target, TargetFault::Timeout)), up);
    }
}
