//! The ng control protocol: whatever a proxy sends, the relay is told nothing that makes no sense, and no
//! description goes out that still names its author's address.
//!
//! An input is a row of messages between lines `--`. Instead of a message, `!0` and `!1` say that a party has
//! fallen silent, `!t` that time passes, `!w` that the relay begins or ends to let requests wait.

use bytes::Bytes;
use media_api::{
    Command, CryptoKey, EndpointId, EndpointStats, Event, Family, Fingerprint, HashFunction,
    LocalEndpoint, LocalStream, RealmId, SessionId, SessionStats, SoundId, StreamStats,
};
use media_ng::{
    Found, Frame, Input, Message, Now, Origin, Output, Recording, Server, Settings, Side,
    first_message,
};
use sbc_core::sdp::{Description, Limits};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// Messages of one input that are read.
const MESSAGES: usize = 64;

pub(crate) fn check(data: &[u8]) {
    let mut site = Site::new();
    for part in parts(data).take(MESSAGES) {
        match part {
            b"!0" => site.silent(0),
            b"!1" => site.silent(1),
            b"!t" => {
                site.now += 4_000_000;
                site.input(Input::Tick);
            }
            b"!w" => {
                site.is_slow = !site.is_slow;
                site.catch_up();
            }
            message => site.message(message),
        }
    }
    site.is_slow = false;
    site.catch_up();
    assert_eq!(
        site.server.calls(),
        site.sessions.len(),
        "calls without media, or the reverse"
    );
}

fn parts(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    const BETWEEN: &[u8] = b"\n--\n";
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let now = rest?;
        let at = now.windows(BETWEEN.len()).position(|seen| seen == BETWEEN);
        rest = at.map(|at| &now[at + BETWEEN.len()..]);
        Some(&now[..at.unwrap_or(now.len())])
    })
}

struct Site {
    server: Server,
    now: u64,
    /// Streams that each session has.
    sessions: BTreeMap<SessionId, usize>,
    is_slow: bool,
    held: VecDeque<Command>,
    asked: usize,
    answered: usize,
}

impl Site {
    fn new() -> Self {
        let now = Now {
            monotonic_ms: 0,
            unix_ms: 1_700_000_000_000,
        };
        let side = |name: &str, realm| Side {
            name: name.to_owned(),
            realm: RealmId(realm),
            v4: Some(V4),
            v6: Some(V6),
        };
        let settings = Settings {
            sides: vec![side("a", 0), side("b", 1)],
            silence_ms: 60_000,
            unanswered_ms: 3_600_000,
            calls: 4,
            media_from: media_api::AddressRanges::default(),
            secret: [7; 16],
        };
        Self {
            server: Server::new(settings, now),
            now: 0,
            sessions: BTreeMap::new(),
            is_slow: false,
            held: VecDeque::new(),
            asked: 0,
            answered: 0,
        }
    }

    fn message(&mut self, octets: &[u8]) {
        if Message::read(octets).is_ok() {
            self.asked += 1;
            // What is a message is one in a stream, too, if it does not end in something else.
            if let Frame::Whole { start, end } = first_message(octets) {
                assert!(Message::read(&octets[start..end]).is_ok());
            }
        }
        let from = Origin::Connection(1);
        self.input(Input::Message { from, octets });
        assert!(self.answered <= self.asked);
    }

    fn silent(&mut self, endpoint: u8) {
        let Some(session) = self.sessions.keys().next().copied() else {
            return;
        };
        self.input(Input::Event(Event::Silent {
            session,
            endpoint: EndpointId(endpoint),
            silent_ms: 60_000,
        }));
    }

    fn input(&mut self, input: Input<'_>) {
        let now = Now {
            monotonic_ms: self.now,
            unix_ms: 1_700_000_000_000 + self.now,
        };
        let mut out = Vec::new();
        let mut fetched = Vec::new();
        self.server.handle(input, now, &mut out);
        for output in out {
            match output {
                Output::Answer { octets, .. } => {
                    self.answered += 1;
                    check_answer(&octets);
                }
                Output::Command(command) => self.held.push_back(command),
                Output::Note(note) => assert!(!note.what.to_string().is_empty()),
                Output::Fetch { ticket, recording } => {
                    let found = match recording {
                        Recording::File(name) if name.len() > 64 => Err(name),
                        Recording::File(_) | Recording::Octets(_) => Ok(Found {
                            sound: SoundId(7),
                            length_ms: 1_000,
                        }),
                    };
                    fetched.push(Input::Fetched { ticket, found });
                }
            }
        }
        fetched.into_iter().for_each(|input| self.input(input));
        self.catch_up();
    }

    fn catch_up(&mut self) {
        while !self.is_slow {
            let Some(command) = self.held.pop_front() else {
                return;
            };
            if let Some(event) = self.relay(command) {
                self.input(Input::Event(event));
            }
        }
    }

    fn relay(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Allocate { session, endpoints } => {
                assert_eq!(endpoints.len(), 2);
                let streams = endpoints[0].streams.len();
                assert!((1..=4).contains(&streams) && endpoints[1].streams.len() == streams);
                assert_eq!(
                    self.sessions.insert(session, streams),
                    None,
                    "allocated twice"
                );
                Some(Event::Allocated {
                    session,
                    endpoints: endpoints.iter().map(reserve).collect(),
                })
            }
            Command::Answer {
                session,
                negotiated,
                ..
            } => {
                assert_eq!(negotiated.streams.len(), self.sessions[&session]);
                for stream in negotiated.streams.iter().flatten() {
                    let at = stream.remote_rtp;
                    assert!(at.port() != 0 && !at.ip().is_loopback() && !at.ip().is_multicast());
                    assert_eq!(stream.remote_rtcp.ip(), at.ip(), "reports to a third host");
                    assert!((10..=60).contains(&stream.ptime_ms));
                    let mut numbers: Vec<u8> =
                        stream.payloads.iter().map(|own| own.receive).collect();
                    numbers.sort_unstable();
                    numbers.dedup();
                    assert_eq!(
                        numbers.len(),
                        stream.payloads.len(),
                        "a number of two meanings"
                    );
                }
                None
            }
            Command::Block { session, .. }
            | Command::Take { session, .. }
            | Command::Play { session, .. }
            | Command::Dial { session, .. }
            | Command::Expect { session, .. }
            | Command::Update { session, .. } => {
                assert!(self.sessions.contains_key(&session));
                None
            }
            Command::Stats { session } => {
                assert!(self.sessions.contains_key(&session));
                Some(Event::Stats {
                    session,
                    stats: stats(),
                })
            }
            Command::Release { session, .. } => {
                assert!(self.sessions.remove(&session).is_some(), "released twice");
                Some(Event::Released {
                    session,
                    stats: stats(),
                })
            }
            other => panic!("{other:?} is nothing that this protocol asks for"),
        }
    }
}

fn stats() -> SessionStats {
    let endpoint = |at| EndpointStats {
        endpoint: EndpointId(at),
        streams: vec![StreamStats::default()],
    };
    SessionStats {
        endpoints: vec![endpoint(0), endpoint(1)],
    }
}

fn reserve(spec: &media_api::EndpointSpec) -> LocalEndpoint {
    let ip = match spec.family {
        Family::V4 => V4,
        Family::V6 => V6,
    };
    let streams = (20_000_u16..).step_by(2).zip(&spec.streams);
    LocalEndpoint {
        endpoint: spec.endpoint,
        streams: streams
            .map(|(port, stream)| LocalStream {
                rtp: SocketAddr::new(ip, port),
                rtcp: SocketAddr::new(ip, port + 1),
                keys: stream
                    .protection
                    .suites()
                    .iter()
                    .map(|suite| {
                        let octets = suite.key_bytes() + suite.salt_bytes();
                        CryptoKey::new(*suite, vec![7; octets]).expect("its length")
                    })
                    .collect(),
                fingerprint: Fingerprint::new(HashFunction::Sha256, vec![7; 32])
                    .filter(|_| stream.protection.has_certificate()),
            })
            .collect(),
    }
}

/// An answer is a message itself, and a description in it names no place but ours.
fn check_answer(octets: &[u8]) {
    assert!(
        Message::read(octets).is_ok(),
        "an answer that is no message"
    );
    let body = octets.splitn(2, |octet| *octet == b' ').nth(1);
    let body = body.expect("behind its cookie");
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else {
        return;
    };
    let Some(sdp) = body["sdp"].as_str() else {
        return;
    };
    let sdp = Bytes::copy_from_slice(sdp.as_bytes());
    // A body may have grown beyond what is read at all.
    let wide = Limits {
        bytes: usize::MAX,
        lines: usize::MAX,
        line_bytes: usize::MAX,
        attributes: usize::MAX,
        ..Limits::default()
    };
    let description = Description::parse(sdp, &wide).expect("a description");
    for media in description.media().filter(|media| media.port() != 0) {
        let address = media.connection().expect("an address").address;
        assert!(address.is_unknown() || [Some(V4), Some(V6)].contains(&address.ip()));
        // One that is there is ours.
        for candidate in media.candidates() {
            let ip = candidate.address.parse().ok();
            assert!([Some(V4), Some(V6)].contains(&ip), "{}", candidate.address);
        }
        let own = Fingerprint::new(HashFunction::Sha256, vec![7; 32]);
        for print in media.fingerprints() {
            assert_eq!(Fingerprint::parse(print.hash, print.digest), own);
        }
    }
}
