//! An entry of the audit log, and reading a file of them: each has the hash of the one before (SEC-154).
//!
//! Entries of before the clock of the machine, objects, changes, reasons and generations were written have none of these,
//! and are sealed as they were then: a file may begin with them and go on with others.

use super::GOES_ON;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// The hash that the first entry has as that of the one before it.
pub(super) const BEGINNING: &str =
    "0000000000000000000000000000000000000000000000000000000000000000";
/// Longest line that is read.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// An entry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its number, from 1.
    pub number: u64,
    /// When, in UTC.
    pub at: String,
    /// Microseconds since the machine was started: what nobody can set back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monotonic_us: Option<u64>,
    /// By whom.
    pub who: String,
    /// From where.
    pub source: String,
    /// What was done.
    pub what: String,
    /// What it was done to, such as `trunk contoso`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What has become another, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// What was answered.
    pub status: u16,
    /// What for, as whoever did it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The configuration that was in use then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The hash of the entry before.
    pub previous: String,
    /// The hash of this entry without this field.
    pub hash: String,
}

impl Ledger {
    /// The number of the oldest of these entries, if the file has older ones.
    pub fn goes_on_before(&self) -> Option<u64> {
        let oldest = self.entries.front()?.number;
        let first = self.first.as_ref()?.number;
        (oldest > first).then_some(oldest)
    }
}

impl Entry {
    pub(super) fn sealed(mut self) -> Self {
        self.hash = self.seal();
        self
    }

    /// Whether it is the first one of a file that follows another.
    pub(super) fn goes_on(&self) -> bool {
        self.who == "causeway" && self.what.starts_with(GOES_ON)
    }

    /// Each field with its length before it, so that no two entries are the same octets.
    pub(super) fn seal(&self) -> String {
        let mut sum = Sha256::new();
        let mut add = |field: &str| {
            sum.update((field.len() as u64).to_be_bytes());
            sum.update(field.as_bytes());
        };
        let (number, status) = (self.number.to_string(), self.status.to_string());
        let fields = [
            &number,
            &self.at,
            &self.who,
            &self.source,
            &self.what,
            &status,
            &self.previous,
        ];
        fields.iter().for_each(|field| add(field));
        let further = [
            ("monotonic_us", self.monotonic_us.map(|it| it.to_string())),
            ("object", self.object.clone()),
            ("change", self.change.clone()),
            ("reason", self.reason.clone()),
            ("generation", self.generation.map(|it| it.to_string())),
        ];
        for (name, value) in further {
            // By name: what is left out of one field does not stand for another.
            if let Some(value) = value {
                add(name);
                add(&value);
            }
        }
        let sum = sum.finalize();
        sum.iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

/// The end of a file.
#[derive(Debug)]
pub struct Ledger {
    /// The last entries that can be read.
    pub entries: VecDeque<Entry>,
    /// The first entry of the file.
    pub(super) first: Option<Entry>,
    /// The first place where the chain is broken.
    pub fault: Option<String>,
    /// Octets up to the end of the last line that has one.
    pub(super) whole: u64,
}

/// The next line without its end, as much of it as is looked at. `None` at the end of the file; else how many octets
/// it has, and whether it has an end.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<(u64, bool)>> {
    line.clear();
    let mut octets = 0;
    loop {
        let here = reader.fill_buf()?;
        if here.is_empty() {
            return Ok((octets > 0).then_some((octets, false)));
        }
        let end = memchr::memchr(b'\n', here);
        let text = here.get(..end.unwrap_or(here.len())).unwrap_or_default();
        let room = (MAX_LINE + 1).saturating_sub(line.len());
        line.extend(text.iter().take(room));
        let used = text.len() + usize::from(end.is_some());
        octets += used as u64;
        reader.consume(used);
        if end.is_some() {
            return Ok(Some((octets, true)));
        }
    }
}

/// Reads a file and follows its chain; keeps the last entries, and no more than so many.
///
/// # Errors
/// If it cannot be read.
pub fn read(path: &Path, most: usize) -> io::Result<Ledger> {
    read_before(path, most, u64::MAX)
}

/// The same, with the last entries before the one of this number.
///
/// # Errors
/// If it cannot be read.
pub fn read_before(path: &Path, most: usize, before: u64) -> io::Result<Ledger> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut read = Ledger {
        entries: VecDeque::new(),
        first: None,
        fault: None,
        whole: 0,
    };
    let (mut number, mut last) = (0_u64, BEGINNING.to_owned());
    let mut is_first = true;
    let mut line = Vec::new();
    for place in 1.. {
        let Some((octets, has_end)) = next_line(&mut reader, &mut line)? else {
            break;
        };
        if !has_end {
            // A crash leaves an end that is torn. It counts for nothing, even if it could be read.
            break;
        }
        read.whole += octets;
        let entry = (line.len() <= MAX_LINE).then(|| serde_json::from_slice::<Entry>(&line).ok());
        let Some(entry) = entry.flatten() else {
            read.fault
                .get_or_insert(format!("line {place} is no entry"));
            continue;
        };
        if std::mem::take(&mut is_first) && entry.goes_on() {
            // The file before has what comes before.
            (number, last) = (entry.number.saturating_sub(1), entry.previous.clone());
        }
        let broken = match () {
            () if entry.number != number + 1 => Some(format!(
                "line {place} is entry {}, where {} should be: entries were taken out or added",
                entry.number,
                number + 1
            )),
            () if entry.previous != last => Some(format!(
                "entry {} does not follow the one before it: that was changed",
                entry.number
            )),
            () if entry.seal() != entry.hash => Some(format!("entry {} was changed", entry.number)),
            () => None,
        };
        if let Some(broken) = broken {
            read.fault.get_or_insert(broken);
        }
        (number, last) = (entry.number, entry.hash.clone());
        if read.first.is_none() {
            read.first = Some(entry.clone());
        }
        if entry.number >= before {
            continue;
        }
        read.entries.push_back(entry);
        if read.entries.len() > most {
            read.entries.pop_front();
        }
    }
    Ok(read)
}
