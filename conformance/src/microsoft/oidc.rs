//! Sign-in of people as Entra does it: discovery, keys, authorization with PKCE, ID tokens (TDG-ENT-003, TDG-ENT-004).
//!
//! The browser is played in the same process [`Provider::visit`]. What is asked wrongly is noted; what tokens say, and
//! with which key they are signed, can be changed before each sign-in.

use super::http::{self, Request, Response, form};
use super::signer::Signer;
use super::{APPLICATION, Breach, Change, DIRECTORY, SECRET, assertion, base64, clock};
use crate::ca::Authority;
use crate::lock::lock;
use crate::random;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The person who signs in, as the directory knows them.
pub const PERSON: &str = "77777777-8888-9999-aaaa-bbbbbbbbbbbb";

const RULE: &str = "TDG-ENT-003";

/// What the provider does.
pub struct Script {
    /// Keys that are published.
    pub keys: Vec<Signer>,
    /// The key that signs.
    pub signer: Signer,
    /// The header of tokens, instead of the usual one.
    pub header: Option<Value>,
    /// Claims that are others than usual; null takes one away.
    pub claims: BTreeMap<&'static str, Value>,
    /// Roles of the application that the person has.
    pub roles: Vec<String>,
    /// Certificate in DER by whose key the application proves itself; by its secret if there is none.
    pub certificate: Option<Vec<u8>>,
    /// What the provider is asked, as it understands it.
    pub asked: Change,
    /// What the provider answers, as it is heard.
    pub answered: Change,
}

impl Script {
    /// A person with these roles, and one key.
    pub fn of(roles: &[&str]) -> Self {
        let signer = Signer::rsa("key-1");
        Self {
            keys: vec![signer.clone()],
            signer,
            header: None,
            claims: BTreeMap::new(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            certificate: None,
            asked: None,
            answered: None,
        }
    }
}

/// What a browser comes back with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Visit {
    /// The code.
    pub code: String,
    /// The state that it was sent with.
    pub state: String,
}

/// A running provider.
pub struct Provider {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    issuer: String,
    script: Mutex<Script>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    codes: BTreeMap<String, Grant>,
    asked: BTreeMap<String, usize>,
    breaches: Vec<Breach>,
}

#[derive(Clone)]
struct Grant {
    redirect: String,
    nonce: String,
    challenge: String,
}

impl State {
    fn note(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.breaches.push(Breach { rule: RULE, what });
    }
}

impl Provider {
    /// Starts a provider with a certificate of this authority.
    ///
    /// # Errors
    /// What the system says, or that there is no certificate.
    pub async fn start(authority: &Authority, script: Script) -> io::Result<Self> {
        let acceptor = http::acceptor(authority, &["127.0.0.1"]).map_err(io::Error::other)?;
        let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            issuer: format!("https://{address}/{DIRECTORY}/v2.0"),
            script: Mutex::new(script),
            state: Mutex::default(),
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

    /// Its name.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Changes what it does from now on.
    pub fn change(&self, how: impl FnOnce(&mut Script)) {
        how(&mut lock(&self.shared.script));
    }

    /// How often it was asked for what ends so.
    pub fn asked_for(&self, end: &str) -> usize {
        let state = lock(&self.shared.state);
        let asked = state.asked.iter().filter(|(path, _)| path.ends_with(end));
        asked.map(|(_, count)| count).sum()
    }

    /// Everything that was wrong.
    pub fn breaches(&self) -> Vec<Breach> {
        lock(&self.shared.state).breaches.clone()
    }

    /// Goes where a browser is sent, and signs the person in there.
    ///
    /// # Errors
    /// What is wrong with the address, which is noted as well.
    pub fn visit(&self, location: &str) -> Result<Visit, String> {
        let state = &mut lock(&self.shared.state);
        self.shared.authorize(state, location).inspect_err(|what| {
            state.note(format!("{location}: {what}"));
        })
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn serve(&self, acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
        let mut stream = acceptor.accept(stream).await?;
        let asked = lock(&self.script).asked;
        let request = http::read(&mut stream, asked).await?;
        let response = self.answer(&request);
        let answered = lock(&self.script).answered;
        http::write(&mut stream, &response, answered, || ()).await
    }

    fn place(&self) -> &str {
        self.issuer.trim_end_matches("/v2.0")
    }

    fn answer(&self, request: &Request) -> Response {
        let script = lock(&self.script);
        let state = &mut lock(&self.state);
        *state.asked.entry(request.path.clone()).or_default() += 1;
        let place = self.place();
        let own = format!("/{DIRECTORY}");
        let path = request.path.strip_prefix(&own).unwrap_or_default();
        match (request.method.as_str(), path) {
            ("GET", "/v2.0/.well-known/openid-configuration") => {
                let document = json!({
                    "issuer": self.issuer,
                    "authorization_endpoint": format!("{place}/oauth2/v2.0/authorize"),
                    "token_endpoint": format!("{place}/oauth2/v2.0/token"),
                    "end_session_endpoint": format!("{place}/oauth2/v2.0/logout"),
                    "jwks_uri": format!("{place}/discovery/v2.0/keys"),
                    "response_types_supported": ["code"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                });
                Response::of(200, &document)
            }
            ("GET", "/discovery/v2.0/keys") => {
                let keys: Vec<Value> = script.keys.iter().map(Signer::jwk).collect();
                Response::of(200, &json!({ "keys": keys }))
            }
            ("POST", "/oauth2/v2.0/token") => match self.exchange(&script, state, request) {
                Ok(grant) => {
                    let answer = json!({
                        "token_type": "Bearer",
                        "expires_in": 3_599,
                        "access_token": random::word::<16>(),
                        "id_token": self.token(&script, &grant),
                    });
                    Response::of(200, &answer)
                }
                Err(what) => {
                    state.note(&what);
                    let told = format!("AADSTS70000: {what}.");
                    let answer = json!({ "error": "invalid_grant", "error_description": told });
                    Response::of(400, &answer)
                }
            },
            _ => {
                state.note(format!("there is nothing at {}", request.path));
                Response::refusal(404, "notFound", "Nothing is there.")
            }
        }
    }

    fn authorize(&self, state: &mut State, location: &str) -> Result<Visit, String> {
        let place = format!("{}/oauth2/v2.0/authorize?", self.place());
        let query = location.strip_prefix(&place);
        let fields: BTreeMap<_, _> = form(query.ok_or("it leads elsewhere")?)
            .into_iter()
            .collect();
        let field = |name: &str| {
            let field = fields.get(name).filter(|value| !value.is_empty());
            field.cloned().ok_or(format!("{name} is missing"))
        };
        let wanted = |name: &str, value: &str| match field(name)? == value {
            true => Ok(()),
            false => Err(format!("{name} is not {value}")),
        };
        wanted("client_id", APPLICATION)?;
        wanted("response_type", "code")?;
        wanted("code_challenge_method", "S256")?;
        let scope = field("scope")?;
        if !scope.split(' ').any(|word| word == "openid") {
            return Err(format!("scope {scope} is not of OpenID Connect"));
        }
        let long = |name: &str| match field(name)?.len() {
            0..32 => Err(format!("{name} can be guessed")),
            _ => field(name),
        };
        let grant = Grant {
            redirect: field("redirect_uri")?,
            nonce: long("nonce")?,
            challenge: long("code_challenge")?,
        };
        let code = random::word::<16>();
        state.codes.insert(code.clone(), grant);
        let state = long("state")?;
        Ok(Visit { code, state })
    }

    fn exchange(
        &self,
        script: &Script,
        state: &mut State,
        request: &Request,
    ) -> Result<Grant, String> {
        let fields: BTreeMap<_, _> = form(&request.body).into_iter().collect();
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        let wanted = |name: &str, value: &str| match field(name) == value {
            true => Ok(()),
            false => Err(format!("{name} is \"{}\"", field(name))),
        };
        wanted("grant_type", "authorization_code")?;
        wanted("client_id", APPLICATION)?;
        match &script.certificate {
            None => wanted("client_secret", SECRET)?,
            Some(certificate) => {
                let endpoint = format!("{}/oauth2/v2.0/token", self.place());
                let text = field("client_assertion");
                assertion::check(text, certificate, APPLICATION, &endpoint)?;
            }
        }
        let grant = state.codes.remove(field("code"));
        let grant = grant.ok_or("the code is unknown, or was used before")?;
        wanted("redirect_uri", &grant.redirect)?;
        let verifier = field("code_verifier");
        let challenge = base64::encode_url(&assertion::sha256(verifier.as_bytes()));
        if verifier.len() < 43 || challenge != grant.challenge {
            return Err("code_verifier is not that of the code_challenge".to_owned());
        }
        Ok(grant)
    }

    fn token(&self, script: &Script, grant: &Grant) -> String {
        let now = clock::now_ms() / 1_000;
        let mut claims = json!({
            "ver": "2.0", "iss": self.issuer, "aud": APPLICATION, "sub": "pairwise", "tid": DIRECTORY,
            "oid": PERSON, "name": "A. Operator", "preferred_username": "admin@example.com",
            "nonce": grant.nonce, "roles": script.roles,
            // Entra's clock is late on purpose.
            "iat": now - 300, "nbf": now - 300, "exp": now + 3_600,
        });
        for (name, value) in &script.claims {
            claims[*name] = value.clone();
        }
        match &script.header {
            Some(header) => script.signer.token_of(header, &claims),
            None => script.signer.token(&claims),
        }
    }
}
