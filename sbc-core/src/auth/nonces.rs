//! What peers have asked for, and the credentials that answer it.

use super::challenge::{Asker, Challenge};
use super::digest::{Digest, Proof};
use super::{Account, Algorithm};
use crate::id::TrunkName;
use crate::mint::Mint;
use crate::sip::header::{AuthParams, Authorization, Header, WwwAuthenticate};
use crate::sip::{
    HeaderName, Message, Method, PlainValue, QuotedText, RequestBuilder, Token, Value,
};
use crate::trouble::Trouble;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

/// How often one request is sent at most, credentials or not (SIP-1610).
const MAX_SENT: u32 = 3;

/// One address of one trunk's peer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Peer {
    /// Trunk, and so the account.
    pub trunk: TrunkName,
    /// Where the request goes.
    pub remote: SocketAddr,
}

/// The parts of a request that a digest covers.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Method.
    pub method: &'a Method,
    /// Request-URI as it is sent.
    pub uri: &'a [u8],
    /// Body.
    pub body: &'a [u8],
}

/// Lines that prove who we are.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials(Vec<(HeaderName, Bytes)>);

impl Credentials {
    /// Adds the lines to a request.
    pub fn write(&self, request: RequestBuilder) -> RequestBuilder {
        self.0.iter().fold(request, |request, (name, value)| {
            request.raw_if_valid(name, value)
        })
    }

    /// Those that somebody else shows, by header.
    pub(crate) fn shown(lines: Vec<(HeaderName, Bytes)>) -> Self {
        Self(lines)
    }

    /// Those of a request of ours that was sent before.
    pub fn of(request: &Message) -> Self {
        let names = [HeaderName::Authorization, HeaderName::ProxyAuthorization];
        let lines = names.into_iter().flat_map(|name| {
            let values = request.raw_all(&name).collect::<Vec<_>>();
            values.into_iter().map(move |value| (name.clone(), value))
        });
        Self(lines.collect())
    }

    /// Those among the lines of a request.
    pub(crate) fn among(lines: &[(HeaderName, Bytes)]) -> Self {
        let own = lines.iter().filter(|(name, _)| is_proof(name));
        Self(own.cloned().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a header shows credentials.
pub(crate) fn is_proof(name: &HeaderName) -> bool {
    matches!(
        name,
        HeaderName::Authorization | HeaderName::ProxyAuthorization
    )
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} lines)", self.0.len())
    }
}

/// What one request has been through: how often it was sent, and which nonces it has shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tries {
    sent: u32,
    shown: Vec<(Asker, Bytes, Bytes)>,
}

/// A challenge that the next sending of the request answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// The weakest algorithm among those used.
    pub algorithm: Algorithm,
    /// It is MD5, and was not on this trunk before.
    pub is_newly_weak: bool,
}

/// Why a 401 or 407 is final.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unanswered {
    /// The trunk has no account.
    NoAccount,
    /// The request went to an address that is not one of the trunk's peer.
    ForeignPeer,
    /// No challenge in it is one that we understand.
    NotUnderstood,
    /// None is for a realm of the account; the first one that was asked for.
    ForeignRealm(String),
    /// Only MD5 is offered, and the account does not allow it.
    Weak,
    /// Our credentials were refused.
    Refused(String),
    /// Asked again and again.
    TooOften,
}

impl From<&Unanswered> for Trouble {
    fn from(why: &Unanswered) -> Self {
        match why {
            // Of an INVITE that makes a call only the trunk's own peer is told.
            Unanswered::NoAccount | Unanswered::ForeignPeer => Self::PeerWantsLogin,
            Unanswered::NotUnderstood => Self::PeerLoginMethod,
            Unanswered::ForeignRealm(_) => Self::PeerLoginRealm,
            Unanswered::Weak => Self::PeerLoginWeak,
            Unanswered::Refused(_) => Self::PeerRefusesLogin,
            Unanswered::TooOften => Self::PeerStaleLogin,
        }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAccount => f.write_str(
                "the peer demands authentication, and the trunk has no \"digest\" account",
            ),
            Self::ForeignPeer => f.write_str(
                "an address that is not the trunk's peer demands authentication; it gets none",
            ),
            Self::NotUnderstood => f.write_str(
                "the peer demands authentication in a way that is not Digest with MD5, SHA-256 or \
                 SHA-512-256",
            ),
            Self::ForeignRealm(realm) => write!(
                f,
                "the peer demands authentication for realm \"{realm}\", which the trunk's \
                 \"digest\" account does not name"
            ),
            Self::Weak => f.write_str(
                "the peer demands authentication with MD5, which the trunk does not allow",
            ),
            Self::Refused(realm) => write!(
                f,
                "the peer does not accept user name and password of the trunk for realm \
                 \"{realm}\""
            ),
            Self::TooOften => f.write_str("the peer demands authentication again and again"),
        }
    }
}

/// The latest challenge of every peer and realm.
///
/// Bounded by itself: only realms of the configuration get in, and only addresses that a trunk's
/// requests were sent to.
#[derive(Default, Debug)]
pub struct Nonces {
    known: BTreeMap<(Peer, Asker, Bytes), Known>,
    weak: BTreeSet<TrunkName>,
}

#[derive(Debug)]
struct Known {
    challenge: Challenge,
    /// How often the nonce was used.
    count: u32,
    /// Random value that a `-sess` key is bound to: the same as long as the nonce is.
    session: String,
}

impl Known {
    fn new(challenge: Challenge, mint: &mut Mint) -> Self {
        Self {
            challenge,
            count: 0,
            session: mint.tag(),
        }
    }
}

impl Nonces {
    /// The credentials that this peer is known to want, for a request that is about to be sent to
    /// it. None if it never asked.
    pub fn present(
        &mut self,
        mint: &mut Mint,
        peer: &Peer,
        account: &Account,
        asked: Asked<'_>,
        tries: &mut Tries,
    ) -> Credentials {
        tries.sent += 1;
        tries.shown.clear();
        let begin = (peer.clone(), Asker::Server, Bytes::new());
        let own = self.known.range_mut(begin..);
        let own = own.take_while(|((of, ..), _)| of == peer);
        let mut lines = Vec::new();
        for ((_, asker, realm), known) in own {
            if !account.has_realm(realm) {
                continue;
            }
            known.count += 1;
            let cnonce = match known.challenge.algorithm.is_session {
                true => known.session.clone(),
                false => mint.tag(),
            };
            if let Some(value) = line(known, account, asked, &cnonce) {
                lines.push((asker.credentials(), value));
                let nonce = known.challenge.nonce.clone();
                tries.shown.push((*asker, realm.clone(), nonce));
            }
        }
        Credentials(lines)
    }

    /// Takes the challenges of a 401 or 407, so that the request may be sent again. `Err` says why
    /// that is of no use; the peer's refusal is then its last word.
    pub fn take(
        &mut self,
        mint: &mut Mint,
        peer: &Peer,
        account: &Account,
        response: &Message,
        tries: &Tries,
    ) -> Result<Taken, Unanswered> {
        let all = Challenge::all_of(response);
        let first = all.first().ok_or(Unanswered::NotUnderstood)?;
        let own = || all.iter().filter(|one| account.has_realm(&one.realm));
        if own().next().is_none() {
            return Err(Unanswered::ForeignRealm(printable(&first.realm)));
        }
        let mut chosen: Vec<&Challenge> = Vec::new();
        for challenge in own() {
            let is_weak = challenge.algorithm.digest == Digest::Md5;
            let has_better = chosen
                .iter()
                .any(|have| have.asker == challenge.asker && have.realm == challenge.realm);
            if !has_better && (account.allows_md5 || !is_weak) {
                chosen.push(challenge);
            }
        }
        let Some(first) = chosen.first() else {
            return Err(Unanswered::Weak);
        };
        let shown = |one: &Challenge| {
            let mut shown = tries.shown.iter();
            shown.find(|(asker, realm, _)| *asker == one.asker && *realm == one.realm)
        };
        let refused = chosen
            .iter()
            .find(|one| !one.is_stale && shown(one).is_some());
        let is_same_again = refused
            .and_then(|one| shown(one).map(|(_, _, nonce)| *nonce == one.nonce))
            .unwrap_or(false);
        if is_same_again || tries.sent >= MAX_SENT {
            // What was not accepted is not shown unasked the next time.
            for one in &chosen {
                let key = (peer.clone(), one.asker, one.realm.clone());
                self.known.remove(&key);
            }
            return Err(match refused {
                Some(one) => Unanswered::Refused(printable(&one.realm)),
                None => Unanswered::TooOften,
            });
        }
        let weakest = chosen
            .iter()
            .find(|one| one.algorithm.digest == Digest::Md5)
            .unwrap_or(first);
        let is_weak = weakest.algorithm.digest == Digest::Md5;
        let taken = Taken {
            algorithm: weakest.algorithm,
            is_newly_weak: is_weak && self.weak.insert(peer.trunk.clone()),
        };
        for one in chosen {
            let key = (peer.clone(), one.asker, one.realm.clone());
            self.known.insert(key, Known::new(one.clone(), mint));
        }
        Ok(taken)
    }

    /// Takes the nonce that a peer names for the next request (RFC 7616 §3.5). It does not name
    /// the realm: with several it is not known whose it is, and the next challenge will tell.
    pub fn next(&mut self, mint: &mut Mint, peer: &Peer, response: &Message) {
        let Some(info) = response.raw(HeaderName::AuthenticationInfo) else {
            return;
        };
        // The same parameters as in a challenge, without the scheme.
        let text = [b"Digest ".as_slice(), &info].concat();
        let Ok(params) = WwwAuthenticate::parse(&Bytes::from(text)) else {
            return;
        };
        let Some(nonce) = params.value("nextnonce") else {
            return;
        };
        let begin = (peer.clone(), Asker::Server, Bytes::new());
        let mut own = self
            .known
            .range_mut(begin..)
            .take_while(|((of, asker, _), _)| of == peer && *asker == Asker::Server);
        if let (Some((_, known)), None) = (own.next(), own.next()) {
            let mut challenge = known.challenge.clone();
            challenge.nonce = nonce.clone();
            *known = Known::new(challenge, mint);
        }
    }

    /// Forgets the peers of trunks that are not wanted any more.
    pub fn keep(&mut self, is_wanted: impl Fn(&TrunkName) -> bool) {
        self.known.retain(|(peer, ..), _| is_wanted(&peer.trunk));
        self.weak.retain(|trunk| is_wanted(trunk));
    }
}

/// The value of Authorization or Proxy-Authorization. `None` for a challenge with octets that
/// cannot be repeated.
fn line(known: &Known, account: &Account, asked: Asked<'_>, cnonce: &str) -> Option<Bytes> {
    let challenge = &known.challenge;
    let proof = Proof {
        algorithm: challenge.algorithm,
        account,
        realm: &challenge.realm,
        nonce: &challenge.nonce,
        qop: challenge.qop,
        count: known.count,
        cnonce,
        method: asked.method,
        uri: asked.uri,
        body: asked.body,
    };
    let mut params = AuthParams::new(word("Digest")?);
    let mut quoted = |name: &'static str, text: &[u8]| {
        let text = QuotedText::new(Bytes::copy_from_slice(text)).ok()?;
        params.set(word(name)?, Value::Quoted(text));
        Some(())
    };
    quoted("username", account.username.as_bytes())?;
    quoted("realm", &challenge.realm)?;
    quoted("nonce", &challenge.nonce)?;
    quoted("uri", asked.uri)?;
    quoted("response", proof.response().as_bytes())?;
    if challenge.qop.is_some() || challenge.algorithm.is_session {
        quoted("cnonce", cnonce.as_bytes())?;
    }
    if let Some(opaque) = &challenge.opaque {
        quoted("opaque", opaque)?;
    }
    let mut plain = |name: &'static str, text: String| {
        let text = PlainValue::parse(Bytes::from(text)).ok()?;
        params.set(word(name)?, Value::Plain(text));
        Some(())
    };
    if challenge.names_algorithm {
        plain("algorithm", challenge.algorithm.name().to_owned())?;
    }
    if let Some(qop) = challenge.qop {
        plain("qop", qop.name().to_owned())?;
        plain("nc", format!("{:08x}", known.count))?;
    }
    // The two kinds of credentials differ in their names only.
    Some(Authorization(params).to_bytes())
}

fn word(text: &'static str) -> Option<Token> {
    Token::parse(text).ok()
}

/// A realm for people: at most 80 characters, control characters replaced (OPS-082).
fn printable(realm: &[u8]) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let text = String::from_utf8_lossy(realm);
    text.chars().take(80).map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Password;
    use crate::id::ShardId;
    use crate::sip::Limits;

    struct Bench {
        nonces: Nonces,
        mint: Mint,
        account: Account,
        tries: Tries,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                nonces: Nonces::default(),
                mint: Mint::new(ShardId(0), [3; 32]),
                account: Account {
                    username: "user \"one\"".to_owned(),
                    password: Password::new(b"secret".to_vec()),
                    realms: vec!["example.com".to_owned(), "proxy".to_owned()],
                    allows_md5: true,
                },
                tries: Tries::default(),
            }
        }

        fn peer() -> Peer {
            Peer {
                trunk: TrunkName::new("carrier"),
                remote: "192.0.2.1:5060".parse().unwrap(),
            }
        }

        fn send(&mut self) -> Vec<String> {
            let asked = Asked {
                method: &Method::Register,
                uri: b"sip:example.com",
                body: b"",
            };
            let (mint, tries) = (&mut self.mint, &mut self.tries);
            let account = &self.account;
            let sent = self
                .nonces
                .present(mint, &Self::peer(), account, asked, tries);
            sent.0
                .iter()
                .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
                .collect()
        }

        fn hears(&mut self, lines: &str) -> Result<Taken, Unanswered> {
            let (mint, account) = (&mut self.mint, &self.account);
            let response = response(lines);
            self.nonces
                .take(mint, &Self::peer(), account, &response, &self.tries)
        }
    }

    fn response(lines: &str) -> Message {
        let text = format!(
            "SIP/2.0 401 Unauthorized\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\n\
             From: <sip:a@example.com>;tag=1\nTo: <sip:b@example.com>;tag=2\nCall-ID: c\n\
             CSeq: 1 INVITE\n{lines}\nContent-Length: 0\n\n"
        );
        Message::parse(Bytes::from(text.replace('\n', "\r\n")), &Limits::default()).unwrap()
    }

    fn challenge(nonce: &str, extra: &str) -> String {
        format!("WWW-Authenticate: Digest realm=\"example.com\", nonce=\"{nonce}\"{extra}")
    }

    const QOP: &str = ", qop=\"auth\", algorithm=SHA-256, opaque=\"xyz\"";

    #[test]
    fn credentials_quote_what_must_be_quoted_and_count_their_nonce() {
        let mut bench = Bench::new();
        assert!(bench.send().is_empty(), "nobody asked yet");
        assert!(bench.hears(&challenge("n1", QOP)).is_ok());
        let lines = bench.send();
        assert_eq!(lines.len(), 1);
        let start = "Authorization: Digest username=\"user \\\"one\\\"\", realm=\"example.com\", \
                     nonce=\"n1\", uri=\"sip:example.com\", response=\"";
        assert!(lines[0].starts_with(start), "{}", lines[0]);
        let end = ", opaque=\"xyz\", algorithm=SHA-256, qop=auth, nc=00000001";
        assert!(lines[0].ends_with(end), "{}", lines[0]);
        // The next request brings them along, with the next count and another random value.
        bench.tries = Tries::default();
        let next = bench.send();
        assert!(next[0].ends_with("nc=00000002"), "{}", next[0]);
        let cnonce = |line: &str| line.split("cnonce=").nth(1).unwrap()[..20].to_owned();
        assert_ne!(cnonce(&lines[0]), cnonce(&next[0]));
    }

    #[test]
    fn a_session_key_keeps_its_random_value_as_long_as_its_nonce() {
        let mut bench = Bench::new();
        bench.send();
        let sess = ", qop=\"auth\", algorithm=MD5-sess";
        assert!(bench.hears(&challenge("n1", sess)).unwrap().is_newly_weak);
        let cnonce = |line: &str| line.split("cnonce=").nth(1).unwrap()[..20].to_owned();
        let (one, two) = (bench.send(), bench.send());
        assert_eq!(cnonce(&one[0]), cnonce(&two[0]));
        bench.tries = Tries::default();
        bench.send();
        let again = bench.hears(&challenge("n2", sess)).unwrap();
        assert!(!again.is_newly_weak, "it is told once");
        assert_ne!(cnonce(&one[0]), cnonce(&bench.send()[0]));
    }

    #[test]
    fn the_old_form_has_neither_count_nor_random_value() {
        let mut bench = Bench::new();
        bench.send();
        assert!(bench.hears(&challenge("n1", "")).is_ok());
        let line = bench.send().remove(0);
        for absent in ["cnonce", "nc=", "qop", "algorithm", "opaque"] {
            assert!(!line.contains(absent), "{line}");
        }
    }

    #[test]
    fn the_same_nonce_again_means_that_the_password_is_wrong() {
        let mut bench = Bench::new();
        bench.send();
        assert!(bench.hears(&challenge("n1", QOP)).is_ok());
        bench.send();
        let why = bench.hears(&challenge("n1", QOP)).unwrap_err();
        assert_eq!(why, Unanswered::Refused("example.com".to_owned()));
        bench.tries = Tries::default();
        assert!(
            bench.send().is_empty(),
            "what was refused is not shown again"
        );
    }

    #[test]
    fn nonces_that_change_for_ever_end_after_three_requests() {
        let mut bench = Bench::new();
        bench.send();
        assert!(bench.hears(&challenge("n1", QOP)).is_ok());
        bench.send();
        assert!(bench.hears(&challenge("n2", QOP)).is_ok());
        bench.send();
        let why = bench.hears(&challenge("n3", QOP)).unwrap_err();
        assert_eq!(why, Unanswered::Refused("example.com".to_owned()));
        // Stale for ever is no reason to go on either.
        let mut bench = Bench::new();
        for nonce in ["n1", "n2"] {
            bench.send();
            let stale = challenge(nonce, ", stale=true, qop=\"auth\"");
            assert!(bench.hears(&stale).is_ok());
        }
        bench.send();
        let why = bench.hears(&challenge("n3", ", stale=true, qop=\"auth\""));
        assert_eq!(why.unwrap_err(), Unanswered::TooOften);
    }

    #[test]
    fn a_stale_nonce_is_replaced_also_if_it_is_the_same_again() {
        let mut bench = Bench::new();
        bench.send();
        assert!(bench.hears(&challenge("n1", QOP)).is_ok());
        bench.send();
        let stale = format!("{}, stale=true", challenge("n1", QOP));
        assert!(bench.hears(&stale).is_ok());
        assert!(bench.send()[0].ends_with("nc=00000001"));
    }

    #[test]
    fn server_and_proxy_in_a_chain_are_both_answered() {
        let mut bench = Bench::new();
        bench.send();
        let proxy = "Proxy-Authenticate: Digest realm=\"proxy\", nonce=\"p1\", qop=\"auth\"";
        assert!(bench.hears(proxy).is_ok());
        assert_eq!(bench.send().len(), 1);
        assert!(bench.hears(&challenge("n1", QOP)).is_ok());
        let lines = bench.send();
        assert!(lines[0].starts_with("Authorization: Digest "));
        assert!(lines[1].starts_with("Proxy-Authorization: Digest "));
        assert!(lines[1].contains("nonce=\"p1\"") && lines[1].ends_with("nc=00000002"));
    }

    #[test]
    fn a_realm_that_is_not_configured_gets_nothing() {
        let mut bench = Bench::new();
        bench.send();
        let lines = "WWW-Authenticate: Digest realm=\"example.net\", nonce=\"n\", qop=\"auth\"";
        let why = bench.hears(lines).unwrap_err();
        assert_eq!(why, Unanswered::ForeignRealm("example.net".to_owned()));
        let basic = "WWW-Authenticate: Basic realm=\"example.com\"";
        assert_eq!(bench.hears(basic).unwrap_err(), Unanswered::NotUnderstood);
        assert!(bench.send().is_empty());
    }

    #[test]
    fn without_md5_only_something_better_is_answered() {
        let mut bench = Bench::new();
        bench.account.allows_md5 = false;
        bench.send();
        let md5 = challenge("n1", ", qop=\"auth\"");
        assert_eq!(bench.hears(&md5).unwrap_err(), Unanswered::Weak);
        let both = format!("{md5}\n{}", challenge("n2", QOP));
        let taken = bench.hears(&both).unwrap();
        assert_eq!(taken.algorithm.digest, Digest::Sha256);
        assert!(bench.send()[0].contains("nonce=\"n2\""));
    }

    #[test]
    fn the_nonce_for_the_next_request_is_used_and_its_count_begins_again() {
        let mut bench = Bench::new();
        bench.send();
        assert!(bench.hears(&challenge("n1", QOP)).is_ok());
        bench.send();
        let info = response("Authentication-Info: nextnonce=\"n2\", qop=auth");
        bench.nonces.next(&mut bench.mint, &Bench::peer(), &info);
        let line = bench.send().remove(0);
        assert!(line.contains("nonce=\"n2\"") && line.ends_with("nc=00000001"));
    }

    #[test]
    fn another_address_of_the_same_trunk_is_shown_nothing_unasked() {
        let mut bench = Bench::new();
        bench.send();
        assert!(bench.hears(&challenge("n1", QOP)).is_ok());
        let other = Peer {
            remote: "192.0.2.2:5060".parse().unwrap(),
            ..Bench::peer()
        };
        let asked = Asked {
            method: &Method::Invite,
            uri: b"sip:example.com",
            body: b"",
        };
        let mut tries = Tries::default();
        let sent = bench
            .nonces
            .present(&mut bench.mint, &other, &bench.account, asked, &mut tries);
        assert!(sent.is_empty());
    }
}
