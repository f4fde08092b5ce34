//! Where figures and health are served for whoever watches the node: a listener of its own, which a reload may move.

use super::certificate::{Believed, believed};
use super::{Access, LAST_REQUESTS, bounded, is_not_believed, network, or_problem, readable};
use crate::daemon::Daemon;
use crate::sink::log::Log;
use sbc_core::config::MetricsListen;
use sbc_core::id::TlsContextName;
use std::io;
use std::net::SocketAddr;
use std::sync::Weak;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

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
        shared: Option<std::net::TcpListener>,
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
        let own = match shared {
            Some(shared) => shared,
            None => TcpListener::bind(wanted.address).await?.into_std()?,
        };
        let tcp = TcpListener::from_std(own.try_clone()?)?;
        Ok(Self { tcp, own, tls })
    }
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
    pub(super) async fn stop(mut self) {
        let _ = self.stop.send(true);
        let finished = tokio::time::timeout(LAST_REQUESTS, &mut self.task).await;
        if finished.is_err() {
            self.task.abort();
        }
    }
}
