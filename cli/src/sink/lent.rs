//! Numbers that are lent to those who call for help, kept in a file, so that they are called back after a
//! restart as well (TDR-EMG-005).
//!
//! A thread of its own writes the file whole (`whole.rs`) as soon as a call for help has come or one under
//! such a number has ended: within moments, and long before anybody calls back. What comes meanwhile is
//! written together.

use crate::sink::log::{Log, wall_clock};
use crate::sink::spending::since;
use crate::sink::whole;
use sbc_core::event::{Event, Happened};
use sbc_core::policy::elin::Elins;
use sbc_core::policy::elin::stored::Written;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Name of the file.
const FILE: &str = "lent.json";
/// The form of the file that this program writes and reads.
const VERSION: u32 = 1;
/// A call that moved between shards may end without a word: longest time until that is written.
const INTERVAL: Duration = Duration::from_secs(10);

/// What the file says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    version: u32,
    lent: Written,
}

/// Rings when something may have been lent. Cheap to clone.
#[derive(Clone)]
pub struct Bell(SyncSender<()>);

impl Bell {
    /// Takes a fact.
    pub fn apply(&self, event: &Event) {
        let rings = match &event.what {
            Happened::Emergency { .. } => true,
            Happened::Ended(record) => record.place.is_some(),
            _ => false,
        };
        if rings {
            // It rings already, or nobody writes any more.
            let _ = self.0.try_send(());
        }
    }
}

/// Writes what is lent, until it is told to end.
pub struct LentWriter {
    /// Dropped to end the thread.
    going_on: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LentWriter {
    /// Takes over what was kept in a directory, and keeps there what is lent from now on, on a clock that
    /// began at `started`. A file that cannot be believed is told and does no harm: calls back go where
    /// the numbers usually lead.
    ///
    /// # Errors
    /// If the directory cannot be made, or the thread.
    pub fn start(
        directory: &Path,
        elins: Elins,
        started: Instant,
        log: Log,
    ) -> io::Result<(Self, Bell)> {
        fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        restore(&path, &elins, started, &log);
        let (bell, rings) = mpsc::sync_channel(1);
        let (going_on, is_over) = mpsc::channel::<()>();
        let mut keeping = Keeping {
            path,
            elins,
            started,
            log,
            state: 0,
        };
        let thread = thread::Builder::new()
            .name("lent".to_owned())
            .spawn(move || {
                loop {
                    let rung = rings.recv_timeout(INTERVAL);
                    let is_over =
                        matches!(is_over.try_recv(), Err(mpsc::TryRecvError::Disconnected));
                    keeping.write();
                    if is_over || rung == Err(RecvTimeoutError::Disconnected) {
                        return;
                    }
                }
            })?;
        let writer = Self {
            going_on: Some(going_on),
            thread: Some(thread),
        };
        Ok((writer, Bell(bell)))
    }

    /// Writes a last time. Call when nothing is lent any more; `bell` wakes it.
    pub fn finish(mut self, bell: Option<&Bell>) {
        self.going_on = None;
        if let Some(Bell(bell)) = bell {
            let _ = bell.try_send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic there was told when it happened.
            let _ = thread.join();
        }
    }
}

struct Keeping {
    path: PathBuf,
    elins: Elins,
    started: Instant,
    log: Log,
    /// The state of what was written last.
    state: u64,
}

impl Keeping {
    fn write(&mut self) {
        let (now, wall) = (since(self.started), wall_clock());
        let Some((state, lent)) = self.elins.written(self.state, now, wall) else {
            return;
        };
        let whole = Whole {
            version: VERSION,
            lent,
        };
        match whole::write(&self.path, &whole) {
            Ok(()) => self.state = state,
            Err(why) => self
                .log
                .error(
                    "lent_write",
                    "who called for help under which number is not kept for after a restart",
                )
                .with("file", self.path.display())
                .with("why", why)
                .send(),
        }
    }
}

fn restore(path: &Path, elins: &Elins, started: Instant, log: &Log) {
    let refused = |why: String| {
        log.warn(
            "lent_read",
            "who called for help under which number is not known any more: calls back go where the \
             numbers usually lead; the file is written anew",
        )
        .with("file", path.display())
        .with("why", why)
        .send();
    };
    match whole::read(path, VERSION, |whole: &Whole| whole.version) {
        Ok(None) => {}
        Ok(Some(whole)) => match elins.restore(&whole.lent, since(started), wall_clock()) {
            Ok(0) => {}
            Ok(numbers) => log
                .info("lent_restored", "numbers are lent as before the restart")
                .with("numbers", numbers)
                .send(),
            Err(why) => refused(why.to_string()),
        },
        Err(why) => refused(why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::log::{Form, Level};
    use sbc_core::core::Together;
    use std::sync::{Arc, Mutex};

    /// A log that can be read.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Starts with this file and ends; what was told, and the numbers that are lent.
    fn started(folder: &Path, text: &str) -> (String, usize) {
        fs::write(folder.join(FILE), text).unwrap();
        let lines = Lines::default();
        let (log, writer) = Log::start(Level::Debug, Form::Text, lines.clone()).unwrap();
        let elins = Together::default().elins();
        let lent = LentWriter::start(folder, elins.clone(), Instant::now(), log);
        let (lent, bell) = lent.unwrap();
        lent.finish(Some(&bell));
        writer.finish();
        let told = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let now = since(Instant::now());
        let written = elins.written(u64::MAX, now, wall_clock());
        (
            told,
            written.map_or(0, |(_, written)| written.numbers.len()),
        )
    }

    #[test]
    fn a_file_is_believed_whole_or_told_with_its_name_and_reason() {
        let folder = tempfile::tempdir().unwrap();
        let wall = wall_clock().as_micros();
        let good = format!(
            "{{\"version\":1,\"lent\":{{\"wall\":{wall},\"numbers\":[{{\"tenant\":\"contoso\",\
             \"number\":\"+441632960190\",\"user\":\"+441632960100\",\"keep_ms\":2700000,\
             \"over_ms\":1000}}]}}}}"
        );
        let (told, numbers) = started(folder.path(), &good);
        assert!(told.contains("lent_restored") && numbers == 1, "{told}");
        for (text, why) in [
            (good[..good.len() / 2].to_owned(), "EOF"),
            (String::new(), "EOF"),
            (
                good.replace("\"version\":1", "\"version\":2"),
                "version 2 is not known",
            ),
            (good.replace("keep_ms", "kept_ms"), "unknown field"),
            (good.replace("2700000", "99999999999"), "longer than a day"),
            ("{\"bindings\":[]}".to_owned(), "unknown field"),
        ] {
            let (told, numbers) = started(folder.path(), &text);
            assert!(
                told.contains("lent_read") && told.contains(why),
                "{text}: {told}"
            );
            assert!(told.contains("lent.json"), "{told}");
            assert_eq!(numbers, 0);
        }
    }
}
