//! Documents for operators say what the program does: every command in them parses, and every name in them exists.
//!
//! | in a document | is |
//! |---|---|
//! | a block `sh` | commands to type, one a line; a line that ends with `\` goes on |
//! | a block `toml` | configuration, which the loader reads |
//! | a block `text` | what is printed |
//! | `code` in a sentence | a command, a name of the reference, a line of configuration, or a word of the sources |

use crate::Cli;
use causeway::command::documents::{Document, GUIDES, RUNBOOKS};
use causeway::sink::metrics;
use causeway::sink::news::Kind;
use clap::{CommandFactory, Parser};
use sbc_core::cause::CauseCode;
use sbc_core::config::{Assumed, Code, Source, load, reference};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Commands of others that documents may have.
const OTHERS: &[&str] = &[
    "Get-CsOnlinePSTNGateway",
    "New-CsOnlinePSTNGateway",
    "apt",
    "apt-cache",
    "chronyc",
    "curl",
    "date",
    "df",
    "dpkg",
    "getent",
    "install",
    "ip",
    "journalctl",
    "mkdir",
    "nft",
    "openssl",
    "promtool",
    "rm",
    "ss",
    "sudoedit",
    "sysctl",
    "systemctl",
    "systemd-analyze",
    "tar",
    "tcpdump",
    "timedatectl",
    "tshark",
    "usermod",
];
/// What each runbook has, in this order.
const SECTIONS: [&str; 6] = [
    "What you see",
    "First command",
    "Decide",
    "Remedies",
    "It is over when",
    "For support",
];
const ALERTS: &str = include_str!("monitoring/alerts.yml");

/// Everything that may be named.
struct Known {
    metrics: BTreeMap<String, BTreeSet<String>>,
    alerts: BTreeSet<String>,
    causes: BTreeSet<&'static str>,
    events: BTreeSet<&'static str>,
    findings: BTreeSet<&'static str>,
    /// Tables as they are written, and the keys of each.
    tables: Vec<(String, BTreeSet<String>)>,
    /// Words in quotes in the sources: codes of the log, values of labels, states.
    words: BTreeSet<String>,
}

/// The name and the annotation `runbook` of each alert.
fn alerts() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in ALERTS.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            all.push((name.to_owned(), String::new()));
        }
        if let Some(command) = line.strip_prefix("runbook: ") {
            let last = all.last_mut().unwrap();
            assert!(last.1.is_empty(), "{} has two runbooks", last.0);
            command.trim_matches('"').clone_into(&mut last.1);
        }
    }
    all
}

/// Adds what stands in quotes in each file of a folder.
fn words_of(folder: &Path, words: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // What this file has in quotes is no proof of anything.
        if path.is_dir() {
            words_of(&path, words);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("drift.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            words.extend(text.split('"').map(str::to_owned).filter(|word| {
                let is_of_word = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
                word.len() > 1 && word.chars().all(is_of_word)
            }));
        }
    }
}

impl Known {
    fn new() -> Self {
        let mut metrics: BTreeMap<String, BTreeSet<String>> = metrics::catalogue()
            .unwrap()
            .into_iter()
            .flat_map(|metric| {
                let labels: BTreeSet<String> = metric.labels.into_iter().collect();
                let ends: &[&str] = match metric.kind {
                    "histogram" => &["", "_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                let named = ends.iter().map(move |end| format!("{}{end}", metric.name));
                named.map(move |name| (name, labels.clone()))
            })
            .collect();
        // Of the exporter that Prometheus has for hosts.
        for name in ["node_timex_offset_seconds", "node_timex_sync_status"] {
            metrics.insert(name.to_owned(), BTreeSet::new());
        }
        let tables = reference().into_iter().map(|table| {
            let keys = table.keys.into_iter().map(|key| key.key).collect();
            (table.table, keys)
        });
        let mut words = BTreeSet::new();
        for folder in [
            "src",
            "../sbc-core/src",
            "../media-relay/src",
            "../media-relay/api/src",
        ] {
            words_of(
                &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
                &mut words,
            );
        }
        Self {
            metrics,
            alerts: alerts().into_iter().map(|(name, _)| name).collect(),
            causes: CauseCode::ALL.map(CauseCode::as_str).into(),
            events: Kind::ALL.map(Kind::as_str).into(),
            findings: Code::ALL.iter().map(|code| code.as_str()).collect(),
            tables: tables.collect(),
            words,
        }
    }

    /// What is wrong with a piece of code in a sentence.
    fn judge(&self, code: &str) -> Result<(), String> {
        let first = code.split(' ').next().unwrap_or_default();
        let is_key = |name: &str| {
            let mut tables = self.tables.iter();
            tables.any(|(table, keys)| {
                let table = table.trim_matches(['[', ']']);
                let own = name.strip_prefix(table).and_then(|n| n.strip_prefix('.'));
                keys.contains(name) || own.is_some_and(|own| keys.contains(own))
            })
        };
        let is_finding = code.len() == 5 && code.starts_with(['E', 'W']);
        let is_finding = is_finding && code[1..].bytes().all(|octet| octet.is_ascii_digit());
        let exists = |is_there: bool, what: &str| match is_there {
            true => Ok(()),
            false => Err(format!("there is no {what} `{code}`")),
        };
        if first == "causeway" {
            return parses(code).or_else(|why| match is_command(code) {
                true => Ok(()),
                false => Err(why),
            });
        }
        if let Some(option) = first.strip_prefix("--") {
            return exists(has_option(&Cli::command(), option), "option");
        }
        if ["sbc_", "process_", "node_"]
            .iter()
            .any(|own| code.starts_with(own))
        {
            return self.judge_metric(code);
        }
        if code.starts_with("Sbc") {
            return exists(self.alerts.contains(code), "alert");
        }
        if is_finding {
            return exists(self.findings.contains(code), "finding");
        }
        if code.contains(" = ") {
            return self.judge_line(code);
        }
        if code.starts_with('[') {
            let mut tables = self.tables.iter();
            let name = code.trim_matches(['[', ']']);
            let is_named =
                tables.any(|(table, _)| table == code) || name.contains('.') && is_key(name);
            return exists(is_named, "table");
        }
        if code.starts_with('/') || OTHERS.contains(&first) {
            return Ok(());
        }
        let is_status =
            code.len() == 3 && code.parse::<u16>().is_ok_and(|n| (100..700).contains(&n));
        let is_known = is_status
            || self.causes.contains(code)
            || self.events.contains(code)
            || is_key(code)
            || self.words.contains(code.trim_matches('"'));
        exists(
            is_known,
            "command, name of the reference or word of the sources",
        )
    }

    /// A metric, or one with values of labels.
    fn judge_metric(&self, code: &str) -> Result<(), String> {
        let (name, selection) = code.split_once('{').unwrap_or((code, "}"));
        let labels = self.metrics.get(name);
        let labels = labels.ok_or_else(|| format!("there is no metric `{name}`"))?;
        let parts = selection.trim_end_matches('}').split(", ");
        for part in parts.filter(|part| !part.is_empty()) {
            let (label, value) = part.split_once('=').ok_or_else(|| part.to_owned())?;
            let value = value.trim_matches('"');
            if !labels.contains(label) {
                return Err(format!("{name} has no label {label}"));
            }
            let is_free = ["trunk", "tenant", "realm", "context"].contains(&label);
            if !is_free && !self.words.contains(value) {
                return Err(format!("{label} of {name} is never {value}"));
            }
        }
        Ok(())
    }

    /// A line of configuration, with its table before it or in one that has such a key.
    fn judge_line(&self, code: &str) -> Result<(), String> {
        if code.starts_with('[') {
            let (table, line) = code.split_once(' ').unwrap_or((code, ""));
            return reads(&format!("{table}\n{line}"));
        }
        let (key, value) = code.split_once(" = ").unwrap_or((code, ""));
        let top = key.split('.').next().unwrap_or_default();
        let tables = self.tables.iter().filter(|(_, keys)| keys.contains(top));
        let mut worst = Err(format!("no table has a key `{key}`"));
        for (table, _) in tables {
            worst = reads(&format!("{table}\n{key} = {value}"));
            if worst.is_ok() {
                break;
            }
        }
        worst
    }
}

/// Whether the loader knows all keys of a piece of configuration, and takes their values as they are written.
fn reads(text: &str) -> Result<(), String> {
    let source = Source::new("document", text);
    let findings = match load(&[source], &Assumed::default(), None) {
        Ok(_) => return Ok(()),
        Err(findings) => findings,
    };
    // That the rest of the configuration is not there is no fault of a piece.
    let of_form = |code: Code| {
        [
            "E0001", "E0003", "E0004", "E0006", "E0007", "E0008", "E0009", "E0030", "E0070",
            "E0071",
        ]
        .contains(&code.as_str())
    };
    let wrong = findings.errors.iter().find(|finding| of_form(finding.code));
    wrong.map_or(Ok(()), |finding| {
        Err(format!("{}: {}", finding.code.as_str(), finding.cause))
    })
}

/// Whether a command is one of ours with arguments that it takes.
fn parses(command: &str) -> Result<(), String> {
    match Cli::try_parse_from(words(command)) {
        Ok(_) => Ok(()),
        Err(why) if !why.use_stderr() => Ok(()),
        Err(why) => Err(format!(
            "`{command}`: {}",
            why.to_string().lines().next().unwrap_or_default()
        )),
    }
}

/// Whether a piece of code names a command of ours, without what has to follow.
fn is_command(code: &str) -> bool {
    use clap::error::ErrorKind::{
        DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument, MissingSubcommand,
    };
    let kind = Cli::try_parse_from(words(code)).err().map(|why| why.kind());
    matches!(
        kind,
        Some(
            MissingRequiredArgument | MissingSubcommand | DisplayHelpOnMissingArgumentOrSubcommand
        )
    )
}

/// Whether a command, or one below it, has such an option.
fn has_option(command: &clap::Command, name: &str) -> bool {
    let mut own = command.get_arguments();
    own.any(|argument| argument.get_long() == Some(name))
        || command
            .get_subcommands()
            .any(|below| has_option(below, name))
}

/// The words of a command as a shell would make them, as far as its end, a pipe, or a redirection.
fn words(command: &str) -> Vec<String> {
    let (mut all, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => all.extend(word.take()),
            (None, '|' | '>' | '&' | ';' | '#') if word.is_none() => break,
            _ => word.get_or_insert_default().push(c),
        }
    }
    all.extend(word);
    all
}

/// Language and text of each block, and the sentences between them.
fn parts(text: &str) -> (Vec<(&str, String)>, String) {
    let (mut blocks, mut sentences, mut open) = (Vec::new(), String::new(), None);
    for line in text.lines() {
        match (open.take(), line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => open = Some((language, String::new())),
            (None, None) => {
                sentences.push_str(line);
                sentences.push('\n');
            }
            (Some(block), Some(_)) => blocks.push(block),
            (Some((language, mut block)), None) => {
                block.push_str(line);
                block.push('\n');
                open = Some((language, block));
            }
        }
    }
    assert!(open.is_none(), "a block has no end");
    (blocks, sentences)
}

/// Commands of a block.
fn commands(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .flat_map(|line| line.split(" && ").map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn every() -> impl Iterator<Item = &'static Document> {
    RUNBOOKS.iter().chain(GUIDES)
}

#[test]
fn every_command_in_a_document_is_one_that_this_program_takes() {
    let (mut faults, mut count) = (Vec::new(), 0);
    for own in every() {
        let (blocks, _) = parts(own.text);
        for (language, block) in blocks {
            if !["sh", "toml", "text", "powershell"].contains(&language) {
                faults.push(format!("{}: a block of {language:?}", own.name));
            }
            for command in commands(&block).iter().filter(|_| language == "sh") {
                // A new version that is unpacked beside the one in use.
                let command = command.strip_prefix("/tmp/new/usr/bin/").unwrap_or(command);
                let first = command.split(' ').next().unwrap_or_default();
                count += 1;
                match first {
                    "causeway" => {
                        let judged = parses(command);
                        faults.extend(judged.err().map(|why| format!("{}: {why}", own.name)));
                    }
                    _ if OTHERS.contains(&first) => {}
                    _ => faults.push(format!("{}: {first} is nothing that is there", own.name)),
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 60, "{count}");
}

#[test]
fn every_name_in_a_document_exists() {
    let known = Known::new();
    let (mut faults, mut count) = (Vec::new(), 0);
    for own in every() {
        let (blocks, sentences) = parts(own.text);
        for (_, block) in blocks.iter().filter(|(language, _)| *language == "toml") {
            let judged = reads(block);
            faults.extend(judged.err().map(|why| format!("{}: {why}", own.name)));
        }
        assert!(
            sentences.matches('`').count() % 2 == 0,
            "{}: a ` is missing",
            own.name
        );
        for code in sentences.split('`').skip(1).step_by(2) {
            count += 1;
            let judged = known.judge(code);
            faults.extend(judged.err().map(|why| format!("{}: {why}", own.name)));
        }
        // Names that nobody has marked as such count as well.
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        for word in own.text.split(|c| !is_of_word(c)) {
            let is_metric = word.starts_with("sbc_");
            let is_alert = word.starts_with("Sbc");
            if is_metric || is_alert {
                let judged = known.judge(word);
                faults.extend(judged.err().map(|why| format!("{}: {why}", own.name)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 200, "{count}");
}

#[test]
fn rows_at_the_top_of_a_runbook_hold_what_they_say() {
    let known = Known::new();
    for own in RUNBOOKS {
        let check = |row: &str, is_one: &dyn Fn(&str) -> bool| {
            for name in own.names(row) {
                assert!(is_one(name), "{}: {name} is none of the {row}", own.name);
            }
        };
        check("Alerts", &|name| known.alerts.contains(name));
        check("Causes", &|name| known.causes.contains(name));
        check("Events", &|name| known.events.contains(name));
        check("Metrics", &|name| known.judge_metric(name).is_ok());
        check("Log", &|name| known.words.contains(name));
        check("Findings", &|name| known.findings.contains(name));
        check("Answers", &|name| {
            name.len() == 3 && name.parse::<u16>().is_ok()
        });
    }
}

#[test]
fn every_alert_leads_to_the_runbook_that_is_about_it() {
    let all = alerts();
    assert!(all.len() > 30, "{}", all.len());
    for (alert, command) in all {
        let name = command.strip_prefix("causeway runbook ");
        let name = name.unwrap_or_else(|| panic!("{alert} has no runbook: {command:?}"));
        assert_eq!(parses(&command), Ok(()));
        let about: Vec<&str> = RUNBOOKS
            .iter()
            .filter(|own| own.names("Alerts").contains(&alert.as_str()))
            .map(|own| own.name)
            .collect();
        assert_eq!(about, [name], "{alert}");
    }
}

#[test]
fn every_runbook_says_what_is_seen_what_to_type_what_to_do_and_when_it_is_over() {
    for own in RUNBOOKS {
        let titles: Vec<&str> = own
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .collect();
        assert_eq!(titles, SECTIONS, "{}", own.name);
        let section = |title: &str| {
            let (_, rest) = own.text.split_once(&format!("\n## {title}\n")).unwrap();
            rest.split("\n## ").next().unwrap()
        };
        let (blocks, _) = parts(section("First command"));
        let first = blocks
            .first()
            .unwrap_or_else(|| panic!("{}: no first command", own.name));
        assert_eq!(first.0, "sh", "{}", own.name);
        let typed = commands(&first.1);
        assert_eq!(
            typed.len(),
            1,
            "{}: one command comes first: {typed:?}",
            own.name
        );
        assert!(
            blocks.iter().any(|(language, _)| *language == "text"),
            "{}: what it prints",
            own.name
        );
        let (blocks, _) = parts(section("For support"));
        let bundles = blocks
            .iter()
            .any(|(_, block)| block.contains("causeway bundle "));
        assert!(bundles, "{}: what to take along", own.name);
        let whole = own.text.lines().take_while(|line| !line.starts_with("## "));
        let long = own
            .text
            .lines()
            .find(|line| line.chars().count() > 160 && !line.starts_with('|'));
        assert_eq!(long, None, "{}: it is read in a terminal", own.name);
        assert!(whole.count() > 4, "{}", own.name);
    }
}

#[test]
fn words_are_those_of_a_shell() {
    assert_eq!(
        words("causeway ban add 203.0.113.9 --reason 'a scanner' | tail # why"),
        [
            "causeway",
            "ban",
            "add",
            "203.0.113.9",
            "--reason",
            "a scanner"
        ]
    );
    assert!(parses("causeway status").is_ok() && parses("causeway runbook --help").is_ok());
    assert!(parses("causeway statsu").is_err() && parses("causeway ban add").is_err());
    assert!(reads("[[trunk]]\nnat = \"auto\"").is_ok() && reads("[cdr]\nmandatory = true").is_ok());
    assert!(
        reads("[[trunk]]\nnat = \"perhaps\"").is_err() && reads("[cdr]\nmandatroy = true").is_err()
    );
}
