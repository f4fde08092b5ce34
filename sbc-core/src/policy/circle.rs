//! Calls that run in circles: by what an INVITE says of its way, and by what else is on its way
//! through here (SIP-403 to SIP-405).

use crate::cause::{Because, CauseCode};
use crate::policy::Refusal;
use crate::policy::diversion::MOST_DIVERSIONS;
use crate::policy::identity::Caller;
use crate::sip::header::{MaxBreadth, MaxForwards};
use crate::sip::{Message, Status};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How far a request may still go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reach {
    /// Hops that are left, this one included.
    pub hops: MaxForwards,
    /// Branches that it may be on at once; it is never on more than one of ours.
    pub breadth: MaxBreadth,
}

impl Reach {
    /// Reads the headers of a request; absent and unreadable ones are the usual (RFC 5393 §5.3.3).
    pub fn of(message: &Message) -> Self {
        let breadth = message.get().ok().flatten().unwrap_or(MaxBreadth::MOST);
        Self {
            hops: message.get().ok().flatten().unwrap_or(MaxForwards::DEFAULT),
            breadth: breadth.min(MaxBreadth::MOST),
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
            )),
        })
    }

    /// The refusal of a request that may go no further.
    pub fn refusal(self) -> Option<Refusal> {
        let refusal = |status, text: &str| {
            Some(Refusal {
                status,
                cause: CauseCode::LoopDetected,
                because: Because::of(text),
            })
        };
        match self {
            Self {
                hops: MaxForwards(0),
                ..
            } => refusal(Status::TOO_MANY_HOPS, "Max-Forwards has reached 0"),
            Self {
                breadth: MaxBreadth(0),
                ..
            } => refusal(Status::MAX_BREADTH_EXCEEDED, "Max-Breadth has reached 0"),
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
        because: Because::of(format!("the call has been diverted {diversions} times")),
    })
}

/// Set-ups that are under way, by what makes two of them the same.
#[derive(Default, Debug)]
pub struct Circles {
    /// Hops that were left to each when it came.
    setups: BTreeMap<u64, Vec<u8>>,
}

/// A set-up in the list; it must leave once.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a set-up that never leaves is counted for ever"]
pub struct Lap {
    key: u64,
    hops: u8,
}

/// Equal set-ups at once that are no circle yet.
const MOST_LAPS: usize = 5;

impl Circles {
    /// Enters a set-up, unless it is one more lap of a circle: as many equal ones are under way, each
    /// of which had fewer hops left than the one before. Equal calls that are no laps come with
    /// equal hops, such as those of a company that shows one number to a conference.
    pub fn enter(&mut self, key: u64, hops: MaxForwards) -> Result<Lap, Refusal> {
        let MaxForwards(hops) = hops;
        let laps = self.setups.entry(key).or_default();
        let mut earlier: Vec<u8> = laps.iter().copied().filter(|own| *own > hops).collect();
        earlier.sort_unstable();
        earlier.dedup();
        if earlier.len() >= MOST_LAPS {
            return Err(Refusal {
                status: Status::LOOP_DETECTED,
                cause: CauseCode::LoopDetected,
                because: Because::of("the same call is being set up through us again and again"),
            });
        }
        laps.push(hops);
        Ok(Lap { key, hops })
    }

    /// The set-up is over.
    pub fn leave(&mut self, lap: Lap) {
        let Some(laps) = self.setups.get_mut(&lap.key) else {
            return;
        };
        if let Some(at) = laps.iter().position(|hops| *hops == lap.hops) {
            laps.swap_remove(at);
        }
        if laps.is_empty() {
            self.setups.remove(&lap.key);
        }
    }

    /// Set-ups in the list.
    pub fn len(&self) -> usize {
        self.setups.values().map(Vec::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.setups.is_empty()
    }
}

/// What makes two set-ups the same: caller, called number, and the trunk that they come from. What
/// they say about earlier targets is not a part of it, because every lap may add to that.
pub fn key(caller: &Caller, called: &str, trunk: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&caller.calling.number.number, called, trunk).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laps_of_a_circle_are_told_from_equal_calls() {
        let mut circles = Circles::default();
        let mut laps = Vec::new();
        for _ in 0..50 {
            laps.push(circles.enter(1, MaxForwards(69)).expect("equal calls"));
        }
        for hops in (64..69).rev() {
            match circles.enter(1, MaxForwards(hops)) {
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
                .enter(2, MaxForwards(1))
                .map(|lap| circles.leave(lap))
                .is_ok()
        );
        laps.into_iter().for_each(|lap| circles.leave(lap));
        assert!(circles.is_empty());
    }
}
