//! What of the spool was acknowledged, and what of it is sent next.
//!
//! A file is known by its inode as long as it is in progress, because it gets another name when it is closed;
//! and by what stands before the place where it goes on, because a loss of power may have taken its end, or given
//! its inode to another.

use super::spool::{CURRENT, MODE, REFUSED, closed_at, closed_files};
use crate::sink::whole;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most octets of one request, unless a single record has more.
const MOST_BYTES: usize = 1 << 20;
/// What was acknowledged.
const STATE: &str = "shipped.json";
/// Version of that file.
const VERSION: u32 = 1;
/// Most octets by which a file is known again.
const TAIL: u64 = 4096;
/// Most octets of refused records that wait for room on the disk, unless one has more.
const MOST_REFUSED: usize = 1 << 20;

/// What was acknowledged or refused and could not be written down. Cheap to clone.
///
/// The sender fills it while the disk is full, and retention asks it, so that files may go and make room. It is locked
/// while the disk is written: two senders, of which a reload has ended one, never write the same file at the same time.
#[derive(Clone, Default)]
pub struct Owed(Arc<Mutex<Debt>>);

#[derive(Default)]
struct Debt {
    /// Of whom writing is taken: the last who has begun.
    turn: u64,
    place: PathBuf,
    state: Option<State>,
    /// Records that nobody takes, and the disk does not either.
    refused: Vec<u8>,
}

/// Whoever sends from a directory, and writes down how far that has come.
#[derive(Clone)]
pub(super) struct Writer {
    owed: Owed,
    turn: u64,
    directory: PathBuf,
}

impl Owed {
    /// The one who writes from now on; nothing is taken of those before.
    pub(super) fn writer(&self, directory: &Path) -> Writer {
        let mut debt = self.locked();
        debt.turn += 1;
        Writer {
            owed: self.clone(),
            turn: debt.turn,
            directory: directory.to_owned(),
        }
    }

    /// What was acknowledged in this directory.
    ///
    /// # Errors
    /// If that cannot be read.
    pub(super) fn read(&self, directory: &Path) -> io::Result<State> {
        match self.locked().of(directory) {
            Some(state) => Ok(state.clone()),
            None => State::read(directory),
        }
    }

    /// Closed files of which everything was acknowledged.
    ///
    /// # Errors
    /// If that cannot be read.
    pub(super) fn files(&self, directory: &Path) -> io::Result<BTreeSet<String>> {
        Ok(self.read(directory)?.files)
    }

    fn locked(&self) -> MutexGuard<'_, Debt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debt {
    fn of(&self, directory: &Path) -> Option<&State> {
        self.state.as_ref().filter(|_| self.place == directory)
    }

    /// Takes over a directory; what is owed to another one is lost, which costs records that come twice.
    fn at(&mut self, directory: &Path) {
        if self.place != directory {
            self.place = directory.to_owned();
            self.state = None;
            self.refused.clear();
        }
    }

    /// Puts refused records where they belong, before anything says that they are dealt with.
    fn settle(&mut self) -> io::Result<()> {
        if !self.refused.is_empty() {
            refuse(&self.place, &self.refused)?;
            self.refused = Vec::new();
        }
        Ok(())
    }
}

impl Writer {
    /// What was acknowledged.
    ///
    /// # Errors
    /// If that cannot be read.
    pub(super) fn read(&self) -> io::Result<State> {
        self.owed.read(&self.directory)
    }

    /// Writes it down, or keeps it in memory; says why, the first time that it cannot be written.
    pub(super) fn write(&self, state: &State) -> Option<io::Error> {
        let mut debt = self.owed.locked();
        if debt.turn != self.turn {
            return None;
        }
        debt.at(&self.directory);
        let was_owed = debt.state.take().is_some();
        let written = debt.settle().and_then(|()| state.write(&self.directory));
        let why = written.err()?;
        debt.state = Some(state.clone());
        (!was_owed).then_some(why)
    }

    /// Keeps a record that nobody takes, in memory where the disk does not take it; says why then, the first time.
    ///
    /// # Errors
    /// If there are too many in memory: it is not dealt with.
    pub(super) fn refuse(&self, record: &[u8]) -> io::Result<Option<io::Error>> {
        let mut debt = self.owed.locked();
        if debt.turn != self.turn {
            return Ok(None);
        }
        debt.at(&self.directory);
        let was_owed = !debt.refused.is_empty();
        let before = debt.refused.len();
        debt.refused.extend_from_slice(record);
        match debt.settle() {
            Ok(()) => Ok(None),
            Err(why) if before > 0 && debt.refused.len() > MOST_REFUSED => {
                debt.refused.truncate(before);
                Err(why)
            }
            Err(why) => Ok((!was_owed).then_some(why)),
        }
    }

    /// Whether something waits to be written down.
    pub(super) fn owes(&self) -> bool {
        let debt = self.owed.locked();
        debt.place == self.directory && (debt.state.is_some() || !debt.refused.is_empty())
    }
}

/// Keeps records that nobody takes.
fn refuse(directory: &Path, records: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(MODE);
    let mut file = options.open(directory.join(REFUSED))?;
    let before = file.metadata()?.len();
    let written = file.write_all(records).and_then(|()| file.sync_all());
    if written.is_err() {
        // They are written again, and half a line would break every reader.
        let _ = file.set_len(before);
    }
    written
}

/// What was acknowledged.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(super) struct State {
    version: u32,
    /// Closed files of which all was, by name.
    files: BTreeSet<String>,
    /// The file of which a part was, and how many octets.
    inode: u64,
    octets: u64,
    /// SHA-256 of the last octets of those, 4 KiB at most; empty if it is not known.
    #[serde(default)]
    tail: String,
    /// What was sent last, if it is not acknowledged: exactly that is sent again.
    #[serde(default)]
    pending: Option<Cut>,
}

/// A part of a file.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cut {
    inode: u64,
    from: u64,
    to: u64,
}

/// Where a batch ends.
pub(super) struct End {
    /// The file, if the batch is its last part and it is closed.
    closed: Option<String>,
    cut: Cut,
    tail: String,
}

/// Records that are sent together.
pub(super) struct Batch {
    pub(super) body: Vec<u8>,
    pub(super) records: u64,
    pub(super) end: End,
}

/// What is in the spool.
pub(super) struct Found {
    pub(super) batch: Option<Batch>,
    /// Octets that were not acknowledged.
    pub(super) waiting: u64,
    /// Whether what was acknowledged, or is about to be sent, is to be written down anew.
    pub(super) is_news: bool,
}

/// A file that may have more.
struct Entry {
    name: Option<String>,
    path: PathBuf,
    inode: u64,
    length: u64,
}

impl Entry {
    fn of(name: Option<String>, path: PathBuf, found: &Metadata) -> Self {
        Self {
            name,
            path,
            inode: found.ino(),
            length: found.len(),
        }
    }
}

impl State {
    fn read(directory: &Path) -> io::Result<Self> {
        let kept = whole::read(&directory.join(STATE), VERSION, |own: &Self| own.version)?;
        Ok(kept.unwrap_or(Self {
            version: VERSION,
            files: BTreeSet::new(),
            inode: 0,
            octets: 0,
            tail: String::new(),
            pending: None,
        }))
    }

    fn write(&self, directory: &Path) -> io::Result<()> {
        whole::write(&directory.join(STATE), self)
    }

    /// A batch is with whoever keeps records, or is passed over.
    pub(super) fn acknowledge(&mut self, end: End) {
        self.pending = None;
        match end.closed {
            Some(name) => self.close(name),
            None => {
                (self.inode, self.octets) = (end.cut.inode, end.cut.to);
                self.tail = end.tail;
            }
        }
    }

    /// It is cut anew the next time.
    pub(super) fn forget_cut(&mut self) {
        self.pending = None;
    }

    fn close(&mut self, name: String) {
        self.files.insert(name);
        (self.inode, self.octets) = (0, 0);
        self.tail.clear();
    }

    /// Where reading of a file goes on, by its length.
    fn begin(&self, inode: u64, length: u64) -> u64 {
        match self.inode == inode && self.octets <= length {
            true => self.octets,
            false => 0,
        }
    }

    /// The same, by what stands before that as well.
    fn begin_in(&self, file: &mut File, inode: u64, length: u64) -> io::Result<u64> {
        let begin = self.begin(inode, length);
        let is_same = begin == 0 || self.tail.is_empty() || tail(file, begin)? == self.tail;
        Ok(if is_same { begin } else { 0 })
    }

    /// Octets that were not acknowledged.
    pub(super) fn waiting(&self, directory: &Path) -> io::Result<u64> {
        let current = current(directory)?;
        let entries = self.entries(directory, current, &closed(directory)?)?;
        Ok(self.sum(&entries))
    }

    fn sum(&self, entries: &[Entry]) -> u64 {
        let rest = |own: &Entry| own.length - self.begin(own.inode, own.length);
        entries.iter().map(rest).sum()
    }

    /// Files that may have more, the next one first. None of them is opened.
    ///
    /// The current one was looked at before names were read: if it is closed meanwhile, it is among those. The other
    /// way round the one that follows it would stand here in its place.
    fn entries(
        &self,
        directory: &Path,
        current: Option<Metadata>,
        closed: &[String],
    ) -> io::Result<Vec<Entry>> {
        let unsent = closed.iter().filter(|name| !self.files.contains(*name));
        let mut entries: Vec<Entry> = Vec::new();
        for name in unsent {
            let path = directory.join(name);
            if let Some(found) = metadata(&path)? {
                entries.push(Entry::of(Some(name.clone()), path, &found));
            }
        }
        if let Some(found) = current
            && entries.iter().all(|own| own.inode != found.ino())
        {
            entries.push(Entry::of(None, directory.join(CURRENT), &found));
        }
        // The one that was begun is the first, even if the clock was set back meanwhile.
        entries.sort_by_key(|own| own.inode != self.inode);
        Ok(entries)
    }

    /// The next records, at most so many, or those that were sent last. Files that have no more are noted as done.
    pub(super) fn next(&mut self, directory: &Path, most: usize) -> io::Result<Found> {
        let current = current(directory)?;
        let there = closed(directory)?;
        let known = self.files.len();
        self.files.retain(|name| there.contains(name));
        let mut is_news = self.files.len() != known;
        let entries = self.entries(directory, current, &there)?;
        let waiting = self.sum(&entries);
        let found = |batch, is_news| {
            Ok(Found {
                batch,
                waiting,
                is_news,
            })
        };
        for entry in entries {
            let begin = self.begin(entry.inode, entry.length);
            if entry.name.is_none() && begin == entry.length {
                continue;
            }
            let mut file = match File::open(&entry.path) {
                Ok(file) => file,
                Err(why) if why.kind() == io::ErrorKind::NotFound => return found(None, is_news),
                Err(why) => return Err(why),
            };
            let (inode, length) = file.metadata().map(|own| (own.ino(), own.len()))?;
            if inode != entry.inode {
                // It was closed meanwhile, and is among the others the next time.
                return found(None, is_news);
            }
            let begin = self.begin_in(&mut file, inode, length)?;
            let again = self.pending.filter(|cut| {
                cut.inode == inode && cut.from == begin && cut.to > begin && cut.to <= length
            });
            let again = again.map(|cut| part(&mut file, cut)).transpose()?.flatten();
            // Fewer go by now than when it was cut: somebody has configured that.
            let again = again.filter(|(_, records)| *records as usize <= most);
            let (body, records) = match again {
                Some(again) => again,
                None => lines(&mut file, begin, most)?,
            };
            if records > 0 {
                let to = begin + body.len() as u64;
                let cut = Cut {
                    inode,
                    from: begin,
                    to,
                };
                is_news |= self.pending != Some(cut);
                self.pending = Some(cut);
                let end = End {
                    closed: entry.name.filter(|_| to == length),
                    cut,
                    tail: tail(&mut file, to)?,
                };
                return found(Some(Batch { body, records, end }), is_news);
            }
            if let Some(name) = entry.name {
                self.close(name);
                is_news = true;
            }
        }
        found(None, is_news)
    }
}

/// The file that is being written, if there is one.
fn current(directory: &Path) -> io::Result<Option<Metadata>> {
    metadata(&directory.join(CURRENT))
}

/// Of a file, unless somebody took it away.
fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// Closed files by name, the oldest first.
fn closed(directory: &Path) -> io::Result<Vec<String>> {
    let mut closed = Vec::new();
    for path in closed_files(directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(at) = closed_at(&name) {
            closed.push((at, name.len(), name.into_owned()));
        }
    }
    closed.sort();
    Ok(closed.into_iter().map(|(.., name)| name).collect())
}

/// In hexadecimal digits.
pub(super) fn digest(octets: &[u8]) -> String {
    let digest = Sha256::digest(octets);
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// What stands before this place.
fn tail(file: &mut File, to: u64) -> io::Result<String> {
    let length = to.min(TAIL);
    file.seek(SeekFrom::Start(to - length))?;
    let mut octets = Vec::new();
    file.take(length).read_to_end(&mut octets)?;
    Ok(digest(&octets))
}

/// A part of a file, if it has whole lines.
fn part(file: &mut File, cut: Cut) -> io::Result<Option<(Vec<u8>, u64)>> {
    file.seek(SeekFrom::Start(cut.from))?;
    let mut body = Vec::new();
    file.take(cut.to - cut.from).read_to_end(&mut body)?;
    let records = body.iter().filter(|octet| **octet == b'\n').count() as u64;
    Ok((body.last() == Some(&b'\n')).then_some((body, records)))
}

/// Whole lines from there on, at most so many.
fn lines(file: &mut File, begin: u64, most: usize) -> io::Result<(Vec<u8>, u64)> {
    file.seek(SeekFrom::Start(begin))?;
    let mut file = BufReader::new(file);
    let (mut body, mut records) = (Vec::new(), 0);
    loop {
        let before = body.len();
        if records as usize >= most || before >= MOST_BYTES {
            return Ok((body, records));
        }
        file.read_until(b'\n', &mut body)?;
        let is_whole = body.len() > before && body.last() == Some(&b'\n');
        let is_much = records > 0 && body.len() > MOST_BYTES;
        if !is_whole || is_much {
            // It is being written, or is the first of the next.
            body.truncate(before);
            return Ok((body, records));
        }
        records += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: &str = "2026-01-15T10-00-00-000Z.jsonl";
    const EARLIER: &str = "2026-01-15T09-00-00-000Z.jsonl";

    fn shipped(directory: &Path) -> io::Result<BTreeSet<String>> {
        Owed::default().files(directory)
    }

    fn text(found: &Found) -> &str {
        let batch = found.batch.as_ref().unwrap();
        std::str::from_utf8(&batch.body).unwrap()
    }

    fn taken(state: &mut State, directory: &Path, most: usize) -> Option<String> {
        let found = state.next(directory, most).unwrap();
        let told = found.batch.is_some().then(|| text(&found).to_owned());
        if let Some(batch) = found.batch {
            assert_eq!(batch.records, told.as_ref().unwrap().lines().count() as u64);
            state.acknowledge(batch.end);
        }
        state.write(directory).unwrap();
        *state = State::read(directory).unwrap();
        told
    }

    #[test]
    fn every_record_comes_once_while_files_are_closed_and_the_clock_is_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, current) = (folder.path(), folder.path().join(CURRENT));
        let mut state = State::read(directory).unwrap();
        assert_eq!(taken(&mut state, directory, 10), None);
        fs::write(&current, "1\n2\n3\nhal").unwrap();
        assert_eq!(taken(&mut state, directory, 2).as_deref(), Some("1\n2\n"));
        // Closed with a part that was not sent, and the next has begun.
        fs::write(&current, "1\n2\n3\nhalf\n").unwrap();
        fs::rename(&current, directory.join(CLOSED)).unwrap();
        fs::write(&current, "5\n").unwrap();
        // Closed after it, by a clock that was set back.
        fs::write(directory.join(EARLIER), "4\n").unwrap();
        fs::write(directory.join("notes.jsonl"), "not ours\n").unwrap();
        assert_eq!(
            taken(&mut state, directory, 10).as_deref(),
            Some("3\nhalf\n")
        );
        assert!(shipped(directory).unwrap().contains(CLOSED));
        assert_eq!(state.next(directory, 10).unwrap().waiting, 4);
        assert_eq!(taken(&mut state, directory, 10).as_deref(), Some("4\n"));
        assert_eq!(taken(&mut state, directory, 10).as_deref(), Some("5\n"));
        assert_eq!(taken(&mut state, directory, 10), None);
        // Closed when everything was sent.
        fs::rename(&current, directory.join("2026-01-15T11-00-00-000Z.jsonl")).unwrap();
        assert_eq!(taken(&mut state, directory, 10), None);
        assert_eq!(shipped(directory).unwrap().len(), 3);
        // What is removed is not remembered for ever.
        fs::remove_file(directory.join(CLOSED)).unwrap();
        assert_eq!(taken(&mut state, directory, 10), None);
        assert_eq!(shipped(directory).unwrap().len(), 2);
    }

    #[test]
    fn a_batch_has_a_mebibyte_at_most_unless_it_is_one_record() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(MOST_BYTES + 10);
        fs::write(folder.path().join(CURRENT), format!("{long}\n1\n{long}\n")).unwrap();
        let mut state = State::read(folder.path()).unwrap();
        let mut next = || taken(&mut state, folder.path(), 10).unwrap().len();
        assert_eq!(
            [next(), next(), next()],
            [MOST_BYTES + 11, 2, MOST_BYTES + 11]
        );
    }

    #[test]
    fn what_was_sent_is_cut_in_the_same_place_whatever_is_appended() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, current) = (folder.path(), folder.path().join(CURRENT));
        fs::write(&current, "1\n").unwrap();
        let mut state = State::read(directory).unwrap();
        let found = state.next(directory, 10).unwrap();
        assert_eq!((text(&found), found.is_news), ("1\n", true));
        state.write(directory).unwrap();
        // Written on, closed, and found by a restart.
        fs::write(&current, "1\n2\n").unwrap();
        fs::rename(&current, directory.join(CLOSED)).unwrap();
        let mut state = State::read(directory).unwrap();
        let found = state.next(directory, 10).unwrap();
        assert_eq!((text(&found), found.is_news), ("1\n", false));
        assert_eq!(taken(&mut state, directory, 10).as_deref(), Some("1\n"));
        assert_eq!(taken(&mut state, directory, 10).as_deref(), Some("2\n"));
        // The file ends before what was sent.
        fs::write(&current, "3\n4\n").unwrap();
        assert_eq!(text(&state.next(directory, 10).unwrap()), "3\n4\n");
        fs::write(&current, "3\n").unwrap();
        assert_eq!(text(&state.next(directory, 10).unwrap()), "3\n");
    }

    #[test]
    fn a_file_that_is_closed_while_names_are_read_is_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, path) = (folder.path(), folder.path().join(CURRENT));
        fs::write(&path, "1\n").unwrap();
        let state = State::read(directory).unwrap();
        let before = current(directory).unwrap();
        fs::rename(&path, directory.join(CLOSED)).unwrap();
        fs::write(&path, "2\n").unwrap();
        let names = closed(directory).unwrap();
        let entries = state.entries(directory, before, &names).unwrap();
        let found: Vec<_> = entries.iter().map(|own| own.name.as_deref()).collect();
        assert_eq!(found, [Some(CLOSED)]);
    }

    #[test]
    fn a_file_that_a_loss_of_power_has_changed_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (directory, current) = (folder.path(), folder.path().join(CURRENT));
        let long = "x".repeat(5_000);
        fs::write(&current, format!("{long}\n1\n")).unwrap();
        let mut state = State::read(directory).unwrap();
        let mut next = || taken(&mut state, directory, 10);
        assert_eq!(next(), Some(format!("{long}\n1\n")));
        fs::write(&current, format!("{long}\n1\n2\n")).unwrap();
        assert_eq!(next().as_deref(), Some("2\n"));
        // The same inode, and as long, but the end is another one.
        let other = format!("{long}\n3\n4\n5\n");
        fs::write(&current, &other).unwrap();
        assert_eq!(next(), Some(other));
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_known_to_whoever_asks() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path();
        fs::write(directory.join(CLOSED), "1\n").unwrap();
        // Nothing can be written beside it.
        let beside = directory.join("shipped.new");
        fs::create_dir(&beside).unwrap();
        let owed = Owed::default();
        let writer = owed.writer(directory);
        let mut state = writer.read().unwrap();
        let batch = state.next(directory, 10).unwrap().batch.unwrap();
        assert!(writer.write(&state).is_some());
        state.acknowledge(batch.end);
        // It is told once.
        assert!(writer.write(&state).is_none());
        assert!(writer.owes());
        assert!(shipped(directory).unwrap().is_empty());
        assert!(owed.files(directory).unwrap().contains(CLOSED));
        assert!(owed.files(&beside).unwrap().is_empty());
        fs::remove_dir(&beside).unwrap();
        assert!(writer.write(&state).is_none());
        assert!(!writer.owes());
        assert!(shipped(directory).unwrap().contains(CLOSED));
    }

    #[test]
    fn who_was_replaced_writes_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path();
        fs::write(directory.join(CLOSED), "1\n").unwrap();
        let owed = Owed::default();
        let former = owed.writer(directory);
        let mut state = former.read().unwrap();
        let batch = state.next(directory, 10).unwrap().batch.unwrap();
        state.acknowledge(batch.end);
        let present = owed.writer(directory);
        assert!(former.write(&state).is_none());
        assert!(former.refuse(b"1\n").unwrap().is_none());
        assert!(shipped(directory).unwrap().is_empty() && !directory.join(REFUSED).exists());
        assert!(present.write(&state).is_none());
        assert!(shipped(directory).unwrap().contains(CLOSED));
    }

    #[test]
    fn refused_records_in_memory_are_bounded_and_come_before_what_says_that_they_are_dealt_with() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path();
        fs::create_dir(directory.join(REFUSED)).unwrap();
        let writer = Owed::default().writer(directory);
        let long = vec![b'x'; MOST_REFUSED / 2];
        assert!(writer.refuse(&long).unwrap().is_some());
        assert!(writer.refuse(&long).unwrap().is_none(), "it is told once");
        assert!(writer.refuse(b"1\n").is_err());
        let state = writer.read().unwrap();
        assert!(writer.write(&state).is_some());
        assert!(!directory.join(STATE).exists());
        fs::remove_dir(directory.join(REFUSED)).unwrap();
        assert!(writer.write(&state).is_none());
        let refused = fs::read(directory.join(REFUSED)).unwrap();
        assert_eq!(refused.len(), MOST_REFUSED);
        assert!(directory.join(STATE).exists());
    }

    #[test]
    fn a_cut_that_is_larger_than_what_is_configured_by_now_is_cut_anew() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path();
        fs::write(directory.join(CURRENT), "1\n2\n3\n").unwrap();
        let mut state = State::read(directory).unwrap();
        assert_eq!(text(&state.next(directory, 3).unwrap()), "1\n2\n3\n");
        assert_eq!(text(&state.next(directory, 5).unwrap()), "1\n2\n3\n");
        assert_eq!(text(&state.next(directory, 2).unwrap()), "1\n2\n");
    }
}
