//! The process itself: CPU, memory, descriptors, start time, by the names that every Prometheus
//! client uses. Read from `/proc/self`, which stays readable with `ProcSubset=pid`.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntGauge};
use std::fs;
use std::path::Path;

/// Reads the figures when they are asked for.
pub(super) struct ProcessCollector {
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    start_time: IntGauge,
}

/// Clock ticks per second in `/proc`: fixed at 100 by the kernel's interface to user space.
const TICKS_PER_SECOND: f64 = 100.0;

impl ProcessCollector {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let made = Self {
            cpu_seconds: Counter::new(
                "process_cpu_seconds_total",
                "User and system CPU time spent in seconds.",
            )?,
            resident_bytes: IntGauge::new(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
            )?,
            open_fds: IntGauge::new("process_open_fds", "Open file descriptors.")?,
            max_fds: IntGauge::new("process_max_fds", "Most open file descriptors.")?,
            start_time: IntGauge::new(
                "process_start_time_seconds",
                "Start of the process in seconds since 1970.",
            )?,
        };
        let now = crate::sink::log::wall_clock().as_micros() / 1_000_000;
        made.start_time.set(i64::try_from(now).unwrap_or(0));
        made.max_fds.set(max_fds().unwrap_or(0));
        Ok(made)
    }

    fn refresh(&self) {
        if let Some(seconds) = cpu_seconds() {
            let before = self.cpu_seconds.get();
            if seconds > before {
                self.cpu_seconds.inc_by(seconds - before);
            }
        }
        self.resident_bytes.set(resident_bytes().unwrap_or(0));
        let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        self.open_fds.set(i64::try_from(open).unwrap_or(0));
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.cpu_seconds.desc();
        for gauge in [
            &self.resident_bytes,
            &self.open_fds,
            &self.max_fds,
            &self.start_time,
        ] {
            all.extend(gauge.desc());
        }
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        let mut all = self.cpu_seconds.collect();
        for gauge in [
            &self.resident_bytes,
            &self.open_fds,
            &self.max_fds,
            &self.start_time,
        ] {
            all.extend(gauge.collect());
        }
        all
    }
}

/// Time of all processors that this process has used, in seconds.
pub(crate) fn cpu_seconds() -> Option<f64> {
    cpu_seconds_in(Path::new("/proc/self/stat"))
}

/// The same of the process or thread whose `stat` this is.
pub(super) fn cpu_seconds_in(stat: &Path) -> Option<f64> {
    let stat = fs::read_to_string(stat).ok()?;
    // The command name in parentheses may contain anything; fields are counted after it.
    let after = stat.rsplit_once(')')?.1;
    let mut fields = after.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Resident memory of this process in bytes.
pub(crate) fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: i64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn max_fds() -> Option<i64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_memory_and_descriptors() {
        assert!(resident_bytes().unwrap() > 0);
        assert!(cpu_seconds().unwrap() >= 0.0);
        assert!(max_fds().unwrap() > 0);
    }
}
