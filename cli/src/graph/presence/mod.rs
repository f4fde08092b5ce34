//! Presence of users: what Microsoft says of them, for routing and for operators (TDG-PRS-006), and what it is told
//! of them.
//!
//! ```text
//! polls ──► polled ─┐
//!                   ├─► Presences ─► every shard
//! notices ► noticed ┘
//! shards ─► Talking ─► Shown ─► setPresence, clearPresence
//! ```

pub mod asker;
pub mod shown;
pub mod store;

pub use asker::Told;
pub use store::Presences;

use crate::daemon::resolver::Resolver;
use crate::sink::Sinks;
use asker::Asker;
use futures_util::future::join_all;
use sbc_core::config::{GraphAccess, Loaded};
use sbc_core::id::TenantName;
use sbc_core::policy::presence::Talking;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Time between the first requests of two tenants: a thousand of them do not begin at once.
const APART: Duration = Duration::from_millis(50);
/// How long whoever asked for a tenant before may take to end.
const END: Duration = Duration::from_secs(5);

/// Who asks for each tenant.
pub struct Watch {
    store: Presences,
    talking: Talking,
    sinks: Sinks,
    resolver: Resolver,
    askers: Mutex<BTreeMap<TenantName, Running>>,
}

struct Running {
    access: GraphAccess,
    told: Arc<Mutex<Told>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Nobody asks yet.
    pub fn new(store: Presences, talking: Talking, sinks: Sinks, resolver: Resolver) -> Self {
        Self {
            store,
            talking,
            sinks,
            resolver,
            askers: Mutex::default(),
        }
    }

    /// What was heard.
    pub fn store(&self) -> &Presences {
        &self.store
    }

    /// Who talks over our trunks.
    pub fn talking(&self) -> &Talking {
        &self.talking
    }

    /// Asks as this configuration says from now on. Whoever asks as before goes on.
    pub fn configure(&self, loaded: &Loaded) {
        self.store.configure(&loaded.config);
        let wanted = loaded.shell.graph.iter();
        let wanted = wanted.filter_map(|(name, access)| Some((name, access, access.presence?)));
        let wanted: Vec<_> = wanted.collect();
        let metrics = &self.sinks.metrics.presence;
        metrics.configure(wanted.iter().map(|(name, ..)| *name));
        let mut askers = self.lock();
        let mut before = std::mem::take(&mut *askers);
        let mut first = Instant::now();
        for (name, access, presence) in wanted {
            let earlier = match before.remove(name) {
                Some(running) if running.access == *access => {
                    askers.insert(name.clone(), running);
                    continue;
                }
                earlier => earlier,
            };
            let told = Arc::default();
            let asker = Asker {
                tenant: name.clone(),
                access: access.clone(),
                presence,
                store: self.store.clone(),
                talking: self.talking.clone(),
                sinks: self.sinks.clone(),
                resolver: self.resolver.clone(),
                told: Arc::clone(&told),
            };
            let (stop, stopped) = watch::channel(false);
            let task = tokio::spawn(async move {
                if let Some(running) = earlier {
                    running.end(END).await;
                }
                asker.run(first, stopped).await;
            });
            first += APART;
            let running = Running {
                access: access.clone(),
                told,
                stop,
                task,
            };
            askers.insert(name.clone(), running);
        }
        for (_, running) in before {
            tokio::spawn(running.end(END));
        }
    }

    /// How asking for each tenant goes.
    pub fn told(&self) -> BTreeMap<TenantName, Told> {
        let askers = self.lock();
        let told = askers.iter().map(|(name, running)| {
            let told = running.told.lock().unwrap_or_else(PoisonError::into_inner);
            (name.clone(), told.clone())
        });
        told.collect()
    }

    /// Nobody asks any more, and nobody is shown as busy by us, as far as time allows.
    pub async fn finish(&self, limit: Duration) {
        let askers = std::mem::take(&mut *self.lock());
        join_all(askers.into_values().map(|running| running.end(limit))).await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantName, Running>> {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    async fn end(mut self, limit: Duration) {
        let _ = self.stop.send(true);
        if timeout(limit, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}
