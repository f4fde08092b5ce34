//! When each proxy of Teams was asked last, kept in a file, so that a restart asks none of them twice within a
//! minute (TDR-OPT-006).
//!
//! A thread of its own writes the file whole (`whole.rs`) within a second after OPTIONS have left.

use crate::sink::log::{Log, wall_clock};
use crate::sink::spending::since;
use crate::sink::whole;
use sbc_core::trunk::asked::{Asked, Written};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Name of the file.
const FILE: &str = "asked.json";
/// The form of the file that this program writes and reads.
const VERSION: u32 = 1;
/// How often it is looked whether somebody was asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// What the file says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    version: u32,
    asked: Written,
}

/// Writes who was asked, until it is told to end.
pub struct AskedWriter {
    /// Dropped to end the thread.
    going_on: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl AskedWriter {
    /// Takes over what was kept in a directory, and keeps there what happens from now on, on a clock that began at
    /// `started`. A file that cannot be believed is told and does no harm but OPTIONS that come too soon.
    ///
    /// # Errors
    /// If the directory cannot be made, or the thread.
    pub fn start(directory: &Path, asked: Asked, started: Instant, log: Log) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        match whole::read(&path, VERSION, |whole: &Whole| whole.version) {
            Ok(None) => {}
            Ok(Some(whole)) => {
                asked.restore(&whole.asked, since(started), wall_clock());
            }
            Err(why) => log
                .warn(
                    "asked_read",
                    "when Teams was asked last is not known: it may be asked twice within a minute; the file is \
                     written anew",
                )
                .with("file", path.display())
                .with("why", why)
                .send(),
        }
        let (going_on, is_over) = mpsc::channel::<()>();
        let mut keeping = Keeping {
            path,
            asked,
            started,
            log,
            state: 0,
        };
        let thread = thread::Builder::new()
            .name("asked".to_owned())
            .spawn(move || {
                loop {
                    let over = is_over.recv_timeout(INTERVAL);
                    keeping.write();
                    if over == Err(RecvTimeoutError::Disconnected) {
                        return;
                    }
                }
            })?;
        Ok(Self { going_on, thread })
    }

    /// Writes a last time.
    pub fn finish(self) {
        drop(self.going_on);
        // A panic there was told when it happened.
        let _ = self.thread.join();
    }
}

struct Keeping {
    path: PathBuf,
    asked: Asked,
    started: Instant,
    log: Log,
    /// The state of what was written last.
    state: u64,
}

impl Keeping {
    fn write(&mut self) {
        let (now, wall) = (since(self.started), wall_clock());
        let Some((state, asked)) = self.asked.written(self.state, now, wall) else {
            return;
        };
        let whole = Whole {
            version: VERSION,
            asked,
        };
        match whole::write(&self.path, &whole) {
            Ok(()) => self.state = state,
            Err(why) => self
                .log
                .error(
                    "asked_write",
                    "when Teams was asked is not kept: a restart may ask it twice within a minute",
                )
                .with("file", self.path.display())
                .with("why", why)
                .send(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::log::{Form, Level};
    use sbc_core::core::Together;

    #[test]
    fn a_file_of_the_run_before_is_taken_over_and_a_broken_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let wall = wall_clock().as_micros();
        let good = format!(
            "{{\"version\":1,\"asked\":{{\"wall\":{wall},\"pairs\":[{{\"fqdn\":\"sbc1.contoso.example\",\
             \"host\":\"sip.pstnhub.microsoft.com\",\"wait_ms\":50000}}]}}}}"
        );
        for (text, waiting) in [(good.as_str(), 1), (&good[..40], 0)] {
            fs::write(&path, text).unwrap();
            let (log, writer) = Log::start(Level::Debug, Form::Text, io::sink()).unwrap();
            let asked = Together::default().asked();
            let started = Instant::now();
            let keeping = AskedWriter::start(folder.path(), asked.clone(), started, log).unwrap();
            keeping.finish();
            writer.finish();
            let written = asked.written(u64::MAX, since(started), wall_clock());
            let (_, written) = written.unwrap();
            assert_eq!(written.pairs.len(), waiting, "{text}");
        }
    }
}
