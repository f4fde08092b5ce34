//! The result of an import while it grows: blocks of TOML that say where they come from, names that objects may
//! have, and notes.

use super::{Imported, MOST_NOTES, Note};
use crate::quoted;
use sbc_core::display::shown;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write as _};

/// Longest name of an object.
const LONGEST_NAME: usize = 64;

/// Longest word of the file that is repeated in a note or a comment, in characters.
const LONGEST_WORD: usize = 80;

/// TOML and notes.
pub struct Draft {
    file: String,
    toml: String,
    notes: Vec<Note>,
    omitted: usize,
    names: BTreeSet<(&'static str, String)>,
    /// How often a name was wished.
    wishes: BTreeMap<(&'static str, String), usize>,
}

impl Draft {
    /// An empty one; `file` is how comments call the file.
    pub fn new(file: &str) -> Self {
        let file = word(file);
        Self {
            toml: format!(
                "# Drafted by \"causeway import\" from {file}. Lines marked CHANGE hold examples.\n"
            ),
            file,
            notes: Vec::new(),
            omitted: 0,
            names: BTreeSet::new(),
            wishes: BTreeMap::new(),
        }
    }

    /// Begins a table that comes from a line.
    pub(super) fn block(&mut self, header: &str, line: usize, what: &str) {
        let _ = write!(
            self.toml,
            "\n# from {}:{line}, {}\n{header}\n",
            self.file,
            word(what)
        );
    }

    /// Begins a table that nothing in the file is about, and says why it is there.
    pub(super) fn added(&mut self, header: &str, why: &str) {
        let _ = write!(self.toml, "\n# {why}\n{header}\n");
    }

    /// A key with a text.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.raw(key, quoted(value));
    }

    /// A key with a value that is TOML already.
    pub(super) fn raw(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.toml, "{key} = {value}");
    }

    /// A key with a value that is to be changed, and into what.
    pub(super) fn change(&mut self, key: &str, value: impl Display, into: &str) {
        let _ = writeln!(self.toml, "{key} = {value} # CHANGE: {into}");
    }

    /// A line as it is, without its end.
    pub(super) fn line(&mut self, text: &str) {
        let _ = writeln!(self.toml, "{text}");
    }

    /// Notes what is not carried over as it was.
    pub(super) fn note(&mut self, line: usize, what: impl Into<String>, why: &str, help: &str) {
        if self.notes.len() >= MOST_NOTES {
            self.omitted += 1;
            return;
        }
        self.notes.push(Note {
            line,
            what: what.into(),
            why: why.to_owned(),
            help: help.to_owned(),
        });
    }

    /// The key that a trunk has whose peers over TLS are written as addresses, which their certificates do not show.
    pub(super) fn accept_names(&mut self, line: usize, trunk: &str) {
        let example = "[\"peer.example.com\"]";
        self.change("accept_names", example, "a name of the peer's certificate");
        self.note(
            line,
            format!("the name in the certificate of trunk {trunk}'s peer"),
            "its targets over TLS are addresses, and a peer is known by the name that it shows",
            "put the name in the place of the example in accept_names",
        );
    }

    /// A name for an object: what was wished, of the characters that are allowed, and nobody else's.
    pub(super) fn name(&mut self, kind: &'static str, wish: &str) -> String {
        let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let plain: String = wish.trim().chars().take(LONGEST_NAME - 6).collect();
        let plain: String = plain
            .chars()
            .map(|c| if fit(c) { c } else { '-' })
            .collect();
        let plain = match plain.trim_start_matches(['-', '.']) {
            "" => kind,
            plain => plain,
        };
        let mut name = plain.to_owned();
        let count = self.wishes.entry((kind, name.clone())).or_insert(0);
        *count += 1;
        if *count > 1 {
            name = format!("{plain}-{count}");
        }
        while !self.names.insert((kind, name.clone())) {
            *count += 1;
            name = format!("{plain}-{count}");
        }
        name
    }

    /// The end.
    pub(super) fn finish(mut self) -> Imported {
        self.notes.sort_by_key(|note| note.line);
        Imported {
            toml: self.toml,
            notes: self.notes,
            omitted: self.omitted,
        }
    }
}

/// Text of a file as part of a sentence: short, and without what steers a terminal or ends a comment.
pub(super) fn word(text: &str) -> String {
    let mut letters = text.chars();
    let mut word: String = letters.by_ref().take(LONGEST_WORD).map(shown).collect();
    if letters.next().is_some() {
        word.push('…');
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_allowed_characters_and_nobody_elses() {
        let mut draft = Draft::new("x.ini");
        assert_eq!(draft.name("trunk", "Carrier A"), "Carrier-A");
        assert_eq!(draft.name("trunk", "Carrier-A"), "Carrier-A-2");
        assert_eq!(draft.name("realm", "Carrier A"), "Carrier-A");
        assert_eq!(draft.name("trunk", "..ü"), "trunk");
        assert!(draft.name("trunk", &"x".repeat(900)).len() <= LONGEST_NAME);
    }

    #[test]
    fn words_of_a_file_cannot_leave_their_comment() {
        let mut draft = Draft::new("a\n[x]");
        draft.block("[[trunk]]", 1, "b\n[y]\u{1b}[2J");
        let toml = draft.finish().toml;
        assert!(!toml.contains("\n[x]") && !toml.contains("\n[y]") && !toml.contains('\u{1b}'));
    }

    #[test]
    fn no_more_than_a_thousand_notes_are_kept_and_the_rest_is_counted() {
        let mut draft = Draft::new("x");
        for line in (0..MOST_NOTES + 7).rev() {
            draft.note(line, "a", "b", "c");
        }
        let imported = draft.finish();
        assert_eq!((imported.notes.len(), imported.omitted), (MOST_NOTES, 7));
        assert!(imported.notes.is_sorted_by_key(|note| note.line));
    }
}
