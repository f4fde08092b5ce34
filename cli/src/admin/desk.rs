//! What requests share, so that many of them cost calls no more than few (SEC-153).

use super::Problem;
use super::who::Who;
use crate::daemon::Daemon;
use crate::daemon::stop::ANSWER;
use axum::http::StatusCode;
use sbc_core::input::{Answered, Command};
use sbc_core::record::CallSummary;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tokio::time::timeout;

/// Work that takes a processor or the disk for a while, at the same time.
const TURNS: usize = 2;
/// How long somebody waits for a turn.
const WAIT: Duration = Duration::from_secs(1);
/// Reloads that are done or wait for the one before.
const RELOADS: usize = 4;
/// A list of calls serves whoever asks for one within this time.
const FRESH: Duration = Duration::from_millis(500);

/// One for all who ask, whatever the door.
pub(super) struct Desk {
    /// Whose work it is.
    threads: Handle,
    /// Those of the daemon, for what others of it wait for.
    deeds: Handle,
    turns: Arc<Semaphore>,
    reloads: Arc<Semaphore>,
    calls: Mutex<Option<(Instant, Arc<Vec<CallSummary>>)>>,
}

impl Desk {
    /// One whose work these threads do, and those of the daemon.
    pub(super) fn on(threads: Handle, deeds: Handle) -> Self {
        Self {
            threads,
            deeds,
            turns: Arc::new(Semaphore::new(TURNS)),
            reloads: Arc::new(Semaphore::new(RELOADS)),
            calls: Mutex::default(),
        }
    }

    /// Work that reads files or takes long: not on a thread that serves calls, and not beside much of its kind. The
    /// turn ends with the work: who hangs up makes no room for the next one.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = self.turn().await?;
        let working = move || {
            let _turn = turn;
            work()
        };
        let done = self.threads.spawn_blocking(working).await;
        done.map_err(failed)
    }

    /// The same for work that waits for others in between, by threads of the daemon: it may have the turn of reloads, which
    /// is not kept until calls leave time for it.
    pub(super) async fn task<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = self.turn().await?;
        let working = async move {
            let _turn = turn;
            work.await
        };
        self.deeds.spawn(working).await.map_err(failed)
    }

    /// A turn of such work.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = timeout(WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        let taken = turn.ok().and_then(Result::ok);
        taken.ok_or_else(|| Problem::later("others are being served with this: ask again"))
    }

    /// A place in the queue of reloads.
    pub(super) fn reload(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.reloads).try_acquire_owned();
        place.map_err(|_| Problem::later("several reloads wait already: ask again"))
    }

    /// Calls in progress, oldest first. Each list costs every shard time: over the network they are as they were half
    /// a second ago at most.
    pub(super) async fn calls(
        &self,
        daemon: &Daemon,
        who: &Who,
    ) -> Result<Arc<Vec<CallSummary>>, Problem> {
        // Whoever waits here gets what the one before has asked for.
        let mut kept = self.calls.lock().await;
        if let Some((at, calls)) = &*kept
            && at.elapsed() < FRESH
            && !who.is_here()
        {
            return Ok(Arc::clone(calls));
        }
        let now = Instant::now();
        let mut all = Vec::new();
        for inbox in daemon.inboxes().all() {
            match daemon.replies().ask(inbox, Command::Calls, ANSWER).await {
                Some(Answered::Calls(calls)) => all.extend(calls),
                Some(_) => {}
                None => return Err(Problem::busy()),
            }
        }
        all.sort_by_key(|call| (call.start, call.call));
        let all = Arc::new(all);
        *kept = Some((now, Arc::clone(&all)));
        Ok(all)
    }
}

fn failed(_: JoinError) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the work was broken off")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_task_keeps_its_turn_though_nobody_waits_for_it() {
        let desk = Arc::new(Desk::on(Handle::current(), Handle::current()));
        let (end, is_over) = tokio::sync::oneshot::channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let own = Arc::clone(&desk);
        let asked = tokio::spawn(async move {
            let work = async move {
                let _ = begun.send(());
                let _ = is_over.await;
            };
            own.task(work).await
        });
        has_begun.await.unwrap();
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
        assert_eq!(desk.turns.available_permits(), TURNS - 1);
        drop(end);
        let both = u32::try_from(TURNS).unwrap();
        let _all = desk.turns.acquire_many(both).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn work_keeps_its_turn_though_nobody_waits_for_it() {
        let desk = Arc::new(Desk::on(Handle::current(), Handle::current()));
        let mut ends = Vec::new();
        for _ in 0..TURNS {
            let (end, is_over) = mpsc::channel::<()>();
            let (begun, has_begun) = tokio::sync::oneshot::channel();
            let own = Arc::clone(&desk);
            let asked = tokio::spawn(async move {
                let work = move || {
                    let _ = begun.send(());
                    let _ = is_over.recv();
                };
                own.work(work).await
            });
            has_begun.await.unwrap();
            // Whoever has asked hangs up.
            asked.abort();
            assert!(asked.await.unwrap_err().is_cancelled());
            ends.push(end);
        }
        let refused = desk.work(|| ()).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        drop(ends);
        let waits = async { while desk.work(|| ()).await.is_err() {} };
        timeout(Duration::from_secs(20), waits).await.unwrap();
    }

    #[tokio::test]
    async fn reloads_that_wait_are_bounded() {
        let desk = Desk::on(Handle::current(), Handle::current());
        let places: Vec<_> = (0..RELOADS).map(|_| desk.reload().unwrap()).collect();
        assert!(desk.reload().is_err());
        drop(places);
        assert!(desk.reload().is_ok());
    }
}
