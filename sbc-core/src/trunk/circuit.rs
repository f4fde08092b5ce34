//! The circuit of one address: calls that fail one after the other stop further ones (SIP-1710).
//!
//! | state     | event                       | next      |
//! |-----------|-----------------------------|-----------|
//! | closed    | the fifth failure in a row  | open      |
//! | closed    | any answer                  | closed    |
//! | open      | 30 s are over, a call comes | half open |
//! | half open | that call fails             | open      |
//! | half open | that call is answered       | closed    |
//!
//! Half open admits one call in 30 s, so that a call which never gets there holds nobody up.

use crate::time::Timestamp;
use std::time::Duration;

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// How long it stays open.
const OPEN: Duration = Duration::from_secs(30);
/// After this time without a failure it is as good as new.
const MEMORY: Duration = Duration::from_secs(600);

/// Failures of one address, as long as there is no answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Circuit {
    failures: u32,
    last: Timestamp,
    closed_to: Option<Timestamp>,
}

impl Circuit {
    /// A call failed.
    pub(super) fn fails(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        if self.failures >= FAILURES {
            self.closed_to = Some(now + OPEN);
        }
    }

    /// Whether a call would be let pass now.
    pub(super) fn would_admit(&self, now: Timestamp) -> bool {
        self.closed_to.is_none_or(|until| until <= now)
    }

    /// Whether a call may pass now; in the half-open state it is the one.
    pub(super) fn admits(&mut self, now: Timestamp) -> bool {
        let may_pass = self.would_admit(now);
        if may_pass && let Some(until) = &mut self.closed_to {
            *until = now + OPEN;
        }
        may_pass
    }

    /// Whether it need not be remembered.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.last + MEMORY <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_open_it_and_one_call_in_half_a_minute_tries_again() {
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        let mut circuit = Circuit::default();
        for second in 0..4 {
            circuit.fails(at(second));
            assert!(circuit.admits(at(second)));
        }
        circuit.fails(at(10));
        assert!(!circuit.admits(at(10)));
        assert!(!circuit.admits(at(39)));
        assert!(circuit.would_admit(at(40)), "looking takes nothing");
        assert!(circuit.admits(at(40)), "half open");
        assert!(!circuit.admits(at(41)), "for one call");
        circuit.fails(at(44));
        assert!(!circuit.admits(at(73)));
        assert!(circuit.admits(at(74)));
        assert!(!circuit.is_stale(at(600)));
        assert!(circuit.is_stale(at(700)));
    }
}
