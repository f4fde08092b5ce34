//! What all shards of a node count together: the limits on calls, set-ups that may be circles, calls that
//! give way to others, numbers that are lent to those who call for help, when Teams was asked, who talks, what is usual of calls, how many calls there are,
//! how many of them their callers have left, what is sent and received by trunk, what calls have found out about the addresses of peers, and which trunks an
//! operator keeps new calls away from.
//!
//! A limit is one of the node, and which shard a call falls to is chance: shards that counted each for
//! itself would let in as many calls as there are shards times the limit, or refuse some although there
//! is room. So there is one table for all. It changes only within the step of a shard, so wherever steps
//! follow each other in one order, as in the simulator, the same inputs give the same effects.

use super::adrift::Adrift;
use crate::policy::admission::Admission;
use crate::policy::circle::Circles;
use crate::policy::elin::Elins;
use crate::policy::preempt::Preemptions;
use crate::policy::presence::Talking;
use crate::policy::spend::Spending;
use crate::policy::spend::books::Books;
use crate::policy::unusual::Watch;
use crate::tally::Tally;
use crate::trunk::asked::Asked;
use crate::trunk::{Closed, FoundByCalls, Quarantine};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the shards of one node share, for [`super::Core::counting`].
#[derive(Default, Debug)]
pub struct Together {
    pub(super) admission: Admission,
    pub(super) spending: Spending,
    pub(super) circles: Circles,
    pub(super) preemptions: Preemptions,
    pub(super) elins: Elins,
    pub(super) asked: Asked,
    pub(super) talking: Talking,
    pub(super) watch: Watch,
    pub(super) tally: Tally,
    pub(super) live: Live,
    pub(super) adrift: Adrift,
    pub(super) found: FoundByCalls,
    pub(super) quarantine: Quarantine,
    pub(super) closed: Closed,
}

impl Together {
    /// Numbers that are lent to who calls for help, for those who keep them over a restart.
    pub fn elins(&self) -> Elins {
        self.elins.clone()
    }

    /// When each proxy of Teams was asked last, for those who keep it over a restart.
    pub fn asked(&self) -> Asked {
        self.asked.clone()
    }

    /// Who talks over our trunks, for those who tell Microsoft.
    pub fn talking(&self) -> Talking {
        self.talking.clone()
    }

    /// Trunks that an operator keeps new calls away from, for those who keep them over a restart and show them.
    pub fn closed(&self) -> Closed {
        self.closed.clone()
    }

    /// What is sent, received and missed, for those who show it.
    pub fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// What was spent, for those who keep it over a restart and show it.
    pub fn books(&self) -> Books {
        self.spending.books()
    }
}

/// Calls in any state, over all shards.
#[derive(Default, Debug)]
pub(super) struct Live {
    all: Arc<AtomicUsize>,
    /// Those of this shard.
    own: usize,
}

// Ordering: the number stands for itself.
const ORDER: Ordering = Ordering::Relaxed;

impl Live {
    /// The same number, as another shard sees it.
    pub(super) fn beside(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            own: 0,
        }
    }

    /// One more, if there is room for it.
    pub(super) fn enter(&mut self, most: u32) -> bool {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let more = |live: usize| (live < most).then_some(live + 1);
        let has_room = self.all.fetch_update(ORDER, ORDER, more).is_ok();
        self.own += usize::from(has_room);
        has_room
    }

    /// One more, whatever there is.
    pub(super) fn add(&mut self) {
        self.all.fetch_add(1, ORDER);
        self.own += 1;
    }

    /// One less.
    pub(super) fn leave(&mut self) {
        if self.own > 0 {
            self.own -= 1;
            self.all.fetch_sub(1, ORDER);
        }
    }

    /// This shard has so many: what a step that failed has counted must not count for ever.
    pub(super) fn recount(&mut self, own: usize) {
        // By the difference: other shards must never see more than there are.
        match own.checked_sub(self.own) {
            Some(more) => self.all.fetch_add(more, ORDER),
            None => self.all.fetch_sub(self.own - own, ORDER),
        };
        self.own = own;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_of_a_node_goes_to_one_shard() {
        let mut first = Live::default();
        let mut second = first.beside();
        assert!(first.enter(2) && second.enter(2));
        assert!(!first.enter(2) && !second.enter(2));
        second.add();
        first.leave();
        assert!(!first.enter(2), "a call for help is one too");
        second.recount(1);
        assert!(first.enter(2));
        second.recount(3);
        assert_eq!(first.all.load(ORDER), 4);
        second.recount(0);
        second.leave();
        assert_eq!(first.all.load(ORDER), 1);
    }
}
