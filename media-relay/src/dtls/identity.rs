//! The certificate under which we make handshakes, and digests of certificates.

use crate::time::Timestamp;
use dimpl::certificate::generate_self_signed_certificate;
use dimpl::{Config, DtlsCertificate};
use media_api::{Fingerprint, HashFunction};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha384, Sha512};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Largest datagram of a handshake (MED-134): what crosses every path.
const DATAGRAM: usize = 1_200;
/// How long a handshake may take as a whole.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);
/// First wait for an answer; it doubles with each repetition (RFC 6347 §4.2.4.1).
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// A self-signed certificate with its key (ECDSA, P-256). Only in memory; a copy is the same one.
#[derive(Clone)]
pub struct Identity(Arc<Parts>);

struct Parts {
    certificate: DtlsCertificate,
    config: Arc<Config>,
    fingerprint: Fingerprint,
    /// What a [`Timestamp`] of zero is for the library, which counts in its own kind of time.
    epoch: Instant,
}

/// No certificate could be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoIdentity;

impl Identity {
    /// A new one, with randomness of the operating system.
    ///
    /// # Errors
    /// [`NoIdentity`] if that has none.
    pub fn generate() -> Result<Self, NoIdentity> {
        let certificate = generate_self_signed_certificate().map_err(|_| NoIdentity)?;
        let config = Config::builder()
            .mtu(DATAGRAM)
            .handshake_timeout(HANDSHAKE)
            .flight_start_rto(FIRST_WAIT)
            .build()
            .map_err(|_| NoIdentity)?;
        let fingerprint = fingerprint(HashFunction::Sha256, &certificate.certificate);
        Ok(Self(Arc::new(Parts {
            fingerprint: fingerprint.ok_or(NoIdentity)?,
            certificate,
            config: Arc::new(config),
            epoch: Instant::now(),
        })))
    }

    /// What our description says of it: SHA-256.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.0.fingerprint
    }

    pub(super) fn parts(&self) -> (Arc<Config>, DtlsCertificate) {
        (Arc::clone(&self.0.config), self.0.certificate.clone())
    }

    pub(super) fn instant(&self, now: Timestamp) -> Instant {
        self.0.epoch + now.since(Timestamp(0))
    }

    pub(super) fn timestamp(&self, at: Instant) -> Timestamp {
        Timestamp(0) + at.saturating_duration_since(self.0.epoch)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity")
            .field(&self.0.fingerprint)
            .finish()
    }
}

/// Digest of a certificate in DER.
pub(super) fn fingerprint(function: HashFunction, certificate: &[u8]) -> Option<Fingerprint> {
    let digest = match function {
        HashFunction::Sha1 => Sha1::digest(certificate).to_vec(),
        HashFunction::Sha256 => Sha256::digest(certificate).to_vec(),
        HashFunction::Sha384 => Sha384::digest(certificate).to_vec(),
        HashFunction::Sha512 => Sha512::digest(certificate).to_vec(),
    };
    Fingerprint::new(function, digest)
}

/// Whether a certificate is the one of these fingerprints: it has to fit one of those that were made with the
/// strongest function among them (RFC 8122 §5.1).
pub(super) fn is_of(certificate: &[u8], fingerprints: &[Fingerprint]) -> bool {
    let strongest = fingerprints.iter().map(Fingerprint::function).max();
    let found = strongest.and_then(|function| fingerprint(function, certificate));
    found.is_some_and(|found| fingerprints.contains(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_strongest_of_several_functions_counts() {
        let own = b"a certificate";
        let of = |function, certificate: &[u8]| fingerprint(function, certificate).unwrap();
        let (weak, strong) = (HashFunction::Sha1, HashFunction::Sha256);
        assert!(is_of(own, &[of(strong, own)]));
        assert!(is_of(own, &[of(strong, b"another"), of(strong, own)]));
        assert!(is_of(own, &[of(weak, b"another"), of(strong, own)]));
        assert!(!is_of(own, &[of(weak, own), of(strong, b"another")]));
        assert!(!is_of(own, &[]));
    }

    #[test]
    fn every_identity_is_its_own_and_shows_no_key() {
        let (one, two) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        assert_ne!(one.fingerprint(), two.fingerprint());
        assert!(is_of(
            &one.parts().1.certificate,
            &[one.fingerprint().clone()]
        ));
        assert_eq!(
            format!("{one:?}"),
            format!("Identity({})", one.fingerprint())
        );
    }
}
