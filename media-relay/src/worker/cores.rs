//! On which core of the machine a worker stays, where it has to (MED-014).

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;

/// Cores that this process may run on, in order.
///
/// # Errors
/// What the operating system says.
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|core| set.is_set(*core))
        .collect())
}

/// That of a worker: from the last one down, as interrupts and signalling mostly have the first ones.
pub(crate) fn of_worker(cores: &[usize], number: usize) -> Option<usize> {
    let from_end = number.checked_rem(cores.len())?;
    cores.get(cores.len() - 1 - from_end).copied()
}

/// Keeps the calling thread on a core. One that was taken from the process meanwhile is not waited for: media go on
/// wherever they may.
pub(crate) fn stay_on(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    let _ = sched_setaffinity(None, &set);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_spread_from_the_last_core_down_and_begin_again_there() {
        let of = |number| of_worker(&[0, 2, 3], number);
        assert_eq!([0, 1, 2, 3].map(of), [Some(3), Some(2), Some(0), Some(3)]);
        assert_eq!(of_worker(&[], 0), None);
    }

    #[test]
    fn a_thread_that_stays_may_run_on_its_core_alone_and_others_as_before() {
        let before = allowed().unwrap();
        for core in before.clone() {
            let there = std::thread::spawn(move || {
                stay_on(core);
                allowed().unwrap()
            });
            assert_eq!(there.join().unwrap(), [core]);
        }
        assert_eq!(allowed().unwrap(), before);
    }
}
