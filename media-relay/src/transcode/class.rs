//! The threads that transcode, and the queues between them and the workers.
//!
//! A worker puts a payload into a bounded queue and goes on: it neither waits nor allocates, and only a thread
//! that sleeps because it has no pipe at all has to be woken. A thread that has pipes comes round at least every
//! five milliseconds.

use super::{Errand, Job, Pipe, Recoded, TRANSCODED_FROM, TRANSCODED_INTO, Transcoded};
use crate::io::Waker;
use crate::time::Timestamp;
use crate::worker::Clock;
use crate::worker::neighbours::place;
use crate::worker::priority;
use media_api::SessionId;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

/// Payloads that may wait at a thread: what 2,500 calls send in five milliseconds.
const MOST_WAITING: usize = 512;
/// Longest time between two looks at the queue while there are pipes.
const TURN: Duration = Duration::from_millis(5);
/// Longest sleep without any pipe; a missed bell costs no more than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Pipes are numbered up to this, and then from zero again: their origins have two bits more.
const MOST_EPOCHS: u32 = u32::MAX >> 2;

/// All transcoding threads, which end with it.
#[derive(Debug)]
pub(crate) struct Class {
    bells: Arc<[Bell]>,
    is_over: Arc<AtomicBool>,
    pipes: Arc<Tally>,
    panics: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

/// Pipes of all threads.
#[derive(Debug, Default)]
struct Tally([[AtomicU64; TRANSCODED_INTO.len()]; TRANSCODED_FROM.len()]);

impl Tally {
    fn read(&self) -> Transcoded {
        // Ordering: figures for people.
        let read = |own: &AtomicU64| own.load(Ordering::Relaxed);
        self.0.each_ref().map(|row| row.each_ref().map(read))
    }
}

/// What a worker has of the class.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) recoders: Recoders,
    /// What comes back.
    pub(crate) recoded: Receiver<Recoded>,
}

/// Where a worker's payloads go.
#[derive(Debug)]
pub(crate) struct Recoders {
    worker: usize,
    errands: Vec<SyncSender<Errand>>,
    bells: Arc<[Bell]>,
}

/// Wakes a thread that has nothing to do.
#[derive(Debug, Default)]
struct Bell {
    is_asleep: AtomicBool,
    thread: OnceLock<Thread>,
    /// When the thread last came round, by the clock of the relay.
    seen_us: AtomicU64,
}

/// The threads before they begin.
#[derive(Debug)]
pub(crate) struct Ready {
    errands: Vec<Receiver<Errand>>,
    back: Vec<SyncSender<Recoded>>,
    bells: Arc<[Bell]>,
}

/// Queues between so many workers and so many threads.
pub(crate) fn prepare(workers: usize, threads: usize) -> (Vec<Door>, Ready) {
    let bells: Arc<[Bell]> = (0..threads).map(|_| Bell::default()).collect();
    let (senders, errands): (Vec<_>, Vec<_>) = (0..threads)
        .map(|_| mpsc::sync_channel(MOST_WAITING))
        .unzip();
    let mut back = Vec::with_capacity(workers);
    let doors = (0..workers).map(|worker| {
        let (sender, recoded) = mpsc::sync_channel(MOST_WAITING);
        back.push(sender);
        let recoders = Recoders {
            worker,
            errands: senders.clone(),
            bells: Arc::clone(&bells),
        };
        Door { recoders, recoded }
    });
    let doors = doors.collect();
    let ready = Ready {
        errands,
        back,
        bells,
    };
    (doors, ready)
}

impl Recoders {
    /// Number of the worker.
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }

    /// Gives a payload to its thread; false if that one cannot keep up.
    pub(crate) fn give(&self, job: Job) -> bool {
        self.send(job.session, Errand::Recode(job))
    }

    /// Nobody hears this: what makes it has to end. Who is too busy to be told is told with the next payload.
    pub(crate) fn end(&self, recoded: &Recoded) {
        let errand = Errand::End {
            session: recoded.session,
            stream: recoded.stream,
            epoch: recoded.epoch,
            coding: recoded.coding,
        };
        self.send(recoded.session, errand);
    }

    fn send(&self, session: SessionId, errand: Errand) -> bool {
        let at = place(session, self.errands.len());
        let (Some(queue), Some(bell)) = (self.errands.get(at), self.bells.get(at)) else {
            return false;
        };
        if queue.try_send(errand).is_err() {
            return false;
        }
        bell.ring();
        true
    }
}

impl Bell {
    fn is_seen(&self, now: Timestamp) {
        // Ordering: a figure for itself.
        self.seen_us.store(now.0, Ordering::Relaxed);
    }

    fn ring(&self) {
        // Either this sees that the thread sleeps, or the thread sees the payload before it does.
        fence(Ordering::SeqCst);
        if self.is_asleep.load(Ordering::Relaxed)
            && self.is_asleep.swap(false, Ordering::Relaxed)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

impl Ready {
    /// Starts the threads, which wake the workers in order.
    pub(crate) fn begin(self, wakers: Vec<Waker>, clock: Clock) -> io::Result<Class> {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut class = Class {
            bells: Arc::clone(&self.bells),
            is_over: Arc::clone(&is_over),
            pipes: Arc::default(),
            panics: Arc::default(),
            threads: Vec::new(),
        };
        for bell in self.bells.iter() {
            bell.is_seen(clock.now());
        }
        for (number, errands) in self.errands.into_iter().enumerate() {
            let back = self.back.iter().cloned().zip(wakers.iter().cloned());
            let turner = Turner {
                number,
                errands,
                back: back.collect(),
                bells: Arc::clone(&self.bells),
                is_over: Arc::clone(&is_over),
                clock,
                pipes: HashMap::new(),
                counted: Transcoded::default(),
                all: Arc::clone(&class.pipes),
                panics: Arc::clone(&class.panics),
                epoch: 0,
            };
            let name = format!("transcode-{number}");
            let thread = thread::Builder::new().name(name).spawn(|| turner.run())?;
            class.threads.push(thread);
        }
        Ok(class)
    }
}

impl Class {
    /// Pipes of all threads.
    pub(crate) fn pipes(&self) -> Transcoded {
        self.pipes.read()
    }

    /// For how long the thread that is worst off has not come round: each does within [`LONGEST_SLEEP`], with or without
    /// work.
    pub(crate) fn longest_silence(&self, now: Timestamp) -> Duration {
        let silence = |bell: &Bell| now.since(Timestamp(bell.seen_us.load(Ordering::Relaxed)));
        self.bells.iter().map(silence).max().unwrap_or_default()
    }

    /// Pipes that ended by a panic.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

impl Drop for Class {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        for bell in self.bells.iter() {
            if let Some(thread) = bell.thread.get() {
                thread.unpark();
            }
        }
        for thread in self.threads.drain(..) {
            // One that panicked has nothing left to say.
            let _ = thread.join();
        }
    }
}

/// One thread and its pipes.
struct Turner {
    number: usize,
    errands: Receiver<Errand>,
    back: Vec<(SyncSender<Recoded>, Waker)>,
    bells: Arc<[Bell]>,
    is_over: Arc<AtomicBool>,
    clock: Clock,
    pipes: HashMap<(SessionId, usize), (Job, Pipe)>,
    /// Which of them are counted among those of all threads.
    counted: Transcoded,
    all: Arc<Tally>,
    panics: Arc<AtomicU64>,
    epoch: u32,
}

/// Runs what reads a stranger's octets: a panic costs the pipe, and no other call, and is counted. `None` if there
/// was one.
fn guarded<T>(panics: &AtomicU64, work: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work)).ok();
    if done.is_none() {
        // Ordering: a figure for people.
        panics.fetch_add(1, Ordering::Relaxed);
    }
    done
}

impl Turner {
    fn run(mut self) {
        if let Some(bell) = self.bells.get(self.number) {
            let _ = bell.thread.set(thread::current());
        }
        priority::transcode();
        let mut recoded = Recoded::default();
        let mut woken = vec![false; self.back.len()];
        while !self.is_over.load(Ordering::SeqCst) {
            let Some(is_idle) = self.take() else {
                return;
            };
            let now = self.clock.now();
            if let Some(bell) = self.bells.get(self.number) {
                bell.is_seen(now);
            }
            self.pipes.retain(|_, (job, pipe)| {
                while pipe.due() <= now {
                    if !guarded(&self.panics, || pipe.next(now, job, &mut recoded)).unwrap_or(false)
                    {
                        return false;
                    }
                    // Who cannot keep up misses it.
                    if let Some((back, _)) = self.back.get(job.worker)
                        && back.try_send(recoded.clone()).is_ok()
                    {
                        woken[job.worker] = true;
                    }
                }
                true
            });
            for (worker, is_woken) in woken.iter_mut().enumerate() {
                if std::mem::take(is_woken) {
                    self.back[worker].1.wake();
                }
            }
            self.count();
            self.rest(is_idle);
        }
    }

    /// Counts the pipes among those of all threads.
    fn count(&mut self) {
        let mut pipes = Transcoded::default();
        for (_, pipe) in self.pipes.values() {
            let (from, to) = pipe.recipe().place();
            pipes[from][to] += 1;
        }
        if pipes == self.counted {
            return;
        }
        let all = self.all.0.iter().flatten();
        let now = pipes.iter().flatten();
        for ((all, now), before) in all.zip(now).zip(self.counted.iter().flatten()) {
            // What has become less wraps round, and so does the sum.
            all.fetch_add(now.wrapping_sub(*before), Ordering::Relaxed);
        }
        self.counted = pipes;
    }

    /// Takes what waits in; whether that was nothing. `None` if nobody gives anything any more.
    fn take(&mut self) -> Option<bool> {
        let mut is_idle = true;
        loop {
            match self.errands.try_recv() {
                Ok(Errand::End {
                    session,
                    stream,
                    epoch,
                    coding,
                }) => {
                    is_idle = false;
                    let known = self.pipes.get(&(session, stream));
                    if known.is_some_and(|(_, pipe)| pipe.makes(epoch, coding)) {
                        self.pipes.remove(&(session, stream));
                    }
                }
                Ok(Errand::Recode(job)) => {
                    is_idle = false;
                    let known = self.pipes.entry((job.session, job.stream));
                    let epoch = &mut self.epoch;
                    let (_, pipe) = known.or_insert_with(|| {
                        *epoch = epoch.wrapping_add(1) & MOST_EPOCHS;
                        let pipe = Pipe::new(&job, *epoch);
                        (job.clone(), pipe)
                    });
                    if guarded(&self.panics, || pipe.take(&job)).is_none() {
                        self.pipes.remove(&(job.session, job.stream));
                    }
                }
                Err(TryRecvError::Empty) => return Some(is_idle),
                Err(TryRecvError::Disconnected) => return None,
            }
        }
    }

    /// Waits until something is due, or comes.
    fn rest(&mut self, is_idle: bool) {
        let now = self.clock.now();
        if !self.pipes.is_empty() {
            let due = self.pipes.values().map(|(_, pipe)| pipe.due()).min();
            let until_due = due.map_or(TURN, |due| due.since(now));
            thread::sleep(until_due.min(TURN));
            return;
        }
        if !is_idle {
            return;
        }
        let bells = Arc::clone(&self.bells);
        let Some(bell) = bells.get(self.number) else {
            return;
        };
        bell.is_asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // What came before the bell was hung up has rung none.
        if self.take() == Some(true) && !self.is_over.load(Ordering::SeqCst) {
            thread::park_timeout(LONGEST_SLEEP);
        }
        bell.is_asleep.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Coding;
    use crate::g711::Law;
    use crate::session::Recode;
    use crate::transcode::Recipe;
    use std::time::Instant;

    /// As one that hangs, a thread that is gone comes round no more.
    #[test]
    fn a_thread_that_does_not_come_round_is_seen() {
        let clock = Clock::new(Instant::now());
        let (doors, ready) = prepare(1, 2);
        let class = ready.begin(Vec::new(), clock).unwrap();
        assert!(class.longest_silence(clock.now()) < Duration::from_secs(60));
        // Nobody gives them anything any more, so they end.
        drop(doors);
        let deadline = Instant::now() + Duration::from_secs(60);
        // One that has nothing to do is never away for so long.
        while class.longest_silence(clock.now()) < 3 * LONGEST_SLEEP {
            assert!(Instant::now() < deadline, "they come round");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn threads_that_have_nothing_to_do_come_round() {
        let clock = Clock::new(Instant::now());
        let (_doors, ready) = prepare(1, 2);
        let class = ready.begin(Vec::new(), clock).unwrap();
        let seen = || {
            class
                .bells
                .iter()
                .map(|bell| bell.seen_us.load(Ordering::Relaxed))
        };
        let first: Vec<u64> = seen().collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        while seen().zip(&first).any(|(now, first)| now <= *first) {
            assert!(Instant::now() < deadline, "one does not come round");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_pipe_that_nobody_hears_ends_and_no_other() {
        let (mut doors, mut ready) = prepare(1, 1);
        let recoders = doors.remove(0).recoders;
        let mut turner = Turner {
            number: 0,
            errands: ready.errands.remove(0),
            back: Vec::new(),
            bells: Arc::clone(&ready.bells),
            is_over: Arc::default(),
            clock: Clock::new(Instant::now()),
            pipes: HashMap::new(),
            counted: Transcoded::default(),
            all: Arc::default(),
            panics: Arc::default(),
            epoch: 0,
        };
        let session = SessionId(3);
        let payload = [0xd5; 160];
        let recode = |stream| Recode {
            stream,
            recipe: Recipe {
                // A pause, through which a pipe would go on for a minute.
                from: None,
                to: Coding::G722,
                packet_ms: 20,
            },
            wishes: None,
            generation: 0,
            extended: 7,
            timestamp: 0,
            payload: 0..payload.len(),
        };
        for stream in [0, 1] {
            let job = Job::new(0, session, &recode(stream), &payload, Timestamp(0)).unwrap();
            assert!(recoders.give(job));
        }
        assert_eq!(turner.take(), Some(false));
        let mut made = Recoded::default();
        let (job, pipe) = turner.pipes.get_mut(&(session, 0)).unwrap();
        assert!(pipe.next(pipe.due(), job, &mut made));
        // What it made before it was another one, or made something else, says nothing of it.
        let mut other = made.clone();
        other.epoch += 7;
        recoders.end(&other);
        other.epoch = made.epoch;
        other.coding = Coding::G711(Law::A);
        recoders.end(&other);
        assert_eq!((turner.take(), turner.pipes.len()), (Some(false), 2));
        turner.count();
        // Comfort noise into G.722.
        assert_eq!(turner.all.read()[4], [0, 0, 2, 0]);
        recoders.end(&made);
        assert_eq!(turner.take(), Some(false));
        let left: Vec<_> = turner.pipes.keys().collect();
        assert_eq!(left, [&(session, 1)]);
        turner.count();
        assert_eq!(turner.all.read()[4], [0, 0, 1, 0]);
        assert_eq!(turner.all.read()[..4], [[0; 4]; 4]);
    }
}
