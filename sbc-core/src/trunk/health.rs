//! Which addresses answer: what probes and calls found out, for every call of the node to see (SIP-1710).
//!
//! An address is held for bad while its probes say so or its circuit is open; a call tries such a
//! one when nothing else is left. Calls know better than probes: an address that answered a call
//! within the last minute is not down, whatever it makes of OPTIONS.

use super::circuit::Circuit;
use crate::config::{AllDown, TargetAddress, Trunk};
use crate::id::TrunkName;
use crate::time::Timestamp;
use crate::transport::Protocol;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So long an answer to a call counts more than silence to probes.
const HEARD: Duration = Duration::from_secs(60);
/// Pause between two calls to a trunk of which every target is down.
const TRIAL: Duration = Duration::from_secs(1);
/// Pause between two looks through all that was found.
const SWEPT: Duration = Duration::from_secs(1);

/// One address of one target of one trunk.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TargetId {
    /// Trunk.
    pub trunk: TrunkName,
    /// Host as configured.
    pub host: String,
    /// Protocol.
    pub protocol: Protocol,
    /// The address; `None` while the name has none.
    pub remote: Option<SocketAddr>,
}

/// What is held of an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// It answers.
    Up,
    /// It answers with 503: it is there and wants no new calls.
    Busy,
    /// It answers, but not that it knows us: whoever calls may fare better (TDR-OPT-004).
    Refuses,
    /// It does not answer.
    Down,
    /// It is not one of the target's addresses any more (SIP-1706).
    Gone,
}

impl TargetState {
    /// The stable label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Busy => "busy",
            Self::Refuses => "refuses",
            Self::Down => "down",
            Self::Gone => "gone",
        }
    }
}

/// An address of a trunk.
type Address = (TrunkName, Protocol, SocketAddr);

/// A place that calls are sent to. What calls find out is that of their trunk: what becomes of one customer
/// says nothing about another. What OPTIONS find out is that of the trunk whose OPTIONS they are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    own: Address,
    watched: Address,
}

impl Place {
    /// An address of a trunk.
    pub(crate) fn of(trunk: &Trunk, protocol: Protocol, remote: SocketAddr) -> Self {
        Self {
            own: (trunk.name.clone(), protocol, remote),
            watched: (trunk.watched_as().clone(), protocol, remote),
        }
    }
}

/// Whether a call should be sent to a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Footing {
    Good,
    /// It said that it wants no new calls.
    Busy,
    /// Only if nothing else is left.
    Bad,
}

/// What is known of all places. One that is not probed, or not yet, is good.
#[derive(Default, Debug)]
pub(crate) struct Health {
    probed: BTreeMap<Address, TargetState>,
    pub(crate) found: FoundByCalls,
}

/// What calls found out, over all shards: which of them a call falls to is chance.
#[derive(Clone, Default, Debug)]
pub(crate) struct FoundByCalls(Arc<Shared>);

/// Nearly always nothing is found, and then nobody waits for the table.
#[derive(Default, Debug)]
struct Shared {
    /// Entries about addresses.
    entries: AtomicUsize,
    table: Mutex<Found>,
}

#[derive(Default, Debug)]
struct Found {
    circuits: BTreeMap<Address, Circuit>,
    heard: BTreeMap<Address, Timestamp>,
    /// When all were last looked through for what is held of nobody any more.
    swept: Timestamp,
    trials: BTreeMap<TrunkName, Timestamp>,
}

impl FoundByCalls {
    /// Whether nothing is held of any address.
    fn is_empty(&self) -> bool {
        // Ordering: what another shard finds at this moment may be known a moment later.
        self.0.entries.load(Ordering::Relaxed) == 0
    }

    /// The table, if anything is in it.
    fn look(&self) -> Option<MutexGuard<'_, Found>> {
        (!self.is_empty()).then(|| self.lock())
    }

    fn change(&self, change: impl FnOnce(&mut Found)) {
        let mut found = self.lock();
        change(&mut found);
        let entries = found.circuits.len() + found.heard.len();
        self.0.entries.store(entries, Ordering::Relaxed);
    }

    /// Forgets what calls found out about these; gives where they are.
    pub(super) fn forget(&self, is_it: impl Fn(&TrunkName, SocketAddr) -> bool) -> Vec<SocketAddr> {
        let mut forgotten = Vec::new();
        self.change(|found| {
            found.circuits.retain(|(trunk, _, remote), _| {
                let is_it = is_it(trunk, *remote);
                forgotten.extend(is_it.then_some(*remote));
                !is_it
            });
        });
        forgotten
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        // A table is whole between any two statements.
        let table = self.0.table.lock();
        table.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    /// Forgets what is held of nobody any more, which must not cost every call the lock; once a second at most, as
    /// failures that each look at all others would stop everything in an outage.
    fn sweep(&mut self, now: Timestamp) {
        if now < self.swept + SWEPT {
            return;
        }
        self.swept = now;
        self.circuits.retain(|_, circuit| !circuit.is_stale(now));
        self.heard.retain(|_, at| *at + HEARD > now);
        self.trials.retain(|_, at| *at + TRIAL > now);
    }
}

impl Health {
    /// Takes note of what probes found out.
    pub(crate) fn note(&mut self, target: &TargetId, state: TargetState) {
        let Some(remote) = target.remote else {
            return;
        };
        let place = (target.trunk.clone(), target.protocol, remote);
        match state {
            TargetState::Up | TargetState::Refuses | TargetState::Gone => {
                self.probed.remove(&place)
            }
            TargetState::Busy | TargetState::Down => self.probed.insert(place, state),
        };
    }

    /// Forgets what is not wanted.
    pub(crate) fn keep(&mut self, is_wanted: impl Fn(&TrunkName) -> bool) {
        self.probed.retain(|(trunk, ..), _| is_wanted(trunk));
    }

    /// A call got an answer of a peer: not 503, and not of its proxy's time-out.
    pub(crate) fn heard(&self, now: Timestamp, place: &Place) {
        // Only a doubt can be refuted.
        let is_doubted = self.probed.contains_key(&place.watched);
        if self.found.is_empty() && !is_doubted {
            return;
        }
        self.found.change(|found| {
            found.circuits.remove(&place.own);
            found.sweep(now);
            if is_doubted {
                found.heard.insert(place.watched.clone(), now);
            }
        });
    }

    /// A call got no answer, or 503.
    pub(crate) fn failed(&self, now: Timestamp, place: Place) {
        self.found.change(|found| {
            found.sweep(now);
            let circuit = found.circuits.entry(place.own).or_default();
            if circuit.is_stale(now) {
                *circuit = Circuit::default();
            }
            circuit.fails(now);
        });
    }

    /// Whether a call should go there now. A circuit that is to be tried again lets one call pass: whoever is
    /// let pass asks once.
    pub(crate) fn admits(&self, now: Timestamp, place: &Place) -> Footing {
        let mut found = self.found.look();
        let footing = self.footing_in(found.as_deref(), now, place);
        let circuits = found.as_mut().map(|found| &mut found.circuits);
        if footing == Footing::Good
            && let Some(circuit) = circuits.and_then(|own| own.get_mut(&place.own))
        {
            circuit.admits(now);
        }
        footing
    }

    /// Whether a call would be sent there now: what [`Self::admits`] would say.
    pub(crate) fn footing(&self, now: Timestamp, place: &Place) -> Footing {
        self.footing_in(self.found.look().as_deref(), now, place)
    }

    fn footing_in(&self, found: Option<&Found>, now: Timestamp, place: &Place) -> Footing {
        let circuit = found.and_then(|found| found.circuits.get(&place.own));
        match self.probed_in(found, now, place) {
            Footing::Good if circuit.is_some_and(|circuit| !circuit.would_admit(now)) => {
                Footing::Bad
            }
            footing => footing,
        }
    }

    /// What probes say of a place: all that counts for a call that was let pass already.
    pub(crate) fn probed(&self, now: Timestamp, place: &Place) -> Footing {
        self.probed_in(self.found.look().as_deref(), now, place)
    }

    fn probed_in(&self, found: Option<&Found>, now: Timestamp, place: &Place) -> Footing {
        let heard = found.and_then(|found| found.heard.get(&place.watched));
        let was_heard = heard.is_some_and(|at| *at + HEARD > now);
        match self.probed.get(&place.watched) {
            Some(TargetState::Busy) => Footing::Busy,
            Some(TargetState::Down) if !was_heard => Footing::Bad,
            Some(_) | None => Footing::Good,
        }
    }

    /// Whether a call may be tried at a trunk whose targets are all bad (SIP-1711).
    pub(crate) fn may_try(&self, now: Timestamp, trunk: &TrunkName, policy: AllDown) -> bool {
        if policy == AllDown::Fail {
            return false;
        }
        let mut may_try = false;
        self.found.change(|found| {
            let last = found.trials.get(trunk);
            may_try = last.is_none_or(|at| *at + TRIAL <= now);
            if may_try {
                found.sweep(now);
                found.trials.insert(trunk.clone(), now);
            }
        });
        may_try
    }
}

impl TargetId {
    /// The name of an address of a configured target.
    pub(crate) fn of(
        trunk: &TrunkName,
        target: &TargetAddress,
        protocol: Protocol,
        remote: Option<SocketAddr>,
    ) -> Self {
        Self {
            trunk: trunk.clone(),
            host: target.host.clone(),
            protocol,
            remote,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_what_others_found_where_nothing_is_found() {
        let place = |name: &str| {
            let address = |remote: &str| {
                let remote = remote.parse().expect("an address");
                (TrunkName::new(name), Protocol::Udp, remote)
            };
            Place {
                own: address("198.51.100.20:5060"),
                watched: address("198.51.100.20:5060"),
            }
        };
        let (health, a, b) = (Health::default(), place("a"), place("b"));
        let other = Health {
            found: health.found.clone(),
            ..Health::default()
        };
        let now = Timestamp::from_micros(1);
        let held = health.found.lock();
        health.heard(now, &a);
        assert_eq!(health.admits(now, &a), Footing::Good);
        assert_eq!(health.footing(now, &a), Footing::Good);
        assert_eq!(health.probed(now, &a), Footing::Good);
        drop(held);
        for _ in 0..5 {
            health.failed(now, a.clone());
        }
        assert_eq!(other.footing(now, &a), Footing::Bad);
        assert_eq!(other.footing(now, &b), Footing::Good);
        other.heard(now, &a);
        assert!(health.found.is_empty(), "as before");
        // Nor is what was found long ago kept for want of another failure there.
        health.failed(now, a.clone());
        let later = now + Duration::from_secs(3_600);
        other.heard(later, &b);
        assert!(health.found.is_empty());
        assert_eq!(health.admits(now, &a), Footing::Good);
    }
}
