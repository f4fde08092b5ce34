//! Datagram sockets to send through: those of the configured listeners, and those that only serve
//! out their dialogs after a reload took their listener away (OPS-121).

use super::udp::Udp;
use sbc_core::id::ListenerName;
use sbc_core::transport::Hop;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// A snapshot; replaced as a whole.
#[derive(Clone, Default)]
pub(super) struct Sockets {
    serving: HashMap<ListenerName, Arc<Udp>>,
    retired: Vec<Arc<Udp>>,
}

impl Sockets {
    /// The same retired sockets and `gone`, beside these of the listeners.
    pub(super) fn with(
        &self,
        serving: HashMap<ListenerName, Arc<Udp>>,
        gone: impl IntoIterator<Item = Arc<Udp>>,
    ) -> Self {
        Self {
            serving,
            retired: self.retired.iter().cloned().chain(gone).collect(),
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Udp>> {
        self.serving.values().chain(&self.retired)
    }

    /// The same and one more that is retired.
    pub(super) fn and_retired(&self, socket: Arc<Udp>) -> Self {
        let mut more = self.clone();
        more.retired.push(socket);
        more
    }

    /// The same without a socket whose retirement is over.
    pub(super) fn without(&self, over: &Arc<Udp>) -> Self {
        let mut rest = self.clone();
        rest.retired.retain(|socket| !Arc::ptr_eq(socket, over));
        rest
    }

    /// What a message leaves from: the socket that its request came to (RFC 3581 §4); else the one of
    /// the listener; else the one that the listener had last.
    pub(super) fn of(&self, hop: &Hop) -> Option<&Arc<Udp>> {
        let came_to = hop.flow.and_then(|flow| {
            let mut retired = self.retired.iter();
            retired.find(|socket| socket.has_flow(hop.remote, flow))
        });
        let last = || {
            let mut retired = self.retired.iter().rev();
            retired.find(|socket| socket.name() == &hop.listener)
        };
        came_to
            .or_else(|| self.serving.get(&hop.listener))
            .or_else(last)
    }

    /// The listener that is gone and whose dialogs are still served on this address.
    pub(super) fn retired_at(&self, address: SocketAddr) -> Option<&ListenerName> {
        let mut retired = self.retired.iter();
        let found = retired.find(|socket| socket.local() == address);
        found.map(|socket| socket.name())
    }
}
