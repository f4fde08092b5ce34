//! A relay that reserves ports and keys as they are counted, and a proxy that talks JSON.
#![allow(dead_code, reason = "each test takes what it needs")]

use media_api::{
    AllocateError, Command, CryptoKey, EndpointStats, Event, Fingerprint, HashFunction,
    LocalEndpoint, LocalStream, Negotiated, NegotiatedStream, RealmId, SessionStats, SoundId,
    StreamStats, Suite,
};
use media_ng::{Found, Input, Note, Now, Origin, Output, Recording, Server, Settings, Side};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};

pub(crate) const PROXY: Origin = Origin::Connection(1);

/// A server with a relay behind it.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) now: u64,
    cookie: u64,
    /// What the relay was told since it was last asked.
    pub(crate) told: Vec<Command>,
    /// Refuses ports with this, if set.
    pub(crate) refuses: Option<AllocateError>,
    /// Keeps what it is asked for to itself while set.
    pub(crate) is_slow: bool,
    held: Vec<Command>,
    /// Packets that each endpoint's peer is said to have sent.
    pub(crate) received: [u64; 2],
    answers: Vec<(Origin, Vec<u8>)>,
    /// What was noted for operators.
    pub(crate) notes: Vec<Note>,
    /// What each stream is said to have been like besides.
    pub(crate) heard: [StreamStats; 2],
    /// Recordings that were looked for and not found yet.
    pub(crate) fetches: Vec<(u64, Recording)>,
    /// Whether they are found at once, and how long they are then.
    pub(crate) finds_ms: Option<u32>,
}

pub(crate) fn settings() -> Settings {
    let ip = |text: &str| text.parse::<IpAddr>().ok();
    let side = |name: &str, realm, v4, v6| Side {
        name: name.into(),
        realm: RealmId(realm),
        v4: ip(v4),
        v6: ip(v6),
    };
    Settings {
        sides: vec![
            side("outside", 0, "198.51.100.1", ""),
            side("inside", 1, "203.0.113.1", "2001:db8::1"),
        ],
        silence_ms: 60_000,
        unanswered_ms: 3_600_000,
        calls: 10,
        media_from: media_api::AddressRanges::default(),
        secret: [7; 16],
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        let now = Now {
            monotonic_ms: 0,
            unix_ms: 1_700_000_000_000,
        };
        Self {
            server: Server::new(settings(), now),
            now: 0,
            cookie: 0,
            told: Vec::new(),
            refuses: None,
            is_slow: false,
            held: Vec::new(),
            received: [0, 0],
            answers: Vec::new(),
            notes: Vec::new(),
            heard: [StreamStats::default(), StreamStats::default()],
            fetches: Vec::new(),
            finds_ms: Some(1_000),
        }
    }

    pub(crate) fn input(&mut self, input: Input<'_>) {
        let now = Now {
            monotonic_ms: self.now,
            unix_ms: 1_700_000_000_000 + self.now,
        };
        let mut out = Vec::new();
        self.server.handle(input, now, &mut out);
        for output in out {
            match output {
                Output::Answer { to, octets } => self.answers.push((to, octets)),
                Output::Note(note) => self.notes.push(note),
                Output::Fetch { ticket, recording } => match self.finds_ms {
                    Some(length_ms) => self.find(ticket, Ok(length_ms)),
                    None => self.fetches.push((ticket, recording)),
                },
                Output::Command(command) if self.is_slow => self.held.push(command),
                Output::Command(command) => self.relay(command),
            }
        }
    }

    /// A recording was looked for; its name is its ticket.
    pub(crate) fn find(&mut self, ticket: u64, length_ms: Result<u32, String>) {
        let found = length_ms.map(|length_ms| Found {
            sound: SoundId(u32::try_from(ticket).expect("few")),
            length_ms,
        });
        self.input(Input::Fetched { ticket, found });
    }

    /// Lets the relay do what it has kept.
    pub(crate) fn catch_up(&mut self) {
        self.is_slow = false;
        for command in std::mem::take(&mut self.held) {
            self.relay(command);
        }
    }

    fn relay(&mut self, command: Command) {
        self.told.push(command.clone());
        let event = match command {
            Command::Allocate { session, endpoints } => match self.refuses {
                Some(why) => Event::Refused {
                    session,
                    endpoints: endpoints.iter().map(|own| own.endpoint).collect(),
                    why,
                },
                None => Event::Allocated {
                    session,
                    endpoints: endpoints.iter().map(reserve).collect(),
                },
            },
            Command::Stats { session } => Event::Stats {
                session,
                stats: self.stats(),
            },
            Command::Release { session, .. } => Event::Released {
                session,
                stats: self.stats(),
            },
            _ => return,
        };
        self.input(Input::Event(event));
    }

    fn stats(&self) -> SessionStats {
        let endpoint = |at: u8| EndpointStats {
            endpoint: media_api::EndpointId(at),
            streams: vec![StreamStats {
                received_packets: self.received[usize::from(at)],
                received_bytes: 172 * self.received[usize::from(at)],
                received_rtcp: 2,
                ..self.heard[usize::from(at)].clone()
            }],
        };
        SessionStats {
            endpoints: vec![endpoint(0), endpoint(1)],
        }
    }

    pub(crate) fn send(&mut self, octets: &[u8]) -> Vec<Vec<u8>> {
        self.input(Input::Message {
            from: PROXY,
            octets,
        });
        self.answers()
    }

    pub(crate) fn answers(&mut self) -> Vec<Vec<u8>> {
        let answers = std::mem::take(&mut self.answers).into_iter();
        answers.map(|(_, octets)| octets).collect()
    }

    /// Sends a request under a new cookie, and gives the one answer.
    pub(crate) fn ask(&mut self, request: Value) -> Value {
        self.cookie += 1;
        let cookie = format!("{} ", self.cookie);
        let answers = self.send(format!("{cookie}{request}").as_bytes());
        let [answer] = &answers[..] else {
            panic!("{} answers", answers.len())
        };
        let body = answer.strip_prefix(cookie.as_bytes()).expect("its cookie");
        serde_json::from_slice(body).expect("JSON")
    }

    pub(crate) fn offer(&mut self, sdp: &str, more: Value) -> Value {
        self.ask(request("offer", None, sdp, more))
    }

    pub(crate) fn answer(&mut self, sdp: &str, more: Value) -> Value {
        self.ask(request("answer", Some("b"), sdp, more))
    }

    /// What was agreed with each endpoint last, first stream.
    pub(crate) fn agreed(&mut self) -> [NegotiatedStream; 2] {
        let agreed = self.all_agreed();
        agreed.map(|negotiated| negotiated.streams[0].clone().expect("a stream"))
    }

    pub(crate) fn all_agreed(&mut self) -> [Negotiated; 2] {
        let told = std::mem::take(&mut self.told);
        let of = |at: u8| {
            let mut agreed = told.iter().rev().filter_map(|command| match command {
                Command::Answer {
                    endpoint,
                    negotiated,
                    ..
                } if endpoint.0 == at => Some(negotiated.clone()),
                _ => None,
            });
            agreed.next().expect("an agreement")
        };
        [of(0), of(1)]
    }
}

/// A request about the call `1@example.net` of the party `a`.
pub(crate) fn request(command: &str, to: Option<&str>, sdp: &str, more: Value) -> Value {
    let mut request = json!({
        "command": command, "call-id": "1@example.net", "from-tag": "a", "sdp": sdp,
        "received-from": ["IP4", "192.0.2.9"],
    });
    let entries = request.as_object_mut().expect("an object");
    if let Some(tag) = to {
        entries.insert("to-tag".into(), tag.into());
    }
    for (key, value) in more.as_object().expect("an object") {
        entries.insert(key.clone(), value.clone());
    }
    request
}

fn reserve(spec: &media_api::EndpointSpec) -> LocalEndpoint {
    let ip = match (spec.realm.0, spec.family) {
        (0, _) => "198.51.100.1",
        (_, media_api::Family::V4) => "203.0.113.1",
        (_, media_api::Family::V6) => "2001:db8::1",
    };
    let ip: IpAddr = ip.parse().expect("an address");
    let stream = |(at, wanted): (usize, &media_api::StreamSpec)| {
        let port = 20_000 + 100 * u16::from(spec.endpoint.0) + 2 * u16::try_from(at).expect("few");
        let suites = wanted.protection.suites();
        LocalStream {
            rtp: SocketAddr::new(ip, port),
            rtcp: SocketAddr::new(ip, port + 1),
            keys: suites
                .iter()
                .map(|suite| key(*suite, spec.endpoint.0 + 1))
                .collect(),
            fingerprint: Some(fingerprint(spec.endpoint.0 + 1))
                .filter(|_| wanted.protection.has_certificate()),
        }
    };
    LocalEndpoint {
        endpoint: spec.endpoint,
        streams: spec.streams.iter().enumerate().map(stream).collect(),
    }
}

/// A fingerprint of thirty-two equal octets.
pub(crate) fn fingerprint(octet: u8) -> Fingerprint {
    Fingerprint::new(HashFunction::Sha256, vec![octet; 32]).expect("its length")
}

/// A key of thirty equal octets.
pub(crate) fn key(suite: Suite, octet: u8) -> CryptoKey {
    CryptoKey::new(suite, vec![octet; suite.key_bytes() + suite.salt_bytes()]).expect("its length")
}
