//! All files of an audit log that lie in one folder: whether each is whole, and follows the one before it (SEC-154).

use super::{FILE, read};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// One file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Number of its first entry.
    pub first: u64,
    /// Number of its last entry.
    pub last: u64,
}

/// What lies in a folder.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Shelf {
    /// How many files there are, those without an entry included.
    pub files: usize,
    /// Files that have entries, in their order.
    pub volumes: Vec<Volume>,
    /// What is wrong with each of them, and between them.
    pub faults: Vec<String>,
}

/// Looks through all files of a folder.
///
/// # Errors
/// If one cannot be read.
pub fn look_through(folder: &Path) -> io::Result<Shelf> {
    let mut names = names_in(folder)?;
    loop {
        let seen = judge(folder, &names);
        // A daemon that began another file meanwhile has given the one before it another name: what was seen of both is
        // no fault of theirs. That it does so again and again takes more entries than there are.
        let now = names_in(folder)?;
        if now == names {
            return seen;
        }
        names = now;
    }
}

/// Names of its files.
fn names_in(folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name == FILE || (name.starts_with("audit-") && name.ends_with(".jsonl")) {
            names.insert(name);
        }
    }
    Ok(names)
}

fn judge(folder: &Path, names: &BTreeSet<String>) -> io::Result<Shelf> {
    let mut shelf = Shelf {
        files: names.len(),
        ..Shelf::default()
    };
    let mut found = Vec::new();
    for name in names {
        // The last entry is all of it that is kept.
        let ledger = read(&folder.join(name), 1)?;
        if let Some(fault) = ledger.fault {
            shelf.faults.push(format!("{name}: {fault}"));
        }
        // One that was begun a moment ago has none yet.
        if let (Some(first), Some(last)) = (ledger.first, ledger.entries.into_iter().next_back()) {
            found.push((name.clone(), first, last));
        }
    }
    found.sort_by_key(|(_, first, last)| (first.number, last.number));
    for pair in found.windows(2) {
        let [(before, _, last), (after, first, _)] = pair else {
            continue;
        };
        let (wanted, is) = (last.number.saturating_add(1), first.number);
        let fault = match () {
            () if is > wanted => format!(
                "entries {wanted} to {} are in no file here: they would stand between {before} and {after}",
                is - 1
            ),
            () if is < wanted => format!("{before} and {after} both have entry {is}"),
            () if first.previous != last.hash => {
                format!("{after} does not follow {before}: one of them was changed")
            }
            () => continue,
        };
        shelf.faults.push(fault);
    }
    shelf.volumes = found
        .into_iter()
        .map(|(name, first, last)| Volume {
            name,
            first: first.number,
            last: last.number,
        })
        .collect();
    Ok(shelf)
}

#[cfg(test)]
mod tests {
    use super::super::{Book, Deed};
    use super::*;
    use crate::sink::log::{Form, Level, Log};

    /// A log of so many entries of operators, each in a file of its own but for the last.
    fn written(folder: &Path, entries: usize) {
        let (log, _) = Log::start(Level::Error, Form::Json, io::sink()).unwrap();
        let mut book = Book::open(folder, 1, &log).unwrap();
        for number in 0..entries {
            let deed = Deed {
                who: "noc (operator)".to_owned(),
                source: "192.0.2.7:40000".to_owned(),
                what: format!("POST /{number}"),
                status: 200,
                ..Deed::default()
            };
            book.add(deed, None).unwrap();
        }
    }

    #[test]
    fn a_file_that_is_missing_changed_or_there_twice_is_told_with_its_entries() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), 3);
        // The first file has one entry, each other one says first what it follows.
        let look = || look_through(folder.path()).unwrap();
        let whole = look();
        let told: Vec<_> = whole
            .volumes
            .iter()
            .map(|own| (own.name.as_str(), own.first, own.last))
            .collect();
        let wanted = [
            ("audit-000000000001.jsonl", 1, 1),
            ("audit-000000000003.jsonl", 2, 3),
            ("audit.jsonl", 4, 5),
        ];
        assert_eq!((told.as_slice(), whole.faults.len()), (&wanted[..], 0));

        let at = |name: &str| folder.path().join(name);
        let middle = at("audit-000000000003.jsonl");
        std::fs::rename(&middle, at("away")).unwrap();
        let faults = look().faults;
        assert_eq!(
            faults,
            [
                "entries 2 to 3 are in no file here: they would stand between audit-000000000001.jsonl and \
                 audit.jsonl"
            ]
        );
        std::fs::copy(at("away"), &middle).unwrap();
        assert_eq!(look(), whole);

        std::fs::copy(at("away"), at("audit-000000000003-2.jsonl")).unwrap();
        let faults = look().faults;
        assert!(
            faults.len() == 1 && faults[0].ends_with("both have entry 2"),
            "{faults:?}"
        );
        std::fs::remove_file(at("audit-000000000003-2.jsonl")).unwrap();

        // What was made anew as a whole is whole by itself, and does not fit any more.
        let other = tempfile::tempdir().unwrap();
        written(other.path(), 3);
        std::fs::copy(
            other.path().join("audit-000000000001.jsonl"),
            at("audit-000000000001.jsonl"),
        )
        .unwrap();
        let faults = look().faults;
        assert_eq!(
            faults,
            [
                "audit-000000000003.jsonl does not follow audit-000000000001.jsonl: one of them was changed"
            ]
        );
        // Files that were taken away from the beginning leave what follows whole.
        std::fs::remove_file(at("audit-000000000001.jsonl")).unwrap();
        let left = look();
        assert_eq!((left.volumes[0].first, left.faults.len()), (2, 0));
    }
}
