//! The calls that are up, on the disk: of what a daemon leaves behind that ends without a word, the next one
//! makes their records (OPS-060, OPS-151).
//!
//! One line of JSON for each call that is taken, answered, transferred or ended, with its record as it stands, or with
//! what has changed in it since its first line in this run: most of a record is known when a call begins; one when it
//! is over, written after its record, or when what was known of it cannot be read any more; and each second one that
//! says that the daemon lives. Between its end and its record a call's media drain and its peers are waited for: what
//! is lost then has an end and a cause, and but for the figures of its media its record is whole. The file is written
//! anew when most of it is about calls that are over. How long a call was is told by a clock that nobody sets: lines
//! say when they were written by that of their run, which is one opening of the file. Of a call that goes on in the
//! next run the clock of the host tells once how long it has been answered, and its line is written anew by the clock
//! of that run.

mod lines;
mod said;

use super::force::{Batch, Forcer};
use super::lost::{Lost, answered, until};
use super::spool::{MODE, mend};
use super::told::written;
use crate::sink::json;
use crate::sink::log::wall_clock;
use foldhash::fast::RandomState;
use lines::{Lines, copied, laid_over};
use said::{Said, Teller};
use sbc_core::id::CallId;
use sbc_core::record::{Change, PairRecord, Record};
use sbc_core::time::UnixTime;
use serde::Serialize;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The file beside those of the spool; nobody takes it for one of them.
const FILE: &str = "open.journal";
/// What is to take its place.
const BESIDE: &str = "open.journal.new";
/// What the file may have before it is written anew.
const USUAL_BYTES: u64 = 4 << 20;
/// What a line usually takes.
const USUAL_LINE: usize = 1024;
/// Bytes of a copy that are written at once.
const WRITTEN_AT_ONCE: usize = 256 * 1024;

/// The file.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    open_bytes: u64,
    open: HashMap<CallId, Place, RandomState>,
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
    pub(super) over: HashSet<CallId>,
    /// What could not be read or removed, for the operator.
    unread: Vec<String>,
    /// Makes numbers of what is known of a call.
    teller: Teller,
}

/// The lines of all calls that were up at some time, in a file of their own.
struct Copied {
    file: File,
    beside: PathBuf,
    bytes: u64,
    /// Where the last of each was in the old file, and where they are in this one.
    places: HashMap<CallId, (u64, Lines)>,
    /// Whoever forces it to the disk calls it so.
    batch: Option<Batch>,
}

/// Where a call's lines are.
struct Place {
    lines: Lines,
    /// Of which run they are.
    run: u64,
    /// What they say that does not change, or not with each line, as numbers; nothing where a run before has written them.
    said: Option<Said>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<&'a Record>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<Change<'a>>,
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
            open: HashMap::default(),
            is_dirty: false,
            copy: None,
            run: 1,
            begun: Instant::now(),
            runs: HashMap::new(),
            recorded: Vec::new(),
            over: HashSet::new(),
            unread: Vec::new(),
            teller: Teller::new(),
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
                self.over.insert(call);
            } else if let Some(call) = call(&told["unknown"]) {
                last.remove(&call);
                self.forget(call);
            } else if let Some(call) = call(&told["open"]["call"]) {
                // Whatever was said of it before, it is up again.
                self.over.remove(&call);
                let place = Place {
                    lines: Lines::begin(begin, length),
                    run: told["run"].as_u64().unwrap_or_default(),
                    said: None,
                    answered: None,
                    seen: None,
                    is_ended: !told["open"]["end"].is_null(),
                    told: 0,
                };
                self.note(call, place);
                last.insert(call, told.take());
            } else if let Some(call) = call(&told["change"]["call"])
                && let (Some(before), Some(mut place)) = (last.get_mut(&call), self.forget(call))
            {
                let has_legs = !told["change"]["ingress"].is_null();
                laid_over(before, told);
                place.lines = place.lines.and(begin, length, has_legs);
                place.is_ended = !before["open"]["end"].is_null();
                self.note(call, place);
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
            let Ok(mut told) = place.lines.read(&self.file) else {
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
                lines: Lines::begin(self.bytes + begin as u64, text.len() - begin),
                run: self.run,
                said: None,
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
        let last: HashMap<CallId, usize, RandomState> = notes
            .iter()
            .enumerate()
            .map(|(at, note)| (note.call(), at))
            .collect();
        // Whatever else is told of them, they were answered before.
        let before: HashSet<CallId, RandomState> = notes
            .iter()
            .filter(|note| matches!(note, Note::Open { goes_on: true, .. }))
            .map(Note::call)
            .collect();
        let mut text = String::with_capacity(notes.len() * USUAL_LINE);
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
                    let said = self.teller.of(record);
                    // The lines and the beginning that are known already, if they are those of this record.
                    let before = known.filter(|own| own.run == self.run);
                    let before = before.and_then(|own| Some((own.lines, own.said?)));
                    let before = before.filter(|(_, own)| own.beginning == said.beginning);
                    let has_legs = before.is_none_or(|(_, own)| own.legs != said.legs);
                    let told = Opened {
                        run: self.run,
                        up_ms: self.up_ms(Instant::now()),
                        answered_ms: answered.map(|at| self.since_begun(at)),
                        at: at.rfc3339(),
                        open: before.is_none().then_some(&**record),
                        change: before.map(|_| record.change(has_legs)),
                        pairs: if *pairs { record.pairs() } else { Vec::new() },
                    };
                    let begin = text.len();
                    json::write(&mut text, &told)?;
                    let seen = answered.filter(|_| is_before).map(|at| at.elapsed());
                    let (begin, length) = (self.bytes + begin as u64, text.len() - begin);
                    let place = Place {
                        lines: match before {
                            Some((lines, _)) => lines.and(begin, length, has_legs),
                            None => Lines::begin(begin, length),
                        },
                        run: self.run,
                        said: Some(said),
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
            let Ok(mut told) = place.lines.read(&self.file) else {
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

    /// Calls of which something is known.
    pub(super) fn known(&self) -> impl Iterator<Item = CallId> {
        self.open.keys().copied()
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
        let mut out = BufWriter::with_capacity(WRITTEN_AT_ONCE, &copy.file);
        let calls = self.open.iter().map(|(call, own)| (*call, own.lines));
        let done = out.write_all(&text).and_then(|()| {
            let done = copied(&self.file, calls, text.len() as u64, &mut out)?;
            out.flush()?;
            Ok(done)
        });
        let (places, bytes) = match done {
            Ok(done) => done,
            Err(why) => {
                // On a full disk it would take the room that is missing.
                let _ = fs::remove_file(&copy.beside);
                return Err(why);
            }
        };
        drop(out);
        let last = |call| self.open.get(&call).map_or(0, |own| own.lines.last());
        let places = places.into_iter();
        copy.places = places
            .map(|(call, own)| (call, (last(call), own)))
            .collect();
        copy.bytes = bytes;
        Ok(copy)
    }

    /// Puts a copy in the place of the file, with what has been written since it was made. A call whose line cannot be
    /// read any more is left out: it has its record at its end, as long as we live.
    fn adopt(&mut self, mut copy: Copied, directory: &Path, now: UnixTime) -> io::Result<()> {
        let mut since = Vec::new();
        let (mut places, mut changed) = (HashMap::new(), Vec::new());
        for (call, place) in &self.open {
            match copy.places.remove(call) {
                Some((last, lines)) if last == place.lines.last() => {
                    places.insert(*call, lines);
                }
                _ => changed.push((*call, place.lines)),
            }
        }
        let known = places.len() + changed.len();
        let (again, _) = copied(&self.file, changed, copy.bytes, &mut since)?;
        places.extend(again);
        let unread = known - places.len();
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
            if let Some(lines) = places.remove(&call) {
                self.open_bytes += lines.bytes();
                self.open.insert(call, Place { lines, ..place });
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
        self.open_bytes += place.lines.bytes();
        self.open.insert(call, place);
    }

    fn forget(&mut self, call: CallId) -> Option<Place> {
        let place = self.open.remove(&call)?;
        self.open_bytes = self.open_bytes.saturating_sub(place.lines.bytes());
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

#[cfg(test)]
mod again;
#[cfg(test)]
mod tests;
