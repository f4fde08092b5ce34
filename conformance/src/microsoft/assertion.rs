//! Whether an assertion is one: its form, its times, its signature (TDG-ENT-001, RFC 7515, RFC 7518 §3.5).

use super::base64::decode_url;
use super::clock;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{SignatureScheme, SupportedCipherSuite};
use serde_json::Value;
use x509_parser::parse_x509_certificate;

/// Longest life that is taken, seconds.
const LONGEST_S: u64 = 600;
/// By how much clocks may differ, seconds.
const SKEW_S: u64 = 300;

/// Checks an assertion, and gives its identifier.
pub(super) fn check(
    text: &str,
    certificate: &[u8],
    application: &str,
    endpoint: &str,
) -> Result<String, String> {
    let parts: Vec<&str> = text.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        return Err(format!("{} parts are no signed token", parts.len()));
    };
    let value = |part: &str| -> Result<Value, String> {
        let octets = decode_url(part).ok_or("a part is not base64url without padding")?;
        serde_json::from_slice(&octets).map_err(|why| why.to_string())
    };
    let (head, claims_of) = (value(header)?, value(claims)?);
    let wanted = |is: &Value, should: &str, what: &str| match is.as_str() == Some(should) {
        true => Ok(()),
        false => Err(format!("{what} is {is}, not {should}")),
    };
    wanted(&head["alg"], "PS256", "alg")?;
    let thumb = head["x5t#S256"].as_str().and_then(decode_url);
    if thumb != Some(sha256(certificate)) {
        return Err("x5t#S256 is not the thumbprint of the registered certificate".to_owned());
    }
    wanted(&claims_of["aud"], endpoint, "aud")?;
    wanted(&claims_of["iss"], application, "iss")?;
    wanted(&claims_of["sub"], application, "sub")?;
    let id = claims_of["jti"].as_str().filter(|id| id.len() >= 16);
    let id = id.ok_or("jti is missing or can be guessed")?;
    let seconds = |name: &str| claims_of[name].as_u64().ok_or(format!("{name} is no time"));
    let (from, until, now) = (seconds("nbf")?, seconds("exp")?, clock::now_ms() / 1_000);
    if until <= from || until - from > LONGEST_S {
        return Err(format!(
            "it lives from {from} to {until}, longer than {LONGEST_S} s"
        ));
    }
    if from > now + SKEW_S || until + SKEW_S < now {
        return Err(format!("it lives from {from} to {until}, and now is {now}"));
    }
    let octets = decode_url(signature).ok_or("the signature is not base64url")?;
    let (_, parsed) = parse_x509_certificate(certificate).map_err(|why| why.to_string())?;
    let key = &parsed.public_key().subject_public_key.data;
    let provider = default_provider();
    let schemes = provider.signature_verification_algorithms.mapping.iter();
    let scheme = schemes
        .filter(|(scheme, _)| *scheme == SignatureScheme::RSA_PSS_SHA256)
        .find_map(|(_, all)| all.first())
        .ok_or("nobody here can check PS256")?;
    let signed = format!("{header}.{claims}");
    scheme
        .verify_signature(key, signed.as_bytes(), &octets)
        .map_err(|_| "the signature is not that of the registered key".to_owned())?;
    Ok(id.to_owned())
}

pub(super) fn sha256(octets: &[u8]) -> Vec<u8> {
    let provider = default_provider();
    let mut suites = provider.cipher_suites.iter();
    let hash = suites.find_map(|suite| match suite {
        SupportedCipherSuite::Tls13(suite) => {
            let hash = suite.common.hash_provider;
            (hash.output_len() == 32).then_some(hash)
        }
        SupportedCipherSuite::Tls12(_) => None,
    });
    hash.map_or_else(Vec::new, |hash| hash.hash(octets).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_assertion_is_told() {
        for (text, why) in [
            ("", "1 parts"),
            ("a.b", "2 parts"),
            ("e30.e30.e30", "alg is null"),
            ("=.e30.e30", "base64url"),
        ] {
            let told = check(text, &[], "application", "endpoint").unwrap_err();
            assert!(told.contains(why), "{told}");
        }
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hash: String = sha256(b"abc").iter().map(|o| format!("{o:02x}")).collect();
        assert_eq!(hash, abc);
    }
}
