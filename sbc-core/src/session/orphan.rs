//! Answers that come when nobody is left to want them: a second phone's 200 after its call is over
//! (SIP-221). The phone is off hook, so it gets its ACK and at once a BYE.

use crate::dialog::Dialog;
use crate::id::{CallId, LegId, TransactionId};
use crate::plane::Cx;
use crate::session::LegStyle;
use crate::session::link::Link;
use crate::sip::header::{CSeq, From};
use crate::sip::{Address, Message};
use crate::transport::Hop;

/// Ends the dialog of a 2xx to an INVITE of which another 2xx was acknowledged before. Of any other
/// INVITE nothing is known any more, and nothing is sent.
pub(crate) fn end(cx: &mut Cx<'_>, invite: TransactionId, answer: &Message) {
    let Some(sibling) = cx.plane.acks.sibling(invite) else {
        return;
    };
    let (Ok(Some(from)), Ok(Some(cseq))) = (answer.essential::<From>(), answer.essential::<CSeq>())
    else {
        return;
    };
    let dialog = match Dialog::from_response(from.0.clone(), cseq.number, answer) {
        Ok(dialog) => dialog,
        Err(_) => match Dialog::nameless(from.0.clone(), cseq.number, answer) {
            Ok(dialog) => dialog,
            Err(_) => return,
        },
    };
    let mut link = Link::new(dialog, sibling.owner, sibling.hop);
    link.dialog.skip_early_requests();
    link.proofs.remember(invite, sibling.shown);
    link.end_at_once(cx, &sibling.style, cseq.number, invite);
}

/// Ends the dialog of a 2xx without usable Contact: ACK and BYE go to who answered, in the name that
/// we called, or it would repeat its answer for 32 s and stay off hook.
pub(crate) fn end_nameless(
    cx: &mut Cx<'_>,
    style: &LegStyle,
    owner: (CallId, LegId),
    (invite, cseq): (TransactionId, u32),
    from: Address,
    hop: Hop,
    answer: &Message,
) {
    if let Ok(mut dialog) = Dialog::nameless(from, cseq, answer) {
        dialog.skip_early_requests();
        Link::new(dialog, owner, hop).end_at_once(cx, style, cseq, invite);
    }
}
