//! The ringing tone of ours that the caller hears while it rings and the called side sends nothing itself
//! (SIP-561, RFC 3960 §4.1).
//!
//! Once it is due it stays so until the answer or the end of the attempt: the relay pauses it while media of
//! the called side come, and goes on with it when they stop. A tone needs an answered offer, so a
//! caller that has no description yet is told one of ours ([`super::ours`]); what it was told it keeps,
//! as if a called side had said it.

use super::super::sound::{QUIET_MS, forever};
use super::super::{A_LEG, Call, Timer, endpoint};
use super::Setup;
use crate::config::Ringback as Policy;
use crate::event::Happened;
use crate::id::LegId;
use crate::media::Signal;
use crate::plane::Cx;
use crate::session::Source;
use crate::sip::Status;
use media_api::{Beside, EndpointId, Sound};
use std::time::Duration;

/// A phone that described early media and sends none for so long leaves its caller in silence.
const SILENCE: Duration = Duration::from_secs(2);

/// The ringing tone of one call.
#[derive(Debug, Default)]
pub(super) struct Ringback {
    has_rung: bool,
    has_media: bool,
    /// What rings, as the caller sees it.
    rings: Option<Source>,
    plays: bool,
}

impl Setup {
    /// A provisional was told to the caller, with a description of early media or not.
    pub(super) fn rings(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        status: Status,
        (of, described): (Option<Source>, bool),
    ) {
        let policy = self.trunk.progress.ringback;
        let ringback = &mut self.ringback;
        if status == Status::RINGING {
            ringback.has_rung = true;
            ringback.rings = of;
        }
        if !ringback.has_rung || ringback.plays || policy == Policy::Remote {
            return;
        }
        let waits = described && !ringback.has_media && policy == Policy::Auto;
        match (waits, call.timers.is_set(Timer::Ringback as usize)) {
            (true, false) => {
                let at = cx.now.mono + SILENCE;
                call.timers.set(Timer::Ringback as usize, at);
            }
            (_, true) => {}
            (false, false) => self.ringback_is_due(call, cx),
        }
    }

    /// The tone is heard from now on whenever nothing is heard of the called side.
    pub(in crate::call) fn ringback_is_due(&mut self, call: &mut Call, cx: &mut Cx<'_>) {
        if self.ringback.plays || !self.may_play(call, cx, self.ringback.rings.clone()) {
            return;
        }
        self.ringback.plays = true;
        let tone = self.trunk.progress.tones.tone(Signal::Ringback);
        let playing = forever(Sound::Tone(tone), Beside::First { quiet_ms: QUIET_MS });
        call.media.play(cx, endpoint(A_LEG), Some(playing));
        tell(call, cx, true);
    }

    /// Somebody has answered, or nothing rings any more.
    pub(super) fn ringback_ends(&mut self, call: &mut Call, cx: &mut Cx<'_>) {
        call.timers.stop(Timer::Ringback as usize);
        if std::mem::take(&mut self.ringback).plays {
            call.media.play(cx, endpoint(A_LEG), None);
            tell(call, cx, false);
        }
    }

    /// The relay could not play it.
    pub(super) fn ringback_is_unheard(&mut self, call: &mut Call, cx: &mut Cx<'_>, to: EndpointId) {
        if to == endpoint(A_LEG) && self.ringback.plays && !call.media.plays(to) {
            tell(call, cx, false);
        }
    }

    /// The relay hears somebody for the first time.
    pub(super) fn first_media(&mut self, call: &mut Call, cx: &mut Cx<'_>, from: LegId) {
        if from == A_LEG {
            return;
        }
        self.ringback.has_media = true;
        if call.timers.is_set(Timer::Ringback as usize) {
            // What it would have waited for is there, and may stop.
            call.timers.stop(Timer::Ringback as usize);
            self.ringback_is_due(call, cx);
        }
    }
}

fn tell(call: &Call, cx: &mut Cx<'_>, plays: bool) {
    let what = Happened::Ringback { plays };
    cx.out.emit(Some(call.id), Some(A_LEG), what);
}
