//! A description of ours for a caller that nobody has described anything to, so that it can be played
//! something before the answer: a 183 with what the called side would agree if it took everything,
//! G.711 before all else because that costs nothing to play.
//!
//! It is the caller's answer for good (SIP-312): what the called side says later changes only that side, and
//! where it is something else the caller is told after its ACK.

use super::super::{A_LEG, Call, endpoint};
use super::pickup::presumed;
use super::{Setup, Step};
use crate::id::LegId;
use crate::media::{Facts, Incompatible, MediaImage, Unusable};
use crate::plane::Cx;
use crate::session::Source;
use crate::session::reliable::Provisional;
use crate::sip::Status;
use bytes::Bytes;
use media_api::{ForkId, Stage};

impl Setup {
    /// Whether something of ours can be played to the caller. It is told a description if it has none; `of`
    /// is the early dialog that it is told in, if it sees those.
    pub(super) fn may_play(&self, call: &mut Call, cx: &mut Cx<'_>, of: Option<Source>) -> bool {
        if call.is_direct(A_LEG) {
            // Who rings plays it itself, or nobody does: media go past us (TDR-LMO-020).
            return false;
        }
        let agreed = |call: &Call| {
            let a = call.legs.get(&A_LEG)?.image.committed()?;
            Some(a.codec().is_made())
        };
        if let Some(is_made) = agreed(call) {
            return is_made;
        }
        let Some(body) = self.answer_by_ourselves(call) else {
            return false;
        };
        let negotiated = call.legs.get(&A_LEG).and_then(|a| a.image.committed());
        if let Some(negotiated) = negotiated.map(|agreed| agreed.negotiated().clone()) {
            let (a, fork) = (endpoint(A_LEG), ForkId::default());
            call.media.agreed(cx, a, fork, negotiated, Stage::Preview);
        }
        let told = Provisional {
            of,
            status: Status::SESSION_PROGRESS,
            description: Some(body),
            prefers_reliable: false,
        };
        if call.leg(A_LEG).is_some_and(|a| a.session.settles(&told)) {
            self.caller_is_settled(call, cx);
        }
        if let Some(a) = call.leg(A_LEG) {
            a.session.progress(cx, told);
        }
        true
    }

    /// Our answer to the caller's offer, if it is in a codec that something can be played in; it is in force then. Where nobody is called its
    /// own trunk alone says what is allowed.
    fn answer_by_ourselves(&self, call: &mut Call) -> Option<Bytes> {
        let offer = self.offer.as_ref().map(Facts::with_g711_first)?;
        let other = match &self.step {
            Step::Inviting { leg, .. } => *leg,
            Step::Verifying(_)
            | Step::Waiting
            | Step::Allocating(_)
            | Step::Announcing(_)
            | Step::Acknowledging { .. } => A_LEG,
        };
        let other = call.legs.get(&other)?.image.clone();
        let formats = &mut call.media.formats;
        // Where it comes to nothing the caller's offer still waits for the answer of the called side.
        let mut own = call.legs.get(&A_LEG)?.image.clone();
        presumed(Some(&offer), &mut own, &other, None, formats).ok()?;
        own.pending().filter(|agreed| agreed.codec().is_made())?;
        own.commit();
        let written = own.last_written();
        call.legs.get_mut(&A_LEG)?.image = own;
        written
    }

    /// What the called side would have agreed to if it took everything that the caller offers now: it has
    /// agreed nothing yet, but the caller was told something. `leg` is the caller's own where nobody is
    /// called.
    pub(super) fn seat_of(
        call: &mut Call,
        leg: LegId,
        offer: &Facts,
    ) -> Result<MediaImage, Incompatible> {
        let a = call.legs.get(&A_LEG).map(|a| a.image.clone());
        let mut asking = a.ok_or(Unusable::OutOfOrder)?;
        let b = call.legs.get(&leg).ok_or(Unusable::OutOfOrder)?;
        if leg != A_LEG && b.image.latest().is_some() {
            return Ok(b.image.clone());
        }
        let asked = offer.with_g711_first();
        let formats = &mut call.media.formats;
        presumed(Some(&asked), &mut asking, &b.image, None, formats)
    }
}
