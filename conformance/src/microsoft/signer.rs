//! Keys that sign tokens, and how their owner publishes them (RFC 7515, RFC 7517, RFC 7518 §3).

use super::base64;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData as _};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use serde_json::{Value, json};
use std::sync::Arc;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::RSAPublicKey;

/// A key, and its name.
#[derive(Clone)]
pub struct Signer {
    kid: String,
    key: Arc<dyn SigningKey>,
    public: Public,
}

#[derive(Clone)]
enum Public {
    Rsa { n: String, e: String },
    P256 { x: String, y: String },
}

impl Signer {
    /// A new RSA key of 2048 bits.
    ///
    /// # Panics
    /// The system cannot make keys.
    pub fn rsa(kid: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("an RSA key");
        let (_, public) = RSAPublicKey::from_der(pair.der_bytes()).expect("its public half");
        let number = |octets: &[u8]| {
            let zeros = octets.iter().take_while(|octet| **octet == 0).count();
            base64::encode_url(&octets[zeros..])
        };
        let public = Public::Rsa {
            n: number(public.modulus),
            e: number(public.exponent),
        };
        Self::of(kid, &pair, public)
    }

    /// A new key on the curve P-256.
    ///
    /// # Panics
    /// The system cannot make keys.
    pub fn p256(kid: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key on P-256");
        // 4, then the two numbers (SEC 1 §2.3.3).
        let (x, y) = pair.der_bytes()[1..].split_at(32);
        let public = Public::P256 {
            x: base64::encode_url(x),
            y: base64::encode_url(y),
        };
        Self::of(kid, &pair, public)
    }

    fn of(kid: &str, pair: &KeyPair, public: Public) -> Self {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        Self {
            kid: kid.to_owned(),
            key: any_supported_type(&key).expect("a key that signs"),
            public,
        }
    }

    /// Its name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The same key by another name.
    #[must_use]
    pub fn called(&self, kid: &str) -> Self {
        Self {
            kid: kid.to_owned(),
            ..self.clone()
        }
    }

    /// As it is published.
    pub fn jwk(&self) -> Value {
        match &self.public {
            Public::Rsa { n, e } => {
                json!({ "kty": "RSA", "use": "sig", "kid": self.kid, "n": n, "e": e })
            }
            Public::P256 { x, y } => {
                json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": self.kid, "x": x, "y": y })
            }
        }
    }

    /// A token with these claims, in the way that is usual for the key.
    pub fn token(&self, claims: &Value) -> String {
        let alg = match self.public {
            Public::Rsa { .. } => "RS256",
            Public::P256 { .. } => "ES256",
        };
        self.token_of(
            &json!({ "alg": alg, "typ": "JWT", "kid": self.kid }),
            claims,
        )
    }

    /// A token with this header; what no key here can do is signed with nothing.
    pub fn token_of(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| base64::encode_url(value.to_string().as_bytes());
        let input = format!("{}.{}", part(header), part(claims));
        let scheme = match header["alg"].as_str() {
            Some("RS256") => Some(SignatureScheme::RSA_PKCS1_SHA256),
            Some("PS256") => Some(SignatureScheme::RSA_PSS_SHA256),
            Some("ES256") => Some(SignatureScheme::ECDSA_NISTP256_SHA256),
            _ => None,
        };
        let signer = scheme.and_then(|scheme| self.key.choose_scheme(&[scheme]));
        let signature = signer.and_then(|signer| signer.sign(input.as_bytes()).ok());
        let mut signature = signature.unwrap_or_default();
        if scheme == Some(SignatureScheme::ECDSA_NISTP256_SHA256) {
            signature = two_numbers(&signature);
        }
        format!("{input}.{}", base64::encode_url(&signature))
    }
}

/// A signature as tokens have it (RFC 7518 §3.4), of one as TLS has it.
fn two_numbers(der: &[u8]) -> Vec<u8> {
    let mut rest = der.get(2..).unwrap_or_default();
    let mut both = Vec::new();
    while let [2, length, more @ ..] = rest {
        let Some((number, after)) = more.split_at_checked(usize::from(*length)) else {
            break;
        };
        let number = &number[number.len().saturating_sub(32)..];
        both.extend(std::iter::repeat_n(0, 32 - number.len()));
        both.extend_from_slice(number);
        rest = after;
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_has_two_numbers_of_32_octets() {
        let mut der = vec![0x30, 37, 2, 33, 0];
        der.extend([7; 32]);
        der.extend([2, 1, 5]);
        let both = two_numbers(&der);
        assert_eq!(both[..32], [7; 32]);
        assert_eq!((both.len(), both[62], both[63]), (64, 0, 5));
    }
}
