//! Who shows a certificate at the interface over the network, and whether it is believed (SEC-150).

use super::revoked::{Lists, Unrevoked};
use crate::config::read_roots;
use crate::daemon::Daemon;
use crate::daemon::net::tls::provider;
use crate::sink::log::Log;
use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sbc_core::config::{FileFault, RevokedFiles, Subject};
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
        let clients = &loaded.shell.api_clients;
        let log = &daemon.sinks().log;
        let made_of = |path: &String| match believed(path, clients.revoked.as_ref(), true, log) {
            Ok(believed) => Some(believed),
            Err(why) => {
                let text = "no certificate of a client is believed until the files of client_ca and crl can be read and \
                            are reloaded";
                let line = log.error("api_client_ca", text);
                line.with("file", path).with("why", why).send();
                None
            }
        };
        let (verifier, lists) = clients.authorities.as_ref().and_then(made_of).unzip();
        daemon.client_lists().set("api", lists.flatten().as_ref());
        *made = Some(Made {
            generation,
            verifier: verifier.clone(),
        });
        verifier
    }
}

/// Who believes clients, and the lists that it looks at.
pub(super) type Believed = (Arc<dyn ClientCertVerifier>, Option<Arc<Lists>>);

/// Believes whoever shows a certificate that these roots have issued and no list names; who shows none may come as well,
/// or not.
pub(super) fn believed(
    path: &str,
    revoked: Option<&RevokedFiles>,
    admits_others: bool,
    log: &Log,
) -> Result<Believed, String> {
    let (roots, _) = read_roots(path).map_err(|fault| match fault {
        FileFault::Unreadable(why) | FileFault::Unusable(why) => format!("{path}: {why}"),
    })?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let clients = match admits_others {
        true => clients.allow_unauthenticated(),
        false => clients,
    };
    let authorities = clients.build().map_err(|why| format!("{path}: {why}"))?;
    let Some(files) = revoked else {
        return Ok((authorities, None));
    };
    let lists = Lists::of(files, log.clone());
    let lists = lists.map_err(|why| format!("{}: {why}", files.lists))?;
    let unrevoked = Unrevoked {
        authorities,
        lists: Arc::clone(&lists),
    };
    Ok((Arc::new(unrevoked), Some(lists)))
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
