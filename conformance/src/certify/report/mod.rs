//! What was run, written down for people and programs.

mod exchange;
pub mod html;
pub mod json;
pub mod junit;
pub mod ladder;
pub mod table;

use super::Outcome;
use super::again::Unlike;
use crate::impair::Network;
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
    /// The network between peers and subject, where it was a bad one.
    pub network: Option<Network>,
    /// Every case, in the order of the catalogue.
    pub outcomes: Vec<Outcome>,
    /// How often everything was played; the outcomes are those of the first time.
    pub times: usize,
    /// Cases that did not go the same way each time.
    pub unlike: Vec<Unlike>,
}

/// How many cases ended in which way.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Everything was right.
    pub passed: usize,
    /// Something was wrong.
    pub failed: usize,
    /// The run could not play them, so nothing is known.
    pub unplayed: usize,
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
                Verdict::Failed(_) => counts.failed += 1,
                Verdict::NoStage(_) => counts.unplayed += 1,
                Verdict::NotApplicable(_) => counts.not_applicable += 1,
                Verdict::NotWritten => counts.not_written += 1,
            }
        }
        counts
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.passed + self.failed + self.unplayed + self.not_applicable + self.not_written
    }
}

impl Run {
    /// What was certified, and over which network.
    pub fn title(&self) -> String {
        match &self.network {
            Some(network) => format!("{} over a network with {network}", self.subject),
            None => self.subject.clone(),
        }
    }

    /// Whether cases were played, all that had to be could be, no mandatory one failed, and what was played again went the
    /// same way.
    pub fn is_good(&self) -> bool {
        self.was_played() && !self.has_failed() && !self.is_partial() && self.unlike.is_empty()
    }

    /// Whether nothing is known to be wrong with the subject, but cases could not be played.
    pub fn is_unknown(&self) -> bool {
        self.is_partial() && !self.has_failed() && self.unlike.is_empty()
    }

    fn is_partial(&self) -> bool {
        Counts::of(self.outcomes.iter()).unplayed > 0
    }

    /// What playing everything again has shown; none if it was played once.
    pub fn repeated(&self) -> Option<String> {
        match (self.times, self.unlike.len()) {
            (..=1, _) => None,
            (times, 0) => Some(format!(
                "played {times} times, each case with the same verdict"
            )),
            (times, unlike) => Some(format!(
                "played {times} times, and the verdicts of {unlike} cases differ"
            )),
        }
    }

    /// What the run shows as a whole. What was not played is never taken for passed.
    pub fn conclusion(&self) -> String {
        let unplayed = match Counts::of(self.outcomes.iter()).unplayed {
            0 => String::new(),
            1 => "; 1 case could not be played".to_owned(),
            some => format!("; {some} cases could not be played"),
        };
        let words = match (self.has_failed(), self.was_played()) {
            (true, _) => "a mandatory case failed",
            (false, true) => "no mandatory case failed",
            (false, false) => return format!("no case was played, so nothing is known{unplayed}"),
        };
        let words = words.to_owned() + &unplayed;
        let all = self.outcomes.iter();
        let counts = Counts::of(all.filter(|one| one.entry.severity.is_mandatory()));
        let repeated = self.repeated().map(|said| format!("; {said}"));
        let words = words + &repeated.unwrap_or_default();
        match (counts.not_applicable, counts.not_written) {
            (0, 0) => words,
            (lacks, unwritten) => format!(
                "{words}; of the mandatory ones {lacks} do not apply and {unwritten} are not written"
            ),
        }
    }

    fn has_failed(&self) -> bool {
        let bad = |one: &Outcome| {
            matches!(one.verdict, super::verdict::Verdict::Failed(_))
                && one.entry.severity.is_mandatory()
        };
        self.outcomes.iter().any(bad)
    }

    /// What nobody wrote, or the subject does not have, shows nothing.
    fn was_played(&self) -> bool {
        let counts = Counts::of(self.outcomes.iter());
        counts.passed + counts.failed > 0
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certify::catalogue;
    use crate::certify::evidence::{From, Seen, Side};
    use crate::certify::verdict::{Failure, Verdict};
    use crate::peer::message::Message;

    fn run(verdicts: &[Verdict]) -> Run {
        let entries = catalogue::read().unwrap().into_iter();
        let mandatory = entries.filter(|entry| entry.severity.is_mandatory());
        let outcomes = verdicts
            .iter()
            .zip(mandatory)
            .map(|(verdict, entry)| Outcome {
                entry,
                verdict: verdict.clone(),
                seen: Vec::new(),
                heard: Vec::new(),
                unasked: Vec::new(),
                notes: Vec::new(),
                took: Duration::ZERO,
            });
        Run {
            subject: "an SBC".to_owned(),
            version: "1".to_owned(),
            began: 0,
            took: Duration::ZERO,
            network: None,
            outcomes: outcomes.collect(),
            times: 1,
            unlike: Vec::new(),
        }
    }

    #[test]
    fn a_run_in_which_nothing_was_played_is_not_good() {
        let absent = Verdict::NotApplicable("it has no bypass".to_owned());
        let failed = Verdict::Failed(vec![Failure::new("G1", "no Contact")]);
        let no_stage = Verdict::NoStage("no port".to_owned());
        for (verdicts, is_good, says) in [
            (&[][..], false, "nothing is known"),
            (
                &[Verdict::NotWritten, absent.clone()],
                false,
                "nothing is known",
            ),
            (
                &[Verdict::NotWritten, Verdict::Passed],
                true,
                "no mandatory case failed",
            ),
            (&[Verdict::Passed, failed], false, "a mandatory case failed"),
            (
                &[Verdict::Passed, no_stage.clone()],
                false,
                "no mandatory case failed; 1 case could not be played",
            ),
            (
                &[no_stage.clone(), no_stage],
                false,
                "nothing is known; 2 cases could not be played",
            ),
        ] {
            let run = run(verdicts);
            assert_eq!(run.is_good(), is_good, "{verdicts:?}");
            assert!(run.conclusion().contains(says), "{verdicts:?}");
            let mut table = Vec::new();
            table::write(&run, &mut table).unwrap();
            assert!(String::from_utf8(table).unwrap().contains(says));
            let class = if is_good { "passed" } else { "failed" };
            let verdict = format!("<b class=\"{class}\">{}</b>", run.conclusion());
            assert!(html::of(&run).contains(&verdict), "{verdicts:?}");
        }
    }

    #[test]
    fn what_the_run_could_not_play_is_no_failure_of_the_subject() {
        let failed = Verdict::Failed(vec![Failure::new("G1", "no Contact")]);
        let no_stage = Verdict::NoStage("no port".to_owned());
        assert!(!run(&[failed, no_stage.clone()]).is_unknown());
        assert!(!run(&[Verdict::Passed]).is_unknown());
        let run = run(&[Verdict::Passed, no_stage]);
        assert!(run.is_unknown());
        let json = json::of(&run);
        assert_eq!(json["mandatory"]["failed"], 0);
        assert_eq!(json["mandatory"]["not_played"], 1);
        assert_eq!(json["cases"][1]["verdict"], "could not be played");
        let junit = junit::of(&run);
        assert!(junit.contains("failures=\"0\" errors=\"1\""), "{junit}");
        assert!(junit.contains("<error message=\"could not be played: no port\""));
        let html = html::of(&run);
        assert!(
            html.contains("<b class=\"open\">could not be played</b>"),
            "{html}"
        );
        let mut table = Vec::new();
        table::write(&run, &mut table).unwrap();
        let table = String::from_utf8(table).unwrap();
        assert!(
            table.contains("could not be played\n  no port\n"),
            "{table}"
        );
    }

    #[test]
    fn build_servers_get_mark_severity_and_requirements_of_each_case() {
        let run = run(&[Verdict::Passed]);
        let entry = &run.outcomes[0].entry;
        let junit = junit::of(&run);
        let mut wanted = vec![
            ("mark", entry.mark.as_str()),
            ("severity", entry.severity.name()),
        ];
        wanted.extend(
            entry
                .requirements
                .iter()
                .map(|one| ("requirement", one.as_str())),
        );
        assert!(wanted.len() > 2);
        for (name, value) in wanted {
            let property = format!("<property name=\"{name}\" value=\"{value}\"/>");
            assert_eq!(junit.matches(&property).count(), 1, "{property} in {junit}");
        }
    }

    #[test]
    fn a_run_that_does_not_repeat_itself_is_not_good_and_says_where() {
        let failed = Verdict::Failed(vec![Failure::new("G1", "no Contact")]);
        let (first, second) = (
            run(&[Verdict::Passed, failed.clone()]),
            run(&[failed.clone(), failed]),
        );
        let again = [first.outcomes.clone(), second.outcomes];
        let mut all = run(&[Verdict::Passed, Verdict::Passed]);
        assert!(all.is_good() && all.repeated().is_none());
        (all.times, all.unlike) = (2, super::super::again::unlike(&again));
        let id = all.outcomes[0].entry.id.clone();
        assert!(!all.is_good());
        let mut table = Vec::new();
        table::write(&all, &mut table).unwrap();
        let table = String::from_utf8(table).unwrap();
        let told = format!("{id} went differently: passed, then failed (G1)");
        assert_eq!(table.matches(&told).count(), 1, "{table}");
        assert!(table.contains("played 2 times, and the verdicts of 1 cases differ"));
        let json = json::of(&all);
        assert_eq!(json["times"], 2);
        assert_eq!(json["unlike"][0]["id"], id);
        assert_eq!(json["unlike"][0]["went"][1], "failed (G1)");
        assert_eq!(json["unlike"][0]["reasons"][0], serde_json::json!([]));
        let found = json["unlike"][0]["reasons"][1][0].as_str().unwrap();
        assert!(found.starts_with("G1: "), "{found}");
        assert!(html::of(&all).contains(&told) && junit::of(&all).contains(&told));
    }

    /// What a subject says that means harm to whoever reads of it.
    const HARM: &str = "</pre></script><script>alert(1)</script><img src=x onerror=\"alert('2')\"> \u{1b}[2J\u{9b}31m\u{202e}";

    #[test]
    fn what_a_subject_says_is_shown_and_never_obeyed() {
        let message = format!(
            "SIP/2.0 603 {HARM}\r\nVia: SIP/2.0/TLS h\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nReason: Q.850;text=\"{HARM}\"\r\n\
             Content-Type: application/sdp\r\n\r\nv=0\r\ns={HARM}\r\nm=audio 1 RTP/AVP 8\r\n"
        );
        let message = Message::parse(message.as_bytes());
        let seen = |from, message: Result<Message, String>| Seen {
            at: Duration::ZERO,
            side: Side::Teams,
            peer: format!("peer {HARM}"),
            from,
            is_secured: true,
            is_repeated: false,
            message,
        };
        let message = message.map_err(|fault| fault.to_string());
        assert!(message.is_ok(), "{message:?}");
        let failed = Verdict::Failed(vec![Failure::new("G1", HARM)]);
        let mut all = run(&[failed.clone(), Verdict::NotApplicable(HARM.to_owned())]);
        all.subject = HARM.to_owned();
        all.outcomes[0].notes.push(HARM.to_owned());
        all.outcomes[0].seen = vec![
            seen(From::Peer, message.clone()),
            seen(From::Subject, message),
            seen(From::Subject, Err(HARM.to_owned())),
        ];
        let once = run(&[Verdict::Passed, Verdict::Passed]).outcomes;
        all.unlike = super::super::again::unlike(&[all.outcomes.clone(), once]);
        let page = html::of(&all);
        for tag in ["<script", "<img", "</script", "javascript:"] {
            assert!(!page.contains(tag), "{tag} in {page}");
        }
        // It is all there: in the title, the reasons, the remarks, the ladder with the message, the descriptions.
        assert!(
            page.matches("&lt;script&gt;alert(1)&lt;/script&gt;")
                .count()
                > 10
        );
        assert!(page.contains("default-src 'none'") && !page.contains("http://"));
        assert!(!page.contains("https://") && !page.contains("url("));
        let ids = all.outcomes[0].entry.requirements.join(", ");
        assert!(page.contains(&ids) && page.contains("G1: "), "{ids}");
        let mut table = Vec::new();
        table::write(&all, &mut table).unwrap();
        let texts = [page, String::from_utf8(table).unwrap(), junit::of(&all)];
        for text in texts {
            assert!(text.contains("alert(1)"));
            let is_obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
            assert!(!text.contains(is_obeyed), "{text:?}");
        }
    }

    #[test]
    fn of_several_runs_the_one_that_went_wrong_is_shown() {
        let failed = Verdict::Failed(vec![Failure::new("G1", "no Contact")]);
        let first = run(&[Verdict::Passed, Verdict::Passed]).outcomes;
        let mut second = run(&[Verdict::Passed, failed.clone()]).outcomes;
        let shown = super::super::again::shown(vec![first.clone(), second.clone()]);
        let verdicts: Vec<_> = shown.iter().map(|one| one.verdict.clone()).collect();
        assert_eq!(verdicts, [Verdict::Passed, failed]);
        // What is missing in one of them is not the same either.
        second.truncate(1);
        let unlike = super::super::again::unlike(&[first, second]);
        assert_eq!(unlike.len(), 1);
        assert_eq!(unlike[0].went, ["passed", "not played"]);
    }

    #[test]
    fn what_was_not_asked_is_said_in_every_form() {
        use crate::certify::verdict::Unasked;
        let mut run = run(&[Verdict::Passed, Verdict::Passed]);
        for outcome in &mut run.outcomes {
            outcome.unasked.push(Unasked {
                rule: "G12",
                why: "nobody can look".to_owned(),
            });
        }
        run.outcomes[1].notes.push("short form: 5 calls".to_owned());
        run.outcomes[1].entry.differs = Some("408, as annex B has it".to_owned());
        let (first, second) = (&run.outcomes[0].entry.id, &run.outcomes[1].entry.id);
        let mut table = Vec::new();
        table::write(&run, &mut table).unwrap();
        let table = String::from_utf8(table).unwrap();
        let both = format!("G12 not asked: nobody can look\n  {first}, {second}\n");
        assert!(table.contains(&both), "{table}");
        let one = format!("short form: 5 calls\n  {second}\n");
        assert!(table.contains(&one), "{table}");
        let json = json::of(&run);
        let cases = json["cases"].as_array().unwrap();
        for case in cases {
            assert_eq!(case["not_asked"][0]["rule"], "G12");
            assert_eq!(case["not_asked"][0]["why"], "nobody can look");
        }
        assert_eq!(cases[1]["notes"][0], "short form: 5 calls");
        assert_eq!(cases[1]["differs"], "408, as annex B has it");
        let differs = "differs from the catalogue: 408, as annex B has it";
        assert!(
            table.contains(&format!("{differs}\n  {second}\n")),
            "{table}"
        );
        for text in [junit::of(&run), html::of(&run)] {
            assert_eq!(text.matches("G12 not asked: nobody can look").count(), 2);
            assert_eq!(text.matches("short form: 5 calls").count(), 1);
            assert_eq!(text.matches(differs).count(), 1);
        }
    }
}
