//! Pickup: an INVITE with Replaces of a dialog that rings answers the call in its place (RFC 3891 §3).
//!
//! The newcomer needs a port first; meanwhile the phones go on ringing. Whoever answers before it has one
//! has the call, and the newcomer is told that it came too late. If the called side refuses meanwhile,
//! that waits: somebody wants the call.

use super::super::replace::{self, Arrival, Newcomer};
use super::progress::told;
use super::{Setup, Step, is_for, parse};
use crate::call::{A_LEG, Call, Operation, Timer, endpoint, images};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::id::LegId;
use crate::media::{Facts, Formats, Incompatible, MediaImage, Unusable, interwork, read};
use crate::plane::Cx;
use crate::policy::response;
use crate::record::TransferOutcome;
use crate::session::Rejection;
use crate::sip::Status;
use bytes::Bytes;
use media_api::{ForkId, LocalEndpoint, Stage};

/// Somebody who picks the call up.
#[derive(Debug)]
pub(super) struct Pickup {
    newcomer: LegId,
    /// Nothing if its INVITE has no description.
    offer: Option<Facts>,
    /// Line in the record.
    record: usize,
    /// What the called side says meanwhile.
    pub(super) waits: Option<Rejection>,
}

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
        let arrival = Arrival::of(call, cx, replaced, A_LEG, by);
        let line = (arrival.record, arrival.leg);
        let taken = call.take_places_instead(cx, arrival.leg, &arrival.trunk, replaced);
        let offer = match (arrival.offer, taken) {
            (Ok(offer), Ok(())) => offer,
            (Err(_), _) => return fails(call, cx, line, Status::NOT_ACCEPTABLE_HERE),
            (_, Err(_)) => return fails(call, cx, line, Status::SERVICE_UNAVAILABLE),
        };
        call.media.allocate(cx, vec![arrival.spec]);
        self.pickup = Some(Pickup {
            newcomer: arrival.leg,
            offer,
            record: arrival.record,
            waits: None,
        });
    }

    /// Whether this leg is about to pick the call up.
    pub(super) fn is_picking_up(&self, leg: LegId) -> bool {
        let pickup = self.pickup.as_ref();
        pickup.is_some_and(|pickup| pickup.newcomer == leg)
    }

    /// The called side has answered first.
    pub(super) fn pickup_is_too_late(&mut self, call: &mut Call, cx: &mut Cx<'_>) {
        if let Some(late) = self.pickup.take() {
            let line = (late.record, late.newcomer);
            fails(call, cx, line, Status::BUSY_HERE);
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
        fails(call, cx, (failed.record, failed.newcomer), status);
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
        let own = self.pickup.take_if(|own| is_for(endpoints, own.newcomer));
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
        let line = (pickup.record, newcomer);
        replace::note(call, cx, line, TransferOutcome::Completed, Status::OK);
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

/// The newcomer is refused; the phones go on ringing.
fn fails(call: &mut Call, cx: &mut Cx<'_>, line: (usize, LegId), status: Status) {
    replace::refuse(call, cx, line.1, status);
    replace::note(call, cx, line, TransferOutcome::Failed, status);
    call.leave_places(cx.plane, line.1);
}
