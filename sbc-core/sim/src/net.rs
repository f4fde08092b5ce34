//! The network between the SBC and its peers: datagrams that get lost, and connections that do
//! not lose but break.
//!
//! The network decides when bytes arrive and keeps connections; it moves nothing itself. Connections
//! of the SBC are shared by `FlowKey`, as in the daemon.

use crate::agenda::Agenda;
use crate::dice::Dice;
use crate::fault::{ActorIndex, Fault, Trouble};
use crate::topology;
use crate::wire::Splitter;
use sbc_core::id::{FlowId, ListenerName, ShardId, TlsContextName, TransactionId};
use sbc_core::sip::Limits;
use sbc_core::time::Timestamp;
use sbc_core::transport::framer::Framer;
use sbc_core::transport::{Flow, FlowFault, FlowKey, Hop, PeerIdentity, Protocol};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Name of a connection.
pub(crate) type ConnectionId = u64;

/// Something on its way.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A datagram.
    Datagram {
        to_sbc: bool,
        actor: ActorIndex,
        bytes: Vec<u8>,
    },
    /// A piece of a stream.
    Segment {
        connection: ConnectionId,
        to_sbc: bool,
        bytes: Vec<u8>,
    },
    /// A connection is set up, or is not.
    Opened {
        connection: ConnectionId,
        fault: Option<FlowFault>,
    },
}

/// A connection between an actor and the SBC.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) actor: ActorIndex,
    pub(crate) flow: Flow,
    pub(crate) framer: Framer,
    pub(crate) splitter: Splitter,
    pub(crate) state: ConnectionState,
    key: Option<FlowKey>,
    server_name: Option<String>,
    last_to_sbc: Timestamp,
    last_to_actor: Timestamp,
}

#[derive(Debug)]
pub(crate) enum ConnectionState {
    /// Being set up; what waits for it.
    Opening(Vec<Waiting>),
    Up,
    Gone,
}

/// A message that waits for a connection.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) bytes: Vec<u8>,
    pub(crate) owner: Option<(ShardId, TransactionId)>,
}

/// What the SBC learns at once when it sends.
#[derive(Debug, PartialEq)]
pub(crate) enum Sending {
    /// On its way, or lost on it.
    Gone,
    /// Nothing can reach this hop.
    Failed(FlowFault),
}

/// The network.
pub(crate) struct Net {
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    flows: BTreeMap<ActorIndex, FlowId>,
    next: u64,
    latency: Duration,
    jitter: Duration,
    links: Vec<Dice>,
    seen: BTreeSet<u64>,
    listeners: Vec<(Protocol, ListenerName, SocketAddr)>,
}

impl Net {
    pub(crate) fn new(seed: u64, latency: Duration, jitter: Duration) -> Self {
        let links = (0..topology::ACTORS).map(|n| Dice::new(seed, &format!("link {n}")));
        let listeners = [Protocol::Udp, Protocol::Tcp, Protocol::Tls]
            .map(|p| (p, topology::listener_name(p), topology::listener_address(p)));
        Self {
            connections: BTreeMap::new(),
            flows: BTreeMap::new(),
            next: 0,
            latency,
            jitter,
            links: links.collect(),
            seen: BTreeSet::new(),
            listeners: listeners.into(),
        }
    }

    fn name(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn one_way(&mut self, actor: ActorIndex) -> Duration {
        self.latency + self.links[actor].between(Duration::ZERO, self.jitter)
    }

    /// The flow on which an actor's datagrams arrive.
    pub(crate) fn datagram_flow(&mut self, actor: ActorIndex) -> Flow {
        let id = match self.flows.get(&actor) {
            Some(id) => *id,
            None => {
                let id = FlowId(self.name());
                self.flows.insert(actor, id);
                id
            }
        };
        Flow {
            id,
            protocol: Protocol::Udp,
            listener: topology::listener_name(Protocol::Udp),
            local: topology::listener_address(Protocol::Udp),
            remote: topology::peer(actor).address,
            identity: None,
            tls: None,
        }
    }

    /// Puts a datagram on its way: none, one or two copies.
    pub(crate) fn datagram(
        &mut self,
        now: Timestamp,
        actor: ActorIndex,
        to_sbc: bool,
        bytes: &[u8],
        faults: &[Fault],
        agenda: &mut Agenda<Arrival>,
    ) {
        let at = now.since(Timestamp::ZERO);
        let (mut copies, mut extra) = (1, Duration::ZERO);
        let hash = fingerprint(to_sbc, bytes);
        let is_first = self.seen.insert(hash);
        for fault in faults.iter().filter(|fault| fault.is_on(at)) {
            let dice = &mut self.links[actor];
            match fault.trouble {
                Trouble::Loss { actor: a, percent } if a == actor && dice.chance(percent) => {
                    copies = 0
                }
                Trouble::LoseFirst { actor: a } if a == actor && is_first => copies = 0,
                Trouble::Partition { actor: a } if a == actor => copies = 0,
                Trouble::Duplication { actor: a, percent }
                    if a == actor && dice.chance(percent) =>
                {
                    copies *= 2;
                }
                Trouble::Reordering { actor: a, percent } if a == actor && dice.chance(percent) => {
                    extra = dice.between(Duration::from_millis(1), Duration::from_secs(1));
                }
                _ => {}
            }
        }
        for _ in 0..copies {
            let delay = self.one_way(actor) + extra;
            let bytes = bytes.to_vec();
            agenda.note(
                now + delay,
                Arrival::Datagram {
                    to_sbc,
                    actor,
                    bytes,
                },
            );
        }
    }

    /// Sends for the SBC.
    pub(crate) fn send(
        &mut self,
        now: Timestamp,
        hop: &Hop,
        waiting: Waiting,
        faults: &[Fault],
        agenda: &mut Agenda<Arrival>,
    ) -> Sending {
        let known = self
            .listeners
            .iter()
            .any(|(p, name, _)| *p == hop.protocol && *name == hop.listener);
        if !known {
            return Sending::Failed(FlowFault::NoListener);
        }
        let actor = actor_at(hop.remote);
        if hop.protocol == Protocol::Udp {
            if let Some(actor) = actor {
                self.datagram(now, actor, false, &waiting.bytes, faults, agenda);
            }
            return Sending::Gone;
        }
        let connection = match self.usable(hop) {
            Some(connection) => connection,
            None => self.open_for_sbc(now, hop, actor, faults, agenda),
        };
        self.queue(now, connection, false, waiting, faults, agenda);
        Sending::Gone
    }

    fn usable(&self, hop: &Hop) -> Option<ConnectionId> {
        let lives = |c: &Connection| !matches!(c.state, ConnectionState::Gone);
        if let Some(flow) = hop.flow
            && self.connections.get(&flow.0).is_some_and(lives)
        {
            return Some(flow.0);
        }
        let key = hop.key();
        let fits = |c: &Connection| lives(c) && c.key.as_ref() == Some(&key);
        self.connections
            .iter()
            .find(|(_, c)| fits(c))
            .map(|(id, _)| *id)
    }

    fn open_for_sbc(
        &mut self,
        now: Timestamp,
        hop: &Hop,
        actor: Option<ActorIndex>,
        faults: &[Fault],
        agenda: &mut Agenda<Arrival>,
    ) -> ConnectionId {
        let listens = actor.filter(|a| topology::peer(*a).protocol == hop.protocol);
        let at = now.since(Timestamp::ZERO);
        let mut fault = match listens {
            None => Some(FlowFault::Connect("connection refused".to_owned())),
            Some(_) => None,
        };
        let round = 2 * self.one_way(actor.unwrap_or(0));
        let mut delay = if hop.protocol == Protocol::Tls {
            2 * round
        } else {
            round
        };
        for trouble in faults.iter().filter(|f| f.is_on(at)).map(|f| &f.trouble) {
            match trouble {
                Trouble::Refuse { actor } if listens == Some(*actor) => {
                    fault = Some(FlowFault::Connect("connection refused".to_owned()));
                }
                Trouble::Partition { actor } if listens == Some(*actor) => {
                    fault = Some(FlowFault::ConnectTimeout);
                    delay = Duration::from_secs(4);
                }
                _ => {}
            }
        }
        let identity = hop.tls.as_ref().map(|tls| {
            let presented = listens
                .map(|a| topology::peer(a).certificate)
                .unwrap_or_default();
            let wanted = if tls.accept_names.is_empty() {
                std::slice::from_ref(&tls.server_name)
            } else {
                &tls.accept_names
            };
            if fault.is_none() && !wanted.iter().any(|name| presented.contains(name)) {
                fault = Some(FlowFault::TlsName {
                    wanted: tls.server_name.clone(),
                    presented: presented.clone(),
                });
            }
            Arc::new(PeerIdentity {
                context: tls.context.clone(),
                names: presented,
                server_name: None,
            })
        });
        let id = self.name();
        let flow = Flow {
            id: FlowId(id),
            protocol: hop.protocol,
            listener: hop.listener.clone(),
            local: SocketAddr::new(
                topology::listener_address(hop.protocol).ip(),
                32_000 + id as u16,
            ),
            remote: hop.remote,
            identity,
            tls: None,
        };
        let connection = Connection::new(actor.unwrap_or(0), flow, Some(hop.key()), None, now);
        self.connections.insert(id, connection);
        agenda.note(
            now + delay,
            Arrival::Opened {
                connection: id,
                fault,
            },
        );
        id
    }

    /// Opens a connection for an actor, or finds an open one.
    pub(crate) fn open_for_actor(
        &mut self,
        now: Timestamp,
        actor: ActorIndex,
        server_name: Option<&str>,
        fresh: bool,
        agenda: &mut Agenda<Arrival>,
    ) -> Option<ConnectionId> {
        let peer = topology::peer(actor);
        let usable = |c: &Connection| {
            c.actor == actor
                && c.key.is_none()
                && c.server_name.as_deref() == server_name
                && !matches!(c.state, ConnectionState::Gone)
        };
        if !fresh && let Some((id, _)) = self.connections.iter().find(|(_, c)| usable(c)) {
            return Some(*id);
        }
        let identity = match peer.protocol {
            Protocol::Udp => return None,
            Protocol::Tcp => None,
            Protocol::Tls => {
                let tenant = (0..topology::TENANTS.len())
                    .find(|t| Some(topology::fqdn(*t).as_str()) == server_name)
                    .unwrap_or(0);
                let context = TlsContextName::new(topology::TENANTS[tenant]);
                Some(Arc::new(PeerIdentity {
                    context,
                    names: peer.certificate,
                    server_name: server_name.map(str::to_owned),
                }))
            }
        };
        let id = self.name();
        let flow = Flow {
            id: FlowId(id),
            protocol: peer.protocol,
            listener: topology::listener_name(peer.protocol),
            local: topology::listener_address(peer.protocol),
            remote: SocketAddr::new(peer.address.ip(), 40_000 + id as u16),
            identity,
            tls: None,
        };
        let name = server_name.map(str::to_owned);
        self.connections
            .insert(id, Connection::new(actor, flow, None, name, now));
        let delay = 4 * self.one_way(actor);
        agenda.note(
            now + delay,
            Arrival::Opened {
                connection: id,
                fault: None,
            },
        );
        Some(id)
    }

    /// Writes to a connection, or keeps the message until it is up.
    pub(crate) fn queue(
        &mut self,
        now: Timestamp,
        id: ConnectionId,
        to_sbc: bool,
        waiting: Waiting,
        faults: &[Fault],
        agenda: &mut Agenda<Arrival>,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match &mut connection.state {
            ConnectionState::Opening(queue) => queue.push(waiting),
            ConnectionState::Up => self.write(now, id, to_sbc, &waiting.bytes, faults, agenda),
            ConnectionState::Gone => {}
        }
    }

    /// Puts bytes of a stream on their way: cut anywhere, in order, never lost.
    fn write(
        &mut self,
        now: Timestamp,
        id: ConnectionId,
        to_sbc: bool,
        bytes: &[u8],
        faults: &[Fault],
        agenda: &mut Agenda<Arrival>,
    ) {
        let Some(actor) = self.connections.get(&id).map(|c| c.actor) else {
            return;
        };
        let delay = self.one_way(actor);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let dice = &mut self.links[actor];
        let mut at = now + delay;
        for fault in faults
            .iter()
            .filter(|f| f.is_on(now.since(Timestamp::ZERO)))
        {
            if matches!(fault.trouble, Trouble::Partition { actor: a } if a == actor) {
                at = at.max(Timestamp::ZERO + fault.until + delay);
            }
        }
        let last = if to_sbc {
            &mut connection.last_to_sbc
        } else {
            &mut connection.last_to_actor
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let cut = if dice.chance(70) {
                rest.len()
            } else {
                1 + dice.below(rest.len())
            };
            let (piece, after) = rest.split_at(cut);
            rest = after;
            at = at.max(*last + Duration::from_micros(1));
            *last = at;
            let bytes = piece.to_vec();
            agenda.note(
                at,
                Arrival::Segment {
                    connection: id,
                    to_sbc,
                    bytes,
                },
            );
        }
    }

    /// A connection came up: what waited is written.
    pub(crate) fn opened(
        &mut self,
        now: Timestamp,
        id: ConnectionId,
        faults: &[Fault],
        agenda: &mut Agenda<Arrival>,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let to_sbc = connection.key.is_none();
        let before = std::mem::replace(&mut connection.state, ConnectionState::Up);
        match before {
            ConnectionState::Opening(queue) => {
                for waiting in queue {
                    self.write(now, id, to_sbc, &waiting.bytes, faults, agenda);
                }
            }
            ConnectionState::Up => {}
            ConnectionState::Gone => connection.state = ConnectionState::Gone,
        }
    }

    /// Ends a connection; what waited for it, if it was not up yet. `None` if it was gone already.
    pub(crate) fn close(&mut self, id: ConnectionId) -> Option<(bool, Vec<Waiting>)> {
        let connection = self.connections.get_mut(&id)?;
        match std::mem::replace(&mut connection.state, ConnectionState::Gone) {
            ConnectionState::Opening(queue) => Some((false, queue)),
            ConnectionState::Up => Some((true, Vec::new())),
            ConnectionState::Gone => None,
        }
    }

    /// Connections of an actor that are not gone.
    pub(crate) fn connections_of(&self, actor: ActorIndex) -> Vec<ConnectionId> {
        let lives = |c: &Connection| c.actor == actor && !matches!(c.state, ConnectionState::Gone);
        self.connections
            .iter()
            .filter(|(_, c)| lives(c))
            .map(|(id, _)| *id)
            .collect()
    }
}

impl Connection {
    fn new(
        actor: ActorIndex,
        flow: Flow,
        key: Option<FlowKey>,
        server_name: Option<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            actor,
            flow,
            framer: Framer::new(Limits::default()),
            splitter: Splitter::default(),
            state: ConnectionState::Opening(Vec::new()),
            key,
            server_name,
            last_to_sbc: now,
            last_to_actor: now,
        }
    }
}

/// The actor at an address.
pub(crate) fn actor_at(address: SocketAddr) -> Option<ActorIndex> {
    (0..topology::ACTORS).find(|actor| topology::peer(*actor).address == address)
}

fn fingerprint(to_sbc: bool, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(u64::from(to_sbc) + 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}
