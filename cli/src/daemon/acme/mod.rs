//! Certificates that the daemon gets by itself from an authority, and renews in time (RFC 8555, TDR-TLS-015).
//!
//! ```text
//! plan (when) ─► order (account, proof, key, chain) ─► candidate ─► shown to Teams ─► in use
//!     ▲                        │ fault                     │ refused        │
//!     └────────────────────────┴───────────────────────────┴────────────────┘
//! ```
//!
//! A candidate that Teams says nothing to, as nothing to the one in use, stays one, and is shown again with the next 200.
//!
//! One order at a time. What is in use stays until the next one has proven itself, whatever goes wrong.

mod adopt;
mod fault;
mod http;
mod order;
mod plan;
mod proof;
mod store;

pub use fault::Fault;
pub use plan::{Chance, Lifetime, Past, Plan};

use crate::daemon::Daemon;
use crate::daemon::net::tls::{TlsContext, TlsStore, random};
use crate::sink::log::{Level, wall_clock};
use crate::sink::news::Kind;
use http::Way;
use order::Wanted;
use sbc_core::config::{AcmeAccount, Loaded};
use sbc_core::id::TlsContextName;
use sbc_core::time::UnixTime;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use store::Store;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// How often the clock is looked at: it may have been set.
const GLANCE: Duration = Duration::from_secs(60);
/// Longest time for one order, a program of the operator for each of its names included.
const ORDER_LIMIT: Duration = Duration::from_secs(3_600);

/// The identities whose certificates an authority issues.
#[derive(Default)]
pub struct Acme {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    account: Option<AcmeAccount>,
    managed: BTreeMap<TlsContextName, Managed>,
}

struct Managed {
    names: Vec<String>,
    plan: Plan,
    /// What became of the last order.
    last: Option<Told>,
}

/// What became of an order.
#[derive(Clone, Debug)]
struct Told {
    at: UnixTime,
    /// Why it has failed; `None` if it was issued.
    why: Option<String>,
}

/// How the certificate of one identity stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// When the authority is asked next; `None` while it is.
    pub next: Option<UnixTime>,
    /// Failures since the last success.
    pub failures: u32,
    /// When the last order ended.
    pub last: Option<UnixTime>,
    /// Why it failed, if it did.
    pub why: Option<String>,
}

/// Why an operator's wish is not granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unwilling {
    /// No authority issues the certificate of that identity, or there is none of that name.
    Unknown,
    /// The authority wants to be left alone until then.
    Paused(UnixTime),
}

impl Acme {
    /// Takes over a configuration and the identities that were read with it.
    pub(super) fn configure(&self, loaded: &Loaded, tls: &TlsStore) {
        let now = wall_clock();
        let mut state = self.lock();
        let mut before = std::mem::take(&mut state.managed);
        state.account.clone_from(&loaded.shell.acme);
        let Some(store) = state
            .account
            .as_ref()
            .map(|account| Store::new(&account.folder))
        else {
            return;
        };
        for (name, files) in &loaded.shell.tls {
            let Some(names) = &files.issued_for else {
                continue;
            };
            let held = tls.get(name).and_then(|context| held(context, names));
            let managed = match before.remove(name) {
                Some(mut managed) => {
                    managed.names.clone_from(names);
                    managed.plan.found(held, now, chance());
                    managed
                }
                None => Managed {
                    names: names.clone(),
                    plan: Plan::new(held, store.progress(name).past, now, chance()),
                    last: None,
                },
            };
            state.managed.insert(name.clone(), managed);
        }
        drop(state);
        self.news.notify_one();
    }

    /// How the certificate of an identity stands, if an authority issues it.
    pub fn standing(&self, name: &TlsContextName) -> Option<Standing> {
        let state = self.lock();
        let managed = state.managed.get(name)?;
        Some(Standing {
            next: managed.plan.due(),
            failures: managed.plan.failures(),
            last: managed.last.as_ref().map(|told| told.at),
            why: managed.last.as_ref().and_then(|told| told.why.clone()),
        })
    }

    /// Every identity whose certificate an authority issues.
    pub fn names(&self) -> Vec<TlsContextName> {
        self.lock().managed.keys().cloned().collect()
    }

    /// Asks the authority now.
    ///
    /// # Errors
    /// [`Unwilling`]; nothing has changed then.
    pub fn hurry(&self, name: &TlsContextName) -> Result<(), Unwilling> {
        let mut state = self.lock();
        let managed = state.managed.get_mut(name).ok_or(Unwilling::Unknown)?;
        managed
            .plan
            .hurry(wall_clock())
            .map_err(Unwilling::Paused)?;
        self.news.notify_one();
        Ok(())
    }

    /// Shows what was issued and is not in use to Teams now, also while the authority wants to be left alone.
    pub(super) fn show_again(&self, name: &TlsContextName) {
        if !self.has_candidate(name) {
            return;
        }
        if let Some(managed) = self.lock().managed.get_mut(name) {
            managed.plan.show_again(wall_clock());
        }
        self.news.notify_one();
    }

    fn is_paused(&self, name: &TlsContextName) -> bool {
        let state = self.lock();
        let managed = state.managed.get(name);
        managed.is_some_and(|own| own.plan.is_paused(wall_clock()))
    }

    /// Whether something was issued for an identity of the configuration, and is not in use.
    pub(super) fn has_candidate(&self, name: &TlsContextName) -> bool {
        let state = self.lock();
        let account = state.account.as_ref();
        let account = account.filter(|_| state.managed.contains_key(name));
        account.is_some_and(|account| Store::new(&account.folder).left(name).is_some())
    }

    /// Asks whenever it is time, as long as the daemon is there.
    pub(super) async fn run(self: Arc<Self>, daemon: Weak<Daemon>) {
        loop {
            let Some(here) = daemon.upgrade() else {
                return;
            };
            self.publish(&here);
            match self.next() {
                Some((name, at)) if at <= wall_clock() => self.ask(&here, &name).await,
                next => {
                    drop(here);
                    let wait = next.map_or(GLANCE, |(_, at)| at.since(wall_clock()).min(GLANCE));
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = self.news.notified() => {}
                    }
                }
            }
        }
    }

    fn next(&self) -> Option<(TlsContextName, UnixTime)> {
        let state = self.lock();
        let due = state.managed.iter();
        let due = due.filter_map(|(name, own)| Some((name.clone(), own.plan.due()?)));
        due.min_by_key(|(_, at)| *at)
    }

    fn publish(&self, daemon: &Daemon) {
        let state = self.lock();
        let standing = state.managed.iter();
        let standing = standing.map(|(name, own)| (name, own.plan.due(), own.plan.failures()));
        daemon.sinks().metrics.acme.set(standing);
    }

    /// One order, and what follows from it.
    async fn ask(&self, daemon: &Arc<Daemon>, name: &TlsContextName) {
        let Some((account, names)) = self.begin(name) else {
            return;
        };
        let store = Store::new(&account.folder);
        let work = ordered(daemon, name, &account, &names, &store);
        let done = timeout(ORDER_LIMIT, work).await.unwrap_or_else(|_| {
            let host = account.directory.clone();
            Err(Fault::Slow { host, wish: None })
        });
        self.end(daemon, name, done, &store);
    }

    fn begin(&self, name: &TlsContextName) -> Option<(AcmeAccount, Vec<String>)> {
        let mut state = self.lock();
        let account = state.account.clone()?;
        let managed = state.managed.get_mut(name)?;
        let now = wall_clock();
        // It was to be shown what was issued, which somebody has taken away meanwhile.
        if managed.plan.is_paused(now) && Store::new(&account.folder).left(name).is_none() {
            managed.plan.rest(now);
            return None;
        }
        managed.plan.begin();
        Some((account, managed.names.clone()))
    }

    fn end(
        &self,
        daemon: &Daemon,
        name: &TlsContextName,
        done: Result<Lifetime, Fault>,
        store: &Store,
    ) {
        let (now, sinks) = (wall_clock(), daemon.sinks());
        let (label, told) = match &done {
            Ok(_) => ("issued", None),
            Err(fault) => (fault.label(), Some(fault.to_string())),
        };
        let past = {
            let mut state = self.lock();
            // It may have been taken out of the configuration meanwhile.
            let Some(managed) = state.managed.get_mut(name) else {
                return;
            };
            match &done {
                Ok(lifetime) => managed.plan.issued(*lifetime, now, chance()),
                Err(Fault::Unanswered) => managed.plan.held_up(now, chance()),
                Err(fault) => managed.plan.failed(fault.wish(), now, chance()),
            }
            managed.last = Some(Told {
                at: now,
                why: told.clone(),
            });
            managed.plan.past()
        };
        // Teams may have answered since it was tried, and while that was not over.
        if daemon.awaited().of(name).is_some_and(|own| own.is_due) {
            self.show_again(name);
        }
        sinks.metrics.acme.ended(name, label);
        let kept = store.progressed(name, |progress| progress.past = past);
        if let Err(why) = kept {
            let text = "when the authority may be asked again is not known after a restart";
            sinks
                .log
                .warn("certificate_state", text)
                .with("why", why)
                .send();
        }
        let next = self.standing(name).and_then(|own| own.next);
        let next = next.map(UnixTime::rfc3339).unwrap_or_default();
        match (done, told) {
            (Ok(lifetime), _) => {
                let until = lifetime.until.rfc3339();
                let line = sinks
                    .log
                    .info("certificate_issued", "a new certificate is in use");
                line.with("context", name)
                    .with("until", &until)
                    .with("next", &next)
                    .send();
                let data = serde_json::json!({ "context": name.as_str(), "until": until });
                sinks.news.tell(Kind::CertificateIssued, data);
            }
            // Told where it was tried.
            (Err(Fault::Unanswered), _) => {}
            (Err(_), why) => {
                let why = why.unwrap_or_default();
                let held = daemon
                    .net()
                    .identities()
                    .get(name)
                    .map(|own| own.facts().not_after);
                let left = held.map(|until| (until - seconds(now)).div_euclid(86_400));
                let level = match left {
                    Some(30..) => Level::Warn,
                    Some(_) | None => Level::Error,
                };
                let text = match left {
                    Some(_) => "there is no new certificate, and the one before stays in use",
                    None => "there is no certificate, and no peer can be talked to with TLS",
                };
                let line = sinks.log.line(level, "certificate_failed", text);
                let line = line
                    .with("context", name)
                    .with("why", &why)
                    .with("next", &next);
                match left {
                    Some(days) => line.with("days_left", days).send(),
                    None => line.send(),
                }
                let data = serde_json::json!({
                    "context": name.as_str(), "why": why, "next": next, "result": label,
                });
                sinks.news.tell(Kind::CertificateFailed, data);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gets a certificate and has it put into use.
async fn ordered(
    daemon: &Daemon,
    identity: &TlsContextName,
    account: &AcmeAccount,
    names: &[String],
    store: &Store,
) -> Result<Lifetime, Fault> {
    // What was issued and is not in use, because Teams said nothing to it, is not ordered again.
    if let Some(candidate) = store.left(identity) {
        let done = daemon.adopt(identity, &candidate, names, store).await;
        let is_useless = matches!(done, Err(Fault::Unusable { .. } | Fault::File { .. }));
        if !is_useless || daemon.acme().is_paused(identity) {
            return done;
        }
    }
    let log = &daemon.sinks().log;
    let line = log.info(
        "certificate_order",
        "an authority is asked for a certificate",
    );
    line.with("context", identity)
        .with("names", names.join(" "))
        .send();
    let way = Way::new(
        &account.directory,
        &account.https_roots,
        daemon.resolver().clone(),
    )?;
    let wanted = Wanted {
        account,
        identity,
        names,
        store,
        way: &way,
    };
    let issued = wanted.issue().await?;
    let candidate = store.candidate(identity, &issued)?;
    daemon.adopt(identity, &candidate, names, store).await
}

/// How long the certificate of an identity is valid, if it carries these names.
fn held(context: &TlsContext, names: &[String]) -> Option<Lifetime> {
    let facts = context.facts();
    let at = |seconds: i64| UnixTime::from_micros(u64::try_from(seconds).unwrap_or(0) * 1_000_000);
    let is_complete = names.iter().all(|name| facts.names.contains(name));
    is_complete.then(|| Lifetime {
        from: at(facts.not_before),
        until: at(facts.not_after),
    })
}

fn seconds(at: UnixTime) -> i64 {
    i64::try_from(at.as_micros() / 1_000_000).unwrap_or(i64::MAX)
}

/// Where nothing is random, nothing is spread.
fn chance() -> Chance {
    let mut octets = [0; 2];
    match random(&mut octets) {
        Ok(()) => Chance(u16::from_be_bytes(octets)),
        Err(()) => Chance(0),
    }
}
