//! Offers before the answer, once the first exchange is made reliably: in PRACK and UPDATE of the
//! caller, in UPDATE of the called side.
//!
//! Media is anchored, so each is answered from what is agreed on the other leg; the other leg does
//! not hear of it. What would need another codec there is refused (SIP-532).

use super::super::{A_LEG, Call, Operation, endpoint};
use super::{Setup, parse, refuse_offer};
use crate::id::LegId;
use crate::media::{Incompatible, MediaImage, Unusable, interwork, read};
use crate::plane::Cx;
use crate::sip::Status;
use bytes::Bytes;
use media_api::{ForkId, Negotiated, Stage};

impl Setup {
    /// The caller offers a change.
    pub(super) fn caller_offers(
        self: Box<Self>,
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
        let a = call.leg(A_LEG)?;
        a.image.rollback();
        if !a.session.is_asked_by_prack() {
            a.session.refuse_offer(cx, status_of(&why));
            return Some(Operation::Setup(self));
        }
        // A PRACK that fits must have its 200; what it offers is declined there, and the call cannot
        // go on without media (RFC 6337 §3.1).
        let facts = parse(&offer).map(|offer| read(&offer, a.image.profile()));
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
        let (a, b) = super::images(&mut call.legs, A_LEG, other).ok_or(Unusable::OutOfOrder)?;
        answer(offer, a, b, &mut call.media.formats)
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
                let b = endpoint(leg);
                call.media.agreed(cx, b, fork, negotiated, Stage::Preview);
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

/// Our answer to an offer on `x`, from what is agreed on `y`; it is in force then.
fn answer(
    offer: &Bytes,
    x: &mut MediaImage,
    y: &MediaImage,
    formats: &mut crate::media::Formats,
) -> Result<(Bytes, Negotiated), Incompatible> {
    let facts = read(&parse(offer)?, x.profile());
    facts.main()?;
    if !interwork::keeps_codec(&facts, x, y) {
        return Err(Unusable::NoCommonCodec.into());
    }
    let answered = interwork::answer_alone(facts, x, y, formats)?;
    x.commit();
    Ok((answered.body, answered.x))
}

fn status_of(why: &Incompatible) -> Status {
    super::super::tell::status_of(why)
}
