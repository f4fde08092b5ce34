//! Who may come in over the network: a token, compared in constant time; bounds for whoever has none and for whoever
//! has one (SEC-150, SEC-152, SEC-153). Nothing here concerns the Unix socket.

use super::certificate::is_from_elsewhere;
use super::network::Proof;
use super::rates::{Rates, Sources, source};
use super::sign_in::SignIn;
use super::who::Who;
use super::{Access, Problem};
use crate::sink::audit::Deed;
use crate::sink::log::wall_clock;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sbc_core::config::{ApiClient, ApiClients, ApiUser, IpNet, Subject};
use sbc_core::time::UnixTime;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// Longest token that is looked at, octets.
const LONGEST: usize = 256;
/// Requests of one user in a second, and at once.
const RATE: f64 = 50.0;
const BURST: f64 = 100.0;
/// Wrong tokens of one source in a minute; then it is told to wait.
const FAILURES: f64 = 5.0;
/// Users whose requests are counted.
const USERS: usize = 1_024;
/// Sources of wrong tokens that are remembered.
const SOURCES: usize = 1_024;

/// Where a connection comes from.
#[derive(Clone)]
pub(crate) struct Remote {
    /// Address and port.
    pub(crate) address: SocketAddr,
    /// Who has proven something over this connection.
    pub(crate) proof: Proof,
    /// The subject of the certificate that was believed.
    subject: Option<Arc<Subject>>,
}

impl Remote {
    pub(super) fn new(address: SocketAddr, proof: Proof, subject: Option<Arc<Subject>>) -> Self {
        Self {
            address,
            proof,
            subject,
        }
    }

    /// Its address.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a good token is noted with.
    pub(super) fn proof(&self) -> &Proof {
        &self.proof
    }
}

/// What is counted.
#[derive(Default)]
pub(super) struct Gate(Mutex<Counts>);

struct Counts {
    users: Rates<String>,
    sources: Sources,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            users: Rates::new(RATE, BURST, USERS),
            sources: Sources::new(FAILURES / 60.0, FAILURES, SOURCES),
        }
    }
}

/// Why somebody does not come in.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Refused {
    /// No token, or one that is nobody's.
    Unknown(&'static str),
    /// The token of this user has expired.
    Expired(String),
    /// It does not count where this comes from.
    NotFrom(String),
    /// It was taken away.
    Revoked(String),
    /// Too many wrong tokens from there.
    Wait,
    /// This user asks too much.
    TooFast(String),
    /// A good certificate, of which the configuration says nothing.
    Unlisted(String),
    /// A page of somebody else has a browser ask with the certificate of this client.
    Elsewhere(String),
}

impl Gate {
    fn admit<'u>(
        &self,
        users: &'u [ApiUser],
        headers: &HeaderMap,
        remote: SocketAddr,
        (now, wall): (Instant, UnixTime),
    ) -> Result<&'u ApiUser, Refused> {
        let known = token(headers).map_or(Err(NO_TOKEN), |token| {
            owner(users, token).ok_or("this token is nobody's")
        });
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let user = match known {
            Ok(user) => user,
            // Who shows nothing has not tried anything.
            Err(why) if why == NO_TOKEN => return Err(Refused::Unknown(why)),
            Err(why) => {
                return Err(match counts.sources.take(&source(remote.ip()), now) {
                    true => Refused::Unknown(why),
                    false => Refused::Wait,
                });
            }
        };
        if user.expires.is_some_and(|end| end <= wall) {
            return Err(Refused::Expired(user.name.clone()));
        }
        if !counts_at(&user.accept_from, remote.ip()) {
            return Err(Refused::NotFrom(user.name.clone()));
        }
        counts.has_asked(&user.name, now).map(|()| user)
    }

    /// Lets in who shows a certificate, unless they ask too much.
    fn admit_client<'c>(
        &self,
        clients: &'c ApiClients,
        subject: &Subject,
        (headers, remote): (&HeaderMap, SocketAddr),
        now: Instant,
    ) -> Result<&'c ApiClient, Refused> {
        let client = clients
            .find(subject)
            .ok_or_else(|| Refused::Unlisted(format!("certificate {subject}")))?;
        if is_from_elsewhere(headers) {
            return Err(Refused::Elsewhere(client.name.clone()));
        }
        if !counts_at(&client.accept_from, remote.ip()) {
            return Err(Refused::NotFrom(client.name.clone()));
        }
        self.admit_person(&client.name, now).map(|()| client)
    }

    /// Lets in who has signed in, unless they ask too much.
    fn admit_person(&self, name: &str, now: Instant) -> Result<(), Refused> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.has_asked(name, now)
    }
}

impl Counts {
    fn has_asked(&mut self, name: &str, now: Instant) -> Result<(), Refused> {
        match self.users.take(&name.to_owned(), now) {
            true => Ok(()),
            false => Err(Refused::TooFast(name.to_owned())),
        }
    }
}

/// Seconds since somebody has touched the page.
const IDLE: &str = "causeway-idle";

const NO_TOKEN: &str = "write Authorization: Bearer and a token, as causeway token makes them";

/// What stands in `Authorization`.
pub(super) fn token(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(one), None) = (all.next(), all.next()) else {
        return None;
    };
    let (scheme, token) = one.as_bytes().split_at_checked(7)?;
    let is_one = scheme.eq_ignore_ascii_case(b"bearer ");
    let token = token.trim_ascii();
    (is_one && !token.is_empty() && token.len() <= LONGEST).then_some(token)
}

/// How long nobody has touched the page that asks, as it says itself: what it asks for on its own keeps no session up.
fn unused(headers: &HeaderMap) -> Duration {
    let told = headers.get(IDLE).and_then(|told| told.to_str().ok());
    let seconds = told.and_then(|told| told.parse::<u32>().ok());
    Duration::from_secs(seconds.unwrap_or_default().into())
}

/// Whether what somebody has shown counts there.
fn counts_at(accept_from: &[IpNet], remote: IpAddr) -> bool {
    let remote = remote.to_canonical();
    accept_from.is_empty() || accept_from.iter().any(|net| net.contains(remote))
}

/// Every hash is compared, whichever it is.
fn owner<'u>(users: &'u [ApiUser], token: &[u8]) -> Option<&'u ApiUser> {
    let hash = Sha256::digest(token);
    users.iter().fold(None, |found, user| {
        match bool::from(hash.as_slice().ct_eq(user.token.octets())) {
            true => Some(user),
            false => found,
        }
    })
}

/// Lets in who has a token, as themselves.
pub(super) async fn authenticate(
    State((access, gate, sign_in)): State<(Access, Arc<Gate>, Arc<SignIn>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let daemon = match access.daemon() {
        Ok(daemon) => daemon,
        Err(problem) => return problem.into_response(),
    };
    let Some(peer) = request.extensions().get::<Remote>().cloned() else {
        let why = "nobody knows where this comes from";
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
    };
    let remote = peer.address;
    let loaded = daemon.loaded();
    let users = &loaded.shell.api_users;
    let times = (Instant::now(), wall_clock());
    let signed_in = loaded.shell.oidc.as_ref().and_then(|oidc| {
        let token = token(request.headers())?;
        let used = (times.0, unused(request.headers()));
        sign_in.person(token, oidc, used)
    });
    // A token that is shown counts, good or not.
    let subject = peer.subject.as_deref();
    let subject = subject.filter(|_| !request.headers().contains_key(AUTHORIZATION));
    let admitted = match (signed_in, subject) {
        (None, Some(subject)) => gate
            .admit_client(
                &loaded.shell.api_clients,
                subject,
                (request.headers(), remote),
                times.0,
            )
            .map(|client| Who::of_client(client, remote)),
        (Some((person, role)), _) => gate
            .admit_person(&person.name, times.0)
            .map(|()| Who::of_person(&person, role, remote)),
        (None, None) => gate
            .admit(users, request.headers(), remote, times)
            .and_then(|user| match daemon.protection().is_revoked(&user.token) {
                true => Err(Refused::Revoked(user.name.clone())),
                false => Ok(Who::of_user(user, remote)),
            }),
    };
    let refused = match admitted {
        Ok(who) => {
            peer.proof.given();
            request.extensions_mut().insert(ConnectInfo(who));
            return next.run(request).await;
        }
        Err(refused) => refused,
    };
    let (status, who, why) = match &refused {
        Refused::Unknown(why) => (StatusCode::UNAUTHORIZED, None, (*why).to_owned()),
        Refused::Expired(name) => (
            StatusCode::UNAUTHORIZED,
            Some(name.clone()),
            format!("the token of {name} has expired: causeway token makes another one"),
        ),
        Refused::NotFrom(name) => (
            StatusCode::FORBIDDEN,
            Some(name.clone()),
            format!(
                "{name} may not come from {}: accept_from says from where",
                remote.ip()
            ),
        ),
        Refused::Revoked(name) => (
            StatusCode::UNAUTHORIZED,
            Some(name.clone()),
            format!("the token of {name} was revoked: causeway token makes another one"),
        ),
        Refused::Wait => (
            StatusCode::TOO_MANY_REQUESTS,
            None,
            "too many wrong tokens come from there: wait a minute".to_owned(),
        ),
        Refused::TooFast(name) => (
            StatusCode::TOO_MANY_REQUESTS,
            Some(name.clone()),
            format!("{name} asks more than 50 times a second"),
        ),
        Refused::Unlisted(name) => (
            StatusCode::UNAUTHORIZED,
            Some(name.clone()),
            format!("no [[api.client]] has this subject: {name}"),
        ),
        Refused::Elsewhere(name) => (
            StatusCode::FORBIDDEN,
            Some(name.clone()),
            "this comes from a page of somebody else".to_owned(),
        ),
    };
    let audit = &daemon.sinks().audit;
    match who {
        None => audit.refused_stranger(source(remote.ip())),
        Some(who) => audit.refused(Deed {
            who,
            source: remote.to_string(),
            what: format!("{} {}", request.method(), request.uri().path()),
            status: status.as_u16(),
            ..Deed::default()
        }),
    }
    let mut response = Problem::new(status, why).into_response();
    let (name, value) = match refused {
        Refused::Elsewhere(_) | Refused::NotFrom(_) => return response,
        Refused::Unknown(_) | Refused::Expired(_) | Refused::Revoked(_) | Refused::Unlisted(_) => {
            (WWW_AUTHENTICATE, "Bearer realm=\"causeway\"")
        }
        Refused::Wait => (RETRY_AFTER, "60"),
        Refused::TooFast(_) => (RETRY_AFTER, "1"),
    };
    let value = HeaderValue::from_static(value);
    response.headers_mut().insert(name, value);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::config::{ApiRole, TokenHash};

    fn user(name: &str, expires: Option<u64>) -> ApiUser {
        let hash = Sha256::digest(format!("token of {name}"));
        let digits: String = hash.iter().map(|octet| format!("{octet:02x}")).collect();
        ApiUser {
            name: name.to_owned(),
            role: ApiRole::Viewer,
            numbers: false,
            media: false,
            token: TokenHash::parse(&format!("sha256:{digits}")).unwrap(),
            expires: expires.map(|second| UnixTime::from_micros(second * 1_000_000)),
            accept_from: Vec::new(),
        }
    }

    fn with(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        headers
    }

    fn at(second: u64) -> (Instant, UnixTime) {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        let wall = UnixTime::from_micros(second * 1_000_000);
        (*START + Duration::from_secs(second), wall)
    }

    const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4_000);

    #[test]
    fn who_has_a_token_comes_in_as_themselves_until_it_ends() {
        let users = [user("noc", None), user("old", Some(100))];
        let gate = Gate::default();
        let admit = |value: &str, second| {
            let admitted = gate.admit(&users, &with(value), REMOTE, at(second));
            admitted.map(|user| user.name.clone())
        };
        assert_eq!(admit("Bearer token of noc", 1).as_deref(), Ok("noc"));
        assert_eq!(admit("bearer  token of old", 99).as_deref(), Ok("old"));
        assert_eq!(
            admit("Bearer token of old", 100),
            Err(Refused::Expired("old".to_owned()))
        );
        for nobody in ["Basic token of noc", "Bearer", "Bearer ", "token of noc"] {
            let refused = admit(nobody, 200);
            assert_eq!(refused, Err(Refused::Unknown(NO_TOKEN)), "{nobody}");
        }
        let mut twice = with("Bearer token of noc");
        twice.append(AUTHORIZATION, "Bearer token of noc".parse().unwrap());
        let refused = gate.admit(&users, &twice, REMOTE, at(200));
        assert_eq!(refused.unwrap_err(), Refused::Unknown(NO_TOKEN));
    }

    #[test]
    fn a_token_counts_where_it_is_said_to_count() {
        let mut bound = user("bound", None);
        bound.accept_from = vec![IpNet::single("127.0.0.1".parse().unwrap())];
        let (users, gate) = ([bound], Gate::default());
        let admit = |remote: &str| {
            let remote = SocketAddr::new(remote.parse().unwrap(), 4_000);
            let admitted = gate.admit(&users, &with("Bearer token of bound"), remote, at(1));
            admitted.map(|user| user.name.clone())
        };
        assert_eq!(admit("127.0.0.1").as_deref(), Ok("bound"));
        assert_eq!(admit("::ffff:127.0.0.1").as_deref(), Ok("bound"));
        assert_eq!(
            admit("127.0.0.2"),
            Err(Refused::NotFrom("bound".to_owned()))
        );
    }

    #[test]
    fn wrong_tokens_are_counted_by_source_and_keep_nobody_out_who_has_one() {
        let users = [user("noc", None)];
        let gate = Gate::default();
        let admit = |value: &str, remote, second| {
            let admitted = gate.admit(&users, &with(value), remote, at(second));
            admitted.map(|user| user.name.clone())
        };
        let wrong = |remote, second| admit("Bearer x", remote, second).unwrap_err();
        for _ in 0..5 {
            assert!(matches!(wrong(REMOTE, 1), Refused::Unknown(_)));
        }
        assert_eq!(wrong(REMOTE, 1), Refused::Wait);
        assert!(admit("Bearer token of noc", REMOTE, 1).is_ok());
        let neighbour = SocketAddr::new("2001:db8::1".parse().unwrap(), 1);
        assert!(matches!(wrong(neighbour, 1), Refused::Unknown(_)));
        for host in 2..6 {
            let same = SocketAddr::new(format!("2001:db8::{host}").parse().unwrap(), 1);
            wrong(same, 1);
        }
        assert_eq!(wrong(neighbour, 1), Refused::Wait);
        assert!(matches!(wrong(REMOTE, 14), Refused::Unknown(_)));
        // However many there are, few are remembered.
        for host in 0..3_000_u32 {
            let other = IpAddr::V4((0x0a00_0000 + host).into());
            wrong(SocketAddr::new(other, 1), 20);
        }
        assert!(gate.0.lock().unwrap().sources.len() <= SOURCES);
    }

    #[test]
    fn a_user_who_asks_without_pause_waits_and_no_other() {
        let users = [user("noc", None), user("else", None)];
        let gate = Gate::default();
        let ask = |name: &str, second| {
            let headers = with(&format!("Bearer token of {name}"));
            gate.admit(&users, &headers, REMOTE, at(second)).is_ok()
        };
        let served = (0..500).filter(|_| ask("noc", 1)).count();
        assert_eq!(served, 100);
        assert!(ask("else", 1));
        assert!(ask("noc", 2));
    }
}
