//! An authority for tests: a server of RFC 8555 that checks what it is sent, looks at proofs for real, issues for
//! real keys, and can be as unkind as real ones are.
#![allow(unreachable_pub, reason = "a module of a test binary")]

pub(crate) mod wire;

use crate::support::{Authority, server};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use aws_lc_rs::{digest, hmac};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PublicKeyData, SignatureAlgorithm,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use wire::{Answer, Request, decoded, encoded};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509CertificationRequest};

/// How the authority behaves.
pub struct Manner {
    /// Where a page of http-01 is looked for, whatever the name.
    pub page: Option<SocketAddr>,
    /// What DNS has: name and value of TXT records.
    pub records: Box<dyn Fn() -> Vec<(String, String)> + Send>,
    /// Seconds before and after the moment of issue in which a certificate is valid.
    pub lifetime: (u64, u64),
    /// Refuses orders for so many seconds.
    pub limited: Option<u32>,
    /// Nonces that are refused although they are good.
    pub bad_nonces: u32,
    /// Looks at proofs, or lets everybody wait.
    pub looks: bool,
    /// Whether issuing takes until it is asked a second time.
    pub is_slow: bool,
    /// Who may have an account: name and key.
    pub external: Option<(&'static str, Vec<u8>)>,
    /// Names that are left out of what is issued.
    pub forgets: Option<&'static str>,
}

/// What it has been asked for.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    pub accounts: usize,
    pub orders: usize,
    pub contacts: Vec<String>,
    pub identifiers: Vec<String>,
    pub hosts: Vec<String>,
    /// Requests that it could not believe.
    pub forged: Vec<String>,
}

/// A running one. It ends with this value.
pub struct Acme {
    pub directory: String,
    /// What its web server is believed by.
    pub web: Authority,
    books: Arc<Mutex<Books>>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

struct Books {
    base: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
    manner: Manner,
    seen: Seen,
    nonces: BTreeSet<String>,
    next: u64,
    accounts: Vec<Account>,
    orders: Vec<Order>,
}

struct Account {
    key: Vec<u8>,
    thumb: String,
}

struct Order {
    names: Vec<String>,
    status: &'static str,
    proofs: Vec<Proof>,
    chain: String,
}

struct Proof {
    name: String,
    token: String,
    status: &'static str,
    error: Option<Value>,
}

/// A public key as a request has it.
struct Requested(Vec<u8>);

impl PublicKeyData for Requested {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

impl Drop for Acme {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Acme {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let web = Authority::new();
        let base = format!("https://{address}");
        let books = Books {
            base: base.clone(),
            issuer: issuer(),
            manner: Manner {
                page: None,
                records: Box::new(Vec::new),
                lifetime: (3_600, 90 * 86_400 + 3_600),
                limited: None,
                bad_nonces: 0,
                looks: true,
                is_slow: false,
                external: None,
                forgets: None,
            },
            seen: Seen::default(),
            nonces: BTreeSet::new(),
            next: 0,
            accounts: Vec::new(),
            orders: Vec::new(),
        };
        let books = Arc::new(Mutex::new(books));
        let task = tokio::spawn(serve(
            listener,
            server(&web.leaf(&["127.0.0.1"])),
            Arc::clone(&books),
        ));
        let directory = format!("{base}/directory");
        Self {
            directory,
            web,
            books,
            address,
            task,
        }
    }

    /// Ends its service; [`Self::opens`] begins it again with all that is known.
    pub async fn closes(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    pub async fn opens(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let acceptor = server(&self.web.leaf(&["127.0.0.1"]));
        self.task = tokio::spawn(serve(listener, acceptor, Arc::clone(&self.books)));
    }

    pub fn behaves(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.books().manner);
    }

    pub fn seen(&self) -> Seen {
        self.books().seen.clone()
    }

    /// Issues with another key from now on, which nobody knows yet.
    pub fn moves(&self) {
        self.books().issuer = issuer();
    }

    /// What leads to what it issues.
    pub fn root_pem(&self) -> String {
        self.books().issuer.pem()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }
}

fn issuer() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let name = "Test Issuing Authority";
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

async fn serve(
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
    books: Arc<Mutex<Books>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, books) = (acceptor.clone(), Arc::clone(&books));
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let Some(request) = Request::read(&mut stream).await else {
                return;
            };
            let answer = answered(&books, &request);
            answer.write(&mut stream).await;
            look(&books).await;
        });
    }
}

fn answered(books: &Mutex<Books>, request: &Request) -> Answer {
    let mut books = books.lock().unwrap();
    let nonce = books.nonce();
    let done = books.answer(request);
    let answer = done.unwrap_or_else(|(status, kind, detail)| {
        let problem = json!({
            "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": status,
        });
        Answer::of(status, &problem)
    });
    answer.with("Replay-Nonce", nonce)
}

/// Looks at the proofs that it was told are there.
async fn look(books: &Mutex<Books>) {
    let wanted: Vec<(usize, usize, String, String, String, Option<SocketAddr>)> = {
        let books = books.lock().unwrap();
        if !books.manner.looks {
            return;
        }
        let thumb = books
            .accounts
            .last()
            .map_or(String::new(), |own| own.thumb.clone());
        let page = books.manner.page;
        let all = books.orders.iter().enumerate();
        let all = all.flat_map(|(order, own)| {
            own.proofs
                .iter()
                .enumerate()
                .map(move |(at, proof)| (order, at, proof))
        });
        let told = all.filter(|(_, _, proof)| proof.status == "processing");
        told.map(|(order, at, proof)| {
            let key = format!("{}.{thumb}", proof.token);
            (
                order,
                at,
                proof.name.clone(),
                proof.token.clone(),
                key,
                page,
            )
        })
        .collect()
    };
    for (order, at, name, token, key, page) in wanted {
        let error = match page {
            Some(page) => match wire::page(page, &name, &token).await {
                Ok(body) if body == key => None,
                Ok(body) => Some(("unauthorized", format!("{name} says {body:?}"))),
                Err(why) => Some(("connection", format!("{name}: {why}"))),
            },
            None => {
                let wanted = encoded(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
                let own = format!("_acme-challenge.{}", name.trim_start_matches("*."));
                let records = (books.lock().unwrap().manner.records)();
                match records.contains(&(own.clone(), wanted)) {
                    true => None,
                    false => Some(("dns", format!("{own} has not the record"))),
                }
            }
        };
        let mut books = books.lock().unwrap();
        books.seen.hosts.push(name);
        let order = &mut books.orders[order];
        let proof = &mut order.proofs[at];
        proof.status = if error.is_none() { "valid" } else { "invalid" };
        proof.error = error.map(|(kind, detail)| {
            json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail })
        });
        if order.proofs.iter().any(|own| own.status == "invalid") {
            order.status = "invalid";
        } else if order.proofs.iter().all(|own| own.status == "valid") {
            order.status = "ready";
        }
    }
}

type Refusal = (u16, &'static str, String);

impl Books {
    fn nonce(&mut self) -> String {
        self.next += 1;
        let nonce = encoded(format!("nonce-{}", self.next).as_bytes());
        self.nonces.insert(nonce.clone());
        nonce
    }

    fn answer(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let url = |path: &str| format!("{}{path}", self.base);
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/directory") => Ok(Answer::of(
                200,
                &json!({
                    "newNonce": url("/nonce"), "newAccount": url("/account"), "newOrder": url("/order"),
                    "revokeCert": url("/revoke"), "keyChange": url("/key"),
                    "meta": { "externalAccountRequired": self.manner.external.is_some() },
                }),
            )),
            ("HEAD", "/nonce") => Ok(Answer::empty(200)),
            ("POST", path) => {
                let (account, payload) = self.believed(request)?;
                let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
                let number = |at: usize| parts.get(at).and_then(|text| text.parse::<usize>().ok());
                match (parts[0], number(1)) {
                    ("account", None) => self.account(account, &payload, request),
                    ("account", Some(_)) => Ok(Answer::of(200, &json!({ "status": "valid" }))),
                    ("order", None) => self.order(&payload),
                    ("order", Some(order)) => Ok(self.shown(order, 200)),
                    ("proof", Some(order)) => Ok(self.proof(order, number(2).unwrap())),
                    ("told", Some(order)) => Ok(self.told(order, number(2).unwrap())),
                    ("finalize", Some(order)) => self.finalize(order, &payload),
                    ("chain", Some(order)) => Ok(Answer::text(&self.orders[order].chain)),
                    _ => Err((404, "malformed", path.to_owned())),
                }
            }
            _ => Err((405, "malformed", request.path.clone())),
        }
    }

    /// Whose request it is, and what it says, if its signature, nonce and URL are right (RFC 8555 §6).
    fn believed(&mut self, request: &Request) -> Result<(Option<usize>, Value), Refusal> {
        let forged = |books: &mut Self, what: &str| {
            books.seen.forged.push(format!("{}: {what}", request.path));
            (400, "malformed", what.to_owned())
        };
        let body: Value =
            serde_json::from_slice(&request.body).map_err(|_| forged(self, "no JSON"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (protected, payload) = (text(&body["protected"]), text(&body["payload"]));
        let header: Value =
            serde_json::from_slice(&decoded(&protected)).map_err(|_| forged(self, "no header"))?;
        if request.header("content-type") != Some("application/jose+json") {
            return Err(forged(self, "content type"));
        }
        if header["alg"] != "ES256" || header["url"] != format!("{}{}", self.base, request.path) {
            return Err(forged(self, "algorithm or URL"));
        }
        let is_new = request.path == "/account";
        let (account, key) = match (header["kid"].as_str(), is_new) {
            (None, true) => {
                let part = |name: &str| decoded(header["jwk"][name].as_str().unwrap_or_default());
                (None, [vec![4], part("x"), part("y")].concat())
            }
            (Some(kid), false) => {
                let own = format!("{}/account/", self.base);
                let number = kid
                    .strip_prefix(&own)
                    .and_then(|text| text.parse::<usize>().ok());
                let found = number
                    .and_then(|number| Some((number, self.accounts.get(number)?.key.clone())));
                let (number, key) = found.ok_or((400, "accountDoesNotExist", kid.to_owned()))?;
                (Some(number), key)
            }
            _ => return Err(forged(self, "jwk or kid")),
        };
        let signed = format!("{protected}.{payload}");
        let signature = decoded(body["signature"].as_str().unwrap_or_default());
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
        if key.verify(signed.as_bytes(), &signature).is_err() {
            return Err(forged(self, "signature"));
        }
        let is_known = self
            .nonces
            .remove(header["nonce"].as_str().unwrap_or_default());
        if !is_known || self.manner.bad_nonces > 0 {
            self.manner.bad_nonces = self.manner.bad_nonces.saturating_sub(1);
            return Err((400, "badNonce", "another one".to_owned()));
        }
        let payload = match payload.as_str() {
            "" => Value::Null,
            text => serde_json::from_slice(&decoded(text)).map_err(|_| forged(self, "payload"))?,
        };
        let payload = match is_new {
            true => json!({ "payload": payload, "jwk": header["jwk"] }),
            false => payload,
        };
        Ok((account, payload))
    }

    fn account(
        &mut self,
        _none: Option<usize>,
        payload: &Value,
        request: &Request,
    ) -> Result<Answer, Refusal> {
        let (jwk, payload) = (&payload["jwk"], &payload["payload"]);
        assert_eq!(payload["termsOfServiceAgreed"], true);
        if let Some((name, key)) = &self.manner.external {
            let bound = &payload["externalAccountBinding"];
            let part = |name: &str| bound[name].as_str().unwrap_or_default();
            let header: Value =
                serde_json::from_slice(&decoded(part("protected"))).unwrap_or_default();
            let own: Value = serde_json::from_slice(&decoded(part("payload"))).unwrap_or_default();
            let signed = format!("{}.{}", part("protected"), part("payload"));
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            let signature = decoded(part("signature"));
            let is_right = hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
                && header["kid"] == *name
                && header["url"] == format!("{}{}", self.base, request.path)
                && own == *jwk;
            if !is_right {
                return Err((403, "unauthorized", "no such customer".to_owned()));
            }
        }
        let part = |name: &str| jwk[name].as_str().unwrap_or_default();
        let thumb = format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            part("x"),
            part("y")
        );
        let thumb = encoded(digest::digest(&digest::SHA256, thumb.as_bytes()).as_ref());
        let known = self.accounts.iter().position(|own| own.thumb == thumb);
        let number = known.unwrap_or_else(|| {
            let key = [vec![4], decoded(part("x")), decoded(part("y"))].concat();
            self.accounts.push(Account { key, thumb });
            self.accounts.len() - 1
        });
        self.seen.accounts = self.accounts.len();
        let contacts = payload["contact"].as_array().into_iter().flatten();
        self.seen.contacts = contacts
            .map(|own| own.as_str().unwrap().to_owned())
            .collect();
        let url = format!("{}/account/{number}", self.base);
        Ok(Answer::of(201, &json!({ "status": "valid" })).with("Location", url))
    }

    fn order(&mut self, payload: &Value) -> Result<Answer, Refusal> {
        if let Some(seconds) = self.manner.limited {
            let problem = json!({
                "type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many orders for you",
            });
            return Ok(Answer::of(429, &problem).with("Retry-After", seconds.to_string()));
        }
        let identifiers = payload["identifiers"].as_array().into_iter().flatten();
        let names: Vec<String> = identifiers
            .map(|own| own["value"].as_str().unwrap().to_owned())
            .collect();
        self.seen.orders += 1;
        self.seen.identifiers.clone_from(&names);
        let proofs = names.iter().enumerate().map(|(at, name)| Proof {
            name: name.clone(),
            token: encoded(format!("token-{}-{at}", self.orders.len()).as_bytes()),
            status: "pending",
            error: None,
        });
        let order = Order {
            proofs: proofs.collect(),
            names,
            status: "pending",
            chain: String::new(),
        };
        self.orders.push(order);
        let number = self.orders.len() - 1;
        let url = format!("{}/order/{number}", self.base);
        Ok(self.shown(number, 201).with("Location", url))
    }

    fn shown(&mut self, number: usize, status: u16) -> Answer {
        let order = &mut self.orders[number];
        let base = &self.base;
        let proofs = (0..order.proofs.len()).map(|at| format!("{base}/proof/{number}/{at}"));
        let mut shown = json!({
            "status": order.status,
            "identifiers": order.names.iter().map(|name| json!({ "type": "dns", "value": name })).collect::<Vec<_>>(),
            "authorizations": proofs.collect::<Vec<_>>(),
            "finalize": format!("{base}/finalize/{number}"),
        });
        if order.status == "valid" {
            shown["certificate"] = json!(format!("{base}/chain/{number}"));
        }
        if order.status == "processing" {
            order.status = "valid";
        }
        Answer::of(status, &shown)
    }

    fn proof(&self, order: usize, at: usize) -> Answer {
        let proof = &self.orders[order].proofs[at];
        let status = match proof.status {
            "processing" => "pending",
            other => other,
        };
        let challenge = |kind: &str| {
            json!({
                "type": kind, "url": format!("{}/told/{order}/{at}", self.base), "token": proof.token,
                "status": proof.status, "error": proof.error,
            })
        };
        let (name, is_wildcard) = match proof.name.strip_prefix("*.") {
            Some(parent) => (parent, true),
            None => (proof.name.as_str(), false),
        };
        let challenges = match is_wildcard {
            true => vec![challenge("dns-01")],
            false => vec![challenge("dns-01"), challenge("http-01")],
        };
        Answer::of(
            200,
            &json!({
                "identifier": { "type": "dns", "value": name }, "status": status,
                "wildcard": is_wildcard, "challenges": challenges,
            }),
        )
    }

    fn told(&mut self, order: usize, at: usize) -> Answer {
        let proof = &mut self.orders[order].proofs[at];
        if proof.status == "pending" {
            proof.status = "processing";
        }
        let kind = if self.manner.page.is_some() {
            "http-01"
        } else {
            "dns-01"
        };
        let url = format!("{}/told/{order}/{at}", self.base);
        Answer::of(
            200,
            &json!({ "type": kind, "url": url, "token": proof.token, "status": proof.status }),
        )
    }

    fn finalize(&mut self, number: usize, payload: &Value) -> Result<Answer, Refusal> {
        if self.orders[number].status != "ready" {
            return Err((403, "orderNotReady", "not yet".to_owned()));
        }
        let der = decoded(payload["csr"].as_str().unwrap_or_default());
        let (names, key) =
            requested(&der).ok_or((400, "badCSR", "it cannot be read".to_owned()))?;
        let wanted: BTreeSet<&String> = self.orders[number].names.iter().collect();
        if names.iter().collect::<BTreeSet<_>>() != wanted {
            return Err((400, "badCSR", format!("{names:?}")));
        }
        let kept = names
            .into_iter()
            .filter(|name| Some(name.as_str()) != self.manner.forgets);
        let mut params = CertificateParams::new(kept.collect::<Vec<_>>()).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let (before, after) = self.manner.lifetime;
        let now = SystemTime::now();
        params.not_before = (now - Duration::from_secs(before)).into();
        params.not_after = (now + Duration::from_secs(after)).into();
        let leaf = params.signed_by(&Requested(key), &*self.issuer).unwrap();
        let order = &mut self.orders[number];
        order.chain = format!("{}{}", leaf.pem(), self.issuer.pem());
        order.status = if self.manner.is_slow {
            "processing"
        } else {
            "valid"
        };
        Ok(self.shown(number, 200))
    }
}

/// Names and RSA key of a request whose signature is right.
fn requested(der: &[u8]) -> Option<(Vec<String>, Vec<u8>)> {
    let (_, request) = X509CertificationRequest::from_der(der).ok()?;
    let info = &request.certification_request_info;
    let key = info.subject_pki.subject_public_key.data.to_vec();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key)
        .verify(info.raw, &request.signature_value.data)
        .ok()?;
    let mut names = Vec::new();
    for extension in request.requested_extensions()? {
        if let ParsedExtension::SubjectAlternativeName(own) = extension {
            names.extend(own.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            }));
        }
    }
    Some((names, key))
}
