//! Media that cannot be served, told with their reason: descriptions that are refused, and ports that are not there.

use super::Call;
use crate::config::Trunk;
use crate::event::{Happened, MediaRefusal};
use crate::id::LegId;
use crate::plane::Cx;

impl Call {
    /// Tells that media of a leg cannot be served.
    pub(super) fn media_refused(&self, cx: &mut Cx<'_>, leg: LegId, why: impl Into<MediaRefusal>) {
        if let Some(trunk) = self.trunk_of(leg) {
            self.media_refused_on(cx, Some(leg), &trunk, why);
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
