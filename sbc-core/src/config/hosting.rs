//! Derived trunks: one carrier trunk towards Teams, and a trunk of each customer that has from it what it
//! does not say itself (TDR-MT-013).
//!
//! Teams knows a customer by a name below that of the carrier trunk, and takes everything else from there:
//! port, parameters, health. Number rules alone are not inherited, neither in Teams nor here: a transform is
//! of the trunk that it names.

use super::{Config, Trunk};
use crate::id::{TenantName, TrunkName};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Keys of a customer's own; a derived trunk has everything else from its carrier trunk.
pub(super) const OWN: [&str; 4] = ["name", "tenant", "fqdn", "inherits"];

/// Keys that say where Teams is and how it is asked, which the carrier trunk alone says: otherwise its
/// health would not be that of the derived ones (TDR-OPT-008).
pub(super) const OF_CARRIER: [&str; 10] = [
    "preset",
    "cloud",
    "mode",
    "realm",
    "targets",
    "test_names",
    "accept_from",
    "accept_names",
    "prefer",
    "options",
];

/// Trunks by the carrier trunk that they are derived from, and by customer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hosting(BTreeMap<TrunkName, BTreeMap<TenantName, Vec<TrunkName>>>);

impl Hosting {
    /// Of all trunks.
    pub(super) fn of<'t>(trunks: impl Iterator<Item = &'t Arc<Trunk>>) -> Self {
        let mut all = Self::default();
        for trunk in trunks {
            if let (Some(carrier), Some(tenant)) = (&trunk.carrier, &trunk.tenant) {
                let hosted = all.0.entry(carrier.clone()).or_default();
                let own = hosted.entry(tenant.clone()).or_default();
                own.push(trunk.name.clone());
            }
        }
        all
    }

    /// Whether trunks are derived from this one.
    pub fn is_carrier(&self, trunk: &TrunkName) -> bool {
        self.0.contains_key(trunk)
    }

    /// The trunks of a customer that are derived from this one.
    pub fn derived(&self, trunk: &TrunkName, tenant: &TenantName) -> &[TrunkName] {
        let hosted = self.0.get(trunk).and_then(|hosted| hosted.get(tenant));
        hosted.map_or(&[], Vec::as_slice)
    }
}

impl Config {
    /// The trunks that a route to `trunk` leads to in calls of a customer: that one, if it is the
    /// customer's or everybody's, and those of the customer that are derived from it.
    pub fn trunks_for<'c>(
        &'c self,
        trunk: &'c TrunkName,
        tenant: Option<&'c TenantName>,
    ) -> impl Iterator<Item = &'c Arc<Trunk>> {
        let is_open = move |trunk: &&Arc<Trunk>| {
            trunk.tenant.is_none() || tenant.is_some() && trunk.tenant.as_ref() == tenant
        };
        let derived = tenant.map_or(&[][..], |tenant| self.hosting.derived(trunk, tenant));
        let itself = self.trunks.get(trunk).filter(is_open);
        let named = |name| self.trunks.get(name);
        itself.into_iter().chain(derived.iter().filter_map(named))
    }
}

impl Trunk {
    /// The trunk whose OPTIONS tell whether its peer is there (TDR-OPT-008).
    pub fn watched_as(&self) -> &TrunkName {
        self.carrier.as_ref().unwrap_or(&self.name)
    }

    /// Whether it is this trunk, or derived from it.
    pub fn is_of(&self, trunk: &TrunkName) -> bool {
        self.name == *trunk || self.carrier.as_ref() == Some(trunk)
    }
}
