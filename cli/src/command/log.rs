//! `causeway log`: what the log of a running daemon shows besides, for a while.

use super::exit;
use super::node::{Connection, answered, get, quoted, text, wait};
use super::readable::{plain, table};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::{self, Write};

/// What to do with the log.
#[derive(Subcommand, Clone, Debug)]
pub enum Logs {
    /// Show more for a while: debug for decisions, trace for each message. Without a level: what is shown
    Level(Level),
    /// Show only what the daemon was started to show
    Reset,
    /// Print the last thousand warnings and errors, oldest first
    Recent,
}

/// What is to be shown. What is not said may be anything.
#[derive(Args, Clone, Debug)]
pub struct Level {
    /// debug or trace
    pub level: Option<String>,
    /// Only lines about this trunk, and about calls that touch it
    #[arg(long, requires = "level")]
    pub trunk: Option<String>,
    /// Only lines about calls from or to numbers that begin so
    #[arg(long, requires = "level")]
    pub number: Option<String>,
    /// Only lines whose code begins so: sip, stir, dropped
    #[arg(long, requires = "level")]
    pub code: Option<String>,
    /// For how long: 1s to 24h
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = wait)]
    pub lasts: u64,
}

/// `causeway log`.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Logs, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    match command {
        Logs::Reset => answered(to, "/log/reset", out, print),
        Logs::Recent => match text(to, "/log/recent") {
            Ok(lines) if !to.output.is_table() => {
                let lines: Vec<&str> = lines.lines().collect();
                to.output.print(&json!({ "lines": lines }), out)?;
                Ok(exit::OK)
            }
            Ok(lines) => {
                out.write_all(lines.as_bytes())?;
                Ok(exit::OK)
            }
            Err(code) => Ok(code),
        },
        Logs::Level(wish) => match &wish.level {
            None => get(to, "/log", out, print),
            Some(level) => {
                let mut path = format!("/log?level={}&seconds={}", quoted(level), wish.lasts);
                for (name, value) in [
                    ("trunk", &wish.trunk),
                    ("number", &wish.number),
                    ("code", &wish.code),
                ] {
                    if let Some(value) = value {
                        path.push_str(&format!("&{name}={}", quoted(value)));
                    }
                }
                answered(to, &path, out, print)
            }
        },
    }
}

fn print(answer: &Value, out: &mut dyn Write) -> io::Result<()> {
    let level = plain(&answer["level"]);
    writeln!(out, "lines of {level} and graver ones are written")?;
    let looks = answer["looks"].as_array().map_or(&[][..], Vec::as_slice);
    if looks.is_empty() {
        return Ok(());
    }
    table(
        looks,
        &["level", "trunk", "number", "code", "seconds_left"],
        out,
    )?;
    if answer["brief"].as_bool() == Some(true) {
        writeln!(
            out,
            "the node is loaded: debug and trace are left out until it is not (\"causeway status\")"
        )?;
    }
    Ok(())
}
