//! The lines of one call in the journal: where they are, how they are read together, and how those of many are copied.

use sbc_core::id::CallId;
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// Octets that are read at once where many lines are: most follow each other.
const READ_AT_ONCE: usize = 32 * 1024;

/// One line.
#[derive(Clone, Copy, Debug)]
struct Line {
    at: u64,
    length: usize,
}

/// Those that tell of a call, in the order of the file. What has changed is told whole each time, but for the legs: what
/// counts is the first, the last one with legs, and the last one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    whole: Line,
    legs: Option<Line>,
    rest: Option<Line>,
}

impl Lines {
    /// A line with the record begins there.
    pub(super) fn begin(at: u64, length: usize) -> Self {
        Self {
            whole: Line { at, length },
            legs: None,
            rest: None,
        }
    }

    /// One with what has changed has come.
    pub(super) fn and(self, at: u64, length: usize, has_legs: bool) -> Self {
        let line = Some(Line { at, length });
        match has_legs {
            true => Self {
                legs: line,
                rest: None,
                ..self
            },
            false => Self { rest: line, ..self },
        }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Line> {
        let changes = self.legs.iter_mut().chain(&mut self.rest);
        std::iter::once(&mut self.whole).chain(changes)
    }

    /// Where the last one begins.
    pub(super) fn last(&self) -> u64 {
        self.rest.or(self.legs).unwrap_or(self.whole).at
    }

    /// What they take.
    pub(super) fn bytes(mut self) -> u64 {
        self.all().map(|line| line.length as u64).sum()
    }

    /// What they say together, as if it were one line.
    ///
    /// # Errors
    /// What the operating system says, or that it is no JSON.
    pub(super) fn read(mut self, file: &File) -> io::Result<Value> {
        let mut window = Window::new(file);
        let mut told = Value::Null;
        for line in self.all() {
            let next: Value = serde_json::from_slice(window.line(*line)?)?;
            match told {
                Value::Null => told = next,
                _ => laid_over(&mut told, next),
            }
        }
        Ok(told)
    }
}

/// Lays what has changed over what is known of a call.
pub(super) fn laid_over(known: &mut Value, change: Value) {
    let Value::Object(change) = change else {
        return;
    };
    for (name, value) in change {
        match (value, known["open"].as_object_mut()) {
            (Value::Object(fields), Some(record)) if name == "change" => record.extend(fields),
            (value, _) => {
                if let Some(known) = known.as_object_mut() {
                    known.insert(name, value);
                }
            }
        }
    }
}

/// Part of a file that is read at once.
struct Window<'a> {
    file: &'a File,
    at: u64,
    octets: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a File) -> Self {
        Self {
            file,
            at: 0,
            octets: Vec::new(),
        }
    }

    fn line(&mut self, line: Line) -> io::Result<&[u8]> {
        if let Some(begin) = self.has(line) {
            return Ok(&self.octets[begin..begin + line.length]);
        }
        self.at = line.at;
        self.octets.resize(READ_AT_ONCE.max(line.length), 0);
        let mut read = 0;
        while read < line.length {
            let rest = self.octets.get_mut(read..).unwrap_or_default();
            match self.file.read_at(rest, self.at + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => {
                    self.octets.clear();
                    return Err(why);
                }
            }
        }
        self.octets.truncate(read);
        let whole = self.octets.get(..line.length);
        whole.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn has(&self, line: Line) -> Option<usize> {
        let begin = usize::try_from(line.at.checked_sub(self.at)?).ok()?;
        let end = begin.checked_add(line.length)?;
        (end <= self.octets.len()).then_some(begin)
    }
}

/// Copies the lines of these calls to where so many octets are, in their order; says where they are then, and where
/// what is copied ends. Calls are left out of which something cannot be read; a line says so, for what is there of them
/// already tells what they were once.
///
/// # Errors
/// What whoever takes them says.
pub(super) fn copied(
    file: &File,
    calls: impl IntoIterator<Item = (CallId, Lines)>,
    mut at: u64,
    out: &mut impl Write,
) -> io::Result<(HashMap<CallId, Lines>, u64)> {
    let mut copies: HashMap<CallId, Lines> = calls.into_iter().collect();
    let mut all = Vec::with_capacity(copies.len());
    for (call, lines) in &mut copies {
        let own = lines.all().enumerate();
        all.extend(own.map(|(which, line)| (*line, *call, which)));
    }
    all.sort_unstable_by_key(|(line, ..)| line.at);
    let mut window = Window::new(file);
    for (line, call, which) in all {
        let Some(lines) = copies.get_mut(&call) else {
            continue;
        };
        let Ok(octets) = window.line(line) else {
            copies.remove(&call);
            // That it is over would not be true: it may be up, and then has its record at its end.
            let unknown = format!("{{\"unknown\":\"{call}\"}}\n");
            out.write_all(unknown.as_bytes())?;
            at += unknown.len() as u64;
            continue;
        };
        out.write_all(octets)?;
        out.write_all(b"\n")?;
        if let Some(own) = lines.all().nth(which) {
            own.at = at;
        }
        at += line.length as u64 + 1;
    }
    Ok((copies, at))
}
