//! AES with the three lengths of keys, and its counter mode: RFC 3711 §4.1.1, RFC 6188 §2.

use aes::cipher::{
    BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper, consts::U16,
};
use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use zeroize::{Zeroize, Zeroizing};

/// A cipher with its key, which it zeroises itself.
#[expect(
    clippy::large_enum_variant,
    reason = "the usual one is found without another step, and the others take no room from its streams"
)]
pub(super) enum Aes {
    Bits128(Aes128Enc),
    Bits192(Box<Aes192Enc>),
    Bits256(Box<Aes256Enc>),
}

impl Aes {
    /// With a key of 16, 24 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Self {
        match key.len() {
            24 => Self::Bits192(Box::new(Aes192Enc::new(&(*exactly::<24>(key)).into()))),
            32 => Self::Bits256(Box::new(Aes256Enc::new(&(*exactly::<32>(key)).into()))),
            _ => Self::Bits128(Aes128Enc::new(&(*exactly::<16>(key)).into())),
        }
    }

    /// Exclusive-ors the key stream that begins with the counter block `start` to `bytes`.
    pub(super) fn apply_keystream(&self, start: [u8; 16], bytes: &mut [u8]) {
        match self {
            Self::Bits128(cipher) => apply_keystream(cipher, start, bytes),
            Self::Bits192(cipher) => apply_keystream(&**cipher, start, bytes),
            Self::Bits256(cipher) => apply_keystream(&**cipher, start, bytes),
        }
    }
}

/// What makes a key stream.
pub(super) trait KeyStream {
    /// With a key of 16, 24 or 32 bytes.
    fn keyed(key: &[u8]) -> Self;

    /// Exclusive-ors the key stream that begins with the counter block `start` to `bytes`.
    fn apply(&self, start: [u8; 16], bytes: &mut [u8]);
}

impl KeyStream for Aes {
    fn keyed(key: &[u8]) -> Self {
        Self::new(key)
    }

    fn apply(&self, start: [u8; 16], bytes: &mut [u8]) {
        self.apply_keystream(start, bytes);
    }
}

/// A key of 16 bytes of which the cipher is made when it is needed, for what comes every few seconds: a cipher
/// takes 704 bytes, and each call would have four of them.
pub(super) struct RareAes(Zeroizing<[u8; 16]>);

impl KeyStream for RareAes {
    fn keyed(key: &[u8]) -> Self {
        Self(exactly(key))
    }

    fn apply(&self, start: [u8; 16], bytes: &mut [u8]) {
        Aes::new(&*self.0).apply_keystream(start, bytes);
    }
}

fn apply_keystream(
    cipher: &impl BlockCipherEncrypt<BlockSize = U16>,
    start: [u8; 16],
    bytes: &mut [u8],
) {
    let core: CtrCore<_, Ctr128BE> = CtrCore::inner_iv_init(cipher, &start.into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(bytes);
}

/// As many of the bytes as fit, and zeros behind them.
pub(super) fn exactly<const N: usize>(bytes: &[u8]) -> Zeroizing<[u8; N]>
where
    [u8; N]: Zeroize,
{
    let mut array = Zeroizing::new([0; N]);
    array
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start value of all three vectors.
    const START: u128 = 0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_0000;

    fn assert_keystream<const N: usize>(key: [u64; N], wanted: [u128; 3]) {
        let key: Vec<u8> = key.into_iter().flat_map(u64::to_be_bytes).collect();
        let mut stream = [0; 48];
        Aes::new(&key).apply_keystream(START.to_be_bytes(), &mut stream);
        for (block, wanted) in stream.chunks(16).zip(wanted) {
            assert_eq!(block, wanted.to_be_bytes());
        }
    }

    #[test]
    fn key_streams_of_rfc_3711_and_rfc_6188() {
        assert_keystream(
            [0x2b7e_1516_28ae_d2a6, 0xabf7_1588_09cf_4f3c],
            [
                0xe03e_ad09_35c9_5e80_e166_b16d_d92b_4eb4,
                0xd235_1316_2b02_d0f7_2a43_a2fe_4a5f_97ab,
                0x41e9_5b3b_b0a2_e8dd_4779_01e4_fca8_94c0,
            ],
        );
        assert_keystream(
            [
                0x57f8_2fe3_613f_d170,
                0xa85e_c93c_40b1_f092,
                0x2ec4_cb0d_c025_b582,
                0x7214_7cc4_3894_4a98,
            ],
            [
                0x92bd_d28a_93c3_f525_11c6_77d0_8b55_15a4,
                0x9da7_1b23_78a8_54f6_7050_756d_ed16_5bac,
                0x63c4_868b_7096_d884_21b5_63b8_c94c_9a31,
            ],
        );
    }
}
