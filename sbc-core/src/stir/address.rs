//! Where a credential may be fetched from (SEC-120): a URL of a stranger, so no more than has to be.

/// Longest URL, octets.
const LONGEST: usize = 1024;

/// The address of a credential: `https`, a name, port 443 or 8443, a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CredentialUrl {
    host: String,
    port: u16,
    path: String,
}

impl CredentialUrl {
    /// Reads an URL; `None` if nothing is fetched from there. No address of a stranger's choice instead
    /// of a name, no user, no query, no fragment.
    pub fn parse(text: &str) -> Option<Self> {
        let is_visible = text.bytes().all(|octet| octet.is_ascii_graphic());
        if text.len() > LONGEST || !is_visible {
            return None;
        }
        let (scheme, rest) = text.split_at_checked(8)?;
        if !scheme.eq_ignore_ascii_case("https://")
            || rest.contains(['@', '?', '#', '\\', '<', '>', '"'])
        {
            return None;
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at)?,
            None => (rest, "/"),
        };
        let (host, port) = match authority.split_once(':') {
            None => (authority, 443),
            Some((host, "443")) => (host, 443),
            Some((host, "8443")) => (host, 8443),
            Some(_) => return None,
        };
        is_name(host).then(|| Self {
            host: host.to_ascii_lowercase(),
            port,
            path: path.to_owned(),
        })
    }

    /// The name, in small letters.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path, which begins with a slash.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Whether it is a name of two labels or more. What some resolvers take for an address in an odd
/// spelling (`0x7f.1`) is none: no top-level domain begins with a digit.
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.contains('.')
        && host.split('.').all(is_label)
        && top.starts_with(|c: char| c.is_ascii_alphabetic())
        && !top.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_https_of_a_name_is_an_address() {
        let of = |text: &str| {
            let url = CredentialUrl::parse(text)?;
            Some((url.host().to_owned(), url.port(), url.path().to_owned()))
        };
        let url = |host: &str, port, path: &str| Some((host.to_owned(), port, path.to_owned()));
        assert_eq!(
            of("https://Cert.Example.org/p.cer"),
            url("cert.example.org", 443, "/p.cer")
        );
        assert_eq!(
            of("HTTPS://cert.example.org:8443/a/b;v=1"),
            url("cert.example.org", 8443, "/a/b;v=1")
        );
        assert_eq!(
            of("https://cert.example.org:443"),
            url("cert.example.org", 443, "/")
        );
        for text in [
            "",
            "https://",
            "https:///p",
            "http://cert.example.org/p",
            "file:///etc/passwd",
            "https://cert.example.org:80/p",
            "https://cert.example.org:/p",
            "https://cert.example.org:08443/p",
            "https://user@cert.example.org/p",
            "https://cert.example.org/p?q",
            "https://cert.example.org/p#f",
            "https://127.0.0.1/p",
            "https://[::1]/p",
            "https://2130706433/p",
            "https://0x7f.0x1/p",
            "https://127.1/p",
            "https://localhost/p",
            "https://a.localhost/p",
            "https://cert/p",
            "https://cert.example.org./p",
            "https://-a.example.org/p",
            "https://a..example.org/p",
            "https://cert.example.org\\@evil.example/p",
            "https://cert.example.org/p q",
            "https://b\u{fc}cher.example/p",
            "https://169.254.169.254/latest/meta-data",
            "gopher://cert.example.org/",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(
            of(&format!("https://cert.example.org/{}", "x".repeat(LONGEST))),
            None
        );
    }
}
