//! What became of a case.

use std::collections::BTreeSet;
use std::fmt;

/// A rule that the subject broke, and how that shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Name of the rule: a requirement (`TDR-SIP-010`), a global assertion (`G6`), or one of
    /// `ladder` (the call did not go as described) and `audio`.
    pub rule: String,
    /// What was found, and what is wanted.
    pub why: String,
}

impl Failure {
    /// A broken rule.
    pub fn new(rule: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            why: why.into(),
        }
    }
}

/// In place of a rule, where nothing could be asked: the case shows nothing, neither that a rule is kept nor that it is
/// broken.
const NOT_ASKED: &str = "not asked";

impl Failure {
    /// Nothing could be asked, for this reason.
    pub fn not_asked(why: impl Into<String>) -> Self {
        Self::new(NOT_ASKED, why)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.why)
    }
}

/// A rule that nobody asked about in a case: that it was not broken says nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unasked {
    /// Name of the rule, as in a [`Failure`].
    pub rule: &'static str,
    /// Why not.
    pub why: String,
}

impl fmt::Display for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} not asked: {}", self.rule, self.why)
    }
}

/// What became of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Everything was as it should be.
    Passed,
    /// Rules were broken, in the order in which that was noticed.
    Failed(Vec<Failure>),
    /// The subject lacks what the case is about, or what was to be asked could not be.
    NotApplicable(String),
    /// Nobody wrote the case yet.
    NotWritten,
    /// The run could not set the stage, or the case itself broke: nothing is known of the subject.
    NoStage(String),
}

impl Verdict {
    /// Of a case in which this was wrong. Where all of it is that nothing could be asked, it was not played.
    pub(super) fn of(failures: Vec<Failure>) -> Self {
        match failures.as_slice() {
            [] => Self::Passed,
            all if all.iter().all(|one| one.rule == NOT_ASKED) => {
                let why: Vec<String> = failures.into_iter().map(|one| one.why).collect();
                Self::NotApplicable(why.join("; "))
            }
            _ => Self::Failed(failures),
        }
    }

    /// The same with one thing more that was wrong.
    pub(super) fn with(self, more: Failure) -> Self {
        match self {
            Self::Failed(mut failures) => {
                failures.push(more);
                Self::Failed(failures)
            }
            Self::NoStage(why) => Self::NoStage(format!("{why}; {}", more.why)),
            Self::Passed | Self::NotApplicable(_) | Self::NotWritten => Self::Failed(vec![more]),
        }
    }

    /// Its word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::NotApplicable(_) => "not applicable",
            Self::NotWritten => "not written",
            Self::NoStage(_) => "could not be played",
        }
    }

    /// Whether something is wrong, with the subject or with the run.
    pub fn is_bad(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::NoStage(_))
    }

    /// What there is to say, a line each.
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Self::Passed | Self::NotWritten => Vec::new(),
            Self::Failed(failures) => failures.iter().map(ToString::to_string).collect(),
            Self::NotApplicable(why) | Self::NoStage(why) => vec![why.clone()],
        }
    }

    /// The rules that were broken.
    pub fn broken(&self) -> Vec<&str> {
        match self {
            Self::Failed(failures) => failures.iter().map(|one| one.rule.as_str()).collect(),
            Self::Passed | Self::NotApplicable(_) | Self::NotWritten | Self::NoStage(_) => {
                Vec::new()
            }
        }
    }
}

/// What was found, each once: what many messages have in common is said of the first.
pub(super) fn gathered(failures: Vec<Failure>) -> Vec<Failure> {
    let mut found: Vec<(Failure, BTreeSet<String>)> = Vec::new();
    for failure in failures {
        let what = |of: &Failure| {
            let parts = of.why.split_once("\": ");
            parts.map_or(of.why.clone(), |(_, what)| what.to_owned())
        };
        let same = |(known, _): &&mut (Failure, BTreeSet<String>)| {
            known.rule == failure.rule && what(known) == what(&failure)
        };
        match found.iter_mut().find(same) {
            Some((_, messages)) => drop(messages.insert(failure.why)),
            None => {
                let messages = BTreeSet::from([failure.why.clone()]);
                found.push((failure, messages));
            }
        }
    }
    let told = found.into_iter().map(|(mut failure, messages)| {
        if messages.len() > 1 {
            failure.why += &format!(" (and {} more like it)", messages.len() - 1);
        }
        failure
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_asked_has_neither_passed_nor_failed() {
        let not_asked = || Failure::not_asked("nobody came");
        let broken = || Failure::new("G1", "no Contact");
        assert_eq!(Verdict::of(Vec::new()), Verdict::Passed);
        let told = Verdict::of(vec![not_asked()]);
        assert_eq!(told, Verdict::NotApplicable("nobody came".to_owned()));
        let both = vec![not_asked(), broken()];
        assert_eq!(Verdict::of(both.clone()), Verdict::Failed(both));
    }

    #[test]
    fn what_many_messages_have_in_common_is_told_once() {
        let failure = |rule: &str, why: &str| Failure::new(rule, why);
        let told = gathered(vec![
            failure("G1", "\"OPTIONS sip:a\": no Contact"),
            failure("ladder", "nothing came"),
            failure("G1", "\"OPTIONS sip:b\": no Contact"),
            failure("G1", "\"OPTIONS sip:b\": no Contact"),
            failure("G2", "\"OPTIONS sip:b\": no Contact"),
        ]);
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "G1: \"OPTIONS sip:a\": no Contact (and 1 more like it)",
                "ladder: nothing came",
                "G2: \"OPTIONS sip:b\": no Contact",
            ]
        );
    }
}
