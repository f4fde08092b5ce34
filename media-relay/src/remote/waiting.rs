//! What outlives a daemon that has vanished: its relay, what it had kept of its calls, and what it missed.
//!
//! A daemon that wants that may end in any way, and its sessions go on. Whoever comes next within the patience of the
//! host, for the same realms, gets them by name, each with what was kept of it last; sessions of which nothing was
//! kept were those of calls that nobody could go on with, and end with their daemon. What is kept stays in memory:
//! there are keys in it.

use super::form::digest_of;
use super::message::{Kept, ToDaemon};
use super::queue::{MOST, Pushed, Queue};
use crate::control::Relay;
use crate::control::realm::Realm;
use media_api::wire::Writer;
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
    pub(super) fn keep(&mut self, session: SessionId, octets: Zeroizing<Vec<u8>>) {
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
    /// How many times each has been asked to have ports and has not answered yet.
    asked: HashMap<SessionId, u32>,
    /// Those of a daemon that has vanished which are being ended: nobody hears of them, as the next one may give their
    /// numbers out again.
    disowned: HashSet<SessionId>,
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

    /// A command is about to be given.
    pub(super) fn asks(&self, command: &Command) {
        if let Command::Allocate { session, .. } = command {
            *self.lock().asked.entry(*session).or_default() += 1;
        }
    }

    /// Tells an event.
    pub(super) fn tell(&self, event: Event) {
        let mut told = self.lock();
        if told.note(&event) {
            return;
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

    /// From now on a daemon hears, and before anything else all that was kept and missed: no bound counts it, and its
    /// room is given up with it. What was missed of sessions of which nothing is kept concerns nobody.
    pub(super) fn link(&self, queue: &Arc<Queue>, socket: UnixStream, kept: &Keepsakes) {
        let mut told = self.lock();
        // In one order, whatever that of the table is.
        let of: BTreeMap<_, _> = kept.of.iter().collect();
        let mut out = Writer::default();
        for (session, octets) in of {
            let one = Kept {
                session: *session,
                octets: octets.to_vec(),
                is_live: told.live.contains(session),
            };
            out.frame(&ToDaemon::Kept(one));
        }
        out.frame(&ToDaemon::AllKept);
        for event in std::mem::take(&mut told.missed) {
            if kept.of.contains_key(&event.session()) {
                out.frame(&ToDaemon::Event(event));
            }
        }
        queue.push_large(out);
        let queue = Arc::clone(queue);
        told.to = Some(Line { queue, socket });
    }

    /// Nobody hears any more. Returns the sessions that the relay has or is about to have: how many of those of which
    /// something is kept, and all others, which are to be released now and of which nobody hears again.
    fn unlink(&self, kept: &Keepsakes) -> (usize, Vec<SessionId>) {
        let mut told = self.lock();
        told.to = None;
        let all: HashSet<SessionId> = told.live.iter().chain(told.asked.keys()).copied().collect();
        let is_kept = |own: &SessionId| kept.of.contains_key(own);
        let (kept, lost): (Vec<SessionId>, Vec<SessionId>) = all.into_iter().partition(is_kept);
        told.disowned.extend(&lost);
        (kept.len(), lost)
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// Takes note of an event; whether it is of a session that nobody is to hear of.
    fn note(&mut self, event: &Event) -> bool {
        let session = event.session();
        let is_disowned = self.disowned.contains(&session);
        match event {
            Event::Allocated { .. } => {
                self.answered(session);
                self.live.insert(session);
            }
            Event::Refused { endpoints, .. } if !endpoints.is_empty() => self.answered(session),
            // The relay did not have it.
            Event::Refused { .. } => drop(self.disowned.remove(&session)),
            Event::Released { .. } | Event::Lost { .. } => {
                self.live.remove(&session);
                self.disowned.remove(&session);
            }
            _ => {}
        }
        is_disowned
    }

    fn answered(&mut self, session: SessionId) {
        if let Some(asked) = self.asked.get_mut(&session) {
            *asked -= 1;
            if *asked == 0 {
                self.asked.remove(&session);
            }
        }
    }
}

impl Estate {
    /// The daemon has vanished. Ends the sessions that nobody could go on with, and says how many wait.
    pub(super) fn is_left(&mut self) -> usize {
        self.relay.set_reports(false);
        let (kept, lost) = self.outlet.unlink(&self.kept);
        for session in lost {
            // Behind what it was told before, its ports not answered yet included.
            self.relay.command(Command::Release {
                session,
                endpoint: None,
                drain_ms: 0,
            });
        }
        kept
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

    /// Digest of the realms of what waits.
    pub(super) fn realms(&self) -> Option<u64> {
        let room = self.lock();
        let waiting = room.waiting.as_ref();
        waiting.map(|(_, estate)| digest_of(&estate.realms))
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
        kept.keep(session, vec![1; 10].into());
        kept.keep(session, vec![2; 4].into());
        assert_eq!((kept.octets, kept.of[&session][0]), (4, 2));
        // Of a call that has grown too large nothing older is told.
        kept.keep(session, vec![3; MOST_OF_ONE + 1].into());
        assert_eq!((kept.octets, kept.of.len()), (0, 0));
        kept.keep(session, vec![4; 5].into());
        kept.keep(session, Vec::new().into());
        assert_eq!((kept.octets, kept.of.len()), (0, 0));
    }

    #[test]
    fn what_was_only_asked_for_ends_with_its_daemon_and_nobody_hears_of_it() {
        let outlet = Outlet::default();
        let [kept_one, asked, refused] = [1, 2, 3].map(|number| SessionId::new(0, number));
        let mut kept = Keepsakes::default();
        kept.keep(kept_one, vec![1].into());
        let allocate = |session| Command::Allocate {
            session,
            endpoints: Vec::new(),
        };
        let allocated = |session| Event::Allocated {
            session,
            endpoints: Vec::new(),
        };
        let not_there = |session, endpoints| Event::Refused {
            session,
            endpoints,
            why: media_api::AllocateError::Conflict,
        };
        for session in [kept_one, asked, refused] {
            outlet.asks(&allocate(session));
        }
        outlet.tell(allocated(kept_one));
        let (left, mut lost) = outlet.unlink(&kept);
        lost.sort_unstable();
        assert_eq!((left, lost), (1, vec![asked, refused]));
        // The worker comes to them now, and then to their release.
        outlet.tell(allocated(asked));
        outlet.tell(Event::Lost { session: asked });
        outlet.tell(not_there(refused, vec![media_api::EndpointId(0)]));
        outlet.tell(not_there(refused, Vec::new()));
        let told = outlet.lock();
        assert_eq!(told.live, HashSet::from([kept_one]));
        assert!(told.asked.is_empty() && told.disowned.is_empty());
        // Only what the next daemon may hear.
        assert_eq!(told.missed, [allocated(kept_one)]);
        drop(told);
        // Their numbers are given out again.
        outlet.asks(&allocate(asked));
        outlet.tell(allocated(asked));
        assert_eq!(outlet.lock().missed.len(), 2);
    }

    #[test]
    fn what_was_kept_takes_no_room_from_events() {
        let outlet = Outlet::default();
        let mut kept = Keepsakes::default();
        for number in 0..80 {
            kept.keep(SessionId::new(0, number), vec![7; MOST_OF_ONE].into());
        }
        let queue = Arc::new(Queue::default());
        let (ours, _theirs) = UnixStream::pair().unwrap();
        outlet.link(&queue, ours, &kept);
        let session = SessionId::new(0, 1);
        let event = ToDaemon::Event(Event::Lost { session });
        assert_eq!(queue.push(&event, 1), Pushed::Taken);
    }
}
