//! Certificates of ours that end soon, and lists of revoked ones that are too old: told at every load and then
//! once a day, as long as they are in use (SEC-080). Teams warns its administrators at 30 days, too
//! (TDR-TLS-018).

use super::net::Net;
use super::net::tls::{TlsContext, TlsStore};
use crate::admin::revoked::AllLists;
use crate::sink::log::{Level, Log, wall_clock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, interval_at};

/// Days before the end from which on it is told.
pub(super) const SOON: i64 = 30;
/// How often it is told again.
pub(super) const AGAIN: Duration = Duration::from_secs(86_400);

/// Tells of the certificates in use, again and again.
pub async fn watch(net: Net, log: Log, again: Duration) {
    let mut every = interval_at(Instant::now() + again, again);
    loop {
        every.tick().await;
        warn(&net.identities(), &log);
    }
}

/// Tells of lists of revoked certificates of clients, again and again.
pub(super) async fn watch_clients(lists: AllLists, log: Log, again: Duration) {
    let mut every = interval_at(Instant::now() + again, again);
    loop {
        every.tick().await;
        warn_of_clients(&lists, &log);
    }
}

/// Tells what is wrong with lists of revoked certificates of clients.
pub(super) fn warn_of_clients(lists: &AllLists, log: &Log) {
    for trouble in lists.troubles() {
        let text = "a list of revoked certificates of clients is too old or cannot be used: write a newer one to the file \
                    of crl";
        log.warn("crl_expiry", text).with("why", trouble).send();
    }
}

/// Tells of every certificate that ends soon, or has ended.
pub fn warn(tls: &TlsStore, log: &Log) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    });
    for context in tls.iter() {
        warn_of(context, now, log);
        warn_of_lists(context, now, log);
    }
}

/// What lists say that are too old counts still; who was revoked since is believed.
fn warn_of_lists(context: &TlsContext, now: i64, log: &Log) {
    let Some(until) = context.lists_until().filter(|until| *until < now) else {
        return;
    };
    let text = "a list of revoked certificates of peers is too old: what was revoked since is not known; write \
                a newer one to the file of crl";
    log.warn("crl_expiry", text)
        .with("context", context.name())
        .with("days_over", (now - until).div_euclid(86_400))
        .send();
}

/// What to say of identities whose lists of revoked certificates are too old now.
pub fn old_lists(tls: &TlsStore) -> Vec<String> {
    let now = i64::try_from(wall_clock().as_micros() / 1_000_000).unwrap_or(i64::MAX);
    let old = tls.iter().filter_map(|context| {
        let until = context.lists_until().filter(|until| *until < now)?;
        let days = (now - until).div_euclid(86_400);
        Some(format!(
            "tls \"{}\": its crl should have been replaced {days} days ago: what was revoked since is not known; fetch \
             it again",
            context.name()
        ))
    });
    old.collect()
}

fn warn_of(context: &TlsContext, now: i64, log: &Log) {
    let facts = context.facts();
    let left = facts.not_after - now;
    let days = left.div_euclid(86_400);
    // A short one is renewed by ourselves long after the rest of its life is short.
    let is_late = left < (facts.not_after - facts.not_before) / 4;
    let (level, text) = match days {
        0.. if context.is_issued_here() && !is_late => return,
        0..=SOON if context.is_issued_here() => (
            Level::Error,
            "our certificate ends soon, and no authority has issued another one; \"causeway cert status\" tells why",
        ),
        ..0 => (
            Level::Error,
            "our certificate has expired and every peer refuses it; renew it: new files are taken into use by themselves",
        ),
        0..=SOON => (
            Level::Warn,
            "our certificate ends soon; renew it: new files are taken into use by themselves",
        ),
        _ => return,
    };
    log.line(level, "certificate_expiry", text)
        .with("context", context.name())
        .with("subject", &facts.subject)
        .with("days_left", days)
        .send();
}
