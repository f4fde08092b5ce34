//! Where notices come in: anybody may knock (TDG-PRS-002, TDG-PRS-003).
//!
//! | what comes                                  | answer                              |
//! |---------------------------------------------|-------------------------------------|
//! | another path, another method                | 404, 405                            |
//! | `?validationToken=…`                        | 200, the token as `text/plain`      |
//! | notices, of which one is by a subscription of ours | 202, and work afterwards     |
//! | notices of nobody                           | 202, and nothing happens            |
//! | no notices                                  | 400                                 |
//! | too much of a source that proves nothing    | 429                                 |
//! | too much for this moment                    | 503, and Microsoft comes again      |
//!
//! Who makes something up is not told whether it was close: the answer is that to what is believed. Microsoft
//! itself is answered at once, whatever it says, since it leaves alone who is slow or refuses.

use super::Notices;
use crate::admin::gate::Remote;
use crate::admin::rates::{Sources, source};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use causeway_notice::{Batch, proof};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Octets of a body, of which each connection has one at most. A presence has some three thousand.
const MOST_SENT: usize = 512 * 1024;
/// How long a body may take; Microsoft wants an answer within 3 s of its last octet.
const BODY: Duration = Duration::from_secs(5);
/// Requests of one source that prove nothing: in a second, and at once.
const RATE: f64 = 2.0;
const BURST: f64 = 100.0;
/// Such sources that are remembered.
const REMEMBERED: usize = 1_024;

/// What all requests share.
pub(super) struct Door {
    notices: Arc<Notices>,
    /// Only while this is the path that is asked for.
    path: Box<dyn Fn() -> Option<String> + Send + Sync>,
    sources: Mutex<Sources>,
}

impl Door {
    pub(super) fn new(
        notices: Arc<Notices>,
        path: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            notices,
            path: Box::new(path),
            sources: Mutex::new(Sources::new(RATE, BURST, REMEMBERED)),
        }
    }

    /// What serves it.
    pub(super) fn router(self) -> Router {
        Router::new().fallback(take).with_state(Arc::new(self))
    }

    fn has_left(&self, source: IpAddr) -> bool {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.has(&source, Instant::now())
    }

    /// A request of there has proven nothing.
    fn spent(&self, source: IpAddr) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.take(&source, Instant::now());
    }

    fn came(&self, result: &'static str) {
        self.notices.came(result);
    }
}

async fn take(State(door): State<Arc<Door>>, request: Request) -> Response {
    let peer = request.extensions().get::<Remote>().cloned();
    let from = peer
        .as_ref()
        .map_or(IpAddr::from([0; 4]), |peer| source(peer.address.ip()));
    if !door.has_left(from) {
        door.came("too_many");
        return plain(StatusCode::TOO_MANY_REQUESTS, Some("10"), "");
    }
    let is_here = (door.path)().is_some_and(|path| path == request.uri().path());
    if !is_here {
        door.spent(from);
        return plain(StatusCode::NOT_FOUND, None, "");
    }
    if request.method() != Method::POST {
        door.spent(from);
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, None, "");
        let post = HeaderValue::from_static("POST");
        response.headers_mut().insert(ALLOW, post);
        return response;
    }
    if let Some(token) = proof(request.uri().query()) {
        door.spent(from);
        return match token {
            Some(token) => {
                door.came("handshake");
                plain(StatusCode::OK, None, &token)
            }
            None => {
                door.came("unreadable");
                plain(StatusCode::BAD_REQUEST, None, "")
            }
        };
    }
    let read = read(request.into_body()).await;
    let (batch, octets) = match read {
        Ok(read) => read,
        Err(status) => {
            door.spent(from);
            door.came("unreadable");
            return plain(status, None, "");
        }
    };
    match door.notices.take(batch, octets) {
        Taken::Known => {
            if let Some(peer) = peer {
                peer.proof.given();
            }
            plain(StatusCode::ACCEPTED, None, "")
        }
        Taken::Nobodys => {
            door.spent(from);
            plain(StatusCode::ACCEPTED, None, "")
        }
        Taken::NoRoom => plain(StatusCode::SERVICE_UNAVAILABLE, Some("2"), ""),
    }
}

/// What became of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// There is one in it by a subscription of ours; the others are left.
    Known,
    /// There is none.
    Nobodys,
    /// There are more than can wait.
    NoRoom,
}

async fn read(body: Body) -> Result<(Batch, usize), StatusCode> {
    let octets = timeout(BODY, to_bytes(body, MOST_SENT))
        .await
        .map_err(|_| StatusCode::REQUEST_TIMEOUT)?
        .map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    let batch = Batch::read(&octets).map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok((batch, octets.len()))
}

/// An answer that no browser takes for more than text.
fn plain(status: StatusCode, retry_after: Option<&'static str>, text: &str) -> Response {
    let mut response = (status, text.to_owned()).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    response
}
