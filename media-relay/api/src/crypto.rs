//! SDES key material (RFC 4568), typed so that it cannot be printed or copied by accident.

use std::fmt;
use zeroize::Zeroize;

/// An SRTP crypto suite of RFC 4568, 6188 or 7714.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`: 128-bit counter mode, 80-bit tag.
    AesCm128HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32`: 32-bit tag on RTP, 80-bit tag on RTCP.
    AesCm128HmacSha1_32,
}

impl Suite {
    /// Name in `a=crypto`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// The suite with this `a=crypto` name, if we support it.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::AesCm128HmacSha1_80, Self::AesCm128HmacSha1_32]
            .into_iter()
            .find(|suite| suite.name().as_bytes() == name)
    }

    /// Length of the master key in bytes.
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 16,
        }
    }

    /// Length of the master salt in bytes.
    pub const fn salt_bytes(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 14,
        }
    }
}

/// A master key and salt for one direction. Zeroised on drop, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CryptoKey {
    suite: Suite,
    /// Master key followed by master salt, exactly as in the `inline:` value before base64.
    key_and_salt: Vec<u8>,
    /// Master key identifier; empty without one. No secret.
    identifier: Vec<u8>,
}

impl CryptoKey {
    /// A key for `suite`, or `None` if the length is not key plus salt of that suite (MED-100).
    pub fn new(suite: Suite, key_and_salt: Vec<u8>) -> Option<Self> {
        let wanted = suite.key_bytes() + suite.salt_bytes();
        if key_and_salt.len() == wanted {
            Some(Self {
                suite,
                key_and_salt,
                identifier: Vec::new(),
            })
        } else {
            let mut refused = key_and_salt;
            refused.zeroize();
            None
        }
    }

    /// The same key of a peer that puts `identifier` into its packets: 1 to 128 bytes, as they stand
    /// there (RFC 3711 §3.1). Keys of our own have none (MED-106).
    #[must_use]
    pub fn with_identifier(mut self, identifier: Vec<u8>) -> Self {
        self.identifier = identifier;
        self
    }

    /// Master key identifier that the peer's packets carry in front of the tag; empty without one.
    pub fn identifier(&self) -> &[u8] {
        &self.identifier
    }

    /// The suite this key belongs to.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Master key.
    pub fn expose_key(&self) -> &[u8] {
        &self.key_and_salt[..self.suite.key_bytes()]
    }

    /// Master salt.
    pub fn expose_salt(&self) -> &[u8] {
        &self.key_and_salt[self.suite.key_bytes()..]
    }

    /// Key and salt joined, for the `inline:` value.
    pub fn expose_key_and_salt(&self) -> &[u8] {
        &self.key_and_salt
    }
}

impl Drop for CryptoKey {
    fn drop(&mut self) {
        self.key_and_salt.zeroize();
    }
}

impl fmt::Debug for CryptoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CryptoKey({}, <secret>)", self.suite.name())
    }
}
