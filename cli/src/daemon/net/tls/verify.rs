//! Verification of a peer's certificate: path and time by webpki, then usage and name by us.

use super::chain::Chain;
use super::material::{TlsContext, Trusted};
use super::names::{CertificateNames, any_accepted};
use super::{Refusal, provider};
use crate::config::Revoked;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error, OtherError};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage};
use x509_parser::public_key::PublicKey;

/// Most certificates of a chain, the first included (SEC-022).
const MAX_CHAIN: usize = 10;
/// Bits of an RSA key that are accepted (SEC-022): above, a verification costs too much.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// What a verifier found out about one peer; shared with whoever runs the handshake.
#[derive(Clone, Default, Debug)]
pub(crate) struct Verdict(Arc<Mutex<Option<Found>>>);

/// What a peer proved, or why it was refused.
type Found = Result<Proven, Refusal>;

/// What a peer proved.
#[derive(Debug)]
pub(crate) struct Proven {
    /// Its names.
    pub(crate) names: Vec<String>,
    /// How its certificate leads to a root.
    pub(crate) chain: Option<Chain>,
}

impl Verdict {
    /// What was found out; `None` if the peer showed no certificate.
    pub(crate) fn take(&self) -> Option<Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, found: Found) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }
}

/// What both roles have in common.
struct Check {
    trusted: Arc<Trusted>,
    /// Names of which one must be there; with none nobody is accepted: a list that was left empty by
    /// mistake must not open the door to everyone whom a public CA knows.
    accepted: Vec<String>,
    allow_wildcard: bool,
    revoked: Arc<Revoked>,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: Verdict,
}

impl Check {
    fn new(context: &TlsContext, accepted: Vec<String>, verdict: Verdict) -> Self {
        Self {
            trusted: Arc::clone(context.trusted()),
            accepted,
            allow_wildcard: context.allow_wildcard(),
            revoked: Arc::clone(context.revoked()),
            algorithms: provider().signature_verification_algorithms,
            verdict,
        }
    }

    fn run(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let found = self.judge(end_entity, intermediates, now);
        let answer = match &found {
            Ok(_) => Ok(()),
            Err(refusal) => Err(Error::InvalidCertificate(alert_of(refusal))),
        };
        self.verdict.set(found);
        answer
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Found {
        if intermediates.len() >= MAX_CHAIN {
            return Err(Refusal::BadCertificate(format!(
                "more than {MAX_CHAIN} certificates"
            )));
        }
        refuse_odd_rsa_keys(std::iter::once(end_entity).chain(intermediates))?;
        let certificate = EndEntityCert::try_from(end_entity)
            .map_err(|fault| Refusal::BadCertificate(fault.to_string()))?;
        let path = certificate
            .verify_for_usage(
                self.algorithms.all,
                &self.trusted.roots().roots,
                intermediates,
                now,
                EitherRole,
                None,
                None,
            )
            .map_err(|fault| refusal_of(fault, end_entity))?;
        if is_named(
            &self.revoked,
            self.trusted.anchors(),
            end_entity,
            intermediates,
        ) {
            return Err(Refusal::Revoked);
        }
        let names = CertificateNames::read(end_entity).identities();
        match any_accepted(&self.accepted, &names, self.allow_wildcard) {
            true => Ok(Proven {
                names,
                chain: Chain::of(end_entity, &path, &self.trusted),
            }),
            false => Err(Refusal::name(&self.accepted, &names)),
        }
    }
}

/// RFC 5280 usage as this product reads it: a certificate without extended key usage is good for
/// everything; one with it must allow either TLS role or SIP.
///
/// The client role does not insist on `clientAuth`: public CAs have stopped issuing it, and Teams
/// may present a certificate for servers only (TDR-TLS-009, SEC-075). What protects us is the
/// trust store, the name and the source address of the trunk.
struct EitherRole;

/// serverAuth, clientAuth, sipDomain (RFC 5924), any.
const USAGES: [&[usize]; 4] = [
    &[1, 3, 6, 1, 5, 5, 7, 3, 1],
    &[1, 3, 6, 1, 5, 5, 7, 3, 2],
    &[1, 3, 6, 1, 5, 5, 7, 3, 20],
    &[2, 5, 29, 37, 0],
];

impl ExtendedKeyUsageValidator for EitherRole {
    fn validate(&self, usages: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let mut present = Vec::new();
        for usage in usages {
            let usage = usage?.to_decoded_oid();
            if USAGES.contains(&usage.as_slice()) {
                return Ok(());
            }
            present.push(usage);
        }
        if present.is_empty() {
            return Ok(());
        }
        Err(webpki::Error::RequiredEkuNotFoundContext(
            webpki::RequiredEkuNotFoundContext {
                required: KeyUsage::server_auth(),
                present,
            },
        ))
    }
}

/// What lists name the certificates of a peer by: the issuer of each in DER, and its serial number.
pub(crate) type Shown = Box<[(Vec<u8>, Vec<u8>)]>;

/// What these certificates are named by.
pub(crate) fn shown<'c>(chain: impl IntoIterator<Item = &'c CertificateDer<'c>>) -> Shown {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let chain = chain.into_iter();
    let parsed = chain.filter_map(|der| X509Certificate::from_der(der).ok());
    let names = parsed.map(|(_, own)| (own.issuer().as_raw().to_vec(), own.raw_serial().to_vec()));
    names.collect()
}

impl TlsContext {
    /// Whether a list names one of these. Without any list nothing is revoked, and what no list names is good:
    /// no rule of the service asks for more (TDR-TLS-017).
    pub(crate) fn has_revoked(&self, shown: &Shown) -> bool {
        names_any(self.revoked(), self.trusted().anchors(), shown)
    }
}

/// Certificates of authorities that are trusted, as lists name them: nobody need show one.
#[derive(Debug)]
pub(crate) struct Anchors(Box<[Anchor]>);

#[derive(Debug)]
struct Anchor {
    /// Whose certificates it has issued.
    subject: Vec<u8>,
    issuer: Vec<u8>,
    serial: Vec<u8>,
}

impl Anchors {
    /// Those of these.
    pub(crate) fn of(certificates: &[CertificateDer<'_>]) -> Self {
        use x509_parser::prelude::{FromDer, X509Certificate};
        let parsed = certificates
            .iter()
            .filter_map(|der| X509Certificate::from_der(der).ok());
        let anchors = parsed.map(|(_, own)| Anchor {
            subject: own.subject().as_raw().to_vec(),
            issuer: own.issuer().as_raw().to_vec(),
            serial: own.raw_serial().to_vec(),
        });
        Self(anchors.collect())
    }
}

/// Whether lists name a certificate, one that was shown with it, or an authority that is trusted and has issued one of
/// them.
pub(crate) fn is_named(
    revoked: &Revoked,
    anchors: &Anchors,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> bool {
    let all = std::iter::once(end_entity).chain(intermediates);
    !revoked.is_empty() && names_any(revoked, anchors, &shown(all))
}

fn names_any(revoked: &Revoked, anchors: &Anchors, shown: &Shown) -> bool {
    let is_named = |(issuer, serial): &(Vec<u8>, Vec<u8>)| revoked.has(issuer, serial);
    let has_issued = |anchor: &Anchor| shown.iter().any(|(issuer, _)| *issuer == anchor.subject);
    shown.iter().any(is_named)
        || anchors
            .0
            .iter()
            .any(|own| has_issued(own) && revoked.has(&own.issuer, &own.serial))
}

/// Keys outside the range are refused before any computation with them.
fn refuse_odd_rsa_keys<'c>(
    chain: impl Iterator<Item = &'c CertificateDer<'c>>,
) -> Result<(), Refusal> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    for der in chain {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            return Err(Refusal::BadCertificate(
                "not an X.509 certificate".to_owned(),
            ));
        };
        // A key that cannot be measured is not a good one.
        match certificate.public_key().parsed() {
            Ok(PublicKey::RSA(key)) if !RSA_BITS.contains(&key.key_size()) => {
                return Err(Refusal::WeakKey);
            }
            Ok(_) => {}
            Err(_) => {
                return Err(Refusal::BadCertificate("its key cannot be read".to_owned()));
            }
        }
    }
    Ok(())
}

fn refusal_of(fault: webpki::Error, end_entity: &CertificateDer<'_>) -> Refusal {
    use webpki::Error as Fault;
    match fault {
        Fault::CertExpired { .. } | Fault::InvalidCertValidity => Refusal::Expired,
        Fault::CertNotValidYet { .. } => Refusal::NotYetValid,
        Fault::UnknownIssuer | Fault::CaUsedAsEndEntity if is_self_signed(end_entity) => {
            Refusal::SelfSigned
        }
        // A trusted root has the name of the issuer, but another key.
        Fault::UnknownIssuer | Fault::InvalidSignatureForPublicKey => Refusal::UnknownCa,
        Fault::RequiredEkuNotFoundContext(_) | Fault::EmptyEkuExtension => Refusal::Usage,
        Fault::CertRevoked => Refusal::Revoked,
        Fault::UnsupportedSignatureAlgorithmContext(_)
        | Fault::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Refusal::WeakKey,
        other => Refusal::BadCertificate(other.to_string()),
    }
}

fn is_self_signed(der: &CertificateDer<'_>) -> bool {
    use x509_parser::prelude::{FromDer, X509Certificate};
    X509Certificate::from_der(der)
        .is_ok_and(|(_, certificate)| certificate.subject() == certificate.issuer())
}

/// The error whose alert tells the peer as much as TLS can say.
fn alert_of(refusal: &Refusal) -> CertificateError {
    match refusal {
        Refusal::Expired => CertificateError::Expired,
        Refusal::NotYetValid => CertificateError::NotValidYet,
        Refusal::UnknownCa | Refusal::SelfSigned => CertificateError::UnknownIssuer,
        Refusal::Usage => CertificateError::InvalidPurpose,
        Refusal::Revoked => CertificateError::Revoked,
        Refusal::Name { .. } => CertificateError::NotValidForName,
        other => CertificateError::Other(OtherError(Arc::new(other.clone()))),
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}

/// What a verifier of certificates does with signatures: these algorithms are taken.
macro_rules! verifies_signatures {
    ($own:ident => $algorithms:expr) => {
        fn verify_tls12_signature(
            &$own,
            message: &[u8],
            cert: &rustls::pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls12_signature(message, cert, dss, &$algorithms)
        }

        fn verify_tls13_signature(
            &$own,
            message: &[u8],
            cert: &rustls::pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls13_signature(message, cert, dss, &$algorithms)
        }

        fn supported_verify_schemes(&$own) -> Vec<rustls::SignatureScheme> {
            $algorithms.supported_schemes()
        }
    };
}
pub(crate) use verifies_signatures;

/// Verifies clients that connect to us.
#[derive(Debug)]
pub(super) struct ClientVerifier(Check);

impl ClientVerifier {
    pub(super) fn new(context: &TlsContext, accepted: Vec<String>, verdict: Verdict) -> Self {
        Self(Check::new(context, accepted, verdict))
    }
}

impl ClientCertVerifier for ClientVerifier {
    /// None: which CAs we trust is nobody's business, and clients like Teams send the one
    /// certificate they have.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0
            .run(end_entity, intermediates, now)
            .map(|()| ClientCertVerified::assertion())
    }

    verifies_signatures!(self => self.0.algorithms);
}

/// Verifies servers that we connect to.
#[derive(Debug)]
pub(super) struct ServerVerifier(Check);

impl ServerVerifier {
    pub(super) fn new(context: &TlsContext, wanted: Vec<String>, verdict: Verdict) -> Self {
        Self(Check::new(context, wanted, verdict))
    }
}

impl ServerCertVerifier for ServerVerifier {
    /// The name asked for by SNI is not compared: the wanted names decide, and the caller puts the
    /// server name among them where it belongs (SIP-131).
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0
            .run(end_entity, intermediates, now)
            .map(|()| ServerCertVerified::assertion())
    }

    verifies_signatures!(self => self.0.algorithms);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::RootCertStore;
    use rustls::pki_types::pem::PemObject;

    const PEER: &str = "sip.peer.example";

    /// A root, and a certificate under it with this name.
    fn issued(name: &str) -> (Arc<Trusted>, CertificateDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let leaf = CertificateParams::new([name.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer);
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let trusted = Trusted::new(roots, &[root.der().clone()]);
        (Arc::new(trusted), leaf.unwrap().der().clone())
    }

    fn check(trusted: Arc<Trusted>, accepted: &[&str]) -> Check {
        Check {
            trusted,
            accepted: accepted.iter().map(|name| (*name).to_owned()).collect(),
            allow_wildcard: false,
            revoked: Arc::default(),
            algorithms: provider().signature_verification_algorithms,
            verdict: Verdict::default(),
        }
    }

    #[test]
    fn where_no_name_is_wanted_nobody_is_accepted() {
        let (roots, leaf) = issued(PEER);
        let wanted = check(Arc::clone(&roots), &[PEER]);
        let proven = wanted.judge(&leaf, &[], UnixTime::now()).unwrap();
        assert_eq!(proven.names, [PEER]);
        let nobody = check(roots, &[]);
        let answer = nobody.run(&leaf, &[], UnixTime::now());
        let is_name = |error| {
            matches!(
                error,
                Error::InvalidCertificate(CertificateError::NotValidForName)
            )
        };
        assert!(answer.is_err_and(is_name));
        let found = nobody.verdict.take().unwrap().unwrap_err();
        assert_eq!(found.label(), "name_mismatch");
    }

    /// What is kept of a chain: root, use and ends (TDR-TLS-010).
    #[test]
    fn of_a_chain_that_is_believed_its_root_its_use_and_its_ends_are_known() {
        let authority = conformance::ca::Authority::new("An Authority").unwrap();
        let trusted = Arc::new(Trusted::new(
            authority.roots().unwrap(),
            &[CertificateDer::from_pem_slice(authority.root_pem().as_bytes()).unwrap()],
        ));
        let now = UnixTime::now();
        let shown = |identity: conformance::ca::Identity| {
            let (chain, _) = identity.parts().unwrap();
            let judged = check(Arc::clone(&trusted), &[PEER]).judge(&chain[0], &chain[1..], now);
            judged.unwrap().chain.unwrap()
        };
        let both = shown(authority.issue_until(&[PEER], 29).unwrap());
        assert!(
            both.root.name.contains("An Authority") && !both.is_bundled,
            "{both:?}"
        );
        assert_eq!(both.purposes.as_str(), "serverAuth, clientAuth");
        let left = both.leaf.until - i64::try_from(now.as_secs()).unwrap();
        assert!((28 * 86_400..=29 * 86_400).contains(&left), "{both:?}");
        assert_eq!(both.first_to_end(), &both.leaf);
        let servers = shown(authority.issue_for_servers(&[PEER]).unwrap());
        assert_eq!(servers.purposes.as_str(), "serverAuth");
    }

    #[test]
    fn a_key_that_cannot_be_measured_is_refused() {
        let authority = conformance::ca::Authority::new("Test").unwrap();
        let (chain, _) = authority.issue(&[PEER]).unwrap().parts().unwrap();
        assert_eq!(refuse_odd_rsa_keys(chain.iter()), Ok(()));
        // The bit string of a key of 2048 bits, and the sequence in it.
        const KEY: [u8; 6] = [0x03, 0x82, 0x01, 0x0F, 0x00, 0x30];
        let mut odd = chain[0].to_vec();
        let at = odd.windows(KEY.len()).position(|bytes| bytes == KEY);
        odd[at.unwrap() + KEY.len() - 1] = 0x31;
        let odd = CertificateDer::from(odd);
        let refusal = refuse_odd_rsa_keys(std::iter::once(&odd)).unwrap_err();
        assert_eq!(refusal.label(), "cert_bad");
    }
}
