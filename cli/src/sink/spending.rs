//! What calls have cost, kept in a file, so that a restart does not give everybody the money of an hour
//! and a day anew.
//!
//! A thread of its own writes the file whole (`whole.rs`) every ten seconds if anything was spent, and
//! once more when the daemon ends. After a crash at most what was spent since the last writing is not
//! known any more: ten seconds of the calls that went on, and the price per call of those that were
//! answered meanwhile. Nothing is ever counted twice: the file holds sums, and they take the place of
//! what is known.

use crate::sink::log::{Log, wall_clock};
use crate::sink::whole;
use sbc_core::policy::admission::Counted;
use sbc_core::policy::spend::accounts::Standing;
use sbc_core::policy::spend::books::{Books, MOST_ACCOUNTS, Written};
use sbc_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Name of the file.
const FILE: &str = "spending.json";
/// The form of the file that this program writes and reads.
const VERSION: u32 = 1;
/// Time between two looks at what was spent.
const INTERVAL: Duration = Duration::from_secs(10);

/// What was spent, for an operator. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    books: Books,
    started: Instant,
}

impl Ledger {
    /// Of a table whose clock began at `started`.
    pub const fn new(books: Books, started: Instant) -> Self {
        Self { books, started }
    }

    /// See [`Books::standings`].
    pub fn standings(&self, most: usize) -> Vec<Standing> {
        self.books.standings(since(self.started), most)
    }

    /// See [`Books::forgive`]. A restart within ten seconds does not know of it.
    pub fn forgive(&self, is_meant: impl Fn(&Counted) -> bool) -> usize {
        self.books.forgive(since(self.started), is_meant)
    }
}

/// What the file says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    version: u32,
    spending: Written,
}

/// Writes what is spent, until it is told to end.
pub struct SpendWriter {
    /// Dropped to end the thread.
    going_on: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SpendWriter {
    /// Takes over what was kept in a directory, and keeps there what is spent from now on, on a clock
    /// that began at `started`. A file that cannot be believed is told and does no harm: limits on
    /// money begin anew.
    ///
    /// # Errors
    /// If the directory cannot be made, or the thread.
    pub fn start(directory: &Path, books: Books, started: Instant, log: Log) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        // What is forgiven at once must not come back with the next restart.
        let last = (!restore(&path, &books, &log)).then(Written::default);
        let (going_on, is_over) = mpsc::channel();
        let keeping = Keeping {
            path,
            books,
            started,
            log,
            last,
        };
        let thread = thread::Builder::new()
            .name("spending".to_owned())
            .spawn(move || {
                let mut keeping = keeping;
                while let Err(RecvTimeoutError::Timeout) = is_over.recv_timeout(INTERVAL) {
                    keeping.write();
                }
                keeping.write();
            })?;
        Ok(Self {
            going_on: Some(going_on),
            thread: Some(thread),
        })
    }

    /// Writes a last time. Call when nothing is spent any more.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.going_on = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was told when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for SpendWriter {
    fn drop(&mut self) {
        self.end();
    }
}

/// The time on a clock that began at `started`.
pub(super) fn since(started: Instant) -> Timestamp {
    Timestamp::ZERO + started.elapsed()
}

struct Keeping {
    path: PathBuf,
    books: Books,
    started: Instant,
    log: Log,
    /// What was written last, or nothing; `None` where the file is of the run before.
    last: Option<Written>,
}

impl Keeping {
    fn write(&mut self) {
        let spending = self.books.write(since(self.started), wall_clock());
        // Time alone is no reason: it goes on while nothing runs as well.
        let last = self.last.as_ref();
        if last.is_some_and(|last| last.accounts == spending.accounts) {
            return;
        }
        if spending.left_out > 0 {
            self.log
                .warn(
                    "spending_left_out",
                    "not all that was spent is kept: there are too many accounts",
                )
                .with("kept", MOST_ACCOUNTS)
                .with("left_out", spending.left_out)
                .send();
        }
        let whole = Whole {
            version: VERSION,
            spending,
        };
        match whole::write(&self.path, &whole) {
            Ok(()) => self.last = Some(whole.spending),
            Err(why) => self
                .log
                .error("spending_write", "what is spent is not kept")
                .with("file", self.path.display())
                .with("why", why)
                .send(),
        }
    }
}

/// Takes over what the file says, if it can be believed. Says whether it says anything now.
fn restore(path: &Path, books: &Books, log: &Log) -> bool {
    let refused = |why: String| {
        log.warn(
            "spending_read",
            "what was spent is not known any more: limits on money begin anew",
        )
        .with("file", path.display())
        .with("why", why)
        .send();
    };
    match whole::read(path, VERSION, |whole: &Whole| whole.version) {
        Ok(None) => {}
        Ok(Some(whole)) => match books.restore(&whole.spending, wall_clock()) {
            Ok(restored) => {
                if restored.is_from_the_future {
                    let text = "what was spent was written down later than it is now: it counts as spent just now; look \
                                whether the clock is right";
                    log.warn("spending_from_the_future", text)
                        .with("file", path.display())
                        .send();
                }
                return true;
            }
            Err(why) => refused(why.to_string()),
        },
        Err(why) => refused(why.to_string()),
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::log::{Form, Level};
    use sbc_core::config::Money;
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

    fn folder(name: &str) -> PathBuf {
        let name = format!("causeway-spending-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// What a file at this time says, in which the node has spent one unit in each period.
    fn text(wall: u64) -> String {
        format!(
            "{{\"version\":1,\"spending\":{{\"wall\":{wall},\"clock\":1000000,\"accounts\":[{{\
             \"of\":\"node\",\"name\":\"\",\"number\":null,\"hour\":[[0,1000000]],\
             \"day\":[[0,1000000]]}}],\"left_out\":0}}}}"
        )
    }

    /// Starts with this file and ends; what was told, what is spent, and the file afterwards.
    fn started(folder: &Path, text: Option<&str>) -> (String, Vec<Money>, Option<String>) {
        let path = folder.join(FILE);
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        let lines = Lines::default();
        let (log, writer) = Log::start(Level::Debug, Form::Text, lines.clone()).unwrap();
        let books = Together::default().books();
        let spending = SpendWriter::start(folder, books.clone(), Instant::now(), log).unwrap();
        spending.finish();
        writer.finish();
        let told = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let figures = books.figures(Timestamp::ZERO).into_iter();
        let after = fs::read_to_string(&path).ok();
        (told, figures.map(|figure| figure.spent).collect(), after)
    }

    #[test]
    fn what_was_spent_is_known_again_and_written_again() {
        let folder = folder("kept");
        let (told, spent, after) = started(&folder, None);
        assert_eq!((told.as_str(), spent.len(), after), ("", 0, None));
        let before = text(wall_clock().as_micros() - 1_000_000);
        let (told, spent, after) = started(&folder, Some(&before));
        assert_eq!((told.as_str(), spent), ("", vec![Money(1_000_000); 2]));
        let after: Whole = serde_json::from_str(&after.unwrap()).unwrap();
        let before: Whole = serde_json::from_str(&before).unwrap();
        assert_eq!(after.spending.accounts, before.spending.accounts);
        assert!(after.spending.clock > before.spending.clock);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_is_damaged_cut_or_of_another_version_is_told_and_not_believed() {
        let folder = folder("broken");
        let good = text(wall_clock().as_micros());
        let cases = [
            (String::new(), "EOF"),
            (good[..good.len() / 2].to_owned(), "EOF"),
            (good.replace("wall", "well"), "unknown field"),
            (
                "{\"version\":2,\"money\":[]}".to_owned(),
                "version 2 is not known",
            ),
            (good.replace("[[0,", "[[9,"), "out of order"),
            (good.replace("node", "purse"), "of nothing that is known"),
        ];
        for (text, why) in cases {
            let (told, spent, _) = started(&folder, Some(&text));
            assert!(told.contains("spending_read"), "{told}");
            assert!(told.contains(why), "{text}: {told}");
            assert!(spent.is_empty());
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_of_the_future_counts_and_is_told() {
        let folder = folder("future");
        let later = text(wall_clock().as_micros() + 3_600_000_000);
        let (told, spent, _) = started(&folder, Some(&later));
        assert!(told.contains("spending_from_the_future"), "{told}");
        assert_eq!(spent, vec![Money(1_000_000); 2]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
