//! How late the run itself is: what a busy machine takes from it is no fault of the subject.
//!
//! A spell excuses what was noted at its end and no more: what came while the run stood still was noted when it went on.
//! A spell in which nothing was awaited any longer, or nothing had come yet, changes no time that is measured.

use super::stage::Stage;
use crate::lock::lock;
use crate::media::voice::Pauses;
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

    fn longer(&self, pauses: &Pauses, limit: Duration) -> Option<Duration> {
        let mut pauses = pauses.iter();
        let longer = pauses.find(|(pause, ended)| *pause > limit + self.at(*ended));
        longer.map(|(pause, _)| pause)
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

    /// How much later than it came something may have been noted then: by so much a time that ended with it may be too
    /// long, and one that began with it too short.
    pub fn late_at(&self, noted: Instant) -> Duration {
        self.kit.late.at(noted)
    }

    /// The longest pause that is longer than that, also where its end was noted late.
    pub fn longer_than(&self, pauses: &Pauses, limit: Duration) -> Option<Duration> {
        self.kit.late.longer(pauses, limit)
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

    #[tokio::test]
    async fn a_stall_at_the_beginning_of_a_pause_does_not_excuse_it() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let mut spells = Spells::default();
        spells.is_late(at(0), at(1_000));
        spells.is_late(at(4_000), at(6_000));
        let late = Late {
            spells: Arc::new(Mutex::new(spells)),
            work: tokio::spawn(std::future::pending()),
        };
        let longer = |all: &[(u64, u64)], limit| {
            let mut pauses = Pauses::default();
            all.iter()
                .for_each(|(from, to)| pauses.had(at(*from), at(*to)));
            let longer = late.longer(&pauses, Duration::from_millis(limit));
            longer.map(|pause| pause.as_millis())
        };
        // Its end was noted in time.
        assert_eq!(longer(&[(1_000, 2_500)], 1_000), Some(1_500));
        // What ended in a stall may have ended before it; another pause is too long for all that.
        assert_eq!(longer(&[(3_500, 6_000)], 1_000), None);
        assert_eq!(
            longer(&[(3_500, 6_000), (1_000, 2_500)], 1_000),
            Some(1_500)
        );
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
