//! Taking configurations into use, trying whether they could be, and going back to those that were (OPS-120, OPS-123).

use super::who::Besides;
use super::{Access, Problem};
use crate::config::{difference, read_sources};
use crate::daemon::generations::Generation;
use crate::daemon::reload::{Meant, ReloadFault, Reloaded, Trial, Wanted};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use sbc_core::config::{Change, Changes, Source};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// How long a change may wait to be confirmed, in seconds: a day at most.
const WAIT: RangeInclusive<u64> = 1..=86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    confirm_within: Option<u64>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    spare_calls: bool,
}

/// Takes the files into use.
pub(super) async fn reload(
    State(access): State<Access>,
    wait: Result<Query<Wait>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Taken, Problem> {
    let Query(wait) = wait.map_err(|why| Problem::query(&why))?;
    let daemon = access.daemon()?;
    let meant = match wait.force {
        true => meant(&headers).forced(),
        false => meant(&headers),
    };
    let meant = match wait.spare_calls {
        true => meant.sparing(),
        false => meant,
    };
    let _place = access.desk.reload()?;
    let done = match wait.confirm_within {
        None => daemon.reload_if(&meant).await,
        Some(seconds) if WAIT.contains(&seconds) => {
            let time = Duration::from_secs(seconds);
            daemon.reload_within(time, &meant).await
        }
        Some(_) => {
            let why = "confirm_within is a number of seconds from 1 to 86400";
            return Err(Problem::new(StatusCode::BAD_REQUEST, why));
        }
    };
    let (besides, Json(mut told)) = told(done)?;
    told["confirm_within"] = json!(daemon.generations().left().map(|left| left.as_secs()));
    Ok((besides, Json(told)))
}

/// Does all of a reload that can fail, and changes nothing.
pub(super) async fn dry_run(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let own = Arc::clone(&daemon);
    let rehearsed = async move { own.rehearse(Wanted::Files, Trial::HandsOnly).await };
    let prepared = access.desk.task(rehearsed).await?.map_err(problem)?;
    let kept = prepared.kept().iter();
    Ok(Json(json!({
        "config_generation": daemon.loaded().config.generation,
        "changes": changes(prepared.changes()),
        "warnings": prepared.findings().warnings,
        "kept": kept.map(|kept| json!({ "context": kept.context, "because": kept.because })).collect::<Vec<_>>(),
    })))
}

/// What the shell would have to do, in words.
fn changes(changes: &Changes) -> Vec<String> {
    fn each<N: Display>(kind: &str, all: &BTreeMap<N, Change>, out: &mut Vec<String>) {
        for (name, change) in all {
            let what = match change {
                Change::Added => "added",
                Change::Changed => "changed",
                Change::Removed => "removed",
            };
            out.push(format!("{kind} \"{name}\" is {what}"));
        }
    }
    let mut all = Vec::new();
    each("listen", &changes.listeners, &mut all);
    each("tls", &changes.tls, &mut all);
    each("realm", &changes.realms, &mut all);
    for (is_changed, text) in [
        (changes.cdr, "call records are written in another way"),
        (changes.metrics, "metrics are served in another way"),
        (changes.dns, "other servers of DNS are asked"),
    ] {
        all.extend(is_changed.then(|| text.to_owned()));
    }
    all
}

/// Those that were in use, latest first.
pub(super) async fn history(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let kept = daemon.generations().kept();
    let newest = kept.last().map(|newest| newest.last);
    let row = |one: &std::sync::Arc<Generation>| {
        let files: Vec<String> = one.sources().into_iter().map(|file| file.path).collect();
        json!({
            "generation": one.first,
            "until": one.last,
            "taken": one.taken,
            "by": one.by.as_str(),
            "files": files,
            "is_in_use": Some(one.last) == newest,
            "is_unconfirmed": one.is_unconfirmed(),
            "same_as": daemon.generations().same_as(one.last).map(|own| own.last),
        })
    };
    Ok(Json(kept.iter().rev().map(row).collect()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ends {
    from: Option<u64>,
    to: Option<u64>,
}

/// What differs between two of them, or between the one in use and the files on disk.
pub(super) async fn diff(
    State(access): State<Access>,
    ends: Result<Query<Ends>, QueryRejection>,
) -> Result<String, Problem> {
    let Query(ends) = ends.map_err(|why| Problem::query(&why))?;
    let daemon = access.daemon()?;
    let generations = daemon.generations();
    let of = |number: Option<u64>| {
        let found = match number {
            Some(number) => generations.find(number),
            None => generations.kept().last().cloned(),
        };
        let found = found.ok_or_else(|| problem(ReloadFault::NotKept(number)))?;
        let title = format!("generation {}", number.unwrap_or(found.last));
        Ok::<_, Problem>((title, found.sources()))
    };
    let (before, after) = match (ends.from, ends.to) {
        // One of before against the one in use, whose changes since are what is asked for.
        (Some(from), None) => (of(Some(from))?, of(None)?),
        (from, Some(to)) => (of(from)?, of(Some(to))?),
        (None, None) => {
            let path = daemon.config_path().to_owned();
            let read = access.desk.work(move || read_sources(&path)).await?;
            let files = read.map_err(|findings| problem(ReloadFault::Invalid(findings)))?;
            (of(None)?, ("files".to_owned(), files))
        }
    };
    fn end((title, sources): &(String, Vec<Source>)) -> (&str, &[Source]) {
        (title, sources)
    }
    access
        .desk
        .work(move || difference(end(&before), end(&after)))
        .await
}

/// Puts the one before that in use into use again.
pub(super) async fn before(
    State(access): State<Access>,
    headers: HeaderMap,
) -> Result<Taken, Problem> {
    let _place = access.desk.reload()?;
    let done = access.daemon()?.roll_back(None, &meant(&headers)).await;
    told(done)
}

/// Puts a certain one into use again.
pub(super) async fn again(
    State(access): State<Access>,
    Path(number): Path<u64>,
    headers: HeaderMap,
) -> Result<Taken, Problem> {
    let daemon = access.daemon()?;
    let _place = access.desk.reload()?;
    let done = daemon.roll_back(Some(number), &meant(&headers)).await;
    told(done)
}

/// Says that what was taken for a time is good.
pub(super) async fn confirm(State(access): State<Access>) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let confirmed = daemon.confirm().await.map_err(|why| {
        let why = format!(
            "the configuration is in use, but a restart would take it back: this cannot be written down in the state directory: \
             {why}; it is tried again each minute"
        );
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why)
    })?;
    if !confirmed {
        let why = "no configuration waits to be confirmed: none was taken for a time, or the time is over and the one before is in \
                   use again";
        return Err(Problem::new(StatusCode::CONFLICT, why));
    }
    let generation = daemon.loaded().config.generation;
    Ok(Json(
        json!({ "config_generation": generation, "confirmed": true }),
    ))
}

fn meant(headers: &HeaderMap) -> Meant {
    match headers.get(IF_MATCH).map(|wanted| wanted.to_str()) {
        None => Meant::default(),
        Some(wanted) => Meant::by(wanted.unwrap_or_default()),
    }
}

/// What was taken into use, and what that has changed.
type Taken = (Extension<Besides>, Json<Value>);

fn told(done: Result<Reloaded, ReloadFault>) -> Result<Taken, Problem> {
    let done = done.map_err(problem)?;
    let kept = done.kept.iter();
    let kept = kept.map(|kept| json!({ "context": kept.context, "because": kept.because }));
    let told = json!({
        "config_generation": done.generation,
        "kept": kept.collect::<Vec<_>>(),
        "not_read_anew": done.not_read_anew,
        "same_as": done.same_as.map(|own| json!({ "generation": own.last, "taken": own.taken })),
    });
    Ok((Extension(Besides::change(done.difference)), Json(told)))
}

pub(super) fn problem(fault: ReloadFault) -> Problem {
    let status = match fault {
        ReloadFault::Other(generation) => {
            let why = format!("generation {generation} is in use: somebody has reloaded since");
            return Problem::new(StatusCode::PRECONDITION_FAILED, why);
        }
        ReloadFault::OtherFiles => StatusCode::PRECONDITION_FAILED,
        ReloadFault::NotKept(_) => StatusCode::NOT_FOUND,
        ReloadFault::OtherAccess(..) => StatusCode::FORBIDDEN,
        ReloadFault::TakenBack => StatusCode::CONFLICT,
        ReloadFault::EndsCalls(_) => StatusCode::PRECONDITION_REQUIRED,
        ReloadFault::Unwritten(_) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, fault.to_string())
}
