//! A certification authority for one run: a root, an intermediate, and certificates from that.
//!
//! The intermediate is there on purpose. Peers trust the root alone, so an SBC that forgets to send
//! the rest of its chain is refused here as it would be by Microsoft (TDR-TLS-004).

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384,
    PKCS_RSA_SHA256, PublicKeyData, SanType, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::time::{Duration, SystemTime};

/// A certification authority.
pub struct Authority {
    root_pem: String,
    root_key: String,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// What a certificate is for: servers, then clients.
const BOTH: [ExtendedKeyUsagePurpose; 2] = [
    ExtendedKeyUsagePurpose::ServerAuth,
    ExtendedKeyUsagePurpose::ClientAuth,
];

/// A certificate with its key and the rest of its chain.
#[derive(Clone)]
pub struct Identity {
    /// Certificate, then intermediate, PEM.
    pub chain_pem: String,
    /// Private key, PEM.
    pub key_pem: String,
}

/// A certificate could not be made or read.
#[derive(Debug)]
pub struct CaFault(String);

impl fmt::Display for CaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate: {}", self.0)
    }
}

impl std::error::Error for CaFault {}

impl From<rcgen::Error> for CaFault {
    fn from(fault: rcgen::Error) -> Self {
        Self(fault.to_string())
    }
}

impl From<rustls::Error> for CaFault {
    fn from(fault: rustls::Error) -> Self {
        Self(fault.to_string())
    }
}

impl From<rustls::pki_types::pem::Error> for CaFault {
    fn from(fault: rustls::pki_types::pem::Error) -> Self {
        Self(fault.to_string())
    }
}

impl Authority {
    /// A new authority whose certificates carry this name.
    ///
    /// # Errors
    /// [`CaFault`], when the system cannot make keys.
    pub fn new(name: &str) -> Result<Self, CaFault> {
        Self::with(name, KeyPair::generate)
    }

    /// The same with keys on the curve P-384.
    ///
    /// # Errors
    /// [`CaFault`], when the system cannot make keys.
    pub fn p384(name: &str) -> Result<Self, CaFault> {
        Self::with(name, || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384))
    }

    fn with(name: &str, key: impl Fn() -> Result<KeyPair, rcgen::Error>) -> Result<Self, CaFault> {
        let root = CertifiedIssuer::self_signed(authority(name), key()?)?;
        let below = authority(&format!("{name} intermediate"));
        let intermediate = CertifiedIssuer::signed_by(below, key()?, &root)?;
        Ok(Self {
            root_pem: root.pem(),
            root_key: root.key().serialize_pem(),
            intermediate,
        })
    }

    /// That of somebody else, whose root and key these are: what it issues comes below an intermediate of its own.
    ///
    /// # Errors
    /// [`CaFault`], when they are no certificate and no key, or not of each other.
    pub fn of(root_pem: &str, key_pem: &str) -> Result<Self, CaFault> {
        let key = KeyPair::from_pem(key_pem)?;
        let der = CertificateDer::from_pem_slice(root_pem.as_bytes())?;
        let (_, root) = x509_parser::parse_x509_certificate(&der)
            .map_err(|why| CaFault(format!("the authority's is none: {why}")))?;
        if root.public_key().raw != key.subject_public_key_info() {
            return Err(CaFault(
                "the authority's key is not the one of its certificate".to_owned(),
            ));
        }
        let root = Issuer::from_ca_cert_der(&der, key)?;
        let below = authority("Certification intermediate");
        let intermediate = CertifiedIssuer::signed_by(below, KeyPair::generate()?, &root)?;
        Ok(Self {
            root_pem: root_pem.to_owned(),
            root_key: key_pem.to_owned(),
            intermediate,
        })
    }

    /// The root's key, PEM.
    pub fn root_key_pem(&self) -> &str {
        &self.root_key
    }

    /// The root certificate, PEM.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The root as what a TLS peer trusts.
    ///
    /// # Errors
    /// [`CaFault`], which means that the root is broken.
    pub fn roots(&self) -> Result<RootCertStore, CaFault> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.root_pem.as_bytes())?)?;
        Ok(roots)
    }

    /// A certificate for these DNS names, for servers and clients, with an RSA key of 2,048 bits:
    /// the suites that Microsoft documents need one (TDR-TLS-002).
    ///
    /// # Errors
    /// [`CaFault`], when a name cannot stand in a certificate.
    pub fn issue(&self, names: &[&str]) -> Result<Identity, CaFault> {
        self.issue_for(names, &KeyPair::generate_for(&PKCS_RSA_SHA256)?, &BOTH)
    }

    /// The same for servers only, as public authorities give it from 2026 on (TDR-TLS-009).
    ///
    /// # Errors
    /// [`CaFault`], when a name cannot stand in a certificate.
    pub fn issue_for_servers(&self, names: &[&str]) -> Result<Identity, CaFault> {
        self.issue_for(names, &KeyPair::generate_for(&PKCS_RSA_SHA256)?, &BOTH[..1])
    }

    /// The same with a P-256 key, as a public authority gives it today unless asked for RSA.
    ///
    /// # Errors
    /// [`CaFault`], when a name cannot stand in a certificate.
    pub fn issue_ecdsa(&self, names: &[&str]) -> Result<Identity, CaFault> {
        self.issue_for(names, &KeyPair::generate()?, &BOTH)
    }

    /// The same for so many days from now.
    ///
    /// # Errors
    /// [`CaFault`], when a name cannot stand in a certificate.
    pub fn issue_until(&self, names: &[&str], days: u64) -> Result<Identity, CaFault> {
        let until = SystemTime::now() + Duration::from_secs(86_400 * days);
        self.issue_with(&KeyPair::generate_for(&PKCS_RSA_SHA256)?, |params| {
            params.subject_alt_names = dns_names(names)?;
            params.not_after = until.into();
            Ok(())
        })
    }

    /// The same whose time is over.
    ///
    /// # Errors
    /// [`CaFault`], when a name cannot stand in a certificate.
    pub fn issue_expired(&self, names: &[&str]) -> Result<Identity, CaFault> {
        self.issue_with(&KeyPair::generate_for(&PKCS_RSA_SHA256)?, |params| {
            params.subject_alt_names = dns_names(names)?;
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
            Ok(())
        })
    }

    /// The same for mail, so neither for servers nor for clients.
    ///
    /// # Errors
    /// [`CaFault`], when a name cannot stand in a certificate.
    pub fn issue_for_mail(&self, names: &[&str]) -> Result<Identity, CaFault> {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
        self.issue_for(names, &key, &[ExtendedKeyUsagePurpose::EmailProtection])
    }

    /// One that says a name as its common name alone.
    ///
    /// # Errors
    /// [`CaFault`], when a name cannot stand in a certificate.
    pub fn issue_without_names(&self, common_name: &str) -> Result<Identity, CaFault> {
        self.issue_with(&KeyPair::generate_for(&PKCS_RSA_SHA256)?, |params| {
            params
                .distinguished_name
                .push(DnType::CommonName, common_name);
            Ok(())
        })
    }

    fn issue_for(
        &self,
        names: &[&str],
        key: &KeyPair,
        uses: &[ExtendedKeyUsagePurpose],
    ) -> Result<Identity, CaFault> {
        self.issue_with(key, |params| {
            params.subject_alt_names = dns_names(names)?;
            let common_name = names.first().copied().unwrap_or_default();
            params
                .distinguished_name
                .push(DnType::CommonName, common_name);
            params.extended_key_usages = uses.to_vec();
            Ok(())
        })
    }

    fn issue_with(
        &self,
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams) -> Result<(), CaFault>,
    ) -> Result<Identity, CaFault> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        change(&mut params)?;
        let leaf = params.signed_by(key, &*self.intermediate)?;
        Ok(Identity {
            chain_pem: leaf.pem() + &self.intermediate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

/// A certificate that is its own issuer.
///
/// # Errors
/// [`CaFault`], when a name cannot stand in a certificate.
pub fn self_signed(names: &[&str]) -> Result<Identity, CaFault> {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = CertificateParams::new(names)?;
    Ok(Identity {
        chain_pem: params.self_signed(&key)?.pem(),
        key_pem: key.serialize_pem(),
    })
}

fn dns_names(names: &[&str]) -> Result<Vec<SanType>, CaFault> {
    let names = names.iter().map(|name| (*name).to_owned());
    Ok(CertificateParams::new(names.collect::<Vec<_>>())?.subject_alt_names)
}

impl Identity {
    /// The same without the rest of its chain.
    #[must_use]
    pub fn leaf(self) -> Self {
        let own = self.chain_pem.split_inclusive("END CERTIFICATE-----\n");
        Self {
            chain_pem: own.take(1).collect(),
            ..self
        }
    }

    /// Chain and key as rustls wants them.
    ///
    /// # Errors
    /// [`CaFault`], when the PEM texts are not what they say.
    pub fn parts(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CaFault> {
        let chain = CertificateDer::pem_slice_iter(self.chain_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())?;
        Ok((chain, key))
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_comes_with_its_intermediate_and_an_rsa_key() {
        let authority = Authority::new("Test").unwrap();
        let identity = authority.issue(&["sbc.contoso.example"]).unwrap();
        let (chain, key) = identity.parts().unwrap();
        assert_eq!(chain.len(), 2);
        assert!(matches!(key, PrivateKeyDer::Pkcs8(_)));
        let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
        assert!(matches!(
            leaf.public_key().parsed(),
            Ok(x509_parser::public_key::PublicKey::RSA(_))
        ));
        assert_eq!(leaf.issuer().to_string(), "CN=Test intermediate");
    }

    #[test]
    fn an_authority_is_taken_from_its_files_if_they_are_of_each_other() {
        let (own, other) = (Authority::p384("A").unwrap(), Authority::new("B").unwrap());
        let again = Authority::of(own.root_pem(), own.root_key_pem()).unwrap();
        let issued = again.issue_ecdsa(&["sbc.contoso.example"]).unwrap();
        let (chain, _) = issued.parts().unwrap();
        let root = CertificateDer::from_pem_slice(own.root_pem().as_bytes()).unwrap();
        let (_, root) = x509_parser::parse_x509_certificate(&root).unwrap();
        let (_, intermediate) = x509_parser::parse_x509_certificate(&chain[1]).unwrap();
        assert_eq!(intermediate.issuer().to_string(), "CN=A");
        assert!(
            intermediate
                .verify_signature(Some(root.public_key()))
                .is_ok()
        );
        let why = Authority::of(own.root_pem(), other.root_key_pem());
        let why = why.err().unwrap().to_string();
        assert!(why.contains("not the one of its certificate"), "{why}");
        assert!(Authority::of("nothing", own.root_key_pem()).is_err());
    }

    #[test]
    fn two_authorities_have_nothing_in_common() {
        let (one, two) = (Authority::new("A").unwrap(), Authority::new("A").unwrap());
        assert_ne!(one.root_pem(), two.root_pem());
        assert_eq!(one.roots().unwrap().len(), 1);
    }
}
