//! Answers that come when nobody is left to want them: a second phone's 200 after its call is over
//! (SIP-221). The phone is off hook, so it gets its ACK and at once a BYE.

use crate::dialog::Dialog;
use crate::id::TransactionId;
use crate::plane::Cx;
use crate::session::link::Link;
use crate::sip::Message;
use crate::sip::header::{CSeq, From};

/// Ends the dialog of a 2xx to an INVITE of which another 2xx was acknowledged before. Of any other
/// INVITE nothing is known any more, and nothing is sent.
pub(crate) fn end(cx: &mut Cx<'_>, invite: TransactionId, answer: &Message) {
    let Some((style, hop, owner)) = cx.plane.acks.sibling(invite) else {
        return;
    };
    let (Ok(Some(from)), Ok(Some(cseq))) = (answer.essential::<From>(), answer.essential::<CSeq>())
    else {
        return;
    };
    if let Ok(mut dialog) = Dialog::from_response(from.0.clone(), cseq.number, answer) {
        dialog.skip_early_requests();
        Link::new(dialog, owner, hop).end_at_once(cx, &style, cseq.number, invite);
    }
}
