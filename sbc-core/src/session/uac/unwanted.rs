//! Answers to an INVITE of ours that nobody wants any more.

use super::super::{Link, Session, orphan};
use super::MAX_EARLY_DIALOGS;
use crate::auth::Credentials;
use crate::dialog::Dialog;
use crate::id::TransactionId;
use crate::plane::Cx;
use crate::sip::header::{CSeq, CallId, Reason};
use crate::sip::{Address, Message};
use crate::transport::Hop;
use bytes::Bytes;

impl Session {
    /// ACK and BYE for an answer that nobody wants any more.
    #[allow(
        clippy::too_many_arguments,
        reason = "facts of one answer, used in one place"
    )]
    pub(super) fn end_answer(
        &mut self,
        cx: &mut Cx<'_>,
        id: TransactionId,
        message: &Message,
        from: Address,
        hop: Hop,
        shown: Credentials,
        why: Reason,
    ) {
        let Some(cseq) = message.essential::<CSeq>().ok().flatten() else {
            return;
        };
        // What it is called is for us to say (RFC 3261 §12.1.2).
        let call_id = CallId::from_minted(self.facts.call_id.clone());
        let proxy = self.style.trunk.proxy();
        let Ok(mut dialog) = Dialog::from_response(from.clone(), cseq.number, message, proxy)
        else {
            let invite = (id, cseq.number);
            let refusal = self.refusal_of(cx, &hop, message);
            let (style, owner) = (&self.style, self.owner);
            let ours = (call_id, from);
            return orphan::end_nameless(cx, style, owner, invite, (ours, hop), message, refusal);
        };
        dialog.call_id = call_id;
        dialog.skip_early_requests();
        // A callee may answer on many phones, but it may not fill our memory with them.
        if self.strays.len() >= MAX_EARLY_DIALOGS {
            return;
        }
        let refusal = self.refusal_of(cx, &hop, message);
        let mut link = Link::new(dialog, self.owner, hop);
        link.proofs.remember(id, shown);
        self.discard(cx, link, (cseq.number, id), refusal, why);
    }

    /// What the ACK for a 2xx says that nobody wants: an answer, if our INVITE has left the offer to it.
    pub(super) fn refusal_of(&self, cx: &mut Cx<'_>, hop: &Hop, answer: &Message) -> Option<Bytes> {
        let offers = self.leaves_offer;
        offers.then(|| orphan::refusal_of(cx, &self.style, hop, answer))?
    }
}
