//! Ways between peers and us: keep-alives, connections that serve both directions, and where responses
//! go whose connection is gone.

use super::{Core, dropped};
use crate::config::Trunk;
use crate::effect::{Effect, Effects, KeepAlive};
use crate::event::DropCode;
use crate::id::TransactionId;
use crate::locate::{Families, FamilyOrder, LocateSpec, in_order};
use crate::plane::{Asker, Cx};
use crate::query::Outcome;
use crate::sip::Message;
use crate::time::Now;
use crate::transaction::Unreturned;
use crate::transport::stun::{self, Stun};
use crate::transport::{Flow, Hop, Protocol};
use std::net::SocketAddr;
use std::sync::Arc;

impl Core {
    /// A keep-alive of a peer is answered, and an answer to one of ours taken.
    pub(super) fn stun(&mut self, now: Now, flow: &Flow, bytes: &[u8], out: &mut Effects) {
        match Stun::parse(bytes) {
            Some(Stun::Request(id)) => out.push(Effect::KeepAlive(KeepAlive::Datagram {
                hop: Hop {
                    listener: flow.listener.clone(),
                    protocol: flow.protocol,
                    remote: flow.remote,
                    tls: None,
                    flow: Some(flow.id),
                },
                bytes: stun::answer(id, flow.remote),
            })),
            Some(Stun::Answer(id, seen)) => {
                self.keep_up(now, out, |upkeep, cx| {
                    upkeep
                        .registrations
                        .stun_answered(cx, flow.remote, id, seen);
                });
            }
            None => dropped(DropCode::Malformed, flow, out),
        }
    }

    /// Asks for the servers of whom a response is for (RFC 3263 §5).
    pub(super) fn locate_way_back(&mut self, now: Now, response: &Unreturned, out: &mut Effects) {
        let plane = &mut self.plane;
        let Some(listener) = plane.config.listeners.get(&response.listener) else {
            return;
        };
        let is_v4 = listener.bind.is_ipv4();
        let spec = LocateSpec {
            domain: response.name.clone(),
            port: response.port,
            protocols: vec![response.protocol],
            is_open: false,
            families: Families {
                v4: is_v4,
                v6: !is_v4,
            },
            is_foreign: true,
        };
        Cx { now, plane, out }.locate(Asker::Response(response.id), spec);
    }

    /// Where they are.
    pub(super) fn way_back_found(
        &mut self,
        id: TransactionId,
        outcome: &Outcome,
        out: &mut Effects,
    ) {
        let plane = &mut self.plane;
        if let Outcome::Located(services) = outcome {
            let places = in_order(services, FamilyOrder::default(), &mut plane.mint);
            let addresses = places.into_iter().map(|(_, address)| address);
            plane.transactions.way_found(id, addresses, out);
        }
    }
}

/// A peer that has proven who it is may have its requests on the connection that it has opened
/// (RFC 5923 §7). Nobody else: whoever only claims an address would get what is sent to it.
pub(super) fn allow_alias(flow: &Flow, message: &Message, trunk: &Trunk, out: &mut Effects) {
    if !trunk.habits.connection_reuse || flow.protocol != Protocol::Tls {
        return;
    }
    let (Some(identity), Ok(via)) = (&flow.identity, message.top_via()) else {
        return;
    };
    if via.params.has("alias") {
        let port = via.port.unwrap_or(Protocol::Tls.default_port());
        out.push(Effect::Alias {
            flow: flow.id,
            listener: flow.listener.clone(),
            remote: SocketAddr::new(flow.remote.ip(), port),
            identity: Arc::clone(identity),
        });
    }
}
