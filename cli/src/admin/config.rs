//! The configuration: what is in use, what is on disk, what would become of a call; and who changed what.

use super::{Access, Problem, cursor};
use crate::command::route;
use crate::config::{load, read_sources};
use crate::daemon::reload::{Meant, Prepared, ReloadFault, Trial, Wanted};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::ETAG;
use axum::response::{IntoResponse, Response};
use sbc_core::config::{CallIn, Findings, effective, parse_header};
use sbc_core::id::TrunkName;
use sbc_core::rehearsal;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What the files say, every default with its reason, and whether that is in use.
pub(super) async fn show(State(access): State<Access>) -> Result<Response, Problem> {
    let (tag, body) = shown(&access).await?;
    Ok(([(ETAG, tag)], Json(body)).into_response())
}

/// The same, and what names these files and what is in use.
pub(super) async fn shown(access: &Access) -> Result<(String, Value), Problem> {
    let daemon = access.daemon()?;
    let running = daemon.loaded();
    let path = daemon.config_path().to_owned();
    let read = access
        .desk
        .work(move || {
            let sources = read_sources(&path)?;
            let loaded = load(&sources, Some(&running.config))?;
            let is_in_use = running.shell == loaded.shell && same(&running.config, &loaded.config);
            let generation = running.config.generation;
            let tag = Meant::tag(generation, &sources);
            Ok((effective(&sources, &loaded), is_in_use, generation, tag))
        })
        .await?;
    let (objects, is_in_use, generation, tag) = read.map_err(|findings: Findings| {
        let why = "the files on disk cannot be taken into use; POST /config/validate tells why";
        let places = findings.errors.iter().map(ToString::to_string).collect();
        let mut problem = Problem::because(StatusCode::UNPROCESSABLE_ENTITY, places);
        problem.detail = why.to_owned();
        problem
    })?;
    let body = json!({ "generation": generation, "is_in_use": is_in_use, "objects": objects });
    Ok((tag, body))
}

/// Whether two configurations are the same but for their number.
fn same(one: &sbc_core::config::Config, other: &sbc_core::config::Config) -> bool {
    let mut other = other.clone();
    other.generation = one.generation;
    *one == other
}

/// Does with the files what a reload would, as far as it can fail; asks nobody else.
pub(super) async fn validate(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let judged = async move { daemon.rehearse(Wanted::Files, Trial::LeftOut).await };
    Ok(Json(as_judged(access.desk.task(judged).await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Candidate {
    text: String,
}

/// Judges a text that nobody has written to disk yet.
pub(super) async fn candidate(
    State(access): State<Access>,
    candidate: Result<Json<Candidate>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(candidate) = candidate.map_err(|why| Problem::new(why.status(), why.body_text()))?;
    let daemon = access.daemon()?;
    let wanted = Wanted::Text(candidate.text);
    let judged = async move { daemon.rehearse(wanted, Trial::LeftOut).await };
    Ok(Json(as_judged(access.desk.task(judged).await?)))
}

fn as_judged(judged: Result<Prepared, ReloadFault>) -> Value {
    let (valid, refusal, findings) = match judged {
        Ok(prepared) => (true, None, prepared.findings().clone()),
        Err(ReloadFault::Invalid(findings)) => (false, None, findings),
        // What is valid by itself may still be nothing that this daemon can take now.
        Err(fault) => (false, Some(fault.to_string()), Findings::default()),
    };
    let all: Vec<_> = findings.errors.iter().chain(&findings.warnings).collect();
    json!({ "valid": valid, "findings": all, "omitted": findings.omitted, "refusal": refusal })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wished {
    trunk: Option<String>,
    from: String,
    to: String,
    time: Option<String>,
    /// Further headers of the call, each a line.
    headers: Option<Vec<String>>,
}

/// Plays a call with the configuration in use.
pub(super) async fn route(
    State(access): State<Access>,
    wished: Result<Json<Wished>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(wished) = wished.map_err(|why| Problem::new(why.status(), why.body_text()))?;
    let time = match &wished.time {
        None => route::now(),
        Some(text) => {
            let why = |why| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("time: {why}"));
            route::moment(text).map_err(why)?
        }
    };
    let read = |line: &String| {
        let why = || {
            format!(
                "headers: \"{}\" is none: write NAME: VALUE",
                line.escape_debug()
            )
        };
        let header = parse_header(line);
        header.ok_or_else(|| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why()))
    };
    let headers = wished.headers.iter().flatten().map(read);
    let headers = headers.collect::<Result<Vec<_>, _>>()?;
    let running = access.daemon()?.loaded();
    let call = CallIn {
        headers,
        trunk: wished.trunk.as_deref().map(TrunkName::new),
        from: wished.from,
        to: wished.to,
        time: Some(time),
        ..CallIn::default()
    };
    let played = access
        .desk
        .work(move || {
            let config = Arc::new(running.config.clone());
            rehearsal::play(&config, &call)
                .map(|played| (route::as_json(&played), played.tries.is_empty()))
                .map_err(|why| why.to_string())
        })
        .await?;
    let (mut told, refused) =
        played.map_err(|why| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why))?;
    told["refused"] = refused.into();
    Ok(Json(told))
}

#[derive(Deserialize)]
pub(super) struct Few {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// The list of the audit log, in its cursors.
const AUDIT: &str = "audit";

/// The last entries of the audit log, or those before the ones of another page.
pub(super) async fn audit(
    State(access): State<Access>,
    few: Result<Query<Few>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(few) = few.map_err(|why| Problem::query(&why))?;
    let before = cursor::read::<1>(AUDIT, few.cursor.as_deref())?;
    let before = match before {
        None => u64::MAX,
        Some([number]) => u64::try_from(number).map_err(|_| cursor::unknown())?,
    };
    let most = few.limit.unwrap_or(100).clamp(1, 1_000);
    let (entries, next) = entries(&access, most, before).await?;
    let next = next.map(|number| cursor::text(AUDIT, &[number.into()]));
    Ok(cursor::page(entries, next))
}

/// So many of them, and the number of the oldest if there are older ones.
pub(super) async fn entries(
    access: &Access,
    most: usize,
    before: u64,
) -> Result<(Json<Value>, Option<u64>), Problem> {
    let audit = access.daemon()?.sinks().audit.clone();
    if !audit.is_kept() {
        let why = "nothing is audited without a directory for state: causeway run --state";
        return Err(Problem::new(StatusCode::NOT_FOUND, why));
    }
    let read = access
        .desk
        .work(move || audit.read_before(most, before))
        .await?;
    let read =
        read.map_err(|why| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why.to_string()))?;
    let next = read.goes_on_before();
    let told = json!({ "entries": read.entries, "fault": read.fault });
    Ok((Json(told), next))
}
