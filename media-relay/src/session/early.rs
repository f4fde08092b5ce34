//! Secured packets that come before what says whose they are, are kept a little while (TDR-MED-009).
//!
//! | what is missing             | until                | kept is                                    |
//! |-----------------------------|----------------------|--------------------------------------------|
//! | the first description       | it is there          | everything                                 |
//! | that of another fork        | anything is final    | what nobody who is known has sent          |
//! | the answer to an offer      | it is there          | the same                                   |
//! | a check from where it comes | a pair is nominated  | what comes from places that nobody knows   |
//! | the same after a restart    | a pair is nominated  | what comes from places that somebody knows |
//!
//! Who answers a call may talk before its answer has arrived here, and before its checks have; so may who answers an
//! offer of ours within the call, under a key that only that answer tells, or from elsewhere. Everything is judged
//! when the key or the check is there, in the order in which it came, and what has waited for more than half a second
//! is dropped, whether or not anything comes. After a restart the pair of before serves, maybe for the rest of the call,
//! and no stranger is waited for.
//!
//! Anybody can send to a port, and what cannot be opened yet cannot be told from noise. So each source has the room of
//! half a second of usual packets, and sources are few. All who are unknown have the room of two such together: where it
//! is full, who has most gives way to who has less, so that everybody has a quarter of it at least. Where the number of
//! sources is full, somebody who has sent no more than a packet, and was not the first, gives way to another; and
//! everybody to who has shown to be a peer of ours: by a check with our password, by a packet that a key has opened, or
//! because a description names its address. Who has, loses nothing to anybody.

use super::output::{Outcome, Output};
use super::plan::Path;
use super::stream::Stream;
use super::{MediaSession, SocketId};
use crate::packet::demux::{self, Class};
use crate::srtp::MAX_TRAILER_BYTES;
use crate::time::Timestamp;
use media_api::{DropReason, EXPECTED_MS, Stage};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a packet is kept.
const KEPT: Duration = Duration::from_millis(500);
/// Half a second of packets of 20 ms.
const MAX_PACKETS: usize = 25;
/// Packets of all whom nobody knows.
const MAX_UNKNOWN: usize = 2 * MAX_PACKETS;
/// Places that packets are kept of.
const MAX_SOURCES: usize = 4;
/// Larger packets are no telephone audio.
const MAX_BYTES: usize = 512;

/// What came too early on one stream.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// Whether media of this stream will be secured.
    pub(super) is_wanted: bool,
    /// Whether the packet that is judged lies open now, and so is no use to another key.
    pub(super) is_opened: bool,
    /// In the order in which they came.
    packets: VecDeque<Kept>,
    /// Until when the peer may answer an offer of ours, in [`period`]s: a call has no room for more. None is at 0.
    answer_until: u32,
}

#[derive(Debug)]
struct Kept {
    socket: SocketId,
    from: SocketAddr,
    at: Timestamp,
    /// Why it would be dropped as things are.
    why: DropReason,
    bytes: Box<[u8]>,
}

impl MediaSession {
    /// Keeps a packet whose sender may be known soon; false if it is none to be kept.
    pub(super) fn keep_early(
        &mut self,
        at: usize,
        socket: SocketId,
        from: SocketAddr,
        packet: &[u8],
        (why, now): (DropReason, Timestamp),
        out: &mut Output,
    ) -> bool {
        let stream = &mut self.streams[at];
        let was_opened = std::mem::take(&mut stream.early.is_opened);
        let is_rtp = stream.sockets.rtp == socket && demux::classify(packet) == Class::Rtp;
        if !stream.early.is_wanted || was_opened || !is_rtp || packet.len() > MAX_BYTES {
            return false;
        }
        let newest = stream.active().map(|face| face.stage);
        let may_be_fork = newest == Some(Stage::Preview);
        let may_be_answer = stream.early.awaits_answer(now);
        let is_early = match why {
            DropReason::NoPath => !stream.was_agreed(),
            DropReason::Source => {
                may_be_fork
                    // Who checks is found by its checks.
                    || (may_be_answer && !stream.has_checks())
                    || stream.awaits_strangers()
                    || (stream.awaits_nomination() && stream.knows(from))
            }
            // It may have the numbers of another one: forks may be alike in everything but their keys, and who
            // answers with another key goes on counting.
            DropReason::Authentication | DropReason::Replay => {
                (may_be_fork || may_be_answer) && !stream.ring.repeats(packet)
            }
            _ => false,
        };
        if !is_early || !stream.makes_room(from, now) {
            return false;
        }
        out.is_sooner |= stream.early.packets.is_empty();
        stream.early.packets.push_back(Kept {
            socket,
            from,
            at: now,
            why,
            bytes: packet.into(),
        });
        true
    }

    /// Judges what was kept, where there is a key now and somebody to hear it.
    pub(super) fn replay_early(&mut self, now: Timestamp, out: &mut Output) {
        for at in 0..self.streams.len() {
            let stream = &mut self.streams[at];
            stream.expire_early(now);
            let can_go_on = matches!(stream.path, Path::Forward { .. });
            if stream.early.packets.is_empty() || !stream.was_agreed() || !can_go_on {
                continue;
            }
            for kept in std::mem::take(&mut stream.early.packets) {
                let mut slot = [0; MAX_BYTES + MAX_TRAILER_BYTES];
                let length = kept.bytes.len();
                slot[..length].copy_from_slice(&kept.bytes);
                let outcome = self.packet(kept.socket, kept.from, &mut slot, length, now, out);
                let realm = self.streams[at].sockets.realm;
                match outcome {
                    Outcome::Forward(forward) => {
                        let packet = slot.get(forward.range.clone()).unwrap_or_default();
                        out.push_forward(&forward, realm, packet);
                    }
                    Outcome::Recode(recode) => out.push_recode(recode, realm, &slot),
                    Outcome::Taken(bytes) => out.received.push((realm, bytes)),
                    // It may be of another fork still, and is no younger for that.
                    Outcome::Kept => {
                        if let Some(again) = self.streams[at].early.packets.back_mut() {
                            again.at = kept.at;
                        }
                    }
                    Outcome::Handed(_)
                    | Outcome::Report
                    | Outcome::Checked
                    | Outcome::Dropped(_) => {}
                }
            }
        }
    }
}

/// Which 65,536 microseconds since the start a time belongs to; they are counted for nine years.
fn period(at: Timestamp) -> u32 {
    u32::try_from(at.0 >> 16).unwrap_or(u32::MAX)
}

impl Early {
    /// An offer of ours is on its way to the peer, which has agreed to something before.
    pub(super) fn expect_answer(&mut self, now: Timestamp) {
        self.answer_until = period(now + Duration::from_millis(EXPECTED_MS));
    }

    /// It is answered or refused.
    pub(super) fn answered(&mut self) {
        self.answer_until = 0;
    }

    fn awaits_answer(&self, now: Timestamp) -> bool {
        period(now) < self.answer_until
    }
}

impl Stream {
    /// Drops what has waited for too long.
    pub(super) fn expire_early(&mut self, now: Timestamp) {
        while self.early_deadline().is_some_and(|due| due <= now)
            && let Some(old) = self.early.packets.pop_front()
        {
            self.refuse(old.from, old.why);
        }
    }

    /// When [`Self::expire_early`] has something to do.
    pub(super) fn early_deadline(&self) -> Option<Timestamp> {
        let oldest = self.early.packets.front();
        oldest.map(|kept| kept.at + KEPT + Duration::from_micros(1))
    }

    /// Whether a packet from there may be kept; what has to give way for it is dropped.
    fn makes_room(&mut self, from: SocketAddr, now: Timestamp) -> bool {
        self.expire_early(now);
        let mut sources = [(None, 0); MAX_SOURCES];
        for kept in &self.early.packets {
            let of = sources
                .iter_mut()
                .find(|(own, _)| own.is_none_or(|own| own == kept.from));
            if let Some((own, packets)) = of {
                *own = Some(kept.from);
                *packets += 1;
            }
        }
        let is_known = self.knows(from);
        let own = sources.iter().find(|(own, _)| *own == Some(from));
        let own = own.map(|(_, packets)| *packets);
        if own.is_none() && sources.iter().all(|(own, _)| own.is_some()) {
            // Who came first stays, so that a flood from many places cannot wash it away packet by packet.
            let (most, stay) = match is_known {
                true => (MAX_PACKETS, 0),
                false => (1, 1),
            };
            let others = sources.iter_mut().skip(stay);
            let others = others.filter_map(|(own, packets)| Some(((*own)?, packets)));
            let others = others.filter(|(own, packets)| **packets <= most && !self.knows(*own));
            let Some((least, packets)) = others.min_by_key(|(_, packets)| **packets) else {
                return false;
            };
            self.give_up(least, std::mem::take(packets));
        }
        let own = own.unwrap_or(0);
        if own >= MAX_PACKETS {
            self.give_up(from, 1);
            return true;
        }
        if is_known {
            return true;
        }
        let unknown = sources
            .iter()
            .filter_map(|(own, packets)| Some(((*own)?, *packets)))
            .filter(|(own, _)| !self.knows(*own));
        let all: usize = unknown.clone().map(|(_, packets)| packets).sum();
        if all >= MAX_UNKNOWN {
            let most = unknown.max_by_key(|(_, packets)| *packets);
            let most = most.filter(|(_, packets)| *packets > own + 1);
            self.give_up(most.map_or(from, |(most, _)| most), 1);
        }
        true
    }

    /// Drops so many packets from there, the oldest first.
    fn give_up(&mut self, from: SocketAddr, packets: usize) {
        for _ in 0..packets {
            let mut kept = self.early.packets.iter();
            let oldest = kept.position(|kept| kept.from == from);
            if let Some(kept) = oldest.and_then(|at| self.early.packets.remove(at)) {
                self.refuse(kept.from, kept.why);
            }
        }
    }

    /// Whether somebody there has shown to be a peer of ours, or is described to be.
    fn knows(&self, at: SocketAddr) -> bool {
        let is_peer = |face: &super::stream::Face| {
            face.guard.pinned() == Some(at)
                || face.terms.remote_rtp == at
                || face.guard.checked().is_some_and(|own| own.announces(at))
        };
        self.faces.iter().any(is_peer) || self.agent.has_seen(at)
    }
}
