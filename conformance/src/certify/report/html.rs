//! The report as one page: nothing is fetched, it is light or dark as its reader likes, and it fits a
//! phone. It has no script, and its policy lets none run: what peers have said stands in it.

use super::exchange::{Exchange, exchanges};
use super::junit::escaped;
use super::ladder::{Step, steps};
use super::{Counts, Run};
use crate::certify::Outcome;
use crate::certify::verdict::Verdict;
use crate::microsoft::clock;
use std::fmt::Write;

const HEAD: &str = include_str!("page.html");

/// The page.
pub fn of(run: &Run) -> String {
    let subject = escaped(&run.title());
    let mut out = HEAD.replace("{{subject}}", &subject);
    let class = if run.is_good() { "passed" } else { "failed" };
    let verdict = format!("<b class=\"{class}\">{}</b>", run.conclusion());
    let _ = write!(
        out,
        "<header><h1>{subject}</h1><p>Direct Routing certification run: {verdict}. \
         <time>{}</time>, {:.0} s, Causeway {}</p></header>\n<main>\n",
        clock::text(run.began.saturating_mul(1_000)),
        run.took.as_secs_f32(),
        escaped(&run.version)
    );
    summary(&mut out, run);
    if !run.unlike.is_empty() {
        out.push_str("<ul class=\"why\">");
        for unlike in &run.unlike {
            let _ = write!(out, "<li>{}</li>", escaped(&unlike.to_string()));
        }
        out.push_str("</ul>\n");
    }
    for (group, outcomes) in run.groups() {
        let _ = writeln!(out, "<section id=\"{group}\"><h2>{group}</h2>");
        for outcome in outcomes {
            case(&mut out, outcome);
        }
        out.push_str("</section>\n");
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// The class of a number that should be 0.
fn marked(count: usize) -> &'static str {
    match count {
        0 => "",
        _ => " class=\"failed\"",
    }
}

fn summary(out: &mut String, run: &Run) {
    out.push_str(
        "<div class=\"wide\"><table><thead><tr><th>group<th>passed<th>failed<th>could not be played<th>not applicable\
         <th>not written</tr></thead><tbody>\n",
    );
    let mut row = |name: &str, counts: Counts| {
        let _ = writeln!(
            out,
            "<tr><th>{name}<td>{}<td{}>{}<td{}>{}<td>{}<td>{}</tr>",
            counts.passed,
            marked(counts.failed),
            counts.failed,
            marked(counts.unplayed),
            counts.unplayed,
            counts.not_applicable,
            counts.not_written
        );
    };
    for (group, outcomes) in run.groups() {
        let name = format!("<a href=\"#{group}\">{group}</a>");
        row(&name, Counts::of(outcomes.into_iter()));
    }
    row("all", Counts::of(run.outcomes.iter()));
    let mandatory = run.outcomes.iter();
    let mandatory = mandatory.filter(|one| one.entry.severity.is_mandatory());
    row("mandatory", Counts::of(mandatory));
    out.push_str("</tbody></table></div>\n");
}

fn case(out: &mut String, outcome: &Outcome) {
    let entry = &outcome.entry;
    let class = match outcome.verdict {
        Verdict::Passed => "passed",
        Verdict::Failed(_) => "failed",
        Verdict::NoStage(_) | Verdict::NotApplicable(_) | Verdict::NotWritten => "open",
    };
    let is_open = if outcome.verdict.is_bad() {
        " open"
    } else {
        ""
    };
    let _ = write!(
        out,
        "<details id=\"{id}\"{is_open}><summary><b class=\"{class}\">{verdict}</b> <code>{id}</code> \
         {title}</summary>\n<p class=\"facts\">{severity} · <abbr title=\"origin\">{mark}</abbr> · \
         {direction} · {took:.1} s{requirements}</p>\n",
        id = entry.id,
        verdict = outcome.verdict.name(),
        title = escaped(&entry.title),
        severity = entry.severity.name(),
        mark = entry.mark,
        direction = entry.direction,
        took = outcome.took.as_secs_f32(),
        requirements = match entry.requirements.is_empty() {
            true => String::new(),
            false => format!(" · {}", entry.requirements.join(", ")),
        }
    );
    let reasons = outcome.verdict.reasons();
    if !reasons.is_empty() {
        out.push_str("<ul class=\"why\">");
        for reason in reasons {
            let _ = write!(out, "<li>{}</li>", escaped(&reason));
        }
        out.push_str("</ul>\n");
    }
    let remarks = outcome.remarks();
    if !remarks.is_empty() {
        out.push_str("<ul class=\"facts\">");
        for remark in remarks {
            let _ = write!(out, "<li>{}</li>", escaped(&remark));
        }
        out.push_str("</ul>\n");
    }
    let steps = steps(&outcome.seen);
    if !steps.is_empty() {
        ladder(out, &steps);
        descriptions(out, &steps);
    }
    if !outcome.heard.is_empty() {
        heard(out, outcome);
    }
    out.push_str("</details>\n");
}

fn ladder(out: &mut String, steps: &[Step]) {
    out.push_str("<div class=\"wide\"><table class=\"ladder\"><thead><tr><th>s<th>from<th>to<th>message</tr></thead><tbody>\n");
    for step in steps {
        let peer = escaped(&step.peer);
        let (from, to) = match step.is_from_subject {
            true => ("SBC", peer.as_str()),
            false => (peer.as_str(), "SBC"),
        };
        let _ = writeln!(
            out,
            "<tr class=\"{}\"><td>{:.3}<td>{from}<td>{to}<td><details><summary>{}</summary>\
             <pre>{}</pre></details></tr>",
            if step.is_carrier { "carrier" } else { "teams" },
            step.at_ms as f64 / 1000.0,
            escaped(&step.title),
            escaped(&step.text)
        );
    }
    out.push_str("</tbody></table></div>\n");
}

/// Descriptions side by side, line by line.
fn descriptions(out: &mut String, steps: &[Step]) {
    let (all, more) = exchanges(steps);
    if all.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<details><summary>Descriptions: offers, answers, and what became of them ({})</summary>",
        all.len() + more
    );
    for Exchange {
        title,
        before,
        after,
    } in &all
    {
        let title = escaped(title);
        let _ = write!(out, "<p class=\"facts\">{title}</p><pre class=\"diff\">");
        for line in before.iter().filter(|line| !after.contains(line)) {
            let _ = writeln!(out, "<del>- {}</del>", escaped(line));
        }
        for line in after {
            let _ = match before.contains(line) {
                true => writeln!(out, "  {}", escaped(line)),
                false => writeln!(out, "<ins>+ {}</ins>", escaped(line)),
            };
        }
        out.push_str("</pre>\n");
    }
    if more > 0 {
        let _ = writeln!(out, "<p class=\"facts\">{more} more are not shown</p>");
    }
    out.push_str("</details>\n");
}

fn heard(out: &mut String, outcome: &Outcome) {
    out.push_str(
        "<div class=\"wide\"><table><thead><tr><th>heard by<th>audio<th>events<th>digits<th>reports\
         <th>lost by the network<th>in the clear<th>not authentic<th>longest gap</tr></thead><tbody>\n",
    );
    for (name, heard) in &outcome.heard {
        let _ = writeln!(
            out,
            "<tr><th>{name}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{} ms</tr>",
            heard.audio,
            heard.events,
            escaped(&heard.digits),
            heard.reports,
            heard.lost + heard.lost_reports,
            heard.plain,
            heard.forged,
            heard.gaps.longest().as_millis()
        );
    }
    out.push_str("</tbody></table></div>\n");
}
