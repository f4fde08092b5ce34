//! What was played more than once: a subject that is the same, and a runner that can be believed, give the same verdicts.

use super::Outcome;
use super::verdict::Verdict;
use std::fmt;

/// A case that did not go the same way each time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unlike {
    /// The case.
    pub id: String,
    /// How it went, in order: the verdict, and which rules were broken.
    pub went: Vec<String>,
    /// What was found each time, in the same order; nothing where all was right.
    pub reasons: Vec<Vec<String>>,
}

impl fmt::Display for Unlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} went differently: {}",
            self.id,
            self.went.join(", then ")
        )?;
        for (time, reasons) in (1..).zip(&self.reasons) {
            for reason in reasons {
                write!(f, "; time {time}: {reason}")?;
            }
        }
        Ok(())
    }
}

/// The cases that did not go the same way in all of these runs of the same cases.
pub fn unlike(runs: &[Vec<Outcome>]) -> Vec<Unlike> {
    let [first, again @ ..] = runs else {
        return Vec::new();
    };
    let of = |outcome: &Outcome| {
        let id = outcome.entry.id.clone();
        let again = again.iter().flatten().filter(|one| one.entry.id == id);
        let all: Vec<&Outcome> = [outcome].into_iter().chain(again).collect();
        let went: Vec<String> = all.iter().map(|one| way(one)).collect();
        let is_unlike = went.iter().any(|way| *way != went[0]);
        is_unlike.then(|| Unlike {
            id,
            went,
            reasons: all.iter().map(|one| one.verdict.reasons()).collect(),
        })
    };
    first.iter().filter_map(of).collect()
}

/// How a case went: what was found is never the same to the letter, and the rules are.
fn way(outcome: &Outcome) -> String {
    let name = outcome.verdict.name();
    let Verdict::Failed(_) = outcome.verdict else {
        return name.to_owned();
    };
    let mut rules = outcome.verdict.broken();
    rules.sort_unstable();
    rules.dedup();
    format!("{name} ({})", rules.join(", "))
}
