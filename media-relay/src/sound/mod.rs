//! What the relay lets others hear of its own: tones and recordings as samples, samples as payload.
//!
//! Everything has 8,000 samples a second. Nothing here knows packets or time.

pub(crate) mod g711;
mod recordings;
mod tone;

pub use recordings::{Recordings, RecordingsFault};

use crate::codec::Coding;
use crate::noise::Noise;
use media_api::{Format, Sound};
use std::sync::Arc;
use tone::Oscillator;

/// Samples of a millisecond.
pub(crate) const SAMPLES_PER_MS: u32 = 8;

/// The clock of everything that is played, in Hz.
pub(crate) const CLOCK_HZ: u32 = 1_000 * SAMPLES_PER_MS;

/// Samples at the very end of a counted tone over which it fades.
const LAST_FADE: u64 = 5 * SAMPLES_PER_MS as u64;

/// A tone or a recording being played a number of times.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    kind: Kind,
    /// Samples of one play; at least one.
    cycle: u64,
    /// Samples left of all plays together; `None` if there is no end.
    left: Option<u64>,
}

#[derive(Clone, Debug)]
enum Kind {
    Tone(Oscillator),
    Recording { samples: Arc<[i16]>, at: usize },
    Noise(Noise),
}

impl Source {
    /// The sound from its beginning; `None` if it has no length or there is no such recording.
    pub(crate) fn new(sound: &Sound, times: Option<u16>, recordings: &Recordings) -> Option<Self> {
        let (kind, cycle) = match sound {
            Sound::Tone(tone) => {
                let oscillator = Oscillator::new(tone)?;
                let cycle = oscillator.cycle();
                (Kind::Tone(oscillator), cycle)
            }
            Sound::Recording(name) => {
                let samples = recordings.named(*name)?;
                let cycle = samples.len() as u64;
                (Kind::Recording { samples, at: 0 }, cycle)
            }
            Sound::Noise => (Kind::Noise(Noise::of_level(NOISE_LEVEL)), 1),
        };
        Some(Self {
            kind,
            cycle,
            left: times.map(|times| u64::from(times) * cycle),
        })
    }

    /// Whether all plays are over.
    pub(crate) fn is_over(&self) -> bool {
        self.left == Some(0)
    }

    /// The next samples, with silence behind the end.
    pub(crate) fn fill(&mut self, samples: &mut [i16]) {
        let wanted = samples.len() as u64;
        let length = self.left.map_or(wanted, |left| left.min(wanted));
        let (heard, silent) = samples.split_at_mut(length as usize);
        silent.fill(0);
        match &mut self.kind {
            Kind::Tone(oscillator) => {
                oscillator.fill(heard);
                if let Some(left) = self.left {
                    fade(heard, left);
                }
            }
            Kind::Recording { samples, at } => {
                for sample in heard {
                    *sample = samples.get(*at).copied().unwrap_or(0);
                    *at = (*at + 1) % samples.len().max(1);
                }
            }
            Kind::Noise(noise) => heard.fill_with(|| noise.sample()),
        }
        self.left = self.left.map(|left| left - length);
    }

    /// Leaves out samples whose time has passed.
    pub(crate) fn skip(&mut self, samples: u64) {
        self.left = self.left.map(|left| left.saturating_sub(samples));
        let within = samples % self.cycle;
        match &mut self.kind {
            Kind::Tone(oscillator) => oscillator.skip(within),
            Kind::Recording { samples, at } => {
                *at = (*at + within as usize) % samples.len().max(1);
            }
            // One moment of it is as good as another.
            Kind::Noise(_) => {}
        }
    }

    /// Whether comfort noise can say it.
    pub(crate) fn is_noise(&self) -> bool {
        matches!(self.kind, Kind::Noise(_))
    }
}

/// How loud our own noise is, in -dBov (RFC 3389 §3): 18.5 of 32,768.
const NOISE_LEVEL: u8 = 65;

/// Lets samples fade whose sound ends `left` samples after the first of them.
fn fade(samples: &mut [i16], left: u64) {
    for (sample, left) in samples.iter_mut().zip((0..=left).rev()) {
        if left < LAST_FADE {
            *sample = (i64::from(*sample) * left as i64 / LAST_FADE as i64) as i16;
        }
    }
}

/// A payload format that we can make, always with 8,000 samples a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    /// G.711 A-law.
    ALaw,
    /// G.711 µ-law.
    MuLaw,
    /// 16 bits in network byte order, one channel (RFC 3551 §4.5.11).
    Linear,
    /// The level of noise, whatever the samples are (RFC 3389).
    Comfort,
    /// A codec of those who transcode. What is written is A-law, for them.
    Coded(Coding),
}

impl Encoding {
    /// Most bytes of one sample.
    pub(crate) const MAX_BYTES: usize = 2;

    /// How this format is made, if it can be.
    pub(crate) fn of(format: &Format) -> Option<Self> {
        const ALL: [(&str, Encoding); 3] = [
            ("PCMA", Encoding::ALaw),
            ("PCMU", Encoding::MuLaw),
            ("L16", Encoding::Linear),
        ];
        if format.clock_hz != CLOCK_HZ {
            return None;
        }
        let is_named = |(name, _): &&(&str, Self)| format.name.eq_ignore_ascii_case(name);
        ALL.iter().find(is_named).map(|(_, encoding)| *encoding)
    }

    /// How this format is made, if it is by those who transcode.
    pub(crate) fn of_coded(format: &Format) -> Option<Self> {
        Coding::beyond_g711(format).map(Self::Coded)
    }

    /// How noise is told without samples, if this format does that.
    pub(crate) fn of_noise(format: &Format) -> Option<Self> {
        let is_it = format.clock_hz == CLOCK_HZ && format.name.eq_ignore_ascii_case("CN");
        is_it.then_some(Self::Comfort)
    }

    /// The packet time nearest to the wished one that it has, in milliseconds.
    pub(crate) fn packet_ms(self, wished: u8) -> u8 {
        match self {
            Self::Coded(coding) => coding.packet_ms(wished),
            Self::ALaw | Self::MuLaw | Self::Linear | Self::Comfort => wished,
        }
    }

    /// Writes samples to the start of `payload`, as many as fit; returns the bytes written.
    pub(crate) fn write(self, samples: &[i16], payload: &mut [u8]) -> usize {
        let octets = payload.iter_mut().zip(samples);
        match self {
            Self::ALaw | Self::Coded(_) => octets
                .map(|(to, sample)| *to = g711::a_law(*sample))
                .count(),
            Self::MuLaw => octets
                .map(|(to, sample)| *to = g711::mu_law(*sample))
                .count(),
            Self::Comfort => {
                let level = payload.first_mut().map(|level| *level = NOISE_LEVEL);
                usize::from(level.is_some())
            }
            Self::Linear => {
                let pairs = payload.chunks_exact_mut(2).zip(samples);
                2 * pairs
                    .map(|(to, sample)| to.copy_from_slice(&sample.to_be_bytes()))
                    .count()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::{FormatKind, SoundId, Tone, TonePhase};

    const NAME: SoundId = SoundId(3);

    fn recording(times: Option<u16>) -> Source {
        let samples: Arc<[i16]> = (1..=100).collect();
        let recordings = Recordings::new([(NAME, samples)]).unwrap();
        Source::new(&Sound::Recording(NAME), times, &recordings).unwrap()
    }

    #[test]
    fn a_counted_sound_is_played_so_often_and_then_silent() {
        let mut source = recording(Some(2));
        let mut samples = [7; 160];
        source.fill(&mut samples);
        assert_eq!((samples[0], samples[99], samples[100]), (1, 100, 1));
        assert!(!source.is_over());
        source.fill(&mut samples);
        assert!(source.is_over());
        assert_eq!((samples[39], samples[40], samples[159]), (100, 0, 0));
    }

    #[test]
    fn an_endless_sound_goes_on_and_a_skip_is_time_that_passed() {
        let mut source = recording(None);
        source.skip(1_000_000_000_042);
        let mut samples = [0; 2];
        source.fill(&mut samples);
        assert_eq!(samples, [43, 44]);
        let mut counted = recording(Some(3));
        counted.skip(299);
        assert!(!counted.is_over());
        counted.skip(2);
        assert!(counted.is_over());
    }

    #[test]
    fn a_tone_that_ends_does_not_click() {
        let tone = Tone {
            phases: vec![TonePhase {
                hz: [425, 0],
                ms: 101,
            }],
        };
        let sound = Sound::Tone(tone);
        let mut source = Source::new(&sound, Some(1), &Recordings::default()).unwrap();
        let mut samples = [0; 960];
        source.fill(&mut samples);
        assert!(source.is_over());
        let steepest = samples.windows(2).map(|pair| pair[0].abs_diff(pair[1]));
        assert!(steepest.max().unwrap() < 1_710);
        assert!(samples[700].abs() > 1_000 || samples[703].abs() > 1_000);
    }

    #[test]
    fn formats_are_known_by_name_and_clock() {
        let named = |name: &'static str, clock_hz| {
            Encoding::of(&Format {
                name: name.into(),
                clock_hz,
                kind: FormatKind::Audio,
            })
        };
        assert_eq!(named("pcma", 8_000), Some(Encoding::ALaw));
        assert_eq!(named("PCMU", 8_000), Some(Encoding::MuLaw));
        assert_eq!(named("L16", 8_000), Some(Encoding::Linear));
        assert_eq!(named("L16", 44_100), None);
        assert_eq!(named("PCMU", 16_000), None);
        assert_eq!(named("G722", 8_000), None);
        let coded = |name: &'static str, clock_hz| {
            Encoding::of_coded(&Format {
                name: name.into(),
                clock_hz,
                kind: FormatKind::Audio,
            })
        };
        assert_eq!(coded("g722", 8_000), Some(Encoding::Coded(Coding::G722)));
        assert_eq!(coded("opus", 48_000), Some(Encoding::Coded(Coding::Opus)));
        assert_eq!(coded("PCMA", 8_000), None);
        assert_eq!(coded("G729", 8_000), None);
    }

    #[test]
    fn noise_is_as_loud_as_comfort_noise_says() {
        let mut source = Source::new(&Sound::Noise, None, &Recordings::default()).unwrap();
        let mut samples = vec![0; 8_000];
        source.fill(&mut samples);
        let power = samples.iter().map(|own| f64::from(*own).powi(2));
        let rms = (power.sum::<f64>() / 8_000.0).sqrt();
        let dbov = 20.0 * (rms / 32_768.0).log10();
        assert!((dbov + f64::from(NOISE_LEVEL)).abs() < 1.0, "{dbov}");
        let mut payload = [0; 4];
        assert_eq!(Encoding::Comfort.write(&samples, &mut payload), 1);
        assert_eq!(payload, [65, 0, 0, 0]);
    }

    #[test]
    fn linear_samples_are_in_network_order() {
        let mut payload = [0; 4];
        assert_eq!(Encoding::Linear.write(&[0x0102, -2, 9], &mut payload), 4);
        assert_eq!(payload, [1, 2, 0xff, 0xfe]);
    }
}
