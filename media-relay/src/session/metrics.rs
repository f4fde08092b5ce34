//! VoIP metrics of what a peer sends, for the peer that asks for them (RFC 3611 §4.7, MED-065).
//!
//! We have no jitter buffer of our own where media pass as they are, and no ears: what only an end system knows is told
//! as unknown.

use super::stream::Stream;
use media_api::{QualityStats, Scale, Score, VoipMetrics};

/// What is not known of levels, echo and ratings.
const UNKNOWN: u8 = 127;
/// Packets that must arrive in a row to end a burst.
const GMIN: u8 = 16;

/// Those of a stream so far.
pub(super) fn of(stream: &Stream, quality: &QualityStats) -> VoipMetrics {
    let totals = stream.reception.totals();
    let bursts = &quality.bursts;
    let packet_ms = stream.active().map_or(20, |face| face.terms.ptime_ms);
    let mean_ms = |packets: u64, count: u32| {
        let ms = packets.saturating_mul(packet_ms.into());
        let mean = ms.checked_div(count.into()).unwrap_or(0);
        u16::try_from(mean).unwrap_or(u16::MAX)
    };
    let round_trip_us = stream.reports.round_trip_us.unwrap_or(0);
    // R of 0 to 100 is that of the narrow band alone.
    let is_narrow = quality.scale == Some(Scale::Narrowband);
    let r = |score: Score| score.r.round().clamp(0.0, 100.0) as u8;
    let mos = |score: Score| (score.mos * 10.0).round().clamp(10.0, 50.0) as u8;
    let listening = quality.listening.map(|rating| rating.mean);
    let conversational = quality.conversational.map(|rating| rating.mean);
    VoipMetrics {
        loss_rate: share(u64::try_from(totals.lost).unwrap_or(0), totals.expected),
        discard_rate: 0,
        burst_density: share(bursts.burst_lost.into(), bursts.burst_packets.into()),
        gap_density: share(bursts.gap_lost.into(), bursts.gap_packets),
        burst_ms: mean_ms(bursts.burst_packets.into(), bursts.bursts),
        gap_ms: mean_ms(bursts.gap_packets, bursts.bursts.saturating_add(1)),
        round_trip_ms: u16::try_from(round_trip_us / 1_000).unwrap_or(u16::MAX),
        end_system_ms: 0,
        signal_level: UNKNOWN as i8,
        noise_level: UNKNOWN as i8,
        echo_return_loss: UNKNOWN,
        gmin: GMIN,
        r: conversational
            .or(listening)
            .filter(|_| is_narrow)
            .map_or(UNKNOWN, r),
        external_r: UNKNOWN,
        mos_lq_10: listening.map_or(UNKNOWN, mos),
        mos_cq_10: conversational.map_or(UNKNOWN, mos),
        buffer_ms: 0,
        buffer_max_ms: 0,
        buffer_limit_ms: 0,
    }
}

/// A share in 1/256; all of it is 255.
fn share(part: u64, whole: u64) -> u8 {
    let share = part.saturating_mul(256).checked_div(whole).unwrap_or(0);
    u8::try_from(share).unwrap_or(u8::MAX)
}
