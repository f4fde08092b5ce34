//! `causeway number normalize`: what becomes of a number, as messages of a trunk have it, before it is routed.

use super::form::Output;
use super::readable::plain;
use crate::command::exit;
use crate::config::{Host as OwnHost, read_sources};
use crate::misspelt::unknown;
use clap::{Args, Subcommand};
use sbc_core::cause::Decision;
use sbc_core::config::{Config, TransformScope};
use sbc_core::id::TrunkName;
use sbc_core::policy::number::{self, Number, is_e164};
use sbc_core::sip::{Host, SipUri, Uri};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// What to do with a number.
#[derive(Subcommand, Clone, Debug)]
pub enum Numbers {
    /// Tell what it is after the transforms of a trunk, or after one of them, with each change
    Normalize(Normalize),
}

/// The number, and by what it is changed.
#[derive(Args, Clone, Debug)]
pub struct Normalize {
    /// The number as it is dialled or shown; blanks, dashes, dots and brackets in it do not count
    pub number: String,
    /// As on calls that come from this trunk
    #[arg(long, value_name = "NAME", required_unless_present = "plan")]
    pub trunk: Option<String>,
    /// As on calls that go to the trunk instead
    #[arg(long, requires = "trunk")]
    pub out: bool,
    /// By the transform of this name alone, whichever trunk it is for
    #[arg(long, value_name = "NAME", conflicts_with = "trunk")]
    pub plan: Option<String>,
    /// Main file; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    pub config: PathBuf,
    /// How it is printed
    #[command(flatten)]
    pub output: Output,
}

/// Prints the number as called and as calling one. Returns 0 if the called one is E.164 in the end, 5 if it is not, or
/// there is no such trunk or transform, 3 if the configuration is not valid, 2 if this is no number.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Numbers, out: &mut dyn Write) -> io::Result<u8> {
    let Numbers::Normalize(arguments) = command;
    let loaded = read_sources(&arguments.config)
        .and_then(|sources| sbc_core::config::load(&sources, &OwnHost, None));
    let mut config = match loaded {
        Ok(loaded) => loaded.config,
        Err(findings) => {
            eprintln!("{}", findings.to_text());
            return Ok(exit::of_refused(&arguments.config, &findings));
        }
    };
    let Some(read) = read(&arguments.number) else {
        eprintln!(
            "causeway: \"{}\" has nothing that could be dialled",
            arguments.number.escape_debug()
        );
        return Ok(exit::USAGE);
    };
    let scope = match scope(&mut config, arguments) {
        Ok(scope) => scope,
        Err(why) => {
            eprintln!("causeway: {why}");
            return Ok(exit::REFUSED);
        }
    };
    let called = number::transform_called(&config, &scope, &read.number);
    let calling = number::transform_calling(&config, &scope, &read.number);
    let is_global = is_e164(&read.changed(called.value.clone()).number);
    let told = json!({
        "number": arguments.number,
        "read": read.number,
        "called": one(&read, &called),
        "calling": one(&read, &calling),
    });
    match arguments.output.is_table() {
        false => arguments.output.print(&told, out)?,
        true => print(&told, out)?,
    }
    Ok(match is_global {
        true => exit::OK,
        false => exit::REFUSED,
    })
}

/// The number as messages have it, in the way in which the product reads it from them.
fn read(number: &str) -> Option<Number> {
    let mut uri = SipUri::new(Host::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST)));
    uri.set_user_text(number.as_bytes()).ok()?;
    Number::of(&Uri::from(uri))
}

/// Which transforms hold; others than a plan that was named are taken out.
fn scope(config: &mut Config, arguments: &Normalize) -> Result<TransformScope, String> {
    if let Some(name) = &arguments.plan {
        let all: Vec<&str> = config
            .transforms
            .iter()
            .map(|own| own.name.as_str())
            .collect();
        let lacking = unknown("there is no transform", name, all);
        config.transforms.retain(|own| own.name.as_str() == name);
        let own = config.transforms.first().ok_or(lacking)?;
        return Ok(own.scope.clone());
    }
    let name = TrunkName::new(arguments.trunk.as_deref().unwrap_or_default());
    if !config.trunks.contains_key(&name) {
        let all: Vec<&str> = config.trunks.keys().map(|own| own.as_str()).collect();
        return Err(unknown("there is no trunk", name.as_str(), all));
    }
    Ok(match arguments.out {
        true => TransformScope::Out(name),
        false => TransformScope::In(name),
    })
}

fn one(read: &Number, changed: &Decision<String>) -> Value {
    let number = read.changed(changed.value.clone());
    json!({
        "number": number.number,
        "extension": number.extension,
        "is_e164": is_e164(&number.number),
        "because": changed.because,
    })
}

fn print(told: &Value, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "read as   {}", plain(&told["read"]))?;
    for side in ["called", "calling"] {
        let own = &told[side];
        let extension = match &own["extension"] {
            Value::Null => String::new(),
            digits => format!(" extension {}", plain(digits)),
        };
        let judged = match own["is_e164"] == true {
            true => "E.164",
            false => "not E.164: no + and 1 to 15 digits",
        };
        writeln!(
            out,
            "{side:8}  {}{extension}  ({judged})",
            plain(&own["number"])
        )?;
        let reasons = own["because"].as_array().map_or(&[][..], Vec::as_slice);
        if reasons.is_empty() {
            writeln!(out, "  - no transform changes it")?;
        }
        for reason in reasons {
            writeln!(out, "  - {}", plain(reason))?;
        }
    }
    Ok(())
}
