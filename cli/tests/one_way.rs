//! One-way audio made for real: peers on sockets send what the relay cannot pass on, and what an operator is told
//! names the leg, the cause and what to change.

use media_api::{
    BridgePlan, Command, Content, CryptoKey, Direction, EndpointId, EndpointSpec, Event, Family,
    ForkId, Format, FormatId, FormatKind, LocalStream, Negotiated, NegotiatedStream, OneWayKind,
    PayloadBinding, Protection, ProtectionWanted, RealmId, SessionId, SourcePolicy, Stage,
    StreamKind, StreamSpec, Suite,
};
use media_relay::srtp::Sender;
use media_relay::{Entropy, LocalAddress, Realm, Relay, RelayConfig};
use sbc_core::event::Happened;
use sbc_core::report::note;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const SUITE: Suite = Suite::AesCm128HmacSha1_80;
const PATIENCE: Duration = Duration::from_secs(20);
/// Within which a fault must be told; the rest is for a machine that is busy.
const PROMISE: Duration = Duration::from_secs(3);
const ROOM: Duration = Duration::from_secs(2);

/// What the called side does wrong, and what an operator must be told.
const FAULTS: [(OneWayKind, &[&str]); 4] = [
    (
        OneWayKind::NoPackets,
        &["no packet", "firewall or NAT", "open the media ports"],
    ),
    (
        OneWayKind::WrongSource,
        &["address that its description does not name", "nat = "],
    ),
    (
        OneWayKind::DecryptFailures,
        &["cannot be decrypted", "another key", "a=crypto"],
    ),
    (
        OneWayKind::WrongPayloadType,
        &["payload type that was not agreed", "codecs of the trunk"],
    ),
];

/// One call: its peers, and where they send to.
struct Call {
    session: SessionId,
    kind: OneWayKind,
    peers: [UdpSocket; 2],
    stray: UdpSocket,
    ours: [SocketAddr; 2],
    right: Sender,
    wrong: Sender,
}

fn key(octet: u8) -> CryptoKey {
    CryptoKey::new(SUITE, vec![octet; 30]).unwrap()
}

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

fn relay() -> (Relay, Receiver<Event>) {
    // An address of its own, so that the whole range is free.
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = IpAddr::V4(Ipv4Addr::new(127, 77, high, low | 1));
    let config = RelayConfig {
        realms: vec![Realm {
            id: RealmId(0),
            v4: Some(LocalAddress::direct(address)),
            v6: None,
            first_port: 30_000,
            last_port: 30_099,
            dscp: 0,
            backend: media_relay::Backend::Sockets,
        }],
        workers: 1,
        is_pinned: false,
        quarantine: RelayConfig::QUARANTINE,
        entropy: Entropy::from_system().unwrap(),
    };
    let (events, received) = channel();
    let relay = Relay::start(config, Box::new(move |event| drop(events.send(event)))).unwrap();
    (relay, received)
}

fn spec(endpoint: u8) -> EndpointSpec {
    EndpointSpec {
        takes_last: true,
        endpoint: EndpointId(endpoint),
        realm: RealmId(0),
        family: Family::V4,
        streams: vec![StreamSpec {
            kind: StreamKind::Audio,
            protection: match endpoint {
                0 => ProtectionWanted::None,
                _ => ProtectionWanted::Sdes(vec![SUITE]),
            },
            ice: None,
        }],
    }
}

fn terms(peer: &UdpSocket, local: &LocalStream) -> NegotiatedStream {
    let remote_rtp = peer.local_addr().unwrap();
    NegotiatedStream {
        content: Content::Rtp,
        remote_rtp,
        // No reports: nothing listens there.
        remote_rtcp: SocketAddr::new(remote_rtp.ip(), 0),
        rtcp_mux: false,
        direction: Direction::SendReceive,
        protection: match local.keys.first() {
            None => Protection::None,
            Some(own) => Protection::Sdes {
                local: own.clone(),
                remote: key(7),
            },
        },
        payloads: vec![PayloadBinding {
            receive: 8,
            send: 8,
            id: FormatId(1),
            format: Format {
                name: "PCMA".into(),
                clock_hz: 8_000,
                kind: FormatKind::Audio,
            },
        }],
        source: SourcePolicy::Signalled,
        ice: None,
        ptime_ms: 20,
        reports: None,
        voip_metrics: false,
    }
}

/// Sets a call up with a secured called side.
fn call(relay: &Relay, events: &Receiver<Event>, number: u64, kind: OneWayKind) -> Call {
    let session = SessionId::new(0, number);
    let endpoints = vec![spec(0), spec(1)];
    relay.command(Command::Allocate { session, endpoints });
    let local = loop {
        match events.recv_timeout(PATIENCE).unwrap() {
            Event::Allocated { endpoints, .. } => break endpoints,
            Event::Refused { why, .. } => panic!("{why:?}"),
            _ => {}
        }
    };
    let (peers, streams) = (
        [socket(), socket()],
        [&local[0], &local[1]].map(|own| &own.streams[0]),
    );
    for (endpoint, (peer, stream)) in (0..).map(EndpointId).zip(peers.iter().zip(streams)) {
        relay.command(Command::Answer {
            session,
            endpoint,
            fork: ForkId(0),
            negotiated: Negotiated {
                streams: vec![Some(terms(peer, stream))],
            },
            stage: Stage::Final,
        });
    }
    relay.command(Command::Update {
        session,
        plan: BridgePlan {
            joined: Some((EndpointId(0), EndpointId(1))),
            silence_ms: 0,
        },
    });
    Call {
        session,
        kind,
        ours: streams.map(|stream| stream.rtp),
        peers,
        stray: socket(),
        right: Sender::new(&key(7)),
        wrong: Sender::new(&key(9)),
    }
}

impl Call {
    fn packet(payload_type: u8, number: u16) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type];
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(number) * 160).to_be_bytes());
        packet.extend([0, 0, 0, 1]);
        packet.extend((0..160u16).map(|at| (at * 7 + number) as u8));
        packet
    }

    fn secured(sender: &Sender, payload_type: u8, number: u16) -> Vec<u8> {
        let mut packet = Self::packet(payload_type, number);
        let length = packet.len();
        packet.resize(length + 14, 0);
        let length = sender
            .protect_rtp(&mut packet, length, number.into())
            .unwrap();
        packet.truncate(length);
        packet
    }

    /// A packet of each side; the called one makes its mistake unless it is mended.
    fn speak(&self, number: u16, is_mended: bool) {
        let send = |from: &UdpSocket, packet: &[u8], to| drop(from.send_to(packet, to));
        send(&self.peers[0], &Self::packet(8, number), self.ours[0]);
        let sound = Self::secured(&self.right, 8, number);
        let (peer, to) = (&self.peers[1], self.ours[1]);
        match self.kind {
            _ if is_mended => send(peer, &sound, to),
            OneWayKind::WrongSource => send(&self.stray, &sound, to),
            OneWayKind::DecryptFailures => {
                send(peer, &Self::secured(&self.wrong, 8, number), to);
            }
            OneWayKind::WrongPayloadType => {
                send(peer, &Self::secured(&self.right, 0, number), to);
            }
            OneWayKind::NoPackets
            | OneWayKind::NoChecks
            | OneWayKind::RefusedChecks
            | OneWayKind::NoHandshake
            | OneWayKind::KeyReused
            | OneWayKind::Silence
            | OneWayKind::NotReceived => {}
        }
    }
}

#[test]
fn faults_made_on_sockets_are_told_in_time_with_cause_and_cure_and_when_they_are_over() {
    let (relay, events) = relay();
    let calls: Vec<Call> = (1..)
        .zip(FAULTS)
        .map(|(number, (kind, _))| call(&relay, &events, number, kind))
        .collect();
    let began = Instant::now();
    let mut faults = BTreeMap::new();
    let mut over = BTreeMap::new();
    for number in 0.. {
        let is_mended = faults.len() == calls.len();
        calls.iter().for_each(|call| call.speak(number, is_mended));
        let next = began + Duration::from_millis(20) * (u32::from(number) + 1);
        while let Ok(event) = events.recv_timeout(next.saturating_duration_since(Instant::now())) {
            let is_about = |call: &&Call| call.session == event.session();
            let told = note(&Happened::Media(event.clone())).unwrap_or_default();
            match (&event, calls.iter().find(is_about)) {
                (Event::OneWay { endpoint, kind, .. }, Some(call)) => {
                    assert_eq!((*endpoint, *kind), (EndpointId(1), call.kind));
                    let before =
                        faults.insert(call.session, (kind.as_str(), told, began.elapsed()));
                    assert_eq!(before, None, "told once");
                }
                (Event::OneWayOver { endpoint, kind, .. }, Some(call)) => {
                    assert_eq!((*endpoint, *kind), (EndpointId(1), call.kind));
                    over.insert(call.session, told);
                }
                _ => {}
            }
        }
        if over.len() == calls.len() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{faults:?}\n{over:?}");
    }
    for (call, (kind, words)) in calls.iter().zip(FAULTS) {
        let (label, told, after) = &faults[&call.session];
        assert_eq!(*label, kind.as_str());
        assert!(*after < PROMISE + ROOM, "{label}: {after:?}");
        assert!(
            told.starts_with("one-way audio: leg 1 is not heard"),
            "{told}"
        );
        for word in words {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert!(over[&call.session].starts_with("one-way audio of leg 1 is over after"));
    }
    relay.shutdown();
}
