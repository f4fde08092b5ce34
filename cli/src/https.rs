//! One HTTPS request over one connection: bounded headers, a bounded body, nothing followed.

#[cfg(test)]
pub(crate) mod fixture;

use crate::daemon::net::tls::provider;
use crate::daemon::resolver::Resolver;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use sbc_core::locate::Families;
use sbc_core::query::{Outcome, ResolveSpec};
use sbc_core::time::UnixTime;
use sbc_core::transport::Protocol;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Most octets of an answer's headers.
const LARGEST_HEAD: usize = 128 * 1024;
/// Longest time for a connection to one address.
const CONNECT: Duration = Duration::from_secs(10);
/// Addresses of a name that are tried.
const MAX_TRIES: usize = 4;

/// Why there is no answer.
#[derive(Debug)]
pub enum AskFault {
    /// The server's certificate is not believed, or it does not speak TLS.
    Tls(io::Error),
    /// The connection broke, or what came is no HTTP.
    Broken(hyper::Error),
    /// The body has more octets than anybody wants.
    TooLarge,
}

/// An answer whose body was not read yet.
pub struct Answer {
    /// Status and headers.
    pub response: Response<Incoming>,
    _connection: Aborted,
}

/// Believes servers whose certificates lead to these roots.
pub fn believing(roots: RootCertStore) -> TlsConnector {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|_| unreachable!("the provider knows TLS 1.2 and 1.3"))
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Connects to the first of a server's addresses that answers.
///
/// # Errors
/// Why the last one that was tried did not.
pub async fn connect(addresses: Vec<SocketAddr>) -> Result<TcpStream, String> {
    connect_within(addresses, CONNECT).await
}

/// As [`connect`], with so much time for each address.
///
/// # Errors
/// Why the last one that was tried did not.
pub async fn connect_within(
    addresses: Vec<SocketAddr>,
    each: Duration,
) -> Result<TcpStream, String> {
    let mut last = "it has no address".to_owned();
    for address in addresses.into_iter().take(MAX_TRIES) {
        match timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(why)) => last = format!("{address}: {why}"),
            Err(_) => last = format!("{address}: no answer within {} s", each.as_secs_f32()),
        }
    }
    Err(last)
}

/// Connects to a host by its address or name, with so much time for each address that it has.
///
/// # Errors
/// Why the last one that was tried did not answer, or that the name has none.
pub async fn dial(
    resolver: &Resolver,
    host: &str,
    port: u16,
    each: Duration,
) -> Result<TcpStream, String> {
    let addresses = match host.parse::<IpAddr>() {
        Ok(ip) => vec![(ip, port).into()],
        Err(_) => {
            let spec = ResolveSpec {
                host: host.to_owned(),
                port,
                protocol: Protocol::Tls,
                families: Families::BOTH,
            };
            match resolver.resolve(&spec).await {
                Outcome::Resolved(addresses) => addresses,
                _ => return Err("its name leads nowhere".to_owned()),
            }
        }
    };
    connect_within(addresses, each).await
}

/// How long a server asks us to wait: seconds, or a time (RFC 9110 §10.2.3).
pub fn pause(text: &str, now: UnixTime) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let until = UnixTime::of_rfc1123(text.trim().as_bytes())?;
    // A header tells whole seconds.
    let second = |at: UnixTime| at.as_micros() / 1_000_000;
    Some(Duration::from_secs(
        second(until).saturating_sub(second(now)),
    ))
}

/// Asks a server that proves to have this name.
///
/// # Errors
/// [`AskFault`]; a refusal by the server is an answer.
pub async fn ask(
    connector: &TlsConnector,
    name: ServerName<'static>,
    stream: TcpStream,
    request: Request<Full<Bytes>>,
) -> Result<Answer, AskFault> {
    ask_over(secure(connector, name, stream).await?, request).await
}

/// Makes a server prove that it has this name.
///
/// # Errors
/// [`AskFault::Tls`].
pub async fn secure(
    connector: &TlsConnector,
    name: ServerName<'static>,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, AskFault> {
    let secure = connector.connect(name, stream).await;
    secure.map_err(AskFault::Tls)
}

/// Asks a server that has proven who it is.
///
/// # Errors
/// [`AskFault`]; a refusal by the server is an answer.
pub async fn ask_over(
    stream: TlsStream<TcpStream>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, AskFault> {
    let secure = TokioIo::new(stream);
    let mut http = hyper::client::conn::http1::Builder::new();
    let handshake = http.max_buf_size(LARGEST_HEAD).handshake(secure).await;
    let (mut sender, connection) = handshake.map_err(AskFault::Broken)?;
    let connection = Aborted(tokio::spawn(async move {
        // Its end is seen by whoever reads.
        let _ = connection.await;
    }));
    let response = sender.send_request(request).await;
    Ok(Answer {
        response: response.map_err(AskFault::Broken)?,
        _connection: connection,
    })
}

impl Answer {
    /// A header, if it is there once and is text.
    pub fn header(&self, name: hyper::header::HeaderName) -> Option<&str> {
        let value = self.response.headers().get(name)?;
        value.to_str().ok()
    }

    /// The first octets of the body, as many as come before it ends or breaks.
    pub async fn begin(self, most: usize) -> Vec<u8> {
        let mut octets = Vec::new();
        let mut body = self.response.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            octets.extend_from_slice(&frame.into_data().unwrap_or_default());
            if octets.len() >= most {
                octets.truncate(most);
                break;
            }
        }
        octets
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`AskFault`], also when it is larger than that.
    pub async fn body(self, largest: usize) -> Result<Vec<u8>, AskFault> {
        let length = self.header(CONTENT_LENGTH);
        let length = length.and_then(|text| text.parse::<usize>().ok());
        if length.is_some_and(|length| length > largest) {
            return Err(AskFault::TooLarge);
        }
        let mut octets = Vec::new();
        let mut body = self.response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(AskFault::Broken)?;
            let part = frame.into_data().unwrap_or_default();
            if octets.len() + part.len() > largest {
                return Err(AskFault::TooLarge);
            }
            octets.extend_from_slice(&part);
        }
        Ok(octets)
    }
}

/// Ends the task of a connection with whoever uses it.
pub struct Aborted(pub JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_drops_what_comes_takes_no_more_than_its_share_of_the_time() {
        let full = tokio::net::TcpSocket::new_v4().unwrap();
        full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = full.listen(1).unwrap();
        let dropped = full.local_addr().unwrap();
        // Its queue is filled until it takes no more.
        let short = Duration::from_millis(200);
        let mut waiting = Vec::new();
        while let Ok(stream) = timeout(short, TcpStream::connect(dropped)).await {
            waiting.push(stream.unwrap());
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        // Three of them would take 30 s with what others have for each.
        let all = vec![dropped, dropped, dropped, good];
        let stream = timeout(CONNECT, connect_within(all, short)).await;
        assert_eq!(stream.unwrap().unwrap().peer_addr().unwrap(), good);
    }

    #[test]
    fn a_pause_is_seconds_or_a_time() {
        let now = UnixTime::of_rfc3339("2026-08-01T10:00:00Z").unwrap();
        for (text, wait) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sat, 01 Aug 2026 10:01:00 GMT", Some(60)),
            ("Sat, 01 Aug 2026 09:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(pause(text, now), wait.map(Duration::from_secs), "{text}");
        }
    }
}
