//! `causeway check`: everything that is wrong with a configuration, with line and remedy.

use super::form::Output;
use super::online;
use super::readable::plain;
use crate::command::exit;
use crate::config::{Service, User, load, load_with, read_sources};
use sbc_core::config::{Code, FileFault, Finding, Findings, Loaded, Source};
use serde_json::Value;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Arguments of `causeway check`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Main file; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    pub config: PathBuf,
    /// How it is printed
    #[command(flatten)]
    pub output: Output,
    /// Also ask DNS for the targets of trunks, as the daemon does; each that is not found is a warning
    #[arg(long)]
    pub online: bool,
}

/// Checks with the same code that start and reload use (OPS-112), for the user of the service where root asks. Returns 0 for a configuration
/// that would be accepted, 3 for one that would be refused, 2 when there is no such file or it is a directory, 5 when this user may not read all of it.
pub fn run(arguments: &Check, out: &mut dyn Write) -> io::Result<u8> {
    let user = User::of_service();
    let sources = match read_sources(&arguments.config) {
        Ok(sources) => sources,
        Err(findings) => {
            report(None, &findings, arguments.output, out)?;
            return Ok(exit::of_refused(&arguments.config, &findings));
        }
    };
    let closed = closed(&sources, user.as_ref());
    let loaded = match user {
        Some(user) => load_with(&sources, &Service(user), None),
        None => load(&sources, None),
    };
    match loaded {
        Ok(loaded) if !closed.is_empty() => {
            let mut findings = loaded.findings;
            findings.errors.extend(closed);
            report(None, &findings, arguments.output, out)?;
            Ok(exit::INVALID)
        }
        Ok(mut loaded) => {
            if arguments.online {
                let unknown = online::look_up(&loaded)?;
                loaded.findings.warnings.extend(unknown);
            }
            report(Some(&loaded), &loaded.findings, arguments.output, out)?;
            Ok(exit::OK)
        }
        Err(mut findings) => {
            findings.errors.extend(closed);
            report(None, &findings, arguments.output, out)?;
            Ok(exit::INVALID)
        }
    }
}

/// Files of the configuration that the user of the service may not read.
fn closed(sources: &[Source], user: Option<&User>) -> Vec<Finding> {
    let each = sources.iter().filter_map(|source| {
        let Err(FileFault::Unreadable(why)) = user?.reads(Path::new(&source.path)) else {
            return None;
        };
        let help = "chgrp causeway, chmod 640; and 750 for its folder";
        let cause = format!("{}: {why}", source.path);
        Some(Finding::unplaced(
            Code::Unreadable,
            cause,
            Some(help.to_owned()),
        ))
    });
    each.collect()
}

/// A warning that a daemon has told, as it is printed here.
pub(super) fn warned(finding: &Value) -> String {
    let place = &finding["place"];
    let (mut told, mut line) = (String::new(), String::new());
    if place.is_object() {
        let of = |name: &str| plain(&place[name]);
        told = format!("{}:{}:{}: ", of("file"), of("line"), of("column"));
        let text = place["text"].as_str().unwrap_or_default().trim();
        line = format!("\n  | {}", plain(&text.replace('\t', " ").into()));
    }
    let (code, cause) = (plain(&finding["code"]), plain(&finding["cause"]));
    told.push_str(&format!("warning[{code}]: {cause}{line}"));
    if !finding["help"].is_null() {
        told.push_str(&format!("\n  help: {}", plain(&finding["help"])));
    }
    told
}

fn report(
    loaded: Option<&Loaded>,
    findings: &Findings,
    output: Output,
    out: &mut dyn Write,
) -> io::Result<()> {
    if !output.is_table() {
        let report = serde_json::json!({
            "valid": loaded.is_some(),
            "errors": findings.errors,
            "warnings": findings.warnings,
            "omitted": findings.omitted,
        });
        return output.print(&report, out);
    }
    writeln!(out, "{}", findings.to_text())?;
    if let Some(loaded) = loaded {
        let config = &loaded.config;
        writeln!(
            out,
            "valid: tenants {}, trunks {}, routes {}, listeners {}, tests {}",
            config.tenants.len(),
            config.trunks.len(),
            config.routes.len(),
            config.listeners.len(),
            loaded.cases.len()
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_warning_of_a_daemon_is_printed_with_its_place_and_what_to_do() {
        let place =
            json!({ "file": "a.toml", "line": 3, "column": 2, "length": 1, "text": "\tx = 1" });
        let told = warned(&json!({ "code": "W0102", "cause": "x", "place": place, "help": "y" }));
        assert_eq!(told, "a.toml:3:2: warning[W0102]: x\n  | x = 1\n  help: y");
        let bare = json!({ "code": "W0102", "cause": "x", "place": null, "help": null });
        assert_eq!(warned(&bare), "warning[W0102]: x");
    }
}
