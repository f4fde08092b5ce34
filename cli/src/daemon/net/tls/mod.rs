//! TLS identities: which certificate we show, whom we believe, and how both are replaced while
//! connections live.
//!
//! Everything of one context is one immutable [`TlsContext`]; all contexts together are a
//! [`TlsStore`], swapped as a whole at reload. A connection keeps what it was made with.
//!
//! Path validation is webpki's. The name check comes after it and is ours, because webpki knows no
//! `sip:` URI in the subjectAltName and always accepts wildcards (RFC 5922 §7, SEC-082).

mod chain;
mod hello;
mod material;
mod names;
mod refusal;
mod succession;
mod verify;

pub use chain::{Chain, Link, Purposes};
pub(super) use hello::turns_away;
use material::KnownRoots;
pub use material::{CertificateFacts, MaterialFault, TlsContext};
pub use names::CertificateNames;
pub use refusal::Refusal;
pub(crate) use verify::{Anchors, Proven, Shown, Verdict, is_named, shown, verifies_signatures};

use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, CommonState, SupportedProtocolVersion};
use sbc_core::config::{TlsFiles, TlsVersion, VerifyClient, covers};
use sbc_core::id::TlsContextName;
use sbc_core::transport::TlsSuite;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The suite that a handshake has agreed on.
pub(super) fn suite_of(connection: &CommonState) -> Option<TlsSuite> {
    let suite = connection.negotiated_cipher_suite()?;
    Some(TlsSuite(suite.suite().into()))
}

/// All TLS identities by name.
#[derive(Clone, Default)]
pub struct TlsStore {
    contexts: BTreeMap<TlsContextName, Arc<TlsContext>>,
    /// Those that were configured before, by their names then.
    former: BTreeMap<TlsContextName, succession::Former>,
}

impl TlsStore {
    /// Loads every identity.
    ///
    /// # Errors
    /// Every fault, with the context it belongs to; nothing is half loaded. An identity whose first
    /// certificate an authority has yet to issue is no fault: it is not there before.
    pub fn load<'f>(
        files: impl IntoIterator<Item = (&'f TlsContextName, &'f TlsFiles)>,
    ) -> Result<Self, Vec<(TlsContextName, MaterialFault)>> {
        let mut store = Self::default();
        let mut faults = Vec::new();
        let mut known = KnownRoots::new();
        for (name, files) in files {
            if files.issued_for.is_some() && !Path::new(&files.cert).exists() {
                continue;
            }
            match TlsContext::load_among(name.clone(), files, &mut known) {
                Ok(context) => {
                    store.contexts.insert(name.clone(), Arc::new(context));
                }
                Err(fault) => faults.push((name.clone(), fault)),
            }
        }
        if faults.is_empty() {
            Ok(store)
        } else {
            Err(faults)
        }
    }

    /// The identity of this name.
    pub fn get(&self, name: &TlsContextName) -> Option<&Arc<TlsContext>> {
        self.contexts.get(name)
    }

    /// Every identity.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TlsContext>> {
        self.contexts.values()
    }

    /// Identities that show another certificate than before.
    pub fn renewed<'s>(&'s self, before: &Self) -> impl Iterator<Item = &'s Arc<TlsContext>> {
        self.iter().filter(|context| {
            let before = before.get(context.name());
            before.is_some_and(|before| !before.shows_the_same(context))
        })
    }

    /// Takes an identity in the place of the one of its name.
    pub fn put(&mut self, context: Arc<TlsContext>) {
        self.contexts.insert(context.name().clone(), context);
    }

    /// The identity that hosts `server_name`: an exact name wins over a wildcard. Only `among` are
    /// looked at.
    pub fn by_server_name<'s>(
        &'s self,
        server_name: &str,
        among: &[TlsContextName],
    ) -> Option<&'s Arc<TlsContext>> {
        let candidates = || among.iter().filter_map(|name| self.contexts.get(name));
        let is_exact = |context: &&Arc<TlsContext>| {
            let names = &context.facts().names;
            names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(server_name))
        };
        candidates()
            .find(is_exact)
            .or_else(|| candidates().find(|context| covers(&context.facts().names, server_name)))
    }
}

/// The one cryptographic provider of this process, named explicitly so that no default feature of
/// a dependency can choose another.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        // ECDHE with an AEAD only; this is what rustls offers anyway, and a later default must not
        // silently widen it (SEC-076).
        provider.cipher_suites.retain(|suite| {
            let name = format!("{:?}", suite.suite());
            name.contains("GCM") || name.contains("CHACHA20")
        });
        Arc::new(provider)
    }))
}

static ONLY_13: [&SupportedProtocolVersion; 1] = [&TLS13];
static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        TlsVersion::V1_3 => &ONLY_13,
        TlsVersion::V1_2 => &BOTH,
    }
}

impl TlsContext {
    /// What a connection accepted in this context uses. `accepted` are the names of which the
    /// client's certificate must carry one; with none every client is refused. The verdict tells
    /// afterwards who the client proved to be, or why it was refused.
    ///
    /// Sessions are not resumed: a resumed one would skip the verification of the client (SEC-023).
    ///
    /// # Errors
    /// If key and certificate cannot be used together, which loading excludes.
    pub(super) fn accept(
        &self,
        accepted: Vec<String>,
        verdict: &Verdict,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(self.min()))?;
        let builder = match self.verify_client() {
            VerifyClient::Require => builder.with_client_cert_verifier(Arc::new(
                verify::ClientVerifier::new(self, accepted, verdict.clone()),
            )),
            VerifyClient::Off => {
                builder.with_client_cert_verifier(WebPkiClientVerifier::no_client_auth())
            }
        };
        let mut config = builder.with_cert_resolver(self.server_resolver());
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }

    /// What a connection of an operator uses that is accepted in this context: TLS 1.3, whatever is spoken with
    /// peers, and a certificate of the other side if somebody verifies those; else it shows a token (SEC-150).
    ///
    /// # Errors
    /// If key and certificate cannot be used together, which loading excludes.
    pub(crate) fn serve(
        &self,
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        self.serve_with(&ONLY_13, clients)
    }

    /// What a connection of Microsoft uses that is accepted in this context: TLS 1.2 or newer, and no certificate of the
    /// other side, which proves itself by what it says (TDG-PRS-002).
    ///
    /// # Errors
    /// As [`Self::serve`].
    pub(crate) fn serve_notices(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        self.serve_with(versions(self.min()), None)
    }

    fn serve_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)?
            .with_client_cert_verifier(clients.unwrap_or_else(WebPkiClientVerifier::no_client_auth))
            .with_cert_resolver(self.server_resolver());
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// What a connection opened in this context uses. `wanted` are the names of which the server's
    /// certificate must carry one.
    ///
    /// # Errors
    /// If the protocol versions cannot be used, which loading excludes.
    pub(crate) fn connect(
        &self,
        wanted: Vec<String>,
        verdict: &Verdict,
    ) -> Result<Arc<ClientConfig>, rustls::Error> {
        let verifier = verify::ServerVerifier::new(self, wanted, verdict.clone());
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(self.min()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(self.client_resolver());
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// Fills `to` with random bytes of the operating system's quality.
///
/// # Errors
/// If there are none.
pub(crate) fn random(to: &mut [u8]) -> Result<(), ()> {
    provider().secure_random.fill(to).map_err(|_| ())
}
