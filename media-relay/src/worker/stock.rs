//! Port pairs that are bound before a call asks for them.
//!
//! Who sets up a call has its ports at once: to wake a worker and wait for its answer takes longer than
//! all that the relay does for the call. The worker binds pairs ahead, when it runs anyway or when its
//! stock runs low; packets that reach them meanwhile are read and forgotten.

use crate::control::realm::RealmPorts;
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
    pub(crate) sockets: StreamSockets,
}

/// What one worker has bound ahead. The worker fills it, whoever gives commands takes from it.
#[derive(Debug)]
pub(crate) struct Stock {
    realms: Arc<[RealmPorts]>,
    shelves: Vec<Shelf>,
    /// Something has run low since the worker last looked.
    is_wanted: AtomicBool,
    /// Allocations that the worker has to bind for and has not answered yet.
    unanswered: AtomicUsize,
    /// How many of them each session waits for.
    owed: Mutex<HashMap<SessionId, usize>>,
}

#[derive(Debug)]
struct Shelf {
    realm: usize,
    family: Family,
    room: usize,
    pairs: Mutex<Vec<Lease>>,
}

impl Stock {
    /// An empty stock of one of so many workers.
    pub(crate) fn new(realms: Arc<[RealmPorts]>, workers: usize) -> Self {
        let mut shelves = Vec::new();
        for (realm, ports) in realms.iter().enumerate() {
            for family in [Family::V4, Family::V6] {
                let room = (ports.pairs(family) / (SHARE * workers.max(1))).min(MOST);
                if room > 0 {
                    shelves.push(Shelf {
                        realm,
                        family,
                        room,
                        pairs: Mutex::default(),
                    });
                }
            }
        }
        Self {
            realms,
            shelves,
            is_wanted: AtomicBool::new(false),
            unanswered: AtomicUsize::new(0),
            owed: Mutex::default(),
        }
    }

    /// A pair for every stream, in order; `None`, and nothing taken, if one is lacking, or while the
    /// worker owes an answer: what a session asks for is answered in order.
    pub(crate) fn take(&self, specs: &[EndpointSpec]) -> Option<Vec<Lease>> {
        // Ordering: pairs with `answered`; none left means that all answers are out.
        if self.unanswered.load(Ordering::Acquire) > 0 {
            return None;
        }
        let mut taken = Vec::with_capacity(specs.len());
        for spec in specs {
            for _ in &spec.streams {
                match self.take_one(spec) {
                    Some(lease) => taken.push(lease),
                    None => {
                        taken.into_iter().for_each(|lease| self.put(lease));
                        return None;
                    }
                }
            }
        }
        Some(taken)
    }

    fn take_one(&self, spec: &EndpointSpec) -> Option<Lease> {
        let shelf = self.shelves.iter().find(|shelf| {
            shelf.family == spec.family && self.realms[shelf.realm].realm.id == spec.realm
        })?;
        let mut pairs = shelf.lock();
        let lease = pairs.pop();
        if pairs.len() * 2 < shelf.room {
            // Ordering: a hint; the worker looks by itself from time to time.
            self.is_wanted.store(true, Ordering::Relaxed);
        }
        if lease.is_some() {
            self.realms[shelf.realm].unshelved();
        }
        lease
    }

    /// Adds a pair.
    pub(crate) fn put(&self, lease: Lease) {
        let shelf = self
            .shelves
            .iter()
            .find(|shelf| shelf.realm == lease.realm && shelf.family == lease.family);
        if let Some(shelf) = shelf {
            self.realms[lease.realm].shelved();
            shelf.lock().push(lease);
        }
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
    /// makes none. What is lacking after `most` stays wanted.
    pub(crate) fn fill(
        &self,
        mut most: usize,
        mut bind: impl FnMut(usize, Family) -> Option<Lease>,
    ) {
        self.is_wanted.store(false, Ordering::Relaxed);
        for shelf in &self.shelves {
            while shelf.lock().len() < shelf.room {
                if most == 0 {
                    self.is_wanted.store(true, Ordering::Relaxed);
                    return;
                }
                most -= 1;
                let Some(lease) = bind(shelf.realm, shelf.family) else {
                    break;
                };
                self.put(lease);
            }
        }
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Vec<Lease>> {
        // A list is whole between any two statements.
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::realm::{LocalAddress, Realm};
    use crate::io::Backend;
    use crate::session::SocketId;
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
    fn bind(made: &mut u16, realm: usize, family: Family) -> Lease {
        *made += 2;
        Lease {
            realm,
            family,
            port: *made,
            sockets: StreamSockets {
                realm: RealmId(0),
                rtp: SocketId(u32::from(*made)),
                rtcp: SocketId(u32::from(*made) + 1),
                advertised_rtp: (HERE, *made).into(),
                advertised_rtcp: (HERE, *made + 1).into(),
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
            stock.fill(1000, |realm, family| Some(bind(&mut made, realm, family)));
            assert_eq!(usize::from(made), 2 * 2 * expected, "{last_port} {workers}");
        }
    }

    #[test]
    fn all_streams_get_a_pair_or_none_is_taken() {
        let (stock, mut made) = (Stock::new(realms(10_255), 1), 0);
        assert_eq!(stock.realms[0].pairs(Family::V4), 128);
        assert!(stock.take(&[spec(0, 0, 1)]).is_none());
        stock.fill(1000, |realm, family| Some(bind(&mut made, realm, family)));
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
    fn the_worker_is_wanted_when_less_than_half_is_left() {
        let (stock, mut made) = (Stock::new(realms(10_255), 1), 0);
        stock.fill(1000, |realm, family| Some(bind(&mut made, realm, family)));
        stock.take(&[spec(0, 0, 2)]).unwrap();
        assert!(!stock.is_wanted());
        stock.take(&[spec(0, 0, 1)]).unwrap();
        assert!(stock.is_wanted());
        stock.fill(2, |realm, family| Some(bind(&mut made, realm, family)));
        assert!(stock.is_wanted(), "one is still lacking");
        stock.fill(1000, |_, _| None);
        assert!(!stock.is_wanted(), "nothing more can be bound");
        assert_eq!(
            stock.take(&[spec(1, 0, 3)]).map(|taken| taken.len()),
            Some(3)
        );
    }
}
