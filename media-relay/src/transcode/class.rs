//! The threads that transcode, and the queues between them and the workers.
//!
//! A worker puts a payload into a bounded queue and goes on: it neither waits nor allocates, and only a thread
//! that sleeps because it has no pipe at all has to be woken. A thread that has pipes comes round at least every
//! five milliseconds.

use super::{Job, Pipe, Recoded};
use crate::io::Waker;
use crate::worker::Clock;
use crate::worker::neighbours::place;
use media_api::SessionId;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering, fence};
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
/// How much less a share of the processor these threads get than those that forward.
const NICE: i32 = 5;

/// All transcoding threads, which end with it.
#[derive(Debug)]
pub(crate) struct Class {
    bells: Arc<[Bell]>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
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
    jobs: Vec<SyncSender<Job>>,
    bells: Arc<[Bell]>,
}

/// Wakes a thread that has nothing to do.
#[derive(Debug, Default)]
struct Bell {
    is_asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

/// The threads before they begin.
#[derive(Debug)]
pub(crate) struct Ready {
    jobs: Vec<Receiver<Job>>,
    back: Vec<SyncSender<Recoded>>,
    bells: Arc<[Bell]>,
}

/// Queues between so many workers and so many threads.
pub(crate) fn prepare(workers: usize, threads: usize) -> (Vec<Door>, Ready) {
    let bells: Arc<[Bell]> = (0..threads).map(|_| Bell::default()).collect();
    let (senders, jobs): (Vec<_>, Vec<_>) = (0..threads)
        .map(|_| mpsc::sync_channel(MOST_WAITING))
        .unzip();
    let mut back = Vec::with_capacity(workers);
    let doors = (0..workers).map(|worker| {
        let (sender, recoded) = mpsc::sync_channel(MOST_WAITING);
        back.push(sender);
        let recoders = Recoders {
            worker,
            jobs: senders.clone(),
            bells: Arc::clone(&bells),
        };
        Door { recoders, recoded }
    });
    let doors = doors.collect();
    (doors, Ready { jobs, back, bells })
}

impl Recoders {
    /// Number of the worker.
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }

    /// Gives a payload to its thread; false if that one cannot keep up.
    pub(crate) fn give(&self, job: Job) -> bool {
        let at = place(job.session, self.jobs.len());
        let (Some(queue), Some(bell)) = (self.jobs.get(at), self.bells.get(at)) else {
            return false;
        };
        if queue.try_send(job).is_err() {
            return false;
        }
        bell.ring();
        true
    }
}

impl Bell {
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
            threads: Vec::new(),
        };
        for (number, jobs) in self.jobs.into_iter().enumerate() {
            let back = self.back.iter().cloned().zip(wakers.iter().cloned());
            let turner = Turner {
                number,
                jobs,
                back: back.collect(),
                bells: Arc::clone(&self.bells),
                is_over: Arc::clone(&is_over),
                clock,
                pipes: HashMap::new(),
                epoch: 0,
            };
            let name = format!("transcode-{number}");
            let thread = thread::Builder::new().name(name).spawn(|| turner.run())?;
            class.threads.push(thread);
        }
        Ok(class)
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
    jobs: Receiver<Job>,
    back: Vec<(SyncSender<Recoded>, Waker)>,
    bells: Arc<[Bell]>,
    is_over: Arc<AtomicBool>,
    clock: Clock,
    pipes: HashMap<(SessionId, usize), (Job, Pipe)>,
    epoch: u32,
}

/// Runs what reads a stranger's octets: a panic costs the pipe, and no other call. `None` if there was one.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

impl Turner {
    fn run(mut self) {
        if let Some(bell) = self.bells.get(self.number) {
            let _ = bell.thread.set(thread::current());
        }
        // Without the right to it they are as important as others.
        let _ = rustix::process::setpriority_process(None, NICE);
        let mut recoded = Recoded::default();
        let mut woken = vec![false; self.back.len()];
        while !self.is_over.load(Ordering::SeqCst) {
            let Some(is_idle) = self.take() else {
                return;
            };
            let now = self.clock.now();
            self.pipes.retain(|_, (job, pipe)| {
                while pipe.due() <= now {
                    if !guarded(|| pipe.next(now, job, &mut recoded)).unwrap_or(false) {
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
            self.rest(is_idle);
        }
    }

    /// Takes what waits in; whether that was nothing. `None` if nobody gives anything any more.
    fn take(&mut self) -> Option<bool> {
        let mut is_idle = true;
        loop {
            match self.jobs.try_recv() {
                Ok(job) => {
                    is_idle = false;
                    let known = self.pipes.entry((job.session, job.stream));
                    let epoch = &mut self.epoch;
                    let (_, pipe) = known.or_insert_with(|| {
                        *epoch = epoch.wrapping_add(1) & (u32::MAX >> 1);
                        let pipe = Pipe::new(&job, *epoch);
                        (job.clone(), pipe)
                    });
                    if guarded(|| pipe.take(&job)).is_none() {
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
