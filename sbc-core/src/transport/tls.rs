//! What a TLS handshake has agreed on.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// A cipher suite by its number in the registry of IANA, which says the version of TLS as well: suites of TLS 1.3 are
/// of no other version (RFC 8446 §B.4), and nothing older than TLS 1.2 is spoken here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlsSuite(pub u16);

impl TlsSuite {
    /// Version of TLS, as records tell it.
    pub const fn version(self) -> &'static str {
        match self.0 >> 8 {
            0x13 => "TLSv1.3",
            _ => "TLSv1.2",
        }
    }

    /// Its name in the registry; the number of one that we do not know.
    pub fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self.0 {
            0x1301 => "TLS_AES_128_GCM_SHA256",
            0x1302 => "TLS_AES_256_GCM_SHA384",
            0x1303 => "TLS_CHACHA20_POLY1305_SHA256",
            0xc02b => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            0xc02c => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            0xc02f => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            0xc030 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            0xcca8 => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            0xcca9 => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            other => return Cow::Owned(format!("0x{other:04x}")),
        })
    }
}

/// As records show it: `{"version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256"}`.
impl Serialize for TlsSuite {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut shown = to.serialize_struct("TlsSuite", 2)?;
        shown.serialize_field("version", self.version())?;
        shown.serialize_field("cipher", &self.name())?;
        shown.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_has_the_name_of_the_registry_and_says_the_version() {
        assert_eq!(TlsSuite(0x1302).name(), "TLS_AES_256_GCM_SHA384");
        assert_eq!(TlsSuite(0x1302).version(), "TLSv1.3");
        assert_eq!(
            TlsSuite(0xc02f).name(),
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        );
        assert_eq!(TlsSuite(0xc02f).version(), "TLSv1.2");
        assert_eq!(TlsSuite(0x009c).name(), "0x009c");
    }
}
