//! Messages, repetitions and what did not come in time, by trunk: read from the counters of the shards at scrape
//! time, so that a message costs its shard an addition and nobody a lock.
//!
//! What has not happened has no series, but for the repeated requests and missed answers of a trunk that we
//! send to: a counter that appears with its first event hides that event from `rate()`. Messages that belong to no
//! trunk are counted by listener (`sbc_listener_messages_total`).

use prometheus::core::{Collector, Desc};
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use sbc_core::tally::{Answers, Direction, Figures, Missed, Repeated, Tally, TrunkFigures};
use std::collections::HashMap;

/// Name, help and labels of everything that is shown here.
const ALL: [(&str, &str, &[&str]); 9] = [
    (
        "sbc_sip_requests_total",
        "SIP requests from the peer of a trunk (in) and to it (out), repetitions included.",
        &["dir", "method", "transport", "trunk"],
    ),
    (
        "sbc_sip_responses_total",
        "SIP responses from the peer of a trunk (in) and to it (out), repetitions included.",
        &["code", "dir", "method", "trunk"],
    ),
    (
        "sbc_sip_retransmissions_total",
        "Messages that were sent again (out) or came again (in), because an answer or ACK was late or lost.",
        &["dir", "kind", "trunk"],
    ),
    (
        "sbc_sip_timeouts_total",
        "What the peer of a trunk did not send in time: a response to INVITE (B) or to another request (F), the ACK \
         of a refusal (H) or of a 2xx (ack), the PRACK of a provisional response (prack).",
        &["timer", "trunk"],
    ),
    (
        "sbc_sip_transactions",
        "Transactions by type: INVITEs of ours (ict) and of peers (ist), other requests of ours (nict) and of peers \
         (nist).",
        &["type"],
    ),
    (
        "sbc_sip_dialogs",
        "Dialogs that live (live), and those that have ended and are remembered for half a minute (ended).",
        &["state"],
    ),
    (
        "sbc_session_refresh_total",
        "Refreshes of sessions (RFC 4028) by who has to refresh, we (local) or the peer, and by what became of them.",
        &["result", "role", "trunk"],
    ),
    (
        "sbc_peer_options_rtt_seconds",
        "From our OPTIONS to the answer of a peer of the trunk, whatever it said.",
        &["trunk"],
    ),
    (
        "sbc_sip_disconnect_seconds",
        "Session disconnect delay (SDD, RFC 6076 section 4.4): from our BYE to its 2xx from the peer of the trunk.",
        &["trunk"],
    ),
];

/// Turns what the shards have counted into metrics when they are asked for.
pub struct SignallingCollector {
    tally: Tally,
    descs: Vec<Desc>,
}

impl SignallingCollector {
    /// A collector over the counters of all shards.
    ///
    /// # Errors
    /// If a name is malformed, which a test excludes.
    pub fn new(tally: Tally) -> Result<Self, prometheus::Error> {
        let desc = |(name, help, labels): &(&str, &str, &[&str])| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(
                (*name).to_owned(),
                (*help).to_owned(),
                labels,
                HashMap::new(),
            )
        };
        Ok(Self {
            tally,
            descs: ALL.iter().map(desc).collect::<Result<_, _>>()?,
        })
    }
}

impl Collector for SignallingCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let figures = self.tally.figures();
        let mut all = ALL.map(|_| Vec::new());
        let [
            requests,
            responses,
            repeated,
            missed,
            transactions,
            dialogs,
            refreshes,
            answers,
            disconnects,
        ] = &mut all;
        for (name, of) in &figures.trunks {
            let trunk = name.as_str();
            for ((dir, method, protocol), count) in &of.requests {
                let values = [dir.as_str(), method.as_str(), protocol.uri_name(), trunk];
                requests.push(counter(0, &values, *count));
            }
            for ((dir, method, code), count) in &of.responses {
                let code = code.to_string();
                let values = [code.as_str(), dir.as_str(), method.as_str(), trunk];
                responses.push(counter(1, &values, *count));
            }
            for (dir, what, count) in repetitions(of) {
                let values = [dir.as_str(), what.as_str(), trunk];
                repeated.push(counter(2, &values, count));
            }
            for (what, count) in misses(of) {
                missed.push(counter(3, &[what.as_str(), trunk], count));
            }
            for ((role, result), count) in &of.refreshes {
                let values = [result.as_str(), role.as_str(), trunk];
                refreshes.push(counter(6, &values, *count));
            }
            if of.answers.count > 0 {
                answers.push(histogram(7, &[trunk], &of.answers));
            }
            if of.disconnects.count > 0 {
                disconnects.push(histogram(8, &[trunk], &of.disconnects));
            }
        }
        transactions.extend(transactions_of(&figures));
        let held = figures.held;
        for (state, count) in [("live", held.dialogs), ("ended", held.ended_dialogs)] {
            dialogs.push(gauge(5, &[state], count));
        }
        let families = ALL.iter().zip(all).filter(|(_, series)| !series.is_empty());
        families
            .map(|((name, help, _), series)| {
                let mut family = MetricFamily::default();
                family.set_name((*name).to_owned());
                family.set_help((*help).to_owned());
                family.set_field_type(match super::kind_by_name(name) {
                    "counter" => MetricType::COUNTER,
                    "histogram" => MetricType::HISTOGRAM,
                    _ => MetricType::GAUGE,
                });
                family.set_metric(series);
                family
            })
            .collect()
    }
}

/// What was repeated; of a trunk that we send to our requests always.
fn repetitions(of: &TrunkFigures) -> impl Iterator<Item = (Direction, Repeated, u64)> {
    let sends = sends(of);
    let all = Direction::ALL.into_iter();
    let all = all.flat_map(|dir| Repeated::ALL.map(|what| (dir, what)));
    all.filter_map(move |(dir, what)| {
        let count = of.repeated.get(&(dir, what)).copied();
        let is_shown = sends && (dir, what) == (Direction::Out, Repeated::Request);
        Some((dir, what, count.or(is_shown.then_some(0))?))
    })
}

/// What did not come in time; of a trunk that we send to answers always.
fn misses(of: &TrunkFigures) -> impl Iterator<Item = (Missed, u64)> {
    let sends = sends(of);
    Missed::ALL.into_iter().filter_map(move |what| {
        let count = of.missed.get(&what).copied();
        let is_shown = sends && matches!(what, Missed::B | Missed::F);
        Some((what, count.or(is_shown.then_some(0))?))
    })
}

fn sends(of: &TrunkFigures) -> bool {
    of.requests.keys().any(|(dir, ..)| *dir == Direction::Out)
}

fn transactions_of(figures: &Figures) -> impl Iterator<Item = Metric> {
    let held = figures.held;
    let types = [
        ("ict", held.invite_clients),
        ("ist", held.invite_servers),
        ("nict", held.clients),
        ("nist", held.servers),
    ];
    types
        .into_iter()
        .map(|(kind, count)| gauge(4, &[kind], count))
}

/// A series of the family with this number.
fn series(family: usize, values: &[&str]) -> Metric {
    let labels = ALL.get(family).map_or(&[][..], |(_, _, labels)| labels);
    let pairs = labels.iter().zip(values).map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}

fn counter(family: usize, values: &[&str], count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = series(family, values);
    metric.set_counter(counter);
    metric
}

fn gauge(family: usize, values: &[&str], count: u64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(count as f64);
    let mut metric = series(family, values);
    metric.set_gauge(gauge);
    metric
}

fn histogram(family: usize, values: &[&str], answers: &Answers) -> Metric {
    let mut so_far = 0;
    let buckets = Answers::ends().into_iter().zip(answers.counts);
    let buckets = buckets.map(|(end, count)| {
        so_far += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(end);
        bucket.set_cumulative_count(so_far);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(answers.count);
    histogram.set_sample_sum(answers.sum_us as f64 / 1e6);
    let mut metric = series(family, values);
    metric.set_histogram(histogram);
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::metrics::Metrics;
    use sbc_core::config::{Assumed, Source, load};
    use sbc_core::core::{Core, Together};
    use sbc_core::effect::Effects;
    use sbc_core::id::{FlowId, ShardId};
    use sbc_core::input::Input;
    use sbc_core::mint::Mint;
    use sbc_core::sip::{Limits, Message};
    use sbc_core::time::{Now, Timestamp, UnixTime};
    use sbc_core::transport::{Flow, Protocol};
    use std::sync::Arc;
    use std::time::Duration;

    const CONFIG: &str = r#"
[node]
id = "sbc1"

[[realm]]
name = "outside"
addresses = ["192.0.2.11"]
ports = "20000-29999"

[[listen]]
realm = "outside"
transport = "udp"
port = 5060

[[trunk]]
name = "carrier"
preset = "carrier"
tenant = "*"
realm = "outside"
targets = ["198.51.100.20:5060;udp"]
accept_from = ["198.51.100.16/28"]
"#;

    #[test]
    fn what_shards_count_is_scraped_by_trunk_and_what_never_was_is_not() {
        let together = Together::default();
        let metrics = Metrics::new().unwrap();
        let collector = SignallingCollector::new(together.tally()).unwrap();
        metrics.add_collector(Box::new(collector)).unwrap();
        let facts = Assumed::with_names(["sbc1.example"]);
        let loaded = load(&[Source::new("causeway.toml", CONFIG)], &facts, None);
        let loaded = loaded.unwrap_or_else(|findings| panic!("{}", findings.to_text()));
        let config = Arc::new(loaded.config);
        let mut shards: Vec<Core> = (0..2)
            .map(|number| {
                let mint = Mint::new(ShardId(number), [number; 32]);
                let core = Core::new(ShardId(number), Arc::clone(&config), mint);
                core.among(2).counting(&together)
            })
            .collect();
        let at = |seconds: u64| Now {
            mono: Timestamp::from_micros(0) + Duration::from_secs(seconds),
            wall: UnixTime::default(),
        };
        let mut out = Effects::default();
        for (number, core) in shards.iter_mut().enumerate() {
            let text = format!(
                "OPTIONS sip:192.0.2.11 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.20;branch=z9hG4bK{number}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:a@198.51.100.20>;tag=1\r\nTo: <sip:192.0.2.11>\r\n\
                 Call-ID: {number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            );
            let message = Message::parse(text.into_bytes().into(), &Limits::default()).unwrap();
            let flow = Flow {
                id: FlowId(1),
                listener: config.listeners.keys().next().unwrap().clone(),
                protocol: Protocol::Udp,
                local: "192.0.2.11:5060".parse().unwrap(),
                remote: "198.51.100.20:5060".parse().unwrap(),
                identity: None,
                tls: None,
            };
            core.apply(at(1), Input::Received { flow, message }, &mut out);
            core.apply(at(1), Input::Config(Arc::clone(&config)), &mut out);
        }
        let first = shards.first_mut().unwrap();
        for second in 2..50 {
            first.apply(at(second), Input::Tick, &mut out);
        }
        let text = metrics.text();
        for line in [
            "sbc_sip_requests_total{dir=\"in\",method=\"OPTIONS\",transport=\"udp\",trunk=\"carrier\"} 2",
            "sbc_sip_responses_total{code=\"200\",dir=\"out\",method=\"OPTIONS\",trunk=\"carrier\"} 2",
            "sbc_sip_timeouts_total{timer=\"B\",trunk=\"carrier\"} 0",
            "sbc_sip_timeouts_total{timer=\"F\",trunk=\"carrier\"} 1",
            "sbc_sip_transactions{type=\"ict\"} 0",
            "sbc_sip_dialogs{state=\"live\"} 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        let again =
            "sbc_sip_retransmissions_total{dir=\"out\",kind=\"request\",trunk=\"carrier\"} ";
        let again = text.lines().find_map(|line| line.strip_prefix(again));
        assert!(again.unwrap().parse::<u64>().unwrap() >= 5, "{text}");
        assert!(!text.contains("timer=\"H\""), "{text}");
    }
}
