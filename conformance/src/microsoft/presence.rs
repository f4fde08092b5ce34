//! Presence of users: read in batches, set and cleared by an application (graph-and-entra 3.1 to 3.3).

use super::http::{Request, Response};
use super::{APPLICATION, Script, State};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::time::Instant;

/// Most users of one question.
pub const BATCH: usize = 650;
pub(super) const READ: &str = "/v1.0/communications/getPresencesByUserId";
const RULE: &str = "TDG-PRS-006";
/// Lifetimes that are taken, in minutes.
const LIFETIMES: std::ops::RangeInclusive<u64> = 5..=240;

/// A change that an application has made to what is shown of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Whose.
    pub user: String,
    /// `Busy/InACall`; nothing if it was cleared.
    pub presence: Option<String>,
    /// When.
    pub at: Instant,
}

/// Whether a request is about presence.
pub(super) fn is_meant(request: &Request) -> bool {
    request.path == READ || request.path.contains("/presence/")
}

/// Answers who has a token.
pub(super) fn answer(script: &Script, state: &mut State, request: &Request) -> Response {
    let done = match serde_json::from_str(&request.body) {
        Ok(body) if is_json(request) => match request.path.as_str() {
            READ => read(script, &body),
            path => write(state, path, &body),
        },
        _ => Err(format!("{} {} without JSON", request.method, request.path)),
    };
    done.unwrap_or_else(|what| {
        state.note(RULE, &*what);
        Response::refusal(400, "BadRequest", &what)
    })
}

fn is_json(request: &Request) -> bool {
    request.method == "POST" && request.content_type.starts_with("application/json")
}

fn read(script: &Script, body: &Value) -> Result<Response, String> {
    let ids = body["ids"].as_array().ok_or("no ids are asked for")?;
    let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
    let different: BTreeSet<&&str> = ids.iter().collect();
    if ids.is_empty() || ids.len() > BATCH || different.len() != ids.len() {
        let (all, different) = (ids.len(), different.len());
        return Err(format!(
            "{all} ids are asked for at once, {different} different ones; {BATCH} are allowed"
        ));
    }
    let all = ids.iter().map(|id| {
        let (availability, activity) = match script.presences.get(*id) {
            Some(presence) => presence.split_once('/').unwrap_or((presence, presence)),
            None => ("Offline", "Offline"),
        };
        json!({
            "id": id, "availability": availability, "activity": activity,
            "outOfOfficeSettings": { "isOutOfOffice": false, "message": null },
            "statusMessage": null, "sequenceNumber": "A0012", "somethingNew": [{}],
        })
    });
    let all: Vec<Value> = all.collect();
    Ok(Response::of(200, &json!({ "value": all })))
}

fn write(state: &mut State, path: &str, body: &Value) -> Result<Response, String> {
    let refused = || format!("POST {path} {body} is not what is documented");
    let rest = path.strip_prefix("/v1.0/users/").ok_or_else(refused)?;
    let (user, verb) = rest.split_once("/presence/").ok_or_else(refused)?;
    if body["sessionId"] != APPLICATION {
        return Err(format!(
            "the session is {}, not the application",
            body["sessionId"]
        ));
    }
    let presence = match verb {
        "clearPresence" => None,
        "setPresence" => {
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let presence = format!("{}/{}", text("availability"), text("activity"));
            let pairs = [
                "Available/Available",
                "Busy/InACall",
                "Busy/InAConferenceCall",
                "Away/Away",
            ];
            let lifetime = text("expirationDuration");
            let minutes = lifetime
                .strip_prefix("PT")
                .and_then(|rest| rest.strip_suffix('M'));
            let minutes = minutes.and_then(|digits| digits.parse().ok());
            let is_good = minutes.is_some_and(|minutes| LIFETIMES.contains(&minutes));
            if !is_good || !pairs.contains(&presence.as_str()) {
                return Err(refused());
            }
            Some(presence)
        }
        _ => return Err(refused()),
    };
    state.shown.push(Shown {
        user: user.to_owned(),
        presence,
        at: Instant::now(),
    });
    Ok(Response::of(200, &Value::Null))
}
