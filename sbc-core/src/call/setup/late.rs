//! A late offer passed on (SIP-510 a): the caller makes no offer, and neither does our INVITE. What
//! the called side offers in its 2xx is offered to the caller in ours; the caller's ACK brings the
//! answer, and with it the called side gets its ACK.
//!
//! A called side that confirms provisionals offers in one of those already. A caller that can do that too
//! is offered it early, and its PRACK brings the answer for ours. For any other one we answer the called
//! side ourselves, from what both trunks allow, and offer that to the caller in our 2xx (SIP-523).

use super::super::{A_LEG, Call, Operation, endpoint, images};
use super::pickup::presumed;
use super::{MOST_FORKS, Setup, Step, parse, refuse_offer};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::id::LegId;
use crate::media::{Incompatible, Unusable, interwork, read};
use crate::plane::Cx;
use crate::sip::header::Reason;
use bytes::Bytes;
use media_api::{ForkId, Negotiated, Stage};

impl Setup {
    /// The called side offers: our offer to the caller.
    pub(super) fn pass_offer(
        &self,
        call: &mut Call,
        leg: LegId,
        description: &Bytes,
    ) -> Result<Bytes, Incompatible> {
        let (a, b) = images(&mut call.legs, A_LEG, leg).ok_or(Unusable::OutOfOrder)?;
        let facts = read(&parse(description)?, b.profile());
        facts.main()?;
        interwork::offer(facts, b, a)
    }

    /// The called side offers in a reliable provisional. Our offer to the caller, if it is to have one now.
    pub(super) fn pass_early_offer(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        (early, may_flow): (&Bytes, bool),
        description: &Bytes,
    ) -> Option<Bytes> {
        let a = &call.leg(A_LEG)?.session;
        let takes_it = a.takes_early_offer() && !a.sees_forks() && !self.is_offered;
        if takes_it
            && may_flow
            && let Ok(offer) = self.pass_offer(call, leg, description)
        {
            self.is_offered = true;
            self.passed = Some(early.clone());
            return Some(offer);
        }
        let answer = self.answer_ourselves(call, cx, leg, (early, may_flow), description);
        let b = call.leg(leg)?;
        let answer = answer.ok().or_else(|| {
            // A PRACK must not lack its answer, so it takes nothing.
            let facts = read(&parse(description).ok()?, b.image.profile());
            interwork::decline(&facts, &mut b.image)
        });
        b.session.confirm_early(cx, early, answer);
        None
    }

    /// Answers what an early dialog offers from what both trunks allow.
    fn answer_ourselves(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        (early, may_flow): (&Bytes, bool),
        description: &Bytes,
    ) -> Result<Bytes, Incompatible> {
        if self.forks.len() >= MOST_FORKS && !self.forks.contains(early) {
            return Err(Unusable::OutOfOrder.into());
        }
        let formats = &mut call.media.formats;
        let (a, b) = images(&mut call.legs, A_LEG, leg).ok_or(Unusable::OutOfOrder)?;
        let facts = read(&parse(description)?, b.profile());
        let mut own = b.clone();
        let answered = match a.committed() {
            Some(_) => interwork::answer_alone(facts, &mut own, a, formats)?,
            None => {
                let seat = presumed(None, a, &own, Some(&facts), formats)?;
                interwork::answer_alone(facts, &mut own, &seat, formats)?
            }
        };
        own.commit();
        let fork = self.fork(early);
        self.complete.insert(early.clone(), own);
        self.agreed_early(call, cx, (early, may_flow), (leg, fork), answered.x);
        Ok(answered.body)
    }

    /// The caller's PRACK: its answer is ours to the called side, which has waited for it.
    pub(super) fn pass_early_answer(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        description: Option<&Bytes>,
    ) -> Option<Operation> {
        let (Step::Inviting { leg, .. }, Some(early)) = (&self.step, self.passed.clone()) else {
            return Some(Operation::Setup(self));
        };
        let leg = *leg;
        let fork = self.fork(&early);
        match self.settle_late(call, cx, leg, description) {
            Ok((body, agreed)) => {
                let own = call.leg(leg)?.image.clone();
                self.complete.insert(early.clone(), own);
                // It may have been silenced since it was offered to the caller.
                let may_flow = self.early_media.is_authorised(&early);
                self.agreed_early(call, cx, (&early, may_flow), (leg, fork), agreed);
                if may_flow {
                    call.media.join(cx, endpoint(A_LEG), endpoint(leg), 0);
                }
                call.leg(leg)?.session.confirm_early(cx, &early, Some(body));
                Some(Operation::Setup(self))
            }
            Err(why) => {
                let none = interwork::decline_pending(&mut call.leg(leg)?.image);
                call.leg(leg)?.session.confirm_early(cx, &early, none);
                call.leg(A_LEG)?.image.rollback();
                refuse_offer(call, cx, &why)
            }
        }
    }

    /// The called side has answered, and its offer has had its answer before: what the caller is told.
    pub(super) fn settled_early(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        early: &Bytes,
        fork: ForkId,
    ) -> Result<Bytes, Incompatible> {
        let own = self.complete.remove(early).ok_or(Unusable::OutOfOrder)?;
        let agreed = own.committed().ok_or(Unusable::OutOfOrder)?;
        let negotiated = agreed.negotiated().clone();
        let (a, b) = images(&mut call.legs, A_LEG, leg).ok_or(Unusable::OutOfOrder)?;
        *b = own;
        let body = match self.is_offered {
            // It has answered what it was offered early.
            true => a.last_written().ok_or(Unusable::OutOfOrder)?,
            false => interwork::join(a, b)?,
        };
        // Its ACK, if it brings an answer, concerns the caller alone.
        self.is_late = false;
        call.media
            .agreed(cx, endpoint(leg), fork, negotiated, Stage::Final);
        Ok(body)
    }

    /// The called side offers in its answer, but the caller was offered what another phone offers: it is
    /// answered from what the caller has accepted of that. If the caller has said nothing yet, it is answered
    /// from what both trunks allow, and our 200 waits for the caller's PRACK.
    pub(super) fn settled_elsewhere(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        fork: ForkId,
        description: &Bytes,
    ) -> Result<Bytes, Incompatible> {
        let formats = &mut call.media.formats;
        let (a, b) = images(&mut call.legs, A_LEG, leg).ok_or(Unusable::OutOfOrder)?;
        b.rollback();
        let facts = read(&parse(description)?, b.profile());
        let answered = match a.committed() {
            Some(_) => interwork::answer_alone(facts, b, a, formats)?,
            None => {
                let seat = presumed(None, a, b, Some(&facts), formats)?;
                interwork::answer_alone(facts, b, &seat, formats)?
            }
        };
        b.commit();
        let body = a.last_written().ok_or(Unusable::OutOfOrder)?;
        self.is_late = false;
        call.media
            .agreed(cx, endpoint(leg), fork, answered.x, Stage::Final);
        let b = call.leg(leg).ok_or(Unusable::OutOfOrder)?;
        b.session.acknowledge(cx, Some(answered.body));
        Ok(body)
    }

    /// The caller's ACK: its answer is ours to the called side, which has waited for it.
    pub(super) fn pass_answer(
        &self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        (leg, fork): (LegId, ForkId),
        description: Option<&Bytes>,
    ) -> Option<Operation> {
        match self.settle_late(call, cx, leg, description) {
            Ok((body, agreed)) => {
                call.media
                    .agreed(cx, endpoint(leg), fork, agreed, Stage::Final);
                call.leg(leg)?.session.acknowledge(cx, Some(body));
                None
            }
            Err(incompatible) => {
                // A valid answer first, which takes nothing of it (RFC 6337 §2.2).
                let none = interwork::decline_pending(&mut call.leg(leg)?.image);
                call.leg(leg)?.session.acknowledge(cx, none);
                if let Some(a) = call.leg(A_LEG) {
                    a.image.rollback();
                }
                let because = Because::of(format!(
                    "the caller's ACK has no usable answer: {}",
                    incompatible.because.text()
                ))
                .named(incompatible.because);
                let reasons = [Reason::q850(65, None), Reason::sip(488, None)];
                let code = CauseCode::MediaIncompatible;
                call.end(cx, EndedBy::Us, code, because, &reasons);
                call.operation.take()
            }
        }
    }

    /// Takes the caller's answer; the one for the called side, and what the relay is to hear of that.
    fn settle_late(
        &self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        description: Option<&Bytes>,
    ) -> Result<(Bytes, Negotiated), Incompatible> {
        let description = description.ok_or(Unusable::AnswerMismatch)?;
        let formats = &mut call.media.formats;
        let (a, b) = images(&mut call.legs, A_LEG, leg).ok_or(Unusable::OutOfOrder)?;
        let facts = read(&parse(description)?, a.profile());
        let answered = interwork::answer(&facts, a, b, formats)?;
        a.commit();
        b.commit();
        let (a, fork) = (endpoint(A_LEG), ForkId::default());
        call.media.agreed(cx, a, fork, answered.y, Stage::Final);
        Ok((answered.body, answered.x))
    }
}
