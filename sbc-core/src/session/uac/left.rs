//! Early dialogs that the caller has left: BYE to that phone alone, while the others go on ringing
//! (RFC 3261 §15). Nothing that it says afterwards counts, and an answer that crosses our BYE is ended.

use super::super::{Parting, Phase, Rejection, Session, SessionEvent, link::Wanted};
use crate::event::TargetFault;
use crate::id::TransactionId;
use crate::plane::Cx;
use crate::sip::header::Reason;
use crate::sip::{HeaderName, Message, Status};
use bytes::Bytes;

impl Session {
    /// Ends one early dialog of our INVITE.
    pub(crate) fn leave_early(&mut self, cx: &mut Cx<'_>, early: &Bytes, reason: Option<Bytes>) {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        let Some(mut left) = outgoing.early.remove(early) else {
            return;
        };
        outgoing.left.insert(early.clone());
        if let Some(asked) = left.asked.take() {
            asked.refuse(cx, &self.style, Status::REQUEST_TERMINATED);
        }
        let reason = reason.map(|reason| (HeaderName::Reason, reason));
        let said = Parting {
            lines: reason.into_iter().collect(),
            ..Parting::default()
        };
        left.link.send(cx, &self.style, Wanted::Bye(said));
        self.strays.push(left.link);
    }

    /// A 2xx that has crossed our BYE: the phone is off hook and is told again. Whoever forked the INVITE
    /// lets all other phones go for it, so this way to the called party has come to nothing.
    pub(super) fn answered_by_who_was_left(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        let Some(answered) = outgoing.take_current() else {
            return;
        };
        let mut rejection =
            Rejection::local(TargetFault::Status(Status::TEMPORARILY_UNAVAILABLE.code()));
        rejection.status = Status::TEMPORARILY_UNAVAILABLE;
        rejection.was_heard = true;
        outgoing.rank(rejection);
        let (from, hop, shown) = (answered.from, answered.hop, answered.shown);
        let why = Reason::sip(487, None);
        self.end_answer(cx, id, message, from, hop, shown, why);
        self.give_up(cx, up);
    }
}
