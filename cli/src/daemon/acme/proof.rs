//! How the authority sees that a name is ours: a page at our port while it looks, or a record that a program of
//! the operator makes (RFC 8555 §8.3, §8.4).

use super::fault::Fault;
use crate::admin::bounded::Bounded;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use instant_acme::{ChallengeType, KeyAuthorization};
use sbc_core::config::AcmeProof;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest time for the program: it ends when the record is seen by everybody.
const HOOK_LIMIT: Duration = Duration::from_secs(300);
/// What of its complaints is told.
const LONGEST_COMPLAINT: u64 = 1_000;
/// What the program needs of our environment. Secrets may be there, which are not its.
const ENVIRONMENT: [&str; 4] = ["PATH", "HOME", "LANG", "CREDENTIALS_DIRECTORY"];

/// What is shown while one order is open.
pub(super) struct Proofs {
    way: AcmeProof,
    pages: Pages,
    server: Option<JoinHandle<()>>,
    /// Records that were made.
    records: Vec<(String, String)>,
}

type Pages = Arc<Mutex<Shown>>;

#[derive(Default)]
struct Shown {
    /// By token.
    pages: BTreeMap<String, String>,
    /// How often one was fetched.
    fetched: u32,
}

impl Proofs {
    pub(super) fn new(way: &AcmeProof) -> Self {
        Self {
            way: way.clone(),
            pages: Pages::default(),
            server: None,
            records: Vec::new(),
        }
    }

    pub(super) fn kind(&self) -> ChallengeType {
        match self.way {
            AcmeProof::Http { .. } => ChallengeType::Http01,
            AcmeProof::Dns { .. } => ChallengeType::Dns01,
        }
    }

    pub(super) fn word(&self) -> &'static str {
        match self.way {
            AcmeProof::Http { .. } => "http-01",
            AcmeProof::Dns { .. } => "dns-01",
        }
    }

    /// What we have seen of the authority, for whoever wonders why it saw nothing.
    pub(super) fn seen(&self) -> Option<String> {
        let AcmeProof::Http { listen } = &self.way else {
            return None;
        };
        let fetched = self
            .pages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fetched;
        (fetched == 0).then(|| format!("; nobody has asked for the page at {listen}"))
    }

    /// Shows what proves that this name is ours.
    pub(super) async fn show(
        &mut self,
        name: &str,
        token: &str,
        key: &KeyAuthorization,
    ) -> Result<(), Fault> {
        match &self.way {
            AcmeProof::Http { listen } => {
                if self.server.is_none() {
                    let listener = bind(*listen).await;
                    let listener = listener.map_err(|why| Fault::Listen {
                        address: *listen,
                        why,
                    })?;
                    self.server = Some(serve(listener, &self.pages));
                }
                let mut shown = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
                shown
                    .pages
                    .insert(token.to_owned(), key.as_str().to_owned());
            }
            AcmeProof::Dns { hook } => {
                let name = name.strip_prefix("*.").unwrap_or(name);
                let record = (format!("_acme-challenge.{name}"), key.dns_value());
                call(hook, "add", &record).await?;
                self.records.push(record);
            }
        }
        Ok(())
    }

    /// Takes back what was shown. A record that stays proves nothing later.
    pub(super) async fn withdraw(mut self) {
        if let AcmeProof::Dns { hook } = self.way.clone() {
            for record in std::mem::take(&mut self.records) {
                let _ = call(&hook, "remove", &record).await;
            }
        }
    }
}

impl Drop for Proofs {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

/// Every address of both families where none is named; a host without IPv6 has one of them.
async fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(listen).await {
        Err(why) if listen.is_ipv6() && listen.ip().is_unspecified() && !is_of_the_port(&why) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, listen.port())).await
        }
        bound => bound,
    }
}

fn is_of_the_port(why: &io::Error) -> bool {
    matches!(
        why.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}

fn serve(listener: TcpListener, pages: &Pages) -> JoinHandle<()> {
    let router = Router::new()
        .route("/.well-known/acme-challenge/{token}", get(page))
        .with_state(Arc::clone(pages));
    tokio::spawn(async move {
        let _ = axum::serve(Bounded::new(listener), router).await;
    })
}

async fn page(State(pages): State<Pages>, Path(token): Path<String>) -> impl IntoResponse {
    let mut shown = pages.lock().unwrap_or_else(PoisonError::into_inner);
    match shown.pages.get(&token).cloned() {
        Some(text) => {
            shown.fetched += 1;
            Ok(([(CONTENT_TYPE, "application/octet-stream")], text))
        }
        None => Err(StatusCode::NOT_FOUND),
    }
}

/// Calls the program, and waits for it.
async fn call(hook: &str, what: &str, (name, value): &(String, String)) -> Result<(), Fault> {
    let fault = |why: String| Fault::Hook {
        hook: hook.to_owned(),
        why,
    };
    let mut command = Command::new(hook);
    command.args([what, name, value]).env_clear();
    command.envs(
        ENVIRONMENT
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?))),
    );
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command
        .kill_on_drop(true)
        .spawn()
        .map_err(|why| fault(why.to_string()))?;
    let mut complaint = Vec::new();
    let work = async {
        if let Some(stderr) = child.stderr.take() {
            let mut stderr = stderr;
            // More than is told is read all the same: a full pipe would hold it up.
            let _ = (&mut stderr)
                .take(LONGEST_COMPLAINT)
                .read_to_end(&mut complaint)
                .await;
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        child.wait().await
    };
    match timeout(HOOK_LIMIT, work).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => {
            let said = String::from_utf8_lossy(&complaint);
            let said: String = said.trim().chars().map(sbc_core::display::shown).collect();
            Err(fault(format!("{what} {name}: {status}: {said}")))
        }
        Ok(Err(why)) => Err(fault(why.to_string())),
        Err(_) => Err(fault(format!(
            "{what} {name}: not done within {} s",
            HOOK_LIMIT.as_secs()
        ))),
    }
}
