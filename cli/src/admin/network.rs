//! The interface over the network: TLS 1.3, HTTP/1.1, and bounds for everything that somebody without a token can
//! reach (SEC-150, SEC-153).

use super::bounded::{Bounded, Mortal};
use super::gate::Remote;
use crate::daemon::Daemon;
use axum::Router;
use axum::body::Body;
use axum::serve::Listener as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use sbc_core::id::TlsContextName;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Connections at the same time, and of one source.
const MOST: usize = 64;
const MOST_OF_ONE: usize = 16;
/// How long one may last, also with a stream of events: whose token has been taken away is gone then.
const LIFE: Duration = Duration::from_secs(600);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a request's head may take, and how long a connection may wait for one.
const HEAD: Duration = Duration::from_secs(10);
/// Octets of a head, and lines in it.
const HEAD_OCTETS: usize = 16 * 1024;
const HEAD_LINES: usize = 64;

/// Serves until it is told to stop.
pub(super) async fn run(
    tcp: TcpListener,
    context: TlsContextName,
    daemon: Weak<Daemon>,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let mut bounded = Bounded::within(tcp, MOST, LIFE);
    let sources = Sources::default();
    // What is open ends with this.
    let mut open = JoinSet::new();
    loop {
        let (stream, remote) = tokio::select! {
            accepted = bounded.accept() => accepted,
            Some(_) = open.join_next() => continue,
            _ = stopped.wait_for(|stop| *stop) => break,
        };
        let Some(seat) = sources.seat(remote.ip().to_canonical()) else {
            continue;
        };
        // The certificate of this moment: it may have been renewed.
        let identity = daemon.upgrade().and_then(|daemon| {
            let identities = daemon.net().identities();
            identities.get(&context)?.serve().ok()
        });
        let Some(identity) = identity else {
            continue;
        };
        let acceptor = TlsAcceptor::from(identity);
        let (router, stopped) = (router.clone(), stopped.clone());
        open.spawn(async move {
            let _seat = seat;
            serve(acceptor, stream, remote, router, stopped).await;
        });
    }
    while open.join_next().await.is_some() {}
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: Mortal,
    remote: SocketAddr,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        return;
    };
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Remote(remote));
        router.call(request.map(Body::new))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_OCTETS)
        .max_headers(HEAD_LINES);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Connections of each source.
#[derive(Clone, Default)]
struct Sources(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of them, which ends with this.
struct Seat(Sources, IpAddr);

impl Sources {
    fn seat(&self, source: IpAddr) -> Option<Seat> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(source).or_default();
        if *count >= MOST_OF_ONE {
            return None;
        }
        *count += 1;
        Some(Seat(self.clone(), source))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.1);
            }
        }
    }
}
