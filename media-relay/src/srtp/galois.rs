//! AES in Galois/counter mode: RFC 7714.
//!
//! Of `aws-lc-rs`, which TLS has in the program anyway: half the time of RustCrypto's `aes-gcm` for a
//! packet of speech (`benches/srtp`).

use super::aes::exactly;
use super::kdf::{Labels, expand};
use super::transform::Place;
use super::{Protocol, RTCP_CLEAR_BYTES, SrtpFault};
use crate::packet::rtp::MAX_PACKET_BYTES;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use media_api::CryptoKey;
use zeroize::Zeroize;

/// Bytes of session salt and initialisation vector.
const SALT_BYTES: usize = 12;
/// Bytes of an RTCP header with its SSRC and of its trailer.
const WITH_TRAILER_BYTES: usize = RTCP_CLEAR_BYTES + 4;

/// Session keys of one direction and protocol.
pub(super) struct GaloisMode {
    /// `None` never happens for keys of the right length; it opens and seals nothing.
    key: Option<LessSafeKey>,
    salt: [u8; SALT_BYTES],
    protocol: Protocol,
    /// Ciphertext of the packet that is being opened: the primitive overwrites what is not authentic.
    kept: Vec<u8>,
}

impl GaloisMode {
    pub(super) fn derive(master: &CryptoKey, labels: Labels, protocol: Protocol) -> Self {
        let key = expand(master, labels.cipher, master.suite().key_bytes());
        let salt = expand(master, labels.salt, SALT_BYTES);
        Self::new(&key, &salt, protocol)
    }

    fn new(key: &[u8], salt: &[u8], protocol: Protocol) -> Self {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            _ => &AES_256_GCM,
        };
        Self {
            key: UnboundKey::new(algorithm, key).ok().map(LessSafeKey::new),
            salt: *exactly(salt),
            protocol,
            kept: Vec::new(),
        }
    }

    pub(super) fn seal(
        &self,
        packet: &mut [u8],
        clear: usize,
        at: Place,
        tag: &mut [u8],
    ) -> Result<(), SrtpFault> {
        let key = self.key.as_ref().ok_or(SrtpFault::Cipher)?;
        let (header, payload) = packet.split_at_mut(clear);
        let mut room = [0; WITH_TRAILER_BYTES];
        let beside = Aad::from(self.beside(header, at, &mut room));
        let made = key
            .seal_in_place_separate_tag(self.nonce(at), beside, payload)
            .map_err(|_| SrtpFault::Cipher)?;
        tag.iter_mut()
            .zip(made.as_ref())
            .for_each(|(to, from)| *to = *from);
        Ok(())
    }

    pub(super) fn open(&mut self, packet: &mut [u8], clear: usize, at: Place, tag: &[u8]) -> bool {
        let Some(key) = &self.key else {
            return false;
        };
        let (header, payload) = packet.split_at_mut(clear);
        let mut room = [0; WITH_TRAILER_BYTES];
        let beside = Aad::from(self.beside(header, at, &mut room));
        self.kept.clear();
        // For the largest packet at once: a stream allocates here for its first packet only.
        self.kept.reserve(MAX_PACKET_BYTES);
        self.kept.extend_from_slice(payload);
        let opened = key.open_separate_gather(self.nonce(at), beside, &self.kept, tag, payload);
        if opened.is_err() {
            payload.copy_from_slice(&self.kept);
        }
        opened.is_ok()
    }

    /// RFC 7714 §8.1 and §9.1, which are one formula: zeros, SSRC and the index in 48 bits, with the
    /// salt.
    fn nonce(&self, at: Place) -> Nonce {
        let mut vector = self.salt;
        for (byte, with) in vector[2..6].iter_mut().zip(at.ssrc.to_be_bytes()) {
            *byte ^= with;
        }
        for (byte, with) in vector[6..].iter_mut().zip(&at.index.to_be_bytes()[2..]) {
            *byte ^= with;
        }
        Nonce::assume_unique_for_key(vector)
    }

    /// What is authenticated and not ciphered: the header, and behind that of RTCP its trailer
    /// (RFC 7714 §8.2, §9.2).
    fn beside<'a>(
        &self,
        header: &'a [u8],
        at: Place,
        room: &'a mut [u8; WITH_TRAILER_BYTES],
    ) -> &'a [u8] {
        match self.protocol {
            Protocol::Rtp => header,
            Protocol::Rtcp => {
                let all = header.iter().copied().chain(at.word.to_be_bytes());
                room.iter_mut().zip(all).for_each(|(to, from)| *to = from);
                room
            }
        }
    }
}

impl Drop for GaloisMode {
    fn drop(&mut self) {
        // The key zeroises itself.
        self.salt.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::rtp::HEADER_BYTES;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    /// Seals and opens as a vector says; its key is that of the session.
    fn assert_vector(
        key_bytes: u8,
        protocol: Protocol,
        clear: usize,
        at: Place,
        [plain, wanted]: [&str; 2],
    ) {
        let key: Vec<u8> = (0..key_bytes).collect();
        let mut mode = GaloisMode::new(&key, b"Quid pro quo", protocol);
        let (plain, wanted) = (hex(plain), hex(wanted));
        let (mut packet, mut tag) = (plain.clone(), [0; 16]);
        mode.seal(&mut packet, clear, at, &mut tag).unwrap();
        assert_eq!([&packet[..], &tag].concat(), wanted);
        for bit in 0..128 {
            let mut wrong = tag;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(!mode.open(&mut packet, clear, at, &wrong));
        }
        assert_eq!(packet, wanted[..packet.len()], "left as it was");
        assert!(mode.open(&mut packet, clear, at, &tag));
        assert_eq!(packet, plain);
    }

    #[test]
    fn rtp_vectors_of_rfc_7714_section_16() {
        let plain = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573";
        for (key_bytes, wanted) in [
            (
                16,
                "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
            ),
            (
                32,
                "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
            ),
        ] {
            let at = Place::rtp(0x5501_a0b2, 0xf17b);
            assert_vector(key_bytes, Protocol::Rtp, HEADER_BYTES, at, [plain, wanted]);
        }
    }

    #[test]
    fn rtcp_vectors_of_rfc_7714_section_17() {
        let plain = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
        for (key_bytes, wanted) in [
            (
                16,
                "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade",
            ),
            (
                32,
                "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be",
            ),
        ] {
            let at = Place::rtcp(0x4d61_7273, 0x5d4);
            let clear = RTCP_CLEAR_BYTES;
            assert_vector(key_bytes, Protocol::Rtcp, clear, at, [plain, wanted]);
        }
    }
}
