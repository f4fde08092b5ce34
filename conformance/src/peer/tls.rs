//! TLS as Microsoft's proxies speak it: version 1.2, certificates on both sides, RSA suites.

use crate::ca::{CaFault, Identity};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::TLS12;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme, SupportedCipherSuite,
};
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::extensions::GeneralName;

/// The two documented suites that a modern library still has (TDR-TLS-002).
pub const SUITES: [SupportedCipherSuite; 2] = [
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

fn provider() -> Arc<CryptoProvider> {
    provider_with(SUITES.to_vec())
}

fn provider_of(suite: SupportedCipherSuite) -> Arc<CryptoProvider> {
    provider_with(vec![suite])
}

fn provider_with(cipher_suites: Vec<SupportedCipherSuite>) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites,
        ..rustls::crypto::aws_lc_rs::default_provider()
    })
}

/// A server that demands a certificate from every client.
///
/// # Errors
/// [`CaFault`], when the identity cannot be used.
pub fn acceptor(identity: &Identity, roots: RootCertStore) -> Result<TlsAcceptor, CaFault> {
    acceptor_with(identity, roots, provider())
}

/// The same with only one of the suites.
///
/// # Errors
/// [`CaFault`], when the identity cannot be used.
pub fn acceptor_of(
    suite: SupportedCipherSuite,
    identity: &Identity,
    roots: RootCertStore,
) -> Result<TlsAcceptor, CaFault> {
    acceptor_with(identity, roots, provider_of(suite))
}

fn acceptor_with(
    identity: &Identity,
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
) -> Result<TlsAcceptor, CaFault> {
    let (roots, general) = (Arc::new(roots), |fault: VerifierBuilderError| {
        rustls::Error::General(fault.to_string())
    });
    let of_clients =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(general)?;
    let of_servers = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(general)?;
    let verifier = Arc::new(Verifier {
        of_clients,
        of_servers,
    });
    let (chain, key) = identity.parts()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A server that asks nobody for a certificate.
///
/// # Errors
/// [`CaFault`], when the identity cannot be used.
pub fn acceptor_of_anybody(identity: &Identity) -> Result<TlsAcceptor, CaFault> {
    let (chain, key) = identity.parts()?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Believes a client whose certificate is good for clients, or for servers alone: those of public
/// authorities are from 2026 on, and Teams takes them (TDR-TLS-008).
#[derive(Debug)]
struct Verifier {
    of_clients: Arc<dyn ClientCertVerifier>,
    of_servers: Arc<WebPkiServerVerifier>,
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.of_clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.of_clients.verify_client_cert(certificate, chain, now);
        let name = names(Some(std::slice::from_ref(certificate)))
            .into_iter()
            .next();
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        match (verified, name) {
            (Err(_), Some(name)) => self
                .of_servers
                .verify_server_cert(certificate, chain, &name, &[], now)
                .map(|_| ClientCertVerified::assertion()),
            (verified, _) => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.of_clients
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.of_clients
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.of_clients.supported_verify_schemes()
    }
}

/// A client that shows `identity`, or no certificate.
///
/// # Errors
/// [`CaFault`], when the identity cannot be used.
pub fn connector(
    identity: Option<&Identity>,
    roots: RootCertStore,
) -> Result<TlsConnector, CaFault> {
    connector_with(identity, roots, provider())
}

/// The same with only one of the suites.
///
/// # Errors
/// [`CaFault`], when the identity cannot be used.
pub fn connector_of(
    suite: SupportedCipherSuite,
    identity: Option<&Identity>,
    roots: RootCertStore,
) -> Result<TlsConnector, CaFault> {
    connector_with(identity, roots, provider_of(suite))
}

/// The same, but the subject is known by `fqdn`, whatever name it is asked for, or even if it is asked for none.
///
/// # Errors
/// [`CaFault`], when the identity cannot be used.
pub fn connector_to(
    fqdn: &str,
    asks_for_a_name: bool,
    identity: &Identity,
    roots: RootCertStore,
) -> Result<TlsConnector, CaFault> {
    let provider = provider();
    let fqdn = ServerName::try_from(fqdn.to_owned())
        .map_err(|why| rustls::Error::General(why.to_string()))?;
    let inner =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let inner = inner.map_err(|why| rustls::Error::General(why.to_string()))?;
    let (chain, key) = identity.parts()?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Known { inner, fqdn }))
        .with_client_auth_cert(chain, key)?;
    config.enable_sni = asks_for_a_name;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Believes a server by a name of its own, not by that which was asked for.
#[derive(Debug)]
struct Known {
    inner: Arc<WebPkiServerVerifier>,
    fqdn: ServerName<'static>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _asked_for: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner
            .verify_server_cert(certificate, chain, &self.fqdn, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn connector_with(
    identity: Option<&Identity>,
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
) -> Result<TlsConnector, CaFault> {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12])?
        .with_root_certificates(roots);
    let config = match identity {
        Some(identity) => {
            let (chain, key) = identity.parts()?;
            builder.with_client_auth_cert(chain, key)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// DNS names of the first certificate of a chain, lower case.
pub fn names(chain: Option<&[CertificateDer<'_>]>) -> Vec<String> {
    let Some(first) = chain.and_then(<[_]>::first) else {
        return Vec::new();
    };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(first) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

/// Whether a certificate with `names` covers `host`; a wildcard stands for one label (TDR-TLS-006).
pub fn covers(names: &[String], host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    names.iter().any(|name| match name.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
        None => *name == host,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::Authority;

    #[test]
    fn a_wildcard_covers_one_label_and_names_are_read_from_the_certificate() {
        let authority = Authority::new("Test").unwrap();
        let identity = authority
            .issue(&["*.contoso.example", "Sbc.Other.example"])
            .unwrap();
        let (chain, _) = identity.parts().unwrap();
        let names = names(Some(&chain));
        assert_eq!(names, ["*.contoso.example", "sbc.other.example"]);
        assert!(covers(&names, "SBC1.contoso.example"));
        assert!(!covers(&names, "a.sbc1.contoso.example"));
        assert!(!covers(&names, "contoso.example"));
        assert!(covers(&names, "sbc.other.example"));
    }

    #[tokio::test]
    async fn a_client_without_certificate_is_refused() {
        let authority = Authority::new("Test").unwrap();
        let server = authority.issue(&["sip.pstnhub.example"]).unwrap();
        let acceptor = acceptor(&server, authority.roots().unwrap()).unwrap();
        for (client, is_welcome) in [
            (None, false),
            (
                Some(
                    Authority::new("Other")
                        .unwrap()
                        .issue(&["a.example"])
                        .unwrap(),
                ),
                false,
            ),
            (
                Some(authority.issue(&["sbc.contoso.example"]).unwrap()),
                true,
            ),
        ] {
            let (near, far) = tokio::io::duplex(64 * 1024);
            let connector = connector(client.as_ref(), authority.roots().unwrap()).unwrap();
            let name = "sip.pstnhub.example".try_into().unwrap();
            let (accepted, _) = tokio::join!(acceptor.accept(far), connector.connect(name, near));
            assert_eq!(accepted.is_ok(), is_welcome);
        }
    }
}
