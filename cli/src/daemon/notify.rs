//! What the service manager is told: ready, reloading, stopping, and that every thread lives.

use crate::daemon::health::Health;
use crate::sink::log::Log;
use sd_notify::NotifyState;
use std::time::Duration;

/// How often is looked when no service manager says so.
const LOOK: Duration = Duration::from_secs(3);

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

/// Tells that we live as long as every shard and media worker does; says nothing more once one is
/// stuck, so that the service manager acts. Ends when the task is ended.
pub async fn watchdog(health: Health, log: Log) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        // Without a service manager a stuck thread is still worth a line.
        return watch(&health, &log, LOOK, || {}).await;
    };
    watch(&health, &log, limit / 2, || tell(&[NotifyState::Watchdog])).await;
}

async fn watch(health: &Health, log: &Log, interval: Duration, alive: impl Fn()) {
    let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(100)));
    loop {
        ticks.tick().await;
        match health.stuck() {
            Some(stuck) => log
                .error("stuck", stuck)
                .with("for_ms", stuck.age.as_millis())
                .send(),
            None => alive(),
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell, and no other way to report it.
    let _ = sd_notify::notify(states);
}
