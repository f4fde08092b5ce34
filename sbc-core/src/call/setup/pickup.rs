//! Pickup: an INVITE with Replaces of a dialog that rings answers the call in its place (RFC 3891 §3).

use super::super::pickup::Pickup;
use super::super::replace::Newcomer;
use super::progress::told;
use super::{Setup, Step, parse};
use crate::call::{A_LEG, Call, Operation, Timer, endpoint, images};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::id::LegId;
use crate::media::{Facts, Formats, Incompatible, MediaImage, Unusable, interwork, read};
use crate::plane::Cx;
use crate::policy::response;
use crate::sip::Status;
use bytes::Bytes;
use media_api::{ForkId, LocalEndpoint, Stage};

impl Setup {
    /// Whether the present attempt may be picked up: it rings, nobody else has come for it, and the called
    /// side owes no answer that the caller waits for. It may have answered the call itself meanwhile.
    pub(in crate::call) fn may_be_picked_up(&self, leg: LegId) -> bool {
        self.is_called(leg) && self.pickup.is_none() && self.asked.is_none()
    }

    /// Takes in who picks the call up; only if [`Self::may_be_picked_up`].
    pub(in crate::call) fn pick_up(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        replaced: LegId,
        by: Newcomer,
    ) {
        self.pickup = Pickup::begin(call, cx, replaced, A_LEG, by);
    }

    /// Whether this leg is about to pick the call up.
    pub(super) fn is_picking_up(&self, leg: LegId) -> bool {
        let pickup = self.pickup.as_ref();
        pickup.is_some_and(|pickup| pickup.newcomer == leg)
    }

    /// The called side has answered first.
    pub(super) fn pickup_is_too_late(&mut self, call: &mut Call, cx: &mut Cx<'_>) {
        if let Some(late) = self.pickup.take() {
            late.fails(call, cx, Status::BUSY_HERE);
        }
    }

    /// Nobody picks the call up: it goes on as if nobody had come for it.
    pub(super) fn pickup_fails(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        status: Status,
    ) -> Option<Operation> {
        let Some(failed) = self.pickup.take() else {
            return Some(Operation::Setup(self));
        };
        failed.fails(call, cx, status);
        match (failed.waits, &self.step) {
            (Some(rejection), Step::Inviting { leg, .. }) => {
                let leg = *leg;
                self.rejected(call, cx, leg, rejection)
            }
            _ => Some(Operation::Setup(self)),
        }
    }

    /// The port is there: newcomer and caller are answered, and nothing rings any more.
    pub(super) fn picked_up(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        endpoints: &[LocalEndpoint],
    ) -> Option<Operation> {
        let own = self.pickup.take_if(|own| own.waits_for(endpoints));
        let Some(mut pickup) = own else {
            return Some(Operation::Setup(self));
        };
        if self.asked.as_ref().is_some_and(|own| own.answer.is_some()) {
            self.pickup = Some(pickup);
            self.pickup_is_too_late(call, cx);
            return Some(Operation::Setup(self));
        }
        // Nobody is left who could answer what the caller has offered since, and its 200 waits for that.
        self.caller_waits_in_vain(call, cx);
        let newcomer = pickup.newcomer;
        call.anchor();
        let described = self.describe(call, cx, &mut pickup, endpoints);
        let Ok((to_caller, to_newcomer)) = described else {
            self.pickup = Some(pickup);
            return self.pickup_fails(call, cx, Status::NOT_ACCEPTABLE_HERE);
        };
        self.ringback_ends(call, cx);
        call.timers.stop(Timer::EarlyMedia as usize);
        let silence_ms = call.silence_ms();
        let (a, z) = (endpoint(A_LEG), endpoint(newcomer));
        call.media.join(cx, a, z, silence_ms);
        let session = call.leg(newcomer).map(|leg| &mut leg.session);
        if !session.is_some_and(|session| session.answer(cx, to_newcomer)) {
            self.pickup = Some(pickup);
            return self.pickup_fails(call, cx, Status::BAD_REQUEST);
        }
        let caller = call.leg(A_LEG).map(|leg| &mut leg.session);
        if !caller.is_some_and(|session| session.answer(cx, to_caller)) {
            let mapped = response::own(CauseCode::BadRequest, &self.trunk);
            let because = Because::of("the caller's INVITE has no usable Contact");
            return super::refuse(call, cx, mapped, EndedBy::Us, because, None);
        }
        self.others_are_silenced(call, cx, None);
        self.is_answered(call, cx, newcomer);
        call.newcomer = Some(newcomer);
        pickup.succeeds(call, cx);
        match self.offer.is_some() || self.is_offered {
            true => None,
            false => {
                self.is_late = false;
                let fork = ForkId::default();
                self.step = Step::Acknowledging {
                    leg: newcomer,
                    fork,
                };
                Some(Operation::Setup(self))
            }
        }
    }

    /// What the caller and the newcomer are told.
    fn describe(
        &self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        pickup: &mut Pickup,
        endpoints: &[LocalEndpoint],
    ) -> Result<(Bytes, Bytes), Incompatible> {
        let newcomer = pickup.newcomer;
        let formats = &mut call.media.formats;
        let (a, z) = images(&mut call.legs, A_LEG, newcomer).ok_or(Unusable::OutOfOrder)?;
        for local in endpoints {
            z.allocated(local);
        }
        let offer = pickup.offer.take();
        if self.offer.is_none() && !self.is_offered {
            // Neither side has said what the other could answer but the newcomer.
            let offer = offer.ok_or(Unusable::OutOfOrder)?;
            let seat = presumed(None, a, z, Some(&offer), formats)?;
            let answered = interwork::answer_alone(offer, z, &seat, formats)?;
            z.commit();
            let to_caller = interwork::join(a, z)?;
            let z = endpoint(newcomer);
            let fork = ForkId::default();
            call.media.agreed(cx, z, fork, answered.x, Stage::Final);
            return Ok((to_caller, answered.body));
        }
        if let (None, Some(asked)) = (a.committed(), &self.offer) {
            presumed(Some(asked), a, z, offer.as_ref(), formats)?;
            a.commit();
        }
        let (to_newcomer, agreed) = match offer {
            Some(offer) => {
                let answered = interwork::answer_alone(offer, z, a, formats)?;
                z.commit();
                (answered.body, Some(answered.x))
            }
            None => (interwork::invite(z, a)?, None),
        };
        let to_caller = told(call)?;
        self.caller_is_settled(call, cx);
        if let Some(agreed) = agreed {
            let (z, fork) = (endpoint(newcomer), ForkId::default());
            call.media.agreed(cx, z, fork, agreed, Stage::Final);
        }
        Ok((to_caller, to_newcomer))
    }
}

/// What an exchange with the newcomer would agree had we offered it what the caller offers, or what both
/// trunks allow where the caller offers nothing: what it offers itself says what it would have answered,
/// and whoever offers nothing takes everything. The caller's offer has its answer then.
pub(super) fn presumed(
    asked: Option<&Facts>,
    a: &mut MediaImage,
    z: &MediaImage,
    offer: Option<&Facts>,
    formats: &mut Formats,
) -> Result<MediaImage, Incompatible> {
    let mut seat = z.clone();
    let written = match asked {
        Some(asked) => interwork::offer(asked.clone(), a, &mut seat)?,
        None => interwork::open(&mut seat, a.profile())?,
    };
    let said = match offer {
        Some(offer) => {
            let (at, _) = offer.main()?;
            let lines = offer.lines.get(at).cloned().into_iter().collect();
            Facts { lines }
        }
        None => read(&parse(&written)?, seat.profile()),
    };
    match asked {
        Some(_) => interwork::answer(&said, &mut seat, a, formats).map(|_| ())?,
        None => interwork::settle(&said, &mut seat, formats).map(|_| ())?,
    }
    Ok(seat)
}
