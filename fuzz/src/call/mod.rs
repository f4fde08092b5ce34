//! Calls under any order of messages, answers, failures, commands and time: `Core` as a whole.
//!
//! The input is a script of lines, so that a finding can be read. Two letters say what and who or
//! which; `|` in the rest stands for a line end, and `||` begins a body.
//!
//! | line            | does                                                                     |
//! |-----------------|--------------------------------------------------------------------------|
//! | `iA` K S text   | actor A sends INVITE number K with SDP S and more header lines            |
//! | `cA` K          | actor A cancels INVITE number K                                          |
//! | `rN` CODE S text| the peer answers the N-th last request of ours                           |
//! | `qN` M S text   | the peer sends M (`b`ye, `a`ck, `i`nvite, …) in the N-th last dialog      |
//! | `xA` text       | actor A sends exactly this                                               |
//! | `eN`            | the N-th last message that arrived arrives again                         |
//! | `pN`            | time passes: 10 ms × 4^N                                                 |
//! | `lN`, `fN`      | flow N is lost; the N-th last message could not be sent                  |
//! | `nN`            | the oldest query is answered: addresses, or a fault                      |
//! | `mN`            | the relay reports something of the N-th session, or refuses from now on  |
//! | `sN`            | the relay says that a sound in the N-th session is over or unheard        |
//! | `hN`            | operator: hang up, drain, list, new configuration                        |
//!
//! Actors are `c`arrier, `d` the same over TCP, `t`eams, `f`abrikam's Teams, `w`rong certificate
//! and `s`tranger.

mod peer;

use crate::message::only_answers;
use bytes::Bytes;
use media_api::{
    AllocateError, Command as MediaCommand, CryptoKey, Digit, EndpointId, Event as MediaEvent,
    Fingerprint, HashFunction, LocalEndpoint, LocalStream, ProtectionWanted, SessionId,
    SessionStats,
};
use peer::{Actor, Dialog};
use sbc_core::config::{Assumed, Config, Source, load};
use sbc_core::core::{Census, Core};
use sbc_core::effect::{Effect, Effects};
use sbc_core::event::Happened;
use sbc_core::id::{CallId, CommandId, FlowId, QueryId, ShardId, TransactionId};
use sbc_core::input::{Command, Input};
use sbc_core::locate::{Server, Service};
use sbc_core::mint::Mint;
use sbc_core::query::{Outcome, ResolveFault};
use sbc_core::sip::header::{To, Via};
use sbc_core::sip::{HeaderName, Limits, Message, body};
use sbc_core::time::{Now, Timestamp, UnixTime};
use sbc_core::transport::{Flow, FlowFault, Hop, Protocol};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Longest script that is played.
const LINES: usize = 120;

static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| {
    let sources = [Source::new("causeway.toml", include_str!("causeway.toml"))];
    let facts = Assumed::with_names(["sbc1.contoso.example", "sbc1.fabrikam.example"]);
    match load(&sources, &facts, None) {
        Ok(loaded) => Arc::new(loaded.config),
        Err(findings) => panic!("{}", findings.to_text()),
    }
});

pub(crate) fn check(data: &[u8]) {
    let trace = play(data);
    // The same inputs give the same effects; every eighth script is enough to see it.
    if data.len().is_multiple_of(8) {
        assert_eq!(play(data), trace, "not deterministic");
    }
}

fn play(data: &[u8]) -> u64 {
    let mut world = World::new();
    for line in data.split(|octet| *octet == b'\n').take(LINES) {
        world.line(line);
    }
    world.end()
}

/// What an answer to Teams says of us, and why it refuses.
const TO_TEAMS: [&str; 3] = ["X-MS-SBC", "Reason", "Retry-After"];

struct World {
    core: Core,
    now: Now,
    trace: DefaultHasher,
    /// Messages of ours, with what to tell when they could not be sent.
    sent: Vec<(Hop, Message, Option<TransactionId>)>,
    received: Vec<(Flow, Bytes)>,
    /// Call-IDs that we chose, and those that peers chose.
    own: BTreeSet<Bytes>,
    foreign: BTreeSet<Bytes>,
    /// Dialogs as peers see them.
    dialogs: Vec<Dialog>,
    queries: VecDeque<QueryId>,
    media: Vec<SessionId>,
    refuse_media: bool,
    next_port: u16,
    admitted: BTreeMap<CallId, usize>,
    /// Probes began, so that transactions never end.
    probes: bool,
}

impl World {
    fn new() -> Self {
        let config = Arc::clone(&CONFIG);
        Self {
            core: Core::new(ShardId(0), config, Mint::new(ShardId(0), [7; 32])),
            now: Now {
                mono: Timestamp::from_micros(1_000_000),
                wall: UnixTime::from_micros(1_800_000_000_000_000),
            },
            trace: DefaultHasher::new(),
            sent: Vec::new(),
            received: Vec::new(),
            own: BTreeSet::new(),
            foreign: BTreeSet::new(),
            dialogs: Vec::new(),
            queries: VecDeque::new(),
            media: Vec::new(),
            refuse_media: false,
            next_port: 40_000,
            admitted: BTreeMap::new(),
            probes: false,
        }
    }

    fn line(&mut self, line: &[u8]) {
        let [what, which, rest @ ..] = line else {
            return;
        };
        let (which, rest) = (*which, rest.trim_ascii_start());
        let number = usize::from(which.wrapping_sub(b'0'));
        match what {
            b'i' => self.receive(Actor::of(which).flow(), peer::invite(which, rest)),
            b'c' => self.receive(Actor::of(which).flow(), peer::cancel(which, rest)),
            b'r' => {
                let requests = self
                    .sent
                    .iter()
                    .filter(|(_, message, _)| message.is_request());
                if let Some((hop, request, _)) = from_end(requests, number) {
                    let (flow, bytes) = (peer::way_back(hop), peer::answer(request, rest));
                    self.receive(flow, bytes);
                }
            }
            b'q' => {
                if let Some(dialog) = from_end(self.dialogs.iter(), number) {
                    let (flow, bytes) = (dialog.flow.clone(), dialog.request(rest));
                    self.receive(flow, bytes);
                }
            }
            b'x' => self.receive(Actor::of(which).flow(), peer::lines(rest)),
            b'e' => {
                if let Some((flow, bytes)) = from_end(self.received.iter(), number).cloned() {
                    self.receive(flow, bytes);
                }
            }
            b'p' => self.pass(Duration::from_millis(10 << (2 * (number % 8)))),
            b'l' => self.apply(Input::FlowLost {
                flow: FlowId(number as u64 % 8),
                why: FlowFault::Closed,
            }),
            b'f' => {
                let transactions = self.sent.iter().filter_map(|(_, _, id)| *id);
                if let Some(transaction) = from_end(transactions, number) {
                    let why = FlowFault::QueueFull;
                    self.apply(Input::SendFailed { transaction, why });
                }
            }
            b'n' => {
                if let Some(query) = self.queries.pop_front() {
                    self.apply(Input::Outcome(query, resolved(number)));
                }
            }
            b'm' => self.media_says(number),
            b's' => self.sound_is_over(number),
            b'h' => self.operator(number),
            _ => {}
        }
    }

    fn operator(&mut self, number: usize) {
        let call = self.admitted.keys().next().copied();
        let command = match (number % 6, call) {
            (0, _) => Command::HangUpAll,
            (1, Some(call)) => Command::HangUp(call, (number % 4 == 3).then_some(17)),
            (1, _) => Command::Drain(true),
            (2, _) => Command::Fade,
            (3, _) => Command::Drain(false),
            (4, _) => Command::Calls,
            _ => {
                self.probes = true;
                return self.apply(Input::Config(Arc::clone(&CONFIG)));
            }
        };
        self.apply(Input::Command(CommandId(1), command));
    }

    fn media_says(&mut self, number: usize) {
        let Some(session) = from_end(self.media.iter(), number / 7).copied() else {
            return;
        };
        let endpoint = EndpointId((number / 2 % 2) as u8);
        let event = match number % 7 {
            0 => MediaEvent::Silent {
                session,
                endpoint,
                silent_ms: 30_000,
            },
            1 => MediaEvent::FirstMedia {
                session,
                endpoint,
                stream: media_api::StreamIndex(0),
            },
            2 => released(session),
            3 => refused(session, vec![endpoint]),
            5 => MediaEvent::Digit {
                session,
                endpoint,
                digit: Digit::from_event((number % 16) as u8).expect("one of sixteen"),
                duration_ms: 100,
            },
            4 => MediaEvent::Stats {
                session,
                stats: SessionStats::default(),
            },
            6 if number / 14 % 2 == 1 => MediaEvent::DigitBegun {
                session,
                endpoint,
                digit: Digit::from_event((number % 16) as u8).expect("one of sixteen"),
            },
            _ => {
                self.refuse_media = !self.refuse_media;
                return;
            }
        };
        self.apply(Input::Media(event));
    }

    fn sound_is_over(&mut self, number: usize) {
        if let Some(session) = from_end(self.media.iter(), number / 4).copied() {
            self.apply(Input::Media(MediaEvent::Played {
                session,
                endpoint: EndpointId((number / 2 % 2) as u8),
                heard: number.is_multiple_of(2),
            }));
        }
    }

    fn receive(&mut self, flow: Flow, bytes: Bytes) {
        self.received.push((flow.clone(), bytes.clone()));
        let before = self.sent.len();
        let is_known = peer::is_known(&flow);
        match Message::parse(bytes, &Limits::default()) {
            Ok(message) => {
                let chosen = message
                    .raw(HeaderName::CallId)
                    .filter(|id| !self.own.contains(id));
                self.foreign.extend(chosen);
                self.dialogs.extend(Dialog::opened(&flow, &message));
                // The I/O side hands on what is valid, and refuses the rest as broken.
                self.apply(Input::Received { flow, message });
            }
            Err(rejected) => self.apply(Input::Malformed { flow, rejected }),
        }
        assert!(
            is_known || self.sent.len() == before,
            "a stranger is answered"
        );
    }

    /// Applies an input; the relay answers at once.
    fn apply(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        let mut rounds = 0;
        while let Some(input) = inputs.pop_front() {
            rounds += 1;
            assert!(rounds < 64, "the relay and the core chase each other");
            let mut out = Effects::default();
            self.core.apply(self.now, input, &mut out);
            assert!(out.as_slice().len() < 1_000, "bounded reaction");
            for effect in out.drain() {
                if let Some(event) = self.effect(effect) {
                    inputs.push_back(Input::Media(event));
                }
            }
        }
    }

    fn effect(&mut self, effect: Effect) -> Option<MediaEvent> {
        match effect {
            Effect::Send {
                hop,
                bytes,
                transaction,
                ..
            } => {
                bytes.hash(&mut self.trace);
                self.sends(hop, bytes, transaction);
            }
            Effect::Media(command) => return self.relay(command),
            Effect::Query(id, _) => self.queries.push_back(id),
            Effect::Emit(event) => {
                event.at.as_micros().hash(&mut self.trace);
                self.happened(event.call, event.what);
            }
            Effect::RetireFlow(_)
            | Effect::Withdraw { .. }
            | Effect::KeepAlive(_)
            | Effect::Alias { .. }
            | Effect::Letter(..)
            | Effect::Keep(..)
            | Effect::Reply(..) => {}
        }
        None
    }

    fn happened(&mut self, call: Option<CallId>, what: Happened) {
        match what {
            Happened::Admitted { .. } => {
                let call = call.expect("a call");
                assert_eq!(self.admitted.insert(call, 0), None, "admitted twice");
            }
            Happened::Ended(record) => {
                serde_json::to_string(&*record).expect("a record is JSON");
                *self
                    .admitted
                    .get_mut(&record.call)
                    .expect("it was admitted") += 1;
            }
            Happened::Bug { invariant } => panic!("{invariant}"),
            _ => {}
        }
    }

    /// What we send is SIP, ours, and goes to a peer.
    fn sends(&mut self, hop: Hop, bytes: Bytes, transaction: Option<TransactionId>) {
        let ip = hop.remote.ip();
        assert!(peer::is_peer(ip), "sent to {ip}, a stranger");
        let message = match Message::parse(bytes.clone(), &Limits::default()) {
            Ok(message) => message,
            // What repeats the headers of a broken request is as broken as they are.
            Err(_) => return only_answers(&bytes, &TO_TEAMS),
        };
        if message.is_request() {
            message.validate().expect("we send valid requests");
            if message
                .get::<To>()
                .is_ok_and(|to| to.is_some_and(|to| to.tag().is_none()))
            {
                let call_id = message.raw(HeaderName::CallId).expect("one");
                assert!(!self.foreign.contains(&call_id), "another leg's Call-ID");
                self.own.insert(call_id);
            }
            let vias = message.list::<Via>().expect("valid");
            assert_eq!(vias.len(), 1, "another leg's Via");
            rsip::SipMessage::try_from(&message.bytes()[..]).expect("read by the oracle");
        }
        if let Ok(Some(described)) = body::session_description(&message) {
            own_addresses(described);
        }
        if let Some(dialog) = Dialog::answered(&hop, &message) {
            self.dialogs.push(dialog);
        }
        self.sent.push((hop, message, transaction));
    }

    fn relay(&mut self, command: MediaCommand) -> Option<MediaEvent> {
        match command {
            MediaCommand::Allocate { session, endpoints } if self.refuse_media => {
                let endpoints = endpoints.iter().map(|spec| spec.endpoint).collect();
                Some(refused(session, endpoints))
            }
            MediaCommand::Allocate { session, endpoints } => {
                self.media.push(session);
                let mut local = Vec::new();
                for spec in &endpoints {
                    local.push(LocalEndpoint {
                        endpoint: spec.endpoint,
                        streams: spec
                            .streams
                            .iter()
                            .map(|one| self.stream(&one.protection))
                            .collect(),
                    });
                }
                Some(MediaEvent::Allocated {
                    session,
                    endpoints: local,
                })
            }
            MediaCommand::Release {
                session,
                endpoint: None,
                ..
            } => Some(released(session)),
            _ => None,
        }
    }

    fn stream(&mut self, protection: &ProtectionWanted) -> LocalStream {
        self.next_port = 40_000 + (self.next_port + 2) % 10_000;
        let keys = protection
            .suites()
            .iter()
            .map(|suite| {
                CryptoKey::new(*suite, vec![9; suite.key_and_salt_bytes()]).expect("its length")
            })
            .collect();
        LocalStream {
            rtp: ([192, 0, 2, 10], self.next_port).into(),
            rtcp: ([192, 0, 2, 10], self.next_port + 1).into(),
            keys,
            fingerprint: protection
                .has_certificate()
                .then(|| Fingerprint::new(HashFunction::Sha256, vec![9; 32]))
                .flatten(),
        }
    }

    /// Lets time pass, with every tick on the way.
    fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        for round in 0.. {
            assert!(round < 100_000, "a tick moves its deadline");
            let Some(at) = self.core.deadline().filter(|at| *at <= end) else {
                break;
            };
            self.set(at);
            self.apply(Input::Tick);
        }
        self.set(end);
    }

    fn set(&mut self, at: Timestamp) {
        let step = at.since(self.now.mono);
        self.now.mono = self.now.mono + step;
        let wall = self.now.wall.as_micros() + step.as_micros() as u64;
        self.now.wall = UnixTime::from_micros(wall);
    }

    /// When everybody hangs up and falls silent, nothing is left and every call has its record.
    fn end(mut self) -> u64 {
        self.apply(Input::Command(CommandId(2), Command::HangUpAll));
        self.pass(Duration::from_secs(400));
        while let Some(query) = self.queries.pop_front() {
            self.apply(Input::Outcome(query, resolved(1)));
        }
        self.pass(Duration::from_secs(100));
        let left = self.core.census();
        let left = match self.probes {
            true => Census {
                transactions: 0,
                queries: 0,
                ..left
            },
            false => left,
        };
        assert_eq!(left, Census::default());
        for (call, records) in &self.admitted {
            assert_eq!(*records, 1, "records of {call}");
        }
        self.trace.finish()
    }
}

/// A description of ours names our own addresses alone: the relay's, and where there are no media the realm's.
fn own_addresses(described: Bytes) {
    let limits = sbc_core::sdp::Limits::default();
    let read = sbc_core::sdp::Description::parse(described, &limits).expect("we write SDP");
    let own = |at: Option<sbc_core::sdp::Connection<'_>>| {
        let ip = at.and_then(|at| at.address.ip());
        let ours = |ip: std::net::IpAddr| matches!(&*ip.to_string(), "192.0.2.10" | "192.0.2.11");
        let wanted = |ip: std::net::IpAddr| ip.is_unspecified() || ours(ip);
        assert!(ip.is_none_or(wanted), "another leg's address");
    };
    own(read.connection());
    read.media().for_each(|media| own(media.connection()));
}

fn from_end<T>(list: impl DoubleEndedIterator<Item = T> + Clone, number: usize) -> Option<T> {
    let length = list.clone().count();
    match length {
        0 => None,
        _ => list.rev().nth(number % length),
    }
}

fn resolved(number: usize) -> Outcome {
    let addresses: Vec<SocketAddr> = vec![
        ([203, 0, 113, 1], 5061).into(),
        ([203, 0, 113, 3], 5061).into(),
    ];
    let server = |priority: u16, address: &SocketAddr| Server {
        priority,
        weight: 1,
        port: address.port(),
        addresses: vec![address.ip()],
    };
    match number % 5 {
        4 => Outcome::Located(vec![Service {
            protocol: Protocol::Tls,
            servers: addresses.iter().map(|at| server(7, at)).collect(),
        }]),
        0 => Outcome::Resolved(addresses),
        1 => Outcome::ResolveFailed(ResolveFault::NotFound),
        2 => Outcome::ResolveFailed(ResolveFault::Timeout),
        _ => Outcome::Resolved(addresses[..1].to_vec()),
    }
}

fn refused(session: SessionId, endpoints: Vec<EndpointId>) -> MediaEvent {
    MediaEvent::Refused {
        session,
        endpoints,
        why: AllocateError::PortsExhausted,
    }
}

fn released(session: SessionId) -> MediaEvent {
    MediaEvent::Released {
        session,
        stats: SessionStats::default(),
    }
}
