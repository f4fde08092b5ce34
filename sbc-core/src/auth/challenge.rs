//! Challenges as they stand in a 401 or 407.

use super::digest::{Algorithm, Qop};
use crate::sip::header::{AuthParams, Header, ProxyAuthenticate, WwwAuthenticate};
use crate::sip::{HeaderName, Message};
use bytes::Bytes;

/// Who asks, and so which header answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Asker {
    /// The server of the request: WWW-Authenticate and Authorization.
    Server,
    /// A proxy on the way: Proxy-Authenticate and Proxy-Authorization.
    Proxy,
}

impl Asker {
    /// The header that carries our credentials.
    pub const fn credentials(self) -> HeaderName {
        match self {
            Self::Server => HeaderName::Authorization,
            Self::Proxy => HeaderName::ProxyAuthorization,
        }
    }
}

/// One Digest challenge that we can answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// Who asks.
    pub asker: Asker,
    /// Protection space.
    pub realm: Bytes,
    /// The server's value to be signed.
    pub nonce: Bytes,
    /// Handed back as it came.
    pub opaque: Option<Bytes>,
    /// How to compute.
    pub algorithm: Algorithm,
    /// Whether `algorithm` was written; it is repeated only then.
    pub names_algorithm: bool,
    /// What is protected; `None` is the old form of RFC 2069.
    pub qop: Option<Qop>,
    /// The nonce was too old, and the password right.
    pub is_stale: bool,
}

impl Challenge {
    /// Every challenge of a response that we can answer, topmost first, those of servers before
    /// those of proxies. Other schemes, unknown algorithms and unreadable lines are passed over
    /// (RFC 8760 §2.4): the peer may offer something older further down.
    pub fn all_of(response: &Message) -> Vec<Self> {
        let server = response
            .lines(HeaderName::WwwAuthenticate)
            .filter_map(|line| WwwAuthenticate::parse(&line.value()).ok())
            .filter_map(|value| Self::of(Asker::Server, &value.0));
        let proxy = response
            .lines(HeaderName::ProxyAuthenticate)
            .filter_map(|line| ProxyAuthenticate::parse(&line.value()).ok())
            .filter_map(|value| Self::of(Asker::Proxy, &value.0));
        server.chain(proxy).collect()
    }

    fn of(asker: Asker, params: &AuthParams) -> Option<Self> {
        if !params.is_digest() {
            return None;
        }
        let algorithm = params.value("algorithm");
        let qop = match params.value("qop") {
            None => None,
            // Only ways of protection that we do not know: nothing that could be answered.
            Some(offered) => Some(Qop::best(offered)?),
        };
        Some(Self {
            asker,
            realm: params.value("realm")?.clone(),
            nonce: params.value("nonce")?.clone(),
            opaque: params.value("opaque").cloned(),
            algorithm: match algorithm {
                None => Algorithm::MD5,
                Some(name) => Algorithm::named(name)?,
            },
            names_algorithm: algorithm.is_some(),
            qop,
            is_stale: params
                .value("stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case(b"true")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Digest;
    use crate::sip::Limits;

    fn challenges(lines: &str) -> Vec<Challenge> {
        let text = format!(
            "SIP/2.0 401 Unauthorized\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\n\
             From: <sip:a@example.com>;tag=1\nTo: <sip:b@example.com>;tag=2\nCall-ID: c\n\
             CSeq: 1 INVITE\n{lines}Content-Length: 0\n\n"
        );
        let message = Message::parse(Bytes::from(text.replace('\n', "\r\n")), &Limits::default());
        Challenge::all_of(&message.unwrap())
    }

    #[test]
    fn the_topmost_challenge_that_is_understood_comes_first_and_unknown_ones_are_passed_over() {
        let all = challenges(
            "WWW-Authenticate: Digest realm=\"a\", nonce=\"1\", algorithm=SHA3-512, qop=\"auth\"\n\
             WWW-Authenticate: Basic realm=\"a\"\n\
             WWW-Authenticate: Digest realm=\"a\", nonce=\"2\", algorithm=SHA-256, qop=\"auth\"\n\
             WWW-Authenticate: Digest realm=\"a\", nonce=\"3\", qop=\"auth-conf\"\n\
             WWW-Authenticate: Digest nonce=\"4\"\n\
             WWW-Authenticate: Digest realm=\"a\", nonce=\"5\"\n\
             Proxy-Authenticate: Digest realm=\"p\", nonce=\"6\", algorithm=md5-SESS, stale=TRUE, \
             qop=\"auth-int,auth\", opaque=\"o\"\n",
        );
        let nonces: Vec<&[u8]> = all.iter().map(|one| &one.nonce[..]).collect();
        assert_eq!(nonces, [&b"2"[..], b"5", b"6"]);
        assert_eq!(all[0].algorithm.digest, Digest::Sha256);
        assert_eq!((all[1].qop, all[1].names_algorithm), (None, false));
        let proxy = &all[2];
        assert!(proxy.is_stale && proxy.algorithm.is_session);
        assert_eq!(proxy.qop, Some(Qop::Auth));
        assert_eq!(proxy.opaque.as_deref(), Some(&b"o"[..]));
        assert_eq!(proxy.asker, Asker::Proxy);
    }

    #[test]
    fn a_challenge_cut_at_any_octet_is_read_or_passed_over() {
        let whole =
            "Digest realm=\"a\\\"b\", nonce=\"1\", algorithm=SHA-256, qop=\"auth,auth-int\"";
        for end in 0..=whole.len() {
            let found = challenges(&format!("WWW-Authenticate: {}\n", &whole[..end]));
            assert!(found.iter().all(|one| &one.realm[..] == b"a\"b"));
        }
        assert_eq!(challenges(&format!("WWW-Authenticate: {whole}\n")).len(), 1);
    }
}
