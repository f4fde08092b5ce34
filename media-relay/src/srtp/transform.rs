//! What one session key does to a packet, whichever suite it belongs to.

use super::aes::{Aes, RareAes};
use super::counter::CounterMode;
use super::galois::GaloisMode;
use super::kdf::Labels;
use super::{Protocol, SrtpFault};
use crate::io::fetch;
use media_api::CryptoKey;
use std::fmt;

/// Flag in front of the SRTCP index: the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// Which packet under a key this is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) ssrc: u32,
    /// 48 bits of SRTP, or 31 of SRTCP.
    pub(super) index: u64,
    /// What is authenticated beside the packet: the roll-over counter of RTP, the trailer of RTCP.
    pub(super) word: u32,
}

impl Place {
    pub(super) fn rtp(ssrc: u32, index: u64) -> Self {
        Self {
            ssrc,
            index,
            word: (index >> 16) as u32,
        }
    }

    pub(super) fn rtcp(ssrc: u32, index: u32) -> Self {
        Self {
            ssrc,
            index: index.into(),
            word: ENCRYPTED | index,
        }
    }

    /// The same, read from the trailer of a packet. `None` if that is not encrypted: this would mean
    /// UNENCRYPTED_SRTCP, which is never agreed (MED-105).
    pub(super) fn of_trailer(ssrc: u32, trailer: u32) -> Option<Self> {
        (trailer & ENCRYPTED != 0).then(|| Self::rtcp(ssrc, trailer & !ENCRYPTED))
    }
}

/// Cipher and authentication of one direction and protocol.
pub(super) struct Transform {
    mode: Mode,
    pub(super) tag_bytes: usize,
    /// Whether the tag is the end of the ciphertext, so that index and key identifier stand behind it
    /// and not in front of it (RFC 7714 §8.2, §9.2).
    pub(super) is_tag_first: bool,
}

enum Mode {
    Counter(Box<CounterMode<Aes>>),
    /// The same for RTCP, which is rare.
    RareCounter(Box<CounterMode<RareAes>>),
    Galois(Box<GaloisMode>),
}

impl Transform {
    /// Has the processor fetch the cipher.
    pub(super) fn fetch(&self) {
        match &self.mode {
            Mode::Counter(mode) => fetch::whole(&**mode),
            Mode::RareCounter(_) => {}
            Mode::Galois(mode) => fetch::whole(&**mode),
        }
    }

    pub(super) fn new(master: &CryptoKey, protocol: Protocol) -> Self {
        let suite = master.suite();
        let (labels, tag_bytes) = match protocol {
            Protocol::Rtp => (Labels::RTP, suite.rtp_tag_bytes()),
            Protocol::Rtcp => (Labels::RTCP, suite.rtcp_tag_bytes()),
        };
        Self {
            mode: match (suite.is_aead(), protocol) {
                (true, _) => Mode::Galois(Box::new(GaloisMode::derive(master, labels, protocol))),
                // Ciphers with longer keys live on the heap, where a report must take nothing.
                (false, Protocol::Rtcp) if suite.key_bytes() == 16 => {
                    Mode::RareCounter(Box::new(CounterMode::derive(master, labels)))
                }
                (false, Protocol::Rtp | Protocol::Rtcp) => {
                    Mode::Counter(Box::new(CounterMode::derive(master, labels)))
                }
            },
            tag_bytes,
            is_tag_first: suite.is_aead(),
        }
    }

    /// Ciphers `packet[clear..]` and writes the tag over all of it.
    ///
    /// # Errors
    /// [`SrtpFault::Cipher`]: the packet is spoilt and must not be sent.
    pub(super) fn seal(
        &self,
        packet: &mut [u8],
        clear: usize,
        at: Place,
        tag: &mut [u8],
    ) -> Result<(), SrtpFault> {
        match &self.mode {
            Mode::Counter(mode) => {
                mode.seal(packet, clear, at, tag);
                Ok(())
            }
            Mode::RareCounter(mode) => {
                mode.seal(packet, clear, at, tag);
                Ok(())
            }
            Mode::Galois(mode) => mode.seal(packet, clear, at, tag),
        }
    }

    /// Deciphers `packet[clear..]` if the tag is right; else changes nothing.
    #[must_use]
    pub(super) fn open(&mut self, packet: &mut [u8], clear: usize, at: Place, tag: &[u8]) -> bool {
        match &mut self.mode {
            Mode::Counter(mode) => mode.open(packet, clear, at, tag),
            Mode::RareCounter(mode) => mode.open(packet, clear, at, tag),
            Mode::Galois(mode) => mode.open(packet, clear, at, tag),
        }
    }
}

impl fmt::Debug for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transform(<secret>)")
    }
}
