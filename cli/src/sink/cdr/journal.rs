//! The calls that are up, on the disk: of what a daemon leaves behind that ends without a word, the next one
//! makes their records (OPS-060, OPS-151).
//!
//! One line of JSON for each call that is taken, answered, transferred or ended, with its record as it stands; one when
//! it is over, written after its record; and each second one that says that the daemon lives. Between its end and its
//! record a call's media drain and its peers are waited for: what is lost then has an end and a cause, and but for the
//! figures of its media its record is whole. The file is written anew when most of it is about calls that are over. How
//! long a call was is told by a clock that nobody sets: lines say when they were written by that of their run, which is
//! one opening of the file. Of a call that goes on in the next run the clock of the host tells once how long it has been
//! answered, and its line is written anew by the clock of that run.

use super::force::{Batch, Forcer};
use super::lost::{Lost, answered, until};
use super::spool::{MODE, mend};
use super::told::written;
use crate::sink::json;
use crate::sink::log::wall_clock;
use sbc_core::id::CallId;
use sbc_core::record::{PairRecord, Record};
use sbc_core::time::UnixTime;
use serde::Serialize;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The file beside those of the spool; nobody takes it for one of them.
const FILE: &str = "open.journal";
/// What is to take its place.
const BESIDE: &str = "open.journal.new";
/// What the file may have before it is written anew.
const USUAL_BYTES: u64 = 4 << 20;

/// The file.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    open_bytes: u64,
    open: HashMap<CallId, Place>,
    is_dirty: bool,
    /// What is to take its place, once it is on the disk.
    copy: Option<Copied>,
    /// Number of this opening of the file, and when it was.
    run: u64,
    begun: Instant,
    /// How long each run before was, as far as its lines tell: needed as long as lines of it are.
    runs: HashMap<u64, u64>,
    /// Calls that have their records in the spool, of which nothing says here that they are over.
    recorded: Vec<CallId>,
    /// Calls of which the file said that they are over when it was opened.
    pub(super) over: Vec<CallId>,
    /// What could not be read or removed, for the operator.
    unread: Vec<String>,
}

/// The lines of all calls that were up at some time, in a file of their own.
struct Copied {
    file: File,
    beside: PathBuf,
    bytes: u64,
    /// Where each is in the old file and in this one.
    places: HashMap<CallId, (u64, u64)>,
    /// Whoever forces it to the disk calls it so.
    batch: Option<Batch>,
}

/// Where a call's last line is.
struct Place {
    at: u64,
    length: usize,
    /// Of which run it is.
    run: u64,
    answered: Option<Instant>,
    /// How long it had been answered when it was seen last, where a run before has told of it.
    seen: Option<Duration>,
    /// It has ended, and its record is to come.
    is_ended: bool,
    /// Interim records that were made.
    told: u32,
}

/// What is to be written.
#[derive(Debug)]
pub(super) enum Note {
    /// A call is up, or something has changed in it.
    Open {
        record: Arc<Record>,
        pairs: bool,
        at: UnixTime,
        /// It was up in the process before this one.
        goes_on: bool,
    },
    /// Its record is written.
    End(CallId),
}

impl Note {
    /// Whom it is about.
    pub(super) fn call(&self) -> CallId {
        match self {
            Self::Open { record, .. } => record.call,
            Self::End(call) => *call,
        }
    }
}

/// The line of a call: when it was written, and when the call was answered, by the clock of this opening; before it
/// began where that is negative.
#[derive(Serialize)]
struct Opened<'a> {
    run: u64,
    up_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_ms: Option<i64>,
    at: String,
    open: &'a Record,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pairs: Vec<PairRecord<'a>>,
}

impl Journal {
    /// Opens the file of a spool, or makes it, and tells which calls were up when it was written last and have
    /// no record. They stay in it until [`Note::End`], as do those that [`Self::recorded`] tells of.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn open(directory: &Path) -> io::Result<(Self, Vec<Lost>)> {
        let path = directory.join(FILE);
        let _ = fs::remove_file(directory.join(BESIDE));
        mend(&path)?;
        let file = opened(&path)?;
        let mut own = Self {
            path,
            bytes: file.metadata()?.len(),
            file,
            open_bytes: 0,
            open: HashMap::new(),
            is_dirty: false,
            copy: None,
            run: 1,
            begun: Instant::now(),
            runs: HashMap::new(),
            recorded: Vec::new(),
            over: Vec::new(),
            unread: Vec::new(),
        };
        let mut lost = own.read()?;
        let calls = own.open.keys().copied().collect();
        let written = written(directory, &calls, &mut own.unread)?;
        lost.retain(|one| !written.contains(&one.call));
        own.recorded = written.into_iter().collect();
        lost.sort_by_key(|one| one.call);
        Ok((own, lost))
    }

    fn read(&mut self) -> io::Result<Vec<Lost>> {
        let mut last: HashMap<CallId, Value> = HashMap::new();
        let mut alive = UnixTime::default();
        // How long each run was, as far as its lines tell.
        let mut runs: HashMap<u64, u64> = HashMap::new();
        let mut at = 0;
        for line in BufReader::new(File::open(&self.path)?).split(b'\n') {
            let line = line?;
            let (begin, length) = (at, line.len());
            at += length as u64 + 1;
            // What is damaged is passed over: the rest is worth money.
            let Ok(mut told) = serde_json::from_slice::<Value>(&line) else {
                continue;
            };
            let time = told["at"].as_str().and_then(UnixTime::of_rfc3339);
            // Not the latest: the clock may have been ahead.
            alive = time.unwrap_or(alive);
            if let (Some(run), Some(up)) = (told["run"].as_u64(), told["up_ms"].as_u64()) {
                let longest = runs.entry(run).or_default();
                *longest = up.max(*longest);
            }
            let call = |value: &Value| value.as_str()?.parse::<CallId>().ok();
            if let Some(call) = call(&told["end"]) {
                last.remove(&call);
                self.forget(call);
                self.over.push(call);
            } else if let Some(call) = call(&told["open"]["call"]) {
                let place = Place {
                    at: begin,
                    length,
                    run: told["run"].as_u64().unwrap_or_default(),
                    answered: None,
                    seen: None,
                    is_ended: !told["open"]["end"].is_null(),
                    told: 0,
                };
                self.note(call, place);
                last.insert(call, told.take());
            }
        }
        self.run = runs.keys().max().map_or(1, |last| last + 1);
        let length = |told: &Value| {
            let up = i64::try_from(*runs.get(&told["run"].as_u64()?)?).ok()?;
            let length = up.saturating_sub(told["answered_ms"].as_i64()?);
            Some(Duration::from_millis(u64::try_from(length).unwrap_or(0)))
        };
        // Some may go on.
        for (call, told) in &last {
            if let Some(place) = self.open.get_mut(call) {
                place.answered = answered(&told["open"]).map(ago);
                place.seen = length(told);
            }
        }
        let lost = last.into_iter().map(|(call, told)| {
            let length = length(&told);
            Lost::of(call, told, length, alive)
        });
        let lost = lost.collect();
        self.runs = runs;
        Ok(lost)
    }

    /// Calls that were found to have their records, of which nothing says here that they are over: once they are on the
    /// disk that is to be said.
    pub(super) fn recorded(&mut self) -> Vec<CallId> {
        std::mem::take(&mut self.recorded)
    }

    /// Writes anew, by the clock of this run, what is known of calls of the run before that go on.
    ///
    /// # Errors
    /// What the operating system says; nothing of it is written then.
    pub(super) fn go_on(&mut self, calls: &HashSet<CallId>, now: UnixTime) -> io::Result<()> {
        let up_ms = self.up_ms(Instant::now());
        let (mut text, mut places) = (Vec::new(), Vec::new());
        for call in calls {
            let Some(place) = self.open.get(call) else {
                continue;
            };
            if place.run == self.run || place.is_ended {
                continue;
            }
            // One that cannot be read is told of when something changes in it.
            let Ok(line) = line_at(&self.file, place) else {
                continue;
            };
            let Ok(mut told) = serde_json::from_slice::<Value>(&line) else {
                continue;
            };
            if !told.is_object() {
                continue;
            }
            told["run"] = self.run.into();
            told["up_ms"] = up_ms.into();
            told["at"] = now.rfc3339().into();
            if let Some(at) = place.answered {
                told["answered_ms"] = self.since_begun(at).into();
            }
            let begin = text.len();
            serde_json::to_writer(&mut text, &told)?;
            let place = Place {
                at: self.bytes + begin as u64,
                length: text.len() - begin,
                run: self.run,
                ..*place
            };
            text.push(b'\n');
            places.push((*call, place));
        }
        self.append(&text)?;
        for (call, place) in places {
            self.note(call, place);
        }
        Ok(())
    }

    /// Writes what is new. What has begun and ended in between is not mentioned.
    ///
    /// # Errors
    /// What the operating system says; nothing of it is written then.
    pub(super) fn write(&mut self, notes: &[Note]) -> io::Result<()> {
        // The last word about each is enough.
        let last: HashMap<CallId, usize> = notes
            .iter()
            .enumerate()
            .map(|(at, note)| (note.call(), at))
            .collect();
        // Whatever else is told of them, they were answered before.
        let before: HashSet<CallId> = notes
            .iter()
            .filter(|note| matches!(note, Note::Open { goes_on: true, .. }))
            .map(Note::call)
            .collect();
        let mut text = String::new();
        let (mut opened, mut ended) = (Vec::new(), Vec::new());
        for (at, note) in notes.iter().enumerate() {
            if last.get(&note.call()) != Some(&at) {
                continue;
            }
            match note {
                Note::Open {
                    record, pairs, at, ..
                } => {
                    let known = self.open.get(&record.call);
                    let is_before = before.contains(&record.call);
                    let since = |setup_ms| match is_before {
                        true => ago(record.start + Duration::from_millis(setup_ms)),
                        false => Instant::now(),
                    };
                    let answered = known
                        .and_then(|own| own.answered)
                        .or_else(|| record.setup_ms.map(since));
                    let told = Opened {
                        run: self.run,
                        up_ms: self.up_ms(Instant::now()),
                        answered_ms: answered.map(|at| self.since_begun(at)),
                        at: at.rfc3339(),
                        open: record,
                        pairs: if *pairs { record.pairs() } else { Vec::new() },
                    };
                    let begin = text.len();
                    json::write(&mut text, &told)?;
                    let seen = answered.filter(|_| is_before).map(|at| at.elapsed());
                    let place = Place {
                        at: self.bytes + begin as u64,
                        length: text.len() - begin,
                        run: self.run,
                        answered,
                        seen: known.map_or(seen, |own| own.seen),
                        is_ended: record.end.is_some(),
                        told: known.map_or(0, |own| own.told),
                    };
                    opened.push((record.call, place));
                }
                Note::End(call) => {
                    ended.push(*call);
                    if !self.open.contains_key(call) {
                        continue;
                    }
                    text.push_str(&end_line(*call));
                }
            }
            text.push('\n');
        }
        self.append(text.as_bytes())?;
        for (call, place) in opened {
            self.note(call, place);
        }
        for call in ended {
            self.forget(call);
        }
        Ok(())
    }

    /// How long this opening of the file was, at that moment.
    fn up_ms(&self, at: Instant) -> u64 {
        let up = at.saturating_duration_since(self.begun).as_millis();
        u64::try_from(up).unwrap_or(u64::MAX)
    }

    /// When it was by the clock of this opening of the file, also before it.
    fn since_begun(&self, at: Instant) -> i64 {
        let whole = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        match at.checked_duration_since(self.begun) {
            Some(since) => whole(since),
            None => -whole(self.begun.saturating_duration_since(at)),
        }
    }

    /// The line that says that we live.
    fn alive(&self, now: UnixTime) -> String {
        let (run, up_ms) = (self.run, self.up_ms(Instant::now()));
        format!(
            "{{\"run\":{run},\"up_ms\":{up_ms},\"at\":\"{}\"}}\n",
            now.rfc3339()
        )
    }

    /// Says that we live, and writes the file anew if it has gone, or if it has grown: beside it then, until that is on
    /// the disk.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn tick(&mut self, now: UnixTime, forcer: &Forcer) -> io::Result<()> {
        if !self.open.is_empty() {
            self.append(self.alive(now).as_bytes())?;
        }
        let place = |of: &fs::Metadata| (of.dev(), of.ino());
        let named = fs::metadata(&self.path).ok().as_ref().map(place);
        let directory = self.path.parent().unwrap_or(Path::new(".")).to_owned();
        if named != Some(place(&self.file.metadata()?)) {
            self.renew(&directory, now)?;
        } else if let Some(copy) = self.copy.take() {
            match copy.batch.and_then(|batch| forcer.has_forced(batch)) {
                Some(true) => self.adopt(copy, &directory, now)?,
                // It is tried again.
                Some(false) => drop(fs::remove_file(&copy.beside)),
                None => self.copy = Some(copy),
            }
        } else if self.bytes > USUAL_BYTES && self.bytes > 3 * self.open_bytes {
            self.copy = Some(self.copied(&directory)?);
        }
        Ok(())
    }

    /// What is to be forced to the disk, which whoever takes it does and then says how it is called.
    pub(super) fn unforced(&mut self) -> io::Result<Vec<File>> {
        let mut files = Vec::new();
        if self.is_dirty {
            files.push(self.file.try_clone()?);
        }
        if let Some(copy) = self.copy.as_ref().filter(|copy| copy.batch.is_none()) {
            files.push(copy.file.try_clone()?);
        }
        self.is_dirty = false;
        Ok(files)
    }

    /// What was to be forced is in this batch.
    pub(super) fn given(&mut self, batch: Batch) {
        if let Some(copy) = &mut self.copy {
            copy.batch.get_or_insert(batch);
        }
    }

    /// Interim records of calls that have been answered for another so long (OPS-060).
    pub(super) fn interim(&mut self, every: Duration) -> Vec<Box<str>> {
        let mut lines = Vec::new();
        // Of a run before are those of which nobody knows yet whether they go on, and those that do not.
        let run = self.run;
        let talks = |own: &&mut Place| !own.is_ended && own.run == run;
        for place in self.open.values_mut().filter(talks) {
            let Some(elapsed) = place.answered.map(|at| at.elapsed()) else {
                continue;
            };
            if let Some(seen) = place.seen.take() {
                // The run before has told of these.
                let told = seen.as_millis().checked_div(every.as_millis());
                place.told = told.map_or(0, |told| u32::try_from(told).unwrap_or(u32::MAX));
            }
            if elapsed < every.saturating_mul(place.told.saturating_add(1)) {
                continue;
            }
            place.told += 1;
            // What cannot be read keeps no other from being told.
            let Ok(line) = line_at(&self.file, place) else {
                continue;
            };
            let Ok(mut told) = serde_json::from_slice::<Value>(&line) else {
                continue;
            };
            let mut record = told["open"].take();
            if let Some(answered) = answered(&record) {
                until(&mut record, Vec::new(), answered + elapsed);
            }
            record["disposition"] = "answered".into();
            record["cause"] = Value::Null;
            record["interim"] = place.told.into();
            lines.push(record.to_string().into());
        }
        lines
    }

    /// Takes the calls along to another spool. The old disk may be what the operator flees from: whatever it can still
    /// do is welcome, and nothing of it is needed. Tells which calls a daemon has left behind in the new place that
    /// ended there without a word: what is known of them is in the answer alone.
    ///
    /// # Errors
    /// What the operating system says of the new place; all is at the old one then.
    pub(super) fn move_to(&mut self, directory: &Path, now: UnixTime) -> io::Result<Vec<Lost>> {
        let old = self.path.clone();
        let place = |of: &fs::Metadata| (of.dev(), of.ino());
        let there = fs::metadata(directory.join(FILE)).ok().as_ref().map(place);
        // It may be another name of the place that it is in already.
        let is_ours = there.is_none() || there == Some(place(&self.file.metadata()?));
        let lost = match is_ours {
            true => Vec::new(),
            false => {
                let (mut left, lost) = Self::open(directory)?;
                self.unread.append(&mut left.unread);
                lost
            }
        };
        self.renew(directory, now)?;
        if old != self.path
            && let Err(why) = fs::remove_file(&old)
        {
            self.unread
                .push(format!("{} stays there: {why}", old.display()));
        }
        Ok(lost)
    }

    /// What could not be read, or not be removed, since this was asked last.
    pub(super) fn unread(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unread)
    }

    /// Whether the call is among those that are up.
    pub(super) fn has(&self, call: CallId) -> bool {
        self.open.contains_key(&call)
    }

    /// The record of the call is written: it talks no more.
    pub(super) fn over(&mut self, call: CallId) {
        if let Some(place) = self.open.get_mut(&call) {
            place.is_ended = true;
        }
    }

    /// The end: a file about nobody is emptied.
    pub(super) fn finish(&mut self) {
        self.forget_copy();
        if self.open.is_empty() {
            // What is in it says that all is over, too.
            let _ = self.file.set_len(0);
        }
        if self.file.sync_data().is_ok() {
            self.is_dirty = false;
        }
    }

    /// Writes what is about calls that are up beside the old file, and puts it in its place, at once.
    fn renew(&mut self, directory: &Path, now: UnixTime) -> io::Result<()> {
        self.forget_copy();
        let copy = self.copied(directory)?;
        copy.file.sync_data()?;
        self.adopt(copy, directory, now)
    }

    fn forget_copy(&mut self) {
        if let Some(copy) = self.copy.take() {
            let _ = fs::remove_file(&copy.beside);
        }
    }

    /// A file with the lines of all calls that are up and can be read.
    fn copied(&self, directory: &Path) -> io::Result<Copied> {
        let beside = directory.join(BESIDE);
        let _ = fs::remove_file(&beside);
        let mut copy = Copied {
            file: opened(&beside)?,
            beside,
            bytes: 0,
            places: HashMap::new(),
            batch: None,
        };
        // How long their runs were would be gone with the lines of others.
        let mut runs: HashMap<u64, u64> = self.runs.clone();
        runs.retain(|run, _| self.open.values().any(|own| own.run == *run));
        let mut text: Vec<u8> = Vec::new();
        for (run, up_ms) in runs {
            text.extend_from_slice(format!("{{\"run\":{run},\"up_ms\":{up_ms}}}\n").as_bytes());
        }
        if let Err(why) = copy.file.write_all(&text) {
            let _ = fs::remove_file(&copy.beside);
            return Err(why);
        }
        copy.bytes = text.len() as u64;
        for (call, place) in &self.open {
            let Ok(mut line) = line_at(&self.file, place) else {
                continue;
            };
            line.push(b'\n');
            if let Err(why) = copy.file.write_all(&line) {
                // On a full disk it would take the room that is missing.
                let _ = fs::remove_file(&copy.beside);
                return Err(why);
            }
            copy.places.insert(*call, (place.at, copy.bytes));
            copy.bytes += line.len() as u64;
        }
        Ok(copy)
    }

    /// Puts a copy in the place of the file, with what has been written since it was made. A call whose line cannot be
    /// read any more is left out: it has its record at its end, as long as we live.
    fn adopt(&mut self, mut copy: Copied, directory: &Path, now: UnixTime) -> io::Result<()> {
        let (mut since, mut unread) = (Vec::new(), 0);
        let mut places = HashMap::new();
        for (call, place) in &self.open {
            let known = copy.places.remove(call);
            if let Some((_, at)) = known.filter(|(old, _)| *old == place.at) {
                places.insert(*call, at);
            } else if let Ok(mut line) = line_at(&self.file, place) {
                places.insert(*call, copy.bytes + since.len() as u64);
                line.push(b'\n');
                since.extend_from_slice(&line);
            } else {
                unread += 1;
            }
        }
        // Those that are left have ended since.
        for call in copy.places.keys() {
            since.extend_from_slice(end_line(*call).as_bytes());
            since.push(b'\n');
        }
        // Whoever kills us before the next such line makes no call shorter.
        if !places.is_empty() {
            since.extend_from_slice(self.alive(now).as_bytes());
        }
        let path = directory.join(FILE);
        let done = copy.file.write_all(&since);
        if let Err(why) = done.and_then(|()| fs::rename(&copy.beside, &path)) {
            let _ = fs::remove_file(&copy.beside);
            return Err(why);
        }
        if unread > 0 {
            let old = self.path.display();
            self.unread
                .push(format!("{unread} calls that are up, in {old}"));
        }
        self.open_bytes = 0;
        for (call, place) in std::mem::take(&mut self.open) {
            if let Some(at) = places.remove(&call) {
                self.open_bytes += place.length as u64;
                self.open.insert(call, Place { at, ..place });
            }
        }
        self.bytes = copy.bytes + since.len() as u64;
        (self.path, self.file, self.is_dirty) = (path, copy.file, true);
        Ok(())
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if let Err(why) = self.file.write_all(text) {
            let _ = self.file.set_len(self.bytes);
            return Err(why);
        }
        self.bytes += text.len() as u64;
        self.is_dirty = true;
        Ok(())
    }

    fn note(&mut self, call: CallId, place: Place) {
        self.forget(call);
        self.open_bytes += place.length as u64;
        self.open.insert(call, place);
    }

    fn forget(&mut self, call: CallId) -> Option<Place> {
        let place = self.open.remove(&call)?;
        self.open_bytes = self.open_bytes.saturating_sub(place.length as u64);
        Some(place)
    }
}

/// The line of a call that has its record.
fn end_line(call: CallId) -> String {
    format!("{{\"end\":\"{call}\"}}")
}

/// That moment of the clock of the host, by the one that nobody sets; now, if it is to come.
fn ago(at: UnixTime) -> Instant {
    let ago = wall_clock().as_micros().saturating_sub(at.as_micros());
    let now = Instant::now();
    now.checked_sub(Duration::from_micros(ago)).unwrap_or(now)
}

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(MODE)
        .open(path)
}

fn line_at(file: &File, place: &Place) -> io::Result<Vec<u8>> {
    let mut line = vec![0; place.length];
    file.read_exact_at(&mut line, place.at)?;
    Ok(line)
}

#[cfg(test)]
mod again;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::cdr::spool::CURRENT;
    use crate::sink::fixture;
    use crate::sink::log::{Form, Level, Log};
    use serde_json::json;

    /// 2026-01-15T10:00:00Z, when calls of tests begin, and so many seconds later.
    fn at(seconds: u64) -> UnixTime {
        fixture::record(0).start + Duration::from_secs(seconds)
    }

    fn up(call: u128) -> Note {
        let mut record = fixture::record(call);
        record.end = None;
        note(record)
    }

    fn rings(call: u128) -> Note {
        let mut record = fixture::record(call);
        (record.setup_ms, record.answered_by, record.end) = (None, None, None);
        note(record)
    }

    /// Its media drain.
    fn drains(call: u128) -> Note {
        note(fixture::record(call))
    }

    fn note(record: Record) -> Note {
        Note::Open {
            record: Arc::new(record),
            pairs: true,
            at: at(1),
            goes_on: false,
        }
    }

    fn open(folder: &Path) -> (Journal, Vec<Lost>) {
        Journal::open(folder).unwrap()
    }

    /// As each second, and once more when that is on the disk.
    fn tick(journal: &mut Journal, now: UnixTime) {
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let mut forcer = Forcer::start(log, File::sync_data).unwrap();
        for _ in 0..2 {
            journal.tick(now, &forcer).unwrap();
            let batch = forcer.give(journal.unforced().unwrap());
            journal.given(batch);
            while !forcer.is_idle() {
                std::thread::yield_now();
            }
        }
    }

    fn lost(folder: &Path) -> Vec<u128> {
        let (_, lost) = open(folder);
        lost.iter().map(|one| one.call.0).collect()
    }

    #[test]
    fn a_move_needs_nothing_of_the_old_disk_and_leaves_out_what_it_cannot_read() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut journal, _) = Journal::open(old.path()).unwrap();
        journal.write(&[up(1), up(2)]).unwrap();
        // The line of the second is gone, and the file cannot be removed: a folder stands in its place.
        let place = journal.open.get_mut(&CallId(2)).unwrap();
        place.at += 1 << 20;
        fs::remove_file(old.path().join(FILE)).unwrap();
        fs::create_dir(old.path().join(FILE)).unwrap();
        journal.move_to(new.path(), at(2)).unwrap();
        assert!(journal.has(CallId(1)) && !journal.has(CallId(2)));
        assert_eq!(journal.unread().len(), 2);
        drop(journal);
        let (_, lost) = Journal::open(new.path()).unwrap();
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].call, CallId(1));
    }

    #[test]
    fn what_a_daemon_has_left_behind_is_found_when_the_journal_moves_there() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut left, _) = open(new.path());
        left.write(&[up(7)]).unwrap();
        drop(left);
        let (mut journal, _) = open(old.path());
        journal.write(&[up(1)]).unwrap();
        let found = journal.move_to(new.path(), at(2)).unwrap();
        assert_eq!(found.iter().map(|one| one.call.0).collect::<Vec<_>>(), [7]);
        // By another name it is the same place.
        let again = new.path().join(".");
        assert!(journal.move_to(&again, at(2)).unwrap().is_empty());
        drop(journal);
        assert_eq!(lost(new.path()), [1]);
    }

    #[test]
    fn a_file_that_cannot_be_read_keeps_no_record_back() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(directory.path()).unwrap();
        journal.write(&[up(1)]).unwrap();
        drop(journal);
        fs::create_dir(directory.path().join("export.jsonl")).unwrap();
        let (mut journal, lost) = Journal::open(directory.path()).unwrap();
        assert_eq!(lost.len(), 1);
        let unread = journal.unread();
        assert!(unread[0].contains("export.jsonl"), "{unread:?}");
    }

    #[test]
    fn calls_that_were_up_have_a_record_until_the_daemon_was_seen_last() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, none) = open(folder.path());
        assert!(none.is_empty() && journal.open.is_empty());
        journal.write(&[rings(1), rings(2), rings(3)]).unwrap();
        journal.write(&[up(1), up(3)]).unwrap();
        journal.write(&[Note::End(CallId(3))]).unwrap();
        // Begun and ended at once: not even mentioned.
        journal.write(&[rings(4), Note::End(CallId(4))]).unwrap();
        // Ninety-eight seconds later, when somebody has set the clock back by an hour, and forth in between.
        journal.begun -= Duration::from_secs(98);
        tick(&mut journal, at(7_200));
        tick(&mut journal, at(0));
        drop(journal);
        let (next, lost) = open(folder.path());
        assert_eq!(next.run, 2);
        assert_eq!(lost.len(), 2);
        let [answered, ringing] = [&lost[0].record, &lost[1].record];
        assert_eq!(answered["call"], CallId(1).to_string());
        assert_eq!(answered["cause"]["code"], "restart_lost");
        assert_eq!(answered["disposition"], "answered");
        let is_right =
            |told: &Value| (98_000..99_000).contains(&told["duration_ms"].as_u64().unwrap());
        assert!(is_right(answered), "{answered}");
        assert_eq!(ringing["disposition"], "failed");
        let lines: Vec<Box<str>> = lost[0].lines().collect();
        let pair: Value = serde_json::from_str(&lines[1]).unwrap();
        assert!(lines.len() == 2 && is_right(&pair), "{pair}");
        assert_eq!(lost[1].lines().count(), 1);
    }

    #[test]
    fn calls_whose_media_drained_have_their_own_end_and_cause() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(folder.path());
        journal.write(&[up(1), up(2), rings(3)]).unwrap();
        journal.write(&[drains(1)]).unwrap();
        // The last word counts, also where several come at once, and interim records are of those who talk.
        journal.write(&[up(4), drains(4)]).unwrap();
        for place in journal.open.values_mut() {
            place.answered = place.answered.map(|at| at - Duration::from_secs(901));
        }
        assert_eq!(journal.interim(Duration::from_secs(900)).len(), 1);
        journal.begun -= Duration::from_secs(90);
        tick(&mut journal, at(90));
        drop(journal);
        let (_, lost) = open(folder.path());
        let told = lost.iter().map(|one| {
            let code = one.record["cause"]["code"].as_str().unwrap();
            let of_pair = one.pairs.first().map(|pair| &pair["duration_ms"]);
            (one.call.0, one.had_ended, code, of_pair.cloned())
        });
        let told: Vec<_> = told.collect();
        assert_eq!(told[0], (1, true, "normal_clearing", Some(json!(60_000))));
        assert_eq!(
            (told[1].0, told[1].1, told[1].2),
            (2, false, "restart_lost")
        );
        assert_eq!(told[2], (3, false, "restart_lost", None));
        assert_eq!(told[3], (4, true, "normal_clearing", Some(json!(60_000))));
        let record = &lost[0].record;
        assert_eq!(
            (&record["duration_ms"], &record["end"]),
            (&json!(60_000), &json!(at(62).rfc3339()))
        );
        let because = record["cause"]["because"].as_array().unwrap();
        assert!(because[0] == "BYE" && because.len() == 2, "{because:?}");
        // One that was cut ends when the daemon was seen last.
        let end = lost[1].record["end"]
            .as_str()
            .and_then(UnixTime::of_rfc3339)
            .unwrap();
        assert!(end > at(62), "{}", lost[1].record);
    }

    #[test]
    fn a_record_that_was_written_just_before_the_end_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(folder.path());
        journal.write(&[up(1), up(2), up(3)]).unwrap();
        drop(journal);
        let line = |call: u128| serde_json::to_string(&fixture::record(call)).unwrap();
        let interim = json!({ "call": CallId(3), "interim": 1 });
        fs::write(folder.path().join("2026-01-01.jsonl"), line(1) + "\n").unwrap();
        fs::write(folder.path().join(CURRENT), interim.to_string() + "\n").unwrap();
        let (mut journal, lost) = open(folder.path());
        assert_eq!(
            lost.iter().map(|one| one.call.0).collect::<Vec<_>>(),
            [2, 3]
        );
        journal
            .write(&[Note::End(CallId(2)), Note::End(CallId(3))])
            .unwrap();
        // That it has its record is written once that is on the disk.
        let recorded = journal.recorded();
        assert_eq!(recorded, [CallId(1)]);
        assert!(journal.has(CallId(1)));
        journal.write(&[Note::End(CallId(1))]).unwrap();
        assert!(journal.open.is_empty());
        journal.finish();
        assert_eq!(fs::metadata(folder.path().join(FILE)).unwrap().len(), 0);
    }

    #[test]
    fn the_file_is_written_anew_when_it_has_grown_or_gone_or_moves_and_keeps_who_is_up() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut journal, _) = open(folder.path());
        journal.write(&[up(1)]).unwrap();
        for call in 2..6_000 {
            journal.write(&[rings(call)]).unwrap();
            journal.write(&[up(call), Note::End(CallId(call))]).unwrap();
        }
        assert!(journal.bytes > USUAL_BYTES);
        tick(&mut journal, at(2));
        let length = fs::metadata(folder.path().join(FILE)).unwrap().len();
        assert_eq!(length, journal.bytes);
        assert!(length < 10_000, "{length}");
        fs::remove_file(folder.path().join(FILE)).unwrap();
        journal.write(&[up(7)]).unwrap();
        tick(&mut journal, at(3));
        assert_eq!(lost(folder.path()), [1, 7]);
        journal.move_to(other.path(), at(3)).unwrap();
        journal.write(&[Note::End(CallId(1))]).unwrap();
        assert_eq!(lost(other.path()), [7]);
        assert_eq!(lost(folder.path()), [0_u128; 0]);
    }

    #[test]
    fn what_happens_while_a_copy_is_forced_to_the_disk_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(folder.path());
        journal.write(&[up(1), rings(2), up(3), up(4)]).unwrap();
        let copy = journal.copied(folder.path()).unwrap();
        journal.write(&[up(2), Note::End(CallId(3))]).unwrap();
        journal.write(&[up(5), drains(4)]).unwrap();
        journal.adopt(copy, folder.path(), at(9)).unwrap();
        let length = fs::metadata(folder.path().join(FILE)).unwrap().len();
        assert_eq!(length, journal.bytes);
        journal.write(&[Note::End(CallId(1))]).unwrap();
        drop(journal);
        let (_, lost) = open(folder.path());
        let told: Vec<_> = lost.iter().map(|one| (one.call.0, one.had_ended)).collect();
        assert_eq!(told, [(2, false), (4, true), (5, false)]);
        assert_eq!(lost[0].record["disposition"], "answered");
    }

    #[test]
    fn a_kill_right_behind_the_file_was_written_anew_makes_no_call_shorter() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(folder.path());
        // Sixteen of them, as the order in which they are written anew is by chance.
        let calls: Vec<Note> = (0..16).map(up).collect();
        for call in &calls {
            journal.write(std::slice::from_ref(call)).unwrap();
            journal.begun -= Duration::from_secs(10);
        }
        journal.begun -= Duration::from_secs(100);
        journal.renew(folder.path(), at(260)).unwrap();
        drop(journal);
        let (_, lost) = open(folder.path());
        let longest = |one: &Lost| one.record["duration_ms"].as_u64().unwrap();
        assert_eq!(lost.len(), 16);
        assert!(lost.iter().all(|one| longest(one) >= 110_000));
    }

    #[test]
    fn interim_records_are_made_of_answered_calls_once_for_each_part_of_time() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(folder.path());
        journal.write(&[rings(1), up(2)]).unwrap();
        let told = |journal: &mut Journal, every| {
            let lines = journal.interim(every);
            let read = |line: Box<str>| serde_json::from_str::<Value>(&line).unwrap();
            lines.into_iter().map(read).collect::<Vec<_>>()
        };
        assert!(told(&mut journal, Duration::from_secs(900)).is_empty());
        let place = journal.open.get_mut(&CallId(2)).unwrap();
        place.answered = place.answered.map(|at| at - Duration::from_secs(901));
        let lines = told(&mut journal, Duration::from_secs(900));
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (&lines[0]["interim"], &lines[0]["cause"]),
            (&json!(1), &Value::Null)
        );
        let duration = lines[0]["duration_ms"].as_u64().unwrap();
        assert!((901_000..960_000).contains(&duration), "{duration}");
        assert!(told(&mut journal, Duration::from_secs(900)).is_empty());
        // A transfer does not begin the count anew.
        journal.write(&[up(2)]).unwrap();
        assert_eq!(
            told(&mut journal, Duration::from_secs(450))[0]["interim"],
            2
        );
    }

    #[test]
    fn half_a_line_and_what_is_damaged_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(folder.path());
        journal.write(&[up(1), up(2)]).unwrap();
        let path = folder.path().join(FILE);
        let whole = fs::read_to_string(&path).unwrap();
        let half = &whole[..whole.len() - 100];
        fs::write(&path, format!("{{nonsense\n{half}")).unwrap();
        assert_eq!(lost(folder.path()), [1]);
    }
}
