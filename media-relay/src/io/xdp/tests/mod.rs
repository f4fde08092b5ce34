//! Calls and packets between two network namespaces.

mod express;
mod world;

use super::start::start;
use super::{Batch, Xdp};
use crate::Timestamp;
use crate::control::realm::{LocalAddress, Realm};
use crate::io::AddressReport;
use crate::session::SocketId;
use crate::srtp::{Receiver, Sender};
use crate::{Backend, Entropy, Relay, RelayConfig, Runs};
use media_api::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver as Inbox};
use std::time::{Duration, Instant};
use world::{PATIENCE, World, until};

const SUITE: Suite = Suite::AesCm128HmacSha1_80;
/// Our addresses and the peers'; the third is at another interface, and of another realm.
const OURS: [&str; 3] = ["192.0.2.1", "2001:db8::1", "198.51.100.1"];
const THEIRS: [&str; 3] = ["192.0.2.2", "2001:db8::2", "198.51.100.2"];
const FAMILIES: [Family; 3] = [Family::V4, Family::V6, Family::V4];
const REALMS: [RealmId; 3] = [RealmId(0), RealmId(0), RealmId(1)];
const PACKETS: usize = 100;

/// Whether the kernel is that new; if it is not, it is said why a test is skipped.
pub(super) fn kernel_is(least: (u32, u32)) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(|sign: char| !sign.is_ascii_digit())
        .map_while(|number| number.parse::<u32>().ok());
    let release = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    let is_new = release >= least;
    if !is_new {
        eprintln!("skipped: the kernel is {release:?}, older than {least:?}");
    }
    is_new
}

fn realm(first_port: u16) -> Realm {
    Realm {
        id: RealmId(0),
        v4: Some(LocalAddress::direct(OURS[0].parse().unwrap())),
        v6: Some(LocalAddress::direct(OURS[1].parse().unwrap())),
        first_port,
        last_port: first_port + 999,
        dscp: 46,
        backend: Backend::Xdp,
    }
}

/// One at the other interface.
fn other(first_port: u16) -> Realm {
    Realm {
        id: RealmId(1),
        v4: Some(LocalAddress::direct(OURS[2].parse().unwrap())),
        v6: None,
        ..realm(first_port)
    }
}

fn begin(first_port: u16, workers: usize) -> (Relay, Inbox<Event>) {
    let (events, received) = mpsc::channel();
    let config = RelayConfig {
        realms: vec![realm(first_port), other(first_port)],
        workers,
        is_pinned: false,
        quarantine: Duration::ZERO,
        entropy: Entropy::from_seed([1; 32]),
    };
    let sink = Box::new(move |event| drop(events.send(event)));
    (Relay::start(config, sink).unwrap(), received)
}

/// A relay that is to go by AF_XDP.
fn relay(world: &World, first_port: u16, workers: usize) -> (Relay, Inbox<Event>) {
    world.within("a", || begin(first_port, workers))
}

/// Whether all addresses go by AF_XDP; the reasons if not.
fn diverts(relay: &Relay) -> Result<(), Vec<String>> {
    let addresses = relay.backend().addresses;
    assert_eq!(addresses.len(), OURS.len(), "{addresses:?}");
    let reasons: Vec<_> = addresses
        .iter()
        .filter_map(|one| one.because.clone())
        .collect();
    let is_xdp = |runs: Runs| matches!(runs, Runs::Xdp { .. });
    assert!(
        addresses
            .iter()
            .all(|one| is_xdp(one.runs) == one.because.is_none())
    );
    match reasons.is_empty() {
        true => Ok(()),
        false => Err(reasons),
    }
}

struct Party {
    socket: UdpSocket,
    to: SocketAddr,
    keys: Option<(Sender, Receiver)>,
    sent: u16,
    heard: usize,
}

/// A call between two parties at the other end of the cable.
struct Call {
    parties: [Party; 2],
}

impl Call {
    fn new(
        world: &World,
        relay: &Relay,
        events: &Inbox<Event>,
        number: u64,
        kind: ([usize; 2], bool),
    ) -> Self {
        let (families, is_secure) = kind;
        let session = SessionId::new(0, number);
        let ends = [EndpointId(0), EndpointId(1)];
        let endpoints = ends.map(|endpoint| EndpointSpec {
            takes_last: true,
            endpoint,
            realm: REALMS[families[usize::from(endpoint.0)]],
            family: FAMILIES[families[usize::from(endpoint.0)]],
            streams: vec![StreamSpec {
                kind: StreamKind::Audio,
                protection: match is_secure && endpoint == EndpointId(0) {
                    true => ProtectionWanted::Sdes(vec![SUITE]),
                    false => ProtectionWanted::None,
                },
                ice: None,
            }],
        });
        relay.command(Command::Allocate {
            session,
            endpoints: endpoints.to_vec(),
        });
        let allocated = events.recv_timeout(PATIENCE);
        let Ok(Event::Allocated { endpoints, .. }) = allocated else {
            panic!("{allocated:?}")
        };
        let parties = ends.map(|endpoint| {
            let local = &endpoints[usize::from(endpoint.0)].streams[0];
            let family = families[usize::from(endpoint.0)];
            let address: IpAddr = THEIRS[family].parse().unwrap();
            let socket = world.within("b", || UdpSocket::bind((address, 0)).unwrap());
            socket.set_nonblocking(true).unwrap();
            let theirs = CryptoKey::new(SUITE, vec![7; 30]).unwrap();
            let remote = socket.local_addr().unwrap();
            let ours = local.keys.first();
            let stream = NegotiatedStream {
                protection: ours.map_or(Protection::None, |ours| Protection::Sdes {
                    local: ours.clone(),
                    remote: theirs.clone(),
                }),
                ..plain(remote)
            };
            relay.command(Command::Answer {
                session,
                endpoint,
                fork: ForkId(0),
                negotiated: Negotiated {
                    streams: vec![Some(stream)],
                },
                stage: Stage::Final,
            });
            Party {
                socket,
                to: local.rtp,
                keys: ours.map(|ours| (Sender::new(&theirs), Receiver::new(ours))),
                sent: 0,
                heard: 0,
            }
        });
        relay.command(Command::Update {
            session,
            plan: BridgePlan {
                joined: Some((ends[0], ends[1])),
                silence_ms: 0,
            },
        });
        Self { parties }
    }
}

/// What is agreed with a party without protection.
fn plain(remote: SocketAddr) -> NegotiatedStream {
    NegotiatedStream {
        content: Content::Rtp,
        remote_rtp: remote,
        remote_rtcp: remote,
        rtcp_mux: true,
        direction: Direction::SendReceive,
        protection: Protection::None,
        payloads: vec![PayloadBinding {
            receive: 8,
            send: 8,
            id: FormatId(0),
            format: Format {
                // What comes is longer than what is agreed, and this is never packed anew.
                name: "G726-32".into(),
                clock_hz: 8000,
                kind: FormatKind::Audio,
            },
        }],
        source: SourcePolicy::Signalled,
        ice: None,
        ptime_ms: 10,
        reports: None,
        voip_metrics: false,
    }
}

/// All parties say so many packets; returns how many of all were heard.
fn talk(calls: &mut [Call], packets: usize) -> usize {
    let parties = |calls: &mut [Call], work: fn(&mut Party)| {
        let all = calls.iter_mut().flat_map(|call| &mut call.parties);
        all.for_each(work);
    };
    let heard = |calls: &[Call]| {
        let all = calls.iter().flat_map(|call| &call.parties);
        all.map(|party| party.heard).sum::<usize>()
    };
    let before = heard(calls);
    let start = Instant::now();
    for turn in 1..=packets as u32 {
        parties(calls, Party::say);
        // No faster than the relay lets a stream be.
        let next = start + turn * Duration::from_millis(6);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        parties(calls, Party::listen);
    }
    let all = calls.len() * 2 * packets;
    let end = Instant::now() + Duration::from_millis(300);
    while heard(calls) - before < all && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
        parties(calls, Party::listen);
    }
    heard(calls) - before
}

impl Party {
    fn say(&mut self) {
        let mut packet = [0xd5; 186];
        packet[..2].copy_from_slice(&[0x80, 8]);
        packet[2..4].copy_from_slice(&self.sent.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(self.sent) * 160).to_be_bytes());
        packet[8..12].copy_from_slice(&[1, 2, 3, 4]);
        let length = self.keys.as_ref().map_or(172, |(sender, _)| {
            sender
                .protect_rtp(&mut packet, 172, u64::from(self.sent))
                .unwrap()
        });
        self.sent += 1;
        // While the cable is down the kernel may say so.
        let _ = self.socket.send_to(&packet[..length], self.to);
    }

    fn listen(&mut self) {
        let mut buffer = [0; 2000];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            assert_eq!(from, self.to, "what we hear is the relay's");
            let packet = &mut buffer[..length];
            if packet[1] & 0x7f != 8 {
                continue;
            }
            let length = match &mut self.keys {
                None => length,
                Some((_, receiver)) => receiver
                    .unprotect_rtp(packet, Timestamp::default())
                    .unwrap(),
            };
            assert_eq!(length, 172);
            assert!(packet[12..172].iter().all(|octet| *octet == 0xd5));
            self.heard += 1;
        }
    }
}

/// Calls of each kind, both ways, of a relay whose packets are diverted.
fn calls(world: &World, relay: &Relay, events: &Inbox<Event>) -> Vec<Call> {
    let kinds = [
        ([0; 2], false),
        ([2, 0], true),
        ([1; 2], false),
        ([1, 0], true),
        ([2; 2], false),
        ([0, 2], false),
    ];
    let calls = (1..).zip(kinds);
    calls
        .map(|(number, kind)| Call::new(world, relay, events, number, kind))
        .collect()
}

/// Has calls talk until their packets pass the sockets by.
fn until_diverted(world: &World, calls: &mut [Call]) {
    let all = 2 * 20 * calls.len();
    until("packets pass the sockets by", || {
        let before = world.by_socket();
        // Some go by the socket in between, once a second.
        talk(calls, 20) == all && world.by_socket() - before < all as u64 / 4
    });
}

#[test]
fn packets_of_every_kind_pass_the_sockets_by() {
    let Some(world) = World::new() else { return };
    for workers in [1, 2] {
        let (relay, events) = relay(&world, 20_000, workers);
        diverts(&relay).unwrap();
        let native = relay.backend().addresses.iter().all(|one| {
            one.interface
                .as_deref()
                .is_some_and(|name| ["cable", "other"].contains(&name))
                && matches!(
                    one.runs,
                    Runs::Xdp {
                        is_native: true,
                        is_zero_copy: false,
                        ..
                    }
                )
        });
        assert!(native, "{:?}", relay.backend());
        let mut calls = calls(&world, &relay, &events);
        until_diverted(&world, &mut calls);
        let before = world.by_socket();
        assert_eq!(talk(&mut calls, PACKETS), 6 * 2 * PACKETS);
        let by_socket = world.by_socket() - before;
        assert!(by_socket < 6 * PACKETS as u64 / 2, "{by_socket}");
        relay.shutdown();
    }
}

#[test]
fn what_arrived_for_a_port_is_nobody_elses() {
    let Some(world) = World::new() else { return };
    let mut started = world.within("a", || start(&[realm(20_000)], 1));
    let (_watch, parts) = started.running.as_mut().unwrap();
    let (mut batch, _waker) = world.within("a", || Xdp::new(parts.remove(0))).unwrap();
    let ours = |port| SocketAddr::new(OURS[0].parse().unwrap(), port);
    let peer = world.within("b", || UdpSocket::bind((THEIRS[0], 0)).unwrap());
    let mut ready = Vec::new();
    let soon = Duration::from_millis(20);

    // What nobody asks for in a turn is gone in the next one.
    let first = world.within("a", || batch.open(ours(20_000), 46)).unwrap();
    peer.send_to(b"first", ours(20_000)).unwrap();
    batch.wait(PATIENCE, &mut ready).unwrap();
    assert_eq!(ready, [first]);
    ready.clear();
    batch.wait(soon, &mut ready).unwrap();
    assert_eq!(ready, []);
    peer.send_to(b"again", ours(20_000)).unwrap();
    batch.wait(PATIENCE, &mut ready).unwrap();
    assert_eq!((&ready[..], batch.receive(first)), (&[first][..], 1));
    ready.clear();

    // What waits when its socket is closed does not reach the socket that gets its number.
    peer.send_to(b"second", ours(20_000)).unwrap();
    until("it waits", || {
        batch
            .outlet
            .lanes
            .iter()
            .any(|lane| is_readable(&lane.socket))
    });
    batch.close(first);
    let second = world.within("a", || batch.open(ours(20_002), 46)).unwrap();
    assert_eq!(second, first);
    batch.wait(soon, &mut ready).unwrap();
    assert_eq!((&ready[..], batch.receive(second)), (&[][..], 0));

    // One that is still there gets all of its own, in order, in frames that may be sent on.
    for number in 0..5u8 {
        peer.send_to(&[number; 100], ours(20_002)).unwrap();
    }
    let mut next = 0;
    while next < 5 {
        ready.clear();
        batch.wait(PATIENCE, &mut ready).unwrap();
        assert_eq!(ready, [second]);
        let filled = batch.receive(second);
        for at in 0..filled {
            let received = batch.slot(at).unwrap();
            assert_eq!(received.from, peer.local_addr().ok());
            assert_eq!(received.slot[..received.length], [next; 100]);
            received.slot[0] = 9;
            next += 1;
            batch.queue(at, 0..60, second, peer.local_addr().unwrap());
        }
        assert!(batch.slot(filled).is_none());
        let mut failed = Vec::new();
        batch.flush(&mut failed);
        assert!(failed.is_empty());
    }
    batch.wait(Duration::ZERO, &mut ready).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = [0; 100];
    for number in 0..5u8 {
        assert_eq!(peer.recv(&mut heard).unwrap(), 60);
        assert_eq!((heard[0], heard[1]), (9, number));
    }
}

#[test]
fn frames_come_back_however_their_packets_end() {
    const MANY: usize = 30_000;
    let Some(world) = World::new() else { return };
    let mut started = world.within("a", || start(&[realm(20_000)], 1));
    let (_watch, parts) = started.running.as_mut().unwrap();
    let (mut batch, _waker) = world.within("a", || Xdp::new(parts.remove(0))).unwrap();
    let ours = SocketAddr::new(OURS[0].parse().unwrap(), 20_000);
    let socket = world.within("a", || batch.open(ours, 46)).unwrap();
    let peer = world.within("b", || UdpSocket::bind((THEIRS[0], 0)).unwrap());
    peer.set_nonblocking(true).unwrap();
    let to = peer.local_addr().unwrap();
    let before = world.by_socket();
    let (mut had, mut heard, mut sent) = (0, 0, 0);
    let mut buffer = [0; 200];
    let mut ready = Vec::new();
    while had < MANY {
        for _ in 0..20 {
            peer.send_to(&[7; 100], ours).unwrap();
        }
        let end = had + 20;
        while had < end {
            ready.clear();
            batch.wait(PATIENCE, &mut ready).unwrap();
            assert!(!ready.is_empty(), "no more after {had}");
            let filled = batch.receive(socket);
            had += filled;
            // A third goes back, a third is answered with something else, a third is dropped.
            for at in (0..filled).filter(|at| at % 3 == 0) {
                batch.queue(at, 0..100, socket, to);
                sent += 1;
            }
            let mut failed = Vec::new();
            batch.flush(&mut failed);
            assert!(failed.is_empty());
            for _ in (0..filled).filter(|at| at % 3 == 1) {
                assert!(batch.send(socket, to, &[8; 100]));
                sent += 1;
            }
        }
        while peer.recv(&mut buffer).is_ok() {
            heard += 1;
        }
    }
    batch.wait(Duration::ZERO, &mut ready).unwrap();
    until("all is heard", || {
        while peer.recv(&mut buffer).is_ok() {
            heard += 1;
        }
        heard == sent
    });
    assert_eq!(had, MANY);
    let by_socket = world.by_socket() - before;
    assert!(by_socket < MANY as u64 / 2, "{by_socket}");
}

/// Takes so many packets, and sends each back to where it came from.
fn echo(batch: &mut Xdp, ready: &mut Vec<SocketId>, failed: &mut Vec<usize>, packets: usize) {
    let mut taken = 0;
    while taken < packets {
        ready.clear();
        batch.wait(PATIENCE, ready).unwrap();
        for socket in ready.iter() {
            let filled = batch.receive(*socket);
            for at in 0..filled {
                let received = batch.slot(at).unwrap();
                let (from, length) = (received.from.unwrap(), received.length);
                batch.queue(at, 0..length, *socket, from);
            }
            batch.flush(failed);
            taken += filled;
        }
    }
}

#[test]
fn taking_and_sending_allocates_nothing() {
    const ROUNDS: usize = 100;
    const PACKETS: usize = 20;
    let Some(world) = World::new() else { return };
    let mut started = world.within("a", || start(&[realm(21_000)], 1));
    let (_watch, parts) = started.running.as_mut().unwrap();
    let (mut batch, _waker) = world.within("a", || Xdp::new(parts.remove(0))).unwrap();
    let ours = |port| SocketAddr::new(OURS[0].parse().unwrap(), port);
    let peer = world.within("b", || UdpSocket::bind((THEIRS[0], 0)).unwrap());
    for port in [21_000, 21_002] {
        world.within("a", || batch.open(ours(port), 46)).unwrap();
    }
    let (mut ready, mut failed) = (Vec::new(), Vec::new());
    let mut rounds = || {
        for _ in 0..ROUNDS {
            for number in 0..PACKETS as u8 {
                let port = 21_000 + 2 * u16::from(number % 2);
                peer.send_to(&[number; 172], ours(port)).unwrap();
            }
            echo(&mut batch, &mut ready, &mut failed, PACKETS);
        }
        assert_eq!(failed, [0; 0]);
    };
    let counted = allocation_counter::measure(&mut rounds);
    assert!(counted.count_total > 0, "lists grow, and that is counted");
    let before = world.by_socket();
    let counted = allocation_counter::measure(&mut rounds);
    assert_eq!(counted.count_total, 0);
    // One a second is sent by its socket, to ask for the way; what comes back is not taken from this peer's.
    let by_socket = world.by_socket() - before;
    assert!(by_socket < (ROUNDS * PACKETS) as u64 / 2, "{by_socket}");
}

fn is_readable(socket: impl AsFd) -> bool {
    let mut asked = [PollFd::new(&socket, PollFlags::IN)];
    let now = Timespec::default();
    poll(&mut asked, Some(&now)).unwrap() == 1
}

#[test]
fn all_else_is_the_kernels_as_before() {
    let Some(world) = World::new() else { return };
    let (relay, events) = relay(&world, 20_000, 1);
    diverts(&relay).unwrap();
    let call = Call::new(&world, &relay, &events, 1, ([0; 2], false));
    for (ours, theirs) in OURS.into_iter().zip(THEIRS) {
        let ours: IpAddr = ours.parse().unwrap();
        let listener = world.within("a", || TcpListener::bind((ours, 0)).unwrap());
        let udp = world.within("a", || UdpSocket::bind((ours, 5060)).unwrap());
        udp.set_read_timeout(Some(PATIENCE)).unwrap();
        world.within("b", || {
            let to = listener.local_addr().unwrap();
            let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
            stream.write_all(b"words").unwrap();
            let (mut accepted, _) = listener.accept().unwrap();
            let mut heard = [0; 5];
            accepted.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"words");

            let peer = UdpSocket::bind((theirs, 0)).unwrap();
            peer.set_read_timeout(Some(PATIENCE)).unwrap();
            peer.connect((ours, 5060)).unwrap();
            peer.send(b"OPTIONS").unwrap();
            let mut heard = [0; 100];
            assert_eq!(udp.recv(&mut heard).unwrap(), 7);

            // A port of the range that nobody has: the kernel says so, by ICMP.
            peer.connect((ours, 20_999)).unwrap();
            peer.send(b"hello?").unwrap();
            let answer = peer.recv(&mut heard).unwrap_err();
            assert_eq!(answer.kind(), ErrorKind::ConnectionRefused);
        });
    }
    // Fragments of a packet that is too long for media are put together, and refused, as ever.
    let party = &call.parties[0];
    party.socket.send_to(&[0x80; 4000], party.to).unwrap();
    until("the long packet is counted", || {
        let dropped = relay.totals().realms[0].dropped;
        dropped[DropReason::Malformed as usize] == 1
    });
    relay.shutdown();
}

/// MED-311: of two calls that meet at two ports of ours, each hears the far end of the other.
#[test]
fn packets_between_two_ports_of_ours_never_see_the_kernel() {
    let Some(world) = World::new() else { return };
    for family in [0, 1] {
        let (relay, events) = relay(&world, 20_000, 1);
        diverts(&relay).unwrap();
        let mut one = Call::new(&world, &relay, &events, 1, ([family; 2], true));
        let mut two = Call::new(&world, &relay, &events, 2, ([family; 2], false));
        until_diverted(&world, std::slice::from_mut(&mut one));
        until_diverted(&world, std::slice::from_mut(&mut two));
        // The second party of the one and the first of the other are ports of ours from now on.
        let ours = [one.parties[1].to, two.parties[0].to];
        for (number, endpoint, remote) in [(1, 1, ours[1]), (2, 0, ours[0])] {
            relay.command(Command::Answer {
                session: SessionId::new(0, number),
                endpoint: EndpointId(endpoint),
                fork: ForkId(0),
                negotiated: Negotiated {
                    streams: vec![Some(plain(remote))],
                },
                stage: Stage::Final,
            });
        }
        let [caller, _] = one.parties;
        let [_, called] = two.parties;
        let mut ends = [Call {
            parties: [caller, called],
        }];
        // Both ports learn that their peer is another one.
        until("they hear each other", || talk(&mut ends, 20) == 40);
        let before = world.by_socket();
        let totals = || {
            let realm = &relay.totals().realms[0];
            (realm.received_packets, realm.sent_packets)
        };
        let [_, mut was] = [(); 2].map(|()| {
            std::thread::sleep(Duration::from_millis(300));
            totals()
        });
        assert_eq!(talk(&mut ends, PACKETS), 2 * PACKETS);
        let by_socket = world.by_socket() - before;
        assert!(by_socket < PACKETS as u64 / 2, "{by_socket}");
        // Each is received and sent twice, by both calls.
        let more = 4 * PACKETS as u64;
        was = (was.0 + more, was.1 + more);
        until("all are counted", || {
            let now = totals();
            now.0 >= was.0 && now.1 >= was.1
        });
        relay.shutdown();
    }
}

#[test]
fn a_program_that_is_taken_away_costs_no_packet() {
    let Some(world) = World::new() else { return };
    let (relay, events) = relay(&world, 20_000, 1);
    diverts(&relay).unwrap();
    let mut calls = calls(&world, &relay, &events);
    until_diverted(&world, &mut calls);
    relay.detach();
    assert_eq!(talk(&mut calls, PACKETS), 6 * 2 * PACKETS);
    until("it is said", || diverts(&relay).is_err());
    let reasons = diverts(&relay).unwrap_err();
    assert!(reasons[0].contains("detached"), "{reasons:?}");
    let before = world.by_socket();
    assert_eq!(talk(&mut calls, 50), 6 * 2 * 50);
    let by_socket = world.by_socket() - before;
    assert!(by_socket >= 6 * 2 * 2 * 50, "all went by the sockets");
    relay.shutdown();
}

#[test]
fn what_was_put_before_the_program_was_taken_away_is_sent() {
    let Some(world) = World::new() else { return };
    let mut started = world.within("a", || start(&[realm(21_000)], 1));
    let (watch, parts) = started.running.as_mut().unwrap();
    let (mut batch, _waker) = world.within("a", || Xdp::new(parts.remove(0))).unwrap();
    let ours = SocketAddr::new(OURS[0].parse().unwrap(), 21_000);
    let socket = world.within("a", || batch.open(ours, 46)).unwrap();
    let peer = world.within("b", || UdpSocket::bind((THEIRS[0], 0)).unwrap());
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = peer.local_addr().unwrap();
    let mut heard = [0; 100];
    // The first go by the socket, until the way is known.
    let mut number = 0;
    until("a packet waits in the lane", || {
        number += 1;
        batch.wait(Duration::ZERO, &mut Vec::new()).unwrap();
        assert!(batch.send(socket, to, &[number; 100]));
        let is_put = batch.outlet.lanes.iter().any(|lane| lane.is_waiting);
        if !is_put {
            assert_eq!(peer.recv(&mut heard).unwrap(), 100);
        }
        is_put
    });
    watch.detach();
    let runs_by_socket = |report: &AddressReport| report.runs == Runs::Sockets;
    until("it is noticed", || {
        watch.reports().iter().any(runs_by_socket)
    });
    batch.wait(Duration::ZERO, &mut Vec::new()).unwrap();
    assert_eq!(peer.recv(&mut heard).unwrap(), 100);
    assert_eq!(heard, [number; 100]);
}

#[test]
fn an_interface_that_goes_down_and_up_again_is_used_again() {
    let Some(world) = World::new() else { return };
    let (relay, events) = relay(&world, 20_000, 1);
    diverts(&relay).unwrap();
    let mut calls: Vec<_> = [([0; 2], false), ([0; 2], true)]
        .into_iter()
        .zip(1..)
        .map(|(kind, number)| Call::new(&world, &relay, &events, number, kind))
        .collect();
    until_diverted(&world, &mut calls);
    for _ in 0..2 {
        world.link("down");
        assert_eq!(talk(&mut calls, 20), 0, "the cable is cut");
        until("it is said", || diverts(&relay).is_err());
        let reasons = diverts(&relay).unwrap_err();
        assert!(reasons[0].contains("down"), "{reasons:?}");
        world.link("up");
        until("it is taken back", || diverts(&relay).is_ok());
        until_diverted(&world, &mut calls);
        assert_eq!(talk(&mut calls, PACKETS), 2 * 2 * PACKETS);
    }
    relay.shutdown();
}

#[test]
fn an_interface_that_is_taken_away_leaves_the_other_alone() {
    let Some(world) = World::new() else { return };
    let (relay, events) = relay(&world, 20_000, 1);
    diverts(&relay).unwrap();
    let mut gone = [Call::new(&world, &relay, &events, 1, ([0; 2], false))];
    let mut stays = [Call::new(&world, &relay, &events, 2, ([2; 2], true))];
    until_diverted(&world, &mut gone);
    until_diverted(&world, &mut stays);
    world.unplug();
    assert_eq!(talk(&mut gone, 5), 0);
    until("it is said", || diverts(&relay).is_err());
    let reasons = diverts(&relay).unwrap_err();
    assert_eq!(reasons.len(), 2, "of both addresses there");
    assert!(reasons[0].contains("gone"), "{reasons:?}");
    until_diverted(&world, &mut stays);
    assert_eq!(talk(&mut stays, PACKETS), 2 * PACKETS);
    relay.shutdown();
}

/// A relay whose threads have these rights.
fn with_rights(world: &World, rights: CapabilitySet) -> (Relay, Inbox<Event>) {
    world.within("a", || {
        let sets = CapabilitySets {
            effective: rights,
            permitted: rights,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets).unwrap();
        begin(20_000, 1)
    })
}

/// What the service's drop-in gives; and memory, of which the service may have any amount.
const RIGHTS: [CapabilitySet; 3] = [
    CapabilitySet::BPF,
    CapabilitySet::NET_ADMIN,
    CapabilitySet::NET_RAW,
];

#[test]
fn three_rights_are_enough() {
    let Some(world) = World::new() else { return };
    let all = RIGHTS.into_iter().collect::<CapabilitySet>() | CapabilitySet::IPC_LOCK;
    let _receivers = express::receivers(&world);
    let (relay, events) = with_rights(&world, all);
    diverts(&relay).unwrap();
    // The interfaces forward by themselves, too.
    let addresses = relay.backend().addresses;
    let reasons = addresses.iter().map(|one| one.not_by_itself.is_none());
    if kernel_is((6, 3)) {
        assert_eq!(
            reasons.collect::<Vec<_>>(),
            [true, true, true],
            "{addresses:?}"
        );
    }
    let mut calls = calls(&world, &relay, &events);
    until_diverted(&world, &mut calls);
    relay.shutdown();
}

#[test]
fn without_one_of_the_rights_sockets_serve_and_say_why() {
    let Some(world) = World::new() else { return };
    for missing in RIGHTS {
        let all = RIGHTS.into_iter().collect::<CapabilitySet>() | CapabilitySet::IPC_LOCK;
        let (relay, events) = with_rights(&world, all - missing);
        let reasons = diverts(&relay).unwrap_err();
        assert!(
            reasons.iter().all(|why| why.contains("CAP_NET_ADMIN")),
            "{missing:?}: {reasons:?}"
        );
        let mut calls = calls(&world, &relay, &events);
        assert_eq!(talk(&mut calls, 20), 6 * 2 * 20);
        relay.shutdown();
    }
}

#[test]
fn a_second_program_on_an_interface_serves_by_sockets() {
    let Some(world) = World::new() else { return };
    let (first, _events) = relay(&world, 20_000, 1);
    diverts(&first).unwrap();
    let (second, events) = relay(&world, 30_000, 1);
    let reasons = diverts(&second).unwrap_err();
    assert!(reasons[0].contains("another program"), "{reasons:?}");
    let mut calls = calls(&world, &second, &events);
    assert_eq!(talk(&mut calls, 20), 6 * 2 * 20);
    // What ends leaves nothing behind.
    first.shutdown();
    second.shutdown();
    let (third, _events) = relay(&world, 20_000, 1);
    diverts(&third).unwrap();
}
