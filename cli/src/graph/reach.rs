//! Reaching hosts of Microsoft: who is believed, where a name leads, how long somebody waits
//! (TDG-CDR-003, TDG-ENT-005).

use super::fault::GraphFault;
use crate::config::read_roots;
use crate::daemon::resolver::Resolver;
use crate::https::{self, AskFault};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, DATE, HOST, HeaderName, RETRY_AFTER, USER_AGENT};
use hyper::http::request::Builder;
use hyper::{StatusCode, header};
use rustls::pki_types::ServerName;
use sbc_core::config::FileFault;
use sbc_core::locate::Families;
use sbc_core::query::{Outcome, ResolveSpec};
use sbc_core::time::UnixTime;
use sbc_core::transport::Protocol;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// Longest time for one answer; Graph takes its time for a page of a thousand rows.
const LIMIT: Duration = Duration::from_secs(60);
/// Most octets of an answer: a page has about one million.
const LARGEST: usize = 16 << 20;
/// How often a request is made again because its server is busy.
const MOST_WAITS: u32 = 5;
/// Longest time that a server may ask us to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Port of HTTPS.
const PORT: u16 = 443;

/// How hosts of Microsoft are reached.
pub struct Reach {
    connector: TlsConnector,
    resolver: Resolver,
    /// Names that are looked for elsewhere.
    elsewhere: BTreeMap<String, SocketAddr>,
    /// Microsoft's clock less ours, in seconds; [`i64::MIN`] while nobody has told.
    clock: AtomicI64,
    /// Told of every wait.
    pub on_wait: fn(&str, Duration),
}

/// An answer that was read.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
    /// Name by which Microsoft's support finds the request.
    pub(super) request_id: Option<String>,
}

impl Reach {
    /// Believes the roots in this file, or the built-in ones of Microsoft.
    ///
    /// # Errors
    /// Why the file is of no use.
    pub fn new(
        roots: &str,
        resolver: Resolver,
        elsewhere: BTreeMap<String, SocketAddr>,
    ) -> Result<Self, FileFault> {
        let (roots, _) = read_roots(roots)?;
        Ok(Self {
            connector: https::believing(roots),
            resolver,
            elsewhere,
            clock: AtomicI64::new(i64::MIN),
            on_wait: |_, _| {},
        })
    }

    /// Asks, and asks again while the server is busy, as it says.
    pub(crate) async fn patiently(
        &self,
        host: &'static str,
        request: impl Fn() -> Builder,
        body: impl Fn() -> Bytes,
    ) -> Result<Reply, GraphFault> {
        let mut waits = 0;
        loop {
            let (reply, asked_for) = timeout(LIMIT, self.ask(host, request(), body()))
                .await
                .unwrap_or(Err(GraphFault::Silent { host, after: LIMIT }))?;
            let is_busy = reply.status == StatusCode::TOO_MANY_REQUESTS
                || reply.status.is_server_error() && reply.status != StatusCode::NOT_IMPLEMENTED;
            if !is_busy {
                return Ok(reply);
            }
            let wait = asked_for.unwrap_or(Duration::from_secs(2) * 2_u32.pow(waits));
            if waits == MOST_WAITS || wait > LONGEST_WAIT {
                return Err(GraphFault::Busy {
                    host,
                    status: reply.status.as_u16(),
                    wait,
                });
            }
            waits += 1;
            (self.on_wait)(host, wait);
            sleep(wait).await;
        }
    }

    pub(super) async fn ask(
        &self,
        host: &'static str,
        request: Builder,
        body: Bytes,
    ) -> Result<(Reply, Option<Duration>), GraphFault> {
        let stream = self.connect(host).await?;
        let name = ServerName::try_from(host).map_err(|_| GraphFault::Unknown { host })?;
        let request = request
            .header(HOST, host)
            .header(CONNECTION, "close")
            .header(USER_AGENT, concat!("causeway/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body));
        // A link to the next page may be no path.
        let request = request.map_err(|_| GraphFault::Unreadable { host })?;
        let fault = |fault| match fault {
            AskFault::Tls(why) => GraphFault::NotBelieved {
                host,
                why: why.to_string(),
            },
            AskFault::Broken(why) => GraphFault::Broken {
                host,
                why: why.to_string(),
            },
            AskFault::TooLarge => GraphFault::TooLarge { host },
        };
        let answer = https::ask(&self.connector, name, stream, request).await;
        let answer = answer.map_err(fault)?;
        let now = now();
        let told = answer.header(DATE);
        let told = told.and_then(|text| UnixTime::of_rfc1123(text.as_bytes()));
        if let Some(told) = told {
            // One request at a time: nobody else writes.
            self.clock
                .store(seconds(told) - seconds(now), Ordering::Relaxed);
        }
        let wait = answer.header(RETRY_AFTER);
        let wait = wait.and_then(|text| https::pause(text, told.unwrap_or(now)));
        let request_id = answer.header(HeaderName::from_static("request-id"));
        let request_id = request_id.map(|text| text.chars().take(64).collect());
        let status = answer.response.status();
        let body = answer.body(LARGEST).await.map_err(fault)?;
        let reply = Reply {
            status,
            body,
            request_id,
        };
        Ok((reply, wait))
    }

    async fn connect(&self, host: &'static str) -> Result<TcpStream, GraphFault> {
        let addresses = match self.elsewhere.get(host) {
            Some(address) => vec![*address],
            None => {
                let spec = ResolveSpec {
                    host: host.to_owned(),
                    port: PORT,
                    protocol: Protocol::Tls,
                    families: Families::BOTH,
                };
                match self.resolver.resolve(&spec).await {
                    Outcome::Resolved(addresses) => addresses,
                    _ => return Err(GraphFault::Unknown { host }),
                }
            }
        };
        let stream = https::connect(addresses).await;
        stream.map_err(|why| GraphFault::Unreachable { host, why })
    }

    pub(crate) fn clock_ahead_s(&self) -> Option<i64> {
        let ahead = self.clock.load(Ordering::Relaxed);
        (ahead != i64::MIN).then_some(ahead)
    }
}

fn seconds(at: UnixTime) -> i64 {
    i64::try_from(at.as_micros() / 1_000_000).unwrap_or(i64::MAX)
}

/// The time on this host.
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let us = since.map_or(0, |since| since.as_micros());
    UnixTime::from_micros(us.try_into().unwrap_or(u64::MAX))
}

/// Text that may stand in the body of a form (RFC 3986 §2.1).
pub(crate) fn escaped(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len());
    for octet in octets {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(*octet));
            }
            octet => out.push_str(&format!("%{octet:02X}")),
        }
    }
    out
}

/// Type of the body of a form.
pub(super) const FORM: (header::HeaderName, &str) =
    (header::CONTENT_TYPE, "application/x-www-form-urlencoded");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_cannot_carry_is_escaped() {
        assert_eq!(escaped(b"aZ9-._~"), "aZ9-._~");
        assert_eq!(
            escaped("a b&c=\u{e9}+/".as_bytes()),
            "a%20b%26c%3D%C3%A9%2B%2F"
        );
    }
}
