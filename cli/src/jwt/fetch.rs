//! Asking an identity provider: HTTPS alone, one request with one deadline, a bounded answer, nothing followed
//! (SEC-123).

use crate::daemon::resolver::Resolver;
use crate::https::{self, AskFault};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT,
};
use hyper::{Request, StatusCode, Uri};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use std::fmt;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longest time for one answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Times for what somebody is to keep: a mebibyte takes longer than a question.
pub(crate) const DELIVERY: Limits = Limits {
    each: Duration::from_secs(3),
    connected: LIMIT,
    answered: Duration::from_secs(60),
};
/// Octets of the answer to a delivery that are of use: they say why it is refused.
const REASON: usize = 256;
/// Most octets of an answer.
const LARGEST: usize = 512 * 1024;
/// Longest address.
const LONGEST_ADDRESS: usize = 2_048;

/// An address of HTTPS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address(Uri);

impl Address {
    /// Reads an address without user and fragment; `None` if it is not of HTTPS.
    pub fn parse(text: &str) -> Option<Self> {
        let is_long = text.len() > LONGEST_ADDRESS;
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority()?.as_str();
        let is_https = uri.scheme_str() == Some("https") && !uri.host()?.is_empty();
        let is_plain = !authority.contains('@') && !text.contains('#');
        (is_https && is_plain && !is_long).then_some(Self(uri))
    }

    fn host(&self) -> &str {
        let host = self.0.host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a provider did not answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{address}: {why}")]
pub struct FetchFault {
    /// What was asked.
    pub address: String,
    /// What went wrong.
    pub why: String,
}

/// What somebody is to keep.
pub struct Parcel {
    /// Its media type.
    pub kind: &'static str,
    /// The same whenever the same is sent, so that whoever has it already can tell.
    pub key: String,
    /// What the header says by which we are known.
    pub authorization: Option<HeaderValue>,
    /// What is sent.
    pub body: Bytes,
}

/// What a server answers to a delivery.
pub struct Receipt {
    /// Whether it keeps it.
    pub status: StatusCode,
    /// The first 256 octets of what it says, as they came.
    pub reason: Vec<u8>,
}

/// Why nothing was answered to a delivery.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DeliveryFault {
    /// The server was reached, and took longer than it may.
    #[error("{0}")]
    Late(FetchFault),
    /// The server was reached, and what it answers cannot be read.
    #[error("{0}")]
    Broken(FetchFault),
    /// All else.
    #[error("{0}")]
    Failed(FetchFault),
}

/// How long a delivery may take.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Until one address answers.
    pub(crate) each: Duration,
    /// Until the server has proven who it is.
    pub(crate) connected: Duration,
    /// From then on until the answer is there.
    pub(crate) answered: Duration,
}

/// What goes with a question.
enum Sent {
    Nothing,
    Form(String),
    Parcel(Parcel),
}

/// Whom we believe, and where names lead.
pub struct Fetch {
    connector: TlsConnector,
    resolver: Resolver,
}

impl Fetch {
    /// Believes these roots.
    pub fn new(roots: RootCertStore, resolver: Resolver) -> Self {
        let connector = https::believing(roots);
        Self {
            connector,
            resolver,
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`FetchFault`], also for any status but 200.
    pub async fn get(&self, address: &Address) -> Result<Vec<u8>, FetchFault> {
        match self.ask(address, Sent::Nothing).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(fault(address, format!("it answers {status}"))),
        }
    }

    /// Sends a form.
    ///
    /// # Errors
    /// [`FetchFault`]; every status is an answer.
    pub async fn post(
        &self,
        address: &Address,
        form: String,
    ) -> Result<(StatusCode, Vec<u8>), FetchFault> {
        self.ask(address, Sent::Form(form)).await
    }

    /// Sends what somebody is to keep: 3 s for each address, 10 s until it is connected, 60 s from then on.
    ///
    /// # Errors
    /// [`DeliveryFault`]; every status is an answer.
    pub async fn deliver(
        &self,
        address: &Address,
        parcel: Parcel,
    ) -> Result<Receipt, DeliveryFault> {
        self.deliver_within(address, parcel, DELIVERY).await
    }

    async fn deliver_within(
        &self,
        address: &Address,
        parcel: Parcel,
        limits: Limits,
    ) -> Result<Receipt, DeliveryFault> {
        let failed = |why| DeliveryFault::Failed(fault(address, why));
        let late = |limit: Duration, what| format!("{what} within {} s", limit.as_secs());
        let reached = timeout(limits.connected, self.reach(address, limits.each)).await;
        let stream = reached
            .unwrap_or_else(|_| Err(late(limits.connected, "no connection")))
            .map_err(failed)?;
        let request = request(address, Sent::Parcel(parcel)).map_err(failed)?;
        let asked = timeout(limits.answered, async {
            let answer = https::ask_over(stream, request).await.map_err(told)?;
            let status = answer.response.status();
            // Nobody asks whoever keeps it what it has to say about that.
            let reason = match status.is_success() {
                true => Vec::new(),
                false => {
                    let begin = timeout(limits.each, answer.begin(REASON)).await;
                    begin.unwrap_or_default()
                }
            };
            Ok(Receipt { status, reason })
        });
        match asked.await {
            Ok(answer) => answer.map_err(|why| DeliveryFault::Broken(fault(address, why))),
            Err(_) => {
                let why = late(limits.answered, "no answer");
                Err(DeliveryFault::Late(fault(address, why)))
            }
        }
    }

    async fn ask(
        &self,
        address: &Address,
        sent: Sent,
    ) -> Result<(StatusCode, Vec<u8>), FetchFault> {
        let asked = timeout(LIMIT, self.exchange(address, sent)).await;
        let late = || format!("no answer within {} s", LIMIT.as_secs());
        asked
            .unwrap_or_else(|_| Err(late()))
            .map_err(|why| fault(address, why))
    }

    async fn exchange(
        &self,
        address: &Address,
        sent: Sent,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let stream = self.reach(address, LIMIT).await?;
        let answer = https::ask_over(stream, request(address, sent)?).await;
        let answer = answer.map_err(told)?;
        let status = answer.response.status();
        Ok((status, answer.body(LARGEST).await.map_err(told)?))
    }

    /// Connects to a server that proves to have the name of the address, with so much time for each place that it
    /// leads to.
    async fn reach(
        &self,
        address: &Address,
        each: Duration,
    ) -> Result<TlsStream<TcpStream>, String> {
        let (host, port) = (address.host(), address.0.port_u16().unwrap_or(443));
        let name = ServerName::try_from(host.to_owned()).map_err(|_| "it has no usable name")?;
        let stream = https::dial(&self.resolver, host, port, each).await?;
        let secure = https::secure(&self.connector, name, stream).await;
        secure.map_err(told)
    }
}

/// What is asked of whoever has this address.
fn request(address: &Address, sent: Sent) -> Result<Request<Full<Bytes>>, String> {
    let path = address.0.path_and_query().map_or("/", |path| path.as_str());
    let authority = address.0.authority().map_or("", |own| own.as_str());
    let (builder, body) = match sent {
        Sent::Nothing => (Request::get(path), Bytes::new()),
        Sent::Form(form) => {
            let form_type = "application/x-www-form-urlencoded";
            let builder = Request::post(path).header(CONTENT_TYPE, form_type);
            (builder, Bytes::from(form))
        }
        Sent::Parcel(parcel) => {
            let builder = Request::post(path)
                .header(CONTENT_TYPE, parcel.kind)
                .header("Idempotency-Key", parcel.key);
            let builder = match parcel.authorization {
                Some(value) => builder.header(AUTHORIZATION, value),
                None => builder,
            };
            (builder, parcel.body)
        }
    };
    builder
        .header(HOST, authority)
        .header(CONNECTION, "close")
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("causeway/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(body))
        .map_err(|why| why.to_string())
}

fn told(fault: AskFault) -> String {
    match fault {
        AskFault::Tls(why) => format!("its certificate is not believed: {why}"),
        AskFault::Broken(why) => format!("the connection broke: {why}"),
        AskFault::TooLarge => format!("its answer is longer than {LARGEST} octets"),
    }
}

fn fault(address: &Address, why: String) -> FetchFault {
    let address = address.to_string();
    FetchFault { address, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::https::fixture;
    use crate::sink::metrics::Metrics;
    use std::sync::Arc;
    use tokio::net::TcpListener;

    fn nothing() -> Parcel {
        Parcel {
            kind: "text/plain",
            key: String::new(),
            authorization: None,
            body: Bytes::new(),
        }
    }

    #[tokio::test]
    async fn who_does_not_prove_who_it_is_is_not_late_with_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let fetch = Fetch::new(RootCertStore::empty(), Resolver::new(metrics));
        let address = format!("https://{}/", listener.local_addr().unwrap());
        let limits = Limits {
            connected: Duration::from_millis(50),
            ..DELIVERY
        };
        let address = Address::parse(&address).unwrap();
        let fault = fetch
            .deliver_within(&address, nothing(), limits)
            .await
            .err();
        assert!(matches!(fault, Some(DeliveryFault::Failed(_))), "{fault:?}");
    }

    #[tokio::test]
    async fn who_has_proven_who_it_is_and_says_nothing_is_late() {
        let (listener, acceptor, roots) = fixture::server().await;
        let address = format!("https://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let _held = acceptor.accept(stream).await.unwrap();
            std::future::pending::<()>().await;
        });
        let metrics = Arc::new(Metrics::new().unwrap());
        let fetch = Fetch::new(roots, Resolver::new(metrics));
        let limits = Limits {
            answered: Duration::from_millis(50),
            ..DELIVERY
        };
        let address = Address::parse(&address).unwrap();
        let fault = fetch
            .deliver_within(&address, nothing(), limits)
            .await
            .err();
        assert!(matches!(fault, Some(DeliveryFault::Late(_))), "{fault:?}");
    }

    #[test]
    fn an_address_is_of_https_and_names_nobody() {
        for good in ["https://login.example.com/x?y=z", "https://[::1]:8443/"] {
            assert_eq!(Address::parse(good).unwrap().to_string(), good);
        }
        assert_eq!(Address::parse("https://[::1]:8443/").unwrap().host(), "::1");
        let long = format!("https://example.com/{}", "x".repeat(LONGEST_ADDRESS));
        for bad in [
            "http://login.example.com/",
            "https://user@example.com/",
            "https://example.com/#x",
            "/path",
            "",
            long.as_str(),
        ] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }
}
