//! What is heard where a packet is missing: the voice goes on as it was, and fades (after ITU-T G.711
//! Appendix I).
//!
//! The last period of the voice is repeated, at full level for 10 ms and ever softer until 60 ms. Unlike in
//! the appendix nothing is held back for that: where it begins, the step to what was heard last is spread
//! over a part of the period.

/// Periods of a voice that are looked for: 66 to 200 Hz.
const SHORTEST_MS: usize = 5;
const LONGEST_MS: usize = 15;
/// How much of the past is compared.
const COMPARED_MS: usize = 20;
/// How long what comes again grows out of what was made up.
const BLEND_MS: usize = 5;
/// When it begins to fade, and when nothing is left.
const FULL_MS: usize = 10;
const SILENT_MS: usize = 60;

/// Hears what comes and makes up what does not.
#[derive(Clone, Debug)]
pub struct Concealer {
    per_ms: usize,
    /// What was heard last, oldest first.
    past: Vec<i16>,
    /// The period that is repeated.
    period: Vec<f32>,
    /// Samples made up in a row.
    made: usize,
    /// The step between what was heard last and what is made up first.
    step: f32,
}

impl Concealer {
    /// For so many samples a second.
    pub fn new(rate: u32) -> Self {
        let per_ms = (rate as usize / 1_000).max(1);
        Self {
            per_ms,
            past: vec![0; (COMPARED_MS + LONGEST_MS) * per_ms],
            period: Vec::with_capacity(LONGEST_MS * per_ms),
            made: 0,
            step: 0.0,
        }
    }

    /// Samples that have come. Those right after a loss are blended with what was made up.
    pub fn good(&mut self, samples: &mut [i16]) {
        if self.made > 0 {
            let blended = (BLEND_MS * self.per_ms).min(samples.len());
            for (at, sample) in samples.iter_mut().take(blended).enumerate() {
                let share = (at + 1) as f32 / (blended + 1) as f32;
                let made_up = self.next();
                *sample = (made_up + (f32::from(*sample) - made_up) * share) as i16;
            }
            self.made = 0;
        }
        self.remember(samples);
    }

    /// Makes up samples that are missing.
    pub fn lost(&mut self, samples: &mut [i16]) {
        if self.made == 0 {
            self.find_period();
        }
        for sample in samples.iter_mut() {
            *sample = self.next() as i16;
        }
        self.remember(samples);
    }

    fn remember(&mut self, samples: &[i16]) {
        let room = self.past.len();
        let newest = &samples[samples.len().saturating_sub(room)..];
        self.past.copy_within(newest.len().., 0);
        self.past[room - newest.len()..].copy_from_slice(newest);
    }

    fn next(&mut self) -> f32 {
        let (full, silent) = (FULL_MS * self.per_ms, SILENT_MS * self.per_ms);
        let length = self.period.len().max(1);
        let quarter = (length / 4).max(1);
        let left = silent.saturating_sub(self.made.max(full)) as f32;
        let gain = left / (silent - full) as f32;
        let spread = 1.0 - self.made as f32 / quarter as f32;
        let step = self.step * spread.max(0.0);
        let sample = self.period.get(self.made % length).copied();
        self.made += 1;
        let sample = (sample.unwrap_or(0.0) + step) * gain;
        sample.clamp(f32::from(i16::MIN), f32::from(i16::MAX))
    }

    /// The lag at which the past is most like itself.
    fn find_period(&mut self) {
        let past = &self.past;
        let end = past.len();
        let compared = COMPARED_MS * self.per_ms;
        let recent = &past[end - compared..];
        let likeness = |lag: &usize| {
            let before = &past[end - compared - lag..end - lag];
            let (mut product, mut power) = (0.0f32, 1.0f32);
            for (one, other) in recent.iter().zip(before) {
                let (one, other) = (f32::from(*one), f32::from(*other));
                product += one * other;
                power += other * other;
            }
            product / power.sqrt()
        };
        let mut best = (LONGEST_MS * self.per_ms, f32::MIN);
        for lag in SHORTEST_MS * self.per_ms..=LONGEST_MS * self.per_ms {
            let own = likeness(&lag);
            if own > best.1 {
                best = (lag, own);
            }
        }
        let (lag, _) = best;
        self.period.clear();
        let period = past[end - lag..].iter().map(|sample| f32::from(*sample));
        self.period.extend(period);
        // Its end leads into its beginning as what came before its beginning did.
        let quarter = lag / 4;
        for at in 0..quarter {
            let share = (at + 1) as f32 / (quarter + 1) as f32;
            let own = &mut self.period[lag - quarter + at];
            let before = f32::from(past[end - lag - quarter + at]);
            *own += (before - *own) * share;
        }
        self.step = f32::from(past[end - 1]) - f32::from(past[end - lag - 1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(count: usize) -> Vec<i16> {
        // A period that is no whole number of samples, with overtones.
        let sample = |at: usize| {
            let phase = std::f64::consts::TAU * 123.0 * at as f64 / 8_000.0;
            (6_000.0 * phase.sin() + 3_000.0 * (3.0 * phase).sin()) as i16
        };
        (0..count).map(sample).collect()
    }

    #[test]
    fn a_voice_goes_on_without_a_click_and_fades() {
        let truth = voice(2_400);
        let mut concealer = Concealer::new(8_000);
        let mut heard = truth.clone();
        concealer.good(&mut heard[..1_600]);
        concealer.lost(&mut heard[1_600..2_400]);
        let steps = heard
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).unsigned_abs());
        let usual = truth
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).unsigned_abs());
        assert!(steps.max() <= usual.max().map(|most| most * 3 / 2));
        let error = |range: std::ops::Range<usize>| -> f64 {
            let pairs = heard[range.clone()].iter().zip(&truth[range]);
            pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        let power = |range: std::ops::Range<usize>| -> f64 {
            truth[range].iter().map(|a| f64::from(*a).powi(2)).sum()
        };
        assert!(error(1_600..1_680) < power(1_600..1_680) / 10.0);
        assert!(heard[1_600 + 480..].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn nothing_is_made_up_after_silence() {
        let mut concealer = Concealer::new(16_000);
        concealer.good(&mut [0; 960]);
        let mut heard = [1; 320];
        concealer.lost(&mut heard);
        assert_eq!(heard, [0; 320]);
    }
}
