//! Audio that passes, in packets as long as its peer asks for: cut or joined between frames (MED-027).
//!
//! A stream is packed anew from the first packet on that is longer or shorter than asked for. From then on all that it
//! sends toward that peer has numbers of its own, events too, because one packet may have become two: an origin of its
//! own, within which a loss stays a gap, as long as what was lost. A packet that comes late has no place any more, so
//! a stream whose packets have fitted for a second passes again as it is.

use super::output::{Outcome, Output};
use super::quality::Position;
use super::sequence::Origin;
use super::stream::{Accepted, Stream};
use super::{MediaSession, StreamSockets};
use crate::packet::rtp::HEADER_BYTES;
use crate::srtp::MAX_TRAILER_BYTES;
use crate::time::Timestamp;
use media_api::{DropReason, Format};

/// Most octets of a packet that leaves: 60 ms of G.711.
const MOST_OCTETS: usize = 480;
/// The longest that is cut, in steps of 10 ms; nobody has to understand more (RFC 3551 §4.2).
const MOST_STEPS: usize = 20;
/// So many packets in a row that fit, and the stream passes as it is.
const ENOUGH: u8 = 50;
/// Octets of G.729 in a frame of 10 ms.
const FRAME: usize = 10;
/// What is no whole number of 5 ms is nothing that a codec has made, and passes as it is.
const GRAIN: usize = 40;
/// Largest gap that is kept, in packets; a longer one is a pause (RFC 3550 A.1).
const MOST_LOST: u64 = 3_000;
/// Set in the generation of an origin that is packed anew, which the receiving stream never counts up to.
const REPACKED: u32 = 1 << 30;
/// Numbers begin here, so that none is below zero.
const FIRST: u64 = 1 << 16;

/// How audio of a codec can be cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Packing {
    /// Octets of the shortest piece, and its units of the RTP clock.
    piece: (usize, u32),
    /// Octets of 10 ms.
    per_10_ms: usize,
    /// What a payload is a whole number of.
    grain: usize,
}

impl Packing {
    /// That of a format; `None` if it cannot be cut without knowing its frames.
    pub(super) fn of(format: &Format) -> Option<Self> {
        let is = |name: &str| format.name.eq_ignore_ascii_case(name) && format.clock_hz == 8_000;
        // An octet of G.722 is two samples, and its clock counts one (RFC 3551 §4.5.2).
        if is("PCMA") || is("PCMU") || is("G722") {
            return Some(Self {
                piece: (1, 1),
                per_10_ms: 80,
                grain: GRAIN,
            });
        }
        is("G729").then_some(Self {
            piece: (FRAME, 80),
            per_10_ms: FRAME,
            grain: FRAME,
        })
    }

    fn octets(self, packet_ms: u8) -> usize {
        let octets = self.per_10_ms * usize::from(packet_ms) / 10;
        let whole = octets - octets % self.piece.0;
        whole.clamp(self.piece.0, MOST_OCTETS)
    }

    /// Whether so many octets are a whole number of frames, and few enough to be cut.
    fn cuts(self, octets: usize) -> bool {
        let longest = self.per_10_ms * MOST_STEPS;
        octets > 0 && octets.is_multiple_of(self.grain) && octets <= longest
    }

    /// Whether so many octets pass as they are to a peer that asks for packets of so many milliseconds.
    pub(super) fn fits(self, octets: usize, packet_ms: u8) -> bool {
        !self.cuts(octets) || self.octets(packet_ms) == octets
    }

    fn units(self, octets: usize) -> u32 {
        (octets / self.piece.0) as u32 * self.piece.1
    }
}

/// The state of a stream that is packed anew.
#[derive(Debug)]
pub(super) struct Repack {
    generation: u32,
    /// What the source's next packet has, if nothing is lost and it does not pause.
    next: u64,
    timestamp: u32,
    /// Units of the newest audio packet that came.
    units: u32,
    /// What was before the next packet was not to be heard.
    is_interrupted: bool,
    /// Packets in a row that fit.
    fitting: u8,
    /// Packets pass as they are, until one does not fit.
    is_idle: bool,
    /// Number of the next packet that leaves.
    number: u64,
    /// What waits for more: octets, payload type and marker.
    held: usize,
    payload_type: u8,
    marker: bool,
    packing: Option<Packing>,
    octets: [u8; MOST_OCTETS],
}

impl Repack {
    fn new(position: Position) -> Box<Self> {
        Box::new(Self {
            generation: position.generation,
            next: position.extended,
            timestamp: 0,
            units: 0,
            is_interrupted: false,
            fitting: 0,
            is_idle: true,
            number: FIRST,
            held: 0,
            payload_type: 0,
            marker: false,
            packing: None,
            octets: [0; MOST_OCTETS],
        })
    }

    fn position(&self) -> Position {
        Position {
            extended: self.number,
            generation: REPACKED | self.generation,
        }
    }

    fn origin(&self, stream: usize) -> Origin {
        Origin {
            stream,
            generation: REPACKED | self.generation,
        }
    }

    /// Begins with this packet, in the memory that is there.
    fn begin(&mut self, accepted: &Accepted) {
        self.generation = accepted.position.generation;
        self.next = accepted.position.extended;
        self.timestamp = accepted.timestamp;
        self.units = 0;
        self.is_interrupted = false;
        self.fitting = 0;
        self.is_idle = false;
        self.held = 0;
        self.marker = false;
        self.packing = None;
    }

    /// Packets that would have left in place of those that were lost before this one.
    fn lost(&self, lost: u64, gap: u32, wanted: u32) -> u64 {
        let wanted = u64::from(wanted.max(1));
        let at_most = lost.saturating_mul(u64::from(self.units)).div_ceil(wanted);
        // A clock that was set back says nothing.
        let packets = match gap < 1 << 31 {
            true => at_most.min(u64::from(gap) / wanted),
            false => at_most,
        };
        packets.min(MOST_LOST)
    }

    /// Whether packets pass as they are.
    pub(super) fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// What comes next follows what was sent last, and nothing of before is heard any more.
    pub(super) fn interrupt(&mut self) {
        self.held = 0;
        self.marker = false;
        self.is_interrupted = true;
    }
}

impl MediaSession {
    /// Sends a packet on that passes, in as many as it takes. `None` if it may pass as it is.
    pub(super) fn repacked(
        &mut self,
        (at, to): (usize, usize),
        accepted: &Accepted,
        send_as: u8,
        slot: &mut [u8],
        now: Timestamp,
        out: &mut Output,
    ) -> Option<Result<Outcome, DropReason>> {
        let target = self.streams.get(to)?;
        let packet_ms = target.active()?.terms.ptime_ms;
        let source = self.streams.get_mut(at)?;
        let octets = accepted.payload.len();
        let packing = accepted.packing.filter(|own| own.cuts(octets));
        let is_fitting = packing.is_none_or(|own| own.fits(octets, packet_ms));
        let is_idle = source.repack.as_ref().is_none_or(|own| own.is_idle);
        if is_idle && is_fitting {
            return None;
        }
        let mut pack = source
            .repack
            .take()
            .unwrap_or_else(|| Repack::new(accepted.position));
        let (generation, extended) = (accepted.position.generation, accepted.position.extended);
        let plain = Origin {
            stream: at,
            generation,
        };
        if is_idle || pack.generation != generation {
            pack.begin(accepted);
            // The same stream goes on under other numbers.
            let target = self.streams.get_mut(to)?;
            let (ours, number) = (pack.origin(at), pack.number);
            target.outgoing.rename((plain, extended), (ours, number));
        }
        pack.fitting = match (is_fitting, packing) {
            (true, Some(_)) => pack.fitting.saturating_add(1),
            (true, None) => pack.fitting,
            (false, _) => 0,
        };
        if pack.fitting > ENOUGH && !pack.is_interrupted && extended >= pack.next {
            let target = self.streams.get_mut(to)?;
            if pack.held == 0 {
                let number = pack.number + (extended - pack.next).min(MOST_LOST);
                let was = (pack.origin(at), number);
                target.outgoing.rename(was, (plain, extended));
                pack.is_idle = true;
                self.streams.get_mut(at)?.repack = Some(pack);
                return None;
            }
            // A rest that would go along for ever: it leaves as it is, and the stream with the next packet.
            target.send_held((at, to), &mut pack, now, out);
        }
        let sent = self.pack(
            (at, to),
            &mut pack,
            packing,
            accepted,
            send_as,
            slot,
            now,
            out,
        );
        self.streams.get_mut(at)?.repack = Some(pack);
        Some(sent)
    }

    #[expect(clippy::too_many_arguments, reason = "a packet, and where it goes")]
    fn pack(
        &mut self,
        (at, to): (usize, usize),
        pack: &mut Repack,
        packing: Option<Packing>,
        accepted: &Accepted,
        send_as: u8,
        slot: &mut [u8],
        now: Timestamp,
        out: &mut Output,
    ) -> Result<Outcome, DropReason> {
        let target = self.streams.get_mut(to).ok_or(DropReason::NoPath)?;
        let packet_ms = target.active().map_or(20, |face| face.terms.ptime_ms);
        let extended = accepted.position.extended;
        let lost = extended
            .checked_sub(pack.next)
            .ok_or(DropReason::Sequence)?;
        let lost = match std::mem::take(&mut pack.is_interrupted) {
            true => 0,
            false => lost,
        };
        let gap = accepted.timestamp.wrapping_sub(pack.timestamp);
        let goes_on = lost == 0 && gap == 0 && !accepted.marker && packing == pack.packing;
        if pack.held > 0 && !(goes_on && packing.is_some() && send_as == pack.payload_type) {
            target.send_held((at, to), pack, now, out);
        }
        if lost > 0 {
            // Of events nobody knows how long they are: each is a packet.
            pack.number += match packing.filter(|_| packing == pack.packing) {
                Some(own) => pack.lost(lost, gap, own.units(own.octets(packet_ms))),
                None => lost.min(MOST_LOST),
            };
        }
        pack.next = extended + 1;
        let Some(own) = packing else {
            let packet = Accepted {
                position: pack.position(),
                ..accepted.clone()
            };
            let origin = pack.origin(at);
            pack.number += 1;
            // An event has the time of its beginning.
            if !accepted.is_event && gap < 1 << 31 {
                pack.timestamp = accepted.timestamp;
            }
            let ready = target.emit(origin, &packet, send_as, slot, now)?;
            target.generated_packets += 1;
            target.forwarded_at = Some(now);
            // It leaves behind what was held before it, not ahead of it with what is forwarded.
            out.push_generated(target.sockets.realm, to, &ready, slot);
            return Ok(Outcome::Taken(accepted.payload.end));
        };
        let payload = slot.get(accepted.payload.clone());
        let mut rest = payload.ok_or(DropReason::Malformed)?;
        pack.packing = packing;
        pack.payload_type = send_as;
        pack.marker |= accepted.marker;
        let wanted = own.octets(packet_ms);
        pack.timestamp = accepted.timestamp;
        pack.units = own.units(rest.len());
        while !rest.is_empty() {
            let (now_held, later) = rest.split_at(rest.len().min(wanted.saturating_sub(pack.held)));
            pack.octets[pack.held..pack.held + now_held.len()].copy_from_slice(now_held);
            pack.held += now_held.len();
            pack.timestamp = pack.timestamp.wrapping_add(own.units(now_held.len()));
            rest = later;
            if pack.held >= wanted {
                target.send_held((at, to), pack, now, out);
            }
        }
        Ok(Outcome::Taken(accepted.payload.end))
    }

    /// What the source sends next follows what was sent last: something else was heard, or nothing on purpose.
    pub(super) fn interrupt_packing(&mut self, at: usize) {
        let source = self.streams.get_mut(at);
        if let Some(pack) = source.and_then(|source| source.repack.as_mut()) {
            pack.interrupt();
        }
    }
}

impl Stream {
    /// Sends what is held, of the stream `at`, to this stream's peer.
    fn send_held(
        &mut self,
        (at, to): (usize, usize),
        pack: &mut Repack,
        now: Timestamp,
        out: &mut Output,
    ) {
        let held = std::mem::take(&mut pack.held);
        let Some(own) = pack.packing.filter(|_| held > 0) else {
            return;
        };
        let packet = Accepted {
            marker: std::mem::take(&mut pack.marker),
            timestamp: pack.timestamp.wrapping_sub(own.units(held)),
            clock_hz: 8_000,
            position: pack.position(),
            payload: HEADER_BYTES..HEADER_BYTES + held,
            send_as: Some(pack.payload_type),
            ..Accepted::ours()
        };
        let origin = pack.origin(at);
        pack.number += 1;
        let mut room = [0; HEADER_BYTES + MOST_OCTETS + MAX_TRAILER_BYTES];
        room[HEADER_BYTES..HEADER_BYTES + held].copy_from_slice(&pack.octets[..held]);
        // A key that has no index left protects nothing more.
        let Ok(ready) = self.emit(origin, &packet, pack.payload_type, &mut room, now) else {
            return;
        };
        self.generated_packets += 1;
        self.forwarded_at = Some(now);
        let StreamSockets { realm, .. } = self.sockets;
        out.push_generated(realm, to, &ready, &room);
    }
}
