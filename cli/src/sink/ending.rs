//! The end of a thread that writes what is queued: all of it, unless whoever takes it does not answer.

use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a full queue is tried again, and a thread looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Queues the last order behind all others and waits for the thread, but no longer than this.
pub(super) fn end<O>(queue: &SyncSender<O>, last: O, thread: JoinHandle<()>, within: Duration) {
    let deadline = Instant::now() + within;
    let mut waiting = Some(last);
    while let Some(last) = waiting.take() {
        match queue.try_send(last) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(last)) if Instant::now() < deadline => {
                waiting = Some(last);
                thread::sleep(LOOK);
            }
            Err(TrySendError::Full(_)) => return,
        }
    }
    while !thread.is_finished() && Instant::now() < deadline {
        thread::sleep(LOOK);
    }
}
