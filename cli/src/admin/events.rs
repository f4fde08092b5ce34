//! What happens, as it happens: server-sent events.

use super::who::Who;
use super::{Access, Problem};
use crate::daemon::protection::Protection;
use crate::sink::news::Item;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use sbc_core::config::TokenHash;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::timeout;

/// Listeners at the same time, and of one name.
const MOST: usize = 32;
const MOST_OF_ONE: usize = 8;
static LISTENING: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());
static SEATS: std::sync::LazyLock<Arc<Semaphore>> =
    std::sync::LazyLock::new(|| Arc::new(Semaphore::new(MOST)));
/// A line without meaning after so long a silence keeps the connection, and shows who has left.
const BREATH: Duration = Duration::from_secs(15);

struct Listener {
    news: broadcast::Receiver<Arc<Item>>,
    number: u64,
    token: Option<TokenHash>,
    protection: Arc<Protection>,
    _seat: OwnedSemaphorePermit,
    _place: Place,
}

/// One of those that one name may have.
struct Place(String);

impl Place {
    fn take(name: &str) -> Option<Self> {
        let mut all = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(name.to_owned()).or_default();
        if *count >= MOST_OF_ONE {
            return None;
        }
        *count += 1;
        Some(Self(name.to_owned()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.0);
            }
        }
    }
}

pub(super) async fn stream(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
) -> Result<Response, Problem> {
    let daemon = access.daemon()?;
    let seat = Arc::clone(&SEATS).try_acquire_owned().map_err(|_| {
        let why = format!("{MOST} listen already, which is the most that may");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)
    })?;
    let place = Place::take(who.name()).ok_or_else(|| {
        let why = format!(
            "{} listens {MOST_OF_ONE} times already, which is the most that one may",
            who.name()
        );
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)
    })?;
    let listener = Listener {
        news: daemon.sinks().news.listen(),
        number: 0,
        token: who.token().cloned(),
        protection: Arc::clone(daemon.protection()),
        _seat: seat,
        _place: place,
    };
    let began = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b": listening\n\n"))]);
    let goes_on = stream::unfold(listener, async |mut listener| {
        let text = next(&mut listener).await?;
        Some((Ok(Bytes::from(text)), listener))
    });
    let body = Body::from_stream(stream::StreamExt::chain(began, goes_on));
    let head = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((head, body).into_response())
}

/// The next lines; `None` when the daemon ends, or the token of whoever listens was taken away.
async fn next(listener: &mut Listener) -> Option<String> {
    let mut text = String::new();
    let news = timeout(BREATH, listener.news.recv()).await;
    let token = listener.token.as_ref();
    if token.is_some_and(|token| listener.protection.is_revoked(token)) {
        return None;
    }
    match news {
        Err(_) => text.push_str(":\n\n"),
        Ok(Ok(item)) => {
            listener.number += 1;
            let (number, kind, data) = (listener.number, item.kind, &item.data);
            // JSON has no line ends of its own.
            let _ = write!(
                text,
                "id: {number}\nevent: {}\ndata: {data}\n\n",
                kind.as_str()
            );
        }
        Ok(Err(RecvError::Lagged(missed))) => {
            let _ = write!(text, "event: missed\ndata: {{\"events\":{missed}}}\n\n");
        }
        Ok(Err(RecvError::Closed)) => return None,
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_does_not_take_the_places_of_all() {
        let places: Vec<_> = (0..MOST).map_while(|_| Place::take("desk")).collect();
        assert_eq!(places.len(), MOST_OF_ONE);
        assert!(Place::take("noc").is_some());
        drop(places);
        assert!(Place::take("desk").is_some());
    }
}
