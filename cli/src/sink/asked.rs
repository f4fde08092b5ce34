//! When each proxy of Teams was asked last, kept in a file, so that a restart asks none of them twice within a
//! minute (TDR-OPT-006).
//!
//! A thread of its own writes the file whole (`whole.rs`) within a second after OPTIONS have left.

use crate::sink::log::{Log, wall_clock};
use crate::sink::spending::since;
use crate::sink::whole;
use sbc_core::trunk::asked::{Asked, Written, WrittenPair};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Name of the file.
const FILE: &str = "asked.json";
/// Name of the file of commands that ask by themselves; the daemon writes its own one whole.
const BY_HAND: &str = "asked-by-hand.json";
/// The form of the file that this program writes and reads.
const VERSION: u32 = 1;
/// How often it is looked whether somebody was asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two OPTIONS of one name (TDR-OPT-006).
const MINUTE_MS: u64 = 60_000;

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
        for path in [&path, &directory.join(BY_HAND)] {
            match whole::read(path, VERSION, |whole: &Whole| whole.version) {
                Ok(None) => {}
                Ok(Some(whole)) => {
                    asked.restore(&whole.asked, since(started), wall_clock());
                }
                Err(why) => log
                    .warn(
                        "asked_read",
                        "when Teams was asked last is not known: it may be asked twice within a minute; the file \
                         is written anew",
                    )
                    .with("file", path.display())
                    .with("why", why)
                    .send(),
            }
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

/// For how long nobody may ask a name of Teams by one of ours, as the daemon that runs no more and commands have
/// kept it in a directory.
pub fn wait(directory: &Path, fqdn: &str, host: &str) -> Option<Duration> {
    let waits = [FILE, BY_HAND].into_iter().filter_map(|name| {
        let kept = whole::read(&directory.join(name), VERSION, |whole: &Whole| {
            whole.version
        });
        let asked = kept.ok()??.asked;
        let is_it = |pair: &&WrittenPair| {
            pair.fqdn.eq_ignore_ascii_case(fqdn) && pair.host.eq_ignore_ascii_case(host)
        };
        let wait_ms = asked.pairs.iter().find(is_it)?.wait_ms.min(MINUTE_MS);
        // A clock that went back costs a minute at most.
        let passed = wall_clock().as_micros().saturating_sub(asked.wall) / 1_000;
        Some(Duration::from_millis(wait_ms.saturating_sub(passed)))
    });
    waits.max().filter(|wait| !wait.is_zero())
}

/// Keeps that a command asks a name of Teams by one of ours now.
///
/// # Errors
/// If it cannot be written.
pub fn note(directory: &Path, fqdn: &str, host: &str) -> io::Result<()> {
    let path = directory.join(BY_HAND);
    let wall = wall_clock().as_micros();
    let kept = whole::read(&path, VERSION, |whole: &Whole| whole.version);
    // What cannot be read is written anew.
    let before = kept.ok().flatten().map(|whole| whole.asked);
    let before = before.unwrap_or_default();
    let passed = wall.saturating_sub(before.wall) / 1_000;
    let others = before.pairs.into_iter().map(|pair| WrittenPair {
        wait_ms: pair.wait_ms.min(MINUTE_MS).saturating_sub(passed),
        ..pair
    });
    let mut pairs: Vec<_> = others.filter(|pair| pair.wait_ms > 0).collect();
    pairs.push(WrittenPair {
        fqdn: fqdn.to_owned(),
        host: host.to_owned(),
        wait_ms: MINUTE_MS,
    });
    let whole = Whole {
        version: VERSION,
        asked: Written { wall, pairs },
    };
    whole::write(&path, &whole)
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
    fn what_a_command_asks_is_left_alone_for_a_minute_by_the_next_one_and_by_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let (at, fqdn) = (folder.path(), "sbc1.contoso.example");
        assert_eq!(wait(at, fqdn, "sip.example.com"), None);
        note(at, fqdn, "sip.example.com").unwrap();
        note(at, fqdn, "sip2.example.com").unwrap();
        for host in ["sip.example.com", "sip2.example.com"] {
            let left = wait(at, fqdn, host).unwrap();
            assert!(left > Duration::from_secs(30) && left <= Duration::from_secs(60));
        }
        assert_eq!(wait(at, "sbc2.contoso.example", "sip.example.com"), None);
        let (log, writer) = Log::start(Level::Debug, Form::Text, io::sink()).unwrap();
        let asked = Together::default().asked();
        let started = Instant::now();
        let keeping = AskedWriter::start(at, asked.clone(), started, log).unwrap();
        keeping.finish();
        writer.finish();
        let written = asked.written(u64::MAX, since(started), wall_clock());
        assert_eq!(written.unwrap().1.pairs.len(), 2);
    }

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
