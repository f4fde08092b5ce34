//! What a scrape costs, and whom it holds up (OPS-001, OPS-010).

use super::Metrics;
use crate::sink::fixture::{media, record};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use sbc_core::event::{Event, Happened};
use sbc_core::id::{CallId, LegId, TrunkName};
use sbc_core::time::UnixTime;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A call of a trunk, from its beginning to its end.
fn call(metrics: &Metrics, number: u128, trunk: &str) {
    let mut ended = record(number);
    ended.ingress.trunk = TrunkName::new(trunk);
    ended.media = vec![media(0)];
    let started = Happened::Admitted {
        tenant: ended.tenant.clone(),
        trunk: TrunkName::new(trunk),
        calling: ended.calling.clone(),
        called: ended.called.clone(),
    };
    let answered = Happened::Answered { setup_ms: 2_000 };
    for what in [started, answered, Happened::Ended(Arc::new(ended))] {
        metrics.calls.apply(&Event {
            at: UnixTime::default(),
            call: Some(CallId(number)),
            leg: Some(LegId(0)),
            what,
        });
    }
}

/// Metrics of a node with so many trunks that have had calls.
fn metrics_of(trunks: u128) -> Metrics {
    let metrics = Metrics::new().unwrap();
    for number in 0..trunks {
        call(&metrics, number, &format!("trunk-{number}"));
    }
    metrics
}

fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

/// CPU time of this thread that a scrape takes for a series, the best of several.
fn cost(metrics: &Metrics) -> (usize, Duration) {
    let cpu = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(now).unwrap()
    };
    let scrapes = (0..5).map(|_| {
        let begun = cpu();
        let count = series(&metrics.text());
        (cpu() - begun, count)
    });
    let (took, count) = scrapes.min().unwrap();
    (count, took / u32::try_from(count).unwrap())
}

#[test]
fn a_scrape_of_20_000_series_costs_each_no_more_than_one_of_few() {
    let (few, many) = (metrics_of(40), metrics_of(600));
    let (few, each_of_few) = cost(&few);
    let (many, each_of_many) = cost(&many);
    assert!(few < 4_000 && many >= 20_000, "{few}, {many}");
    assert!(
        each_of_many <= 4 * each_of_few,
        "{each_of_many:?} of {many}, {each_of_few:?} of {few}"
    );
}

/// Figures whose reading stands still until somebody says go.
struct Still {
    begun: Sender<()>,
    goes: Mutex<Receiver<()>>,
}

impl Collector for Still {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.begun.send(()).unwrap();
        self.goes.lock().unwrap().recv().unwrap();
        Vec::new()
    }
}

#[test]
fn a_scrape_that_stands_still_holds_up_no_call() {
    let metrics = Arc::new(metrics_of(10));
    let ((begun, begins), (go, goes)) = (channel(), channel());
    let goes = Mutex::new(goes);
    let still = Still { begun, goes };
    metrics.add_collector(Box::new(still)).unwrap();
    let scraped = {
        let metrics = Arc::clone(&metrics);
        std::thread::spawn(move || metrics.text())
    };
    begins.recv().unwrap();
    // Also a trunk that has no series yet.
    for number in 100..110 {
        call(&metrics, number, &format!("trunk-{}", number % 3));
        call(&metrics, number + 1_000, &format!("new-{number}"));
    }
    assert!(!scraped.is_finished());
    go.send(()).unwrap();
    assert!(series(&scraped.join().unwrap()) > 0);
}
