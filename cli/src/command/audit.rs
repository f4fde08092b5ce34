//! `causeway audit`: who changed what on this node, and whether the log of it is whole.

use super::exit;
use super::node::{Connection, get};
use super::readable::{plain, table};
use crate::sink::audit;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::io::{self, Write};
use std::path::PathBuf;

/// Arguments of `causeway audit`.
#[derive(Args, Clone, Debug)]
pub struct Audit {
    /// What to do: without it, what tail does
    #[command(subcommand)]
    pub what: Option<What>,
    /// Last entries to print
    #[arg(long, global = true, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub last: u16,
    /// Read this file, such as a copy, instead of asking the daemon
    #[arg(long, global = true)]
    pub file: Option<PathBuf>,
    /// Print what has become another, too: under each entry
    #[arg(long, global = true)]
    pub changes: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What to do with the audit log.
#[derive(Subcommand, Clone, Copy, Debug)]
pub enum What {
    /// Print the last entries
    Tail,
}

/// Prints the last entries. Returns 3 if the chain of them is broken.
///
/// # Errors
/// If the output cannot be written.
pub fn run(arguments: &Audit, out: &mut dyn Write) -> io::Result<u8> {
    let mut fault = None;
    let code = match &arguments.file {
        None => {
            let path = format!("/audit?limit={}", arguments.last);
            get(&arguments.connection, &path, out, |answer, out| {
                fault = answer["fault"].as_str().map(str::to_owned);
                print(
                    answer["entries"].as_array().map_or(&[], Vec::as_slice),
                    arguments.changes,
                    out,
                )
            })?
        }
        Some(file) => match audit::read(file, arguments.last.into()) {
            Ok(read) => {
                let entries: Vec<Value> = read
                    .entries
                    .iter()
                    .map(serde_json::to_value)
                    .collect::<Result<_, _>>()?;
                fault = read.fault;
                match arguments.connection.output {
                    output if output.is_table() => print(&entries, arguments.changes, out)?,
                    output => output.print(&entries, out)?,
                }
                exit::OK
            }
            Err(why) => {
                eprintln!("causeway: {}: {why}", file.display());
                exit::USAGE
            }
        },
    };
    match fault {
        Some(fault) => {
            eprintln!("causeway: the log is not whole: {fault}");
            Ok(exit::INVALID)
        }
        None => Ok(code),
    }
}

fn print(entries: &[Value], has_changes: bool, out: &mut dyn Write) -> io::Result<()> {
    if entries.is_empty() {
        return writeln!(out, "nothing has been changed by an operator");
    }
    let columns = [
        "number",
        "at",
        "who",
        "source",
        "what",
        "object",
        "status",
        "generation",
        "reason",
    ];
    if !has_changes {
        return table(entries, &columns, out);
    }
    for entry in entries {
        table(std::slice::from_ref(entry), &columns, out)?;
        for line in entry["change"].as_str().unwrap_or_default().lines() {
            writeln!(out, "    {}", plain(&Value::from(line)))?;
        }
        writeln!(out)?;
    }
    Ok(())
}
