//! Media on a leg with Teams, judged by what Microsoft wants of the network between (TDR-MED-044).

use media_api::{StreamStats, percent};
use serde::Serialize;

/// Packets that a judgement needs: a second of them says nothing.
const LEAST_PACKETS: u64 = 50;

/// The judgement of one stream.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TargetsRecord {
    /// What is to be said of all targets.
    pub verdict: Verdict,
    /// Each of them.
    pub targets: Vec<TargetRecord>,
}

/// A judgement in one word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every target is met.
    Met,
    /// What is known meets its targets; the delay is not known, because no RTCP told of it.
    PartlyKnown,
    /// Some target is missed.
    Missed,
}

/// One target.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TargetRecord {
    /// What is judged, with its unit.
    pub name: &'static str,
    /// What it must stay below.
    pub limit: f64,
    /// What it was, if that is known.
    pub value: Option<f64>,
    /// Whether the target is met, if that is known.
    pub met: Option<bool>,
}

impl TargetsRecord {
    /// Judges a stream; nothing is said of one with hardly a packet.
    pub(crate) fn of(stream: &StreamStats) -> Option<Self> {
        if stream.received_packets < LEAST_PACKETS {
            return None;
        }
        let quality = &stream.quality;
        let round_trip_ms = quality
            .round_trip_us
            .map(|(mean_us, _)| f64::from(mean_us) / 1_000.0);
        let reordered = percent(stream.reordered_packets, stream.received_packets);
        let below = |name, limit, value: Option<f64>| TargetRecord {
            name,
            limit,
            value,
            met: value.map(|value| value < limit),
        };
        let shown = |value: f32| Some((f64::from(value) * 1_000.0).round() / 1_000.0);
        let targets = vec![
            // Nobody can measure one way alone; half of both is what there is.
            below(
                "one_way_delay_ms",
                50.0,
                round_trip_ms.map(|both| both / 2.0),
            ),
            below("round_trip_ms", 100.0, round_trip_ms),
            below(
                "jitter_ms",
                30.0,
                Some(f64::from(stream.max_jitter_us) / 1_000.0),
            ),
            below("loss_15s_percent", 1.0, shown(quality.loss_15s_percent)),
            // One of ten packets is what a window of 200 ms cannot divide: it is left out of the figure.
            below(
                "loss_200ms_percent",
                10.0,
                shown(quality.loss_200ms_percent),
            ),
            below("reordered_percent", 0.05, shown(reordered)),
        ];
        let is = |met| targets.iter().any(|target| target.met == met);
        let verdict = match (is(Some(false)), is(None)) {
            (true, _) => Verdict::Missed,
            (false, true) => Verdict::PartlyKnown,
            (false, false) => Verdict::Met,
        };
        Some(Self { verdict, targets })
    }

    /// Targets that are missed.
    pub fn missed(&self) -> impl Iterator<Item = &TargetRecord> {
        let targets = self.targets.iter();
        targets.filter(|target| target.met == Some(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::QualityStats;

    fn good() -> StreamStats {
        StreamStats {
            received_packets: 10_000,
            reordered_packets: 4,
            max_jitter_us: 29_000,
            quality: QualityStats {
                round_trip_us: Some((99_000, 400_000)),
                loss_15s_percent: 0.9,
                loss_200ms_percent: 0.0,
                ..QualityStats::default()
            },
            ..StreamStats::default()
        }
    }

    #[test]
    fn media_within_every_target_meets_them() {
        let judged = TargetsRecord::of(&good()).unwrap();
        assert_eq!((judged.verdict, judged.targets.len()), (Verdict::Met, 6));
    }

    #[test]
    fn each_target_is_missed_alone() {
        type Spoil = fn(&mut StreamStats);
        let spoilt: [(&[&str], Spoil); 5] = [
            (&["one_way_delay_ms", "round_trip_ms"], |stream| {
                stream.quality.round_trip_us = Some((100_000, 100_000));
            }),
            (&["jitter_ms"], |stream| stream.max_jitter_us = 30_000),
            (&["loss_15s_percent"], |stream| {
                stream.quality.loss_15s_percent = 1.0
            }),
            (&["loss_200ms_percent"], |stream| {
                stream.quality.loss_200ms_percent = 20.0
            }),
            (&["reordered_percent"], |stream| {
                stream.reordered_packets = 5
            }),
        ];
        for (wanted, spoil) in spoilt {
            let mut stream = good();
            spoil(&mut stream);
            let judged = TargetsRecord::of(&stream).unwrap();
            let missed: Vec<_> = judged.missed().map(|target| target.name).collect();
            assert_eq!((judged.verdict, &missed[..]), (Verdict::Missed, wanted));
        }
    }

    #[test]
    fn without_a_round_trip_the_verdict_says_so_and_a_few_packets_are_not_judged() {
        let mut stream = good();
        stream.quality.round_trip_us = None;
        let judged = TargetsRecord::of(&stream).unwrap();
        assert_eq!(
            (judged.verdict, judged.targets[0].met),
            (Verdict::PartlyKnown, None)
        );
        stream.max_jitter_us = 80_000;
        assert_eq!(TargetsRecord::of(&stream).unwrap().verdict, Verdict::Missed);
        stream.received_packets = 49;
        assert_eq!(TargetsRecord::of(&stream), None);
    }
}
