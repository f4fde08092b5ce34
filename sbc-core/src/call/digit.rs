//! Keys that one party presses and the other is told of (SIP-1310, SIP-1312, MED-225).
//!
//! Each leg is told of keys in one way at a time, and so a digit never reaches a peer twice. Where both legs
//! have events, or both tones, these pass as they are, and the relay says when, of tones only where INFO is
//! taken: INFO about a key waits for its event or tone. If none comes, the party presses by INFO alone, and
//! from then on all its keys are told by us. Where the two are told differently, they always
//! are: the relay takes digits out of the media and reports them, or INFO brings them, and each is told in the
//! way of the other leg: dialled by the relay, or in an INFO of its own. Of a party that says the same by
//! media and by INFO, what comes second is left out.

use super::keys::{Info, MOST_WAITING, Source};
use super::{Call, Leg, Operation, Timer, endpoint};
use crate::event::Happened;
use crate::id::LegId;
use crate::media::Dtmf;
use crate::plane::Cx;
use crate::policy::crossing::Pressed;
use crate::record::DigitWay;
use crate::sip::Method;
use media_api::{Dialled, Digit, Intake, Signal};

/// How a leg's peer is told of keys, and tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Means {
    /// As events of RFC 4733.
    Events,
    /// In INFO.
    Info,
    /// As tones in audio that the relay makes.
    Tones,
    /// By nothing that we could make or find: events were not agreed, or the relay has not the codec. Tones
    /// pass with the audio, INFO crosses as far as the trunks let it.
    Other,
}

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
            let Some(leg) = self.legs.get_mut(&from) else {
                continue;
            };
            let intake = means.intake(other, leg.info());
            if leg.keys.intake != intake {
                leg.keys.direct(intake, cx.now.mono);
                self.media.take(cx, endpoint(from), intake);
                self.tell_waiting(cx);
            }
        }
    }

    /// The relay has seen an event begin that goes on to the other party.
    pub(super) fn digit_begins(&mut self, cx: &mut Cx<'_>, leg: LegId, digit: Digit) {
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.keys.begins(digit);
        }
        self.tell_waiting(cx);
    }

    /// The relay has found a digit in what a party sends.
    pub(super) fn digit_heard(&mut self, cx: &mut Cx<'_>, leg: LegId, pressed: Pressed) {
        if matches!(self.operation, Some(Operation::Teardown(_))) {
            return;
        }
        let Some(from) = self.legs.get_mut(&leg) else {
            return;
        };
        let is_known = from.keys.is_known(pressed, cx.now.mono);
        if let (false, Some(other)) = (is_known, self.listener(leg)) {
            self.tell_digit(cx, other, pressed);
        }
        self.tell_waiting(cx);
    }

    /// Tells keys that INFO has brought and no event, where there should have been one.
    pub(super) fn tell_waiting(&mut self, cx: &mut Cx<'_>) {
        let Some((a, b)) = self.talking() else {
            return;
        };
        self.timers.stop(Timer::Keys as usize);
        if matches!(self.operation, Some(Operation::Teardown(_))) {
            return;
        }
        for (from, other) in [(a, b), (b, a)] {
            let Some(leg) = self.legs.get_mut(&from) else {
                continue;
            };
            match leg.keys.due() {
                Some(due) if due <= cx.now.mono => {}
                Some(due) => {
                    self.timers.set_by(Timer::Keys as usize, due);
                    continue;
                }
                None => continue,
            }
            let waiting = leg.keys.give_up();
            // From here on the relay takes out what may still come of them.
            self.direct_digits(cx);
            for key in waiting.into_iter().filter(|key| key.to == other) {
                self.press(cx, from, other, key.pressed);
            }
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
        let Some(from) = self.legs.get_mut(&leg) else {
            return false;
        };
        match (means, theirs) {
            (Means::Events, Means::Events) | (Means::Tones, Means::Tones)
                if from.info() != Info::Alone =>
            {
                let is_taken = from.keys.wait(pressed, other, cx.now.mono);
                if let (false, Some(trunk)) = (is_taken, self.trunk_of(leg)) {
                    let (trunk, most) = (trunk.name.clone(), MOST_WAITING);
                    let what = Happened::KeyLost { trunk, most };
                    cx.out.emit(Some(self.id), Some(leg), what);
                }
                self.tell_waiting(cx);
                return true;
            }
            (_, Means::Events | Means::Tones) => {
                self.press(cx, leg, other, pressed);
                return true;
            }
            (_, Means::Info | Means::Other) => {}
        }
        from.keys.repeats(Source::Info, pressed, cx.now.mono)
    }

    /// Tells a key that INFO has brought, unless the media have.
    fn press(&mut self, cx: &mut Cx<'_>, leg: LegId, other: LegId, pressed: Pressed) {
        let Some(from) = self.legs.get_mut(&leg) else {
            return;
        };
        if !from.keys.repeats(Source::Info, pressed, cx.now.mono) {
            self.tell_digit(cx, other, pressed);
        }
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

    /// The two parties whose media meet: of a set-up and of a transfer those that hear each other early, because a
    /// mailbox may want to hear keys before it answers (TDR-MED-024).
    pub(super) fn talking(&self) -> Option<(LegId, LegId)> {
        let early = match &self.operation {
            Some(Operation::Setup(_)) if self.bridge.is_none() => self.joined_legs(),
            Some(Operation::Transfer(_)) => self.joined_legs(),
            _ => None,
        };
        early.or(self.bridge)
    }

    fn joined_legs(&self) -> Option<(LegId, LegId)> {
        let (a, b) = self.media.joined()?;
        let leg = |wanted| {
            self.legs
                .keys()
                .copied()
                .find(|leg| endpoint(*leg) == wanted)
        };
        Some((leg(a)?, leg(b)?))
    }

    /// Who hears this party.
    pub(super) fn listener(&self, leg: LegId) -> Option<LegId> {
        let (a, b) = self.talking()?;
        [(a, b), (b, a)]
            .into_iter()
            .find_map(|(from, to)| (from == leg).then_some(to))
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
    /// How digits travel on it, for the record.
    pub(super) fn digit_way(&self) -> Option<DigitWay> {
        match self.means() {
            Means::Events => Some(DigitWay::Rfc4733),
            Means::Info => Some(DigitWay::Info),
            Means::Tones => Some(DigitWay::Inband),
            Means::Other => None,
        }
    }

    fn info(&self) -> Info {
        let allow = &self.session.style().trunk.allow;
        self.keys.info(allow.contains(&Method::Info))
    }

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
    /// What becomes of the digits in the media of such a leg, given how the other one is told. Of a party
    /// that presses by INFO alone, events that it sends after all are told by us like its INFOs, in one row.
    fn intake(self, other: Self, info: Info) -> Intake {
        match (self, other, info) {
            (Self::Events, Self::Events, Info::Refused | Info::Beside) => Intake::Watch,
            (Self::Tones, Self::Tones, Info::Beside) => Intake::Listen,
            (Self::Events, Self::Events, Info::Alone)
            | (Self::Events, Self::Info | Self::Tones, _) => Intake::Events,
            (Self::Tones, Self::Tones, Info::Alone)
            | (Self::Tones, Self::Events | Self::Info, _) => Intake::Tones,
            // To look for tones costs more than to pass them on.
            (Self::Tones, Self::Tones, Info::Refused)
            | (Self::Events | Self::Tones, Self::Other, _)
            | (Self::Info | Self::Other, _, _) => Intake::Pass,
        }
    }
}
