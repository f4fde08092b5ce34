//! Requests within a dialog go where the peer said: Request-URI, route set, tags (RFC 3261 §12).

use super::{Checker, Seen, Violation};
use crate::topology;
use crate::wire::Wire;
use sbc_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Dialogs {
    /// Call-ID and the peer's tag.
    peers: BTreeMap<(String, String), Peer>,
    invite_branches: BTreeSet<String>,
    /// Call-ID and our tag.
    ours: BTreeSet<(String, String)>,
}

struct Peer {
    target: String,
    routes: Vec<String>,
    /// Branch of our INVITE that began the dialog.
    branch: String,
}

impl Checker for Dialogs {
    fn see(&mut self, at: Timestamp, seen: &Seen<'_>, out: &mut Vec<Violation>) {
        match seen {
            Seen::Heard {
                wire: Some(wire), ..
            } => self.heard(wire),
            Seen::Sent {
                wire: Some(wire), ..
            } => {
                let mut fail = |text| {
                    out.push(Violation {
                        at,
                        rule: "dialog",
                        text,
                    })
                };
                self.sent(wire, &mut fail);
            }
            _ => {}
        }
    }
}

impl Dialogs {
    fn heard(&mut self, wire: &Wire) {
        let Some((_, method)) = wire.cseq() else {
            return;
        };
        if method != "INVITE" {
            return;
        }
        let is_request = wire.status().is_none();
        if wire
            .status()
            .is_some_and(|status| status <= 100 || status >= 300)
        {
            return;
        }
        let tag = wire
            .tag(if is_request { "From" } else { "To" })
            .unwrap_or_default();
        let Some(target) = wire.contact() else { return };
        let key = (wire.call_id().to_owned(), tag.to_owned());
        let mut routes = wire.values("Record-Route");
        // Nobody is sent to by himself.
        routes.retain(|route| !route.contains(topology::PROXY));
        if !is_request {
            routes.reverse();
        }
        let branch = wire.branch().to_owned();
        match self.peers.get_mut(&key) {
            // A provisional that arrives after the answer changes nothing any more.
            Some(_) if wire.status().is_some_and(|status| status < 200) => {}
            // A re-INVITE, ours or theirs, refreshes the target only; the route set stays (§12.2).
            Some(peer) if is_request || peer.branch != branch => peer.target = target,
            _ => {
                let peer = Peer {
                    target,
                    routes,
                    branch,
                };
                self.peers.insert(key, peer);
            }
        }
    }

    fn sent(&mut self, wire: &Wire, fail: &mut impl FnMut(String)) {
        if wire.status().is_some() {
            if let Some(tag) = wire.tag("To") {
                self.ours
                    .insert((wire.call_id().to_owned(), tag.to_owned()));
            }
            return;
        }
        let method = wire.method().unwrap_or_default();
        let from = wire.tag("From").unwrap_or_default().to_owned();
        let ours = (wire.call_id().to_owned(), from);
        let Some(tag) = wire.tag("To") else {
            if method == "INVITE" {
                self.invite_branches.insert(wire.branch().to_owned());
            }
            self.ours.insert(ours);
            return;
        };
        let is_refusal_ack = method == "ACK" && self.invite_branches.contains(wire.branch());
        if is_refusal_ack || method == "CANCEL" {
            return;
        }
        if method == "INVITE" {
            self.invite_branches.insert(wire.branch().to_owned());
        }
        if !self.ours.contains(&ours) {
            fail(format!("{}: From tag was never ours", wire.first));
        }
        let key = (wire.call_id().to_owned(), tag.to_owned());
        let Some(peer) = self.peers.get(&key) else {
            return fail(format!("{}: nobody has To tag {tag}", wire.first));
        };
        if wire.request_uri() != peer.target {
            fail(format!(
                "{}: Request-URI is not the remote target {}",
                wire.first, peer.target
            ));
        }
        let routes = wire.values("Route");
        if routes != peer.routes {
            fail(format!(
                "{}: Route {routes:?} is not the route set {:?}",
                wire.first, peer.routes
            ));
        }
    }
}
