//! What is sealed in a notice, and the key that opens it (TDG-PRS-004).
//!
//! ```text
//! dataKey ─ RSA-OAEP ─► K;  HMAC-SHA256(K, data) == dataSignature, and only then  data ─ AES-256-CBC(K) ─► JSON
//! ```
//!
//! The key is made when the daemon starts and never leaves its memory: subscriptions end with the daemon, so
//! nothing that comes later needs an older one.

use crate::few::Short;
use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use sbc_core::sdp::{base64_decode, base64_encode};
use serde::Deserialize;
use std::fmt;
use zeroize::Zeroizing;

/// Octets of the key that is sealed with ours.
const KEY: usize = 32;
/// Octets of a block, and of what the first is mixed with.
const BLOCK: usize = 16;
/// Most letters of sealed content; that of a presence has some thousand.
const DATA: usize = 256 * 1024;
/// Most letters of a sealed key or a signature: RSA of 4096 bits has 684.
const SHORT: usize = 1_024;
/// Most letters of the name of a certificate.
const NAME: usize = 128;

/// Content that only the owner of a key can read.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sealed {
    data: Short<DATA>,
    data_signature: Short<SHORT>,
    data_key: Short<SHORT>,
    encryption_certificate_id: Short<NAME>,
}

impl Sealed {
    /// By which name its sender knows the key.
    pub fn certificate(&self) -> &str {
        &self.encryption_certificate_id.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

/// Why sealed content is not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsealed {
    /// It is meant for a key that is not ours, or not any more.
    #[error("sealed for another key")]
    OtherKey,
    /// Its key cannot be read with ours.
    #[error("the key in it cannot be read")]
    Key,
    /// Somebody has changed it, or it was never good.
    #[error("its signature is wrong")]
    Signature,
    /// It was signed, and is no whole number of blocks, or padded wrongly.
    #[error("its content cannot be read")]
    Content,
}

/// A key that opens, and the certificate with which others seal.
pub struct Key {
    id: String,
    /// DER, in base64.
    certificate: String,
    opens: OaepPrivateDecryptingKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl Key {
    /// Makes a key of 2048 bits with this name, and a certificate for the years from this one on. It takes up to
    /// a second.
    ///
    /// # Errors
    /// Why there is none.
    pub fn new(id: &str, year: i32) -> Result<Self, String> {
        let failed = |why: &dyn fmt::Display| format!("a key for notices cannot be made: {why}");
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048);
        let pair = pair.map_err(|why| failed(&why))?;
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
        params.not_after = rcgen::date_time_ymd(year + 20, 1, 1);
        params.distinguished_name = DistinguishedName::new();
        let name = "Causeway notices";
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&pair).map_err(|why| failed(&why))?;
        let pkcs8 = Zeroizing::new(pair.serialize_der());
        let opens = PrivateDecryptingKey::from_pkcs8(&pkcs8).map_err(|why| failed(&why))?;
        let opens = OaepPrivateDecryptingKey::new(opens).map_err(|why| failed(&why))?;
        Ok(Self {
            id: id.to_owned(),
            certificate: base64_encode(certificate.der()),
            opens,
        })
    }

    /// By which name others know it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What others seal with: DER in base64.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Opens what was sealed for this key.
    ///
    /// # Errors
    /// [`Unsealed`]; nobody who sends something may be told which.
    pub fn open(&self, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, Unsealed> {
        if sealed.certificate() != self.id {
            return Err(Unsealed::OtherKey);
        }
        let octets = |text: &str| base64_decode(text.as_bytes());
        let wrapped = octets(&sealed.data_key.0).ok_or(Unsealed::Key)?;
        if wrapped.len() != self.opens.key_size_bytes() {
            return Err(Unsealed::Key);
        }
        let mut room = Zeroizing::new(vec![0; self.opens.min_output_size()]);
        let key = self
            .opens
            .decrypt(&OAEP_SHA1_MGF1SHA1, &wrapped, &mut room, None)
            .map_err(|_| Unsealed::Key)?;
        if key.len() != KEY {
            return Err(Unsealed::Key);
        }
        let mut data = Zeroizing::new(octets(&sealed.data.0).ok_or(Unsealed::Content)?);
        let signature = octets(&sealed.data_signature.0).ok_or(Unsealed::Signature)?;
        let signs = hmac::Key::new(hmac::HMAC_SHA256, key);
        // In constant time.
        hmac::verify(&signs, &data, &signature).map_err(|_| Unsealed::Signature)?;
        if data.is_empty() || !data.len().is_multiple_of(BLOCK) {
            return Err(Unsealed::Content);
        }
        let first = key.first_chunk::<BLOCK>().ok_or(Unsealed::Key)?;
        let first = DecryptionContext::Iv128(FixedLength::from(first));
        let plain = UnboundCipherKey::new(&AES_256, key)
            .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
            .and_then(|opens| opens.decrypt(&mut data, first).map(|plain| plain.len()))
            .map_err(|_| Unsealed::Content)?;
        data.truncate(plain);
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::cipher::{EncryptionContext, PaddedBlockEncryptingKey};
    use aws_lc_rs::rsa::OaepPublicEncryptingKey;
    use std::sync::LazyLock;

    static KEY: LazyLock<super::Key> = LazyLock::new(|| super::Key::new("k1", 2026).unwrap());

    struct Parts {
        key: Vec<u8>,
        data: Vec<u8>,
        signature: Vec<u8>,
        id: &'static str,
    }

    /// As Microsoft seals.
    fn parts(content: &[u8], key: &[u8]) -> Parts {
        let mut data = content.to_vec();
        let iv = FixedLength::from(key.first_chunk::<16>().unwrap());
        let cipher = UnboundCipherKey::new(&AES_256, key).unwrap();
        let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(cipher).unwrap();
        let iv = EncryptionContext::Iv128(iv);
        cipher.less_safe_encrypt(&mut data, iv).unwrap();
        signed(data, key)
    }

    fn signed(data: Vec<u8>, key: &[u8]) -> Parts {
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &data);
        Parts {
            key: wrapped(key),
            data,
            signature: signature.as_ref().to_vec(),
            id: "k1",
        }
    }

    fn wrapped(key: &[u8]) -> Vec<u8> {
        let public = KEY.opens_publicly();
        let mut room = vec![0; public.ciphertext_size()];
        let wrapped = public.encrypt(&OAEP_SHA1_MGF1SHA1, key, &mut room, None);
        wrapped.unwrap().to_vec()
    }

    impl super::Key {
        fn opens_publicly(&self) -> OaepPublicEncryptingKey {
            use aws_lc_rs::rsa::PublicEncryptingKey;
            let der = base64_decode(self.certificate.as_bytes()).unwrap();
            // The key is the only sequence of algorithm rsaEncryption and a bit string in it.
            let begin = der
                .windows(11)
                .position(|at| at == [6, 9, 42, 134, 72, 134, 247, 13, 1, 1, 1])
                .unwrap();
            let begin = begin - 6;
            let length = usize::from(der[begin + 2]) << 8 | usize::from(der[begin + 3]);
            let public = &der[begin..begin + 4 + length];
            OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(public).unwrap()).unwrap()
        }
    }

    impl Parts {
        fn open(&self) -> Result<Vec<u8>, Unsealed> {
            let text = |octets: &[u8]| base64_encode(octets);
            let sealed = Sealed {
                data: Short(text(&self.data)),
                data_signature: Short(text(&self.signature)),
                data_key: Short(text(&self.key)),
                encryption_certificate_id: Short(self.id.to_owned()),
            };
            KEY.open(&sealed).map(|content| content.to_vec())
        }
    }

    /// TDG-PRS-004.
    #[test]
    fn what_was_sealed_for_this_key_is_opened_and_nothing_that_was_changed() {
        let key = [7; 32];
        let good = || parts(b"{\"id\":\"x\"}", &key);
        assert_eq!(good().open().unwrap(), b"{\"id\":\"x\"}");
        for length in [0, 15, 16, 17, 4_096] {
            let content = vec![b'a'; length];
            assert_eq!(parts(&content, &key).open().unwrap(), content);
        }
        let mut other = good();
        other.id = "k0";
        assert_eq!(other.open(), Err(Unsealed::OtherKey));
        let mut flipped = good();
        flipped.data[3] ^= 1;
        assert_eq!(flipped.open(), Err(Unsealed::Signature));
        for signature in [Vec::new(), vec![0; 32], good().signature[..16].to_vec()] {
            let forged = Parts {
                signature,
                ..good()
            };
            assert_eq!(forged.open(), Err(Unsealed::Signature));
        }
        // Whoever knows the certificate can seal a key of another size, and sign what is no content.
        for (key, why) in [
            (wrapped(&[7; 16]), Unsealed::Key),
            (vec![0; 256], Unsealed::Key),
        ] {
            assert_eq!(Parts { key, ..good() }.open(), Err(why));
        }
        assert_eq!(
            Parts {
                key: vec![1],
                ..good()
            }
            .open(),
            Err(Unsealed::Key)
        );
        for data in [Vec::new(), vec![0; 15], vec![0; 16]] {
            assert_eq!(signed(data, &key).open(), Err(Unsealed::Content));
        }
    }

    #[test]
    fn keys_and_content_are_not_shown() {
        assert_eq!(format!("{:?}", *KEY), "Key(k1)");
        let written =
            r#"{"data":"c2VjcmV0","dataSignature":"","dataKey":"","encryptionCertificateId":"a"}"#;
        let sealed: Sealed = serde_json::from_str(written).unwrap();
        assert_eq!(format!("{sealed:?}"), "Sealed(…)");
        assert_eq!(KEY.open(&sealed).unwrap_err(), Unsealed::OtherKey);
    }
}
