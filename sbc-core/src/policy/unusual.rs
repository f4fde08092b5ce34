//! Calls that are answered, or last, unlike those before: what fraud and broken routes look like first
//! (TDR-SEC-003).
//!
//! A quarter of an hour of calls of a customer, from a trunk or to it is compared with the ones before. It is
//! unusual where at most half as many of its calls are answered as usual, or where those that are last for
//! less than a third or more than threefold of the usual time on average: numbers at high rates are held
//! for long, and calls that want to be called back end at once. Quarters with few calls say nothing, and
//! are put together with the next one.
//!
//! The past is a sum that loses a sixteenth with each quarter that is added, so that it follows the times of
//! the day slowly. An unusual quarter is not learnt from, unless that goes on for two hours: then it is what is
//! usual now. Calls for help do not count. All shards have one table, behind a lock that is taken at the end
//! of a call.

use crate::id::{TenantName, TrunkName};
use crate::record::{Disposition, Record};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is compared.
const QUARTER: Duration = Duration::from_secs(15 * 60);

/// The past is worth so many times the fewest calls of a quarter before anything is compared with it.
const LEARNT: u64 = 4;

/// Quarters in a row that are unusual until they are usual.
const ADOPTED: u8 = 8;

/// The past is counted in such parts of a call, or rounding would lose whole calls with each quarter.
const FINE: u64 = 1_024;

/// What of one quarter remains of the past with the next, in sixteenths.
const REMAINS: u64 = 15;

/// Longest time without calls after which the past is forgotten: nothing of names that a reload took away
/// must stay.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Whose calls.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Of {
    /// A customer's.
    Tenant(TenantName),
    /// Those that come from a trunk.
    From(TrunkName),
    /// Those that go to a trunk.
    To(TrunkName),
}

impl Of {
    /// The stable label value of its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tenant(_) => "tenant",
            Self::From(_) => "trunk_in",
            Self::To(_) => "trunk_out",
        }
    }

    /// Its configured name.
    pub fn name(&self) -> &str {
        match self {
            Self::Tenant(name) => name.as_str(),
            Self::From(name) | Self::To(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(name) => write!(f, "calls of tenant \"{name}\""),
            Self::From(name) => write!(f, "calls from trunk \"{name}\""),
            Self::To(name) => write!(f, "calls to trunk \"{name}\""),
        }
    }
}

/// What is unlike before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum What {
    /// Far fewer are answered.
    FewAnswered,
    /// They are far shorter.
    Short,
    /// They are far longer.
    Long,
}

impl What {
    /// The stable label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FewAnswered => "few_answered",
            Self::Short => "short",
            Self::Long => "long",
        }
    }
}

/// Calls that are unlike those before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unusual {
    /// Whose.
    pub of: Of,
    /// In what.
    pub what: What,
    /// The calls that were looked at.
    pub now: Sum,
    /// What is usual: only how these compare to each other means something.
    pub usual: Sum,
}

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (now, usual) = (self.now, self.usual);
        write!(f, "{}: of {} ", self.of, now.calls)?;
        match self.what {
            What::FewAnswered => write!(
                f,
                "{} % were answered, usually {} %",
                now.percent(),
                usual.percent()
            ),
            What::Short | What::Long => write!(
                f,
                "those that were answered lasted {} s on average, usually {} s",
                now.average_s(),
                usual.average_s()
            ),
        }
    }
}

/// Calls added up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum {
    /// All that came to an end, except those that their callers gave up.
    pub calls: u64,
    /// Those that were answered.
    pub answered: u64,
    /// How long those lasted together, in milliseconds.
    pub talk_ms: u64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.answered += other.answered;
        self.talk_ms += other.talk_ms;
    }

    /// The same, so many times.
    fn times(self, factor: u64) -> Self {
        Self {
            calls: self.calls * factor,
            answered: self.answered * factor,
            talk_ms: self.talk_ms * factor,
        }
    }

    fn fade(&mut self) {
        for own in [&mut self.calls, &mut self.answered, &mut self.talk_ms] {
            *own = *own * REMAINS / 16;
        }
    }

    /// Answered calls in a hundred.
    pub fn percent(self) -> u64 {
        100 * self.answered / self.calls.max(1)
    }

    /// Mean duration of answered calls in seconds.
    pub fn average_s(self) -> u64 {
        (self.talk_ms / self.answered.max(1) + 500) / 1_000
    }

    /// In what these are unlike others, in whole numbers: `a/b ≤ c/d` is `a·d ≤ c·b`.
    fn unlike(self, usual: Self, least: u64) -> Option<What> {
        if 2 * self.answered * usual.calls <= usual.answered * self.calls {
            return Some(What::FewAnswered);
        }
        // A mean of few says as little as few calls do.
        if 2 * self.answered < least {
            return None;
        }
        let (now, before) = (
            u128::from(self.talk_ms) * u128::from(usual.answered),
            u128::from(usual.talk_ms) * u128::from(self.answered),
        );
        if 3 * now <= before {
            return Some(What::Short);
        }
        (now >= 3 * before).then_some(What::Long)
    }
}

/// The time that calls would have lasted at threefold of what is usual; without a past there is no bound.
fn most_talk(quarter: Sum, usual: Sum) -> u64 {
    let talk_ms = u128::from(usual.talk_ms) * u128::from(quarter.answered) * 3;
    let most = talk_ms.checked_div(u128::from(usual.answered));
    most.and_then(|most| u64::try_from(most).ok())
        .unwrap_or(u64::MAX)
}

/// The calls of everybody, over all shards.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<BTreeMap<Of, Course>>>);

#[derive(Debug)]
struct Course {
    begun: Timestamp,
    quarter: Sum,
    usual: Sum,
    /// Unusual quarters in a row.
    strange: u8,
}

impl Watch {
    /// A call is over. Says what is unusual, once for each quarter of an hour; nothing where quarters need no
    /// calls to be looked at.
    pub(crate) fn note(&self, now: Timestamp, record: &Record, least: u32) -> Vec<Unusual> {
        if least == 0 || record.emergency || record.disposition == Disposition::Cancelled {
            return Vec::new();
        }
        let is_answered = record.disposition == Disposition::Answered;
        let own = Sum {
            calls: 1,
            answered: u64::from(is_answered),
            talk_ms: record.duration_ms,
        };
        let last = record.egress.last();
        let whose = [
            record.tenant.clone().map(Of::Tenant),
            Some(Of::From(record.ingress.trunk.clone())),
            last.map(|attempt| Of::To(attempt.trunk.clone())),
        ];
        // A point in time is whole between any two statements.
        let mut courses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = whose.into_iter().flatten().filter_map(|of| {
            if !courses.contains_key(&of) {
                courses.retain(|_, course| now.since(course.begun) < FORGOTTEN);
            }
            let course = courses.entry(of.clone()).or_insert(Course {
                begun: now,
                quarter: Sum::default(),
                usual: Sum::default(),
                strange: 0,
            });
            let found = course.turn(now, u64::from(least));
            course.quarter.add(own);
            let (what, now, usual) = found?;
            Some(Unusual {
                of,
                what,
                now,
                usual,
            })
        });
        told.collect()
    }
}

impl Course {
    /// Looks at the quarter, if it is over and has enough calls, and begins the next.
    fn turn(&mut self, now: Timestamp, least: u64) -> Option<(What, Sum, Sum)> {
        if now.since(self.begun) < QUARTER || self.quarter.calls < least {
            return None;
        }
        self.begun = now;
        let (quarter, usual) = (std::mem::take(&mut self.quarter), self.usual);
        let is_known = usual.calls >= LEARNT * least * FINE;
        let what = quarter.unlike(usual, least).filter(|_| is_known);
        self.strange = match what {
            Some(_) => self.strange + 1,
            None => 0,
        };
        if self.strange == ADOPTED {
            (self.usual, self.strange) = (Sum::default(), 0);
        }
        if self.strange == 0 {
            // A few calls that lasted for a day are no reason to hold all others for short.
            let learnt = Sum {
                talk_ms: quarter.talk_ms.min(most_talk(quarter, usual)),
                ..quarter
            };
            self.usual.fade();
            self.usual.add(learnt.times(FINE));
        }
        Some((what?, quarter, usual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: u64 = 20;

    /// Quarters of an hour with so many calls, of which so many are answered for so many seconds.
    fn told(quarters: &[(u64, u64, u64)]) -> Vec<Option<What>> {
        let mut course = Course {
            begun: Timestamp::ZERO,
            quarter: Sum::default(),
            usual: Sum::default(),
            strange: 0,
        };
        let mut now = Timestamp::ZERO;
        let told = quarters.iter().map(|(calls, answered, seconds)| {
            course.quarter.add(Sum {
                calls: *calls,
                answered: *answered,
                talk_ms: answered * seconds * 1_000,
            });
            now = now + QUARTER;
            course.turn(now, LEAST).map(|(what, _, _)| what)
        });
        told.collect()
    }

    #[test]
    fn what_is_unlike_the_past_is_told_and_not_learnt() {
        let usual = (50, 30, 180);
        for (strange, what) in [
            ((50, 15, 180), Some(What::FewAnswered)),
            ((50, 16, 180), None),
            ((50, 30, 60), Some(What::Short)),
            ((50, 30, 61), None),
            ((50, 30, 540), Some(What::Long)),
            ((50, 30, 539), None),
            ((50, 50, 180), None),
            // Few calls, and few that were answered, say nothing of their time.
            ((19, 0, 0), None),
            ((20, 9, 9_000), None),
        ] {
            let found = told(&[usual, usual, usual, strange, usual]);
            assert_eq!(found, [None, None, None, what, None], "{strange:?}");
        }
    }

    #[test]
    fn what_is_unusual_twice_is_told_twice() {
        let (usual, strange) = ((50, 30, 180), (50, 3, 180));
        let found = told(&[usual, usual, usual, strange, strange, usual, strange]);
        let what = Some(What::FewAnswered);
        assert_eq!(found, [None, None, None, what, what, None, what]);
    }

    #[test]
    fn nothing_is_unusual_before_anything_is_usual() {
        assert_eq!(told(&[(30, 30, 180), (30, 1, 1)]), [None, None]);
        // What lasts is what is usual from then on.
        let mut quarters = vec![(50, 30, 180); 4];
        quarters.extend([(50, 5, 180); 14]);
        let told = told(&quarters);
        let strange = told.iter().filter(|what| what.is_some()).count();
        assert_eq!(strange, usize::from(ADOPTED));
        assert_eq!(told.last(), Some(&None));
    }

    #[test]
    fn quarters_with_few_calls_are_put_together() {
        let mut quarters = vec![(50, 30, 180); 4];
        quarters.extend([(8, 0, 0); 3]);
        let told = told(&quarters);
        assert_eq!(told[4..], [None, None, Some(What::FewAnswered)]);
    }
}
