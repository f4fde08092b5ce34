//! The token endpoint (TDG-ENT-001).

use super::http::{Request, Response, form};
use super::{APPLICATION, DIRECTORY, GRAPH, LOGIN, SECRET, Script, State, assertion, token};
use serde_json::{Value, json};
use std::time::Duration;

const RULE: &str = "TDG-ENT-001";
const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Gives a token to who has proven to be the application.
pub(super) fn answer(script: &Script, state: &mut State, request: &Request) -> Response {
    match check(script, state, request) {
        Ok(()) => {
            let token = token(state, Duration::from_secs(script.token_s));
            let answer = json!({
                "token_type": "Bearer",
                "expires_in": script.token_s,
                "ext_expires_in": script.token_s,
                "access_token": token,
            });
            Response::of(200, &answer)
        }
        Err((code, what)) => {
            state.note(RULE, &what);
            let told = format!(
                "AADSTS{code}: {what}. Trace ID: 00000000-0000-0000-0000-000000000000 Timestamp: now"
            );
            let answer = json!({ "error": "invalid_client", "error_description": told });
            Response::of(401, &answer)
        }
    }
}

/// What everybody may read: where keys are, and the keys with which tokens are checked.
pub(super) fn directory(request: &Request, keys: &Value) -> Response {
    let issuer = format!("https://{LOGIN}/{DIRECTORY}/v2.0");
    let place = format!("/{DIRECTORY}/discovery/v2.0/keys");
    match request.path.as_str() {
        path if path == format!("/{DIRECTORY}/v2.0/.well-known/openid-configuration") => {
            let answer = json!({
                "issuer": issuer, "jwks_uri": format!("https://{LOGIN}{place}"),
                "id_token_signing_alg_values_supported": ["RS256"],
            });
            Response::of(200, &answer)
        }
        path if path == place => Response::of(200, keys),
        path => Response::refusal(404, "not_found", path),
    }
}

/// What is wrong, with the number by which Microsoft calls it.
fn check(script: &Script, state: &mut State, request: &Request) -> Result<(), (u32, String)> {
    let path = format!("/{DIRECTORY}/oauth2/v2.0/token");
    if request.path != path {
        return Err((90_002, format!("Tenant of {} not found", request.path)));
    }
    let is_form = request.content_type == "application/x-www-form-urlencoded";
    if request.method != "POST" || !is_form {
        return Err((900_561, "The endpoint only accepts forms".to_owned()));
    }
    let fields = form(&request.body);
    let field = |name: &str| {
        let field = fields.iter().find(|(own, _)| own == name);
        field.map_or("", |(_, value)| value.as_str())
    };
    if field("grant_type") != "client_credentials" {
        let what = format!("The grant type {} is not known", field("grant_type"));
        return Err((70_003, what));
    }
    if field("client_id") != APPLICATION {
        let what = format!("Application {} was not found", field("client_id"));
        return Err((700_016, what));
    }
    if field("scope") != format!("https://{GRAPH}/.default") {
        return Err((70_011, format!("The scope {} is not valid", field("scope"))));
    }
    if let Some(wanted) = &script.federated {
        let is_right = field("client_assertion_type") == KIND
            && field("client_assertion") == wanted
            && field("client_secret").is_empty();
        return match is_right {
            true => Ok(()),
            false => Err((
                70_021,
                "No matching federated identity record found".to_owned(),
            )),
        };
    }
    match &script.certificate {
        None if field("client_secret") == SECRET => Ok(()),
        None => Err((7_000_215, "Invalid client secret provided".to_owned())),
        Some(_) if field("client_assertion_type") != KIND => {
            Err((70_002, "The assertion is of no known type".to_owned()))
        }
        Some(certificate) => {
            let endpoint = format!("https://{LOGIN}{path}");
            let text = field("client_assertion");
            let id = assertion::check(text, certificate, APPLICATION, &endpoint);
            let id = id.map_err(|what| (700_027, what))?;
            match state.assertions.insert(id) {
                true => Ok(()),
                false => Err((700_027, "The assertion was used before".to_owned())),
            }
        }
    }
}
