//! Microsoft's login and Graph as far as reports about calls and presence need them: two names, one server on loopback.
//!
//! It insists on what is documented and notes what was wrong: who signs in how (TDG-ENT-001), what is asked for
//! with which token (TDG-CDR-001), and whether somebody who was told to wait waits (TDG-CDR-003). What it is
//! asked and what it answers can be changed on the way, as if the subject had meant or heard something else.

mod assertion;
mod base64;
pub mod clock;
mod graph;
mod http;
mod login;
mod notices;
pub mod oidc;
mod presence;
mod signer;
mod subscriptions;

pub use graph::PAGE;
pub use http::Request;
pub use notices::{Answered, FORGED, Told, Wrong};
pub use presence::{BATCH, Shown};
pub use signer::Signer;
pub use subscriptions::Subscribed;

use crate::ca::Authority;
use crate::lock::lock;
use crate::random;
use http::Response;
use notices::Caller;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use subscriptions::Step;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// Where applications sign in.
pub const LOGIN: &str = "login.microsoftonline.com";
/// Where reports are.
pub const GRAPH: &str = "graph.microsoft.com";
/// The customer's directory.
pub const DIRECTORY: &str = "11111111-2222-3333-4444-555555555555";
/// The application that is registered there.
pub const APPLICATION: &str = "66666666-7777-8888-9999-aaaaaaaaaaaa";
/// Its secret; with characters that a form cannot carry as they are.
pub const SECRET: &str = "s~8Q+/=&% secret";

/// How a text on the way is changed; nothing by default.
pub type Change = Option<(&'static str, &'static str)>;

/// What the server does.
pub struct Script {
    /// Certificate in DER by whose key the application proves itself; by its secret if there is none.
    pub certificate: Option<Vec<u8>>,
    /// The assertion by which it proves itself instead, if somebody else vouches for it.
    pub federated: Option<String>,
    /// What is reported about each day, by its date.
    pub rows: BTreeMap<String, Vec<Value>>,
    /// What users are, as `Busy/InACall`, by their ids; all others are offline.
    pub presences: BTreeMap<String, String>,
    /// Refusals of the next requests for rows: status, headers, and a body.
    pub refusals: VecDeque<Refusal>,
    /// How long a token lives, seconds.
    pub token_s: u64,
    /// The beginning of links to further pages.
    pub links_to: String,
    /// Whether tokens lack the permission.
    pub is_forbidden: bool,
    /// Whether applications may not subscribe.
    pub takes_no_subscriptions: bool,
    /// How long a subscription lives at most, seconds.
    pub subscription_s: u64,
    /// Where addresses for notices are, whatever their host is called.
    pub notices_at: Option<SocketAddr>,
    /// What the server is asked, as it understands it.
    pub asked: Change,
    /// What the server answers, as it is heard.
    pub answered: Change,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            certificate: None,
            federated: None,
            rows: BTreeMap::new(),
            presences: BTreeMap::new(),
            refusals: VecDeque::new(),
            token_s: 3_599,
            links_to: format!("https://{GRAPH}"),
            is_forbidden: false,
            takes_no_subscriptions: false,
            subscription_s: 3_600,
            notices_at: None,
            asked: None,
            answered: None,
        }
    }
}

/// A refusal, and how long the subject must wait then.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Status.
    pub status: u16,
    /// Seconds for Retry-After.
    pub retry_after_s: Option<u64>,
}

/// Something that the server was asked and that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breach {
    /// The rule.
    pub rule: &'static str,
    /// What was wrong.
    pub what: String,
}

/// A running server.
pub struct Microsoft {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    script: Mutex<Script>,
    state: Mutex<State>,
    /// Calls addresses for notices.
    caller: Caller,
    /// Signs tokens.
    signer: Signer,
}

#[derive(Default)]
struct State {
    heard: Vec<Request>,
    breaches: Vec<Breach>,
    /// Tokens that were given, with the end of each.
    tokens: BTreeMap<String, Instant>,
    /// Assertions that were shown.
    assertions: BTreeSet<String>,
    /// Nobody may ask before.
    not_before: Option<Instant>,
    /// Requests under way.
    under_way: usize,
    /// Whom to tell of what.
    subscriptions: BTreeMap<String, Subscribed>,
    /// What applications have made of users' presence.
    shown: Vec<Shown>,
    /// Links that were given out.
    links: BTreeSet<String>,
}

impl State {
    fn note(&mut self, rule: &'static str, what: impl Into<String>) {
        let what = what.into();
        self.breaches.push(Breach { rule, what });
    }
}

impl Microsoft {
    /// Starts a server with a certificate of this authority.
    ///
    /// # Errors
    /// What the system says, or that there is no certificate.
    pub async fn start(authority: &Authority, script: Script) -> io::Result<Self> {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let listener = TcpListener::bind((here, 0)).await?;
        Self::start_at(listener, authority, script)
    }

    /// Starts a server where somebody may be waiting already.
    ///
    /// # Errors
    /// What the system says, or that there is no certificate.
    pub fn start_at(
        listener: TcpListener,
        authority: &Authority,
        script: Script,
    ) -> io::Result<Self> {
        let acceptor = http::acceptor(authority, &[LOGIN, GRAPH]).map_err(io::Error::other)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            state: Mutex::default(),
            caller: Caller::new(authority.roots().map_err(io::Error::other)?)?,
            signer: Signer::rsa("key-1"),
        });
        let of_task = Arc::clone(&shared);
        let task = http::serve(listener, move |stream| {
            let (acceptor, shared) = (acceptor.clone(), Arc::clone(&of_task));
            async move { shared.serve(acceptor, stream).await }
        });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Arguments of `causeway teams records` that lead here.
    pub fn arguments(&self) -> Vec<String> {
        let places = [LOGIN, GRAPH].map(|host| format!("--connect-to={host}={}", self.address));
        places.to_vec()
    }

    /// Changes what it does from now on.
    pub fn change(&self, how: impl FnOnce(&mut Script)) {
        how(&mut lock(&self.shared.script));
    }

    /// Everything that it was asked.
    pub fn heard(&self) -> Vec<Request> {
        lock(&self.shared.state).heard.clone()
    }

    /// What applications have made of users' presence, in order.
    pub fn shown(&self) -> Vec<Shown> {
        lock(&self.shared.state).shown.clone()
    }

    /// How often it was asked at a host.
    pub fn asked_at(&self, host: &str) -> usize {
        let heard = self.heard();
        heard.iter().filter(|one| one.host == host).count()
    }

    /// Whom to tell of what.
    pub fn subscriptions(&self) -> Vec<Subscribed> {
        let state = lock(&self.shared.state);
        state.subscriptions.values().cloned().collect()
    }

    /// Whether it was asked for presence since a subscription was made.
    pub fn was_asked_since(&self, subscribed: &Subscribed) -> bool {
        let heard = self.heard();
        let mut polls = heard.iter().filter(|one| one.path == presence::READ);
        polls.any(|one| one.at > subscribed.made)
    }

    /// One is gone, and nobody says so.
    pub fn forget(&self, subscribed: &Subscribed) {
        let mut state = lock(&self.shared.state);
        state.subscriptions.remove(&subscribed.id);
    }

    /// Tells the subject of a user.
    ///
    /// # Errors
    /// Why it could not be told, or that it did not answer.
    pub async fn tell(&self, subscribed: &Subscribed, told: &Told) -> io::Result<Answered> {
        let body = notices::notice(subscribed, told, &self.shared.signer);
        let body = body.map_err(io::Error::other)?;
        self.shared.caller().post(&subscribed.url, "", &body).await
    }

    /// Tells the subject what happens to a subscription.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub async fn tell_event(&self, subscribed: &Subscribed, event: &str) -> io::Result<Answered> {
        let body = notices::event(subscribed, event);
        let caller = self.shared.caller();
        caller.post(&subscribed.lifecycle_url, "", &body).await
    }

    /// Asks an address of the subject whether it is its own, or anything else.
    ///
    /// # Errors
    /// As [`Self::tell`].
    pub async fn knock(&self, url: &str, query: &str, body: &str) -> io::Result<Answered> {
        self.shared.caller().post(url, query, body).await
    }

    /// Everything that was wrong.
    pub fn breaches(&self) -> Vec<Breach> {
        lock(&self.shared.state).breaches.clone()
    }
}

impl Drop for Microsoft {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn serve(&self, acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
        let mut stream = acceptor.accept(stream).await?;
        let asked = lock(&self.script).asked;
        let request = http::read(&mut stream, asked).await?;
        let response = self.answer(request).await;
        let answered = lock(&self.script).answered;
        // Before its last octet nobody can know that it is over.
        let is_over = || lock(&self.state).under_way -= 1;
        http::write(&mut stream, &response, answered, is_over).await
    }

    async fn answer(&self, request: Request) -> Response {
        let own = match self.step(request) {
            Step::Answer(response) => return response,
            Step::Prove(own) => *own,
        };
        for url in [&own.url, &own.lifecycle_url] {
            let token = format!("Validation: Testing client + {}", random::word::<8>());
            let query = token
                .replace('+', "%2B")
                .replace(' ', "+")
                .replace(':', "%3A");
            let query = format!("?validationToken={query}");
            let caller = self.caller();
            let answered = caller.post(url, &query, "").await;
            if let Err(what) = notices::proven(&token, &answered) {
                lock(&self.state).note("TDG-PRS-002", &*what);
                let what = format!("Subscription validation request failed. {what}");
                return Response::refusal(400, "ValidationError", &what);
            }
        }
        subscriptions::made(&mut lock(&self.state), own)
    }

    fn caller(&self) -> Caller {
        let script = lock(&self.script);
        let mut caller = self.caller.clone();
        caller.at = script.notices_at;
        caller.changes = (script.answered, script.asked);
        caller
    }

    fn step(&self, request: Request) -> Step {
        let mut script = lock(&self.script);
        let mut state = lock(&self.state);
        state.under_way += 1;
        // What is asked now and then waits for no page of rows.
        if state.under_way > 1 && request.path.contains("/callRecords/") {
            state.note("TDG-CDR-003", "several requests at the same time");
        }
        state.heard.push(request.clone());
        Step::Answer(match request.host.as_str() {
            LOGIN if request.method == "GET" => login::directory(
                &request,
                &serde_json::json!({ "keys": [self.signer.jwk()] }),
            ),
            LOGIN => login::answer(&script, &mut state, &request),
            GRAPH if subscriptions::is_meant(&request) => {
                match graph::unwelcome(&mut state, &request) {
                    Some(refusal) => refusal,
                    None => return subscriptions::step(&script, &mut state, &request),
                }
            }
            GRAPH => graph::answer(&mut script, &mut state, &request),
            other => {
                state.note("TDG-CDR-001", format!("there is no host {other}"));
                Response::refusal(421, "misdirected", "Wrong host.")
            }
        })
    }
}

/// A token that nobody can guess, good for a while.
fn token(state: &mut State, lifetime: Duration) -> String {
    let token = random::word::<16>();
    state
        .tokens
        .insert(token.clone(), Instant::now() + lifetime);
    token
}
