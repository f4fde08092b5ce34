//! The lower half of G.722 (ITU-T G.722 §3): what is below 4 kHz, at 8,000 samples a second, in one
//! octet each. The upper half is silent when sent, and not listened to: a tone needs no more.

/// Octet of the upper half with the least level, above the six bits of the lower one.
const UPPER: [u8; 2] = [0x40, 0xC0];
/// Levels of the inverse quantizer of 6 bits (table 8), by code.
#[rustfmt::skip]
const FINE: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
    -9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400,
    -2032, -1688, -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232,
    9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688,
    1360, 1040, 728, 432, 136, -432, -136,
];
/// The first codes have no level of their own: nobody may send them.
const FIRST: u8 = 4;
/// Levels by the four upper bits, which alone steer the predictor.
#[rustfmt::skip]
const COARSE: [i32; 16] = [
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
];
/// How the scale changes with these bits.
#[rustfmt::skip]
const CHANGE: [i32; 16] = [
    -60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60,
];
/// Powers of two in steps of a thirty-second, times 2,048.
#[rustfmt::skip]
const POWER: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

/// One direction of a stream.
#[derive(Clone, Debug)]
pub struct Band {
    /// Logarithm of the scale, and the scale.
    log: i32,
    scale: i32,
    /// What is predicted: of the zeros alone, and in all.
    of_zeros: i32,
    predicted: i32,
    /// The last differences, levels, and partly predicted levels; the newest first.
    differences: [i32; 6],
    levels: [i32; 2],
    partial: [i32; 2],
    zeros: [i32; 6],
    poles: [i32; 2],
    is_odd: bool,
}

impl Default for Band {
    fn default() -> Self {
        Self {
            log: 0,
            scale: 32,
            of_zeros: 0,
            predicted: 0,
            differences: [0; 6],
            levels: [0; 2],
            partial: [0; 2],
            zeros: [0; 6],
            poles: [0; 2],
            is_odd: false,
        }
    }
}

/// The product of two fractions of 15 bits.
fn scaled(value: i32, by: i32) -> i32 {
    (value * by) >> 15
}

fn saturated(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

impl Band {
    /// The next sample as an octet: of all codes the one that comes nearest.
    pub fn encode(&mut self, sample: i16) -> u8 {
        // What the filter before the bands leaves of a level.
        let difference = i32::from(sample) / 2 - self.predicted;
        let off = |code: &u8| (difference - (scaled(self.scale, FINE[usize::from(*code)]))).abs();
        let code = (FIRST..64).min_by_key(off).unwrap_or(FIRST);
        self.adapt(code);
        self.is_odd = !self.is_odd;
        UPPER[usize::from(self.is_odd)] | code
    }

    /// The next octet as a sample.
    pub fn decode(&mut self, octet: u8) -> i16 {
        let code = octet & 0x3F;
        let fine = scaled(self.scale, FINE[usize::from(code)]);
        let level = (self.predicted + fine).clamp(-16_384, 16_383);
        self.adapt(code);
        (level * 2) as i16
    }

    /// Scale and predictor after a code (§3.3 to §3.6, blocks 3L and 4L).
    fn adapt(&mut self, code: u8) {
        let bits = usize::from(code >> 2);
        let difference = scaled(self.scale, COARSE[bits]);
        self.log = (((self.log * 127) >> 7) + CHANGE[bits]).clamp(0, 18_432);
        let power = POWER[((self.log >> 6) & 31) as usize];
        let shift = 8 - (self.log >> 11);
        let scale = match shift {
            ..0 => power << -shift,
            _ => power >> shift,
        };
        self.scale = scale << 2;

        let level = saturated(self.predicted + difference);
        let partial = saturated(self.of_zeros + difference);
        self.adapt_poles(partial);
        self.adapt_zeros(difference);
        self.differences.rotate_right(1);
        self.differences[0] = difference;
        self.levels = [level, self.levels[0]];
        self.partial = [partial, self.partial[0]];
        let product = |factor: i32, value: i32| scaled(factor, saturated(2 * value));
        let by_poles = self.poles.iter().zip(self.levels);
        let by_poles = saturated(by_poles.map(|(factor, it)| product(*factor, it)).sum());
        let by_zeros = self.zeros.iter().zip(self.differences);
        self.of_zeros = saturated(by_zeros.map(|(factor, it)| product(*factor, it)).sum());
        self.predicted = saturated(by_poles + self.of_zeros);
    }

    fn adapt_poles(&mut self, partial: i32) {
        let is_same = |other: i32| (partial < 0) == (other < 0);
        let [first, second] = self.poles;
        let four = saturated(4 * first);
        let four = if is_same(self.partial[0]) {
            (-four).min(32_767)
        } else {
            four
        };
        let by_sign = if is_same(self.partial[1]) { 128 } else { -128 };
        let second = (by_sign + (four >> 7) + scaled(second, 32_512)).clamp(-12_288, 12_288);
        let by_sign = if is_same(self.partial[0]) { 192 } else { -192 };
        let limit = saturated(15_360 - second);
        let first = saturated(by_sign + scaled(first, 32_640)).clamp(-limit, limit);
        self.poles = [first, second];
    }

    fn adapt_zeros(&mut self, difference: i32) {
        let step = if difference == 0 { 0 } else { 128 };
        for (zero, before) in self.zeros.iter_mut().zip(self.differences) {
            let by_sign = if (before < 0) == (difference < 0) {
                step
            } else {
                -step
            };
            *zero = saturated(by_sign + scaled(*zero, 32_640));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone::{Codec, Tone, share_at};

    #[test]
    fn a_tone_comes_out_as_it_went_in() {
        for hz in [437.3, 1_237.7, 3_000.0] {
            let octets = Tone::new(hz).take(Codec::G722, 1_600);
            let mut band = Band::default();
            let heard: Vec<i16> = octets.iter().map(|octet| band.decode(*octet)).collect();
            let share = share_at(hz, &heard[160..]);
            assert!(share > 0.98, "{share} at {hz} Hz");
            let loudest = heard.iter().map(|sample| sample.unsigned_abs()).max();
            assert!((9_000..11_000).contains(&loudest.unwrap()), "{loudest:?}");
        }
    }

    /// Silence of any encoder: the code of the least level, whose octets every decoder must know.
    #[test]
    fn silence_stays_silent() {
        let mut band = Band::default();
        let octets: Vec<u8> = (0..800).map(|_| band.encode(0)).collect();
        let mut band = Band::default();
        let loudest = octets
            .iter()
            .map(|octet| band.decode(*octet).unsigned_abs())
            .max();
        assert!(loudest.unwrap() <= 8, "{loudest:?}");
    }
}
