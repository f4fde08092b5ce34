//! Which trunks an address may belong to, found without looking at all of them: it is asked of every
//! datagram, and a node may host hundreds of customers.

use super::{Config, IpNet, Trunk};
use crate::id::ListenerName;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// The addresses of all peers, worked out when they are first wanted. As [`super::Derived`], it says
/// nothing new.
#[derive(Debug, Default)]
pub struct Sources(OnceLock<BTreeMap<ListenerName, Peers>>);

/// The peers of one listener.
#[derive(Debug, Default)]
struct Peers {
    single: BTreeMap<IpAddr, Vec<Arc<Trunk>>>,
    /// Ranges, each once, with the trunks that list it.
    ranges: Vec<(IpNet, Vec<Arc<Trunk>>)>,
}

impl Clone for Sources {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Sources {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Config {
    /// Whether any trunk of this listener has a peer at `source`.
    pub fn has_peer(&self, listener: &ListenerName, source: IpAddr) -> bool {
        self.peers(listener).is_some_and(|peers| {
            let mut ranges = peers.ranges.iter();
            peers.single.contains_key(&source) || ranges.any(|(range, _)| range.contains(source))
        })
    }

    /// The trunks of this listener that have a peer at `source`, in the order of their names.
    pub fn peers_at(&self, listener: &ListenerName, source: IpAddr) -> Vec<&Arc<Trunk>> {
        let Some(peers) = self.peers(listener) else {
            return Vec::new();
        };
        let single = peers.single.get(&source).into_iter();
        let ranges = peers
            .ranges
            .iter()
            .filter(|(range, _)| range.contains(source));
        let mut lists = 0;
        let all = single.chain(ranges.map(|(_, trunks)| trunks));
        let all = all.inspect(|_| lists += 1);
        let mut found: Vec<&Arc<Trunk>> = all.flatten().collect();
        // Each list is in order, and has each trunk once: all customers of one carrier trunk are in one.
        if lists > 1 {
            found.sort_by(|one, other| one.name.cmp(&other.name));
            found.dedup_by(|one, other| Arc::ptr_eq(one, other));
        }
        found
    }

    fn peers(&self, listener: &ListenerName) -> Option<&Peers> {
        self.sources
            .0
            .get_or_init(|| self.all_peers())
            .get(listener)
    }

    fn all_peers(&self) -> BTreeMap<ListenerName, Peers> {
        let mut all: BTreeMap<ListenerName, Peers> = BTreeMap::new();
        for trunk in self.trunks.values() {
            for listener in &trunk.listeners {
                let peers = all.entry(listener.clone()).or_default();
                trunk
                    .peer_ranges()
                    .for_each(|range| peers.add(range, trunk));
            }
        }
        all
    }
}

impl Peers {
    fn add(&mut self, range: IpNet, trunk: &Arc<Trunk>) {
        let own = match range.is_single() {
            true => self.single.entry(range.address.to_canonical()).or_default(),
            false => {
                let at = self.ranges.iter().position(|(known, _)| *known == range);
                let at = at.unwrap_or_else(|| {
                    self.ranges.push((range, Vec::new()));
                    self.ranges.len() - 1
                });
                &mut self.ranges[at].1
            }
        };
        // It may list the same range twice.
        if own.last().is_none_or(|last| !Arc::ptr_eq(last, trunk)) {
            own.push(Arc::clone(trunk));
        }
    }
}

impl Trunk {
    /// Where its peer may be: what it lists, else the addresses of its targets.
    pub fn peer_ranges(&self) -> impl Iterator<Item = IpNet> {
        let targets = self.targets.iter().filter(|_| self.accept_from.is_empty());
        let addresses = targets.flat_map(|target| {
            let literal = target.host.parse::<IpAddr>().ok();
            let known = target.connect_to.iter().map(|address| address.ip());
            literal.into_iter().chain(known)
        });
        let listed = self.accept_from.iter().copied();
        listed.chain(addresses.map(IpNet::single))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Assumed, Source, load};
    use super::*;

    #[test]
    fn peers_are_found_as_if_every_trunk_were_asked() {
        let mut text = "[node]\nid = \"n\"\n[[realm]]\nname = \"r\"\naddresses = [\"192.0.2.1\"]\n\
                        ports = \"10000-10999\"\n[[listen]]\nrealm = \"r\"\ntransport = \"udp\"\n\
                        [[tenant]]\nname = \"t\"\n"
            .to_owned();
        for (name, target, accept) in [
            ("a", "198.51.100.1", ""),
            ("b", "198.51.100.2", "accept_from = [\"203.0.113.0/24\"]"),
            (
                "c",
                "198.51.100.3",
                "accept_from = [\"203.0.113.7\", \"198.51.100.0/30\"]",
            ),
        ] {
            text += &format!(
                "[[trunk]]\nname = \"{name}\"\ntenant = \"t\"\npreset = \"carrier\"\nrealm = \"r\"\n\
                 targets = [\"{target}:5060;udp\"]\nfqdn = \"{name}.example.net\"\n{accept}\n"
            );
        }
        let config = match load(&[Source::new("t.toml", &text)], &Assumed::default(), None) {
            Ok(loaded) => loaded.config,
            Err(findings) => panic!("{}", findings.to_text()),
        };
        let listener = config.listeners.keys().next().unwrap();
        for (source, expected) in [
            ("198.51.100.1", "ac"),
            ("198.51.100.2", "c"),
            ("198.51.100.4", ""),
            ("203.0.113.7", "bc"),
            ("203.0.113.8", "b"),
            ("2001:db8::1", ""),
        ] {
            let source: IpAddr = source.parse().unwrap();
            let found = config.peers_at(listener, source);
            let names: String = found.iter().map(|trunk| trunk.name.as_str()).collect();
            assert_eq!(names, expected, "{source}");
            assert_eq!(config.has_peer(listener, source), !expected.is_empty());
        }
        assert!(!config.has_peer(&ListenerName::new("other"), "203.0.113.7".parse().unwrap()));
    }
}
