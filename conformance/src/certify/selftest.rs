//! The runner's own test: every case against a subject that is broken in each way that the case
//! names. The named rule must say so, or the case is worth nothing.

use super::Plan;
use super::asked::Site;
use super::assertion::GLOBAL;
use super::case::{Break, Case};
use super::group;
use super::stage::Kit;
use super::subject::Subject;
use super::verdict::Verdict;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::task::JoinSet;

/// The case that global assertions are tried with.
const BASE: &str = "TC-INB-002";

/// A case with a way to break the subject.
#[derive(Clone, Copy)]
pub struct Trial {
    /// The case.
    pub case: &'static Case,
    /// Which of its ways, from 1; those of the global assertions follow. 0 is the subject as it is.
    pub number: usize,
    /// How, and which rule must be broken; none for the subject as it is.
    pub way: Option<Break>,
}

/// What became of a trial.
#[derive(Clone, Debug)]
pub struct Found {
    /// The case.
    pub id: &'static str,
    /// Which of its ways.
    pub number: usize,
    /// The rule that must be broken; none if no rule that a way breaks may be broken.
    pub rule: Option<&'static str>,
    /// What that shows.
    pub result: TrialResult,
    /// What the case said.
    pub verdict: Verdict,
    /// What it asked, each with whether the answer was no.
    pub asked: BTreeMap<Site, bool>,
}

/// What a trial shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrialResult {
    /// The named rule said so; or, of the subject as it is, nothing is wrong.
    Good,
    /// It did not: the case shows nothing.
    Bad,
    /// Nothing was played: the subject lacks what the case is about, so the case shows nothing here.
    NotPlayed,
}

/// All trials of the cases that are chosen; with the base case come the global assertions.
pub fn trials(is_chosen: impl Fn(&str) -> bool) -> Vec<Trial> {
    let mut all = Vec::new();
    for case in group::WRITTEN.iter().flat_map(|group| group.iter()) {
        if !is_chosen(case.id) {
            continue;
        }
        let own = case.broken_by.iter().copied();
        let global = GLOBAL.iter().filter(|_| case.id == BASE).map(|one| Break {
            rule: one.id,
            by: one.broken_by,
        });
        // What is broken already shows nothing when it is broken again.
        let ways = std::iter::once(None).chain(own.chain(global).map(Some));
        all.extend(
            ways.enumerate()
                .map(|(number, way)| Trial { case, number, way }),
        );
    }
    all
}

/// Plays trials as the plan says, and tells of each when it is done.
///
/// # Errors
/// What keeps everything from starting.
pub async fn run(
    subject: &Subject,
    trials: Vec<Trial>,
    plan: &Plan,
    mut tell: impl FnMut(&Found, usize, usize),
) -> Result<Vec<Found>, String> {
    let kit = Arc::new(Kit::new(plan.network).map_err(|fault| fault.to_string())?);
    let total = trials.len();
    let mut waiting = VecDeque::from(trials);
    let mut running = JoinSet::new();
    let mut done = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < plan.at_once.max(1)
            && let Some(trial) = waiting.pop_front()
        {
            let (subject, kit) = (subject.clone(), Arc::clone(&kit));
            running.spawn(async move { one(&subject, &kit, trial).await });
        }
        if let Some(Ok(found)) = running.join_next().await {
            tell(&found, done.len() + 1, total);
            done.push(found);
        }
    }
    done.sort_by_key(|found| (found.id, found.number));
    Ok(done)
}

async fn one(subject: &Subject, kit: &Arc<Kit>, trial: Trial) -> Found {
    let Trial { case, number, way } = trial;
    let (verdict, asked) = match super::lacks(subject, case) {
        Some(why) => (Verdict::NotApplicable(why), BTreeMap::new()),
        None => {
            let shown = super::play(subject, kit, case, way.map(|way| way.by)).await;
            (shown.verdict, shown.asked)
        }
    };
    let rule = way.map(|way| way.rule);
    Found {
        id: case.id,
        number,
        result: TrialResult::of(&verdict, rule),
        rule,
        verdict,
        asked,
    }
}

/// Checks that a case made of the good subject and that none of the broken ones failed, with the case. Of a case
/// that was not played in all its ways nothing can be said.
pub fn unfailed(found: &[Found]) -> Vec<(&'static str, Site)> {
    let mut checks: BTreeMap<(&'static str, &Site), bool> = BTreeMap::new();
    let whole = |id: &str| {
        let ways = found.iter().filter(|one| one.id == id).count();
        ways == trials(|other| other == id).len()
    };
    for one in found {
        // What fails of the good subject shows nothing.
        let is_broken = one.rule.is_some();
        for (site, failed) in &one.asked {
            *checks.entry((one.id, site)).or_default() |= *failed && is_broken;
        }
    }
    let left = checks.into_iter().filter(|(_, failed)| !failed);
    left.filter(|((id, _), _)| whole(id))
        .map(|((id, site), _)| (id, site.clone()))
        .collect()
}

impl TrialResult {
    /// Of what a case said, where this rule had to be broken, or none.
    fn of(verdict: &Verdict, rule: Option<&str>) -> Self {
        let is_good = match (verdict, rule) {
            (Verdict::NotApplicable(_) | Verdict::NotWritten, _) => return Self::NotPlayed,
            (verdict, Some(rule)) => verdict.broken().contains(&rule),
            (verdict, None) => matches!(verdict, Verdict::Passed),
        };
        match is_good {
            true => Self::Good,
            false => Self::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certify::verdict::Failure;

    #[test]
    fn what_was_not_played_is_neither_good_nor_bad() {
        let absent = Verdict::NotApplicable("no pair".to_owned());
        let failed = Verdict::Failed(vec![Failure::new("G1", "no Contact")]);
        for (verdict, rule, wanted) in [
            (&absent, None, TrialResult::NotPlayed),
            (&absent, Some("G1"), TrialResult::NotPlayed),
            (&Verdict::Passed, None, TrialResult::Good),
            (&Verdict::Passed, Some("G1"), TrialResult::Bad),
            (&failed, Some("G1"), TrialResult::Good),
            (&failed, Some("G2"), TrialResult::Bad),
            (&failed, None, TrialResult::Bad),
            (
                &Verdict::NoStage("no port".to_owned()),
                None,
                TrialResult::Bad,
            ),
        ] {
            assert_eq!(
                TrialResult::of(verdict, rule),
                wanted,
                "{verdict:?} {rule:?}"
            );
        }
    }
}
