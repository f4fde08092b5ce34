//! Addresses that an operator lets in for a while beside those of the configuration, and whose addresses are whose.

use super::{Config, IpNet, Sources, Trunk, value};
use crate::id::TrunkName;
use media_api::AddressRanges;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

impl IpNet {
    /// Reads `192.0.2.0/28` or one address.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        match value::network(text) {
            Ok(net) if net.is_single() => Ok(Self::single(net.address.to_canonical())),
            Ok(net) => Ok(net),
            Err(why) => Err(format!("\"{text}\" {}: {}", why.what, why.instead)),
        }
    }
}

/// One address without its length, as people write it.
impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_single() {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

impl Config {
    /// The same configuration in which these addresses belong to these trunks, and to those derived from them, as if
    /// they stood in `accept_from`. A trunk that is not there, or is out of service, has no guests.
    pub fn admitting<'g>(&self, guests: impl IntoIterator<Item = (&'g TrunkName, IpNet)>) -> Self {
        let mut config = self.clone();
        for (name, net) in guests {
            let trunks = config.trunks.values_mut();
            for trunk in trunks.filter(|trunk| trunk.is_of(name) && !trunk.is_out_of_service) {
                Arc::make_mut(trunk).admit(net);
            }
        }
        config.sources = Sources::default();
        config
    }

    /// Trunks that lose a peer if nothing of these addresses is heard: those that list some of them. Of one whose peer
    /// proves who it is with a password, and of a range that would admit anybody, addresses are somebody's only where
    /// all of the range is meant.
    pub fn losing(&self, net: IpNet) -> Vec<&Arc<Trunk>> {
        let loses = |trunk: &&Arc<Trunk>| {
            let mut ranges = trunk.peer_ranges();
            ranges.any(|own| {
                let is_wide =
                    own.admits_strangers() || (trunk.authenticate.is_some() && !own.is_single());
                match is_wide {
                    true => net.prefix <= own.prefix && net.overlaps(&own),
                    false => net.overlaps(&own),
                }
            })
        };
        self.trunks.values().filter(loses).collect()
    }

    /// Other trunks at a listener of this one to which some of these addresses belong: a request from there could be of
    /// either.
    pub fn sharing(&self, trunk: &Trunk, net: IpNet) -> Vec<&Arc<Trunk>> {
        let shares = |other: &&Arc<Trunk>| {
            other.watched_as() != trunk.watched_as()
                && other
                    .listeners
                    .iter()
                    .any(|one| trunk.listeners.contains(one))
                && other.peer_ranges().any(|own| own.overlaps(&net))
        };
        self.trunks.values().filter(shares).collect()
    }
}

impl Trunk {
    fn admit(&mut self, net: IpNet) {
        if self.accept_from.is_empty() {
            // Without a list, those of the targets count; with one, only what is listed.
            self.accept_from = self.peer_ranges().collect();
        }
        self.accept_from.push(net);
        let profile = Arc::make_mut(&mut self.media.profile);
        let known = profile.ranges.list().iter().copied();
        let own: (IpAddr, IpAddr) = (net.first(), net.last());
        profile.ranges = AddressRanges::of(known.chain([own]));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Assumed, Source, load};
    use super::*;
    use crate::id::ListenerName;

    fn config() -> Config {
        let mut text = "[node]\nid = \"n\"\n[[realm]]\nname = \"r\"\naddresses = [\"192.0.2.1\"]\n\
                        ports = \"10000-10999\"\n[[listen]]\nname = \"udp\"\nrealm = \"r\"\n\
                        transport = \"udp\"\n[[tenant]]\nname = \"t\"\n"
            .to_owned();
        for (name, target, accept) in [
            (
                "listed",
                "198.51.100.1",
                "accept_from = [\"203.0.113.0/28\"]",
            ),
            ("usual", "198.51.100.2", ""),
        ] {
            text += &format!(
                "[[trunk]]\nname = \"{name}\"\ntenant = \"t\"\npreset = \"carrier\"\nrealm = \"r\"\n\
                 targets = [\"{target}:5060;udp\"]\nfqdn = \"{name}.example.net\"\n{accept}\n"
            );
        }
        match load(&[Source::new("t.toml", &text)], &Assumed::default(), None) {
            Ok(loaded) => loaded.config,
            Err(findings) => panic!("{}", findings.to_text()),
        }
    }

    fn net(text: &str) -> IpNet {
        IpNet::parse(text).unwrap()
    }

    #[test]
    fn a_guest_is_a_peer_beside_those_that_were_there_and_in_no_other_copy() {
        let config = config();
        let names = [TrunkName::new("listed"), TrunkName::new("usual")];
        let guests = names.iter().map(|name| (name, net("203.0.113.64/30")));
        let with = config.admitting(guests);
        let udp = ListenerName::new("udp");
        let peers = |config: &Config, address: &str| -> Vec<String> {
            let found = config.peers_at(&udp, address.parse().unwrap());
            found.iter().map(|trunk| trunk.name.to_string()).collect()
        };
        assert_eq!(peers(&with, "203.0.113.66"), ["listed", "usual"]);
        assert_eq!(peers(&with, "203.0.113.7"), ["listed"]);
        // The addresses of targets count as before.
        assert_eq!(peers(&with, "198.51.100.2"), ["usual"]);
        assert!(peers(&config, "203.0.113.66").is_empty());
        let ranges = |config: &Config| config.trunks[&names[1]].media.profile.ranges.clone();
        assert!(ranges(&with).contains("203.0.113.65".parse().unwrap()));
        assert!(!ranges(&config).contains("203.0.113.65".parse().unwrap()));
        let nobody = TrunkName::new("nobody");
        assert_eq!(config.admitting([(&nobody, net("203.0.113.66"))]), config);
    }

    #[test]
    fn who_loses_a_peer_and_who_shares_one_is_told() {
        let config = config();
        let names = |found: Vec<&Arc<Trunk>>| -> Vec<String> {
            found.iter().map(|trunk| trunk.name.to_string()).collect()
        };
        assert_eq!(names(config.losing(net("203.0.113.1"))), ["listed"]);
        assert_eq!(names(config.losing(net("198.51.100.0/24"))), ["usual"]);
        assert!(config.losing(net("203.0.113.200")).is_empty());
        let listed = &config.trunks[&TrunkName::new("listed")];
        assert_eq!(
            names(config.sharing(listed, net("198.51.100.2"))),
            ["usual"]
        );
        assert!(config.sharing(listed, net("203.0.113.1")).is_empty());
    }

    #[test]
    fn addresses_are_read_and_written_as_people_write_them() {
        for (text, told) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("192.0.2.0/28", "192.0.2.0/28"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(net(text).to_string(), told);
        }
        let why = IpNet::parse("192.0.2.7/28").unwrap_err();
        assert!(
            why.contains("write the first address of the range"),
            "{why}"
        );
    }
}
