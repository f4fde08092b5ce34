//! What a process costs, as the kernel counts it.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs;
use std::io;
use std::time::Duration;

/// CPU time of a process, its threads and its living descendants, user and system.
pub(super) fn cpu_time(pid: u32) -> Duration {
    // Ticks of /proc are hundredths of a second on every Linux.
    let ticks: u64 = family(pid).into_iter().filter_map(ticks).sum();
    Duration::from_millis(10 * ticks)
}

/// Resident memory of a process and its living descendants, in KiB.
pub(super) fn resident_kib(pid: u32) -> u64 {
    let resident = |pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    family(pid).into_iter().filter_map(resident).sum()
}

/// The processor, and how many cores of it there are.
pub(super) fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |rest| {
        rest.trim_start_matches([' ', '\t', ':'])
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores")
}

/// The cores that this thread may use.
pub(super) fn cores() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|core| set.is_set(*core))
        .collect())
}

/// Confines this thread, and what it starts from now on, to these cores.
pub(super) fn confine(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    Ok(sched_setaffinity(None, &set)?)
}

fn family(pid: u32) -> Vec<u32> {
    let mut members = vec![pid];
    let mut at = 0;
    while let Some(member) = members.get(at).copied() {
        at += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{member}/task")) else {
            continue;
        };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            members.extend(
                children
                    .split_whitespace()
                    .filter_map(|word| word.parse::<u32>().ok()),
            );
        }
    }
    members
}

fn ticks(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program may hold anything, but what follows it does not hold a bracket.
    let (_, after) = text.rsplit_once(") ")?;
    let mut words = after.split(' ').skip(11);
    let user: u64 = words.next()?.parse().ok()?;
    let system: u64 = words.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_has_memory_and_takes_time() {
        let pid = std::process::id();
        assert!(resident_kib(pid) > 100);
        let before = cpu_time(pid);
        let mut sum = 0_u64;
        // Until the kernel has counted a few ticks of it.
        while cpu_time(pid) < before + Duration::from_millis(30) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(family(pid).contains(&pid));
    }

    #[test]
    fn a_thread_is_confined_to_a_core_that_it_may_use() {
        let confined = std::thread::spawn(|| {
            let all = cores().unwrap();
            confine(&all[..1]).unwrap();
            (cores().unwrap(), all)
        });
        let (now, all) = confined.join().unwrap();
        assert_eq!(now, all[..1]);
    }
}
