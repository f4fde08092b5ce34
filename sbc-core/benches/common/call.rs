//! A signalling core between two peers who call each other: both sides UDP, INVITE, 100, 180, 200, ACK,
//! BYE, 200.
// Every benchmark uses its own part of this, which is a part of each.
#![allow(dead_code, unreachable_pub)]

use bytes::Bytes;
use media_api::{
    Command as MediaCommand, Event as MediaEvent, LocalEndpoint, LocalStream, SessionStats,
};
use sbc_core::config::{Assumed, Source, load};
use sbc_core::core::Core;
use sbc_core::effect::{Effect, Effects};
use sbc_core::event::Happened;
use sbc_core::id::{FlowId, ListenerName, ShardId};
use sbc_core::input::Input;
use sbc_core::mint::Mint;
use sbc_core::sip::{Limits, Message};
use sbc_core::time::{Now, Timestamp, UnixTime};
use sbc_core::transport::{Flow, Protocol};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const CONFIG: &str = r#"
[node]
id = "bench"
[limits]
calls = 200000
[[realm]]
name = "left"
addresses = ["192.0.2.10"]
ports = "40000-44999"
[[realm]]
name = "right"
addresses = ["192.0.2.11"]
ports = "20000-29999"
[[listen]]
realm = "left"
transport = "udp"
port = 5060
[[listen]]
realm = "right"
transport = "udp"
port = 5060
[[tenant]]
name = "contoso"
numbers = ["+493023125000-+493023125999"]
[[trunk]]
name = "left"
tenant = "contoso"
preset = "carrier"
realm = "left"
targets = ["198.51.100.20:5060;udp"]
accept_from = ["198.51.100.20"]
options = false
[[trunk]]
name = "right"
tenant = "contoso"
preset = "carrier"
realm = "right"
targets = ["198.51.100.21:5060;udp"]
accept_from = ["198.51.100.21"]
options = false
[[route]]
name = "right"
match = { from_trunk = "left" }
to = [{ trunk = "right" }]
"#;

const LEFT: &str = "198.51.100.20:5060";
const RIGHT: &str = "198.51.100.21:5060";

/// Calls that begin each second of the core's time: the state of the 32 s that a transaction may be
/// remembered stays the same from call to call.
pub const PER_SECOND: u64 = 100;

/// A core between its two peers.
pub struct Bench {
    core: Core,
    now: Now,
    effects: Effects,
    limits: Limits,
    left: Flow,
    right: Flow,
    /// Time that the core has taken.
    pub spent: Duration,
    /// Whether work is done where callgrind counts it.
    pub is_counted: bool,
    sent: Vec<(SocketAddr, Bytes)>,
    ended: usize,
}

fn flow(id: u64, local: &str, remote: &str) -> Flow {
    let local: SocketAddr = local.parse().expect("address");
    Flow {
        id: FlowId(id),
        protocol: Protocol::Udp,
        listener: ListenerName::new(&format!("{local}/udp")),
        local,
        remote: remote.parse().expect("address"),
        identity: None,
        tls: None,
    }
}

impl Bench {
    pub fn new() -> Self {
        let loaded = load(
            &[Source::new("bench.toml", CONFIG)],
            &Assumed::default(),
            None,
        )
        .unwrap_or_else(|findings| panic!("{}", findings.to_text()));
        let listener = |realm: &str| {
            let mut all = loaded.config.listeners.values();
            let found = all.find(|listener| listener.realm.as_str() == realm);
            found.expect("a listener for each side").name.clone()
        };
        let (left, right) = (listener("left"), listener("right"));
        Self {
            core: Core::new(
                ShardId(0),
                Arc::new(loaded.config),
                Mint::new(ShardId(0), [7; 32]),
            ),
            now: Now {
                mono: Timestamp::from_micros(1_000_000),
                wall: UnixTime::from_micros(1_800_000_000_000_000),
            },
            effects: Effects::default(),
            limits: Limits::default(),
            left: Flow {
                listener: left,
                ..flow(1, "192.0.2.10:5060", LEFT)
            },
            right: Flow {
                listener: right,
                ..flow(2, "192.0.2.11:5060", RIGHT)
            },
            spent: Duration::ZERO,
            is_counted: true,
            sent: Vec::new(),
            ended: 0,
        }
    }

    /// One whole call.
    pub fn call(&mut self, number: u64) {
        let ok = self.set_up(number);
        self.tear_down(number, &ok);
    }

    /// The end of a call, and the time until the next one.
    pub fn tear_down(&mut self, number: u64, ok: &str) {
        self.ended = 0;
        let bye = self.says(true, &in_dialog("BYE", 2, number, ok));
        let bye = one_to(&bye, RIGHT, "BYE ");
        self.says(false, &answer(&bye, "200 OK", ""));
        assert_eq!(self.ended, 1, "the call has ended and is on record");
        self.pass(Duration::from_micros(1_000_000 / PER_SECOND));
    }

    /// A call up to its ACK; gives the caller's 200.
    pub fn set_up(&mut self, number: u64) -> String {
        let invite = self.says(true, &invite(number));
        let invite = one_to(&invite, RIGHT, "INVITE ");
        self.says(false, &answer(&invite, "180 Ringing", ""));
        let ok = self.says(false, &answer(&invite, "200 OK", SDP));
        let ok = one_to(&ok, LEFT, "SIP/2.0 200 ");
        self.says(true, &in_dialog("ACK", 1, number, &ok));
        ok
    }

    pub fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while let Some(at) = self.core.deadline().filter(|at| *at <= end) {
            self.set(at);
            self.measure(None);
        }
        self.set(end);
    }

    /// Lets the caller say this within its call, or as a call of its own.
    pub fn hear(&mut self, bytes: &Bytes) {
        self.measure(Some((self.left.clone(), bytes.clone())));
        self.sent.clear();
    }

    /// First lines of an INVITE of the caller: its first one, or one within the call that this answered.
    pub fn head(number: u64, ok: Option<&str>) -> String {
        let (text, end) = match ok {
            Some(ok) => (in_dialog("INVITE", 3, number, ok), "Content-Length"),
            None => (invite(number), "Content-Type"),
        };
        let (head, _) = text.split_once(end).expect("a line of the body");
        head.to_owned()
    }

    /// Gives the core a message; what it sends comes back.
    fn says(&mut self, is_left: bool, text: &str) -> Vec<(SocketAddr, Bytes)> {
        let flow = if is_left { &self.left } else { &self.right }.clone();
        self.measure(Some((flow, Bytes::copy_from_slice(text.as_bytes()))));
        std::mem::take(&mut self.sent)
    }

    fn measure(&mut self, arrived: Option<(Flow, Bytes)>) {
        let mut arrived = Some(match arrived {
            Some((flow, bytes)) => Arrival::Message(flow, bytes),
            None => Arrival::Deadline,
        });
        let mut reports = VecDeque::new();
        while let Some(arrival) = arrived.take() {
            let begin = Instant::now();
            let work = match self.is_counted {
                true => signalling_work,
                false => uncounted_work,
            };
            work(
                &mut self.core,
                self.now,
                arrival,
                &self.limits,
                &mut self.effects,
            );
            self.spent += begin.elapsed();
            for effect in self.effects.drain() {
                match effect {
                    Effect::Send { hop, bytes, .. } => self.sent.push((hop.remote, bytes)),
                    Effect::Media(command) => reports.extend(relay(&command)),
                    Effect::Emit(event) => {
                        self.ended += usize::from(matches!(event.what, Happened::Ended(_)));
                    }
                    Effect::Query(..)
                    | Effect::RetireFlow(_)
                    | Effect::Withdraw { .. }
                    | Effect::KeepAlive(_)
                    | Effect::Alias { .. }
                    | Effect::Letter(..)
                    | Effect::Keep(..)
                    | Effect::Reply(..) => {}
                }
            }
            arrived = reports.pop_front().map(Arrival::Report);
        }
    }

    fn set(&mut self, at: Timestamp) {
        let step = at.since(self.now.mono);
        self.now.mono = self.now.mono + step;
        let wall = self.now.wall.as_micros() + u64::try_from(step.as_micros()).unwrap_or(0);
        self.now.wall = UnixTime::from_micros(wall);
    }
}

enum Arrival {
    Message(Flow, Bytes),
    Report(MediaEvent),
    Deadline,
}

/// What is measured: reading and applying one message, a report of the relay, or timers that are due.
#[inline(never)]
fn signalling_work(
    core: &mut Core,
    now: Now,
    arrival: Arrival,
    limits: &Limits,
    effects: &mut Effects,
) {
    apply(core, now, arrival, limits, effects);
}

#[inline(always)]
fn apply(core: &mut Core, now: Now, arrival: Arrival, limits: &Limits, effects: &mut Effects) {
    let input = match arrival {
        Arrival::Message(flow, bytes) => match Message::parse(bytes, limits) {
            Ok(message) => Input::Received { flow, message },
            Err(rejected) => Input::Malformed { flow, rejected },
        },
        Arrival::Report(event) => Input::Media(event),
        Arrival::Deadline => Input::Tick,
    };
    core.apply(now, input, effects);
}

/// The same where nothing is counted.
#[inline(never)]
fn uncounted_work(
    core: &mut Core,
    now: Now,
    arrival: Arrival,
    limits: &Limits,
    effects: &mut Effects,
) {
    // Without a difference the compiler makes one function of both.
    apply(core, now, arrival, limits, std::hint::black_box(effects));
}

/// A relay that has every port.
fn relay(command: &MediaCommand) -> Option<MediaEvent> {
    match command {
        MediaCommand::Allocate { session, endpoints } => {
            let endpoints = endpoints.iter().map(|spec| LocalEndpoint {
                endpoint: spec.endpoint,
                streams: vec![
                    LocalStream {
                        rtp: SocketAddr::from(([192, 0, 2, 10], 40_000)),
                        rtcp: SocketAddr::from(([192, 0, 2, 10], 40_001)),
                        keys: Vec::new(),
                        fingerprint: None,
                    };
                    spec.streams.len()
                ],
            });
            Some(MediaEvent::Allocated {
                session: *session,
                endpoints: endpoints.collect(),
            })
        }
        MediaCommand::Release {
            session,
            endpoint: None,
            ..
        } => Some(MediaEvent::Released {
            session: *session,
            stats: SessionStats::default(),
        }),
        _ => None,
    }
}

const SDP: &str = "v=0\r\no=- 4711 1 IN IP4 198.51.100.21\r\ns=-\r\nc=IN IP4 198.51.100.21\r\nt=0 0\r\n\
    m=audio 6000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\na=ptime:20\r\n";

fn invite(number: u64) -> String {
    format!(
        "INVITE sip:+493023125456@192.0.2.10:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK-{number}-1;rport\r\n\
         From: <sip:+498999998{number}@198.51.100.20>;tag=c{number}\r\n\
         To: <sip:+493023125456@192.0.2.10:5060>\r\nCall-ID: {number}-77@198.51.100.20\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:gw@198.51.100.20:5060>\r\nMax-Forwards: 70\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
}

fn in_dialog(method: &str, cseq: u32, number: u64, ok: &str) -> String {
    let target = line(ok, "Contact: ").trim_start_matches("Contact: <");
    let target = target.split('>').next().expect("a contact in brackets");
    format!(
        "{method} {target} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.20:5060;branch=z9hG4bK-{number}-{method};rport\r\n\
         From: <sip:+498999998{number}@198.51.100.20>;tag=c{number}\r\n{}\r\n\
         Call-ID: {number}-77@198.51.100.20\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n",
        line(ok, "To: ")
    )
}

fn answer(request: &str, status: &str, body: &str) -> String {
    let to = line(request, "To: ");
    let tag = if to.contains(";tag=") { "" } else { ";tag=a1" };
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    format!(
        "SIP/2.0 {status}\r\n{}\r\n{}\r\n{to}{tag}\r\n{}\r\n{}\r\n\
         Contact: <sip:198.51.100.21:5060>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        line(request, "Via: "),
        line(request, "From: "),
        line(request, "Call-ID: "),
        line(request, "CSeq: "),
        body.len()
    )
}

fn line<'a>(message: &'a str, name: &str) -> &'a str {
    let mut lines = message.split("\r\n");
    lines
        .find(|line| line.starts_with(name))
        .expect("the header is there")
}

/// The one message of this kind that was sent there.
fn one_to(sent: &[(SocketAddr, Bytes)], remote: &str, start: &str) -> String {
    let mut fitting = sent
        .iter()
        .filter(|(to, bytes)| to.to_string() == remote && bytes.starts_with(start.as_bytes()));
    match (fitting.next(), fitting.next()) {
        (Some((_, bytes)), None) => String::from_utf8(bytes.to_vec()).expect("text"),
        _ => panic!("one {start}to {remote}, not {sent:?}"),
    }
}
