//! The media of one call, as a value: [`MediaSession`] with `packet`, `command` and `tick`.
//!
//! No socket, no clock, no thread: datagrams, commands and time go in, packets and events come out.
//! The worker threads and the simulator are two callers of the same methods.

mod burst;
mod change;
mod coded;
mod comfort;
mod digit;
mod digits;
mod early;
mod express;
mod fax;
mod fetched;
mod handed;
mod ice;
mod liveness;
mod metrics;
mod one_way;
mod output;
mod party;
mod plan;
mod play;
mod quality;
mod rate;
mod rating;
mod repack;
mod reported;
mod retired;
mod rtcp;
mod secure;
mod sending;
mod sequence;
mod source;
mod stream;
mod tap;

pub use change::Recode;
#[cfg(test)]
pub(crate) use express::Pace;
#[cfg(test)]
pub(crate) use express::model::{Model, Verdict};
pub(crate) use express::{Express, MOST_EARLY, Passed};
pub(crate) use fetched::Depth;
pub use handed::Handed;
pub use output::{Forward, Generated, Made, Outcome, Output, Sample, Worn};
pub(crate) use quality::PAUSE_US;
pub(crate) use rate::BURST_US as RATE_BURST_US;
#[cfg(test)]
pub(crate) use rate::Credit;

use crate::entropy::{Entropy, NoEntropy};
use crate::packet::demux::{self, Class};
use crate::packet::rtp::HEADER_BYTES;
use crate::time::{Timestamp, WallOffset};
use change::Change;
use digits::Taken;
use express::{MOST_BYTES, Plain};
use handed::HandedOver;
use liveness::Liveness;
use media_api::{
    AllocateError, BridgePlan, Command, Content, CryptoKey, Direction, DropReason, EndpointId,
    EndpointSpec, EndpointStats, Event, LocalEndpoint, LocalStream, RealmId, SessionId,
    SessionStats, Stage, StreamIndex, Suite, Tap,
};
use one_way::OneWay;
use plan::Path;
use play::Playback;
use rating::INTERVAL;
use sequence::Origin;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::ops::Range;
use std::time::Duration;
use stream::{Accepted, Stream};
use zeroize::Zeroizing;

/// What nobody hears is looked at in so many milliseconds' steps, the same for all sessions.
const PATIENCE: Duration = Duration::from_millis(20);

/// A local socket, named by whoever opened it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SocketId(pub u32);

/// The sockets of one stream and the addresses that go into our SDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamSockets {
    /// Realm the ports were taken from.
    pub realm: RealmId,
    /// Socket of the even port.
    pub rtp: SocketId,
    /// Socket of the odd port.
    pub rtcp: SocketId,
    /// Advertised RTP address.
    pub advertised_rtp: SocketAddr,
    /// Advertised RTCP address.
    pub advertised_rtcp: SocketAddr,
}

/// One media session.
#[derive(Debug)]
pub struct MediaSession {
    id: SessionId,
    wall: WallOffset,
    endpoints: Vec<Endpoint>,
    /// The streams of all endpoints, each endpoint's in a row.
    streams: Vec<Stream>,
    /// At most one per endpoint.
    sounds: Vec<Playback>,
    plan: BridgePlan,
    /// When the streams' present interval is to be rated.
    rated_at: Option<Timestamp>,
    is_released: bool,
    /// When what is still on its way has had its time.
    drained_at: Option<Timestamp>,
    /// The party that goes on elsewhere.
    handed_over: Option<HandedOver>,
    /// What is copied of packets.
    tap: Option<Tap>,
}

#[derive(Debug)]
struct Endpoint {
    id: EndpointId,
    /// Where its party comes from, if another session has handed it over.
    follows: Option<(SessionId, EndpointId)>,
    streams: Range<usize>,
    is_closed: bool,
    liveness: Liveness,
    one_way: OneWay,
}

impl MediaSession {
    /// A session without endpoints.
    pub fn new(id: SessionId, wall: WallOffset) -> Self {
        Self {
            id,
            wall,
            endpoints: Vec::new(),
            streams: Vec::new(),
            sounds: Vec::new(),
            plan: BridgePlan::default(),
            rated_at: None,
            is_released: false,
            drained_at: None,
            handed_over: None,
            tap: None,
        }
    }

    /// Name of the session.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Whether [`Event::Released`] has been said.
    pub fn is_released(&self) -> bool {
        self.is_released
    }

    /// Whether the session only waits to be forgotten: it is released, and nobody's media are passed on
    /// to another session any more.
    pub fn is_over(&self) -> bool {
        self.is_released && self.handed_over.is_none()
    }

    /// Whether an endpoint of this name exists or existed.
    pub fn has_endpoint(&self, endpoint: EndpointId) -> bool {
        self.endpoints.iter().any(|known| known.id == endpoint)
    }

    /// Adds an endpoint of a new name on sockets that the caller has opened, at least one pair and at most
    /// 255, in the order of its streams.
    pub fn add_endpoint(
        &mut self,
        endpoint: EndpointId,
        sockets: &[StreamSockets],
        entropy: &mut Entropy,
    ) {
        let first = self.streams.len();
        for (index, sockets) in (0u8..=u8::MAX).zip(sockets) {
            let mut stream = Stream::new(StreamIndex(index), *sockets, entropy);
            stream.tap(self.tap);
            self.streams.push(stream);
        }
        self.endpoints.push(Endpoint {
            id: endpoint,
            follows: None,
            streams: first..self.streams.len(),
            is_closed: false,
            liveness: Liveness::default(),
            one_way: OneWay::default(),
        });
    }

    /// One datagram of `length` bytes at the start of `slot`, received on `socket`.
    ///
    /// `slot` must be at least 14 bytes longer than the datagram, so that a tag fits; the packet to
    /// send on is made in it. Does not allocate, except for the two events that a stream has, and for
    /// what goes to another session.
    pub fn packet(
        &mut self,
        socket: SocketId,
        from: SocketAddr,
        slot: &mut [u8],
        length: usize,
        now: Timestamp,
        out: &mut Output,
    ) -> Outcome {
        let outcome = self.received(socket, from, slot, length, now, out);
        self.tell_copies(out);
        outcome
    }

    fn received(
        &mut self,
        socket: SocketId,
        from: SocketAddr,
        slot: &mut [u8],
        length: usize,
        now: Timestamp,
        out: &mut Output,
    ) -> Outcome {
        let Some(at) = self
            .streams
            .iter()
            .position(|stream| stream.sockets.rtp == socket || stream.sockets.rtcp == socket)
        else {
            return Outcome::Dropped(DropReason::NoPath);
        };
        let is_rtp_port = self.streams[at].sockets.rtp == socket;
        if self.streams[at].is_fax() {
            let outcome = match is_rtp_port {
                true => self.fax(at, from, slot, length, now, out),
                false => Err(DropReason::Malformed),
            };
            return outcome.unwrap_or_else(|reason| {
                self.streams[at].refuse(from, reason);
                Outcome::Dropped(reason)
            });
        }
        let outcome = match slot.get_mut(..length) {
            None => Err(DropReason::Malformed),
            Some(packet) => match (is_rtp_port, demux::classify(packet)) {
                (true, Class::Rtp) => self.rtp(at, from, slot, length, now, out),
                (is_mux, Class::Rtcp) => {
                    let (stream, times) = (&mut self.streams[at], (now, self.wall));
                    let said = stream.accept_rtcp(from, packet, is_mux, times, out.wants_reports);
                    let index = stream.index;
                    said.map(|said| {
                        out.tell_report((self.id, self.endpoint_of(at), index), said);
                        Outcome::Report
                    })
                }
                (_, Class::Stun) => self.check(at, socket, from, packet, now, out),
                (_, Class::Dtls) => self.handshake(at, is_rtp_port, from, packet, now, out),
                // Nothing is behind the others; nothing is answered to anybody (MED-038).
                (false, Class::Rtp) | (_, Class::Zrtp | Class::TurnChannel | Class::Unknown) => {
                    Err(DropReason::Malformed)
                }
            },
        };
        match outcome {
            Ok(outcome) => outcome,
            Err(reason) => {
                let packet = slot.get(..length).unwrap_or_default();
                if self.keep_early(at, socket, from, packet, (reason, now), out) {
                    return Outcome::Kept;
                }
                self.streams[at].refuse(from, reason);
                Outcome::Dropped(reason)
            }
        }
    }

    /// The operating system did not take a packet that [`Self::packet`] had prepared.
    pub fn send_failed(&mut self, forward: &Forward) {
        self.take_back(forward.stream, forward.plain_bytes);
    }

    /// The operating system did not take a packet of a sound.
    pub fn generated_failed(&mut self, generated: Generated) {
        self.take_back(generated.stream, generated.plain_bytes);
    }

    fn take_back(&mut self, stream: usize, plain_bytes: usize) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.uncount(plain_bytes);
        }
    }

    fn rtp(
        &mut self,
        at: usize,
        from: SocketAddr,
        slot: &mut [u8],
        length: usize,
        now: Timestamp,
        out: &mut Output,
    ) -> Result<Outcome, DropReason> {
        let stream = &mut self.streams[at];
        let packet = slot.get_mut(..length).ok_or(DropReason::Malformed)?;
        let accepted = stream.accept(from, packet, now);
        let path = stream.path;
        self.tell_pinned(at, now, out);
        self.tell_worn(at, out);
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(reason) => {
                if let (DropReason::Direction, Path::Forward { to }) = (reason, path) {
                    // A peer that goes on sending through a hold would leave a gap as long as the
                    // hold, and one of half a cycle misleads the other side's roll-over counter.
                    self.streams[to].outgoing.interrupt(at);
                    self.interrupt_packing(at);
                }
                return Err(reason);
            }
        };
        if accepted.first {
            self.tell_first_media(at, out);
        }
        let plain = slot.get(..accepted.payload.end).unwrap_or_default();
        self.streams[at].copy_received(from, plain);
        if let Some(handed) = self.hands_over(at) {
            return self.passed_on(at, handed, &accepted, slot);
        }
        self.streams[at].sound_out(&accepted, slot);
        let taken = self.take_digits(at, &accepted, slot, now, out);
        let outcome = self.forward((at, path), &accepted, taken, slot, now, out);
        if accepted.payload != (HEADER_BYTES..length) {
            // An extension, contributing sources or padding: the next one is likely to have them too.
            self.streams[at].plain = None;
        }
        if let Path::Forward { to } = path {
            self.tell_worn(to, out);
        }
        outcome
    }

    /// Makes the packet that leaves of one that was accepted on a stream.
    fn forward(
        &mut self,
        (at, path): (usize, Path),
        accepted: &Accepted,
        taken: Taken,
        slot: &mut [u8],
        now: Timestamp,
        out: &mut Output,
    ) -> Result<Outcome, DropReason> {
        let to = match path {
            Path::Forward { to } => to,
            Path::Blocked(_) if taken == Taken::Digit => {
                return Ok(Outcome::Taken(accepted.payload.end));
            }
            Path::Blocked(reason) => return Err(reason),
        };
        let origin = Origin {
            stream: at,
            generation: accepted.position.generation,
        };
        let Accepted {
            send_as,
            ref payload,
            ..
        } = *accepted;
        let received_bytes = payload.end;
        // Keys are heard although their party is not.
        let is_blocked = self.streams[at].is_blocked && !accepted.is_event;
        let target = self.streams.get_mut(to).ok_or(DropReason::NoPath)?;
        let is_muted = target.is_muted || target.digits.are_sent() || is_blocked;
        if taken != Taken::Not || target.digits.are_sent() || is_blocked {
            let position = accepted.position;
            target.outgoing.pass_over(origin, position.extended);
        }
        if taken != Taken::Not || is_muted || send_as.is_none() {
            self.interrupt_packing(at);
        }
        match taken {
            Taken::Digit => return Ok(Outcome::Taken(accepted.payload.end)),
            Taken::Beside => return Err(DropReason::Muted),
            Taken::Not if is_muted => return Err(DropReason::Muted),
            Taken::Not => {}
        }
        let change = accepted.change;
        if send_as.is_none() && change != Change::None {
            return self.pass_changed((at, to), accepted, slot, now, out);
        }
        let target = self.streams.get_mut(to).ok_or(DropReason::NoPath)?;
        let Some(send_as) = send_as else {
            target
                .outgoing
                .leave_out(origin, accepted.position.extended);
            return Err(DropReason::PayloadType);
        };
        if let (Change::Law(law), Some(octets)) = (change, slot.get_mut(payload.clone())) {
            law.to_other(octets);
        }
        if let Some(sent) = self.repacked((at, to), accepted, send_as, slot, now, out) {
            return sent;
        }
        let target = self.streams.get_mut(to).ok_or(DropReason::NoPath)?;
        let ready = target.emit(origin, accepted, send_as, slot, now)?;
        target.forwarded_at = Some(now);
        let forward = Forward {
            socket: ready.socket,
            to: ready.to,
            range: ready.range,
            realm: target.sockets.realm,
            received_bytes,
            plain_bytes: ready.plain_bytes,
            stream: to,
        };
        let octets = u16::try_from(payload.len()).ok().and_then(NonZeroU16::new);
        let octets = octets.filter(|octets| octets.get() <= MOST_BYTES);
        self.streams[at].plain = octets.map(|octets| Plain {
            payload_type: accepted.payload_type,
            octets,
        });
        Ok(Outcome::Forward(forward))
    }

    /// Says which source was pinned, if one was since.
    fn tell_pinned(&mut self, at: usize, now: Timestamp, out: &mut Output) {
        if let Some(source) = self.streams[at].pinned_news.take() {
            out.events.push(Event::SourcePinned {
                session: self.id,
                endpoint: self.endpoint_of(at),
                stream: self.streams[at].index,
                source,
            });
            if self.streams[at]
                .faces
                .iter()
                .any(|face| face.guard.checked().is_some())
            {
                // With ICE it may be the first that can be sent to.
                self.replan(now);
            }
        }
    }

    /// Says which key is nearly used up, if one is since.
    fn tell_worn(&mut self, at: usize, out: &mut Output) {
        let Some(suite) = self.streams.get_mut(at).and_then(Stream::take_worn) else {
            return;
        };
        out.worn.push(Worn {
            endpoint: self.endpoint_of(at),
            stream: self.streams[at].index,
            suite,
        });
    }

    fn tell_first_media(&self, at: usize, out: &mut Output) {
        out.events.push(Event::FirstMedia {
            session: self.id,
            endpoint: self.endpoint_of(at),
            stream: self.streams[at].index,
        });
    }

    /// Applies a command of this session. [`Command::Allocate`] is for whoever owns ports, who calls
    /// [`Self::add_endpoint`], and [`Command::Play`] for whoever owns recordings, who calls
    /// [`Self::play`]; both are ignored here.
    pub fn command(&mut self, command: Command, now: Timestamp, out: &mut Output) {
        match command {
            Command::Allocate { .. } | Command::Play { .. } => {}
            Command::Answer {
                endpoint,
                fork,
                negotiated,
                stage,
                ..
            } => {
                let Some(at) = self.open_endpoint(endpoint) else {
                    return;
                };
                let streams = self.endpoints[at].streams.clone();
                let mut terms = negotiated.streams.into_iter();
                let mut is_changed = false;
                for stream in &mut self.streams[streams] {
                    let terms = terms.next().flatten();
                    is_changed |= stage == Stage::Final && stream.would_change(terms.as_ref());
                    if stage == Stage::Final && terms.is_none() {
                        let said = stream.switch_off(now, self.wall, out);
                        out.tell_report((self.id, endpoint, stream.index), said);
                    }
                    stream.agree(fork, stage, terms, now);
                }
                if is_changed {
                    self.watch(None, now);
                }
                self.replan(now);
                self.replay_early(now, out);
            }
            Command::Rollback { endpoint, .. } => {
                let Some(at) = self.open_endpoint(endpoint) else {
                    return;
                };
                let streams = self.endpoints[at].streams.clone();
                self.streams[streams].iter_mut().for_each(Stream::roll_back);
                self.replan(now);
            }
            Command::Expect { endpoint, .. } => {
                let Some(at) = self.open_endpoint(endpoint) else {
                    return;
                };
                let streams = self.endpoints[at].streams.clone();
                let streams = self.streams[streams].iter_mut();
                streams.for_each(|stream| stream.early.expect_answer(now));
            }
            Command::Update { plan, .. } => {
                if plan.joined != self.plan.joined {
                    self.watch(None, now);
                }
                if plan != self.plan {
                    // Time that nobody looked at, ringing for instance, is not silence; under another limit it goes on.
                    let begins = plan.joined != self.plan.joined || self.plan.silence_ms == 0;
                    for endpoint in &mut self.endpoints {
                        endpoint.liveness.told = 0;
                        endpoint.liveness.expected_since.take_if(|_| begins);
                    }
                }
                self.plan = plan;
                self.replan(now);
                self.replay_early(now, out);
            }
            Command::Release {
                endpoint: Some(endpoint),
                ..
            } => {
                let Some(at) = self.open_endpoint(endpoint) else {
                    return;
                };
                self.close_endpoint(at, now, out);
                self.replan(now);
            }
            Command::Release {
                endpoint: None,
                drain_ms: 0,
                ..
            } => self.release(now, out),
            Command::Release {
                endpoint: None,
                drain_ms,
                ..
            } => self.drain(now + Duration::from_millis(u64::from(drain_ms))),
            Command::HandOver { endpoint, to, .. } => self.hand_over(endpoint, to, now),
            Command::Follow { endpoint, of, .. } => {
                if let Some(at) = self.open_endpoint(endpoint) {
                    self.endpoints[at].follows = Some(of);
                }
            }
            Command::Tap { tap, .. } => self.tap_all(tap),
            Command::Take {
                endpoint, intake, ..
            } => self.take(endpoint, intake),
            Command::Block {
                endpoint,
                is_blocked,
                ..
            } => {
                if let Some(at) = self.open_endpoint(endpoint) {
                    let streams = self.endpoints[at].streams.clone();
                    for stream in &mut self.streams[streams] {
                        stream.is_blocked = is_blocked;
                    }
                }
            }
            Command::Dial {
                endpoint, dialled, ..
            } => self.dial(endpoint, dialled, now, out),
            Command::Stats { session } => {
                out.events.push(Event::Stats {
                    session,
                    stats: self.stats(),
                });
            }
        }
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, now: Timestamp, out: &mut Output) {
        self.expire_handed_over(now, out);
        if self.drained_at.is_some_and(|due| due <= now) {
            return self.release(now, out);
        }
        self.play_on(now, out);
        self.comfort(now, out);
        self.tick_handshakes(now, out);
        let mut is_over = false;
        for endpoint in &self.endpoints {
            for stream in &mut self.streams[endpoint.streams.clone()] {
                stream.expire_keys(now);
                stream.expire_early(now);
                is_over |= stream.expire_retired(now);
                if stream.reports.due().is_some_and(|due| due <= now) {
                    let said = stream.report_if_due(now, self.wall, out);
                    out.tell_report((self.id, endpoint.id, stream.index), said);
                    stream.sample(out);
                }
            }
        }
        if is_over {
            self.replan(now);
        }
        if self.rated_at.is_some_and(|due| due <= now) {
            self.rated_at = Some(now + INTERVAL);
            for stream in &mut self.streams {
                stream.rate_interval(now);
            }
        }
        self.tick_digits(now, out);
        // What was sent of our own.
        (0..self.streams.len()).for_each(|at| self.tell_worn(at, out));
        self.check_silence(now, out);
        self.look_for_one_way(now, out);
        self.tell_copies(out);
    }

    /// When [`Self::tick`] is next wanted. Commands and ticks change it. Packets at most
    /// postpone what they make unnecessary, unless the output is not empty: a digit has begun.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let both = [self.prompt_deadline(), self.patient_deadline()];
        both.into_iter().flatten().min()
    }

    /// As [`Self::next_deadline`], for who has many sessions: what nobody hears comes a little later, at
    /// the same times for all of them, because to wake for each by itself costs more than the tick.
    pub(crate) fn wakes_at(&self) -> Option<Timestamp> {
        let patient = self.patient_deadline().map(|due| due.rounded_up(PATIENCE));
        [self.prompt_deadline(), patient]
            .into_iter()
            .flatten()
            .min()
    }

    /// What a peer hears, or waits for.
    fn prompt_deadline(&self) -> Option<Timestamp> {
        self.streams
            .iter()
            .flat_map(|stream| {
                let (keys, handshakes) = (stream.key_deadline(), stream.handshake_deadline());
                [
                    keys,
                    handshakes,
                    stream.retired_deadline(),
                    stream.digits.deadline(),
                    stream.comfort_deadline(),
                ]
            })
            .flatten()
            .chain(self.sounds.iter().map(Playback::due))
            .min()
    }

    /// Reports, observations, and the end.
    fn patient_deadline(&self) -> Option<Timestamp> {
        let limit = self.silence_limit();
        let expected_since = self.both_expected_since();
        let silence = self.joined().into_iter().flatten().filter_map(|at| {
            let endpoint = &self.endpoints[at];
            let heard_at = self.heard_at(endpoint).max(expected_since);
            endpoint.liveness.silence_deadline(heard_at, limit)
        });
        self.streams
            .iter()
            .flat_map(|stream| [stream.reports.due(), stream.early_deadline()])
            .flatten()
            .chain(silence)
            .chain(
                self.endpoints
                    .iter()
                    .filter_map(|endpoint| endpoint.one_way.due()),
            )
            .chain(self.rated_at)
            .chain(self.drained_at)
            .chain(self.handed_over.map(|handed| handed.until))
            .min()
    }

    /// Figures so far.
    pub fn stats(&self) -> SessionStats {
        let endpoints = self
            .endpoints
            .iter()
            .map(|endpoint| EndpointStats {
                endpoint: endpoint.id,
                streams: self.streams[endpoint.streams.clone()]
                    .iter()
                    .map(|stream| stream.stats(self.wall))
                    .collect(),
            })
            .collect();
        SessionStats { endpoints }
    }

    /// Lets pass what is still on its way; nobody is to be missed any more.
    fn drain(&mut self, until: Timestamp) {
        if self.is_released || self.drained_at.is_some() {
            return;
        }
        self.drained_at = Some(until);
        self.sounds.clear();
        self.plan.silence_ms = 0;
        for endpoint in &mut self.endpoints {
            endpoint.one_way.forget();
        }
    }

    fn release(&mut self, now: Timestamp, out: &mut Output) {
        if self.is_released {
            // The second time nothing is kept.
            return self.end_handed_over(now, out);
        }
        self.is_released = true;
        self.drained_at = None;
        self.rated_at = None;
        for endpoint in &mut self.endpoints {
            endpoint.one_way.forget();
        }
        let kept = self.handed_over.map(|handed| handed.endpoint);
        for at in 0..self.endpoints.len() {
            match kept == Some(at) {
                true => self.take_leave(at, now, out),
                false => self.close_endpoint(at, now, out),
            }
        }
        self.tell_copies(out);
        let stats = self.stats();
        out.events.push(Event::Released {
            session: self.id,
            stats,
        });
    }

    fn close_endpoint(&mut self, at: usize, now: Timestamp, out: &mut Output) {
        let endpoint = &mut self.endpoints[at];
        if endpoint.is_closed {
            return;
        }
        endpoint.is_closed = true;
        for stream in &mut self.streams[endpoint.streams.clone()] {
            let said = stream.say_goodbye(now, self.wall, out);
            out.tell_report((self.id, endpoint.id, stream.index), said);
            stream.rate_interval(now);
            stream.sample(out);
            stream.close();
            out.freed.extend([stream.sockets.rtp, stream.sockets.rtcp]);
        }
        if self.handed_over.is_some_and(|handed| handed.endpoint == at) {
            self.handed_over = None;
        }
        self.end_sounds_of(at);
    }

    fn open_endpoint(&self, endpoint: EndpointId) -> Option<usize> {
        self.endpoints
            .iter()
            .position(|known| known.id == endpoint && !known.is_closed)
    }

    fn endpoint_of(&self, stream: usize) -> EndpointId {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.streams.contains(&stream))
            .map_or(EndpointId(0), |endpoint| endpoint.id)
    }

    /// Indices of the joined endpoints.
    fn joined(&self) -> Option<[usize; 2]> {
        let (one, other) = self.plan.joined?;
        Some([self.open_endpoint(one)?, self.open_endpoint(other)?])
    }

    /// Compiles paths anew and restarts what watches them.
    fn replan(&mut self, now: Timestamp) {
        let joined = self
            .joined()
            .map(|pair| pair.map(|at| self.endpoints[at].streams.clone()));
        plan::compile(&mut self.streams, |at| {
            let [one, other] = joined.as_ref()?;
            let (own, theirs) = match (one.contains(&at), other.contains(&at)) {
                (true, false) => (one, other),
                (false, true) => (other, one),
                (true, true) | (false, false) => return None,
            };
            Some(theirs.start + (at - own.start)).filter(|to| theirs.contains(to))
        });
        self.fit_sounds();
        let is_agreed = self.streams.iter().any(Stream::was_agreed);
        if is_agreed && !self.is_released {
            self.rated_at.get_or_insert(now + INTERVAL);
        }
        let pair = self.joined();
        for at in 0..self.endpoints.len() {
            let streams = &self.streams[self.endpoints[at].streams.clone()];
            let expected = pair.is_some_and(|pair| pair.contains(&at))
                && streams.iter().any(Stream::must_be_heard);
            self.endpoints[at].liveness.restart(expected, now);
        }
        let both_answered = self.answered();
        self.watch(both_answered, now);
    }

    /// The joined endpoints, once both are committed to sending and receiving.
    fn answered(&self) -> Option<[usize; 2]> {
        let pair = self.joined()?;
        pair.iter().all(|at| self.is_two_way(*at)).then_some(pair)
    }

    /// Whether an endpoint is committed to sending and receiving.
    fn is_two_way(&self, at: usize) -> bool {
        let streams = &self.streams[self.endpoints[at].streams.clone()];
        streams.iter().filter_map(Stream::active).any(|face| {
            face.stage == Stage::Final
                && face.terms.content == Content::Rtp
                && face.terms.direction == Direction::SendReceive
        })
    }

    fn silence_limit(&self) -> Duration {
        Duration::from_millis(u64::from(self.plan.silence_ms))
    }

    fn heard_at(&self, endpoint: &Endpoint) -> Option<Timestamp> {
        self.streams[endpoint.streams.clone()]
            .iter()
            .filter_map(|stream| stream.heard_at)
            .max()
    }

    /// Since when both that are joined should be heard, or the one that should be, as long as neither ever was. Who was agreed
    /// with a moment later, by an ACK for instance, is as silent as the other one at the same time: a call in which nobody is
    /// heard is told as one.
    fn both_expected_since(&self) -> Option<Timestamp> {
        let pair = self.joined()?;
        if pair
            .iter()
            .any(|at| self.heard_at(&self.endpoints[*at]).is_some())
        {
            return None;
        }
        let since = pair.map(|at| self.endpoints[at].liveness.expected_since);
        since.into_iter().flatten().max()
    }

    fn check_silence(&mut self, now: Timestamp, out: &mut Output) {
        let limit = self.silence_limit();
        let expected_since = self.both_expected_since();
        for at in self.joined().into_iter().flatten() {
            let heard_at = self.heard_at(&self.endpoints[at]).max(expected_since);
            let endpoint = &mut self.endpoints[at];
            if let Some(silent_ms) = endpoint.liveness.silence_ms(heard_at, limit, now) {
                let endpoint = endpoint.id;
                out.events.push(Event::Silent {
                    session: self.id,
                    endpoint,
                    silent_ms,
                });
            }
        }
    }
}

impl Stream {
    /// Hands the realm's totals what has changed since the last time.
    fn sample(&mut self, out: &mut Output) {
        let lost = self.reception.lost();
        let change = lost - self.lost_published;
        self.lost_published = lost;
        out.resynchronised += self.ring.take_resyncs();
        if self.received_packets > 0 {
            let jitter_us = self.reception.jitter_us();
            out.samples.push(Sample {
                realm: self.sockets.realm,
                lost: change,
                jitter_us,
            });
        }
    }
}

/// What goes into [`Event::Allocated`] for endpoints on these sockets, one entry per stream: addresses, and
/// keys that are made here. Fingerprints are for whoever has the certificates.
///
/// # Errors
/// [`AllocateError::Conflict`] if two have the same name, or one has no stream or more than 255;
/// [`AllocateError::Unavailable`] without random numbers for keys.
pub fn local_endpoints(
    specs: &[EndpointSpec],
    sockets: impl IntoIterator<Item = StreamSockets>,
    entropy: &mut Entropy,
) -> Result<Vec<LocalEndpoint>, AllocateError> {
    let is_odd = |(at, spec): (usize, &EndpointSpec)| {
        let is_repeated = specs[..at]
            .iter()
            .any(|other| other.endpoint == spec.endpoint);
        is_repeated || spec.streams.is_empty() || spec.streams.len() > usize::from(u8::MAX)
    };
    if specs.is_empty() || specs.iter().enumerate().any(is_odd) {
        return Err(AllocateError::Conflict);
    }
    let mut sockets = sockets.into_iter();
    let mut local = Vec::with_capacity(specs.len());
    for spec in specs {
        let mut streams = Vec::with_capacity(spec.streams.len());
        for (stream, sockets) in spec.streams.iter().zip(sockets.by_ref()) {
            let suites = stream.protection.suites().iter();
            let keys = suites
                .map(|suite| fresh_key(*suite, entropy))
                .collect::<Result<_, NoEntropy>>()
                .map_err(|NoEntropy| AllocateError::Unavailable)?;
            streams.push(LocalStream {
                rtp: sockets.advertised_rtp,
                rtcp: sockets.advertised_rtcp,
                keys,
                fingerprint: None,
            });
        }
        local.push(LocalEndpoint {
            endpoint: spec.endpoint,
            streams,
        });
    }
    Ok(local)
}

/// A master key and salt for one suite.
pub(crate) fn fresh_key(suite: Suite, entropy: &mut Entropy) -> Result<CryptoKey, NoEntropy> {
    let mut bytes = Zeroizing::new(vec![0; suite.key_and_salt_bytes()]);
    entropy.fill_secret(&mut bytes)?;
    CryptoKey::new(suite, std::mem::take(&mut *bytes)).ok_or(NoEntropy)
}
