//! What one person alone may not do at the interface: `[api] four_eyes` (SEC-151).

use super::{Config, Loaded, Route, Shell, Tenant, Transform, TransformScope, Trunk};
use crate::id::TrunkName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// For what another person has to agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FourEyes {
    /// To hear what callers say: captures with all of their media.
    Media,
    /// To take a configuration into use by which calls for help go another way.
    Emergency,
}

impl FourEyes {
    /// As it is written.
    pub const ALL: [(&'static str, Self); 2] =
        [("media", Self::Media), ("emergency", Self::Emergency)];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        let written = Self::ALL.iter().find(|(_, own)| *own == self);
        written.map_or("", |(word, _)| word)
    }
}

/// What of one configuration differs in another, in words, for which [`FourEyes::Emergency`] wants a second person: the
/// ways of calls for help, and who may use the interface. Who could take the rule away by themselves, or make themselves
/// another person, would not be held by it.
pub fn sensitive_changes(old: &Loaded, new: &Loaded) -> Vec<String> {
    let mut told = ways(&old.config, &new.config);
    told.extend(access(&old.shell, &new.shell));
    told
}

/// What decides where calls for help go and how they are recognised.
fn ways(old: &Config, new: &Config) -> Vec<String> {
    let mut told = Vec::new();
    let (mut before, mut after) = (routes(old), routes(new));
    if before.is_empty() || after.is_empty() {
        // Any of them may carry calls for help where none is for these alone.
        (before, after) = (old.routes.iter().collect(), new.routes.iter().collect());
    }
    let name = |route: &&Arc<Route>| route.name.to_string();
    differ("route", &by(&before, name), &by(&after, name), &mut told);
    let order = |all: &[&Arc<Route>]| all.iter().map(name).collect::<Vec<_>>();
    if told.is_empty() && order(&before) != order(&after) {
        told.push("routes for help stand in another order".to_owned());
    }
    let named: BTreeSet<&TrunkName> = [&before, &after]
        .into_iter()
        .flatten()
        .flat_map(|route| route.to.iter().map(|target| &target.trunk))
        .collect();
    let is_meant = |trunk: &Arc<Trunk>| {
        named.contains(&trunk.name)
            || trunk
                .carrier
                .as_ref()
                .is_some_and(|own| named.contains(own))
    };
    let trunks = |config: &Config| -> BTreeMap<String, Arc<Trunk>> {
        let all = config.trunks.values().filter(|trunk| is_meant(trunk));
        all.map(|trunk| (trunk.name.to_string(), Arc::clone(trunk)))
            .collect()
    };
    differ("trunk", &trunks(old), &trunks(new), &mut told);
    // A route for help may ask for numbers as transforms on the way in have made them.
    let is_of_them = |transform: &Arc<Transform>| match &transform.scope {
        TransformScope::Out(trunk) => named.contains(trunk),
        TransformScope::In(_) => before.iter().chain(&after).any(|route| {
            let when = &route.when;
            when.calling.is_some() || when.called.is_some()
        }),
    };
    let transforms = |config: &Config| -> Vec<Arc<Transform>> {
        let all = config.transforms.iter().filter(|own| is_of_them(own));
        all.cloned().collect()
    };
    if transforms(old) != transforms(new) {
        told.push("transforms of calls for help are others".to_owned());
    }
    let tenants = |config: &Config| -> BTreeMap<String, Tenant> {
        let all = config.tenants.values();
        all.filter_map(|tenant| Some((tenant.name.to_string(), for_help(tenant)?)))
            .collect()
    };
    let (before, after) = (tenants(old), tenants(new));
    differ("tenant", &before, &after, &mut told);
    let limits = |config: &Config| (config.limits.preempt, config.limits.preempt_per_minute);
    if limits(old) != limits(new) {
        told.push("[limits]: whether calls give way to those for help".to_owned());
    }
    told
}

fn routes(config: &Config) -> Vec<&Arc<Route>> {
    let all = config.routes.iter();
    all.filter(|route| route.when.emergency).collect()
}

/// What of a customer calls for help are recognised and called back by; nothing of one that has none of it.
fn for_help(tenant: &Tenant) -> Option<Tenant> {
    let is_there = !tenant.emergency.is_empty() || !tenant.elins.is_empty();
    is_there.then(|| Tenant {
        numbers: Vec::new(),
        local_numbers: Vec::new(),
        users: Default::default(),
        limits: Default::default(),
        record_numbers: Default::default(),
        ..tenant.clone()
    })
}

/// Who may use the interface, and what they have to agree on.
fn access(old: &Shell, new: &Shell) -> Vec<String> {
    let told = |is_other: bool, what: &str| is_other.then(|| what.to_owned());
    let all = [
        told(
            old.four_eyes != new.four_eyes,
            "[api] four_eyes is another list",
        ),
        told(
            old.api_users != new.api_users,
            "[[api.user]]: who has a token, which one, and for what",
        ),
        told(
            old.api_clients != new.api_clients,
            "[[api.client]]: whose certificate counts, and for what",
        ),
        told(
            old.oidc != new.oidc,
            "[api.oidc]: who signs in, and for what",
        ),
    ];
    all.into_iter().flatten().collect()
}

fn by<'r>(
    all: &[&'r Arc<Route>],
    name: impl Fn(&&'r Arc<Route>) -> String,
) -> BTreeMap<String, Route> {
    let all = all.iter();
    all.map(|route| (name(route), Route::clone(route)))
        .collect()
}

/// Tells of objects which are new, gone or others.
fn differ<T: PartialEq>(
    kind: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    told: &mut Vec<String>,
) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let what = match (old.get(name), new.get(name)) {
            (Some(before), Some(after)) if before == after => continue,
            (Some(_), Some(_)) => "is another",
            (None, _) => "is new",
            (_, None) => "is gone",
        };
        told.push(format!("{kind} \"{name}\" {what}"));
    }
}
