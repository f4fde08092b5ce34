//! What is wrong with a file of the ledger, and where.

use super::RequirementId;
use std::fmt;

/// The first thing that is wrong with the ledger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerFault {
    /// File in `conformance/requirements`.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: Offence,
}

/// The rules of the ledger that a file can break.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Offence {
    /// The file is no TOML.
    Form(String),
    /// A key that nothing has here.
    UnknownKey(String),
    /// A key that must be there.
    Lacks(&'static str),
    /// A value of the wrong type, or an empty one.
    Value {
        /// Key.
        key: &'static str,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A section whose number does not rise.
    SectionOrder(u8),
    /// An identifier that does not rise, within its file or from file to file.
    Order {
        /// This one.
        id: RequirementId,
        /// The one before.
        after: RequirementId,
    },
    /// A test that is named twice in one entry.
    Twice(String),
    /// An entry that says neither what shows it, nor what is missing, nor why it does not apply.
    SaysNothing(RequirementId),
    /// An entry that is missing and does not apply.
    SaysBoth(RequirementId),
}

impl fmt::Display for LedgerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "requirements/{}:{}: {}", self.file, self.line, self.what)
    }
}

impl std::error::Error for LedgerFault {}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(why) => write!(f, "not readable as TOML: {why}"),
            Self::UnknownKey(key) => write!(f, "there is no key {key:?} here"),
            Self::Lacks(key) => write!(f, "{key} is missing"),
            Self::Value { key, wanted } => write!(f, "{key} must be {wanted}"),
            Self::SectionOrder(number) => {
                write!(f, "section {number} does not follow the section before it")
            }
            Self::Order { id, after } => write!(f, "{id} stands after {after}; ids must rise"),
            Self::Twice(test) => write!(f, "{test} is named twice"),
            Self::SaysNothing(id) => {
                write!(f, "{id} needs shown_by, missing or exception")
            }
            Self::SaysBoth(id) => {
                write!(
                    f,
                    "{id} has missing and exception; only one of them can be true"
                )
            }
        }
    }
}
