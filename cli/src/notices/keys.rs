//! Whether a token is signed with a key of a directory of Entra, and good at this time (RFC 7515, RFC 7519 §4.1).
//!
//! RS256 and nothing else: it is what Entra signs with, and a token does not choose. Keys are asked for when there are
//! none, when they are a day old, and when a token names one that is not known, but not more often than once a
//! minute: whoever makes names up has nobody asked without end.

use crate::graph::reach::{Reach, now};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use hyper::{Request, StatusCode};
use sbc_core::sdp::base64_url_decode;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Keys of a directory that are kept; Entra has some five.
const MOST: usize = 64;
/// Octets of a key: 4096 bits.
const LARGEST: usize = 512;
/// How old keys may become.
const DAY: Duration = Duration::from_secs(86_400);
/// How often they are asked for at most.
const PAUSE: Duration = Duration::from_secs(60);
/// How long that may take: somebody waits.
const LIMIT: Duration = Duration::from_secs(20);
/// By how much clocks may differ, seconds.
const SKEW_S: u64 = 300;

/// Keys of one directory.
#[derive(Default)]
pub(super) struct Keys {
    all: BTreeMap<String, Rsa>,
    asked: Option<Instant>,
    read: Option<Instant>,
}

struct Rsa {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl Keys {
    /// What a token says, if one of these keys has signed it and its time has come and is not over.
    ///
    /// # Errors
    /// Why it is not believed.
    pub(super) async fn claims(
        &mut self,
        token: &str,
        (reach, host, directory): (&Reach, &'static str, &str),
    ) -> Result<Value, &'static str> {
        let read = Token::read(token)?;
        let now = Instant::now();
        let is_old = self.read.is_none_or(|at| now - at >= DAY);
        let may_ask = self.asked.is_none_or(|at| now - at >= PAUSE);
        if (is_old || !self.all.contains_key(&read.key)) && may_ask {
            self.asked = Some(now);
            let path = format!("/{directory}/discovery/v2.0/keys");
            let asked = asked(reach, host, &path);
            // Those that are known stay good where nobody can be asked.
            if let Ok(Some(all)) = tokio::time::timeout(LIMIT, asked).await {
                (self.all, self.read) = (all, Some(now));
            }
        }
        let key = self.all.get(&read.key);
        let key = key.ok_or("its token is signed with a key that the directory does not have")?;
        read.check(key)
    }
}

async fn asked(reach: &Reach, host: &'static str, path: &str) -> Option<BTreeMap<String, Rsa>> {
    let request = || Request::get(path);
    let reply = reach
        .patiently(host, request, Default::default)
        .await
        .ok()?;
    let answer: Value = serde_json::from_slice(&reply.body).ok()?;
    (reply.status == StatusCode::OK).then(|| keys(&answer))
}

/// The keys of an answer with which tokens are signed.
fn keys(answer: &Value) -> BTreeMap<String, Rsa> {
    let all = answer["keys"].as_array().into_iter().flatten();
    let usable = all.filter_map(|key| {
        let number = |name: &str| {
            let octets = base64_url_decode(key[name].as_str()?.as_bytes())?;
            (octets.len() <= LARGEST).then_some(octets)
        };
        let is_meant = key["kty"] == "RSA" && (key["use"].is_null() || key["use"] == "sig");
        let id = key["kid"]
            .as_str()
            .filter(|id| is_meant && id.len() <= 256)?;
        let rsa = Rsa {
            modulus: number("n")?,
            exponent: number("e")?,
        };
        Some((id.to_owned(), rsa))
    });
    usable.take(MOST).collect()
}

/// A token that was read and is not believed yet.
struct Token<'t> {
    /// The key that it names.
    key: String,
    signed: &'t str,
    claims: Value,
    signature: Vec<u8>,
}

impl<'t> Token<'t> {
    fn read(token: &'t str) -> Result<Self, &'static str> {
        const NONE: &str = "its token is none";
        let (signed, signature) = token.rsplit_once('.').ok_or(NONE)?;
        let (header, claims) = signed.split_once('.').ok_or(NONE)?;
        let value = |part: &str| -> Option<Value> {
            let octets = base64_url_decode(part.as_bytes())?;
            serde_json::from_slice(&octets).ok()
        };
        let header = value(header).ok_or(NONE)?;
        if header["alg"] != "RS256" || !header["crit"].is_null() {
            return Err("its token is not signed as Microsoft signs");
        }
        Ok(Self {
            key: header["kid"].as_str().ok_or(NONE)?.to_owned(),
            signed,
            claims: value(claims).ok_or(NONE)?,
            signature: base64_url_decode(signature.as_bytes()).ok_or(NONE)?,
        })
    }

    fn check(self, key: &Rsa) -> Result<Value, &'static str> {
        let public = RsaPublicKeyComponents {
            n: &key.modulus,
            e: &key.exponent,
        };
        let scheme = &RSA_PKCS1_2048_8192_SHA256;
        public
            .verify(scheme, self.signed.as_bytes(), &self.signature)
            .map_err(|_| "the signature of its token is wrong")?;
        let now = now().as_micros() / 1_000_000;
        let until = self.claims["exp"].as_u64();
        let from = self.claims["nbf"].as_u64().unwrap_or(0);
        match until.is_some_and(|until| until.saturating_add(SKEW_S) > now) {
            true if from <= now + SKEW_S => Ok(self.claims),
            true => Err("its token is not good yet"),
            false => Err("its token has ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
    use sbc_core::sdp::base64_encode;
    use serde_json::json;

    fn url(octets: &[u8]) -> String {
        let text = base64_encode(octets);
        text.trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_")
    }

    fn token(pair: &KeyPair, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| url(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = SystemRandom::new();
        pair.sign(
            &RSA_PKCS1_SHA256,
            &random,
            signed.as_bytes(),
            &mut signature,
        )
        .unwrap();
        format!("{signed}.{}", url(&signature))
    }

    /// TDG-PRS-003, RFC 8725 §3.1.
    #[test]
    fn a_token_is_believed_with_its_key_at_its_time_and_not_otherwise() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let shown = json!({ "keys": [
            { "kty": "RSA", "kid": "one", "n": url(public.modulus().big_endian_without_leading_zero()),
              "e": url(public.exponent().big_endian_without_leading_zero()) },
            { "kty": "RSA", "kid": "two", "use": "enc", "n": "AQAB", "e": "AQAB" },
            { "kty": "EC", "kid": "three" },
            { "kty": "RSA", "kid": "four", "n": "AA".repeat(1_000), "e": "AQAB" },
        ] });
        let all = keys(&shown);
        assert_eq!(all.keys().collect::<Vec<_>>(), ["one"]);
        let header = json!({ "alg": "RS256", "kid": "one" });
        let now = now().as_micros() / 1_000_000;
        let checked = |token: &str| Token::read(token).and_then(|read| read.check(&all["one"]));
        let good = token(&pair, &header, &json!({ "exp": now + 10, "a": 1 }));
        assert_eq!(checked(&good).unwrap()["a"], 1);
        for (claims, why) in [
            (json!({ "exp": now - 400 }), "has ended"),
            (json!({}), "has ended"),
            (json!({ "exp": "x" }), "has ended"),
            (
                json!({ "exp": now + 900, "nbf": now + 400 }),
                "not good yet",
            ),
        ] {
            let told = checked(&token(&pair, &header, &claims)).unwrap_err();
            assert!(told.contains(why), "{claims} {told}");
        }
        for header in [
            json!({ "alg": "none", "kid": "one" }),
            json!({ "alg": "HS256", "kid": "one" }),
            json!({ "alg": "RS256", "kid": "one", "crit": ["exp"] }),
            json!({ "alg": "RS256" }),
        ] {
            let read = Token::read(&token(&pair, &header, &json!({ "exp": now + 10 }))).map(|_| ());
            assert!(read.is_err(), "{header}");
        }
        let (signed, _) = good.rsplit_once('.').unwrap();
        for broken in [
            "",
            "a",
            "a.b",
            "a.b.c",
            "....",
            signed,
            &format!("{signed}."),
        ] {
            assert!(checked(broken).is_err(), "{broken}");
        }
        let other = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let forged = token(&other, &header, &json!({ "exp": now + 10 }));
        assert_eq!(
            checked(&forged).unwrap_err(),
            "the signature of its token is wrong"
        );
    }
}
