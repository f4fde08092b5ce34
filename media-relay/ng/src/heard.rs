//! What the two parties of a call hear of each other beside what they have agreed on, and what they hear of ours.
//!
//! What is wanted is kept here, and what the relay was told; commands are the difference. So it does not matter in
//! which order a proxy blocks, silences and plays, or whether the other party answers in between.

use crate::request::Reason;
use crate::running::{Held, Pick};
use media_api::{
    Beside, Command, Content, Dialled, Digit, EndpointId, FormatKind, Intake, NegotiatedStream,
    Playing, SessionId, Signal, Sound, SoundId,
};
use std::net::IpAddr;

/// Silence begins this long behind the last key that passes, in milliseconds.
const QUIET_MS: u16 = 100;

/// What of somebody is kept back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Holds {
    media: bool,
    digits: bool,
    sound: bool,
}

impl Holds {
    fn of(&mut self, what: Held) -> &mut bool {
        match what {
            Held::Media => &mut self.media,
            Held::Digits => &mut self.digits,
            Held::Sound => &mut self.sound,
        }
    }

    const fn or(self, other: Self) -> Self {
        Self {
            media: self.media || other.media,
            digits: self.digits || other.digits,
            sound: self.sound || other.sound,
        }
    }
}

/// Who is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Picked {
    Call,
    Party(usize),
}

/// One party as orders name it, and what it can be told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ear {
    label: Option<String>,
    addresses: Vec<IpAddr>,
    /// A recording that it hears.
    recording: Option<SoundId>,
    /// Whether it has agreed to a format that we can make.
    can_hear: bool,
    /// Whether that is one in which keys can sound.
    has_tones: bool,
    /// Whether it has agreed to events.
    has_events: bool,
    holds: Holds,
    /// What the relay was told: that this party is blocked, its digits are, and it hears silence.
    told: (bool, bool, bool),
}

/// Both parties.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ears {
    both: [Ear; 2],
    /// What is kept back of both.
    holds: Holds,
}

impl Ears {
    /// What a party calls itself, and where it wants media.
    pub(crate) fn describe(
        &mut self,
        party: usize,
        label: Option<&str>,
        addresses: impl Iterator<Item = IpAddr>,
    ) {
        let Some(own) = self.both.get_mut(party) else {
            return;
        };
        if let Some(label) = label {
            own.label = Some(label.to_owned());
        }
        own.addresses = addresses.collect();
    }

    /// What a party calls itself.
    pub(crate) fn label(&self, party: usize) -> Option<&str> {
        self.both.get(party)?.label.as_deref()
    }

    /// What was agreed with a party.
    pub(crate) fn agree(&mut self, party: usize, streams: &[Option<NegotiatedStream>]) {
        let Some(own) = self.both.get_mut(party) else {
            return;
        };
        let audio = || {
            let streams = streams.iter().flatten();
            let audio = streams.filter(|stream| stream.content == Content::Rtp);
            audio.flat_map(|stream| &stream.payloads)
        };
        let has = |names: &[&str], clock_hz| {
            audio().any(|one| one.format.clock_hz == clock_hz && names.contains(&&*one.format.name))
        };
        own.has_tones = has(&["PCMA", "PCMU", "G722"], 8_000) || has(&["OPUS"], 48_000);
        own.can_hear = own.has_tones || has(&["L16"], 8_000);
        own.has_events = audio().any(|one| one.format.kind == FormatKind::Event);
    }

    /// The party that is meant by name, if any is named.
    pub(crate) fn named(
        &self,
        pick: &Pick<'_>,
        tags: [Option<&str>; 2],
    ) -> Result<Option<usize>, Reason> {
        let by = |is_it: &dyn Fn(usize, &Ear) -> bool, what: &str| {
            let mut all = self.both.iter().enumerate();
            let found = all.find(|(at, own)| is_it(*at, own)).map(|(at, _)| at);
            found
                .map(Some)
                .ok_or_else(|| format!("no party of this call has this {what}"))
        };
        if let Some(label) = pick.label {
            return by(&|_, own| own.label.as_deref() == Some(label), "label");
        }
        if let Some(address) = pick.address {
            return by(&|_, own| own.addresses.contains(&address), "address");
        }
        match pick.tag {
            Some(tag) => by(&|at, _| tags[at] == Some(tag), "from-tag"),
            None => Ok(None),
        }
    }

    /// Keeps something back from now on, or not any more.
    pub(crate) fn hold(&mut self, whom: Picked, what: Held, is_held: bool) {
        match whom {
            Picked::Call => *self.holds.of(what) = is_held,
            Picked::Party(at) => {
                if let Some(own) = self.both.get_mut(at) {
                    *own.holds.of(what) = is_held;
                }
            }
        }
    }

    /// Whether a party can be played something, and why not.
    pub(crate) fn can_hear(&self, party: usize) -> Result<(), Reason> {
        match self.both.get(party).is_some_and(|own| own.can_hear) {
            true => Ok(()),
            false => Err(
                "a recording is heard in PCMA, PCMU, L16 at 8 kHz, G722 or opus, and this party has agreed on none of them"
                    .into(),
            ),
        }
    }

    /// A party hears this recording from now on, or none any more.
    pub(crate) fn play(
        &mut self,
        session: SessionId,
        party: usize,
        of: Option<(SoundId, u16)>,
    ) -> Command {
        if let Some(own) = self.both.get_mut(party) {
            own.recording = of.map(|(sound, _)| sound);
            // Whatever else it was hearing is over.
            own.told.2 = false;
        }
        Command::Play {
            session,
            endpoint: endpoint(party),
            playing: of.map(|(sound, times)| Playing {
                sound: Sound::Recording(sound),
                times: Some(times),
                beside: Beside::Muted,
            }),
        }
    }

    /// What a party heard is over. Only recordings end by themselves, or what cannot be played.
    pub(crate) fn played(&mut self, party: usize) {
        if let Some(own) = self.both.get_mut(party)
            && own.recording.take().is_none()
        {
            own.can_hear = false;
        }
    }

    /// A key that a party presses, as the other one is told of it.
    pub(crate) fn press(
        &self,
        session: SessionId,
        party: usize,
        (digit, duration_ms): (Digit, u16),
    ) -> Result<Command, Reason> {
        let other = self.both.get(1 - party.min(1));
        let signal = match other {
            Some(own) if own.has_events => Signal::Event,
            Some(own) if own.has_tones => Signal::Tone,
            _ => {
                return Err(
                    "the other party has agreed on none of telephone-event, PCMA, PCMU, G722 and opus"
                        .into(),
                );
            }
        };
        Ok(Command::Dial {
            session,
            endpoint: endpoint(1 - party.min(1)),
            dialled: Dialled {
                digit,
                duration_ms,
                signal,
            },
        })
    }

    /// What the relay has to be told, so that it does what is wanted.
    pub(crate) fn due(&mut self, session: SessionId) -> Vec<Command> {
        let mut commands = Vec::new();
        for party in 0..self.both.len() {
            let holds = self.holds.or(self.both[party].holds);
            // Silence is what the other one hears.
            let theirs = self.holds.or(self.both[1 - party].holds);
            let own = &mut self.both[party];
            let wants_silence =
                theirs.sound && !theirs.media && own.can_hear && own.recording.is_none();
            let wanted = (holds.media || holds.sound, holds.digits, wants_silence);
            let endpoint = endpoint(party);
            if own.told.0 != wanted.0 {
                commands.push(Command::Block {
                    session,
                    endpoint,
                    is_blocked: wanted.0,
                });
            }
            if own.told.1 != wanted.1 {
                commands.push(Command::Take {
                    session,
                    endpoint,
                    intake: match wanted.1 {
                        true => Intake::Events,
                        false => Intake::Pass,
                    },
                });
            }
            // A recording has already taken its place.
            if own.told.2 != wanted.2 && own.recording.is_none() {
                commands.push(Command::Play {
                    session,
                    endpoint,
                    playing: wanted.2.then(|| Playing {
                        sound: Sound::Tone(sbc_core::media::silence()),
                        times: None,
                        beside: Beside::First { quiet_ms: QUIET_MS },
                    }),
                });
            }
            own.told = wanted;
        }
        commands
    }
}

const fn endpoint(party: usize) -> EndpointId {
    EndpointId(if party == 0 { 0 } else { 1 })
}
