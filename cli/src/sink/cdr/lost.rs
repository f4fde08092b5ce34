//! Records of calls that a daemon left behind which ended without a word.

use sbc_core::cause::CauseCode;
use sbc_core::id::CallId;
use sbc_core::time::UnixTime;
use sbc_core::trouble::Trouble;
use serde_json::{Value, json};
use std::time::Duration;

/// A call without a record that was up, or had just ended, when the last daemon ended.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) call: CallId,
    pub(super) record: Value,
    /// It had ended before; only the figures of its media are missing.
    pub(super) had_ended: bool,
    pub(super) pairs: Vec<Value>,
}

impl Lost {
    /// What is known of the call by its last line, which the daemon outlived until `alive`, and how long it had been
    /// answered by then.
    pub(super) fn of(
        call: CallId,
        mut told: Value,
        length: Option<Duration>,
        alive: UnixTime,
    ) -> Self {
        let mut record = told["open"].take();
        let pairs = match told["pairs"].take() {
            Value::Array(pairs) => pairs,
            _ => Vec::new(),
        };
        let had_ended = !record["end"].is_null();
        if had_ended {
            because_of(
                &mut record,
                "the daemon ended without a word before the figures of its media were known",
            );
            return Self {
                call,
                record,
                had_ended,
                pairs,
            };
        }
        let end = length.and_then(|length| Some(answered(&record)? + length));
        record["end"] = end.unwrap_or(alive).rfc3339().into();
        let pairs = until(&mut record, pairs, end.unwrap_or(alive));
        let is_answered = record["setup_ms"].is_u64();
        record["disposition"] = if is_answered { "answered" } else { "failed" }.into();
        record["cause"] = json!({
            "by": "us",
            "code": CauseCode::RestartLost,
            "status": null,
            "q850": null,
            "because": [format!(
                "the daemon ended without a word while the call was up; it was seen last at {}",
                alive.rfc3339()
            )],
        });
        record["explanation"] = json!({
            "name": Trouble::RestartLost,
            "who": format!("this SBC ({})", record["node"].as_str().unwrap_or_default()),
            "place": "this SBC",
            "why": "the daemon ended while the call was up",
            "change": ["look in the journal of the system for what ended the daemon: a crash, the watchdog, no memory"],
        });
        Self {
            call,
            record,
            had_ended,
            pairs,
        }
    }

    /// The lines of its record.
    pub(super) fn lines(&self) -> impl Iterator<Item = Box<str>> {
        let all = std::iter::once(&self.record).chain(&self.pairs);
        all.map(|line| line.to_string().into())
    }

    /// The trunk that it came from.
    pub(super) fn trunk(&self) -> &str {
        self.record["ingress"]["trunk"].as_str().unwrap_or_default()
    }
}

/// Adds to why it ended.
fn because_of(record: &mut Value, why: &str) {
    let because = record.pointer_mut("/cause/because");
    if let Some(told) = because.and_then(Value::as_array_mut) {
        told.push(why.into());
    }
}

/// When the call was answered.
pub(super) fn answered(record: &Value) -> Option<UnixTime> {
    let start = UnixTime::of_rfc3339(record["start"].as_str()?)?;
    Some(start + Duration::from_millis(record["setup_ms"].as_u64()?))
}

/// Lets the call, and who talked last, go on until then.
pub(super) fn until(record: &mut Value, mut pairs: Vec<Value>, end: UnixTime) -> Vec<Value> {
    let since = |begin: UnixTime| end.as_micros().saturating_sub(begin.as_micros()) / 1_000;
    if let Some(answered) = answered(record) {
        record["duration_ms"] = since(answered).into();
        record["billsec"] = since(answered).div_ceil(1_000).into();
    }
    let start = record["start"].as_str().and_then(UnixTime::of_rfc3339);
    let conversations = record
        .get_mut("conversations")
        .and_then(Value::as_array_mut);
    if let (Some(start), Some(last)) = (start, conversations.and_then(|all| all.last_mut())) {
        let from = Duration::from_millis(last["from_ms"].as_u64().unwrap_or_default());
        last["duration_ms"] = since(start + from).into();
    }
    if let Some(last) = pairs.last_mut()
        && let Some(start) = last["start"].as_str().and_then(UnixTime::of_rfc3339)
    {
        last["duration_ms"] = since(start).into();
    }
    pairs
}
