//! How good the media of a party were, as proxies read it: Kamailio's `mos_…_pv` and OpenSIPS' `$rtpstat`.
//!
//! Ratings are of listening, by the E-model: estimates of what a receiver with a usual jitter buffer has heard of what came
//! to us. What has none, as a codec without constants or a call of a moment, has no part that speaks of it.

use crate::value::Value;
use media_api::{RatedInterval, StreamStats, percent};
use std::borrow::Cow;

/// What came under the SSRC that a stream has: the number as a key, and its figures; `None` before a packet has come. Those of
/// SSRCs before it are among them.
pub(crate) fn of(stream: &StreamStats) -> Option<(String, Value<'static>)> {
    let ssrc = stream.ssrc?;
    let quality = &stream.quality;
    let lost = u64::try_from(stream.lost_packets).unwrap_or(0);
    let mut entries = vec![
        ("bytes", Value::count(stream.received_bytes)),
        ("packets", Value::count(stream.received_packets)),
        ("cumulative loss", Value::count(lost)),
    ];
    if let (Some(rating), Some(worst), Some(best)) =
        (quality.listening, quality.worst, quality.best)
    {
        let mean = Figures {
            mos: rating.mean.mos,
            round_trip_us: quality.round_trip_us.map(|(mean, _)| mean),
            jitter_us: quality.mean_jitter_us,
            loss_percent: percent(lost, lost + stream.received_packets),
        };
        let samples = ("samples", Value::count(quality.intervals.into()));
        entries.push(("average MOS", mean.value(samples)));
        entries.push(("lowest MOS", interval(&worst)));
        entries.push(("highest MOS", interval(&best)));
    }
    Some((ssrc.to_string(), map(entries)))
}

fn interval(own: &RatedInterval) -> Value<'static> {
    let end_ms = own.unix_ms.saturating_add(own.length_ms.into());
    let figures = Figures {
        mos: own.score.mos,
        round_trip_us: own.round_trip_us,
        jitter_us: own.max_jitter_us,
        loss_percent: percent(own.lost, own.expected),
    };
    figures.value(("reported at", Value::count(end_ms / 1_000)))
}

struct Figures {
    mos: f32,
    round_trip_us: Option<u32>,
    jitter_us: u32,
    loss_percent: f32,
}

impl Figures {
    fn value(&self, last: (&'static str, Value<'static>)) -> Value<'static> {
        let mut entries = vec![("MOS", whole(self.mos * 10.0))];
        // Nothing is better than a 0, which would be the best of all.
        if let Some(us) = self.round_trip_us {
            entries.push(("round-trip time", Value::Integer(us.into())));
            // To this party alone, which is all that is measured.
            entries.push(("round-trip time leg", Value::Integer(us.into())));
        }
        entries.push(("jitter", whole(self.jitter_us as f32 / 1_000.0)));
        entries.push(("packet loss", whole(self.loss_percent)));
        entries.push(last);
        map(entries)
    }
}

fn whole(number: f32) -> Value<'static> {
    Value::Integer(number.round() as i64)
}

fn map(entries: Vec<(&'static str, Value<'static>)>) -> Value<'static> {
    let entries = entries.into_iter();
    let entries = entries.map(|(key, value)| (Cow::Borrowed(key.as_bytes()), value));
    Value::Map(entries.collect())
}
