//! `causeway approvals`: what waits for another person, and a word of theirs (SEC-151).

use super::exit;
use super::node::{Connection, answered, get, segment};
use super::readable::{plain, table};
use clap::Subcommand;
use serde_json::Value;
use std::io::{self, Write};

/// What to do with what waits.
#[derive(Subcommand, Clone, Debug)]
pub enum Approvals {
    /// List what waits for another person, and what became of others of late
    List,
    /// Show one: who asks for what, and why that is not theirs alone
    Show {
        /// As it is listed
        id: String,
    },
    /// Agree that whoever has asked does it: once, within 15 minutes, by asking for it again
    Agree {
        /// As it is listed
        id: String,
    },
    /// Say no to it, or take back what was asked for
    Refuse {
        /// As it is listed
        id: String,
    },
}

/// `causeway approvals`.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Approvals, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    match command {
        Approvals::List => get(to, "/approvals", out, |answer, out| {
            let columns = ["id", "state", "asked_by", "what", "until", "by"];
            match answer.as_array().map_or(&[][..], Vec::as_slice) {
                [] => writeln!(out, "nothing waits for another person"),
                all => table(all, &columns, out),
            }
        }),
        Approvals::Show { id } => show(id, to, out),
        Approvals::Agree { id } => {
            let path = format!("/approvals/{}/agree", segment(id));
            answered(to, &path, out, |answer, out| {
                writeln!(
                    out,
                    "agreed: {} may do it now by asking again, once, until {}: {}",
                    plain(&answer["asked_by"]),
                    plain(&answer["until"]),
                    plain(&answer["what"])
                )
            })
        }
        Approvals::Refuse { id } => {
            let path = format!("/approvals/{}/refuse", segment(id));
            answered(to, &path, out, |answer, out| {
                writeln!(
                    out,
                    "refused: {} of {}",
                    plain(&answer["what"]),
                    plain(&answer["asked_by"])
                )
            })
        }
    }
}

fn show(id: &str, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    let answer = match super::node::text(to, "/approvals") {
        Ok(answer) => answer,
        Err(code) => return Ok(code),
    };
    let all: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
    let all = all.as_array().map_or(&[][..], Vec::as_slice);
    let Some(own) = all.iter().find(|own| own["id"] == id) else {
        let ids = all.iter().filter_map(|own| own["id"].as_str());
        eprintln!(
            "causeway: {}",
            crate::misspelt::unknown("there is no approval", id, ids)
        );
        return Ok(exit::REFUSED);
    };
    if !to.output.is_table() {
        to.output.print(own, out)?;
        return Ok(exit::OK);
    }
    for name in [
        "id", "state", "asked_by", "asked", "until", "what", "because", "by",
    ] {
        writeln!(out, "{:10} {}", name.replace('_', " "), plain(&own[name]))?;
    }
    Ok(exit::OK)
}
