//! Whether media of an attempt go past us ([`super::super::direct`]).

use super::super::{A_LEG, Call};
use super::Setup;
use crate::config::Trunk;
use crate::media::Facts;
use crate::plane::Cx;

impl Setup {
    /// Decides for an attempt on this trunk before anything is offered there. A decision of Teams that cannot
    /// be kept is noted with the reason.
    pub(super) fn goes_past_us(&self, call: &mut Call, cx: &mut Cx<'_>, to: &Trunk) -> bool {
        let has_place =
            |offer: &Facts| matches!(offer.main(), Ok((_, audio)) if audio.lent.is_some());
        let is_told = call
            .legs
            .get(&A_LEG)
            .is_none_or(|a| a.image.latest().is_some());
        let why = if !call.can_go_direct(to) {
            format!(
                "the call goes to trunk \"{}\", not to the SBC behind us",
                to.name
            )
        } else if self.at_once {
            "several ring at once".to_owned()
        } else if is_told {
            "the caller was told our address before".to_owned()
        } else if !self.offer.as_ref().is_some_and(has_place) {
            "the caller names no place for its media".to_owned()
        } else {
            return true;
        };
        call.stays_at_us(cx, &why);
        false
    }
}
