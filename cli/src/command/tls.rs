//! `causeway tls`: identities and connections in use, handshakes on trial, certificates read anew.

use super::node::{Connection, asked, get, quoted};
use super::readable::{plain, table};
use super::trunk;
use crate::command::exit;
use clap::Subcommand;
use serde_json::Value;
use std::io::{self, Write};

/// What to do with TLS.
#[derive(Subcommand, Clone, PartialEq, Eq, Debug)]
pub enum Tls {
    /// List identities with the trunks that show them, and the connections that are open
    List,
    /// Shake hands with a host over a connection of its own: name, chain and end of its certificate, or why not
    ///
    /// Exit code 0: nothing failed. 5: something did.
    Test {
        /// A name or an address; port 5061 if none is written
        #[arg(value_name = "HOST[:PORT]")]
        host: String,
        /// Name of the TLS identity to show; the first one if none is given
        #[arg(long, value_name = "NAME")]
        context: Option<String>,
    },
    /// Read certificates and keys from disk now; those that are new are taken into use as with a reload
    ///
    /// Exit code 0: all files are in use. 5: some are not.
    Reload,
}

/// `causeway tls`.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Tls, to: &Connection, out: &mut dyn Write) -> io::Result<u8> {
    match command {
        Tls::List => get(to, "/tls", out, |answer, out| {
            let rows = |name: &str| answer[name].as_array().map_or(&[][..], Vec::as_slice);
            if rows("identities").is_empty() {
                return writeln!(out, "there is no [[tls]] with a certificate");
            }
            let columns = ["context", "days_left", "connections", "trunks", "names"];
            table(rows("identities"), &columns, out)?;
            if rows("connections").is_empty() {
                return writeln!(out, "\nno connection is open");
            }
            writeln!(out)?;
            let columns = ["context", "direction", "local", "remote"];
            table(rows("connections"), &columns, out)
        }),
        Tls::Test { host, context } => {
            let context = context.as_ref();
            let context =
                context.map_or_else(String::new, |name| format!("&context={}", quoted(name)));
            match asked(to, &format!("/tls/test?host={}{context}", quoted(host))) {
                Ok(answer) => trunk::steps(&answer, to, out),
                Err(code) => Ok(code),
            }
        }
        Tls::Reload => {
            let answer = match asked(to, "/tls/reload") {
                Ok(answer) => answer,
                Err(code) => return Ok(code),
            };
            let told: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
            let rows = told.as_array().map(Vec::as_slice).unwrap_or_default();
            match (to.output.is_table(), rows) {
                (false, _) => to.output.pass(&answer, out)?,
                (true, []) => writeln!(out, "there is no [[tls]] whose files are read")?,
                (true, rows) => table(rows, &["context", "result", "because"], out)?,
            }
            Ok(match all_in_use(rows) {
                true => exit::OK,
                false => exit::REFUSED,
            })
        }
    }
}

fn all_in_use(rows: &[Value]) -> bool {
    let mut rows = rows.iter().map(|row| plain(&row["result"]));
    rows.all(|result| result == "same" || result == "taken")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_in_use_is_told_by_the_exit_code() {
        assert!(all_in_use(&[
            json!({ "result": "same" }),
            json!({ "result": "taken" })
        ]));
        assert!(!all_in_use(&[json!({ "result": "unusable" })]));
    }
}
