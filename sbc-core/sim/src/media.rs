//! A media relay without media: answers commands as the real one does, and notices misuse.

use crate::dice::Dice;
use crate::topology;
use media_api::{
    AllocateError, Command, CryptoKey, EndpointId, EndpointSpec, EndpointStats, Event,
    LocalEndpoint, LocalStream, ProtectionWanted, SessionId, SessionStats, Stage, StreamIndex,
    StreamStats,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// The relay.
#[derive(Debug)]
pub struct FakeRelay {
    sessions: BTreeMap<SessionId, Session>,
    released: BTreeSet<SessionId>,
    next_port: u16,
    dice: Dice,
    misuse: Vec<String>,
}

#[derive(Debug, Default)]
struct Session {
    endpoints: BTreeMap<EndpointId, Endpoint>,
    joined: Option<(EndpointId, EndpointId)>,
    silence_ms: u32,
}

#[derive(Debug, Default)]
struct Endpoint {
    is_answered: bool,
    has_sent: bool,
}

impl FakeRelay {
    /// A relay with all its ports free.
    pub fn new(seed: u64) -> Self {
        Self {
            sessions: BTreeMap::new(),
            released: BTreeSet::new(),
            next_port: 20_000,
            dice: Dice::new(seed, "relay"),
            misuse: Vec::new(),
        }
    }

    /// Sessions that were not released.
    pub fn open(&self) -> usize {
        self.sessions.len()
    }

    /// Commands that make no sense, since the last call of this function.
    pub fn take_misuse(&mut self) -> Vec<String> {
        std::mem::take(&mut self.misuse)
    }

    /// Carries out a command; the events that follow, each after a delay.
    pub fn command(&mut self, command: &Command, has_ports: bool) -> Vec<(Duration, Event)> {
        let short = self
            .dice
            .between(Duration::from_micros(200), Duration::from_millis(4));
        match command {
            Command::Allocate { session, endpoints } => {
                let event = self.allocate(*session, endpoints, has_ports);
                vec![(short, event)]
            }
            Command::Answer {
                session,
                endpoint,
                negotiated,
                stage,
                ..
            } => {
                let Some(known) = self.endpoint(*session, *endpoint, "answer") else {
                    return Vec::new();
                };
                known.is_answered |= *stage == Stage::Final;
                if negotiated.streams.is_empty() {
                    self.misuse
                        .push(format!("answer without streams for {session:?}"));
                }
                self.first_media(*session)
            }
            Command::Rollback { session, endpoint } => {
                self.endpoint(*session, *endpoint, "rollback");
                Vec::new()
            }
            Command::Take {
                session, endpoint, ..
            } => {
                self.endpoint(*session, *endpoint, "take");
                Vec::new()
            }
            Command::Dial {
                session, endpoint, ..
            } => {
                self.endpoint(*session, *endpoint, "dial");
                Vec::new()
            }
            Command::Update { session, plan } => {
                let Some(known) = self.sessions.get_mut(session) else {
                    self.misuse.push(format!("update of unknown {session:?}"));
                    return Vec::new();
                };
                known.joined = plan.joined;
                known.silence_ms = plan.silence_ms;
                self.first_media(*session)
            }
            Command::Release {
                session,
                endpoint,
                drain_ms,
            } => {
                let after = short + Duration::from_millis(u64::from(*drain_ms));
                self.release(*session, *endpoint, after)
            }
            Command::Stats { session } => {
                let stats = self.stats(*session);
                let session = *session;
                vec![(short, Event::Stats { session, stats })]
            }
        }
    }

    /// Silence on every session that has supervision.
    pub fn silence(&self) -> Vec<Event> {
        let silent = self.sessions.iter().filter(|(_, s)| s.silence_ms > 0);
        silent
            .filter_map(|(session, known)| {
                Some(Event::Silent {
                    session: *session,
                    endpoint: known.joined?.0,
                    silent_ms: known.silence_ms,
                })
            })
            .collect()
    }

    fn endpoint(
        &mut self,
        session: SessionId,
        endpoint: EndpointId,
        what: &str,
    ) -> Option<&mut Endpoint> {
        let known = self
            .sessions
            .get_mut(&session)
            .and_then(|s| s.endpoints.get_mut(&endpoint));
        if known.is_none() {
            self.misuse
                .push(format!("{what} for unknown {endpoint:?} of {session:?}"));
        }
        known
    }

    fn allocate(&mut self, session: SessionId, wanted: &[EndpointSpec], has_ports: bool) -> Event {
        if self.released.contains(&session) {
            self.misuse
                .push(format!("{session:?} is used again after release"));
        }
        if !has_ports {
            let why = AllocateError::PortsExhausted;
            return Event::Refused { session, why };
        }
        let known = self.sessions.entry(session).or_default();
        if wanted
            .iter()
            .any(|spec| known.endpoints.contains_key(&spec.endpoint))
        {
            self.misuse
                .push(format!("an endpoint of {session:?} is allocated twice"));
            let why = AllocateError::Conflict;
            return Event::Refused { session, why };
        }
        for spec in wanted {
            known.endpoints.insert(spec.endpoint, Endpoint::default());
        }
        let endpoints = wanted.iter().map(|spec| self.local(spec)).collect();
        Event::Allocated { session, endpoints }
    }

    fn local(&mut self, spec: &EndpointSpec) -> LocalEndpoint {
        let ip = topology::realm_address(spec.realm, spec.family);
        let streams = spec
            .streams
            .iter()
            .map(|stream| {
                let port = self.next_port;
                self.next_port = if port > 29_000 { 20_000 } else { port + 2 };
                let keys = match &stream.protection {
                    ProtectionWanted::None => Vec::new(),
                    ProtectionWanted::Sdes(suites) => suites
                        .iter()
                        .filter_map(|suite| {
                            let wanted = suite.key_bytes() + suite.salt_bytes();
                            let key = self.dice.bytes32().into_iter().take(wanted).collect();
                            CryptoKey::new(*suite, key)
                        })
                        .collect(),
                };
                LocalStream {
                    rtp: SocketAddr::new(ip, port),
                    rtcp: SocketAddr::new(ip, port + 1),
                    keys,
                }
            })
            .collect();
        LocalEndpoint {
            endpoint: spec.endpoint,
            streams,
        }
    }

    fn first_media(&mut self, session: SessionId) -> Vec<(Duration, Event)> {
        let Some(known) = self.sessions.get_mut(&session) else {
            return Vec::new();
        };
        let Some((a, b)) = known.joined else {
            return Vec::new();
        };
        let mut events = Vec::new();
        for endpoint in [a, b] {
            let Some(facts) = known.endpoints.get_mut(&endpoint) else {
                self.misuse
                    .push(format!("unknown {endpoint:?} joined in {session:?}"));
                continue;
            };
            if facts.is_answered && !facts.has_sent {
                facts.has_sent = true;
                let stream = StreamIndex(0);
                let event = Event::FirstMedia {
                    session,
                    endpoint,
                    stream,
                };
                events.push((Duration::from_millis(30), event));
            }
        }
        events
    }

    fn release(
        &mut self,
        session: SessionId,
        endpoint: Option<EndpointId>,
        after: Duration,
    ) -> Vec<(Duration, Event)> {
        match endpoint {
            Some(endpoint) => {
                let removed = self.sessions.get_mut(&session).and_then(|known| {
                    known.joined = known
                        .joined
                        .filter(|(a, b)| *a != endpoint && *b != endpoint);
                    known.endpoints.remove(&endpoint)
                });
                if removed.is_none() {
                    self.misuse
                        .push(format!("release of unknown {endpoint:?} of {session:?}"));
                }
                Vec::new()
            }
            None => {
                let stats = self.stats(session);
                if self.sessions.remove(&session).is_none() {
                    self.misuse.push(format!("release of unknown {session:?}"));
                    return Vec::new();
                }
                self.released.insert(session);
                vec![(after, Event::Released { session, stats })]
            }
        }
    }

    fn stats(&self, session: SessionId) -> SessionStats {
        let known = self.sessions.get(&session);
        let endpoints =
            known
                .into_iter()
                .flat_map(|known| &known.endpoints)
                .map(|(endpoint, facts)| {
                    let packets = u64::from(facts.has_sent) * 50;
                    let stream = StreamStats {
                        received_packets: packets,
                        received_bytes: packets * 172,
                        sent_packets: packets,
                        sent_bytes: packets * 172,
                        ..StreamStats::default()
                    };
                    EndpointStats {
                        endpoint: *endpoint,
                        streams: vec![stream],
                    }
                });
        SessionStats {
            endpoints: endpoints.collect(),
        }
    }
}
