//! The operator's interface: HTTP on a Unix socket, its readable part on a TCP listener, and its operations over TLS
//! for whoever has a token.
//!
//! | path              | where             | what                                             |
//! |-------------------|-------------------|--------------------------------------------------|
//! | `GET /metrics`    | Unix, `[metrics]` | Prometheus text                                  |
//! | `GET /healthz`    | Unix, `[metrics]` | 200 while every thread makes progress            |
//! | `GET /readyz`     | Unix, `[metrics]` | 200 while new calls can be put through           |
//! | `GET /startupz`   | Unix, `[metrics]` | 200 once the sockets are served                  |
//! | `GET /`           | `[api]` TLS       | the console, for browsers                        |
//! | `/sign-in…`       | `[api]` TLS       | signing in and out, with `[api.oidc]`            |
//! | `/api/v1/…`       | Unix, `[api]` TLS | the operations of `routes.rs`, and `openapi.json`|
//!
//! Who may open the socket is decided by its file mode: owner and group. Who comes over the network has a role
//! (`gate.rs`). What they change is written into the audit log (`who.rs`).

mod alarms;
mod approvals;
pub(crate) mod bounded;
mod bundle;
mod calls;
mod capture;
pub(crate) mod certificate;
mod certs;
mod config;
mod console;
mod cursor;
mod desk;
mod events;
mod export;
mod figures;
pub(crate) mod gate;
mod generations;
mod idempotency;
mod log;
mod names;
pub(crate) mod network;
mod node;
mod openapi;
mod peers;
mod presence;
pub(crate) mod rates;
mod records;
mod relations;
pub(crate) mod revoked;
pub(crate) mod routes;
mod security;
mod shape;
mod shapes;
mod sign_in;
mod spending;
mod spool;
mod teams;
mod threads;
mod tls;
mod tokens;
mod transfer;
mod trunks;
mod who;

use crate::daemon::Daemon;
use crate::daemon::net::bind_advice;
use crate::sink::log::Log;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::DefaultBodyLimit;
use axum::extract::rejection::QueryRejection;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use figures::Figures;
pub(crate) use figures::{FigureDoor, FormerFigures};
use sbc_core::config::{ApiListen, MetricsListen};
use sbc_core::id::TlsContextName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use threads::Threads;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Mode of the socket: owner and group.
const SOCKET_MODE: u32 = 0o660;
/// Longest body of a request (SEC-153).
const MOST_SENT: usize = 1024 * 1024;
/// How long requests may finish when the daemon stops.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// Why the interface cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum AdminFault {
    /// The Unix socket.
    #[error("operator socket {}: {why}{}", path.display(), advice(why))]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the operating system said, or that another daemon runs.
        why: io::Error,
    },
    /// Its threads.
    #[error("threads of the interface: {0}")]
    Threads(io::Error),
    /// The TCP listener.
    #[error(
        "metrics listener {address}: {why}{}; or choose another address in [metrics]",
        bind_advice(why)
    )]
    Metrics {
        /// Its address.
        address: SocketAddr,
        /// What the operating system said.
        why: io::Error,
    },
    /// The listener for whoever has a token.
    #[error(
        "api listener {address}: {why}{}; or choose another address in [api]",
        bind_advice(why)
    )]
    Network {
        /// Its address.
        address: SocketAddr,
        /// What the operating system said.
        why: io::Error,
    },
}

/// The running interface.
pub struct Admin {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    socket: Option<PathBuf>,
    /// For who serves figures.
    access: Access,
    figures: Option<Figures>,
    network: Option<SocketAddr>,
    /// The last to go.
    threads: Threads,
}

/// What request handlers work on. The daemon may be gone while a request is still open.
#[derive(Clone)]
pub(crate) struct Access {
    daemon: Weak<Daemon>,
    desk: Arc<desk::Desk>,
    approvals: Arc<approvals::Approvals>,
    repeats: Arc<idempotency::Repeats>,
    /// Threads of the daemon, where its own work is done, and where what stays of that belongs: new sockets are served
    /// there.
    deeds: Handle,
}

impl Access {
    pub(crate) fn daemon(&self) -> Result<Arc<Daemon>, Problem> {
        let stopping = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping");
        self.daemon.upgrade().ok_or_else(stopping)
    }
}

/// A refused request, as RFC 9457 describes it.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
    /// If there can be several: each of them.
    reasons: Vec<String>,
    /// Whether the same may be asked again in a second.
    is_for_now: bool,
    /// What another person has to agree to before.
    waits: Option<Box<Waits>>,
}

/// What waits for another person.
#[derive(Debug)]
struct Waits {
    approval: String,
    /// What the audit log says besides.
    besides: who::Besides,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            reasons: Vec::new(),
            is_for_now: false,
            waits: None,
        }
    }

    /// Another person has to agree first; with what the audit log says of that.
    fn waiting_for(self, approval: &str, besides: who::Besides) -> Self {
        let approval = approval.to_owned();
        let waits = Some(Box::new(Waits { approval, besides }));
        Self { waits, ..self }
    }

    /// There is no room for this at the moment.
    pub(crate) fn later(detail: &str) -> Self {
        Self {
            is_for_now: true,
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }

    /// A shard has too much to do.
    pub(crate) fn busy() -> Self {
        Self::later("a shard did not answer in time")
    }

    /// A query that an operation cannot read, although it knows all of its parameters.
    fn query(why: &QueryRejection) -> Self {
        let text = why.body_text();
        // What is before the colon is of the library's own matter.
        let told = text
            .split_once(": ")
            .map_or(text.as_str(), |(_, told)| told);
        let lacking = told
            .strip_prefix("missing field `")
            .and_then(|rest| rest.strip_suffix('`'));
        let told = match lacking {
            Some(name) => format!("the query lacks ?{name}=..."),
            None => format!("the query is not as it has to be: {told}"),
        };
        Self::new(StatusCode::BAD_REQUEST, told)
    }

    pub(crate) fn because(status: StatusCode, reasons: Vec<String>) -> Self {
        Self {
            status,
            detail: reasons.join("; "),
            reasons,
            ..Self::new(status, "")
        }
    }

    /// All that is said, in lines.
    fn in_words(&self) -> String {
        let reasons = self.reasons.iter().map(String::as_str);
        let all: Vec<&str> = [self.detail.as_str()].into_iter().chain(reasons).collect();
        all.join("\n")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = serde_json::json!({
            "status": self.status.as_u16(),
            "title": self.status.canonical_reason().unwrap_or(""),
            "detail": self.detail,
        });
        if !self.reasons.is_empty() {
            body["reasons"] = self.reasons.into();
        }
        let waits = self.waits.map(|own| *own);
        if let Some(waits) = &waits {
            body["approval"] = waits.approval.as_str().into();
        }
        let form = [(CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, form, body.to_string()).into_response();
        if let Some(waits) = waits {
            response.extensions_mut().insert(waits.besides);
        }
        if self.is_for_now {
            let second = HeaderValue::from_static("1");
            response.headers_mut().insert(RETRY_AFTER, second);
        }
        response
    }
}

/// Socket and listener, open but not served yet. Dropped like this they leave nothing behind.
pub struct Doors {
    opened: Opened,
    /// Whoever watches calls must not wait for them: no door of those threads.
    metrics: Option<FigureDoor>,
    /// Which serve them; the last to go.
    threads: Threads,
}

/// What is open.
struct Opened {
    unix: OperatorSocket,
    network: Option<(TcpListener, TlsContextName)>,
}

impl Doors {
    /// Opens all.
    ///
    /// # Errors
    /// Everything that cannot be opened; nothing is open then.
    pub async fn open(
        socket: &Path,
        metrics: Option<&MetricsListen>,
        network: Option<&ApiListen>,
        log: &Log,
    ) -> Result<Self, Vec<AdminFault>> {
        let threads = Threads::start(log).map_err(|why| vec![AdminFault::Threads(why)])?;
        let (socket, network) = (socket.to_owned(), network.cloned());
        let handle = threads.handle();
        // Who opens a socket is woken for it.
        let opening = handle.spawn(async move { Opened::all(&socket, network.as_ref()).await });
        let failed = |why| Err(vec![AdminFault::Threads(io::Error::other(why))]);
        let opened = opening.await.unwrap_or_else(failed);
        let metrics = match metrics {
            Some(wanted) => FigureDoor::open(wanted, FormerFigures::None, log)
                .await
                .map(Some)
                .map_err(|why| {
                    let address = wanted.address;
                    AdminFault::Metrics { address, why }
                }),
            None => Ok(None),
        };
        match (opened, metrics) {
            (Ok(opened), Ok(metrics)) => Ok(Self {
                opened,
                metrics,
                threads,
            }),
            (opened, metrics) => {
                let faults = opened.err().into_iter().flatten();
                Err(faults.chain(metrics.err()).collect())
            }
        }
    }
}

impl Opened {
    async fn all(socket: &Path, network: Option<&ApiListen>) -> Result<Self, Vec<AdminFault>> {
        let mut faults = Vec::new();
        let unix = OperatorSocket::bind(socket).await;
        let network = match network {
            Some(ApiListen { address, tls }) => match TcpListener::bind(address).await {
                Ok(bound) => Some((bound, tls.clone())),
                Err(why) => {
                    let address = *address;
                    faults.push(AdminFault::Network { address, why });
                    None
                }
            },
            None => None,
        };
        match unix {
            Ok(unix) if faults.is_empty() => Ok(Self { unix, network }),
            Ok(_) => Err(faults),
            Err(why) => {
                let path = socket.to_owned();
                faults.insert(0, AdminFault::Socket { path, why });
                Err(faults)
            }
        }
    }
}

impl Admin {
    /// Serves what is open, by threads of its own. Call where the daemon's own work is to be done.
    pub fn start(daemon: &Arc<Daemon>, doors: Doors) -> Self {
        let Doors {
            opened,
            metrics,
            threads,
        } = doors;
        let Opened { unix, network } = opened;
        let handle = threads.handle();
        let access = Access {
            daemon: Arc::downgrade(daemon),
            desk: Arc::new(desk::Desk::on(handle.clone(), Handle::current())),
            approvals: Arc::default(),
            repeats: Arc::default(),
            deeds: Handle::current(),
        };
        let (unix, socket) = unix.keep();
        let (stop, stopped) = watch::channel(false);
        let until = |mut stopped: watch::Receiver<bool>| async move {
            // A sender that is gone means the same.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let mut tasks = Vec::new();
        let operable = readable().merge(routes::operations(&access));
        let everything = or_problem(readable().nest(routes::ROOT, operable))
            .layer(from_fn_with_state(access.clone(), who::hear_here))
            .layer(DefaultBodyLimit::max(MOST_SENT))
            .with_state(access.clone());
        let everything = everything.into_make_service_with_connect_info::<who::Who>();
        let ends = until(stopped.clone());
        tasks.push(handle.spawn(async move {
            let _ = axum::serve(unix, everything)
                .with_graceful_shutdown(ends)
                .await;
        }));
        let at_network = network.as_ref().and_then(|(tcp, _)| tcp.local_addr().ok());
        if let Some((tcp, context)) = network {
            let router = for_the_network(&access);
            let ends = stopped.clone();
            let daemon = Arc::downgrade(daemon);
            let told = is_not_believed(Weak::clone(&daemon));
            let own = Weak::clone(&daemon);
            let believes = move || own.upgrade()?.verifier_of_clients();
            // The certificate of this moment: it may have been renewed.
            let identity = move || {
                let daemon = daemon.upgrade()?;
                let identities = daemon.net().identities();
                let clients = daemon.verifier_of_clients();
                identities.get(&context)?.serve(clients).ok()
            };
            let serving = network::run(tcp, identity, believes, told, router, ends);
            tasks.push(handle.spawn(serving));
        }
        let mut stopping = stopped;
        let watched = alarms::watch(access.clone());
        tasks.push(handle.spawn(async move {
            tokio::select! {
                () = watched => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        }));
        let mut admin = Self {
            stop,
            tasks,
            socket,
            access,
            figures: None,
            network: at_network,
            threads,
        };
        admin.serve_figures(daemon, metrics);
        admin
    }

    /// Serves figures there from now on, or nowhere, and no more where they were: what was asked there is answered.
    pub(crate) fn serve_figures(&mut self, daemon: &Daemon, door: Option<FigureDoor>) {
        if let Some(before) = self.figures.take() {
            tokio::spawn(before.stop());
        }
        let access = &self.access;
        self.figures = match door {
            Some(door) => Some(Figures::serve(daemon, access, door)),
            None => {
                // Of lists that nobody looks at any more nothing is wrong.
                daemon.client_lists().set("metrics", None);
                None
            }
        };
    }

    /// The socket on which figures are served, to be shared.
    pub(crate) fn figures_socket(&self) -> Option<std::net::TcpListener> {
        self.figures.as_ref().and_then(Figures::socket)
    }

    /// Address of the TCP listener, if there is one.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.figures.as_ref()?.address()
    }

    /// Address of the listener for whoever has a token, if there is one.
    pub fn network_address(&self) -> Option<SocketAddr> {
        self.network
    }

    /// Finishes open requests and closes all.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for mut task in self.tasks {
            if tokio::time::timeout(LAST_REQUESTS, &mut task)
                .await
                .is_err()
            {
                task.abort();
            }
        }
        if let Some(figures) = self.figures {
            figures.stop().await;
        }
        if let Some(socket) = self.socket {
            let _ = std::fs::remove_file(socket);
        }
        drop(self.threads);
    }
}

/// The document of the interface.
pub fn document() -> serde_json::Value {
    openapi::document()
}

/// What to do when the socket cannot be made.
fn advice(why: &io::Error) -> &'static str {
    match why.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotFound
        | io::ErrorKind::ReadOnlyFilesystem => {
            "; its directory must belong to the user of the daemon, systemd-tmpfiles --create \
             makes it"
        }
        io::ErrorKind::InvalidInput => "; name a shorter path in [api]",
        _ => "",
    }
}

/// Has it written down that somebody's certificate was not believed.
fn is_not_believed(daemon: Weak<Daemon>) -> impl Fn(IpAddr) + Clone + Send + 'static {
    move |source| {
        if let Some(daemon) = daemon.upgrade() {
            daemon.sinks().audit.refused_stranger(source);
        }
    }
}

fn readable() -> Router<Access> {
    Router::new()
        .route("/metrics", get(node::metrics))
        .route("/healthz", get(node::health))
        .route("/readyz", get(node::ready))
        .route("/startupz", get(node::started))
}

/// What is not there, and what cannot be done so, as a problem too.
pub(crate) fn or_problem<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    let absent = async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path");
    let otherwise = async || {
        let why = "this path knows other methods, which Allow tells";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, why)
    };
    router
        .fallback(absent)
        .method_not_allowed_fallback(otherwise)
        .layer(map_response(in_form))
}

/// Refusals of what reads paths for us are text, such as of a name that is no UTF-8: problems, too.
async fn in_form(response: Response) -> Response {
    let kind = response.headers().get(CONTENT_TYPE);
    let is_text = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !response.status().is_client_error() || !is_text {
        return response;
    }
    let (head, body) = response.into_parts();
    let text = to_bytes(body, MOST_SENT).await.unwrap_or_default();
    Problem::new(head.status, String::from_utf8_lossy(&text)).into_response()
}

/// The console, and the operations behind a token.
fn for_the_network(access: &Access) -> Router {
    let sign_in = Arc::new(sign_in::SignIn::default());
    let gate = Arc::new(gate::Gate::default());
    let gate = (access.clone(), gate, Arc::clone(&sign_in));
    let operable = or_problem(routes::operations(access))
        .layer(from_fn_with_state(gate, gate::authenticate))
        .layer(DefaultBodyLimit::max(MOST_SENT));
    let pages = console::pages().merge(sign_in::doors(access, &sign_in));
    or_problem(pages.nest(routes::ROOT, operable))
        .layer(map_response(guarded))
        .with_state(access.clone())
}

/// What browsers are to keep to (SEC-152).
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             require-trusted-types-for 'script'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The bound Unix socket, which is removed with this value unless it is kept, together with the
/// directories that were made for it.
struct OperatorSocket {
    listener: UnixListener,
    traces: Traces,
}

/// What binding has left in the file system.
struct Traces {
    socket: Option<PathBuf>,
    directories: Vec<PathBuf>,
}

impl OperatorSocket {
    /// Binds the socket; one left by a dead process is replaced, one of a living daemon is not, and
    /// neither is anything else that a slip of the pen may have named.
    async fn bind(path: &Path) -> io::Result<Self> {
        let mut traces = Traces {
            socket: None,
            directories: Vec::new(),
        };
        let absent = path.ancestors().skip(1).take_while(|at| {
            // The path of a relative name ends with an empty one.
            !at.as_os_str().is_empty() && !at.exists()
        });
        traces.directories = absent.map(Path::to_owned).collect();
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        if let Ok(present) = std::fs::symlink_metadata(path) {
            if !present.file_type().is_socket() {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file of another kind; name another path in [api]",
                ));
            }
            if tokio::net::UnixStream::connect(path).await.is_ok() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another daemon answers on this socket; stop it, or name another path in [api]",
                ));
            }
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        traces.socket = Some(path.to_owned());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
        Ok(Self { listener, traces })
    }

    /// The socket and where it is, to stay.
    fn keep(mut self) -> (UnixListener, Option<PathBuf>) {
        self.traces.directories.clear();
        (self.listener, self.traces.socket.take())
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            let _ = std::fs::remove_file(socket);
        }
        for directory in &self.directories {
            // Somebody else may have begun to use it.
            let _ = std::fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::Query;

    #[derive(Debug, serde::Deserialize)]
    struct Wish {
        #[allow(dead_code, reason = "only whether it can be read counts")]
        cause: u8,
    }

    #[test]
    fn a_query_that_cannot_be_read_is_told_without_words_of_the_library() {
        let told = |query: &str| {
            let uri = format!("/x{query}").parse().unwrap();
            let why = Query::<Wish>::try_from_uri(&uri).unwrap_err();
            Problem::query(&why).detail
        };
        assert_eq!(told(""), "the query lacks ?cause=...");
        let told = told("?cause=300");
        assert!(
            told.starts_with("the query is not as it has to be: ") && !told.contains("deserialize"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("api.sock");
        drop(OperatorSocket::bind(&path).await.unwrap().keep());
        assert!(path.exists(), "as a killed daemon leaves it");
        let living = OperatorSocket::bind(&path).await.unwrap();
        let refused = OperatorSocket::bind(&path).await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
        drop(living);
        assert!(!path.exists());

        let file = directory.path().join("causeway.toml");
        std::fs::write(&file, "precious").unwrap();
        let refused = OperatorSocket::bind(&file).await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
}
