//! From the text of one file to its section.
//!
//! The tree is walked by hand: whoever writes an entry learns the line of a mistake, and a key that
//! is not known is one.

use super::{LedgerFault, Level, Offence, Requirement, RequirementId, Section, TestName};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A file that is being read.
#[derive(Clone, Copy)]
struct Source<'t> {
    file: &'t str,
    text: &'t str,
}

impl Source<'_> {
    /// The fault at this octet.
    fn fault(self, at: usize, what: Offence) -> LedgerFault {
        let before = self.text.get(..at).unwrap_or(self.text);
        LedgerFault {
            file: self.file.to_owned(),
            line: 1 + before.matches('\n').count(),
            what,
        }
    }
}

/// One table of a file.
#[derive(Clone, Copy)]
struct Table<'t> {
    source: Source<'t>,
    at: usize,
    keys: &'t DeTable<'t>,
}

impl<'t> Table<'t> {
    fn only(self, known: &[&str]) -> Result<(), LedgerFault> {
        let mut keys = self.keys.keys();
        match keys.find(|key| !known.contains(&key.get_ref().as_ref())) {
            None => Ok(()),
            Some(key) => {
                let what = Offence::UnknownKey(key.get_ref().to_string());
                Err(self.source.fault(key.span().start, what))
            }
        }
    }

    fn value(self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.keys.get(key)
    }

    fn wanted(self, key: &'static str) -> Result<&'t Spanned<DeValue<'t>>, LedgerFault> {
        let lacks = || self.source.fault(self.at, Offence::Lacks(key));
        self.value(key).ok_or_else(lacks)
    }

    /// A fault of this value.
    fn wrong(
        self,
        key: &'static str,
        value: &Spanned<DeValue<'_>>,
        wanted: &'static str,
    ) -> LedgerFault {
        let what = Offence::Value { key, wanted };
        self.source.fault(value.span().start, what)
    }

    /// Text that says something.
    fn text(self, key: &'static str, value: &Spanned<DeValue<'_>>) -> Result<String, LedgerFault> {
        let text = value.get_ref().as_str().map(str::trim);
        match text.filter(|text| !text.is_empty()) {
            Some(text) => Ok(text.to_owned()),
            None => Err(self.wrong(key, value, "a text that is not empty")),
        }
    }

    fn optional_text(self, key: &'static str) -> Result<Option<String>, LedgerFault> {
        self.value(key)
            .map(|value| self.text(key, value))
            .transpose()
    }

    fn array(
        self,
        key: &'static str,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Result<&'t [Spanned<DeValue<'t>>], LedgerFault> {
        match value.get_ref() {
            DeValue::Array(values) if !values.is_empty() => Ok(values),
            _ => Err(self.wrong(key, value, "a list that is not empty")),
        }
    }
}

/// Reads a section. `last` is the last identifier so far, in this file or one before.
pub(super) fn section(
    file: &str,
    text: &str,
    previous: Option<u8>,
    last: &mut Option<RequirementId>,
) -> Result<Section, LedgerFault> {
    let source = Source { file, text };
    let tree = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        source.fault(at, Offence::Form(error.message().to_owned()))
    })?;
    let table = Table {
        source,
        at: 0,
        keys: tree.get_ref(),
    };
    table.only(&["section", "title", "requirement"])?;
    let value = table.wanted("section")?;
    let number: u8 = match value.get_ref() {
        DeValue::Integer(digits) => digits.as_str().parse().ok(),
        _ => None,
    }
    .ok_or_else(|| table.wrong("section", value, "a number below 256"))?;
    if previous.is_some_and(|previous| number <= previous) {
        return Err(source.fault(value.span().start, Offence::SectionOrder(number)));
    }
    let title = table.text("title", table.wanted("title")?)?;
    let entries = table.wanted("requirement")?;
    let mut requirements = Vec::new();
    for entry in table.array("requirement", entries)? {
        let DeValue::Table(keys) = entry.get_ref() else {
            return Err(table.wrong("requirement", entry, "a list of tables"));
        };
        let at = entry.span().start;
        requirements.push(requirement(Table { source, at, keys }, last)?);
    }
    Ok(Section {
        number,
        title,
        requirements,
    })
}

fn requirement(
    entry: Table<'_>,
    last: &mut Option<RequirementId>,
) -> Result<Requirement, LedgerFault> {
    entry.only(&["id", "title", "level", "shown_by", "missing", "exception"])?;
    let value = entry.wanted("id")?;
    let id = value.get_ref().as_str().and_then(RequirementId::parse);
    let id = id.ok_or_else(|| entry.wrong("id", value, "an identifier of a requirement"))?;
    if let Some(after) = last.replace(id).filter(|after| id <= *after) {
        let what = Offence::Order { id, after };
        return Err(entry.source.fault(value.span().start, what));
    }
    let value = entry.wanted("level")?;
    let level = match value.get_ref().as_str() {
        Some("must") => Level::Must,
        Some("should") => Level::Should,
        Some("may") => Level::May,
        Some(_) | None => return Err(entry.wrong("level", value, "must, should or may")),
    };
    let requirement = Requirement {
        id,
        title: entry.text("title", entry.wanted("title")?)?,
        level,
        shown_by: shown_by(entry)?,
        missing: entry.optional_text("missing")?,
        exception: entry.optional_text("exception")?,
    };
    let fault = |what| Err(entry.source.fault(entry.at, what));
    let is_shown = !requirement.shown_by.is_empty();
    match (is_shown, &requirement.missing, &requirement.exception) {
        (_, Some(_), Some(_)) => fault(Offence::SaysBoth(id)),
        (false, None, None) => fault(Offence::SaysNothing(id)),
        (true, _, _) | (_, Some(_), _) | (_, _, Some(_)) => Ok(requirement),
    }
}

fn shown_by(entry: Table<'_>) -> Result<Vec<TestName>, LedgerFault> {
    const KEY: &str = "shown_by";
    let Some(value) = entry.value(KEY) else {
        return Ok(Vec::new());
    };
    let mut tests: Vec<TestName> = Vec::new();
    for value in entry.array(KEY, value)? {
        let name = value.get_ref().as_str().and_then(TestName::parse);
        let name = name.ok_or_else(|| entry.wrong(KEY, value, "a list of \"file.rs::test\""))?;
        if tests.contains(&name) {
            let what = Offence::Twice(name.to_string());
            return Err(entry.source.fault(value.span().start, what));
        }
        tests.push(name);
    }
    Ok(tests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    const GOOD: &str = r#"section = 3
title = "Things"

[[requirement]]
id = "SIP-201"
title = "One thing"
level = "must"
shown_by = ["a.rs::b", "a.rs::c"]

[[requirement]]
id = "SIP-202"
title = "Another"
level = "should"
missing = "All of it."
"#;

    fn fault(text: &str) -> (usize, Offence) {
        match Ledger::read(&[("03.toml", text)]) {
            Err(fault) => (fault.line, fault.what),
            Ok(ledger) => panic!("{ledger:?}"),
        }
    }

    fn changed(from: &str, to: &str) -> (usize, Offence) {
        assert!(GOOD.contains(from), "{from}");
        fault(&GOOD.replacen(from, to, 1))
    }

    #[test]
    fn a_good_file_is_read_whole() {
        let ledger = Ledger::read(&[("03.toml", GOOD)]).unwrap();
        let section = &ledger.sections[0];
        assert_eq!((section.number, section.title.as_str()), (3, "Things"));
        let [one, two] = &section.requirements[..] else {
            panic!("{section:?}");
        };
        assert_eq!((one.id, one.level), (RequirementId::Sip(201), Level::Must));
        assert_eq!(one.shown_by.len(), 2);
        assert_eq!(
            (two.id, two.level),
            (RequirementId::Sip(202), Level::Should)
        );
        assert_eq!(two.missing.as_deref(), Some("All of it."));
        assert!(ledger.knows(two.id) && !ledger.knows(RequirementId::Sip(203)));
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let value = |key, wanted| Offence::Value { key, wanted };
        let id = RequirementId::Sip;
        for ((line, what), (at, wanted)) in [
            (
                changed("missing =", "misssing ="),
                (14, Offence::UnknownKey("misssing".to_owned())),
            ),
            (
                changed("title = \"Things\"", "name = \"Things\""),
                (2, Offence::UnknownKey("name".to_owned())),
            ),
            (
                changed("level = \"must\"\n", ""),
                (4, Offence::Lacks("level")),
            ),
            (
                changed("\"must\"", "\"MUST\""),
                (7, value("level", "must, should or may")),
            ),
            (
                changed("\"SIP-202\"", "\"SIP-0202\""),
                (11, value("id", "an identifier of a requirement")),
            ),
            (
                changed("\"Another\"", "\" \""),
                (12, value("title", "a text that is not empty")),
            ),
            (
                changed("a.rs::c", "a.rs"),
                (8, value("shown_by", "a list of \"file.rs::test\"")),
            ),
            (
                changed("a.rs::c", "a.rs::b"),
                (8, Offence::Twice("a.rs::b".to_owned())),
            ),
            (
                changed("SIP-202", "SIP-201"),
                (
                    11,
                    Offence::Order {
                        id: id(201),
                        after: id(201),
                    },
                ),
            ),
            (
                changed("missing = \"All of it.\"\n", ""),
                (10, Offence::SaysNothing(id(202))),
            ),
            (
                changed("missing =", "exception = \"None.\"\nmissing ="),
                (10, Offence::SaysBoth(id(202))),
            ),
            (
                changed("section = 3", "section = 300"),
                (1, value("section", "a number below 256")),
            ),
        ] {
            assert_eq!((line, &what), (at, &wanted), "{what}");
        }
        let (line, what) = changed("\"Things\"", "\"Things");
        assert!(
            line == 2 && matches!(what, Offence::Form(_)),
            "{line} {what}"
        );
    }

    #[test]
    fn sections_and_identifiers_rise_from_file_to_file() {
        let later = GOOD.replace("section = 3", "section = 4");
        let fault = |files: &[(&str, &str)]| Ledger::read(files).unwrap_err().what;
        assert_eq!(
            fault(&[("03.toml", GOOD), ("04.toml", &later)]),
            Offence::Order {
                id: RequirementId::Sip(201),
                after: RequirementId::Sip(202),
            }
        );
        assert_eq!(
            fault(&[("03.toml", GOOD), ("03b.toml", GOOD)]),
            Offence::SectionOrder(3)
        );
    }
}
