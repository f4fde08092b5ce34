//! Where a message goes.

use crate::id::{FlowId, ListenerName, TlsContextName};
use crate::transport::{FlowKey, Protocol};
use media_api::wire::{Reader, Wire, WireFault, Writer};
use media_api::wire_layout;
use std::net::SocketAddr;
use std::sync::Arc;

/// The transport-level next hop of one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hop {
    /// Listener of ours whose address and identity is used.
    pub listener: ListenerName,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Where to send, or connect.
    pub remote: SocketAddr,
    /// TLS details; present exactly when the protocol is TLS.
    pub tls: Option<Arc<TlsHop>>,
    /// A flow to use if it still lives; responses go back on the flow of their request (SIP-103).
    pub flow: Option<FlowId>,
}

/// How a TLS connection to a hop is opened and checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TlsHop {
    /// Our identity and trust store.
    pub context: TlsContextName,
    /// Name sent as SNI.
    pub server_name: String,
    /// Names of which the peer's certificate must carry one (SIP-131, TDR-TLS-011); a leading
    /// `*.` stands for one label. Empty means: the server name.
    pub accept_names: Vec<String>,
    /// A connection that the peer has opened will do, if it allows that (RFC 5923 §8).
    pub takes_alias: bool,
}

impl Hop {
    /// Key under which a connection to this hop is shared.
    pub fn key(&self) -> FlowKey {
        FlowKey {
            listener: self.listener.clone(),
            protocol: self.protocol,
            remote: self.remote,
            tls: self.tls.clone(),
        }
    }
}

wire_layout! {
    struct TlsHop { context, server_name, accept_names, takes_alias }
}

/// Without the flow, which does not outlive its process.
impl Wire for Hop {
    fn put(&self, out: &mut Writer) {
        self.listener.put(out);
        self.protocol.put(out);
        self.remote.put(out);
        self.tls.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, WireFault> {
        Ok(Self {
            listener: ListenerName::take(from)?,
            protocol: Protocol::take(from)?,
            remote: SocketAddr::take(from)?,
            tls: Wire::take(from)?,
            flow: None,
        })
    }
}
