//! Call records: one JSON line per call, appended to a spool that is rotated by size and written
//! through each second (OPS-060).
//!
//! A thread of its own writes, so a slow disk stalls no call. Records that the disk does not take
//! wait in memory, up to a bound; beyond it they are counted as lost.

use crate::sink::log::{Log, wall_clock};
use crate::sink::metrics::Metrics;
use sbc_core::record::Record;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Records that may wait for the writer, and that it keeps while the disk refuses them.
const QUEUE: usize = 100_000;
/// How often what was written is forced to the disk.
const SYNC: Duration = Duration::from_secs(1);
/// The file that is being written.
const CURRENT: &str = "current.jsonl";

/// Where records go. Cheap to clone.
#[derive(Clone)]
pub struct Cdr {
    queue: SyncSender<Order>,
    metrics: Arc<Metrics>,
    log: Log,
}

enum Order {
    Record(Box<str>),
    Move(PathBuf, u64),
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
        directory: &Path,
        rotate_bytes: u64,
        metrics: Arc<Metrics>,
        log: Log,
    ) -> io::Result<(Self, CdrWriter)> {
        let spool = Spool::open(directory, rotate_bytes)?;
        let (queue, orders) = mpsc::sync_channel(QUEUE);
        let writer_log = log.clone();
        let thread = thread::Builder::new()
            .name("cdr".to_owned())
            .spawn(move || write_records(&orders, spool, &writer_log))?;
        let cdr = Self {
            queue: queue.clone(),
            metrics,
            log,
        };
        let writer = CdrWriter {
            queue,
            thread: Some(thread),
        };
        Ok((cdr, writer))
    }

    /// Queues a record.
    pub fn record(&self, record: &Record) {
        let line = match serde_json::to_string(record) {
            Ok(line) => line,
            Err(why) => {
                self.lost(&why);
                return;
            }
        };
        match self.queue.try_send(Order::Record(line.into())) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.lost(&"the disk does not keep up"),
            Err(TrySendError::Disconnected(_)) => self.lost(&"the writer has ended"),
        }
    }

    /// Writes from now on elsewhere (after a reload).
    pub fn relocate(&self, directory: PathBuf, rotate_bytes: u64) {
        if self
            .queue
            .try_send(Order::Move(directory, rotate_bytes))
            .is_err()
        {
            self.log
                .error("cdr_move", "records are still written to the old directory")
                .send();
        }
    }

    fn lost(&self, why: &dyn std::fmt::Display) {
        self.metrics.queue_dropped.with_label_values(&["cdr"]).inc();
        self.log
            .error("cdr_lost", "a call record is lost")
            .with("why", why)
            .send();
    }
}

impl CdrWriter {
    /// Writes what is queued, forces it to the disk and ends the thread.
    pub fn finish(mut self) {
        // If the queue is full the writer is busy with it and will see this next.
        let _ = self.queue.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_records(orders: &Receiver<Order>, mut spool: Spool, log: &Log) {
    let mut unwritten: VecDeque<Box<str>> = VecDeque::new();
    let mut next_sync = Instant::now() + SYNC;
    let mut is_stopping = false;
    while !is_stopping {
        match orders.recv_timeout(next_sync.saturating_duration_since(Instant::now())) {
            Ok(Order::Record(line)) => unwritten.push_back(line),
            Ok(Order::Move(directory, rotate_bytes)) => {
                match Spool::open(&directory, rotate_bytes) {
                    Ok(new) => {
                        let _ = spool.sync();
                        spool = new;
                    }
                    Err(why) => log
                        .error("cdr_move", why)
                        .with("directory", directory.display())
                        .send(),
                }
            }
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => is_stopping = true,
            Err(RecvTimeoutError::Timeout) => {}
        }
        while let Some(line) = unwritten.front() {
            match spool.append(line) {
                Ok(()) => {
                    unwritten.pop_front();
                }
                Err(why) => {
                    log.error("cdr_write", "records wait in memory")
                        .with("why", why)
                        .with("waiting", unwritten.len())
                        .send();
                    break;
                }
            }
        }
        while unwritten.len() > QUEUE {
            unwritten.pop_front();
        }
        if is_stopping || Instant::now() >= next_sync {
            next_sync = Instant::now() + SYNC;
            if let Err(why) = spool.sync() {
                log.error("cdr_sync", why).send();
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
    fn open(directory: &Path, rotate_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(CURRENT);
        mend(&path)?;
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            directory: directory.to_owned(),
            rotate_bytes: rotate_bytes.max(1),
            file,
            bytes,
            is_dirty: false,
        })
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + line.len() as u64 + 1 > self.rotate_bytes {
            self.rotate()?;
        }
        let mut whole = Vec::with_capacity(line.len() + 1);
        whole.extend_from_slice(line.as_bytes());
        whole.push(b'\n');
        if let Err(why) = self.file.write_all(&whole) {
            // Half a line would break every later reader; the record is written again.
            let _ = self.file.set_len(self.bytes);
            return Err(why);
        }
        self.bytes += whole.len() as u64;
        self.is_dirty = true;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.sync()?;
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
        Ok(())
    }
}

/// A crash may have left half a line at the end; it is cut off, so that every line is a record.
fn mend(path: &Path) -> io::Result<()> {
    let Ok(bytes) = fs::read(path) else {
        return Ok(());
    };
    if bytes.is_empty() || bytes.ends_with(b"\n") {
        return Ok(());
    }
    let whole = bytes
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    OpenOptions::new()
        .write(true)
        .open(path)?
        .set_len(whole as u64)
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

    #[test]
    fn files_rotate_by_size_and_every_line_stays_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(directory.path(), 100).unwrap();
        for number in 0..10 {
            spool
                .append(&format!(
                    "{{\"n\":{number},\"pad\":\"{}\"}}",
                    "x".repeat(30)
                ))
                .unwrap();
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

    #[test]
    fn half_a_line_left_by_a_crash_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(CURRENT), "{\"n\":1}\n{\"n\":").unwrap();
        let mut spool = Spool::open(directory.path(), 1000).unwrap();
        spool.append("{\"n\":2}").unwrap();
        assert_eq!(lines(directory.path()), ["{\"n\":1}", "{\"n\":2}"]);
    }
}
