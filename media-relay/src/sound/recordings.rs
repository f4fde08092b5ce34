//! The recordings that a relay was given, by name.

use media_api::SoundId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Recordings for [`crate::Relay::set_recordings`]. Whoever plays one keeps it, also when later ones
/// have taken its place.
#[derive(Clone, Debug, Default)]
pub struct Recordings(BTreeMap<SoundId, Arc<[i16]>>);

/// Why recordings are not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecordingsFault {
    /// A recording without samples.
    Empty(SoundId),
    /// Two recordings of one name.
    Twice(SoundId),
    /// More samples than [`Recordings::MAX_SAMPLES`].
    TooLong {
        /// All samples together, as far as they were counted.
        samples: usize,
    },
}

impl fmt::Display for RecordingsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty(name) => write!(f, "recording {} has no samples", name.0),
            Self::Twice(name) => write!(f, "two recordings have the number {}", name.0),
            Self::TooLong { samples } => write!(
                f,
                "recordings have {samples} samples or more, {} fit; shorten some",
                Recordings::MAX_SAMPLES
            ),
        }
    }
}

impl std::error::Error for RecordingsFault {}

impl Recordings {
    /// Most samples of all recordings together: 32 MiB, about 35 minutes.
    pub const MAX_SAMPLES: usize = 16 << 20;

    /// Most recordings.
    pub(crate) const MAX_SOUNDS: usize = 65_536;

    /// Takes recordings: 8,000 samples a second, one channel, each with at least one sample.
    ///
    /// # Errors
    /// [`RecordingsFault`]; nothing is taken then.
    pub fn new(
        all: impl IntoIterator<Item = (SoundId, Arc<[i16]>)>,
    ) -> Result<Self, RecordingsFault> {
        let mut taken = BTreeMap::new();
        let mut total = 0usize;
        for (name, samples) in all {
            if samples.is_empty() {
                return Err(RecordingsFault::Empty(name));
            }
            total = total.saturating_add(samples.len());
            if total > Self::MAX_SAMPLES {
                return Err(RecordingsFault::TooLong { samples: total });
            }
            if taken.insert(name, samples).is_some() {
                return Err(RecordingsFault::Twice(name));
            }
        }
        Ok(Self(taken))
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SoundId, &[i16])> {
        self.0.iter().map(|(name, samples)| (*name, &**samples))
    }

    /// The samples of a recording.
    pub(super) fn named(&self, name: SoundId) -> Option<Arc<[i16]>> {
        self.0.get(&name).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_played_or_kept_is_refused() {
        let samples = |count: usize| -> Arc<[i16]> { vec![0; count].into() };
        let refused = |all: Vec<(SoundId, Arc<[i16]>)>| Recordings::new(all).unwrap_err();
        assert_eq!(
            refused(vec![(SoundId(1), samples(0))]),
            RecordingsFault::Empty(SoundId(1))
        );
        assert_eq!(
            refused(vec![(SoundId(1), samples(1)), (SoundId(1), samples(2))]),
            RecordingsFault::Twice(SoundId(1))
        );
        // One recording may have many names, but its memory counts for each.
        let half = samples(Recordings::MAX_SAMPLES / 2);
        let names = |count: u32| (0..count).map(|name| (SoundId(name), Arc::clone(&half)));
        assert!(Recordings::new(names(2)).is_ok());
        assert!(matches!(
            Recordings::new(names(3)),
            Err(RecordingsFault::TooLong { .. })
        ));
    }
}
