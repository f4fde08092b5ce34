//! One TLS identity as it was read from its files: chain, key, roots, and what they say.

use super::names::CertificateNames;
use super::provider;
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sbc_core::config::{Secret, TlsFiles, TlsVersion, VerifyClient};
use sbc_core::id::TlsContextName;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Largest PEM file that is read.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Why an identity cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MaterialFault {
    /// A file cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        why: String,
    },
    /// A file holds nothing of the kind that belongs there.
    Unusable {
        /// Which.
        path: PathBuf,
        /// What is missing or wrong.
        why: String,
    },
    /// The private key does not belong to the certificate.
    KeyMismatch {
        /// Key file.
        key: PathBuf,
        /// Certificate file.
        chain: PathBuf,
    },
}

impl fmt::Display for MaterialFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, why } => write!(f, "cannot read {}: {why}", path.display()),
            Self::Unusable { path, why } => write!(f, "{}: {why}", path.display()),
            Self::KeyMismatch { key, chain } => write!(
                f,
                "the key in {} does not belong to the certificate in {}",
                key.display(),
                chain.display()
            ),
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
    /// End of validity in seconds since 1970.
    pub not_after: i64,
}

/// One loaded TLS identity.
pub struct TlsContext {
    name: TlsContextName,
    key: Arc<CertifiedKey>,
    roots: Arc<RootCertStore>,
    own: CertificateFacts,
    cas: Vec<CertificateFacts>,
    verify_client: VerifyClient,
    min: TlsVersion,
    allow_wildcard: bool,
}

impl TlsContext {
    /// Reads the files of one identity.
    ///
    /// # Errors
    /// [`MaterialFault`]; nothing is kept then.
    pub fn load(name: TlsContextName, files: &TlsFiles) -> Result<Self, MaterialFault> {
        let chain_path = Path::new(&files.cert);
        let unusable = |path: &Path, why: String| MaterialFault::Unusable {
            path: path.to_owned(),
            why,
        };
        let chain = certificates(chain_path)?;
        let first = chain
            .first()
            .ok_or_else(|| unusable(chain_path, "no certificate in PEM form".to_owned()))?;
        let own = facts(first).ok_or_else(|| {
            unusable(
                chain_path,
                "the first certificate cannot be read".to_owned(),
            )
        })?;
        let key = private_key(&files.key)?;
        let signing = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|fault| {
                let why = format!("the private key cannot be used: {fault}");
                unusable(&place(&files.key), why)
            })?;
        let certified = CertifiedKey::new(chain, signing);
        if certified.keys_match().is_err() {
            return Err(MaterialFault::KeyMismatch {
                key: place(&files.key),
                chain: chain_path.to_owned(),
            });
        }
        let (roots, cas) = match &files.client_ca {
            Some(path) => trust(Path::new(path))?,
            None => (RootCertStore::empty(), Vec::new()),
        };
        Ok(Self {
            name,
            key: Arc::new(certified),
            roots: Arc::new(roots),
            own,
            cas,
            verify_client: files.verify_client,
            min: files.min,
            allow_wildcard: files.allow_wildcard,
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
        &self.cas
    }

    /// Whether clients must present a certificate.
    pub fn verify_client(&self) -> VerifyClient {
        self.verify_client
    }

    pub(super) fn min(&self) -> TlsVersion {
        self.min
    }

    pub(super) fn allow_wildcard(&self) -> bool {
        self.allow_wildcard
    }

    pub(super) fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
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

fn read(path: &Path) -> Result<Vec<u8>, MaterialFault> {
    let unreadable = |why: String| MaterialFault::Unreadable {
        path: path.to_owned(),
        why,
    };
    let size = fs::metadata(path)
        .map_err(|e| unreadable(e.to_string()))?
        .len();
    if size > MAX_FILE_BYTES {
        return Err(unreadable(format!(
            "{size} bytes are too many for a PEM file"
        )));
    }
    fs::read(path).map_err(|e| unreadable(e.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, MaterialFault> {
    let text = read(path)?;
    CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|fault| MaterialFault::Unusable {
            path: path.to_owned(),
            why: format!("not PEM: {fault}"),
        })
}

fn private_key(source: &Secret) -> Result<PrivateKeyDer<'static>, MaterialFault> {
    let text = match source {
        Secret::File(_) | Secret::Credential(_) => read(&place(source))?,
        Secret::Env(name) => match std::env::var(name) {
            Ok(text) => text.into_bytes(),
            Err(why) => {
                return Err(MaterialFault::Unreadable {
                    path: place(source),
                    why: why.to_string(),
                });
            }
        },
    };
    PrivateKeyDer::from_pem_slice(&text).map_err(|fault| MaterialFault::Unusable {
        path: place(source),
        why: format!("no private key in PEM form: {fault}"),
    })
}

/// The file of a secret, or what stands for it in a message. A credential is a file in the
/// directory that the service manager names (`LoadCredential`); its id is `secrets_` and the name
/// when a whole directory was passed.
fn place(source: &Secret) -> PathBuf {
    match source {
        Secret::File(path) => PathBuf::from(path),
        Secret::Env(name) => PathBuf::from(format!("environment variable {name}")),
        Secret::Credential(name) => {
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY").unwrap_or_default();
            let directory = Path::new(&directory);
            let of_directory = directory.join(format!("secrets_{name}"));
            if of_directory.exists() {
                of_directory
            } else {
                directory.join(name)
            }
        }
    }
}

fn trust(path: &Path) -> Result<(RootCertStore, Vec<CertificateFacts>), MaterialFault> {
    let found = certificates(path)?;
    let mut roots = RootCertStore::empty();
    let mut cas = Vec::new();
    for certificate in found {
        cas.extend(facts(&certificate));
        roots
            .add(certificate)
            .map_err(|fault| MaterialFault::Unusable {
                path: path.to_owned(),
                why: format!("a root cannot be used: {fault}"),
            })?;
    }
    if roots.is_empty() {
        return Err(MaterialFault::Unusable {
            path: path.to_owned(),
            why: "no certificate in PEM form".to_owned(),
        });
    }
    Ok((roots, cas))
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
        not_after: certificate.validity().not_after.timestamp(),
    })
}
