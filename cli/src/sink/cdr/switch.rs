//! Whether call records are written: a reload may begin it, and end it (OPS-121).
//!
//! What a writer has in common with those after it stays here: what was sent of the spool, and who is told whether new calls
//! may be taken. A writer begins only once the one before it has ended, as two would write the same files.

use super::shipped::Owed;
use super::{Cdr, CdrWriter};
use crate::sink::log::Log;
use crate::sink::metrics::Metrics;
use arc_swap::{ArcSwapOption, Guard};
use sbc_core::config::CdrSpool;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
        self.0.now.store(Some(Arc::new(cdr)));
        *self.writer() = Writer::Writes(writer);
        Ok(())
    }

    /// Writes what there is, and no more: neither of calls that are up. Call within the runtime.
    pub fn end(&self) {
        self.0.now.store(None);
        let mut writer = self.writer();
        if let Writer::Writes(own) = std::mem::take(&mut *writer) {
            let refuses = Arc::clone(&self.0.refuses);
            *writer = Writer::Ends(spawn_blocking(move || {
                own.forget();
                refuses.send_replace(false);
            }));
        }
    }

    /// Waits until one that was to end has ended.
    pub async fn ended(&self) {
        let Some(ending) = self.ending() else {
            return;
        };
        let _ = ending.await;
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
        if let Writer::Writes(own) = writer {
            own.finish();
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
