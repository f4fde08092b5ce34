//! Forcing files to the disk, by a thread of its own: a disk that takes seconds for it keeps nothing from being written
//! meanwhile, and so whoever is killed then has told all the same what it knew. A file that could not be forced is tried
//! again with the next batches.

use super::super::log::Log;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a file is tried that cannot be forced: one of a disk that has gone would be kept for ever.
const TRIES: u32 = 10;
/// Files that are tried again at most; beyond these the oldest are given up.
const MOST_FAILED: usize = 64;
/// How often whoever waits looks whether the thread is there.
const LOOK: Duration = Duration::from_millis(100);

/// Number of a batch of files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Batch(u64);

/// How far the thread is.
#[derive(Default)]
struct Done {
    last: u64,
    /// The last batch of which a file could not be forced.
    failed: u64,
    /// Files of it, and of those before it, that are to be tried again.
    again: usize,
}

/// What the thread tells, and whoever waits for it hears.
#[derive(Default)]
struct Told {
    done: Mutex<Done>,
    changed: Condvar,
}

impl Told {
    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that could not be forced.
struct Failed {
    file: File,
    /// Device and inode: more is written to it and fails again.
    place: Option<(u64, u64)>,
    tries: u32,
}

/// The thread, as the writer knows it.
pub(super) struct Forcer {
    queue: SyncSender<(Batch, Vec<File>)>,
    told: Arc<Told>,
    given: u64,
    thread: JoinHandle<()>,
}

impl Forcer {
    /// Starts the thread; `force` is what it does with each file.
    ///
    /// # Errors
    /// If the thread cannot be made.
    pub(super) fn start(
        log: Log,
        force: impl Fn(&File) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, batches) = mpsc::sync_channel(1);
        let told = Arc::new(Told::default());
        let own = Arc::clone(&told);
        let thread = thread::Builder::new()
            .name("cdr-force".to_owned())
            .spawn(move || run(&batches, &own, &log, force))?;
        Ok(Self {
            queue,
            told,
            given: 0,
            thread,
        })
    }

    /// Whether all that it was given is on the disk, or cannot be.
    pub(super) fn is_idle(&self) -> bool {
        self.told.done().last == self.given
    }

    /// Gives it files. Does not wait where it is idle.
    pub(super) fn give(&mut self, files: Vec<File>) -> Batch {
        self.given += 1;
        let batch = Batch(self.given);
        // A thread that has ended has panicked, and the hook has told of that.
        let _ = self.queue.send((batch, files));
        batch
    }

    /// Whether a batch is on the disk; nothing as long as that is not known.
    pub(super) fn has_forced(&self, batch: Batch) -> Option<bool> {
        let done = self.told.done();
        (done.last >= batch.0).then_some(done.failed != batch.0)
    }

    /// Whether a batch is on the disk, and nothing of those before it is missing; nothing as long as that is not known.
    pub(super) fn has_all(&self, batch: Batch) -> Option<bool> {
        let done = self.told.done();
        (done.last >= batch.0).then_some(done.failed != batch.0 && done.again == 0)
    }

    /// Whether there is something to be tried again, with the next batch.
    pub(super) fn has_failed(&self) -> bool {
        self.told.done().again > 0
    }

    /// Waits until all that it was given is on the disk, or cannot be.
    pub(super) fn wait(&self) {
        let mut done = self.told.done();
        // One that has ended has panicked.
        while done.last != self.given && !self.thread.is_finished() {
            let waited = self.told.changed.wait_timeout(done, LOOK);
            done = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until all is done, and ends the thread.
    pub(super) fn finish(self) {
        drop(self.queue);
        let _ = self.thread.join();
    }
}

fn run(
    batches: &Receiver<(Batch, Vec<File>)>,
    told: &Told,
    log: &Log,
    force: impl Fn(&File) -> io::Result<()>,
) {
    let mut again: Vec<Failed> = Vec::new();
    while let Ok((batch, files)) = batches.recv() {
        again.retain_mut(|one| {
            let Err(why) = force(&one.file) else {
                return false;
            };
            one.tries += 1;
            let line = log.error("cdr_sync", why);
            line.with("tries", one.tries).send();
            one.tries < TRIES
        });
        let mut failed = false;
        for file in files {
            if let Err(why) = force(&file) {
                failed = true;
                log.error("cdr_sync", why).send();
                let found = file.metadata().ok();
                let place = found.map(|found| (found.dev(), found.ino()));
                if place.is_none() || again.iter().all(|one| one.place != place) {
                    again.push(Failed {
                        file,
                        place,
                        tries: 1,
                    });
                }
            }
        }
        let surplus = again.len().saturating_sub(MOST_FAILED);
        again.drain(..surplus);
        let mut done = told.done();
        done.last = batch.0;
        done.again = again.len();
        if failed {
            done.failed = batch.0;
        }
        drop(done);
        told.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::log::{Form, Level};

    #[test]
    fn what_cannot_be_forced_is_told_of_its_own_batch_alone() {
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let fails = |file: &File| match file.metadata()?.len() {
            0 => Ok(()),
            _ => Err(io::Error::other("no")),
        };
        let mut forcer = Forcer::start(log, fails).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            File::open(path).unwrap()
        };
        assert!(forcer.is_idle());
        let good = forcer.give(vec![file("a", "")]);
        let bad = forcer.give(vec![file("b", "x"), file("c", "")]);
        let again = forcer.give(vec![file("d", "")]);
        while !forcer.is_idle() {
            thread::yield_now();
        }
        let told = [good, bad, again].map(|batch| forcer.has_forced(batch));
        assert_eq!(told, [Some(true), Some(false), Some(true)]);
        forcer.finish();
    }

    #[test]
    fn a_file_that_could_not_be_forced_is_tried_again_and_not_for_ever() {
        let (log, _) = Log::start(Level::Error, Form::Text, io::sink()).unwrap();
        let (tells, tried) = mpsc::channel();
        // It can once somebody has emptied it.
        let fails = move |file: &File| {
            let length = file.metadata()?.len();
            tells.send(length).unwrap();
            match length {
                0 => Ok(()),
                _ => Err(io::Error::other("no")),
            }
        };
        let mut forcer = Forcer::start(log, fails).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "x").unwrap();
        let mut give = |files: Vec<File>| {
            let batch = forcer.give(files);
            forcer.wait();
            let told = (forcer.has_forced(batch), forcer.has_all(batch));
            let lengths: Vec<u64> = tried.try_iter().collect();
            (told, forcer.has_failed(), lengths)
        };
        let open = || vec![File::open(&path).unwrap()];
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(give(open()), ((no, no), true, vec![1]));
        // It is the same file.
        assert_eq!(give(open()), ((no, no), true, vec![1, 1]));
        assert_eq!(give(Vec::new()), ((yes, no), true, vec![1]));
        std::fs::write(&path, "").unwrap();
        assert_eq!(give(Vec::new()), ((yes, yes), false, vec![0]));
        std::fs::write(&path, "x").unwrap();
        assert_eq!(give(open()), ((no, no), true, vec![1]));
        for _ in 2..TRIES {
            assert_eq!(give(Vec::new()), ((yes, no), true, vec![1]));
        }
        assert_eq!(give(Vec::new()), ((yes, yes), false, vec![1]));
        assert_eq!(give(Vec::new()), ((yes, yes), false, vec![0_u64; 0]));
    }
}
