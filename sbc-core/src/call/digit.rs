//! Keys that one party presses and the other is told of (SIP-1310, SIP-1312, MED-225).
//!
//! Each leg is told of keys in one way at a time, and so a digit never reaches a peer twice. Where both legs
//! have events, or both have tones, media pass as they are, and INFO beside them only repeats. Otherwise the
//! relay takes digits out of the media and reports them, or INFO brings them, and each is told in the way
//! of the other leg: dialled by the relay, or in an INFO of its own. Of a party that says the same by
//! media and by INFO, what comes second is left out.

use super::{Call, Leg, Operation, endpoint};
use crate::id::LegId;
use crate::media::Dtmf;
use crate::plane::Cx;
use crate::policy::crossing::Pressed;
use crate::sip::Method;
use crate::time::Timestamp;
use media_api::{Dialled, Digit, Intake, Signal};
use std::collections::VecDeque;
use std::time::Duration;

/// How a leg's peer is told of keys, and tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Means {
    /// As events of RFC 4733.
    Events,
    /// In INFO.
    Info,
    /// As tones in G.711 audio.
    Tones,
    /// By nothing that we could make or find: events were not agreed, or the audio is no G.711. Tones
    /// pass with the audio, INFO crosses as far as the trunks let it.
    Other,
}

/// What is known of the keys of a leg's peer.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// What the relay was told to do with its digits.
    intake: Intake,
    /// Keys told to the other party not long ago.
    told: VecDeque<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    digit: Digit,
    by: Source,
    at: Timestamp,
}

/// How a party has told of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Media,
    Info,
}

/// Keys remembered of one party.
const REMEMBERED: usize = 8;

/// Between media and INFO about the same key, beyond the time that it was pressed for.
const APART: Duration = Duration::from_millis(500);

impl Call {
    /// Tells the relay what to do with the digits of the two parties, where that has changed.
    pub(super) fn direct_digits(&mut self, cx: &mut Cx<'_>) {
        let Some((a, b)) = self.talking().filter(|_| self.media.is_active()) else {
            return;
        };
        for (from, to) in [(a, b), (b, a)] {
            let (Some(means), Some(other)) = (self.means(from), self.means(to)) else {
                continue;
            };
            let intake = means.intake(other);
            let Some(leg) = self.legs.get_mut(&from) else {
                continue;
            };
            if leg.keys.intake != intake {
                leg.keys.intake = intake;
                self.media.take(cx, endpoint(from), intake);
            }
        }
    }

    /// The relay has found a digit in what a party sends.
    pub(super) fn digit_heard(&mut self, cx: &mut Cx<'_>, leg: LegId, pressed: Pressed) {
        if matches!(self.operation, Some(Operation::Teardown(_))) {
            return;
        }
        let other = self.talking().and_then(|(a, b)| match leg {
            leg if leg == a => Some(b),
            leg if leg == b => Some(a),
            _ => None,
        });
        let (Some(other), Some(from)) = (other, self.legs.get_mut(&leg)) else {
            return;
        };
        if !from.keys.repeats(Source::Media, pressed, cx.now.mono) {
            self.tell_digit(cx, other, pressed);
        }
    }

    /// A party has sent INFO about a key. Says whether that is all there is to it, because the other
    /// party is told otherwise or has been told; else the request itself crosses.
    pub(super) fn pressed(
        &mut self,
        cx: &mut Cx<'_>,
        leg: LegId,
        other: LegId,
        pressed: Pressed,
    ) -> bool {
        let (Some(means), Some(theirs)) = (self.means(leg), self.means(other)) else {
            return false;
        };
        let is_in_media = means == theirs && matches!(means, Means::Events | Means::Tones);
        if is_in_media {
            return true;
        }
        let Some(from) = self.legs.get_mut(&leg) else {
            return false;
        };
        if from.keys.repeats(Source::Info, pressed, cx.now.mono) {
            return true;
        }
        let is_dialled = matches!(theirs, Means::Events | Means::Tones);
        if is_dialled {
            self.tell_digit(cx, other, pressed);
        }
        is_dialled
    }

    /// A peer has not taken an INFO of ours. One that takes none at all is told in another way from now
    /// on, and of this key as well.
    pub(super) fn digit_refused(&mut self, cx: &mut Cx<'_>, leg: LegId, pressed: Pressed) {
        if self.means(leg).is_some_and(|means| means != Means::Info) {
            self.tell_digit(cx, leg, pressed);
        }
    }

    fn tell_digit(&mut self, cx: &mut Cx<'_>, leg: LegId, pressed: Pressed) {
        let signal = match self.means(leg) {
            Some(Means::Events) => Signal::Event,
            Some(Means::Tones) => Signal::Tone,
            Some(Means::Info) if self.takes_info(leg) => {
                return self.convey_digit(cx, leg, pressed);
            }
            // What a peer's Allow leaves out it is not sent (SIP-300).
            Some(Means::Info | Means::Other) | None => return,
        };
        if self.media.is_active() {
            let dialled = Dialled {
                digit: pressed.digit,
                duration_ms: pressed.duration_ms,
                signal,
            };
            self.media.dial(cx, endpoint(leg), dialled);
        }
    }

    /// The two parties whose media meet: of a set-up those that hear each other early, because a mailbox may
    /// want to hear keys before it answers (TDR-MED-024).
    fn talking(&self) -> Option<(LegId, LegId)> {
        if self.bridge.is_some() || !matches!(self.operation, Some(Operation::Setup(_))) {
            return self.bridge;
        }
        let (a, b) = self.media.joined()?;
        let leg = |wanted| {
            self.legs
                .keys()
                .copied()
                .find(|leg| endpoint(*leg) == wanted)
        };
        Some((leg(a)?, leg(b)?))
    }

    fn takes_info(&self, leg: LegId) -> bool {
        let leg = self.legs.get(&leg);
        leg.is_some_and(|leg| leg.session.takes(&Method::Info))
    }

    fn means(&self, leg: LegId) -> Option<Means> {
        self.legs.get(&leg).map(Leg::means)
    }
}

impl Leg {
    fn means(&self) -> Means {
        // Before the answer it is what an early description says.
        let agreed = self.image.committed().or(self.image.latest());
        let agreed = agreed.filter(|_| !self.image.is_fax());
        let has_events = agreed.is_some_and(|agreed| agreed.has_telephone_events());
        let tones = match agreed.is_some_and(|agreed| agreed.has_tones()) {
            true => Means::Tones,
            false => Means::Other,
        };
        match self.image.profile().dtmf {
            Dtmf::Rfc4733 | Dtmf::Auto if has_events => Means::Events,
            Dtmf::Rfc4733 => Means::Other,
            Dtmf::Info => Means::Info,
            Dtmf::Auto if self.session.takes(&Method::Info) => Means::Info,
            Dtmf::Auto | Dtmf::Inband => tones,
        }
    }
}

impl Means {
    /// What becomes of the digits in the media of such a leg, given how the other one is told.
    fn intake(self, other: Self) -> Intake {
        match (self, other) {
            (Self::Events, Self::Info | Self::Tones) => Intake::Events,
            (Self::Tones, Self::Events | Self::Info) => Intake::Tones,
            (Self::Events, Self::Events | Self::Other)
            | (Self::Tones, Self::Tones | Self::Other)
            | (Self::Info | Self::Other, _) => Intake::Pass,
        }
    }
}

impl Keys {
    /// Whether the other party has been told of this key already, because this one told of it in another
    /// way. If not, it is remembered.
    fn repeats(&mut self, by: Source, pressed: Pressed, now: Timestamp) -> bool {
        let pressed_for = Duration::from_millis(u64::from(pressed.duration_ms));
        // INFO may come when a key goes down, media tell of it when it is up again.
        let apart = match by {
            Source::Media => APART + pressed_for,
            Source::Info => APART,
        };
        let is_same = |told: &Told| {
            told.digit == pressed.digit && told.by != by && now.since(told.at) <= apart
        };
        if let Some(at) = self.told.iter().position(is_same) {
            self.told.remove(at);
            return true;
        }
        self.told.truncate(REMEMBERED - 1);
        self.told.push_front(Told {
            digit: pressed.digit,
            by,
            at: now,
        });
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_told_in_two_ways_is_one_and_two_keys_are_two() {
        let mut keys = Keys::default();
        let key = |symbol, duration_ms| Pressed {
            digit: Digit::from_char(symbol).unwrap(),
            duration_ms,
        };
        let mut at = |ms: u64, by, symbol, duration_ms| {
            let now = Timestamp::ZERO + Duration::from_millis(ms);
            keys.repeats(by, key(symbol, duration_ms), now)
        };
        // Twice the same key, each by both.
        assert!(!at(0, Source::Info, '5', 100));
        assert!(at(100, Source::Media, '5', 100));
        assert!(!at(300, Source::Media, '5', 100));
        assert!(at(310, Source::Info, '5', 100));
        // A long one: INFO came at its beginning.
        assert!(!at(1_000, Source::Info, '7', 100));
        assert!(at(4_000, Source::Media, '7', 2_900));
        // By one of both only, and later by the other.
        assert!(!at(5_000, Source::Info, '1', 100));
        assert!(!at(5_100, Source::Info, '1', 100));
        assert!(!at(5_800, Source::Media, '1', 100));
        assert!(!at(5_810, Source::Media, '2', 100));
    }

    #[test]
    fn what_a_party_says_takes_no_memory() {
        let mut keys = Keys::default();
        for at in 0..100 {
            let pressed = Pressed {
                digit: Digit::from_event(at % 16).unwrap(),
                duration_ms: 100,
            };
            keys.repeats(Source::Info, pressed, Timestamp::ZERO);
        }
        assert_eq!(keys.told.len(), REMEMBERED);
    }
}
