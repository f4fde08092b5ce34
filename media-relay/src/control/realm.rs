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
    /// Ports of addresses that it had before: sessions have some of them still, and others rest.
    kept: Vec<Arc<Ports>>,
    /// No configuration has it any more; calls that began with one that had go on asking for ports.
    is_gone: bool,
}

/// The ports of one address. Shared by all workers; the lock is held for a few instructions, when a session begins or
/// ends, and for longer when the range changes; never while packets are handled.
#[derive(Debug)]
pub(crate) struct Ports {
    address: IpAddr,
    pool: Mutex<PortPool>,
    /// Pairs that are bound for nobody: ahead, or while they rest.
    shelved: AtomicU64,
}

/// Ports that each of these realms, by family, is to have of those that are there, so that what is in use or rests is
/// known: its own at that address, of whatever time, or those of a realm that is gone.
fn chosen(before: &[RealmPorts], wanted: &[Realm]) -> Vec<[Option<Arc<Ports>>; 2]> {
    let is_wanted = |own: &&RealmPorts| wanted.iter().any(|realm| realm.id == own.realm.id);
    let mut taken: Vec<Arc<Ports>> = Vec::new();
    let mut of_realm = |realm: &Realm| {
        let own = before.iter().filter(|own| own.realm.id == realm.id);
        let gone = before.iter().filter(|own| !is_wanted(own));
        let others = before.iter().filter(is_wanted);
        let others = others.filter(|own| own.realm.id != realm.id && !own.is_gone);
        let others: Vec<_> = others.flat_map(RealmPorts::current).collect();
        let all: Vec<_> = own.chain(gone).flat_map(RealmPorts::known).collect();
        [realm.v4, realm.v6].map(|address| {
            let bind = address?.bind;
            let is_free = |ports: &&&Arc<Ports>| {
                ports.address == bind
                    && !taken.iter().any(|own| Arc::ptr_eq(own, ports))
                    && !others.iter().any(|own| Arc::ptr_eq(own, ports))
            };
            let found = Arc::clone(all.iter().find(is_free)?);
            taken.push(Arc::clone(&found));
            Some(found)
        })
    };
    wanted.iter().map(&mut of_realm).collect()
}

/// The first of these realms that would have ports of which sessions of another one may have some, or which rest.
pub(crate) fn in_the_way(before: &[RealmPorts], wanted: &[Realm]) -> Option<RealmId> {
    let conflicts = |(realm, pools): &(&Realm, [Option<Arc<Ports>>; 2])| {
        let mut all = [realm.v4, realm.v6].into_iter().zip(pools);
        all.any(|(address, own)| {
            let mut known = before.iter().flat_map(RealmPorts::known);
            known.any(|other| {
                address.is_some_and(|address| address.bind == other.address)
                    && own.as_ref().is_none_or(|own| !Arc::ptr_eq(own, other))
                    && other.with(|pool| pool.reaches(realm.first_port, realm.last_port))
            })
        })
    };
    let mut all = wanted.iter().zip(chosen(before, wanted));
    all.find(conflicts).map(|(realm, _)| realm.id)
}

/// The realms that come behind these: each in the place of the one with its name, new ones behind all, and those that are
/// gone where they are, as there are counters, pairs and calls of them.
pub(crate) fn following(
    before: &[RealmPorts],
    wanted: Vec<Realm>,
    rest: Duration,
    now: Timestamp,
) -> Arc<[RealmPorts]> {
    let chosen = chosen(before, &wanted);
    let mut all: Vec<RealmPorts> = before.to_vec();
    for own in &mut all {
        own.is_gone = wanted.iter().all(|realm| realm.id != own.realm.id);
    }
    for (realm, pools) in wanted.into_iter().zip(chosen) {
        match all.iter_mut().find(|own| own.realm.id == realm.id) {
            Some(own) => own.become_of(realm, pools, rest, now),
            None => all.push(RealmPorts::over(realm, pools, rest, now)),
        }
    }
    all.into()
}

impl RealmPorts {
    pub(crate) fn new(realm: Realm, rest: Duration) -> Self {
        Self::over(realm, [None, None], rest, Timestamp(0))
    }

    /// With these ports, where some are there already.
    fn over(realm: Realm, pools: [Option<Arc<Ports>>; 2], rest: Duration, now: Timestamp) -> Self {
        let [v4, v6] = pools;
        let ports = |address: Option<LocalAddress>, known: Option<Arc<Ports>>| {
            let bind = address?.bind;
            let (first, last) = (realm.first_port, realm.last_port);
            let known = known.inspect(|own| own.with(|pool| pool.take_range(first, last, now)));
            Some(known.unwrap_or_else(|| Arc::new(Ports::new(bind, &realm, rest))))
        };
        Self {
            v4: ports(realm.v4, v4),
            v6: ports(realm.v6, v6),
            former: Vec::new(),
            kept: Vec::new(),
            is_gone: false,
            realm,
        }
    }

    fn become_of(
        &mut self,
        realm: Realm,
        pools: [Option<Arc<Ports>>; 2],
        rest: Duration,
        now: Timestamp,
    ) {
        let has = |own: &Option<Arc<Ports>>, other: &Option<Arc<Ports>>| match (own, other) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (own, other) => own.is_none() && other.is_none(),
        };
        if realm == self.realm && has(&self.v4, &pools[0]) && has(&self.v6, &pools[1]) {
            // While it was gone another one may have had them.
            let (first, last) = (realm.first_port, realm.last_port);
            let all = self.current();
            all.for_each(|own| own.with(|pool| pool.take_range(first, last, now)));
            return;
        }
        let next = Self::over(realm, pools, rest, now);
        let before = std::mem::replace(self, next);
        let mut kept: Vec<Arc<Ports>> = before.known().cloned().collect();
        kept.retain(|own| self.current().all(|other| !Arc::ptr_eq(own, other)));
        self.kept = kept;
        self.former = before.former;
        self.former.push(before.realm);
        if self.former.len() > MOST_FORMER {
            self.former.remove(0);
        }
    }

    /// The ports that it has.
    fn current(&self) -> impl Iterator<Item = &Arc<Ports>> {
        self.v4.iter().chain(&self.v6)
    }

    /// Those, and the ones that it had.
    fn known(&self) -> impl Iterator<Item = &Arc<Ports>> {
        self.current().chain(&self.kept)
    }

    /// Whether no configuration has it any more.
    pub(crate) const fn is_gone(&self) -> bool {
        self.is_gone
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
        !self.is_gone
            && has_ports.is_some_and(|own| Arc::ptr_eq(own, &lease.ports) && own.holds(lease.port))
            && self.realm.dscp == lease.dscp
            && self
                .address(lease.family)
                .is_some_and(|own| own.advertised == lease.sockets.advertised_rtp.ip())
    }

    /// Pairs in use and pairs in all.
    pub(crate) fn usage(&self) -> (u64, u64) {
        let all = self.current().map(|own| own.usage());
        all.fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1))
    }

    /// Pairs of one family in all that new calls may have.
    pub(crate) fn pairs(&self, family: Family) -> usize {
        let ports = self.ports(family).filter(|_| !self.is_gone);
        ports.map_or(0, |own| own.with(|pool| pool.total()))
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
        assert_eq!((third[1].is_gone(), third[1].pairs(V4)), (true, 0));
        assert!(
            third[1].address(V4).is_some(),
            "calls that began there go on asking"
        );
    }

    /// What is in use or rests at an address is known whichever realm has it next, as after a rollback (MED-011).
    #[test]
    fn an_address_that_comes_back_has_its_ports_of_before() {
        let now = Timestamp(0);
        let one = |id, address| vec![realm(id, address, (10_000, 10_099))];
        let first = [RealmPorts::new(one(7, 1).remove(0), Duration::ZERO)];
        let own = Arc::clone(first[0].ports(V4).unwrap());
        let mut entropy = Entropy::from_seed([1; 32]);
        own.take(&mut entropy, now, true).unwrap();
        let second = following(&first, one(7, 2), Duration::ZERO, now);
        let third = following(&second, one(7, 1), Duration::ZERO, now);
        assert!(Arc::ptr_eq(&own, third[0].ports(V4).unwrap()));
        assert_eq!(third[0].usage(), (1, 50));
        // A realm with another name, in place of this one.
        assert_eq!(in_the_way(&third, &one(8, 1)), None);
        let renamed = following(&third, one(8, 1), Duration::ZERO, now);
        assert!(renamed[0].is_gone() && !renamed[1].is_gone());
        assert!(Arc::ptr_eq(&own, renamed[1].ports(V4).unwrap()));
        // And back: each has its own again, and never two that are there the same.
        let back = following(&renamed, one(7, 1), Duration::ZERO, now);
        assert!(Arc::ptr_eq(&own, back[0].ports(V4).unwrap()));
        let both = vec![realm(7, 1, (10_000, 10_099)), realm(8, 1, (20_000, 20_099))];
        let both = following(&back, both, Duration::ZERO, now);
        assert!(!Arc::ptr_eq(
            both[0].ports(V4).unwrap(),
            both[1].ports(V4).unwrap()
        ));
    }

    #[test]
    fn ports_do_not_move_from_one_realm_to_another_that_both_stay() {
        let first = [
            RealmPorts::new(realm(7, 1, (10_000, 14_999)), Duration::ZERO),
            RealmPorts::new(realm(8, 1, (15_000, 19_999)), Duration::ZERO),
        ];
        let with = |middle| {
            [
                realm(7, 1, (10_000, middle)),
                realm(8, 1, (middle + 1, 19_999)),
            ]
        };
        assert_eq!(in_the_way(&first, &with(14_999)), None);
        assert_eq!(in_the_way(&first, &with(12_999)), Some(RealmId(8)));
        let less = [realm(7, 1, (10_000, 12_999)), realm(8, 1, (15_000, 19_999))];
        assert_eq!(in_the_way(&first, &less), None);
        let swapped = [realm(7, 1, (15_000, 19_999)), realm(8, 1, (10_000, 14_999))];
        assert_eq!(in_the_way(&first, &swapped), Some(RealmId(7)));
    }
}
