//! What an operator sees of a relay that serves a proxy: `GET /metrics`, `/healthz` and `/status` over plain HTTP.
//!
//! The service answers between requests of proxies and behind them, so whoever hears nothing for a while knows that it hangs.

use crate::admin::bounded::Bounded;
use crate::admin::{Problem, or_problem};
use crate::daemon::health::stuck_media;
use crate::daemon::media::{Served, figures_of};
use crate::sink::log::Log;
use crate::sink::metrics::{MediaFigures, ProxiedMetrics};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use media_api::RealmId;
use media_ng::Counters;
use media_relay::Relay;
use sbc_core::id::RealmName;
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Questions that may wait for the service.
const QUESTIONS: usize = 64;
/// How long the service may take to answer one.
const PATIENCE: Duration = Duration::from_secs(2);

/// Somebody who wants to see what there is.
#[derive(Debug)]
pub(super) enum Question {
    /// For how long the media thread that is worst off has not come round.
    Silence(oneshot::Sender<Duration>),
    /// Everything.
    All(oneshot::Sender<Seen>),
}

/// What there is at one moment.
#[derive(Debug)]
pub(super) struct Seen {
    media: MediaFigures,
    served: Vec<Served>,
    ng: Counters,
    uptime: Duration,
}

impl Seen {
    /// A look at the relay; `names` are those of its sides.
    pub(super) fn of(relay: &Relay, names: &[String], ng: Counters, uptime: Duration) -> Self {
        let name = |realm: RealmId| {
            names
                .get(usize::from(realm.0))
                .map(|own| RealmName::new(own))
        };
        let addresses = relay.backend().addresses;
        let media = MediaFigures {
            has_relay: stuck_media(relay.longest_silence()).is_none(),
            ..figures_of(relay.totals(), &addresses, name)
        };
        let served = addresses.into_iter();
        let served = served.filter_map(|own| Some(Served::of(name(own.realm)?, own)));
        Self {
            media,
            served: served.collect(),
            ng,
            uptime,
        }
    }
}

/// The open listener. Dropped it is closed.
pub(super) struct Door {
    task: JoinHandle<()>,
    address: SocketAddr,
}

/// What a request needs.
#[derive(Clone)]
struct Desk {
    questions: mpsc::Sender<Question>,
    metrics: Arc<ProxiedMetrics>,
    log: Log,
}

impl Door {
    /// Opens the listener; whoever comes asks the receiver.
    pub(super) async fn open(
        address: SocketAddr,
        log: &Log,
    ) -> io::Result<(Self, mpsc::Receiver<Question>)> {
        let tcp = TcpListener::bind(address).await?;
        let address = tcp.local_addr()?;
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let desk = Desk {
            questions,
            metrics: Arc::new(ProxiedMetrics::new().map_err(io::Error::other)?),
            log: log.clone(),
        };
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(health))
            .route("/status", get(status));
        let router = or_problem(router).with_state(desk);
        let serving = axum::serve(Bounded::new(tcp), router);
        let task = tokio::spawn(async move {
            let _ = serving.await;
        });
        Ok((Self { task, address }, asked))
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Desk {
    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, Problem> {
        let (sender, answer) = oneshot::channel();
        let question = question(sender);
        let asked = async {
            self.questions.send(question).await.ok()?;
            answer.await.ok()
        };
        let problem = |why: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Some(seen)) => Ok(seen),
            Ok(None) => Err(problem("the relay is stopping")),
            Err(_) => Err(problem("the relay has too much to do to say how it is")),
        }
    }
}

async fn metrics(State(desk): State<Desk>) -> Result<Response, Problem> {
    let Seen { media, ng, .. } = desk.ask(Question::All).await?;
    let text = desk.metrics.text(media, ng, desk.log.dropped());
    let form = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((form, text).into_response())
}

async fn health(State(desk): State<Desk>) -> Result<Json<Value>, Problem> {
    match stuck_media(desk.ask(Question::Silence).await?) {
        None => Ok(Json(json!({ "alive": true }))),
        Some(stuck) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            stuck.to_string(),
        )),
    }
}

async fn status(State(desk): State<Desk>) -> Result<Json<Value>, Problem> {
    let seen = desk.ask(Question::All).await?;
    let realms = seen.media.realms.iter().map(|own| {
        let (used, all) = own.ports;
        json!({
            "realm": own.realm,
            "port_pairs_used": used,
            "port_pairs_free": all.saturating_sub(used),
        })
    });
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": seen.uptime.as_secs(),
        "calls": seen.ng.calls,
        "streams": seen.ng.streams,
        "sessions": seen.media.sessions,
        "transcodes": seen.media.transcodes.iter().flatten().sum::<u64>(),
        "realms": realms.collect::<Vec<_>>(),
        "addresses": seen.served,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::get_at;
    use crate::command::exit;
    use crate::command::form::{Form, Output};
    use crate::command::proxied;
    use crate::ng::tests::{options, quiet};
    use crate::ng::{Fault, Options, Service};
    use tokio::net::UdpSocket;

    async fn get(at: SocketAddr, path: &'static str) -> (u16, String) {
        let asked = tokio::task::spawn_blocking(move || get_at(at, path));
        let answer = asked.await.unwrap().unwrap();
        (answer.status, answer.body)
    }

    async fn printed(at: SocketAddr, output: Output) -> (u8, String) {
        let printing = tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            let code = proxied::status(at, output, &mut out).unwrap();
            (code, String::from_utf8(out).unwrap())
        });
        printing.await.unwrap()
    }

    #[tokio::test]
    async fn who_asks_whether_it_is_alive_has_nothing_counted() {
        let (questions, mut asked) = mpsc::channel(1);
        let desk = Desk {
            questions,
            metrics: Arc::new(ProxiedMetrics::new().unwrap()),
            log: quiet(),
        };
        let answering = tokio::spawn(async move {
            match asked.recv().await {
                Some(Question::Silence(answer)) => answer.send(Duration::ZERO).is_ok(),
                other => panic!("{other:?}"),
            }
        });
        assert!(health(State(desk)).await.is_ok());
        assert!(answering.await.unwrap());
    }

    #[tokio::test]
    async fn figures_health_and_what_serves_media_are_shown_of_a_relay_that_serves_a_proxy() {
        let wanted = Options {
            metrics: Some("127.0.0.1:0".parse().unwrap()),
            ..options()
        };
        let service = Service::start(&wanted, &quiet()).await.unwrap();
        let at = service.metrics_address().unwrap();
        let taken = Options {
            metrics: Some(at),
            ..options()
        };
        let taken = Service::start(&taken, &quiet()).await.err().unwrap();
        assert!(
            matches!(&taken, Fault::Metrics(own, _) if *own == at),
            "{taken}"
        );
        let control = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        control.connect(service.address().unwrap()).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(service.serve(async {
            let _ = stopped.await;
        }));
        let sdp = "v=0\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 8\r\n";
        let offer = json!({"command": "offer", "call-id": "1", "from-tag": "a", "sdp": sdp});
        let query = json!({"command": "query", "call-id": "2"});
        for (number, request) in [(1, offer), (2, query)] {
            control
                .send(format!("{number} {request}").as_bytes())
                .await
                .unwrap();
            let mut answer = [0; 4_096];
            let length = control.recv(&mut answer).await.unwrap();
            assert!(answer[..length].starts_with(number.to_string().as_bytes()));
        }
        let (code, text) = get(at, "/metrics").await;
        assert_eq!(code, 200);
        for line in [
            "sbc_ng_requests_total{command=\"offer\"} 1",
            "sbc_ng_refused_total{why=\"unknown_call\"} 1",
            "sbc_ng_calls 1",
            "sbc_ng_calls_begun_total 1",
            "sbc_ng_streams 2",
            "sbc_media_ports_used{realm=\"default\"} 2",
            "sbc_media_ports_limit{realm=\"default\"} 20",
            "sbc_media_relay_up 1",
            "sbc_media_backend{address=\"127.0.0.1\",backend=\"socket\",realm=\"default\"} 1",
            "sbc_rtp_dropped_total{realm=\"default\",reason=\"source\"} 0",
            "sbc_rtp_bytes_total{dir=\"in\",realm=\"default\"} 0",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
        assert_eq!(get(at, "/healthz").await, (200, "{\"alive\":true}".into()));
        assert_eq!(get(at, "/calls").await.0, 404);
        let (code, text) = printed(at, Output::default()).await;
        assert_eq!(code, exit::OK);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = text.lines().map(words).collect();
        for line in ["calls 1", "streams 2", "default 2 18"] {
            assert!(lines.iter().any(|own| own == line), "{line}\n{text}");
        }
        assert!(
            lines
                .iter()
                .any(|own| own.starts_with("default 127.0.0.1 - socket 0")),
            "{text}"
        );
        let json = Output {
            output: Some(Form::Json),
            ..Output::default()
        };
        let (_, text) = printed(at, json).await;
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["addresses"][0]["backend"], "socket");
        assert_eq!(told["realms"][0]["port_pairs_free"], 18);
        stop.send(()).unwrap();
        serving.await.unwrap();
        assert_eq!(printed(at, Output::default()).await.0, exit::UNREACHABLE);
    }
}
