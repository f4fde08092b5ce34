//! `causeway cdr export`: all records of the spool, oldest first, and each once for who comes back with what was noted.

use super::csv::{self, Layout};
use super::exit;
use super::node::{Connection, detail, quoted, request, unheard};
use crate::client::{Answer, send};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// Records that are asked for at once.
const PAGE: usize = 5_000;
/// How often it is asked again where others are being served, and how long it is waited before.
const TRIES: usize = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// Which records, and how.
#[derive(Args, Clone, Debug)]
pub struct Export {
    /// Only calls that began then or later: 2026-08-01, or 2026-08-01T10:30:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only calls that began before that time, or on that day or before
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only calls of this trunk
    #[arg(long, value_name = "NAME")]
    pub trunk: Option<String>,
    /// Only calls that came from the trunk, or that led to it
    #[arg(long, value_enum, requires = "trunk")]
    pub direction: Option<Direction>,
    /// Only calls of this tenant
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Only calls that ended with this cause: causeway reference causes lists them
    #[arg(long, value_name = "CAUSE")]
    pub cause: Option<String>,
    /// Also lines of pairs of legs
    #[arg(long)]
    pub pairs: bool,
    /// Also interim records
    #[arg(long)]
    pub interim: bool,
    /// Print CSV for spreadsheets, in our columns or those of others, instead of lines of JSON
    #[arg(long, value_enum, value_name = "COLUMNS", num_args = 0..=1, require_equals = true,
          default_missing_value = "causeway")]
    pub csv: Option<Layout>,
    /// Go on behind what the last export with this file has printed, and note there how far this one has come
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
}

/// Which way calls went, as the trunk sees it.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// They came from it
    In,
    /// They led to it
    Out,
}

/// Prints all of them.
///
/// # Errors
/// If the output cannot be written, or the file of `--resume`.
pub fn run(wanted: &Export, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    if !to.output.is_table() {
        eprintln!(
            "causeway: records are lines of JSON, or CSV with --csv: leave --output and --json out"
        );
        return Ok(exit::USAGE);
    }
    let mut cursor = match &wanted.resume {
        Some(path) => noted(path)?,
        None => String::new(),
    };
    let mut names = wanted.csv.filter(|_| cursor.is_empty());
    let path = path_of(wanted);
    let (begins, mut has_some) = (cursor.is_empty(), false);
    loop {
        let place = match cursor.as_str() {
            "" => path.clone(),
            cursor => format!("{path}&cursor={}", quoted(cursor)),
        };
        let answer = match page(to, &place) {
            Ok(answer) => answer,
            Err(code) => return Ok(code),
        };
        has_some |= !answer.body.is_empty();
        match wanted.csv {
            None => out.write_all(answer.body.as_bytes())?,
            Some(layout) => {
                let lines = answer.body.lines();
                let records: Vec<Value> = lines
                    .filter_map(|line| serde_json::from_str(line).ok())
                    .collect();
                match names.take() {
                    Some(layout) => csv::write(layout, &records, out)?,
                    None => csv::rows(layout, &records, out)?,
                }
            }
        }
        if let Some(next) = answer
            .header("Causeway-Next")
            .filter(|next| !next.is_empty())
        {
            next.clone_into(&mut cursor);
        }
        // Only what was printed is noted.
        out.flush()?;
        if let Some(path) = &wanted.resume {
            note(path, &cursor)?;
        }
        if answer.header("Causeway-More") != Some("true") {
            if begins && !has_some {
                doubt(wanted);
            }
            return Ok(exit::OK);
        }
    }
}

/// Nothing was found: a name may be misspelt, which nobody can say for certain, as records outlive what they name.
fn doubt(wanted: &Export) {
    for (what, name) in [("trunk", &wanted.trunk), ("tenant", &wanted.tenant)] {
        if let Some(name) = name {
            eprintln!("causeway: there is no such record; was there ever a {what} {name:?}?");
        }
    }
}

/// A page; others who read the spool go first for a while.
fn page(to: &Connection, place: &str) -> Result<Answer, u8> {
    for _ in 0..TRIES {
        match send(&to.socket, "GET", place, &[], "") {
            Ok(answer) if answer.status == 503 && answer.header("Retry-After").is_some() => {
                sleep(PAUSE);
            }
            Ok(answer) if answer.status == 410 => {
                eprintln!("causeway: {}", detail(&answer));
                return Err(exit::REFUSED);
            }
            Ok(answer) if answer.status < 300 => return Ok(answer),
            Ok(_) => break,
            Err(fault) => return Err(unheard(&to.socket, &fault)),
        }
    }
    // It says why not.
    request(to, "GET", place)
}

fn path_of(wanted: &Export) -> String {
    let mut path = format!("/records/export?limit={PAGE}");
    let direction = wanted.direction.map(|own| match own {
        Direction::In => "in".to_owned(),
        Direction::Out => "out".to_owned(),
    });
    for (name, value) in [
        ("since", &wanted.since),
        ("until", &wanted.until),
        ("trunk", &wanted.trunk),
        ("direction", &direction),
        ("tenant", &wanted.tenant),
        ("cause", &wanted.cause),
    ] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", quoted(value)));
        }
    }
    for (name, is_wanted) in [("pairs", wanted.pairs), ("interim", wanted.interim)] {
        if is_wanted {
            path.push_str(&format!("&{name}=true"));
        }
    }
    path
}

/// How far the last export came; nothing before the first.
fn noted(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(why) => Err(about(path, &why)),
    }
}

/// Whole or not at all: half a cursor would be none.
fn note(path: &Path, cursor: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let written = fs::write(&beside, format!("{cursor}\n"));
    let written = written.and_then(|()| fs::rename(&beside, path));
    written.map_err(|why| about(path, &why))
}

fn about(path: &Path, why: &io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("{}: {why}", path.display()))
}
