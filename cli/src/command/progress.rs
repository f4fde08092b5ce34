//! `causeway call list`: calls in progress, all or those that are looked for.

use super::node::{Connection, duration, get, quoted, table};
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
    /// Calls that are at least so many seconds old
    #[arg(long, value_name = "SECONDS")]
    longer: Option<u64>,
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

fn row(call: &Value) -> Value {
    let mut row = call.clone();
    row["for"] = call["seconds"].as_u64().map(duration).into();
    row
}
