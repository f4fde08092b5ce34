//! Threads of the interface alone, which give way to those that serve calls (SEC-153): whatever is asked for, however
//! often, calls are served before it. What an operation has the daemon do, such as a reload, is the daemon's own work, and
//! done on its threads.

use crate::sink::log::Log;
use rustix::process::{getpriority_process, setpriority_process};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::{Builder, Handle, Runtime};

/// Their name, as `top -H` shows it.
pub(super) const NAME: &str = "interface";
/// Threads that serve requests.
const THREADS: usize = 2;
/// Threads that wait for the disk, or compute for long.
const MOST_WAITING: usize = 16;
/// How much nicer they are than others: where a processor has too much to do, such a thread has a tenth of it beside one
/// that serves calls.
const NICER: i32 = 10;
/// The least priority that there is.
const NICEST: i32 = 19;

/// The threads. They end with this, without being waited for.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// Starts them; where the system keeps them from giving way, that is told once.
    pub(super) fn start(log: &Log) -> io::Result<Self> {
        let (log, is_told) = (log.clone(), AtomicBool::new(false));
        // Of this one: those that are started later have the priority of the one that has started them.
        let lower = getpriority_process(None).unwrap_or_default() + NICER;
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(MOST_WAITING)
            .thread_name(NAME)
            .on_thread_start(move || {
                // Ordering: the flag stands for itself.
                if let Err(why) = give_way(lower)
                    && !is_told.swap(true, Ordering::Relaxed)
                {
                    let text = "threads of the interface have the priority of those that serve calls, so that many requests can \
                                slow calls: have the sandbox allow setpriority (the unit: SystemCallFilter=setpriority)";
                    log.warn("interface", text).with("why", why).send();
                }
            })
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// What has something done by them.
    pub(super) fn handle(&self) -> Handle {
        let own = self.0.as_ref();
        own.map_or_else(Handle::current, |own| own.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Whoever drops this may be a thread that must not wait.
            runtime.shutdown_background();
        }
    }
}

/// Lowers the priority of this thread: to the kernel, a thread is a process of its own in this.
fn give_way(to: i32) -> rustix::io::Result<()> {
    setpriority_process(None, to.min(NICEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::log::{Form, Level};

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_the_interface_does_gives_way_to_others_and_nobody_waits_for_its_end() {
        let (log, _writer) = Log::start(Level::Info, Form::Json, io::sink()).unwrap();
        let own = getpriority_process(None).unwrap();
        let threads = Threads::start(&log).unwrap();
        let told = || {
            let name = std::thread::current().name().map(str::to_owned);
            (name, getpriority_process(None).unwrap())
        };
        let lower = (Some(NAME.to_owned()), (own + NICER).min(NICEST));
        let handle = threads.handle();
        assert_eq!(handle.spawn(async move { told() }).await.unwrap(), lower);
        assert_eq!(handle.spawn_blocking(told).await.unwrap(), lower);
        let own_handle = handle.clone();
        let nested = handle.spawn(async move { own_handle.spawn_blocking(told).await });
        assert_eq!(nested.await.unwrap().unwrap(), lower, "not twice");
        assert_eq!(getpriority_process(None).unwrap(), own, "and no other");
        // Within a runtime, where one that waits for its threads must not be dropped.
        let (_hold, held) = std::sync::mpsc::channel::<()>();
        handle.spawn_blocking(move || held.recv());
        drop(threads);
    }
}
