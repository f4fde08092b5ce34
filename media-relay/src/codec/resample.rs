//! Between 8 and 16 kHz: one filter, halved or doubled (polyphase FIR).
//!
//! Opus codes at either rate by itself, so no other step is needed.

use std::f64::consts::PI;
use std::sync::LazyLock;

/// Taps at 16 kHz. With the window below: 0.1 dB up to 3.4 kHz, 60 dB off from 4.6 kHz.
const TAPS: usize = 64;
const HALF: usize = TAPS / 2;
/// Shape of the Kaiser window.
const BETA: f64 = 6.5;

/// The taps for even and odd samples of 16 kHz, each newest first. Their sum is 1 together.
static PHASES: LazyLock<[[f32; HALF]; 2]> = LazyLock::new(|| {
    let centre = (TAPS - 1) as f64 / 2.0;
    let tap = |at: usize| {
        let from_centre = at as f64 - centre;
        let sinc = (PI * from_centre / 2.0).sin() / (PI * from_centre);
        let place = from_centre / (TAPS as f64 / 2.0);
        sinc * bessel(BETA * (1.0 - place * place).sqrt()) / bessel(BETA)
    };
    let sum: f64 = (0..TAPS).map(tap).sum();
    let of = |phase: usize| std::array::from_fn(|at| (tap(2 * at + phase) / sum) as f32);
    [of(0), of(1)]
});

/// The modified Bessel function of order zero, as its series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for at in 1..30 {
        term *= (x / (2.0 * f64::from(at))).powi(2);
        sum += term;
    }
    sum
}

/// From 16 to 8 kHz.
#[derive(Clone, Debug, Default)]
pub struct Halver {
    even: Line,
    odd: Line,
}

impl Halver {
    /// The sample in place of two.
    pub fn halve(&mut self, pair: [i16; 2]) -> i16 {
        self.even.push(pair[0]);
        self.odd.push(pair[1]);
        let [even, odd] = &*PHASES;
        // The later of the two is the newest.
        rounded(self.odd.filtered(even) + self.even.filtered(odd))
    }
}

/// From 8 to 16 kHz.
#[derive(Clone, Debug, Default)]
pub struct Doubler(Line);

impl Doubler {
    /// The two samples in place of one.
    pub fn double(&mut self, sample: i16) -> [i16; 2] {
        self.0.push(sample);
        let [even, odd] = &*PHASES;
        [even, odd].map(|phase| rounded(2.0 * self.0.filtered(phase)))
    }
}

/// The last samples, twice in a row so that they can be read without a break.
#[derive(Clone, Debug)]
struct Line {
    samples: [f32; 2 * HALF],
    /// Where the newest is.
    at: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            samples: [0.0; 2 * HALF],
            at: 0,
        }
    }
}

impl Line {
    fn push(&mut self, sample: i16) {
        self.at = self.at.checked_sub(1).unwrap_or(HALF - 1);
        self.samples[self.at] = f32::from(sample);
        self.samples[self.at + HALF] = f32::from(sample);
    }

    fn filtered(&self, taps: &[f32; HALF]) -> f32 {
        let newest_first = &self.samples[self.at..self.at + HALF];
        // Four sums at a time, which the machine can do side by side.
        let mut sums = [0.0; 4];
        let (samples, _) = newest_first.as_chunks::<4>();
        for (samples, taps) in samples.iter().zip(taps.as_chunks::<4>().0) {
            for at in 0..4 {
                sums[at] += samples[at] * taps[at];
            }
        }
        sums.iter().sum()
    }
}

fn rounded(value: f32) -> i16 {
    // The cast saturates.
    value.round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: f64, hz: f64, count: usize) -> Vec<i16> {
        let sample = |at| (10_000.0 * (2.0 * PI * hz * at as f64 / rate).sin()) as i16;
        (0..count).map(sample).collect()
    }

    /// The level of what comes out against what went in, in dB.
    fn gain_db(heard: &[i16]) -> f64 {
        let power: f64 = heard.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        10.0 * (power / heard.len() as f64 / 5e7).max(1e-9).log10()
    }

    fn halved(hz: f64) -> Vec<i16> {
        let mut halver = Halver::default();
        let samples = tone(16_000.0, hz, 16_000);
        let pairs = samples.as_chunks::<2>().0.iter();
        let halved: Vec<i16> = pairs.map(|pair| halver.halve(*pair)).collect();
        halved[100..].to_vec()
    }

    #[test]
    fn speech_passes_and_what_has_no_place_at_8_khz_does_not() {
        for hz in [300.0, 1_000.0, 2_000.0, 3_000.0, 3_400.0] {
            let db = gain_db(&halved(hz));
            assert!(db.abs() < 0.2, "{hz} Hz: {db:.2} dB");
        }
        for hz in [4_600.0, 5_000.0, 6_000.0, 7_500.0] {
            let db = gain_db(&halved(hz));
            assert!(db < -55.0, "{hz} Hz: {db:.2} dB");
        }
    }

    #[test]
    fn a_doubled_tone_has_no_mirror_image() {
        for hz in [300.0, 1_000.0, 3_400.0] {
            let mut doubler = Doubler::default();
            let samples = tone(8_000.0, hz, 8_000);
            let doubled: Vec<i16> = samples
                .iter()
                .flat_map(|own| doubler.double(*own))
                .collect();
            let settled = &doubled[200..];
            let db = gain_db(settled);
            assert!(db.abs() < 0.2, "{hz} Hz: {db:.2} dB");
            let mirror = 8_000.0 - hz;
            let (mut re, mut im) = (0.0, 0.0);
            for (at, sample) in settled.iter().enumerate() {
                let phase = 2.0 * PI * mirror * at as f64 / 16_000.0;
                re += f64::from(*sample) * phase.cos();
                im += f64::from(*sample) * phase.sin();
            }
            let level = 2.0 * (re * re + im * im).sqrt() / settled.len() as f64;
            let db = 20.0 * (level / 10_000.0).log10();
            assert!(db < -55.0, "{mirror} Hz: {db:.2} dB");
        }
    }
}
