//! Peers of trunks that a reload took away or moved: they are still heard, so that their calls can end (OPS-121). What
//! belongs to no call of theirs the core takes for a stranger's.

use super::retirement::{LONGEST, LOOK, Usage};
use super::{Net, Shared};
use sbc_core::config::{Config, Trunk};
use sbc_core::id::ListenerName;
use sbc_core::policy::ingress::accepts_source;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use tokio::time::{Instant, sleep};

/// Trunks that are remembered at most, the latest.
const MOST: usize = 4_096;

/// What one reload took away.
pub(super) struct Former(Vec<Arc<Trunk>>);

impl Former {
    /// Trunks of a configuration whose peers are not heard any more, or not there, under the next one.
    fn between(before: &Config, after: &Config) -> Self {
        let is_gone = |trunk: &&Arc<Trunk>| {
            after.trunks.get(&trunk.name).is_none_or(|now| {
                now.accept_from != trunk.accept_from
                    || now.targets != trunk.targets
                    || now.listeners != trunk.listeners
            })
        };
        Self(before.trunks.values().filter(is_gone).cloned().collect())
    }
}

impl Shared {
    /// Whether `source` was a trunk's peer at a listener, of which a call may be left.
    pub(super) fn admitted(&self, listener: &ListenerName, source: IpAddr) -> bool {
        let source = source.to_canonical();
        let all = self.former.load();
        let mut trunks = all.iter().flat_map(|former| &former.0);
        trunks.any(|trunk| trunk.listeners.contains(listener) && accepts_source(trunk, source))
    }
}

impl Net {
    /// Goes on hearing those of whom nothing more is configured, until the calls of now are over.
    pub(super) fn remember(&self, before: &Config, after: &Config) {
        let former = Former::between(before, after);
        if former.0.is_empty() {
            return;
        }
        let former = Arc::new(former);
        let watched = Arc::downgrade(&former);
        self.shared.former.rcu(|all| {
            let mut room = MOST;
            let newest = std::iter::once(&former).chain(all.iter());
            let kept = newest.take_while(|one| {
                let fits = one.0.len() <= room;
                room = room.saturating_sub(one.0.len());
                fits
            });
            kept.cloned().collect::<Vec<_>>()
        });
        let net = self.clone();
        self.shared
            .runtime
            .spawn(async move { net.watch_former(&watched).await });
    }

    async fn watch_former(&self, former: &Weak<Former>) {
        let end = Instant::now() + LONGEST;
        let mut usage = Usage::default();
        while former.strong_count() > 0 {
            sleep(LOOK).await;
            let in_progress = self.shared.metrics.calls.all_in_progress();
            if usage.is_over(&in_progress) || Instant::now() >= end {
                let over = former.upgrade();
                self.shared.former.rcu(|all| {
                    let is_other = |one: &&Arc<Former>| {
                        over.as_ref().is_none_or(|over| !Arc::ptr_eq(one, over))
                    };
                    all.iter().filter(is_other).cloned().collect::<Vec<_>>()
                });
                return;
            }
        }
    }
}
