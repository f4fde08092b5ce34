//! A media session under any order of packets, agreements and time.
//!
//! The first octet chooses what protects each of the two endpoints. Then acts follow, each an octet
//! and what it takes: a raw datagram, one that the peer protected, a plausible voice packet, time, a
//! new agreement, a rollback, a plan, a sound, the end of an endpoint.

use crate::reader::Reader;
use media_api::{
    Beside, BridgePlan, Command, Content, CryptoKey, Dialled, Digit, Direction, EndpointId,
    EndpointSpec, Event, Family, ForkId, Format, FormatId, FormatKind, Intake, Nearby, Negotiated,
    NegotiatedStream, PayloadBinding, Playing, Protection, ProtectionWanted, RealmId, SessionId,
    Signal, Sound, SoundId, SourcePolicy, Stage, StreamKind, StreamSpec, Suite, Tone, TonePhase,
};
use media_relay::packet::rtcp::Compound;
use media_relay::packet::rtp::RtpHeader;
use media_relay::session::{
    Forward, Generated, MediaSession, Outcome, Output, SocketId, StreamSockets, local_endpoints,
};
use media_relay::srtp::{MAX_TRAILER_BYTES, Receiver, Sender};
use media_relay::{Entropy, Recordings, Timestamp, WallOffset};
use std::net::SocketAddr;

const SESSION: SessionId = SessionId(7);
/// Longest run that is played.
const ACTS: usize = 400;
/// Most ticks in a row; then the worker is stuck for the rest of the time.
const TICKS: usize = 2_000;
/// Packets of one sound that may leave at once: what is up to 60 ms late, every 10 ms.
const BURST: usize = 7;
/// 60 ms of what is packed anew, and its header.
const LONGEST_PACKED: usize = 12 + 480;

pub(crate) fn check(data: &[u8]) {
    let mut input = Reader::new(data);
    let mut bench = Bench::new(input.octet());
    for _ in 0..ACTS {
        if input.is_empty() {
            break;
        }
        bench.act(&mut input);
    }
    bench.end();
}

/// One side of the session and the peer behind it.
struct Side {
    endpoint: EndpointId,
    /// Our key, and the context with which the peer opens what we send.
    local: Option<(CryptoKey, Receiver)>,
    /// The peer's keys, to change between.
    remote: Vec<(CryptoKey, Sender)>,
    /// Whether a fax was ever agreed on.
    has_faxed: bool,
}

struct Bench {
    session: MediaSession,
    out: Output,
    now: Timestamp,
    sides: [Side; 2],
    recordings: Recordings,
    datagrams: u64,
    /// RTP packets that ended in the session, as parts of packets of ours.
    taken: u64,
    /// Sounds that were ordered and have not told of their end.
    sounds: usize,
    freed: Vec<SocketId>,
    released: usize,
}

impl Bench {
    fn new(protection: u8) -> Self {
        let wall = WallOffset {
            unix_us: 1_700_000_000_000_000,
        };
        let mut session = MediaSession::new(SESSION, wall);
        let mut entropy = Entropy::from_seed([42; 32]);
        let sides = [0, 1].map(|number: u8| {
            let suite = match (protection >> (2 * number)) & 3 {
                0 | 3 => None,
                1 => Some(Suite::AesCm128HmacSha1_80),
                _ => Some(Suite::AesCm128HmacSha1_32),
            };
            side(&mut session, &mut entropy, number, suite)
        });
        let mut bench = Self {
            session,
            out: Output::new(),
            now: Timestamp(10_000_000),
            sides,
            recordings: Recordings::new([
                (SoundId(0), (0..1_000).collect()),
                (SoundId(1), [i16::MAX].into()),
            ])
            .expect("few and short"),
            datagrams: 0,
            taken: 0,
            sounds: 0,
            freed: Vec::new(),
            released: 0,
        };
        // Most runs start as a call: answered and joined. Acts undo that as they like.
        if protection & 0x80 == 0 {
            for at in [0, 1] {
                bench.agree(at, ForkId(0), Stage::Final, &mut Reader::new(&[]));
            }
            bench.plan(Some((EndpointId(0), EndpointId(1))), 0);
        }
        bench
    }

    fn act(&mut self, input: &mut Reader<'_>) {
        let act = input.octet();
        let at = usize::from(act >> 7);
        match act & 0x0f {
            0..=2 => {
                let (socket, from) = (input.octet(), input.octet());
                let packet = input.counted();
                self.datagram(at, socket, from, packet);
            }
            3 | 4 => {
                let (socket, from, roll_over) = (input.octet(), input.octet(), input.octet() % 3);
                let sealed = self.sealed(at, usize::from(socket >> 4), roll_over, input.counted());
                self.datagram(at, socket, from, &sealed);
            }
            5..=7 => {
                let (from, sequence, kind) = (input.octet(), input.word(), input.octet());
                let voice = voice(sequence, kind);
                let sealed = self.sealed(at, 0, 0, &voice);
                self.datagram(at, 0, from, &sealed);
                self.pass(20_000);
            }
            8 | 9 => {
                let scale = 1 << (((act >> 4) & 7) * 2);
                self.pass(u64::from(input.word()) * scale);
            }
            10 | 11 => {
                let fork = ForkId(input.octet() % 6);
                let stage = input.pick(&[Stage::Final, Stage::Preview]);
                self.agree(at, fork, stage, input);
            }
            12 if act & 0x20 != 0 => self.digits(at, act & 0x10 != 0, input),
            12 => {
                let (session, endpoint) = (SESSION, self.sides[at].endpoint);
                self.command(match act & 0x10 {
                    0 => Command::Rollback { session, endpoint },
                    _ => Command::Expect { session, endpoint },
                });
            }
            13 => {
                let joined = input.pick(&[
                    Some((EndpointId(0), EndpointId(1))),
                    Some((EndpointId(1), EndpointId(0))),
                    Some((EndpointId(0), EndpointId(0))),
                    Some((EndpointId(0), EndpointId(9))),
                    None,
                ]);
                self.plan(joined, u32::from(input.word()));
            }
            14 if act & 0x10 != 0 => self.play(at, input),
            14 => self.command(Command::Stats { session: SESSION }),
            _ => {
                let endpoint = input.pick(&[
                    None,
                    Some(EndpointId(0)),
                    Some(EndpointId(1)),
                    Some(EndpointId(9)),
                ]);
                self.command(Command::Release {
                    session: SESSION,
                    endpoint,
                    drain_ms: 0,
                });
            }
        }
    }

    /// What becomes of digits of a side, or a digit for it.
    fn digits(&mut self, at: usize, is_dialled: bool, input: &mut Reader<'_>) {
        let endpoint = self.sides[at].endpoint;
        let choice = input.octet();
        self.command(match is_dialled {
            false => Command::Take {
                session: SESSION,
                endpoint,
                intake: match choice {
                    248..=255 => Intake::Listen,
                    240..=247 => Intake::Watch,
                    _ => [Intake::Pass, Intake::Events, Intake::Tones][usize::from(choice % 3)],
                },
            },
            true => Command::Dial {
                session: SESSION,
                endpoint,
                dialled: Dialled {
                    digit: Digit::from_event(choice & 0x0f).expect("one of sixteen"),
                    duration_ms: u16::from(choice >> 5) * 1_000,
                    signal: [Signal::Event, Signal::Tone][usize::from(choice >> 4 & 1)],
                },
            },
        });
    }

    fn datagram(&mut self, at: usize, socket: u8, from: u8, packet: &[u8]) {
        let socket = SocketId(2 * at as u32 + u32::from(socket & 1));
        let from = SOURCES[(usize::from(from) + 2 * at) % SOURCES.len()];
        let mut slot = vec![0xee; packet.len() + MAX_TRAILER_BYTES];
        slot[..packet.len()].copy_from_slice(packet);
        let (now, length) = (self.now, packet.len());
        let outcome = self
            .session
            .packet(socket, from, &mut slot, length, now, &mut self.out);
        self.datagrams += 1;
        assert!(self.out.events.len() <= 12, "bounded news of one packet");
        match outcome {
            Outcome::Forward(forward) => {
                assert!(!self.session.is_released(), "nothing after the end");
                assert!(forward.range.len() <= length + MAX_TRAILER_BYTES);
                self.forwarded(&forward, packet, &mut slot);
            }
            // Whoever transcodes is another target.
            Outcome::Taken(_) | Outcome::Recode(_) => self.taken += 1,
            Outcome::Handed(_) => panic!("no party has been handed over"),
            Outcome::Checked => panic!("nobody has a password here"),
            Outcome::Report | Outcome::Kept | Outcome::Dropped(_) => {}
        }
        self.settle(Some(packet));
    }

    /// A packet that leaves is RTP as we write it, protected as agreed, to somebody who was named
    /// or heard. That of a fax is as it came.
    fn forwarded(&mut self, forward: &Forward, received: &[u8], slot: &mut [u8]) {
        assert!(
            SOURCES.contains(&forward.to),
            "{} was never heard of",
            forward.to
        );
        let packet = &mut slot[forward.range.clone()];
        let to = usize::from(forward.socket.0 >= 2);
        assert_eq!(forward.socket.0 % 2, 0, "RTP leaves by the RTP port");
        if packet == received && self.sides.iter().all(|side| side.has_faxed) {
            return;
        }
        let length = match &mut self.sides[to].local {
            None => packet.len(),
            Some((_, receiver)) => receiver
                .unprotect_rtp(packet, self.now)
                .expect("the peer can open it"),
        };
        assert_eq!(length, forward.plain_bytes);
        is_ours(&packet[..length]);
    }

    /// What the peer of a side would send: protected if its side is.
    fn sealed(&self, at: usize, key: usize, roll_over: u8, packet: &[u8]) -> Vec<u8> {
        let remote = &self.sides[at].remote;
        if remote.is_empty() {
            return packet.to_vec();
        }
        let (master, sender) = &remote[key % remote.len()];
        let mut slot = packet.to_vec();
        slot.resize(packet.len() + MAX_TRAILER_BYTES, 0);
        let is_rtcp = matches!(packet.get(1), Some(192..=223));
        let sealed = match (is_rtcp, RtpHeader::parse(packet)) {
            (true, _) => Sender::new(master).protect_rtcp(&mut slot, packet.len()),
            (false, Ok(header)) => {
                let index = u64::from(roll_over) << 16 | u64::from(header.sequence);
                sender.protect_rtp(&mut slot, packet.len(), index)
            }
            (false, Err(_)) => Ok(packet.len()),
        };
        slot.truncate(sealed.unwrap_or(packet.len()));
        slot
    }

    fn agree(&mut self, at: usize, fork: ForkId, stage: Stage, input: &mut Reader<'_>) {
        let side = &self.sides[at];
        let choice = input.octet();
        let remote_rtp = SOURCES[(usize::from(choice & 7) + 2 * at) % SOURCES.len()];
        let is_mux = choice & 0x08 != 0;
        let remote_rtcp = match is_mux {
            true => remote_rtp,
            false => SocketAddr::new(remote_rtp.ip(), remote_rtp.port().saturating_add(1)),
        };
        let protection = match &side.local {
            None => Protection::None,
            Some((local, _)) => Protection::Sdes {
                local: local.clone(),
                remote: side.remote[usize::from(choice >> 4) % side.remote.len()]
                    .0
                    .clone(),
            },
        };
        let terms = NegotiatedStream {
            content: Content::Rtp,
            remote_rtp: match input.octet() {
                255 => SocketAddr::from(([0, 0, 0, 0], remote_rtp.port())),
                _ => remote_rtp,
            },
            remote_rtcp,
            rtcp_mux: is_mux,
            direction: input.pick(&[
                Direction::SendReceive,
                Direction::Send,
                Direction::Receive,
                Direction::Inactive,
            ]),
            protection,
            payloads: payloads(input.octet()),
            source: input.pick(&[
                SourcePolicy::Signalled,
                SourcePolicy::Restricted(Nearby::default()),
                SourcePolicy::Restricted(Nearby {
                    signalling: Some(remote_rtp.ip()),
                    ..Nearby::default()
                }),
                SourcePolicy::Open(Nearby::default()),
            ]),
            ice: None,
            ptime_ms: 10 + input.octet() % 51,
            reports: None,
            voip_metrics: false,
        };
        let endpoint = side.endpoint;
        let terms = match input.octet() {
            255 => None,
            240..=254 => {
                self.sides[at].has_faxed = true;
                Some(NegotiatedStream {
                    content: Content::Udptl,
                    remote_rtcp: SocketAddr::new(remote_rtp.ip(), 0),
                    rtcp_mux: false,
                    protection: Protection::None,
                    payloads: Vec::new(),
                    ..terms
                })
            }
            _ => Some(terms),
        };
        self.command(Command::Answer {
            session: SESSION,
            endpoint,
            fork,
            negotiated: Negotiated {
                streams: vec![terms],
            },
            stage,
        });
    }

    fn plan(&mut self, joined: Option<(EndpointId, EndpointId)>, silence_ms: u32) {
        self.command(Command::Update {
            session: SESSION,
            plan: BridgePlan { joined, silence_ms },
        });
    }

    fn play(&mut self, at: usize, input: &mut Reader<'_>) {
        let sound = match input.octet() {
            choice @ 0..=3 => Some(Sound::Recording(SoundId(choice.into()))),
            4 => Some(Sound::Noise),
            choice @ 5..=15 => Some(Sound::Tone(Tone {
                phases: (0..choice & 3)
                    .map(|_| TonePhase {
                        hz: [input.word(), input.word()],
                        ms: input.word(),
                    })
                    .collect(),
            })),
            16..=255 => None,
        };
        let times = input.octet().checked_sub(1).map(u16::from);
        let beside = match input.flag() {
            false => Beside::Muted,
            true => Beside::First {
                quiet_ms: input.word(),
            },
        };
        let playing = sound.map(|sound| Playing {
            sound,
            times,
            beside,
        });
        self.sounds += usize::from(playing.is_some());
        let endpoint = match input.octet() {
            255 => EndpointId(9),
            _ => self.sides[at].endpoint,
        };
        let (recordings, out) = (&self.recordings, &mut self.out);
        self.session
            .play(endpoint, playing, recordings, self.now, out);
        self.settle(None);
    }

    fn command(&mut self, command: Command) {
        self.session.command(command, self.now, &mut self.out);
        self.settle(None);
    }

    /// Lets time pass, with every tick on the way.
    fn pass(&mut self, us: u64) {
        let end = Timestamp(self.now.0 + us.min(300_000_000));
        for _ in 0..TICKS {
            let Some(due) = self.session.next_deadline().filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            self.session.tick(self.now, &mut self.out);
            assert!(
                self.session
                    .next_deadline()
                    .is_none_or(|next| next > self.now),
                "what is due is done"
            );
            self.settle(None);
        }
        self.now = end;
    }

    /// Looks at what the session made and said, of a datagram if there was one, and empties its sink.
    fn settle(&mut self, received: Option<&[u8]>) {
        let made: Vec<_> = self
            .out
            .packets()
            .map(|made| (made.socket, made.to, made.bytes.to_vec(), made.generated))
            .collect();
        let generated = made.iter().filter(|made| made.3.is_some()).count();
        assert!(
            generated <= 2 * BURST,
            "what is late is not sent in a burst"
        );
        for (socket, to, mut bytes, generated) in made {
            assert!(!to.ip().is_unspecified() && to.port() != 0);
            if let Some(generated) = generated {
                self.heard(socket, to, &mut bytes, generated, received);
                continue;
            }
            let side = &mut self.sides[usize::from(socket.0 >= 2)];
            let length = match &mut side.local {
                None => bytes.len(),
                Some((_, receiver)) => receiver
                    .unprotect_rtcp(&mut bytes)
                    .expect("the peer can open it"),
            };
            let report = &bytes[..length];
            Compound::parse(report).expect("we send RTCP");
            rtc_rtcp::packet::unmarshal(&mut &report[..]).expect("read by the oracle");
        }
        for event in &self.out.events {
            assert_eq!(event.session(), SESSION);
            if matches!(event, Event::Released { .. }) {
                self.released += 1;
            }
            if matches!(event, Event::Played { .. }) {
                self.sounds = self.sounds.checked_sub(1).expect("one end of each sound");
            }
        }
        for socket in &self.out.freed {
            assert!(!self.freed.contains(socket), "a socket is freed once");
            self.freed.push(*socket);
        }
        // What was kept, and is part of packets of ours now, or will be.
        let late = self.out.received.iter().filter(|(_, bytes)| *bytes == 0);
        let recodes = self.out.recodes().filter(|(_, realm, ..)| realm.is_some());
        self.taken += (late.count() + recodes.count()) as u64;
        self.out.clear();
        self.count();
    }

    /// A packet of a sound or a digit is RTP as we write it, in a format that those are made in. What is
    /// made of a datagram may be anything that was in it.
    fn heard(
        &mut self,
        socket: SocketId,
        to: SocketAddr,
        packet: &mut [u8],
        made: Generated,
        received: Option<&[u8]>,
    ) {
        assert!(SOURCES.contains(&to), "{to} was never heard of");
        assert_eq!(socket.0 % 2, 0, "RTP leaves by the RTP port");
        let length = match &mut self.sides[usize::from(socket.0 >= 2)].local {
            None => packet.len(),
            Some((_, receiver)) => receiver
                .unprotect_rtp(packet, self.now)
                .expect("the peer can open it"),
        };
        assert_eq!(length, made.plain_bytes);
        if let Some(received) = received {
            assert!(length <= received.len().max(LONGEST_PACKED));
            return is_ours(&packet[..length]);
        }
        let header = RtpHeader::parse(&packet[..length]).expect("we send RTP");
        if header.payload_type == 96 {
            return assert_eq!(length - 12, 4, "one event");
        }
        if header.payload_type == 13 {
            return assert_eq!(length - 12, 1, "the level of comfort noise");
        }
        let per_ms = match header.payload_type {
            8 | 0 => 8,
            98 => 16,
            other => panic!("no sound is made as {other}"),
        };
        let packet_ms = (length - 12) / per_ms;
        assert_eq!((length - 12) % per_ms, 0);
        assert!((1..=60).contains(&packet_ms), "{packet_ms} ms");
    }

    /// Every datagram, and every packet of a sound or a digit, counts in exactly one outcome (MED-003).
    fn count(&self) {
        let stats = self.session.stats();
        let streams = stats
            .endpoints
            .iter()
            .flat_map(|endpoint| &endpoint.streams);
        let (mut counted, mut generated) = (0, 0);
        for stream in streams {
            counted += stream.sent_packets + stream.received_rtcp + stream.dropped_total();
            generated += stream.generated_packets;
        }
        let expected = self.datagrams + generated - self.taken;
        assert_eq!(counted, expected, "{stats:?}");
    }

    /// The end gives everything back, once, and nothing passes after it.
    fn end(mut self) {
        for _ in 0..2 {
            self.command(Command::Release {
                session: SESSION,
                endpoint: None,
                drain_ms: 0,
            });
        }
        assert!(self.session.is_released());
        assert_eq!((self.released, self.freed.len()), (1, 4));
        for at in [0, 1] {
            let sealed = self.sealed(at, 0, 0, &voice(1, 0));
            self.datagram(at, 0, 0, &sealed);
        }
        self.pass(60_000_000);
        assert_eq!(self.session.next_deadline(), None, "nothing to wait for");
    }
}

/// RTP as we write it, of an agreed payload type.
fn is_ours(packet: &[u8]) {
    let header = RtpHeader::parse(packet).expect("we send RTP");
    let payload = header.payload(packet).expect("without padding");
    assert_eq!(
        payload,
        12..packet.len(),
        "without extension or contributing sources"
    );
    let sends = |number: &u8| PAYLOADS.iter().any(|known| known.1 == *number);
    assert!(sends(&header.payload_type), "an agreed payload type");
}

fn side(
    session: &mut MediaSession,
    entropy: &mut Entropy,
    number: u8,
    suite: Option<Suite>,
) -> Side {
    let spec = EndpointSpec {
        takes_last: true,
        endpoint: EndpointId(number),
        realm: RealmId(number.into()),
        family: Family::V4,
        streams: vec![StreamSpec {
            kind: StreamKind::Audio,
            protection: match suite {
                None => ProtectionWanted::None,
                Some(suite) => ProtectionWanted::Sdes(vec![suite]),
            },
            ice: None,
        }],
    };
    let first = u32::from(number) * 2;
    let sockets = StreamSockets {
        realm: spec.realm,
        rtp: SocketId(first),
        rtcp: SocketId(first + 1),
        advertised_rtp: ([203, 0, 113, 1], 20_000).into(),
        advertised_rtcp: ([203, 0, 113, 1], 20_001).into(),
    };
    let local = local_endpoints(std::slice::from_ref(&spec), [sockets], entropy)
        .expect("an endpoint with one stream")
        .remove(0);
    session.add_endpoint(spec.endpoint, &[sockets], entropy);
    let remote = |fill: u8| {
        let key = CryptoKey::new(suite?, vec![fill; 30])?;
        let sender = Sender::new(&key);
        Some((key, sender))
    };
    Side {
        has_faxed: false,
        endpoint: spec.endpoint,
        local: local.streams[0]
            .keys
            .first()
            .map(|key| (key.clone(), Receiver::new(key))),
        remote: [0x11, 0x22, 0x33].into_iter().filter_map(remote).collect(),
    }
}

/// A packet of 20 ms: the kind chooses source, payload type, marker and length.
fn voice(sequence: u16, kind: u8) -> Vec<u8> {
    let payload_type = [8, 0, 101, 13][usize::from(kind & 3)];
    let marker = (kind & 4) << 5;
    let mut packet = vec![0x80, payload_type | marker];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(u32::from(kind >> 3 & 3).to_be_bytes());
    packet.resize(12 + usize::from(kind >> 5) * 40, 0xd5);
    packet
}

/// The number we receive, the number we send, the format, its name and its clock.
const PAYLOADS: [(u8, u8, u16, &str, u32); 6] = [
    (8, 8, 1, "PCMA", 8_000),
    (0, 0, 2, "PCMU", 8_000),
    (101, 96, 3, "telephone-event", 8_000),
    (13, 13, 4, "CN", 8_000),
    (104, 111, 5, "opus", 48_000),
    (97, 98, 6, "L16", 8_000),
];

/// All formats, or those that the choice leaves.
fn payloads(choice: u8) -> Vec<PayloadBinding> {
    (0..)
        .zip(PAYLOADS)
        .filter(|(at, _)| choice >> at & 1 == 0)
        .map(|(_, (receive, send, id, name, clock_hz))| PayloadBinding {
            receive,
            send,
            id: FormatId(id),
            format: Format {
                name: name.into(),
                clock_hz,
                kind: match name {
                    "telephone-event" => FormatKind::Event,
                    _ => FormatKind::Audio,
                },
            },
        })
        .collect()
}

/// Addresses that peers have; the first two belong to one, the next two to the other.
static SOURCES: [SocketAddr; 6] = [
    address([192, 0, 2, 10], 4000),
    address([192, 0, 2, 10], 4002),
    address([198, 51, 100, 20], 6000),
    address([198, 51, 100, 20], 6002),
    address([192, 0, 2, 77], 4000),
    address([203, 0, 113, 66], 1),
];

const fn address(ip: [u8; 4], port: u16) -> SocketAddr {
    let [a, b, c, d] = ip;
    let ip = std::net::Ipv4Addr::new(a, b, c, d);
    SocketAddr::V4(std::net::SocketAddrV4::new(ip, port))
}
