//! Whether call records are written: a reload may begin it, and end it (OPS-121).
//!
//! What a writer has in common with those after it stays here: what was sent of the spool, and who is told whether new calls
//! may be taken. A writer begins only once the thread of the one before it has ended, as two would write the same files: one
//! whose disk does not answer is waited for no longer than a few seconds, and keeps others from beginning until it ends.

use super::shipped::Owed;
use super::{Cdr, CdrWriter, Ready};
use crate::sink::log::Log;
use crate::sink::metrics::Metrics;
use arc_swap::{ArcSwapOption, Guard};
use sbc_core::config::CdrSpool;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

/// Call records, or none. Cheap to clone.
#[derive(Clone, Default)]
pub struct Records(Arc<Inner>);

#[derive(Default)]
struct Inner {
    now: ArcSwapOption<Cdr>,
    owed: Owed,
    refuses: Arc<watch::Sender<bool>>,
    writer: Mutex<Writer>,
    /// Gone once the thread of the last writer has ended.
    lives: Mutex<Weak<()>>,
}

#[derive(Default)]
enum Writer {
    #[default]
    None,
    Writes(CdrWriter),
    /// It writes what it was given, for a few seconds at most.
    Ends(JoinHandle<()>),
}

impl Records {
    /// Where records go at the moment, if anywhere.
    pub fn get(&self) -> Guard<Option<Arc<Cdr>>> {
        self.0.now.load()
    }

    /// What was sent of the spool and could not be written down: for whoever sends.
    pub fn owed(&self) -> Owed {
        self.0.owed.clone()
    }

    /// Whether new calls would leave no record on the disk although they must (OPS-060).
    pub fn refuses(&self) -> watch::Receiver<bool> {
        self.0.refuses.subscribe()
    }

    /// Begins to write them.
    ///
    /// # Errors
    /// As [`Cdr::start`]; none are written then.
    pub fn begin(&self, spool: &CdrSpool, metrics: Arc<Metrics>, log: Log) -> io::Result<()> {
        let among = (self.owed(), Arc::clone(&self.0.refuses));
        let (cdr, writer) = Cdr::start_among(spool, metrics, log, among)?;
        self.take(cdr, writer);
        Ok(())
    }

    /// Makes ready who is to write them, which touches no disk, and changes nothing.
    ///
    /// # Errors
    /// If a thread cannot be made.
    pub fn ready(&self, spool: &CdrSpool, metrics: Arc<Metrics>, log: Log) -> io::Result<Ready> {
        let among = (self.owed(), Arc::clone(&self.0.refuses));
        Cdr::ready_among(spool, metrics, log, among)
    }

    /// Begins with who was made ready, once [`Self::ended`] has said that it may. Waits for no disk.
    pub fn begin_with(&self, ready: Ready) {
        let Ready {
            cdr,
            writer,
            begins,
        } = ready;
        // It waits for this one word.
        let _ = begins.send(());
        self.take(cdr, writer);
    }

    fn take(&self, cdr: Cdr, writer: CdrWriter) {
        *self.lives() = Weak::clone(&writer.lives);
        self.0.now.store(Some(Arc::new(cdr)));
        *self.writer() = Writer::Writes(writer);
    }

    /// Writes what there is, and no more: neither of calls that are up. Call within the runtime.
    pub fn end(&self) {
        self.0.now.store(None);
        let mut writer = self.writer();
        *writer = match std::mem::take(&mut *writer) {
            Writer::Writes(own) => {
                own.detach();
                Writer::Ends(spawn_blocking(move || own.forget()))
            }
            other => other,
        };
    }

    /// Waits until one that was to end has ended, or has been given up; whether no thread writes any more, so that another
    /// may begin.
    pub async fn ended(&self) -> bool {
        if let Some(ending) = self.ending() {
            let _ = ending.await;
        }
        self.lives().strong_count() == 0
    }

    fn ending(&self) -> Option<JoinHandle<()>> {
        let mut writer = self.writer();
        match std::mem::take(&mut *writer) {
            Writer::Ends(ending) => Some(ending),
            other => {
                *writer = other;
                None
            }
        }
    }

    /// The end of the program: writes what there is. Call where waiting is allowed.
    pub fn finish(&self) {
        let writer = std::mem::take(&mut *self.writer());
        match writer {
            Writer::Writes(own) => own.finish(),
            // Whoever waits for its end waits where that blocks nobody.
            other => *self.writer() = other,
        }
    }

    fn lives(&self) -> MutexGuard<'_, Weak<()>> {
        self.0.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CURRENT, LAST_WRITES};
    use super::*;
    use crate::sink::fixture;
    use crate::sink::log::{Form, Level};
    use std::fs::{self, File};
    use std::path::Path;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    fn mandatory(directory: &Path) -> CdrSpool {
        CdrSpool {
            is_mandatory: true,
            ..CdrSpool::at(directory.to_str().unwrap())
        }
    }

    fn log() -> Log {
        Log::start(Level::Error, Form::Text, io::sink()).unwrap().0
    }

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new().unwrap())
    }

    async fn until(is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_so() {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// OPS-060, OPS-121
    #[tokio::test]
    async fn once_records_are_not_wanted_no_call_is_refused_for_a_disk_that_takes_none() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join(CURRENT)).unwrap();
        let records = Records::default();
        let refuses = records.refuses();
        records
            .begin(&mandatory(folder.path()), metrics(), log())
            .unwrap();
        if let Some(cdr) = &*records.get() {
            cdr.record(&Arc::new(fixture::record(1)));
        }
        until(|| *refuses.borrow()).await;
        records.end();
        assert!(!*refuses.borrow());
        assert!(records.ended().await);
        assert!(!*refuses.borrow() && records.get().is_none());
    }

    #[tokio::test]
    async fn who_does_not_end_keeps_others_from_beginning_until_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::default();
        let refuses = records.refuses();
        assert!(records.ended().await);
        let (release, held) = mpsc::channel::<()>();
        // It ends once nobody holds it any more.
        let force = move |_: &File| {
            let _ = held.recv();
            Ok(())
        };
        let among = (records.owed(), Arc::clone(&records.0.refuses));
        let spool = mandatory(folder.path());
        let started = Cdr::start_as(&spool, metrics(), log(), force, among);
        let (cdr, writer) = started.unwrap();
        cdr.record(&Arc::new(fixture::record(1)));
        records.take(cdr, writer);
        let begin = Instant::now();
        records.end();
        // The end of the program takes nothing from who waits for it.
        records.finish();
        assert!(!records.ended().await);
        assert!(begin.elapsed() >= LAST_WRITES && !*refuses.borrow());
        drop(release);
        until(|| records.lives().strong_count() == 0).await;
        assert!(records.ended().await);
    }

    #[tokio::test]
    async fn who_is_made_ready_touches_nothing_before_the_word() {
        let folder = tempfile::tempdir().unwrap();
        let spool = mandatory(&folder.path().join("cdr"));
        let records = Records::default();
        let ready = || records.ready(&spool, metrics(), log()).unwrap();
        let dropped = ready();
        let lives = Weak::clone(&dropped.writer.lives);
        drop(dropped);
        until(|| lives.strong_count() == 0).await;
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
        records.begin_with(ready());
        if let Some(cdr) = &*records.get() {
            cdr.goes_on(Default::default());
            cdr.record(&Arc::new(fixture::record(1)));
        }
        records.finish();
        assert!(records.ended().await);
        let text = fs::read_to_string(folder.path().join("cdr").join(CURRENT)).unwrap();
        assert_eq!(text.lines().count(), 1);
        // A place that cannot be had is as a disk that takes nothing.
        let in_the_way = folder.path().join("file");
        fs::write(&in_the_way, "").unwrap();
        let spool = mandatory(&in_the_way);
        let refuses = records.refuses();
        records.begin_with(records.ready(&spool, metrics(), log()).unwrap());
        until(|| *refuses.borrow()).await;
        records.end();
        assert!(records.ended().await && !*refuses.borrow());
    }
}
