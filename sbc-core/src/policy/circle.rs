//! Calls that run in circles: by what an INVITE says of its way, and by what else is on its way
//! through here (SIP-403 to SIP-405).

use crate::cause::{Because, CauseCode};
use crate::octets::hexadecimal;
use crate::policy::Refusal;
use crate::policy::diversion::MOST_DIVERSIONS;
use crate::policy::identity::Caller;
use crate::sip::header::{MaxBreadth, MaxForwards, Via};
use crate::sip::{HeaderName, Message, Status};
use crate::time::Timestamp;
use crate::trouble::Trouble;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How far a request may still go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reach {
    /// Hops that are left, this one included.
    pub hops: MaxForwards,
    /// Branches that it may be on at once; it is never on more than one of ours.
    pub breadth: MaxBreadth,
    /// The sign that our INVITE carries, where the set-up has one.
    pub sign: Option<Sign>,
}

impl Reach {
    /// What each of so many requests may do that go out in its place (RFC 5393 §5.3.3).
    pub fn split(self, requests: u8) -> Self {
        let own = self.breadth.0 / requests.max(1);
        Self {
            breadth: MaxBreadth(own.max(1)),
            ..self
        }
    }

    /// Reads the headers of a request; absent and unreadable ones are the usual (RFC 5393 §5.3.3).
    pub fn of(message: &Message) -> Self {
        let breadth = message.get().ok().flatten().unwrap_or(MaxBreadth::MOST);
        Self {
            hops: message.get().ok().flatten().unwrap_or(MaxForwards::DEFAULT),
            breadth: breadth.min(MaxBreadth::MOST),
            sign: None,
        }
    }

    /// The refusal of a request that comes from farther than the trunk allows: one that has fewer hops
    /// left than any call of its peer should (SIP-1601).
    pub fn refusal_below(self, least: u8) -> Option<Refusal> {
        let MaxForwards(left) = self.hops;
        (left < least).then(|| Refusal {
            status: Status::TOO_MANY_HOPS,
            cause: CauseCode::LoopDetected,
            because: Because::of(format!(
                "{left} hops are left, and its trunk wants {least} at least"
            ))
            .named(Trouble::HopsTooFew),
        })
    }

    /// The refusal of a request that may go no further.
    pub fn refusal(self) -> Option<Refusal> {
        let refusal = |status, text: &str, trouble: Trouble| {
            Some(Refusal {
                status,
                cause: CauseCode::LoopDetected,
                because: Because::of(text).named(trouble),
            })
        };
        match self {
            Self {
                hops: MaxForwards(0),
                ..
            } => {
                let text = "Max-Forwards has reached 0";
                refusal(Status::TOO_MANY_HOPS, text, Trouble::HopsUsedUp)
            }
            Self {
                breadth: MaxBreadth(0),
                ..
            } => {
                let text = "Max-Breadth has reached 0";
                refusal(Status::MAX_BREADTH_EXCEEDED, text, Trouble::BranchesUsedUp)
            }
            _ => None,
        }
    }
}

/// The refusal of a call that has been forwarded too often.
pub fn forwarded_too_often(caller: &Caller) -> Option<Refusal> {
    let diversions = caller.trail.diversions().len();
    (diversions >= MOST_DIVERSIONS).then(|| Refusal {
        status: Status::LOOP_DETECTED,
        cause: CauseCode::LoopDetected,
        because: Because::of(format!("the call has been diverted {diversions} times"))
            .named(Trouble::ForwardedTooOften),
    })
}

/// Set-ups that are under way or were a short while ago, by what makes two of them the same. All shards
/// of a node have one list: the laps of a circle are calls of their own, and no two need to come to the
/// same shard.
#[derive(Default, Debug)]
pub struct Circles {
    /// Hops that were left to each, in the order in which they came, behind a lock that a set-up takes twice.
    setups: Arc<Mutex<BTreeMap<u64, Vec<u8>>>>,
    /// Those of this shard that are over, in the order in which they are forgotten.
    over: VecDeque<(Timestamp, Lap)>,
    /// Those of this shard in the list.
    count: usize,
}

/// A set-up in the list; it must leave once.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a set-up that never leaves is counted for ever"]
pub struct Lap {
    key: u64,
    hops: u8,
}

/// Equal set-ups that are no circle yet.
const MOST_LAPS: usize = 5;

/// For how long a set-up that is over still counts: a circle of calls that are refused at once is one
/// as well.
const REMEMBERED: Duration = Duration::from_secs(32);

impl Circles {
    /// The same list, as another shard sees it.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            setups: Arc::clone(&self.setups),
            ..Self::default()
        }
    }

    /// Enters a set-up, unless it is one more lap of a circle: as many equal ones are known, each
    /// of which came later and had fewer hops left than the one before. Equal calls that are no laps come
    /// with equal hops, such as those of a company that shows one number to a conference.
    pub fn enter(&mut self, key: Key, hops: MaxForwards) -> Result<Lap, Refusal> {
        let MaxForwards(hops) = hops;
        let Key { key, is_of_one } = key;
        let mut setups = self.setups();
        let laps = setups.entry(key).or_default();
        let is_circle = match is_of_one {
            true => falls_to(laps, hops),
            false => steps_to(laps, hops),
        };
        if is_circle {
            return Err(Refusal {
                status: Status::LOOP_DETECTED,
                cause: CauseCode::LoopDetected,
                because: Because::of("the same call is being set up through us again and again")
                    .named(Trouble::CallInCircle),
            });
        }
        laps.push(hops);
        drop(setups);
        self.count += 1;
        Ok(Lap { key, hops })
    }

    /// The set-up is over.
    pub fn leave(&mut self, now: Timestamp, lap: Lap) {
        self.over.push_back((now + REMEMBERED, lap));
    }

    /// When [`Self::tick`] is next wanted.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.over.front().map(|(at, _)| *at)
    }

    /// Forgets what was over long enough ago.
    pub fn tick(&mut self, now: Timestamp) {
        while self.over.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, lap)) = self.over.pop_front() else {
                return;
            };
            self.count = self.count.saturating_sub(1);
            let mut setups = self.setups();
            let Some(laps) = setups.get_mut(&lap.key) else {
                continue;
            };
            if let Some(at) = laps.iter().position(|hops| *hops == lap.hops) {
                laps.remove(at);
            }
            if laps.is_empty() {
                setups.remove(&lap.key);
            }
        }
    }

    /// Set-ups of this shard in the list.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn setups(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<u8>>> {
        // It is consistent between any two statements above.
        self.setups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sign of a set-up in the branch of our INVITE (RFC 5393 §4.2.1). A proxy that sends the call back
/// keeps our Via below its own, and so the sign: if it is that of the call as it comes back, nothing
/// has changed on the way, which is a circle; another sign is a spiral, and that is allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sign(u64);

impl Sign {
    /// The sign of a set-up on this node.
    pub fn of(node: &str, key: Key) -> Self {
        let mut hasher = DefaultHasher::new();
        (node, key.key).hash(&mut hasher);
        Self(hasher.finish())
    }

    /// A branch with the sign.
    pub fn written(self, branch: &str) -> String {
        let sign = hexadecimal(self.0);
        let sign = std::str::from_utf8(&sign).unwrap_or_default();
        [branch, SEPARATOR, sign].concat()
    }

    /// The refusal of a call that carries its own sign.
    pub fn refusal(self, message: &Message) -> Option<Refusal> {
        // What has one Via has not been here before, or not through this.
        if message.has_one_value(&HeaderName::Via) {
            return None;
        }
        let end = format!("{SEPARATOR}{:016x}", self.0);
        let vias = message.list::<Via>().ok()?;
        let is_own = |via: &Via| {
            via.branch()
                .is_some_and(|own| own.ends_with(end.as_bytes()))
        };
        vias.iter().skip(1).any(is_own).then(|| Refusal {
            status: Status::LOOP_DETECTED,
            cause: CauseCode::LoopDetected,
            because: Because::of("the call has been here before, and nothing has changed since")
                .named(Trouble::CallBeenHere),
        })
    }
}

/// Between what is random in a branch and the sign; no character of ours.
const SEPARATOR: &str = ".";

/// Whether enough of these came one after the other with fewer hops left each time, and this one with the
/// fewest. Others may have come in between.
fn falls_to(laps: &[u8], hops: u8) -> bool {
    // The most hops that the last of so many laps can have had.
    let mut ends = [0_u8; MOST_LAPS];
    for lap in laps.iter().copied().filter(|lap| *lap > hops) {
        let longest = ends.iter().position(|end| *end <= lap);
        if let Some(end) = longest.and_then(|at| ends.get_mut(at)) {
            *end = lap;
        }
    }
    ends.iter().all(|end| *end > hops)
}

/// Whether the last that came are laps of one way: each time as many hops fewer. Callers that nobody can tell
/// apart come by ways of different length, and some of them in falling order.
fn steps_to(laps: &[u8], hops: u8) -> bool {
    let last = laps.iter().rev().take(MOST_LAPS);
    let all = std::iter::once(&hops).chain(last);
    let all: Vec<i16> = all.map(|lap| i16::from(*lap)).collect();
    let mut steps = all.windows(2).map(|two| match two {
        [later, earlier] => earlier - later,
        _ => 0,
    });
    let step = steps.next().unwrap_or_default();
    all.len() > MOST_LAPS && step > 0 && steps.all(|own| own == step)
}

/// What makes two set-ups the same: caller, called number, and the trunk that they come from. What
/// they say about earlier targets is not a part of it, because every lap may add to that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    key: u64,
    /// It is known who calls; else it may be as many callers as there are set-ups.
    is_of_one: bool,
}

impl Key {
    /// That of a call. Where a peer is trusted it is also what it asserts of its caller: many may show one
    /// number, or none.
    pub fn of(caller: &Caller, called: &str, trunk: &str) -> Self {
        let asserted = caller.asserted.first().map(|own| &own.number.number);
        let mut hasher = DefaultHasher::new();
        (&caller.calling.number.number, asserted, called, trunk).hash(&mut hasher);
        Self {
            key: hasher.finish(),
            is_of_one: !caller.calling.is_withheld || asserted.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: u64) -> Key {
        Key {
            key,
            is_of_one: true,
        }
    }

    /// What is refused of these, which all are set up at the same time.
    fn refused(is_of_one: bool, hops: &[u8]) -> Vec<u8> {
        let mut circles = Circles::default();
        let key = Key { key: 7, is_of_one };
        let mut is_refused = |hops: &u8| match circles.enter(key, MaxForwards(*hops)) {
            Ok(lap) => {
                circles.leave(Timestamp::ZERO, lap);
                false
            }
            Err(_) => true,
        };
        hops.iter()
            .copied()
            .filter(|hops| is_refused(hops))
            .collect()
    }

    #[test]
    fn callers_that_nobody_can_tell_apart_are_no_laps() {
        let anyhow = [68, 66, 65, 63, 61, 60, 67, 66, 64, 62, 60, 59];
        assert_eq!(refused(false, &anyhow), []);
        assert_eq!(refused(true, &anyhow), [60, 60, 59]);
        // Of one way each lap takes as much.
        assert_eq!(refused(false, &[68, 65, 62, 59, 56, 53]), [53]);
        assert_eq!(refused(false, &[69, 69, 64, 65, 64, 63, 62, 61, 60]), [60]);
        assert_eq!(refused(false, &[60, 60, 60, 60, 60, 60, 60]), []);
        // They came in another order than laps do.
        assert_eq!(refused(true, &[61, 62, 63, 64, 65, 60]), []);
        assert_eq!(refused(true, &[69, 67, 68, 67, 66, 69, 65, 64]), [64]);
    }

    #[test]
    fn laps_of_a_circle_are_told_from_equal_calls() {
        let mut circles = Circles::default();
        let mut laps = Vec::new();
        for _ in 0..50 {
            laps.push(circles.enter(key(1), MaxForwards(69)).expect("equal calls"));
        }
        for hops in (64..69).rev() {
            match circles.enter(key(1), MaxForwards(hops)) {
                Ok(lap) => laps.push(lap),
                Err(refusal) => {
                    assert_eq!(refusal.status, Status::LOOP_DETECTED);
                    assert_eq!(hops, 64, "five went before");
                }
            }
        }
        assert_eq!(circles.len(), 54);
        assert!(
            circles
                .enter(key(2), MaxForwards(1))
                .map(|lap| circles.leave(Timestamp::ZERO, lap))
                .is_ok()
        );
        laps.into_iter()
            .for_each(|lap| circles.leave(Timestamp::ZERO, lap));
        assert_eq!(circles.len(), 55);
        // A lap that is over is still one.
        assert!(circles.enter(key(1), MaxForwards(64)).is_err());
        circles.tick(Timestamp::ZERO + REMEMBERED);
        assert!(circles.is_empty() && circles.next_deadline().is_none());
    }

    #[test]
    fn laps_that_come_to_different_shards_are_laps_of_one_circle() {
        let mut first = Circles::default();
        let mut second = first.beside();
        let mut laps = Vec::new();
        for hops in (65..70).rev() {
            let circles = match hops % 2 {
                0 => &mut first,
                _ => &mut second,
            };
            let lap = circles.enter(key(1), MaxForwards(hops)).expect("few laps");
            laps.push((hops % 2, lap));
        }
        assert!(first.enter(key(1), MaxForwards(64)).is_err());
        assert_eq!((first.len(), second.len()), (2, 3));
        for (shard, lap) in laps {
            match shard {
                0 => first.leave(Timestamp::ZERO, lap),
                _ => second.leave(Timestamp::ZERO, lap),
            }
        }
        first.tick(Timestamp::ZERO + REMEMBERED);
        assert!(first.is_empty() && !second.is_empty());
        second.tick(Timestamp::ZERO + REMEMBERED);
        assert!(second.is_empty() && first.enter(key(1), MaxForwards(1)).is_ok());
    }
}
