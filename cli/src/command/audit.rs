//! `causeway audit`: who changed what on this node, and whether the log of it is whole.

use super::exit;
use super::form::Output;
use super::node::Connection;
use super::pages::{Listed, get_so_many};
use super::readable::{plain, table};
use crate::sink::audit;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Arguments of `causeway audit`.
#[derive(Args, Clone, Debug)]
pub struct Audit {
    /// What to do: without it, what tail does
    #[command(subcommand)]
    pub what: Option<What>,
    /// Last entries to print
    #[arg(long, global = true, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
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
#[derive(Subcommand, Clone, Debug)]
pub enum What {
    /// Print the last entries
    Tail,
    /// Look through all files of the log that lie in a folder: whether each is whole and follows the one before it
    Verify {
        /// That of --state, or one to which files were moved
        #[arg(default_value = "/var/lib/causeway")]
        folder: PathBuf,
    },
}

/// Prints the last entries, or which files there are. Returns 3 if the chain of them is broken.
///
/// # Errors
/// If the output cannot be written.
pub fn run(arguments: &Audit, out: &mut dyn Write) -> io::Result<u8> {
    if let Some(What::Verify { folder }) = &arguments.what {
        return verify(folder, arguments.connection.output, out);
    }
    let mut fault = None;
    let code = match &arguments.file {
        None => {
            let list = Listed {
                path: "/audit?",
                field: "entries",
                is_turned: true,
            };
            get_so_many(
                &arguments.connection,
                &list,
                arguments.last,
                out,
                |answer, out| {
                    fault = answer["fault"].as_str().map(str::to_owned);
                    print(
                        answer["entries"].as_array().map_or(&[], Vec::as_slice),
                        arguments.changes,
                        out,
                    )
                },
            )?
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

/// Returns 2 for a folder that cannot be read or has no file of a log.
fn verify(folder: &Path, output: Output, out: &mut dyn Write) -> io::Result<u8> {
    let shelf = match audit::look_through(folder) {
        Ok(shelf) => shelf,
        Err(why) => {
            eprintln!("causeway: {}: {why}", folder.display());
            return Ok(exit::USAGE);
        }
    };
    if shelf.files == 0 {
        let place = folder.display();
        eprintln!(
            "causeway: {place} has no audit log: name the folder of --state, or where its files are"
        );
        return Ok(exit::USAGE);
    }
    let rows: Vec<Value> = shelf
        .volumes
        .iter()
        .map(|own| json!({ "file": own.name, "from": own.first, "to": own.last }))
        .collect();
    match output.is_table() {
        true => table(&rows, &["file", "from", "to"], out)?,
        false => output.print(&json!({ "files": rows, "faults": shelf.faults }), out)?,
    }
    for fault in &shelf.faults {
        // Names of files are in it, whoever has given them.
        let fault = plain(&json!(fault));
        eprintln!("causeway: the log is not whole: {fault}");
    }
    if !shelf.faults.is_empty() {
        return Ok(exit::INVALID);
    }
    if output.is_table() {
        match (shelf.volumes.first(), shelf.volumes.last()) {
            (Some(first), Some(last)) => {
                let before = match first.first {
                    0 | 1 => String::new(),
                    from => format!("; entries 1 to {} are not here", from - 1),
                };
                let (from, to) = (first.first, last.last);
                writeln!(out, "whole from entry {from} to {to}{before}")?;
            }
            _ => writeln!(out, "whole, and without an entry so far")?,
        }
    }
    Ok(exit::OK)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_log_one_without_entries_and_one_that_cannot_be_read_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let told = || {
            let mut out = Vec::new();
            let code = verify(folder.path(), Output::default(), &mut out).unwrap();
            (code, String::from_utf8(out).unwrap())
        };
        assert_eq!(told(), (exit::USAGE, String::new()));
        let file = folder.path().join("audit.jsonl");
        std::fs::write(&file, "").unwrap();
        let (code, out) = told();
        assert_eq!(code, exit::OK);
        assert!(out.contains("without an entry so far"), "{out}");
        // What somebody has made unreadable is not the same as nothing.
        std::fs::write(&file, "{}\n").unwrap();
        let (code, out) = told();
        assert_eq!(code, exit::INVALID);
        assert!(!out.contains("whole"), "{out}");
    }
}
