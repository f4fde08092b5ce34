//! What a peer has shown, from its certificate to the root that it was believed by: kept of the peers of Teams,
//! because Microsoft changes its authorities from time to time (TDR-TLS-010, TDR-TLS-014).

use super::material::Trusted;
use crate::config::read_roots;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use sbc_core::config::MICROSOFT_ROOTS;
use std::sync::OnceLock;
use webpki::VerifiedPath;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest name of a certificate that is kept, in octets.
const LONGEST: usize = 128;

/// A certificate of a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Common name of its subject.
    pub name: String,
    /// End of validity in seconds since 1970.
    pub until: i64,
}

/// What a certificate may be used for (RFC 5280 §4.2.1.12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Purposes {
    /// For servers.
    pub server: bool,
    /// For clients.
    pub client: bool,
}

impl Purposes {
    /// In the words of RFC 5280.
    pub const fn as_str(self) -> &'static str {
        match (self.server, self.client) {
            (true, true) => "serverAuth, clientAuth",
            (true, false) => "serverAuth",
            (false, true) => "clientAuth",
            (false, false) => "neither serverAuth nor clientAuth",
        }
    }
}

/// A chain that was believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// The peer's own certificate.
    pub leaf: Link,
    /// What it is for.
    pub purposes: Purposes,
    /// The certificate between it and the root that ends first; `None` if there is none between.
    pub between: Option<Link>,
    /// The root.
    pub root: Link,
    /// Whether that is one of those that are part of this program.
    pub is_bundled: bool,
}

impl Chain {
    /// Of a path that was verified; `None` if its certificates cannot be read, which they could before.
    pub(super) fn of(
        end_entity: &CertificateDer<'_>,
        path: &VerifiedPath<'_>,
        trusted: &Trusted,
    ) -> Option<Self> {
        let (_, own) = X509Certificate::from_der(end_entity).ok()?;
        let purposes = match own.extended_key_usage().ok()? {
            None => Purposes {
                server: true,
                client: true,
            },
            Some(usage) => Purposes {
                server: usage.value.any || usage.value.server_auth,
                client: usage.value.any || usage.value.client_auth,
            },
        };
        let between = path.intermediate_certificates().filter_map(|certificate| {
            let der = certificate.der();
            let (_, certificate) = X509Certificate::from_der(&der).ok()?;
            Some(link(&certificate))
        });
        let (at, root) = trusted.find(path.anchor())?;
        Some(Self {
            leaf: link(&own),
            purposes,
            between: between.min_by_key(|link| link.until),
            root,
            is_bundled: is_bundled(at),
        })
    }

    /// The certificate of it that ends first.
    pub fn first_to_end(&self) -> &Link {
        let between = self.between.iter();
        let all = between.chain([&self.root]);
        all.fold(&self.leaf, |first, link| match link.until < first.until {
            true => link,
            false => first,
        })
    }
}

fn link(certificate: &X509Certificate<'_>) -> Link {
    let name = certificate.subject().iter_common_name().next();
    let name = name.and_then(|name| name.as_str().ok());
    let whole = name.map_or_else(|| certificate.subject().to_string(), str::to_owned);
    Link {
        name: shortened(&whole),
        until: certificate.validity().not_after.timestamp(),
    }
}

/// What goes into lines and labels, whoever has written it.
fn shortened(name: &str) -> String {
    let is_plain = |own: &char| !own.is_control();
    let mut out: String = name.chars().filter(is_plain).take(LONGEST).collect();
    while out.len() > LONGEST {
        out.pop();
    }
    out
}

impl Trusted {
    /// The root that a path has led to.
    fn find(&self, anchor: &TrustAnchor<'_>) -> Option<(&TrustAnchor<'static>, Link)> {
        if self.roots().len() != self.cas().len() {
            return None;
        }
        let mut known = self.roots().roots.iter().zip(self.cas());
        let (at, facts) = known.find(|(own, _)| is_same(own, anchor))?;
        let root = Link {
            name: shortened(&facts.subject),
            until: facts.not_after,
        };
        Some((at, root))
    }
}

fn is_same(one: &TrustAnchor<'_>, two: &TrustAnchor<'_>) -> bool {
    one.subject == two.subject && one.subject_public_key_info == two.subject_public_key_info
}

fn is_bundled(anchor: &TrustAnchor<'_>) -> bool {
    static BUNDLED: OnceLock<RootCertStore> = OnceLock::new();
    let bundled = BUNDLED.get_or_init(|| {
        let read = read_roots(MICROSOFT_ROOTS).map(|(roots, _)| roots);
        // A test excludes that they cannot be read.
        read.unwrap_or_else(|_| RootCertStore::empty())
    });
    let mut bundled = bundled.roots.iter();
    bundled.any(|own| is_same(own, anchor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_root_of_the_program_is_known_as_one_of_it() {
        let (roots, certificates) = read_roots(MICROSOFT_ROOTS).unwrap();
        let trusted = Trusted::new(roots, &certificates);
        for anchor in &trusted.roots().roots {
            let (at, root) = trusted.find(anchor).unwrap();
            assert!(is_bundled(at) && root.until > 1_900_000_000, "{root:?}");
        }
    }

    #[test]
    fn names_of_certificates_are_kept_short_and_plain() {
        assert_eq!(shortened("a\r\nb"), "ab");
        assert!(shortened(&"\u{1F4DE}".repeat(400)).len() <= LONGEST);
    }
}
