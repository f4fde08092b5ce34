//! What passes although the joined peer has another format: audio that is transcoded, events of another
//! clock (MED-200, MED-220).
//!
//! Only where two peers have no audio format in common is anything transcoded. Between the two laws of
//! G.711 a table does it where the packet lies, also for a peer that has the common format as well. Everything else leaves the session as it came
//! ([`Recode`]), and comes back from those who transcode under numbers of its own
//! ([`MediaSession::recoded`]): one more origin of the outgoing stream, like a sound. So protection, reports,
//! digits and sounds know nothing of it.

use super::comfort::is_filled;
use super::digit::dial::Part;
use super::digit::heard::Told;
use super::output::{Outcome, Output};
use super::plan::Path;
use super::quality::Position;
use super::sequence::Origin;
use super::stream::{Accepted, Stream};
use super::{MediaSession, StreamSockets};
use crate::codec::Coding;
use crate::g711::Law;
use crate::packet::rtp::HEADER_BYTES;
use crate::srtp::MAX_TRAILER_BYTES;
use crate::time::Timestamp;
use crate::transcode::{Recipe, Recoded};
use media_api::{DropReason, FormatKind, OpusWishes, PayloadBinding, RealmId};
use std::ops::Range;
use std::time::Duration;

/// How long after a packet of an event without an end the audio is still left out: three updates.
const EVENT_LASTS: Duration = Duration::from_millis(150);
/// Bytes of an event in a packet.
const EVENT_BYTES: usize = 4;
/// Set in the flags of its last packets.
const END: u8 = 0x80;
/// The longest that one segment of an event can say.
const SEGMENT: u16 = 0xffff;
/// Segments that one packet may be told in: that at 8 kHz of a second under 48 kHz fills six.
const MOST_SEGMENTS: u64 = 8;
/// Set in the generation of an origin that is transcoded, which the receiving stream never counts up to.
const RECODED: u32 = 1 << 31;

/// What becomes of packets of a format that the joined peer has not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// Nothing: they pass as they are, or not at all.
    None,
    /// They are G.711 of this law, and the peer has the other one.
    Law(Law),
    /// They are decoded, and encoded anew.
    Recode(Recipe),
    /// They are comfort noise for a peer whose audio passes but who has none: noise is made of it.
    Noise,
    /// They are events, told under another number and clock.
    Event { payload_type: u8, clock_hz: u32 },
}

/// An audio packet for whoever transcodes: as it came, with its place in its stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recode {
    /// Index of the receiving stream in the session.
    pub(crate) stream: usize,
    /// What is to be done.
    pub recipe: Recipe,
    /// What its receiver wants, where that is Opus and it has said so.
    pub wishes: Option<OpusWishes>,
    /// Sequence space of the stream.
    pub generation: u32,
    /// Extended sequence number.
    pub extended: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Where the payload lies.
    pub payload: Range<usize>,
}

/// An event on its way under another clock. Where its field cannot say how long it lasts, it goes on in a further
/// segment, whose timestamp is later by as much (RFC 4733 §2.5.1.3); either side has segments of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassingEvent {
    event: u8,
    /// Sequence space and timestamp that its present segment came with.
    came: (u32, u32),
    /// Units of the segments that came before that one.
    came_before: u64,
    /// Number of its newest packet.
    newest: u64,
    is_over: bool,
    /// Timestamp that its present segment leaves with, and since when.
    leaves: (u32, Timestamp),
    /// Units of the segments that left before that one.
    left_before: u64,
    /// Until when no audio is sent beside it.
    until: Timestamp,
}

/// The codec and packet time that audio has to be brought into for a peer that has agreed to `sent`: its
/// first that we have. `None` if the two sides have one in common, or that one has none of ours.
pub(super) fn needed(
    agreed: &[PayloadBinding],
    sent: &[PayloadBinding],
    packet_ms: u8,
) -> Option<(Coding, u8)> {
    let is_shared = |own: &PayloadBinding| sent.iter().any(|other| other.id == own.id);
    let mut audio = agreed.iter().filter(|own| is_audio(own)).peekable();
    if audio.peek().is_none() || audio.any(is_shared) {
        return None;
    }
    let to = sent.iter().find_map(|own| Coding::of(&own.format))?;
    Some((to, to.packet_ms(packet_ms)))
}

/// How packets of a format go on: under which number, or how changed. `same` is what the joined peer calls
/// it.
pub(super) fn of(
    binding: &PayloadBinding,
    same: Option<&PayloadBinding>,
    sent: &[PayloadBinding],
    needed: Option<(Coding, u8)>,
) -> (Option<u8>, Change) {
    let passes = same.map(|own| own.send);
    if is_event(binding) {
        if passes.is_some() && needed.is_none() {
            return (passes, Change::None);
        }
        // Of the clock of the audio beside it, if there is one.
        let clock_hz = needed.map(|(to, _)| to.clock_hz());
        let mut events = sent.iter().filter(|own| is_event(own));
        let fitting = events.clone().find(|own| {
            let own = own.format.clock_hz;
            clock_hz.is_some_and(|clock_hz| clock_hz == own)
        });
        let change = fitting.or_else(|| events.next()).map(|own| Change::Event {
            payload_type: own.send,
            clock_hz: own.format.clock_hz,
        });
        return (None, change.unwrap_or(Change::None));
    }
    let Some((to, packet_ms)) = needed else {
        if let (None, Some(Coding::G711(law))) = (passes, Coding::of(&binding.format)) {
            // It has agreed to both laws, and the other one to one of them alone (MED-203).
            let is_other =
                |own: &&PayloadBinding| matches!(Coding::of(&own.format), Some(Coding::G711(_)));
            if let Some(other) = sent.iter().find(is_other) {
                return (Some(other.send), Change::Law(law));
            }
        }
        let is_made = passes.is_none() && is_noise(binding) && sent.iter().any(is_filled);
        let change = match is_made {
            true => Change::Noise,
            false => Change::None,
        };
        return (passes, change);
    };
    let from = Coding::of(&binding.format);
    let recipe = Recipe {
        from,
        to,
        packet_ms,
    };
    match (from, to) {
        (Some(Coding::G711(law)), Coding::G711(_)) => {
            let other = sent.iter().find(|own| Coding::of(&own.format) == Some(to));
            (other.map(|own| own.send), Change::Law(law))
        }
        (Some(_), _) => (None, Change::Recode(recipe)),
        (None, _) if is_noise(binding) => (None, Change::Recode(recipe)),
        (None, _) => (None, Change::None),
    }
}

fn is_event(binding: &PayloadBinding) -> bool {
    binding.format.kind == FormatKind::Event
}

fn is_noise(binding: &PayloadBinding) -> bool {
    binding.format.name.eq_ignore_ascii_case("CN")
}

fn is_audio(binding: &PayloadBinding) -> bool {
    let is_redundancy = binding.format.name.eq_ignore_ascii_case("red");
    !is_event(binding) && !is_noise(binding) && !is_redundancy
}

impl MediaSession {
    /// A packet of a format that the joined peer has not; `at` is where it came, `to` where it goes.
    pub(super) fn pass_changed(
        &mut self,
        (at, to): (usize, usize),
        accepted: &Accepted,
        slot: &[u8],
        now: Timestamp,
        out: &mut Output,
    ) -> Result<Outcome, DropReason> {
        match accepted.change {
            Change::Noise => self.comfort_told((at, to), accepted, slot, now, out),
            // What is beside it never comes to those who transcode.
            Change::Recode(recipe) if recipe.from.is_none() && self.changes_law(at) => {
                self.comfort_told((at, to), accepted, slot, now, out)
            }
            Change::Recode(recipe) => Ok(Outcome::Recode(Recode {
                stream: at,
                recipe,
                wishes: self.streams.get(to).and_then(|to| to.wishes_of(recipe.to)),
                generation: accepted.position.generation,
                extended: accepted.position.extended,
                timestamp: accepted.timestamp,
                payload: accepted.payload.clone(),
            })),
            Change::Event {
                payload_type,
                clock_hz,
            } => {
                let payload = slot.get(accepted.payload.clone()).unwrap_or_default();
                let told = Told::read(payload).ok_or(DropReason::Malformed)?;
                let target = self.streams.get_mut(to).ok_or(DropReason::NoPath)?;
                let origin = Origin {
                    stream: at,
                    generation: accepted.position.generation,
                };
                let flags = payload.get(1).copied().unwrap_or_default();
                let ours = (payload_type, clock_hz);
                target.pass_event(to, (told, flags), accepted, ours, now, out);
                let extended = accepted.position.extended;
                target.outgoing.pass_over(origin, extended);
                Ok(Outcome::Taken(accepted.payload.end))
            }
            Change::Law(_) | Change::None => Err(DropReason::PayloadType),
        }
    }

    /// Audio that comes back from whoever transcodes: it is numbered, protected and put among the packets
    /// that the session made. False if nobody can hear it, and what else that pipe makes. Does not allocate
    /// once `out` has its memory.
    pub fn recoded(&mut self, recoded: &mut Recoded, now: Timestamp, out: &mut Output) -> bool {
        if let Some(is_heard) = self.own_recoded(recoded, now, out) {
            return is_heard;
        }
        let Some(own) = self.streams.get(recoded.stream) else {
            return false;
        };
        let is_shut = own.digits.are_shut(now);
        let Path::Forward { to } = own.path else {
            return false;
        };
        if own.is_blocked {
            return false;
        }
        // Nor has what a pipe still makes of the last packets before they pass as they are.
        let face = own.active();
        if !face.is_some_and(|face| face.rules.recode_to(recoded.coding)) {
            return false;
        }
        let Some(target) = self.streams.get_mut(to) else {
            return false;
        };
        let agreed = target.active().map_or(&[][..], |face| &face.terms.payloads);
        let is_it = |own: &&PayloadBinding| Coding::of(&own.format) == Some(recoded.coding);
        // What was on its way when something else was agreed has nobody to hear it.
        let Some(payload_type) = agreed.iter().find(is_it).map(|own| own.send) else {
            return false;
        };
        let clock_hz = recoded.coding.clock_hz();
        // A pipe goes on under another clock as something new: what was between has had its own time.
        let has_wide_clock = u32::from(clock_hz != 8_000);
        let origin = Origin {
            stream: recoded.stream,
            generation: RECODED | recoded.epoch << 1 | has_wide_clock,
        };
        let is_beside = target.passing.is_some_and(|event| now < event.until);
        if is_shut || is_beside || target.is_muted || target.digits.are_sent() {
            target.outgoing.pass_over(origin, recoded.number);
            return true;
        }
        let packet = Accepted {
            timestamp: recoded.timestamp,
            clock_hz,
            position: Position {
                extended: recoded.number,
                generation: origin.generation,
            },
            payload: HEADER_BYTES..HEADER_BYTES + recoded.length,
            send_as: Some(payload_type),
            ..Accepted::ours()
        };
        let slot = &mut recoded.slot[..];
        // A key that has no index left protects nothing more.
        let Ok(ready) = target.emit(origin, &packet, payload_type, slot, recoded.due) else {
            return true;
        };
        target.generated_packets += 1;
        target.forwarded_at = Some(now);
        let StreamSockets { realm, .. } = target.sockets;
        out.push_generated(realm, to, &ready, slot);
        true
    }

    /// Whether what came last on a stream was G.711 for a peer that has the other law.
    fn changes_law(&self, at: usize) -> bool {
        let heard = self
            .streams
            .get(at)
            .and_then(|own| own.active().zip(own.format()));
        heard.is_some_and(|(face, format)| face.rules.changes_law(format))
    }

    /// Realm in which a packet came that is transcoded, for totals.
    pub fn realm_of(&self, recode: &Recode) -> Option<RealmId> {
        Some(self.streams.get(recode.stream)?.sockets.realm)
    }
}

impl Stream {
    /// Tells this stream's peer of an event; `at` is its index in the session.
    fn pass_event(
        &mut self,
        at: usize,
        (told, flags): (Told, u8),
        accepted: &Accepted,
        (payload_type, clock_hz): (u8, u32),
        now: Timestamp,
        out: &mut Output,
    ) {
        let Position {
            extended,
            generation,
        } = accepted.position;
        let same = self.passing.filter(|own| own.came.0 == generation);
        let known = same.and_then(|own| own.gone_on(told, accepted.timestamp));
        if known.is_none() && same.is_some_and(|own| extended < own.newest) {
            // What is left of an event before the present one would be told as another one.
            return;
        }
        let mut marker = known.is_none();
        let mut event = known.unwrap_or_else(|| PassingEvent {
            event: told.event,
            came: (generation, accepted.timestamp),
            came_before: 0,
            newest: extended,
            is_over: false,
            leaves: (self.outgoing.continued(clock_hz, now).0, now),
            left_before: 0,
            until: now,
        });
        event.newest = event.newest.max(extended);
        event.is_over |= told.is_end;
        event.until = match event.is_over {
            true => now,
            false => now + EVENT_LASTS,
        };
        let units = (event.came_before + u64::from(told.units)) * u64::from(clock_hz);
        let units = units / u64::from(accepted.clock_hz.max(1));
        let Some(left) = units.checked_sub(event.left_before) else {
            // A late packet of a segment that has been told to its end.
            self.passing = Some(event);
            return;
        };
        let full = u64::from(SEGMENT);
        let segments = left.saturating_sub(1) / full;
        let tells = |flags: u8, units: u16| {
            let [high, low] = units.to_be_bytes();
            [told.event, flags, high, low]
        };
        for segment in 0..segments {
            if segments - segment <= MOST_SEGMENTS {
                let payload = tells(flags & !END, SEGMENT);
                self.tell_event(at, &payload, marker, &event, (payload_type, clock_hz), out);
                marker = false;
            }
            event.begin_segment(clock_hz);
        }
        let rest = u16::try_from(left - segments * full).unwrap_or(SEGMENT);
        let payload = tells(flags, rest);
        self.tell_event(at, &payload, marker, &event, (payload_type, clock_hz), out);
        self.passing = Some(event);
    }

    /// Sends one packet of an event that passes.
    fn tell_event(
        &mut self,
        at: usize,
        payload: &[u8; EVENT_BYTES],
        marker: bool,
        event: &PassingEvent,
        (payload_type, clock_hz): (u8, u32),
        out: &mut Output,
    ) {
        let mut room = [0; HEADER_BYTES + EVENT_BYTES + MAX_TRAILER_BYTES];
        room[HEADER_BYTES..HEADER_BYTES + EVENT_BYTES].copy_from_slice(payload);
        let part = Part {
            payload_type,
            marker,
            timestamp: event.leaves.0,
            since: event.leaves.1,
            clock_hz,
            length: EVENT_BYTES,
        };
        self.emit_own(at, &part, &mut room, out);
    }
}

impl PassingEvent {
    /// The event as it goes on with a packet of this timestamp; `None` if that is another event.
    fn gone_on(mut self, told: Told, timestamp: u32) -> Option<Self> {
        if self.event != told.event {
            return None;
        }
        match timestamp.wrapping_sub(self.came.1) {
            0 => {}
            step if step == u32::from(SEGMENT) && !self.is_over => {
                self.came.1 = timestamp;
                self.came_before += u64::from(SEGMENT);
            }
            _ => return None,
        }
        Some(self)
    }

    fn begin_segment(&mut self, clock_hz: u32) {
        let lasts = u64::from(SEGMENT) * 1_000_000 / u64::from(clock_hz.max(1));
        self.leaves.0 = self.leaves.0.wrapping_add(u32::from(SEGMENT));
        self.leaves.1 += Duration::from_micros(lasts);
        self.left_before += u64::from(SEGMENT);
    }
}
