//! What the service manager is told: ready, reloading, stopping, and that every thread lives.

use crate::daemon::health::Stuck;
use crate::sink::log::Log;
use sd_notify::NotifyState;
use std::convert::Infallible;
use std::time::Duration;

/// How often is looked when no service manager says so.
const LOOK: Duration = Duration::from_secs(3);
/// What is left, and a quarter less, to end calls and all else once nobody waits for calls any more.
const PROLONGED: Duration = Duration::from_secs(60);

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

/// Whether there is a service manager, which starts us again when we end so that it should.
pub fn has_manager() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// What the daemon is doing, in words.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The daemon is ending.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Has the service manager wait while calls end, however long that may take: it ends us by force when it has heard
/// nothing of this for a while (`PROLONGED`), and when `TimeoutStopSec` is over. Goes on until it is dropped.
pub async fn prolong() -> Infallible {
    let micros = u32::try_from(PROLONGED.as_micros()).unwrap_or(u32::MAX);
    let mut ticks = tokio::time::interval(PROLONGED / 4);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
    }
}

/// Tells that we live as long as no thread is stuck; says nothing more once one is, so that the service manager
/// acts. `warn` hears of it. Ends when the task is ended.
pub async fn watchdog(stuck: impl Fn() -> Option<Stuck>, warn: impl Fn(Stuck)) {
    let limit = sd_notify::watchdog_enabled();
    // Without a service manager a stuck thread is still worth a line.
    let interval = limit.map_or(LOOK, |limit| limit / 2);
    let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(100)));
    loop {
        ticks.tick().await;
        match stuck() {
            Some(stuck) => warn(stuck),
            None if limit.is_some() => tell(&[NotifyState::Watchdog]),
            None => {}
        }
    }
}

/// A line of the log about a thread that is stuck.
pub fn log_stuck(log: &Log, stuck: Stuck) {
    log.error("stuck", stuck)
        .with("for_ms", stuck.age.as_millis())
        .send();
}

fn tell(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell, and no other way to report it.
    let _ = sd_notify::notify(states);
}
