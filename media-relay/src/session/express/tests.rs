//! Two sessions that hear the same: one judges every packet, the other has most of them forwarded by the model.

use super::model::{Model, Verdict};
use crate::entropy::Entropy;
use crate::session::{MediaSession, Outcome, Output, SocketId, StreamSockets};
use crate::time::{Timestamp, WallOffset};
use media_api::*;
use std::net::SocketAddr;

const SESSION: SessionId = SessionId(7);
const ENDS: [EndpointId; 2] = [EndpointId(0), EndpointId(1)];
const SLOT: usize = 1_600;

fn peer(end: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 10 + end as u8], 4_000))
}

fn rtp_socket(end: usize) -> SocketId {
    SocketId(2 * end as u32)
}

fn codec(receive: u8, send: u8, id: u16, name: &str, clock_hz: u32) -> PayloadBinding {
    PayloadBinding {
        receive,
        send,
        id: FormatId(id),
        format: Format {
            name: name.to_owned().into(),
            clock_hz,
            kind: match name {
                "telephone-event" => FormatKind::Event,
                _ => FormatKind::Audio,
            },
        },
    }
}

fn terms(end: usize, direction: Direction) -> NegotiatedStream {
    let [voice, event, other] = [[8, 101, 96], [8, 100, 97]][end];
    NegotiatedStream {
        content: Content::Rtp,
        remote_rtp: peer(end),
        remote_rtcp: SocketAddr::new(peer(end).ip(), 4_001),
        rtcp_mux: false,
        direction,
        protection: Protection::None,
        payloads: vec![
            codec(voice, voice, 1, "PCMA", 8_000),
            codec(event, event, 2, "telephone-event", 8_000),
            codec(other, other, 3, "opus", 48_000),
        ],
        source: SourcePolicy::Signalled,
        ice: None,
        ptime_ms: 20,
        reports: None,
        voip_metrics: false,
    }
}

fn answer(end: usize, direction: Direction) -> Command {
    answer_with(end, terms(end, direction))
}

fn answer_with(end: usize, terms: NegotiatedStream) -> Command {
    Command::Answer {
        session: SESSION,
        endpoint: ENDS[end],
        fork: ForkId(0),
        negotiated: Negotiated {
            streams: vec![Some(terms)],
        },
        stage: Stage::Final,
    }
}

/// A session, and what leaves of it.
struct Side {
    session: MediaSession,
    out: Output,
    events: Vec<Event>,
    left: Vec<(SocketAddr, Vec<u8>)>,
}

impl Side {
    fn new() -> Self {
        let mut entropy = Entropy::from_seed([5; 32]);
        let mut session = MediaSession::new(SESSION, WallOffset::default());
        for (end, endpoint) in ENDS.into_iter().enumerate() {
            let ours = SocketAddr::from(([192, 0, 2, 1], 20_000 + 2 * end as u16));
            let sockets = StreamSockets {
                realm: RealmId(end as u16),
                rtp: rtp_socket(end),
                rtcp: SocketId(2 * end as u32 + 1),
                advertised_rtp: ours,
                advertised_rtcp: ours,
            };
            session.add_endpoint(endpoint, &[sockets], &mut entropy);
        }
        Self {
            session,
            out: Output::new(),
            events: Vec::new(),
            left: Vec::new(),
        }
    }

    fn packet(&mut self, end: usize, from: SocketAddr, packet: &[u8], now: Timestamp) -> bool {
        let mut slot = [0; SLOT];
        slot[..packet.len()].copy_from_slice(packet);
        let socket = rtp_socket(end);
        let outcome =
            self.session
                .packet(socket, from, &mut slot, packet.len(), now, &mut self.out);
        self.collect();
        match outcome {
            Outcome::Forward(forward) => {
                self.left.push((forward.to, slot[forward.range].to_vec()));
                true
            }
            _ => false,
        }
    }

    fn collect(&mut self) {
        let made = self.out.packets();
        self.left
            .extend(made.map(|made| (made.to, made.bytes.to_vec())));
        self.events.append(&mut self.out.events);
        self.out.clear();
    }
}

/// Both, and what the second has given away.
struct Twins {
    plain: Side,
    express: Side,
    models: [Option<Model>; 2],
    may: [bool; 2],
    passed: u32,
    /// Whether somebody was said to be silent.
    is_silent: bool,
    now: Timestamp,
}

impl Twins {
    fn new() -> Self {
        let mut twins = Self {
            plain: Side::new(),
            express: Side::new(),
            models: [None; 2],
            may: [false; 2],
            passed: 0,
            is_silent: false,
            now: Timestamp(1_000_000),
        };
        for end in 0..2 {
            twins.command(answer(end, Direction::SendReceive));
        }
        twins.command(Command::Update {
            session: SESSION,
            plan: BridgePlan {
                joined: Some((ENDS[0], ENDS[1])),
                silence_ms: 2_000,
            },
        });
        twins
    }

    /// As a worker does before it looks at a session.
    fn end(&mut self) {
        for (end, model) in self.models.iter_mut().enumerate() {
            if let Some(model) = model.take() {
                self.passed += model.passed.packets;
                self.express.session.passed(rtp_socket(end), &model.passed);
            }
        }
        let [one, other] = [&self.plain, &self.express].map(|side| side.session.stats());
        assert_eq!(one, other);
    }

    fn begin(&mut self) {
        for end in 0..2 {
            let express = self.express.session.express(rtp_socket(end), self.now);
            let express = express.filter(|_| self.may[end]);
            self.may[end] = express.is_some();
            let until = Timestamp(self.now.0 + 1_000_000);
            self.models[end] = express.map(|express| Model::new(express, until));
        }
        assert_eq!(self.plain.left, self.express.left);
        assert_eq!(self.plain.events, self.express.events);
        let is_silence = |event: &Event| matches!(event, Event::Silent { .. });
        self.is_silent |= self.express.events.iter().any(is_silence);
        for side in [&mut self.plain, &mut self.express] {
            side.left.clear();
            side.events.clear();
        }
    }

    fn command(&mut self, command: Command) {
        self.end();
        for side in [&mut self.plain, &mut self.express] {
            side.session
                .command(command.clone(), self.now, &mut side.out);
            side.collect();
        }
        self.begin();
    }

    fn packet(&mut self, end: usize, from: SocketAddr, packet: &[u8]) {
        if let Some(model) = &mut self.models[end] {
            let mut copy = packet.to_vec();
            if model.take(from, &mut copy, self.now) == Verdict::Forwarded {
                self.express.left.push((peer(1 - end), copy));
                self.plain.packet(end, from, packet, self.now);
                return;
            }
        }
        self.end();
        self.plain.packet(end, from, packet, self.now);
        self.may[end] |= self.express.packet(end, from, packet, self.now);
        self.begin();
    }

    fn wait(&mut self, us: u64) {
        let until = self.now.0 + us;
        while let Some(due) = self.plain.session.next_deadline()
            && due.0 <= until
        {
            self.now = due.max(self.now);
            self.end();
            for side in [&mut self.plain, &mut self.express] {
                side.session.tick(self.now, &mut side.out);
                side.collect();
            }
            let next = self.plain.session.next_deadline();
            self.begin();
            if next.is_some_and(|next| next <= self.now) {
                break;
            }
        }
        self.now = Timestamp(until);
    }
}

/// What one peer sends.
struct Voice {
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
}

impl Voice {
    fn next(&mut self, payload_type: u8, octets: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(octets);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        packet
    }
}

fn voices() -> [Voice; 2] {
    [65_500, 9].map(|sequence| Voice {
        sequence,
        timestamp: u32::MAX - 50_000,
        ssrc: 77 + u32::from(sequence),
    })
}

#[test]
fn a_session_on_the_express_is_the_same_as_one_that_sees_every_packet() {
    let mut dice = Entropy::from_seed([9; 32]);
    let mut twins = Twins::new();
    let mut voices = voices();
    let mut sent = 0;
    for turn in 0..20_000u32 {
        for end in 0..2 {
            let octets: Vec<u8> = (0..160).map(|octet| (octet as u8) ^ turn as u8).collect();
            let voice = &mut voices[end];
            let packet = voice.next(8, &octets);
            sent += 1;
            match dice.below(400) {
                // Lost, twice, behind the next one, from somebody else.
                0 => continue,
                1 => twins.packet(end, peer(end), &packet),
                2 => {
                    let next = voice.next(8, &octets);
                    twins.packet(end, peer(end), &next);
                }
                3 => {
                    let stranger = SocketAddr::from(([203, 0, 113, 9], 4_000));
                    twins.packet(end, stranger, &packet);
                }
                // A key, another length, another codec, silence, another source of the same peer.
                4 => {
                    let timestamp = voice.timestamp;
                    for units in [160u16, 320, 480, 480, 480] {
                        let [high, low] = units.to_be_bytes();
                        let flags = if units == 480 { 0x8a } else { 0x0a };
                        voice.timestamp = timestamp;
                        let key = voice.next([101, 100][end], &[5, flags, high, low]);
                        twins.packet(end, peer(end), &key);
                        twins.wait(20_000);
                    }
                }
                5 => {
                    let long = voice.next(8, &[3; 320]);
                    twins.packet(end, peer(end), &long);
                }
                6 => {
                    let other = voice.next([96, 97][end], &[1, 2, 3, 4, 5, 6, 7]);
                    twins.packet(end, peer(end), &other);
                }
                7 => {
                    twins.wait(300_000 + dice.below(3_000_000) as u64);
                    voice.timestamp = voice.timestamp.wrapping_add(8 * 300);
                }
                8 => voice.ssrc = dice.next_u32(),
                9 => voice.sequence = voice.sequence.wrapping_add(4_000),
                // Its number is not the one of RTP version 2, or it has an extension.
                10 => {
                    let mut odd = packet.clone();
                    odd[0] = [0x40, 0x90, 0xa0][dice.below(3)];
                    twins.packet(end, peer(end), &odd);
                }
                _ => {}
            }
            twins.packet(end, peer(end), &packet);
        }
        match dice.below(600) {
            0 => twins.command(answer(dice.below(2), Direction::Inactive)),
            1 => {
                twins.command(answer(0, Direction::SendReceive));
                twins.command(answer(1, Direction::SendReceive));
            }
            2 => {
                for is_blocked in [true, false] {
                    twins.command(Command::Block {
                        session: SESSION,
                        endpoint: ENDS[0],
                        is_blocked,
                    });
                }
            }
            3 => {
                for tap in [Some(Tap::Headers), None] {
                    twins.command(Command::Tap {
                        session: SESSION,
                        tap,
                    });
                }
            }
            4 => twins.command(Command::Stats { session: SESSION }),
            _ => {}
        }
        let jitter = dice.below(3_000) as u64;
        twins.wait(18_500 + jitter);
    }
    twins.command(Command::Release {
        session: SESSION,
        endpoint: None,
        drain_ms: 0,
    });
    let least = f64::from(sent) * 0.25;
    assert!(
        f64::from(twins.passed) > least,
        "{} of {sent}",
        twins.passed
    );
}

/// A call that both have talked on for a while.
fn talking() -> (Twins, [Voice; 2]) {
    let (mut twins, mut voices) = (Twins::new(), voices());
    for turn in 0..20u8 {
        say(&mut twins, &mut voices, turn);
    }
    assert!(twins.models.iter().all(Option::is_some));
    (twins, voices)
}

fn say(twins: &mut Twins, voices: &mut [Voice; 2], turn: u8) {
    for (end, voice) in voices.iter_mut().enumerate() {
        let octets: Vec<u8> = (0..160).map(|octet| octet ^ turn).collect();
        let packet = voice.next(8, &octets);
        twins.packet(end, peer(end), &packet);
    }
    twins.wait(20_000);
}

#[test]
fn whatever_looks_at_packets_or_changes_them_keeps_them_off_the_express() {
    let orders: [(&str, Vec<Command>, [bool; 2]); 8] = [
        ("nothing", Vec::new(), [true, true]),
        (
            "a hold",
            vec![answer(0, Direction::Inactive)],
            [false, false],
        ),
        (
            "a tap",
            vec![Command::Tap {
                session: SESSION,
                tap: Some(Tap::Headers),
            }],
            [false, false],
        ),
        (
            "a block",
            vec![Command::Block {
                session: SESSION,
                endpoint: ENDS[0],
                is_blocked: true,
            }],
            [false, true],
        ),
        (
            "tones that are looked for",
            vec![Command::Take {
                session: SESSION,
                endpoint: ENDS[1],
                intake: Intake::Listen,
            }],
            [true, false],
        ),
        (
            "events that are watched",
            vec![Command::Take {
                session: SESSION,
                endpoint: ENDS[1],
                intake: Intake::Watch,
            }],
            [true, true],
        ),
        (
            "another party",
            vec![Command::HandOver {
                session: SESSION,
                endpoint: ENDS[0],
                to: SessionId(8),
            }],
            [false, true],
        ),
        (
            "the end",
            vec![Command::Release {
                session: SESSION,
                endpoint: None,
                drain_ms: 0,
            }],
            [false, false],
        ),
    ];
    for (what, commands, wanted) in orders {
        let (mut twins, mut voices) = talking();
        for command in commands {
            twins.command(command);
        }
        let now: Vec<_> = (0..2)
            .map(|end| {
                let express = twins.express.session.express(rtp_socket(end), twins.now);
                express.is_some()
            })
            .collect();
        assert_eq!(now, wanted, "{what}");
        if what != "another party" {
            for turn in 0..5 {
                say(&mut twins, &mut voices, turn);
            }
        }
    }
}

#[test]
fn silence_is_noticed_although_packets_pass_unseen() {
    let (mut twins, mut voices) = talking();
    for turn in 0..200 {
        say(&mut twins, &mut voices, turn);
    }
    assert!(!twins.is_silent);
    // Only the first goes on.
    for turn in 0..200u8 {
        let octets: Vec<u8> = (0..160).map(|octet| octet ^ turn).collect();
        let packet = voices[0].next(8, &octets);
        twins.packet(0, peer(0), &packet);
        twins.wait(20_000);
    }
    assert!(twins.passed > 400, "{}", twins.passed);
    assert!(twins.is_silent);
}

#[test]
fn a_peer_that_asks_for_another_length_gets_it() {
    let (mut twins, mut voices) = talking();
    for ptime_ms in [20, 30, 20, 40, 30, 20] {
        let terms = NegotiatedStream {
            ptime_ms,
            ..terms(1, Direction::SendReceive)
        };
        twins.command(answer_with(1, terms));
        if ptime_ms != 20 {
            let express = twins.express.session.express(rtp_socket(0), twins.now);
            assert!(express.is_none(), "{ptime_ms}");
        }
        for turn in 0..80 {
            say(&mut twins, &mut voices, turn);
        }
        // The other direction goes on.
        let is_begun = [0, 1].map(|end| twins.models[end].is_some());
        assert_eq!(is_begun, [ptime_ms == 20, true], "{ptime_ms}");
    }
}

#[test]
fn more_than_a_header_and_a_payload_is_not_waited_for() {
    let (mut twins, mut voices) = talking();
    let extension = [0xbe, 0xde, 0, 1, 0x10, 1, 0, 0];
    let more: [(&str, u8, &[u8], &[u8]); 3] = [
        ("an extension", 0x90, &extension, &[]),
        ("a contributing source", 0x81, &[1, 2, 3, 4], &[]),
        ("padding", 0xa0, &[], &[0, 0, 0, 4]),
    ];
    for (what, first, before, behind) in more {
        let mut packet = voices[0].next(8, &[3; 160]);
        packet[0] = first;
        packet.splice(12..12, before.iter().copied());
        packet.extend(behind);
        twins.packet(0, peer(0), &packet);
        let is_waited_for = |twins: &Twins| {
            let express = twins.express.session.express(rtp_socket(0), twins.now);
            express.is_some()
        };
        assert!(!is_waited_for(&twins), "{what}");
        twins.wait(20_000);
        say(&mut twins, &mut voices, 1);
        assert!(is_waited_for(&twins), "{what}");
    }
}
