//! All metrics of a relay that serves a proxy: its media as the daemon tells its own, and what proxies have asked.

use super::kind_by_name;
use super::{
    Maker, MediaCollector, MediaFigures, Metric, NgCollector, note, process_and_build, text_of,
};
use media_ng::Counters;
use prometheus::core::Collector;
use prometheus::{IntCounterVec, Registry};
use std::sync::{Arc, Mutex, PoisonError};

/// What is told at the next scrape.
type Latest = Arc<Mutex<(MediaFigures, Counters)>>;

/// All metrics of the process.
pub struct ProxiedMetrics {
    registry: Registry,
    latest: Latest,
    queue_dropped: IntCounterVec,
}

impl ProxiedMetrics {
    /// Registers everything.
    ///
    /// # Errors
    /// If two metrics have one name, which a test excludes.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let known: Mutex<Vec<Metric>> = Mutex::default();
        let maker = Maker {
            registry: &registry,
            known: &known,
        };
        process_and_build(&maker)?;
        let panics = maker.panics()?;
        let queue_dropped = maker.queue_dropped()?;
        let latest = Latest::default();
        let read = |latest: &Latest| {
            let latest = Arc::clone(latest);
            move || {
                let latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
                latest.clone()
            }
        };
        let (media, ng) = (read(&latest), read(&latest));
        let media = MediaCollector::new(
            Box::new(move || media().0),
            panics.with_label_values(&["media"]),
            queue_dropped.with_label_values(&["media_reports"]),
        )?;
        let ng = NgCollector::new(Box::new(move || ng().1))?;
        let collectors: [Box<dyn Collector>; 2] = [Box::new(media), Box::new(ng)];
        for own in collectors {
            note(&known, own.as_ref(), kind_by_name);
            registry.register(own)?;
        }
        queue_dropped.with_label_values(&["log"]);
        Ok(Self {
            registry: registry.clone(),
            latest,
            queue_dropped,
        })
    }

    /// The text form of everything, with these figures; so many lines of the log were lost.
    pub fn text(&self, media: MediaFigures, ng: Counters, lost_lines: u64) -> String {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = (media, ng);
        drop(latest);
        let log = self.queue_dropped.with_label_values(&["log"]);
        log.inc_by(lost_lines.saturating_sub(log.get()));
        text_of(&self.registry.gather())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::metrics::catalogue;

    #[test]
    fn every_metric_of_a_relay_that_serves_a_proxy_is_in_the_reference() {
        let metrics = ProxiedMetrics::new().unwrap();
        let ng = Counters {
            refused: [1; media_ng::Refusal::ALL.len()],
            calls: 3,
            ..Counters::default()
        };
        let media = MediaFigures::default();
        let text = metrics.text(media.clone(), ng.clone(), 2);
        // Who looks twice sees the same.
        let again = metrics.text(media, ng, 2);
        for text in [&text, &again] {
            for line in [
                "sbc_ng_refused_total{why=\"unknown_call\"} 1",
                "sbc_ng_calls 3",
                "sbc_ng_requests_total{command=\"offer\"} 0",
                "sbc_ng_one_way_total{kind=\"no_packets\"} 0",
                "sbc_queue_dropped_total{queue=\"log\"} 2",
                "sbc_media_relay_up 0",
            ] {
                assert!(text.lines().any(|own| own == line), "{line}\n{text}");
            }
        }
        let known = catalogue().unwrap();
        let families: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        assert!(families.len() > 20, "{families:?}");
        for name in families {
            let own: Vec<_> = known.iter().filter(|metric| metric.name == name).collect();
            assert_eq!(own.len(), 1, "{name}");
            assert!(
                text.contains(&format!("# TYPE {name} {}\n", own[0].kind)),
                "{name}"
            );
        }
    }
}
