//! A user agent with its own transactions and dialogs, written from RFC 3261 without looking at
//! the product's: the engine of the Teams proxy and of the carriers.

mod callee;
mod caller;
mod digits;
mod early;
mod registering;
mod reliable;
mod transfer;
mod transferee;
mod within;

use super::change::{Change, Leave};
use super::dialect::Dialect;
use super::habit::Habit;
use super::plan::{Ack, Act, Cancel, Dial, Oddity, Script};
use super::view::{Ending, PartyView};
use super::voice::Voice;
use super::{Actor, Input, Intent, Line, Say};
use crate::agenda::Agenda;
use crate::dice::Dice;
use crate::wire::{Wire, host_of, uri_of, user_of};
use early::Early;
pub(crate) use registering::Membership;
use registering::Registering;
use reliable::{Counting, Reliable};
use sbc_core::time::Timestamp;
use sbc_core::transport::Protocol;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
pub(crate) use transfer::target_of;
use transferee::News;
use within::Talk;

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(32);
const ODD_DELAY: Duration = Duration::from_millis(200);

/// A peer of the SBC.
pub struct Agent {
    name: String,
    dialect: Dialect,
    address: SocketAddr,
    protocol: Protocol,
    sbc: SocketAddr,
    /// Names of the SBC and where they lead.
    hosts: BTreeMap<String, SocketAddr>,
    /// Hosts that get an OPTIONS every so often.
    probes: Option<(Duration, Vec<String>)>,
    dice: Dice,
    scripts: BTreeMap<String, Script>,
    legs: Vec<Leg>,
    clients: BTreeMap<(String, String), Client>,
    servers: BTreeMap<(String, String), Server>,
    agenda: Agenda<Timer>,
    complaints: Vec<String>,
    probe_statuses: Vec<u16>,
    registering: Option<Registering>,
    /// Final statuses of its REGISTERs, in order.
    register_statuses: Vec<u16>,
    media_port: u16,
    /// What it has written in Refer-To, by the number in it.
    referred: BTreeMap<String, String>,
}

/// One call of this peer.
struct Leg {
    call_id: String,
    line: Line,
    invite: Wire,
    contact: String,
    voice: Voice,
    answer: Option<String>,
    forks: Vec<Fork>,
    cseq: u32,
    remote_cseq: u32,
    dial: Option<Dial>,
    script: Option<Script>,
    is_final: bool,
    cancel_wanted: bool,
    cancel_sent: bool,
    talk: Talk,
    /// Reliable provisionals that this party sends.
    reliable: Reliable,
    /// Reliable provisionals that it gets.
    counting: Counting,
    /// What it offers before the answer.
    early: Early,
    /// When it leaves a call that it transfers.
    leave: Option<Leave>,
    view: PartyView,
}

impl Leg {
    /// What this party does in its own way.
    fn habit(&self) -> Option<Habit> {
        let of_callee = || self.script.as_ref().and_then(|script| script.habit);
        self.dial.as_ref().map_or_else(of_callee, |dial| dial.habit)
    }

    fn fork_mut(&mut self, number: u8) -> Option<&mut Fork> {
        self.forks.iter_mut().find(|fork| fork.number == number)
    }
}

/// One dialog of a call: several on a callee that forks.
struct Fork {
    number: u8,
    local_tag: String,
    remote_tag: String,
    remote_party: String,
    target: String,
    route: Vec<String>,
    state: State,
    answer: Option<Vec<u8>>,
    ack: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Early,
    Answered,
    Up,
    Gone,
}

struct Client {
    bytes: Vec<u8>,
    line: Line,
    leg: Option<usize>,
    purpose: Purpose,
    got_provisional: bool,
    is_done: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum Purpose {
    Invite,
    /// A change within the dialog of this fork.
    Change(u8),
    /// PRACK; whether it offers.
    Prack(bool),
    /// An offer before the answer in the early dialog of this fork.
    Early(u8),
    Refer,
    Notify,
    Info,
    Cancel,
    Bye,
    Probe,
    Register,
    Odd(&'static str),
}

struct Server {
    last: Option<Vec<u8>>,
    line: Line,
    is_acked: bool,
}

type Key = (String, String);

enum Timer {
    Resend(Key, Duration),
    GiveUp(Key),
    Act(usize, Act),
    ResendAnswer(usize, u8, Duration, Timestamp),
    ResendReliable(usize, u32, Duration, Timestamp),
    ResendRefusal(Key, Duration, Timestamp),
    Cancel(usize),
    HangUp(usize),
    Change(usize, Change),
    Proceed(usize),
    PauseOver(usize),
    AnswerLate(usize),
    ResendOk(usize, u32, Duration, Timestamp),
    Ack(usize),
    Replay(Vec<u8>, Line),
    Odd(usize),
    /// What a transferee says of its new call, in the dialog of this fork.
    News(usize, u8, News),
    Register,
    Probe,
}

/// Where a peer is and whom it talks to.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) sbc: SocketAddr,
    pub(crate) hosts: BTreeMap<String, SocketAddr>,
    pub(crate) probes: Option<(Duration, Vec<String>)>,
    pub(crate) member: Option<Membership>,
}

impl Agent {
    /// A peer at its place.
    pub(crate) fn new(place: Place, seed: u64) -> Self {
        let mut dice = Dice::new(seed, &place.name);
        let mut agenda = Agenda::default();
        if place.probes.is_some() {
            agenda.note(Timestamp::ZERO + Duration::from_millis(700), Timer::Probe);
        }
        let registering = place.member.map(|how| {
            let soon = dice.between(Duration::from_millis(10), Duration::from_secs(3));
            agenda.note(Timestamp::ZERO + soon, Timer::Register);
            Registering::new(how, &mut dice)
        });
        Self {
            registering,
            register_statuses: Vec::new(),
            name: place.name,
            dialect: place.dialect,
            address: place.address,
            protocol: place.protocol,
            sbc: place.sbc,
            hosts: place.hosts,
            probes: place.probes,
            dice,
            scripts: BTreeMap::new(),
            legs: Vec::new(),
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            agenda,
            complaints: Vec::new(),
            probe_statuses: Vec::new(),
            media_port: 30_000,
            referred: BTreeMap::new(),
        }
    }

    /// What it saw of every call.
    pub fn views(&self) -> impl Iterator<Item = &PartyView> {
        self.legs.iter().map(|leg| &leg.view)
    }

    /// What the SBC did that no peer should have to accept.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Final statuses of its OPTIONS, in order.
    pub fn probe_statuses(&self) -> &[u16] {
        &self.probe_statuses
    }

    /// Final statuses of its REGISTERs, in order; 408 where none came.
    pub fn register_statuses(&self) -> &[u16] {
        &self.register_statuses
    }

    /// Its signalling address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Dialogs that still last.
    pub fn open_dialogs(&self) -> usize {
        let lasting = |fork: &&Fork| matches!(fork.state, State::Answered | State::Up);
        self.legs
            .iter()
            .flat_map(|leg| &leg.forks)
            .filter(lasting)
            .count()
    }

    fn line(&self, server_name: Option<&str>) -> Line {
        Line {
            protocol: self.protocol,
            local: self.address,
            remote: self.sbc,
            connection: None,
            server_name: server_name.map(str::to_owned),
            fresh: false,
        }
    }

    fn via(&mut self, branch: &str) -> String {
        let rport = if self.protocol == Protocol::Udp {
            ";rport"
        } else {
            ""
        };
        format!(
            "SIP/2.0/{} {}{rport};branch={branch}",
            self.protocol.via_name(),
            self.address
        )
    }

    fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.dice.word(16))
    }

    fn next_media(&mut self) -> SocketAddr {
        self.media_port += 2;
        SocketAddr::new(self.address.ip(), self.media_port)
    }

    fn start(
        &mut self,
        now: Timestamp,
        wire: &Wire,
        line: Line,
        leg: Option<usize>,
        purpose: Purpose,
        out: &mut Vec<Say>,
    ) {
        let wire = self.dialect.finish(wire.clone());
        let method = wire.method().unwrap_or_default().to_owned();
        let key = (wire.branch().to_owned(), method);
        let bytes = wire.emit();
        out.push(Say {
            line: line.clone(),
            bytes: bytes.clone(),
        });
        if line.protocol == Protocol::Udp {
            self.agenda.note(now + T1, Timer::Resend(key.clone(), T1));
        }
        self.agenda.note(now + PATIENCE, Timer::GiveUp(key.clone()));
        let client = Client {
            bytes,
            line,
            leg,
            purpose,
            got_provisional: false,
            is_done: false,
        };
        self.clients.insert(key, client);
    }

    fn in_dialog(&mut self, index: usize, number: u8, method: &str, cseq: u32) -> (Wire, Line) {
        let branch = self.branch();
        let via = self.via(&branch);
        let leg = &self.legs[index];
        let fork = leg
            .forks
            .iter()
            .find(|f| f.number == number)
            .unwrap_or(&leg.forks[0]);
        let own = if leg.dial.is_some() {
            leg.invite.get("From").unwrap_or_default().to_owned()
        } else {
            let to = leg.invite.get("To").unwrap_or_default();
            format!("{to};tag={}", fork.local_tag)
        };
        let mut wire = Wire::begin(format!("{method} {} SIP/2.0", fork.target)).with("Via", via);
        for route in &fork.route {
            wire = wire.with("Route", route.clone());
        }
        let wire = wire
            .with("From", own)
            .with("To", fork.remote_party.clone())
            .with("Call-ID", leg.call_id.clone())
            .with("CSeq", format!("{cseq} {method}"))
            .with("Max-Forwards", "70")
            .with("Contact", leg.contact.clone());
        let next = fork
            .route
            .first()
            .map_or(fork.target.as_str(), |r| uri_of(r))
            .to_owned();
        let mut line = leg.line.clone();
        line.connection = None;
        match self.locate(&next) {
            Some(remote) => line.remote = remote,
            None => self.complaints.push(format!("cannot reach {next}")),
        }
        (wire, line)
    }

    /// Where a URI of the SBC leads.
    fn locate(&self, uri: &str) -> Option<SocketAddr> {
        let (host, port) = host_of(uri);
        let port = port.unwrap_or(self.protocol.default_port());
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(SocketAddr::new(ip, port));
        }
        let known = self.hosts.get(&host.to_ascii_lowercase())?;
        (known.port() == port).then_some(*known)
    }

    fn hang_up(&mut self, now: Timestamp, index: usize, out: &mut Vec<Say>) {
        let leg = &self.legs[index];
        let is_caller = leg.dial.is_some();
        let Some(fork) = leg
            .forks
            .iter()
            .find(|f| matches!(f.state, State::Answered | State::Up))
        else {
            return;
        };
        if fork.state == State::Answered
            && (!is_caller || leg.view.ending.is_none())
            && !leg.cancel_sent
        {
            // A callee may not send BYE before the ACK (RFC 3261 §15); a caller that never sends
            // ACK never hangs up either.
            let never = leg.dial.as_ref().is_some_and(|d| d.ack == Ack::Never);
            if !never {
                self.agenda
                    .note(now + Duration::from_millis(100), Timer::HangUp(index));
            }
            return;
        }
        let number = fork.number;
        let oddity = leg
            .dial
            .as_ref()
            .and_then(|d| d.oddity)
            .or(leg.script.as_ref().and_then(|s| s.oddity));
        if let Some(odd @ (Oddity::StaleBye | Oddity::ForgedBye)) = oddity
            && leg.view.odd_statuses.is_empty()
            && !self
                .clients
                .values()
                .any(|c| c.leg == Some(index) && matches!(c.purpose, Purpose::Odd(_)))
        {
            let (mut wire, line) = self.in_dialog(index, number, "BYE", 0);
            let what = if odd == Oddity::StaleBye {
                "stale bye"
            } else {
                for (name, value) in &mut wire.headers {
                    if name == "To" {
                        *value = format!("<{}>;tag=forged{}", uri_of(value), self.dice.word(8));
                    }
                }
                "forged bye"
            };
            self.start(now, &wire, line, Some(index), Purpose::Odd(what), out);
            self.agenda.note(now + ODD_DELAY, Timer::HangUp(index));
            return;
        }
        self.legs[index].cseq += 1;
        let cseq = self.legs[index].cseq;
        let (wire, line) = self.in_dialog(index, number, "BYE", cseq);
        let leg = &mut self.legs[index];
        for fork in &mut leg.forks {
            if fork.number == number {
                fork.state = State::Gone;
            }
        }
        let lasts = |f: &Fork| matches!(f.state, State::Answered | State::Up);
        if !leg.forks.iter().any(lasts) {
            leg.view.ending.get_or_insert(Ending::HungUp);
        }
        self.drop_asked(now, index, out);
        self.start(now, &wire, line, Some(index), Purpose::Bye, out);
    }

    fn due(&mut self, now: Timestamp, timer: Timer, out: &mut Vec<Say>) {
        match timer {
            Timer::Resend(key, interval) => {
                let Some(client) = self.clients.get(&key) else {
                    return;
                };
                if client.is_done || (client.got_provisional && key.1 == "INVITE") {
                    return;
                }
                let (line, bytes) = (client.line.clone(), client.bytes.clone());
                out.push(Say { line, bytes });
                let double = if key.1 == "INVITE" {
                    interval * 2
                } else {
                    (interval * 2).min(T2)
                };
                self.agenda.note(now + double, Timer::Resend(key, double));
            }
            Timer::GiveUp(key) => self.give_up(now, &key),
            Timer::Act(leg, act) => self.act(now, leg, act, out),
            Timer::ResendAnswer(leg, number, interval, until) => {
                self.resend_answer(now, leg, number, interval, until, out);
            }
            Timer::ResendReliable(leg, rseq, interval, until) => {
                self.resend_reliable(now, leg, rseq, interval, until, out);
            }
            Timer::ResendRefusal(key, interval, until) => {
                let Some(server) = self.servers.get(&key) else {
                    return;
                };
                if server.is_acked || now >= until {
                    return;
                }
                let (line, bytes) = (server.line.clone(), server.last.clone());
                out.extend(bytes.map(|bytes| Say { line, bytes }));
                let double = (interval * 2).min(T2);
                self.agenda
                    .note(now + double, Timer::ResendRefusal(key, double, until));
            }
            Timer::Cancel(leg) => self.cancel(now, leg, out),
            Timer::HangUp(leg) => self.hang_up(now, leg, out),
            Timer::Change(leg, change) => self.change(now, leg, change, out),
            Timer::Proceed(leg) => self.proceed(now, leg, out),
            Timer::PauseOver(leg) => self.pause_over(now, leg, out),
            Timer::AnswerLate(leg) => self.answer_late(now, leg, out),
            Timer::ResendOk(leg, cseq, interval, until) => {
                self.resend_ok(now, leg, cseq, interval, until, out);
            }
            Timer::Ack(leg) => self.ack(leg, out),
            Timer::Replay(bytes, line) => out.push(Say { line, bytes }),
            Timer::Odd(leg) => {
                self.legs[leg].cseq += 1;
                let cseq = self.legs[leg].cseq;
                let (wire, line) = self.in_dialog(leg, 0, "FROBNICATE", cseq);
                self.start(
                    now,
                    &wire,
                    line,
                    Some(leg),
                    Purpose::Odd("unknown method"),
                    out,
                );
            }
            Timer::News(leg, number, news) => self.tell(now, leg, number, news, out),
            Timer::Register => self.register(now, out),
            Timer::Probe => self.probe(now, out),
        }
    }

    fn probe(&mut self, now: Timestamp, out: &mut Vec<Say>) {
        let Some((interval, hosts)) = self.probes.clone() else {
            return;
        };
        for host in hosts {
            let (tag, branch) = (self.dice.word(10), self.branch());
            let from = format!("<sip:{}>;tag={tag}", self.dialect.domain());
            let wire = Wire::begin(format!("OPTIONS sip:{host}:5061;transport=tls SIP/2.0"))
                .with("Via", self.via(&branch))
                .with("From", from)
                .with("To", format!("<sip:{host}>"))
                .with("Call-ID", self.dice.word(20))
                .with("CSeq", "1 OPTIONS")
                .with("Max-Forwards", "70")
                .with("Contact", format!("<sip:{}>", self.dialect.domain()));
            let line = self.line(Some(&host));
            self.start(now, &wire, line, None, Purpose::Probe, out);
        }
        self.agenda.note(now + interval, Timer::Probe);
    }
}

impl Actor for Agent {
    fn input(&mut self, now: Timestamp, input: Input, out: &mut Vec<Say>) {
        match input {
            Input::Heard { wire, .. } if wire.status().is_some() => self.response(now, &wire, out),
            Input::Heard { line, wire } => self.request(now, line, wire, out),
            Input::Told(Intent::Dial(dial)) => self.dial(now, dial, out),
            Input::Told(Intent::Expect(number, script)) => {
                self.scripts.insert(number, script);
            }
            Input::Told(Intent::HangUpAll) => {
                self.registering = None;
                for leg in 0..self.legs.len() {
                    self.hang_up(now, leg, out);
                }
            }
            Input::Told(Intent::Say(bytes)) => {
                let line = self.line(None);
                out.push(Say { line, bytes });
            }
            Input::Tick => {
                while let Some(timer) = self.agenda.take(now) {
                    self.due(now, timer, out);
                }
            }
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.agenda.next()
    }
}
