//! Changes within an established call that a peer asks for: re-INVITE and UPDATE with an offer.
//!
//! Where media is anchored here, an offer of one leg is answered at once from what is in force on the
//! other (SIP-544): new addresses, ports and keys concern only the leg that asked, and of hold and
//! resume the other leg is told afterwards. Only a codec that the other leg does not use, or a switch to
//! fax, is asked of it first; and everything where a trunk wants it so, or where media go past us and what
//! one party says is what the other one has to know ([`super::direct`]).

use super::tell::{may_show, status_of};
use super::{Call, endpoint, images};
use crate::config::Preset;
use crate::id::LegId;
use crate::media::{Incompatible, Unusable, interwork, read};
use crate::plane::Cx;
use crate::policy::{isup, relayed_auth};
use crate::sdp::{Description, Limits};
use crate::sip::Status;
use crate::sip::header::Reason;
use bytes::Bytes;
use media_api::{ForkId, Stage};

impl Call {
    /// The peer of a leg offers a change, or asks us for an offer.
    pub(super) fn peer_offer(&mut self, cx: &mut Cx<'_>, leg: LegId, offer: Option<Bytes>) {
        self.tellings_begin_anew();
        match self.offered_from(cx, leg, offer) {
            Ok(Some(offer)) if self.switches_on(leg, offer.as_ref()) => {
                if let Some(offer) = self.waits_for_port(leg, offer) {
                    self.begin_anew(cx, leg, offer);
                }
            }
            Ok(Some(offer)) => self.answer_offer_of(cx, leg, offer),
            // It waits for a port.
            Ok(None) => {}
            Err(status) => self.refuse_offer_of(cx, leg, status),
        }
    }

    /// Whether an offer has a stream again that was switched off.
    fn switches_on(&self, leg: LegId, offer: Option<&Bytes>) -> bool {
        let Some(own) = self
            .legs
            .get(&leg)
            .filter(|own| own.image.is_switched_off())
        else {
            return false;
        };
        let offer = offer.map(|offer| Description::parse(offer.clone(), &Limits::default()));
        match offer {
            Some(Ok(offer)) => read(&offer, own.image.profile()).main().is_ok(),
            Some(Err(_)) => false,
            // Our own offer has it.
            None => true,
        }
    }

    /// Answers what the peer of a leg offers.
    pub(super) fn answer_offer_of(&mut self, cx: &mut Cx<'_>, leg: LegId, offer: Option<Bytes>) {
        let done = match offer {
            Some(offer) => self.change(cx, leg, offer),
            None => self
                .offer_again(leg)
                .map(|body| self.reply_with(cx, leg, body))
                .map_err(|why| status_of(&why)),
        };
        if let Err(status) = done {
            self.refuse_offer_of(cx, leg, status);
        }
    }

    pub(super) fn refuse_offer_of(&mut self, cx: &mut Cx<'_>, leg: LegId, status: Status) {
        let Some(own) = self.leg(leg) else { return };
        own.image.rollback();
        own.session.refuse_offer(cx, status);
        // It has crossed an offer of ours that was still to be made.
        if own.telling.is_stale() {
            self.move_again(leg);
        }
    }

    /// Refuses an offer on an early dialog that nothing waits for. What we have offered on it stays open.
    pub(super) fn refuse_early_offer(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        if let Some(own) = self.leg(leg) {
            own.session.refuse_offer(cx, Status::REQUEST_PENDING);
        }
    }

    fn change(&mut self, cx: &mut Cx<'_>, leg: LegId, offer: Bytes) -> Result<(), Status> {
        let unusable = |why: Unusable| status_of(&why.into());
        let other = self.other(leg).ok_or(unusable(Unusable::OutOfOrder))?;
        let description = Description::parse(offer, &Limits::default())
            .map_err(|_| unusable(Unusable::Malformed))?;
        let own = self.legs.get(&leg).map(|leg| leg.session.style());
        let relays = own.is_some_and(|style| style.trunk.relays_offers);
        let asked = self.legs.get(&other).map(|leg| leg.session.style());
        let is_to_teams = asked.is_some_and(|style| style.trunk.preset == Preset::Teams);
        let is_direct = self.is_direct(leg);
        let goes_along = self.goes_along(leg, other);
        let must_go_along = goes_along && self.must_go_along(leg, other);
        let formats = &mut self.media.formats;
        let (x, y) = images(&mut self.legs, leg, other).ok_or(unusable(Unusable::OutOfOrder))?;
        let facts = read(&description, x.profile());
        let concerns_other =
            is_direct && !(x.is_sent_past_us() && interwork::says_nothing_new(&facts, x));
        // Teams never hears of a refresh (TDR-TMR-003).
        let always = relays || goes_along;
        let always = always && !(is_to_teams && interwork::says_nothing_new(&facts, x));
        let is_media = facts.main().is_ok() || facts.fax().is_some();
        if is_media && (always || concerns_other || !interwork::keeps_codec(&facts, x, y)) {
            return self.ask(cx, leg, other, &description);
        }
        if must_go_along && !is_media {
            // Nothing is asked of the other side, and what that has to understand would be lost (RFC 3204 §6).
            return Err(Status::NOT_ACCEPTABLE_HERE);
        }
        let answered = match interwork::switch_off(&facts, x) {
            Some(answered) => answered,
            None => match interwork::answer_alone(facts, x, y, formats) {
                Ok(answered) => answered,
                Err(why) => {
                    self.media_refused(cx, leg, &why);
                    return Err(status_of(&why));
                }
            },
        };
        x.commit();
        let (to, fork) = (endpoint(leg), ForkId::default());
        self.media.agreed(cx, to, fork, answered.x, Stage::Final);
        self.reply_with(cx, leg, answered.body);
        Ok(())
    }

    /// Whether the other leg has to be asked for more than its media: it hears ISUP of the request, or asks parties behind us
    /// itself to prove who they are, which is of use to a request that can show it.
    fn goes_along(&self, leg: LegId, other: LegId) -> bool {
        let request = self
            .legs
            .get(&leg)
            .and_then(|own| own.session.peer_offer_request());
        let (_, parts) = self.along(leg, other, request);
        let trunks = (self.trunk_of(leg), self.trunk_of(other));
        let asks = matches!(&trunks, (Some(from), Some(to)) if relayed_auth::asks(from, to));
        !parts.is_empty() || (asks && request.is_some_and(may_show))
    }

    /// Whether the other leg hears ISUP of the request that has to be understood.
    fn must_go_along(&self, leg: LegId, other: LegId) -> bool {
        let request = self
            .legs
            .get(&leg)
            .and_then(|own| own.session.peer_offer_request());
        let (_, parts) = self.along(leg, other, request);
        !parts.is_empty() && request.is_some_and(isup::is_required)
    }

    fn reply_with(&mut self, cx: &mut Cx<'_>, leg: LegId, body: Bytes) {
        if let Some(leg) = self.leg(leg) {
            leg.session.answer_offer(cx, body);
        }
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
