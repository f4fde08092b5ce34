//! How late the run itself is: what a busy machine takes from it is no fault of the subject.
//!
//! A spell excuses what was noted at its end and no more: what came while the run stood still was noted when it went on.
//! A spell in which nothing was awaited any longer, or nothing had come yet, changes no time that is measured.

use super::stage::Stage;
use crate::lock::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// How often the run looks whether it is in time, and what is in time.
const TICK: Duration = Duration::from_millis(10);
const NOISE: Duration = Duration::from_millis(5);
/// How long after a spell that is noted which came in it: a few hands pass it on.
const AFTER: Duration = Duration::from_millis(50);
/// Most spells that are remembered: more than the longest case has ticks that can be late.
const MOST: usize = 200_000;

/// A clock beside the run, on the same threads.
#[derive(Debug)]
pub struct Late {
    spells: Arc<Mutex<Spells>>,
    work: JoinHandle<()>,
}

impl Drop for Late {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Late {
    /// Begins to look.
    pub fn begins() -> Self {
        let spells = Arc::<Mutex<Spells>>::default();
        Self {
            work: tokio::spawn(looks(Arc::clone(&spells))),
            spells,
        }
    }

    /// How much later than it came something may have been noted then.
    pub fn at(&self, noted: Instant) -> Duration {
        lock(&self.spells).at(noted, None)
    }

    /// How long it was from then to then, without what the end was noted too late.
    pub fn took(&self, since: Instant, noted: Instant) -> Duration {
        let late = lock(&self.spells).at(noted, Some(since));
        (noted - since).saturating_sub(late)
    }
}

/// When the run was late, in order: from when to when.
#[derive(Default, Debug)]
struct Spells {
    over: VecDeque<(Instant, Instant)>,
    /// When it wants to look again; who is asked first after a spell knows of it by this.
    due: Option<Instant>,
}

impl Spells {
    fn is_late(&mut self, from: Instant, to: Instant) {
        self.over.push_back((from, to));
        if self.over.len() > MOST {
            self.over.pop_front();
        }
    }

    /// The longest that the run was late when something was noted, of what it was late since then.
    fn at(&self, noted: Instant, since: Option<Instant>) -> Duration {
        let late = |from: Instant, to: Instant| {
            let from = since.map_or(from, |since| from.max(since));
            to.min(noted).saturating_duration_since(from)
        };
        let before = self.over.iter().rev().skip_while(|(from, _)| *from > noted);
        let own = before.take_while(|(_, to)| *to + AFTER >= noted);
        let own = own.map(|(from, to)| late(*from, *to));
        let now = self.due.filter(|due| *due + NOISE < noted);
        let now = now.map(|due| late(due, noted));
        own.chain(now).max().unwrap_or_default()
    }
}

async fn looks(spells: Arc<Mutex<Spells>>) {
    loop {
        let due = Instant::now() + TICK;
        lock(&spells).due = Some(due);
        sleep_until(due).await;
        let now = Instant::now();
        let mut spells = lock(&spells);
        spells.due = None;
        if now - due > NOISE {
            spells.is_late(due, now);
        }
    }
}

/// Measures what the subject takes.
pub struct Watch<'s> {
    stage: &'s Stage,
    began: Instant,
}

impl Watch<'_> {
    /// How long it is until something that was noted just now, without what that was noted too late.
    pub fn took(&self) -> Duration {
        self.stage.kit.late.took(self.began, Instant::now())
    }
}

impl Stage {
    /// A watch that runs from now on.
    pub fn watch(&self) -> Watch<'_> {
        Watch {
            stage: self,
            began: Instant::now(),
        }
    }

    /// How much the time between two that were noted may be wrong, because the run was late at one of them.
    pub fn lateness_between(&self, first: Instant, second: Instant) -> Duration {
        let late = &self.kit.late;
        late.at(first).max(late.at(second))
    }

    /// The same of a pause, by its length and when it ended, if it has.
    pub fn lateness_of(&self, pause: Duration, ended: Option<Instant>) -> Duration {
        let began = ended.and_then(|ended| ended.checked_sub(pause));
        began.zip(ended).map_or(Duration::ZERO, |(began, ended)| {
            self.lateness_between(began, ended)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    /// One thread: what holds it up holds up all.
    #[tokio::test]
    async fn what_holds_the_run_up_is_known_by_its_time() {
        let late = Late::begins();
        sleep(3 * TICK).await;
        let began = Instant::now();
        std::thread::sleep(Duration::from_millis(120));
        // Who is asked before the clock has looked knows it, too.
        let noted = Instant::now();
        let first = late.at(noted);
        assert!(first >= Duration::from_millis(100), "{first:?}");
        assert!(first <= noted - began + TICK, "{first:?}");
        sleep(3 * TICK).await;
        let then = late.at(noted);
        assert!(then >= Duration::from_millis(100), "{then:?}");
        assert!(late.took(began, noted) < Duration::from_millis(20));
        // What was before is not charged to what comes after.
        let before = began.checked_sub(TICK).unwrap();
        assert!(late.at(before) < Duration::from_millis(100));
    }

    fn spells(all: &[(u64, u64)]) -> (Instant, impl Fn(u64, u64) -> Duration) {
        let (zero, mut spells) = (Instant::now(), Spells::default());
        let at = move |ms| zero + Duration::from_millis(ms);
        for (from, to) in all {
            spells.is_late(at(*from), at(*to));
        }
        (zero, move |since, noted| {
            spells.at(at(noted), Some(at(since)))
        })
    }

    #[test]
    fn a_stall_while_nothing_has_come_excuses_nobody() {
        let ms = Duration::from_millis;
        // The subject takes 2.9 s, and the run stands still for 1.5 s of them.
        let (_, late) = spells(&[(500, 2_000)]);
        assert_eq!(late(0, 2_900), ms(0));
        // What is noted as the run goes on came at any time before that.
        assert_eq!(late(0, 2_010), ms(1_500));
        // Of a stall that began before the watch, only what came later.
        assert_eq!(late(1_200, 2_010), ms(800));
        // One noted in the midst of it was late by what was over.
        assert_eq!(late(0, 900), ms(400));
        // Many short ones are not added.
        let (_, late) = spells(&[(0, 100), (110, 400), (410, 440), (450, 500)]);
        assert_eq!(late(0, 510), ms(50));
        assert_eq!(late(0, 405), ms(290));
    }
}
