//! What the log shows besides, for a while (OPS-080).

use super::who::Who;
use super::{Access, Problem, trunks};
use crate::misspelt::unknown;
use crate::sink::log::look::{LONGEST, Look, USUAL, Wish};
use crate::sink::log::{CODES, Level, Log, beginnings};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Octets of a number or a code.
const LONGEST_TEXT: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    level: String,
    trunk: Option<String>,
    number: Option<String>,
    code: Option<String>,
    seconds: Option<u64>,
}

pub(super) async fn show(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(told(&access.daemon()?.sinks().log, &who)))
}

/// The last warnings and errors.
pub(super) async fn recent(State(access): State<Access>) -> Result<String, Problem> {
    let lines = access.daemon()?.sinks().log.kept();
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

/// Begins a look, or lets one go on that is there already.
pub(super) async fn look(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(wanted) = wanted.map_err(|why| Problem::query(&why))?;
    let daemon = access.daemon()?;
    let log = &daemon.sinks().log;
    if let Some(trunk) = &wanted.trunk {
        trunks::known(&daemon, trunk)?;
    }
    let (wish, lasts) =
        wish(wanted, log.level()).map_err(|why| Problem::new(StatusCode::BAD_REQUEST, why))?;
    let begun = log.looks().begin(wish, lasts);
    begun.map_err(|why| Problem::new(StatusCode::CONFLICT, why.to_string()))?;
    Ok(Json(told(log, &who)))
}

/// Ends all of them.
pub(super) async fn reset(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let log = &daemon.sinks().log;
    let ended = log.looks().end();
    let mut told = told(log, &who);
    told["ended"] = json!(ended);
    Ok(Json(told))
}

fn wish(wanted: Wanted, usual: Level) -> Result<(Wish, Duration), String> {
    let level = Level::ALL.iter().find(|own| own.as_str() == wanted.level);
    let level = *level.ok_or("level is error, warn, info, debug or trace")?;
    if level <= usual {
        let own = usual.as_str();
        return Err(format!(
            "lines of {} are written anyway, as the daemon was started with --log-level {own}",
            level.as_str()
        ));
    }
    let texts = [
        ("number", wanted.number.as_deref()),
        ("code", wanted.code.as_deref()),
    ];
    about(&texts)?;
    if let Some(code) = &wanted.code
        && !CODES.iter().any(|own| own.starts_with(code.as_str()))
    {
        return Err(unknown(
            "no line has a code that begins with",
            code,
            beginnings(),
        ));
    }
    let lasts = seconds(wanted.seconds, USUAL, LONGEST)?;
    let wish = Wish {
        level,
        trunk: wanted.trunk,
        number: wanted.number,
        code: wanted.code,
    };
    Ok((wish, lasts))
}

/// Whether texts that something is to be about are as long as they may be.
pub(super) fn about(texts: &[(&str, Option<&str>)]) -> Result<(), String> {
    for (key, text) in texts {
        if let Some(text) = text
            && !(1..=LONGEST_TEXT).contains(&text.len())
        {
            return Err(format!("{key} has 1 to {LONGEST_TEXT} octets"));
        }
    }
    Ok(())
}

/// For how long something is to last.
pub(super) fn seconds(
    wanted: Option<u64>,
    usual: Duration,
    longest: Duration,
) -> Result<Duration, String> {
    let seconds = wanted.unwrap_or(usual.as_secs());
    match (1..=longest.as_secs()).contains(&seconds) {
        true => Ok(Duration::from_secs(seconds)),
        false => Err(format!("seconds are from 1 to {}", longest.as_secs())),
    }
}

fn told(log: &Log, who: &Who) -> Value {
    let look = |look: &Look| {
        let wish = &look.wish;
        json!({
            "level": wish.level.as_str(),
            "trunk": wish.trunk,
            "number": wish.number.as_ref().filter(|_| who.sees_numbers()),
            "code": wish.code,
            "seconds_left": look.left.as_secs(),
        })
    };
    json!({
        "level": log.level().as_str(),
        "brief": log.is_brief(),
        "looks": log.looks().list().iter().map(look).collect::<Vec<_>>(),
    })
}
