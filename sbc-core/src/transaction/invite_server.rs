//! INVITE server transaction: RFC 3261 §17.2.1 as amended by RFC 6026 §7.1.
//!
//! | state      | event        | does                                  | next       |
//! |------------|--------------|---------------------------------------|------------|
//! | Proceeding | has an owner | send 100                              | Proceeding |
//! | Proceeding | INVITE       | repeat the last provisional           | Proceeding |
//! | Proceeding | 1xx down     | send                                  | Proceeding |
//! | Proceeding | 2xx down     | send, start L                         | Accepted   |
//! | Proceeding | 3xx–6xx down | send, start G (UDP) and H             | Completed  |
//! | Proceeding | give up      |                                       | Terminated |
//! | Accepted   | INVITE       | absorb: the 2xx is repeated from above| Accepted   |
//! | Accepted   | 2xx down     | send                                  | Accepted   |
//! | Accepted   | ACK          | pass up                               | Accepted   |
//! | Accepted   | Timer L      |                                       | Terminated |
//! | Completed  | Timer G      | repeat; interval doubles up to T2     | Completed  |
//! | Completed  | INVITE       | repeat                                | Completed  |
//! | Completed  | ACK          | start I                               | Confirmed  |
//! | Completed  | Timer H      | report the missing ACK                | Terminated |
//! | Confirmed  | ACK          | absorb                                | Confirmed  |
//! | Confirmed  | Timer I      |                                       | Terminated |
//!
//! "Give up" ends a transaction about which the layer above has fallen silent (SIP-216). RFC 3261
//! has no such timer, because it trusts its user.

use super::{Sender, TimerSet, Verdict};
use crate::deadline::Timers;
use crate::sip::{Class, Limits, Message, Status, Token};
use crate::time::Timestamp;
use bytes::Bytes;
use std::time::Duration;

/// One INVITE of a peer.
#[derive(Debug)]
pub(super) struct InviteServer {
    pub(super) state: State,
    pub(super) timers: Timers<TIMERS>,
    set: TimerSet,
    is_reliable: bool,
    interval: Duration,
    last: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Proceeding,
    Accepted,
    Completed,
    Confirmed,
    Terminated,
}

const TIMERS: usize = 5;
const G: usize = 0;
const H: usize = 1;
const I: usize = 2;
const L: usize = 3;
const GIVE_UP: usize = 4;

/// Longest silence of the layer above. A call that lives sends a provisional every 60 s
/// (SIP-315), and no call is set up for longer than this.
const LONGEST_SILENCE: Duration = Duration::from_secs(240);

impl InviteServer {
    /// Begins in silence; [`Self::accepted`] follows within the same input, or a final response.
    pub(super) fn start(now: Timestamp, set: TimerSet, is_reliable: bool, trying: Bytes) -> Self {
        let mut timers = Timers::default();
        timers.set(GIVE_UP, now + LONGEST_SILENCE);
        Self {
            state: State::Proceeding,
            timers,
            set,
            is_reliable,
            interval: set.t1,
            last: trying,
        }
    }

    /// Somebody has taken it: answers 100, because everything behind us may take longer than
    /// 200 ms.
    pub(super) fn accepted(&self, to: &mut Sender<'_>) {
        match self.state {
            State::Proceeding => to.send(&self.last),
            State::Accepted | State::Completed | State::Confirmed | State::Terminated => {}
        }
    }

    /// Takes other timers; before any final response they decide nothing yet.
    pub(super) fn set_timers(&mut self, set: TimerSet) {
        self.set = set;
        self.interval = set.t1;
    }

    /// What was said last before a 2xx.
    pub(super) fn said(&self) -> Bytes {
        self.last.clone()
    }

    /// The To tag of what was said last, if that has one.
    pub(super) fn to_tag(&self) -> Option<Token> {
        let said = Message::parse(self.last.clone(), &Limits::default()).ok()?;
        Token::parse(said.to_tag()?.clone()).ok()
    }

    /// The INVITE again.
    pub(super) fn repeated(&self, to: &mut Sender<'_>) {
        match self.state {
            State::Proceeding | State::Completed => to.send(&self.last),
            State::Accepted | State::Confirmed | State::Terminated => {}
        }
    }

    /// Whether it may still become a call, or is one.
    pub(super) fn lives(&self) -> bool {
        matches!(self.state, State::Proceeding | State::Accepted)
    }

    /// Whether no final response was given yet.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Proceeding
    }

    /// A response from above. A second final one is ignored, except a 2xx after a 2xx.
    pub(super) fn respond(
        &mut self,
        now: Timestamp,
        status: Status,
        bytes: Bytes,
        to: &mut Sender<'_>,
    ) {
        match (self.state, status.class()) {
            (State::Proceeding, Class::Provisional) => {
                to.send(&bytes);
                self.last = bytes;
                self.timers.set(GIVE_UP, now + LONGEST_SILENCE);
            }
            (State::Proceeding, Class::Success) => {
                to.send(&bytes);
                self.timers.clear();
                self.timers.set(L, now + self.set.patience());
                self.state = State::Accepted;
            }
            (State::Accepted, Class::Success) => to.send(&bytes),
            (State::Proceeding, Class::Failure) => {
                to.send(&bytes);
                self.last = bytes;
                self.timers.clear();
                if !self.is_reliable {
                    self.timers.set(G, now + self.interval);
                }
                self.timers.set(H, now + self.set.patience());
                self.state = State::Completed;
            }
            (State::Accepted, Class::Provisional | Class::Failure)
            | (State::Completed | State::Confirmed | State::Terminated, _) => {}
        }
    }

    /// The 2xx has found its way: no other one is looked for.
    pub(super) fn acknowledged(&mut self) {
        if self.state == State::Accepted {
            self.last = Bytes::new();
        }
    }

    pub(super) fn ack(&mut self, now: Timestamp) -> Verdict {
        match self.state {
            State::Accepted => {
                self.acknowledged();
                Verdict::Tell
            }
            State::Completed => {
                self.timers.clear();
                let linger = self.set.absorb_repeats(self.is_reliable);
                self.state = match linger.is_zero() {
                    true => State::Terminated,
                    false => State::Confirmed,
                };
                self.timers.set(I, now + linger);
                Verdict::Quiet
            }
            State::Proceeding | State::Confirmed | State::Terminated => Verdict::Quiet,
        }
    }

    pub(super) fn expired(&mut self, now: Timestamp, timer: usize, to: &mut Sender<'_>) -> Verdict {
        match (self.state, timer) {
            (State::Completed, G) => {
                to.send(&self.last);
                self.interval = (self.interval * 2).min(self.set.t2);
                self.timers.set(G, now + self.interval);
                Verdict::Quiet
            }
            (State::Completed, H) => {
                self.end();
                Verdict::Tell
            }
            (State::Confirmed, I) | (State::Accepted, L) | (State::Proceeding, GIVE_UP) => {
                self.end();
                Verdict::Quiet
            }
            (State::Proceeding | State::Accepted, _)
            | (State::Completed | State::Confirmed | State::Terminated, _) => Verdict::Quiet,
        }
    }

    fn end(&mut self) {
        self.timers.clear();
        self.state = State::Terminated;
    }
}
