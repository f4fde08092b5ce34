//! Whose media may flow before the answer, and as which status ringing is told (SIP-562, SIP-564).
//!
//! What may not flow is told neither to the relay nor to the caller, so that it flows in neither
//! direction: nobody talks for nothing by never answering.

use super::super::{Call, endpoint};
use crate::config::{EarlyMedia as Policy, ProgressPolicy, Ringing};
use crate::id::LegId;
use crate::plane::Cx;
use crate::sip::Status;
use bytes::Bytes;
use media_api::{Direction, ForkId, Negotiated, Stage};

/// Early media of one attempt.
#[derive(Debug, Default)]
pub(super) struct EarlyMedia {
    has_rung: bool,
    /// Early dialogs whose media flow, the newest last, with what the relay knows of them.
    flowing: Vec<(Bytes, ForkId, Negotiated)>,
}

impl EarlyMedia {
    /// Takes a provisional. Says as which status it is told, and whether media of its early dialog
    /// may flow.
    pub(super) fn heard(
        &mut self,
        policy: ProgressPolicy,
        status: Status,
        early: &Bytes,
    ) -> (Status, bool) {
        self.has_rung |= status == Status::RINGING;
        match policy.early_media {
            Policy::Pass => (status, true),
            Policy::First => {
                let is_first = self.flowing.first().is_none_or(|(tag, ..)| tag == early);
                (status, is_first)
            }
            Policy::AfterRinging => (status, self.has_rung),
            Policy::Block if status == Status::SESSION_PROGRESS => (Status::RINGING, false),
            Policy::Block => (status, false),
        }
    }

    /// The relay is told of an early dialog's media.
    pub(super) fn flows(&mut self, early: &Bytes, fork: ForkId, agreed: &Negotiated) {
        self.flowing.retain(|(tag, ..)| tag != early);
        self.flowing.push((early.clone(), fork, agreed.clone()));
    }

    /// Whether media of this early dialog have been let through.
    pub(super) fn has_flowed(&self, early: &Bytes) -> bool {
        self.flowing.iter().any(|(tag, ..)| tag == early)
    }

    /// An early dialog has ended (199): nothing more is heard of it, and the newest of the others is
    /// the one that is spoken to (SIP-313).
    pub(super) fn closes(&mut self, call: &mut Call, cx: &mut Cx<'_>, leg: LegId, early: &Bytes) {
        let Some(at) = self.flowing.iter().position(|(tag, ..)| tag == early) else {
            return;
        };
        let (_, fork, agreed) = self.flowing.remove(at);
        let to = endpoint(leg);
        call.media
            .agreed(cx, to, fork, silent(agreed), Stage::Preview);
        if let Some((_, fork, agreed)) = self.flowing.last() {
            call.media
                .agreed(cx, to, *fork, agreed.clone(), Stage::Preview);
        }
    }
}

/// The same, but nothing flows.
fn silent(mut agreed: Negotiated) -> Negotiated {
    for stream in agreed.streams.iter_mut().flatten() {
        stream.direction = Direction::Inactive;
    }
    agreed
}

/// How the calls of a leg's trunk make progress.
pub(super) fn policy_of(call: &Call, leg: LegId) -> ProgressPolicy {
    let style = call.legs.get(&leg).map(|leg| leg.session.style());
    style.map_or_else(ProgressPolicy::default, |style| style.trunk.progress)
}

/// As which status ringing or progress is told to a caller.
pub(super) fn told_as(ringing: Ringing, status: Status) -> Status {
    match (ringing, status.code()) {
        (Ringing::Ringing, 183) => Status::RINGING,
        (Ringing::Progress, 180) => Status::SESSION_PROGRESS,
        (Ringing::Pass | Ringing::Ringing | Ringing::Progress, _) => status,
    }
}
