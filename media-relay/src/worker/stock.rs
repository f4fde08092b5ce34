//! Port pairs that are bound before a call asks for them.
//!
//! Who sets up a call has its ports at once: to wake a worker and wait for its answer takes longer than
//! all that the relay does for the call. The worker binds pairs ahead, when it runs anyway or when its
//! stock runs low; packets that reach them meanwhile are read and forgotten.

use crate::control::realm::{Ports, RealmPorts};
use crate::session::StreamSockets;
use media_api::{EndpointSpec, Family, SessionId};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Pairs of one realm and family that a worker binds ahead, at most.
const MOST: usize = 32;
/// All workers together bind at most one of so many pairs ahead.
const SHARE: usize = 32;

/// A port pair and the sockets on it.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Position of the realm among those of the relay.
    pub(crate) realm: usize,
    pub(crate) family: Family,
    /// The even port.
    pub(crate) port: u16,
    /// Of which it is one.
    pub(crate) ports: Arc<Ports>,
    /// DSCP that its sockets have.
    pub(crate) dscp: u8,
    pub(crate) sockets: StreamSockets,
}

/// What one worker has bound ahead. The worker fills it, whoever gives commands takes from it.
#[derive(Debug)]
pub(crate) struct Stock {
    /// Workers that share the ports.
    workers: usize,
    /// Held for a few instructions, never while a socket is bound.
    shelves: Mutex<Shelves>,
    /// Something has run low since the worker last looked.
    is_wanted: AtomicBool,
    /// Allocations that the worker has to bind for and has not answered yet.
    unanswered: AtomicUsize,
    /// How many of them each session waits for.
    owed: Mutex<HashMap<SessionId, usize>>,
}

#[derive(Debug)]
struct Shelves {
    realms: Arc<[RealmPorts]>,
    all: Vec<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    realm: usize,
    family: Family,
    room: usize,
    pairs: Vec<Lease>,
}

impl Shelves {
    /// Empty ones.
    fn new(realms: Arc<[RealmPorts]>, workers: usize) -> Self {
        let mut all = Vec::new();
        for (realm, ports) in realms.iter().enumerate() {
            for family in [Family::V4, Family::V6] {
                let room = (ports.pairs(family) / (SHARE * workers.max(1))).min(MOST);
                if room > 0 {
                    all.push(Shelf {
                        realm,
                        family,
                        room,
                        pairs: Vec::new(),
                    });
                }
            }
        }
        Self { realms, all }
    }

    /// Adds a pair, unless it would be bound otherwise now.
    fn put(&mut self, lease: Lease) -> Result<(), Lease> {
        let realm = self.realms.get(lease.realm);
        let shelf = self
            .all
            .iter_mut()
            .find(|shelf| shelf.realm == lease.realm && shelf.family == lease.family);
        match shelf {
            Some(shelf) if realm.is_some_and(|realm| realm.is_current(&lease)) => {
                lease.ports.shelved();
                shelf.pairs.push(lease);
                Ok(())
            }
            Some(_) | None => Err(lease),
        }
    }
}

impl Stock {
    /// An empty stock of one of so many workers.
    pub(crate) fn new(realms: Arc<[RealmPorts]>, workers: usize) -> Self {
        Self {
            workers,
            shelves: Mutex::new(Shelves::new(realms, workers)),
            is_wanted: AtomicBool::new(false),
            unanswered: AtomicUsize::new(0),
            owed: Mutex::default(),
        }
    }

    /// Has pairs of these realms from now on. Gives those back that would be bound otherwise now, to be closed.
    pub(crate) fn take_realms(&self, realms: Arc<[RealmPorts]>) -> Vec<Lease> {
        let mut shelves = self.lock();
        let before = std::mem::replace(&mut *shelves, Shelves::new(realms, self.workers));
        let pairs = before.all.into_iter().flat_map(|shelf| shelf.pairs);
        let pairs = pairs.inspect(|lease| lease.ports.unshelved());
        let stale = pairs.filter_map(|lease| shelves.put(lease).err()).collect();
        // Ordering: as in `take`.
        self.is_wanted.store(true, Ordering::Relaxed);
        stale
    }

    /// A pair for every stream, in order; `None`, and nothing taken, if one is lacking, or while the
    /// worker owes an answer: what a session asks for is answered in order.
    pub(crate) fn take(&self, specs: &[EndpointSpec]) -> Option<Vec<Lease>> {
        // Ordering: pairs with `answered`; none left means that all answers are out.
        if self.unanswered.load(Ordering::Acquire) > 0 {
            return None;
        }
        let mut shelves = self.lock();
        let mut taken: Vec<Lease> = Vec::with_capacity(specs.len());
        for spec in specs {
            for _ in &spec.streams {
                match self.take_one(&mut shelves, spec) {
                    Some(lease) => taken.push(lease),
                    None => {
                        // They were there a moment ago.
                        for lease in taken {
                            let _ = shelves.put(lease);
                        }
                        return None;
                    }
                }
            }
        }
        Some(taken)
    }

    fn take_one(&self, shelves: &mut Shelves, spec: &EndpointSpec) -> Option<Lease> {
        let Shelves { realms, all } = shelves;
        let shelf = all.iter_mut().find(|shelf| {
            shelf.family == spec.family
                && realms
                    .get(shelf.realm)
                    .is_some_and(|own| own.realm.id == spec.realm)
        })?;
        let lease = shelf.pairs.pop();
        if shelf.pairs.len() * 2 < shelf.room {
            // Ordering: a hint; the worker looks by itself from time to time.
            self.is_wanted.store(true, Ordering::Relaxed);
        }
        if let Some(lease) = &lease {
            lease.ports.unshelved();
        }
        lease
    }

    /// Adds a pair; gives it back, to be closed, if it would be bound otherwise now.
    pub(crate) fn put(&self, lease: Lease) -> Result<(), Lease> {
        self.lock().put(lease)
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        // Lists are whole between any two statements.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An allocation of a session is left to the worker.
    pub(crate) fn left_to_worker(&self, session: SessionId) {
        *self.owed().entry(session).or_default() += 1;
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a session waits for the worker's answer: what it is told now would overtake that.
    pub(crate) fn owes(&self, session: SessionId) -> bool {
        // Ordering: as in `take`.
        self.unanswered.load(Ordering::Acquire) > 0 && self.owed().contains_key(&session)
    }

    fn owed(&self) -> MutexGuard<'_, HashMap<SessionId, usize>> {
        // Counts are whole between any two statements.
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker has answered one of a session.
    pub(crate) fn answered(&self, session: SessionId) {
        if let Entry::Occupied(mut owed) = self.owed().entry(session) {
            *owed.get_mut() -= 1;
            if *owed.get() == 0 {
                owed.remove();
            }
        }
        let less = |count: usize| count.checked_sub(1);
        // Ordering: pairs with `take`.
        let _ = self
            .unanswered
            .fetch_update(Ordering::Release, Ordering::Relaxed, less);
    }

    /// Whether something has run low.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Adds pairs that `bind` makes of a realm and family until `most` were made, nothing is lacking, or it
    /// makes none. What is lacking after `most` stays wanted. Gives those back that nobody wants any more.
    pub(crate) fn fill(
        &self,
        mut most: usize,
        mut bind: impl FnMut(usize, Family) -> Option<Lease>,
    ) -> Vec<Lease> {
        self.is_wanted.store(false, Ordering::Relaxed);
        let mut unwanted = Vec::new();
        let mut at = 0;
        while let Some((realm, family, is_full)) = self.shelf(at) {
            if is_full {
                at += 1;
                continue;
            }
            if most == 0 {
                self.is_wanted.store(true, Ordering::Relaxed);
                break;
            }
            most -= 1;
            match bind(realm, family).map(|lease| self.put(lease)) {
                Some(Ok(())) => {}
                Some(Err(lease)) => unwanted.push(lease),
                None => at += 1,
            }
        }
        unwanted
    }

    /// What belongs on a shelf, and whether it is full.
    fn shelf(&self, at: usize) -> Option<(usize, Family, bool)> {
        let shelves = self.lock();
        let shelf = shelves.all.get(at)?;
        let is_full = shelf.pairs.len() >= shelf.room;
        Some((shelf.realm, shelf.family, is_full))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::realm::{LocalAddress, Realm, following};
    use crate::io::Backend;
    use crate::session::SocketId;
    use crate::time::Timestamp;
    use media_api::{EndpointId, ProtectionWanted, RealmId, StreamKind, StreamSpec};
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn realms(last_port: u16) -> Arc<[RealmPorts]> {
        let realm = |id| Realm {
            id: RealmId(id),
            v4: Some(LocalAddress::direct(HERE)),
            v6: None,
            first_port: 10_000,
            last_port,
            dscp: 46,
            backend: Backend::Sockets,
        };
        [0, 1]
            .map(|id| RealmPorts::new(realm(id), Duration::ZERO))
            .into()
    }

    /// A pair whose even port counts the pairs that were made.
    fn bind(stock: &Stock, made: &mut u16, realm: usize, family: Family) -> Lease {
        *made += 2;
        let own = stock.lock().realms[realm].clone();
        let ports = Arc::clone(own.ports(family).unwrap());
        let here = own.address(family).unwrap().advertised;
        Lease {
            realm,
            family,
            port: 10_000 + (*made % 64),
            ports,
            dscp: 46,
            sockets: StreamSockets {
                realm: RealmId(0),
                rtp: SocketId(u32::from(*made)),
                rtcp: SocketId(u32::from(*made) + 1),
                advertised_rtp: (here, *made).into(),
                advertised_rtcp: (here, *made + 1).into(),
            },
        }
    }

    fn spec(endpoint: u8, realm: u16, streams: usize) -> EndpointSpec {
        let stream = StreamSpec {
            kind: StreamKind::Audio,
            protection: ProtectionWanted::None,
            ice: None,
        };
        EndpointSpec {
            takes_last: false,
            endpoint: EndpointId(endpoint),
            realm: RealmId(realm),
            family: Family::V4,
            streams: vec![stream; streams],
        }
    }

    #[test]
    fn a_shelf_holds_a_share_of_the_range_and_each_worker_a_part_of_it() {
        for (last_port, workers, expected) in [
            (10_063, 1, 1),
            (10_061, 1, 0),
            (10_255, 2, 2),
            (30_000, 1, MOST),
        ] {
            let (stock, mut made) = (Stock::new(realms(last_port), workers), 0);
            stock.fill(1000, |realm, family| {
                Some(bind(&stock, &mut made, realm, family))
            });
            assert_eq!(usize::from(made), 2 * 2 * expected, "{last_port} {workers}");
        }
    }

    #[test]
    fn all_streams_get_a_pair_or_none_is_taken() {
        let (stock, mut made) = (Stock::new(realms(10_255), 1), 0);
        assert_eq!(stock.lock().realms[0].pairs(Family::V4), 128);
        assert!(stock.take(&[spec(0, 0, 1)]).is_none());
        stock.fill(1000, |realm, family| {
            Some(bind(&stock, &mut made, realm, family))
        });
        assert_eq!(made, 16, "four pairs of each realm");
        assert!(stock.take(&[spec(0, 0, 1), spec(1, 1, 5)]).is_none());
        assert!(stock.take(&[spec(0, 2, 1)]).is_none(), "no such realm");
        let taken = stock.take(&[spec(0, 1, 1), spec(1, 0, 4)]).unwrap();
        let realms: Vec<_> = taken.iter().map(|lease| lease.realm).collect();
        assert_eq!(realms, [1, 0, 0, 0, 0]);
        assert!(stock.take(&[spec(2, 0, 1)]).is_none());
        assert!(stock.take(&[spec(2, 1, 3)]).is_some());
    }

    #[test]
    fn other_realms_give_back_what_would_be_bound_otherwise_and_take_none_of_it() {
        let (stock, mut made) = (Stock::new(realms(10_255), 1), 0);
        stock.fill(1000, |realm, family| {
            Some(bind(&stock, &mut made, realm, family))
        });
        let before = Arc::clone(&stock.lock().realms);
        let late = bind(&stock, &mut made, 1, Family::V4);
        let mut wanted: Vec<Realm> = before.iter().map(|own| own.realm.clone()).collect();
        wanted[1].v4 = Some(LocalAddress::direct([127, 0, 0, 2].into()));
        let next = following(&before, wanted, Duration::ZERO, Timestamp(0));
        let stale = stock.take_realms(next);
        assert_eq!(
            stale.iter().map(|own| own.realm).collect::<Vec<_>>(),
            [1; 4]
        );
        assert!(stock.is_wanted());
        assert_eq!(stock.take(&[spec(0, 0, 4)]).map(|own| own.len()), Some(4));
        assert!(stock.take(&[spec(0, 1, 1)]).is_none(), "none is bound yet");
        // What was being bound meanwhile is for nobody.
        assert!(stock.put(late).is_err());
        let left = stock.fill(1000, |realm, family| {
            Some(bind(&stock, &mut made, realm, family))
        });
        assert!(left.is_empty());
        assert_eq!(stock.take(&[spec(0, 1, 4)]).map(|own| own.len()), Some(4));
    }

    #[test]
    fn the_worker_is_wanted_when_less_than_half_is_left() {
        let (stock, mut made) = (Stock::new(realms(10_255), 1), 0);
        stock.fill(1000, |realm, family| {
            Some(bind(&stock, &mut made, realm, family))
        });
        stock.take(&[spec(0, 0, 2)]).unwrap();
        assert!(!stock.is_wanted());
        stock.take(&[spec(0, 0, 1)]).unwrap();
        assert!(stock.is_wanted());
        stock.fill(2, |realm, family| {
            Some(bind(&stock, &mut made, realm, family))
        });
        assert!(stock.is_wanted(), "one is still lacking");
        stock.fill(1000, |_, _| None);
        assert!(!stock.is_wanted(), "nothing more can be bound");
        assert_eq!(
            stock.take(&[spec(1, 0, 3)]).map(|taken| taken.len()),
            Some(3)
        );
    }
}
