//! Tones: one or two sines with a cadence, in whole numbers, so that no error adds up.

use super::SAMPLES_PER_MS;
use media_api::{Tone, TonePhase};

/// Peak of one frequency: −13 dBm0. A sine that just fits the samples has 3.14 dBm0 (G.711).
const ALONE: i32 = 5_110;
/// Peak of each of two frequencies: −16 dBm0, so that both together have as much power.
const OF_TWO: i32 = 3_618;

/// Highest frequency that samples can tell from a lower one, in Hz; it and all above are silence.
const HALF_RATE_HZ: u16 = 4_000;

/// Samples over which a phase swells and fades where its neighbour sounds otherwise: a sine that is
/// cut off clicks.
const FADE: u32 = 5 * SAMPLES_PER_MS;

/// Entries of the table of a whole turn, and how much of an angle names an entry.
const ENTRIES: usize = 1 << ENTRY_BITS;
const ENTRY_BITS: u32 = 10;

/// One turn, with the first entry again behind the last one.
static SINE: [i16; ENTRIES + 1] = sines();

/// A tone being played. It has no end by itself.
#[derive(Clone, Debug)]
pub(super) struct Oscillator {
    phases: Box<[Phase]>,
    /// The present phase and how many of its samples have passed.
    at: usize,
    passed: u32,
    /// Where the two sines are; the whole range is one turn.
    angles: [u32; 2],
}

#[derive(Clone, Debug)]
struct Phase {
    samples: u32,
    /// Turn per sample of each sine.
    steps: [u32; 2],
    swells: bool,
    fades: bool,
}

impl Oscillator {
    /// The tone from its beginning; `None` if no phase of it takes any time.
    pub(super) fn new(tone: &Tone) -> Option<Self> {
        let lasting = |phase: &&TonePhase| phase.ms > 0;
        let mut phases: Box<[Phase]> = tone.phases.iter().filter(lasting).map(Phase::new).collect();
        let steps: Vec<_> = phases.iter().map(|phase| phase.steps).collect();
        let last = *steps.last()?;
        let before = [last].into_iter().chain(steps.iter().copied());
        let after = steps.iter().copied().skip(1).chain(steps.first().copied());
        for (phase, (before, after)) in phases.iter_mut().zip(before.zip(after)) {
            phase.swells = phase.steps != before;
            phase.fades = phase.steps != after;
        }
        Some(Self {
            phases,
            at: 0,
            passed: 0,
            angles: [0; 2],
        })
    }

    /// Samples of all phases together.
    pub(super) fn cycle(&self) -> u64 {
        let each = self.phases.iter().map(|phase| u64::from(phase.samples));
        each.sum()
    }

    /// The next samples.
    pub(super) fn fill(&mut self, samples: &mut [i16]) {
        for sample in samples {
            let Some(phase) = self.phases.get(self.at) else {
                return;
            };
            *sample = phase.sample(self.passed, self.angles);
            self.angles = [0, 1].map(|sine| self.angles[sine].wrapping_add(phase.steps[sine]));
            self.passed += 1;
            if self.passed == phase.samples {
                self.next_phase();
            }
        }
    }

    /// Leaves out less than a cycle.
    pub(super) fn skip(&mut self, samples: u64) {
        let mut rest = samples;
        while let Some(phase) = self.phases.get(self.at) {
            let left = phase.samples - self.passed;
            match u32::try_from(rest) {
                Ok(rest) if rest < left => {
                    self.passed += rest;
                    return;
                }
                Ok(_) | Err(_) => {
                    rest -= u64::from(left);
                    self.next_phase();
                }
            }
        }
    }

    fn next_phase(&mut self) {
        self.passed = 0;
        self.at = (self.at + 1) % self.phases.len();
        if self.phases.get(self.at).is_some_and(|phase| phase.swells) {
            self.angles = [0; 2];
        }
    }
}

impl Phase {
    fn new(phase: &TonePhase) -> Self {
        let [one, other] = phase.hz;
        // A frequency given twice is one frequency, not a louder one.
        let hz = [one, if other == one { 0 } else { other }];
        Self {
            samples: u32::from(phase.ms) * SAMPLES_PER_MS,
            steps: hz.map(turn_per_sample),
            swells: false,
            fades: false,
        }
    }

    fn sample(&self, passed: u32, angles: [u32; 2]) -> i16 {
        let peak = match self.steps {
            [0, 0] => return 0,
            [0, _] | [_, 0] => ALONE,
            [_, _] => OF_TWO,
        };
        let both: i32 = angles.map(|angle| (sine(angle) * peak) >> 15).iter().sum();
        let swelling = if self.swells { passed } else { FADE };
        let fading = if self.fades {
            self.samples - passed
        } else {
            FADE
        };
        let share = swelling.min(fading).min(FADE) as i32;
        (both * share / FADE as i32) as i16
    }
}

/// What a frequency adds to an angle with each sample; zero for what cannot sound.
fn turn_per_sample(hz: u16) -> u32 {
    match hz {
        1..HALF_RATE_HZ => {
            let per_second = u64::from(SAMPLES_PER_MS) * 1000;
            (((u64::from(hz) << 32) + per_second / 2) / per_second) as u32
        }
        0 | HALF_RATE_HZ.. => 0,
    }
}

/// Sine of an angle in units of 1/32767, between two entries of the table.
fn sine(angle: u32) -> i32 {
    let at = (angle >> (32 - ENTRY_BITS)) as usize;
    let between = (angle << ENTRY_BITS >> 16) as i32;
    let [low, high] = [SINE[at], SINE[at + 1]].map(i32::from);
    low + (((high - low) * between) >> 16)
}

const fn sines() -> [i16; ENTRIES + 1] {
    let mut table = [0; ENTRIES + 1];
    let mut at = 0;
    while at <= ENTRIES {
        // Within half a turn of zero, where the series is exact enough.
        let turn = at as f64 / ENTRIES as f64;
        let near = if turn > 0.5 { turn - 1.0 } else { turn };
        let value = series(near * std::f64::consts::TAU) * 32_767.0;
        let half = if value < 0.0 { -0.5 } else { 0.5 };
        table[at] = (value + half) as i16;
        at += 1;
    }
    table
}

/// Sine by its power series.
const fn series(angle: f64) -> f64 {
    let mut term = angle;
    let mut sum = angle;
    let mut order = 1;
    while order < 15 {
        let factors = (2 * order * (2 * order + 1)) as f64;
        term *= -angle * angle / factors;
        sum += term;
        order += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(phases: &[([u16; 2], u16)]) -> Tone {
        let phases = phases.iter().map(|(hz, ms)| TonePhase { hz: *hz, ms: *ms });
        Tone {
            phases: phases.collect(),
        }
    }

    fn played(tone: &Tone, samples: usize) -> Vec<i16> {
        let mut played = vec![0; samples];
        Oscillator::new(tone).unwrap().fill(&mut played);
        played
    }

    #[test]
    fn the_table_and_what_lies_between_its_entries_is_a_sine() {
        for angle in (0..=u32::MAX).step_by(99_991) {
            let exact = (f64::from(angle) / 2f64.powi(32) * std::f64::consts::TAU).sin();
            let error = f64::from(sine(angle)) - exact * 32_767.0;
            assert!(error.abs() < 2.0, "{angle}: {error}");
        }
    }

    #[test]
    fn a_tone_has_its_level_whether_of_one_frequency_or_two() {
        for hz in [[425, 0], [0, 425], [425, 425], [440, 480], [3_999, 0]] {
            let samples = played(&tone(&[(hz, 1_000)]), 8_000);
            let power: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
            // A sine that fills the samples has 3.14 dBm0.
            let full = 32_768f64.powi(2) / 2.0 * 8_000.0;
            let below_full = 10.0 * (power / full).log10();
            assert!((below_full + 16.14).abs() < 0.05, "{hz:?}: {below_full}");
        }
    }

    #[test]
    fn a_frequency_stays_the_same_however_long_it_sounds() {
        let mut long = Oscillator::new(&tone(&[([425, 0], 1_000)])).unwrap();
        let mut first = [0; 8_000];
        long.fill(&mut first);
        let mut later = [0; 8_000];
        for _ in 0..60 {
            long.fill(&mut later);
        }
        // 425 Hz have a whole number of turns in a second.
        let apart = first.iter().zip(later).map(|(a, b)| a.abs_diff(b)).max();
        // Less than a hundredth of a turn in an hour, so less than a step here.
        assert!(apart.unwrap() <= 5, "{apart:?}");
    }

    #[test]
    fn a_cadence_neither_clicks_nor_leaves_its_times() {
        let samples = played(&tone(&[([425, 0], 253), ([0, 0], 101)]), 8 * 354 * 3);
        for (at, pair) in samples.windows(2).enumerate() {
            // The steepest that the sine itself gets.
            assert!(pair[0].abs_diff(pair[1]) < 1_710, "sample {at}: {pair:?}");
            let ms = at / 8 % 354;
            assert!(ms < 253 || pair[0] == 0, "sample {at}");
        }
        let end = 8 * 253;
        assert!(samples[end - 8..end].iter().all(|s| s.abs() < 1_100));
        assert!(samples[100..140].iter().any(|s| s.abs() > 5_000));
    }

    #[test]
    fn phases_of_the_same_sound_run_into_each_other() {
        let whole = played(&tone(&[([425, 0], 1_000)]), 16_000);
        let parts = played(&tone(&[([425, 0], 333), ([425, 0], 667)]), 16_000);
        assert_eq!(whole, parts);
    }

    #[test]
    fn what_cannot_sound_is_silence_and_what_takes_no_time_is_no_tone() {
        for hz in [[4_000, 0], [u16::MAX, 5_000]] {
            assert!(played(&tone(&[(hz, 100)]), 4_000).iter().all(|s| *s == 0));
        }
        assert!(Oscillator::new(&tone(&[])).is_none());
        assert!(Oscillator::new(&tone(&[([425, 0], 0); 9])).is_none());
        let with_empty = played(&tone(&[([425, 0], 0), ([0, 0], 10), ([425, 0], 10)]), 400);
        let without = played(&tone(&[([0, 0], 10), ([425, 0], 10)]), 400);
        assert_eq!(with_empty, without);
    }

    #[test]
    fn after_a_skip_the_cadence_is_where_it_would_be() {
        let cadence = tone(&[([425, 0], 200), ([0, 0], 100), ([440, 480], 50)]);
        let whole = played(&cadence, 8 * 350 * 2);
        for skipped in [0, 7, 1_600, 1_601, 2_399, 2_400, 2_799] {
            let mut oscillator = Oscillator::new(&cadence).unwrap();
            assert_eq!(oscillator.cycle(), 2_800);
            oscillator.skip(skipped);
            let mut rest = vec![0; 2_800];
            oscillator.fill(&mut rest);
            let same = &whole[skipped as usize..][..2_800];
            let silent = |all: &[i16]| all.iter().map(|s| *s == 0).collect::<Vec<_>>();
            let differ = silent(&rest)
                .iter()
                .zip(silent(same))
                .filter(|(one, other)| **one != *other)
                .count();
            assert!(differ < 90, "{skipped}: {differ}");
        }
    }
}
