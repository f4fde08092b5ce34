//! What an application says to prove that it has the key of a certificate: a JWT that is signed with PS256
//! (TDG-ENT-001, RFC 7523 §3, RFC 7518 §3.5).
//!
//! The library that signs handshakes signs it: RSA-PSS with SHA-256 and a salt of the same length is one of
//! the schemes of TLS.

use crate::config::{read_certificates, read_key};
use crate::daemon::net::tls::random;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use sbc_core::config::{FileFault, Secret};
use sbc_core::sdp::base64_encode;
use sbc_core::time::UnixTime;
use serde_json::json;
use sha2::{Digest, Sha256};

/// For how long an assertion is good: ten minutes would be allowed.
const LIFETIME_S: u64 = 300;

/// Makes an assertion for the endpoint at which it is shown.
///
/// # Errors
/// Why certificate or key cannot be used.
pub(super) fn assertion(
    cert: &str,
    key: &Secret,
    client_id: &str,
    endpoint: &str,
    now: UnixTime,
) -> Result<String, FileFault> {
    let unusable = |what: &str| FileFault::Unusable(what.to_owned());
    let chain = read_certificates(cert)?;
    let leaf = chain
        .first()
        .ok_or_else(|| unusable("there is no certificate in it"))?;
    let signer = any_supported_type(&read_key(key)?)
        .map_err(|_| unusable("the private key is of a kind that is not known"))?;
    let signer = signer
        .choose_scheme(&[SignatureScheme::RSA_PSS_SHA256])
        .ok_or_else(|| unusable("the key is not RSA, and Entra takes no other"))?;
    let header = json!({
        "alg": "PS256",
        "typ": "JWT",
        "x5t#S256": url_safe(&Sha256::digest(leaf)),
    });
    let mut id = [0; 16];
    random(&mut id).map_err(|()| unusable("the system has no random numbers for it"))?;
    let now = now.as_micros() / 1_000_000;
    let claims = json!({
        "aud": endpoint,
        "iss": client_id,
        "sub": client_id,
        "jti": url_safe(&id),
        "nbf": now,
        "exp": now + LIFETIME_S,
    });
    let part = |value: &serde_json::Value| url_safe(value.to_string().as_bytes());
    let input = format!("{}.{}", part(&header), part(&claims));
    let signature = signer
        .sign(input.as_bytes())
        .map_err(|_| unusable("the key does not sign; RSA of 2048 bits or more does"))?;
    Ok(format!("{input}.{}", url_safe(&signature)))
}

/// Base64 for URLs, without padding (RFC 4648 §5).
fn url_safe(octets: &[u8]) -> String {
    let text = base64_encode(octets);
    text.trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_")
}
