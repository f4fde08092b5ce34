//! The requirement ledger against the list of requirements and against the source.

use conformance::ledger::{FILES, Ledger, RequirementId, TestName};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// All identifiers, one a line.
const IDS: &str = include_str!("../requirements/ids.txt");

/// Root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn ledger() -> Ledger {
    Ledger::embedded().unwrap_or_else(|fault| panic!("{fault}"))
}

/// Files under a folder that hold source, configuration or golden text.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    const READ: &[&str] = &["rs", "toml", "txt", "md", "py", "xml"];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Built things, and the history.
        if name == "target" || name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path
            .extension()
            .is_some_and(|end| READ.iter().any(|read| end == *read))
        {
            found.push(path);
        }
    }
}

/// Why this is no test in this text.
fn objection(text: &str, function: &str) -> Option<&'static str> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begin = format!("fn {function}(");
    let is_it = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.starts_with(&begin)
    };
    let Some(at) = lines.iter().position(|line| is_it(line)) else {
        return Some("there is no such function");
    };
    let attributes = lines[..at].iter().rev();
    let mut attributes =
        attributes.take_while(|line| line.starts_with("#[") || line.starts_with("///"));
    match attributes.any(|line| *line == "#[test]" || line.starts_with("#[tokio::test")) {
        true => None,
        false => Some("it is no test"),
    }
}

#[test]
fn every_requirement_of_the_list_has_an_entry_and_there_are_no_others() {
    let listed: Vec<RequirementId> = IDS
        .lines()
        .map(|line| RequirementId::parse(line).unwrap_or_else(|| panic!("{line:?} is no id")))
        .collect();
    assert!(listed.is_sorted(), "the list is in order");
    let ledger = ledger();
    let entered: BTreeSet<_> = ledger.requirements().map(|(_, one)| one.id).collect();
    let listed: BTreeSet<_> = listed.into_iter().collect();
    let without: Vec<_> = listed
        .difference(&entered)
        .map(ToString::to_string)
        .collect();
    assert!(without.is_empty(), "without an entry: {without:?}");
    let unlisted: Vec<_> = entered
        .difference(&listed)
        .map(ToString::to_string)
        .collect();
    assert!(unlisted.is_empty(), "not in ids.txt: {unlisted:?}");
}

#[test]
fn every_file_of_requirements_is_part_of_the_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("requirements");
    let mut files: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    files.sort();
    let embedded: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(files, embedded);
    for ((name, _), section) in FILES.iter().zip(ledger().sections) {
        let number = format!("{:02}-", section.number);
        assert!(name.starts_with(&number), "{name} has section {number}");
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let root = root();
    let mut texts: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (_, requirement) in ledger().requirements() {
        for TestName { file, function } in &requirement.shown_by {
            let read = || fs::read_to_string(root.join(file)).ok();
            let text = texts.entry(file.clone()).or_insert_with(read);
            let why = match text {
                None => Some("there is no such file"),
                Some(text) => objection(text, function),
            };
            if let Some(why) = why {
                wrong.push(format!("{}: {file}::{function}: {why}", requirement.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_function_that_is_no_test_or_is_not_there_shows_nothing() {
    let text = "#[test]\nfn one() {}\n\nfn two() {}\n#[tokio::test(flavor = \"multi_thread\")]\n\
                async fn three() {}\n    #[test]\n    fn four(\n        x in 0..1u8,\n    ) {}\n\
                #[test]\n#[cfg(unix)]\nfn five() {}\n";
    for name in ["one", "three", "four", "five"] {
        assert_eq!(objection(text, name), None, "{name}");
    }
    assert_eq!(objection(text, "two"), Some("it is no test"));
    for name in ["on", "ne", "six"] {
        let why = objection(text, name);
        assert_eq!(why, Some("there is no such function"), "{name}");
    }
}

#[test]
fn every_identifier_in_the_source_is_known() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    let ledger = ledger();
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    let own = root().join("conformance/requirements");
    for file in files.iter().filter(|file| !file.starts_with(&own)) {
        // Some corpora are octets, not text.
        let Ok(text) = fs::read_to_string(file) else {
            continue;
        };
        for id in RequirementId::all_in(&text) {
            seen.insert(id);
            if !ledger.knows(id) {
                wrong.push(format!("{}: {id}", file.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "unknown to the ledger:\n{}",
        wrong.join("\n")
    );
    assert!(seen.len() > 50, "the source names {} of them", seen.len());
}
