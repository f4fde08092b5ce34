//! Who changed what, in a file that shows when it was tampered with (SEC-154): each entry has the hash of the one
//! before it, so that none can be changed, moved or taken out without all that follow being made anew. Each is told to
//! the log, too, with its hash: who takes entries off the end finds them there.

mod entry;
mod refusals;
mod shelf;

use crate::sink::log::{Log, wall_clock};
use entry::BEGINNING;
pub use entry::{Entry, Ledger, read, read_before};
use refusals::Refusals;
use rustix::time::{ClockId, clock_gettime};
pub use shelf::{Shelf, Volume, look_through};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Name of the file.
pub const FILE: &str = "audit.jsonl";
/// Longest text of an entry in characters, and longest change: whatever they are, a line with five of the first and one
/// of the second is shorter than the longest that is read.
const MAX_TEXT: usize = 512;
const MAX_CHANGE: usize = 4_096;
/// Octets of a file: then it gets another name, with the number of its last entry, and a new one is begun.
const MOST: u64 = 64 * 1024 * 1024;
/// How the first entry of that one begins.
const GOES_ON: &str = "goes on from ";
/// Entries that wait for the disk.
const QUEUE: usize = 256;
/// How often that is told which was only counted.
const MINUTE: Duration = Duration::from_secs(60);
/// How long the end waits for the disk, and how often it looks for room.
const FAREWELL: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// Something that was done, or was tried and refused.
#[derive(Clone, Default, Debug)]
pub struct Deed {
    /// By whom.
    pub who: String,
    /// From where.
    pub source: String,
    /// What.
    pub what: String,
    /// What was answered.
    pub status: u16,
    /// What it was done to.
    pub object: Option<String>,
    /// What has become another; whoever says it leaves secrets out.
    pub change: Option<String>,
    /// What for, as whoever did it says.
    pub reason: Option<String>,
}

impl Deed {
    /// Something that nobody asked for at the interface.
    pub fn by_itself(what: impl Into<String>) -> Self {
        Self {
            who: "causeway".to_owned(),
            source: "this host".to_owned(),
            what: what.into(),
            ..Self::default()
        }
    }

    /// The same, with what it was done to.
    pub fn about(self, object: impl Into<String>) -> Self {
        let object = Some(object.into());
        Self { object, ..self }
    }

    /// The same, with what has become another.
    pub fn changing(self, change: impl Into<String>) -> Self {
        let change = Some(change.into());
        Self { change, ..self }
    }
}

/// Gives entries to the thread that writes them. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    path: Option<PathBuf>,
    jobs: SyncSender<Job>,
    /// Entries that are handed over and not taken.
    waiting: Arc<AtomicUsize>,
    /// Number of the configuration in use.
    generation: Arc<AtomicU64>,
    refusals: Arc<Mutex<Refusals>>,
    /// Whether the last entry is not on the disk.
    is_lost: Arc<AtomicBool>,
    log: Log,
}

/// What the thread is to do.
enum Job {
    /// Write this, and say when it is on the disk.
    Write(Deed, Option<oneshot::Sender<io::Result<()>>>),
    /// Write what has only been counted, and end.
    Finish(oneshot::Sender<()>),
}

impl Audit {
    /// Goes on with the file of a directory; without one the log alone is told. A file that was tampered with is told,
    /// and gone on with: what is done from now on is not to be lost.
    ///
    /// # Errors
    /// If the file cannot be opened, or there is no thread to write it.
    pub fn open(directory: Option<&Path>, log: Log) -> io::Result<Self> {
        let book = directory.map(|directory| Book::open(directory, MOST, &log));
        let book = book.transpose()?;
        let (jobs, to_do) = mpsc::sync_channel(QUEUE);
        let waiting = Arc::<AtomicUsize>::default();
        let own = Self {
            waiting: Arc::clone(&waiting),
            path: book.as_ref().map(|book| book.path.clone()),
            jobs,
            generation: Arc::default(),
            refusals: Arc::default(),
            is_lost: Arc::default(),
            log: log.clone(),
        };
        let writer = Writer {
            waiting,
            generation: Arc::clone(&own.generation),
            book,
            refusals: Arc::clone(&own.refusals),
            is_lost: Arc::clone(&own.is_lost),
            log,
        };
        let thread = std::thread::Builder::new().name("audit".to_owned());
        thread.spawn(move || writer.run(&to_do, MINUTE))?;
        Ok(own)
    }

    /// Entries that wait to be written.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Says which configuration is in use from now on.
    pub fn set_generation(&self, number: u64) {
        // Ordering: the number stands for itself.
        self.generation.store(number, Ordering::Relaxed);
    }

    /// Why what is done now would not be kept; the next entry that is kept ends it.
    pub fn loss(&self) -> Option<&'static str> {
        // Ordering: the value stands for itself.
        match (&self.path, self.is_lost.load(Ordering::Relaxed)) {
            (None, _) => Some("the daemon has no folder of its own (--state)"),
            (Some(_), true) => Some("the disk takes no entry: is it full?"),
            (Some(_), false) => None,
        }
    }

    /// Whether entries are kept in a file.
    pub fn is_kept(&self) -> bool {
        self.path.is_some()
    }

    /// Writes one entry, and returns when it is on the disk.
    pub async fn write(&self, deed: Deed) {
        let (told, is_written) = oneshot::channel();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let handed = match self.jobs.try_send(Job::Write(deed, Some(told))) {
            Ok(()) => true,
            Err(TrySendError::Full(job)) => {
                // The disk is slow: what an operator did waits for it, and is not dropped.
                let jobs = self.jobs.clone();
                let waits = tokio::task::spawn_blocking(move || jobs.send(job).is_ok());
                waits.await.unwrap_or(false)
            }
            Err(TrySendError::Disconnected(_)) => false,
        };
        let why = match is_written.await {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why.to_string(),
            Err(_) if handed => "the daemon has stopped".to_owned(),
            Err(_) => "nobody writes any more".to_owned(),
        };
        let text = "what an operator did is not written down";
        self.log.error("audit", text).with("why", why).send();
    }

    /// Notes what somebody known was refused: one by one, up to a bound for each of them. Never waits.
    pub fn refused(&self, deed: Deed) {
        if !self.lock().of(&deed.who) {
            return;
        }
        // Before it is handed over: the writer may be faster than this.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if let Err(
            TrySendError::Full(Job::Write(deed, _))
            | TrySendError::Disconnected(Job::Write(deed, _)),
        ) = self.jobs.try_send(Job::Write(deed, None))
        {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lock().pass_over(&deed.who);
        }
    }

    /// Notes what happens without anybody who could wait for the disk.
    pub fn note(&self, deed: Deed) {
        // Before it is handed over: the writer may be faster than this.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) =
            self.jobs.try_send(Job::Write(deed, None))
        {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            if let Job::Write(deed, _) = job {
                let text = "what the daemon did is not written down: the disk is too slow";
                self.log.error("audit", text).with("what", deed.what).send();
            }
        }
    }

    /// Counts what nobody known was refused, by where it came from. Never waits.
    pub fn refused_stranger(&self, source: IpAddr) {
        self.lock().stranger(source);
    }

    /// Writes down what is left, unless the disk takes too long.
    pub async fn finish(&self) {
        let (told, is_done) = oneshot::channel();
        let jobs = self.jobs.clone();
        let asking = tokio::task::spawn_blocking(move || {
            let deadline = Instant::now() + FAREWELL;
            let mut job = Job::Finish(told);
            while let Err(TrySendError::Full(same)) = jobs.try_send(job) {
                if Instant::now() >= deadline {
                    return;
                }
                job = same;
                std::thread::sleep(PAUSE);
            }
        });
        let done = async {
            let _ = asking.await;
            let _ = is_done.await;
        };
        let _ = tokio::time::timeout(FAREWELL, done).await;
    }

    /// The last entries of the file before the one of this number, and whether its chain is whole.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read_before(&self, most: usize, before: u64) -> io::Result<Ledger> {
        let none = || io::Error::new(io::ErrorKind::NotFound, "there is no file");
        read_before(self.path.as_deref().ok_or_else(none)?, most, before)
    }

    fn lock(&self) -> MutexGuard<'_, Refusals> {
        // Never held while anything is written.
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread works on.
struct Writer {
    waiting: Arc<AtomicUsize>,
    generation: Arc<AtomicU64>,
    book: Option<Book>,
    refusals: Arc<Mutex<Refusals>>,
    is_lost: Arc<AtomicBool>,
    log: Log,
}

impl Writer {
    fn run(mut self, to_do: &Receiver<Job>, often: Duration) {
        let mut next = Instant::now() + often;
        loop {
            let left = next.saturating_duration_since(Instant::now());
            match to_do.recv_timeout(left) {
                Ok(Job::Write(deed, told)) => {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    let written = self.add(deed);
                    match told {
                        // Whoever waited may be gone.
                        Some(told) => drop(told.send(written)),
                        None => self.complain(written),
                    }
                }
                Ok(Job::Finish(told)) => {
                    self.tell_counted();
                    let _ = told.send(());
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.tell_counted();
                    next = Instant::now() + often;
                }
                Err(RecvTimeoutError::Disconnected) => return self.tell_counted(),
            }
            // Who always has something to write does not keep the rest from being told.
            if Instant::now() >= next {
                self.tell_counted();
                next = Instant::now() + often;
            }
        }
    }

    fn tell_counted(&mut self) {
        let counted = {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            refusals.take()
        };
        for deed in counted {
            let written = self.add(deed);
            self.complain(written);
        }
    }

    fn complain(&self, written: io::Result<()>) {
        if let Err(why) = written {
            let text = "what was refused is not written down";
            self.log.error("audit", text).with("why", why).send();
        }
    }

    fn add(&mut self, deed: Deed) -> io::Result<()> {
        let deed = Deed {
            who: bounded(deed.who),
            source: bounded(deed.source),
            what: bounded(deed.what),
            status: deed.status,
            object: deed.object.map(bounded),
            change: deed
                .change
                .filter(|it| !it.is_empty())
                .map(|it| shortened(it, MAX_CHANGE)),
            reason: deed.reason.map(bounded),
        };
        let line = self.log.info("audit", &deed.what);
        let line = line
            .with("who", &deed.who)
            .with("source", &deed.source)
            .with("status", deed.status);
        let line = match &deed.object {
            Some(object) => line.with("object", object),
            None => line,
        };
        let line = match &deed.reason {
            Some(reason) => line.with("reason", reason),
            None => line,
        };
        // Ordering: the number stands for itself. There is none before a configuration is in use.
        let generation = Some(self.generation.load(Ordering::Relaxed)).filter(|it| *it > 0);
        match &mut self.book {
            None => line.send(),
            Some(book) => match book.add(deed, generation) {
                Ok((number, hash)) => {
                    self.is_lost.store(false, Ordering::Relaxed);
                    line.with("number", number).with("hash", hash).send();
                }
                Err(why) => {
                    self.is_lost.store(true, Ordering::Relaxed);
                    // Here at least it stands.
                    line.with("kept", "no").send();
                    return Err(why);
                }
            },
        }
        Ok(())
    }
}

/// The file.
struct Book {
    path: PathBuf,
    file: File,
    /// Where the next entry begins.
    length: u64,
    /// Octets from which on another file is begun.
    most: u64,
    number: u64,
    last: String,
    /// Whether there may be something behind the last entry.
    is_torn: bool,
    /// What this file follows, until its first entry says so.
    follows: Option<String>,
}

impl Book {
    fn open(directory: &Path, most: u64, log: &Log) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        let file = opened(&path)?;
        let read = read(&path, 1)?;
        if let Some(fault) = &read.fault {
            let line = log.error("audit", fault);
            line.with("file", path.display()).send();
        }
        let torn = file.metadata()?.len().saturating_sub(read.whole);
        if torn > 0 {
            // The line that was being written when the machine stopped. Nothing may be written behind it: two halves
            // could be read as one entry.
            file.set_len(read.whole)?;
        }
        let last = read.entries.back();
        let mut own = Self {
            file,
            length: read.whole,
            most,
            number: last.map_or(0, |entry| entry.number),
            last: last.map_or_else(|| BEGINNING.to_owned(), |entry| entry.hash.clone()),
            path,
            is_torn: false,
            follows: None,
        };
        if torn > 0 {
            let what = format!("took {torn} octets off the end, of an entry that was not whole");
            own.add(Deed::by_itself(what), None)?;
        }
        Ok(own)
    }

    /// Writes an entry; gives its number and its hash once it is on the disk.
    fn add(&mut self, deed: Deed, generation: Option<u64>) -> io::Result<(u64, String)> {
        if self.is_torn {
            self.file.set_len(self.length)?;
            self.is_torn = false;
        }
        if !self.is_in_place() {
            self.begin("a file that was taken away".to_owned())?;
        } else if self.length >= self.most {
            let name = self.free_name();
            std::fs::rename(&self.path, self.path.with_file_name(&name))?;
            self.begin(name)?;
        }
        if let Some(before) = self.follows.clone() {
            let goes_on = Deed::by_itself(format!("{GOES_ON}{before}"));
            self.append(goes_on, generation)?;
            self.follows = None;
        }
        self.append(deed, generation)
    }

    /// A name for this file that no other one has.
    fn free_name(&self) -> String {
        let mut name = format!("audit-{:012}.jsonl", self.number);
        for again in 2.. {
            if !self.path.with_file_name(&name).exists() {
                break;
            }
            name = format!("audit-{:012}-{again}.jsonl", self.number);
        }
        name
    }

    /// Whether the path still leads to the open file.
    fn is_in_place(&self) -> bool {
        let known =
            |found: io::Result<std::fs::Metadata>| found.map(|it| (it.dev(), it.ino())).ok();
        let here = known(std::fs::metadata(&self.path));
        here.is_some() && here == known(self.file.metadata())
    }

    /// Another file, whose first entry has the hash of the last one of the file before.
    fn begin(&mut self, before: String) -> io::Result<()> {
        self.follows = Some(before);
        self.file = opened(&self.path)?;
        self.length = self.file.metadata()?.len();
        Ok(())
    }

    fn append(&mut self, deed: Deed, generation: Option<u64>) -> io::Result<(u64, String)> {
        let entry = Entry {
            number: self.number + 1,
            at: wall_clock().rfc3339(),
            monotonic_us: Some(monotonic_us()),
            who: deed.who,
            source: deed.source,
            what: deed.what,
            object: deed.object,
            change: deed.change,
            status: deed.status,
            reason: deed.reason,
            generation,
            previous: self.last.clone(),
            hash: String::new(),
        }
        .sealed();
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        let written = self.file.write_all(&line);
        if let Err(why) = written.and_then(|()| self.file.sync_data()) {
            // No half of an entry stays for the next one to be written behind it.
            self.is_torn = self.file.set_len(self.length).is_err();
            return Err(why);
        }
        self.length += line.len() as u64;
        self.number = entry.number;
        self.last.clone_from(&entry.hash);
        Ok((entry.number, entry.hash))
    }
}

fn opened(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o640).open(path)
}

/// Microseconds since the machine was started.
fn monotonic_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    seconds * 1_000_000 + nanos / 1_000
}

/// No text of a stranger makes a line longer than what is read.
fn bounded(text: String) -> String {
    shortened(text, MAX_TEXT)
}

fn shortened(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::entry::MAX_LINE;
    use super::refusals::{MOST_REFUSED, SOURCES};
    use super::*;
    use crate::sink::log::{Form, Level};

    fn log() -> Log {
        Log::start(Level::Error, Form::Json, io::sink()).unwrap().0
    }

    fn book(folder: &Path) -> Book {
        Book::open(folder, MOST, &log()).unwrap()
    }

    fn deed(what: &str) -> Deed {
        Deed {
            who: "noc (operator)".to_owned(),
            source: "192.0.2.7:40000".to_owned(),
            what: what.to_owned(),
            status: 200,
            ..Deed::default()
        }
    }

    #[test]
    fn an_end_that_is_torn_is_cut_off_and_told_even_where_it_could_be_read() {
        let folder = tempfile::tempdir().unwrap();
        book(folder.path()).add(deed("POST /one"), None).unwrap();
        let path = folder.path().join(FILE);
        let whole = std::fs::read_to_string(&path).unwrap();
        // A line without its end, which was never synced as a whole.
        std::fs::write(&path, whole.trim_end()).unwrap();
        assert_eq!(read(&path, 10).unwrap().entries.len(), 0);
        book(folder.path()).add(deed("POST /two"), None).unwrap();
        let read = read(&path, 10).unwrap();
        assert_eq!(read.fault, None);
        let told: Vec<_> = read.entries.iter().map(|one| one.what.as_str()).collect();
        assert!(
            told[0].starts_with("took ") && told[1] == "POST /two",
            "{told:?}"
        );
    }

    #[tokio::test]
    async fn it_is_told_as_long_as_the_disk_takes_no_entry() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("state");
        let audit = Audit::open(Some(&place), log()).unwrap();
        audit.write(deed("POST /one")).await;
        assert_eq!(audit.loss(), None);
        std::fs::remove_dir_all(&place).unwrap();
        audit.write(deed("POST /two")).await;
        assert!(audit.loss().is_some());
        std::fs::create_dir(&place).unwrap();
        audit.write(deed("POST /three")).await;
        assert_eq!(audit.loss(), None);
        assert!(Audit::open(None, log()).unwrap().loss().is_some());
    }

    /// As it was written before entries had objects, changes, reasons and generations.
    #[test]
    fn entries_of_before_still_hold_and_are_followed_by_ours_which_hold_in_every_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let old = "{\"number\":1,\"at\":\"2026-11-01T10:00:00.000Z\",\"who\":\"noc (operator)\",\
                   \"source\":\"192.0.2.7:40000\",\"what\":\"POST /drain\",\"status\":200,\
                   \"previous\":\"0000000000000000000000000000000000000000000000000000000000000000\",\
                   \"hash\":\"01d441c28745eef255f89094cd47c41bc750f881499beaf8d2d3e297b26d5c62\"}\n";
        std::fs::write(&path, old).unwrap();
        let whole = Deed {
            object: Some("trunk contoso".to_owned()),
            change: Some("-enabled\n+disabled".to_owned()),
            reason: Some("a ticket".to_owned()),
            ..deed("POST /trunks/contoso/disable")
        };
        let mut book = book(folder.path());
        book.add(whole, Some(7)).unwrap();
        let found = read(&path, 10).unwrap();
        assert_eq!((found.fault, found.entries.len()), (None, 2));
        assert!(found.entries[0].generation.is_none() && found.entries[1].number == 2);
        let text = std::fs::read_to_string(&path).unwrap();
        let since = found.entries[1].monotonic_us.unwrap();
        for (was, is) in [
            ("trunk contoso", "trunk fabrikam"),
            ("+disabled", "+drained"),
            ("a ticket", "no ticket"),
            ("\"generation\":7", "\"generation\":8"),
            (",\"generation\":7", ""),
            (",\"reason\":\"a ticket\"", ""),
            ("\"reason\":\"a ticket\"", "\"reason\":null"),
            (since.to_string().as_str(), "1"),
        ] {
            assert!(text.contains(was), "{was}: {text}");
            std::fs::write(&path, text.replace(was, is)).unwrap();
            let fault = read(&path, 10).unwrap().fault;
            assert_eq!(fault.as_deref(), Some("entry 2 was changed"), "{was}");
        }
    }

    #[test]
    fn whatever_is_asked_for_makes_one_line_that_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = book(folder.path());
        for hostile in ["\n", "\u{1}", "\u{1F4A9}", "\\\"", "\u{2028}"] {
            let text = hostile.repeat(100_000);
            let deed = Deed {
                who: bounded(text.clone()),
                source: bounded(text.clone()),
                what: bounded(text.clone()),
                object: Some(bounded(text.clone())),
                change: Some(shortened(text.clone(), MAX_CHANGE)),
                reason: Some(bounded(text)),
                ..deed("")
            };
            book.add(deed, Some(u64::MAX)).unwrap();
        }
        let read = read(&folder.path().join(FILE), 10).unwrap();
        assert_eq!((read.entries.len(), read.fault), (5, None));
    }

    #[test]
    fn a_line_that_is_too_long_is_no_entry_and_neither_is_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = book(folder.path());
        book.add(deed("POST /one"), None).unwrap();
        let path = folder.path().join(FILE);
        let one = std::fs::read_to_string(&path).unwrap();
        let forged = format!("{}{one}", " ".repeat(MAX_LINE));
        std::fs::write(&path, forged).unwrap();
        let read = read(&folder.path().join(FILE), 10).unwrap();
        assert_eq!(read.entries.len(), 0);
        assert!(read.fault.unwrap().contains("line 1"));
    }

    #[test]
    fn attempts_of_more_names_than_are_told_apart_are_counted() {
        let mut refusals = Refusals::default();
        for number in 0..SOURCES + 5 {
            refusals.of(&format!("user{number}"));
        }
        let told = refusals.take();
        assert_eq!(told.len(), 1);
        assert!(
            told[0].what.starts_with("5 attempts of still others"),
            "{}",
            told[0].what
        );
    }

    #[test]
    fn refused_attempts_are_written_down_up_to_a_bound_and_the_rest_is_counted() {
        let mut refusals = Refusals::default();
        // Strangers take nothing from what is told of those who are known.
        for host in 0..5_000_u32 {
            refusals.stranger(IpAddr::V4((0x0a00_0000 + host).into()));
        }
        refusals.stranger(IpAddr::V4(0x0a00_0000.into()));
        for who in ["noc", "desk"] {
            let told = (0..100).filter(|_| refusals.of(who)).count();
            assert_eq!(told, MOST_REFUSED as usize);
        }
        let told: Vec<_> = refusals
            .take()
            .into_iter()
            .map(|deed| (deed.who, deed.what))
            .collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].0 == "desk" && told[0].1.starts_with("70 more attempts of desk "));
        assert!(told[1].0 == "noc" && told[1].1.starts_with("70 more attempts of noc "));
        assert!(
            told[2]
                .1
                .starts_with("5001 requests without a good token were refused: 2 from 10.0.0.0, ")
        );
        assert!(told[2].1.ends_with("the rest from others"), "{told:?}");
        assert_eq!(refusals.take().len(), 0);
        assert!(refusals.of("noc"), "the next minute");
    }

    #[test]
    fn a_file_that_is_full_is_followed_by_another_one_that_holds_its_last_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut book = Book::open(folder.path(), 1, &log()).unwrap();
        book.add(deed("POST /one"), None).unwrap();
        let (_, hash) = book.add(deed("POST /two"), None).unwrap();
        let old = read(&folder.path().join("audit-000000000001.jsonl"), 10).unwrap();
        let new = read(&path, 10).unwrap();
        assert_eq!((old.fault, new.fault), (None, None));
        assert_eq!(new.entries[0].previous, old.entries[0].hash);
        assert_eq!(new.entries[0].what, "goes on from audit-000000000001.jsonl");
        assert_eq!((new.entries[1].number, &new.entries[1].hash), (3, &hash));
        // It goes on after a restart; and what is taken off its beginning is noticed.
        let mut book = Book::open(folder.path(), MOST, &log()).unwrap();
        assert_eq!(book.add(deed("POST /three"), None).unwrap().0, 4);
        assert_eq!(read(&path, 1).unwrap().entries[0].what, "POST /three");
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, rest) = text.split_once('\n').unwrap();
        std::fs::write(&path, rest).unwrap();
        assert!(read(&path, 10).unwrap().fault.unwrap().contains("line 1"));
    }

    #[test]
    fn a_file_that_was_moved_away_is_followed_by_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut book = book(folder.path());
        book.add(deed("POST /one"), None).unwrap();
        std::fs::rename(&path, folder.path().join("away")).unwrap();
        book.add(deed("POST /two"), None).unwrap();
        let read = read(&path, 10).unwrap();
        assert_eq!(read.fault, None);
        let told: Vec<_> = read.entries.iter().map(|one| one.what.as_str()).collect();
        assert_eq!(
            told,
            ["goes on from a file that was taken away", "POST /two"]
        );
    }

    #[tokio::test]
    async fn what_was_refused_waits_for_no_disk_and_is_written_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(Some(folder.path()), log()).unwrap();
        let source = "192.0.2.7".parse().unwrap();
        for _ in 0..1_000 {
            audit.refused_stranger(source);
        }
        audit.write(deed("POST /reload")).await;
        audit.finish().await;
        let read = audit.read_before(10, u64::MAX).unwrap();
        let told: Vec<_> = read.entries.iter().map(|one| one.what.as_str()).collect();
        assert_eq!(
            told,
            [
                "POST /reload",
                "1000 requests without a good token were refused: 1000 from 192.0.2.7"
            ]
        );
        assert_eq!(read.entries[1].source, "192.0.2.7");
    }

    #[tokio::test]
    async fn entries_before_one_are_read_and_it_is_told_whether_there_are_older_ones() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(Some(folder.path()), log()).unwrap();
        for what in ["one", "two", "three", "four", "five"] {
            audit.write(deed(what)).await;
        }
        let read = |before: u64| {
            let read = audit.read_before(2, before).unwrap();
            assert_eq!(read.fault, None);
            let entries = read.entries.iter().map(|one| one.what.clone());
            (entries.collect::<Vec<_>>().join(" "), read.goes_on_before())
        };
        assert_eq!(read(u64::MAX), ("four five".to_owned(), Some(4)));
        audit.write(deed("six")).await;
        assert_eq!(read(4), ("two three".to_owned(), Some(2)));
        assert_eq!(read(2), ("one".to_owned(), None));
        assert_eq!(read(1), (String::new(), None));
        audit.finish().await;
    }

    /// A writer that takes nothing, as one that waits for its disk.
    #[tokio::test]
    async fn a_disk_that_stands_still_holds_up_whoever_changes_something_and_nobody_else() {
        let (jobs, to_do) = mpsc::sync_channel(1);
        let audit = Audit {
            waiting: Arc::default(),
            path: None,
            generation: Arc::default(),
            jobs,
            refusals: Arc::default(),
            is_lost: Arc::default(),
            log: log(),
        };
        for _ in 0..10 {
            audit.refused(deed("GET /calls"));
        }
        let told = audit.lock().take();
        assert!(told[0].what.starts_with("9 more attempts"), "{told:?}");
        let own = audit.clone();
        let writing = tokio::spawn(async move { own.write(deed("POST /reload")).await });
        let working = std::thread::spawn(move || {
            let mut done = 0;
            while let Ok(Job::Write(_, told)) = to_do.recv() {
                done += 1;
                if let Some(told) = told {
                    told.send(Ok(())).unwrap();
                    break;
                }
            }
            done
        });
        writing.await.unwrap();
        assert_eq!(working.join().unwrap(), 2);
    }

    #[tokio::test]
    async fn without_a_directory_the_log_is_told() {
        let lines = Lines::default();
        let (log, writer) = Log::start(Level::Info, Form::Text, lines.clone()).unwrap();
        let audit = Audit::open(None, log).unwrap();
        audit.write(deed("POST /drain")).await;
        assert!(!audit.is_kept() && audit.read_before(1, u64::MAX).is_err());
        drop(audit);
        drop(writer);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !lines.0.lock().unwrap().contains("POST /drain") {
            assert!(Instant::now() < deadline, "not told");
            std::thread::sleep(PAUSE);
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<String>>);

    impl Write for Lines {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(octets));
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
