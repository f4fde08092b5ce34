//! `causeway runbook` and `causeway guide`: what operators read, as part of the program, so that it is there when nothing
//! else is.

use super::exit;
use super::readable::table;
use crate::sink::news::Kind;
use clap::Args;
use sbc_core::config::{Code, nearest};
use sbc_core::trouble::Trouble;
use serde_json::json;
use std::io::{self, Write};

/// A text in Markdown. A runbook begins with its title, one sentence, and a table of the names by which it is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Document {
    /// By which it is asked for.
    pub name: &'static str,
    /// All of it.
    pub text: &'static str,
}

macro_rules! documents {
    ($folder:literal: $($name:literal)*) => {
        &[$(Document {
            name: $name,
            text: include_str!(concat!("../../docs/", $folder, "/", $name, ".md")),
        }),*]
    };
}

/// What to do when something is wrong, or has to be done without anything going wrong.
pub const RUNBOOKS: &[Document] = documents!("runbook":
    "trunk-down" "registration" "calls-fail" "488" "503-storm" "no-audio" "one-way-audio" "bad-audio" "tls-handshake"
    "certificate-renewal" "fraud" "capacity" "emergency" "node-down" "records" "clock" "restore" "upgrade");

/// How to get somewhere, from the beginning.
pub const GUIDES: &[Document] =
    documents!("guide": "getting-started" "tenants" "routing" "security" "capacity" "upgrade");

/// Which one.
#[derive(Args, Clone, PartialEq, Eq, Debug)]
pub struct Runbook {
    /// Its name, or that of an alert, a cause or an explanation of a call's end, a finding, an event, a line of the log
    /// or a status; without, which there are
    pub name: Option<String>,
}

/// Which one.
#[derive(Args, Clone, PartialEq, Eq, Debug)]
pub struct Guide {
    /// Its name; without, which there are
    pub name: Option<String>,
}

impl Document {
    /// Its heading.
    pub fn title(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.trim_start_matches("# ")
    }

    /// The names of one row of the table at its top, such as `Alerts`.
    pub fn names(&self, row: &str) -> Vec<&'static str> {
        self.rows()
            .find(|(own, _)| *own == row)
            .map_or_else(Vec::new, |(_, names)| names)
    }

    /// Every row of the table at its top.
    fn rows(&self) -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
        let top = self.text.split("\n## ").next().unwrap_or_default();
        top.lines().filter_map(|line| {
            let (row, names) = line.strip_prefix("| ")?.split_once(" | ")?;
            Some((row, names.split('`').skip(1).step_by(2).collect()))
        })
    }
}

/// `causeway runbook`. Returns 5 where there is none for what was asked.
///
/// # Errors
/// If it cannot be printed.
pub fn runbook(wish: &Runbook, out: &mut dyn Write) -> io::Result<u8> {
    let Some(wanted) = &wish.name else {
        let rows: Vec<_> = RUNBOOKS
            .iter()
            .map(|own| json!({ "name": own.name, "when": own.title(), "alerts": own.names("Alerts") }))
            .collect();
        table(&rows, &["name", "when", "alerts"], out)?;
        writeln!(
            out,
            "\ncauseway runbook NAME prints one; an alert, a cause, an event, a code of the log or a status will do as well"
        )?;
        return Ok(exit::OK);
    };
    match for_name(wanted).as_slice() {
        [] => match meaning(wanted) {
            Some(told) => {
                writeln!(out, "{told}")?;
                Ok(exit::OK)
            }
            None => {
                eprintln!("causeway: there is no runbook for \"{wanted}\"");
                match near(wanted).as_slice() {
                    [] => {}
                    near => eprintln!("  did you mean {}?", near.join(", ")),
                }
                eprintln!("  runbooks: {}", all(RUNBOOKS));
                Ok(exit::REFUSED)
            }
        },
        [one] => print(one, out),
        several => {
            writeln!(
                out,
                "Several runbooks are about {wanted}; causeway runbook NAME prints one:\n"
            )?;
            for own in several {
                writeln!(out, "  {:22}{}", own.name, own.title())?;
            }
            Ok(exit::OK)
        }
    }
}

/// `causeway guide`. Returns 5 where there is none of this name.
///
/// # Errors
/// If it cannot be printed.
pub fn guide(wish: &Guide, out: &mut dyn Write) -> io::Result<u8> {
    let Some(wanted) = &wish.name else {
        let rows: Vec<_> = GUIDES
            .iter()
            .map(|own| json!({ "name": own.name, "about": own.title() }))
            .collect();
        table(&rows, &["name", "about"], out)?;
        return Ok(exit::OK);
    };
    match GUIDES.iter().find(|own| own.name == wanted) {
        Some(own) => print(own, out),
        None => {
            eprintln!("causeway: there is no guide \"{wanted}\"");
            eprintln!("  guides: {}", all(GUIDES));
            Ok(exit::REFUSED)
        }
    }
}

/// Those for a name: its own, else that of an alert or a cause, which one alone is about, else whatever is in its table,
/// else that of the cause of an explanation.
fn for_name(wanted: &str) -> Vec<&'static Document> {
    let has = |own: &&Document, is_asked: fn(&str) -> bool| {
        own.rows()
            .filter(|(row, _)| is_asked(row))
            .any(|(_, names)| names.iter().any(|name| name.eq_ignore_ascii_case(wanted)))
    };
    let found: Vec<&Document> = RUNBOOKS.iter().filter(|own| own.name == wanted).collect();
    if !found.is_empty() {
        return found;
    }
    let found: Vec<&Document> = RUNBOOKS
        .iter()
        .filter(|own| has(own, |row| ["Alerts", "Causes"].contains(&row)))
        .collect();
    if !found.is_empty() {
        return found;
    }
    let found: Vec<&Document> = RUNBOOKS.iter().filter(|own| has(own, |_| true)).collect();
    let mut known = Trouble::ALL.iter();
    match known.find(|own| own.as_str().eq_ignore_ascii_case(wanted)) {
        // Such a call ended as it should, and so does not tell by its cause what was wrong.
        Some(own) if found.is_empty() && own.as_str().starts_with("audio_") => {
            for_name("one-way-audio")
        }
        // There is one for each cause.
        Some(own) if found.is_empty() => for_name(own.code().as_str()),
        Some(_) | None => found,
    }
}

/// What a name means that no runbook is about, and where all of its kind are.
fn meaning(wanted: &str) -> Option<String> {
    let mut codes = Code::ALL.iter();
    let mut events = Kind::ALL.iter();
    let is_it = |name: &str| name.eq_ignore_ascii_case(wanted);
    let finding = codes.find(|own| is_it(own.as_str())).map(|own| {
        let (code, meaning) = (own.as_str(), own.meaning());
        format!(
            "{code} is a finding of \"causeway check\": {meaning}\n\"causeway reference findings\" has all of them"
        )
    });
    finding.or_else(|| {
        let own = events.find(|own| is_it(own.as_str()))?;
        let (kind, meaning) = (own.as_str(), own.meaning());
        Some(format!(
            "{kind} is an event: {meaning}\n\"causeway reference events\" has all of them"
        ))
    })
}

/// Names that may be meant by one that is none.
fn near(wanted: &str) -> Vec<&'static str> {
    const MOST: usize = 5;
    let own = RUNBOOKS.iter().map(|own| own.name);
    let named = RUNBOOKS.iter().flat_map(Document::rows);
    // A status is near to every other.
    let named = named.flat_map(|(_, names)| names).filter(is_word);
    let told = Trouble::ALL.iter().map(|own| own.as_str());
    let told = told.chain(Code::ALL.iter().map(|own| own.as_str()));
    let all: Vec<&'static str> = own.chain(named).chain(told).collect();
    let mut near: Vec<&'static str> = nearest(wanted, all.iter().copied()).into_iter().collect();
    let lower = wanted.to_lowercase();
    if lower.len() > 2 {
        let has = |name: &&&str| name.to_lowercase().contains(&lower);
        near.extend(all.iter().filter(has));
    }
    let mut seen = std::collections::BTreeSet::new();
    near.retain(|name| seen.insert(*name));
    near.truncate(MOST);
    near
}

fn is_word(name: &&str) -> bool {
    !name.bytes().all(|octet| octet.is_ascii_digit())
}

fn all(of: &[Document]) -> String {
    let names: Vec<&str> = of.iter().map(|own| own.name).collect();
    names.join(", ")
}

fn print(document: &Document, out: &mut dyn Write) -> io::Result<u8> {
    out.write_all(document.text.as_bytes())?;
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::cause::CauseCode;

    fn asked(name: &str) -> (u8, String) {
        let mut out = Vec::new();
        let name = Some(name.to_owned());
        let code = runbook(&Runbook { name }, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_runbook_is_found_by_its_name_an_alert_a_cause_an_event_and_a_status() {
        for (wanted, title) in [
            ("trunk-down", "# A trunk is down"),
            ("SbcTrunkDown", "# A trunk is down"),
            ("sbctrunkdown", "# A trunk is down"),
            ("peer_unreachable", "# A trunk is down"),
            ("media.one_way", "# One side hears nothing"),
            ("488", "# 488"),
            ("606", "# 488"),
        ] {
            let (code, text) = asked(wanted);
            assert_eq!(code, exit::OK, "{wanted}");
            assert!(text.starts_with(title), "{wanted}: {text}");
        }
        let (code, text) = asked("403");
        assert_eq!(code, exit::OK);
        assert!(
            text.contains("registration ") && text.contains("calls-fail"),
            "{text}"
        );
        assert_eq!(asked("SbcNothing"), (exit::REFUSED, String::new()));
    }

    #[test]
    fn every_name_that_the_product_prints_leads_somewhere() {
        for own in Trouble::ALL {
            assert!(!for_name(own.as_str()).is_empty(), "{own}");
        }
        assert!(asked("peer_forbids").1.starts_with("# Calls fail"));
        assert!(
            asked("audio_no_checks")
                .1
                .starts_with("# One side hears nothing")
        );
        for own in Code::ALL {
            assert_eq!(asked(own.as_str()).0, exit::OK, "{}", own.as_str());
        }
        let (_, told) = asked("e0020");
        assert!(
            told.starts_with("E0020 is a finding of") && told.contains("reference findings"),
            "{told}"
        );
        for own in Kind::ALL {
            assert_eq!(asked(own.as_str()).0, exit::OK, "{}", own.as_str());
        }
    }

    #[test]
    fn near_names_are_suggested() {
        assert_eq!(near("trunk-donw").first(), Some(&"trunk-down"));
        assert!(near("one-way").contains(&"one-way-audio"));
        assert!(near("peer_forbid").contains(&"peer_forbids"));
        assert_eq!(near("cooking"), [""; 0]);
        assert!(near("sbc").len() <= 5);
    }

    #[test]
    fn every_cause_of_an_end_has_one_runbook() {
        for code in CauseCode::ALL {
            let found = for_name(code.as_str());
            assert_eq!(found.len(), 1, "{code}: {found:?}");
        }
    }

    #[test]
    fn all_are_listed_and_printed_whole() {
        let mut out = Vec::new();
        assert_eq!(
            runbook(&Runbook { name: None }, &mut out).unwrap(),
            exit::OK
        );
        assert_eq!(guide(&Guide { name: None }, &mut out).unwrap(), exit::OK);
        let listed = String::from_utf8(out).unwrap();
        for own in RUNBOOKS.iter().chain(GUIDES) {
            let is_told = |line: &str| {
                line.starts_with(&format!("{} ", own.name)) && line.contains(own.title())
            };
            assert!(listed.lines().any(is_told), "{}: {listed}", own.name);
        }
        for own in GUIDES {
            let mut out = Vec::new();
            let name = Some(own.name.to_owned());
            assert_eq!(guide(&Guide { name }, &mut out).unwrap(), exit::OK);
            assert_eq!(String::from_utf8(out).unwrap(), own.text);
        }
        let name = Some("cooking".to_owned());
        assert_eq!(
            guide(&Guide { name }, &mut io::sink()).unwrap(),
            exit::REFUSED
        );
    }

    #[test]
    fn every_file_of_the_folders_is_part_of_the_program() {
        for (folder, all) in [("runbook", RUNBOOKS), ("guide", GUIDES)] {
            let path = format!("{}/docs/{folder}", env!("CARGO_MANIFEST_DIR"));
            let mut files: Vec<String> = std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort_unstable();
            let mut names: Vec<String> = all.iter().map(|own| format!("{}.md", own.name)).collect();
            names.sort_unstable();
            assert_eq!(files, names);
        }
    }
}
