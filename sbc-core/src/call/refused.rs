//! Media that cannot be served, told with their reason: descriptions that are refused, lines of them that are of no use,
//! and ports that are not there.

use super::Call;
use crate::config::Trunk;
use crate::event::{Happened, MediaRefusal};
use crate::id::LegId;
use crate::plane::Cx;
use crate::sdp::{Description, Limits};
use crate::session::SessionEvent;
use bytes::Bytes;
use memchr::memmem;

/// Lines that are told of one description: a peer decides how many there are.
const MOST_KEYS: usize = 8;

impl Call {
    /// Tells that media of a leg cannot be served.
    pub(super) fn media_refused(&self, cx: &mut Cx<'_>, leg: LegId, why: impl Into<MediaRefusal>) {
        if let Some(trunk) = self.trunk_of(leg) {
            self.media_refused_on(cx, Some(leg), &trunk, why);
        }
    }

    /// Tells of key lines of a peer's description that cannot be used, whatever becomes of the rest.
    pub(super) fn note_keys(&self, cx: &mut Cx<'_>, leg: LegId, described: &Bytes) {
        if memmem::find(described, b"a=crypto:").is_none() {
            return;
        }
        let (Ok(description), Some(trunk)) = (
            Description::parse(described.clone(), &Limits::default()),
            self.trunk_of(leg),
        ) else {
            return;
        };
        let lines = description.media().flat_map(|media| media.cryptos());
        for why in lines.filter_map(Result::err).take(MOST_KEYS) {
            let trunk = trunk.name.clone();
            let what = Happened::KeyUnusable { trunk, why };
            cx.out.emit(Some(self.id), Some(leg), what);
        }
    }

    /// As [`Self::media_refused`], where there is no leg yet.
    pub(super) fn media_refused_on(
        &self,
        cx: &mut Cx<'_>,
        leg: Option<LegId>,
        trunk: &Trunk,
        why: impl Into<MediaRefusal>,
    ) {
        let (trunk, why) = (trunk.name.clone(), why.into());
        let what = Happened::MediaRefused { trunk, why };
        cx.out.emit(Some(self.id), leg, what);
    }
}

/// What a peer describes with what it says.
pub(super) fn described(event: &SessionEvent) -> Option<&Bytes> {
    match event {
        SessionEvent::Progress { description, .. }
        | SessionEvent::Answered { description, .. }
        | SessionEvent::Acknowledged { description, .. }
        | SessionEvent::EarlyAnswered { description, .. }
        | SessionEvent::Offer(description)
        | SessionEvent::OfferAnswered { description } => description.as_ref(),
        SessionEvent::EarlyOffer { description, .. } => Some(description),
        _ => None,
    }
}
