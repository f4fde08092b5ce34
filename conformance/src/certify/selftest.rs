//! The runner's own test: every case against a subject that is broken in each way that the case
//! names. The named rule must say so, or the case is worth nothing.

use super::Plan;
use super::asked::Site;
use super::assertion::GLOBAL;
use super::case::{Break, Case};
use super::catalogue::{self, Entry};
use super::group;
use super::kit::Kit;
use super::subject::Subject;
use super::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// Rules that were broken besides, and of which the way does not say that they follow.
    pub strays: BTreeSet<String>,
    /// Rules that the way says follow, and that were not broken.
    pub kept: BTreeSet<&'static str>,
    /// What the case said.
    pub verdict: Verdict,
    /// What it asked, each with whether the answer was no.
    pub asked: BTreeMap<Site, bool>,
}

/// What a trial shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrialResult {
    /// The named rule said so, and no other than follows from it; or, of the subject as it is, nothing is wrong.
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
            also: one.also,
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
    Found {
        id: case.id,
        number,
        result: TrialResult::of(&verdict, way.as_ref()),
        strays: way.map_or_else(BTreeSet::new, |way| strays(&verdict, &way)),
        kept: way.map_or_else(BTreeSet::new, |way| kept(&verdict, &way)),
        rule: way.map(|way| way.rule),
        verdict,
        asked,
    }
}

/// Checks that no broken subject failed, each with the cases that make it. Of a case that was not played in all its ways
/// nothing can be said; a step that many cases take counts as failed where one of them has failed it.
pub fn unfailed(found: &[Found]) -> BTreeMap<Site, BTreeSet<&'static str>> {
    let (mut asked, mut failed) = (BTreeMap::<Site, BTreeSet<_>>::new(), BTreeSet::new());
    for one in found {
        for (site, has_failed) in &one.asked {
            asked.entry(site.clone()).or_default().insert(one.id);
            // What fails of the good subject shows nothing.
            if *has_failed && one.rule.is_some() {
                failed.insert(site.clone());
            }
        }
    }
    asked
        .retain(|site, cases| !failed.contains(site) && cases.iter().all(|id| is_whole(found, id)));
    asked
}

/// Requirements that a rule of another name stands for.
const STANDS_FOR: &[(&str, &str)] = &[
    ("TDR-TCP-005", "G13"),
    ("TDR-MED-028", "G6"),
    ("TDR-MED-001", "G10"),
];

/// What a row names and no way breaks, with the reason.
const EXEMPT: &[(&str, &str, &str)] = &[];

/// Requirements that the row of a case names and that no way to break the subject has broken: that the case looks at
/// them is not shown. Nothing can be said of a case that was not played in all its ways, or not at all.
pub fn unproven(found: &[Found]) -> BTreeMap<&'static str, Vec<String>> {
    let mut all = BTreeMap::new();
    for entry in catalogue::read().unwrap_or_default() {
        let own = found.iter().filter(|one| one.id == entry.id);
        let own: Vec<&Found> = own.collect();
        let was_played = own.iter().all(|one| one.result != TrialResult::NotPlayed);
        let (Some(first), true) = (own.first(), was_played && is_whole(found, &entry.id)) else {
            continue;
        };
        let broken = own.iter().filter(|one| one.rule.is_some());
        let broken: BTreeSet<&str> = broken.flat_map(|one| one.verdict.broken()).collect();
        let missing = missing(&entry, &broken);
        if !missing.is_empty() {
            all.insert(first.id, missing);
        }
    }
    all
}

/// What a row names, these rules do not show, and nobody has said why not.
fn missing(entry: &Entry, broken: &BTreeSet<&str>) -> Vec<String> {
    let is_shown = |one: &&String| {
        let stand_in = STANDS_FOR.iter().find(|(of, _)| of == one);
        let is_exempt = EXEMPT
            .iter()
            .any(|(id, rule, _)| *id == entry.id && rule == one);
        broken.contains(one.as_str())
            || stand_in.is_some_and(|(_, by)| broken.contains(by))
            || is_exempt
    };
    let named = entry.requirements.iter();
    named.filter(|one| !is_shown(one)).cloned().collect()
}

fn is_whole(found: &[Found], id: &str) -> bool {
    let ways = found.iter().filter(|one| one.id == id).count();
    ways == trials(|other| other == id).len()
}

/// Rules that were broken and that neither are the one that had to be nor follow from it.
fn strays(verdict: &Verdict, way: &Break) -> BTreeSet<String> {
    let follows = |rule: &&str| way.also.iter().any(|(also, _)| also == rule);
    let broken = verdict.broken().into_iter();
    broken
        .filter(|rule| *rule != way.rule && !follows(rule))
        .map(str::to_owned)
        .collect()
}

/// Rules that are said to follow, and that were not broken.
fn kept(verdict: &Verdict, way: &Break) -> BTreeSet<&'static str> {
    let broken = verdict.broken();
    let also = way.also.iter().map(|(rule, _)| *rule);
    also.filter(|rule| !broken.contains(rule)).collect()
}

impl TrialResult {
    /// Of what a case said, where this rule had to be broken, or none.
    fn of(verdict: &Verdict, way: Option<&Break>) -> Self {
        let is_good = match (verdict, way) {
            (Verdict::NotApplicable(_) | Verdict::NotWritten, _) => return Self::NotPlayed,
            (verdict, Some(way)) => {
                verdict.broken().contains(&way.rule) && strays(verdict, way).is_empty()
            }
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
    use crate::certify::asked::{self, Asked};
    use crate::certify::case::breaks;
    use crate::certify::mutation::Mutation;
    use crate::certify::verdict::Failure;
    use std::panic::Location;

    #[tokio::test]
    async fn a_check_that_no_broken_subject_fails_is_told_with_its_cases() {
        let (id, ways) = ("TC-CON-016", trials(|id| id == "TC-CON-016").len());
        let make = async |is_right: bool| {
            let asked = Asked::default();
            let note = |rule| asked::note(Location::caller(), rule, is_right);
            asked.of(async { note("TDR-CON-001") }).await;
            asked
                .of(async { asked::note(Location::caller(), "G1", true) })
                .await;
            asked.sites()
        };
        let found = |number: usize, asked| Found {
            id,
            number,
            rule: (number > 0).then_some("TDR-CON-001"),
            result: TrialResult::Good,
            strays: BTreeSet::new(),
            kept: BTreeSet::new(),
            verdict: Verdict::Passed,
            asked,
        };
        let mut all = vec![found(0, make(true).await)];
        assert!(unfailed(&all).is_empty(), "not all ways were played");
        for number in 1..ways {
            all.push(found(number, make(false).await));
        }
        let told = unfailed(&all);
        let told: Vec<_> = told
            .iter()
            .map(|(site, cases)| (&*site.rule, cases))
            .collect();
        assert_eq!(told, [("G1", &BTreeSet::from([id]))]);
    }

    /// Of what the ways say alone: whether they do so shows when they are played.
    #[test]
    fn every_requirement_of_a_row_has_a_way_that_breaks_it() {
        let mut all = Vec::new();
        for entry in catalogue::read().unwrap() {
            let case = group::find(&entry.id).unwrap();
            let also = |way: &'static Break| way.also.iter().map(|(rule, _)| *rule);
            let broken = case.broken_by.iter();
            let broken = broken.flat_map(|way| [way.rule].into_iter().chain(also(way)));
            let missing = missing(&entry, &broken.collect());
            assert!(!entry.requirements.is_empty(), "{} names none", entry.id);
            if !missing.is_empty() {
                all.push(format!("{}: {}", entry.id, missing.join(", ")));
            }
        }
        assert!(all.is_empty(), "{}", all.join("\n"));
        for (id, rule, why) in EXEMPT {
            let all = catalogue::read().unwrap();
            let entry = all.iter().find(|entry| entry.id == *id).unwrap();
            assert!(
                entry.requirements.iter().any(|one| one == rule),
                "{id}: {rule}"
            );
            assert!(why.len() > 8, "{id}: {rule}");
        }
    }

    #[test]
    fn a_requirement_that_no_way_breaks_is_told_with_its_case() {
        let (id, rule) = ("TC-CON-022", "TDR-DNS-005");
        let found = |number: usize, broken: &str| Found {
            id,
            number,
            rule: (number > 0).then_some("TDR-DNS-002"),
            result: TrialResult::Good,
            strays: BTreeSet::new(),
            kept: BTreeSet::new(),
            verdict: Verdict::Failed(vec![Failure::new(broken, "what was found")]),
            asked: BTreeMap::new(),
        };
        let ways = trials(|one| one == id).len();
        let all = |broken: &str| -> Vec<Found> {
            let numbers = 0..ways;
            numbers.map(|number| found(number, broken)).collect()
        };
        assert!(unproven(&all(rule)).is_empty());
        assert!(
            unproven(&all("ladder")[1..]).is_empty(),
            "not all were played"
        );
        let told = unproven(&all("ladder"));
        assert_eq!(told, BTreeMap::from([(id, vec![rule.to_owned()])]));
    }

    #[test]
    fn what_was_not_played_is_neither_good_nor_bad() {
        let absent = Verdict::NotApplicable("no pair".to_owned());
        let failed = Verdict::Failed(vec![Failure::new("G1", "no Contact")]);
        let dark = Verdict::NoStage("no port".to_owned());
        let way = |rule| breaks(rule, Mutation::Forgets);
        for (verdict, rule, wanted) in [
            (&absent, None, TrialResult::NotPlayed),
            (&absent, Some("G1"), TrialResult::NotPlayed),
            (&Verdict::Passed, None, TrialResult::Good),
            (&Verdict::Passed, Some("G1"), TrialResult::Bad),
            (&failed, Some("G1"), TrialResult::Good),
            (&failed, Some("G2"), TrialResult::Bad),
            (&failed, None, TrialResult::Bad),
            (&dark, None, TrialResult::Bad),
        ] {
            let way = rule.map(way);
            let found = TrialResult::of(verdict, way.as_ref());
            assert_eq!(found, wanted, "{verdict:?} {rule:?}");
        }
    }

    #[test]
    fn a_rule_that_is_broken_besides_spoils_a_trial_unless_it_is_said_to_follow() {
        let failure = |rule: &str| Failure::new(rule, "what was found");
        let broken = Verdict::Failed(vec![failure("G1"), failure("ladder"), failure("audio")]);
        let way = breaks("G1", Mutation::Forgets);
        let told = |way: &Break| (TrialResult::of(&broken, way.into()), strays(&broken, way));
        let set = |rules: &[&str]| rules.iter().map(ToString::to_string).collect();
        let wanted = (TrialResult::Bad, set(&["audio", "ladder"]));
        assert_eq!(told(&way), wanted);
        let way = way.also(&[("audio", "nobody talks")]);
        assert_eq!(told(&way), (TrialResult::Bad, set(&["ladder"])));
        let way = way.also(&[("audio", "nobody talks"), ("ladder", "it ends there")]);
        assert_eq!(told(&way), (TrialResult::Good, set(&[])));
        assert!(kept(&broken, &way).is_empty());
        let way = way.also(&[("ladder", "it ends there"), ("G10", "it does not")]);
        assert_eq!(kept(&broken, &way), BTreeSet::from(["G10"]));
    }

    #[test]
    fn what_is_said_to_follow_is_another_rule_and_has_a_reason() {
        for trial in trials(|_| true) {
            let Some(way) = trial.way else { continue };
            for (rule, why) in way.also {
                let id = trial.case.id;
                assert!(*rule != way.rule && why.len() > 8, "{id}: {rule} {why}");
            }
        }
    }
}
