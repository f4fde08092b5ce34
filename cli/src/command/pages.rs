//! More entries of a list than one answer has: page by page, behind each other.

use super::exit;
use super::node::{Connection, get, request};
use serde_json::Value;
use std::io::{self, Write};

/// Entries of one page.
const PAGE: u16 = 1_000;

/// A list of the interface that is given page by page, latest first.
pub(super) struct Listed<'a> {
    /// Its path with a query, to which more can be added.
    pub(super) path: &'a str,
    /// The field of an answer in which its entries are.
    pub(super) field: &'a str,
    /// Whether the latest entry of a page is its last.
    pub(super) is_turned: bool,
}

/// So many entries, printed as [`get`] does.
///
/// # Errors
/// If the output cannot be written.
pub(super) fn get_so_many(
    to: &Connection,
    list: &Listed<'_>,
    most: u16,
    out: &mut dyn Write,
    print: impl FnOnce(&Value, &mut dyn Write) -> io::Result<()>,
) -> io::Result<u8> {
    if most <= PAGE {
        return get(to, &format!("{}limit={most}", list.path), out, print);
    }
    let (mut entries, mut left, mut cursor) = (Vec::new(), most, String::new());
    let mut told = loop {
        let path = format!("{}limit={}{cursor}", list.path, left.min(PAGE));
        let (mut told, next) = match asked(to, &path) {
            Ok(page) => page,
            Err(code) => return Ok(code),
        };
        let page = entries_of(told[list.field].take());
        let count = u16::try_from(page.len()).unwrap_or(u16::MAX);
        left = left.saturating_sub(count);
        add(&mut entries, page, list.is_turned);
        match next {
            Some(next) if left > 0 => cursor = format!("&cursor={next}"),
            Some(_) | None => break told,
        }
    };
    told[list.field] = entries.into();
    shown(to, &told, out, print)
}

/// All entries of a list that is an array and has no query, printed as [`get`] does.
///
/// # Errors
/// If the output cannot be written.
pub(super) fn get_all(
    to: &Connection,
    path: &str,
    out: &mut dyn Write,
    print: impl FnOnce(&Value, &mut dyn Write) -> io::Result<()>,
) -> io::Result<u8> {
    let (mut entries, mut query) = (Vec::new(), String::new());
    loop {
        let (page, next) = match asked(to, &format!("{path}{query}")) {
            Ok(page) => page,
            Err(code) => return Ok(code),
        };
        add(&mut entries, entries_of(page), false);
        match next {
            Some(next) => query = format!("?cursor={next}"),
            None => return shown(to, &entries.into(), out, print),
        }
    }
}

/// A page, and the cursor of what is behind it; else the code with which the command ends.
fn asked(to: &Connection, path: &str) -> Result<(Value, Option<String>), u8> {
    let answer = request(to, "GET", path)?;
    let told = serde_json::from_str(&answer.body).map_err(|why| {
        eprintln!("causeway: the daemon's answer cannot be read: {why}");
        exit::UNREACHABLE
    })?;
    let next = answer.header("Causeway-Next").map(str::to_owned);
    Ok((told, next))
}

fn entries_of(list: Value) -> Vec<Value> {
    match list {
        Value::Array(entries) => entries,
        _ => Vec::new(),
    }
}

fn shown(
    to: &Connection,
    told: &Value,
    out: &mut dyn Write,
    print: impl FnOnce(&Value, &mut dyn Write) -> io::Result<()>,
) -> io::Result<u8> {
    match to.output.is_table() {
        true => print(told, out)?,
        // In one line, as the daemon's own answers are.
        false => to.output.pass(&told.to_string(), out)?,
    }
    Ok(exit::OK)
}

/// Adds a page that is older than all before.
fn add(entries: &mut Vec<Value>, mut page: Vec<Value>, is_turned: bool) {
    match is_turned {
        true => {
            page.append(entries);
            *entries = page;
        }
        false => entries.append(&mut page),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::form::Output;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// Asks a daemon that gives these answers, each with its cursor; what is printed, and what it was asked.
    fn asked_of(
        answers: &'static [(&'static str, &'static str)],
        asks: impl FnOnce(&Connection, &mut Vec<u8>) -> io::Result<u8>,
    ) -> (String, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let daemon = thread::spawn(move || {
            let mut lines = Vec::new();
            for (body, next) in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut head = BufReader::new(&stream).lines().map(Result::unwrap);
                lines.push(head.next().unwrap());
                assert!(head.any(|line| line.is_empty()));
                let next = match next.is_empty() {
                    true => String::new(),
                    false => format!("causeway-next: {next}\r\n"),
                };
                let answer = format!("HTTP/1.1 200 OK\r\n{next}\r\n{body}");
                (&stream).write_all(answer.as_bytes()).unwrap();
            }
            lines
        });
        let to = Connection {
            socket,
            reason: None,
            output: Output::default(),
        };
        let mut out = Vec::new();
        assert_eq!(asks(&to, &mut out).unwrap(), exit::OK);
        let lines = daemon.join().unwrap();
        (String::from_utf8(out).unwrap(), lines)
    }

    fn in_one_line(told: &Value, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{told}")
    }

    #[test]
    fn pages_are_asked_for_behind_each_other_and_printed_as_one_list() {
        let list = Listed {
            path: "/audit?",
            field: "entries",
            is_turned: true,
        };
        let answers = &[
            ("{\"entries\":[3,4],\"fault\":null}", "audit-3"),
            ("{\"entries\":[1,2],\"fault\":null}", ""),
        ];
        let (told, lines) = asked_of(answers, |to, out| {
            get_so_many(to, &list, 1_003, out, in_one_line)
        });
        assert_eq!(told, "{\"entries\":[1,2,3,4],\"fault\":null}");
        assert_eq!(
            lines,
            [
                "GET /api/v1/audit?limit=1000 HTTP/1.1",
                "GET /api/v1/audit?limit=1000&cursor=audit-3 HTTP/1.1"
            ]
        );
        let answers = &[("[4,3]", "failed-9"), ("[2]", "failed-1"), ("[]", "")];
        let (told, lines) = asked_of(answers, |to, out| {
            get_all(to, "/calls/failed", out, in_one_line)
        });
        assert_eq!(told, "[4,3,2]");
        assert_eq!(lines[0], "GET /api/v1/calls/failed HTTP/1.1");
        assert_eq!(
            lines[2],
            "GET /api/v1/calls/failed?cursor=failed-1 HTTP/1.1"
        );
    }

    #[test]
    fn older_pages_are_put_where_their_list_has_what_is_older() {
        let page = |numbers: &[u64]| numbers.iter().copied().map(Value::from).collect::<Vec<_>>();
        let mut entries = page(&[9, 8]);
        add(&mut entries, page(&[7, 6]), false);
        assert_eq!(entries, page(&[9, 8, 7, 6]));
        let mut entries = page(&[8, 9]);
        add(&mut entries, page(&[6, 7]), true);
        assert_eq!(entries, page(&[6, 7, 8, 9]));
    }
}
