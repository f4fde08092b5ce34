//! Recordings that proxies have played: read beside everything else, and kept for the next time.

use crate::config::wav;
use media_api::SoundId;
use media_ng::{Found, Recording};
use media_relay::Recordings;
use sbc_core::config::{FileFault, SAMPLES_PER_SECOND};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Recordings that are kept at most. Who hears one that is given up goes on hearing it.
const KEPT: usize = 64;

/// A file as it was when it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    path: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
}

/// What has become of a recording that was looked for.
#[derive(Debug)]
pub(super) enum Read {
    /// It is kept already, and has not changed.
    Known(Mark),
    /// It was read; from a file, or from the request itself.
    New(Option<Mark>, Arc<[i16]>),
}

/// What is kept, those that were asked for last at the end.
#[derive(Debug, Default)]
pub(super) struct Sounds {
    kept: Vec<Kept>,
    next: u32,
}

#[derive(Debug)]
struct Kept {
    mark: Option<Mark>,
    sound: SoundId,
    samples: Arc<[i16]>,
}

impl Sounds {
    /// The files that are kept.
    pub(super) fn marks(&self) -> Vec<Mark> {
        let marks = self.kept.iter().filter_map(|own| own.mark.clone());
        marks.collect()
    }

    /// Takes a recording in; and all that can be played from now on, where that has changed.
    pub(super) fn keep(&mut self, read: Read) -> Result<(Found, Option<Recordings>), String> {
        let (mark, samples) = match read {
            Read::Known(mark) => {
                let is_it = |own: &Kept| own.mark.as_ref() == Some(&mark);
                let at = self.kept.iter().position(is_it);
                // Others may have taken its place meanwhile.
                let at = at.ok_or("others took its place meanwhile: ask again")?;
                let own = self.kept.remove(at);
                let found = found(own.sound, &own.samples);
                self.kept.push(own);
                return Ok((found, None));
            }
            Read::New(mark, samples) => (mark, samples),
        };
        // The file as it was before is of no more use.
        if let Some(mark) = &mark {
            let is_same = |own: &Kept| own.mark.as_ref().is_some_and(|old| old.path == mark.path);
            self.kept.retain(|own| !is_same(own));
        }
        let sound = SoundId(self.next);
        self.next = self.next.wrapping_add(1);
        let found = found(sound, &samples);
        let mut room = Recordings::MAX_SAMPLES.saturating_sub(samples.len());
        self.kept.push(Kept {
            mark,
            sound,
            samples,
        });
        let mut fitting = 1;
        for own in self.kept.iter().rev().skip(1).take(KEPT - 1) {
            let Some(left) = room.checked_sub(own.samples.len()) else {
                break;
            };
            room = left;
            fitting += 1;
        }
        self.kept.drain(..self.kept.len() - fitting);
        let all = self
            .kept
            .iter()
            .map(|own| (own.sound, Arc::clone(&own.samples)));
        let all = Recordings::new(all).map_err(|fault| fault.to_string())?;
        Ok((found, Some(all)))
    }
}

fn found(sound: SoundId, samples: &[i16]) -> Found {
    let ms = samples.len() * 1_000 / SAMPLES_PER_SECOND;
    Found {
        sound,
        length_ms: u32::try_from(ms).unwrap_or(u32::MAX),
    }
}

/// Looks for a recording. Waits for the disk.
pub(super) fn read(recording: &Recording, known: &[Mark]) -> Result<Read, String> {
    let say = |name: &str, fault: FileFault| match fault {
        FileFault::Unreadable(why) => format!("{name} cannot be read: {why}"),
        FileFault::Unusable(why) => format!("{name} cannot be played: {why}"),
    };
    match recording {
        Recording::Octets(octets) => {
            let samples = wav::decode(octets).map_err(|fault| say("what \"blob\" has", fault))?;
            Ok(Read::New(None, samples.into()))
        }
        Recording::File(name) => {
            let path = Path::new(name);
            let mark = path.metadata().ok().map(|own| Mark {
                path: path.to_owned(),
                modified: own.modified().ok(),
                bytes: own.len(),
            });
            if let Some(mark) = mark.clone().filter(|mark| known.contains(mark)) {
                return Ok(Read::Known(mark));
            }
            let octets = wav::octets_of(path);
            let samples = octets.and_then(|octets| wav::decode(&octets));
            let samples =
                samples.map_err(|fault| say(&format!("\"{}\"", name.escape_debug()), fault))?;
            Ok(Read::New(mark, samples.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(path: &str, bytes: u64, samples: usize) -> Read {
        let mark = Mark {
            path: path.into(),
            modified: None,
            bytes,
        };
        Read::New(Some(mark), vec![1; samples].into())
    }

    #[test]
    fn what_was_asked_for_last_is_kept_within_what_the_relay_takes() {
        let mut sounds = Sounds::default();
        let third = Recordings::MAX_SAMPLES / 3;
        let first = sounds.keep(new("a", 1, third)).unwrap().0;
        assert_eq!(first.length_ms as usize, third / 8);
        sounds.keep(new("b", 1, third)).unwrap();
        let (a, b) = (sounds.marks().remove(0), sounds.marks().remove(1));
        // Asked for again it is newer than the other.
        let again = sounds.keep(Read::Known(a)).unwrap();
        assert!(again.0 == first && again.1.is_none());
        sounds.keep(new("c", 1, third)).unwrap();
        sounds.keep(new("d", 1, third)).unwrap();
        let paths: Vec<_> = sounds.marks().into_iter().map(|mark| mark.path).collect();
        assert_eq!(paths, ["a", "c", "d"].map(PathBuf::from));
        assert!(
            sounds
                .keep(Read::Known(b))
                .unwrap_err()
                .contains("ask again")
        );
        // A file that was written anew takes the place of what it was.
        let newer = sounds.keep(new("d", 2, 8)).unwrap().0;
        assert_eq!((newer.length_ms, sounds.marks().len()), (1, 3));
        for number in 0..100 {
            sounds.keep(new(&format!("{number}"), 1, 8)).unwrap();
        }
        assert_eq!(sounds.marks().len(), KEPT);
    }

    #[test]
    fn a_file_that_is_none_is_refused_in_words_that_name_it() {
        let refused = |name: &str| read(&Recording::File(name.into()), &[]).unwrap_err();
        assert!(refused("/dev/null").contains("\"/dev/null\" cannot be read: it is no file"));
        assert!(refused("/no/such.wav").starts_with("\"/no/such.wav\" cannot be read:"));
        let blob = Recording::Octets(b"x".to_vec());
        assert!(read(&blob, &[]).unwrap_err().contains("it is no WAV file"));
    }
}
