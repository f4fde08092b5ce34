//! Configuration text with its place: files in order, byte spans, lines and columns.

use serde::Serialize;
use std::ops::Range;

/// One configuration file as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Path as the operator knows it; printed in findings.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// A file with this path and text.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }

    /// Its text with stars in place of what looks like a password. A password is never part of a valid
    /// configuration, but may stand in a comment: what is kept or shown is this.
    pub fn unrevealed(&self) -> String {
        let lines = self.text.split_inclusive('\n');
        lines.map(unrevealed).collect()
    }
}

/// A stretch of one file: where a value was written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Span {
    /// Index into the list of sources.
    pub(super) file: usize,
    /// First byte.
    pub(super) start: usize,
    /// Byte after the last.
    pub(super) end: usize,
}

impl Span {
    pub(super) fn new(file: usize, range: Range<usize>) -> Self {
        Self {
            file,
            start: range.start,
            end: range.end,
        }
    }
}

/// A value together with where it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct At<T> {
    /// The value.
    pub(super) value: T,
    /// Where it stands.
    pub(super) span: Span,
}

impl<T> At<T> {
    pub(super) fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// A place in a file, as people and editors count.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Place {
    /// Path of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters that the finding is about, at least 1, never beyond the line.
    pub length: usize,
    /// The whole line without its end, and without a password that somebody has written into it.
    pub text: String,
}

/// Byte offsets of line beginnings of every source, so that a place is found by bisection.
pub(super) struct Lines<'s> {
    sources: &'s [Source],
    starts: Vec<Vec<usize>>,
}

impl<'s> Lines<'s> {
    pub(super) fn new(sources: &'s [Source]) -> Self {
        let starts = sources
            .iter()
            .map(|source| {
                std::iter::once(0)
                    .chain(source.text.match_indices('\n').map(|(at, _)| at + 1))
                    .collect()
            })
            .collect();
        Self { sources, starts }
    }

    /// The place of a span; `None` when the span is in no file.
    pub(super) fn place(&self, span: &Span) -> Option<Place> {
        let source = self.sources.get(span.file)?;
        let starts = self.starts.get(span.file)?;
        let start = floor_boundary(&source.text, span.start);
        let end = floor_boundary(&source.text, span.end).max(start);
        let index = starts
            .partition_point(|&begin| begin <= start)
            .saturating_sub(1);
        let begin = starts.get(index).copied().unwrap_or(0);
        let line = source.text.get(begin..).unwrap_or_default();
        let line = line.split('\n').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        // What is wrong with the end of a line, of one octet or two, is wrong behind its last character.
        let before = source.text.get(begin..start.min(begin + line.len()));
        let before = before.unwrap_or_default();
        let inside = source.text.get(start..end).unwrap_or_default();
        let inside = inside.split(['\n', '\r']).next().unwrap_or_default();
        Some(Place {
            file: source.path.clone(),
            line: index + 1,
            column: before.chars().count() + 1,
            length: inside.chars().count().max(1),
            text: unrevealed(line),
        })
    }
}

/// The line with stars in place of a password that is written in it, which is a mistake that findings must not
/// spread. What stands behind keeps its column.
fn unrevealed(line: &str) -> String {
    const KEYS: [&str; 2] = ["password", "secret"];
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    let first = |text: &str| {
        let ends = KEYS
            .iter()
            .filter_map(|key| Some(text.find(key)? + key.len()));
        ends.min()
    };
    while let Some(end) = first(rest) {
        let (before, after) = rest.split_at(end);
        shown.push_str(before);
        let value = after.trim_start().strip_prefix('=').map(str::trim_start);
        let quote = value.and_then(|value| value.chars().next());
        let quote = quote.filter(|first| matches!(first, '"' | '\''));
        rest = after;
        if let (Some(value), Some(quote)) = (value, quote) {
            let inside = value.get(1..).unwrap_or_default();
            let secret = inside.split(quote).next().unwrap_or_default();
            let begin = after.len() - inside.len();
            shown.push_str(after.get(..begin).unwrap_or_default());
            shown.extend(secret.chars().map(|_| '*'));
            rest = after.get(begin + secret.len()..).unwrap_or_default();
        }
    }
    shown.push_str(rest);
    unrevealed_url(&shown)
}

/// The same for the password of a URL, `scheme://user:password@host`.
fn unrevealed_url(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut parts = line.split("://");
    shown.push_str(parts.next().unwrap_or_default());
    for part in parts {
        shown.push_str("://");
        let end = part.find(['"', '\'', ' ', '\t']).unwrap_or(part.len());
        let (url, behind) = part.split_at(end);
        let login = url.rsplit_once('@').and_then(|(login, host)| {
            let (user, password) = login.split_once(':')?;
            Some((user, password, host))
        });
        match login {
            Some((user, password, host)) => {
                let stars = "*".repeat(password.chars().count());
                shown.push_str(&format!("{user}:{stars}@{host}"));
            }
            None => shown.push_str(url),
        }
        shown.push_str(behind);
    }
    shown
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_is_written_in_a_line_is_not_shown() {
        for (line, shown) in [
            ("password = \"open\", x = 1", "password = \"****\", x = 1"),
            (
                "a = { password='ö' } # password = \"b",
                "a = { password='*' } # password = \"*",
            ),
            (
                "password = { file = \"/p\" }",
                "password = { file = \"/p\" }",
            ),
            ("name = \"password\"", "name = \"password\""),
            (
                "url = \"postgresql://me:o@p/en@db.example.com/x\" # https://a@b:1/",
                "url = \"postgresql://me:******@db.example.com/x\" # https://a@b:1/",
            ),
            (
                "graph = { secret = \"abc\", client_id = \"x\" }",
                "graph = { secret = \"***\", client_id = \"x\" }",
            ),
        ] {
            assert_eq!(unrevealed(line), shown);
        }
    }

    #[test]
    fn a_place_counts_characters_not_bytes() {
        let sources = [Source::new("a.toml", "x = 1\nname = \"ü\" # y\r\nz")];
        let lines = Lines::new(&sources);
        let at = sources[0].text.find('#').unwrap();
        let place = lines.place(&Span::new(0, at..at + 3)).unwrap();
        assert_eq!((place.line, place.column, place.length), (2, 12, 3));
        assert_eq!(place.text, "name = \"ü\" # y");

        let end = sources[0].text.find('\n').unwrap() + 1;
        let end = end + sources[0].text[end..].find('\n').unwrap();
        let place = lines.place(&Span::new(0, end..end)).unwrap();
        assert_eq!((place.line, place.column, place.length), (2, 15, 1));
    }

    #[test]
    fn a_place_at_or_behind_the_end_is_the_last_line() {
        let sources = [Source::new("a.toml", "x\ny")];
        let lines = Lines::new(&sources);
        let place = lines.place(&Span::new(0, 90..99)).unwrap();
        assert_eq!((place.line, place.column, place.length), (2, 2, 1));
        assert_eq!(lines.place(&Span::new(4, 0..1)), None);
    }
}
