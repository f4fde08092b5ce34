//! `causeway check`: everything that is wrong with a configuration, with line and remedy.

use crate::command::exit;
use crate::config::{load, read_sources};
use sbc_core::config::{Findings, Loaded};
use std::io::{self, Write};
use std::path::PathBuf;

/// Arguments of `causeway check`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Main file; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    pub config: PathBuf,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// Checks with the same code that start and reload use (OPS-112). Returns 0 for a configuration
/// that would be accepted, 3 for one that would be refused, 2 when there is no such file or it is a directory.
pub fn run(arguments: &Check, out: &mut dyn Write) -> io::Result<u8> {
    let sources = match read_sources(&arguments.config) {
        Ok(sources) => sources,
        Err(findings) => {
            report(None, &findings, arguments.json, out)?;
            return Ok(exit::of_refused(&arguments.config));
        }
    };
    match load(&sources, None) {
        Ok(loaded) => {
            report(Some(&loaded), &loaded.findings, arguments.json, out)?;
            Ok(exit::OK)
        }
        Err(findings) => {
            report(None, &findings, arguments.json, out)?;
            Ok(exit::INVALID)
        }
    }
}

fn report(
    loaded: Option<&Loaded>,
    findings: &Findings,
    as_json: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    if as_json {
        let report = serde_json::json!({
            "valid": loaded.is_some(),
            "errors": findings.errors,
            "warnings": findings.warnings,
            "omitted": findings.omitted,
        });
        serde_json::to_writer_pretty(&mut *out, &report)?;
        return writeln!(out);
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
