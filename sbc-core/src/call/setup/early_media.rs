//! What early media mean for the caller: as which status ringing is told, and what it is told of them
//! (SIP-563, SIP-564).

use super::super::{A_LEG, Call};
use super::Setup;
use crate::config::Ringing;
use crate::id::LegId;
use crate::media::MediaImage;
use crate::plane::Cx;
use crate::session::Said;
use crate::sip::{HeaderName, Status};
use bytes::Bytes;
use media_api::{ForkId, Negotiated};

impl Setup {
    /// Something is agreed with an early dialog: the relay hears of what is authorised of it, and of
    /// nothing where nothing may flow. What is agreed there counts as soon as it may.
    pub(super) fn agreed_early(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        (early, may_flow): (&Bytes, bool),
        (leg, fork): (LegId, ForkId),
        agreed: Negotiated,
    ) {
        if may_flow {
            self.early_media.flows(call, cx, early, (leg, fork), agreed);
        }
    }

    /// An early dialog whose first exchange is made may be heard now, and nothing else would tell so: no
    /// description of it is repeated to a caller that has made no offer.
    pub(super) fn opens_late(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        early: &Bytes,
    ) {
        let own = self.complete.get(early).and_then(MediaImage::committed);
        let Some(agreed) = own.map(|agreed| agreed.negotiated().clone()) else {
            return;
        };
        if !self.early_media.has_flowed(early) {
            let fork = self.fork(early);
            self.agreed_early(call, cx, (early, true), (leg, fork), agreed);
            self.early_media.join(call, cx, leg);
        }
    }

    /// Takes note of what a provisional says about its media, and of where they come from. Says whether it may
    /// do something else now.
    pub(super) fn note_authority(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        of: (LegId, &Bytes),
        said: Option<&Said>,
        description: Option<&Bytes>,
    ) -> bool {
        let noted = self.early_media.note(call, cx, of, said, description);
        self.are_heard_again(call, cx, noted.freed);
        noted.is_redirected
    }

    /// The called side has moved the media of an early dialog.
    pub(super) fn moved(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        of: (LegId, &Bytes),
        description: &Bytes,
    ) {
        let freed = self.early_media.moved(call, cx, of, description);
        self.are_heard_again(call, cx, freed);
    }

    /// Early dialogs that were silenced on behalf of another one may be heard again.
    pub(super) fn are_heard_again(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        freed: Vec<(Bytes, LegId)>,
    ) {
        for (early, leg) in freed {
            self.goes_on(call, cx, leg, &early);
        }
    }

    /// What the caller is told of what an early dialog may do: the same, if its trunk is trusted with it and
    /// its INVITE asks.
    pub(super) fn authority_told(&self, call: &Call, early: &Bytes) -> Option<(HeaderName, Bytes)> {
        let a = call.legs.get(&A_LEG)?;
        let asks = self
            .request
            .raw(HeaderName::PEarlyMedia)
            .is_some_and(|value| {
                let mut words = value.split(|octet| *octet == b',');
                words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"supported"))
            });
        let direction = self.early_media.authorised(early)?;
        let may = asks && a.session.style().trunk.progress.p_early_media;
        may.then(|| {
            let value = Bytes::from_static(direction.as_bytes());
            (HeaderName::PEarlyMedia, value)
        })
    }
}

/// As which status ringing or progress is told to a caller.
pub(super) fn told_as(ringing: Ringing, status: Status) -> Status {
    match (ringing, status.code()) {
        (Ringing::Ringing, 183) => Status::RINGING,
        (Ringing::Progress, 180) => Status::SESSION_PROGRESS,
        (Ringing::Pass | Ringing::Ringing | Ringing::Progress, _) => status,
    }
}
