//! What all stages of a run share: keys and certificates, and over which network.

use super::late::Late;
use super::setting::{BRANCH, CUSTOMERS, DERIVED, FQDN, PROXY, SECOND};
use super::subject::{AUTHORITY, Subject, anchors};
use crate::ca::{Authority, CaFault, Identity};
use crate::impair::Network;
use crate::lab::fault::LabFault;
use crate::lab::place::{DOMAIN, REGIONS};
use std::io;
use std::path::Path;

/// What all stages of a run share.
pub struct Kit {
    /// Root of trust of everybody.
    pub authority: Authority,
    /// Certificate of the subject.
    pub sbc: Identity,
    /// Certificate of the proxies.
    pub proxy: Identity,
    /// Certificate of the SBC in a branch.
    pub branch: Identity,
    /// Certificate of a machine that no name of the three leads to: it says the first of them alone.
    pub elsewhere: Identity,
    /// Other authorities.
    pub anchors: Vec<Authority>,
    /// The network between peers and subject, where it is a bad one.
    pub network: Option<Network>,
    /// Whether long cases are played in full.
    pub soaks: bool,
    /// How late the run is.
    pub late: Late,
}

/// Roots that an SBC must trust (TDR-TLS-010).
pub(super) const ANCHORS: usize = 7;
/// How many of them have keys on P-384.
const ANCHORS_P384: usize = 3;

impl Kit {
    /// Makes keys and certificates; within a runtime, whose lateness is measured from then on.
    ///
    /// # Errors
    /// [`CaFault`].
    pub fn new(network: Option<Network>) -> Result<Self, CaFault> {
        let anchors = (1..=ANCHORS).map(|number| match number {
            ..=ANCHORS_P384 => Authority::p384(&format!("Anchor {number}")),
            _ => Authority::new(&format!("Anchor {number}")),
        });
        let anchors = anchors.collect::<Result<_, _>>()?;
        Self::with(network, Authority::new("Causeway certification")?, anchors)
    }

    /// The same for a subject: an SBC of others trusts authorities of its file's folder, as far as they are there.
    ///
    /// # Errors
    /// [`LabFault`], naming the file that cannot be used.
    pub fn of(subject: &Subject, network: Option<Network>) -> Result<Self, LabFault> {
        let mut kit = Self::new(network)?;
        let Subject::Other(other) = subject else {
            return Ok(kit);
        };
        if let Some(own) = taken(&other.certificates, AUTHORITY)? {
            kit = Self::with(network, own, kit.anchors)?;
        }
        for (name, anchor) in anchors().zip(&mut kit.anchors) {
            if let Some(own) = taken(&other.certificates, &name)? {
                *anchor = own;
            }
        }
        Ok(kit)
    }

    /// The proxies show certificates under the further roots, as far as these go.
    pub(super) fn are_under_anchors(&self, identities: &mut [Identity]) -> Result<(), CaFault> {
        let names = REGIONS.map(|region| format!("{region}.{DOMAIN}"));
        for (identity, anchor) in identities.iter_mut().zip(&self.anchors) {
            *identity = anchor.issue(&names.each_ref().map(String::as_str))?;
        }
        Ok(())
    }

    fn with(
        network: Option<Network>,
        authority: Authority,
        anchors: Vec<Authority>,
    ) -> Result<Self, CaFault> {
        let proxies = REGIONS.map(|region| format!("{region}.{DOMAIN}"));
        let names: Vec<&str> = proxies.iter().map(String::as_str).collect();
        Ok(Self {
            sbc: authority.issue(&[FQDN, PROXY, CUSTOMERS[0], CUSTOMERS[1], DERIVED, SECOND])?,
            branch: authority.issue(&[BRANCH])?,
            proxy: authority.issue(&names)?,
            elsewhere: authority.issue(&names[..1])?,
            anchors,
            authority,
            network,
            soaks: false,
            late: Late::begins(),
        })
    }
}

/// The authority of a folder with this name, if it is there with its key.
fn taken(folder: &Path, name: &str) -> Result<Option<Authority>, LabFault> {
    let [root, key] = ["pem", "key"].map(|end| folder.join(format!("{name}.{end}")));
    if !root.exists() || !key.exists() {
        return Ok(None);
    }
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|why| LabFault::Read {
            path: path.to_owned(),
            why,
        })
    };
    let authority = Authority::of(&read(&root)?, &read(&key)?);
    authority.map(Some).map_err(|why| LabFault::System {
        what: "use an authority of the folder of certificates",
        why: io::Error::other(format!("{}: {why}", root.display())),
    })
}
