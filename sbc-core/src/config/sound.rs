//! What callers and held parties hear of ours: recordings of the node, and which of them a trunk's peers
//! hear when (SIP-551, SIP-804, SIP-1340).

use super::file::pairs;
use super::finding::Collector;
use super::read::Section;
use super::reference::Form;
use super::source::At;
use crate::id::SoundName;
use media_api::SoundId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Samples of a second: everything is played at the rate of G.711.
pub const SAMPLES_PER_SECOND: usize = 8_000;

/// Longest recording.
pub const LONGEST_RECORDING: Duration = Duration::from_secs(600);

/// Most samples of all recordings together, 32 MiB: about 35 minutes.
pub const MOST_SAMPLES: usize = 16 << 20;

/// Longest announcement: a caller that waits for the end of its call is not to wait for long.
pub const LONGEST_ANNOUNCEMENT: Duration = Duration::from_secs(60);

/// One recording, as it was read from its file.
#[derive(Clone, PartialEq, Eq)]
pub struct Recording {
    /// The relay's name for it. Another one after every change of what is heard.
    pub id: SoundId,
    /// Linear samples, 8,000 a second, one channel, at least one.
    pub samples: Arc<[i16]>,
}

impl Recording {
    /// How long it lasts.
    pub fn length(&self) -> Duration {
        let us = self.samples.len() as u64 * 1_000_000 / SAMPLES_PER_SECOND as u64;
        Duration::from_micros(us)
    }
}

/// Without the samples.
impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("id", &self.id)
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}

/// What the peers of a trunk hear of ours.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SoundPolicy {
    /// What a party hears while it is on hold or being transferred.
    pub music: Music,
    /// Whether a party gets soft noise while the other one sends nothing: for peers that take long gaps for a
    /// failure (TDR-MED-023).
    pub fills_pauses: bool,
    /// What a caller hears before it is refused, by the status that it is refused with.
    pub announce: BTreeMap<u16, Announcement>,
}

/// What a waiting party hears.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Music {
    /// Nothing of ours: no packets are made for it.
    #[default]
    None,
    /// Packets of silence, for peers that end calls without packets.
    Silence,
    /// A recording, again and again.
    Recording(SoundName),
}

/// What a caller hears before it is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Announcement {
    /// The busy tone of its country.
    Busy,
    /// The congestion tone of its country.
    Congestion,
    /// A recording, once.
    Recording(SoundName),
}

/// Words that say what is heard, so that no recording may have such a name.
pub(super) const RESERVED: [&str; 5] = ["none", "silence", "busy", "congestion", "ringback"];

/// A recording as it is written.
pub(super) struct WrittenSound {
    pub(super) name: At<String>,
    pub(super) file: Option<At<String>>,
}

pub(super) fn sound(
    name: At<String>,
    mut section: Section<'_>,
    out: &mut Collector,
) -> WrittenSound {
    let file = section.required_text("file", "\"moh.wav\"", out);
    section.finish(&[], out);
    WrittenSound { name, file }
}

/// The keys of a trunk about sounds, as they are written.
#[derive(Default)]
pub(super) struct WrittenSounds {
    pub(super) music: Option<At<String>>,
    pub(super) fill_pauses: Option<At<bool>>,
    pub(super) local_moh: Option<At<bool>>,
    pub(super) announce: Vec<(At<String>, At<String>)>,
}

pub(super) fn of_trunk(section: &mut Section<'_>, out: &mut Collector) -> WrittenSounds {
    section.notes("announce", Form::Pairs, out);
    let announce = section.take("announce");
    WrittenSounds {
        music: section.text("music", out),
        fill_pauses: section.boolean("fill_pauses", out),
        local_moh: section.boolean("local_moh", out),
        announce: announce.map_or_else(Vec::new, |item| {
            pairs(&item, &section.title, "announce", out)
        }),
    }
}
