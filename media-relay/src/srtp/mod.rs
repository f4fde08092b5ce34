//! SRTP and SRTCP in the packet's own buffer: RFC 3711 with AES in counter mode and HMAC-SHA1, with
//! longer keys (RFC 6188), and with AES in Galois/counter mode (RFC 7714).
//!
//! [`Sender`] protects what we send under one of our keys, [`Receiver`] opens what a peer sends
//! under one of its keys. Both change a packet in place: the payload is ciphered where it lies, the
//! tag is written behind it. A packet that fails authentication leaves the receiver and the packet
//! exactly as they were (MED-033, SEC-111).

mod aes;
mod context;
mod counter;
mod galois;
mod kdf;
mod mac;
mod rekey;
mod replay;
mod transform;
mod wear;

pub use context::{Receiver, Sender};
pub(crate) use mac::HmacSha1;
pub(crate) use rekey::{Agreed, KeyRing, PeerKeys, Print};
pub(crate) use wear::{MOST_REPORTS, Wear};

/// Most bytes that protection adds to an RTP or RTCP packet: SRTCP index and a 128-bit tag.
pub const MAX_TRAILER_BYTES: usize = 20;
/// Bytes of an RTCP header with its SSRC, which stay in the clear.
const RTCP_CLEAR_BYTES: usize = 8;

/// Which protocol a packet belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    Rtp,
    Rtcp,
}

/// Why a packet was not opened or not protected.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SrtpFault {
    /// Too short for its own header and trailer, or unencrypted SRTCP (MED-105).
    Malformed,
    /// The tag is wrong.
    Authentication,
    /// Seen before, or older than the replay window.
    Replay,
    /// The buffer has no room for the trailer.
    Room,
    /// The key has protected as many packets as it may (MED-107), or the index was used (MED-113).
    Exhausted,
    /// The cipher refused to work, which it never does for packets of a size that we send.
    Cipher,
}
