//! Metrics in Prometheus form: every handle is resolved once and kept.
//!
//! Label values come from the configuration or from closed lists, never from the network, so the
//! number of series is bounded by the configuration (operations, section 2).

mod acme;
mod bindings;
mod calls;
mod cap;
mod certificates;
mod chains;
mod defined;
mod delivery;
mod figures;
mod help;
mod hep;
mod media;
mod net;
mod ng;
mod notices;
pub(crate) mod open;
mod options;
mod presence;
mod process;
mod protection;
mod proxied;
mod registrations;
#[cfg(test)]
mod scrape;
mod ship;
mod signalling;
mod spending;
mod workers;

pub use acme::AcmeMetrics;
pub use bindings::BindingMetrics;
pub use calls::{CallMetrics, PeerHealth, SoFar};
pub use certificates::CertificateMetrics;
pub use chains::{ChainMetrics, Shown};
pub use defined::{KEY_FIGURES, KeyFigure, key_figures};
pub use delivery::DeliveryMetrics;
pub use figures::{Figure, Figures, Sum, Way};
pub use help::HelpMetrics;
pub use hep::{CollectorMetrics, HepMetrics};
pub use media::{MediaCollector, MediaFigures, RealmFigures};
pub use net::{AskedName, ConnectionState, Direction, ListenerMetrics, NetMetrics};
pub use ng::NgCollector;
pub use notices::NoticeMetrics;
pub use options::OptionsMetrics;
pub use presence::PresenceMetrics;
pub(crate) use process::{cpu_seconds, resident_bytes};
pub use protection::ProtectionMetrics;
pub use proxied::ProxiedMetrics;
pub use registrations::RegistrationMetrics;
pub use ship::ShipMetrics;
pub use signalling::SignallingCollector;
pub use spending::SpendCollector;

use media_ng::Counters;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use sbc_core::config::MOST_SERIES;
use sbc_core::id::TenantName;
use sbc_core::policy::spend::Spending;
use sbc_core::tally::Tally;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    /// What has been registered.
    known: Mutex<Vec<Metric>>,
    /// Sockets, messages, TLS.
    pub net: NetMetrics,
    /// Calls, attempts and their ends.
    pub calls: CallMetrics,
    /// What became of calls.
    pub delivery: DeliveryMetrics,
    /// Calls for help.
    pub help: HelpMetrics,
    /// Registrations of trunks.
    pub registrations: RegistrationMetrics,
    /// What peers have registered with us.
    pub bindings: BindingMetrics,
    /// Certificates that an authority issues.
    pub acme: AcmeMetrics,
    /// OPTIONS between us and the proxies of Teams.
    pub options: OptionsMetrics,
    /// Ends of certificates.
    pub certificates: CertificateMetrics,
    /// What Teams shows of its authorities.
    pub chains: ChainMetrics,
    /// Notices of Microsoft.
    pub notices: NoticeMetrics,
    /// Frames for collectors of HEP3.
    pub hep: HepMetrics,
    /// Records that are sent to whoever keeps them.
    pub ship: ShipMetrics,
    /// Presence of users.
    pub presence: PresenceMetrics,
    /// Whom operators ban and let in.
    pub protection: ProtectionMetrics,
    /// Panics caught, by component; must be 0.
    pub panics: IntCounterVec,
    /// Lines, records and entries lost because a sink did not keep up, by queue.
    pub queue_dropped: IntCounterVec,
    /// Entries waiting, by queue.
    pub queue_depth: IntGaugeVec,
    /// From the arrival of an input in the inbox to its turn.
    pub inbox_wait: Histogram,
    /// Name look-ups by result.
    pub dns: IntCounterVec,
    /// Duration of name look-ups.
    pub dns_seconds: Histogram,
    /// Answers served although they were older than their lifetime.
    pub dns_stale: IntCounter,
    config_generation: IntGauge,
    config_success: IntGauge,
    config_reloaded: Gauge,
    config_fallback: IntGauge,
    up_state: IntGaugeVec,
    lists: GaugeVec,
    dropped_series: IntCounter,
    most_series: AtomicUsize,
}

/// What one metric is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metric {
    /// As it is scraped; a histogram has `_bucket`, `_sum` and `_count` behind it.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// What it says.
    pub help: String,
}

/// Every metric that a daemon can have, and those of a relay that serves a proxy, by name.
///
/// # Errors
/// If two metrics have one name, which a test excludes.
pub fn catalogue() -> Result<Vec<Metric>, prometheus::Error> {
    let metrics = Metrics::new()?;
    let media = MediaCollector::new(
        Box::new(MediaFigures::default),
        metrics.panics.with_label_values(&["media"]),
        metrics.queue_dropped.with_label_values(&["media_reports"]),
    )?;
    metrics.add_collector(Box::new(media))?;
    let signalling = SignallingCollector::new(Tally::default())?;
    metrics.add_collector(Box::new(signalling))?;
    let spending = SpendCollector::new(Spending::default().books(), Instant::now())?;
    metrics.add_collector(Box::new(spending))?;
    let ng = NgCollector::new(Box::new(Counters::default))?;
    metrics.add_collector(Box::new(ng))?;
    let mut known = metrics
        .known
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    known.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(known)
}

/// Notes what a collector has.
fn note(
    known: &Mutex<Vec<Metric>>,
    collector: &dyn Collector,
    kind: impl Fn(&str) -> &'static str,
) {
    let described = collector.desc().into_iter().map(|desc| Metric {
        name: desc.fq_name.clone(),
        kind: kind(&desc.fq_name),
        labels: desc.variable_labels.clone(),
        help: desc.help.clone(),
    });
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.extend(described);
}

/// Of figures that are read at scrape time.
fn kind_by_name(name: &str) -> &'static str {
    match name {
        "sbc_peer_options_rtt_seconds"
        | "sbc_sip_disconnect_seconds"
        | "sbc_media_forward_delay_seconds" => "histogram",
        name if name.ends_with("_total") => "counter",
        _ => "gauge",
    }
}

/// What the node is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpState {
    /// Not ready yet.
    Starting,
    /// Serving.
    Active,
    /// Finishing calls, taking no new ones.
    Draining,
}

impl UpState {
    const ALL: [Self; 3] = [Self::Starting, Self::Active, Self::Draining];

    /// Label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Draining => "draining",
        }
    }
}

/// Buckets of set-up times in seconds.
pub(super) const SETUP_SECONDS: [f64; 15] = [
    0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 60.0,
];

/// The label of a customer; empty for nobody.
fn label(tenant: Option<&TenantName>) -> &str {
    tenant.map_or("", TenantName::as_str)
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// If two metrics have one name, which a test excludes.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let known = Mutex::default();
        let maker = Maker {
            registry: &registry,
            known: &known,
        };
        process_and_build(&maker)?;
        maker.collector(Box::new(workers::WorkerCollector::new()?))?;
        let mut metrics = Self {
            net: NetMetrics::new(&maker)?,
            calls: CallMetrics::new(&maker)?,
            delivery: DeliveryMetrics::new(&maker)?,
            help: HelpMetrics::new(&maker)?,
            registrations: RegistrationMetrics::new(&maker)?,
            bindings: BindingMetrics::new(&maker)?,
            acme: AcmeMetrics::new(&maker)?,
            options: OptionsMetrics::new(&maker)?,
            certificates: CertificateMetrics::new(&maker)?,
            chains: ChainMetrics::new(&maker)?,
            notices: NoticeMetrics::new(&maker)?,
            hep: HepMetrics::new(&maker)?,
            ship: ShipMetrics::new(&maker)?,
            presence: PresenceMetrics::new(&maker)?,
            protection: ProtectionMetrics::new(&maker)?,
            panics: maker.panics()?,
            queue_dropped: maker.queue_dropped()?,
            queue_depth: maker.gauges(
                "sbc_queue_depth",
                "Entries waiting in a queue.",
                &["queue"],
            )?,
            inbox_wait: maker.histogram(
                "sbc_event_loop_lag_seconds",
                "From the arrival of an input to its turn.",
                &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0],
            )?,
            dns: maker.counters(
                "sbc_dns_queries_total",
                "Name look-ups.",
                &["type", "result"],
            )?,
            dns_seconds: maker.histogram(
                "sbc_dns_query_seconds",
                "Duration of name look-ups.",
                &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0],
            )?,
            dns_stale: maker.counter(
                "sbc_dns_stale_served_total",
                "Answers served after their lifetime because the resolver failed.",
            )?,
            config_generation: maker.gauge(
                "sbc_config_generation",
                "Number of the configuration in use, from 1.",
            )?,
            config_success: maker.gauge(
                "sbc_config_last_reload_success",
                "1 if the last load of the configuration succeeded.",
            )?,
            config_fallback: maker.gauge(
                "sbc_config_fallback",
                "Whether the files could not be used at the start, so that the configuration used last is (1).",
            )?,
            config_reloaded: maker.float_gauge(
                "sbc_config_last_reload_timestamp_seconds",
                "When the configuration was last loaded with success.",
            )?,
            up_state: maker.gauges("sbc_up_state", "1 for what the node is doing.", &["state"])?,
            lists: maker.float_gauges(
                "sbc_stir_crl_next_update_timestamp_seconds",
                "When the first list of revoked credentials should be replaced by a newer one.",
                &[],
            )?,
            dropped_series: maker.counter(
                "sbc_metrics_dropped_series_total",
                "Series that were left out of a scrape because there were more than [metrics] max_series: the most of any \
                 scrape. \
                 The largest metrics are cut.",
            )?,
            most_series: AtomicUsize::new(MOST_SERIES),
            registry: registry.clone(),
            known: Mutex::default(),
        };
        metrics.known = known;
        for component in ["shard", "media"] {
            metrics.panics.with_label_values(&[component]);
        }
        // A counter that appears with its first loss hides that loss from rate().
        for queue in ["cdr", "cdr_start", "hep", "log", "media_reports"] {
            metrics.queue_dropped.with_label_values(&[queue]);
        }
        metrics.set_state(UpState::Starting);
        Ok(metrics)
    }

    /// The text form of everything.
    pub fn text(&self) -> String {
        // Ordering: the number stands for itself.
        self.text_of(self.most_series.load(Ordering::Relaxed))
    }

    /// The same in the form of OpenMetrics.
    pub fn open_text(&self) -> String {
        open::open(&self.text(), &self.calls.exemplars)
    }

    /// A scrape has no more series than this from now on.
    pub fn set_most_series(&self, most: usize) {
        self.most_series.store(most, Ordering::Relaxed);
    }

    /// Series that were left out of a scrape, because there were too many: the most of any.
    pub fn dropped_series(&self) -> u64 {
        self.dropped_series.get()
    }

    fn text_of(&self, most: usize) -> String {
        let mut families = self.registry.gather();
        let dropped = cap::cap(&mut families, most);
        if dropped > 0 {
            // Families without a series cannot be written.
            families.retain(|family| !family.get_metric().is_empty());
            let dropped = u64::try_from(dropped).unwrap_or(u64::MAX);
            let more = dropped.saturating_sub(self.dropped_series.get());
            self.dropped_series.inc_by(more);
        }
        text_of(&families)
    }

    /// Adds figures that are read at scrape time.
    ///
    /// # Errors
    /// If their names are taken.
    pub fn add_collector(&self, collector: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        note(&self.known, collector.as_ref(), kind_by_name);
        self.registry.register(collector)
    }

    /// Says what the node is doing.
    pub fn set_state(&self, state: UpState) {
        for each in UpState::ALL {
            self.up_state
                .with_label_values(&[each.as_str()])
                .set(i64::from(each == state));
        }
    }

    /// A configuration was loaded and is in use.
    pub fn config_loaded(&self, generation: u64, at_seconds: f64) {
        self.config_generation
            .set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.config_success.set(1);
        self.config_reloaded.set(at_seconds);
    }

    /// A configuration was refused; the old one stays.
    pub fn config_refused(&self) {
        self.config_success.set(0);
    }

    /// Whether the last one was refused.
    pub fn was_config_refused(&self) -> bool {
        self.config_success.get() == 0
    }

    /// Whether the configuration in use is an earlier one because the files of the start cannot be used.
    pub fn config_fallback(&self, is_fallback: bool) {
        self.config_fallback.set(i64::from(is_fallback));
    }

    /// When the first list of revoked credentials should be replaced, in seconds since 1970.
    pub fn set_lists_until(&self, until: Option<i64>) {
        self.lists.reset();
        if let Some(until) = until {
            let none: [&str; 0] = [];
            self.lists.with_label_values(&none).set(until as f64);
        }
    }
}

fn text_of(families: &[MetricFamily]) -> String {
    let mut buffer = Vec::new();
    match TextEncoder::new().encode(families, &mut buffer) {
        Ok(()) => String::from_utf8_lossy(&buffer).into_owned(),
        // Only a sample without a value cannot be written; none of ours is.
        Err(_) => String::new(),
    }
}

/// What the process is, and what it takes.
fn process_and_build(maker: &Maker<'_>) -> Result<(), prometheus::Error> {
    maker
        .gauges(
            "sbc_build_info",
            "Always 1; the labels tell what runs: commit is that of the build, where that was told, \
             and rustc the compiler.",
            &["version", "commit", "rustc"],
        )?
        .with_label_values(&[
            env!("CARGO_PKG_VERSION"),
            option_env!("CAUSEWAY_COMMIT").unwrap_or("unknown"),
            env!("CAUSEWAY_RUSTC"),
        ])
        .set(1);
    maker.collector(Box::new(process::ProcessCollector::new()?))
}

/// Makes metrics and registers them.
pub(super) struct Maker<'r> {
    registry: &'r Registry,
    known: &'r Mutex<Vec<Metric>>,
}

impl Maker<'_> {
    fn add(&self, made: Box<dyn Collector>, kind: &'static str) -> Result<(), prometheus::Error> {
        note(self.known, made.as_ref(), |_| kind);
        self.registry.register(made)
    }

    fn panics(&self) -> Result<IntCounterVec, prometheus::Error> {
        let help = "Panics that were caught; must be 0.";
        self.counters("sbc_panics_total", help, &["component"])
    }

    fn queue_dropped(&self) -> Result<IntCounterVec, prometheus::Error> {
        let help = "Entries lost because a queue was full.";
        self.counters("sbc_queue_dropped_total", help, &["queue"])
    }

    /// Figures that are read at scrape time.
    fn collector(&self, made: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        note(self.known, made.as_ref(), kind_by_name);
        self.registry.register(made)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let made = IntCounter::new(name, help)?;
        self.add(Box::new(made.clone()), "counter")?;
        Ok(made)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        let made = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.add(Box::new(made.clone()), "counter")?;
        Ok(made)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let made = IntGauge::new(name, help)?;
        self.add(Box::new(made.clone()), "gauge")?;
        Ok(made)
    }

    fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        let made = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.add(Box::new(made.clone()), "gauge")?;
        Ok(made)
    }

    fn float_gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        let made = Gauge::new(name, help)?;
        self.add(Box::new(made.clone()), "gauge")?;
        Ok(made)
    }

    fn float_gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GaugeVec, prometheus::Error> {
        let made = GaugeVec::new(Opts::new(name, help), labels)?;
        self.add(Box::new(made.clone()), "gauge")?;
        Ok(made)
    }

    fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let made = Histogram::with_opts(options)?;
        self.add(Box::new(made.clone()), "histogram")?;
        Ok(made)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let made = HistogramVec::new(options, labels)?;
        self.add(Box::new(made.clone()), "histogram")?;
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_registers_and_the_text_form_has_help_and_type() {
        let metrics = Metrics::new().unwrap();
        metrics.config_loaded(3, 1.5);
        let text = metrics.text();
        assert!(text.contains("sbc_config_generation 3"));
        assert!(text.contains("sbc_up_state{state=\"starting\"} 1"));
        assert!(text.contains("sbc_panics_total{component=\"shard\"} 0"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .filter(|family| text.contains(&format!("# TYPE {family} histogram")))
                .unwrap_or(name);
            assert!(text.contains(&format!("# TYPE {family} ")), "{name}");
            assert!(text.contains(&format!("# HELP {family} ")), "{name}");
        }
    }
}
