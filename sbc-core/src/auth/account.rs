//! User name and password at a peer.

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

/// A password. Never printed, compared in constant time, wiped when dropped.
#[derive(Clone)]
pub struct Password(Vec<u8>);

impl Password {
    /// Takes a password as it was read.
    pub const fn new(octets: Vec<u8>) -> Self {
        Self(octets)
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
