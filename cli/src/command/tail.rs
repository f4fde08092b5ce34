//! `causeway tail` and `causeway cdr tail`: what happens, as it happens.

use super::exit;
use super::node::{Connection, code_of, look, recent_row, segment, text, told_refusal};
use super::readable::{duration, plain};
use super::trunk;
use crate::client::{Events, EventsFault, events};
use crate::sink::log::wall_clock;
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::thread::sleep;
use std::time::Duration;

/// Time between two looks at the ladder of a call.
const MOMENT: Duration = Duration::from_millis(500);

/// What to follow.
#[derive(Args, Clone, Debug)]
pub struct Tail {
    /// The messages and decisions of this call, until it ends: the call, or its first or last digits
    #[arg(long, value_name = "ID", conflicts_with = "trunk")]
    pub call: Option<String>,
    /// Only what is about this trunk, and calls that touch it
    #[arg(long, value_name = "NAME")]
    pub trunk: Option<String>,
    /// The daemon
    #[command(flatten)]
    pub connection: Connection,
}

/// `causeway tail`: until it is stopped, the daemon ends, or the call is over.
///
/// # Errors
/// If the output cannot be written, for example because its reader has gone.
pub fn run(arguments: &Tail, out: &mut dyn Write) -> io::Result<u8> {
    let to = &arguments.connection;
    if let Some(id) = &arguments.call {
        return ladder(to, &segment(id), out);
    }
    let mut of = match &arguments.trunk {
        None => None,
        Some(trunk) => match OfTrunk::new(to, trunk) {
            Ok(of) => Some(of),
            Err(code) => return Ok(code),
        },
    };
    follow(to, |kind, data| {
        let is_wanted = match &mut of {
            Some(of) => kind == "missed" || of.wants(to, kind, &data),
            None => true,
        };
        match (is_wanted, to.output.is_table()) {
            (false, _) => Ok(()),
            (true, true) => writeln!(out, "{}", event_line(kind, &data)),
            (true, false) => to.output.follow(&named(kind, data), out),
        }
        .and_then(|()| out.flush())
    })
}

/// `causeway cdr tail`: the record of each call that ends.
///
/// # Errors
/// If the output cannot be written, for example because its reader has gone.
pub fn records(to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    follow(to, |kind, data| {
        let id = data["call"].as_str().unwrap_or_default();
        match kind {
            "missed" => eprintln!(
                "causeway: {} events came faster than they were read; \"causeway cdr search\" has their records",
                plain(&data["events"])
            ),
            "call.end" => {
                let told = look(to, &format!("/calls/{}", segment(id)));
                let told: Value = told
                    .and_then(|text| serde_json::from_str(&text).ok())
                    .unwrap_or_default();
                match (&told["record"], to.output.is_table()) {
                    (Value::Null, _) => {
                        eprintln!(
                            "causeway: the record of call {} is not to be had here",
                            plain(&data["call"])
                        );
                    }
                    (record, true) => writeln!(out, "{}", record_line(record))?,
                    (record, false) => to.output.follow(record, out)?,
                }
            }
            _ => {}
        }
        out.flush()
    })
}

/// Gives each event to somebody until there are no more.
fn follow(to: &Connection, mut each: impl FnMut(&str, Value) -> io::Result<()>) -> io::Result<u8> {
    let mut events: Events = match events(&to.socket) {
        Ok(events) => events,
        Err(EventsFault::Refused(answer)) => return Ok(told_refusal(&answer)),
        Err(EventsFault::Client(fault)) => {
            eprintln!("causeway: {fault} ({})", to.socket.display());
            return Ok(code_of(&fault));
        }
    };
    while let Some((kind, data)) = events.next_one() {
        each(&kind, data)?;
    }
    eprintln!("causeway: the daemon tells no more; it has ended, or cannot be heard");
    Ok(exit::UNREACHABLE)
}

/// Knows which events are about a trunk.
struct OfTrunk {
    trunk: String,
    /// Calls in progress that touch it.
    calls: BTreeSet<String>,
}

impl OfTrunk {
    fn new(to: &Connection, trunk: &str) -> Result<Self, u8> {
        // Refused if there is no such one.
        text(to, &trunk::one(trunk))?;
        let calls: Vec<Value> = serde_json::from_str(&text(to, "/calls")?).unwrap_or_default();
        let touches = |call: &&Value| call["from_trunk"] == trunk || call["to_trunk"] == trunk;
        let calls = calls.iter().filter(touches);
        Ok(Self {
            trunk: trunk.to_owned(),
            calls: calls
                .filter_map(|call| call["call"].as_str().map(str::to_owned))
                .collect(),
        })
    }

    fn wants(&mut self, to: &Connection, kind: &str, data: &Value) -> bool {
        let call = data["call"].as_str();
        let is_named = |value: &Value| value == self.trunk.as_str();
        let is_own = is_named(&data["trunk"])
            || data["trunks"].as_array().is_some_and(|all| all.iter().any(is_named))
            || call.is_some_and(|call| self.calls.contains(call))
            // Who is called is known by now.
            || kind == "call.answer" && call.is_some_and(|call| {
                let told = look(to, &format!("/calls/{}", segment(call)));
                let told = told.and_then(|text| serde_json::from_str::<Value>(&text).ok());
                told.is_some_and(|told| is_named(&told["summary"]["to_trunk"]))
            });
        match (call, kind) {
            (Some(call), "call.end") => {
                self.calls.remove(call);
            }
            (Some(call), _) if is_own => {
                self.calls.insert(call.to_owned());
            }
            _ => {}
        }
        is_own
    }
}

fn named(kind: &str, mut data: Value) -> Value {
    data["event"] = json!(kind);
    data
}

/// An event for a person: when, what, which call, and the rest by name.
fn event_line(kind: &str, data: &Value) -> String {
    // What no shard has seen has no time of its own.
    let own = data["at"].as_str().map(str::to_owned);
    let at = own.unwrap_or_else(|| wall_clock().rfc3339());
    let time = at.get(11..23).unwrap_or("-").trim_end_matches('Z');
    let mut line = format!("{time:12}  {:18}", plain(&json!(kind)));
    if data["call"].is_string() {
        line.push_str(&format!("  {}", plain(&data["call"])));
    }
    for (name, value) in data.as_object().into_iter().flatten() {
        let is_said = ["at", "call"].contains(&name.as_str()) || value.is_null();
        match value {
            _ if is_said => {}
            Value::Object(inner) => {
                for (inner, value) in inner
                    .iter()
                    .filter(|(name, value)| !value.is_null() && *name != "because")
                {
                    line.push_str(&format!("  {name} {inner}={}", plain(value)));
                }
            }
            value => line.push_str(&format!("  {}={}", plain(&json!(name)), plain(value))),
        }
    }
    line
}

fn record_line(record: &Value) -> String {
    let row = recent_row(record);
    let of = |name: &str| plain(&row[name]);
    format!(
        "{}  {}  {} > {}  {} > {}  {}, {}  {}",
        of("start"),
        of("call"),
        of("from"),
        of("to"),
        of("calling"),
        of("called"),
        of("outcome"),
        of("cause"),
        of("talked"),
    )
}

/// What a call says and is told, row by row, until it is over.
fn ladder(to: &Connection, id: &str, out: &mut dyn Write) -> io::Result<u8> {
    let mut shown = 0;
    loop {
        let answer = match text(to, &format!("/calls/{id}/ladder")) {
            Ok(answer) => answer,
            Err(code) => return Ok(code),
        };
        let told: Value = serde_json::from_str(&answer).unwrap_or_default();
        let rows = told["rows"].as_array().map_or(&[][..], Vec::as_slice);
        for row in rows.iter().skip(shown) {
            match to.output.is_table() {
                true => writeln!(out, "{}", row_line(row))?,
                false => to.output.follow(row, out)?,
            }
        }
        shown = shown.max(rows.len());
        if told["is_over"] == true {
            end(to, id, out)?;
            out.flush()?;
            return Ok(exit::OK);
        }
        out.flush()?;
        sleep(MOMENT);
    }
}

fn row_line(row: &Value) -> String {
    let at = plain(&row["at"]);
    let time = at
        .get(11..23)
        .unwrap_or("-")
        .trim_end_matches('Z')
        .to_owned();
    let leg = match row["leg"].as_u64() {
        Some(leg) => format!("leg {leg}"),
        None => "call".to_owned(),
    };
    match row["kind"].as_str() {
        Some("message") => {
            let way = match row["from_peer"] == true {
                true => "> us",
                false => "< us",
            };
            let description = match &row["description"] {
                Value::Null => String::new(),
                text => format!("  ({})", plain(text)),
            };
            format!(
                "{time:12}  {leg} {way}  {}{description}",
                plain(&row["title"])
            )
        }
        _ => format!("{time:12}  {leg}       {}", plain(&row["text"])),
    }
}

/// How it ended.
fn end(to: &Connection, id: &str, out: &mut dyn Write) -> io::Result<()> {
    let told = look(to, &format!("/calls/{id}"));
    let told: Value = told
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let (record, why) = (&told["record"], &told["explanation"]);
    if !to.output.is_table() {
        let ended = json!({
            "kind": "end",
            "disposition": record["disposition"],
            "duration_ms": record["duration_ms"],
            "explanation": why,
        });
        return to.output.follow(&ended, out);
    }
    let talked = record["duration_ms"]
        .as_u64()
        .map(|ms| duration(ms / 1_000));
    let talked = talked.unwrap_or_else(|| "-".to_owned());
    writeln!(
        out,
        "\nthe call is over: {}, talked {talked}",
        plain(&record["disposition"])
    )?;
    for (name, word) in [("who", "who"), ("place", "where"), ("why", "why")] {
        if why[name].is_string() {
            writeln!(out, "{:8}{}", format!("{word}:"), plain(&why[name]))?;
        }
    }
    for change in why["change"].as_array().into_iter().flatten() {
        writeln!(out, "change: {}", plain(change))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_its_texts_say() {
        let data = json!({ "at": "2026-08-01T10:00:59.123456Z", "call": "ab12", "trunk": "carrier", "tenant": null,
            "calling": "+4930\n10:00:00  call.end", "cause": { "code": "no_route", "status": 404, "q850": null } });
        assert_eq!(
            event_line("call.start", &data),
            "10:00:59.123  call.start          ab12  calling=+4930\u{fffd}10:00:00  call.end  cause code=no_route  \
             cause status=404  trunk=carrier"
        );
        let line = event_line("node.state", &json!({ "state": "draining" }));
        assert!(
            line.ends_with("  node.state          state=draining"),
            "{line}"
        );
    }

    #[test]
    fn rows_of_a_ladder_say_who_sent_what() {
        let row = json!({ "at": "2026-08-01T10:00:59.123456Z", "leg": 1, "kind": "message", "from_peer": false,
            "title": "INVITE", "description": "SDP PCMA" });
        assert_eq!(
            row_line(&row),
            "10:00:59.123  leg 1 < us  INVITE  (SDP PCMA)"
        );
        let row = json!({ "at": "2026-08-01T10:00:59.500000Z", "leg": null, "kind": "note", "text": "route \"x\"" });
        assert_eq!(row_line(&row), "10:00:59.500  call       route \"x\"");
    }
}
