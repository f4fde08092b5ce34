//! One subscription: what is asked of Microsoft about it next, and when (TDG-PRS-001, TDG-PRS-005).
//!
//! | state  | event                   | does                                      | next   |
//! |--------|-------------------------|-------------------------------------------|--------|
//! | Absent | its time has come       | subscribe                                 | Absent |
//! | Absent | subscribed              | users are asked for once                  | Held   |
//! | Absent | failed                  | wait: 10 s, doubled each time, 10 min     | Absent |
//! | Absent | refused                 | wait: 1 h                                 | Absent |
//! | Held   | two thirds are over     | renew                                     | Held   |
//! | Held   | it wants to be renewed  | renew at once                             | Held   |
//! | Held   | failed                  | wait, but renew before it ends            | Held   |
//! | Held   | its end, or it is gone  | subscribe anew                            | Absent |

use std::time::{Duration, Instant};

/// First and longest pause after a failure.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// Pause after Microsoft has said that it does not allow it.
const REFUSED: Duration = Duration::from_secs(3_600);
/// Longest life that is believed; that of presence is an hour.
const LIFE: Duration = Duration::from_secs(3_600);
/// Pause before one that is gone is made anew: whoever takes it away again and again is not asked without end.
const GONE: Duration = Duration::from_secs(2);

/// When what is to be done about a subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    state: State,
    /// Nothing is asked before.
    at: Instant,
    failures: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Absent,
    Held { id: String, until: Instant },
}

/// What is to be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// There is none.
    Subscribe,
    /// The one of this identifier would end.
    Renew(String),
}

impl Plan {
    /// None yet, and it is wanted now.
    pub fn new(now: Instant) -> Self {
        Self {
            state: State::Absent,
            at: now,
            failures: 0,
        }
    }

    /// When [`Self::due`] gives something.
    pub fn at(&self) -> Instant {
        match &self.state {
            State::Absent => self.at,
            State::Held { until, .. } => self.at.min(*until),
        }
    }

    /// What is to be done now, if anything. One that has ended is none.
    pub fn due(&mut self, now: Instant) -> Option<Act> {
        if let State::Held { until, .. } = &self.state
            && *until <= now
        {
            (self.state, self.at) = (State::Absent, now);
        }
        if now < self.at {
            return None;
        }
        Some(match &self.state {
            State::Absent => Act::Subscribe,
            State::Held { id, .. } => Act::Renew(id.clone()),
        })
    }

    /// Its identifier, while there is one.
    pub fn id(&self) -> Option<&str> {
        match &self.state {
            State::Absent => None,
            State::Held { id, .. } => Some(id),
        }
    }

    /// It is there, or goes on, for so long from now.
    pub fn held(&mut self, id: &str, life: Duration, now: Instant) {
        let life = life.min(LIFE);
        self.failures = 0;
        self.at = now + life * 2 / 3;
        let (id, until) = (id.to_owned(), now + life);
        self.state = State::Held { id, until };
    }

    /// Microsoft could not be asked, or had no time.
    pub fn failed(&mut self, now: Instant) {
        let pause = FIRST * 2_u32.pow(self.failures.min(10));
        self.failures += 1;
        self.at = now + pause.min(LONGEST);
    }

    /// Microsoft does not allow it.
    pub fn refused(&mut self, now: Instant) {
        (self.state, self.at) = (State::Absent, now + REFUSED);
    }

    /// It wants to be renewed before its time.
    pub fn hurry(&mut self, now: Instant) {
        if matches!(self.state, State::Held { .. }) && self.failures == 0 {
            self.at = now;
        }
    }

    /// It is gone.
    pub fn gone(&mut self, now: Instant) {
        (self.state, self.at) = (State::Absent, now + GONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    /// TDG-PRS-001.
    #[test]
    fn a_subscription_is_renewed_before_its_hour_ends_and_made_anew_when_it_has() {
        let start = Instant::now();
        let mut plan = Plan::new(start);
        assert_eq!(plan.due(start), Some(Act::Subscribe));
        plan.held("one", HOUR, start);
        assert_eq!(plan.at(), start + minutes(40));
        assert_eq!(plan.due(start), None);
        let now = start + minutes(40);
        assert_eq!(plan.due(now), Some(Act::Renew("one".to_owned())));
        plan.held("one", HOUR, now);
        assert_eq!(plan.due(start + minutes(79)), None);
        // Nobody can be reached: it is tried until it has ended, then it is a new one.
        let mut now = now + minutes(40);
        let mut tries = 0;
        while let Some(Act::Renew(_)) = plan.due(now) {
            tries += 1;
            plan.failed(now);
            assert!(plan.at() > now && plan.at() <= start + minutes(100));
            now = plan.at();
        }
        assert_eq!((tries, now), (7, start + minutes(100)));
        assert_eq!(plan.due(now), Some(Act::Subscribe));
        assert_eq!(plan.id(), None);
    }

    #[test]
    fn failures_are_spread_out_and_who_is_refused_asks_once_an_hour() {
        let start = Instant::now();
        let mut plan = Plan::new(start);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let now = plan.at();
            assert_eq!(plan.due(now), Some(Act::Subscribe));
            plan.failed(now);
            pauses.push((plan.at() - now).as_secs());
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        let now = plan.at();
        plan.refused(now);
        assert_eq!(plan.due(now + minutes(59)), None);
        assert_eq!(plan.due(now + HOUR), Some(Act::Subscribe));
    }

    /// TDG-PRS-005.
    #[test]
    fn events_renew_it_or_make_it_anew_but_never_without_pause() {
        let now = Instant::now();
        let mut plan = Plan::new(now);
        plan.hurry(now);
        plan.held("one", HOUR, now);
        plan.hurry(now);
        assert_eq!(plan.due(now), Some(Act::Renew("one".to_owned())));
        plan.failed(now);
        plan.hurry(now);
        assert_eq!(plan.due(now), None, "it was tried a moment ago");
        plan.held("one", HOUR, now);
        plan.gone(now);
        assert_eq!(plan.id(), None);
        assert_eq!(plan.due(now), None);
        assert_eq!(plan.due(now + GONE), Some(Act::Subscribe));
        // A life that nobody believes.
        plan.held("two", HOUR * 24, now);
        assert_eq!(plan.at(), now + minutes(40));
    }
}
