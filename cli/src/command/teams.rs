//! `causeway teams`: what Teams makes of this node.

use super::node::{Connection, duration, get, table};
use clap::Subcommand;
use serde_json::{Value, json};
use std::io::{self, Write};

/// What to tell of Teams.
#[derive(Subcommand, Clone, Debug)]
pub enum Teams {
    /// Every proxy of every Teams trunk in both directions: the last OPTIONS, and a verdict
    Status,
}

/// Prints what was asked for.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Teams, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    match command {
        Teams::Status => get(to, "/teams", out, |answer, out| {
            let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            if rows.is_empty() {
                return writeln!(out, "no trunk has preset = \"teams\"");
            }
            let rows: Vec<Value> = rows.iter().map(row).collect();
            let columns = [
                "trunk",
                "",
                "proxy",
                "address",
                "result",
                "age",
                "demoted_in",
                "verdict",
            ];
            table(&rows, &columns, out)
        }),
    }
}

fn row(told: &Value) -> Value {
    let seconds = |name: &str| told[name].as_u64().map(duration);
    let left = match told["demoted_in_seconds"].as_u64() {
        Some(0) => Some("demoted".to_owned()),
        _ => seconds("demoted_in_seconds"),
    };
    json!({
        "trunk": told["trunk"],
        "": told["direction"],
        "proxy": told["proxy"],
        "address": told["address"],
        "result": told["result"],
        "age": seconds("age_seconds"),
        "demoted_in": left,
        "verdict": told["verdict"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_told_as_people_say_them_and_no_time_left_is_demotion() {
        let told = row(&json!({ "age_seconds": 65, "demoted_in_seconds": 235 }));
        assert_eq!(told["age"], "1 min 5 s");
        assert_eq!(told["demoted_in"], "3 min 55 s");
        let told = row(&json!({ "demoted_in_seconds": 0 }));
        assert_eq!(
            (&told["demoted_in"], &told["age"]),
            (&json!("demoted"), &Value::Null)
        );
    }
}
