//! SDES key material (RFC 4568), typed so that it cannot be printed or copied by accident.

use std::fmt;
use zeroize::Zeroize;

/// An SRTP crypto suite of RFC 4568, RFC 6188 or RFC 7714.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`: 128-bit counter mode, 80-bit tag.
    AesCm128HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32`: 32-bit tag on RTP, 80-bit tag on RTCP.
    AesCm128HmacSha1_32,
    /// `AES_192_CM_HMAC_SHA1_80`: 192-bit counter mode.
    AesCm192HmacSha1_80,
    /// `AES_192_CM_HMAC_SHA1_32`: the same with the short tag on RTP.
    AesCm192HmacSha1_32,
    /// `AES_256_CM_HMAC_SHA1_80`: 256-bit counter mode.
    AesCm256HmacSha1_80,
    /// `AES_256_CM_HMAC_SHA1_32`: the same with the short tag on RTP.
    AesCm256HmacSha1_32,
    /// `AEAD_AES_128_GCM`: 128-bit Galois/counter mode, 128-bit tag.
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM`: 256-bit Galois/counter mode.
    AeadAes256Gcm,
}

impl Suite {
    /// All of them, those of RFC 4568 first.
    pub const ALL: [Self; 8] = [
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::AesCm192HmacSha1_80,
        Self::AesCm192HmacSha1_32,
        Self::AesCm256HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// Name in `a=crypto`, as registered.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm192HmacSha1_80 => "AES_192_CM_HMAC_SHA1_80",
            Self::AesCm192HmacSha1_32 => "AES_192_CM_HMAC_SHA1_32",
            Self::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Another name that is common although it is not registered.
    pub const fn misspelling(self) -> Option<&'static str> {
        match self {
            Self::AesCm192HmacSha1_80 => Some("AES_CM_192_HMAC_SHA1_80"),
            Self::AesCm192HmacSha1_32 => Some("AES_CM_192_HMAC_SHA1_32"),
            Self::AesCm256HmacSha1_80 => Some("AES_CM_256_HMAC_SHA1_80"),
            Self::AesCm256HmacSha1_32 => Some("AES_CM_256_HMAC_SHA1_32"),
            Self::AesCm128HmacSha1_80
            | Self::AesCm128HmacSha1_32
            | Self::AeadAes128Gcm
            | Self::AeadAes256Gcm => None,
        }
    }

    /// The suite of this name, and the name; either of the two is taken, in any case (RFC 4568 §9.1, RFC 5234 §2.3).
    pub fn from_name(name: &[u8]) -> Option<(Self, &'static str)> {
        Self::ALL.into_iter().find_map(|suite| {
            let mut names = [Some(suite.name()), suite.misspelling()]
                .into_iter()
                .flatten();
            let spelt = names.find(|own| own.as_bytes().eq_ignore_ascii_case(name))?;
            Some((suite, spelt))
        })
    }

    /// Length of the master key in bytes, which is that of the session key as well.
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AesCm192HmacSha1_80 | Self::AesCm192HmacSha1_32 => 24,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Length of the master salt in bytes.
    pub const fn salt_bytes(self) -> usize {
        match self.is_aead() {
            true => 12,
            false => 14,
        }
    }

    /// Length of master key and master salt together, as an `inline:` value holds them.
    pub const fn key_and_salt_bytes(self) -> usize {
        self.key_bytes() + self.salt_bytes()
    }

    /// Length of the tag of an RTP packet in bytes.
    pub const fn rtp_tag_bytes(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_32 | Self::AesCm192HmacSha1_32 | Self::AesCm256HmacSha1_32 => 4,
            Self::AesCm128HmacSha1_80
            | Self::AesCm192HmacSha1_80
            | Self::AesCm256HmacSha1_80
            | Self::AeadAes128Gcm
            | Self::AeadAes256Gcm => self.rtcp_tag_bytes(),
        }
    }

    /// Length of the tag of an RTCP packet in bytes; the short suites shorten RTP only.
    pub const fn rtcp_tag_bytes(self) -> usize {
        match self.is_aead() {
            true => 16,
            false => 10,
        }
    }

    /// Whether one algorithm ciphers and authenticates (RFC 7714).
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }
}

/// Packets that a master key may protect where nothing else is said, 2⁴⁸ (RFC 3711 §9.2).
pub const LONGEST_LIFETIME: u64 = 1 << 48;

/// A master key and salt for one direction. Zeroised on drop, never printed.
///
/// Two are equal if their octets are, whatever lifetime was written behind them: what remembers the packets
/// that a key has protected must know it again.
#[derive(Clone)]
pub struct CryptoKey {
    suite: Suite,
    /// Master key followed by master salt, exactly as in the `inline:` value before base64.
    key_and_salt: Vec<u8>,
    /// Master key identifier; empty without one. No secret.
    identifier: Vec<u8>,
    /// Packets that it may protect.
    lifetime: u64,
}

impl PartialEq for CryptoKey {
    fn eq(&self, other: &Self) -> bool {
        (self.suite, &self.key_and_salt, &self.identifier)
            == (other.suite, &other.key_and_salt, &other.identifier)
    }
}

impl Eq for CryptoKey {}

impl CryptoKey {
    /// A key for `suite`, or `None` if the length is not key plus salt of that suite (MED-100).
    pub fn new(suite: Suite, key_and_salt: Vec<u8>) -> Option<Self> {
        let wanted = suite.key_and_salt_bytes();
        if key_and_salt.len() == wanted {
            Some(Self {
                suite,
                key_and_salt,
                identifier: Vec::new(),
                lifetime: LONGEST_LIFETIME,
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

    /// The same key for so many packets at most, of RTP and of RTCP each: 1 to 2⁴⁸ (RFC 4568 §6.1, MED-107).
    #[must_use]
    pub fn with_lifetime(mut self, packets: u64) -> Self {
        self.lifetime = packets.clamp(1, LONGEST_LIFETIME);
        self
    }

    /// How many packets it may protect.
    pub fn lifetime(&self) -> u64 {
        self.lifetime
    }

    /// Master key identifier that the peer's packets carry in front of the tag; empty without one.
    pub fn identifier(&self) -> &[u8] {
        &self.identifier
    }

    /// Whether this is the same key, however its packets name it.
    pub fn is_same_secret(&self, other: &Self) -> bool {
        (self.suite, &self.key_and_salt) == (other.suite, &other.key_and_salt)
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
