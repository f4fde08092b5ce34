//! `causeway reg`: registrations of ours at registrars, and those of peers with us.

use super::node::{Connection, get, post, quoted};
use super::readable::table;
use super::sure::{Stake, is_meant};
use crate::command::exit;
use clap::Subcommand;
use serde_json::Value;
use std::io::{self, Write};

/// What to do with registrations.
#[derive(Subcommand, Clone, PartialEq, Eq, Debug)]
pub enum Registrations {
    /// List those of ours at registrars, and those of peers with us
    List,
    /// Register a trunk anew at once, whatever its registrar has said before, also one that was taken back
    Refresh {
        /// Name of the trunk
        trunk: String,
    },
    /// Take the registration of a trunk back; it registers again by refresh, and with a restart
    Unregister {
        /// Name of the trunk
        trunk: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Our registrations and those of peers with us, each as a table.
pub(super) fn books(ours: &[Value], theirs: &[Value], out: &mut dyn Write) -> io::Result<()> {
    if !ours.is_empty() {
        let columns = [
            "trunk",
            "address_of_record",
            "state",
            "server",
            "until",
            "because",
        ];
        table(ours, &columns, out)?;
    }
    if !ours.is_empty() && !theirs.is_empty() {
        writeln!(out)?;
    }
    if !theirs.is_empty() {
        let columns = [
            "trunk",
            "address_of_record",
            "contact",
            "reached_at",
            "until",
            "because",
        ];
        table(theirs, &columns, out)?;
    }
    Ok(())
}

/// `causeway reg`.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Registrations, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    match command {
        Registrations::List => get(to, "/registrations", out, |answer, out| {
            let rows = |name: &str| answer[name].as_array().map_or(&[][..], Vec::as_slice);
            let (ours, theirs): (&[Value], &[Value]) = (rows("ours"), rows("theirs"));
            if ours.is_empty() && theirs.is_empty() {
                return writeln!(out, "no trunk registers, and no peer registers with us");
            }
            books(ours, theirs, out)
        }),
        Registrations::Refresh { trunk } => post(
            to,
            &format!("/registrations/{}/refresh", quoted(trunk)),
            out,
        ),
        Registrations::Unregister { trunk, yes } => {
            let what = format!("nobody can call trunk {trunk} by way of its registrar then");
            match is_meant(&what, Stake::Calls, *yes) {
                true => post(
                    to,
                    &format!("/registrations/{}/unregister", quoted(trunk)),
                    out,
                ),
                false => Ok(exit::REFUSED),
            }
        }
    }
}
