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
use sbc_core::locate::Families;
use sbc_core::query::{Outcome, ResolveSpec};
use sbc_core::transport::Protocol;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Longest time for one answer.
const LIMIT: Duration = Duration::from_secs(10);
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

    /// Sends what somebody is to keep. What is answered besides the status does not matter, and is not read.
    ///
    /// # Errors
    /// [`FetchFault`]; every status is an answer.
    pub async fn deliver(
        &self,
        address: &Address,
        parcel: Parcel,
    ) -> Result<StatusCode, FetchFault> {
        let (status, _) = self.ask(address, Sent::Parcel(parcel)).await?;
        Ok(status)
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
        let spec = ResolveSpec {
            host: address.host().to_owned(),
            port: address.0.port_u16().unwrap_or(443),
            protocol: Protocol::Tls,
            families: Families::BOTH,
        };
        let addresses = match spec.host.parse::<IpAddr>() {
            Ok(ip) => vec![(ip, spec.port).into()],
            Err(_) => match self.resolver.resolve(&spec).await {
                Outcome::Resolved(addresses) => addresses,
                _ => return Err("its name leads nowhere".to_owned()),
            },
        };
        let name = ServerName::try_from(spec.host).map_err(|_| "it has no usable name")?;
        let stream = https::connect(addresses).await?;
        let path = address.0.path_and_query().map_or("/", |path| path.as_str());
        let authority = address.0.authority().map_or("", |own| own.as_str());
        let is_read = !matches!(sent, Sent::Parcel(_));
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
        let request = builder
            .header(HOST, authority)
            .header(CONNECTION, "close")
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("causeway/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|why| why.to_string())?;
        let told = |fault| match fault {
            AskFault::Tls(why) => format!("its certificate is not believed: {why}"),
            AskFault::Broken(why) => format!("the connection broke: {why}"),
            AskFault::TooLarge => format!("its answer is longer than {LARGEST} octets"),
        };
        let answer = https::ask(&self.connector, name, stream, request).await;
        let answer = answer.map_err(told)?;
        let status = answer.response.status();
        if !is_read {
            return Ok((status, Vec::new()));
        }
        Ok((status, answer.body(LARGEST).await.map_err(told)?))
    }
}

fn fault(address: &Address, why: String) -> FetchFault {
    let address = address.to_string();
    FetchFault { address, why }
}

#[cfg(test)]
mod tests {
    use super::*;

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
