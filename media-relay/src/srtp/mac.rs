//! HMAC-SHA1 of short messages: RFC 2104 on the compression function of the `sha1` crate.
//!
//! The two keyed states are computed once per session key; a tag then costs one compression per 64
//! bytes and one more, reads the message where it lies, and copies nothing but its last block.

use sha1::block_api::compress;
use zeroize::{Zeroize, ZeroizeOnDrop};

const BLOCK_BYTES: usize = 64;
/// FIPS 180-4 §5.3.1.
const INITIAL: [u32; 5] = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];

/// A keyed authenticator.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct HmacSha1 {
    inner: [u32; 5],
    outer: [u32; 5],
}

impl HmacSha1 {
    /// Keyed with at most one block, as all SRTP keys and our ICE passwords are; longer keys are cut.
    pub(crate) fn new(key: &[u8]) -> Self {
        let keyed = |pad: u8| {
            let mut block = [pad; BLOCK_BYTES];
            block
                .iter_mut()
                .zip(key)
                .for_each(|(byte, key)| *byte ^= key);
            let mut state = INITIAL;
            compress(&mut state, &[block]);
            block.zeroize();
            state
        };
        Self {
            inner: keyed(0x36),
            outer: keyed(0x5c),
        }
    }

    /// The tag over `message` followed by `suffix`, which is at most a word.
    pub(crate) fn tag(&self, message: &[u8], suffix: &[u8]) -> [u8; 20] {
        let (blocks, rest) = message.as_chunks::<BLOCK_BYTES>();
        let mut state = self.inner;
        compress(&mut state, blocks);
        // Rest, suffix, padding bit and length fill one block or two.
        let mut last = [0; 2 * BLOCK_BYTES];
        let end = rest.len() + suffix.len();
        last[..rest.len()].copy_from_slice(rest);
        last[rest.len()..end].copy_from_slice(suffix);
        let length = BLOCK_BYTES + message.len() + suffix.len();
        let used = finish(&mut last, end, length);
        let (blocks, _) = last[..used].as_chunks::<BLOCK_BYTES>();
        compress(&mut state, blocks);

        let mut last = [0; BLOCK_BYTES];
        let digest = bytes(state);
        last[..digest.len()].copy_from_slice(&digest);
        finish(&mut last, digest.len(), BLOCK_BYTES + digest.len());
        let mut state = self.outer;
        compress(&mut state, &[last]);
        bytes(state)
    }
}

/// Pads `last[..end]` to whole blocks (FIPS 180-4 §5.1.1); returns how many bytes they are.
fn finish(last: &mut [u8], end: usize, length: usize) -> usize {
    last[end] = 0x80;
    let used = (end + 1 + 8).next_multiple_of(BLOCK_BYTES);
    last[used - 8..used].copy_from_slice(&(length as u64 * 8).to_be_bytes());
    used
}

fn bytes(state: [u32; 5]) -> [u8; 20] {
    let mut bytes = [0; 20];
    for (to, word) in bytes.chunks_mut(4).zip(state) {
        to.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, KeyInit, Mac};
    use sha1::Sha1;

    #[test]
    fn tags_of_rfc_2202() {
        let hex = |tag: [u8; 20]| {
            tag.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        assert_eq!(
            hex(HmacSha1::new(&[0x0b; 20]).tag(b"Hi There", b"")),
            "b617318655057264e28bc0b6fb378c8ef146be00"
        );
        assert_eq!(
            hex(HmacSha1::new(b"Jefe").tag(b"what do ya want for nothing?", b"")),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        assert_eq!(
            hex(HmacSha1::new(&[0xaa; 20]).tag(&[0xdd; 50], b"")),
            "125d7342b9ac11cd91a39af48aa17b4f63f175d3"
        );
    }

    #[test]
    fn every_length_agrees_with_the_hmac_crate() {
        let message: Vec<u8> = (0..400u32).map(|at| (at * 7) as u8).collect();
        for length in 0..message.len() {
            for suffix in [&[][..], &[1, 2, 3, 4]] {
                let mut oracle = <Hmac<Sha1> as KeyInit>::new_from_slice(&[9; 20]).unwrap();
                oracle.update(&message[..length]);
                oracle.update(suffix);
                let wanted: [u8; 20] = oracle.finalize().into_bytes().into();
                assert_eq!(
                    HmacSha1::new(&[9; 20]).tag(&message[..length], suffix),
                    wanted
                );
            }
        }
    }
}
