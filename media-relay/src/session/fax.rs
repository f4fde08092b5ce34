//! Fax over UDPTL (ITU-T T.38): datagrams pass as they are, source and size are checked, and their numbers are counted
//! (MED-330, MED-331).
//!
//! No number keeps a datagram back. Machines send one again for redundancy, and what comes late has the packets before it
//! inside (T.38 §9.1): the one that is dropped may be the one that saves a page.

use super::MediaSession;
use super::output::{Forward, Outcome, Output};
use super::plan::Path;
use super::source::{Evidence, Learned};
use super::stream::Stream;
use crate::time::Timestamp;
use media_api::DropReason;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// A sequence number and the length of an empty primary packet at least; at most what an Ethernet
/// frame holds.
const DATAGRAM_BYTES: RangeInclusive<usize> = 3..=1472;

impl MediaSession {
    pub(super) fn fax(
        &mut self,
        at: usize,
        from: SocketAddr,
        slot: &[u8],
        length: usize,
        now: Timestamp,
        out: &mut Output,
    ) -> Result<Outcome, DropReason> {
        let packet = slot.get(..length).ok_or(DropReason::Malformed)?;
        let stream = &mut self.streams[at];
        let path = stream.path;
        let accepted = stream.accept_fax(from, packet, now);
        self.tell_pinned(at, now, out);
        if accepted? {
            self.tell_first_media(at, out);
        }
        if self.hands_over(at).is_some() {
            // Fax machines do not change calls.
            return Err(DropReason::NoPath);
        }
        let to = match path {
            Path::Forward { to } => to,
            Path::Blocked(reason) => return Err(reason),
        };
        let target = self.streams.get_mut(to).ok_or(DropReason::NoPath)?;
        let address = target.emit_fax(length).ok_or(DropReason::NoPath)?;
        Ok(Outcome::Forward(Forward {
            socket: target.sockets.rtp,
            to: address,
            range: 0..length,
            realm: target.sockets.realm,
            received_bytes: length,
            plain_bytes: length,
            stream: to,
        }))
    }
}

impl Stream {
    /// Judges one packet of a fax; true if it is the first of the stream.
    fn accept_fax(
        &mut self,
        from: SocketAddr,
        packet: &[u8],
        now: Timestamp,
    ) -> Result<bool, DropReason> {
        let (Some(sequence), true) = (
            packet.first_chunk().copied().map(u16::from_be_bytes),
            DATAGRAM_BYTES.contains(&packet.len()),
        ) else {
            return Err(DropReason::Malformed);
        };
        let face = self.faces.last_mut().ok_or(DropReason::NoPath)?;
        if face.guard.standing(from, now).is_none() {
            return Err(DropReason::Source);
        }
        let evidence = Evidence {
            ssrc: 0,
            sequence,
            timestamp: u32::from(sequence),
            authentic: false,
        };
        match face.guard.learn(from, evidence, now) {
            Learned::Known => {}
            Learned::Pinned => self.pinned_news = Some(from),
            Learned::NotYet => return Err(DropReason::Source),
        }
        if !self.rate.admits(now) {
            return Err(DropReason::Rate);
        }
        if !face.terms.direction.receives() {
            return Err(DropReason::Direction);
        }
        // Once for each fax: calls without one have no room for it.
        self.fax.get_or_insert_default().note(sequence);
        Ok(self.count_received(packet.len(), now))
    }

    /// Counts a packet of a fax toward this stream's peer and says where that is.
    fn emit_fax(&mut self, length: usize) -> Option<SocketAddr> {
        let to = self.faces.last()?.guard.destination();
        self.count_sent(length);
        Some(to)
    }
}

/// How far a number may be ahead, and behind, before it is another beginning: as with RTP (RFC 3550 A.1).
const AHEAD: u16 = 3_000;
const BEHIND: u16 = 100;

/// What the numbers of a fax's datagrams say.
#[derive(Debug, Default)]
pub(super) struct FaxNumbers {
    highest: Option<u16>,
    /// Bit n: `highest - n` has come.
    seen: u128,
    /// The number that would confirm another beginning.
    confirms: Option<u16>,
    /// Numbers that have been left out and have not come since.
    pub(super) lost: i64,
    /// Datagrams that came behind a later one.
    pub(super) late: u64,
    /// Datagrams whose number had come before.
    pub(super) repeated: u64,
}

impl FaxNumbers {
    /// Another fax may begin: numbers are those of a new row.
    pub(super) fn begin(&mut self) {
        self.highest = None;
        self.confirms = None;
    }

    fn note(&mut self, number: u16) {
        let Some(highest) = self.highest else {
            return self.go_on_at(number);
        };
        let (ahead, behind) = (number.wrapping_sub(highest), highest.wrapping_sub(number));
        let confirms = self.confirms.take();
        if ahead == 0 {
            self.repeated += 1;
        } else if ahead < AHEAD {
            self.lost += i64::from(ahead - 1);
            self.seen = self.seen.checked_shl(ahead.into()).unwrap_or(0) | 1;
            self.highest = Some(number);
        } else if behind <= BEHIND {
            let bit = 1 << behind;
            match self.seen & bit {
                0 => {
                    self.late += 1;
                    self.lost -= 1;
                    self.seen |= bit;
                }
                _ => self.repeated += 1,
            }
        } else if confirms == Some(number) {
            self.go_on_at(number);
        } else {
            self.confirms = Some(number.wrapping_add(1));
        }
    }

    /// What came before the first number of a row was not lost.
    fn go_on_at(&mut self, number: u16) {
        self.highest = Some(number);
        self.seen = u128::MAX;
    }
}
