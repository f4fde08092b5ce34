//! What is due when: the future of the simulated world.

use sbc_core::time::Timestamp;
use std::collections::BTreeMap;

/// Things to come, in order of time; things of the same time in the order they were noted.
#[derive(Debug, Clone)]
pub(crate) struct Agenda<T> {
    due: BTreeMap<(Timestamp, u64), T>,
    noted: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self {
            due: BTreeMap::new(),
            noted: 0,
        }
    }
}

impl<T> Agenda<T> {
    /// Notes something for `at`.
    pub(crate) fn note(&mut self, at: Timestamp, what: T) {
        self.noted += 1;
        self.due.insert((at, self.noted), what);
    }

    /// When the next thing is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Takes the next thing that is due at `now`.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, what)| what)
    }
}
