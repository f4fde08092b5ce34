//! Offers before the answer, once the first exchange is made reliably: in PRACK and UPDATE of the
//! caller, in UPDATE of the called side.
//!
//! Media is anchored, so each is answered from what is agreed on the other leg; the other leg does
//! not hear of it. What would need another codec there is asked of a called side that takes UPDATE, where
//! only one of its phones has answered early (SIP-523); anything else is refused (SIP-532).

use super::super::early_media::answer;
use super::super::{A_LEG, Call, Operation, Timer, endpoint};
use super::{Setup, Step, parse, refuse_offer};
use crate::id::LegId;
use crate::media::{Incompatible, Unusable, interwork, read};
use crate::plane::Cx;
use crate::session::SessionEvent;
use crate::sip::Status;
use bytes::Bytes;
use media_api::{ForkId, Negotiated, Stage};
use std::time::Duration;

/// How long the caller's request may wait for the called side (SIP-530).
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// What the called side is asked on behalf of the caller.
#[derive(Debug)]
pub(super) struct AskedEarly {
    early: Bytes,
    /// What the caller offers.
    offer: Bytes,
    /// The called side's answer to the INVITE, if it comes meanwhile.
    pub(super) answer: Option<SessionEvent>,
}

impl Setup {
    /// The caller offers a change.
    pub(super) fn caller_offers(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        other: LegId,
        offer: Bytes,
    ) -> Option<Operation> {
        let answered = self.answer_caller(call, other, &offer);
        let why = match answered {
            Ok((body, negotiated)) => {
                let (a, fork) = (endpoint(A_LEG), ForkId::default());
                call.media.agreed(cx, a, fork, negotiated, Stage::Final);
                call.leg(A_LEG)?.session.answer_offer(cx, body);
                return Some(Operation::Setup(self));
            }
            Err(why) => why,
        };
        call.leg(A_LEG)?.image.rollback();
        if self.ask_called_side(call, cx, other, &offer) {
            return Some(Operation::Setup(self));
        }
        self.refuse_caller(call, cx, &offer, why)
    }

    /// Asks the called side for what the caller wants, if it can be asked. The caller waits then.
    fn ask_called_side(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        offer: &Bytes,
    ) -> bool {
        let written = self.question(call, offer);
        let (Some((early, body)), Some(b)) = (written, call.leg(leg)) else {
            return false;
        };
        if !b.session.offer_early(cx, &early, body) {
            self.forget_question(call, &early);
            return false;
        }
        self.asked = Some(AskedEarly {
            early,
            offer: offer.clone(),
            answer: None,
        });
        call.timers
            .set(Timer::Ask as usize, cx.now.mono + ASK_LIMIT);
        true
    }

    /// What the called side would be asked, and on which early dialog.
    fn question(&mut self, call: &mut Call, offer: &Bytes) -> Option<(Bytes, Bytes)> {
        if self.asked.is_some() || self.complete.len() != 1 || !self.beside.is_empty() {
            return None;
        }
        let a = &mut call.leg(A_LEG)?.image;
        let (early, own) = self.complete.iter_mut().next()?;
        let facts = read(&parse(offer).ok()?, a.profile());
        let body = interwork::offer(facts, a, own);
        if body.is_err() {
            a.rollback();
            own.rollback();
        }
        Some((early.clone(), body.ok()?))
    }

    fn forget_question(&mut self, call: &mut Call, early: &Bytes) {
        if let Some(a) = call.leg(A_LEG) {
            a.image.rollback();
        }
        if let Some(own) = self.complete.get_mut(early) {
            own.rollback();
        }
    }

    /// The called side has said what it thinks of the caller's wish. Whatever it said meanwhile follows.
    pub(super) fn called_side_agrees(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        description: Option<Bytes>,
    ) -> Option<Operation> {
        let Some(asked) = self.asked.take() else {
            if description.is_some() {
                call.agreed_in_vain(leg);
            }
            return Some(Operation::Setup(self));
        };
        call.timers.stop(Timer::Ask as usize);
        if let Some(answered) = asked.answer {
            call.events.push_front((leg, answered));
        }
        let done = match &description {
            Some(answer) => self.agreed(call, cx, leg, &asked.early, answer),
            None => Err(Unusable::NoCommonCodec.into()),
        };
        match done {
            Ok(body) => {
                if let Some(answer) = &description {
                    self.moved(call, cx, (leg, &asked.early), answer);
                }
                call.leg(A_LEG)?.session.answer_offer(cx, body);
                Some(Operation::Setup(self))
            }
            Err(why) => {
                if description.is_some() {
                    call.agreed_in_vain(leg);
                }
                self.forget_question(call, &asked.early);
                self.refuse_caller(call, cx, &asked.offer, why)
            }
        }
    }

    fn agreed(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        early: &Bytes,
        answer: &Bytes,
    ) -> Result<Bytes, Incompatible> {
        let fork = self.fork(early);
        let own = self.complete.get_mut(early).ok_or(Unusable::OutOfOrder)?;
        let a = call.legs.get_mut(&A_LEG).ok_or(Unusable::OutOfOrder)?;
        let facts = read(&parse(answer)?, own.profile());
        let formats = &mut call.media.formats;
        let done = interwork::answer(&facts, own, &mut a.image, formats)?;
        own.commit();
        a.image.commit();
        let may_flow = self.early_media.is_let_through(early);
        self.agreed_early(call, cx, (early, may_flow), (leg, fork), done.y);
        let (to_a, fork) = (endpoint(A_LEG), ForkId::default());
        call.media.agreed(cx, to_a, fork, done.x, Stage::Final);
        Ok(done.body)
    }

    /// The called side refuses the call while it is asked, or another phone picks the call up: the caller's
    /// wish is refused. One in a PRACK is declined, and the caller is told after the answer what is in force.
    pub(super) fn caller_waits_in_vain(&mut self, call: &mut Call, cx: &mut Cx<'_>) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        call.timers.stop(Timer::Ask as usize);
        self.forget_question(call, &asked.early);
        let Some(a) = call.leg(A_LEG) else { return };
        let facts = parse(&asked.offer).map(|offer| read(&offer, a.image.profile()));
        let declined = facts.ok().filter(|_| a.session.is_asked_by_prack());
        match declined.and_then(|f| interwork::decline(&f, &mut a.image)) {
            Some(body) => {
                a.session.answer_offer(cx, body);
                call.agreed_in_vain(A_LEG);
            }
            None => a.session.refuse_offer(cx, Status::NOT_ACCEPTABLE_HERE),
        }
    }

    /// The called side takes too long.
    pub(in crate::call) fn ask_timeout(
        self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
    ) -> Option<Operation> {
        match self.step {
            Step::Inviting { leg, .. } => self.called_side_agrees(call, cx, leg, None),
            _ => Some(Operation::Setup(self)),
        }
    }

    /// What the caller offers cannot be had.
    fn refuse_caller(
        self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        offer: &Bytes,
        why: Incompatible,
    ) -> Option<Operation> {
        let a = call.leg(A_LEG)?;
        if !a.session.is_asked_by_prack() {
            a.session.refuse_offer(cx, status_of(&why));
            return Some(Operation::Setup(self));
        }
        // A PRACK that fits must have its 200; what it offers is declined there, and the call cannot
        // go on without media (RFC 6337 §3.1).
        let facts = parse(offer).map(|offer| read(&offer, a.image.profile()));
        let declined = facts
            .ok()
            .and_then(|f| interwork::decline(&f, &mut a.image));
        match declined {
            Some(body) => a.session.answer_offer(cx, body),
            None => a.session.refuse_offer(cx, status_of(&why)),
        }
        refuse_offer(call, cx, &why)
    }

    fn answer_caller(
        &self,
        call: &mut Call,
        other: LegId,
        offer: &Bytes,
    ) -> Result<(Bytes, Negotiated), Incompatible> {
        let a = call.legs.get(&A_LEG).ok_or(Unusable::OutOfOrder)?;
        let facts = read(&parse(offer)?, a.image.profile());
        let b = Self::seat_of(call, other, &facts)?;
        let a = call.legs.get_mut(&A_LEG).ok_or(Unusable::OutOfOrder)?;
        answer(offer, &mut a.image, &b, &mut call.media.formats)
    }

    /// The called side offers a change on one of its early dialogs.
    pub(super) fn called_offers(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        early: &Bytes,
        offer: Bytes,
    ) {
        let fork = self.fork(early);
        let a = call.legs.get(&A_LEG).map(|a| &a.image);
        let answered = match (self.complete.get_mut(early), a) {
            (Some(own), Some(a)) => answer(&offer, own, a, &mut call.media.formats),
            (None, _) | (_, None) => Err(Unusable::OutOfOrder.into()),
        };
        let done = match answered {
            Ok((body, negotiated)) => {
                self.moved(call, cx, (leg, early), &offer);
                let may_flow = self.early_media.is_let_through(early);
                self.agreed_early(call, cx, (early, may_flow), (leg, fork), negotiated);
                Ok(body)
            }
            Err(why) => {
                if let Some(own) = self.complete.get_mut(early) {
                    own.rollback();
                }
                Err(why)
            }
        };
        let Some(b) = call.leg(leg) else { return };
        match done {
            Ok(body) => b.session.answer_offer(cx, body),
            Err(why) => b.session.refuse_offer(cx, status_of(&why)),
        }
    }
}

fn status_of(why: &Incompatible) -> Status {
    super::super::tell::status_of(why)
}
