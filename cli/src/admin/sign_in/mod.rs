//! Operators sign in by OpenID Connect: authorization code with PKCE (TDG-ENT-003, TDG-ENT-004, SEC-150, RFC 6749 §4.1,
//! RFC 7636).
//!
//! ```text
//! tab ─ POST /sign-in/begin ─► state, tab, location      kept: nonce, verifier, hash of tab
//! tab ─────────────────────────────────────────────► issuer ─► GET /sign-in?code&state, the console again
//! tab ─ POST /sign-in/finish: code, state, tab ─► here ─ code, verifier, proof ─► issuer ─► ID token
//! tab ◄──────────────────────────── our own token       kept: its hash, oid and tid, roles, times
//! ```
//!
//! What the issuer sends is looked at once and not kept: no access token, no refresh token, no ID token. The session's
//! token is one of ours, and stands where that of an `[[api.user]]` stands: in the memory of one tab and in
//! `Authorization`, which no other site can make a browser send. So there is no cookie, and nothing to forge a request
//! with; `tab` does the same for the sign-in itself, as who sends somebody else a link with their own code has not the
//! tab that began it.

mod store;

pub(super) use store::Person;

use super::gate::Remote;
use super::{Access, Problem};
use crate::config::read_roots;
use crate::daemon::Daemon;
use crate::graph::reach::escaped;
use crate::graph::token::proven;
use crate::jwt::fetch::Fetch;
use crate::jwt::issuer::{Issuer, Provider};
use crate::jwt::{Claims, Expected};
use crate::sink::audit::Deed;
use crate::sink::log::wall_clock;
use axum::extract::{DefaultBodyLimit, Extension, Json, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Router, extract::rejection::JsonRejection};
use sbc_core::config::{FileFault, Oidc, OidcRole};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::{Begun, Pending, Store};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longest body of a request, octets: a code of Entra has about one thousand.
const LARGEST: usize = 16 * 1024;
/// Codes that are exchanged at the same time.
const AT_ONCE: usize = 8;
/// How long an exchange may take, with all that it asks the issuer.
const LIMIT: Duration = Duration::from_secs(25);
/// Roles of a token that are looked at.
const MOST_VALUES: usize = 256;
/// What is told of a text of the issuer, characters.
const SHOWN: usize = 300;
/// Whom the audit log names before the issuer has named somebody.
const UNKNOWN: &str = "unknown";

/// Sign-ins, sessions, and what is known of the issuer.
pub(super) struct SignIn {
    store: Store,
    issuer: Mutex<Option<(Oidc, Known)>>,
    exchanges: Semaphore,
}

#[derive(Clone)]
struct Known {
    issuer: Arc<Issuer>,
    fetch: Arc<Fetch>,
}

impl Default for SignIn {
    fn default() -> Self {
        Self {
            store: Store::default(),
            issuer: Mutex::default(),
            exchanges: Semaphore::new(AT_ONCE),
        }
    }
}

type Own = State<(Access, Arc<SignIn>)>;

/// What somebody without a token may ask.
pub(super) fn doors(access: &Access, sign_in: &Arc<SignIn>) -> Router<Access> {
    Router::new()
        .route("/sign-in/with", get(with))
        .route("/sign-in/begin", post(begin))
        .route("/sign-in/finish", post(finish))
        .route("/sign-in/end", post(end))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state((access.clone(), Arc::clone(sign_in)))
}

impl SignIn {
    /// Who has this token, and what they may be now. It was used so long ago.
    pub(super) fn person<'a>(
        &self,
        token: &[u8],
        oidc: &'a Oidc,
        (now, ago): (Instant, Duration),
    ) -> Option<(Person, &'a OidcRole)> {
        let person = self.store.find(token, oidc, (now, ago))?;
        let role = person.role(oidc)?;
        Some((person, role))
    }

    /// The issuer of this configuration. It is asked when it is needed.
    fn known(&self, oidc: &Oidc, daemon: &Daemon) -> Result<Known, Problem> {
        let mut kept = self.issuer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, known)) = kept.as_ref()
            && of == oidc
        {
            return Ok(known.clone());
        }
        let (roots, _) = read_roots(&oidc.roots).map_err(|fault| {
            let (FileFault::Unreadable(why) | FileFault::Unusable(why)) = fault;
            broken(&format!("roots {} in [api.oidc]: {why}", oidc.roots))
        })?;
        let address = |text: &str| crate::jwt::fetch::Address::parse(text);
        let discovery = address(&oidc.discovery)
            .ok_or_else(|| broken("the issuer in [api.oidc] is no address of HTTPS"))?;
        let fetch = Arc::new(Fetch::new(roots, daemon.resolver().clone()));
        let issuer = Arc::new(Issuer::new(discovery, &oidc.issuer, Arc::clone(&fetch)));
        let known = Known { issuer, fetch };
        *kept = Some((oidc.clone(), known.clone()));
        Ok(known)
    }
}

/// The configuration of now.
fn configured(daemon: &Daemon) -> Result<Oidc, Problem> {
    let oidc = daemon.loaded().shell.oidc.clone();
    let why = "nobody signs in here: there is no [api.oidc], and tokens of causeway token are what counts";
    oidc.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, why))
}

/// What the console's button says, if there is one.
async fn with(State((access, _)): Own) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let name = daemon
        .loaded()
        .shell
        .oidc
        .as_ref()
        .map(|oidc| oidc.name.clone());
    Ok(Json(json!({ "name": name })))
}

/// Where the tab is to go, and what it is to come back with.
async fn begin(
    State((access, sign_in)): Own,
    Extension(peer): Extension<Remote>,
) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let oidc = configured(&daemon)?;
    let known = sign_in.known(&oidc, &daemon)?;
    let begun = sign_in.store.begin(peer.address().ip(), Instant::now());
    let begun = begun.ok_or_else(|| {
        let why = "too many begin to sign in from there: wait a minute";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, why)
    })?;
    let provider = known.issuer.provider().await.map_err(silent)?;
    let location = location(&oidc, &provider, &begun);
    Ok(Json(
        json!({ "location": location, "state": begun.state, "tab": begun.tab }),
    ))
}

/// No mail address and no refresh token is asked for.
fn location(oidc: &Oidc, provider: &Provider, begun: &Begun) -> String {
    let fields = [
        ("client_id", oidc.client_id.as_str()),
        ("response_type", "code"),
        ("response_mode", "query"),
        ("scope", "openid profile"),
        ("redirect_uri", &oidc.redirect()),
        ("state", &begun.state),
        ("nonce", &begun.nonce),
        ("code_challenge", &begun.challenge),
        ("code_challenge_method", "S256"),
    ];
    with_fields(provider.authorization.to_string(), &fields)
}

fn with_fields(mut address: String, fields: &[(&str, &str)]) -> String {
    for (name, value) in fields {
        let mark = if address.contains('?') { '&' } else { '?' };
        address.push_str(&format!("{mark}{name}={}", escaped(value.as_bytes())));
    }
    address
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Back {
    code: String,
    state: String,
    tab: String,
}

/// Exchanges the code, and opens a session for whoever the token names.
async fn finish(
    State((access, sign_in)): Own,
    Extension(peer): Extension<Remote>,
    body: Result<Json<Back>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(back) = body.map_err(|why| Problem::new(why.status(), why.body_text()))?;
    let daemon = access.daemon()?;
    let oidc = configured(&daemon)?;
    // A turn first: whoever is told to come back finds the sign-in as it was.
    let known = sign_in.known(&oidc, &daemon)?;
    let _turn = sign_in
        .exchanges
        .try_acquire()
        .map_err(|_| Problem::later("too many sign in at the same time"))?;
    let pending = sign_in.store.take(&back.state, &back.tab, Instant::now());
    let pending = pending.ok_or_else(|| {
        daemon.sinks().audit.refused_stranger(super::rates::source(peer.address().ip()));
        let why = "this sign-in was not begun in this tab within the last ten minutes, or is over: begin again";
        Problem::new(StatusCode::BAD_REQUEST, why)
    })?;
    let named = timeout(LIMIT, named(&oidc, &known, &pending, &back.code)).await;
    let named = named.unwrap_or_else(|_| {
        let why = format!(
            "{} does not answer within {} s",
            oidc.issuer,
            LIMIT.as_secs()
        );
        Err(Problem::new(StatusCode::BAD_GATEWAY, why))
    });
    let audit = daemon.sinks().audit.clone();
    let deed = |who: &str, what: String, status: StatusCode| Deed {
        who: who.to_owned(),
        source: peer.address().to_string(),
        what,
        status: status.as_u16(),
        ..Deed::default()
    };
    let person = match named {
        Ok(person) => person,
        Err(problem) => {
            let what = format!("sign in: {}", problem.detail);
            audit.refused(deed(UNKNOWN, what, problem.status));
            return Err(problem);
        }
    };
    let name = person.name.clone();
    let Some(role) = person.role(&oidc).map(|own| own.role) else {
        let why = format!(
            "{name} has none of the application's roles that [[api.oidc.role]] names: its administrator gives them"
        );
        audit.refused(deed(&name, "sign in".to_owned(), StatusCode::FORBIDDEN));
        return Err(Problem::new(StatusCode::FORBIDDEN, why));
    };
    let opened = sign_in.store.open(person, &oidc, Instant::now());
    let token = opened.ok_or_else(|| broken("the system has no random numbers"))?;
    // Who comes in is written down before they can do anything.
    let who = format!("{name} ({})", role.as_str());
    audit
        .write(deed(&who, "sign in".to_owned(), StatusCode::OK))
        .await;
    peer.proof().given();
    Ok(Json(json!({
        "token": token,
        "session_s": oidc.session.as_secs(),
        "idle_s": oidc.idle.as_secs(),
    })))
}

/// Whom the issuer names for a code.
async fn named(
    oidc: &Oidc,
    known: &Known,
    pending: &Pending,
    code: &str,
) -> Result<Person, Problem> {
    let provider = known.issuer.provider().await.map_err(silent)?;
    let endpoint = provider.token.to_string();
    let (proof, client) = (oidc.proof.clone(), oidc.client_id.clone());
    let of_proof = endpoint.clone();
    let reading = tokio::task::spawn_blocking(move || proven(&proof, &client, &of_proof));
    let mut fields = match reading.await {
        Ok(Ok(fields)) => fields,
        Ok(Err((what, FileFault::Unreadable(why) | FileFault::Unusable(why)))) => {
            return Err(broken(&format!("the {what} in [api.oidc]: {why}")));
        }
        Err(_) => return Err(broken("the work was broken off")),
    };
    fields.extend([
        ("client_id", oidc.client_id.clone().into_bytes()),
        ("grant_type", b"authorization_code".to_vec()),
        ("code", code.as_bytes().to_vec()),
        ("redirect_uri", oidc.redirect().into_bytes()),
        ("code_verifier", pending.verifier.clone().into_bytes()),
    ]);
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect();
    let asked = known.fetch.post(&provider.token, fields.join("&")).await;
    let (status, body) = asked.map_err(silent)?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(token) = answer["id_token"]
        .as_str()
        .filter(|_| status == StatusCode::OK)
    else {
        let told = ["error_description", "error"];
        let told = told.iter().find_map(|name| answer[*name].as_str());
        let told: String = told
            .unwrap_or("it gives no ID token")
            .chars()
            .take(SHOWN)
            .collect();
        let why = format!("{endpoint} answers {status}: {told}");
        return Err(Problem::new(StatusCode::BAD_GATEWAY, why));
    };
    let expected = Expected {
        issuers: std::slice::from_ref(&oidc.issuer),
        audience: &oidc.client_id,
        tenants: &oidc.tenants,
        nonce: Some(&pending.nonce),
    };
    let checked = known.issuer.check(token, &expected, wall_clock()).await;
    let claims = checked.map_err(|why| {
        Problem::new(
            StatusCode::FORBIDDEN,
            format!("the ID token is refused: {why}"),
        )
    })?;
    person(oidc, &claims).ok_or_else(|| {
        let why = "the ID token is refused: it says neither oid and tid nor sub";
        Problem::new(StatusCode::FORBIDDEN, why)
    })
}

/// Who is named by what nobody can change: never by a mail address (TDG-ENT-004).
fn person(oidc: &Oidc, claims: &Claims) -> Option<Person> {
    let plain =
        |text: &&str| !text.is_empty() && text.len() <= 255 && !text.contains(char::is_control);
    let text = |name: &str| claims.text(name).filter(plain);
    let tenant = text("tid").map(str::to_ascii_lowercase);
    let name = match (text("oid"), &tenant) {
        (Some(user), Some(tenant)) => format!("oid {user} tid {tenant}"),
        // Who has a directory has an object in it.
        _ if !oidc.tenants.is_empty() => return None,
        _ => format!("sub {} of {}", text("sub")?, oidc.issuer),
    };
    let values = claims.texts(&oidc.claim).into_iter().take(MOST_VALUES);
    let values = values.filter(|value| oidc.roles.iter().any(|role| role.value == *value));
    Some(Person {
        name,
        called: text("name").map(str::to_owned),
        values: values.map(str::to_owned).collect(),
        issuer: oidc.issuer.clone(),
        client_id: oidc.client_id.clone(),
        tenant,
    })
}

/// Ends the session of this token; and tells where that of the issuer is ended.
async fn end(
    State((access, sign_in)): Own,
    Extension(peer): Extension<Remote>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let closed = super::gate::token(&headers).and_then(|token| sign_in.store.close(token));
    let Some(person) = closed else {
        // Whether there was one is nobody's business.
        return Ok(Json(json!({ "location": null })));
    };
    let deed = Deed {
        who: person.name,
        source: peer.address().to_string(),
        what: "sign out".to_owned(),
        status: StatusCode::OK.as_u16(),
        ..Deed::default()
    };
    daemon.sinks().audit.clone().write(deed).await;
    let oidc = configured(&daemon)?;
    let provider = sign_in.known(&oidc, &daemon)?.issuer.provider().await;
    let place = provider
        .ok()
        .and_then(|provider| provider.end_session.clone());
    let back = format!("{}/", oidc.url);
    let location = place.map(|place| {
        let fields = [
            ("client_id", oidc.client_id.as_str()),
            ("post_logout_redirect_uri", back.as_str()),
        ];
        with_fields(place.to_string(), &fields)
    });
    Ok(Json(json!({ "location": location })))
}

fn silent(why: crate::jwt::fetch::FetchFault) -> Problem {
    let why = format!("who signs operators in cannot be asked: {why}");
    Problem::new(StatusCode::BAD_GATEWAY, why)
}

fn broken(why: &str) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why)
}
