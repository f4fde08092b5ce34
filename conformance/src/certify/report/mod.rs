//! What was run, written down for people and programs.

pub mod html;
pub mod json;
pub mod junit;
pub mod ladder;
pub mod table;

use super::Outcome;
use std::time::Duration;

/// A run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was certified.
    pub subject: String,
    /// Version of this program.
    pub version: String,
    /// When it began, seconds since 1970.
    pub began: u64,
    /// How long it took.
    pub took: Duration,
    /// Every case, in the order of the catalogue.
    pub outcomes: Vec<Outcome>,
}

/// How many cases ended in which way.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Everything was right.
    pub passed: usize,
    /// Something was wrong, or nothing is known.
    pub failed: usize,
    /// The subject lacks what they are about.
    pub not_applicable: usize,
    /// Nobody wrote them yet.
    pub not_written: usize,
}

impl Counts {
    /// Counts outcomes.
    pub fn of<'o>(outcomes: impl Iterator<Item = &'o Outcome>) -> Self {
        use super::verdict::Verdict;
        let mut counts = Self::default();
        for outcome in outcomes {
            match outcome.verdict {
                Verdict::Passed => counts.passed += 1,
                Verdict::Failed(_) | Verdict::NoStage(_) => counts.failed += 1,
                Verdict::NotApplicable(_) => counts.not_applicable += 1,
                Verdict::NotWritten => counts.not_written += 1,
            }
        }
        counts
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.passed + self.failed + self.not_applicable + self.not_written
    }
}

impl Run {
    /// Whether no mandatory case failed.
    pub fn is_good(&self) -> bool {
        let bad = |one: &Outcome| one.verdict.is_bad() && one.entry.severity.is_mandatory();
        !self.outcomes.iter().any(bad)
    }

    /// What came of the mandatory cases, in words: what was not played is never taken for passed.
    pub fn verdict(&self) -> String {
        let all = self.outcomes.iter();
        let counts = Counts::of(all.filter(|one| one.entry.severity.is_mandatory()));
        let mut words = match counts.failed {
            0 => "no mandatory case failed".to_owned(),
            1 => "a mandatory case failed".to_owned(),
            more => format!("{more} mandatory cases failed"),
        };
        if counts.not_applicable + counts.not_written > 0 {
            words += &format!(
                "; of the mandatory ones {} do not apply and {} are not written",
                counts.not_applicable, counts.not_written
            );
        }
        words
    }

    /// Groups in order, with their outcomes.
    pub fn groups(&self) -> Vec<(&str, Vec<&Outcome>)> {
        super::catalogue::GROUPS
            .iter()
            .map(|group| {
                let own = self
                    .outcomes
                    .iter()
                    .filter(|one| one.entry.group() == *group);
                (*group, own.collect::<Vec<_>>())
            })
            .filter(|(_, own)| !own.is_empty())
            .collect()
    }
}
