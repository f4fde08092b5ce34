//! Roots that are part of the program: those of the certificates of Teams.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use std::sync::OnceLock;
use x509_parser::parse_x509_certificate;

/// Seven roots in PEM, each named before it.
const MICROSOFT: &[u8] = include_bytes!("microsoft-roots.pem");

/// The roots that `client_ca = "microsoft"` stands for: what Microsoft announced in December 2025 for
/// Direct Routing (TDR-TLS-010). Whoever needs others names a file.
///
/// # Errors
/// If the text in this program is no PEM, which a test excludes.
pub(super) fn microsoft() -> Result<Vec<CertificateDer<'static>>, PemError> {
    CertificateDer::pem_slice_iter(MICROSOFT).collect()
}

/// A root that is part of the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BundledRoot {
    /// Common name.
    pub name: String,
    /// End of validity in seconds since 1970.
    pub until: i64,
}

/// Those roots, in the order of [`sbc_core::config::MICROSOFT_ROOTS_OF`]'s announcement.
pub fn bundled_roots() -> &'static [BundledRoot] {
    static ROOTS: OnceLock<Vec<BundledRoot>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let roots = microsoft().unwrap_or_default();
        let roots = roots.iter().filter_map(|der| {
            let (_, root) = parse_x509_certificate(der).ok()?;
            let name = root.subject().iter_common_name().next()?;
            Some(BundledRoot {
                name: name.as_str().ok()?.to_owned(),
                until: root.validity().not_after.timestamp(),
            })
        });
        roots.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::SupportedCipherSuite;
    use sbc_core::config::MICROSOFT_ROOTS_OF;

    /// 10 November 2031, when the first of them ends.
    const ENDS: i64 = 1_952_035_200;
    /// Names and SHA-256 fingerprints, in the order of the file.
    const ROOTS: [(&str, &str); 7] = [
        (
            "DigiCert Global Root CA",
            "4348a0e9444c78cb265e058d5e8944b4d84f9662bd26db257f8934a443c70161",
        ),
        (
            "DigiCert Global Root G2",
            "cb3ccbb76031e5e0138f8dd39a23f9de47ffc35e43c1144cea27d46a5ab1cb5f",
        ),
        (
            "DigiCert Global Root G3",
            "31ad6648f8104138c738f39ea4320133393e3a18cc02296ef97c2ac9ef6731d0",
        ),
        (
            "DigiCert TLS ECC P384 Root G5",
            "018e13f0772532cf809bd1b17281867283fc48c6e13be9c69812854a490c1b05",
        ),
        (
            "DigiCert TLS RSA4096 Root G5",
            "371a00dc0533b3721a7eeb40e8419e70799d2b0a0f2c1d80693165f7cec4ad75",
        ),
        (
            "Microsoft ECC Root Certificate Authority 2017",
            "358df39d764af9e1b766e9c972df352ee15cfac227af6ad1d70e8e4a6edcba02",
        ),
        (
            "Microsoft RSA Root Certificate Authority 2017",
            "c741f70f4b2a8d88bf2e71c14122ef53ef10eba0cfa5e64cfa20f418853073e0",
        ),
    ];

    fn sha256(octets: &[u8]) -> String {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let mut suites = provider.cipher_suites.iter();
        let hash = suites.find_map(|suite| match suite {
            SupportedCipherSuite::Tls13(suite)
                if format!("{:?}", suite.common.suite).ends_with("SHA256") =>
            {
                Some(suite.common.hash_provider)
            }
            _ => None,
        });
        let digest = hash.expect("SHA-256").hash(octets);
        digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn the_seven_roots_of_microsoft_are_there_and_are_no_others() {
        let roots = microsoft().unwrap();
        let found: Vec<(String, String)> = roots
            .iter()
            .map(|root| {
                let (_, parsed) = parse_x509_certificate(root).unwrap();
                let name = parsed.subject().iter_common_name().next().unwrap();
                (name.as_str().unwrap().to_owned(), sha256(root))
            })
            .collect();
        let wanted = ROOTS.map(|(name, digest)| (name.to_owned(), digest.to_owned()));
        assert_eq!(found, wanted);
        let (store, _) = super::super::read_roots(sbc_core::config::MICROSOFT_ROOTS).unwrap();
        assert_eq!(store.len(), 7, "each of them can be used");
        let told = bundled_roots().iter().map(|root| root.name.as_str());
        assert!(told.eq(ROOTS.map(|(name, _)| name)));
        assert!(bundled_roots().iter().all(|root| root.until >= ENDS));
    }

    /// The list of fingerprints above is that of this announcement: whoever changes one changes the other.
    #[test]
    fn the_date_that_is_told_is_that_of_the_list() {
        let all: String = ROOTS.iter().map(|(_, digest)| *digest).collect();
        let list = (
            "December 2025",
            "46676adc5d7e53e9e147aabb2cc8fe271e1f2a5df5b2dbaa065f8a966b7f34ab",
        );
        assert_eq!((MICROSOFT_ROOTS_OF, &*sha256(all.as_bytes())), list);
        let text = String::from_utf8_lossy(MICROSOFT);
        let head = text.split("-----BEGIN").next().unwrap_or_default();
        assert!(head.contains(MICROSOFT_ROOTS_OF), "{head}");
    }
}
