//! Call records: one JSON line per call, and one per pair of legs that talked to each other where that is
//! asked for, appended to a spool that is rotated and written through each second (OPS-060). Beside them a
//! journal of the calls that are up, from which the next start writes the records of those that a crash ended.
//!
//! A thread of its own writes, so a slow disk stalls no call. Records that the disk does not take
//! wait in memory, up to a bound; beyond it they are counted as lost. Where they are mandatory, no new calls are to be
//! taken meanwhile: whoever takes them hears of it.

mod force;
mod held;
mod journal;
mod lost;
mod pace;
pub mod ship;
pub mod shipped;
mod spool;
mod started;
pub mod switch;
mod told;
mod written;

pub(crate) use spool::{CURRENT, closed_files, place_in_time};

use super::ending::end;
use crate::sink::log::{Log, wall_clock};
use crate::sink::metrics::Metrics;
use foldhash::fast::RandomState;
use force::Forcer;
use held::Held;
use journal::{Journal, Note};
use lost::Lost;
use pace::{Pace, Urgent};
use sbc_core::config::CdrSpool;
use sbc_core::id::CallId;
use sbc_core::record::Record;
use shipped::Owed;
use spool::{Spool, Steady};
use started::Starts;
use std::collections::{HashSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use written::Lines;

/// Records that may wait for the writer, and that it keeps while the disk refuses them.
const QUEUE: usize = 100_000;
/// Entries of the journal that may wait for the writer: they take no place of records.
const OPEN_QUEUE: usize = 10_000;
/// Records taken from the queue before they are written.
const RECORDS_AT_ONCE: usize = 256;
/// How often what was written is forced to the disk.
const SYNC: Duration = Duration::from_secs(1);
/// How often it is looked whether files have become too old or too much.
const RETIRE: Duration = Duration::from_secs(60);
/// How long the end of the program waits for a disk that does not answer.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Where records go. Cheap to clone.
#[derive(Clone)]
pub struct Cdr {
    queue: SyncSender<Order>,
    writer: Thread,
    shared: Shared,
}

/// What the writer and whoever gives it records have in common.
#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    log: Log,
    /// Entries of the journal in the queue.
    opening: Arc<AtomicUsize>,
    /// Whether some of them should be written at once.
    urgent: Arc<Urgent>,
    /// Why nothing is written at the moment.
    trouble: Arc<Mutex<Option<String>>>,
    /// What was sent of it and could not be written down.
    owed: Owed,
    /// Calls of the run before that are over, by what was found at the start.
    over: Arc<Mutex<HashSet<CallId>>>,
    /// Whether nothing is written although it must be.
    refuses: Arc<watch::Sender<bool>>,
    /// No records are wanted of this writer any more, so what it cannot write keeps no call away.
    is_unwanted: Arc<AtomicBool>,
    /// Which calls have a record of their beginning.
    starts: Starts,
}

enum Order {
    Lines(Arc<dyn Lines>),
    /// A call has begun, changed or ended, and this is its record so far.
    Open(Arc<Record>),
    /// A call of the process before goes on, and this is its record so far.
    TakenUp(Arc<Record>),
    /// Of the calls that were up when the last daemon ended these go on, and no others.
    GoOn(HashSet<CallId>),
    Move(Box<CdrSpool>),
    /// No records are wanted any more: those of calls that are up are none that a crash has ended.
    Forget,
    Stop,
}

/// Ends the writer after everything queued was written.
pub struct CdrWriter {
    queue: SyncSender<Order>,
    thread: JoinHandle<()>,
    shared: Shared,
    /// Gone once the thread has ended, and has closed its files.
    lives: Weak<()>,
}

/// A writer that waits for the word, and has touched no disk yet. Dropped, it ends.
pub struct Ready {
    cdr: Cdr,
    writer: CdrWriter,
    begins: SyncSender<()>,
}

impl Cdr {
    /// Opens the spool. If that fails records wait in memory, and it is tried again each second; unless they
    /// are mandatory.
    ///
    /// # Errors
    /// If the thread cannot be made, or the directory cannot be written to although it must.
    pub fn start(
        spool: &CdrSpool,
        metrics: Arc<Metrics>,
        log: Log,
    ) -> io::Result<(Self, CdrWriter)> {
        Self::start_on(spool, metrics, log, File::sync_data)
    }

    /// As [`Self::start`], for who has this in common with those before and after it.
    fn start_among(
        spool: &CdrSpool,
        metrics: Arc<Metrics>,
        log: Log,
        among: (Owed, Arc<watch::Sender<bool>>),
    ) -> io::Result<(Self, CdrWriter)> {
        Self::start_as(spool, metrics, log, File::sync_data, among)
    }

    /// As [`Self::start`], with what forces a file to the disk.
    fn start_on(
        spool: &CdrSpool,
        metrics: Arc<Metrics>,
        log: Log,
        force: impl Fn(&File) -> io::Result<()> + Send + 'static,
    ) -> io::Result<(Self, CdrWriter)> {
        Self::start_as(spool, metrics, log, force, Default::default())
    }

    fn start_as(
        spool: &CdrSpool,
        metrics: Arc<Metrics>,
        log: Log,
        force: impl Fn(&File) -> io::Result<()> + Send + 'static,
        (owed, refuses): (Owed, Arc<watch::Sender<bool>>),
    ) -> io::Result<(Self, CdrWriter)> {
        let mut writer = Writer::on(spool, metrics, log, force, (owed, refuses))?;
        if let Err(why) = writer.open() {
            if spool.is_mandatory {
                return Err(why);
            }
            writer.troubled(&why);
        }
        Self::with(writer, |writer, orders| writer.run(orders))
    }

    /// As [`Self::start_among`], but for all that the disk has to do: that is done by the thread, and not before the word.
    /// What cannot be opened then is tried again each second, and meanwhile is as any other trouble with the disk.
    fn ready_among(
        spool: &CdrSpool,
        metrics: Arc<Metrics>,
        log: Log,
        among: (Owed, Arc<watch::Sender<bool>>),
    ) -> io::Result<Ready> {
        let writer = Writer::on(spool, metrics, log, File::sync_data, among)?;
        let (begins, begun) = mpsc::sync_channel(1);
        let (cdr, writer) = Self::with(writer, move |mut writer, orders| {
            if begun.recv().is_err() {
                return;
            }
            if let Err(why) = writer.open() {
                writer.troubled(&why);
            }
            writer.tell();
            writer.run(orders);
        })?;
        Ok(Ready {
            cdr,
            writer,
            begins,
        })
    }

    /// Has a thread do this with a writer.
    fn with(
        writer: Writer,
        does: impl FnOnce(Writer, &Receiver<Order>) + Send + 'static,
    ) -> io::Result<(Self, CdrWriter)> {
        let (queue, orders) = mpsc::sync_channel(QUEUE);
        let shared = writer.shared.clone();
        let own = Arc::new(());
        let lives = Arc::downgrade(&own);
        let thread = thread::Builder::new()
            .name("cdr".to_owned())
            .spawn(move || {
                // It goes when all else has gone.
                let _own = own;
                does(writer, &orders);
            })?;
        let cdr = Self {
            queue: queue.clone(),
            writer: thread.thread().clone(),
            shared: shared.clone(),
        };
        let writer = CdrWriter {
            queue,
            thread,
            shared,
            lives,
        };
        Ok((cdr, writer))
    }

    /// Whether records could be written there, without leaving anything behind.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn try_directory(directory: &Path) -> io::Result<()> {
        // What is missing is made at the start, in the first part that is there.
        let present = directory.ancestors().find(|at| at.exists());
        let probe = present
            .unwrap_or(Path::new("."))
            .join(format!(".causeway-{}", std::process::id()));
        drop(
            OpenOptions::new()
                .create_new(true)
                .write(true)
                .open(&probe)?,
        );
        fs::remove_file(probe)
    }

    /// Calls that had ended in the run before: they have their records, or get them now, whatever else is left of them.
    /// To be asked once.
    pub fn over(&self) -> HashSet<CallId> {
        std::mem::take(&mut self.shared.over())
    }

    /// Of the calls that were up when the last daemon ended these go on; the others have their records now.
    pub fn goes_on(&self, calls: HashSet<CallId>) {
        // Nothing can be before it that would fill the queue.
        let _ = self.queue.try_send(Order::GoOn(calls));
    }

    /// Queues a record.
    pub fn record(&self, record: &Arc<Record>) {
        self.lines(Arc::clone(record) as Arc<dyn Lines>);
    }

    /// Queues what is known of a call that has begun, changed or ended. That it has begun or ended is written at once if
    /// nothing else has to be, so that a daemon that is killed leaves it behind; of an answer a few milliseconds of the
    /// call are lost at most, which are not worth to be woken for.
    pub fn open(&self, record: &Arc<Record>) {
        if !self.entry(Order::Open(Arc::clone(record))) {
            if self.shared.starts.begins(record) {
                self.shared.has_no_start(&"the disk does not keep up");
            }
        } else if record.setup_ms.is_none() || record.end.is_some() {
            self.shared.urgent.tell(&self.writer);
        }
    }

    /// Queues what is known of a call that was up in the process before this one, and goes on: how long it has been
    /// answered is told by the clock of the host.
    pub fn taken_up(&self, record: &Arc<Record>) {
        self.entry(Order::TakenUp(Arc::clone(record)));
    }

    /// Queues an entry of the journal, if there is room.
    fn entry(&self, order: Order) -> bool {
        // Ordering: a bound need not be exact.
        if self.shared.opening.load(Ordering::Relaxed) >= OPEN_QUEUE {
            return false;
        }
        self.shared.opening.fetch_add(1, Ordering::Relaxed);
        let is_queued = self.queue.try_send(order).is_ok();
        if !is_queued {
            self.shared.opening.fetch_sub(1, Ordering::Relaxed);
        }
        is_queued
    }

    /// Why records wait in memory at the moment, if they do.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble().clone()
    }

    fn lines(&self, lines: Arc<dyn Lines>) {
        match self.queue.try_send(Order::Lines(lines)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.shared.count(1, &"the disk does not keep up"),
            Err(TrySendError::Disconnected(_)) => self.shared.count(1, &"the writer has ended"),
        }
    }

    /// Writes from now on elsewhere, or something else (after a reload).
    pub fn relocate(&self, spool: &CdrSpool) {
        let order = Order::Move(Box::new(spool.clone()));
        if self.queue.try_send(order).is_err() {
            self.shared
                .log
                .error("cdr_move", "records are still written to the old directory")
                .send();
        }
    }
}

impl Shared {
    fn count(&self, records: u64, why: &dyn std::fmt::Display) {
        self.metrics
            .queue_dropped
            .with_label_values(&["cdr"])
            .inc_by(records);
        self.log
            .error("cdr_lost", "call records are lost")
            .with("records", records)
            .with("why", why)
            .send();
    }

    /// Its record comes when the call is over.
    fn has_no_start(&self, why: &dyn std::fmt::Display) {
        self.metrics
            .queue_dropped
            .with_label_values(&["cdr_start"])
            .inc();
        let text = "the beginning of a call has no record; the call has one when it is over";
        let line = self.log.warn("cdr_start_lost", text);
        line.with("why", why).send();
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn over(&self) -> MutexGuard<'_, HashSet<CallId>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CdrWriter {
    /// The same, where records are not wanted any more, which holds for those of calls that are up, too.
    pub fn forget(self) {
        let _ = self.queue.try_send(Order::Forget);
        self.finish();
    }

    /// Writes what is queued, forces it to the disk and ends the thread; gives up after five
    /// seconds if the disk does not answer.
    pub fn finish(self) {
        end(&self.queue, Order::Stop, self.thread, LAST_WRITES);
    }

    /// From now on no new call is refused for what it does not write, however long it takes to end.
    fn detach(&self) {
        // Ordering: the lock of the channel comes behind it here, and before whoever reads it.
        self.shared.is_unwanted.store(true, Ordering::Relaxed);
        self.shared.refuses.send_replace(false);
    }
}

/// The files, and what is not in them yet.
struct Writer {
    wanted: CdrSpool,
    shared: Shared,
    forcer: Forcer,
    files: Option<(Spool, Journal)>,
    unwritten: VecDeque<Box<str>>,
    /// Calls whose records are among these.
    ended: Vec<CallId>,
    /// Calls whose records are written, and may not be on the disk yet.
    held: Held,
    /// Files for the next batch that is forced to the disk.
    unforced: Vec<File>,
    /// Calls that were up when the last daemon ended, until it is known which go on.
    found: Vec<Lost>,
    /// Those that do, once that is known.
    goes_on: Option<HashSet<CallId>>,
    /// Of these, those that have their record: the disk could not be read when it was asked which had ended.
    has_record: HashSet<CallId>,
    /// What the journal does not have yet.
    notes: Vec<Note>,
    /// Calls that these tell of.
    noted: HashSet<CallId, RandomState>,
    next_retire: Instant,
    clock: Steady,
    /// Where records are to go, as long as they cannot.
    moving: Option<Box<CdrSpool>>,
    /// Nothing is tried before, as the disk has just refused something.
    rests_until: Instant,
}

impl Writer {
    /// One that has opened nothing yet.
    fn on(
        spool: &CdrSpool,
        metrics: Arc<Metrics>,
        log: Log,
        force: impl Fn(&File) -> io::Result<()> + Send + 'static,
        (owed, refuses): (Owed, Arc<watch::Sender<bool>>),
    ) -> io::Result<Self> {
        let forcer = Forcer::start(log.clone(), force)?;
        let shared = Shared {
            metrics,
            log,
            opening: Arc::default(),
            urgent: Arc::default(),
            trouble: Arc::default(),
            owed,
            over: Arc::default(),
            refuses,
            is_unwanted: Arc::default(),
            starts: Starts::of(spool),
        };
        Ok(Self::new(spool.clone(), shared, forcer))
    }

    fn new(wanted: CdrSpool, shared: Shared, forcer: Forcer) -> Self {
        Self {
            wanted,
            shared,
            forcer,
            files: None,
            unwritten: VecDeque::new(),
            ended: Vec::new(),
            held: Held::default(),
            unforced: Vec::new(),
            found: Vec::new(),
            goes_on: None,
            has_record: HashSet::new(),
            notes: Vec::new(),
            noted: HashSet::default(),
            next_retire: Instant::now(),
            clock: Steady::new(Instant::now(), wall_clock()),
            moving: None,
            rests_until: Instant::now(),
        }
    }

    /// Opens the files, and writes the records of the calls that a crash has ended, if it is known which those are.
    fn open(&mut self) -> io::Result<()> {
        let spool = Spool::open(&self.wanted)?;
        let closed = spool.mend_closed();
        let (mut journal, lost) = Journal::open(spool.directory())?;
        self.unforced.extend(closed);
        let recorded = journal.recorded();
        let over = std::mem::take(&mut journal.over).into_iter();
        let over = over.chain(recorded.iter().copied());
        if let Some(goes_on) = &self.goes_on {
            // It is too late to say so: the record that comes of them is a second one, or waits already.
            let late = over.filter(|call| goes_on.contains(call));
            self.has_record.extend(late);
            self.leave_out_seconds();
        } else {
            // Nobody goes on with these, even if the relay has not heard that they are over.
            let ended = lost.iter().filter(|one| one.had_ended).map(|one| one.call);
            self.shared.over().extend(over.chain(ended));
        }
        self.held.add(recorded);
        self.files = Some((spool, journal));
        self.found = lost;
        self.settle_found();
        self.write();
        Ok(())
    }

    /// Takes records out of what waits that are in the spool already.
    fn leave_out_seconds(&mut self) {
        if self.has_record.is_empty() {
            return;
        }
        let has_record = &self.has_record;
        self.unwritten.retain(|line| {
            let told: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            let call = told["call"].as_str().and_then(|call| call.parse().ok());
            call.is_none_or(|call| !has_record.contains(&call))
        });
    }

    /// Writes the records of the calls that a crash has ended, once it is known which go on.
    fn settle_found(&mut self) {
        let Some(goes_on) = &self.goes_on else {
            return;
        };
        // One that goes on although it had ended, as the disk could not be read in time, has its record from the core.
        let is_lost = |one: &Lost| !goes_on.contains(&one.call);
        let mut lost = std::mem::take(&mut self.found);
        lost.retain(is_lost);
        for one in &lost {
            self.lost(one);
        }
        let go_on = match (&mut self.files, &self.goes_on) {
            (Some((_, journal)), Some(calls)) => journal.go_on(calls, wall_clock()),
            _ => Ok(()),
        };
        if let Err(why) = go_on {
            self.troubled(&why);
        }
        let lost = lost.iter().filter(|one| !one.had_ended).count();
        if lost > 0 {
            self.shared
                .log
                .warn(
                    "calls_lost",
                    "the daemon ended without a word the last time; calls that were up have records with the \
                     cause restart_lost",
                )
                .with("calls", lost)
                .send();
        }
    }

    fn lost(&mut self, one: &Lost) {
        self.unwritten.extend(one.lines());
        self.ended.push(one.call);
        if one.had_ended {
            return;
        }
        self.shared.metrics.calls.lost(one.trunk());
        let line = self.shared.log.warn("call_lost", "a restart has ended it");
        line.with("call", one.call)
            .with("from_trunk", one.trunk())
            .send();
    }

    fn troubled(&mut self, why: &io::Error) {
        self.rests_until = Instant::now() + SYNC;
        let directory = &self.wanted.directory;
        let told = format!(
            "call records wait in memory, because {directory} cannot be written to: {why}; as long as the daemon \
             runs {QUEUE} of them are kept{}",
            match self.wanted.is_mandatory {
                true => ", and new calls are refused, as records are mandatory",
                false => "",
            }
        );
        let log = &self.shared.log;
        log.error("cdr_write", "records wait in memory")
            .with("why", why)
            .with("directory", directory)
            .with("waiting", self.unwritten.len())
            .send();
        *self.shared.trouble() = Some(told);
    }

    fn run(mut self, orders: &Receiver<Order>) {
        let metrics = Arc::clone(&self.shared.metrics);
        let depth = metrics.queue_depth.with_label_values(&["cdr"]);
        let mut next_sync = Instant::now() + SYNC;
        let mut pace = Pace::new(Instant::now());
        let mut is_stopping = false;
        while !is_stopping {
            let mut order = orders.try_recv().or_else(|_| {
                // To wake us for every record would cost the shard more than the record does.
                while pace.rest(&self.shared.urgent) {
                    // What was urgent may have been written with what came before it.
                    if let Ok(order) = orders.try_recv() {
                        return Ok(order);
                    }
                }
                orders.recv_timeout(next_sync.saturating_duration_since(Instant::now()))
            });
            let mut gathered = 0;
            loop {
                match order {
                    Ok(Order::Lines(lines)) => self.take(&*lines),
                    Ok(Order::Open(record)) => self.note(record, false),
                    Ok(Order::TakenUp(record)) => self.note(record, true),
                    Ok(Order::GoOn(_) | Order::Move(_) | Order::Forget | Order::Stop) | Err(_) => {
                        break;
                    }
                }
                gathered += 1;
                order = match gathered < RECORDS_AT_ONCE {
                    true => orders.try_recv().map_err(|_| RecvTimeoutError::Timeout),
                    false => Err(RecvTimeoutError::Timeout),
                };
            }
            // Before another order is obeyed: the records in front of it belong where they were to go then.
            match order {
                // A disk that has just refused is left alone for a moment.
                Ok(Order::Lines(_) | Order::Open(_) | Order::TakenUp(_))
                | Err(RecvTimeoutError::Timeout)
                    if Instant::now() < self.rests_until => {}
                _ => self.write(),
            }
            match order {
                Ok(Order::Lines(_) | Order::Open(_) | Order::TakenUp(_))
                | Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::Move(to)) => self.relocate(to),
                Ok(Order::GoOn(calls)) => {
                    self.goes_on = Some(calls);
                    self.settle_found();
                    self.write();
                }
                Ok(Order::Forget) => self.forget(),
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => is_stopping = true,
            }
            let surplus = self.unwritten.len().saturating_sub(QUEUE);
            if surplus > 0 {
                self.unwritten.drain(..surplus);
                let why = "the disk refuses them and memory is full";
                self.shared.count(surplus as u64, &why);
            }
            depth.set(i64::try_from(self.unwritten.len()).unwrap_or(i64::MAX));
            if is_stopping || Instant::now() >= next_sync {
                next_sync = Instant::now() + SYNC;
                self.tick();
            }
            self.tell();
        }
        if !self.unwritten.is_empty() {
            let left = self.unwritten.len() as u64;
            self.shared
                .count(left, &"the disk refused them until the end");
        }
        // The records first: a journal that says nothing of a call whose record is lost has lost the call.
        self.force();
        self.forcer.wait();
        if let Err(why) = self.write_notes() {
            self.troubled(&why);
        }
        if let Some((_, journal)) = &mut self.files {
            journal.finish();
        }
        self.force();
        self.forcer.finish();
    }

    /// No call that is up has a record, whatever becomes of it, and none has to have one.
    fn forget(&mut self) {
        self.wanted.is_mandatory = false;
        if let Some(to) = &mut self.moving {
            to.is_mandatory = false;
        }
        let open = self.files.as_ref().map(|(_, journal)| journal.known());
        let noted = self.noted.iter().copied();
        let all: Vec<CallId> = open.into_iter().flatten().chain(noted).collect();
        self.notes.extend(all.into_iter().map(Note::End));
    }

    /// Gives what was written to whoever forces it to the disk, and does not wait for that.
    fn force(&mut self) {
        let Some((spool, journal)) = &mut self.files else {
            return;
        };
        // What cannot be taken now is with the next batch.
        let files = &mut self.unforced;
        let gathered = spool
            .unforced()
            .map(|all| files.extend(all))
            .and_then(|()| journal.unforced().map(|all| files.extend(all)));
        if let Err(why) = gathered {
            self.shared.log.error("cdr_sync", why).send();
            return;
        }
        if files.is_empty() && !self.held.waits() && !self.forcer.has_failed() {
            return;
        }
        let batch = self.forcer.give(std::mem::take(files));
        journal.given(batch);
        self.held.given(batch);
    }

    /// Tells whoever takes calls, whenever that changes.
    fn tell(&self) {
        let refuses = self.wanted.is_mandatory && self.shared.trouble().is_some();
        let is_unwanted = &self.shared.is_unwanted;
        // One that ends late says nothing of those that come after it.
        let change = |told: &mut bool| {
            !is_unwanted.load(Ordering::Relaxed) && std::mem::replace(told, refuses) != refuses
        };
        self.shared.refuses.send_if_modified(change);
    }

    /// A call is over.
    fn take(&mut self, lines: &dyn Lines) {
        let call = lines.call();
        // The journal hears of its end all the same: it may have been told that the call goes on.
        if !call.is_some_and(|call| self.has_record.remove(&call)) {
            match lines.json(self.wanted.pairs) {
                Ok(lines) => self.unwritten.extend(lines.into_iter().map(Into::into)),
                Err(why) => self.shared.count(1, &why),
            }
        }
        // Whom the journal does not know has no end there: nothing gathers while the disk refuses all.
        let journal = self.files.as_ref().map(|(_, journal)| journal);
        let is_known = |call: &CallId| {
            self.noted.contains(call) || journal.is_some_and(|journal| journal.has(*call))
        };
        self.ended.extend(call.filter(is_known));
    }

    /// A call has begun, or something has changed in it.
    fn note(&mut self, record: Arc<Record>, goes_on: bool) {
        self.shared.opening.fetch_sub(1, Ordering::Relaxed);
        if !goes_on && self.shared.starts.begins(&record) {
            // What waits in memory is whole records: no beginning is to take the place of one.
            match self.shared.trouble().is_some() {
                true => self.shared.has_no_start(&"the disk refuses records"),
                false => self.unwritten.extend(started::line(&record)),
            }
        }
        // A disk that refuses so many refuses the records themselves.
        if self.notes.len() < OPEN_QUEUE {
            self.noted.insert(record.call);
            self.notes.push(Note::Open {
                record,
                pairs: self.wanted.pairs,
                at: wall_clock(),
                goes_on,
            });
        }
    }

    /// Writes what waits, as far as the disk takes it: records first, then, of those that it has for certain, that they
    /// are written.
    fn write(&mut self) {
        let Some((spool, journal)) = &mut self.files else {
            return;
        };
        while !self.unwritten.is_empty() {
            match spool.append(&self.unwritten, wall_clock()) {
                Ok(written) => {
                    let octets = self.unwritten.drain(..written).map(|line| line.len() + 1);
                    self.held.grows(octets.sum::<usize>() as u64);
                }
                Err(why) => return self.troubled(&why),
            }
        }
        // What has begun and ended in between is not mentioned.
        let unknown = self.ended.extract_if(.., |call| !journal.has(*call));
        let unknown: HashSet<CallId, RandomState> = unknown.collect();
        self.notes.retain(|note| !unknown.contains(&note.call()));
        for call in &self.ended {
            journal.over(*call);
        }
        match self.wanted.syncs_each {
            true => self.notes.extend(self.ended.drain(..).map(Note::End)),
            false => self.held.add(self.ended.drain(..)),
        }
        if let Err(why) = self.write_notes() {
            return self.troubled(&why);
        }
        let Some((_, journal)) = &mut self.files else {
            return;
        };
        let unread = journal.unread();
        self.shared.trouble().take();
        for what in unread {
            let text = "something of the spool cannot be read or removed; all else goes on";
            let line = self.shared.log.warn("cdr_unread", text);
            line.with("what", what).send();
        }
    }

    /// Writes what the journal is to have.
    fn write_notes(&mut self) -> io::Result<()> {
        let Some((_, journal)) = &mut self.files else {
            return Ok(());
        };
        let over = self.held.over(&self.forcer);
        self.notes.extend(over.into_iter().map(Note::End));
        if !self.notes.is_empty() {
            journal.write(&self.notes)?;
            self.notes.clear();
            self.noted.clear();
        }
        Ok(())
    }

    /// What is done each second.
    fn tick(&mut self) {
        if let Some(to) = self.moving.take() {
            self.relocate(to);
        }
        if self.files.is_none() {
            if let Err(why) = self.open() {
                self.troubled(&why);
            }
            return;
        }
        let now = wall_clock();
        self.interim();
        let log = &self.shared.log;
        let Some((spool, journal)) = &mut self.files else {
            return;
        };
        let done = spool
            .tick(now)
            .and_then(|()| spool.look())
            .and_then(|()| journal.tick(now, &self.forcer));
        if let Err(why) = done {
            log.error("cdr_sync", why).send();
        }
        if Instant::now() >= self.next_retire {
            self.next_retire = Instant::now() + RETIRE;
            let is_steady = self.clock.look(Instant::now(), now);
            match spool.retire(now, is_steady, &self.shared.owed) {
                Ok(0) => {}
                Ok(files) => log
                    .info(
                        "cdr_removed",
                        "files of the spool have been kept long enough",
                    )
                    .with("files", files)
                    .send(),
                Err(why) => log.error("cdr_remove", why).send(),
            }
        }
        // A disk that is not done yet is given the next a second later.
        if self.forcer.is_idle() {
            self.force();
        }
    }

    fn interim(&mut self) {
        let (Some(every), Some((_, journal))) = (self.wanted.interim, &mut self.files) else {
            return;
        };
        let lines = journal.interim(every);
        if !lines.is_empty() {
            self.unwritten.extend(lines);
            self.write();
        }
    }

    /// Goes elsewhere; what cannot be done now is tried again each second.
    fn relocate(&mut self, to: Box<CdrSpool>) {
        let is_elsewhere = to.directory != self.wanted.directory;
        let moved = Spool::open(&to).and_then(|new| {
            if is_elsewhere {
                // Beside their records the next start would look for them no more, and write others in the new place.
                let over = self.held.all();
                self.notes.extend(over.into_iter().map(Note::End));
                // A disk that takes no more of it is what the operator flees from: the new one takes it.
                let _ = self.write_notes();
            }
            let Some((old, journal)) = &mut self.files else {
                return Ok(Vec::new());
            };
            let lost = match is_elsewhere {
                true => journal.move_to(new.directory(), wall_clock())?,
                false => Vec::new(),
            };
            let old = std::mem::replace(old, new);
            self.unforced.extend(old.into_unforced());
            Ok(lost)
        });
        match moved {
            Ok(lost) => {
                for one in &lost {
                    self.lost(one);
                }
                self.shared.starts.become_those_of(&to);
                self.wanted = *to;
                self.next_retire = Instant::now();
                match self.files {
                    Some(_) => self.write(),
                    None => self.tick(),
                }
            }
            Err(why) => {
                let line = self.shared.log.error("cdr_move", why);
                line.with("directory", &to.directory).send();
                self.moving = Some(to);
            }
        }
    }
}

#[cfg(test)]
mod crashes;

#[cfg(test)]
mod tests;
