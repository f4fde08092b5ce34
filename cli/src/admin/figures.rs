//! Where figures and health are served for whoever watches the node: a listener of its own, which a reload may move.

use super::certificate::{Believed, believed};
use super::{Access, LAST_REQUESTS, bounded, is_not_believed, network, or_problem, readable};
use crate::daemon::Daemon;
use crate::sink::log::Log;
use sbc_core::config::MetricsListen;
use sbc_core::id::TlsContextName;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Weak;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Connections that may wait to be accepted: few are served at a time.
const BACKLOG: i32 = 128;

/// The socket of the listener that is served at the moment.
pub(crate) enum FormerFigures {
    /// There is none.
    None,
    /// It is served in another way from now on.
    Stays(std::net::TcpListener),
    /// It goes, and may have the port of the new one until then, at another address.
    Goes(std::net::TcpListener),
}

/// The listener for figures, open and not served yet.
pub(crate) struct FigureDoor {
    tcp: TcpListener,
    /// The same socket, for who serves it in another way after a reload.
    own: std::net::TcpListener,
    /// Whose certificate it shows, and whose it wants to see.
    tls: Option<(TlsContextName, Option<Believed>)>,
}

impl FigureDoor {
    /// Opens it, or shares the socket that is there.
    pub(crate) async fn open(
        wanted: &MetricsListen,
        former: FormerFigures,
        log: &Log,
    ) -> io::Result<Self> {
        let clients = match &wanted.client_ca {
            Some(path) => {
                let believed = believed(path, wanted.revoked.as_ref(), false, log);
                Some(believed.map_err(io::Error::other)?)
            }
            None => None,
        };
        let tls = wanted.tls.clone().map(|context| (context, clients));
        let own = match former {
            FormerFigures::Stays(socket) => socket,
            FormerFigures::None => bound(wanted.address).await?,
            FormerFigures::Goes(socket) => match bound(wanted.address).await {
                Err(why) if is_in_the_way(&why, &socket, wanted.address) => {
                    // What is told of another program is what was found without it.
                    bound_beside(wanted.address, &socket).map_err(|_| why)?
                }
                found => found?,
            },
        };
        let tcp = TcpListener::from_std(own.try_clone()?)?;
        Ok(Self { tcp, own, tls })
    }
}

async fn bound(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    TcpListener::bind(address).await?.into_std()
}

/// Whether an address may be taken by nobody else than our own listener: one of all addresses has the port of each.
fn is_in_the_way(why: &io::Error, former: &std::net::TcpListener, address: SocketAddr) -> bool {
    let port = former.local_addr().map(|own| own.port());
    why.kind() == io::ErrorKind::AddrInUse && port.is_ok_and(|own| own == address.port())
}

/// Binds an address of which our own listener has the port at another one, which goes on meanwhile: nothing has to be given
/// back if the reload fails. The kernel lets no other program in by this, unless that is of our user and says itself that it
/// shares its port; nor do we come before it, as the socket whose address is the narrower one is connected to.
fn bound_beside(
    address: SocketAddr,
    former: &std::net::TcpListener,
) -> io::Result<std::net::TcpListener> {
    let former = SockRef::from(former);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // As a listener that is bound without this.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_port(true)?;
    former.set_reuse_port(true)?;
    let bound = socket
        .bind(&address.into())
        .and_then(|()| socket.listen(BACKLOG));
    // Both are to be alone from now on.
    former.set_reuse_port(false)?;
    bound?;
    socket.set_reuse_port(false)?;
    Ok(socket.into())
}

/// The listener while it is served.
pub(super) struct Figures {
    own: std::net::TcpListener,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Figures {
    /// Serves it, by the daemon's own threads: whoever watches calls must not wait for them.
    pub(super) fn serve(daemon: &Daemon, access: &Access, door: FigureDoor) -> Self {
        let FigureDoor { tcp, own, tls } = door;
        let figures = or_problem(readable()).with_state(access.clone());
        let (stop, mut ends) = watch::channel(false);
        let (context, clients) = tls.unzip();
        let (clients, lists) = clients.flatten().unzip();
        daemon
            .client_lists()
            .set("metrics", lists.flatten().as_ref());
        let task = match context {
            Some(context) => {
                let daemon = access.daemon.clone();
                let told = is_not_believed(Weak::clone(&daemon));
                let own = clients.clone();
                let believes = move || own.clone();
                let identity = move || {
                    let identities = daemon.upgrade()?.net().identities();
                    let context = identities.get(&context)?;
                    context.serve(clients.clone()).ok()
                };
                tokio::spawn(network::run(tcp, identity, believes, told, figures, ends))
            }
            None => tokio::spawn(async move {
                let serving = axum::serve(bounded::Bounded::new(tcp), figures);
                let until = async move {
                    // A sender that is gone means the same.
                    let _ = ends.wait_for(|stop| *stop).await;
                };
                let _ = serving.with_graceful_shutdown(until).await;
            }),
        };
        Self { own, stop, task }
    }

    /// Its address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.own.local_addr().ok()
    }

    /// The socket, to be shared.
    pub(super) fn socket(&self) -> Option<std::net::TcpListener> {
        self.own.try_clone().ok()
    }

    /// Finishes open requests and closes it.
    pub(super) async fn stop(self) {
        let Self {
            own,
            stop,
            mut task,
        } = self;
        // As long as it is open whoever connects to its address waits here, and not where another one serves it.
        drop(own);
        let _ = stop.send(true);
        let finished = tokio::time::timeout(LAST_REQUESTS, &mut task).await;
        if finished.is_err() {
            task.abort();
        }
    }
}
