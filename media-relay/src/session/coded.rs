//! What is ours on a stream whose codec only those who transcode have: sounds and tones of digits on their way to them
//! and back, and audio in which they find tones for us.
//!
//! ```text
//! a sound, a tone ─ A-law ─► pipe ─ G.722, Opus ─► the stream's peer
//! the stream's peer ─ G.722, Opus ─► pipe ─ A-law ─► whoever looks for tones
//! ```
//!
//! So no forwarded packet waits for a codec here either, and a pipe of ours is one as all others: it begins with what it
//! is given, and is forgotten when nothing comes any more, or nobody hears it. It is told from those of peers' audio by
//! the number of its stream.

use super::MediaSession;
use super::change::Recode;
use super::digit::listen::Piece;
use super::output::Output;
use super::quality::Position;
use super::sequence::Origin;
use super::stream::{Accepted, Stream};
use crate::codec::Coding;
use crate::g711::Law;
use crate::packet::rtp::HEADER_BYTES;
use crate::time::Timestamp;
use crate::transcode::{Recipe, Recoded};
use media_api::{Event, OpusWishes};
use std::time::Duration;

/// What goes to those who transcode, and what comes back of what peers send.
pub(super) const BETWEEN: Coding = Coding::G711(Law::A);

/// Set in the generation of an origin that is made by them, which the receiving stream never counts up to.
const MADE: u32 = 1 << 31;

/// Packet time of audio in which tones are looked for, in milliseconds.
const LISTENS_MS: u8 = 20;

/// What a pipe of ours is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// A sound for the stream's peer.
    Sound,
    /// A tone of a digit for the stream's peer.
    Digit,
    /// Audio of the stream's peer, to be looked for tones in.
    Ear,
}

impl Use {
    /// Above the number of any stream of a session.
    const SHIFT: u32 = usize::BITS - 2;

    /// The number of the pipe for a stream.
    const fn of(self, at: usize) -> usize {
        let mark: usize = match self {
            Self::Sound => 1,
            Self::Digit => 2,
            Self::Ear => 3,
        };
        mark << Self::SHIFT | at
    }

    /// What the pipe with this number is for, and the stream; `None` if it is of a peer's audio.
    const fn read(number: usize) -> Option<(Self, usize)> {
        let at = number & ((1 << Self::SHIFT) - 1);
        match number >> Self::SHIFT {
            1 => Some((Self::Sound, at)),
            2 => Some((Self::Digit, at)),
            3 => Some((Self::Ear, at)),
            _ => None,
        }
    }
}

/// A part of something of ours: its place among the others, in 8,000 units a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piecewise {
    pub(super) generation: u32,
    pub(super) number: u64,
    pub(super) timestamp: u32,
}

fn recode((what, at): (Use, usize), recipe: Recipe, piece: Piecewise) -> Recode {
    Recode {
        stream: what.of(at),
        recipe,
        wishes: None,
        generation: piece.generation,
        extended: piece.number,
        timestamp: piece.timestamp,
        payload: 0..0,
    }
}

impl Stream {
    /// Has a part of a sound or a tone, in A-law, encoded for this stream's peer; `at` is the stream's index in the session.
    pub(super) fn have_made(
        &self,
        (what, at): (Use, usize),
        (to, packet_ms): (Coding, u8),
        piece: Piecewise,
        payload: &[u8],
        out: &mut Output,
    ) {
        let recipe = Recipe {
            from: Some(BETWEEN),
            to,
            packet_ms: to.packet_ms(packet_ms),
        };
        let recode = Recode {
            wishes: self.wishes_of(to),
            ..recode((what, at), recipe, piece)
        };
        out.push_own_recode(recode, payload);
    }

    /// What the peer wants of what is made for it in this codec, if it is Opus and it has said so.
    pub(super) fn wishes_of(&self, coding: Coding) -> Option<OpusWishes> {
        if coding != Coding::Opus {
            return None;
        }
        let mut agreed = self.active()?.terms.payloads.iter();
        agreed.find_map(|own| own.format.opus_wishes())
    }

    /// Has audio of this stream's peer decoded, if tones are looked for in it and it is in such a codec; `at` is the
    /// stream's index in the session.
    pub(super) fn overhear(
        &self,
        at: usize,
        accepted: &Accepted,
        payload: &[u8],
        out: &mut Output,
    ) {
        let Some(from) = self.coding_of(accepted.payload_type) else {
            return;
        };
        let recipe = Recipe {
            from: Some(from),
            to: BETWEEN,
            packet_ms: LISTENS_MS,
        };
        let piece = Piecewise {
            generation: accepted.position.generation,
            number: accepted.position.extended,
            timestamp: accepted.timestamp,
        };
        out.push_own_recode(recode((Use::Ear, at), recipe, piece), payload);
    }

    /// What the peer sends under this payload type, if it is such a codec.
    fn coding_of(&self, payload_type: u8) -> Option<Coding> {
        let mut agreed = self.active()?.terms.payloads.iter();
        let binding = agreed.find(|own| own.receive == payload_type)?;
        Coding::beyond_g711(&binding.format)
    }

    /// Sends what was encoded of something of ours, if it may be heard now.
    fn emit_made(
        &mut self,
        (at, payload_type): (usize, u8),
        is_heard: bool,
        recoded: &mut Recoded,
        out: &mut Output,
    ) {
        let clock_hz = recoded.coding.clock_hz();
        // A pipe that goes on under another clock is another origin.
        let has_wide_clock = u32::from(clock_hz != 8_000);
        let origin = Origin {
            stream: at,
            generation: MADE | recoded.epoch << 1 | has_wide_clock,
        };
        if !is_heard {
            return self.outgoing.pass_over(origin, recoded.number);
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
        let (slot, due) = (&mut recoded.slot[..], recoded.due);
        // A key that has no index left protects nothing more.
        if let Ok(ready) = self.emit(origin, &packet, payload_type, slot, due) {
            self.generated_packets += 1;
            let wished = self.active().map_or(20, |face| face.terms.ptime_ms);
            let packet_ms = recoded.coding.packet_ms(wished);
            self.outgoing
                .covers(Duration::from_millis(packet_ms.into()));
            out.push_generated(self.sockets.realm, at, &ready, slot);
        }
    }
}

impl MediaSession {
    /// What comes back of what is ours; `None` if it is a peer's audio. False if nobody hears it, and what else that pipe
    /// makes.
    pub(super) fn own_recoded(
        &mut self,
        recoded: &mut Recoded,
        now: Timestamp,
        out: &mut Output,
    ) -> Option<bool> {
        let (what, at) = Use::read(recoded.stream)?;
        let is_heard = match what {
            Use::Sound => self.sound_recoded(at, recoded, now, out),
            Use::Digit => self.digit_recoded(at, recoded, out),
            Use::Ear => self.overheard(at, recoded, now, out),
        };
        Some(is_heard)
    }

    fn sound_recoded(
        &mut self,
        at: usize,
        recoded: &mut Recoded,
        now: Timestamp,
        out: &mut Output,
    ) -> bool {
        let mut sounds = self.sounds.iter();
        let found = sounds.find_map(|own| Some((own, own.sent_as(at, recoded.coding)?)));
        let (Some((sound, payload_type)), Some(stream)) = (found, self.streams.get_mut(at)) else {
            return false;
        };
        let is_heard = stream.sends() && !stream.digits.are_sent() && !sound.waits(stream, now);
        stream.emit_made((at, payload_type), is_heard, recoded, out);
        true
    }

    fn digit_recoded(&mut self, at: usize, recoded: &mut Recoded, out: &mut Output) -> bool {
        let Some(stream) = self.streams.get_mut(at) else {
            return false;
        };
        match stream.digits.dialled_in() {
            Some((payload_type, coding)) if coding == recoded.coding => {
                let is_heard = stream.sends();
                stream.emit_made((at, payload_type), is_heard, recoded, out);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Audio of a peer is decoded: tones in it are told as those of G.711 are.
    fn overheard(
        &mut self,
        at: usize,
        recoded: &Recoded,
        now: Timestamp,
        out: &mut Output,
    ) -> bool {
        let Some(stream) = self.streams.get_mut(at) else {
            return false;
        };
        let piece = Piece {
            generation: recoded.epoch,
            extended: recoded.number,
            timestamp: recoded.timestamp,
        };
        let payload = recoded.payload();
        let Some(found) = stream.digits.overhear(payload, piece, now, out) else {
            return false;
        };
        self.report(found.ended, at, out);
        if let Some(digit) = found.begun {
            out.events.push(Event::DigitBegun {
                session: self.id(),
                endpoint: self.endpoint_of(at),
                digit,
            });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_of_ours_are_told_from_those_of_peers_and_from_each_other() {
        for at in [0, 1, 4_711] {
            assert_eq!(Use::read(at), None);
            for what in [Use::Sound, Use::Digit, Use::Ear] {
                assert_eq!(Use::read(what.of(at)), Some((what, at)));
            }
        }
    }
}
