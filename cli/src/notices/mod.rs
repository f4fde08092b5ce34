//! Changes that Microsoft tells instead of being asked: subscriptions to the presence of users, and the notices that
//! come by them (TDG-PRS-001 to TDG-PRS-005).
//!
//! ```text
//! keeper ──► subscribe, renew, end ──► Graph
//!   ▲ events of a subscription           │ notices
//! worker ◄── queue ◄── known, secret ◄── door
//!   └─► token, seal ─► presence, or a user to be asked for
//! ```
//!
//! Notices make presence prompt; that it is asked for now and then goes on, so whatever is lost here is known a
//! little later. Each tenant has a keeper and a worker of its own: nobody waits for somebody else's directory.

mod door;
mod keeper;
mod keys;
mod known;
mod origin;
mod plan;
mod worker;

pub use known::{Known, Secret};
pub use plan::{Act, Plan};

use crate::admin::network;
use crate::daemon::Daemon;
use crate::daemon::net::tls::random;
use crate::daemon::resolver::Resolver;
use crate::graph::presence::Presences;
use crate::graph::reach::{Reach, now};
use crate::sink::Sinks;
use crate::sink::log::Log;
use crate::sink::metrics::Metrics;
use causeway_notice::{Batch, Event, Key, Notice};
use door::{Door, Taken};
use sbc_core::config::{FileFault, GraphAccess, Loaded};
use sbc_core::id::TenantName;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, OnceCell, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Octets of notices that may wait to be read, of all tenants.
const ROOM: usize = 8 * 1024 * 1024;
/// Events of subscriptions that may wait for a keeper.
const EVENTS: usize = 64;
/// How long subscriptions may take to end when the daemon stops.
const END: Duration = Duration::from_secs(4);

/// Notices of all tenants.
pub struct Notices {
    known: Known,
    presences: Presences,
    metrics: Arc<Metrics>,
    log: Log,
    resolver: Resolver,
    room: Arc<Semaphore>,
    desks: Mutex<BTreeMap<TenantName, Desk>>,
    /// With what Microsoft seals; made when the first subscription is.
    key: OnceCell<Arc<Key>>,
}

/// What works for one tenant.
struct Desk {
    access: GraphAccess,
    url: String,
    work: mpsc::UnboundedSender<Job>,
    /// Rung when its users may be others.
    news: Arc<Notify>,
    stop: watch::Sender<bool>,
    keeper: JoinHandle<()>,
    worker: JoinHandle<()>,
}

/// Notices of one tenant that came together.
struct Job {
    notices: Vec<Notice>,
    tokens: Arc<[String]>,
    /// What it takes of the room, until it is done.
    _room: Arc<OwnedSemaphorePermit>,
}

/// Something that happens to the subscription of this name.
struct Happens {
    id: String,
    event: Event,
}

/// The address where notices come in, served.
pub struct Served {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Notices {
    /// Nothing is subscribed to until [`Self::configure`].
    pub fn new(presences: Presences, resolver: Resolver, sinks: &Sinks) -> Arc<Self> {
        Arc::new(Self {
            known: Known::default(),
            presences,
            metrics: Arc::clone(&sinks.metrics),
            log: sinks.log.clone(),
            resolver,
            room: Arc::new(Semaphore::new(ROOM)),
            desks: Mutex::default(),
            key: OnceCell::new(),
        })
    }

    /// Takes notices at this address, for the path and with the identity that the daemon's configuration says at the
    /// time.
    pub fn serve(self: &Arc<Self>, tcp: TcpListener, daemon: Weak<Daemon>) -> Served {
        let (stop, stopped) = watch::channel(false);
        let of = daemon.clone();
        let path = move || {
            let loaded = of.upgrade()?.loaded();
            Some(loaded.shell.notices.as_ref()?.path().to_owned())
        };
        let identity = move || {
            let daemon = daemon.upgrade()?;
            let loaded = daemon.loaded();
            let identities = daemon.net().identities();
            let context = identities.get(&loaded.shell.notices.as_ref()?.tls)?;
            context.serve_notices().ok()
        };
        let router = Door::new(Arc::clone(self), path).router();
        let task = tokio::spawn(network::run(
            tcp,
            identity,
            || None,
            |_| (),
            router,
            stopped,
        ));
        Served { stop, task }
    }

    /// Takes over a configuration: who is subscribed to, and what Microsoft is told to call.
    pub fn configure(self: &Arc<Self>, loaded: &Loaded) {
        let url = loaded.shell.notices.as_ref().map(|own| own.url.clone());
        let mut desks = self.lock();
        let mut before = std::mem::take(&mut *desks);
        for (tenant, access) in &loaded.shell.graph {
            let (Some(url), Some(_)) = (&url, access.presence) else {
                continue;
            };
            let same = before.remove(tenant);
            let desk = match same {
                Some(desk) if desk.access == *access && desk.url == *url => {
                    desk.news.notify_one();
                    desk
                }
                other => {
                    if let Some(other) = other {
                        other.leave();
                    }
                    self.open(tenant, access, url)
                }
            };
            desks.insert(tenant.clone(), desk);
        }
        for (tenant, desk) in before {
            desk.leave();
            self.metrics.notices.forget(&tenant);
        }
    }

    fn open(self: &Arc<Self>, tenant: &TenantName, access: &GraphAccess, url: &str) -> Desk {
        let (work, jobs) = mpsc::unbounded_channel();
        let (happen, happens) = mpsc::channel(EVENTS);
        let (stop, stopped) = watch::channel(false);
        let news = Arc::new(Notify::new());
        let keeper = keeper::Keeper {
            notices: Arc::clone(self),
            tenant: tenant.clone(),
            access: access.clone(),
            url: url.to_owned(),
            news: Arc::clone(&news),
            happens,
            stopped,
        };
        let worker = worker::Worker {
            notices: Arc::clone(self),
            tenant: tenant.clone(),
            access: access.clone(),
            happen,
        };
        Desk {
            access: access.clone(),
            url: url.to_owned(),
            work,
            news,
            stop,
            keeper: tokio::spawn(keeper.run()),
            worker: tokio::spawn(worker.run(jobs)),
        }
    }

    /// How many subscriptions a tenant has at the moment, if it is to have any.
    pub fn held(&self, tenant: &TenantName) -> Option<usize> {
        let has_desk = self.lock().contains_key(tenant);
        has_desk.then(|| self.known.count(tenant))
    }

    /// Ends every subscription, as far as time allows.
    pub async fn end(&self) {
        let desks = std::mem::take(&mut *self.lock());
        for desk in desks.values() {
            let _ = desk.stop.send(true);
        }
        let all = async {
            for (_, desk) in desks {
                desk.worker.abort();
                let _ = desk.keeper.await;
            }
        };
        // What is left ends by itself within the hour.
        let _ = timeout(END, all).await;
    }

    /// Hands notices to whoever works for their tenants.
    fn take(&self, batch: Batch, octets: usize) -> Taken {
        let mut of: BTreeMap<TenantName, Vec<Notice>> = BTreeMap::new();
        for notice in batch.notices {
            match self
                .known
                .tenant(&notice.subscription, &notice.client_state)
            {
                Some(tenant) => of.entry(tenant).or_default().push(notice),
                None => self.came("unknown"),
            }
        }
        if of.is_empty() {
            return Taken::Nobodys;
        }
        let size = u32::try_from(octets).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(size) else {
            self.came("no_room");
            return Taken::NoRoom;
        };
        let (room, tokens) = (Arc::new(room), Arc::from(batch.tokens));
        let desks = self.lock();
        for (tenant, notices) in of {
            if let Some(desk) = desks.get(&tenant) {
                // A worker that is gone has no subscription either.
                let _ = desk.work.send(Job {
                    notices,
                    tokens: Arc::clone(&tokens),
                    _room: Arc::clone(&room),
                });
            }
        }
        Taken::Known
    }

    /// A way to hosts of Microsoft, as a tenant reaches them.
    fn reach(&self, access: &GraphAccess) -> Result<Reach, String> {
        let (resolver, elsewhere) = (self.resolver.clone(), access.connect_to.clone());
        let reach = Reach::new(&access.roots, resolver, elsewhere);
        reach.map_err(|fault| {
            let (FileFault::Unreadable(why) | FileFault::Unusable(why)) = fault;
            format!("{}: {why}", access.roots)
        })
    }

    /// The key of this run.
    async fn key(&self) -> Result<Arc<Key>, String> {
        let made = self.key.get_or_try_init(|| async {
            let made = tokio::task::spawn_blocking(|| {
                let mut name = [0; 16];
                random(&mut name).map_err(|()| "the system has no random numbers".to_owned())?;
                let name: String = name.iter().map(|octet| format!("{octet:02x}")).collect();
                let year = now().date().get(..4).and_then(|year| year.parse().ok());
                Key::new(&name, year.unwrap_or(2026)).map(Arc::new)
            });
            made.await.map_err(|fault| fault.to_string())?
        });
        made.await.map(Arc::clone)
    }

    /// The key, if there is one already.
    fn made_key(&self) -> Option<&Arc<Key>> {
        self.key.get()
    }

    fn came(&self, result: &str) {
        self.metrics.notices.came(result);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantName, Desk>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Its subscriptions end by themselves; nobody waits for that.
    fn leave(self) {
        let _ = self.stop.send(true);
        self.worker.abort();
    }
}

impl Served {
    /// Takes nothing any more.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let mut task = self.task;
        if timeout(Duration::from_secs(1), &mut task).await.is_err() {
            task.abort();
        }
    }
}
