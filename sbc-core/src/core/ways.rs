//! Ways between peers and us: keep-alives, and connections that serve both directions.

use super::{Core, dropped};
use crate::config::Trunk;
use crate::effect::{Effect, Effects, KeepAlive};
use crate::event::DropCode;
use crate::sip::Message;
use crate::time::Now;
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
