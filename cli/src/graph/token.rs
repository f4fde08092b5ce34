//! Tokens of an application: fetched with its proof, kept until four fifths of their life are over
//! (TDG-ENT-001, TDG-ENT-005).

use super::assertion::assertion;
use super::fault::{GraphFault, Refusal};
use super::reach::{FORM, Reach, escaped, now};
use crate::config::read_secret;
use hyper::{Request, StatusCode};
use sbc_core::config::{FileFault, GraphAccess, GraphProof};
use serde_json::Value;
use std::time::{Duration, Instant};

/// What an assertion is called.
const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long a token is good if nobody says so.
const USUAL_S: u64 = 3_599;
/// Longest life that is believed.
const LONGEST_S: u64 = 86_400;

/// The token of one application of one customer. Those of several customers never meet (TDG-ENT-006).
#[derive(Default)]
pub(super) struct Tokens {
    current: Option<Token>,
}

struct Token {
    text: String,
    renew_at: Instant,
}

impl Tokens {
    /// A token that is good for a while.
    pub(super) async fn current(
        &mut self,
        access: &GraphAccess,
        reach: &Reach,
    ) -> Result<&str, GraphFault> {
        let is_good = |token: &Token| Instant::now() < token.renew_at;
        let kept = self.current.take().filter(is_good);
        let token = match kept {
            Some(token) => token,
            None => fetch(access, reach).await?,
        };
        Ok(&self.current.insert(token).text)
    }

    /// The next one is a new one.
    pub(super) fn forget(&mut self) {
        self.current = None;
    }
}

async fn fetch(access: &GraphAccess, reach: &Reach) -> Result<Token, GraphFault> {
    let host = access.cloud.login();
    let path = format!("/{}/oauth2/v2.0/token", access.tenant_id);
    // An assertion is made anew for each try: it may have been waited for longer than it lives.
    let form = || form(access, &format!("https://{host}{path}"));
    let proof = form()?;
    let body = || form().unwrap_or_else(|_| proof.clone()).into();
    let request = || Request::post(&path).header(FORM.0, FORM.1);
    let asked_at = Instant::now();
    let reply = reach.patiently(host, request, body).await?;
    if reply.status != StatusCode::OK {
        let refusal = Refusal::of_login(access, &reply, reach.clock_ahead_s());
        return Err(GraphFault::Refused(Box::new(refusal)));
    }
    let answer: Value =
        serde_json::from_slice(&reply.body).map_err(|_| GraphFault::Unreadable { host })?;
    let text = answer["access_token"].as_str().unwrap_or_default();
    if text.is_empty() {
        return Err(GraphFault::Unreadable { host });
    }
    Ok(Token {
        text: text.to_owned(),
        renew_at: asked_at + kept_for(&answer["expires_in"]),
    })
}

/// Four fifths of the life that the answer tells, as a number or as text.
fn kept_for(expires_in: &Value) -> Duration {
    let text = expires_in.as_str().and_then(|text| text.parse().ok());
    let seconds = expires_in.as_u64().or(text).unwrap_or(USUAL_S);
    Duration::from_secs(seconds.min(LONGEST_S)) * 4 / 5
}

fn form(access: &GraphAccess, endpoint: &str) -> Result<String, GraphFault> {
    let unusable = |(what, fault)| {
        let (FileFault::Unreadable(why) | FileFault::Unusable(why)) = fault;
        GraphFault::Proof { what, why }
    };
    let scope = format!("https://{}/.default", access.cloud.graph());
    let mut fields = vec![
        ("client_id", access.client_id.clone().into_bytes()),
        ("scope", scope.into_bytes()),
        ("grant_type", b"client_credentials".to_vec()),
    ];
    fields.extend(proven(&access.proof, &access.client_id, endpoint).map_err(unusable)?);
    let fields = fields.iter();
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect();
    Ok(fields.join("&"))
}

/// Name and value of a field of a form.
type Field = (&'static str, Vec<u8>);

/// The fields of a form by which an application proves itself at an endpoint of its issuer.
///
/// # Errors
/// Which of its files cannot be used, and why.
pub(crate) fn proven(
    proof: &GraphProof,
    client_id: &str,
    endpoint: &str,
) -> Result<Vec<Field>, (&'static str, FileFault)> {
    let mut fields = Vec::new();
    match proof {
        GraphProof::Secret(secret) => {
            let mut octets = read_secret(secret).map_err(|why| ("secret", why))?;
            // An editor ends the last line; no secret does.
            let is_end = |last: &u8| matches!(last, b'\n' | b'\r');
            while octets.last().is_some_and(is_end) {
                octets.pop();
            }
            fields.push(("client_secret", octets));
        }
        GraphProof::Federated(assertion) => {
            let octets = read_secret(assertion).map_err(|why| ("assertion", why))?;
            fields.push(("client_assertion_type", KIND.as_bytes().to_vec()));
            fields.push(("client_assertion", octets.trim_ascii().to_vec()));
        }
        GraphProof::Certificate { cert, key } => {
            let text = assertion(cert, key, client_id, endpoint, now());
            let text = text.map_err(|why| ("certificate", why))?;
            fields.push(("client_assertion_type", KIND.as_bytes().to_vec()));
            fields.push(("client_assertion", text.into_bytes()));
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_is_kept_for_four_fifths_of_its_life() {
        for (told, seconds) in [
            (json!(3_600), 2_880),
            (json!("100"), 80),
            (json!(null), 2_879),
            (json!(u64::MAX), 69_120),
            (json!(0), 0),
        ] {
            assert_eq!(kept_for(&told).as_secs(), seconds, "{told}");
        }
    }
}
