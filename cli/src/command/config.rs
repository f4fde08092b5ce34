//! `causeway config`: what a configuration comes to, and why.

use crate::command::exit;
use crate::config::{load, read_sources};
use clap::Subcommand;
use sbc_core::config::{Effective, Findings, Source, effective};
use std::io::{self, Write};
use std::path::PathBuf;

/// What to do with a configuration.
#[derive(Subcommand, Clone, Debug)]
pub enum Configuration {
    /// Print it: as written, or with everything that trunks inherit or have from their preset
    Show(Show),
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
    /// Only this trunk, tenant or other object
    #[arg(long, requires = "effective", value_name = "NAME")]
    pub name: Option<String>,
    /// Print JSON instead of text
    #[arg(long, requires = "effective")]
    pub json: bool,
}

/// Prints a configuration. Returns 3 for one that would be refused, with its findings; secrets are only
/// referred to in it, so none is printed.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Configuration, out: &mut dyn Write) -> io::Result<u8> {
    let Configuration::Show(arguments) = command;
    let sources = match read_sources(&arguments.config) {
        Ok(sources) => sources,
        Err(findings) => {
            refused(&findings);
            return Ok(exit::of_refused(&arguments.config));
        }
    };
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
        objects.retain(|object| object.name.as_ref() == Some(name));
        if objects.is_empty() {
            eprintln!("causeway: nothing in this configuration is called {name:?}");
            return Ok(exit::USAGE);
        }
    }
    match arguments.json {
        true => {
            serde_json::to_writer_pretty(&mut *out, &objects)?;
            writeln!(out)?;
        }
        false => {
            for object in &objects {
                print(object, out)?;
            }
        }
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
