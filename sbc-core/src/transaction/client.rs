//! Non-INVITE client transaction: RFC 3261 §17.1.2.
//!
//! | state              | event   | does                                   | next       |
//! |--------------------|---------|----------------------------------------|------------|
//! | Trying             | Timer E | resend; interval doubles up to T2      | Trying     |
//! | Proceeding         | Timer E | resend; interval is T2                 | Proceeding |
//! | Trying, Proceeding | Timer F | report timeout                         | Terminated |
//! | Trying, Proceeding | 1xx     | pass up                                | Proceeding |
//! | Trying, Proceeding | final   | pass up, start K                       | Completed  |
//! | Completed          | any     | absorb                                 | Completed  |
//! | Completed          | Timer K |                                        | Terminated |

use super::{Sender, TimerSet, Verdict};
use crate::deadline::Timers;
use crate::sip::{Class, Message};
use crate::time::Timestamp;
use bytes::Bytes;
use std::time::Duration;

/// One request of ours other than INVITE and ACK.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) state: State,
    pub(super) timers: Timers<TIMERS>,
    set: TimerSet,
    is_reliable: bool,
    interval: Duration,
    /// Nothing once there is a final response: it is not sent again.
    request: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

const TIMERS: usize = 3;
const E: usize = 0;
const F: usize = 1;
const K: usize = 2;

impl Client {
    pub(super) fn start(
        now: Timestamp,
        set: TimerSet,
        is_reliable: bool,
        request: Bytes,
        to: &mut Sender<'_>,
    ) -> Self {
        let mut timers = Timers::default();
        if !is_reliable {
            timers.set(E, now + set.t1);
        }
        timers.set(F, now + set.patience());
        to.send(&request);
        Self {
            state: State::Trying,
            timers,
            set,
            is_reliable,
            interval: set.t1,
            request,
        }
    }

    pub(super) fn response(&mut self, now: Timestamp, response: &Message) -> Verdict {
        let Some(class) = response.status().map(|status| status.class()) else {
            return Verdict::Quiet;
        };
        match (self.state, class) {
            (State::Trying | State::Proceeding, Class::Provisional) => {
                self.state = State::Proceeding;
                Verdict::Tell
            }
            (State::Trying | State::Proceeding, Class::Success | Class::Failure) => {
                self.timers.clear();
                self.request = Bytes::new();
                let linger = self.set.absorb_repeats(self.is_reliable);
                self.state = match linger.is_zero() {
                    true => State::Terminated,
                    false => State::Completed,
                };
                self.timers.set(K, now + linger);
                Verdict::Tell
            }
            (State::Completed | State::Terminated, _) => Verdict::Quiet,
        }
    }

    /// How long ago its request was sent first, while a final response is awaited.
    pub(super) fn waits_since(&self, now: Timestamp) -> Option<Duration> {
        let gives_up = self.timers.at(F)?;
        Some(self.set.patience().saturating_sub(gives_up.since(now)))
    }

    pub(super) fn expired(&mut self, now: Timestamp, timer: usize, to: &mut Sender<'_>) -> Verdict {
        match (self.state, timer) {
            (State::Trying, E) => {
                self.interval = (self.interval * 2).min(self.set.t2);
                self.repeat(now, to)
            }
            (State::Proceeding, E) => {
                self.interval = self.set.t2;
                self.repeat(now, to)
            }
            (State::Trying | State::Proceeding, F) => {
                self.end();
                Verdict::Tell
            }
            (State::Completed, K) => {
                self.end();
                Verdict::Quiet
            }
            (State::Trying | State::Proceeding, _) | (State::Completed | State::Terminated, _) => {
                Verdict::Quiet
            }
        }
    }

    fn repeat(&mut self, now: Timestamp, to: &mut Sender<'_>) -> Verdict {
        to.send(&self.request);
        self.timers.set(E, now + self.interval);
        Verdict::Quiet
    }

    /// The transport gave up before any final response.
    pub(super) fn transport_failed(&mut self) -> Verdict {
        match self.state {
            State::Trying => {
                self.end();
                Verdict::Tell
            }
            State::Proceeding | State::Completed | State::Terminated => Verdict::Quiet,
        }
    }

    fn end(&mut self) {
        self.timers.clear();
        self.state = State::Terminated;
    }
}
