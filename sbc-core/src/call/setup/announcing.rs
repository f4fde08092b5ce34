//! Announcements: why it cannot have its call a caller hears before it is refused, where its trunk has
//! something to say (SIP-1340). It is early media, so that nobody pays for it, and lasts for a bounded time;
//! the refusal that follows is the one that there would have been.
//!
//! Not announced is what limits refuse: a caller without a place must not stay the longer for it. Who is
//! refused before it took one, as for a number that nobody has, counts on a limit of its own, above which
//! callers are refused at once. Nor is anything announced to calls for help, which may have to be tried elsewhere at once.

use super::super::sound::announced;
use super::super::{A_LEG, Call, Operation, Timer, endpoint};
use super::{Failed, Setup, Step, refuse};
use crate::cause::CauseCode;
use crate::config::Trunk;
use crate::media::MediaImage;
use crate::plane::Cx;
use crate::policy::response::Mapped;
use crate::sip::Status;
use media_api::{EndpointId, EndpointSpec, LocalEndpoint};
use std::time::Duration;

/// How much longer than what is played the caller waits at most: for ports, and for the relay to say that
/// it is over.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a trunk's callers hear something before they are refused so.
pub(super) fn is_announced(trunk: &Trunk, mapped: &Mapped) -> bool {
    trunk.sounds.announce.contains_key(&mapped.status.code()) && may_wait(mapped.cause)
}

/// Whether whoever is refused for this has a place to wait in.
fn may_wait(cause: CauseCode) -> bool {
    match cause {
        CauseCode::PeerRejected
        | CauseCode::PeerBusy
        | CauseCode::NoAnswer
        | CauseCode::NumberUnknown
        | CauseCode::NoRoute
        | CauseCode::Presence
        | CauseCode::CallerNotAllowed
        | CauseCode::PeerUnreachable
        | CauseCode::PeerTimeout => true,
        CauseCode::NormalClearing
        | CauseCode::CallerCancelled
        | CauseCode::LoopDetected
        | CauseCode::BadRequest
        | CauseCode::MediaIncompatible
        | CauseCode::MediaUnavailable
        | CauseCode::MediaTimeout
        | CauseCode::HandshakeFailed
        | CauseCode::NoAck
        | CauseCode::InCallFailure
        | CauseCode::TransferFailed
        | CauseCode::LimitReached
        | CauseCode::Preempted
        | CauseCode::SpendReached
        | CauseCode::TrunkClosed
        | CauseCode::Operator
        | CauseCode::RestartLost
        | CauseCode::InternalError => false,
    }
}

impl Setup {
    /// Whether the caller hears why it is refused.
    pub(super) fn is_announcing(&self) -> bool {
        matches!(self.step, Step::Announcing(_))
    }

    /// The caller is refused, once it has heard why.
    pub(super) fn is_refused(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        failed: Failed,
    ) -> Option<Operation> {
        let is_heard = self.offer.is_some() || self.is_offered;
        let is_wanted = is_announced(&self.trunk, &failed.mapped);
        if self.is_emergency || self.pickup.is_some() || !is_heard || !is_wanted {
            return refuse(call, cx, failed.mapped, failed.by, failed.because, None);
        }
        if let Err(full) = call.take_place_to_hear(cx, &self.trunk) {
            let because = failed.because.and(full.to_string());
            return refuse(call, cx, failed.mapped, failed.by, because, None);
        }
        self.ringback_ends(call, cx);
        self.nobody_is_called(call, cx);
        call.timers.stop(Timer::EarlyMedia as usize);
        call.timers
            .set(Timer::Announce as usize, cx.now.mono + PATIENCE);
        self.step = Step::Announcing(Box::new(failed));
        let a = call.legs.get(&A_LEG).map(|a| &a.image);
        match a.filter(|a| a.local().is_none()).map(MediaImage::spec) {
            Some(spec) => {
                let takes_last = false;
                call.media
                    .allocate(cx, vec![EndpointSpec { takes_last, ..spec }]);
                Some(Operation::Setup(self))
            }
            None => self.announce(call, cx),
        }
    }

    /// The caller's port is there.
    pub(super) fn announce_on(
        self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        endpoints: &[LocalEndpoint],
    ) -> Option<Operation> {
        if let Some(a) = call.leg(A_LEG) {
            for local in endpoints {
                a.image.allocated(local);
            }
        }
        self.announce(call, cx)
    }

    fn announce(self: Box<Self>, call: &mut Call, cx: &mut Cx<'_>) -> Option<Operation> {
        let Step::Announcing(failed) = &self.step else {
            return Some(Operation::Setup(self));
        };
        let what = self.trunk.sounds.announce.get(&failed.mapped.status.code());
        let tones = self.trunk.progress.tones;
        let playing = what.and_then(|what| announced(&call.config, tones, what));
        let Some((playing, length)) = playing else {
            return self.is_announced(call, cx);
        };
        if !self.may_play(call, cx, None) {
            return self.is_announced(call, cx);
        }
        call.media.play(cx, endpoint(A_LEG), Some(playing));
        if !call.media.plays(endpoint(A_LEG)) {
            // The relay has said before that it cannot be heard.
            return self.is_announced(call, cx);
        }
        let end = cx.now.mono + length + PATIENCE;
        call.timers.set(Timer::Announce as usize, end);
        Some(Operation::Setup(self))
    }

    /// The relay says that something is over.
    pub(super) fn is_played(
        self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
        to: EndpointId,
    ) -> Option<Operation> {
        match to == endpoint(A_LEG) {
            true => self.is_announced(call, cx),
            false => Some(Operation::Setup(self)),
        }
    }

    /// The caller has heard it, or cannot: it is refused now.
    pub(in crate::call) fn is_announced(
        mut self: Box<Self>,
        call: &mut Call,
        cx: &mut Cx<'_>,
    ) -> Option<Operation> {
        match std::mem::replace(&mut self.step, Step::Waiting) {
            Step::Announcing(failed) => {
                call.timers.stop(Timer::Announce as usize);
                let failed = *failed;
                refuse(call, cx, failed.mapped, failed.by, failed.because, None)
            }
            other => {
                self.step = other;
                Some(Operation::Setup(self))
            }
        }
    }

    /// Whoever still rings beside the one that has refused for all is left alone.
    fn nobody_is_called(&mut self, call: &mut Call, cx: &mut Cx<'_>) {
        for leg in self.ringing() {
            if let Some(b) = call.leg(leg) {
                b.session.hang_up(cx, Status::REQUEST_TERMINATED, None);
            }
            call.media.drop_endpoint(cx, endpoint(leg));
        }
        self.beside.clear();
    }
}
