//! What the process uses of the processors and the memory that it may have, for the stages of
//! overload (SIP-1722). Measured once a second; the shards are told while it matters.
//!
//! What it may have is what its control groups leave it, else the machine. The figures come from
//! `/proc/self` and system calls, which stay readable with `ProcSubset=pid`.

use crate::daemon::inbox::Inboxes;
use crate::sink::metrics::{cpu_seconds, resident_bytes};
use sbc_core::input::Input;
use sbc_core::overload::Strain;
use std::fs;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Time between two measurements.
const INTERVAL: Duration = Duration::from_secs(1);

/// Figures below this, in per mille, are nothing that the core need know of.
const MATTERS: u16 = 700;

/// Measures for ever.
pub(super) async fn watch(inboxes: Inboxes) {
    let mut every = interval(INTERVAL);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut gauge = Gauge::default();
    let mut is_told = false;
    loop {
        every.tick().await;
        if let Some(strain) = gauge.measure() {
            is_told = tell(&inboxes, strain, is_told);
        }
    }
}

/// Tells the shards what matters, and once more when it does no longer; says whether it matters.
fn tell(inboxes: &Inboxes, strain: Strain, is_told: bool) -> bool {
    let matters = strain.cpu >= MATTERS || strain.memory >= MATTERS;
    if matters || is_told {
        for inbox in inboxes.all() {
            // Reports of our own side are always taken.
            let _ = inbox.push(Input::Strain(strain));
        }
    }
    matters
}

/// The last measurement, which the next one is compared with.
#[derive(Default)]
struct Gauge {
    last: Option<(Instant, f64)>,
}

impl Gauge {
    /// What has been used since the last time; nothing at the first.
    fn measure(&mut self) -> Option<Strain> {
        let (now, seconds) = (Instant::now(), cpu_seconds()?);
        let (before, used) = self.last.replace((now, seconds))?;
        let processors = available_parallelism().map_or(1, usize::from) as f64;
        let passed = now.duration_since(before).as_secs_f64() * processors;
        let memory = resident_bytes().map_or(0, |bytes| u64::try_from(bytes).unwrap_or(0));
        Some(Strain {
            cpu: per_mille(seconds - used, passed),
            memory: per_mille(memory as f64, memory_limit() as f64),
        })
    }
}

fn per_mille(used: f64, all: f64) -> u16 {
    match all > 0.0 {
        true => (used * 1000.0 / all).clamp(0.0, 1000.0) as u16,
        false => 0,
    }
}

/// Bytes that the process may have.
fn memory_limit() -> u64 {
    let machine = rustix::system::sysinfo();
    // The types differ between architectures.
    #[allow(clippy::useless_conversion, reason = "not useless on all of them")]
    let machine = u64::from(machine.totalram).saturating_mul(u64::from(machine.mem_unit));
    let group = fs::read_to_string("/proc/self/cgroup");
    let group = group.ok().and_then(|text| own_group(&text));
    let limit = group.and_then(|group| limit_below(Path::new("/sys/fs/cgroup"), &group));
    limit.map_or(machine, |limit| limit.min(machine))
}

/// The group of this process in the unified hierarchy.
fn own_group(cgroup: &str) -> Option<String> {
    let line = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(line.to_owned())
}

/// The tightest limit of a group and all that it lies in.
fn limit_below(root: &Path, group: &str) -> Option<u64> {
    let own = root.join(group);
    let groups = own.ancestors().take_while(|group| group.starts_with(root));
    let limits = groups.filter_map(|group| {
        let text = fs::read_to_string(group.join("memory.max")).ok()?;
        // Without a limit it says "max".
        text.trim().parse().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::inbox::{Inbox, Next};
    use sbc_core::id::ShardId;

    #[test]
    fn shards_hear_what_matters_and_when_it_is_over() {
        let inboxes = Inboxes::new(vec![Inbox::new(ShardId(0)).unwrap()], |_, _| ShardId(0));
        let heard = |strain, is_told| {
            let matters = tell(&inboxes, strain, is_told);
            let inbox = inboxes.all().first().unwrap();
            let heard = match inbox.next(Duration::ZERO) {
                Next::Input(input, _) => Some(*input),
                Next::Nothing | Next::Closed => None,
            };
            (
                matters,
                matches!(heard, Some(Input::Strain(told)) if told == strain),
            )
        };
        let strain = |cpu, memory| Strain { cpu, memory };
        assert_eq!(heard(strain(500, 500), false), (false, false));
        assert_eq!(heard(strain(900, 500), false), (true, true));
        assert_eq!(heard(strain(500, 900), true), (true, true));
        assert_eq!(heard(strain(500, 500), true), (false, true));
    }

    #[test]
    fn the_tightest_limit_of_all_groups_around_us_counts() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("system.slice/causeway.service");
        fs::create_dir_all(&own).unwrap();
        let group = own_group("0::/system.slice/causeway.service\n").unwrap();
        assert_eq!(limit_below(root.path(), &group), None);
        fs::write(own.join("memory.max"), "max\n").unwrap();
        assert_eq!(limit_below(root.path(), &group), None);
        let slice = root.path().join("system.slice/memory.max");
        fs::write(&slice, "2000000000\n").unwrap();
        assert_eq!(limit_below(root.path(), &group), Some(2_000_000_000));
        fs::write(own.join("memory.max"), "500000000\n").unwrap();
        assert_eq!(limit_below(root.path(), &group), Some(500_000_000));
    }

    #[test]
    fn work_shows_as_time_of_the_processors() {
        let mut gauge = Gauge::default();
        assert_eq!(gauge.measure(), None);
        let begun = cpu_seconds().unwrap();
        // Until the kernel has counted a tenth of a second.
        let mut sum = 0_u64;
        while cpu_seconds().unwrap() < begun + 0.1 {
            sum = (0..100_000).fold(sum, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        }
        let strain = gauge.measure().unwrap();
        assert!(strain.cpu > 0, "{strain:?} {sum}");
        assert!(strain.memory < 1000, "{strain:?}");
    }
}
