//! Targets that asked to be left alone: a 503 with Retry-After (SIP-1720, RFC 3261 §21.5.4).
//!
//! Such a target gets no new INVITE and no OPTIONS for that time. What belongs to a dialog still
//! goes. Kept per trunk, because a limit that one customer reached says nothing about another's; all shards
//! keep to it together.

use crate::id::TrunkName;
use crate::sip::header::RetryAfter;
use crate::sip::{Message, Status};
use crate::time::Timestamp;
use crate::transport::Protocol;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest time that is granted, whatever a peer asks for.
const LONGEST: Duration = Duration::from_secs(300);
/// Pause between two looks through the table: when all of Teams says 503, no answer looks at all others.
const SWEPT: Duration = Duration::from_secs(1);

/// One address of one trunk.
type Target = (TrunkName, Protocol, SocketAddr);

/// Who asked to be left alone, and until when; over all shards.
#[derive(Clone, Default, Debug)]
pub(crate) struct Quarantine(Arc<Mutex<Table>>);

#[derive(Default, Debug)]
struct Table {
    until: BTreeMap<Target, Timestamp>,
    /// When it was last looked through for what is over.
    swept: Timestamp,
}

impl Quarantine {
    /// Takes note of a response to a request outside any dialog.
    pub(crate) fn note(
        &self,
        now: Timestamp,
        trunk: &TrunkName,
        protocol: Protocol,
        remote: SocketAddr,
        response: &Message,
    ) {
        if response.status() != Some(Status::SERVICE_UNAVAILABLE) {
            return;
        }
        // One that cannot be read is none: then 503 speaks of this request only.
        let Ok(Some(RetryAfter { seconds, .. })) = response.get::<RetryAfter>() else {
            return;
        };
        let mut all = self.lock();
        if now >= all.swept + SWEPT {
            all.swept = now;
            all.until.retain(|_, until| *until > now);
        }
        if seconds > 0 {
            let pause = Duration::from_secs(u64::from(seconds)).min(LONGEST);
            let target = (trunk.clone(), protocol, remote);
            all.until.insert(target, now + pause);
        }
    }

    /// Whether this address of this trunk must be left alone now.
    pub(crate) fn holds(
        &self,
        now: Timestamp,
        trunk: &TrunkName,
        protocol: Protocol,
        remote: SocketAddr,
    ) -> bool {
        let target = (trunk.clone(), protocol, remote);
        let until = self.lock().until.get(&target).copied();
        until.is_some_and(|until| until > now)
    }

    /// Forgets that these have asked to be left alone; gives where they are.
    pub(super) fn forget(&self, is_it: impl Fn(&TrunkName, SocketAddr) -> bool) -> Vec<SocketAddr> {
        let mut forgotten = Vec::new();
        self.lock().until.retain(|(trunk, _, remote), _| {
            let is_it = is_it(trunk, *remote);
            forgotten.extend(is_it.then_some(*remote));
            !is_it
        });
        forgotten
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // A table is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
