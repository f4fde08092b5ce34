//! `causeway call list`: calls in progress, all or those that are looked for.

use super::node::{Connection, detail, get, look, quoted, wait};
use super::readable::{duration, table};
use super::trunk::one;
use crate::client::ask;
use clap::Args;
use serde_json::Value;
use std::io::{self, Write};

/// Which calls are listed; all of these must fit.
#[derive(Args, Clone, Default, Debug)]
pub struct Wish {
    /// Calls that came from this trunk, or lead to it
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
    /// Calls from or to a number with these digits in it
    #[arg(long, value_name = "DIGITS")]
    number: Option<String>,
    /// Calls in this state, as the list names it
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Calls that are at least so old, such as 90s, 5m or 1h; a bare number is of seconds
    #[arg(long, value_name = "TIME", value_parser = age)]
    longer: Option<u64>,
}

/// Seconds of a time with its unit, or without one.
fn age(text: &str) -> Result<u64, String> {
    text.parse().or_else(|_| wait(text))
}

/// Lists them.
///
/// # Errors
/// If the output cannot be written.
pub fn list(wish: &Wish, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    let longer = wish.longer.map(|seconds| seconds.to_string());
    let wishes = [
        ("trunk", &wish.trunk),
        ("number", &wish.number),
        ("state", &wish.state),
        ("longer", &longer),
    ];
    let wishes = wishes.into_iter().filter_map(|(name, value)| {
        let value = value.as_ref()?;
        Some(format!("{name}={}", quoted(value)))
    });
    let query: Vec<String> = wishes.collect();
    let none = match query.is_empty() {
        true => "no calls in progress",
        false => "no such call in progress",
    };
    let path = match query.is_empty() {
        true => "/calls".to_owned(),
        false => format!("/calls?{}", query.join("&")),
    };
    get(to, &path, out, |answer, out| {
        let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        if rows.is_empty() {
            return writeln!(out, "{none}");
        }
        let columns = [
            "call",
            "state",
            "from_trunk",
            "to_trunk",
            "calling",
            "called",
            "for",
        ];
        table(&rows.iter().map(row).collect::<Vec<_>>(), &columns, out)
    })
}

/// Says that no call has ended lately, or that a daemon which was started since cannot know.
pub(super) fn none_recent(to: &Connection, out: &mut dyn Write) -> io::Result<()> {
    let status = look(to, "/status").and_then(|told| serde_json::from_str::<Value>(&told).ok());
    let uptime = status.and_then(|status| status["uptime_seconds"].as_u64());
    writeln!(out, "{}", none_since(uptime))
}

/// Seconds for which calls are kept after their end.
const KEPT: u64 = 900;

fn none_since(uptime: Option<u64>) -> String {
    match uptime {
        Some(seconds) if seconds < KEPT => format!(
            "since the start {} ago none has ended; earlier ones: causeway call search",
            duration(seconds)
        ),
        Some(_) | None => "no call has ended within the last 15 minutes".to_owned(),
    }
}

/// Says where records are looked for of a trunk that is none, which may be a slip of the pen.
pub(super) fn remark(to: &Connection, trunk: &str) {
    match ask(&to.socket, "GET", &one(trunk)) {
        Ok(answer) if answer.status == 404 => eprintln!(
            "causeway: {}; records of one that is gone are found all the same",
            detail(&answer)
        ),
        Ok(_) | Err(_) => {}
    }
}

fn row(call: &Value) -> Value {
    let mut row = call.clone();
    row["for"] = call["seconds"].as_u64().map(duration).into();
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_a_unit_or_is_of_seconds() {
        assert_eq!(age("1h"), Ok(3_600));
        assert_eq!(age("90s"), Ok(90));
        assert_eq!(age("172800"), Ok(172_800));
        assert!(age("long").unwrap_err().contains("such as 5m"));
    }

    #[test]
    fn a_daemon_that_was_started_just_now_says_that_it_knows_nothing_earlier() {
        let told = none_since(Some(12));
        assert!(
            told.starts_with("since the start 12 s ago none has ended"),
            "{told}"
        );
        for uptime in [Some(900), None] {
            assert!(none_since(uptime).ends_with("15 minutes"));
        }
    }
}
