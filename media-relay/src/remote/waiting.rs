//! What outlives a daemon that has vanished: its relay, what it had kept of its calls, and what it missed.
//!
//! A daemon that wants that may end in any way, and its sessions go on. Whoever comes next within the patience of the
//! host, for the same realms, gets them by name, each with what was kept of it last; sessions of which nothing was
//! kept were those of calls that nobody could go on with, and end with their daemon. What is kept stays in memory:
//! there are keys in it.

use super::message::{Kept, ToDaemon};
use super::queue::{MOST, Pushed, Queue};
use crate::control::Relay;
use crate::control::realm::Realm;
use media_api::{Command, Event, SessionId};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Octets that may wait for the daemon before no more reports of RTCP are told: what it must know has the rest.
const ROOM_FOR_REPORTS: usize = MOST / 8;
/// Most octets that are kept of one session.
pub(super) const MOST_OF_ONE: usize = 256 * 1024;
/// Most octets that are kept of all.
const MOST_OF_ALL: usize = 512 << 20;
/// Most events that are kept for whoever comes next.
const MOST_MISSED: usize = 100_000;

/// What runs for one daemon after the other.
pub(super) struct Estate {
    pub(super) relay: Arc<Relay>,
    pub(super) outlet: Arc<Outlet>,
    pub(super) realms: Vec<Realm>,
    pub(super) kept: Keepsakes,
}

/// What is kept of sessions, and how much that is.
#[derive(Default)]
pub(super) struct Keepsakes {
    of: HashMap<SessionId, Zeroizing<Vec<u8>>>,
    octets: usize,
}

impl Keepsakes {
    /// Keeps this of a session in place of what was kept before; of nothing nothing is kept. What is too much is not
    /// kept, and nothing older instead: what a call was is worse than nothing.
    pub(super) fn keep(&mut self, session: SessionId, octets: Vec<u8>) {
        let octets = Zeroizing::new(octets);
        self.forget(session);
        let sum = self.octets + octets.len();
        if octets.is_empty() || octets.len() > MOST_OF_ONE || sum > MOST_OF_ALL {
            return;
        }
        self.octets = sum;
        self.of.insert(session, octets);
    }

    fn forget(&mut self, session: SessionId) {
        if let Some(before) = self.of.remove(&session) {
            self.octets -= before.len();
        }
    }
}

/// Where the events of a relay go: to the daemon that is there, or into what it has missed.
#[derive(Default)]
pub(super) struct Outlet {
    told: Mutex<Told>,
    /// Reports that nobody was told of.
    unsaid: AtomicU64,
}

#[derive(Default)]
struct Told {
    to: Option<Line>,
    /// Sessions that the relay has.
    live: HashSet<SessionId>,
    missed: Vec<Event>,
}

struct Line {
    queue: Arc<Queue>,
    /// Ended when the daemon cannot be told what it must know.
    socket: UnixStream,
}

impl Outlet {
    /// Reports of RTCP that nobody was told of.
    pub(super) fn unsaid(&self) -> u64 {
        // Ordering: a number for itself.
        self.unsaid.load(Ordering::Relaxed)
    }

    /// Tells an event.
    pub(super) fn tell(&self, event: Event) {
        let mut told = self.lock();
        match &event {
            Event::Allocated { session, .. } => drop(told.live.insert(*session)),
            Event::Released { session, .. } | Event::Lost { session } => {
                told.live.remove(session);
            }
            _ => {}
        }
        let is_report = matches!(event, Event::Reported { .. } | Event::Tapped { .. });
        let Some(line) = &told.to else {
            if !is_report && told.missed.len() < MOST_MISSED {
                told.missed.push(event);
            }
            return;
        };
        let most = if is_report { ROOM_FOR_REPORTS } else { MOST };
        match (line.queue.push(&ToDaemon::Event(event), most), is_report) {
            (Pushed::Taken, _) => {}
            (Pushed::Full, true) => {
                // Ordering: a number for itself.
                self.unsaid.fetch_add(1, Ordering::Relaxed);
            }
            // A daemon that hears so little cannot be told what it must know.
            (Pushed::Full, false) => drop(line.socket.shutdown(Shutdown::Both)),
        }
    }

    /// From now on a daemon hears, and before anything else all that was kept and missed. What was missed of sessions
    /// of which nothing is kept concerns nobody.
    pub(super) fn link(&self, queue: &Arc<Queue>, socket: UnixStream, kept: &Keepsakes) {
        let mut told = self.lock();
        // In one order, whatever that of the table is.
        let of: BTreeMap<_, _> = kept.of.iter().collect();
        for (session, octets) in of {
            let one = Kept {
                session: *session,
                octets: octets.to_vec(),
                is_live: told.live.contains(session),
            };
            let _ = queue.push(&ToDaemon::Kept(one), usize::MAX);
        }
        let _ = queue.push(&ToDaemon::AllKept, usize::MAX);
        for event in std::mem::take(&mut told.missed) {
            if kept.of.contains_key(&event.session()) {
                let _ = queue.push(&ToDaemon::Event(event), usize::MAX);
            }
        }
        let queue = Arc::clone(queue);
        told.to = Some(Line { queue, socket });
    }

    /// Nobody hears any more. Returns the sessions that the relay has.
    fn unlink(&self) -> HashSet<SessionId> {
        let mut told = self.lock();
        told.to = None;
        told.live.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Estate {
    /// The daemon has vanished. Ends the sessions that nobody could go on with, and says how many wait.
    pub(super) fn is_left(&mut self) -> usize {
        self.relay.set_reports(false);
        let live = self.outlet.unlink();
        let (kept, lost): (Vec<SessionId>, Vec<SessionId>) = live
            .into_iter()
            .partition(|own| self.kept.of.contains_key(own));
        for session in lost {
            self.relay.command(Command::Release {
                session,
                endpoint: None,
                drain_ms: 0,
            });
        }
        kept.len()
    }
}

/// The one place where an estate waits.
#[derive(Default)]
pub(super) struct WaitingRoom {
    room: Mutex<Room>,
    changed: Condvar,
}

#[derive(Default)]
struct Room {
    /// With the number under which it came.
    waiting: Option<(u64, Estate)>,
    came: u64,
    is_closed: bool,
}

impl WaitingRoom {
    /// Lets an estate wait; returns the number to wait under.
    pub(super) fn enter(&self, estate: Estate) -> u64 {
        let mut room = self.lock();
        room.came += 1;
        let number = room.came;
        let before = room.waiting.replace((number, estate));
        drop(room);
        drop(before);
        number
    }

    /// Waits for so long until somebody takes the estate with this number, then ends it. Says whether it did.
    pub(super) fn expire(&self, number: u64, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut room = self.lock();
        let is_there = |room: &Room| matches!(&room.waiting, Some((own, _)) if *own == number);
        while is_there(&room) && !room.is_closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(room, left);
            room = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let over = room.waiting.take_if(|(own, _)| *own == number);
        drop(room);
        over.is_some()
    }

    /// What waits, if it is for these realms and somebody wants to go on with it. Everything else ends here: its
    /// ports are needed.
    pub(super) fn take(&self, adopts: bool, realms: &[Realm]) -> Option<Estate> {
        let (_, estate) = self.lock().waiting.take()?;
        self.changed.notify_all();
        (adopts && estate.realms == realms).then_some(estate)
    }

    /// Nobody comes any more.
    pub(super) fn close(&self) {
        let mut room = self.lock();
        room.is_closed = true;
        let over = room.waiting.take();
        drop(room);
        self.changed.notify_all();
        drop(over);
    }

    fn lock(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for WaitingRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let room = self.lock();
        f.debug_struct("WaitingRoom")
            .field("is_empty", &room.waiting.is_none())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_the_latest_and_what_is_too_much_is_not_kept() {
        let mut kept = Keepsakes::default();
        let session = SessionId::new(0, 1);
        kept.keep(session, vec![1; 10]);
        kept.keep(session, vec![2; 4]);
        assert_eq!((kept.octets, kept.of[&session][0]), (4, 2));
        // Of a call that has grown too large nothing older is told.
        kept.keep(session, vec![3; MOST_OF_ONE + 1]);
        assert_eq!((kept.octets, kept.of.len()), (0, 0));
        kept.keep(session, vec![4; 5]);
        kept.keep(session, Vec::new());
        assert_eq!((kept.octets, kept.of.len()), (0, 0));
    }
}
