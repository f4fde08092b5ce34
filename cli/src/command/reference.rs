//! `causeway reference`: what keys, findings, metrics, events and causes there are, as the program itself
//! knows them.

use super::exit;
use super::monitoring::print_metrics;
use super::record_fields::{self, RecordField};
use crate::sink::log::codes::MEANINGS;
use crate::sink::metrics::KEY_FIGURES;
use crate::sink::news::Kind;
use clap::ValueEnum;
use sbc_core::cause::CauseCode;
use sbc_core::config::{Code, KeyReference, TableReference, reference};
use sbc_core::trouble::Trouble;
use std::io::{self, Write};

/// A part of the reference.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Part {
    /// Keys of the configuration
    Config,
    /// Findings of `causeway check`
    Findings,
    /// Metrics
    Metrics,
    /// Key figures, such as ASR and NER, and how they are worked out
    Figures,
    /// Events of `/events`
    Events,
    /// Causes of an end
    Causes,
    /// Fields of call records
    Records,
    /// Codes of lines of the log
    Log,
}

/// Prints a part, or all of them.
///
/// # Errors
/// If it cannot be printed.
pub fn run(part: Option<Part>, out: &mut dyn Write) -> io::Result<u8> {
    writeln!(out, "# Reference of causeway {}", env!("CARGO_PKG_VERSION"))?;
    let wants = |own: Part| part.is_none_or(|part| part == own);
    if wants(Part::Config) {
        keys(out)?;
    }
    if wants(Part::Findings) {
        let codes: Vec<(&str, &str)> = Code::ALL
            .iter()
            .map(|code| (code.as_str(), code.meaning()))
            .collect();
        list(out, "Findings", "Finding", &codes)?;
    }
    if wants(Part::Metrics) {
        writeln!(out, "\n## Metrics\n")?;
        print_metrics(out)?;
    }
    if wants(Part::Figures) {
        let figures = KEY_FIGURES.iter();
        let meant = figures.map(|own| (own.name, format!("{} (`{}`)", own.is, own.shown)));
        let meant: Vec<_> = meant.collect();
        let meant: Vec<_> = meant
            .iter()
            .map(|(name, is)| (*name, is.as_str()))
            .collect();
        list(out, "Key figures", "Figure", &meant)?;
    }
    if wants(Part::Events) {
        let events = Kind::ALL.map(|kind| (kind.as_str(), kind.meaning()));
        list(out, "Events", "Event", &events)?;
    }
    if wants(Part::Causes) {
        let causes = CauseCode::ALL.map(|code| (code.as_str(), code.meaning()));
        list(out, "Causes", "Cause", &causes)?;
        explanations(out)?;
    }
    if wants(Part::Records) {
        fields(out, "Fields of call records", &record_fields::of_calls())?;
        let pairs = "Fields of records of pairs of legs, with `[cdr] pairs = true`";
        fields(out, pairs, &record_fields::of_pairs())?;
    }
    if wants(Part::Log) {
        list(out, "Codes of the log", "Code", &MEANINGS)?;
    }
    Ok(exit::OK)
}

/// Fields of a record, in the order in which they are written.
fn fields(out: &mut dyn Write, title: &str, all: &[RecordField]) -> io::Result<()> {
    writeln!(
        out,
        "\n## {title}\n\n| Field | Value | Meaning |\n|---|---|---|"
    )?;
    for own in all {
        let RecordField {
            path,
            kind,
            meaning,
        } = own;
        writeln!(out, "| `{path}` | {kind} | {} |", cell(meaning))?;
    }
    Ok(())
}

/// What a call is explained as, finer than its cause.
fn explanations(out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "\n## Explanations\n\n| Explanation | Cause | Meaning |\n|---|---|---|"
    )?;
    for own in Trouble::ALL {
        writeln!(out, "| `{own}` | `{}` | {} |", own.code(), own.meaning())?;
    }
    Ok(())
}

fn keys(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n## Keys of the configuration")?;
    for table in reference() {
        let TableReference {
            table,
            meaning,
            keys,
        } = &table;
        writeln!(out, "\n### `{table}`\n\n{meaning}\n")?;
        // Only a trunk has a preset.
        let has_preset = keys.iter().any(|key| key.teams.is_some());
        let (preset, line) = match has_preset {
            true => (" With preset `teams` |", "---|"),
            false => ("", ""),
        };
        writeln!(
            out,
            "| Key | Value | Without it |{preset} Meaning | Findings |"
        )?;
        writeln!(out, "|---|---|---|{line}---|---|")?;
        for key in keys {
            let preset = match has_preset {
                true => format!(" {} |", cell(key.teams.as_deref().unwrap_or_default())),
                false => String::new(),
            };
            let codes: Vec<&str> = key.codes.iter().map(|code| code.as_str()).collect();
            writeln!(
                out,
                "| `{}` | {} | {} |{preset} {} | {} |",
                key.key,
                cell(&key.form),
                cell(without(key)),
                cell(&key.meaning),
                codes.join(" ")
            )?;
        }
    }
    Ok(())
}

/// What holds without the key.
fn without(key: &KeyReference) -> &str {
    match (&key.default, key.is_required) {
        (Some(default), _) => default,
        (None, true) => "must be there",
        (None, false) => "none",
    }
}

/// A text within a table of Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn list(out: &mut dyn Write, title: &str, column: &str, rows: &[(&str, &str)]) -> io::Result<()> {
    writeln!(out, "\n## {title}\n\n| {column} | Meaning |\n|---|---|")?;
    for (name, meaning) in rows {
        writeln!(out, "| `{name}` | {meaning} |")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::metrics::catalogue;
    use std::collections::BTreeSet;

    #[test]
    fn every_metric_event_and_cause_is_told_once_with_a_text_of_its_own() {
        let mut out = Vec::new();
        assert_eq!(run(None, &mut out).unwrap(), exit::OK);
        let text = String::from_utf8(out).unwrap();
        let findings = text.find("\n## Findings\n").unwrap();
        // Names of fields and of the log are names of other things, too.
        let records = text.find("\n## Fields of call records\n").unwrap();
        let codes = text.find("\n## Codes of the log\n").unwrap();
        for (code, meaning) in MEANINGS {
            assert!(text[codes..].contains(&format!("| `{code}` | {meaning} |")));
        }
        assert!(text[records..codes].contains("| `egress[].started_ms` | integer | "));
        let text = &text[findings..records];
        let metrics = catalogue().unwrap();
        let names = metrics.iter().map(|metric| metric.name.as_str());
        let names = names.chain(Kind::ALL.map(Kind::as_str));
        let names = names.chain(Code::ALL.iter().map(|code| code.as_str()));
        let names = names.chain(CauseCode::ALL.map(CauseCode::as_str));
        let names: Vec<&str> = names
            .chain(Trouble::ALL.iter().map(|own| own.as_str()))
            .collect();
        for name in &names {
            let row = format!("| `{name}` | ");
            let rows: Vec<&str> = text.lines().filter(|line| line.starts_with(&row)).collect();
            assert_eq!(rows.len(), 1, "{name}");
            let meaning = rows[0].trim_end_matches(" |").rsplit(" | ").next().unwrap();
            assert!(
                meaning.len() > 10 && meaning.contains(' '),
                "{name}: {meaning}"
            );
        }
        let unique: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(unique.len(), names.len());
        let meanings: BTreeSet<&str> = CauseCode::ALL.map(CauseCode::meaning).into();
        assert_eq!(meanings.len(), CauseCode::ALL.len());
    }
    #[test]
    fn every_key_is_told_with_form_default_preset_and_findings() {
        let mut out = Vec::new();
        assert_eq!(run(Some(Part::Config), &mut out).unwrap(), exit::OK);
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("\n## Metrics"));
        for row in [
            "| `max_setup` | a number and ms, s, m, h or d, such as \"3s\" | \"240s\" | \
             Longest time from INVITE to answer, 10 s to 10 min. | E0006 E0008 E0009 |",
            "| `srtp` | \"off\", \"optional\", \"required\", \"dtls\" | \"off\" | required |",
            "| `limits.in` | table; keys as in `[[limit]]` | none |  | Limits on calls from it. |",
            "| `ports` | the first and the last port, such as \"20000-29999\" | must be there |",
        ] {
            assert!(text.contains(row), "{row}");
        }
        let mut columns = 0;
        for line in text.lines().filter(|line| line.starts_with('|')) {
            let cells = line.replace("\\|", "").matches('|').count();
            if line.starts_with("| Key |") {
                columns = cells;
            }
            assert_eq!(cells, columns, "{line}");
        }
    }
}
