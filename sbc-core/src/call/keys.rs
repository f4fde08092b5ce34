//! What is known of the keys that one leg's peer presses: one that it tells of in two ways is one
//! (SIP-1310, SIP-1312).

use crate::id::LegId;
use crate::policy::crossing::Pressed;
use crate::time::Timestamp;
use media_api::{Digit, Intake};
use std::collections::VecDeque;
use std::time::Duration;

/// The keys of a leg's peer.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// What the relay was told to do with its digits.
    pub(super) intake: Intake,
    /// It has told of a key in INFO alone, although both legs have events, or both tones: from then on each
    /// of its keys is told to the other party by us.
    is_by_info: bool,
    /// An event or a tone that goes on to the other party at this moment.
    running: Option<Running>,
    /// Told in INFO: the event or tone that says the same may still come, and then passes.
    waiting: VecDeque<Waiting>,
    /// Keys told to the other party not long ago.
    told: VecDeque<Told>,
}

impl Keys {
    /// What is to be known of them in the process after this one.
    pub(super) fn kept(&self) -> (Intake, bool) {
        (self.intake, self.is_by_info)
    }

    /// Those of a leg of the process before this one.
    pub(super) fn of_kept((intake, is_by_info): (Intake, bool)) -> Self {
        Self {
            intake,
            is_by_info,
            ..Self::default()
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Running {
    digit: Digit,
    has_info: bool,
}

/// A key that waits for its event or tone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) pressed: Pressed,
    /// Whom it was meant for.
    pub(super) to: LegId,
    until: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    digit: Digit,
    by: Source,
    at: Timestamp,
}

/// How a party has told of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    Media,
    Info,
}

/// Which part INFO has in telling of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Info {
    /// We take none.
    Refused,
    /// It may say what the media say.
    Beside,
    /// It says what the media do not.
    Alone,
}

/// Keys remembered of one party.
const REMEMBERED: usize = 8;
/// Keys told in INFO that wait for their events: nobody presses as many before the first of them arrives.
/// With the last of them none waits any longer, and while an event passes no more are taken.
pub(super) const MOST_WAITING: usize = 8;

/// Between INFO and media about the same key, beyond the time that it was pressed for.
const APART: Duration = Duration::from_millis(500);
/// Between media and INFO behind them: an INFO that is lost three times comes as late (RFC 3261 §17.1.2.2),
/// and a digit told twice does more harm than one that is told by a party which changes its ways.
const LATE: Duration = Duration::from_secs(4);

impl Keys {
    /// Which part INFO has in telling them, for a peer from which we take it or do not.
    pub(super) fn info(&self, is_taken: bool) -> Info {
        match (is_taken, self.is_by_info) {
            (_, true) => Info::Alone,
            (true, false) => Info::Beside,
            (false, false) => Info::Refused,
        }
    }

    /// Notes what the relay is told to do from now on. Keys that wait are told to the other party then:
    /// no event of theirs passes any more.
    pub(super) fn direct(&mut self, intake: Intake, now: Timestamp) {
        // What lasts has passed in part, and is told at its end all the same, if its kind still is.
        if !is_same_kind(self.intake, intake) {
            self.running = None;
        }
        self.intake = intake;
        if !intake.tells_begin() {
            self.wait_no_longer(now);
        }
    }

    /// An event or a tone begins, which goes on to the other party.
    pub(super) fn begins(&mut self, digit: Digit) {
        match self.intake {
            Intake::Watch | Intake::Listen | Intake::Events | Intake::Tones => {
                let has_info = self.was_waiting(digit);
                self.running = Some(Running { digit, has_info });
            }
            // Told before the relay knew; it does not tell the end.
            Intake::Pass => {}
        }
    }

    /// The relay has found a key. Says whether the other party has been told of it: the event or tone itself
    /// has passed, or INFO came before it.
    pub(super) fn is_known(&mut self, pressed: Pressed, now: Timestamp) -> bool {
        let digit = pressed.digit;
        if let Some(running) = self.running.take_if(|running| running.digit == digit) {
            if !running.has_info {
                self.repeats(Source::Media, pressed, now);
            }
            return true;
        }
        if !self.intake.tells_begin() {
            return self.repeats(Source::Media, pressed, now);
        }
        if !self.was_waiting(digit) {
            self.repeats(Source::Media, pressed, now);
        }
        true
    }

    /// INFO tells of a key for which an event or tone passes or has passed, or is waited for. Says whether it was
    /// taken: no more than [`MOST_WAITING`] are.
    pub(super) fn wait(&mut self, pressed: Pressed, to: LegId, now: Timestamp) -> bool {
        let is_it = |running: &&mut Running| running.digit == pressed.digit && !running.has_info;
        if let Some(running) = self.running.as_mut().filter(is_it) {
            running.has_info = true;
            return true;
        }
        if self.recalls(Source::Media, pressed.digit, LATE, now) {
            return true;
        }
        if self.waiting.len() >= MOST_WAITING {
            return false;
        }
        // A digit told twice does more harm than a late one.
        let pressed_for = Duration::from_millis(u64::from(pressed.duration_ms));
        let until = now + APART + pressed_for.min(APART);
        // Keys keep their order.
        let last = self.waiting.back().map_or(until, |last| last.until);
        self.waiting.push_back(Waiting {
            pressed,
            to,
            until: until.max(last),
        });
        if self.waiting.len() == MOST_WAITING {
            self.wait_no_longer(now);
        }
        true
    }

    /// When the first key has waited long enough; not while an event passes, which another digit would
    /// break off.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let first = self.waiting.front().filter(|_| self.running.is_none());
        first.map(|first| first.until)
    }

    /// No event has come for the first key that waits, so none comes for those behind it either: all are
    /// to be told to the other party.
    pub(super) fn give_up(&mut self) -> VecDeque<Waiting> {
        self.is_by_info |= !self.waiting.is_empty();
        std::mem::take(&mut self.waiting)
    }

    /// Whether the other party has been told of this key already, because this one told of it in another
    /// way. If not, it is remembered.
    pub(super) fn repeats(&mut self, by: Source, pressed: Pressed, now: Timestamp) -> bool {
        let pressed_for = Duration::from_millis(u64::from(pressed.duration_ms));
        // INFO may come when a key goes down, media tell of it when it is up again.
        let (other, apart) = match by {
            Source::Media => (Source::Info, APART + pressed_for),
            Source::Info => (Source::Media, LATE),
        };
        if self.recalls(other, pressed.digit, apart, now) {
            return true;
        }
        self.told.truncate(REMEMBERED - 1);
        self.told.push_front(Told {
            digit: pressed.digit,
            by,
            at: now,
        });
        false
    }

    /// Whether a key was told in this way not long ago; it is forgotten.
    fn recalls(&mut self, by: Source, digit: Digit, apart: Duration, now: Timestamp) -> bool {
        let is_same =
            |told: &Told| told.digit == digit && told.by == by && now.since(told.at) <= apart;
        let at = self.told.iter().position(is_same);
        at.and_then(|at| self.told.remove(at)).is_some()
    }

    fn was_waiting(&mut self, digit: Digit) -> bool {
        let mut waiting = self.waiting.iter();
        let at = waiting.position(|waiting| waiting.pressed.digit == digit);
        at.and_then(|at| self.waiting.remove(at)).is_some()
    }

    fn wait_no_longer(&mut self, now: Timestamp) {
        for waiting in &mut self.waiting {
            waiting.until = now;
        }
    }
}

/// Whether both are about events, or both about tones.
fn is_same_kind(one: Intake, other: Intake) -> bool {
    use Intake::{Events, Listen, Tones, Watch};
    matches!(
        (one, other),
        (Watch | Events, Watch | Events) | (Listen | Tones, Listen | Tones)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(symbol: char, duration_ms: u16) -> Pressed {
        Pressed {
            digit: Digit::from_char(symbol).unwrap(),
            duration_ms,
        }
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn a_key_told_in_two_ways_is_one_and_two_keys_are_two() {
        let mut keys = Keys::default();
        let mut at =
            |ms: u64, by, symbol, duration_ms| keys.repeats(by, key(symbol, duration_ms), at(ms));
        // Twice the same key, each by both.
        assert!(!at(0, Source::Info, '5', 100));
        assert!(at(100, Source::Media, '5', 100));
        assert!(!at(300, Source::Media, '5', 100));
        assert!(at(310, Source::Info, '5', 100));
        // A long one: INFO came at its beginning.
        assert!(!at(1_000, Source::Info, '7', 100));
        assert!(at(4_000, Source::Media, '7', 2_900));
        // By one of both only, and later by the other.
        assert!(!at(5_000, Source::Info, '1', 100));
        assert!(!at(5_100, Source::Info, '1', 100));
        assert!(!at(5_800, Source::Media, '1', 100));
        assert!(!at(5_810, Source::Media, '2', 100));
    }

    /// The relay forgets an event that lasts where events are no matter any more: nobody tells its end.
    #[test]
    fn an_event_that_is_told_of_too_late_keeps_nothing_waiting() {
        let mut keys = watched();
        keys.direct(Intake::Pass, at(0));
        keys.begins(key('4', 0).digit);
        keys.direct(Intake::Watch, at(10));
        keys.wait(key('5', 100), TO, at(20));
        assert_eq!(keys.due(), Some(at(620)));
    }

    fn watched() -> Keys {
        let mut keys = Keys::default();
        keys.direct(Intake::Watch, at(0));
        keys
    }

    const TO: LegId = LegId(1);

    #[test]
    fn a_tone_that_lasts_is_told_and_one_of_another_kind_forgotten() {
        let mut keys = Keys::default();
        keys.direct(Intake::Listen, at(0));
        keys.wait(key('5', 100), TO, at(0));
        keys.begins(key('5', 0).digit);
        keys.direct(Intake::Tones, at(10));
        assert!(keys.is_known(key('5', 90), at(100)));
        assert!(!keys.is_known(key('5', 90), at(300)));
        let mut keys = watched();
        keys.begins(key('4', 0).digit);
        // Nobody tells its end any more.
        keys.direct(Intake::Listen, at(10));
        keys.wait(key('5', 100), TO, at(20));
        assert_eq!(keys.due(), Some(at(620)));
    }

    #[test]
    fn info_waits_for_its_event_and_no_longer() {
        let mut keys = watched();
        keys.wait(key('5', 160), TO, at(0));
        assert_eq!(keys.due(), Some(at(660)));
        keys.begins(key('5', 0).digit);
        assert_eq!(keys.due(), None);
        assert!(keys.is_known(key('5', 100), at(600)));
        // The one event was for the one INFO.
        keys.wait(key('5', 160), TO, at(700));
        assert_eq!(keys.due(), Some(at(1_360)));
        // A single packet of an event is one.
        assert!(keys.is_known(key('5', 20), at(800)));
        assert_eq!(keys.due(), None);
        // The one that says it will last does not wait as long.
        keys.wait(key('6', 60_000), TO, at(1_000));
        assert_eq!(keys.due(), Some(at(2_000)));
        keys.wait(key('7', 0), TO, at(1_010));
        let given_up: Vec<Waiting> = keys.give_up().into();
        assert_eq!(given_up.len(), 2);
        assert_eq!(given_up[1].until, at(2_000), "in order");
        assert_eq!(keys.info(true), Info::Alone);
    }

    #[test]
    fn info_behind_its_event_or_beside_it_is_the_same_key() {
        let mut keys = watched();
        keys.begins(key('1', 0).digit);
        keys.wait(key('1', 100), TO, at(3_000));
        assert!(keys.is_known(key('1', 3_100), at(3_100)));
        assert_eq!(keys.due(), None);
        assert!(keys.is_known(key('2', 100), at(4_000)));
        keys.wait(key('2', 100), TO, at(4_400));
        assert_eq!(keys.due(), None);
        // Twice as many by INFO as by events.
        keys.begins(key('3', 0).digit);
        keys.wait(key('3', 100), TO, at(5_000));
        keys.wait(key('3', 100), TO, at(5_100));
        assert_eq!(keys.due(), None, "not while an event passes");
        assert!(keys.is_known(key('3', 100), at(5_150)));
        assert_eq!(keys.due(), Some(at(5_700)));
    }

    /// Over a network that loses, or behind a server that is slow.
    #[test]
    fn info_that_is_late_is_the_same_key_and_one_more_is_another() {
        let mut keys = watched();
        assert!(keys.is_known(key('5', 100), at(0)));
        assert!(keys.wait(key('5', 100), TO, at(3_500)));
        assert_eq!(keys.due(), None);
        assert!(keys.wait(key('5', 100), TO, at(3_600)));
        assert_eq!(keys.due(), Some(at(4_200)));
        let mut keys = watched();
        assert!(keys.is_known(key('5', 100), at(0)));
        assert!(keys.wait(key('5', 100), TO, at(4_001)));
        assert_eq!(keys.due(), Some(at(4_601)));
        // The same where we tell the keys.
        let mut keys = Keys::default();
        assert!(!keys.repeats(Source::Media, key('5', 100), at(0)));
        assert!(keys.repeats(Source::Info, key('5', 100), at(3_500)));
        assert!(!keys.repeats(Source::Info, key('5', 100), at(3_600)));
    }

    #[test]
    fn while_an_event_passes_no_more_keys_wait_than_there_is_room_for() {
        let mut keys = watched();
        keys.begins(key('1', 0).digit);
        for _ in 0..MOST_WAITING {
            assert!(keys.wait(key('2', 100), TO, at(0)));
        }
        assert!(!keys.wait(key('2', 100), TO, at(0)));
        assert_eq!(keys.due(), None, "not while an event passes");
        assert!(keys.is_known(key('1', 100), at(100)));
        assert_eq!(keys.give_up().len(), MOST_WAITING);
    }

    #[test]
    fn an_event_that_began_to_pass_is_known_though_events_are_taken_out_meanwhile() {
        let mut keys = watched();
        keys.begins(key('4', 0).digit);
        keys.direct(Intake::Events, at(10));
        assert!(keys.is_known(key('4', 100), at(100)));
        assert!(!keys.is_known(key('4', 100), at(300)));
    }

    #[test]
    fn what_a_party_says_takes_no_memory() {
        let mut keys = watched();
        for event in 0..100 {
            let pressed = Pressed {
                digit: Digit::from_event(event % 16).unwrap(),
                duration_ms: 100,
            };
            keys.repeats(Source::Info, pressed, Timestamp::ZERO);
            keys.wait(pressed, TO, at(5));
        }
        assert_eq!((keys.told.len(), keys.waiting.len()), (8, 8));
        assert_eq!(keys.due(), Some(at(5)), "nobody presses as fast");
    }
}
