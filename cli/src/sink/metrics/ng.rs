//! A relay that serves a proxy in figures: requests, refusals, calls and what their media lacked.

use super::media::{raise, signed};
use media_ng::{Asked, Counters, Ending, ONE_WAY, Refusal};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};
use std::sync::{Mutex, PoisonError};

/// Turns counters of the server into metrics when they are asked for.
pub struct NgCollector {
    read: Box<dyn Fn() -> Counters + Send + Sync>,
    requests: IntCounterVec,
    refused: IntCounterVec,
    calls: IntGauge,
    streams: IntGauge,
    begun: IntCounter,
    turned_away: IntCounter,
    ended: IntCounterVec,
    one_way: IntCounterVec,
    /// Two scrapes at a time would each add the same difference.
    turn: Mutex<()>,
}

impl NgCollector {
    /// A collector over a source of counters.
    ///
    /// # Errors
    /// If a name is malformed, which a test excludes.
    pub fn new(read: Box<dyn Fn() -> Counters + Send + Sync>) -> Result<Self, prometheus::Error> {
        let counters =
            |name: &str, help: &str, label| IntCounterVec::new(Opts::new(name, help), &[label]);
        Ok(Self {
            read,
            requests: counters(
                "sbc_ng_requests_total",
                "Requests of proxies that could be read, by command of the ng protocol; order is whatever is asked of \
                 media that flow.",
                "command",
            )?,
            refused: counters(
                "sbc_ng_refused_total",
                "Requests of proxies that were not served: unreadable, of which nothing was answered, request (unknown, \
                 not whole, or for what is not done), unknown_call, description, party, recording, ports (none is free), \
                 limit, relay, or too_long an answer for a datagram.",
                "why",
            )?,
            calls: IntGauge::new(
                "sbc_ng_calls",
                "Calls of proxies that have ports and are not over.",
            )?,
            streams: IntGauge::new(
                "sbc_ng_streams",
                "Streams of those calls, one for each party and line of its description.",
            )?,
            begun: IntCounter::new(
                "sbc_ng_calls_begun_total",
                "Calls of proxies that have had ports; without those that have ended, those that there are.",
            )?,
            turned_away: IntCounter::new(
                "sbc_ng_calls_turned_away_total",
                "First offers of proxies that came to no call: no room, no ports, or a description that could not go on, \
                 where that was seen after there were ports also among those that ended as refused.",
            )?,
            ended: counters(
                "sbc_ng_calls_ended_total",
                "Calls of proxies that are over: deleted by the proxy, silent on both sides, unanswered, or refused, as \
                 the first description could not go on.",
                "why",
            )?,
            one_way: counters(
                "sbc_ng_one_way_total",
                "Times that the media of a party did not get through, by what was seen.",
                "kind",
            )?,
            turn: Mutex::new(()),
        })
    }

    fn refresh(&self) {
        let now = (self.read)();
        for (what, count) in Asked::ALL.iter().zip(now.asked) {
            raise(&self.requests.with_label_values(&[what.as_str()]), count);
        }
        for (why, count) in Refusal::ALL.iter().zip(now.refused) {
            raise(&self.refused.with_label_values(&[why.as_str()]), count);
        }
        for (why, count) in Ending::ALL.iter().zip(now.ended) {
            raise(&self.ended.with_label_values(&[why.as_str()]), count);
        }
        for (kind, count) in ONE_WAY.iter().zip(now.one_way) {
            raise(&self.one_way.with_label_values(&[kind.as_str()]), count);
        }
        raise(&self.begun, now.begun);
        raise(&self.turned_away, now.turned_away);
        self.calls.set(signed(now.calls));
        self.streams.set(signed(now.streams));
    }

    fn all(&self) -> [&dyn Collector; 8] {
        [
            &self.requests,
            &self.refused,
            &self.calls,
            &self.streams,
            &self.begun,
            &self.turned_away,
            &self.ended,
            &self.one_way,
        ]
    }
}

impl Collector for NgCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh();
        self.all()
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}
