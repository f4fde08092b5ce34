//! User name and password at a peer.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// What proves to a peer that we are its customer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// User name in credentials.
    pub username: String,
    /// Password.
    pub password: Password,
    /// Realms whose challenges are answered, octet by octet as the peer writes them.
    pub realms: Vec<String>,
    /// Whether MD5 may be used where the peer offers nothing better.
    pub allows_md5: bool,
}

impl Account {
    /// Whether challenges of this realm are answered.
    pub fn has_realm(&self, realm: &[u8]) -> bool {
        self.realms.iter().any(|own| own.as_bytes() == realm)
    }
}

impl Account {
    /// What tells this account from every other one and from itself with another password. `over` is
    /// something that differs each time. Whoever has a seal can try passwords on it, as on what a
    /// digest shows on the wire, so it is kept as a secret is.
    pub fn seal(&self, over: &[u8]) -> Seal {
        // The digest brings a key of any length to that of its block (RFC 2104 §3).
        let mut key = [0; 64];
        let own = self.password.expose();
        match own.len() <= key.len() {
            true => key[..own.len()].copy_from_slice(own),
            false => key[..32].copy_from_slice(&Sha256::digest(own)),
        }
        let mut mac = Hmac::<Sha256>::new((&key).into());
        key.zeroize();
        for part in [self.username.as_bytes(), over] {
            mac.update(part);
            mac.update(&[0]);
        }
        for realm in &self.realms {
            mac.update(realm.as_bytes());
            mac.update(&[0]);
        }
        let whole = mac.finalize().into_bytes();
        let mut seal = [0; 16];
        seal.copy_from_slice(&whole[..16]);
        Seal(seal)
    }
}

/// What [`Account::seal`] makes of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seal([u8; 16]);

impl Seal {
    /// Whether it is the one that was written down.
    pub fn is(&self, written: &str) -> bool {
        self.to_string().as_bytes().ct_eq(written.as_bytes()).into()
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// A password. Never printed, compared in constant time, wiped when dropped.
#[derive(Clone)]
pub struct Password(Vec<u8>);

impl Password {
    /// Takes a password as it was read.
    pub const fn new(octets: Vec<u8>) -> Self {
        Self(octets)
    }

    /// The sum that only whoever knows it can make of these octets (HMAC-SHA-256).
    pub fn authenticates(&self, octets: &[u8]) -> [u8; 32] {
        // RFC 2104 takes keys of any length, and so does this.
        let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0) else {
            return [0; 32];
        };
        mac.update(octets);
        mac.finalize().into_bytes().into()
    }

    /// The octets, for computing digests and nothing else.
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
