//! Call records: one JSON line per call, and one per pair of legs that talked to each other where that is
//! asked for, appended to a spool that is rotated by size and written through each second (OPS-060).
//!
//! A thread of its own writes, so a slow disk stalls no call. Records that the disk does not take
//! wait in memory, up to a bound; beyond it they are counted as lost.

use crate::sink::log::{Log, wall_clock};
use crate::sink::metrics::Metrics;
use sbc_core::config::CdrSpool;
use sbc_core::record::Record;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Records that may wait for the writer, and that it keeps while the disk refuses them.
const QUEUE: usize = 100_000;
/// Time in which records gather before the writer waits for the next.
const PAUSE: Duration = Duration::from_millis(20);
/// Records taken from the queue, and bytes, before they are written.
const RECORDS_AT_ONCE: usize = 256;
const WRITTEN_AT_ONCE: usize = 256 * 1024;
/// How often what was written is forced to the disk.
const SYNC: Duration = Duration::from_secs(1);
/// How long the end of the program waits for a disk that does not answer.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// The file that is being written.
const CURRENT: &str = "current.jsonl";
/// Records hold telephone numbers: the daemon's user writes, its group may ship them.
const MODE: u32 = 0o640;

/// Where records go. Cheap to clone.
#[derive(Clone)]
pub struct Cdr {
    queue: SyncSender<Order>,
    losses: Losses,
}

/// Where it is said that records are lost.
#[derive(Clone)]
struct Losses {
    metrics: Arc<Metrics>,
    log: Log,
}

/// What is written as lines of JSON, by the writer's thread.
trait Lines: Send + Sync {
    /// With those of pairs of legs, if they are wanted.
    fn json(&self, pairs: bool) -> serde_json::Result<Vec<String>>;
}

impl Lines for Record {
    fn json(&self, pairs: bool) -> serde_json::Result<Vec<String>> {
        let mut lines = vec![serde_json::to_string(self)?];
        if pairs {
            for pair in self.pairs() {
                lines.push(serde_json::to_string(&pair)?);
            }
        }
        Ok(lines)
    }
}

enum Order {
    Lines(Arc<dyn Lines>),
    Move(CdrSpool),
    Stop,
}

/// Ends the writer after everything queued was written.
pub struct CdrWriter {
    queue: SyncSender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Cdr {
    /// Opens the spool.
    ///
    /// # Errors
    /// If the directory cannot be written to, or the thread cannot be made.
    pub fn start(
        spool: &CdrSpool,
        metrics: Arc<Metrics>,
        log: Log,
    ) -> io::Result<(Self, CdrWriter)> {
        let (pairs, spool) = (spool.pairs, Spool::of(spool)?);
        let (queue, orders) = mpsc::sync_channel(QUEUE);
        let losses = Losses { metrics, log };
        let of_writer = losses.clone();
        let thread = thread::Builder::new()
            .name("cdr".to_owned())
            .spawn(move || write_records(&orders, spool, pairs, &of_writer))?;
        let cdr = Self {
            queue: queue.clone(),
            losses,
        };
        let writer = CdrWriter {
            queue,
            thread: Some(thread),
        };
        Ok((cdr, writer))
    }

    /// Whether records could be written there, without leaving anything behind.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn try_directory(directory: &Path) -> io::Result<()> {
        // What is missing is made at the start, in the first part that is there.
        let present = directory.ancestors().find(|at| at.exists());
        let probe = present
            .unwrap_or(Path::new("."))
            .join(format!(".causeway-{}", std::process::id()));
        drop(
            OpenOptions::new()
                .create_new(true)
                .write(true)
                .open(&probe)?,
        );
        fs::remove_file(probe)
    }

    /// Queues a record.
    pub fn record(&self, record: &Arc<Record>) {
        self.lines(Arc::clone(record) as Arc<dyn Lines>);
    }

    fn lines(&self, lines: Arc<dyn Lines>) {
        match self.queue.try_send(Order::Lines(lines)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.losses.count(1, &"the disk does not keep up"),
            Err(TrySendError::Disconnected(_)) => self.losses.count(1, &"the writer has ended"),
        }
    }

    /// Writes from now on elsewhere, or something else (after a reload).
    pub fn relocate(&self, spool: &CdrSpool) {
        if self.queue.try_send(Order::Move(spool.clone())).is_err() {
            self.losses
                .log
                .error("cdr_move", "records are still written to the old directory")
                .send();
        }
    }
}

impl Losses {
    fn count(&self, records: u64, why: &dyn std::fmt::Display) {
        self.metrics
            .queue_dropped
            .with_label_values(&["cdr"])
            .inc_by(records);
        self.log
            .error("cdr_lost", "call records are lost")
            .with("records", records)
            .with("why", why)
            .send();
    }
}

impl CdrWriter {
    /// Writes what is queued, forces it to the disk and ends the thread; gives up after five
    /// seconds if the disk does not answer.
    pub fn finish(mut self) {
        let deadline = Instant::now() + LAST_WRITES;
        let mut stop = Some(Order::Stop);
        while let Some(order) = stop.take() {
            match self.queue.try_send(order) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
                Err(TrySendError::Full(order)) if Instant::now() < deadline => {
                    stop = Some(order);
                    thread::sleep(Duration::from_millis(10));
                }
                Err(TrySendError::Full(_)) => return,
            }
        }
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

fn write_records(orders: &Receiver<Order>, mut spool: Spool, mut pairs: bool, losses: &Losses) {
    let log = &losses.log;
    let depth = losses.metrics.queue_depth.with_label_values(&["cdr"]);
    let mut unwritten: VecDeque<Box<str>> = VecDeque::new();
    let mut next_sync = Instant::now() + SYNC;
    let mut is_stopping = false;
    while !is_stopping {
        let mut order = orders.try_recv().or_else(|_| {
            // To wake us for every record would cost the shard more than the record does.
            thread::sleep(PAUSE);
            orders.recv_timeout(next_sync.saturating_duration_since(Instant::now()))
        });
        let mut gathered = 0;
        while let Ok(Order::Lines(lines)) = order {
            match lines.json(pairs) {
                Ok(lines) => unwritten.extend(lines.into_iter().map(Into::into)),
                Err(why) => losses.count(1, &why),
            }
            gathered += 1;
            order = match gathered < RECORDS_AT_ONCE {
                true => orders.try_recv().map_err(|_| RecvTimeoutError::Timeout),
                false => Err(RecvTimeoutError::Timeout),
            };
        }
        // Before another order is obeyed: the records in front of it belong where they were to go then.
        write_out(&mut unwritten, &mut spool, log);
        match order {
            Ok(Order::Lines(_)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Order::Move(to)) => match Spool::of(&to) {
                Ok(new) => {
                    let _ = spool.sync();
                    spool = new;
                    pairs = to.pairs;
                    write_out(&mut unwritten, &mut spool, log);
                }
                Err(why) => log
                    .error("cdr_move", why)
                    .with("directory", &to.directory)
                    .send(),
            },
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => is_stopping = true,
        }
        let surplus = unwritten.len().saturating_sub(QUEUE);
        if surplus > 0 {
            unwritten.drain(..surplus);
            losses.count(surplus as u64, &"the disk refuses them and memory is full");
        }
        depth.set(i64::try_from(unwritten.len()).unwrap_or(i64::MAX));
        if is_stopping || Instant::now() >= next_sync {
            next_sync = Instant::now() + SYNC;
            if let Err(why) = spool.sync() {
                log.error("cdr_sync", why).send();
            }
        }
    }
    if !unwritten.is_empty() {
        losses.count(
            unwritten.len() as u64,
            &"the disk refused them until the end",
        );
    }
}

/// Writes what waits, as far as the disk takes it.
fn write_out(unwritten: &mut VecDeque<Box<str>>, spool: &mut Spool, log: &Log) {
    while !unwritten.is_empty() {
        match spool.append(unwritten) {
            Ok(written) => drop(unwritten.drain(..written)),
            Err(why) => {
                log.error("cdr_write", "records wait in memory")
                    .with("why", why)
                    .with("waiting", unwritten.len())
                    .send();
                return;
            }
        }
    }
}

/// The files of a spool directory.
struct Spool {
    directory: PathBuf,
    rotate_bytes: u64,
    file: File,
    bytes: u64,
    is_dirty: bool,
}

impl Spool {
    fn of(wanted: &CdrSpool) -> io::Result<Self> {
        Self::open(Path::new(&wanted.directory), wanted.rotate_bytes)
    }

    fn open(directory: &Path, rotate_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(CURRENT);
        mend(&path)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(MODE)
            .open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            directory: directory.to_owned(),
            rotate_bytes: rotate_bytes.max(1),
            file,
            bytes,
            is_dirty: false,
        })
    }

    /// Writes lines at once, as many of the first as the file and one write hold; says how many.
    fn append(&mut self, lines: &VecDeque<Box<str>>) -> io::Result<usize> {
        let first = lines.front().map_or(0, |first| first.len() as u64 + 1);
        if self.bytes > 0 && self.bytes + first > self.rotate_bytes {
            self.rotate()?;
        }
        let mut whole = Vec::new();
        let mut count = 0;
        for line in lines {
            let more = whole.len() + line.len() + 1;
            let is_enough = more > WRITTEN_AT_ONCE || self.bytes + more as u64 > self.rotate_bytes;
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
        Ok(count)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.sync()?;
        if self.bytes == 0 {
            return Ok(());
        }
        let stamp = wall_clock().rfc3339().replace([':', '.'], "-");
        let mut name = self.directory.join(format!("{stamp}.jsonl"));
        let mut number = 1;
        while name.exists() {
            name = self.directory.join(format!("{stamp}-{number}.jsonl"));
            number += 1;
        }
        fs::rename(self.directory.join(CURRENT), name)?;
        *self = Self::open(&self.directory, self.rotate_bytes)?;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.is_dirty {
            self.file.sync_data()?;
            self.is_dirty = false;
        }
        // Somebody removed or moved the file, or we moved it and could not open the next: what is
        // written on would never be seen.
        let place = |of: &fs::Metadata| (of.dev(), of.ino());
        let named = fs::metadata(self.directory.join(CURRENT)).ok();
        if named.as_ref().map(place) != Some(place(&self.file.metadata()?)) {
            *self = Self::open(&self.directory, self.rotate_bytes)?;
        }
        Ok(())
    }
}

/// A crash may have left half a line at the end; it is cut off, so that every line is a record.
fn mend(path: &Path) -> io::Result<()> {
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

    fn append(spool: &mut Spool, line: &str) -> io::Result<usize> {
        spool.append(&VecDeque::from([line.into()]))
    }

    #[test]
    fn lines_that_wait_are_written_at_once_but_no_file_grows_for_that() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path(), 100).unwrap();
        let mut unwritten: VecDeque<Box<str>> = (0..10)
            .map(|n| format!("{n}{}", "x".repeat(38)).into())
            .collect();
        assert_eq!(spool.append(&unwritten).unwrap(), 2);
        let (log, writer) = Log::start(
            crate::sink::log::Level::Error,
            crate::sink::log::Form::Text,
            io::sink(),
        )
        .unwrap();
        unwritten.drain(..2);
        write_out(&mut unwritten, &mut spool, &log);
        drop(log);
        writer.finish();
        assert!(unwritten.is_empty());
        let mut first: Vec<char> = Vec::new();
        for file in fs::read_dir(directory.path()).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(text.len() <= 100);
            first.extend(text.lines().filter_map(|line| line.chars().next()));
        }
        first.sort_unstable();
        assert_eq!(first, ('0'..='9').collect::<Vec<_>>());
    }

    #[test]
    fn files_rotate_by_size_and_every_line_stays_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path(), 100).unwrap();
        for number in 0..10 {
            let line = format!("{{\"n\":{number},\"pad\":\"{}\"}}", "x".repeat(30));
            append(&mut spool, &line).unwrap();
        }
        spool.sync().unwrap();
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

    impl Lines for serde_json::Value {
        fn json(&self, _: bool) -> serde_json::Result<Vec<String>> {
            Ok(vec![self.to_string()])
        }
    }

    fn spool(directory: &Path) -> CdrSpool {
        CdrSpool {
            directory: directory.to_str().unwrap().to_owned(),
            rotate_bytes: 1 << 20,
            pairs: false,
        }
    }

    fn started(directory: &Path) -> (Cdr, CdrWriter, Arc<Metrics>) {
        use crate::sink::log::{Form, Level};
        let metrics = Arc::new(Metrics::new().unwrap());
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let (cdr, writer) = Cdr::start(&spool(directory), Arc::clone(&metrics), log).unwrap();
        (cdr, writer, metrics)
    }

    /// A spool whose file is on a disk that is always full.
    fn full_disk() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", directory.path().join(CURRENT)).unwrap();
        directory
    }

    #[test]
    fn records_that_a_full_disk_refuses_wait_and_are_written_elsewhere_in_order() {
        let (full, free) = (full_disk(), tempfile::tempdir().unwrap());
        let (cdr, writer, metrics) = started(full.path());
        for number in 0..3 {
            cdr.lines(Arc::new(serde_json::json!({ "n": number })));
        }
        cdr.relocate(&spool(free.path()));
        writer.finish();
        assert_eq!(lines(free.path()), ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"]);
        assert_eq!(metrics.queue_dropped.with_label_values(&["cdr"]).get(), 0);
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew_and_rotation_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let shipped = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path(), 20).unwrap();
        let (from, to) = (directory.path().join(CURRENT), shipped.path().join("1"));
        append(&mut spool, "{\"n\":1,\"pad\":12}").unwrap();
        fs::rename(&from, &to).unwrap();
        // Too much for one file, before anybody has looked whether it is still there.
        append(&mut spool, "{\"n\":2,\"pad\":12}").unwrap();
        fs::rename(&from, shipped.path().join("2")).unwrap();
        spool.sync().unwrap();
        append(&mut spool, "{\"n\":3}").unwrap();
        assert_eq!(lines(directory.path()), ["{\"n\":3}"]);
        assert_eq!(lines(shipped.path()).len(), 2);
    }

    #[test]
    fn records_that_the_disk_refused_until_the_end_are_counted_as_lost() {
        let full = full_disk();
        let (cdr, writer, metrics) = started(full.path());
        for number in 0..3 {
            cdr.lines(Arc::new(serde_json::json!({ "n": number })));
        }
        writer.finish();
        assert_eq!(metrics.queue_dropped.with_label_values(&["cdr"]).get(), 3);
    }

    #[test]
    fn a_file_that_was_removed_is_made_again_and_not_for_everybody_to_read() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path(), 1000).unwrap();
        fs::remove_file(directory.path().join(CURRENT)).unwrap();
        spool.sync().unwrap();
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
        let mut spool = Spool::open(directory.path(), 1000).unwrap();
        append(&mut spool, "{\"n\":2}").unwrap();
        assert_eq!(lines(directory.path()), ["{\"n\":1}", "{\"n\":2}"]);
    }
}
