//! How often ordinary calls give way to calls for help (SIP-1401).
//!
//! Whoever may place calls may place one for help, and nobody can tell by looking at it whether it is one.
//! Without a bound a single peer could end all other calls one after the other. So many in a minute give
//! way for the calls of one trunk, and three times as many in the whole node; calls for help beyond that
//! are tried as all others are, without anybody being ended for them.
//!
//! All shards count together, behind a lock that is taken when a call for help finds no room.

use crate::id::TrunkName;
use crate::meter::{Meter, Rate};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many trunks' worth the node allows.
const NODE: u32 = 3;

/// What has given way, over all shards.
#[derive(Clone, Debug, Default)]
pub struct Preemptions(Arc<Mutex<Meters>>);

#[derive(Debug, Default)]
struct Meters {
    node: Meter,
    /// By the trunk that calls for help came from.
    trunks: BTreeMap<TrunkName, Meter>,
}

impl Preemptions {
    /// Whether one more call may give way for a call for help from this trunk; it is counted then.
    pub(crate) fn admit(&self, now: Timestamp, trunk: &TrunkName, per_minute: u32) -> bool {
        // A point in time is whole between any two statements.
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Meters { node, trunks } = &mut *meters;
        let rate = Rate::per_minute(per_minute);
        // Names of trunks that a reload took away must not stay.
        trunks.retain(|_, meter| !meter.has_rested(now));
        let own = trunks.entry(trunk.clone()).or_default();
        let before = own.clone();
        let is_admitted = own.admit(now, rate).is_ok();
        if is_admitted && node.admit(now, rate.times(NODE)).is_err() {
            *own = before;
            return false;
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn given(preemptions: &Preemptions, at_s: u64, trunk: &str) -> usize {
        let now = Timestamp::ZERO + Duration::from_secs(at_s);
        let trunk = TrunkName::new(trunk);
        let asked = (0..100).filter(|_| preemptions.admit(now, &trunk, 10));
        asked.count()
    }

    #[test]
    fn one_trunk_has_its_share_of_a_minute_and_the_node_three() {
        let first = &Preemptions::default();
        let other = first.clone();
        assert_eq!(given(first, 0, "a"), 10);
        assert_eq!(given(&other, 0, "a"), 0, "all shards count together");
        assert_eq!(given(&other, 0, "b"), 10);
        assert_eq!(given(first, 0, "c"), 10);
        assert_eq!(given(first, 0, "d"), 0, "the node has had its own");
        // Six seconds for one of a trunk.
        assert_eq!(given(first, 6, "a"), 1);
        assert_eq!(given(first, 6, "d"), 2, "nothing was counted in vain");
        assert_eq!(given(first, 120, "a"), 10);
        assert_eq!(
            first.0.lock().unwrap().trunks.len(),
            1,
            "the others have rested"
        );
    }
}
