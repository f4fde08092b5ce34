//! Datagrams of one listener: exact bind, answers from the same socket.

use super::{Shared, options};
use crate::sink::metrics::ListenerMetrics;
use bytes::Bytes;
use sbc_core::config::Config;

use sbc_core::id::{FlowId, ListenerName, ShardId, TransactionId};
use sbc_core::policy::ingress::admits_source;
use sbc_core::transport::framer::is_keep_alive;
use sbc_core::transport::{Flow, FlowFault, Protocol};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::net::UdpSocket;

/// Largest datagram (SIP-111).
const MAX_DATAGRAM: usize = 65_535;
/// Remote addresses whose flow ids are kept; only peers of trunks get one.
const MAX_FLOWS: usize = 65_536;

/// One bound UDP socket.
pub(super) struct Udp {
    name: ListenerName,
    receiver: UdpSocket,
    /// The same socket for the shard threads: a send that the kernel takes at once needs no runtime.
    sender: std::net::UdpSocket,
    local: SocketAddr,
    flows: Mutex<HashMap<SocketAddr, FlowId>>,
    metrics: Arc<ListenerMetrics>,
    /// Set when the listener is no longer configured: the configuration it retired with.
    retired: OnceLock<Arc<Config>>,
}

impl Udp {
    /// Binds.
    pub(super) fn bind(
        name: ListenerName,
        bind: SocketAddr,
        metrics: Arc<ListenerMetrics>,
    ) -> io::Result<Arc<Self>> {
        let sender = options::udp(bind)?;
        let receiver = UdpSocket::from_std(sender.try_clone()?)?;
        let local = receiver.local_addr()?;
        Ok(Arc::new(Self {
            name,
            receiver,
            sender,
            local,
            flows: Mutex::new(HashMap::new()),
            metrics,
            retired: OnceLock::new(),
        }))
    }

    pub(super) fn name(&self) -> &ListenerName {
        &self.name
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether this flow is of datagrams from there to this socket.
    pub(super) fn has_flow(&self, remote: SocketAddr, flow: FlowId) -> bool {
        let flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        flows.get(&remote) == Some(&flow)
    }

    /// The listener is gone from the configuration: dialogs that use it are served on, new ones
    /// are not (OPS-121).
    pub(super) fn retire(&self, config: Arc<Config>) {
        let _ = self.retired.set(config);
    }

    /// Receives until the task is ended.
    pub(super) async fn run(self: Arc<Self>, shared: Arc<Shared>) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            match self.receiver.recv_from(&mut buffer).await {
                Ok((length, remote)) => {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    self.datagram(&shared, datagram, remote);
                }
                // An ICMP error of an earlier send; the socket itself is fine.
                Err(error) if is_of_peer(&error) => {}
                Err(error) => {
                    shared
                        .log
                        .error("udp_receive", "cannot receive datagrams")
                        .with("listener", &self.name)
                        .with("why", &error)
                        .send();
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn datagram(&self, shared: &Arc<Shared>, datagram: &[u8], remote: SocketAddr) {
        let state = shared.state.load();
        let config = self.retired.get().unwrap_or(&state.config);
        if !admits_source(config, &self.name, remote.ip()) {
            shared.stranger(&self.name, Protocol::Udp, remote);
            return;
        }
        if is_keep_alive(datagram) {
            return;
        }
        let flow = Flow {
            id: self.flow(shared, remote),
            protocol: Protocol::Udp,
            listener: self.name.clone(),
            local: self.local,
            remote,
            identity: None,
        };
        let bytes = Bytes::copy_from_slice(datagram);
        if self.retired.get().is_some() {
            shared.message_of_retired(&flow, &self.metrics, bytes);
        } else {
            shared.message(&flow, &self.metrics, bytes);
        }
    }

    fn flow(&self, shared: &Shared, remote: SocketAddr) -> FlowId {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = flows.get(&remote) {
            return *id;
        }
        // A new id for an old address is harmless: dialogs are found by their tags (SIP-127).
        if flows.len() >= MAX_FLOWS {
            flows.clear();
        }
        let id = shared.new_flow();
        flows.insert(remote, id);
        id
    }

    /// Sends one datagram.
    pub(super) fn send(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        remote: SocketAddr,
        bytes: Bytes,
        owner: Option<(ShardId, TransactionId)>,
    ) {
        let fault = match self.sender.send_to(&bytes, remote) {
            Ok(_) => {
                self.metrics.sent(&bytes);
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.send_later(shared, remote, bytes, owner);
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                // The error of an earlier datagram to somebody else; this one was not sent.
                match self.sender.send_to(&bytes, remote) {
                    Ok(_) => {
                        self.metrics.sent(&bytes);
                        return;
                    }
                    Err(error) => FlowFault::Broken(error.to_string()),
                }
            }
            Err(error) => FlowFault::Broken(error.to_string()),
        };
        if let Some((shard, transaction)) = owner {
            shared.send_failed(shard, transaction, fault);
        }
    }

    /// The socket's buffer is full: wait for room outside the shard. Datagrams may be lost, and
    /// their transactions repeat them, so few may wait.
    fn send_later(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        remote: SocketAddr,
        bytes: Bytes,
        owner: Option<(ShardId, TransactionId)>,
    ) {
        let Ok(permit) = Arc::clone(&shared.late_datagrams).try_acquire_owned() else {
            return;
        };
        let this = Arc::clone(self);
        let shared_in_task = Arc::clone(shared);
        shared.runtime.spawn(async move {
            let _permit = permit;
            match this.receiver.send_to(&bytes, remote).await {
                Ok(_) => this.metrics.sent(&bytes),
                Err(error) => {
                    if let Some((shard, transaction)) = owner {
                        let fault = FlowFault::Broken(error.to_string());
                        shared_in_task.send_failed(shard, transaction, fault);
                    }
                }
            }
        });
    }
}

fn is_of_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}
