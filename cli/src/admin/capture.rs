//! Captures of calls (OPS-085).

use super::log::{about, seconds};
use super::{Access, Problem};
use crate::sink::capture::{Captures, LONGEST, MOST_CALLS, USUAL, USUAL_CALLS, Wish};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use sbc_core::id::TrunkName;
use sbc_core::sdp::base64_encode;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    trunk: Option<String>,
    number: Option<String>,
    calls: Option<usize>,
    seconds: Option<u64>,
    rtp: Option<String>,
}

pub(super) async fn show(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    Ok(Json(told(&access.daemon()?.sinks().captures)))
}

/// Begins one.
pub(super) async fn start(
    State(access): State<Access>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(wanted) = wanted.map_err(|why| Problem::new(why.status(), why.body_text()))?;
    let daemon = access.daemon()?;
    let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    let texts = [("number", wanted.number.as_deref())];
    about(&daemon.loaded().config, wanted.trunk.as_deref(), &texts).map_err(bad)?;
    let lasts = seconds(wanted.seconds, USUAL, LONGEST).map_err(bad)?;
    let calls = wanted.calls.unwrap_or(USUAL_CALLS);
    if !(1..=MOST_CALLS).contains(&calls) {
        return Err(bad(format!("calls are from 1 to {MOST_CALLS}")));
    }
    match wanted.rtp.as_deref() {
        None | Some("none") => {}
        Some("headers" | "full") => {
            let why = "this version captures no media: leave rtp out, or write none";
            return Err(bad(why.to_owned()));
        }
        Some(_) => return Err(bad("rtp is none".to_owned())),
    }
    let captures = &daemon.sinks().captures;
    let wish = Wish {
        trunk: wanted.trunk.map(|name| TrunkName::new(&name)),
        number: wanted.number,
        calls,
    };
    let begun = captures.begin(wish, lasts);
    begun.map_err(|why| Problem::new(StatusCode::CONFLICT, why.to_string()))?;
    Ok(Json(told(captures)))
}

/// Ends it.
pub(super) async fn stop(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let captures = &daemon.sinks().captures;
    captures.stop();
    Ok(Json(told(captures)))
}

/// What was taken so far.
pub(super) async fn fetch(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let captures = access.daemon()?.sinks().captures.clone();
    let file = access.desk.work(move || {
        let file = captures.file()?;
        Some(base64_encode(&file))
    });
    match file.await? {
        Some(file) => Ok(Json(json!({ "pcapng": file }))),
        None => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "nothing was captured since the start of the daemon (causeway capture start)",
        )),
    }
}

fn told(captures: &Captures) -> Value {
    let Some(own) = captures.standing() else {
        return json!({ "state": "none" });
    };
    json!({
        "state": match own.left {
            Some(_) => "running",
            None => "over",
        },
        "trunk": own.wish.trunk,
        "number": own.wish.number,
        "seconds_left": own.left.map(|left| left.as_secs()),
        "calls": own.calls,
        "calls_wanted": own.wish.calls,
        "messages": own.messages,
        "bytes": own.bytes,
        "left_out": own.left_out,
    })
}
