//! The two tones of a digit (ITU-T Q.23): frequencies, and samples of them.

use media_api::Digit;

/// Samples in a second of the audio that tones are made for and looked for in.
pub(in crate::session) const SAMPLES_PER_SECOND: u32 = 8_000;

/// The low group in Hz, then the high group.
pub(in crate::session) const FREQUENCIES: [u16; 8] =
    [697, 770, 852, 941, 1_209, 1_336, 1_477, 1_633];

/// Digits by frequency of the low group and of the high group.
const KEYS: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];

/// Greatest sample of a sine of −7 dBm0 in the low group and of −9 dBm0 in the high group (MED-224):
/// one of +3.14 dBm0 is as large as A-law can say.
const AMPLITUDES: [f64; 2] = [10_197.0, 8_100.0];

/// Sine and cosine of one sample's step at each frequency.
pub(in crate::session) static STEPS: [(f64, f64); 8] = steps();

/// The digit of a frequency of the low group and one of the high group, each 0–3.
pub(in crate::session) fn digit(low: usize, high: usize) -> Option<Digit> {
    Digit::from_char(*KEYS.get(low)?.get(high)?)
}

/// Samples of a digit, one after the other.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) struct Tones([Oscillator; 2]);

#[derive(Clone, Copy, Debug)]
struct Oscillator {
    twice_cosine: f64,
    last: f64,
    before: f64,
}

impl Tones {
    pub(in crate::session) fn new(digit: Digit) -> Self {
        let symbol = digit.symbol();
        let at = KEYS.iter().flatten().position(|key| *key == symbol);
        let at = at.unwrap_or_default();
        let of = |frequency: usize, amplitude: f64| {
            let (sine, cosine) = STEPS.get(frequency).copied().unwrap_or_default();
            Oscillator {
                twice_cosine: 2.0 * cosine,
                last: 0.0,
                before: -amplitude * sine,
            }
        };
        let [low, high] = AMPLITUDES;
        Self([of(at / 4, low), of(4 + at % 4, high)])
    }

    pub(in crate::session) fn sample(&mut self) -> i16 {
        let sum: f64 = self.0.iter_mut().map(Oscillator::next).sum();
        sum as i16
    }
}

impl Oscillator {
    fn next(&mut self) -> f64 {
        let next = self.twice_cosine * self.last - self.before;
        self.before = self.last;
        self.last = next;
        next
    }
}

const fn steps() -> [(f64, f64); 8] {
    let mut steps = [(0.0, 0.0); 8];
    let mut at = 0;
    while at < 8 {
        let turn = std::f64::consts::TAU * FREQUENCIES[at] as f64;
        steps[at] = circle(turn / SAMPLES_PER_SECOND as f64);
        at += 1;
    }
    steps
}

/// Sine and cosine of an angle between 0 and 2, by their series.
const fn circle(angle: f64) -> (f64, f64) {
    let (mut sine, mut cosine) = (0.0, 0.0);
    let mut term = 1.0;
    let mut power = 0;
    while power < 24 {
        match power % 4 {
            0 => cosine += term,
            1 => sine += term,
            2 => cosine -= term,
            _ => sine -= term,
        }
        power += 1;
        term *= angle / power as f64;
    }
    (sine, cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_of_the_frequencies() {
        for (frequency, (sine, cosine)) in FREQUENCIES.iter().zip(STEPS) {
            let angle = std::f64::consts::TAU * f64::from(*frequency) / 8_000.0;
            assert!((sine - angle.sin()).abs() < 1e-12 && (cosine - angle.cos()).abs() < 1e-12);
        }
    }

    #[test]
    fn samples_are_two_sines_of_the_levels_asked_for() {
        let mut tones = Tones::new(Digit::from_char('6').unwrap());
        for at in 0..48_000u32 {
            let turn = std::f64::consts::TAU * f64::from(at + 1) / 8_000.0;
            let wanted = 10_197.0 * (turn * 770.0).sin() + 8_100.0 * (turn * 1_477.0).sin();
            let made = f64::from(tones.sample());
            assert!((made - wanted).abs() < 2.0, "{at}: {made} {wanted}");
        }
    }
}
