//! `causeway call transfer`: somebody else in the place of a party of a call.

use super::exit;
use super::node::{Connection, asked, quoted, segment};
use super::readable::plain;
use super::sure::{Stake, is_meant};
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::io::{self, Write};

/// Whom to call in whose place.
#[derive(Args, Clone, Debug)]
pub struct Transfer {
    /// The call, or the first or last digits of its identifier
    pub id: String,
    /// The number to call
    pub number: String,
    /// The trunk that leads there; without it, routes say, as for a call of whoever stays
    #[arg(long)]
    pub trunk: Option<String>,
    /// Who stays in the call
    #[arg(long, value_enum, default_value_t = Stays::Caller)]
    pub stays: Stays,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// A party of a call.
#[derive(Clone, Copy, ValueEnum, PartialEq, Eq, Debug)]
pub enum Stays {
    /// Whoever called
    Caller,
    /// Whoever was called
    Called,
}

/// Asks, has it done, and says what came of it: the exit code is 5 where the call is as it was.
pub(super) fn run(wish: &Transfer, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    let (stays, other) = match wish.stays {
        Stays::Caller => ("caller", "whoever was called"),
        Stays::Called => ("called", "whoever called"),
    };
    let what = format!(
        "{} is called in the place of {other}, who is out of the call then",
        wish.number
    );
    if !is_meant(&what, Stake::Calls, wish.yes) {
        return Ok(exit::REFUSED);
    }
    let mut path = format!(
        "/calls/{}/transfer?number={}&stays={stays}",
        segment(&wish.id),
        quoted(&wish.number)
    );
    if let Some(trunk) = &wish.trunk {
        path.push_str(&format!("&trunk={}", quoted(trunk)));
    }
    let answer = match asked(to, &path) {
        Ok(answer) => answer,
        Err(code) => return Ok(code),
    };
    let told: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
    let outcome = plain(&told["outcome"]);
    match to.output.is_table() {
        false => to.output.pass(&answer, out)?,
        true => writeln!(out, "{outcome}: {}", plain(&told["because"]))?,
    }
    Ok(match outcome.as_str() {
        "completed" | "ringing" => exit::OK,
        _ => exit::REFUSED,
    })
}
