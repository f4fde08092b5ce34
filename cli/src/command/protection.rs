//! `causeway ban`, `causeway acl`, `causeway fraud` and the tokens of a running node: who is kept out and let in, and what may
//! be spent.

use super::exit;
use super::node::{Connection, again, get, quoted, remove};
use super::readable::{plain, table};
use super::sure::{Stake, is_meant};
use super::token::Made;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::io::{self, Write};

/// What to do with bans.
#[derive(Subcommand, Clone, Debug)]
pub enum Bans {
    /// List bans, and who is kept out without: strangers of late, and sources with too many wrong passwords
    List,
    /// Hear nothing of an address or a range for a while, at any listener
    Add {
        /// An address, or a range such as 192.0.2.0/28
        address: String,
        /// For how long
        #[command(flatten)]
        how: How,
    },
    /// End a ban
    Del {
        /// As it is listed
        address: String,
    },
}

/// What to do with addresses of trunks.
#[derive(Subcommand, Clone, Debug)]
pub enum Acl {
    /// List the addresses that are taken for a trunk's: those of the configuration, and those that are let in for a while
    List,
    /// Take an address or a range for a trunk's for a while, as if it stood in its accept_from
    Add {
        /// Name of the trunk
        trunk: String,
        /// An address, or a range such as 192.0.2.0/28
        address: String,
        /// For how long
        #[command(flatten)]
        how: How,
    },
    /// Let it in no more; its calls go on
    Del {
        /// Name of the trunk
        trunk: String,
        /// As it is listed
        address: String,
    },
}

/// What to do with what calls cost.
#[derive(Subcommand, Clone, Debug)]
pub enum Fraud {
    /// List what calls have cost in the last hour and day where money is limited: where a limit is reached first
    Status,
    /// Forget what was spent, so that the limit begins anew
    Reset {
        /// Name of the tenant, or of what --of says
        name: Option<String>,
        /// What it is the name of
        #[arg(long, value_enum, default_value = "tenant")]
        of: Payer,
        /// Of a limit that counts each number by itself, this number alone
        #[arg(long)]
        number: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Whose money it is.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Payer {
    /// A customer.
    Tenant,
    /// A trunk.
    Trunk,
    /// A route.
    Route,
    /// A limit of the operator's choice.
    Limit,
    /// All of them together.
    Node,
}

/// For how long.
#[derive(Args, Clone, Debug)]
pub struct How {
    /// For how long: 1s to 30d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = time)]
    pub ttl: u64,
    /// Do it also where a peer of a trunk is meant
    #[arg(long)]
    pub yes: bool,
}

/// What to do with tokens.
#[derive(Subcommand, Clone, Debug)]
pub enum Tokens {
    /// Make one: the same as token NAME
    Create(Made),
    /// List who has a token, with which role, until when, and whether it is good
    List {
        /// Where the daemon listens
        #[command(flatten)]
        connection: Connection,
    },
    /// Take the token of somebody away at once. A new one is good after a reload
    Revoke {
        /// The name of the [[api.user]]
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Where the daemon listens
        #[command(flatten)]
        connection: Connection,
    },
}

fn time(text: &str) -> Result<u64, String> {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut read = units.iter().filter_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*seconds)
    });
    let seconds = read
        .next()
        .filter(|seconds| (1..=2_592_000).contains(seconds));
    seconds.ok_or_else(|| "write a time from 1s to 30d, such as 12h".to_owned())
}

/// `causeway ban`.
///
/// # Errors
/// If the output cannot be written.
pub fn bans(command: &Bans, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    match command {
        Bans::List => get(to, "/security", out, |answer, out| {
            let parts: [(&str, &str, &[&str]); 3] = [
                (
                    "bans",
                    "no address is banned",
                    &["address", "until", "dropped", "trunks", "by", "reason"],
                ),
                (
                    "silenced",
                    "no source has shown too many wrong passwords",
                    &["source", "seconds_left"],
                ),
                (
                    "strangers",
                    "no stranger has come",
                    &[
                        "source",
                        "listener",
                        "protocol",
                        "times",
                        "last_seconds_ago",
                    ],
                ),
            ];
            for (at, (name, none, columns)) in parts.into_iter().enumerate() {
                if at > 0 {
                    writeln!(out)?;
                }
                match rows(&answer[name]) {
                    [] => writeln!(out, "{none}")?,
                    all => {
                        writeln!(out, "{name}:")?;
                        table(all, columns, out)?;
                    }
                }
            }
            Ok(())
        }),
        Bans::Add { address, how } => {
            let path = format!("/security/bans?address={}", quoted(address));
            begin(to, &path, how, out)
        }
        Bans::Del { address } => {
            let path = format!("/security/bans?address={}", quoted(address));
            remove(to, &path, out)
        }
    }
}

/// `causeway acl`.
///
/// # Errors
/// If the output cannot be written.
pub fn acl(command: &Acl, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    let of = |trunk: &str, address: &str| {
        format!(
            "/security/allowed?trunk={}&address={}",
            quoted(trunk),
            quoted(address)
        )
    };
    match command {
        Acl::List => get(to, "/security", out, |answer, out| {
            let columns = ["trunk", "address", "until", "by", "reason"];
            table(rows(&answer["allowed"]), &columns, out)
        }),
        Acl::Add {
            trunk,
            address,
            how,
        } => begin(to, &of(trunk, address), how, out),
        Acl::Del { trunk, address } => remove(to, &of(trunk, address), out),
    }
}

/// `causeway fraud`.
///
/// # Errors
/// If the output cannot be written.
pub fn fraud(command: &Fraud, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    let Fraud::Reset {
        name,
        of,
        number,
        yes,
    } = command
    else {
        return get(to, "/fraud", out, |answer, out| match rows(answer) {
            [] => writeln!(out, "nothing was spent within a day where money is limited"),
            all => {
                let columns = [
                    "of",
                    "name",
                    "direction",
                    "number",
                    "hour",
                    "per_hour",
                    "day",
                    "per_day",
                    "reached",
                    "action",
                ];
                table(all, &columns, out)
            }
        });
    };
    let of = of.to_possible_value();
    let of = of.as_ref().map_or("", |own| own.get_name());
    let name = name.as_deref().unwrap_or_default();
    let what = format!(
        "calls that {of} {name} pays for are let in again, until as much is spent once more"
    );
    if !is_meant(&what, Stake::Calls, *yes) {
        return Ok(exit::REFUSED);
    }
    let mut path = format!("/fraud/reset?of={of}&name={}", quoted(name));
    if let Some(number) = number {
        path.push_str(&format!("&number={}", quoted(number)));
    }
    super::node::answered(to, &path, out, |answer, out| {
        let accounts = &answer["accounts"];
        writeln!(
            out,
            "what {of} {name} has spent is forgotten; accounts with anything on them: {accounts}"
        )
    })
}

/// `causeway token list` and `causeway token revoke`.
///
/// # Errors
/// If the output cannot be written.
pub fn tokens(command: &Tokens, out: &mut dyn Write) -> io::Result<u8> {
    match command {
        Tokens::Create(made) => super::token::run(made, out),
        Tokens::List { connection } => get(connection, "/tokens", out, |answer, out| {
            let columns = ["name", "role", "expires", "state"];
            match rows(answer) {
                [] => writeln!(out, "nobody has a token: there is no [[api.user]]"),
                all => table(all, &columns, out),
            }
        }),
        Tokens::Revoke {
            name,
            yes,
            connection,
        } => {
            let what = format!("whoever has the token of {name} cannot do anything any more");
            if !is_meant(&what, Stake::HasWayBack, *yes) {
                return Ok(exit::REFUSED);
            }
            let path = format!("/tokens/{}/revoke", quoted(name));
            let told = |answer: &Value, out: &mut dyn Write| {
                writeln!(
                    out,
                    "the token of {} is nobody's any more",
                    plain(&answer["name"])
                )?;
                kept(answer)
            };
            super::node::answered(connection, &path, out, told)
        }
    }
}

/// Has it begun; where that concerns a peer, only if that is meant.
fn begin(to: &Connection, path: &str, how: &How, out: &mut dyn Write) -> io::Result<u8> {
    let mut path = format!("{path}&seconds={}", how.ttl);
    if let Some(reason) = &to.reason {
        path.push_str(&format!("&reason={}", quoted(reason)));
    }
    let print = |answer: &Value, out: &mut dyn Write| {
        let (address, until) = (plain(&answer["address"]), plain(&answer["until"]));
        writeln!(out, "{address} until {until}")?;
        if let Some(warning) = answer["warning"].as_str() {
            eprintln!("causeway: warning: {warning}");
        }
        kept(answer)
    };
    let forced = format!("{path}&force=true");
    again(
        to,
        (&path, &forced),
        |warning| is_meant(warning, Stake::Calls, how.yes),
        out,
        print,
    )
}

/// Says where something will not outlive a restart.
fn kept(answer: &Value) -> io::Result<()> {
    if answer["kept"] == json!(false) {
        eprintln!(
            "causeway: warning: a restart forgets it: the daemon has no directory for state, or cannot write there"
        );
    }
    Ok(())
}

fn rows(answer: &Value) -> &[Value] {
    answer.as_array().map_or(&[][..], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_up_to_thirty_days() {
        assert_eq!(time("30d"), Ok(2_592_000));
        assert_eq!(time("90s"), Ok(90));
        for wrong in ["0s", "31d", "5", "-1h", "1w", "99999999999999999999d"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
