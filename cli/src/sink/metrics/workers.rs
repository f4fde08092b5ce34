//! How busy each thread is that serves calls: its time on a processor since the scrape before, read from
//! `/proc/self/task` when it is asked for, so that nobody measures himself.

use super::process::cpu_seconds_in;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Two scrapes that are nearer to each other show the same: the kernel counts in hundredths of a second.
const LEAST: Duration = Duration::from_secs(1);

/// Reads the figures when they are asked for.
pub(super) struct WorkerCollector {
    ratio: GaugeVec,
    before: Mutex<(Instant, BTreeMap<String, f64>)>,
}

impl WorkerCollector {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let options = Opts::new(
            "sbc_worker_busy_ratio",
            "Share of the time since the scrape before that a shard (signalling) or media worker of this process was on \
             a processor.",
        );
        Ok(Self {
            ratio: GaugeVec::new(options, &["worker"])?,
            before: Mutex::new((Instant::now(), BTreeMap::new())),
        })
    }

    fn refresh(&self, now: Instant, used: BTreeMap<String, f64>) {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(before.0);
        if passed < LEAST {
            return;
        }
        self.ratio.reset();
        for (worker, seconds) in &used {
            let then = before.1.get(worker).copied().unwrap_or(0.0);
            let ratio = (seconds - then) / passed.as_secs_f64();
            self.ratio
                .with_label_values(&[worker.as_str()])
                .set(ratio.clamp(0.0, 1.0));
        }
        *before = (now, used);
    }
}

/// Processor time of every thread that is a shard or a media worker, by its name.
fn used() -> BTreeMap<String, f64> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let of = |path: &Path| {
        let name = fs::read_to_string(path.join("comm")).ok()?;
        let name = name.trim_end();
        let is_worker = is_worker(name);
        let seconds = is_worker.then(|| cpu_seconds_in(&path.join("stat")))??;
        Some((name.to_owned(), seconds))
    };
    tasks.filter_map(|task| of(&task.ok()?.path())).collect()
}

/// Whether a thread of this name serves calls.
fn is_worker(name: &str) -> bool {
    let number = name
        .strip_prefix("shard-")
        .or_else(|| name.strip_prefix("media-"));
    number.is_some_and(|number| number.parse::<u16>().is_ok())
}

impl Collector for WorkerCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.ratio.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh(Instant::now(), used());
        self.ratio.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn a_worker_is_as_busy_as_its_share_of_the_time_between_scrapes() {
        let collector = WorkerCollector::new().unwrap();
        let start = collector.before.lock().unwrap().0;
        let used = |seconds| BTreeMap::from([("shard-0".to_owned(), seconds)]);
        let shown = || collector.ratio.with_label_values(&["shard-0"]).get();
        collector.refresh(start + Duration::from_secs(10), used(5.0));
        assert_eq!(shown(), 0.5);
        // Another scraper comes right behind.
        let soon = start + Duration::from_millis(10_500);
        collector.refresh(soon, used(5.1));
        assert_eq!(shown(), 0.5);
        collector.refresh(start + Duration::from_secs(20), used(7.5));
        assert_eq!(shown(), 0.25);
    }

    #[test]
    fn the_kernel_tells_of_workers_by_their_names_and_of_nobody_else() {
        let (go, goes) = mpsc::channel::<()>();
        let named = |name: &str, waits: mpsc::Receiver<()>| {
            let thread = thread::Builder::new().name(name.to_owned());
            thread.spawn(move || waits.recv()).unwrap()
        };
        let worker = named("shard-61234", goes);
        let (other_go, other_goes) = mpsc::channel::<()>();
        let other = named("media-link", other_goes);
        // A thread gives itself its name before it does anything, but after it has begun.
        let is_there = |name: &str| used().contains_key(name);
        let until = Instant::now() + Duration::from_secs(20);
        while !is_there("shard-61234") && Instant::now() < until {
            thread::yield_now();
        }
        assert!(is_there("shard-61234") && !is_there("media-link"));
        drop((go, other_go));
        let _ = (worker.join(), other.join());
    }
}
