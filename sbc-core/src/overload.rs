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

use crate::config::{Preset, Trunk};
use crate::mint::Mint;
use crate::sip::{HeaderName, Message};
use crate::time::Timestamp;
use crate::transport::Protocol;
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

/// Time over which lag is smoothed.
const MEMORY: Duration = Duration::from_millis(100);
/// Most that one observation counts upwards.
const STEP: Duration = Duration::from_millis(10);
/// Refusals in a second while everything is refused.
const REFUSALS_PER_SECOND: u32 = 1_000;
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
#[derive(Debug, Default)]
pub(crate) struct Overload {
    lag_us: u64,
    seen: Timestamp,
    stage: Stage,
    second: Timestamp,
    refused: u32,
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
        let stage = self.stage_of_lag();
        if stage == self.stage {
            return None;
        }
        self.stage = stage;
        Some(stage)
    }

    /// The smoothed lag.
    pub(crate) fn lag(&self) -> Duration {
        Duration::from_micros(self.lag_us)
    }

    /// What becomes of a new call of this trunk.
    pub(crate) fn judge(
        &mut self,
        now: Timestamp,
        trunk: &Trunk,
        protocol: Protocol,
        request: &Message,
        mint: &mut Mint,
    ) -> Verdict {
        if self.stage < Stage::Heavy || is_urgent(request, trunk) {
            return Verdict::Admit;
        }
        let (from, to) = (Stage::Heavy.begins_at(), Stage::Severe.begins_at());
        let excess = self.lag().saturating_sub(from).as_micros();
        let share = u64::try_from(excess * 1000 / (to - from).as_micros()).unwrap_or(1000);
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

    fn stage_of_lag(&self) -> Stage {
        let lag = self.lag();
        let stages = [Stage::Severe, Stage::Heavy, Stage::Busy];
        let holds = |stage: &Stage| match *stage <= self.stage {
            true => lag >= stage.begins_at() / 2,
            false => lag >= stage.begins_at(),
        };
        stages.into_iter().find(holds).unwrap_or_default()
    }
}

/// An emergency, or a call that a trusted peer marks as more important than others.
fn is_urgent(request: &Message, trunk: &Trunk) -> bool {
    let uri = request.request_uri();
    let is_emergency = uri
        .get(..EMERGENCY.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(EMERGENCY));
    is_emergency || (trunk.trusted && request.raw(HeaderName::ResourcePriority).is_some())
}

/// The start of every emergency service's URN (RFC 5031).
const EMERGENCY: &[u8] = b"urn:service:sos";

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
