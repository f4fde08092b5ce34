//! The server: messages and events in, answers and commands out.

use crate::call::Call;
use crate::cookies::{Cookies, Known};
use crate::figures::{Asked, Counters, Figures, Refusal};
use crate::heard::Picked;
use crate::message::{self, Form, Message};
use crate::note::{Ended, Ending, Faults, Note, Noted};
use crate::reply;
use crate::request::{Exchange, Request, Which};
use crate::running::{Deed, Order, Playback, Times, Wanted};
use crate::value::Value;
use media_api::{
    AddressRanges, AllocateError, Command, EndpointId, Event, RealmId, SessionId, SessionStats,
    SoundId,
};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Longest answer that goes into a datagram: what IPv4 can carry.
const DATAGRAM: usize = 65_507;
/// Requests of one call that may wait for its ports.
const WAITING: usize = 32;
/// Recordings that may be looked for at the same time.
const FETCHES: usize = 64;
/// How often a call is looked at of which nobody says that it is silent: held ones, and faxes. One that has brought
/// nothing from one look to the next has lost its proxy.
const LOOK_MS: u64 = 3_600_000;

/// A network side: a name under which requests ask for it, and where its media ports are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Side {
    /// Name in `direction`.
    pub name: String,
    /// The relay's realm.
    pub realm: RealmId,
    /// Address that descriptions name, IPv4.
    pub v4: Option<IpAddr>,
    /// The same, IPv6.
    pub v6: Option<IpAddr>,
}

impl Side {
    pub(crate) fn address(&self, family: media_api::Family) -> Result<IpAddr, String> {
        let (address, name) = match family {
            media_api::Family::V4 => (self.v4, "IPv4"),
            media_api::Family::V6 => (self.v6, "IPv6"),
        };
        address.ok_or_else(|| format!("the side \"{}\" has no {name} address", self.name))
    }
}

/// What the server is told once.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Network sides, at least one. The first serves requests that name none.
    pub sides: Vec<Side>,
    /// A call whose parties have both sent nothing for so long ends, in milliseconds; 0 never.
    pub silence_ms: u32,
    /// A call that nobody answers ends after so long, in milliseconds.
    pub unanswered_ms: u64,
    /// Calls at the same time.
    pub calls: usize,
    /// Addresses that media of any party may come from besides those that it has announced.
    pub media_from: AddressRanges,
    /// Random octets, from which what our agents are called is drawn; another row after each start.
    pub secret: [u8; 16],
}

/// Without the secret.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("sides", &self.sides)
            .field("silence_ms", &self.silence_ms)
            .field("unanswered_ms", &self.unanswered_ms)
            .field("calls", &self.calls)
            .field("media_from", &self.media_from)
            .finish_non_exhaustive()
    }
}

/// Points in time of one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Milliseconds that only grow.
    pub monotonic_ms: u64,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

/// Where a message came from, and where its answer goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Origin {
    /// A datagram from this address.
    Datagram(SocketAddr),
    /// A connection, by a number that is not used again soon.
    Connection(u64),
}

/// A request that waits for its answer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Asker {
    pub(crate) origin: Origin,
    pub(crate) cookie: Box<[u8]>,
    pub(crate) form: Form,
}

/// What happens to the server.
#[derive(Debug)]
pub enum Input<'a> {
    /// A message has come.
    Message {
        /// From where.
        from: Origin,
        /// What it says.
        octets: &'a [u8],
    },
    /// The relay reports.
    Event(Event),
    /// A recording was looked for.
    Fetched {
        /// [`Output::Fetch::ticket`].
        ticket: u64,
        /// What it is called now, or in words why there is none.
        found: Result<Found, String>,
    },
    /// Time has passed; wanted every few seconds.
    Tick,
}

/// A recording that the relay has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// What the relay calls it.
    pub sound: SoundId,
    /// How long it is, in milliseconds.
    pub length_ms: u32,
}

/// Where a recording is that is to be played.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recording {
    /// In a file of this name.
    File(String),
    /// Here, as a file would have it.
    Octets(Vec<u8>),
}

/// What is to be done.
#[derive(PartialEq, Debug)]
pub enum Output {
    /// Hand this to the relay.
    Command(Command),
    /// Read a recording, hand it to the relay, and tell by [`Input::Fetched`].
    Fetch {
        /// Which request it is for.
        ticket: u64,
        /// Where it is.
        recording: Recording,
    },
    /// Write this down for operators.
    Note(Note),
    /// Send this.
    Answer {
        /// Where to.
        to: Origin,
        /// What.
        octets: Vec<u8>,
    },
}

/// All calls.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    started: Now,
    next: u64,
    cookies: Cookies,
    sessions: BTreeMap<SessionId, Session>,
    /// Calls that are not about to end, by their Call-ID.
    names: HashMap<String, SessionId>,
    /// Recordings that are looked for, by ticket.
    fetches: BTreeMap<u64, Fetch>,
    tickets: u64,
    figures: Figures,
}

/// A recording that somebody waits for.
#[derive(Debug)]
struct Fetch {
    asker: Asker,
    session: SessionId,
    parties: Vec<usize>,
    times: Times,
}

/// A call with what waits for the relay.
#[derive(Debug)]
struct Session {
    name: String,
    call: Call,
    stage: Stage,
    /// Who waits for figures.
    queries: Vec<Asker>,
    silence: Silence,
    look: Look,
    /// When it is deleted, if a proxy has said that this is to come later.
    ends_at_ms: Option<u64>,
    ending: Ending,
    faults: Faults,
}

impl Session {
    fn note(&self, what: Noted) -> Output {
        let tags = self.call.tags();
        Output::Note(Note {
            call: self.name.clone(),
            tags: tags.map(|tag| tag.map(str::to_owned)),
            what,
        })
    }
}

/// The last look at what a call has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Look {
    at_ms: u64,
    /// Packets of both parties, once they are known.
    packets: Option<u64>,
    /// Whether figures are awaited.
    is_open: bool,
}

#[derive(Debug)]
enum Stage {
    /// The relay looks for ports; requests wait with their octets.
    Begins(Vec<(Asker, Vec<u8>)>),
    Lives,
    /// It is released; these wait for its last figures.
    Ends(Vec<Asker>),
}

/// Whether both parties have fallen silent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Silence {
    None,
    /// One has; figures are awaited to know how much it had sent by then.
    Asked(EndpointId),
    /// Before they came, the other has.
    AskedBoth(EndpointId),
    /// One has, having sent so many packets.
    One(EndpointId, u64),
    /// Then the other has; figures are awaited to see whether the first still is.
    Both(EndpointId, u64),
}

impl Server {
    /// A server without calls.
    pub fn new(settings: Settings, now: Now) -> Self {
        Self {
            settings,
            started: now,
            next: 0,
            cookies: Cookies::default(),
            sessions: BTreeMap::new(),
            names: HashMap::new(),
            fetches: BTreeMap::new(),
            tickets: 0,
            figures: Figures::default(),
        }
    }

    /// Calls that are not over.
    pub fn calls(&self) -> usize {
        self.names.len()
    }

    /// What it has done, and has now.
    pub fn counters(&self) -> Counters {
        self.figures.counters().clone()
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input<'_>, now: Now, out: &mut Vec<Output>) {
        match input {
            Input::Message { from, octets } => self.message(from, octets, now, out),
            Input::Event(event) => self.event(event, now, out),
            Input::Fetched { ticket, found } => self.fetched(ticket, found, out),
            Input::Tick => self.tick(now, out),
        }
    }

    fn message(&mut self, from: Origin, octets: &[u8], now: Now, out: &mut Vec<Output>) {
        let Ok(message) = Message::read(octets) else {
            self.figures.refuse(Refusal::Unreadable);
            return;
        };
        let asker = Asker {
            origin: from,
            cookie: message.cookie.into(),
            form: message.form,
        };
        match self.cookies.ask(&asker, now) {
            Known::New => self.perform(asker, &message, octets, now, out),
            Known::Served => {}
            Known::Answered(answer) => out.push(Output::Answer {
                to: from,
                octets: answer.to_vec(),
            }),
        }
    }

    fn perform(
        &mut self,
        asker: Asker,
        message: &Message<'_>,
        octets: &[u8],
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let request = match Request::read(&message.body) {
            Ok(request) => request,
            Err(why) => return self.fail(&asker, (Refusal::Request, why), out),
        };
        match request {
            Request::Ping => {
                self.figures.ask(Asked::Ping);
                self.tell(&asker, &reply::pong(), out);
            }
            Request::Offer(exchange) => {
                self.figures.ask(Asked::Offer);
                self.offer(asker, &exchange, octets, now, out);
            }
            Request::Answer(exchange) => {
                self.figures.ask(Asked::Answer);
                self.answer(asker, &exchange, octets, now, out);
            }
            Request::Delete(which, delay_ms) => {
                self.figures.ask(Asked::Delete);
                self.delete(asker, &which, delay_ms, (octets, now), out);
            }
            Request::Order(order) => {
                self.figures.ask(Asked::Order);
                self.order(asker, &order, octets, out);
            }
            Request::Query(which) => {
                self.figures.ask(Asked::Query);
                self.query(asker, &which, octets, out);
            }
            Request::List { most } => {
                self.figures.ask(Asked::List);
                let names = self.names.keys().take(most.min(1_024)).cloned();
                let list = reply::list(names);
                self.tell(&asker, &list, out);
            }
            Request::Statistics => {
                self.figures.ask(Asked::Statistics);
                let now_there = (self.names.len(), self.figures.transcoded);
                let body = reply::statistics(&self.figures, now_there, self.started, now);
                self.tell(&asker, &body, out);
            }
        }
    }

    fn offer(
        &mut self,
        asker: Asker,
        exchange: &Exchange<'_>,
        octets: &[u8],
        now: Now,
        out: &mut Vec<Output>,
    ) {
        if self.names.contains_key(exchange.which.call) {
            let Some(session) = self.live(&asker, exchange.which.call, octets, out) else {
                return;
            };
            match session.call.offer(exchange, now) {
                Ok(sdp) => {
                    session.ends_at_ms = None;
                    let due = session.call.ears.due(session.call.session);
                    let due = due.into_iter().chain(session.call.expected());
                    out.extend(due.map(Output::Command));
                    self.tell(&asker, &reply::sdp(sdp), out);
                }
                Err(why) => {
                    let (id, is_offered) = (session.call.session, session.call.is_offered());
                    self.fail(&asker, (Refusal::Description, why), out);
                    // Nobody will end what has not begun for them.
                    if !is_offered {
                        self.figures.turn_away();
                        self.release(id, Ending::Refused, Vec::new(), out);
                    }
                }
            }
            return;
        }
        if self.names.len() >= self.settings.calls {
            self.figures.turn_away();
            let why = "as many calls as allowed are under way";
            return match exchange.tells_limit {
                true => self.limit(&asker, (Refusal::Limit, why), out),
                false => self.fail(&asker, (Refusal::Limit, why.into()), out),
            };
        }
        let id = SessionId::new(0, self.next);
        match Call::begin(id, exchange, &self.settings, now) {
            Ok((call, command)) => {
                self.next += 1;
                let name = exchange.which.call.to_owned();
                self.names.insert(name.clone(), id);
                let session = Session {
                    name,
                    call,
                    stage: Stage::Begins(vec![(asker, octets.to_vec())]),
                    queries: Vec::new(),
                    silence: Silence::None,
                    look: Look {
                        at_ms: now.monotonic_ms,
                        packets: None,
                        is_open: false,
                    },
                    ends_at_ms: None,
                    ending: Ending::Deleted,
                    faults: Faults::default(),
                };
                self.sessions.insert(id, session);
                out.push(Output::Command(command));
            }
            Err(why) => {
                self.figures.turn_away();
                self.fail(&asker, (Refusal::Description, why), out);
            }
        }
    }

    fn answer(
        &mut self,
        asker: Asker,
        exchange: &Exchange<'_>,
        octets: &[u8],
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let silence_ms = self.settings.silence_ms;
        let Some(session) = self.live(&asker, exchange.which.call, octets, out) else {
            return;
        };
        let before = session.call.transcoded;
        match session.call.answer(exchange, silence_ms, now) {
            Ok((sdp, commands)) => {
                session.ends_at_ms = None;
                let after = session.call.transcoded;
                self.figures.transcode(before, after);
                out.extend(commands.into_iter().map(Output::Command));
                self.tell(&asker, &reply::sdp(sdp), out);
            }
            Err(why) => self.fail(&asker, (Refusal::Description, why), out),
        }
    }

    fn delete(
        &mut self,
        asker: Asker,
        which: &Which<'_>,
        delay_ms: u64,
        (octets, now): (&[u8], Now),
        out: &mut Vec<Output>,
    ) {
        let Some(id) = self.names.get(which.call).copied() else {
            return self.tell(&asker, &reply::unknown_call(), out);
        };
        let Some(session) = self.live(&asker, which.call, octets, out) else {
            return;
        };
        if which.tag.is_some_and(|tag| !session.call.has(tag)) {
            return self.tell(&asker, &reply::unknown_call(), out);
        }
        if session.call.goes_on_without(which.branch) {
            return self.tell(&asker, &reply::ok(), out);
        }
        if delay_ms > 0 && session.queries.len() < WAITING {
            session.ends_at_ms = Some(now.monotonic_ms.saturating_add(delay_ms));
            session.queries.push(asker);
            return out.push(Output::Command(Command::Stats { session: id }));
        }
        self.release(id, Ending::Deleted, vec![asker], out);
    }

    /// What is asked of media that flow already.
    fn order(&mut self, asker: Asker, order: &Order<'_>, octets: &[u8], out: &mut Vec<Output>) {
        let Some(session) = self.live(&asker, order.call, octets, out) else {
            return;
        };
        let (id, call) = (session.call.session, &mut session.call);
        let named = match (&order.deed, &order.pick) {
            // A module that names the sender of its message in any case says so of the whole call.
            (Deed::Hold { .. }, pick)
                if pick.is_all && pick.label.is_none() && pick.address.is_none() =>
            {
                Ok(None)
            }
            (_, pick) => call.ears.named(pick, call.tags()),
        };
        let named = match named {
            Ok(named) => named,
            Err(why) => return self.fail(&asker, (Refusal::Party, why), out),
        };
        let parties = match (named, order.pick.is_all) {
            (_, true) => vec![0, 1],
            (Some(party), false) => vec![party],
            (None, false) => Vec::new(),
        };
        if let Deed::Hold { what, is_held } = order.deed {
            match named {
                Some(party) => call.ears.hold(Picked::Party(party), what, is_held),
                None => {
                    call.ears.hold(Picked::Call, what, is_held);
                    // Those of one party alone stay, unless all are meant.
                    for party in parties.into_iter().filter(|_| !is_held) {
                        call.ears.hold(Picked::Party(party), what, false);
                    }
                }
            }
            out.extend(call.ears.due(id).into_iter().map(Output::Command));
            return self.tell(&asker, &reply::ok(), out);
        }
        if parties.is_empty() {
            let why = "nobody is named: give \"from-tag\", \"address\", \"label\", or the flag all";
            return self.fail(&asker, (Refusal::Party, why.into()), out);
        }
        match &order.deed {
            Deed::Hold { .. } => {}
            Deed::Play(playback) => self.play(asker, id, parties, playback, out),
            Deed::Stop => {
                for party in &parties {
                    out.push(Output::Command(call.ears.play(id, *party, None)));
                }
                out.extend(call.ears.due(id).into_iter().map(Output::Command));
                self.stop_fetching(id, &parties, out);
                self.tell(&asker, &reply::ok(), out);
            }
            Deed::Press { digit, duration_ms } => {
                let key = (*digit, *duration_ms);
                let pressed: Result<Vec<_>, _> = parties
                    .iter()
                    .map(|party| call.ears.press(id, *party, key))
                    .collect();
                match pressed {
                    Ok(commands) => {
                        out.extend(commands.into_iter().map(Output::Command));
                        self.tell(&asker, &reply::ok(), out);
                    }
                    Err(why) => self.fail(&asker, (Refusal::Party, why), out),
                }
            }
        }
    }

    /// Has a recording looked for that parties are to hear.
    fn play(
        &mut self,
        asker: Asker,
        id: SessionId,
        parties: Vec<usize>,
        playback: &Playback<'_>,
        out: &mut Vec<Output>,
    ) {
        let ears = self.sessions.get(&id).map(|session| &session.call.ears);
        let unheard = parties
            .iter()
            .find_map(|party| ears?.can_hear(*party).err());
        if let Some(why) = unheard {
            return self.fail(&asker, (Refusal::Party, why), out);
        }
        if self.fetches.len() >= FETCHES {
            let why = "too many recordings are being read".to_owned();
            return self.fail(&asker, (Refusal::Limit, why), out);
        }
        self.stop_fetching(id, &parties, out);
        let ticket = self.tickets;
        self.tickets += 1;
        let fetch = Fetch {
            asker,
            session: id,
            parties,
            times: playback.times,
        };
        self.fetches.insert(ticket, fetch);
        out.push(Output::Fetch {
            ticket,
            recording: match &playback.wanted {
                Wanted::File(name) => Recording::File((*name).to_owned()),
                Wanted::Octets(octets) => Recording::Octets(octets.to_vec()),
            },
        });
    }

    /// What was to be heard by these is not any more.
    fn stop_fetching(&mut self, id: SessionId, parties: &[usize], out: &mut Vec<Output>) {
        let is_meant = |fetch: &Fetch| {
            fetch.session == id && fetch.parties.iter().any(|party| parties.contains(party))
        };
        let meant = self.fetches.iter().filter(|(_, fetch)| is_meant(fetch));
        let meant: Vec<u64> = meant.map(|(ticket, _)| *ticket).collect();
        for ticket in meant {
            if let Some(fetch) = self.fetches.remove(&ticket) {
                let why = "another order came before the recording was read";
                self.fail(&fetch.asker, (Refusal::Recording, why.into()), out);
            }
        }
    }

    fn fetched(&mut self, ticket: u64, found: Result<Found, String>, out: &mut Vec<Output>) {
        let Some(fetch) = self.fetches.remove(&ticket) else {
            return;
        };
        let session = self.sessions.get_mut(&fetch.session);
        let session = session.filter(|own| matches!(own.stage, Stage::Lives));
        let found = match (found, session) {
            (Ok(found), Some(session)) => {
                let times = fetch.times.of(found.length_ms);
                for party in &fetch.parties {
                    let playing = Some((found.sound, times));
                    let play = session.call.ears.play(fetch.session, *party, playing);
                    out.push(Output::Command(play));
                }
                Ok(found)
            }
            (Err(why), Some(_)) => Err(why),
            (_, None) => Err("unknown call-id".into()),
        };
        match found {
            Ok(found) => self.tell(&fetch.asker, &reply::playing(found.length_ms), out),
            Err(why) => self.fail(&fetch.asker, (Refusal::Recording, why), out),
        }
    }

    fn query(&mut self, asker: Asker, which: &Which<'_>, octets: &[u8], out: &mut Vec<Output>) {
        let Some(session) = self.live(&asker, which.call, octets, out) else {
            return;
        };
        if session.queries.len() >= WAITING {
            let why = "too many ask for the figures of this call".to_owned();
            return self.fail(&asker, (Refusal::Limit, why), out);
        }
        let ask = Command::Stats {
            session: session.call.session,
        };
        session.queries.push(asker);
        out.push(Output::Command(ask));
    }

    /// The session of a call whose ports are known. Otherwise the request waits, or is refused.
    fn live(
        &mut self,
        asker: &Asker,
        call: &str,
        octets: &[u8],
        out: &mut Vec<Output>,
    ) -> Option<&mut Session> {
        let id = self.names.get(call).copied();
        let (kind, why) = match id.and_then(|id| self.sessions.get_mut(&id)) {
            None => (Refusal::UnknownCall, "unknown call-id"),
            Some(session) => match &mut session.stage {
                Stage::Lives => return id.and_then(|id| self.sessions.get_mut(&id)),
                Stage::Begins(waiting) if waiting.len() < WAITING => {
                    waiting.push((asker.clone(), octets.to_vec()));
                    return None;
                }
                Stage::Begins(_) => (
                    Refusal::Limit,
                    "too many requests wait for the ports of this call",
                ),
                Stage::Ends(_) => (Refusal::UnknownCall, "unknown call-id"),
            },
        };
        self.fail(asker, (kind, why.into()), out);
        None
    }

    fn release(&mut self, id: SessionId, why: Ending, askers: Vec<Asker>, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        self.figures.end(why, &session.call);
        session.stage = Stage::Ends(askers);
        session.ending = why;
        // The next call with this name is another one.
        self.names.remove(&session.name);
        out.push(Output::Command(Command::Release {
            session: id,
            endpoint: None,
            drain_ms: 0,
        }));
    }

    fn event(&mut self, event: Event, now: Now, out: &mut Vec<Output>) {
        let id = event.session();
        match event {
            Event::Allocated { endpoints, .. } => {
                let Some(session) = self.sessions.get_mut(&id) else {
                    return;
                };
                session.call.allocated(endpoints);
                let before = std::mem::replace(&mut session.stage, Stage::Lives);
                let Stage::Begins(waiting) = before else {
                    session.stage = before;
                    return;
                };
                self.figures.begin(&session.call);
                for (asker, octets) in waiting {
                    if let Ok(message) = Message::read(&octets) {
                        self.perform_again(asker, &message, &octets, now, out);
                    }
                }
            }
            Event::Refused { why, .. } => {
                let Some(session) = self.sessions.remove(&id) else {
                    return;
                };
                if self.names.get(&session.name) == Some(&id) {
                    self.names.remove(&session.name);
                }
                let askers = match session.stage {
                    Stage::Begins(waiting) => {
                        self.figures.turn_away();
                        let is_full = why == AllocateError::PortsExhausted;
                        let mut others = Vec::new();
                        for (asker, octets) in waiting {
                            match is_full && tells_limit(&octets) {
                                true => self.limit(&asker, (Refusal::Ports, "no free media ports"), out),
                                false => others.push(asker),
                            }
                        }
                        others
                    }
                    Stage::Ends(askers) => askers,
                    Stage::Lives => {
                        self.figures.end(Ending::Refused, &session.call);
                        Vec::new()
                    }
                };
                for asker in askers.iter().chain(&session.queries) {
                    self.refuse(asker, why, out);
                }
            }
            Event::Stats { stats, .. } => self.stats(id, &stats, out),
            Event::Silent { endpoint, .. } => self.silent(id, endpoint, out),
            Event::Released { stats, .. } => {
                let Some(session) = self.sessions.remove(&id) else {
                    return;
                };
                if self.names.get(&session.name) == Some(&id) {
                    self.names.remove(&session.name);
                }
                if matches!(session.stage, Stage::Lives) {
                    self.figures.end(session.ending, &session.call);
                }
                self.figures.close(&session.call, &stats, now);
                let (why, faults) = (session.ending, session.faults);
                let ended = Ended::of(why, &session.call, faults, &stats, now);
                out.push(session.note(Noted::Ended(ended)));
                let body = reply::figures(&session.call, &stats);
                if let Stage::Ends(askers) = &session.stage {
                    for asker in askers.iter().chain(&session.queries) {
                        self.tell(asker, &body, out);
                    }
                }
            }
            Event::HandshakeFailed { .. }
            | Event::OneWay { .. }
            | Event::OneWayOver { .. }
            | Event::Unheard { .. } => {
                if let Event::OneWay { kind, .. } = &event
                    && self.sessions.contains_key(&id)
                {
                    self.figures.hear_one_way(*kind);
                }
                if let (Some(session), Some(what)) =
                    (self.sessions.get_mut(&id), Noted::of(&event))
                    && session.faults.admit(&what)
                {
                    out.push(session.note(what));
                }
            }
            Event::Lost { .. }
            | Event::FirstMedia { .. }
            | Event::SourcePinned { .. }
            // A proxy in front of us cannot be told; keys end with the lifetimes of RFC 3711 at the earliest.
            | Event::KeyWorn { .. }
            | Event::DigitBegun { .. }
            | Event::Digit { .. }
            | Event::Reported { .. }
            | Event::Tapped { .. } => {}
            Event::Played { endpoint, .. } => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.call.ears.played(usize::from(endpoint.0));
                    if matches!(session.stage, Stage::Lives) {
                        out.extend(session.call.ears.due(id).into_iter().map(Output::Command));
                    }
                }
            }
        }
    }

    /// What waited for ports. It was counted when it came.
    fn perform_again(
        &mut self,
        asker: Asker,
        message: &Message<'_>,
        octets: &[u8],
        now: Now,
        out: &mut Vec<Output>,
    ) {
        match Request::read(&message.body) {
            Ok(Request::Offer(exchange)) => self.offer(asker, &exchange, octets, now, out),
            Ok(Request::Answer(exchange)) => self.answer(asker, &exchange, octets, now, out),
            Ok(Request::Delete(which, delay_ms)) => {
                self.delete(asker, &which, delay_ms, (octets, now), out);
            }
            Ok(Request::Order(order)) => self.order(asker, &order, octets, out),
            Ok(Request::Query(which)) => self.query(asker, &which, octets, out),
            Ok(Request::Ping | Request::List { .. } | Request::Statistics) | Err(_) => {}
        }
    }

    fn stats(&mut self, id: SessionId, stats: &SessionStats, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let received = |endpoint: EndpointId| {
            let own = stats.endpoints.iter().find(|own| own.endpoint == endpoint);
            let streams = own.map(|own| own.streams.as_slice()).unwrap_or_default();
            streams
                .iter()
                .map(|stream| stream.received_packets + stream.received_rtcp)
                .sum::<u64>()
        };
        let is_live = matches!(session.stage, Stage::Lives);
        let mut is_dead = false;
        session.silence = match session.silence {
            Silence::Asked(endpoint) => Silence::One(endpoint, received(endpoint)),
            Silence::AskedBoth(first) => Silence::Both(first, received(first)),
            Silence::Both(endpoint, packets) => {
                is_dead = received(endpoint) == packets;
                let other = EndpointId(1 - endpoint.0.min(1));
                Silence::One(other, received(other))
            }
            unchanged => unchanged,
        };
        if std::mem::take(&mut session.look.is_open) {
            let packets = received(EndpointId(0)) + received(EndpointId(1));
            is_dead |= session.look.packets.replace(packets) == Some(packets);
        }
        let body = reply::figures(&session.call, stats);
        for asker in std::mem::take(&mut session.queries) {
            self.tell(&asker, &body, out);
        }
        // Somebody may have ended it meanwhile.
        if is_dead && is_live {
            self.release(id, Ending::Silent, Vec::new(), out);
        }
    }

    fn silent(&mut self, id: SessionId, endpoint: EndpointId, out: &mut Vec<Output>) {
        let session = self.sessions.get_mut(&id);
        let Some(session) = session.filter(|own| matches!(own.stage, Stage::Lives)) else {
            return;
        };
        session.silence = match session.silence {
            Silence::None => Silence::Asked(endpoint),
            Silence::One(first, packets) if first != endpoint => Silence::Both(first, packets),
            // The same one again: it had spoken meanwhile.
            Silence::One(..) => Silence::Asked(endpoint),
            // Both at once, before figures came.
            Silence::Asked(first) if first != endpoint => Silence::AskedBoth(first),
            unchanged => unchanged,
        };
        out.push(Output::Command(Command::Stats { session: id }));
    }

    fn tick(&mut self, now: Now, out: &mut Vec<Output>) {
        let is_deleted = |session: &Session| {
            let is_due = session.ends_at_ms.is_some_and(|at| at <= now.monotonic_ms);
            is_due && matches!(session.stage, Stage::Lives)
        };
        let deleted = self.sessions.iter().filter(|(_, own)| is_deleted(own));
        let deleted: Vec<SessionId> = deleted.map(|(id, _)| *id).collect();
        for id in deleted {
            self.release(id, Ending::Deleted, Vec::new(), out);
        }
        let most = self.settings.unanswered_ms;
        let is_over = |session: &Session| {
            let age = now
                .monotonic_ms
                .saturating_sub(session.call.last_signal.monotonic_ms);
            matches!(session.stage, Stage::Lives) && !session.call.is_answered && age > most
        };
        let over = self.sessions.iter().filter(|(_, session)| is_over(session));
        let over: Vec<SessionId> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.release(id, Ending::Unanswered, Vec::new(), out);
        }
        if self.settings.silence_ms == 0 {
            return;
        }
        for (id, session) in &mut self.sessions {
            let age = now.monotonic_ms.saturating_sub(session.look.at_ms);
            if matches!(session.stage, Stage::Lives) && age >= LOOK_MS {
                session.look.at_ms = now.monotonic_ms;
                session.look.is_open = true;
                out.push(Output::Command(Command::Stats { session: *id }));
            }
        }
    }

    fn fail(&mut self, asker: &Asker, (kind, why): (Refusal, String), out: &mut Vec<Output>) {
        self.figures.refuse(kind);
        self.tell(asker, &reply::error(why), out);
    }

    /// There is no room, and whoever asks wants that told apart.
    fn limit(
        &mut self,
        asker: &Asker,
        (kind, why): (Refusal, &'static str),
        out: &mut Vec<Output>,
    ) {
        self.figures.refuse(kind);
        self.tell(asker, &reply::load_limit(why), out);
    }

    fn refuse(&mut self, asker: &Asker, why: AllocateError, out: &mut Vec<Output>) {
        self.figures.refuse(match why {
            AllocateError::PortsExhausted => Refusal::Ports,
            _ => Refusal::Relay,
        });
        self.tell(asker, &reply::refused(why), out);
    }

    fn tell(&mut self, asker: &Asker, body: &Value<'_>, out: &mut Vec<Output>) {
        let mut octets = message::answer(&asker.cookie, asker.form, body);
        if matches!(asker.origin, Origin::Datagram(_)) && octets.len() > DATAGRAM {
            self.figures.refuse(Refusal::TooLong);
            let error =
                reply::error("the answer is too long for a datagram: ask for less, or over TCP");
            octets = message::answer(&asker.cookie, asker.form, &error);
        }
        self.cookies.answered(asker, octets.clone());
        out.push(Output::Answer {
            to: asker.origin,
            octets,
        });
    }
}

/// Whether the request in these octets wants to be told apart that there is no room.
fn tells_limit(octets: &[u8]) -> bool {
    let message = Message::read(octets);
    message.is_ok_and(|message| {
        matches!(Request::read(&message.body), Ok(Request::Offer(exchange)) if exchange.tells_limit)
    })
}
