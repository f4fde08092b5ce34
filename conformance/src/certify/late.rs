//! How late the run itself is: what a busy machine takes from it is no fault of the subject.

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
/// Most times that are remembered: more than the longest case has ticks that can be late.
const MOST: usize = 200_000;

type Spells = Arc<Mutex<VecDeque<(Instant, Duration)>>>;

/// A clock beside the run, on the same threads.
#[derive(Debug)]
pub struct Late {
    spells: Spells,
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
        let spells = Spells::default();
        Self {
            work: tokio::spawn(looks(Arc::clone(&spells))),
            spells,
        }
    }

    /// All the time that the run lost since then.
    pub fn sum(&self, since: Instant) -> Duration {
        let spells = lock(&self.spells);
        let own = spells.iter().rev().take_while(|(at, _)| *at > since);
        own.map(|(_, by)| *by).sum()
    }

    /// The longest that it lost at once since then.
    pub fn longest(&self, since: Instant) -> Duration {
        let spells = lock(&self.spells);
        let own = spells.iter().rev().take_while(|(at, _)| *at > since);
        own.map(|(_, by)| *by).max().unwrap_or_default()
    }
}

async fn looks(spells: Spells) {
    loop {
        let due = Instant::now() + TICK;
        sleep_until(due).await;
        let now = Instant::now();
        let by = now - due;
        if by > NOISE {
            let mut spells = lock(&spells);
            spells.push_back((now, by));
            if spells.len() > MOST {
                spells.pop_front();
            }
        }
    }
}

/// Measures what the subject takes.
pub struct Watch<'s> {
    stage: &'s Stage,
    began: Instant,
}

impl Watch<'_> {
    /// How long it is, without the time that the run has lost itself.
    pub fn took(&self) -> Duration {
        let lost = self.stage.kit.late.sum(self.began);
        self.began.elapsed().saturating_sub(lost)
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

    /// The longest that the run was late at once in this case: what came in between may have been noted so much later.
    pub fn longest_lateness(&self) -> Duration {
        self.kit.late.longest(self.began)
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
        sleep(3 * TICK).await;
        let (sum, longest) = (late.sum(began), late.longest(began));
        assert!(longest >= Duration::from_millis(100), "{longest:?}");
        assert!(sum >= longest && sum <= began.elapsed(), "{sum:?}");
        // What was before is not charged to what comes after.
        let after = Instant::now();
        assert_eq!(late.sum(after), Duration::ZERO);
    }
}
