//! Calls: in progress, recent, one of them with its ladder, and ending one.

use super::who::Who;
use super::{Access, Problem};
use crate::daemon::Daemon;
use crate::daemon::stop::ANSWER;
use crate::sink::log::wall_clock;
use crate::sink::trace::is_meant;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use sbc_core::id::CallId;
use sbc_core::input::{Answered, Command};
use sbc_core::record::{CallSummary, LiveMedia, Record};
use sbc_core::report::{Detail, explain, ladder, quality};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Records listed at most.
const RECENT: usize = 100;

/// Which calls are listed.
#[derive(Deserialize)]
pub(super) struct CallWish {
    trunk: Option<String>,
    longer: Option<u64>,
}

pub(super) async fn list(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    wish: Result<Query<CallWish>, QueryRejection>,
) -> Result<Json<Vec<CallView>>, Problem> {
    let Query(wish) = wish.map_err(|why| Problem::new(why.status(), why.body_text()))?;
    let daemon = access.daemon()?;
    let now = wall_clock();
    let view = |call: CallSummary| CallView {
        seconds: {
            let since = call.answered.unwrap_or(call.start).as_micros();
            now.as_micros().saturating_sub(since) / 1_000_000
        },
        call,
    };
    let calls = access.desk.calls(&daemon, &who).await?;
    let all = calls.iter().cloned().map(view);
    let is_meant = |one: &CallView| {
        let trunk = wish.trunk.as_ref();
        trunk.is_none_or(|trunk| one.call.from_trunk.as_str() == trunk)
            && wish.longer.is_none_or(|seconds| one.seconds >= seconds)
    };
    let hide = |mut one: CallView| {
        if !who.sees_numbers() {
            one.call.hide_numbers();
        }
        one
    };
    Ok(Json(all.filter(is_meant).map(hide).collect()))
}

/// A call in progress and its age.
#[derive(Serialize)]
pub(super) struct CallView {
    #[serde(flatten)]
    call: CallSummary,
    /// Since the answer; since the INVITE if there was none.
    seconds: u64,
}

pub(super) async fn recent(State(access): State<Access>) -> Result<Json<Vec<RecordView>>, Problem> {
    let daemon = access.daemon()?;
    let records = daemon.sinks().traces.recent(RECENT);
    Ok(Json(records.into_iter().map(RecordView).collect()))
}

/// A shared record, serialised as the record itself.
pub(super) struct RecordView(Arc<Record>);

impl serde::Serialize for RecordView {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

pub(super) async fn show(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let call = identify(&access, &daemon, &who, &id).await?;
    let trace = daemon.sinks().traces.get(call);
    let record = trace.as_ref().and_then(|trace| trace.record.clone());
    let mut summary = match record {
        Some(_) => None,
        None => {
            let calls = access.desk.calls(&daemon, &who).await?;
            calls.iter().find(|own| own.call == call).cloned()
        }
    };
    if let (Some(summary), false) = (&mut summary, who.sees_numbers()) {
        summary.hide_numbers();
    }
    let told = record.as_deref().filter(|_| who.sees_numbers());
    if record.is_none() && summary.is_none() && trace.is_none() {
        return Err(unknown(&id));
    }
    let live = match summary {
        Some(_) => live_media(&daemon, call).await?,
        None => None,
    };
    Ok(Json(json!({
        "call": call,
        "summary": summary,
        "live": live,
        "heard": live.as_ref().map_or_else(Vec::new, |live| quality(&live.media, &live.one_way)),
        "record": told,
        "explanation": told.map(explain),
    })))
}

#[derive(Deserialize)]
pub(super) struct TraceWish {
    /// Whether messages are shown in full.
    #[serde(default)]
    messages: bool,
}

pub(super) async fn trace(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(id): Path<String>,
    wish: Result<Query<TraceWish>, QueryRejection>,
) -> Result<String, Problem> {
    let Query(wish) = wish.map_err(|why| Problem::new(why.status(), why.body_text()))?;
    let daemon = access.daemon()?;
    let call = identify(&access, &daemon, &who, &id).await?;
    let trace = daemon
        .sinks()
        .traces
        .get(call)
        .ok_or_else(|| unknown(&id))?;
    let detail = if wish.messages {
        Detail::Messages
    } else {
        Detail::Lines
    };
    let mut text = format!("call {call}\n\n{}", ladder(&trace.entries, detail));
    if trace.omitted > 0 {
        text.push_str(&format!("{} later entries were not kept\n", trace.omitted));
    }
    match &trace.record {
        Some(record) => text.push_str(&format!("\n{}", explain(record))),
        None => {
            text.push_str("\nthe call is in progress\n");
            let live = live_media(&daemon, call).await?;
            for line in live
                .map(|live| quality(&live.media, &live.one_way))
                .unwrap_or_default()
            {
                text.push_str(&format!("heard:  {line}\n"));
            }
        }
    }
    Ok(text)
}

/// Media figures of a call in progress; `None` once it has ended.
async fn live_media(daemon: &Daemon, call: CallId) -> Result<Option<Box<LiveMedia>>, Problem> {
    for inbox in daemon.inboxes().all() {
        match daemon
            .replies()
            .ask(inbox, Command::Media(call), ANSWER)
            .await
        {
            Some(Answered::Media(live)) => return Ok(Some(live)),
            Some(Answered::NoSuchCall | Answered::Calls(_) | Answered::Done(_)) => {}
            None => return Err(Problem::busy()),
        }
    }
    Ok(None)
}

pub(super) async fn hang_up(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let call = identify(&access, &daemon, &who, &id).await?;
    for inbox in daemon.inboxes().all() {
        match daemon
            .replies()
            .ask(inbox, Command::HangUp(call), ANSWER)
            .await
        {
            Some(Answered::Done(_)) => return Ok(Json(json!({ "call": call, "ended": true }))),
            Some(Answered::NoSuchCall | Answered::Calls(_) | Answered::Media(_)) => {}
            None => return Err(Problem::busy()),
        }
    }
    Err(unknown(&id))
}

/// A call by its identifier, or by the beginning or end of it if that is only one call's. Identifiers
/// of calls that came in one after the other begin alike, so the end is what tells them apart.
async fn identify(
    access: &Access,
    daemon: &Daemon,
    who: &Who,
    id: &str,
) -> Result<CallId, Problem> {
    if id.is_empty() || id.len() > 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "a call is named by up to 32 hexadecimal digits",
        ));
    }
    let id = id.to_ascii_lowercase();
    if id.len() == 32 {
        return id.parse().map_err(|_| unknown(&id));
    }
    let mut found = daemon.sinks().traces.find(&id);
    for call in access.desk.calls(daemon, who).await?.iter() {
        if is_meant(call.call, &id) && !found.contains(&call.call) {
            found.push(call.call);
        }
    }
    match found.as_slice() {
        [] => Err(unknown(&id)),
        [only] => Ok(*only),
        _ => Err(Problem::new(
            StatusCode::CONFLICT,
            format!("several calls begin or end with {id}; write more of the last digits"),
        )),
    }
}

fn unknown(id: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("no call {id}; calls are kept for 15 minutes after their end"),
    )
}
