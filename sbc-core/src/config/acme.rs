//! The account with an authority that issues certificates by itself: `[acme]` (RFC 8555, TDR-TLS-015).
//!
//! There is one account for the whole node. `acme = true` of a `[[tls]]` makes the daemon ask for the certificate
//! of that identity, for the names that stand beside it.

use super::effective::Setting;
use super::file::secret;
use super::finding::Collector;
use super::read::Section;
use super::source::{At, Span};
use super::value;
use super::written::Secret;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An account with an authority. Whoever writes it agrees to the authority's terms of service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcmeAccount {
    /// HTTPS URL at which the authority says what else is where (RFC 8555 §7.1.1).
    pub directory: String,
    /// Mail addresses at which the authority finds a person.
    pub contact: Vec<String>,
    /// PEM file with the roots of the authority's web server; those of the system by default.
    pub https_roots: String,
    /// Who the authority knows us as already, where it asks for that (RFC 8555 §7.3.4).
    pub external: Option<ExternalAccount>,
    /// How we prove that names are ours.
    pub proof: AcmeProof,
    /// Folder of the account, of certificates and of their keys.
    pub folder: String,
}

/// A customer number with the authority, and the key that belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExternalAccount {
    /// The authority's name for the account.
    pub key_id: String,
    /// Where its key is, in base64 for URLs.
    pub key: Secret,
}

/// How we prove that a name is ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AcmeProof {
    /// The authority fetches a page at port 80 of the name (RFC 8555 §8.3). We listen while it is asked to.
    Http {
        /// Where we listen; something else may lead from port 80 to there.
        listen: SocketAddr,
    },
    /// The authority looks for a TXT record (RFC 8555 §8.4), the only proof of a wildcard.
    Dns {
        /// Program that makes and removes the record.
        hook: String,
    },
}

impl AcmeAccount {
    /// The file of a folder that has the certificate of an identity, its chain and its key: one file, so that no
    /// key is ever beside the certificate of another.
    pub(super) fn file_of(folder: &str, identity: &str) -> String {
        format!("{}/{identity}.pem", folder.trim_end_matches('/'))
    }
}

impl AcmeAccount {
    /// What holds where nothing is written, and why.
    pub(super) fn usual(&self) -> Vec<Setting> {
        let (challenge, own) = match &self.proof {
            AcmeProof::Http { listen } => ("http-01", Some(listen.to_string())),
            AcmeProof::Dns { .. } => ("dns-01", None),
        };
        let listen = own.map(|listen| {
            let why =
                "where authorities look, at every address; open only while one is asked to look";
            ("listen", listen, why)
        });
        let all = [
            (
                "challenge",
                challenge.to_owned(),
                "needs nothing but a reachable port",
            ),
            (
                "https_roots",
                self.https_roots.clone(),
                "the web server of a public authority is one of the web",
            ),
            (
                "folder",
                self.folder.clone(),
                "the state of the packaged service",
            ),
        ];
        let all = all.into_iter().chain(listen);
        let setting = |(key, value, because): (&str, String, &str)| Setting {
            key: key.to_owned(),
            value,
            because: because.to_owned(),
        };
        all.map(setting).collect()
    }
}

/// Where the authority's page is served by default.
pub(super) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 80);
/// Within what the packaged unit has for the state of the daemon.
pub(super) const FOLDER: &str = "/var/lib/causeway/acme";

/// The table `[acme]` as it is written.
pub(super) struct WrittenAcme {
    pub(super) span: Span,
    pub(super) directory: Option<At<String>>,
    pub(super) contact: Option<At<Vec<At<String>>>>,
    pub(super) https_roots: Option<At<String>>,
    pub(super) external: Option<WrittenExternal>,
    pub(super) challenge: Option<At<Challenge>>,
    pub(super) listen: Option<At<SocketAddr>>,
    pub(super) hook: Option<At<String>>,
    pub(super) folder: Option<At<String>>,
}

pub(super) struct WrittenExternal {
    pub(super) key_id: Option<At<String>>,
    pub(super) key: Option<At<Secret>>,
}

/// What the authority looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Challenge {
    Http,
    Dns,
}

/// Reads the table.
pub(super) fn read(mut section: Section<'_>, out: &mut Collector) -> WrittenAcme {
    let external = section.table("external_account", out).map(|mut table| {
        let external = WrittenExternal {
            key_id: table.required_text("key_id", "\"kid-1\"", out),
            key: secret(&mut table, "key", out),
        };
        if !table.has("key") {
            table.missing("key", "{ file = \"/etc/causeway/acme/external.key\" }", out);
        }
        table.finish(&[], out);
        external
    });
    let table = WrittenAcme {
        span: section.span.clone(),
        directory: section.required_text(
            "directory",
            "\"https://acme.example.org/directory\"",
            out,
        ),
        contact: section.texts("contact", out),
        https_roots: section.text("https_roots", out),
        external,
        challenge: section.choice(
            "challenge",
            &[("http-01", Challenge::Http), ("dns-01", Challenge::Dns)],
            &["tls-alpn-01"],
            out,
        ),
        listen: section.parsed("listen", value::socket, out),
        hook: section.text("hook", out),
        folder: section.text("folder", out),
    };
    section.finish(&["profile", "key_type", "renew_before"], out);
    table
}
