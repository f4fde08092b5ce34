//! The loop of the load generator: both sides of all calls in one thread.
//!
//! ```text
//! pace ─► INVITE ─► socket ─► the subject ─► socket ─► 180, 200 ─► … ─► ACK ─► … ─► BYE ─► …
//! ```

use super::answerer::{Answerer, Key, Reaction};
use super::caller::{CallRef, Caller, Ends, Progress};
use super::delay::Delays;
use super::stream::{ClientSide, Stream, next_message};
use super::text::Text;
use crate::random;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustls::ServerConfig;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// T1 of RFC 3261: after this time a request is repeated over UDP, then after twice as long, and so on.
const T1_US: u64 = 500_000;
/// T2: the 200 is repeated at most this rarely.
const T2_US: u64 = 4_000_000;
/// A call that waits longer has failed.
const PATIENCE_US: u64 = 16_000_000;
/// Datagrams read from one socket before the others have their turn.
const BATCH: usize = 64;
/// Most calls begun in one round.
const BURST: u64 = 32;
const EVENTS: usize = 64;

const CALLER: u64 = 1 << 32;
const ANSWERER: u64 = 2 << 32;
const STREAM: u64 = 3 << 32;
const DOOR: u64 = 4 << 32;
const INDEX: u64 = (1 << 32) - 1;

/// What calls of one kind go over.
#[derive(Clone)]
pub(super) enum Way {
    /// Datagrams.
    Udp,
    /// So many connections, over which calls are spread.
    Connections(usize, Option<ClientSide>),
    /// A connection for every call.
    Each(Option<ClientSide>),
}

/// One pair of sides: where the caller stands, where it calls, where the answerer stands.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// The caller's own address and port; connections come from this address.
    pub(super) caller: SocketAddr,
    /// Where calls go.
    pub(super) entry: SocketAddr,
    /// The answerer.
    pub(super) answerer: SocketAddr,
}

/// What to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Calls to begin each second.
    pub(super) rate: u32,
    /// Calls in all.
    pub(super) calls: u64,
    /// How long a call is held; `None` holds it until the end of the run is asked for.
    pub(super) held: Option<Duration>,
}

/// What came of it.
#[derive(Clone, Default, Debug)]
pub(super) struct Outcome {
    /// Calls begun.
    pub(super) begun: u64,
    /// Calls answered.
    pub(super) established: u64,
    /// Calls ended in order.
    pub(super) ended: u64,
    /// Refused, by status.
    pub(super) refused: BTreeMap<u16, u64>,
    /// Calls that waited too long or lost their connection.
    pub(super) lost: u64,
    /// Messages sent again.
    pub(super) repeated: u64,
    /// From INVITE to 200.
    pub(super) delays: Delays,
    /// Time from the first call to the last that was begun.
    pub(super) offering: Duration,
    /// How far the pace fell behind at most.
    pub(super) behind: Duration,
}

impl Outcome {
    /// Calls that did not go as they should.
    pub(super) fn failed(&self) -> u64 {
        self.lost + self.refused.values().sum::<u64>()
    }

    /// Calls begun per second.
    pub(super) fn offered(&self) -> f64 {
        let gaps = self.begun.saturating_sub(1) as f64;
        gaps / self.offering.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// What a call goes over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    Lane(usize),
    Stream(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    Repeat(CallRef, u64),
    GiveUp(CallRef),
    HangUp(CallRef),
    RepeatAnswer(usize, SocketAddr, Key, u64),
}

struct LaneSockets {
    lane: Lane,
    caller: UdpSocket,
    answerer: UdpSocket,
    contact: String,
}

/// Both sides of all calls.
pub(super) struct Engine {
    epoll: OwnedFd,
    started: Instant,
    way: Way,
    lanes: Vec<LaneSockets>,
    /// Addresses that connections come from, in turn.
    sources: Vec<IpAddr>,
    next_source: usize,
    streams: Vec<Option<Stream>>,
    free_streams: Vec<usize>,
    dirty: Vec<usize>,
    /// Connections that calls share, for each lane.
    shared: Vec<usize>,
    door: Option<(TcpListener, Option<Arc<ServerConfig>>)>,
    caller: Caller<Line>,
    answerer: Answerer,
    due: BinaryHeap<Reverse<(u64, Due)>>,
    outcome: Outcome,
    held: Option<Duration>,
    out: Vec<u8>,
    more: Vec<u8>,
    room: Vec<u8>,
}

impl Engine {
    /// Opens the sockets of every lane. `sources` are the addresses that connections come from.
    pub(super) fn new(
        way: Way,
        lanes: Vec<Lane>,
        sources: Vec<IpAddr>,
        called: &str,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut caller = Caller::new(random::word::<6>());
        let mut open = Vec::new();
        for (index, lane) in lanes.into_iter().enumerate() {
            let index = u64::try_from(index).unwrap_or(0);
            let near = socket(lane.caller)?;
            let far = socket(lane.answerer)?;
            epoll::add(
                &epoll,
                &near,
                EventData::new_u64(CALLER | index),
                EventFlags::IN,
            )?;
            epoll::add(
                &epoll,
                &far,
                EventData::new_u64(ANSWERER | index),
                EventFlags::IN,
            )?;
            let protocol = match &way {
                Way::Udp => "UDP",
                Way::Connections(_, None) | Way::Each(None) => "TCP",
                Way::Connections(_, Some(_)) | Way::Each(Some(_)) => "TLS",
            };
            caller.ends.push(Ends {
                protocol,
                local: near.local_addr()?,
                remote: lane.entry,
                called: called.to_owned(),
            });
            open.push(LaneSockets {
                contact: format!("sip:answerer@{}", far.local_addr()?),
                lane,
                caller: near,
                answerer: far,
            });
        }
        Ok(Self {
            epoll,
            started: Instant::now(),
            way,
            lanes: open,
            sources,
            next_source: 0,
            streams: Vec::new(),
            free_streams: Vec::new(),
            dirty: Vec::new(),
            shared: Vec::new(),
            door: None,
            caller,
            answerer: Answerer::default(),
            due: BinaryHeap::new(),
            outcome: Outcome::default(),
            held: None,
            out: Vec::new(),
            more: Vec::new(),
            room: vec![0; 65_536],
        })
    }

    /// Takes connections too, so that it can call itself.
    pub(super) fn listen(
        &mut self,
        door: TcpListener,
        tls: Option<Arc<ServerConfig>>,
    ) -> io::Result<()> {
        door.set_nonblocking(true)?;
        epoll::add(&self.epoll, &door, EventData::new_u64(DOOR), EventFlags::IN)?;
        self.door = Some((door, tls));
        Ok(())
    }

    /// Offers the load and waits until every call has ended or failed, or is held.
    pub(super) fn run(&mut self, load: Load) -> io::Result<Outcome> {
        self.outcome = Outcome::default();
        self.outcome.delays.clear();
        self.held = load.held;
        let beside = self.caller.in_progress();
        self.open_shared()?;
        let gap_us = 1e6 / f64::from(load.rate.max(1));
        let begin = self.now();
        let (mut last, mut behind) = (begin, 0);
        loop {
            let now = self.now();
            let mut burst = 0;
            while self.outcome.begun < load.calls && burst < BURST {
                // Lossless: fewer than 2^52 microseconds.
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let due = begin + (self.outcome.begun as f64 * gap_us) as u64;
                if due > now {
                    break;
                }
                behind = behind.max(now - due);
                self.begin_call()?;
                last = self.now();
                burst += 1;
            }
            self.carry_out_due();
            self.flush();
            let is_done = self.outcome.begun >= load.calls && self.is_settled(beside);
            if is_done {
                break;
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let next_call = match self.outcome.begun < load.calls {
                true => begin + (self.outcome.begun as f64 * gap_us) as u64,
                false => u64::MAX,
            };
            self.serve(next_call);
        }
        self.outcome.offering = Duration::from_micros(last - begin);
        self.outcome.behind = Duration::from_micros(behind);
        Ok(std::mem::take(&mut self.outcome))
    }

    /// Answers whatever comes, for this long.
    pub(super) fn idle(&mut self, time: Duration) {
        let until = self.now() + micros(time);
        while self.now() < until {
            self.carry_out_due();
            self.flush();
            self.serve(until);
        }
    }

    /// Ends all held calls, so many a second.
    pub(super) fn end_held(&mut self, rate: u32) {
        let gap = Duration::from_secs(1) / rate.max(1);
        for call in self.caller.established() {
            self.hang_up(call);
            self.idle(gap);
        }
        while self.caller.in_progress() > 0 {
            self.idle(Duration::from_millis(10));
        }
    }

    /// Nothing is on its way: every call has ended, or is established and to be held, besides those that
    /// were held before.
    fn is_settled(&self, beside: usize) -> bool {
        let held = match self.held {
            Some(_) => 0,
            None => usize::try_from(self.outcome.established).unwrap_or(usize::MAX),
        };
        self.caller.in_progress() <= held.saturating_add(beside)
    }

    fn now(&self) -> u64 {
        micros(self.started.elapsed())
    }

    fn begin_call(&mut self) -> io::Result<()> {
        let count = self.lanes.len().max(1);
        let turn = usize::try_from(self.outcome.begun).unwrap_or(0);
        let lane = turn % count;
        let line = match &self.way {
            Way::Udp => Line::Lane(lane),
            Way::Connections(per_lane, _) => {
                let at = lane * per_lane + (turn / count) % (*per_lane).max(1);
                self.shared
                    .get(at)
                    .map_or(Line::Lane(lane), |id| Line::Stream(*id))
            }
            Way::Each(tls) => {
                let tls = tls.clone();
                Line::Stream(self.open(lane, tls.as_ref())?)
            }
        };
        let now = self.now();
        let mut out = std::mem::take(&mut self.out);
        let call = self.caller.call(lane, line, now, &mut out);
        self.outcome.begun += 1;
        self.send(line, &out);
        self.out = out;
        if matches!(line, Line::Lane(_)) {
            self.later(now + T1_US, Due::Repeat(call, 2 * T1_US));
        }
        self.later(now + PATIENCE_US, Due::GiveUp(call));
        Ok(())
    }

    fn later(&mut self, at: u64, what: Due) {
        self.due.push(Reverse((at, what)));
    }

    fn carry_out_due(&mut self) {
        let now = self.now();
        while let Some(Reverse((at, what))) = self.due.peek().copied().filter(|due| due.0.0 <= now)
        {
            self.due.pop();
            match what {
                Due::Repeat(call, interval) => self.repeat(call, at, interval),
                Due::GiveUp(call) => {
                    if self.caller.is_pending(call) {
                        let line = self.caller.line(call);
                        self.outcome.lost += u64::from(self.caller.abandon(call));
                        self.finish(line);
                    }
                }
                Due::HangUp(call) => self.hang_up(call),
                Due::RepeatAnswer(lane, to, key, interval) => {
                    let answer = self.answerer.unacknowledged(key);
                    let (Some(answer), Some(sockets)) = (answer, self.lanes.get(lane)) else {
                        continue;
                    };
                    if interval > PATIENCE_US {
                        self.answerer.give_up(key);
                        continue;
                    }
                    put(&sockets.answerer, answer, to);
                    self.outcome.repeated += 1;
                    let next = (2 * interval).min(T2_US);
                    self.later(at + interval, Due::RepeatAnswer(lane, to, key, next));
                }
            }
        }
    }

    fn repeat(&mut self, call: CallRef, at: u64, interval: u64) {
        let mut out = std::mem::take(&mut self.out);
        if let Some(line) = self.caller.repeat(call, &mut out) {
            self.send(line, &out);
            self.outcome.repeated += 1;
            self.later(at + interval, Due::Repeat(call, 2 * interval));
        }
        self.out = out;
    }

    fn hang_up(&mut self, call: CallRef) {
        let mut out = std::mem::take(&mut self.out);
        if let Some(line) = self.caller.hang_up(call, &mut out) {
            self.send(line, &out);
            let now = self.now();
            if matches!(line, Line::Lane(_)) {
                self.later(now + T1_US, Due::Repeat(call, 2 * T1_US));
            }
            self.later(now + PATIENCE_US, Due::GiveUp(call));
        }
        self.out = out;
    }

    fn open_shared(&mut self) -> io::Result<()> {
        let Way::Connections(per_lane, tls) = self.way.clone() else {
            return Ok(());
        };
        if self.shared.is_empty() {
            for lane in 0..self.lanes.len() {
                for _ in 0..per_lane {
                    let id = self.open(lane, tls.as_ref())?;
                    self.shared.push(id);
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, lane: usize, tls: Option<&ClientSide>) -> io::Result<usize> {
        let entry = self.lanes.get(lane).map(|open| open.lane.entry);
        let source = self
            .sources
            .get(self.next_source % self.sources.len().max(1));
        self.next_source += 1;
        let (Some(entry), Some(source)) = (entry, source) else {
            return Err(io::Error::other("there is no lane for this connection"));
        };
        let stream = Stream::connect(SocketAddr::new(*source, 0), entry, tls)?;
        self.keep(stream)
    }

    fn keep(&mut self, mut stream: Stream) -> io::Result<usize> {
        let id = self.free_streams.pop().unwrap_or_else(|| {
            self.streams.push(None);
            self.streams.len() - 1
        });
        let token = STREAM | u64::try_from(id).unwrap_or(INDEX);
        // Writable once it is connected, which brings whatever was queued on its way.
        let flags = EventFlags::IN | EventFlags::OUT;
        epoll::add(&self.epoll, stream.fd(), EventData::new_u64(token), flags)?;
        stream.wants_room = true;
        if let Some(place) = self.streams.get_mut(id) {
            *place = Some(stream);
        }
        Ok(id)
    }

    fn close(&mut self, id: usize) {
        if let Some(mut stream) = self.streams.get_mut(id).and_then(Option::take) {
            stream.farewell();
            let _ = epoll::delete(&self.epoll, stream.fd());
            self.free_streams.push(id);
        }
    }

    /// A call is over; a connection of its own goes with it.
    fn finish(&mut self, line: Option<Line>) {
        if let (Way::Each(_), Some(Line::Stream(id))) = (&self.way, line) {
            self.close(id);
        }
    }

    fn send(&mut self, line: Line, message: &[u8]) {
        match line {
            Line::Lane(lane) => {
                if let Some(sockets) = self.lanes.get(lane) {
                    put(&sockets.caller, message, sockets.lane.entry);
                }
            }
            Line::Stream(id) => {
                if let Some(Some(stream)) = self.streams.get_mut(id) {
                    stream.queue(message);
                    if !std::mem::replace(&mut stream.is_dirty, true) {
                        self.dirty.push(id);
                    }
                }
            }
        }
    }

    fn flush(&mut self) {
        while let Some(id) = self.dirty.pop() {
            if let Some(Some(stream)) = self.streams.get_mut(id) {
                stream.is_dirty = false;
            }
            self.flush_one(id);
        }
    }

    fn flush_one(&mut self, id: usize) {
        let Some(Some(stream)) = self.streams.get_mut(id) else {
            return;
        };
        match stream.flush() {
            Ok(wants_room) => {
                if wants_room != stream.wants_room {
                    stream.wants_room = wants_room;
                    let flags = match wants_room {
                        true => EventFlags::IN | EventFlags::OUT,
                        false => EventFlags::IN,
                    };
                    let token = EventData::new_u64(STREAM | u64::try_from(id).unwrap_or(INDEX));
                    let _ = epoll::modify(&self.epoll, stream.fd(), token, flags);
                }
            }
            // Calls on it fail by their own patience.
            Err(_) => self.close(id),
        }
    }

    /// Waits until something comes, or for this time, or for the next timer.
    fn serve(&mut self, next: u64) {
        let timer = self.due.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        let wait = next.min(timer).saturating_sub(self.now()).min(1_000_000);
        let limit = Timespec {
            tv_sec: i64::try_from(wait / 1_000_000).unwrap_or(1),
            tv_nsec: i64::try_from(wait % 1_000_000 * 1000).unwrap_or(0),
        };
        let mut room = [const { MaybeUninit::<Event>::uninit() }; EVENTS];
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut room[..], Some(&limit)) else {
            return;
        };
        for event in events.iter() {
            let token = event.data.u64();
            let index = usize::try_from(token & INDEX).unwrap_or(usize::MAX);
            match token & !INDEX {
                CALLER => self.datagrams(index, true),
                ANSWERER => self.datagrams(index, false),
                STREAM => {
                    // A copy: the kernel's form is packed.
                    let flags = event.flags;
                    if flags.contains(EventFlags::OUT) {
                        self.flush_one(index);
                    }
                    self.read(index);
                }
                _ => self.accept(),
            }
        }
    }

    fn datagrams(&mut self, lane: usize, is_caller: bool) {
        let mut room = std::mem::take(&mut self.room);
        for _ in 0..BATCH {
            let Some(sockets) = self.lanes.get(lane) else {
                break;
            };
            let socket = match is_caller {
                true => &sockets.caller,
                false => &sockets.answerer,
            };
            match socket.recv_from(&mut room) {
                Ok((length, from)) => {
                    let Some(text) = room.get(..length).and_then(Text::of) else {
                        continue;
                    };
                    match is_caller {
                        true => self.response(&text),
                        false => self.datagram_request(lane, &text, from),
                    }
                }
                Err(why) if why.kind() == ErrorKind::WouldBlock => break,
                // The other side's port was closed for a moment: an ICMP error of an earlier send.
                Err(_) => {}
            }
        }
        self.room = room;
    }

    fn response(&mut self, text: &Text<'_>) {
        let now = self.now();
        let mut out = std::mem::take(&mut self.out);
        let progress = self.caller.receive(text, now, &mut out);
        match progress {
            Progress::Nothing => {}
            Progress::Established(call, took) => {
                self.outcome.established += 1;
                self.outcome.delays.add(took);
                if let Some(line) = self.caller.line(call) {
                    self.send(line, &out);
                }
                if let Some(held) = self.held {
                    self.later(now + micros(held), Due::HangUp(call));
                }
            }
            Progress::Again(call) => {
                if let Some(line) = self.caller.line(call) {
                    self.send(line, &out);
                }
            }
            Progress::Ended(call) => {
                self.outcome.ended += 1;
                self.finish(self.caller.line(call));
            }
            Progress::Refused(call, status) => {
                *self.outcome.refused.entry(status).or_default() += 1;
                let line = self.caller.line(call);
                if let (Some(line), false) = (line, out.is_empty()) {
                    self.send(line, &out);
                    self.flush();
                }
                self.finish(line);
            }
        }
        self.out = out;
    }

    fn datagram_request(&mut self, lane: usize, text: &Text<'_>, from: SocketAddr) {
        let Some(sockets) = self.lanes.get(lane) else {
            return;
        };
        let (out, more) = (&mut self.out, &mut self.more);
        let reaction = self.answerer.receive(text, &sockets.contact, out, more);
        if !out.is_empty() {
            put(&sockets.answerer, out, from);
        }
        if !more.is_empty() {
            put(&sockets.answerer, more, from);
        }
        if let Reaction::Answer(key) = reaction {
            let at = self.now() + T1_US;
            self.later(at, Due::RepeatAnswer(lane, from, key, 2 * T1_US));
        }
    }

    fn read(&mut self, id: usize) {
        let Some(Some(stream)) = self.streams.get_mut(id) else {
            return;
        };
        let is_open = stream.read().unwrap_or(false);
        let input = stream.take_input();
        let mut used = 0;
        while let Some(message) = next_message(&input, &mut used) {
            let Some(text) = Text::of(message) else {
                continue;
            };
            match text.status() {
                Some(_) => self.response(&text),
                None => self.stream_request(id, &text),
            }
        }
        if let Some(Some(stream)) = self.streams.get_mut(id) {
            stream.return_input(input, used);
            // What a handshake wants to say.
            if !std::mem::replace(&mut stream.is_dirty, true) {
                self.dirty.push(id);
            }
        }
        if !is_open {
            self.close(id);
        }
    }

    fn stream_request(&mut self, id: usize, text: &Text<'_>) {
        let contact = self
            .lanes
            .first()
            .map(|lane| lane.contact.clone())
            .unwrap_or_default();
        let (mut out, mut more) = (
            std::mem::take(&mut self.out),
            std::mem::take(&mut self.more),
        );
        self.answerer.receive(text, &contact, &mut out, &mut more);
        self.send(Line::Stream(id), &out);
        self.send(Line::Stream(id), &more);
        (self.out, self.more) = (out, more);
    }

    fn accept(&mut self) {
        while let Some((door, tls)) = &self.door {
            let Ok((socket, _)) = door.accept() else {
                return;
            };
            if let Ok(stream) = Stream::accepted(socket, tls.as_ref()) {
                // Without descriptors the connection is closed again, and its call fails.
                let _ = self.keep(stream);
            }
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Sends a datagram. What the kernel has no room for is lost, as on any network, and repeated.
fn put(socket: &UdpSocket, message: &[u8], to: SocketAddr) {
    let _ = socket.send_to(message, to);
}

fn socket(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(at)?;
    socket.set_nonblocking(true)?;
    // The kernel gives what it may; a burst of answers needs more than the usual 200 KiB.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4 << 20);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, 4 << 20);
    Ok(socket)
}
