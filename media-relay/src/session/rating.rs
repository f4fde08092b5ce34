//! How good a stream sounds: the E-model over intervals of five seconds, their mean and the worst of them
//! (MED-260, MED-261). Nothing here runs for a packet.

use super::quality::{Reception, Totals};
use super::rtcp::RoundTrips;
use super::stream::Stream;
use crate::e_model::{Codec, Loss};
use crate::time::{Timestamp, WallOffset};
use media_api::{QualityStats, RatedInterval, Rating, Score, percent};
use std::num::NonZeroU32;
use std::time::Duration;

/// Length of an interval.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// Packets that an interval must have to be rated.
const LEAST_PACKETS: u64 = 10;
/// Packets that 15 s must have for their loss to say something.
const LEAST_PACKETS_15S: u64 = 100;
/// What a jitter buffer adds: twice the jitter, within these bounds, in milliseconds.
const BUFFER_MS: (f64, f64) = (20.0, 200.0);

/// Ratings of one stream so far.
#[derive(Debug, Default)]
pub(super) struct Ratings {
    /// When the present interval began; `None` before anything is agreed.
    began: Option<Timestamp>,
    /// Sums when the present interval began.
    at_begin: Totals,
    /// Packets expected and lost in the two intervals before.
    recent: [(u16, u16); 2],
    loss_15s_percent: f32,
    /// Those of all intervals before, and their newest mean.
    round_trips: (RoundTrips, Option<u32>),
    listening: Sum,
    conversational: Sum,
    /// The worst interval and the best one, from the first on.
    extremes: Option<Box<[Begun; 2]>>,
}

/// Mean and least of scores.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    count: u32,
    r: f64,
    mos: f64,
    least: Score,
}

/// A rated interval, as it is kept: each stream of each call has two.
#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Timestamp,
    length_ms: u32,
    max_jitter_us: u32,
    longest_gap_us: u32,
    round_trip_us: Option<NonZeroU32>,
    expected: u16,
    lost: u16,
    late: u16,
    score: Score,
}

/// What an interval is rated with besides what was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    pub(super) codec: Option<Codec>,
    pub(super) round_trips: RoundTrips,
    pub(super) packet_ms: u8,
}

impl Sum {
    pub(super) fn add(&mut self, score: Score) {
        if self.count == 0 || score.r < self.least.r {
            self.least = score;
        }
        self.count += 1;
        self.r += f64::from(score.r);
        self.mos += f64::from(score.mos);
    }

    pub(super) fn rating(&self) -> Option<Rating> {
        let count = (self.count > 0).then_some(f64::from(self.count))?;
        Some(Rating {
            mean: Score {
                r: (self.r / count) as f32,
                mos: (self.mos / count) as f32,
            },
            least: self.least,
        })
    }
}

impl Ratings {
    /// Something is agreed: what comes is rated from now on.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.began.get_or_insert(now);
    }

    /// An interval is over. One with hardly a packet is none; a hold leaves no trace.
    pub(super) fn close(
        &mut self,
        reception: &mut Reception,
        conditions: &Conditions,
        now: Timestamp,
    ) {
        let totals = reception.totals();
        let before = std::mem::replace(&mut self.at_begin, totals);
        let expected = totals.expected.saturating_sub(before.expected);
        let Some(began) = self.began.replace(now) else {
            return;
        };
        let (jitter_us, gap_us) = reception.take_peaks();
        let (seen, newest) = &mut self.round_trips;
        *newest = conditions.round_trips.mean_since(seen).or(*newest);
        *seen = conditions.round_trips;
        if expected < LEAST_PACKETS {
            return;
        }
        // Late packets give back what an interval before had lost.
        let lost = u64::try_from(totals.lost - before.lost)
            .unwrap_or(0)
            .min(expected);
        let late = totals.late.saturating_sub(before.late).min(expected - lost);
        self.note_loss(expected, lost);
        let Some(codec) = conditions.codec else {
            return;
        };
        let rows = totals.rows.saturating_sub(before.rows) + late;
        let loss = Loss::of(lost + late, expected, rows);
        let score = codec.rate(loss, 0.0);
        self.listening.add(score);
        if let Some(round_trip_us) = self.round_trips.1 {
            let (least, most) = BUFFER_MS;
            let buffer_ms = (f64::from(jitter_us) / 500.0).clamp(least, most);
            let delay_ms = f64::from(round_trip_us) / 2_000.0
                + codec.packet_delay_ms(conditions.packet_ms.into())
                + buffer_ms;
            self.conversational.add(codec.rate(loss, delay_ms));
        }
        let interval = Begun {
            at: began,
            length_ms: some(now.since_us(began) / 1_000),
            expected: few(expected),
            lost: few(lost),
            late: few(late),
            max_jitter_us: jitter_us,
            longest_gap_us: some(gap_us),
            round_trip_us: self.round_trips.1.and_then(NonZeroU32::new),
            score,
        };
        let [worst, best] = &mut **self.extremes.get_or_insert_with(|| Box::new([interval; 2]));
        let by = |own: &Begun| (own.score.r, own.max_jitter_us);
        let ((least, most_us), (most, least_us)) = (by(worst), by(best));
        if score.r < least || (score.r == least && jitter_us > most_us) {
            *worst = interval;
        }
        if score.r > most || (score.r == most && jitter_us < least_us) {
            *best = interval;
        }
    }

    fn note_loss(&mut self, expected: u64, lost: u64) {
        let [older, newer] = self.recent;
        let sum = |one: u16, other: u16, last: u64| u64::from(one) + u64::from(other) + last;
        let of_all = sum(older.0, newer.0, expected);
        if of_all >= LEAST_PACKETS_15S {
            let share = percent(sum(older.1, newer.1, lost), of_all);
            self.loss_15s_percent = self.loss_15s_percent.max(share);
        }
        self.recent = [newer, (few(expected), few(lost))];
    }

    pub(super) fn listening(&self) -> Option<Rating> {
        self.listening.rating()
    }

    pub(super) fn conversational(&self) -> Option<Rating> {
        self.conversational.rating()
    }

    pub(super) fn loss_15s_percent(&self) -> f32 {
        self.loss_15s_percent
    }

    /// Intervals that were rated.
    pub(super) fn intervals(&self) -> u32 {
        self.listening.count
    }

    pub(super) fn worst(&self, wall: WallOffset) -> Option<RatedInterval> {
        let [worst, _] = **self.extremes.as_ref()?;
        Some(worst.told(wall))
    }

    pub(super) fn best(&self, wall: WallOffset) -> Option<RatedInterval> {
        let [_, best] = **self.extremes.as_ref()?;
        Some(best.told(wall))
    }
}

impl Stream {
    /// How good it was so far.
    pub(super) fn quality(&self, wall: WallOffset) -> QualityStats {
        let (bursts, loss_200ms_percent) = self.reception.bursts();
        QualityStats {
            mean_jitter_us: self.reception.mean_jitter_us(),
            longest_gap_us: self.reception.longest_gap_us(),
            late_packets: self.reception.totals().late,
            ssrc_changes: self.reception.ssrc_changes(),
            codec_switches: self.codec_switches,
            bursts,
            scale: self.rated_codec().map(|codec| codec.scale),
            listening: self.ratings.listening(),
            conversational: self.ratings.conversational(),
            worst: self.ratings.worst(wall),
            best: self.ratings.best(wall),
            intervals: self.ratings.intervals(),
            loss_15s_percent: self.ratings.loss_15s_percent(),
            loss_200ms_percent,
            round_trip_us: self.reports.round_trips.mean_and_largest(),
            reported: self.reports.reported.stats(),
            extended: self.reports.extended,
        }
    }

    /// Rates what came since this was done last.
    pub(super) fn rate_interval(&mut self, now: Timestamp) {
        let conditions = Conditions {
            codec: self.rated_codec(),
            round_trips: self.reports.round_trips,
            packet_ms: self.active().map_or(20, |face| face.terms.ptime_ms),
        };
        self.ratings.close(&mut self.reception, &conditions, now);
    }
}

impl Begun {
    fn told(self, wall: WallOffset) -> RatedInterval {
        RatedInterval {
            unix_ms: wall.unix_ms(self.at),
            length_ms: self.length_ms,
            expected: self.expected.into(),
            lost: self.lost.into(),
            late: self.late.into(),
            max_jitter_us: self.max_jitter_us,
            longest_gap_us: self.longest_gap_us.into(),
            round_trip_us: self.round_trip_us.map(NonZeroU32::get),
            score: self.score,
        }
    }
}

/// Microseconds or milliseconds of an interval.
fn some(time: u64) -> u32 {
    u32::try_from(time).unwrap_or(u32::MAX)
}

/// Packets of an interval: at the rate that is let through they are never more.
fn few(packets: u64) -> u16 {
    u16::try_from(packets).unwrap_or(u16::MAX)
}
