//! The value that proves knowledge of a password: RFC 7616 §3.4, with the algorithms of RFC 8760.

use super::Account;
use crate::sip::Method;
use md5::Md5;
use sha2::{Sha256, Sha512_256};
use zeroize::Zeroizing;

/// A hash function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Digest {
    /// MD5: broken, and what most peers still ask for.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512/256.
    Sha512_256,
}

/// A hash function and whether its key is bound to the first nonce (`-sess`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Algorithm {
    /// Hash function.
    pub digest: Digest,
    /// `-sess`.
    pub is_session: bool,
}

impl Algorithm {
    /// What a challenge means that names none.
    pub const MD5: Self = Self {
        digest: Digest::Md5,
        is_session: false,
    };

    /// The algorithm of this name, in any mixture of upper and lower case.
    pub fn named(name: &[u8]) -> Option<Self> {
        const ALL: [Digest; 3] = [Digest::Md5, Digest::Sha256, Digest::Sha512_256];
        ALL.into_iter()
            .flat_map(|digest| [false, true].map(|is_session| Self { digest, is_session }))
            .find(|algorithm| algorithm.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Its name in challenges and credentials.
    pub const fn name(self) -> &'static str {
        match (self.digest, self.is_session) {
            (Digest::Md5, false) => "MD5",
            (Digest::Md5, true) => "MD5-sess",
            (Digest::Sha256, false) => "SHA-256",
            (Digest::Sha256, true) => "SHA-256-sess",
            (Digest::Sha512_256, false) => "SHA-512-256",
            (Digest::Sha512_256, true) => "SHA-512-256-sess",
        }
    }
}

/// What the digest protects.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Qop {
    /// Method and Request-URI.
    Auth,
    /// The body as well.
    AuthInt,
}

impl Qop {
    /// The one we take of a list: `auth`, because a body may be changed on its way for good
    /// reasons; `auth-int` if there is nothing else.
    pub fn best(offered: &[u8]) -> Option<Self> {
        let has = |name: &str| {
            let mut words = offered.split(|octet| *octet == b',');
            words.any(|word| word.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
        };
        match (has("auth"), has("auth-int")) {
            (true, _) => Some(Self::Auth),
            (false, true) => Some(Self::AuthInt),
            (false, false) => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

/// Everything that goes into one digest.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// Algorithm of the challenge.
    pub algorithm: Algorithm,
    /// Whose password it is.
    pub account: &'a Account,
    /// Realm of the challenge.
    pub realm: &'a [u8],
    /// Nonce of the challenge.
    pub nonce: &'a [u8],
    /// Quality of protection that was chosen.
    pub qop: Option<Qop>,
    /// How often this nonce was used, this time included.
    pub count: u32,
    /// Our own random value.
    pub cnonce: &'a str,
    /// Method of the request.
    pub method: &'a Method,
    /// Request-URI as it is sent.
    pub uri: &'a [u8],
    /// Body of the request.
    pub body: &'a [u8],
}

impl Proof<'_> {
    /// The value of `response`: lower case hexadecimal.
    pub fn response(&self) -> String {
        let hash = |parts: &[&[u8]]| joined(self.algorithm.digest, parts);
        let account = self.account;
        let own = [
            account.username.as_bytes(),
            self.realm,
            account.password.expose(),
        ];
        let mut secret = Zeroizing::new(hash(&own));
        if self.algorithm.is_session {
            let bound = hash(&[secret.as_bytes(), self.nonce, self.cnonce.as_bytes()]);
            secret = Zeroizing::new(bound);
        }
        let method = self.method.as_str().as_bytes();
        let request = match self.qop {
            Some(Qop::AuthInt) => {
                let body = hash(&[self.body]);
                hash(&[method, self.uri, body.as_bytes()])
            }
            Some(Qop::Auth) | None => hash(&[method, self.uri]),
        };
        match self.qop {
            None => hash(&[secret.as_bytes(), self.nonce, request.as_bytes()]),
            Some(qop) => hash(&[
                secret.as_bytes(),
                self.nonce,
                format!("{:08x}", self.count).as_bytes(),
                self.cnonce.as_bytes(),
                qop.name().as_bytes(),
                request.as_bytes(),
            ]),
        }
    }
}

/// Hash of parts with colons between them, in hexadecimal.
fn joined(digest: Digest, parts: &[&[u8]]) -> String {
    match digest {
        Digest::Md5 => hexadecimal::<Md5>(parts),
        Digest::Sha256 => hexadecimal::<Sha256>(parts),
        Digest::Sha512_256 => hexadecimal::<Sha512_256>(parts),
    }
}

fn hexadecimal<D: sha2::Digest>(parts: &[&[u8]]) -> String {
    let mut hasher = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hasher.update(b":");
        }
        hasher.update(part);
    }
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let octets = hasher.finalize();
    octets
        .iter()
        .flat_map(|octet| [octet >> 4, octet & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Password;

    fn account(username: &str, password: &str) -> Account {
        Account {
            username: username.to_owned(),
            password: Password::new(password.as_bytes().to_vec()),
            realms: Vec::new(),
            allows_md5: true,
        }
    }

    /// The request of RFC 7616 §3.9.1 with another algorithm or protection.
    fn of_rfc_7616(algorithm: &str, qop: Option<Qop>, body: &str) -> String {
        let account = account("Mufasa", "Circle of Life");
        Proof {
            algorithm: Algorithm::named(algorithm.as_bytes()).unwrap(),
            account: &account,
            realm: b"http-auth@example.org",
            nonce: b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            qop,
            count: 1,
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            method: &Method::parse("GET").unwrap(),
            uri: b"/dir/index.html",
            body: body.as_bytes(),
        }
        .response()
    }

    #[test]
    fn the_example_of_rfc_2617_has_the_digest_it_prints() {
        let account = account("Mufasa", "Circle Of Life");
        let proof = Proof {
            algorithm: Algorithm::MD5,
            account: &account,
            realm: b"testrealm@host.com",
            nonce: b"dcd98b7102dd2f0e8b11d0f600bfb0c093",
            qop: Some(Qop::Auth),
            count: 1,
            cnonce: "0a4f113b",
            method: &Method::parse("GET").unwrap(),
            uri: b"/dir/index.html",
            body: b"",
        };
        assert_eq!(proof.response(), "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn the_examples_of_rfc_7616_have_the_digests_they_print() {
        let auth = Some(Qop::Auth);
        assert_eq!(
            of_rfc_7616("MD5", auth, ""),
            "8ca523f5e9506fed4657c9700eebdbec"
        );
        assert_eq!(
            of_rfc_7616("SHA-256", auth, ""),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn sha_512_256_is_the_truncated_function_with_its_own_start_values() {
        // RFC 7616 §3.9.2; its printed digest has a known erratum, this is the computed one.
        let account = account("Jäsøn Doe", "Secret, or not?");
        let proof = Proof {
            algorithm: Algorithm::named(b"sha-512-256").unwrap(),
            account: &account,
            realm: b"api@example.org",
            nonce: b"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            qop: Some(Qop::Auth),
            count: 1,
            cnonce: "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm",
            method: &Method::parse("GET").unwrap(),
            uri: b"/doe.json",
            body: b"",
        };
        assert_eq!(
            proof.response(),
            "7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c"
        );
    }

    #[test]
    fn sessions_bodies_and_the_old_form_are_computed_as_a_second_implementation_does() {
        // Computed with another program from the definitions of RFC 7616 §3.4.
        let cases = [
            (
                "MD5-sess",
                Some(Qop::Auth),
                "",
                "e783283f46242139c486a698fec7211d",
            ),
            (
                "SHA-256-sess",
                Some(Qop::Auth),
                "",
                "2fd51b3a77ad75bad6afad6003e818d767133c46d9e2749e7f5232ae1ea3efd7",
            ),
            (
                "SHA-512-256-sess",
                Some(Qop::AuthInt),
                "v=0",
                "b0298a54e3165e9a68059b5199519de0c413ba1009fe63cbadc6467c348ed236",
            ),
            (
                "SHA-256",
                Some(Qop::AuthInt),
                "v=0",
                "b3a4a0111e74e28223bac4af55ade12af037f6c8a019923135a0dca0d384407f",
            ),
            ("MD5", None, "", "7b2cc3b30e75b4777ea31027084363fd"),
        ];
        for (algorithm, qop, body, response) in cases {
            assert_eq!(
                of_rfc_7616(algorithm, qop, body),
                response,
                "{algorithm} {qop:?}"
            );
        }
    }

    #[test]
    fn auth_is_taken_before_auth_int_and_nothing_else_at_all() {
        assert_eq!(Qop::best(b"auth-int, AUTH"), Some(Qop::Auth));
        assert_eq!(Qop::best(b" auth-int "), Some(Qop::AuthInt));
        assert_eq!(Qop::best(b"auth-conf"), None);
        assert_eq!(Qop::best(b""), None);
    }

    #[test]
    fn a_password_is_never_printed() {
        let account = account("u", "Circle of Life");
        assert!(!format!("{account:?}").contains("Circle"));
    }
}
