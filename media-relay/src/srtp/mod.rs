//! SRTP and SRTCP in the packet's own buffer: RFC 3711 with AES-CM and HMAC-SHA1.
//!
//! [`Sender`] protects what we send under one of our keys, [`Receiver`] opens what a peer sends
//! under one of its keys. Both change a packet in place: the payload is ciphered where it lies, the
//! tag is written behind it. A packet that fails authentication leaves the receiver and the packet
//! exactly as they were (MED-033, SEC-111).

mod context;
mod kdf;
mod mac;
mod rekey;
mod replay;

pub use context::{Receiver, Sender};
pub(crate) use mac::HmacSha1;
pub(crate) use rekey::{KeyRing, PeerKeys, Protocol};

use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipherCoreWrapper};
use kdf::{CIPHER_KEY_BYTES, MAC_KEY_BYTES, SALT_BYTES};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Most bytes that protection adds to an RTP or RTCP packet: SRTCP index and an 80-bit tag.
pub const MAX_TRAILER_BYTES: usize = 14;

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
}

/// Cipher, salt and authentication of one direction and protocol.
struct Transform {
    cipher: Aes128Enc,
    salt: [u8; SALT_BYTES],
    mac: HmacSha1,
    tag_bytes: usize,
}

type Keystream<'a> = StreamCipherCoreWrapper<ctr::CtrCore<&'a Aes128Enc, ctr::flavors::Ctr128BE>>;

impl Transform {
    fn new(
        cipher_key: &[u8; CIPHER_KEY_BYTES],
        mac_key: &[u8; MAC_KEY_BYTES],
        salt: &[u8; SALT_BYTES],
        tag_bytes: usize,
    ) -> Self {
        Self {
            cipher: Aes128Enc::new(&(*cipher_key).into()),
            salt: *salt,
            mac: HmacSha1::new(mac_key),
            tag_bytes,
        }
    }

    /// Ciphers or deciphers `payload`; the operation is its own inverse. RFC 3711 §4.1.1.
    fn cipher(&self, ssrc: u32, index: u64, payload: &mut [u8]) {
        let mut start = [0; 16];
        start[..SALT_BYTES].copy_from_slice(&self.salt);
        for (byte, with) in start[4..8].iter_mut().zip(ssrc.to_be_bytes()) {
            *byte ^= with;
        }
        // A 48-bit index shifted left by 16 bits ends just before the block counter.
        for (byte, with) in start[6..14].iter_mut().zip(index.to_be_bytes()) {
            *byte ^= with;
        }
        let core = ctr::CtrCore::inner_iv_init(&self.cipher, &start.into());
        let mut keystream = Keystream::from_core(core);
        aes::cipher::StreamCipher::apply_keystream(&mut keystream, payload);
    }

    /// The tag over `message` and, for RTP, the roll-over counter behind it.
    fn tag(&self, message: &[u8], roll_over: Option<u32>) -> [u8; 20] {
        match roll_over {
            Some(roll_over) => self.mac.tag(message, &roll_over.to_be_bytes()),
            None => self.mac.tag(message, &[]),
        }
    }

    fn tag_matches(&self, message: &[u8], roll_over: Option<u32>, tag: &[u8]) -> bool {
        let wanted = self.tag(message, roll_over);
        wanted
            .get(..self.tag_bytes)
            .is_some_and(|wanted| wanted.ct_eq(tag).into())
    }
}

impl Drop for Transform {
    fn drop(&mut self) {
        // Cipher and MAC state zeroise themselves.
        self.salt.zeroize();
    }
}

impl fmt::Debug for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transform(<secret>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_mode_key_stream_of_rfc_3711_appendix_b2() {
        let key = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3cu128.to_be_bytes();
        // The vector's start value is a salt with SSRC and index zero.
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(&0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_0000u128.to_be_bytes()[..14]);
        let transform = Transform::new(&key, &[0; MAC_KEY_BYTES], &salt, 10);
        let mut stream = [0; 48];
        transform.cipher(0, 0, &mut stream);
        for (block, wanted) in stream.chunks(16).zip([
            0xe03e_ad09_35c9_5e80_e166_b16d_d92b_4eb4u128,
            0xd235_1316_2b02_d0f7_2a43_a2fe_4a5f_97ab,
            0x41e9_5b3b_b0a2_e8dd_4779_01e4_fca8_94c0,
        ]) {
            assert_eq!(block, wanted.to_be_bytes());
        }
    }
}
