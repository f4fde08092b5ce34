//! The report as JUnit XML, for build servers.

use super::{Counts, Run, ladder};
use crate::certify::Outcome;
use crate::certify::verdict::Verdict;
use std::fmt::Write;

/// The report. What is not applicable or not written counts as skipped, never as passed.
pub fn of(run: &Run) -> String {
    let all = Counts::of(run.outcomes.iter());
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\">\n",
        escaped(&run.title()),
        all.total() + run.unlike.len(),
        all.failed + run.unlike.len(),
        all.unplayed,
        all.not_applicable + all.not_written,
        run.took.as_secs_f64()
    );
    for (group, outcomes) in run.groups() {
        let counts = Counts::of(outcomes.iter().copied());
        let time: f64 = outcomes.iter().map(|one| one.took.as_secs_f64()).sum();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{group}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{time:.3}\">",
            counts.total(),
            counts.failed,
            counts.unplayed,
            counts.not_applicable + counts.not_written,
        );
        for outcome in outcomes {
            case(&mut out, group, outcome);
        }
        out.push_str("  </testsuite>\n");
    }
    again(&mut out, run);
    out.push_str("</testsuites>\n");
    out
}

/// A suite of its own for cases that did not go the same way each time.
fn again(out: &mut String, run: &Run) {
    let unlike = run.unlike.len();
    if unlike == 0 {
        return;
    }
    let _ = writeln!(
        out,
        "  <testsuite name=\"again\" tests=\"{unlike}\" failures=\"{unlike}\" errors=\"0\" skipped=\"0\" time=\"0\">"
    );
    for one in &run.unlike {
        let _ = writeln!(
            out,
            "    <testcase classname=\"again\" name=\"{}\" time=\"0\"><failure message=\"{}\"/></testcase>",
            one.id,
            escaped(&one.to_string())
        );
    }
    out.push_str("  </testsuite>\n");
}

fn case(out: &mut String, group: &str, outcome: &Outcome) {
    let entry = &outcome.entry;
    let _ = write!(
        out,
        "    <testcase classname=\"{group}\" name=\"{} {}\" time=\"{:.3}\"",
        entry.id,
        escaped(&entry.title),
        outcome.took.as_secs_f64()
    );
    let reasons = outcome.verdict.reasons();
    let first = reasons.first().map(String::as_str).unwrap_or_default();
    let remarks = outcome.remarks();
    let remarks = match remarks.is_empty() {
        true => String::new(),
        false => format!("<system-out>{}</system-out>", escaped(&remarks.join("\n"))),
    };
    out.push('>');
    properties(out, outcome);
    match &outcome.verdict {
        Verdict::Passed => {
            let _ = writeln!(out, "{remarks}</testcase>");
        }
        Verdict::NotWritten => out.push_str("<skipped message=\"not written\"/></testcase>\n"),
        Verdict::NotApplicable(why) => {
            let _ = writeln!(
                out,
                "<skipped message=\"not applicable: {}\"/></testcase>",
                escaped(why)
            );
        }
        Verdict::NoStage(why) => {
            let _ = writeln!(
                out,
                "<error message=\"could not be played: {}\" type=\"not played\"/>{remarks}</testcase>",
                escaped(why)
            );
        }
        Verdict::Failed(_) => {
            let _ = writeln!(
                out,
                "<failure message=\"{}\" type=\"{}\">{}\n{}</failure>{remarks}</testcase>",
                escaped(first),
                entry.severity.name(),
                escaped(&reasons.join("\n")),
                escaped(&ladder::text(&outcome.seen))
            );
        }
    }
}

/// Mark, severity and requirements of a case.
fn properties(out: &mut String, outcome: &Outcome) {
    let entry = &outcome.entry;
    let own = [
        ("mark", entry.mark.as_str()),
        ("severity", entry.severity.name()),
    ];
    let requirements = entry.requirements.iter();
    let requirements = requirements.map(|one| ("requirement", one.as_str()));
    out.push_str("<properties>");
    for (name, value) in own.into_iter().chain(requirements) {
        let _ = write!(
            out,
            "<property name=\"{name}\" value=\"{}\"/>",
            escaped(value)
        );
    }
    out.push_str("</properties>");
}

/// Text that may stand in XML; characters that XML does not have are left out.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}
