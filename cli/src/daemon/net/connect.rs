//! Connections that we open: one attempt at a time per peer and identity, and back again after a
//! loss where the peer is watched.

use super::pool::Pings;
use super::pool::{self, Found, Line, Queue};
use super::stream::{self, Connection};
use super::tls::{Proven, Refusal, TlsContext, Verdict, shown, suite_of};
use super::{Shared, State, options};
use crate::sink::metrics::{ConnectionState, Direction};
use rustls::pki_types::ServerName;
use sbc_core::config::{Config, Preset, Trunk};
use sbc_core::policy::ingress::accepts_source;
use sbc_core::query::Runner;
use sbc_core::transport::{Flow, FlowFault, Hop, PeerIdentity, Protocol, TlsHop};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Pause before a lost connection is opened again; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause: as often as a peer is probed (TDR-OPT-009).
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After so many attempts only traffic opens the connection.
const MAX_ATTEMPTS: u32 = 20;

/// Opens a connection in a task of its own and serves it until it ends.
pub(super) fn start(shared: &Arc<Shared>, hop: Hop, line: Arc<Line>, queue: Queue) {
    let shared_in_task = Arc::clone(shared);
    shared.runtime.spawn(async move {
        let shared = shared_in_task;
        if run(&shared, &hop, &line, queue).await == Ended::Wanted {
            open_again(&shared, &hop).await;
        }
    });
}

/// Opens two connections to one server, the second a moment after the first or as soon as that has failed;
/// says which came about first (RFC 8305 §5). The other one may still come: whoever opens the next
/// connection there is glad of it.
pub(super) async fn race(shared: &Arc<Shared>, hops: &[Hop; 2]) -> Runner {
    let [first, second] = hops;
    let mut first = pin!(reach(shared, first));
    tokio::select! {
        is_there = &mut first => match is_there {
            true => return Runner::First,
            false => return match reach(shared, second).await {
                true => Runner::Second,
                false => Runner::First,
            },
        },
        () = tokio::time::sleep(shared.patience.stagger) => {}
    }
    let mut second = pin!(reach(shared, second));
    tokio::select! {
        is_there = &mut first => match is_there {
            true => Runner::First,
            false if second.await => Runner::Second,
            false => Runner::First,
        },
        is_there = &mut second => match is_there {
            true => Runner::Second,
            false => {
                first.await;
                Runner::First
            }
        },
    }
}

/// Sees to it that there is a connection to a hop; says whether there is.
async fn reach(shared: &Arc<Shared>, hop: &Hop) -> bool {
    match shared.pool.line_for(&hop.key(), || shared.new_line()) {
        Found::Failed(_) => false,
        Found::Line(line) => line.comes_up().await,
        Found::Open(line, queue) => {
            start(shared, hop.clone(), Arc::clone(&line), queue);
            line.comes_up().await
        }
    }
}

/// How a connection of ours ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It never worked, or nobody needs it.
    Done,
    /// It worked and was lost.
    Wanted,
}

async fn run(shared: &Arc<Shared>, hop: &Hop, line: &Arc<Line>, mut queue: Queue) -> Ended {
    let key = hop.key();
    let opened = tokio::select! {
        opened = open(shared, hop) => opened,
        why = pool::wanted_end(&mut queue.closing) => Err(why),
    };
    let Open {
        io,
        local,
        identity,
        state,
    } = match opened {
        Ok(opened) => opened,
        Err(fault) => {
            shared.pool.remove(line, Some(&key));
            shared.pool.failed(&key, fault.clone());
            shared
                .log
                .warn("connect_failed", &fault)
                .with("listener", &hop.listener)
                .with("remote", hop.remote)
                .with("protocol", hop.protocol)
                .send();
            stream::refuse_rest(shared, line, &mut queue, &fault).await;
            return Ended::Done;
        }
    };
    let mut tls = None;
    if let Io::Tls(stream) = &io {
        let (_, connection) = stream.get_ref();
        let chain = connection.peer_certificates();
        line.has_seen(shown(chain.unwrap_or_default()));
        tls = suite_of(connection);
    }
    let flow = Flow {
        id: line.flow,
        protocol: hop.protocol,
        listener: hop.listener.clone(),
        local,
        remote: hop.remote,
        identity: identity.map(Arc::new),
        tls,
    };
    let metrics = shared.metrics.net.listener(&hop.listener, hop.protocol);
    shared.pool.established(line, Some(&key), &flow);
    shared.look_again(&state, line.flow);
    let counted = metrics.connection(Direction::Out, ConnectionState::Open);
    if answers_pings(shared, hop) {
        line.ping(Pings {
            between: shared.patience.ping,
            is_answered: true,
        });
    }
    let connection = Connection::new(shared, &flow, line, Direction::Out, &metrics)
        .without_pings(is_teams(shared, hop));
    let fault = match io {
        Io::Tcp(io) => connection.run(io, &mut queue).await,
        Io::Tls(io) => connection.run(io, &mut queue).await,
    };
    let had_history = connection.has_history();
    drop(counted);
    shared.pool.remove(line, Some(&key));
    if !had_history {
        // A peer that accepts and then closes at once is down for our purposes; one that closes what nobody
        // has written to, as the connection that lost a race, is not.
        if line.is_used() || matches!(fault, FlowFault::TlsAlert(_)) {
            shared.pool.failed(&key, fault.clone());
        }
        if let FlowFault::TlsAlert(why) = &fault
            && let Some(tls) = &hop.tls
        {
            shared
                .metrics
                .net
                .handshake(&tls.context, Direction::Out, "alert");
            shared
                .log
                .warn("tls_refused", why)
                .with("context", &tls.context)
                .with("remote", hop.remote)
                .with("advice", Refusal::Alert(String::new()).advice())
                .send();
        }
    }
    stream::refuse_rest(shared, line, &mut queue, &fault).await;
    shared.flow_lost(&flow, &fault);
    if had_history && fault != FlowFault::Idle {
        Ended::Wanted
    } else {
        Ended::Done
    }
}

enum Io {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A watched peer's connection is opened again before somebody needs it.
async fn open_again(shared: &Arc<Shared>, hop: &Hop) {
    let key = hop.key();
    let mut pause = FIRST_PAUSE;
    for _ in 0..MAX_ATTEMPTS {
        if shared.pool.is_closed() || !is_watched(shared, hop) {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        match shared.pool.line_for(&key, || shared.new_line()) {
            Found::Line(_) => return,
            Found::Failed(_) => {}
            Found::Open(line, queue) => {
                start(shared, hop.clone(), line, queue);
                tokio::time::sleep(shared.patience.connect + shared.patience.handshake).await;
                if shared.pool.has(&key) {
                    return;
                }
                // Its next OPTIONS find out, and nobody asks faster (TDR-OPT-009).
                if shared
                    .pool
                    .last_fault(&key)
                    .is_some_and(|fault| is_of_certificate(&fault))
                {
                    return;
                }
            }
        }
    }
}

/// Whether one side does not believe the other: that is not over in a moment.
fn is_of_certificate(fault: &FlowFault) -> bool {
    matches!(
        fault,
        FlowFault::TlsCertificate(_) | FlowFault::TlsAlert(_) | FlowFault::TlsName { .. }
    )
}

/// Whether the peer of a hop is known to answer pings.
fn answers_pings(shared: &Shared, hop: &Hop) -> bool {
    is_of(shared, hop, |trunk| trunk.habits.crlf_pong)
}

/// Whether the peer of a hop is Teams, which expects no pings and answers none: OPTIONS keep its connections (TDR-TCP-001).
fn is_teams(shared: &Shared, hop: &Hop) -> bool {
    is_of(shared, hop, |trunk| trunk.preset == Preset::Teams)
}

/// Whether a hop leads to a trunk of this kind.
fn is_of(shared: &Shared, hop: &Hop, is_kind: impl Fn(&Trunk) -> bool) -> bool {
    let state = shared.state.load();
    let context = hop.tls.as_ref().map(|tls| &tls.context);
    let source = hop.remote.ip().to_canonical();
    state.config.trunks.values().any(|trunk| {
        is_kind(trunk)
            && trunk.listeners.contains(&hop.listener)
            && trunk.tls.as_ref() == context
            && accepts_source(trunk, source)
    })
}

/// Whether an identity of Teams' trunks alone would be shown to somebody at an address that Teams does not have, as
/// a forged answer of DNS or a Contact may want it (TDR-TLS-011).
fn is_beyond_teams(config: &Config, hop: &Hop) -> bool {
    let Some(tls) = &hop.tls else {
        return false;
    };
    let sharing = config.trunks.values().filter(|trunk| {
        trunk.listeners.contains(&hop.listener) && trunk.tls.as_ref() == Some(&tls.context)
    });
    let source = hop.remote.ip().to_canonical();
    let mut is_of_teams = false;
    for trunk in sharing {
        if trunk.preset != Preset::Teams || accepts_source(trunk, source) {
            return false;
        }
        is_of_teams = true;
    }
    is_of_teams
}

/// Whether a trunk that probes its targets uses this hop.
fn is_watched(shared: &Shared, hop: &Hop) -> bool {
    let state = shared.state.load();
    let context = hop.tls.as_ref().map(|tls| &tls.context);
    state.config.trunks.values().any(|trunk| {
        trunk.options.is_some()
            && trunk.listeners.contains(&hop.listener)
            && trunk.tls.as_ref() == context
            && trunk
                .targets
                .iter()
                .any(|target| target.protocol == hop.protocol)
    })
}

/// How long a connection may take, and the handshake on it: as the trunk says whose hop it is. Of trunks that
/// share it the most patient counts, because it is there for all.
fn patience(shared: &Shared, config: &Config, hop: &Hop) -> (Duration, Duration) {
    let usual = &shared.patience;
    let tls = hop.tls.as_ref();
    let leads_here = |trunk: &Trunk| {
        let is_named = |host: &str| match tls {
            Some(tls) => host.eq_ignore_ascii_case(&tls.server_name),
            None => true,
        };
        trunk.listeners.contains(&hop.listener)
            && trunk.tls.as_ref() == tls.map(|tls| &tls.context)
            && trunk.targets.iter().any(|at| is_named(&at.host))
            && (tls.is_some() || accepts_source(trunk, hop.remote.ip().to_canonical()))
    };
    let trunks = || config.trunks.values().filter(|trunk| leads_here(trunk));
    let connect = trunks().map(|trunk| trunk.timers.connect.unwrap_or(usual.connect));
    let handshake = trunks().map(|trunk| trunk.timers.handshake.unwrap_or(usual.handshake));
    (
        connect.max().unwrap_or(usual.connect),
        handshake.max().unwrap_or(usual.handshake),
    )
}

/// How long it may take at most until a connection is there.
pub(super) fn longest(shared: &Shared, hop: &Hop) -> Duration {
    let (connect, handshake) = patience(shared, &shared.state.load().config, hop);
    match hop.protocol {
        Protocol::Tls => connect + handshake,
        Protocol::Tcp | Protocol::Udp => connect,
    }
}

/// A connection on which everything is agreed.
struct Open {
    io: Io,
    local: SocketAddr,
    identity: Option<PeerIdentity>,
    /// What was in use at its handshake.
    state: Arc<State>,
}

async fn open(shared: &Shared, hop: &Hop) -> Result<Open, FlowFault> {
    let state = shared.state.load_full();
    // Nobody is troubled with a connection over which nothing can be said.
    if let Some(tls) = &hop.tls {
        context_of(&state, tls)?;
    }
    let metrics = shared.metrics.net.listener(&hop.listener, hop.protocol);
    let counted = metrics.connection(Direction::Out, ConnectionState::Connecting);
    let (stream, local, to_shake) = dial(shared, &state.config, hop).await?;
    drop(counted);
    // To connect may have taken long.
    let state = shared.state.load_full();
    let (io, identity) = match (&hop.tls, hop.protocol) {
        (Some(tls), Protocol::Tls) => {
            let context = context_of(&state, tls)?;
            let _counted = metrics.connection(Direction::Out, ConnectionState::Handshake);
            let (stream, identity) = shake(shared, hop, tls, context, (stream, to_shake)).await?;
            (Io::Tls(Box::new(stream)), Some(identity))
        }
        (None, Protocol::Tls) => {
            return Err(FlowFault::Handshake(
                "no TLS context for this hop".to_owned(),
            ));
        }
        (_, Protocol::Tcp | Protocol::Udp) => (Io::Tcp(stream), None),
    };
    Ok(Open {
        io,
        local,
        identity,
        state,
    })
}

/// The identity that a connection is made with.
fn context_of<'s>(state: &'s State, tls: &TlsHop) -> Result<&'s Arc<TlsContext>, FlowFault> {
    let why = || {
        let name = &tls.context;
        FlowFault::Handshake(format!(
            "the TLS identity \"{name}\" has no certificate yet"
        ))
    };
    state.tls.of_hop(&tls.context).ok_or_else(why)
}

/// Connects from the listener's address; says where from, and how long a handshake may take.
pub(super) async fn dial(
    shared: &Shared,
    config: &Config,
    hop: &Hop,
) -> Result<(TcpStream, SocketAddr, Duration), FlowFault> {
    let listener = config
        .listeners
        .get(&hop.listener)
        .filter(|listener| listener.bind.is_ipv4() == hop.remote.is_ipv4())
        .ok_or(FlowFault::NoListener)?;
    if is_beyond_teams(config, hop) {
        let why = format!(
            "{} is outside of the ranges of Teams (accept_from): does DNS say where Teams is?",
            hop.remote.ip()
        );
        return Err(FlowFault::Connect(why));
    }
    let broken = |error: std::io::Error| FlowFault::Connect(error.to_string());
    let socket = match hop.remote {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(broken)?;
    options::mark(&socket, hop.remote, listener.dscp);
    let from = SocketAddr::new(listener.bind.ip(), 0);
    socket.bind(from).map_err(broken)?;
    let (to_connect, to_shake) = patience(shared, config, hop);
    let stream = match timeout(to_connect, socket.connect(hop.remote)).await {
        Err(_) => return Err(FlowFault::ConnectTimeout),
        Ok(stream) => stream.map_err(broken)?,
    };
    options::connection(&stream);
    let local = stream.local_addr().map_err(broken)?;
    Ok((stream, local, to_shake))
}

/// Shakes hands within a time, with this identity of ours.
pub(super) async fn shake(
    shared: &Shared,
    hop: &Hop,
    tls: &TlsHop,
    context: &TlsContext,
    (stream, limit): (TcpStream, Duration),
) -> Result<(TlsStream<TcpStream>, PeerIdentity), FlowFault> {
    let refuse = |refusal: Refusal| {
        shared.refused(
            &hop.listener,
            &tls.context,
            Direction::Out,
            hop.remote,
            &refusal,
        );
        match refusal {
            Refusal::Timeout => FlowFault::HandshakeTimeout,
            Refusal::Name { wanted, presented } => FlowFault::TlsName {
                wanted: wanted.join(" or "),
                presented,
            },
            refusal @ Refusal::Alert(_) => FlowFault::TlsAlert(refusal.to_string()),
            refusal @ (Refusal::UnknownCa
            | Refusal::SelfSigned
            | Refusal::Expired
            | Refusal::NotYetValid
            | Refusal::Usage
            | Refusal::Revoked
            | Refusal::WeakKey
            | Refusal::BadCertificate(_)) => FlowFault::TlsCertificate(refusal.of_peer()),
            other => FlowFault::Handshake(other.to_string()),
        }
    };
    let Ok(server_name) = ServerName::try_from(tls.server_name.clone()) else {
        return Err(FlowFault::Handshake(format!(
            "\"{}\" cannot be a server name",
            tls.server_name
        )));
    };
    let wanted = if tls.accept_names.is_empty() {
        vec![tls.server_name.clone()]
    } else {
        tls.accept_names.clone()
    };
    let verdict = Verdict::default();
    let config = context
        .connect(wanted, &verdict)
        .map_err(|error| refuse(Refusal::of(&error)))?;
    let work = TlsConnector::from(config).connect(server_name, stream);
    match timeout(limit, work).await {
        Err(_) => Err(refuse(Refusal::Timeout)),
        Ok(Ok(stream)) => {
            let Proven { names, chain } = match verdict.take() {
                Some(Ok(proven)) => proven,
                Some(Err(refusal)) => return Err(refuse(refusal)),
                None => return Err(refuse(Refusal::NoCertificate)),
            };
            shared
                .metrics
                .net
                .handshake(&tls.context, Direction::Out, "ok");
            if let Some(chain) = &chain {
                let own = std::iter::once(&tls.server_name).chain(&names);
                shared.metrics.certificates.shown(
                    &shared.state.load().config,
                    &tls.context,
                    own.map(String::as_str),
                    chain.leaf.until,
                );
            }
            if let Some(chain) = chain.filter(|_| is_teams(shared, hop)) {
                let server = Direction::Out;
                shared.presented(server, &tls.server_name, hop.remote, chain);
            }
            let identity = PeerIdentity {
                context: tls.context.clone(),
                names,
                server_name: None,
            };
            Ok((stream, identity))
        }
        Ok(Err(error)) => Err(refuse(match verdict.take() {
            Some(Err(refusal)) => refusal,
            Some(Ok(_)) | None => Refusal::of_io(&error),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::config::{Assumed, Source, load, starter};

    #[test]
    fn the_identity_of_teams_is_shown_to_nobody_elsewhere() {
        let facts = Assumed::with_names(["sbc1.contoso.example"]);
        let sources = [Source::new("causeway.toml", starter())];
        let config = load(&sources, &facts, None).unwrap().config;
        let teams = |trunk: &&Arc<Trunk>| trunk.preset == Preset::Teams;
        let trunk = config.trunks.values().find(teams).unwrap();
        let at = |remote: &str| Hop {
            listener: trunk.listeners[0].clone(),
            protocol: Protocol::Tls,
            remote: remote.parse().unwrap(),
            tls: Some(Arc::new(TlsHop {
                context: trunk.tls.clone().unwrap(),
                server_name: "sip.pstnhub.microsoft.com".to_owned(),
                accept_names: Vec::new(),
                takes_alias: false,
            })),
            flow: None,
        };
        assert!(!is_beyond_teams(&config, &at("52.112.0.14:5061")));
        assert!(is_beyond_teams(&config, &at("203.0.113.9:5061")));
        let without = Hop {
            tls: None,
            ..at("203.0.113.9:5061")
        };
        assert!(!is_beyond_teams(&config, &without));
        // Where somebody else shows it as well, it is not known who is met.
        let shared = starter().to_owned()
            + "[[trunk]]\nname = \"exchange\"\npreset = \"carrier\"\ntenant = \"contoso\"\nrealm = \"teams\"\n\
               tls = \"teams\"\ntargets = [\"198.51.100.44:5061;tls\"]\naccept_from = [\"198.51.100.44\"]\n\
               accept_names = [\"exchange.contoso.example\"]\n";
        let config = load(&[Source::new("causeway.toml", &shared)], &facts, None);
        let config = config.unwrap_or_else(|f| panic!("{}", f.to_text())).config;
        assert!(!is_beyond_teams(&config, &at("203.0.113.9:5061")));
    }
}
