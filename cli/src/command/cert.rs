//! `causeway cert`: certificates of ours.

use super::node::{Connection, get, post, quoted};
use super::readable::table;
use clap::Subcommand;
use serde_json::{Value, json};
use std::io::{self, Write};

/// What to do with certificates.
#[derive(Subcommand, Clone, PartialEq, Eq, Debug)]
pub enum Certs {
    /// Every certificate of ours: names, end, and how the next one stands
    Status,
    /// Ask the authority for a new certificate now
    Renew {
        /// Name of the TLS identity it is for
        name: String,
    },
}

/// Prints what was asked for.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Certs, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    match command {
        Certs::Status => get(to, "/certs", out, |answer, out| {
            let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
            if rows.is_empty() {
                return writeln!(out, "there is no [[tls]]");
            }
            let told: Vec<Value> = rows.iter().map(row).collect();
            let columns = [
                "name",
                "issued_by",
                "state",
                "until",
                "days_left",
                "next_order",
                "names",
            ];
            table(&told, &columns, out)?;
            for row in rows {
                if let (Some(name), Some(waits)) =
                    (row["context"].as_str(), row["waits_for"].as_str())
                {
                    writeln!(out, "\n{name}: {waits}")?;
                    continue;
                }
                if let (Some(name), Some(why)) = (row["context"].as_str(), row["because"].as_str())
                {
                    let failures = row["failures"].as_u64().unwrap_or_default();
                    let why: String = why.chars().map(sbc_core::display::shown).collect();
                    writeln!(out, "\n{name}: {failures} failed in a row, last: {why}")?;
                }
            }
            Ok(())
        }),
        Certs::Renew { name } => post(to, &format!("/certs/{}/renew", quoted(name)), out),
    }
}

fn row(told: &Value) -> Value {
    // To the minute: nobody waits for its seconds.
    let minute = |name: &str| {
        let text = told[name].as_str()?;
        Some(format!("{}Z", text.get(..16)?))
    };
    json!({
        "name": told["context"],
        "issued_by": told["issued_by"],
        "state": told["state"],
        "until": minute("until"),
        "days_left": told["days_left"],
        "next_order": minute("next_order"),
        "names": told["names"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_to_the_minute() {
        let told = row(&json!({ "until": "2026-08-01T10:00:59.000Z", "days_left": 5 }));
        assert_eq!(told["until"], "2026-08-01T10:00Z");
        assert_eq!(
            (&told["days_left"], &told["next_order"]),
            (&json!(5), &Value::Null)
        );
    }
}
