//! What a reload changes for the shell: sockets to open and close, identities to load, ranges of
//! media ports to tell the relay. Everything else travels inside the new `Arc<Config>`.

use super::listen::Realm;
use super::load::Loaded;
use crate::id::{ListenerName, RealmName, TlsContextName};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What happened to one named object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Change {
    /// It was not there before.
    Added,
    /// It is there with other settings.
    Changed,
    /// It is gone.
    Removed,
}

/// Differences between two configurations, as far as the shell must act on them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Sockets. A changed one has another address, protocol or default identity.
    pub listeners: BTreeMap<ListenerName, Change>,
    /// TLS identities whose settings differ. Certificates behind unchanged paths may have been
    /// renewed; the shell loads all of them again on every reload (OPS-121).
    pub tls: BTreeMap<TlsContextName, Change>,
    /// Realms whose addresses, ports or marking of media differ.
    pub realms: BTreeMap<RealmName, Change>,
    /// Whether records go elsewhere.
    pub cdr: bool,
    /// Whether metrics are served elsewhere.
    pub metrics: bool,
    /// Whether the API is served elsewhere; it moves only at a restart.
    pub api: bool,
    /// Whether notices of Microsoft come in elsewhere; from a restart on.
    pub notices: bool,
    /// Whether media are relayed by another process, or workers stay elsewhere; from a restart on.
    pub relay: bool,
    /// Whether other servers of DNS are asked.
    pub dns: bool,
    /// Whether the daemon takes more or less from itself; from a restart on.
    pub confinement: bool,
}

impl Changes {
    /// Whether the shell has nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares two configurations.
pub fn changes(old: &Loaded, new: &Loaded) -> Changes {
    Changes {
        listeners: differences(&old.config.listeners, &new.config.listeners),
        tls: differences(&old.shell.tls, &new.shell.tls),
        realms: differences(&for_media(old), &for_media(new)),
        cdr: old.shell.cdr != new.shell.cdr,
        metrics: match (&old.shell.metrics, &new.shell.metrics) {
            (Some(old), Some(new)) => new.is_elsewhere(old),
            (old, new) => old.is_some() != new.is_some(),
        },
        api: old.shell.api != new.shell.api || old.shell.api_listen != new.shell.api_listen,
        notices: notices(old) != notices(new),
        relay: old.shell.relay != new.shell.relay
            || old.shell.pins_workers != new.shell.pins_workers,
        dns: old.shell.dns != new.shell.dns,
        confinement: old.shell.confinement != new.shell.confinement,
    }
}

fn notices(loaded: &Loaded) -> Option<SocketAddr> {
    loaded.shell.notices.as_ref().map(|own| own.address)
}

/// Realms as the relay sees them: how signalling is marked is the sockets' own matter.
fn for_media(loaded: &Loaded) -> BTreeMap<RealmName, Realm> {
    let realms = loaded.config.realms.iter();
    let as_seen = realms.map(|(name, realm)| {
        let realm = Realm {
            signalling_dscp: 0,
            ..Realm::clone(realm)
        };
        (name.clone(), realm)
    });
    as_seen.collect()
}

fn differences<N: Ord + Clone, T: PartialEq>(
    old: &BTreeMap<N, T>,
    new: &BTreeMap<N, T>,
) -> BTreeMap<N, Change> {
    let gone = old
        .keys()
        .filter(|name| !new.contains_key(name))
        .map(|name| (name.clone(), Change::Removed));
    let here = new.iter().filter_map(|(name, object)| match old.get(name) {
        None => Some((name.clone(), Change::Added)),
        Some(before) if before != object => Some((name.clone(), Change::Changed)),
        Some(_) => None,
    });
    gone.chain(here).collect()
}
