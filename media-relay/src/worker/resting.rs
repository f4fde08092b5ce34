//! Port pairs that rest after a call with their sockets still bound, for a later call.
//!
//! A socket is dear: to open, mark, bind, watch and close one takes six system calls, and a call has
//! four of them. So a pair keeps its sockets while it rests (MED-011), what arrives late is read and
//! forgotten, and the next call that needs a pair takes one that has rested. Where pairs or
//! descriptors are scarce nothing is kept: ports that nobody has bound are everybody's.

use crate::control::realm::RealmPorts;
use crate::entropy::Entropy;
use crate::time::Timestamp;
use crate::worker::stock::Lease;
use media_api::Family;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What a pair rests at least (MED-011).
const LEAST: Duration = Duration::from_secs(2);
/// Pairs of one realm and family that rest at once before one is used again that has rested for no more
/// than [`LEAST`]: a busy node would keep thousands of sockets bound for nothing, or open and close
/// them for every call.
const MANY: usize = 512;
/// Pairs of one realm and family that stay bound after their rest, for calls to come.
const MOST_RESTED: usize = 64;
/// Pairs that are closed at once: packets of calls wait meanwhile.
const MOST_CLOSED: usize = 16;

/// What one worker keeps bound, by realm and family.
#[derive(Debug, Default)]
pub(crate) struct Resting {
    shelves: Vec<Shelf>,
    /// Pairs that it may keep, and that it keeps.
    room: usize,
    kept: usize,
    /// Pairs of realms that have become others, to be closed, and when they have rested.
    stale: VecDeque<(Timestamp, Lease)>,
}

#[derive(Debug)]
struct Shelf {
    realm: usize,
    family: Family,
    /// Pairs and when they have rested; later ones behind.
    pairs: VecDeque<(Timestamp, Lease)>,
}

impl Resting {
    /// Nothing, and room for so many pairs.
    pub(crate) fn with_room(room: usize) -> Self {
        Self {
            shelves: Vec::new(),
            room,
            kept: 0,
            stale: VecDeque::new(),
        }
    }

    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.kept == 0
    }

    /// Keeps a pair whose call is over, which is nobody's from now on; gives it back if it has to be
    /// closed instead.
    pub(super) fn begin(
        &mut self,
        lease: Lease,
        realm: &RealmPorts,
        now: Timestamp,
    ) -> Result<(), Lease> {
        let ports = Arc::clone(&lease.ports);
        let is_wanted = !ports.rest().is_zero() && !ports.are_scarce() && realm.is_current(&lease);
        if self.kept >= self.room || !is_wanted {
            return Err(lease);
        }
        self.kept += 1;
        ports.shelved();
        let known = self.shelf(lease.realm, lease.family);
        let at = known.unwrap_or_else(|| {
            self.shelves.push(Shelf {
                realm: lease.realm,
                family: lease.family,
                pairs: VecDeque::new(),
            });
            self.shelves.len() - 1
        });
        if let Some(shelf) = self.shelves.get_mut(at) {
            shelf.pairs.push_back((now + ports.rest(), lease));
        }
        Ok(())
    }

    /// A pair that has rested, or the least where many do: any of the half that has done so for longest, so
    /// that nobody can tell which.
    pub(super) fn take(
        &mut self,
        realm: usize,
        family: Family,
        entropy: &mut Entropy,
        now: Timestamp,
    ) -> Option<Lease> {
        let at = self.shelf(realm, family)?;
        let pairs = &mut self.shelves.get_mut(at)?.pairs;
        let mut rested = rested(pairs, now);
        if rested == 0 && pairs.len() >= MANY {
            let rest = pairs.front()?.1.ports.rest();
            rested = self::rested(pairs, now + rest.saturating_sub(LEAST));
        }
        if rested == 0 {
            return None;
        }
        let (_, lease) = pairs.remove(entropy.below(rested.div_ceil(2)))?;
        self.kept = self.kept.saturating_sub(1);
        lease.ports.unshelved();
        Some(lease)
    }

    /// Pairs that would be bound otherwise now, and those that were bound ahead, are to be closed.
    pub(super) fn outgrow(&mut self, realms: &[RealmPorts], ahead: Vec<Lease>, now: Timestamp) {
        for shelf in &mut self.shelves {
            let is_stale = |lease: &Lease| {
                let realm = realms.get(lease.realm);
                realm.is_none_or(|realm| !realm.is_current(lease))
            };
            let (stale, left) = std::mem::take(&mut shelf.pairs)
                .into_iter()
                .partition(|(_, lease)| is_stale(lease));
            shelf.pairs = left;
            self.stale.append(&mut { stale });
        }
        self.kept += ahead.len();
        let ahead = ahead.into_iter().map(|lease| (now, lease));
        self.stale
            .extend(ahead.inspect(|(_, lease)| lease.ports.shelved()));
    }

    /// Whether some are to be closed that would be bound otherwise now.
    pub(super) fn has_outgrown(&self) -> bool {
        !self.stale.is_empty()
    }

    /// Gives to `close` what need not stay bound, with the rest that it still has to have: pairs that
    /// have rested and that nobody has wanted, and any where they are scarce, or where `any` is wanted.
    /// More than a few are left to the next time.
    pub(super) fn trim(
        &mut self,
        any: bool,
        now: Timestamp,
        mut close: impl FnMut(Lease, Duration),
    ) {
        let mut left = MOST_CLOSED;
        let mut close = |ends: Timestamp, lease: Lease| {
            lease.ports.unshelved();
            close(lease, ends.since(now));
        };
        let outgrown = self.stale.len().min(left);
        left -= outgrown;
        self.kept = self.kept.saturating_sub(outgrown);
        self.stale
            .drain(..outgrown)
            .for_each(|(ends, lease)| close(ends, lease));
        for shelf in &mut self.shelves {
            let Some((_, first)) = shelf.pairs.front() else {
                continue;
            };
            let surplus = match any || first.ports.are_scarce() {
                true => shelf.pairs.len(),
                false => rested(&shelf.pairs, now).saturating_sub(MOST_RESTED),
            };
            let closed = surplus.min(left);
            left -= closed;
            for (ends, lease) in shelf.pairs.drain(..closed) {
                self.kept = self.kept.saturating_sub(1);
                close(ends, lease);
            }
        }
    }

    fn shelf(&self, realm: usize, family: Family) -> Option<usize> {
        self.shelves
            .iter()
            .position(|shelf| (shelf.realm, shelf.family) == (realm, family))
    }
}

/// How many of the pairs have rested by a time: those in front.
fn rested(pairs: &VecDeque<(Timestamp, Lease)>, now: Timestamp) -> usize {
    pairs.partition_point(|(ends, _)| *ends <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::realm::{LocalAddress, Realm};
    use crate::io::Backend;
    use crate::session::{SocketId, StreamSockets};
    use media_api::RealmId;
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn where_many_rest_the_longest_unused_may_be_used_after_the_least_rest() {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let realm = Realm {
            id: RealmId(0),
            v4: Some(LocalAddress::direct(here)),
            v6: None,
            first_port: 10_000,
            last_port: 29_999,
            dscp: 46,
            backend: Backend::Sockets,
        };
        let realm = RealmPorts::new(realm, Duration::from_secs(10));
        let ports = realm.ports(Family::V4).unwrap();
        let mut entropy = Entropy::from_seed([3; 32]);
        let mut resting = Resting::with_room(2 * MANY);
        let mut rest = |resting: &mut Resting, at| {
            let port = ports.take(&mut entropy, at, false).expect("a port");
            let sockets = StreamSockets {
                realm: RealmId(0),
                rtp: SocketId(port.into()),
                rtcp: SocketId(u32::from(port) + 1),
                advertised_rtp: (here, port).into(),
                advertised_rtcp: (here, port + 1).into(),
            };
            let lease = Lease {
                realm: 0,
                family: Family::V4,
                port,
                ports: Arc::clone(ports),
                dscp: 46,
                sockets,
            };
            resting.begin(lease, &realm, at).expect("room");
            port
        };
        let first: Vec<u16> = (0..10).map(|_| rest(&mut resting, Timestamp(0))).collect();
        for _ in 10..MANY - 1 {
            rest(&mut resting, Timestamp(1));
        }
        let mut entropy = Entropy::from_seed([4; 32]);
        let least = Timestamp(2_000_000);
        let mut take = |resting: &mut Resting, now| {
            let lease = resting.take(0, Family::V4, &mut entropy, now)?;
            Some(lease.port)
        };
        assert_eq!(take(&mut resting, least), None, "few rest");
        rest(&mut resting, Timestamp(1));
        assert_eq!(take(&mut resting, Timestamp(least.0 - 1)), None);
        let taken = take(&mut resting, least).expect("the least rest is over");
        assert!(first[..5].contains(&taken), "{taken} of {first:?}");
        assert_eq!(take(&mut resting, least), None, "few rest again");
    }
}
