//! Which streams of which sessions the interface forwards by itself: none while anything is done with their session.
//!
//! Whoever looks at a session, or changes it, ends the express of all its streams first, which tells what has passed. So a
//! session is at any time either somebody's who works on it or the interface's, and an order holds for every packet that
//! the interface takes up once the worker has come to it; until then, mostly far less than a millisecond, packets pass on
//! the old terms. When that is done, the express begins again behind the newest packet, where the session still allows it.

use super::sessions::Sessions;
use crate::control::totals::RealmCounters;
use crate::io::Batch;
use crate::session::SocketId;
use crate::time::Timestamp;
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Sessions {
    /// Has all packets of a session come here, and tells it what has passed.
    pub(super) fn end_express(&mut self, at: usize, now: Timestamp, batch: &mut impl Batch) {
        let Some(Some(entry)) = self.entries.get_mut(at) else {
            return;
        };
        let mut is_broken = false;
        for socket in &entry.express {
            let Some(passed) = batch.end_express(*socket) else {
                continue;
            };
            let session = &mut entry.session;
            let told = catch_unwind(AssertUnwindSafe(|| session.passed(*socket, &passed)));
            is_broken |= told.is_err();
            let Ok(Some(sent)) = told else {
                continue;
            };
            let received = self.bindings.get(socket.0 as usize).copied().flatten();
            if let Some(counters) = received.and_then(|own| self.counters.get_mut(own.realm)) {
                counters.received_packets += u64::from(passed.packets);
                counters.received_bytes += passed.bytes();
            }
            let mut realms = self.realms.iter();
            let sent = realms.position(|ports| ports.realm.id == sent);
            if let Some(counters) = sent.and_then(|realm| self.counters.get_mut(realm)) {
                counters.sent_packets += u64::from(passed.packets);
                counters.sent_bytes += passed.bytes();
            }
        }
        if is_broken {
            self.bury(at, now, batch);
        }
    }

    /// Has the interface forward what it may of a session: what it did before, and the packets of the socket `next`.
    pub(super) fn begin_express(
        &mut self,
        at: usize,
        next: Option<SocketId>,
        now: Timestamp,
        batch: &mut impl Batch,
    ) {
        if !batch.has_express() {
            return;
        }
        let Some(Some(entry)) = self.entries.get_mut(at) else {
            return;
        };
        if let Some(next) = next.filter(|next| !entry.express.contains(next)) {
            entry.express.push(next);
        }
        let session = &entry.session;
        entry.express.retain(|socket| {
            let express = catch_unwind(AssertUnwindSafe(|| session.express(*socket, now)));
            let Some(express) = express.ok().flatten() else {
                batch.want_no_express(*socket);
                return false;
            };
            let is_seen = next == Some(*socket);
            // One for which there is no room is asked again, to be told when it wants none any more.
            batch.begin_express(*socket, &express, is_seen) || batch.is_crowded_out(*socket)
        });
    }

    /// All counters, with what passes at the moment.
    pub(super) fn with_express(&self, batch: &impl Batch) -> Vec<RealmCounters> {
        let mut counters = self.counters.clone();
        for entry in self.entries.iter().flatten() {
            for socket in &entry.express {
                let (packets, bytes) = batch.passing(*socket);
                let received = self.bindings.get(socket.0 as usize).copied().flatten();
                if let Some(own) = received.and_then(|own| counters.get_mut(own.realm)) {
                    own.received_packets += packets;
                    own.received_bytes += bytes;
                }
                let sent = entry.session.forwards_to(*socket);
                let sent = sent.and_then(|realm| self.realm_index(realm));
                if let Some(own) = sent.and_then(|realm| counters.get_mut(realm)) {
                    own.sent_packets += packets;
                    own.sent_bytes += bytes;
                }
            }
        }
        counters
    }
}
