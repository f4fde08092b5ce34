//! Media that go past us: each of two parties is told where the other one's media are, in the words of the
//! other one (MED-312, TDR-LMO-010).
//!
//! A call's media plan is anchored or direct. Ports stay reserved while it is direct, so media can come back
//! at any time: by the decision of Teams, or because another party takes a place in the call. The plan is a
//! word in the images of both legs ([`MediaImage::set_direct`]). What a leg has to be told because of it is
//! derived from what is in force there ([`interwork::is_misled`]), by [`super::tell`]; the relay is told by
//! each agreement that it has no part in it.
//!
//! [`MediaImage::set_direct`]: crate::media::MediaImage::set_direct
//! [`interwork::is_misled`]: crate::media::interwork::is_misled

use super::Call;
use crate::config::Trunk;
use crate::id::LegId;

/// Whether media between Teams on the one trunk and the SBC behind the other may go past us: we are the
/// proxy in front of that SBC.
pub(super) fn may_go_past_us(teams: &Trunk, other: &Trunk) -> bool {
    let local = teams.local_media.as_ref();
    local.and_then(|local| local.downstream.as_ref()) == Some(&other.name)
}

impl Call {
    /// Media of these two legs go past us from now on.
    pub(super) fn go_direct(&mut self, a: LegId, b: LegId) {
        self.anchor();
        self.direct = Some((a, b));
        self.mark_direct(true);
    }

    /// As [`Self::go_direct`], for two parties who have not been told yet: what each has to be told follows.
    pub(super) fn go_direct_once_told(&mut self, a: LegId, b: LegId) {
        self.go_direct(a, b);
        self.is_direct_untold = true;
    }

    /// Media come back to us.
    pub(super) fn anchor(&mut self) {
        self.mark_direct(false);
        self.direct = None;
        self.is_direct_untold = false;
    }

    /// Whether media of this leg go past us.
    pub(super) fn is_direct(&self, leg: LegId) -> bool {
        self.direct.is_some_and(|(a, b)| leg == a || leg == b)
    }

    fn mark_direct(&mut self, is_direct: bool) {
        let (a, b) = self.direct.unzip();
        for leg in [a, b].into_iter().flatten() {
            if let Some(leg) = self.leg(leg) {
                leg.image.set_direct(is_direct);
            }
        }
    }

    /// Media that go past us do so between two parties who talk to each other and have both agreed to it. Where
    /// another party has come, or one has refused, they come back.
    pub(super) fn keep_to_plan(&mut self) {
        let Some((a, b)) = self.direct.filter(|_| self.operation.is_none()) else {
            return;
        };
        let legs = || [a, b].into_iter().filter_map(|leg| self.legs.get(&leg));
        let changes = |leg: &super::Leg| leg.telling.change.is_some() || leg.local.is_moving();
        let is_quiet = !legs().any(|leg| leg.image.is_negotiating() || changes(leg));
        let is_agreed = legs().all(|leg| leg.image.is_sent_past_us());
        self.is_direct_untold &= !is_agreed && (self.may_be_told(a, b) || self.may_be_told(b, a));
        let is_quiet = is_quiet && !self.is_direct_untold;
        if self.bridge != Some((a, b)) || (is_quiet && !is_agreed) {
            self.anchor();
        }
    }
}
