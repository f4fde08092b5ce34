//! Keys of an issuer, by their names (RFC 7517).

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::Value;
use std::collections::BTreeMap;

/// Keys of a document that are kept; Entra has about ten.
const MOST: usize = 64;
/// Longest name of a key, octets.
const LONGEST_NAME: usize = 256;

/// All keys that an issuer signs with.
#[derive(Clone, Default)]
pub struct KeySet(BTreeMap<String, Key>);

/// One of them.
#[derive(Clone)]
pub(super) struct Key {
    decoding: DecodingKey,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<String>,
    /// Whose tokens it signs, if it says so: one document of Entra has keys of several issuers.
    pub(super) issuer: Option<String>,
}

impl KeySet {
    /// Reads a document. A key of another kind, one that does not sign, and one without a name are passed over.
    /// `None`: it is no such document.
    pub fn read(document: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(document).ok()?;
        let all = document.get("keys")?.as_array()?;
        let keys = all.iter().filter_map(Key::read).take(MOST);
        Some(Self(keys.collect()))
    }

    pub(super) fn named(&self, name: &str) -> Option<&Key> {
        self.0.get(name)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Key {
    fn read(key: &Value) -> Option<(String, Self)> {
        let text = |name: &str| key.get(name)?.as_str();
        let name = text("kid").filter(|name| name.len() <= LONGEST_NAME)?;
        if text("use").is_some_and(|what| what != "sig") {
            return None;
        }
        let decoding = match text("kty")? {
            "RSA" => DecodingKey::from_rsa_components(text("n")?, text("e")?),
            "EC" if text("crv") == Some("P-256") => {
                DecodingKey::from_ec_components(text("x")?, text("y")?)
            }
            _ => return None,
        };
        let key = Self {
            decoding: decoding.ok()?,
            algorithm: text("alg").map(str::to_owned),
            issuer: text("issuer").map(str::to_owned),
        };
        Some((name.to_owned(), key))
    }

    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        let family = match algorithm {
            Algorithm::ES256 => AlgorithmFamily::Ec,
            _ => AlgorithmFamily::Rsa,
        };
        let told = self.algorithm.as_deref();
        self.decoding.family() == family && told.is_none_or(|told| told == format!("{algorithm:?}"))
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}
