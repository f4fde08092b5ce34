//! What the parties of an answered call hear of ours: music while they are on hold (SIP-551), music or a
//! ringing tone while they are transferred (SIP-804), and noise while the other one sends nothing (TDR-MED-023).
//!
//! Like what a leg has to be told (`tell`), it is not remembered but derived, from what is in force on both
//! legs and from the transfer that is under way. So it ends with whatever was its reason: resumption,
//! completion, failure, BYE.

use super::{Call, Leg, Operation, endpoint};
use crate::config::{Announcement, Config, Music, Ringback, Trunk};
use crate::id::LegId;
use crate::media::{Signal, Tones, interwork, silence};
use crate::plane::Cx;
use media_api::{Beside, Playing, Sound, Tone};
use std::time::Duration;

/// Media that have paused for so long have stopped, in milliseconds (SIP-561).
pub(super) const QUIET_MS: u16 = 400;

/// Media that have paused for so long are filled with noise, in milliseconds: longer than any word takes to
/// come, shorter than anybody takes for a failure (TDR-MED-023).
const PAUSE_MS: u16 = 1_000;

/// How long a tone that announces something is heard, in milliseconds.
const TONE_MS: u64 = 5_000;

/// What a transferred party waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Interlude {
    /// Who waits.
    pub(super) transferee: LegId,
    /// The target rings, or says without a word for it that it is reached.
    pub(super) has_rung: bool,
    /// The target has described early media.
    pub(super) is_described: bool,
}

impl Interlude {
    /// Whether there is anything to hear of the target.
    pub(super) fn has_sound(&self) -> bool {
        self.has_rung || self.is_described
    }
}

impl Call {
    /// Lets each party hear what it should hear of ours at this moment.
    pub(super) fn sound(&mut self, cx: &mut Cx<'_>) {
        let interlude = match &self.operation {
            // What is heard before the answer is up to the set-up, and afterwards there is nothing.
            Some(Operation::Setup(_) | Operation::Teardown(_)) => return,
            Some(Operation::Transfer(transfer)) => transfer.interlude(),
            Some(Operation::Replace(_)) | None => None,
        };
        if let Some((a, b)) = self.bridge {
            // Who has been transferred away, or waits to leave, waits for nobody here.
            self.media.silence_but(cx, [endpoint(a), endpoint(b)]);
            for leg in [a, b] {
                let playing = self.heard_by(leg, interlude);
                self.media.play(cx, endpoint(leg), playing);
            }
        }
    }

    fn heard_by(&self, leg: LegId, interlude: Option<Interlude>) -> Option<Playing> {
        let own = self
            .legs
            .get(&leg)
            .filter(|own| own.session.is_confirmed())?;
        let other = self.legs.get(&self.other(leg)?)?;
        let interlude = interlude.filter(|interlude| interlude.transferee == leg);
        let entertained = self.entertained(own, other, interlude);
        let fills = own.session.style().trunk.sounds.fills_pauses && interwork::listens(&own.image);
        let quiet_ms = PAUSE_MS;
        entertained.or_else(|| fills.then(|| forever(Sound::Noise, Beside::First { quiet_ms })))
    }

    /// What a party hears that waits, if there is anything for it.
    fn entertained(&self, own: &Leg, other: &Leg, interlude: Option<Interlude>) -> Option<Playing> {
        let trunk = &own.session.style().trunk;
        let waits = interwork::is_left_waiting(&own.image, &other.image);
        let Some(interlude) = interlude else {
            let music = music(&self.config, trunk).filter(|_| waits)?;
            return Some(forever(music, Beside::Muted));
        };
        if !interwork::listens(&own.image) {
            return None;
        }
        let music = music(&self.config, trunk);
        // No phone rings by itself for who talks already: without music the tone is ours, whoever makes it
        // before the answer (TDR-XFR-016).
        let is_asked = trunk
            .progress
            .ringback
            .is_some_and(|own| own != Ringback::Remote);
        let is_ours = is_asked || music.is_none();
        let sound = match interlude.has_rung && is_ours {
            true => Sound::Tone(trunk.progress.tones.tone(Signal::Ringback)),
            false => music?,
        };
        // The transferor may still be heard, and the target early; a held party hears neither.
        let beside = match waits && !interlude.is_described {
            true => Beside::Muted,
            false => Beside::First { quiet_ms: QUIET_MS },
        };
        Some(forever(sound, beside))
    }
}

/// What a trunk lets a waiting party hear.
fn music(config: &Config, trunk: &Trunk) -> Option<Sound> {
    match &trunk.sounds.music {
        Music::None => None,
        Music::Silence => Some(Sound::Tone(silence())),
        Music::Recording(name) => Some(Sound::Recording(config.sounds.get(name)?.id)),
    }
}

/// What an announcement is, and how long it lasts.
pub(super) fn announced(
    config: &Config,
    tones: &Tones,
    what: &Announcement,
) -> Option<(Playing, Duration)> {
    let (sound, times, length) = match what {
        Announcement::Busy => repeated(tones.tone(Signal::Busy)),
        Announcement::Congestion => repeated(tones.tone(Signal::Congestion)),
        Announcement::Recording(name) => {
            let own = config.sounds.get(name)?;
            (Sound::Recording(own.id), 1, own.length())
        }
    };
    let playing = Playing {
        sound,
        times: Some(times),
        beside: Beside::Muted,
    };
    Some((playing, length))
}

/// A tone as often as it takes to be understood.
fn repeated(tone: Tone) -> (Sound, u16, Duration) {
    let all = tone.phases.iter().map(|phase| u64::from(phase.ms));
    let once = all.sum::<u64>().max(1);
    let times = u16::try_from(TONE_MS.div_ceil(once)).unwrap_or(u16::MAX);
    let length = Duration::from_millis(once * u64::from(times));
    (Sound::Tone(tone), times, length)
}

/// Something that is heard until it is ended.
pub(super) fn forever(sound: Sound, beside: Beside) -> Playing {
    Playing {
        sound,
        times: None,
        beside,
    }
}
