//! Subscriptions: whom to tell of what, and for how long (TDG-PRS-001, TDG-PRS-002).

use super::http::{Request, Response};
use super::{Script, State, clock};
use crate::random;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Users of one subscription.
pub(super) const MOST_USERS: usize = 650;
/// Longest life of one to presence, milliseconds, with what clocks differ.
const LONGEST_MS: u64 = 3_600_000 + 5_000;
const PATH: &str = "/v1.0/subscriptions";
const RULE: &str = "TDG-PRS-001";

/// One subscription.
#[derive(Clone, Debug)]
pub struct Subscribed {
    /// As Microsoft calls it.
    pub id: String,
    /// Where notices go.
    pub url: String,
    /// Where its own events go.
    pub lifecycle_url: String,
    /// Whose presence, in lower case.
    pub users: Vec<String>,
    /// What is said with each notice.
    pub client_state: String,
    /// With what is sealed, in DER; nothing if notices have no data.
    pub certificate: Option<Vec<u8>>,
    /// How its owner calls that.
    pub certificate_id: String,
    /// When it ends, milliseconds since 1970.
    pub until_ms: u64,
    /// How often it was renewed.
    pub renewals: usize,
    /// When it was made.
    pub made: Instant,
}

/// What comes of a request.
pub(super) enum Step {
    /// An answer.
    Answer(Response),
    /// First its owner must show that the addresses are its own.
    Prove(Box<Subscribed>),
}

/// Whether a request is about subscriptions.
pub(super) fn is_meant(request: &Request) -> bool {
    request.path.starts_with(PATH)
}

/// Answers, or wants a proof first.
pub(super) fn step(script: &Script, state: &mut State, request: &Request) -> Step {
    if script.takes_no_subscriptions {
        let what = "Application permission is not supported for presence subscriptions.";
        return Step::Answer(Response::refusal(403, "ExtensionError", what));
    }
    let rest = request.path.strip_prefix(PATH).unwrap_or_default();
    let id = rest.strip_prefix('/').unwrap_or_default().to_owned();
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    match (request.method.as_str(), rest) {
        ("POST", "") => match read(script, state, &body) {
            Ok(subscribed) => Step::Prove(Box::new(subscribed)),
            Err(what) => {
                state.note(RULE, &*what);
                Step::Answer(Response::refusal(400, "InvalidRequest", &what))
            }
        },
        ("GET", "") => {
            let all = state.subscriptions.values();
            let all: Vec<Value> = all
                .map(|own| json!({ "id": own.id, "notificationUrl": own.url }))
                .collect();
            Step::Answer(Response::of(200, &json!({ "value": all })))
        }
        ("PATCH", _) => Step::Answer(renewed(script, state, &id, &body)),
        ("DELETE", _) => Step::Answer(match state.subscriptions.remove(&id) {
            Some(_) => Response::nothing(204),
            None => absent(),
        }),
        (method, _) => {
            let what = format!("{method} {} is not what is documented", request.path);
            state.note(RULE, &*what);
            Step::Answer(Response::refusal(405, "Request_BadRequest", &what))
        }
    }
}

/// Its owner has shown it.
pub(super) fn made(state: &mut State, mut own: Subscribed) -> Response {
    own.made = Instant::now();
    let answer = shown(&own);
    state.subscriptions.insert(own.id.clone(), own);
    Response::of(201, &answer)
}

fn shown(own: &Subscribed) -> Value {
    json!({
        "id": own.id, "changeType": "updated", "notificationUrl": own.url,
        "expirationDateTime": clock::text(own.until_ms),
    })
}

fn absent() -> Response {
    Response::refusal(404, "ResourceNotFound", "There is no such subscription.")
}

fn renewed(script: &Script, state: &mut State, id: &str, body: &Value) -> Response {
    let until = until(script, body);
    let Some(own) = state.subscriptions.get_mut(id) else {
        return absent();
    };
    match until {
        Ok(_) if own.until_ms < clock::now_ms() => {
            let what = format!("{id} is renewed after its end");
            state.subscriptions.remove(id);
            state.note(RULE, what);
            absent()
        }
        Ok(until) => {
            own.until_ms = until;
            own.renewals += 1;
            Response::of(200, &shown(own))
        }
        Err(what) => {
            state.note(RULE, &*what);
            Response::refusal(400, "InvalidRequest", &what)
        }
    }
}

fn until(script: &Script, body: &Value) -> Result<u64, String> {
    let text = body["expirationDateTime"].as_str().unwrap_or_default();
    let at = clock::read(text).ok_or(format!("expirationDateTime is {text}"))?;
    let now = clock::now_ms();
    if at <= now || at > now + LONGEST_MS {
        return Err(format!("it ends at {text}, not within the hour"));
    }
    Ok(at.min(now + script.subscription_s * 1_000))
}

fn read(script: &Script, state: &State, body: &Value) -> Result<Subscribed, String> {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    if body["changeType"] != "updated" {
        return Err(format!("changeType is {}", body["changeType"]));
    }
    let (url, lifecycle_url) = (text("notificationUrl"), text("lifecycleNotificationUrl"));
    for url in [&url, &lifecycle_url] {
        if !url.starts_with("https://") {
            return Err(format!("notices would go to \"{url}\""));
        }
    }
    let client_state = text("clientState");
    if client_state.len() < 32 || client_state.len() > 128 {
        return Err("clientState can be guessed, or is too long".to_owned());
    }
    if state
        .subscriptions
        .values()
        .any(|own| own.client_state == client_state)
    {
        return Err("clientState is that of another subscription".to_owned());
    }
    let users = users(&text("resource"))?;
    let certificate = match body["includeResourceData"].as_bool() {
        Some(true) => {
            let der = super::base64::decode(&text("encryptionCertificate"));
            let der = der.filter(|der| x509_parser::parse_x509_certificate(der).is_ok());
            Some(der.ok_or("encryptionCertificate is no certificate in base64")?)
        }
        _ => None,
    };
    let certificate_id = text("encryptionCertificateId");
    if certificate.is_some() && certificate_id.is_empty() {
        return Err("encryptionCertificateId is missing".to_owned());
    }
    Ok(Subscribed {
        id: random::word::<16>(),
        url,
        lifecycle_url,
        users,
        client_state,
        certificate,
        certificate_id,
        until_ms: until(script, body)?,
        renewals: 0,
        made: Instant::now(),
    })
}

/// Whose presence a resource is.
fn users(resource: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("nobody's presence is called \"{resource}\"");
    let rest = resource
        .strip_prefix("/communications/presences")
        .ok_or_else(wrong)?;
    let users: Vec<String> = match rest.strip_prefix('/') {
        Some(user) => vec![user.to_ascii_lowercase()],
        None => {
            let list = rest.strip_prefix("?$filter=id in (");
            let list = list.and_then(|list| list.strip_suffix(')'));
            let all = list.ok_or_else(wrong)?.split(',').map(|one| {
                let one = one.trim().strip_prefix('\'');
                one.and_then(|one| one.strip_suffix('\''))
                    .map(str::to_ascii_lowercase)
            });
            all.collect::<Option<_>>().ok_or_else(wrong)?
        }
    };
    let is_guid = |text: &String| text.len() == 36 && text.split('-').count() == 5;
    if !users.iter().all(is_guid) {
        return Err(wrong());
    }
    match users.len() {
        1..=MOST_USERS => Ok(users),
        count => Err(format!("one subscription has {count} users")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "DB03C14B-06eb-4189-939b-7cbf3a20ba27";

    #[test]
    fn the_presence_of_one_and_of_several_is_called_as_documented() {
        let low = GUID.to_ascii_lowercase();
        let one = format!("/communications/presences/{GUID}");
        assert_eq!(users(&one), Ok(vec![low.clone()]));
        let two = format!("/communications/presences?$filter=id in ('{GUID}', '{GUID}')");
        assert_eq!(users(&two), Ok(vec![low.clone(), low]));
        let all = vec![format!("'{GUID}'"); MOST_USERS + 1].join(",");
        for wrong in [
            "/communications/presences".to_owned(),
            "/users/x".to_owned(),
            "/communications/presences/me".to_owned(),
            "/communications/presences?$filter=id in (x)".to_owned(),
            format!("/communications/presences?$filter=id in ({all})"),
        ] {
            assert!(users(&wrong).is_err(), "{wrong}");
        }
    }
}
