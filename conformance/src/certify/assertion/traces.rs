//! G12 and G14: what our daemon has left after a case, and what it wrote down.

use super::is_answer_to_invite;
use crate::certify::evidence::{From, Seen, Side};
use crate::certify::stage::Stage;
use crate::certify::verdict::Failure;
use crate::peer::message::Message;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long calls, ports and records may outlive the last message.
const AFTERWARDS: Duration = Duration::from_secs(64);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Figures that are zero when nothing is left of any call.
const LEFT: [&str; 3] = [
    "sbc_calls_active",
    "sbc_media_sessions",
    "sbc_media_ports_used",
];

/// What [`of_traces`] asks: nobody but an operator of the subject can answer.
pub const OF_TRACES: [&str; 2] = ["G12", "G14"];

/// G12 and G14. Of G12, transactions are not asked for: they end by timers of their own up to 32 s after the last
/// message (RFC 3261 §17), which would make each case so much longer, and the leak checker of the simulator asks
/// for them in every world.
pub async fn of_traces(stage: &Stage) -> Vec<Failure> {
    let mut out = Vec::new();
    if stage.daemon.is_none() {
        return out;
    }
    let deadline = Instant::now() + AFTERWARDS;
    if let Err(left) = is_calm(stage, deadline).await {
        out.push(Failure::new("G12", format!("left afterwards: {left}")));
    }
    let wanted = Wanted::of(&stage.tape.seen());
    if let Err(missing) = has_records(stage, &wanted, deadline).await {
        let missing = missing.into_iter().map(|why| Failure::new("G14", why));
        out.extend(missing);
    }
    out
}

/// Whether no call is in progress on any node and nothing of one is left, or what is.
async fn is_calm(stage: &Stage, deadline: Instant) -> Result<(), String> {
    loop {
        let left = left(stage).await;
        match left {
            Ok(left) if left.is_empty() => return Ok(()),
            Ok(left) if Instant::now() > deadline => return Err(left.join(", ")),
            Err(why) if Instant::now() > deadline => return Err(why),
            Ok(_) | Err(_) => sleep(LOOK).await,
        }
    }
}

/// What the nodes together have of calls.
async fn left(stage: &Stage) -> Result<Vec<String>, String> {
    let mut left = Vec::new();
    for told in ask(stage, "/status").await? {
        let status: Option<Value> = serde_json::from_str(&told).ok();
        match status.and_then(|status| status["calls"].as_u64()) {
            Some(0) => {}
            Some(calls) => left.push(format!("{calls} calls in progress")),
            None => return Err("nobody says how many calls are in progress".to_owned()),
        }
    }
    for told in ask(stage, "/metrics").await? {
        for name in LEFT {
            match crate::certify::knock::figure(&told, name, &[]) {
                Some(0.0) => {}
                Some(value) => left.push(format!("{name} is {value}")),
                // Before the first call of a kind there is no series of it.
                None => {}
            }
        }
    }
    Ok(left)
}

async fn ask(stage: &Stage, path: &str) -> Result<Vec<String>, String> {
    stage.ask_all(path).await.map_err(|fault| fault.to_string())
}

/// Calls of which there must be a record.
struct Wanted {
    /// Call-IDs of those that the subject answered.
    calls: BTreeSet<String>,
    /// By which GUID Teams ended a call, by its Call-ID.
    guids: BTreeMap<String, String>,
}

impl Wanted {
    fn of(seen: &[Seen]) -> Self {
        let messages = || {
            let all = seen.iter();
            all.filter_map(|one| Some((one, one.message.as_ref().ok()?)))
        };
        // Who takes over a call continues it, and has no record of his own.
        let takes_over = |message: &&Message| message.line("Replaces").is_some();
        let continued = messages().map(|(_, message)| message).filter(takes_over);
        let continued: BTreeSet<&str> = continued.map(Message::call_id).collect();
        // Who transfers a call ends his part of it alone.
        let transfers = messages().any(|(_, message)| {
            message.method().as_deref() == Some("REFER") || message.line("Replaces").is_some()
        });
        let answered = messages().filter(|(one, message)| {
            one.from == From::Subject
                && message.status() == Some(200)
                && is_answer_to_invite(message)
                && !continued.contains(message.call_id())
        });
        let ends = messages().filter(|(one, message)| {
            !transfers
                && one.side == Side::Teams
                && one.from == From::Peer
                && message.method().as_deref() == Some("BYE")
        });
        Self {
            calls: answered.map(|(_, m)| m.call_id().to_owned()).collect(),
            guids: ends
                .filter_map(|(_, m)| Some((m.call_id().to_owned(), guid(m.line("Reason")?)?)))
                .collect(),
        }
    }

    /// What is wrong with these records.
    fn missing(&self, records: &[Value]) -> Vec<String> {
        let of = |call: &str| records.iter().find(|record| has_leg(record, call));
        let mut missing = Vec::new();
        for call in &self.calls {
            match of(call) {
                None => missing.push(format!("no record of {call}")),
                Some(record) => missing
                    .extend(lacks(record).map(|what| format!("the record of {call} lacks {what}"))),
            }
        }
        for (call, guid) in &self.guids {
            let is_kept = |record: &Value| {
                let reason = record["end_reason"].as_str();
                reason.is_some_and(|reason| reason.contains(guid))
            };
            if !of(call).is_none_or(is_kept) {
                missing.push(format!(
                    "Teams ended {call} and named it {guid}, which its record lacks"
                ));
            }
        }
        missing
    }
}

/// The GUID at the beginning of the text of a Reason (TDR-ERR-001).
fn guid(reason: &str) -> Option<String> {
    let (_, text) = reason.split_once("text=\"")?;
    Some(text.split_once(';')?.0.to_owned())
}

/// Whether a record is of the call that has a leg with this Call-ID.
fn has_leg(record: &Value, call: &str) -> bool {
    let attempts = record["egress"].as_array().into_iter().flatten();
    let mut legs = attempts.chain([&record["ingress"]]);
    legs.any(|leg| leg["call_id"] == call)
}

/// What a record of an answered call does not say, of what a reader needs to find the call and who pays for it.
fn lacks(record: &Value) -> Option<String> {
    let is_told = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    // The attempt that was answered; of a transfer there may be one after it that was not.
    let attempts = record["egress"].as_array();
    let answered = attempts.and_then(|all| all.iter().find(|one| one["status"] == 200));
    let attempt = answered.unwrap_or(&Value::Null);
    let told = [
        ("the caller's trunk", is_told(&record["ingress"]["trunk"])),
        ("the called side's trunk", is_told(&attempt["trunk"])),
        ("the called side's Call-ID", is_told(&attempt["call_id"])),
        ("its customer", is_told(&record["tenant"])),
        ("its outcome", is_told(&record["disposition"])),
        ("the code of its end", is_told(&record["cause"]["code"])),
        ("the status of its answer", answered.is_some()),
    ];
    let missing: Vec<&str> = told
        .iter()
        .filter(|(_, is_told)| !is_told)
        .map(|(what, _)| *what)
        .collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

/// Whether there is a record of each of these calls, with what it must say, or what is missing.
async fn has_records(stage: &Stage, wanted: &Wanted, deadline: Instant) -> Result<(), Vec<String>> {
    loop {
        let mut records = Vec::new();
        for told in stage.ask_all("/calls/recent").await.unwrap_or_default() {
            records.extend(serde_json::from_str::<Vec<Value>>(&told).unwrap_or_default());
        }
        let mut missing = wanted.missing(&records);
        // What ended long ago, or before a restart, is in the files of records only.
        if !missing.is_empty() {
            let spooled = stage.as_told(stage.spooled());
            let lines = spooled.lines();
            records.extend(lines.filter_map(|line| serde_json::from_str(line).ok()));
            missing = wanted.missing(&records);
        }
        if missing.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(missing);
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record() -> Value {
        json!({
            "tenant": "customer",
            "ingress": { "trunk": "carrier", "call_id": "a" },
            "egress": [{ "trunk": "teams", "call_id": "b", "status": 200 }],
            "disposition": "answered",
            "cause": { "code": "normal" },
            "end_reason": "0b2f3c4d-1111-2222-3333-444455556666;done",
        })
    }

    #[test]
    fn a_record_that_lacks_what_finds_the_call_is_no_record() {
        let wanted = Wanted {
            calls: ["a".to_owned()].into(),
            guids: [(
                "b".to_owned(),
                "0b2f3c4d-1111-2222-3333-444455556666".to_owned(),
            )]
            .into(),
        };
        assert_eq!(wanted.missing(&[record()]), Vec::<String>::new());
        assert_eq!(wanted.missing(&[]), ["no record of a"]);
        for (path, what) in [
            ("/tenant", "its customer"),
            ("/ingress/trunk", "the caller's trunk"),
            ("/egress/0/trunk", "the called side's trunk"),
            ("/egress/0/status", "the status of its answer"),
            ("/cause/code", "the code of its end"),
            ("/end_reason", "which its record lacks"),
        ] {
            let mut broken = record();
            *broken.pointer_mut(path).unwrap() = Value::Null;
            let missing = wanted.missing(&[broken]).join("; ");
            assert!(missing.contains(what), "{path}: {missing}");
        }
    }
}
