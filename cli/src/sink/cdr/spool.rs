//! The files of the spool: rotated by size and by time, kept for as long as they should be.

use super::shipped::Owed;
use crate::sink::log::wall_clock;
use sbc_core::config::CdrSpool;
use sbc_core::time::UnixTime;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// The clock of the host is believed to be right after so long without a step.
const TRUSTED: Duration = Duration::from_secs(3_600);
/// A step of the clock is more than this between two looks.
const STEP: Duration = Duration::from_secs(60);

/// By so much a clock may be set back while files are closed, and their names are in the order in which they were.
const SET_BACK: Duration = Duration::from_secs(24 * 3_600);

/// Closed files that may wait for a disk that forces none; each further one is waited for.
const MOST_CLOSED: usize = 64;
/// Bytes that are written at once.
const WRITTEN_AT_ONCE: usize = 256 * 1024;
/// The file that is being written.
pub(crate) const CURRENT: &str = "current.jsonl";
/// Records that whoever keeps them refuses.
pub(super) const REFUSED: &str = "refused.jsonl";
/// Records hold telephone numbers: the daemon's user writes, its group may ship them.
pub(super) const MODE: u32 = 0o640;

/// The files of a spool directory.
pub(super) struct Spool {
    wanted: CdrSpool,
    directory: PathBuf,
    file: File,
    bytes: u64,
    is_dirty: bool,
    /// Files that were closed and are not forced to the disk yet, with the directory that names them.
    closed: Vec<File>,
    /// In which part of time its last line was written.
    part: u64,
}

impl Spool {
    /// Opens it, or makes it.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn open(wanted: &CdrSpool) -> io::Result<Self> {
        let directory = PathBuf::from(&wanted.directory);
        fs::create_dir_all(&directory)?;
        let path = directory.join(CURRENT);
        mend(&path)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(MODE)
            .open(path)?;
        let found = file.metadata()?;
        let written = found.modified().ok();
        let written = written.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let written = written.map_or_else(wall_clock, |at| UnixTime::default() + at);
        Ok(Self {
            part: part_of(wanted, written),
            wanted: wanted.clone(),
            directory,
            bytes: found.len(),
            file,
            // Who wrote it may have ended before it was forced.
            is_dirty: found.len() > 0,
            closed: Vec::new(),
        })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes lines at once, as many of the first as the file and one write hold; says how many.
    pub(super) fn append(
        &mut self,
        lines: &VecDeque<Box<str>>,
        now: UnixTime,
    ) -> io::Result<usize> {
        let most = self.wanted.rotate_bytes.max(1);
        let first = lines.front().map_or(0, |first| first.len() as u64 + 1);
        let is_over = self.part != part_of(&self.wanted, now);
        if self.bytes > 0 && (is_over || self.bytes + first > most) {
            self.rotate(now)?;
        }
        let mut whole = Vec::new();
        let mut count = 0;
        for line in lines {
            let more = whole.len() + line.len() + 1;
            let is_enough = more > WRITTEN_AT_ONCE || self.bytes + more as u64 > most;
            if count > 0 && is_enough {
                break;
            }
            whole.extend_from_slice(line.as_bytes());
            whole.push(b'\n');
            count += 1;
        }
        if let Err(why) = self.file.write_all(&whole) {
            // Half a line would break every later reader; the records are written again.
            let _ = self.file.set_len(self.bytes);
            return Err(why);
        }
        self.bytes += whole.len() as u64;
        self.is_dirty = true;
        self.part = part_of(&self.wanted, now);
        if self.wanted.syncs_each {
            self.file.sync_data()?;
            self.is_dirty = false;
        }
        Ok(count)
    }

    /// Closes the file if its time is over, so that whoever ships closed files has it soon.
    pub(super) fn tick(&mut self, now: UnixTime) -> io::Result<()> {
        match self.bytes > 0 && self.part != part_of(&self.wanted, now) {
            true => self.rotate(now),
            false => Ok(()),
        }
    }

    fn rotate(&mut self, now: UnixTime) -> io::Result<()> {
        self.look()?;
        if self.bytes == 0 {
            return Ok(());
        }
        let (at, mut number) = self.next_place(now)?;
        let stamp = at.rfc3339().replace([':', '.'], "-");
        let name_of = |number: u64| match number {
            0 => format!("{stamp}.jsonl"),
            _ => format!("{stamp}-{number}.jsonl"),
        };
        let mut name = self.directory.join(name_of(number));
        while name.exists() {
            number += 1;
            name = self.directory.join(name_of(number));
        }
        fs::rename(self.directory.join(CURRENT), name)?;
        self.reopen()?;
        // After a loss of power the file has the name that whoever ships it has seen.
        self.closed.extend(File::open(&self.directory));
        Ok(())
    }

    /// By which time the file is called that is closed now, and which of those of that time it is: behind all that were
    /// closed, also where the clock was set back, as whoever reads them goes by their names. Not behind one that the clock
    /// of a host without a battery has called by a time to come: all would be called so for as long.
    fn next_place(&self, now: UnixTime) -> io::Result<(UnixTime, u64)> {
        let closed = closed_files(&self.directory)?;
        let places = closed.iter().filter_map(|path| place_in_time(path));
        let last = places.filter(|(at, _)| *at <= now + SET_BACK).max();
        Ok(match last {
            Some((at, number)) if at > now => (at, number + 1),
            Some(_) | None => (now, 0),
        })
    }

    /// Opens the file of that name, which is another one than before.
    fn reopen(&mut self) -> io::Result<()> {
        let next = Self::open(&self.wanted)?;
        let old = std::mem::replace(self, next);
        self.closed = old.closed;
        if old.is_dirty {
            match self.closed.len() < MOST_CLOSED {
                true => self.closed.push(old.file),
                false => {
                    if let Err(why) = old.file.sync_data() {
                        // It is tried again, unless the disk forces nothing at all.
                        if self.closed.len() < 2 * MOST_CLOSED {
                            self.closed.push(old.file);
                        }
                        return Err(why);
                    }
                }
            }
        }
        Ok(())
    }

    /// Cuts off half a line at the end of each of the files that were closed last, and gives them to be forced: a loss of
    /// power may have come between their new names and their last lines, and whoever wrote them may have ended before
    /// they were on the disk.
    pub(super) fn mend_closed(&self) -> Vec<File> {
        let closed = closed_files(&self.directory).unwrap_or_default();
        let mut ours: Vec<_> = closed
            .into_iter()
            .filter_map(|path| Some((place_in_time(&path)?, path)))
            .collect();
        ours.sort();
        let last = ours.iter().rev().take(MOST_CLOSED);
        let mended = |(_, path): &((UnixTime, u64), PathBuf)| {
            // One that cannot be written to is somebody else's by now.
            let _ = mend(path);
            File::open(path).ok()
        };
        last.filter_map(mended).collect()
    }

    /// What is to be forced to the disk, which whoever takes it does.
    pub(super) fn unforced(&mut self) -> io::Result<Vec<File>> {
        let current = match self.is_dirty {
            true => Some(self.file.try_clone()?),
            false => None,
        };
        let mut files = std::mem::take(&mut self.closed);
        files.extend(current);
        self.is_dirty = false;
        Ok(files)
    }

    /// The same of one that is written no more.
    pub(super) fn into_unforced(self) -> Vec<File> {
        let mut files = self.closed;
        files.extend(Some(self.file).filter(|_| self.is_dirty));
        files
    }

    /// Looks whether the file is still the one of its name.
    pub(super) fn look(&mut self) -> io::Result<()> {
        // Somebody removed or moved the file, or we moved it and could not open the next: what is
        // written on would never be seen.
        let place = |of: &fs::Metadata| (of.dev(), of.ino());
        let named = fs::metadata(self.directory.join(CURRENT)).ok();
        if named.as_ref().map(place) != Some(place(&self.file.metadata()?)) {
            self.reopen()?;
        }
        Ok(())
    }

    /// Removes closed files that are older than they should become, unless the clock is not to be trusted, and the
    /// oldest of those that are too much (OPS-062); says how many. What is not ours by its name is left alone.
    pub(super) fn retire(&self, now: UnixTime, is_steady: bool, owed: &Owed) -> io::Result<usize> {
        let age = self.wanted.retention.filter(|_| is_steady);
        let most = self.wanted.retention_bytes;
        if age.is_none() && most.is_none() {
            return Ok(0);
        }
        // What was not sent yet stays, whatever becomes of the disk.
        let shipped = match &self.wanted.ship {
            Some(_) => Some(owed.files(&self.directory)?),
            None => None,
        };
        let mut closed = Vec::new();
        for path in closed_files(&self.directory)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if shipped.as_ref().is_some_and(|all| !all.contains(&*name)) {
                continue;
            }
            if let (Some(at), Ok(found)) = (closed_at(&name), fs::metadata(&path)) {
                closed.push((at, found.len(), path));
            }
        }
        closed.sort();
        let sum = closed.iter().map(|(_, bytes, _)| bytes).sum::<u64>();
        let (mut sum, mut removed, mut kept) = (sum + self.bytes, 0, None);
        for (at, bytes, path) in closed {
            let is_old = age.is_some_and(|age| at + age < now);
            if !is_old && most.is_none_or(|most| sum <= most) {
                break;
            }
            sum -= bytes;
            match fs::remove_file(path) {
                Ok(()) => removed += 1,
                // Whoever ships them has taken it.
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => kept = Some(why),
            }
        }
        match kept {
            // One that stays keeps no other.
            Some(why) if removed == 0 => Err(why),
            Some(_) | None => Ok(removed),
        }
    }
}

/// Whether the clock of the host has gone like any other for an hour: one that is far ahead after a boot, until it is
/// set, makes everything old.
pub(super) struct Steady {
    since: Instant,
    last: (Instant, UnixTime),
}

impl Steady {
    /// Nothing is known yet.
    pub(super) fn new(mono: Instant, wall: UnixTime) -> Self {
        Self {
            since: mono,
            last: (mono, wall),
        }
    }

    /// Looks at both clocks.
    pub(super) fn look(&mut self, mono: Instant, wall: UnixTime) -> bool {
        let (before, told) = self.last;
        let due = told + mono.saturating_duration_since(before);
        if due.as_micros().abs_diff(wall.as_micros())
            > u64::try_from(STEP.as_micros()).unwrap_or(u64::MAX)
        {
            self.since = mono;
        }
        self.last = (mono, wall);
        mono.saturating_duration_since(self.since) >= TRUSTED
    }
}

/// Which part of time it is, where files are closed after a time.
fn part_of(wanted: &CdrSpool, at: UnixTime) -> u64 {
    let every = wanted.rotate_every.map_or(0, |every| every.as_micros());
    let every = u64::try_from(every).unwrap_or(u64::MAX);
    at.as_micros().checked_div(every).unwrap_or_default()
}

/// Files of a spool that are not written any more.
pub(crate) fn closed_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut closed = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".jsonl") && name != CURRENT && name != REFUSED {
            closed.push(path);
        }
    }
    Ok(closed)
}

/// When a file was closed, by the name that we gave it.
pub(super) fn closed_at(name: &str) -> Option<UnixTime> {
    let (day, rest) = name.strip_suffix(".jsonl")?.split_once('T')?;
    let (time, _) = rest.split_once('Z')?;
    let mut parts = time.split('-');
    let mut part = || parts.next();
    let (hour, minute, second, fraction) = (part()?, part()?, part()?, part()?);
    UnixTime::of_rfc3339(&format!("{day}T{hour}:{minute}:{second}.{fraction}Z"))
}

/// When a file was closed by the name that we gave it, and which of those of one moment it is.
pub(crate) fn place_in_time(path: &Path) -> Option<(UnixTime, u64)> {
    let name = path.file_name()?.to_str()?;
    let at = closed_at(name)?;
    let (_, number) = name.strip_suffix(".jsonl")?.split_once('Z')?;
    let number = number.strip_prefix('-').and_then(|n| n.parse().ok());
    Some((at, number.unwrap_or(0)))
}

/// A crash may have left half a line at the end; it is cut off, so that every line is a record.
pub(super) fn mend(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(why),
    };
    let mut end = file.metadata()?.len();
    let whole = end;
    let mut chunk = vec![0; 64 * 1024];
    while end > 0 {
        let length = usize::try_from(end).map_or(chunk.len(), |end| end.min(chunk.len()));
        let begin = end - length as u64;
        let part = chunk.get_mut(..length).unwrap_or_default();
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|b| *b == b'\n') {
            end = begin + at as u64 + 1;
            break;
        }
        end = begin;
    }
    if end < whole {
        file.set_len(end)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(directory: &Path) -> Vec<String> {
        let mut all = Vec::new();
        let mut files: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for file in files {
            let text = fs::read_to_string(file).unwrap();
            all.extend(text.lines().map(str::to_owned));
        }
        all
    }

    fn wanted(directory: &Path) -> CdrSpool {
        CdrSpool::at(directory.to_str().unwrap())
    }

    fn opened(directory: &Path, rotate_bytes: u64) -> Spool {
        let wanted = CdrSpool {
            rotate_bytes,
            ..wanted(directory)
        };
        Spool::open(&wanted).unwrap()
    }

    fn append(spool: &mut Spool, line: &str) -> io::Result<usize> {
        spool.append(&VecDeque::from([line.into()]), wall_clock())
    }

    /// 2026-01-15T10:00:00Z, and so many minutes later.
    fn at(minutes: u64) -> UnixTime {
        UnixTime::from_micros(1_768_471_200_000_000 + minutes * 60_000_000)
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_written_is_forced_to_the_disk_once_whatever_became_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = opened(directory.path(), 10);
        let lengths = |spool: &mut Spool| {
            let files = spool.unforced().unwrap();
            let found = files.iter().map(|file| file.metadata().unwrap());
            let lengths = found.filter(|found| found.is_file());
            lengths.map(|found| found.len()).collect::<Vec<_>>()
        };
        append(&mut spool, "12345678").unwrap();
        assert_eq!(lengths(&mut spool), [9]);
        assert_eq!(lengths(&mut spool), [0; 0]);
        // One is closed, one is moved away by somebody.
        append(&mut spool, "1234").unwrap();
        append(&mut spool, "12345678").unwrap();
        fs::rename(directory.path().join(CURRENT), directory.path().join("x")).unwrap();
        spool.look().unwrap();
        append(&mut spool, "1").unwrap();
        assert_eq!(lengths(&mut spool), [5, 9, 2]);
    }

    #[test]
    fn half_a_line_of_the_file_that_was_closed_last_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let write = |name: &str| fs::write(path(name), "1\n2").unwrap();
        let is_mended = |name: &str| fs::read_to_string(path(name)).unwrap() == "1\n";
        // So many may have been closed and not forced, all of one moment, and two more.
        let name = |number: usize| match number {
            0 => "2026-01-15T11-00-00-000Z.jsonl".to_owned(),
            _ => format!("2026-01-15T11-00-00-000Z-{number}.jsonl"),
        };
        let before = "2026-01-15T10-59-59-999Z.jsonl";
        (0..=MOST_CLOSED).for_each(|number| write(&name(number)));
        write(before);
        write("export.jsonl");
        let files = opened(directory.path(), 10).mend_closed();
        assert_eq!(files.len(), MOST_CLOSED);
        assert!((1..=MOST_CLOSED).all(|number| is_mended(&name(number))));
        for other in [&*name(0), before, "export.jsonl"] {
            assert!(!is_mended(other), "{other}");
        }
    }

    #[test]
    fn what_a_daemon_left_behind_is_forced_to_the_disk_by_the_next() {
        let directory = tempfile::tempdir().unwrap();
        append(&mut opened(directory.path(), 10), "1").unwrap();
        let mut next = opened(directory.path(), 10);
        assert_eq!(next.unforced().unwrap().len(), 1);
        assert!(next.unforced().unwrap().is_empty());
        append(&mut next, "2").unwrap();
        assert_eq!(next.into_unforced().len(), 1);
    }

    #[test]
    fn a_clock_is_trusted_once_it_has_gone_without_a_step_for_an_hour() {
        let (begin, wall) = (Instant::now(), at(0));
        let minute = |n: u64| Duration::from_secs(60 * n);
        let mut steady = Steady::new(begin, wall);
        for n in 0..60 {
            assert!(!steady.look(begin + minute(n), wall + minute(n)));
        }
        assert!(steady.look(begin + minute(60), wall + minute(60)));
        // It is set to a year later.
        let later = wall + minute(525_600);
        for n in 61..121 {
            assert!(!steady.look(begin + minute(n), later + minute(n)));
        }
        assert!(steady.look(begin + minute(121), later + minute(121)));
    }

    #[test]
    fn a_file_is_closed_when_its_time_is_over_whether_or_not_calls_come() {
        let directory = tempfile::tempdir().unwrap();
        let hourly = CdrSpool {
            rotate_every: Some(Duration::from_secs(3_600)),
            ..wanted(directory.path())
        };
        let mut spool = Spool::open(&hourly).unwrap();
        let add = |spool: &mut Spool, minute, line: &str| {
            spool
                .append(&VecDeque::from([line.into()]), at(minute))
                .unwrap();
        };
        add(&mut spool, 0, "1");
        add(&mut spool, 59, "2");
        assert_eq!(names(directory.path()), [CURRENT]);
        add(&mut spool, 60, "3");
        spool.tick(at(119)).unwrap();
        assert_eq!(names(directory.path()).len(), 2);
        spool.tick(at(121)).unwrap();
        spool.tick(at(500)).unwrap();
        assert_eq!(
            names(directory.path()),
            [
                "2026-01-15T11-00-00-000Z.jsonl",
                "2026-01-15T12-01-00-000Z.jsonl",
                CURRENT
            ]
        );
        assert_eq!(lines(directory.path()), ["1", "2", "3"]);
    }

    #[test]
    fn closed_files_go_when_they_are_old_or_too_much_and_nothing_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: usize| {
            fs::write(directory.path().join(name), "x".repeat(bytes - 1) + "\n").unwrap();
        };
        for day in ["13", "14", "15"] {
            write(&format!("2026-01-{day}T09-00-00-000Z.jsonl"), 100);
        }
        write("2026-01-15T09-00-00-000Z-1.jsonl", 100);
        // Somebody else's, and one that is written.
        for name in ["20250101.jsonl", "2025-01-01.jsonl", "notes.txt", CURRENT] {
            write(name, 100);
        }
        let keeping = |retention: Option<u64>, retention_bytes| CdrSpool {
            retention: retention.map(|hours| Duration::from_secs(hours * 3_600)),
            retention_bytes,
            ..wanted(directory.path())
        };
        let retire = |wanted: &CdrSpool| {
            Spool::open(wanted)
                .unwrap()
                .retire(at(0), true, &Owed::default())
                .unwrap()
        };
        assert_eq!(retire(&keeping(None, None)), 0);
        assert_eq!(retire(&keeping(Some(49), None)), 0);
        let doubted = Spool::open(&keeping(Some(48), None)).unwrap();
        assert_eq!(doubted.retire(at(0), false, &Owed::default()).unwrap(), 0);
        assert_eq!(retire(&keeping(Some(48), None)), 1);
        assert_eq!(retire(&keeping(None, Some(400))), 0);
        assert_eq!(retire(&keeping(None, Some(399))), 1);
        assert_eq!(retire(&keeping(Some(48), Some(250))), 1);
        assert_eq!(
            names(directory.path()),
            [
                "2025-01-01.jsonl",
                "20250101.jsonl",
                "2026-01-15T09-00-00-000Z.jsonl",
                CURRENT,
                "notes.txt"
            ]
        );
    }

    #[test]
    fn lines_that_wait_are_written_at_once_but_no_file_grows_for_that() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = opened(directory.path(), 100);
        let mut unwritten: VecDeque<Box<str>> = (0..10)
            .map(|n| format!("{n}{}", "x".repeat(38)).into())
            .collect();
        assert_eq!(spool.append(&unwritten, wall_clock()).unwrap(), 2);
        unwritten.drain(..2);
        while !unwritten.is_empty() {
            let count = spool.append(&unwritten, wall_clock()).unwrap();
            unwritten.drain(..count);
        }
        let mut first: Vec<char> = Vec::new();
        for file in fs::read_dir(directory.path()).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(text.len() <= 100);
            first.extend(text.lines().filter_map(|line| line.chars().next()));
        }
        first.sort_unstable();
        assert_eq!(first, ('0'..='9').collect::<Vec<_>>());
    }

    /// OPS-063
    #[test]
    fn names_of_closed_files_keep_their_order_where_the_clock_is_set_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = opened(directory.path(), 10);
        let ahead = "2027-01-15T10-00-00-000Z.jsonl";
        fs::write(directory.path().join(ahead), "x\n").unwrap();
        for (line, minute) in [("1", 60), ("2", 120), ("3", 30), ("4", 31), ("5", 180)] {
            let line = format!("{line}234567");
            spool
                .append(&VecDeque::from([line.as_str().into()]), at(minute))
                .unwrap();
        }
        let mut closed = closed_files(directory.path()).unwrap();
        closed.sort_by_cached_key(|path| (place_in_time(path), path.clone()));
        let first = |path: &PathBuf| fs::read_to_string(path).unwrap()[..1].to_owned();
        let firsts: Vec<String> = closed.iter().map(first).collect();
        assert_eq!(firsts, ["1", "2", "3", "4", "x"]);
    }

    #[test]
    fn files_rotate_by_size_and_every_line_stays_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = opened(directory.path(), 100);
        for number in 0..10 {
            let line = format!("{{\"n\":{number},\"pad\":\"{}\"}}", "x".repeat(30));
            append(&mut spool, &line).unwrap();
        }
        spool.look().unwrap();
        let mut numbers: Vec<u64> = lines(directory.path())
            .iter()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["n"]
                    .as_u64()
                    .unwrap()
            })
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>());
        assert!(fs::read_dir(directory.path()).unwrap().count() >= 4);
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew_and_rotation_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let shipped = tempfile::tempdir().unwrap();
        let mut spool = opened(directory.path(), 20);
        let (from, to) = (directory.path().join(CURRENT), shipped.path().join("1"));
        append(&mut spool, "{\"n\":1,\"pad\":12}").unwrap();
        fs::rename(&from, &to).unwrap();
        // Too much for one file, before anybody has looked whether it is still there.
        append(&mut spool, "{\"n\":2,\"pad\":12}").unwrap();
        fs::rename(&from, shipped.path().join("2")).unwrap();
        spool.look().unwrap();
        append(&mut spool, "{\"n\":3}").unwrap();
        assert_eq!(lines(directory.path()), ["{\"n\":3}"]);
        assert_eq!(lines(shipped.path()).len(), 2);
    }

    #[test]
    fn a_file_that_was_removed_is_made_again_and_not_for_everybody_to_read() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = opened(directory.path(), 1000);
        fs::remove_file(directory.path().join(CURRENT)).unwrap();
        spool.look().unwrap();
        append(&mut spool, "{\"n\":1}").unwrap();
        assert_eq!(lines(directory.path()), ["{\"n\":1}"]);
        let mode = fs::metadata(directory.path().join(CURRENT)).unwrap().mode();
        assert_eq!(mode & 0o007, 0);
    }

    #[test]
    fn half_a_line_longer_than_what_is_read_at_a_time_is_cut_off_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(CURRENT);
        for (text, left) in [
            (format!("{{}}\n{}", "x".repeat(200_000)), 3),
            ("x".repeat(70_000), 0),
            (format!("{}\n", "x".repeat(70_000)), 70_001),
        ] {
            fs::write(&path, text).unwrap();
            mend(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), left);
        }
    }

    #[test]
    fn half_a_line_left_by_a_crash_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(CURRENT), "{\"n\":1}\n{\"n\":").unwrap();
        let mut spool = opened(directory.path(), 1000);
        append(&mut spool, "{\"n\":2}").unwrap();
        assert_eq!(lines(directory.path()), ["{\"n\":1}", "{\"n\":2}"]);
    }

    #[test]
    fn what_was_not_sent_yet_is_kept_whatever_its_age_and_size() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = opened(folder.path(), 10);
        for line in ["12345678", "22345678", "32345678"] {
            append(&mut spool, line).unwrap();
        }
        spool.wanted.retention_bytes = Some(1);
        spool.wanted.ship = Some(sbc_core::config::CdrShip {
            url: "https://records.example.com/".to_owned(),
            target: sbc_core::config::CdrTarget::Https { token: None },
            roots: String::new(),
            batch: 1,
        });
        assert_eq!(spool.retire(at(0), true, &Owed::default()).unwrap(), 0);
        let mut closed: Vec<String> = names(folder.path());
        closed.retain(|name| name != CURRENT);
        let state = format!(
            r#"{{"version":1,"files":["{}"],"inode":0,"octets":0}}"#,
            closed[0]
        );
        fs::write(folder.path().join("shipped.json"), state).unwrap();
        assert_eq!(spool.retire(at(0), true, &Owed::default()).unwrap(), 1);
        assert!(!folder.path().join(&closed[0]).exists());
        assert!(folder.path().join(&closed[1]).exists());
        // What cannot be read says of nothing that it was sent.
        fs::write(folder.path().join("shipped.json"), "{").unwrap();
        assert!(spool.retire(at(0), true, &Owed::default()).is_err());
        assert!(folder.path().join(&closed[1]).exists());
    }
}
