//! G.722 at 64 kbit/s: 16 kHz audio in two sub-bands of adaptive differential PCM (ITU-T G.722).
//!
//! Two samples make one octet: six bits for the lower band, two for the upper one. All arithmetic is that of
//! the recommendation, bit by bit, so that encoder and decoder of different makers follow each other.

/// Taps of the quadrature mirror filters; even and odd ones mirror each other (table 11).
const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// Turns octets into samples.
#[derive(Clone, Debug)]
pub(super) struct Decoder {
    lower: Band,
    upper: Band,
    line: [i32; 24],
}

/// Turns samples into octets.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    lower: Band,
    upper: Band,
    line: [i32; 24],
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            lower: Band::new(32),
            upper: Band::new(8),
            line: [0; 24],
        }
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            lower: Band::new(32),
            upper: Band::new(8),
            line: [0; 24],
        }
    }
}

impl Decoder {
    /// The two samples of an octet.
    pub(super) fn decode(&mut self, octet: u8) -> [i16; 2] {
        let low = usize::from(octet & 0x3f);
        let lower = limit(
            self.lower.predicted + scaled(self.lower.step, INVERSE_6[low]),
            14,
        );
        self.lower.adapt_lower(low >> 2);
        let high = usize::from(octet >> 6);
        let difference = scaled(self.upper.step, INVERSE_2[high]);
        let upper = limit(self.upper.predicted + difference, 14);
        self.upper.adapt_upper(high);

        self.line.copy_within(2.., 0);
        self.line[22] = lower + upper;
        self.line[23] = lower - upper;
        let (even, odd) = filtered(&self.line);
        [saturated(odd >> 11) as i16, saturated(even >> 11) as i16]
    }
}

impl Encoder {
    /// The octet of two samples.
    pub(super) fn encode(&mut self, samples: [i16; 2]) -> u8 {
        self.line.copy_within(2.., 0);
        self.line[22] = i32::from(samples[0]);
        self.line[23] = i32::from(samples[1]);
        let (even, odd) = filtered(&self.line);
        let (lower, upper) = ((odd + even) >> 14, (odd - even) >> 14);

        let error = saturated(lower - self.lower.predicted);
        let low = self.lower.quantised_lower(error);
        self.lower.adapt_lower(usize::from(low >> 2));
        let error = saturated(upper - self.upper.predicted);
        let high = self.upper.quantised_upper(error);
        self.upper.adapt_upper(usize::from(high));
        high << 6 | low
    }
}

/// Sums of the even and of the odd taps.
fn filtered(line: &[i32; 24]) -> (i32, i32) {
    let mut sums = (0, 0);
    for (at, pair) in line.as_chunks::<2>().0.iter().enumerate() {
        sums.0 += pair[0] * QMF[at];
        sums.1 += pair[1] * QMF[11 - at];
    }
    sums
}

/// Predictor and step of one band (blocks 3 and 4 of either decoder).
#[derive(Clone, Debug)]
struct Band {
    /// What the next sample will be.
    predicted: i32,
    zeros: i32,
    reconstructed: [i32; 2],
    partial: [i32; 2],
    poles: [i32; 2],
    weights: [i32; 6],
    differences: [i32; 6],
    log_step: i32,
    step: i32,
}

impl Band {
    fn new(step: i32) -> Self {
        Self {
            predicted: 0,
            zeros: 0,
            reconstructed: [0; 2],
            partial: [0; 2],
            poles: [0; 2],
            weights: [0; 6],
            differences: [0; 6],
            log_step: 0,
            step,
        }
    }

    fn quantised_lower(&self, error: i32) -> u8 {
        let magnitude = if error >= 0 { error } else { -(error + 1) };
        let is_below = |level: &&i32| magnitude >= (**level * self.step) >> 12;
        let above = LEVELS_6.iter().take_while(is_below).count();
        // The smallest code is that of the largest magnitude; two codes of the negative half do not exist.
        let code = match (error >= 0, above) {
            (true, _) => 61 - above,
            (false, 0) => 63,
            (false, 1) => 62,
            (false, _) => 33 - above,
        };
        code as u8
    }

    fn quantised_upper(&self, error: i32) -> u8 {
        let magnitude = if error >= 0 { error } else { -(error + 1) };
        let is_large = magnitude >= (564 * self.step) >> 12;
        match (error >= 0, is_large) {
            (true, true) => 2,
            (true, false) => 3,
            (false, true) => 0,
            (false, false) => 1,
        }
    }

    /// Follows a code of the lower band, of which only the upper four bits count.
    fn adapt_lower(&mut self, code: usize) {
        let difference = scaled(self.step, INVERSE_4[code]);
        let rise = RISE_LOWER[MAGNITUDE_4[code]];
        self.log_step = (((self.log_step * 127) >> 7) + rise).clamp(0, 18_432);
        self.step = step_of(self.log_step, 8);
        self.predict(difference);
    }

    fn adapt_upper(&mut self, code: usize) {
        let difference = scaled(self.step, INVERSE_2[code]);
        // Codes 0 and 2 are the large ones.
        let rise = if code & 1 == 0 { 798 } else { -214 };
        self.log_step = (((self.log_step * 127) >> 7) + rise).clamp(0, 22_528);
        self.step = step_of(self.log_step, 10);
        self.predict(difference);
    }

    /// Block 4: what the difference teaches, and the next prediction.
    fn predict(&mut self, difference: i32) {
        let reconstructed = saturated(self.predicted + difference);
        let partial = saturated(self.zeros + difference);
        let is_same = |other: i32| (partial < 0) == (other < 0);

        // Second pole, then the first, which the second bounds.
        let double = saturated(self.poles[0] << 2);
        let mut second = if is_same(self.partial[0]) {
            -double
        } else {
            double
        };
        second = second.min(32_767) >> 7;
        second += if is_same(self.partial[1]) { 128 } else { -128 };
        second += (self.poles[1] * 32_512) >> 15;
        let second = second.clamp(-12_288, 12_288);
        let nudge = if is_same(self.partial[0]) { 192 } else { -192 };
        let bound = saturated(15_360 - second);
        let first = saturated(nudge + ((self.poles[0] * 32_640) >> 15)).clamp(-bound, bound);

        let gain = if difference == 0 { 0 } else { 128 };
        for (weight, before) in self.weights.iter_mut().zip(self.differences) {
            let is_alike = (difference < 0) == (before < 0);
            let nudge = if is_alike { gain } else { -gain };
            *weight = saturated(nudge + ((*weight * 32_640) >> 15));
        }
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial = [partial, self.partial[0]];
        self.poles = [first, second];

        let poles = self.poles.iter().zip(self.reconstructed);
        let poles = poles.map(|(pole, past)| (pole * saturated(past << 1)) >> 15);
        let zeros = self.weights.iter().zip(self.differences);
        let zeros = zeros.map(|(weight, past)| (weight * saturated(past << 1)) >> 15);
        self.zeros = saturated(zeros.sum());
        self.predicted = saturated(saturated(poles.sum()) + self.zeros);
    }
}

/// A normalised level in units of the step.
fn scaled(step: i32, level: i32) -> i32 {
    (step * level) >> 15
}

/// The step of its logarithm.
fn step_of(log_step: i32, shift: i32) -> i32 {
    let fraction = ANTILOG[(log_step >> 6 & 31) as usize];
    let down = shift - (log_step >> 11);
    let step = if down < 0 {
        fraction << -down
    } else {
        fraction >> down
    };
    step << 2
}

fn saturated(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}

fn limit(value: i32, bits: u32) -> i32 {
    value.clamp(-(1 << bits), (1 << bits) - 1)
}

/// Decision levels of the 6-bit quantiser (table 14).
const LEVELS_6: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023,
    1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
/// Output levels of the inverse quantisers.
const INVERSE_6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
    -9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776,
    -2400, -2032, -1688, -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280,
    11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776,
    2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
const INVERSE_4: [i32; 16] = [
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584,
    1200, 0,
];
const INVERSE_2: [i32; 4] = [-7408, -1616, 7408, 1616];
/// How large a 4-bit code is, and how the logarithm of the step moves by that.
const MAGNITUDE_4: [usize; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
const RISE_LOWER: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];
/// 2048 · 2^(n/32).
const ANTILOG: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A sum over octets that notices their order (FNV-1a).
    fn sum(octets: impl Iterator<Item = u8>) -> u32 {
        octets.fold(0x811c_9dc5, |sum, octet| {
            (sum ^ u32::from(octet)).wrapping_mul(0x0100_0193)
        })
    }

    /// Octets of a linear congruential generator, as another implementation can make them.
    fn random(count: usize) -> impl Iterator<Item = u8> {
        let mut state = 1u32;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(count)
    }

    /// The sums were taken of what another implementation (FFmpeg 5.1) made of the same input.
    #[test]
    fn octets_and_samples_are_those_of_another_implementation() {
        let mut decoder = Decoder::default();
        let samples: Vec<i16> = random(16_000).flat_map(|own| decoder.decode(own)).collect();
        let decoded = sum(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        let mut encoder = Encoder::default();
        let pairs = samples.as_chunks::<2>().0.iter();
        let encoded = sum(pairs.map(|pair| encoder.encode(*pair)));
        assert_eq!((decoded, encoded), (DECODED, ENCODED));
    }

    const DECODED: u32 = 0xcad7_9a69;
    const ENCODED: u32 = 0x1219_4892;
}
