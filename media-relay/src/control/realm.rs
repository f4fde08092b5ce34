//! Media realms: local addresses, advertised addresses, port ranges.

use super::ports::PortPool;
use crate::entropy::Entropy;
use crate::io::Backend;
use crate::time::Timestamp;
use crate::worker::stock::Lease;
use media_api::{Family, RealmId};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
    /// Whether it has any address.
    pub(crate) fn has_address(&self) -> bool {
        self.v4.is_some() || self.v6.is_some()
    }

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
    let own = |realm: &Realm| realm.own_socket(named);
    let now = realms.iter().find_map(|ports| own(&ports.realm));
    // A call of before a change is there still.
    let before = || {
        realms
            .iter()
            .find_map(|ports| ports.former.iter().find_map(own))
    };
    now.or_else(before).unwrap_or(named)
}

/// How many former settings of a realm are remembered for calls that go on with them.
const MOST_FORMER: usize = 4;

/// A realm with its ports. All realms are replaced at once by [`following`]; whoever has a pair holds its [`Ports`].
#[derive(Clone, Debug)]
pub(crate) struct RealmPorts {
    pub(crate) realm: Realm,
    v4: Option<Arc<Ports>>,
    v6: Option<Arc<Ports>>,
    former: Vec<Realm>,
}

/// The ports of one address. Shared by all workers; the lock is held for a few instructions, when a session begins or
/// ends, never while packets are handled.
#[derive(Debug)]
pub(crate) struct Ports {
    address: IpAddr,
    pool: Mutex<PortPool>,
    /// Pairs that are bound for nobody: ahead, or while they rest.
    shelved: AtomicU64,
}

/// The realms that come behind these: each in the place of the one with its name, new ones behind all, and those that are
/// gone without addresses, as there are counters and pairs of them.
pub(crate) fn following(
    before: &[RealmPorts],
    wanted: Vec<Realm>,
    rest: Duration,
    now: Timestamp,
) -> Arc<[RealmPorts]> {
    let mut all: Vec<RealmPorts> = before.to_vec();
    for own in &mut all {
        let next = wanted.iter().find(|realm| realm.id == own.realm.id);
        let next = next.cloned().unwrap_or_else(|| Realm {
            v4: None,
            v6: None,
            ..own.realm.clone()
        });
        own.become_of(next, rest, now);
    }
    for realm in wanted {
        if all.iter().all(|own| own.realm.id != realm.id) {
            all.push(RealmPorts::new(realm, rest));
        }
    }
    all.into()
}

impl RealmPorts {
    pub(crate) fn new(realm: Realm, rest: Duration) -> Self {
        let ports = |address: Option<LocalAddress>| {
            address.map(|own| Arc::new(Ports::new(own.bind, &realm, rest)))
        };
        Self {
            v4: ports(realm.v4),
            v6: ports(realm.v6),
            former: Vec::new(),
            realm,
        }
    }

    fn become_of(&mut self, realm: Realm, rest: Duration, now: Timestamp) {
        if realm == self.realm {
            return;
        }
        let next = |before: &Option<Arc<Ports>>, address: Option<LocalAddress>| {
            let address = address?;
            match before {
                Some(ports) if ports.address == address.bind => {
                    ports.with(|pool| pool.take_range(realm.first_port, realm.last_port, now));
                    Some(Arc::clone(ports))
                }
                Some(_) | None => Some(Arc::new(Ports::new(address.bind, &realm, rest))),
            }
        };
        (self.v4, self.v6) = (next(&self.v4, realm.v4), next(&self.v6, realm.v6));
        self.former.push(std::mem::replace(&mut self.realm, realm));
        if self.former.len() > MOST_FORMER {
            self.former.remove(0);
        }
    }

    pub(crate) fn address(&self, family: Family) -> Option<LocalAddress> {
        match family {
            Family::V4 => self.realm.v4,
            Family::V6 => self.realm.v6,
        }
    }

    /// Its ports of a family, if it has an address of it.
    pub(crate) fn ports(&self, family: Family) -> Option<&Arc<Ports>> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    /// Whether a pair would be bound as it is if it were bound now.
    pub(crate) fn is_current(&self, lease: &Lease) -> bool {
        let has_ports = self.ports(lease.family);
        has_ports.is_some_and(|own| Arc::ptr_eq(own, &lease.ports) && own.holds(lease.port))
            && self.realm.dscp == lease.dscp
            && self
                .address(lease.family)
                .is_some_and(|own| own.advertised == lease.sockets.advertised_rtp.ip())
    }

    /// Pairs in use and pairs in all.
    pub(crate) fn usage(&self) -> (u64, u64) {
        let all = self.v4.iter().chain(&self.v6).map(|own| own.usage());
        all.fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1))
    }

    /// Pairs of one family in all.
    pub(crate) fn pairs(&self, family: Family) -> usize {
        self.ports(family)
            .map_or(0, |own| own.with(|pool| pool.total()))
    }
}

impl Ports {
    fn new(address: IpAddr, realm: &Realm, rest: Duration) -> Self {
        Self {
            address,
            pool: Mutex::new(PortPool::new(realm.first_port, realm.last_port, rest)),
            shelved: AtomicU64::new(0),
        }
    }

    pub(crate) fn take(
        &self,
        entropy: &mut Entropy,
        now: Timestamp,
        takes_last: bool,
    ) -> Option<u16> {
        self.with(|pool| pool.take(entropy, now, takes_last))
    }

    pub(crate) fn give_back(&self, port: u16, now: Timestamp) {
        self.with(|pool| pool.give_back(port, now));
    }

    /// Gives a pair back that still has to rest for a while.
    pub(crate) fn give_back_resting(&self, port: u16, now: Timestamp, rest: Duration) {
        self.with(|pool| pool.give_back_resting(port, now, rest));
    }

    fn holds(&self, port: u16) -> bool {
        self.with(|pool| pool.holds(port))
    }

    /// Whether so few pairs are free that none should be bound for nobody.
    pub(crate) fn are_scarce(&self) -> bool {
        self.with(|pool| pool.is_scarce())
    }

    /// How long a pair rests after its call.
    pub(crate) fn rest(&self) -> Duration {
        self.with(|pool| pool.rest())
    }

    fn usage(&self) -> (u64, u64) {
        // Ordering: a figure for people, exact when nothing changes.
        let shelved = self.shelved.load(Ordering::Relaxed);
        let (used, total) = self.with(|pool| (pool.used() as u64, pool.total() as u64));
        (used.saturating_sub(shelved), total)
    }

    /// A pair that was taken is bound for nobody.
    pub(crate) fn shelved(&self) {
        self.shelved.fetch_add(1, Ordering::Relaxed);
    }

    /// A pair that was bound for nobody is in use, or about to be closed.
    pub(crate) fn unshelved(&self) {
        self.shelved.fetch_sub(1, Ordering::Relaxed);
    }

    fn with<T>(&self, work: impl FnOnce(&mut PortPool) -> T) -> T {
        // A pool is consistent between any two of its statements, so a poisoned one is usable.
        work(&mut self.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::Family::V4;

    fn realm(id: u16, address: u8, ports: (u16, u16)) -> Realm {
        Realm {
            id: RealmId(id),
            v4: Some(LocalAddress {
                bind: [127, 0, 0, address].into(),
                advertised: [192, 0, 2, address].into(),
            }),
            v6: None,
            first_port: ports.0,
            last_port: ports.1,
            dscp: 46,
            backend: Backend::Sockets,
        }
    }

    #[test]
    fn realms_keep_their_places_and_calls_of_before_are_reached_where_they_are() {
        let first = [RealmPorts::new(
            realm(7, 1, (10_000, 10_099)),
            Duration::ZERO,
        )];
        let now = Timestamp(0);
        let wanted = vec![realm(3, 3, (20_000, 20_009)), realm(7, 2, (10_000, 10_099))];
        let second = following(&first, wanted, Duration::ZERO, now);
        let ids = |all: &[RealmPorts]| all.iter().map(|own| own.realm.id.0).collect::<Vec<_>>();
        assert_eq!(ids(&second), [7, 3]);
        let (old, new) = (first[0].ports(V4).unwrap(), second[0].ports(V4).unwrap());
        assert!(!Arc::ptr_eq(old, new), "another address has other ports");
        let at = |address: u8, port| SocketAddr::from(([192, 0, 2, address], port));
        let inside = |address: u8, port| SocketAddr::from(([127, 0, 0, address], port));
        assert_eq!(reached_at(&second, at(2, 10_020)), inside(2, 10_020));
        assert_eq!(reached_at(&second, at(1, 10_020)), inside(1, 10_020));
        assert_eq!(reached_at(&second, at(9, 10_020)), at(9, 10_020));

        let third = following(
            &second,
            vec![realm(7, 2, (10_000, 10_009))],
            Duration::ZERO,
            now,
        );
        assert_eq!(ids(&third), [7, 3]);
        assert!(Arc::ptr_eq(new, third[0].ports(V4).unwrap()));
        assert_eq!((third[0].pairs(V4), third[0].usage()), (5, (0, 5)));
        assert!(
            third[1].ports(V4).is_none() && third[1].address(V4).is_none(),
            "it is gone"
        );
    }
}
