//! Calls that were up before anybody kept a journal of them: once somebody does, it hears of each, so that whoever is killed
//! then leaves something of them, too (OPS-121, OPS-151).

use super::Core;
use crate::effect::Effects;
use crate::id::CallId;
use crate::time::{Now, Timestamp};
use std::collections::VecDeque;
use std::time::Duration;

/// Calls that are told of at once: other inputs wait meanwhile, and whoever keeps the journal takes no more than the disk.
const AT_ONCE: usize = 50;
/// How soon the next are told of.
const PAUSE: Duration = Duration::from_millis(20);

/// Those that the journal has not heard of.
#[derive(Default)]
pub(super) struct Untold {
    calls: VecDeque<CallId>,
    /// When the next are told of.
    at: Option<Timestamp>,
}

impl Untold {
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.at
    }
}

impl Core {
    /// Somebody keeps a journal from now on, or nobody does any more.
    pub(super) fn keep_journal(&mut self, now: Now, is_kept: bool, out: &mut Effects) {
        let was_kept = std::mem::replace(&mut self.plane.keeps_journal, is_kept);
        if was_kept == is_kept {
            return;
        }
        self.untold = Untold::default();
        if is_kept {
            let mut calls: Vec<CallId> = self.calls.keys().copied().collect();
            calls.sort_unstable();
            self.untold.calls = calls.into();
            self.tell_some(now, out);
        }
    }

    /// Tells of the next if it is time.
    pub(super) fn tell_untold(&mut self, now: Now, out: &mut Effects) {
        if self.untold.at.is_some_and(|at| at <= now.mono) {
            self.tell_some(now, out);
        }
    }

    fn tell_some(&mut self, now: Now, out: &mut Effects) {
        for _ in 0..AT_ONCE {
            let Some(id) = self.untold.calls.pop_front() else {
                break;
            };
            // It may have ended meanwhile.
            self.with_call(now, id, out, |call, cx| call.tell_known(cx));
        }
        let is_left = !self.untold.calls.is_empty();
        self.untold.at = is_left.then(|| now.mono + PAUSE);
    }
}
