//! Digest authentication, the server's side (RFC 3261 §22, RFC 7616, RFC 8760): challenges to
//! peers, and what their credentials prove.
//!
//! Nobody learns whether it was the name or the password that was wrong: both are answered with the
//! same challenge, after the same computation. Failures are counted by source and name once the source
//! has shown that it gets our answers; an address that somebody only writes into packets is never shut
//! out (SEC-014).

use super::account::{Account, Password};
use super::challenge::Asker;
use super::digest::{Algorithm, Digest, Proof, Qop};
use super::nonce::{OwnNonces, Worth};
use super::sources::Sources;
use crate::config::{Authenticate, Trunk};
use crate::mint::Mint;
use crate::sip::header::{
    AuthParams, Authorization, Header, ProxyAuthenticate, ProxyAuthorization, WwwAuthenticate,
};
use crate::sip::{HeaderName, Message, Method, QuotedText, Token, Uri, Value};
use crate::time::Timestamp;
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// Lines of credentials that are looked at: one for each realm on the way is enough for anybody.
const MOST_LINES: usize = 8;

/// Why a request does not prove who its sender is. Label values of a metric: a closed list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Unproven {
    /// It carries no credentials for our realm: the usual first request.
    Missing,
    /// Its credentials cannot be read, or lack what we asked for.
    Unreadable,
    /// An algorithm that was not offered.
    Algorithm,
    /// The credentials are for another Request-URI.
    ForeignUri,
    /// Wrong name or password; which of the two is told to nobody else than the operator.
    Password,
    /// There is no such user.
    UnknownUser,
    /// The nonce is too old, or of another shard or address; whether the password is right nobody has
    /// looked at.
    Stale,
    /// Name and password are right, and these very credentials were seen before.
    Replayed,
}

impl Unproven {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Missing,
        Self::Unreadable,
        Self::Algorithm,
        Self::ForeignUri,
        Self::Password,
        Self::UnknownUser,
        Self::Stale,
        Self::Replayed,
    ];

    /// The stable label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Algorithm => "algorithm",
            Self::ForeignUri => "foreign_uri",
            Self::Password => "password",
            Self::UnknownUser => "unknown_user",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
        }
    }

    /// Whether a new nonce may be all that the sender needs.
    pub const fn is_stale(self) -> bool {
        matches!(self, Self::Stale | Self::Replayed)
    }

    /// Whether somebody guesses.
    const fn is_guess(self) -> bool {
        matches!(self, Self::Password | Self::UnknownUser)
    }
}

/// A request that proves nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Why.
    pub why: Unproven,
    /// The name that was shown, if any: at most 64 characters, none of them a control character.
    pub username: Option<String>,
    /// Whether the failure counts against its source: the source has shown that it is real.
    pub counts: bool,
    /// For how long the credentials of this name are not looked at if they come from this source.
    pub silence: Option<Duration>,
    /// This user is guessed at so often that an operator should know; told once an hour.
    pub is_alarming: bool,
}

/// What credentials are worth that prove nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Judged {
    /// The sender is asked again.
    Refused(Refused),
    /// The name has failed so often from this source that nobody looks, and nobody answers.
    Ignored,
}

/// The guard of one shard.
#[derive(Default)]
pub(crate) struct Guard {
    nonces: OwnNonces,
    sources: Sources,
    /// Whose password is tried for names that do not exist.
    nobody: Option<Password>,
}

impl Guard {
    /// Sources of which a name is not listened to, with how long that lasts: the longest first.
    pub(crate) fn silenced(&self, now: Timestamp) -> Vec<(IpAddr, Duration)> {
        self.sources.silenced(now)
    }

    /// Which of the trunks a request proves to belong to. `candidates` are those of one realm, at
    /// least one.
    pub(crate) fn judge(
        &mut self,
        now: Timestamp,
        mint: &mut Mint,
        source: IpAddr,
        message: &Message,
        candidates: &[&Arc<Trunk>],
    ) -> Result<Arc<Trunk>, Judged> {
        let own = candidates
            .first()
            .and_then(|trunk| trunk.authenticate.as_ref());
        let read = own
            .ok_or((Unproven::Missing, false))
            .and_then(|own| credentials(message, asker_of(message, own), own.realm()));
        let name = read
            .as_ref()
            .ok()
            .and_then(|params| text(params, "username"));
        if name.is_some_and(|name| self.sources.bans(now, source, name)) {
            return Err(Judged::Ignored);
        }
        let judged = match (&read, own) {
            (Ok(params), Some(own)) => {
                self.proven(now, mint, source, message, candidates, params, own)
            }
            (Err(why), _) => Err(*why),
            (Ok(_), None) => Err((Unproven::Missing, false)),
        };
        let (why, is_answer) = match (judged, name) {
            (Ok(trunk), name) => {
                self.sources.succeeded(source, name.unwrap_or_default());
                return Ok(trunk);
            }
            (Err(why), _) => why,
        };
        let counts = is_answer && why.is_guess();
        let failed = name.filter(|_| counts).map(|name| {
            let is_known = why == Unproven::Password;
            self.sources.failed(now, source, name, is_known)
        });
        let failed = failed.unwrap_or_default();
        Err(Judged::Refused(Refused {
            why,
            username: name.map(printable),
            counts,
            silence: failed.silence,
            is_alarming: failed.is_alarming,
        }))
    }

    /// The lines that ask for a proof, one for each algorithm, the preferred one first.
    pub(crate) fn challenges(
        &mut self,
        now: Timestamp,
        mint: &mut Mint,
        source: IpAddr,
        own: &Authenticate,
        asker: Asker,
        is_stale: bool,
    ) -> Vec<(HeaderName, Bytes)> {
        let nonce = self.nonces.make(now, mint, own.realm(), source);
        let line = |digest: &Digest| {
            let algorithm = Algorithm {
                digest: *digest,
                is_session: false,
            };
            challenge(asker, own.realm(), &nonce, algorithm, is_stale)
        };
        own.algorithms.iter().filter_map(line).collect()
    }

    /// The trunk, or why not and whether the request answers a challenge of ours.
    #[allow(
        clippy::too_many_arguments,
        reason = "facts of one arrival, used in one place"
    )]
    fn proven(
        &mut self,
        now: Timestamp,
        mint: &mut Mint,
        source: IpAddr,
        message: &Message,
        candidates: &[&Arc<Trunk>],
        params: &AuthParams,
        own: &Authenticate,
    ) -> Result<Arc<Trunk>, (Unproven, bool)> {
        let text = |name: &str| text(params, name);
        let unreadable = (Unproven::Unreadable, false);
        let name = text("username").ok_or(unreadable)?;
        let nonce = params.value("nonce").ok_or(unreadable)?;
        let uri = params.value("uri").ok_or(unreadable)?;
        let response = params.value("response").ok_or(unreadable)?;
        let cnonce = text("cnonce").ok_or(unreadable)?;
        let qop = match text("qop") {
            Some(word) if word.eq_ignore_ascii_case("auth") => Qop::Auth,
            Some(word) if word.eq_ignore_ascii_case("auth-int") => Qop::AuthInt,
            Some(_) | None => return Err(unreadable),
        };
        let count = text("nc").filter(|nc| nc.len() == 8);
        let count = count.and_then(|nc| u32::from_str_radix(nc, 16).ok());
        let count = count.ok_or(unreadable)?;
        let algorithm = match params.value("algorithm") {
            None => Some(Algorithm::MD5),
            Some(name) => Algorithm::named(name),
        };
        let algorithm = algorithm
            .filter(|algorithm| !algorithm.is_session)
            .filter(|algorithm| own.algorithms.contains(&algorithm.digest))
            .ok_or((Unproven::Algorithm, false))?;
        if !is_for(uri, message) {
            return Err((Unproven::ForeignUri, false));
        }
        // Only a nonce of ours gets a judgement, and each of those counts: who could ask whether a password
        // is right without having shown where he is could ask as often as he likes (SEC-014).
        if !self.nonces.is_answer(now, nonce, own.realm(), source) {
            return Err((Unproven::Stale, false));
        }
        let account = |trunk: &&&Arc<Trunk>| {
            let own = trunk.authenticate.as_ref();
            own.is_some_and(|own| own.account.username == name)
        };
        let found = candidates.iter().find(account).copied();
        let stranger;
        let account = match found.and_then(|trunk| trunk.authenticate.as_ref()) {
            Some(own) => &own.account,
            // The same work for a name that does not exist.
            None => {
                stranger = self.nobody(mint, name);
                &stranger
            }
        };
        let proof = Proof {
            algorithm,
            account,
            realm: own.realm().as_bytes(),
            nonce,
            qop: Some(qop),
            count,
            cnonce,
            method: message.method(),
            uri,
            body: &message.body(),
        };
        let is_right: bool = proof
            .response()
            .as_bytes()
            .ct_eq(&response.to_ascii_lowercase())
            .into();
        let trunk = match (found, is_right) {
            (Some(trunk), true) => trunk,
            (Some(_), false) => return Err((Unproven::Password, true)),
            (None, _) => return Err((Unproven::UnknownUser, true)),
        };
        match self.nonces.take(now, nonce, own.realm(), source, count) {
            Worth::Good => Ok(Arc::clone(trunk)),
            Worth::Stale => Err((Unproven::Stale, true)),
            Worth::Replayed => Err((Unproven::Replayed, true)),
        }
    }

    fn nobody(&mut self, mint: &mut Mint, name: &str) -> Account {
        let password = self.nobody.get_or_insert_with(|| {
            let octets: Vec<u8> = (0..2).flat_map(|_| mint.number().to_be_bytes()).collect();
            Password::new(octets)
        });
        Account {
            username: name.to_owned(),
            password: password.clone(),
            realms: Vec::new(),
            allows_md5: true,
        }
    }
}

/// A parameter that is text.
fn text<'p>(params: &'p AuthParams, name: &str) -> Option<&'p str> {
    std::str::from_utf8(params.value(name)?).ok()
}

/// As whom a request is asked: a registrar is never a proxy.
pub(crate) fn asker_of(message: &Message, own: &Authenticate) -> Asker {
    match *message.method() == Method::Register {
        true => Asker::Server,
        false => own.asker,
    }
}

/// The credentials for a realm.
fn credentials(
    message: &Message,
    asker: Asker,
    realm: &str,
) -> Result<AuthParams, (Unproven, bool)> {
    let name = asker.credentials();
    let mut is_unreadable = false;
    for line in message.lines(name).take(MOST_LINES) {
        let read = match asker {
            Asker::Server => Authorization::parse(&line.value()).map(|line| line.0),
            Asker::Proxy => ProxyAuthorization::parse(&line.value()).map(|line| line.0),
        };
        match read {
            Ok(params) if !params.is_digest() => {}
            Ok(params) => {
                if params
                    .value("realm")
                    .is_some_and(|own| own == realm.as_bytes())
                {
                    return Ok(params);
                }
            }
            Err(_) => is_unreadable = true,
        }
    }
    Err(match is_unreadable {
        true => (Unproven::Unreadable, false),
        false => (Unproven::Missing, false),
    })
}

/// Whether credentials are for the Request-URI of their request (RFC 7616 §3.4.6).
fn is_for(uri: &Bytes, message: &Message) -> bool {
    if *uri == message.request_uri() {
        return true;
    }
    let asked = message.uri();
    let shown = Uri::parse(uri.clone());
    matches!((asked, shown), (Ok(asked), Ok(shown)) if asked.is_equivalent(&shown))
}

fn challenge(
    asker: Asker,
    realm: &str,
    nonce: &str,
    algorithm: Algorithm,
    is_stale: bool,
) -> Option<(HeaderName, Bytes)> {
    let word = |text: &'static str| Token::parse(text).ok();
    let mut params = AuthParams::new(word("Digest")?);
    let mut quoted = |name: &'static str, text: &str| {
        let text = QuotedText::new(text.to_owned()).ok()?;
        params.set(word(name)?, Value::Quoted(text));
        Some(())
    };
    quoted("realm", realm)?;
    quoted("nonce", nonce)?;
    quoted("qop", "auth,auth-int")?;
    params.set(word("algorithm")?, Value::from(word(algorithm.name())?));
    if is_stale {
        params.set(word("stale")?, Value::from(word("true")?));
    }
    Some(match asker {
        Asker::Server => (
            HeaderName::WwwAuthenticate,
            WwwAuthenticate(params).to_bytes(),
        ),
        Asker::Proxy => (
            HeaderName::ProxyAuthenticate,
            ProxyAuthenticate(params).to_bytes(),
        ),
    })
}

/// A name for people (OPS-082).
fn printable(name: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    name.chars().take(64).map(clean).collect()
}
