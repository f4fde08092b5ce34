//! Which credentials are believed: roots of the list, revocations, and what a credential must be
//! (RFC 8226, ATIS-1000080).

use crate::config::{Revoked, read_revocations, read_roots};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use sbc_core::config::{FileFault, Loaded};
use sbc_core::stir::CredentialFault;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Most certificates of a credential (SEC-120).
const MAX_CHAIN: usize = 8;

/// id-pe-TNAuthList (RFC 8226 §9).
const TN_AUTH_LIST: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 26];

/// Whom we believe.
pub struct Trust {
    roots: RootCertStore,
    revoked: Revoked,
    /// For the web servers that have credentials.
    pub(super) connector: TlsConnector,
    /// Addresses of our own.
    pub(super) own: Vec<IpAddr>,
}

/// Why nobody can be believed: a file is of no use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrustFault {
    /// Path of the file.
    pub path: String,
    /// What is wrong with it.
    pub why: FileFault,
}

impl fmt::Display for TrustFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (FileFault::Unreadable(why) | FileFault::Unusable(why)) = &self.why;
        write!(f, "stir: {}: {why}", self.path)
    }
}

/// A credential that may be believed while it is valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credential {
    leaf: CertificateDer<'static>,
    /// Seconds since 1970.
    valid_until: i64,
}

impl Trust {
    /// Reads the files of a configuration; `None` if it verifies nothing.
    ///
    /// # Errors
    /// The first file that is of no use.
    pub fn load(loaded: &Loaded) -> Result<Option<Self>, TrustFault> {
        let Some(files) = &loaded.shell.stir else {
            return Ok(None);
        };
        let fault = |path: &String| {
            let path = path.clone();
            move |why| TrustFault { path, why }
        };
        let (roots, _) = read_roots(&files.roots).map_err(fault(&files.roots))?;
        let (web, _) = read_roots(&files.https_roots).map_err(fault(&files.https_roots))?;
        let revoked = match &files.crl {
            Some(path) => read_revocations(path, &files.crl_issuers).map_err(fault(path))?,
            None => Revoked::default(),
        };
        let listeners = loaded.config.listeners.values();
        let own = listeners.flat_map(|own| [own.bind.ip(), own.advertised.ip()]);
        Ok(Some(Self::new(roots, revoked, web, own.collect())))
    }

    /// Believes these roots, and for web servers those.
    pub fn new(
        roots: RootCertStore,
        revoked: Revoked,
        web: RootCertStore,
        own: Vec<IpAddr>,
    ) -> Self {
        let config =
            rustls::ClientConfig::builder_with_provider(crate::daemon::net::tls::provider())
                .with_safe_default_protocol_versions()
                .unwrap_or_else(|_| unreachable!("the provider knows TLS 1.2 and 1.3"))
                .with_root_certificates(web)
                .with_no_client_auth();
        Self {
            roots,
            revoked,
            connector: TlsConnector::from(Arc::new(config)),
            own,
        }
    }

    /// When the first list of revoked certificates should be replaced, in seconds since 1970.
    pub(super) fn lists_until(&self) -> Option<i64> {
        self.revoked.until()
    }

    /// Reads a credential as it was fetched (PEM, or one certificate in DER) and decides about it.
    pub(super) fn believes(
        &self,
        octets: &[u8],
        now: UnixTime,
    ) -> Result<Credential, CredentialFault> {
        let chain = chain(octets)?;
        let (leaf, intermediates) = chain.split_first().ok_or(CredentialFault::Unusable)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| CredentialFault::Unusable)?;
        let certificate = EndEntityCert::try_from(leaf).map_err(|_| CredentialFault::Unusable)?;
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        certificate
            .verify_for_usage(
                algorithms,
                &self.roots.roots,
                intermediates,
                now,
                AnyUsage,
                None,
                None,
            )
            .map_err(fault_of)?;
        for der in &chain {
            let (_, own) = X509Certificate::from_der(der).map_err(|_| CredentialFault::Unusable)?;
            if self.revoked.has(own.issuer().as_raw(), own.raw_serial()) {
                return Err(CredentialFault::Revoked);
            }
        }
        let wanted = Oid::from(&TN_AUTH_LIST).map_err(|_| CredentialFault::NoNumbers)?;
        match parsed.get_extension_unique(&wanted) {
            Ok(Some(_)) => {}
            Ok(None) => return Err(CredentialFault::NoNumbers),
            Err(_) => return Err(CredentialFault::Unusable),
        }
        Ok(Credential {
            valid_until: parsed.validity().not_after.timestamp(),
            leaf: leaf.clone(),
        })
    }
}

/// What certificates for telephone numbers may be used for is not said by their key usage.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

impl Credential {
    /// Whether this is the signature of its key: ES256, `r` and `s` (RFC 7518 §3.4).
    pub(super) fn has_signed(
        &self,
        input: &[u8],
        signature: &[u8; 64],
        now: UnixTime,
    ) -> Result<(), CredentialFault> {
        if i64::try_from(now.as_secs()).is_ok_and(|now| now > self.valid_until) {
            return Err(CredentialFault::Expired);
        }
        let certificate =
            EndEntityCert::try_from(&self.leaf).map_err(|_| CredentialFault::Unusable)?;
        let algorithm = webpki::aws_lc_rs::ECDSA_P256_SHA256;
        match certificate.verify_signature(algorithm, input, &in_der(signature)) {
            Ok(()) => Ok(()),
            Err(webpki::Error::InvalidSignatureForPublicKey) => Err(CredentialFault::Signature),
            // A key of another kind.
            Err(_) => Err(CredentialFault::Unusable),
        }
    }
}

/// The two numbers of a signature as X.509 has them: a sequence of two integers.
fn in_der(signature: &[u8; 64]) -> Vec<u8> {
    let mut integers = Vec::with_capacity(70);
    for number in signature.chunks(32) {
        let digits = number.iter().position(|octet| *octet != 0);
        let digits = number.get(digits.unwrap_or(31)..).unwrap_or_default();
        let is_negative = digits.first().is_some_and(|first| first & 0x80 != 0);
        let length = digits.len() + usize::from(is_negative);
        integers.extend([0x02, u8::try_from(length).unwrap_or(u8::MAX)]);
        integers.extend(is_negative.then_some(0));
        integers.extend_from_slice(digits);
    }
    let length = u8::try_from(integers.len()).unwrap_or(u8::MAX);
    [&[0x30, length][..], &integers].concat()
}

/// The certificates of a file, its own first.
fn chain(octets: &[u8]) -> Result<Vec<CertificateDer<'static>>, CredentialFault> {
    let chain = match octets.first() {
        // A sequence: DER. PEM is text.
        Some(0x30) => vec![CertificateDer::from(octets.to_vec())],
        _ => {
            let certificates = CertificateDer::pem_slice_iter(octets).take(MAX_CHAIN + 1);
            let certificates: Result<Vec<_>, _> = certificates.collect();
            certificates.map_err(|_| CredentialFault::Unusable)?
        }
    };
    match (1..=MAX_CHAIN).contains(&chain.len()) {
        true => Ok(chain),
        false => Err(CredentialFault::Unusable),
    }
}

fn fault_of(fault: webpki::Error) -> CredentialFault {
    use webpki::Error as Fault;
    match fault {
        Fault::CertExpired { .. } | Fault::CertNotValidYet { .. } | Fault::InvalidCertValidity => {
            CredentialFault::Expired
        }
        Fault::UnknownIssuer
        | Fault::InvalidSignatureForPublicKey
        | Fault::CaUsedAsEndEntity
        | Fault::EndEntityUsedAsCa
        | Fault::PathLenConstraintViolated
        | Fault::NameConstraintViolation => CredentialFault::Untrusted,
        _ => CredentialFault::Unusable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbc_core::sdp::base64_decode;

    /// That of RFC 8225 Appendix A is good under neither of the keys that are printed there.
    #[test]
    fn the_signature_of_rfc_7515_appendix_a_3_is_good() {
        let key = "BH/Nzidw9sRdQYPL7m/bS3tYBzM1e+nvE7rPbjx70VRFx/FEzRu9m36HLN/tue659LNpXW6pCyStikYjKIWI5a0=";
        let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6+Xx+F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3+Kg6NU1Q==";
        let input = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let key = base64_decode(key.as_bytes()).expect("base64");
        let signature = base64_decode(signature.as_bytes()).expect("base64");
        let signature: [u8; 64] = signature.try_into().expect("r and s");
        let algorithm = webpki::aws_lc_rs::ECDSA_P256_SHA256;
        let check = |signature: &[u8; 64]| {
            algorithm.verify_signature(&key, input.as_bytes(), &in_der(signature))
        };
        assert!(check(&signature).is_ok());
        for at in 0..64 {
            let mut wrong = signature;
            wrong[at] ^= 1;
            assert!(check(&wrong).is_err(), "{at}");
        }
    }

    #[test]
    fn numbers_of_a_signature_are_written_with_no_more_octets_than_they_need() {
        let mut signature = [0; 64];
        signature[31] = 0x7f;
        signature[32] = 0x80;
        let der = in_der(&signature);
        assert_eq!(&der[..7], [0x30, 38, 0x02, 1, 0x7f, 0x02, 33]);
        assert_eq!(&der[7..9], [0, 0x80]);
        assert_eq!(in_der(&[0; 64]), [0x30, 6, 0x02, 1, 0, 0x02, 1, 0]);
    }
}
