//! Key derivation: RFC 3711 §4.3 with a key derivation rate of zero, the only one we negotiate.

use super::Transform;
use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use media_api::{CryptoKey, Suite};
use zeroize::Zeroizing;

/// Bytes of an AES-128 session key.
pub(super) const CIPHER_KEY_BYTES: usize = 16;
/// Bytes of the HMAC-SHA1 session key.
pub(super) const MAC_KEY_BYTES: usize = 20;
/// Bytes of a counter-mode session salt.
pub(super) const SALT_BYTES: usize = 14;

/// Labels of RFC 3711 §4.3.2, in the order cipher key, authentication key, salt.
const RTP_LABELS: [u8; 3] = [0, 1, 2];
const RTCP_LABELS: [u8; 3] = [3, 4, 5];

/// Both transforms of one master key.
#[derive(Debug)]
pub(super) struct SessionKeys {
    pub(super) rtp: Transform,
    pub(super) rtcp: Transform,
}

impl SessionKeys {
    pub(super) fn derive(master: &CryptoKey) -> Self {
        let rtp_tag_bytes = match master.suite() {
            Suite::AesCm128HmacSha1_32 => 4,
            // The 32-bit suite shortens RTP only; a suite added later must say what it wants here.
            _ => 10,
        };
        Self {
            rtp: transform(master, RTP_LABELS, rtp_tag_bytes),
            rtcp: transform(master, RTCP_LABELS, 10),
        }
    }
}

fn transform(master: &CryptoKey, [cipher, mac, salt]: [u8; 3], tag_bytes: usize) -> Transform {
    let mut cipher_key = Zeroizing::new([0; CIPHER_KEY_BYTES]);
    let mut mac_key = Zeroizing::new([0; MAC_KEY_BYTES]);
    let mut session_salt = Zeroizing::new([0; SALT_BYTES]);
    expand(master, cipher, cipher_key.as_mut_slice());
    expand(master, mac, mac_key.as_mut_slice());
    expand(master, salt, session_salt.as_mut_slice());
    Transform::new(&cipher_key, &mac_key, &session_salt, tag_bytes)
}

/// Fills `to` with the pseudo-random stream of one label: AES-CM under the master key, the counter
/// starting at (label · 2⁴⁸ XOR salt) · 2¹⁶.
fn expand(master: &CryptoKey, label: u8, to: &mut [u8]) {
    let mut key = Zeroizing::new([0u8; CIPHER_KEY_BYTES]);
    key.iter_mut()
        .zip(master.expose_key())
        .for_each(|(to, from)| *to = *from);
    let cipher = Aes128::new(&(*key).into());
    let mut start = Zeroizing::new([0u8; 16]);
    start
        .iter_mut()
        .zip(master.expose_salt())
        .for_each(|(to, from)| *to = *from);
    start[7] ^= label;
    for (count, chunk) in (0u16..).zip(to.chunks_mut(16)) {
        let mut block = *start;
        block[14..].copy_from_slice(&count.to_be_bytes());
        let mut block = block.into();
        cipher.encrypt_block(&mut block);
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_keys_of_rfc_3711_appendix_b3() {
        let mut master = hex("e1f97a0d3e018be0d64fa32c06de4139");
        master.extend(hex("0ec675ad498afeebb6960b3aabe6"));
        let master = CryptoKey::new(Suite::AesCm128HmacSha1_80, master).unwrap();
        for (label, wanted) in [
            (0, "c61e7a93744f39ee10734afe3ff7a087"),
            (
                1,
                "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbcee049646c43d9327ad175578ef72270986371c10c9a369ac2f94a8c5fbcdddc256d6e919a48b610ef17c2041e474035766b68642c59bbfc2f34db60dbdfb2",
            ),
            (2, "30cbbc08863d8c85d49db34a9ae1"),
            (3, "4c1aa45a81f73d61c800bbb00fbb1eaa"),
            (4, "8d54534feb49ae8e7993a6bd0b844fc323a93dfd"),
            (5, "9581c7ad87b3e530bf3e4454a8b3"),
        ] {
            let wanted = hex(wanted);
            let mut derived = vec![0; wanted.len()];
            expand(&master, label, &mut derived);
            assert_eq!(derived, wanted, "label {label}");
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }
}
