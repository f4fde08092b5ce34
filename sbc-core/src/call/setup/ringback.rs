//! Whether the caller should hear a ringing tone of ours (SIP-561): while it rings and the called side
//! sends nothing itself. The decision is told as an event; whoever makes tones obeys it.

use super::super::{A_LEG, Call, Timer};
use super::Setup;
use crate::config::Ringback as Policy;
use crate::event::Happened;
use crate::id::LegId;
use crate::plane::Cx;
use crate::sip::Status;
use std::time::Duration;

/// A phone that described early media and sends none for so long leaves its caller in silence.
const SILENCE: Duration = Duration::from_secs(2);

/// The ringing tone of one call.
#[derive(Debug, Default)]
pub(super) struct Ringback {
    has_rung: bool,
    has_media: bool,
    plays: bool,
}

impl Setup {
    /// A provisional was told to the caller, with a description of early media or not.
    pub(super) fn rings(&mut self, call: &mut Call, cx: &mut Cx<'_>, status: Status, early: bool) {
        let ringback = &mut self.ringback;
        ringback.has_rung |= status == Status::RINGING;
        if !ringback.has_rung || ringback.has_media {
            return;
        }
        if early {
            let at = cx.now.mono + SILENCE;
            return call.timers.set(Timer::Ringback as usize, at);
        }
        if !call.timers.is_set(Timer::Ringback as usize) {
            self.ringback_due(call, cx);
        }
    }

    /// Nothing is heard of the called side.
    pub(in crate::call) fn ringback_due(&mut self, call: &Call, cx: &mut Cx<'_>) {
        if self.trunk.progress.ringback == Policy::Auto && !self.ringback.plays {
            self.ringback.plays = true;
            tell(call, cx, true);
        }
    }

    /// The called side is heard, or has answered.
    pub(super) fn ringback_ends(&mut self, call: &mut Call, cx: &mut Cx<'_>) {
        self.ringback.has_media = true;
        call.timers.stop(Timer::Ringback as usize);
        if std::mem::take(&mut self.ringback.plays) {
            tell(call, cx, false);
        }
    }

    /// The relay hears somebody for the first time.
    pub(super) fn first_media(&mut self, call: &mut Call, cx: &mut Cx<'_>, from: LegId) {
        if from != A_LEG {
            self.ringback_ends(call, cx);
        }
    }
}

fn tell(call: &Call, cx: &mut Cx<'_>, plays: bool) {
    let what = Happened::Ringback { plays };
    cx.out.emit(Some(call.id), Some(A_LEG), what);
}
