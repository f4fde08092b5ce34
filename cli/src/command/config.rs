//! `causeway config`: what a configuration comes to, and why.

use super::form::Output;
use super::node::{Connection, get, post, reloaded, text};
use super::readable::table;
use super::sure::{Stake, is_meant};
use crate::command::exit;
use crate::config::{load, read_sources};
use crate::misspelt::unknown;
use crate::sink::cdr::ship::sql;
use clap::Subcommand;
use sbc_core::config::{CdrTarget, Effective, Findings, Source, effective};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What to do with a configuration.
#[derive(Subcommand, Clone, Debug)]
pub enum Configuration {
    /// Print it: as written, or with everything that trunks inherit or have from their preset
    Show(Show),
    /// List the configurations that were in use, latest first
    History {
        /// The daemon
        #[command(flatten)]
        connection: Connection,
    },
    /// Print what the files on disk would change of what is in use; or what has changed since a generation, or between
    /// two, as a unified diff without secrets
    Diff(Between),
    /// Take an earlier configuration into use again, typed once more a still older one. The files on disk stay as they
    /// are: until they are changed or reloaded, a restart uses the same one
    Rollback(Back),
    /// Print the SQL that makes the table which call records go to ([cdr.ship] with a URL of PostgreSQL)
    Table {
        /// Main file; conf.d/*.toml beside it belong to it
        #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
        config: PathBuf,
    },
    /// Keep what "causeway reload --confirm-timeout" has taken into use
    Confirm {
        /// The daemon
        #[command(flatten)]
        connection: Connection,
    },
}

/// What is compared.
#[derive(clap::Args, Clone, Debug)]
pub struct Between {
    /// Since this generation
    #[arg(value_parser = of_history)]
    pub from: Option<u64>,
    /// Until this one, instead of the one in use
    #[arg(value_parser = of_history)]
    pub to: Option<u64>,
    /// The daemon
    #[command(flatten)]
    pub connection: Connection,
}

/// Which configuration is used again.
#[derive(clap::Args, Clone, Debug)]
pub struct Back {
    /// Its number; the one before that in use if it is not given
    #[arg(value_parser = of_history)]
    pub generation: Option<u64>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// The daemon
    #[command(flatten)]
    pub connection: Connection,
}

fn of_history(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| {
        "write the number of a generation, such as 7: causeway config history lists them".to_owned()
    })
}

/// Arguments of `causeway config show`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Show {
    /// Main file; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    pub config: PathBuf,
    /// Every setting with where it comes from: a line of a file, a carrier trunk, a preset
    #[arg(long)]
    pub effective: bool,
    /// Without secrets: that is always so, as files and results only say where each is
    #[arg(long)]
    pub redacted: bool,
    /// Only this trunk, tenant or other object
    #[arg(long, requires = "effective", value_name = "NAME")]
    pub name: Option<String>,
    /// How it is printed; what the files say is printed as they say it
    #[command(flatten)]
    pub output: Output,
}

/// Prints a configuration. Returns 3 for one that would be refused, with its findings; secrets are only
/// referred to in it, so none is printed.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Configuration, out: &mut dyn Write) -> io::Result<u8> {
    let arguments = match command {
        Configuration::Show(arguments) => arguments,
        Configuration::History { connection } => return history(connection, out),
        Configuration::Diff(Between {
            from,
            to,
            connection,
        }) => return diff(*from, *to, connection, out),
        Configuration::Rollback(Back {
            generation,
            yes,
            connection,
        }) => {
            let which = match generation {
                Some(generation) => format!("generation {generation}"),
                None => "the configuration before".to_owned(),
            };
            let what = format!("{which} is used then, and by a restart, too");
            if !is_meant(&what, Stake::HasWayBack, *yes) {
                return Ok(exit::REFUSED);
            }
            let path = match generation {
                Some(generation) => format!("/config/history/{generation}/rollback"),
                None => "/config/rollback".to_owned(),
            };
            return reloaded(connection, &path, out);
        }
        Configuration::Table { config } => return table_of_records(config, out),
        Configuration::Confirm { connection } => return post(connection, "/config/confirm", out),
    };
    let sources = match read_sources(&arguments.config) {
        Ok(sources) => sources,
        Err(findings) => {
            refused(&findings);
            return Ok(exit::of_refused(&arguments.config, &findings));
        }
    };
    if !arguments.effective && !arguments.output.is_table() {
        eprintln!(
            "causeway: files are printed as they are written; add --effective for JSON or YAML"
        );
        return Ok(exit::USAGE);
    }
    if !arguments.effective {
        return as_written(&sources, out);
    }
    let loaded = match load(&sources, None) {
        Ok(loaded) => loaded,
        Err(findings) => {
            refused(&findings);
            return Ok(exit::INVALID);
        }
    };
    let mut objects = effective(&sources, &loaded);
    if let Some(name) = &arguments.name {
        let all: BTreeSet<String> = objects.iter().filter_map(|own| own.name.clone()).collect();
        objects.retain(|object| object.name.as_ref() == Some(name));
        if objects.is_empty() {
            let lacks = "nothing in this configuration is called";
            let all = all.iter().map(String::as_str);
            eprintln!("causeway: {}", unknown(lacks, name, all));
            return Ok(exit::REFUSED);
        }
    }
    match arguments.output.is_table() {
        false => arguments.output.print(&objects, out)?,
        true => {
            for object in &objects {
                print(object, out)?;
            }
        }
    }
    Ok(exit::OK)
}

fn table_of_records(config: &Path, out: &mut dyn Write) -> io::Result<u8> {
    let loaded = match read_sources(config).and_then(|sources| load(&sources, None)) {
        Ok(loaded) => loaded,
        Err(findings) => {
            refused(&findings);
            return Ok(exit::of_refused(config, &findings));
        }
    };
    let ship = loaded.shell.cdr.and_then(|spool| spool.ship);
    match ship.map(|ship| ship.target) {
        Some(CdrTarget::Postgres(table)) => {
            out.write_all(sql::create(&table).as_bytes())?;
            Ok(exit::OK)
        }
        Some(CdrTarget::Https { .. }) | None => {
            eprintln!(
                "causeway: call records go to no table: write url = \"postgresql://user@host/database\" in [cdr.ship]"
            );
            Ok(exit::REFUSED)
        }
    }
}

fn history(to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    get(to, "/config/history", out, |answer, out| {
        let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        if rows.is_empty() {
            return writeln!(out, "no configuration was read from files");
        }
        let rows: Vec<Value> = rows.iter().map(history_row).collect();
        let columns = ["generation", "taken", "by", "files", "same_as", "state"];
        table(&rows, &columns, out)
    })
}

fn history_row(told: &Value) -> Value {
    let (first, last) = (&told["generation"], &told["until"]);
    let state = match (told["is_in_use"] == true, told["is_unconfirmed"] == true) {
        (true, true) => "in use, to be confirmed",
        (true, false) => "in use",
        (false, _) => "",
    };
    // To the second.
    let taken = told["taken"].as_str().and_then(|taken| taken.get(..19));
    json!({
        "generation": match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        },
        "taken": taken.map(|taken| format!("{taken}Z")),
        "by": told["by"],
        "files": told["files"].as_array().map(Vec::len),
        "same_as": told["same_as"],
        "state": state,
    })
}

fn diff(
    from: Option<u64>,
    to: Option<u64>,
    connection: &Connection,
    out: &mut dyn Write,
) -> io::Result<u8> {
    let ends = [("from", from), ("to", to)];
    let ends = ends
        .iter()
        .filter_map(|(name, number)| Some(format!("{name}={}", (*number)?)));
    let query: Vec<String> = ends.collect();
    let text = match text(connection, &format!("/config/diff?{}", query.join("&"))) {
        Ok(text) => text,
        Err(code) => return Ok(code),
    };
    match (connection.output.is_table(), text.is_empty()) {
        (false, _) => connection.output.print(&json!({ "diff": text }), out)?,
        // What may be piped into a program says nothing where nothing differs.
        (true, true) => eprintln!("causeway: nothing differs"),
        (true, false) => out.write_all(text.as_bytes())?,
    }
    Ok(exit::OK)
}

fn refused(findings: &Findings) {
    eprintln!("{}", findings.to_text());
}

fn as_written(sources: &[Source], out: &mut dyn Write) -> io::Result<u8> {
    for source in sources {
        writeln!(out, "# {}\n{}", source.path, source.text)?;
    }
    Ok(exit::OK)
}

fn print(object: &Effective, out: &mut dyn Write) -> io::Result<()> {
    match &object.name {
        Some(name) => writeln!(out, "{} \"{name}\"", object.kind)?,
        None => writeln!(out, "{}", object.kind)?,
    }
    for setting in &object.settings {
        let (key, value, because) = (&setting.key, &setting.value, &setting.because);
        writeln!(out, "  {key} = {value}\n      {because}")?;
    }
    writeln!(out)
}
