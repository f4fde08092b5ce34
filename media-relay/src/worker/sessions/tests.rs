//! Sessions of a worker over sockets that are made up.

use super::*;
use crate::control::realm::{LocalAddress, Realm};
use crate::io::{Backend, Received};
use crate::session::Express;
use media_api::{
    BridgePlan, Content, Direction, EndpointId, ForkId, Format, FormatId, FormatKind, Negotiated,
    NegotiatedStream, PayloadBinding, Protection, ProtectionWanted, SourcePolicy, Stage,
    StreamKind, StreamSpec,
};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Mutex;

/// A machine on which some ports are taken by others.
#[derive(Default)]
struct FakeSockets {
    taken: BTreeSet<u16>,
    open: BTreeSet<u32>,
    next: u32,
    /// Descriptors that there are; all, where it is zero.
    most: usize,
    /// What has arrived, with room behind it.
    slots: Vec<(SocketAddr, usize, Vec<u8>)>,
    queued: Vec<(usize, Range<usize>)>,
    /// What has left, in order.
    left: Vec<Vec<u8>>,
    /// Those that are open and nobody's.
    resting: BTreeSet<u32>,
    /// An interface forwards by itself, and has no room for more; who has asked for some.
    is_full: bool,
    crowded_out: BTreeSet<u32>,
}

impl Batch for FakeSockets {
    fn open(&mut self, local: SocketAddr, _: u8) -> io::Result<SocketId> {
        if self.taken.contains(&local.port()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        if self.most > 0 && self.open.len() >= self.most {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.next += 1;
        self.open.insert(self.next);
        Ok(SocketId(self.next))
    }

    fn close(&mut self, socket: SocketId) {
        assert!(self.open.remove(&socket.0), "closed twice");
    }

    fn wait(&mut self, _: Duration, _: &mut Vec<SocketId>) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, _: SocketId) -> usize {
        0
    }

    fn slot(&mut self, at: usize) -> Option<Received<'_>> {
        let (from, length, slot) = self.slots.get_mut(at)?;
        Some(Received {
            from: Some(*from),
            length: *length,
            slot,
        })
    }

    fn queue(&mut self, slot: usize, range: Range<usize>, _: SocketId, _: SocketAddr) {
        self.queued.push((slot, range));
    }

    fn flush(&mut self, _: &mut Vec<usize>) {
        for (slot, range) in self.queued.drain(..) {
            self.left.push(self.slots[slot].2[range].to_vec());
        }
    }

    fn send(&mut self, _: SocketId, _: SocketAddr, packet: &[u8]) -> bool {
        self.left.push(packet.to_vec());
        true
    }

    fn wake(&self) {}

    fn rest(&mut self, socket: SocketId) {
        assert!(self.open.contains(&socket.0), "it is closed");
        self.resting.insert(socket.0);
    }

    fn has_express(&self) -> bool {
        self.is_full
    }

    fn begin_express(&mut self, socket: SocketId, _: &Express, is_seen: bool) -> bool {
        if is_seen {
            self.crowded_out.insert(socket.0);
        }
        false
    }

    fn want_no_express(&mut self, socket: SocketId) {
        self.crowded_out.remove(&socket.0);
    }

    fn is_crowded_out(&self, socket: SocketId) -> bool {
        self.crowded_out.contains(&socket.0)
    }
}

fn sessions(last_port: u16) -> (Sessions, Arc<Mutex<Vec<Event>>>) {
    let realm = Realm {
        id: RealmId(0),
        v4: Some(LocalAddress::direct(IpAddr::V4(Ipv4Addr::LOCALHOST))),
        v6: None,
        first_port: 10_000,
        last_port,
        dscp: 46,
        backend: Backend::Sockets,
    };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&heard);
    let sink: EventSink = Box::new(move |event| events.lock().unwrap().push(event));
    let shared = Shared {
        realms: Arc::new([RealmPorts::new(realm, Duration::from_secs(10))]),
        sink: Arc::new(sink),
        neighbours: Arc::default(),
        identities: Arc::default(),
        recoders: crate::transcode::class::prepare(1, 0).0.remove(0).recoders,
    };
    let sessions = Sessions::new(
        shared,
        Entropy::from_seed([1; 32]),
        WallOffset::default(),
        Resting::with_room(1000),
    );
    (sessions, heard)
}

fn allocate(sessions: &mut Sessions, sockets: &mut FakeSockets, number: u64, endpoints: u8) {
    let endpoints = (0..endpoints)
        .map(|endpoint| EndpointSpec {
            takes_last: true,
            endpoint: EndpointId(endpoint),
            realm: RealmId(0),
            family: Family::V4,
            streams: vec![StreamSpec {
                kind: StreamKind::Audio,
                protection: ProtectionWanted::None,
                ice: None,
            }],
        })
        .collect();
    let command = Command::Allocate {
        session: SessionId(number),
        endpoints,
    };
    sessions.command(command, Timestamp(0), sockets);
}

#[test]
fn a_panic_ends_its_session_and_no_other() {
    let (mut sessions, events) = sessions(10_099);
    let mut sockets = FakeSockets::default();
    allocate(&mut sessions, &mut sockets, 1, 2);
    allocate(&mut sessions, &mut sockets, 2, 2);
    let at = sessions.by_id[&SessionId(1)];
    sessions.within(at, Timestamp(1), &mut sockets, |_, _| {
        panic!("as a bug would")
    });
    let last = events.lock().unwrap().pop();
    assert!(matches!(
        last,
        Some(Event::Released {
            session: SessionId(1),
            ..
        })
    ));
    assert_eq!((sessions.panics, sockets.open.len()), (1, 4));
    assert_eq!(sessions.realms[0].usage().0, 2);
    let stats = Command::Stats {
        session: SessionId(2),
    };
    sessions.command(stats, Timestamp(2), &mut sockets);
    let last = events.lock().unwrap().pop();
    assert!(matches!(
        last,
        Some(Event::Stats {
            session: SessionId(2),
            ..
        })
    ));
}

/// What was agreed with a peer at this port, with audio of this type and events.
fn agreed(port: u16, audio: (u8, u16, &'static str)) -> Negotiated {
    let (number, id, name) = audio;
    let binding = |number: u8, id: u16, name: &'static str, kind| PayloadBinding {
        receive: number,
        send: number,
        id: FormatId(id),
        format: Format {
            name: name.into(),
            clock_hz: 8_000,
            kind,
        },
    };
    let peer = SocketAddr::from(([192, 0, 2, 1], port));
    Negotiated {
        streams: vec![Some(NegotiatedStream {
            content: Content::Rtp,
            remote_rtp: peer,
            remote_rtcp: SocketAddr::from(([192, 0, 2, 1], port + 1)),
            rtcp_mux: false,
            direction: Direction::SendReceive,
            protection: Protection::None,
            payloads: vec![
                binding(number, id, name, FormatKind::Audio),
                binding(101, 9, "telephone-event", FormatKind::Event),
            ],
            source: SourcePolicy::Signalled,
            ice: None,
            ptime_ms: 20,
            reports: None,
            voip_metrics: false,
        })],
    }
}

#[test]
fn what_a_batch_brings_leaves_in_its_order_and_all_of_it_is_counted() {
    let (mut sessions, _) = sessions(10_099);
    let mut sockets = FakeSockets::default();
    allocate(&mut sessions, &mut sockets, 1, 2);
    let session = SessionId(1);
    // Of the other law, so that audio goes on and events are told anew.
    for (endpoint, audio) in [(0, (8, 0, "PCMA")), (1, (0, 1, "PCMU"))] {
        let command = Command::Answer {
            session,
            endpoint: EndpointId(endpoint),
            fork: ForkId(0),
            negotiated: agreed(4_000 + u16::from(endpoint) * 2, audio),
            stage: Stage::Final,
        };
        sessions.command(command, Timestamp(0), &mut sockets);
    }
    let plan = BridgePlan {
        joined: Some((EndpointId(0), EndpointId(1))),
        silence_ms: 0,
    };
    let command = Command::Update { session, plan };
    sessions.command(command, Timestamp(0), &mut sockets);
    sockets.left.clear();
    let packet = |payload_type: u8, number: u8, timestamp: u8, payload: &[u8]| {
        let mut packet = vec![
            0x80,
            payload_type,
            0,
            number,
            0,
            0,
            0,
            timestamp,
            0,
            0,
            0,
            7,
        ];
        packet.extend_from_slice(payload);
        packet
    };
    let arrived = [
        packet(8, 1, 0, &[0xd5; 160]),
        packet(101, 2, 160, &[5, 0x8a, 0, 80]),
        packet(101, 3, 160, &[5, 0x8a, 0, 80]),
        packet(101, 4, 160, &[5, 0x8a, 0, 80]),
        packet(8, 5, 240, &[0xd5; 160]),
    ];
    let octets: usize = arrived.iter().map(Vec::len).sum();
    let from = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let slots = arrived.map(|mut packet| {
        let length = packet.len();
        packet.resize(2_048, 0);
        (from, length, packet)
    });
    sockets.slots = slots.to_vec();
    sessions.deliver(SocketId(1), 5, Timestamp(20_000), &mut sockets);
    let numbers: Vec<u16> = sockets
        .left
        .iter()
        .map(|packet| u16::from_be_bytes([packet[2], packet[3]]))
        .collect();
    assert_eq!(numbers.len(), 5);
    assert!(
        numbers
            .windows(2)
            .all(|two| two[1] == two[0].wrapping_add(1)),
        "{numbers:?}"
    );
    let counters = &sessions.counters[0];
    assert_eq!(
        (counters.received_packets, counters.received_bytes),
        (5, octets as u64)
    );
    assert_eq!(counters.sent_packets, 5);
}

#[test]
fn a_stream_that_the_interface_has_no_room_for_is_told_when_it_wants_none_any_more() {
    let (mut sessions, _) = sessions(10_099);
    let mut sockets = FakeSockets {
        is_full: true,
        ..FakeSockets::default()
    };
    allocate(&mut sessions, &mut sockets, 1, 2);
    let session = SessionId(1);
    for endpoint in 0..2 {
        let command = Command::Answer {
            session,
            endpoint: EndpointId(endpoint),
            fork: ForkId(0),
            negotiated: agreed(4_000 + u16::from(endpoint) * 2, (8, 1, "PCMA")),
            stage: Stage::Final,
        };
        sessions.command(command, Timestamp(0), &mut sockets);
    }
    let join = |sessions: &mut Sessions, sockets: &mut FakeSockets, joined, at| {
        let plan = BridgePlan {
            joined,
            silence_ms: 0,
        };
        sessions.command(Command::Update { session, plan }, Timestamp(at), sockets);
    };
    let both = Some((EndpointId(0), EndpointId(1)));
    join(&mut sessions, &mut sockets, both, 0);
    let from = SocketAddr::from(([192, 0, 2, 1], 4_000));
    for number in 1..=5u8 {
        let [high, low] = (u16::from(number) * 160).to_be_bytes();
        let mut packet = vec![0x80, 8, 0, number, 0, 0, high, low, 0, 0, 0, 7];
        packet.extend((0..160u8).map(|octet| octet ^ number));
        let length = packet.len();
        packet.resize(2_048, 0);
        sockets.slots = vec![(from, length, packet)];
        let now = Timestamp(20_000 * u64::from(number));
        sessions.deliver(SocketId(1), 1, now, &mut sockets);
    }
    assert_eq!(sockets.crowded_out, BTreeSet::from([1]));
    // A hold, though none of its packets comes any more.
    join(&mut sessions, &mut sockets, None, 110_000);
    assert_eq!(sockets.crowded_out, BTreeSet::new());
}

fn release(sessions: &mut Sessions, sockets: &mut FakeSockets, number: u64, now: Timestamp) {
    let command = Command::Release {
        session: SessionId(number),
        endpoint: None,
        drain_ms: 0,
    };
    sessions.command(command, now, sockets);
}

#[test]
fn packets_do_not_put_off_what_is_due() {
    let (mut sessions, events) = sessions(10_099);
    let mut sockets = FakeSockets::default();
    allocate(&mut sessions, &mut sockets, 1, 2);
    let at = sessions.by_id[&SessionId(1)];
    let release = Command::Release {
        session: SessionId(1),
        endpoint: None,
        drain_ms: 100,
    };
    sessions.command(release, Timestamp(0), &mut sockets);
    let due = sessions.entries[at].as_ref().unwrap().deadline.unwrap();
    for packets in 1..=2 {
        // What comes of a packet is done before the tick of the same turn.
        sessions.within(at, due, &mut sockets, |_, _| {});
        let next = sessions.entries[at].as_ref().unwrap().deadline;
        assert_eq!(next, Some(due), "after {packets}");
    }
    events.lock().unwrap().clear();
    sessions.tick(due, &mut sockets);
    let told = events.lock().unwrap();
    assert!(matches!(told[..], [Event::Released { .. }]), "{told:?}");
}

#[test]
fn a_tick_that_changes_nothing_is_not_repeated_at_once() {
    let (mut sessions, _) = sessions(10_099);
    let mut sockets = FakeSockets::default();
    allocate(&mut sessions, &mut sockets, 1, 2);
    let at = sessions.by_id[&SessionId(1)];
    let now = Timestamp(1_000);
    let entry = sessions.entries[at].as_mut().unwrap();
    entry.deadline = Some(now);
    sessions.put_off(at, now, now);
    let entry = sessions.entries[at].as_ref().unwrap();
    assert_eq!(entry.deadline, Some(now + IDLE_TICK));
}

#[test]
fn sockets_stay_bound_while_their_ports_rest_and_serve_a_later_call() {
    let (mut sessions, _events) = sessions(12_047);
    let mut sockets = FakeSockets::default();
    for number in 0..10 {
        allocate(&mut sessions, &mut sockets, number, 10);
    }
    assert_eq!(sockets.open.len(), 200);
    for number in 0..10 {
        release(&mut sessions, &mut sockets, number, Timestamp(0));
    }
    assert_eq!((sockets.open.len(), sessions.realms[0].usage().0), (200, 0));
    assert_eq!(sockets.resting, sockets.open, "the backend is told");

    // Nothing has rested yet: another call gets sockets of its own.
    let rested = Timestamp(10_000_000);
    let mut bind = |sessions: &mut Sessions, now| {
        let lease = sessions.bind(0, Family::V4, false, now, &mut sockets);
        (lease.unwrap(), sockets.open.len())
    };
    let (fresh, open) = bind(&mut sessions, Timestamp(rested.0 - 1));
    assert_eq!(open, 202);
    let mut again = BTreeSet::new();
    for _ in 0..20 {
        let (lease, open) = bind(&mut sessions, rested);
        assert_eq!(open, 202);
        assert_ne!(lease.port, fresh.port);
        again.insert(lease.port);
    }
    assert_eq!((again.len(), sessions.realms[0].usage().0), (20, 21));

    // What nobody wants is not kept for ever, and its ports are as free as any. No call waits for all of
    // it to be closed.
    for number in 10..13 {
        allocate(&mut sessions, &mut sockets, number, 10);
    }
    for number in 10..13 {
        release(&mut sessions, &mut sockets, number, Timestamp(0));
    }
    sessions.trim(false, rested, &mut sockets);
    assert_eq!(sockets.open.len(), 2 * (21 + 80 + 30 - 16));
    for _ in 0..2 {
        sessions.trim(false, rested, &mut sockets);
    }
    sessions.trim(false, rested, &mut sockets);
    assert_eq!(sockets.open.len(), 2 * (21 + 64));
    assert_eq!(sessions.realms[0].usage().0, 21);
}

#[test]
fn where_descriptors_are_lacking_those_that_rest_give_theirs() {
    let (mut sessions, events) = sessions(12_047);
    let mut sockets = FakeSockets {
        most: 9,
        ..FakeSockets::default()
    };
    allocate(&mut sessions, &mut sockets, 1, 4);
    release(&mut sessions, &mut sockets, 1, Timestamp(0));
    assert_eq!(sockets.open.len(), 8);
    allocate(&mut sessions, &mut sockets, 2, 4);
    let last = events.lock().unwrap().pop();
    assert!(matches!(last, Some(Event::Allocated { .. })), "{last:?}");
    assert_eq!((sockets.open.len(), sessions.realms[0].usage().0), (8, 4));
    allocate(&mut sessions, &mut sockets, 3, 1);
    let last = events.lock().unwrap().pop();
    assert!(matches!(last, Some(Event::Refused { .. })), "{last:?}");
    assert_eq!((sockets.open.len(), sessions.realms[0].usage().0), (8, 4));
}

#[test]
fn ports_that_others_have_cost_those_that_rest_nothing() {
    let (mut sessions, events) = sessions(12_047);
    let mut sockets = FakeSockets::default();
    allocate(&mut sessions, &mut sockets, 1, 4);
    release(&mut sessions, &mut sockets, 1, Timestamp(0));
    sockets.taken = (10_000..=12_047).collect();
    allocate(&mut sessions, &mut sockets, 2, 1);
    let last = events.lock().unwrap().pop();
    let refused = AllocateError::Socket;
    assert!(
        matches!(last, Some(Event::Refused { why, .. }) if why == refused),
        "{last:?}"
    );
    assert_eq!(sockets.open.len(), 8);
}

#[test]
fn no_more_stay_bound_than_there_is_room_for() {
    let (mut sessions, _events) = sessions(14_047);
    sessions.resting = Resting::with_room(3);
    let mut sockets = FakeSockets::default();
    allocate(&mut sessions, &mut sockets, 1, 5);
    release(&mut sessions, &mut sockets, 1, Timestamp(0));
    assert_eq!((sockets.open.len(), sessions.realms[0].usage().0), (6, 0));
}

#[test]
fn where_ports_are_scarce_none_stays_bound_for_nobody() {
    // Four hundred pairs, of which a hundred are free when the others are in use.
    let (mut sessions, _events) = sessions(10_799);
    let mut sockets = FakeSockets::default();
    for number in 0..150 {
        allocate(&mut sessions, &mut sockets, number, 2);
    }
    release(&mut sessions, &mut sockets, 0, Timestamp(0));
    assert_eq!(sockets.open.len(), 600, "kept while they rest");
    allocate(&mut sessions, &mut sockets, 150, 2);
    release(&mut sessions, &mut sockets, 1, Timestamp(1));
    assert_eq!(sockets.open.len(), 596, "all are closed");

    // Closed or not, they have to rest, and whoever calls for help need not wait for that.
    let free = |sessions: &mut Sessions, sockets: &mut FakeSockets, now| {
        let mut leases = Vec::new();
        while let Ok(lease) = sessions.bind(0, Family::V4, true, now, sockets) {
            leases.push(lease);
        }
        leases.len()
    };
    assert_eq!(free(&mut sessions, &mut sockets, Timestamp(149_999)), 98);
    assert_eq!(free(&mut sessions, &mut sockets, Timestamp(150_001)), 4);
}

#[test]
fn ports_taken_by_others_are_passed_over_and_nothing_leaks() {
    let (mut sessions, events) = sessions(10_007);
    let mut sockets = FakeSockets {
        taken: BTreeSet::from([10_000, 10_003]),
        ..FakeSockets::default()
    };
    allocate(&mut sessions, &mut sockets, 1, 2);
    let last = events.lock().unwrap().pop();
    let Some(Event::Allocated { endpoints, .. }) = last else {
        panic!("{last:?}")
    };
    let ports: BTreeSet<_> = endpoints
        .iter()
        .map(|endpoint| endpoint.streams[0].rtp.port())
        .collect();
    assert_eq!(ports, BTreeSet::from([10_004, 10_006]));
    assert_eq!(sockets.open.len(), 4);
    // Nothing is left for a second session, and trying leaves nothing behind.
    allocate(&mut sessions, &mut sockets, 2, 1);
    assert!(matches!(
        events.lock().unwrap().pop(),
        Some(Event::Refused { .. })
    ));
    sessions.release_all(Timestamp(3), &mut sockets);
    assert_eq!((sockets.open.len(), sessions.realms[0].usage().0), (0, 0));
    assert!(sessions.by_id.is_empty());
}
