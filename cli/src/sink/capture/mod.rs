//! Messages and media of calls that an operator wants to have as a file of packets (OPS-085, MED-364).
//!
//! One capture at a time, in memory, bounded in calls, octets and time; nothing is written to a disk. What a call is about
//! is known behind its first message: until then, or until it goes to the trunk that is wanted, its messages wait. Media
//! are copied by the relay for as long as it is told to, and never wait.

pub mod call;
mod pcapng;

use super::hep::Places;
use super::log::wall_clock;
use super::shown::shown;
use bytes::Bytes;
use media_api::{Command, SessionId, Tap, TappedPacket, Teller};
use sbc_core::event::{Event, Happened};
use sbc_core::id::{CallId, LegId, TrunkName};
use sbc_core::record::Record;
use sbc_core::time::UnixTime;
use sbc_core::transport::{Hop, Protocol};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Calls that one capture may take.
pub const MOST_CALLS: usize = 1_000;
/// How many it takes if nobody says so.
pub const USUAL_CALLS: usize = 10;
/// How long one may last.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How long one lasts if nobody says so.
pub const USUAL: Duration = Duration::from_secs(600);
/// Octets of messages that one takes.
const ROOM: usize = 16 << 20;
/// Calls that one may take with their media.
pub const MOST_CALLS_WITH_MEDIA: usize = 50;
/// Octets of media that one takes.
const MEDIA_ROOM: usize = 64 << 20;
/// Packets that are copied at a time: shards wait for it.
const AT_ONCE: usize = 1_000;
/// Media sessions that are known, and calls whose records are to say that they were captured.
const SESSIONS: usize = 2_048;
/// What a message takes besides its text.
const PACKET_BYTES: usize = 200;
/// Calls of which it is not known yet whether they are meant; the oldest are forgotten first.
const WAITING: usize = 256;
/// Octets of their messages.
const WAITING_BYTES: usize = 2 << 20;

/// What is wanted. What is not said may be anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Calls that come from this trunk or go to it.
    pub trunk: Option<TrunkName>,
    /// Calls from or to numbers that begin so.
    pub number: Option<String>,
    /// So many calls, the first ones.
    pub calls: usize,
    /// What of their media; nothing leaves them out.
    pub media: Option<Tap>,
}

/// A capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Which one since the start of the daemon.
    pub number: u64,
    /// What was wanted.
    pub wish: Wish,
    /// How much longer; nothing if it is over.
    pub left: Option<Duration>,
    /// Calls that it has met.
    pub calls: usize,
    /// Messages of these.
    pub messages: usize,
    /// Packets of their media.
    pub media_packets: usize,
    /// Octets of both.
    pub bytes: usize,
    /// Messages and packets for which there was no room or no time.
    pub left_out: u64,
}

/// What one has taken, as a file of pcapng without secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// Which one, as [`Captures::begin`] has numbered it.
    pub number: u64,
    /// What was wanted of it.
    pub wish: Wish,
    /// The file.
    pub file: Vec<u8>,
}

/// A capture goes on already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a capture goes on already: stop it first (causeway capture stop)")]
pub struct GoesOn;

/// Where orders to the relay go. Must not wait.
pub type Orders = Box<dyn Fn(Command) + Send + Sync>;

/// Takes messages while somebody wants it. Cheap to clone.
#[derive(Clone, Default)]
pub struct Captures(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_on: AtomicBool,
    is_paused: AtomicBool,
    places: OnceLock<Places>,
    relay: OnceLock<Orders>,
    /// Calls of which media were taken, until their records are written.
    heard: Mutex<BTreeMap<CallId, Tap>>,
    capture: Mutex<Option<Capture>>,
}

struct Capture {
    number: u64,
    wish: Wish,
    until: Instant,
    is_over: bool,
    calls: BTreeSet<CallId>,
    packets: Vec<Packet>,
    bytes: usize,
    media_bytes: usize,
    media_packets: usize,
    /// Whose a media session is, and whether the relay copies it.
    sessions: BTreeMap<SessionId, (CallId, bool)>,
    orders: Vec<Command>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    left_out: u64,
}

/// A call that may still be meant.
struct Waiting {
    call: CallId,
    packets: Vec<Packet>,
    /// Its numbers are those that are wanted, and it may go to the trunk.
    is_admitted: bool,
}

#[derive(Clone)]
struct Packet {
    at: UnixTime,
    call: CallId,
    leg: Option<LegId>,
    source: SocketAddr,
    target: SocketAddr,
    protocol: Protocol,
    bytes: Bytes,
    /// Of media, the octets that the packet had.
    media: Option<usize>,
}

impl Packet {
    fn size(&self) -> usize {
        self.bytes.len() + PACKET_BYTES
    }
}

impl Captures {
    /// How it is found out where messages leave from.
    pub fn set_places(&self, places: Places) {
        // Said once, at the start.
        let _ = self.0.places.set(places);
    }

    /// Who copies media.
    pub fn set_relay(&self, relay: Orders) {
        // Said once, at the start.
        let _ = self.0.relay.set(relay);
    }

    /// Takes nothing while there are more important things to do, or goes on.
    pub fn pause(&self, is_paused: bool) {
        // Ordering: a message more or less.
        self.0.is_paused.store(is_paused, Ordering::Relaxed);
    }

    /// Begins; what an earlier capture has taken is forgotten. Which one it is since the start of the daemon.
    ///
    /// # Errors
    /// If one goes on.
    pub fn begin(&self, wish: Wish, lasts: Duration) -> Result<u64, GoesOn> {
        let mut capture = self.lock();
        if capture.as_mut().is_some_and(|own| !own.is_over()) {
            return Err(GoesOn);
        }
        let number = capture.as_ref().map_or(0, |before| before.number) + 1;
        *capture = Some(Capture {
            number,
            wish,
            until: Instant::now() + lasts.min(LONGEST),
            is_over: false,
            calls: BTreeSet::new(),
            packets: Vec::new(),
            bytes: 0,
            media_bytes: 0,
            media_packets: 0,
            sessions: BTreeMap::new(),
            orders: Vec::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            left_out: 0,
        });
        // Ordering: the lock publishes the rest.
        self.0.is_on.store(true, Ordering::Relaxed);
        Ok(number)
    }

    /// Ends; what was taken stays until another one begins.
    pub fn stop(&self) {
        self.0.is_on.store(false, Ordering::Relaxed);
        let mut held = self.lock();
        let Some(own) = held.as_mut() else {
            return;
        };
        own.end();
        let orders = std::mem::take(&mut own.orders);
        drop(held);
        self.order(orders);
    }

    /// How it stands; nothing if there was none.
    pub fn standing(&self) -> Option<Standing> {
        let mut capture = self.lock();
        let own = capture.as_mut()?;
        let left = (!own.is_over()).then(|| own.until.saturating_duration_since(Instant::now()));
        Some(Standing {
            number: own.number,
            wish: own.wish.clone(),
            left,
            calls: own.calls.len(),
            messages: own.packets.len() - own.media_packets,
            media_packets: own.media_packets,
            bytes: own.bytes + own.media_bytes - own.packets.len() * PACKET_BYTES,
            left_out: own.left_out,
        })
    }

    /// What was taken so far, as a file of pcapng without secrets; nothing if there was no capture. Takes a while.
    pub fn file(&self) -> Option<Taken> {
        self.file_by(|| ())
    }

    /// The same, with something that is done after each piece.
    fn file_by(&self, mut between: impl FnMut()) -> Option<Taken> {
        let (mut number, mut packets) = (0, Vec::new());
        let wish = loop {
            let held = self.lock();
            let own = held.as_ref()?;
            if own.number != number {
                // Nothing of one that was is told as of another.
                (number, packets) = (own.number, Vec::new());
            }
            // Nothing goes before another one begins.
            let rest = own.packets.get(packets.len()..).unwrap_or_default();
            packets.extend(rest.iter().take(AT_ONCE).cloned());
            if rest.len() <= AT_ONCE {
                break own.wish.clone();
            }
            // Room for them is made without it.
            let missing = rest.len() - AT_ONCE;
            drop(held);
            packets.reserve(missing);
            between();
        };
        // Those that waited came in behind.
        packets.sort_by_key(|packet| packet.at);
        let mut file = pcapng::File::new(concat!("causeway ", env!("CARGO_PKG_VERSION")));
        for own in &packets {
            let comment = match own.leg {
                Some(leg) => format!("call {} leg {}", own.call, leg.0),
                None => format!("call {}", own.call),
            };
            let text = own.media.is_none().then(|| shown(&own.bytes));
            let payload = text.as_ref().map_or(&own.bytes[..], |text| text.as_bytes());
            file.add(&pcapng::Packet {
                at: own.at,
                source: own.source,
                target: own.target,
                protocol: own.protocol,
                payload,
                missing: own
                    .media
                    .map_or(0, |whole| whole.saturating_sub(payload.len())),
                comment: &comment,
            });
        }
        let file = file.end();
        Some(Taken { number, wish, file })
    }

    /// Takes what an event shows.
    pub fn event(&self, event: &Event) {
        let (true, Some(call)) = (self.is_on(), event.call) else {
            return;
        };
        match &event.what {
            Happened::Received {
                protocol,
                local,
                remote,
                bytes,
            } => {
                let packet = Packet {
                    at: event.at,
                    call,
                    leg: event.leg,
                    source: *remote,
                    target: *local,
                    protocol: *protocol,
                    bytes: bytes.clone(),
                    media: None,
                };
                self.take(packet, bytes.starts_with(b"INVITE "));
            }
            Happened::Admitted {
                trunk,
                calling,
                called,
                ..
            } => self.with(|own| own.admitted(call, trunk, [calling, called])),
            Happened::AttemptStarted { trunk, .. } => self.with(|own| own.goes_to(call, trunk)),
            Happened::Media(media_api::Event::Allocated { session, .. }) => {
                self.with(|own| own.has_media(call, *session));
            }
            Happened::Ended(_) => self.with(|own| {
                own.waited(call);
                own.sessions.retain(|_, (of, _)| *of != call);
            }),
            _ => {}
        }
    }

    /// Takes a message that leaves for a call.
    pub fn sent(&self, call: CallId, leg: LegId, hop: &Hop, bytes: &Bytes) {
        if !self.is_on() {
            return;
        }
        let is_meant = |own: &mut Capture| own.knows(call);
        if !self.lock().as_mut().is_some_and(is_meant) {
            return;
        }
        // Asked of the sockets now, as a connection may be gone later; calls that are captured are few.
        let places = self.0.places.get();
        let Some(local) = places.and_then(|places| places(hop)) else {
            return;
        };
        let packet = Packet {
            at: wall_clock(),
            call,
            leg: Some(leg),
            source: local,
            target: hop.remote,
            protocol: hop.protocol,
            bytes: bytes.clone(),
            media: None,
        };
        self.take(packet, false);
    }

    /// Takes a copy of a packet of media. Where nobody wants it any more, the relay is told so.
    pub fn media(&self, session: SessionId, packet: TappedPacket) {
        let (source, target) = match packet.teller {
            Teller::Peer => (packet.remote, packet.local),
            Teller::Us => (packet.local, packet.remote),
        };
        // Ordering: a packet more or less.
        let is_paused = self.0.is_paused.load(Ordering::Relaxed);
        let mut of = None;
        self.with(|own| {
            of = own.copied(session);
            match of {
                Some(_) if is_paused => own.left_out += 1,
                Some((call, _)) => own.keep(Packet {
                    at: wall_clock(),
                    call,
                    leg: None,
                    source,
                    target,
                    protocol: Protocol::Udp,
                    bytes: packet.octets.into(),
                    media: Some(usize::from(packet.length)),
                }),
                None => {}
            }
        });
        match of {
            Some((call, tap)) => {
                let mut heard = self.heard();
                if heard.len() < SESSIONS {
                    heard.insert(call, tap);
                }
            }
            None => self.order(vec![Command::Tap { session, tap: None }]),
        }
    }

    /// The record of a call that has ended, which says whether its media were captured.
    pub fn marked(&self, record: &Arc<Record>) -> Arc<Record> {
        let mut record = Arc::clone(record);
        if let Some(tap) = self.heard().remove(&record.call) {
            Arc::make_mut(&mut record).media_captured = Some(name(tap));
        }
        record
    }

    fn order(&self, orders: Vec<Command>) {
        if let Some(relay) = self.0.relay.get() {
            orders.into_iter().for_each(relay);
        }
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<CallId, Tap>> {
        let heard = &self.0.heard;
        heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, packet: Packet, may_begin: bool) {
        // Ordering: a message more or less.
        let is_paused = self.0.is_paused.load(Ordering::Relaxed);
        self.with(|own| match is_paused {
            true => own.left_out += u64::from(own.knows(packet.call)),
            false => own.take(packet, may_begin),
        });
    }

    fn is_on(&self) -> bool {
        // Ordering: a message more or less.
        self.0.is_on.load(Ordering::Relaxed)
    }

    fn with(&self, work: impl FnOnce(&mut Capture)) {
        let mut held = self.lock();
        let Some(own) = held.as_mut() else {
            return;
        };
        match own.is_over() {
            true => self.0.is_on.store(false, Ordering::Relaxed),
            false => work(own),
        }
        let orders = std::mem::take(&mut own.orders);
        drop(held);
        self.order(orders);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Capture>> {
        self.0
            .capture
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Capture {
    fn is_over(&mut self) -> bool {
        if !self.is_over && Instant::now() >= self.until {
            self.end();
        }
        self.is_over
    }

    fn end(&mut self) {
        self.is_over = true;
        self.waiting.clear();
        self.waiting_bytes = 0;
        let copied = std::mem::take(&mut self.sessions).into_iter();
        let stops = copied.filter(|(_, (_, is_copied))| *is_copied);
        self.orders
            .extend(stops.map(|(session, _)| Command::Tap { session, tap: None }));
    }

    /// A call has a media session.
    fn has_media(&mut self, call: CallId, session: SessionId) {
        if self.wish.media.is_none() || !self.knows(call) || self.sessions.len() >= SESSIONS {
            return;
        }
        self.sessions.entry(session).or_insert((call, false));
        if self.calls.contains(&call) {
            self.copy(call);
        }
    }

    /// Has the media of a call copied, as far as they are known.
    fn copy(&mut self, call: CallId) {
        let tap = self.wish.media;
        for (session, (_, is_copied)) in self.sessions.iter_mut().filter(|own| own.1.0 == call) {
            if !std::mem::replace(is_copied, true) {
                let session = *session;
                self.orders.push(Command::Tap { session, tap });
            }
        }
    }

    /// The call whose media are copied in a session, and what of them.
    fn copied(&self, session: SessionId) -> Option<(CallId, Tap)> {
        let (call, is_copied) = self.sessions.get(&session)?;
        is_copied.then_some((*call, self.wish.media?))
    }

    /// Whether messages of a call are taken, or wait.
    fn knows(&self, call: CallId) -> bool {
        self.calls.contains(&call) || self.waiting.iter().any(|own| own.call == call)
    }

    fn take(&mut self, packet: Packet, may_begin: bool) {
        if self.calls.contains(&packet.call) {
            return self.keep(packet);
        }
        let size = packet.size();
        let known = self.waiting.iter_mut().find(|own| own.call == packet.call);
        match known {
            Some(own) => own.packets.push(packet),
            None if may_begin && self.calls.len() < self.wish.calls => {
                self.waiting.push_back(Waiting {
                    call: packet.call,
                    packets: vec![packet],
                    is_admitted: false,
                });
            }
            None => return,
        }
        self.waiting_bytes += size;
        while self.waiting.len() > WAITING || self.waiting_bytes > WAITING_BYTES {
            let Some(oldest) = self.waiting.front().map(|own| own.call) else {
                return;
            };
            self.waited(oldest);
        }
    }

    fn keep(&mut self, packet: Packet) {
        let size = packet.size();
        let (taken, room) = match packet.media {
            Some(_) => (&mut self.media_bytes, MEDIA_ROOM),
            None => (&mut self.bytes, ROOM),
        };
        if *taken + size > room {
            self.left_out += 1;
            return;
        }
        *taken += size;
        self.media_packets += usize::from(packet.media.is_some());
        self.packets.push(packet);
    }

    /// What a call is about is known.
    fn admitted(&mut self, call: CallId, trunk: &TrunkName, numbers: [&String; 2]) {
        let number = self.wish.number.as_ref();
        let is_number = number.is_none_or(|begin| {
            let mut numbers = numbers.into_iter();
            numbers.any(|own| own.starts_with(begin.as_str()))
        });
        if !is_number {
            self.waited(call);
        } else if self.wish.trunk.as_ref().is_none_or(|own| own == trunk) {
            self.begins(call);
        } else if let Some(own) = self.waiting.iter_mut().find(|own| own.call == call) {
            own.is_admitted = true;
        }
    }

    fn goes_to(&mut self, call: CallId, trunk: &TrunkName) {
        let mut waiting = self.waiting.iter();
        let is_meant = waiting.any(|own| own.call == call && own.is_admitted);
        if is_meant && self.wish.trunk.as_ref() == Some(trunk) {
            self.begins(call);
        }
    }

    /// A call is meant.
    fn begins(&mut self, call: CallId) {
        let packets = self.waited(call);
        if self.calls.len() < self.wish.calls {
            self.calls.insert(call);
            for packet in packets {
                self.keep(packet);
            }
            self.copy(call);
        }
    }

    /// A call waits no more.
    fn waited(&mut self, call: CallId) -> Vec<Packet> {
        let at = self.waiting.iter().position(|own| own.call == call);
        let own = at.and_then(|at| self.waiting.remove(at));
        let packets = own.map_or_else(Vec::new, |own| own.packets);
        let size: usize = packets.iter().map(Packet::size).sum();
        self.waiting_bytes = self.waiting_bytes.saturating_sub(size);
        packets
    }
}

/// As operators and records name it.
pub const fn name(tap: Tap) -> &'static str {
    match tap {
        Tap::Headers => "headers",
        Tap::Whole => "full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::id::ListenerName;

    fn wish(trunk: Option<&str>, number: Option<&str>, calls: usize) -> Wish {
        Wish {
            trunk: trunk.map(TrunkName::new),
            number: number.map(str::to_owned),
            calls,
            media: None,
        }
    }

    fn captures() -> Captures {
        let captures = Captures::default();
        captures.set_places(Arc::new(|_| Some(LOCAL.parse().unwrap())));
        captures
    }

    const LOCAL: &str = "192.0.2.10:5060";
    const KEY: &str = "INVITE sip:a SIP/2.0\r\n\r\na=crypto:1 X inline:QUJD\r\n";

    fn tell(captures: &Captures, call: u128, what: Happened) {
        captures.event(&Event {
            at: wall_clock(),
            call: Some(CallId(call)),
            leg: Some(LegId(0)),
            what,
        });
    }

    fn came(captures: &Captures, call: u128, text: &str) {
        let what = Happened::Received {
            protocol: Protocol::Udp,
            local: LOCAL.parse().unwrap(),
            remote: "198.51.100.7:5060".parse().unwrap(),
            bytes: Bytes::from(text.to_owned()),
        };
        tell(captures, call, what);
    }

    fn admitted(captures: &Captures, call: u128, trunk: &str, called: &str) {
        let what = Happened::Admitted {
            tenant: None,
            trunk: TrunkName::new(trunk),
            calling: "+441632960001".to_owned(),
            called: called.to_owned(),
        };
        tell(captures, call, what);
    }

    fn goes_to(captures: &Captures, call: u128, trunk: &str) {
        let what = Happened::AttemptStarted {
            trunk: TrunkName::new(trunk),
            host: "sip.example.com".to_owned(),
            remote: "198.51.100.8:5060".parse().unwrap(),
            protocol: Protocol::Udp,
        };
        tell(captures, call, what);
    }

    fn went(captures: &Captures, call: u128) {
        let hop = Hop {
            listener: ListenerName::new("l"),
            protocol: Protocol::Udp,
            remote: "198.51.100.8:5060".parse().unwrap(),
            tls: None,
            flow: None,
        };
        let bytes = Bytes::from_static(b"SIP/2.0 100 Trying\r\n\r\n");
        captures.sent(CallId(call), LegId(1), &hop, &bytes);
    }

    fn standing(captures: &Captures) -> Standing {
        captures.standing().unwrap()
    }

    #[test]
    fn a_call_of_the_numbers_and_the_trunk_is_taken_from_its_first_message_on_and_others_are_not() {
        let captures = captures();
        let wanted = wish(Some("teams"), Some("+4930"), 10);
        captures.begin(wanted, USUAL).unwrap();
        // To the trunk; not that number; never to the trunk; one that was there before.
        for (call, called) in [(1, "+49301"), (2, "+49401"), (3, "+49302")] {
            came(&captures, call, KEY);
            admitted(&captures, call, "carrier", called);
            went(&captures, call);
        }
        assert_eq!(standing(&captures).messages, 0);
        goes_to(&captures, 1, "teams");
        goes_to(&captures, 2, "teams");
        goes_to(&captures, 3, "other");
        came(&captures, 4, "BYE sip:a SIP/2.0\r\n\r\n");
        for call in [1, 2, 3, 4] {
            went(&captures, call);
        }
        let now = standing(&captures);
        assert_eq!((now.calls, now.messages, now.left_out), (1, 3, 0));
        let file = captures.file().unwrap().file;
        let has = |text: &[u8]| file.windows(text.len()).any(|part| part == text);
        assert!(has(format!("call {} leg 0", CallId(1)).as_bytes()));
        assert!(has(b"inline:<secret>") && !has(b"QUJD"));
        assert!(!has(CallId(3).to_string().as_bytes()));
    }

    #[test]
    fn a_capture_is_bounded_in_calls_octets_and_those_that_wait() {
        let captures = captures();
        captures.begin(wish(None, None, 2), USUAL).unwrap();
        for call in 0..1_000 {
            came(&captures, call, KEY);
        }
        assert_eq!(captures.lock().as_ref().unwrap().waiting.len(), WAITING);
        for call in 990..1_000 {
            admitted(&captures, call, "carrier", "+1");
        }
        assert_eq!(
            (standing(&captures).calls, standing(&captures).messages),
            (2, 2)
        );
        let long = "x".repeat(60_000);
        for _ in 0..400 {
            came(&captures, 990, &long);
        }
        let now = standing(&captures);
        assert!(now.bytes <= ROOM && now.left_out > 100, "{now:?}");
        captures.pause(true);
        came(&captures, 990, "x");
        assert_eq!(standing(&captures).left_out, now.left_out + 1);
        captures.pause(false);
        let before = captures.lock().as_ref().unwrap().waiting_bytes;
        tell(
            &captures,
            999,
            Happened::Ended(Arc::new(crate::sink::fixture::record(999))),
        );
        came(&captures, 5_000, &format!("INVITE {long}"));
        let held = captures.lock();
        let own = held.as_ref().unwrap();
        let sum: usize = own
            .waiting
            .iter()
            .flat_map(|own| &own.packets)
            .map(Packet::size)
            .sum();
        assert_eq!(own.waiting_bytes, sum);
        assert!(before <= WAITING_BYTES);
    }

    fn copy(octets: &[u8]) -> TappedPacket {
        TappedPacket {
            teller: Teller::Peer,
            local: "203.0.113.1:20000".parse().unwrap(),
            remote: "198.51.100.7:4000".parse().unwrap(),
            length: 172,
            octets: octets.to_vec(),
        }
    }

    /// MED-364.
    #[test]
    fn media_are_copied_for_calls_that_are_meant_until_it_is_over_and_their_records_say_so() {
        let captures = captures();
        let orders = Arc::new(Mutex::new(Vec::new()));
        let given = Arc::clone(&orders);
        captures.set_relay(Box::new(move |order| given.lock().unwrap().push(order)));
        let given = || std::mem::take(&mut *orders.lock().unwrap());
        let session = |number| SessionId::new(0, number);
        let has_media = |call: u128, number| {
            let what = Happened::Media(media_api::Event::Allocated {
                session: session(number),
                endpoints: Vec::new(),
            });
            tell(&captures, call, what);
        };
        // Without the wish nothing is copied.
        captures.begin(wish(None, None, 1), USUAL).unwrap();
        came(&captures, 9, KEY);
        admitted(&captures, 9, "carrier", "+1");
        has_media(9, 9);
        captures.stop();
        assert_eq!(given(), []);

        let wanted = Wish {
            media: Some(Tap::Headers),
            ..wish(Some("teams"), None, 1)
        };
        captures.begin(wanted, USUAL).unwrap();
        for call in [1, 2] {
            came(&captures, call, KEY);
            admitted(&captures, call, "carrier", "+1");
            has_media(call, call as u64);
        }
        assert_eq!(given(), [], "nobody knows yet where they go");
        goes_to(&captures, 1, "teams");
        goes_to(&captures, 2, "other");
        let begins = Command::Tap {
            session: session(1),
            tap: Some(Tap::Headers),
        };
        assert_eq!(given(), [begins]);
        captures.media(session(1), copy(&[0x80; 12]));
        captures.pause(true);
        captures.media(session(1), copy(&[0x80; 12]));
        captures.pause(false);
        let now = standing(&captures);
        assert_eq!((now.messages, now.media_packets, now.left_out), (1, 1, 1));
        // Whatever is copied without being meant is no longer.
        captures.media(session(2), copy(&[0x80; 12]));
        let ends = |number| Command::Tap {
            session: session(number),
            tap: None,
        };
        assert_eq!(given(), [ends(2)]);
        captures.stop();
        assert_eq!(given(), [ends(1)]);
        captures.media(session(1), copy(&[0x80; 12]));
        assert_eq!(given(), [ends(1)], "it was on its way");
        assert_eq!(standing(&captures).media_packets, 1);
        let record = |call| Arc::new(crate::sink::fixture::record(call));
        assert_eq!(captures.marked(&record(1)).media_captured, Some("headers"));
        assert_eq!(captures.marked(&record(2)).media_captured, None);
        assert_eq!(
            captures.marked(&record(1)).media_captured,
            None,
            "told once"
        );
        assert!(captures.file().is_some());
    }

    #[test]
    fn a_file_is_of_one_capture_though_another_begins_while_it_is_made() {
        let captures = captures();
        captures.begin(wish(None, None, 1), USUAL).unwrap();
        came(&captures, 1, KEY);
        admitted(&captures, 1, "carrier", "+1");
        for _ in 0..2 * AT_ONCE {
            came(&captures, 1, "OPTIONS sip:old SIP/2.0\r\n\r\n");
        }
        let mut pieces = 0;
        let whole = captures.file_by(|| pieces += 1).unwrap();
        assert_eq!((whole.number, pieces), (1, 2));
        let count =
            |file: &[u8], text: &[u8]| file.windows(text.len()).filter(|own| own == &text).count();
        assert_eq!(count(&whole.file, b"sip:old"), 2 * AT_ONCE);
        let taken = captures.file_by(|| {
            captures.stop();
            let number = captures.begin(wish(Some("teams"), None, 1), USUAL);
            assert_eq!(number, Ok(2));
        });
        let taken = taken.unwrap();
        assert_eq!(taken.wish, wish(Some("teams"), None, 1));
        assert_eq!((taken.number, count(&taken.file, b"sip:old")), (2, 0));
    }

    #[test]
    fn copied_media_are_bounded() {
        let captures = captures();
        captures.set_relay(Box::new(|_| ()));
        let wanted = Wish {
            media: Some(Tap::Whole),
            ..wish(None, None, 1)
        };
        captures.begin(wanted, USUAL).unwrap();
        came(&captures, 1, KEY);
        admitted(&captures, 1, "carrier", "+1");
        let session = SessionId(1);
        let what = Happened::Media(media_api::Event::Allocated {
            session,
            endpoints: Vec::new(),
        });
        tell(&captures, 1, what);
        for _ in 0..1_200 {
            captures.media(session, copy(&[0x80; 60_000]));
        }
        came(&captures, 1, "BYE sip:a SIP/2.0\r\n\r\n");
        let now = standing(&captures);
        assert!(now.bytes < MEDIA_ROOM + 1_000, "{now:?}");
        assert_eq!(
            (now.messages, now.left_out),
            (2, 1_200 - now.media_packets as u64)
        );
        assert!(now.left_out > 0);
    }

    #[test]
    fn one_goes_on_at_a_time_ends_by_itself_and_keeps_what_it_has() {
        let captures = captures();
        assert_eq!((captures.standing(), captures.file()), (None, None));
        captures.begin(wish(None, None, 5), USUAL).unwrap();
        came(&captures, 1, KEY);
        admitted(&captures, 1, "carrier", "+1");
        assert_eq!(captures.begin(wish(None, None, 1), USUAL), Err(GoesOn));
        captures.stop();
        came(&captures, 1, KEY);
        let now = standing(&captures);
        assert_eq!((now.left, now.messages), (None, 1));
        captures.begin(wish(None, None, 1), Duration::ZERO).unwrap();
        came(&captures, 2, KEY);
        admitted(&captures, 2, "carrier", "+1");
        let now = standing(&captures);
        assert_eq!((now.left, now.calls, now.messages), (None, 0, 0));
        assert!(!captures.is_on());
    }
}
