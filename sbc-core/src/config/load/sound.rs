//! Sounds: what the files hold, and what the trunks make of them.

use super::{Load, chosen, titled};
use crate::config::Config;
use crate::config::facts::FileFault;
use crate::config::finding::Code;
use crate::config::preset::Defaults;
use crate::config::sound::{
    Announcement, LONGEST_ANNOUNCEMENT, LONGEST_RECORDING, MOST_SAMPLES, Music, RESERVED,
    Recording, SoundPolicy, WrittenSound, WrittenSounds,
};
use crate::config::source::At;
use crate::config::written::File;
use crate::id::SoundName;
use crate::media::{HoldForm, OneWay, Profile};
use media_api::SoundId;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Load<'_> {
    pub(super) fn build_sounds(&mut self, file: &File, previous: Option<&Config>) {
        let folder = file.node.as_ref().and_then(|node| node.sounds.as_ref());
        if let Some(folder) = folder
            && !folder.value.starts_with('/')
        {
            self.out.add(
                Code::BadForm,
                &folder.span,
                format!(
                    "node: sounds \"{}\" is not absolute",
                    folder.value.escape_debug()
                ),
                Some("write sounds = \"/var/lib/causeway/sounds\"".to_owned()),
            );
            return;
        }
        let mut ids = Ids::after(previous);
        let mut samples = 0;
        for written in &file.sounds {
            let is_new = self.sounds.declare(&written.name, &mut self.out);
            let Some(recording) = self.recording(folder, written, &mut ids) else {
                continue;
            };
            samples += recording.samples.len();
            if samples > MOST_SAMPLES {
                self.out.add(
                    Code::OutOfRange,
                    &written.name.span,
                    "all recordings together are too long",
                    Some("shorten some: 34 minutes fit".to_owned()),
                );
                return;
            }
            if is_new {
                let name = SoundName::new(&written.name.value);
                let own = (Arc::new(recording), written.name.span.clone());
                self.sounds.valid.insert(name, own);
            }
        }
    }

    fn recording(
        &mut self,
        folder: Option<&At<String>>,
        written: &WrittenSound,
        ids: &mut Ids<'_>,
    ) -> Option<Recording> {
        let name = &written.name;
        let title = titled("sound", &name.value);
        if RESERVED.contains(&name.value.as_str()) {
            self.out.add(
                Code::BadForm,
                &name.span,
                format!("{title}: this word says something else where sounds are named"),
                Some("choose another name".to_owned()),
            );
        }
        let Some(folder) = folder else {
            self.out.add(
                Code::MissingKey,
                &name.span,
                format!("{title}: it is not said where sounds are"),
                Some("write sounds = \"/var/lib/causeway/sounds\" under [node]".to_owned()),
            );
            return None;
        };
        let file = written.file.as_ref()?;
        if !is_plain_name(&file.value) {
            self.out.add(
                Code::BadForm,
                &file.span,
                format!(
                    "{title}: \"{}\" is not the name of a file",
                    file.value.escape_debug()
                ),
                Some("write the name alone: all sounds are in the folder of [node]".to_owned()),
            );
            return None;
        }
        let samples = match self.facts.recording(&folder.value, &file.value) {
            Ok(samples) => samples,
            Err(fault) => {
                self.unusable(&title, file, fault);
                return None;
            }
        };
        let recording = Recording {
            id: ids.of(&SoundName::new(&name.value), &samples),
            samples,
        };
        if recording.length() > LONGEST_RECORDING {
            self.out.add(
                Code::OutOfRange,
                &file.span,
                format!("{title}: it is {} s long", recording.length().as_secs()),
                Some(format!("shorten it to {} s", LONGEST_RECORDING.as_secs())),
            );
            return None;
        }
        Some(recording)
    }

    fn unusable(&mut self, title: &str, file: &At<String>, fault: FileFault) {
        let (code, why, help) = match fault {
            FileFault::Unreadable(why) => (
                Code::FileUnreadable,
                why,
                "put it into the folder of [node], readable for the user of the daemon",
            ),
            FileFault::Unusable(why) => (
                Code::BadRecording,
                why,
                "convert it: sox in.wav -r 8000 -c 1 -b 16 out.wav",
            ),
        };
        let name = file.value.escape_debug();
        let what = format!("{title}: {name}: {why}");
        self.out.add(code, &file.span, what, Some(help.to_owned()));
    }

    /// What the peers of a trunk hear. Whether music may be sent to who is told of a hold is said to its
    /// media.
    pub(super) fn sounds(
        &mut self,
        title: &str,
        written: &WrittenSounds,
        defaults: &Defaults,
        profile: &mut Profile,
    ) -> SoundPolicy {
        let music = match &written.music {
            None => Music::None,
            Some(at) => match at.value.as_str() {
                "none" => Music::None,
                "silence" => Music::Silence,
                _ => match self.sounds.find(at, title, &mut self.out) {
                    Some(_) => Music::Recording(SoundName::new(&at.value)),
                    None => Music::None,
                },
            },
        };
        if let Some(at) = written.local_moh.as_ref().filter(|at| at.value) {
            let contradiction = match (&music, profile.hold, profile.one_way) {
                _ if written.music.is_none() => Some((
                    "there is no music",
                    "write music = \"…\" too, or remove the key",
                )),
                (_, HoldForm::Inactive, _) => Some((
                    "who is told \"inactive\" hears nothing",
                    "write hold = \"sendonly\" too, or remove the key",
                )),
                (_, _, OneWay::Never) => Some((
                    "this peer is told \"inactive\" whatever is written, and hears nothing then",
                    "write hold = \"hidden\" instead, or remove the key",
                )),
                (_, HoldForm::SendOnly | HoldForm::Zero | HoldForm::Hidden, _) => None,
            };
            if let Some((why, help)) = contradiction {
                self.out.add(
                    Code::Contradiction,
                    &at.span,
                    format!("{title}: local_moh has no effect: {why}"),
                    Some(help.to_owned()),
                );
            }
            profile.plays_music = true;
        }
        let mut announce = BTreeMap::new();
        for (status, sound) in &written.announce {
            let own = self.announcement(title, sound);
            let code = status.value.parse().ok();
            let code = code.filter(|code| (400..=699).contains(code) && status.value.len() == 3);
            match (code, own) {
                (Some(code), Some(own)) => {
                    announce.insert(code, own);
                }
                (None, _) => self.out.add(
                    Code::BadForm,
                    &status.span,
                    format!(
                        "{title}: announce: \"{}\" is no status that refuses a call",
                        status.value.escape_debug()
                    ),
                    Some("write announce = { \"404\" = \"…\" }".to_owned()),
                ),
                (Some(_), None) => {}
            }
        }
        SoundPolicy {
            music,
            fills_pauses: chosen(&written.fill_pauses, defaults.fills_pauses),
            announce,
        }
    }

    fn announcement(&mut self, title: &str, sound: &At<String>) -> Option<Announcement> {
        match sound.value.as_str() {
            "busy" => return Some(Announcement::Busy),
            "congestion" => return Some(Announcement::Congestion),
            _ => {}
        }
        let (recording, _) = self.sounds.find(sound, title, &mut self.out)?;
        if recording.length() > LONGEST_ANNOUNCEMENT {
            self.out.add(
                Code::OutOfRange,
                &sound.span,
                format!(
                    "{title}: announce: it is {} s long",
                    recording.length().as_secs()
                ),
                Some(format!(
                    "announce what lasts {} s at most",
                    LONGEST_ANNOUNCEMENT.as_secs()
                )),
            );
        }
        Some(Announcement::Recording(SoundName::new(&sound.value)))
    }
}

/// Whether this names a file in a folder, and nothing above or below it.
fn is_plain_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && !name.starts_with('.')
        && !name.contains(['/', '\\'])
        && !name.contains(char::is_control)
}

/// Names for the relay: what is heard as before keeps its own, and none is ever used again.
struct Ids<'c> {
    known: Option<&'c BTreeMap<SoundName, Arc<Recording>>>,
    next: u32,
}

/// Names of one load; more recordings than that do not fit into [`MOST_SAMPLES`] in any useful length.
const IDS_OF_ONE_LOAD: u32 = 4_096;

impl<'c> Ids<'c> {
    fn after(previous: Option<&'c Config>) -> Self {
        let loads = previous.map_or(0, |config| config.generation);
        Self {
            known: previous.map(|config| &config.sounds),
            next: (loads as u32).wrapping_mul(IDS_OF_ONE_LOAD),
        }
    }

    fn of(&mut self, name: &SoundName, samples: &Arc<[i16]>) -> SoundId {
        let known = self.known.and_then(|known| known.get(name));
        match known.filter(|known| known.samples == *samples) {
            Some(known) => known.id,
            None => {
                self.next = self.next.wrapping_add(1);
                SoundId(self.next)
            }
        }
    }
}
