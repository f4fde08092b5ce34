//! The express: a stream whose packets only get other headers may be forwarded by the interface itself.
//!
//! The session says exactly what the next packet has to be and what becomes of it ([`Express`]); whoever forwards takes
//! that one packet, then the one behind it, and nothing else. What has passed is told in sum ([`Passed`]) before anything
//! looks at the session again: a packet, an order, a deadline. So nothing here knows of the express but these two, and
//! what can be seen of a session is the same with it and without it.
//!
//! Only streams qualify for which this session would do nothing but forward: neither leg is protected, nobody captures,
//! plays, dials, listens for tones or transcodes, both are pinned, and the newest packet was forwarded as it came.

use super::change::Change;
use super::plan::Path;
use super::rate::Credit;
use super::sequence::Origin;
use super::source::Evidence;
use super::stream::{QUIET_BYTES, Stream};
use super::{MediaSession, SocketId};
use crate::packet::rtp::HEADER_BYTES;
use crate::time::Timestamp;
use media_api::{Content, RealmId, Stage};
use std::net::SocketAddr;
use std::num::NonZeroU16;

/// The longest payload: more than 60 ms of G.711.
pub(crate) const MOST_BYTES: u16 = 1_000;
/// A jitter that far above all sense is not gone on with.
const MOST_JITTER_16: u32 = 1 << 30;
/// Units by which a packet may come earlier than the one before it did; at more its clock was set anew.
pub(crate) const MOST_EARLY: i32 = 1 << 24;

/// What a stream's next packet has to be, and what is written into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Express {
    /// Who sends it.
    pub(crate) from: SocketAddr,
    /// The socket that it leaves from, and where to.
    pub(crate) socket: SocketId,
    pub(crate) to: SocketAddr,
    /// What it has to have.
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    /// Least and most octets of payload.
    pub(crate) octets: (u16, u16),
    /// What it gets.
    pub(crate) send_ssrc: u32,
    pub(crate) send_as: u8,
    /// What is added to its numbers.
    pub(crate) sequence_shift: u16,
    pub(crate) timestamp_shift: u32,
    pub(crate) pace: Pace,
}

/// How packets have come so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pace {
    pub(crate) clock_hz: u32,
    /// RTP timestamp and transit of the newest, sixteen times the jitter after it, and when it came.
    pub(crate) timestamp: u32,
    pub(crate) transit: u32,
    pub(crate) jitter_16: u32,
    pub(crate) heard_at: Timestamp,
    /// What a packet costs of the rate, and what is left of it.
    pub(crate) credit: Credit,
}

/// What has passed since the express began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Passed {
    pub(crate) packets: u32,
    /// Octets of payload.
    pub(crate) octets: u64,
    /// As in [`Pace`].
    pub(crate) timestamp: u32,
    pub(crate) transit: u32,
    pub(crate) jitter_16: u32,
    pub(crate) heard_at: Timestamp,
    pub(crate) credit_us: u64,
    /// Largest jitter, and the sum of those after each packet.
    pub(crate) max_jitter_16: u32,
    pub(crate) jitter_sum_16: u64,
    /// Longest time between two packets.
    pub(crate) gap_us: u64,
}

/// A packet that went on as it had come, under a header of ours, and had nothing but a header and a payload that is not
/// too long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    /// Payload type that it came with.
    pub(super) payload_type: u8,
    /// Octets of its payload.
    pub(super) octets: NonZeroU16,
}

impl Passed {
    /// Octets of header and payload.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.packets) * HEADER_BYTES as u64 + self.octets
    }
}

impl MediaSession {
    /// What the next packet on a socket has to be so that nothing but forwarding becomes of it; `None` if something else
    /// may. Changes nothing.
    pub(crate) fn express(&self, socket: SocketId, now: Timestamp) -> Option<Express> {
        let mut streams = self.streams.iter();
        let at = streams.position(|stream| stream.sockets.rtp == socket)?;
        let own = self.streams.get(at)?;
        let Path::Forward { to } = own.path else {
            return None;
        };
        let target = self.streams.get(to)?;
        let plain = own.plain?;
        let ([face], [peer]) = (&own.faces[..], &target.faces[..]) else {
            return None;
        };
        for (stream, face) in [(own, face), (target, peer)] {
            let is_plain = face.is_open()
                && !face.is_secure()
                && face.terms.content == Content::Rtp
                && face.stage == Stage::Final;
            if !is_plain || stream.copies.is_some() {
                return None;
            }
        }
        let rule = face.rules.of(plain.payload_type)?;
        let is_audio = !rule.is_event && !rule.is_noise && own.format() == Some(rule.format);
        let is_heard = own.air.has_sound || rule.law.is_none();
        let is_cut = own.repack.as_ref().is_some_and(|pack| !pack.is_idle());
        let is_disturbed = own.is_blocked
            || own.is_quiet
            || is_cut
            || own.digits.look_at_audio(now)
            || target.is_muted
            || target.digits.are_sent()
            || target.comfort_deadline().is_some()
            || !self.sounds.is_empty()
            || self.hands_over(at).is_some();
        if !is_audio || !is_heard || is_disturbed || rule.change != Change::None {
            return None;
        }
        if !face.terms.direction.receives() {
            return None;
        }
        let from = face.guard.only_source()?;
        let newest = own.reception.newest()?;
        let ssrc = own.reception.ssrc()?;
        if ssrc == own.outgoing.ssrc && from != face.terms.remote_rtp {
            return None;
        }
        let origin = Origin {
            stream: at,
            generation: newest.generation,
        };
        let (sequence_shift, timestamp_shift) =
            target
                .outgoing
                .follows(origin, newest.extended, rule.clock_hz)?;
        let pace = own.reception.pace(face.party, rule.clock_hz)?;
        let pace = Pace {
            credit: own.rate.left_at(pace.heard_at)?,
            ..pace
        };
        if pace.jitter_16 > MOST_JITTER_16 {
            return None;
        }
        let octets = match rule.packing {
            // What it asks for may have changed since that packet.
            Some(packing) if !packing.fits(plain.octets.get().into(), peer.terms.ptime_ms) => {
                return None;
            }
            // Of another length it would be packed anew.
            Some(_) => (plain.octets.get(), plain.octets.get()),
            None => (0, MOST_BYTES),
        };
        let least = QUIET_BYTES as u16 + 1;
        if octets.1 < least || octets.1 > MOST_BYTES {
            return None;
        }
        Some(Express {
            from,
            socket: target.sockets.rtp,
            to: peer.guard.destination(),
            ssrc,
            payload_type: plain.payload_type,
            sequence: (newest.extended as u16).wrapping_add(1),
            octets: (octets.0.max(least), octets.1),
            send_ssrc: target.outgoing.ssrc,
            send_as: rule.send_as?,
            sequence_shift,
            timestamp_shift,
            pace,
        })
    }

    /// The realm into which packets of a socket are forwarded.
    pub(crate) fn forwards_to(&self, socket: SocketId) -> Option<RealmId> {
        let mut streams = self.streams.iter();
        let own = streams.find(|stream| stream.sockets.rtp == socket)?;
        let Path::Forward { to } = own.path else {
            return None;
        };
        Some(self.streams.get(to)?.sockets.realm)
    }

    /// Takes into account what has passed since [`Self::express`] was asked for this socket. Says into which realm it was
    /// sent.
    pub(crate) fn passed(&mut self, socket: SocketId, passed: &Passed) -> Option<RealmId> {
        if passed.packets == 0 {
            return None;
        }
        let mut streams = self.streams.iter();
        let at = streams.position(|stream| stream.sockets.rtp == socket)?;
        let own = self.streams.get_mut(at)?;
        own.reception.pass(passed);
        own.rate.spend(passed.heard_at, passed.credit_us);
        own.count_passed(passed);
        let last = Evidence {
            ssrc: own.reception.ssrc().unwrap_or_default(),
            sequence: own.reception.newest()?.extended as u16,
            timestamp: passed.timestamp,
            authentic: false,
        };
        if let Some(face) = own.faces.last_mut() {
            face.guard.heard(last, passed.heard_at);
        }
        let Path::Forward { to } = own.path else {
            return None;
        };
        let target = self.streams.get_mut(to)?;
        target.outgoing.pass(passed);
        target.sent_packets += u64::from(passed.packets);
        target.sent_bytes += passed.bytes();
        target.forwarded_at = Some(passed.heard_at);
        Some(target.sockets.realm)
    }
}

impl Stream {
    /// Counts what has passed without being seen here.
    fn count_passed(&mut self, passed: &Passed) {
        let at = Some(passed.heard_at);
        // A report may have come later.
        self.heard_at = self.heard_at.max(at);
        self.rtp_at = at;
        self.received_packets += u64::from(passed.packets);
        self.received_bytes += passed.bytes();
        self.is_quiet = false;
    }
}

#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
mod tests;
