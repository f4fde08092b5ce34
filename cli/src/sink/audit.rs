//! Who changed what, in a file that shows when it was tampered with (SEC-154): each entry has the hash of the one
//! before it, so that none can be changed, moved or taken out without all that follow being made anew. Each is told to
//! the log, too, with its hash: who takes entries off the end finds them there.

use crate::sink::log::{Log, wall_clock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Name of the file.
pub const FILE: &str = "audit.jsonl";
/// The hash that the first entry has as that of the one before it.
const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Longest line that is read.
const MAX_LINE: usize = 16 * 1024;
/// Longest text of an entry in characters: whatever they are, a line with four of them is shorter than the longest.
const MAX_TEXT: usize = 512;
/// Refused attempts that are written down one by one, in a minute.
const MOST_REFUSED: u32 = 30;
const MINUTE: Duration = Duration::from_secs(60);

/// Something that was done, or was tried and refused.
#[derive(Clone, Debug)]
pub struct Deed {
    /// By whom.
    pub who: String,
    /// From where.
    pub source: String,
    /// What.
    pub what: String,
    /// What was answered.
    pub status: u16,
}

/// An entry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its number, from 1.
    pub number: u64,
    /// When, in UTC.
    pub at: String,
    /// By whom.
    pub who: String,
    /// From where.
    pub source: String,
    /// What was done.
    pub what: String,
    /// What was answered.
    pub status: u16,
    /// The hash of the entry before.
    pub previous: String,
    /// The hash of this entry without this field.
    pub hash: String,
}

impl Entry {
    fn sealed(mut self) -> Self {
        self.hash = self.seal();
        self
    }

    /// Each field with its length before it, so that no two entries are the same octets.
    fn seal(&self) -> String {
        let mut sum = Sha256::new();
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
        for field in fields {
            sum.update((field.len() as u64).to_be_bytes());
            sum.update(field.as_bytes());
        }
        let sum = sum.finalize();
        sum.iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

/// Writes entries. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    book: Arc<Mutex<Book>>,
    log: Log,
}

struct Book {
    path: PathBuf,
    file: File,
    /// Where the next entry begins.
    length: u64,
    number: u64,
    last: String,
    refused: Refused,
}

/// Refused attempts of this minute.
#[derive(Default)]
struct Refused {
    since: Option<Instant>,
    written: u32,
    passed_over: u64,
}

impl Refused {
    /// Whether another one is written down, and how many were not before that minute began.
    fn count(&mut self, now: Instant) -> (bool, u64) {
        let is_new = self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= MINUTE);
        let mut missing = 0;
        if is_new {
            missing = self.passed_over;
            *self = Self {
                since: Some(now),
                ..Self::default()
            };
        }
        if self.written < MOST_REFUSED {
            self.written += 1;
            return (true, missing);
        }
        self.passed_over += 1;
        (false, missing)
    }
}

impl Audit {
    /// Goes on with the file of a directory. One that was tampered with is told, and gone on with: what is done from
    /// now on is not to be lost.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(directory: &Path, log: Log) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o640).open(&path)?;
        let read = read(&path)?;
        if let Some(fault) = &read.fault {
            let line = log.error("audit", fault);
            line.with("file", path.display()).send();
        }
        let torn = file.metadata()?.len().saturating_sub(read.whole);
        if torn > 0 {
            // The line that was being written when the machine stopped. Nothing may be written behind it: two halves
            // could be read as one entry.
            file.set_len(read.whole)?;
        }
        let last = read.entries.last();
        let own = Self {
            book: Arc::new(Mutex::new(Book {
                file,
                length: read.whole,
                number: last.map_or(0, |entry| entry.number),
                last: last.map_or_else(|| BEGINNING.to_owned(), |entry| entry.hash.clone()),
                path,
                refused: Refused::default(),
            })),
            log,
        };
        if torn > 0 {
            own.add(Deed {
                who: "causeway".to_owned(),
                source: "this host".to_owned(),
                what: format!("took {torn} octets off the end, of an entry that was not whole"),
                status: 0,
            })?;
        }
        Ok(own)
    }

    /// Writes one entry, and returns when it is on the disk.
    pub async fn write(&self, deed: Deed) {
        let own = self.clone();
        let written = tokio::task::spawn_blocking(move || own.add(deed)).await;
        if let Ok(Err(why)) = written {
            let line = self
                .log
                .error("audit", "what an operator did is not written down");
            line.with("why", why).send();
        }
    }

    /// Writes down what was refused. Only so many in a minute: then how many more there were.
    pub async fn refused(&self, deed: Deed) {
        let (is_written, missing) = {
            let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            book.refused.count(Instant::now())
        };
        if missing > 0 {
            self.write(Deed {
                who: "several".to_owned(),
                source: "several".to_owned(),
                what: format!("{missing} more attempts were refused, not written down one by one"),
                status: 0,
            })
            .await;
        }
        if is_written {
            self.write(deed).await;
        }
    }

    fn add(&self, deed: Deed) -> io::Result<()> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry {
            number: book.number + 1,
            at: wall_clock().rfc3339(),
            who: bounded(deed.who),
            source: bounded(deed.source),
            what: bounded(deed.what),
            status: deed.status,
            previous: book.last.clone(),
            hash: String::new(),
        }
        .sealed();
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        let written = book.file.write_all(&line);
        if let Err(why) = written.and_then(|()| book.file.sync_data()) {
            // No half of an entry stays for the next one to be written behind it.
            let length = book.length;
            book.file.set_len(length)?;
            return Err(why);
        }
        book.length += line.len() as u64;
        book.number = entry.number;
        self.log
            .info("audit", &entry.what)
            .with("number", entry.number)
            .with("who", &entry.who)
            .with("source", &entry.source)
            .with("status", entry.status)
            .with("hash", &entry.hash)
            .send();
        book.last = entry.hash;
        Ok(())
    }

    /// What is in the file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self) -> io::Result<Ledger> {
        let path = {
            let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            book.path.clone()
        };
        read(&path)
    }
}

/// The entries of a file.
#[derive(Debug)]
pub struct Ledger {
    /// Those that can be read.
    pub entries: Vec<Entry>,
    /// The first place where the chain is broken.
    pub fault: Option<String>,
    /// Octets up to the end of the last line that has one.
    whole: u64,
}

/// No text of a stranger makes a line longer than what is read.
fn bounded(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
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

/// Reads a file and follows its chain.
///
/// # Errors
/// If it cannot be read.
pub fn read(path: &Path) -> io::Result<Ledger> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut read = Ledger {
        entries: Vec::new(),
        fault: None,
        whole: 0,
    };
    let (mut number, mut last) = (0_u64, BEGINNING.to_owned());
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
        read.entries.push(entry);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::log::{Form, Level};

    fn opened(folder: &Path) -> Audit {
        let (log, _) = Log::start(Level::Error, Form::Json, io::sink()).unwrap();
        Audit::open(folder, log).unwrap()
    }

    fn deed(what: &str) -> Deed {
        Deed {
            who: "noc (operator)".to_owned(),
            source: "192.0.2.7:40000".to_owned(),
            what: what.to_owned(),
            status: 200,
        }
    }

    #[test]
    fn an_end_that_is_torn_is_cut_off_and_told_even_where_it_could_be_read() {
        let folder = tempfile::tempdir().unwrap();
        opened(folder.path()).add(deed("POST /one")).unwrap();
        let path = folder.path().join(FILE);
        let whole = std::fs::read_to_string(&path).unwrap();
        // A line without its end, which was never synced as a whole.
        std::fs::write(&path, whole.trim_end()).unwrap();
        assert_eq!(read(&path).unwrap().entries, []);
        opened(folder.path()).add(deed("POST /two")).unwrap();
        let read = read(&path).unwrap();
        assert_eq!(read.fault, None);
        let told: Vec<_> = read.entries.iter().map(|one| one.what.as_str()).collect();
        assert!(
            told[0].starts_with("took ") && told[1] == "POST /two",
            "{told:?}"
        );
    }

    #[test]
    fn whatever_is_asked_for_makes_one_line_that_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let audit = opened(folder.path());
        for hostile in ["\n", "\u{1}", "\u{1F4A9}", "\\\"", "\u{2028}"] {
            audit.add(deed(&hostile.repeat(100_000))).unwrap();
        }
        let read = audit.read().unwrap();
        assert_eq!((read.entries.len(), read.fault), (5, None));
    }

    #[test]
    fn a_line_that_is_too_long_is_no_entry_and_neither_is_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let audit = opened(folder.path());
        audit.add(deed("POST /one")).unwrap();
        let path = folder.path().join(FILE);
        let one = std::fs::read_to_string(&path).unwrap();
        let forged = format!("{}{one}", " ".repeat(MAX_LINE));
        std::fs::write(&path, forged).unwrap();
        let read = audit.read().unwrap();
        assert_eq!(read.entries, []);
        assert!(read.fault.unwrap().contains("line 1"));
    }

    #[test]
    fn refused_attempts_are_written_down_up_to_a_bound_and_the_rest_is_counted() {
        let mut refused = Refused::default();
        let start = Instant::now();
        let told = (0..100).filter(|_| refused.count(start).0).count();
        assert_eq!(told, MOST_REFUSED as usize);
        assert_eq!(refused.count(start + MINUTE), (true, 70));
        assert_eq!(refused.count(start + MINUTE), (true, 0));
    }
}
