//! Who changed what, in a file that shows when it was tampered with (SEC-154): each entry has the hash of the one
//! before it, so that none can be changed, moved or taken out without all that follow being made anew.

use crate::sink::log::{Log, wall_clock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Name of the file.
pub const FILE: &str = "audit.jsonl";
/// The hash that the first entry has as that of the one before it.
const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Longest line that is read.
const MAX_LINE: usize = 16 * 1024;

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
    number: u64,
    last: String,
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
        let mut file = options.create(true).append(true).mode(0o640).open(&path)?;
        let read = read(&path)?;
        if let Some(fault) = &read.fault {
            let line = log.error("audit", fault);
            line.with("file", path.display()).send();
        }
        if read.is_torn {
            // The line that was being written when the machine stopped.
            file.write_all(b"\n")?;
        }
        let last = read.entries.last();
        Ok(Self {
            book: Arc::new(Mutex::new(Book {
                file,
                number: last.map_or(0, |entry| entry.number),
                last: last.map_or_else(|| BEGINNING.to_owned(), |entry| entry.hash.clone()),
                path,
            })),
            log,
        })
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

    fn add(&self, deed: Deed) -> io::Result<()> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = Entry {
            number: book.number + 1,
            at: wall_clock().rfc3339(),
            who: deed.who,
            source: deed.source,
            what: deed.what,
            status: deed.status,
            previous: book.last.clone(),
            hash: String::new(),
        }
        .sealed();
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        book.file.write_all(&line)?;
        book.file.sync_data()?;
        book.number = entry.number;
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
    /// Whether the last line has no end.
    is_torn: bool,
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
        is_torn: false,
    };
    let (mut number, mut last) = (0_u64, BEGINNING.to_owned());
    let mut line = Vec::new();
    for place in 1.. {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        read.is_torn = !line.ends_with(b"\n");
        let entry = (line.len() <= MAX_LINE).then(|| serde_json::from_slice::<Entry>(&line).ok());
        let Some(entry) = entry.flatten() else {
            // A crash leaves an end that is torn; anywhere else somebody wrote it.
            if !read.is_torn {
                read.fault
                    .get_or_insert(format!("line {place} is no entry"));
            }
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
