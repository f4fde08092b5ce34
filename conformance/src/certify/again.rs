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
        let again = again.iter().map(|run| of_case(run, &id));
        let all: Vec<Option<&Outcome>> = [Some(outcome)].into_iter().chain(again).collect();
        let went = all.iter().map(|one| match one {
            Some(one) => way(one),
            None => "not played".to_owned(),
        });
        let went: Vec<String> = went.collect();
        let reasons = |one: &Option<&Outcome>| {
            let all = one.iter().flat_map(|one| one.verdict.reasons());
            all.collect()
        };
        let is_unlike = went.iter().any(|way| *way != went[0]);
        is_unlike.then(|| Unlike {
            id,
            reasons: all.iter().map(reasons).collect(),
            went,
        })
    };
    first.iter().filter_map(of).collect()
}

fn of_case<'r>(run: &'r [Outcome], id: &str) -> Option<&'r Outcome> {
    run.iter().find(|one| one.entry.id == id)
}

/// What is shown of several runs: of each case how it went first, or how it first went wrong, with the ladder of that.
pub fn shown(runs: Vec<Vec<Outcome>>) -> Vec<Outcome> {
    let mut runs = runs.into_iter();
    let mut all = runs.next().unwrap_or_default();
    for outcome in runs.flatten() {
        let own = all.iter_mut().find(|one| one.entry.id == outcome.entry.id);
        match own {
            Some(own) if !own.verdict.is_bad() && outcome.verdict.is_bad() => *own = outcome,
            Some(_) => {}
            None => all.push(outcome),
        }
    }
    all
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
