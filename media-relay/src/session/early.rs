//! Secured packets that come before the description with their key are kept a little while (TDR-MED-009).
//!
//! Who answers a call may talk before its answer has arrived here, and so may each fork of it: as long as
//! nothing is final, what no fork that is known has sent may be of one that is not. Anybody can send to a port,
//! so no more than half a second of usual packets is kept, the newest, and everything about them is judged
//! when the key is there.

use super::output::{Outcome, Output};
use super::plan::Path;
use super::{MediaSession, SocketId};
use crate::packet::demux::{self, Class};
use crate::srtp::MAX_TRAILER_BYTES;
use crate::time::Timestamp;
use media_api::{DropReason, Stage};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// How long a packet is kept.
const KEPT_US: u64 = 500_000;
/// Half a second of packets of 20 ms.
const MAX_PACKETS: usize = 25;
/// Larger packets are no telephone audio.
const MAX_BYTES: usize = 512;

/// What came before its key on one stream.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// Whether media of this stream will be secured.
    pub(super) is_wanted: bool,
    /// Whether the packet that is judged lies open now, and so is no use to another key.
    pub(super) is_opened: bool,
    packets: VecDeque<Kept>,
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
    ) -> bool {
        let stream = &mut self.streams[at];
        let was_opened = std::mem::take(&mut stream.early.is_opened);
        let is_early = match why {
            DropReason::NoPath => !stream.was_agreed(),
            DropReason::Source | DropReason::Authentication => {
                let newest = stream.active().map(|face| face.stage);
                newest == Some(Stage::Preview) && !was_opened
            }
            _ => false,
        };
        let is_early = is_early && stream.early.is_wanted;
        let is_rtp = stream.sockets.rtp == socket && demux::classify(packet) == Class::Rtp;
        if !is_early || !is_rtp || packet.len() > MAX_BYTES {
            return false;
        }
        if stream.early.packets.len() == MAX_PACKETS
            && let Some(oldest) = stream.early.packets.pop_front()
        {
            stream.drop_for(oldest.why);
        }
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
            let can_go_on = matches!(stream.path, Path::Forward { .. });
            if stream.early.packets.is_empty() || !stream.was_agreed() || !can_go_on {
                continue;
            }
            for kept in std::mem::take(&mut stream.early.packets) {
                if now.since_us(kept.at) > KEPT_US {
                    self.streams[at].drop_for(kept.why);
                    continue;
                }
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
