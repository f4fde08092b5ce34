//! What peers have registered with us, kept in a file, so that after a restart they can be called
//! before they register anew.
//!
//! A thread of its own writes the file whole (`whole.rs`). Changes of a second are written together.

use crate::sink::log::Log;
use crate::sink::whole;
use sbc_core::event::{Event, Happened};
use sbc_core::id::TrunkName;
use sbc_core::trunk::{Bound, Stored};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Name of the file.
const FILE: &str = "bindings.json";
/// The form of the file that this program writes and reads.
const VERSION: u32 = 1;
/// Time in which changes gather.
const PAUSE: Duration = Duration::from_secs(1);

/// What the file says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    version: u32,
    bindings: Vec<Stored>,
}

/// Where bindings are kept. Cheap to clone.
#[derive(Clone)]
pub struct Keeper(Arc<Shared>);

/// What a daemon has of its keeper; nothing without a directory.
#[derive(Default)]
pub struct Kept {
    /// Who takes the facts.
    pub keeper: Option<Keeper>,
    /// Who writes.
    pub writer: Option<KeeperWriter>,
    /// What was registered before the restart.
    pub before: Arc<[Stored]>,
}

struct Shared {
    known: Mutex<Known>,
    news: Condvar,
}

#[derive(Default)]
struct Known {
    bound: BTreeMap<TrunkName, Arc<Bound>>,
    is_changed: bool,
    is_over: bool,
}

/// Ends the writer after the last change was written.
pub struct KeeperWriter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Reads what was kept in a directory, and keeps there what comes from now on. A file that cannot
    /// be read is told and does no harm: the peers register anew.
    ///
    /// # Errors
    /// If the directory cannot be made, or the thread.
    pub fn start(directory: &Path, log: Log) -> io::Result<Kept> {
        fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        let kept = match read(&path) {
            Ok(kept) => kept,
            Err(why) => {
                log.error("bindings_read", "what was registered is not known any more")
                    .with("file", path.display())
                    .with("why", why)
                    .send();
                Vec::new()
            }
        };
        let shared = Arc::new(Shared {
            known: Mutex::default(),
            news: Condvar::new(),
        });
        let of_writer = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("bindings".to_owned())
            .spawn(move || of_writer.write_changes(&path, &log))?;
        let writer = KeeperWriter {
            shared: Arc::clone(&shared),
            thread: Some(thread),
        };
        Ok(Kept {
            keeper: Some(Self(shared)),
            writer: Some(writer),
            before: Arc::from(kept),
        })
    }

    /// Takes a fact.
    pub fn apply(&self, event: &Event) {
        if let Happened::Bindings { bound, .. } = &event.what {
            let mut known = self.0.lock();
            match bound.bindings.is_empty() {
                true => known.bound.remove(&bound.trunk),
                false => known.bound.insert(bound.trunk.clone(), Arc::clone(bound)),
            };
            known.is_changed = true;
            self.0.news.notify_one();
        }
    }
}

impl KeeperWriter {
    /// Waits for the last change.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.news.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there was told when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for KeeperWriter {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_changes(&self, path: &Path, log: &Log) {
        loop {
            let known = self.lock();
            let idle = |known: &mut Known| !known.is_changed && !known.is_over;
            let known = self.news.wait_while(known, idle);
            let known = known.unwrap_or_else(PoisonError::into_inner);
            // More may follow at once; who ends waits for nothing.
            let going_on = |known: &mut Known| !known.is_over;
            let waited = self.news.wait_timeout_while(known, PAUSE, going_on);
            let (mut known, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let (is_changed, is_over) = (known.is_changed, known.is_over);
            known.is_changed = false;
            let all: Vec<Arc<Bound>> = known.bound.values().cloned().collect();
            drop(known);
            if is_changed && let Err(why) = write(path, &all) {
                log.error("bindings_write", "what is registered is not kept")
                    .with("file", path.display())
                    .with("why", why)
                    .send();
            }
            if is_over {
                return;
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<Stored>> {
    let kept = whole::read(path, VERSION, |whole: &Whole| whole.version)?;
    Ok(kept.map_or_else(Vec::new, |whole| whole.bindings))
}

fn write(path: &Path, all: &[Arc<Bound>]) -> io::Result<()> {
    let of = |bound: &Arc<Bound>| {
        let all = bound.bindings.iter();
        let kept = all.filter_map(|one| Stored::of(&bound.trunk, one));
        kept.collect::<Vec<_>>()
    };
    let all = Whole {
        version: VERSION,
        bindings: all.iter().flat_map(of).collect(),
    };
    whole::write(path, &all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let name = format!("causeway-bindings-{name}-{}", std::process::id());
        std::env::temp_dir().join(name)
    }

    #[test]
    fn a_file_that_is_not_ours_or_not_whole_is_told_and_not_believed() {
        let folder = folder("broken");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(FILE);
        assert_eq!(read(&path).unwrap(), []);
        for (text, why) in [
            ("", "EOF"),
            (
                "{\"version\":1,\"bindings\":[{\"trunk\":\"pbx\"}",
                "missing field",
            ),
            ("{\"version\":2,\"bindings\":[]}", "version 2 is not known"),
            (
                "{\"version\":1,\"bindings\":[],\"more\":0}",
                "unknown field",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let fault = read(&path).unwrap_err().to_string();
            assert!(fault.contains(why), "{text}: {fault}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
