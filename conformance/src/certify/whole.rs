//! Whether audio comes whole where nothing may interrupt it.

use super::ladder::{TONES, Talk};
use super::stage::Stage;
use crate::media::voice::Ear;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What was said so long ago has arrived, if nothing has come since.
const SETTLED: Duration = Duration::from_millis(200);
/// Longest time until what was said has arrived, on a busy machine.
const LATEST: Duration = Duration::from_secs(3);

/// Both directions of a call, from a moment at which nothing was under way.
pub struct Whole {
    /// Who speaks and who hears him, and what was said and heard until then.
    ways: [(Ear, Ear, u32, u64); 2],
}

/// Nothing is said any more, and what was is heard.
async fn settles(ears: &[Ear; 2]) {
    for ear in ears {
        ear.hushes();
    }
    let heard = || ears.each_ref().map(|ear| ear.heard().audio);
    let began = Instant::now();
    let mut before = heard();
    while began.elapsed() < LATEST {
        sleep(SETTLED).await;
        let now = heard();
        if now == before {
            return;
        }
        before = now;
    }
}

impl Whole {
    /// Both sides play their tones from now on, and what is missing of it is counted.
    pub async fn begins(talk: &Talk) -> Self {
        let ears = [talk.caller.voice.ear(), talk.called.voice.ear()];
        settles(&ears).await;
        for ear in &ears {
            ear.measures_holes();
        }
        let way = |from: usize, to: usize| {
            let (from, to) = (ears[from].clone(), ears[to].clone());
            let (said, heard) = (from.sent(), to.heard().audio);
            (from, to, said, heard)
        };
        let ways = [way(0, 1), way(1, 0)];
        talk.caller.voice.plays(TONES.0);
        talk.called.voice.plays(TONES.1);
        Self { ways }
    }

    /// Everything that was said since has been heard but for so many packets, and nowhere more of them in a row:
    /// one that is numbered as if none were missing is still one fewer. A bad network loses packets of its own.
    pub async fn is_heard(self, stage: &Stage, rule: &str, missing: u64) {
        settles(&self.ways.each_ref().map(|way| way.0.clone())).await;
        if stage.kit.network.is_some() {
            return;
        }
        for (from, to, said, heard) in self.ways {
            let said = u64::from(from.sent().wrapping_sub(said));
            let now = to.heard();
            let heard = now.audio - heard;
            stage.check(rule, heard + missing >= said, || {
                format!(
                    "{} hears {heard} of {said} packets of {}",
                    to.name, from.name
                )
            });
            let hole = now.longest_hole;
            stage.check(rule, u64::from(hole) <= missing, || {
                format!("{} misses {hole} packets in a row", to.name)
            });
        }
    }
}
