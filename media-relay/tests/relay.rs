//! The whole relay over loopback sockets.

use crate::common::{A, B, endless, realm, terms, tone};
use media_api::*;
use media_relay::srtp::{Receiver as SrtpReceiver, Sender};
use media_relay::{
    Entropy, LocalAddress, Realm, Recordings, Relay, RelayConfig, StartError, Timestamp,
};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Mutex;

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

fn start(realm: Realm) -> (Relay, Receiver<Event>) {
    let (events, received) = mpsc::channel();
    let config = RelayConfig {
        realms: vec![realm],
        workers: 2,
        is_pinned: false,
        quarantine: Duration::from_millis(1),
        entropy: Entropy::from_system().unwrap(),
    };
    let relay = Relay::start(config, Box::new(move |event| drop(events.send(event)))).unwrap();
    (relay, received)
}

/// Threads of workers in this process, each with the cores that it may run on.
fn cores_of_workers() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let of = |folder: std::fs::DirEntry| {
        // One that ends meanwhile is none.
        let name = std::fs::read_to_string(folder.path().join("comm")).ok()?;
        let status = std::fs::read_to_string(folder.path().join("status")).ok()?;
        let mut lines = status.lines();
        let cores = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        let is_worker = name.starts_with("media-") && !name.starts_with("media-host");
        is_worker.then(|| cores.trim().to_owned())
    };
    tasks.filter_map(of).collect()
}

#[test]
fn workers_stay_on_cores_of_their_own_where_that_is_asked_for() {
    let config = RelayConfig {
        realms: vec![realm(40)],
        workers: 2,
        is_pinned: true,
        quarantine: Duration::from_millis(1),
        entropy: Entropy::from_system().unwrap(),
    };
    let relay = Relay::start(config, Box::new(drop)).unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all = cores_of_workers();
        let is_one = |cores: &&String| cores.parse::<u32>().is_ok();
        let pinned: BTreeSet<&String> = all.iter().filter(is_one).collect();
        // Workers of other tests may run anywhere, which on a machine of one core is there.
        if pinned.len() >= cores.min(2) {
            break;
        }
        assert!(Instant::now() < deadline, "{all:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(relay);
}

#[test]
fn a_worker_that_is_stuck_can_be_seen_and_one_that_has_nothing_to_do_is_not_taken_for_it() {
    let (events, received) = mpsc::channel();
    let (release, blocked) = mpsc::channel::<()>();
    let blocked = Mutex::new(blocked);
    let config = RelayConfig {
        realms: vec![realm(40)],
        workers: 2,
        is_pinned: false,
        quarantine: Duration::from_millis(1),
        entropy: Entropy::from_system().unwrap(),
    };
    // Whoever hears an event must never wait; this one waits.
    let sink = move |event| {
        events.send(event).unwrap();
        let _ = blocked.lock().unwrap().recv();
    };
    let relay = Relay::start(config, Box::new(sink)).unwrap();
    let comes_true = |what: &str, is_true: &dyn Fn() -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !is_true() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let stuck = Duration::from_secs(1);
    comes_true("idle workers come round", &|| {
        relay.longest_silence() < stuck / 2
    });
    relay.command(Command::Stats {
        session: SessionId::new(0, 1),
    });
    received.recv_timeout(PATIENCE).unwrap();
    comes_true("the stuck one is seen", &|| relay.longest_silence() > stuck);
    drop(release);
    comes_true("it comes round again", &|| {
        relay.longest_silence() < stuck / 2
    });
}

fn spec(endpoint: EndpointId, protection: ProtectionWanted) -> EndpointSpec {
    EndpointSpec {
        takes_last: true,
        endpoint,
        realm: RealmId(0),
        family: Family::V4,
        streams: vec![StreamSpec {
            kind: StreamKind::Audio,
            protection,
            ice: None,
        }],
    }
}

fn allocate(
    relay: &Relay,
    events: &Receiver<Event>,
    session: SessionId,
    endpoints: Vec<EndpointSpec>,
) -> Vec<LocalEndpoint> {
    relay.command(Command::Allocate { session, endpoints });
    match events.recv_timeout(PATIENCE).unwrap() {
        Event::Allocated {
            session: answered,
            endpoints,
        } if answered == session => endpoints,
        other => panic!("{other:?}"),
    }
}

fn peer() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn answer(relay: &Relay, session: SessionId, endpoint: EndpointId, terms: NegotiatedStream) {
    relay.command(Command::Answer {
        session,
        endpoint,
        fork: ForkId(0),
        negotiated: Negotiated {
            streams: vec![Some(terms)],
        },
        stage: Stage::Final,
    });
}

/// Waits for an answer to a command, so that everything before it has been applied.
fn settle(relay: &Relay, events: &Receiver<Event>, session: SessionId) -> SessionStats {
    relay.command(Command::Stats { session });
    loop {
        if let Event::Stats { stats, .. } = events.recv_timeout(PATIENCE).unwrap() {
            return stats;
        }
    }
}

#[test]
fn audio_flows_both_ways_and_the_session_ends_with_figures() {
    let (relay, events) = start(realm(40));
    let session = SessionId::new(3, 1);
    let specs = vec![
        spec(A, ProtectionWanted::None),
        spec(B, ProtectionWanted::None),
    ];
    let local = allocate(&relay, &events, session, specs);
    let peers = [peer(), peer()];
    for (peer, endpoint) in peers.iter().zip([A, B]) {
        answer(&relay, session, endpoint, terms(peer.local_addr().unwrap()));
    }
    join(&relay, session);
    settle(&relay, &events, session);

    let ports: Vec<SocketAddr> = local.iter().map(|local| local.streams[0].rtp).collect();
    assert!(ports.iter().all(|port| port.port() % 2 == 0));
    let mut buffer = [0; 2000];
    for sequence in 0..20u16 {
        for (from, to) in [(0, 1), (1, 0)] {
            let payload = [sequence as u8 + from as u8; 160];
            let packet = crate::common::rtp(8, sequence, u32::from(sequence) * 160, 77, &payload);
            peers[from].send_to(&packet, ports[from]).unwrap();
            let (length, source) = peers[to].recv_from(&mut buffer).unwrap();
            assert_eq!(source, ports[to]);
            let heard = crate::common::read(&buffer[..length]);
            assert_eq!(heard.payload, payload);
            assert_ne!(heard.ssrc, 77);
        }
    }
    relay.command(Command::Release {
        session,
        endpoint: None,
        drain_ms: 0,
    });
    let stats = loop {
        match events.recv_timeout(PATIENCE).unwrap() {
            Event::Released { stats, .. } => break stats,
            Event::FirstMedia { .. } | Event::SourcePinned { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    for endpoint in &stats.endpoints {
        let stream = &endpoint.streams[0];
        assert_eq!((stream.received_packets, stream.sent_packets), (20, 20));
        assert_eq!((stream.lost_packets, stream.dropped_total()), (0, 0));
        assert_eq!(stream.codec.as_deref(), Some("PCMA"));
    }
    // The goodbye of RFC 3550 §6.3.7 went to the RTCP port that nobody listens on; the ports are
    // free again before the event.
    let totals = relay.totals();
    assert_eq!(totals.realms[0].ports_used, 0);
    relay.shutdown();
}

/// A call that leaves us and comes back, such as one that Teams rings at a mobile: each of its legs is told the
/// address outside of the other, where the NAT turns no packet round (TDR-ICE-010).
#[test]
fn a_call_that_comes_back_is_heard_behind_a_nat_that_turns_nothing_round() {
    let outside = LocalAddress {
        bind: Ipv4Addr::LOCALHOST.into(),
        advertised: [192, 0, 2, 200].into(),
    };
    let (relay, events) = start(Realm {
        v4: Some(outside),
        ..realm(40)
    });
    let sessions = [SessionId::new(3, 1), SessionId::new(4, 1)];
    let local = sessions.map(|session| {
        let specs = [A, B].map(|endpoint| spec(endpoint, ProtectionWanted::None));
        let local = allocate(&relay, &events, session, specs.to_vec());
        let streams = local.iter().map(|own| own.streams[0].clone());
        streams.collect::<Vec<_>>()
    });
    let peers = [peer(), peer()];
    for (at, session) in sessions.into_iter().enumerate() {
        answer(&relay, session, A, terms(peers[at].local_addr().unwrap()));
        let other = &local[1 - at][1];
        assert_eq!(other.rtp.ip(), outside.advertised);
        let back = NegotiatedStream {
            remote_rtcp: other.rtcp,
            source: SourcePolicy::Signalled,
            ..terms(other.rtp)
        };
        answer(&relay, session, B, back);
        join(&relay, session);
        settle(&relay, &events, session);
    }
    let mut buffer = [0; 2000];
    for sequence in 0..5u16 {
        for (from, to) in [(0, 1), (1, 0)] {
            let payload = [sequence as u8 + from as u8; 160];
            let packet = crate::common::rtp(8, sequence, u32::from(sequence) * 160, 77, &payload);
            let ports = local[from][0].rtp.port();
            let sent = peers[from].send_to(&packet, (Ipv4Addr::LOCALHOST, ports));
            sent.unwrap();
            let (length, _) = peers[to].recv_from(&mut buffer).unwrap();
            assert_eq!(crate::common::read(&buffer[..length]).payload, payload);
        }
    }
    relay.shutdown();
}

/// Lets A and B of a session hear each other.
fn join(relay: &Relay, session: SessionId) {
    let plan = BridgePlan {
        joined: Some((A, B)),
        silence_ms: 0,
    };
    relay.command(Command::Update { session, plan });
}

/// Lets the endpoint A of a session hear something.
fn play(relay: &Relay, session: SessionId, playing: Option<Playing>) {
    relay.command(Command::Play {
        session,
        endpoint: A,
        playing,
    });
}

#[test]
fn many_peers_hear_their_sounds_in_time_and_the_totals_count_them() {
    const PEERS: u64 = 20;
    let (relay, events) = start(realm(100));
    let named = |value: i16| Recordings::new([(SoundId(1), [value; 800].into())]).unwrap();
    relay.set_recordings(named(3_000));
    let mut peers = Vec::new();
    let mut begun = Instant::now();
    for number in 0..PEERS {
        let session = SessionId::new(0, number);
        let specs = vec![spec(A, ProtectionWanted::None)];
        allocate(&relay, &events, session, specs);
        let peer = peer();
        answer(&relay, session, A, terms(peer.local_addr().unwrap()));
        begun = Instant::now();
        play(&relay, session, endless(Sound::Recording(SoundId(1))));
        peers.push((session, peer));
    }
    let mut buffer = [0; 2000];
    let mut hear = |peer: &UdpSocket| {
        let length = peer.recv(&mut buffer).unwrap();
        crate::common::read(&buffer[..length])
    };
    for (_, peer) in &peers {
        let mut before = hear(peer);
        assert!(before.marker);
        for _ in 1..25 {
            let packet = hear(peer);
            assert_eq!(packet.ssrc, before.ssrc);
            assert_eq!(packet.sequence, before.sequence.wrapping_add(1));
            before = packet;
        }
    }
    // The last peer's 25 packets come 20 ms after each other, never at once.
    assert!(begun.elapsed() >= Duration::from_millis(24 * 20));
    // Who plays a recording keeps it; who plays it from now on gets the new one.
    relay.set_recordings(named(-3_000));
    let (first, peer) = &peers[0];
    let old = hear(peer).payload[0];
    settle(&relay, &events, *first);
    play(&relay, *first, endless(Sound::Recording(SoundId(1))));
    let deadline = Instant::now() + PATIENCE;
    while hear(peer).payload[0] == old {
        assert!(Instant::now() < deadline, "the new one is heard");
    }
    assert_eq!(hear(&peers[2].1).payload[0], old);

    let mut sent = (0, 0);
    for (session, _) in &peers {
        play(&relay, *session, None);
        let stats = settle(&relay, &events, *session);
        let stream = &stats.endpoints[0].streams[0];
        assert_eq!(stream.sent_packets, stream.generated_packets);
        sent.0 += stream.sent_packets;
        sent.1 += stream.sent_bytes;
    }
    assert_eq!(sent.1, sent.0 * 172);
    relay.command(Command::Release {
        session: *first,
        endpoint: None,
        drain_ms: 0,
    });
    let comes_true = Instant::now() + PATIENCE;
    while relay.totals().realms[0].sent_bytes < sent.1 {
        assert!(Instant::now() < comes_true, "{:?}", relay.totals());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(relay.totals().realms[0].sent_bytes, sent.1);
    relay.shutdown();
}

#[test]
fn what_cannot_be_played_is_told_without_delay() {
    let (relay, events) = start(realm(20));
    let session = SessionId::new(0, 1);
    allocate(
        &relay,
        &events,
        session,
        vec![spec(A, ProtectionWanted::None)],
    );
    for sound in [Sound::Recording(SoundId(9)), tone(&[])] {
        play(&relay, session, endless(sound));
        let told = events.recv_timeout(PATIENCE).unwrap();
        let wanted = Event::Played {
            session,
            endpoint: A,
            heard: false,
        };
        assert_eq!(told, wanted);
    }
    relay.shutdown();
}

#[test]
fn ports_are_there_at_once_and_however_many_are_asked_for_none_is_given_twice() {
    let (relay, events) = start(realm(1023));
    let mut seen = BTreeSet::new();
    let sessions: Vec<_> = (0..200).map(|number| SessionId::new(0, number)).collect();
    for session in &sessions {
        relay.command(Command::Allocate {
            session: *session,
            endpoints: vec![
                spec(A, ProtectionWanted::None),
                spec(B, ProtectionWanted::Sdes(vec![Suite::AesCm128HmacSha1_80])),
            ],
        });
        if seen.is_empty() {
            let answer = events.try_recv().expect("it is answered before it returns");
            assert!(matches!(answer, Event::Allocated { .. }), "{answer:?}");
            note(&mut seen, &answer);
        }
    }
    while seen.len() < 2 * sessions.len() {
        let answer = events.recv_timeout(PATIENCE).unwrap();
        note(&mut seen, &answer);
    }
    let used = |relay: &Relay| relay.totals().realms[0].ports_used;
    assert_eq!(used(&relay), 400, "what waits for nobody is not in use");
    for session in sessions {
        relay.command(Command::Release {
            session,
            endpoint: None,
            drain_ms: 0,
        });
    }
    for _ in 0..200 {
        let answer = events.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(answer, Event::Released { .. }), "{answer:?}");
    }
    assert_eq!(used(&relay), 0);
    relay.shutdown();
}

#[test]
fn what_is_asked_for_later_is_not_answered_earlier() {
    let (relay, events) = start(realm(1023));
    for number in 0..20 {
        let session = SessionId::new(0, number);
        // More than are bound ahead, and then one of those.
        let specs = (0..9).map(|at| spec(EndpointId(at), ProtectionWanted::None));
        let one = vec![spec(EndpointId(9), ProtectionWanted::None)];
        for endpoints in [specs.collect(), one] {
            relay.command(Command::Allocate { session, endpoints });
        }
        for first in [0, 9] {
            match events.recv_timeout(PATIENCE).unwrap() {
                Event::Allocated { endpoints, .. } => {
                    assert_eq!(endpoints[0].endpoint, EndpointId(first));
                }
                other => panic!("{other:?}"),
            }
        }
        relay.command(Command::Release {
            session,
            endpoint: None,
            drain_ms: 0,
        });
        events.recv_timeout(PATIENCE).unwrap();
    }
    relay.shutdown();
}

/// Notes what was allocated, each port once.
fn note(seen: &mut BTreeSet<u16>, answer: &Event) {
    let Event::Allocated { endpoints, .. } = answer else {
        panic!("{answer:?}")
    };
    for endpoint in endpoints {
        assert!(seen.insert(endpoint.streams[0].rtp.port()), "{answer:?}");
    }
}

#[test]
fn exhausted_ports_refuse_the_whole_allocation_and_come_back_after_release() {
    let (relay, events) = start(realm(5));
    let (one, two) = (SessionId::new(0, 1), SessionId::new(0, 2));
    let pair = || {
        vec![
            spec(A, ProtectionWanted::None),
            spec(B, ProtectionWanted::None),
        ]
    };
    allocate(&relay, &events, one, pair());
    relay.command(Command::Allocate {
        session: two,
        endpoints: pair(),
    });
    assert_eq!(
        events.recv_timeout(PATIENCE).unwrap(),
        Event::Refused {
            session: two,
            endpoints: vec![A, B],
            why: AllocateError::PortsExhausted
        }
    );
    let usage = relay.totals();
    assert_eq!(
        (usage.realms[0].ports_used, usage.realms[0].ports_total),
        (2, 3)
    );
    relay.command(Command::Release {
        session: one,
        endpoint: None,
        drain_ms: 0,
    });
    assert!(matches!(
        events.recv_timeout(PATIENCE).unwrap(),
        Event::Released { .. }
    ));
    std::thread::sleep(Duration::from_millis(5));
    allocate(&relay, &events, two, pair());
    relay.shutdown();
}

#[test]
fn unknown_names_are_refused_where_there_is_an_answer_and_ignored_elsewhere() {
    let (relay, events) = start(realm(20));
    let session = SessionId::new(0, 9);
    relay.command(Command::Rollback {
        session,
        endpoint: A,
    });
    relay.command(Command::Update {
        session,
        plan: BridgePlan::default(),
    });
    for command in [
        Command::Stats { session },
        Command::Release {
            session,
            endpoint: None,
            drain_ms: 0,
        },
    ] {
        relay.command(command);
        assert_eq!(
            events.recv_timeout(PATIENCE).unwrap(),
            Event::Refused {
                session,
                endpoints: Vec::new(),
                why: AllocateError::Conflict
            }
        );
    }
    allocate(
        &relay,
        &events,
        session,
        vec![spec(A, ProtectionWanted::None)],
    );
    let again = vec![spec(A, ProtectionWanted::None)];
    relay.command(Command::Allocate {
        session,
        endpoints: again,
    });
    assert_eq!(
        events.recv_timeout(PATIENCE).unwrap(),
        Event::Refused {
            session,
            endpoints: vec![A],
            why: AllocateError::Conflict
        }
    );
    let mut elsewhere = spec(B, ProtectionWanted::None);
    elsewhere.family = Family::V6;
    relay.command(Command::Allocate {
        session,
        endpoints: vec![elsewhere],
    });
    assert_eq!(
        events.recv_timeout(PATIENCE).unwrap(),
        Event::Refused {
            session,
            endpoints: vec![B],
            why: AllocateError::NoAddress
        }
    );
    relay.shutdown();
}

#[test]
fn shutdown_releases_every_session() {
    let (relay, events) = start(realm(200));
    for number in 0..20 {
        let specs = vec![
            spec(A, ProtectionWanted::None),
            spec(B, ProtectionWanted::None),
        ];
        allocate(&relay, &events, SessionId::new(1, number), specs);
    }
    relay.shutdown();
    let released: BTreeSet<_> = events
        .try_iter()
        .map(|event| match event {
            Event::Released { session, .. } => session,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(released.len(), 20);
}

#[test]
fn keys_differ_for_every_suite_endpoint_and_session() {
    let (relay, events) = start(realm(60));
    let suites = Suite::ALL.to_vec();
    let mut seen = BTreeSet::new();
    for number in 0..5 {
        let wanted = || ProtectionWanted::Sdes(suites.clone());
        let specs = vec![spec(A, wanted()), spec(B, wanted())];
        for local in allocate(&relay, &events, SessionId::new(0, number), specs) {
            let keys = &local.streams[0].keys;
            assert_eq!(
                keys.iter().map(CryptoKey::suite).collect::<Vec<_>>(),
                suites
            );
            seen.extend(keys.iter().map(|key| key.expose_key_and_salt().to_vec()));
        }
    }
    assert_eq!(seen.len(), 5 * 2 * suites.len());
    relay.shutdown();
}

#[test]
fn realms_that_cannot_work_are_refused_at_the_start() {
    let refused = |realm: Realm| {
        let config = RelayConfig {
            realms: vec![realm],
            workers: 1,
            is_pinned: false,
            quarantine: RelayConfig::QUARANTINE,
            entropy: Entropy::from_seed([0; 32]),
        };
        Relay::start(config, Box::new(|_| {})).unwrap_err()
    };
    let wildcard = LocalAddress::direct(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    assert!(matches!(
        refused(Realm {
            v4: Some(wildcard),
            ..realm(4)
        }),
        StartError::Address(_)
    ));
    assert!(matches!(
        refused(Realm {
            v4: None,
            ..realm(4)
        }),
        StartError::Address(_)
    ));
    let foreign = LocalAddress::direct(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    assert!(matches!(
        refused(Realm {
            v4: Some(foreign),
            ..realm(4)
        }),
        StartError::Bind { .. }
    ));
    let empty = Realm {
        first_port: 10_001,
        last_port: 10_001,
        ..realm(4)
    };
    assert!(matches!(refused(empty), StartError::Ports(_)));
    assert!(matches!(
        refused(Realm {
            dscp: 64,
            ..realm(4)
        }),
        StartError::Dscp(_)
    ));
}

#[test]
fn a_secured_ipv4_leg_talks_to_a_plain_ipv6_leg_and_the_totals_add_up() {
    let Ok(b) = UdpSocket::bind("[::1]:0") else {
        return;
    };
    b.set_read_timeout(Some(PATIENCE)).unwrap();
    let v6 = LocalAddress::direct(b.local_addr().unwrap().ip());
    let (relay, events) = start(Realm {
        v6: Some(v6),
        ..realm(400)
    });
    let session = SessionId::new(0, 1);
    let mut plain = spec(B, ProtectionWanted::None);
    plain.family = Family::V6;
    let suite = Suite::AesCm128HmacSha1_80;
    let specs = vec![spec(A, ProtectionWanted::Sdes(vec![suite])), plain];
    let local = allocate(&relay, &events, session, specs);
    let a = peer();
    let ours = local[0].streams[0].keys[0].clone();
    let theirs = CryptoKey::new(suite, vec![7; 30]).unwrap();
    let (sender, mut receiver) = (Sender::new(&theirs), SrtpReceiver::new(&ours));
    let protection = Protection::Sdes {
        local: ours,
        remote: theirs,
    };
    let secured = NegotiatedStream {
        protection,
        ..terms(a.local_addr().unwrap())
    };
    answer(&relay, session, A, secured);
    answer(&relay, session, B, terms(b.local_addr().unwrap()));
    join(&relay, session);
    settle(&relay, &events, session);
    let mut buffer = [0; 2000];
    for sequence in 0..50u16 {
        let plain = crate::common::rtp(8, sequence, u32::from(sequence) * 160, 77, &[9; 160]);
        let mut packet = [&plain[..], &[0; 14]].concat();
        let length = sender
            .protect_rtp(&mut packet, plain.len(), sequence.into())
            .unwrap();
        a.send_to(&packet[..length], local[0].streams[0].rtp)
            .unwrap();
        let (length, source) = b.recv_from(&mut buffer).unwrap();
        assert_eq!(source, local[1].streams[0].rtp);
        assert_eq!(crate::common::read(&buffer[..length]).payload, [9; 160]);
        b.send_to(&plain, local[1].streams[0].rtp).unwrap();
        let (length, _) = a.recv_from(&mut buffer).unwrap();
        let length = receiver
            .unprotect_rtp(&mut buffer[..length], Timestamp(0))
            .unwrap();
        assert_eq!(crate::common::read(&buffer[..length]).payload, [9; 160]);
    }
    b.send_to(b"noise", local[1].streams[0].rtp).unwrap();
    // Totals are published a few times a second.
    let mut totals = relay.totals();
    for _ in 0..1000 {
        if totals.realms[0].dropped[DropReason::Malformed as usize] == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
        totals = relay.totals();
    }
    let realm = &totals.realms[0];
    assert_eq!((realm.received_packets, realm.sent_packets), (100, 100));
    assert_eq!((realm.received_bytes, realm.sent_bytes), (17_200, 17_200));
    assert_eq!(
        (totals.sessions, totals.panics, realm.ports_used),
        (1, 0, 2)
    );
    // The first packets are measured, and then those of one turn in a thousand packets.
    assert_eq!(totals.delays.iter().sum::<u64>(), 1);
    relay.shutdown();
}

/// The key that a party has in its description.
fn key(suite: Suite, octet: u8) -> CryptoKey {
    let bytes = vec![octet; suite.key_and_salt_bytes()];
    CryptoKey::new(suite, bytes).unwrap()
}

#[test]
fn a_party_that_changes_to_a_session_of_another_worker_is_heard_from_its_old_port() {
    let (relay, events) = start(realm(80));
    let (old, new) = (SessionId::new(0, 1), SessionId::new(0, 2));
    let suite = Suite::AesCm128HmacSha1_80;
    let (party, other) = (peer(), peer());
    let mut ports = Vec::new();
    for (session, octet) in [(old, 1), (new, 2)] {
        let wanted = ProtectionWanted::Sdes(vec![suite]);
        let specs = vec![spec(A, ProtectionWanted::None), spec(B, wanted)];
        let local = allocate(&relay, &events, session, specs);
        let stream = &local[1].streams[0];
        let secured = NegotiatedStream {
            protection: Protection::Sdes {
                local: stream.keys[0].clone(),
                remote: key(suite, octet),
            },
            ..terms(party.local_addr().unwrap())
        };
        ports.push(stream.rtp);
        answer(&relay, session, B, secured);
        answer(&relay, session, A, terms(other.local_addr().unwrap()));
        join(&relay, session);
    }
    relay.command(Command::HandOver {
        session: old,
        endpoint: B,
        to: new,
    });
    relay.command(Command::Release {
        session: old,
        endpoint: None,
        drain_ms: 0,
    });
    let is_over = |event: Event| matches!(event, Event::Released { .. });
    while !is_over(events.recv_timeout(PATIENCE).unwrap()) {}
    relay.command(Command::Follow {
        session: new,
        endpoint: B,
        of: (old, B),
    });
    settle(&relay, &events, new);
    let mut buffer = [0; 2000];
    let mut hear = |port: SocketAddr, octet: u8, sequence: u16| {
        let mut packet =
            crate::common::rtp(8, sequence, u32::from(sequence) * 160, 77, &[octet; 160]);
        let plain = packet.len();
        packet.resize(plain + 64, 0);
        let sender = Sender::new(&key(suite, octet));
        let index = u64::from(sequence);
        let length = sender.protect_rtp(&mut packet, plain, index).unwrap();
        party.send_to(&packet[..length], port).unwrap();
        let (length, _) = other.recv_from(&mut buffer).unwrap();
        crate::common::read(&buffer[..length])
    };
    // With the keys of the old call, and then with those of the new one.
    let before = hear(ports[0], 1, 10);
    let after = hear(ports[1], 2, 11);
    assert_eq!(
        (before.payload, after.payload),
        (vec![1; 160], vec![2; 160])
    );
    assert_eq!(before.ssrc, after.ssrc);
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    // What is kept ends with the relay.
    assert_eq!(relay.totals().realms[0].ports_used, 3);
    relay.shutdown();
}
