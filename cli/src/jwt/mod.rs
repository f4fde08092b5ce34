//! Tokens that somebody else has signed: whether they are what they say, and for us (TDG-ENT-004, RFC 7519, RFC 8725).
//!
//! ```text
//! token ─► algorithm ─► key by its name ─► signature ─► iss, aud, times, tenant, nonce ─► claims
//! ```
//!
//! Only signatures by a key pair count: RS256, PS256 and ES256. What says `none`, or names a shared secret (HMAC), is
//! refused before a key is looked for. Keys come from the issuer's discovery document [`issuer`], or from the place
//! that is known of a directory (`notices`), and from nowhere else: what a token itself carries or points to (`jwk`,
//! `jku`, `x5c`, `x5u`) is not looked at.

pub mod fetch;
pub mod issuer;
mod keys;

pub use keys::KeySet;

use jsonwebtoken::{Algorithm, Validation, decode};
use sbc_core::sdp::base64_url_decode;
use sbc_core::time::UnixTime;
use serde_json::Value;
use subtle::ConstantTimeEq as _;

/// Longest token that is looked at, octets.
pub const LONGEST: usize = 16 * 1024;
/// By how much the issuer's clock may differ from ours, seconds.
pub const SKEW_S: u64 = 60;
/// In the issuer of an application of several directories this stands for the directory.
pub const TENANT: &str = "{tenantid}";

/// Algorithms that count (RFC 7518 §3.1).
const ALGORITHMS: [(&str, Algorithm); 3] = [
    ("RS256", Algorithm::RS256),
    ("PS256", Algorithm::PS256),
    ("ES256", Algorithm::ES256),
];

/// What a token must say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected<'e> {
    /// One of these has made it; [`TENANT`] in it stands for the token's own `tid`.
    pub issuers: &'e [String],
    /// It is for this one, and for nobody else.
    pub audience: &'e str,
    /// Directories that may come. Empty: `tid` is not looked at, unless an issuer has [`TENANT`].
    pub tenants: &'e [String],
    /// It answers this request, if it answers any.
    pub nonce: Option<&'e str>,
}

/// What a token says that was checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Claims(Value);

impl Claims {
    /// As if they had been checked.
    #[cfg(test)]
    pub fn of(value: Value) -> Self {
        Self(value)
    }

    /// A claim that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// The texts of a claim that is a list, or one text.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        match self.0.get(name) {
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one],
            _ => Vec::new(),
        }
    }
}

/// Why a token does not count. Texts of it are cut short.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenFault {
    /// It has too many octets.
    #[error("the token is longer than 16 KiB")]
    TooLong,
    /// It has not the form of a signed token.
    #[error("the token is no signed JWT")]
    Unreadable,
    /// It is signed in a way that does not count, or not at all.
    #[error("the token's alg is {0:?}; RS256, PS256 and ES256 count")]
    Algorithm(String),
    /// It has extensions that must be understood.
    #[error("the token's header has crit, and nothing of it is known here (RFC 7515 §4.1.11)")]
    Critical,
    /// It is a token for something else.
    #[error("the token's typ is {0:?}, not JWT")]
    Kind(String),
    /// Its header names no key.
    #[error("the token names no key (kid)")]
    NoKey,
    /// The issuer has no key of this name.
    #[error("the issuer has no key {0:?}")]
    UnknownKey(String),
    /// The key is not of its algorithm.
    #[error("the key {0:?} is not for the token's alg")]
    WrongKey(String),
    /// The signature is not that of the key.
    #[error("the token's signature is not that of its key")]
    Signature,
    /// A claim is absent or of another type.
    #[error("the token has no usable {0}")]
    Missing(&'static str),
    /// Somebody else has made it.
    #[error("the token's iss is {0:?}")]
    Issuer(String),
    /// It is for somebody else.
    #[error("the token's aud is not our client_id alone")]
    Audience,
    /// Its directory may not come.
    #[error("the token's tid {0:?} is none of the tenants that may sign in")]
    Tenant(String),
    /// It has ended.
    #[error("the token has expired {0} s ago; is the clock of this host right?")]
    Expired(u64),
    /// It has not begun.
    #[error("the token begins in {0} s; is the clock of this host right?")]
    NotYet(u64),
    /// It answers another request.
    #[error("the token's nonce is not that of this request")]
    Nonce,
}

/// Checks a token with these keys.
///
/// # Errors
/// [`TokenFault`]: the first thing that is wrong; [`TokenFault::UnknownKey`] may be cured by newer keys.
pub fn check(
    token: &str,
    keys: &KeySet,
    expected: &Expected<'_>,
    now: UnixTime,
) -> Result<Claims, TokenFault> {
    if token.len() > LONGEST {
        return Err(TokenFault::TooLong);
    }
    let (algorithm, kid) = head(token)?;
    let key = keys
        .named(&kid)
        .ok_or_else(|| TokenFault::UnknownKey(short(&kid)))?;
    if !key.is_for(algorithm) {
        return Err(TokenFault::WrongKey(short(&kid)));
    }
    // The library knows the clock of this host alone, and tells less of what is wrong.
    let mut rules = Validation::new(algorithm);
    rules.required_spec_claims.clear();
    (rules.validate_exp, rules.validate_aud) = (false, false);
    let decoded = decode::<Value>(token, key.decoding(), &rules);
    let claims = decoded.map_err(|_| TokenFault::Signature)?.claims;
    if let Some(issuer) = &key.issuer {
        of_issuers(&claims, std::slice::from_ref(issuer))?;
    }
    of_issuers(&claims, expected.issuers)?;
    let audience = match &claims["aud"] {
        Value::Array(all) if all.len() == 1 => all.first().and_then(Value::as_str),
        one => one.as_str(),
    };
    if audience != Some(expected.audience) {
        return Err(TokenFault::Audience);
    }
    in_time(&claims, now)?;
    let is_of_several = expected.issuers.iter().any(|own| own.contains(TENANT));
    if is_of_several || !expected.tenants.is_empty() {
        let tenant = claims["tid"].as_str().ok_or(TokenFault::Missing("tid"))?;
        let mut known = expected.tenants.iter();
        if !known.any(|own| own.eq_ignore_ascii_case(tenant)) {
            return Err(TokenFault::Tenant(short(tenant)));
        }
    }
    if let Some(nonce) = expected.nonce {
        let told = claims["nonce"].as_str().unwrap_or_default();
        if !bool::from(told.as_bytes().ct_eq(nonce.as_bytes())) {
            return Err(TokenFault::Nonce);
        }
    }
    Ok(Claims(claims))
}

/// Algorithm and name of the key.
fn head(token: &str) -> Result<(Algorithm, String), TokenFault> {
    let mut parts = token.split('.');
    let (Some(first), Some(_), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenFault::Unreadable);
    };
    let octets = base64_url_decode(first.as_bytes()).ok_or(TokenFault::Unreadable)?;
    let head: Value = serde_json::from_slice(&octets).map_err(|_| TokenFault::Unreadable)?;
    let told = head["alg"].as_str().unwrap_or_default();
    let known = ALGORITHMS.iter().find(|(name, _)| *name == told);
    let (_, algorithm) = known.ok_or_else(|| TokenFault::Algorithm(short(told)))?;
    if head.get("crit").is_some() {
        return Err(TokenFault::Critical);
    }
    // An access token or one of a sign-out is none of ours (RFC 8725 §3.11).
    if let Some(kind) = head["typ"].as_str()
        && !kind.eq_ignore_ascii_case("JWT")
    {
        return Err(TokenFault::Kind(short(kind)));
    }
    let kid = head["kid"].as_str().ok_or(TokenFault::NoKey)?;
    Ok((*algorithm, kid.to_owned()))
}

fn of_issuers(claims: &Value, issuers: &[String]) -> Result<(), TokenFault> {
    let told = claims["iss"].as_str().ok_or(TokenFault::Missing("iss"))?;
    let tenant = claims["tid"].as_str();
    let is_it = |own: &String| match tenant {
        Some(tenant) if own.contains(TENANT) => own.replace(TENANT, tenant) == told,
        _ => own == told && !own.contains(TENANT),
    };
    match issuers.iter().any(is_it) {
        true => Ok(()),
        false => Err(TokenFault::Issuer(short(told))),
    }
}

fn in_time(claims: &Value, now: UnixTime) -> Result<(), TokenFault> {
    // Whole seconds are usual, and parts of one are allowed (RFC 7519 §2).
    let second = |name: &'static str| match &claims[name] {
        Value::Null => Ok(None),
        Value::Number(number) => match number.as_f64() {
            Some(second) if (0.0..1e12).contains(&second) => Ok(Some(second as u64)),
            _ => Err(TokenFault::Missing(name)),
        },
        _ => Err(TokenFault::Missing(name)),
    };
    let now = now.as_micros() / 1_000_000;
    let end = second("exp")?.ok_or(TokenFault::Missing("exp"))?;
    if end.saturating_add(SKEW_S) <= now {
        return Err(TokenFault::Expired(now - end));
    }
    for name in ["nbf", "iat"] {
        if let Some(begin) = second(name)?
            && begin > now + SKEW_S
        {
            return Err(TokenFault::NotYet(begin - now));
        }
    }
    Ok(())
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests;
