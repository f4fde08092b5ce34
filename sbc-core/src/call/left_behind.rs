//! What of a message's headers nobody hears of on the other leg, as far as that was not told yet.

use super::Call;
use crate::config::Trunk;
use crate::event::Happened;
use crate::plane::Cx;
use crate::sip::Message;

impl Call {
    /// Tells which unknown headers of a message, maybe of a call for help, stay behind on the way from one trunk to another.
    pub(super) fn tells_what_stays(
        &self,
        cx: &mut Cx<'_>,
        message: &Message,
        from: &Trunk,
        to: &Trunk,
        is_help: bool,
    ) {
        for name in cx.plane.left.news(message, from, to, is_help) {
            let trunk = from.name.clone();
            let what = Happened::HeaderLeft { trunk, name };
            cx.out.emit(Some(self.id), None, what);
        }
    }
}
