//! The ringing tone of ours that the caller hears while it rings and the called side sends nothing itself
//! (SIP-561, RFC 3960 §4.1).
//!
//! Once it is due it stays so until the answer, or until no phone rings any more: the relay pauses it while media of
//! the called side come, and goes on with it when they stop. A tone needs an answered offer, so a
//! caller that has no description yet is told one of ours ([`super::ours`]); what it was told it keeps,
//! as if a called side had said it.

use super::super::sound::{QUIET_MS, forever};
use super::super::{A_LEG, Call, Timer, endpoint};
use super::{MOST_FORKS, Setup};
use crate::config::{Preset, Ringback as Policy};
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
    /// What rings; of very many some.
    phones: Vec<Source>,
    has_media: bool,
    /// The caller was told a description, so its phone may wait for media instead of ringing by itself.
    is_described: bool,
    /// The one of them in whose name the caller is told of the tone, if it sees them one by one.
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
        (phone, of, described): (Source, Option<Source>, bool),
    ) {
        let rung = call
            .leg(phone.leg)
            .map(|own| own.session.style().trunk.preset);
        let rung = rung.unwrap_or(Preset::Carrier);
        let ringback = &mut self.ringback;
        ringback.is_described |= described;
        let progress = &self.trunk.progress;
        let policy = progress.ringback_of(rung, ringback.is_described);
        if status == Status::RINGING {
            if ringback.phones.len() < MOST_FORKS && !ringback.phones.contains(&phone) {
                ringback.phones.push(phone);
            }
            ringback.rings = of;
        }
        if ringback.phones.is_empty() || ringback.plays || policy == Policy::Remote {
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

    /// These phones ring no longer; if no other one does, the tone is over.
    pub(super) fn rings_no_more(
        &mut self,
        call: &mut Call,
        cx: &mut Cx<'_>,
        is_over: impl Fn(&Source) -> bool,
    ) {
        let ringback = &mut self.ringback;
        let rang = ringback.phones.len();
        ringback.phones.retain(|phone| !is_over(phone));
        match ringback.phones.last() {
            Some(other) if ringback.rings.as_ref().is_some_and(is_over) => {
                ringback.rings = Some(other.clone());
            }
            None if rang > 0 => {
                let (has_media, is_described) = (ringback.has_media, ringback.is_described);
                self.ringback_ends(call, cx);
                self.ringback.has_media = has_media;
                self.ringback.is_described = is_described;
            }
            Some(_) | None => {}
        }
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
