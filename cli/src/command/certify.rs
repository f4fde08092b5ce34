//! `causeway certify`: what this build has shown of the requirements made on it, and what it has not.

use crate::command::certification::{self, Certification, SelfTest};
use crate::command::exit;
use crate::command::load::{self, Load};
use conformance::ledger::{Count, Ledger, Level, List, Requirement, Standing, count};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Arguments of `causeway certify`.
#[derive(clap::Args, Clone, PartialEq, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Certify {
    /// Print the requirement ledger: what tests show, section by section, and what is missing
    #[arg(long)]
    pub ledger: bool,
    /// Print one JSON object instead of text
    #[arg(long, requires = "ledger")]
    pub json: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(clap::Subcommand, Clone, PartialEq, Debug)]
enum What {
    /// Measure what calls cost: set-up delay, CPU time, the most that are carried, memory
    Load(Box<Load>),
    /// Run the cases for Microsoft Teams Direct Routing against this SBC or another
    Run(Box<Certification>),
    /// Break the SBC in every way that the cases name, and want each to be noticed
    SelfTest(SelfTest),
}

/// Prints what was asked for. Returns 0, 2 when nothing was, or 3 when the ledger that is part of
/// this program breaks its own rules; of a load, 1 when a call failed.
pub fn run(arguments: &Certify, out: &mut dyn Write) -> io::Result<u8> {
    match &arguments.what {
        Some(What::Load(arguments)) => return load::run(arguments, out),
        Some(What::Run(arguments)) => return certification::run(arguments, out),
        Some(What::SelfTest(arguments)) => return certification::self_test(arguments, out),
        None => {}
    }
    if !arguments.ledger {
        eprintln!("causeway: certify needs to be told what to print; there is:");
        eprintln!("  --ledger          requirements: shown by tests, partly, missing, exceptions");
        eprintln!("  --ledger --json   the same as one JSON object");
        eprintln!("  load              what calls cost");
        eprintln!("  run               the cases for Microsoft Teams Direct Routing");
        eprintln!("  self-test         whether the cases notice what is broken");
        return Ok(exit::USAGE);
    }
    let ledger = match Ledger::embedded() {
        Ok(ledger) => ledger,
        Err(fault) => {
            eprintln!("causeway: the requirement ledger of this build is not valid: {fault}");
            return Ok(exit::INVALID);
        }
    };
    match arguments.json {
        true => {
            serde_json::to_writer_pretty(&mut *out, &as_json(&ledger))?;
            writeln!(out)?;
        }
        false => as_text(&ledger, out)?,
    }
    Ok(exit::OK)
}

fn of_level(ledger: &Ledger, level: Level) -> Count {
    let all = ledger.requirements().map(|(_, one)| one);
    count(all.filter(|one| one.level == level))
}

fn total(ledger: &Ledger) -> Count {
    count(ledger.requirements().map(|(_, one)| one))
}

/// Of one list: all of it, and what must be.
fn of_list(ledger: &Ledger, list: List) -> (Count, Count) {
    let all = ledger.requirements().map(|(_, one)| one);
    let own: Vec<_> = all.filter(|one| one.id.list() == list).collect();
    let must = own.iter().filter(|one| one.level == Level::Must);
    (count(own.iter().copied()), count(must.copied()))
}

fn as_text(ledger: &Ledger, out: &mut dyn Write) -> io::Result<()> {
    let titles = ledger.sections.iter().map(|section| section.title.len());
    let width = 3 + titles.max().unwrap_or(0);
    writeln!(
        out,
        "{:width$}  shown  partly  missing  exceptions",
        "   section"
    )?;
    let mut row = |name: &str, counted: Count| {
        writeln!(
            out,
            "{name:width$}  {:>5}  {:>6}  {:>7}  {:>10}",
            counted.shown, counted.partly, counted.missing, counted.exceptions
        )
    };
    for section in &ledger.sections {
        let name = format!("{:>2} {}", section.number, section.title);
        row(&name, count(&section.requirements))?;
    }
    row("   all", total(ledger))?;
    row("   of these, must", of_level(ledger, Level::Must))?;
    for list in List::ALL {
        let (all, must) = of_list(ledger, list);
        row(&format!("   {}", list.name()), all)?;
        row(&format!("   {}, must", list.name()), must)?;
    }
    for (heading, standing) in [
        ("Missing", Standing::Missing),
        ("Shown in part; what is missing", Standing::Partly),
        ("Exceptions", Standing::Exception),
    ] {
        let mut is_first = true;
        for (_, one) in ledger.requirements() {
            let Some(sentence) = sentence(one).filter(|_| one.standing() == standing) else {
                continue;
            };
            if std::mem::take(&mut is_first) {
                writeln!(out, "\n{heading}:")?;
            }
            let id = one.id.to_string();
            let level = one.level.name();
            writeln!(out, "{id:11}  {level:6}  {}: {sentence}", one.title)?;
        }
    }
    Ok(())
}

/// What an entry says besides its tests.
fn sentence(requirement: &Requirement) -> Option<&str> {
    let said = requirement.exception.as_deref();
    said.or(requirement.missing.as_deref())
}

fn as_json(ledger: &Ledger) -> Value {
    let counts = |counted: Count| {
        json!({
            "shown": counted.shown,
            "partly": counted.partly,
            "missing": counted.missing,
            "exceptions": counted.exceptions,
        })
    };
    let sections = ledger.sections.iter().map(|section| {
        json!({
            "section": section.number,
            "title": section.title,
            "count": counts(count(&section.requirements)),
        })
    });
    let lists = List::ALL.map(|list| {
        let (all, must) = of_list(ledger, list);
        json!({ "list": list.name(), "total": counts(all), "must": counts(must) })
    });
    let requirements = ledger.requirements().map(|(section, one)| {
        json!({
            "id": one.id.to_string(),
            "list": one.id.list().name(),
            "section": section.number,
            "title": one.title,
            "level": one.level.name(),
            "standing": one.standing().name(),
            "shown_by": one.shown_by.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "missing": one.missing,
            "exception": one.exception,
        })
    });
    json!({
        "total": counts(total(ledger)),
        "must": counts(of_level(ledger, Level::Must)),
        "lists": lists,
        "sections": sections.collect::<Vec<_>>(),
        "requirements": requirements.collect::<Vec<_>>(),
    })
}
