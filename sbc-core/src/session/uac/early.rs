//! Early dialogs of an INVITE of ours: begun by provisionals, one of them confirmed by the 2xx.

use super::super::reliable::{Described, Early, Heard};
use super::super::{Link, Phase, Said, Session, SessionEvent, description};
use super::{MAX_EARLY_DIALOGS, Try, to_tag};
use crate::dialog::Dialog;
use crate::event::Happened;
use crate::id::{CallId, LegId};
use crate::plane::Cx;
use crate::sdp::Difference;
use crate::session::LegStyle;
use crate::sip::{Message, Status, header};
use bytes::Bytes;

impl Session {
    /// A provisional above 100.
    pub(super) fn invite_progress(
        &mut self,
        cx: &mut Cx<'_>,
        status: Status,
        message: &Message,
        up: &mut Vec<SessionEvent>,
    ) {
        let Phase::Outgoing(outgoing) = &mut self.phase else {
            return;
        };
        let Some(current) = &mut outgoing.current else {
            return;
        };
        current.has_progress = true;
        let tag = to_tag(message);
        if outgoing.left.contains(&tag) {
            return;
        }
        let is_new = !outgoing.early.contains_key(&tag);
        if is_new && !tag.is_empty() && outgoing.early.len() < MAX_EARLY_DIALOGS {
            let (from, cseq) = (current.from.clone(), current.cseq);
            let proxy = self.style.trunk.proxy();
            if let Ok(mut dialog) = Dialog::from_response(from, cseq, message, proxy) {
                // What it is called is for us to say (RFC 3261 §12.1.2).
                dialog.call_id = outgoing.call_id.clone();
                let mut link = Link::new(dialog, self.owner, current.hop.clone());
                link.proofs.remember(current.id, current.shown.clone());
                outgoing.early.insert(tag.clone(), Early::new(link));
            }
        } else if let Some(early) = outgoing.early.get_mut(&tag) {
            early.link.dialog.takes.note(message);
        }
        let mut description = description(message);
        let mut is_reliable = false;
        let is_late = outgoing.outset.offer.is_none();
        if let Some(early) = outgoing.early.get_mut(&tag) {
            let offers = is_late && early.settled.is_none() && description.is_some();
            match early.hear(cx, &self.style, current.cseq, message, offers) {
                Heard::OutOfOrder => return,
                Heard::Unreliable => {}
                Heard::Reliable => is_reliable = true,
            }
            if let Some(before) = early.described() {
                // The first reliable one was the last word (SIP-501).
                if let Some(later) = description.take() {
                    differs(cx, &self.style, self.owner, &before, &later, false);
                }
            } else if is_reliable {
                early.settled.clone_from(&description);
            }
        }
        up.push(SessionEvent::Progress {
            status,
            early: tag,
            description,
            is_reliable,
            said: Said::new(message),
        });
    }
}

/// The dialog of a 2xx: the early one that it confirms, or a new one.
pub(super) fn established(
    early: Option<Early>,
    (call_id, current): (&header::CallId, &Try),
    owner: (CallId, LegId),
    message: &Message,
    proxy: Option<&str>,
) -> Option<Link> {
    if let Some(Early { mut link, .. }) = early {
        link.dialog.confirm(message, proxy);
        return Some(link);
    }
    let (from, cseq) = (current.from.clone(), current.cseq);
    let mut dialog = Dialog::from_response(from, cseq, message, proxy).ok()?;
    dialog.call_id.clone_from(call_id);
    let mut link = Link::new(dialog, owner, current.hop.clone());
    link.proofs.remember(current.id, current.shown.clone());
    Some(link)
}

/// Whether a description counts that comes after the answer: never, unless the trunk lets its peer
/// move its media so. One that says something else than the answer and the last exchange is told to people
/// (SIP-501).
pub(super) fn differs(
    cx: &mut Cx<'_>,
    style: &LegStyle,
    owner: (CallId, LegId),
    before: &Described,
    later: &Bytes,
    may_move: bool,
) -> bool {
    let repeats_answer = Difference::between(&before.answer, later) == Difference::Nothing;
    let difference = match repeats_answer {
        true => Difference::Nothing,
        false => Difference::between(&before.latest, later),
    };
    let is_taken = may_move && difference == Difference::Place;
    if difference != Difference::Nothing {
        let trunk = style.trunk.name.clone();
        let what = Happened::LaterAnswer { trunk, is_taken };
        cx.out.emit(Some(owner.0), Some(owner.1), what);
    }
    is_taken
}
