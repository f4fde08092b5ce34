//! What an operator wants to see more of for a while: lines of a level that is not written otherwise, of a trunk,
//! a number or a kind, until a time (OPS-080).
//!
//! Nothing here is ever forgotten to be taken back: a look ends by itself. A call that one of its lines belongs to is
//! followed to its end, so that lines without trunk and number are seen, too.

use super::Level;
use std::collections::{BTreeSet, VecDeque};
use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Looks at a time.
pub const MOST: usize = 16;
/// How long one may last.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How long one lasts if nobody says so.
pub const USUAL: Duration = Duration::from_secs(600);
/// Calls that one look follows; the oldest are forgotten first.
const CALLS: usize = 1_000;
/// Octets that are looked at of a field.
const FACT_BYTES: usize = 64;

/// What is to be seen: what is not said may be anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Lines of this level and of all graver ones.
    pub level: Level,
    /// Lines about this trunk, and about calls that touch it.
    pub trunk: Option<String>,
    /// Lines about calls from or to numbers that begin so.
    pub number: Option<String>,
    /// Lines whose code begins so.
    pub code: Option<String>,
}

/// A wish, and how long it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Look {
    /// What is to be seen.
    pub wish: Wish,
    /// How much longer.
    pub left: Duration,
}

/// All looks of a log.
#[derive(Default)]
pub struct Looks {
    /// One more than the widest level that is looked for; 0 if nothing is.
    widest: AtomicU8,
    open: Mutex<Vec<Open>>,
}

struct Open {
    wish: Wish,
    until: Instant,
    calls: Followed,
}

/// Calls that a look has met, so many at most.
#[derive(Default)]
struct Followed {
    known: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Followed {
    fn add(&mut self, call: &str) {
        if !self.known.insert(call.to_owned()) {
            return;
        }
        self.order.push_back(call.to_owned());
        if self.order.len() > CALLS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// What a line says of itself that can be looked for.
#[derive(Default)]
pub(super) struct Facts {
    call: Option<String>,
    trunks: Vec<String>,
    numbers: Vec<String>,
}

impl Facts {
    /// A field of the line.
    pub(super) fn note(&mut self, key: &str, value: &dyn Display) {
        let list = match key {
            "call" => {
                self.call = Some(cut(value));
                return;
            }
            "trunk" | "from_trunk" | "to_trunk" => &mut self.trunks,
            "calling" | "called" => &mut self.numbers,
            _ => return,
        };
        list.push(cut(value));
    }
}

/// The beginning of a value.
fn cut(value: &dyn Display) -> String {
    struct Cut(String);
    impl std::fmt::Write for Cut {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let room = FACT_BYTES.saturating_sub(self.0.len()).min(text.len());
            let end = (0..=room).rev().find(|at| text.is_char_boundary(*at));
            self.0.push_str(&text[..end.unwrap_or(0)]);
            Ok(())
        }
    }
    let mut cut = Cut(String::new());
    // Writing to it cannot fail.
    let _ = write!(cut, "{value}");
    cut.0
}

impl Open {
    /// Whether lines of this level and code may be meant.
    fn may_mean(&self, level: Level, code: &str) -> bool {
        let begins = |begin: &String| code.starts_with(begin.as_str());
        level <= self.wish.level && self.wish.code.as_ref().is_none_or(begins)
    }

    /// Whether it is about some trunk or number alone.
    fn is_narrow(&self) -> bool {
        self.wish.trunk.is_some() || self.wish.number.is_some()
    }

    /// Whether a line is meant, if its code is; the call that it belongs to is followed from then on.
    fn means(&mut self, facts: &Facts) -> bool {
        let call = facts.call.as_ref();
        if call.is_some_and(|call| self.calls.known.contains(call)) {
            return true;
        }
        let trunk = self.wish.trunk.as_ref();
        let number = self.wish.number.as_ref();
        let is_meant = trunk.is_none_or(|trunk| facts.trunks.contains(trunk))
            && number.is_none_or(|begin| facts.numbers.iter().any(|own| own.starts_with(begin)));
        if is_meant
            && self.is_narrow()
            && let Some(call) = call
        {
            self.calls.add(call);
        }
        is_meant
    }
}

impl Looks {
    /// Begins a look, which ends by itself.
    ///
    /// # Errors
    /// If there are as many as there may be.
    pub fn begin(&self, wish: Wish, lasts: Duration) -> Result<(), TooMany> {
        let until = Instant::now() + lasts.min(LONGEST);
        let mut open = self.lock();
        self.tidy(&mut open);
        match open.iter().position(|look| look.wish == wish) {
            Some(at) => open[at].until = until,
            None if open.len() >= MOST => return Err(TooMany),
            None => open.push(Open {
                wish,
                until,
                calls: Followed::default(),
            }),
        }
        self.tidy(&mut open);
        Ok(())
    }

    /// Ends all of them; says how many there were.
    pub fn end(&self) -> usize {
        let mut open = self.lock();
        self.tidy(&mut open);
        let were = open.len();
        open.clear();
        self.tidy(&mut open);
        were
    }

    /// All that last.
    pub fn list(&self) -> Vec<Look> {
        let now = Instant::now();
        let mut open = self.lock();
        self.tidy(&mut open);
        let look = |own: &Open| Look {
            wish: own.wish.clone(),
            left: own.until.saturating_duration_since(now),
        };
        open.iter().map(look).collect()
    }

    /// Whether somebody looks for lines of this level, or has until a moment ago.
    pub(super) fn want(&self, level: Level) -> bool {
        // Ordering: a look that begins or ends a few lines later is as good.
        (level as u8) < self.widest.load(Ordering::Relaxed)
    }

    /// Whether somebody may look for a line of this level and code, or learn from it which call is meant.
    pub(super) fn may_want(&self, level: Level, code: &str) -> bool {
        let mut open = self.lock();
        self.tidy(&mut open);
        let mut open = open.iter();
        open.any(|look| {
            look.may_mean(level, code) || (level <= look.wish.level && look.is_narrow())
        })
    }

    /// Whether somebody sees every line of this level and code, whatever it is about.
    pub fn see_all(&self, level: Level, code: &str) -> bool {
        let open = self.lock();
        let mut wide = open.iter().filter(|look| !look.is_narrow());
        self.want(level) && wide.any(|look| look.may_mean(level, code))
    }

    /// Whether somebody looks for this line.
    pub(super) fn take(&self, level: Level, code: &str, facts: &Facts) -> bool {
        let mut is_taken = false;
        for look in self.lock().iter_mut() {
            // Each one sees it, whatever its code, so that each follows the call.
            is_taken |= look.means(facts) && look.may_mean(level, code);
        }
        is_taken
    }

    /// Forgets what is over, and notes how wide the rest is.
    fn tidy(&self, open: &mut Vec<Open>) {
        let now = Instant::now();
        open.retain(|look| look.until > now);
        let widest = open.iter().map(|look| look.wish.level as u8 + 1).max();
        // Ordering: as in `want`.
        self.widest.store(widest.unwrap_or(0), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There are as many looks as there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooMany;

impl Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there are {MOST} looks already; end them first")
    }
}

impl std::error::Error for TooMany {}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(level: Level) -> Wish {
        Wish {
            level,
            trunk: None,
            number: None,
            code: None,
        }
    }

    fn facts(fields: &[(&'static str, &str)]) -> Facts {
        let mut facts = Facts::default();
        for (key, value) in fields {
            facts.note(key, value);
        }
        facts
    }

    #[test]
    fn a_look_at_a_trunk_follows_the_calls_that_touch_it() {
        let looks = Looks::default();
        assert!(!looks.want(Level::Debug));
        let at = Wish {
            trunk: Some("telco".to_owned()),
            code: Some("sip".to_owned()),
            ..wish(Level::Trace)
        };
        looks.begin(at, USUAL).unwrap();
        assert!(looks.want(Level::Trace) && looks.want(Level::Debug));
        let (own, other) = (facts(&[("call", "1")]), facts(&[("call", "2")]));
        assert!(!looks.take(Level::Trace, "sip_sent", &own));
        // A line of another kind says whose call it is, and is not shown.
        assert!(looks.may_want(Level::Debug, "admitted"));
        let begun = facts(&[("call", "1"), ("from_trunk", "telco")]);
        assert!(!looks.take(Level::Debug, "admitted", &begun));
        assert!(looks.take(Level::Trace, "sip_sent", &own));
        assert!(!looks.take(Level::Trace, "sip_sent", &other));
        assert!(!looks.see_all(Level::Trace, "sip_sent"));
    }

    #[test]
    fn a_number_is_looked_for_by_its_beginning() {
        let looks = Looks::default();
        let number = Some("+4930".to_owned());
        looks
            .begin(
                Wish {
                    number,
                    ..wish(Level::Debug)
                },
                USUAL,
            )
            .unwrap();
        let to = |called| facts(&[("call", called), ("called", called)]);
        assert!(looks.take(Level::Debug, "admitted", &to("+493012345")));
        assert!(!looks.take(Level::Debug, "admitted", &to("+4989")));
        assert!(!looks.take(Level::Trace, "sip_sent", &to("+493012345")));
    }

    #[test]
    fn looks_end_by_themselves_and_are_bounded() {
        let looks = Looks::default();
        looks.begin(wish(Level::Trace), Duration::ZERO).unwrap();
        assert!(looks.list().is_empty() && !looks.want(Level::Debug));
        for number in 0..MOST {
            let code = Some(format!("code-{number}"));
            looks
                .begin(
                    Wish {
                        code,
                        ..wish(Level::Debug)
                    },
                    USUAL,
                )
                .unwrap();
        }
        assert_eq!(looks.begin(wish(Level::Debug), USUAL), Err(TooMany));
        let again = looks.list().swap_remove(3).wish;
        assert_eq!(looks.begin(again, LONGEST), Ok(()), "the same lasts longer");
        assert_eq!(looks.end(), MOST);
        assert!(!looks.want(Level::Debug));
    }

    #[test]
    fn calls_that_are_followed_are_bounded_and_so_is_what_is_kept_of_a_field() {
        let mut followed = Followed::default();
        for call in 0..2 * CALLS {
            followed.add(&call.to_string());
        }
        assert_eq!((followed.known.len(), followed.order.len()), (CALLS, CALLS));
        assert_eq!(cut(&"ä".repeat(500)).len(), FACT_BYTES);
    }
}
