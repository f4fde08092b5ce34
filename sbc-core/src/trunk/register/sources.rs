//! From where a registrar calls: any server of it may, also one that was never asked (SIP-1624), and one of them that the
//! network calls unreachable is asked for another way (SIP-1625).

use super::{Registering, Registrations};
use crate::config::TargetAddress;
use crate::id::QueryId;
use crate::plane::{Asker, Cx};
use crate::query::Outcome;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// Names of a registrar whose servers are looked for while the registration stands.
#[derive(Default)]
pub(super) struct Siblings {
    waiting: VecDeque<TargetAddress>,
    asked: Option<(QueryId, TargetAddress)>,
}

impl Registrations {
    /// The network has given back a request of ours over UDP to this address. Its registrar may be gone, and another one
    /// be there.
    pub(crate) fn unreachable(&mut self, cx: &mut Cx<'_>, remote: SocketAddr) {
        for (id, one) in &mut self.all {
            let held = one.held.as_mut();
            let held =
                held.filter(|own| own.remote == remote && !own.target.protocol.is_reliable());
            // Of many requests each may come back: that is one loss.
            let is_news = held.is_some_and(|own| !std::mem::replace(&mut own.is_unreachable, true));
            if is_news && one.way_lost(cx) {
                self.due.push(one.due, *id);
            }
        }
    }
}

impl Registering {
    /// Looks for the servers of those names that nobody had to be asked for in this round.
    pub(super) fn look_around(&mut self, cx: &mut Cx<'_>, id: u32) {
        self.siblings.waiting = std::mem::take(&mut self.names);
        self.look_on(cx, id);
    }

    fn look_on(&mut self, cx: &mut Cx<'_>, id: u32) {
        self.siblings.asked = None;
        while let Some(target) = self.siblings.waiting.pop_front() {
            let fixed = self.style.fixed_addresses(&target);
            if fixed.is_empty() {
                let query = cx.locate(Asker::Registration(id), self.style.locate(&target));
                self.siblings.asked = Some((query, target));
                return;
            }
            let fixed: Vec<IpAddr> = fixed.iter().map(SocketAddr::ip).collect();
            self.found(cx, &target.host, fixed);
        }
    }

    /// The answer to a query of these; false if it was none.
    pub(super) fn is_looked_for(
        &mut self,
        cx: &mut Cx<'_>,
        id: u32,
        query: QueryId,
        outcome: &Outcome,
    ) -> bool {
        let asked = &mut self.siblings.asked;
        let Some((_, target)) = asked.take_if(|(own, _)| *own == query) else {
            return false;
        };
        let found: Vec<IpAddr> = match outcome {
            Outcome::Resolved(addresses) => addresses.iter().map(SocketAddr::ip).collect(),
            Outcome::Located(services) => {
                let servers = services.iter().flat_map(|service| &service.servers);
                servers
                    .flat_map(|server| server.addresses.iter().copied())
                    .collect()
            }
            // What was known is known for a day.
            Outcome::Won(_) | Outcome::Verified(_) | Outcome::ResolveFailed(_) => Vec::new(),
        };
        self.found(cx, &target.host, found);
        self.look_on(cx, id);
        true
    }

    /// Servers of a name. The sockets must let them in before they can say anything.
    pub(super) fn found(&mut self, cx: &mut Cx<'_>, host: &str, mut found: Vec<IpAddr>) {
        if self.strangers.iter().any(|own| own == host) {
            found.retain(|source| self.is_peer(*source));
        }
        self.note_sources(cx, found);
        let known = &self.standing.sources;
        if self.sources.keys().any(|source| !known.contains(source)) {
            let state = self.standing.state;
            let because = format!("{host} has been found");
            self.tell(cx, state, None, &because);
        }
    }
}
