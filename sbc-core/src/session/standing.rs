//! What a leg is to somebody who wants to replace it (RFC 3891 §3).

use super::{Phase, Session};
use crate::dialog::Dialog;
use crate::sip::Token;
use crate::sip::header::Replaces;

/// How a dialog stands that Replaces names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// The peer calls us, and has no final answer yet.
    Calling,
    /// We call the peer, which has no final answer for us yet.
    Called,
    /// It talks.
    Confirmed,
    /// It is being ended.
    Ended,
}

impl Session {
    /// How the dialog stands, if it is one of this leg.
    pub(crate) fn standing(&self, replaces: &Replaces) -> Option<Standing> {
        let is_it = |dialog: &Dialog| {
            dialog.call_id == replaces.call_id
                && names(&replaces.to_tag, dialog.local_tag())
                && names(&replaces.from_tag, dialog.remote_tag())
        };
        match &self.phase {
            Phase::Confirmed(confirmed) if is_it(&confirmed.link.dialog) => {
                Some(Standing::Confirmed)
            }
            Phase::Closing(closing) if is_it(&closing.link.dialog) => Some(Standing::Ended),
            Phase::Outgoing(outgoing)
                if outgoing
                    .early
                    .values()
                    .any(|early| is_it(&early.link.dialog)) =>
            {
                Some(Standing::Called)
            }
            Phase::Incoming(incoming) => {
                let is_it = incoming.is_named(replaces) && self.local_tag == replaces.to_tag;
                is_it.then_some(Standing::Calling)
            }
            Phase::Confirmed(_) | Phase::Closing(_) | Phase::Outgoing(_) | Phase::Over => None,
        }
    }
}

/// Whether a tag of Replaces is that of a dialog; `0` stands for none as well (RFC 3891 §4).
pub(super) fn names(written: &Token, tag: &[u8]) -> bool {
    written.as_bytes() == tag || (tag.is_empty() && written.as_bytes().as_ref() == b"0")
}
