//! How the protocol's library reaches the authority: by our own requests, to the host that the configuration
//! names and to no other, whatever the authority's answers say (SEC-123).

use super::fault::Fault;
use crate::daemon::resolver::Resolver;
use crate::https::{self, AskFault};
use crate::sink::log::wall_clock;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, RETRY_AFTER, USER_AGENT};
use hyper::http::uri::{Authority, PathAndQuery, Uri};
use hyper::{Request, Response};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::ServerName;
use sbc_core::config::FileFault;
use sbc_core::locate::Families;
use sbc_core::query::{Outcome, ResolveSpec};
use sbc_core::transport::Protocol;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Longest time for one answer.
const LIMIT: Duration = Duration::from_secs(30);
/// Most octets of an answer: a chain has some ten thousand.
const LARGEST: usize = 1 << 20;

/// The way to one authority. Cheap to clone.
#[derive(Clone)]
pub(super) struct Way(Arc<Inner>);

struct Inner {
    connector: TlsConnector,
    resolver: Resolver,
    authority: Authority,
    /// How long the last refusal asks us to wait.
    wish: Mutex<Option<Duration>>,
}

impl Way {
    /// To the host of this URL.
    pub(super) fn new(directory: &str, roots: &str, resolver: Resolver) -> Result<Self, Fault> {
        let setting = |what, why: String| Fault::Setting { what, why };
        let (roots, _) = crate::config::read_roots(roots).map_err(
            |(FileFault::Unreadable(why) | FileFault::Unusable(why))| setting("https_roots", why),
        )?;
        let url: Uri = directory
            .parse()
            .map_err(|why| setting("directory", format!("{why}")))?;
        let authority = url
            .authority()
            .cloned()
            .ok_or_else(|| setting("directory", "it names no host".to_owned()))?;
        Ok(Self(Arc::new(Inner {
            connector: https::believing(roots),
            resolver,
            authority,
            wish: Mutex::default(),
        })))
    }

    /// The host that is asked.
    pub(super) fn host(&self) -> &str {
        self.0.authority.host()
    }

    /// What the library met there.
    pub(super) fn fault(&self, error: Error) -> Fault {
        let wish = self
            .0
            .wish
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Fault::of(error, self.host(), wish)
    }
}

impl HttpClient for Way {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let host = inner.authority.host().to_owned();
            let answer = timeout(LIMIT, inner.ask(request)).await;
            let answer = answer.unwrap_or_else(|_| {
                let why = format!("no answer within {} s", LIMIT.as_secs());
                Err(Fault::Broken { host, why })
            });
            let answer = answer.map_err(|fault| Error::Other(Box::new(fault)))?;
            Ok(BytesResponse::from(answer))
        })
    }
}

impl Inner {
    async fn ask(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, Fault> {
        let host = || self.authority.host().to_owned();
        let broken = |why: String| Fault::Broken { host: host(), why };
        let (mut parts, body) = request.into_parts();
        let is_there = parts.uri.scheme_str() == Some("https")
            && parts.uri.authority() == Some(&self.authority);
        if !is_there {
            return Err(Fault::Elsewhere {
                url: parts.uri.to_string(),
            });
        }
        let path = parts.uri.path_and_query().cloned();
        parts.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        let header = |text: &str| {
            text.parse()
                .map_err(|_| broken("it has no host".to_owned()))
        };
        parts.headers.insert(HOST, header(self.authority.as_str())?);
        parts.headers.insert(CONNECTION, header("close")?);
        parts.headers.insert(
            USER_AGENT,
            header(concat!("causeway/", env!("CARGO_PKG_VERSION")))?,
        );
        let Ok(body) = body.collect().await;
        let request = Request::from_parts(parts, Full::new(body.to_bytes()));

        let stream = https::connect(self.addresses().await?).await;
        let stream = stream.map_err(|why| Fault::Unreachable { host: host(), why })?;
        let name = ServerName::try_from(self.bare_host().to_owned());
        let name = name.map_err(|_| broken("its name cannot be that of a server".to_owned()))?;
        let fault = |fault| match fault {
            AskFault::Tls(why) => Fault::NotBelieved {
                host: host(),
                why: why.to_string(),
            },
            AskFault::Broken(why) => broken(why.to_string()),
            AskFault::TooLarge => broken("its answer is larger than 1 MiB".to_owned()),
        };
        let answer = https::ask(&self.connector, name, stream, request).await;
        let answer = answer.map_err(fault)?;
        let (status, headers) = (answer.response.status(), answer.response.headers().clone());
        let wish = answer.header(RETRY_AFTER);
        let wish = wish.and_then(|text| https::pause(text, wall_clock()));
        let body = answer.body(LARGEST).await.map_err(fault)?;
        let is_refusal = status.is_client_error() || status.is_server_error();
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner) = wish.filter(|_| is_refusal);
        let is_problem = serde_json::from_slice::<serde_json::Value>(&body).is_ok();
        if is_refusal && !is_problem {
            // A gateway before the authority: the library would only say that it is no JSON.
            return Err(Fault::Refused {
                host: host(),
                kind: format!("HTTP {}", status.as_u16()),
                detail: status.canonical_reason().unwrap_or("no reason").to_owned(),
                wish,
            });
        }
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// The host without what an IPv6 address stands between.
    fn bare_host(&self) -> &str {
        let host = self.authority.host();
        host.strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host)
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, Fault> {
        let port = self.authority.port_u16().unwrap_or(443);
        let host = self.bare_host();
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let spec = ResolveSpec {
            host: host.to_owned(),
            port,
            protocol: Protocol::Tls,
            families: Families::BOTH,
        };
        match self.resolver.resolve(&spec).await {
            Outcome::Resolved(addresses) => Ok(addresses),
            _ => Err(Fault::Unreachable {
                host: host.to_owned(),
                why: "its name has no address here".to_owned(),
            }),
        }
    }
}
