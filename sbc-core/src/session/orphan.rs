//! Answers that come when nobody is left to want them: a second phone's 200 after its call is over
//! (SIP-221). The phone is off hook, so it gets its ACK and at once a BYE. An offer in such an answer has
//! to be answered all the same (RFC 3261 §13.2.2.4): nothing of it is taken.

use crate::dialog::Dialog;
use crate::id::{CallId, LegId, TransactionId};
use crate::plane::Cx;
use crate::sdp::{Description, Draft, DraftMedia, Limits, OriginLine, RefusedLine};
use crate::session::LegStyle;
use crate::session::description;
use crate::session::link::Link;
use crate::sip::{Address, Message, header};
use crate::transport::Hop;
use bytes::Bytes;

/// Ends the dialog of a 2xx to an INVITE of which another 2xx was acknowledged before. Of any other
/// INVITE nothing is known any more, and nothing is sent.
pub(crate) fn end(cx: &mut Cx<'_>, invite: TransactionId, answer: &Message) {
    let Some(sibling) = cx.plane.acks.sibling(invite) else {
        return;
    };
    let (cseq, proxy) = (sibling.cseq, sibling.style.trunk.proxy());
    let dialog = Dialog::from_response(sibling.from.clone(), cseq, answer, proxy);
    let dialog = dialog.or_else(|_| Dialog::nameless(sibling.from, cseq, answer, proxy));
    let Ok(mut dialog) = dialog else { return };
    dialog.call_id = sibling.call_id;
    let refusal = sibling.is_answer;
    let refusal = refusal.then(|| refusal_of(cx, &sibling.style, &sibling.hop, answer));
    let mut link = Link::new(dialog, sibling.owner, sibling.hop);
    link.dialog.skip_early_requests();
    link.proofs.remember(invite, sibling.shown);
    let invite = (cseq, invite);
    link.end_at_once(cx, &sibling.style, invite, refusal.flatten());
}

/// Ends the dialog of a 2xx without usable Contact: ACK and BYE go to who answered, in the name that
/// we called, or it would repeat its answer for 32 s and stay off hook.
pub(crate) fn end_nameless(
    cx: &mut Cx<'_>,
    style: &LegStyle,
    owner: (CallId, LegId),
    (invite, cseq): (TransactionId, u32),
    ((call_id, from), hop): ((header::CallId, Address), Hop),
    answer: &Message,
    refusal: Option<Bytes>,
) {
    if let Ok(mut dialog) = Dialog::nameless(from, cseq, answer, style.trunk.proxy()) {
        dialog.call_id = call_id;
        dialog.skip_early_requests();
        Link::new(dialog, owner, hop).end_at_once(cx, style, (cseq, invite), refusal);
    }
}

/// The answer that takes nothing of what a 2xx offers (RFC 3264 §6). `None` if it has no description that
/// can be read.
pub(super) fn refusal_of(
    cx: &mut Cx<'_>,
    style: &LegStyle,
    hop: &Hop,
    answer: &Message,
) -> Option<Bytes> {
    let offer = Description::parse(description(answer)?, &Limits::default()).ok()?;
    // No media comes, so any address of ours on this leg is as good as another.
    let address = style.config.listeners.get(&hop.listener)?.advertised.ip();
    let lines = offer.media().map(|media| RefusedLine::of(&media));
    let media = lines.map(DraftMedia::Refused).collect();
    let origin = OriginLine {
        session_id: cx.plane.mint.number() >> 1,
        version: 1,
        address,
    };
    Some(Draft { address, media }.write(&origin))
}
