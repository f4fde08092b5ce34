//! What the service manager is told: ready, reloading, stopping, and that every shard lives.

use crate::daemon::shard::Heartbeat;
use crate::sink::log::Log;
use sd_notify::NotifyState;
use std::sync::Arc;
use std::time::Duration;

/// A shard that made no progress for this long is stuck (REL-004).
const STUCK: Duration = Duration::from_secs(3);

/// Listeners are open and the configuration is in use.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload has begun; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// What the daemon is doing, in words.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The daemon is ending.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Tells that we live as long as every shard does; says nothing more once one is stuck, so that the
/// service manager acts. Ends when the task is ended.
pub async fn watchdog(heartbeats: Vec<Arc<Heartbeat>>, log: Log) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        // Without a service manager a stuck shard is still worth a line.
        return watch(&heartbeats, &log, STUCK, || {}).await;
    };
    watch(&heartbeats, &log, limit / 2, || {
        tell(&[NotifyState::Watchdog])
    })
    .await;
}

async fn watch(heartbeats: &[Arc<Heartbeat>], log: &Log, interval: Duration, alive: impl Fn()) {
    let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(100)));
    loop {
        ticks.tick().await;
        match heartbeats.iter().map(|heartbeat| heartbeat.age()).max() {
            Some(age) if age > STUCK => log
                .error("stuck", "a shard makes no progress")
                .with("for_ms", age.as_millis())
                .send(),
            _ => alive(),
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell, and no other way to report it.
    let _ = sd_notify::notify(states);
}
