//! What DNS said, for how long it holds, and what is used when it does not answer (SIP-1705).
//!
//! | age of an answer             | it is                                        |
//! |------------------------------|----------------------------------------------|
//! | up to 80 % of its lifetime   | used                                         |
//! | up to its lifetime           | used, and asked anew in the background       |
//! | up to 24 h more              | used when DNS fails, asked anew otherwise    |
//! | more                         | forgotten                                    |
//!
//! A failure is remembered for a few seconds too, so that calls do not wait for a dead resolver one
//! after the other, nor beat it.

use super::{Answer, Question};
use crate::query::ResolveFault;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Shortest and longest lifetime that is believed.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(3600);
/// How long something is held to be absent.
const ABSENT: Duration = Duration::from_secs(30);
/// An answer may be used so long after its lifetime.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// Pause after a failure before DNS is asked the same again.
const PAUSE: Duration = Duration::from_secs(5);
/// Answers remembered.
const MAX_ENTRIES: usize = 10_000;

/// What is remembered of DNS.
#[derive(Debug, Default)]
pub struct Cache {
    entries: BTreeMap<Question, Entry>,
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    refresh_at: Timestamp,
    until: Timestamp,
    failed: Option<(Timestamp, ResolveFault)>,
}

/// What the cache has for a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// An answer to be used; with `true` it should be asked anew in the background.
    Fresh(Answer, bool),
    /// DNS failed a moment ago: this is used meanwhile.
    Stale(Answer),
    /// Nothing: ask.
    Nothing,
}

impl Cache {
    /// What is known.
    pub fn find(&self, now: Timestamp, question: &Question) -> Found {
        let Some(entry) = self.entries.get(question) else {
            return Found::Nothing;
        };
        if entry.until > now {
            let is_worn = entry.refresh_at <= now && !entry.rests(now);
            return Found::Fresh(entry.answer.clone(), is_worn);
        }
        match entry.rests(now) {
            true => Found::Stale(entry.last_resort(now)),
            false => Found::Nothing,
        }
    }

    /// Whether there is an answer to make do with while DNS gives none.
    pub fn has_last_resort(&self, now: Timestamp, question: &Question) -> bool {
        let entry = self.entries.get(question);
        entry.is_some_and(|entry| matches!(entry.last_resort(now), Answer::Records(_)))
    }

    /// Takes what DNS answered, and gives what is to be used: the answer, or after a failure what
    /// was known before. Says whether it is such an old one.
    pub fn note(
        &mut self,
        now: Timestamp,
        question: Question,
        answer: Answer,
        lifetime: Duration,
    ) -> (Answer, bool) {
        let lifetime = match &answer {
            Answer::Records(_) => lifetime.clamp(SHORTEST, LONGEST),
            Answer::Absent => ABSENT,
            Answer::Failed(fault) => return self.failed(now, question, *fault),
        };
        self.make_room(&question);
        let entry = Entry {
            answer: answer.clone(),
            refresh_at: now + lifetime * 4 / 5,
            until: now + lifetime,
            failed: None,
        };
        self.entries.insert(question, entry);
        (answer, false)
    }

    /// Everything that is remembered, by name.
    pub fn all(
        &self,
        now: Timestamp,
    ) -> impl Iterator<Item = (&Question, &Answer, State, Duration)> {
        self.entries.iter().filter_map(move |(question, entry)| {
            let (state, left) = entry.state(now)?;
            Some((question, &entry.answer, state, left))
        })
    }

    /// Forgets what is meant; says how many answers that were.
    pub fn forget(&mut self, is_meant: impl Fn(&Question) -> bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|question, _| !is_meant(question));
        before - self.entries.len()
    }

    /// Others are asked from now on: what was said by those before is only used where these do not answer.
    pub fn outdate(&mut self, now: Timestamp) {
        for entry in self.entries.values_mut() {
            entry.refresh_at = entry.refresh_at.min(now);
            entry.until = entry.until.min(now);
            entry.failed = None;
        }
    }

    /// Answers remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn failed(&mut self, now: Timestamp, question: Question, why: ResolveFault) -> (Answer, bool) {
        self.make_room(&question);
        let entry = self.entries.entry(question).or_insert(Entry {
            answer: Answer::Failed(why),
            refresh_at: now,
            until: now,
            failed: None,
        });
        entry.failed = Some((now + PAUSE, why));
        if entry.until > now {
            return (entry.answer.clone(), false);
        }
        let used = entry.last_resort(now);
        let is_stale = !matches!(used, Answer::Failed(_));
        (used, is_stale)
    }

    fn make_room(&mut self, question: &Question) {
        if self.entries.len() < MAX_ENTRIES || self.entries.contains_key(question) {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.until);
        if let Some(oldest) = oldest.map(|(question, _)| question.clone()) {
            self.entries.remove(&oldest);
        }
    }
}

/// What an answer is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It is used.
    Fresh,
    /// It is used, and asked anew with the next question.
    Worn,
    /// Its lifetime is over: it is used while DNS gives none.
    Stale,
    /// DNS gives none, and nothing is known from before.
    Failed,
}

impl State {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Worn => "worn",
            Self::Stale => "stale",
            Self::Failed => "failed",
        }
    }
}

impl Entry {
    /// What it is good for, and for how long; nothing once it is as good as forgotten.
    fn state(&self, now: Timestamp) -> Option<(State, Duration)> {
        if self.until > now {
            let state = match self.refresh_at <= now {
                true => State::Worn,
                false => State::Fresh,
            };
            return Some((state, self.until - now));
        }
        match (self.last_resort(now), self.failed) {
            (Answer::Records(_), _) => Some((State::Stale, self.until + STALE - now)),
            (_, Some((rests_until, _))) if rests_until > now => {
                Some((State::Failed, rests_until - now))
            }
            (Answer::Absent | Answer::Failed(_), _) => None,
        }
    }

    /// Whether a failure is so young that DNS is not asked again yet.
    fn rests(&self, now: Timestamp) -> bool {
        self.failed.is_some_and(|(until, _)| until > now)
    }

    /// What is used instead of an answer that DNS does not give.
    fn last_resort(&self, now: Timestamp) -> Answer {
        // That something was absent long ago is no reason to give up now.
        if matches!(self.answer, Answer::Records(_)) && self.until + STALE > now {
            return self.answer.clone();
        }
        let why = self
            .failed
            .map_or(ResolveFault::ServerFailure, |(_, why)| why);
        Answer::Failed(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locate::{Kind, Record};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn question(name: &str) -> Question {
        Question {
            name: name.to_owned(),
            kind: Kind::A,
        }
    }

    fn records(last: u8) -> Answer {
        Answer::Records(vec![Record::Address([192, 0, 2, last].into())])
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const FAILED: Answer = Answer::Failed(ResolveFault::Timeout);

    #[test]
    fn what_others_have_said_is_used_where_those_who_are_asked_now_do_not_answer() {
        let mut cache = Cache::default();
        cache.note(at(0), question("a"), records(1), secs(100));
        cache.note(at(0), question("b"), FAILED, secs(0));
        cache.outdate(at(1));
        assert_eq!(cache.find(at(1), &question("a")), Found::Nothing);
        assert_eq!(cache.find(at(1), &question("b")), Found::Nothing);
        let (used, is_stale) = cache.note(at(2), question("a"), FAILED, secs(0));
        assert_eq!((used, is_stale), (records(1), true));
    }

    #[test]
    fn an_answer_holds_for_its_lifetime_and_is_asked_anew_near_its_end() {
        let mut cache = Cache::default();
        cache.note(at(0), question("a"), records(1), secs(100));
        assert_eq!(
            cache.find(at(79), &question("a")),
            Found::Fresh(records(1), false)
        );
        assert_eq!(
            cache.find(at(81), &question("a")),
            Found::Fresh(records(1), true)
        );
        assert_eq!(cache.find(at(100), &question("a")), Found::Nothing);
        assert_eq!(cache.find(at(1), &question("b")), Found::Nothing);
    }

    #[test]
    fn lifetimes_are_believed_between_five_seconds_and_an_hour() {
        let mut cache = Cache::default();
        cache.note(at(0), question("a"), records(1), secs(0));
        assert_ne!(cache.find(at(4), &question("a")), Found::Nothing);
        assert_eq!(cache.find(at(5), &question("a")), Found::Nothing);
        cache.note(at(0), question("a"), records(1), secs(1_000_000));
        assert_ne!(cache.find(at(3599), &question("a")), Found::Nothing);
        assert_eq!(cache.find(at(3600), &question("a")), Found::Nothing);
    }

    #[test]
    fn what_is_not_there_is_remembered_for_half_a_minute() {
        let mut cache = Cache::default();
        cache.note(at(0), question("a"), Answer::Absent, secs(3600));
        assert_eq!(
            cache.find(at(23), &question("a")),
            Found::Fresh(Answer::Absent, false)
        );
        assert_eq!(cache.find(at(30), &question("a")), Found::Nothing);
    }

    #[test]
    fn the_last_answer_serves_for_a_day_while_dns_fails() {
        let mut cache = Cache::default();
        let day = 24 * 3600;
        cache.note(at(0), question("a"), records(1), secs(60));
        let used = cache.note(at(61), question("a"), FAILED, secs(0));
        assert_eq!(used, (records(1), true));
        // The next calls do not wait for the same failure.
        assert_eq!(cache.find(at(65), &question("a")), Found::Stale(records(1)));
        assert_eq!(cache.find(at(66), &question("a")), Found::Nothing);
        let used = cache.note(at(59 + day), question("a"), FAILED, secs(0));
        assert_eq!(used, (records(1), true));
        let used = cache.note(at(60 + day), question("a"), FAILED, secs(0));
        assert_eq!(used, (FAILED, false));
        // An answer ends it.
        cache.note(at(61 + day), question("a"), records(2), secs(60));
        assert_eq!(
            cache.find(at(62 + day), &question("a")),
            Found::Fresh(records(2), false)
        );
    }

    #[test]
    fn a_failed_renewal_changes_nothing_and_is_not_repeated_at_once() {
        let mut cache = Cache::default();
        cache.note(at(0), question("a"), records(1), secs(100));
        let used = cache.note(at(85), question("a"), FAILED, secs(0));
        assert_eq!(used, (records(1), false));
        assert_eq!(
            cache.find(at(86), &question("a")),
            Found::Fresh(records(1), false)
        );
        assert_eq!(
            cache.find(at(91), &question("a")),
            Found::Fresh(records(1), true)
        );
    }

    #[test]
    fn a_name_that_is_gone_is_gone_at_once_and_an_unknown_one_fails_for_a_while() {
        let mut cache = Cache::default();
        cache.note(at(0), question("a"), records(1), secs(60));
        cache.note(at(61), question("a"), Answer::Absent, secs(0));
        assert_eq!(
            cache.find(at(62), &question("a")),
            Found::Fresh(Answer::Absent, false)
        );
        // Absence that is long over says nothing while DNS fails.
        let used = cache.note(at(100), question("a"), FAILED, secs(0));
        assert_eq!(used, (FAILED, false));
        assert_eq!(
            cache.note(at(0), question("b"), FAILED, secs(0)),
            (FAILED, false)
        );
        assert_eq!(cache.find(at(4), &question("b")), Found::Stale(FAILED));
        assert_eq!(cache.find(at(5), &question("b")), Found::Nothing);
    }

    #[test]
    fn what_is_remembered_is_shown_with_its_time_and_forgotten_by_name() {
        let mut cache = Cache::default();
        cache.note(at(0), question("a"), records(1), secs(100));
        cache.note(at(0), question("b"), records(2), secs(10));
        cache.note(at(0), question("c"), FAILED, secs(0));
        let shown = |cache: &Cache, now| {
            let all = cache.all(at(now));
            all.map(|(question, _, state, left)| {
                format!("{} {} {}", question.name, state.as_str(), left.as_secs())
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(shown(&cache, 1), ["a fresh 99", "b fresh 9", "c failed 4"]);
        assert_eq!(shown(&cache, 90), ["a worn 10", "b stale 86320"]);
        assert_eq!(shown(&cache, 90_000), [""; 0]);
        assert_eq!(cache.forget(|question| question.name == "a"), 1);
        assert_eq!(cache.find(at(1), &question("a")), Found::Nothing);
        assert_eq!(cache.forget(|_| true), 2);
        assert!(cache.is_empty());
    }

    #[test]
    fn no_flood_of_names_fills_memory() {
        let mut cache = Cache::default();
        for number in 0..2 * MAX_ENTRIES {
            let name = format!("host{number}");
            cache.note(at(number as u64), question(&name), records(1), secs(3600));
        }
        assert_eq!(cache.len(), MAX_ENTRIES);
        let last = question(&format!("host{}", 2 * MAX_ENTRIES - 1));
        assert_ne!(
            cache.find(at(2 * MAX_ENTRIES as u64), &last),
            Found::Nothing
        );
    }
}
