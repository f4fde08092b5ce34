//! Fax over UDPTL (ITU-T T.38): datagrams pass as they are, source and size are checked
//! (MED-330, MED-331).

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
        Ok(self.count_received(packet.len(), now))
    }

    /// Counts a packet of a fax toward this stream's peer and says where that is.
    fn emit_fax(&mut self, length: usize) -> Option<SocketAddr> {
        let to = self.faces.last()?.guard.destination();
        self.count_sent(length);
        Some(to)
    }
}
