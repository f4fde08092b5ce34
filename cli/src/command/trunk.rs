//! `causeway trunk` and `causeway peer`: relations to peers, one by one.

use super::node::{Connection, answered, asked, get, post, quoted, text};
use super::readable::{plain, table};
use super::sure::{Stake, is_meant};
use crate::command::exit;
use clap::Subcommand;
use serde_json::{Value, json};
use std::io::{self, Write};

/// What to do with trunks.
#[derive(Subcommand, Clone, Debug)]
pub enum Trunks {
    /// List them: whether each can have calls, and how many it has
    List,
    /// Print one: addresses that are taken for its peer's, its peers with theirs, registrations and contacts
    Show {
        /// Its name
        name: String,
    },
    /// Keep new calls away from one, in both directions and from this moment; calls in progress go on. It stays so
    /// over reloads and restarts
    Disable {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Have new calls go elsewhere until one is empty; calls in progress go on. Teams may still call on it for five and
    /// a half minutes, until it prefers other SBCs
    Drain {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Look step by step whether its peers can be reached: names, connections, TLS, OPTIONS; each with what was found and
    /// what to do
    ///
    /// Exit code 0: nothing failed. 5: something did, or the trunk has no targets.
    Test {
        /// Its name
        name: String,
    },
    /// Let one have calls again that is disabled or drains
    Enable {
        /// Its name
        name: String,
    },
}

/// What to do with peers.
#[derive(Subcommand, Clone, Debug)]
pub enum Peers {
    /// List the peers of all trunks and what is known of each of their addresses
    List,
    /// Forget what speaks against one, so that it is tried at once: failed calls, Retry-After, unanswered OPTIONS. One
    /// of Teams is asked as soon as a minute has passed since the last time
    Reset {
        /// Its host as the configuration has it, its address, or its address and port
        peer: String,
    },
}

/// `causeway trunk`.
///
/// # Errors
/// If the output cannot be written.
pub fn trunks(command: &Trunks, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    let name = match command {
        Trunks::List => {
            return get(to, "/trunks", out, |answer, out| {
                let rows = rows(answer).iter().map(trunk_row);
                let rows: Vec<Value> = rows.collect();
                let columns = [
                    "trunk",
                    "state",
                    "calls_in",
                    "calls_out",
                    "most",
                    "preset",
                    "tenant",
                    "realm",
                ];
                table(&rows, &columns, out)
            });
        }
        Trunks::Show { name } => name,
        Trunks::Disable { name, yes } => {
            if !yes && let Err(code) = exists(to, name) {
                return Ok(code);
            }
            let what = format!("trunk {name} has no new calls then, in either direction");
            return match is_meant(&what, Stake::Calls, *yes) {
                true => close(to, name, "disable", out),
                false => Ok(exit::REFUSED),
            };
        }
        Trunks::Drain { name, yes } => {
            if !yes && let Err(code) = exists(to, name) {
                return Ok(code);
            }
            let what = format!("new calls of trunk {name} go elsewhere then, or are refused");
            return match is_meant(&what, Stake::HasWayBack, *yes) {
                true => close(to, name, "drain", out),
                false => Ok(exit::REFUSED),
            };
        }
        Trunks::Test { name } => return test(to, name, out),
        Trunks::Enable { name } => return close(to, name, "enable", out),
    };
    get(to, &one(name), out, |answer, out| {
        match rows(answer).first() {
            Some(trunk) => show(trunk, out),
            None => Ok(()),
        }
    })
}

/// Where one of them is shown; the daemon refuses names that are none.
pub(super) fn one(name: &str) -> String {
    format!("/trunks?trunk={}", quoted(name))
}

/// Whether there is such a trunk, or the exit code: nobody should be asked whether they mean one that is none.
fn exists(to: &Connection, name: &str) -> Result<(), u8> {
    text(to, &one(name)).map(drop)
}

/// Keeps new calls away from a trunk, or lets it have them again.
fn close(to: &Connection, name: &str, how: &str, out: &mut dyn Write) -> io::Result<u8> {
    let path = format!("/trunks/{}/{how}", quoted(name));
    answered(to, &path, out, |answer, out| {
        for name in ["trunk", "state", "calls"] {
            writeln!(out, "{name:12} {}", plain(&answer[name]))?;
        }
        match answer["because"].as_str() {
            None => Ok(()),
            Some(_) => writeln!(
                out,
                "until the next restart only: {}",
                plain(&answer["because"])
            ),
        }
    })
}

/// Looks whether its peers can be reached.
fn test(to: &Connection, name: &str, out: &mut dyn Write) -> io::Result<u8> {
    match asked(to, &format!("/trunks/{}/test", quoted(name))) {
        Ok(answer) => steps(&answer, to, out),
        Err(code) => Ok(code),
    }
}

/// Prints the steps of an answer. Failures have an exit code of their own.
pub(super) fn steps(answer: &str, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    let told: Value = serde_json::from_str(answer).unwrap_or(Value::Null);
    match to.output.is_table() {
        false => to.output.pass(answer, out)?,
        true => {
            for step in rows(&told["steps"]) {
                let place = match step["address"].is_null() {
                    true => plain(&step["target"]),
                    false => format!("{} ({})", plain(&step["target"]), plain(&step["address"])),
                };
                let (what, result) = (plain(&step["step"]), plain(&step["result"]));
                writeln!(out, "{what:8} {result:8} {place}: {}", plain(&step["told"]))?;
                if !step["fix"].is_null() {
                    writeln!(out, "    fix: {}", plain(&step["fix"]))?;
                }
            }
            if !told["because"].is_null() {
                writeln!(out, "{}", plain(&told["because"]))?;
            }
        }
    }
    Ok(match told["is_good"].as_bool() {
        Some(true) => exit::OK,
        _ => exit::REFUSED,
    })
}

/// `causeway peer`.
///
/// # Errors
/// If the output cannot be written.
pub fn peers(command: &Peers, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    match command {
        Peers::Reset { peer } => post(to, &format!("/peers/{}/reset", quoted(peer)), out),
        Peers::List => get(to, "/trunks", out, |answer, out| {
            let trunks = rows(answer).iter();
            // Those of a derived trunk are its carrier trunk's.
            let own = trunks.filter(|trunk| trunk["inherits"].is_null());
            let peers = own
                .flat_map(|trunk| rows(&trunk["peers"]))
                .flat_map(addresses);
            let peers: Vec<Value> = peers.collect();
            table(
                &peers,
                &["trunk", "peer", "state", "address", "address_state"],
                out,
            )
        }),
    }
}

fn rows(answer: &Value) -> &[Value] {
    answer.as_array().map_or(&[][..], Vec::as_slice)
}

fn trunk_row(trunk: &Value) -> Value {
    let mut row = trunk.clone();
    row["most"] = trunk["most_calls"].clone();
    row
}

/// A peer, a row for each address that is known.
fn addresses(peer: &Value) -> Vec<Value> {
    let row = |address: &Value| {
        json!({
            "trunk": peer["trunk"],
            "peer": peer["peer"],
            "state": peer["state"],
            "address": address["address"],
            "address_state": address["state"],
        })
    };
    match rows(&peer["addresses"]) {
        [] => vec![row(&Value::Null)],
        all => all.iter().map(row).collect(),
    }
}

fn show(trunk: &Value, out: &mut dyn Write) -> io::Result<()> {
    for name in [
        "trunk",
        "state",
        "calls_in",
        "calls_out",
        "most_calls",
        "preset",
        "tenant",
        "realm",
        "inherits",
    ] {
        writeln!(out, "{:12} {}", name.replace('_', " "), plain(&trunk[name]))?;
    }
    let peers: Vec<Value> = rows(&trunk["peers"]).iter().flat_map(addresses).collect();
    let parts: [(&[Value], &[&str]); 4] = [
        (
            rows(&trunk["allowed"]),
            &["address", "until", "by", "reason"],
        ),
        (&peers, &["peer", "state", "address", "address_state"]),
        (
            rows(&trunk["registrations"]),
            &["address_of_record", "state", "server", "until", "because"],
        ),
        (
            rows(&trunk["bindings"]),
            &["address_of_record", "contact", "reached_at", "until"],
        ),
    ];
    for (rows, columns) in parts {
        if !rows.is_empty() {
            writeln!(out)?;
            table(rows, columns, out)?;
        }
    }
    Ok(())
}
