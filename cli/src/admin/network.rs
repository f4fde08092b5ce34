//! HTTP/1.1 over TLS where strangers come, the interface of operators and the address for notices, and bounds for everything that somebody without a token can
//! reach (SEC-150, SEC-153).

use super::bounded::{Bounded, Mortal};
use super::certificate;
use super::gate::Remote;
use super::rates::source;
use axum::Router;
use axum::body::Body;
use axum::serve::Listener as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Connections at the same time, and of one source.
const MOST: usize = 64;
const MOST_OF_ONE: usize = 16;
/// Of all connections, those that only sources may have from which a token has come lately.
const KEPT: usize = 16;
/// How long ago that may be.
const LATELY: Duration = Duration::from_secs(3600);
/// Such sources that are remembered.
const REMEMBERED: usize = 256;
/// How long a connection may last on which no token has come: enough for the files of the console.
const NAMELESS: Duration = Duration::from_secs(30);
/// How long one may last, also with a stream of events: whose token has been taken away is gone then.
const LIFE: Duration = Duration::from_secs(600);
/// How often it is looked whether a certificate that was shown is still believed.
const LOOK: Duration = Duration::from_secs(2);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a request's head may take, and how long a connection may wait for one.
const HEAD: Duration = Duration::from_secs(10);
/// Octets of a head, and lines in it.
const HEAD_OCTETS: usize = 16 * 1024;
const HEAD_LINES: usize = 64;

/// Who believes certificates of clients, if anybody does.
pub(crate) type Believes = Option<Arc<dyn ClientCertVerifier>>;

/// Serves until it is told to stop, each connection with the identity of its moment; none is served while there is
/// none. Of whose certificate is not believed the source is told, and a connection ends on which one was shown that
/// `believes` does not believe any more: a list may have come that names it.
pub(crate) async fn run(
    tcp: TcpListener,
    identity: impl Fn() -> Option<Arc<ServerConfig>>,
    believes: impl Fn() -> Believes + Clone + Send + 'static,
    is_not_believed: impl Fn(IpAddr) + Clone + Send + 'static,
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
        let Some(seat) = sources.seat(source(remote.ip()), Instant::now()) else {
            continue;
        };
        // The certificate of this moment: it may have been renewed.
        let Some(identity) = identity() else {
            continue;
        };
        let acceptor = TlsAcceptor::from(identity);
        let (router, stopped) = (router.clone(), stopped.clone());
        let (believes, is_not_believed) = (believes.clone(), is_not_believed.clone());
        open.spawn(async move {
            let served = serve(acceptor, stream, remote, (router, seat), believes, stopped).await;
            if served == Served::NotBelieved {
                is_not_believed(source(remote.ip()));
            }
        });
    }
    while open.join_next().await.is_some() {}
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: Mortal,
    remote: SocketAddr,
    (router, seat): (Router, Seat),
    believes: impl Fn() -> Believes,
    mut stopped: watch::Receiver<bool>,
) -> Served {
    let stream = match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(why)) if is_about_certificate(&why) => return Served::NotBelieved,
        Ok(Err(_)) | Err(_) => return Served::Over,
    };
    let (_, tls) = stream.get_ref();
    let shown = tls.peer_certificates().map(<[_]>::to_vec);
    let subject = certificate::subject(shown.as_deref()).map(Arc::new);
    let router = TowerToHyperService::new(router);
    let proof = seat.proof();
    let peer = Remote::new(remote, proof.clone(), subject);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.call(request.map(Body::new))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_OCTETS)
        .max_headers(HEAD_LINES);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let nameless = async {
        sleep(NAMELESS).await;
        if proof.is_there() {
            std::future::pending::<()>().await;
        }
    };
    let disbelieved = async move {
        let Some(shown) = shown else {
            return std::future::pending().await;
        };
        loop {
            sleep(LOOK).await;
            if !is_believed(&shown, believes()) {
                return;
            }
        }
    };
    tokio::select! {
        _ = connection.as_mut() => return Served::Over,
        () = disbelieved => return Served::Over,
        () = nameless => return Served::Over,
        _ = stopped.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
    Served::Over
}

/// Whether a handshake with these certificates would succeed now.
fn is_believed(shown: &[CertificateDer<'_>], believes: Believes) -> bool {
    let (Some((own, others)), Some(verifier)) = (shown.split_first(), believes) else {
        return false;
    };
    let verified = verifier.verify_client_cert(own, others, UnixTime::now());
    verified.is_ok()
}

/// How a connection has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Served {
    /// As connections end.
    Over,
    /// With the handshake: the certificate of the client is of nobody who may issue them, or not good now.
    NotBelieved,
}

fn is_about_certificate(why: &std::io::Error) -> bool {
    let why = why
        .get_ref()
        .and_then(|why| why.downcast_ref::<rustls::Error>());
    matches!(why, Some(rustls::Error::InvalidCertificate(_)))
}

/// Connections of each source, and from which of them a token has come.
#[derive(Clone, Default)]
struct Sources(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    open: HashMap<IpAddr, usize>,
    proven: HashMap<IpAddr, Instant>,
}

/// One of them, which ends with this.
struct Seat {
    sources: Sources,
    source: IpAddr,
}

/// Whether a token, or a good notice, has come on a connection.
#[derive(Clone)]
pub(crate) struct Proof {
    sources: Sources,
    source: IpAddr,
    is_there: Arc<AtomicBool>,
}

impl Sources {
    fn seat(&self, source: IpAddr, now: Instant) -> Option<Seat> {
        let mut table = self.lock();
        let proven = table.proven.get(&source);
        let is_proven = proven.is_some_and(|at| now.saturating_duration_since(*at) < LATELY);
        let total: usize = table.open.values().sum();
        let most = if is_proven { MOST } else { MOST - KEPT };
        let own = table.open.get(&source).copied().unwrap_or_default();
        if own >= MOST_OF_ONE || total >= most {
            return None;
        }
        table.open.insert(source, own + 1);
        let sources = self.clone();
        Some(Seat { sources, source })
    }

    fn proven(&self, source: IpAddr, now: Instant) {
        let mut table = self.lock();
        let is_full = table.proven.len() >= REMEMBERED && !table.proven.contains_key(&source);
        let oldest = table.proven.iter().min_by_key(|(_, at)| **at);
        if let Some(oldest) = oldest.map(|(source, _)| *source).filter(|_| is_full) {
            table.proven.remove(&oldest);
        }
        table.proven.insert(source, now);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn proof(&self) -> Proof {
        Proof {
            sources: self.sources.clone(),
            source: self.source,
            is_there: Arc::default(),
        }
    }
}

impl Proof {
    /// It has come.
    pub(crate) fn given(&self) {
        // Ordering: the flag stands for itself.
        self.is_there.store(true, Ordering::Relaxed);
        self.sources.proven(self.source, Instant::now());
    }

    fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.sources.lock();
        if let Some(count) = table.open.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                table.open.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_come_without_a_token_who_has_shown_one_finds_a_seat() {
        let (sources, now) = (Sources::default(), Instant::now());
        let host = |last: u8| IpAddr::from([192, 0, 2, last]);
        sources.proven(host(1), now);
        let mut seats: Vec<Seat> = Vec::new();
        for last in 2..10 {
            seats.extend((0..MOST).map_while(|_| sources.seat(host(last), now)));
        }
        assert_eq!(seats.len(), MOST - KEPT);
        let own: Vec<_> = (0..MOST)
            .map_while(|_| sources.seat(host(1), now))
            .collect();
        assert_eq!(own.len(), MOST_OF_ONE);
        drop(own);
        assert!(sources.seat(host(1), now + LATELY).is_none());
        seats.truncate(MOST_OF_ONE);
        // A network of IPv6 is one source.
        let of_one = |last: u16| source(format!("2001:db8::{last}").parse().unwrap());
        let seats: Vec<_> = (1..100)
            .map_while(|last| sources.seat(of_one(last), now))
            .collect();
        assert_eq!(seats.len(), MOST_OF_ONE);
        for last in 0..=u16::MAX {
            sources.proven(IpAddr::from([10, 0, (last >> 8) as u8, last as u8]), now);
        }
        assert_eq!(sources.lock().proven.len(), REMEMBERED);
    }
}
