//! Datagrams of one listener: exact bind, answers from the same socket, read by a shard while it waits.

use super::{Shared, options, returned};
use crate::daemon::inbox::Inbox;
use crate::daemon::poller::{Source, Token};
use crate::sink::metrics::ListenerMetrics;
use bytes::Bytes;
use rustix::fd::BorrowedFd;
use sbc_core::config::Config;
use sbc_core::id::{FlowId, ListenerName, ShardId, TransactionId};
use sbc_core::transport::framer::is_keep_alive;
use sbc_core::transport::stun::is_stun;
use sbc_core::transport::{Flow, FlowFault, Protocol};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Largest datagram (SIP-111).
const MAX_DATAGRAM: usize = 65_535;
/// Datagrams read at once; what is left waits until the shard has looked at its inbox.
const BATCH: usize = 256;
/// Remote addresses whose flow ids are kept; only peers of trunks get one.
const MAX_FLOWS: usize = 65_536;
/// Datagrams of ours that came back and are looked at in one turn.
const MAX_RETURNED: usize = 64;
/// Datagrams that may wait for room in the socket.
const MAX_LATE: usize = 1024;

/// One bound UDP socket.
pub(super) struct Udp {
    name: ListenerName,
    socket: UdpSocket,
    local: SocketAddr,
    flows: Mutex<HashMap<SocketAddr, FlowId>>,
    metrics: Arc<ListenerMetrics>,
    /// What the kernel had no room for, in order.
    late: Mutex<VecDeque<Late>>,
    /// Who reads it, once it is served.
    reader: OnceLock<(Arc<Inbox>, Token)>,
    /// Set when the listener is no longer configured: the configuration it retired with.
    retired: OnceLock<Arc<Config>>,
}

/// A datagram that waits for room.
struct Late {
    remote: SocketAddr,
    bytes: Bytes,
    owner: Option<(ShardId, TransactionId)>,
}

/// What a shard serves.
struct Reader {
    udp: Arc<Udp>,
    shared: Arc<Shared>,
    buffer: Mutex<Vec<u8>>,
}

impl Udp {
    /// Binds.
    pub(super) fn bind(
        name: ListenerName,
        bind: SocketAddr,
        dscp: u8,
        metrics: Arc<ListenerMetrics>,
    ) -> io::Result<Arc<Self>> {
        Self::over(name, options::udp(bind, dscp)?, metrics)
    }

    /// The same with a socket that is bound.
    pub(super) fn over(
        name: ListenerName,
        socket: UdpSocket,
        metrics: Arc<ListenerMetrics>,
    ) -> io::Result<Arc<Self>> {
        returned::want(&socket);
        let local = socket.local_addr()?;
        Ok(Arc::new(Self {
            name,
            socket,
            local,
            flows: Mutex::new(HashMap::new()),
            metrics,
            late: Mutex::default(),
            reader: OnceLock::new(),
            retired: OnceLock::new(),
        }))
    }

    /// What it sends bears this code point from now on.
    pub(super) fn mark(&self, dscp: u8) {
        options::mark(&self.socket, self.local, dscp);
    }

    /// Lets a shard read it from now on.
    pub(super) fn serve(self: &Arc<Self>, shared: &Arc<Shared>) {
        let Some(inbox) = shared.inboxes.reader_of(&self.name) else {
            return;
        };
        let reader = Reader {
            udp: Arc::clone(self),
            shared: Arc::clone(shared),
            buffer: Mutex::new(vec![0; MAX_DATAGRAM]),
        };
        match inbox.poller().add(Arc::new(reader)) {
            Ok(token) => {
                let waiting = self.waiting();
                let _ = self.reader.set((Arc::clone(inbox), token));
                // What was sent before may have found no room.
                if !waiting.is_empty() {
                    self.want_room(true);
                }
            }
            Err(error) => shared
                .log
                .error("udp_serve", "cannot wait for datagrams")
                .with("listener", &self.name)
                .with("why", &error)
                .send(),
        }
    }

    /// Is read no more.
    pub(super) fn stop(&self) {
        if let Some((inbox, token)) = self.reader.get() {
            inbox.poller().remove(*token);
        }
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

    fn receive(&self, shared: &Arc<Shared>, buffer: &mut [u8]) {
        for count in 0..BATCH {
            match self.socket.recv_from(buffer) {
                Ok((length, remote)) => {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    // One datagram must not take the shard's thread with it.
                    let done = catch_unwind(AssertUnwindSafe(|| {
                        self.datagram(shared, datagram, remote);
                    }));
                    if done.is_err() {
                        shared.metrics.panics.with_label_values(&["net"]).inc();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // We were woken for something.
                    if count == 0 {
                        self.take_back(shared);
                    }
                    return;
                }
                // An ICMP error of an earlier send; the socket itself is fine.
                Err(error) if is_of_peer(&error) => self.take_back(shared),
                Err(error) => {
                    shared
                        .log
                        .error("udp_receive", "cannot receive datagrams")
                        .with("listener", &self.name)
                        .with("why", &error)
                        .send();
                    return;
                }
            }
        }
    }

    /// Tells whoever sent what has come back.
    fn take_back(&self, shared: &Shared) {
        for _ in 0..MAX_RETURNED {
            let Some((start, why)) = returned::next(&self.socket) else {
                return;
            };
            shared.returned(start, FlowFault::Connect(why.to_string()));
        }
    }

    fn datagram(&self, shared: &Arc<Shared>, datagram: &[u8], remote: SocketAddr) {
        if shared.is_banned(remote.ip()) {
            return shared.banned(&self.name, Protocol::Udp, remote);
        }
        let state = shared.state.load();
        let config = self.retired.get().unwrap_or(&state.config);
        if !shared.admits(config, &self.name, remote.ip()) {
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
            tls: None,
        };
        if is_stun(datagram) {
            return shared.stun(flow, datagram);
        }
        let bytes = Bytes::copy_from_slice(datagram);
        if self.retired.get().is_some() {
            shared.message_of_retired(&flow, &self.metrics, bytes);
        } else {
            shared.message(&flow, &self.metrics, bytes, |_| {});
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

    /// Sends one datagram. If the socket has no room, it waits behind those that wait already; few
    /// may, because datagrams can be lost anyway and their transactions repeat them.
    pub(super) fn send(
        &self,
        shared: &Shared,
        remote: SocketAddr,
        bytes: Bytes,
        owner: Option<(ShardId, TransactionId)>,
    ) {
        let late = Late {
            remote,
            bytes,
            owner,
        };
        let mut waiting = self.waiting();
        let late = match waiting.is_empty() {
            true => match self.attempt(shared, late) {
                Some(late) => late,
                None => return,
            },
            false => late,
        };
        if waiting.len() < MAX_LATE {
            waiting.push_back(late);
            // Not after the lock: the reader might just have found nothing and say so later than we.
            self.want_room(true);
        }
    }

    /// Sends what waits, as far as there is room.
    fn send_late(&self, shared: &Shared) {
        let mut waiting = self.waiting();
        while let Some(late) = waiting.pop_front() {
            if let Some(late) = self.attempt(shared, late) {
                waiting.push_front(late);
                return;
            }
        }
        self.want_room(false);
    }

    /// Gives a datagram to the kernel, or back if there is no room.
    fn attempt(&self, shared: &Shared, late: Late) -> Option<Late> {
        let mut sent = self.socket.send_to(&late.bytes, late.remote);
        if sent.as_ref().is_err_and(is_of_peer) {
            // Mostly the error of an earlier datagram, to somebody else; this one was not sent.
            self.take_back(shared);
            sent = self.socket.send_to(&late.bytes, late.remote);
        }
        match sent {
            Ok(_) => self.metrics.sent(&late.bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(late),
            Err(error) => {
                if let Some((shard, transaction)) = late.owner {
                    let fault = FlowFault::Broken(error.to_string());
                    shared.send_failed(shard, transaction, fault);
                }
            }
        }
        None
    }

    fn want_room(&self, is_wanted: bool) {
        if let Some((inbox, token)) = self.reader.get() {
            inbox.poller().want_write(*token, is_wanted);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Late>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Reader {
    fn fd(&self) -> BorrowedFd<'_> {
        self.udp.socket.as_fd()
    }

    fn serve(&self) {
        if !self.udp.waiting().is_empty() {
            self.udp.send_late(&self.shared);
        }
        // Only one thread serves, so nobody else waits for the buffer.
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        self.udp.receive(&self.shared, &mut buffer);
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
