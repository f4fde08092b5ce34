//! Lists of revoked certificates (RFC 5280 §5): whose word they are, and until when.
//!
//! A list is the word of an issuer only with its signature, so one without is refused when the configuration
//! is loaded. One whose time is over still counts: what it revoked stays revoked, and no list at all would
//! say less. The operator is told, and by metrics beforehand.

use super::host::{read_certificates, read_roots, read_up_to};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use sbc_core::config::{FileFault, MICROSOFT_ROOTS};
use std::collections::HashSet;
use std::path::Path;
use webpki::EndEntityCert;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

/// Most of a file of lists, in MiB: those of large authorities name a hundred thousand certificates (SEC-078).
const MOST: u64 = 10;

/// Certificates that were revoked, by issuer and serial number.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    certificates: HashSet<(Vec<u8>, Vec<u8>)>,
    /// When the last of the lists was made, and when the first should be replaced, in seconds since 1970.
    holds: Option<(i64, i64)>,
}

impl Revoked {
    /// Whether a certificate is one of them: its issuer's name in DER, and its serial number.
    pub fn has(&self, issuer: &[u8], serial: &[u8]) -> bool {
        let serial = without_zeros(serial).to_vec();
        self.certificates.contains(&(issuer.to_vec(), serial))
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// From when until when all lists hold, in seconds since 1970; always, where there is none.
    pub fn holds(&self) -> (i64, i64) {
        self.holds.unwrap_or((0, i64::MAX))
    }

    /// When the first list should be replaced, in seconds since 1970; `None` without any.
    pub fn until(&self) -> Option<i64> {
        self.holds.map(|(_, until)| until)
    }

    /// Adds what a list says. One list may speak for several issuers (RFC 5280 §5.3.3).
    fn add(&mut self, list: &CertificateRevocationList<'_>, until: i64) {
        let mut issuer = list.issuer().as_raw().to_vec();
        for revoked in list.iter_revoked_certificates() {
            let mut extensions = revoked.extensions().iter();
            let named = extensions.find(|own| own.oid.to_id_string() == "2.5.29.29");
            if let Some(name) = named.and_then(|own| directory_name(own.value)) {
                issuer = name.to_vec();
            }
            let serial = without_zeros(revoked.raw_serial()).to_vec();
            self.certificates.insert((issuer.clone(), serial));
        }
        let from = list.last_update().timestamp();
        let (first, last) = self.holds.unwrap_or((from, until));
        self.holds = Some((first.max(from), last.min(until)));
    }
}

/// Reads every list of revoked certificates of a PEM file, at least one. Each must be signed by one of the
/// certificates of another file, and say until when it holds.
///
/// # Errors
/// If a file cannot be read, or a list in it cannot be believed.
pub fn read_revocations(path: &str, issuers: &str) -> Result<Revoked, FileFault> {
    let pem = read_up_to(Path::new(path), MOST)?;
    let issuers = read_issuers(issuers)?;
    let mut all = Revoked::default();
    let unusable = |why: String| FileFault::Unusable(format!("a list in it {why}"));
    for list in CertificateRevocationListDer::pem_slice_iter(&pem) {
        let list = list.map_err(|fault| unusable(format!("cannot be read: {fault}")))?;
        let (_, list) = CertificateRevocationList::from_der(&list)
            .map_err(|fault| unusable(format!("cannot be read: {fault}")))?;
        if !issuers.iter().any(|issuer| is_word_of(&list, issuer)) {
            let why = format!(
                "is not signed by any certificate of crl_issuers: it names \"{}\"",
                list.issuer()
            );
            return Err(unusable(why));
        }
        let until = list.next_update();
        let until = until.ok_or_else(|| unusable("does not say until when it holds".to_owned()))?;
        all.add(&list, until.timestamp());
    }
    match all.holds {
        None => Err(FileFault::Unusable(
            "there is no list of revoked certificates in it".to_owned(),
        )),
        Some(_) => Ok(all),
    }
}

/// The certificates of a PEM file, or those that [`MICROSOFT_ROOTS`] stands for.
fn read_issuers(path: &str) -> Result<Vec<CertificateDer<'static>>, FileFault> {
    match path {
        MICROSOFT_ROOTS => read_roots(path).map(|(_, certificates)| certificates),
        path => read_certificates(path),
    }
}

/// Whether an issuer of this name, which may sign lists, has signed this one (RFC 5280 §6.3.3).
fn is_word_of(list: &CertificateRevocationList<'_>, issuer: &CertificateDer<'_>) -> bool {
    let Ok((_, named)) = parse_x509_certificate(issuer) else {
        return false;
    };
    let usage = named.key_usage().ok().flatten();
    let may_sign = usage.is_none_or(|usage| usage.value.crl_sign());
    let is_consistent = list.signature_algorithm == list.tbs_cert_list.signature;
    let is_named = named.subject().as_raw() == list.issuer().as_raw();
    let Ok(key) = EndEntityCert::try_from(issuer) else {
        return false;
    };
    let (text, signature) = (list.tbs_cert_list.as_ref(), &list.signature_value.data);
    // Each takes keys of its own kind alone.
    let mut algorithms = webpki::ALL_VERIFICATION_ALGS.iter();
    let mut is_signed =
        || algorithms.any(|algorithm| key.verify_signature(*algorithm, text, signature).is_ok());
    may_sign && is_consistent && is_named && is_signed()
}

fn without_zeros(serial: &[u8]) -> &[u8] {
    let first = serial.iter().position(|octet| *octet != 0);
    serial
        .get(first.unwrap_or(serial.len())..)
        .unwrap_or_default()
}

/// The first name of GeneralNames that is a directory name, in DER.
fn directory_name(names: &[u8]) -> Option<&[u8]> {
    let (_, names) = x509_parser::der_parser::asn1_rs::Any::from_der(names).ok()?;
    let mut rest = names.data;
    while let Ok((after, name)) = x509_parser::der_parser::asn1_rs::Any::from_der(rest) {
        if name.header.tag().0 == 4 {
            return Some(name.data);
        }
        rest = after;
    }
    None
}
