//! The report as one JSON object.

use super::{Counts, Run, ladder};
use crate::certify::Outcome;
use crate::certify::catalogue::Entry;
use crate::certify::group;
use serde_json::{Value, json};

/// The report.
pub fn of(run: &Run) -> Value {
    let counts = |counts: Counts| {
        json!({
            "passed": counts.passed,
            "failed": counts.failed,
            "not_played": counts.unplayed,
            "not_applicable": counts.not_applicable,
            "not_written": counts.not_written,
        })
    };
    let mandatory = run
        .outcomes
        .iter()
        .filter(|one| one.entry.severity.is_mandatory());
    json!({
        "subject": run.subject,
        "version": run.version,
        "began": run.began,
        "seconds": run.took.as_secs_f64(),
        "network": run.network.map(|network| {
            json!({ "impairment": network.impairment.to_string(), "seed": network.seed })
        }),
        "good": run.is_good(),
        "conclusion": run.conclusion(),
        "times": run.times,
        "unlike": run.unlike.iter().map(|one| json!({ "id": one.id, "went": one.went, "reasons": one.reasons })).collect::<Vec<_>>(),
        "all": counts(Counts::of(run.outcomes.iter())),
        "mandatory": counts(Counts::of(mandatory)),
        "cases": run.outcomes.iter().map(case).collect::<Vec<_>>(),
    })
}

/// The cases of a catalogue, without what became of them.
pub fn list(entries: &[Entry]) -> Value {
    let all = entries.iter().map(|entry| {
        let is_written = group::find(&entry.id).is_some();
        with(of_catalogue(entry), json!({ "written": is_written }))
    });
    json!({ "cases": all.collect::<Vec<_>>() })
}

/// An object with the fields of another one, too.
fn with(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

fn of_catalogue(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "group": entry.group(),
        "title": entry.title,
        "mark": entry.mark,
        "severity": entry.severity.name(),
        "mandatory": entry.severity.is_mandatory(),
        "direction": entry.direction,
        "requirements": entry.requirements,
        "differs": entry.differs,
    })
}

fn case(outcome: &Outcome) -> Value {
    let steps = ladder::steps(&outcome.seen).into_iter().map(|step| {
        json!({
            "ms": u64::try_from(step.at_ms).unwrap_or(u64::MAX),
            "peer": step.peer,
            "from": if step.is_from_subject { "subject" } else { "peer" },
            "title": step.title,
            "message": step.text,
        })
    });
    let heard = outcome.heard.iter().map(|(name, heard)| {
        json!({
            "by": name,
            "audio": heard.audio,
            "events": heard.events,
            "digits": heard.digits,
            "plain": heard.plain,
            "not_authentic": heard.forged,
            "reports": heard.reports,
            "lost": heard.lost,
            "lost_reports": heard.lost_reports,
            "longest_gap_ms": u64::try_from(heard.gaps.longest().as_millis()).unwrap_or(u64::MAX),
        })
    });
    let failures = match &outcome.verdict {
        crate::certify::verdict::Verdict::Failed(failures) => failures
            .iter()
            .map(|one| json!({ "rule": one.rule, "why": one.why }))
            .collect(),
        _ => Vec::new(),
    };
    let result = json!({
        "verdict": outcome.verdict.name(),
        "reasons": outcome.verdict.reasons(),
        "failures": failures,
        "not_asked": outcome.unasked.iter().map(|one| json!({ "rule": one.rule, "why": one.why })).collect::<Vec<_>>(),
        "notes": outcome.notes,
        "seconds": outcome.took.as_secs_f64(),
        "ladder": steps.collect::<Vec<_>>(),
        "media": heard.collect::<Vec<_>>(),
    });
    with(of_catalogue(&outcome.entry), result)
}
