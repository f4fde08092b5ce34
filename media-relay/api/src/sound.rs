//! What the relay can let an endpoint hear by itself: tones, music, announcements.

/// One order to play something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Playing {
    /// What is heard.
    pub sound: Sound,
    /// How often it is played, from the beginning each time; `None` until it is ended by another
    /// order. The end of a counted one is told by [`crate::Event::Played`].
    pub times: Option<u16>,
    /// What becomes of the joined endpoint's media meanwhile.
    pub beside: Beside,
}

/// What is played.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sound {
    /// A tone with its cadence.
    Tone(Tone),
    /// A recording that the relay was given.
    Recording(SoundId),
    /// Soft noise without an end, as a quiet room has it: as comfort noise where that was agreed (RFC 3389),
    /// else as audio.
    Noise,
}

/// Name of a recording that the relay was given. Numbers are never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SoundId(pub u32);

/// A tone as ITU-T E.180 describes those of a country: phases that follow each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tone {
    /// The phases, at least one; after the last one comes the first one.
    pub phases: Vec<TonePhase>,
}

/// One phase of a tone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TonePhase {
    /// Frequencies in Hz that sound together, at most two, each below 4,000; zeros are silence, and
    /// so is what no telephone can hear.
    pub hz: [u16; 2],
    /// How long, in milliseconds.
    pub ms: u16,
}

/// What becomes of the joined endpoint's media while something of ours is played.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beside {
    /// It is not heard.
    Muted,
    /// It comes first: what we play pauses with its first packet, and goes on when none has come for
    /// this many milliseconds (SIP-561). Noise begins when so long has passed without any.
    First {
        /// How long nothing has to come; less than 100 ms counts as 100 ms, because packets have a
        /// pace of their own.
        quiet_ms: u16,
    },
}
