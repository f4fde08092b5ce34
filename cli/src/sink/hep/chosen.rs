//! Whose messages collectors get where `trunks` names some (OPS-071): those of calls that come from one of them or go
//! to it. Which ones these are is known behind their first message; until then messages wait, a bounded number of them.

use super::Entry;
use sbc_core::id::{CallId, TrunkName};
use std::collections::{HashSet, VecDeque};

/// Calls that are known as meant; the oldest are forgotten first.
const CALLS: usize = 65_536;
/// Calls that may still be meant, what waits of each, and the octets of all of it.
const WAITING: usize = 1_024;
const WAITING_EACH: usize = 64;
const WAITING_BYTES: usize = 4 << 20;

#[derive(Default)]
pub(super) struct Chosen {
    trunks: Vec<TrunkName>,
    taken: HashSet<CallId>,
    order: VecDeque<CallId>,
    waiting: VecDeque<(CallId, Vec<Entry>)>,
    bytes: usize,
}

impl Chosen {
    pub(super) fn new(trunks: Vec<TrunkName>) -> Self {
        Self {
            trunks,
            ..Self::default()
        }
    }

    /// What goes out now that this has come, in order.
    pub(super) fn pass(&mut self, entry: Entry) -> Vec<Entry> {
        let Some(call) = entry.call() else {
            // A line of the log may be about anything; a message without a call is about none of these.
            return match entry {
                Entry::Line { .. } => vec![entry],
                _ => Vec::new(),
            };
        };
        if let Entry::Trunk(_, trunk) = &entry {
            if !self.trunks.contains(trunk) || !self.take(call) {
                return Vec::new();
            }
            return self.waited(call);
        }
        if self.taken.contains(&call) {
            return vec![entry];
        }
        match entry {
            Entry::Line { .. } => return vec![entry],
            // It went nowhere that is meant.
            Entry::Ended(..) => drop(self.waited(call)),
            _ => self.wait(call, entry),
        }
        Vec::new()
    }

    /// Takes a call; `false` if it was before.
    fn take(&mut self, call: CallId) -> bool {
        if !self.taken.insert(call) {
            return false;
        }
        self.order.push_back(call);
        if self.order.len() > CALLS
            && let Some(oldest) = self.order.pop_front()
        {
            self.taken.remove(&oldest);
        }
        true
    }

    fn wait(&mut self, call: CallId, entry: Entry) {
        self.bytes += entry.len();
        let mut all = self.waiting.iter_mut();
        match all.find(|(own, _)| *own == call) {
            Some((_, entries)) if entries.len() >= WAITING_EACH => self.bytes -= entry.len(),
            Some((_, entries)) => entries.push(entry),
            None => self.waiting.push_back((call, vec![entry])),
        }
        while (self.waiting.len() > WAITING || self.bytes > WAITING_BYTES)
            && let Some((oldest, _)) = self.waiting.front()
        {
            let oldest = *oldest;
            self.waited(oldest);
        }
    }

    /// What has waited of a call, which waits no more.
    fn waited(&mut self, call: CallId) -> Vec<Entry> {
        let at = self.waiting.iter().position(|(own, _)| *own == call);
        let found = at.and_then(|at| self.waiting.remove(at));
        let entries = found.map(|(_, entries)| entries).unwrap_or_default();
        self.bytes -= entries.iter().map(Entry::len).sum::<usize>();
        entries
    }
}
