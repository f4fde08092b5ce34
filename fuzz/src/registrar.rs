//! The guard and the registrar under any order of requests, proofs, losses and time.
//!
//! The input is a script of lines, so that a finding can be read. Two letters say what and who; `|` in
//! the rest stands for a line end. Peers are `0` and `2` over UDP and `1` over TCP.
//!
//! | line        | does                                                                         |
//! |-------------|------------------------------------------------------------------------------|
//! | `aN` text   | peer N sends REGISTER with these header lines and no proof                    |
//! | `gN` text   | the same with the right proof for the last challenge, counted from 1          |
//! | `uN` text   | the same as another user, `pbx2`, for the same address of record              |
//! | `iN` text   | peer N sends INVITE with these header lines and the right proof               |
//! | `oN` text   | peer N sends OPTIONS with these header lines and no proof                     |
//! | `xN` text   | peer N sends exactly this                                                     |
//! | `k`         | the carrier calls                                                             |
//! | `pN`        | time passes: 100 ms × 4^N                                                     |
//! | `lN`        | the flow of peer N is lost                                                    |
//! | `n`         | the configuration is loaded again                                             |

use bytes::Bytes;
use media_api::{Command, Event as MediaEvent, LocalEndpoint, LocalStream, SessionStats};
use sbc_core::auth::{Account, Challenge, Password, Proof};
use sbc_core::config::{Assumed, Config, Source, load};
use sbc_core::core::{Census, Core};
use sbc_core::effect::{Effect, Effects};
use sbc_core::event::Happened;
use sbc_core::id::{FlowId, ListenerName, ShardId};
use sbc_core::input::Input;
use sbc_core::mint::Mint;
use sbc_core::sip::header::Contact;
use sbc_core::sip::{HeaderName, Limits, Message, Method};
use sbc_core::time::{Now, Timestamp, UnixTime};
use sbc_core::transport::{Flow, FlowFault, Protocol};
use sbc_core::trunk::Bound;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Longest script that is played.
const LINES: usize = 100;
/// Most contacts of one trunk, and the longest life of one, as configured.
const CONTACTS: usize = 5;
const LONGEST_S: u32 = 7_200;

const CARRIER: &str = "198.51.100.20:5060";

static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| {
    let text = include_str!("registrar.toml");
    match load(
        &[Source::new("causeway.toml", text)],
        &Assumed::default(),
        None,
    ) {
        Ok(loaded) => Arc::new(loaded.config),
        Err(findings) => panic!("{}", findings.to_text()),
    }
});

pub(crate) fn check(data: &[u8]) {
    let trace = play(data);
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

struct World {
    core: Core,
    now: Now,
    trace: DefaultHasher,
    /// The last challenge that each peer got.
    challenges: BTreeMap<u8, Challenge>,
    bound: BTreeMap<String, Arc<Bound>>,
    serial: u32,
    /// Whether the message that is being applied carries a right proof.
    is_proven: bool,
    /// Top Via of every INVITE.
    branches: BTreeSet<Bytes>,
    /// Effects of this input that the relay has seen.
    seen: usize,
}

/// What the relay answers: it has ports for everybody.
fn relayed(effect: &Effect) -> Option<MediaEvent> {
    let local = SocketAddr::from(([192, 0, 2, 11], 20_000));
    match effect {
        Effect::Media(Command::Allocate { session, endpoints }) => Some(MediaEvent::Allocated {
            session: *session,
            endpoints: endpoints
                .iter()
                .map(|spec| LocalEndpoint {
                    endpoint: spec.endpoint,
                    streams: spec
                        .streams
                        .iter()
                        .map(|_| LocalStream {
                            rtp: local,
                            rtcp: local,
                            keys: Vec::new(),
                            fingerprint: None,
                        })
                        .collect(),
                })
                .collect(),
        }),
        Effect::Media(Command::Release {
            session,
            endpoint: None,
            ..
        }) => Some(MediaEvent::Released {
            session: *session,
            stats: SessionStats::default(),
        }),
        _ => None,
    }
}

fn flow(peer: u8) -> Flow {
    let protocol = match peer {
        1 => Protocol::Tcp,
        _ => Protocol::Udp,
    };
    let listener = CONFIG
        .listeners
        .values()
        .find(|listener| listener.protocol == protocol)
        .map(|listener| listener.name.clone())
        .unwrap_or_else(|| ListenerName::new("none"));
    let remote = match peer {
        9 => CARRIER.to_owned(),
        _ => format!("198.51.100.{}:30{peer}00", 200 + peer),
    };
    Flow {
        id: FlowId(u64::from(peer) + 1),
        protocol,
        listener,
        local: SocketAddr::from(([192, 0, 2, 11], 5_060)),
        remote: remote
            .parse()
            .unwrap_or_else(|_| SocketAddr::from(([198, 51, 100, 200], 1))),
        identity: None,
        tls: None,
    }
}

impl World {
    fn new() -> Self {
        let config = Arc::clone(&CONFIG);
        Self {
            core: Core::new(ShardId(0), config, Mint::new(ShardId(0), [9; 32])),
            now: Now {
                mono: Timestamp::from_micros(1_000_000),
                wall: UnixTime::from_micros(1_800_000_000_000_000),
            },
            trace: DefaultHasher::new(),
            challenges: BTreeMap::new(),
            bound: BTreeMap::new(),
            serial: 0,
            is_proven: false,
            branches: BTreeSet::new(),
            seen: 0,
        }
    }

    fn line(&mut self, line: &[u8]) {
        let [what, rest @ ..] = line else { return };
        let (peer, text) = match rest {
            [which, text @ ..] => (which.wrapping_sub(b'0') % 3, text),
            [] => (0, rest),
        };
        let text = String::from_utf8_lossy(text.trim_ascii_start()).replace('|', "\r\n");
        match what {
            b'a' => self.says(peer, &self.request("REGISTER", peer, &text), None),
            b'g' => self.proves(peer, "REGISTER", &text, "pbx1"),
            b'u' => self.proves(peer, "REGISTER", &text, "pbx2"),
            b'i' => self.proves(peer, "INVITE", &text, "pbx1"),
            b'o' => self.says(peer, &self.request("OPTIONS", peer, &text), None),
            b'x' => self.says(peer, &text, None),
            b'k' => {
                let invite = self.request("INVITE", 9, "Contact: <sip:gw@198.51.100.20>");
                self.says(9, &invite, None);
            }
            b'p' => self.pass(Duration::from_millis(100) * 4_u32.pow(u32::from(peer) * 4)),
            b'l' => self.apply(
                peer,
                Input::FlowLost {
                    flow: flow(peer).id,
                    why: FlowFault::Closed,
                },
            ),
            b'n' => self.apply(0, Input::Config(Arc::clone(&CONFIG))),
            _ => {}
        }
    }

    fn request(&self, method: &str, peer: u8, lines: &str) -> String {
        let serial = self.serial;
        let (uri, party) = match method {
            "INVITE" => (
                "sip:+493023125456@192.0.2.11",
                "sip:+498999998001@198.51.100.20",
            ),
            _ => ("sip:sip.example.com", "sip:pbx1@sip.example.com"),
        };
        let to = match method {
            "INVITE" => uri,
            _ => party,
        };
        let lines = match lines.is_empty() {
            true => String::new(),
            false => format!("{lines}\r\n"),
        };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{} {};branch=z9hG4bKf{serial};rport\r\n\
             From: <{party}>;tag=f{serial}\r\nTo: <{to}>\r\nCall-ID: c{peer}\r\n\
             CSeq: {serial} {method}\r\nMax-Forwards: 70\r\n{lines}Content-Length: 0\r\n\r\n",
            flow(peer).protocol.via_name(),
            flow(peer).remote,
        )
    }

    /// A request with the right proof, if there was a challenge.
    fn proves(&mut self, peer: u8, method: &str, lines: &str, username: &str) {
        let request = self.request(method, peer, lines);
        let proof = self.challenges.remove(&peer).and_then(|challenge| {
            let bytes = Bytes::from(request.clone());
            let message = Message::parse(bytes, &Limits::default()).ok()?;
            let account = Account {
                username: username.to_owned(),
                password: Password::new(b"assumed".to_vec()),
                realms: Vec::new(),
                allows_md5: true,
            };
            let response = Proof {
                algorithm: challenge.algorithm,
                account: &account,
                realm: &challenge.realm,
                nonce: &challenge.nonce,
                qop: challenge.qop,
                count: 1,
                cnonce: "f",
                method: message.method(),
                uri: &message.request_uri(),
                body: &message.body(),
            }
            .response();
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
            Some(format!(
                "Authorization: Digest username=\"{username}\", realm=\"{}\", nonce=\"{}\", \
                 uri=\"{}\", response=\"{response}\", algorithm={}, qop=auth, cnonce=\"f\", \
                 nc=00000001\r\n",
                text(&challenge.realm),
                text(&challenge.nonce),
                text(&message.request_uri()),
                challenge.algorithm.name(),
            ))
        });
        self.says(peer, &request, proof.as_deref());
    }

    fn says(&mut self, peer: u8, text: &str, proof: Option<&str>) {
        self.serial += 1;
        let text = match proof {
            Some(proof) => text.replacen("Max-Forwards:", &format!("{proof}Max-Forwards:"), 1),
            None => text.to_owned(),
        };
        self.is_proven = proof.is_some();
        let (flow, bytes) = (flow(peer), Bytes::from(text));
        let input = match Message::parse(bytes, &Limits::default()) {
            Ok(message) => Input::Received { flow, message },
            Err(rejected) => Input::Malformed { flow, rejected },
        };
        self.apply(peer, input);
        self.is_proven = false;
    }

    fn apply(&mut self, peer: u8, input: Input) {
        let may_bind = match &input {
            Input::Received { message, .. } => *message.method() == Method::Register,
            _ => false,
        };
        let before = self.core.census().bindings;
        let mut inputs = VecDeque::from([input]);
        let mut effects = Vec::new();
        while let Some(input) = inputs.pop_front() {
            let mut out = Effects::default();
            self.core.apply(self.now, input, &mut out);
            effects.extend(out.drain());
            let orders = effects.iter().skip(self.seen).filter_map(relayed);
            inputs.extend(orders.map(Input::Media));
            self.seen = effects.len();
        }
        self.seen = 0;
        for effect in effects {
            match effect {
                Effect::Send { hop, bytes, .. } => {
                    bytes.hash(&mut self.trace);
                    self.sent(peer, hop.remote, bytes);
                }
                Effect::Emit(event) => {
                    if let Happened::Bindings { bound, .. } = event.what {
                        let trunk = bound.trunk.as_str().to_owned();
                        self.bound.insert(trunk, bound);
                    }
                }
                _ => {}
            }
        }
        let census = self.core.census();
        assert!(
            census.bindings <= before || (may_bind && self.is_proven),
            "somebody who proved nothing has registered"
        );
        for bound in self.bound.values() {
            assert!(bound.bindings.len() <= CONTACTS, "{bound:?}");
        }
        let told: usize = self.bound.values().map(|one| one.bindings.len()).sum();
        assert_eq!(told, census.bindings, "all shards know what is registered");
    }

    fn sent(&mut self, peer: u8, remote: SocketAddr, bytes: Bytes) {
        let Ok(message) = Message::parse(bytes.clone(), &Limits::default()) else {
            // A refusal repeats what was there, and what was not there it lacks too (RFC 4475 §3.3.1).
            let status = bytes
                .strip_prefix(b"SIP/2.0 ")
                .and_then(|rest| rest.get(..3));
            let refuses = matches!(status, Some([b'4', ..] | b"505" | b"513"));
            assert!(refuses, "we send SIP: {bytes:?}");
            return;
        };
        if message.is_request() {
            // A repetition goes where the first one went.
            let branch = message.raw(HeaderName::Via).unwrap_or_default();
            if *message.method() == Method::Invite && self.branches.insert(branch) {
                let mut bound = self.bound.values().flat_map(|bound| &bound.bindings);
                let is_known = bound.any(|one| one.remote() == remote);
                let carrier: SocketAddr = CARRIER.parse().expect("an address");
                assert!(is_known || remote == carrier, "called {remote}");
            }
            return;
        }
        if let Some(challenge) = Challenge::all_of(&message).into_iter().next() {
            self.challenges.insert(peer, challenge);
        }
        let is_ok = message.status().is_some_and(|status| status.code() == 200);
        if is_ok && *message.method() == Method::Register {
            let contacts = message
                .list::<Contact>()
                .expect("contacts that can be read");
            assert!(contacts.len() <= CONTACTS);
            for contact in contacts {
                let left = contact.expires_s().expect("a life");
                assert!((1..=LONGEST_S).contains(&left), "{left} s");
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time.min(Duration::from_secs(8_000));
        while let Some(at) = self.core.deadline().filter(|at| *at <= end) {
            self.now.mono = at.max(self.now.mono);
            self.apply(0, Input::Tick);
        }
        self.now.mono = end;
    }

    /// Whatever came, in the end nothing is left.
    fn end(mut self) -> u64 {
        self.pass(Duration::from_secs(8_000));
        let census = self.core.census();
        assert_eq!(census.bindings, 0);
        assert_eq!(census, Census::default(), "left behind");
        self.trace.finish()
    }
}
