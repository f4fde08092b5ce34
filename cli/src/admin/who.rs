//! Who asks, what they may do, and the entry in the audit log for what they have done (SEC-150, SEC-151, SEC-154).

use super::idempotency::{self, Once, Repeat};
use super::routes::{Method, Operation};
use super::shape::Shape;
use super::sign_in::Person;
use super::{Access, MOST_SENT, Problem};
use crate::sink::audit::Deed;
use axum::Json;
use axum::body::{Body, HttpBody as _};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use sbc_core::config::{ApiClient, ApiRole, ApiUser, OidcRole, TokenHash};
use sbc_core::display::shown;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a body may take.
const BODY: Duration = Duration::from_secs(10);
/// Lists and objects of JSON that may stand within each other (SEC-153).
const MOST_NESTED: usize = 32;
/// The header that says what a change is for, and the most octets of that.
const REASON: &str = "causeway-reason";
const LONGEST_REASON: usize = 200;
/// Octets of a body that is too long which are still taken, so that its sender reads why it is refused.
const MOST_PASSED_OVER: usize = 16 * MOST_SENT;

/// What an operation needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Right {
    /// To look.
    Read,
    /// To look at who calls whom.
    Numbers,
    /// To end calls and to drain.
    Calls,
    /// To take configurations into use.
    Configure,
    /// To see who did what.
    Audit,
    /// To hear what callers say.
    Media,
    /// To keep addresses out, and to let them in for a while.
    Protect,
    /// To take tokens of others away.
    Users,
}

impl Right {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Numbers => "numbers",
            Self::Calls => "calls",
            Self::Configure => "configure",
            Self::Audit => "audit",
            Self::Media => "media",
            Self::Protect => "protect",
            Self::Users => "users",
        }
    }

    /// Whether what needs it may change something.
    #[cfg(test)]
    pub(super) const fn changes(self) -> bool {
        match self {
            Self::Read | Self::Numbers | Self::Audit | Self::Media => false,
            Self::Calls | Self::Configure | Self::Protect | Self::Users => true,
        }
    }
}

/// What the audit log says of a deed besides its path, where that is not enough. Goes with the answer.
#[derive(Clone, Default, Debug)]
pub(super) struct Besides {
    /// What stands behind the path.
    pub(super) more: String,
    /// What it was done to, where the path does not say it.
    pub(super) object: Option<String>,
    /// What has become another, without secrets; else it is what was asked for.
    pub(super) change: Option<String>,
    /// What for, where that was asked with the rest.
    pub(super) reason: Option<String>,
}

impl Besides {
    pub(super) fn more(more: impl Into<String>) -> Self {
        Self {
            more: more.into(),
            ..Self::default()
        }
    }

    pub(super) fn change(change: impl Into<String>) -> Self {
        Self {
            change: Some(change.into()),
            ..Self::default()
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Who {
    /// Such as `root (uid 0)`.
    name: String,
    /// What they call themselves, if an issuer has told.
    called: Option<String>,
    /// Where they are.
    source: String,
    role: Option<ApiRole>,
    /// As what they are known, whatever their role: the same for all that one person does. Nothing if the system does
    /// not say.
    identity: Option<String>,
    /// The token that they have shown.
    token: Option<TokenHash>,
    /// The number of their user, where they have opened the socket and the system tells it.
    uid: Option<u32>,
    /// What they may do, but for hearing callers; whoever may open the socket may do everything else.
    rights: &'static [Right],
    /// Whether they may hear what callers say, which no role implies (SEC-151).
    hears: bool,
}

const EVERYTHING: &[Right] = &[
    Right::Read,
    Right::Numbers,
    Right::Calls,
    Right::Configure,
    Right::Audit,
    Right::Protect,
    Right::Users,
];

/// What a role may do; to hear callers is granted by itself.
const fn rights(role: ApiRole, sees_numbers: bool) -> &'static [Right] {
    match role {
        ApiRole::Viewer if sees_numbers => &[Right::Read, Right::Numbers],
        ApiRole::Viewer => &[Right::Read],
        ApiRole::Operator => &[Right::Read, Right::Numbers, Right::Calls],
        // Who writes accept_from may also let an address in for a while.
        ApiRole::Engineer => &[
            Right::Read,
            Right::Numbers,
            Right::Calls,
            Right::Configure,
            Right::Protect,
        ],
        ApiRole::Security => &[Right::Read, Right::Numbers, Right::Protect],
        ApiRole::Auditor => &[Right::Read, Right::Numbers, Right::Audit],
        ApiRole::Admin => EVERYTHING,
    }
}

impl Who {
    /// Somebody who has shown a token.
    pub(super) fn of_user(user: &ApiUser, remote: SocketAddr) -> Self {
        Self {
            name: format!("{} ({})", user.name, user.role.as_str()),
            identity: Some(user.name.clone()),
            called: None,
            source: remote.to_string(),
            role: Some(user.role),
            token: Some(user.token.clone()),
            uid: None,
            rights: rights(user.role, user.numbers),
            hears: user.media,
        }
    }

    /// Somebody who has shown a certificate.
    pub(super) fn of_client(client: &ApiClient, remote: SocketAddr) -> Self {
        Self {
            name: format!("{} ({})", client.name, client.role.as_str()),
            identity: Some(client.name.clone()),
            called: None,
            source: remote.to_string(),
            role: Some(client.role),
            token: None,
            uid: None,
            rights: rights(client.role, client.numbers),
            hears: client.media,
        }
    }

    /// Somebody who has signed in.
    pub(super) fn of_person(person: &Person, role: &OidcRole, remote: SocketAddr) -> Self {
        Self {
            name: format!("{} ({})", person.name, role.role.as_str()),
            identity: Some(person.name.clone()),
            called: person.called.clone(),
            source: remote.to_string(),
            role: Some(role.role),
            token: None,
            uid: None,
            rights: rights(role.role, role.numbers),
            hears: role.media,
        }
    }

    /// Whether they have opened the socket of this host.
    pub(super) fn is_here(&self) -> bool {
        self.role.is_none()
    }

    /// What the audit log calls them.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// As what they are known, whatever their role.
    pub(super) fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// The token that they have shown, where it is of a user of the configuration.
    pub(super) fn token(&self) -> Option<&TokenHash> {
        self.token.as_ref()
    }

    /// Whether they have this right.
    pub(super) fn may(&self, right: Right) -> bool {
        match right {
            Right::Media => self.hears,
            other => self.rights.contains(&other),
        }
    }

    /// What they may do.
    fn all_rights(&self) -> impl Iterator<Item = Right> {
        let media = self.hears.then_some(Right::Media);
        self.rights.iter().copied().chain(media)
    }

    /// Whether they may hear what callers say.
    pub(super) fn hears_media(&self) -> bool {
        self.hears
    }

    /// Whether they may see who calls whom.
    pub(super) fn sees_numbers(&self) -> bool {
        self.rights.contains(&Right::Numbers)
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Who {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred();
        let uid = credentials.as_ref().ok().map(|peer| peer.uid());
        let (name, identity, source) = match credentials {
            Ok(peer) => {
                let process = peer
                    .pid()
                    .map_or_else(String::new, |pid| format!(", process {pid}"));
                // No user of the configuration has a blank in the name.
                let identity = format!("uid {}", peer.uid());
                let source = format!("this host{process}");
                (user(peer.uid()), Some(identity), source)
            }
            Err(_) => ("unknown".to_owned(), None, "this host".to_owned()),
        };
        Self {
            name,
            identity,
            called: None,
            source,
            role: None,
            token: None,
            uid,
            rights: EVERYTHING,
            hears: uid == Some(ROOT),
        }
    }
}

/// Who asks.
pub(super) async fn me(ConnectInfo(who): ConnectInfo<Who>) -> Json<Value> {
    let rights: Vec<&str> = who.all_rights().map(Right::as_str).collect();
    Json(
        json!({ "name": who.name, "called": who.called, "role": who.role.map(ApiRole::as_str), "rights": rights }),
    )
}

/// The number of the user who may do everything on a machine in any case.
const ROOT: u32 = 0;

/// Lets those hear callers over the socket whom the configuration of now names for it.
pub(super) async fn hear_here(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Ok(daemon) = access.daemon() {
        hear_if_named(&daemon.loaded().shell.media_users, who, &mut request);
    }
    next.run(request).await
}

/// Tells all that follows that whoever asks hears callers, if they are one of these.
fn hear_if_named(users: &[String], mut who: Who, request: &mut Request) {
    if let (Some(uid), false) = (who.uid, who.hears)
        && is_named(users, uid, name_of)
    {
        who.hears = true;
        request.extensions_mut().insert(ConnectInfo(who));
    }
}

/// Whether a user is one of these, by number or by name.
fn is_named(users: &[String], uid: u32, name_of: impl Fn(u32) -> Option<String>) -> bool {
    let number = uid.to_string();
    let is_one = |name: &String| users.contains(name);
    !users.is_empty() && (is_one(&number) || name_of(uid).as_ref().is_some_and(is_one))
}

/// A user's name, as far as the system's own file tells it.
fn name_of(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// A user as the audit log tells it.
fn user(uid: u32) -> String {
    match name_of(uid) {
        Some(name) => format!("{name} (uid {uid})"),
        None => format!("uid {uid}"),
    }
}

/// Lets through who may; and writes down what was changed, before it is answered, and whether or not whoever asked
/// still waits for the answer.
pub(super) async fn guard(
    State((operation, access)): State<(&'static Operation, Access)>,
    ConnectInfo(who): ConnectInfo<Who>,
    request: Request,
    next: Next,
) -> Response {
    let (right, method) = (operation.right, operation.method);
    let daemon = access.daemon().ok();
    let audit = daemon.as_ref().map(|daemon| daemon.sinks().audit.clone());
    let mut deed = Deed {
        who: who.name.clone(),
        source: who.source.clone(),
        what: format!("{} {}", method.as_str(), request.uri().path()),
        status: StatusCode::FORBIDDEN.as_u16(),
        object: Some(object(operation.path, request.uri().path())),
        change: request.uri().query().map(str::to_owned),
        reason: None,
    };
    if !who.may(right) {
        let why = format!(
            "{} may not do this: it needs the right to {}",
            who.name,
            right.as_str()
        );
        if let Some(audit) = audit {
            audit.refused(deed);
        }
        return Problem::new(StatusCode::FORBIDDEN, why).into_response();
    }
    // Of another method the router says that there is none.
    let is_of_method = request.method().as_str() == method.as_str();
    let known = match is_of_method {
        true => is_known(operation, &request),
        false => Ok(()),
    };
    let is_looked_at = method == Method::Get && !operation.is_noted();
    let told = known.and_then(|()| match is_looked_at {
        true => Ok(None),
        false => reason(request.headers()),
    });
    let told = told.and_then(|reason| match is_of_method && operation.is_done_once() {
        true => Ok((reason, idempotency::key(request.headers())?)),
        false => Ok((reason, None)),
    });
    let key = match told {
        Ok((reason, key)) => {
            deed.reason = reason;
            key
        }
        Err(why) => {
            // As what is refused for its body: somebody has tried.
            if operation.is_written_down()
                && let Some(audit) = audit
            {
                deed.status = StatusCode::BAD_REQUEST.as_u16();
                audit.refused(deed);
            }
            return Problem::new(StatusCode::BAD_REQUEST, why).into_response();
        }
    };
    if is_looked_at {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    if method == Method::Ask {
        return match whole(operation, head, body).await {
            Ok(request) => next.run(request).await,
            Err(problem) => problem.into_response(),
        };
    }
    let is_mandatory = daemon.is_some_and(|daemon| daemon.loaded().shell.is_audit_mandatory);
    if is_mandatory
        && let Some(audit) = &audit
        && let Some(why) = audit.loss()
    {
        // Its entry, too, shows whether the disk takes them again.
        deed.status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
        audit.refused(deed);
        let why =
            format!("nothing is changed that cannot be written down (audit_mandatory), and {why}");
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    }
    // On its own: who hangs up ends the wait, and neither the deed nor its entry. What the daemon does for it is done by
    // its threads, and lasts longer than those of the interface.
    let caller = who.identity.as_deref().unwrap_or(&who.name);
    let once = key.map(|key| Once::new(&access.repeats, caller, key));
    let threads = match operation.is_of_the_daemon() {
        true => access.deeds,
        false => Handle::current(),
    };
    let done = threads.spawn(async move {
        let response = match (whole(operation, head, body).await, once) {
            (Ok(request), Some(once)) => once.answer(request, next).await,
            (Ok(request), None) => next.run(request).await,
            (Err(problem), _) => problem.into_response(),
        };
        let repeat = response.extensions().get::<Repeat>().copied();
        // What was answered before was written down then.
        if let Some(audit) = audit
            && repeat != Some(Repeat::Replayed)
        {
            deed.status = response.status().as_u16();
            if let Some(besides) = response.extensions().get::<Besides>().cloned() {
                if !besides.more.is_empty() {
                    deed.what = format!("{} {}", deed.what, besides.more);
                }
                deed.object = besides.object.or(deed.object);
                deed.change = besides.change.or(deed.change);
                deed.reason = deed.reason.or(besides.reason);
            }
            match repeat {
                Some(_) => audit.refused(deed),
                None => audit.write(deed).await,
            }
        }
        response
    });
    done.await.unwrap_or_else(|_| {
        let why = "the work was broken off";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why).into_response()
    })
}

/// What an operation is done to: what its path names, or else what it is about.
fn object(of: &str, path: &str) -> String {
    let mut named = of.split('/').zip(path.split('/'));
    let named = named.find_map(|(word, value)| {
        let word = word.strip_prefix('{')?.strip_suffix('}')?;
        Some((word, value))
    });
    match named {
        Some(("id", call)) => format!("call {call}"),
        Some(("context", name)) => format!("tls {name}"),
        Some((kind, name)) => format!("{kind} {name}"),
        None => match of.split('/').nth(1).unwrap_or_default() {
            "reload" | "config" => "configuration".to_owned(),
            "drain" | "undrain" | "restart" => "node".to_owned(),
            other => other.to_owned(),
        },
    }
}

/// What for, as whoever asks says (SEC-154): UTF-8, percent-encoded, as headers take no other characters.
fn reason(headers: &HeaderMap) -> Result<Option<String>, String> {
    let Some(told) = headers.get(REASON) else {
        return Ok(None);
    };
    let refused = || {
        format!(
            "--reason takes {LONGEST_REASON} octets on one line (header Causeway-Reason: percent-encoded UTF-8)"
        )
    };
    let octets = unescaped(told.as_bytes()).ok_or_else(refused)?;
    let text = String::from_utf8(octets).map_err(|_| refused())?;
    let text = text.trim();
    match text.len() <= LONGEST_REASON && !text.contains(char::is_control) {
        true => Ok((!text.is_empty()).then(|| text.to_owned())),
        false => Err(refused()),
    }
}

/// Octets of a percent-encoded text (RFC 3986 §2.1).
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text.iter();
    let mut octets = Vec::new();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            octet => *octet,
        });
    }
    Some(octets)
}

/// Whether an operation knows all that it is asked with. What is out of its range it says itself.
fn is_known(operation: &Operation, request: &Request) -> Result<(), String> {
    // Of a reading, nobody looks at the body.
    let is_sent = request.body().size_hint().lower() > 0;
    if operation.method == Method::Get && is_sent {
        return Err(no_body(operation));
    }
    knows(operation, request.uri())
}

/// Whether an operation knows what stands in the query.
fn knows(operation: &Operation, uri: &Uri) -> Result<(), String> {
    let told = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let Query(told) = told.map_err(|_| "the query cannot be read".to_owned())?;
    for (at, (name, value)) in told.iter().enumerate() {
        let known = operation.query.iter().find(|(own, ..)| own == name);
        let Some((name, _, shape)) = known else {
            let name: String = name.chars().take(64).map(shown).collect();
            let known: Vec<&str> = operation.query.iter().map(|(own, ..)| *own).collect();
            let known = match known.as_slice() {
                [] => "this operation knows none".to_owned(),
                all => format!("this operation knows {}", all.join(", ")),
            };
            return Err(format!("there is no parameter \"{name}\": {known}"));
        };
        if told.iter().take(at).any(|(own, _)| own == name) {
            return Err(format!("the parameter {name} is there twice"));
        }
        match shape {
            Shape::Integer if value.parse::<u64>().is_err() => {
                return Err(format!("the parameter {name} is a whole number"));
            }
            Shape::Flag if value.parse::<bool>().is_err() => {
                return Err(format!("the parameter {name} is true or false"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is said to whoever sends a body to an operation that reads none.
fn no_body(operation: &Operation) -> String {
    match operation.query.first() {
        Some((name, _, shape)) => {
            let value = match shape {
                Shape::Integer => "300",
                Shape::Flag => "true",
                _ => "...",
            };
            format!(
                "this operation takes no body: parameters belong in the query, such as ?{name}={value}"
            )
        }
        None => "this operation takes no body, and no parameters".to_owned(),
    }
}

/// A request with all of its body, which is neither long nor slow (SEC-153), and only there where it is read.
async fn whole(operation: &Operation, head: Parts, mut body: Body) -> Result<Request, Problem> {
    let read = Limited::new(&mut body, MOST_SENT).collect();
    let problem = |status, why: &str| Err(Problem::new(status, why));
    match timeout(BODY, read).await {
        Ok(Ok(body)) => {
            let body = body.to_bytes();
            if operation.body.is_none() && !body.is_empty() {
                return problem(StatusCode::BAD_REQUEST, &no_body(operation));
            }
            match is_nested_deeper(&body, MOST_NESTED) {
                true => problem(
                    StatusCode::BAD_REQUEST,
                    "the body has lists or objects within each other more than 32 deep",
                ),
                false => Ok(Request::from_parts(head, Body::from(body))),
            }
        }
        Ok(Err(fault)) if fault.is::<LengthLimitError>() => {
            let _ = timeout(BODY, pass_over(body)).await;
            problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is longer than 1 MiB",
            )
        }
        Ok(Err(_)) => problem(StatusCode::BAD_REQUEST, "the body ended too early"),
        Err(_) => problem(
            StatusCode::REQUEST_TIMEOUT,
            "the body took longer than 10 s",
        ),
    }
}

/// Whether brackets of JSON outside its strings stand deeper within each other than this. What is no JSON is
/// refused by who reads it.
fn is_nested_deeper(body: &[u8], most: usize) -> bool {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for octet in body {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'[' | b'{' if !is_text => depth += 1,
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > most {
            return true;
        }
    }
    false
}

/// Takes the rest of a body that is too long, within reason: who is hung up on while writing never reads why.
async fn pass_over(mut body: Body) {
    let mut octets = 0;
    while octets < MOST_PASSED_OVER
        && let Some(Ok(frame)) = body.frame().await
    {
        octets += frame.data_ref().map_or(0, |data| data.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_deed_is_done_to_is_told_by_its_path() {
        for (of, path, wanted) in [
            ("/calls/{id}/hangup", "/calls/ffff/hangup", "call ffff"),
            (
                "/trunks/{trunk}/disable",
                "/trunks/contoso/disable",
                "trunk contoso",
            ),
            ("/certs/{context}/renew", "/certs/web/renew", "tls web"),
            (
                "/config/history/{generation}/rollback",
                "/config/history/7/rollback",
                "generation 7",
            ),
            ("/tokens/{user}/revoke", "/tokens/noc/revoke", "user noc"),
            ("/reload", "/reload", "configuration"),
            ("/drain/now", "/drain/now", "node"),
            ("/capture", "/capture", "capture"),
        ] {
            assert_eq!(object(of, path), wanted);
        }
    }

    /// SEC-151.
    #[test]
    fn over_the_socket_root_hears_callers_and_else_whoever_is_named_by_name_or_number() {
        let name_of = |uid: u32| (uid == 1000).then(|| "anna".to_owned());
        let named = |users: &[&str], uid| {
            let users: Vec<String> = users.iter().map(|own| (*own).to_owned()).collect();
            is_named(&users, uid, name_of)
        };
        assert!(named(&["ben", "anna"], 1000) && named(&["1000"], 1000));
        assert!(!named(&[], 1000) && !named(&["ben"], 1000));
        // Nobody is called so, and number 1001 has no name.
        assert!(!named(&["anna"], 1001) && !named(&["100"], 1000));
    }

    /// SEC-151. Over a socket, and as somebody else than root, who hears callers in any case.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_answers_knows_that_somebody_who_is_named_hears_callers() {
        use crate::client::send;
        use axum::Router;
        use axum::middleware::from_fn;
        use axum::routing::get;
        let folder = tempfile::tempdir().unwrap();
        for (users, wanted) in [(vec!["4000000001"], true), (vec!["4000000002"], false)] {
            let users: Vec<String> = users.into_iter().map(str::to_owned).collect();
            let named = move |ConnectInfo(who): ConnectInfo<Who>, request: Request, next: Next| {
                let (users, mut request) = (users.clone(), request);
                async move {
                    hear_if_named(&users, who, &mut request);
                    next.run(request).await
                }
            };
            // In place of what the system tells.
            let peer = |mut request: Request, next: Next| async move {
                let who = Who {
                    name: "uid 4000000001".to_owned(),
                    called: None,
                    source: "this host".to_owned(),
                    role: None,
                    identity: Some("uid 4000000001".to_owned()),
                    token: None,
                    uid: Some(4_000_000_001),
                    rights: EVERYTHING,
                    hears: false,
                };
                request.extensions_mut().insert(ConnectInfo(who));
                next.run(request).await
            };
            let path = format!("{}/me", super::super::routes::ROOT);
            let router = Router::new()
                .route(&path, get(me))
                .layer(from_fn(named))
                .layer(from_fn(peer));
            let socket = folder.path().join(format!("{wanted}.sock"));
            let listener = UnixListener::bind(&socket).unwrap();
            let serving = tokio::spawn(async move { axum::serve(listener, router).await });
            let asking = tokio::task::spawn_blocking(move || send(&socket, "GET", "/me", &[], ""));
            let told = asking.await.unwrap().unwrap();
            serving.abort();
            let told: Value = serde_json::from_str(&told.body).unwrap();
            let rights = told["rights"].as_array().unwrap();
            assert_eq!(rights.contains(&json!("media")), wanted, "{told}");
        }
    }

    #[test]
    fn a_reason_is_text_on_one_line_of_bounded_length() {
        let told = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REASON, value.parse().unwrap());
            reason(&headers)
        };
        assert_eq!(reason(&HeaderMap::new()), Ok(None));
        assert_eq!(
            told("ticket%204711%20f%C3%BCr%20Contoso").unwrap().unwrap(),
            "ticket 4711 für Contoso"
        );
        assert_eq!(told("%20"), Ok(None));
        let long = "a".repeat(LONGEST_REASON + 1);
        for bad in ["%", "%4", "%zz", "%FF", "a%0Ab", "%00", long.as_str()] {
            assert!(told(bad).is_err(), "{bad}");
        }
        let why = told(&long).unwrap_err();
        assert!(why.starts_with("--reason takes 200 octets on one line"));
    }

    #[test]
    fn what_an_operation_does_not_know_is_refused_in_words() {
        let of = |path: &str, method: Method| {
            let mut all = super::super::routes::all();
            all.find(|one| one.path == path && one.method == method)
                .unwrap()
        };
        let reload = of("/reload", Method::Post);
        let told = |query: &str| knows(reload, &format!("/reload{query}").parse().unwrap());
        for fine in [
            "",
            "?",
            "?confirm_within=300&force=true",
            "?spare_calls=false",
        ] {
            assert_eq!(told(fine), Ok(()), "{fine}");
        }
        for (wrong, why) in [
            ("?confirm_within=5m", "confirm_within is a whole number"),
            ("?force=yes", "force is true or false"),
            ("?force=true&force=true", "force is there twice"),
            (
                "?confirm_timeout=5",
                "there is no parameter \"confirm_timeout\": this operation knows confirm_within, force, spare_calls",
            ),
        ] {
            let told = told(wrong).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
        let status = of("/status", Method::Get);
        let told = knows(status, &"/status?x=1".parse().unwrap()).unwrap_err();
        assert!(told.ends_with("this operation knows none"), "{told}");
        assert!(no_body(reload).ends_with("?confirm_within=300"));
    }

    #[test]
    fn only_brackets_of_json_count_and_only_so_many_within_each_other() {
        let nested = |deep: usize| "[{\"a\":".repeat(deep / 2) + "1" + &"}]".repeat(deep / 2);
        assert!(!is_nested_deeper(nested(32).as_bytes(), MOST_NESTED));
        assert!(is_nested_deeper(nested(34).as_bytes(), MOST_NESTED));
        let text = format!("{{\"text\":\"\\\"{}\"}}", "[".repeat(100));
        assert!(!is_nested_deeper(text.as_bytes(), MOST_NESTED));
        let beside = "[],".repeat(100);
        assert!(!is_nested_deeper(beside.as_bytes(), MOST_NESTED));
    }
}
