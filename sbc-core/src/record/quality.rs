//! Quality of a leg's media in the record, each direction for itself (MED-262).

use super::rfc3339;
use crate::time::UnixTime;
use media_api::{DropReason, Rating, ReportedStats, Score, StreamStats, VoipMetrics, percent};
use serde::Serialize;

/// What came from the peer.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ReceivedRecord {
    /// Share of packets lost, in percent.
    pub loss_percent: f64,
    /// Packets that arrived behind a later one.
    pub reordered: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Packets that came too late for most receivers.
    pub late: u64,
    /// Mean jitter in milliseconds.
    pub mean_jitter_ms: f64,
    /// Longest time without a packet that should have come, in milliseconds.
    pub longest_gap_ms: f64,
    /// Losses in bursts and between them (RFC 3611, Gmin 16).
    pub bursts: BurstRecord,
    /// Changes of the SSRC.
    pub ssrc_changes: u32,
    /// Changes of the audio codec.
    pub codec_switches: u32,
    /// Packets that could not be opened.
    pub srtp_failures: SrtpFailures,
    /// Scale of the ratings: those of different scales are not to be compared.
    pub scale: Option<&'static str>,
    /// Listening quality over all intervals of 5 s.
    pub listening: Option<RatingRecord>,
    /// Conversational quality, of the intervals in which the round trip was known.
    pub conversational: Option<RatingRecord>,
    /// The worst interval of 5 s.
    pub worst: Option<WorstRecord>,
}

/// What came of what we sent, as the peer's reports say.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SentRecord {
    /// Reports.
    pub reports: u32,
    /// Packets lost, by the last one.
    pub lost: i32,
    /// Largest loss between two reports, in percent.
    pub worst_loss_percent: f64,
    /// Jitter in milliseconds, by the last one.
    pub jitter_ms: f64,
    /// Largest jitter in milliseconds.
    pub max_jitter_ms: f64,
    /// Listening quality, from report to report.
    pub listening: Option<RatingRecord>,
}

/// How losses were distributed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BurstRecord {
    /// Bursts.
    pub count: u32,
    /// Share of packets lost within them, in percent.
    pub density_percent: f64,
    /// Share of packets lost between them, in percent.
    pub gap_density_percent: f64,
}

/// Packets that SRTP refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SrtpFailures {
    /// Whose tag was wrong.
    pub authentication: u64,
    /// That had come before, or were too old.
    pub replay: u64,
    /// How often the peer's counter was found anew although nothing had said that it would begin again: no
    /// packet was lost by that.
    pub counter_found_anew: u64,
}

/// A rating of the E-model.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RatingRecord {
    /// Mean R.
    pub r: f64,
    /// Mean opinion score, an estimate.
    pub mos_estimate: f64,
    /// R of the worst interval.
    pub least_r: f64,
    /// Opinion score of the worst interval.
    pub least_mos_estimate: f64,
}

/// The worst interval.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct WorstRecord {
    /// When it began.
    #[serde(serialize_with = "rfc3339")]
    pub at: UnixTime,
    /// How long it was, in milliseconds.
    pub length_ms: u32,
    /// What was worst in it.
    pub what: &'static str,
    /// Share of packets lost, in percent.
    pub loss_percent: f64,
    /// Packets that came too late for most receivers.
    pub late: u64,
    /// Largest jitter in milliseconds.
    pub max_jitter_ms: f64,
    /// Longest gap in milliseconds.
    pub longest_gap_ms: f64,
    /// Listening R.
    pub r: f64,
    /// Listening opinion score, an estimate.
    pub mos_estimate: f64,
}

/// The peer's last VoIP metrics about what we sent (RFC 3611 §4.7, MED-065). What it did not know is left out.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ExtendedRecord {
    /// Share of packets lost, in percent.
    pub loss_percent: f64,
    /// Share of packets that its jitter buffer discarded, in percent.
    pub discard_percent: f64,
    /// Share lost or discarded within bursts, in percent.
    pub burst_density_percent: f64,
    /// Share lost or discarded between bursts, in percent.
    pub gap_density_percent: f64,
    /// Mean length of bursts in milliseconds.
    pub burst_ms: u16,
    /// Mean length of gaps in milliseconds.
    pub gap_ms: u16,
    /// Round trip in milliseconds.
    pub round_trip_ms: Option<u16>,
    /// Delay of the end system in milliseconds.
    pub end_system_ms: Option<u16>,
    /// Signal level in dBm0.
    pub signal_level: Option<i8>,
    /// Noise level in dBm0.
    pub noise_level: Option<i8>,
    /// Residual echo return loss in dB.
    pub echo_return_loss: Option<u8>,
    /// R.
    pub r: Option<u8>,
    /// Listening opinion score.
    pub mos_lq: Option<f64>,
    /// Conversational opinion score.
    pub mos_cq: Option<f64>,
    /// Nominal delay of its jitter buffer in milliseconds.
    pub buffer_ms: u16,
}

impl ReceivedRecord {
    /// What the relay's figures of a stream say.
    pub fn of(stream: &StreamStats) -> Self {
        let quality = &stream.quality;
        let lost = u64::try_from(stream.lost_packets).unwrap_or(0);
        Self {
            loss_percent: rounded(percent(lost, lost + stream.received_packets)),
            reordered: stream.reordered_packets,
            duplicates: stream.dropped(DropReason::Duplicate),
            late: quality.late_packets,
            mean_jitter_ms: milliseconds(quality.mean_jitter_us.into()),
            longest_gap_ms: milliseconds(quality.longest_gap_us),
            bursts: BurstRecord {
                count: quality.bursts.bursts,
                density_percent: rounded(quality.bursts.burst_density_percent()),
                gap_density_percent: rounded(quality.bursts.gap_density_percent()),
            },
            ssrc_changes: quality.ssrc_changes,
            codec_switches: quality.codec_switches,
            srtp_failures: SrtpFailures {
                authentication: stream.dropped(DropReason::Authentication),
                replay: stream.dropped(DropReason::Replay),
                counter_found_anew: stream.resynchronised,
            },
            scale: quality.scale.map(media_api::Scale::as_str),
            listening: quality.listening.as_ref().map(RatingRecord::of),
            conversational: quality.conversational.as_ref().map(RatingRecord::of),
            worst: quality.worst.map(|worst| WorstRecord {
                at: UnixTime::from_micros(worst.unix_ms.saturating_mul(1_000)),
                length_ms: worst.length_ms,
                what: match (worst.lost, worst.late) {
                    (0, 0) => "jitter",
                    (lost, late) if late > lost => "late packets",
                    _ => "loss",
                },
                loss_percent: rounded(percent(worst.lost, worst.expected)),
                late: worst.late,
                max_jitter_ms: milliseconds(worst.max_jitter_us.into()),
                longest_gap_ms: milliseconds(worst.longest_gap_us),
                r: rounded(worst.score.r),
                mos_estimate: rounded(worst.score.mos),
            }),
        }
    }
}

impl SentRecord {
    pub(crate) fn of(reported: &ReportedStats) -> Self {
        Self {
            reports: reported.reports,
            lost: reported.lost,
            worst_loss_percent: rounded(reported.worst_loss_percent),
            jitter_ms: milliseconds(reported.jitter_us.into()),
            max_jitter_ms: milliseconds(reported.max_jitter_us.into()),
            listening: reported.listening.as_ref().map(RatingRecord::of),
        }
    }
}

impl RatingRecord {
    fn of(rating: &Rating) -> Self {
        let Rating { mean, least } = rating;
        let (
            Score { r, mos },
            Score {
                r: least_r,
                mos: least_mos,
            },
        ) = (*mean, *least);
        Self {
            r: rounded(r),
            mos_estimate: rounded(mos),
            least_r: rounded(least_r),
            least_mos_estimate: rounded(least_mos),
        }
    }
}

impl ExtendedRecord {
    pub(crate) fn of(metrics: &VoipMetrics) -> Self {
        const UNKNOWN: u8 = 127;
        let share = |part: u8| rounded(percent(part.into(), 256));
        let known = |value: u8| (value != UNKNOWN).then_some(value);
        let level = |value: i8| (value != UNKNOWN as i8).then_some(value);
        let score = |tenths: u8| known(tenths).map(|tenths| f64::from(tenths) / 10.0);
        let time = |ms: u16| (ms != 0).then_some(ms);
        Self {
            loss_percent: share(metrics.loss_rate),
            discard_percent: share(metrics.discard_rate),
            burst_density_percent: share(metrics.burst_density),
            gap_density_percent: share(metrics.gap_density),
            burst_ms: metrics.burst_ms,
            gap_ms: metrics.gap_ms,
            round_trip_ms: time(metrics.round_trip_ms),
            end_system_ms: time(metrics.end_system_ms),
            signal_level: level(metrics.signal_level),
            noise_level: level(metrics.noise_level),
            echo_return_loss: known(metrics.echo_return_loss),
            r: known(metrics.r),
            mos_lq: score(metrics.mos_lq_10),
            mos_cq: score(metrics.mos_cq_10),
            buffer_ms: metrics.buffer_ms,
        }
    }
}

fn milliseconds(us: u64) -> f64 {
    us as f64 / 1_000.0
}

/// To three digits behind the point: more is noise.
fn rounded(value: f32) -> f64 {
    (f64::from(value) * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::{QualityStats, RatedInterval};

    #[test]
    fn the_worst_interval_says_what_was_wrong_and_when() {
        let of = |lost, late| {
            let worst = RatedInterval {
                unix_ms: 1_700_000_000_000,
                expected: 250,
                lost,
                late,
                ..RatedInterval::default()
            };
            let stats = StreamStats {
                quality: QualityStats {
                    worst: Some(worst),
                    ..QualityStats::default()
                },
                ..StreamStats::default()
            };
            ReceivedRecord::of(&stats).worst.unwrap()
        };
        assert_eq!(
            (of(0, 0).what, of(5, 1).what, of(1, 5).what),
            ("jitter", "loss", "late packets")
        );
        assert_eq!(of(25, 0).loss_percent, 10.0);
        assert_eq!(of(1, 0).at.rfc3339(), "2023-11-14T22:13:20.000Z");
    }

    #[test]
    fn what_a_peer_does_not_know_is_no_value() {
        let metrics = VoipMetrics {
            loss_rate: 64,
            signal_level: 127,
            noise_level: -60,
            r: 127,
            mos_lq_10: 41,
            mos_cq_10: 127,
            ..VoipMetrics::default()
        };
        let told = ExtendedRecord::of(&metrics);
        assert_eq!(
            (told.loss_percent, told.r, told.mos_lq, told.mos_cq),
            (25.0, None, Some(4.1), None)
        );
        assert_eq!(
            (told.signal_level, told.noise_level, told.round_trip_ms),
            (None, Some(-60), None)
        );
    }
}
