//! Fetching a credential from where a stranger says it is (SEC-120): HTTPS of a public address, once,
//! a little, and not for long. Nothing is followed.

use super::reach::Reach;
use super::trust::Trust;
use crate::daemon::resolver::Resolver;
use crate::https::{self, Answer, AskFault};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CACHE_CONTROL, HOST};
use hyper::{Request, StatusCode};
use rustls::pki_types::ServerName;
use sbc_core::locate::Families;
use sbc_core::query::{Outcome, ResolveSpec};
use sbc_core::stir::{CredentialFault, CredentialUrl};
use sbc_core::transport::Protocol;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest time for everything.
const LIMIT: Duration = Duration::from_secs(3);
/// Most octets of a credential.
const LARGEST: usize = 64 * 1024;
/// Addresses that are tried.
const MAX_TRIES: usize = 2;
/// How long a credential is kept at least and at most, and where its server does not say.
const KEPT: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3_600));
const USUALLY_KEPT: Duration = Duration::from_secs(3_600);

/// What was fetched, and for how long it may be kept.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) octets: Vec<u8>,
    pub(super) lifetime: Duration,
}

/// Fetches a credential.
pub(super) async fn fetch(
    url: &CredentialUrl,
    resolver: &Resolver,
    reach: Reach,
    trust: &Trust,
) -> Result<Fetched, CredentialFault> {
    timeout(LIMIT, attempt(url, resolver, reach, trust))
        .await
        .unwrap_or(Err(CredentialFault::Timeout))
}

async fn attempt(
    url: &CredentialUrl,
    resolver: &Resolver,
    reach: Reach,
    trust: &Trust,
) -> Result<Fetched, CredentialFault> {
    let addresses = addresses(url, resolver, reach, trust).await?;
    let mut stream = None;
    for address in addresses.into_iter().take(MAX_TRIES) {
        // The address that was looked at, whatever the name means a moment later.
        stream = TcpStream::connect(address).await.ok();
        if stream.is_some() {
            break;
        }
    }
    let stream = stream.ok_or(CredentialFault::Unreachable)?;
    let name = ServerName::try_from(url.host().to_owned());
    let name = name.map_err(|_| CredentialFault::Address)?;
    let host = match url.port() {
        443 => url.host().to_owned(),
        port => format!("{}:{port}", url.host()),
    };
    let request = Request::get(url.path())
        .header(HOST, host)
        .header(
            ACCEPT,
            "application/pem-certificate-chain, application/pkix-cert, */*;q=0.1",
        )
        .body(Full::new(Bytes::new()))
        .map_err(|_| CredentialFault::Address)?;
    let answer = https::ask(&trust.connector, name, stream, request).await;
    read(answer.map_err(fault_of)?).await
}

fn fault_of(fault: AskFault) -> CredentialFault {
    match fault {
        AskFault::Tls(_) | AskFault::Broken(_) => CredentialFault::Unreachable,
        AskFault::TooLarge => CredentialFault::Unusable,
    }
}

/// Every address of the name; one that nobody may reach spoils all of them: whoever answers so is up to
/// no good.
async fn addresses(
    url: &CredentialUrl,
    resolver: &Resolver,
    reach: Reach,
    trust: &Trust,
) -> Result<Vec<SocketAddr>, CredentialFault> {
    let spec = ResolveSpec {
        host: url.host().to_owned(),
        port: reach.port.unwrap_or(url.port()),
        protocol: Protocol::Tls,
        families: Families::BOTH,
    };
    let Outcome::Resolved(addresses) = resolver.foreign().resolve(&spec).await else {
        return Err(CredentialFault::Unreachable);
    };
    let is_good =
        |address: &SocketAddr| (reach.admits)(address.ip()) && !trust.own.contains(&address.ip());
    match addresses.iter().all(is_good) {
        true => Ok(addresses),
        false => Err(CredentialFault::Address),
    }
}

/// A redirection is no credential, as nothing but 200 is.
async fn read(answer: Answer) -> Result<Fetched, CredentialFault> {
    if answer.response.status() != StatusCode::OK {
        return Err(CredentialFault::Unreachable);
    }
    let lifetime = lifetime(answer.header(CACHE_CONTROL));
    let octets = answer.body(LARGEST).await.map_err(fault_of)?;
    Ok(Fetched { octets, lifetime })
}

/// How long something may be kept (RFC 9111 §5.2.2), within our own bounds.
fn lifetime(cache_control: Option<&str>) -> Duration {
    let words = cache_control.unwrap_or_default().split(',').map(str::trim);
    let mut found = USUALLY_KEPT;
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name.to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return KEPT.0,
            "max-age" => {
                let seconds = value.trim_matches('"').parse().unwrap_or(0);
                found = Duration::from_secs(seconds);
            }
            _ => {}
        }
    }
    found.clamp(KEPT.0, KEPT.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_within_bounds_how_long_its_credential_is_kept() {
        for (value, seconds) in [
            (None, 3_600),
            (Some("public"), 3_600),
            (Some("public, max-age=600"), 600),
            (Some("Max-Age=\"600\""), 600),
            (Some("max-age=1"), 60),
            (Some("max-age=999999999"), 86_400),
            (Some("max-age=x"), 60),
            (Some("max-age=600, no-store"), 60),
            (Some("no-cache"), 60),
        ] {
            assert_eq!(lifetime(value).as_secs(), seconds, "{value:?}");
        }
    }
}
