//! `causeway reference`: what metrics, events and causes there are, as the program itself knows them.

use super::exit;
use super::monitoring::print_metrics;
use crate::sink::news::Kind;
use sbc_core::cause::CauseCode;
use std::io::{self, Write};

/// Prints all of them.
///
/// # Errors
/// If it cannot be printed.
pub fn run(out: &mut dyn Write) -> io::Result<u8> {
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "# Reference of causeway {version}\n\n## Metrics\n")?;
    print_metrics(out)?;
    let events = Kind::ALL.map(|kind| (kind.as_str(), kind.meaning()));
    list(out, "Events", "Event", &events)?;
    let causes = CauseCode::ALL.map(|code| (code.as_str(), code.meaning()));
    list(out, "Causes", "Cause", &causes)?;
    Ok(exit::OK)
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
        assert_eq!(run(&mut out).unwrap(), exit::OK);
        let text = String::from_utf8(out).unwrap();
        let metrics = catalogue().unwrap();
        let names = metrics.iter().map(|metric| metric.name.as_str());
        let names = names.chain(Kind::ALL.map(Kind::as_str));
        let names: Vec<&str> = names.chain(CauseCode::ALL.map(CauseCode::as_str)).collect();
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
}
