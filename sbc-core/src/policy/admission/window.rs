//! New calls within the last minute and the last hour, against who calls expensive numbers quickly
//! (TDR-SEC-003).
//!
//! Each is counted in twelve parts. The part that has begun counts besides, so that a call is forgotten
//! a part late and never early: within any minute or hour there are never more than the limit.

use crate::time::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// Parts of a period.
const PARTS: u64 = 12;

/// A time that calls are counted within.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Span {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
}

impl Span {
    /// In words.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "a minute",
            Self::Hour => "an hour",
        }
    }

    const fn part(self) -> u64 {
        let minute = Duration::from_secs(60).as_micros() as u64;
        match self {
            Self::Minute => minute / PARTS,
            Self::Hour => 60 * minute / PARTS,
        }
    }
}

/// New calls within a time.
#[derive(Clone, Default, Debug)]
pub(super) struct Window(VecDeque<(u64, u32)>);

impl Window {
    /// One more call.
    pub(super) fn count(&mut self, now: Timestamp, span: Span) {
        let part = now.as_micros() / span.part();
        self.0.retain(|(own, _)| own.saturating_add(PARTS) >= part);
        match self.0.back_mut() {
            // The clock of another shard may be a little behind.
            Some((own, calls)) if *own >= part => *calls = calls.saturating_add(1),
            _ => self.0.push_back((part, 1)),
        }
    }

    /// Calls that still count.
    pub(super) fn calls(&self, now: Timestamp, span: Span) -> u32 {
        let part = now.as_micros() / span.part();
        let counting = self.0.iter();
        let counting = counting.filter(|(own, _)| own.saturating_add(PARTS) >= part);
        counting.fold(0, |sum: u32, (_, calls)| sum.saturating_add(*calls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_has_more_calls_than_are_counted_in_it() {
        let at = |ms: u64| Timestamp::from_micros(ms * 1_000);
        let mut window = Window::default();
        let mut taken: Vec<u64> = Vec::new();
        for ms in (0..300_000).step_by(700) {
            if window.calls(at(ms), Span::Minute) < 10 {
                window.count(at(ms), Span::Minute);
                taken.push(ms);
            }
        }
        for (index, first) in taken.iter().enumerate() {
            let within = taken.iter().skip(index);
            let within = within.take_while(|ms| **ms < first + 60_000).count();
            assert!(within <= 10, "{within} from {first} ms on");
        }
        // A part is lost at most: at least ten in 65 seconds.
        assert!(taken.len() >= 40, "{}", taken.len());
        assert!(window.0.len() <= 13);
        assert_eq!(window.calls(at(500_000), Span::Minute), 0);
    }
}
