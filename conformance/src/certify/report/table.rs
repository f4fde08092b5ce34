//! The report on a terminal.

use super::{Counts, Run, ladder};
use crate::certify::Outcome;
use std::io::{self, Write};

/// A line for a case that is done.
pub fn progress(outcome: &Outcome, done: usize, total: usize) -> String {
    format!(
        "[{done:3}/{total}] {:10} {:14} {:5.1} s  {}",
        outcome.entry.id,
        outcome.verdict.name(),
        outcome.took.as_secs_f32(),
        outcome.entry.title
    )
}

/// Writes the whole report.
///
/// # Errors
/// What `out` says.
pub fn write(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    for outcome in run.outcomes.iter().filter(|one| one.verdict.is_bad()) {
        let entry = &outcome.entry;
        writeln!(
            out,
            "\n{} {} ({}): {}",
            entry.id,
            entry.title,
            entry.severity.name(),
            outcome.verdict.name()
        )?;
        for reason in outcome.verdict.reasons() {
            writeln!(out, "  {}", plain(&reason))?;
        }
        if !entry.requirements.is_empty() {
            writeln!(out, "  requirements: {}", entry.requirements.join(", "))?;
        }
        write!(out, "{}", plain(&ladder::text(&outcome.seen)))?;
    }
    for unlike in &run.unlike {
        writeln!(out, "\n{}", plain(&unlike.to_string()))?;
    }
    remarks(run, out)?;
    writeln!(
        out,
        "\n{:7} {:>6} {:>6} {:>10} {:>14} {:>11}",
        "group", "passed", "failed", "not played", "not applicable", "not written"
    )?;
    let row = |out: &mut dyn Write, name: &str, counts: Counts| {
        writeln!(
            out,
            "{name:7} {:>6} {:>6} {:>10} {:>14} {:>11}",
            counts.passed,
            counts.failed,
            counts.unplayed,
            counts.not_applicable,
            counts.not_written
        )
    };
    for (group, outcomes) in run.groups() {
        row(out, group, Counts::of(outcomes.into_iter()))?;
    }
    row(out, "all", Counts::of(run.outcomes.iter()))?;
    let mandatory = run
        .outcomes
        .iter()
        .filter(|one| one.entry.severity.is_mandatory());
    row(out, "of which mandatory", Counts::of(mandatory))?;
    writeln!(
        out,
        "\n{} after {:.0} s: {}",
        plain(&run.title()),
        run.took.as_secs_f32(),
        run.conclusion()
    )
}

/// What is to be said of cases besides what was wrong, the same words once with all their cases.
fn remarks(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for outcome in &run.outcomes {
        for remark in outcome.remarks() {
            match said.iter_mut().find(|(known, _)| *known == remark) {
                Some((_, cases)) => cases.push(&outcome.entry.id),
                None => said.push((remark, vec![&outcome.entry.id])),
            }
        }
    }
    if !said.is_empty() {
        writeln!(out)?;
    }
    for (remark, cases) in said {
        writeln!(out, "{}\n  {}", plain(&remark), cases.join(", "))?;
    }
    Ok(())
}

/// What peers have said, for a terminal that would obey some of it.
fn plain(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        // Also what turns the order of a line round.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}
