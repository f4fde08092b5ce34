//! What differs between two configurations, as a unified diff of their files.

use sbc_core::config::Source;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Lines shown before and after what differs.
const CONTEXT: usize = 3;
/// Largest table of a comparison: 16 MiB. Beyond that what lies between the first and the last difference of a file is
/// shown as replaced as a whole, which is as true.
const LARGEST: usize = 4 << 20;

/// The difference of two configurations, file by file in the order of their paths; empty if there is none. What
/// looks like a password is shown as stars.
pub fn difference(before: (&str, &[Source]), after: (&str, &[Source])) -> String {
    let ((old, before), (new, after)) = (before, after);
    let all = before.iter().chain(after);
    let paths: BTreeSet<&str> = all.map(|source| source.path.as_str()).collect();
    let mut shown = String::new();
    for path in paths {
        let of = |sources: &[Source]| {
            let found = sources.iter().find(|source| source.path == path);
            found.map(Source::unrevealed)
        };
        let (was, is) = (of(before), of(after));
        let lines = |text: &Option<String>| -> Vec<String> {
            let text = text.as_deref().unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        };
        let edits = edits(&lines(&was), &lines(&is));
        if edits.iter().all(|edit| matches!(edit, Edit::Same(_))) && was.is_some() == is.is_some() {
            continue;
        }
        let name = |text: &Option<String>, of: &str| match text {
            Some(_) => format!("{path}\t{of}"),
            None => "/dev/null".to_owned(),
        };
        // Writing to a text cannot fail.
        let _ = writeln!(shown, "--- {}\n+++ {}", name(&was, old), name(&is, new));
        hunks(&edits, &mut shown);
    }
    shown
}

/// What becomes of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Edit {
    Same(String),
    Gone(String),
    New(String),
}

/// One text into the other: the longest common subsequence of lines stays.
fn edits(before: &[String], after: &[String]) -> Vec<Edit> {
    let first = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (head, before) = before.split_at(first);
    let (_, after) = after.split_at(first);
    let ends = before.iter().rev().zip(after.iter().rev());
    let last = ends.take_while(|(a, b)| a == b).count();
    let (before, tail) = before.split_at(before.len() - last);
    let (after, _) = after.split_at(after.len() - last);
    let mut all: Vec<Edit> = head.iter().cloned().map(Edit::Same).collect();
    let width = after.len() + 1;
    if (before.len() + 1).saturating_mul(width) > LARGEST {
        all.extend(before.iter().cloned().map(Edit::Gone));
        all.extend(after.iter().cloned().map(Edit::New));
    } else {
        // Longest common subsequence of what is left from each pair of lines on.
        let mut common = vec![0_u32; (before.len() + 1) * width];
        let at = |table: &[u32], i: usize, j: usize| table.get(i * width + j).copied().unwrap_or(0);
        for (i, old) in before.iter().enumerate().rev() {
            for (j, new) in after.iter().enumerate().rev() {
                let best = match old == new {
                    true => at(&common, i + 1, j + 1) + 1,
                    false => at(&common, i + 1, j).max(at(&common, i, j + 1)),
                };
                if let Some(cell) = common.get_mut(i * width + j) {
                    *cell = best;
                }
            }
        }
        let (mut i, mut j) = (0, 0);
        loop {
            match (before.get(i), after.get(j)) {
                (Some(old), Some(new)) if old == new => {
                    all.push(Edit::Same(old.clone()));
                    (i, j) = (i + 1, j + 1);
                }
                (Some(old), Some(_)) if at(&common, i + 1, j) >= at(&common, i, j + 1) => {
                    all.push(Edit::Gone(old.clone()));
                    i += 1;
                }
                (_, Some(new)) => {
                    all.push(Edit::New(new.clone()));
                    j += 1;
                }
                (Some(old), None) => {
                    all.push(Edit::Gone(old.clone()));
                    i += 1;
                }
                (None, None) => break,
            }
        }
    }
    all.extend(tail.iter().cloned().map(Edit::Same));
    all
}

/// Writes what differs with some lines around it.
fn hunks(edits: &[Edit], shown: &mut String) {
    let differs = |edit: &Edit| !matches!(edit, Edit::Same(_));
    let mut next = 0;
    while let Some(found) = edits.iter().skip(next).position(differs) {
        let begin = (next + found).saturating_sub(CONTEXT).max(next);
        let mut end = next + found + 1;
        // As long as the next difference is near enough to share lines with this one.
        while let Some(more) = edits.iter().skip(end).take(2 * CONTEXT).position(differs) {
            end += more + 1;
        }
        let end = (end + CONTEXT).min(edits.len());
        let before = edits.get(..begin).unwrap_or_default();
        let hunk = edits.get(begin..end).unwrap_or_default();
        let old = |edits: &[Edit]| count(edits, |edit| !matches!(edit, Edit::New(_)));
        let new = |edits: &[Edit]| count(edits, |edit| !matches!(edit, Edit::Gone(_)));
        let range = |before: usize, length: usize| match length {
            0 => format!("{before},0"),
            length => format!("{},{length}", before + 1),
        };
        let _ = writeln!(
            shown,
            "@@ -{} +{} @@",
            range(old(before), old(hunk)),
            range(new(before), new(hunk))
        );
        for edit in hunk {
            let _ = match edit {
                Edit::Same(line) => writeln!(shown, " {line}"),
                Edit::Gone(line) => writeln!(shown, "-{line}"),
                Edit::New(line) => writeln!(shown, "+{line}"),
            };
        }
        next = end;
    }
}

fn count(edits: &[Edit], which: impl Fn(&Edit) -> bool) -> usize {
    edits.iter().filter(|edit| which(edit)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn one(text: &str) -> [Source; 1] {
        [Source::new("a.toml", text)]
    }

    #[test]
    fn what_differs_is_shown_with_three_lines_around_it_and_no_password() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n";
        let after = before
            .replace("\n5\n", "\nfive\n")
            .replace("\n14\n", "\n14\n# password = \"x\"\n");
        let shown = difference(("generation 1", &one(before)), ("files", &one(&after)));
        assert_eq!(
            shown,
            "--- a.toml\tgeneration 1\n+++ a.toml\tfiles\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n\
             @@ -12,3 +12,4 @@\n 12\n 13\n 14\n+# password = \"*\"\n"
        );
        assert_eq!(difference(("", &one(before)), ("", &one(before))), "");
    }

    #[test]
    fn files_come_and_go() {
        let more = [Source::new("a.toml", "x\n"), Source::new("b.toml", "y\n")];
        let shown = difference(("old", &one("x\n")), ("new", &more));
        assert_eq!(
            shown,
            "--- /dev/null\n+++ b.toml\tnew\n@@ -0,0 +1,1 @@\n+y\n"
        );
    }

    /// `patch` reads it and makes the one of the other.
    #[test]
    fn a_patch_by_it_gives_the_other_text() {
        let folder = tempfile::tempdir().unwrap();
        let texts = [
            "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n",
            "a\nc\nd\nx\ne\nf\ng\nh\ni\nk\nk\nl\n",
            "",
            "k\nj\ni\n",
            "a\na\na\nb\nb\n",
        ];
        if Command::new("patch").arg("--version").output().is_err() {
            return;
        }
        for (from, to) in texts.iter().flat_map(|a| texts.iter().map(move |b| (a, b))) {
            let file = folder.path().join("a.toml");
            std::fs::write(&file, from).unwrap();
            let shown = difference(("old", &one(from)), ("new", &one(to)));
            if shown.is_empty() {
                assert_eq!(from, to);
                continue;
            }
            let patch = folder.path().join("patch");
            std::fs::write(&patch, &shown).unwrap();
            let mut done = Command::new("patch");
            let done = done.arg(&file).arg(&patch).output().unwrap();
            assert!(done.status.success(), "{shown}");
            let now = std::fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(now, **to, "{shown}");
        }
    }
}
