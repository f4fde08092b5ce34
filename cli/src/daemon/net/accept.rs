//! Connections that peers open: who may, under which identity, and how many.
//!
//! No more handshakes compute at once than the runtime has threads (SEC-022); what waits for the
//! peer's next packet computes nothing, so a peer that keeps silent in the middle of its handshake
//! holds up nobody else.

use super::admission::Room;
use super::stream::{self, Connection};
use super::tls::{Chain, Proven, Refusal, Shown, TlsContext, Verdict, shown, suite_of, turns_away};
use super::{Shared, State, options};
use crate::sink::metrics::{AskedName, ConnectionState, Direction};
use sbc_core::config::{Config, Listener, Preset, Trunk};
use sbc_core::id::{ListenerName, TlsContextName};
use sbc_core::transport::{Flow, PeerIdentity, Protocol, TlsSuite};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// Pause when the process has no descriptors left, instead of a busy loop (SEC-020).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the task is ended.
pub(super) async fn run(shared: Arc<Shared>, name: ListenerName, socket: TcpListener) {
    loop {
        match socket.accept().await {
            Ok((stream, remote)) => accepted(&shared, &name, stream, remote),
            Err(error) => {
                shared
                    .log
                    .error("accept", "cannot accept connections")
                    .with("listener", &name)
                    .with("why", &error)
                    .send();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn accepted(shared: &Arc<Shared>, name: &ListenerName, stream: TcpStream, remote: SocketAddr) {
    let state = shared.state.load_full();
    let Some(listener) = state.config.listeners.get(name).cloned() else {
        return;
    };
    let source = remote.ip().to_canonical();
    if shared.is_banned(source) {
        options::reset_on_close(&stream);
        shared.metrics.net.refused(name, "banned");
        return shared.banned(name, listener.protocol, remote);
    }
    if !shared.admits(&state.config, name, source) {
        options::reset_on_close(&stream);
        shared.metrics.net.refused(name, "stranger");
        shared.stranger(name, listener.protocol, remote);
        return;
    }
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let is_tls = listener.protocol == Protocol::Tls;
    let trunks = || trunks_of(&state.config, &listener, source).count();
    let seats = Seat::take(shared, source, Room::Connections, trunks).and_then(|seat| {
        let shaking = is_tls.then(|| Seat::take(shared, source, Room::Handshakes, trunks));
        Ok((seat, shaking.transpose()?))
    });
    let (seat, shaking) = match seats {
        Ok(seats) => seats,
        Err(why) => {
            options::reset_on_close(&stream);
            shared.metrics.net.refused(name, why);
            shared
                .log
                .warn("connection_refused", "too many connections")
                .with("listener", name)
                .with("remote", remote)
                .with("why", why)
                .send();
            return;
        }
    };
    options::connection(&stream);
    options::mark(&stream, local, listener.dscp);
    let shared_in_task = Arc::clone(shared);
    shared.runtime.spawn(async move {
        let _seat = seat;
        let peer = Peer {
            listener,
            local,
            remote,
        };
        match peer.listener.protocol {
            Protocol::Tls => {
                let shaken = handshake(&shared_in_task, &state, &peer, stream).await;
                drop(shaking);
                if let Some((stream, identity)) = shaken {
                    let (_, connection) = stream.get_ref();
                    let seen = shown(connection.peer_certificates().unwrap_or_default());
                    let proven = (identity, suite_of(connection));
                    serve(&shared_in_task, &state, &peer, stream, proven, seen).await;
                }
            }
            Protocol::Tcp | Protocol::Udp => {
                serve(
                    &shared_in_task,
                    &state,
                    &peer,
                    stream,
                    (None, None),
                    Shown::default(),
                )
                .await;
            }
        }
    });
}

struct Peer {
    listener: Arc<Listener>,
    local: SocketAddr,
    remote: SocketAddr,
}

async fn serve(
    shared: &Arc<Shared>,
    state: &State,
    peer: &Peer,
    io: impl AsyncRead + AsyncWrite + Unpin,
    (identity, tls): (Option<Arc<PeerIdentity>>, Option<TlsSuite>),
    seen: Shown,
) {
    let (line, mut queue) = shared.new_line();
    line.has_seen(seen);
    let flow = Flow {
        id: line.flow,
        protocol: peer.listener.protocol,
        listener: peer.listener.name.clone(),
        local: peer.local,
        remote: peer.remote,
        identity,
        tls,
    };
    let metrics = shared
        .metrics
        .net
        .listener(&peer.listener.name, peer.listener.protocol);
    shared.pool.established(&line, None, &flow);
    shared.look_again(state, line.flow);
    let counted = metrics.connection(Direction::In, ConnectionState::Open);
    let connection = Connection::new(shared, &flow, &line, Direction::In, &metrics);
    let fault = connection.run(io, &mut queue).await;
    drop(counted);
    shared.pool.remove(&line, None);
    stream::refuse_rest(shared, &line, &mut queue, &fault).await;
    shared.flow_lost(&flow, &fault);
}

/// Shakes hands in the context that fits the peer and the name it asked for.
async fn handshake(
    shared: &Arc<Shared>,
    state: &State,
    peer: &Peer,
    stream: TcpStream,
) -> Option<(TlsStream<TcpStream>, Option<Arc<PeerIdentity>>)> {
    let (figures, listener) = (&shared.metrics.net, &peer.listener);
    let metrics = figures.listener(&listener.name, listener.protocol);
    let _counted = metrics.connection(Direction::In, ConnectionState::Handshake);
    let mut context_name = peer.listener.tls.clone();
    let work = shake(shared, state, peer, stream, &mut context_name);
    let shaken = match timeout(shared.patience.handshake, work).await {
        Ok(result) => result,
        Err(_) => Err(Refusal::Timeout),
    };
    let context = context_name.unwrap_or_else(|| TlsContextName::new("none"));
    match shaken {
        Ok((stream, identity)) => {
            shared.metrics.net.handshake(&context, Direction::In, "ok");
            Some((stream, identity.map(Arc::new)))
        }
        Err(refusal) => {
            shared.refused(
                &peer.listener.name,
                &context,
                Direction::In,
                peer.remote,
                &refusal,
            );
            None
        }
    }
}

async fn shake(
    shared: &Shared,
    state: &State,
    peer: &Peer,
    mut stream: TcpStream,
    context_name: &mut Option<TlsContextName>,
) -> Result<(TlsStream<TcpStream>, Option<PeerIdentity>), Refusal> {
    if turns_away(&mut stream).await {
        return Err(Refusal::Version);
    }
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream)
        .await
        .map_err(|error| Refusal::of_io(&error))?;
    let server_name = start
        .client_hello()
        .server_name()
        .map(str::to_ascii_lowercase);
    let source = peer.remote.ip().to_canonical();
    let (context, asked) = choose(state, &peer.listener, source, server_name.as_deref());
    shared.metrics.net.asked_name(&peer.listener.name, asked);
    let context = context.ok_or(Refusal::NoTrunk)?;
    *context_name = Some(context.name().clone());
    let accepted = accepted_names(&state.config, &peer.listener, source, context.name())
        .ok_or(Refusal::NoTrunk)?;
    let verdict = Verdict::default();
    let config = context
        .accept(accepted, &verdict)
        .map_err(|error| Refusal::of(&error))?;
    match start.into_stream(config).await {
        Ok(stream) => {
            let identity = match verdict.take() {
                Some(Ok(Proven { names, chain })) => {
                    if let Some(chain) = chain {
                        shared.metrics.certificates.shown(
                            &shared.state.load().config,
                            context.name(),
                            names.iter().map(String::as_str),
                            chain.leaf.until,
                        );
                        proven(shared, state, peer, context, chain);
                    }
                    Some(PeerIdentity {
                        context: context.name().clone(),
                        names,
                        server_name,
                    })
                }
                Some(Err(refusal)) => return Err(refusal),
                None => None,
            };
            Ok((stream, identity))
        }
        Err(error) => Err(match verdict.take() {
            Some(Err(refusal)) => refusal,
            Some(Ok(_)) | None => Refusal::of_io(&error),
        }),
    }
}

/// What a machine of Teams has shown is kept.
fn proven(shared: &Shared, state: &State, peer: &Peer, context: &TlsContext, chain: Chain) {
    let source = peer.remote.ip().to_canonical();
    let mut trunks = trunks_of(&state.config, &peer.listener, source);
    let is_teams = trunks
        .any(|trunk| trunk.preset == Preset::Teams && trunk.tls.as_ref() == Some(context.name()));
    if is_teams {
        let name = chain.leaf.name.clone();
        shared.presented(Direction::In, &name, peer.remote, chain);
    }
}

/// The context for a peer: the one that hosts the name it asked for; otherwise the listener's own,
/// or the only one that the peer's trunks use. And what the name was.
fn choose<'s>(
    state: &'s State,
    listener: &Listener,
    source: IpAddr,
    server_name: Option<&str>,
) -> (Option<&'s Arc<TlsContext>>, AskedName) {
    let hosted: Vec<TlsContextName> = state
        .config
        .trunks
        .values()
        // Identities of other listeners of the realm may carry the same names (TDR-SIP-043).
        .filter(|trunk| trunk.listeners.contains(&listener.name))
        .filter_map(|trunk| trunk.tls.clone())
        .chain(listener.tls.clone())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    if let Some(context) = server_name.and_then(|name| state.tls.by_server_name(name, &hosted)) {
        return (Some(context), AskedName::Known);
    }
    let asked = match server_name {
        Some(_) => AskedName::Unknown,
        None => AskedName::Absent,
    };
    let of_peer: BTreeSet<&TlsContextName> = trunks_of(&state.config, listener, source)
        .filter_map(|trunk| trunk.tls.as_ref())
        .collect();
    let name = match (&listener.tls, of_peer.len()) {
        (Some(default), _) if of_peer.contains(default) => Some(default),
        (_, 1) => of_peer.first().copied(),
        (default, _) => default.as_ref(),
    };
    (name.and_then(|name| state.tls.get(name)), asked)
}

/// Names of which a peer's certificate must carry one; `None` if none of the trunks that this peer
/// may use has this context. A trunk without names adds none: only one whose context asks for no
/// certificate is loaded so.
fn accepted_names(
    config: &Config,
    listener: &Listener,
    source: IpAddr,
    context: &TlsContextName,
) -> Option<Vec<String>> {
    let mut accepted = Vec::new();
    let mut has_trunk = false;
    for trunk in trunks_of(config, listener, source) {
        if trunk.tls.as_ref() == Some(context) {
            has_trunk = true;
            accepted.extend(trunk.accept_names.iter().cloned());
        }
    }
    has_trunk.then_some(accepted)
}

fn trunks_of<'c>(
    config: &'c Config,
    listener: &'c Listener,
    source: IpAddr,
) -> impl Iterator<Item = &'c Arc<Trunk>> {
    config.trunks.values().filter(move |trunk| {
        trunk.listeners.contains(&listener.name)
            && sbc_core::policy::ingress::accepts_source(trunk, source)
    })
}

/// A place among the accepted connections or their handshakes, given back when dropped.
struct Seat {
    shared: Arc<Shared>,
    source: IpAddr,
    room: Room,
}

impl Seat {
    /// Takes one; the error is a metric label value.
    fn take(
        shared: &Arc<Shared>,
        source: IpAddr,
        room: Room,
        trunks: impl FnOnce() -> usize,
    ) -> Result<Self, &'static str> {
        shared
            .pool
            .with_rooms(|rooms| rooms.seats(room).take(source, trunks))
            .map_err(|why| why.label(room))?;
        Ok(Self {
            shared: Arc::clone(shared),
            source,
            room,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared
            .pool
            .with_rooms(|rooms| rooms.seats(self.room).give_back(self.source));
    }
}
