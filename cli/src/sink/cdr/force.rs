//! Forcing files to the disk, by a thread of its own: a disk that takes seconds for it keeps nothing from being written
//! meanwhile, and so whoever is killed then has told all the same what it knew.

use super::super::log::Log;
use std::fs::File;
use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Number of a batch of files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Batch(u64);

/// How far the thread is.
#[derive(Default)]
struct Done {
    last: u64,
    /// The last batch of which a file could not be forced.
    failed: u64,
}

/// The thread, as the writer knows it.
pub(super) struct Forcer {
    queue: SyncSender<(Batch, Vec<File>)>,
    done: Arc<Mutex<Done>>,
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
        let done = Arc::new(Mutex::new(Done::default()));
        let told = Arc::clone(&done);
        let thread = thread::Builder::new()
            .name("cdr-force".to_owned())
            .spawn(move || run(&batches, &told, &log, force))?;
        Ok(Self {
            queue,
            done,
            given: 0,
            thread,
        })
    }

    /// Whether all that it was given is on the disk, or cannot be.
    pub(super) fn is_idle(&self) -> bool {
        self.done().last == self.given
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
        let done = self.done();
        (done.last >= batch.0).then_some(done.failed != batch.0)
    }

    /// Waits until all is done.
    pub(super) fn finish(self) {
        drop(self.queue);
        let _ = self.thread.join();
    }

    fn done(&self) -> std::sync::MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(
    batches: &Receiver<(Batch, Vec<File>)>,
    done: &Mutex<Done>,
    log: &Log,
    force: impl Fn(&File) -> io::Result<()>,
) {
    while let Ok((batch, files)) = batches.recv() {
        let mut failed = false;
        for file in files {
            if let Err(why) = force(&file) {
                failed = true;
                log.error("cdr_sync", why).send();
            }
        }
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        done.last = batch.0;
        if failed {
            done.failed = batch.0;
        }
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
}
