//! A restart that waits for calls: the node drains, and ends with a code upon which its service manager starts it anew.
//! Calls cannot be handed over, so that one that goes on holds the restart up, or is ended by the drain's time.

use crate::daemon::{Daemon, notify};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// Exit code of a daemon that is to be started anew: `RestartForceExitStatus=` of the unit.
pub const ANEW: u8 = 75;
/// How often is looked whether a call is left.
const LOOK: Duration = Duration::from_millis(250);

/// Whether a restart waits, and that its time has come.
#[derive(Debug, Default)]
pub(super) struct Anew {
    is_wanted: AtomicBool,
    is_due: Notify,
}

impl Anew {
    /// New calls are taken again, so no restart waits for their end.
    pub(super) fn take_back(&self) {
        // Ordering: the flag stands for itself.
        self.is_wanted.store(false, Ordering::Relaxed);
    }
}

impl Daemon {
    /// Whether somebody would start this process anew.
    pub fn is_supervised(&self) -> bool {
        notify::has_manager()
    }

    /// Drains, and ends this process once it is drained; draining no more takes it back. New calls are refused at once, or
    /// after Teams has noticed; those that are left after some time are ended, if one is said. Says how many calls live.
    pub async fn restart(
        self: &Arc<Self>,
        is_at_once: bool,
        last_calls: Option<Duration>,
    ) -> Option<usize> {
        let calls = match is_at_once || self.is_stopping() {
            true => self.drain(true).await,
            false => self.fade().await,
        };
        self.end_calls_after(last_calls);
        // Ordering: the flag stands for itself.
        if !self.anew.is_wanted.swap(true, Ordering::Relaxed) {
            let line = self
                .sinks()
                .log
                .info("restart", "the daemon is started anew once no call is left");
            line.send();
            tokio::spawn(watch(Arc::downgrade(self)));
        }
        calls
    }

    /// Whether a restart waits for the end of calls.
    pub fn restarts(&self) -> bool {
        // Ordering: the flag stands for itself.
        self.anew.is_wanted.load(Ordering::Relaxed)
    }

    /// Comes back when a restart is due.
    pub async fn restart_is_due(&self) {
        self.anew.is_due.notified().await;
    }
}

async fn watch(daemon: Weak<Daemon>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(daemon) = daemon.upgrade() else {
            return;
        };
        if !daemon.restarts() {
            return;
        }
        if daemon.is_drained().await {
            daemon.anew.is_due.notify_one();
            return;
        }
    }
}
