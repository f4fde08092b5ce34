//! One TLS identity as it was read from its files: chain, key, roots, and what they say.

use super::names::CertificateNames;
use super::provider;
use super::verify::Anchors;
use crate::config::{Revoked, read_certificates, read_key, read_revocations, read_roots};
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sbc_core::config::{FileFault, TlsFiles, TlsVersion, VerifyClient};
use sbc_core::id::TlsContextName;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why an identity cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MaterialFault {
    /// A file, environment variable or credential is of no use.
    File {
        /// Which, as it is written in the configuration.
        place: String,
        /// What is wrong with it.
        why: FileFault,
    },
    /// The private key does not belong to the certificate.
    KeyMismatch {
        /// Where the key is.
        key: String,
        /// Certificate file.
        chain: String,
    },
}

impl fmt::Display for MaterialFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                place,
                why: FileFault::Unreadable(why) | FileFault::Unusable(why),
            } => write!(f, "{place}: {why}"),
            Self::KeyMismatch { key, chain } => {
                write!(
                    f,
                    "the key in {key} does not belong to the certificate in {chain}"
                )
            }
        }
    }
}

impl std::error::Error for MaterialFault {}

/// What a certificate says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFacts {
    /// Common name of the subject, or its first DNS name.
    pub subject: String,
    /// Its DNS names and SIP domains, lower case.
    pub names: Vec<String>,
    /// Begin of validity in seconds since 1970.
    pub not_before: i64,
    /// End of validity in seconds since 1970.
    pub not_after: i64,
}

/// One loaded TLS identity.
pub struct TlsContext {
    name: TlsContextName,
    key: Arc<CertifiedKey>,
    own: CertificateFacts,
    trusted: Arc<Trusted>,
    verify_client: VerifyClient,
    min: TlsVersion,
    allow_wildcard: bool,
    drain: Option<Duration>,
    max_age: Option<Duration>,
    revoked: Arc<Revoked>,
    is_issued_here: bool,
}

/// Roots that peers are verified against, and what they say.
#[derive(Debug)]
pub(super) struct Trusted {
    roots: RootCertStore,
    cas: Vec<CertificateFacts>,
    anchors: Anchors,
}

impl Trusted {
    pub(super) fn new(roots: RootCertStore, certificates: &[CertificateDer<'_>]) -> Self {
        Self {
            roots,
            cas: certificates.iter().filter_map(facts).collect(),
            anchors: Anchors::of(certificates),
        }
    }

    pub(super) fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    pub(super) fn roots(&self) -> &RootCertStore {
        &self.roots
    }

    pub(super) fn cas(&self) -> &[CertificateFacts] {
        &self.cas
    }
}

/// Roots that were read, by path: a node that hosts a thousand customers trusts the same ones in all their
/// names.
pub(super) type KnownRoots = BTreeMap<Option<String>, Arc<Trusted>>;

impl TlsContext {
    /// Reads the files of one identity.
    ///
    /// # Errors
    /// [`MaterialFault`]; nothing is kept then.
    pub fn load(name: TlsContextName, files: &TlsFiles) -> Result<Self, MaterialFault> {
        Self::load_among(name, files, &mut KnownRoots::new())
    }

    /// As [`Self::load`], where roots are read once.
    pub(super) fn load_among(
        name: TlsContextName,
        files: &TlsFiles,
        known: &mut KnownRoots,
    ) -> Result<Self, MaterialFault> {
        // The same readers as `causeway check` uses (OPS-112).
        let fault = |place: &dyn fmt::Display, why| MaterialFault::File {
            place: place.to_string(),
            why,
        };
        let chain = read_certificates(&files.cert).map_err(|why| fault(&files.cert, why))?;
        let own = chain.first().and_then(facts).ok_or_else(|| {
            let why = "the first certificate cannot be read".to_owned();
            fault(&files.cert, FileFault::Unusable(why))
        })?;
        let key = read_key(&files.key).map_err(|why| fault(&files.key, why))?;
        let signing = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|why| {
                let why = format!("the private key cannot be used: {why}");
                fault(&files.key, FileFault::Unusable(why))
            })?;
        let certified = CertifiedKey::new(chain, signing);
        if certified.keys_match().is_err() {
            return Err(MaterialFault::KeyMismatch {
                key: files.key.to_string(),
                chain: files.cert.clone(),
            });
        }
        let trusted = match (known.get(&files.client_ca), &files.client_ca) {
            (Some(trusted), _) => Arc::clone(trusted),
            (None, Some(path)) => {
                let (roots, certificates) = read_roots(path).map_err(|why| fault(path, why))?;
                Arc::new(Trusted::new(roots, &certificates))
            }
            (None, None) => Arc::new(Trusted::new(RootCertStore::empty(), &[])),
        };
        known
            .entry(files.client_ca.clone())
            .or_insert_with(|| Arc::clone(&trusted));
        let revoked = match &files.revoked {
            Some(of) => {
                read_revocations(&of.lists, &of.issuers).map_err(|why| fault(&of.lists, why))?
            }
            None => Revoked::default(),
        };
        Ok(Self {
            name,
            key: Arc::new(certified),
            own,
            trusted,
            verify_client: files.verify_client,
            min: files.min,
            allow_wildcard: files.allow_wildcard,
            drain: files.drain,
            max_age: files.max_age,
            revoked: Arc::new(revoked),
            is_issued_here: files.issued_for.is_some(),
        })
    }

    /// Configured name.
    pub fn name(&self) -> &TlsContextName {
        &self.name
    }

    /// What our certificate says.
    pub fn facts(&self) -> &CertificateFacts {
        &self.own
    }

    /// What the trusted roots say.
    pub fn cas(&self) -> &[CertificateFacts] {
        &self.trusted.cas
    }

    /// Whether clients must present a certificate.
    pub fn verify_client(&self) -> VerifyClient {
        self.verify_client
    }

    /// SHA-256 of our certificate, as others print it.
    pub fn fingerprint(&self) -> String {
        let own = self.key.cert.first();
        let sum = Sha256::digest(own.map(AsRef::as_ref).unwrap_or_default());
        sum.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// Whether both show the same certificate, with the same chain.
    pub fn shows_the_same(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }

    /// This identity with the certificate of another one: whom it believes, and how, stays as it is here.
    pub fn showing(&self, other: &Self) -> Self {
        Self {
            name: self.name.clone(),
            key: Arc::clone(&other.key),
            own: other.own.clone(),
            trusted: Arc::clone(&self.trusted),
            verify_client: self.verify_client,
            min: self.min,
            allow_wildcard: self.allow_wildcard,
            drain: self.drain,
            max_age: self.max_age,
            revoked: Arc::clone(&self.revoked),
            is_issued_here: self.is_issued_here,
        }
    }

    /// This identity with other lists of revoked certificates of peers.
    pub(crate) fn revoking(&self, revoked: Revoked) -> Self {
        Self {
            revoked: Arc::new(revoked),
            ..self.showing(self)
        }
    }

    /// Whether the daemon itself renews the certificate.
    pub fn is_issued_here(&self) -> bool {
        self.is_issued_here
    }

    /// How long connections of Teams with the certificate before this one go on, if not as long as usual.
    pub fn drain(&self) -> Option<Duration> {
        self.drain
    }

    /// How old a connection may be.
    pub(crate) fn max_age(&self) -> Option<Duration> {
        self.max_age
    }

    /// Peers' certificates that were revoked.
    pub(crate) fn revoked(&self) -> &Arc<Revoked> {
        &self.revoked
    }

    /// When the first list of revoked certificates should be replaced, in seconds since 1970.
    pub fn lists_until(&self) -> Option<i64> {
        self.revoked.until()
    }

    pub(super) fn min(&self) -> TlsVersion {
        self.min
    }

    pub(super) fn allow_wildcard(&self) -> bool {
        self.allow_wildcard
    }

    pub(super) fn trusted(&self) -> &Arc<Trusted> {
        &self.trusted
    }

    pub(super) fn server_resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::new(Always(Arc::clone(&self.key)))
    }

    pub(super) fn client_resolver(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::new(Always(Arc::clone(&self.key)))
    }
}

impl fmt::Debug for TlsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsContext")
            .field("name", &self.name)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

/// Shows the same certificate whatever the peer asks for: the context was chosen before, and a
/// client role must answer even a request that names other CAs (TDR-TLS-003).
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl ResolvesClientCert for Always {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn facts(der: &CertificateDer<'_>) -> Option<CertificateFacts> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = CertificateNames::read(der);
    let common_name = certificate
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok())
        .map(str::to_owned);
    let mut all = names.dns_names;
    all.extend(names.sip_domains);
    Some(CertificateFacts {
        subject: common_name
            .or_else(|| all.first().cloned())
            .unwrap_or_default(),
        names: all,
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}
