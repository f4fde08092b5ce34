//! Changes within an established call: re-INVITEs of either side.
//!
//! Media is anchored here, so an offer of one leg is answered at once from what is in force on the
//! other (SIP-544): new addresses, ports and keys, hold and resume concern only the leg that asked.
//! A held leg's peer keeps its session; the relay stops what must not flow.

use super::{Call, endpoint, images};
use crate::id::LegId;
use crate::media::{Incompatible, Unusable, interwork, read};
use crate::plane::Cx;
use crate::sdp::{Description, Limits};
use crate::sip::Status;
use crate::sip::header::Reason;
use bytes::Bytes;
use media_api::{ForkId, Negotiated, Stage};

impl Call {
    /// The peer of a leg offers a change, or asks us for an offer.
    pub(super) fn peer_offer(&mut self, cx: &mut Cx<'_>, leg: LegId, offer: Option<Bytes>) {
        let answer = match &offer {
            Some(offer) => self.answer_change(leg, offer),
            None => self.offer_again(leg).map(|body| (body, None)),
        };
        match answer {
            Ok((body, negotiated)) => {
                if let Some(negotiated) = negotiated {
                    let (to, fork) = (endpoint(leg), ForkId::default());
                    self.media.agreed(cx, to, fork, negotiated, Stage::Final);
                }
                if let Some(leg) = self.leg(leg) {
                    leg.session.answer_offer(cx, body);
                }
            }
            Err(incompatible) => {
                let status =
                    Status::new(incompatible.status).unwrap_or(Status::NOT_ACCEPTABLE_HERE);
                if let Some(leg) = self.leg(leg) {
                    leg.image.rollback();
                    leg.session.refuse_offer(cx, status);
                }
            }
        }
    }

    fn answer_change(
        &mut self,
        leg: LegId,
        offer: &Bytes,
    ) -> Result<(Bytes, Option<Negotiated>), Incompatible> {
        let other = self.other(leg).ok_or(Unusable::OutOfOrder)?;
        let unreadable = Unusable::NotAudio;
        let description =
            Description::parse(offer.clone(), &Limits::default()).map_err(|_| unreadable)?;
        let formats = &mut self.media.formats;
        let (x, y) = images(&mut self.legs, leg, other).ok_or(Unusable::OutOfOrder)?;
        let facts = read(&description, x.profile());
        let answered = interwork::answer_alone(facts, x, y, formats)?;
        x.commit();
        Ok((answered.body, Some(answered.x)))
    }

    fn offer_again(&mut self, leg: LegId) -> Result<Bytes, Incompatible> {
        let other = self.other(leg).ok_or(Unusable::OutOfOrder)?;
        let (x, y) = images(&mut self.legs, leg, other).ok_or(Unusable::OutOfOrder)?;
        interwork::join(x, y)
    }

    /// An ACK; when our 2xx carried an offer it brings the answer (SIP-511).
    pub(super) fn peer_acknowledged(&mut self, cx: &mut Cx<'_>, leg: LegId, answer: Option<Bytes>) {
        let Some(image) = self.legs.get_mut(&leg).map(|leg| &mut leg.image) else {
            return;
        };
        if !image.is_negotiating() {
            return;
        }
        let described =
            answer.and_then(|answer| Description::parse(answer, &Limits::default()).ok());
        let formats = &mut self.media.formats;
        let settled = described
            .map(|answer| interwork::settle(&read(&answer, image.profile()), image, formats));
        match settled {
            Some(Ok(negotiated)) => {
                image.commit();
                let (to, fork) = (endpoint(leg), ForkId::default());
                self.media.agreed(cx, to, fork, negotiated, Stage::Final);
            }
            Some(Err(_)) | None => {
                image.rollback();
                let because = crate::cause::Because::of(format!(
                    "our offer in 2xx got no usable answer in the ACK on leg {}",
                    leg.0
                ));
                let (by, code) = (
                    crate::cause::EndedBy::Us,
                    crate::cause::CauseCode::MediaIncompatible,
                );
                let reasons = [Reason::q850(65, None), Reason::sip(488, None)];
                self.end(cx, by, code, because, &reasons);
            }
        }
    }

    /// The leg that this one talks to.
    pub(super) fn other(&self, leg: LegId) -> Option<LegId> {
        let (a, b) = self.bridge?;
        match leg {
            leg if leg == a => Some(b),
            leg if leg == b => Some(a),
            _ => None,
        }
    }
}
