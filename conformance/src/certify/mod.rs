//! The certification run for Direct Routing: every case of the catalogue against a subject.
//!
//! ```text
//! carrier(s) (UDP, RTP) ── subject ── three proxies of Teams, and one without a name (TLS, SRTP)
//!        └───────────── tape ──────────────┘  every message, and every change to it
//! ```
//!
//! [`case`] tells how a case is written, [`group`] holds them; [`stage`] is what one plays on, with
//! the [`ladder`]s that most need and [`change`]s within a call; [`assertion`] is asked after each. [`selftest`] breaks the subject
//! in every way that the cases name and wants the right rule to say so. [`report`] writes it down.

pub mod again;
pub mod asked;
pub mod assertion;
pub mod case;
pub mod catalogue;
pub mod change;
pub mod evidence;
#[cfg(test)]
mod fake;
pub mod follows;
mod ground;
pub mod group;
pub mod kit;
pub mod knock;
pub mod ladder;
pub mod late;
pub mod mutation;
pub mod nodes;
mod operators;
pub mod report;
pub mod reports;
pub mod selftest;
pub mod setting;
pub mod stage;
pub mod subject;
pub mod times;
mod told;
pub mod verdict;
pub mod whole;
pub mod word;

use crate::impair::Network;
use crate::media::voice::Heard;
use asked::{Asked, Site};
use case::Case;
use catalogue::{CatalogueFault, Entry};
use evidence::Seen;
use kit::Kit;
use mutation::Mutation;
use setting::Setting;
use stage::Stage;
use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use subject::Subject;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use verdict::{Failure, Unasked, Verdict};

/// Longest time for a case, from the set stage to its end.
const LIMIT: Duration = Duration::from_secs(300);
/// The same where long cases are played in full.
const SOAK_LIMIT: Duration = Duration::from_secs(2 * 3_600);

/// What became of a case, with what was seen.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The case.
    pub entry: Entry,
    /// What became of it.
    pub verdict: Verdict,
    /// Every message.
    pub seen: Vec<Seen>,
    /// What was heard, by the voice's name.
    pub heard: Vec<(&'static str, Heard)>,
    /// Rules that are asked of every case and were not asked of this one.
    pub unasked: Vec<Unasked>,
    /// What a reader must know of how it was played.
    pub notes: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// What is to be said of it besides what was wrong: rules that were not asked, notes, and where it differs from
    /// its catalogue.
    pub fn remarks(&self) -> Vec<String> {
        let unasked = self.unasked.iter().map(ToString::to_string);
        let differs = self.entry.differs.iter();
        let differs = differs.map(|why| format!("differs from the catalogue: {why}"));
        unasked
            .chain(self.notes.iter().cloned())
            .chain(differs)
            .collect()
    }
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Ids or groups; all if there are none.
    pub only: Vec<String>,
    /// Cases at the same time.
    pub at_once: usize,
    /// The network between peers and subject, where it is a bad one.
    pub network: Option<Network>,
    /// Whether long cases are played in full.
    pub soaks: bool,
}

/// The cases of the catalogue that a plan names.
///
/// # Errors
/// The words that name no case and no group.
pub fn chosen(plan: &Plan) -> Result<Vec<Entry>, String> {
    let all = catalogue::read().map_err(|fault: CatalogueFault| fault.to_string())?;
    let is_named = |entry: &Entry, word: &str| {
        let word = word.to_ascii_uppercase();
        entry.id == word || entry.id.strip_prefix("TC-") == Some(&word) || entry.group() == word
    };
    for word in &plan.only {
        if !all.iter().any(|entry| is_named(entry, word)) {
            return Err(format!(
                "no case and no group is called \"{word}\"; groups are {}, a case is TC-INB-001",
                catalogue::GROUPS.join(", ")
            ));
        }
    }
    let is_chosen =
        |entry: &Entry| plan.only.is_empty() || plan.only.iter().any(|word| is_named(entry, word));
    Ok(all.into_iter().filter(is_chosen).collect())
}

/// Plays cases as the plan says, and tells of each when it is done. The outcomes come in the order of the
/// catalogue.
///
/// # Errors
/// What keeps everything from starting.
pub async fn run(
    subject: &Subject,
    entries: Vec<Entry>,
    plan: &Plan,
    mut tell: impl FnMut(&Outcome, usize, usize),
) -> Result<Vec<Outcome>, String> {
    let kit = Kit::of(subject, plan.network).map_err(|fault| fault.to_string())?;
    let kit = Arc::new(Kit {
        soaks: plan.soaks,
        ..kit
    });
    let total = entries.len();
    let mut waiting: VecDeque<(usize, Entry)> = entries.into_iter().enumerate().collect();
    if let Subject::Other(_) = subject {
        // What is configured for one case stays for those that want the same.
        waiting
            .make_contiguous()
            .sort_by_key(|(_, entry)| words(entry));
    }
    let mut done: Vec<(usize, Outcome)> = Vec::new();
    let mut running = JoinSet::new();
    let mut interrupts = Interrupts::of(subject).map_err(|why| why.to_string())?;
    // Somebody else's SBC is one, and so is its carrier.
    let at_once = match subject {
        Subject::Ours(_) => plan.at_once.max(1),
        Subject::Other(_) => 1,
    };
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < at_once
            && let Some((index, entry)) = waiting.pop_front()
        {
            let (subject, kit) = (subject.clone(), Arc::clone(&kit));
            running.spawn(async move { (index, whole(subject, kit, entry).await) });
        }
        let joined = tokio::select! {
            joined = running.join_next() => joined,
            signal = interrupts.come() => {
                running.shutdown().await;
                let told = is_left(subject, &mut interrupts).await;
                return Err(format!("ended by {signal}; {told}"));
            }
        };
        if let Some(Ok((index, outcome))) = joined {
            tell(&outcome, done.len() + 1, total);
            done.push((index, outcome));
        }
    }
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, outcome)| outcome).collect())
}

/// Signals that end a run of somebody else's SBC, which is put back first. Ours ends with the run.
struct Interrupts(Option<[Signal; 2]>);

impl Interrupts {
    fn of(subject: &Subject) -> io::Result<Self> {
        Ok(Self(match subject {
            Subject::Ours(_) => None,
            Subject::Other(_) => Some([
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            ]),
        }))
    }

    /// Waits for one, and gives its name.
    async fn come(&mut self) -> &'static str {
        let Some([interrupt, terminate]) = &mut self.0 else {
            return pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    }
}

/// Puts the subject of a run that was interrupted back, unless it is interrupted once more. Says what came of it.
async fn is_left(subject: &Subject, interrupts: &mut Interrupts) -> String {
    let back = async {
        subject.is_left_alone().await;
        subject.is_put_back().await
    };
    tokio::select! {
        back = back => match back {
            Ok(()) => "what was done to the subject is taken back".to_owned(),
            Err(left) => left.why,
        },
        signal = interrupts.come() => format!("the subject is left as it is, for {signal} came again"),
    }
}

/// A case with its outcome, also where it breaks itself outside of what is played: none is lost from the report.
async fn whole(subject: Subject, kit: Arc<Kit>, entry: Entry) -> Outcome {
    let own = entry.clone();
    let done = survived(async move { one(&subject, &kit, entry).await }).await;
    done.unwrap_or_else(|why| Outcome {
        entry: own,
        verdict: Verdict::NoStage(why),
        seen: Vec::new(),
        heard: Vec::new(),
        unasked: Vec::new(),
        notes: Vec::new(),
        took: Duration::ZERO,
    })
}

async fn one(subject: &Subject, kit: &Arc<Kit>, entry: Entry) -> Outcome {
    let began = Instant::now();
    let nothing = |verdict: Verdict, entry: Entry| Outcome {
        entry,
        verdict,
        seen: Vec::new(),
        heard: Vec::new(),
        unasked: Vec::new(),
        notes: Vec::new(),
        took: began.elapsed(),
    };
    let Some(case) = group::find(&entry.id) else {
        return nothing(Verdict::NotWritten, entry);
    };
    if let Some(why) = lacks(subject, case) {
        return nothing(Verdict::NotApplicable(why), entry);
    }
    let shown = play(subject, kit, case, None).await;
    Outcome {
        seen: shown.seen,
        heard: shown.heard,
        unasked: shown.unasked,
        notes: shown.notes,
        ..nothing(shown.verdict, entry)
    }
}

/// The words of a case's configuration.
fn words(entry: &Entry) -> Vec<&'static str> {
    let words = group::find(&entry.id).map(|case| Setting::of(case).words);
    words.iter().flatten().map(|word| word.name).collect()
}

/// Why a case cannot be asked of a subject.
fn lacks(subject: &Subject, case: &Case) -> Option<String> {
    if let Some(why) = subject.lacks(case.needs) {
        return Some(why);
    }
    match subject {
        Subject::Ours(_) => None,
        Subject::Other(other) => other.is_not_so(&Setting::of(case)),
    }
}

/// What playing a case gives.
pub struct Shown {
    /// What became of it.
    pub verdict: Verdict,
    /// What it asked, each with whether the answer was no.
    pub asked: BTreeMap<Site, bool>,
    seen: Vec<Seen>,
    heard: Vec<(&'static str, Heard)>,
    unasked: Vec<Unasked>,
    notes: Vec<String>,
}

impl Shown {
    fn no_stage(why: String) -> Self {
        Self {
            verdict: Verdict::NoStage(why),
            asked: BTreeMap::new(),
            seen: Vec::new(),
            heard: Vec::new(),
            unasked: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// Plays one case on a stage of its own, with a subject that is broken in one way or in none. A case that
/// breaks itself is told as such: left out, it would look as if nothing had been wrong.
pub async fn play(
    subject: &Subject,
    kit: &Arc<Kit>,
    case: &'static Case,
    mutation: Option<Mutation>,
) -> Shown {
    let (own, kit) = (subject.clone(), Arc::clone(kit));
    let asked = Asked::default();
    let noted = asked.clone();
    let work = async move { noted.of(on_stage(&own, &kit, case, mutation)).await };
    let played = survived(work).await;
    let mut shown = played.unwrap_or_else(Shown::no_stage);
    shown.asked = asked.sites();
    if let Err(left) = subject.is_put_back().await {
        shown.verdict = shown.verdict.with(left);
    }
    shown
}

/// What comes of some work, or how it broke.
async fn survived<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, String> {
    // With whoever waits for it ends what is done.
    let mut works = JoinSet::new();
    works.spawn(work);
    match works.join_next().await {
        Some(Ok(done)) => Ok(done),
        Some(Err(fault)) => Err(format!("the case itself broke: {fault}")),
        None => Err("nothing was done".to_owned()),
    }
}

async fn on_stage(
    subject: &Subject,
    kit: &Arc<Kit>,
    case: &Case,
    mutation: Option<Mutation>,
) -> Shown {
    let stage = match Stage::set(subject, kit, case, mutation).await {
        Ok(stage) => stage,
        Err(fault) => return Shown::no_stage(fault.to_string()),
    };
    let limit = match kit.soaks {
        true => SOAK_LIMIT,
        false => LIMIT,
    };
    let played = match timeout(limit, (case.play)(&stage)).await {
        Ok(played) => played,
        Err(_) => Err(Failure::new(
            "ladder",
            format!("not done after {} s", limit.as_secs()),
        )),
    };
    let unasked = stage.unasked(played.as_ref().err());
    let verdict = Verdict::of(stage.judge(played).await);
    let heard = stage
        .ears()
        .iter()
        .map(|ear| (ear.name, ear.heard()))
        .collect();
    let (seen, notes) = (stage.tape.seen(), stage.notes());
    stage.end().await;
    Shown {
        verdict,
        asked: BTreeMap::new(),
        seen,
        heard,
        unasked,
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_written_case_is_in_the_catalogue_once_and_can_fail() {
        let known: BTreeSet<String> = catalogue::read()
            .unwrap()
            .into_iter()
            .map(|e| e.id)
            .collect();
        let mut seen = BTreeSet::new();
        for case in group::WRITTEN.iter().flat_map(|group| group.iter()) {
            assert!(
                known.contains(case.id),
                "{} is not in the catalogue",
                case.id
            );
            assert!(seen.insert(case.id), "{} is written twice", case.id);
            assert!(!case.broken_by.is_empty(), "nothing can fail {}", case.id);
        }
        let seen: BTreeSet<String> = seen.into_iter().map(str::to_owned).collect();
        assert_eq!(seen, known);
    }

    #[tokio::test]
    async fn a_case_that_breaks_itself_is_told() {
        let nobody: Option<u8> = std::env::args().nth(usize::MAX).map(|_| 0);
        let work = async move { nobody.expect("an octet that is not there") };
        let why = survived(work).await.unwrap_err();
        assert!(why.contains("an octet that is not there"), "{why}");
        assert_eq!(survived(async { 1 }).await, Ok(1));
    }

    fn breaks_itself(stage: &Stage) -> case::Play<'_> {
        Box::pin(async move {
            stage.customer("add").await?;
            let nobody: Option<u8> = std::env::args().nth(usize::MAX).map(|_| 0);
            nobody.expect("an octet that is not there");
            Ok(())
        })
    }

    fn ends_badly(stage: &Stage) -> case::Play<'_> {
        Box::pin(async move {
            stage.customer("add").await?;
            stage.customer("remove").await
        })
    }

    #[tokio::test]
    async fn what_could_not_be_taken_back_in_a_case_is_taken_back_after_it() {
        static CASE: Case = case::case("TC-SYS-002", ends_badly, &[]);
        let script = "case $1 in\nadd) : >there ;;\nremove) [ -e once ] || { : >once; exit 1; }; rm there ;;\nesac";
        let fake = fake::Fake::new(&[("customer", script)]);
        let kit = Arc::new(Kit::of(&fake.subject, None).unwrap());
        let shown = play(&fake.subject, &kit, &CASE, None).await;
        assert_eq!(shown.verdict.broken(), ["ladder"], "{:?}", shown.verdict);
        assert!(fake.has("once") && !fake.has("there"));
    }

    #[tokio::test]
    async fn what_a_case_that_breaks_itself_has_done_is_taken_back() {
        static CASE: Case = case::case("TC-SYS-002", breaks_itself, &[]);
        let script = "case $1 in add) : >there ;; remove) rm there; : >gone ;; esac";
        let fake = fake::Fake::new(&[("customer", script)]);
        let kit = Arc::new(Kit::of(&fake.subject, None).unwrap());
        let shown = play(&fake.subject, &kit, &CASE, None).await;
        let Verdict::NoStage(why) = shown.verdict else {
            panic!("{:?}", shown.verdict);
        };
        assert!(why.contains("an octet that is not there"), "{why}");
        assert!(fake.has("gone") && !fake.has("there"), "{why}");
    }

    #[test]
    fn cases_and_groups_are_chosen_by_name() {
        let plan = |only: &[&str]| Plan {
            only: only.iter().map(|word| (*word).to_owned()).collect(),
            at_once: 1,
            network: None,
            soaks: false,
        };
        assert_eq!(chosen(&plan(&[])).unwrap().len(), 235);
        assert_eq!(chosen(&plan(&["inb"])).unwrap().len(), 28);
        assert_eq!(chosen(&plan(&["TC-INB-001", "opt-006"])).unwrap().len(), 2);
        assert!(chosen(&plan(&["INB-999"])).unwrap_err().contains("INB-999"));
    }
}
