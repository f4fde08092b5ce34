//! Signalling sockets: everything between the wire and the shards' inboxes.
//!
//! ```text
//! datagram ─► udp ──────────────┐
//! accept ─► tls ─► stream ──────┼─► message ─► inbox of its shard
//! connect ─► tls ─► stream ─────┘
//! Effect::Send ─► Net::send ─► socket, or the write queue of a connection
//! ```
//!
//! Nothing here waits for a peer on behalf of another: every connection is a task with a bounded
//! queue, and a shard that sends only ever queues (SIP-124).

mod accept;
mod admission;
mod bans;
mod behind;
mod connect;
mod former;
pub(in crate::daemon) mod inherited;
pub(crate) mod options;
mod patience;
mod pool;
mod renewal;
mod retirement;
mod returned;
mod sockets;
mod strangers;
mod stream;
pub mod tls;
mod trial;
mod udp;
mod unanswered;

use crate::daemon::chains::Chains;
use crate::daemon::inbox::Inboxes;
use crate::sink::log::{Log, wall_clock};
use crate::sink::metrics::{Direction, ListenerMetrics, Metrics};
use arc_swap::ArcSwap;
pub use behind::Order;
use bytes::Bytes;
pub use patience::Patience;
pub use pool::Secured;
use pool::{Found, Line, Outgoing, Pings, Pool, Queue};
use retirement::Retired;
use sbc_core::config::{Config, Listener};
use sbc_core::demux::shard_of_own;
use sbc_core::event::DropCode;
use sbc_core::id::{FlowId, ListenerName, ShardId, TlsContextName, TransactionId};
use sbc_core::input::Input;
use sbc_core::policy::ingress::{admits_registrar, admits_source};
use sbc_core::query::Runner;
use sbc_core::sip::{Limits, Message, Method, Rejected};
use sbc_core::transport::{Flow, FlowFault, Hop, PeerIdentity, Protocol};
use sbc_core::trunk::{PeerName, Standing, Standings};
use sockets::Sockets;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
pub use strangers::Stranger;
use strangers::Strangers;
use tls::{Chain, Refusal, TlsStore};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
pub use trial::{Kept, Turns, Words};
use udp::Udp;

/// What a reload replaces as a whole.
pub(crate) struct State {
    /// The configuration in use.
    pub(crate) config: Arc<Config>,
    /// Its TLS identities.
    pub(crate) tls: Arc<TlsStore>,
}

/// What all tasks of the network share.
struct Shared {
    runtime: Handle,
    state: ArcSwap<State>,
    pool: Pool,
    sockets: ArcSwap<Sockets>,
    /// Where registrars are, as their names were resolved.
    standings: ArcSwap<Standings>,
    /// Peers of trunks that reloads took away.
    former: ArcSwap<Vec<Arc<former::Former>>>,
    /// Whom an operator keeps out.
    bans: ArcSwap<bans::Bans>,
    /// Who belongs to no trunk.
    strangers: Strangers,
    inboxes: Inboxes,
    metrics: Arc<Metrics>,
    log: Log,
    next_flow: AtomicU64,
    patience: Patience,
    /// What machines of Teams have shown.
    chains: Chains,
}

/// The signalling sockets of the process.
#[derive(Clone)]
pub struct Net {
    shared: Arc<Shared>,
    listeners: Arc<Mutex<BTreeMap<ListenerName, Running>>>,
    retired: Arc<Mutex<Vec<Retired>>>,
}

struct Running {
    listener: Arc<Listener>,
    address: SocketAddr,
    service: Service,
}

/// A socket that could not be opened.
#[derive(Debug)]
pub struct BindFault {
    /// Which listener.
    pub listener: ListenerName,
    /// Its address.
    pub address: SocketAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// What the operating system said.
    pub error: io::Error,
    /// The former listener whose calls from before a reload this daemon itself still serves there.
    pub retired: Option<ListenerName>,
    /// The listener of this daemon that has the address until the reload is done.
    pub running: Option<ListenerName>,
}

impl fmt::Display for BindFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_taken = self.error.kind() == io::ErrorKind::AddrInUse;
        let advice = match (&self.running, &self.retired) {
            (Some(present), _) if is_taken => format!(
                "; listener \"{present}\" of this daemon has it: keep that name, or choose another \
                 port"
            ),
            (None, Some(former)) if is_taken => format!(
                "; this daemon still serves calls there that its listener \"{former}\" had before \
                 a reload: name this one so, choose another port, or wait until they have ended"
            ),
            _ => bind_advice(&self.error).to_owned(),
        };
        write!(
            f,
            "listener \"{}\" cannot bind {} {}: {}{advice}",
            self.listener, self.protocol, self.address, self.error
        )
    }
}

impl std::error::Error for BindFault {}

/// What to do when an address cannot be bound.
pub(crate) fn bind_advice(why: &io::Error) -> &'static str {
    match why.kind() {
        io::ErrorKind::AddrInUse => "; another program uses this port (see ss -lnp)",
        io::ErrorKind::AddrNotAvailable => "; this host does not have the address (see ip address)",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
        _ => "",
    }
}

/// Sockets opened but not serving yet, so that a failure leaves nothing half done.
pub struct Opened(Vec<(Arc<Listener>, SocketAddr, Bound)>);

impl Opened {
    /// None.
    pub(crate) fn nothing() -> Self {
        Self(Vec::new())
    }

    fn datagrams(&self) -> impl Iterator<Item = (ListenerName, Arc<Udp>)> {
        self.0
            .iter()
            .filter_map(|(listener, _, bound)| match bound {
                Bound::Datagram(socket) => Some((listener.name.clone(), Arc::clone(socket))),
                Bound::Stream(_) => None,
            })
    }
}

enum Service {
    Datagrams(Arc<Udp>),
    Connections(JoinHandle<()>),
}

enum Bound {
    Datagram(Arc<Udp>),
    Stream(tokio::net::TcpListener),
}

impl Running {
    fn datagrams(&self) -> Option<Arc<Udp>> {
        match &self.service {
            Service::Datagrams(socket) => Some(Arc::clone(socket)),
            Service::Connections(_) => None,
        }
    }
}

impl Net {
    /// A network without listeners. Call within the runtime.
    pub fn new(
        config: Arc<Config>,
        tls: Arc<TlsStore>,
        inboxes: Inboxes,
        metrics: Arc<Metrics>,
        log: Log,
    ) -> Self {
        Self::patient(config, tls, inboxes, metrics, log, Patience::default())
    }

    /// As [`Net::new`], with times of its own.
    pub fn patient(
        config: Arc<Config>,
        tls: Arc<TlsStore>,
        inboxes: Inboxes,
        metrics: Arc<Metrics>,
        log: Log,
        patience: Patience,
    ) -> Self {
        let shared = Shared {
            runtime: Handle::current(),
            state: ArcSwap::from_pointee(State { config, tls }),
            pool: Pool::default(),
            sockets: ArcSwap::default(),
            standings: ArcSwap::default(),
            former: ArcSwap::default(),
            bans: ArcSwap::default(),
            strangers: Strangers::default(),
            inboxes,
            metrics,
            log,
            next_flow: AtomicU64::new(1),
            patience,
            chains: Chains::default(),
        };
        Self {
            shared: Arc::new(shared),
            listeners: Arc::default(),
            retired: Arc::default(),
        }
    }

    /// What machines of Teams have shown.
    pub fn chains(&self) -> &Chains {
        &self.shared.chains
    }

    /// Takes note of a registration: its registrar may send us calls.
    pub fn registration(&self, standing: &Arc<Standing>) {
        // Only the first shard registers, so nobody else changes this at the same time.
        let mut standings = Standings::clone(&self.shared.standings.load());
        standings.note(standing);
        self.shared.standings.store(Arc::new(standings));
    }

    /// Opens the sockets that `config` wants and that are not open yet.
    ///
    /// # Errors
    /// Every socket that could not be opened; the others are closed again.
    pub fn open(&self, config: &Config) -> Result<Opened, Vec<BindFault>> {
        let _runtime = self.shared.runtime.enter();
        let mut opened = Vec::new();
        let mut faults = Vec::new();
        let running = self.running();
        for listener in config.listeners.values() {
            let is_open = running.get(&listener.name).is_some_and(|present| {
                present.listener.bind == listener.bind
                    && present.listener.protocol == listener.protocol
            });
            if is_open {
                continue;
            }
            let is_served = running.values().any(|present| {
                present.listener.bind == listener.bind
                    && present.listener.protocol == listener.protocol
            });
            match self.bind(listener, is_served) {
                Ok((address, bound)) => opened.push((Arc::clone(listener), address, bound)),
                Err(error) => faults.push(BindFault {
                    listener: listener.name.clone(),
                    address: listener.bind,
                    protocol: listener.protocol,
                    error,
                    running: running
                        .iter()
                        .find(|(_, present)| {
                            present.listener.bind == listener.bind
                                && present.listener.protocol == listener.protocol
                        })
                        .map(|(name, _)| name.clone()),
                    retired: match listener.protocol {
                        Protocol::Udp => {
                            let sockets = self.shared.sockets.load();
                            sockets.retired_at(listener.bind).cloned()
                        }
                        Protocol::Tcp | Protocol::Tls => None,
                    },
                }),
            }
        }
        if faults.is_empty() {
            Ok(Opened(opened))
        } else {
            Err(faults)
        }
    }

    /// A socket that was handed to us would be read twice, where one that we bind could not be bound twice.
    fn bind(&self, listener: &Listener, is_served: bool) -> io::Result<(SocketAddr, Bound)> {
        let sockets = self.shared.sockets.load();
        let is_retired =
            listener.protocol == Protocol::Udp && sockets.retired_at(listener.bind).is_some();
        let is_served = is_served || is_retired;
        if is_served && inherited::is_for(listener) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        match listener.protocol {
            Protocol::Udp => {
                let metrics = self
                    .shared
                    .metrics
                    .net
                    .listener(&listener.name, listener.protocol);
                let name = listener.name.clone();
                let socket = match inherited::datagram(listener) {
                    Some(handed) => Udp::over(name, handed?, metrics)?,
                    None => Udp::bind(name, listener.bind, listener.dscp, metrics)?,
                };
                Ok((socket.local(), Bound::Datagram(socket)))
            }
            Protocol::Tcp | Protocol::Tls => {
                let socket = match inherited::stream(listener) {
                    Some(handed) => handed?,
                    None => options::tcp(listener.bind, listener.dscp)?,
                };
                let socket = tokio::net::TcpListener::from_std(socket)?;
                Ok((socket.local_addr()?, Bound::Stream(socket)))
            }
        }
    }

    /// Opened sockets can be sent through, and nobody reads them before [`Self::apply`]: what comes waits there.
    pub fn send_through(&self, opened: &Opened) {
        let before = self.shared.sockets.load();
        let running = self.running();
        let all = running
            .iter()
            .filter_map(|(name, present)| Some((name.clone(), present.datagrams()?)));
        let serving = all.chain(opened.datagrams()).collect();
        let sockets = before.with(serving, None);
        self.shared.sockets.store(Arc::new(sockets));
    }

    /// Puts a configuration and its identities into use: new connections and handshakes in both
    /// directions use them, live connections are not touched (OPS-121) but for those with Teams that
    /// were made with an old certificate, and those of peers whose certificate is revoked now. Opened sockets begin to serve, those no longer wanted stop
    /// taking new work.
    pub fn apply(&self, config: Arc<Config>, tls: Arc<TlsStore>, opened: Opened) {
        let known = self.shared.state.load_full();
        let tls = Arc::new(TlsStore::clone(&tls).succeeding(&known.tls));
        let before = self.shared.state.swap(Arc::new(State {
            config: Arc::clone(&config),
            tls: Arc::clone(&tls),
        }));
        self.remember(&before.config, &config);
        let all = |_: &pool::Held| true;
        self.shared.retire_renewed(&before.tls, &config, &tls, all);
        self.shared.end_revoked(&tls, all);
        let mut running = self.running();
        let gone: Vec<ListenerName> = running
            .iter()
            .filter(|(name, present)| {
                config.listeners.get(*name).is_none_or(|wanted| {
                    wanted.bind != present.listener.bind
                        || wanted.protocol != present.listener.protocol
                })
            })
            .map(|(name, _)| name.clone())
            .collect();
        let gone: Vec<Running> = gone
            .iter()
            .filter_map(|name| running.remove(name))
            .collect();
        let retired: Vec<Arc<Udp>> = gone.iter().filter_map(Running::datagrams).collect();
        for gone in gone {
            self.retire(gone, &before.config);
        }
        for (name, present) in running.iter_mut() {
            if let Some(listener) = config.listeners.get(name) {
                present.listener = Arc::clone(listener);
                if let Some(socket) = present.datagrams() {
                    socket.mark(listener.dscp);
                }
            }
        }
        // Sockets can be sent through before anybody reads them: the answer to the first datagram may
        // come at once.
        let serving = running
            .iter()
            .filter_map(|(name, present)| Some((name.clone(), present.datagrams()?)))
            .chain(opened.datagrams())
            .collect();
        let sockets = self.shared.sockets.load().with(serving, retired);
        self.shared.sockets.store(Arc::new(sockets));
        for (listener, address, bound) in opened.0 {
            running.insert(listener.name.clone(), self.serve(listener, address, bound));
        }
    }

    fn serve(&self, listener: Arc<Listener>, address: SocketAddr, bound: Bound) -> Running {
        let shared = Arc::clone(&self.shared);
        let service = match bound {
            Bound::Datagram(socket) => {
                socket.serve(&shared);
                Service::Datagrams(socket)
            }
            Bound::Stream(socket) => {
                let name = listener.name.clone();
                let task = self.shared.runtime.spawn(accept::run(shared, name, socket));
                Service::Connections(task)
            }
        };
        Running {
            listener,
            address,
            service,
        }
    }

    /// Sends one message. Never waits: what cannot be sent comes back as
    /// [`Input::SendFailed`] to the shard that sent it.
    pub fn send(
        &self,
        shard: ShardId,
        hop: &Hop,
        bytes: Bytes,
        transaction: Option<TransactionId>,
    ) {
        let owner = transaction.map(|transaction| (shard, transaction));
        if hop.protocol == Protocol::Udp {
            match self.shared.sockets.load().of(hop) {
                Some(socket) => socket.send(&self.shared, hop.remote, bytes, owner),
                None => self.failed(owner, FlowFault::NoListener),
            }
            return;
        }
        let mut outgoing = Outgoing::new(bytes, owner);
        if let Some(line) = hop.flow.and_then(|flow| self.shared.pool.by_flow(flow)) {
            match line.offer(outgoing) {
                Ok(()) => return,
                // The connection has just died: as if it had been gone already.
                Err((rest, FlowFault::Closed)) => outgoing = rest,
                Err((rest, fault)) => return self.failed(rest.owner, fault),
            }
        }
        let key = hop.key();
        // A second round only if the shared connection died between look-up and offer.
        for _ in 0..3 {
            match self.shared.pool.line_for(&key, || self.shared.new_line()) {
                Found::Failed(fault) => return self.failed(outgoing.owner, fault),
                Found::Line(line) => match self.queue(hop, &line, outgoing) {
                    Ok(()) => return,
                    Err((rest, FlowFault::Closed)) => {
                        self.shared.pool.remove(&line, Some(&key));
                        outgoing = rest;
                    }
                    Err((rest, fault)) => return self.failed(rest.owner, fault),
                },
                Found::Open(line, queue) => {
                    let offered = self.queue(hop, &line, outgoing);
                    connect::start(&self.shared, hop.clone(), line, queue);
                    if let Err((rest, fault)) = offered {
                        self.failed(rest.owner, fault);
                    }
                    return;
                }
            }
        }
        self.failed(outgoing.owner, FlowFault::Closed);
    }

    /// Queues a message on a connection that may still have to be made. Whoever sent an INVITE is told that
    /// before it can be written.
    fn queue(
        &self,
        hop: &Hop,
        line: &Line,
        mut outgoing: Outgoing,
    ) -> Result<(), (Outgoing, FlowFault)> {
        if line.will_wait(&mut outgoing)
            && let Some((shard, transaction)) = outgoing.owner
        {
            let within = connect::longest(&self.shared, hop);
            self.shared.leaves(shard, transaction, within);
        }
        line.offer(outgoing)
    }

    /// Leaves an INVITE unwritten that still waits for its connection to be made.
    pub fn withdraw(&self, shard: ShardId, hop: &Hop, transaction: TransactionId) {
        let line = self.shared.pool.by_key(&hop.key());
        if line.is_some_and(|line| line.waits_no_more((shard, transaction))) {
            self.shared
                .send_failed(shard, transaction, FlowFault::Closed);
        }
    }

    /// Sends a datagram that is no SIP message, if that is possible.
    pub fn datagram(&self, hop: &Hop, bytes: Bytes) {
        if let Some(socket) = self.shared.sockets.load().of(hop) {
            socket.send(&self.shared, hop.remote, bytes, None);
        }
    }

    /// Opens two connections to one server; says which came about first.
    pub async fn race(&self, hops: &[Hop; 2]) -> Runner {
        connect::race(&self.shared, hops).await
    }

    /// How a connection that we opened is pinged from now on.
    pub fn ping(&self, flow: FlowId, between: (Duration, Duration), is_answered: bool) {
        if let Some(line) = self.shared.pool.by_flow(flow) {
            line.ping(Pings {
                between,
                is_answered,
            });
        }
    }

    /// Requests to `remote` for names of this peer may use the connection that it has opened.
    pub fn alias(
        &self,
        flow: FlowId,
        listener: ListenerName,
        remote: SocketAddr,
        identity: &PeerIdentity,
    ) {
        let state = self.shared.state.load();
        let context = state.config.tls.get(&identity.context);
        let allow_wildcard = context.is_some_and(|context| context.allow_wildcard);
        self.shared
            .pool
            .alias(flow, listener, remote, identity, allow_wildcard);
    }

    /// The address that a listener is bound to.
    pub fn address(&self, listener: &ListenerName) -> Option<SocketAddr> {
        self.running().get(listener).map(|running| running.address)
    }

    /// Where a message to a hop leaves from: of a connection that is not there yet, the address of its listener.
    pub fn local_of(&self, hop: &Hop) -> Option<SocketAddr> {
        if hop.protocol == Protocol::Udp {
            return self.shared.sockets.load().of(hop).map(|own| own.local());
        }
        let state = self.shared.state.load();
        let listener = || state.config.listeners.get(&hop.listener);
        self.shared
            .pool
            .local_of(hop)
            .or_else(|| Some(listener()?.bind))
    }

    /// Puts identities into use with the configuration that is there.
    pub fn use_identities(&self, tls: Arc<TlsStore>) {
        self.apply(self.config(), tls, Opened::nothing());
    }

    /// The configuration in use.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.shared.state.load().config)
    }

    /// Identities in use.
    pub fn identities(&self) -> Arc<TlsStore> {
        Arc::clone(&self.shared.state.load().tls)
    }

    /// Connections that live.
    pub fn connections(&self) -> usize {
        self.shared.pool.len()
    }

    /// Connections that are open in a TLS context; the first thousand.
    pub fn secured(&self) -> Vec<Secured> {
        self.shared.pool.secured()
    }

    /// Forgets that connections to a peer, which may be at these addresses, could not be made.
    pub fn forgive(&self, peer: &PeerName, at: &[IpAddr]) {
        self.shared.pool.forgive(|key| {
            let named = match (peer, &key.tls) {
                (PeerName::Host(host), Some(tls)) => tls.server_name.eq_ignore_ascii_case(host),
                (PeerName::Host(_), None) => at.contains(&key.remote.ip()),
                (PeerName::Address(_) | PeerName::Place(_), _) => false,
            };
            named || peer.is_at(key.remote)
        });
    }

    /// Takes nothing new, writes what is queued and closes everything; at most `limit` long.
    pub async fn shutdown(&self, limit: Duration) {
        let running = std::mem::take(&mut *self.running());
        for running in running.into_values() {
            if let Service::Connections(task) = running.service {
                task.abort();
                // Its socket is closed once the task is gone, which is soon.
                let _ = task.await;
            }
        }
        self.retired().clear();
        for socket in self.shared.sockets.swap(Arc::default()).all() {
            socket.stop();
        }
        self.shared.pool.close();
        let deadline = tokio::time::Instant::now() + limit;
        while self.shared.pool.len() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn failed(&self, owner: Option<(ShardId, TransactionId)>, fault: FlowFault) {
        if let Some((shard, transaction)) = owner {
            self.shared.send_failed(shard, transaction, fault);
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, BTreeMap<ListenerName, Running>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn retired(&self) -> std::sync::MutexGuard<'_, Vec<Retired>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Whether anything of `source` is read at a listener: a trunk's peer, or its registrar, also of one that is gone.
    fn admits(&self, config: &Config, listener: &ListenerName, source: IpAddr) -> bool {
        admits_source(config, listener, source)
            || admits_registrar(config, &self.standings.load(), listener, source)
            || self.admitted(listener, source)
    }

    fn new_flow(&self) -> FlowId {
        // Ordering: only uniqueness matters.
        FlowId(self.next_flow.fetch_add(1, Ordering::Relaxed))
    }

    /// A line for a new connection, and the queue that its task reads.
    fn new_line(&self) -> (Arc<Line>, Queue) {
        let pings = Pings {
            between: self.patience.ping,
            is_answered: false,
        };
        Line::new(self.new_flow(), pings)
    }

    /// Hands a keep-alive to the shard that keeps registrations.
    fn stun(&self, flow: Flow, datagram: &[u8]) {
        if let Some(inbox) = self.inboxes.all().first() {
            let bytes = Bytes::copy_from_slice(datagram);
            // One that finds no room is repeated.
            let _ = inbox.push(Input::Stun { flow, bytes });
        }
    }

    /// Parses what arrived and hands it to its shard, after whoever has `heard` of it; `false` if it is no message.
    fn message(
        &self,
        flow: &Flow,
        metrics: &ListenerMetrics,
        bytes: Bytes,
        heard: impl FnOnce(&Message),
    ) -> bool {
        // Of a connection that we have opened ourselves; others are not read.
        if self.is_banned(flow.remote.ip()) {
            return true;
        }
        let length = bytes.len();
        match Message::parse(bytes, &Limits::default()) {
            Ok(message) => {
                metrics.received(length, !message.is_response());
                heard(&message);
                self.received(flow, message);
                true
            }
            Err(rejected) => {
                self.malformed(flow, rejected);
                false
            }
        }
    }

    /// As [`Shared::message`], on a listener that is no longer configured or a connection that has ended: only what belongs to a
    /// dialog or transaction is taken.
    fn message_of_retired(&self, flow: &Flow, metrics: &ListenerMetrics, bytes: Bytes) {
        let is_known = Message::parse(bytes.clone(), &Limits::default()).is_ok_and(|message| {
            // CANCEL has no To tag, and ends what has begun all the same (RFC 3261 §9.1).
            message.is_response()
                || message.to_tag().is_some()
                || *message.method() == Method::Cancel
        });
        if is_known {
            self.message(flow, metrics, bytes, |_| {});
        } else {
            self.metrics.net.dropped(DropCode::Stranger);
        }
    }

    fn received(&self, flow: &Flow, message: Message) {
        let Some(inbox) = self.inboxes.of_message(&message) else {
            return;
        };
        let input = Input::Received {
            flow: self.state.load().tls.present(flow),
            message,
        };
        if inbox.push(input).is_err() {
            self.overloaded(flow);
        }
    }

    fn malformed(&self, flow: &Flow, rejected: Rejected) {
        self.metrics
            .net
            .parse_error(flow.protocol, rejected.fault.rule);
        self.log
            .warn("malformed", rejected.fault)
            .with("listener", &flow.listener)
            .with("remote", flow.remote)
            .send();
        // It has no dialog that could be looked up; the first shard answers for all.
        let Some(inbox) = self.inboxes.all().first() else {
            return;
        };
        let input = Input::Malformed {
            flow: flow.clone(),
            rejected,
        };
        if inbox.push(input).is_err() {
            self.overloaded(flow);
        }
    }

    fn overloaded(&self, flow: &Flow) {
        self.metrics.net.dropped(DropCode::Overload);
        self.log
            .warn("overload", "new work refused: the shard does not keep up")
            .with("listener", &flow.listener)
            .with("remote", flow.remote)
            .send();
    }

    fn stranger(&self, listener: &ListenerName, protocol: Protocol, remote: SocketAddr) {
        self.metrics.net.dropped(DropCode::Stranger);
        self.strangers
            .note(remote.ip(), listener, protocol, Instant::now());
        self.log
            .debug("stranger", "source belongs to no trunk")
            .with("listener", listener)
            .with("protocol", protocol)
            .with("remote", remote)
            .send();
    }

    fn refused(
        &self,
        listener: &ListenerName,
        context: &TlsContextName,
        direction: Direction,
        remote: SocketAddr,
        refusal: &Refusal,
    ) {
        self.metrics
            .net
            .handshake(context, direction, refusal.label());
        if direction == Direction::In {
            self.metrics.net.refused(listener, refusal.label());
        }
        self.log
            .warn("tls_refused", refusal)
            .with("reason", refusal.label())
            .with("dir", direction.as_str())
            .with("listener", listener)
            .with("context", context)
            .with("remote", remote)
            .with("advice", refusal.advice())
            .send();
    }

    /// A peer of Teams was believed.
    fn presented(&self, direction: Direction, peer: &str, remote: SocketAddr, chain: Chain) {
        let figures = &self.metrics.chains;
        self.chains.note(
            (direction, peer, remote),
            chain,
            wall_clock(),
            (&self.log, figures),
        );
    }

    fn send_failed(&self, shard: ShardId, transaction: TransactionId, why: FlowFault) {
        if let Some(inbox) = self.inboxes.of(shard) {
            // Reports of our own side are always taken.
            let _ = inbox.push(Input::SendFailed { transaction, why });
        }
    }

    /// A datagram of ours came back.
    fn returned(&self, start: Bytes, why: FlowFault) {
        if let Some(inbox) = shard_of_own(&start).and_then(|shard| self.inboxes.of(shard)) {
            // Reports of our own side are always taken.
            let _ = inbox.push(Input::Returned { start, why });
        }
    }

    fn leaves(&self, shard: ShardId, transaction: TransactionId, within: Duration) {
        if let Some(inbox) = self.inboxes.of(shard) {
            // Reports of our own side are always taken.
            let _ = inbox.push(Input::Leaves {
                transaction,
                within,
            });
        }
    }

    fn flow_lost(&self, flow: &Flow, why: &FlowFault) {
        self.log
            .debug("flow_lost", why)
            .with("listener", &flow.listener)
            .with("remote", flow.remote)
            .send();
        for inbox in self.inboxes.all() {
            let _ = inbox.push(stream::lost(flow, why));
        }
    }
}
