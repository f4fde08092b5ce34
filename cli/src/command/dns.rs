//! `causeway dns`: what is remembered of DNS.

use super::node::{Connection, answered, get, quoted};
use super::readable::{duration, plain, table};
use super::sure::{Stake, is_meant};
use crate::command::exit;
use clap::Subcommand;
use serde_json::{Value, json};
use std::io::{self, Write};

/// What to do with what is remembered of DNS.
#[derive(Subcommand, Clone, PartialEq, Eq, Debug)]
pub enum Names {
    /// Show every answer with the time that it is used for: fresh, worn (asked anew with the next question), stale (used
    /// while DNS gives none), failed
    Show {
        /// Only what is known of this name
        name: Option<String>,
    },
    /// Forget what is known of a name: it is asked anew with the next call or OPTIONS
    Flush {
        /// The name
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        name: Option<String>,
        /// Forget everything, also what serves calls while DNS gives no answers
        #[arg(long)]
        all: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// `causeway dns`.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Names, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    let path = |what: &str, name: &Option<String>| match name {
        Some(name) => format!("{what}?name={}", quoted(name)),
        None => what.to_owned(),
    };
    match command {
        Names::Show { name } => get(to, &path("/dns", name), out, |answer, out| {
            let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            if rows.is_empty() {
                return writeln!(out, "nothing is remembered");
            }
            let rows: Vec<Value> = rows.iter().map(row).collect();
            table(&rows, &["name", "kind", "state", "for", "records"], out)
        }),
        Names::Flush { name, yes, .. } => {
            let (what, stake) = match name {
                Some(name) => (
                    format!("{name} is asked anew then, and has no address while DNS gives none"),
                    Stake::HasWayBack,
                ),
                None => (
                    "every name is asked anew then, and calls fail while DNS gives no answers"
                        .to_owned(),
                    Stake::Calls,
                ),
            };
            if !is_meant(&what, stake, *yes) {
                return Ok(exit::REFUSED);
            }
            answered(to, &path("/dns/flush", name), out, |answer, out| {
                writeln!(out, "answers forgotten: {}", plain(&answer["forgotten"]))
            })
        }
    }
}

fn row(told: &Value) -> Value {
    json!({
        "name": told["name"],
        "kind": told["kind"],
        "state": told["state"],
        "for": told["seconds_left"].as_u64().map(duration),
        "records": told["records"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_as_people_say_it() {
        let told =
            row(&json!({ "name": "a.example", "seconds_left": 61, "records": ["192.0.2.1"] }));
        assert_eq!(told["for"], "1 min 1 s");
    }
}
