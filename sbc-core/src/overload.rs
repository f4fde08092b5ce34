//! What a shard does when more comes than it can do (SIP-1722).
//!
//! | stage  | from lag | until below | new calls                                             |
//! |--------|----------|-------------|-------------------------------------------------------|
//! | calm   |          |             | all                                                   |
//! | busy   | 20 ms    | 10 ms       | all                                                   |
//! | heavy  | 50 ms    | 25 ms       | some get 503 without state, the more the longer it is |
//! | severe | 200 ms   | 100 ms      | none; beyond a budget of 503 datagrams are dropped    |
//!
//! Lag is how long new requests wait for their turn, smoothed over a tenth of a second, so that one
//! hiccup is no overload. Dialogs and transactions that exist are served in every stage, and so is
//! an emergency. Refusing in proportion to the lag needs no knowledge of our capacity: the lag
//! settles where as much is refused as is too much.
//!
//! What the process uses of its processors and its memory counts beside it, whichever is worst:
//!
//! | stage  | processors | memory |
//! |--------|------------|--------|
//! | busy   | 85 %       | 80 %   |
//! | heavy  | 97 %       | 90 %   |
//! | severe |            | 95 %   |
//!
//! Processors that are in use all the time are no failure as long as nothing waits, so they alone have
//! a fifth of the new calls refused at most. Memory that is gone ends all calls, so it may refuse all.
//! OPTIONS from a peer asks whether a call would be taken, and is answered as one would be (SIP-1320).

use crate::config::{Config, Preset};
use crate::mint::Mint;
use crate::policy::emergency;
use crate::policy::ingress::Ingress;
use crate::sip::{HeaderName, Message};
use crate::time::{Now, Timestamp};
use crate::transport::Protocol;
use crate::transport::overload::Feedback;
use serde::Serialize;
use std::time::Duration;

/// How loaded a shard is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing waits.
    #[default]
    Calm,
    /// Work waits for its turn.
    Busy,
    /// Some new calls are refused.
    Heavy,
    /// All new calls are refused.
    Severe,
}

impl Stage {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Busy => "busy",
            Self::Heavy => "heavy",
            Self::Severe => "severe",
        }
    }

    const fn begins_at(self) -> Duration {
        Duration::from_millis(match self {
            Self::Calm => 0,
            Self::Busy => 20,
            Self::Heavy => 50,
            Self::Severe => 200,
        })
    }
}

/// What the process uses of what it may have, in per mille (SIP-1722).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize)]
pub struct Strain {
    /// Time of the processors.
    pub cpu: u16,
    /// Memory.
    pub memory: u16,
}

/// A figure in per mille, and the stages that it leads to.
#[derive(Debug)]
struct Figure {
    /// Where busy, heavy and severe begin; what exceeds every value never does.
    begins: [u16; 3],
    /// So far below a stage must be left.
    slack: u16,
    value: u16,
    stage: Stage,
}

impl Figure {
    const CPU: Self = Self::new([850, 970, u16::MAX], 50);
    const MEMORY: Self = Self::new([800, 900, 950], 30);

    const fn new(begins: [u16; 3], slack: u16) -> Self {
        Self {
            begins,
            slack,
            value: 0,
            stage: Stage::Calm,
        }
    }

    fn note(&mut self, value: u16) {
        let stages = [Stage::Busy, Stage::Heavy, Stage::Severe];
        let mut all = stages.into_iter().zip(self.begins).rev();
        let holds = |(stage, begins): &(Stage, u16)| match *stage <= self.stage {
            true => value.saturating_add(self.slack) >= *begins,
            false => value >= *begins,
        };
        self.stage = all.find(holds).map_or(Stage::Calm, |(stage, _)| stage);
        self.value = value;
    }

    /// Per mille of new calls that are too many, `most` where this figure is at `worst`.
    fn share(&self, worst: u16, most: u64) -> u64 {
        let heavy = self.begins[1];
        let excess = u64::from(self.value.saturating_sub(heavy));
        (excess * most / u64::from(worst - heavy)).min(most)
    }
}

/// Most per mille of new calls that busy processors alone have refused.
const MOST_FOR_CPU: u64 = 200;

/// Time over which lag is smoothed.
const MEMORY: Duration = Duration::from_millis(100);
/// Most that one observation counts upwards.
const STEP: Duration = Duration::from_millis(10);
/// Refusals in a second while everything is refused.
const REFUSALS_PER_SECOND: u32 = 1_000;
/// For how long a neighbour is told to hold back; its next request brings a newer word.
const FEEDBACK_HOLDS: Duration = Duration::from_millis(500);
/// Longest pause that a single client is asked for.
const LONGEST_PAUSE_S: u64 = 5;

/// What becomes of a new call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Admit,
    /// 503, with so many seconds in Retry-After if the peer should pause.
    Refuse(Option<u64>),
    /// Not even that.
    Drop,
}

/// The load of one shard.
#[derive(Debug)]
pub(crate) struct Overload {
    lag_us: u64,
    seen: Timestamp,
    /// That of the lag alone.
    lag_stage: Stage,
    cpu: Figure,
    memory: Figure,
    /// The worst of them.
    stage: Stage,
    second: Timestamp,
    refused: u32,
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            lag_us: 0,
            seen: Timestamp::ZERO,
            lag_stage: Stage::Calm,
            cpu: Figure::CPU,
            memory: Figure::MEMORY,
            stage: Stage::Calm,
            second: Timestamp::ZERO,
            refused: 0,
        }
    }
}

impl Overload {
    /// Takes an observation of how long something waited; gives the stage if it is a new one.
    pub(crate) fn note(&mut self, now: Timestamp, waited: Duration) -> Option<Stage> {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let passed = now.since(self.seen);
        self.seen = now;
        let waited = us(waited.min(Duration::from_secs(10)));
        let memory = us(MEMORY);
        match waited.checked_sub(self.lag_us) {
            Some(more) => self.lag_us += more * us(passed.min(STEP)) / memory,
            None => {
                let less = self.lag_us - waited;
                self.lag_us -= less * us(passed).min(memory) / memory;
            }
        }
        self.lag_stage = self.stage_of_lag();
        self.settle()
    }

    /// Takes a measurement of what the process uses; gives the stage if it is a new one.
    pub(crate) fn strained(&mut self, strain: Strain) -> Option<Stage> {
        self.cpu.note(strain.cpu);
        self.memory.note(strain.memory);
        self.settle()
    }

    fn settle(&mut self) -> Option<Stage> {
        let stage = self.lag_stage.max(self.cpu.stage).max(self.memory.stage);
        let is_news = std::mem::replace(&mut self.stage, stage) != stage;
        is_news.then_some(stage)
    }

    /// What the process used when it was last measured.
    pub(crate) fn strain(&self) -> Strain {
        Strain {
            cpu: self.cpu.value,
            memory: self.memory.value,
        }
    }

    /// The smoothed lag.
    pub(crate) fn lag(&self) -> Duration {
        Duration::from_micros(self.lag_us)
    }

    /// What becomes of a new call of this trunk.
    pub(crate) fn judge(&mut self, now: Timestamp, new: &NewCall<'_>, mint: &mut Mint) -> Verdict {
        let (trunk, protocol) = (&new.ingress.trunk, new.protocol);
        if self.stage < Stage::Heavy || new.is_urgent() {
            return Verdict::Admit;
        }
        let share = self.share();
        let is_severe = self.stage == Stage::Severe;
        if !is_severe && mint.between(1, 1000) > share {
            return Verdict::Admit;
        }
        if now.since(self.second) >= Duration::from_secs(1) {
            (self.second, self.refused) = (now, 0);
        }
        self.refused += 1;
        if self.refused > REFUSALS_PER_SECOND && protocol == Protocol::Udp {
            return Verdict::Drop;
        }
        // Retry-After keeps every call of a peer away: right while we take none, and only where the
        // peer is one client and not a proxy of many (SIP-1721).
        let is_one = trunk.preset == Preset::Carrier && trunk.targets.len() == 1;
        Verdict::Refuse((is_severe && is_one).then(|| mint.between(0, LONGEST_PAUSE_S)))
    }

    /// Per mille of new calls that are too many.
    fn share(&self) -> u64 {
        let (from, to) = (Stage::Heavy.begins_at(), Stage::Severe.begins_at());
        let excess = self.lag().saturating_sub(from).as_micros();
        let of_lag = u64::try_from(excess * 1000 / (to - from).as_micros());
        let of_lag = of_lag.map_or(1000, |share| share.min(1000));
        let of_cpu = self.cpu.share(1000, MOST_FOR_CPU);
        of_lag.max(of_cpu).max(self.memory.share(950, 1000))
    }

    /// What a neighbour is told who obeys (RFC 7339 §5.2): the share that we would refuse ourselves.
    pub(crate) fn feedback(&self, now: Now) -> Feedback {
        let loss = match self.stage {
            Stage::Calm | Stage::Busy => 0,
            Stage::Heavy => u8::try_from(self.share().div_ceil(10)).unwrap_or(100),
            Stage::Severe => 100,
        };
        let micros = now.wall.as_micros();
        let fraction = u32::try_from(micros % 1_000_000 / 10).unwrap_or(0);
        Feedback {
            loss,
            validity: match loss {
                0 => Duration::ZERO,
                _ => FEEDBACK_HOLDS,
            },
            sequence: (micros / 1_000_000, fraction),
        }
    }

    fn stage_of_lag(&self) -> Stage {
        let lag = self.lag();
        let stages = [Stage::Severe, Stage::Heavy, Stage::Busy];
        let holds = |stage: &Stage| match *stage <= self.lag_stage {
            true => lag >= stage.begins_at() / 2,
            false => lag >= stage.begins_at(),
        };
        stages.into_iter().find(holds).unwrap_or_default()
    }
}

/// A call that is about to begin.
#[derive(Clone, Copy)]
pub(crate) struct NewCall<'a> {
    pub(crate) config: &'a Config,
    pub(crate) ingress: &'a Ingress,
    pub(crate) protocol: Protocol,
    pub(crate) request: &'a Message,
}

impl NewCall<'_> {
    /// An emergency, or a call that a trusted peer marks as more important than others.
    fn is_urgent(&self) -> bool {
        let marked = self.ingress.trunk.trusted && self.request.has(HeaderName::ResourcePriority);
        marked || emergency::seems(self.config, self.ingress, self.request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Notes the same wait again and again, one observation a millisecond; the stages on the way.
    fn lasting(overload: &mut Overload, at: &mut Timestamp, wait: u64, time: u64) -> Vec<Stage> {
        let mut stages = Vec::new();
        for _ in 0..time {
            *at = *at + ms(1);
            stages.extend(overload.note(*at, ms(wait)));
        }
        stages
    }

    #[test]
    fn stages_come_with_lasting_lag_and_go_at_half_of_it() {
        let (mut overload, mut at) = (Overload::default(), Timestamp::ZERO);
        assert_eq!(lasting(&mut overload, &mut at, 19, 1_000), []);
        assert_eq!(lasting(&mut overload, &mut at, 30, 1_000), [Stage::Busy]);
        // Around the limit nothing flickers.
        assert_eq!(lasting(&mut overload, &mut at, 12, 1_000), []);
        assert_eq!(lasting(&mut overload, &mut at, 70, 1_000), [Stage::Heavy]);
        assert_eq!(lasting(&mut overload, &mut at, 30, 1_000), []);
        assert_eq!(lasting(&mut overload, &mut at, 300, 1_000), [Stage::Severe]);
        let down = [Stage::Heavy, Stage::Busy, Stage::Calm];
        assert_eq!(lasting(&mut overload, &mut at, 0, 1_000), down);
    }

    #[test]
    fn processors_and_memory_lead_to_stages_of_their_own() {
        let mut overload = Overload::default();
        let mut told = |cpu, memory| {
            let news = overload.strained(Strain { cpu, memory });
            (news, overload.share())
        };
        assert_eq!(told(840, 790), (None, 0));
        assert_eq!(told(860, 100), (Some(Stage::Busy), 0));
        // Around the limit nothing flickers.
        assert_eq!(told(810, 100), (None, 0));
        assert_eq!(told(985, 100), (Some(Stage::Heavy), 100));
        // Processors alone never stop everything.
        assert_eq!(told(1000, 100), (None, 200));
        assert_eq!(told(100, 925), (None, 500));
        assert_eq!(told(100, 960), (Some(Stage::Severe), 1000));
        assert_eq!(told(100, 915), (Some(Stage::Heavy), 300));
        assert_eq!(told(100, 100), (Some(Stage::Calm), 0));
    }

    #[test]
    fn the_worst_of_lag_and_figures_is_the_stage() {
        let (mut overload, mut at) = (Overload::default(), Timestamp::ZERO);
        let strain = |memory| Strain { cpu: 0, memory };
        assert_eq!(overload.strained(strain(910)), Some(Stage::Heavy));
        assert_eq!(lasting(&mut overload, &mut at, 30, 1_000), []);
        assert_eq!(lasting(&mut overload, &mut at, 300, 1_000), [Stage::Severe]);
        assert_eq!(overload.strained(strain(100)), None);
        assert_eq!(lasting(&mut overload, &mut at, 30, 1_000), [Stage::Heavy]);
    }

    #[test]
    fn a_hiccup_is_no_overload() {
        let (mut overload, mut at) = (Overload::default(), Timestamp::ZERO);
        lasting(&mut overload, &mut at, 0, 100);
        at = at + ms(150);
        // What came during a pause of 150 ms.
        for wait in (0..150).rev() {
            at = at + Duration::from_micros(20);
            overload.note(at, ms(wait));
        }
        assert!(overload.stage < Stage::Heavy, "{:?}", overload.lag());
        at = at + ms(500);
        overload.note(at, ms(0));
        assert_eq!(overload.stage, Stage::Calm);
    }
}
