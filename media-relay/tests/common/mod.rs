//! What the relay's tests share: a session with two endpoints, and peers that speak to it.
#![allow(dead_code, unreachable_pub)] // `allocation` uses a part of it.

pub mod ice;

use media_api::*;
use media_relay::session::{
    MediaSession, Outcome, Output, SocketId, StreamSockets, local_endpoints,
};
use media_relay::{
    Backend, EXPEDITED_FORWARDING, Entropy, LocalAddress, Realm, Recordings, Timestamp, WallOffset,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};

pub const SESSION: SessionId = SessionId(7);
pub const A: EndpointId = EndpointId(0);
pub const B: EndpointId = EndpointId(1);

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn codec(receive: u8, send: u8, id: u16, name: &str, clock_hz: u32) -> PayloadBinding {
    let kind = if name == "telephone-event" {
        FormatKind::Event
    } else {
        FormatKind::Audio
    };
    PayloadBinding {
        receive,
        send,
        id: FormatId(id),
        format: Format {
            name: name.to_owned().into(),
            clock_hz,
            kind,
        },
    }
}

pub fn pcma() -> PayloadBinding {
    codec(8, 8, 1, "PCMA", 8000)
}

pub fn terms(remote: SocketAddr) -> NegotiatedStream {
    NegotiatedStream {
        content: Content::Rtp,
        remote_rtp: remote,
        remote_rtcp: SocketAddr::new(remote.ip(), remote.port() + 1),
        rtcp_mux: false,
        direction: Direction::SendReceive,
        protection: Protection::None,
        payloads: vec![pcma()],
        source: SourcePolicy::Signalled,
        ice: None,
        ptime_ms: 20,
        reports: None,
        voip_metrics: false,
    }
}

pub fn rtp(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// A realm on a loopback address that no other test and no other process uses, so that a small range
/// of ports is free as a whole.
pub fn realm(ports: u16) -> Realm {
    static TESTS: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, high | 1, low, TESTS.fetch_add(1, Ordering::Relaxed));
    let probe = UdpSocket::bind((address, 0)).unwrap();
    let first_port = (probe.local_addr().unwrap().port() & !1).min(u16::MAX - ports - 1);
    Realm {
        id: RealmId(0),
        v4: Some(LocalAddress::direct(IpAddr::V4(address))),
        v6: None,
        first_port,
        last_port: first_port + ports,
        dscp: EXPEDITED_FORWARDING,
        backend: Backend::Sockets,
    }
}

/// A tone with its phases, each of two frequencies and milliseconds.
pub fn tone(phases: &[([u16; 2], u16)]) -> Sound {
    let phases = phases.iter().map(|(hz, ms)| TonePhase { hz: *hz, ms: *ms });
    Sound::Tone(Tone {
        phases: phases.collect(),
    })
}

/// A sound that never ends, with others muted.
pub fn endless(sound: Sound) -> Option<Playing> {
    Some(Playing {
        sound,
        times: None,
        beside: Beside::Muted,
    })
}

/// A received RTP packet without extension, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rtp {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: Vec<u8>,
}

pub fn read(packet: &[u8]) -> Rtp {
    let header = media_relay::packet::rtp::RtpHeader::parse(packet).unwrap();
    let payload = header.payload(packet).unwrap();
    assert_eq!(
        payload.start, 12,
        "we send neither extension nor contributing sources"
    );
    assert_eq!(payload.end, packet.len(), "we send no padding");
    Rtp {
        marker: header.marker,
        payload_type: header.payload_type,
        sequence: header.sequence,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
        payload: packet[payload].to_vec(),
    }
}

/// A session with two endpoints of one stream each, without sockets.
pub struct Bench {
    pub session: MediaSession,
    pub out: Output,
    pub now: Timestamp,
    pub local: Vec<LocalEndpoint>,
    pub recordings: Recordings,
}

pub fn peer_a() -> SocketAddr {
    address("192.0.2.10:4000")
}

pub fn peer_b() -> SocketAddr {
    address("198.51.100.20:6000")
}

impl Bench {
    /// Two endpoints, nothing agreed.
    pub fn allocated(protection: [ProtectionWanted; 2]) -> Self {
        let mut session = MediaSession::new(
            SESSION,
            WallOffset {
                unix_us: 1_700_000_000_000_000,
            },
        );
        let mut entropy = Entropy::from_seed([42; 32]);
        let mut local = Vec::new();
        for (number, protection) in (0u8..).zip(protection) {
            let spec = EndpointSpec {
                takes_last: true,
                endpoint: EndpointId(number),
                realm: RealmId(number.into()),
                family: Family::V4,
                streams: vec![StreamSpec {
                    kind: StreamKind::Audio,
                    protection,
                    ice: None,
                }],
            };
            let sockets = StreamSockets {
                realm: spec.realm,
                rtp: SocketId(u32::from(number) * 2),
                rtcp: SocketId(u32::from(number) * 2 + 1),
                advertised_rtp: SocketAddr::new(
                    [203, 0, 113, 1].into(),
                    20_000 + u16::from(number) * 2,
                ),
                advertised_rtcp: SocketAddr::new(
                    [203, 0, 113, 1].into(),
                    20_001 + u16::from(number) * 2,
                ),
            };
            let specs = std::slice::from_ref(&spec);
            local.extend(local_endpoints(specs, [sockets], &mut entropy).unwrap());
            session.add_endpoint(spec.endpoint, &[sockets], &mut entropy);
            session.prepare(spec.endpoint, &spec.streams);
        }
        Self {
            session,
            out: Output::new(),
            now: Timestamp(10_000_000),
            local,
            recordings: Recordings::default(),
        }
    }

    /// Two plain endpoints, answered and joined.
    pub fn joined() -> Self {
        let mut bench = Self::allocated([ProtectionWanted::None, ProtectionWanted::None]);
        bench.answer(A, terms(peer_a()));
        bench.answer(B, terms(peer_b()));
        bench.join(0);
        bench
    }

    pub fn command(&mut self, command: Command) {
        self.session.command(command, self.now, &mut self.out);
    }

    /// Lets an endpoint hear a sound, or nothing of ours any more.
    pub fn play(&mut self, endpoint: EndpointId, playing: Option<Playing>) {
        self.session
            .play(endpoint, playing, &self.recordings, self.now, &mut self.out);
    }

    pub fn answer(&mut self, endpoint: EndpointId, terms: NegotiatedStream) {
        self.answer_as(endpoint, terms, ForkId(0), Stage::Final);
    }

    pub fn answer_as(
        &mut self,
        endpoint: EndpointId,
        terms: NegotiatedStream,
        fork: ForkId,
        stage: Stage,
    ) {
        self.command(Command::Answer {
            session: SESSION,
            endpoint,
            fork,
            negotiated: Negotiated {
                streams: vec![Some(terms)],
            },
            stage,
        });
    }

    pub fn join(&mut self, silence_ms: u32) {
        let plan = BridgePlan {
            joined: Some((A, B)),
            silence_ms,
        };
        self.command(Command::Update {
            session: SESSION,
            plan,
        });
    }

    /// A datagram from `from` to the RTP port of an endpoint; what leaves and where to.
    pub fn send(
        &mut self,
        to: EndpointId,
        from: SocketAddr,
        packet: &[u8],
    ) -> Result<(SocketAddr, Vec<u8>), DropReason> {
        self.send_to(SocketId(u32::from(to.0) * 2), from, packet)
    }

    /// A datagram to the RTCP port of an endpoint.
    pub fn send_rtcp(&mut self, to: EndpointId, from: SocketAddr, packet: &[u8]) -> Outcome {
        let mut slot = packet.to_vec();
        slot.resize(2048, 0xee);
        let socket = SocketId(u32::from(to.0) * 2 + 1);
        self.session.packet(
            socket,
            from,
            &mut slot,
            packet.len(),
            self.now,
            &mut self.out,
        )
    }

    /// As [`Self::send`], for what need not even be accepted.
    pub fn send_or_end_or_drop(&mut self, to: EndpointId, from: SocketAddr, packet: &[u8]) {
        let _ = self.judge(SocketId(u32::from(to.0) * 2), from, packet);
    }

    pub fn send_to(
        &mut self,
        socket: SocketId,
        from: SocketAddr,
        packet: &[u8],
    ) -> Result<(SocketAddr, Vec<u8>), DropReason> {
        self.judge(socket, from, packet)
            .map(|sent| sent.expect("not to be sent on"))
    }

    /// As [`Self::send`], for what may end here: `None` if it does.
    pub fn send_or_end(
        &mut self,
        to: EndpointId,
        from: SocketAddr,
        packet: &[u8],
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let socket = SocketId(u32::from(to.0) * 2);
        match self.judge(socket, from, packet) {
            Err(DropReason::Muted) => None,
            accepted => accepted.expect("accepted"),
        }
    }

    fn judge(
        &mut self,
        socket: SocketId,
        from: SocketAddr,
        packet: &[u8],
    ) -> Result<Option<(SocketAddr, Vec<u8>)>, DropReason> {
        let mut slot = packet.to_vec();
        slot.resize(2048.max(packet.len() + 14), 0xee);
        let outcome = self.session.packet(
            socket,
            from,
            &mut slot,
            packet.len(),
            self.now,
            &mut self.out,
        );
        match outcome {
            Outcome::Forward(forward) => Ok(Some((forward.to, slot[forward.range].to_vec()))),
            Outcome::Handed(_) => panic!("taken for a party that has left"),
            Outcome::Recode(_) => panic!("nothing is to be transcoded"),
            Outcome::Report => panic!("taken for a report"),
            Outcome::Checked => panic!("taken for a check"),
            Outcome::Taken(_) | Outcome::Kept => Ok(None),
            Outcome::Dropped(reason) => Err(reason),
        }
    }

    /// A packet of 20 ms PCMA from the signalled address of an endpoint.
    pub fn voice(&mut self, to: EndpointId, sequence: u16) -> Result<Rtp, DropReason> {
        let from = if to == A { peer_a() } else { peer_b() };
        let packet = rtp(
            8,
            sequence,
            u32::from(sequence) * 160,
            0x1000 + u32::from(to.0),
            &[0xd5; 160],
        );
        self.send(to, from, &packet)
            .map(|(_, packet)| read(&packet))
    }

    pub fn wait_ms(&mut self, ms: u64) {
        self.now.0 += ms * 1000;
    }

    /// Lets time pass up to `ms` from now, ticking whenever the session wants; returns the packets
    /// it made.
    pub fn run_ms(&mut self, ms: u64) -> Vec<(SocketAddr, Vec<u8>)> {
        let end = Timestamp(self.now.0 + ms * 1000);
        let mut made = Vec::new();
        while let Some(due) = self.session.next_deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.session.tick(self.now, &mut self.out);
            made.extend(self.made());
            assert!(
                self.session.next_deadline() != Some(due),
                "a tick did not move its deadline"
            );
        }
        self.now = end;
        made
    }

    /// Takes the packets that the session made.
    pub fn made(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let made: Vec<_> = self
            .out
            .packets()
            .map(|made| (made.to, made.bytes.to_vec()))
            .collect();
        let (events, freed) = (self.out.events.clone(), self.out.freed.clone());
        self.out.clear();
        self.out.events = events;
        self.out.freed = freed;
        made
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.out.events)
    }

    pub fn stats(&self, endpoint: EndpointId) -> StreamStats {
        let stats = self.session.stats();
        stats.endpoints[usize::from(endpoint.0)].streams[0].clone()
    }
}
