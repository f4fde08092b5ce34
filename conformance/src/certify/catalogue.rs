//! The catalogue: every case by its id, whether anybody wrote it yet or not.

use std::collections::BTreeSet;
use std::fmt;
use toml::de::{DeTable, DeValue};

const TEXT: &str = include_str!("catalogue.toml");
/// Groups in the order in which they are reported.
pub const GROUPS: [&str; 13] = [
    "CON", "OPT", "INB", "OUT", "MID", "XFR", "MED", "ICE", "LMO", "NUM", "EMG", "SYS", "GRA",
];

/// One case of the catalogue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// `TC-INB-001`.
    pub id: String,
    /// Where the scenario is from: `PUB-T`, `PUB-B`, `PUB-A`, `PUB-V` or `DER`.
    pub mark: String,
    /// What a failure means.
    pub severity: Severity,
    /// Which way the call or message goes.
    pub direction: String,
    /// What it shows.
    pub title: String,
    /// Requirements that it looks at.
    pub requirements: Vec<String>,
    /// Where it wants something else than the catalogue it is from, and which requirement says so.
    pub differs: Option<String>,
}

/// What a failed case means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Nothing works without it.
    Blocker,
    /// It must work.
    Major,
    /// It should work.
    Minor,
}

impl Severity {
    /// Whether the run fails with the case.
    pub fn is_mandatory(self) -> bool {
        self != Self::Minor
    }

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocker => "blocker",
            Self::Major => "major",
            Self::Minor => "minor",
        }
    }
}

impl Entry {
    /// `INB`.
    pub fn group(&self) -> &str {
        self.id.split('-').nth(1).unwrap_or_default()
    }
}

/// Why the catalogue is not valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatalogueFault(String);

impl fmt::Display for CatalogueFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "catalogue of cases: {}", self.0)
    }
}

impl std::error::Error for CatalogueFault {}

/// All cases.
///
/// # Errors
/// [`CatalogueFault`], which means that this program was built with a broken catalogue.
pub fn read() -> Result<Vec<Entry>, CatalogueFault> {
    let table = DeTable::parse(TEXT).map_err(|fault| CatalogueFault(fault.to_string()))?;
    let Some(DeValue::Array(rows)) = table.get_ref().get("case").map(toml::Spanned::get_ref) else {
        return Err(CatalogueFault("it has no [[case]]".to_owned()));
    };
    let mut known = BTreeSet::new();
    let mut entries = Vec::new();
    for row in rows {
        let entry = entry(row.get_ref())?;
        if !known.insert(entry.id.clone()) {
            return Err(CatalogueFault(format!("{} is there twice", entry.id)));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(row: &DeValue<'_>) -> Result<Entry, CatalogueFault> {
    let text = |key: &str| match row.get(key).map(toml::Spanned::get_ref) {
        Some(DeValue::String(text)) => Ok(text.to_string()),
        _ => Err(CatalogueFault(format!("a case lacks {key}"))),
    };
    let id = text("id")?;
    let severity = match text("severity")?.as_str() {
        "B" => Severity::Blocker,
        "M" => Severity::Major,
        "m" => Severity::Minor,
        other => return Err(CatalogueFault(format!("{id} has the severity {other}"))),
    };
    let requirements = match row.get("requirements").map(toml::Spanned::get_ref) {
        Some(DeValue::Array(all)) => all
            .iter()
            .filter_map(|one| match one.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                _ => None,
            })
            .collect(),
        _ => return Err(CatalogueFault(format!("{id} lacks requirements"))),
    };
    let differs = match row.get("differs") {
        None => None,
        Some(_) => Some(text("differs")?),
    };
    let entry = Entry {
        differs,
        mark: text("mark")?,
        severity,
        direction: text("direction")?,
        title: text("title")?,
        requirements,
        id,
    };
    if !GROUPS.contains(&entry.group()) {
        return Err(CatalogueFault(format!("{} is of no known group", entry.id)));
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_there_once_with_its_mark() {
        let all = read().unwrap();
        assert_eq!(all.len(), 235);
        let marked = |mark: &str| all.iter().filter(|one| one.mark == mark).count();
        assert_eq!(
            ["PUB-T", "PUB-B", "PUB-A", "PUB-V", "DER"].map(marked),
            [7, 7, 10, 10, 201]
        );
        assert_eq!(all.iter().filter(|one| one.group() == "INB").count(), 28);
        // Whoever reads that a case differs reads why.
        let differing = all.iter().filter_map(|one| one.differs.as_ref());
        for why in differing {
            assert!(
                ["TDR-", "SIP-", "annex ", "RFC "]
                    .iter()
                    .any(|by| why.contains(by)),
                "{why}"
            );
        }
    }
}
