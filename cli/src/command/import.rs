//! `causeway import`: what other products and spreadsheets have, as a configuration.

use super::init::write_file;
use crate::command::exit;
use crate::config::{load, read_sources};
use causeway_import::{Imported, MOST_BYTES, Refused, audiocodes, dispatcher, numbers};
use clap::{Args, Subcommand};
use sbc_core::config::{Findings, Source};
use sbc_core::display::shown;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// What is read.
#[derive(Subcommand, Clone, Debug)]
pub enum Import {
    /// INI file of an AudioCodes Mediant SBC
    Audiocodes {
        /// File and output
        #[command(flatten)]
        common: Common,
    },
    /// Dispatcher list of Kamailio: setid destination flags priority attributes
    KamailioDispatcher {
        /// File and output
        #[command(flatten)]
        common: Common,
        /// Where it is to stand
        #[command(flatten)]
        beside: Beside,
        /// Realm of the trunks
        #[arg(long, default_value = "carrier")]
        realm: String,
        /// Tenant of the trunks; "*" for all
        #[arg(long, default_value = "*")]
        tenant: String,
    },
    /// CSV of numbers or ranges with their tenants and, if you like, trunks and comments
    Numbers {
        /// File and output
        #[command(flatten)]
        common: Common,
        /// Where it is to stand
        #[command(flatten)]
        beside: Beside,
        /// Tenant of rows that name none
        #[arg(long)]
        tenant: Option<String>,
    },
}

/// Arguments of every import.
#[derive(Args, Clone, PartialEq, Eq, Debug)]
pub struct Common {
    /// File to read
    pub file: PathBuf,
    /// File to write instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace the output file if it exists
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Print one JSON object: the result, what is not in it, and what the loader says
    #[arg(long)]
    pub json: bool,
}

/// Where the result is to go.
#[derive(Args, Clone, PartialEq, Eq, Debug)]
pub struct Beside {
    /// Configuration that the result is to stand beside, in its conf.d; it is checked together with it
    #[arg(short = 'f', long)]
    pub config: Option<PathBuf>,
}

/// Converts a file. The result goes to standard output or the output file, what is not in it and what the loader says of it
/// to standard error; a file that is there is not replaced by what the loader refuses. Returns 0 if the loader accepts the
/// result, 3 if something is left to do or nothing could be converted, 2 without a file, 5 if the output file exists or cannot be written.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(command: &Import, out: &mut dyn Write) -> io::Result<u8> {
    let (common, beside) = match command {
        Import::Audiocodes { common } => (common, None),
        Import::KamailioDispatcher { common, beside, .. }
        | Import::Numbers { common, beside, .. } => (common, beside.config.as_deref()),
    };
    let path = common.file.display();
    let octets = match read(&common.file) {
        Ok(octets) => octets,
        Err(why) => {
            eprintln!("causeway: {path} cannot be read: {why}");
            return Ok(exit::USAGE);
        }
    };
    // Whatever it is beside is read first: a wrong name of it should not leave a file behind.
    let mut sources = match beside.map(read_sources).transpose() {
        Ok(sources) => sources.unwrap_or_default(),
        Err(findings) => {
            eprintln!("{}", findings.to_text());
            return Ok(exit::of_refused(beside.unwrap_or(Path::new("")), &findings));
        }
    };
    let imported = match converted(command, &path.to_string(), &octets, sources.is_empty()) {
        Ok(imported) => imported,
        Err(why) => {
            eprintln!("causeway: {path}: {why}");
            return Ok(exit::INVALID);
        }
    };
    let name = common
        .output
        .as_ref()
        .map_or("(result)".into(), |output| output.display().to_string());
    if let (Import::Numbers { .. }, true) = (command, sources.is_empty()) {
        // Numbers are part of a configuration; this is the rest, as far as the loader asks for it.
        sources.push(Source::new("(assumed)", "[node]\nid = \"sbc1\"\n"));
    }
    // The output file may be in the folder that was read just now, by another name of it.
    let file = |path: &Path| path.canonicalize().ok();
    if let Some(own) = common.output.as_deref().and_then(file) {
        sources.retain(|source| file(Path::new(&source.path)).is_none_or(|other| other != own));
    }
    sources.push(Source::new(name, imported.toml.as_str()));
    let (is_valid, findings) = match load(&sources, None) {
        Ok(loaded) => (true, loaded.findings),
        Err(findings) => (false, findings),
    };
    // What is there may be in use: it is replaced by something that is accepted, or not at all.
    let is_there = common.output.as_ref().is_some_and(|output| output.exists());
    let is_kept = !is_valid && common.force && is_there;
    if let Some(output) = common.output.as_ref().filter(|_| !is_kept)
        && let Err(code) = written(output, &imported.toml, common.force)
    {
        return Ok(code);
    }
    if is_kept && let Some(output) = &common.output {
        let path = output.display();
        eprintln!(
            "causeway: {path} was left as it is, since the loader refuses the result; to have that anyway, remove the file first"
        );
    }
    match common.json {
        true => report(&imported, common, is_valid, &findings, out)?,
        false => {
            if common.output.is_none() {
                out.write_all(imported.toml.as_bytes())?;
                out.flush()?;
            }
            eprint!("{}", told(&imported, &common.file, is_valid, &findings));
        }
    }
    Ok(match is_valid {
        true => exit::OK,
        false => exit::INVALID,
    })
}

fn converted(
    command: &Import,
    file: &str,
    octets: &[u8],
    is_alone: bool,
) -> Result<Imported, Refused> {
    match command {
        Import::Audiocodes { .. } => audiocodes::import(file, octets),
        Import::KamailioDispatcher { realm, tenant, .. } => {
            let around = dispatcher::Around {
                realm: realm.clone(),
                tenant: tenant.clone(),
                is_alone,
            };
            dispatcher::import(file, octets, &around)
        }
        Import::Numbers { tenant, .. } => numbers::import(file, octets, tenant.as_deref()),
    }
}

/// One octet more than is taken, so that a larger file is seen to be one.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let most = MOST_BYTES as u64 + 1;
    File::open(file)?.take(most).read_to_end(&mut octets)?;
    Ok(octets)
}

fn written(output: &Path, toml: &str, force: bool) -> Result<(), u8> {
    let path = output.display();
    write_file(output, toml, force).map_err(|fault| {
        match fault.kind() {
            ErrorKind::AlreadyExists => {
                eprintln!("causeway: {path} exists and was left as it is; --force replaces it");
            }
            _ => eprintln!("causeway: {path} cannot be written: {fault}"),
        }
        exit::REFUSED
    })
}

fn report(
    imported: &Imported,
    common: &Common,
    is_valid: bool,
    findings: &Findings,
    out: &mut dyn Write,
) -> io::Result<()> {
    let report = serde_json::json!({
        "file": common.file.display().to_string(),
        "output": common.output.as_ref().map(|output| output.display().to_string()),
        "toml": common.output.is_none().then_some(&imported.toml),
        "not_carried_over": imported.notes,
        "omitted": imported.omitted,
        "check": {
            "valid": is_valid,
            "errors": findings.errors,
            "warnings": findings.warnings,
            "omitted": findings.omitted,
        },
    });
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

/// What a person should know of the result.
fn told(imported: &Imported, file: &Path, is_valid: bool, findings: &Findings) -> String {
    let mut text = String::from("\n");
    let file: String = file.display().to_string().chars().map(shown).collect();
    for note in &imported.notes {
        text.push_str(&format!(
            "{file}:{}: not carried over: {}\n  why: {}\n  help: {}\n\n",
            note.line, note.what, note.why, note.help
        ));
    }
    if imported.omitted > 0 {
        text.push_str(&format!(
            "{} more notes are not shown\n\n",
            imported.omitted
        ));
    }
    if !findings.errors.is_empty() || !findings.warnings.is_empty() {
        text.push_str(&format!(
            "What the loader says of the result:\n\n{}\n\n",
            findings.to_text()
        ));
    }
    let notes = imported.notes.len() + imported.omitted;
    text.push_str(&match is_valid {
        true => format!("{notes} notes; the result would be accepted\n"),
        false => format!("{notes} notes; the result is not accepted yet, for the errors above\n"),
    });
    text
}
