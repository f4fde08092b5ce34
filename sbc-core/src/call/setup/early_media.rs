//! Whose media may flow before the answer, and as which status ringing is told (SIP-562, SIP-564).
//!
//! What may not flow is told neither to the relay nor to the caller, so that it flows in neither
//! direction: nobody talks for nothing by never answering.

use super::super::{A_LEG, Call, endpoint};
use super::Setup;
use super::authorised::Authority;
use crate::config::{EarlyMedia as Policy, ProgressPolicy, Ringing};
use crate::id::LegId;
use crate::media::MediaImage;
use crate::plane::Cx;
use crate::sip::Status;
use bytes::Bytes;
use media_api::{Direction, ForkId, Negotiated, Stage};

/// Media of one early dialog, as the relay knows them.
#[derive(Debug)]
struct Flow {
    leg: LegId,
    fork: ForkId,
    agreed: Negotiated,
}

/// Early media of one attempt, or of those that are made at once.
#[derive(Debug, Default)]
pub(super) struct EarlyMedia {
    has_rung: bool,
    /// Early dialogs whose media flow, the newest last, with what the relay knows of them.
    flowing: Vec<(Bytes, Flow)>,
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
                let is_first = self.flowing.first().is_none_or(|(tag, _)| tag == early);
                (status, is_first)
            }
            Policy::AfterRinging => (status, self.has_rung),
            Policy::Block if status == Status::SESSION_PROGRESS => (Status::RINGING, false),
            Policy::Block => (status, false),
        }
    }

    /// The relay is told of an early dialog's media.
    pub(super) fn flows(
        &mut self,
        early: &Bytes,
        (leg, fork): (LegId, ForkId),
        agreed: &Negotiated,
    ) {
        let agreed = agreed.clone();
        self.flowing.retain(|(tag, _)| tag != early);
        self.flowing
            .push((early.clone(), Flow { leg, fork, agreed }));
    }

    /// Whether media of this early dialog have been let through.
    pub(super) fn has_flowed(&self, early: &Bytes) -> bool {
        self.flowing.iter().any(|(tag, _)| tag == early)
    }

    /// What may flow of an early dialog has changed without a new description.
    pub(super) fn changes(
        &self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        early: &Bytes,
        authority: &Authority,
    ) {
        let flowing = self.flowing.iter().find(|(tag, _)| tag == early);
        if let Some((_, own)) = flowing {
            let agreed = authority.limits(early, own.agreed.clone());
            let to = endpoint(own.leg);
            call.media.agreed(cx, to, own.fork, agreed, Stage::Preview);
        }
    }

    /// An early dialog has ended (199): nothing more is heard of it, and the newest of the others is
    /// the one that is spoken to (SIP-313).
    pub(super) fn closes(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        early: &Bytes,
        authority: &Authority,
    ) {
        let Some(at) = self.flowing.iter().position(|(tag, _)| tag == early) else {
            return;
        };
        let (_, own) = self.flowing.remove(at);
        let to = endpoint(own.leg);
        call.media
            .agreed(cx, to, own.fork, silent(own.agreed), Stage::Preview);
        self.newest_is_spoken_to(call, cx, authority);
    }

    /// A leg is not called any more, others are.
    pub(super) fn leaves(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        authority: &Authority,
    ) {
        let before = self.flowing.len();
        self.flowing.retain(|(_, own)| own.leg != leg);
        if self.flowing.len() != before {
            self.newest_is_spoken_to(call, cx, authority);
        }
    }

    fn newest_is_spoken_to(&self, call: &mut Call, cx: &mut Cx<'_>, authority: &Authority) {
        if let Some((newest, own)) = self.flowing.last() {
            let agreed = authority.limits(newest, own.agreed.clone());
            let to = endpoint(own.leg);
            call.media.agreed(cx, to, own.fork, agreed, Stage::Preview);
            call.media.join(cx, endpoint(A_LEG), to, 0);
        }
    }
}

impl Setup {
    /// Something is agreed with an early dialog: the relay hears of what is authorised of it, and of
    /// nothing where nothing may flow. What is agreed there counts as soon as it may.
    pub(super) fn agreed_early(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        (early, may_flow): (&Bytes, bool),
        (leg, fork): (LegId, ForkId),
        agreed: Negotiated,
    ) {
        if may_flow {
            self.early_media.flows(early, (leg, fork), &agreed);
            let agreed = self.authority.limits(early, agreed);
            call.media
                .agreed(cx, endpoint(leg), fork, agreed, Stage::Preview);
        }
    }

    /// Whether media of an early dialog flow already.
    pub(super) fn is_let_through(&self, early: &Bytes) -> bool {
        self.is_authorised(early) && self.early_media.has_flowed(early)
    }

    /// An early dialog whose first exchange is made may be heard now, and nothing else would tell so: no
    /// description of it is repeated to a caller that has made no offer.
    pub(super) fn opens_late(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        leg: LegId,
        early: &Bytes,
    ) {
        let own = self.complete.get(early).and_then(MediaImage::committed);
        let Some(agreed) = own.map(|agreed| agreed.negotiated().clone()) else {
            return;
        };
        if !self.early_media.has_flowed(early) {
            let fork = self.fork(early);
            self.agreed_early(call, cx, (early, true), (leg, fork), agreed);
            call.media.join(cx, endpoint(A_LEG), endpoint(leg), 0);
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
