//! Peers without a common codec hear each other: through a session, and through the relay over loopback.

use crate::common::{A, B, Bench, codec, peer_a, peer_b, read, rtp, terms};
use media_api::*;
use media_relay::codec::{Coding, Decoder, Encoder, MAX_PAYLOAD_BYTES};
use media_relay::g711::Law;
use media_relay::session::{Outcome, SocketId};
use media_relay::srtp::{MAX_TRAILER_BYTES, Sender};
use media_relay::transcode::{Job, Pipe, Recoded};
use media_relay::{
    Backend, EXPEDITED_FORWARDING, Entropy, LocalAddress, Realm, Relay, RelayConfig, Timestamp,
};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

fn pcma() -> PayloadBinding {
    codec(8, 8, 1, "PCMA", 8_000)
}

fn pcmu() -> PayloadBinding {
    codec(0, 0, 2, "PCMU", 8_000)
}

fn g722() -> PayloadBinding {
    codec(9, 9, 3, "G722", 8_000)
}

fn opus() -> PayloadBinding {
    codec(111, 109, 4, "opus", 48_000)
}

fn events(clock_hz: u32) -> PayloadBinding {
    let (number, id) = if clock_hz == 8_000 {
        (101, 5)
    } else {
        (110, 6)
    };
    codec(number, number, id, "telephone-event", clock_hz)
}

fn joined(a: Vec<PayloadBinding>, b: Vec<PayloadBinding>) -> Bench {
    let mut bench = Bench::joined();
    for (endpoint, payloads, peer) in [(A, a, peer_a()), (B, b, peer_b())] {
        let terms = NegotiatedStream {
            payloads,
            ..terms(peer)
        };
        bench.answer(endpoint, terms);
    }
    bench
}

/// One packet into a session.
fn packet(bench: &mut Bench, packet: &[u8], slot: &mut [u8]) -> Outcome {
    slot[..packet.len()].copy_from_slice(packet);
    let (now, length) = (bench.now, packet.len());
    let session = &mut bench.session;
    session.packet(SocketId(0), peer_a(), slot, length, now, &mut bench.out)
}

#[test]
fn the_two_laws_are_exchanged_where_the_packet_lies() {
    let mut bench = joined(vec![pcma()], vec![pcmu()]);
    let (_, sent) = bench
        .send(A, peer_a(), &rtp(8, 1, 160, 9, &[0xd5; 160]))
        .unwrap();
    let heard = read(&sent);
    let mu_law = Law::Mu.encode(Law::A.decode(0xd5));
    assert_eq!((heard.payload_type, heard.payload), (0, vec![mu_law; 160]));
}

#[test]
fn a_peer_that_changes_to_the_law_that_the_other_one_has_not_is_heard() {
    let mut bench = joined(vec![pcma(), pcmu()], vec![pcma()]);
    let mut heard = |payload_type, sequence: u16, octet| {
        let packet = rtp(
            payload_type,
            sequence,
            u32::from(sequence) * 160,
            9,
            &[octet; 160],
        );
        read(&bench.send(A, peer_a(), &packet).unwrap().1)
    };
    let first = heard(8, 1, 0xd5);
    let other = heard(0, 2, 0x7e);
    let law = Law::A.encode(Law::Mu.decode(0x7e));
    assert_eq!((first.payload_type, first.payload), (8, vec![0xd5; 160]));
    assert_eq!((other.payload_type, other.payload), (8, vec![law; 160]));
    assert_eq!(other.sequence, first.sequence.wrapping_add(1));
    assert_eq!(other.timestamp, first.timestamp.wrapping_add(160));
    // Who has both hears either as it is.
    let back = rtp(8, 1, 160, 7, &[0x55; 160]);
    let back = read(&bench.send(B, peer_b(), &back).unwrap().1);
    assert_eq!((back.payload_type, back.payload), (8, vec![0x55; 160]));
}

#[test]
fn who_has_one_codec_in_common_is_never_transcoded() {
    let mut bench = joined(vec![pcma(), g722()], vec![opus(), g722()]);
    let mut slot = [0; 2048];
    let common = rtp(9, 1, 160, 9, &[1; 160]);
    let outcome = packet(&mut bench, &common, &mut slot);
    assert!(matches!(outcome, Outcome::Forward(_)), "{outcome:?}");
    let other = rtp(8, 2, 320, 9, &[1; 160]);
    let outcome = packet(&mut bench, &other, &mut slot);
    assert_eq!(outcome, Outcome::Dropped(DropReason::PayloadType));
}

#[test]
fn handing_over_and_taking_back_allocate_nothing() {
    let mut bench = joined(vec![pcma()], vec![g722()]);
    let mut slot = [0; 2048];
    let mut pipe = None;
    let mut sent = 0;
    let mut round = |bench: &mut Bench, pipe: &mut Option<Pipe>, at: u16, is_counted: bool| {
        bench.now.0 += 20_000;
        let voice = rtp(8, at, u32::from(at) * 160, 9, &[0x35; 160]);
        let mut allocated = 0;
        let mut outcome = None;
        allocated += allocation_counter::measure(|| {
            outcome = Some(packet(bench, &voice, &mut slot));
            bench.session.tick(bench.now, &mut bench.out);
        })
        .count_total;
        bench.out.clear();
        let Some(Outcome::Recode(recode)) = outcome else {
            panic!("{outcome:?}")
        };
        let job = Job::new(0, crate::common::SESSION, &recode, &slot, bench.now).unwrap();
        // What happens here happens on another thread.
        let pipe = pipe.get_or_insert_with(|| Pipe::new(&job, 1));
        pipe.take(&job);
        let mut recoded = Recoded::default();
        while pipe.due() <= bench.now {
            assert!(pipe.next(bench.now, &job, &mut recoded));
            let work = || {
                bench
                    .session
                    .recoded(&mut recoded, bench.now, &mut bench.out);
            };
            allocated += allocation_counter::measure(work).count_total;
            sent += bench.out.packets().count();
            bench.out.clear();
        }
        if is_counted {
            assert_eq!(allocated, 0, "packet {at}");
        }
    };
    for at in 0..2_000 {
        round(&mut bench, &mut pipe, at, at >= 500);
    }
    assert_eq!(sent, 1_999);
}

#[test]
fn an_event_is_told_under_the_clock_of_the_other_side_and_stays_one() {
    let mut bench = joined(vec![pcma(), events(8_000)], vec![opus(), events(48_000)]);
    let mut slot = [0; 2048];
    let mut told = Vec::new();
    for (at, units, flags) in [
        (0u16, 160u16, 10),
        (1, 320, 10),
        (2, 480, 0x8a),
        (3, 480, 0x8a),
    ] {
        let [high, low] = units.to_be_bytes();
        let event = rtp(101, 7 + at, 8_000, 9, &[5, flags, high, low]);
        let outcome = packet(&mut bench, &event, &mut slot);
        assert!(matches!(outcome, Outcome::Taken(_)));
        told.extend(bench.made().into_iter().map(|(_, packet)| read(&packet)));
        bench.wait_ms(20);
    }
    let payloads: Vec<&[u8]> = told.iter().map(|own| &own.payload[..]).collect();
    let units = [960u16, 1_920, 2_880, 2_880].map(u16::to_be_bytes);
    let of = |at: usize, flags| [5, flags, units[at][0], units[at][1]];
    assert_eq!(payloads, [of(0, 10), of(1, 10), of(2, 0x8a), of(3, 0x8a)]);
    assert!(told.iter().all(|own| own.payload_type == 110));
    assert!(told.iter().all(|own| own.timestamp == told[0].timestamp));
    let markers: Vec<bool> = told.iter().map(|own| own.marker).collect();
    assert_eq!(markers, [true, false, false, false]);
    let numbers = told.windows(2);
    assert!(
        numbers
            .into_iter()
            .all(|two| two[1].sequence == two[0].sequence.wrapping_add(1))
    );
}

/// What leaves for each packet of an event, given by sequence number, timestamp, event, flags and units: timestamp,
/// units, flags and marker.
fn told_under_48_khz(packets: &[(u16, u32, u8, u8, u16)]) -> Vec<(u32, u16, u8, bool)> {
    let mut bench = joined(vec![pcma(), events(8_000)], vec![opus(), events(48_000)]);
    let mut slot = [0; 2048];
    let mut told = Vec::new();
    for (sequence, timestamp, event, flags, units) in packets {
        let [high, low] = units.to_be_bytes();
        let payload = [*event, *flags, high, low];
        let event = rtp(101, *sequence, *timestamp, 9, &payload);
        assert!(matches!(
            packet(&mut bench, &event, &mut slot),
            Outcome::Taken(_)
        ));
        told.extend(bench.made().into_iter().map(|(_, packet)| read(&packet)));
        bench.wait_ms(50);
    }
    let numbers = told.windows(2);
    assert!(
        numbers
            .into_iter()
            .all(|two| two[1].sequence == two[0].sequence.wrapping_add(1))
    );
    let units = |own: &crate::common::Rtp| u16::from_be_bytes([own.payload[2], own.payload[3]]);
    let of = |own: &crate::common::Rtp| {
        let since = own.timestamp.wrapping_sub(told[0].timestamp);
        (since, units(own), own.payload[1], own.marker)
    };
    told.iter().map(of).collect()
}

#[test]
fn an_event_that_is_too_long_for_a_faster_clock_goes_on_in_further_segments() {
    // 1.3 s, 1.4 s, the same once more, and twice the end after 4.1 s.
    let told = told_under_48_khz(&[
        (7, 8_000, 5, 10, 10_400),
        (8, 8_000, 5, 10, 11_200),
        (9, 8_000, 5, 10, 11_200),
        (10, 8_000, 5, 0x8a, 32_800),
        (11, 8_000, 5, 0x8a, 32_800),
    ]);
    let full = 0xffff;
    let segment = u32::from(full);
    assert_eq!(
        told,
        [
            (0, 62_400, 10, true),
            (0, full, 10, false),
            (segment, 1_665, 10, false),
            (segment, 1_665, 10, false),
            (segment, full, 10, false),
            (2 * segment, full, 10, false),
            (3 * segment, 195, 0x8a, false),
            (3 * segment, 195, 0x8a, false),
        ]
    );
}

#[test]
fn segments_of_the_sender_are_one_event_on_the_other_side_as_well() {
    let told = told_under_48_khz(&[
        (7, 8_000, 5, 10, 0xffff),
        (8, 8_000 + 0xffff, 5, 10, 400),
        // Late, of the first segment.
        (6, 8_000, 5, 10, 0xff00),
        (9, 8_000 + 0xffff, 5, 0x8a, 800),
    ]);
    let segment = 0xffff_u32;
    let markers = told.iter().filter(|own| own.3).count();
    assert_eq!(markers, 1, "one event: {told:?}");
    assert_eq!(told[..6].iter().map(|own| own.0).collect::<Vec<_>>(), {
        (0..6).map(|at| at * segment).collect::<Vec<_>>()
    });
    assert_eq!(
        told[6..],
        [
            (5 * segment, 0xffff, 10, false),
            (6 * segment, 2_400, 10, false),
            (6 * segment, 4_800, 0x8a, false)
        ]
    );
}

#[test]
fn a_late_end_of_the_event_before_is_no_event_of_its_own() {
    let told = told_under_48_khz(&[
        (7, 8_000, 5, 10, 400),
        (8, 8_000, 5, 0x8a, 800),
        (10, 9_600, 5, 10, 400),
        (9, 8_000, 5, 0x8a, 800),
        (11, 9_600, 5, 0x8a, 800),
    ]);
    let markers: Vec<_> = told.iter().filter(|own| own.3).collect();
    assert_eq!((markers.len(), told.len()), (2, 4), "{told:?}");
}

#[test]
fn an_event_changes_its_clock_also_where_the_audio_passes() {
    let mut bench = joined(
        vec![opus(), events(8_000)],
        vec![codec(112, 112, 4, "opus", 48_000), events(48_000)],
    );
    let mut slot = [0; 2048];
    let mut numbers = Vec::new();
    for at in 0..6u16 {
        let is_event = (2..4).contains(&at);
        let sent = match is_event {
            true => rtp(
                101,
                at,
                8_000,
                9,
                &[1, if at == 3 { 0x8a } else { 10 }, 0, 160],
            ),
            false => rtp(111, at, u32::from(at) * 960, 9, &[0x78; 60]),
        };
        match packet(&mut bench, &sent, &mut slot) {
            Outcome::Forward(forward) => numbers.push(read(&slot[forward.range]).sequence),
            outcome => assert!(is_event && matches!(outcome, Outcome::Taken(_))),
        }
        let made = bench.made();
        numbers.extend(made.iter().map(|(_, packet)| read(packet).sequence));
        bench.wait_ms(20);
    }
    let first = numbers[0];
    let wanted: Vec<u16> = (0..6).map(|at| first.wrapping_add(at)).collect();
    assert_eq!(numbers, wanted);
}

fn start() -> (Relay, Receiver<Event>) {
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, high | 1, low, 77);
    let realm = Realm {
        id: RealmId(0),
        v4: Some(LocalAddress::direct(IpAddr::V4(address))),
        v6: None,
        first_port: 30_000,
        last_port: 39_999,
        dscp: EXPEDITED_FORWARDING,
        backend: Backend::Sockets,
    };
    let (events, received) = mpsc::channel();
    let config = RelayConfig {
        realms: vec![realm],
        workers: 1,
        is_pinned: false,
        quarantine: Duration::from_millis(1),
        entropy: Entropy::from_system().unwrap(),
    };
    let relay = Relay::start(config, Box::new(move |event| drop(events.send(event)))).unwrap();
    (relay, received)
}

/// A party of a call: its codec, its socket, what it has heard.
struct Party {
    binding: PayloadBinding,
    socket: UdpSocket,
    rate: u32,
    encoder: Encoder,
    decoder: Decoder,
    heard: Vec<i16>,
    sizes: Vec<usize>,
}

impl Party {
    fn new(binding: PayloadBinding) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let coding = Coding::of(&binding.format).unwrap();
        let rate = coding.joint_rate(coding);
        Self {
            binding,
            socket,
            rate,
            encoder: Encoder::new(coding, rate),
            decoder: Decoder::new(coding, rate),
            heard: Vec::new(),
            sizes: Vec::new(),
        }
    }

    /// Sends 20 ms of a tone of 1 kHz.
    fn speak(&mut self, at: u16, to: std::net::SocketAddr) {
        let frame = self.rate as usize / 50;
        let sample = |n: usize| {
            let n = usize::from(at) * frame + n;
            let phase = std::f64::consts::TAU * 1_000.0 * n as f64 / f64::from(self.rate);
            (8_000.0 * phase.sin()) as i16
        };
        let samples: Vec<i16> = (0..frame).map(sample).collect();
        let mut payload = [0; MAX_PAYLOAD_BYTES];
        let length = self.encoder.encode(&samples, &mut payload);
        let step = self.binding.format.clock_hz / 50;
        let timestamp = u32::from(at) * step;
        let packet = rtp(self.binding.receive, at, timestamp, 9, &payload[..length]);
        self.socket.send_to(&packet, to).unwrap();
    }

    fn listen(&mut self) {
        let mut buffer = [0; 2_000];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let heard = read(&buffer[..length]);
            assert_eq!(heard.payload_type, self.binding.send);
            let before = self.heard.len();
            assert!(self.decoder.decode(&heard.payload, &mut self.heard));
            self.sizes
                .push((self.heard.len() - before) * 1_000 / self.rate as usize);
        }
    }

    /// How far the tone stands out of everything else in the middle of what was heard, in dB.
    fn tone_db(&self) -> f64 {
        let all = self.heard.len();
        let samples = &self.heard[all / 4..all * 3 / 4];
        let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
        for (at, sample) in samples.iter().enumerate() {
            let phase = std::f64::consts::TAU * 1_000.0 * at as f64 / f64::from(self.rate);
            re += f64::from(*sample) * phase.cos();
            im += f64::from(*sample) * phase.sin();
            power += f64::from(*sample).powi(2);
        }
        let tone = 2.0 * (re * re + im * im) / samples.len() as f64;
        10.0 * (tone / (power - tone).max(1.0)).log10()
    }
}

#[test]
fn a_tone_is_heard_at_the_other_end_of_every_pair_in_the_packet_time_asked_for() {
    let (relay, events) = start();
    let pairs = [
        (pcma(), g722(), 30),
        (pcma(), opus(), 20),
        (g722(), opus(), 20),
        (pcmu(), g722(), 20),
    ];
    let mut calls = Vec::new();
    for (number, (a, b, ptime_ms)) in (1u64..).zip(pairs) {
        let session = SessionId::new(0, number);
        let spec = |endpoint| EndpointSpec {
            takes_last: true,
            endpoint,
            realm: RealmId(0),
            family: Family::V4,
            streams: vec![StreamSpec {
                kind: StreamKind::Audio,
                protection: ProtectionWanted::None,
                ice: None,
            }],
        };
        let endpoints = vec![spec(A), spec(B)];
        relay.command(Command::Allocate { session, endpoints });
        let local = loop {
            if let Event::Allocated { endpoints, .. } = events.recv_timeout(PATIENCE).unwrap() {
                break endpoints;
            }
        };
        let parties = [Party::new(a), Party::new(b)];
        for (party, endpoint) in parties.iter().zip([A, B]) {
            let agreed = NegotiatedStream {
                payloads: vec![party.binding.clone()],
                ptime_ms: if endpoint == B { ptime_ms } else { 20 },
                ..terms(party.socket.local_addr().unwrap())
            };
            relay.command(Command::Answer {
                session,
                endpoint,
                fork: ForkId(0),
                negotiated: Negotiated {
                    streams: vec![Some(agreed)],
                },
                stage: Stage::Final,
            });
        }
        let plan = BridgePlan {
            joined: Some((A, B)),
            silence_ms: 0,
        };
        relay.command(Command::Update { session, plan });
        let ports = [local[0].streams[0].rtp, local[1].streams[0].rtp];
        calls.push((parties, ports, usize::from(ptime_ms)));
    }
    // Speech has a pace, and so have those who transcode it.
    let begun = Instant::now();
    for at in 0..100u16 {
        let due = begun + Duration::from_millis(20) * u32::from(at);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for (parties, ports, _) in &mut calls {
            for (party, port) in parties.iter_mut().zip(ports) {
                party.speak(at, *port);
                party.listen();
            }
        }
    }
    let deadline = Instant::now() + PATIENCE;
    let enough = |party: &Party| party.heard.len() >= party.rate as usize * 9 / 5;
    while !calls.iter().all(|(parties, ..)| parties.iter().all(enough)) {
        assert!(
            Instant::now() < deadline,
            "everybody hears nearly two seconds"
        );
        std::thread::sleep(Duration::from_millis(5));
        for (parties, ..) in &mut calls {
            parties.iter_mut().for_each(Party::listen);
        }
    }
    for ([a, b], _, ptime_ms) in &calls {
        for (party, ms) in [(a, 20), (b, *ptime_ms)] {
            let name = &party.binding.format.name;
            assert!(
                party.sizes.iter().all(|size| *size == ms),
                "{name}: {ms} ms"
            );
            let db = party.tone_db();
            assert!(db > 8.0, "{name}: {db:.1} dB");
        }
    }
    relay.shutdown();
}

#[test]
fn who_hears_a_sound_of_ours_hears_nobody_beside_it() {
    let mut bench = joined(vec![pcma()], vec![g722(), pcmu()]);
    let mut slot = [0; 2048];
    let voice = rtp(8, 1, 160, 9, &[0x35; 160]);
    let Outcome::Recode(recode) = packet(&mut bench, &voice, &mut slot) else {
        panic!("G.722 comes first")
    };
    let job = Job::new(0, crate::common::SESSION, &recode, &slot, bench.now).unwrap();
    let mut pipe = Pipe::new(&job, 1);
    pipe.take(&job);
    bench.play(
        B,
        crate::common::endless(crate::common::tone(&[([440, 0], 1_000)])),
    );
    bench.out.clear();
    let mut recoded = Recoded::default();
    let due: Timestamp = pipe.due();
    assert!(pipe.next(due, &job, &mut recoded));
    bench.session.recoded(&mut recoded, due, &mut bench.out);
    assert_eq!(bench.out.packets().count(), 0);
    bench.play(B, None);
    assert!(pipe.next(due, &job, &mut recoded));
    bench.session.recoded(&mut recoded, due, &mut bench.out);
    assert_eq!(bench.out.packets().count(), 1);
}

#[test]
fn what_a_pipe_still_makes_is_left_out_once_audio_passes_as_it_is() {
    let mut bench = joined(vec![pcma()], vec![g722()]);
    let mut slot = [0; 2048];
    let voice = rtp(8, 1, 160, 9, &[0x35; 160]);
    let Outcome::Recode(recode) = packet(&mut bench, &voice, &mut slot) else {
        panic!("nothing in common")
    };
    let job = Job::new(0, crate::common::SESSION, &recode, &slot, bench.now).unwrap();
    let mut pipe = Pipe::new(&job, 1);
    pipe.take(&job);
    let mut recoded = Recoded::default();
    let due: Timestamp = pipe.due();
    assert!(pipe.next(due, &job, &mut recoded));
    bench.out.clear();
    assert!(bench.session.recoded(&mut recoded, due, &mut bench.out));
    assert_eq!(bench.out.packets().count(), 1);
    let terms = NegotiatedStream {
        payloads: vec![g722()],
        ..terms(peer_a())
    };
    bench.answer(A, terms);
    let wide = rtp(9, 2, 320, 9, &[0x35; 160]);
    let outcome = packet(&mut bench, &wide, &mut slot);
    assert!(matches!(outcome, Outcome::Forward(_)), "{outcome:?}");
    bench.out.clear();
    assert!(pipe.next(due, &job, &mut recoded));
    let is_heard = bench.session.recoded(&mut recoded, due, &mut bench.out);
    assert!(!is_heard, "the pipe is over");
    assert_eq!(bench.out.packets().count(), 0);
}

#[test]
fn another_clock_of_what_comes_back_begins_anew_however_often() {
    let mut bench = joined(vec![pcma()], vec![g722()]);
    let mut slot = [0; 2048];
    let mut pipe = None;
    let mut sent: Vec<crate::common::Rtp> = Vec::new();
    for at in 0..300u16 {
        if at % 60 == 0 {
            let payloads = vec![if at % 120 == 0 { g722() } else { opus() }];
            bench.answer(
                B,
                NegotiatedStream {
                    payloads,
                    ..terms(peer_b())
                },
            );
        }
        bench.wait_ms(20);
        let voice = rtp(8, at, u32::from(at) * 160, 9, &[0x35; 160]);
        let Outcome::Recode(recode) = packet(&mut bench, &voice, &mut slot) else {
            panic!("nothing in common")
        };
        let job = Job::new(0, crate::common::SESSION, &recode, &slot, bench.now).unwrap();
        let pipe = pipe.get_or_insert_with(|| Pipe::new(&job, 1));
        pipe.take(&job);
        bench.made();
        let mut recoded = Recoded::default();
        while pipe.due() <= bench.now {
            assert!(pipe.next(bench.now, &job, &mut recoded));
            assert!(
                bench
                    .session
                    .recoded(&mut recoded, bench.now, &mut bench.out)
            );
        }
        sent.extend(bench.made().iter().map(|(_, packet)| read(packet)));
    }
    assert!(sent.len() > 290);
    let mut changes = 0;
    for two in sent.windows(2) {
        let step = two[1].timestamp.wrapping_sub(two[0].timestamp);
        let usual = if two[1].payload_type == 9 { 160 } else { 960 };
        let is_change = two[0].payload_type != two[1].payload_type;
        changes += usize::from(is_change);
        assert_eq!(two[1].sequence, two[0].sequence.wrapping_add(1));
        assert!(
            step == usual || is_change && step <= 2 * usual,
            "{step} at {changes}"
        );
    }
    assert_eq!(changes, 4);
}

#[test]
fn speech_before_its_key_is_transcoded_when_that_comes() {
    let key = |seed| CryptoKey::new(Suite::AesCm128HmacSha1_80, vec![seed; 30]).unwrap();
    let wanted = ProtectionWanted::Sdes(vec![Suite::AesCm128HmacSha1_80]);
    let mut bench = Bench::allocated([wanted, ProtectionWanted::None]);
    let g722_terms = NegotiatedStream {
        payloads: vec![g722()],
        ..terms(peer_b())
    };
    bench.answer(B, g722_terms);
    bench.join(0);
    let sender = Sender::new(&key(2));
    let mut slot = [0; 2048];
    for at in 0..4u16 {
        let mut voice = rtp(8, at, u32::from(at) * 160, 9, &[0x35 + at as u8; 160]);
        let length = voice.len();
        voice.resize(length + MAX_TRAILER_BYTES, 0);
        let length = sender.protect_rtp(&mut voice, length, at.into()).unwrap();
        let outcome = packet(&mut bench, &voice[..length], &mut slot);
        assert_eq!(outcome, Outcome::Kept);
        bench.wait_ms(20);
    }
    bench.out.clear();
    let agreed = NegotiatedStream {
        protection: Protection::Sdes {
            local: key(1),
            remote: key(2),
        },
        payloads: vec![pcma()],
        ..terms(peer_a())
    };
    bench.answer(A, agreed);
    let recodes = bench.out.recodes();
    let all: Vec<(u64, u32, Vec<u8>)> = recodes
        .map(|(recode, realm, bytes, buffer)| {
            assert_eq!((realm, bytes), (Some(RealmId(0)), 172));
            let payload = buffer[recode.payload.clone()].to_vec();
            (recode.extended & 0xffff, recode.timestamp, payload)
        })
        .collect();
    let wanted = (0..4u8).map(|at| (at.into(), u32::from(at) * 160, vec![0x35 + at; 160]));
    assert_eq!(all, wanted.collect::<Vec<_>>());
    // Whether there is room for it is known when it is given away.
    assert!(bench.out.received.is_empty());
}
