//! A user agent with its own transactions and dialogs, written from RFC 3261 without looking at
//! the product's: the engine of the Teams proxy and of the carriers.

use super::dialect::Dialect;
use super::plan::{Ack, Act, Cancel, Dial, Oddity, Script};
use super::view::{Ending, PartyView};
use super::{Actor, Input, Intent, Line, Say};
use crate::agenda::Agenda;
use crate::dice::Dice;
use crate::wire::{Wire, host_of, uri_of, user_of};
use sbc_core::time::Timestamp;
use sbc_core::transport::Protocol;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

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
    unplanned: usize,
    media_port: u16,
}

/// One call of this peer.
struct Leg {
    call_id: String,
    line: Line,
    invite: Wire,
    contact: String,
    media: SocketAddr,
    answer: Option<String>,
    forks: Vec<Fork>,
    cseq: u32,
    remote_cseq: u32,
    dial: Option<Dial>,
    script: Option<Script>,
    is_final: bool,
    cancel_wanted: bool,
    cancel_sent: bool,
    view: PartyView,
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
    Reinvite,
    Cancel,
    Bye,
    Probe,
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
    ResendRefusal(Key, Duration, Timestamp),
    Cancel(usize),
    HangUp(usize),
    Hold(usize),
    Ack(usize),
    Replay(Vec<u8>, Line),
    Odd(usize),
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
}

impl Agent {
    /// A peer at its place.
    pub(crate) fn new(place: Place, seed: u64) -> Self {
        let dice = Dice::new(seed, &place.name);
        let mut agenda = Agenda::default();
        if place.probes.is_some() {
            agenda.note(Timestamp::ZERO + Duration::from_millis(700), Timer::Probe);
        }
        Self {
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
            unplanned: 0,
            media_port: 30_000,
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

    // ---- client transactions

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

    fn dial(&mut self, now: Timestamp, dial: Dial, out: &mut Vec<Say>) {
        let media = self.next_media();
        let (tag, branch) = (self.dice.word(14), self.branch());
        let call_id = format!("{}@{}", self.dice.word(24), self.address.ip());
        let contact = self
            .dialect
            .contact(self.address, self.protocol, &mut self.dice);
        let uri = self.dialect.request_uri(&dial.to, &dial.host);
        let mut invite = Wire::begin(format!("INVITE {uri} SIP/2.0"))
            .with("Via", self.via(&branch))
            .with(
                "From",
                format!("{};tag={tag}", self.dialect.party(&dial.from)),
            )
            .with("To", format!("<{uri}>"))
            .with("Call-ID", call_id.clone())
            .with("CSeq", "1 INVITE")
            .with("Contact", contact.clone());
        if let Some(max_forwards) = dial.max_forwards {
            invite = invite.with("Max-Forwards", max_forwards.to_string());
        }
        if let Some(route) = self.dialect.record_route() {
            invite = invite.with("Record-Route", route);
        }
        if dial.oddity == Some(Oddity::UnknownRequire) {
            invite = invite.with("Require", "frobnicate");
        }
        let offer = self.dialect.offer(media, "sendrecv", &mut self.dice);
        let invite = self
            .dialect
            .dress_invite(invite)
            .with_body("application/sdp", offer);
        let line = self.line(Some(&dial.host));
        let index = self.legs.len();
        if let Some(Cancel::After(after)) = dial.cancel {
            self.agenda.note(now + after, Timer::Cancel(index));
        }
        let fork = Fork {
            number: 0,
            local_tag: tag,
            remote_tag: String::new(),
            remote_party: format!("<{uri}>"),
            target: uri,
            route: Vec::new(),
            state: State::Early,
            answer: None,
            ack: None,
        };
        let view = PartyView {
            call: dial.call,
            actor: self.name.clone(),
            is_caller: true,
            ..PartyView::default()
        };
        let merged = dial.oddity == Some(Oddity::Merged);
        self.legs.push(Leg {
            call_id,
            line: line.clone(),
            invite: invite.clone(),
            contact,
            media,
            answer: None,
            forks: vec![fork],
            cseq: 1,
            remote_cseq: 0,
            dial: Some(dial),
            script: None,
            is_final: false,
            cancel_wanted: false,
            cancel_sent: false,
            view,
        });
        self.start(
            now,
            &invite,
            line.clone(),
            Some(index),
            Purpose::Invite,
            out,
        );
        if merged {
            let (other, mut twin) = (self.branch(), invite);
            let via = self.via(&other);
            twin.headers[0].1 = via;
            self.start(now, &twin, line, Some(index), Purpose::Odd("merged"), out);
        }
    }

    fn cancel(&mut self, now: Timestamp, index: usize, out: &mut Vec<Say>) {
        let leg = &mut self.legs[index];
        if leg.is_final || leg.cancel_sent {
            return;
        }
        leg.cancel_wanted = true;
        let key = (leg.invite.branch().to_owned(), "INVITE".to_owned());
        if !self.clients.get(&key).is_some_and(|c| c.got_provisional) {
            return;
        }
        leg.cancel_sent = true;
        leg.view.cancelled = true;
        let uri = leg.invite.request_uri();
        let get = |name: &str| leg.invite.get(name).unwrap_or_default().to_owned();
        let cancel = Wire::begin(format!("CANCEL {uri} SIP/2.0"))
            .with("Via", get("Via"))
            .with("From", get("From"))
            .with("To", get("To"))
            .with("Call-ID", get("Call-ID"))
            .with("CSeq", "1 CANCEL")
            .with("Max-Forwards", "70");
        let line = leg.line.clone();
        self.start(now, &cancel, line, Some(index), Purpose::Cancel, out);
        self.agenda.note(now + PATIENCE, Timer::GiveUp(key));
    }

    fn response(&mut self, now: Timestamp, wire: &Wire, out: &mut Vec<Say>) {
        let Some(status) = wire.status() else { return };
        let method = wire.cseq().map(|(_, m)| m.to_owned()).unwrap_or_default();
        let key = (wire.branch().to_owned(), method);
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if status < 200 {
            client.got_provisional = true;
        }
        let (leg, was_done, purpose) = (client.leg, client.is_done, client.purpose.clone());
        let (line, bytes) = (client.line.clone(), client.bytes.clone());
        client.is_done |= status >= 200;
        if key.1 == "INVITE" && status >= 300 {
            let ack = non_2xx_ack(&bytes, wire);
            let bytes = self.dialect.finish(ack).emit();
            out.push(Say { line, bytes });
        }
        match (purpose, leg) {
            (Purpose::Invite, Some(leg)) => {
                self.invite_response(now, leg, status, wire, was_done, out)
            }
            (Purpose::Reinvite, Some(leg)) if status >= 200 && status < 300 => {
                if !was_done {
                    self.legs[leg].view.reinvite_statuses.push(status);
                }
                let cseq = wire.cseq().map_or(0, |(n, _)| n);
                let (ack, line) = self.in_dialog(leg, 0, "ACK", cseq);
                let bytes = self.dialect.finish(ack).emit();
                out.push(Say { line, bytes });
            }
            (Purpose::Reinvite, Some(leg)) if status >= 300 && !was_done => {
                self.legs[leg].view.reinvite_statuses.push(status);
            }
            (Purpose::Odd(what), Some(leg)) if status >= 200 && !was_done => {
                self.legs[leg]
                    .view
                    .odd_statuses
                    .push((what.to_owned(), status));
            }
            (Purpose::Probe, _) if status >= 200 && !was_done => self.probe_statuses.push(status),
            _ => {}
        }
    }

    fn invite_response(
        &mut self,
        now: Timestamp,
        index: usize,
        status: u16,
        wire: &Wire,
        was_done: bool,
        out: &mut Vec<Say>,
    ) {
        let leg = &mut self.legs[index];
        if wire.has_sdp() && leg.view.descriptions.last() != Some(&wire.body) {
            leg.view.descriptions.push(wire.body.clone());
        }
        let plan = leg.dial.clone();
        if status < 200 {
            if leg.view.provisionals.last() != Some(&status) {
                leg.view.provisionals.push(status);
                if let Some(Cancel::AfterStatus(on, after)) = plan.and_then(|p| p.cancel)
                    && on == status
                {
                    self.agenda.note(now + after, Timer::Cancel(index));
                }
            }
            if self.legs[index].cancel_wanted {
                self.cancel(now, index, out);
            }
            return;
        }
        if status >= 300 {
            if !was_done {
                leg.is_final = true;
                leg.view.final_status = Some(status);
                leg.view.ending = Some(Ending::Refused);
                leg.forks[0].state = State::Gone;
                self.replay(now, index);
            }
            return;
        }
        let tag = wire.tag("To").unwrap_or_default().to_owned();
        if was_done && leg.is_final && leg.forks[0].remote_tag == tag {
            if let Some(bytes) = leg.forks[0].ack.clone() {
                let line = leg.line.clone();
                out.push(Say { line, bytes });
            }
            return;
        }
        if tag.is_empty() {
            self.complaints
                .push("2xx to INVITE without To tag".to_owned());
        }
        let Some(target) = wire.contact() else {
            self.complaints
                .push("2xx to INVITE without Contact".to_owned());
            return;
        };
        if leg.is_final && !was_done && leg.view.ending != Some(Ending::GaveUp) {
            self.complaints
                .push("2xx after another final response".to_owned());
        }
        let gave_up = leg.view.ending.is_some() || leg.cancel_sent;
        leg.is_final = true;
        leg.view.final_status = Some(status);
        let fork = &mut leg.forks[0];
        fork.remote_tag = tag;
        fork.remote_party = wire.get("To").unwrap_or_default().to_owned();
        fork.target = target;
        fork.state = State::Answered;
        let plan = plan.unwrap_or_else(|| unreachable!("a caller has a plan"));
        match plan.ack {
            Ack::Prompt => self.ack(index, out),
            Ack::Late(after) => self.agenda.note(now + after, Timer::Ack(index)),
            Ack::Never => {}
        }
        if gave_up {
            self.agenda.note(now, Timer::HangUp(index));
        } else {
            if let Some(after) = plan.hang_up {
                self.agenda.note(now + after, Timer::HangUp(index));
            }
            if let Some(after) = plan.hold {
                self.agenda.note(now + after, Timer::Hold(index));
            }
            if plan.oddity == Some(Oddity::UnknownMethod) {
                self.agenda.note(now + ODD_DELAY, Timer::Odd(index));
            }
            self.replay(now, index);
        }
    }

    /// Repeats the INVITE when everybody has long forgotten it, and shortly after the answer.
    fn replay(&mut self, now: Timestamp, index: usize) {
        let leg = &self.legs[index];
        if leg.dial.as_ref().and_then(|d| d.oddity) != Some(Oddity::Replay) {
            return;
        }
        let bytes = self.dialect.finish(leg.invite.clone()).emit();
        let again = now + Duration::from_secs(1);
        self.agenda
            .note(again, Timer::Replay(bytes, leg.line.clone()));
    }

    fn ack(&mut self, index: usize, out: &mut Vec<Say>) {
        let (ack, line) = self.in_dialog(index, 0, "ACK", 1);
        let bytes = self.dialect.finish(ack).emit();
        let leg = &mut self.legs[index];
        let fork = &mut leg.forks[0];
        fork.ack = Some(bytes.clone());
        if fork.state == State::Answered {
            fork.state = State::Up;
        }
        leg.view.was_up = true;
        out.push(Say { line, bytes });
    }

    // ---- within a dialog

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
        self.start(now, &wire, line, Some(index), Purpose::Bye, out);
    }

    fn hold(&mut self, now: Timestamp, index: usize, out: &mut Vec<Say>) {
        let leg = &self.legs[index];
        let Some(fork) = leg.forks.iter().find(|f| f.state == State::Up) else {
            return;
        };
        let number = fork.number;
        self.legs[index].cseq += 1;
        let (cseq, media) = (self.legs[index].cseq, self.legs[index].media);
        let offer = self.dialect.offer(media, "inactive", &mut self.dice);
        let (wire, line) = self.in_dialog(index, number, "INVITE", cseq);
        let wire = wire.with_body("application/sdp", offer);
        self.start(now, &wire, line, Some(index), Purpose::Reinvite, out);
    }

    // ---- server transactions

    fn reply(
        &mut self,
        now: Timestamp,
        line: &Line,
        request: &Wire,
        response: Wire,
        out: &mut Vec<Say>,
    ) {
        let bytes = self.dialect.finish(response.clone()).emit();
        let key = server_key(request);
        let status = response.status().unwrap_or_default();
        let is_new = self.servers.get(&key).is_none_or(|s| s.last.is_none());
        self.servers.insert(
            key.clone(),
            Server {
                last: Some(bytes.clone()),
                line: line.clone(),
                is_acked: false,
            },
        );
        if key.1 == "INVITE" && status >= 300 && line.protocol == Protocol::Udp {
            let until = now + PATIENCE;
            self.agenda
                .note(now + T1, Timer::ResendRefusal(key, T1, until));
        }
        let _ = is_new;
        out.push(Say {
            line: line.clone(),
            bytes,
        });
    }

    fn request(&mut self, now: Timestamp, line: Line, wire: Wire, out: &mut Vec<Say>) {
        let method = wire.method().unwrap_or_default().to_owned();
        if method == "ACK" {
            return self.acknowledged(&wire);
        }
        if let Some(server) = self.servers.get(&server_key(&wire)) {
            if let Some(bytes) = server.last.clone() {
                out.push(Say { line, bytes });
            }
            return;
        }
        match (method.as_str(), wire.tag("To")) {
            ("INVITE", None) => self.invited(now, line, wire, out),
            ("CANCEL", _) => self.cancelled(now, &line, &wire, out),
            ("OPTIONS", None) => {
                let ok = wire.answer(200, "OK", Some("probe"));
                self.reply(now, &line, &wire, ok, out);
            }
            (_, Some(_)) => self.in_dialog_request(now, line, wire, out),
            _ => {
                let no = wire.answer(405, "Method Not Allowed", Some("none"));
                self.reply(now, &line, &wire, no, out);
            }
        }
    }

    fn find(&self, wire: &Wire) -> Option<(usize, usize)> {
        let tag = wire.tag("To")?;
        self.legs.iter().enumerate().find_map(|(index, leg)| {
            let fork = leg.forks.iter().position(|f| f.local_tag == tag)?;
            (leg.call_id == wire.call_id()).then_some((index, fork))
        })
    }

    fn acknowledged(&mut self, wire: &Wire) {
        let key = (wire.branch().to_owned(), "INVITE".to_owned());
        if let Some(server) = self.servers.get_mut(&key) {
            server.is_acked = true;
        }
        let Some((index, fork)) = self.find(wire) else {
            return;
        };
        let leg = &mut self.legs[index];
        if leg.forks[fork].state == State::Answered {
            leg.forks[fork].state = State::Up;
            leg.view.was_up = true;
        }
        if leg.forks[fork].answer.is_some() {
            leg.forks[fork].ack = Some(Vec::new());
        }
    }

    fn invited(&mut self, now: Timestamp, line: Line, wire: Wire, out: &mut Vec<Say>) {
        let number = user_of(wire.request_uri()).to_owned();
        let key = server_key(&wire);
        let script = match self.scripts.get(&number) {
            Some(script) => script.clone(),
            None => {
                self.unplanned += 1;
                Script::refusing(usize::MAX, 404)
            }
        };
        let media = self.next_media();
        let index = self.legs.len();
        for (after, act) in &script.acts {
            self.agenda.note(now + *after, Timer::Act(index, *act));
        }
        self.servers.insert(
            key,
            Server {
                last: None,
                line: line.clone(),
                is_acked: false,
            },
        );
        let contact = self
            .dialect
            .contact(self.address, self.protocol, &mut self.dice);
        let view = PartyView {
            call: script.call,
            actor: self.name.clone(),
            descriptions: vec![wire.body.clone()],
            ..PartyView::default()
        };
        let _ = out;
        self.legs.push(Leg {
            call_id: wire.call_id().to_owned(),
            line,
            remote_cseq: wire.cseq().map_or(0, |(n, _)| n),
            invite: wire,
            contact,
            media,
            answer: None,
            forks: Vec::new(),
            cseq: 100,
            dial: None,
            script: Some(script),
            is_final: false,
            cancel_wanted: false,
            cancel_sent: false,
            view,
        });
    }

    fn act(&mut self, now: Timestamp, index: usize, act: Act, out: &mut Vec<Say>) {
        let leg = &self.legs[index];
        let is_answered = leg.view.final_status == Some(200);
        let forked_answer = matches!(act, Act::Answer { fork } if is_answered
            && !leg.forks.iter().any(|f| f.number == fork && f.state != State::Early));
        if (leg.is_final && !forked_answer) || leg.view.cancelled {
            return;
        }
        match act {
            Act::Trying => {
                let trying = leg.invite.answer(100, "Trying", None);
                let (line, invite) = (leg.line.clone(), leg.invite.clone());
                self.reply(now, &line, &invite, trying, out);
            }
            Act::Progress { status, fork, sdp } => {
                let response = self.dialog_response(index, fork, status, "Progress", sdp);
                let leg = &mut self.legs[index];
                leg.view.provisionals.push(status);
                let (line, invite) = (leg.line.clone(), leg.invite.clone());
                self.reply(now, &line, &invite, response, out);
            }
            Act::Answer { fork } => self.answer(now, index, fork, out),
            Act::Refuse(status) => self.refuse(now, index, status, out),
        }
    }

    fn refuse(&mut self, now: Timestamp, index: usize, status: u16, out: &mut Vec<Say>) {
        let phrase = self.dialect.phrase(status, self.address);
        let tag = self.fork_tag(index, 0);
        let leg = &mut self.legs[index];
        leg.is_final = true;
        leg.view.final_status = Some(status);
        leg.view.ending = Some(Ending::Refused);
        for fork in &mut leg.forks {
            fork.state = State::Gone;
        }
        let (line, invite) = (leg.line.clone(), leg.invite.clone());
        let oddity = leg.script.as_ref().and_then(|s| s.oddity);
        let response = invite.answer(status, &phrase, Some(&tag));
        self.reply(now, &line, &invite, response, out);
        let late = match oddity {
            Some(Oddity::TwoFinals) => {
                let mut other = self.dialog_response(index, 0, 200, "OK", true);
                other = self.dialect.finish(other);
                Some(other.emit())
            }
            Some(Oddity::LateProvisional) => {
                let other = self.dialog_response(index, 0, 180, "Ringing", false);
                Some(self.dialect.finish(other).emit())
            }
            _ => None,
        };
        if let Some(bytes) = late {
            let after = now + Duration::from_millis(40);
            self.agenda.note(after, Timer::Replay(bytes, line));
        }
    }

    fn answer(&mut self, now: Timestamp, index: usize, number: u8, out: &mut Vec<Say>) {
        let response = self.dialog_response(index, number, 200, "OK", true);
        if self.legs[index].answer.is_none() {
            return self.refuse(now, index, 488, out);
        }
        let leg = &mut self.legs[index];
        let is_first = !leg.is_final;
        leg.is_final = true;
        leg.view.final_status = Some(200);
        let script = leg.script.clone();
        let (line, invite) = (leg.line.clone(), leg.invite.clone());
        let oddity = script.as_ref().and_then(|s| s.oddity);
        if oddity == Some(Oddity::WrongCSeq) {
            let mut wrong = response.clone();
            for (name, value) in &mut wrong.headers {
                if name == "CSeq" {
                    *value = "9999 BYE".to_owned();
                }
            }
            let bytes = self.dialect.finish(wrong).emit();
            out.push(Say {
                line: line.clone(),
                bytes,
            });
        }
        self.reply(now, &line, &invite, response, out);
        let bytes = out.last().map(|say| say.bytes.clone());
        let leg = &mut self.legs[index];
        for fork in &mut leg.forks {
            if fork.number == number {
                fork.state = State::Answered;
                fork.answer.clone_from(&bytes);
            }
        }
        let until = now + PATIENCE;
        self.agenda
            .note(now + T1, Timer::ResendAnswer(index, number, T1, until));
        if oddity == Some(Oddity::LateProvisional) {
            let late = self.dialog_response(index, number, 180, "Ringing", false);
            let bytes = self.dialect.finish(late).emit();
            let after = now + Duration::from_millis(40);
            self.agenda.note(after, Timer::Replay(bytes, line));
        }
        if is_first && let Some(script) = script {
            if let Some(after) = script.hang_up {
                self.agenda.note(now + after, Timer::HangUp(index));
            }
            if let Some(after) = script.hold {
                self.agenda.note(now + after, Timer::Hold(index));
            }
        }
    }

    fn fork_tag(&mut self, index: usize, number: u8) -> String {
        let leg = &self.legs[index];
        if let Some(fork) = leg.forks.iter().find(|f| f.number == number) {
            return fork.local_tag.clone();
        }
        let local_tag = self.dice.word(14);
        let leg = &mut self.legs[index];
        let from = leg.invite.get("From").unwrap_or_default().to_owned();
        leg.forks.push(Fork {
            number,
            local_tag: local_tag.clone(),
            remote_tag: leg.invite.tag("From").unwrap_or_default().to_owned(),
            remote_party: from,
            target: leg.invite.contact().unwrap_or_default(),
            route: leg.invite.values("Record-Route"),
            state: State::Early,
            answer: None,
            ack: None,
        });
        local_tag
    }

    fn dialog_response(
        &mut self,
        index: usize,
        number: u8,
        status: u16,
        phrase: &str,
        sdp: bool,
    ) -> Wire {
        let tag = self.fork_tag(index, number);
        let leg = &self.legs[index];
        let mut response = leg
            .invite
            .answer(status, phrase, Some(&tag))
            .with("Contact", leg.contact.clone());
        for route in leg.invite.lines("Record-Route") {
            response = response.with("Record-Route", route);
        }
        if let Some(route) = self.dialect.record_route() {
            response = response.with("Record-Route", route);
        }
        if sdp {
            if leg.answer.is_none() {
                let (offer, media) = (leg.invite.body.clone(), leg.media);
                let answer = self.dialect.answer(&offer, media, &mut self.dice);
                self.legs[index].answer = answer;
            }
            if let Some(answer) = self.legs[index].answer.clone() {
                response = response.with_body("application/sdp", answer);
            }
        }
        response
    }

    fn cancelled(&mut self, now: Timestamp, line: &Line, wire: &Wire, out: &mut Vec<Say>) {
        let found = self
            .legs
            .iter()
            .position(|leg| leg.dial.is_none() && leg.invite.branch() == wire.branch());
        let Some(index) = found else {
            let none = wire.answer(481, "No Such Transaction", Some("none"));
            return self.reply(now, line, wire, none, out);
        };
        let is_pending = !self.legs[index].is_final;
        let answers = self.legs[index]
            .script
            .as_ref()
            .is_some_and(|s| s.answers_on_cancel);
        if is_pending && answers {
            self.answer(now, index, 0, out);
        }
        let tag = self.fork_tag(index, 0);
        let ok = wire.answer(200, "OK", Some(&tag));
        self.reply(now, line, wire, ok, out);
        if is_pending {
            self.legs[index].view.cancelled = true;
        }
        if is_pending && !answers {
            self.refuse(now, index, 487, out);
        }
    }

    fn in_dialog_request(&mut self, now: Timestamp, line: Line, wire: Wire, out: &mut Vec<Say>) {
        let method = wire.method().unwrap_or_default().to_owned();
        let Some((index, fork)) = self.find(&wire) else {
            let none = wire.answer(481, "No Such Call", None);
            return self.reply(now, &line, &wire, none, out);
        };
        let cseq = wire.cseq().map_or(0, |(n, _)| n);
        let leg = &mut self.legs[index];
        if cseq <= leg.remote_cseq && leg.dial.is_some() {
            self.complaints.push(format!(
                "CSeq {cseq} {method} is not above {}",
                leg.remote_cseq
            ));
        }
        leg.remote_cseq = leg.remote_cseq.max(cseq);
        let state = leg.forks[fork].state;
        match method.as_str() {
            "BYE" => {
                let oddity = leg.script.as_ref().and_then(|s| s.oddity);
                leg.forks[fork].state = State::Gone;
                // A fork that lost ends without the call.
                let lasts = |f: &Fork| matches!(f.state, State::Answered | State::Up);
                if matches!(state, State::Answered | State::Up) && !leg.forks.iter().any(lasts) {
                    leg.view.ending.get_or_insert(Ending::WasHungUp);
                }
                if oddity == Some(Oddity::DeafToBye) {
                    return;
                }
                let ok = wire.answer(200, "OK", None);
                self.reply(now, &line, &wire, ok, out);
            }
            "INVITE" => {
                let media = leg.media;
                let contact = leg.contact.clone();
                let answer = self.dialect.answer(&wire.body, media, &mut self.dice);
                let response = match answer {
                    Some(answer) => wire
                        .answer(200, "OK", None)
                        .with("Contact", contact)
                        .with_body("application/sdp", answer),
                    None => wire.answer(488, "Not Acceptable Here", None),
                };
                self.reply(now, &line, &wire, response, out);
            }
            _ => {
                let ok = wire.answer(200, "OK", None);
                self.reply(now, &line, &wire, ok, out);
            }
        }
    }

    // ---- time

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
            Timer::GiveUp(key) => self.give_up(&key),
            Timer::Act(leg, act) => self.act(now, leg, act, out),
            Timer::ResendAnswer(leg, number, interval, until) => {
                self.resend_answer(now, leg, number, interval, until, out);
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
            Timer::Hold(leg) => self.hold(now, leg, out),
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
            Timer::Probe => self.probe(now, out),
        }
    }

    fn give_up(&mut self, key: &Key) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let Some(leg) = client.leg.map(|leg| &mut self.legs[leg]) else {
            return;
        };
        let waits = client.got_provisional && !leg.cancel_sent;
        if client.is_done || client.purpose != Purpose::Invite || waits {
            return;
        }
        leg.is_final = true;
        leg.view.ending = Some(Ending::GaveUp);
        leg.forks[0].state = State::Gone;
    }

    fn resend_answer(
        &mut self,
        now: Timestamp,
        index: usize,
        number: u8,
        interval: Duration,
        until: Timestamp,
        out: &mut Vec<Say>,
    ) {
        let leg = &mut self.legs[index];
        let line = leg.line.clone();
        let Some(fork) = leg.forks.iter_mut().find(|f| f.number == number) else {
            return;
        };
        if fork.ack.is_some() || fork.state == State::Gone {
            return;
        }
        if now >= until {
            // Nobody wants the answer: end it (RFC 3261 §13.3.1.4).
            fork.state = State::Up;
            self.agenda.note(now, Timer::HangUp(index));
            return;
        }
        out.extend(fork.answer.clone().map(|bytes| Say { line, bytes }));
        let double = (interval * 2).min(T2);
        self.agenda.note(
            now + double,
            Timer::ResendAnswer(index, number, double, until),
        );
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

fn server_key(wire: &Wire) -> Key {
    let method = wire.method().unwrap_or_default().to_owned();
    (wire.branch().to_owned(), method)
}

/// The ACK of a refusal: same branch, To of the response (RFC 3261 §17.1.1.3).
fn non_2xx_ack(invite: &[u8], response: &Wire) -> Wire {
    let invite = Wire::read(invite).unwrap_or_default();
    let get = |name: &str| invite.get(name).unwrap_or_default().to_owned();
    let cseq = invite.cseq().map_or(0, |(n, _)| n);
    let mut ack =
        Wire::begin(format!("ACK {} SIP/2.0", invite.request_uri())).with("Via", get("Via"));
    for route in invite.lines("Route") {
        ack = ack.with("Route", route);
    }
    ack.with("From", get("From"))
        .with("To", response.get("To").unwrap_or_default())
        .with("Call-ID", get("Call-ID"))
        .with("CSeq", format!("{cseq} ACK"))
        .with("Max-Forwards", "70")
}
