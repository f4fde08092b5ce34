//! Who shows a certificate at the interface over the network, and whether it is believed (SEC-150).

use crate::config::read_roots;
use crate::daemon::Daemon;
use crate::daemon::net::tls::provider;
use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sbc_core::config::Subject;
use std::sync::{Arc, Mutex, PoisonError};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Octets of a subject that is looked at.
const LONGEST: usize = 1_024;

/// What verifies certificates of clients, made anew with each configuration.
#[derive(Default)]
pub(super) struct Authorities(Mutex<Option<Made>>);

struct Made {
    generation: u64,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Authorities {
    /// For the configuration in use. Whoever has no certificate comes in as well, with a token. Authorities that cannot be
    /// read any more are told, and let nobody in.
    pub(super) fn verifier(&self, daemon: &Daemon) -> Option<Arc<dyn ClientCertVerifier>> {
        let loaded = daemon.loaded();
        let generation = loaded.config.generation;
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| made.generation == generation) {
            return made.verifier.clone();
        }
        let path = loaded.shell.api_clients.authorities.as_deref();
        let verifier = path.and_then(|path| match reading(path) {
            Ok(verifier) => Some(verifier),
            Err(why) => {
                let text = "no certificate of a client is believed until the file of client_ca can be read and is reloaded";
                let line = daemon.sinks().log.error("api_client_ca", text);
                line.with("file", path).with("why", why).send();
                None
            }
        });
        *made = Some(Made {
            generation,
            verifier: verifier.clone(),
        });
        verifier
    }
}

fn reading(path: &str) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let (roots, _) = read_roots(path).map_err(|fault| format!("{fault:?}"))?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|why| why.to_string())
}

/// The subject of a certificate that was believed.
pub(super) fn subject(shown: Option<&[CertificateDer<'_>]>) -> Option<Subject> {
    let own = shown?.first()?;
    let (_, certificate) = X509Certificate::from_der(own).ok()?;
    let subject = certificate.subject();
    if subject.as_raw().len() > LONGEST {
        return None;
    }
    let attribute = |own: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let kind = own.attr_type().to_id_string();
        let short = SHORT.iter().find(|(oid, _)| *oid == kind);
        let kind = short.map_or(kind.as_str(), |(_, short)| short).to_owned();
        Some((kind, own.as_str().ok()?.to_owned()))
    };
    let all: Option<Vec<_>> = subject.iter_attributes().map(attribute).collect();
    all.filter(|all| !all.is_empty()).map(Subject::new)
}

/// Short names of RFC 4514 §3, and those that OpenSSL has besides.
const SHORT: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// Whether a page of somebody else may have sent this: browsers show their certificate to whoever a page asks, so that it
/// says nothing about who wanted the request (SEC-152). Programs send neither header.
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return true;
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = host.map(|host| format!("https://{host}"));
    own.is_none_or(|own| !own.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_of_somebody_else_sends_is_told_from_what_a_program_does() {
        let of = |lines: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.insert(*name, value.parse().unwrap());
            }
            is_from_elsewhere(&headers)
        };
        let host = ("host", "sbc.contoso.example:8443");
        assert!(!of(&[host]));
        assert!(!of(&[host, ("origin", "https://sbc.contoso.example:8443")]));
        assert!(!of(&[host, ("sec-fetch-site", "same-origin")]));
        for elsewhere in [
            ("origin", "https://fabrikam.example"),
            ("origin", "http://sbc.contoso.example:8443"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(of(&[host, elsewhere]), "{elsewhere:?}");
        }
    }
}
