//! Calls: in progress, recent, one of them with its ladder, and ending one.

use super::who::{Besides, Who};
use super::{Access, Problem, cursor, records, trunks};
use crate::daemon::Daemon;
use crate::daemon::stop::ANSWER;
use crate::misspelt;
use crate::sink::capture::call::{Kept, file};
use crate::sink::log::wall_clock;
use crate::sink::trace::{Digits, Trace};
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use sbc_core::config::Config;
use sbc_core::display::shown;
use sbc_core::id::CallId;
use sbc_core::input::{Answered, Command};
use sbc_core::record::{CallSummary, LiveMedia, MediaRecord, Record};
use sbc_core::report::{Detail, Exchange, explain, ladder, mermaid, page, quality};
use sbc_core::sdp::base64_encode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Records of a page.
pub(super) const RECENT: usize = 100;

/// Lists, in their cursors.
const CALLS: &str = "calls";
const ENDED: &str = "ended";
const FAILED: &str = "failed";

/// States of calls, as a summary has them.
const STATES: [&str; 7] = [
    "setup",
    "early",
    "transfer",
    "ending",
    "established",
    "held",
    "unanswered",
];

/// Whether a call came from this trunk, or leads to it.
fn touches(call: &CallSummary, trunk: &str) -> bool {
    let own = [Some(&call.from_trunk), call.to_trunk.as_ref()];
    own.into_iter().flatten().any(|own| own.as_str() == trunk)
}

/// Numbers have no spaces, strokes and brackets as people write them; names of users may have anything.
fn may_be_of_number(part: &str) -> bool {
    let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '+' | '*' | '#');
    !part.is_empty() && (part.chars().all(is_of_number) || part.chars().any(char::is_alphabetic))
}

/// Which calls are listed.
#[derive(Deserialize)]
pub(super) struct CallWish {
    trunk: Option<String>,
    number: Option<String>,
    state: Option<String>,
    longer: Option<u64>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl CallWish {
    /// Whether there can be such calls at all: of a slip of the pen none would be found, which looks like an answer.
    fn is_of_something(&self, config: &Config, calls: &[CallSummary]) -> Result<(), Problem> {
        let bad = |why: String| Err(Problem::new(StatusCode::BAD_REQUEST, why));
        if let Some(state) = &self.state
            && !STATES.contains(&state.as_str())
        {
            return bad(misspelt::unknown("no call is in a state", state, STATES));
        }
        if let Some(number) = &self.number
            && !may_be_of_number(number)
        {
            return bad(format!(
                "no number has \"{}\" in it: write digits as they are listed, such as +4930 or 0199",
                number.chars().take(64).map(shown).collect::<String>()
            ));
        }
        match &self.trunk {
            // Calls of one that a reload has taken away go on.
            Some(trunk) if !calls.iter().any(|call| touches(call, trunk)) => {
                trunks::named(config, trunk).map(|_| ())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn is_for(&self, one: &CallView) -> bool {
        let call = &one.call;
        let is_of = |trunk: &String| touches(call, trunk);
        let has = |digits: &String| {
            let mut numbers = [&call.calling, &call.called].into_iter();
            numbers.any(|number| number.contains(digits.as_str()))
        };
        self.trunk.as_ref().is_none_or(is_of)
            && self.number.as_ref().is_none_or(has)
            && self.state.as_ref().is_none_or(|state| call.state == state)
            && self.longer.is_none_or(|seconds| one.seconds >= seconds)
    }
}

pub(super) async fn list(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    wish: Result<Query<CallWish>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(wish) = wish.map_err(|why| Problem::query(&why))?;
    let behind = cursor::read::<2>(CALLS, wish.cursor.as_deref())?;
    let most = wish.limit.unwrap_or(usize::MAX).max(1);
    if wish.number.is_some() && !who.sees_numbers() {
        let why = "who may not see numbers cannot look for them";
        return Err(Problem::new(StatusCode::FORBIDDEN, why));
    }
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
    wish.is_of_something(&daemon.loaded().config, &calls)?;
    // In the order of their beginnings: those that come meanwhile are behind all others.
    let key = |call: &CallSummary| [u128::from(call.start.as_micros()), call.call.0];
    let is_behind = |call: &&CallSummary| behind.is_none_or(|behind| key(call) > behind);
    let all = calls.iter().filter(is_behind).cloned().map(view);
    let hide = |mut one: CallView| {
        if !who.sees_numbers() {
            one.call.hide_numbers();
        }
        one
    };
    let mut all = all.filter(|one| wish.is_for(one)).map(hide);
    let page: Vec<CallView> = all.by_ref().take(most).collect();
    let last = page.last().filter(|_| all.next().is_some());
    let next = last.map(|one| cursor::text(CALLS, &key(&one.call)));
    Ok(cursor::page(Json(page), next))
}

/// A call in progress and its age.
#[derive(Serialize)]
pub(super) struct CallView {
    #[serde(flatten)]
    call: CallSummary,
    /// Since the answer; since the INVITE if there was none.
    seconds: u64,
}

/// From where a list of records goes on.
#[derive(Deserialize)]
pub(super) struct Behind {
    cursor: Option<String>,
}

type Further = Result<Query<Behind>, QueryRejection>;

pub(super) async fn recent(
    State(access): State<Access>,
    behind: Further,
) -> Result<Response, Problem> {
    let Query(behind) = behind.map_err(|why| Problem::query(&why))?;
    let before = cursor::read::<1>(ENDED, behind.cursor.as_deref())?;
    let before = before.map(|[call]| CallId(call));
    let daemon = access.daemon()?;
    // One more tells that there are more.
    let mut records = daemon.sinks().traces.recent_before(RECENT + 1, before);
    let has_more = records.len() > RECENT;
    records.truncate(RECENT);
    let last = records.last().filter(|_| has_more);
    let next = last.map(|last| cursor::text(ENDED, &[last.call.0]));
    Ok(cursor::page(views(records), next))
}

pub(super) async fn failed(
    State(access): State<Access>,
    behind: Further,
) -> Result<Response, Problem> {
    let Query(behind) = behind.map_err(|why| Problem::query(&why))?;
    let before = match cursor::read::<1>(FAILED, behind.cursor.as_deref())? {
        None => u64::MAX,
        Some([number]) => u64::try_from(number).map_err(|_| cursor::unknown())?,
    };
    let daemon = access.daemon()?;
    let mut records = daemon.sinks().traces.failed_before(RECENT + 1, before);
    let has_more = records.len() > RECENT;
    records.truncate(RECENT);
    let last = records.last().filter(|_| has_more);
    let next = last.map(|(number, _)| cursor::text(FAILED, &[(*number).into()]));
    let records = records.into_iter().map(|(_, record)| record);
    Ok(cursor::page(views(records.collect()), next))
}

/// Records as they are listed.
pub(super) fn views(records: Vec<Arc<Record>>) -> Json<Vec<RecordView>> {
    Json(records.into_iter().map(RecordView).collect())
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
    let call = match find(&access, &daemon, &who, &id).await? {
        Known::Call(call) => call,
        Known::Record(record) => {
            return Ok(Json(json!({
                "call": record["call"],
                "summary": null,
                "live": null,
                "heard": [],
                "record": who.sees_numbers().then_some(&record),
                "explanation": who.sees_numbers().then(|| kept_explanation(&record)),
            })));
        }
    };
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
        return Err(unknown(&daemon, &id));
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
    #[serde(default)]
    form: Drawn,
}

/// How a ladder is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Drawn {
    #[default]
    Text,
    Mermaid,
    Html,
}

type Wish = Result<Query<TraceWish>, QueryRejection>;

pub(super) async fn trace(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(id): Path<String>,
    wish: Wish,
) -> Result<String, Problem> {
    let Query(wish) = wish.map_err(|why| Problem::query(&why))?;
    let daemon = access.daemon()?;
    let (call, trace) = match messages(&access, &daemon, &who, &id).await? {
        Ok(kept) => kept,
        Err(record) if wish.form == Drawn::Text => return Ok(recorded(&record)),
        Err(_) => return Err(unknown(&daemon, &id)),
    };
    let live = match &trace.record {
        Some(_) => None,
        None => live_media(&daemon, call).await?,
    };
    let detail = detail(&wish);
    // As many messages as a call may have take a while to be read.
    let draw = move || {
        let exchange = exchange(&trace, live.as_deref(), detail);
        let told = after(&trace, live.as_deref());
        match wish.form {
            Drawn::Text => format!("call {call}\n\n{}{told}", ladder(&exchange)),
            Drawn::Mermaid => mermaid(&exchange),
            Drawn::Html => page(&exchange, &format!("Call {call}"), &told),
        }
    };
    access.desk.work(draw).await
}

/// The same for programs.
pub(super) async fn rows(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(id): Path<String>,
    wish: Result<Query<RowsWish>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(wish) = wish.map_err(|why| Problem::query(&why))?;
    let daemon = access.daemon()?;
    let kept = messages(&access, &daemon, &who, &id).await?;
    let (call, trace) = kept.map_err(|_| unknown(&daemon, &id))?;
    let live = match &trace.record {
        Some(_) => None,
        None => live_media(&daemon, call).await?,
    };
    let detail = match wish.messages {
        true => Detail::Messages,
        false => Detail::Lines,
    };
    let draw = move || {
        let exchange = exchange(&trace, live.as_deref(), detail);
        json!({
            "call": call,
            "is_over": trace.record.is_some(),
            "left_out": trace.omitted,
            "peers": exchange.peers,
            "rows": exchange.rows,
            "media": exchange.media,
        })
    };
    access.desk.work(draw).await.map(Json)
}

#[derive(Deserialize)]
pub(super) struct RowsWish {
    #[serde(default)]
    messages: bool,
}

fn detail(wish: &TraceWish) -> Detail {
    match wish.messages {
        true => Detail::Messages,
        false => Detail::Lines,
    }
}

/// What is drawn of a call: its messages, and its media as the record or the relay has them.
fn exchange(trace: &Trace, live: Option<&LiveMedia>, detail: Detail) -> Exchange {
    let recorded = trace.record.as_ref().map(|record| record.media.as_slice());
    let media: Option<&[MediaRecord]> = recorded.or(live.map(|live| live.media.as_slice()));
    Exchange::of(&trace.entries(), media.unwrap_or_default(), detail)
}

/// Its messages as a file of packets.
pub(super) async fn pcap(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let kept = messages(&access, &daemon, &who, &id).await?;
    let (call, trace) = kept.map_err(|_| unknown(&daemon, &id))?;
    let file = access.desk.work(move || {
        let kept = Kept {
            call,
            entries: &trace.entries(),
        };
        let net = daemon.net();
        base64_encode(&file(&kept, |listener| net.address(listener)))
    });
    Ok(Json(json!({ "call": call, "pcapng": file.await? })))
}

/// The ladder of a call, and why it ended if it has.
pub(super) fn told(call: CallId, trace: &Trace, detail: Detail) -> String {
    let drawn = ladder(&exchange(trace, None, detail));
    format!("call {call}\n\n{drawn}{}", after(trace, None))
}

/// What is told below a ladder: whether it has gaps, and why the call ended, or how its media are.
fn after(trace: &Trace, live: Option<&LiveMedia>) -> String {
    let mut text = String::new();
    if trace.omitted > 0 {
        text.push_str(&format!(
            "{} more entries were not kept while the node was loaded\n",
            trace.omitted
        ));
    }
    if let Some(record) = &trace.record {
        text.push_str(&format!("\n{}", explain(record)));
        return text;
    }
    let Some(live) = live else {
        return text;
    };
    text.push_str("\nthe call is in progress\n");
    for line in quality(&live.media, &live.one_way) {
        text.push_str(&format!("heard:  {line}\n"));
    }
    text
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
            Some(_) => {}
            None => return Err(Problem::busy()),
        }
    }
    Ok(None)
}

/// What the parties of a call are told when it is ended.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    cause: Option<u8>,
}

pub(super) async fn hang_up(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    Path(id): Path<String>,
    told: Result<Query<Told>, QueryRejection>,
) -> Result<(Option<Extension<Besides>>, Json<Value>), Problem> {
    let Query(Told { cause }) = told.map_err(|why| Problem::query(&why))?;
    if cause.is_some_and(|cause| !(1..=127).contains(&cause)) {
        let why =
            "cause is a number of Q.850 from 1 to 127, such as 21 for a call that is rejected";
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    let daemon = access.daemon()?;
    let call = identify(&access, &daemon, &who, &id).await?;
    let besides = cause.map(|cause| Extension(Besides::more(format!("with cause {cause}"))));
    for inbox in daemon.inboxes().all() {
        match daemon
            .replies()
            .ask(inbox, Command::HangUp(call, cause), ANSWER)
            .await
        {
            Some(Answered::Done(_)) => {
                let told = json!({ "call": call, "ended": true });
                return Ok((besides, Json(told)));
            }
            Some(_) => {}
            None => return Err(Problem::busy()),
        }
    }
    Err(unknown(&daemon, &id))
}

/// Where a call is known.
enum Known {
    /// It goes on, or has ended lately.
    Call(CallId),
    /// Only its record in the spool is left.
    Record(Value),
}

/// A call that somebody wants to see: one of which there is more than a record, else one of the spool.
async fn find(access: &Access, daemon: &Daemon, who: &Who, id: &str) -> Result<Known, Problem> {
    let missing = match identify(access, daemon, who, id).await {
        Ok(call) if id.len() < 32 || daemon.sinks().traces.get(call).is_some() => {
            return Ok(Known::Call(call));
        }
        Ok(call) => {
            let calls = access.desk.calls(daemon, who).await?;
            match calls.iter().any(|own| own.call == call) {
                true => return Ok(Known::Call(call)),
                false => unknown(daemon, id),
            }
        }
        Err(problem) if problem.status == StatusCode::NOT_FOUND => problem,
        Err(problem) => return Err(problem),
    };
    match records::of_call(access, daemon, id).await?.as_mut_slice() {
        [] => Err(missing),
        [only] => Ok(Known::Record(only.take())),
        _ => Err(several(id)),
    }
}

/// The messages of a call that somebody wants to see, or its record where that is all that is left.
async fn messages(
    access: &Access,
    daemon: &Daemon,
    who: &Who,
    id: &str,
) -> Result<Result<(CallId, Trace), Value>, Problem> {
    match find(access, daemon, who, id).await? {
        Known::Call(call) => match daemon.sinks().traces.get(call) {
            Some(trace) => Ok(Ok((call, trace))),
            None => Err(unknown(daemon, id)),
        },
        Known::Record(record) => Ok(Err(record)),
    }
}

/// The explanation that a record has kept, as of a call whose ladder is there; null for a call that ended as it should, and
/// for records of versions before there was one.
fn kept_explanation(record: &Value) -> Value {
    let mut told = record["explanation"].clone();
    if let Some(told) = told.as_object_mut() {
        told.insert("attempts".to_owned(), attempts(record).into());
    }
    told
}

/// What was tried towards the called side, by the record alone.
fn attempts(record: &Value) -> Vec<String> {
    let all = record["egress"].as_array().into_iter().flatten();
    let line = |own: &Value| {
        let of = |name: &str| in_record(own, &format!("/{name}"));
        format!(
            "{} at {} ({} {}, Call-ID {}): {} {}",
            of("called"),
            of("trunk"),
            of("host"),
            of("remote"),
            of("call_id"),
            of("status"),
            of("reason")
        )
    };
    all.map(line).collect()
}

/// A value of a record, as it is shown.
fn in_record(record: &Value, at: &str) -> String {
    match record.pointer(at) {
        Some(Value::String(text)) => text.chars().map(shown).collect(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

/// The record of a call whose ladder is not kept any more, in words.
fn recorded(record: &Value) -> String {
    let text = |at: &str| in_record(record, at);
    let mut lines = vec![
        format!("call {}", text("/call")),
        String::new(),
        "its messages are not kept any more; the record in the spool says:".to_owned(),
        format!("start:  {}", text("/start")),
        format!(
            "from:   {} ({}, {} {}, Call-ID {})",
            text("/calling"),
            text("/ingress/trunk"),
            text("/ingress/protocol"),
            text("/ingress/remote"),
            text("/ingress/call_id")
        ),
        format!("to:     {}", text("/called")),
    ];
    let tried = attempts(record).into_iter().enumerate();
    lines.extend(tried.map(|(at, line)| {
        let title = if at == 0 { "tried:" } else { "" };
        format!("{title:7} {line}")
    }));
    let seconds = record["duration_ms"].as_u64().unwrap_or_default() as f64 / 1_000.0;
    lines.push(format!("what:   {}, {seconds:.1} s", text("/disposition")));
    let because = record["cause"]["because"].as_array();
    let because: Vec<String> = (0..because.map_or(0, Vec::len))
        .map(|at| text(&format!("/cause/because/{at}")))
        .collect();
    lines.push(format!(
        "why:    {} by {}, status {}, Q.850 {}: {}",
        text("/cause/code"),
        text("/cause/by"),
        text("/cause/status"),
        text("/cause/q850"),
        because.join("; ")
    ));
    let told = &record["explanation"];
    if told.is_object() {
        lines.push(String::new());
        for (name, word) in [
            ("/name", "called:"),
            ("/who", "who:"),
            ("/place", "where:"),
            ("/why", "why:"),
        ] {
            lines.push(format!("{word:7} {}", in_record(told, name)));
        }
        let changes = told["change"].as_array().map_or(0, Vec::len);
        let change = |at| format!("change: {}", in_record(told, &format!("/change/{at}")));
        lines.extend((0..changes).map(change));
    }
    lines.join("\n") + "\n"
}

/// A call by its identifier, or by the beginning or end of it if that is only one call's. Identifiers
/// of calls that came in one after the other begin alike, so the end is what tells them apart.
pub(super) async fn identify(
    access: &Access,
    daemon: &Daemon,
    who: &Who,
    id: &str,
) -> Result<CallId, Problem> {
    let Some(digits) = Digits::of(id) else {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "a call is named by up to 32 hexadecimal digits",
        ));
    };
    if id.len() == 32 {
        return id.parse().map_err(|_| unknown(daemon, id));
    }
    let mut found = daemon.sinks().traces.find(digits);
    for call in access.desk.calls(daemon, who).await?.iter() {
        if digits.mean(call.call) && !found.contains(&call.call) {
            found.push(call.call);
        }
    }
    match found.as_slice() {
        [] => Err(unknown(daemon, id)),
        [only] => Ok(*only),
        _ => Err(several(id)),
    }
}

fn several(id: &str) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        format!("several calls begin or end with {id}; write more of the last digits"),
    )
}

pub(super) fn unknown(daemon: &Daemon, id: &str) -> Problem {
    let kept = daemon.sinks().traces.kept().as_secs();
    let kept = match kept {
        900.. => "15 minutes".to_owned(),
        kept => format!("{kept} s at the moment, because [limits] ladders has no room for more"),
    };
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("no call {id}; calls are kept for {kept} after their end"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_numbers_are_written_as_numbers_are_listed() {
        for part in ["+4930", "0199", "*21#", "anonymous", "john.doe-1"] {
            assert!(may_be_of_number(part), "{part}");
        }
        for part in ["", "030 1234", "030/1234", "(030)", "0-30"] {
            assert!(!may_be_of_number(part), "{part}");
        }
    }
}
