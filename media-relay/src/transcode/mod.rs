//! Transcoding: threads of their own, so that no forwarded packet ever waits for an encoder (MED-240).
//!
//! ```text
//! forwarding worker ─ Job ─► bounded queue ─► Pipe: jitter buffer ─► decoder ─► encoder ─┐
//! MediaSession::recoded ◄─ bounded queue ◄──────────────────────────────────── Recoded ─┘
//! ```
//!
//! A session stays with its worker, with its sockets, keys, digits and sounds, also when transcoding begins or
//! ends within a call; only opened payloads go to a transcoding thread and come back. A [`Pipe`] is the state
//! of one direction. It begins with the first payload and is forgotten when none comes any more, so nobody has
//! to tell the thread of agreements or ends.

pub(crate) mod class;
mod jitter;
mod pipe;
#[cfg(test)]
mod tests;

pub use pipe::Pipe;

use crate::codec::{Coding, MAX_PAYLOAD_BYTES};
use crate::g711::Law;
use crate::packet::rtp::HEADER_BYTES;
use crate::session::Recode;
use crate::srtp::MAX_TRAILER_BYTES;
use crate::time::Timestamp;
use media_api::{OpusWishes, SessionId};

/// Room for what is encoded: 60 ms of G.711.
pub(crate) const ENCODED_BYTES: usize = 480;

/// From which codec into which.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Recipe {
    /// What the payload is; `None` for comfort noise (RFC 3389).
    pub from: Option<Coding>,
    /// What comes of it.
    pub to: Coding,
    /// Packet time of what comes of it, one that the codec has.
    pub packet_ms: u8,
}

impl Recipe {
    /// Clock of what is decoded, in Hz.
    fn clock_hz(self) -> u32 {
        self.from.map_or(8_000, Coding::clock_hz)
    }
}

/// How many directions of streams are transcoded: by what comes in, as [`TRANSCODED_FROM`] has it, and by what goes out, as
/// [`TRANSCODED_INTO`] has it.
pub type Transcoded = [[u64; TRANSCODED_INTO.len()]; TRANSCODED_FROM.len()];

/// What may come out of transcoding.
pub const TRANSCODED_INTO: [&str; 4] = ["PCMA", "PCMU", "G722", "opus"];
/// What may come in: also a stream of which there was nothing but comfort noise yet.
pub const TRANSCODED_FROM: [&str; 5] = ["PCMA", "PCMU", "G722", "opus", "CN"];

impl Recipe {
    /// Where it is counted in [`Transcoded`].
    fn place(self) -> (usize, usize) {
        let place = |coding| match coding {
            Coding::G711(Law::A) => 0,
            Coding::G711(Law::Mu) => 1,
            Coding::G722 => 2,
            Coding::Opus => 3,
        };
        (self.from.map_or(4, place), place(self.to))
    }
}

/// What a transcoding thread is to do.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are the large one"
)]
pub(crate) enum Errand {
    /// A payload.
    Recode(Job),
    /// Nobody hears what the pipe of a stream makes in this codec: it is over.
    End {
        session: SessionId,
        stream: usize,
        epoch: u32,
        coding: Coding,
    },
}

/// One payload for a transcoding thread.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which worker it comes from.
    pub(crate) worker: usize,
    pub(crate) session: SessionId,
    pub(crate) stream: usize,
    pub(crate) recipe: Recipe,
    /// What the receiver wants of it, where that is Opus and it has said so.
    pub(crate) wishes: Option<OpusWishes>,
    pub(crate) generation: u32,
    pub(crate) extended: u64,
    pub(crate) timestamp: u32,
    pub(crate) arrived: Timestamp,
    length: usize,
    payload: [u8; MAX_PAYLOAD_BYTES],
}

impl Job {
    /// A packet that a session wants transcoded, in the buffer that it lies in. `None` if it is longer than
    /// any audio.
    pub fn new(
        worker: usize,
        session: SessionId,
        recode: &Recode,
        slot: &[u8],
        arrived: Timestamp,
    ) -> Option<Self> {
        let octets = slot.get(recode.payload.clone())?;
        let mut payload = [0; MAX_PAYLOAD_BYTES];
        payload.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(Self {
            worker,
            session,
            stream: recode.stream,
            recipe: recode.recipe,
            wishes: recode.wishes,
            generation: recode.generation,
            extended: recode.extended,
            timestamp: recode.timestamp,
            arrived,
            length: octets.len(),
            payload,
        })
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload[..self.length]
    }
}

/// One payload that comes back, with room for a header in front of it and for protection behind it.
#[derive(Clone, Debug)]
pub struct Recoded {
    /// The session that it is for.
    pub session: SessionId,
    /// Index of the stream that it came from.
    pub(crate) stream: usize,
    /// What it is encoded in.
    pub coding: Coding,
    /// Which pipe, and which run of it, made it.
    pub(crate) epoch: u32,
    /// Its number there, without gaps.
    pub number: u64,
    /// Its timestamp there, in units of the codec's RTP clock.
    pub timestamp: u32,
    /// When it was due.
    pub due: Timestamp,
    /// Bytes of payload.
    pub length: usize,
    pub(crate) slot: [u8; HEADER_BYTES + ENCODED_BYTES + MAX_TRAILER_BYTES],
}

/// Room for what is made.
impl Default for Recoded {
    fn default() -> Self {
        Self {
            session: SessionId(0),
            stream: 0,
            coding: Coding::G711(Law::A),
            epoch: 0,
            number: 0,
            timestamp: 0,
            due: Timestamp(0),
            length: 0,
            slot: [0; HEADER_BYTES + ENCODED_BYTES + MAX_TRAILER_BYTES],
        }
    }
}

impl Recoded {
    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.slot[HEADER_BYTES..HEADER_BYTES + self.length]
    }
}
