//! Media in figures, read from the relay's totals at scrape time: the packet path counts plain
//! numbers and knows no metrics (operations, section 2).
//!
//! The size of a port pool is `sbc_media_ports_limit`: the name with `_total` belongs to counters,
//! and `promtool check metrics` refuses it for anything else.

use media_api::DropReason;
use media_relay::DELAY_US;
use media_relay::transcode::{TRANSCODED_FROM, TRANSCODED_INTO, Transcoded};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, Metric, MetricFamily, MetricType};
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};
use sbc_core::id::RealmName;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Drops that are errors of SRTP, by kind.
const SRTP_ERRORS: [(&str, DropReason); 3] = [
    ("auth", DropReason::Authentication),
    ("replay", DropReason::Replay),
    ("no_key", DropReason::NoKey),
];

/// Checks of ICE that were refused.
const REFUSED_CHECKS: [(&str, DropReason); 2] = [
    ("check_name", DropReason::CheckName),
    ("check_integrity", DropReason::CheckIntegrity),
];

/// Ends of handshakes, in the order of [`MediaFigures::handshakes`].
const HANDSHAKES: [&str; 5] = ["ok", "fingerprint", "timeout", "handshake", "closed"];

/// The relay's totals at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct MediaFigures {
    /// Per network side.
    pub realms: Vec<RealmFigures>,
    /// Media sessions that exist.
    pub sessions: u64,
    /// Directions of streams that are transcoded, by what comes in and what goes out.
    pub transcodes: Transcoded,
    /// Panics caught in workers.
    pub panics: u64,
    /// Reports of RTCP that a relay in a process of its own had no room to tell.
    pub reports_lost: u64,
    /// Handshakes of DTLS-SRTP that came to keys, and those that failed by [`media_api::HandshakeFault`].
    pub handshakes: [u64; 5],
    /// Pairs of ICE that peers have nominated.
    pub nominated: u64,
    /// Roll-over counters of SRTP that were found anew.
    pub resynchronised: u64,
    /// Measured packets by how long they took, as [`DELAY_US`] has it; the last took longer.
    pub delays: [u64; DELAY_US.len() + 1],
    /// Microseconds of all measured packets together.
    pub delay_us: u64,
    /// Whether calls can have media: there is a relay, and it makes progress.
    pub has_relay: bool,
    /// Relays in a process of their own that have ended under the daemon.
    pub relays_lost: u64,
    /// What serves each address: realm, address, and the backend as `causeway media status` has it.
    pub backends: Vec<(RealmName, IpAddr, &'static str)>,
}

/// Totals of one network side; counters since the start.
#[derive(Clone, PartialEq, Debug)]
pub struct RealmFigures {
    /// The realm.
    pub realm: RealmName,
    /// Packets and bytes received and used.
    pub received: (u64, u64),
    /// Packets and bytes sent.
    pub sent: (u64, u64),
    /// Packets lost on the way to us.
    pub lost: i64,
    /// Packets dropped, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Mean interarrival jitter in seconds.
    pub jitter_seconds: f64,
    /// Port pairs in use and in all.
    pub ports: (u64, u64),
}

/// Turns figures into metrics when they are asked for.
pub struct MediaCollector {
    read: Box<dyn Fn() -> MediaFigures + Send + Sync>,
    packets: IntCounterVec,
    bytes: IntCounterVec,
    dropped: IntCounterVec,
    srtp_errors: IntCounterVec,
    handshakes: IntCounterVec,
    ice: IntCounterVec,
    delay: DelayShown,
    lost: IntGaugeVec,
    jitter: GaugeVec,
    ports_used: IntGaugeVec,
    ports_total: IntGaugeVec,
    sessions: IntGauge,
    transcodes: IntGaugeVec,
    relay_up: IntGauge,
    relays_lost: IntCounter,
    backend: IntGaugeVec,
    panics: IntCounter,
    reports_lost: IntCounter,
    /// Two scrapes at a time would each add the same difference.
    turn: Mutex<()>,
}

impl MediaCollector {
    /// A collector over a source of figures. `panics` is the counter of caught panics, `reports_lost` that of reports
    /// without room.
    ///
    /// # Errors
    /// If a name is malformed, which a test excludes.
    pub fn new(
        read: Box<dyn Fn() -> MediaFigures + Send + Sync>,
        panics: IntCounter,
        reports_lost: IntCounter,
    ) -> Result<Self, prometheus::Error> {
        let both = ["realm", "dir"];
        Ok(Self {
            read,
            packets: IntCounterVec::new(
                Opts::new("sbc_rtp_packets_total", "RTP and RTCP packets relayed."),
                &both,
            )?,
            bytes: IntCounterVec::new(
                Opts::new("sbc_rtp_bytes_total", "Bytes of RTP packets relayed."),
                &both,
            )?,
            dropped: IntCounterVec::new(
                Opts::new("sbc_rtp_dropped_total", "Media packets dropped, by reason."),
                &["realm", "reason"],
            )?,
            srtp_errors: IntCounterVec::new(
                Opts::new(
                    "sbc_srtp_errors_total",
                    "SRTP packets that were dropped: authentication failed (auth), came before or are too old (replay), \
                     or came before there was a key (no_key); and how often a peer's roll-over counter was found to be \
                     another than expected, after which its packets pass again (roc_resync).",
                ),
                &["kind"],
            )?,
            handshakes: IntCounterVec::new(
                Opts::new(
                    "sbc_dtls_handshakes_total",
                    "Handshakes of DTLS-SRTP by how they ended: ok, or why there are no keys.",
                ),
                &["result"],
            )?,
            ice: IntCounterVec::new(
                Opts::new(
                    "sbc_ice_events_total",
                    "Pairs that peers have nominated (nominated), and checks that were refused because of their name \
                     (check_name) or their integrity (check_integrity).",
                ),
                &["result"],
            )?,
            delay: DelayShown::new()?,
            lost: IntGaugeVec::new(
                Opts::new(
                    "sbc_rtp_lost_packets",
                    "RTP packets lost on the way to us since the start; a late packet is subtracted again.",
                ),
                &["realm"],
            )?,
            jitter: GaugeVec::new(
                Opts::new(
                    "sbc_rtp_jitter_mean_seconds",
                    "Mean interarrival jitter over all samples since the start.",
                ),
                &["realm"],
            )?,
            ports_used: IntGaugeVec::new(
                Opts::new("sbc_media_ports_used", "Media port pairs in use."),
                &["realm"],
            )?,
            ports_total: IntGaugeVec::new(
                Opts::new("sbc_media_ports_limit", "Media port pairs of the realm."),
                &["realm"],
            )?,
            sessions: IntGauge::new("sbc_media_sessions", "Media sessions that exist.")?,
            transcodes: IntGaugeVec::new(
                Opts::new(
                    "sbc_transcodes_active",
                    "Streams that are transcoded now, each direction by itself, by the codec that comes in (CN: nothing but \
                     comfort noise yet) and the one that goes out.",
                ),
                &["from", "to"],
            )?,
            relay_up: IntGauge::new(
                "sbc_media_relay_up",
                "1 while there is a media relay that makes progress; without one new calls are refused.",
            )?,
            relays_lost: IntCounter::new(
                "sbc_media_relays_lost_total",
                "Media relays in a process of their own that have ended, and calls with them.",
            )?,
            backend: IntGaugeVec::new(
                Opts::new(
                    "sbc_media_backend",
                    "Always 1; the labels tell what serves media of each address now: socket, xdp in the driver, or xdp \
                     behind the driver.",
                ),
                &["realm", "address", "backend"],
            )?,
            panics,
            reports_lost,
            turn: Mutex::new(()),
        })
    }

    fn refresh(&self) {
        let figures = (self.read)();
        let mut errors = BTreeMap::from([("roc_resync", figures.resynchronised)]);
        let mut checks = BTreeMap::from([("nominated", figures.nominated)]);
        for each in &figures.realms {
            let realm = each.realm.as_str();
            for (dir, (packets, bytes)) in [("in", each.received), ("out", each.sent)] {
                raise(&self.packets.with_label_values(&[realm, dir]), packets);
                raise(&self.bytes.with_label_values(&[realm, dir]), bytes);
            }
            for (reason, count) in DropReason::ALL.iter().zip(each.dropped) {
                raise(
                    &self.dropped.with_label_values(&[realm, reason.label()]),
                    count,
                );
            }
            for (kind, reason) in SRTP_ERRORS {
                let count = each.dropped[reason as usize];
                *errors.entry(kind).or_insert(0) += count;
            }
            for (result, reason) in REFUSED_CHECKS {
                let count = each.dropped[reason as usize];
                *checks.entry(result).or_insert(0) += count;
            }
            self.lost.with_label_values(&[realm]).set(each.lost);
            self.jitter
                .with_label_values(&[realm])
                .set(each.jitter_seconds);
            let (used, total) = each.ports;
            self.ports_used
                .with_label_values(&[realm])
                .set(signed(used));
            self.ports_total
                .with_label_values(&[realm])
                .set(signed(total));
        }
        for (kind, count) in errors {
            raise(&self.srtp_errors.with_label_values(&[kind]), count);
        }
        for (result, count) in checks {
            raise(&self.ice.with_label_values(&[result]), count);
        }
        for (result, count) in HANDSHAKES.iter().zip(figures.handshakes) {
            raise(&self.handshakes.with_label_values(&[result]), count);
        }
        self.delay.set(&figures.delays, figures.delay_us);
        self.sessions.set(signed(figures.sessions));
        for (from, row) in TRANSCODED_FROM.iter().zip(figures.transcodes) {
            for (to, count) in TRANSCODED_INTO.iter().zip(row) {
                let active = self.transcodes.with_label_values(&[from, to]);
                active.set(signed(count));
            }
        }
        self.relay_up.set(i64::from(figures.has_relay));
        raise(&self.relays_lost, figures.relays_lost);
        self.backend.reset();
        for (realm, address, backend) in &figures.backends {
            let address = address.to_string();
            let labels = [realm.as_str(), address.as_str(), backend];
            self.backend.with_label_values(&labels).set(1);
        }
        raise(&self.panics, figures.panics);
        raise(&self.reports_lost, figures.reports_lost);
    }
}

impl Collector for MediaCollector {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.packets.desc();
        all.extend(self.bytes.desc());
        all.extend(self.dropped.desc());
        all.extend(self.srtp_errors.desc());
        all.extend(self.handshakes.desc());
        all.extend(self.ice.desc());
        all.push(&self.delay.desc);
        all.extend(self.lost.desc());
        all.extend(self.jitter.desc());
        all.extend(self.ports_used.desc());
        all.extend(self.ports_total.desc());
        all.extend(self.sessions.desc());
        all.extend(self.transcodes.desc());
        all.extend(self.relay_up.desc());
        all.extend(self.relays_lost.desc());
        all.extend(self.backend.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh();
        let mut all = self.packets.collect();
        all.extend(self.bytes.collect());
        all.extend(self.dropped.collect());
        all.extend(self.srtp_errors.collect());
        all.extend(self.handshakes.collect());
        all.extend(self.ice.collect());
        all.push(self.delay.family());
        all.extend(self.lost.collect());
        all.extend(self.jitter.collect());
        all.extend(self.ports_used.collect());
        all.extend(self.ports_total.collect());
        all.extend(self.sessions.collect());
        all.extend(self.transcodes.collect());
        all.extend(self.relay_up.collect());
        all.extend(self.relays_lost.collect());
        all.extend(self.backend.collect());
        all
    }
}

/// How long packets took through us, of those that were measured.
struct DelayShown {
    desc: Desc,
    now: Mutex<Histogram>,
}

const DELAY: &str = "sbc_media_forward_delay_seconds";
const DELAY_HELP: &str = "From taking media packets from a socket until they were sent on: one turn in about a thousand \
                          packets is measured. What packets wait for in the kernel is not in it.";

impl DelayShown {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            desc: Desc::new(
                DELAY.to_owned(),
                DELAY_HELP.to_owned(),
                Vec::new(),
                HashMap::new(),
            )?,
            now: Mutex::default(),
        })
    }

    fn set(&self, counts: &[u64; DELAY_US.len() + 1], sum_us: u64) {
        let mut so_far = 0;
        let buckets = DELAY_US.iter().zip(counts).map(|(end, count)| {
            so_far += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*end as f64 / 1e6);
            bucket.set_cumulative_count(so_far);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum_us as f64 / 1e6);
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = histogram;
    }

    fn family(&self) -> MetricFamily {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let mut metric = Metric::default();
        metric.set_histogram(now.clone());
        let mut family = MetricFamily::default();
        family.set_name(DELAY.to_owned());
        family.set_help(DELAY_HELP.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        family
    }
}

/// Brings a counter up to a total that somebody else counts.
pub(super) fn raise(counter: &IntCounter, total: u64) {
    let difference = total.saturating_sub(counter.get());
    if difference > 0 {
        counter.inc_by(difference);
    }
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::metrics::Metrics;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn counters_follow_the_relays_totals() {
        let metrics = Metrics::new().unwrap();
        let packets = Arc::new(AtomicU64::new(5));
        let read = {
            let packets = Arc::clone(&packets);
            move || MediaFigures {
                realms: vec![RealmFigures {
                    realm: RealmName::new("core"),
                    received: (packets.load(Ordering::Relaxed), 100),
                    sent: (0, 0),
                    lost: -1,
                    dropped: std::array::from_fn(|at| match DropReason::ALL[at] {
                        DropReason::Replay => 7,
                        DropReason::CheckIntegrity => 8,
                        _ => 0,
                    }),
                    jitter_seconds: 0.002,
                    ports: (2, 50),
                }],
                sessions: 1,
                transcodes: {
                    let mut transcodes = Transcoded::default();
                    (transcodes[0][3], transcodes[3][0]) = (2, 1);
                    transcodes
                },
                panics: 0,
                reports_lost: 6,
                has_relay: true,
                relays_lost: 2,
                backends: vec![(
                    RealmName::new("core"),
                    "192.0.2.1".parse().unwrap(),
                    "socket",
                )],
                handshakes: [3, 0, 1, 0, 0],
                nominated: 4,
                resynchronised: 5,
                delays: [5, 0, 2, 0, 0, 0, 0, 0, 1],
                delay_us: 250_000,
            }
        };
        let panics = metrics.panics.with_label_values(&["media"]);
        let lost = metrics.queue_dropped.with_label_values(&["media_reports"]);
        let collector = MediaCollector::new(Box::new(read), panics, lost).unwrap();
        metrics.add_collector(Box::new(collector)).unwrap();
        let series = "sbc_rtp_packets_total{dir=\"in\",realm=\"core\"}";
        assert!(metrics.text().contains(&format!("{series} 5")));
        packets.store(9, Ordering::Relaxed);
        let text = metrics.text();
        assert!(text.contains(&format!("{series} 9")));
        assert!(text.contains("sbc_rtp_lost_packets{realm=\"core\"} -1"));
        assert!(text.contains("sbc_media_ports_used{realm=\"core\"} 2"));
        for line in [
            "sbc_transcodes_active{from=\"PCMA\",to=\"opus\"} 2",
            "sbc_transcodes_active{from=\"opus\",to=\"PCMA\"} 1",
            "sbc_transcodes_active{from=\"CN\",to=\"G722\"} 0",
            "sbc_srtp_errors_total{kind=\"replay\"} 7",
            "sbc_srtp_errors_total{kind=\"auth\"} 0",
            "sbc_srtp_errors_total{kind=\"roc_resync\"} 5",
            "sbc_dtls_handshakes_total{result=\"ok\"} 3",
            "sbc_dtls_handshakes_total{result=\"timeout\"} 1",
            "sbc_ice_events_total{result=\"nominated\"} 4",
            "sbc_ice_events_total{result=\"check_integrity\"} 8",
            "sbc_media_forward_delay_seconds_bucket{le=\"0.002\"} 7",
            "sbc_media_forward_delay_seconds_bucket{le=\"+Inf\"} 8",
            "sbc_media_forward_delay_seconds_sum 0.25",
            "sbc_media_backend{address=\"192.0.2.1\",backend=\"socket\",realm=\"core\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.contains("sbc_media_relay_up 1"));
        assert!(text.contains("sbc_media_relays_lost_total 2"));
        assert!(text.contains("sbc_queue_dropped_total{queue=\"media_reports\"} 6"));
    }
}
