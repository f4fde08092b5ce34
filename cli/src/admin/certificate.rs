//! Who shows a certificate at the interface over the network, and whether it is believed (SEC-150).

use super::revoked::{AllLists, Lists, Unrevoked};
use crate::config::read_roots;
use crate::daemon::net::tls::{Anchors, provider};
use crate::sink::log::Log;
use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sbc_core::config::{ApiClients, FileFault, RevokedFiles, Subject};
use std::sync::{Arc, Mutex, PoisonError};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Octets of a subject that is looked at.
const LONGEST: usize = 1_024;

/// What verifies certificates of clients, made anew with each configuration.
#[derive(Default)]
pub(crate) struct Authorities(Mutex<Option<Made>>);

struct Made {
    /// The files that it is made of.
    authorities: Option<String>,
    revoked: Option<RevokedFiles>,
    /// Why it cannot be made, if so.
    verifier: Result<Option<Arc<dyn ClientCertVerifier>>, String>,
}

impl Authorities {
    /// For a configuration that comes into use.
    pub(crate) fn configure(&self, clients: &ApiClients, lists: &AllLists, log: &Log) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = made.take().and_then(|made| made.verifier.err());
        *made = Some(Made::of(clients, before, lists, log));
    }

    /// For the configuration in use. Whoever has no certificate comes in as well, with a token. While the files cannot be read
    /// nobody is asked for a certificate, and whoever comes has them read once more: they may have been half written.
    pub(crate) fn verifier(
        &self,
        lists: &AllLists,
        log: &Log,
    ) -> Option<Arc<dyn ClientCertVerifier>> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match made.as_ref()?.verifier.clone() {
            Ok(verifier) => return verifier,
            Err(why) => why,
        };
        let failed = made.take()?;
        let clients = ApiClients {
            authorities: failed.authorities,
            revoked: failed.revoked,
            known: Vec::new(),
        };
        let again = Made::of(&clients, Some(before), lists, log);
        let verifier = again.verifier.clone().ok().flatten();
        *made = Some(again);
        verifier
    }
}

impl Made {
    /// Reads the files; a fault that is another one than before is told.
    fn of(clients: &ApiClients, before: Option<String>, lists: &AllLists, log: &Log) -> Self {
        let believed = match &clients.authorities {
            Some(path) => believed(path, clients.revoked.as_ref(), true, log).map(Some),
            None => Ok(None),
        };
        let verifier = match believed {
            Ok(believed) => {
                let (verifier, read) = believed.unzip();
                lists.set("api", read.flatten().as_ref());
                if before.is_some() {
                    let text = "certificates of clients are believed again";
                    log.info("api_client_ca", text).send();
                }
                Ok(verifier)
            }
            Err(why) => {
                lists.cannot("api", &why);
                if before.as_ref() != Some(&why) {
                    let text = "no certificate of a client is believed until the files of client_ca and crl can be read";
                    log.error("api_client_ca", text).with("why", &why).send();
                }
                Err(why)
            }
        };
        Self {
            authorities: clients.authorities.clone(),
            revoked: clients.revoked.clone(),
            verifier,
        }
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
    let (roots, certificates) = read_roots(path).map_err(|fault| match fault {
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
        anchors: Anchors::of(&certificates),
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
    use crate::sink::log::{Form, Level};

    #[test]
    fn files_that_could_not_be_read_are_an_alarm_until_somebody_comes_and_they_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operators.pem");
        let clients = ApiClients {
            authorities: Some(path.display().to_string()),
            ..ApiClients::default()
        };
        let (log, _writer) = Log::start(Level::Error, Form::Text, std::io::sink()).unwrap();
        let (lists, authorities) = (AllLists::default(), Authorities::default());
        authorities.configure(&clients, &lists, &log);
        for _ in 0..2 {
            assert!(authorities.verifier(&lists, &log).is_none());
            let told = lists.troubles().concat();
            assert!(told.starts_with("[api] client_ca and crl: "), "{told}");
        }
        let authority = conformance::ca::Authority::new("Operators").unwrap();
        std::fs::write(&path, authority.root_pem()).unwrap();
        assert!(authorities.verifier(&lists, &log).is_some());
        assert!(lists.troubles().is_empty());
        // What is not wanted any more is no trouble either.
        std::fs::remove_file(&path).unwrap();
        authorities.configure(&clients, &lists, &log);
        assert_eq!(lists.troubles().len(), 1);
        authorities.configure(&ApiClients::default(), &lists, &log);
        assert!(authorities.verifier(&lists, &log).is_none() && lists.troubles().is_empty());
    }

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
