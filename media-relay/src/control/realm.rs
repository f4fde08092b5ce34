//! Media realms: local addresses, advertised addresses, port ranges.

use super::ports::PortPool;
use crate::entropy::Entropy;
use crate::io::Backend;
use crate::time::Timestamp;
use media_api::{Family, RealmId};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// DSCP 46, Expedited Forwarding: the default mark of audio (MED-300).
pub const EXPEDITED_FORWARDING: u8 = 46;

/// A network side of the relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Realm {
    /// Name by which commands refer to it.
    pub id: RealmId,
    /// IPv4 address, if the realm has one.
    pub v4: Option<LocalAddress>,
    /// IPv6 address, if the realm has one.
    pub v6: Option<LocalAddress>,
    /// First UDP port of the range.
    pub first_port: u16,
    /// Last UDP port of the range, included. Pairs are even port and next odd port.
    pub last_port: u16,
    /// DSCP of everything sent, 0–63.
    pub dscp: u8,
    /// How its packets are to be received and sent.
    pub backend: Backend,
}

/// An address to bind to and the one that peers see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalAddress {
    /// Bound exactly; never a wildcard (MED-012).
    pub bind: IpAddr,
    /// What goes into SDP: the public address behind 1:1 NAT, else the same.
    pub advertised: IpAddr,
}

impl LocalAddress {
    /// An address that peers see as it is.
    pub const fn direct(address: IpAddr) -> Self {
        Self {
            bind: address,
            advertised: address,
        }
    }
}

impl Realm {
    /// The socket of ours that peers see at this address, if it is one behind NAT (TDR-ICE-010).
    fn own_socket(&self, seen: SocketAddr) -> Option<SocketAddr> {
        let mut own = [self.v4, self.v6].into_iter().flatten();
        let ip = seen.ip().to_canonical();
        let is_port = (self.first_port..=self.last_port).contains(&seen.port());
        let address = own.find(|own| own.advertised == ip && own.bind != ip)?;
        is_port.then(|| SocketAddr::new(address.bind, seen.port()))
    }
}

/// Where a peer's media are sent to that names this address.
///
/// A peer that names a media port of ours is another leg of this relay: the call has left us and come back. Packets
/// from inside to the address outside come back only if the NAT turns them round, and then with another source, so they
/// go to the socket itself.
pub(crate) fn reached_at(realms: &[RealmPorts], named: SocketAddr) -> SocketAddr {
    let mut own = realms
        .iter()
        .filter_map(|ports| ports.realm.own_socket(named));
    own.next().unwrap_or(named)
}

/// A realm with its ports. Shared by all workers; the lock is held for a few instructions, when a
/// session begins or ends, never while packets are handled.
#[derive(Debug)]
pub(crate) struct RealmPorts {
    pub(crate) realm: Realm,
    v4: Mutex<PortPool>,
    v6: Mutex<PortPool>,
    /// Pairs that are bound for nobody: ahead, or while they rest.
    shelved: AtomicU64,
}

impl RealmPorts {
    pub(crate) fn new(realm: Realm, rest: Duration) -> Self {
        let pool = |address: &Option<LocalAddress>| {
            Mutex::new(match address {
                Some(_) => PortPool::new(realm.first_port, realm.last_port, rest),
                None => PortPool::new(1, 0, rest),
            })
        };
        Self {
            v4: pool(&realm.v4),
            v6: pool(&realm.v6),
            shelved: AtomicU64::new(0),
            realm,
        }
    }

    pub(crate) fn address(&self, family: Family) -> Option<LocalAddress> {
        match family {
            Family::V4 => self.realm.v4,
            Family::V6 => self.realm.v6,
        }
    }

    pub(crate) fn take(
        &self,
        family: Family,
        entropy: &mut Entropy,
        now: Timestamp,
        takes_last: bool,
    ) -> Option<u16> {
        self.with(family, |pool| pool.take(entropy, now, takes_last))
    }

    pub(crate) fn give_back(&self, family: Family, port: u16, now: Timestamp) {
        self.with(family, |pool| pool.give_back(port, now));
    }

    /// Gives a pair back that still has to rest for a while.
    pub(crate) fn give_back_resting(
        &self,
        family: Family,
        port: u16,
        now: Timestamp,
        rest: Duration,
    ) {
        self.with(family, |pool| pool.give_back_resting(port, now, rest));
    }

    /// Whether so few pairs are free that none should be bound for nobody.
    pub(crate) fn are_scarce(&self, family: Family) -> bool {
        self.with(family, |pool| pool.is_scarce())
    }

    /// How long a pair rests after its call.
    pub(crate) fn rest(&self) -> Duration {
        self.with(Family::V4, |pool| pool.rest())
    }

    /// Pairs in use and pairs in all.
    pub(crate) fn usage(&self) -> (u64, u64) {
        // Ordering: a figure for people, exact when nothing changes.
        let shelved = self.shelved.load(Ordering::Relaxed);
        let (used, total) =
            [Family::V4, Family::V6]
                .into_iter()
                .fold((0, 0), |(used, total), family| {
                    self.with(family, |pool| {
                        (used + pool.used() as u64, total + pool.total() as u64)
                    })
                });
        (used.saturating_sub(shelved), total)
    }

    /// Pairs of one family in all.
    pub(crate) fn pairs(&self, family: Family) -> usize {
        self.with(family, |pool| pool.total())
    }

    /// A pair that was taken is bound for nobody.
    pub(crate) fn shelved(&self) {
        self.shelved.fetch_add(1, Ordering::Relaxed);
    }

    /// A pair that was bound for nobody is in use, or about to be closed.
    pub(crate) fn unshelved(&self) {
        self.shelved.fetch_sub(1, Ordering::Relaxed);
    }

    fn with<T>(&self, family: Family, work: impl FnOnce(&mut PortPool) -> T) -> T {
        let pool = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        // A pool is consistent between any two of its statements, so a poisoned one is usable.
        work(&mut pool.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
