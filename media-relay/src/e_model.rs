//! The E-model (ITU-T G.107, simplified): from loss and delay to R and MOS (MED-261).
//!
//! ```text
//! R      = R0 − Id − Ie,eff
//! Id     = 0.024·d + 0.11·(d − 177.3)·[d > 177.3]     d: one-way delay in ms
//! Ie,eff = Ie + (limit − Ie)·Ppl / (Ppl/BurstR + Bpl)   Ppl: loss in percent
//! ```
//!
//! Wider codecs have scales of their own (G.107.1, G.107.2), on which a narrow one could not reach the top. Their
//! constants are planning values: whoever shows a MOS says that it is an estimate.

use media_api::{Scale, Score};

/// What the model knows of a codec.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Codec {
    pub(crate) scale: Scale,
    /// Impairment of the codec itself.
    impairment: f64,
    /// How well it stands losses that come alone.
    robustness: f64,
    /// Delay of its algorithm beyond the packet, in milliseconds.
    algorithm_ms: f64,
}

/// Encoding names in `a=rtpmap` with their scale, Ie, Bpl and delay beyond the packet. G.711 is rated with the concealment that every
/// receiver of today has.
const CODECS: [(&str, Codec); 8] = [
    ("PCMU", narrow(0.0, 25.1, 0.0)),
    ("PCMA", narrow(0.0, 25.1, 0.0)),
    ("G729", narrow(11.0, 19.0, 5.0)),
    ("G723", narrow(15.0, 16.1, 7.5)),
    ("GSM", narrow(20.0, 10.0, 0.0)),
    ("GSM-EFR", narrow(5.0, 10.0, 0.0)),
    // Not tabulated: as G.711 without concealment.
    ("G726-32", narrow(7.0, 4.3, 0.0)),
    (
        "G722",
        Codec {
            scale: Scale::Wideband,
            impairment: 13.0,
            robustness: 4.3,
            algorithm_ms: 1.5,
        },
    ),
];

const OPUS: Codec = Codec {
    scale: Scale::Fullband,
    impairment: 10.2,
    robustness: 4.3,
    algorithm_ms: 6.5,
};

const fn narrow(impairment: f64, robustness: f64, algorithm_ms: f64) -> Codec {
    Codec {
        scale: Scale::Narrowband,
        impairment,
        robustness,
        algorithm_ms,
    }
}

impl Codec {
    /// What is known of an encoding name; `None` for a codec without constants, which is not rated.
    pub(crate) fn of(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("opus") {
            return Some(OPUS);
        }
        let mut known = CODECS.iter();
        let (_, codec) = known.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(*codec)
    }

    /// Delay of packets of this length before anything of them can be sent.
    pub(crate) fn packet_delay_ms(self, packet_ms: f64) -> f64 {
        packet_ms + self.algorithm_ms
    }

    /// Rates a stream.
    pub(crate) fn rate(self, loss: Loss, delay_ms: f64) -> Score {
        let (top, limit, stretch) = match self.scale {
            Scale::Narrowband => (93.2, 95.0, 1.0),
            Scale::Wideband => (129.0, 95.0, 1.0),
            Scale::Fullband => (148.0, 132.0, 1.48),
        };
        let beyond = (delay_ms - 177.3).max(0.0);
        let delay = (0.024 * delay_ms + 0.11 * beyond) * stretch;
        let percent = loss.percent.clamp(0.0, 100.0);
        let loss = percent / (percent / loss.burst_ratio.max(1.0) + self.robustness);
        let impairment = self.impairment + (limit - self.impairment) * loss;
        let r = (top - delay - impairment).max(0.0);
        Score {
            r: r as f32,
            mos: mos(r / narrowband_units(self.scale)) as f32,
        }
    }
}

/// How many units of a scale are one of the narrow one's.
const fn narrowband_units(scale: Scale) -> f64 {
    match scale {
        Scale::Narrowband => 1.0,
        Scale::Wideband => 1.29,
        Scale::Fullband => 1.48,
    }
}

/// Loss as the model wants it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Loss {
    /// Packets that were not there in time, in percent.
    pub(crate) percent: f64,
    /// Mean length of rows of losses, relative to losses at random; 1 for those.
    pub(crate) burst_ratio: f64,
}

impl Loss {
    /// Of `missing` packets among `expected`, in `rows` rows without a packet between.
    pub(crate) fn of(missing: u64, expected: u64, rows: u64) -> Self {
        let share = missing as f64 / (expected.max(1)) as f64;
        let ratio = match rows {
            0 => 1.0,
            // At random a row is 1 / (1 − share) long.
            rows => missing as f64 / rows as f64 * (1.0 - share.min(1.0)),
        };
        Self {
            percent: share * 100.0,
            burst_ratio: ratio.max(1.0),
        }
    }
}

fn mos(r: f64) -> f64 {
    if r <= 0.0 {
        1.0
    } else if r >= 100.0 {
        4.5
    } else {
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(percent: f64) -> Loss {
        Loss {
            percent,
            burst_ratio: 1.0,
        }
    }

    fn rounded(score: Score) -> (f64, f64) {
        let round = |value: f32, to: f64| (f64::from(value) * to).round() / to;
        (round(score.r, 10.0), round(score.mos, 100.0))
    }

    #[test]
    fn ratings_are_those_of_the_published_check_values() {
        let g711 = Codec::of("PCMA").unwrap();
        let bare = narrow(0.0, 4.3, 0.0);
        let g729 = Codec::of("g729").unwrap();
        for (codec, percent, delay_ms, wanted) in [
            (g711, 0.0, 0.0, (93.2, 4.41)),
            (g711, 1.0, 100.0, (87.2, 4.26)),
            (g711, 5.0, 150.0, (73.8, 3.77)),
            (bare, 1.0, 100.0, (72.9, 3.73)),
            (bare, 5.0, 250.0, (28.1, 1.53)),
            (g729, 0.0, 0.0, (82.2, 4.10)),
            (g729, 2.0, 150.0, (70.6, 3.63)),
        ] {
            assert_eq!(rounded(codec.rate(random(percent), delay_ms)), wanted);
        }
    }

    #[test]
    fn opinion_scores_are_those_of_the_published_curve() {
        for (r, wanted) in [(80.0, 4.02), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert!((mos(r) - wanted).abs() < 0.005, "{r}: {}", mos(r));
        }
        assert_eq!(
            (mos(-1.0), mos(0.0), mos(3.0), mos(100.0)),
            (1.0, 1.0, 1.0, 4.5)
        );
    }

    #[test]
    fn wider_codecs_have_scales_of_their_own() {
        let g722 = Codec::of("G722").unwrap();
        let (r, _) = rounded(g722.rate(random(0.0), 0.0));
        assert_eq!((g722.scale, r), (Scale::Wideband, 116.0));
        let opus = Codec::of("OPUS").unwrap();
        let (r, _) = rounded(opus.rate(random(0.0), 0.0));
        assert_eq!((opus.scale, r), (Scale::Fullband, 137.8));
        let (r, _) = rounded(opus.rate(random(4.3), 100.0));
        // 148 − 1.48 · 2.4 − 10.2 − 121.8 / 2
        assert_eq!(r, 73.3);
        assert_eq!(Codec::of("AMR-WB"), None);
    }

    #[test]
    fn losses_in_a_row_weigh_more_than_alone() {
        let g711 = Codec::of("PCMU").unwrap();
        let alone = Loss::of(50, 1_000, 50);
        let in_rows = Loss::of(50, 1_000, 10);
        assert_eq!((alone.percent, alone.burst_ratio), (5.0, 1.0));
        assert!((in_rows.burst_ratio - 4.75).abs() < 1e-9);
        assert!(g711.rate(in_rows, 0.0).r < g711.rate(alone, 0.0).r - 1.0);
        assert_eq!(Loss::of(0, 0, 0).percent, 0.0);
        // Everything lost is rated and is no number beyond the scale.
        assert_eq!(g711.rate(Loss::of(9, 9, 1), 5_000.0).r, 0.0);
    }
}
