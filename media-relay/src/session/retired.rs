//! Payload types of before: for a minute after an agreement that numbers its formats otherwise, packets
//! under the old numbers are still understood (RFC 3264 §8.3.2, SIP-506).
//!
//! They are rules like the others while they last, so no packet costs more for it.

use crate::time::Timestamp;
use media_api::PayloadBinding;
use std::time::Duration;

/// How long an old number is understood.
const KEPT: Duration = Duration::from_secs(60);

/// Most old numbers at a time; beyond it the oldest go first.
const MOST: usize = 32;

/// Bindings that a later agreement has left out, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Retired(Vec<(PayloadBinding, Timestamp)>);

impl Retired {
    /// One agreement takes the place of another. A number that means something now means that.
    pub(super) fn follow(
        &mut self,
        before: &[PayloadBinding],
        after: &[PayloadBinding],
        now: Timestamp,
    ) {
        let is_used = |own: &PayloadBinding| after.iter().any(|new| new.receive == own.receive);
        self.0.retain(|(own, _)| !is_used(own));
        for own in before.iter().filter(|own| !is_used(own)) {
            self.0.retain(|(old, _)| old.receive != own.receive);
            self.0.push((own.clone(), now + KEPT));
        }
        let surplus = self.0.len().saturating_sub(MOST);
        self.0.drain(..surplus);
    }

    /// What is still understood.
    pub(super) fn bindings(&self) -> impl Iterator<Item = &PayloadBinding> {
        self.0.iter().map(|(own, _)| own)
    }

    /// When the next one is not understood any more.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.0.first().map(|(_, until)| *until)
    }

    /// Forgets what has had its time; says whether that was anything.
    pub(super) fn expire(&mut self, now: Timestamp) -> bool {
        let before = self.0.len();
        self.0.retain(|(_, until)| *until > now);
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::{Format, FormatId, FormatKind};

    fn bindings(numbers: &[u8]) -> Vec<PayloadBinding> {
        let one = |number: &u8| PayloadBinding {
            receive: *number,
            send: *number,
            id: FormatId(1),
            format: Format {
                name: "PCMA".into(),
                clock_hz: 8_000,
                kind: FormatKind::Audio,
            },
        };
        numbers.iter().map(one).collect()
    }

    fn numbers(retired: &Retired) -> Vec<u8> {
        retired.bindings().map(|own| own.receive).collect()
    }

    #[test]
    fn each_number_has_a_minute_from_when_it_was_left_out() {
        let at = |seconds: u64| Timestamp(seconds * 1_000_000);
        let mut retired = Retired::default();
        retired.follow(&bindings(&[96, 97]), &bindings(&[97, 98]), at(0));
        assert_eq!(numbers(&retired), [96]);
        retired.follow(&bindings(&[97, 98]), &bindings(&[98]), at(10));
        assert_eq!(numbers(&retired), [96, 97]);
        assert_eq!(retired.deadline(), Some(at(60)));
        assert!(!retired.expire(at(59)) && retired.expire(at(60)));
        assert_eq!(numbers(&retired), [97]);
        // One that comes back is none of them.
        retired.follow(&bindings(&[98]), &bindings(&[97]), at(61));
        assert_eq!(numbers(&retired), [98]);
        assert!(retired.expire(at(121)) && retired.deadline().is_none());
    }

    #[test]
    fn a_peer_that_numbers_anew_all_the_time_fills_no_memory() {
        let mut retired = Retired::default();
        for round in 0..100_u8 {
            let now = Timestamp(u64::from(round));
            retired.follow(&bindings(&[round]), &bindings(&[round + 1]), now);
        }
        assert_eq!(numbers(&retired).len(), MOST);
        assert_eq!(numbers(&retired).last(), Some(&99));
    }
}
