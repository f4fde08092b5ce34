//! Reports about calls, a thousand rows a page (TDG-CDR-001, TDG-CDR-003).

use super::http::{Request, Response};
use super::{Script, State, presence};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// Rows of a page.
pub const PAGE: usize = 1_000;
const BEGIN: &str = "/v1.0/communications/callRecords/getDirectRoutingCalls(";

/// Gives the rows of a day to who has a token.
pub(super) fn answer(script: &mut Script, state: &mut State, request: &Request) -> Response {
    if state.not_before.take().is_some_and(|at| request.at < at) {
        state.note(
            "TDG-CDR-003",
            "asked again before the time that Retry-After says",
        );
    }
    if let Some(refusal) = unwelcome(state, request) {
        return refusal;
    }
    if let Some(refusal) = script.refusals.pop_front() {
        let wait = Duration::from_secs(refusal.retry_after_s.unwrap_or(0));
        // Its clock may run a little faster than ours.
        state.not_before = Some(Instant::now() + wait.mul_f64(0.95));
        let mut response = Response::refusal(refusal.status, "TooManyRequests", "Wait.");
        response.retry_after_s = refusal.retry_after_s;
        return response;
    }
    if script.is_forbidden {
        let what = "Insufficient privileges to complete the operation.";
        return Response::refusal(403, "Authorization_RequestDenied", what);
    }
    if presence::is_meant(request) {
        return presence::answer(script, state, request);
    }
    match page(script, state, request) {
        Ok(response) => response,
        Err(what) => {
            state.note("TDG-CDR-001", &*what);
            Response::refusal(400, "BadRequest", &what)
        }
    }
}

/// A refusal for who has no token.
pub(super) fn unwelcome(state: &mut State, request: &Request) -> Option<Response> {
    let token = request.authorization.strip_prefix("Bearer ");
    let end = token.and_then(|token| state.tokens.get(token));
    let what = match end {
        Some(end) if Instant::now() < *end => return None,
        Some(_) => "It has expired.",
        None => {
            let path = &request.path;
            let what = format!("{path} was asked for without a token of ours");
            state.note("TDG-ENT-001", what);
            "It is not known."
        }
    };
    Some(Response::refusal(401, "InvalidAuthenticationToken", what))
}

fn page(script: &Script, state: &mut State, request: &Request) -> Result<Response, String> {
    let path = &request.path;
    let refused = || format!("{} {path} is not what is documented", request.method);
    let (range, query) = path
        .strip_prefix(BEGIN)
        .filter(|_| request.method == "GET")
        .and_then(|rest| rest.split_once(')'))
        .ok_or_else(refused)?;
    let (from, to) = range.split_once(',').ok_or_else(refused)?;
    let from = from.strip_prefix("fromDateTime=").ok_or_else(refused)?;
    let to = to.strip_prefix("toDateTime=").ok_or_else(refused)?;
    let is_day = |text: &str| text.len() == 10 && text.split('-').count() == 3;
    if !is_day(from) || !is_day(to) || from >= to {
        return Err(refused());
    }
    let skipped: usize = match query.strip_prefix("?$skip=") {
        Some(_) if !state.links.contains(path) => {
            return Err(format!("{path} is no link that was given out"));
        }
        Some(skipped) => skipped.parse().map_err(|_| refused())?,
        None if query.is_empty() => 0,
        None => return Err(refused()),
    };
    // The second day is not part of the range.
    let days = script.rows.range(from.to_owned()..to.to_owned());
    let all: Vec<_> = days.flat_map(|(_, rows)| rows).collect();
    let rows: Vec<_> = all.iter().skip(skipped).take(PAGE).collect();
    let mut answer = json!({
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#Collection(x)",
        "@odata.count": rows.len(),
        "value": rows,
    });
    let next = skipped + PAGE;
    if next < all.len() {
        let link = format!("{BEGIN}{range})?$skip={next}");
        answer["@odata.nextLink"] = json!(format!("{}{link}", script.links_to));
        state.links.insert(link);
    }
    Ok(Response::of(200, &answer))
}
