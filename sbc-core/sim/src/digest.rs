//! Digest credentials (RFC 7616 with MD5), of our own: peers make them, and a checker judges them.

use crate::wire::Wire;
use md5::{Digest, Md5};

/// A challenge, as somebody has to answer it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Challenge {
    pub(crate) realm: String,
    pub(crate) nonce: String,
}

impl Challenge {
    /// The first challenge of a refusal that is for MD5.
    pub(crate) fn of(refusal: &Wire) -> Option<Self> {
        let mut lines = refusal.lines("WWW-Authenticate");
        let line = lines.find(|line| word(line, "algorithm").is_none_or(|name| name == "MD5"))?;
        Some(Self {
            realm: word(line, "realm")?.to_owned(),
            nonce: word(line, "nonce")?.to_owned(),
        })
    }

    /// The line that proves to know the password, with `qop=auth`.
    pub(crate) fn answered(&self, who: Who<'_>, uri: &str, count: u32, cnonce: &str) -> String {
        let Self { realm, nonce } = self;
        let count = format!("{count:08x}");
        let response = response(who, realm, nonce, "REGISTER", uri, Some((&count, cnonce)));
        format!(
            "Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm=MD5, qop=auth, nc={count}, cnonce=\"{cnonce}\"",
            who.name
        )
    }
}

/// A name and its password.
#[derive(Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) name: &'a str,
    pub(crate) password: &'a str,
}

/// Whether the credentials of a request are those of this name with this password.
pub(crate) fn proves(request: &Wire, who: Who<'_>) -> bool {
    request.lines("Authorization").any(|line| {
        let get = |name| word(line, name).unwrap_or_default();
        let bound = Some((get("nc"), get("cnonce")));
        let method = request.method().unwrap_or_default();
        get("username") == who.name
            && get("response")
                == response(who, get("realm"), get("nonce"), method, get("uri"), bound)
    })
}

fn response(
    who: Who<'_>,
    realm: &str,
    nonce: &str,
    method: &str,
    uri: &str,
    bound: Option<(&str, &str)>,
) -> String {
    let key = hash(&format!("{}:{realm}:{}", who.name, who.password));
    let what = hash(&format!("{method}:{uri}"));
    match bound {
        Some((count, cnonce)) => hash(&format!("{key}:{nonce}:{count}:{cnonce}:auth:{what}")),
        None => hash(&format!("{key}:{nonce}:{what}")),
    }
}

fn hash(text: &str) -> String {
    let octets = Md5::digest(text.as_bytes());
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A parameter of a challenge or of credentials.
fn word<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.trim().strip_prefix("Digest")?;
    // No value here has a comma within quotes.
    let mut words = rest.split(',').filter_map(|word| word.split_once('='));
    let (_, value) = words.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7616_comes_out() {
        // §3.9.1: MD5.
        let who = Who {
            name: "Mufasa",
            password: "Circle of Life",
        };
        let bound = Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"));
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let found = response(
            who,
            "http-auth@example.org",
            nonce,
            "GET",
            "/dir/index.html",
            bound,
        );
        assert_eq!(found, "8ca523f5e9506fed4657c9700eebdbec");
    }
}
