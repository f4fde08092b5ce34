//! `causeway trunk` and `causeway peer`: relations to peers, one by one.

use super::node::{Connection, get, plain, quoted, table};
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
}

/// What to do with peers.
#[derive(Subcommand, Clone, Debug)]
pub enum Peers {
    /// List the peers of all trunks and what is known of each of their addresses
    List,
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
    };
    let mut is_there = true;
    let path = format!("/trunks?trunk={}", quoted(name));
    let code = get(to, &path, out, |answer, out| match rows(answer).first() {
        Some(trunk) => show(trunk, out),
        None => {
            is_there = false;
            Ok(())
        }
    })?;
    if code == exit::OK && !is_there {
        eprintln!("causeway: the configuration in use has no trunk {name:?}");
        return Ok(exit::REFUSED);
    }
    Ok(code)
}

/// `causeway peer`.
///
/// # Errors
/// If the output cannot be written.
pub fn peers(command: &Peers, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    match command {
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
