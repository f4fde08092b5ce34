//! `causeway certify run` and `certify self-test`: the certification run for Direct Routing.

use crate::command::exit;
use conformance::certify::report::{self, Run};
use conformance::certify::selftest::{self, Found, TrialResult};
use conformance::certify::subject::{Other, Subject, example};
use conformance::certify::word::Word;
use conformance::certify::{self, Plan, again};
use conformance::impair::{Impairment, Network};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Exit code when a mandatory case failed, none was played, or one did not go the same way each time.
const FAILED: u8 = 1;
/// Exit code when none failed, and some could not be played: nothing is known of the subject there.
const UNPLAYED: u8 = 2;

/// Arguments of `causeway certify run`.
#[derive(clap::Args, Clone, PartialEq, Debug)]
pub struct Certification {
    /// Cases or groups, such as TC-INB-001 or OPT; all if none are given
    pub only: Vec<String>,
    /// Certify another SBC, described in this file (see --subject-example)
    #[arg(long, value_name = "FILE")]
    pub subject: Option<PathBuf>,
    /// Print an example of such a file, with what has to be configured for each of its words, and end
    #[arg(long)]
    pub subject_example: bool,
    /// Print how Causeway itself is configured to be the SBC of that file, as these words of "has" say, and end
    #[arg(
        long,
        value_name = "WORDS",
        requires = "subject",
        num_args = 0..=1,
        default_missing_value = "",
        value_delimiter = ','
    )]
    pub configuration: Option<Vec<String>>,
    /// List the cases instead of running them; with --json as one JSON object
    #[arg(long, conflicts_with_all = ["json_file", "junit", "html"])]
    pub list: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Write the report as JSON into this file
    #[arg(long, value_name = "FILE")]
    pub json_file: Option<PathBuf>,
    /// Write the report as JUnit XML into this file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the report as one HTML page into this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Cases at the same time; one with --soak if it is not given, since load would disturb the others
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        default_value_if("soak", "true", "1")
    )]
    pub at_once: usize,
    /// Play long cases in full: an hour of calls, ten thousand wrong INVITEs, a long flood. Without, they
    /// have a short form, and the report says so
    #[arg(long)]
    pub soak: bool,
    /// Play everything so often, and fail where the verdicts of a case differ
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub repeat: u8,
    /// Over which network
    #[command(flatten)]
    pub over: Over,
}

/// The network between peers and subject.
#[derive(clap::Args, Clone, Copy, PartialEq, Debug)]
pub struct Over {
    /// A bad network between peers and subject, in both directions on both sides: percent of the datagrams that
    /// are lost, jitter in milliseconds, percent that are overtaken, such as loss=2,jitter=30,reorder=1
    #[arg(long, value_name = "HOW", value_parser = Impairment::parse)]
    pub impair: Option<Impairment>,
    /// What decides which datagrams meet which fate; another in every run if it is not given
    #[arg(long, value_name = "NUMBER", requires = "impair")]
    pub seed: Option<u64>,
}

impl Over {
    /// The network, if it is a bad one; it is told, so that the run can be repeated.
    fn network(self) -> Option<Network> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH);
        // Short enough to be typed again.
        let random = clock.map_or(0, |since| since.subsec_micros());
        let network = Network {
            impairment: self.impair?,
            seed: self.seed.unwrap_or(random.into()),
        };
        eprintln!("over a network with {network}");
        Some(network)
    }
}

/// Arguments of `causeway certify self-test`.
#[derive(clap::Args, Clone, PartialEq, Debug)]
pub struct SelfTest {
    /// Cases or groups, such as TC-INB-001 or OPT; all if none are given
    pub only: Vec<String>,
    /// Of all ways to break the subject only every N-th, beginning with the K-th: K/N
    #[arg(long, value_name = "K/N", value_parser = shard)]
    pub shard: Option<(usize, usize)>,
    /// Cases at the same time
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub at_once: usize,
    /// Over which network
    #[command(flatten)]
    pub over: Over,
}

/// `2/5`: the second of five parts.
fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text
        .split_once('/')
        .and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((k, n)) if (1..=n).contains(&k) => Ok((k, n)),
        _ => Err("write K/N with K from 1 to N, such as 1/4".to_owned()),
    }
}

/// Runs the certification. Returns 0 when cases were played, no mandatory one failed, and what was repeated went the same
/// way, else 1; 2 where none failed and some could not be played, and for words that mean no case.
///
/// # Errors
/// What `out` says.
pub fn run(arguments: &Certification, out: &mut dyn Write) -> io::Result<u8> {
    if arguments.subject_example {
        write!(out, "{}", example())?;
        return Ok(exit::OK);
    }
    let plan = Plan {
        only: arguments.only.clone(),
        at_once: arguments.at_once,
        network: arguments.over.network(),
        soaks: arguments.soak,
    };
    let entries = match certify::chosen(&plan) {
        Ok(entries) => entries,
        Err(why) => return usage(&why),
    };
    if arguments.list && arguments.json {
        writeln!(out, "{:#}", report::json::list(&entries))?;
        return Ok(exit::OK);
    }
    if arguments.list {
        for entry in entries {
            let written = match certify::group::find(&entry.id) {
                Some(_) => "written",
                None => "not written",
            };
            let (id, severity, mark, title) =
                (entry.id, entry.severity.name(), entry.mark, entry.title);
            writeln!(
                out,
                "{id:10}  {severity:7}  {mark:5}  {written:11}  {title}"
            )?;
        }
        return Ok(exit::OK);
    }
    let subject = match &arguments.subject {
        None => Subject::Ours(std::env::current_exe()?),
        Some(path) => match Other::read(path) {
            Ok(other) => Subject::Other(Box::new(other)),
            Err(fault) => return usage(&fault.to_string()),
        },
    };
    if let (Some(words), Subject::Other(other)) = (&arguments.configuration, &subject) {
        return configuration(other, words, out);
    }
    // Before anything is played: nobody wants to know an hour later.
    let mut files = Vec::new();
    for (path, text) in [
        (&arguments.json_file, as_json as fn(&Run) -> String),
        (&arguments.junit, report::junit::of),
        (&arguments.html, report::html::of),
    ] {
        let Some(path) = path else { continue };
        match Report::open(path) {
            Ok(file) => files.push((file, text)),
            Err(why) => return usage(&format!("cannot write {}: {why}", path.display())),
        }
    }
    let began = Instant::now();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    let tell = |outcome: &certify::Outcome, done: usize, total: usize| {
        eprintln!("{}", report::table::progress(outcome, done, total));
    };
    let runtime = runtime()?;
    let mut runs = Vec::new();
    for _ in 0..arguments.repeat {
        match runtime.block_on(certify::run(&subject, entries.clone(), &plan, tell)) {
            Ok(outcomes) => runs.push(outcomes),
            Err(why) => return failed(&why),
        }
    }
    let unlike = again::unlike(&runs);
    let run = Run {
        subject: subject.name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        began: clock.map_or(0, |since| since.as_secs()),
        took: began.elapsed(),
        network: plan.network,
        times: runs.len(),
        outcomes: again::shown(runs),
        unlike,
    };
    match arguments.json {
        true => write!(out, "{}", as_json(&run))?,
        false => report::table::write(&run, out)?,
    }
    for (file, text) in files {
        let path = file.path.display().to_string();
        if let Err(why) = file.write(&text(&run)) {
            return failed(&format!("cannot write {path}: {why}"));
        }
    }
    Ok(match (run.is_good(), run.is_unknown()) {
        (true, _) => exit::OK,
        (false, true) => UNPLAYED,
        (false, false) => FAILED,
    })
}

fn as_json(run: &Run) -> String {
    format!("{:#}\n", report::json::of(run))
}

/// A file for a report, open before there is one. What was in it before stays until then.
struct Report<'p> {
    path: &'p Path,
    file: File,
}

impl<'p> Report<'p> {
    fn open(path: &'p Path) -> io::Result<Self> {
        let mut how = File::options();
        let file = how.create(true).write(true).truncate(false).open(path)?;
        Ok(Self { path, file })
    }

    fn write(mut self, text: &str) -> io::Result<()> {
        // Pipes and terminals have no length.
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.write_all(text.as_bytes())
    }
}

/// Prints how our daemon is configured to be an SBC of a file, as these words say.
fn configuration(other: &Other, words: &[String], out: &mut dyn Write) -> io::Result<u8> {
    let named = words.iter().filter(|word| !word.is_empty());
    let named = named.map(|word| Word::named(word).ok_or(word));
    match named.collect::<Result<Vec<Word>, _>>() {
        Ok(words) => write!(out, "{}", other.configuration(&words))?,
        Err(word) => {
            let known: Vec<&str> = Word::all().iter().map(|word| word.name).collect();
            let known = known.join(", ");
            return usage(&format!(
                "--configuration: \"{word}\" is unknown; write some of {known}"
            ));
        }
    }
    Ok(exit::OK)
}

/// Breaks the subject in every way that the cases name. Returns 0 when some were played, each of these was noticed, and of
/// each case that was played in all its ways every requirement of its row was broken by one, else 1.
///
/// # Errors
/// What `out` says.
pub fn self_test(arguments: &SelfTest, out: &mut dyn Write) -> io::Result<u8> {
    let plan = Plan {
        only: arguments.only.clone(),
        at_once: arguments.at_once,
        network: arguments.over.network(),
        soaks: false,
    };
    let entries = match certify::chosen(&plan) {
        Ok(entries) => entries,
        Err(why) => return usage(&why),
    };
    let mut trials = selftest::trials(|id| entries.iter().any(|entry| entry.id == id));
    if let Some((k, n)) = arguments.shard {
        let all = trials.into_iter().enumerate();
        trials = all
            .filter(|(index, _)| index % n == k - 1)
            .map(|(_, one)| one)
            .collect();
    }
    let subject = Subject::Ours(std::env::current_exe()?);
    let tell = |found: &Found, done: usize, total: usize| {
        eprintln!("[{done:3}/{total}] {}", line(found));
    };
    let played = runtime()?.block_on(selftest::run(&subject, trials, &plan, tell));
    let found = match played {
        Ok(found) => found,
        Err(why) => return failed(&why),
    };
    let of = |result: TrialResult| found.iter().filter(move |one| one.result == result);
    let missed: Vec<&Found> = of(TrialResult::Bad).collect();
    for one in &missed {
        writeln!(out, "\n{}", line(one))?;
        for reason in one.verdict.reasons() {
            writeln!(out, "  {reason}")?;
        }
    }
    let (good, unplayed) = (
        of(TrialResult::Good).count(),
        of(TrialResult::NotPlayed).count(),
    );
    let played = found.len() - unplayed;
    writeln!(out, "{good} of {played} trials went as they must")?;
    if unplayed > 0 {
        let mut cases: Vec<&str> = of(TrialResult::NotPlayed).map(|one| one.id).collect();
        cases.dedup();
        let cases = cases.join(", ");
        writeln!(
            out,
            "{unplayed} trials do not apply, so nothing is known of them: {cases}"
        )?;
    }
    for (site, cases) in selftest::unfailed(&found) {
        let cases: Vec<&str> = cases.into_iter().collect();
        let cases = cases.join(", ");
        writeln!(out, "no way to break the subject fails {site}: {cases}")?;
    }
    for one in found.iter().filter(|one| !one.kept.is_empty()) {
        let kept: Vec<&str> = one.kept.iter().copied().collect();
        let (id, number, kept) = (one.id, one.number, kept.join(", "));
        writeln!(out, "{id} way {number}: said to follow, but kept: {kept}")?;
    }
    let unproven = selftest::unproven(&found);
    for (id, requirements) in &unproven {
        let requirements = requirements.join(", ");
        writeln!(
            out,
            "{id}: no way to break the subject fails what its row names: {requirements}"
        )?;
    }
    let is_good = missed.is_empty() && unproven.is_empty() && good > 0;
    Ok(if is_good { exit::OK } else { FAILED })
}

fn line(found: &Found) -> String {
    let Found {
        id, number, rule, ..
    } = found;
    match (found.result, rule) {
        (TrialResult::NotPlayed, _) => format!("{id} way {number}: not applicable, not played"),
        (TrialResult::Good, Some(rule)) => format!("{id} way {number}: {rule} noticed"),
        (TrialResult::Bad, Some(rule))
            if !found.strays.is_empty() && found.verdict.broken().contains(rule) =>
        {
            let strays: Vec<&str> = found.strays.iter().map(String::as_str).collect();
            format!(
                "{id} way {number}: {rule} noticed, but BROKEN with it: {}",
                strays.join(", ")
            )
        }
        (TrialResult::Bad, Some(rule)) => format!("{id} way {number}: {rule} MISSED"),
        (TrialResult::Good, None) => format!("{id} as it is: good"),
        (TrialResult::Bad, None) => format!("{id} as it is: BROKEN, so that nothing can be shown"),
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

fn usage(why: &str) -> io::Result<u8> {
    eprintln!("causeway certify: {why}");
    Ok(exit::USAGE)
}

fn failed(why: &str) -> io::Result<u8> {
    eprintln!("causeway certify: {why}");
    Ok(FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: Certification,
    }

    #[test]
    fn a_list_goes_into_no_report() {
        for words in [["--junit", "a"], ["--html", "a"], ["--json-file", "a"]] {
            let words = ["run", "--list", words[0], words[1]];
            assert!(Line::try_parse_from(words).is_err(), "{words:?}");
        }
        let mut out = Vec::new();
        let line = Line::try_parse_from(["run", "--list", "--json", "XFR-001"]).unwrap();
        assert_eq!(run(&line.run, &mut out).unwrap(), exit::OK);
        let list: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(list["cases"][0]["id"], "TC-XFR-001");
        assert_eq!(list["cases"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn a_file_that_cannot_be_written_ends_a_run_before_it_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/report.html");
        let words = ["run", "--html", path.to_str().unwrap()];
        let line = Line::try_parse_from(words).unwrap();
        let mut out = Vec::new();
        let began = Instant::now();
        assert_eq!(run(&line.run, &mut out).unwrap(), exit::USAGE);
        assert!(out.is_empty() && began.elapsed().as_secs() < 5);
    }

    #[test]
    fn a_report_takes_the_place_of_a_longer_one_when_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        std::fs::write(&path, "what was found before").unwrap();
        let report = Report::open(&path).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "what was found before"
        );
        report.write("{}").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}");
    }

    #[test]
    fn long_cases_are_played_one_at_a_time_unless_somebody_says_otherwise() {
        for (words, wanted) in [
            (&["run"][..], 8),
            (&["run", "--soak"], 1),
            (&["run", "--soak", "--at-once", "3"], 3),
        ] {
            let line = Line::try_parse_from(words).unwrap();
            assert_eq!(line.run.at_once, wanted, "{words:?}");
        }
    }
}
