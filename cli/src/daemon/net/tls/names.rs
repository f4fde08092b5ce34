//! Who a certificate is for: subjectAltName as RFC 5922 §7.1 reads it, compared as §7.2 says.

use sbc_core::config::is_same_name;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Names of which at most so many are kept; a certificate with more is somebody's attack.
const MAX_NAMES: usize = 200;

/// The identities in a certificate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CertificateNames {
    /// Hosts of `sip:` URIs without a user; if there are any, only these count (SEC-070).
    pub sip_domains: Vec<String>,
    /// DNS names.
    pub dns_names: Vec<String>,
}

impl CertificateNames {
    /// Reads the subjectAltName of a certificate in DER. The common name is never looked at: no
    /// public CA relies on it any more, and RFC 5922 allows it only where there is no
    /// subjectAltName at all.
    pub fn read(der: &[u8]) -> Self {
        let mut names = Self::default();
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            return names;
        };
        let Ok(Some(extension)) = certificate.subject_alternative_name() else {
            return names;
        };
        for name in extension.value.general_names.iter().take(MAX_NAMES) {
            match name {
                GeneralName::DNSName(name) => {
                    if let Some(name) = clean(name) {
                        names.dns_names.push(name);
                    }
                }
                GeneralName::URI(uri) => {
                    if let Some(domain) = sip_domain(uri) {
                        names.sip_domains.push(domain);
                    }
                }
                _ => {}
            }
        }
        names
    }

    /// The identities that count, lower case, sorted, each once.
    pub fn identities(&self) -> Vec<String> {
        let source = if self.sip_domains.is_empty() {
            &self.dns_names
        } else {
            &self.sip_domains
        };
        let mut identities = source.clone();
        identities.sort();
        identities.dedup();
        identities
    }
}

/// Whether any shown name is one that we accept.
pub(super) fn any_accepted(accepted: &[String], shown: &[String], allow_wildcard: bool) -> bool {
    accepted.iter().any(|accepted| {
        shown
            .iter()
            .any(|shown| is_same_name(accepted, shown, allow_wildcard))
    })
}

/// A DNS name as it may stand in a certificate; anything else (NUL, spaces, IP addresses, empty
/// labels) is not an identity.
fn clean(name: &str) -> Option<String> {
    let name = name.trim_end_matches('.');
    let body = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let is_name = name.len() <= 253
        && body.split('.').all(is_label)
        && body.parse::<std::net::IpAddr>().is_err();
    is_name.then(|| name.to_ascii_lowercase())
}

/// The host of a `sip:` URI without user part (RFC 5922 §7.1); `sips:` does not count.
fn sip_domain(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") || rest.contains('@') {
        return None;
    }
    let host = rest.split([':', ';', '?']).next()?;
    if host.starts_with('*') {
        return None;
    }
    clean(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sip_uris_without_user_are_identities() {
        assert_eq!(
            sip_domain("sip:Example.com"),
            Some("example.com".to_owned())
        );
        assert_eq!(
            sip_domain("SIP:example.com:5061"),
            Some("example.com".to_owned())
        );
        for uri in [
            "sips:example.com",
            "sip:a@example.com",
            "http://example.com",
            "sip:",
            "x",
        ] {
            assert_eq!(sip_domain(uri), None, "{uri}");
        }
    }

    #[test]
    fn a_sip_identity_hides_the_dns_names() {
        let names = CertificateNames {
            sip_domains: vec!["example.com".into()],
            dns_names: vec!["host.example.net".into()],
        };
        assert_eq!(names.identities(), ["example.com"]);
    }

    #[test]
    fn odd_names_are_no_identities() {
        for name in [
            "",
            "a..b",
            "192.0.2.1",
            "a b",
            "a\0b",
            "ex*mple.com",
            "*.*.example.com",
        ] {
            assert_eq!(clean(name), None, "{name:?}");
        }
        assert_eq!(clean("*.Example.com."), Some("*.example.com".to_owned()));
    }
}
