//! Timer values of a transaction (RFC 3261 §17, table of §18 in our requirements).

use crate::config::SipTimers;
use std::time::Duration;

/// Base timers of one transaction, from the trunk it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerSet {
    /// Round-trip estimate.
    pub t1: Duration,
    /// Longest interval of repetition of non-INVITE requests and INVITE responses.
    pub t2: Duration,
    /// Longest time a message stays in the network.
    pub t4: Duration,
}

impl Default for TimerSet {
    fn default() -> Self {
        Self::from(&SipTimers::default())
    }
}

impl From<&SipTimers> for TimerSet {
    fn from(timers: &SipTimers) -> Self {
        Self {
            t1: timers.t1,
            t2: timers.t2,
            t4: timers.t4,
        }
    }
}

impl TimerSet {
    /// 64·T1: how long a transaction waits for what must come (Timers B, F, H, J, L, M).
    pub fn patience(&self) -> Duration {
        64 * self.t1
    }

    /// Timer D: at least 32 s on UDP, whatever T1 is; 0 on reliable transports.
    pub fn absorb_failures(&self, is_reliable: bool) -> Duration {
        match is_reliable {
            true => Duration::ZERO,
            false => self.patience().max(Duration::from_secs(32)),
        }
    }

    /// Timers I and K: T4 on UDP, 0 on reliable transports.
    pub fn absorb_repeats(&self, is_reliable: bool) -> Duration {
        match is_reliable {
            true => Duration::ZERO,
            false => self.t4,
        }
    }

    /// Time after which a non-INVITE server may send 100 on UDP: when Timer E reaches T2 with
    /// default timers, T1 + 2·T1 + 4·T1 (RFC 4320 §4.1, SIP-213).
    pub fn late_trying(&self) -> Duration {
        7 * self.t1
    }
}
