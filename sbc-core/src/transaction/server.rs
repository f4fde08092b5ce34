//! Non-INVITE server transaction: RFC 3261 §17.2.2 with RFC 4320.
//!
//! | state      | event        | does                                  | next       |
//! |------------|--------------|---------------------------------------|------------|
//! | Trying     | request      | absorb                                | Trying     |
//! | Trying     | late         | send 100 (UDP, 7·T1)                  | Proceeding |
//! | Proceeding | request      | repeat the 100                        | Proceeding |
//! | both       | final down   | send, start J                         | Completed  |
//! | both       | give up      |                                       | Terminated |
//! | Completed  | request      | repeat                                | Completed  |
//! | Completed  | Timer J      |                                       | Terminated |
//!
//! 408 is never sent: a final that would come too late is not sent at all (RFC 4320 §4.2). "Give
//! up" ends a transaction that nobody above ever answered (SIP-216).

use super::{Sender, TimerSet};
use crate::deadline::Timers;
use crate::sip::{HeaderName, Message, ResponseBuilder, Status};
use crate::time::Timestamp;
use bytes::Bytes;
use std::time::Duration;

/// One request of a peer other than INVITE and ACK.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) state: State,
    pub(super) timers: Timers<TIMERS>,
    set: TimerSet,
    is_reliable: bool,
    said: Said,
}

/// What was said last.
#[derive(Debug)]
enum Said {
    /// Nothing yet, but this may be.
    Nothing(Trying),
    /// This.
    Last(Bytes),
}

/// The 100 of a request. Nearly every one is answered before it is wanted, so it is written only then.
#[derive(Debug)]
pub(super) struct Trying {
    /// What it answers.
    pub(super) request: Message,
    /// Lines of the peer's trunk.
    pub(super) lines: Vec<(HeaderName, Bytes)>,
}

impl Trying {
    /// The message.
    pub(super) fn written(&self) -> Bytes {
        let response = ResponseBuilder::to(&self.request, Status::TRYING, None);
        response.lines_if_valid(&self.lines).build()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

const TIMERS: usize = 3;
const LATE: usize = 0;
const GIVE_UP: usize = 1;
const J: usize = 2;

impl Server {
    /// `trying` is the 100 that is sent if the layer above takes its time.
    pub(super) fn start(now: Timestamp, set: TimerSet, is_reliable: bool, trying: Trying) -> Self {
        let mut server = Self {
            state: State::Trying,
            timers: Timers::default(),
            set,
            is_reliable,
            said: Said::Nothing(trying),
        };
        server.set_timers(now, set);
        server
    }

    /// Takes the timers of its trunk, which is known only after the request has arrived.
    pub(super) fn set_timers(&mut self, now: Timestamp, set: TimerSet) {
        self.set = set;
        self.timers.set(LATE, now + set.late_trying());
        self.timers.set(GIVE_UP, now + set.patience());
    }

    /// The connection of the request is gone: whether its answer can be sent shows later, so it is kept
    /// for as long as over datagrams.
    pub(super) fn has_lost_its_way(&mut self) {
        self.is_reliable = false;
    }

    /// What was said last, or could be.
    pub(super) fn said(&self) -> Bytes {
        match &self.said {
            Said::Nothing(trying) => trying.written(),
            Said::Last(last) => last.clone(),
        }
    }

    /// The request again.
    pub(super) fn repeated(&self, to: &mut Sender<'_>) {
        match (self.state, &self.said) {
            (State::Proceeding | State::Completed, Said::Last(last)) => to.send(last),
            (State::Proceeding | State::Completed, Said::Nothing(_))
            | (State::Trying | State::Terminated, _) => {}
        }
    }

    /// A response from above: only a final one, and only the first.
    pub(super) fn respond(
        &mut self,
        now: Timestamp,
        status: Status,
        bytes: Bytes,
        to: &mut Sender<'_>,
    ) {
        if !status.is_final() || status == Status::REQUEST_TIMEOUT {
            return;
        }
        match self.state {
            State::Trying | State::Proceeding => {
                to.send(&bytes);
                self.said = Said::Last(bytes);
                self.timers.clear();
                let linger = match self.is_reliable {
                    true => Duration::ZERO,
                    false => self.set.patience(),
                };
                self.state = match linger.is_zero() {
                    true => State::Terminated,
                    false => State::Completed,
                };
                self.timers.set(J, now + linger);
            }
            State::Completed | State::Terminated => {}
        }
    }

    pub(super) fn expired(&mut self, timer: usize, to: &mut Sender<'_>) {
        match (self.state, timer) {
            (State::Trying, LATE) => {
                let trying = self.said();
                to.send(&trying);
                self.said = Said::Last(trying);
                self.state = State::Proceeding;
            }
            (State::Trying | State::Proceeding, GIVE_UP) | (State::Completed, J) => {
                self.timers.clear();
                self.state = State::Terminated;
            }
            (State::Trying | State::Proceeding, _) | (State::Completed | State::Terminated, _) => {}
        }
    }
}
