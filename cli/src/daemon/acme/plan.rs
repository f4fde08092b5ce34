//! When an authority is asked for a certificate: a function of what has happened, when, and chance. It has no
//! clock, no sockets and no randomness of its own (TDR-TLS-015).
//!
//! | state    | event              | next                                                           |
//! |----------|--------------------|----------------------------------------------------------------|
//! | Waiting  | its time has come  | Ordering                                                       |
//! | Waiting  | an operator asks   | Waiting until now, unless the authority asked for a pause      |
//! | Waiting  | another is in use  | Waiting until a third of that one is left                      |
//! | Ordering | issued             | Waiting until a third of it is left                            |
//! | Ordering | Teams says nothing | Waiting for an hour, or until Teams does                       |
//! | Ordering | failed             | Waiting: 5 min, 10, 20 … 6 h, and as long as the authority asks|
//!
//! Five validations of a name may fail in an hour with public authorities: the first pauses keep below that.

use sbc_core::time::UnixTime;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(300);
/// Longest pause of ours.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3_600);
/// Longest pause of ours while the certificate has no day left: nobody may sleep through that.
const LAST_DAY_PAUSE: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// Longest pause that an authority may ask for. Limits of public ones are weeks.
const LONGEST_WISH: Duration = Duration::from_secs(31 * 86_400);
/// A certificate that was just issued is not renewed before so long, whatever it says: an authority whose
/// certificates are always old must not be asked without end.
const LEAST_REST: Duration = Duration::from_secs(3_600);

/// A number drawn from outside: 0 is none of what may be added, [`u16::MAX`] is all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chance(pub u16);

impl Chance {
    fn of(self, whole: Duration) -> Duration {
        whole.mul_f64(f64::from(self.0) / f64::from(u16::MAX))
    }
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetime {
    /// Its first moment.
    pub from: UnixTime,
    /// Its last one.
    pub until: UnixTime,
}

impl Lifetime {
    /// When a third of it is left, and up to a twentieth earlier, so that not all nodes come at once.
    fn renewal(self, chance: Chance) -> UnixTime {
        let whole = self.until.since(self.from);
        earlier(self.until, whole / 3 + chance.of(whole / 20))
    }

    fn left(self, now: UnixTime) -> Duration {
        self.until.since(now)
    }
}

/// What of a plan outlives a restart: a daemon that is started again and again must not ask again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Past {
    /// Failures since a certificate was issued.
    pub failures: u32,
    /// Nobody is asked before this time, in microseconds since 1970.
    pub not_before: u64,
    /// The authority itself asked for a pause until then.
    pub paused_until: u64,
}

/// When the certificate of one identity is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    state: State,
    held: Option<Lifetime>,
    failures: u32,
    paused_until: UnixTime,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting { at: UnixTime },
    Ordering,
}

impl Plan {
    /// The plan at a start, or for an identity that is new. Without a certificate that fits it is asked for one at
    /// once, as far as what happened before allows.
    pub fn new(held: Option<Lifetime>, past: Past, now: UnixTime, chance: Chance) -> Self {
        let wanted = held.map_or(now, |held| held.renewal(chance));
        let at = wanted.max(UnixTime::from_micros(past.not_before));
        Self {
            // A clock that was wrong when that was written must not end in silence.
            state: State::Waiting {
                at: at.min(latest(held, now)),
            },
            held,
            failures: past.failures,
            paused_until: UnixTime::from_micros(past.paused_until),
        }
    }

    /// When the authority is asked next; `None` while it is.
    pub fn due(&self) -> Option<UnixTime> {
        match self.state {
            State::Waiting { at } => Some(at),
            State::Ordering => None,
        }
    }

    /// Failures since a certificate was issued.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// What is to be kept of it.
    pub fn past(&self) -> Past {
        let not_before = match (self.state, self.failures) {
            (State::Waiting { at }, 1..) => at.as_micros(),
            (State::Waiting { .. } | State::Ordering, _) => 0,
        };
        Past {
            failures: self.failures,
            not_before,
            paused_until: self.paused_until.as_micros(),
        }
    }

    /// An order begins.
    pub fn begin(&mut self) {
        self.state = State::Ordering;
    }

    /// A certificate was issued and is in use.
    pub fn issued(&mut self, lifetime: Lifetime, now: UnixTime, chance: Chance) {
        let whole = lifetime.until.since(lifetime.from);
        let rest = LEAST_REST.min(whole / 10);
        self.held = Some(lifetime);
        self.failures = 0;
        self.paused_until = UnixTime::default();
        self.state = State::Waiting {
            at: lifetime.renewal(chance).max(now + rest),
        };
    }

    /// The order has come to nothing; `wish` is how long the authority wants to be left alone.
    pub fn failed(&mut self, wish: Option<Duration>, now: UnixTime, chance: Chance) {
        self.failures = self.failures.saturating_add(1);
        let doublings = (self.failures - 1).min(16);
        let is_last_day = self.held.is_some_and(|held| held.left(now) < DAY);
        let longest = if is_last_day {
            LAST_DAY_PAUSE
        } else {
            LONGEST_PAUSE
        };
        let own = (FIRST_PAUSE * 2_u32.pow(doublings)).min(longest);
        let own = own + chance.of(own / 10);
        let wish = wish.unwrap_or_default().min(LONGEST_WISH);
        // What was only shown to Teams ends no pause.
        self.paused_until = self.pause(now).unwrap_or_default().max(now + wish);
        self.state = State::Waiting {
            at: (now + own).max(self.paused_until),
        };
    }

    /// It was issued and waits for a word of Teams: no failure of the authority. In an hour it is tried in any case, as
    /// the one in use may have no day left by then.
    pub fn held_up(&mut self, now: UnixTime, chance: Chance) {
        self.state = State::Waiting {
            at: now + LAST_DAY_PAUSE + chance.of(LAST_DAY_PAUSE / 10),
        };
    }

    /// What was issued is shown to Teams again: nobody asks the authority.
    pub fn show_again(&mut self, now: UnixTime) {
        match self.state {
            State::Ordering => {}
            State::Waiting { .. } => self.state = State::Waiting { at: now },
        }
    }

    /// Whether the authority wants to be left alone.
    pub fn is_paused(&self, now: UnixTime) -> bool {
        self.pause(now).is_some()
    }

    /// Until when the authority wants to be left alone. What is longer than any wish was written by a clock that was
    /// wrong.
    fn pause(&self, now: UnixTime) -> Option<UnixTime> {
        let until = Some(self.paused_until);
        until.filter(|until| now < *until && *until <= now + LONGEST_WISH)
    }

    /// There is nothing to be done before the authority may be asked.
    pub fn rest(&mut self, now: UnixTime) {
        let at = self.pause(now).unwrap_or(now);
        self.state = State::Waiting { at };
    }

    /// An operator does not want to wait.
    ///
    /// # Errors
    /// Until when the authority wants to be left alone; it is asked then.
    pub fn hurry(&mut self, now: UnixTime) -> Result<(), UnixTime> {
        match (self.state, self.pause(now)) {
            (State::Ordering, _) => Ok(()),
            (State::Waiting { .. }, Some(until)) => Err(until),
            (State::Waiting { .. }, None) => {
                self.state = State::Waiting { at: now };
                Ok(())
            }
        }
    }

    /// Another certificate is in use, or none that fits: the file, or the configuration, was changed.
    pub fn found(&mut self, held: Option<Lifetime>, now: UnixTime, chance: Chance) {
        if held == self.held {
            return;
        }
        let past = self.past();
        let is_ordering = self.state == State::Ordering;
        *self = Self::new(held, past, now, chance);
        if is_ordering {
            self.state = State::Ordering;
        }
    }
}

/// No plan is later than this: its own renewal, or what the longest wish comes to.
fn latest(held: Option<Lifetime>, now: UnixTime) -> UnixTime {
    let of_wish = now + LONGEST_WISH;
    held.map_or(of_wish, |held| held.renewal(Chance(0)).max(of_wish))
}

fn earlier(time: UnixTime, by: Duration) -> UnixTime {
    let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
    UnixTime::from_micros(time.as_micros().saturating_sub(by))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Chance = Chance(0);
    const ALL: Chance = Chance(u16::MAX);

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_micros(seconds * 1_000_000)
    }

    /// 90 days from a day in 1971.
    const FROM: u64 = 400 * 86_400;
    const UNTIL: u64 = FROM + 90 * 86_400;

    fn ninety_days() -> Lifetime {
        Lifetime {
            from: at(FROM),
            until: at(UNTIL),
        }
    }

    fn holding() -> Plan {
        Plan::new(Some(ninety_days()), Past::default(), at(FROM), NONE)
    }

    #[test]
    fn the_first_certificate_is_asked_for_at_once() {
        let plan = Plan::new(None, Past::default(), at(FROM), ALL);
        assert_eq!(plan.due(), Some(at(FROM)));
    }

    #[test]
    fn what_was_issued_is_shown_in_a_pause_and_ends_it_not() {
        let mut plan = holding();
        let hour = Duration::from_secs(3_600);
        plan.begin();
        plan.failed(Some(hour * 40), at(FROM), NONE);
        assert!(plan.clone().hurry(at(FROM) + hour).is_err());
        plan.show_again(at(FROM) + hour);
        assert_eq!(plan.due(), Some(at(FROM) + hour));
        plan.begin();
        plan.failed(None, at(FROM) + hour, NONE);
        assert_eq!(plan.due(), Some(at(FROM) + hour * 40));
        assert!(plan.is_paused(at(FROM) + hour));
        // What was shown is gone when its time comes.
        plan.begin();
        plan.held_up(at(FROM) + hour, NONE);
        plan.begin();
        plan.rest(at(FROM) + hour * 2);
        assert_eq!(plan.due(), Some(at(FROM) + hour * 40));
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_is_left_and_never_all_at_once() {
        let third = UNTIL - 30 * 86_400;
        assert_eq!(holding().due(), Some(at(third)));
        let early = Plan::new(Some(ninety_days()), Past::default(), at(FROM), ALL);
        assert_eq!(early.due(), Some(at(third - 90 * 86_400 / 20)));
        // Six days are two days before the end.
        let short = Lifetime {
            from: at(FROM),
            until: at(FROM + 6 * 86_400),
        };
        let plan = Plan::new(Some(short), Past::default(), at(FROM), NONE);
        assert_eq!(plan.due(), Some(at(FROM + 4 * 86_400)));
    }

    #[test]
    fn nobody_is_asked_twice_while_an_order_is_under_way() {
        let mut plan = holding();
        plan.begin();
        assert_eq!(plan.due(), None);
        assert_eq!(plan.hurry(at(FROM)), Ok(()));
        plan.found(None, at(FROM), NONE);
        assert_eq!(plan.due(), None);
        plan.issued(ninety_days(), at(FROM + 5), NONE);
        assert_eq!(plan.due(), Some(at(UNTIL - 30 * 86_400)));
    }

    #[test]
    fn pauses_double_up_to_six_hours_and_end_with_success() {
        let mut plan = holding();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            plan.begin();
            plan.failed(None, at(FROM), NONE);
            pauses.push(plan.due().unwrap().since(at(FROM)).as_secs() / 60);
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 360, 360]);
        assert_eq!(plan.failures(), 9);
        plan.begin();
        plan.failed(None, at(FROM), ALL);
        assert_eq!(plan.due(), Some(at(FROM + 360 * 60 + 36 * 60)));
        plan.begin();
        plan.issued(ninety_days(), at(FROM), NONE);
        assert_eq!(plan.failures(), 0);
        plan.begin();
        plan.failed(None, at(FROM), NONE);
        assert_eq!(plan.due(), Some(at(FROM + 300)));
    }

    #[test]
    fn what_waits_for_a_word_of_teams_is_no_failure_and_has_its_turn_within_the_hour() {
        let mut plan = holding();
        plan.begin();
        plan.held_up(at(FROM), NONE);
        assert_eq!(plan.due(), Some(at(FROM + 3_600)));
        assert_eq!((plan.failures(), plan.past().not_before), (0, 0));
        // It answers.
        assert_eq!(plan.hurry(at(FROM + 60)), Ok(()));
        assert_eq!(plan.due(), Some(at(FROM + 60)));
    }

    #[test]
    fn in_the_first_hour_fewer_than_five_validations_fail() {
        let (mut plan, mut now, mut tries) = (holding(), at(FROM), 0);
        while now.since(at(FROM)) < Duration::from_secs(3_600) {
            plan.begin();
            plan.failed(None, now, NONE);
            now = plan.due().unwrap();
            tries += 1;
        }
        assert_eq!(tries, 4);
    }

    #[test]
    fn on_its_last_day_a_certificate_is_asked_for_every_hour() {
        let mut plan = holding();
        let now = at(UNTIL - 3 * 3_600);
        for _ in 0..9 {
            plan.begin();
            plan.failed(None, now, NONE);
        }
        assert_eq!(plan.due(), Some(now + Duration::from_secs(3_600)));
    }

    #[test]
    fn an_authority_that_wants_to_be_left_alone_is_not_asked_even_by_hand() {
        let mut plan = holding();
        let hours = |count: u64| Duration::from_secs(count * 3_600);
        plan.begin();
        plan.failed(Some(hours(40)), at(FROM), NONE);
        assert_eq!(plan.due(), Some(at(FROM) + hours(40)));
        assert_eq!(plan.hurry(at(FROM) + hours(39)), Err(at(FROM) + hours(40)));
        assert_eq!(plan.due(), Some(at(FROM) + hours(40)));
        let then = at(FROM) + hours(40);
        assert_eq!(plan.hurry(then), Ok(()));
        assert_eq!(plan.due(), Some(then));
        // A wish shorter than our own pause changes nothing but what an operator may do.
        plan.begin();
        plan.failed(Some(Duration::from_secs(1)), then, NONE);
        assert_eq!(plan.due(), Some(then + Duration::from_secs(600)));
        assert_eq!(plan.hurry(then + Duration::from_secs(1)), Ok(()));
        // Nobody waits for years.
        plan.begin();
        plan.failed(Some(hours(24 * 365)), then, NONE);
        assert_eq!(plan.due(), Some(then + LONGEST_WISH));
    }

    #[test]
    fn a_restart_ends_no_pause_and_a_wrong_clock_does_not_last() {
        let mut plan = Plan::new(None, Past::default(), at(FROM), NONE);
        plan.begin();
        plan.failed(Some(Duration::from_secs(7_200)), at(FROM), NONE);
        let due = plan.due();
        let again = Plan::new(None, plan.past(), at(FROM + 60), NONE);
        assert_eq!((again.due(), again.failures()), (due, 1));
        assert!(again.clone().hurry(at(FROM + 60)).is_err());
        let of_the_future = Past {
            failures: 1,
            not_before: u64::MAX,
            paused_until: 0,
        };
        let plan = Plan::new(None, of_the_future, at(FROM), NONE);
        assert_eq!(plan.due(), Some(at(FROM) + LONGEST_WISH));
        // Nor does a pause of a year that the same clock has written.
        let paused = Past {
            failures: 1,
            not_before: 0,
            paused_until: at(FROM + 365 * 86_400).as_micros(),
        };
        let mut plan = Plan::new(None, paused, at(FROM), NONE);
        assert!(!plan.is_paused(at(FROM)));
        assert_eq!(plan.hurry(at(FROM)), Ok(()));
        plan.begin();
        plan.failed(None, at(FROM), NONE);
        assert_eq!(plan.due(), Some(at(FROM + 600)));
        // An order that a restart has interrupted goes on at once.
        let mut plan = Plan::new(None, Past::default(), at(FROM), NONE);
        plan.begin();
        let again = Plan::new(None, plan.past(), at(FROM + 1), NONE);
        assert_eq!(again.due(), Some(at(FROM + 1)));
    }

    #[test]
    fn certificates_that_are_old_when_they_come_are_not_asked_for_without_end() {
        let mut plan = holding();
        let now = at(UNTIL - 10 * 86_400);
        plan.begin();
        plan.issued(ninety_days(), now, NONE);
        assert_eq!(plan.due(), Some(now + LEAST_REST));
    }

    #[test]
    fn a_certificate_that_lacks_a_name_is_asked_for_anew_and_another_file_is_believed() {
        let mut plan = holding();
        let now = at(FROM + 86_400);
        plan.found(None, now, NONE);
        assert_eq!(plan.due(), Some(now));
        let later = Lifetime {
            from: now,
            until: at(UNTIL + 86_400),
        };
        plan.found(Some(later), now, NONE);
        assert_eq!(plan.due(), Some(at(UNTIL + 86_400 - 30 * 86_400)));
    }
}
