//! A media relay without media: answers commands as the real one does, and notices misuse.

use crate::dice::Dice;
use crate::topology;
use media_api::{
    AllocateError, Command, CryptoKey, EndpointId, EndpointSpec, EndpointStats, Event, Fingerprint,
    HashFunction, Intake, LocalEndpoint, LocalStream, Negotiated, Playing, SessionId, SessionStats,
    Sound, Stage, StreamIndex, StreamStats,
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
    /// Whether what was agreed last can carry a sound.
    can_hear: bool,
    /// What becomes of its digits.
    intake: Intake,
    /// When a counted sound will have been heard, since the world began.
    hears_until: Option<Duration>,
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

    /// Carries out a command at a time since the world began; the events that follow, each after a
    /// delay.
    pub fn command(
        &mut self,
        at: Duration,
        command: &Command,
        has_ports: bool,
    ) -> Vec<(Duration, Event)> {
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
                known.can_hear = can_hear(negotiated);
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
            Command::Expect { session, endpoint } => {
                self.endpoint(*session, *endpoint, "expect");
                Vec::new()
            }
            Command::HandOver {
                session, endpoint, ..
            } => {
                self.endpoint(*session, *endpoint, "hand-over");
                Vec::new()
            }
            // Where the relay had no port for it, the refusal is still on its way.
            Command::Follow { .. } | Command::Tap { .. } => Vec::new(),
            Command::Take {
                session,
                endpoint,
                intake,
            } => {
                if let Some(known) = self.endpoint(*session, *endpoint, "take") {
                    known.intake = *intake;
                }
                Vec::new()
            }
            Command::Block {
                session, endpoint, ..
            } => {
                self.endpoint(*session, *endpoint, "block");
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
            Command::Play {
                session,
                endpoint,
                playing,
            } => {
                let length = playing.as_ref().and_then(|playing| self.length(playing));
                let Some(known) = self.endpoint(*session, *endpoint, "play") else {
                    return Vec::new();
                };
                known.hears_until = None;
                let (after, heard) = match (playing, length) {
                    (None, _) => return Vec::new(),
                    (Some(_), _) if !known.can_hear => (short, false),
                    (Some(_), None) => return Vec::new(),
                    (Some(_), Some(length)) => (short + length, true),
                };
                known.hears_until = Some(at + after);
                let event = Event::Played {
                    session: *session,
                    endpoint: *endpoint,
                    heard,
                };
                vec![(after, event)]
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

    /// Whether an event that was to come at a time is true then: another order may have ended what was
    /// played.
    pub fn still_says(&self, at: Duration, event: &Event) -> bool {
        let Event::Played {
            session, endpoint, ..
        } = event
        else {
            return true;
        };
        let known = self.sessions.get(session);
        known
            .and_then(|known| known.endpoints.get(endpoint)?.hears_until)
            .is_some_and(|until| until == at)
    }

    /// How long a counted sound lasts; a recording some seconds.
    fn length(&mut self, playing: &Playing) -> Option<Duration> {
        let times = u32::from(playing.times?);
        let once = match &playing.sound {
            Sound::Tone(tone) => tone
                .phases
                .iter()
                .map(|phase| Duration::from_millis(u64::from(phase.ms)))
                .sum(),
            Sound::Noise => Duration::from_secs(1),
            Sound::Recording(_) => self
                .dice
                .between(Duration::from_secs(1), Duration::from_secs(8)),
        };
        Some(once * times)
    }

    /// A party of the first joined session presses a key and tells of it in its media: in which session,
    /// which party, which is the other one, and what the relay does with it.
    pub fn press(&self, is_caller: bool) -> Option<(SessionId, [EndpointId; 2], Intake)> {
        let mut sessions = self.sessions.iter();
        let (session, known, (a, b)) =
            sessions.find_map(|(session, known)| Some((session, known, known.joined?)))?;
        let [from, to] = if is_caller { [a, b] } else { [b, a] };
        let intake = known.endpoints.get(&from)?.intake;
        Some((*session, [from, to], intake))
    }

    /// Silence of both sides of every session that has supervision, for as many times its limit.
    pub fn silence(&self, times: u32) -> Vec<Event> {
        let silent = self.sessions.iter().filter(|(_, s)| s.silence_ms > 0);
        silent
            .filter_map(|(session, known)| Some((*session, known.joined?, known.silence_ms)))
            .flat_map(|(session, (a, b), limit_ms)| {
                [a, b].map(|endpoint| Event::Silent {
                    session,
                    endpoint,
                    silent_ms: limit_ms.saturating_mul(times),
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
            return refused(session, wanted, AllocateError::PortsExhausted);
        }
        let known = self.sessions.entry(session).or_default();
        if wanted
            .iter()
            .any(|spec| known.endpoints.contains_key(&spec.endpoint))
        {
            self.misuse
                .push(format!("an endpoint of {session:?} is allocated twice"));
            return refused(session, wanted, AllocateError::Conflict);
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
                let suites = stream.protection.suites().iter();
                let keys = suites
                    .filter_map(|suite| {
                        let wanted = suite.key_and_salt_bytes();
                        let key = self.dice.bytes32().into_iter().take(wanted).collect();
                        CryptoKey::new(*suite, key)
                    })
                    .collect();
                LocalStream {
                    rtp: SocketAddr::new(ip, port),
                    rtcp: SocketAddr::new(ip, port + 1),
                    keys,
                    fingerprint: stream
                        .protection
                        .has_certificate()
                        .then(|| Fingerprint::new(HashFunction::Sha256, vec![9; 32]))
                        .flatten(),
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

fn refused(session: SessionId, wanted: &[EndpointSpec], why: AllocateError) -> Event {
    Event::Refused {
        session,
        endpoints: wanted.iter().map(|spec| spec.endpoint).collect(),
        why,
    }
}

/// Whether an agreement has a format that sounds are made in.
fn can_hear(negotiated: &Negotiated) -> bool {
    let streams = negotiated.streams.iter().flatten();
    streams.flat_map(|stream| &stream.payloads).any(|binding| {
        let format = &binding.format;
        let names = [
            ("PCMA", 8_000),
            ("PCMU", 8_000),
            ("L16", 8_000),
            ("G722", 8_000),
            ("opus", 48_000),
        ];
        let is_it = |(name, clock_hz): &(&str, u32)| {
            format.clock_hz == *clock_hz && format.name.eq_ignore_ascii_case(name)
        };
        names.iter().any(is_it)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::{
        Beside, Content, Direction, Family, ForkId, Format, FormatId, FormatKind, NegotiatedStream,
        PayloadBinding, Protection, RealmId, SourcePolicy, Tone, TonePhase,
    };

    const SESSION: SessionId = SessionId(7);
    const ENDPOINT: EndpointId = EndpointId(0);

    fn relay(codec: &'static str) -> FakeRelay {
        let mut relay = FakeRelay::new(1);
        let spec = EndpointSpec {
            endpoint: ENDPOINT,
            realm: RealmId(0),
            family: Family::V4,
            streams: Vec::new(),
            takes_last: false,
        };
        relay.allocate(SESSION, &[spec], true);
        let peer = SocketAddr::from(([192, 0, 2, 1], 4_000));
        let stream = NegotiatedStream {
            content: Content::Rtp,
            remote_rtp: peer,
            remote_rtcp: peer,
            rtcp_mux: true,
            direction: Direction::SendReceive,
            protection: Protection::None,
            payloads: vec![PayloadBinding {
                receive: 8,
                send: 8,
                id: FormatId(0),
                format: Format {
                    name: codec.into(),
                    clock_hz: 8_000,
                    kind: FormatKind::Audio,
                },
            }],
            source: SourcePolicy::Signalled,
            ice: None,
            ptime_ms: 20,
            reports: None,
            voip_metrics: false,
        };
        let answer = Command::Answer {
            session: SESSION,
            endpoint: ENDPOINT,
            fork: ForkId(0),
            negotiated: Negotiated {
                streams: vec![Some(stream)],
            },
            stage: Stage::Preview,
        };
        relay.command(Duration::ZERO, &answer, true);
        relay
    }

    fn play(relay: &mut FakeRelay, at: Duration, times: Option<u16>) -> Vec<(Duration, Event)> {
        let beep = TonePhase {
            hz: [425, 0],
            ms: 500,
        };
        let playing = Playing {
            sound: Sound::Tone(Tone { phases: vec![beep] }),
            times,
            beside: Beside::Muted,
        };
        let order = Command::Play {
            session: SESSION,
            endpoint: ENDPOINT,
            playing: Some(playing),
        };
        relay.command(at, &order, true)
    }

    fn is_heard(event: &Event) -> bool {
        matches!(event, Event::Played { heard: true, .. })
    }

    #[test]
    fn a_counted_sound_is_told_after_its_length_unless_another_takes_its_place() {
        let second = Duration::from_secs(1);
        let mut relay = relay("PCMA");
        assert!(play(&mut relay, second, None).is_empty());
        let first = play(&mut relay, second, Some(4)).remove(0);
        assert!(is_heard(&first.1) && first.0 > 2 * second);
        assert!(relay.still_says(second + first.0, &first.1));
        let next = play(&mut relay, 2 * second, Some(1)).remove(0);
        assert!(!relay.still_says(second + first.0, &first.1));
        assert!(relay.still_says(2 * second + next.0, &next.1));
    }

    #[test]
    fn what_no_agreed_format_can_carry_is_told_at_once() {
        let mut relay = relay("G729");
        let (after, event) = play(&mut relay, Duration::ZERO, None).remove(0);
        assert!(!is_heard(&event) && after < Duration::from_millis(5));
        assert!(relay.still_says(after, &event));
    }
}
