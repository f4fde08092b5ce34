//! Pickup of the target of a transfer: an INVITE with Replaces of the dialog in which it rings takes the
//! target's place (RFC 3891 §3), as it would in a new call. Whoever of the two answers first has the
//! transferee.

use super::super::pickup::Pickup;
use super::super::replace::{self, Newcomer};
use super::{Step, Transfer};
use crate::call::{Call, CauseCode, Operation, endpoint, record, teardown_reason};
use crate::id::LegId;
use crate::plane::Cx;
use crate::sip::Status;
use crate::sip::header::Reason;
use media_api::LocalEndpoint;

impl Transfer {
    /// Whether this leg is the target, rings, and nobody else has come for it.
    pub(in crate::call) fn may_be_picked_up(&self, leg: LegId) -> bool {
        matches!(self.step, Step::Inviting { leg: target } if target == leg)
            && self.pickup.is_none()
    }

    /// Takes in who picks the call up; only if [`Self::may_be_picked_up`].
    pub(in crate::call) fn pick_up(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        replaced: LegId,
        by: Newcomer,
    ) {
        self.pickup = Pickup::begin(call, cx, replaced, self.transferee, by);
    }

    /// Whether this leg is about to pick the call up.
    pub(super) fn is_picking_up(&self, leg: LegId) -> bool {
        let pickup = self.pickup.as_ref();
        pickup.is_some_and(|pickup| pickup.newcomer == leg)
    }

    /// The target has answered first, or rings no longer.
    pub(super) fn pickup_is_too_late(&mut self, call: &mut Call, cx: &mut Cx<'_>) {
        if let Some(late) = self.pickup.take() {
            late.fails(call, cx, Status::BUSY_HERE);
        }
    }

    /// Nobody picks the call up: the transfer goes on as if nobody had come for it.
    pub(super) fn pickup_fails(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        status: Status,
    ) -> Option<Operation> {
        let Some(failed) = self.pickup.take() else {
            return Some(Operation::Transfer(self));
        };
        failed.fails(call, cx, status);
        match (failed.waits, &self.step) {
            (Some(rejection), Step::Inviting { leg }) => {
                let leg = *leg;
                self.rejected(call, cx, leg, &rejection)
            }
            _ => Some(Operation::Transfer(self)),
        }
    }

    /// The port is there: the newcomer is answered and takes the transferor's place, and the target rings
    /// no longer.
    pub(super) fn picked_up(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        endpoints: &[LocalEndpoint],
    ) -> Option<Operation> {
        let pickup = self.pickup.take_if(|own| own.waits_for(endpoints));
        let (Some(target), Some(mut pickup)) = (self.target(), pickup) else {
            return Some(Operation::Transfer(self));
        };
        let newcomer = pickup.newcomer;
        let parties = (newcomer, self.transferee);
        let offer = pickup.offer.take();
        let Ok(body) = replace::describe(call, cx, parties, endpoints, offer) else {
            self.pickup = Some(pickup);
            return self.pickup_fails(call, cx, Status::NOT_ACCEPTABLE_HERE);
        };
        let before = call.media.joined();
        let silence_ms = call.silence_ms();
        self.join(call, cx, newcomer, silence_ms);
        let session = call.leg(newcomer).map(|leg| &mut leg.session);
        if !session.is_some_and(|session| session.answer(cx, body)) {
            if let Some((a, b)) = before {
                call.media.join(cx, a, b, silence_ms);
            }
            self.pickup = Some(pickup);
            return self.pickup_fails(call, cx, Status::BAD_REQUEST);
        }
        record::attempt_elsewhere(call, target);
        if let Some(z) = call.leg(target) {
            let elsewhere = [Reason::sip(200, None)];
            let reason = teardown_reason(
                &elsewhere,
                CauseCode::NormalClearing,
                &z.session.style().trunk,
            );
            z.session.hang_up(cx, Status::REQUEST_TERMINATED, reason);
        }
        call.media.drop_endpoint(cx, endpoint(target));
        self.takes_place(call, cx, newcomer);
        pickup.succeeds(call, cx);
        call.introduce(newcomer);
        call.introduce(self.transferee);
        None
    }

    /// The leg that rings.
    fn target(&self) -> Option<LegId> {
        match self.step {
            Step::Inviting { leg } => Some(leg),
            Step::Waiting
            | Step::Allocating { .. }
            | Step::Fetching { .. }
            | Step::Pausing
            | Step::Adopting { .. }
            | Step::Offering { .. } => None,
        }
    }
}
