//! Key derivation: RFC 3711 §4.3, RFC 6188 §3, RFC 7714 §11, with a key derivation rate of zero, the
//! only one we negotiate.

use super::Protocol;
use super::aes::Aes;
use super::transform::Transform;
use media_api::CryptoKey;
use zeroize::Zeroizing;

/// What tells the session keys of one master key apart (RFC 3711 §4.3.2).
#[derive(Clone, Copy)]
pub(super) struct Labels {
    pub(super) cipher: u8,
    pub(super) authentication: u8,
    pub(super) salt: u8,
}

impl Labels {
    pub(super) const RTP: Self = Self {
        cipher: 0,
        authentication: 1,
        salt: 2,
    };
    pub(super) const RTCP: Self = Self {
        cipher: 3,
        authentication: 4,
        salt: 5,
    };
}

/// Both transforms of one master key.
#[derive(Debug)]
pub(super) struct SessionKeys {
    pub(super) rtp: Transform,
    pub(super) rtcp: Transform,
}

impl SessionKeys {
    pub(super) fn derive(master: &CryptoKey) -> Self {
        Self {
            rtp: Transform::new(master, Protocol::Rtp),
            rtcp: Transform::new(master, Protocol::Rtcp),
        }
    }
}

/// The first bytes of the pseudo-random stream of one label: counter mode under the master key, the
/// counter starting at (label · 2⁴⁸ XOR salt) · 2¹⁶. A shorter salt has zeros behind it.
pub(super) fn expand(master: &CryptoKey, label: u8, bytes: usize) -> Zeroizing<Vec<u8>> {
    let mut start = Zeroizing::new([0u8; 16]);
    start
        .iter_mut()
        .zip(master.expose_salt())
        .for_each(|(to, from)| *to = *from);
    start[7] ^= label;
    let mut stream = Zeroizing::new(vec![0; bytes]);
    Aes::new(master.expose_key()).apply_keystream(*start, &mut stream);
    stream
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_api::Suite;

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
            let derived = expand(&master, label, wanted.len());
            assert_eq!(*derived, wanted, "label {label}");
        }
    }

    #[test]
    fn session_keys_of_rfc_6188_sections_7_2_and_7_4() {
        for (suite, master, keys) in [
            (
                Suite::AesCm256HmacSha1_80,
                "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b63b04803de51ee7c96423ab5b78d2",
                [
                    "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
                    "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
                    "fa31791685ca444a9e07c6c64e93",
                ],
            ),
            (
                Suite::AesCm192HmacSha1_80,
                "73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1c8522f3acd4ce86d5add78edbb11",
                [
                    "31874736a8f1143870c26e4857d8a5b2c4a354407faadabb",
                    "355b10973cd95b9eacf4061c7e1a7151e7cfbfcb",
                    "2372b82d639b6d8503a47adc0a6c",
                ],
            ),
        ] {
            let master = CryptoKey::new(suite, hex(master)).unwrap();
            for (label, wanted) in (0..).zip(keys) {
                let wanted = hex(wanted);
                let derived = expand(&master, label, wanted.len());
                assert_eq!(*derived, wanted, "{suite:?} label {label}");
            }
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }
}
