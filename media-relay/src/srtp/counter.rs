//! AES in counter mode with HMAC-SHA1: RFC 3711 §4.1.1 and §4.2, RFC 6188.

use super::aes::{KeyStream, exactly};
use super::kdf::{Labels, expand};
use super::mac::HmacSha1;
use super::transform::Place;
use media_api::CryptoKey;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Bytes of the HMAC-SHA1 session key.
const MAC_KEY_BYTES: usize = 20;
/// Bytes of a session salt.
const SALT_BYTES: usize = 14;

/// Session keys of one direction and protocol.
pub(super) struct CounterMode<C> {
    cipher: C,
    salt: [u8; SALT_BYTES],
    mac: HmacSha1,
}

impl<C: KeyStream> CounterMode<C> {
    pub(super) fn derive(master: &CryptoKey, labels: Labels) -> Self {
        let salt = expand(master, labels.salt, SALT_BYTES);
        Self {
            cipher: C::keyed(&expand(master, labels.cipher, master.suite().key_bytes())),
            salt: *exactly(&salt),
            mac: HmacSha1::new(&expand(master, labels.authentication, MAC_KEY_BYTES)),
        }
    }

    pub(super) fn seal(&self, packet: &mut [u8], clear: usize, at: Place, tag: &mut [u8]) {
        self.cipher(at, &mut packet[clear..]);
        let whole = self.tag(packet, at);
        tag.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    }

    pub(super) fn open(&self, packet: &mut [u8], clear: usize, at: Place, tag: &[u8]) -> bool {
        let wanted = self.tag(packet, at);
        let is_authentic = wanted
            .get(..tag.len())
            .is_some_and(|wanted| wanted.ct_eq(tag).into());
        if is_authentic {
            self.cipher(at, &mut packet[clear..]);
        }
        is_authentic
    }

    fn tag(&self, packet: &[u8], at: Place) -> [u8; 20] {
        self.mac.tag(packet, &at.word.to_be_bytes())
    }

    /// Ciphers or deciphers `payload`; the operation is its own inverse.
    fn cipher(&self, at: Place, payload: &mut [u8]) {
        let mut start = [0; 16];
        start[..SALT_BYTES].copy_from_slice(&self.salt);
        for (byte, with) in start[4..8].iter_mut().zip(at.ssrc.to_be_bytes()) {
            *byte ^= with;
        }
        // A 48-bit index shifted left by 16 bits ends just before the block counter.
        for (byte, with) in start[6..14].iter_mut().zip(at.index.to_be_bytes()) {
            *byte ^= with;
        }
        self.cipher.apply(start, payload);
    }
}

impl<C> Drop for CounterMode<C> {
    fn drop(&mut self) {
        // Cipher and MAC zeroise themselves.
        self.salt.zeroize();
    }
}
